from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import combinations
from math import ceil, log2

import orjson
import pytest
from attrs import field, frozen
from attrs.exceptions import FrozenInstanceError

from mixwire.core.answers import interpret
from mixwire.core.batches import Batch
from mixwire.core.changes import Add, Append, PeopleChange, Set
from mixwire.core.delivery import Delivery, Done, Post, RetryPolicy, Wait, backoff
from mixwire.core.errors import InvalidValue
from mixwire.core.events import Track
from mixwire.core.http import Answer, NoResponse, Response, to_request
from mixwire.core.messages import Endpoint, Message, encode
from mixwire.core.outcomes import Cause, Failed, Outcome, Rejected, Unknown
from mixwire.core.profiles import PeopleOp
from mixwire.core.project import Credentials, Project, ProjectSecret, ServiceAccount

PROJECT = Project("TOKEN")
IMPORTS = Project("TOKEN", events="import")
AT_LEAST_ONCE = RetryPolicy(at_least_once=True)
OK = Response(status=200, body=b'{"error":null,"status":1}')
ZERO = Response(status=200, body=b'{"error":"bad","status":0}')
NEVER = NoResponse(reason="connection refused", maybe_received=False)
LOST = NoResponse(reason="reset", maybe_received=True)
BLOCKED = NoResponse(reason="certificate expired", maybe_received=False, blocked=True)


def status(code: int, **headers: str) -> Response:
    return Response(status=code, headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def numbered(count: int, endpoint: Endpoint = Endpoint.TRACK, *, repeatable: bool = True) -> Batch:
    """
    Messages whose whole content is their index.
    """
    return Batch(tuple(Message(endpoint, b'{"n":%d}' % n, (), repeatable) for n in range(count)))


def counts_twice(count: int = 1) -> Batch:
    return numbered(count, Endpoint.ENGAGE, repeatable=False)


@frozen
class Course:
    """
    What happened from the first post to the outcome.
    """

    outcome: Outcome
    bodies: list[bytes] = field(factory=list)
    waits: list[tuple[float, float]] = field(factory=list)

    @property
    def posts(self) -> list[list[int]]:
        return [[record["n"] for record in orjson.loads(body)] for body in self.bodies]

    @property
    def letters(self) -> str:
        outcome = self.outcome
        settled = {"D": outcome.delivered}
        settled |= {
            letter: tuple(each.message for each in place)
            for letter, place in (("R", outcome.rejected), ("N", outcome.failed), ("U", outcome.unknown))
        }
        return "".join(
            letter
            for _, letter in sorted(
                (message.to_wire()["n"], letter)
                for letter, place in settled.items()
                for message in place  # type: ignore[misc]
            )
        )


def deliver(
    batch: Batch, server: Callable[[bytes], Answer], project: Project = PROJECT, policy: RetryPolicy | None = None
) -> Course:
    delivery = Delivery(batch, project) if policy is None else Delivery(batch, project, policy)
    bodies: list[bytes] = []
    waits: list[tuple[float, float]] = []
    while len(bodies) < 50_000:
        match delivery.step:
            case Post(request):
                bodies.append(request.body)
                delivery = delivery.answered(server(request.body))
            case Wait(at_least, at_most):
                waits.append((at_least, at_most))
                delivery = delivery.waited()
            case Done(outcome):
                return Course(outcome, bodies, waits)
    raise AssertionError("the delivery does not end")


def saying(*answers: Answer) -> Callable[[bytes], Answer]:
    """
    A server with these answers, one after the other; one post more is an error.
    """
    said: Iterator[Answer] = iter(answers)

    def server(body: bytes) -> Answer:
        answer = next(said, None)
        assert answer is not None, "one post too many"
        return answer

    return server


def refusing(bad: set[int], answer: Answer) -> Callable[[bytes], Answer]:
    """
    A server that gives *answer* to any batch that holds a bad message.
    """
    return lambda body: answer if any(record["n"] in bad for record in orjson.loads(body)) else OK


# --- one post -------------------------------------------------------------------------------------------------------


def test_a_delivery_starts_with_the_request_of_its_batch() -> None:
    batch = numbered(2)
    assert Delivery(batch, PROJECT).step == Post(to_request(batch, PROJECT))


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        pytest.param(BLOCKED, "NN", id="row_5 TLS not to be trusted"),
        pytest.param(OK, "DD", id="row_18 all taken"),
        pytest.param(status(401), "NN", id="row_23 401"),
        pytest.param(status(403), "NN", id="row_23 403"),
        pytest.param(status(404), "NN", id="row_24 404"),
        pytest.param(status(405), "NN", id="row_24 405"),
        pytest.param(status(414), "NN", id="row_24 414"),
        pytest.param(status(301, Location="https://elsewhere.example/"), "NN", id="row_31 redirect"),
    ],
)
def test_r137_what_waiting_cannot_mend_ends_the_delivery_at_once(answer: Answer, letters: str) -> None:
    course = deliver(numbered(2), saying(answer))
    assert (course.letters, course.waits, len(course.bodies)) == (letters, [], 1)


