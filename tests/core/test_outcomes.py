from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from attrs import evolve

from mixwire.core.messages import Endpoint, Message
from mixwire.core.outcomes import Cause, Failed, Outcome, Rejected, Unknown

A, B, C, D, E = (Message(Endpoint.TRACK, b'{"n":%d}' % number, ()) for number in range(5))
EMPTY = Outcome()
MIXED = Outcome(
    delivered=(A, B),
    rejected=(Rejected(C, "too old", "properties.time"),),
    failed=(Failed(D, Cause.NOT_REACHED, "connection refused"),),
    unknown=(Unknown(E, Cause.ANSWER_LOST),),
    notes=("a note",),
)


def test_outcomes_add_up_place_by_place_in_order() -> None:
    first = Outcome(delivered=(A,), rejected=(Rejected(B, "bad"),), notes=("one",))
    second = Outcome(
        delivered=(C,),
        rejected=(Rejected(A, "bad"),),
        failed=(Failed(D, Cause.NOT_TRIED),),
        unknown=(Unknown(E, Cause.GIVEN_UP),),
        notes=("two",),
    )
    assert first + second == Outcome(
        delivered=(A, C),
        rejected=(Rejected(B, "bad"), Rejected(A, "bad")),
        failed=(Failed(D, Cause.NOT_TRIED),),
        unknown=(Unknown(E, Cause.GIVEN_UP),),
        notes=("one", "two"),
    )


def test_nothing_added_changes_nothing() -> None:
    assert MIXED + EMPTY == MIXED == EMPTY + MIXED


def test_the_total_is_the_sum_and_of_none_the_empty_outcome() -> None:
    assert Outcome.total([]) == EMPTY
    assert Outcome.total(iter([MIXED, EMPTY, MIXED])) == MIXED + MIXED


@pytest.mark.parametrize(
    ("outcome", "is_success"),
    [
        pytest.param(EMPTY, True, id="empty"),
        pytest.param(Outcome(delivered=(A,), notes=("a note",)), True, id="delivered"),
        pytest.param(Outcome(delivered=(A,), rejected=(Rejected(B, "bad"),)), False, id="rejected"),
        pytest.param(Outcome(failed=(Failed(A, Cause.RATE_LIMITED),)), False, id="failed"),
        pytest.param(Outcome(unknown=(Unknown(A, Cause.SERVER_ERROR),)), False, id="unknown"),
    ],
)
def test_only_an_outcome_that_delivered_everything_is_a_success(outcome: Outcome, is_success: bool) -> None:
    assert outcome.is_success is is_success


def test_an_outcome_gives_back_everything_that_went_in() -> None:
    assert MIXED.messages() == (A, B, C, D, E)
    assert len(MIXED) == 5
    assert (EMPTY.messages(), len(EMPTY)) == ((), 0)


def test_an_outcome_of_nothing_is_still_true() -> None:
    assert bool(EMPTY)


def test_an_outcome_shows_figures_only() -> None:
    assert repr(MIXED) == "Outcome(delivered=2, rejected=1, failed=1, unknown=1)"


def test_every_cause_is_said_in_words_of_its_own() -> None:
    said = [cause.value for cause in Cause]
    assert len(set(said)) == len(said)
    assert all(" " in words for words in said)


SETTLED = [
    pytest.param(lambda status: Rejected(A, "bad", "event", status), id="rejected"),
    pytest.param(lambda status: Failed(A, Cause.RATE_LIMITED, "HTTP 429", status), id="failed"),
    pytest.param(lambda status: Unknown(A, Cause.SERVER_ERROR, "HTTP 500", status), id="unknown"),
]


@pytest.mark.parametrize("make", SETTLED)
def test_a_status_tells_of_the_answer_and_says_nothing_new_about_the_message(
    make: Callable[[int | None], Rejected | Failed | Unknown],
) -> None:
    assert make(429).status == 429
    assert make(429) == make(500) == make(None)
    assert len({make(429), make(500), make(None)}) == 1
    assert evolve(make(429), message=B).status == 429
    assert pickle.loads(pickle.dumps(make(429))).status == 429


@pytest.mark.parametrize(
    "settled",
    [Rejected(A, "bad"), Failed(A, Cause.NOT_REACHED), Unknown(A, Cause.ANSWER_LOST)],
    ids=["rejected", "failed", "unknown"],
)
def test_without_an_answer_there_is_no_status(settled: Rejected | Failed | Unknown) -> None:
    assert settled.status is None


def test_a_sum_keeps_each_status() -> None:
    first = Outcome(rejected=(Rejected(A, "bad", status=400),), failed=(Failed(B, Cause.CREDENTIALS, status=401),))
    second = Outcome(
        unknown=(Unknown(C, Cause.SERVER_ERROR, status=500),), rejected=(Rejected(D, "large", status=413),)
    )
    total = first + second
    assert [each.status for each in (*total.rejected, *total.failed, *total.unknown)] == [400, 413, 401, 500]
    assert total == Outcome(
        rejected=(Rejected(A, "bad"), Rejected(D, "large")),
        failed=(Failed(B, Cause.CREDENTIALS),),
        unknown=(Unknown(C, Cause.SERVER_ERROR),),
    )
