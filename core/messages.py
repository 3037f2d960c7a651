"""
From an operation to the wire: `encode` gives a `Message`, the last form that anything here takes.

A message is bytes. Whatever batches, spools, queues or sends it later joins and splits those bytes but never writes
JSON again, so a repeated delivery is the same to the last byte and Mixpanel recognises it.
https://docs.mixpanel.com/reference/event-deduplication
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias, assert_never, cast, get_args

import orjson
from attrs import define, evolve, frozen

from .changes import Delete, GroupChange, PeopleChange, Unset
from .errors import InvalidValue, LimitExceeded, NotStamped, describe
from .events import Track
from .findings import Finding, Refused, find
from .identity import Alias, Identify, Merge
from .limits import EVENT_BYTES, LIVE_SECONDS, MILLISECONDS_FROM, UPDATE_BYTES
from .operations import Operation
from .profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from .project import Project
from .properties import JSON
from .shapes import RAW
from .times import instant_of, milliseconds, seconds
from .values import freeze

__all__ = ["Endpoint", "Key", "Message", "encode", "route", "with_meta"]


class Endpoint(Enum):
    """
    Where a message belongs; the value is its path.
    """

    TRACK = "/track"
    IMPORT = "/import"
    ENGAGE = "/engage"
    GROUPS = "/groups"

    def __repr__(self) -> str:
        return self.name


Key: TypeAlias = str | tuple[str, str]
"""Whom a message is about: a user by distinct_id, or a group by group_key and group_id."""


@define(eq=False, repr=False)
class _Layout:
    endpoint: Endpoint
    body: bytes
    keys: tuple[Key, ...]
    repeatable: bool = True
    barrier: bool = False
    time: int | None = None


@frozen(repr=False)  # pyright: ignore[reportGeneralTypeIssues]  # see the end of _event
class Message(_Layout):
    """
    One encoded operation.

    Attributes:
        endpoint: Where it belongs.
        body: One JSON object in UTF-8, without line breaks.
        keys: Whom it is about. Messages about one key stay in order where order matters.
        repeatable: Whether it may be sent again when nobody knows if it arrived.
        barrier: Whether nothing later may overtake it: an alias, identify or merge.
        time: Of an event, when it happened, in milliseconds since 1970; else None.
    """

    def to_wire(self) -> dict[str, JSON]:
        """
        The message as the dict that the server will read.
        """
        return cast("dict[str, JSON]", orjson.loads(self.body))

    def findings(self) -> tuple[Finding, ...]:
        """
        What the server would silently truncate, trim, drop or take over in this message.
        """
        return find(self.body, is_event=self.endpoint in _EVENT_ENDPOINTS)

    def __repr__(self) -> str:
        flags = "".join(f", {name}" for name in ("repeatable", "barrier") if getattr(self, name))
        return f"Message({self.endpoint.name}, {len(self.body)} bytes{flags})"


_EVENT_ENDPOINTS: Final = frozenset({Endpoint.TRACK, Endpoint.IMPORT})
_MAX_EVENT_BYTES: Final = EVENT_BYTES.maximum
_MAX_UPDATE_BYTES: Final = UPDATE_BYTES.maximum
# Reading a member of an Enum from its class costs as much as joining the bytes of an event.
_TRACK: Final = Endpoint.TRACK
_IMPORT: Final = Endpoint.IMPORT
_new: Final = object.__new__


def encode(operation: Operation, project: Project) -> Message:
    """
    The message that says what *operation* says, for *project*.

    Raises:
        NotStamped: If a `Track` has no time or no insert_id; a message must be the same each time it is sent.
        LimitExceeded: If the message is larger than the server takes.
        Refused: If the project's limits are ``strict`` and the server would silently change or drop something.
    """
    message = _event(operation, project) if type(operation) is Track else _other(operation, project)
    if project.limits == "strict" and (findings := message.findings()):
        raise Refused(findings)
    return message


def with_meta(message: Message, meta: Mapping[str, object]) -> Message:
    """
    The message of an event with the keys of *meta* beside ``event`` and ``properties``. The documentation knows no such
    keys; it is there for code that was written for the official client.

    Raises:
        InvalidValue: If a key cannot be sent or is taken.
        LimitExceeded: If the message becomes larger than the server takes.
    """
    beside = freeze(meta, RAW, "meta")
    for name in ("event", "properties"):
        if name in beside:
            raise InvalidValue(f"meta[{name!r}]", "left out: it is given as an argument of its own", "given")
    if not beside:
        return message
    body = message.body[:-1] + b"," + beside.json[1:]
    if len(body) > _MAX_EVENT_BYTES:
        raise LimitExceeded("the event", EVENT_BYTES, len(body))
    return evolve(message, body=body)


def route(message: Message, now: int) -> Message:
    """
    The message for the endpoint that takes it at *now*, in milliseconds since 1970: an event too old for /track goes to
    /import. The bytes stay the same.
    """
    if message.endpoint is Endpoint.TRACK and message.time is not None and message.time < now - _LIVE_MILLISECONDS:
        return evolve(message, endpoint=Endpoint.IMPORT)
    return message


# Ten minutes less than the server takes, because a request may be on its way for so long.
_LIVE_MILLISECONDS: Final = (LIVE_SECONDS.maximum - 600) * 1000


def _event(track: Track, project: Project) -> Message:
    time, distinct_id = track.time, track.distinct_id
    if time is None:
        raise NotStamped("Track", "time")
    if track.insert_id is None:
        raise NotStamped("Track", "insert_id")
    body = track.head + track.json[1:-1] + project.event_tail
    if len(body) > _MAX_EVENT_BYTES:
        raise LimitExceeded("the event", EVENT_BYTES, len(body))
    # The __init__ of a frozen class pays for each field what these lines pay for all of them.
    layout = _new(_Layout)
    layout.endpoint = _TRACK if project.events == "track" else _IMPORT
    layout.body = body
    layout.keys = (distinct_id,) if distinct_id is not None else _device_keys(track)
    layout.repeatable = True
    layout.barrier = False
    layout.time = time if time >= MILLISECONDS_FROM else milliseconds(time)
    layout.__class__ = Message
    return layout  # type: ignore[return-value]


def _device_keys(track: Track) -> tuple[Key, ...]:
    ids = (track.properties.get("$user_id"), track.properties.get("$device_id"))
    return tuple(each for each in ids if isinstance(each, str))


_OPERATIONS: Final[tuple[type, ...]] = get_args(Operation)


def _other(operation: Operation, project: Project) -> Message:
    if not isinstance(cast("object", operation), _OPERATIONS):
        raise InvalidValue("operation", "a Track, PeopleOp, GroupOp, Charge or another operation", describe(operation))
    match operation:
        case Track():
            return _event(operation, project)
        case Alias():
            return _identity("$create_alias", {"distinct_id": operation.distinct_id, "alias": operation.alias}, project)
        case Identify():
            ids = {"$identified_id": operation.identified_id, "$anon_id": operation.anon_id}
            return _identity("$identify", ids, project)
        case Merge():
            return _identity("$merge", {"$distinct_ids": [operation.distinct_id1, operation.distinct_id2]}, project)
        case PeopleOp():
            return _people(operation.distinct_id, operation, _operators(operation.changes), project)
        case Charge():
            transaction: dict[str, object] = {**operation.properties.thaw()}
            if operation.time is not None:
                transaction["$time"] = instant_of(seconds(operation.time))
            transaction["$amount"] = operation.amount
            return _people(
                operation.distinct_id, operation, ({"$append": {"$transactions": transaction}}, False), project
            )
        case ClearCharges():
            return _people(operation.distinct_id, operation, ({"$unset": ["$transactions"]}, True), project)
        case GroupOp():
            return _group(
                operation,
                _stamped(operation.time, operation.options),
                _operators(operation.changes),
                project,
            )
        case RawPeopleOp():
            record: dict[str, object] = {"$token": project.token, "$distinct_id": operation.distinct_id}
            record.update(operation.update.thaw())
            return _update(Endpoint.ENGAGE, record, (operation.distinct_id,), operation.repeatable)
        case RawGroupOp():
            return _group(operation, {}, (operation.update.thaw(), operation.repeatable), project)
        case _:
            assert_never(operation)


def _identity(
    event: str, ids: dict[str, str | list[str]] | dict[str, str] | dict[str, list[str]], project: Project
) -> Message:
    """
    The documented form of an identity command: its ids and the token, nothing else. /track takes alias and identify
    from everybody, /import takes merge with credentials. https://docs.mixpanel.com/reference/identity-create-alias
    """
    body = _exact(orjson.dumps({"event": event, "properties": {**ids, "token": project.token}}))
    keys: list[Key] = []
    for each in ids.values():
        keys.extend([each] if isinstance(each, str) else each)
    endpoint = Endpoint.IMPORT if event == "$merge" else Endpoint.TRACK
    return Message(endpoint, body, tuple(keys), repeatable=True, barrier=True)


def _operators(changes: tuple[PeopleChange | GroupChange, ...]) -> tuple[dict[str, object], bool]:
    """
    The operators of an update and whether it is repeatable: one that is not makes the whole update so.
    """
    operators: dict[str, object] = {}
    for change in changes:
        match change:
            case Unset():
                operators[change.operator] = change.names
            case Delete():
                operators[change.operator] = ""
            case _:
                operators[change.operator] = change.properties.thaw()
    return operators, all(change.repeatable for change in changes)


def _people(
    distinct_id: str,
    operation: PeopleOp | Charge | ClearCharges,
    operators: tuple[dict[str, object], bool],
    project: Project,
) -> Message:
    content, repeatable = operators
    record = {
        "$token": project.token,
        "$distinct_id": distinct_id,
        **_stamped(operation.time, operation.options),
        **content,
    }
    return _update(Endpoint.ENGAGE, record, (distinct_id,), repeatable)


def _group(
    operation: GroupOp | RawGroupOp,
    options: dict[str, object],
    operators: tuple[dict[str, object] | dict[str, JSON], bool],
    project: Project,
) -> Message:
    content, repeatable = operators
    record = {
        "$token": project.token,
        "$group_key": operation.group_key,
        "$group_id": operation.group_id,
        **options,
        **content,
    }
    return _update(Endpoint.GROUPS, record, ((operation.group_key, operation.group_id),), repeatable)


def _stamped(time: int | None, options: UpdateOptions) -> dict[str, object]:
    beside: dict[str, object] = {}
    if time is not None:
        beside["$time"] = seconds(time)
    if options.ip is not None:
        beside["$ip"] = options.ip
    if options.ignore_time:
        beside["$ignore_time"] = True
    if options.ignore_alias:
        beside["$ignore_alias"] = True
    if options.latitude is not None:
        beside["$latitude"] = options.latitude
        beside["$longitude"] = options.longitude
    return beside


def _update(endpoint: Endpoint, record: dict[str, object], keys: tuple[Key, ...], repeatable: bool) -> Message:
    body = _exact(orjson.dumps(record))
    if len(body) > _MAX_UPDATE_BYTES:
        raise LimitExceeded("the update", UPDATE_BYTES, len(body))
    return Message(endpoint, body, keys, repeatable)


def _exact(body: bytes) -> bytes:
    """
    A copy that takes no more memory than its bytes: what orjson gives keeps the buffer that it was made in, of some
    kilobytes, and messages may be held in their thousands.
    """
    return b"".join((body, b""))
