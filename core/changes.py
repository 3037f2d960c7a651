"""
What can be done to a profile, as values: one class for each operator of the wire.

Source of the operators and their effects: https://docs.mixpanel.com/reference/profile-set and the pages beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias, cast

from attrs import Attribute, field, frozen

from .errors import InvalidValue, describe
from .properties import Frozen, Properties
from .shapes import PROFILE
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
            raise InvalidValue(f"properties[{name!r}]", "a finite number", describe(properties[name]))
    return frozen_properties


def _lists(properties: Mapping[str, object]) -> Properties:
    plain = _named(properties).thaw()
    # The server takes lists only; a single value is meant as a list of one, as in the other client libraries.
    return _named({name: value if type(value) is list else [value] for name, value in plain.items()})


def _check_elements(change: Union, attribute: Attribute[Properties], properties: Properties) -> None:
    for name, elements in cast("Mapping[str, tuple[Frozen, ...]]", properties).items():
        path = f"properties[{name!r}]"
        if not elements:
            raise InvalidValue(path, "a list of at least one element", "an empty one")
        for index, element in enumerate(elements):
            if type(element) not in (str, int, float):
                raise InvalidValue(f"{path}[{index}]", "a str or a number", describe(element))


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

    properties: Properties = field(converter=_lists, validator=_check_elements)


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
    # Freezing a dict of the names checks them all the way properties are checked.
    for index, name in enumerate(names):
        if type(name) is not str or not name:
            raise InvalidValue(f"names[{index}]", "a property name, a str", describe(name) if name != "" else "empty")
    return tuple(_named(dict.fromkeys(names))) if names else names


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
