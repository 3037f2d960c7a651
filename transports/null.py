"""
Throw messages away.
"""

from __future__ import annotations

from ..core import Cause, Failed, Message, Outcome
from .base import NOTHING, Ledger, Stats, Transport, checked

__all__ = ["NullTransport"]


class NullTransport(Transport):
    """
    Takes messages and throws them away: nothing is delivered, nothing is held, all of it is counted as dropped.
    """

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        checked(messages)
        if not self._is_closed:
            self._ledger.throw_away(len(messages))
            return NOTHING
        self._ledger.accept(len(messages))
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
        Nothing is open: the empty outcome.
        """
        self._is_closed = True
        return Outcome()

    def stats(self) -> Stats:
        return self._ledger.stats()
