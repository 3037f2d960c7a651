"""
Finalisers that send, which the collector runs in any thread and under any lock: row 62 of the fault matrix.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from worlds import DOWN, Gate, World, addition, close_all, event, eventually, stored_in, sum_of, transport, update

import mixwire.transports.spool
from mixwire.core import Message, Outcome
from mixwire.transports import BufferedTransport, SpoolSettings, TeeTransport
from mixwire.transports.journal import HOLDERS, holding

GUARD_SECONDS = 20.0
ROOM = str(Path(mixwire.transports.spool.__file__).parent)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    close_all()
    # A thread that was told to end may still be on its way out of a lock.
    end = time.monotonic() + 10.0
    while HOLDERS and time.monotonic() < end:
        time.sleep(0.01)
    assert not HOLDERS


class Cycle:
    """
    Garbage for the collector alone, which does something when it is found.
    """

    def __init__(self, do: Callable[[], object]) -> None:
        self.me = self
        self.do = do

    def __del__(self) -> None:
        self.do()


class At:
    """
    Does something once, in this thread, when a function of the transports with that name is called within `with`.
    """

    def __init__(self, name: str, do: Callable[[], object]) -> None:
        self.name = name
        self.do = do
        self.came = False

    def __enter__(self) -> At:
        sys.setprofile(self._moment)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _moment(self, frame: FrameType, happened: str, _: Any) -> None:
        code = frame.f_code
        if happened == "call" and code.co_name == self.name and code.co_filename.startswith(ROOM) and not self.came:
            self.came = True
            self.do()


def start(do: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def end(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(GUARD_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"


def is_stuck_in(thread: threading.Thread, *files: str) -> Callable[[], bool]:
    """
    Whether the thread stands still in one of these files, as one does that waits for a lock.
    """
    before: list[object] = []

    def look() -> bool:
        assert thread.ident is not None
        frame = sys._current_frames()[thread.ident]
        before[:] = [*before[-9:], (frame.f_code, frame.f_lasti)]
        return Path(frame.f_code.co_filename).name in files and len(before) == 10 and len(set(before)) == 1

    return look


def spooled(world: World, directory: Path, **options: Any) -> BufferedTransport:
    # The only one that syncs is the test.
    return transport(world, spool=SpoolSettings(directory=directory, sync_after_seconds=3600.0), **options)


def send_where_a_lock_is_held(buffered: BufferedTransport, *messages: Message) -> None:
    """
    As a finaliser does that is run in the midst of something.
    """
    end(start(lambda: holding(lambda: buffered.send(*messages))))


@pytest.mark.parametrize("moment", ["_snapshot", "_synced_up_to"])
def test_row_62_a_finaliser_may_send_in_the_thread_that_syncs(tmp_path: Path, moment: str) -> None:
    world = World()
    buffered = spooled(world, tmp_path)
    spool = buffered._spool
    assert spool is not None
    buffered.send(event(0))
    is_held, is_done = threading.Event(), threading.Event()

    def collect() -> None:
        is_held.set()
        # It has the lock of the intake, and wants that of the journal.
        eventually(is_stuck_in(sender, "journal.py"))
        Cycle(lambda: buffered.send(event(2)))
        gc.collect()
        is_done.set()

    def sync() -> None:
        with At(moment, collect):
            spool.sync()

    def send() -> None:
        is_held.wait(GUARD_SECONDS)
        buffered.send(event(1))

    sender = start(send)
    end(start(sync), sender)
    assert is_done.is_set()
    buffered.flush(GUARD_SECONDS)
    assert sorted(world.numbers()) == [0, 1, 2]
    stats = buffered.stats()
    assert (stats.accepted, stats.delivered) == (3, 3)
    buffered.close(GUARD_SECONDS)
    assert stored_in(tmp_path) == []


@pytest.mark.parametrize(("has_spool", "moment"), [(True, "_write"), (False, "_has_room")])
def test_row_62_finalisers_in_two_transports_may_send_to_both(tmp_path: Path, has_spool: bool, moment: str) -> None:
    world = World()
    one, other = (spooled(world, tmp_path / name) if has_spool else transport(world) for name in ("one", "other"))
    both = TeeTransport(one, other)
    # Each thread is in the midst of storing when the other gets there too.
    barrier = threading.Barrier(2, timeout=GUARD_SECONDS)

    def finalise(number: int) -> None:
        barrier.wait()
        garbage = Cycle(lambda: both.send(event(number)))
        del garbage.me
        del garbage

    def send(buffered: BufferedTransport, number: int) -> None:
        with At(moment, lambda: finalise(number + 10)):
            buffered.send(event(number))

    end(start(lambda: send(one, 0)), start(lambda: send(other, 1)))
    both.flush(GUARD_SECONDS)
    assert sorted(world.numbers()) == [0, 1, 10, 10, 11, 11]
    assert (one.stats().accepted, other.stats().accepted) == (3, 3)


def test_row_62_a_finaliser_does_not_wait_for_a_transport_that_closes_meanwhile(tmp_path: Path) -> None:
    world = World()
    buffered = spooled(world, tmp_path)
    buffered.send(event(0))
    buffered.flush(GUARD_SECONDS)
    spool = buffered._spool
    assert spool is not None
    threads: list[threading.Thread] = []

    def close() -> None:
        threads.append(start(lambda: buffered.close(GUARD_SECONDS)))
        eventually(lambda: buffered._courier.is_stopping)

    def send() -> None:
        # The one who closes cannot close the spool before this is given back.
        with spool._journal._lock, At("is_delivering", close):
            buffered.send(event(1))

    end(start(lambda: holding(send)))
    end(*threads)
    eventually(lambda: buffered._courier.is_stopped)
    stats = buffered.stats()
    assert stats.accepted == 2
    assert sum_of(stats) == 2
    assert stats.held + stats.failed == 1
    assert len(stored_in(tmp_path)) == stats.held


@pytest.mark.parametrize("background", [True, False])
def test_row_62_what_comes_after_the_end_where_nobody_could_wait_is_given_back(
    tmp_path: Path, background: bool
) -> None:
    world = World()
    buffered = spooled(world, tmp_path, background=background)
    is_ended, is_put = threading.Event(), threading.Event()
    at_end = buffered._courier._at_end

    def linger() -> None:
        at_end()
        is_ended.set()
        is_put.wait(GUARD_SECONDS)

    buffered._courier._at_end = linger
    buffered.send(event(0))
    buffered.flush(GUARD_SECONDS)
    threads: list[threading.Thread] = []

    def close() -> None:
        threads.append(start(lambda: buffered.close(GUARD_SECONDS)))
        assert is_ended.wait(GUARD_SECONDS)

    def send() -> None:
        with At("is_delivering", close):
            buffered.send(event(1))
        is_put.set()

    end(start(lambda: holding(send)))
    end(*threads)
    eventually(lambda: buffered.stats().failed == 1)
    assert buffered.stats().held == 0


def test_row_64_a_handler_of_the_log_may_send_while_the_disk_fails(tmp_path: Path) -> None:
    world = World()
    buffered = transport(world, spool=tmp_path)
    spool = buffered._spool
    assert spool is not None
    is_locked, is_logging, said = threading.Event(), threading.Event(), list[str]()

    class Ships(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())
            if said[-1] == "shipped":
                is_locked.wait(GUARD_SECONDS)
                is_logging.set()
                buffered.send(event(1))

    def fail() -> None:
        with spool._journal._lock:
            is_locked.set()
            is_logging.wait(GUARD_SECONDS)
            eventually(is_stuck_in(logs, "journal.py"))
            spool._journal._fail()

    handler, logger = Ships(), logging.getLogger("mixwire.spool")
    logs = threading.Thread(target=lambda: logger.error("shipped"), daemon=True)
    logger.addHandler(handler)
    try:
        logs.start()
        end(logs, start(fail))
        eventually(lambda: len(said) == 2)
    finally:
        logger.removeHandler(handler)
    assert said[1:] == ["the disk of the spool failed; trying again in 60 seconds"]
    buffered.flush(GUARD_SECONDS)
    assert world.numbers() == [1]


def test_what_is_sent_where_a_lock_is_held_is_stored_by_whoever_comes_next(tmp_path: Path) -> None:
    world = World(lambda _request: DOWN)
    buffered = spooled(world, tmp_path, flush_after_seconds=3600.0)
    buffered.send(event(0))
    eventually(lambda: not buffered._courier.is_idle)
    send_where_a_lock_is_held(buffered, addition(1), update(1))
    assert (buffered.stats().accepted, buffered.stats().held) == (3, 3)
    eventually(lambda: not buffered._intake.has_left)
    buffered.send(update(2))
    stats = buffered.stats()
    assert (stats.accepted, stats.held) == (4, 4)
    buffered.close(0.0)
    assert [stored.message for stored in stored_in(tmp_path)] == [event(0), addition(1), update(1), update(2)]
    assert buffered.stats().failed == 0


def test_what_was_sent_where_a_lock_is_held_stays_in_the_spool_at_a_close_in_a_hurry(tmp_path: Path) -> None:
    buffered = spooled(World(), tmp_path, background=False, flush_after_seconds=3600.0)
    send_where_a_lock_is_held(buffered, addition(1))
    buffered.close(0.0)
    assert [stored.message for stored in stored_in(tmp_path)] == [addition(1)]
    assert (buffered.stats().held, buffered.stats().failed) == (1, 0)


@pytest.mark.parametrize("background", [True, False])
def test_a_flush_waits_for_what_was_sent_where_a_lock_is_held(tmp_path: Path, background: bool) -> None:
    world = World()
    buffered = spooled(world, tmp_path, background=background, flush_after_seconds=3600.0)
    send_where_a_lock_is_held(buffered, event(0), event(1))
    outcome = buffered.flush(GUARD_SECONDS)
    assert outcome.delivered == (event(0), event(1))
    send_where_a_lock_is_held(buffered, event(2))
    assert buffered.close(GUARD_SECONDS).delivered == (event(2),)
    assert stored_in(tmp_path) == []


def test_a_flush_within_a_send_does_not_wait_for_that_send_to_store_what_was_left(tmp_path: Path) -> None:
    world = World()
    buffered = spooled(world, tmp_path)
    outcomes: list[Outcome] = []

    def flush() -> None:
        send_where_a_lock_is_held(buffered, event(1))
        outcomes.append(buffered.flush(GUARD_SECONDS))

    with At("_write", flush):
        buffered.send(event(0))
    assert outcomes[0].delivered == (event(1),)
    assert buffered.stats().accepted == 2
    buffered.flush(GUARD_SECONDS)
    assert sorted(world.numbers()) == [0, 1]
    buffered.close(GUARD_SECONDS)
    assert stored_in(tmp_path) == []


def test_a_finaliser_in_the_thread_that_delivers_leaves_what_it_sends_to_the_next_turn(tmp_path: Path) -> None:
    world, gate = World(), Gate()
    world.rule = gate
    buffered = spooled(world, tmp_path)
    spool = buffered._spool
    assert spool is not None
    settle, sent = spool.settle, threading.Event()

    def collect(places: Any) -> None:
        with spool._shelf.lock:
            if not sent.is_set():
                Cycle(lambda: buffered.send(event(1)))
                gc.collect()
                assert buffered._intake.has_left
                sent.set()
            settle(places)

    spool.settle = collect  # type: ignore[method-assign]
    buffered.send(event(0))
    gate.is_open.set()
    assert sent.wait(GUARD_SECONDS)
    buffered.flush(GUARD_SECONDS)
    assert world.numbers() == [0, 1]
    assert buffered.stats().held == 0
