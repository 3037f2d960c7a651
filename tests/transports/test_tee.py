"""
Each message to several transports, of which the first one speaks.
"""

from __future__ import annotations

import logging
import time

import pytest
from stand_ins import A, B, C, D, StandIn, delivered, failed, rejected, sorted_by_name

from mixwire.core import InvalidValue, Outcome
from mixwire.transports.base import Stats
from mixwire.transports.tee import TeeTransport


def test_each_message_goes_to_every_transport_in_order() -> None:
    first, second, third = StandIn(), StandIn(failed), StandIn(rejected)
    tee = TeeTransport(first, second, third)
    tee.send(A, B)
    tee.send(C)
    assert first.got == second.got == third.got == [A, B, C]
    assert tee.transports == (first, second, third)


def test_outcome_and_figures_are_those_of_the_first() -> None:
    first, second = StandIn(sorted_by_name), StandIn(delivered)
    tee = TeeTransport(first, second)
    assert tee.send(A, B, C, D) == sorted_by_name((A, B, C, D))
    assert tee.stats() == Stats(accepted=4, delivered=1, rejected=1, failed=1, unknown=1)
    assert tee.transports[1].stats() == Stats(accepted=4, delivered=4)


@pytest.mark.parametrize("end", ["flush", "close"])
def test_what_the_first_held_is_returned_once_and_what_others_held_is_not(end: str) -> None:
    tee = TeeTransport(StandIn(holds=True), StandIn(failed, holds=True))
    assert tee.send(A) == Outcome()
    assert tee.stats() == Stats(accepted=1, held=1)
    assert getattr(tee, end)() == Outcome(delivered=(A,))
    assert getattr(tee, end)() == Outcome()
    assert tee.transports[1].stats() == Stats(accepted=1, failed=1)


@pytest.mark.parametrize("end", ["flush", "close"])
def test_one_deadline_is_for_all_of_them(end: str) -> None:
    first, second, third = (StandIn() for _ in range(3))
    first.delay = lambda: time.sleep(0.02)
    second.delay = lambda: time.sleep(0.05)
    getattr(TeeTransport(first, second, third), end)(0.06)
    (name, whole), (_, rest), (_, nothing) = first.calls + second.calls + third.calls
    assert name == end
    assert whole is not None
    assert 0 < whole <= 0.06
    assert rest is not None
    assert rest <= 0.04
    assert nothing == 0.0


@pytest.mark.parametrize("end", ["flush", "close"])
def test_without_a_deadline_none_has_one(end: str) -> None:
    first, second = StandIn(), StandIn()
    getattr(TeeTransport(first, second), end)()
    assert first.calls == second.calls == [(end, None)]


def test_one_that_raises_behind_the_first_keeps_nobody_from_getting_the_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, broken, third = StandIn(), StandIn(), StandIn()
    broken.raises = ZeroDivisionError("with the payload in it")
    with caplog.at_level(logging.WARNING, "mixwire"):
        tee = TeeTransport(first, broken, third)
        assert tee.send(A) == Outcome(delivered=(A,))
        tee.flush()
        tee.close()
    assert third.got == [A]
    assert third.calls == [("flush", None), ("close", None)]
    assert [record.getMessage() for record in caplog.records] == [
        "a transport behind a tee raised an exception: StandIn raised ZeroDivisionError"
    ]


@pytest.mark.parametrize("step", ["send", "flush", "close"])
def test_what_the_first_raises_is_raised_after_the_others_had_their_turn(step: str) -> None:
    broken, second = StandIn(), StandIn()
    tee = TeeTransport(broken, second)
    broken.raises = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        getattr(tee, step)(*((A,) if step == "send" else ()))
    assert second.got == ([A] if step == "send" else [])
    assert [name for name, _ in second.calls] == ([] if step == "send" else [step])


def test_what_is_no_message_reaches_none_of_them() -> None:
    first = StandIn()
    with pytest.raises(InvalidValue, match=r"^messages\[0\] must be a Message"):
        TeeTransport(first).send("A")  # type: ignore[arg-type]
    assert first.got == []


def test_what_the_first_settles_in_the_background_is_passed_on() -> None:
    first, second = StandIn(holds=True), StandIn(holds=True)
    tee = TeeTransport(first, second)
    tee.send(A)
    first.settle_in_background()  # nobody listens yet
    told: list[Outcome] = []
    tee.settled_in_background = told.append
    tee.send(B)
    first.settle_in_background()
    second.settle_in_background()
    assert told == [Outcome(delivered=(B,))]


def test_tees_may_stand_before_tees() -> None:
    first, second, third = StandIn(), StandIn(), StandIn()
    with TeeTransport(TeeTransport(first, second), third) as tee:
        assert tee.send(A) == Outcome(delivered=(A,))
    assert first.got == second.got == third.got == [A]
    assert first.calls == second.calls == third.calls == [("close", None)]