def test_r54_a_400_is_never_posted_again_as_it_was() -> None:
    course = deliver(numbered(4), refusing({0, 1, 2, 3}, status(400)))
    assert course.letters == "RRRR"
    assert len(set(course.bodies)) == len(course.bodies)
    assert course.waits == []


def test_r52_an_index_counts_within_the_request_that_was_split_off() -> None:
    batch = numbered(4, Endpoint.IMPORT)
    named = Response(status=400, body=b'{"failed_records":[{"index":1,"field":"event","message":"no"}]}')
    course = deliver(batch, saying(status(413), OK, named), IMPORTS)
    assert course.posts == [[0, 1, 2, 3], [0, 1], [2, 3]]
    assert course.outcome.rejected == (Rejected(batch.messages[3], "no", "event"),)
    assert course.letters == "DDDR"


# --- trying again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(NEVER, id="row_1 row_2 row_4 not reached"),
        pytest.param(LOST, id="row_9 row_10 row_11 answer lost"),
        pytest.param(Response(status=200, body=OK.body, complete=False), id="row_12 cut"),
        pytest.param(Response(status=200, body=b"<html>"), id="row_20 captive portal"),
        pytest.param(status(408), id="row_24 408"),
        pytest.param(status(429), id="row_26 429"),
        pytest.param(status(500), id="row_30 500"),
        pytest.param(status(502), id="row_30 502"),
        pytest.param(status(503), id="row_30 503"),
        pytest.param(status(504), id="row_30 504"),
        pytest.param(status(204), id="row_32 204"),
    ],
)
def test_r136_a_passing_failure_is_retried_after_a_wait_until_it_passes(answer: Answer) -> None:
    course = deliver(numbered(2), saying(answer, answer, answer, answer, OK))
    assert (course.letters, len(course.waits)) == ("DD", 4)


THROTTLED = [(3, 7), (5, 9), (9, 13), (17, 21), (33, 37), (61, 65), (61, 65)]
ORDINARY = [(0.5, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (30, 60), (30, 60)]


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        pytest.param(status(429), THROTTLED, id="row_26 429"),
        pytest.param(status(502), THROTTLED, id="row_30 502"),
        pytest.param(status(503), THROTTLED, id="row_30 503"),
        pytest.param(status(500), ORDINARY, id="row_30 500"),
        pytest.param(status(408), ORDINARY, id="row_24 408"),
        pytest.param(NEVER, ORDINARY, id="row_1 not reached"),
        pytest.param(LOST, ORDINARY, id="row_9 answer lost"),
        pytest.param(status(429, Retry_After="-1"), THROTTLED, id="row_29 garbage"),
        pytest.param(status(429, Retry_After="0"), THROTTLED, id="row_27 shorter than the floor"),
    ],
)
def test_r136_waits_double_up_to_a_minute(answer: Answer, waits: list[tuple[float, float]]) -> None:
    course = deliver(numbered(1), saying(*[answer] * len(waits), OK), policy=RetryPolicy(max_tries=None))
    assert course.waits == waits


def test_waits_stay_at_their_longest_however_often_it_is_tried() -> None:
    course = deliver(numbered(1), saying(*[status(503)] * 2000, OK), policy=RetryPolicy(max_tries=None))
    assert set(course.waits[5:]) == {(61.0, 65.0)}


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        pytest.param(status(429, Retry_After="3"), (3, 7), id="row_27 the floor"),
        pytest.param(status(429, Retry_After="4"), (4, 8), id="row_27 longer than the floor"),
        pytest.param(status(429, Retry_After="9999"), (300, 304), id="row_27 the cap"),
        pytest.param(status(503, Retry_After="100"), (100, 104), id="row_27 503"),
        pytest.param(
            status(429, Retry_After="Wed, 21 Oct 2026 07:28:30 GMT", Date="Wed, 21 Oct 2026 07:28:00 GMT"),
            (30, 34),
            id="row_28 a date",
        ),
        pytest.param(status(500, Retry_After="0"), (0.5, 1), id="row_27 500 at once"),
        pytest.param(status(500, Retry_After="1"), (1, 1), id="row_27 500 within the range"),
        pytest.param(status(500, Retry_After="30"), (30, 30), id="row_27 500 beyond the range"),
    ],
)
def test_r139_a_longer_retry_after_is_honoured_up_to_the_cap(answer: Answer, wait: tuple[float, float]) -> None:
    assert deliver(numbered(1), saying(answer, OK)).waits == [wait]


