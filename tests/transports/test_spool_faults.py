"""
The rows of the fault matrix about the disk, as far as they can be shown inside of one process.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import random
import resource
import shutil
from pathlib import Path

import pytest
from fake_disk import FakeDisk, Storage
from spool_kit import EVENTS, NOW, addition, drain, event, files, messages

from mixwire.core import Message
from mixwire.core.frames import Header, frame, header_line
from mixwire.transports import journal
from mixwire.transports.spool import Place, Spool, SpoolError

HEADER = header_line(Header(writer="0badcafe", created=1))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def storage() -> Storage:
    return Storage()


def planted(directory: Path, content: bytes, number: int = 1, section: str = "held") -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / f"{number:016d}-0badcafe.{section}"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def failing(storage: Storage, operation: str, number: int, *, times: int = 1, suffix: str = "") -> None:
    """
    Let the next *times* calls of an operation fail.
    """
    left = [times]

    def fail(asked: str, name: str, size: int) -> None:
        if asked == operation and name.endswith(suffix) and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))

    storage.fail = fail


def read_all(storage: Storage) -> list[Message]:
    return messages(drain(Spool("/d", disk=FakeDisk(storage))))


# Rows 36 to 39: what is read back of a file that was damaged.


def test_row_36_cut_anywhere_a_file_gives_the_messages_before_the_cut(directory: Path) -> None:
    content = HEADER + b"".join(map(frame, EVENTS[:4]))
    ends = [len(HEADER) + sum(len(frame(each)) for each in EVENTS[:count]) for count in range(5)]
    for cut in range(0, len(content) + 1, 7):
        planted(directory, content[:cut])
        spool = Spool(directory)
        assert messages(drain(spool)) == EVENTS[: sum(end <= cut for end in ends[1:])]
        assert spool.dropped == {}
        assert files(directory) == []
        spool.close()


def test_row_37_one_flipped_bit_in_a_file_loses_at_most_one_message(directory: Path) -> None:
    content = HEADER + b"".join(map(frame, EVENTS[:4]))
    chance = random.Random(37)
    for _ in range(150):
        at = chance.randrange(len(content))
        damaged = bytearray(content)
        damaged[at] ^= 1 << chance.randrange(8)
        planted(directory, bytes(damaged))
        spool = Spool(directory)
        found = messages(drain(spool))
        lost = [each for each in EVENTS[:4] if each not in found]
        assert len(lost) <= 1
        assert found == [each for each in EVENTS[:4] if each not in lost]
        assert spool.dropped == ({"damaged": 1} if lost else {})
        assert files(directory) == []
        spool.close()


def test_row_38_a_random_file_is_counted_and_passed_over(directory: Path) -> None:
    planted(directory, random.Random(38).randbytes(3_000_000), number=1)
    planted(directory, HEADER + frame(EVENTS[0]) + bytes(4_000_000) + b"\n" + frame(EVENTS[1]), number=2)
    spool = Spool(directory)
    assert messages(drain(spool)) == EVENTS[:2]
    assert spool.dropped["damaged"] >= 2
    spool.close()


def test_row_38_a_line_without_an_end_is_not_read_into_memory(directory: Path) -> None:
    path = planted(directory, HEADER + b'{"crc":"00000000","size":9999999,')
    os.truncate(path, 1 << 33)
    spool = Spool(directory)
    (segment,) = spool.adopt()
    at = 0
    for _ in range(5):
        chunk = segment.read(at, 1000)
        assert at < chunk.next <= at + 2_200_000
        at = chunk.next
    assert not chunk.is_end
    assert spool.dropped == {"damaged": 1}
    spool.close()


def test_row_39_a_line_in_a_payload_is_not_resurrected(directory: Path) -> None:
    inner = frame(addition(1))[:-1]
    outer = Message(EVENTS[0].endpoint, b'{"event":"a","properties":{"x":[0,%b]}}' % inner, ("u1",))
    content = bytearray(HEADER + frame(outer) + frame(EVENTS[1]))
    content[len(HEADER) + 60] ^= 1
    content[content.index(b"[0,") + 2] = 0x0A
    planted(directory, bytes(content))
    spool = Spool(directory)
    assert messages(drain(spool)) == EVENTS[1:2]
    spool.close()


# Row 41: a sync that fails.


def stored_durably(spool: Spool, stored: list[Message]) -> None:
    spool.append(stored)
    spool.sync()


@pytest.mark.parametrize("mode", ["always", "interval"])
def test_row_41_after_a_failed_sync_what_was_not_durable_is_stored_elsewhere(storage: Storage, mode: str) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync=mode, sync_after_seconds=99)  # type: ignore[arg-type]
    first = spool.append(EVENTS[:2])
    spool.sync()
    failing(storage, "sync", errno.EIO)
    old = first[0].segment
    second = spool.append([*EVENTS[2:4], addition(1)])
    spool.sync()
    assert {place.segment for place in first} == {old}
    assert {place.segment for place in second}.isdisjoint({old})
    syncs = [entry[2] for entry in storage.log if entry[0] == "sync"]
    assert syncs.count(old.name) == 1
    assert bytes(storage.names[old.name].data).endswith(EVENTS[1].body + b"}\n")
    spool.settle(first)
    assert old.name not in storage.names
    spool.close()
    assert read_all(storage) == [*EVENTS[2:4], addition(1)]


def test_row_41_what_is_settled_is_not_stored_again(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync_after_seconds=99)
    places = spool.append(EVENTS[:3])
    spool.settle(places[:2])
    failing(storage, "sync", errno.EIO, suffix=".held")
    spool.sync()
    spool.close()
    assert read_all(storage) == EVENTS[2:3]


def test_row_41_what_is_intended_stays_so_elsewhere(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync_after_seconds=99)
    places = spool.append([addition(1), addition(2)])
    spool.intend(places[:1])
    failing(storage, "sync", errno.EIO, suffix=".held")
    spool.sync()
    spool.close()
    again = Spool("/d", disk=FakeDisk(storage))
    (segment, *_) = [each for each in again.adopt() if each.read(0, 1 << 16).stored]
    stored = segment.read(0, 1 << 16).stored
    assert messages(list(stored)) == [addition(1), addition(2)]
    assert segment.interrupted == {stored[0].place.start}


def test_row_41_what_a_drainer_is_at_is_stored_elsewhere_only_if_it_may_come_twice(storage: Storage) -> None:
    writer = Spool("/d", disk=FakeDisk(storage), sync_after_seconds=99)
    drainer = Spool("/d", disk=FakeDisk(storage))
    writer.append([EVENTS[0], addition(1)])
    (segment,) = drainer.adopt()
    seen = segment.read(0, 1 << 16)
    failing(storage, "sync", errno.EIO, suffix=".held")
    writer.sync()
    drainer.settle([stored.place for stored in seen.stored])
    assert messages(list(seen.stored)) + messages(drain(drainer)) == [EVENTS[0], addition(1), EVENTS[0]]


@pytest.mark.parametrize("mode", ["always", "interval"])
def test_row_41_a_second_failure_stops_the_spool_for_a_minute_with_one_report(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    spool = Spool("/d", disk=FakeDisk(storage), sync=mode, sync_after_seconds=99)  # type: ignore[arg-type]
    failing(storage, "sync", errno.EIO, times=2, suffix=".held")
    with caplog.at_level(logging.WARNING), pytest.raises(SpoolError, match="the disk failed"):
        stored_durably(spool, EVENTS[:1])
    for _ in range(3):
        with pytest.raises(SpoolError, match="the disk failed"):
            spool.append(EVENTS[1:2])
    assert len(caplog.records) == 1
    clock[0] += 61
    spool.append(EVENTS[2:3])
    spool.close()
    expected = EVENTS[2:3] if mode == "always" else [EVENTS[0], EVENTS[2]]
    assert read_all(storage) == expected


# Rows 42 and 43: a full disk, short writes.


@pytest.mark.parametrize("taken", [0, 1, 30, 300])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_row_42_a_full_disk_in_mid_line_leaves_no_trace(storage: Storage, taken: int, number: int) -> None:
    spool = Spool("/d", disk=FakeDisk(storage))
    (first,) = spool.append(EVENTS[:1])
    budget = [taken]

    def fail(operation: str, name: str, size: int) -> int | None:
        if operation != "write":
            return None
        if not budget[0]:
            raise OSError(number, "full")
        part = min(size, budget[0])
        budget[0] -= part
        return part

    storage.fail = fail
    for _ in range(3):
        with pytest.raises(SpoolError, match="the disk is full"):
            spool.append(EVENTS[1:3])
    storage.fail = lambda operation, name, size: None
    (second,) = spool.append(EVENTS[3:4])
    # Where a whole line was, though of a failed append, no other one may ever stand.
    assert (second.segment is first.segment) == (taken < len(frame(EVENTS[1])))
    spool.close()
    assert read_all(storage) == [EVENTS[0], EVENTS[3]]


def test_row_42_what_cannot_be_cut_off_is_left_behind(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS[:1])
    asked: list[str] = []

    def fail(operation: str, name: str, size: int) -> int | None:
        asked.append(operation)
        if operation == "truncate" or asked.count("write") > 1:
            raise OSError(errno.ENOSPC, "full")
        return 20 if operation == "write" else None

    storage.fail = fail
    with pytest.raises(SpoolError, match="the disk is full"):
        spool.append(EVENTS[1:2])
    storage.fail = lambda operation, name, size: None
    spool.append(EVENTS[2:3])
    spool.close()
    assert read_all(storage) == [EVENTS[0], EVENTS[2]]


def test_row_42_no_room_for_a_new_segment_leaves_no_file(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    failing(storage, "write", errno.ENOSPC, times=2)
    for _ in range(2):
        with pytest.raises(SpoolError, match="the disk is full"):
            spool.append(EVENTS[:1])
    assert storage.names == {}
    assert storage.descriptors == {}
    spool.append(EVENTS[:1])
    spool.close()
    assert read_all(storage) == EVENTS[:1]


def test_row_42_marks_that_found_no_room_are_written_with_the_next(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    places = spool.append(EVENTS[:4])
    calls: list[int] = []

    def fail(operation: str, name: str, size: int) -> int | None:
        if operation == "write":
            calls.append(size)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, "full")
            return 7
        return None

    storage.fail = fail
    spool.settle(places[:1])
    spool.settle(places[1:2])
    storage.fail = lambda operation, name, size: None
    spool.settle(places[2:3])
    spool.close()
    assert read_all(storage) == EVENTS[3:4]


def test_row_42_what_cannot_be_recorded_must_not_be_posted(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    places = spool.append([addition(1)])
    for operation, number, sentence in (
        ("write", errno.ENOSPC, "the disk is full"),
        ("write", errno.EIO, "the disk failed"),
        ("sync_directory", errno.EIO, "the disk failed"),
    ):
        failing(storage, operation, number)
        with pytest.raises(SpoolError, match=sentence):
            spool.intend(places)
    spool.intend(places)
    spool.close()


def test_row_41_an_intent_whose_sync_failed_is_written_again(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    places = spool.append([addition(1), addition(2), addition(3)])
    spool.settle(places[:1])
    failing(storage, "sync", errno.EIO)
    spool.intend(places[1:2])
    names = [entry[2] for entry in storage.log if entry[0] == "sync"]
    assert len(names) == 1
    failing(storage, "sync", errno.EIO, times=2)
    with pytest.raises(SpoolError, match="the disk failed"):
        spool.intend(places[2:])
    storage.fail = lambda operation, name, size: None
    other = Spool("/d", disk=FakeDisk(storage))
    assert other.adopt() == []
    spool.close()
    (segment,) = other.adopt()
    assert segment.interrupted == {places[1].start, places[2].start}


def test_row_43_a_short_write_is_completed(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    storage.fail = lambda operation, name, size: min(size, 10) if operation == "write" else None
    places = spool.append(EVENTS)
    spool.settle(places[:5])
    spool.close()
    assert read_all(storage) == EVENTS[5:]


# Rows 44 and 45: the directory goes away, descriptors run out.


def test_row_44_a_removed_directory_is_made_again_and_what_is_in_memory_stored_again(directory: Path) -> None:
    spool = Spool(directory, delivers=True, sync_after_seconds=99)
    spool.settle(spool.append(EVENTS[:1]))
    spool.append(EVENTS[1:3])
    spool.sync()
    places = spool.append(EVENTS[3:5])
    shutil.rmtree(directory)
    spool.sync()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert spool.dropped == {"lost": 2}
    assert (places[0].segment.name in files(directory)) is True
    spool.close()
    again = Spool(directory)
    assert messages(drain(again)) == EVENTS[3:5]
    again.close()


def test_row_44_a_directory_removed_between_two_segments_is_made_again(directory: Path) -> None:
    spool = Spool(directory, max_segment_bytes=300)
    spool.append(EVENTS[:1])
    spool.sync()
    shutil.rmtree(directory)
    spool.append(EVENTS[1:2])
    assert messages(drain(spool)) == EVENTS[1:2]
    spool.close()


def test_row_44_a_directory_that_became_something_else_is_not_used(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(directory)
    directory.rmdir()
    directory.symlink_to(directory.parent)
    with pytest.raises(SpoolError, match="the disk failed"):
        spool.append(EVENTS[:1])
    spool.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ESTALE, errno.EINTR, errno.EMFILE])
def test_row_45_a_failed_write_goes_on_in_another_segment(storage: Storage, number: int) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), sync_after_seconds=99)
    first = spool.append(EVENTS[:1])
    old = first[0].segment
    failing(storage, "write", number)
    second = spool.append(EVENTS[1:2])
    assert first[0].segment is second[0].segment
    assert first[0].segment is not old
    spool.close()
    assert read_all(storage) == EVENTS[:2]


@pytest.mark.parametrize("operation", ["create", "write", "truncate"])
def test_row_45_a_disk_that_takes_nothing_is_said_to_have_failed(storage: Storage, operation: str) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), sync_after_seconds=99)
    spool.append(EVENTS[:1])

    def fail(asked: str, name: str, size: int) -> None:
        if asked in {"write", operation}:
            raise OSError(errno.EIO, "")

    storage.fail = fail
    with pytest.raises(SpoolError, match="the disk failed"):
        spool.append(EVENTS[1:2])
    spool.close()


def test_row_45_without_descriptors_nothing_is_stored_and_later_it_is(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    spool = Spool(directory, sync="never")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(SpoolError, match="the disk failed"):
            spool.append(EVENTS[:1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    clock[0] += 61
    spool.append(EVENTS[1:2])
    assert messages(drain(spool)) == EVENTS[1:2]
    spool.close()


def test_a_segment_that_cannot_be_read_gives_nothing_and_stays(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS[:1])
    (segment,) = spool.adopt()
    failing(storage, "read", errno.EIO)
    assert segment.read(0, 1000).stored == ()
    assert messages(list(segment.read(0, 1000).stored)) == EVENTS[:1]


def test_a_disk_with_trouble_at_the_start_may_have_none_later(storage: Storage) -> None:
    failing(storage, "open", errno.EIO)
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS[:1])
    assert read_all(storage) == EVENTS[:1]


# Row 48: between the last steps.


def test_row_48_acks_without_a_segment_are_removed(directory: Path) -> None:
    planted(directory, b"", section="held-acks")
    spool = Spool(directory)
    assert spool.adopt() == []
    assert files(directory) == []
    spool.close()


def test_row_48_acks_of_one_who_is_about_to_begin_a_segment_are_left(storage: Storage) -> None:
    other = Spool("/d", disk=FakeDisk(storage))
    seen: list[list[str]] = []

    def fail(operation: str, name: str, size: int) -> None:
        if operation == "create" and not name.endswith(".lock"):
            seen.append([segment.name for segment in other.adopt()])

    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    storage.fail = fail
    places = spool.append(EVENTS[:1])
    assert seen == [[], []]
    assert f"{places[0].segment.name}-acks" in storage.names


def test_row_48_a_settled_segment_whose_owner_died_is_passed_over_and_removed(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    spool.settle(spool.append(EVENTS))
    copies = {name: (directory / name).read_bytes() for name in files(directory)}
    spool.close()
    for name, content in copies.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
    again = Spool(directory)
    assert drain(again) == []
    assert files(directory) == []
    again.close()


# Rows 50 to 53.


def test_row_50_a_sparse_segment_of_a_hundred_gigabytes_costs_nothing_at_the_start(directory: Path) -> None:
    path = planted(directory, HEADER + frame(EVENTS[0]))
    os.truncate(path, 100 << 30)
    spool = Spool(directory, max_bytes=1 << 50)
    (segment,) = spool.adopt()
    assert messages(list(segment.read(0, 1 << 16).stored)) == EVENTS[:1]
    spool.close()


def test_row_50_a_thousand_segments_come_at_once_and_then_the_others(directory: Path) -> None:
    for number in range(1, 1203):
        planted(directory, HEADER, number=number)
    spool = Spool(directory)
    first = spool.adopt()
    assert len(first) == 1000
    second = spool.adopt()
    assert [segment.name[:16] for segment in (*first, *second)] == [f"{number:016d}" for number in range(1, 1203)]
    spool.close()


def test_row_51_a_full_spool_refuses_the_newest(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    spool = Spool(directory, delivers=True, max_bytes=4000)
    places: list[list[Place]] = []
    with pytest.raises(SpoolError, match="the spool holds as much as it may"):
        places.extend(spool.append([event(number, size=400)]) for number in range(20))
    assert sum((directory / name).stat().st_size for name in files(directory) if name.endswith("held")) <= 4000
    with pytest.raises(SpoolError, match="the spool holds as much as it may"):
        spool.append(EVENTS[:1])
    spool.sync()
    for each in places[:3]:
        spool.settle(each)
    spool.append(EVENTS[:1])
    assert spool.dropped == {}
    spool.close()


def test_row_51_a_full_spool_drops_its_oldest_whole_segment_and_counts(directory: Path) -> None:
    with_old = Spool(directory, delivers=True)
    old = with_old.append([event(number, size=100) for number in range(100, 103)])
    with_old.settle(old[:1])
    with_old.close()
    spool = Spool(directory, max_bytes=4000, when_full="drop_oldest")
    for number in range(20):
        spool.append([event(number, size=400)])
        spool.sync()
    kept = [int(each.to_wire()["event"][1:]) for each in messages(drain(spool))]  # type: ignore[index]
    assert kept == list(range(kept[0], 20))
    assert spool.dropped == {"bytes": 2 + kept[0]}
    assert spool.dropped_own == kept[0]
    spool.close()


def test_row_51_what_is_larger_than_all_that_may_be_kept_is_refused_and_drops_nothing(directory: Path) -> None:
    spool = Spool(directory, max_bytes=2000, when_full="drop_oldest")
    spool.append(EVENTS[:1])
    with pytest.raises(SpoolError, match="the spool holds as much as it may"):
        spool.append([event(1, size=3000)])
    assert spool.dropped == {}
    spool.close()


def test_row_51_segments_that_are_too_old_go_with_a_count(directory: Path) -> None:
    now = [10_000_000]
    spool = Spool(directory, max_age_seconds=100, now=lambda: now[0], sync="never")
    spool.append(EVENTS[:3])
    now[0] += 50_000
    spool.append(EVENTS[3:4])
    now[0] += 51_000
    spool.append(EVENTS[4:5])
    now[0] += 100_000
    assert messages(drain(spool)) == EVENTS[4:5]
    assert spool.dropped == {"age": 4}
    spool.close()


def test_row_51_what_somebody_writes_or_delivers_is_not_dropped(directory: Path) -> None:
    writer = Spool(directory)
    writer.append([event(1, size=1500)])
    owner = Spool(directory, delivers=True, max_segment_bytes=100)
    owner.append([event(2, size=1500)])
    spool = Spool(directory, max_bytes=4000, when_full="drop_oldest")
    with pytest.raises(SpoolError, match="the spool holds as much as it may"):
        spool.append([event(3, size=1500)])
    assert spool.dropped == {}
    for each in (writer, owner, spool):
        each.close()


def test_row_52_a_clock_that_jumps_changes_no_order_and_makes_no_age_negative(directory: Path) -> None:
    ten_years = 10 * 365 * 86_400_000
    now = [ten_years * 5]
    spool = Spool(directory, max_segment_bytes=300, now=lambda: now[0], max_age_seconds=1e12)
    for index, each in enumerate(EVENTS):
        now[0] += ten_years * (1 if index % 2 else -1)
        spool.append([each])
    now[0] = 0
    assert spool.survey().oldest_age_seconds == 0
    assert messages(drain(spool)) == EVENTS
    assert spool.dropped == {}
    spool.close()


def test_row_52_a_segment_from_the_future_is_new(directory: Path) -> None:
    now = [NOW]
    spool = Spool(directory, now=lambda: now[0], max_age_seconds=1)
    spool.append(EVENTS[:1])
    spool.close()
    now[0] -= 10**10
    again = Spool(directory, now=lambda: now[0], max_age_seconds=1)
    assert messages(drain(again)) == EVENTS[:1]
    assert again.dropped == {}
    again.close()


def test_row_52_a_segment_with_a_huge_number_leaves_names_for_others(directory: Path) -> None:
    planted(directory, HEADER, number=9_999_999_999_999_999)
    planted(directory, HEADER, number=41)
    spool = Spool(directory)
    (place,) = spool.append(EVENTS[:1])
    assert place.segment.name.startswith(f"{42:016d}-")
    spool.close()


@pytest.mark.parametrize("when_full", ["refuse", "drop_oldest"])
def test_row_53_another_version_is_left_untouched_and_reported(directory: Path, when_full: str) -> None:
    contents = [header_line(Header(version=2)) + b"new\n", b'{"format":"mixwire-spool","version":9}\nnewer\n']
    paths = [planted(directory, content, number) for number, content in enumerate(contents, start=1)]
    now = 10**13
    spool = Spool(
        directory,
        max_bytes=2000,
        max_age_seconds=1,
        when_full=when_full,  # type: ignore[arg-type]
        now=lambda: now,
    )
    spool.append(EVENTS[:1])
    assert messages(drain(spool)) == EVENTS[:1]
    assert spool.survey().other_versions == tuple(path.name for path in paths)
    assert [path.read_bytes() for path in paths] == contents
    assert spool.dropped == {}
    spool.close()


def test_row_92_what_somebody_planted_is_data_and_nothing_else(directory: Path) -> None:
    wrong = json.dumps({"endpoint": "../../etc", "body": "x"}).encode()
    planted(directory, HEADER + wrong + b"\n" + frame(EVENTS[0]))
    (directory / "0000000000000001-0badcafe.held.evil").write_bytes(b"x")
    (directory / "../evil").resolve().write_bytes(b"x")
    spool = Spool(directory)
    assert messages(drain(spool)) == EVENTS[:1]
    assert spool.dropped == {"damaged": 1}
    spool.close()


def test_row_51_what_could_not_be_dropped_may_be_delivered_by_others_as_before(directory: Path) -> None:
    writer, drainer = Spool(directory), Spool(directory)
    writer.append([event(1, size=1500)])
    spool = Spool(directory, max_bytes=2000, when_full="drop_oldest")
    with pytest.raises(SpoolError, match="the spool holds as much as it may"):
        spool.append([event(3, size=1500)])
    assert messages(drain(drainer)) == [event(1, size=1500)]
    for each in (writer, drainer, spool):
        each.close()


def test_a_segment_that_a_killed_writer_never_began_is_removed(directory: Path) -> None:
    planted(directory, b"")
    planted(directory, HEADER[:20], number=2)
    spool = Spool(directory)
    assert drain(spool) == []
    assert files(directory) == []
    spool.close()


def test_a_writer_whose_new_file_somebody_looked_at_takes_another_name(storage: Storage) -> None:
    """
    Between making and locking a file it looks like one that was left behind.
    """
    looker = FakeDisk(storage)
    seen: list[str] = []
    lock = FakeDisk.lock

    class Looked(FakeDisk):
        def lock(self, file: int) -> bool:
            name, _ = self.storage.descriptors[file]
            if len(seen) < 2:
                seen.append(name)
                assert lock(looker, looker.open_file(name))
            return super().lock(file)

    spool = Spool("/d", disk=Looked(storage), delivers=True)
    (place,) = spool.append(EVENTS[:1])
    assert [name[:16] for name in seen] == [f"{1:016d}", f"{2:016d}"]
    assert place.segment.name.startswith(f"{3:016d}")


def test_segments_wait_for_the_disk_two_at_a_time(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), max_segment_bytes=300, sync_after_seconds=99)
    for each in EVENTS:
        spool.append([each])
    assert sum(name.endswith(".held") for name, _ in storage.descriptors.values()) <= 4
    spool.close()
    assert read_all(storage) == EVENTS


def test_marks_are_not_made_for_a_segment_that_is_removed_meanwhile(storage: Storage) -> None:
    writer = Spool("/d", disk=FakeDisk(storage), sync="never")
    (place,) = writer.append(EVENTS[:1])
    writer.close()
    spool = Spool("/d", disk=FakeDisk(storage))
    (segment,) = spool.adopt()

    def remove(operation: str, name: str, size: int) -> None:
        if operation == "open_file" and name.endswith("-acks") and place.segment.name in storage.names:
            storage.names.pop(place.segment.name).links = 0

    storage.fail = remove
    assert segment.read(0, 1000).stored == ()
    assert [name for name in storage.names if not name.endswith(".lock")] == []


def test_an_append_in_a_signal_handler_that_the_disk_does_not_take_is_counted(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS[:1])
    calls: list[str] = []

    def fail(operation: str, name: str, size: int) -> None:
        if operation == "write":
            calls.append(name)
            if len(calls) == 1:
                spool.append(EVENTS[1:3])
            else:
                raise OSError(errno.ENOSPC, "full")

    storage.fail = fail
    spool.append(EVENTS[3:4])
    assert spool.dropped == {"not stored": 2}
    assert spool.dropped_own == 2


def test_a_failure_of_the_directory_leaves_all_that_was_written_there(storage: Storage) -> None:
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync_after_seconds=99)
    places = spool.append(EVENTS[:2])
    old = places[0].segment
    failing(storage, "sync_directory", errno.EIO)
    spool.sync()
    assert places[0].segment is not old
    spool.close()
    assert read_all(storage) == EVENTS[:2]
