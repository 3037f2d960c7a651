"""
What stands on the wire, written a second time and in the plainest way, to hold the library against.
"""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import attrs

from mixwire.core import (
    VERSION,
    Alias,
    Charge,
    ClearCharges,
    Delete,
    Endpoint,
    GroupOp,
    Identify,
    Merge,
    PeopleOp,
    Properties,
    RawGroupOp,
    RawPeopleOp,
    Track,
    Unset,
)


class Unordered(list):
    """The elements of a set, whose order nobody can know."""


def decode(body):
    """JSON read with the standard library; a name that stands twice is an error."""

    def unique(pairs):
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    return json.loads(body, object_pairs_hook=unique)


def says(decoded, expected):
    """Whether decoded JSON says what is expected, to the type and the last digit."""
    if isinstance(expected, Decimal):
        return type(decoded) in (int, float) and Decimal(repr(decoded)) == expected
    if isinstance(expected, Unordered):
        return (
            isinstance(decoded, list)
            and len(decoded) == len(expected)
            and all(any(says(each, one) for each in decoded) for one in expected)
        )
    if isinstance(expected, dict):
        return (
            isinstance(decoded, dict)
            and decoded.keys() == expected.keys()
            and all(says(decoded[name], expected[name]) for name in expected)
        )
    if isinstance(expected, list):
        return isinstance(decoded, list) and len(decoded) == len(expected) and all(map(says, decoded, expected))
    return type(decoded) is type(expected) and repr(decoded) == repr(expected)


def wire_of(value):
    """What a caller's value is on the wire."""
    if isinstance(value, Enum):
        return wire_of(value.value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.replace(tzinfo=None) - value.utcoffset()
        return moment(value)
    if isinstance(value, date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    if isinstance(value, UUID):
        digits = f"{value.int:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    if isinstance(value, Mapping):
        return {name: wire_of(each) for name, each in value.items()}
    if isinstance(value, set | frozenset):
        return Unordered(map(wire_of, value))
    if isinstance(value, list | tuple):
        return [wire_of(each) for each in value]
    if attrs.has(type(value)):
        return {field.name: wire_of(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if dataclasses.is_dataclass(value):
        return {field.name: wire_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def moment(value):
    text = f"{value.year:04}-{value.month:02}-{value.day:02}T{value.hour:02}:{value.minute:02}:{value.second:02}"
    return f"{text}.{value.microsecond:06}" if value.microsecond else text


def seconds(time):
    return time if time < 100_000_000_000 else time // 1000


def _plain(value):
    """What reading a frozen value gives, as plain JSON."""
    if isinstance(value, Properties):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _options(operation):
    options, said = operation.options, {}
    if operation.time is not None:
        said["$time"] = seconds(operation.time)
    if options.ip is not None:
        said["$ip"] = options.ip
    if options.ignore_time:
        said["$ignore_time"] = True
    if options.ignore_alias:
        said["$ignore_alias"] = True
    if options.latitude is not None:
        said |= {"$latitude": options.latitude, "$longitude": options.longitude}
    return said


_OPERATORS = {
    "Set": "$set",
    "SetOnce": "$set_once",
    "Add": "$add",
    "Append": "$append",
    "Union": "$union",
    "Remove": "$remove",
}


def _changes(operation):
    said = {}
    for change in operation.changes:
        if isinstance(change, Unset):
            said["$unset"] = list(change.names)
        elif isinstance(change, Delete):
            said["$delete"] = ""
        else:
            said[_OPERATORS[type(change).__name__]] = _plain(change.properties)
    return said


def _event(operation, project):
    said = {} if operation.distinct_id is None else {"distinct_id": operation.distinct_id}
    said |= {"time": operation.time, "$insert_id": operation.insert_id, "token": project.token}
    given = _plain(operation.properties)
    if "mp_lib" not in given and "$lib_version" not in given:
        said |= {"mp_lib": "mixwire", "$lib_version": VERSION}
    return {"event": operation.event, "properties": said | given}


def expected(operation, project):
    """
    The wire dict of an operation, its endpoint, its keys, whether it is repeatable and whether it is a barrier.
    """
    user = {"$token": project.token}
    match operation:
        case Track():
            endpoint = Endpoint.TRACK if project.events == "track" else Endpoint.IMPORT
            keys = [operation.distinct_id]
            if operation.distinct_id is None:
                keys = [
                    operation.properties[name] for name in ("$user_id", "$device_id") if name in operation.properties
                ]
                keys = [key for key in keys if isinstance(key, str)]
            return _event(operation, project), endpoint, tuple(keys), True, False
        case Alias(alias=alias, distinct_id=distinct_id):
            said = {"distinct_id": distinct_id, "alias": alias, "token": project.token}
            return {"event": "$create_alias", "properties": said}, Endpoint.TRACK, (distinct_id, alias), True, True
        case Identify(identified_id=one, anon_id=other):
            said = {"$identified_id": one, "$anon_id": other, "token": project.token}
            return {"event": "$identify", "properties": said}, Endpoint.TRACK, (one, other), True, True
        case Merge(distinct_id1=one, distinct_id2=other):
            said = {"$distinct_ids": [one, other], "token": project.token}
            return {"event": "$merge", "properties": said}, Endpoint.IMPORT, (one, other), True, True
        case Charge():
            transaction = _plain(operation.properties) | {"$amount": operation.amount}
            if operation.time is not None:
                transaction["$time"] = moment(datetime.fromtimestamp(seconds(operation.time), UTC))
            content, repeatable = {"$append": {"$transactions": transaction}} | _options(operation), False
        case ClearCharges():
            content, repeatable = {"$unset": ["$transactions"]} | _options(operation), True
        case RawPeopleOp() | RawGroupOp():
            content = _plain(operation.update)
            safe = {"$set", "$set_once", "$union", "$unset", "$delete", "$ip", "$time", "$ignore_time"}
            safe |= {"$ignore_alias", "$latitude", "$longitude"}
            repeatable = content.keys() <= safe
        case PeopleOp() | GroupOp():
            content = _changes(operation)
            repeatable = not content.keys() & {"$add", "$append", "$remove"}
            content |= _options(operation)
    if isinstance(operation, GroupOp | RawGroupOp):
        key = (operation.group_key, operation.group_id)
        return user | {"$group_key": key[0], "$group_id": key[1]} | content, Endpoint.GROUPS, (key,), repeatable, False
    user["$distinct_id"] = operation.distinct_id
    return user | content, Endpoint.ENGAGE, (operation.distinct_id,), repeatable, False
