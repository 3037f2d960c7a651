"""
`Consumer` and `BufferedConsumer` against servers on loopback.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from pytest_httpserver import HTTPServer

from mixwire import (
    BufferedConsumer,
    Consumer,
    Mixpanel,
    MixpanelException,
    ServiceAccountCredentials,
    consumers,
    json_dumps,
)
from mixwire.core import (
    Answer,
    Cause,
    Endpoint,
    InvalidValue,
    LimitExceeded,
    Outcome,
    ProjectSecret,
    Rejected,
    Request,
    Response,
)
from mixwire.core.foreign import messages_from_json
from mixwire.core.limits import NESTING
from mixwire.testing import Judge, LostAnswer, Mute, Status
from mixwire.transports import BufferedTransport, Network, Stats, SyncTransport, Transport

if TYPE_CHECKING:
    from conftest import Arrivals

GUARD_SECONDS: Final = 10.0
NOW: Final = int(time.time())
NAMES: Final = {"events": "/track", "people": "/engage", "groups": "/groups", "imports": "/import"}
ACCOUNT: Final = ServiceAccountCredentials("app.1a2b3c", "hush", "12345")

Make = Callable[..., Any]


def event(number: int = 0, token: str = "T0", **more: object) -> str:
    properties = {"token": token, "distinct_id": "user-1", "time": NOW, "$insert_id": f"id-{number}", **more}
    return json_dumps({"event": "Opened", "properties": properties})


def people(token: str = "T0", user: str = "user-1", operator: str = "$set") -> str:
    return json_dumps({"$token": token, "$distinct_id": user, operator: {"visits": 1}})


def group(token: str = "T0") -> str:
    return json_dumps({"$token": token, "$group_key": "Company", "$group_id": "acme", "$set": {"plan": "pro"}})


TEXTS: Final[dict[str, Callable[[], str]]] = {"events": event, "people": people, "groups": group, "imports": event}


def urls(base: str) -> dict[str, str]:
    return {
        "events_url": f"{base}/track",
        "people_url": f"{base}/engage",
        "groups_url": f"{base}/groups",
        "import_url": f"{base}/import",
    }


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def short(value: object) -> str:
    return "huge" if type(value) is int and abs(value) > 10**9 else repr(value)[:40]


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + GUARD_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def open_() -> Iterator[Make]:
    """
    Makes consumers, and closes them at the end without waiting for what cannot be delivered.
    """
    made: list[Consumer | BufferedConsumer] = []

    def make(kind: Make, *arguments: Any, **options: Any) -> Any:
        made.append(kind(*arguments, **options))
        return made[-1]

    yield make
    for consumer in made:
        with suppress(MixpanelException):
            consumer.close(timeout=0.0)


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as made:
        yield made


@pytest.fixture
def closed_url() -> Iterator[str]:
    """
    A server that nobody can connect to: its port is taken, and nobody listens there.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class Posted:
    """
    Stands in place of the network and keeps what it was asked.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.options: dict[str, Any] = {}
        self.is_closed = False

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return Response(status=200, body=b'{"status":1,"error":null}')

    def urls(self) -> list[str]:
        return [request.url.partition("?")[0] for request in self.requests]


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Posted:
    kept = Posted()
    make, close = Network.__init__, Network.close

    def made(network: Network, **options: Any) -> None:
        kept.options = options
        make(network, **options)

    def closed(network: Network) -> None:
        kept.is_closed = True
        close(network)

    monkeypatch.setattr(Network, "__init__", made)
    monkeypatch.setattr(Network, "within", lambda _, request, __: kept.answer(request))
    monkeypatch.setattr(Network, "close", closed)
    return kept


both = pytest.mark.parametrize("kind", [Consumer, BufferedConsumer])


def flushed(consumer: Any) -> None:
    if isinstance(consumer, BufferedConsumer):
        consumer.flush()


# Text in, True out.


@both
@pytest.mark.parametrize("endpoint", NAMES)
def test_a_text_goes_in_and_true_comes_out(kind: Make, endpoint: str, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    text = TEXTS[endpoint]()
    assert consumer.send(endpoint, text) is True
    flushed(consumer)
    (request,) = arrivals.requests
    assert request.path == NAMES[endpoint]
    assert arrivals.records(NAMES[endpoint]) == [json.loads(text)]


@both
def test_the_bytes_of_a_text_stay_as_they_are(kind: Make, judge: Judge, open_: Make) -> None:
    consumer = open_(kind, **urls(judge.url))
    text = event(name="Zoë ☃").replace(":", " :  ")
    consumer.send("events", text)
    flushed(consumer)
    assert judge.arrivals()[0].body == b"[" + text.encode() + b"]"


@both
@pytest.mark.parametrize("ending", ["\n", "\r\n", "  \n\n", "\t"], ids=repr)
def test_a_line_of_a_file_goes_with_its_ending(kind: Make, ending: str, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    for endpoint, text in TEXTS.items():
        assert consumer.send(endpoint, text() + ending)
        assert consumer.send(endpoint, f"[{text()},{ending}{text()}]{ending}")
    flushed(consumer)
    assert Counter(path for path in NAMES.values() for _ in arrivals.records(path)) == Counter(
        dict.fromkeys(NAMES.values(), 3)
    )


@both
def test_a_list_is_taken_as_its_messages(kind: Make, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    assert consumer.send("events", f"[{event(1)}, {event(2)},\n{event(3)}]\n")
    flushed(consumer)
    assert [each["properties"]["$insert_id"] for each in arrivals.records("/track")] == ["id-1", "id-2", "id-3"]


@both
@pytest.mark.parametrize("text", ["[]", " [ ]\n"])
def test_a_list_of_nothing_is_taken_and_sends_nothing(kind: Make, text: str, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    assert consumer.send("events", text) is True
    flushed(consumer)
    assert arrivals.requests == []


@both
def test_everything_may_be_named(kind: Make, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    assert consumer.send(endpoint="imports", json_message=event(), api_key="key", api_secret="secret")
    flushed(consumer)
    assert arrivals.requests[0].headers["Authorization"] == basic("secret:")


@both
@pytest.mark.parametrize("properties", ["{}", '{"token":""}', '{"token":5}'])
def test_a_text_without_a_token_is_the_business_of_the_server(
    kind: Make, properties: str, arrivals: Arrivals, open_: Make
) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    assert consumer.send("events", f'{{"event":"Opened","properties":{properties}}}')
    flushed(consumer)
    assert len(arrivals.records("/track")) == 1


# What is no message.


@both
@pytest.mark.parametrize("endpoint", ["event", "track", "/track", "", "EVENTS", None, 5, ["events"]], ids=repr)
def test_an_endpoint_that_is_unknown_is_refused_at_once(
    kind: Make, endpoint: Any, arrivals: Arrivals, open_: Make
) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    with pytest.raises(MixpanelException) as caught:
        consumer.send(endpoint, event())
    assert str(caught.value) == "endpoint must be one of 'events', 'people', 'groups', 'imports', not another"
    flushed(consumer)
    assert arrivals.requests == []


@both
@pytest.mark.parametrize(
    ("endpoint", "text", "sentence"),
    [
        ("events", None, "json_message must be a str of JSON, not None"),
        ("events", {"event": "E"}, "json_message must be a str of JSON, not dict"),
        ("events", "", "json_message must be a JSON object, not broken JSON"),
        ("events", '{"event":"Opened', "json_message must be a JSON object, not broken JSON"),
        ("events", '"text"', "json_message must be a JSON object, not a JSON str"),
        ("events", f"[{event()},5]", "json_message[1] must be a JSON object, not a JSON int"),
        ("people", event(), "json_message['$distinct_id'] must be an id, a str or an int, not None"),
        ("events", people(), "json_message['event'] must be the name of an event, not None"),
        (
            "events",
            event(token="two words"),
            "the token in json_message must be printable ASCII without spaces, not with other characters",
        ),
    ],
    ids=["None", "a dict", "empty", "torn", "a text", "a list with another", "an event", "an update", "token"],
)
def test_what_is_no_message_is_refused_and_nothing_is_sent(
    kind: Make, endpoint: str, text: Any, sentence: str, arrivals: Arrivals, open_: Make
) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    with pytest.raises(MixpanelException) as caught:
        consumer.send(endpoint, text)
    assert str(caught.value) == sentence
    assert isinstance(caught.value.__cause__, InvalidValue)
    assert caught.value.records == ()
    flushed(consumer)
    assert arrivals.requests == []


@both
def test_a_message_that_is_too_large_is_refused(kind: Make, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    with pytest.raises(MixpanelException, match=r"^json_message must be at most") as caught:
        consumer.send("events", event(filling=["x" * 200] * 6_000))
    assert isinstance(caught.value.__cause__, LimitExceeded)
    assert arrivals.requests == []


@both
@pytest.mark.parametrize("depth", [900, 1_010, 2_000])
@pytest.mark.parametrize("form", ["%s", "[%s]"])
def test_what_is_too_deep_is_refused_in_words(kind: Make, depth: int, form: str, posted: Posted, open_: Make) -> None:
    consumer = open_(kind)
    deep = event().replace('"Opened"', '"Opened","a":' + "[" * depth + "]" * depth)
    refusal = ""
    try:
        assert consumer.send("events", form % deep)
    except MixpanelException as fault:
        refusal = str(fault)
    too_deep = f"json_message must be at most {NESTING.maximum} levels deep, not {NESTING.maximum + 1}"
    assert refusal in (too_deep, "json_message must be a JSON object, not broken JSON")
    flushed(consumer)
    assert bool(posted.requests) is not bool(refusal)


# Keys and secrets.


@both
@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        ((), {}, "T0:"),
        (("key",), {}, "T0:"),
        ((None,), {}, "T0:"),
        (("key", "secret"), {}, "secret:"),
        ((None, "secret"), {}, "secret:"),
        ((("key", "secret"),), {}, "secret:"),
        (((None, "secret"),), {}, "secret:"),
        ((("key", None),), {}, "T0:"),
        (((None, None),), {}, "T0:"),
        ((("key", "first"), "second"), {}, "first:"),
        ((["key", "secret"],), {}, "secret:"),
        ((), {"api_key": "key"}, "T0:"),
        ((), {"api_key": "key", "api_secret": "secret"}, "secret:"),
        ((), {"api_secret": "secret"}, "secret:"),
        ((), {"api_key": ("key", "secret")}, "secret:"),
    ],
    ids=repr,
)
def test_the_secret_authorises_an_import_and_without_one_the_token_does(
    kind: Make, arguments: tuple[Any, ...], options: dict[str, Any], expected: str, arrivals: Arrivals, open_: Make
) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    consumer.send("imports", event(), *arguments, **options)
    flushed(consumer)
    (request,) = arrivals.requests
    assert request.headers["Authorization"] == basic(expected)
    assert "project_id" not in request.args
    # The key has no place anywhere.
    assert "key" not in request.full_path
    assert b"key" not in request.get_data()


@both
@pytest.mark.parametrize("credentials", [None, ACCOUNT, ProjectSecret("hush")], ids=["None", "account", "secret"])
@pytest.mark.parametrize("endpoint", ["events", "people", "groups"])
def test_nothing_but_an_import_is_authorised(
    kind: Make, credentials: Any, endpoint: str, arrivals: Arrivals, open_: Make
) -> None:
    consumer = open_(kind, **urls(arrivals.url), credentials=credentials)
    consumer.send(endpoint, TEXTS[endpoint](), "key", "secret")
    consumer.send(endpoint, TEXTS[endpoint](), ("key", "secret"))
    # Nobody looks at it, so it may be anything.
    consumer.send(endpoint, TEXTS[endpoint](), "key", "not a:secret")
    flushed(consumer)
    assert arrivals.requests
    for request in arrivals.requests:
        assert "Authorization" not in request.headers
        assert "project_id" not in request.args


@both
@pytest.mark.parametrize("given", [ACCOUNT, ACCOUNT.account], ids=["official", "core"])
@pytest.mark.parametrize("keys", [(), ("key", "secret"), (("key", "secret"),), ("key", "not a:good secret")], ids=repr)
def test_credentials_beat_a_secret(kind: Make, given: Any, keys: Any, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url), credentials=given)
    consumer.send("imports", event(), *keys)
    flushed(consumer)
    (request,) = arrivals.requests
    assert request.headers["Authorization"] == basic("app.1a2b3c:hush")
    assert request.args["project_id"] == "12345"


@both
def test_a_project_secret_is_taken_as_credentials(kind: Make, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url), credentials=ProjectSecret("hush"))
    consumer.send("imports", event())
    flushed(consumer)
    assert arrivals.requests[0].headers["Authorization"] == basic("hush:")
    assert "project_id" not in arrivals.requests[0].args


@both
@pytest.mark.parametrize(
    ("secret", "sentence"),
    [
        ("", "api_secret must be printable ASCII without spaces, not empty"),
        (5, "api_secret must be a str, not int"),
        ("hush\r\nX: 1", "api_secret must be printable ASCII without spaces, not with other characters"),
        ("hush:hush", "api_secret must be without a colon, which ends it in the header, not with one"),
    ],
    ids=repr,
)
def test_a_secret_that_cannot_be_one_is_refused_without_being_shown(
    kind: Make, secret: Any, sentence: str, arrivals: Arrivals, open_: Make
) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    for keys in ((None, secret), ((None, secret),)):
        with pytest.raises(InvalidValue) as caught:
            consumer.send("imports", event(), *keys)
        assert str(caught.value) == sentence
    flushed(consumer)
    assert arrivals.requests == []


@both
@pytest.mark.parametrize("keys", [("secret",), ("key", "secret", "more"), ()], ids=repr)
def test_a_tuple_that_is_no_pair_is_refused_in_words(kind: Make, keys: Any, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    with pytest.raises(InvalidValue, match=r"^api_key must be "):
        consumer.send("imports", event(), keys)
    assert arrivals.requests == []


@both
def test_each_token_and_secret_has_requests_of_its_own(kind: Make, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    for number in range(4):
        consumer.send("imports", event(number, "T1"))
        consumer.send("imports", event(number, "T2"), None, "secret-2")
        consumer.send("imports", event(number, "T2"), None, "secret-3")
        consumer.send("events", event(number, "T2"))
    flushed(consumer)
    found: Counter[tuple[str | None, str]] = Counter()
    for request in arrivals.requests:
        authorization = request.headers.get("Authorization")
        tokens = {each["properties"]["token"] for each in json.loads(inflated(request))}
        assert len(tokens) == 1
        found[authorization, tokens.pop()] += len(json.loads(inflated(request)))
    assert found == {
        (basic("T1:"), "T1"): 4,
        (basic("secret-2:"), "T2"): 4,
        (basic("secret-3:"), "T2"): 4,
        (None, "T2"): 4,
    }


@both
def test_a_list_with_two_tokens_travels_as_two(kind: Make, arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(kind, **urls(arrivals.url))
    consumer.send("imports", f"[{event(1, 'T1')},{event(2, 'T2')}]")
    flushed(consumer)
    found = {
        (request.headers["Authorization"], each["properties"]["token"])
        for request in arrivals.requests
        for each in json.loads(inflated(request))
    }
    assert found == {(basic("T1:"), "T1"), (basic("T2:"), "T2")}


def inflated(request: Any) -> bytes:
    body: bytes = request.get_data()
    return gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body


# Where it goes.


@both
def test_a_path_of_ones_own_is_kept(kind: Make, httpserver: HTTPServer, open_: Make) -> None:
    base = httpserver.url_for("").rstrip("/")
    for path in ("/proxy/a b/events", "/people/", "/", "/x/import"):
        httpserver.expect_request(path, method="POST").respond_with_json({"status": 1, "error": None})
    consumer = open_(
        kind,
        events_url=f"{base}/proxy/a%20b/events",
        people_url=f"{base}/people/",
        groups_url=base,
        import_url=f"{base}/x/import",
    )
    for endpoint in ("events", "people", "groups"):
        consumer.send(endpoint, TEXTS[endpoint]())
    flushed(consumer)
    requests = [request for request, _ in httpserver.log]
    assert {request.path for request in requests} == {"/proxy/a b/events", "/people/", "/"}
    assert all(request.query_string == b"verbose=1&ip=0" for request in requests)


def test_the_query_of_the_endpoint_is_at_the_url_of_ones_own(posted: Posted) -> None:
    consumer = Consumer(import_url="https://proxy.example/mp", credentials=ACCOUNT)
    consumer.send("imports", event())
    consumer.send("events", event())
    assert [request.url for request in posted.requests] == [
        "https://proxy.example/mp?strict=1&ip=0&project_id=12345",
        "https://api.mixpanel.com/track?verbose=1&ip=0",
    ]


def test_an_old_event_stays_where_its_sender_chose_to_send_events(posted: Posted) -> None:
    consumer = Consumer(events_url="https://proxy.example/track", people_url="https://proxy.example/engage")
    consumer.send("events", event(time=1_500_000_000))
    assert all(url.startswith("https://proxy.example/") for url in posted.urls())


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("api.mixpanel.com", "https://api.mixpanel.com"),
        ("api-eu.mixpanel.com", "https://api-eu.mixpanel.com"),
        ("API-EU.Mixpanel.com", "https://api-eu.mixpanel.com"),
        ("localhost", "https://localhost"),
        ("proxy.example:8443", "https://proxy.example:8443"),
        ("127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("track.example.org/mp", "https://track.example.org/mp"),
        ("track.example.org:8443/a-b/c.d_e~f/", "https://track.example.org:8443/a-b/c.d_e~f"),
        ("track.example.org/", "https://track.example.org"),
        ("[::1]:8443/mp", "https://[::1]:8443/mp"),
        ("mixpanel.com.example/mp", "https://mixpanel.com.example/mp"),
        ("notmixpanel.com/mp", "https://notmixpanel.com/mp"),
    ],
)
def test_a_host_by_its_name_gives_all_addresses(host: str, base: str, posted: Posted) -> None:
    consumer = Consumer(api_host=host)
    for endpoint, text in TEXTS.items():
        consumer.send(endpoint, text())
    assert posted.urls() == [base + path for path in NAMES.values()]


def test_an_address_of_its_own_is_not_below_the_path_of_the_host(posted: Posted) -> None:
    consumer = Consumer(api_host="track.example.org/mp", events_url="https://events.example/e/track")
    for endpoint, text in TEXTS.items():
        consumer.send(endpoint, text())
    base = "https://track.example.org/mp"
    assert posted.urls() == [
        "https://events.example/e/track",
        base + "/engage",
        base + "/groups",
        "https://events.example/e/import",
    ]


def test_without_a_host_it_is_the_server_in_the_us(posted: Posted) -> None:
    Consumer().send("events", event())
    assert posted.urls() == ["https://api.mixpanel.com/track"]


HOST: Final = "api_host must be the name of a host, such as 'api-eu.mixpanel.com', not "
ALONE: Final = "api_host must be a host of Mixpanel by its name alone, such as 'api-eu.mixpanel.com', not a path there"


@both
@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("https://api-eu.mixpanel.com", HOST + "a URL"),
        ("api-eu.mixpanel.com/", ALONE),
        ("api-eu.mixpanel.com/track", ALONE),
        ("API.Mixpanel.com:443/track", ALONE),
        ("mixpanel.com/mp", ALONE),
        ("http://127.0.0.1/mp", HOST + "a URL"),
        ("track.example.org/mp?verbose=1", HOST + "something else"),
        ("track.example.org/mp#top", HOST + "something else"),
        ("user:hush@track.example.org/mp", HOST + "something else"),
        ("track.example.org/mp/../x", HOST + "something else"),
        ("track.example.org//mp", HOST + "something else"),
        ("track.example.org/m p", HOST + "something else"),
        ("/mp", HOST + "something else"),
        ("-track.example.org/mp", "api_host must be a URL with the name of a host, not one with an impossible name"),
        ("", HOST + "something else"),
        ("api eu", HOST + "something else"),
        ("user:hush@api.mixpanel.com", HOST + "something else"),
        ("api.mixpanel.com\n", HOST + "something else"),
        ("::1", HOST + "something else"),
        ("api.mixpanel.com?x", HOST + "something else"),
        (None, HOST + "None"),
        (b"api.mixpanel.com", HOST + "bytes"),
        ("-api.mixpanel.com", "api_host must be a URL with the name of a host, not one with an impossible name"),
        ("api..mixpanel.com", "api_host must be a URL with the name of a host, not one with an impossible name"),
        ("api.mixpanel.com:0", "api_host must be a URL with a port from 1 to 65535, not one outside"),
        ("api.mixpanel.com:70000", "api_host must be a URL with a port from 1 to 65535, not one outside"),
    ],
    ids=short,
)
def test_what_is_no_name_of_a_host_is_refused(kind: Make, host: Any, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        kind(api_host=host)
    assert str(caught.value) == sentence


FORM: Final = " must be a URL with a path and without a query, not "
SERVER: Final = " must be an https:// URL (plain http only to loopback), not plain http to another host"


@both
@pytest.mark.parametrize("name", ["events_url", "people_url", "import_url", "groups_url"])
@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("api.mixpanel.com/track", FORM + "another form"),
        ("ftp://api.mixpanel.com/track", FORM + "another form"),
        ("https://api.mixpanel.com/track?verbose=1", FORM + "another form"),
        ("https://api.mixpanel.com/track?", FORM + "another form"),
        ("https://api.mixpanel.com/track#top", FORM + "another form"),
        ("https://api.mixpanel.com/tr ck", FORM + "another form"),
        ("https://api.mixpanel.com/träck", FORM + "another form"),
        ("https://api.mixpanel.com/track\n", FORM + "another form"),
        ("https:///track", FORM + "another form"),
        ("", FORM + "another form"),
        (5, FORM + "int"),
        (b"https://api.mixpanel.com/track", FORM + "bytes"),
        ("http://api.mixpanel.com/track", SERVER),
        ("http://127.0.0.1.example/track", SERVER),
        (
            "https://user:hush@api.mixpanel.com/track",
            " must be 'us', 'eu', 'in', https://host[:port], or http://host[:port] on loopback, not another form",
        ),
        (
            "https://api.mixpanel.com:0/track",
            " must be a URL with a port from 1 to 65535, not one outside",
        ),
    ],
    ids=short,
)
def test_what_is_no_url_to_use_is_refused_without_being_shown(kind: Make, name: str, url: Any, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        kind(**{name: url})
    assert str(caught.value) == name + sentence


@pytest.mark.parametrize(
    "url", ["http://localhost:1/track", "http://127.0.0.1/track", "http://127.8.8.8:80/t", "http://[::1]:1/track"]
)
def test_plain_http_is_taken_on_loopback(url: str, posted: Posted) -> None:
    Consumer(events_url=url).send("events", event())
    assert posted.urls() == [url]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA) -> Iterator[HTTPServer]:
    """
    A server at localhost with a certificate of the authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with HTTPServer(host="localhost", ssl_context=context) as server:
        yield server


