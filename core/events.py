"""
Something happened: `Track`.

Mixpanel recognises a repeated event by event, distinct_id, time and insert_id, all four to the byte
(https://docs.mixpanel.com/reference/event-deduplication), so an event keeps them as they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring as _quote
from typing import Final, TypeVar, cast
from uuid import UUID

from attrs import define, field, frozen

from .errors import InvalidValue, describe
from .ids import UserId, insert_id_of, user_id
from .library import LIBRARY, VERSION
from .limits import DISTINCT_ID_CHARACTERS, EARLIEST_SECONDS, INSERT_ID_BYTES, LATEST_MILLISECONDS, PLACEHOLDERS
from .properties import Properties
from .shapes import EVENT
from .text import hidden, utf8
from .times import Instant, time_of
from .values import freeze, snapshot

__all__ = ["Track", "track_of"]

_IDENTITY_EVENTS: Final = {"$create_alias": "Alias", "$identify": "Identify", "$merge": "Merge"}
_NO_PROPERTIES: Final = freeze({}, EVENT)
_END: Final = f',"mp_lib":"{LIBRARY}","$lib_version":"{VERSION}",'
"""What comes between an event's own fields and its properties; a copy of foreign data names its library itself."""
_MAX_ID: Final = DISTINCT_ID_CHARACTERS.maximum
_MAX_INSERT_ID: Final = INSERT_ID_BYTES.maximum
_new: Final = object.__new__


_AnyTrack = TypeVar("_AnyTrack", bound="_TrackLayout")


@define(init=False, eq=False, repr=False)
class _TrackLayout:
    event: str
    distinct_id: str | None = field(repr=hidden)
    properties: Properties
    time: int | None
    insert_id: str | None
    head: bytes = field(init=False, eq=False, repr=False)
    json: bytes = field(init=False, eq=False, repr=False)
    names_library: bool = field(init=False, eq=False, repr=False)


_read_properties: Final = _TrackLayout.__dict__["properties"].__get__
_write_properties: Final = _TrackLayout.__dict__["properties"].__set__


def _properties(track: Track) -> Properties:
    try:
        return cast("Properties", _read_properties(track))
    except AttributeError:
        made = Properties.of(track.json, EVENT, names_library=track.names_library)
        _write_properties(track, made)
        return made


def _with_properties_on_demand(kind: type[_AnyTrack]) -> type[_AnyTrack]:
    """
    Few events are ever asked for their properties: they are made when one is.

    A decorator outside of attrs, which takes a property of this name for the default of the field.
    """
    setattr(kind, "properties", property(_properties))  # noqa: B010  # type checkers hold it to be the field
    return kind


@_with_properties_on_demand
@frozen(init=False)  # pyright: ignore[reportGeneralTypeIssues]  # see the end of track_of
class Track(_TrackLayout):
    """
    An event: *distinct_id* did *event*, with these properties.

    Attributes:
        event: The name of what happened; not blank, best at most 255 characters.
        distinct_id: Who did it, at most 255 characters. The empty string means nobody, for events without a user.
            None is possible only where the properties hold ``$user_id`` or ``$device_id``.
        properties: At most 248, with the rules of `mixwire.core.values`.
        time: When it happened, in seconds or milliseconds since 1970 (see `mixwire.core.times`). None until stamped.
        insert_id: Which happening it is: 1 to 36 of A-Z a-z 0-9 and -. An event sent twice with one insert_id counts
            once, so never use one for two. None until stamped.
        head: Its JSON up to the first of the properties, once it is stamped.
        json: The properties as JSON.
        names_library: Whether the properties tell which library first sent the event.

    Raises:
        InvalidValue: If a field cannot be sent.
    """

    def __new__(
        cls,
        event: str,
        *,
        distinct_id: UserId | None = None,
        properties: Mapping[str, object] = _NO_PROPERTIES,
        time: Instant | None = None,
        insert_id: str | UUID | None = None,
    ) -> Track:
        track = track_of(event, distinct_id, properties, time, insert_id)
        if cls is not Track:
            object.__setattr__(track, "__class__", cls)
        return track

    def __reduce__(self) -> tuple[object, ...]:
        return track_of, (self.event, self.distinct_id, self.properties, self.time, self.insert_id)


def track_of(
    event: str,
    distinct_id: UserId | None,
    properties: Mapping[str, object],
    time: Instant | None,
    insert_id: str | UUID | None,
) -> Track:
    """
    ``Track(...)``, without what it costs to call a class by keywords.
    """
    json, names_library = snapshot(properties, EVENT)
    # Every event comes through here: what almost all of them are is recognised without a call, and the functions
    # decide about the rest.
    if type(event) is not str or not event or event[0] == "$" or event.isspace():
        event = _event(event)
    if type(distinct_id) is not str or len(distinct_id) > _MAX_ID or distinct_id.strip().lower() in PLACEHOLDERS:
        distinct_id = _optional_user_id(distinct_id, json)
    if type(time) is not int or not EARLIEST_SECONDS <= time <= LATEST_MILLISECONDS:
        time = time_of(time)
    if (
        type(insert_id) is not str
        or not 10 <= len(insert_id) <= _MAX_INSERT_ID  # no shorter one is free of placeholders
        or not insert_id.isascii()
        or not insert_id.encode().isalnum()  # half the price of asking the str
    ):
        insert_id = insert_id_of(insert_id)
    end = _END if not names_library else ","
    if json == b"{}":
        end = end[:-1]
    if distinct_id is None:
        head = f'{{"event":{_quote(event)},"properties":{{"time":{time},"$insert_id":"{insert_id}"{end}'
    else:
        head = (
            f'{{"event":{_quote(event)},"properties":{{"distinct_id":{_quote(distinct_id)}'
            f',"time":{time},"$insert_id":"{insert_id}"{end}'
        )
    # A frozen __init__ pays for each field what writing to the unfrozen layout pays for all of them.
    track = _new(_TrackLayout)
    track.event = event
    track.distinct_id = distinct_id
    track.time = time
    track.insert_id = insert_id
    track.json = json
    track.names_library = names_library
    try:
        track.head = head.encode()
    except UnicodeEncodeError:
        track.head = b""
    if not track.head:  # out here, because the exception of the codec holds the text
        utf8(event, "event")
        utf8(distinct_id or "", "distinct_id")
    track.__class__ = Track
    return track  # type: ignore[return-value, unused-ignore]


def _event(event: str) -> str:
    if type(event) is not str:
        raise InvalidValue("event", "a str", describe(event))
    if not event or event.isspace():
        raise InvalidValue("event", "the name of an event", "empty" if not event else "blank")
    if event in _IDENTITY_EVENTS:
        kind = _IDENTITY_EVENTS[event]
        raise InvalidValue("event", f"an ordinary event; use {kind}(...) to send {event}", "an identity command")
    return utf8(event, "event")


def _optional_user_id(value: UserId | None, json: bytes) -> str | None:
    if value is not None:
        return user_id(value, "distinct_id")
    properties = Properties(json)
    if not any(isinstance(properties.get(name), str) for name in ("$user_id", "$device_id")):
        raise InvalidValue("distinct_id", "given ('' for an event without a user)", "left out")
    return None
