"""
One transport under watch: each step of a program, with what must be true after it.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Final, NoReturn, TypeVar, cast

from attrs import frozen

from ..core import InvalidValue, Message, Outcome, Project
from ..transports.base import Stats, Transport
from .book import PLACES, Book, messages_of, times
from .caller import Caller
from .judge import Judge
from .writer import Writer

__all__ = [
    "BYTES_STAY",
    "DEADLINES_ARE_KEPT",
    "FIGURES_ADD_UP",
    "NOTHING_IS_DOUBLED",
    "NOTHING_IS_LOST",
    "OUTCOMES_ARE_TRUE",
    "PAUSE_SECONDS",
    "WEATHER_RAISES_NOT",
    "Manner",
    "Trial",
    "shown",
]

DEADLINES_ARE_KEPT: Final = "deadlines are kept"
FIGURES_ADD_UP: Final = "the figures add up"
NOTHING_IS_LOST: Final = "nothing is lost"
NOTHING_IS_DOUBLED: Final = "nothing is doubled"
OUTCOMES_ARE_TRUE: Final = "outcomes are true"
BYTES_STAY: Final = "bytes stay the same"
WEATHER_RAISES_NOT: Final = "weather does not raise"
"""The promises that may turn out to be broken while another is checked."""

PAUSE_SECONDS: Final = 0.002
"""Between two looks at something that another thread is to change."""

_T = TypeVar("_T")


@frozen
class Manner:
    """
    What may be expected of the transport.
    """

    delivers: bool
    blocks: bool
    patience_seconds: float
    guard_seconds: float


class Trial:
    """
    One transport, watched while one promise is checked: each step is followed by a look at the figures.
    """

    def __init__(self, make: Callable[[Project], Transport], judge: Judge, promise: str, manner: Manner) -> None:
        self.judge = judge
        self.manner = manner
        self.write = Writer(Project(f"conformance-{secrets.token_hex(8)}", server=judge.url))
        self._promise = promise
        self._book = Book(judge, delivers=manner.delivers)
        self._caller = Caller()
        self._is_hanging = False
        made = self._caller.begin(lambda: make(self.write.project))
        try:
            self._wait("making the transport", made, manner.guard_seconds)
            self.transport = made.result()
        except BaseException:
            self._caller.end()
            raise
        listener = self.transport.settled_in_background

        def settled(outcome: Outcome) -> None:
            self._book.add(outcome)
            if listener is not None:
                listener(outcome)

        self.transport.settled_in_background = settled
        self._is_closed = False

    # What a program does

    def send(self, *messages: Message, caller: Caller | None = None) -> Outcome:
        """
        Send, which must not take longer than it may.
        """
        return self._told("send", self.begin_send(*messages, caller=caller), self._send_seconds())

    def begin_send(self, *messages: Message, caller: Caller | None = None) -> Future[Outcome]:
        self._book.sending(messages)
        return (caller or self._caller).begin(lambda: self._noted(self.transport.send(*messages)))

    def finish_send(self, future: Future[_T]) -> _T:
        return self._told("send", future, self._send_seconds())

    def send_in_pieces(self, messages: Sequence[Message], sizes: Sequence[int]) -> None:
        """
        Send from this very thread, in calls of so many messages, over and over.
        """
        next_size, start = itertools.cycle(sizes), 0
        while start < len(messages):
            piece = messages[start : start + next(next_size)]
            start += len(piece)
            self._book.sending(piece)
            self._noted(self.transport.send(*piece))

    def flush(self, seconds: float) -> Outcome:
        name = f"flush({seconds:g})"
        return self._call(name, lambda: self._noted(self.transport.flush(seconds)), seconds + self.manner.guard_seconds)

    def drain(self) -> None:
        """
        Flush with all patience: what delivers then holds nothing more.
        """
        seconds = self.manner.patience_seconds
        self.flush(seconds)
        held = self.stats().held if self.manner.delivers else 0
        self.require(held == 0, f"{messages_of(held)} still held after flush({seconds:g})", NOTHING_IS_LOST)

    def close(self, seconds: float, *, caller: Caller | None = None) -> Outcome:
        self._is_closed = True
        name = f"close({seconds:g})"
        most = seconds + self.manner.guard_seconds
        return self._call(name, lambda: self._noted(self.transport.close(seconds)), most, caller)

    def leave(self) -> None:
        """
        Enter and leave the context; what this settles is told to nobody.
        """
        self._is_closed = True
        most = self.manner.patience_seconds + self.manner.guard_seconds

        def leave() -> None:
            with self.transport:
                pass

        self._call("leaving the context manager", leave, most)

    def stats(self) -> Stats:
        return self._call("stats", self.transport.stats, self.manner.guard_seconds)

    def is_refused(self, *things: object) -> bool:
        """
        Whether sending these, which are not all messages, raises what it should.
        """
        messages = cast("tuple[Message, ...]", things)
        future = self._caller.begin(lambda: self.transport.send(*messages))
        self._wait("send", future, self._send_seconds())
        error = future.exception()
        if error is not None and not isinstance(error, InvalidValue):
            self.fail(
                f"send of something that is no message raised {type(error).__name__}, not InvalidValue", error=error
            )
        return error is not None

    def settle(self) -> None:
        """
        Flush, and send again what came back, until everything is settled for good or patience is at its end.
        """
        end = monotonic() + self.manner.patience_seconds
        while True:
            self.flush(max(end - monotonic(), 0.0))
            again = self._book.to_send_again()
            if (not again and self.stats().held == 0) or monotonic() >= end:
                return
            if again:
                self.send(*again)
            time.sleep(PAUSE_SECONDS)

    def end(self) -> None:
        """
        Close what is still open, whatever has happened.
        """
        self.judge.heal()
        if not self._is_hanging and not self._is_closed:
            seconds = self.manner.guard_seconds
            with contextlib.suppress(TimeoutError):
                self._caller.begin(lambda: self.transport.close(seconds)).exception(2 * seconds)
        self._caller.end()

    # What must be true

    def fail(self, sentence: str, promise: str | None = None, error: BaseException | None = None) -> NoReturn:
        """
        Say that a promise is broken: *promise*, or the one that is being checked.
        """
        if promise in (None, self._promise):
            raise AssertionError(f"{self._promise}: {sentence}") from error
        raise AssertionError(f"{promise}: {sentence}, while checking that {self._promise}") from error

    def require(self, is_true: bool, sentence: str, promise: str | None = None) -> None:
        if not is_true:
            self.fail(sentence, promise)

    def check_figures(self) -> Stats:
        """
        What must be true of the figures at any moment.
        """
        stats = self.stats()
        figures = _figures(stats)
        parts = sum(figures.values())
        self.require(
            stats.accepted == parts, f"{stats.accepted} accepted, but {parts} in all ({_list(figures)})", FIGURES_ADD_UP
        )
        below = [name for name, count in figures.items() if count < 0]
        self.require(not below, f"a figure is below zero ({_list(figures)})", FIGURES_ADD_UP)
        return stats

    def check_account(self) -> Stats:
        """
        What must be true when no call is under way: figures, outcomes and messages agree.
        """
        # What settles in the background is counted and told in two steps, in whichever order.
        end = monotonic() + self.manner.guard_seconds
        while (disagreement := self._disagreement()) is not None and monotonic() < end:
            time.sleep(PAUSE_SECONDS)
        self.require(disagreement is None, str(disagreement), FIGURES_ADD_UP)
        return self.check_figures()

    def check_arrivals(self, messages: Sequence[Message], *, when: str) -> None:
        """
        What must have arrived when all is settled: the repeatable at least once, and counted once; the others once, or
        not more than once where the transport said that it does not know.
        """
        # What arrived in another form is missing in its own.
        self.check_bytes()
        lost = [message for message in messages if not self.judge.applied(message) and not self._is_excused(message)]
        kinds = ", ".join(sorted({message.endpoint.value for message in lost}))
        self.require(
            not lost,
            f"{len(lost)} of {len(messages)} messages never arrived although {when} (those for {kinds})",
            NOTHING_IS_LOST,
        )
        self.check_nothing_doubled(messages)

    def check_nothing_doubled(self, messages: Sequence[Message]) -> None:
        self.check_bytes()
        single = [message for message in messages if not message.repeatable]
        for message in single:
            count = self.judge.applied(message)
            self.require(
                count <= 1,
                f"a message for {message.endpoint.value} that must not be repeated was applied {times(count)}",
                NOTHING_IS_DOUBLED,
            )

    def check_bytes(self) -> None:
        ours = [record for record in self.judge.records() if self.write.is_ours(record.data)]
        strange = [record for record in ours if not self._book.knows(record.body)]
        self.require(
            not strange, f"{messages_of(len(strange))} of {len(ours)} arrived other than they were sent", BYTES_STAY
        )

    def places_of(self, message: Message) -> tuple[str, ...]:
        return self._book.places_of(message)

    def _disagreement(self) -> str | None:
        stats = self.check_figures()
        sent, places = self._book.figures()
        settled = places.total()
        if self._book.fault is not None:
            # That it changed bytes would be the cause, and this what follows from it.
            self.check_bytes()
            self.fail(self._book.fault, OUTCOMES_ARE_TRUE)
        if stats.accepted != sent:
            return f"{messages_of(sent)} sent, but the figures say {stats.accepted} accepted"
        if settled + stats.held + stats.dropped != sent:
            return f"{messages_of(sent)} sent, but {settled} settled, {stats.held} held, {stats.dropped} dropped"
        if any(getattr(stats, place) != places[place] for place in PLACES):
            return f"the figures say {shown(stats)}, but the outcomes {_list(places)}"
        return None

    def _is_excused(self, message: Message) -> bool:
        return not message.repeatable and "unknown" in self._book.places_of(message)

    # How calls are made

    def _noted(self, outcome: Outcome) -> Outcome:
        self._book.add(outcome)
        return outcome

    def _send_seconds(self) -> float:
        return self.manner.guard_seconds + (self.manner.patience_seconds if self.manner.blocks else 0.0)

    def _call(self, name: str, call: Callable[[], _T], seconds: float, caller: Caller | None = None) -> _T:
        return self._told(name, (caller or self._caller).begin(call), seconds)

    def _told(self, name: str, future: Future[_T], seconds: float) -> _T:
        self._wait(name, future, seconds)
        if (error := future.exception()) is not None:
            self.fail(f"{name} raised {type(error).__name__}, not an outcome", WEATHER_RAISES_NOT, error)
        return future.result()

    def _wait(self, name: str, future: Future[_T], seconds: float) -> None:
        try:
            future.exception(seconds)
        except TimeoutError:
            self._is_hanging = True
            self.fail(f"{name} did not return within {seconds:g} seconds", DEADLINES_ARE_KEPT)


_FIGURES: Final = (*PLACES, "dropped", "held")


def shown(stats: Stats) -> str:
    """
    The figures in words.
    """
    return _list(_figures(stats))


def _figures(stats: Stats) -> dict[str, int]:
    return {name: getattr(stats, name) for name in _FIGURES}


def _list(figures: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in figures.items()) or "nothing"
