"""
Delivery in the background and in the caller, with a plain function for the network. Rows of the fault matrix have their
number in the name.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from raw_server import Peer, RawServer
from worlds import (
    BAD,
    BUSY,
    DOWN,
    GOOD,
    LOST,
    NOW,
    PROJECT,
    Ear,
    Gate,
    Watch,
    World,
    addition,
    alias,
    bodies_of,
    close_all,
    event,
    events,
    eventually,
    group,
    path_of,
    stored_in,
    sum_of,
    transport,
    update,
)

from mixwire.core import Answer, Cause, InvalidValue, NoResponse, Outcome, Project, Request, Response, Track, encode
from mixwire.transports import BufferedTransport, SpoolSettings
from mixwire.transports.courier import Courier, Flush
from mixwire.transports.disk import Disk
from mixwire.transports.journal import holding

HOUR_SECONDS = 3600.0
BOTH = pytest.mark.parametrize("background", [True, False], ids=["threads", "no threads"])


class Now:
    """
    A monotonic time that a test sets.
    """

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    close_all()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


# What it takes, and when it leaves.


def test_send_holds_and_returns_the_empty_outcome() -> None:
    world = World()
    buffered = transport(world, flush_after_seconds=HOUR_SECONDS)
    with Watch():
        for number in range(1_000):
            assert len(buffered.send(event(number))) == 0
    assert buffered.stats().held == 1_000
    assert len(buffered.close(0.0).failed) == 1_000
    assert world.requests == []


@BOTH
def test_its_troubles_are_those_of_the_last_request_to_each_endpoint(background: bool) -> None:
    sick: dict[str, Answer] = {"/track": Response(status=500, body=b"canary"), "/engage": DOWN}
    world = World(lambda request: sick.get(path_of(request), GOOD))
    buffered = transport(world, background=background)
    assert buffered.troubles == ()
    buffered.send(event(0), update(0))

    def after_a_flush(*troubles: str) -> bool:
        buffered.flush(0.01)
        return sorted(buffered.troubles) == sorted(troubles)

    eventually(lambda: after_a_flush("the server had an error: HTTP 500", "the server was not reached: down"))
    del sick["/engage"]
    eventually(lambda: after_a_flush("the server had an error: HTTP 500"))
    del sick["/track"]
    eventually(after_a_flush)
    assert buffered.close().is_success


def test_no_thread_runs_before_the_first_message() -> None:
    before = threads()
    buffered = transport(World())
    assert threads() <= before
    buffered.close()


def test_a_message_that_is_none_is_refused_and_nothing_is_taken() -> None:
    buffered = transport(World())
    with pytest.raises(InvalidValue, match=r"messages\[1\]"):
        buffered.send(event(0), "no message")  # type: ignore[arg-type]
    assert buffered.stats().accepted == 0
    buffered.close()


@BOTH
def test_a_full_batch_leaves_at_once(background: bool) -> None:
    world = World()
    buffered = transport(world, flush_after_seconds=HOUR_SECONDS, max_messages=10, background=background)
    for number in range(9):
        buffered.send(event(number))
    assert world.requests == []
    buffered.send(event(9))
    eventually(lambda: world.sizes() == [10])
    buffered.close()


@BOTH
def test_so_many_bytes_leave_at_once(background: bool) -> None:
    world = World()
    buffered = transport(world, flush_after_seconds=HOUR_SECONDS, max_bytes=4_000, background=background)
    buffered.send(event(0, filling="x" * 1_000))
    assert world.requests == []
    for number in range(1, 4):
        buffered.send(event(number, filling="x" * 1_000))
    eventually(world.records)
    buffered.close()


def test_a_message_that_is_old_enough_leaves() -> None:
    world = World()
    buffered = transport(world, flush_after_seconds=0.02)
    buffered.send(event(0))
    eventually(lambda: world.numbers() == [0])
    buffered.send(event(1))
    eventually(lambda: world.numbers() == [0, 1])
    buffered.close()


def test_up_to_four_requests_for_events_are_under_way() -> None:
    gate = Gate()
    world = World(gate)
    buffered = transport(world, max_messages=1)
    buffered.send(*events(12))
    eventually(lambda: len(world.requests) == 4)
    time.sleep(0.05)
    assert len(world.requests) == 4
    gate.is_open.set()
    buffered.close()
    assert world.most["/track"] == 4
    assert sorted(world.numbers()) == list(range(12))


def test_fewer_may_be_under_way_if_so_chosen() -> None:
    world = World()
    with transport(world, max_messages=1, max_in_flight=1) as buffered:
        buffered.send(*events(8))
    assert world.most["/track"] == 1
    assert world.numbers() == list(range(8))


@pytest.mark.parametrize(("make", "path"), [(update, "/engage"), (group, "/groups")])
@BOTH
def test_updates_travel_one_request_at_a_time_in_order(make: Any, path: str, background: bool) -> None:
    world = World(lambda _request: (time.sleep(0.001), GOOD)[1])
    with transport(world, max_messages=3, background=background) as buffered:
        for step in range(30):
            buffered.send(make(step))
    assert world.most[path] == 1
    assert world.steps(path) == list(range(30))


@BOTH
def test_nothing_overtakes_an_alias(background: bool) -> None:
    world = World(lambda _request: (time.sleep(0.001), GOOD)[1])
    with transport(world, max_messages=2, background=background) as buffered:
        buffered.send(event(0, "u1"), update(0, "u1"), alias("a1", "u1"), event(1, "a1"), update(1, "a1"))
    order = [record.get("event") or record["$distinct_id"] for record in world.records()]
    place = order.index("$create_alias")
    assert sorted(order[:place]) == ["Opened", "u1"]
    assert sorted(order[place + 1 :]) == ["Opened", "a1"]


# How much it holds.


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    gate = Gate()
    world = World(gate)
    buffered = transport(world, max_held_messages=10)
    buffered.send(*events(4))
    eventually(lambda: world.requests)
    buffered.send(*events(21, start=4))
    stats = buffered.stats()
    assert (stats.accepted, stats.held, stats.dropped) == (25, 10, 15)
    gate.is_open.set()
    buffered.close()
    # The oldest are kept.
    assert sorted(world.numbers()) == list(range(10))


def test_bytes_are_counted_as_well() -> None:
    buffered = transport(World(Gate()), max_held_bytes=10 * (512 + len(event(10).body)), flush_after_seconds=3600)
    for number in range(10, 35):
        buffered.send(event(number))
    stats = buffered.stats()
    assert (stats.held, stats.dropped) == (10, 15)
    buffered.close(0.0)


def test_a_blocked_send_goes_on_when_room_appears() -> None:
    gate = Gate()
    world = World(gate)
    buffered = transport(world, max_held_messages=5, when_full="block", block_seconds=30.0)
    buffered.send(*events(5))
    sender = threading.Thread(target=buffered.send, args=events(5, start=5))
    sender.start()
    time.sleep(0.03)
    assert sender.is_alive()
    gate.is_open.set()
    sender.join(5.0)
    assert not sender.is_alive()
    buffered.close()
    assert sorted(world.numbers()) == list(range(10))
    assert buffered.stats().dropped == 0


def test_a_blocked_send_drops_at_its_deadline() -> None:
    buffered = transport(World(Gate()), max_held_messages=5, when_full="block", block_seconds=0.05)
    buffered.send(*events(5))
    with Watch():
        buffered.send(event(5))
    assert buffered.stats().dropped == 1
    buffered.close(0.0)


@BOTH
def test_a_send_that_keeps_pace_waits_as_long_as_the_server_takes_messages(background: bool) -> None:
    world = World(lambda _request: (time.sleep(0.02), GOOD)[1])
    buffered = transport(
        world, background=background, max_messages=1, max_held_messages=2, when_full="pace", block_seconds=0.3
    )
    with Watch():
        buffered.send(*[update(number) for number in range(30)])
    buffered.close()
    assert world.steps() == list(range(30))
    assert buffered.stats().dropped == 0


@BOTH
def test_a_send_that_keeps_pace_waits_for_no_batch_to_become_full(background: bool) -> None:
    world = World()
    buffered = transport(
        world,
        background=background,
        max_held_messages=2,
        flush_after_seconds=HOUR_SECONDS,
        when_full="pace",
        block_seconds=30.0,
    )
    with Watch():
        buffered.send(*events(6))
    buffered.close()
    assert sorted(world.numbers()) == list(range(6))


@BOTH
def test_a_send_that_keeps_pace_drops_at_once_in_an_outage(background: bool) -> None:
    buffered = transport(
        World(lambda _request: DOWN), background=background, max_held_messages=5, when_full="pace", block_seconds=60.0
    )
    buffered.send(*events(5))
    eventually(lambda: (buffered.flush(0.01), buffered.troubles)[1])
    with Watch():
        buffered.send(*events(200, start=5))
    assert buffered.stats().dropped == 200
    buffered.close(0.0)


def test_a_send_that_keeps_pace_drops_when_nothing_is_settled_for_long() -> None:
    buffered = transport(World(Gate()), max_held_messages=5, when_full="pace", block_seconds=0.05)
    buffered.send(*events(5))
    with Watch():
        buffered.send(event(5))
    assert buffered.stats().dropped == 1
    buffered.close(0.0)


@pytest.mark.parametrize("when_full", ["block", "pace"])
def test_whoever_interrupts_what_has_a_lock_does_not_wait_for_room(when_full: Any) -> None:
    buffered = transport(World(Gate()), max_held_messages=5, when_full=when_full, block_seconds=60.0)
    buffered.send(*events(5))
    with Watch():
        holding(lambda: buffered.send(event(5)))
    assert buffered.stats().dropped == 1
    buffered.close(0.0)


def test_there_is_never_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    buffered = transport(World(Gate()), max_held_messages=3)
    add = buffered._lanes.add

    def add_late(*arguments: Any) -> None:
        # While they are neither here nor there.
        sender = threading.Thread(target=buffered.send, args=events(3, start=3))
        sender.start()
        sender.join(5.0)
        add(*arguments)

    monkeypatch.setattr(buffered._lanes, "add", add_late)
    buffered.send(*events(3))
    eventually(lambda: buffered.stats().accepted == 6)
    assert (buffered.stats().held, buffered.stats().dropped) == (3, 3)
    buffered.close(0.0)


def test_what_spills_is_read_back_in_order_and_memory_stays_bounded(tmp_path: Path) -> None:
    gate = Gate()
    world = World(gate)
    buffered = transport(world, spool=tmp_path / "spool", max_held_messages=20, max_messages=5)
    for step in range(300):
        buffered.send(update(step))
    assert buffered.stats().held == 300
    assert buffered._lanes.count + buffered._intake.count <= 20
    gate.is_open.set()
    assert len(buffered.flush(30.0)) == 300
    buffered.close()
    assert world.steps() == list(range(300))
    stats = buffered.stats()
    assert (stats.delivered, stats.held, stats.dropped) == (300, 0, 0)
    assert stored_in(tmp_path / "spool") == []


def test_sends_while_spilled_messages_are_read_back_keep_their_order(tmp_path: Path) -> None:
    world = World()
    settings = SpoolSettings(directory=tmp_path / "spool", max_segment_bytes=4_000)
    buffered = transport(world, spool=settings, max_held_messages=8, max_messages=3)
    for step in range(500):
        buffered.send(update(step))
    assert len(buffered.close(30.0)) >= 0
    assert world.steps() == list(range(500))
    assert buffered.stats().delivered == 500


def test_spilled_messages_that_retention_took_are_counted_and_nobody_waits_for_them(tmp_path: Path) -> None:
    gate = Gate()
    world = World(gate)
    settings = SpoolSettings(directory=tmp_path / "spool", max_bytes=20_000, when_full="drop_oldest")
    buffered = transport(world, spool=settings, max_held_messages=4, max_messages=2)
    for step in range(400):
        buffered.send(update(step))
    gate.is_open.set()
    buffered.flush(10.0)
    stats = buffered.stats()
    assert stats.held == 0
    assert stats.dropped > 0
    assert stats.delivered + stats.dropped == 400
    assert world.steps() == sorted(world.steps())
    buffered.close()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"max_in_flight": 5}, "max_in_flight"),
        ({"max_held_messages": 0}, "max_held_messages"),
        ({"max_held_bytes": 0}, "max_held_bytes"),
        ({"flush_after_seconds": -1.0}, "flush_after_seconds"),
        ({"flush_after_seconds": float("nan")}, "flush_after_seconds"),
        ({"block_seconds": -1.0}, "block_seconds"),
        ({"exit_seconds": -1.0}, "exit_seconds"),
        ({"close_seconds": -1.0}, "close_seconds"),
        ({"max_tries": 0}, "max_tries"),
        ({"max_messages": 0}, "max_messages"),
        ({"when_full": "burst"}, "when_full"),
        ({"when_full": "spill"}, "when_full"),
        ({"spool": "/", "max_tries": 3}, "max_tries"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidValue, match=name):
        BufferedTransport(PROJECT, **options)


def test_a_project_is_one() -> None:
    with pytest.raises(InvalidValue, match="project"):
        BufferedTransport("token")  # type: ignore[arg-type]


def test_a_spool_that_cannot_be_used_is_told_at_once_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "dead").symlink_to(tmp_path)
    before = open_files()
    with pytest.raises(InvalidValue, match="directory"):
        BufferedTransport(PROJECT, spool=tmp_path / "spool", dead_letters=tmp_path / "dead")
    gc.collect()
    assert open_files() == before


# Flush and close.


@BOTH
def test_flush_without_a_deadline_waits_for_everything(background: bool) -> None:
    world = World()
    buffered = transport(world, background=background, flush_after_seconds=HOUR_SECONDS)
    buffered.send(*events(10))
    assert len(buffered.flush().delivered) == 10
    assert len(buffered.flush()) == 0
    buffered.close()


@pytest.mark.parametrize("last", ["flush", "close"])
def test_row_13_a_request_that_hangs_for_ever_keeps_nobody_longer_than_the_deadline(last: str) -> None:
    gate = Gate()
    buffered = transport(World(gate))
    buffered.send(*events(3), addition(1))
    with Watch():
        outcome = getattr(buffered, last)(0.2)
    if last == "close":
        # Perhaps they arrive: nobody may say that they did not.
        assert (len(outcome.unknown), len(outcome.failed)) == (4, 0)
        assert buffered.stats().held == 0
    else:
        assert len(outcome) == 0
        assert buffered.stats().held == 4
        buffered.close(0.0)
    gate.is_open.set()


@pytest.mark.parametrize("last", ["flush", "close"])
@BOTH
def test_row_11_a_mute_server_keeps_nobody_longer_than_the_deadline(
    serve: Callable[..., RawServer], last: str, background: bool
) -> None:
    def mute(peer: Peer) -> None:
        peer.read_request()
        peer.stall()

    server = serve(*[mute] * 9)
    project = Project("T0", server=server.url(""))
    buffered = BufferedTransport(project, background=background, pick=lambda a, _b: a)
    for number in range(3):
        buffered.send(event(number), update(number), group(number))
    with Watch():
        getattr(buffered, last)(0.3)
    with Watch():
        buffered.close(0.1)
    assert sum_of(buffered.stats()) == 9


def test_close_delivers_what_it_can_and_gives_the_rest_back() -> None:
    world = World(lambda request: GOOD if path_of(request) == "/track" else DOWN)
    buffered = transport(world, flush_after_seconds=HOUR_SECONDS)
    buffered.send(*events(3), update(1))
    outcome = buffered.close(0.3)
    assert (len(outcome.delivered), len(outcome.failed)) == (3, 1)
    assert outcome.failed[0].cause is Cause.GIVEN_UP


@pytest.mark.parametrize(
    "earlier",
    [None, lambda buffered: buffered.flush(0.01), BufferedTransport._hurry],
    ids=["untried", "after a flush", "hurried"],
)
def test_close_begins_no_request_after_its_time(
    monkeypatch: pytest.MonkeyPatch, earlier: Callable[[BufferedTransport], object] | None
) -> None:
    # What nobody tries has certainly failed; what is begun too late would be in doubt.
    world = World(lambda _request: DOWN)
    buffered = transport(world, flush_after_seconds=HOUR_SECONDS, pick=lambda _a, b: b)
    buffered.send(event(0))
    if earlier is not None:
        earlier(buffered)
        eventually(lambda: buffered.troubles)
    leave, courier, begun = Courier.leave, buffered._courier, len(world.requests)

    def in_its_own_time(courier: Courier, note: Any) -> None:
        leave(courier, note)
        if isinstance(note, Flush):
            eventually(lambda: note.mark is not None)
            # Time to begin what it may.
            time.sleep(0.05)

    monkeypatch.setattr(Courier, "leave", in_its_own_time)
    outcome = buffered.close(0.0)
    assert (len(outcome.failed), len(outcome.unknown)) == (1, 0)
    assert len(world.requests) == begun
    assert courier.is_stopped


def test_a_flush_that_meets_a_close_ends() -> None:
    buffered = transport(World(Gate()))
    buffered.send(event(0))
    flushes = [threading.Thread(target=buffered.flush) for _ in range(8)]
    for flush in flushes[:4]:
        flush.start()
    closer = threading.Thread(target=buffered.close, args=(0.05,))
    closer.start()
    for flush in flushes[4:]:
        flush.start()
    for thread in (*flushes, closer):
        thread.join(5.0)
        assert not thread.is_alive()


def test_a_send_that_meets_a_close_is_settled_either_way() -> None:
    for _ in range(20):
        world = World()
        buffered = transport(world)
        ear = Ear()
        buffered.settled_in_background = ear
        begin = threading.Barrier(5)
        returned: list[Outcome] = []

        def send(number: int, to: BufferedTransport = buffered, begin: Any = begin, into: Any = returned) -> None:
            begin.wait()
            for each in range(20):
                into.append(to.send(event(number * 100 + each)))

        senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for sender in senders:
            sender.start()
        begin.wait()
        returned.append(buffered.close(5.0))
        for sender in senders:
            sender.join(5.0)
        eventually(lambda to=buffered: to.stats().held == 0)
        told = bodies_of((*ear.total.messages(), *Outcome.total(returned).messages()))
        assert len(told) == sum(told.values()) == 80


@BOTH
def test_a_send_that_a_close_overtakes_is_given_back(background: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    buffered = transport(World(), background=background)
    aside = Ear()
    buffered.settled_in_background = aside
    put = buffered._intake.put

    def late(*arguments: Any) -> int:
        buffered.close(5.0)
        return put(*arguments)

    monkeypatch.setattr(buffered._intake, "put", late)
    assert len(buffered.send(event(0))) == 0
    assert [each.message for each in aside.total.failed] == [event(0)]
    assert (buffered.stats().failed, buffered.stats().held) == (1, 0)


@BOTH
def test_a_flush_that_a_close_overtakes_ends(background: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    buffered = transport(World(), background=background)
    courier = buffered._courier
    leave = courier.leave

    def late(note: Any) -> None:
        monkeypatch.undo()
        buffered.close(5.0)
        leave(note)

    monkeypatch.setattr(courier, "leave", late)
    with Watch():
        assert len(buffered.flush()) == 0


@BOTH
def test_row_72_after_close_messages_come_back_and_nothing_else_happens(background: bool) -> None:
    world = World()
    buffered = transport(world, background=background, flush_after_seconds=HOUR_SECONDS)
    buffered.send(event(0))
    assert len(buffered.close().delivered) == 1
    outcome = buffered.send(event(1), event(2))
    assert [each.cause for each in outcome.failed] == [Cause.CLOSED] * 2
    assert len(buffered.close()) == len(buffered.flush()) == 0
    assert world.numbers() == [0]
    assert sum_of(buffered.stats()) == buffered.stats().accepted == 3


@BOTH
def test_row_72_closing_in_parallel_settles_everything_once(background: bool) -> None:
    buffered = transport(World(lambda _request: (time.sleep(0.01), GOOD)[1]), background=background, max_messages=3)
    ear = Ear()
    buffered.settled_in_background = ear
    buffered.send(*events(20))
    closers = [threading.Thread(target=lambda: ear(buffered.close(5.0))) for _ in range(6)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(8.0)
        assert not closer.is_alive()
    assert ear.bodies() == bodies_of(events(20))


def test_row_72_a_with_inside_a_with_closes_once() -> None:
    world = World()
    with transport(world) as outer:
        with outer as inner:
            inner.send(event(0))
        assert len(outer.send(event(1)).failed) == 1
    assert world.numbers() == [0]


# Without threads.


def test_without_threads_there_are_none() -> None:
    before = threads()
    buffered = transport(World(), background=False, on_outcome=lambda _outcome: None, max_messages=1)
    buffered.send(*events(5))
    assert threads() <= before
    buffered.close()
    assert threads() <= before


def test_without_threads_send_delivers_what_is_old_enough() -> None:
    world, now = World(), Now()
    buffered = transport(world, background=False, now=now, flush_after_seconds=5.0)
    buffered.send(event(0))
    now.seconds += 4.9
    buffered.send(event(1))
    assert world.requests == []
    now.seconds += 0.2
    buffered.send(event(2))
    assert world.numbers() == [0, 1, 2]


def test_without_threads_one_send_delivers_all_that_is_due() -> None:
    world = World()
    buffered = transport(world, background=False, max_messages=2, flush_after_seconds=HOUR_SECONDS)
    buffered.send(*events(20))
    assert world.numbers() == list(range(20))
    assert buffered.stats().held == 0
    buffered.close()


def test_without_threads_send_never_waits_for_another_try() -> None:
    world, now = World(lambda _request: DOWN), Now()
    buffered = transport(world, background=False, now=now, max_messages=1, flush_after_seconds=0.0)
    with Watch():
        buffered.send(*events(10))
        # One failure is enough: the others would fail as well.
        assert len(world.requests) == 1
        buffered.send(event(10))
    assert len(world.requests) == 1
    now.seconds += 0.6
    world.rule = lambda _request: GOOD
    buffered.send(event(11))
    assert world.numbers() == list(range(12))
    assert buffered.stats().held == 0


def test_without_threads_several_callers_do_not_wait_for_each_other() -> None:
    gate = Gate()
    world = World(gate)
    buffered = transport(world, background=False, flush_after_seconds=0.0)
    first = threading.Thread(target=buffered.send, args=(event(0),))
    first.start()
    eventually(lambda: world.requests)
    with Watch():
        buffered.send(event(1))
        assert len(buffered.flush(0.1)) == 0
    gate.is_open.set()
    first.join(5.0)
    buffered.close()
    assert sorted(world.numbers()) == [0, 1]


# The books.


@BOTH
def test_figures_add_up_at_any_moment(background: bool) -> None:
    answers = [GOOD, DOWN, GOOD, BAD, GOOD]
    world = World(lambda request: answers[len(request.body) % 2 and hash(request.body) % 5])
    buffered = transport(world, background=background, max_messages=7, max_held_messages=200, max_tries=1)
    is_over = threading.Event()
    wrong: list[Any] = []

    def watch() -> None:
        last = 0
        while not is_over.is_set():
            stats = buffered.stats()
            if sum_of(stats) != stats.accepted or min(stats.held, stats.dropped) < 0 or stats.accepted < last:
                wrong.append(stats)
            last = stats.accepted

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(150):
        buffered.send(event(number), event(number + 1_000))
        # What this thread sent is in the figures.
        if buffered.stats().accepted != 2 * (number + 1):
            wrong.append(number)
    buffered.close(0.5)
    is_over.set()
    watcher.join()
    assert wrong == []
    assert buffered.stats().accepted == 300
    assert buffered.stats().held == 0


@BOTH
def test_each_settled_message_is_heard_of_once_by_callback_and_once_by_return_or_background(background: bool) -> None:
    bad = event(7)
    world = World(lambda request: BAD if bad.body in request.body else GOOD)
    heard, aside, returned = Ear(), Ear(), Ear()
    buffered = transport(world, background=background, max_messages=5, on_outcome=heard)
    buffered.settled_in_background = aside
    for number in range(40):
        returned(buffered.send(event(number)))
        if number % 10 == 9:
            returned(buffered.flush(5.0))
    returned(buffered.send(addition(1)))
    returned(buffered.close())
    sent = bodies_of((*events(40), addition(1)))
    assert heard.bodies() == sent
    assert aside.bodies() + returned.bodies() == sent
    assert [each.message.body for each in heard.total.rejected] == [bad.body]


def test_what_takes_outcomes_in_the_background_may_raise(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    buffered = transport(world)

    def broken(_outcome: Outcome) -> None:
        raise ValueError("secret")

    buffered.settled_in_background = broken
    buffered.send(event(0))
    eventually(lambda: buffered.stats().delivered == 1)
    buffered.close()
    assert "raised ValueError" in caplog.text
    assert "secret" not in caplog.text


@BOTH
def test_row_63_a_callback_that_raises_harms_nobody(background: bool, caplog: pytest.LogCaptureFixture) -> None:
    heard = Ear()

    def broken(outcome: Outcome) -> None:
        heard(outcome)
        raise ValueError("secret")

    world = World()
    buffered = transport(world, background=background, on_outcome=broken, max_messages=1)
    buffered.send(*events(5))
    buffered.close()
    assert heard.bodies() == bodies_of(events(5))
    # Once a minute is enough.
    assert caplog.text.count("on_outcome raised ValueError") == 1
    assert "secret" not in caplog.text


def test_row_63_a_callback_that_blocks_keeps_neither_delivery_nor_close_waiting() -> None:
    gate, world = threading.Event(), World()
    buffered = transport(world, on_outcome=lambda _outcome: gate.wait(60.0))
    with Watch():
        buffered.send(event(0))
        buffered.flush(5.0)
        buffered.send(event(1))
        buffered.flush(5.0)
        assert world.numbers() == [0, 1]
        buffered.close(0.2)
    gate.set()


@BOTH
def test_row_63_a_callback_may_send_and_flush_and_close(background: bool) -> None:
    world = World()
    sent = iter(range(1, 50))

    def busy(outcome: Outcome) -> None:
        number = next(sent, 0)
        if number:
            buffered.send(event(number))
            buffered.flush(0.5)
        if number == 5:
            buffered.close(1.0)

    buffered = transport(world, background=background, on_outcome=busy, max_messages=1)
    with Watch(10.0):
        buffered.send(event(0))
        for _ in range(8):
            buffered.flush(1.0)
        eventually(lambda: buffered.send().failed == () and buffered._is_closed)
        buffered.close(1.0)
    assert world.numbers() == list(range(6))


def test_row_63_a_callback_that_always_sends_without_threads_ends() -> None:
    world = World()
    buffered = transport(
        world, background=False, max_messages=1, on_outcome=lambda _outcome: buffered.send(event(1)) and None
    )
    with Watch():
        buffered.send(event(0))
        buffered.flush()
        buffered.close()


def test_row_63_whoever_is_called_by_the_worker_cannot_wait_for_it() -> None:
    world = World()
    buffered = transport(world)
    ended = threading.Event()

    def closing(_outcome: Outcome) -> None:
        buffered.flush()
        buffered.close()
        ended.set()

    buffered.settled_in_background = closing
    buffered.send(event(0))
    assert ended.wait(5.0)
    buffered.settled_in_background = None
    eventually(lambda: buffered._courier.is_stopped)
    with Watch():
        buffered.close()


# Rows about the transport in its process.


class Shipper(logging.Handler):
    """
    Ships each record of the log as an event.
    """

    def __init__(self, to: BufferedTransport) -> None:
        super().__init__(logging.DEBUG)
        self.to = to
        self.depth = 0
        self.most = 0
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        self.depth += 1
        self.most = max(self.most, self.depth)
        self.to.send(event(1_000 + self.count))
        self.depth -= 1


@BOTH
def test_row_64_logs_that_are_shipped_through_the_transport_do_not_feed_themselves(
    serve: Callable[..., RawServer], background: bool
) -> None:
    def answers(peer: Peer) -> None:
        while True:
            peer.read_request()
            peer.send(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"status":1}')

    server = serve(*[answers] * 40)
    buffered = BufferedTransport(
        Project("T0", server=server.url("")), background=background, flush_after_seconds=0.01, max_messages=1
    )
    shipper = Shipper(buffered)
    root = logging.getLogger()
    level = root.level
    root.addHandler(shipper)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("app").info("begin")
        buffered.flush(5.0)
        time.sleep(0.1)
        # What urllib3 said about the request is not shipped, and what we say about that once.
        count = len(server.bodies)
        assert count <= 3
        buffered.flush(5.0)
        assert len(server.bodies) == count
        buffered.close(5.0)
    finally:
        root.removeHandler(shipper)
        root.setLevel(level)
    assert shipper.count > 1
    assert buffered.stats().dropped >= 1
    assert sum_of(buffered.stats()) == buffered.stats().accepted


@pytest.fixture
def no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    return monkeypatch.undo


def test_row_65_where_no_thread_can_be_started_flush_delivers(no_thread_starts: Callable[[], None]) -> None:
    world, heard = World(), Ear()
    buffered = transport(world, on_outcome=heard)
    for number in range(10):
        assert len(buffered.send(event(number))) == 0
    assert world.requests == []
    assert len(buffered.flush(5.0).delivered) == 10
    buffered.send(event(10))
    assert len(buffered.close(5.0).delivered) == 1
    assert sorted(world.numbers()) == list(range(11))
    assert heard.bodies() == bodies_of(events(11))


def test_row_65_where_no_thread_can_be_started_nobody_keeps_pace(no_thread_starts: Callable[[], None]) -> None:
    buffered = transport(World(), max_held_messages=5, when_full="pace", block_seconds=60.0)
    with Watch():
        buffered.send(*events(6))
    assert buffered.stats().dropped == 1
    assert len(buffered.close().delivered) == 5


def test_row_65_threads_are_tried_again_later(no_thread_starts: Callable[[], None]) -> None:
    world, now = World(), Now()
    buffered = transport(world, now=now)
    buffered.send(event(0))
    no_thread_starts()
    buffered.send(event(1))
    assert world.requests == []
    now.seconds += 1.1
    buffered.send(event(2))
    now.seconds += 1.0
    buffered._courier.wake()
    eventually(lambda: sorted(world.numbers()) == [0, 1, 2])
    buffered.close()


@pytest.mark.parametrize("error", [SystemExit, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["pick", "clock"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_row_66_a_worker_that_dies_is_replaced_and_nothing_is_lost_or_doubled(
    error: type[BaseException], where: str
) -> None:
    world = World()
    deaths = 0

    def dying(*_: Any) -> Any:
        nonlocal deaths
        if threading.current_thread().name == "mixwire-worker" and deaths < 2:
            deaths += 1
            raise error
        return 0 if where == "pick" else time.time_ns() // 1_000_000

    buffered = transport(world, max_messages=3, **{where: dying})
    for number in range(10):
        buffered.send(event(number))
    eventually(lambda: deaths)
    buffered._start_again_at = 0.0
    buffered.send(event(10))
    buffered.flush(10.0)
    assert deaths > 0
    assert sorted(world.numbers()) == list(range(11))
    assert buffered.stats().delivered == 11
    buffered.close()


def _many_producers(count: int, each: int) -> None:
    world = World()
    buffered = transport(world)

    def produce(producer: int) -> None:
        for number in range(each):
            buffered.send(event(producer * each + number))

    producers = [threading.Thread(target=produce, args=(number,)) for number in range(count)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    buffered.close()
    assert sorted(world.numbers()) == list(range(count * each))
    assert buffered.stats().delivered == buffered.stats().accepted == count * each


def test_row_67_a_thousand_threads_that_send_lose_nothing() -> None:
    _many_producers(1_000, 5)


@pytest.mark.soak
def test_row_67_ten_thousand_threads_that_send_lose_nothing() -> None:
    _many_producers(10_000, 20)


@pytest.mark.parametrize("jump_ms", [86_400_000, -86_400_000])
def test_row_70_a_jump_of_the_wall_clock_changes_no_delay(jump_ms: int) -> None:
    world, now, wall = World(lambda _request: DOWN), Now(), [time.time_ns() // 1_000_000]
    buffered = transport(
        world, background=False, now=now, clock=lambda: wall[0], flush_after_seconds=0.0, max_messages=2
    )
    buffered.send(update(0))
    wall[0] += jump_ms
    buffered.send(group(0))
    assert len(world.requests) == 1
    world.rule = lambda _request: GOOD
    wall[0] += jump_ms
    buffered.send(update(1))
    assert len(world.requests) == 1
    now.seconds += 6.0
    buffered.send(update(2))
    assert world.steps() == [0, 1, 2]


def test_row_33_an_outage_of_an_hour_drops_exactly_what_exceeds_the_budget_and_keeps_the_oldest() -> None:
    world, now = World(lambda _request: DOWN), Now()
    buffered = transport(world, background=False, now=now, max_held_messages=500, flush_after_seconds=1.0)
    for second in range(3_600):
        now.seconds += 1.0
        buffered.send(event(second))
    stats = buffered.stats()
    assert (stats.held, stats.dropped) == (500, 3_100)
    # One probe at a time, at most two a minute in the end.
    assert len(world.requests) < 130
    failures = len(world.requests)
    world.rule = lambda _request: GOOD
    now.seconds += 61.0
    buffered.send()
    assert len(world.requests) >= failures + 1
    buffered.flush()
    assert sorted(world.numbers()) == list(range(500))


def test_row_33_with_a_spool_an_outage_loses_nothing(tmp_path: Path) -> None:
    world, now = World(lambda _request: DOWN), Now()
    buffered = transport(
        world, background=False, now=now, max_held_messages=50, flush_after_seconds=1.0, spool=tmp_path / "spool"
    )
    for second in range(1_000):
        now.seconds += 1.0
        buffered.send(update(second))
    assert (buffered.stats().held, buffered.stats().dropped) == (1_000, 0)
    world.rule = lambda _request: GOOD
    now.seconds += 61.0
    buffered.send()
    buffered.flush()
    assert world.steps() == list(range(1_000))
    buffered.close()


def test_row_26_a_rate_limit_pauses_all_lanes() -> None:
    world, now = World(lambda _request: BUSY), Now()
    buffered = transport(world, background=False, now=now, flush_after_seconds=0.0)
    buffered.send(update(0))
    buffered.send(event(0))
    buffered.send(group(0))
    assert len(world.requests) == 1
    world.rule = lambda _request: GOOD
    now.seconds += 7.1
    buffered.send()
    assert len(world.records()) == 3


def test_row_74_an_event_loop_is_never_held_up(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Gate())
    buffered = transport(world, max_held_messages=1_000)

    async def main() -> None:
        # Ten milliseconds would be enough on a quiet machine.
        asyncio.get_running_loop().slow_callback_duration = 0.2
        for number in range(300):
            buffered.send(event(number))
            await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING, "asyncio"):
        asyncio.run(main(), debug=True)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    buffered.close(0.0)


# Nothing turns in vain.


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    begun: list[float] = []
    turn = Courier.turn

    def counted(courier: Courier, *args: Any) -> None:
        begun.append(time.monotonic())
        turn(courier, *args)

    monkeypatch.setattr(Courier, "turn", counted)
    return begun


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_row_1_the_worker_sleeps_while_there_is_nothing_that_it_may_do(turns: list[float], seconds: float) -> None:
    gate = Gate()
    buffered = transport(World(gate), flush_after_seconds=seconds, max_messages=1, max_in_flight=1)
    buffered.send(*events(5))
    time.sleep(0.3)
    assert len(turns) < 20
    gate.is_open.set()
    buffered.close()


def test_row_1_the_worker_sleeps_while_what_others_left_finds_no_room(tmp_path: Path, turns: list[float]) -> None:
    with transport(World(), spool=tmp_path / "spool", flush_after_seconds=HOUR_SECONDS) as first:
        first.send(*[event(number, filling="x" * 2_000) for number in range(800)])
        first.close(0.0)
    gate = Gate()
    world = World(gate)
    buffered = transport(world, spool=tmp_path / "spool", max_held_messages=100, flush_after_seconds=0.0)
    buffered.send(*events(5, start=800))
    eventually(lambda: world.requests)
    del turns[:]
    buffered._courier._backlog.next_look = 0.0  # type: ignore[union-attr]
    buffered._courier.wake()
    time.sleep(0.3)
    assert len(turns) < 20
    gate.is_open.set()
    buffered.close(10.0)
    assert sorted(world.numbers()) == list(range(805))


# With a spool.


def test_row_60_a_closed_transport_leaves_what_it_could_not_deliver_to_the_next(tmp_path: Path) -> None:
    buffered = transport(World(lambda _request: DOWN), spool=tmp_path / "spool")
    buffered.send(*events(5), update(0), addition(1))
    outcome = buffered.close(0.2)
    assert len(outcome) == 0
    assert buffered.stats().held == 7
    world = World()
    with transport(world, spool=tmp_path / "spool") as following:
        following.send(update(1))
        assert len(following.flush(10.0)) == 8
        assert following.stats().accepted == 8
    assert sorted(world.numbers()) == list(range(5))
    updates = [record.get("$set") for record in world.records("/engage") if "$set" in record]
    assert updates == [{"step": 0}, {"step": 1}]
    assert stored_in(tmp_path / "spool") == []


def test_what_may_have_been_applied_is_kept_as_unknown_and_not_sent_again(tmp_path: Path) -> None:
    world = World(lambda _request: LOST)
    with transport(world, spool=tmp_path / "spool") as buffered:
        buffered.send(addition(1))
        outcome = buffered.flush(5.0)
        assert [each.cause for each in outcome.unknown] == [Cause.ANSWER_LOST]
    assert len(world.requests) == 1
    (kept,) = stored_in(tmp_path / "spool", "unknown")
    assert (kept.message.body, kept.cause) == (addition(1).body, "ANSWER_LOST")
    assert stored_in(tmp_path / "spool") == []


def test_an_addition_under_way_at_close_is_kept_as_unknown(tmp_path: Path) -> None:
    gate = Gate()
    world = World(gate)
    buffered = transport(world, spool=tmp_path / "spool")
    buffered.send(addition(1))
    eventually(lambda: world.requests)
    buffered.send(addition(2), event(0))
    eventually(lambda: len(world.requests) == 2)
    outcome = buffered.close(0.1)
    gate.is_open.set()
    assert [each.message.body for each in outcome.unknown] == [addition(1).body]
    assert [each.message.body for each in stored_in(tmp_path / "spool", "unknown")] == [addition(1).body]
    # The event may be sent again; the second addition was never begun.
    assert {each.message.body for each in stored_in(tmp_path / "spool")} == {addition(2).body, event(0).body}


def test_what_certainly_failed_is_retracted_and_sent_by_the_next(tmp_path: Path) -> None:
    world = World(lambda _request: DOWN)
    buffered = transport(world, spool=tmp_path / "spool")
    buffered.send(addition(1))
    eventually(lambda: world.answered)
    assert len(buffered.close(0.1)) == 0
    assert stored_in(tmp_path / "spool", "unknown") == []
    following = World()
    with transport(following, spool=tmp_path / "spool") as again:
        assert len(again.flush(5.0).delivered) == 1


def test_who_chooses_at_least_once_has_it_sent_again(tmp_path: Path) -> None:
    answers = iter([LOST, GOOD])
    world = World(lambda _request: next(answers))
    with transport(world, spool=tmp_path / "spool", at_least_once=True) as buffered:
        buffered.send(addition(1))
        assert len(buffered.flush(5.0).delivered) == 1
    assert len(world.requests) == 2


@pytest.mark.parametrize("apart", [True, False])
@BOTH
def test_what_is_rejected_is_kept_with_its_reason(tmp_path: Path, apart: bool, background: bool) -> None:
    dead = tmp_path / ("dead" if apart else "spool")
    options: dict[str, Any] = {"dead_letters": dead} if apart else {}
    with transport(World(lambda _request: BAD), spool=tmp_path / "spool", background=background, **options) as buffered:
        buffered.send(event(0))
        assert len(buffered.flush(5.0).rejected) == 1
    (kept,) = stored_in(dead, "rejected")
    assert kept.message.body == event(0).body
    assert "400" in kept.reason
    assert stored_in(tmp_path / "spool") == []


def test_rejected_messages_are_kept_without_a_spool_too(tmp_path: Path) -> None:
    with transport(World(lambda _request: BAD), dead_letters=tmp_path / "dead") as buffered:
        buffered.send(event(0))
    assert len(stored_in(tmp_path / "dead", "rejected")) == 1


def test_what_cannot_be_kept_elsewhere_stays_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = Disk.write
    full = False

    def failing(disk: Disk, file: int, data: bytes) -> int:
        if full and b"reason" in bytes(data):
            raise OSError(errno.ENOSPC, "full")
        return write(file, data)

    monkeypatch.setattr(Disk, "write", failing)
    full = True
    with transport(World(lambda _request: BAD), spool=tmp_path / "spool") as buffered:
        buffered.send(event(0))
        assert len(buffered.flush(5.0).rejected) == 1
    assert "could not be kept" in caplog.text
    assert [each.message.body for each in stored_in(tmp_path / "spool")] == [event(0).body]


@BOTH
def test_row_42_a_full_disk_leaves_memory_and_the_spool_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, background: bool
) -> None:
    write = Disk.write
    is_full = True

    def failing(disk: Disk, file: int, data: bytes) -> int:
        if is_full:
            raise OSError(errno.ENOSPC, "full")
        return write(file, data)

    monkeypatch.setattr(Disk, "write", failing)
    world = World()
    buffered = transport(
        world,
        spool=tmp_path / "spool",
        max_held_messages=10,
        flush_after_seconds=HOUR_SECONDS,
        background=background,
        when_full="spill",
    )
    for number in range(15):
        buffered.send(event(number))
    stats = buffered.stats()
    assert (stats.held, stats.dropped) == (10, 5)
    assert caplog.text.count("the spool does not take messages") == 1
    buffered.flush(5.0)
    assert sorted(world.numbers()) == list(range(10))
    is_full = False
    buffered.send(event(15))
    world.rule = lambda _request: DOWN
    buffered.close(0.1)
    assert [each.message.body for each in stored_in(tmp_path / "spool")] == [event(15).body]


def test_row_41_an_addition_whose_intent_cannot_be_recorded_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Disk.write
    is_full = True

    def failing(disk: Disk, file: int, data: bytes) -> int:
        if is_full and b"intended" in bytes(data):
            raise OSError(errno.ENOSPC, "full")
        return write(file, data)

    monkeypatch.setattr(Disk, "write", failing)
    world = World()
    buffered = transport(world, spool=tmp_path / "spool")
    buffered.send(addition(1))
    assert len(buffered.flush(0.2)) == 0
    assert world.requests == []
    is_full = False
    assert len(buffered.flush(10.0).delivered) == 1
    buffered.close()


# Odds and ends.


def test_an_unclosed_transport_says_so_and_its_worker_delivers_and_ends() -> None:
    world = World()
    buffered = BufferedTransport(PROJECT, flush_after_seconds=HOUR_SECONDS, post=world.post)
    buffered.send(event(0))
    courier = buffered._courier
    kept = [buffered]
    del buffered
    with pytest.warns(ResourceWarning, match="BufferedTransport was not closed"):
        kept.clear()
    eventually(lambda: world.numbers() == [0])
    eventually(lambda: courier.is_stopped)


def test_row_73_a_finaliser_needs_no_module_after_close(monkeypatch: pytest.MonkeyPatch) -> None:
    import mixwire.transports.buffered as module

    buffered = transport(World())
    buffered.close()
    for name in ("os", "warnings", "Flush", "Stop", "_OPEN"):
        monkeypatch.setattr(module, name, None)
    buffered.__del__()
    unfinished = object.__new__(BufferedTransport)
    unfinished.__del__()


def test_no_payload_and_no_secret_is_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    def rule(request: Request) -> Answer:
        raise ValueError(request.body)

    echo = Response(status=500, body=b"payload-canary")
    answers: list[Callable[[Request], Answer]] = [rule, lambda _r: echo, lambda _r: NoResponse("x", False)]
    with caplog.at_level(logging.DEBUG):
        for answer in answers:
            buffered = transport(World(answer), spool=tmp_path / "spool")
            buffered.send(event(0, "payload-canary"))
            buffered.close(0.1)
    assert "payload-canary" not in caplog.text
    assert "T0" not in caplog.text


def refusing(field: str) -> Callable[[Request], Answer]:
    """
    A server that refuses the first record of each request, and repeats it.
    """

    def rule(request: Request) -> Answer:
        records = json.loads(request.body)
        rows = [{"index": 0, "field": field, "message": f"payload-canary {request.body!r}"}]
        said = {"code": 400, "failed_records": rows, "num_records_imported": len(records) - 1}
        return Response(status=400, body=json.dumps(said).encode())

    return rule


WHERE = "dead_letters= keeps them with their reasons, on_outcome= is told of them; stats() counts them"


@BOTH
@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("properties.time", ", the last for properties.time, HTTP 400"),
        ("properties.$insert_id", ", the last for properties.$insert_id, HTTP 400"),
        ("", ", the last for HTTP 400"),
        ("payload-canary", ", the last for HTTP 400"),
        ("0123456789abcdef0123456789abcdef", ", the last for HTTP 400"),
    ],
)
def test_what_the_server_rejects_is_told_without_its_words(
    field: str, said: str, background: bool, caplog: pytest.LogCaptureFixture
) -> None:
    project = Project("T0", events="import")
    made = [Track("Opened", distinct_id="u1", time=NOW, insert_id=f"payload-canary-{number}") for number in range(3)]
    messages = [encode(each, project) for each in made]
    with BufferedTransport(project, post=refusing(field), background=background) as buffered:
        buffered.send(*messages[:2])
        buffered.flush()
        # The same cause is not told again so soon.
        buffered.send(messages[2])
    assert caplog.messages == [f"messages were rejected: 1 so far{said}; {WHERE}"]


def test_what_was_refused_together_is_told_with_how_many(caplog: pytest.LogCaptureFixture) -> None:
    with transport(World(lambda _request: BAD)) as buffered:
        buffered.send(addition(0), addition(1))
        buffered.flush()
    assert caplog.messages == ["the server refused records without saying which: 2 perhaps applied, and not sent again"]


def test_who_hears_of_outcomes_needs_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    heard = Ear()
    with transport(World(lambda _request: BAD), on_outcome=heard) as buffered:
        buffered.send(event(0), update(0))
    assert len(heard.total.rejected) == 2
    assert caplog.messages == []


@pytest.mark.parametrize("place", ["spool", "dead_letters"])
def test_who_keeps_what_is_rejected_is_told_so(place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options: Any = {place: tmp_path / "kept"}
    with transport(World(lambda _request: BAD), **options) as buffered:
        buffered.send(event(0))
    said = "1 so far, the last for HTTP 400; they are kept with their reasons; stats() counts them"
    assert caplog.messages == [f"messages were rejected: {said}"]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (6, "5 messages are lost or in doubt and 1 message had been dropped"),
        (9, "5 messages are lost or in doubt and 4 messages had been dropped"),
        (1, "1 message is lost or in doubt"),
    ],
)
def test_what_a_close_leaves_undelivered_or_dropped_is_told_on_one_line(
    count: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    buffered = transport(World(), max_held_messages=5, flush_after_seconds=HOUR_SECONDS)
    buffered.send(*events(count))
    caplog.clear()
    buffered.close(0.0)
    assert [line for line in caplog.messages if "closed" in line] == [f"closed before everything was delivered: {said}"]


def test_what_was_dropped_is_told_by_a_close_that_delivers_all_else(caplog: pytest.LogCaptureFixture) -> None:
    with transport(World(), max_held_messages=5, flush_after_seconds=HOUR_SECONDS) as buffered:
        buffered.send(*events(7))
    assert caplog.messages == [
        "the buffer is full: messages are dropped",
        "closed before everything was delivered: 2 messages had been dropped",
    ]


def test_one_cause_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = Now()
    buffered = transport(World(lambda _request: DOWN), background=False, now=now, flush_after_seconds=0.0)
    for number in range(50):
        now.seconds += 100.0
        buffered.send(event(number))
    assert caplog.text.count(Cause.NOT_REACHED.value) == 1
    buffered.close(0.0)


def test_nothing_of_a_transport_is_left_after_close(tmp_path: Path) -> None:
    before = threads()
    descriptors = open_files()
    with transport(World(), spool=tmp_path / "spool", on_outcome=lambda _outcome: None) as buffered:
        buffered.send(*events(10), update(1), addition(1))
    eventually(lambda: threads() <= before)
    assert open_files() == descriptors


def test_order_is_kept_through_failures() -> None:
    count = 0

    def rule(_request: Request) -> Answer:
        nonlocal count
        count += 1
        return DOWN if count == 2 else GOOD

    world = World(rule)
    with transport(world, max_messages=2) as buffered:
        for step in range(9):
            buffered.send(update(step))
        buffered.flush(10.0)
    assert all(before < after for before, after in pairwise(world.steps()))
