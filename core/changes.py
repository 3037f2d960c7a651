"""
What can be done to a profile, as values: one class for each operator of the wire.

Source of the operators and their effects: https://docs.mixpanel.com/reference/profile-set and the pages beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, TypeAlias

from attrs import field, frozen

from .errors import InvalidValue, LimitExceeded, describe
from .properties import Properties
from .shapes import PROFILE
from .text import short_name, utf8
from .values import freeze

__all__ = [
    "Add",
    "Append",
    "Delete",
    "GroupChange",
    "PeopleChange",
    "Remove",
    "Set",
    "SetOnce",
    "Union",
    "Unset",
]


def _named(properties: Mapping[str, object]) -> Properties:
    frozen_properties = freeze(properties, PROFILE)
    if not frozen_properties:
        raise InvalidValue("properties", "at least one property", "none")
    return frozen_properties


def _numbers(properties: Mapping[str, object]) -> Properties:
    frozen_properties = _named(properties)
    for name, value in frozen_properties.items():
        if type(value) is not int and type(value) is not float:
            raise InvalidValue(_path(name), "a finite number", describe(_given(properties, name, value)))
    return frozen_properties


def _lists(properties: Mapping[str, object]) -> Properties:
    plain = _named(properties).thaw()
    for name, value in plain.items():
        if type(value) in _ELEMENTS:
            # The server takes lists only; a single value is meant as a list of one, as in the other client libraries.
            plain[name] = [value]
        elif not isinstance(value, list):
            raise InvalidValue(_path(name), "a list, a str or a number", describe(_given(properties, name, value)))
        elif not value:
            raise InvalidValue(_path(name), "a list of at least one element", "an empty one")
        else:
            for index, element in enumerate(value):
                if type(element) not in _ELEMENTS:
                    is_set = isinstance(_given(properties, name, value), set | frozenset)
                    place = "..." if is_set else str(index)
                    raise InvalidValue(f"{_path(name)}[{place}]", "a str or a number", describe(element))
    return _named(plain)


_ELEMENTS: Final = frozenset({str, int, float})


def _path(name: str) -> str:
    return f"properties[{short_name(name)}]"


def _given(properties: Mapping[str, object], name: str, value: object) -> object:
    """
    What the caller gave, which tells more than what it was frozen to.
    """
    return value if isinstance(properties, Properties) else properties.get(name, value)


@frozen
class Set:
    """
    Create or overwrite each named property. ``$set``
    """

    operator: ClassVar[str] = "$set"
    repeatable: ClassVar[bool] = True

    properties: Properties = field(converter=_named)


@frozen
class SetOnce:
    """
    Write each named property that the profile does not have yet. ``$set_once``
    """

    operator: ClassVar[str] = "$set_once"
    repeatable: ClassVar[bool] = True

    properties: Properties = field(converter=_named)


@frozen
class Add:
    """
    Add a number to each named property; a negative one subtracts, a missing property counts as 0. ``$add``

    Applied twice it counts twice, so it is not sent again after an answer got lost. Not for groups.
    """

    operator: ClassVar[str] = "$add"
    repeatable: ClassVar[bool] = False

    properties: Properties = field(converter=_numbers)


@frozen
class Append:
    """
    Put one value at the end of each named list; a missing property becomes a list of one. ``$append``

    Applied twice it appends twice, so it is not sent again after an answer got lost. Not for groups.
    """

    operator: ClassVar[str] = "$append"
    repeatable: ClassVar[bool] = False

    properties: Properties = field(converter=_named)


@frozen
class Union:
    """
    Add to each named list those values, str or number, that it does not hold yet. ``$union``

    A single value is taken as a list of one.
    """

    operator: ClassVar[str] = "$union"
    repeatable: ClassVar[bool] = True

    properties: Properties = field(converter=_lists)


@frozen
class Remove:
    """
    Take one value out of each named list. ``$remove``

    A list may hold the value twice, and whether one or both go is not documented: so it is not sent again after an
    answer got lost.
    """

    operator: ClassVar[str] = "$remove"
    repeatable: ClassVar[bool] = False

    properties: Properties = field(converter=_named)


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        path = f"names[{index}]"
        if type(name) is not str:
            raise InvalidValue(path, "a property name, a str", describe(name))
        if not name:
            raise InvalidValue(path, "a property name, a str", "empty")
        if name in PROFILE.misplaced:
            raise InvalidValue(path, PROFILE.misplaced[name], "as a property")
        utf8(name, path)
    if sum(map(len, names)) > PROFILE.size.maximum:
        raise LimitExceeded("names", PROFILE.size, sum(map(len, names)))
    return tuple(dict.fromkeys(names))


@frozen(init=False)
class Unset:
    """
    Remove the named properties from the profile: ``Unset("plan", "trial_ends")``. ``$unset``
    """

    operator: ClassVar[str] = "$unset"
    repeatable: ClassVar[bool] = True

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        if not names:
            raise InvalidValue("names", "at least one property name", "none")
        self.__attrs_init__(_names(names))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


@frozen
class Delete:
    """
    Delete the whole profile; events stay. ``$delete``
    """

    operator: ClassVar[str] = "$delete"
    repeatable: ClassVar[bool] = True


PeopleChange: TypeAlias = Set | SetOnce | Add | Append | Union | Remove | Unset | Delete
"""What can be done to a user's profile."""

GroupChange: TypeAlias = Set | SetOnce | Union | Remove | Unset | Delete
"""What can be done to a group's profile: everything but `Add` and `Append`, which the server has for people only."""
