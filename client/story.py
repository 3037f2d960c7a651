"""
The story that ``mixwire demo`` tells: as data, and played by a real client against whatever server it is given.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from attrs import frozen

from .core import (
    Alias,
    Charge,
    EventRoute,
    GroupOp,
    Message,
    Operation,
    Outcome,
    PeopleOp,
    Project,
    Set,
    Track,
    encode,
)
from .front_door import Mixpanel
from .transports import BufferedTransport
from .transports.base import Stats

__all__ = ["TOKEN", "Chapter", "Ending", "Place", "Played", "Step", "play", "story"]

TOKEN: Final = "0" * 32
"""A project token as Mixpanel makes them; it belongs to nobody."""

Place: TypeAlias = Literal["delivered", "rejected", "failed", "unknown", "held"]
"""What became of a message, as in `Outcome`; held if nobody said anything."""

_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000


@frozen(kw_only=True)
class Step:
    """
    One thing that happens.

    Attributes:
        sentence: In words.
        operation: As the client is given it, with a time and an insert_id, so that its message is known beforehand.
        events: Where an event goes, as for `Mixpanel`.
        expected: What is to become of it.
    """

    sentence: str
    operation: Operation
    events: EventRoute = "track"
    expected: Place = "delivered"

    def message(self) -> Message:
        """
        What the client makes of it.
        """
        return encode(self.operation, Project(TOKEN, events=self.events))


@frozen(kw_only=True)
class Chapter:
    """
    Steps that are sent together, after everything before them is settled.

    Attributes:
        title: In words.
        steps: In order.
        first_status: The HTTP status with which the server is made to answer the first request; None for what it would
            say by itself.
    """

    title: str
    steps: tuple[Step, ...]
    first_status: int | None = None


def story(now: int) -> tuple[Chapter, ...]:
    """
    The chapters, as they happen at *now*, in milliseconds since 1970.
    """
    return (
        Chapter(
            title="A visitor becomes a user",
            steps=(
                Step(
                    sentence="visitor-1 signs up",
                    operation=Track(
                        "Signed Up",
                        distinct_id="visitor-1",
                        properties={"plan": "free"},
                        time=now - 3_000,
                        insert_id="demo-1",
                    ),
                ),
                Step(
                    sentence="visitor-1 is now user-1 too",
                    operation=Alias(alias="user-1", distinct_id="visitor-1"),
                ),
                Step(
                    sentence="user-1 takes the plan pro",
                    operation=Track(
                        "Plan Upgraded",
                        distinct_id="user-1",
                        properties={"plan": "pro", "company": "company-1"},
                        time=now - 2_000,
                        insert_id="demo-2",
                    ),
                ),
                Step(
                    sentence="user-1 is pro and has 10 credits",
                    operation=PeopleOp("user-1", Set({"plan": "pro", "credits": 10}), time=now),
                ),
                Step(
                    sentence="company-1 has 5 seats",
                    operation=GroupOp("company", "company-1", Set({"plan": "pro", "seats": 5}), time=now),
                ),
            ),
        ),
        Chapter(
            title="A charge while the server is busy",
            steps=(
                Step(sentence="user-1 pays 49", operation=Charge("user-1", 49, time=now - 2_000)),
                Step(sentence="user-1 gets 9 back", operation=Charge("user-1", -9, time=now - 1_000)),
            ),
            first_status=503,
        ),
        Chapter(
            title="Events of another day",
            steps=(
                Step(
                    sentence="user-1 opened the app last week",
                    operation=Track("App Opened", distinct_id="user-1", time=now - 7 * _DAY_MS, insert_id="demo-3"),
                    events="import",
                ),
                Step(
                    sentence="user-1 will open it in two hours",
                    operation=Track("App Opened", distinct_id="user-1", time=now + 2 * _HOUR_MS, insert_id="demo-4"),
                    events="import",
                    expected="rejected",
                ),
            ),
        ),
    )


@frozen(kw_only=True)
class Ending:
    """
    What became of a step, as the client knows it.

    Attributes:
        chapter, step: Which.
        message: As it was sent; an event may have gone to another endpoint than it was made for.
        place: Where it ended.
        reason: Why it was not delivered, in words; else nothing.
    """

    chapter: Chapter
    step: Step
    message: Message
    place: Place
    reason: str = ""


@frozen(kw_only=True)
class Played:
    """
    How it all ended for the client.

    Attributes:
        endings: Of each step, in order.
        stats: The figures of the transport after it was closed.
        log: What it told an operator meanwhile.
    """

    endings: tuple[Ending, ...]
    stats: Stats
    log: tuple[str, ...]


def play(chapters: Sequence[Chapter], server: str, fail_next: Callable[[int], None]) -> Played:
    """
    Send the steps to *server* through a buffered transport, and say what became of each.

    Args:
        chapters: What happens.
        server: The base URL.
        fail_next: Makes the server answer the next request with this HTTP status, and apply nothing.
    """
    clock, end = _Clock(), time.monotonic() + _PATIENCE_SECONDS
    outcomes: list[Outcome] = []
    project = Project(TOKEN, server=server)
    transport = BufferedTransport(project, close_seconds=_CLOSE_SECONDS, on_outcome=outcomes.append, now=clock)
    with _log() as log, transport:
        doors = {events: Mixpanel(TOKEN, transport=transport, events=events) for events in _ROUTES}
        for chapter in chapters:
            _deliver(transport, clock, end)
            if chapter.first_status is not None:
                fail_next(chapter.first_status)
            for step in chapter.steps:
                doors[step.events].send(step.operation)
            if chapter.first_status is not None:
                _deliver(transport, clock, end)
    told = _told(outcomes)
    endings: list[Ending] = []
    for chapter in chapters:
        for step in chapter.steps:
            message = step.message()
            message, place, reason = told.get(message.body, (message, "held", ""))
            endings.append(Ending(chapter=chapter, step=step, message=message, place=place, reason=reason))
    return Played(endings=tuple(endings), stats=transport.stats(), log=tuple(log))


_ROUTES: Final[tuple[EventRoute, ...]] = ("track", "import")
_PATIENCE_SECONDS: Final = 10.0
"""How long the chapters may take; what is still held then is left to `close`."""
_CLOSE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.2
_SKIPPED_SECONDS: Final = 10.0
"""More than the longest wait after a first 503."""


class _Clock:
    """
    A monotonic time that can be set ahead, so that nobody sits through the seconds that a busy server is given.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds


