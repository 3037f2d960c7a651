"""
What `Lanes` lets out, whatever is added and whatever is answered.
"""

from datetime import UTC, datetime

import orjson
from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mixwire.core import (
    BatchLimits,
    Cause,
    Endpoint,
    Message,
    NoResponse,
    Project,
    Response,
    RetryPolicy,
)
from mixwire.core.lanes import MESSAGE_COST_BYTES, Lanes

PROJECT = Project("TOKEN")
CLOCK = 1_767_225_600_000
DAY_MS = 86_400_000
MAX_HOLD_SECONDS = 60
MAX_IN_FLIGHT = 3
EVENTS = (Endpoint.TRACK, Endpoint.IMPORT)
INFINITY = float("inf")


@define(eq=False)
class Held:
    """A message as the model knows it."""

    number: int
    message: Message
    since: float
    in_doubt: bool = False
    posted: bool = False
    settled: bool = False

    @property
    def endpoint(self):
        return self.message.endpoint

    @property
    def is_awaited(self):
        """Whether a barrier about its ids waits for it: all but groups."""
        return self.endpoint is not Endpoint.GROUPS


@define(eq=False)
class Sent:
    """A request under way, and which gates of the model it is the probe of."""

    job: object
    lane: Endpoint
    held: list
    probe_of: list


@define(eq=False)
class Gate:
    """Closed from a failure until the success of the one probe that is sent after it."""

    is_closed: bool = False
    not_before: float = 0.0
    probe: Sent | None = None


KEYS = st.sampled_from(["a", "b", "c", "d"])
GROUP_KEYS = st.sampled_from([("company", "x"), ("company", "y")])
AGES_MS = st.sampled_from([0, 1, 1_500, 3_000, 40_000, 3 * DAY_MS, 6 * DAY_MS, -2_000, -30_000, -DAY_MS])
PADDINGS = st.sampled_from([0, 0, 0, 10, 60, 500])


@st.composite
def drafts(draw):
    """What a message is, without its number."""
    kind = draw(st.sampled_from(["event", "event", "event", "import", "update", "update", "group", "barrier"]))
    padding = draw(PADDINGS)
    match kind:
        case "event":
            keys = tuple(draw(st.lists(KEYS, max_size=2, unique=True)))
            return Endpoint.TRACK, keys, True, False, draw(AGES_MS), padding
        case "import":
            return Endpoint.IMPORT, (draw(KEYS),), True, False, draw(AGES_MS), padding
        case "update":
            return Endpoint.ENGAGE, (draw(KEYS),), draw(st.booleans()), False, None, padding
        case "group":
            return Endpoint.GROUPS, (draw(GROUP_KEYS),), draw(st.booleans()), False, None, padding
        case _:
            keys = tuple(draw(st.lists(KEYS, min_size=2, max_size=2)))
            return draw(st.sampled_from(EVENTS)), keys, True, True, None, padding


STATUSES = st.sampled_from([400, 401, 403, 404, 413, 413, 429, 429, 500, 500, 502, 503, 301, 204])
BODIES = st.sampled_from(
    [
        b'{"status":1}',
        b'{"code":200,"num_records_imported":1,"status":"OK"}',
        b'{"status":0,"error":"bad"}',
        b"<html>",
        b"",
        b'{"failed_records":[{"index":0,"message":"bad"}],"num_records_imported":0}',
        b'{"failed_records":[{"index":7}]}',
    ]
)
RETRY_AFTER = st.sampled_from([(), (), (("Retry-After", "0"),), (("Retry-After", "40"),), (("Retry-After", "soon"),)])
NO_RESPONSES = st.sampled_from(
    [
        NoResponse(reason="connection refused", maybe_received=False),
        NoResponse(reason="reset", maybe_received=True),
        NoResponse(reason="certificate expired", maybe_received=False, blocked=True),
    ]
)


