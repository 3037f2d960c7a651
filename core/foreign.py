"""
Messages that somebody else encoded: JSON that another client, a log or a queue holds.

Their bytes stay as they are. What `encode` knows of a message is read from the JSON instead: whom it is about, whether
it may be sent twice, whether others may overtake it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, cast

import orjson

from .errors import InvalidValue, LimitExceeded, describe
from .ids import insert_id_of
from .limits import EVENT_BYTES, NESTING, UPDATE_BYTES
from .messages import Endpoint, Key, Message
from .profiles import is_repeatable
from .properties import JSON
from .text import utf8
from .times import milliseconds, time_of

__all__ = ["messages_from_json", "token_of"]

_ROOT: Final = "json_message"
_EVENTS: Final = frozenset({Endpoint.TRACK, Endpoint.IMPORT})
_BARRIERS: Final = frozenset({"$create_alias", "$identify", "$merge"})
_IDS: Final = ("distinct_id", "$user_id", "$device_id", "alias", "$identified_id", "$anon_id")
_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]')
"""Texts, so that what stands in them is passed over, and what opens, closes and parts values."""
_STEPS: Final = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_MAX_DEPTH: Final = 3 + NESTING.maximum
"""A list, a message in it, its properties or an operator, and what values may hold."""


def messages_from_json(endpoint: Endpoint, text: str | bytes) -> tuple[Message, ...]:
    """
    The messages that *text* holds: one JSON object, or a list of some. White space around it does not matter.

    An event without a ``time`` and a sound ``$insert_id`` counts twice when it is sent twice: it is not repeatable.

    Raises:
        InvalidValue: If it is something else; the sentence does not repeat it.
        LimitExceeded: If a message is larger than the server takes.
    """
    if not isinstance(text, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  # a queue may hold anything
        raise InvalidValue(_ROOT, "a str of JSON", describe(cast("object", text)))
    body = utf8(text, _ROOT).encode() if isinstance(text, str) else text
    body = body.strip()
    said = _parsed(body, _ROOT)
    # In sound JSON a line break can only stand between values, never inside of one.
    body = body.replace(b"\r", b" ").replace(b"\n", b" ")
    if not isinstance(said, list):
        if body.count(b"[") + body.count(b"{") >= _MAX_DEPTH:
            (body,) = _elements(b"[%b]" % body)
        return (_message(endpoint, body, said, _ROOT),)
    return tuple(
        _message(endpoint, each, record, f"{_ROOT}[{index}]")
        for index, (each, record) in enumerate(zip(_elements(body), said, strict=True))
    )


def token_of(message: Message) -> str | None:
    """
    The project token that a message names; None if it names none.
    """
    record = message.to_wire()
    token = record.get("$token")
    properties = record.get("properties")
    if message.endpoint in _EVENTS and isinstance(properties, dict):
        token = properties.get("token")
    return token if isinstance(token, str) else None


def _elements(body: bytes) -> Iterator[bytes]:
    """
    The elements of a JSON list, as they are written. Not by a decoder, which would write numbers anew, and goes as deep
    into the stack as the text is nested.
    """
    depth, start = 0, 1
    for token in _TOKENS.finditer(body):
        depth += _STEPS.get(token[0], 0)
        if depth > _MAX_DEPTH:
            raise LimitExceeded(_ROOT, NESTING, depth - 3)
        if depth == 1 and token[0] == b",":
            yield body[start : token.start()].strip()
            start = token.end()
    if last := body[start:-1].strip():
        yield last


def _parsed(body: bytes, path: str) -> JSON:
    try:
        return cast("JSON", orjson.loads(body))
    except orjson.JSONDecodeError:
        pass
    # Raised out here, because the exception of the decoder holds the text.
    raise InvalidValue(path, "a JSON object", "broken JSON")


def _message(endpoint: Endpoint, body: bytes, record: JSON, path: str) -> Message:
    if not isinstance(record, dict):
        raise InvalidValue(path, "a JSON object", f"a JSON {describe(record)}")
    limit = EVENT_BYTES if endpoint in _EVENTS else UPDATE_BYTES
    # Escapes and spaces may make a longer text of a message that fits.
    if len(body) > limit.maximum:
        body = orjson.dumps(record)
        if len(body) > limit.maximum:
            raise LimitExceeded(path, limit, len(body))
    if endpoint in _EVENTS:
        return _event(endpoint, body, record, path)
    names = ("$distinct_id",) if endpoint is Endpoint.ENGAGE else ("$group_key", "$group_id")
    ids = tuple(_id(record, name, path) for name in names)
    key: Key = ids[0] if len(ids) == 1 else (ids[0], ids[1])
    update = {name: value for name, value in record.items() if name not in ("$token", *names)}
    return Message(endpoint, body, (key,), is_repeatable(update))


def _event(endpoint: Endpoint, body: bytes, record: dict[str, JSON], path: str) -> Message:
    event, properties = record.get("event"), record.get("properties")
    if not isinstance(event, str):
        raise InvalidValue(f"{path}['event']", "the name of an event", describe(event))
    if not isinstance(properties, dict):
        raise InvalidValue(f"{path}['properties']", "a JSON object", describe(properties))
    barrier = event in _BARRIERS
    keys: list[Key] = [str(properties[name]) for name in _IDS if properties.get(name) not in (None, "")]
    ids = properties.get("$distinct_ids")
    if barrier and isinstance(ids, list):
        keys.extend(map(str, ids))
    time = properties.get("time")
    repeatable = barrier or (time is not None and _is_insert_id(properties.get("$insert_id")))
    return Message(endpoint, body, tuple(keys), repeatable, barrier, _milliseconds(time))


def _is_insert_id(value: JSON) -> bool:
    try:
        return isinstance(value, str) and insert_id_of(value) is not None
    except InvalidValue:
        return False


def _milliseconds(time: JSON) -> int | None:
    """
    The time of an event; None where the server reads what we do not, such as text.
    """
    try:
        kept = time_of(time) if isinstance(time, int | float) and not isinstance(time, bool) else None
    except InvalidValue:
        return None
    return None if kept is None else milliseconds(kept)


def _id(record: dict[str, JSON], name: str, path: str) -> str:
    value = record.get(name)
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise InvalidValue(f"{path}[{name!r}]", "an id, a str or an int", describe(value) if value != "" else "empty")
    return str(value)
