from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import orjson
import pytest

from mixwire.core.batches import BatchLimits
from mixwire.core.delivery import RetryPolicy
from mixwire.core.http import Answer, NoResponse, Response
from mixwire.core.lanes import MESSAGE_COST_BYTES, Job, Lanes, Settled, Ticket
from mixwire.core.messages import Endpoint, Key, Message
from mixwire.core.outcomes import Cause
from mixwire.core.project import Project

PROJECT = Project("TOKEN")
CLOCK = 1_767_225_600_000
NEVER_AGAIN = float("inf")
DAY_MS = 86_400_000
NEVER = NoResponse(reason="connection refused", maybe_received=False)
LOST = NoResponse(reason="reset", maybe_received=True)
BLOCKED = NoResponse(reason="certificate expired", maybe_received=False, blocked=True)
PORTAL = Response(status=200, body=b"<html>")


def http_date(clock: int) -> str:
    return datetime.fromtimestamp(clock // 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")


def taken(**headers: str) -> Response:
    return Response(status=200, body=b'{"status":1}', headers=tuple(headers.items()))


def status(code: int, **headers: str) -> Response:
    return Response(status=code, headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()))


OK = taken()


def event(n: int, *keys: Key, time: int | None = None, endpoint: Endpoint = Endpoint.TRACK) -> Message:
    return Message(endpoint, b'{"n":%d}' % n, keys or ("someone",), time=time)


def update(n: int, key: str = "someone", *, repeatable: bool = True) -> Message:
    return Message(Endpoint.ENGAGE, b'{"n":%d}' % n, (key,), repeatable)


def group(n: int) -> Message:
    return Message(Endpoint.GROUPS, b'{"n":%d}' % n, (("company", "acme"),))


def identify(n: int, *keys: Key, endpoint: Endpoint = Endpoint.TRACK) -> Message:
    return Message(endpoint, b'{"n":%d}' % n, keys, barrier=True)


def numbers(job: Job) -> list[int]:
    return [record["n"] for record in orjson.loads(job.request.body)]


def path(job: Job) -> str:
    return job.request.url.partition(PROJECT.server)[2].partition("?")[0]


class Traffic:
    """
    Lanes with the time that passes, and what went out.
    """

    def __init__(
        self,
        *,
        limits: BatchLimits | None = None,
        policy: RetryPolicy | None = None,
        flush_after_seconds: float = 1.0,
        max_in_flight: int = 4,
    ) -> None:
        self.lanes = Lanes(
            PROJECT,
            limits=limits,
            policy=policy,
            flush_after_seconds=flush_after_seconds,
            max_in_flight=max_in_flight,
        )
        self.now = 1000.0
        self.clock = CLOCK
        self.posts: list[list[int]] = []

    def add(self, *messages: Message, tickets: Iterable[Ticket] | None = None) -> None:
        self.lanes.add(messages, tickets, self.now, self.clock)

    def add_now(self, *messages: Message) -> None:
        """
        Add, and ask for all that is held to leave.
        """
        self.add(*messages)
        self.lanes.mark()

    def start(self) -> list[Job]:
        jobs = self.lanes.start(self.now, self.clock)
        self.posts += map(numbers, jobs)
        return jobs

    def start_one(self) -> Job:
        (job,) = self.start()
        return job

    def answer(self, job: Job, answer: Answer = OK, chance: float = 0.0) -> Settled | None:
        return self.lanes.answered(job, answer, self.now, self.clock, chance)

    def settle(self, job: Job, answer: Answer = OK) -> Settled:
        settled = self.answer(job, answer)
        assert settled is not None
        return settled

    def refuse(self, job: Job, answer: Answer, chance: float = 0.0) -> None:
        """
        An answer after which the job goes on.
        """
        assert self.answer(job, answer, chance) is None

    def after(self, seconds: float) -> Traffic:
        self.now += seconds
        self.clock += round(seconds * 1000)
        return self

    def wait(self) -> float:
        """
        Go to the moment at which `start` wants to be called again; how many seconds that took.
        """
        self.start_nothing()
        seconds = self.lanes.next_moment - self.now
        assert 0 < seconds < NEVER_AGAIN
        self.after(seconds)
        self.now = self.lanes.next_moment
        return pytest.approx(seconds)  # type: ignore[no-any-return]

    def start_nothing(self) -> None:
        assert self.start() == []

    def drain(self, answer: Callable[[Job], Answer] = lambda job: OK) -> list[list[int]]:
        """
        Answer all that goes out, going on from moment to moment, until nothing is held; what went out.
        """
        before = len(self.posts)
        while self.lanes.count:
            jobs = self.start()
            for job in jobs:
                self.answer(job, answer(job))
            if not jobs:
                assert self.now < self.lanes.next_moment < NEVER_AGAIN
                self.after(self.lanes.next_moment - self.now)
                self.now = max(self.now, self.lanes.next_moment)
        return self.posts[before:]


# --- when a batch leaves --------------------------------------------------------------------------------------------


