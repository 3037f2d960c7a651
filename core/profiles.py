"""
Changes to the profiles of users and groups, and what users paid.

Source: https://docs.mixpanel.com/reference/profile-set, https://docs.mixpanel.com/reference/group-set-property and the
pages beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, get_args

from attrs import field, frozen

from .changes import Delete, GroupChange, PeopleChange, Unset
from .errors import InvalidValue, describe
from .ids import UserId, group_name, named_id
from .properties import Properties
from .shapes import CHARGE, RAW
from .text import hidden
from .times import Instant, time_of
from .values import freeze, number

__all__ = [
    "Charge",
    "ClearCharges",
    "GroupOp",
    "PeopleOp",
    "RawGroupOp",
    "RawPeopleOp",
    "UpdateOptions",
    "is_repeatable",
]

_NO_CHARGE_PROPERTIES: Final = freeze({}, CHARGE)


def _ip(value: str | int | None) -> str | None:
    if value is None:
        return None
    if type(value) is int and value == 0:
        return "0"
    if type(value) is not str:
        raise InvalidValue("ip", "an IP address, or '0' for no place", describe(value))
    if not value or not value.isascii() or not value.isprintable():
        raise InvalidValue("ip", "an IP address, or '0' for no place", describe(value) if value else "empty")
    return value


def _flag(value: bool, path: str) -> bool:
    if type(value) is not bool:
        raise InvalidValue(path, "True or False", describe(value))
    return value


def _ignore_time(value: bool) -> bool:
    return _flag(value, "ignore_time")


def _ignore_alias(value: bool) -> bool:
    return _flag(value, "ignore_alias")


def _coordinate(value: float | None, path: str, bound: int) -> float | None:
    if value is None:
        return None
    degrees = number(value, path)
    if not -bound <= degrees <= bound:
        raise InvalidValue(path, f"degrees from -{bound} to {bound}", "outside of that")
    return degrees


def _latitude(value: float | None) -> float | None:
    return _coordinate(value, "latitude", 90)


def _longitude(value: float | None) -> float | None:
    return _coordinate(value, "longitude", 180)


@frozen(kw_only=True)
class UpdateOptions:
    """
    What stands beside the changes of a profile update.

    Attributes:
        ip: The user's address, from which the place is looked up; ``'0'`` leaves the place alone. None sends nothing:
            requests say ``ip=0``, so that the server's own place is not taken for the user's.
        ignore_time: Leave the profile's "last seen" as it is.
        ignore_alias: Take the distinct_id literally, also where it is an alias. Not for groups.
        latitude, longitude: The place, in degrees; both or none. Not for groups.
    """

    ip: str | None = field(default=None, converter=_ip, repr=hidden)
    ignore_time: bool = field(default=False, converter=_ignore_time)
    ignore_alias: bool = field(default=False, converter=_ignore_alias)
    latitude: float | None = field(default=None, converter=_latitude, repr=hidden)
    longitude: float | None = field(default=None, converter=_longitude, repr=hidden)

    def __attrs_post_init__(self) -> None:
        if (self.latitude is None) is not (self.longitude is None):
            raise InvalidValue("latitude and longitude", "both given or both left out", "one without the other")


_NO_OPTIONS: Final = UpdateOptions()


def _options(value: UpdateOptions) -> UpdateOptions:
    if type(value) is not UpdateOptions:
        raise InvalidValue("options", "UpdateOptions(...)", describe(value))
    return value


def _group_options(value: UpdateOptions) -> UpdateOptions:
    _options(value)
    if value.ignore_alias or value.latitude is not None:
        raise InvalidValue("options", "ip and ignore_time only, for a group", "one with ignore_alias or a place")
    return value


def _distinct_id(value: UserId) -> str:
    return named_id(value, "distinct_id")


def _group_key(value: UserId) -> str:
    return group_name(value, "group_key")


def _group_id(value: UserId) -> str:
    return group_name(value, "group_id")


def _check_changes(changes: tuple[PeopleChange, ...], known: tuple[type, ...], what: str) -> None:
    if not changes:
        raise InvalidValue("changes", "at least one change", "none")
    operators: set[str] = set()
    touched: set[str] = set()
    for index, change in enumerate(changes):
        path = f"changes[{index}]"
        if type(change) not in known:
            names = ", ".join(kind.__name__ for kind in known)
            raise InvalidValue(path, f"a change of {what}: {names}", describe(change))
        operator = change.operator
        if operator in operators:
            raise InvalidValue(path, f"the only {operator} of its operation", "a second one")
        operators.add(operator)
        names_now = _touched(change)
        both = touched & names_now
        if both or (len(changes) > 1 and operator == "$delete"):
            # In which order the server applies the operators of one update is not documented.
            raise InvalidValue(
                path,
                "independent of the other changes of its operation; use one operation for each",
                f"one of {min(both)!r} again" if both else "a Delete beside others",
            )
        touched |= names_now


def _touched(change: PeopleChange) -> set[str]:
    match change:
        case Unset():
            return set(change.names)
        case Delete():
            return set()
        case _:
            return set(change.properties)


@frozen(init=False)
class PeopleOp:
    """
    Change the profile of *distinct_id*: ``PeopleOp("u1", Set({"plan": "pro"}), Add({"credits": 10}))``.

    Several changes travel as one update; they must be of different kinds and touch different properties, because the
    order in which the server applies them is not documented. `split` makes one operation of each.

    Attributes:
        distinct_id: Whose profile, at most 255 characters.
        changes: One or several of `PeopleChange`.
        time: When it was decided, sent in whole seconds; None sends none.
        options: What stands beside the changes.
    """

    distinct_id: str = field(converter=_distinct_id, repr=hidden)
    changes: tuple[PeopleChange, ...]
    time: int | None = field(default=None, converter=time_of)
    options: UpdateOptions = field(default=_NO_OPTIONS, converter=_options)

    def __init__(
        self,
        distinct_id: UserId,
        *changes: PeopleChange,
        time: Instant | None = None,
        options: UpdateOptions = _NO_OPTIONS,
    ) -> None:
        _check_changes(changes, get_args(PeopleChange), "a profile")
        self.__attrs_init__(distinct_id, changes, time, options)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


@frozen(init=False)
class GroupOp:
    """
    Change the profile of a group: ``GroupOp("Company", "acme", Set({"plan": "pro"}))``.

    Attributes:
        group_key: The kind of group, as made in the project's settings.
        group_id: Which group, at most 255 characters.
        changes: One or several of `GroupChange`, with the rules of `PeopleOp`.
        time: When it was decided, sent in whole seconds; None sends none.
        options: What stands beside the changes: ip and ignore_time.
    """

    group_key: str = field(converter=_group_key)
    group_id: str = field(converter=_group_id, repr=hidden)
    changes: tuple[GroupChange, ...]
    time: int | None = field(default=None, converter=time_of)
    options: UpdateOptions = field(default=_NO_OPTIONS, converter=_group_options)

    def __init__(
        self,
        group_key: str,
        group_id: UserId,
        *changes: GroupChange,
        time: Instant | None = None,
        options: UpdateOptions = _NO_OPTIONS,
    ) -> None:
        _check_changes(changes, get_args(GroupChange), "a group")
        self.__attrs_init__(group_key, group_id, changes, time, options)  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


def _charge_properties(properties: Mapping[str, object]) -> Properties:
    return freeze(properties, CHARGE)


def _amount(value: float | Decimal) -> int | float:
    return number(value, "amount")


@frozen
class Charge:
    """
    *distinct_id* paid *amount*; a negative amount is a refund.

    Sent as an append to the list ``$transactions``: applied twice it counts twice, so it is not sent again after an
    answer got lost.

    Attributes:
        distinct_id: Who paid.
        amount: How much, in the currency of the project; a Decimal must be one that a float holds exactly.
        properties: More about this one transaction, at most 252.
        time: When; sent as the transaction's ``$time`` to the second, in UTC. None sends none.
        options: What stands beside the update.
    """

    distinct_id: str = field(converter=_distinct_id, repr=hidden)
    amount: int | float = field(converter=_amount, repr=hidden)
    properties: Properties = field(default=_NO_CHARGE_PROPERTIES, converter=_charge_properties)
    time: int | None = field(default=None, kw_only=True, converter=time_of)
    options: UpdateOptions = field(default=_NO_OPTIONS, kw_only=True, converter=_options)


@frozen
class ClearCharges:
    """
    Forget everything that *distinct_id* ever paid.
    """

    distinct_id: str = field(converter=_distinct_id, repr=hidden)
    time: int | None = field(default=None, kw_only=True, converter=time_of)
    options: UpdateOptions = field(default=_NO_OPTIONS, kw_only=True, converter=_options)


_RAW_OPERATORS_REPEATABLE: Final = {
    "$set": True,
    "$set_once": True,
    "$add": False,
    "$append": False,
    "$union": True,
    "$remove": False,
    "$unset": True,
    "$delete": True,
}
_RAW_OPTIONS: Final = frozenset({"$ip", "$time", "$ignore_time", "$ignore_alias", "$latitude", "$longitude"})


def _raw(update: Mapping[str, object], taken: tuple[str, ...]) -> Properties:
    frozen_update = freeze(update, RAW, "update")
    if not frozen_update:
        raise InvalidValue("update", "at least one operator, such as '$set'", "empty")
    for name in taken:
        if name in frozen_update:
            raise InvalidValue(f"update[{name!r}]", "left out: the library adds it where it belongs", "given")
    return frozen_update


def _raw_people(update: Mapping[str, object]) -> Properties:
    return _raw(update, ("$token", "$distinct_id"))


def _raw_group(update: Mapping[str, object]) -> Properties:
    return _raw(update, ("$token", "$group_key", "$group_id", "$distinct_id"))


def is_repeatable(update: Iterable[str]) -> bool:
    """
    Whether an update with these operators and options may be sent twice. An operator that nobody knows here may be one
    that counts twice when it is sent twice.
    """
    return all(name in _RAW_OPTIONS or _RAW_OPERATORS_REPEATABLE.get(name, False) for name in update)


@frozen
class RawPeopleOp:
    """
    A profile update as it stands on the wire, for operators that are newer than this library.

    Only its JSON is checked; what the operators mean is between you and the server.

    Attributes:
        distinct_id: Whose profile.
        update: The update without ``$token`` and ``$distinct_id``, such as ``{"$set": {"plan": "pro"}}``.
        repeatable: Whether it may be sent again after an answer got lost: True if all operators are known to allow it.
    """

    distinct_id: str = field(converter=_distinct_id, repr=hidden)
    update: Properties = field(converter=_raw_people)

    @property
    def repeatable(self) -> bool:
        return is_repeatable(self.update)


@frozen
class RawGroupOp:
    """
    A group update as it stands on the wire, for operators that are newer than this library; else as `RawPeopleOp`.
    """

    group_key: str = field(converter=_group_key)
    group_id: str = field(converter=_group_id, repr=hidden)
    update: Properties = field(converter=_raw_group)

    @property
    def repeatable(self) -> bool:
        return is_repeatable(self.update)