def test_r91_a_retried_batch_is_the_same_to_the_last_byte() -> None:
    events = [
        encode(Track("E", distinct_id="user-1", properties={"x": 0.1}, time=1767225600 + n, insert_id=f"a{n}"), PROJECT)
        for n in range(3)
    ]
    course = deliver(Batch(tuple(events)), saying(NEVER, LOST, status(500), status(429), OK))
    assert course.bodies == [Batch(tuple(events)).body] * 5
    assert course.outcome.delivered == tuple(events)


@pytest.mark.parametrize(("tries", "posts"), [(1, 1), (2, 2), (5, 5)])
def test_after_so_many_tries_it_is_given_up_without_another_wait(tries: int, posts: int) -> None:
    batch = numbered(2)
    course = deliver(batch, lambda body: status(503), policy=RetryPolicy(max_tries=tries))
    assert (len(course.bodies), len(course.waits)) == (posts, posts - 1)
    assert course.outcome.failed == tuple(Failed(each, Cause.SERVER_ERROR, "HTTP 503") for each in batch.messages)


def test_by_default_a_batch_is_posted_five_times() -> None:
    assert len(deliver(numbered(1), lambda body: NEVER).bodies) == 5


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(BLOCKED, id="row_5 TLS not to be trusted"),
        pytest.param(status(401), id="row_23 401"),
        pytest.param(status(403), id="row_23 403"),
        pytest.param(status(404), id="row_24 404"),
        pytest.param(status(301), id="row_31 redirect"),
    ],
)
def test_where_only_a_person_can_help_uncounted_tries_go_on_after_one_to_fifteen_minutes(answer: Answer) -> None:
    course = deliver(numbered(1), saying(*[answer] * 20, OK), policy=RetryPolicy(max_tries=None))
    assert course.letters == "D"
    assert course.waits == [(least, least) for least in (60, 120, 240, 480, *[900] * 16)]


def test_backoff_is_the_wait_after_so_many_failures_whoever_counts_them() -> None:
    refused = interpret(numbered(1), status(401))
    limited = interpret(numbered(1), status(429, Retry_After="20"))
    lost = interpret(numbered(1), LOST)
    assert [backoff(failures, refused) for failures in (1, 2)] == [Wait(60, 60), Wait(120, 120)]
    assert [backoff(failures, limited) for failures in (1, 9)] == [Wait(20, 24), Wait(61, 65)]
    assert [backoff(failures, lost) for failures in (1, 99)] == [Wait(0.5, 1), Wait(30, 60)]


# --- doubt ----------------------------------------------------------------------------------------------------------

DOUBTS = [
    pytest.param(LOST, id="row_9 row_10 row_11 answer lost"),
    pytest.param(Response(status=200, body=OK.body, complete=False), id="row_12 cut"),
    pytest.param(Response(status=200, body=b"<html>"), id="row_20 captive portal"),
    pytest.param(status(408), id="row_24 408"),
    pytest.param(status(500), id="row_30 500"),
    pytest.param(status(502), id="row_30 502"),
    pytest.param(status(504), id="row_30 504"),
    pytest.param(status(206), id="row_32 206"),
]


@pytest.mark.parametrize("change", [Add({"n": 1}), Append({"n": 1})], ids=["add", "append"])
@pytest.mark.parametrize("answer", DOUBTS)
def test_r140_what_counts_twice_is_posted_again_after_doubt_only_if_asked(answer: Answer, change: PeopleChange) -> None:
    message = encode(PeopleOp("user-1", change), PROJECT)
    batch = Batch((message,))
    course = deliver(batch, saying(answer))
    assert [each.message for each in course.outcome.unknown] == [message]
    assert (len(course.bodies), course.waits) == (1, [])
    course = deliver(batch, saying(answer, OK), policy=AT_LEAST_ONCE)
    assert course.outcome == Outcome(delivered=(message,))
    assert course.bodies == [batch.body] * 2


