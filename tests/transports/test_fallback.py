"""
What failed at one goes to the next; nothing else does.
"""

from __future__ import annotations

import threading
import time

import pytest
from stand_ins import A, B, C, D, StandIn, delivered, failed, rejected, sorted_by_name, sum_of, unknown

from mixwire.core import Cause, InvalidValue, Message, Outcome
from mixwire.transports.base import Ledger, Stats
from mixwire.transports.fallback import FallbackTransport
from mixwire.transports.null import NullTransport


def test_only_what_failed_goes_on_and_the_outcome_adds_up() -> None:
    first, second = StandIn(sorted_by_name), StandIn(delivered)
    fallback = FallbackTransport(first, second)
    outcome = fallback.send(A, B, C, D)
    assert second.got == [C]
    assert outcome.delivered == (A, C)
    assert [each.message for each in outcome.rejected] == [B]
    assert [each.message for each in outcome.unknown] == [D]
    assert outcome.failed == ()
    assert fallback.stats() == Stats(accepted=4, delivered=2, rejected=1, unknown=1)


def test_the_order_of_what_failed_is_kept() -> None:
    second = StandIn()
    FallbackTransport(StandIn(failed), second).send(C, A, B)
    assert second.got == [C, A, B]


def test_the_next_is_not_asked_when_nothing_failed() -> None:
    second = StandIn()
    fallback = FallbackTransport(StandIn(rejected), second)
    assert fallback.send(A) == rejected((A,))
    assert second.got == []


def test_what_failed_everywhere_failed_as_the_last_one_says() -> None:
    last = StandIn(failed)
    fallback = FallbackTransport(StandIn(failed), StandIn(failed), last)
    assert fallback.send(A, B) == failed((A, B))
    assert last.got == [A, B]
    assert fallback.stats() == Stats(accepted=2, failed=2)


def test_each_of_three_may_take_its_part() -> None:
    def only(name: Message) -> StandIn:
        return StandIn(
            lambda messages: (
                delivered(tuple(each for each in messages if each == name))
                + failed(tuple(each for each in messages if each != name))
            )
        )

    transports = (only(A), only(B), only(C))
    outcome = FallbackTransport(*transports).send(C, B, A, D)
    assert set(outcome.delivered) == {A, B, C}
    assert [each.message for each in outcome.failed] == [D]
    assert [len(each.got) for each in transports] == [4, 3, 2]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_what_fails_only_when_it_is_flushed_or_closed_goes_on_too(end: str) -> None:
    first, second = StandIn(sorted_by_name, holds=True), StandIn(holds=True)
    fallback = FallbackTransport(first, second)
    assert fallback.send(A, C) == Outcome()
    assert fallback.stats() == Stats(accepted=2, held=2)
    assert getattr(fallback, end)() == Outcome(delivered=(A, C))
    assert second.got == [C]
    assert fallback.stats() == Stats(accepted=2, delivered=2)


@pytest.mark.parametrize("end", ["flush", "close"])
def test_one_deadline_is_for_all_of_them(end: str) -> None:
    first, second = StandIn(), StandIn()
    first.delay = lambda: time.sleep(0.05)
    getattr(FallbackTransport(first, second), end)(0.04)
    assert first.calls[0][0] == end
    assert second.calls == [(end, 0.0)]


def test_after_close_everything_failed_and_nobody_is_asked() -> None:
    first, second = StandIn(failed), StandIn()
    with FallbackTransport(first, second) as fallback:
        pass
    outcome = fallback.send(A)
    assert [(each.message, each.cause) for each in outcome.failed] == [(A, Cause.CLOSED)]
    assert first.got == second.got == []
    assert first.calls == second.calls == [("close", None)]
    assert fallback.stats() == Stats(accepted=1, failed=1)


