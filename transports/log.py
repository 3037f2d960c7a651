"""
Write messages to a log instead of sending them.
"""

from __future__ import annotations

import logging
from typing import Final, cast

import orjson

from ..core import Cause, Failed, Message, Outcome
from .base import Ledger, Stats, Transport

__all__ = ["LoggingTransport"]

_LOGGER: Final = "mixwire.messages"


class LoggingTransport(Transport):
    """
    Writes one line for each message to a logger, and counts it as delivered.

    A line holds the endpoint, the size and the kind of message. What users did is personal data, so the message itself
    is written only on request, and the token never.

    Args:
        logger: The logger, or its name.
        level: The level of the lines.
        include_body: Whether to write the JSON of each message, without its token.
    """

    def __init__(
        self, logger: logging.Logger | str = _LOGGER, *, level: int = logging.INFO, include_body: bool = False
    ) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level
        self._include_body = include_body
        self._ledger = Ledger()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        self._ledger.accept(len(messages))
        if self._is_closed:
            outcome = Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))
        else:
            for message in messages:
                self._write(message)
            outcome = Outcome(delivered=messages)
        self._ledger.settle(outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Nothing is ever held: the empty outcome.
        """
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        The logger stays open, it is not ours: the empty outcome.
        """
        self._is_closed = True
        return Outcome()

    def stats(self) -> Stats:
        return self._ledger.stats()

    def _write(self, message: Message) -> None:
        if not self._logger.isEnabledFor(self._level):
            return
        name, size = message.endpoint.name.lower(), len(message.body)
        if self._include_body:
            self._logger.log(self._level, "%s %s", name, _without_token(message))
        else:
            kind = "repeatable" if message.repeatable else "not repeatable"
            self._logger.log(self._level, "%s, %d bytes, %s", name, size, kind)


def _without_token(message: Message) -> str:
    record = message.to_wire()
    record.pop("$token", None)
    properties = record.get("properties")
    if isinstance(properties, dict):
        cast("dict[str, object]", properties).pop("token", None)
    return orjson.dumps(record).decode()