def test_a_message_leaves_when_it_is_old_enough_and_not_before() -> None:
    traffic = Traffic(flush_after_seconds=2.0)
    traffic.add(event(1))
    assert traffic.wait() == 2.0
    assert numbers(traffic.start_one()) == [1]


def test_without_messages_only_messages_can_change_anything() -> None:
    traffic = Traffic()
    traffic.start_nothing()
    assert traffic.lanes.next_moment == NEVER_AGAIN


def test_while_all_is_under_way_only_an_answer_can_change_anything() -> None:
    traffic = Traffic(max_in_flight=1)
    traffic.add_now(event(1))
    traffic.start_one()
    traffic.add_now(event(2))
    traffic.start_nothing()
    assert traffic.lanes.next_moment == NEVER_AGAIN


def test_a_batch_with_as_many_messages_as_allowed_leaves_at_once() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=3))
    traffic.add(event(1), event(2))
    traffic.start_nothing()
    traffic.add(event(3), event(4))
    assert numbers(traffic.start_one()) == [1, 2, 3]
    assert traffic.wait() == 1.0


def test_a_batch_with_as_many_bytes_as_allowed_leaves_at_once() -> None:
    traffic = Traffic(limits=BatchLimits(max_bytes=17))
    traffic.add(event(1))
    traffic.start_nothing()
    traffic.add(event(2))
    job = traffic.start_one()
    assert (numbers(job), len(job.request.body)) == ([1, 2], 17)


def test_a_message_larger_than_a_batch_travels_alone() -> None:
    traffic = Traffic(limits=BatchLimits(max_bytes=1))
    traffic.add(event(1), event(2))
    assert [numbers(job) for job in traffic.start()] == [[1], [2]]


def test_what_is_marked_leaves_at_once_and_what_comes_later_does_not() -> None:
    traffic = Traffic()
    traffic.add(event(1), update(2), group(3))
    traffic.lanes.mark()
    assert [numbers(job) for job in traffic.start()] == [[1], [2], [3]]
    traffic.add(event(4))
    traffic.start_nothing()


def test_a_mark_is_settled_when_all_before_it_is_and_whatever_comes_later() -> None:
    traffic = Traffic()
    assert traffic.lanes.is_settled(traffic.lanes.mark())
    traffic.add(event(1), update(2))
    first = traffic.lanes.mark()
    traffic.add(group(3))
    second = traffic.lanes.mark()
    one, two, three = traffic.start()
    traffic.add(event(4))
    traffic.settle(three)
    traffic.settle(one)
    assert not traffic.lanes.is_settled(first)
    assert not traffic.lanes.is_settled(second)
    traffic.settle(two)
    assert traffic.lanes.is_settled(first)
    assert traffic.lanes.is_settled(second)


def test_when_closing_everything_leaves_at_once() -> None:
    traffic = Traffic()
    traffic.add(event(1))
    traffic.lanes.close(traffic.now)
    assert numbers(traffic.start_one()) == [1]


def test_what_may_be_repeated_and_what_may_not_never_share_a_batch_and_keep_their_order() -> None:
    traffic = Traffic()
    traffic.add_now(update(1), update(2), update(3, repeatable=False), update(4))
    assert traffic.drain() == [[1, 2], [3], [4]]


def test_events_leave_in_up_to_four_requests_at_a_time_and_updates_in_one() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=1))
    traffic.add(*[make(n) for make in (event, update, group) for n in range(6)])
    jobs = traffic.start()
    assert Counter(map(path, jobs)) == {"/track": 4, "/engage": 1, "/groups": 1}
    traffic.settle(jobs[0])
    assert path(traffic.start_one()) == "/track"


def test_track_and_import_share_the_requests_for_events() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=1), max_in_flight=3)
    traffic.add(event(1), event(2), *[event(n, endpoint=Endpoint.IMPORT) for n in (3, 4)])
    assert list(map(numbers, traffic.start())) == [[1], [2], [3]]


def test_of_track_and_import_the_one_that_waited_longest_goes_first() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=1), max_in_flight=1)
    traffic.add(event(1))
    job = traffic.start_one()
    traffic.after(0.1).add(event(2, endpoint=Endpoint.IMPORT))
    traffic.after(0.1).add(event(3))
    traffic.settle(job)
    assert numbers(traffic.start_one()) == [2]


def test_what_waits_for_another_try_goes_before_what_came_later() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=1), max_in_flight=1)
    traffic.add(event(1))
    traffic.refuse(traffic.start_one(), NEVER)
    traffic.add(event(2), event(3, endpoint=Endpoint.IMPORT))
    assert traffic.drain() == [[1], [2], [3]]


def test_an_event_too_old_for_track_goes_to_import() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, time=CLOCK - 6 * DAY_MS), event(2, time=CLOCK - 2 * DAY_MS), event(3, time=CLOCK))
    assert [(path(job), numbers(job)) for job in traffic.start()] == [("/track", [2, 3]), ("/import", [1])]


def test_events_all_too_old_for_track_leave_no_empty_request() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, time=CLOCK - 6 * DAY_MS))
    job = traffic.start_one()
    assert (path(job), numbers(job)) == ("/import", [1])