def test_an_authority_of_ones_own_is_trusted_by_its_file(
    trusted: HTTPServer, authority: trustme.CA, tmp_path: Path, open_: Make
) -> None:
    for path in NAMES.values():
        trusted.expect_request(path, method="POST").respond_with_json({"status": 1, "error": None})
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    host = f"localhost:{trusted.port}"
    for given in (file, str(file)):
        assert open_(Consumer, api_host=host, ca_file=given).send("events", event())
    assert open_(Consumer, api_host=host, events_url=f"https://{host}/engage", ca_file=file).send("events", event())
    assert [request.path for request, _ in trusted.log] == ["/track", "/track", "/engage"]
    with pytest.raises(MixpanelException, match="TLS failed"):
        open_(Consumer, api_host=host, retry_limit=0).send("events", event())
    assert len(trusted.log) == 3


# Settings.


@both
@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("request_timeout", 0, "request_timeout must be from 0.001 to 3,600 seconds, not 0"),
        ("request_timeout", -1.5, "request_timeout must be from 0.001 to 3,600 seconds, not -1.5"),
        ("request_timeout", 3601, "request_timeout must be from 0.001 to 3,600 seconds, not 3601"),
        ("request_timeout", float("nan"), "request_timeout must be from 0.001 to 3,600 seconds, not nan"),
        ("request_timeout", 10**400, "request_timeout must be from 0.001 to 3,600 seconds, not int"),
        ("request_timeout", "5", "request_timeout must be a number of seconds, not str"),
        ("request_timeout", True, "request_timeout must be a number of seconds, not bool"),
        ("request_timeout", (3, 5), "request_timeout must be a number of seconds, not tuple"),
        ("retry_limit", -1, "retry_limit must be an int, at least 0, not -1"),
        ("retry_limit", -(10**5000), "retry_limit must be an int, at least 0, not int"),
        ("retry_limit", 1.0, "retry_limit must be an int, at least 0, not float"),
        ("retry_limit", True, "retry_limit must be an int, at least 0, not bool"),
        ("retry_limit", None, "retry_limit must be an int, at least 0, not None"),
        ("retry_backoff_factor", -0.1, "retry_backoff_factor must be from 0 to 3,600 seconds, not -0.1"),
        ("retry_backoff_factor", None, "retry_backoff_factor must be a number of seconds, not None"),
        ("verify_cert", False, "verify_cert must be True: for an authority of your own give ca_file, not bool"),
        ("verify_cert", "ca.pem", "verify_cert must be True: for an authority of your own give ca_file, not str"),
        ("verify_cert", 1, "verify_cert must be True: for an authority of your own give ca_file, not int"),
        (
            "ca_file",
            "/nowhere/ca.pem",
            "ca_file must be a readable file of certificates in PEM form, not something else",
        ),
        (
            "credentials",
            "hush",
            "credentials must be ServiceAccountCredentials(...), ProjectSecret(...) or None, not str",
        ),
    ],
    ids=short,
)
def test_a_setting_that_makes_no_sense_is_refused(kind: Make, setting: str, value: Any, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        kind(**{setting: value})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("size", "found"),
    [(0, "0"), (-1, "-1"), (2.0, "float"), (True, "bool"), ("10", "str"), (None, "None"), (-(10**5000), "int")],
    ids=short,
)
def test_a_size_that_is_none_is_refused(size: Any, found: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        BufferedConsumer(size)
    assert str(caught.value) == f"max_size must be an int, at least 1, not {found}"


@both
def test_all_settings_go_by_position_in_the_official_order(kind: Make, posted: Posted, open_: Make) -> None:
    given = ("https://e.example/", "https://p.example/", "https://i.example/", 7, "https://g.example/", "h.example")
    first: tuple[int, ...] = () if kind is Consumer else (10,)
    consumer = open_(kind, *first, *given, 3, 0.5, True, ACCOUNT)
    for endpoint, text in TEXTS.items():
        consumer.send(endpoint, text())
    flushed(consumer)
    bases = ["https://e.example/", "https://p.example/", "https://g.example/", "https://i.example/"]
    assert sorted(posted.urls()) == sorted(bases)
    assert posted.options["request_timeout_seconds"] == 7.0
    assert posted.options["ca_file"] is None


def test_without_a_timeout_a_request_has_thirty_seconds(posted: Posted) -> None:
    Consumer()
    assert posted.options["request_timeout_seconds"] == 30.0


@pytest.mark.parametrize(("retry_limit", "requests"), [(0, 1), (1, 2)])
def test_it_is_tried_again_as_often_as_was_chosen(retry_limit: int, requests: int, judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(500), times=None)
    consumer = open_(Consumer, **urls(judge.url), retry_limit=retry_limit)
    with pytest.raises(MixpanelException) as caught:
        consumer.send("events", event())
    assert len(judge.arrivals()) == requests
    assert caught.value.status == 500


def test_what_is_taken_at_a_later_try_is_taken(judge: Judge, open_: Make) -> None:
    judge.fail_next(LostAnswer())
    assert open_(Consumer, **urls(judge.url)).send("events", event())
    assert len(judge.arrivals()) == 2
    assert judge.counts().events == 1


def test_what_adds_is_not_sent_twice_when_the_answer_is_lost(judge: Judge, open_: Make) -> None:
    judge.fail_next(LostAnswer())
    with pytest.raises(MixpanelException, match="unknown, perhaps applied") as caught:
        open_(Consumer, **urls(judge.url)).send("people", people(operator="$add"))
    assert len(caught.value.outcome.unknown) == 1
    assert judge.profile("user-1") == {"visits": 1}


def test_a_server_that_says_nothing_is_left_after_the_timeout(judge: Judge, open_: Make) -> None:
    judge.fail_next(Mute())
    consumer = open_(Consumer, **urls(judge.url), request_timeout=0.1, retry_limit=0)
    begun = time.monotonic()
    with pytest.raises(MixpanelException, match="the request timed out") as caught:
        consumer.send("events", event())
    assert time.monotonic() - begun < GUARD_SECONDS / 2
    assert [each.cause for each in caught.value.outcome.unknown] == [Cause.ANSWER_LOST]


def test_a_server_that_is_not_reached_is_told_with_the_messages(closed_url: str, open_: Make) -> None:
    consumer = open_(Consumer, **urls(closed_url), retry_limit=0)
    with pytest.raises(MixpanelException) as caught:
        consumer.send("events", f"[{event(1)},{event(2)}]")
    fault = caught.value
    assert str(fault) == (
        "2 of 2 not delivered; failed: the server was not reached (the server could not be connected to)"
    )
    assert [each.cause for each in fault.outcome.failed] == [Cause.NOT_REACHED] * 2
    assert fault.status is None
    assert [record.body.decode() for record in fault.records] == [event(1), event(2)]
    assert (fault.message, fault.endpoint) == (None, None)


def test_a_record_that_is_rejected_is_told_with_the_reason_and_the_others_are_delivered(
    arrivals: Arrivals, open_: Make
) -> None:
    arrivals.rejected_insert_ids.add("id-2")
    consumer = open_(Consumer, **urls(arrivals.url))
    with pytest.raises(MixpanelException) as caught:
        consumer.send("imports", f"[{event(1)},{event(2)},{event(3)}]")
    fault = caught.value
    assert str(fault) == "1 of 3 not delivered; rejected: properties.time: bad"
    assert fault.status == 400
    assert fault.reasons == ("rejected: properties.time: bad",)
    assert [record.to_wire()["properties"]["$insert_id"] for record in fault.records] == ["id-2"]  # type: ignore[call-overload, index]
    assert len(fault.outcome.delivered) == 2


def test_credentials_that_are_refused_are_told_at_once(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(401), times=None)
    with pytest.raises(MixpanelException, match="failed: the credentials were refused") as caught:
        open_(Consumer, **urls(judge.url)).send("imports", event(), None, "wrong-secret")
    assert caught.value.status == 401
    assert len(judge.arrivals()) == 1
    assert "wrong-secret" not in str(caught.value) + repr(caught.value) + repr(vars(caught.value))


# Close.


@both
def test_after_close_nothing_is_taken(kind: Make, arrivals: Arrivals) -> None:
    consumer = kind(**urls(arrivals.url))
    consumer.send("events", event(1))
    consumer.close()
    consumer.close()
    with pytest.raises(MixpanelException) as caught:
        consumer.send("events", event(2))
    assert str(caught.value) == "the consumer had been closed"
    assert [each["properties"]["$insert_id"] for each in arrivals.records("/track")] == ["id-1"]


@both
def test_the_end_of_with_delivers_and_closes(kind: Make, arrivals: Arrivals) -> None:
    with kind(**urls(arrivals.url)) as consumer:
        assert type(consumer) is kind
        for endpoint, text in TEXTS.items():
            consumer.send(endpoint, text())
    assert sorted(path for path, _ in arrivals.batches()) == sorted(NAMES.values())
    with pytest.raises(MixpanelException, match="closed"):
        consumer.send("events", event())


def test_close_closes_the_connections(posted: Posted) -> None:
    with Consumer() as consumer:
        consumer.send("events", event())
    assert posted.is_closed


@both
def test_what_was_never_used_is_closed_too(kind: Make) -> None:
    consumer = kind()
    flushed(consumer)
    consumer.close()


# Threads.


def all_at_once(count: int, function: Callable[[int], object]) -> None:
    """
    Call it so many times, each in a thread of its own; raise what one of them raised.
    """
    errors: list[BaseException] = []
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            ready.wait(GUARD_SECONDS)
            function(number)
        except BaseException as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD_SECONDS * 3)
        assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


