"""
The loop, with plain functions for the world.
"""

from __future__ import annotations

import pytest

from mixwire.core import (
    Answer,
    Batch,
    Cause,
    Delivery,
    Endpoint,
    Failed,
    Message,
    NoResponse,
    Outcome,
    Project,
    Request,
    Response,
    RetryPolicy,
    Unknown,
    to_request,
)
from mixwire.transports import drive

PROJECT = Project("T0")
MESSAGES = tuple(Message(Endpoint.TRACK, b'{"event":"%d"}' % number, ()) for number in range(4))
BATCH = Batch(MESSAGES)
GOOD = Response(status=200, body=b'{"status":1}')
DOWN = NoResponse(reason="down", maybe_received=False)
LOST = NoResponse(reason="lost", maybe_received=True)


class World:
    """
    Answers in turn, and a clock that only sleeping and posting move.
    """

    def __init__(self, *answers: Answer, post_seconds: float = 0.0, fraction: float = 0.0) -> None:
        self.answers = list(answers)
        self.post_seconds = post_seconds
        self.fraction = fraction
        self.now = 0.0
        self.requests: list[Request] = []
        self.picks: list[tuple[float, float]] = []
        self.sleeps: list[float] = []

    def post(self, request: Request) -> Answer:
        self.requests.append(request)
        self.now += self.post_seconds
        return self.answers.pop(0)

    def pick(self, at_least: float, at_most: float) -> float:
        self.picks.append((at_least, at_most))
        return at_least + self.fraction * (at_most - at_least)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def drive(self, seconds: float = 1000.0, *, batch: Batch = BATCH, policy: RetryPolicy | None = None) -> Outcome:
        return drive(
            Delivery(batch, PROJECT, policy if policy is not None else RetryPolicy()),
            self.post,
            sleep=self.sleep,
            pick=self.pick,
            remaining_seconds=lambda: seconds - self.now,
        )


def test_what_is_delivered_at_once_needs_one_post_and_no_wait() -> None:
    world = World(GOOD)
    assert world.drive() == Outcome(delivered=MESSAGES)
    assert world.requests == [to_request(BATCH, PROJECT)]
    assert (world.picks, world.sleeps) == ([], [])


def test_a_wait_is_picked_from_its_range_and_slept_for_just_as_long() -> None:
    world = World(DOWN, Response(status=429), DOWN, GOOD, fraction=0.25)
    assert world.drive().delivered == MESSAGES
    assert world.picks == [(0.5, 1.0), (5.0, 9.0), (2.0, 4.0)]
    assert world.sleeps == [0.625, 6.0, 2.5]


def test_each_try_is_the_same_request() -> None:
    world = World(LOST, LOST, GOOD)
    world.drive()
    assert world.requests == [to_request(BATCH, PROJECT)] * 3


def test_an_answer_without_a_wait_leads_to_the_next_post_at_once() -> None:
    world = World(Response(status=413), GOOD, GOOD)
    assert world.drive().delivered == MESSAGES
    assert [request.body for request in world.requests] == [
        BATCH.body,
        Batch(MESSAGES[:2]).body,
        Batch(MESSAGES[2:]).body,
    ]
    assert world.sleeps == []


@pytest.mark.parametrize("seconds", [0.5, 0.4])
def test_a_wait_for_which_no_time_is_left_is_not_begun(seconds: float) -> None:
    world = World(DOWN, GOOD)
    detail = "no time was left for the wait before the next try; the last: down"
    assert world.drive(seconds) == Outcome(failed=tuple(Failed(each, Cause.GIVEN_UP, detail) for each in MESSAGES))
    assert len(world.requests) == 1
    assert world.sleeps == []


def test_a_wait_that_just_ends_in_time_is_begun() -> None:
    world = World(DOWN, GOOD)
    assert world.drive(0.51).delivered == MESSAGES
    assert world.sleeps == [0.5]


def test_what_was_in_doubt_stays_unknown_when_no_time_is_left() -> None:
    world = World(LOST, DOWN)
    outcome = world.drive(1.0)
    detail = "lost; the last: down"
    assert outcome == Outcome(unknown=tuple(Unknown(each, Cause.ANSWER_LOST, detail) for each in MESSAGES))
    assert len(world.requests) == 2


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_nothing_is_posted_after_the_end(seconds: float) -> None:
    world = World()
    detail = "no time was left for another request"
    assert world.drive(seconds) == Outcome(failed=tuple(Failed(each, Cause.GIVEN_UP, detail) for each in MESSAGES))
    assert world.requests == []


def test_nothing_is_posted_after_a_post_that_took_all_the_time() -> None:
    world = World(Response(status=413), post_seconds=10.0)
    outcome = world.drive(10.0)
    assert [each.cause for each in outcome.failed] == [Cause.GIVEN_UP] * 4
    assert len(world.requests) == 1


def test_what_was_settled_before_the_end_stays_settled() -> None:
    world = World(Response(status=413), GOOD, post_seconds=5.0)
    outcome = world.drive(10.0)
    assert outcome.delivered == MESSAGES[:2]
    assert [each.message for each in outcome.failed] == list(MESSAGES[2:])


def test_without_an_end_the_policy_alone_decides() -> None:
    world = World(*[DOWN] * 7)
    outcome = world.drive(float("inf"), policy=RetryPolicy(max_tries=7))
    assert [each.cause for each in outcome.failed] == [Cause.NOT_REACHED] * 4
    assert len(world.sleeps) == 6
