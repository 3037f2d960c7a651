"""
Two ids are the same person: `Alias`, `Identify`, `Merge`.

Which of them a project takes depends on its identity system: projects with the simplified one take none, and link by
``$device_id`` and ``$user_id`` of their events. https://docs.mixpanel.com/docs/tracking-methods/id-management
"""

from __future__ import annotations

from attrs import field, frozen

from .errors import InvalidValue
from .ids import UserId, anon_id, named_id
from .text import hidden

__all__ = ["Alias", "Identify", "Merge"]


def _alias(value: UserId) -> str:
    return named_id(value, "alias")


def _distinct_id(value: UserId) -> str:
    return named_id(value, "distinct_id")


def _identified_id(value: UserId) -> str:
    return named_id(value, "identified_id")


def _distinct_id1(value: UserId) -> str:
    return named_id(value, "distinct_id1")


def _distinct_id2(value: UserId) -> str:
    return named_id(value, "distinct_id2")


def _different(first: str, second: str, path: str) -> None:
    if first == second:
        raise InvalidValue(path, "two different ids", "the same one twice")


@frozen(kw_only=True)
class Alias:
    """
    From now on *alias* means the user *distinct_id*. For projects with the original or legacy identity system.

    Everything sent after it waits until it has been delivered.
    """

    alias: str = field(converter=_alias, repr=hidden)
    distinct_id: str = field(converter=_distinct_id, repr=hidden)

    def __attrs_post_init__(self) -> None:
        _different(self.alias, self.distinct_id, "alias and distinct_id")


@frozen(kw_only=True)
class Identify:
    """
    The anonymous *anon_id*, a UUID of version 4, is the user *identified_id*. For the original identity system.

    Everything sent after it waits until it has been delivered.
    """

    identified_id: str = field(converter=_identified_id, repr=hidden)
    anon_id: str = field(converter=anon_id, repr=hidden)

    def __attrs_post_init__(self) -> None:
        _different(self.identified_id, self.anon_id, "identified_id and anon_id")


@frozen
class Merge:
    """
    Two ids are the same user. Cannot be undone; for the original identity system; needs credentials.

    Everything sent after it waits until it has been delivered.
    """

    distinct_id1: str = field(converter=_distinct_id1, repr=hidden)
    distinct_id2: str = field(converter=_distinct_id2, repr=hidden)

    def __attrs_post_init__(self) -> None:
        _different(self.distinct_id1, self.distinct_id2, "distinct_id1 and distinct_id2")
