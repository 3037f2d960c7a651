"""
Deliver at once, in the caller's thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from ..core import (
    Batch,
    BatchLimits,
    Cause,
    Delivery,
    Endpoint,
    Failed,
    InvalidValue,
    Message,
    Outcome,
    Project,
    RetryPolicy,
    pack,
    route,
)
from .base import Ledger, Post, Stats, Transport
from .drive import drive
from .network import Network

__all__ = ["SyncTransport"]

_ORDERED: Final = frozenset({Endpoint.ENGAGE, Endpoint.GROUPS})


class SyncTransport(Transport):
    """
    Delivers messages while the caller waits, and says at once what became of each.

    Several messages given to one `send` share requests. When a batch of profile updates is not settled, the later ones
    of the same call are not tried, so that sending it again cannot undo newer ones; when an alias, identify or merge is
    not settled, nothing after it is tried. An event that was too old for /track comes back as the message for /import
    that it was sent as.

    Args:
        project: Whose data it is and where it goes.
        retry: How hard to try.
        limits: How much one request may hold.
        deadline_seconds: How long one call of `send` may take in all; None for as long as the tries need. The last
            request may still take its own timeout.
        post: What makes the requests; by default a `Network`, which is closed with the transport.
        now: The time in milliseconds since 1970: decides whether an event is too old for /track.
        sleep, pick: How to wait, and how to choose a number from a range.
    """

    def __init__(
        self,
        project: Project,
        *,
        retry: RetryPolicy | None = None,
        limits: BatchLimits | None = None,
        deadline_seconds: float | None = 30.0,
        post: Post | None = None,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], None] = time.sleep,
        pick: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if type(project) is not Project:
            raise InvalidValue("project", "Project(...)", type(project).__name__)
        if deadline_seconds is not None and not deadline_seconds > 0:
            raise InvalidValue("deadline_seconds", "more than 0, or None", "0 or less")
        self._project = project
        self._retry = retry if retry is not None else RetryPolicy()
        self._limits = limits if limits is not None else BatchLimits()
        self._deadline_seconds = deadline_seconds
        self._network = Network() if post is None else None
        self._post: Post = post if self._network is None else self._network  # type: ignore[assignment]
        self._now = now
        self._sleep = sleep
        self._pick = pick
        self._ledger = Ledger()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        self._ledger.accept(len(messages))
        outcome = self._closed(messages) if self._is_closed else self._deliver(messages)
        self._ledger.settle(outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Nothing is ever held: the empty outcome.
        """
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Close the connections: the empty outcome.
        """
        self._is_closed = True
        if self._network is not None:
            self._network.close()
        return Outcome()

    def stats(self) -> Stats:
        return self._ledger.stats()

    def _closed(self, messages: tuple[Message, ...]) -> Outcome:
        return Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))

    def _deliver(self, messages: tuple[Message, ...]) -> Outcome:
        now = self._now()
        end = None if self._deadline_seconds is None else time.monotonic() + self._deadline_seconds
        outcomes: list[Outcome] = []
        halted: set[Endpoint] = set()
        for batch in pack([route(message, now) for message in messages], self._limits):
            if batch.endpoint in halted:
                outcomes.append(_not_tried(batch))
                continue
            outcome = drive(
                Delivery(batch, self._project, self._retry),
                self._post,
                sleep=self._sleep,
                pick=self._pick,
                remaining_seconds=lambda: float("inf") if end is None else end - time.monotonic(),
            )
            outcomes.append(outcome)
            if batch.messages[0].barrier and (outcome.failed or outcome.unknown):
                halted.update(Endpoint)
            elif batch.endpoint in _ORDERED and (outcome.failed or (outcome.unknown and batch.repeatable)):
                halted.add(batch.endpoint)
        return Outcome.total(outcomes)


def _not_tried(batch: Batch) -> Outcome:
    detail = "an earlier message that must come first was not delivered"
    return Outcome(failed=tuple(Failed(message, Cause.NOT_TRIED, detail) for message in batch.messages))
