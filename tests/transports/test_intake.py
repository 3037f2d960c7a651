"""
Where callers leave messages, without anybody who delivers them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from worlds import PROJECT, event, events, stored_in, update

from mixwire.core import BatchLimits, Message
from mixwire.transports.intake import Intake, Room
from mixwire.transports.journal import holding
from mixwire.transports.spool import Place, Spool, SpoolError

COST = len(event(0).body) + 512
WIDE = Room(max_messages=1_000, max_bytes=1 << 30)


def test_messages_are_taken_in_the_order_they_came() -> None:
    intake = Intake(WIDE, None, spills=False)
    assert intake.put(events(3)) == 3
    assert intake.put(events(2, start=3)) == 2
    assert (intake.count, intake.cost_bytes, intake.accepted) == (5, 5 * COST, 5)
    size = 5 * (len(event(0).body) + 1)
    assert intake.fills(BatchLimits(max_bytes=size))
    assert not intake.fills(BatchLimits(max_bytes=size + 1))
    assert intake.take() == (list(events(5)), None)
    assert (intake.count, intake.cost_bytes, intake.accepted) == (0, 0, 5)
    assert intake.take() == ([], None)


def test_nothing_is_put_when_nothing_comes() -> None:
    intake = Intake(WIDE, None, spills=False)
    assert intake.put(()) == 0
    assert intake.accepted == 0


@pytest.mark.parametrize(
    ("room", "held_count", "held_cost"),
    [
        (Room(max_messages=3, max_bytes=1 << 20), 0, 0),
        (Room(max_messages=10, max_bytes=1 << 20), 7, 0),
        (Room(max_messages=10, max_bytes=3 * COST), 0, 0),
        (Room(max_messages=10, max_bytes=10 * COST), 0, 7 * COST),
    ],
)
def test_as_many_are_accepted_as_there_is_room_for_the_first_ones_first(
    room: Room, held_count: int, held_cost: int
) -> None:
    intake = Intake(room, None, spills=False)
    intake.held_elsewhere(held_count, held_cost)
    assert intake.put(events(5)) == 3
    assert intake.put(events(1)) == 0
    assert intake.take()[0] == list(events(3))
    # What is on its way to where it is held takes room there already.
    assert intake.put(events(1)) == 0
    intake.held_elsewhere(held_count, held_cost)
    assert intake.put(events(1)) == 1


def test_with_a_spool_each_message_comes_with_its_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(WIDE, spool, spills=False)
    intake.put(events(3))
    _, places = intake.take()
    starts = [place.start for place in places if place is not None]
    assert len(starts) == 3
    assert starts == sorted(starts)
    spool.close()


def test_what_spills_is_not_in_memory_and_comes_before_what_comes_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(Room(max_messages=2, max_bytes=1 << 20), spool, spills=True)
    for step in range(5):
        assert intake.put((update(step),)) == 1
    assert (intake.count, intake.spilled, intake.accepted) == (2, 3, 5)
    assert intake.take()[0] == [update(0), update(1)]
    intake.held_elsewhere(0, 0)
    # There is room again, but older ones wait in the spool.
    intake.put((update(5),))
    assert (intake.count, intake.spilled) == (0, 4)
    spilled = intake.spilled_from()
    assert spilled is not None
    segment, start = spilled
    chunk = segment.read(start, 1 << 20)
    assert [stored.message for stored in chunk.stored] == [update(step) for step in range(2, 6)]
    intake.took_spilled(4, chunk.next)
    assert (intake.spilled, intake.spilled_put, intake.spilled_taken) == (0, 4, 4)
    assert intake.spilled_from() is None
    intake.put((update(6),))
    assert intake.count == 1
    spool.close()


def test_what_cannot_be_read_back_is_lost_only_if_it_is_not_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(Room(max_messages=1, max_bytes=1 << 20), spool, spills=True)
    intake.put(events(4))
    assert intake.forget_spilled(lambda: True) == 0
    assert intake.spilled == 4
    assert intake.forget_spilled(lambda: False) == 4
    assert intake.spilled == 0
    spool.close()


@pytest.mark.parametrize("is_stored", [True, False])
def test_row_61_what_was_interrupted_while_it_spilled_counts_if_it_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(Room(max_messages=2, max_bytes=1 << 20), spool, spills=True)
    intake.put(events(2))
    intake.put(events(1, start=2))
    append = spool.append

    def interrupted(messages: Sequence[Message]) -> list[Place]:
        if is_stored:
            append(messages)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(spool, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            intake.put(events(1, start=3))
    intake.put(events(1, start=4))
    assert intake.accepted == 4
    spilled = intake.spilled_from()
    assert spilled is not None
    chunk = spilled[0].read(spilled[1], 1 << 20)
    intake.took_spilled(len(chunk.stored), chunk.next)
    assert intake.spilled == (0 if is_stored else 1)
    assert intake.forget_spilled(lambda: False) == 0
    assert (intake.spilled, intake.accepted) == (0, 5 if is_stored else 4)
    # What spills later is no news of it.
    for later in (1, 2):
        intake.put(events(1, start=4 + later))
        assert (intake.spilled, intake.accepted) == (1, 4 + is_stored + later)
        intake.took_spilled(1, 0)
    spool.close()


def test_row_42_what_the_spool_does_not_take_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(Room(max_messages=1, max_bytes=1 << 20), spool, spills=True)
    intake.put(events(1))
    intake.put(events(1, start=1))

    def failing(messages: Sequence[Message]) -> list[Place]:
        raise SpoolError("full")

    monkeypatch.setattr(spool, "append", failing)
    assert intake.put(events(1, start=2)) == 0
    assert (intake.spilled, intake.accepted) == (1, 2)
    spool.close()


def test_the_delivering_side_never_waits_for_a_caller() -> None:
    intake = Intake(WIDE, None, spills=False)
    intake.put(events(1))
    results: list[object] = []
    with intake._lock:
        other = threading.Thread(
            target=lambda: results.extend([intake.leave_segment(), intake.forget_spilled(lambda: False), intake.take()])
        )
        other.start()
        other.join(5.0)
    assert results == [False, 0, ([event(0)], None)]


def test_row_42_a_spool_in_trouble_leaves_memory(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    spool.close()
    intake = Intake(Room(max_messages=2, max_bytes=1 << 20), spool, spills=True)
    assert intake.put(events(3)) == 2
    assert isinstance(intake.trouble, SpoolError)
    assert intake.take() == (list(events(2)), None)


def test_row_61_a_count_without_its_message_is_corrected() -> None:
    intake = Intake(WIDE, None, spills=False)
    intake.put(events(2))
    intake._put_count += 1
    intake._put_cost += COST
    intake.take()
    assert intake.count == 1
    intake.take()
    assert (intake.count, intake.cost_bytes, intake.accepted) == (0, 0, 2)


def left_in(intake: Intake, *messages: Message) -> int:
    """
    Puts them as a finaliser does where a lock is held, and says how many were taken.
    """
    return holding(lambda: intake.put(messages))


def test_what_is_put_where_a_lock_is_held_is_counted_and_waits_for_no_lock() -> None:
    intake = Intake(Room(max_messages=4, max_bytes=1 << 20), None, spills=False)
    with intake._lock:
        results: list[int] = []
        other = threading.Thread(target=lambda: results.append(left_in(intake, *events(3))))
        other.start()
        other.join(5.0)
    assert results == [3]
    assert (intake.count, intake.cost_bytes, intake.accepted) == (3, 3 * COST, 3)
    assert (intake.has_left, intake.left_count, intake.left_gone) == (True, 3, 0)
    assert left_in(intake, *events(3, start=3)) == 1
    assert left_in(intake, event(9)) == 0
    assert intake.take()[0] == []
    assert intake.put_left()
    assert (intake.has_left, intake.left_count, intake.left_gone) == (False, 4, 4)
    assert (intake.count, intake.cost_bytes, intake.accepted) == (4, 4 * COST, 4)
    assert intake.take()[0] == list(events(4))
    assert (intake.count, intake.cost_bytes, intake.accepted) == (0, 0, 4)


def test_what_was_left_is_stored_before_what_comes_later(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(WIDE, spool, spills=True)
    left_in(intake, event(0))
    left_in(intake, event(1), event(2))
    intake.put(events(1, start=3))
    taken, places = intake.take()
    assert taken == list(events(4))
    assert places is not None
    starts = [place.start for place in places if place is not None]
    assert len(starts) == 4
    assert starts == sorted(starts)
    spool.close()


def test_what_was_left_spills_where_there_is_no_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(Room(max_messages=2, max_bytes=1 << 20), spool, spills=True)
    for step in range(4):
        assert left_in(intake, update(step)) == 1
    assert (intake.count, intake.spilled, intake.accepted) == (4, 0, 4)
    intake.put((update(4),))
    assert (intake.count, intake.spilled, intake.accepted) == (2, 3, 5)
    spool.close()


def test_row_42_what_was_left_stays_in_memory_if_the_spool_is_in_trouble(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    spool.close()
    intake = Intake(WIDE, spool, spills=True)
    left_in(intake, event(0))
    assert intake.put_left()
    assert isinstance(intake.trouble, SpoolError)
    assert intake.take() == ([event(0)], None)


def test_what_was_left_is_put_by_whoever_puts_something_now() -> None:
    intake = Intake(WIDE, None, spills=False)
    left_in(intake, event(0))
    assert not holding(intake.put_left)
    results: list[bool] = []
    with intake._lock:
        other = threading.Thread(target=lambda: results.append(intake.put_left()))
        other.start()
        other.join(5.0)
    assert results == [False]
    assert intake.take_left() == [event(0)]
    assert (intake.count, intake.cost_bytes, intake.accepted, intake.left_gone) == (0, 0, 1, 1)


def test_what_was_taken_while_it_was_stored_is_settled_in_the_spool(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    intake = Intake(WIDE, spool, spills=True)
    append, taken = spool.append, list[Message]()

    def take_meanwhile(messages: Sequence[Message]) -> list[Place]:
        taken.extend(intake.take_left())
        return append(messages)

    spool.append = take_meanwhile  # type: ignore[assignment,method-assign]
    left_in(intake, event(0))
    assert intake.put_left()
    assert taken == [event(0)]
    assert (intake.count, intake.accepted) == (0, 1)
    assert intake.take() == ([], None)
    spool.close()
    assert stored_in(tmp_path) == []
