"""
Signal handlers that raise, or that append, at each moment at which one can run: rows 61 and 62 of the fault matrix.

Such moments are the beginning of a function and the return of a call of something written in C. The interpreter tells
both of them to a profile function, which here stands for the handler.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from fake_disk import FakeDisk, Storage
from spool_kit import EVENTS, addition, drain, event, files, messages

import mixwire.transports.spool
from mixwire.core import Message
from mixwire.transports.spool import Place, Spool, Sync

# What is interrupted between making an iterator of the system's and its `with` says that it was not closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

GUARD_SECONDS = 20.0
ROOM = str(Path(mixwire.transports.spool.__file__).parent)


def is_moment(frame: FrameType, happened: str) -> bool:
    return happened in {"call", "c_return"} and frame.f_code.co_filename.startswith(ROOM)


class Signal:
    """
    Calls a handler at one moment of what happens within `with`, in the code of this library.
    """

    def __init__(self, number: int, handler: Callable[[], object]) -> None:
        self.left = number
        self.handler = handler

    def __enter__(self) -> Signal:
        sys.setprofile(self._moment)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    @property
    def came(self) -> bool:
        return self.left <= 0

    def _moment(self, frame: FrameType, happened: str, _: Any) -> None:
        if is_moment(frame, happened):
            self.left -= 1
            if self.left == 0:
                self.handler()


def interrupt() -> None:
    raise KeyboardInterrupt


def elsewhere(do: Callable[[], object]) -> None:
    """
    Do it in another thread, which waits for ever if a lock was left behind.
    """
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(GUARD_SECONDS)
    assert not thread.is_alive()


def use(spool: Spool, accepted: list[Message]) -> None:
    """
    What can be done with a spool, in a way that makes several segments.
    """
    places: list[Place] = []
    for message in (addition(1), addition(2), EVENTS[0]):
        places += spool.append([message])
        accepted.append(message)
    more = spool.append(EVENTS[1:3])
    accepted += EVENTS[1:3]
    spool.sync()
    spool.intend(more)
    spool.retract(more)


# Each moment in memory in the mode that is the default; elsewhere some of them.
@pytest.mark.parametrize(
    ("mode", "step", "is_real"),
    [("interval", 1, False), ("always", 4, False), ("never", 4, False), ("interval", 6, True)],
)
def test_row_61_an_exception_out_of_a_signal_handler_at_any_moment_leaves_a_spool_that_works(
    tmp_path: Path, mode: Sync, step: int, is_real: bool
) -> None:
    for number in count(1, step):
        directory, storage = tmp_path / f"{number}", Storage()
        spool = Spool(
            directory,
            disk=None if is_real else FakeDisk(storage),
            delivers=True,
            sync=mode,
            max_segment_bytes=600,
        )
        accepted: list[Message] = []
        handler = Signal(number, interrupt)
        try:
            with handler:
                use(spool, accepted)
        except KeyboardInterrupt:
            pass
        elsewhere(lambda spool=spool: (spool.append([EVENTS[9]]), spool.sync(), spool.close()))  # type: ignore[misc]
        again = Spool(directory, disk=None if is_real else FakeDisk(storage))
        found = messages(drain(again))
        again.close()
        assert len(found) == len(set(found))
        assert {*accepted, EVENTS[9]} <= set(found) <= {addition(1), addition(2), *EVENTS[:3], EVENTS[9]}
        if not handler.came:
            break
    assert number > 100


def test_row_61_a_close_that_was_interrupted_at_any_moment_can_be_called_again(tmp_path: Path) -> None:
    for number in count(1):
        directory = tmp_path / f"{number}"
        spool = Spool(directory, delivers=True, max_segment_bytes=600)
        spool.settle(spool.append(EVENTS[:1]))
        spool.append(EVENTS[1:5])
        handler = Signal(number, interrupt)
        try:
            with handler:
                spool.close()
        except KeyboardInterrupt:
            pass
        elsewhere(spool.close)
        again = Spool(directory)
        assert messages(drain(again)) == EVENTS[1:5]
        again.close()
        if not handler.came:
            break
    assert number > 30


def test_row_61_who_delivers_loses_and_doubles_nothing_when_interrupted_at_any_moment(tmp_path: Path) -> None:
    for number in count(1, 3):
        directory = tmp_path / f"{number}"
        for each in EVENTS[:2]:
            left = Spool(directory)
            left.append([each])
            left.close()
        spool = Spool(directory)
        settled: list[Message] = []
        handler = Signal(number, interrupt)
        try:
            with handler:
                for segment in spool.adopt():
                    stored = segment.read(0, 1 << 16).stored
                    settled += messages(list(stored))
                    spool.settle([each.place for each in stored])
        except KeyboardInterrupt:
            pass
        elsewhere(spool.close)
        again = Spool(directory)
        found = messages(drain(again))
        again.close()
        # The last of them perhaps was not settled.
        assert [*settled[:-1], *found] in (EVENTS[:2], [*settled[:-1], *EVENTS[len(settled) : 2]])
        assert files(directory) == []
        if not handler.came:
            break
    assert number > 50


@pytest.mark.parametrize(("mode", "step"), [("interval", 1), ("always", 4), ("never", 4)])
def test_row_62_a_signal_handler_that_appends_at_any_moment_stores_its_message_once(mode: Sync, step: int) -> None:
    for number in count(1, step):
        storage = Storage()
        spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync=mode, max_segment_bytes=600)
        accepted: list[Message] = []
        places: list[Place] = []
        handler = Signal(number, lambda spool=spool, places=places: places.extend(spool.append([EVENTS[8]])))
        with handler:
            use(spool, accepted)
        spool.append([EVENTS[9]])
        assert all(place.end for place in places)
        spool.close()
        again = Spool("/d", disk=FakeDisk(storage))
        found = messages(drain(again))
        again.close()
        expected = [*accepted, *([EVENTS[8]] if handler.came else []), EVENTS[9]]
        assert sorted(each.body for each in found) == sorted(each.body for each in expected)
        if not handler.came:
            break
    assert number > 100


class Burst:
    """
    From one moment on, a handler at each of the next ones.
    """

    def __init__(self, spool: Spool, moment: int) -> None:
        self.spool = spool
        self.left = moment
        self.sent: list[Message] = []

    def __call__(self, frame: FrameType, happened: str, _: Any) -> None:
        if is_moment(frame, happened):
            self.left -= 1
            if self.left < 0 and len(self.sent) < 40:
                self.sent.append(event(100 + len(self.sent)))
                self.spool.append(self.sent[-1:])


def test_row_62_several_signal_handlers_within_one_append_store_their_messages_once() -> None:
    # One leaves its message to the append, the next comes while that is about to store it.
    for number in count(1):
        storage = Storage()
        spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
        spool.append(EVENTS[:1])
        burst = Burst(spool, number)
        sys.setprofile(burst)
        try:
            spool.append(EVENTS[1:2])
        finally:
            sys.setprofile(None)
        spool.close()
        again = Spool("/d", disk=FakeDisk(storage))
        found = messages(drain(again))
        again.close()
        expected = [*EVENTS[:2], *burst.sent]
        assert sorted(each.body for each in found) == sorted(each.body for each in expected)
        if not burst.sent:
            break
    assert number > 10


def test_row_61_a_real_signal_at_random_moments_leaves_no_lock_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", delivers=True, max_segment_bytes=2000)
    accepted: list[Message] = []

    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    interrupts, number = 0, 0
    try:
        while interrupts < 200:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00005 + 0.000007 * interrupts)
                while True:
                    number += 1
                    message = event(number)
                    spool.append([message])
                    accepted.append(message)
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    elsewhere(spool.close)
    again = Spool(tmp_path / "spool")
    found = messages(drain(again))
    again.close()
    assert len(found) == len(set(found))
    assert set(accepted) <= set(found)
