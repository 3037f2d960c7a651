"""
What a spool keeps, who delivers it, and what becomes of its files.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from fake_disk import FakeDisk, Storage
from spool_kit import EVENTS, NOW, OTHER, PROJECT, addition, drain, event, files, messages

from mixwire.core import Endpoint, InvalidValue, Message
from mixwire.transports.ranges import Ranges, merged
from mixwire.transports.spool import Note, Place, Segment, Spool, SpoolError, fingerprint


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


# What is stored is there.


def test_what_is_appended_is_read_back_in_order_with_the_same_bytes(directory: Path) -> None:
    mixed = [EVENTS[0], addition(1), EVENTS[1], addition(2)]
    with_closed(directory, mixed)
    spool = Spool(directory)
    assert messages(drain(spool)) == mixed
    assert spool.dropped == {}
    spool.close()


def with_closed(directory: Path, stored: list[Message], *, delivers: bool = False) -> None:
    spool = Spool(directory, delivers=delivers)
    spool.append(stored)
    spool.close()


def test_notes_come_back_with_their_messages(directory: Path) -> None:
    spool = Spool(directory, section="rejected")
    notes = [Note("400 bad time", "properties.time"), Note("lost", cause="ANSWER_LOST")]
    spool.append(EVENTS[:2], notes)
    spool.append(EVENTS[2:3])
    assert [(each.reason, each.field, each.cause) for each in drain(spool)] == [
        ("400 bad time", "properties.time", ""),
        ("lost", "", "ANSWER_LOST"),
        ("", "", ""),
    ]
    spool.close()


def test_a_place_tells_where_the_line_of_a_message_stands(directory: Path) -> None:
    spool = Spool(directory, project=PROJECT)
    first, second = spool.append(EVENTS[:2])
    assert (first.segment, first.end) == (second.segment, second.start)
    content = (directory / first.segment.name).read_bytes()
    assert EVENTS[0].body in content[first.start : first.end]
    assert content[second.start : second.end].endswith(EVENTS[1].body + b"}\n")
    assert content.endswith(b"\n")
    assert len(content) == second.end
    spool.close()


def test_each_line_is_json_that_other_programs_can_read(directory: Path) -> None:
    spool = Spool(directory, project=PROJECT)
    (place,) = spool.append([EVENTS[0]])
    header, line = map(json.loads, (directory / place.segment.name).read_text().splitlines())
    assert header["format"] == "mixwire-spool"
    assert header["project"] == fingerprint(PROJECT)
    assert line["endpoint"] == "track"
    assert line["body"] == EVENTS[0].to_wire()
    assert "TOKEN" not in json.dumps(header)
    spool.close()


def test_several_messages_are_written_at_once() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS)
    assert [entry[0] for entry in storage.log] == ["create", "write", "write"]


def test_nothing_appended_makes_no_file(directory: Path) -> None:
    spool = Spool(directory)
    assert spool.append([]) == []
    spool.close()
    assert files(directory) == []


def test_a_full_segment_is_followed_by_the_next(directory: Path) -> None:
    spool = Spool(directory, max_segment_bytes=1000)
    places = [spool.append([each])[0] for each in EVENTS]
    names = list(dict.fromkeys(place.segment.name for place in places))
    assert len(names) > 2
    assert names == sorted(names)
    assert all((directory / name).stat().st_size <= 1000 for name in names)
    assert messages(drain(spool)) == EVENTS
    spool.close()


def test_what_is_larger_than_a_segment_gets_one_for_itself(directory: Path) -> None:
    spool = Spool(directory, max_segment_bytes=500)
    spool.append(EVENTS)
    assert messages(drain(spool)) == EVENTS
    spool.close()


def test_sections_in_one_directory_do_not_see_each_other(directory: Path) -> None:
    held, unknown = Spool(directory), Spool(directory, section="unknown")
    held.append(EVENTS[:1])
    unknown.append(EVENTS[1:2])
    assert messages(drain(unknown)) == EVENTS[1:2]
    assert messages(drain(held)) == EVENTS[:1]
    held.close()
    unknown.close()


def test_after_close_nothing_is_taken(directory: Path) -> None:
    spool = Spool(directory)
    spool.close()
    spool.close()
    with pytest.raises(SpoolError, match="the spool had been closed") as caught:
        spool.append(EVENTS)
    assert caught.value.trouble == "closed"
    assert spool.adopt() == []


def test_eight_threads_lose_and_double_nothing(directory: Path) -> None:
    spool = Spool(directory, max_segment_bytes=50_000)
    barrier = threading.Barrier(8)

    def work(base: int) -> None:
        barrier.wait(10)
        for number in range(base, base + 200):
            spool.append([event(number)])

    threads = [threading.Thread(target=work, args=(base * 1000,)) for base in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    spool.close()
    again = Spool(directory)
    found = messages(drain(again))
    expected = [event(base * 1000 + number) for base in range(8) for number in range(200)]
    assert sorted(each.body for each in found) == sorted(each.body for each in expected)
    again.close()


class Interrupting:
    """
    A disk during whose first write of a message something else appends, as a signal handler would.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.spool: Spool | None = None
        self.places: list[Place] = []

    def __call__(self, operation: str, name: str, size: int) -> None:
        if operation == "write" and name.endswith(".held") and self.spool is not None and size:
            spool, self.spool = self.spool, None
            self.places = spool.append(EVENTS[5:7])