def test_an_event_that_became_too_old_while_it_waited_goes_to_import() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, time=CLOCK))
    traffic.refuse(traffic.start_one(), NEVER)
    job = traffic.after(6 * DAY_MS / 1000).start_one()
    assert path(job) == "/import"
    assert traffic.settle(job).outcome.is_success
    assert traffic.lanes.count == 0


def test_all_events_that_became_too_old_leave_in_the_same_turn() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=1))
    traffic.add_now(event(1, endpoint=Endpoint.IMPORT), event(2, endpoint=Endpoint.IMPORT))
    traffic.after(0.1).add_now(event(3, time=CLOCK))
    for job in traffic.start():
        traffic.refuse(job, NEVER)
    traffic.after(6 * DAY_MS / 1000).settle(traffic.start_one())
    assert [(path(job), numbers(job)) for job in traffic.start()] == [("/import", [2]), ("/import", [3])]


def test_what_waits_for_another_try_counts_among_the_requests_for_events_once_it_is_sent() -> None:
    traffic = Traffic(max_in_flight=1)
    traffic.add_now(event(1), event(2, endpoint=Endpoint.IMPORT))
    traffic.refuse(traffic.start_one(), LOST)
    other = traffic.start_one()
    assert numbers(other) == [2]
    traffic.after(60).start_nothing()
    traffic.settle(other)
    assert numbers(traffic.start_one()) == [1]


@pytest.mark.parametrize("time", [CLOCK - 6 * DAY_MS, CLOCK + 30_000], ids=["too old", "early"])
def test_what_had_to_go_elsewhere_does_not_fill_a_batch(time: int) -> None:
    traffic = Traffic(limits=BatchLimits(max_bytes=25))
    traffic.clock = time
    traffic.add_now(event(1, time=time), event(2, time=time))
    traffic.clock = CLOCK
    for job in traffic.start():
        traffic.settle(job)
    traffic.add(event(3))
    traffic.start_nothing()


# --- what comes back ------------------------------------------------------------------------------------------------


def test_a_message_comes_back_with_its_ticket() -> None:
    traffic = Traffic()
    messages = [event(1), event(2), event(3)]
    traffic.add(*messages, tickets=["a", None, "c"])
    traffic.lanes.mark()
    job = traffic.start_one()
    assert job.tickets == ("a", None, "c")
    settled = traffic.settle(job)
    assert settled.outcome.delivered == tuple(messages)
    assert settled.tickets == {id(messages[0].body): ["a"], id(messages[2].body): ["c"]}


def test_messages_that_share_a_body_come_back_with_all_their_tickets() -> None:
    traffic = Traffic()
    message = event(1)
    traffic.add(message, message, tickets=["a", "b"])
    traffic.lanes.mark()
    assert traffic.settle(traffic.start_one()).tickets == {id(message.body): ["a", "b"]}


def test_each_message_needs_a_ticket_if_any_has_one() -> None:
    with pytest.raises(ValueError, match="zip"):
        Traffic().add(event(1), event(2), tickets=["a"])


def test_what_is_held_is_counted_until_it_is_settled() -> None:
    traffic = Traffic()
    messages = [event(1), update(22), group(333), identify(4, "a", "b"), event(5, "a"), event(6, time=CLOCK + 5_000)]
    traffic.add_now(*messages)
    size = sum(len(message.body) for message in messages)
    assert (traffic.lanes.count, traffic.lanes.cost_bytes) == (6, size + 6 * MESSAGE_COST_BYTES)
    first, *_ = traffic.start()
    traffic.settle(first)
    assert (traffic.lanes.count, traffic.lanes.cost_bytes) == (5, size - 7 + 5 * MESSAGE_COST_BYTES)
    for job in traffic.lanes.start(traffic.now, traffic.clock):
        traffic.answer(job)
    traffic = Traffic()
    traffic.add_now(*messages)
    traffic.drain()
    assert (traffic.lanes.count, traffic.lanes.cost_bytes) == (0, 0)


def test_a_job_shows_how_much_it_carries_and_no_content() -> None:
    traffic = Traffic()
    traffic.add_now(event(1), event(2))
    assert repr(traffic.start_one()) == "Job(2 messages)"


def test_only_a_job_that_was_started_has_a_request() -> None:
    traffic = Traffic()
    traffic.add_now(event(1))
    job = traffic.start_one()
    traffic.refuse(job, NEVER)
    with pytest.raises(AssertionError, match="only a job that was started"):
        _ = job.request


def test_troubles_are_told_once() -> None:
    traffic = Traffic()
    traffic.add_now(event(1), update(2))
    one, two = traffic.start()
    traffic.refuse(one, status(503))
    traffic.settle(two)
    assert traffic.lanes.take_troubles() == [(Cause.SERVER_ERROR, "HTTP 503")]
    assert traffic.lanes.take_troubles() == []


# --- barriers -------------------------------------------------------------------------------------------------------


