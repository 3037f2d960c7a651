"""
What /import?strict=1 refuses about an event, and what storing an event or a profile cuts off.

Written from the published rules, not from the checks of `mixwire.core`, so that one can be held against the other.
Source: https://docs.mixpanel.com/reference/import-events
"""

from __future__ import annotations

import json
import re
from math import floor
from typing import Final, Literal, cast

import orjson
from attrs import frozen

from ..core import JSON
from ..core.limits import PLACEHOLDERS

__all__ = [
    "IDENTITY_EVENTS",
    "MAX_CHARACTERS",
    "Refusal",
    "as_text",
    "cleaned",
    "encodable",
    "identity_refusal",
    "milliseconds",
    "refusal",
    "to_json",
]

IDENTITY_EVENTS: Final = frozenset({"$create_alias", "$identify", "$merge"})
"""The commands that join ids."""

MAX_CHARACTERS: Final = 255
"""Longer strings and names are cut to this length."""

_SECONDS_BELOW: Final = 100_000_000_000
_FARTHEST_MS: Final = 2**53
_EARLIEST_MS: Final = 31_536_000_000
_HOUR_MS: Final = 3_600_000
_MAX_EVENT_BYTES: Final = 999_999
_MOST: Final = 254
_MAX_DEPTH: Final = 3
_MAX_INSERT_ID: Final = 36
_INSERT_ID: Final = re.compile(r"[A-Za-z0-9-]*")


@frozen
class Refusal:
    """
    Why a record is invalid.

    Attributes:
        field: Where, as /import names it; empty for the record as a whole.
        message: What is wrong, without the value.
    """

    field: str
    message: str


def to_json(value: JSON) -> bytes:
    """
    *value* as JSON in UTF-8; what cannot be encoded becomes a question mark.
    """
    try:
        # Copied, because what orjson gives keeps the whole buffer that it was made in.
        return b"".join((orjson.dumps(value), b""))
    except TypeError:
        # Integers beyond 64 bits, and strings that are no valid text.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def encodable(text: str) -> str:
    """
    *text* with a question mark for each lone surrogate.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def as_text(value: JSON) -> str:
    """
    An id as text: numbers are read as text, anything else is none and gives nothing.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def milliseconds(time: JSON) -> int | None:
    """
    A time in seconds or milliseconds since the epoch as milliseconds; None if it is no number.
    """
    if isinstance(time, bool) or not isinstance(time, int | float):
        return None
    at = time * 1000 if time < _SECONDS_BELOW else time
    # Farther away nothing is told apart, and a float may have become infinite. What is younger than the millisecond
    # that has begun is not rounded up into the future.
    return floor(round(max(-_FARTHEST_MS, min(at, _FARTHEST_MS)), 3))


def refusal(record: JSON, id_system: Literal["original", "simplified"], now: int) -> Refusal | None:
    """
    The first rule that *record* breaks under /import?strict=1, or None.

    Args:
        record: What stands where an event belongs.
        id_system: Of the project.
        now: The server's clock, in milliseconds since the epoch.
    """
    event = record.get("event") if isinstance(record, dict) else None
    if not isinstance(event, str) or not event.strip():
        return Refusal("event", "'event' must not be missing or blank")
    properties = cast("dict[str, JSON]", record).get("properties")
    if not isinstance(properties, dict):
        return Refusal("properties", "'properties' is invalid: must be an object")
    if event in IDENTITY_EVENTS:
        # The minimal documented form has neither time nor insert_id.
        return identity_refusal(event, properties)
    return (
        _about_time(properties, now)
        or _about_distinct_id(properties, id_system)
        or _about_insert_id(properties)
        or _about_text(event, properties)
        or _about_size(cast("dict[str, JSON]", record), properties)
    )


def identity_refusal(event: str, properties: dict[str, JSON]) -> Refusal | None:
    """
    What an identity command lacks, or None.
    """
    if event == "$merge":
        ids = properties.get("$distinct_ids")
        if isinstance(ids, list) and len(ids) == 2 and all(isinstance(each, str) and each for each in ids):
            return None
        return Refusal("properties.$distinct_ids", "$distinct_ids, must be two ids")
    for name in ("distinct_id", "alias") if event == "$create_alias" else ("$identified_id", "$anon_id"):
        value = properties.get(name)
        if not isinstance(value, str) or not value:
            return Refusal(f"properties.{name}", f"{name}, missing or empty")
    return None


def _invalid(name: str, reason: str) -> Refusal:
    return Refusal(f"properties.{name}", f"'properties.{name}' is invalid: {reason}")


def _about_time(properties: dict[str, JSON], now: int) -> Refusal | None:
    time = properties.get("time")
    if time is None:
        return _invalid("time", "must not be missing")
    at = milliseconds(time)
    if at is None:
        return _invalid("time", "must be specified as seconds since epoch")
    if at < _EARLIEST_MS:
        return _invalid("time", "must not be before 1971")
    if at > now + _HOUR_MS:
        return _invalid("time", "must not be in the future")
    return None