def http_date(clock):
    return datetime.fromtimestamp(clock // 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


class LanesMachine(RuleBasedStateMachine):
    """
    Lanes beside a model that knows of each message where it is, and of each gate whether it is closed.
    """

    @initialize(
        max_messages=st.integers(1, 4),
        max_bytes=st.sampled_from([1, 60, 150, 2_000]),
        at_least_once=st.booleans(),
        max_tries=st.sampled_from([None, None, 1, 2]),
        skew_ms=st.sampled_from([0, 0, 30_000, -30_000, DAY_MS]),
    )
    def begin(self, max_messages, max_bytes, at_least_once, max_tries, skew_ms):
        self.max_messages = max_messages
        self.policy = RetryPolicy(max_tries=max_tries, at_least_once=at_least_once)
        self.lanes = Lanes(
            PROJECT,
            limits=BatchLimits(max_messages=max_messages, max_bytes=max_bytes),
            policy=self.policy,
            flush_after_seconds=2.0,
            max_in_flight=MAX_IN_FLIGHT,
        )
        self.now, self.clock, self.skew_ms = 1_000.0, CLOCK, skew_ms
        self.held = []
        self.sent = []
        self.marks = {}
        self.max_bytes = dict.fromkeys(Endpoint, max_bytes)
        self.project_gate = Gate()
        self.open_jobs = {}
        self.gates = {endpoint: Gate() for endpoint in Endpoint}
        self.is_closing = False

    # What happens

    @precondition(lambda self: not self.is_closing)
    @rule(drafts=st.lists(drafts(), min_size=1, max_size=6))
    def add(self, drafts):
        added = []
        for number, (endpoint, keys, repeatable, barrier, age, padding) in enumerate(drafts, len(self.held)):
            body = orjson.dumps({"n": number, "p": "x" * padding})
            time = None if age is None else self.clock - age
            added.append(Held(number, Message(endpoint, body, keys, repeatable, barrier, time), self.now))
        self.held += added
        self.lanes.add([each.message for each in added], added, self.now, self.clock)

    @rule()
    def mark(self):
        self.marks[self.lanes.mark()] = len(self.held)

    @rule(
        seconds=st.sampled_from([0.0, 0.1, 1.0, 3.0, 20.0, 70.0, 1_000.0]),
        jump=st.sampled_from([0, 0, DAY_MS, -DAY_MS]),
    )
    def time_passes(self, seconds, jump):
        self.now += seconds
        self.clock += round(seconds * 1000) + jump
        self.skew_ms += jump

    @rule()
    def go_to_the_next_moment(self):
        self.start()
        if self.lanes.next_moment < INFINITY:
            self.advance()

    @rule()
    def start(self):
        for job in self.lanes.start(self.now, self.clock):
            self.check_start(job)
        if self.lanes.next_moment <= self.now:
            raise AssertionError("the next moment is over, and nothing more can be started")
        assert self.lanes.start(self.now, self.clock) == []

    @precondition(lambda self: self.sent)
    @rule(
        data=st.data(),
        how=st.sampled_from(["well", "well", "well", "status", "status", "body", "nothing"]),
        chance=st.sampled_from([0.0, 0.5, 1.0]),
        has_date=st.booleans(),
    )
    def answer(self, data, how, chance, has_date):
        sent = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        match how:
            case "well":
                answer = Response(status=200, body=b'{"status":1}')
            case "status":
                answer = Response(status=data.draw(STATUSES), headers=data.draw(RETRY_AFTER))
            case "body":
                answer = Response(status=data.draw(st.sampled_from([200, 400])), body=data.draw(BODIES))
            case _:
                answer = data.draw(NO_RESPONSES)
        if has_date and isinstance(answer, Response):
            date = ("Date", http_date(self.clock - self.skew_ms))
            answer = Response(status=answer.status, body=answer.body, headers=(*answer.headers, date))
        self.give(sent, answer, chance)

    @precondition(lambda self: not self.is_closing)
    @rule()
    def close(self):
        self.is_closing = True
        self.lanes.close(self.now)
        for gate in (self.project_gate, *self.gates.values()):
            # Which waits end is not the business of this model.
            gate.not_before = 0.0

    @rule()
    def abandon(self):
        settled = self.lanes.abandon([sent.job for sent in self.sent], "the program ends")
        under_way = {each.number for sent in self.sent for each in sent.held}
        self.sent.clear()
        for part in settled:
            for each in part.outcome.failed:
                held = self.held[each.message.to_wire()["n"]]
                assert not held.in_doubt
                assert held.number not in under_way
            self.settle(part)
        assert all(each.settled for each in self.held)
        # What comes later begins anew, behind the gates as they are.
        self.begin_again()

    def begin_again(self):
        self.begin(
            max_messages=self.max_messages,
            max_bytes=2_000,
            at_least_once=self.policy.at_least_once,
            max_tries=self.policy.max_tries,
            skew_ms=self.skew_ms,
        )

    # What must be so

    def check_start(self, job):
        lane = next(
            each for each in Endpoint if each.value == job.request.url.removeprefix(PROJECT.server).split("?")[0]
        )
        held = [self.held[record["n"]] for record in orjson.loads(job.request.body)]
        messages = [each.message for each in held]
        assert job.request.body == b"[" + b",".join(message.body for message in messages) + b"]"
        self.check_batch(job, lane, held)
        self.check_room(lane)
        self.check_order(job, lane, held)
        self.check_barriers(held)
        self.check_doubt(held)
        probe_of = self.check_gates(lane)
        for each in held:
            each.posted = True
        self.sent.append(Sent(job, lane, held, probe_of))
        for gate in probe_of:
            gate.probe = self.sent[-1]

    def check_batch(self, job, lane, held):
        """Every batch respects the limits, also those that a 413 left behind; a larger single message travels alone."""
        is_first_post = not any(each.posted for each in held)
        assert len(held) <= self.max_messages
        if is_first_post and len(held) > 1:
            assert len(job.request.body) <= self.max_bytes[lane]
        assert len({each.message.repeatable for each in held}) == 1
        assert all(each.endpoint is lane or {each.endpoint, lane} == set(EVENTS) for each in held)
        assert len(held) == 1 or not any(each.message.barrier for each in held)

    def check_room(self, lane):
        """Profiles and groups go one request at a time, and events at most so many."""
        same = EVENTS if lane in EVENTS else (lane,)
        under_way = [sent for sent in self.sent if sent.lane in same]
        assert len(under_way) < (MAX_IN_FLIGHT if lane in EVENTS else 1)

    def check_order(self, job, lane, held):
        """One batch after the other, and nothing about a profile or a group overtakes anything earlier about it."""
        if lane in EVENTS:
            return
        assert self.open_jobs.setdefault(lane, job) is job
        for each in held:
            for other in self.held[: each.number]:
                if other.endpoint is lane and other.message.keys == each.message.keys:
                    assert other.settled or other.posted or other in held[: held.index(each)]

    def check_barriers(self, held):
        """Nothing about an id overtakes its barrier, nor does the barrier overtake anything earlier about its ids."""
        for each in held:
            for other in self.held[: each.number]:
                is_about_the_same = not set(each.message.keys).isdisjoint(other.message.keys)
                is_bound = other.message.barrier or (each.message.barrier and other.is_awaited)
                if is_about_the_same and is_bound and each.is_awaited:
                    assert other.settled, f"{each.number} overtakes {other.number}"

    def check_doubt(self, held):
        """What counts twice is not posted again after doubt."""
        if not self.policy.at_least_once:
            assert not any(each.in_doubt for each in held if not each.message.repeatable)

    def check_gates(self, lane):
        """After a failure nothing is sent until a wait is over, and then one request until it succeeded."""
        closed = [gate for gate in (self.project_gate, self.gates[lane]) if gate.is_closed]
        for gate in closed:
            assert gate.probe is None, "a second probe"
            assert self.now >= gate.not_before, "before the wait is over"
        return closed

    def give(self, sent, answer, chance=0.0):
        size = len(sent.job.request.body)
        settled = self.lanes.answered(sent.job, answer, self.now, self.clock, chance)
        self.turn_gates(sent, answer)
        if isinstance(answer, NoResponse) and answer.maybe_received:
            for each in sent.held:
                each.in_doubt = True
        if isinstance(answer, Response) and answer.status in (500, 502, 204):
            for each in sent.held:
                each.in_doubt = True
        if isinstance(answer, Response) and answer.status == 413 and len(sent.held) > 1:
            self.max_bytes[sent.lane] = min(self.max_bytes[sent.lane], size // 2)
        if settled is not None:
            self.open_jobs.pop(sent.lane, None)
            self.settle(settled)

    def turn_gates(self, sent, answer):
        troubles = self.lanes.take_troubles()
        assert len(troubles) <= 1
        gates = (self.project_gate, self.gates[sent.lane])
        for gate in gates:
            if gate.probe is sent:
                gate.probe = None
        if not troubles:
            for gate in sent.probe_of:
                gate.is_closed = False
            return
        ((cause, _),) = troubles
        is_of_project = cause in (Cause.NOT_REACHED, Cause.RATE_LIMITED)
        failed = gates[0] if is_of_project else gates[1]
        failed.is_closed = True
        failed.not_before = max(failed.not_before, self.now + (3 if cause is Cause.RATE_LIMITED else 0.5))
        if not is_of_project and isinstance(answer, Response) and self.project_gate in sent.probe_of:
            self.project_gate.is_closed = False

    def settle(self, settled):
        """Every message is settled exactly once and comes back with its ticket; none is invented."""
        for message in settled.outcome.messages():
            held = self.held[message.to_wire()["n"]]
            assert message.body is held.message.body
            assert not held.settled
            assert settled.tickets[id(message.body)] == [held]
            held.settled = True
        assert len(settled.tickets) == len(settled.outcome)

    def advance(self):
        assert self.now < self.lanes.next_moment < INFINITY, "waiting would not help"
        seconds = self.lanes.next_moment - self.now
        self.now = self.lanes.next_moment
        self.clock += round(seconds * 1000)

    @invariant()
    def what_is_held_is_counted(self):
        held = [each for each in self.held if not each.settled]
        assert self.lanes.count == len(held)
        assert self.lanes.cost_bytes == sum(len(each.message.body) + MESSAGE_COST_BYTES for each in held)

    @invariant()
    def a_mark_is_settled_exactly_when_all_before_it_is(self):
        for mark, count in self.marks.items():
            assert self.lanes.is_settled(mark) == all(each.settled for each in self.held[:count])

    def teardown(self):
        """
        Going on from moment to moment and answering well settles everything, and holds no early event over a minute.
        """
        if not hasattr(self, "lanes"):
            return
        for sent in list(self.sent):
            self.sent.remove(sent)
            self.give(sent, Response(status=200, body=b'{"status":1}'))
        for _ in range(4 * len(self.held) + 40):
            if not self.lanes.count:
                break
            self.start()
            if not self.sent:
                self.advance()
            while self.sent:
                self.give(self.sent.pop(0), Response(status=200, body=b'{"status":1}'))
        self.what_is_held_is_counted()
        assert self.lanes.count == 0, "something is never sent"
        assert (self.lanes.count, self.lanes.cost_bytes) == (0, 0)


TestLanesMachine = LanesMachine.TestCase
TestLanesMachine.settings = settings(max_examples=settings().max_examples * 2, stateful_step_count=30)
