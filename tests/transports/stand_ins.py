"""
Transports that do what a test tells them to, for the tests of transports that stand before others.
"""

from __future__ import annotations

from collections.abc import Callable

from mixwire.core import Cause, Endpoint, Failed, Message, Outcome, Rejected, Unknown
from mixwire.transports.base import Ledger, Stats, Transport

Rule = Callable[[tuple[Message, ...]], Outcome]


def message(name: str) -> Message:
    return Message(Endpoint.TRACK, b'{"event":"%b","properties":{}}' % name.encode(), ())


A, B, C, D = map(message, "ABCD")


def delivered(messages: tuple[Message, ...]) -> Outcome:
    return Outcome(delivered=messages)


def failed(messages: tuple[Message, ...]) -> Outcome:
    return Outcome(failed=tuple(Failed(each, Cause.NOT_REACHED) for each in messages))


def rejected(messages: tuple[Message, ...]) -> Outcome:
    return Outcome(rejected=tuple(Rejected(each, "bad") for each in messages))


def unknown(messages: tuple[Message, ...]) -> Outcome:
    return Outcome(unknown=tuple(Unknown(each, Cause.ANSWER_LOST) for each in messages))


def sorted_by_name(messages: tuple[Message, ...]) -> Outcome:
    """
    A is delivered, B rejected, C failed, D unknown.
    """
    rules = {A: delivered, B: rejected, C: failed, D: unknown}
    return Outcome.total(rules[each]((each,)) for each in messages)


class StandIn(Transport):
    """
    Settles messages by a rule, or holds them until `flush`, and writes down how it was called.
    """

    def __init__(self, rule: Rule = delivered, *, holds: bool = False) -> None:
        self.rule = rule
        self.holds = holds
        self.held: tuple[Message, ...] = ()
        self.got: list[Message] = []
        self.calls: list[tuple[str, float | None]] = []
        self.raises: Exception | None = None
        self.ledger = Ledger()
        self.delay: Callable[[], object] = lambda: None

    def send(self, *messages: Message) -> Outcome:
        self._check()
        self.got.extend(messages)
        self.ledger.accept(len(messages))
        if self.holds:
            self.held += messages
            return Outcome()
        return self._settle(messages)

    def flush(self, timeout: float | None = None) -> Outcome:
        self.calls.append(("flush", timeout))
        self._check()
        self.delay()
        return self.release()

    def close(self, timeout: float | None = None) -> Outcome:
        self.calls.append(("close", timeout))
        self._check()
        self.delay()
        return self.release()

    def stats(self) -> Stats:
        return self.ledger.stats()

    def release(self) -> Outcome:
        messages, self.held = self.held, ()
        return self._settle(messages)

    def settle_in_background(self) -> None:
        outcome = self.release()
        if self.settled_in_background is not None:
            self.settled_in_background(outcome)

    def _settle(self, messages: tuple[Message, ...]) -> Outcome:
        outcome = self.rule(messages)
        self.ledger.settle(outcome)
        return outcome

    def _check(self) -> None:
        if self.raises is not None:
            raise self.raises


def sum_of(stats: Stats) -> int:
    return stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.dropped + stats.held
