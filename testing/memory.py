"""
Keep messages in memory, for assertions.
"""

from __future__ import annotations

from collections import deque

from attrs import field, frozen

from ..core import Cause, Failed, InvalidValue, Message, Outcome, Project
from ..core.errors import describe
from ..transports.base import Ledger, Stats, Transport, checked

__all__ = ["Memory", "MemoryTransport"]


class MemoryTransport(Transport):
    """
    Keeps every message, in order, and counts it as delivered; safe to use from several threads.

    Args:
        max_messages: How many to keep, the newest ones; None for all.
    """

    def __init__(self, *, max_messages: int | None = None) -> None:
        self._messages: deque[Message] = deque(maxlen=_count(max_messages))
        self._ledger = Ledger()
        self._is_closed = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """
        What was sent and is kept, the oldest first; also after `close`.
        """
        while True:
            try:
                return tuple(self._messages)
            except RuntimeError:
                continue  # Another thread just sent something.

    def clear(self) -> None:
        """
        Forget the messages; the figures stay.
        """
        self._messages.clear()

    def send(self, *messages: Message) -> Outcome:
        self._ledger.accept(len(checked(messages)))
        # Without a lock, which a signal handler would wait for, and a child process for ever.
        if is_open := not self._is_closed:
            self._messages.extend(messages)
        if is_open:
            outcome = Outcome(delivered=messages)
        else:
            outcome = Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))
        self._ledger.settle(outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Nothing is ever held: the empty outcome.
        """
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Take no more: the empty outcome. The messages can still be looked at.
        """
        self._is_closed = True
        return Outcome()

    def stats(self) -> Stats:
        return self._ledger.stats()


def _count(value: int | None) -> int | None:
    if value is not None and type(value) is not int:
        raise InvalidValue("max_messages", "an int or None", describe(value))
    if value is not None and value < 1:
        raise InvalidValue("max_messages", "at least 1", str(value))
    return value


@frozen(kw_only=True)
class Memory:
    """
    A `MemoryTransport` as data, with the tag ``memory``.
    """

    max_messages: int | None = field(default=None, converter=_count)

    def build(self, project: Project) -> MemoryTransport:
        """
        A transport of its own for each call.
        """
        return MemoryTransport(max_messages=self.max_messages)
