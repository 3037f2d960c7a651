"""
What would be sent for an operation, and what would become of it: `explain` answers without sending anything.
"""

from __future__ import annotations

from typing import Final

import orjson
from attrs import evolve, frozen

from .batches import Batch
from .findings import Effect, Finding
from .http import to_request
from .limits import (
    DISTINCT_ID_CHARACTERS,
    EVENT_BYTES,
    EVENT_CONTAINER_BYTES,
    EVENT_NAME_CHARACTERS,
    EVENT_PROPERTIES,
    FUTURE_SECONDS,
    INSERT_ID_BYTES,
    LIST_ELEMENTS,
    LIVE_SECONDS,
    OBJECT_DEPTH,
    OBJECT_KEYS,
    PROFILE_CONTAINER_BYTES,
    PROFILE_PROPERTIES,
    PROPERTY_NAME_CHARACTERS,
    STRING_BYTES,
    UPDATE_BYTES,
    Limit,
)
from .messages import Endpoint, Message, encode, route
from .operations import Operation
from .project import Project, ProjectSecret, ServiceAccount
from .properties import JSON

__all__ = ["Explanation", "Measure", "explain"]


@frozen
class Measure:
    """
    How much of a limit is used.
    """

    limit: Limit
    measured: int

    @property
    def is_over(self) -> bool:
        """
        Whether there is more than the limit allows.
        """
        return self.measured > self.limit.maximum


@frozen(kw_only=True)
class Explanation:
    """
    What `explain` found.

    Attributes:
        message: The message as it would be sent: its endpoint and exact bytes.
        url: Where it would go, with the query.
        authorization: What would authorise it: ``service account``, ``project secret``, ``token``, or ``none``.
        measures: What the message holds against each limit that concerns it.
        findings: What the server would refuse, truncate, trim, drop, overwrite, or the library reroute.
    """

    message: Message
    url: str
    authorization: str
    measures: tuple[Measure, ...]
    findings: tuple[Finding, ...]


def explain(operation: Operation, project: Project, now: int | None = None) -> Explanation:
    """
    What would be sent for *operation*, and what the server would do with it.

    Without *now*, in milliseconds since 1970, nothing is said about the age of an event.

    Raises:
        LimitExceeded: If the message is larger than the server takes, so that there is none to explain.
        NotStamped: If a `Track` has no time or no insert_id.
    """
    message = encode(operation, evolve(project, limits="warn"))
    findings = [] if project.limits == "off" else list(message.findings())
    if now is not None:
        findings.extend(_find_in_time(message, now))
        message = route(message, now)
    return Explanation(
        message=message,
        url=to_request(Batch((message,)), project).url,
        authorization=_authorization(message, project),
        measures=_measure(message),
        findings=tuple(findings),
    )


_HOUR: Final = 60 * 60 * 1000


def _find_in_time(message: Message, now: int) -> list[Finding]:
    if message.time is None:
        return []
    path = "properties['time']"
    if route(message, now) is not message:
        hours, most = (now - message.time) // _HOUR, LIVE_SECONDS.maximum // 3600
        reason = f"it is {hours:,} hours old, and /track takes events for {most}; it goes to /import"
        return [Finding(path, Effect.REROUTED, reason)]
    ahead = message.time - now
    if message.endpoint is Endpoint.IMPORT and ahead > FUTURE_SECONDS.maximum * 1000:
        reason = f"it is {ahead // 1000:,} seconds ahead, and /import takes one hour at most"
        return [Finding(path, Effect.REFUSED, reason)]
    if ahead >= 1000:
        reason = f"it is {ahead // 1000:,} seconds ahead, and the server puts its own time in its place"
        return [Finding(path, Effect.OVERWRITTEN, reason)]
    return []


def _authorization(message: Message, project: Project) -> str:
    if message.endpoint is not Endpoint.IMPORT:
        return "none"
    if isinstance(project.credentials, ServiceAccount):
        return "service account"
    return "project secret" if isinstance(project.credentials, ProjectSecret) else "token"


def _measure(message: Message) -> tuple[Measure, ...]:
    """
    What the message holds against each limit on the content of one message; of several lists or strings, the largest.
    """
    is_event = message.endpoint in (Endpoint.TRACK, Endpoint.IMPORT)
    record = message.to_wire()
    most: dict[Limit, int] = {}

    def note(limit: Limit, measured: int) -> None:
        most[limit] = max(most.get(limit, 0), measured)

    def note_inside(value: JSON, depth: int) -> None:
        if isinstance(value, str):
            note(STRING_BYTES, len(value.encode()))
        elif isinstance(value, list):
            if is_event:
                note(LIST_ELEMENTS, len(value))
            for element in value:
                note_inside(element, depth)
        elif isinstance(value, dict):
            note(OBJECT_KEYS, len(value))
            note(OBJECT_DEPTH, depth + 1)
            for element in value.values():
                note_inside(element, depth + 1)

    note(EVENT_BYTES if is_event else UPDATE_BYTES, len(message.body))
    if is_event:
        note(EVENT_NAME_CHARACTERS, len(str(record["event"])))
    for key in message.keys:
        note(DISTINCT_ID_CHARACTERS, max(map(len, key)) if isinstance(key, tuple) else len(key))
    for properties in _properties(record):
        note(EVENT_PROPERTIES if is_event else PROFILE_PROPERTIES, len(properties))
        for name, value in properties.items():
            note(PROPERTY_NAME_CHARACTERS, len(name))
            if name == "$insert_id":
                note(INSERT_ID_BYTES, len(str(value)))
            note_inside(value, 0)
            if isinstance(value, list | dict):
                note(EVENT_CONTAINER_BYTES if is_event else PROFILE_CONTAINER_BYTES, len(orjson.dumps(value)))
    return tuple(Measure(limit, measured) for limit, measured in most.items())


def _properties(record: dict[str, JSON]) -> list[dict[str, JSON]]:
    """
    The objects of a message whose keys are names of properties: one of an event, one for each operator of an update.
    """
    return [value for value in record.values() if isinstance(value, dict)]
