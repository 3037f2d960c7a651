"""
Hold messages and deliver them in the background.
"""

from __future__ import annotations

import atexit
import math
import os
import random
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from attrs import asdict, evolve

from ..core import (
    Answer,
    BatchLimits,
    Cause,
    Failed,
    InvalidValue,
    Message,
    Outcome,
    Project,
    Rejected,
    Request,
    RetryPolicy,
    Unknown,
)
from ..core.lanes import Lanes
from .backlog import Backlog
from .base import NOTHING, Ledger, Post, Stats, Transport, checked
from .courier import Courier, Flush, Keeping, Stop, Timing
from .intake import Intake, Room
from .journal import HOLDERS
from .latch import Latch
from .listeners import Listener, OnOutcome
from .network import Network
from .posters import Posters, is_delivering
from .reports import Reporter
from .spool import Note, Spool, SpoolError
from .spool_settings import SpoolSettings

__all__ = ["BufferedTransport", "WhenFull"]

WhenFull: TypeAlias = Literal["drop", "block", "pace", "spill"]
"""
What `send` does when there is no room in memory: ``drop`` the message and count it, ``block`` for a while and then drop
it, keep ``pace`` with the server, and drop only while it has troubles, or leave it in the spool alone, to be read back
later.
"""

_GRACE_SECONDS: Final = 0.2
"""How long `close` waits for the books after its timeout."""
_LOOK_AGAIN_SECONDS: Final = 0.25
"""How often one that waits looks whether the worker lives, and whether somebody else did what it waits for."""
_ROOM_SECONDS: Final = 0.005
_HURRY_SECONDS: Final = 0.1
"""After so long, one who waits for room has sent what would else wait for others."""
_START_AGAIN_SECONDS: Final = 1.0
_STUMBLED_SECONDS: Final = 0.1
_FOREVER: Final = math.inf
_getpid: Final = os.getpid