def test_a_barrier_waits_for_the_events_and_updates_before_it() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, "a"), update(2, "b"), identify(3, "a", "b"))
    one, two = traffic.start()
    traffic.settle(two)
    traffic.start_nothing()
    traffic.settle(one)
    assert numbers(traffic.start_one()) == [3]


def test_a_barrier_does_not_wait_for_groups() -> None:
    traffic = Traffic()
    traffic.add_now(group(1), identify(2, "a", "b"))
    assert list(map(numbers, traffic.start())) == [[2], [1]]


def test_a_barrier_leaves_at_once_and_alone() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "a", "b"), event(2, "c"))
    assert numbers(traffic.start_one()) == [1]


def test_a_barrier_does_not_wait_for_what_comes_after_it() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, "a"))
    job = traffic.start_one()
    traffic.add(identify(2, "a", "b"), event(3, "c"))
    traffic.lanes.mark()
    other = traffic.start_one()
    assert numbers(other) == [3]
    traffic.settle(job)
    assert numbers(traffic.start_one()) == [2]


@pytest.mark.parametrize("make", [event, update])
def test_what_comes_after_a_barrier_about_its_ids_waits_until_it_is_settled(make: Callable[..., Message]) -> None:
    traffic = Traffic()
    traffic.add_now(identify(1, "a", "b"), make(2, "b"), make(3, "c"))
    barrier, other = traffic.start()
    assert (numbers(barrier), numbers(other)) == ([1], [3])
    traffic.settle(other)
    traffic.add_now(make(4, "a"))
    traffic.start_nothing()
    traffic.refuse(barrier, NEVER)
    assert traffic.drain() == [[1], [2, 4]]


def test_what_waited_for_a_barrier_leaves_at_once() -> None:
    traffic = Traffic(flush_after_seconds=100)
    traffic.add(identify(1, "a", "b"))
    traffic.settle(traffic.start_one())
    traffic.add(event(9, "c"))
    traffic.add(identify(2, "a", "b"))
    traffic.add(event(3, "a"))
    assert traffic.wait() == 100
    assert traffic.drain() == [[9], [2], [3]]
    traffic.add(event(4, "a"))
    assert traffic.wait() == 100


def test_barriers_about_one_id_go_one_after_the_other_with_all_between_them() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "a", "b"), update(2, "b"), identify(3, "b", "c"), event(4, "c"), identify(5, "c", "d"))
    traffic.add(identify(6, "d", "e"))
    assert traffic.drain() == [[1], [2], [3], [4], [5], [6]]


def test_barriers_about_different_ids_go_together() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "a", "b"), identify(2, "c", "d"), identify(3, "e", "e", endpoint=Endpoint.IMPORT))
    assert [(path(job), numbers(job)) for job in traffic.start()] == [
        ("/track", [1]),
        ("/track", [2]),
        ("/import", [3]),
    ]


def test_an_event_that_waits_for_one_barrier_holds_back_later_barriers_about_its_other_id() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "user", "x"), event(2, "user", "device"), identify(3, "device", "y"))
    assert traffic.drain() == [[1], [2], [3]]


def test_an_event_that_waits_for_a_barrier_does_not_let_later_updates_overtake_earlier_ones() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "user", "x"), identify(2, "device", "y"))
    first, second = traffic.start()
    traffic.add(event(3, "user", "device"), update(4, "device"))
    traffic.settle(second)
    traffic.add_now(update(5, "device"))
    assert numbers(traffic.start_one()) == [4, 5]
    traffic.settle(first)


def test_a_barrier_waits_also_for_what_another_barrier_held_back() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "a", "x"))
    first = traffic.start_one()
    traffic.add(update(2, "a"))
    traffic.add(identify(3, "a", "y"))
    traffic.settle(first)
    held_back = traffic.start_one()
    assert numbers(held_back) == [2]
    traffic.start_nothing()
    traffic.settle(held_back)
    assert numbers(traffic.start_one()) == [3]


def test_a_barrier_counts_each_message_before_it_once() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, "c"), identify(2, "a", "b"), event(3, "c"), identify(4, "e", "f"))
    assert traffic.drain() == [[1, 3], [2], [4]]


def test_a_barrier_that_is_refused_lets_the_others_go() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "a", "b"), event(2, "a"))
    assert len(traffic.settle(traffic.start_one(), status(400)).outcome.rejected) == 1
    assert numbers(traffic.start_one()) == [2]


# --- gates ----------------------------------------------------------------------------------------------------------


def closed_project(answer: Answer) -> tuple[Traffic, list[Job]]:
    """
    Four requests for events, one for profiles and one for groups under way, and more to come; the first is answered.
    """
    traffic = Traffic(limits=BatchLimits(max_messages=1))
    traffic.add(*[make(n) for make in (event, update, group) for n in range(8)])
    first, *others = traffic.start()
    traffic.refuse(first, answer)
    return traffic, others


