"""
What an update does to a profile, of a user or of a group.

Source: https://docs.mixpanel.com/reference/profile-set and its neighbours; where these are silent the emulator decides
and says so beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Final

from attrs import frozen

from ..core import JSON, Endpoint
from .state import Profile
from .validation import cleaned, to_json

__all__ = ["MAX_PROPERTIES", "OPERATORS", "Applied", "TooManyProperties", "apply", "problem", "same"]

OPERATORS: Final = ("$delete", "$unset", "$set", "$set_once", "$add", "$union", "$append", "$remove")
"""All of them, in the order in which the emulator applies several; Mixpanel's own order is not documented."""

MAX_PROPERTIES: Final = 2000
"""So many properties can a profile have."""

_MAX_UPDATE_BYTES: Final = 1_000_000
_OPTIONS: Final = frozenset({"$ip", "$time", "$ignore_time", "$ignore_alias", "$latitude", "$longitude"})
_KNOWN: Final = frozenset({"$token", "$distinct_id", "$group_key", "$group_id", *OPERATORS, *_OPTIONS})


def problem(update: JSON, endpoint: Endpoint) -> str:
    """
    Why *update* is invalid, or nothing.
    """
    if not isinstance(update, dict):
        return "data, missing or empty"
    if not _is_given(update.get("$token")):
        return "$token, missing or empty"
    if endpoint is Endpoint.GROUPS:
        if "$distinct_id" in update:
            return "$distinct_id, not allowed for groups"
        for name in ("$group_key", "$group_id"):
            if not _is_given(update.get(name)):
                return f"{name}, missing or empty"
    else:
        distinct_id = update.get("$distinct_id")
        # Ids that are numbers are read as text.
        is_number = isinstance(distinct_id, int | float) and not isinstance(distinct_id, bool)
        if not is_number and not _is_given(distinct_id):
            return "$distinct_id, missing or empty"
    operators = [name for name in OPERATORS if name in update]
    if not operators:
        return "no operation"
    for operator in operators:
        if not _ALLOWED[operator](update[operator]):
            return f"{operator}, must be {_WANTED[operator]}"
    if len(to_json(update)) > _MAX_UPDATE_BYTES:
        return "the update exceeds max limit of 1000000 bytes"
    return ""


def _is_given(value: JSON) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(value: JSON) -> bool:
    return isinstance(value, dict)


def _is_numbers(value: JSON) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_lists(value: JSON) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, list) and each and all(isinstance(one, str) or _is_number(one) for one in each)
        for each in value.values()
    )


def _is_names(value: JSON) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


def _is_anything(value: JSON) -> bool:
    return True


_ALLOWED: Final[dict[str, Callable[[JSON], bool]]] = {
    "$delete": _is_anything,
    "$unset": _is_names,
    "$set": _is_object,
    "$set_once": _is_object,
    "$add": _is_numbers,
    "$union": _is_lists,
    "$append": _is_object,
    "$remove": _is_object,
}
_WANTED: Final = {
    "$unset": "a list of names",
    "$set": "an object",
    "$set_once": "an object",
    "$add": "an object of numbers",
    "$union": "an object of lists of strings and numbers",
    "$append": "an object",
    "$remove": "an object",
}


@frozen(kw_only=True)
class Applied:
    """
    What an update led to.

    Attributes:
        profile: After it; None if there is none.
        notes: What is to be said about it, one sentence each.
        ignored: What had no effect and why, one sentence each.
        is_change: Whether anything else had one.
    """

    profile: Profile | None
    notes: tuple[str, ...]
    ignored: tuple[str, ...]
    is_change: bool


class TooManyProperties(Exception):
    """
    A profile would have more properties than it can.
    """


