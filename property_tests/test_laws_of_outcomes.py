"""
Outcomes add up.
"""

from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from mixwire.core import Outcome
from mixwire.testing import strategies as mx

OUTCOMES = mx.outcomes()


@given(OUTCOMES, OUTCOMES, OUTCOMES)
def test_outcomes_add_up_in_any_grouping(first, second, third):
    total = Outcome.total((first, second, third))
    assert (first + second) + third == first + (second + third) == total
    assert len(total) == len(first) + len(second) + len(third)
    for place in ("delivered", "rejected", "failed", "unknown", "notes"):
        assert getattr(total, place) == getattr(first, place) + getattr(second, place) + getattr(third, place)


@given(OUTCOMES)
def test_the_empty_outcome_changes_nothing(outcome):
    assert Outcome() + outcome == outcome + Outcome() == outcome == Outcome.total([outcome])
    assert Outcome.total([]) == Outcome()
    assert len(Outcome()) == 0
    assert outcome
    assert Outcome()


@given(st.lists(OUTCOMES, max_size=3))
def test_a_total_is_the_sum_of_its_outcomes(outcomes):
    assert Outcome.total(iter(outcomes)) == reduce(add, outcomes, Outcome())
    assert Outcome.total(outcomes).is_success is all(outcome.is_success for outcome in outcomes)


@given(OUTCOMES)
def test_an_outcome_is_a_success_if_all_its_messages_are_delivered(outcome):
    assert len(outcome.messages()) == len(outcome)
    assert outcome.is_success is (outcome.messages() == outcome.delivered)