class BufferedTransport(Transport):
    """
    Takes messages in microseconds and delivers them in the background, in batches, for as long as it takes.

    Up to four requests for events are under way at once; profile updates and group updates travel one request at a
    time, in order. The worker is a daemon thread that starts with the first message, again when it died, and again in a
    child process after a fork; what the parent holds, the parent delivers. At the end of the process `close` is called.

    With a `spool`, a message is in a file before `send` returns. It survives the end of the process, and the next
    transport with the same spool delivers it, or ``mixwire drain``.

    Args:
        project: Whose data it is and where it goes.
        max_tries: How often a batch is posted; None for as long as it takes.
        at_least_once: Whether what counts twice when applied twice is sent again although it may have been applied. If
            not, it is unknown, and kept in the spool as such.
        max_messages, max_bytes: How much one request may hold.
        flush_after_seconds: How long a message waits for others to share a request.
        max_held_messages, max_held_bytes: How much may be held in memory. A message counts with its body and 512 bytes.
        when_full: What to do beyond that: ``drop``, ``block``, ``pace`` or ``spill``; by default ``spill`` with a
            spool, else ``drop``.
        block_seconds: How long ``block`` waits before it drops, and ``pace`` if nothing is settled meanwhile.
        max_in_flight: How many requests for events may be under way at once, from 1 to 4.
        background: Whether to use threads. Without, `send` delivers in the caller whenever a batch is full or old
            enough.
        exit_seconds: How long the end of the process may be delayed.
        close_seconds: How long `close` tries when it is not told.
        spool: The directory in which messages are stored before they are accepted, or `SpoolSettings`.
        dead_letters: A directory for what was rejected, each with its reason; without a spool also for what is unknown.
            By default the spool.
        on_outcome: Called with each outcome, in a thread of its own.
        connect_timeout_seconds, request_timeout_seconds, compress, ca_file: See `Network`.
        post: What makes the requests; by default a `Network`.
        now, clock, pick: A monotonic time in seconds, the time in milliseconds since 1970, and how to choose a number
            from a range.

    Raises:
        InvalidValue: If an argument is out of range, or the spool cannot be used.
    """

    def __init__(
        self,
        project: Project,
        *,
        max_tries: int | None = None,
        at_least_once: bool = False,
        max_messages: int = 2_000,
        max_bytes: int = 2_000_000,
        flush_after_seconds: float = 1.0,
        max_held_messages: int = 100_000,
        max_held_bytes: int = 64 * 1024 * 1024,
        when_full: WhenFull | None = None,
        block_seconds: float = 1.0,
        max_in_flight: int = 4,
        background: bool = True,
        exit_seconds: float = 2.0,
        close_seconds: float = 30.0,
        spool: str | Path | SpoolSettings | None = None,
        dead_letters: str | Path | None = None,
        on_outcome: OnOutcome | None = None,
        connect_timeout_seconds: float = 5.0,
        request_timeout_seconds: float = 30.0,
        compress: bool = True,
        ca_file: str | Path | None = None,
        post: Post | None = None,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        pick: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if type(project) is not Project:
            raise InvalidValue("project", "Project(...)", type(project).__name__)
        for name, number, least, most in (
            ("flush_after_seconds", flush_after_seconds, 0.0, 3600.0),
            ("block_seconds", block_seconds, 0.0, 3600.0),
            ("exit_seconds", exit_seconds, 0.0, 3600.0),
            ("close_seconds", close_seconds, 0.0, 3600.0),
            ("max_in_flight", max_in_flight, 1, 4),
            ("max_held_messages", max_held_messages, 1, 1_000_000_000),
            ("max_held_bytes", max_held_bytes, 1, 1 << 50),
        ):
            if not least <= number <= most:
                raise InvalidValue(name, f"from {least:,g} to {most:,g}", f"{number:g}")
        if when_full is not None and when_full not in get_args(WhenFull):
            raise InvalidValue("when_full", "one of " + ", ".join(map(repr, get_args(WhenFull))), "another value")
        if when_full == "spill" and spool is None:
            raise InvalidValue("when_full", "'drop', 'block' or 'pace' where there is no spool", "'spill'")
        if spool is not None and max_tries is not None:
            raise InvalidValue("max_tries", "None with a spool, which keeps messages until they are delivered", "given")
        self._project = project
        self.delivers_for = (project,)
        self._policy = RetryPolicy(max_tries=max_tries, at_least_once=at_least_once)
        self._limits = BatchLimits(max_messages=max_messages, max_bytes=max_bytes)
        self._flush_after_seconds = flush_after_seconds
        self._room = Room(max_messages=max_held_messages, max_bytes=max_held_bytes)
        self._when_full: WhenFull = when_full or ("spill" if spool is not None else "drop")
        self._block_seconds = block_seconds
        self._max_in_flight = max_in_flight
        self._background = background
        self._exit_seconds = exit_seconds
        self._close_seconds = close_seconds
        self._on_outcome = on_outcome
        self._network = (
            None
            if post is not None
            else Network(
                connect_timeout_seconds=connect_timeout_seconds,
                request_timeout_seconds=request_timeout_seconds,
                compress=compress,
                ca_file=None if ca_file is None else str(ca_file),
                max_connections=max_in_flight + 2,
            )
        )
        self._post: Post = post if self._network is None else self._network  # type: ignore[assignment]
        self._timing = Timing(now=now, clock=clock, pick=pick)
        self._reporter = Reporter()
        self._spool, self._parked, self._dead = _opened(spool, dead_letters, project)
        self._begin()
        _OPEN.add(self)

    def send(self, *messages: Message) -> Outcome:
        """
        Hold *messages*: the empty outcome. What finds no room is dropped and counted, see `when_full`.
        """
        checked(messages)
        if self._pid != _getpid():
            self._begin_in_child()
        # Before anything raises for them, which would break that request.
        if is_delivering():
            self._drop(len(messages), "messages that were sent while making a request are dropped")
            return NOTHING
        if self._is_closed:
            outcome = Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))
            self._ledger.accept(len(messages))
            self._ledger.settle(outcome)
            return outcome
        courier, intake = self._courier, self._intake
        count = intake.put(messages)
        if count != len(messages):
            self._make_room_for(messages[count:])
        if courier.is_stopping:
            # Closed in this moment. A finaliser must not wait here for one who may be waiting for what it interrupted.
            _give_back(courier, self._driving, waits=threading.get_ident() not in HOLDERS)
            return NOTHING
        if intake.trouble is not None:
            self._reporter.tell("the spool does not take messages, they are in memory only", str(intake.trouble))
        if not self._background:
            self._deliver_if_due()
        else:
            if not courier.is_driven:
                if _process.is_over:
                    # Nobody would come by any more.
                    self.flush(self._exit_seconds)
                    return NOTHING
                self._start_worker()
            if courier.is_idle or intake.has_left or intake.fills(self._limits):
                courier.wake()
        return NOTHING

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Wait until everything that was accepted is settled, or *timeout* seconds, and return what was settled meanwhile.

        With a spool, that includes what earlier processes left in it. Waits that a server asked for are kept.
        """
        if self._pid != os.getpid():
            self._begin_in_child()
        if self._courier.is_stopped:
            self._tell()
            return Outcome()
        end = self._timing.now() + (_FOREVER if timeout is None else timeout)
        flush = Flush(until=end)
        self._courier.leave(flush)
        self._wait_for(flush.done, end)
        outcome = flush.end()
        self._tell()
        return outcome

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Take nothing more, try to deliver what is held for *timeout* seconds, by default `close_seconds`, and stop.

        No request is begun after that time. What is left then stays in the spool, if there is one. If not, it failed,
        or is unknown where a request is still under way.
        """
        if self._pid != os.getpid():
            self._begin_in_child()
        self._is_closed = True
        if self._courier.is_stopped:
            self._tell()
            return Outcome()
        courier = self._courier
        end = self._timing.now() + (self._close_seconds if timeout is None else timeout)
        last, stop = Flush(until=end, is_last=True), Stop()
        courier.leave(last)
        self._wait_for(last.done, end)
        courier.leave(stop)
        self._wait_for(stop.done, max(end, self._timing.now()) + _GRACE_SECONDS, posts=False)
        outcome = last.end()
        self._report_rest(outcome)
        self._tell()
        if not courier.is_stopped:
            # Called from a callback, or the worker is stuck: what it still settles is told in the background.
            return outcome
        _OPEN.discard(self)
        if self._listener is not None:
            self._listener.close(end - self._timing.now())
        return outcome

    def stats(self) -> Stats:
        if self._pid != os.getpid():
            self._begin_in_child()
        stats = self._ledger.stats()
        more = self._intake.accepted
        return evolve(stats, accepted=stats.accepted + more, held=stats.held + more)

    @property
    def troubles(self) -> tuple[str, ...]:
        """
        What the last request to each endpoint failed of, each trouble once: its cause and the status or the error of
        the network. Empty while all is well, and before anything was tried.
        """
        if self._pid != os.getpid():
            self._begin_in_child()
        return tuple(dict.fromkeys(self._courier.troubles.values()))

    def __del__(self) -> None:
        # Without a look at the module where possible, which may be half gone at the end of the process.
        if getattr(self, "_courier", None) is None or self._courier.is_stopped or self._is_closed:
            return
        if self._pid == os.getpid():
            # Without a network of its own and with nothing left to deliver, nobody need know.
            is_told = self._network is not None or self.stats().held > 0
            self._is_closed = True
            # Nobody waits: the worker delivers what it can and ends.
            last = Flush(is_last=True)
            stop = Stop(after=last)
            self._courier.leave(last)
            self._courier.leave(stop)
            if self._courier.is_driven:
                _FORGOTTEN[stop] = self._exit_seconds
            if is_told:
                # Last, because where warnings are errors it raises.
                warnings.warn(f"{type(self).__name__} was not closed", ResourceWarning, source=self, stacklevel=2)

    def _begin(self) -> None:
        """
        Start with nothing held: when the transport is made, and in a child process.
        """
        self._pid = os.getpid()
        self._is_closed = False
        self._ledger = Ledger()
        self._intake = Intake(self._room, self._spool, spills=self._when_full == "spill")
        self._lanes = Lanes(
            self._project,
            limits=self._limits,
            policy=self._policy,
            flush_after_seconds=self._flush_after_seconds,
            # What is made in the caller is made one after the other, and after a failure no more is.
            max_in_flight=self._max_in_flight if self._background else 1,
        )
        self._listener = None
        if self._on_outcome is not None:
            self._listener = Listener(self._on_outcome, self._reporter, background=self._background)
        backlog = None
        if self._spool is not None:
            backlog = Backlog(self._spool, self._intake, resends=self._policy.at_least_once)
        me = weakref.ref(self)

        def aside(outcome: Outcome) -> None:
            transport = me()
            if transport is not None and transport.settled_in_background is not None:
                transport.settled_in_background(outcome)

        post, most = self._post, self._max_in_flight + 2
        self._courier = Courier(
            self._intake,
            self._lanes,
            backlog,
            post=_within(post),
            posters=(lambda tell: Posters(post, tell, most)) if self._background else None,
            room=self._room,
            limits=self._limits,
            flush_after_seconds=self._flush_after_seconds,
            ledger=self._ledger,
            timing=self._timing,
            reporter=self._reporter,
            keeping=_keeping(self._parked, self._dead, self._reporter),
            resends=self._policy.at_least_once,
            listener=self._listener,
            aside=aside,
            at_end=_closing(self._network, self._spool, self._parked, self._dead),
        )
        # Reentrant, because only then can it be released safely by one who may be interrupted at any moment.
        self._driving = threading.RLock()
        self._start_again_at = float("-inf")

    def _begin_in_child(self) -> None:
        """
        After a fork: what was held is the parent's, and so are its locks, connections and files.
        """
        self._reporter = Reporter()
        for spool in (self._spool, self._parked, self._dead):
            if spool is not None:
                spool.after_fork_in_child()
        self._courier.disown()
        was_closed = self._is_closed
        self._begin()
        self._is_closed = was_closed

    def _drop(self, count: int, why: str) -> None:
        self._ledger.accept(count)
        self._ledger.drop(count)
        self._reporter.tell(why)

    def _make_room_for(self, messages: tuple[Message, ...]) -> None:
        courier, now, me = self._courier, self._timing.now, threading.get_ident()
        # Who delivers must not wait for the delivery, nor who interrupted another call with what that has locked.
        waits = self._when_full in ("block", "pace") and courier.driver != me and me not in HOLDERS
        paces = waits and self._when_full == "pace"
        begun, settled, is_hurried = now(), self._settled_count() if paces else 0, False
        while True:
            if not self._background:
                self._deliver_if_due()
            else:
                if not courier.is_driven:
                    self._start_worker()
                courier.wake()
            messages = messages[self._intake.put(messages) :]
            if not messages:
                return
            if paces and settled != (settled := self._settled_count()):
                begun, is_hurried = now(), False
            waited = now() - begun
            if not waits or waited >= self._block_seconds or courier.is_stopping:
                break
            if paces and (courier.troubles or (self._background and not courier.is_driven)):
                break
            if paces and waited >= _HURRY_SECONDS and not is_hurried:
                is_hurried = True
                self._hurry()
            time.sleep(_ROOM_SECONDS)
        self._drop(len(messages), "the buffer is full: messages are dropped")

    def _settled_count(self) -> int:
        stats = self._ledger.stats()
        return stats.delivered + stats.rejected + stats.failed + stats.unknown

    def _start_worker(self) -> None:
        now = self._timing.now()
        if now < self._start_again_at:
            return
        self._start_again_at = now + _START_AGAIN_SECONDS
        _end_with_the_child()
        courier = self._courier
        try:
            courier.is_driven = True
            threading.Thread(
                target=_work, args=(courier, self._driving, self._reporter), name="mixwire-worker", daemon=True
            ).start()
        except RuntimeError:
            # None can be started here or now: `flush` and `close` deliver in their callers.
            courier.is_driven = False
        except BaseException:
            # Interrupted, and nobody knows whether it runs. If it does, another waits until it has ended.
            courier.is_driven = False
            self._start_again_at = float("-inf")
            raise

    def _wait_for(self, done: Latch, end: float, *, posts: bool = True) -> None:
        """
        Wait until a note is done with, or until the monotonic time *end*; deliver here if no worker does, and make no
        more requests unless *posts*.
        """
        courier, now = self._courier, self._timing.now
        if courier.driver == threading.get_ident():
            # Called in the midst of the very delivery that it would wait for.
            return
        while not done.is_set() and not courier.is_stopped:
            left = end - now()
            if self._background and not courier.is_driven and not _process.is_ending:
                self._start_worker()
            if courier.is_driven:
                if left <= 0:
                    return
                done.wait(min(left, _LOOK_AGAIN_SECONDS))
            elif posts:
                if left <= 0:
                    return
                self._drive(lambda: not done.is_set() and now() < end, end, end, left)
            else:
                # Only the books are left, which are never too late.
                self._drive(lambda: not done.is_set(), -_FOREVER, -_FOREVER, max(left, 0.0))
                if left <= 0:
                    return

    def _deliver_if_due(self) -> None:
        _end_with_the_child()
        courier = self._courier
        if courier.driver != threading.get_ident() and courier.is_due():
            # A request may take its time here, but there is no wait before the next.
            self._drive(courier.is_due, -_FOREVER, _FOREVER, 0.0)

    def _drive(self, goes_on: Callable[[], bool], until: float, posts_until: float, patience: float) -> None:
        """
        Deliver in this thread while that goes on. If another does, wait a moment for it, *patience* seconds at most.
        """
        courier, me = self._courier, threading.get_ident()
        try:
            if self._driving.acquire(timeout=min(patience, _LOOK_AGAIN_SECONDS)):
                courier.driver = me
                while not courier.is_stopped and goes_on():
                    courier.turn(until, posts_until)
        finally:
            if courier.driver == me:
                courier.driver = None
            # Not with `suppress`, which is written in Python and could be interrupted before the lock is given back.
            try:  # noqa: SIM105
                self._driving.release()
            except RuntimeError:
                pass  # Somebody else has it.
        if courier.has_late():
            _give_back(courier, self._driving, waits=False)
        self._tell()

    def _tell(self) -> None:
        if self._listener is not None:
            self._listener.call()

    def _report_rest(self, outcome: Outcome) -> None:
        stats, left = self.stats(), len(outcome.failed) + len(outcome.unknown)
        parts: list[str] = []
        if stats.held:
            stays = ("is left in memory", "are left in memory")
            if self._spool is not None:
                stays = ("stays in the spool", "stay in the spool")
            parts.append(_messages(stats.held, *stays))
        if left:
            parts.append(_messages(left, "is lost or in doubt", "are lost or in doubt"))
        if stats.dropped:
            parts.append(_messages(stats.dropped, "had been dropped", "had been dropped"))
        if parts:
            self._reporter.tell("closed before everything was delivered", " and ".join(parts))

    def _hurry(self) -> None:
        """
        Have what is held leave as soon as it may, and wait for nothing.
        """
        # What it settles is told in the background.
        flush = Flush(until=float("-inf"))
        flush.end()
        self._courier.leave(flush)

    def _hurry_at_exit(self) -> None:
        self._courier.start_no_threads()
        self._hurry()

    def _close_at_exit(self, begun: float) -> None:
        self.close(self._left_at_exit(begun))

    def _flush_at_end_of_child(self, begun: float) -> None:
        outcome = self.flush(self._left_at_exit(begun))
        if self._listener is not None:
            self._listener.wait(self._left_at_exit(begun))
        self._report_rest(outcome)

    def _left_at_exit(self, begun: float) -> float:
        return max(begun + self._exit_seconds - time.monotonic(), 0.0)


