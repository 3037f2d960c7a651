"""
The judge answers as a good server does, applies what arrives, and goes wrong only when it is told to.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from mixwire.core import (
    JSON,
    Add,
    Alias,
    Append,
    Charge,
    Delete,
    Endpoint,
    GroupOp,
    InvalidValue,
    Message,
    Operation,
    PeopleOp,
    Project,
    Remove,
    Set,
    SetOnce,
    Track,
    Union,
    Unset,
    encode,
)
from mixwire.testing import Counts, Delay, Judge, LostAnswer, Mute, Reset, Status
from mixwire.transports import SyncTransport

GUARD_SECONDS = 10.0
TIME = time.time_ns() // 1_000_000 - 60_000
LOGIN = {"Authorization": "Basic dG9rZW46"}


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


def post(
    judge: Judge, path: str, body: bytes | list[dict[str, JSON]], headers: dict[str, str] | None = None
) -> tuple[int, dict[str, JSON]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection = http.client.HTTPConnection(judge.url.removeprefix("http://"), timeout=GUARD_SECONDS)
    try:
        connection.request("POST", path, data, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def event(name: str = "a", insert_id: str = "insert-0000000001", **properties: JSON) -> dict[str, JSON]:
    return {
        "event": name,
        "properties": {"distinct_id": "u1", "time": 1, "$insert_id": insert_id, "token": "token", **properties},
    }


def update(**changes: JSON) -> dict[str, JSON]:
    return {"$token": "token", "$distinct_id": "u1", **{f"${name}": value for name, value in changes.items()}}


def encoded(*operations: Operation) -> list[Message]:
    return [encode(operation, Project("token")) for operation in operations]


def deliver(judge: Judge, *operations: Operation) -> list[Message]:
    messages = encoded(*operations)
    with SyncTransport(Project("token", server=judge.url), max_tries=1) as transport:
        assert transport.send(*messages).is_success
    return messages


def people(*changes: Set | SetOnce | Add | Append | Union | Remove | Unset | Delete) -> list[PeopleOp]:
    return [PeopleOp("u1", change) for change in changes]


@pytest.mark.parametrize("path", ["/track", "/engage", "/groups"])
def test_track_engage_and_groups_are_answered_with_a_status(judge: Judge, path: str) -> None:
    group: dict[str, JSON] = {"$token": "token", "$group_key": "company", "$group_id": "acme", "$set": {"a": 1}}
    record = {"/track": event(), "/engage": update(set={"a": 1}), "/groups": group}[path]
    assert post(judge, f"{path}?verbose=1", [record]) == (200, {"error": None, "status": 1})


def test_import_is_answered_with_the_number_of_records(judge: Judge) -> None:
    answer = post(judge, "/import?strict=1", [event(), event("b")], LOGIN)
    assert answer == (200, {"code": 200, "num_records_imported": 2, "status": "OK"})


def test_import_without_credentials_is_refused(judge: Judge) -> None:
    assert post(judge, "/import", [event()])[0] == 401
    assert judge.events() == ()


def test_events_may_be_compressed(judge: Judge) -> None:
    body = gzip.compress(json.dumps([event()]).encode())
    assert post(judge, "/track", body, {"Content-Encoding": "gzip"})[0] == 200
    assert judge.events() == (event(),)
    assert json.loads(judge.arrivals()[0].body) == [event()]


def test_updates_may_not_be_compressed(judge: Judge) -> None:
    body = gzip.compress(json.dumps([update(set={"a": 1})]).encode())
    assert post(judge, "/engage", body, {"Content-Encoding": "gzip"})[0] == 400


WHOLE = json.dumps(event()).encode()


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[", b"[1]", b"[]", b"[@,]", b"[@@]", b"[@] []", b"[@", b"@,", b"[@,1]", b"\xff", b"x"]
)
def test_what_is_no_list_of_objects_is_refused(judge: Judge, body: bytes) -> None:
    assert post(judge, "/track", body.replace(b"@", WHOLE))[0] == 400
    assert post(judge, "/import", body.replace(b"@", WHOLE), LOGIN)[0] == 400
    assert judge.counts() == Counts(requests=2)


def test_what_is_said_to_be_compressed_and_is_not_is_refused(judge: Judge) -> None:
    for body in (b"[]", gzip.compress(b"[]")[:-3], gzip.compress(b"[]" * 50)[:20] + b"x" * 30):
        assert post(judge, "/track", body, {"Content-Encoding": "gzip"})[0] == 400


@pytest.mark.parametrize(
    ("path", "record", "missing"),
    [
        ("/track", {"properties": {"token": "token"}}, "event"),
        ("/track", {"event": "a", "properties": {}}, "token"),
        ("/track", {"event": "a"}, "token"),
        ("/engage", {"$distinct_id": "u1"}, "$token"),
        ("/engage", {"$token": "token"}, "$distinct_id"),
        ("/groups", {"$token": "token", "$group_id": "acme"}, "$group_key"),
        ("/groups", {"$token": "token", "$group_key": "company"}, "$group_id"),
    ],
)
def test_nothing_of_a_request_with_an_incomplete_record_is_applied(
    judge: Judge, path: str, record: dict[str, JSON], missing: str
) -> None:
    whole: dict[str, JSON] = {**event(), **update(), "$group_key": "company", "$group_id": "acme"}
    assert post(judge, path, [whole, record]) == (400, {"error": f"a record has no {missing}", "status": 0})
    assert judge.records() == ()


def test_too_many_records_are_too_large(judge: Judge) -> None:
    assert post(judge, "/track", [event()] * 2000)[0] == 200
    assert post(judge, "/track", [event()] * 2001)[0] == 413


def test_another_path_is_not_found(judge: Judge) -> None:
    assert post(judge, "/people", [])[0] == 404


def test_a_single_record_needs_no_list(judge: Judge) -> None:
    assert post(judge, "/track", json.dumps(event()).encode())[0] == 200
    assert judge.counts().events == 1


def test_a_repeated_event_counts_once_and_is_seen_as_often_as_it_came(judge: Judge) -> None:
    post(judge, "/track", [event(), event()])
    post(judge, "/import", [event()], LOGIN)
    assert judge.counts() == Counts(requests=2, events=1, event_copies=3)
    assert judge.applied(json.dumps(event()).encode()) == 3


@pytest.mark.parametrize(
    "other",
    [event("b"), event(insert_id="insert-0000000002"), event(time=2), event(time="1"), event(distinct_id="u2")],
)
def test_events_that_differ_in_one_of_four_fields_are_two(judge: Judge, other: dict[str, JSON]) -> None:
    post(judge, "/track", [event(), other])
    assert judge.events() == (event(), other)


def test_events_that_differ_in_another_field_are_one_and_the_first_counts(judge: Judge) -> None:
    post(judge, "/track", [event(plan="a"), event(plan="b")])
    assert judge.events() == (event(plan="a"),)


def test_each_record_keeps_the_bytes_that_it_came_in(judge: Judge) -> None:
    bodies = [
        '{"event" : "ä\\u00e4", "properties":{"token":"t", "x":[1.0,"],"]}}',
        '{"event":"b","properties":{"token":""}}',
    ]
    post(judge, "/track", f" [{bodies[0]} ,\n{bodies[1]}]\n".encode())
    assert [record.body.decode() for record in judge.records()] == bodies


CHANGES: list[tuple[list[PeopleOp], dict[str, JSON] | None]] = [
    (people(Set({"a": 1, "b": 2}), Set({"a": 3})), {"a": 3, "b": 2}),
    (people(SetOnce({"a": 1}), SetOnce({"a": 2})), {"a": 1}),
    (people(Add({"a": 1}), Add({"a": 2.5}), Add({"a": -1})), {"a": 2.5}),
    (people(Set({"a": "text"}), Add({"a": 1})), {"a": "text"}),
    (people(Append({"a": 1}), Append({"a": 1})), {"a": [1, 1]}),
    (people(Set({"a": "text"}), Append({"a": 1})), {"a": "text"}),
    (people(Union({"a": ["x", "y"]}), Union({"a": ["y", "z"]})), {"a": ["x", "y", "z"]}),
    (people(Append({"a": 1}), Append({"a": 2}), Append({"a": 1}), Remove({"a": 1})), {"a": [2]}),
    (people(Remove({"a": 1})), None),
    (people(Set({"a": 1, "b": 2}), Unset("a", "c")), {"b": 2}),
    (people(Set({"a": 1}), Delete()), None),
    (people(Delete(), Set({"a": 1})), {"a": 1}),
    ([PeopleOp("u1", Set({"a": 1}), Add({"b": 2}))], {"a": 1, "b": 2}),
    ([PeopleOp("u2", Set({"a": 1}))], None),
]


@pytest.mark.parametrize(("operations", "profile"), CHANGES)
def test_changes_of_a_profile_are_applied_in_order(
    judge: Judge, operations: list[PeopleOp], profile: dict[str, JSON] | None
) -> None:
    deliver(judge, *operations)
    assert judge.profile("u1") == profile
    assert judge.counts().updates == len(operations)


def test_a_charge_is_put_at_the_end_of_the_transactions(judge: Judge) -> None:
    deliver(judge, Charge("u1", 5), Charge("u1", -2))
    assert judge.profile("u1") == {"$transactions": [{"$amount": 5}, {"$amount": -2}]}


def test_groups_are_told_apart_by_key_and_id(judge: Judge) -> None:
    deliver(judge, GroupOp("company", "acme", Set({"a": 1})), GroupOp("team", "acme", Set({"a": 2})))
    assert judge.group("company", "acme") == {"a": 1}
    assert judge.group("team", "acme") == {"a": 2}
    assert judge.group("company", "other") is None
    assert judge.counts() == Counts(requests=1, group_updates=2)


def test_identity_commands_are_kept_in_order_and_are_no_events(judge: Judge) -> None:
    deliver(judge, Alias(alias="n1", distinct_id="u1"), Alias(alias="n2", distinct_id="u1"))
    assert [command["properties"] for command in judge.identities()] == [
        {"distinct_id": "u1", "alias": "n1", "token": "token"},
        {"distinct_id": "u1", "alias": "n2", "token": "token"},
    ]
    assert judge.counts() == Counts(requests=2, identities=2)


def test_records_can_be_asked_for_by_endpoint_and_messages_by_themselves(judge: Judge) -> None:
    track, change = deliver(
        judge,
        Track("a", distinct_id="u1", time=TIME, insert_id="insert-0000000001"),
        PeopleOp("u1", Set({"a": 1})),
    )
    assert [record.body for record in judge.records()] == [track.body, change.body]
    assert [record.body for record in judge.records(Endpoint.ENGAGE)] == [change.body]
    assert judge.applied(track) == judge.applied(change.body) == 1


def test_a_request_is_kept_with_its_path_query_and_headers(judge: Judge) -> None:
    post(judge, "/import?strict=1", [event()], LOGIN)
    (arrival,) = judge.arrivals()
    assert (arrival.path, arrival.query, len(arrival.records)) == ("/import", "strict=1", 1)
    assert ("Authorization", LOGIN["Authorization"]) in arrival.headers
    assert arrival.is_applied
    assert arrival.fault is None
    assert "dG9rZW46" not in repr(arrival)
    assert "u1" not in repr(arrival) + repr(arrival.records)


def test_what_is_returned_is_a_copy(judge: Judge) -> None:
    deliver(judge, PeopleOp("u1", Append({"a": 1})), GroupOp("company", "acme", Set({"a": [1]})))
    post(judge, "/track", [event(cart=[1])])
    for copy in (judge.profile("u1"), judge.group("company", "acme"), judge.events()[0]):
        assert copy is not None
        copy.clear()
    assert judge.profile("u1") == {"a": [1]}
    assert judge.group("company", "acme") == {"a": [1]}
    assert judge.events() == (event(cart=[1]),)


def test_a_scripted_status_is_answered_and_nothing_applied(judge: Judge) -> None:
    judge.fail_next(Status(429, retry_after="7"), times=2)
    connection = http.client.HTTPConnection(judge.url.removeprefix("http://"), timeout=GUARD_SECONDS)
    for _ in range(2):
        connection.request("POST", "/track", json.dumps([event()]))
        response = connection.getresponse()
        assert (response.status, response.getheader("Retry-After")) == (429, "7")
        response.read()
    connection.close()
    assert judge.counts() == Counts(requests=2)
    assert post(judge, "/track", [event()])[0] == 200


def test_a_scripted_status_may_hide_that_the_request_was_applied(judge: Judge) -> None:
    judge.fail_next(Status(502, is_applied=True))
    assert post(judge, "/track", [event()])[0] == 502
    assert judge.counts().events == 1


def test_a_reset_ends_the_connection_and_nothing_is_applied(judge: Judge) -> None:
    judge.fail_next(Reset())
    with pytest.raises(ConnectionError):
        post(judge, "/track", [event()])
    assert judge.wait_for(1, GUARD_SECONDS)
    (arrival,) = judge.arrivals()
    assert (arrival.fault, arrival.body, arrival.is_applied) == (Reset(), b"", False)
    assert judge.counts().events == 0


def test_a_lost_answer_ends_the_connection_after_the_request_was_applied(judge: Judge) -> None:
    judge.fail_next(LostAnswer())
    with pytest.raises(ConnectionError):
        post(judge, "/track", [event()])
    assert judge.counts().events == 1


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_mute_server_answers_when_it_is_healed_if_it_had_applied_the_request(judge: Judge, is_applied: bool) -> None:
    judge.fail_next(Mute(is_applied=is_applied), times=None)
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(post(judge, "/track", [event()])[0])
        except ConnectionError:
            answers.append("reset")

    thread = threading.Thread(target=ask)
    thread.start()
    assert judge.wait_for(1, GUARD_SECONDS)
    assert judge.counts().events == is_applied
    thread.join(0.1)
    assert not answers
    judge.heal()
    thread.join(GUARD_SECONDS)
    assert answers == [200 if is_applied else "reset"]
    assert judge.counts().events == is_applied
    assert post(judge, "/track", [event()])[0] == 200


def test_a_delay_comes_before_the_request_is_applied(judge: Judge) -> None:
    judge.fail_next(Delay(0.2), endpoint=Endpoint.TRACK)
    thread = threading.Thread(target=post, args=(judge, "/track", [event()]))
    thread.start()
    while judge.counts().requests == 0:
        # Whichever came first, the update does not wait.
        post(judge, "/engage", [update(set={"a": 1})])
    thread.join(GUARD_SECONDS)
    assert judge.records()[0].endpoint is Endpoint.ENGAGE
    assert judge.records()[-1].endpoint in (Endpoint.TRACK, Endpoint.ENGAGE)
    assert judge.counts().events == 1


def test_faults_are_played_in_order_each_at_its_endpoint(judge: Judge) -> None:
    judge.fail_next(Status(500), endpoint=Endpoint.ENGAGE)
    judge.fail_next(Status(501))
    judge.fail_next(Status(503), times=2, endpoint=Endpoint.TRACK)
    assert [post(judge, "/track", [event()])[0] for _ in range(4)] == [501, 503, 503, 200]
    assert [post(judge, "/engage", [update(set={"a": 1})])[0] for _ in range(2)] == [500, 200]


def test_healing_forgets_what_was_scripted(judge: Judge) -> None:
    judge.fail_next(Status(500), times=None)
    assert post(judge, "/track", [event()])[0] == 500
    judge.heal()
    assert post(judge, "/track", [event()])[0] == 200


def test_a_fault_that_never_happens_is_a_mistake(judge: Judge) -> None:
    with pytest.raises(InvalidValue, match=r"^times must be at least 1, or None, not 0$"):
        judge.fail_next(Reset(), times=0)


def test_a_reset_judge_knows_nothing_and_its_connections_stay(judge: Judge) -> None:
    with SyncTransport(Project("token", server=judge.url), max_tries=1) as transport:
        for number in range(20):
            (message,) = encoded(Track("a", distinct_id="u1", time=TIME, insert_id=f"insert-{number:010d}"))
            assert transport.send(message).is_success
            assert judge.counts() == Counts(requests=1, events=1, event_copies=1)
            judge.fail_next(Reset(), times=None)
            judge.reset()
            assert judge.counts() == Counts()
            assert judge.records() == judge.arrivals() == judge.events() == judge.identities() == ()


def test_what_is_under_way_when_the_judge_is_reset_is_not_applied(judge: Judge) -> None:
    judge.fail_next(Delay(0.1))
    broken: list[bool] = []

    def ask() -> None:
        with pytest.raises(ConnectionError):
            post(judge, "/track", [event()])
        broken.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.03)
    judge.reset()
    thread.join(GUARD_SECONDS)
    assert judge.counts().events == 0 or not broken


def test_a_request_that_breaks_off_does_not_count(judge: Judge) -> None:
    host, port = judge.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"POST /track HTTP/1.1\r\nContent-Length: 1000\r\n\r\n[")
    assert post(judge, "/track", [event()])[0] == 200
    assert judge.counts().requests == 1


def test_many_threads_at_once_are_counted_exactly(judge: Judge) -> None:
    def work(number: int) -> None:
        for each in range(8):
            post(judge, "/engage", [update(add={"total": 1})])
            post(judge, "/track", [event(insert_id=f"insert-{number:05d}-{each:05d}")])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert judge.profile("u1") == {"total": 64}
    assert judge.counts() == Counts(requests=128, events=64, event_copies=64, updates=64)


def test_waiting_for_more_requests_than_come_ends(judge: Judge) -> None:
    assert judge.wait_for(0, 0.01)
    assert not judge.wait_for(1, 0.01)


def test_closing_ends_all_threads_and_connections_also_those_that_wait() -> None:
    before = set(threading.enumerate())
    judge = Judge()
    judge.fail_next(Mute(is_applied=False), times=None)
    idle = socket.create_connection(("127.0.0.1", int(judge.url.rsplit(":")[-1])))

    def ask() -> None:
        with pytest.raises(ConnectionError):
            post(judge, "/track", [event()])

    thread = threading.Thread(target=ask)
    thread.start()
    assert judge.wait_for(1, GUARD_SECONDS)
    judge.close()
    judge.close()
    thread.join(GUARD_SECONDS)
    assert idle.recv(1) == b""
    idle.close()
    assert not set(threading.enumerate()) - before
    with pytest.raises(ConnectionError):
        post(judge, "/track", [event()])


def test_nothing_is_printed(judge: Judge, capfd: pytest.CaptureFixture[str]) -> None:
    post(judge, "/track", [event()])
    judge.fail_next(Reset())
    with pytest.raises(ConnectionError):
        post(judge, "/track", [event()])
    assert capfd.readouterr() == ("", "")