@pytest.mark.parametrize("mode", ["always", "interval", "never"])
def test_an_append_within_an_append_is_stored_after_it(mode: str) -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync=mode)  # type: ignore[arg-type]
    spool.append(EVENTS[:1])
    storage.fail = interrupting = Interrupting(storage)
    interrupting.spool = spool
    spool.append(EVENTS[1:2])
    assert messages(drain(spool)) == [*EVENTS[:2], *EVENTS[5:7]]
    assert [place.end > place.start > 0 for place in interrupting.places] == [True, True]
    assert interrupting.places[0].end == interrupting.places[1].start


def test_an_append_within_the_first_append_is_stored_too() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage))
    storage.fail = interrupting = Interrupting(storage)
    interrupting.spool = spool
    spool.append(EVENTS[:1])
    assert messages(drain(spool)) == [EVENTS[0], *EVENTS[5:7]]


def test_an_exception_out_of_a_write_leaves_all_or_nothing_and_a_working_spool() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS[:1])

    def interrupt(operation: str, name: str, size: int) -> None:
        if operation == "write":
            storage.fail = lambda operation, name, size: None
            raise KeyboardInterrupt

    storage.fail = interrupt
    with pytest.raises(KeyboardInterrupt):
        spool.append(EVENTS[1:3])
    spool.append(EVENTS[3:4])
    spool.close()
    assert messages(drain(Spool("/d", disk=FakeDisk(storage)))) == [EVENTS[0], EVENTS[3]]


# Who delivers.


def test_one_who_delivers_keeps_its_segments_from_others(directory: Path) -> None:
    owner, other = Spool(directory, delivers=True), Spool(directory)
    owner.append(EVENTS)
    assert owner.adopt() == []
    assert other.adopt() == []
    owner.close()
    assert messages(drain(other)) == EVENTS
    other.close()


def test_a_live_segment_is_drained_up_to_its_last_whole_line(directory: Path) -> None:
    writer, drainer = Spool(directory), Spool(directory)
    writer.append(EVENTS[:2])
    (segment,) = drainer.adopt()
    first = segment.read(0, 1 << 16)
    assert (messages(list(first.stored)), first.is_end) == (EVENTS[:2], False)
    with (directory / segment.name).open("ab") as file:
        file.write(b'{"crc":"')
        file.flush()
        assert segment.read(first.next, 1 << 16).stored == ()
        file.truncate(first.next)
    writer.append(EVENTS[2:4])
    second = segment.read(first.next, 1 << 16)
    assert (messages(list(second.stored)), second.is_end) == (EVENTS[2:4], False)
    drainer.settle([stored.place for stored in (*first.stored, *second.stored)])
    assert segment.name in files(directory)
    writer.close()
    assert segment.read(second.next, 1 << 16).is_end
    assert files(directory) == []
    drainer.close()


def test_a_segment_is_handed_out_once(directory: Path) -> None:
    with_closed(directory, EVENTS)
    spool = Spool(directory)
    assert len(spool.adopt()) == 1
    assert spool.adopt() == []
    spool.close()


def test_segments_come_oldest_first(directory: Path) -> None:
    for each in EVENTS[:5]:
        with_closed(directory, [each])
    spool = Spool(directory)
    segments = spool.adopt()
    assert [segment.name for segment in segments] == sorted(files(directory))[:5]
    assert not any(segment.is_own for segment in segments)
    spool.close()


def test_one_spool_of_a_directory_delivers_and_the_next_when_it_is_closed(directory: Path) -> None:
    with_closed(directory, EVENTS)
    first, second = Spool(directory), Spool(directory)
    assert len(first.adopt()) == 1
    assert second.adopt() == []
    first.close()
    assert messages(drain(second)) == EVENTS
    second.close()