_Spools: TypeAlias = tuple[Spool | None, Spool | None, Spool | None]


def _opened(spool: str | Path | SpoolSettings | None, dead_letters: str | Path | None, project: Project) -> _Spools:
    """
    The places for messages that are to be delivered, that were perhaps applied, and that were rejected.
    """
    settings = SpoolSettings(directory=spool) if isinstance(spool, str | Path) else spool
    held = unknown = rejected = None
    # What is kept aside is rare, and has to be durable at once.
    aside = partial(Spool, sync="always", project=project)
    try:
        if settings is not None:
            with _named("spool"):
                held = Spool(**asdict(settings), project=project, delivers=True)
                unknown = aside(settings.directory, section="unknown")
        if dead_letters is not None:
            with _named("dead_letters"):
                unknown = unknown or aside(dead_letters, section="unknown")
                rejected = aside(dead_letters, section="rejected")
        elif settings is not None:
            with _named("spool"):
                rejected = aside(settings.directory, section="rejected")
    except BaseException:
        for each in (held, unknown):
            if each is not None:
                each.close()
        raise
    return held, unknown, rejected


@contextmanager
def _named(argument: str) -> Generator[None]:
    try:
        yield
    except InvalidValue as fault:
        # Of a plain path, which is the directory, nobody thinks as settings with a directory in them.
        raise fault.at(fault.path.replace("directory", argument, 1)) from None


