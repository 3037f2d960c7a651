"""
A consumer of the caller's as a transport: `ConsumerTransport`.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any, Final

from .core import Cause, Endpoint, Failed, InvalidValue, Message, Outcome
from .core.errors import describe
from .transports.base import Ledger, Stats, Transport, checked

__all__ = ["ENDPOINTS", "ConsumerTransport"]

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


class ConsumerTransport(Transport):
    """
    Hands each message to a consumer, as the name of its endpoint and a str of JSON, and counts it as delivered.

    What the consumer raises goes through to the caller; what it returns is not looked at.

    Args:
        consumer: Any object with ``send(endpoint, json_message, api_key=None)``, or with the first two only.

    Raises:
        InvalidValue: If it is something else.
    """

    def __init__(self, consumer: object) -> None:
        self._consumer = consumer
        self._send, self._most, self._least = _send_of(consumer)
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
            name, text = _NAMES[message.endpoint], _ascii(message.body)
            if message.endpoint is Endpoint.IMPORT and self._most == 3:
                self._send(name, text, keys)
            elif self._least == 3:
                self._send(name, text, None)
            else:
                self._send(name, text)
            self._ledger.accept(1)
            self._ledger.settle(Outcome(delivered=(message,)))
        return Outcome(delivered=messages)

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Call ``flush()`` of the consumer, if it has one: the empty outcome.
        """
        self._call("flush")
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Call ``close()`` of the consumer, or ``flush()``, if it has one: the empty outcome.
        """
        if not self._is_closed:
            self._is_closed = True
            if not self._call("close"):
                self._call("flush")
        return Outcome()

    def stats(self) -> Stats:
        return self._ledger.stats()

    def _call(self, name: str) -> bool:
        method = getattr(self._consumer, name, None)
        if not callable(method):
            return False
        method()
        return True


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
    if isinstance(consumer, type):
        raise InvalidValue("consumer", _ALLOWED, f"the class {consumer.__qualname__} itself")
    send = getattr(consumer, "send", None)
    if not callable(send):
        raise InvalidValue("consumer", _ALLOWED, f"{describe(consumer)}, which has none")
    if inspect.iscoroutinefunction(send):
        raise InvalidValue("consumer.send", "a plain function", "a coroutine function, which nobody would wait for")
    try:
        signature = inspect.signature(send)
    except (TypeError, ValueError):  # written in C, and silent about it
        return send, 3, 2
    takes = [count for count in (2, 3) if _binds(signature, count)]
    if not takes:
        raise InvalidValue("consumer.send", "callable as send(endpoint, json_message, api_key)", "of another form")
    return send, takes[-1], takes[0]


def _binds(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
