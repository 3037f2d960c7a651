"""
A server in this process for the tests of what delivers in the background: it answers by a rule and writes down what
arrived.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from mixwire.core import (
    Add,
    Alias,
    Answer,
    GroupOp,
    Message,
    NoResponse,
    Outcome,
    PeopleOp,
    Project,
    Request,
    Response,
    Set,
    Track,
    encode,
)
from mixwire.transports import BufferedTransport, Stats
from mixwire.transports.spool import Section, Spool, Stored

PROJECT: Final = Project("T0")
NOW: Final = time.time_ns() // 1_000_000
GUARD_SECONDS: Final = 10.0
GOOD: Final = Response(status=200, body=b'{"status":1}')
DOWN: Final = NoResponse(reason="down", maybe_received=False)
LOST: Final = NoResponse(reason="lost", maybe_received=True)
BAD: Final = Response(status=400, body=b'{"error":"bad"}')
BUSY: Final = Response(status=429, body=b"")

Rule = Callable[[Request], Answer]


def event(number: int, user: str = "u1", filling: str = "") -> Message:
    properties = {"number": number, "filling": filling}
    track = Track("Opened", distinct_id=user, properties=properties, time=NOW, insert_id=f"event-{number:010}")
    return encode(track, PROJECT)


def events(count: int, start: int = 0) -> tuple[Message, ...]:
    return tuple(event(number) for number in range(start, start + count))


def update(value: int, user: str = "u1") -> Message:
    return encode(PeopleOp(user, Set({"step": value})), PROJECT)


def addition(value: int, user: str = "u1") -> Message:
    return encode(PeopleOp(user, Add({"steps": value})), PROJECT)


def group(value: int) -> Message:
    return encode(GroupOp("Company", "acme", Set({"step": value})), PROJECT)


def alias(new: str, user: str) -> Message:
    return encode(Alias(alias=new, distinct_id=user), PROJECT)


def path_of(request: Request) -> str:
    return request.url.removeprefix("https://api.mixpanel.com").split("?")[0]


class World:
    """
    Attributes:
        rule: Makes the answer to each request; may block.
        requests: What was asked, in order.
        most: How many requests were under way at once, by path.
    """

    def __init__(self, rule: Rule = lambda _request: GOOD) -> None:
        self.rule = rule
        self.requests: list[Request] = []
        self.answered: list[tuple[Request, Answer]] = []
        self.most: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._lock = threading.Lock()

    def post(self, request: Request) -> Answer:
        path = path_of(request)
        with self._lock:
            self.requests.append(request)
            self._now[path] += 1
            self.most[path] = max(self.most[path], self._now[path])
        try:
            answer = self.rule(request)
        finally:
            with self._lock:
                self._now[path] -= 1
        with self._lock:
            self.answered.append((request, answer))
        return answer

    def records(self, path: str | None = None) -> list[dict[str, Any]]:
        """
        What was taken by the server, in order.
        """
        with self._lock:
            answered = list(self.answered)
        return [
            record
            for request, answer in answered
            if answer is GOOD and path in (None, path_of(request))
            for record in json.loads(request.body)
        ]

    def numbers(self) -> list[int]:
        return [record["properties"]["number"] for record in self.records("/track")]

    def steps(self, path: str = "/engage") -> list[int]:
        return [record["$set"]["step"] for record in self.records(path)]

    def sizes(self) -> list[int]:
        with self._lock:
            return [len(json.loads(request.body)) for request in self.requests]


class Gate:
    """
    A rule that lets requests wait until it is opened.
    """

    def __init__(self, answer: Answer = GOOD) -> None:
        self.answer = answer
        self.is_open = threading.Event()

    def __call__(self, request: Request) -> Answer:
        self.is_open.wait(GUARD_SECONDS * 3)
        return self.answer


def least(at_least: float, at_most: float) -> float:
    """
    Waits are as short as they may be.
    """
    return at_least


MADE: Final[list[BufferedTransport]] = []


def transport(world: World, **options: Any) -> BufferedTransport:
    settings: dict[str, Any] = {"flush_after_seconds": 0.01, "post": world.post, "pick": least, **options}
    made = BufferedTransport(PROJECT, **settings)
    MADE.append(made)
    return made


def close_all() -> None:
    """
    Close what a test left open, as failed ones do.
    """
    while MADE:
        MADE.pop().close(0.0)


def eventually(condition: Callable[[], object], what: str = "it came about") -> None:
    """
    Wait until that is so, and no longer.
    """
    end = time.monotonic() + GUARD_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.002)


class Watch:
    """
    Fails a test that takes long enough to be called hanging.
    """

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        assert time.monotonic() - self._begun < self._seconds


def sum_of(stats: Stats) -> int:
    return stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.dropped + stats.held


class Ear:
    """
    Hears outcomes from any thread.
    """

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def __call__(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @property
    def total(self) -> Outcome:
        return Outcome.total(self.outcomes)

    def bodies(self) -> Counter[bytes]:
        return bodies_of(self.total.messages())


def bodies_of(messages: Iterable[Message]) -> Counter[bytes]:
    return Counter(message.body for message in messages)


def stored_in(directory: Path | str, section: Section = "held") -> list[Stored]:
    """
    What a spool holds that nobody has open.
    """
    spool = Spool(directory, section=section)
    try:
        found: list[Stored] = []
        for segment in spool.adopt():
            at, is_end = 0, False
            while not is_end:
                chunk = segment.read(at, 1 << 20)
                found.extend(chunk.stored)
                is_end = chunk.is_end or chunk.next == at
                at = chunk.next
        return found
    finally:
        spool.close()