@pytest.mark.parametrize("policy", [RetryPolicy(), AT_LEAST_ONCE], ids=["at most once", "at least once"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(status(429), id="row_26 429"),
        pytest.param(status(503), id="row_30 503"),
        pytest.param(NEVER, id="row_1 not reached"),
    ],
)
def test_r141_what_surely_was_not_applied_is_retried_in_both_modes(answer: Answer, policy: RetryPolicy) -> None:
    course = deliver(counts_twice(2), saying(answer, answer, OK), policy=policy)
    assert (course.letters, len(course.bodies)) == ("DD", 3)


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ([LOST, status(401)], Cause.ANSWER_LOST),
        ([status(500), status(429), BLOCKED], Cause.SERVER_ERROR),
        ([LOST, status(500), NEVER, status(404)], Cause.SERVER_ERROR),
        ([LOST, NEVER, NEVER, NEVER, NEVER], Cause.ANSWER_LOST),
    ],
    ids=["then credentials", "then blocked", "twice in doubt", "then out of tries"],
)
def test_a_certain_failure_after_doubt_does_not_make_it_certain(answers: list[Answer], cause: Cause) -> None:
    course = deliver(numbered(2), saying(*answers))
    assert course.letters == "UU"
    assert {each.cause for each in course.outcome.unknown} == {cause}


def test_a_rejection_after_doubt_is_a_rejection() -> None:
    assert deliver(numbered(1), saying(LOST, status(400))).letters == "R"


@pytest.mark.parametrize(
    "answer", [pytest.param(ZERO, id="row_19 status 0"), pytest.param(status(400), id="row_22 400")]
)
def test_a_refused_batch_that_counts_twice_is_parked_whole(answer: Answer) -> None:
    course = deliver(counts_twice(3), saying(answer))
    assert (course.letters, len(course.bodies)) == ("UUU", 1)


# --- cutting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [numbered, counts_twice], ids=["row_25 repeatable", "row_25 not repeatable"])
@pytest.mark.parametrize("largest", [1, 2, 3, 7])
def test_r138_a_batch_that_is_too_large_is_halved_until_it_passes(make: Callable[[int], Batch], largest: int) -> None:
    course = deliver(make(7), lambda body: status(413) if len(orjson.loads(body)) > largest else OK)
    assert course.letters == "DDDDDDD"
    passed = [post for post in course.posts if len(post) <= largest]
    assert [n for post in passed for n in post] == list(range(7))
    assert course.waits == []


def test_r138_a_single_message_that_is_too_large_is_undeliverable() -> None:
    batch = counts_twice(4)
    course = deliver(batch, refusing({2}, status(413)))
    assert course.letters == "DDRD"
    assert course.outcome.rejected == (Rejected(batch.messages[2], "HTTP 413"),)


REFUSALS = [pytest.param(status(400), id="row_22 400"), pytest.param(ZERO, id="row_19 status 0")]


@pytest.mark.parametrize("answer", REFUSALS)
@pytest.mark.parametrize("count", range(1, 9))
def test_bisection_finds_exactly_the_bad_messages_in_few_requests(count: int, answer: Answer) -> None:
    for bad in (set(some) for size in range(1, count + 1) for some in combinations(range(count), size)):
        course = deliver(numbered(count), refusing(bad, answer))
        assert course.letters == "".join("R" if n in bad else "D" for n in range(count))
        assert len(course.bodies) <= 2 * len(bad) * ceil(log2(count)) + 1


@pytest.mark.parametrize("bad", [{0}, {1999}, {0, 999, 1000, 1999}, set(range(500, 520))], ids=len)
def test_row_22_bisection_of_a_full_batch_stays_within_its_bound(bad: set[int]) -> None:
    course = deliver(numbered(2000), refusing(bad, status(400)))
    assert [each.message.to_wire()["n"] for each in course.outcome.rejected] == sorted(bad)
    assert len(course.outcome.delivered) == 2000 - len(bad)
    assert len(course.bodies) <= 2 * len(bad) * 11 + 1


def test_r130_status_0_rejects_and_never_delivers() -> None:
    batch = numbered(2, Endpoint.ENGAGE)
    course = deliver(batch, refusing({0, 1}, ZERO))
    assert course.outcome == Outcome(rejected=tuple(Rejected(message, "bad") for message in batch.messages))


def test_r143_what_comes_later_waits_for_the_retries_of_what_came_before() -> None:
    course = deliver(numbered(4), saying(status(413), NEVER, status(500), OK, LOST, OK))
    assert course.posts == [[0, 1, 2, 3], [0, 1], [0, 1], [0, 1], [2, 3], [2, 3]]
    assert course.outcome.delivered == numbered(4).messages


def test_r143_what_comes_later_is_not_tried_when_what_came_before_was_given_up() -> None:
    batch = numbered(4)
    course = deliver(batch, saying(status(413), NEVER, NEVER), policy=RetryPolicy(max_tries=2))
    assert course.outcome.failed == (
        Failed(batch.messages[0], Cause.NOT_REACHED, "connection refused"),
        Failed(batch.messages[1], Cause.NOT_REACHED, "connection refused"),
        Failed(batch.messages[2], Cause.NOT_TRIED, "connection refused"),
        Failed(batch.messages[3], Cause.NOT_TRIED, "connection refused"),
    )