def _deliver(transport: BufferedTransport, clock: _Clock, end: float) -> None:
    """
    Have everything settled that is held, until the monotonic time *end* at most.
    """
    while time.monotonic() < end:
        transport.flush(_LOOK_SECONDS)
        if not transport.stats().held:
            return
        clock.skip(_SKIPPED_SECONDS)


def _told(outcomes: Sequence[Outcome]) -> dict[bytes, tuple[Message, Place, str]]:
    """
    Each message as it was sent, where it ended and why, by its body, which stays the same wherever it goes.
    """
    outcome = Outcome.total(outcomes)
    told: list[tuple[Message, Place, str]] = [(message, "delivered", "") for message in outcome.delivered]
    for rejected in outcome.rejected:
        # Some reasons name the field themselves.
        field = f"{rejected.field}: " if rejected.field and rejected.field not in rejected.reason else ""
        told.append((rejected.message, "rejected", f"{field}{rejected.reason}"))
    told.extend((each.message, "failed", _cause(each.cause.value, each.detail)) for each in outcome.failed)
    told.extend((each.message, "unknown", _cause(each.cause.value, each.detail)) for each in outcome.unknown)
    return {entry[0].body: entry for entry in told}


def _cause(cause: str, detail: str) -> str:
    return f"{cause} ({detail})" if detail else cause


@contextmanager
def _log() -> Generator[list[str]]:
    """
    The warnings of this library, which are told as part of the story and not in the midst of it.
    """
    lines: list[str] = []
    logger, handler = logging.getLogger("mixwire"), _Lines(lines)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())