def apply(
    profile: Profile | None, update: dict[str, JSON], endpoint: Endpoint, place: dict[str, JSON], now: int
) -> Applied:
    """
    Let a valid *update* take effect.

    Args:
        profile: Before, or None if there is none. It is not changed.
        update: As it came.
        endpoint: /engage or /groups.
        place: City, region and country that follow from the address, or nothing.
        now: The server's clock, in milliseconds since the epoch.

    Raises:
        TooManyProperties: If the profile would have more than 2,000; then nothing of the update counts.
    """
    notes = [f"{name!r} is not known and was ignored" for name in update if name not in _KNOWN]
    ignored: list[str] = []
    operators = [name for name in OPERATORS if name in update]
    if len(operators) > 1:
        order = ", ".join(operators)
        notes.append(f"several operators in one update: applied in the order {order}, Mixpanel's is not documented")
    properties = dict(profile.properties) if profile is not None else {}
    is_there, is_change = profile is not None, False
    for operator in operators:
        if operator == "$delete":
            if not is_there:
                ignored.append("$delete: there is no such profile")
            is_change = is_there
            is_there, profile, properties = False, None, {}
            continue
        if endpoint is Endpoint.GROUPS and operator in ("$add", "$append"):
            ignored.append(f"{operator} is not available for groups")
            continue
        if operator in _CREATING and not is_there:
            is_there = is_change = True
        operand, cut = _operand(operator, update[operator])
        notes += cut
        for name, value in operand.items():
            if why := _CHANGES[operator](properties, name, value):
                ignored.append(f"{operator}[{name[:40]!r}]: {why}")
            else:
                is_change = True
    if not is_there:
        return Applied(profile=None, notes=tuple(notes), ignored=tuple(ignored), is_change=is_change)
    given = update.get("$set")
    explicit = given if isinstance(given, dict) else {}
    located = properties | {name: value for name, value in place.items() if name not in explicit}
    most = max(MAX_PROPERTIES, len(profile.properties) if profile is not None else 0)
    if len(properties) > most:
        raise TooManyProperties
    # Where somebody is must not be the reason for a refusal.
    if len(located) <= most:
        properties = located
    last_seen = profile.last_seen if profile is not None else None
    if update.get("$ignore_time") is not True:
        last_seen = now
    after = Profile(properties=properties, last_seen=last_seen)
    return Applied(profile=after, notes=tuple(notes), ignored=tuple(ignored), is_change=is_change)


_CREATING: Final = frozenset({"$set", "$set_once", "$add", "$append", "$union"})


def _operand(operator: str, operand: JSON) -> tuple[dict[str, JSON], tuple[str, ...]]:
    if operator == "$unset":
        assert isinstance(operand, list)
        # Names are compared as they were stored.
        return cleaned({str(name): None for name in operand}, operator)
    assert isinstance(operand, dict)
    return cleaned(operand, operator)


def _set(properties: dict[str, JSON], name: str, value: JSON) -> str:
    properties[name] = value
    return ""


def _set_once(properties: dict[str, JSON], name: str, value: JSON) -> str:
    if name in properties:
        return "the profile has this property already"
    properties[name] = value
    return ""


def _add(properties: dict[str, JSON], name: str, value: JSON) -> str:
    old = properties.get(name, 0)
    if isinstance(old, bool) or not isinstance(old, int | float):
        return "what the profile has there is no number"
    assert isinstance(value, int | float)
    try:
        total = old + value
        if isfinite(total):
            properties[name] = total
            return ""
    except OverflowError:
        pass
    return "the sum is too large"


def _append(properties: dict[str, JSON], name: str, value: JSON) -> str:
    old = properties.get(name, [])
    if not isinstance(old, list):
        return "what the profile has there is no list"
    properties[name] = [*old, value]
    return ""


def _union(properties: dict[str, JSON], name: str, value: JSON) -> str:
    old = properties.get(name, [])
    if not isinstance(old, list):
        return "what the profile has there is no list"
    assert isinstance(value, list)
    there = dict.fromkeys(_plain(old))
    new = [each for each in dict.fromkeys(_plain(value)) if each not in there]
    if not new:
        return "the list holds all of it already"
    properties[name] = [*old, *new]
    return ""


def _plain(values: list[JSON]) -> list[str | int | float]:
    """
    The strings and the numbers in a list, which can be looked up.
    """
    return [each for each in values if isinstance(each, str | int | float) and not isinstance(each, bool)]


def _remove(properties: dict[str, JSON], name: str, value: JSON) -> str:
    if name not in properties:
        return "the profile has no such property"
    old = properties[name]
    if not isinstance(old, list):
        return "what the profile has there is no list"
    # All of them: whether Mixpanel takes out one or all is not documented.
    left = [each for each in old if not same(each, value)]
    if len(left) == len(old):
        return "the list does not hold it"
    properties[name] = left
    return ""


def _unset(properties: dict[str, JSON], name: str, _: JSON) -> str:
    if name not in properties:
        return "the profile has no such property"
    del properties[name]
    return ""


_CHANGES: Final[dict[str, Callable[[dict[str, JSON], str, JSON], str]]] = {
    "$unset": _unset,
    "$set": _set,
    "$set_once": _set_once,
    "$add": _add,
    "$union": _union,
    "$append": _append,
    "$remove": _remove,
}


def same(one: JSON, other: JSON) -> bool:
    """
    Whether two JSON values are equal, their types included: ``true`` is not 1, and 1 is 1.0.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return one == other