def test_r143_updates_of_one_profile_are_posted_in_the_order_made() -> None:
    updates = tuple(encode(PeopleOp("user-1", Set({"n": n})), PROJECT) for n in range(4))
    course = deliver(Batch(updates), saying(status(413), status(500), OK, OK))
    order = [[record["$set"]["n"] for record in orjson.loads(body)] for body in course.bodies]
    assert order == [[0, 1, 2, 3], [0, 1], [0, 1], [2, 3]]


def test_each_half_has_its_own_tries() -> None:
    course = deliver(
        numbered(2), saying(status(500), status(413), status(500), OK, status(500), OK), policy=RetryPolicy(max_tries=2)
    )
    assert course.letters == "DD"


def test_the_halves_of_a_batch_in_doubt_are_in_doubt() -> None:
    course = deliver(numbered(2), saying(LOST, status(413), OK, status(401)))
    assert course.letters == "DU"
    detail = "reset; the last: HTTP 401"
    assert course.outcome.unknown == (Unknown(numbered(2).messages[1], Cause.ANSWER_LOST, detail),)


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (NEVER, f"; the last: {NEVER.reason}"),
        (Response(status=503, body=b"canary"), "; the last: HTTP 503"),
        (Response(status=429, body=b'{"error":"canary"}'), "; the last: HTTP 429"),
    ],
    ids=["no connection", "status", "status with words"],
)
def test_what_is_given_up_says_what_the_last_request_led_to_and_repeats_nothing(answer: Answer, last: str) -> None:
    delivery = Delivery(numbered(2), PROJECT).answered(answer).abandoned("no time")
    assert isinstance(delivery.step, Done)
    assert {each.detail for each in delivery.step.outcome.failed} == {f"no time{last}"}


def test_what_is_in_doubt_says_what_the_last_request_led_to_too() -> None:
    delivery = Delivery(numbered(1), PROJECT).answered(LOST).waited().answered(status(503)).abandoned("no time")
    assert isinstance(delivery.step, Done)
    (unknown,) = delivery.step.outcome.unknown
    assert (unknown.cause, unknown.detail, unknown.status) == (
        Cause.ANSWER_LOST,
        f"{LOST.reason}; the last: HTTP 503",
        None,
    )


def test_nothing_is_said_twice_and_nothing_of_a_request_that_was_not_made() -> None:
    for delivery in (
        Delivery(numbered(1), PROJECT),
        Delivery(numbered(1), PROJECT).answered(NoResponse(reason="no time", maybe_received=False)),
        Delivery(numbered(1), PROJECT).answered(NoResponse(reason="no time", maybe_received=True)),
    ):
        step = delivery.abandoned("no time").step
        assert isinstance(step, Done)
        assert [each.detail for each in (*step.outcome.failed, *step.outcome.unknown)] == ["no time"]


def test_what_counts_twice_and_is_in_doubt_does_not_stop_what_comes_later() -> None:
    course = deliver(counts_twice(2), saying(status(413), LOST, OK))
    assert (course.letters, course.posts) == ("UD", [[0, 1], [0], [1]])


# --- another count --------------------------------------------------------------------------------------------------

MISCOUNTED = Response(status=200, body=b'{"code":200,"num_records_imported":1,"status":"OK"}')
COUNTED = Response(status=200, body=b'{"code":200,"num_records_imported":2,"status":"OK"}')


@pytest.mark.parametrize(
    ("answers", "letters", "notes"),
    [
        pytest.param([MISCOUNTED, COUNTED], "DD", (), id="row_18 right the second time"),
        pytest.param(
            [MISCOUNTED, MISCOUNTED],
            "DD",
            ("server_count_mismatch: 1 of 2 records counted",),
            id="row_18 wrong twice",
        ),
        pytest.param(
            [MISCOUNTED, LOST, MISCOUNTED],
            "DD",
            ("server_count_mismatch: 1 of 2 records counted",),
            id="row_18 wrong twice with a loss between",
        ),
        pytest.param([MISCOUNTED, status(401)], "UU", (), id="row_18 then credentials"),
    ],
)
def test_another_count_is_asked_for_once_more_and_then_accepted(
    answers: list[Answer], letters: str, notes: tuple[str, ...]
) -> None:
    course = deliver(numbered(2, Endpoint.IMPORT), saying(*answers), IMPORTS)
    assert (course.letters, course.outcome.notes) == (letters, notes)
    assert len(set(course.bodies)) == 1