@both
def test_threads_share_one_consumer_and_nothing_is_lost_or_doubled(kind: Make, judge: Judge, open_: Make) -> None:
    consumer = open_(kind, **urls(judge.url))

    def send(thread: int) -> None:
        for number in range(25):
            assert consumer.send("events", event(100 * thread + number))

    all_at_once(8, send)
    flushed(consumer)
    assert len(consumer._transports) == 1
    assert (judge.counts().events, judge.counts().event_copies) == (200, 200)


@both
def test_threads_that_come_first_together_use_the_same_transport(kind: Any, arrivals: Arrivals, open_: Make) -> None:
    opened: list[Transport] = []
    meeting = threading.Barrier(2)

    class Slow(kind):  # type: ignore[misc]
        def _open(self, project: Any) -> Transport:
            meeting.wait(GUARD_SECONDS)
            opened.append(super()._open(project))
            return opened[-1]

    consumer = open_(Slow, **urls(arrivals.url))
    all_at_once(2, lambda number: consumer.send("events", event(number)))
    flushed(consumer)
    assert len(opened) == 2
    (used,) = consumer._transports.values()
    (other,) = [each for each in opened if each is not used]
    assert used.stats().delivered == 2
    assert other.stats().accepted == 0
    # The one too many is closed, and the connections that both share are not.
    outcome = other.send(*messages_from_json(Endpoint.TRACK, event()))
    assert [each.cause for each in outcome.failed] == [Cause.CLOSED]
    assert consumer.send("events", event(3))