def _about_distinct_id(properties: dict[str, JSON], id_system: Literal["original", "simplified"]) -> Refusal | None:
    if "distinct_id" not in properties:
        has_other = any(isinstance(properties.get(name), str) for name in ("$device_id", "$user_id"))
        return None if id_system == "simplified" and has_other else _invalid("distinct_id", "must not be missing")
    distinct_id = properties["distinct_id"]
    if distinct_id is None or isinstance(distinct_id, bool | list | dict):
        return _invalid("distinct_id", "must be a string")
    return _invalid("distinct_id", "must not be a placeholder") if _is_placeholder(as_text(distinct_id)) else None


def _about_insert_id(properties: dict[str, JSON]) -> Refusal | None:
    insert_id = properties.get("$insert_id")
    message = ""
    if insert_id is None:
        message = "must not be missing"
    elif not isinstance(insert_id, str):
        message = "must be a string"
    elif _INSERT_ID.fullmatch(insert_id) is None:
        message = "must only contain alphanumeric or hyphen '-' characters"
    elif not 1 <= len(insert_id) <= _MAX_INSERT_ID:
        message = "must have 1 to 36 bytes"
    elif _is_placeholder(insert_id):
        message = "must not be a placeholder"
    return Refusal("$insert_id", f"'$insert_id' is invalid: {message}") if message else None


def _is_placeholder(text: str) -> bool:
    return text.strip().lower() in PLACEHOLDERS


def _about_text(event: str, properties: dict[str, JSON]) -> Refusal | None:
    try:
        # Nearly always all is well, and this finds out at once.
        orjson.dumps((event, properties))
    except TypeError:
        pass
    else:
        return None
    if not _is_text(event):
        return Refusal("event", "'event' is invalid: string should be valid utf8")
    for name, value in properties.items():
        if not _is_text(name) or not _is_text(value):
            shown = name.encode("utf-8", "replace").decode()
            return Refusal(f"properties.{shown}", f"properties.{shown} is invalid: string should be valid utf8")
    return None


def _is_text(value: JSON) -> bool:
    if isinstance(value, str):
        if value.isascii():
            return True
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    elif isinstance(value, list):
        for each in value:
            if not _is_text(each):
                return False
    elif isinstance(value, dict):
        for name, each in value.items():
            if not _is_text(name) or not _is_text(each):
                return False
    return True


def _about_size(record: dict[str, JSON], properties: dict[str, JSON]) -> Refusal | None:
    if len(to_json(record)) > _MAX_EVENT_BYTES:
        return Refusal("", "the event is invalid: must be smaller than 1 MB")
    if len(properties) > _MOST:
        return Refusal("properties", "'properties' is invalid: must have fewer than 255 properties")
    for name, value in properties.items():
        if isinstance(value, dict | list) and (reason := _shape_fault(value, 0, must_be_flat=False)):
            return _invalid(name, reason)
    return None


def _shape_fault(value: JSON, depth: int, *, must_be_flat: bool) -> str:
    if isinstance(value, dict):
        if len(value) > _MOST:
            return "objects must have fewer than 255 keys"
        if depth == _MAX_DEPTH:
            return "objects must not be nested deeper than 3"
        if must_be_flat:
            for each in value.values():
                if isinstance(each, dict | list):
                    return "objects in a list must be flat"
        for each in value.values():
            if reason := _shape_fault(each, depth + 1, must_be_flat=False):
                return reason
    elif isinstance(value, list):
        if len(value) > _MOST:
            return "lists must have fewer than 255 elements"
        for each in value:
            if reason := _shape_fault(each, depth, must_be_flat=True):
                return reason
    return ""


def cleaned(properties: dict[str, JSON], path: str) -> tuple[dict[str, JSON], tuple[str, ...]]:
    """
    *properties* as they are stored, with a sentence for each thing that was trimmed or cut off.

    Args:
        properties: By name. They are not changed.
        path: Where they stand, for the sentences.
    """
    notes: list[str] = []
    kept: dict[str, JSON] = {}
    for name, value in properties.items():
        if name[:1] <= " " or name[-1:] <= " " or len(name) > MAX_CHARACTERS:
            name = _clean_name(name, path, notes)  # noqa: PLW2901  # the name as it is from here on
        kept[name] = value if value is None or isinstance(value, bool | int | float) else _cut(value, path, name, notes)
    return kept, tuple(notes)


def _clean_name(name: str, path: str, notes: list[str]) -> str:
    trimmed = name.strip()
    if trimmed != name:
        notes.append(f"{path}[{trimmed[:40]!r}]: white space around its name was trimmed")
    if len(trimmed) > MAX_CHARACTERS:
        notes.append(f"{path}[{trimmed[:40] + '…'!r}]: its name was truncated from {len(trimmed):,} to 255 characters")
    return trimmed[:MAX_CHARACTERS]


def _cut(value: JSON, path: str, name: str, notes: list[str]) -> JSON:
    if isinstance(value, str):
        if len(value) <= MAX_CHARACTERS:
            return value
        notes.append(f"{path}[{name[:40]!r}] was truncated from {len(value):,} to 255 characters")
        return value[:MAX_CHARACTERS]
    if isinstance(value, list):
        return [_cut(each, path, name, notes) for each in value]
    if isinstance(value, dict):
        if any(len(inner) > MAX_CHARACTERS for inner in value):
            notes.append(f"{path}[{name[:40]!r}]: a name inside was truncated to 255 characters")
        return {inner[:MAX_CHARACTERS]: _cut(each, path, name, notes) for inner, each in value.items()}
    return value
