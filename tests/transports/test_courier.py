"""
The delivering side, turn by turn, with no thread and no clock of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from worlds import DOWN, GOOD, LOST, NOW, PROJECT, Ear, World, addition, event, events, update

from mixwire.core import Answer, BatchLimits, Request, RetryPolicy
from mixwire.core.lanes import Lanes
from mixwire.transports.base import Ledger
from mixwire.transports.courier import Courier, Flush, Keeping, Stop, Timing
from mixwire.transports.intake import Intake, Room
from mixwire.transports.journal import holding
from mixwire.transports.reports import Reporter

ROOM = Room(max_messages=1_000, max_bytes=1 << 30)


class Post:
    """
    One courier with a time that the test sets.
    """

    def __init__(self, rule: Callable[[Request], Answer] = lambda _request: GOOD, *, flush_after: float = 1.0) -> None:
        self.now = 100.0
        self.world = World(rule)
        self.seconds: list[float] = []
        self.aside = Ear()
        self.ledger = Ledger()
        self.intake = Intake(ROOM, None, spills=False)
        limits = BatchLimits(max_messages=5)
        self.courier = Courier(
            self.intake,
            Lanes(PROJECT, limits=limits, policy=RetryPolicy(max_tries=None), flush_after_seconds=flush_after),
            None,
            post=self._post,
            posters=None,
            room=ROOM,
            limits=limits,
            flush_after_seconds=flush_after,
            ledger=self.ledger,
            timing=Timing(now=lambda: self.now, clock=lambda: NOW, pick=lambda least, _most: least),
            reporter=Reporter(),
            keeping=Keeping(),
            resends=False,
            listener=None,
            aside=self.aside,
            at_end=lambda: None,
        )

    def _post(self, request: Request, seconds: float) -> Answer:
        self.seconds.append(seconds)
        return self.world.post(request)

    def put(self, *messages: object) -> None:
        assert self.intake.put(messages) == len(messages)  # type: ignore[arg-type]

    def turn(self, posts_until: float = float("inf")) -> None:
        self.courier.turn(float("-inf"), posts_until)


def test_a_turn_delivers_nothing_before_it_is_due() -> None:
    post = Post()
    post.put(event(0))
    assert not post.courier.is_due()
    post.turn()
    post.now += 0.9
    assert not post.courier.is_due()
    post.turn()
    assert post.world.requests == []
    post.now += 0.2
    assert post.courier.is_due()
    post.turn()
    assert post.world.numbers() == [0]
    assert post.aside.total.delivered == (event(0),)


def test_a_message_waits_once_and_not_once_more_in_its_lane() -> None:
    post = Post(flush_after=10.0)
    post.put(event(0))
    post.turn()
    post.now += 10.0
    post.turn()
    assert post.world.numbers() == [0]


def test_a_flush_gets_the_outcomes_until_it_is_given_up() -> None:
    post = Post()
    post.put(event(0))
    flush = Flush()
    post.courier.leave(flush)
    post.turn()
    post.turn()
    assert flush.done.is_set()
    assert flush.end().delivered == (event(0),)
    assert not flush.give(flush.end())
    assert post.aside.outcomes == []


def test_a_flush_that_was_given_up_leaves_the_outcomes_to_the_background() -> None:
    post = Post()
    post.put(event(0))
    flush = Flush()
    flush.end()
    post.courier.leave(flush)
    post.turn()
    assert post.aside.total.delivered == (event(0),)


def test_a_stop_after_a_flush_waits_for_it() -> None:
    post = Post(lambda _request: DOWN)
    post.put(event(0))
    last = Flush(is_last=True)
    stop = Stop(after=last)
    post.courier.leave(last)
    post.courier.leave(stop)
    post.turn()
    assert not post.courier.is_stopped
    post.world.rule = lambda _request: GOOD
    post.now += 60.0
    post.turn()
    post.turn()
    assert stop.done.is_set()
    assert post.courier.is_stopped
    assert post.world.numbers() == [0]


def test_no_request_is_begun_after_its_time_and_none_is_forgotten() -> None:
    post = Post(flush_after=0.0)
    post.put(event(0), update(0))

    def slow(_request: Request) -> Answer:
        post.now += 2.0
        return GOOD

    post.world.rule = slow
    post.turn()
    post.turn(post.now + 1.0)
    assert len(post.world.requests) == 1
    assert post.seconds == [1.0]
    assert post.courier.is_due()
    post.turn()
    assert len(post.world.records()) == 2


def test_what_was_not_begun_at_a_stop_certainly_failed() -> None:
    post = Post(flush_after=0.0)
    post.put(event(0), addition(1))
    post.turn()
    post.turn(post.now - 1.0)
    post.courier.leave(Stop())
    post.turn(post.now - 1.0)
    assert post.world.requests == []
    assert len(post.aside.total.failed) == 2
    assert post.aside.total.unknown == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_row_61_an_interrupted_request_is_doubt_and_not_made_twice_in_one_turn(error: type[BaseException]) -> None:
    post = Post(flush_after=0.0)
    post.put(addition(1))

    def interrupt(_request: Request) -> Answer:
        raise error

    post.world.rule = interrupt
    post.turn()
    with pytest.raises(error):
        post.turn()
    post.world.rule = lambda _request: GOOD
    post.turn()
    post.turn()
    assert len(post.world.requests) == 1
    assert len(post.aside.total.unknown) == 1
    assert post.ledger.stats().unknown == 1


def test_what_is_put_after_everything_was_stopped_is_given_back() -> None:
    post = Post()
    post.courier.leave(Stop())
    post.turn()
    post.put(*events(3))
    post.courier.give_back()
    assert len(post.aside.total.failed) == 3


def test_row_56_a_disowned_courier_touches_nothing() -> None:
    post = Post(flush_after=0.0)
    post.put(event(0))
    post.courier.disown()
    post.turn()
    assert post.world.requests == []
    assert post.aside.outcomes == []


def test_the_log_tells_the_status_but_not_what_the_server_said(caplog: pytest.LogCaptureFixture) -> None:
    post = Post(lambda _request: LOST, flush_after=0.0)
    post.put(event(0))
    post.turn()
    post.turn()
    assert [record.getMessage() for record in caplog.records] == ["the answer was lost: lost"]


def puts_something(intake: Intake) -> threading.Event:
    """
    Has another thread put something, for as long as it takes.
    """
    holds, ends = threading.Event(), threading.Event()

    def put() -> None:
        with intake._lock:
            holds.set()
            ends.wait(10.0)

    threading.Thread(target=put, daemon=True).start()
    holds.wait(10.0)
    return ends


def test_a_flush_waits_for_what_was_left_until_whoever_puts_something_must_be_stuck() -> None:
    post = Post()
    ends = puts_something(post.intake)
    holding(lambda: post.put(event(0)))
    flush = Flush()
    post.courier.leave(flush)
    for _ in range(3):
        post.turn()
    assert not flush.done.is_set()
    post.now += 1.1
    for _ in range(2):
        post.turn()
    assert flush.done.is_set()
    assert flush.end().delivered == (event(0),)
    ends.set()


def test_what_was_left_is_taken_up_without_a_flush_when_nobody_puts_anything_any_more() -> None:
    post = Post(flush_after=10.0)
    ends = puts_something(post.intake)
    holding(lambda: post.put(event(0)))
    post.turn()
    post.now += 5.0
    post.turn()
    assert post.intake.has_left
    ends.set()
    post.turn()
    assert not post.intake.has_left
    assert post.world.numbers() == []


def test_what_was_left_and_cannot_be_stored_at_the_end_has_failed() -> None:
    post = Post()
    ends = puts_something(post.intake)
    holding(lambda: post.put(event(0)))
    post.courier.leave(Stop())
    post.turn()
    assert [each.message for each in post.aside.total.failed] == [event(0)]
    assert post.intake.count == 0
    ends.set()