def test_row_1_after_an_unreached_server_one_probe_at_a_time_until_success() -> None:
    traffic, others = closed_project(NEVER)
    for job in others:
        traffic.refuse(job, NEVER)
    for seconds in (0.5, 1, 2, 4, 8, 16, 30, 30):
        assert traffic.wait() == seconds
        probe = traffic.start_one()
        traffic.start_nothing()
        assert traffic.lanes.next_moment == NEVER_AGAIN
        traffic.refuse(probe, NEVER)
    traffic.wait()
    traffic.settle(traffic.start_one())
    assert len(traffic.start()) == 6


def test_row_1_what_fails_together_counts_as_one_failure() -> None:
    traffic, others = closed_project(NEVER)
    for job in others:
        traffic.refuse(job, NEVER)
    assert traffic.wait() == 0.5


def test_chance_picks_the_wait_from_its_range() -> None:
    traffic = Traffic()
    traffic.add_now(event(1))
    traffic.refuse(traffic.start_one(), status(429), chance=0.5)
    assert traffic.wait() == 5


@pytest.mark.parametrize("answer", [status(500), status(401), PORTAL, LOST], ids=["500", "401", "portal", "lost"])
def test_other_failures_stop_one_lane_only(answer: Answer) -> None:
    traffic, others = closed_project(answer)
    for job in others:
        traffic.settle(job)
    assert {path(job) for job in traffic.start()} == {"/engage", "/groups"}


def test_row_23_refused_credentials_for_import_do_not_stop_live_events() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=1))
    traffic.add(*[event(n, endpoint=Endpoint.IMPORT) for n in range(4)])
    for job in traffic.start():
        traffic.refuse(job, status(401))
    traffic.add(*[event(n) for n in range(10, 15)])
    assert list(map(numbers, traffic.start())) == [[10], [11], [12], [13]]


def test_row_26_a_rate_limit_pauses_all_lanes_of_the_project() -> None:
    traffic, others = closed_project(status(429))
    for job in others:
        traffic.settle(job)
    for seconds in (3, 5, 9, 17, 33, 61, 61):
        assert traffic.wait() == seconds
        traffic.refuse(traffic.start_one(), status(429))
    traffic.wait()
    traffic.settle(traffic.start_one())
    assert {path(job) for job in traffic.start()} == {"/track", "/engage", "/groups"}


def test_row_26_what_was_sent_before_a_rate_limit_and_succeeds_does_not_end_the_pause() -> None:
    traffic, others = closed_project(status(429))
    for job in others:
        traffic.settle(job)
    assert traffic.wait() == 3


def test_row_26_a_rate_limit_after_another_failure_makes_the_wait_longer() -> None:
    traffic, others = closed_project(NEVER)
    traffic.refuse(others[0], status(429))
    traffic.refuse(others[1], NEVER)
    traffic.lanes.close(traffic.now)
    assert traffic.wait() == 3


@pytest.mark.parametrize(
    ("asked", "seconds"), [("1", 3), ("20", 20), ("9999", 300)], ids=["the floor", "as asked", "the cap"]
)
def test_row_27_a_wait_that_the_server_asks_for_is_kept(asked: str, seconds: float) -> None:
    traffic, _ = closed_project(status(429, Retry_After=asked))
    assert traffic.wait() == seconds


@pytest.mark.parametrize("skew", [-DAY_MS, 0, DAY_MS])
def test_row_28_a_date_to_wait_for_is_measured_against_the_servers_own(skew: int) -> None:
    server = CLOCK + skew
    traffic, _ = closed_project(status(429, Retry_After=http_date(server + 42_000), Date=http_date(server)))
    assert traffic.wait() == 42


@pytest.mark.parametrize("answer", [status(500), status(502), status(503), status(504)], ids=lambda each: each.status)
def test_row_30_events_are_posted_again_after_a_server_error_one_request_first(answer: Response) -> None:
    traffic, others = closed_project(answer)
    for job in others[:3]:
        traffic.refuse(job, answer)
    assert traffic.wait() == (3 if answer.status in (502, 503) else 0.5)
    probe = traffic.start_one()
    traffic.settle(probe)
    assert Counter(map(path, traffic.start())) == {"/track": 4}


@pytest.mark.parametrize("answer", [status(500), status(502), status(504), LOST], ids=["500", "502", "504", "lost"])
def test_row_30_what_counts_twice_is_unknown_and_not_posted_again(answer: Answer) -> None:
    traffic = Traffic()
    traffic.add_now(update(1, repeatable=False), update(2))
    assert len(traffic.settle(traffic.start_one(), answer).outcome.unknown) == 1
    assert traffic.drain() == [[2]]


def test_row_30_what_counts_twice_and_was_surely_not_applied_is_posted_again() -> None:
    traffic = Traffic()
    traffic.add_now(update(1, repeatable=False))
    traffic.refuse(traffic.start_one(), status(503))
    assert traffic.drain() == [[1]]


