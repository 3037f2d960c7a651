"""
Messages that somebody else encoded: JSON that another client, a log or a queue holds.

Their bytes stay as they are. What `encode` knows of a message is read from the JSON instead: whom it is about, whether
it may be sent twice, whether others may overtake it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final, cast

import orjson

from .errors import InvalidValue, LimitExceeded, describe
from .limits import EVENT_BYTES, UPDATE_BYTES
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
_BETWEEN: Final = re.compile(r"[\s,]*")


def messages_from_json(endpoint: Endpoint, text: str | bytes) -> tuple[Message, ...]:
    """
    The messages that *text* holds: one JSON object, or a list of some. White space around it does not matter.

    An event without ``$insert_id`` or ``time`` counts twice when it is sent twice, so it is not repeatable.

    Raises:
        InvalidValue: If it is something else; the sentence does not repeat it.
        LimitExceeded: If a message is larger than the server takes.
    """
    if not isinstance(text, str | bytes):  # pyright: ignore[reportUnnecessaryIsInstance]  # a queue may hold anything
        raise InvalidValue(_ROOT, "a str of JSON", describe(cast("object", text)))
    body = utf8(text, _ROOT).encode() if isinstance(text, str) else text
    # A line break can only stand between the values of JSON, never inside of one.
    body = body.strip().replace(b"\r", b" ").replace(b"\n", b" ")
    if not body.startswith(b"["):
        return (_message(endpoint, body, _ROOT),)
    _parsed(body, _ROOT)
    return tuple(_message(endpoint, each, f"{_ROOT}[{index}]") for index, each in enumerate(_elements(body.decode())))


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


def _elements(text: str) -> Iterator[bytes]:
    """
    The elements of a JSON list, as they are written.
    """
    decoder, start = json.JSONDecoder(), 1
    while (start := cast("re.Match[str]", _BETWEEN.match(text, start)).end()) < len(text) - 1:
        _, end = decoder.raw_decode(text, start)
        yield text[start:end].encode()
        start = end


def _parsed(body: bytes, path: str) -> JSON:
    try:
        return cast("JSON", orjson.loads(body))
    except orjson.JSONDecodeError:
        pass
    # Raised out here, because the exception of the decoder holds the text.
    raise InvalidValue(path, "a JSON object", "broken JSON")


def _message(endpoint: Endpoint, body: bytes, path: str) -> Message:
    record = _parsed(body, path)
    if not isinstance(record, dict):
        raise InvalidValue(path, "a JSON object", f"a JSON {describe(record)}")
    limit = EVENT_BYTES if endpoint in _EVENTS else UPDATE_BYTES
    # Escapes and spaces may make a longer text of a message that fits.
    if len(body) > limit.maximum and (size := len(orjson.dumps(record))) > limit.maximum:
        raise LimitExceeded(path, limit, size)
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
    repeatable = barrier or (bool(properties.get("$insert_id")) and time is not None)
    return Message(endpoint, body, tuple(keys), repeatable, barrier, _milliseconds(time))


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
