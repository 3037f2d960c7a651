"""
Signal handlers that raise, or that append, at each moment at which one can run: rows 61 and 62 of the fault matrix.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from functools import partial
from itertools import combinations, count
from pathlib import Path

import pytest
from fake_disk import FakeDisk, Storage
from moments import GUARD_SECONDS, Signal, elsewhere, interrupt
from spool_kit import EVENTS, addition, drain, event, files, messages

from mixwire.core import Message
from mixwire.transports.spool import Place, Segment, Spool, SpoolError, Sync

# What is interrupted between making an iterator of the system's and its `with` says that it was not closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def is_synced(storage: Storage) -> bool:
    """
    Whether no message was written after the last sync of its file.
    """
    unsynced: set[object] = set()
    for operation, *rest in storage.log:
        if operation == "write" and b'"body":' in rest[2]:
            unsynced.add(rest[0])
        elif operation == "sync":
            unsynced.discard(rest[0])
    return not unsynced


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
        for later in EVENTS[8:]:
            elsewhere(partial(spool.append, [later]))
        # Here it must not be taken for one that syncs already.
        spool.sync()
        assert is_real or mode == "never" or is_synced(storage)
        elsewhere(spool.close)
        again = Spool(directory, disk=None if is_real else FakeDisk(storage))
        found = messages(drain(again))
        again.close()
        assert len(found) == len(set(found))
        assert {*accepted, *EVENTS[8:]} <= set(found) <= {addition(1), addition(2), *EVENTS[:3], *EVENTS[8:]}
        if not handler.came:
            break
    assert number > 100


def test_row_61_what_a_signal_handler_appends_before_it_raises_is_stored_once() -> None:
    for number in count(1):
        storage = Storage()
        spool = Spool("/d", disk=FakeDisk(storage), delivers=True, max_segment_bytes=600)
        spool.append(EVENTS[:1])

        def handler(spool: Spool = spool) -> None:
            spool.append(EVENTS[8:9])
            raise KeyboardInterrupt

        interrupting = Signal(number, handler)
        try:
            with interrupting:
                spool.append(EVENTS[1:2])
        except KeyboardInterrupt:
            pass
        spool.close()
        again = Spool("/d", disk=FakeDisk(storage))
        found = messages(drain(again))
        again.close()
        assert len(found) == len(set(found))
        assert {EVENTS[0], *(EVENTS[8:9] if interrupting.came else [])} <= set(found)
        if not interrupting.came:
            break
    assert number > 10


def test_row_61_after_an_interrupt_at_any_moment_there_is_somebody_who_syncs() -> None:
    for number in count(1):
        storage = Storage()
        spool = Spool("/d", disk=FakeDisk(storage), sync_after_seconds=0.001)
        handler = Signal(number, interrupt)
        try:
            with handler:
                spool.append(EVENTS[:1])
        except KeyboardInterrupt:
            pass
        spool.append(EVENTS[1:2])
        end = time.monotonic() + GUARD_SECONDS
        while storage.log[-1][0] not in {"sync", "sync_directory"}:
            assert time.monotonic() < end
            time.sleep(0.001)
        spool.close()
        if not handler.came:
            break
    assert number > 10


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
        segments: list[Segment] = []
        handler = Signal(number, interrupt)
        try:
            with handler:
                segments = spool.adopt()
                for segment in segments:
                    spool.settle([stored.place for stored in segment.read(0, 1 << 16).stored])
        except KeyboardInterrupt:
            pass
        # What was handed out can still be delivered here, all else by others.
        for segment in segments:
            spool.settle([stored.place for stored in segment.read(0, 1 << 16).stored])
        elsewhere(spool.close)
        again = Spool(directory)
        found = messages(drain(again))
        again.close()
        assert found == ([] if segments else EVENTS[:2])
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


@pytest.mark.parametrize(("mode", "raises"), [("interval", False), ("interval", True), ("never", True)])
def test_row_62_two_signal_handlers_within_one_append_store_their_messages_once(mode: Sync, raises: bool) -> None:
    # The first leaves its message to the append, the second comes while that is about to store it.
    for first, second in combinations(range(1, 30), 2):
        storage = Storage()
        spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync=mode)
        spool.append(EVENTS[:1])
        sent: list[Message] = []

        def send(message: Message, spool: Spool = spool, sent: list[Message] = sent) -> None:
            spool.append([message])
            sent.append(message)

        last = interrupt if raises else partial(send, EVENTS[9])
        try:
            with Signal(first, partial(send, EVENTS[8]), {second: last}):
                spool.append(EVENTS[1:2])
                sent.append(EVENTS[1])
        except KeyboardInterrupt:
            pass
        spool.close()
        again = Spool("/d", disk=FakeDisk(storage))
        found = messages(drain(again))
        again.close()
        assert len(found) == len(set(found))
        assert {EVENTS[0], *sent} <= set(found) <= {*EVENTS[:2], *sent}


@pytest.mark.parametrize("what", ["append", "close"])
def test_row_62_a_signal_handler_within_settle_does_not_wait_for_who_waits_for_settle(what: str) -> None:
    storage = Storage()
    # Each message fills a segment, which is closed when it is durable.
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync="always", max_segment_bytes=1)
    places = spool.append(EVENTS[:1])
    others: list[threading.Thread] = []

    def interrupted(operation: str, name: str, _: int) -> None:
        if operation == "write" and name.endswith("-acks") and not others:
            do = spool.close if what == "close" else partial(spool.append, EVENTS[1:2])
            others.append(threading.Thread(target=do, daemon=True))
            others[0].start()
            # Until it waits for the lock that is held here, or is done without.
            others[0].join(0.2)
            with suppress(SpoolError):
                spool.append(EVENTS[2:3])

    storage.fail = interrupted
    elsewhere(lambda: spool.settle(places))
    others[0].join(GUARD_SECONDS)
    assert not others[0].is_alive()
    elsewhere(spool.close)


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
                # Longer than any of the waits, but not for ever: what a handler raises is lost if it interrupts a
                # finaliser.
                for _ in range(500):
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
