"""
The delivering side of a `BufferedTransport`: takes messages from the intake, does what `Lanes` says, keeps the books.

One thread at a time drives a courier, by calling `turn` again and again; everybody else leaves notes for it. It blocks
only where it waits for the next note, so a turn ends when it is told to.
"""

from __future__ import annotations

import queue
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Final, TypeAlias, assert_never

from attrs import define, field, frozen

from ..core import (
    Answer,
    BatchLimits,
    Cause,
    Endpoint,
    Failed,
    Message,
    NoResponse,
    Outcome,
    Rejected,
    Request,
    Unknown,
)
from ..core.lanes import Job, Lanes, Settled, Ticket
from .backlog import Backlog, Load
from .base import Ledger
from .intake import Intake, Room
from .journal import holding
from .latch import Latch
from .listeners import Listener
from .posters import Answered, Posters, answer_to
from .reports import Reporter
from .spool import Place, SpoolError

__all__ = ["Courier", "Flush", "Keeping", "Note", "Stop", "Timing", "Wake"]

_LONGEST_WAIT_SECONDS: Final = 3600.0
"""What waits longer looks again in between: no timeout of a queue may be infinite."""
_LOAD_BYTES: Final = 1024 * 1024
"""So much is read back from a spool at once."""
_LOOK_SECONDS: Final = 0.05
"""How soon to look again for messages that somebody is storing right now."""
_STUCK_SECONDS: Final = 1.0
"""After so long, whoever should store a message may be waiting for its delivery."""
_FIELD: Final = re.compile(r"\$?[a-z_]{1,40}(?:\.\$?[a-z_]{1,40}){0,3}")
"""What is told of a field that a server names: in any other form it might be a value."""


@frozen
class Wake:
    """
    A note that says: there is something to take.
    """


_WAKE: Final = Wake()


@define(eq=False)
class Flush:
    """
    A note that says: deliver what is held. The outcomes go to whoever left it, until it is given up.

    Attributes:
        until: The monotonic time until which somebody waits for it.
        is_last: Whether nothing will come after it.
        done: Set when everything is settled.
        mark: What `Lanes.mark` said; None before all of it is in the lanes.
        spilled: How much must have been read back before that.
        left: How much of what was left in the intake must have been taken up before that.
    """

    until: float = float("inf")
    is_last: bool = False
    done: Latch = field(factory=Latch)
    mark: int | None = None
    spilled: int = 0
    left: int = 0
    _lock: threading.RLock = field(factory=threading.RLock)
    _outcomes: list[Outcome] | None = field(factory=list[Outcome])

    def give(self, outcome: Outcome) -> bool:
        """
        Report *outcome* here; False if nobody listens any more.
        """
        with self._lock:
            if self._outcomes is None:
                return False
            self._outcomes.append(outcome)
            return True

    def end(self) -> Outcome:
        """
        Listen no more, and return what was reported.
        """
        with self._lock:
            outcomes, self._outcomes = self._outcomes, None
            return Outcome.total(outcomes or ())


@define(eq=False)
class Stop:
    """
    A note that says: give up what is left, and end.

    Attributes:
        after: A flush that may end before; None not to wait.
        done: Set when that has happened.
    """

    after: Flush | None = None
    done: Latch = field(factory=Latch)


Note: TypeAlias = Wake | Flush | Stop | Answered
"""What may be left for a courier."""


@frozen(kw_only=True)
class Timing:
    """
    Time and chance, from outside.

    Attributes:
        now: A monotonic time in seconds.
        clock: The wall clock in milliseconds since 1970.
        pick: A number from a range, both ends included.
    """

    now: Callable[[], float]
    clock: Callable[[], int]
    pick: Callable[[float, float], float]


@frozen(kw_only=True)
class Keeping:
    """
    Where messages go that are not sent again. Both say whether they could keep them; None keeps nothing.
    """

    rejected: Callable[[tuple[Rejected, ...]], bool] | None = None
    unknown: Callable[[tuple[Unknown, ...]], bool] | None = None


