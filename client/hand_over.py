"""
A consumer of the caller's as a transport: `ConsumerTransport`.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

from .core import Cause, Endpoint, Failed, InvalidValue, Message, Outcome
from .core.errors import describe
from .transports.base import Ledger, Stats, Transport, checked

__all__ = ["ENDPOINTS", "ConsumerTransport", "counts", "takes_utf8"]

ENDPOINTS: Final = {
    "events": Endpoint.TRACK,
    "people": Endpoint.ENGAGE,
    "groups": Endpoint.GROUPS,
    "imports": Endpoint.IMPORT,
}
"""What consumers call the endpoints."""

_NAMES: Final = {endpoint: name for name, endpoint in ENDPOINTS.items()}
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_ALLOWED: Final = "an object with send(endpoint, json_message, api_key=None)"


_MARK: Final = "takes_utf8"
_COUNTS: Final = "counts"

_Method = TypeVar("_Method", bound=Callable[..., object])


def takes_utf8(send: _Method) -> _Method:
    """
    Marks a ``send`` that takes any text; others are given ASCII.
    """
    setattr(send, _MARK, True)
    return send


def counts(stats: _Method) -> _Method:
    """
    Marks a ``stats`` that knows what became of all that a `takes_utf8` was given.
    """
    setattr(stats, _COUNTS, True)
    return stats


class ConsumerTransport(Transport):
    """
    Hands each message to a consumer, as the name of its endpoint and a str of JSON, and counts it as delivered. One of
    ours is asked for its own figures instead, in which is also what others gave it.

    What the consumer raises goes through to the caller; what it returns is not looked at.

    Args:
        consumer: Any object with ``send(endpoint, json_message, api_key=None)``, or with the first two only.

    Raises:
        InvalidValue: If it is something else.
    """

    def __init__(self, consumer: object) -> None:
        self._consumer = consumer
        self._send, self._most, self._least = _send_of(consumer)
        is_ours = getattr(self._send, _MARK, False) is True
        self._text = bytes.decode if is_ours else _ascii
        stats: Callable[[], Stats] | None = getattr(consumer, "stats", None)
        self._figures = stats if is_ours and getattr(stats, _COUNTS, False) is True else None
        self._ledger = Ledger()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        """
        Hand over *messages*, in order.
        """
        return self.send_with(messages, (None, None))

    def send_with(self, messages: tuple[Message, ...], keys: tuple[str | None, str | None]) -> Outcome:
        """
        Hand over *messages*; a consumer of three arguments gets *keys*, API key and secret, with those for /import.
        """
        checked(messages)
        if self._is_closed:
            self._ledger.accept(len(messages))
            outcome = Outcome(failed=tuple(Failed(message, Cause.CLOSED) for message in messages))
            self._ledger.settle(outcome)
            return outcome
        for message in messages:
            name, text = _NAMES[message.endpoint], self._text(message.body)
            if message.endpoint is Endpoint.IMPORT and self._most == 3:
                self._send(name, text, keys)
            elif self._least == 3:
                self._send(name, text, None)
            else:
                self._send(name, text)
            if self._figures is None:
                self._ledger.accept(1)
                self._ledger.settle(Outcome(delivered=(message,)))
        return Outcome(delivered=messages)

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Call ``flush()`` of the consumer, if it has one, with the *timeout* if it takes one: the empty outcome.
        """
        flush = getattr(self._consumer, "flush", None)
        if callable(flush):
            flush() if timeout is None or not _takes_timeout(flush) else flush(timeout=timeout)
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Call ``flush()`` of the consumer, if it has one, and hand over no more: the empty outcome. The consumer stays
        open: it is the caller's, and may serve others.
        """
        if not self._is_closed:
            self._is_closed = True
            self.flush(timeout)
        return Outcome()

    def stats(self) -> Stats:
        stats = self._ledger.stats()
        return stats if self._figures is None else Stats.total((stats, self._figures()))


def _ascii(body: bytes) -> str:
    """
    The JSON with each character beyond ASCII escaped: consumers write to files and queues of any encoding, and the
    official client gives them no others.
    """
    text = body.decode()
    return text if text.isascii() else _BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _send_of(consumer: object) -> tuple[Callable[..., Any], int, int]:  # Any: what it returns is not looked at
    """
    The consumer's ``send``, and with how many arguments it may be called: at most and at least, 2 or 3.
    """
    if isinstance(consumer, Transport):
        raise InvalidValue("consumer", _ALLOWED, "a Transport, which is given as transport=...")
    if isinstance(consumer, type):
        raise InvalidValue("consumer", _ALLOWED, f"the class {consumer.__qualname__} itself")
    send = getattr(consumer, "send", None)
    if not callable(send):
        raise InvalidValue("consumer", _ALLOWED, f"{describe(consumer)}, which has none")
    for name, function in (("send", send), ("flush", getattr(consumer, "flush", None))):
        if callable(function) and (_is_asynchronous(function) or _is_asynchronous(type(function).__call__)):
            found = "a coroutine function, which nobody would wait for"
            raise InvalidValue(f"consumer.{name}", "a plain function", found)
    try:
        signature = _signature(send)
    except (TypeError, ValueError):  # written in C, and silent about it
        return send, 3, 2
    takes = [count for count in (2, 3) if _binds(signature, count)]
    if not takes:
        raise InvalidValue("consumer.send", "callable as send(endpoint, json_message, api_key)", "of another form")
    return send, takes[-1], takes[0]


def _takes_timeout(flush: Callable[..., object]) -> bool:
    try:
        timeout = _signature(flush).parameters.get("timeout")
    except (TypeError, ValueError):  # written in C, and silent about it
        return False
    return timeout is not None and timeout.kind is not inspect.Parameter.POSITIONAL_ONLY


def _signature(function: Callable[..., object]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        # Evaluated, a name that is there for type checkers only would raise.
        return inspect.signature(function, annotation_format=Format.STRING)
    else:  # noqa: RET505  # without it the rest is unreachable for a type checker of 3.14
        return inspect.signature(function)


def _is_asynchronous(function: object) -> bool:
    if not (
        inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
        or inspect.isgeneratorfunction(function)
    ):
        return False
    # Of some mocks `inspect` holds it to be true, because their flags are mocks too.
    return type(getattr(getattr(inspect.unwrap(function), "__code__", None), "co_flags", 0)) is int


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
