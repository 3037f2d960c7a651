"""
Spools against a model of them, and their lines against each other.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from mixwire.core import Add, PeopleOp, Project, Track, encode
from mixwire.core.frames import Note, frame, read_message, scan
from mixwire.testing import strategies as mx
from mixwire.transports.spool import Spool

PROJECT = Project("TOKEN")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NOTES = st.none() | st.builds(Note, TEXTS, TEXTS, TEXTS)


def read_back(window, **arguments):
    found = scan(window, **arguments)
    return [read_message(line.content) for line in found.lines]


@given(st.lists(st.tuples(mx.messages(), NOTES), max_size=2))
def test_a_spool_reads_back_what_was_written(pairs):
    assert read_back(b"".join(frame(message, note) for message, note in pairs)) == pairs


@given(st.lists(mx.messages(), min_size=1, max_size=3), st.data())
def test_a_spool_reads_back_what_was_written_even_after_a_torn_line(messages, data):
    lines = [frame(message) for message in messages]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    kept = [message for index, message in enumerate(messages) if sum(map(len, lines[: index + 1])) <= cut]
    assert [message for message, _ in read_back(whole[:cut], is_last=True)] == kept


@given(st.lists(mx.messages(), min_size=1, max_size=3), st.data())
def test_one_damaged_byte_costs_one_message_at_most_and_makes_none(messages, data):
    lines = [frame(message) for message in messages]
    whole = bytearray(b"".join(lines))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found = [message for message, _ in read_back(bytes(whole), is_last=True)]
    hit = next(index for index in range(len(lines)) if at < sum(map(len, lines[: index + 1])))
    assert found in (messages, messages[:hit] + messages[hit + 1 :])


@given(st.binary(max_size=300), st.lists(mx.messages(), max_size=2))
def test_any_bytes_are_passed_over_up_to_the_next_line(junk, messages):
    window = junk + b"\n" + b"".join(map(frame, messages))
    assert [message for message, _ in read_back(window, is_last=True)][-len(messages) or len(window) :] == messages


class SpoolMachine(RuleBasedStateMachine):
    """
    Several spools in one directory: what one appended and nobody settled is there, in order, exactly once, whoever is
    closed, forgotten or made anew.
    """

    appended = Bundle("appended")

    def __init__(self):
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = Path(self.temporary.name) / "spool"
        self.count = 0
        # What is stored and not settled, by the body; and those of them that were intended.
        self.waiting: Counter[bytes] = Counter()
        self.doubtful: set[bytes] = set()
        self.owner = self.make()

    def make(self):
        return Spool(self.directory, delivers=True, sync="never", max_segment_bytes=900)

    def message(self, repeatable):
        self.count += 1
        if repeatable:
            return encode(Track(f"E{self.count}", distinct_id="u", time=1_767_225_600, insert_id="a" * 12), PROJECT)
        return encode(PeopleOp("u", Add({"n": self.count})), PROJECT)

    @rule(target=appended, kinds=st.lists(st.booleans(), min_size=1, max_size=4))
    def append(self, kinds):
        messages = [self.message(kind) for kind in kinds]
        places = self.owner.append(messages)
        self.waiting.update(message.body for message in messages)
        return multiple(*zip([self.owner] * len(places), places, messages, strict=True))

    @rule(one=appended)
    def settle(self, one):
        owner, place, message = one
        if owner is self.owner:
            owner.settle([place])
            self.waiting.pop(message.body, None)
            self.doubtful.discard(message.body)

    @rule(one=appended)
    def intend(self, one):
        owner, place, message = one
        if owner is self.owner and message.body in self.waiting:
            owner.intend([place])
            self.doubtful.add(message.body)

    @rule(one=appended)
    def retract(self, one):
        owner, place, message = one
        if owner is self.owner and message.body in self.doubtful:
            owner.retract([place])
            self.doubtful.discard(message.body)

    @rule(is_closed=st.booleans())
    def follow(self, is_closed):
        """
        The process ends, with or without closing; another one begins.
        """
        if is_closed:
            self.owner.close()
        else:
            # As the system does it when a process is killed.
            for file in tuple(self.owner._disk._files):
                self.owner._disk.free(file)
        self.owner = self.make()

    @rule(max_bytes=st.sampled_from((1, 500, 1 << 20)), share=st.integers(1, 3))
    def drain(self, max_bytes, share):
        """
        All that has no owner is read, in order, and some of it settled.
        """
        self.owner.close()
        self.owner = self.make()
        drainer = Spool(self.directory, sync="never")
        found = []
        for segment in drainer.adopt():
            at, is_end = 0, False
            while not is_end:
                chunk = segment.read(at, max_bytes)
                for stored in chunk.stored:
                    found.append(stored.message.body)
                    assert (stored.place.start in segment.interrupted) == (stored.message.body in self.doubtful)
                    if len(found) % share == 0:
                        drainer.settle([stored.place])
                at, is_end = chunk.next, chunk.is_end
        assert Counter(found) == self.waiting
        for body in found[share - 1 :: share]:
            del self.waiting[body]
            self.doubtful.discard(body)
        assert drainer.dropped == {}
        drainer.close()

    @invariant()
    def what_is_not_settled_is_counted(self):
        survey = self.owner.survey()
        assert survey.waiting == self.waiting.total() - len(self.doubtful)
        assert sum(count for (_, state), count in survey.counts.items() if state == "interrupted") == len(self.doubtful)

    def teardown(self):
        self.owner.close()
        self.temporary.cleanup()


test_what_is_appended_is_delivered_exactly_once = SpoolMachine.TestCase
test_what_is_appended_is_delivered_exactly_once.settings = settings(
    max_examples=settings.default.max_examples // 2, stateful_step_count=20
)
