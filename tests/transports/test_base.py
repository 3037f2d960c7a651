"""
The contract of a transport and the figures that all of them keep.
"""

from __future__ import annotations

import threading

import pytest
from attrs import fields_dict

from mixwire.core import Cause, Endpoint, Failed, Message, Outcome, Rejected, Unknown
from mixwire.transports import Ledger, Stats, Transport


def message(name: str) -> Message:
    return Message(Endpoint.TRACK, b'{"event":"%b"}' % name.encode(), ())


OUTCOME = Outcome(
    delivered=tuple(message(f"d{number}") for number in range(4)),
    rejected=tuple(Rejected(message(f"r{number}"), "bad") for number in range(3)),
    failed=tuple(Failed(message(f"f{number}"), Cause.CLOSED) for number in range(2)),
    unknown=(Unknown(message("u"), Cause.ANSWER_LOST),),
)


def sum_of(stats: Stats) -> int:
    return stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.dropped + stats.held


def test_a_new_ledger_is_empty() -> None:
    assert Ledger().stats() == Stats()
    assert {name: getattr(Stats(), name) for name in fields_dict(Stats)} == dict.fromkeys(
        ("accepted", "delivered", "rejected", "failed", "unknown", "dropped", "held"), 0
    )


def test_the_figures_of_several_add_up() -> None:
    each = [Stats(accepted=3, delivered=1, dropped=2), Stats(accepted=6, rejected=1, failed=2, unknown=2, held=1)]
    assert Stats.total(each) == Stats(accepted=9, delivered=1, rejected=1, failed=2, unknown=2, dropped=2, held=1)
    assert Stats.total([]) == Stats()


def test_what_is_accepted_is_held_until_it_is_settled_or_dropped() -> None:
    ledger = Ledger()
    ledger.accept(15)
    assert ledger.stats() == Stats(accepted=15, held=15)
    ledger.settle(OUTCOME)
    assert ledger.stats() == Stats(accepted=15, delivered=4, rejected=3, failed=2, unknown=1, held=5)
    ledger.drop(4)
    assert ledger.stats() == Stats(accepted=15, delivered=4, rejected=3, failed=2, unknown=1, dropped=4, held=1)


def test_the_figures_add_up_at_any_moment_from_any_thread() -> None:
    ledger = Ledger()
    is_over = threading.Event()
    wrong: list[Stats] = []

    def work() -> None:
        for _ in range(500):
            ledger.accept(11)
            ledger.settle(OUTCOME)
            ledger.drop(1)

    def watch() -> None:
        while not is_over.is_set():
            stats = ledger.stats()
            if sum_of(stats) != stats.accepted or stats.held < 0:
                wrong.append(stats)

    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=work) for _ in range(8)]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    is_over.set()
    watcher.join()
    assert wrong == []
    assert ledger.stats() == Stats(
        accepted=44_000, delivered=16_000, rejected=12_000, failed=8_000, unknown=4_000, dropped=4_000
    )


class Recording(Transport):
    """
    The least that a transport can be.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def send(self, *messages: Message) -> Outcome:
        self.calls.append("send")
        return Outcome(delivered=messages)

    def flush(self, timeout_seconds: float | None = None) -> Outcome:
        return Outcome()

    def close(self, timeout_seconds: float | None = None) -> Outcome:
        self.calls.append("close")
        return Outcome()

    def stats(self) -> Stats:
        return Stats()


def test_leaving_the_with_statement_closes_the_transport() -> None:
    transport = Recording()
    with transport as entered:
        assert entered is transport
        transport.send(message("m"))
        assert transport.calls == ["send"]
    assert transport.calls == ["send", "close"]


def test_an_error_in_the_with_statement_closes_it_too_and_goes_on() -> None:
    transport = Recording()
    with pytest.raises(ZeroDivisionError), transport:
        raise ZeroDivisionError
    assert transport.calls == ["close"]


def test_a_transport_lacks_none_of_the_methods() -> None:
    class Lacking(Transport):
        pass

    with pytest.raises(TypeError, match=r"close.*flush.*send.*stats"):
        Lacking()  # type: ignore[abstract]