class Courier:
    """
    Args:
        intake: Where callers leave messages.
        lanes: What decides.
        backlog: What is in the spool alone; None without a spool.
        post: Makes a request, given so many seconds; used where there are no threads for it.
        posters: The threads that make requests; None to make them in the thread that drives.
        room: How much may be in memory before reading back from the spool has to wait.
        limits: From how many messages on the intake is emptied at once.
        flush_after_seconds: How often it is emptied before that.
        ledger: The figures.
        keeping: Where messages go that are not sent again.
        resends: Whether messages are sent again although they may have been applied.
        listener: The application's callback, or None.
        aside: Takes outcomes that no flush waits for.
        at_end: Gives back what is open, when nothing more will be done.

    Attributes:
        is_driven: Whether a thread drives it, or is about to.
        driver: The thread that drives it now; None if none does, or it does not matter which.
        is_idle: Whether it sleeps until somebody wakes it.
        is_stopping: Whether it takes nothing more.
        is_stopped: Whether it has ended.
        troubles: What the last request to each endpoint failed of, for those to which it did.
        tells_refused: Whether the log is told of messages that are refused, where there is no listener.
    """

    def __init__(
        self,
        intake: Intake,
        lanes: Lanes,
        backlog: Backlog | None,
        *,
        post: Callable[[Request, float], Answer],
        posters: Callable[[Callable[[Answered], None]], Posters] | None,
        room: Room,
        limits: BatchLimits,
        flush_after_seconds: float,
        ledger: Ledger,
        timing: Timing,
        reporter: Reporter,
        keeping: Keeping,
        resends: bool,
        listener: Listener | None,
        aside: Callable[[Outcome], None],
        at_end: Callable[[], None],
    ) -> None:
        self._intake = intake
        self._lanes = lanes
        self._backlog = backlog
        self._post = post
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._posters = None if posters is None else posters(self._notes.put)
        self._room = room
        self._limits = limits
        self._flush_after_seconds = flush_after_seconds
        self._ledger = ledger
        self._timing = timing
        self._reporter = reporter
        self._keeping = keeping
        self._resends = resends
        self._listener = listener
        self._aside = aside
        self._at_end = at_end
        self._flushes: list[Flush] = []
        self._jobs: deque[Job] = deque()
        self._under_way: dict[Job, None] = {}
        self._is_answered = False
        # When to empty the intake; infinity while nothing was seen in it.
        self._next_take = float("inf")
        self._look_again = float("inf")
        self._left_since = float("inf")
        self._stop_later: Stop | None = None
        self._is_called = False
        # Unlike `is_stopped` not so in a child process, where what was held is the parent's.
        self._is_over = False
        self.is_driven = False
        self.driver: int | None = None
        self.is_idle = True
        self.is_stopping = False
        self.is_stopped = False
        self.troubles: dict[Endpoint, str] = {}
        self.tells_refused = True

    def leave(self, note: Note) -> None:
        """
        Leave a note; from any thread, also from a signal handler.
        """
        self._notes.put(note)

    def wake(self) -> None:
        """
        Have the intake looked at; from any thread, also from a signal handler.
        """
        if self._is_called:
            return
        try:
            self._is_called = True
            self._notes.put(_WAKE)
        except BaseException:
            # Interrupted, perhaps before the note was left. Two do no harm, none would be waited for.
            self._is_called = False
            raise

    def start_no_threads(self) -> None:
        """
        Make requests in the thread that drives from now on, where no thread for them runs: the process is ending.
        """
        if self._posters is not None:
            self._posters.may_start_threads = False
        if self._listener is not None:
            self._listener.may_start_thread = False

    def disown(self) -> None:
        """
        Have whoever drives it stop at once and touch nothing: in a child process all of this is the parent's.
        """
        self.is_stopping = self.is_stopped = True

    def is_due(self) -> bool:
        """
        Whether a turn would not only wait. For those who drive it now and then.
        """
        now = self._timing.now()
        self._plan_take(now)
        return (
            not self._notes.empty()
            or bool(self._jobs)
            or self._is_answered
            or self._is_full()
            or self._lanes.next_moment <= now
            or now >= self._next_take
        )

    def turn(self, until: float, posts_until: float = float("inf")) -> None:
        """
        Do what is to be done now, then wait for a note, until the monotonic time *until* at most.

        A request that has to be made in this thread may take until *posts_until*; none is begun after that.
        """
        self._read_notes()
        if self.is_stopped:
            return
        now, clock = self._timing.now(), self._timing.clock()
        self._is_called = self._is_answered = False
        self._fill_lanes(now, clock)
        self._mark_flushes(now)
        self._jobs.extend(self._lanes.start(now, clock))
        begins_until = min(posts_until, self._last_moment())
        while self._jobs and not self.is_stopped:
            # An interrupted turn may have sent the first of them already.
            if self._jobs[0] not in self._under_way and not self._send(self._jobs[0], begins_until, posts_until):
                break
            self._jobs.popleft()
        if self._end_flushes():
            return
        note = self._next_note(until)
        if note is not None:
            self._read(note)
            self._read_notes()

    def _next_note(self, until: float) -> Note | None:
        self.is_idle = True
        # Read after the line above is seen: whoever puts something later wakes us.
        now = self._timing.now()
        self._plan_take(now)
        moment = min(until, self._lanes.next_moment, self._look_again)
        if self._backlog is None:
            moment = min(moment, self._next_take)
        elif not self._backlog.has_adopted:
            # Else both have to wait for an answer: there is no room for what is older.
            moment = min(moment, self._next_take, self._backlog.next_look)
        seconds = moment - now
        try:
            return (
                self._notes.get(timeout=min(seconds, _LONGEST_WAIT_SECONDS))
                if seconds > 0
                else self._notes.get_nowait()
            )
        except queue.Empty:
            return None

    def _read_notes(self) -> None:
        while not self.is_stopped and not self._notes.empty():
            self._read(self._notes.get())

    def _read(self, note: Note) -> None:
        match note:
            case Wake():
                pass
            case Flush():
                note.spilled = self._intake.spilled_put
                note.left = self._intake.left_count
                self._flushes.append(note)
                if self._backlog is not None:
                    self._backlog.next_look = float("-inf")
            case Stop():
                if note.after is not None and not note.after.done.is_set():
                    self._stop_later = note
                else:
                    self._stop(note)
            case Answered():
                self._take_answer(note)
            case _:
                assert_never(note)

    def _plan_take(self, now: float) -> None:
        if self._intake.count:
            self.is_idle = False
            if self._next_take == float("inf"):
                self._next_take = now + self._flush_after_seconds

    def _is_full(self) -> bool:
        return self._intake.fills(self._limits)

    def _has_room(self) -> bool:
        return self._lanes.cost_bytes * 2 < self._room.max_bytes and self._lanes.count * 2 < self._room.max_messages

    def _fill_lanes(self, now: float, clock: int) -> None:
        self._look_again = float("inf")
        if self._intake.has_left:
            self._take_up_left(now, clock)
        if self._backlog is not None:
            holding(partial(self._backlog.look, now))
            while self._backlog.has_adopted:
                if not self._has_room():
                    # What is in memory came later.
                    return
                self._load_adopted(self._backlog, now, clock)
        if self._flushes or now >= self._next_take or self._intake.spilled > 0 or self._is_full():
            messages, places = self._intake.take()
            # They are held since somebody saw the first of them.
            seconds = max(now - (self._next_take - self._flush_after_seconds), 0.0)
            if messages:
                self._hold(messages, places, now - seconds, clock - int(seconds * 1000))
            self._next_take = float("inf")
        if self._backlog is not None:
            while self._intake.spilled > 0 and self._has_room() and self._load_spilled(self._backlog, now, clock):
                pass

    def _take_up_left(self, now: float, clock: int) -> None:
        if self._intake.put_left():
            self._left_since = float("inf")
            return
        self._left_since = min(self._left_since, now)
        if self._flushes and now >= self._left_since + _STUCK_SECONDS:
            # Whoever puts something may have been interrupted by the very one who flushes.
            self._hold(self._intake.take_left(), None, now, clock)
            self._left_since = float("inf")
        else:
            self._look_again = now + _LOOK_SECONDS

    def _load_adopted(self, backlog: Backlog, now: float, clock: int) -> None:
        try:
            load = holding(lambda: backlog.load_adopted(_LOAD_BYTES))
        except SpoolError as error:
            self._reporter.tell(str(error))
            return
        self._ledger.accept(len(load.stored) + len(load.interrupted))
        self._add(load, now, clock)
        if load.interrupted:
            detail = "the process that was sending it ended"
            unknown = tuple(Unknown(stored.message, Cause.ANSWER_LOST, detail) for stored in load.interrupted)
            tickets: dict[int, list[Ticket]] = {}
            for stored in load.interrupted:
                tickets.setdefault(id(stored.message.body), []).append(stored.place)
            self._settle(Settled(Outcome(unknown=unknown), tickets))

    def _load_spilled(self, backlog: Backlog, now: float, clock: int) -> bool:
        loaded = holding(lambda: backlog.load_spilled(_LOAD_BYTES))
        if loaded is None:
            lost = holding(backlog.give_up_spilled)
            if lost:
                self._ledger.drop(lost)
                self._reporter.tell("messages are gone from the spool that were not sent yet", f"{lost:,}")
            self._look_again = now + _LOOK_SECONDS
            return False
        load, next_start = loaded
        self._add(load, now, clock)
        self._ledger.drop(load.lost)
        # Only now may messages go past the spool again: what was read is in the lanes, ahead of them.
        self._intake.took_spilled(len(load.stored) + load.lost, next_start)
        return True

    def _add(self, load: Load, now: float, clock: int) -> None:
        messages = [stored.message for stored in load.stored]
        self._hold(messages, [stored.place for stored in load.stored], now, clock)

    def _hold(self, messages: Sequence[Message], places: Sequence[Place | None] | None, now: float, clock: int) -> None:
        self._lanes.add(messages, places, now, clock)
        self._intake.held_elsewhere(self._lanes.count, self._lanes.cost_bytes)

    def _mark_flushes(self, now: float) -> None:
        for flush in self._flushes:
            if flush.mark is not None or self._intake.spilled_taken < flush.spilled:
                continue
            if self._intake.left_gone < flush.left:
                continue
            if self._backlog is not None and self._backlog.has_adopted:
                continue
            if flush.is_last:
                self._lanes.close(now)
            flush.mark = self._lanes.mark()

    def _end_flushes(self) -> bool:
        """
        Tell those who wait for what is settled; whether there was one.
        """
        over = [each for each in self._flushes if each.mark is not None and self._lanes.is_settled(each.mark)]
        for flush in over:
            self._flushes.remove(flush)
            flush.done.set()
        if self._stop_later is not None and self._stop_later.after not in self._flushes:
            self._stop(self._stop_later)
        return bool(over)

    def _last_moment(self) -> float:
        """
        When the last begin of a request may be: at the end, what is begun when nobody waits for it any more would be in
        doubt instead of certainly not delivered.
        """
        if not any(flush.is_last for flush in self._flushes):
            return float("inf")
        return max(flush.until for flush in self._flushes)

    def _send(self, job: Job, begins_until: float, until: float) -> bool:
        """
        Have the request of *job* made, in this thread until the monotonic time *until* at most; False if there is no
        time to begin it.
        """
        if self._timing.now() >= begins_until:
            return False
        request = job.request
        if self._backlog is not None and self._needs_intent(request) and (places := _places(job.tickets)):
            try:
                holding(partial(self._backlog.spool.intend, places))
            except SpoolError as error:
                # Without the record, a crash right now would have it sent a second time.
                answer = NoResponse(reason=f"the spool failed: {error}", maybe_received=False)
                self._under_way[job] = None
                self._notes.put(Answered(job, answer))
                return True
        self._under_way[job] = None
        # Also when the caller is interrupted: the request may have arrived.
        broken_off = NoResponse(reason="the request was broken off", maybe_received=True)
        note: Answered | None = Answered(job, broken_off)
        try:
            if self._posters is not None and self._posters.take(job, len(self._under_way) - 1):
                note = None
            else:
                note = Answered(job, answer_to(lambda request: self._post(request, self._seconds_to(until)), request))
        finally:
            if note is not None:
                self._notes.put(note)
        return True

    def _seconds_to(self, moment: float) -> float:
        return moment - self._timing.now()

    def _needs_intent(self, request: Request) -> bool:
        return not request.repeatable and not self._resends

    def _take_answer(self, answered: Answered) -> None:
        timing = self._timing
        if answered.job not in self._under_way:
            return
        try:
            now, clock, chance = timing.now(), timing.clock(), timing.pick(0.0, 1.0)
        except BaseException:
            self._notes.put(answered)
            raise
        is_intended = self._needs_intent(answered.job.request)
        self._is_answered = True
        if self._jobs and self._jobs[0] is answered.job:
            # The turn that sent it was interrupted.
            self._jobs.popleft()
        del self._under_way[answered.job]
        endpoint = answered.job.delivery.endpoint
        assert endpoint is not None, "a job under way is not done"
        settled = self._lanes.answered(answered.job, answered.answer, now, clock, chance)
        # Anew, because others read it at the same time.
        troubles = {each: trouble for each, trouble in self.troubles.items() if each is not endpoint}
        for cause, detail in self._lanes.take_troubles():
            # What a server says may repeat what it was sent; only the status is told.
            told = detail.partition(":")[0] if detail.startswith("HTTP") else detail
            self._reporter.tell(cause.value, told)
            troubles[endpoint] = f"{cause.value}: {told}"
        self.troubles = troubles
        if settled is not None:
            self._settle(settled)
        elif self._backlog is not None and is_intended and answered.job.delivery.is_untouched:
            holding(partial(self._backlog.spool.retract, _places(answered.job.tickets)))

    def _settle(self, settled: Settled) -> None:
        self._intake.held_elsewhere(self._lanes.count, self._lanes.cost_bytes)
        holding(partial(self._keep, settled))
        self._report(settled.outcome)

    def _keep(self, settled: Settled) -> None:
        outcome = settled.outcome
        lost: set[int] = set()
        if outcome.rejected and self._keeping.rejected is not None and not self._keeping.rejected(outcome.rejected):
            lost.update(id(each.message.body) for each in outcome.rejected)
        if outcome.unknown and self._keeping.unknown is not None and not self._keeping.unknown(outcome.unknown):
            lost.update(id(each.message.body) for each in outcome.unknown)
        if settled.tickets:
            # What could not be kept elsewhere stays where it is.
            self._acknowledge(
                [ticket for body, tickets in settled.tickets.items() if body not in lost for ticket in tickets]
            )

    def _acknowledge(self, tickets: Iterable[Ticket]) -> None:
        if self._backlog is not None and (places := _places(tickets)):
            self._backlog.spool.settle(places)

    def _report(self, outcome: Outcome) -> None:
        self._ledger.settle(outcome)
        if not any(flush.give(outcome) for flush in self._flushes):
            try:
                self._aside(outcome)
            except Exception as error:  # noqa: BLE001
                self._reporter.tell(f"what takes outcomes in the background raised {type(error).__name__}")
        if self._listener is not None:
            self._listener.tell(outcome)
        elif self.tells_refused:
            # What `flush` and `close` return is often not looked at, least of all at the end of a `with`.
            self._tell_refused(outcome)

    def _tell_refused(self, outcome: Outcome) -> None:
        if outcome.rejected:
            count, last = self._ledger.stats().rejected, outcome.rejected[-1]
            places = [last.field] if _FIELD.fullmatch(last.field) else []
            if last.status is not None:
                places.append(f"HTTP {last.status}")
            why = f", the last for {', '.join(places)}" if places else ""
            where = "they are kept with their reasons"
            if self._keeping.rejected is None:
                where = "dead_letters= keeps them with their reasons, on_outcome= is told of them"
            self._reporter.tell("messages were rejected", f"{count:,} so far{why}; {where}; stats() counts them")
        for cause in (Cause.REFUSED_TOGETHER, Cause.COUNT_MISMATCH):
            # Other causes were told when the request failed.
            if count := sum(each.cause is cause for each in outcome.unknown):
                self._reporter.tell(cause.value, f"{count:,} perhaps applied, and not sent again")

    def _stop(self, stop: Stop) -> None:
        self.is_stopping = True
        detail = "the transport was closed before it could be delivered"
        not_begun = NoResponse(reason=detail, maybe_received=False)
        while self._jobs:
            job = self._jobs.popleft()
            if job not in self._under_way:
                settled = self._lanes.answered(job, not_begun, self._timing.now(), self._timing.clock(), 0.0)
                if settled is not None:
                    self._settle(self._without_stored(settled))
        under_way = list(self._under_way)
        self._under_way.clear()
        for settled in self._lanes.abandon(under_way, detail):
            self._settle(self._without_stored(settled))
        self.give_back()
        for flush in self._flushes:
            flush.done.set()
        if self._posters is not None:
            self._posters.stop()
        # Here, because whoever wanted to close may have stopped waiting for it.
        holding(self._at_end)
        self._is_over = self.is_stopped = True
        stop.done.set()

    def has_late(self) -> bool:
        """
        Whether something was put after the end that nobody gave back.
        """
        return self._is_over and self._intake.count > 0

    def give_back(self) -> None:
        """
        Settle what was put after everything else was stopped. Called by the thread that drives, or would.
        """
        detail = "the transport was closed before it could be delivered"
        if self._intake.has_left:
            self._intake.put_left()
        messages, places = self._intake.take()
        failed = [
            Failed(message, Cause.GIVEN_UP, detail)
            for message, place in zip(messages, places or repeat(None), strict=False)
            if place is None
        ]
        failed += [Failed(message, Cause.GIVEN_UP, detail) for message in self._intake.take_left()]
        if failed:
            self._report(Outcome(failed=tuple(failed)))

    def _without_stored(self, settled: Settled) -> Settled:
        """
        What is left of *settled* without the messages that stay in the spool and may be sent from there later.
        """

        def stays(message: Message) -> bool:
            return id(message.body) in settled.tickets

        outcome = Outcome(
            delivered=settled.outcome.delivered,
            rejected=settled.outcome.rejected,
            failed=tuple(each for each in settled.outcome.failed if not stays(each.message)),
            unknown=tuple(
                each
                for each in settled.outcome.unknown
                if not stays(each.message) or not (each.message.repeatable or self._resends)
            ),
            notes=settled.outcome.notes,
        )
        bodies = {id(message.body) for message in outcome.messages()}
        return Settled(outcome, {body: tickets for body, tickets in settled.tickets.items() if body in bodies})


def _places(tickets: Iterable[Ticket]) -> list[Place]:
    # What a signal handler put while the disk was full has a place that was never filled in.
    return [ticket for ticket in tickets if isinstance(ticket, Place) and ticket.end]
