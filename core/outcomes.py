"""
What became of messages: an `Outcome` is a partition of what went in.

=============  ===================================================================
delivered      the server said that it took them
rejected       the server will never take them; it said which and why
failed         certainly not applied; sending them again is safe
unknown        perhaps applied: the request went out and no clear answer came back
=============  ===================================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import chain

from attrs import field as attrs_field
from attrs import frozen

from .messages import Message

__all__ = ["Cause", "Failed", "Outcome", "Rejected", "Unknown"]


class Cause(Enum):
    """
    Why messages failed or are unknown; what an operator would search for.
    """

    NOT_REACHED = "the server was not reached"
    ANSWER_LOST = "the answer was lost"
    ANSWER_UNREADABLE = "the answer could not be understood"
    COUNT_MISMATCH = "the server counted another number of records"
    RATE_LIMITED = "the project's rate limit was exceeded"
    SERVER_ERROR = "the server had an error"
    CREDENTIALS = "the credentials were refused"
    WRONG_SERVER = "the server does not take this request"
    REFUSED_TOGETHER = "the server refused records without saying which"
    NOT_TRIED = "an earlier request of the same delivery failed"
    GIVEN_UP = "the delivery was given up"
    CLOSED = "the transport had been closed"
    NOT_STORED = "the spool did not take it"


@frozen
class Rejected:
    """
    A message that the server will never take.

    Attributes:
        message: The message.
        reason: The status, and at most 200 printable ASCII characters of what the server said.
        field: The field that it named, or the empty string.
        status: The HTTP status of the answer; None if another transport told of none. Says nothing new about the
            message, so it does not count when two are compared.
    """

    message: Message
    reason: str
    field: str = ""
    status: int | None = attrs_field(default=None, eq=False)


@frozen
class Failed:
    """
    A message that was certainly not applied; `status` is that of the last answer, or None if there was none.
    """

    message: Message
    cause: Cause
    detail: str = ""
    status: int | None = attrs_field(default=None, eq=False)


@frozen
class Unknown:
    """
    A message that may have been applied; `status` is that of the answer that left it in doubt, or None without one.
    """

    message: Message
    cause: Cause
    detail: str = ""
    status: int | None = attrs_field(default=None, eq=False)


@frozen(kw_only=True, repr=False)
class Outcome:
    """
    What became of some messages, each in exactly one of four places. Outcomes add up with ``+``.

    Attributes:
        delivered, rejected, failed, unknown: See the module.
        notes: Remarks for an operator that change nothing about the messages.
    """

    delivered: tuple[Message, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    failed: tuple[Failed, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome.total((self, other))

    @staticmethod
    def total(outcomes: Iterable[Outcome]) -> Outcome:
        """
        All of *outcomes* as one; of none, the empty outcome.
        """
        each = tuple(outcomes)
        return Outcome(
            delivered=tuple(chain.from_iterable(outcome.delivered for outcome in each)),
            rejected=tuple(chain.from_iterable(outcome.rejected for outcome in each)),
            failed=tuple(chain.from_iterable(outcome.failed for outcome in each)),
            unknown=tuple(chain.from_iterable(outcome.unknown for outcome in each)),
            notes=tuple(chain.from_iterable(outcome.notes for outcome in each)),
        )

    @property
    def is_success(self) -> bool:
        """
        Whether everything was delivered; so for an empty outcome.
        """
        return not (self.rejected or self.failed or self.unknown)

    def messages(self) -> tuple[Message, ...]:
        """
        Everything that went in, place by place.
        """
        settled: tuple[Rejected | Failed | Unknown, ...] = (*self.rejected, *self.failed, *self.unknown)
        return self.delivered + tuple(each.message for each in settled)

    def __len__(self) -> int:
        return len(self.delivered) + len(self.rejected) + len(self.failed) + len(self.unknown)

    def __bool__(self) -> bool:
        # An outcome of nothing is still an outcome.
        return True

    def __repr__(self) -> str:
        return (
            f"Outcome(delivered={len(self.delivered)}, rejected={len(self.rejected)}, "
            f"failed={len(self.failed)}, unknown={len(self.unknown)})"
        )