WAITS_FOR_A_PERSON = [60, 120, 240, 480, 900, 900]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(BLOCKED, id="row_5 TLS not to be trusted"),
        pytest.param(status(401), id="row_23 401"),
        pytest.param(status(403), id="row_23 403"),
        pytest.param(status(404), id="row_24 404"),
        pytest.param(status(405), id="row_24 405"),
        pytest.param(status(301), id="row_31 redirect"),
    ],
)
def test_where_only_a_person_can_help_all_is_kept_and_looked_at_again(answer: Answer) -> None:
    traffic = Traffic()
    traffic.add_now(event(1), event(2))
    traffic.refuse(traffic.start_one(), answer)
    for seconds in WAITS_FOR_A_PERSON:
        assert traffic.wait() == seconds
        traffic.refuse(traffic.start_one(), answer)
    traffic.wait()
    assert traffic.settle(traffic.start_one()).outcome.is_success


def test_row_23_the_first_wait_for_a_person_is_a_minute_however_many_failures_came_before() -> None:
    traffic = Traffic()
    traffic.add_now(event(1))
    for _ in range(9):
        traffic.refuse(traffic.start_one(), status(500))
        traffic.wait()
    traffic.refuse(traffic.start_one(), status(401))
    assert traffic.wait() == 60
    traffic.refuse(traffic.start_one(), status(500))
    assert traffic.wait() == 30


def test_row_20_three_unreadable_answers_in_a_row_block_the_lane() -> None:
    traffic = Traffic()
    traffic.add_now(event(1))
    waits = []
    for _ in range(5):
        traffic.refuse(traffic.start_one(), PORTAL)
        waits.append(traffic.wait())
    assert waits == [0.5, 1, 60, 120, 240]


@pytest.mark.parametrize("between", [status(413), status(500)], ids=["413", "500"])
def test_row_20_unreadable_answers_with_another_between_do_not_block_the_lane(between: Answer) -> None:
    traffic = Traffic()
    traffic.add_now(event(1), event(2))
    for answer in (PORTAL, PORTAL, between, PORTAL, PORTAL):
        traffic.refuse(traffic.start_one(), answer)
        if answer is not between or answer == status(500):
            assert traffic.wait() != 60


def test_row_24_a_lane_that_is_blocked_lets_the_others_go_on() -> None:
    traffic = Traffic()
    traffic.add_now(event(1), update(2))
    one, two = traffic.start()
    traffic.refuse(two, status(404))
    traffic.settle(one)
    traffic.add_now(event(3))
    assert numbers(traffic.start_one()) == [3]


def test_row_25_a_batch_that_is_too_large_halves_the_limit_of_its_lane_for_good() -> None:
    messages = [make(n) for make in (event, update) for n in range(4)]
    traffic = Traffic()
    traffic.add_now(*messages)
    events, updates = traffic.start()
    assert len(events.request.body) == 33
    traffic.refuse(events, status(413))
    traffic.settle(updates)
    assert traffic.drain() == [[0, 1], [2, 3]]
    traffic.after(3600).add_now(*messages)
    assert [(path(job), len(job.request.body)) for job in traffic.start()] == [("/track", 9)] * 4 + [("/engage", 33)]


def test_row_25_parallel_requests_that_are_too_large_halve_the_limit_once() -> None:
    traffic = Traffic(limits=BatchLimits(max_bytes=51))
    traffic.add(*[event(n) for n in range(100, 120)])
    jobs = traffic.start()
    assert [len(job.request.body) for job in jobs] == [51] * 4
    for job in jobs:
        traffic.refuse(job, status(413))
    traffic.drain()
    traffic.add_now(*[event(n) for n in range(120, 125)])
    assert [len(job.request.body) for job in traffic.start()] == [21, 21, 11]


def test_row_25_a_single_message_that_is_too_large_is_rejected() -> None:
    traffic = Traffic()
    traffic.add_now(event(1))
    assert len(traffic.settle(traffic.start_one(), status(413)).outcome.rejected) == 1


def test_row_33_an_hour_of_outage_costs_one_probe_at_a_time_and_no_message() -> None:
    traffic = Traffic()
    taken_in = delivered = probes = 0
    waiting: list[Job] = []
    for second in range(3600):
        traffic.add(*[event(second * 4 + n, time=traffic.clock) for n in range(4)])
        taken_in += 4
        jobs = traffic.start()
        assert len(jobs) <= 1
        probes += len(jobs)
        for job in waiting:
            traffic.refuse(job, NEVER)
        waiting = jobs
        traffic.after(1)
    assert 60 <= probes <= 130
    assert traffic.lanes.count == taken_in
    for job in waiting:
        traffic.refuse(job, NEVER)
    while not (jobs := traffic.start()):
        traffic.wait()
    assert len(jobs) == 1
    while jobs:
        for job in jobs:
            delivered += len(traffic.settle(job).outcome.delivered)
        jobs = traffic.start()
        assert len(jobs) <= 4
    assert (delivered, traffic.lanes.count) == (taken_in, 0)


def test_a_probe_whose_answer_is_lost_lets_another_lane_try_the_project() -> None:
    traffic, others = closed_project(NEVER)
    for job in others:
        traffic.refuse(job, NEVER)
    traffic.wait()
    traffic.refuse(traffic.start_one(), LOST)
    other = traffic.start_one()
    assert path(other) == "/engage"
    traffic.settle(other)
    assert {path(job) for job in traffic.start()} == {"/engage", "/groups"}


