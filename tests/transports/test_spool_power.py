"""
Row 40: what a power cut leaves of a spool. Each sync in the code is needed: without any one of them these tests fail.
"""

from __future__ import annotations

import errno
import os
import random
import sys
from collections import Counter

import pytest
from fake_disk import FakeDisk, Storage
from spool_kit import addition, event

from mixwire.core import Message
from mixwire.transports.spool import Place, Segment, Spool, SpoolError

SYNCS = [
    ("sync", "_sync_once"),
    ("sync_directory", "_sync_once"),
    ("sync", "sync_marks"),
    ("sync_directory", "sync_marks"),
    ("sync", "_write_all_again"),
    ("sync_directory", "_remove"),
]


class Disk(FakeDisk):
    """
    A disk on which one of the syncs in the code does nothing.
    """

    def __init__(self, storage: Storage, left_out: tuple[str, str] | None, seen: set[tuple[str, str]]) -> None:
        super().__init__(storage)
        self.left_out = left_out
        self.seen = seen

    def sync(self, file: int) -> None:
        if self._is_done("sync"):
            super().sync(file)

    def sync_directory(self) -> None:
        if self._is_done("sync_directory"):
            super().sync_directory()

    def _is_done(self, operation: str) -> bool:
        asked = (operation, sys._getframe(2).f_code.co_name)
        self.seen.add(asked)
        return asked != self.left_out


class History:
    """
    What a spool was asked for and what it promised, each with the length of the log when it was.
    """

    def __init__(self, seed: int, left_out: tuple[str, str] | None, seen: set[tuple[str, str]]) -> None:
        self.chance = random.Random(seed)
        self.storage = Storage()
        self.begun: dict[Message, int] = {}
        self.durable: dict[Message, int] = {}
        self.settled: dict[Message, int] = {}
        # Posted, and not known to have failed, from when until when.
        self.posted: dict[Message, tuple[int, float]] = {}
        self.open: dict[Message, Place] = {}
        self.spool = Spool(
            "/d",
            disk=Disk(self.storage, left_out, seen),
            delivers=True,
            sync_after_seconds=1000,
            max_segment_bytes=self.chance.choice((300, 900, 100_000)),
        )
        for number in range(self.chance.randrange(5, 40)):
            self.step(number)
        if self.chance.random() < 0.5:
            self.spool.close()

    @property
    def now(self) -> int:
        return len(self.storage.log)

    def step(self, number: int) -> None:
        chosen = self.chance.sample(list(self.open), min(len(self.open), self.chance.randrange(1, 4)))
        match self.chance.choice(("append", "append", "sync", "settle", "post", "post", "fail")):
            case "append":
                messages = [
                    (addition if self.chance.random() < 0.6 else event)(number * 10 + index)
                    for index in range(self.chance.randrange(1, 4))
                ]
                self.begun.update(dict.fromkeys(messages, self.now))
                self.open.update(zip(messages, self.spool.append(messages), strict=True))
            case "sync":
                self.spool.sync()
                for message in self.begun:
                    self.durable.setdefault(message, self.now)
            case "settle":
                self.settle([message for message in chosen if message.repeatable or message in self.posted])
            case "post":
                unsent = [message for message in chosen if not message.repeatable and message not in self.posted]
                self.spool.intend([self.open[message] for message in unsent])
                for message in unsent:
                    self.posted[message] = (self.now, float("inf"))
                if unsent and self.chance.random() < 0.3:
                    for message in unsent:
                        self.posted[message] = (self.posted[message][0], self.now)
                    self.spool.retract([self.open[message] for message in unsent])
                    for message in unsent:
                        del self.open[message]
                elif self.chance.random() < 0.5:
                    self.settle(unsent)
            case _:
                self.fail_once()

    def settle(self, messages: list[Message]) -> None:
        self.settled.update(dict.fromkeys(messages, self.now))
        self.spool.settle([self.open.pop(message) for message in messages])

    def fail_once(self) -> None:
        """
        Let the next sync of marks fail; the spool has to write them again.
        """

        def fail(operation: str, name: str, size: int) -> None:
            if operation == "sync" and name.endswith("-acks"):
                self.storage.fail = lambda operation, name, size: None
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.storage.fail = fail

    def broken_promises(self) -> list[str]:
        return [promise for at in range(self.now + 1) for promise in self.broken_at(at)]

    def broken_at(self, at: int) -> list[str]:
        found: Counter[Message] = Counter()
        may_be_posted: set[Message] = set()
        spool = Spool("/d", disk=FakeDisk(self.storage.after_power_cut(at, self.chance)))
        for segment in spool.adopt():
            for message, is_interrupted in read(segment):
                found[message] += 1
                if not is_interrupted:
                    may_be_posted.add(message)
        broken: list[str] = []
        for message, count in found.items():
            if self.begun.get(message, at) >= at:
                broken.append("a message that nobody appended")
            if count > 1:
                broken.append("a message twice")
        for message, since in self.durable.items():
            if since <= at and self.settled.get(message, at + 1) > at and message not in found:
                broken.append("a durable message lost")
        for message, (since, until) in self.posted.items():
            if since <= at < until and message in may_be_posted:
                broken.append("a message that was posted would be posted again")
        return broken


def read(segment: Segment) -> list[tuple[Message, bool]]:
    found: list[tuple[Message, bool]] = []
    at, is_end = 0, False
    while not is_end:
        chunk = segment.read(at, 1 << 16)
        found += [(stored.message, stored.place.start in segment.interrupted) for stored in chunk.stored]
        at, is_end = chunk.next, chunk.is_end
    return found


def test_row_40_a_power_cut_at_any_moment_breaks_no_promise() -> None:
    seen: set[tuple[str, str]] = set()
    for seed in range(60):
        assert History(seed, None, seen).broken_promises() == [], f"seed {seed}"
    assert seen == set(SYNCS)


@pytest.mark.parametrize("left_out", SYNCS, ids="-".join)
def test_row_40_without_one_of_the_syncs_a_promise_breaks(left_out: tuple[str, str]) -> None:
    assert any(History(seed, left_out, set()).broken_promises() for seed in range(400))


def test_row_40_never_promises_nothing_and_asks_for_nothing() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync="never")
    spool.append([event(1)])
    spool.sync()
    spool.close()
    assert {entry[0] for entry in storage.log} == {"create", "write"}


def test_row_40_always_is_durable_when_append_returns() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync="always")
    for number in range(3):
        spool.append([event(number)])
        for seed in range(20):
            left = Spool("/d", disk=FakeDisk(storage.after_power_cut(len(storage.log), random.Random(seed))))
            (segment,) = left.adopt()
            assert [message for message, _ in read(segment)] == [event(each) for each in range(number + 1)]


def test_what_could_not_be_made_durable_is_no_broken_promise() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync="always")

    def fail(operation: str, name: str, size: int) -> None:
        if operation == "sync":
            raise OSError(errno.EIO, "")

    storage.fail = fail
    with pytest.raises(SpoolError):
        spool.append([event(1)])
    storage.fail = lambda operation, name, size: None
    left = Spool("/d", disk=FakeDisk(storage))
    assert [message for segment in left.adopt() for message, _ in read(segment)] == []
