"""
Messages that share one request: `pack` cuts a stream of messages into batches.

A batch holds messages of one endpoint, either all repeatable or none, because a request is sent again as a whole or not
at all. An alias, identify or merge travels alone, and nothing is packed across it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import field, frozen

from .errors import InvalidValue, LimitExceeded, describe
from .limits import BATCH_BYTES, BATCH_BYTES_CEILING, BATCH_MESSAGES, Limit
from .messages import Endpoint, Message

__all__ = ["Batch", "BatchLimits", "pack"]


def _within(value: int, path: str, ceiling: Limit) -> int:
    if type(value) is not int:
        raise InvalidValue(path, "an int", describe(value))
    if value < 1:
        raise InvalidValue(path, "at least 1", str(value))
    if value > ceiling.maximum:
        raise LimitExceeded(path, ceiling, value)
    return value


def _max_messages(value: int) -> int:
    return _within(value, "max_messages", BATCH_MESSAGES)


def _max_bytes(value: int) -> int:
    return _within(value, "max_bytes", BATCH_BYTES_CEILING)


@frozen(kw_only=True)
class BatchLimits:
    """
    How much one request may hold.

    Attributes:
        max_messages: From 1 to 2,000.
        max_bytes: Of the uncompressed body, from 1 to 10,000,000; a larger single message travels alone.
    """

    max_messages: int = field(default=BATCH_MESSAGES.maximum, converter=_max_messages)
    max_bytes: int = field(default=BATCH_BYTES.maximum, converter=_max_bytes)


def _uniform(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not messages:
        raise InvalidValue("messages", "at least one message", "none")
    first = messages[0]
    if len(messages) > 1:
        endpoint, repeatable = first.endpoint, first.repeatable
        for message in messages:
            if message.endpoint is not endpoint or message.repeatable is not repeatable or message.barrier:
                raise InvalidValue("messages", "of one endpoint and one repeatability, without barriers", "a mixture")
    return messages


@frozen
class Batch:
    """
    Messages that share one request, in order.

    Attributes:
        messages: At least one; of one endpoint and one repeatability.
    """

    messages: tuple[Message, ...] = field(converter=_uniform)

    @property
    def endpoint(self) -> Endpoint:
        """
        Where all the messages belong.
        """
        return self.messages[0].endpoint

    @property
    def repeatable(self) -> bool:
        """
        Whether the batch may be sent again when nobody knows if it arrived.
        """
        return self.messages[0].repeatable

    @property
    def body(self) -> bytes:
        """
        The JSON array of the messages.
        """
        return b"[" + b",".join([message.body for message in self.messages]) + b"]"

    @property
    def size(self) -> int:
        """
        The length of the body in bytes.
        """
        return sum(len(message.body) + 1 for message in self.messages) + 1

    def halves(self) -> tuple[Batch, ...]:
        """
        The batch as two of half the size, in order; a batch of one as it is.
        """
        middle = len(self.messages) // 2
        if middle == 0:
            return (self,)
        return Batch(self.messages[:middle]), Batch(self.messages[middle:])

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"Batch({self.endpoint.name}, {len(self)} messages, {self.size} bytes)"


_DEFAULT_LIMITS: Final = BatchLimits()


def pack(messages: Iterable[Message], limits: BatchLimits = _DEFAULT_LIMITS) -> tuple[Batch, ...]:
    """
    The messages as batches to be sent one after the other.

    Messages of one endpoint keep their order, also relative to every alias, identify and merge. Between two of those,
    each endpoint's messages are gathered, so that alternating events and updates do not travel one by one.
    """
    batches: list[Batch] = []
    lanes: dict[Endpoint, list[Message]] = {}
    for message in messages:
        if message.barrier:
            _cut_lanes(lanes, limits, batches)
            lanes = {}
            batches.append(Batch((message,)))
        else:
            lanes.setdefault(message.endpoint, []).append(message)
    _cut_lanes(lanes, limits, batches)
    return tuple(batches)


def _cut_lanes(lanes: dict[Endpoint, list[Message]], limits: BatchLimits, batches: list[Batch]) -> None:
    for lane in lanes.values():
        start, size = 0, 1
        for index, message in enumerate(lane):
            size += len(message.body) + 1
            if index > start and (
                size > limits.max_bytes
                or index - start == limits.max_messages
                or message.repeatable is not lane[start].repeatable
            ):
                batches.append(Batch(tuple(lane[start:index])))
                start, size = index, len(message.body) + 2
        batches.append(Batch(tuple(lane[start:])))
