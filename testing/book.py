"""
What was sent, and what a transport said became of it, held against what arrived.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ..core import Message, Outcome
from .judge import Judge

__all__ = ["PLACES", "Book", "messages_of", "times"]

PLACES: Final = ("delivered", "rejected", "failed", "unknown")
"""Where a message may be settled, as in `Outcome`."""


class Book:
    """
    What was sent and what the transport said about it, message by message; told apart by their JSON, which is the same
    wherever a message goes. Outcomes may come from any thread.
    """

    def __init__(self, judge: Judge, *, delivers: bool) -> None:
        self._judge = judge
        self._delivers = delivers
        self._lock = threading.Lock()
        self._sent: Counter[bytes] = Counter()
        self._places_of: dict[bytes, list[str]] = {}
        self._again: dict[bytes, Message] = {}
        self._places: Counter[str] = Counter()
        self.fault: str | None = None

    def sending(self, messages: Iterable[Message]) -> None:
        with self._lock:
            for message in messages:
                self._sent[message.body] += 1
                self._again.pop(message.body, None)

    def add(self, outcome: Outcome) -> None:
        """
        Write down what became of messages, and compare it with what arrived.
        """
        with self._lock:
            for message in outcome.delivered:
                self._settle("delivered", message)
                if self._delivers and not self._judge.applied(message):
                    self._object("a message was said to be delivered that never arrived")
            for rejected in outcome.rejected:
                self._settle("rejected", rejected.message)
                if self._delivers:
                    self._object("a message was said to be rejected by a server that rejects none")
            for failed in outcome.failed:
                self._settle("failed", failed.message)
                self._again[failed.message.body] = failed.message
                # What was in doubt before may have been applied then.
                if self._judge.applied(failed.message) and "unknown" not in self._places_of[failed.message.body]:
                    self._object("a message was said to have failed, certainly not applied, that had arrived")
            for unknown in outcome.unknown:
                self._settle("unknown", unknown.message)
                if unknown.message.repeatable:
                    self._again[unknown.message.body] = unknown.message

    def figures(self) -> tuple[int, Counter[str]]:
        """
        How many messages were sent, and how often one was settled in each place.
        """
        with self._lock:
            return self._sent.total(), Counter(self._places)

    def places_of(self, message: Message) -> tuple[str, ...]:
        """
        What it was said to be, each time that it was settled.
        """
        with self._lock:
            return tuple(self._places_of.get(message.body, ()))

    def to_send_again(self) -> tuple[Message, ...]:
        """
        What a program would send again: came back, and cannot count twice.
        """
        with self._lock:
            return tuple(self._again.values())

    def knows(self, body: bytes) -> bool:
        with self._lock:
            return body in self._sent

    def _settle(self, place: str, message: Message) -> None:
        body = message.body
        self._places[place] += 1
        places = self._places_of.setdefault(body, [])
        places.append(place)
        self._again.pop(body, None)
        if not self._sent[body]:
            self._object(f"a message that nobody sent was said to be {place}")
        elif len(places) > self._sent[body]:
            self._object(
                f"a message that was sent {times(self._sent[body])} was settled {times(len(places))}: "
                + ", then ".join(places)
            )

    def _object(self, fault: str) -> None:
        # The first is the cause, the others may follow from it.
        self.fault = self.fault or fault


def times(count: int) -> str:
    """
    How often, in words.
    """
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def messages_of(count: int) -> str:
    """
    So many messages, in words.
    """
    return "1 message" if count == 1 else f"{count} messages"
