"""
Requests as the documentation of Mixpanel prints them, sent byte by byte over a socket, get the answers that it prints;
and the same request gets the same answer in every shape that HTTP allows.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import pytest

from mixwire.testing.local import LocalMixpanel
from mixwire.testing.server import MixpanelServer
from mixwire.testing.state import Settings

GUARD_SECONDS: Final = 10.0
NOW: Final = 1_767_225_660_000
"""A minute after the events."""
SECONDS: Final = 1_767_225_600
TOKEN: Final = "0123456789abcdef0123456789abcdef"
FEW: Final = 40
"""So many events may come in a minute."""

Answer: TypeAlias = tuple[int, str, bytes]
"""The status, the media type and the body."""

JSON_TYPE: Final = "Content-Type: application/json"
LINES_TYPE: Final = "Content-Type: application/x-ndjson"
FORM_TYPE: Final = "Content-Type: application/x-www-form-urlencoded"
GZIP: Final = "Content-Encoding: gzip"
BY_TOKEN: Final = "Authorization: Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()
BY_ACCOUNT: Final = "Authorization: Basic " + base64.b64encode(b"service-account:secret").decode()

ONE: Final[Answer] = (200, "text/plain", b"1")
NONE: Final[Answer] = (200, "text/plain", b"0")
GOOD: Final[Answer] = (200, "application/json", b'{"error": null, "status": 1}')


def bad(error: str) -> Answer:
    return 200, "application/json", b'{"error": "%b", "status": 0}' % error.encode()


def imported(count: int, status: str = '"OK"') -> Answer:
    return 200, "application/json", b'{"code":200,"num_records_imported":%d,"status":%b}' % (count, status.encode())


def said(status: int, body: str) -> Answer:
    return status, "application/json", body.encode()


def refused(message: str, *, field: str, good: int = 0, insert_id: str = "5d1f0a6c") -> Answer:
    return said(
        400,
        '{"code":400,"error":"some data points in the request failed validation","failed_records":['
        f'{{"index":0,"insert_id":"{insert_id}","field":"{field}","message":"{message}"}}'
        f'],"num_records_imported":{good},"status":"Bad Request"}}',
    )


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    """
    A request as it is printed, with the two headers that are left out there.
    """
    head = [f"{line} HTTP/1.1", "Host: api.mixpanel.com", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def answer_on(connection: socket.socket, method: str = "POST") -> Answer:
    response = HTTPResponse(connection, method=method)
    response.begin()
    body = response.read()
    return response.status, response.headers["Content-Type"], body


def connected(server: MixpanelServer) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=GUARD_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(server: MixpanelServer, sent: bytes) -> Answer:
    with connected(server) as connection:
        connection.sendall(sent)
        return answer_on(connection, sent.partition(b" ")[0].decode())


@pytest.fixture(scope="module")
def running() -> Iterator[MixpanelServer]:
    with MixpanelServer(LocalMixpanel(Settings(events_per_minute=FEW), now=lambda: NOW)) as server:
        yield server


@pytest.fixture
def server(running: MixpanelServer) -> MixpanelServer:
    running.mixpanel.reset()
    return running


@pytest.fixture(scope="module")
def simplified() -> Iterator[MixpanelServer]:
    settings = Settings(id_system="simplified")
    with MixpanelServer(LocalMixpanel(settings, now=lambda: NOW)) as server:
        yield server


def event(name: str = "Signup", **properties: Any) -> dict[str, Any]:
    given = {"distinct_id": "u-1", "time": SECONDS, "$insert_id": "5d1f0a6c", **properties}
    return {"event": name, "properties": {key: value for key, value in given.items() if value is not ...}}


def to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


SIGNUP: Final = (
    b'[{"event":"Signup","properties":{"token":"0123456789abcdef0123456789abcdef","distinct_id":"u-1",'
    b'"time":1767225600000,"$insert_id":"5d1f0a6c2b7e4c0f9a3d8e6b1c2d3e4f"}}]'
)
PERCENT: Final = quote(SIGNUP).encode()
BASE64: Final = quote(base64.b64encode(SIGNUP), safe="").encode()


def live(body: bytes = SIGNUP, parameters: str = "?verbose=1&ip=0", *headers: str) -> bytes:
    return request(f"POST /track{parameters}", *(headers or (JSON_TYPE,)), body=body)


def live_of(event: str, properties: str) -> bytes:
    return live(f'[{{"event":{event},"properties":{{{properties}}}}}]'.encode())


TRACK: Final[dict[str, tuple[bytes, Answer]]] = {
    "JSON": (live(), GOOD),
    "JSON, with a slash": (request("POST /track/?verbose=1&ip=0", JSON_TYPE, body=SIGNUP), GOOD),
    "JSON, without parameters": (live(SIGNUP, ""), ONE),
    "JSON, verbose=0": (live(SIGNUP, "?verbose=0"), ONE),
    "JSON, verbose=2": (live(SIGNUP, "?verbose=2"), GOOD),
    "JSON, compressed": (live(gzip.compress(SIGNUP), "?verbose=1&ip=0", JSON_TYPE, GZIP), GOOD),
    "form": (live(b"data=" + PERCENT + b"&verbose=1&ip=0", "", FORM_TYPE), GOOD),
    "form, without parameters": (live(b"data=" + PERCENT, "", FORM_TYPE), ONE),
    "form, parameters in the query": (live(b"data=" + PERCENT, "?verbose=1", FORM_TYPE), GOOD),
    "form, one object": (live(b"data=" + quote(SIGNUP[1:-1]).encode(), "?verbose=1", FORM_TYPE), GOOD),
    "form, base64": (live(b"data=" + BASE64 + b"&verbose=1", "", FORM_TYPE), GOOD),
    "form, base64 of one object": (
        live(b"data=" + quote(base64.b64encode(SIGNUP[1:-1])).encode(), "?verbose=1", FORM_TYPE),
        GOOD,
    ),
    "form, compressed": (
        live(gzip.compress(b"data=" + BASE64 + b"&verbose=1&ip=0"), "", FORM_TYPE, GZIP),
        GOOD,
    ),
    "query, base64": (request(f"GET /track?data={BASE64.decode()}&verbose=1"), GOOD),
    "query": (request(f"GET /track?data={PERCENT.decode()}"), ONE),
    "an image": (
        request(f"GET /track?data={BASE64.decode()}&img=1"),
        (200, "image/gif", base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")),
    ),
    "a function": (
        request(f"GET /track?data={BASE64.decode()}&callback=loaded"),
        (200, "text/javascript", b"loaded(1);"),
    ),
    "no body": (live(b""), bad("data, missing or empty")),
    "no body, without parameters": (live(b"", ""), NONE),
    "no data": (live(b"verbose=1&ip=0", "", FORM_TYPE), bad("data, missing or empty")),
    "no data, parameters in the query": (live(b"ip=0", "?verbose=1", FORM_TYPE), bad("data, missing or empty")),
    "data that cannot be read": (live(b"data=%7Bx&verbose=1", "", FORM_TYPE), bad("data, missing or empty")),
    "an empty list": (live(b"[]"), bad("data, missing or empty")),
    "no token": (live_of('"Signup"', '"distinct_id":"u-1"'), bad("token, missing or empty")),
    "an empty token": (live_of('"Signup"', '"token":""'), bad("token, missing or empty")),
    "no token, without parameters": (live(b'[{"event":"Signup","properties":{}}]', ""), NONE),
    "no name": (live_of("null", f'"token":"{TOKEN}"'), bad("event, missing")),
    "one of two": (live(b"[{}," + SIGNUP[1:]), GOOD),
    "an alias": (
        live_of('"$create_alias"', f'"distinct_id":"u-1","alias":"u-2","token":"{TOKEN}"'),
        GOOD,
    ),
    "an alias without an id": (
        live_of('"$create_alias"', f'"alias":"u-2","token":"{TOKEN}"'),
        bad("distinct_id, missing or empty"),
    ),
    "an identify": (
        live_of(
            '"$identify"',
            f'"$identified_id":"u-1","$anon_id":"6b7a1c3e-0f7e-4a0a-9f3a-0c5a4b1d2e3f","token":"{TOKEN}"',
        ),
        GOOD,
    ),
}

TWO: Final = [event(**{"$insert_id": "a-1"}), event(**{"$insert_id": "a-2"})]
LINES: Final = b"\n".join(map(to_json, TWO))
FAILED: Final = "some data points in the request failed validation"


def old(records: object, parameters: str = "?strict=1", *headers: str) -> bytes:
    return request(f"POST /import{parameters}", *(headers or (BY_TOKEN, JSON_TYPE)), body=to_json(records))


def lines(body: bytes, *headers: str, parameters: str = "?strict=1") -> bytes:
    return request(f"POST /import{parameters}", *headers, LINES_TYPE, body=body)


def form_of(records: object) -> bytes:
    return b"data=" + quote(to_json(records)).encode() + b"&verbose=1"


UNAUTHORIZED: Final = said(401, '{"code":401,"error":"Invalid credentials","status":"Unauthorized"}')
IMPORT: Final[dict[str, tuple[bytes, Answer]]] = {
    "lines, compressed, the token": (lines(gzip.compress(LINES), BY_TOKEN, GZIP), imported(2)),
    "lines, compressed, a service account": (
        lines(gzip.compress(LINES), BY_ACCOUNT, GZIP, parameters="?strict=1&project_id=12345"),
        imported(2),
    ),
    "lines with an end": (lines(LINES + b"\n", BY_TOKEN), imported(2)),
    "JSON": (old(TWO), imported(2)),
    "JSON, with a slash": (request("POST /import/?strict=1", BY_TOKEN, JSON_TYPE, body=to_json(TWO)), imported(2)),
    "JSON, verbose": (old(TWO, "?strict=1&verbose=1"), imported(2, "1")),
    "the minimal merge": (
        old([{"event": "$merge", "properties": {"$distinct_ids": ["u-1", "u-2"], "token": TOKEN}}]),
        imported(1),
    ),
    "one of 24": (
        old([event(time=...), *(event(**{"$insert_id": f"a-{number}"}) for number in range(23))]),
        refused("'properties.time' is invalid: must not be missing", field="properties.time", good=23),
    ),
    "not strict": (old(TWO, ""), ONE),
    "not strict, nothing usable": (old([{}], "?strict=0"), NONE),
    "not strict, verbose": (old(TWO, "?strict=0&verbose=1"), imported(2, "1")),
    "not strict, verbose, one of two": (
        old([{}, event()], "?strict=0&verbose=1"),
        said(200, f'{{"code":200,"error":"{FAILED}","num_records_imported":1,"status":0}}'),
    ),
    "form, verbose": (
        request("POST /import", BY_TOKEN, FORM_TYPE, body=form_of(TWO)),
        said(200, '{"error":null,"status":1}'),
    ),
    "no name": (old([event("")]), refused("'event' must not be missing or blank", field="event")),
    "a time in words": (
        old([event(time="2026-01-01")]),
        refused(
            "'properties.time' is invalid: must be specified as seconds since epoch",
            field="properties.time",
        ),
    ),
    "a time far ahead": (
        old([event(time=SECONDS + 7_200)]),
        refused("'properties.time' is invalid: must not be in the future", field="properties.time"),
    ),
    "no distinct_id": (
        old([event(distinct_id=...)]),
        refused("'properties.distinct_id' is invalid: must not be missing", field="properties.distinct_id"),
    ),
    "an insert_id with other characters": (
        old([event(**{"$insert_id": "a_1"})]),
        refused(
            "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters",
            field="$insert_id",
            insert_id="a_1",
        ),
    ),
    "text that is none": (
        request("POST /import?strict=1", BY_TOKEN, JSON_TYPE, body=to_json([event(page="@")]).replace(b"@", b"\xff")),
        refused("properties.page is invalid: string should be valid utf8", field="properties.page"),
    ),
    "no credentials": (old(TWO, "?strict=1", JSON_TYPE), UNAUTHORIZED),
    "a service account without its project": (old(TWO, "?strict=1", BY_ACCOUNT, JSON_TYPE), UNAUTHORIZED),
    "the token with a project": (old(TWO, "?strict=1&project_id=12345"), UNAUTHORIZED),
    "an api_key": (old(TWO, "?strict=1&api_key=x", JSON_TYPE), UNAUTHORIZED),
    "too long": (
        request("POST /import?strict=1", BY_TOKEN, JSON_TYPE, body=b" " * 2_097_153),
        said(
            413,
            '{"code":413,"error":"request exceeds max limit of 2097152 bytes","status":"Request Entity Too Large"}',
        ),
    ),
    "too long, compressed": (
        request("POST /import?strict=1", BY_TOKEN, JSON_TYPE, GZIP, body=gzip.compress(b" " * 2_097_153)),
        said(
            413,
            '{"code":413,"error":"request exceeds max limit of 2097152 bytes","status":"Request Entity Too Large"}',
        ),
    ),
    "too many": (
        old([{}] * 2_001),
        said(
            400,
            '{"code":400,"error":"request exceeds max limit of 2000 events","status":"Bad Request",'
            '"num_records_imported":0}',
        ),
    ),
    "too often": (
        old([{}] * (FEW + 1)),
        said(
            429,
            '{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.",'
            '"status":"Too Many Requests"}',
        ),
    ),
}


def update(path: str, body: str | bytes, parameters: str = "?verbose=1&ip=0", *headers: str) -> bytes:
    sent = body.encode() if isinstance(body, str) else body
    return request(f"POST {path}{parameters}", JSON_TYPE, *headers, body=sent)


ADD: Final = f'[{{"$token":"{TOKEN}","$distinct_id":"u-1","$time":1767225600,"$add":{{"logins":1}}}}]'
UNION: Final = f'[{{"$token":"{TOKEN}","$group_key":"Company","$group_id":"Acme","$union":{{"features":["export"]}}}}]'
ENGAGE: Final[dict[str, tuple[bytes, Answer]]] = {
    "printed": (update("/engage", ADD), GOOD),
    "without parameters": (update("/engage", ADD, ""), ONE),
    "verbose=2": (update("/engage", ADD, "?verbose=2"), GOOD),
    "with a slash": (update("/engage/", ADD), GOOD),
    "form": (request("POST /engage", FORM_TYPE, body=b"data=" + quote(ADD).encode() + b"&verbose=1"), GOOD),
    "form, base64": (
        request("POST /engage", FORM_TYPE, body=b"data=" + quote(base64.b64encode(ADD.encode()), safe="").encode()),
        ONE,
    ),
    "query": (request(f"GET /engage?data={quote(ADD)}&verbose=1"), GOOD),
    "compressed": (update("/engage", gzip.compress(ADD.encode()), "", GZIP), NONE),
    "no body": (update("/engage", ""), bad("data, missing or empty")),
    "no token": (
        update("/engage", '[{"$distinct_id":"u-1","$set":{}}]'),
        bad("$token, missing or empty"),
    ),
    "no id": (
        update("/engage", f'[{{"$token":"{TOKEN}","$set":{{}}}}]'),
        bad("$distinct_id, missing or empty"),
    ),
    "no operation": (
        update("/engage", f'[{{"$token":"{TOKEN}","$distinct_id":"u-1"}}]'),
        bad("no operation"),
    ),
    "no operation, without parameters": (
        update("/engage", f'[{{"$token":"{TOKEN}","$distinct_id":"u-1"}}]', ""),
        NONE,
    ),
}
GROUPS: Final[dict[str, tuple[bytes, Answer]]] = {
    "printed": (update("/groups", UNION), GOOD),
    "without parameters": (update("/groups", UNION, ""), ONE),
    "with a slash": (update("/groups/", UNION), GOOD),
    "form": (request("POST /groups", FORM_TYPE, body=b"data=" + quote(UNION).encode() + b"&verbose=1"), GOOD),
    "no token": (
        update("/groups", UNION.replace("$token", "token")),
        bad("$token, missing or empty"),
    ),
    "no key": (update("/groups", UNION.replace("Company", "")), bad("$group_key, missing or empty")),
    "no id": (update("/groups", UNION.replace("Acme", "")), bad("$group_id, missing or empty")),
}


@pytest.mark.parametrize("row", TRACK)
def test_what_is_printed_about_track_is_answered(server: MixpanelServer, row: str) -> None:
    sent, answer = TRACK[row]
    assert ask(server, sent) == answer


@pytest.mark.parametrize("row", IMPORT)
def test_what_is_printed_about_import_is_answered(server: MixpanelServer, row: str) -> None:
    sent, answer = IMPORT[row]
    assert ask(server, sent) == answer


@pytest.mark.parametrize("row", ENGAGE)
def test_what_is_printed_about_engage_is_answered(server: MixpanelServer, row: str) -> None:
    sent, answer = ENGAGE[row]
    assert ask(server, sent) == answer


@pytest.mark.parametrize("row", GROUPS)
def test_what_is_printed_about_groups_is_answered(server: MixpanelServer, row: str) -> None:
    sent, answer = GROUPS[row]
    assert ask(server, sent) == answer


def test_what_was_printed_is_what_is_stored(server: MixpanelServer) -> None:
    for sent in (live(), update("/engage", ADD), update("/groups", UNION), lines(LINES, BY_TOKEN)):
        ask(server, sent)
    mixpanel = server.mixpanel
    found = [(stored.name, stored.distinct_id, stored.time, stored.properties) for stored in mixpanel.events()]
    at = SECONDS * 1000
    assert found == [
        (
            "Signup",
            "u-1",
            at,
            {"distinct_id": "u-1", "time": at, "$insert_id": "5d1f0a6c2b7e4c0f9a3d8e6b1c2d3e4f"},
        ),
        *(
            ("Signup", "u-1", at, {"distinct_id": "u-1", "time": at, "$insert_id": insert_id, "$import": True})
            for insert_id in ("a-1", "a-2")
        ),
    ]
    assert mixpanel.profile("u-1") == {"logins": 1}
    assert mixpanel.group("Company", "Acme") == {"features": ["export"]}


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge"])
def test_an_identity_command_makes_a_simplified_project_refuse_all_of_an_import(
    simplified: MixpanelServer, name: str
) -> None:
    properties = {"distinct_id": "u-1", "alias": "u-2", "$distinct_ids": ["u-1", "u-2"], "$identified_id": "u-1"}
    records = [event(), {"event": name, "properties": properties}]
    assert ask(simplified, old(records)) == said(
        400,
        f'{{"code":400,"error":"{FAILED}","failed_records":["identity events are not allowed when project is using '
        'simplified identity management"],"num_records_imported":0,"status":"Bad Request"}',
    )
    assert simplified.mixpanel.events() == ()


@pytest.mark.parametrize("path", ["/tracks", "/track/more", "//track", "/decide", "/Track"])
def test_another_path_is_not_found(server: MixpanelServer, path: str) -> None:
    assert ask(server, request(f"POST {path}", BY_TOKEN, JSON_TYPE, body=SIGNUP))[0] == 404


def test_a_long_message_in_the_query_is_answered_with_414_and_a_page(server: MixpanelServer) -> None:
    status, media_type, body = ask(server, request(f"GET /track?data={'a' * 20_000}"))
    assert (status, media_type) == (414, "text/html")
    assert body.startswith(b"<html>")


# The shapes that HTTP allows


def headed(head: str, body: bytes = SIGNUP) -> bytes:
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body


def chunked(body: bytes, size: int, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    return chunks + b"0\r\n" + trailer + b"\r\n"


HEAD: Final = "POST /track?verbose=1 HTTP/1.1\nHost: x\nContent-Type: application/json"
CHUNKED: Final = f"{HEAD}\nTransfer-Encoding: chunked"
LENGTH: Final = f"Content-Length: {len(SIGNUP)}"
SHAPES: Final[dict[str, bytes]] = {
    "as ever": headed(f"{HEAD}\n{LENGTH}"),
    "names in small letters": headed(
        f"POST /track?verbose=1 HTTP/1.1\nhost: x\ncontent-type: application/json\ncontent-length: {len(SIGNUP)}"
    ),
    "names in capitals, no space after the colon": headed(
        f"POST /track?verbose=1 HTTP/1.1\nHOST:x\nCONTENT-TYPE:APPLICATION/JSON\nCONTENT-LENGTH:{len(SIGNUP)}"
    ),
    "white space around a value": headed(f"{HEAD}; charset=utf-8  \nContent-Length:   {len(SIGNUP)}  "),
    "one chunk": headed(CHUNKED, chunked(SIGNUP, 10_000)),
    "small chunks": headed(CHUNKED, chunked(SIGNUP, 7)),
    "chunks of one byte": headed(CHUNKED, chunked(SIGNUP, 1)),
    "chunks with extensions and a trailer": headed(CHUNKED, chunked(SIGNUP, 50, b";name=value", b"Checksum: 0123\r\n")),
    "compressed chunks": headed(f"{CHUNKED}\nContent-Encoding: gzip", chunked(gzip.compress(SIGNUP), 50)),
    "the whole address": headed(f"{HEAD}\n{LENGTH}".replace(" /track", " http://api.mixpanel.com/track")),
    "HTTP/1.0": headed(f"POST /track?verbose=1 HTTP/1.0\nContent-Type: application/json\n{LENGTH}"),
    "to be closed afterwards": headed(f"{HEAD}\n{LENGTH}\nConnection: close"),
    "a host with its port": headed(f"{HEAD}\n{LENGTH}".replace("Host: x", "Host: api.mixpanel.com:443")),
    "many headers": headed("\n".join([HEAD, LENGTH, *(f"X-Name-{number}: {'v' * 100}" for number in range(90))])),
}


@pytest.mark.parametrize("row", SHAPES)
def test_each_shape_of_a_request_gets_the_same_answer(server: MixpanelServer, row: str) -> None:
    assert ask(server, SHAPES[row]) == GOOD
    assert [stored.name for stored in server.mixpanel.events()] == ["Signup"]


def test_a_request_may_come_byte_by_byte(server: MixpanelServer) -> None:
    with connected(server) as connection:
        for byte in headed(f"{HEAD}\n{LENGTH}"):
            connection.sendall(bytes([byte]))
        assert answer_on(connection) == GOOD


def test_who_expects_to_be_asked_to_continue_is_asked(server: MixpanelServer) -> None:
    with connected(server) as connection:
        connection.sendall(headed(f"{HEAD}\n{LENGTH}\nExpect: 100-continue", b""))
        heard = b""
        while not heard.endswith(b"\r\n\r\n"):
            heard += connection.recv(1)
        assert heard.startswith(b"HTTP/1.1 100 ")
        connection.sendall(SIGNUP)
        assert answer_on(connection) == GOOD


def test_who_expects_to_be_asked_and_does_not_wait_is_answered(server: MixpanelServer) -> None:
    assert ask(server, headed(f"{HEAD}\n{LENGTH}\nExpect: 100-continue")) == GOOD


def test_one_connection_carries_many_requests(server: MixpanelServer) -> None:
    with connected(server) as connection:
        for _ in range(20):
            connection.sendall(SHAPES["as ever"])
            assert answer_on(connection) == GOOD
        connection.sendall(SHAPES["small chunks"])
        assert answer_on(connection) == GOOD


def test_requests_may_come_before_the_answers_to_those_before_them(server: MixpanelServer) -> None:
    sent = [live(), update("/engage", ADD), old(TWO), live(SIGNUP, "")]
    with connected(server) as connection:
        connection.sendall(b"".join(sent))
        # One reader for all of them, because it reads ahead.
        heard = b""
        while not heard.endswith(b"\r\n\r\n1"):
            piece = connection.recv(65_536)
            assert piece
            heard += piece
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in heard.split(b"HTTP/1.1 200 OK")[1:]]
    assert [body[:28] for body in bodies] == [GOOD[2], GOOD[2], imported(2)[2][:28], b"1"]
    assert len(server.mixpanel.events()) == 3


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_who_asks_for_the_end_of_the_connection_gets_it(server: MixpanelServer, version: str) -> None:
    ending = "" if version == "1.0" else "\nConnection: close"
    with connected(server) as connection:
        connection.sendall(headed(f"{HEAD}\n{LENGTH}{ending}".replace("HTTP/1.1", f"HTTP/{version}")))
        heard = b""
        while piece := connection.recv(65_536):
            heard += piece
    assert heard.endswith(b"\r\n\r\n" + GOOD[2])


@pytest.mark.parametrize(
    "cut",
    [
        headed(f"{HEAD}\n{LENGTH}", SIGNUP[:-1]),
        headed(CHUNKED, chunked(SIGNUP, 50)[:-5]),
        headed(HEAD).partition(b"\r\n\r\n")[0],
    ],
    ids=["body", "chunks", "head"],
)
def test_a_request_that_is_cut_off_has_no_effect(server: MixpanelServer, cut: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(cut)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass
    assert ask(server, SHAPES["as ever"]) == GOOD
    assert len(server.mixpanel.state.events.entries) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
        b"hello\r\n\r\n",
        headed(f"{HEAD}\nContent-Length: -1"),
        headed(f"{HEAD}\nContent-Length: 1\nContent-Length: 2"),
        headed(CHUNKED, b"xyz\r\n"),
    ],
    ids=["TLS", "words", "a negative length", "two lengths", "no chunk"],
)
def test_what_is_no_request_is_refused_and_leaves_the_server_well(server: MixpanelServer, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        heard = b""
        try:
            while piece := connection.recv(65_536):
                heard += piece
        except ConnectionResetError:
            pass
    assert heard == b"" or heard.startswith(b"HTTP/1.1 400 ")
    assert ask(server, SHAPES["as ever"]) == GOOD
    assert len(server.mixpanel.state.events.entries) == 1