@both
def test_what_comes_while_it_is_being_closed_is_refused_and_leaves_nothing_open(
    kind: Any, arrivals: Arrivals, open_: Make
) -> None:
    opened: list[Transport] = []

    class Closing(kind):  # type: ignore[misc]
        def _open(self, project: Any) -> Transport:
            # In this moment another thread closes it.
            self.close()
            opened.append(super()._open(project))
            return opened[-1]

    consumer = open_(Closing, **urls(arrivals.url))
    with pytest.raises(MixpanelException, match="closed"):
        consumer.send("events", event())
    assert arrivals.requests == []
    outcome = opened[0].send(*messages_from_json(Endpoint.TRACK, event()))
    assert [each.cause for each in outcome.failed] == [Cause.CLOSED]


# Held and delivered in the background.


def buffered_with(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    monkeypatch.setattr(consumers, "BufferedTransport", partial(BufferedTransport, **options))


def test_a_full_buffer_is_sent_at_once_and_the_rest_waits(
    monkeypatch: pytest.MonkeyPatch, arrivals: Arrivals, open_: Make
) -> None:
    buffered_with(monkeypatch, flush_after_seconds=3600.0)
    consumer = open_(BufferedConsumer, 3, **urls(arrivals.url))
    for number in range(5):
        consumer.send("events", event(number))
    eventually(arrivals.batches)
    assert arrivals.batches() == [("/track", 3)]
    consumer.flush()
    assert arrivals.batches() == [("/track", 3), ("/track", 2)]


def test_a_buffer_that_is_not_full_is_sent_after_a_second(arrivals: Arrivals, open_: Make) -> None:
    consumer = open_(BufferedConsumer, **urls(arrivals.url))
    consumer.send("events", event())
    eventually(arrivals.batches)


def test_a_buffer_holds_fifty_unless_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, arrivals: Arrivals, open_: Make
) -> None:
    buffered_with(monkeypatch, flush_after_seconds=3600.0)
    consumer = open_(BufferedConsumer, **urls(arrivals.url))
    consumer.send("events", "[" + ",".join(event(number) for number in range(120)) + "]")
    consumer.flush()
    assert sorted(size for _, size in arrivals.batches()) == [20, 50, 50]


