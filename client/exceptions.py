"""
What is raised when messages were not delivered.
"""

from __future__ import annotations

from typing import Final

from .core import Failed, Message, MixwireError, Outcome, Rejected, Unknown

__all__ = ["MixpanelException"]

_NOTHING: Final = Outcome()
_MAX_TOLD: Final = 5
"""How many reasons a sentence may name; `MixpanelException.reasons` has them all."""


class MixpanelException(MixwireError):
    """
    Messages were not delivered, or a consumer was given an unknown endpoint or a text that is no message. A mistake in
    another argument raises `InvalidValue` instead.

    Attributes:
        outcome: What became of all that the call sent: delivered, rejected, failed, unknown.
        message: From `BufferedConsumer.flush`: what was not delivered to `endpoint`, as the text of a JSON list that
            ``send`` takes again. Else None.
        endpoint: ``events``, ``people``, ``groups`` or ``imports`` where there is a `message`, else None.
    """

    def __init__(
        self, *args: object, outcome: Outcome = _NOTHING, message: str | None = None, endpoint: str | None = None
    ) -> None:
        super().__init__(*args)
        self.outcome = outcome
        self.message = message
        self.endpoint = endpoint

    @property
    def status(self) -> int | None:
        """
        The HTTP status that the first of `records` with an answer got; None if there was no answer.
        """
        return next((each.status for each in self._entries() if each.status is not None), None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """
        Why, each reason once: what the server said, or what went wrong on the way.
        """
        return tuple(dict.fromkeys(map(_reason, self._entries())))

    @property
    def records(self) -> tuple[Message, ...]:
        """
        The messages that were not delivered: the rejected, the failed, the unknown ones.
        """
        return tuple(each.message for each in self._entries())

    def __str__(self) -> str:
        if self.args or not self._entries():
            return super().__str__()
        return f"{len(self.records):,} of {len(self.outcome):,} not delivered; " + _some(self.reasons)

    def __repr__(self) -> str:
        if self.args or not self._entries():
            return super().__repr__()
        return f"{type(self).__name__}({str(self)!r})"

    def _entries(self) -> tuple[Rejected | Failed | Unknown, ...]:
        return (*self.outcome.rejected, *self.outcome.failed, *self.outcome.unknown)


def _some(reasons: tuple[str, ...]) -> str:
    more = len(reasons) - _MAX_TOLD
    return "; ".join(reasons[:_MAX_TOLD]) + (f"; and {more:,} other reasons" if more > 0 else "")


def _reason(entry: Rejected | Failed | Unknown) -> str:
    if isinstance(entry, Rejected):
        return f"rejected: {entry.field}: {entry.reason}" if entry.field else f"rejected: {entry.reason}"
    place = "failed" if isinstance(entry, Failed) else "unknown, perhaps applied"
    said = [entry.detail] if entry.detail else []
    # Another transport may know the status and not have said it.
    if entry.status is not None and f"HTTP {entry.status}" not in entry.detail:
        said.append(f"HTTP {entry.status}")
    return f"{place}: {entry.cause.value}" + (f" ({'; '.join(said)})" if said else "")