def test_row_18_a_single_try_is_not_followed_by_another() -> None:
    delivery = Delivery(numbered(2, Endpoint.IMPORT), IMPORTS, RetryPolicy(max_tries=1)).answered(MISCOUNTED)
    assert isinstance(delivery.step, Done)
    assert len(delivery.step.outcome.unknown) == 2


def test_row_18_what_must_not_be_repeated_is_not_asked_for_once_more() -> None:
    course = deliver(numbered(2, Endpoint.IMPORT, repeatable=False), saying(MISCOUNTED), IMPORTS)
    assert course.letters == "UU"


# --- what became too old --------------------------------------------------------------------------------------------

CLOCK = 1_767_225_600_000
DAY_MS = 86_400_000


def dated(*times: int) -> Batch:
    return Batch(tuple(Message(Endpoint.TRACK, b'{"n":%d}' % n, (), time=time) for n, time in enumerate(times)))


def test_a_part_with_an_event_that_became_too_old_for_track_goes_to_import_whole() -> None:
    batch = dated(CLOCK, CLOCK - 2 * DAY_MS)
    waiting = Delivery(batch, PROJECT).answered(NEVER)
    delivery = waiting.waited(CLOCK + 4 * DAY_MS)
    assert delivery.endpoint is Endpoint.IMPORT
    assert isinstance(delivery.step, Post)
    assert delivery.step.request.url.startswith(f"{PROJECT.server}/import?strict=1")
    assert delivery.step.request.body == batch.body
    step = delivery.answered(COUNTED).step
    assert isinstance(step, Done)
    assert [message.body for message in step.outcome.delivered] == [message.body for message in batch.messages]


def test_each_part_goes_where_its_own_events_belong() -> None:
    delivery = Delivery(dated(CLOCK, CLOCK - 2 * DAY_MS), PROJECT).answered(status(413)).answered(NEVER)
    delivery = delivery.waited(CLOCK + 4 * DAY_MS)
    assert delivery.endpoint is Endpoint.TRACK
    assert delivery.answered(OK).endpoint is Endpoint.IMPORT


@pytest.mark.parametrize("now", [None, CLOCK + 4 * DAY_MS], ids=["not asked", "young enough"])
def test_a_part_that_track_takes_stays_as_it_is(now: int | None) -> None:
    batch = dated(CLOCK)
    assert Delivery(batch, PROJECT).answered(NEVER).waited(now).step == Post(to_request(batch, PROJECT))


@pytest.mark.parametrize("endpoint", [Endpoint.IMPORT, Endpoint.ENGAGE, Endpoint.GROUPS])
def test_what_is_not_for_track_is_never_too_old(endpoint: Endpoint) -> None:
    delivery = Delivery(numbered(1, endpoint), PROJECT).answered(NEVER).waited(CLOCK + 100 * DAY_MS)
    assert delivery.endpoint is endpoint


def test_doubt_goes_along_to_import() -> None:
    delivery = Delivery(dated(CLOCK), PROJECT).answered(LOST).waited(CLOCK + 6 * DAY_MS).answered(status(401))
    assert isinstance(delivery.step, Done)
    assert [each.cause for each in delivery.step.outcome.unknown] == [Cause.ANSWER_LOST]


# --- the machine ----------------------------------------------------------------------------------------------------


def test_a_delivery_can_be_abandoned_before_its_first_answer() -> None:
    batch = numbered(2)
    step = Delivery(batch, PROJECT).abandoned("closing").step
    assert step == Done(Outcome(failed=tuple(Failed(each, Cause.GIVEN_UP, "closing") for each in batch.messages)))


def test_a_delivery_abandoned_in_parts_keeps_what_is_settled_and_what_is_in_doubt() -> None:
    batch = numbered(4)
    delivery = Delivery(batch, PROJECT)
    for answer in (status(413), OK, LOST):
        delivery = delivery.answered(answer)
    step = delivery.abandoned("closing").step
    assert step == Done(
        Outcome(
            delivered=batch.messages[:2],
            unknown=tuple(Unknown(each, Cause.ANSWER_LOST, "reset") for each in batch.messages[2:]),
        )
    )


def test_abandoning_what_is_done_changes_nothing() -> None:
    done = Delivery(numbered(2), PROJECT).answered(OK)
    assert done.abandoned("closing") == done


def test_an_earlier_state_of_a_delivery_stays_as_it_was() -> None:
    first = Delivery(numbered(2), PROJECT)
    step = first.step
    later = first.answered(status(500))
    assert first.step is step
    assert first.answered(status(500)) == later
    assert later.step == Wait(0.5, 1.0)
    with pytest.raises(FrozenInstanceError):
        first.step = later.step  # type: ignore[misc]


