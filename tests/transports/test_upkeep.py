"""
Putting stored messages back among those to be delivered, and throwing them away.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mixwire.core import Add, InvalidValue, Message, PeopleOp, Project, Set, encode
from mixwire.core.frames import Note
from mixwire.transports import FileTransport
from mixwire.transports.disk import Disk
from mixwire.transports.drain import is_taken
from mixwire.transports.file import read_spool
from mixwire.transports.segments import Section
from mixwire.transports.spool import Spool, SpoolError, fingerprint
from mixwire.transports.upkeep import Upkeep, discard, projects, requeue

PROJECT = Project("T0")
OTHER = Project("T1")


def add(number: int) -> Message:
    return encode(PeopleOp("user-1", Add({"n": number})), PROJECT)


def put(number: int) -> Message:
    return encode(PeopleOp("user-1", Set({"n": number})), PROJECT)


def park(directory: Path, section: Section, *messages: Message, project: Project | None = PROJECT) -> None:
    spool = Spool(directory, section=section, project=project)
    spool.append(messages, [Note(reason="why", cause="ANSWER_LOST")] * len(messages))
    spool.close()


def bodies(directory: Path, section: Section) -> list[bytes]:
    return [kept.message.body for kept in read_spool(directory, section=section) if kept.state != "settled"]


def test_what_is_put_back_is_held_byte_for_byte_in_order_and_nowhere_else(tmp_path: Path) -> None:
    messages = [add(1), put(2), add(3)]
    park(tmp_path / "spool", "unknown", *messages)
    assert requeue(tmp_path / "spool", "unknown", PROJECT) == Upkeep(count=3, unrepeatable=2)
    assert bodies(tmp_path / "spool", "held") == [message.body for message in messages]
    assert bodies(tmp_path / "spool", "unknown") == []
    assert [kept.note for kept in read_spool(tmp_path / "spool")] == [None, None, None]
    disk = Disk(str(tmp_path / "spool"))
    assert projects(disk, "held") == {fingerprint(PROJECT)}
    assert not is_taken(disk, "unknown")


def test_more_than_fits_into_one_reading_is_put_back_whole(tmp_path: Path) -> None:
    park(tmp_path / "spool", "rejected", *map(put, range(20_000)))
    assert requeue(tmp_path / "spool", "rejected", PROJECT).count == 20_000
    assert len(bodies(tmp_path / "spool", "held")) == 20_000


def test_it_is_stored_in_the_one_place_before_it_is_gone_from_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(tmp_path / "spool", "unknown", add(1))

    def fail(self: Spool) -> None:
        raise SpoolError("disk failed")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "sync", fail)
        done = requeue(tmp_path / "spool", "unknown", PROJECT)
    assert done == Upkeep(trouble="the disk failed")
    assert bodies(tmp_path / "spool", "unknown") == [add(1).body]


def test_the_messages_of_another_project_are_not_put_back(tmp_path: Path) -> None:
    park(tmp_path / "spool", "rejected", put(1), project=OTHER)
    park(tmp_path / "spool", "rejected", put(2), project=None)
    assert requeue(tmp_path / "spool", "rejected", PROJECT).count == 1
    assert bodies(tmp_path / "spool", "rejected") == [put(1).body]
    assert projects(Disk(str(tmp_path / "spool")), "rejected") == {fingerprint(OTHER)}


@pytest.mark.parametrize("section", ["held", "unknown", "rejected"])
def test_what_is_thrown_away_is_gone_whosever_it_was_and_all_else_is_there(section: Section, tmp_path: Path) -> None:
    for each in ("held", "unknown", "rejected"):
        park(tmp_path / "spool", each, put(1), add(2))
    park(tmp_path / "spool", section, put(3), project=OTHER)
    assert discard(tmp_path / "spool", section).count == 3
    for each in ("held", "unknown", "rejected"):
        assert len(bodies(tmp_path / "spool", each)) == (0 if each == section else 2)


def test_what_somebody_still_writes_to_is_cleared_up_to_its_end(tmp_path: Path) -> None:
    with FileTransport(tmp_path / "spool") as writer:
        writer.send(put(1))
        assert discard(tmp_path / "spool", "held").count == 1
        writer.send(put(2))
        assert bodies(tmp_path / "spool", "held") == [put(2).body]


def test_nothing_is_done_while_somebody_else_has_the_right(tmp_path: Path) -> None:
    park(tmp_path / "spool", "unknown", add(1))
    other = Spool(tmp_path / "spool", section="unknown")
    assert other.adopt()
    assert requeue(tmp_path / "spool", "unknown", PROJECT) == Upkeep(is_taken=True)
    assert discard(tmp_path / "spool", "unknown") == Upkeep(is_taken=True)
    assert bodies(tmp_path / "spool", "unknown") == [add(1).body]
    assert bodies(tmp_path / "spool", "held") == []
    other.close()
    assert discard(tmp_path / "spool", "unknown").count == 1


def test_a_missing_directory_is_a_mistake_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="not a missing one"):
        requeue(tmp_path / "spool", "unknown", PROJECT)
    with pytest.raises(InvalidValue, match="not a missing one"):
        discard(tmp_path / "spool", "unknown")
    assert not list(tmp_path.iterdir())