def _keeping(unknown: Spool | None, rejected: Spool | None, reporter: Reporter) -> Keeping:
    def keep(spool: Spool, messages: Sequence[Message], notes: Sequence[Note]) -> bool:
        try:
            # Durable before it is acknowledged where it came from.
            spool.append(messages, notes)
        except SpoolError as error:
            reporter.tell("messages that are not sent again could not be kept", str(error))
            return False
        return True

    def keep_unknown(entries: tuple[Unknown, ...]) -> bool:
        assert unknown is not None
        notes = [Note(reason=each.detail, cause=each.cause.name) for each in entries]
        return keep(unknown, [each.message for each in entries], notes)

    def keep_rejected(entries: tuple[Rejected, ...]) -> bool:
        assert rejected is not None
        notes = [Note(reason=each.reason, field=each.field) for each in entries]
        return keep(rejected, [each.message for each in entries], notes)

    return Keeping(
        unknown=None if unknown is None else keep_unknown, rejected=None if rejected is None else keep_rejected
    )


def _closing(*opened: Network | Spool | None) -> Callable[[], None]:
    def close() -> None:
        for each in opened:
            if each is not None:
                each.close()

    return close


def _within(post: Post) -> Callable[[Request, float], Answer]:
    def post_within(request: Request, seconds: float) -> Answer:
        return post.within(request, seconds) if isinstance(post, Network) else post(request)

    return post_within


