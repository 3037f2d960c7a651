"""
What messages do when they arrive: the server's half of the wire, as far as it can be counted. No I/O.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Final, TypeVar, cast

from attrs import field, frozen

from ..core import JSON, Endpoint
from .profiles import apply, problem
from .state import Profile
from .validation import IDENTITY_EVENTS

__all__ = ["EVENT_ENDPOINTS", "Effects", "Record", "missing", "read"]

EVENT_ENDPOINTS: Final = frozenset({Endpoint.TRACK, Endpoint.IMPORT})
"""Where events go; the others change profiles."""


@frozen(kw_only=True)
class Record:
    """
    One message as it arrived.

    Attributes:
        endpoint: Where.
        body: Its JSON, as it stood in the request.
        data: The same, read.
    """

    endpoint: Endpoint
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    data: dict[str, JSON] = field(repr=False)


_DECODER: Final = json.JSONDecoder()
_BETWEEN: Final = re.compile(r"\s*([],])\s*")


def read(endpoint: Endpoint, body: bytes) -> tuple[Record, ...]:
    """
    The records of a request: the members of a JSON list with their own bytes, or one that stands alone.

    Raises:
        ValueError: If it is something else.
    """
    text = body.decode().strip()
    if text.startswith("{"):
        text = f"[{text}]"
    if not text.startswith("["):
        raise ValueError("not a list")
    records: list[Record] = []
    start = 1
    while True:
        data, end = cast("tuple[JSON, int]", _DECODER.raw_decode(text, start))
        if not isinstance(data, dict):
            raise ValueError("not an object")
        records.append(Record(endpoint=endpoint, body=text[start:end].encode(), data=data))
        between = _BETWEEN.match(text, end)
        if between is None:
            raise ValueError("not a list")
        start = between.end()
        if between[1] == "]":
            if start != len(text):
                raise ValueError("more than a list")
            return tuple(records)


def missing(record: Record) -> str | None:
    """
    What a record must have and has not.
    """
    if record.endpoint in EVENT_ENDPOINTS:
        properties = record.data.get("properties")
        if not isinstance(record.data.get("event"), str):
            return "event"
        return None if isinstance(properties, dict) and isinstance(properties.get("token"), str) else "token"
    whose = ("$distinct_id",) if record.endpoint is Endpoint.ENGAGE else ("$group_key", "$group_id")
    return next((name for name in ("$token", *whose) if not isinstance(record.data.get(name), str)), None)


class Effects:
    """
    What was applied, and what came of it. Not safe to use from several threads.

    Attributes:
        records: Everything, in order.
        copies: How often each record was applied, by its JSON.
        events: Each once, by what makes it the same as another.
        event_copies: How many there were, repeated ones included.
        identities: The alias, identify and merge commands.
        profiles, groups: Their properties.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.copies: Counter[bytes] = Counter()
        self.events: dict[tuple[str, ...], dict[str, JSON]] = {}
        self.event_copies = 0
        self.identities: list[dict[str, JSON]] = []
        self.profiles: dict[str, dict[str, JSON]] = {}
        self.groups: dict[tuple[str, str], dict[str, JSON]] = {}

    def apply(self, records: tuple[Record, ...]) -> None:
        """
        Let these take effect. They must be complete, see `missing`.
        """
        for record in records:
            data = record.data
            self.records.append(record)
            self.copies[record.body] += 1
            match record.endpoint:
                case Endpoint.TRACK | Endpoint.IMPORT if data["event"] in IDENTITY_EVENTS:
                    self.identities.append(data)
                case Endpoint.TRACK | Endpoint.IMPORT:
                    self.event_copies += 1
                    self.events.setdefault(_event_key(data), data)
                case Endpoint.ENGAGE:
                    _update(self.profiles, str(data["$distinct_id"]), record)
                case Endpoint.GROUPS:
                    _update(self.groups, (str(data["$group_key"]), str(data["$group_id"])), record)


def _event_key(data: dict[str, JSON]) -> tuple[str, ...]:
    """
    What makes two events the same. https://docs.mixpanel.com/reference/event-deduplication
    """
    properties = cast("dict[str, JSON]", data["properties"])
    four = (data["event"], properties.get("time"), properties.get("distinct_id"), properties.get("$insert_id"))
    return tuple(map(json.dumps, four))


_Owner = TypeVar("_Owner", bound=str | tuple[str, str])


def _update(profiles: dict[_Owner, dict[str, JSON]], owner: _Owner, record: Record) -> None:
    if problem(record.data, record.endpoint):
        return
    before = Profile(properties=profiles[owner]) if owner in profiles else None
    after = apply(before, record.data, record.endpoint, {}, 0).profile
    if after is None:
        profiles.pop(owner, None)
    else:
        profiles[owner] = dict(after.properties)