def test_an_answer_belongs_to_a_post_and_a_wait_to_a_wait() -> None:
    posting = Delivery(numbered(1), PROJECT)
    waiting = posting.answered(NEVER)
    done = posting.answered(OK)
    for delivery in (waiting, done):
        with pytest.raises(AssertionError, match="belongs to a Post"):
            delivery.answered(OK)
    for delivery in (posting, done):
        with pytest.raises(AssertionError, match="belongs to a Wait"):
            delivery.waited()


def test_a_delivery_shows_where_it_stands_and_no_content() -> None:
    delivery = Delivery(numbered(4), PROJECT)
    assert repr(delivery) == "Delivery(Post, 4 messages to settle)"
    assert repr(delivery.answered(NEVER)) == "Delivery(Wait, 4 messages to settle)"
    assert repr(delivery.answered(status(413)).answered(OK)) == "Delivery(Post, 2 messages to settle)"
    assert repr(delivery.answered(OK)) == "Delivery(Done, 0 messages to settle)"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"max_tries": 0}, "max_tries must be at least 1, not 0"),
        ({"max_tries": -1}, "max_tries must be at least 1, not -1"),
        ({"max_tries": True}, "max_tries must be an int or None, not bool"),
        ({"max_tries": 2.0}, "max_tries must be an int or None, not float"),
        ({"at_least_once": 1}, "at_least_once must be True or False, not int"),
        ({"at_least_once": None}, "at_least_once must be True or False, not None"),
    ],
    ids=str,
)
def test_an_impossible_policy_is_refused(setting: dict[str, int], sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        RetryPolicy(**setting)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


def test_the_default_policy_tries_five_times_and_at_most_once() -> None:
    assert RetryPolicy() == RetryPolicy(max_tries=5, at_least_once=False)


def test_a_delivery_keeps_what_its_last_answer_meant() -> None:
    batch = numbered(2)
    delivery = Delivery(batch, PROJECT)
    assert delivery.verdict is None
    waiting = delivery.answered(status(429, Retry_After="9"))
    assert waiting.verdict == interpret(batch, status(429, Retry_After="9"))
    assert waiting.waited().verdict == waiting.verdict
    assert waiting.abandoned("closing").verdict == waiting.verdict
    for answer in (OK, LOST, status(413), status(401)):
        assert delivery.answered(answer).verdict == interpret(batch, answer)


def test_a_delivery_that_is_done_goes_nowhere() -> None:
    delivery = Delivery(numbered(1, Endpoint.GROUPS), PROJECT)
    assert delivery.endpoint is Endpoint.GROUPS
    assert delivery.answered(OK).endpoint is None


def test_a_delivery_is_untouched_while_nothing_of_it_can_have_been_applied() -> None:
    delivery = Delivery(numbered(2), PROJECT)
    assert delivery.is_untouched
    assert delivery.answered(NEVER).waited().answered(status(429)).is_untouched
    assert delivery.answered(status(413)).is_untouched
    assert not delivery.answered(LOST).is_untouched
    assert not delivery.answered(status(413)).answered(OK).is_untouched


# --- the status of the answer ---------------------------------------------------------------------------------------


def statuses(delivery: Delivery) -> list[int | None]:
    """
    Of everything that was not delivered: the rejected, the failed, the unknown.
    """
    step = delivery.step
    assert isinstance(step, Done)
    outcome = step.outcome
    return [each.status for each in (*outcome.rejected, *outcome.failed, *outcome.unknown)]


def after(batch: Batch, *answers: Answer, policy: RetryPolicy | None = None) -> Delivery:
    delivery = Delivery(batch, PROJECT) if policy is None else Delivery(batch, PROJECT, policy)
    for answer in answers:
        if isinstance(delivery.step, Wait):
            delivery = delivery.waited()
        delivery = delivery.answered(answer)
    return delivery


@pytest.mark.parametrize(
    ("answer", "status_of_all"),
    [(status(401), 401), (status(404), 404), (BLOCKED, None)],
    ids=["credentials", "wrong server", "untrusted"],
)
def test_what_failed_at_once_has_the_status_of_the_answer(answer: Answer, status_of_all: int | None) -> None:
    assert statuses(after(numbered(2), answer)) == [status_of_all] * 2


@pytest.mark.parametrize(
    ("answers", "status_of_all"),
    [
        ([status(429), status(503)], 503),
        ([status(503), status(429)], 429),
        ([NEVER, status(429)], 429),
        ([NEVER, NEVER], None),
    ],
    ids=["throttled", "limited", "reached late", "never reached"],
)
def test_the_status_of_the_last_answer_survives_giving_up(answers: list[Answer], status_of_all: int | None) -> None:
    delivery = after(numbered(2), *answers, policy=RetryPolicy(max_tries=2))
    assert statuses(delivery) == [status_of_all] * 2
    assert isinstance(delivery.step, Done)
    assert len(delivery.step.outcome.failed) == 2


def test_the_status_of_the_last_answer_survives_being_abandoned() -> None:
    waiting = after(numbered(2), status(503), status(429))
    assert statuses(waiting.abandoned("closing")) == [429, 429]
    assert statuses(waiting.waited().abandoned("closing")) == [429, 429]


def test_what_is_abandoned_before_any_answer_has_no_status() -> None:
    assert statuses(Delivery(numbered(2), PROJECT).abandoned("closing")) == [None, None]
    assert statuses(after(numbered(1), NEVER).abandoned("closing")) == [None]


@pytest.mark.parametrize(
    ("answers", "status_of_all"),
    [
        ([status(500), status(401)], 500),
        ([status(502), status(429)], 502),
        ([LOST, status(401)], None),
        ([status(500), LOST], None),
        ([LOST, status(504)], 504),
    ],
    ids=["then credentials", "then a limit", "lost, then credentials", "then lost", "lost, then a server error"],
)
def test_doubt_keeps_the_status_of_the_answer_that_left_it(answers: list[Answer], status_of_all: int | None) -> None:
    delivery = after(numbered(2), *answers, policy=RetryPolicy(max_tries=2))
    assert isinstance(delivery.step, Done)
    assert len(delivery.step.outcome.unknown) == 2
    assert statuses(delivery) == [status_of_all] * 2


def test_doubt_keeps_its_status_when_it_is_abandoned() -> None:
    assert statuses(after(numbered(2), status(500), status(429)).abandoned("closing")) == [500, 500]


@pytest.mark.parametrize(("code", "kept"), [(500, 500), (502, 502), (204, 204)])
def test_what_must_not_be_repeated_keeps_the_status_of_its_only_answer(code: int, kept: int) -> None:
    assert statuses(after(counts_twice(2), status(code))) == [kept, kept]


def test_parts_behind_one_that_was_given_up_have_no_status_of_their_own() -> None:
    delivery = after(numbered(4), status(413), status(401))
    assert isinstance(delivery.step, Done)
    assert [(each.cause, each.status) for each in delivery.step.outcome.failed] == [
        (Cause.CREDENTIALS, 401),
        (Cause.CREDENTIALS, 401),
        (Cause.NOT_TRIED, None),
        (Cause.NOT_TRIED, None),
    ]


def test_a_message_found_by_bisection_has_the_status_of_its_own_refusal() -> None:
    assert statuses(after(numbered(2), ZERO, status(400), OK)) == [400]
    assert statuses(after(numbered(2), status(413), OK, status(413))) == [413]


LONG_TOKEN = "0123456789abcdef0123456789abcdef"
SECRET = "a secret of many letters".replace(" ", "-")


@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        (None, f"no project {LONG_TOKEN} here"),
        (ServiceAccount(username="app", secret=SECRET, project_id=12345), f"wrong password {SECRET} for app"),
        (ProjectSecret(SECRET), f"wrong password {SECRET}"),
        (ProjectSecret(SECRET), f"refused: Basic {b64encode(f'{SECRET}:'.encode()).decode()}"),
    ],
    ids=["token", "service account", "project secret", "header"],
)
def test_what_a_server_says_is_told_without_the_secrets_that_it_repeats(
    credentials: Credentials | None, said: str
) -> None:
    project = Project(LONG_TOKEN, credentials=credentials, events="import")
    body = orjson.dumps({"code": 400, "error": said, "status": "Bad Request"})
    course = deliver(numbered(1, Endpoint.IMPORT), lambda _: Response(status=400, body=body), project)
    (told,) = {each.reason for each in course.outcome.rejected} | {each.detail for each in course.outcome.failed}
    assert "***" in told
    for secret in (LONG_TOKEN, SECRET, b64encode(f"{SECRET}:".encode()).decode()):
        assert secret not in told


def test_a_short_token_may_be_a_word_of_the_server() -> None:
    body = b'{"code":400,"error":"the event is bad","status":"Bad Request"}'
    course = deliver(numbered(1, Endpoint.IMPORT), lambda _: Response(status=400, body=body), Project("event"))
    (told,) = {each.reason for each in course.outcome.rejected} | {each.detail for each in course.outcome.failed}
    assert "the event is bad" in told