def test_a_request_never_holds_more_than_the_server_takes(
    monkeypatch: pytest.MonkeyPatch, arrivals: Arrivals, open_: Make
) -> None:
    buffered_with(monkeypatch, flush_after_seconds=3600.0)
    consumer = open_(BufferedConsumer, 5_000, **urls(arrivals.url))
    consumer.send("people", "[" + ",".join([people()] * 2_001) + "]")
    consumer.flush()
    assert arrivals.batches() == [("/engage", 2_000), ("/engage", 1)]


def test_what_is_held_is_delivered_by_flush(monkeypatch: pytest.MonkeyPatch, arrivals: Arrivals, open_: Make) -> None:
    buffered_with(monkeypatch, flush_after_seconds=3600.0)
    consumer = open_(BufferedConsumer, **urls(arrivals.url))
    for endpoint, text in TEXTS.items():
        consumer.send(endpoint, text())
    assert arrivals.requests == []
    assert consumer.flush() is None
    assert sorted(arrivals.batches()) == sorted((path, 1) for path in NAMES.values())


def test_send_does_not_raise_for_weather(closed_url: str, open_: Make) -> None:
    consumer = open_(BufferedConsumer, 1, **urls(closed_url), retry_limit=0)
    for number in range(20):
        assert consumer.send("events", event(number)) is True


