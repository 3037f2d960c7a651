"""
Write messages to a log instead of sending them.
"""

from __future__ import annotations

import logging
from typing import Final, cast

import orjson

from ..core import Cause, Failed, InvalidValue, Message, Outcome
from ..core.errors import describe
from .base import Ledger, Stats, Transport, checked

__all__ = ["LoggingTransport", "level_of"]

_LOGGER: Final = "mixwire.messages"


class LoggingTransport(Transport):
    """
    Writes one line for each message to a logger, and counts it as delivered.

    A line holds the endpoint, the size and the kind of message. What users did is personal data, so the message itself
    is written only on request, and the token never.

    Args:
        logger: The logger, or its name.
        level: The level of the lines, or its name, such as ``debug``.
        include_body: Whether to write the JSON of each message, without its token.

    Raises:
        InvalidValue: If there is no such level.
    """

    def __init__(
        self, logger: logging.Logger | str = _LOGGER, *, level: int | str = logging.INFO, include_body: bool = False
    ) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level_of(level)
        self._include_body = include_body
        self._ledger = Ledger()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        self._ledger.accept(len(checked(messages)))
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


def level_of(level: int | str) -> int:
    """
    The number of a level that is given as such or by its name.
    """
    names = logging.getLevelNamesMapping()
    if isinstance(level, str) and level.upper() in names:
        return names[level.upper()]
    if type(level) is not int:
        allowed = "the number of a level, or one of the names " + ", ".join(map(repr, sorted(names)))
        raise InvalidValue("level", allowed, "another name" if isinstance(level, str) else describe(level))
    return level


def _without_token(message: Message) -> str:
    record = message.to_wire()
    record.pop("$token", None)
    properties = record.get("properties")
    if isinstance(properties, dict):
        cast("dict[str, object]", properties).pop("token", None)
    return orjson.dumps(record).decode()