def test_a_probe_that_is_answered_with_an_error_opens_the_gate_of_the_project() -> None:
    traffic, others = closed_project(NEVER)
    for job in others:
        traffic.refuse(job, NEVER)
    traffic.wait()
    traffic.refuse(traffic.start_one(), status(500))
    assert {path(job) for job in traffic.start()} == {"/engage", "/groups"}


def test_a_probe_of_a_lane_that_does_not_reach_the_server_closes_the_project_and_is_followed_by_another() -> None:
    traffic = Traffic()
    traffic.add_now(event(1))
    traffic.refuse(traffic.start_one(), status(500))
    traffic.wait()
    traffic.refuse(traffic.start_one(), NEVER)
    assert traffic.wait() == 0.5
    assert numbers(traffic.start_one()) == [1]


def test_after_so_many_tries_a_message_is_given_up_and_its_lane_still_waits() -> None:
    traffic = Traffic(policy=RetryPolicy(max_tries=1))
    traffic.add_now(event(1))
    assert len(traffic.settle(traffic.start_one(), status(401)).outcome.failed) == 1
    traffic.add_now(event(2))
    assert traffic.wait() == 60
    assert numbers(traffic.start_one()) == [2]


def test_closing_ends_the_waits_that_no_server_asked_for() -> None:
    for answer in (NEVER, status(500), status(401), BLOCKED):
        traffic, _ = closed_project(answer)
        traffic.lanes.close(traffic.now)
        assert traffic.start()


def test_closing_ends_a_wait_that_came_after_one_that_the_server_asked_for() -> None:
    traffic, _ = closed_project(status(429))
    traffic.wait()
    traffic.refuse(traffic.start_one(), NEVER)
    traffic.lanes.close(traffic.now)
    assert traffic.start()


def test_row_26_closing_does_not_end_a_wait_that_the_server_asked_for() -> None:
    traffic, _ = closed_project(status(429))
    traffic.lanes.close(traffic.now)
    assert traffic.wait() == 3


# --- clocks ---------------------------------------------------------------------------------------------------------


def ahead_by(seconds: float) -> Traffic:
    """
    A clock that runs ahead of the server's, which an answer has shown.
    """
    traffic = Traffic()
    traffic.add_now(group(0))
    traffic.settle(traffic.start_one(), taken(Date=http_date(CLOCK - round(seconds * 1000))))
    return traffic


def test_row_34_an_event_is_held_until_its_time_has_come_on_the_servers_clock() -> None:
    traffic = ahead_by(30)
    traffic.add_now(event(1, time=CLOCK), event(2, time=CLOCK - 10_000), event(3, time=CLOCK - 30_000))
    assert numbers(traffic.start_one()) == [3]
    assert traffic.wait() == 20
    assert numbers(traffic.start_one()) == [2]
    assert traffic.wait() == 10
    assert numbers(traffic.start_one()) == [1]


def test_row_34_an_event_is_held_for_a_minute_at_most() -> None:
    traffic = Traffic()
    traffic.add_now(event(1, time=CLOCK + DAY_MS))
    assert traffic.wait() == 60
    assert numbers(traffic.start_one()) == [1]


def test_row_34_closing_holds_nothing_for_its_time() -> None:
    traffic = Traffic()
    traffic.add(event(1, time=CLOCK + DAY_MS))
    traffic.lanes.close(traffic.now)
    traffic.add(event(2, time=CLOCK + DAY_MS))
    assert numbers(traffic.start_one()) == [2, 1]


def test_row_34_events_that_were_there_before_the_clock_was_known_are_held_too() -> None:
    traffic = Traffic()
    traffic.add_now(group(0))
    job = traffic.start_one()
    traffic.add_now(event(1, time=CLOCK), event(2, time=CLOCK - 40_000))
    traffic.settle(job, taken(Date=http_date(CLOCK - 30_000)))
    assert numbers(traffic.start_one()) == [2]
    assert traffic.wait() == 30
    assert numbers(traffic.start_one()) == [1]


def test_row_34_an_event_that_waited_for_a_barrier_is_held_for_the_rest_of_its_minute() -> None:
    traffic = ahead_by(100)
    traffic.add(identify(1, "a", "b"), event(2, "a", time=CLOCK))
    job = traffic.start_one()
    traffic.after(50).settle(job)
    assert traffic.wait() == 10
    assert numbers(traffic.start_one()) == [2]


def test_row_34_a_barrier_waits_for_an_event_that_is_held() -> None:
    traffic = ahead_by(30)
    traffic.add_now(event(1, "a", time=CLOCK), identify(2, "a", "b"))
    assert traffic.wait() == 30
    assert traffic.drain() == [[1], [2]]


def test_row_34_a_second_or_two_may_be_the_rounding_of_the_header() -> None:
    traffic = ahead_by(2)
    traffic.add_now(event(1, time=CLOCK))
    assert numbers(traffic.start_one()) == [1]