def test_what_was_refused_is_raised_by_flush_and_can_be_sent_again(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(400), times=None)
    consumer = open_(BufferedConsumer, **urls(judge.url))
    for number in range(3):
        consumer.send("events", event(number))
    with pytest.raises(MixpanelException) as caught:
        consumer.flush()
    fault = caught.value
    assert str(fault) == "3 of 3 not delivered; rejected: HTTP 400: scripted"
    assert fault.endpoint == "events"
    assert type(fault.message) is str
    assert json.loads(fault.message) == [json.loads(event(number)) for number in range(3)]
    judge.heal()
    # It is gone from there.
    consumer.flush()
    assert judge.counts().events == 0
    consumer.send(fault.endpoint, fault.message)
    consumer.flush()
    assert (judge.counts().events, judge.counts().event_copies) == (3, 3)


@pytest.mark.parametrize("endpoint", NAMES)
def test_the_endpoint_of_what_was_refused_has_the_name_that_send_takes(
    endpoint: str, judge: Judge, open_: Make
) -> None:
    judge.fail_next(Status(400), times=None)
    consumer = open_(BufferedConsumer, **urls(judge.url))
    consumer.send(endpoint, TEXTS[endpoint]())
    with pytest.raises(MixpanelException) as caught:
        consumer.flush()
    assert caught.value.endpoint == endpoint
    assert caught.value.message is not None
    judge.heal()
    assert open_(Consumer, **urls(judge.url)).send(endpoint, caught.value.message)


def test_only_what_was_refused_is_raised(arrivals: Arrivals, open_: Make) -> None:
    arrivals.rejected_insert_ids.add("id-2")
    consumer = open_(BufferedConsumer, **urls(arrivals.url))
    for number in range(5):
        consumer.send("imports", event(number))
    with pytest.raises(MixpanelException) as caught:
        consumer.flush()
    assert caught.value.message == f"[{event(2)}]"
    assert [len(caught.value.outcome.rejected), len(caught.value.outcome.delivered)] == [1, 4]


def test_the_text_is_of_one_endpoint_and_the_records_are_of_all(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(400), times=None)
    consumer = open_(BufferedConsumer, **urls(judge.url))
    consumer.send("events", event())
    consumer.send("people", people())
    with pytest.raises(MixpanelException) as caught:
        consumer.flush()
    fault = caught.value
    assert fault.message in (f"[{event()}]", f"[{people()}]")
    assert sorted(record.body.decode() for record in fault.records) == sorted([event(), people()])


def test_what_became_known_before_is_raised_by_the_next_flush(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(400))
    consumer = open_(BufferedConsumer, 1, **urls(judge.url))
    consumer.send("events", event(1))
    eventually(lambda: consumer._remembered)
    consumer.send("events", event(2))
    with pytest.raises(MixpanelException) as caught:
        consumer.flush()
    assert caught.value.message == f"[{event(1)}]"
    consumer.flush()
    assert judge.counts().events == 1


def test_what_was_delivered_in_the_background_is_not_kept(judge: Judge, open_: Make) -> None:
    consumer = open_(BufferedConsumer, 1, **urls(judge.url))
    consumer.send("events", event())
    (transport,) = consumer._transports.values()
    eventually(lambda: transport.stats().delivered)
    time.sleep(0.02)
    assert not consumer._remembered


def test_what_was_perhaps_applied_is_told_and_not_given_to_be_sent_again(judge: Judge, open_: Make) -> None:
    judge.fail_next(LostAnswer())
    consumer = open_(BufferedConsumer, **urls(judge.url))
    consumer.send("people", people(operator="$add"))
    with pytest.raises(MixpanelException, match="unknown, perhaps applied") as caught:
        consumer.flush()
    assert (caught.value.message, caught.value.endpoint) == (None, None)
    assert len(caught.value.outcome.unknown) == 1
    assert judge.profile("user-1") == {"visits": 1}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BufferedConsumer.flush, "__kwdefaults__", {"timeout": 0.3})


@pytest.mark.usefixtures("impatient")
def test_what_is_late_is_kept_and_the_exception_says_so(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(500), times=None)
    consumer = open_(BufferedConsumer, **urls(judge.url))
    consumer.send("events", f"[{event(1)},{event(2)}]")
    with pytest.raises(MixpanelException) as caught:
        consumer.flush()
    assert str(caught.value) == (
        "2 messages are not delivered yet; they are kept and tried again (the server had an error: HTTP 500)"
    )
    assert (caught.value.message, caught.value.endpoint) == (None, None)
    judge.heal()
    eventually(lambda: judge.counts().events == 2)
    consumer.flush()
    assert judge.counts().event_copies == 2


@pytest.mark.usefixtures("impatient")
def test_a_flush_to_a_server_that_is_not_there_ends(closed_url: str, open_: Make) -> None:
    consumer = open_(BufferedConsumer, **urls(closed_url))
    consumer.send("events", event())
    begun = time.monotonic()
    with pytest.raises(MixpanelException, match="1 message is not delivered yet"):
        consumer.flush()
    assert time.monotonic() - begun < GUARD_SECONDS / 2


@pytest.mark.usefixtures("impatient")
def test_many_tokens_share_the_time_of_one_flush(closed_url: str, open_: Make) -> None:
    consumer = open_(BufferedConsumer, **urls(closed_url))
    for number in range(10):
        consumer.send("events", event(token=f"T{number}"))
    begun = time.monotonic()
    with pytest.raises(MixpanelException, match="10 messages are not delivered yet"):
        consumer.flush()
    assert time.monotonic() - begun < 2.0


