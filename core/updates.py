"""
Updates in the form of the wire, read as operations: ``{"$distinct_id": "u1", "$set": {"plan": "pro"}}``.

Whoever writes updates by hand gets the checks of the typed ones. An update with an operator or an option that is not
known here becomes a raw operation; what is known of it is checked all the same. An update, and what stands at each of
its keys, may be any mapping; deeper inside are values, which have the exact types of `mixwire.core.values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from .changes import Add, Append, Delete, GroupChange, PeopleChange, Remove, Set, SetOnce, Union, Unset
from .errors import InvalidValue, describe
from .profiles import GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from .text import short_name
from .times import seconds, time_of

__all__ = ["Where", "group_operation", "in_message", "people_operation"]

Where: TypeAlias = Callable[[str], str]
"""From a key of the update to the expression that the caller wrote for it, for the sentences of errors."""

_WITH_PROPERTIES: Final[dict[str, type[Set | SetOnce | Add | Append | Union | Remove]]] = {
    kind.operator: kind for kind in (Set, SetOnce, Add, Append, Union, Remove)
}
_OPTIONS: Final = {
    "$ip": "ip",
    "$ignore_time": "ignore_time",
    "$ignore_alias": "ignore_alias",
    "$latitude": "latitude",
    "$longitude": "longitude",
}


def in_message(name: str) -> str:
    """
    Where a key stands in an update that the caller calls ``message``.
    """
    return f"message[{name!r}]"


def people_operation(update: Mapping[str, object], where: Where = in_message) -> PeopleOp | RawPeopleOp:
    """
    The operation that an update of a user's profile says: ``$distinct_id``, operators and options, no ``$token``.

    Raises:
        InvalidValue: If something is missing or cannot be sent; its path is made by *where*.
    """
    rest = _plain(update)
    # Any: what the caller gave is checked by the operation that is made of it.
    distinct_id: Any = _taken(rest, "$distinct_id", where)
    changes, options, is_known = _read(rest, where)
    try:
        time = time_of(cast("Any", rest.get("$time")))
        if changes:
            operation = PeopleOp(distinct_id, *changes, time=time, options=options)
            if is_known:
                return operation
        return RawPeopleOp(distinct_id, rest if time is None else {**rest, "$time": seconds(time)})
    except InvalidValue as fault:
        raise _placed(fault, rest, where) from None


def group_operation(update: Mapping[str, object], where: Where = in_message) -> GroupOp | RawGroupOp:
    """
    The operation that an update of a group says: ``$group_key``, ``$group_id``, operators and options, no ``$token``.

    Raises:
        InvalidValue: If something is missing or cannot be sent; its path is made by *where*.
    """
    rest = _plain(update)
    # Any: as above.
    group_key: Any = _taken(rest, "$group_key", where)
    group_id: Any = _taken(rest, "$group_id", where)
    changes, options, is_known = _read(rest, where)
    try:
        time = time_of(cast("Any", rest.get("$time")))
        # Where nothing else is known, the options are checked with a change that stands for the unknown ones.
        known = cast("tuple[GroupChange, ...]", changes) or (Delete(),)
        operation = GroupOp(group_key, group_id, *known, time=time, options=options)
        if is_known:
            return operation
        return RawGroupOp(group_key, group_id, rest if time is None else {**rest, "$time": seconds(time)})
    except InvalidValue as fault:
        raise _placed(fault, rest, where) from None


def _plain(update: Mapping[str, object]) -> dict[str, object]:
    """
    The update as a dict of dicts, none of them the caller's unless it is a dict already.
    """
    rest = dict(update)
    for name, value in rest.items():
        # Asked of its type, because the value itself may say that it is something else.
        if type(value) is not dict and issubclass(type(value), Mapping):
            rest[name] = dict(cast("Mapping[str, object]", value))
    return rest


def _taken(rest: dict[str, object], name: str, where: Where) -> object:
    if name not in rest:
        raise InvalidValue(where(name), "given", "missing")
    return rest.pop(name)


def _read(rest: dict[str, object], where: Where) -> tuple[tuple[PeopleChange, ...], UpdateOptions, bool]:
    """
    The changes and options of an update, and whether there is nothing else in it.
    """
    changes = tuple(_change(name, rest[name], where) for name in rest if name in _OPERATORS)
    unknown = [name for name in rest if name not in _OPERATORS and name not in _OPTIONS and name != "$time"]
    if not changes and not unknown:
        raise InvalidValue(where("$set"), "given, or another operator", "missing")
    return changes, _options(rest, where), not unknown


def _options(rest: Mapping[str, object], where: Where) -> UpdateOptions:
    """
    The options among the keys of an update.
    """
    # Any: what the caller gave is checked by UpdateOptions.
    given: dict[str, Any] = {
        _OPTIONS[name]: _flag(value) if name in _FLAGS else value for name, value in rest.items() if name in _OPTIONS
    }
    try:
        return UpdateOptions(**given)
    except InvalidValue as fault:
        if fault.path == "latitude and longitude":
            raise fault.at(f"{where('$latitude')} and {where('$longitude')}") from None
        raise fault.at(where(f"${fault.path}")) from None


_FLAGS: Final = frozenset({"$ignore_time", "$ignore_alias"})


def _flag(value: object) -> object:
    """
    A flag, which programs write as text too.
    """
    return {"true": True, "false": False}.get(value.lower(), value) if type(value) is str else value


_OPERATORS: Final = frozenset({*_WITH_PROPERTIES, Unset.operator, Delete.operator})


def _change(operator: str, value: object, where: Where) -> PeopleChange:
    if operator == Delete.operator:
        return Delete()  # whatever stands there: the server does not look
    try:
        if operator == Unset.operator:
            if type(value) is not list and type(value) is not tuple:
                raise InvalidValue("names", "a list of property names", describe(value))
            return Unset(*cast("list[str]", value))
        return _WITH_PROPERTIES[operator](cast("Any", value))
    except InvalidValue as fault:
        root = "names" if operator == Unset.operator else "properties"
        raise fault.at(where(operator) + fault.path.removeprefix(root)) from None


def _placed(fault: InvalidValue, rest: dict[str, object], where: Where) -> InvalidValue:
    """
    The fault of an operation, where the caller wrote what it was made of.
    """
    root, _, inside = fault.path.partition("[")
    if root == "changes" and inside:
        index = int(inside.partition("]")[0])
        return fault.at(where([name for name in rest if name in _OPERATORS][index]))
    if root == "options":
        return fault.at(" and ".join(where(name) for name in rest if name in _OPTIONS))
    if root == "update":
        for name in rest:
            if type(name) is str and inside.startswith(written := f"{short_name(name)}]"):
                return fault.at(where(name) + inside.removeprefix(written))
        return fault
    return fault.at(where(f"${root}"))
