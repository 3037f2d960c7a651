"""
What the emulator knows, as values: its settings, what arrived, what became of it, and the profiles as they stand.

Nothing here changes; each request leads to a new `State`. What is kept has a cap, the oldest goes first, and how much
went is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar, cast

import orjson
from attrs import Factory, field, frozen

from ..core import JSON, Endpoint, InvalidValue
from .faults import Fault, Script
from .identities import Identities

__all__ = [
    "Counts",
    "Event",
    "Exchange",
    "Fate",
    "HttpReply",
    "HttpRequest",
    "Log",
    "Owner",
    "Profile",
    "Settings",
    "State",
    "Update",
]

Owner: TypeAlias = str | tuple[str, str]
"""Whose profile: the distinct_id of a user, or the key and the id of a group."""


_NOTE_BYTES: Final = 64
"""What a note takes beside its text."""


@frozen(kw_only=True)
class HttpRequest:
    """
    A request as it arrived.

    Attributes:
        method: Its method, in capitals.
        target: Path and query, as in ``/track?verbose=1``.
        headers: Name and value; names are compared without case.
        body: The body as it travelled.
        address: Where it came from.
    """

    method: str = "POST"
    target: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=lambda body: f"<{len(body)} bytes>")
    address: str = "127.0.0.1"

    def header(self, name: str) -> str:
        """
        The value of the first header of that name, or nothing.
        """
        return next((value for each, value in self.headers if each.lower() == name.lower()), "")


@frozen(kw_only=True)
class HttpReply:
    """
    What is answered.

    Attributes:
        status: The HTTP status.
        content_type: The media type of the body.
        body: The body.
        retry_after: The value of the header Retry-After, or None for no such header.
        delay_seconds: How long whoever carries the answer waits before.
        is_lost: Whether the connection ends with a reset instead of this answer.
    """

    status: int
    content_type: str = "application/json"
    body: bytes = field(default=b"", repr=lambda body: f"<{len(body)} bytes>")
    retry_after: str | None = None
    delay_seconds: float = 0.0
    is_lost: bool = False


class Fate(Enum):
    """
    What became of a record.
    """

    STORED = "stored"
    """It counts."""
    REFUSED = "refused"
    """It is invalid. /import?strict=1 says so for each record; the others only if no record was valid."""
    DROPPED = "dropped"
    """It was answered with success and thrown away."""
    IGNORED = "ignored"
    """It was answered with success and changed nothing."""


@frozen(kw_only=True)
class Event:
    """
    An event that arrived, identity commands included.

    Attributes:
        number: Rising from 1 over everything that arrives.
        exchange: The number of the request that brought it.
        index: Its place in that request, from 0.
        received: When, in milliseconds since the epoch.
        endpoint: /track or /import.
        fate: What became of it.
        reason: Why it was refused, dropped or ignored; else nothing.
        notes: What was changed on the way in, and what is worth knowing: one sentence each.
        name: The event name; empty if it has none.
        distinct_id: As stored; empty if it belongs to nobody.
        time: In milliseconds since the epoch; None if it was not stored and has no time that can be read.
        key: What makes it the same event as another: event, distinct_id, time and insert_id as JSON, as they were sent;
            None for an event without time or insert_id, which is never the same as another. A command that joins ids
            has these in the place of the insert_id.
        json: The record as stored (without its token), or as it came if it was not stored.
    """

    number: int
    exchange: int
    index: int
    received: int
    endpoint: Endpoint
    fate: Fate
    reason: str = ""
    notes: tuple[str, ...] = ()
    name: str = ""
    distinct_id: str = ""
    time: int | None = None
    key: tuple[str, str, str, str] | None = field(default=None, repr=False)
    json: bytes = field(repr=lambda json: f"<{len(json)} bytes>")

    @property
    def properties(self) -> dict[str, JSON]:
        """
        The properties, decoded anew at each call; empty if there are none.
        """
        properties = cast("JSON", orjson.loads(self.json))
        found = properties.get("properties") if isinstance(properties, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def size(self) -> int:
        """
        Bytes of JSON, and characters of what is kept beside it.
        """
        return len(self.json) + _said(self.reason, self.notes) + sum(map(len, self.key or ()))


@frozen(kw_only=True)
class Update:
    """
    An update of a profile that arrived.

    Attributes:
        number, exchange, index, received, fate, reason, notes: As in `Event`.
        endpoint: /engage or /groups.
        owner: Whose profile, aliases resolved; None if it does not say.
        json: The update as it came, without its token.
    """

    number: int
    exchange: int
    index: int
    received: int
    endpoint: Endpoint
    fate: Fate
    reason: str = ""
    notes: tuple[str, ...] = ()
    owner: Owner | None = None
    json: bytes = field(repr=lambda json: f"<{len(json)} bytes>")

    @property
    def update(self) -> JSON:
        """
        The update, decoded anew at each call.
        """
        return cast("JSON", orjson.loads(self.json))

    @property
    def size(self) -> int:
        """
        Bytes of JSON, and characters of what is kept beside it.
        """
        return len(self.json) + _said(self.reason, self.notes)


def _said(reason: str, notes: tuple[str, ...]) -> int:
    return len(reason) + sum(len(note) + _NOTE_BYTES for note in notes)


@frozen(kw_only=True)
class Exchange:
    """
    A request and its answer.

    Attributes:
        number: As in `Event`.
        received: When, in milliseconds since the epoch.
        request: As it arrived, without its body; what is secret is masked.
        text: The body, uncompressed; the beginning as it travelled if it could not be read.
        records: How many it held.
        fault: What was made to go wrong with it, or None.
        is_applied: Whether it took effect.
        reply: The answer.
    """

    number: int
    received: int
    request: HttpRequest
    text: bytes = field(default=b"", repr=lambda text: f"<{len(text)} bytes>")
    records: int = 0
    fault: Fault | None = None
    is_applied: bool = True
    reply: HttpReply

    @property
    def size(self) -> int:
        """
        Characters of the target and the headers, and bytes of the body, uncompressed.
        """
        request = self.request
        return len(self.text) + len(request.target) + sum(len(name) + len(value) for name, value in request.headers)


@frozen(kw_only=True)
class Profile:
    """
    The profile of a user or a group.

    Attributes:
        properties: As they stand; not to be changed.
        last_seen: When it was last changed, in milliseconds since the epoch; None if every update asked not to count.
        size: About how many bytes of JSON its properties take.
    """

    properties: Mapping[str, JSON] = field(factory=dict[str, JSON], repr=False)
    last_seen: int | None = None
    size: int = field(default=0, eq=False)


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


_Entry = TypeVar("_Entry", bound=_Sized)


@frozen
class Log(Generic[_Entry]):
    """
    The newest of what arrived.

    Attributes:
        entries: The oldest first.
        forgotten: How many were kept once and are not any more.
        bytes: What the entries take, by their `size`.
    """

    entries: tuple[_Entry, ...] = ()
    forgotten: int = 0
    bytes: int = 0

    def with_entries(self, new: Sequence[_Entry], most: int, most_bytes: int) -> Log[_Entry]:
        """
        This and *new*, without the oldest beyond *most* entries or *most_bytes*.
        """
        if not new:
            return self
        entries = (*self.entries, *new)
        size = self.bytes + sum(entry.size for entry in new)
        out = max(0, len(entries) - most)
        size -= sum(entry.size for entry in entries[:out])
        while size > most_bytes and out < len(entries):
            size -= entries[out].size
            out += 1
        return Log(entries[out:], self.forgotten + out, size)


def _at_least_1(instance: object, attribute: object, value: int) -> None:
    if value < 1:
        raise InvalidValue(getattr(attribute, "name", ""), "at least 1", str(value))


def _id_system(value: Literal["original", "simplified"]) -> Literal["original", "simplified"]:
    if value not in ("original", "simplified"):
        raise InvalidValue("id_system", "'original' or 'simplified'", repr(value))
    return value


@frozen(kw_only=True)
class Settings:
    """
    The project that is emulated, and how much of it is kept.

    Attributes:
        id_system: How the project joins ids: ``original`` (alias, identify and merge) or ``simplified``
            (``$device_id`` and ``$user_id``).
        token: Its token; None takes any. Events of another token are answered with success and dropped.
        username, secret, project_id: The service account and the project; None takes any.
        project_secret: The project secret; None for none, or for any if there is no *token* either.
        max_body_bytes: How long a body may be, uncompressed; more is answered 413.
        bytes_per_minute, events_per_minute: What a rolling minute may bring; more is answered 429.
        max_events, max_updates, max_requests, max_profiles: How many of each are kept, the newest ones.
        max_bytes: How many bytes of events, of updates and of requests are kept, for each of the three.
    """

    id_system: Literal["original", "simplified"] = field(default="original", converter=_id_system)
    token: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    project_id: str | None = None
    project_secret: str | None = field(default=None, repr=False)
    max_body_bytes: int = field(default=2_097_152, validator=_at_least_1)
    bytes_per_minute: int = field(default=2_000_000_000, validator=_at_least_1)
    events_per_minute: int = field(default=1_800_000, validator=_at_least_1)
    max_events: int = field(default=10_000, validator=_at_least_1)
    max_updates: int = field(default=10_000, validator=_at_least_1)
    max_requests: int = field(default=1_000, validator=_at_least_1)
    max_profiles: int = field(default=10_000, validator=_at_least_1)
    max_bytes: int = field(default=32 * 1024 * 1024, validator=_at_least_1)


@frozen(kw_only=True)
class Counts:
    """
    How much arrived since the start, whether it is still kept or not.

    Attributes:
        requests: All of them.
        faults: Those that were made to go wrong.
        events: Records on /track and /import, by their fate.
        updates: Records on /engage and /groups, by their fate.
        truncated: Records of which something was cut off.
    """

    requests: int = 0
    faults: int = 0
    events: Mapping[Fate, int] = field(factory=dict[Fate, int])
    updates: Mapping[Fate, int] = field(factory=dict[Fate, int])
    truncated: int = 0


@frozen(kw_only=True)
class State:
    """
    Everything that the emulator knows.

    Attributes:
        settings: Of the project.
        number: The last number that was given.
        events, updates, exchanges: What arrived and is kept.
        profiles, groups: As they stand, the one that changed last at the end.
        forgotten_profiles: How many profiles of users and groups were kept once and are not any more.
        identities: Which ids belong to one user.
        scripts: What will go wrong.
        load: Second since the epoch, bytes and events of the last minute.
        counts: How much arrived.
    """

    settings: Settings = Factory(Settings)
    number: int = 0
    events: Log[Event] = Factory(Log[Event])
    updates: Log[Update] = Factory(Log[Update])
    exchanges: Log[Exchange] = Factory(Log[Exchange])
    profiles: Mapping[str, Profile] = field(factory=dict[str, Profile], repr=lambda profiles: f"<{len(profiles)}>")
    groups: Mapping[tuple[str, str], Profile] = field(
        factory=dict[tuple[str, str], Profile], repr=lambda groups: f"<{len(groups)}>"
    )
    forgotten_profiles: int = 0
    identities: Identities = Factory(Identities)
    scripts: tuple[Script, ...] = ()
    load: tuple[tuple[int, int, int], ...] = ()
    counts: Counts = Factory(Counts)