def test_a_plain_spool_may_deliver_its_own_live_segment(directory: Path) -> None:
    spool = Spool(directory)
    (place,) = spool.append(EVENTS[:1])
    (segment,) = spool.adopt()
    assert segment is place.segment
    assert segment.is_own
    assert messages(list(segment.read(0, 1 << 16).stored)) == EVENTS[:1]
    spool.close()


def test_one_who_delivers_reads_its_own_segment_back(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append(EVENTS)
    spool.settle(places[:3])
    chunk = places[0].segment.read(places[2].start, 1 << 16)
    assert messages(list(chunk.stored)) == EVENTS[3:]
    assert not chunk.is_end
    spool.close()


def test_messages_of_another_project_are_left_alone_and_counted(directory: Path) -> None:
    theirs = Spool(directory, project=OTHER)
    theirs.append(EVENTS[:3])
    theirs.close()
    ours = Spool(directory, project=PROJECT)
    assert ours.adopt() == []
    assert ours.survey().other_projects == 1
    assert ours.survey().waiting == 0
    ours.close()
    anybody = Spool(directory)
    assert messages(drain(anybody)) == EVENTS[:3]
    anybody.close()


def test_small_windows_give_the_same_messages(directory: Path) -> None:
    with_closed(directory, [*EVENTS, event(10, size=200_000), event(11)])
    spool = Spool(directory)
    assert messages(drain(spool, max_bytes=1)) == [*EVENTS, event(10, size=200_000), event(11)]
    spool.close()


def test_delivering_holds_four_descriptors(directory: Path) -> None:
    for each in EVENTS:
        with_closed(directory, [each, each])
    spool = Spool(directory)
    before = descriptors()
    found: list[Place] = []
    for segment in spool.adopt():
        found += [stored.place for stored in segment.read(0, 1 << 16).stored]
        assert descriptors() <= before + 3
    for place in found[::2] + found[1::2]:
        spool.settle([place])
        assert descriptors() <= before + 3
    assert files(directory) == []
    spool.close()


# What is settled.


def test_a_settled_message_is_not_read_again(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append(EVENTS)
    spool.settle([places[3], places[5], places[4]])
    spool.close()
    again = Spool(directory)
    assert messages(drain(again)) == EVENTS[:3] + EVENTS[6:]
    again.close()


def test_a_settled_segment_is_removed_when_nobody_writes_to_it(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    spool.settle(spool.append(EVENTS))
    assert len(files(directory)) == 2
    spool.close()
    assert files(directory) == []


def test_a_full_segment_is_removed_as_soon_as_it_is_settled(directory: Path) -> None:
    spool = Spool(directory, delivers=True, max_segment_bytes=1000)
    for each in EVENTS:
        spool.settle(spool.append([each]))
    spool.sync()
    assert len(files(directory)) == 2
    spool.close()


def test_marks_that_touch_become_one(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append(EVENTS)
    spool.settle(places)
    (acks,) = directory.glob("*-acks")
    assert json.loads(acks.read_bytes())["settled"] == [[places[0].start, places[-1].end]]
    spool.close()


def test_a_torn_mark_only_means_that_the_message_comes_again(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append(EVENTS[:3])
    spool.settle(places[:1])
    spool.settle(places[1:2])
    spool.close()
    (acks,) = directory.glob("*-acks")
    os.truncate(acks, acks.stat().st_size - 4)
    second = Spool(directory)
    assert messages(drain(second, settle=False)) == EVENTS[1:3]
    second.close()
    third = Spool(directory)
    assert messages(drain(third)) == EVENTS[1:3]
    third.close()
    assert files(directory) == []


def test_marks_after_a_torn_one_count(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append(EVENTS[:3])
    spool.settle(places[:1])
    spool.close()
    (acks,) = directory.glob("*-acks")
    os.truncate(acks, acks.stat().st_size - 4)
    second = Spool(directory)
    (segment,) = second.adopt()
    second.settle([stored.place for stored in segment.read(0, 1 << 16).stored][1:])
    second.close()
    third = Spool(directory)
    assert messages(drain(third)) == EVENTS[:1]
    third.close()


def test_what_was_intended_and_not_settled_is_told_apart(directory: Path) -> None:
    spool = Spool(directory, delivers=True)
    places = spool.append([addition(number) for number in range(4)])
    spool.intend(places[:3])
    spool.settle(places[:1])
    spool.retract(places[1:2])
    spool.close()
    again = Spool(directory)
    (segment,) = again.adopt()
    stored = segment.read(0, 1 << 16).stored
    assert messages(list(stored)) == [addition(number) for number in range(1, 4)]
    assert segment.interrupted == {places[2].start}
    assert again.survey().counts == {(Endpoint.ENGAGE, "settled"): 1, (Endpoint.ENGAGE, "waiting"): 2} | {
        (Endpoint.ENGAGE, "interrupted"): 1
    }
    again.settle([each.place for each in stored])
    assert segment.interrupted == frozenset()
    again.close()


def test_an_intent_is_durable_before_it_returns() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True)
    places = spool.append([addition(1)])
    storage.log.clear()
    spool.intend(places)
    assert [entry[0] for entry in storage.log] == ["write", "sync", "sync_directory"]


def test_acks_are_durable_before_the_segment_goes_and_it_goes_before_they_do() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), delivers=True, sync="never")
    places = spool.append(EVENTS)
    spool.settle(places)
    storage.log.clear()
    spool.close()
    name = places[0].segment.name
    assert [(entry[0], *entry[2:]) if entry[0] == "sync" else entry for entry in storage.log] == [
        ("sync", f"{name}-acks"),
        ("sync_directory",),
        ("unlink", name),
        ("sync_directory",),
        ("unlink", f"{name}-acks"),
    ]


def test_settling_what_is_gone_does_no_harm(directory: Path) -> None:
    with_closed(directory, EVENTS[:1])
    spool = Spool(directory)
    (segment,) = spool.adopt()
    (stored,) = segment.read(0, 1 << 16).stored
    spool.settle([stored.place])
    spool.settle([stored.place])
    assert segment.read(0, 1 << 16).stored == ()
    assert files(directory) == []
    with pytest.raises(SpoolError):
        spool.intend([stored.place])
    spool.close()


def test_a_survey_counts_without_touching_anything(directory: Path) -> None:
    spool = Spool(directory, delivers=True, now=lambda: NOW)
    spool.append([*EVENTS, addition(1)])
    other = Spool(directory, now=lambda: NOW + 5000)
    before = files(directory)
    survey = other.survey()
    assert survey.counts == {(Endpoint.TRACK, "waiting"): 10, (Endpoint.ENGAGE, "waiting"): 1}
    assert (survey.waiting, survey.segments, survey.oldest_age_seconds) == (11, 1, 5.0)
    assert survey.size_bytes == sum((directory / name).stat().st_size for name in before)
    assert files(directory) == before
    other.close()
    spool.append(EVENTS)
    spool.close()


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"section": "lost"}, "section must be one of 'held', 'unknown', 'rejected', not another value"),
        ({"sync": "sometimes"}, "sync must be one of 'always', 'interval', 'never', not another value"),
        ({"when_full": "cry"}, "when_full must be one of 'refuse', 'drop_oldest', not another value"),
        ({"max_bytes": 0}, "max_bytes must be more than 0, not 0, less or not finite"),
        ({"max_bytes": 1.5}, "max_bytes must be an int, not float"),
        ({"max_segment_bytes": True}, "max_segment_bytes must be an int, not bool"),
        ({"sync_after_seconds": float("nan")}, "sync_after_seconds must be more than 0, not 0, less or not finite"),
        ({"max_age_seconds": "1"}, "max_age_seconds must be a number, not str"),
        ({"project": "TOKEN"}, "project must be Project(...) or None, not str"),
    ],
)
def test_wrong_arguments_are_refused(directory: Path, arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Spool(directory, **arguments)  # type: ignore[arg-type]
    assert str(caught.value) == sentence
    assert not directory.exists()


@pytest.mark.parametrize("trouble", ["full", "disk full", "disk failed", "closed"])
def test_an_error_says_what_is_the_matter(trouble: str) -> None:
    error = SpoolError(trouble)  # type: ignore[arg-type]
    assert str(error)
    assert error.trouble == trouble


def test_ranges_that_touch_become_one() -> None:
    ranges = Ranges()
    for start, end in [(10, 20), (30, 40), (20, 25), (26, 30), (25, 26), (0, 5), (2, 3)]:
        ranges.add(start, end)
    assert list(ranges) == [(0, 5), (10, 40)]
    assert ranges.covers(10, 40)
    assert ranges.covers(0, 1)
    assert not ranges.covers(4, 11)
    assert not ranges.covers(40, 41)
    assert merged([(3, 4), (1, 2), (2, 3), (6, 7)]) == [(1, 4), (6, 7)]


def test_reprs_hold_no_message(directory: Path) -> None:
    spool = Spool(directory)
    (place,) = spool.append(EVENTS[:1])
    assert isinstance(place.segment, Segment)
    assert repr(place) == f"Place({place.segment.name}, {place.start}, {place.end})"
    assert repr(place.segment) == f"Segment({place.segment.name})"
    spool.close()
