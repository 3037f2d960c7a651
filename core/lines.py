"""
Operations and messages as lines of JSON, and back.

An operation is an object with a ``type``; its other keys are the names of the fields, and what is left out has the
default::

    {"type":"track","event":"Signed Up","distinct_id":"u1","properties":{"plan":"pro"},"time":1767225600000}
    {"type":"people","distinct_id":"u1","changes":[{"type":"set","properties":{"plan":"pro"}}]}

An object without a ``type`` is read as an event in Mixpanel's export format, ``{"event":...,"properties":{...}}``,
whose properties hold distinct_id, time and $insert_id.

A line that cannot be read raises `InvalidValue` with the path of the fault; no line is ever read in part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import orjson
from attrs import fields, has
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

from .changes import Add, Append, Delete, GroupChange, PeopleChange, Remove, Set, SetOnce, Union, Unset
from .errors import InvalidValue, describe
from .events import Track
from .identity import Alias, Identify, Merge
from .messages import Endpoint, Key, Message
from .operations import Operation
from .profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from .properties import JSON, Properties
from .text import short_name

__all__ = ["message_from_line", "message_to_line", "operation_from_line", "operation_to_line"]

_OPERATIONS: Final[dict[str, type[Operation]]] = {
    "track": Track,
    "alias": Alias,
    "identify": Identify,
    "merge": Merge,
    "people": PeopleOp,
    "group": GroupOp,
    "charge": Charge,
    "clear_charges": ClearCharges,
    "raw_people": RawPeopleOp,
    "raw_group": RawGroupOp,
}
_CHANGES: Final[dict[str, type[PeopleChange]]] = {
    "set": Set,
    "set_once": SetOnce,
    "add": Add,
    "append": Append,
    "union": Union,
    "remove": Remove,
    "unset": Unset,
    "delete": Delete,
}
_TAGS: Final[dict[type, str]] = {kind: tag for tags in (_OPERATIONS, _CHANGES) for tag, kind in tags.items()}


def operation_to_line(operation: Operation) -> bytes:
    """
    The operation as one line of JSON, without a line break.
    """
    return orjson.dumps(_CONVERTER.unstructure(operation))


def operation_from_line(line: bytes | str) -> Operation:
    """
    The operation that a line says.

    Raises:
        InvalidValue: If it says none; the path is empty where the line is no JSON object at all.
    """
    record = _object(line)
    if "type" not in record:
        return _from_export(record)
    return cast("Operation", _structure_tagged(record, _OPERATIONS))


def message_to_line(message: Message) -> bytes:
    """
    The message as one line of JSON, without a line break; its body stands in it as an object.
    """
    return orjson.dumps(_CONVERTER.unstructure(message))


def message_from_line(line: bytes | str) -> Message:
    """
    The message that a line says, its body the same bytes as when it was written.

    Raises:
        InvalidValue: If it says none.
    """
    text = _utf8(line)
    record = _decoded(text)
    if record.pop("type", None) != "message":
        raise InvalidValue("type", "'message'", "another value or missing")
    _check_keys(record, {*_MESSAGE_KEYS, "time"}, _MESSAGE_KEYS)
    return _message(record, _members(text)["body"])


def _utf8(line: bytes | str) -> bytes:
    return line.encode(errors="surrogatepass") if isinstance(line, str) else line


def _decoded(text: bytes) -> dict[str, JSON]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidValue("the line", "a JSON object", f"broken JSON at character {error.pos + 1:,}") from None
    if not isinstance(record, dict):
        raise InvalidValue("the line", "a JSON object", f"a JSON {describe(record)}")
    return cast("dict[str, JSON]", record)


def _object(line: bytes | str) -> dict[str, JSON]:
    text = _utf8(line)
    record = _decoded(text)
    # The fast decoder takes the last of two equal keys, and the nearest float for an integer that is too large. Where
    # the text may hold such things, a slower one has another look.
    try:
        if _LONG_NUMBER.search(text) or text.count(b'":') != _count_keys(record):
            record = cast("dict[str, JSON]", json.loads(text, object_pairs_hook=_with_single_keys))
    except RecursionError:
        raise InvalidValue("the line", "a JSON object that is not nested so deep", "a deeper one") from None
    return record


def _members(text: bytes) -> dict[str, bytes]:
    """
    The values of a JSON object as they are written. Not by a decoder, after which numbers and texts are written anew.
    """
    members: dict[str, bytes] = {}
    depth, start, name, last = 0, 0, "", b""
    for token in _TOKENS.finditer(text):
        piece = token[0]
        if depth == 1 and piece == b":":
            name, start = cast("str", orjson.loads(last)), token.end()
            if name in members:
                raise InvalidValue("the line", "a JSON object with each key once", f"one with {short_name(name)} twice")
        elif start and (depth, piece) in _ENDS:
            members[name] = text[start : token.start()].strip()
        last = piece
        depth += _STEPS.get(piece, 0)
        if depth > _MAX_DEPTH:
            raise InvalidValue(name, "an object that is not nested so deep", "a deeper one")
    return members


_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]')
"""Texts, so that what stands in them is passed over, and what opens, closes and parts values."""
_STEPS: Final = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_ENDS: Final = frozenset({(1, b","), (1, b"}")})
_MAX_DEPTH: Final = 255
"""A message in a line, and as deep as the encoder could have written it."""
_MESSAGE_KEYS: Final = frozenset({"endpoint", "keys", "repeatable", "barrier", "body"})
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")


def _count_keys(value: dict[str, JSON] | list[JSON]) -> int:
    count, inside = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    return count + sum(_count_keys(each) for each in inside if isinstance(each, dict | list))


def _with_single_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValue("the line", "a JSON object with each key once", f"one with {short_name(twice)} twice")
    return found


_EXPORT_FIELDS: Final = {"distinct_id": "distinct_id", "time": "time", "$insert_id": "insert_id"}


def _from_export(record: dict[str, JSON]) -> Track:
    _check_keys(record, {"event", "properties"}, {"event", "properties"})
    properties = record["properties"]
    if not isinstance(properties, dict):
        raise InvalidValue("properties", "an object", describe(properties))
    own: dict[str, Any] = {name: properties.pop(key) for key, name in _EXPORT_FIELDS.items() if key in properties}
    for key, name in _EXPORT_FIELDS.items():
        if name in own and own[name] is None:
            raise InvalidValue(f"properties[{key!r}]", "given or left out", "null")
    try:
        return Track(cast("str", record["event"]), properties=properties, **own)
    except InvalidValue as fault:
        for key, name in _EXPORT_FIELDS.items():
            if fault.path == name:
                raise fault.at(f"properties[{key!r}]") from None
        raise


_Structured = TypeVar("_Structured")


def _structure_tagged(record: Mapping[str, JSON], tags: Mapping[str, type[Any]]) -> object:
    rest = dict(record)
    tag = rest.pop("type", None)
    if not isinstance(tag, str) or tag not in tags:
        found = "missing" if tag is None else "an unknown one" if isinstance(tag, str) else describe(tag)
        raise InvalidValue("type", "one of " + ", ".join(map(repr, tags)), found)
    return _structure(rest, tags[tag])


def _structure(record: Mapping[str, JSON], kind: type[_Structured]) -> _Structured:
    names = {field.name for field in fields(cast("Any", kind)) if field.init}
    _check_keys(record, names, frozenset())
    try:
        return _CONVERTER.structure(record, kind)
    except KeyError as missing:
        raise InvalidValue(str(missing.args[0]), "given", "missing") from None


def _check_keys(
    record: Mapping[str, JSON], known: set[str], required: set[str] | frozenset[str], root: str = ""
) -> None:
    try:
        for name in record:
            if name not in known:
                allowed = "one of the known keys: " + ", ".join(sorted(known))
                raise InvalidValue(name if name.isidentifier() else f"[{name[:60]!r}]", allowed, "an unknown one")
        for name in sorted(required):
            if name not in record:
                raise InvalidValue(name, "given", "missing")
    except InvalidValue as fault:
        if not root:
            raise
        raise fault.under(root) from None


def _structure_changes(record: Mapping[str, Any]) -> tuple[Any, ...]:
    changes = record["changes"]
    if not isinstance(changes, list):
        raise InvalidValue("changes", "a list of objects", describe(changes))
    structured: list[object] = []
    for index, change in enumerate(cast("list[object]", changes)):
        if not isinstance(change, dict):
            raise InvalidValue(f"changes[{index}]", "an object", describe(change))
        try:
            structured.append(_structure_tagged(cast("dict[str, JSON]", change), _CHANGES))
        except InvalidValue as fault:
            raise fault.under(f"changes[{index}]") from None
    return tuple(structured)


def _structure_options(record: object, kind: object) -> UpdateOptions:
    if not isinstance(record, dict):
        raise InvalidValue("options", "an object", describe(record))
    options = cast("dict[str, Any]", record)
    try:
        _check_keys(options, {field.name for field in fields(UpdateOptions)}, frozenset())
        return UpdateOptions(**options)
    except InvalidValue as fault:
        raise fault.under("options") from None


def _beside(record: Mapping[str, Any]) -> dict[str, Any]:
    """
    The fields of a profile operation that have a default.
    """
    given = {name: record[name] for name in ("time",) if name in record}
    if "options" in record:
        given["options"] = _structure_options(record["options"], UpdateOptions)
    return given


def _structure_track(record: Mapping[str, Any], kind: object) -> Track:
    return Track(record["event"], **{name: value for name, value in record.items() if name != "event"})


def _structure_people(record: Mapping[str, Any], kind: object) -> PeopleOp:
    return PeopleOp(record["distinct_id"], *_structure_changes(record), **_beside(record))


def _structure_group(record: Mapping[str, Any], kind: object) -> GroupOp:
    changes: tuple[GroupChange, ...] = _structure_changes(record)
    return GroupOp(record["group_key"], record["group_id"], *changes, **_beside(record))


def _structure_unset(record: Mapping[str, Any], kind: object) -> Unset:
    names = record["names"]
    if not isinstance(names, list):
        raise InvalidValue("names", "a list of property names", describe(names))
    return Unset(*cast("list[str]", names))


def _message(record: Mapping[str, Any], written: bytes) -> Message:
    endpoint, body, keys = record["endpoint"], record["body"], record["keys"]
    if not isinstance(endpoint, str) or endpoint not in _ENDPOINTS:
        raise InvalidValue("endpoint", "one of " + ", ".join(map(repr, _ENDPOINTS)), "another value")
    if not isinstance(body, dict):
        raise InvalidValue("body", "an object", describe(body))
    flags = {name: record[name] for name in ("repeatable", "barrier")}
    for name, value in flags.items():
        if type(value) is not bool:
            raise InvalidValue(name, "true or false", describe(value))
    time = record.get("time")
    if time is not None and type(time) is not int:
        raise InvalidValue("time", "milliseconds since 1970, an int", describe(time))
    structured = _structure_keys(keys)
    if _ENDPOINTS[endpoint] in (Endpoint.TRACK, Endpoint.IMPORT):
        _check_keys(cast("dict[str, JSON]", body), {"event", "properties"}, {"event", "properties"}, "body")
        if not isinstance(body["properties"], dict):
            raise InvalidValue("body.properties", "an object", describe(cast("object", body["properties"])))
    # In sound JSON a line break can only stand between values, never inside of one.
    written = written.replace(b"\r", b" ").replace(b"\n", b" ")
    return Message(_ENDPOINTS[endpoint], written, structured, time=time, **flags)


def _structure_keys(keys: object) -> tuple[Key, ...]:
    if not isinstance(keys, list):
        raise InvalidValue("keys", "a list", describe(keys))
    structured: list[Key] = []
    for index, key in enumerate(cast("list[object]", keys)):
        if isinstance(key, str):
            structured.append(key)
        elif isinstance(key, list) and list(map(type, cast("list[object]", key))) == [str, str]:
            group_key, group_id = cast("list[str]", key)
            structured.append((group_key, group_id))
        else:
            raise InvalidValue(
                f"keys[{index}]",
                "a str, or a list of group_key and group_id",
                describe(key),  # pyright: ignore[reportUnknownArgumentType]
            )
    return tuple(structured)


_ENDPOINTS: Final = {endpoint.name.lower(): endpoint for endpoint in Endpoint}


def _unstructure_message(message: Message) -> dict[str, object]:
    return {
        "type": "message",
        "endpoint": message.endpoint.name.lower(),
        "keys": message.keys,
        "repeatable": message.repeatable,
        "barrier": message.barrier,
        "time": message.time,
        "body": orjson.Fragment(message.body),
    }


def _tagged(kind: type[Any], converter: Converter) -> Callable[[Any], dict[str, Any]]:
    untagged = make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=True)

    def unstructure(value: Any) -> dict[str, Any]:
        given = {name: each for name, each in untagged(value).items() if each is not None}
        return {"type": _TAGS[kind], **given}

    return unstructure


def _as_it_is(value: Any, kind: object) -> Any:
    return value


def _converter() -> Converter:
    """
    A converter that hands plain values to the constructors as they are: those check, and know the sentences.
    """
    converter = Converter(detailed_validation=False)
    converter.register_structure_hook_func(lambda kind: not has(kind), _as_it_is)
    for scalar in (str, int, float, bool):
        converter.register_structure_hook(scalar, _as_it_is)
    converter.register_unstructure_hook(Properties, lambda properties: properties.thaw())
    irregular: dict[type, Callable[[Any, Any], Any]] = {
        Track: _structure_track,
        PeopleOp: _structure_people,
        GroupOp: _structure_group,
        Unset: _structure_unset,
        UpdateOptions: _structure_options,
    }
    for kind, hook in irregular.items():
        converter.register_structure_hook(kind, hook)
    for kind in _TAGS:
        if kind not in irregular:
            converter.register_structure_hook(kind, cast("Any", make_dict_structure_fn)(kind, converter))
    converter.register_unstructure_hook(
        UpdateOptions, make_dict_unstructure_fn(UpdateOptions, converter, _cattrs_omit_if_default=True)
    )
    for kind in _TAGS:
        converter.register_unstructure_hook(kind, _tagged(kind, converter))
    converter.register_unstructure_hook(Message, _unstructure_message)
    return converter


_CONVERTER: Final = _converter()
