"""
Messages written to a spool to be delivered by somebody else.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from spool_kit import EVENTS, PROJECT, addition, drain, event, messages

from mixwire.core import Cause, InvalidValue, Outcome
from mixwire.transports.base import Stats
from mixwire.transports.disk import Disk
from mixwire.transports.file import FileTransport, read_spool
from mixwire.transports.spool import Spool


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def test_what_is_sent_is_held_and_another_spool_delivers_it(directory: Path) -> None:
    with FileTransport(directory, project=PROJECT) as transport:
        assert transport.send(*EVENTS[:2]) == Outcome()
        assert transport.send() == Outcome()
        assert transport.flush() == Outcome()
        assert transport.stats() == Stats(accepted=2, held=2)
    spool = Spool(directory, project=PROJECT)
    assert messages(drain(spool)) == EVENTS[:2]
    spool.close()
    assert transport.stats() == Stats(accepted=2, held=2)


def test_after_close_everything_fails(directory: Path) -> None:
    transport = FileTransport(directory)
    transport.send(*EVENTS[:1])
    assert transport.close() == Outcome()
    assert transport.close() == Outcome()
    outcome = transport.send(*EVENTS[:2])
    assert [(each.message, each.cause) for each in outcome.failed] == [(each, Cause.CLOSED) for each in EVENTS[:2]]
    assert transport.stats() == Stats(accepted=3, failed=2, held=1)


def test_what_does_not_fit_fails_with_the_reason(directory: Path) -> None:
    transport = FileTransport(directory, max_bytes=1000)
    outcome = transport.send(event(1, size=2000))
    (failed,) = outcome.failed
    assert (failed.cause, failed.detail) == (Cause.NOT_STORED, "the spool holds as much as it may")
    assert transport.stats() == Stats(accepted=1, failed=1)
    transport.close()


def test_row_51_what_retention_gives_up_counts_as_dropped(directory: Path) -> None:
    transport = FileTransport(directory, max_bytes=4000, when_full="drop_oldest")
    for number in range(20):
        assert transport.send(event(number, size=400)) == Outcome()
        transport.flush()
    stats = transport.stats()
    transport.close()
    assert stats.dropped > 10
    assert (stats.accepted, stats.held) == (20, 20 - stats.dropped)
    assert len(list(read_spool(directory))) == stats.held


def test_something_that_is_no_message_is_refused_and_nothing_taken(directory: Path) -> None:
    transport = FileTransport(directory)
    with pytest.raises(InvalidValue):
        transport.send(EVENTS[0], "message")  # type: ignore[arg-type]
    assert transport.stats() == Stats()
    transport.close()


def test_a_disk_that_fails_twice_is_a_note_of_flush(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = FileTransport(directory, sync_after_seconds=99)
    transport.send(*EVENTS[:1])

    def fail(disk: Disk, file: int) -> None:
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(Disk, "sync", fail)
    assert transport.flush() == Outcome(notes=("what is held may not survive a power cut: the disk failed",))
    transport.close()


def test_a_spool_is_read_without_changing_it(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append([*EVENTS[:2], addition(1), addition(2)])
    spool.settle(places[:1])
    spool.intend(places[2:3])
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    kept = list(read_spool(directory))
    assert [each.message for each in kept] == [*EVENTS[:2], addition(1), addition(2)]
    assert [each.state for each in kept] == ["settled", "waiting", "interrupted", "waiting"]
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    spool.retract(places[2:3])
    assert [each.state for each in read_spool(directory)] == ["settled", "waiting", "waiting", "waiting"]
    spool.close()
    with pytest.raises(InvalidValue, match="a missing one"):
        list(read_spool(directory / "missing"))


def test_what_cannot_be_read_is_passed_over(directory: Path) -> None:
    spool = Spool(directory)
    places = spool.append(EVENTS[:3])
    spool.close()
    path = directory / places[0].segment.name
    content = bytearray(path.read_bytes())
    content[places[1].start + 50] ^= 1
    path.write_bytes(content)
    other = directory / "0000000000000099-0badcafe.held"
    other.write_bytes(b'{"format":"mixwire-spool","version":9}\n')
    other.chmod(0o600)
    (directory / "notes.txt").write_bytes(b"")
    (directory / f"{places[0].segment.name}-acks").write_bytes(b"junk\n")
    (directory / f"{places[0].segment.name}-acks").chmod(0o600)
    assert [each.message for each in read_spool(directory)] == [EVENTS[0], EVENTS[2]]
    looking = Spool(directory)
    survey = looking.survey()
    assert (survey.damaged, survey.waiting, survey.other_versions) == (1, 2, (other.name,))
    looking.close()


def test_a_forked_child_holds_what_it_sent_itself(directory: Path) -> None:
    transport = FileTransport(directory)
    transport.send(*EVENTS[:2])
    child = os.fork()
    if child == 0:
        try:
            transport.send(*EVENTS[2:5])
            is_right = transport.stats() == Stats(accepted=3, held=3)
            transport.close()
            os._exit(0 if is_right else 1)
        except BaseException:  # noqa: BLE001  # a child must not come back into the test
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    transport.send(*EVENTS[5:6])
    transport.close()
    assert transport.stats() == Stats(accepted=3, held=3)
    assert sorted(each.message.body for each in read_spool(directory)) == sorted(each.body for each in EVENTS[:6])