def test_what_fails_in_the_background_goes_on_and_the_rest_is_passed_on() -> None:
    first, second = StandIn(sorted_by_name, holds=True), StandIn()
    fallback = FallbackTransport(first, second)
    told: list[Outcome] = []
    fallback.settled_in_background = told.append
    fallback.send(A, C, D)
    first.settle_in_background()
    assert second.got == [C]
    assert told == [Outcome(delivered=(A, C), unknown=unknown((D,)).unknown)]
    assert fallback.flush() == Outcome()
    assert fallback.stats() == Stats(accepted=3, delivered=2, unknown=1)


def test_what_went_on_and_is_held_there_is_told_when_it_is_settled() -> None:
    first, second = StandIn(failed, holds=True), StandIn(holds=True)
    fallback = FallbackTransport(first, second)
    told: list[Outcome] = []
    fallback.settled_in_background = told.append
    fallback.send(A)
    first.settle_in_background()
    assert told == []
    assert fallback.stats() == Stats(accepted=1, held=1)
    second.settle_in_background()
    assert told == [Outcome(delivered=(A,))]
    assert fallback.stats() == Stats(accepted=1, delivered=1)


def test_without_a_listener_what_is_settled_in_the_background_is_counted() -> None:
    first = StandIn(failed, holds=True)
    fallback = FallbackTransport(first, StandIn())
    fallback.send(A)
    first.settle_in_background()
    assert fallback.stats() == Stats(accepted=1, delivered=1)


def test_what_a_member_drops_is_dropped() -> None:
    null = NullTransport()
    null.send(D)  # before it became a member
    fallback = FallbackTransport(StandIn(sorted_by_name), null)
    assert fallback.send(A, C) == Outcome(delivered=(A,))
    assert fallback.stats() == Stats(accepted=2, delivered=1, dropped=1)


def test_the_figures_add_up_at_any_moment_from_any_thread() -> None:
    fallback = FallbackTransport(StandIn(sorted_by_name), NullTransport())
    is_over = threading.Event()
    wrong: list[Stats] = []

    def work() -> None:
        for _ in range(200):
            fallback.send(A, B, C, D)

    def watch() -> None:
        while not is_over.is_set():
            stats = fallback.stats()
            if sum_of(stats) != stats.accepted or stats.held < 0:
                wrong.append(stats)

    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    is_over.set()
    watcher.join()
    assert wrong == []
    assert fallback.stats() == Stats(accepted=3200, delivered=800, rejected=800, unknown=800, dropped=800)


def test_what_is_no_message_reaches_none_of_them() -> None:
    first = StandIn()
    fallback = FallbackTransport(first)
    with pytest.raises(InvalidValue, match=r"^messages\[0\] must be a Message"):
        fallback.send("A")  # type: ignore[arg-type]
    assert first.got == []
    assert fallback.stats() == Stats()


def test_in_a_child_process_the_figures_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    null = NullTransport()
    fallback = FallbackTransport(StandIn(sorted_by_name), StandIn(failed, holds=True), null)
    fallback.send(A, C)
    assert fallback.stats() == Stats(accepted=2, delivered=1, held=1)
    fallback.flush()
    fallback.send(C)
    assert fallback.stats() == Stats(accepted=3, delivered=1, dropped=1, held=1)
    monkeypatch.setattr("mixwire.transports.fallback.os.getpid", lambda: -1)
    assert fallback.stats() == Stats()
    fallback.send(A)
    assert fallback.stats() == Stats(accepted=1, delivered=1)


def test_a_member_that_notices_the_fork_only_when_it_is_used_is_counted_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late(NullTransport):
        def send(self, *messages: Message) -> Outcome:
            if is_child:
                self._ledger = Ledger()
                is_child.clear()
            return super().send(*messages)

    is_child: list[bool] = []
    fallback = FallbackTransport(Late())
    fallback.send(A, B)
    is_child.append(True)
    monkeypatch.setattr("mixwire.transports.fallback.os.getpid", lambda: -1)
    fallback.send(C)
    assert fallback.stats() == Stats(accepted=1, dropped=1)


def test_it_can_be_asked_for_its_members() -> None:
    first, second = StandIn(), StandIn()
    assert FallbackTransport(first, second).transports == (first, second)