@pytest.mark.usefixtures("impatient")
def test_what_was_refused_can_be_sent_again_also_when_something_else_is_late(
    judge: Judge, closed_url: str, open_: Make
) -> None:
    judge.fail_next(Status(400), times=None)
    consumer = open_(BufferedConsumer, events_url=f"{judge.url}/track", people_url=f"{closed_url}/engage")
    consumer.send("events", event())
    consumer.send("people", people())
    with pytest.raises(MixpanelException, match="1 message is not delivered yet") as caught:
        consumer.flush()
    assert (caught.value.message, caught.value.endpoint) == (f"[{event()}]", "events")
    late, refused = str(caught.value).split("; 1 of 1 not delivered; ")
    assert late.startswith("1 message is not delivered yet; it is kept and tried again (the server was not reached: ")
    assert refused.startswith("rejected: HTTP 400")


@pytest.mark.usefixtures("impatient")
def test_a_late_flush_says_nothing_of_a_trouble_that_is_over(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(500), endpoint=Endpoint.TRACK)
    consumer = open_(BufferedConsumer, 1, **urls(judge.url))
    consumer.send("events", event(1))
    (transport,) = consumer._transports.values()
    eventually(lambda: transport.stats().delivered)
    judge.fail_next(Status(401), times=None, endpoint=Endpoint.ENGAGE)
    consumer.send("people", people())
    with pytest.raises(MixpanelException, match=r"tried again \(the credentials were refused: HTTP 401\)$"):
        consumer.flush()


@pytest.mark.parametrize("factor", [0, 0.25, 3600])
def test_the_backoff_factor_has_no_effect_on_the_waits(
    factor: float, monkeypatch: pytest.MonkeyPatch, judge: Judge, open_: Make
) -> None:
    waits: list[float] = []
    sync = partial(SyncTransport, sleep=waits.append, pick=lambda at_least, at_most: at_most)
    monkeypatch.setattr(consumers, "SyncTransport", sync)
    judge.fail_next(Status(500), times=4)
    consumer = open_(Consumer, **urls(judge.url), retry_backoff_factor=factor)
    assert consumer.send("events", event()) is True
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_failure_for_which_no_time_is_left_names_the_last_answer(
    monkeypatch: pytest.MonkeyPatch, judge: Judge, open_: Make
) -> None:
    monkeypatch.setattr(consumers, "SyncTransport", partial(SyncTransport, deadline_seconds=0.2))
    judge.fail_next(Status(503), times=None)
    with pytest.raises(MixpanelException) as caught:
        open_(Consumer, **urls(judge.url)).send("events", event())
    assert str(caught.value) == (
        "1 of 1 not delivered; failed: the delivery was given up "
        "(no time was left for the wait before the next try; the last: HTTP 503)"
    )
    assert caught.value.status == 503


@pytest.mark.usefixtures("impatient")
def test_flush_says_once_for_how_many_messages_there_was_no_room(
    monkeypatch: pytest.MonkeyPatch, closed_url: str, open_: Make
) -> None:
    buffered_with(monkeypatch, flush_after_seconds=0.0, max_held_messages=2)
    consumer = open_(BufferedConsumer, **urls(closed_url))
    late = r"^2 messages are not delivered yet; they are kept and tried again \(the server was not reached: [^;]*\)"
    consumer.send("events", f"[{event(1)},{event(2)}]")
    (transport,) = consumer._transports.values()
    eventually(lambda: transport.troubles)
    for dropped, sentence in (
        (3, "; 3 messages were dropped, because there was no room for them"),
        (1, "; 1 message was dropped, because there was no room for it"),
        (0, ""),
    ):
        begun = time.monotonic()
        for number in range(dropped):
            assert consumer.send("events", event(number)) is True
        # Nobody waits in an outage.
        assert time.monotonic() - begun < GUARD_SECONDS / 2
        with pytest.raises(MixpanelException, match=late + f"{sentence}$") as caught:
            consumer.flush()
        assert (caught.value.message, caught.value.records) == (None, ())


def test_a_loop_that_is_faster_than_the_server_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, judge: Judge, open_: Make
) -> None:
    buffered_with(monkeypatch, max_held_messages=20)
    consumer = open_(BufferedConsumer, 10, **urls(judge.url))
    for number in range(300):
        assert consumer.send("events", event(number)) is True
    consumer.flush()
    assert judge.counts().events == 300


def test_a_flush_is_not_late_because_others_go_on_sending(judge: Judge, open_: Make) -> None:
    consumer = open_(BufferedConsumer, **urls(judge.url))
    is_over = threading.Event()

    def send_on() -> None:
        number = 0
        while not is_over.wait(0.0005):
            consumer.send("events", event(number := number + 1))

    sending = threading.Thread(target=send_on)
    sending.start()
    try:
        for past in range(0, 50, 10):
            eventually(lambda past=past: sum(each.stats().accepted for each in consumer._transports.values()) > past)  # type: ignore[misc]
            consumer.flush()
    finally:
        is_over.set()
        sending.join()
    assert judge.counts().events >= 41


def test_flushes_from_several_threads_at_once_tell_each_fault_once(open_: Make) -> None:
    refused = Outcome(rejected=(Rejected(*messages_from_json(Endpoint.TRACK, event()), "HTTP 400: bad"),))
    consumer = open_(BufferedConsumer)
    told: list[MixpanelException] = []

    def flush(_: int) -> None:
        try:
            consumer.flush()
        except MixpanelException as fault:
            told.append(fault)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(40):
            told.clear()
            # As if they had become known in the background.
            for _ in range(300):
                consumer._remember(refused)
            all_at_once(3, flush)
            assert sum(len(fault.records) for fault in told) == 300
    finally:
        sys.setswitchinterval(before)


def test_what_was_refused_is_raised_by_close_or_by_the_flush_after_it(judge: Judge, open_: Make) -> None:
    judge.fail_next(Status(400), times=None)
    consumer = open_(BufferedConsumer, **urls(judge.url))
    consumer.send("events", event())
    with pytest.raises(MixpanelException, match="rejected") as caught:  # noqa: PT012  # the one or the other
        consumer.close()
        consumer.flush()
    assert caught.value.message == f"[{event()}]"


# Ordinary use.


@both
def test_a_front_door_sends_by_way_of_it(kind: Make, judge: Judge) -> None:
    with Mixpanel("T0", kind(**urls(judge.url))) as mp:
        mp.track("device-1", "Opened")
        mp.alias("user-1", "device-1")
        mp.people_increment("user-1", {"visits": 2})
        mp.group_set("Company", "acme", {"plan": "pro"})
        mp.import_data("key", "user-1", "Opened", 1767225600, api_secret="secret")
    assert judge.profile("user-1") == {"visits": 2}
    assert judge.group("Company", "acme") == {"plan": "pro"}
    assert judge.counts().events == 2
    (imported,) = [arrival for arrival in judge.arrivals() if arrival.path == "/import"]
    assert dict(imported.headers)["Authorization"] == basic("secret:")


