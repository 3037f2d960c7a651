"""
Reading back from the spool what is not in memory.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from worlds import PROJECT, addition, event, events, update

from mixwire.transports.backlog import Backlog
from mixwire.transports.intake import Intake, Room
from mixwire.transports.spool import Spool

WIDE = Room(max_messages=1_000, max_bytes=1 << 30)


def backlog_of(spool: Spool, *, resends: bool = False, room: Room = WIDE) -> tuple[Backlog, Intake]:
    intake = Intake(room, spool, spills=True)
    return Backlog(spool, intake, resends=resends), intake


def test_what_others_left_is_found_at_a_look_in_order_and_looked_for_again_later(tmp_path: Path) -> None:
    for number in range(2):
        left = Spool(tmp_path, project=PROJECT, delivers=True)
        left.append(events(3, start=3 * number))
        left.close()
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    backlog, _ = backlog_of(spool)
    assert not backlog.has_adopted
    backlog.look(100.0)
    read = []
    while backlog.has_adopted:
        read += [stored.message for stored in backlog.load_adopted(1 << 20).stored]
    assert read == list(events(6))
    other = Spool(tmp_path, project=PROJECT, delivers=True)
    other.append(events(1))
    other.close()
    backlog.look(129.0)
    assert not backlog.has_adopted
    backlog.look(130.0)
    assert backlog.has_adopted
    spool.close()


@pytest.mark.parametrize("resends", [True, False])
def test_row_60_what_was_being_sent_and_must_not_be_sent_twice_is_told_apart(tmp_path: Path, resends: bool) -> None:
    left = Spool(tmp_path, project=PROJECT, delivers=True)
    places = left.append([addition(1), addition(2), event(0)])
    left.intend(places[:1])
    left.close()
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    backlog, _ = backlog_of(spool, resends=resends)
    backlog.look(0.0)
    load = backlog.load_adopted(1 << 20)
    assert [stored.message for stored in load.interrupted] == ([] if resends else [addition(1)])
    assert len(load.stored) == (3 if resends else 2)
    spool.close()


def test_a_segment_that_is_still_written_is_read_further_at_the_next_look(tmp_path: Path) -> None:
    writer = Spool(tmp_path, project=PROJECT)
    writer.append([update(0)])
    spool = Spool(tmp_path, project=PROJECT, delivers=True)
    backlog, _ = backlog_of(spool)
    read = []
    for step, moment in enumerate((0.0, 30.0), start=1):
        backlog.look(moment)
        while backlog.has_adopted:
            read += [stored.message for stored in backlog.load_adopted(1 << 20).stored]
        writer.append([update(step)])
    assert read == [update(0), update(1)]
    writer.close()
    spool.close()


def test_spilled_messages_are_read_across_segments(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True, max_segment_bytes=1_000)
    backlog, intake = backlog_of(spool, room=Room(max_messages=1, max_bytes=1 << 20))
    for step in range(40):
        intake.put((update(step),))
    read = []
    while (loaded := backlog.load_spilled(1_000)) is not None:
        load, following = loaded
        read += [stored.message for stored in load.stored]
        intake.took_spilled(len(load.stored) + load.lost, following)
    assert read == [update(step) for step in range(1, 40)]
    assert intake.spilled == 0
    assert backlog.give_up_spilled() == 0
    spool.close()


def test_row_51_spilled_messages_whose_segment_is_gone_are_lost_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, project=PROJECT, delivers=True, max_segment_bytes=1_000)
    backlog, intake = backlog_of(spool, room=Room(max_messages=1, max_bytes=1 << 20))
    for step in range(20):
        intake.put((update(step),))
    assert backlog.give_up_spilled() == 0
    spool.close()
    assert backlog.load_spilled(1_000) is None
    assert backlog.give_up_spilled() == 19
    assert intake.spilled == 0
