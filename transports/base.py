"""
What a transport is: something that takes messages and says what became of them.

Mistakes raise; weather returns an `Outcome`. *accepted = delivered + rejected + failed + unknown + dropped + held*, at
any moment, is the law that every transport obeys and `Transport.stats` shows.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self, TypeAlias, cast

from attrs import asdict, fields, frozen

from ..core import Answer, InvalidValue, Message, Outcome, Project, Request
from ..core.errors import describe

__all__ = ["NOTHING", "Ledger", "Post", "Stats", "Transport", "check_timeout", "checked"]

NOTHING: Final = Outcome()
"""What transports return that settled nothing. Making one takes longer than handing over a message."""

Post: TypeAlias = Callable[[Request], Answer]
"""What makes one request: it returns an answer or why there is none, and does not raise for weather."""


@frozen(kw_only=True)
class Stats:
    """
    The figures of a transport since it was made, in messages.

    Attributes:
        accepted: Taken by `send`; the sum of all others.
        delivered, rejected, failed, unknown: Settled, as in `Outcome`.
        dropped: Thrown away by the transport itself.
        held: Taken and not settled yet.
    """

    accepted: int = 0
    delivered: int = 0
    rejected: int = 0
    failed: int = 0
    unknown: int = 0
    dropped: int = 0
    held: int = 0

    @staticmethod
    def total(stats: Iterable[Stats]) -> Stats:
        """
        The figures of all of them together; of none, zeros.
        """
        each = [asdict(one) for one in stats]
        return Stats(**{field.name: sum(figures[field.name] for figures in each) for field in fields(Stats)})


class Ledger:
    """
    The figures of a transport while they change; safe to use from several threads.
    """

    def __init__(self) -> None:
        self.unlock()
        _LEDGERS.add(self)
        self._accepted = 0
        self._delivered = 0
        self._rejected = 0
        self._failed = 0
        self._unknown = 0
        self._dropped = 0

    def unlock(self) -> None:
        """
        Have a new lock; for a child process, in which nobody gives back what was locked at the fork.
        """
        # Reentrant: a signal handler may ask for the figures while its thread changes them.
        self._lock = threading.RLock()

    def accept(self, count: int) -> None:
        """
        So many messages were taken.
        """
        with self._lock:
            self._accepted += count

    def settle(self, outcome: Outcome) -> None:
        """
        These messages are settled.
        """
        with self._lock:
            self._delivered += len(outcome.delivered)
            self._rejected += len(outcome.rejected)
            self._failed += len(outcome.failed)
            self._unknown += len(outcome.unknown)

    def drop(self, count: int) -> None:
        """
        So many messages were thrown away.
        """
        with self._lock:
            self._dropped += count

    def throw_away(self, count: int) -> None:
        """
        So many messages were taken and thrown away at once.
        """
        with self._lock:
            self._accepted += count
            self._dropped += count

    def stats(self) -> Stats:
        """
        The figures at one moment; what was accepted and is nowhere else is held.
        """
        with self._lock:
            gone = self._delivered + self._rejected + self._failed + self._unknown + self._dropped
            return Stats(
                accepted=self._accepted,
                delivered=self._delivered,
                rejected=self._rejected,
                failed=self._failed,
                unknown=self._unknown,
                dropped=self._dropped,
                held=self._accepted - gone,
            )


_LEDGERS: Final[weakref.WeakSet[Ledger]] = weakref.WeakSet()


def _unlock_all() -> None:
    for ledger in tuple(_LEDGERS):
        ledger.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)


def checked(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """
    The messages, if that is what they are.

    Raises:
        InvalidValue: If one of them is something else.
    """
    for message in messages:
        if type(message) is not Message:
            index = next(index for index, each in enumerate(messages) if each is message)
            found = describe(cast("object", message))
            raise InvalidValue(f"messages[{index}]", "a Message, as encode(operation, project) gives it", found)
    return messages


def check_timeout(timeout: float | None, allowed: str = "a number of seconds, or None") -> None:
    """
    Refuse what is no time to wait.

    Raises:
        InvalidValue: If it is no number, or none that a clock could reach; infinity is fine.
    """
    found = cast("object", timeout)
    if type(found) is int:
        # A float has no room for it.
        if found.bit_length() > 64:
            raise InvalidValue("timeout", allowed, f"an int of {found.bit_length():,} bits")
    elif found is not None and (type(found) is not float or math.isnan(found)):
        raise InvalidValue("timeout", allowed, describe(found))


class Transport(ABC):
    """
    The contract. As a context manager, leaving it drains and closes it.

    Attributes:
        settled_in_background: What to call with an outcome that no call of `send`, `flush` or `close` returned, from
            whichever thread settled it. So each message that is settled is reported exactly once, there or here. For
            transports that wrap others; users have `on_outcome`.
        delivers_for: The projects whose servers and credentials it uses, where it knows them; it must be given no
            messages of others.
    """

    settled_in_background: Callable[[Outcome], None] | None = None
    delivers_for: tuple[Project, ...] = ()

    @abstractmethod
    def send(self, *messages: Message) -> Outcome:
        """
        Take *messages*, in order.

        Returns what is already settled: everything for a transport that delivers at once, nothing for one that holds.
        Never raises for weather. After `close` the messages come back as failed.

        Raises:
            InvalidValue: If something is no message; nothing is taken then.
        """

    @abstractmethod
    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Settle what is held, and return what became settled; give up waiting after *timeout* seconds.
        """

    @abstractmethod
    def close(self, timeout: float | None = None) -> Outcome:
        """
        Flush, then give back what the transport has open. May be called again.
        """

    @abstractmethod
    def stats(self) -> Stats:
        """
        The figures so far.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
