"""
Deliver at once, in the caller's thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
    Unknown,
    pack,
    route,
)
from ..core.limits import BATCH_BYTES, BATCH_MESSAGES
from .base import Ledger, Post, Stats, Transport, checked
from .dead_letters import DeadLetters
from .drive import drive
from .listeners import OnOutcome
from .reports import Reporter

if TYPE_CHECKING:
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
        max_tries: How often one batch is posted, at least once; None for as long as it takes.
        at_least_once: Whether a batch that counts twice when applied twice is posted again although it may have been
            applied. Off: such a batch is then unknown.
        max_messages: How many messages one request may hold, from 1 to 2,000.
        max_bytes: How many bytes the uncompressed body of a request may have, from 1 to 10,000,000; a larger single
            message travels alone.
        deadline_seconds: How long one call of `send` may take in all; None for as long as the tries need. The last
            request may still take its own timeout.
        connect_timeout_seconds, request_timeout_seconds, compress, ca_file: See `Network`.
        dead_letters: A directory to keep rejected messages in, each with its reason.
        on_outcome: Told what became of the messages, after each `send` of at least one, in the caller's thread. An
            exception in it is logged and goes no further.
        post: What makes the requests, instead of a `Network`; the four settings of that have then no effect.
        now: The time in milliseconds since 1970: decides whether an event is too old for /track.
        sleep, pick: How to wait, and how to choose a number from a range.

    Raises:
        InvalidValue: If a setting is not what it should be.
    """

    def __init__(
        self,
        project: Project,
        *,
        max_tries: int | None = 5,
        at_least_once: bool = False,
        max_messages: int = BATCH_MESSAGES.maximum,
        max_bytes: int = BATCH_BYTES.maximum,
        deadline_seconds: float | None = 30.0,
        connect_timeout_seconds: float = 5.0,
        request_timeout_seconds: float = 30.0,
        compress: bool = True,
        ca_file: str | Path | None = None,
        dead_letters: str | Path | None = None,
        on_outcome: OnOutcome | None = None,
        post: Post | None = None,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], None] = time.sleep,
        pick: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if type(project) is not Project:
            raise InvalidValue("project", "Project(...)", type(project).__name__)
        if deadline_seconds is not None and not deadline_seconds > 0:
            raise InvalidValue("deadline_seconds", "more than 0, or None", f"{deadline_seconds:g}")
        self._project = project
        self.delivers_for = (project,)
        self._retry = RetryPolicy(max_tries=max_tries, at_least_once=at_least_once)
        self._limits = BatchLimits(max_messages=max_messages, max_bytes=max_bytes)
        self._deadline_seconds = deadline_seconds
        self._network: Network | None = None
        if post is None:
            # Only who makes requests pays for loading what they take.
            from .network import Network

            post = self._network = Network(
                connect_timeout_seconds=connect_timeout_seconds,
                request_timeout_seconds=request_timeout_seconds,
                compress=compress,
                ca_file=None if ca_file is None else str(ca_file),
            )
        self._post = post
        self._reporter = Reporter()
        self._dead_letters = None if dead_letters is None else DeadLetters(dead_letters, project, self._reporter)
        self._on_outcome = on_outcome
        self._now = now
        self._sleep = sleep
        self._pick = pick
        self._ledger = Ledger()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        self._ledger.accept(len(checked(messages)))
        try:
            outcome = self._closed(messages) if self._is_closed else self._deliver(messages)
        except BaseException:
            # Interrupted: nothing is held here, so it is unknown.
            detail = "the call was interrupted"
            unknown = tuple(Unknown(message, Cause.ANSWER_LOST, detail) for message in messages)
            self._ledger.settle(Outcome(unknown=unknown))
            raise
        self._ledger.settle(outcome)
        if outcome.rejected and self._dead_letters is not None:
            self._dead_letters.keep(outcome.rejected)
        if self._on_outcome is not None and messages:
            self._tell(self._on_outcome, outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Nothing is ever held: the empty outcome.
        """
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Close the connections and the dead letters: the empty outcome.
        """
        self._is_closed = True
        if self._network is not None:
            self._network.close()
        if self._dead_letters is not None:
            self._dead_letters.close()
        return Outcome()

    def stats(self) -> Stats:
        return self._ledger.stats()

    def _closed(self, messages: tuple[Message, ...]) -> Outcome:
        return Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))

    def _tell(self, listen: OnOutcome, outcome: Outcome) -> None:
        try:
            listen(outcome)
        except Exception as error:  # noqa: BLE001  # the messages are settled, whatever the listener does
            self._reporter.tell(f"on_outcome raised {type(error).__name__}")

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
