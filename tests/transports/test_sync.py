"""
Delivery in the caller's thread, with plain functions for the world and against a server on loopback.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from pytest_httpserver import HTTPServer
from werkzeug import Response as WebResponse

from mixwire.core import (
    VERSION,
    Add,
    Alias,
    Answer,
    Cause,
    GroupOp,
    Identify,
    InvalidValue,
    Merge,
    Message,
    NoResponse,
    Operation,
    Outcome,
    PeopleOp,
    Project,
    Request,
    Response,
    ServiceAccount,
    Set,
    Track,
    encode,
)
from mixwire.transports import Stats, SyncTransport
from mixwire.transports.file import read_spool

if TYPE_CHECKING:
    from conftest import Arrivals

PROJECT = Project("T0")
NOW = 1_767_225_600_000
HOUR = 3_600_000
GOOD = Response(status=200, body=b'{"status":1}')
DOWN = NoResponse(reason="down", maybe_received=False)
LOST = NoResponse(reason="lost", maybe_received=True)


def made(operation: Operation, project: Project = PROJECT) -> Message:
    return encode(operation, project)


def event(name: str, age: int = 0) -> Message:
    return made(Track(name, distinct_id="u1", time=NOW - age, insert_id=f"{name}-0000000001"))


def update(value: int) -> Message:
    return made(PeopleOp("u1", Set({"step": value})))


def addition(value: int) -> Message:
    return made(PeopleOp("u1", Add({"steps": value})))


def group(value: int) -> Message:
    return made(GroupOp("Company", "acme", Set({"step": value})))


TRACK = Track("good", distinct_id="u1", time=NOW, insert_id="good-0000000001")
ALIAS = made(Alias(alias="new", distinct_id="u1"))
IDENTIFY = made(Identify(identified_id="u1", anon_id="6b7a1c3e-0f7e-4a0a-9f3a-0c5a4b1d2e3f"))
MERGE = made(Merge("u1", "u2"))


def path_of(request: Request) -> str:
    return request.url.removeprefix("https://api.mixpanel.com").split("?")[0]


class World:
    """
    Answers each request by a rule, and remembers what was asked of it.
    """

    def __init__(self, rule: Callable[[str, bytes], Answer] = lambda _path, _body: GOOD) -> None:
        self.rule = rule
        self.requests: list[Request] = []
        self.sleeps: list[float] = []
        self.picks: list[tuple[float, float]] = []

    def post(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.rule(path_of(request), request.body)

    def paths(self) -> list[str]:
        return [path_of(request) for request in self.requests]

    def sent(self) -> list[tuple[str, list[object]]]:
        bodies = [json.loads(request.body) for request in self.requests]
        return list(zip(self.paths(), bodies, strict=True))

    def pick(self, at_least: float, at_most: float) -> float:
        self.picks.append((at_least, at_most))
        return at_most

    def transport(
        self,
        *,
        max_tries: int | None = 5,
        max_messages: int = 2_000,
        deadline_seconds: float | None = 3600.0,
        on_outcome: Callable[[Outcome], object] | None = None,
    ) -> SyncTransport:
        return SyncTransport(
            PROJECT,
            max_tries=max_tries,
            max_messages=max_messages,
            deadline_seconds=deadline_seconds,
            on_outcome=on_outcome,
            post=self.post,
            now=lambda: NOW,
            sleep=self.sleeps.append,
            pick=self.pick,
        )


def bodies(*messages: Message) -> list[object]:
    return [message.to_wire() for message in messages]


def failing(path: str, answer: Answer = DOWN) -> Callable[[str, bytes], Answer]:
    return lambda each, _body: answer if each == path else GOOD


# What is sent together, and in which order


def test_messages_of_one_call_share_requests() -> None:
    world = World()
    outcome = world.transport().send(event("a"), update(1), event("b"), group(1), update(2))
    assert world.sent() == [
        ("/track", bodies(event("a"), event("b"))),
        ("/engage", bodies(update(1), update(2))),
        ("/groups", bodies(group(1))),
    ]
    assert outcome.is_success


def test_nothing_sent_is_an_empty_outcome_without_a_request() -> None:
    world = World()
    assert world.transport().send() == Outcome()
    assert world.requests == []


def test_a_request_holds_no_more_than_the_limits_say() -> None:
    world = World()
    world.transport(max_messages=2).send(*(event(f"e{number}") for number in range(5)))
    assert [len(records) for _, records in world.sent()] == [2, 2, 1]


def test_an_event_of_more_than_five_days_goes_to_import() -> None:
    world = World()
    world.transport().send(event("new"), event("old", 121 * HOUR))
    assert world.sent() == [
        ("/track", bodies(event("new"))),
        ("/import", bodies(event("old", 121 * HOUR))),
    ]


def test_r69_an_event_of_4_days_and_23_hours_stays_on_track() -> None:
    world = World()
    world.transport().send(event("e", 119 * HOUR))
    assert world.paths() == ["/track"]


@pytest.mark.parametrize("barrier", [ALIAS, IDENTIFY, MERGE], ids=["alias", "identify", "merge"])
def test_r101_an_identity_command_is_answered_before_anything_later_is_sent(barrier: Message) -> None:
    world = World()
    world.transport().send(event("before"), update(1), barrier, event("after"), update(2))
    path = "/import" if barrier is MERGE else "/track"
    assert world.sent() == [
        ("/track", bodies(event("before"))),
        ("/engage", bodies(update(1))),
        (path, bodies(barrier)),
        ("/track", bodies(event("after"))),
        ("/engage", bodies(update(2))),
    ]


@pytest.mark.parametrize("answer", [DOWN, LOST], ids=["failed", "unknown"])
def test_r101_nothing_after_an_alias_is_tried_until_it_is_settled(answer: Answer) -> None:
    world = World(lambda _path, body: answer if b"$create_alias" in body else GOOD)
    rest = (event("after"), update(1), group(1), MERGE)
    outcome = world.transport(max_tries=1).send(event("before"), ALIAS, *rest)
    assert outcome.delivered == (event("before"),)
    assert sorted(each.message.body for each in outcome.failed if each.cause is Cause.NOT_TRIED) == sorted(
        message.body for message in rest
    )
    detail = "an earlier message that must come first was not delivered"
    assert {each.detail for each in outcome.failed if each.cause is Cause.NOT_TRIED} == {detail}
    assert len(world.requests) == 2
    assert len(outcome) == 6


def test_r101_an_alias_that_is_refused_for_ever_holds_nothing_up() -> None:
    world = World(lambda _path, body: Response(status=400) if b"$create_alias" in body else GOOD)
    outcome = world.transport(max_tries=1).send(ALIAS, event("after"))
    assert [each.message for each in outcome.rejected] == [ALIAS]
    assert outcome.delivered == (event("after"),)


def test_r101_an_alias_that_is_delivered_after_retries_holds_nothing_up() -> None:
    answers = iter([DOWN, LOST, GOOD, GOOD])
    world = World(lambda _path, _body: next(answers))
    outcome = world.transport().send(ALIAS, event("after"))
    assert outcome == Outcome(delivered=(ALIAS, event("after")))
    assert [body for _, body in world.sent()] == [*[bodies(ALIAS)] * 3, bodies(event("after"))]


@pytest.mark.parametrize("make", [update, group], ids=["people", "groups"])
def test_when_a_batch_of_updates_fails_the_later_ones_of_that_endpoint_are_not_tried(
    make: Callable[[int], Message],
) -> None:
    path = "/engage" if make is update else "/groups"
    other = group(9) if make is update else update(9)
    world = World(failing(path))
    transport = world.transport(max_tries=1, max_messages=1)
    outcome = transport.send(make(1), make(2), event("a"), other, make(3), event("b"))
    assert [(each.message, each.cause) for each in outcome.failed] == [
        (make(1), Cause.NOT_REACHED),
        (make(2), Cause.NOT_TRIED),
        (make(3), Cause.NOT_TRIED),
    ]
    assert set(outcome.delivered) == {event("a"), event("b"), other}
    assert world.paths().count(path) == 1


def test_updates_that_may_have_arrived_and_may_be_sent_again_hold_up_the_later_ones() -> None:
    world = World(lambda path, _body: LOST if path == "/engage" else GOOD)
    transport = world.transport(max_tries=1, max_messages=1)
    outcome = transport.send(update(1), update(2), event("a"))
    assert [each.message for each in outcome.unknown] == [update(1)]
    assert [(each.message, each.cause) for each in outcome.failed] == [(update(2), Cause.NOT_TRIED)]
    assert outcome.delivered == (event("a"),)


def test_a_batch_of_events_that_fails_holds_up_no_other() -> None:
    world = World(lambda _path, body: DOWN if b'"bad"' in body else GOOD)
    transport = world.transport(max_tries=1, max_messages=1)
    outcome = transport.send(event("bad"), event("good"))
    assert [each.message for each in outcome.failed] == [event("bad")]
    assert outcome.delivered == (event("good"),)


def test_a_failed_batch_of_updates_holds_up_nothing_of_the_next_call() -> None:
    answers = iter([DOWN, GOOD])
    transport = World(lambda _path, _body: next(answers)).transport(max_tries=1)
    assert len(transport.send(update(1)).failed) == 1
    assert transport.send(update(2)).is_success


def test_an_addition_that_may_have_arrived_is_unknown_after_one_request() -> None:
    world = World(failing("/engage", LOST))
    outcome = world.transport().send(addition(1))
    assert [(each.message, each.cause) for each in outcome.unknown] == [(addition(1), Cause.ANSWER_LOST)]
    assert len(world.requests) == 1
    assert not world.requests[0].repeatable


# Outcomes and figures


def mixed(path: str, body: bytes) -> Answer:
    if path == "/engage":
        return LOST
    if path == "/groups":
        return DOWN
    return Response(status=400) if b'"bad"' in body else GOOD


def test_the_outcome_is_a_partition_of_what_went_in_and_the_figures_add_up() -> None:
    transport = World(mixed).transport(max_tries=1, max_messages=1)
    given = (event("a"), event("bad"), addition(1), addition(2), group(1), group(2), event("b"))
    outcome = transport.send(*given)
    assert sorted(each.body for each in outcome.messages()) == sorted(each.body for each in given)
    assert outcome.delivered == (event("a"), event("b"))
    assert [each.message for each in outcome.rejected] == [event("bad")]
    assert [each.message for each in outcome.unknown] == [addition(1), addition(2)]
    assert [each.message for each in outcome.failed] == [group(1), group(2)]
    assert transport.stats() == Stats(accepted=7, delivered=2, rejected=1, unknown=2, failed=2)


def test_what_is_under_way_is_held() -> None:
    seen: list[Stats] = []

    def rule(_path: str, _body: bytes) -> Answer:
        seen.append(transport.stats())
        return GOOD

    transport = World(rule).transport()
    transport.send(event("a"), event("b"))
    assert seen == [Stats(accepted=2, held=2)]
    assert transport.stats() == Stats(accepted=2, delivered=2)


def test_eight_threads_may_send_at_once() -> None:
    transport = World(mixed).transport(max_tries=1)
    meet = threading.Barrier(8)
    sizes: list[int] = []

    def work() -> None:
        meet.wait()
        sizes.extend(len(transport.send(event("a"), event("b"), addition(1), group(1))) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [4] * 400
    assert transport.stats() == Stats(accepted=1600, delivered=800, unknown=400, failed=400)


# Close


def test_after_close_everything_failed_without_a_request() -> None:
    world = World()
    transport = world.transport()
    assert transport.flush() == Outcome()
    assert transport.close() == Outcome()
    assert transport.close() == Outcome()
    outcome = transport.send(event("a"), update(1))
    assert [(each.message, each.cause) for each in outcome.failed] == [
        (event("a"), Cause.CLOSED),
        (update(1), Cause.CLOSED),
    ]
    assert len(outcome) == 2
    assert world.requests == []
    assert transport.stats() == Stats(accepted=2, failed=2)


def test_leaving_the_with_statement_closes() -> None:
    with World().transport() as transport:
        assert transport.send(event("a")).is_success
    assert transport.send(event("a")).failed[0].cause is Cause.CLOSED


# Time


def test_waits_are_picked_and_slept_by_what_was_given() -> None:
    answers = iter([DOWN, DOWN, GOOD])
    world = World(lambda _path, _body: next(answers))
    assert world.transport().send(event("a")).is_success
    assert world.picks == [(0.5, 1.0), (1.0, 2.0)]
    assert world.sleeps == [1.0, 2.0]


def test_the_tries_are_those_of_the_policy() -> None:
    world = World(failing("/track"))
    world.transport(max_tries=3).send(event("a"))
    assert len(world.requests) == 3
    world.requests.clear()
    world.transport().send(event("a"))
    assert len(world.requests) == 5


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    world = World(failing("/track", Response(status=429, headers=(("Retry-After", "200"),))))
    outcome = world.transport(deadline_seconds=100).send(event("a"))
    assert [each.cause for each in outcome.failed] == [Cause.GIVEN_UP]
    assert world.sleeps == []


def test_without_a_deadline_it_waits_as_long_as_it_takes() -> None:
    answers = iter([Response(status=429, headers=(("Retry-After", "300"),))] * 4 + [GOOD])
    world = World(lambda _path, _body: next(answers))
    assert world.transport(deadline_seconds=None).send(event("a")).is_success
    assert world.sleeps == [304.0] * 4


def test_after_the_deadline_the_later_batches_are_not_posted() -> None:
    world = World()
    outcome = world.transport(deadline_seconds=1e-9).send(event("a"), update(1))
    assert [each.cause for each in outcome.failed] == [Cause.GIVEN_UP, Cause.GIVEN_UP]
    assert world.requests == []


# Callbacks and dead letters


def test_the_listener_is_told_of_each_outcome_after_it_is_counted() -> None:
    told: list[tuple[Outcome, Stats]] = []
    transport = World(mixed).transport(max_tries=1, on_outcome=lambda each: told.append((each, transport.stats())))
    first = transport.send(event("a"), update(1), group(1))
    transport.send()
    transport.close()
    last = transport.send(event("b"))
    assert [outcome for outcome, _ in told] == [first, last]
    assert told[0][1] == Stats(accepted=3, delivered=1, unknown=1, failed=1)
    assert told[1][0].failed[0].cause is Cause.CLOSED


def test_row_63_a_listener_that_raises_is_logged_once_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def listen(outcome: Outcome) -> None:
        raise ZeroDivisionError("a payload")

    transport = World().transport(on_outcome=listen)
    with caplog.at_level(logging.WARNING, "mixwire"):
        assert transport.send(event("a")).is_success
        assert transport.send(event("b")).is_success
    assert [record.getMessage() for record in caplog.records] == ["on_outcome raised ZeroDivisionError"]


def test_row_63_a_listener_may_send_and_close() -> None:
    told: list[Outcome] = []

    def listen(outcome: Outcome) -> None:
        told.append(outcome)
        if len(told) == 1:
            transport.send(event("again"))
            transport.close()

    transport = World().transport(on_outcome=listen)
    transport.send(event("a"))
    assert [outcome.delivered for outcome in told] == [(event("a"),), (event("again"),)]
    assert transport.stats() == Stats(accepted=2, delivered=2)


def test_what_was_rejected_is_kept_with_its_reason(arrivals: Arrivals, tmp_path: Path) -> None:
    arrivals.rejected_insert_ids.add("bad-0000000001")
    project = Project("T0", server=arrivals.url, events="import")
    with SyncTransport(project, dead_letters=tmp_path / "dead") as transport:
        outcome = transport.send(
            made(TRACK, project), made(evolve(TRACK, event="bad", insert_id="bad-0000000001"), project)
        )
    assert len(outcome.rejected) == len(outcome.delivered) == 1
    (letter,) = read_spool(tmp_path / "dead", section="rejected")
    assert (letter.message, letter.note.reason, letter.note.field) == (
        outcome.rejected[0].message,
        "bad",
        "properties.time",
    )


def test_a_directory_for_dead_letters_is_opened_when_the_transport_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValue, match=r"^dead_letters must be "):
        SyncTransport(PROJECT, dead_letters=tmp_path / "file")


# Settings


def test_what_is_no_message_is_refused_and_nothing_is_sent() -> None:
    world = World()
    transport = world.transport()
    with pytest.raises(InvalidValue, match=r"^messages\[1\] must be a Message"):
        transport.send(event("a"), b"{}")  # type: ignore[arg-type]
    assert world.requests == []
    assert transport.stats() == Stats()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_tries": 0}, "max_tries must be at least 1, not 0"),
        ({"max_messages": 2001}, "max_messages must be at most 2,000 messages, not 2,001"),
        ({"max_bytes": 0}, "max_bytes must be at least 1, not 0"),
        ({"at_least_once": 1}, "at_least_once must be True or False, not int"),
        (
            {"connect_timeout_seconds": 0},
            "connect_timeout_seconds must be more than 0 and at most 3,600 seconds, not 0",
        ),
        (
            {"request_timeout_seconds": 0},
            "request_timeout_seconds must be more than 0 and at most 3,600 seconds, not 0",
        ),
        (
            {"ca_file": "/dev/null/missing"},
            "ca_file must be a readable file of certificates in PEM form, not something else",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        SyncTransport(PROJECT, **settings)
    assert str(refusal.value) == sentence


def test_at_least_once_posts_again_what_may_have_arrived() -> None:
    answers = iter([LOST, GOOD])
    world = World(lambda _path, _body: next(answers))
    with SyncTransport(
        PROJECT, at_least_once=True, post=world.post, sleep=world.sleeps.append, pick=world.pick
    ) as transport:
        assert transport.send(addition(1)).is_success
    assert len(world.requests) == 2


def test_a_body_stays_plain_on_request(arrivals: Arrivals) -> None:
    project = Project("T0", server=arrivals.url)
    with SyncTransport(project, compress=False) as transport:
        transport.send(made(evolve(TRACK, properties=large("p")), project))
    assert "Content-Encoding" not in arrivals.requests[0].headers


@pytest.mark.parametrize("project", ["T0", None])
def test_the_project_must_be_one(project: object) -> None:
    with pytest.raises(InvalidValue, match=r"^project must be Project\(\.\.\.\), not (str|NoneType)$") as caught:
        SyncTransport(project)  # type: ignore[arg-type]
    assert "T0" not in str(caught.value)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_deadline_is_more_than_nothing(seconds: float) -> None:
    with pytest.raises(InvalidValue, match=r"^deadline_seconds must be more than 0, or None, not (0|-1|nan)$"):
        SyncTransport(PROJECT, deadline_seconds=seconds)


# Over the network


def test_by_default_it_keeps_its_own_connection_and_closes_it(arrivals: Arrivals) -> None:
    project = Project("T0", server=arrivals.url)
    with SyncTransport(project) as transport:
        fresh = encode(Track("a", distinct_id="u1", time=NOW, insert_id="a-0000000001"), project)
        assert transport.send(fresh).is_success
    # Against the true clock this event is old; what the transport was not told it looks up.
    assert [request.path for request in arrivals.requests] == ["/import"]


def large(name: str) -> dict[str, object]:
    return {name: "x" * 2000}


def test_r9_r10_r11_each_endpoint_gets_its_query_and_headers(arrivals: Arrivals) -> None:
    account = ServiceAccount(username="service", secret="s3cret", project_id="42")
    project = Project("T0", server=arrivals.url, credentials=account)
    given = [
        encode(Track("new", distinct_id="u1", time=NOW, insert_id="new-000000001", properties=large("p")), project),
        encode(
            Track("old", distinct_id="u1", time=NOW - 200 * HOUR, insert_id="old-000000001", properties=large("p")),
            project,
        ),
        encode(PeopleOp("u1", Set(large("p"))), project),
        encode(GroupOp("Company", "acme", Set(large("p"))), project),
    ]
    with SyncTransport(project, now=lambda: NOW) as transport:
        outcome = transport.send(*given)
    assert outcome.is_success
    assert [message.body for message in outcome.delivered] == [message.body for message in given]
    live, past, people, groups = arrivals.requests
    assert [request.path for request in arrivals.requests] == ["/track", "/import", "/engage", "/groups"]
    for request in (live, people, groups):
        assert request.args.to_dict() == {"verbose": "1", "ip": "0"}
        assert "Authorization" not in request.headers
    assert past.args.to_dict() == {"strict": "1", "ip": "0", "project_id": "42"}
    assert past.headers["Authorization"] == "Basic " + b64encode(b"service:s3cret").decode()
    assert [request.headers.get("Content-Encoding") for request in arrivals.requests] == ["gzip", "gzip", None, None]
    for request in arrivals.requests:
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"] == f"mixwire/{VERSION}"
    for path, message in zip(("/track", "/import", "/engage", "/groups"), given, strict=True):
        assert arrivals.records(path) == [message.to_wire()]


def test_r11_the_address_of_the_request_counts_where_that_was_asked_for(arrivals: Arrivals) -> None:
    project = Project("T0", server=arrivals.url, use_request_ip=True)
    with SyncTransport(project, now=lambda: NOW) as transport:
        transport.send(event("a"), update(1), group(1))
    assert [request.args["ip"] for request in arrivals.requests] == ["1", "1", "1"]


@pytest.mark.parametrize("barrier", [ALIAS, IDENTIFY, MERGE], ids=["alias", "identify", "merge"])
def test_r102_an_identity_command_goes_to_the_configured_host(arrivals: Arrivals, barrier: Message) -> None:
    with SyncTransport(Project("T0", server=arrivals.url), now=lambda: NOW) as transport:
        assert transport.send(barrier).delivered == (barrier,)
    assert [request.host for request in arrivals.requests] == [arrivals.url.removeprefix("http://")]


def test_a_record_that_the_server_names_is_rejected_and_the_others_are_delivered(arrivals: Arrivals) -> None:
    arrivals.rejected_insert_ids.add("bad-0000000001")
    project = Project("T0", server=arrivals.url, events="import")
    names = ("good", "bad", "fine")
    given = [encode(Track(n, distinct_id="u1", time=NOW, insert_id=f"{n}-0000000001"), project) for n in names]
    with SyncTransport(project) as transport:
        outcome = transport.send(*given)
        assert outcome.delivered == (given[0], given[2])
        assert [(each.message, each.reason, each.field) for each in outcome.rejected] == [
            (given[1], "bad", "properties.time")
        ]
        assert transport.stats() == Stats(accepted=3, delivered=2, rejected=1)


def test_a_server_that_recovers_gets_the_same_bytes_again(httpserver: HTTPServer) -> None:
    seen: list[bytes] = []

    def answer(request: object) -> WebResponse:
        seen.append(request.get_data())  # type: ignore[attr-defined]
        return WebResponse("down", 503) if len(seen) < 3 else WebResponse('{"status":1}', 200)

    httpserver.expect_request("/track").respond_with_handler(answer)
    project = Project("T0", server=httpserver.url_for("").rstrip("/"))
    sleeps: list[float] = []
    with SyncTransport(project, now=lambda: NOW, sleep=sleeps.append, pick=lambda least, _most: least) as transport:
        assert transport.send(event("a")).is_success
    assert seen == [b"[" + event("a").body + b"]"] * 3
    assert sleeps == [3.0, 5.0]


def test_a_closed_port_is_a_failure_and_no_exception() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        project = Project("T0", server=f"http://127.0.0.1:{listener.getsockname()[1]}")
    with SyncTransport(project, max_tries=1, now=lambda: NOW) as transport:
        outcome = transport.send(event("a"))
    assert [(each.cause, each.detail) for each in outcome.failed] == [
        (Cause.NOT_REACHED, "the server could not be connected to")
    ]
