"""
The emulator over real sockets: what it hands on, what goes wrong when it is told to, what it tells, and whom.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import sys
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import mixwire.testing.server as module
from mixwire import testing
from mixwire.core import Add, Cause, Endpoint, PeopleOp, Project, Track, encode
from mixwire.testing.faults import LostAnswer, Reset, Script, Status
from mixwire.testing.local import LocalMixpanel
from mixwire.testing.server import MixpanelServer, application
from mixwire.testing.state import Settings
from mixwire.transports import SyncTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOW: Final = 1_767_225_600_000
GUARD_SECONDS: Final = 20.0
"""Nothing here waits longer, so that a broken test fails instead of hanging."""

JSON_TYPE: Final = {"Content-Type": "application/json"}
EVENT: Final = (
    b'[{"event":"Opened","properties":{"token":"T0","distinct_id":"user-1","time":1767225600,"$insert_id":"a1"}}]'
)
UPDATE: Final = b'[{"$token":"T0","$distinct_id":"user-1","$add":{"visits":1}}]'
GROUP: Final = b'[{"$token":"T0","$group_key":"company","$group_id":"acme","$set":{"plan":"pro"}}]'


@pytest.fixture(autouse=True)
def _nothing_is_logged_or_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level("WARNING")
    caplog.set_level("INFO", "uvicorn.access")
    yield
    assert [record.getMessage() for phase in ("call", "teardown") for record in caplog.get_records(phase)] == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("mixwire-emulator")] == []


@pytest.fixture
def server() -> Iterator[MixpanelServer]:
    with MixpanelServer(LocalMixpanel(now=lambda: NOW)) as running:
        yield running


def connect(server: MixpanelServer) -> closing[HTTPConnection]:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return closing(HTTPConnection(host.strip("[]"), int(port), timeout=GUARD_SECONDS))


class Answer:
    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


def ask_on(
    connection: HTTPConnection, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    connection.request(method, target, body, dict(headers))
    return Answer(connection.getresponse())


def ask(
    server: MixpanelServer,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = JSON_TYPE,
) -> Answer:
    with connect(server) as connection:
        return ask_on(connection, method, target, body, headers)


def fail_next(server: MixpanelServer, **fault: object) -> None:
    assert ask(server, "POST", "/_emulator/faults", json.dumps(fault).encode()).status == 204


def eventually(is_so: Any, seconds: float = GUARD_SECONDS) -> bool:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


# What is handed on.


@pytest.mark.parametrize(
    ("path", "body", "headers", "answer"),
    [
        ("/track", EVENT, {}, b"1"),
        ("/track/?verbose=1", EVENT, {}, b'{"error": null, "status": 1}'),
        ("/engage", UPDATE, {}, b"1"),
        ("/engage/?verbose=1", UPDATE, {}, b'{"error": null, "status": 1}'),
        ("/groups", GROUP, {}, b"1"),
        ("/groups/?verbose=1", GROUP, {}, b'{"error": null, "status": 1}'),
        (
            "/import?strict=1",
            b'[{"event":"Opened","properties":{"distinct_id":"user-1","time":1767225600,"$insert_id":"a1"}}]',
            {"Authorization": "Basic VDA6"},
            b'{"code":200,"num_records_imported":1,"status":"OK"}',
        ),
        (
            "/import/?strict=1",
            b"[{}]",
            {},
            b'{"code":401,"error":"Invalid credentials","status":"Unauthorized"}',
        ),
    ],
)
def test_each_endpoint_answers_with_and_without_a_slash_at_the_end(
    server: MixpanelServer, path: str, body: bytes, headers: dict[str, str], answer: bytes
) -> None:
    given = ask(server, "POST", path, body, {**JSON_TYPE, **headers})
    assert given.body == answer
    assert given.status == (401 if b"401" in answer else 200)


def test_a_request_is_handed_on_as_it_came(server: MixpanelServer) -> None:
    body = gzip.compress(EVENT)
    headers = {**JSON_TYPE, "Content-Encoding": "gzip", "X-Name": "\N{LATIN SMALL LETTER U WITH DIAERESIS}ber"}
    assert ask(server, "POST", "/track/?verbose=1&x=%2F%20+&y", body, headers).status == 200
    (exchange,) = server.mixpanel.state.exchanges.entries
    assert exchange.request.method == "POST"
    assert exchange.request.target == "/track/?verbose=1&x=%2F%20+&y"
    assert dict(exchange.request.headers)["x-name"] == "\N{LATIN SMALL LETTER U WITH DIAERESIS}ber"
    assert exchange.request.address == "127.0.0.1"
    assert exchange.text == EVENT


def test_a_header_is_found_by_any_spelling_of_its_name(server: MixpanelServer) -> None:
    ask(server, "POST", "/track", EVENT)
    (exchange,) = server.mixpanel.state.exchanges.entries
    assert exchange.request.header("content-type") == "application/json"
    assert exchange.request.header("Content-Type") == "application/json"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_every_method_is_for_mixpanel_to_answer(server: MixpanelServer, method: str) -> None:
    assert ask(server, method, "/groups").status == 405
    (exchange,) = server.mixpanel.state.exchanges.entries
    assert exchange.request.method == method


@pytest.mark.parametrize("target", ["/nothing", "/track/more", "/_emulator", "/_emulatorx", "//", "/lookup-tables/1"])
def test_a_path_that_is_nobodys_is_for_mixpanel_to_answer(server: MixpanelServer, target: str) -> None:
    given = ask(server, "GET", target)
    assert (given.status, given.json) == (404, {"error": "no such path", "status": "error"})
    (exchange,) = server.mixpanel.state.exchanges.entries
    assert exchange.request.target == target


def test_a_target_that_is_no_path_is_for_mixpanel_to_answer(server: MixpanelServer) -> None:
    assert ask(server, "OPTIONS", "*").status == 404


def test_a_get_that_is_too_long_is_for_mixpanel_to_answer(server: MixpanelServer) -> None:
    with connect(server) as connection:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(b"GET /track?data=")
        for _ in range(5):
            connection.send(b"A" * 20_000)
            # What comes at once is never too long to be read.
            time.sleep(0.01)
        connection.send(b" HTTP/1.1\r\nHost: a\r\n\r\n")
        response = HTTPResponse(connection.sock, method="GET")
        response.begin()
        assert (response.status, response.headers["Content-Type"]) == (414, "text/html")
        response.close()


def test_a_body_without_a_length_is_read_whole(server: MixpanelServer) -> None:
    with connect(server) as connection:
        connection.request("POST", "/track", iter([EVENT[:20], EVENT[20:]]), JSON_TYPE, encode_chunked=True)
        assert Answer(connection.getresponse()).body == b"1"
    assert [event.name for event in server.mixpanel.events()] == ["Opened"]


def test_a_body_that_is_too_long_to_be_read_is_answered_413(
    server: MixpanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 0)
    longest = server.mixpanel.state.settings.max_body_bytes
    with connect(server) as connection:
        given = ask_on(connection, "POST", "/track", b" " * (longest + 1), JSON_TYPE)
        assert (given.status, given.json) == (413, {"error": "the body must be at most 2,097,152 bytes"})
        assert server.mixpanel.state.number == 0
        assert ask_on(connection, "POST", "/track", EVENT + b" " * (longest - len(EVENT)), JSON_TYPE).body == b"1"


def test_a_client_that_leaves_within_its_body_has_sent_nothing(server: MixpanelServer) -> None:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=GUARD_SECONDS) as client:
        client.sendall(b"POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n[")
    assert ask(server, "POST", "/track", EVENT).body == b"1"
    assert len(server.mixpanel.state.exchanges.entries) == 1


def test_the_ingestion_paths_ask_neither_for_a_host_nor_for_an_origin(server: MixpanelServer) -> None:
    foreign = {**JSON_TYPE, "Host": "api.mixpanel.com", "Origin": "https://example.com", "Sec-Fetch-Site": "cross-site"}
    assert ask(server, "POST", "/track", EVENT, foreign).body == b"1"


def test_a_transport_of_ours_delivers_to_it(server: MixpanelServer) -> None:
    project = Project("T0", server=server.url)
    track = Track("Opened", distinct_id="user-1", properties={"plan": "pro"}, time=NOW, insert_id="a1")
    with SyncTransport(project) as transport:
        assert transport.send(
            encode(track, project), encode(PeopleOp("user-1", Add({"visits": 2})), project)
        ).is_success
    (event,) = server.mixpanel.events()
    assert (event.name, event.properties["plan"]) == ("Opened", "pro")
    assert server.mixpanel.profile("user-1") == {"visits": 2}


# What goes wrong.


def test_the_next_requests_get_a_429_and_the_one_after_them_is_taken(server: MixpanelServer) -> None:
    fail_next(server, fault="status", code=429, retry_after="7", times=2)
    for _ in range(2):
        given = ask(server, "POST", "/track", EVENT)
        assert (given.status, given.headers["Retry-After"]) == (429, "7")
        assert given.json == {"code": 429, "error": "scripted", "status": "Too Many Requests"}
    assert server.mixpanel.events() == ()
    given = ask(server, "POST", "/track", EVENT)
    assert (given.status, given.body, given.headers["Retry-After"]) == (200, b"1", None)


@pytest.mark.parametrize("code", [413, 500])
@pytest.mark.parametrize("is_applied", [False, True], ids=["kept away", "applied"])
def test_a_status_comes_with_or_without_the_request_taking_effect(
    server: MixpanelServer, code: int, is_applied: bool
) -> None:
    fail_next(server, fault="status", code=code, is_applied=is_applied)
    given = ask(server, "POST", "/engage", UPDATE)
    assert (given.status, given.json["error"], given.headers["Retry-After"]) == (code, "scripted", None)
    assert server.mixpanel.profile("user-1") == ({"visits": 1} if is_applied else None)


@pytest.mark.parametrize("code", [204, 304])
def test_a_status_that_has_no_body_is_answered_without_one(server: MixpanelServer, code: int) -> None:
    fail_next(server, fault="status", code=code)
    with connect(server) as connection:
        given = ask_on(connection, "POST", "/track", EVENT, JSON_TYPE)
        assert (given.status, given.body) == (code, b"")
        assert ask_on(connection, "POST", "/track", EVENT, JSON_TYPE).body == b"1"


def test_a_fault_is_only_for_its_endpoint(server: MixpanelServer) -> None:
    fail_next(server, fault="status", code=500, endpoint="/engage")
    assert ask(server, "POST", "/track", EVENT).status == 200
    assert ask(server, "POST", "/engage", UPDATE).status == 500


def test_a_delayed_answer_comes_late_and_well(server: MixpanelServer) -> None:
    fail_next(server, fault="delay", seconds=0.2)
    begin = time.monotonic()
    assert ask(server, "POST", "/track", EVENT).body == b"1"
    assert time.monotonic() - begin >= 0.2


def test_a_delayed_answer_holds_up_no_other(server: MixpanelServer) -> None:
    fail_next(server, fault="delay", seconds=60)
    with connect(server) as late:
        late.request("POST", "/track", EVENT, JSON_TYPE)
        assert server.mixpanel.wait_for(lambda state: state.counts.requests == 1, GUARD_SECONDS)
        assert ask(server, "POST", "/track", EVENT).body == b"1"


@pytest.mark.parametrize(
    ("fault", "expected"), [("reset", None), ("lost_answer", {"visits": 1})], ids=["before applying", "after applying"]
)
def test_a_connection_is_reset_before_or_after_the_request_takes_effect(
    server: MixpanelServer, fault: str, expected: dict[str, int] | None
) -> None:
    fail_next(server, fault=fault)
    with pytest.raises(ConnectionResetError) as raised:
        ask(server, "POST", "/engage", UPDATE)
    # Not the kind of it that stands for an ordinary end without an answer.
    assert type(raised.value) is ConnectionResetError
    assert server.mixpanel.profile("user-1") == expected
    assert ask(server, "POST", "/engage", UPDATE).status == 200


def test_a_connection_that_was_used_before_is_reset_as_well(server: MixpanelServer) -> None:
    server.mixpanel.fail_next(LostAnswer(), endpoint=Endpoint.ENGAGE)
    with connect(server) as connection, connect(server) as other:
        assert ask_on(connection, "POST", "/track", EVENT, JSON_TYPE).body == b"1"
        assert ask_on(other, "POST", "/track", EVENT, JSON_TYPE).body == b"1"
        with pytest.raises(ConnectionResetError) as raised:
            ask_on(connection, "POST", "/engage", UPDATE, JSON_TYPE)
        assert type(raised.value) is ConnectionResetError
        assert ask_on(other, "POST", "/engage", UPDATE, JSON_TYPE).body == b"1"


def test_a_transport_of_ours_takes_a_lost_answer_for_perhaps_applied(server: MixpanelServer) -> None:
    server.mixpanel.fail_next(LostAnswer())
    project = Project("T0", server=server.url)
    with SyncTransport(project) as transport:
        (unknown,) = transport.send(encode(PeopleOp("user-1", Add({"visits": 1})), project)).unknown
    assert unknown.cause is Cause.ANSWER_LOST
    assert server.mixpanel.profile("user-1") == {"visits": 1}


def test_faults_are_told_in_order_and_forgotten_when_they_are_deleted(server: MixpanelServer) -> None:
    fail_next(server, fault="status", code=503, retry_after="2", times=3, endpoint="/track")
    fail_next(server, fault="reset", times=None)
    assert server.mixpanel.state.scripts == (Script(Status(503, "2"), 3, Endpoint.TRACK), Script(Reset(), None))
    assert ask(server, "GET", "/_emulator/faults").json == {
        "faults": [
            {
                "fault": "status",
                "code": 503,
                "retry_after": "2",
                "is_applied": False,
                "times": 3,
                "endpoint": "/track",
            },
            {"fault": "reset", "times": None, "endpoint": None},
        ]
    }
    given = ask(server, "DELETE", "/_emulator/faults")
    assert (given.status, given.body) == (204, b"")
    assert ask(server, "GET", "/_emulator/faults").json == {"faults": []}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body must be JSON, not other text"),
        (b"{", "the body must be JSON, not other text"),
        (b'"reset"', "the body must be a JSON object, not str"),
        (b'{"fault": "reset", "times": 0}', "times must be a whole number of at least 1, or null for all, not 0"),
    ],
    ids=["empty", "broken", "no object", "wrong"],
)
def test_a_wrong_fault_is_answered_400_and_nothing_is_scripted(
    server: MixpanelServer, body: bytes, sentence: str
) -> None:
    given = ask(server, "POST", "/_emulator/faults", body)
    assert (given.status, given.json) == (400, {"error": sentence})
    assert server.mixpanel.state.scripts == ()


def test_a_fault_as_long_as_a_book_is_not_read(server: MixpanelServer) -> None:
    given = ask(server, "POST", "/_emulator/faults", b" " * 65_537)
    assert (given.status, given.json) == (413, {"error": "the body must be at most 65,536 bytes"})


# What is told.


def test_events_are_told_exactly(server: MixpanelServer) -> None:
    ask(server, "POST", "/track", EVENT)
    given = ask(server, "GET", "/_emulator/events")
    assert given.headers["Cache-Control"] == "no-store"
    assert given.headers["X-Content-Type-Options"] == "nosniff"
    assert given.json == {
        "events": [
            {
                "number": 2,
                "request": 1,
                "index": 0,
                "received": NOW,
                "endpoint": "/track",
                "fate": "stored",
                "reason": "",
                "notes": [],
                "name": "Opened",
                "distinct_id": "user-1",
                "user": "user-1",
                "time": NOW,
                "properties": {"distinct_id": "user-1", "time": NOW, "$insert_id": "a1"},
            }
        ],
        "forgotten": 0,
    }


def test_the_query_view_counts_an_event_that_was_sent_twice_once(server: MixpanelServer) -> None:
    for _ in range(2):
        ask(server, "POST", "/track", EVENT)
    assert [event["number"] for event in ask(server, "GET", "/_emulator/events").json["events"]] == [2, 4]
    assert [event["number"] for event in ask(server, "GET", "/_emulator/events?view=raw").json["events"]] == [2, 4]
    assert [event["number"] for event in ask(server, "GET", "/_emulator/events?view=query").json["events"]] == [4]


def test_profiles_groups_and_updates_are_told_exactly(server: MixpanelServer) -> None:
    ask(server, "POST", "/engage?ip=0", UPDATE)
    ask(server, "POST", "/groups", GROUP)
    rest = {"index": 0, "received": NOW, "fate": "stored", "reason": "", "notes": []}
    of_user = {
        **rest,
        "number": 2,
        "request": 1,
        "endpoint": "/engage",
        "owner": "user-1",
        "update": {"$distinct_id": "user-1", "$add": {"visits": 1}},
    }
    of_group = {
        **rest,
        "number": 4,
        "request": 3,
        "endpoint": "/groups",
        "owner": ["company", "acme"],
        "update": {"$group_key": "company", "$group_id": "acme", "$set": {"plan": "pro"}},
    }
    profile = {"distinct_id": "user-1", "properties": {"visits": 1}, "last_seen": NOW, "history": [of_user]}
    group = {
        "group_key": "company",
        "group_id": "acme",
        "properties": {"plan": "pro"},
        "last_seen": NOW,
        "history": [of_group],
    }
    assert ask(server, "GET", "/_emulator/profiles").json == {"profiles": [profile], "forgotten": 0}
    assert ask(server, "GET", "/_emulator/groups").json == {"groups": [group], "forgotten": 0}
    assert ask(server, "GET", "/_emulator/updates").json == {"updates": [of_user, of_group], "forgotten": 0}
    assert ask(server, "GET", "/_emulator/updates?after=2").json == {"updates": [of_group], "forgotten": 0}


def test_requests_are_told_without_what_authorizes_them(server: MixpanelServer) -> None:
    with connect(server) as connection:
        ask_on(connection, "POST", "/import?strict=1", b"[]", {**JSON_TYPE, "Authorization": "Basic VDA6"})
        host = f"{connection.host}:{connection.port}"
    (request,) = ask(server, "GET", "/_emulator/requests").json["requests"]
    assert sorted(request.pop("headers")) == [
        ["accept-encoding", "identity"],
        ["authorization", "Basic ***"],
        ["content-length", "2"],
        ["content-type", "application/json"],
        ["host", host],
    ]
    answer = request.pop("answer")
    assert json.loads(answer)["code"] == 400
    assert request == {
        "number": 1,
        "received": NOW,
        "method": "POST",
        "path": "/import",
        "query": "strict=1",
        "body": "[]",
        "records": 0,
        "fault": None,
        "is_applied": False,
        "status": 400,
    }


def test_stats_are_told_exactly() -> None:
    settings = Settings(max_events=1)
    with MixpanelServer(LocalMixpanel(settings, now=lambda: NOW)) as server:
        ask(server, "POST", "/track", EVENT)
        ask(server, "POST", "/track", EVENT)
        ask(server, "POST", "/engage", UPDATE)
        assert ask(server, "GET", "/_emulator/stats").json == {
            "requests": 3,
            "faults": 0,
            "truncated": 0,
            "events": {"stored": 2, "refused": 0, "dropped": 0, "ignored": 0},
            "updates": {"stored": 1, "refused": 0, "dropped": 0, "ignored": 0},
            "kept": {"events": 1, "updates": 1, "requests": 3, "profiles": 1, "groups": 0},
            "most": {"events": 1, "updates": 10_000, "requests": 1_000, "profiles": 10_000, "bytes": 33_554_432},
            "forgotten": {"events": 1, "updates": 0, "requests": 0, "profiles": 0},
            "id_system": "original",
            "number": 6,
        }


def test_what_is_asked_for_without_knowing_the_rest_is_the_newest(server: MixpanelServer) -> None:
    for _ in range(3):
        ask(server, "POST", "/track", EVENT)

    def numbers(query: str) -> list[int]:
        return [event["number"] for event in ask(server, "GET", f"/_emulator/events?{query}").json["events"]]

    assert numbers("") == [2, 4, 6]
    assert numbers("after=2") == [4, 6]
    assert numbers("limit=2") == [4, 6]
    assert numbers("after=4&limit=2") == [6]
    assert [each["number"] for each in ask(server, "GET", "/_emulator/requests?limit=1").json["requests"]] == [5]
    assert [each["number"] for each in ask(server, "GET", "/_emulator/requests?number=5").json["requests"]] == [5]
    assert ask(server, "GET", "/_emulator/requests?number=4").json["requests"] == []


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("events?view=other", "view must be raw or query, not another value"),
        ("events?after=-1", "after must be a whole number of at least 0, not another value"),
        ("events?after=1.5", "after must be a whole number of at least 0, not another value"),
        ("updates?after=", "after must be a whole number of at least 0, not another value"),
        ("requests?limit=0", "limit must be a whole number of at least 1, not another value"),
        ("profiles?limit=9999999999999999999", "limit must be a whole number of at least 1, not another value"),
        ("events?afer=1", "the parameters must be some of view, after, limit, not others"),
        ("groups?after=1", "the parameters must be some of limit, not others"),
        ("stats?limit=1", "the parameters must be left out, not others"),
    ],
)
def test_a_wrong_parameter_is_answered_400_with_what_is_allowed(
    server: MixpanelServer, target: str, sentence: str
) -> None:
    given = ask(server, "GET", f"/_emulator/{target}")
    assert (given.status, given.json) == (400, {"error": sentence})


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/_emulator/nothing", 404),
        ("GET", "/_emulator/events/", 404),
        ("GET", "/_emulator/", 404),
        ("POST", "/_emulator/events", 405),
        ("GET", "/_emulator/reset", 405),
        ("PUT", "/_emulator/faults", 405),
        ("POST", "/", 405),
    ],
)
def test_what_the_emulator_does_not_know_of_itself_is_no_request_to_mixpanel(
    server: MixpanelServer, method: str, target: str, status: int
) -> None:
    given = ask(server, method, target)
    assert (given.status, list(given.json)) == (status, ["error"])
    assert server.mixpanel.state.number == 0


def test_a_reset_forgets_everything(server: MixpanelServer) -> None:
    ask(server, "POST", "/track", EVENT)
    fail_next(server, fault="reset")
    given = ask(server, "POST", "/_emulator/reset")
    assert (given.status, given.body) == (204, b"")
    assert ask(server, "GET", "/_emulator/events").json == {"events": [], "forgotten": 0}
    assert ask(server, "GET", "/_emulator/faults").json == {"faults": []}
    assert ask(server, "GET", "/_emulator/stats").json["number"] == 0


def test_what_json_can_hold_but_hardly_anybody_reads_can_be_told(server: MixpanelServer) -> None:
    ask(server, "POST", "/track", EVENT.replace(b"Opened", b"Op\xffened"))
    # The second of them makes the whole be read in a slower way, which knows integers of any length.
    ask(server, "POST", "/groups", GROUP.replace(b'"pro"', b"100000000000000000000000")[:-1] + b',"\xff"]')
    for what in ("events", "groups", "updates", "requests"):
        assert ask(server, "GET", f"/_emulator/{what}").json[what] != []
    assert server.mixpanel.group("company", "acme") == {"plan": 10**23}


# The stream.


def stats_of(response: HTTPResponse) -> Any:
    assert response.readline() == b"event: stats\n"
    name, _, data = response.readline().partition(b": ")
    assert name == b"data"
    assert response.readline() == b"\n"
    return json.loads(data)


def test_the_stream_tells_the_stats_at_once_and_after_a_change(server: MixpanelServer) -> None:
    with connect(server) as connection:
        connection.request("GET", "/_emulator/stream")
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        assert stats_of(response)["requests"] == 0
        ask(server, "POST", "/track", EVENT)
        assert stats_of(response) == ask(server, "GET", "/_emulator/stats").json
        server.mixpanel.reset()
        assert stats_of(response)["requests"] == 0


def test_many_changes_are_told_together(server: MixpanelServer) -> None:
    with connect(server) as connection, connect(server) as sender:
        connection.request("GET", "/_emulator/stream")
        response = connection.getresponse()
        told = [stats_of(response)["requests"]]
        begin = time.monotonic()
        for _ in range(50):
            assert ask_on(sender, "POST", "/track", EVENT, JSON_TYPE).body == b"1"
        while told[-1] < 50:
            told.append(stats_of(response)["requests"])
        # Four a second, and one for the beginning and the end each.
        assert len(told) <= 2 + 4 * (time.monotonic() - begin)


def test_a_quiet_stream_shows_that_it_is_alive(server: MixpanelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.25)
    with connect(server) as connection:
        connection.request("GET", "/_emulator/stream")
        response = connection.getresponse()
        stats_of(response)
        assert [response.readline() for _ in range(4)] == [b":\n", b"\n", b":\n", b"\n"]


def test_a_stream_ends_when_the_server_closes(server: MixpanelServer) -> None:
    with connect(server) as connection:
        connection.request("GET", "/_emulator/stream")
        response = connection.getresponse()
        stats_of(response)
        begin = time.monotonic()
        server.close()
        assert response.read() == b""
    assert time.monotonic() - begin < 3


def test_who_leaves_a_stream_is_forgotten(server: MixpanelServer) -> None:
    with connect(server) as connection:
        connection.request("GET", "/_emulator/stream")
        stats_of(connection.getresponse())
    running = server._server
    assert running is not None
    assert eventually(lambda: not running.server_state.tasks)


# The page, and who may ask.


def test_the_page_may_load_nothing_but_what_it_brings(server: MixpanelServer) -> None:
    given, other = ask(server, "GET", "/"), ask(server, "GET", "/")
    policy = given.headers["Content-Security-Policy"]
    (nonce, same) = re.findall(r"'nonce-([\w-]{20,})'", policy)
    assert nonce == same
    assert policy == (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert given.headers["Content-Type"] == "text/html; charset=utf-8"
    assert given.headers["X-Content-Type-Options"] == "nosniff"
    assert given.headers["Cache-Control"] == "no-store"
    assert given.headers["Referrer-Policy"] == "no-referrer"
    page = Path(module.__file__).with_name("page.html").read_text(encoding="utf-8")
    assert "{{nonce}}" in page
    assert given.body.decode() == page.replace("{{nonce}}", nonce)
    assert other.headers["Content-Security-Policy"] != policy


def test_a_browser_that_looks_for_an_icon_is_no_client(server: MixpanelServer) -> None:
    given = ask(server, "GET", "/favicon.ico")
    assert (given.status, given.body) == (204, b"")
    assert server.mixpanel.state.number == 0


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "https://example.com"}, False),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "{own}0"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "{own}", "Sec-Fetch-Site": "cross-site"}, False),
    ],
    ids=[
        "program",
        "own page",
        "typed",
        "foreign",
        "other port",
        "longer port",
        "opaque",
        "empty",
        "cross-site",
        "same-site",
        "contradiction",
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/_emulator/reset", b""),
        ("POST", "/_emulator/faults", b'{"fault": "reset"}'),
        ("DELETE", "/_emulator/faults", b""),
        ("POST", "/%5femulator/reset", b""),
    ],
    ids=["reset", "fault", "heal", "spelt otherwise"],
)
def test_nothing_is_changed_for_a_page_of_another_site(
    server: MixpanelServer, method: str, path: str, body: bytes, headers: dict[str, str], is_taken: bool
) -> None:
    ask(server, "POST", "/track", EVENT)
    server.mixpanel.fail_next(LostAnswer())
    before = server.mixpanel.state
    given = ask(server, method, path, body, {name: value.format(own=server.url) for name, value in headers.items()})
    if is_taken:
        assert given.status == 204
        assert server.mixpanel.state is not before
    else:
        assert given.status == 403
        assert given.json == {
            "error": "this is only for programs and for the page of the emulator: see the headers Origin and "
            "Sec-Fetch-Site"
        }
        assert server.mixpanel.state is before


@pytest.mark.parametrize("path", ["/", "/_emulator/events", "/_emulator/stream", "/_emulator/stats"])
@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "127.0.0.1.example.com",
        "10.0.0.1",
        "localhost.example.com:80",
        "a@localhost",
        "localhost:80@example.com",
        "",
        "[::ffff]",
    ],
)
def test_a_name_that_was_pointed_here_sees_nothing(server: MixpanelServer, path: str, host: str) -> None:
    given = ask(server, "GET", path, None, {"Host": host})
    assert given.status == 403
    assert given.json == {"error": "this is only for the address that the emulator listens on: see the header Host"}


@pytest.mark.parametrize("host", ["localhost", "LocalHost:1", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::1]:8788"])
def test_loopback_is_known_by_every_name_of_it(server: MixpanelServer, host: str) -> None:
    assert ask(server, "GET", "/_emulator/stats", None, {"Host": host}).status == 200


@pytest.mark.parametrize(
    ("bound", "host", "is_ours"),
    [
        ("0.0.0.0", "10.0.0.1:8788", True),
        ("::", "[fd00::1]:8788", True),
        ("0.0.0.0", "example.com", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("emulator", "Emulator:8788", True),
        ("emulator", "other:8788", False),
        ("emulator", "127.0.0.1", True),
    ],
)
def test_the_address_that_was_bound_is_ours_and_any_of_those_that_stand_for_all(
    bound: str, host: str, is_ours: bool
) -> None:
    assert module._is_ours(host, bound) is is_ours


def test_a_server_that_listens_everywhere_is_asked_by_any_address() -> None:
    with MixpanelServer(host="0.0.0.0") as server:
        assert ask(server, "GET", "/_emulator/stats", None, {"Host": "10.0.0.1"}).status == 200
        assert ask(server, "GET", "/_emulator/stats", None, {"Host": "example.com"}).status == 403


# The server itself.


def test_a_server_has_no_address_before_it_starts() -> None:
    with pytest.raises(RuntimeError, match="the server has no address before it is started"):
        _ = MixpanelServer().url


def test_a_server_can_be_started_and_closed_twice() -> None:
    server = MixpanelServer(LocalMixpanel(now=lambda: NOW))
    server.close()
    server.start()
    url = server.url
    server.start()
    assert server.url == url
    assert ask(server, "POST", "/track", EVENT).body == b"1"
    server.close()
    server.close()
    assert len(server.mixpanel.events()) == 1


def test_a_closed_server_can_start_again_and_knows_what_it_knew() -> None:
    server = MixpanelServer()
    for _ in range(2):
        with server:
            assert ask(server, "POST", "/track", EVENT).body == b"1"
            assert stats_count(server) == server.mixpanel.state.counts.requests
    assert server.mixpanel.state.counts.requests == 2


def stats_count(server: MixpanelServer) -> int:
    with connect(server) as connection:
        connection.request("GET", "/_emulator/stream")
        count = stats_of(connection.getresponse())["requests"]
        assert isinstance(count, int)
        return count


def test_a_closed_server_takes_no_connection(server: MixpanelServer) -> None:
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "POST", "/track", EVENT)


def test_a_port_is_had_by_one_server_at_a_time(server: MixpanelServer) -> None:
    port = int(server.url.rpartition(":")[2])
    other = MixpanelServer(port=port)
    with pytest.raises(OSError, match="in use"):
        other.start()
    with connect(server) as connection:
        assert ask_on(connection, "POST", "/track", EVENT, JSON_TYPE).body == b"1"
        # The side that ends a connection keeps its port for a minute.
        server.close()
        with other:
            assert other.url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("host", "beginning"),
    [
        ("localhost", "http://127.0.0.1:"),
        ("0.0.0.0", "http://127.0.0.1:"),
        pytest.param("::1", "http://[::1]:", marks=pytest.mark.needs("ipv6")),
        pytest.param("::", "http://[::1]:", marks=pytest.mark.needs("ipv6")),
    ],
)
def test_the_url_is_one_that_a_client_here_can_use(host: str, beginning: str) -> None:
    with MixpanelServer(host=host) as server:
        assert server.url.startswith(beginning) or (host == "localhost" and server.url.startswith("http://[::1]:"))
        assert ask(server, "POST", "/track", EVENT).body == b"1"
        assert ask(server, "GET", "/_emulator/stats").json["requests"] == 1


def test_closing_answers_what_was_delayed_at_once(server: MixpanelServer) -> None:
    fail_next(server, fault="delay", seconds=600)
    with connect(server) as connection:
        connection.request("POST", "/track", EVENT, JSON_TYPE)
        assert server.mixpanel.wait_for(lambda state: state.counts.requests == 1, GUARD_SECONDS)
        server.close()
        assert Answer(connection.getresponse()).body == b"1"


@pytest.mark.parametrize(
    ("sent", "grace_seconds"),
    [
        (b"", 60.0),
        (b"POST /track HTTP/1.1\r\n", 60.0),
        (b"POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]", 60.0),
        (b"POST /track HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n[", 0.1),
    ],
    ids=["nothing", "half a head", "a whole request", "half a body"],
)
def test_closing_waits_for_no_client_that_is_idle_and_not_long_for_another(
    server: MixpanelServer, sent: bytes, grace_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GRACE_SECONDS", grace_seconds)
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=GUARD_SECONDS) as client:
        client.sendall(sent)
        running = server._server
        assert running is not None
        assert eventually(lambda: running.server_state.connections)
        begin = time.monotonic()
        server.close()
        assert time.monotonic() - begin < 5
        # What was not answered may end with a reset.
        with suppress(ConnectionResetError):
            while client.recv(4096):
                pass


def test_an_application_under_another_server_says_that_it_cannot_reset() -> None:
    mixpanel = LocalMixpanel()
    mixpanel.fail_next(LostAnswer())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": EVENT}

    async def send(message: Any) -> None:
        """
        Nobody reads it.
        """

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/track",
        "raw_path": b"/track",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "client": None,
    }
    with pytest.raises(RuntimeError, match="only a MixpanelServer can reset a connection"):
        asyncio.run(application(mixpanel)(scope, receive, send))
    (exchange,) = mixpanel.state.exchanges.entries
    assert exchange.request.address == ""


# The extra


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_the_sentence_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "mixwire.testing.server")
    with pytest.raises(ModuleNotFoundError) as refusal:
        _ = testing.MixpanelServer
    sentence = f"mixwire.testing.MixpanelServer needs {refusal.value.name}: pip install 'mixwire[emulator]'"
    assert str(refusal.value) == sentence
    assert str(refusal.value.name).split(".")[0] == missing


def test_another_module_that_is_missing_is_no_matter_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mixwire.testing.views", None)
    monkeypatch.delattr(sys.modules["mixwire.testing"], "views")
    monkeypatch.delitem(sys.modules, "mixwire.testing.server")
    with pytest.raises(ImportError) as refusal:
        _ = testing.MixpanelServer
    assert "pip install" not in str(refusal.value)
