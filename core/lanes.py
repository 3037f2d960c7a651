"""
Which request may go out, and when: the order of messages that are under way, without clock, chance or network.

    lanes = Lanes(project)
    lanes.add(messages, None, now, clock)
    for job in lanes.start(now, clock):
        ...                                        # make job.request, in parallel
        settled = lanes.answered(job, answer, now, clock, chance)
    lanes.next_moment                              # when to call start again, if nothing is answered before

Messages travel in one lane for each endpoint: events in two of them, with up to four requests at a time in both
together, in no order; profiles and groups in one each, one request at a time and in order. A message leaves as part of
a batch once the batch is full, the message is old enough, or a flush asked for it.

**Barriers.** An alias, identify or merge keeps its place among the events and profile updates about its ids: it waits
until those that came before it are settled, and none that came later leaves before it is.

**Gates.** After a failure nothing is sent until a wait is over, and then one request, the probe; only its success
opens the gate. Rate limits and a server that is not reached close the gate of the whole project, all else that of one
lane. Where only a person can help, and where three answers in a row could not be read, the waits are from 1 to 15
minutes.

**Clocks.** Mixpanel sets the time of an event from the future to its own, so that a second delivery would count twice.
Such an event is held until its time has come on the server's clock, which the Date headers show, for a minute at most.
That clock is followed by the monotonic time, so that a jump of the wall clock does not move it.

`now` is a monotonic time in seconds, `clock` the wall clock in milliseconds since 1970, `chance` a number from 0 to 1.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import chain, islice, repeat
from typing import Final, TypeAlias, TypeVar

from attrs import define, evolve, field, frozen

from .answers import Advice, Verdict, server_time
from .batches import Batch, BatchLimits
from .delivery import Delivery, Done, Post, RetryPolicy, Wait, backoff
from .http import Answer, NoResponse, Request, Response
from .messages import Endpoint, Key, Message, route
from .outcomes import Cause, Failed, Outcome
from .project import Project

__all__ = ["MESSAGE_COST_BYTES", "Job", "Lanes", "Settled", "Ticket"]

MESSAGE_COST_BYTES: Final = 512
"""What a message held in memory takes beside its body, rounded up."""

_MAX_HOLD_SECONDS: Final = 60.0
_CLOCK_TOLERANCE_MS: Final = 2_000
"""The Date header has whole seconds, and the answer was on its way for a while."""
_SURELY_LIVE_MS: Final = 86_400_000
"""An event no older than that belongs where it is, and `route` need not be asked."""
_UNREADABLE_IN_A_ROW: Final = 3
# Reading a member of an Enum from its class is slow.
_GROUPS: Final = Endpoint.GROUPS
_PROJECT_CAUSES: Final = frozenset({Cause.NOT_REACHED, Cause.RATE_LIMITED})

Ticket: TypeAlias = object
"""Whatever the caller wants to have back with a message: where it is stored, or None."""

_Entry: TypeAlias = tuple[Message, Ticket, float, int]
"""A message, its ticket, since when it is held, and in which generation it came. A plain tuple: there are many."""


_Counted = TypeVar("_Counted")


@frozen
class Settled:
    """
    What a request settled.

    Attributes:
        outcome: What became of the messages.
        tickets: The tickets by the `id` of the body of their messages; equal messages may share one body. Messages
            without a ticket are left out.
    """

    outcome: Outcome
    tickets: dict[int, list[Ticket]]


@define
class _Gate:
    """
    Open, or closed until a moment and then for all but one probe.
    """

    failures: int = 0
    stops: int = 0
    until: float = 0.0
    probe: Job | None = None
    is_asked_for: bool = False

    def lets(self, now: float) -> bool:
        return self.failures == 0 or (self.probe is None and now >= self.until)

    def fail(self, job: Job, now: float, verdict: Verdict, chance: float) -> None:
        if self.failures == 0 or self.probe is job:
            self.failures += 1
            self.stops = self.stops + 1 if verdict.advice is Advice.STOP else 0
            self.probe = None
            self.is_asked_for = False
        # Else it was sent before the gate was closed: the same trouble, not one more, but it may ask for a longer wait.
        wait = backoff(self.stops or self.failures, verdict)
        self.until = max(self.until, now + wait.at_least + chance * (wait.at_most - wait.at_least))
        self.is_asked_for = self.is_asked_for or verdict.advice is Advice.THROTTLE

    def succeed(self, job: Job) -> None:
        # What was sent before the gate was closed says nothing about the time since, and a server that asked for a wait
        # is to have it.
        if self.probe is job:
            self.failures, self.stops, self.probe = 0, 0, None

    def forget(self, job: Job) -> None:
        """
        The probe told nothing: another may be sent at once.
        """
        if self.probe is job:
            self.probe = None


@define
class _Queue:
    """
    Messages of one endpoint that wait for their batch. It is hurried while it holds some that waited elsewhere before.
    """

    entries: deque[_Entry] = field(factory=deque[_Entry])
    size: int = 0
    is_hurried: bool = False

    def put(self, entry: _Entry) -> None:
        self.entries.append(entry)
        self.size += len(entry[0].body) + 1

    def put_late(self, entry: _Entry) -> None:
        self.put(entry)
        self.is_hurried = True


@define
class _Road:
    """
    What may be under way at once, for the lanes that share it.
    """

    width: int
    under_way: int = 0


@define
class _Lane:
    """
    The traffic of one endpoint, with its own gate. Parked are the jobs that wait for another request.
    """

    road: _Road
    max_bytes: int
    gate: _Gate = field(factory=_Gate)
    queue: _Queue = field(factory=_Queue)
    barriers: deque[_Entry] = field(factory=deque[_Entry])
    parked: deque[Job] = field(factory=deque["Job"])
    unreadable: int = 0

    def oldest(self) -> float:
        """
        Since when its oldest message is held; infinity if it has none to send.
        """
        firsts = (entries[0] for entries in (self.queue.entries, self.barriers) if entries)
        parked = (job.entries[0] for job in islice(self.parked, 1))
        return min((entry[2] for entry in chain(firsts, parked)), default=float("inf"))


@define(eq=False, repr=False)
class Job:
    """
    A batch on its way.

    Attributes:
        delivery: Where it stands.
        lane, entries, size: For `Lanes` alone.
    """

    delivery: Delivery
    lane: _Lane
    entries: Sequence[_Entry]
    size: int

    @property
    def request(self) -> Request:
        """
        The request to make now.
        """
        assert isinstance(self.delivery.step, Post), "only a job that was started has a request"
        return self.delivery.step.request

    @property
    def tickets(self) -> tuple[Ticket, ...]:
        """
        What came with its messages, in order.
        """
        return tuple(entry[1] for entry in self.entries)

    def __repr__(self) -> str:
        return f"Job({len(self.entries)} messages)"


class Lanes:
    """
    All messages that are held, and what may be done about them next.

    Args:
        project: Whose messages they are.
        limits: How much one request may hold.
        policy: How hard to try; by default for as long as it takes.
        flush_after_seconds: How old a message gets before it leaves in a batch that is not full.
        max_in_flight: How many requests for events may be under way at once.

    Attributes:
        count, cost_bytes: Of the messages that are held.
        next_moment: The `now` at which `start` may have something new to say; infinity when only an answer or more
            messages can change anything.
    """

    def __init__(
        self,
        project: Project,
        *,
        limits: BatchLimits | None = None,
        policy: RetryPolicy | None = None,
        flush_after_seconds: float = 1.0,
        max_in_flight: int = 4,
    ) -> None:
        self._project = project
        self._limits = limits if limits is not None else BatchLimits()
        self._policy = policy if policy is not None else RetryPolicy(max_tries=None)
        self._flush_after_seconds = flush_after_seconds
        most = self._limits.max_bytes
        events = _Road(max_in_flight)
        self._gate = _Gate()
        self._lanes = {
            Endpoint.TRACK: _Lane(events, most),
            Endpoint.IMPORT: _Lane(events, most),
            Endpoint.ENGAGE: _Lane(_Road(1), most),
            Endpoint.GROUPS: _Lane(_Road(1), most),
        }
        self._groups = self._lanes[Endpoint.GROUPS]
        # Messages that wait for a barrier, or are one and wait; the ids of all barriers, and of those that may leave.
        self._waiting: deque[_Entry] = deque()
        self._guarded: Counter[Key] = Counter()
        self._leaving: Counter[Key] = Counter()
        self._first_waiting_barrier = float("inf")
        self._early: list[tuple[float, int, _Entry]] = []
        self._early_count = 0
        # Messages that are not settled, by generation: all of them, and those that a later barrier waits for.
        self._unsettled: Counter[int] = Counter()
        self._ahead: Counter[int] = Counter()
        self._generation = 0
        self._marked = -1
        self._server_zero_ms: float | None = None
        self._is_closing = False
        self._troubles: list[tuple[Cause, str]] = []
        self._has_tickets = False
        self.count = 0
        self.cost_bytes = 0
        self.next_moment = float("inf")

    def add(self, messages: Sequence[Message], tickets: Iterable[Ticket] | None, now: float, clock: int) -> None:
        """
        Hold *messages*, in order; each comes back with its ticket when it is settled.
        """
        self._has_tickets = self._has_tickets or tickets is not None
        horizon = self._horizon(now, clock)
        guarded, generation = self._guarded, self._generation
        size = ahead = count = 0
        has_barriers = False
        # Looking up a lane for each message would cost as much as all else here.
        endpoint, queue = _GROUPS, self._groups.queue
        for message, ticket in zip(messages, repeat(None, len(messages)) if tickets is None else tickets, strict=True):
            entry = (message, ticket, now, generation)
            length = len(message.body)
            size += length
            count += 1
            if message.barrier:
                # What comes later is of another generation: the barrier does not wait for it.
                _count(self._unsettled, generation, count)
                _count(self._ahead, generation, ahead)
                count = ahead = 0
                generation = self._generation = generation + 1
                self._waiting.append(entry)
                guarded.update(message.keys)
                has_barriers = True
            elif guarded and not guarded.keys().isdisjoint(message.keys):
                self._waiting.append(entry)
            elif (time := message.time) is not None and time > horizon:
                ahead += 1
                self._hold(entry, time, now, horizon)
            else:
                if message.endpoint is not endpoint:
                    endpoint = message.endpoint
                    queue = self._lanes[endpoint].queue
                queue.entries.append(entry)
                queue.size += length + 1
                if endpoint is not _GROUPS:
                    ahead += 1
        _count(self._unsettled, generation, count)
        _count(self._ahead, generation, ahead)
        self.count += len(messages)
        self.cost_bytes += size + MESSAGE_COST_BYTES * len(messages)
        if has_barriers:
            self._release()

    def mark(self) -> int:
        """
        All that is held now is to leave as soon as it may. The number is for `is_settled`.
        """
        self._marked = self._generation
        self._generation += 1
        return self._marked

    def is_settled(self, mark: int) -> bool:
        """
        Whether all that was held at `mark` is settled.
        """
        return all(generation > mark for generation in self._unsettled)

    def close(self, now: float) -> None:
        """
        Nothing more will come: waits that no server asked for end now, and nothing is held for its time.
        """
        self._is_closing = True
        for gate in (self._gate, *(lane.gate for lane in self._lanes.values())):
            if not gate.is_asked_for:
                gate.until = min(gate.until, now)

    def start(self, now: float, clock: int) -> list[Job]:
        """
        The jobs whose requests are to be made now. Each must be brought to `answered`.
        """
        self.next_moment = float("inf")
        self._release_early(now)
        server_clock = self._server_clock(now, clock)
        jobs: list[Job] = []
        # Whoever waited longest goes first where two lanes share a road.
        lanes = deque(sorted(self._lanes.values(), key=_Lane.oldest))
        while lanes:
            lane = lanes.popleft()
            road = lane.road
            while lane.parked and road.under_way < road.width and self._may_go(lane, now):
                job = lane.parked.popleft()
                if isinstance(job.delivery.step, Wait):
                    job.delivery = job.delivery.waited(server_clock)
                    if self._change_lane(job):
                        lanes.append(job.lane)
                        continue
                jobs.append(self._send(job))
            while road.under_way < road.width and self._has_due(lane, now) and self._may_go(lane, now):
                if entries := self._cut(lane, now, clock):
                    jobs.append(self._send(self._begin(lane, entries)))
        return jobs

    def answered(self, job: Job, answer: Answer, now: float, clock: int, chance: float) -> Settled | None:
        """
        What *answer* to the request of *job* settled; None if the job goes on, by way of `start`.
        """
        size = len(job.request.body)
        job.delivery = job.delivery.answered(answer)
        verdict, lane = job.delivery.verdict, job.lane
        assert verdict is not None
        lane.road.under_way -= 1
        if verdict.outcome.delivered and isinstance(answer, Response) and (time := server_time(answer)) is not None:
            # Whoever delivered nothing may not be Mixpanel, and is not believed about the time.
            self._server_zero_ms = time - now * 1000
        if verdict.advice is Advice.HALVE:
            lane.max_bytes = max(1, min(lane.max_bytes, size // 2))
        self._turn_gates(job, verdict, now, chance, is_silence=isinstance(answer, NoResponse))
        if isinstance(job.delivery.step, Done):
            return self._settle(job, job.delivery.step.outcome)
        lane.parked.append(job)
        return None

    def abandon(self, under_way: Iterable[Job], detail: str) -> list[Settled]:
        """
        Give up all that is held, for a reason in words; *under_way* are the jobs whose requests have no answer yet.
        """
        settled: list[Settled] = []
        for job in under_way:
            job.delivery = job.delivery.answered(NoResponse(reason=detail, maybe_received=True))
            job.lane.road.under_way -= 1
            settled.append(self._give_up(job, detail))
        held: list[_Entry] = []
        for lane in self._lanes.values():
            while lane.parked:
                settled.append(self._give_up(lane.parked.popleft(), detail))
        for lane in self._lanes.values():
            held += (*lane.barriers, *lane.queue.entries)
            lane.barriers.clear()
            lane.queue = _Queue()
        held += (*self._waiting, *(entry for _, _, entry in sorted(self._early)))
        for places in (self._waiting, self._early, self._guarded, self._leaving, self._unsettled, self._ahead):
            places.clear()
        self.count = self.cost_bytes = 0
        if held:
            failed = tuple(Failed(entry[0], Cause.GIVEN_UP, detail) for entry in held)
            settled.append(Settled(Outcome(failed=failed), _tickets(held)))
        return settled

    def take_troubles(self) -> list[tuple[Cause, str]]:
        """
        What went wrong since the last call, for the log: a cause and a detail for each failed request.
        """
        troubles, self._troubles = self._troubles, []
        return troubles

    def _give_up(self, job: Job, detail: str) -> Settled:
        if not isinstance(job.delivery.step, Done):
            job.delivery = job.delivery.abandoned(detail)
        assert isinstance(job.delivery.step, Done)
        return self._settle(job, job.delivery.step.outcome)

    def _settle(self, job: Job, outcome: Outcome) -> Settled:
        entries = job.entries
        generations = Counter([entry[3] for entry in entries])
        _subtract(self._unsettled, generations)
        first = entries[0][0]
        if first.barrier:
            keys = Counter(first.keys)
            _subtract(self._guarded, keys)
            _subtract(self._leaving, keys)
            self._release()
        elif job.lane is not self._groups:
            _subtract(self._ahead, generations)
            if self._first_waiting_barrier < min(self._ahead, default=self._generation):
                self._release()
        self.count -= len(entries)
        self.cost_bytes -= job.size + MESSAGE_COST_BYTES * len(entries)
        return Settled(outcome, _tickets(entries) if self._has_tickets else {})

    def _release(self) -> None:
        """
        Let go what no barrier holds back any more, and the barriers that nothing holds back.
        """
        # What holds a barrier back holds no other messages back: whatever is added meanwhile would overtake them.
        barred = set(self._leaving)
        held = set(barred)
        earliest = min(self._ahead, default=self._generation)
        still: deque[_Entry] = deque()
        self._first_waiting_barrier = float("inf")
        for entry in self._waiting:
            message, _, _, generation = entry
            if message.barrier:
                if earliest <= generation or not held.isdisjoint(message.keys):
                    still.append(entry)
                    self._first_waiting_barrier = min(self._first_waiting_barrier, generation)
                else:
                    self._lanes[message.endpoint].barriers.append(entry)
                    self._leaving.update(message.keys)
                barred.update(message.keys)
                held.update(message.keys)
            elif not barred.isdisjoint(message.keys):
                still.append(entry)
                held.update(message.keys)
            else:
                self._lanes[message.endpoint].queue.put_late(entry)
                self._ahead[generation] += 1
                earliest = min(earliest, generation)
        self._waiting = still

    def _server_clock(self, now: float, clock: int) -> int:
        """
        What the clock of the server shows: ours, unless its last Date contradicts that.
        """
        if self._server_zero_ms is None:
            return clock
        told = int(self._server_zero_ms + now * 1000)
        return clock if abs(clock - told) <= _CLOCK_TOLERANCE_MS else told

    def _horizon(self, now: float, clock: int) -> float:
        """
        Events after that are held.
        """
        return float("inf") if self._is_closing else self._server_clock(now, clock)

    def _hold(self, entry: _Entry, time: int, now: float, horizon: float) -> None:
        moment = min(now + (time - horizon) / 1000, entry[2] + _MAX_HOLD_SECONDS)
        self._early_count += 1
        heapq.heappush(self._early, (moment, self._early_count, entry))
        self._look_again(moment)

    def _release_early(self, now: float) -> None:
        while self._early and (self._is_closing or self._early[0][0] <= now):
            entry = heapq.heappop(self._early)[2]
            self._lanes[entry[0].endpoint].queue.put_late(entry)
        if self._early:
            self._look_again(self._early[0][0])

    def _look_again(self, moment: float) -> None:
        self.next_moment = min(self.next_moment, moment)

    def _has_due(self, lane: _Lane, now: float) -> bool:
        if lane.barriers:
            return True
        queue = lane.queue
        if not queue.entries:
            return False
        _, _, since, generation = queue.entries[0]
        if (
            queue.is_hurried
            or self._is_closing
            or generation <= self._marked
            or len(queue.entries) >= self._limits.max_messages
            or queue.size + 1 >= lane.max_bytes
            or now >= since + self._flush_after_seconds
        ):
            return True
        self._look_again(since + self._flush_after_seconds)
        return False

    def _may_go(self, lane: _Lane, now: float) -> bool:
        gates = (self._gate, lane.gate)
        if all(gate.lets(now) for gate in gates):
            return True
        for gate in gates:
            if gate.failures and gate.until > now:
                self._look_again(gate.until)
        return False

    def _send(self, job: Job) -> Job:
        job.lane.road.under_way += 1
        for gate in (self._gate, job.lane.gate):
            if gate.failures:
                gate.probe = job
        return job

    def _begin(self, lane: _Lane, entries: Sequence[_Entry]) -> Job:
        batch = Batch(tuple([entry[0] for entry in entries]))
        delivery = Delivery(batch, self._project, self._policy)
        return Job(delivery, lane, entries, sum([len(message.body) for message in batch.messages]))

    def _change_lane(self, job: Job) -> bool:
        """
        Park a job whose events have become too old for /track in the lane of /import; whether it was one.
        """
        endpoint = job.delivery.endpoint
        if endpoint is None or (lane := self._lanes[endpoint]) is job.lane:
            return False
        lane.parked.append(job)
        job.lane = lane
        return True

    def _cut(self, lane: _Lane, now: float, clock: int) -> list[_Entry]:
        """
        Take the next batch off *lane*, or nothing if all that is due has to go elsewhere: what has become too old for
        /track over to /import, and what is early on the clock of the server aside.
        """
        if lane.barriers:
            return [lane.barriers.popleft()]
        server_clock, horizon = self._server_clock(now, clock), self._horizon(now, clock)
        live = server_clock - _SURELY_LIVE_MS
        queue, max_bytes = lane.queue, lane.max_bytes
        entries = queue.entries
        repeatable = entries[0][0].repeatable
        cut: list[_Entry] = []
        count, size, aside = 0, 1, 0
        for entry in islice(entries, self._limits.max_messages):
            message = entry[0]
            length = len(message.body) + 1
            if count and (size + length > max_bytes or message.repeatable is not repeatable):
                break
            count += 1
            time = message.time
            if time is None or live < time <= horizon:
                pass
            elif time > horizon and now < entry[2] + _MAX_HOLD_SECONDS:
                self._hold(entry, time, now, horizon)
                aside += length
                continue
            elif (routed := route(message, server_clock)) is not message:
                self._lanes[routed.endpoint].queue.put_late((routed, *entry[1:]))
                aside += length
                continue
            cut.append(entry)
            size += length
        for _ in range(count):
            entries.popleft()
        queue.size -= size - 1 + aside
        if not entries:
            queue.is_hurried = False
        return cut

    def _turn_gates(self, job: Job, verdict: Verdict, now: float, chance: float, *, is_silence: bool) -> None:
        lane = job.lane
        if verdict.advice not in (Advice.RETRY, Advice.THROTTLE, Advice.STOP):
            lane.unreadable = 0
            lane.gate.succeed(job)
            self._gate.succeed(job)
            return
        trouble = (verdict.outcome.failed or verdict.outcome.unknown)[0]
        self._troubles.append((trouble.cause, trouble.detail))
        lane.unreadable = lane.unreadable + 1 if trouble.cause is Cause.ANSWER_UNREADABLE else 0
        if lane.unreadable >= _UNREADABLE_IN_A_ROW:
            # Whoever answers there is not Mixpanel.
            verdict = evolve(verdict, advice=Advice.STOP)
        if trouble.cause in _PROJECT_CAUSES:
            self._gate.fail(job, now, verdict, chance)
            lane.gate.forget(job)
            return
        lane.gate.fail(job, now, verdict, chance)
        if is_silence:
            self._gate.forget(job)
        else:
            self._gate.succeed(job)


def _tickets(entries: Iterable[_Entry]) -> dict[int, list[Ticket]]:
    tickets: dict[int, list[Ticket]] = {}
    for message, ticket, _, _ in entries:
        if ticket is not None:
            tickets.setdefault(id(message.body), []).append(ticket)
    return tickets


def _count(counts: Counter[int], generation: int, count: int) -> None:
    if count:
        counts[generation] += count


def _subtract(counts: Counter[_Counted], others: Counter[_Counted]) -> None:
    for key, count in others.items():
        if counts[key] == count:
            del counts[key]
        else:
            counts[key] -= count