def test_row_34_who_delivers_nothing_is_not_believed_about_the_time() -> None:
    traffic = Traffic()
    traffic.add_now(group(0))
    past = http_date(CLOCK - 30_000)
    traffic.refuse(traffic.start_one(), Response(status=200, body=b"<html>", headers=(("Date", past),)))
    traffic.add_now(event(1, time=CLOCK))
    assert numbers(traffic.start_one()) == [1]


def test_row_34_events_of_a_machine_with_the_right_time_do_not_wait_for_a_clock_that_is_slow() -> None:
    traffic = ahead_by(-3600)
    traffic.add_now(event(1, time=CLOCK + 3_000_000))
    assert numbers(traffic.start_one()) == [1]


def test_row_34_what_is_too_old_for_track_is_told_by_the_servers_clock() -> None:
    traffic = ahead_by(-2 * DAY_MS / 1000)
    traffic.add_now(event(1, time=CLOCK - 4 * DAY_MS))
    assert path(traffic.start_one()) == "/import"


def test_row_34_what_became_too_old_for_track_is_told_by_the_servers_clock() -> None:
    traffic = ahead_by(-2 * DAY_MS / 1000)
    traffic.add_now(event(1, time=CLOCK - 2 * DAY_MS))
    job = traffic.start_one()
    assert path(job) == "/track"
    traffic.refuse(job, NEVER)
    assert path(traffic.after(1.5 * DAY_MS / 1000).start_one()) == "/import"


@pytest.mark.parametrize("jump", [-DAY_MS, DAY_MS], ids=["back", "forth"])
def test_row_70_a_jump_of_the_clock_changes_no_wait(jump: int) -> None:
    def course(jump: int) -> list[tuple[float, list[int]]]:
        traffic = ahead_by(0)
        traffic.add(*[event(n, time=CLOCK - n) for n in range(3)], update(10), identify(11, "a", "b"))
        posts = []
        for answer in (status(500), NEVER, status(429), status(429, Retry_After="50"), PORTAL, status(503)) * 2:
            while not (jobs := traffic.start()):
                traffic.wait()
            traffic.clock, jump = traffic.clock + jump, -jump
            for job in jobs:
                posts.append((traffic.now, numbers(job)))
                traffic.answer(job, answer)
        return posts

    assert course(jump) == course(0)


# --- giving up ------------------------------------------------------------------------------------------------------


def test_what_is_abandoned_comes_back_wherever_it_was() -> None:
    traffic = Traffic(limits=BatchLimits(max_messages=2))
    messages = [
        *[event(n) for n in range(2)],
        *[update(n, repeatable=False) for n in range(2, 6)],
        identify(6, "a", "b"),
        event(7, "a", time=CLOCK + 5_000),
        event(8, time=CLOCK + 5_000),
        group(9),
    ]
    traffic.add(*messages, tickets=range(10))
    one, two = traffic.start()
    traffic.refuse(one, NEVER)
    settled = traffic.lanes.abandon([two], "the program ends")
    letters = {
        **{each.message.to_wire()["n"]: "N" for part in settled for each in part.outcome.failed},
        **{each.message.to_wire()["n"]: "U" for part in settled for each in part.outcome.unknown},
    }
    assert "".join(letters[n] for n in range(10)) == "NNUUNNNNNN"
    assert sum(len(part.outcome) for part in settled) == 10
    assert sorted(ticket for part in settled for each in part.tickets.values() for ticket in each) == list(range(10))  # type: ignore[type-var]
    assert (traffic.lanes.count, traffic.lanes.cost_bytes) == (0, 0)
    causes = {each.cause for part in settled for each in part.outcome.failed}
    assert causes == {Cause.GIVEN_UP}
    assert traffic.lanes.is_settled(traffic.lanes.mark())


def test_an_abandoned_barrier_lets_come_back_what_waited_for_it() -> None:
    traffic = Traffic()
    traffic.add(identify(1, "a", "b"), event(2, "a"), identify(3, "c", "d"))
    first, second = traffic.start()
    traffic.settle(second)
    settled = traffic.lanes.abandon([first], "the program ends")
    assert [len(part.outcome) for part in settled] == [1, 1]
    assert traffic.lanes.count == 0


def test_a_barrier_that_could_not_leave_is_abandoned_too() -> None:
    traffic = Traffic(max_in_flight=1)
    traffic.add(identify(1, "a", "b"), identify(2, "c", "d"))
    first = traffic.start_one()
    assert sum(len(part.outcome) for part in traffic.lanes.abandon([first], "the program ends")) == 2


def test_abandoning_nothing_settles_nothing() -> None:
    assert Traffic().lanes.abandon([], "the program ends") == []


def test_after_all_was_abandoned_messages_are_taken_as_before() -> None:
    traffic = Traffic(max_in_flight=1)
    traffic.add(identify(1, "a", "b"), event(2, "a"))
    traffic.lanes.abandon(traffic.start(), "the program ends")
    traffic.add(event(3, "a"))
    assert traffic.wait() == 1
    assert numbers(traffic.start_one()) == [3]
