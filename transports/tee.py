"""
Give each message to several transports.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core import Message, Outcome
from .base import Stats, Transport, checked
from .members import as_members, countdown, projects_of
from .reports import Reporter

__all__ = ["TeeTransport"]


class TeeTransport(Transport):
    """
    Gives each message to every one of its transports, in order.

    What became of a message is said once, by the first transport: outcomes, figures and exceptions are those of the
    first. The others' figures are at `transports`. What one of the others raises is logged, and keeps nobody from
    getting the message.

    Args:
        transports: At least one. They belong to the tee, which closes them.
    """

    def __init__(self, *transports: Transport) -> None:
        self._transports = as_members(transports)
        self.delivers_for = projects_of(transports)
        self._reporter = Reporter()
        transports[0].settled_in_background = self._pass_on

    @property
    def transports(self) -> tuple[Transport, ...]:
        """
        What it gives the messages to; the first one speaks for all.
        """
        return self._transports

    def send(self, *messages: Message) -> Outcome:
        checked(messages)
        return self._each(lambda transport: transport.send(*messages))

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Flush all of them, one after the other; *timeout* is for all together.
        """
        remaining = countdown(timeout)
        return self._each(lambda transport: transport.flush(remaining()))

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Close all of them, one after the other; *timeout* is for all together.
        """
        remaining = countdown(timeout)
        return self._each(lambda transport: transport.close(remaining()))

    def stats(self) -> Stats:
        return self._transports[0].stats()

    def _each(self, step: Callable[[Transport], Outcome]) -> Outcome:
        first, *others = self._transports
        try:
            return step(first)
        finally:
            for transport in others:
                try:
                    step(transport)
                except Exception as error:  # noqa: BLE001  # the first transport alone speaks for the message
                    detail = f"{type(transport).__name__} raised {type(error).__name__}"
                    self._reporter.tell("a transport behind a tee raised an exception", detail)

    def _pass_on(self, outcome: Outcome) -> None:
        if self.settled_in_background is not None:
            self.settled_in_background(outcome)