def _give_back(courier: Courier, driving: threading.RLock, *, waits: bool) -> None:
    """
    Settle what came when everything else was stopped. If this does not wait, whoever drives does it at the end.
    """
    if driving.acquire(blocking=waits):
        try:
            courier.give_back()
        finally:
            driving.release()


def _work(courier: Courier, driving: threading.RLock, reporter: Reporter) -> None:
    """
    What the worker does, without a reference to the transport, which may be forgotten meanwhile.
    """
    with driving:
        courier.is_driven = True
        courier.driver = threading.get_ident()
        try:
            while not courier.is_stopped:
                try:
                    courier.turn(_FOREVER)
                except Exception as error:  # noqa: BLE001
                    reporter.tell(f"the worker stumbled over {type(error).__name__}")
                    time.sleep(_STUMBLED_SECONDS)
        finally:
            courier.driver = None
            courier.is_driven = False
    if courier.has_late():
        _give_back(courier, driving, waits=False)


_OPEN: Final[weakref.WeakSet[BufferedTransport]] = weakref.WeakSet()
"""For the end of the process and for forks."""
_FORGOTTEN: Final[weakref.WeakKeyDictionary[Stop, float]] = weakref.WeakKeyDictionary()
"""What ends the workers of forgotten transports, and how many seconds the end of the process may wait for it."""


