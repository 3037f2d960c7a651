"""
Give to the next transport what failed at one.
"""

from __future__ import annotations

import os
from functools import partial

from attrs import evolve

from ..core import Cause, Failed, Message, Outcome
from .base import Ledger, Stats, Transport, checked
from .members import as_members, countdown, projects_of

__all__ = ["FallbackTransport"]


class FallbackTransport(Transport):
    """
    Tries its transports in order: what failed at one, and so was certainly not applied, goes to the next.

    What was rejected would be rejected again, and what is unknown may have been applied: neither goes on. Each message
    ends in one place: where the last transport that got it put it.

    Order is not kept across the fallback: a later message may be delivered by the first transport while an earlier one
    waits in the second. Where the order of profile updates or identities counts, use one transport that holds what it
    cannot deliver.

    Args:
        transports: At least one. They belong to the fallback, which closes them. Where one of them settles messages in
            the background, what failed there is sent to the next one from its thread.
    """

    def __init__(self, *transports: Transport) -> None:
        self._transports = as_members(transports)
        self.delivers_for = projects_of(transports)
        self._pid = os.getpid()
        self._ledger = Ledger()
        self._is_closed = False
        for index, transport in enumerate(transports):
            transport.settled_in_background = partial(self._settle_in_background, index)
        self._dropped_before = self._dropped()

    @property
    def transports(self) -> tuple[Transport, ...]:
        """
        What it gives the messages to, in this order.
        """
        return self._transports

    def send(self, *messages: Message) -> Outcome:
        checked(messages)
        self._look_for_fork()
        self._ledger.accept(len(messages))
        if self._is_closed:
            outcome = Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))
        else:
            outcome = self._send(messages, 0)
        self._ledger.settle(outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Flush all of them, one after the other; *timeout* is for all together, beside what a later one needs to take
        what failed.
        """
        self._look_for_fork()
        remaining = countdown(timeout)
        outcomes: list[Outcome] = []
        for index, transport in enumerate(self._transports):
            outcomes.append(self._handed_on(transport.flush(remaining()), index))
        return self._settled(outcomes)

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Close all of them, one after the other; *timeout* is for all together. What fails while one is closed still goes
        to the next.
        """
        self._is_closed = True
        self._look_for_fork()
        remaining = countdown(timeout)
        outcomes: list[Outcome] = []
        for index, transport in enumerate(self._transports):
            outcomes.append(self._handed_on(transport.close(remaining()), index))
        return self._settled(outcomes)

    def stats(self) -> Stats:
        self._look_for_fork()
        # In this order: what a member dropped was accepted here before, so that no figure can become negative.
        dropped = self._dropped() - self._dropped_before
        stats = self._ledger.stats()
        return evolve(stats, dropped=dropped, held=stats.held - dropped)

    def _look_for_fork(self) -> None:
        """
        In a child process, begin anew: what the parent holds is the parent's.
        """
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._ledger = Ledger()
        # Members may notice the fork no earlier than they are used.
        for transport in self._transports:
            transport.send()
        self._dropped_before = self._dropped()

    def _dropped(self) -> int:
        return sum(transport.stats().dropped for transport in self._transports)

    def _send(self, messages: tuple[Message, ...], index: int) -> Outcome:
        return self._handed_on(self._transports[index].send(*messages), index)

    def _handed_on(self, outcome: Outcome, index: int) -> Outcome:
        """
        What became of the messages of *outcome*, which the member at *index* settled, after the members behind it.
        """
        behind = index + 1
        if not outcome.failed or behind == len(self._transports):
            return outcome
        failed = tuple(each.message for each in outcome.failed)
        return evolve(outcome, failed=()) + self._send(failed, behind)

    def _settle_in_background(self, index: int, outcome: Outcome) -> None:
        outcome = self._settled([self._handed_on(outcome, index)])
        if self.settled_in_background is not None and len(outcome):
            self.settled_in_background(outcome)

    def _settled(self, outcomes: list[Outcome]) -> Outcome:
        outcome = Outcome.total(outcomes)
        self._ledger.settle(outcome)
        return outcome