def test_a_front_door_has_the_figures_of_the_consumer(judge: Judge, closed_url: str, open_: Make) -> None:
    consumer = open_(BufferedConsumer, events_url=f"{judge.url}/track", people_url=f"{closed_url}/engage")
    mp = Mixpanel("T0", consumer)
    mp.track("user-1", "Opened")
    mp.people_set("user-1", {"plan": "pro"})
    assert mp.stats() == consumer.stats() == Stats(accepted=2, held=2)
    eventually(lambda: mp.stats().delivered)
    assert mp.stats() == Stats(accepted=2, delivered=1, held=1)
    consumer.send("events", event(token="T1"))
    assert mp.stats().accepted == 3


def test_a_front_door_counts_what_its_consumer_could_not_deliver(closed_url: str, open_: Make) -> None:
    consumer = open_(Consumer, **urls(closed_url), retry_limit=0)
    mp = Mixpanel("T0", consumer)
    with pytest.raises(MixpanelException):
        mp.track("user-1", "Opened")
    assert mp.stats() == Stats(accepted=1, failed=1)


@both
def test_one_of_the_callers_on_top_of_it_is_counted_as_any_of_the_callers(kind: Any, judge: Judge, open_: Make) -> None:
    class Choosy(kind):  # type: ignore[misc]
        def send(self, endpoint: str, json_message: str, api_key: Any = None, api_secret: Any = None) -> bool:
            return True

    mp = Mixpanel("T0", open_(Choosy))
    mp.track("user-1", "Opened")
    assert mp.stats() == Stats(accepted=1, delivered=1)


@both
def test_one_of_the_callers_on_top_of_it_may_have_stats_of_another_kind(kind: Any, judge: Judge, open_: Make) -> None:
    class Counting(kind):  # type: ignore[misc]
        def stats(self) -> str:
            return "many"

    mp = Mixpanel("T0", open_(Counting, **urls(judge.url)))
    mp.track("user-1", "Opened")
    assert mp.stats() == Stats(accepted=1, delivered=1)


@pytest.mark.parametrize(("kind", "transport"), [(Consumer, SyncTransport), (BufferedConsumer, BufferedTransport)])
def test_what_it_is_given_goes_over_a_transport_of_ours(
    kind: Make, transport: type[Transport], judge: Judge, open_: Make
) -> None:
    consumer = open_(kind, **urls(judge.url))
    for endpoint, text in TEXTS.items():
        consumer.send(endpoint, text())
    flushed(consumer)
    (used,) = consumer._transports.values()
    assert type(used) is transport
    assert used.stats().delivered == len(TEXTS)


@both
def test_one_of_the_callers_on_top_of_it_is_given_everything(kind: Any, judge: Judge) -> None:
    class Telling(kind):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.told: list[tuple[Any, ...]] = []

        def send(self, endpoint: str, json_message: str, api_key: Any = None, api_secret: Any = None) -> bool:
            self.told.append((endpoint, type(json_message), api_key, api_secret))
            sent: bool = super().send(endpoint, json_message, api_key, api_secret)
            return sent

    consumer = Telling(**urls(judge.url))
    with Mixpanel("T0", consumer) as mp:
        mp.track("user-1", "Opened")
        mp.import_data("key", "user-1", "Opened", 1767225600, api_secret="secret")
    consumer.close()
    assert consumer.told == [("events", str, None, None), ("imports", str, ("key", "secret"), None)]
    assert judge.counts().events == 2
    assert dict(judge.arrivals()[-1].headers).get("Authorization") in (None, basic("secret:"))


@both
def test_one_of_the_callers_may_replace_everything_but_the_name(kind: Any) -> None:
    class Listing(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            self.endpoints: list[str] = []

        def send(self, endpoint: str, json_message: str, api_key: Any = None, api_secret: Any = None) -> bool:
            self.endpoints.append(endpoint)
            return True

    consumer = Listing()
    with Mixpanel("T0", consumer) as mp:
        mp.track("user-1", "Opened")
        mp.alias("user-1", "device-1")
        assert mp.stats() == Stats(accepted=2, delivered=2)
    assert consumer.endpoints == ["events", "events"]
    assert consumer.stats() == Stats()


def test_a_job_of_a_queue_is_sent_by_a_worker_with_its_secret(judge: Judge, open_: Make) -> None:
    queue: list[str] = []

    class Enqueueing:
        def send(self, endpoint: str, json_message: str, api_key: Any = None) -> None:
            queue.append(json.dumps([endpoint, json_message, api_key]))

    mp = Mixpanel("T0", Enqueueing())
    mp.track("user-1", "Opened")
    mp.import_data("key", "user-1", "Opened", 1767225600, api_secret="secret")
    consumer = open_(Consumer, **urls(judge.url))
    for job in queue:
        assert consumer.send(*json.loads(job))
    assert dict(judge.arrivals()[1].headers)["Authorization"] == basic("secret:")


# Processes.


def run(program: str, *arguments: str) -> str:
    """
    What a program printed that ended well.
    """
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


BEGIN: Final = """
import json, os, sys, time
from mixwire import BufferedConsumer, Consumer, MixpanelException
url = sys.argv[1]
addresses = dict(events_url=url + "/track", people_url=url + "/engage")
adding = json.dumps({"$token": "T0", "$distinct_id": "user-1", "$add": {"visits": 1}})
"""


def test_what_is_held_at_the_end_of_the_process_is_delivered(judge: Judge) -> None:
    run(BEGIN + "BufferedConsumer(**addresses).send('people', adding)", judge.url)
    assert judge.profile("user-1") == {"visits": 1}


FORKED: Final = (
    BEGIN
    + """
consumer = kind(**addresses)
consumer.send("people", adding)
child = os.fork()
consumer.send("people", adding)
consumer.close()
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
)


@both
def test_after_a_fork_both_processes_send_what_is_theirs(kind: Any, judge: Judge) -> None:
    run(FORKED.replace("kind(", kind.__name__ + "("), judge.url)
    assert judge.profile("user-1") == {"visits": 3}


def test_after_a_fork_a_fault_is_told_in_one_process_only(judge: Judge) -> None:
    judge.fail_next(Status(400))
    program = """
consumer = BufferedConsumer(1, **addresses)
consumer.send("people", adding)
while not consumer._remembered:
    time.sleep(0.005)
child = os.fork()
try:
    consumer.flush()
except MixpanelException:
    os.write(1, b"told ")
if not child:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
consumer.close()
"""
    assert run(BEGIN + program, judge.url) == "told "


def test_a_fork_in_the_midst_of_another_threads_send_leaves_a_consumer_that_works(judge: Judge) -> None:
    program = """
import signal, threading
consumer = Consumer(**addresses)
consumer.send("people", adding)
(transport,) = consumer._transports.values()
is_held, is_over = threading.Event(), threading.Event()
def hold():
    # What a thread does for a moment in each send.
    with transport._ledger._lock:
        is_held.set()
        is_over.wait()
threading.Thread(target=hold).start()
is_held.wait()
child = os.fork()
if not child:
    signal.alarm(5)
    consumer.send("people", adding)
    os._exit(0)
status = os.waitpid(child, 0)[1]
is_over.set()
assert status == 0, "the child hung"
"""
    run(BEGIN + program, judge.url)
    assert judge.profile("user-1") == {"visits": 2}