def _messages(count: int, *rest: str) -> str:
    """
    So many messages, and what there is to say of one, or of several.
    """
    return f"1 message {rest[0]}" if count == 1 else f"{count:,} messages {rest[-1]}"


def _close_all() -> None:
    # What a child of multiprocessing took before is part of it.
    begun = time.monotonic() - _process.taken_seconds
    _process.is_ending = True
    # All at once, so that one whose server is dead leaves time for the others.
    for transport in tuple(_OPEN):
        transport._hurry_at_exit()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    for transport in tuple(_OPEN):
        transport._close_at_exit(begun)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    _wait_for_forgotten(begun)
    _process.is_over = True


def _end_with_the_child() -> None:
    """
    Have a child of multiprocessing deliver what it holds when it ends, which most do without `atexit`.

    Asked for again and again, because what is registered before a child has begun is forgotten in it.
    """
    if _process.ends_with_child == os.getpid() or (util := sys.modules.get("multiprocessing.util")) is None:
        return
    from multiprocessing import parent_process

    if parent_process() is not None:
        _process.ends_with_child = os.getpid()
        # After what has a priority, which may send something, and before it waits for children of its own.
        util.Finalize(None, _flush_all, exitpriority=0)


def _flush_all() -> None:
    begun = time.monotonic()
    # What is open and was not used here has nothing to do.
    held = [transport for transport in tuple(_OPEN) if transport.stats().held]
    for transport in held:
        transport._hurry()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    # Not closed: threads of the child may go on sending until it has ended.
    for transport in held:
        transport._flush_at_end_of_child(begun)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    _wait_for_forgotten(begun)
    _process.taken_seconds += time.monotonic() - begun


def _wait_for_forgotten(begun: float) -> None:
    for stop, seconds in tuple(_FORGOTTEN.items()):
        stop.done.wait(max(begun + seconds - time.monotonic(), 0.0))


def _begin_all_in_child() -> None:
    _FORGOTTEN.clear()
    for transport in tuple(_OPEN):
        transport._begin_in_child()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


class _Process:
    # Handlers of `atexit` may be the first to load this module, and what is registered there is never called.
    is_ending = is_over = not threading.main_thread().is_alive()
    ends_with_child = 0
    taken_seconds = 0.0


_process: Final = _Process()
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_in_child)
