"""
Telling an application of outcomes, whatever it does with them.
"""

from __future__ import annotations

import threading
import time

import pytest
from worlds import Ear, Watch, events, eventually

from mixwire.core import Outcome
from mixwire.transports.listeners import Listener
from mixwire.transports.reports import Reporter

ONE, TWO = (Outcome(delivered=events(1)), Outcome(delivered=events(2)))


def test_outcomes_are_told_in_a_thread_of_its_own_in_order() -> None:
    heard, names = Ear(), set[str]()
    listener = Listener(lambda outcome: (names.add(threading.current_thread().name), heard(outcome))[1], Reporter())
    listener.tell(ONE)
    listener.tell(TWO)
    listener.close(5.0)
    assert heard.outcomes == [ONE, TWO]
    assert names == {"mixwire-outcomes"}


def test_without_a_thread_they_wait_for_a_call() -> None:
    heard = Ear()
    listener = Listener(heard, Reporter(), background=False)
    listener.tell(ONE)
    assert heard.outcomes == []
    listener.call()
    listener.tell(TWO)
    listener.close(0.0)
    assert heard.outcomes == [ONE, TWO]


@pytest.mark.parametrize("background", [True, False])
def test_whoever_waits_has_everything_told_that_was_to_be_told(background: bool) -> None:
    heard = Ear()
    listener = Listener(lambda outcome: (time.sleep(0.02), heard(outcome))[1], Reporter(), background=background)
    listener.tell(ONE)
    listener.tell(TWO)
    listener.wait(10.0)
    assert heard.outcomes == [ONE, TWO]
    # It goes on listening.
    listener.tell(ONE)
    listener.close(10.0)
    assert heard.outcomes == [ONE, TWO, ONE]


def test_whoever_waits_for_a_callback_that_blocks_gives_up() -> None:
    is_over = threading.Event()
    listener = Listener(lambda _outcome: (is_over.wait(), None)[1], Reporter())
    listener.tell(ONE)
    with Watch():
        listener.wait(0.05)
    is_over.set()
    listener.close(10.0)


def test_row_59_no_thread_is_started_when_none_may_be() -> None:
    heard = Ear()
    listener = Listener(heard, Reporter())
    listener.may_start_thread = False
    listener.tell(ONE)
    listener.close(5.0)
    assert heard.outcomes == [ONE]


def test_row_65_where_no_thread_starts_a_call_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    heard = Ear()
    listener = Listener(heard, Reporter())
    listener.tell(ONE)
    listener.call()
    assert heard.outcomes == [ONE]


def test_row_63_what_comes_of_the_callback_is_told_the_next_time() -> None:
    heard = Ear()

    def again(outcome: Outcome) -> None:
        heard(outcome)
        listener.tell(ONE)
        listener.call()

    listener = Listener(again, Reporter(), background=False)
    listener.tell(ONE)
    listener.call()
    assert len(heard.outcomes) == 1
    listener.call()
    assert len(heard.outcomes) == 2


def test_row_63_a_callback_that_raises_is_logged_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    heard = Ear()

    def broken(outcome: Outcome) -> None:
        heard(outcome)
        raise ValueError("secret")

    listener = Listener(broken, Reporter())
    listener.tell(ONE)
    listener.tell(TWO)
    listener.close(5.0)
    assert heard.outcomes == [ONE, TWO]
    assert [record.getMessage() for record in caplog.records] == ["on_outcome raised ValueError"]


def test_row_63_a_callback_that_blocks_costs_bounded_memory_and_close_its_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = threading.Event()
    listener = Listener(lambda _outcome: gate.wait(60.0), Reporter())
    many = Outcome(delivered=events(1) * 4_000)
    for _ in range(10):
        listener.tell(many)
    assert listener._outcomes.qsize() <= 4
    assert "on_outcome is too slow" in caplog.text
    with Watch():
        listener.close(0.05)
    gate.set()


def test_row_63_close_in_the_callback_does_not_wait_for_itself() -> None:
    ended = threading.Event()

    def closing(_outcome: Outcome) -> None:
        listener.close(60.0)
        ended.set()

    listener = Listener(closing, Reporter())
    listener.tell(ONE)
    assert ended.wait(5.0)


def test_threads_that_call_at_once_tell_each_outcome_once() -> None:
    heard = Ear()
    listener = Listener(lambda outcome: (time.sleep(0.001), heard(outcome))[1], Reporter(), background=False)
    for _ in range(50):
        listener.tell(ONE)
    callers = [threading.Thread(target=listener.call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(5.0)
    eventually(lambda: len(heard.outcomes) == 50)
