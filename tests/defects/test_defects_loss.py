"""
B1 to B18: where the official client loses, doubles or spoils data. Each test does what shows the defect, through our
front door after the one-line migration.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import mixpanel as official
import orjson
import pytest
import requests
from loopback import (
    BUSY,
    DROPPED,
    OK,
    REFUSED,
    TIME,
    Came,
    Loopback,
    Recorder,
    Reply,
    Script,
    basic,
    eventually,
    first,
    given_up,
    https_like,
    names,
    nowhere,
    run,
    urls,
)

import mixwire as mixpanel
from mixwire.core import InvalidValue, Project, Request, Response
from mixwire.transports import BufferedTransport, SyncTransport

Serve = Callable[..., Loopback]
INDIA = timezone(timedelta(hours=5, minutes=30))


def failures(*calls: Callable[[], object]) -> list[Any]:
    """
    What was raised when a program made these calls and went on after each.
    """
    raised: list[Any] = []
    for call in calls:
        try:
            call()
        except (mixpanel.MixpanelException, official.MixpanelException) as error:
            raised.append(error)
    return raised


# --- batches ---------------------------------------------------------------------------------------------------------


def test_b1_a_delivered_batch_is_not_sent_again_after_another_was_refused(serve: Serve) -> None:
    script: Script = lambda number, _: REFUSED if number in (0, 2) else OK  # noqa: E731
    server = serve(script)
    with mixpanel.BufferedConsumer(2, **urls(server)) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)
        raised = failures(*(partial(mp.track, "u", name) for name in "abcd"), consumer.flush)
    refused = [record.to_wire() for error in raised for record in error.records]
    assert sorted(names(server.applied()) + names(refused)) == ["a", "b", "c", "d"]

    server = serve(script)
    theirs = official.BufferedConsumer(2, **urls(server))
    mp = official.Mixpanel("t", consumer=theirs)
    failures(*(partial(mp.track, "u", name) for name in "abcd"), theirs.flush)
    assert Counter(names(server.applied()))["a"] == 2


def test_b2_one_bad_message_is_found_and_the_others_are_delivered(serve: Serve) -> None:
    script: Script = lambda _, came: REFUSED if "POISON" in came.text else OK  # noqa: E731
    events = ("POISON", *map(str, range(10)))
    server = serve(script)
    with mixpanel.BufferedConsumer(2, **urls(server)) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)
        assert failures(*(partial(mp.track, "u", name) for name in events)) == []
        with pytest.raises(mixpanel.MixpanelException) as caught:
            consumer.flush()
        assert caught.value.endpoint == "events"
        assert names(json.loads(caught.value.message or "")) == ["POISON"]
        consumer.flush()
    assert sorted(names(server.applied())) == [str(number) for number in range(10)]

    server = serve(script)
    mp = official.Mixpanel("t", consumer=official.BufferedConsumer(2, **urls(server)))
    assert len(failures(*(partial(mp.track, "u", name) for name in events))) == 10
    assert server.applied() == []


def queue_one_of_each(mp: Any) -> None:
    mp.track("u", "e")
    mp.people_set("u", {"a": 1})
    mp.group_set("company", "c", {"a": 1})


def test_b3_an_endpoint_that_refuses_does_not_keep_the_others_from_being_flushed(serve: Serve) -> None:
    script: Script = lambda _, came: REFUSED if came.path == "/track" else OK  # noqa: E731
    server = serve(script)
    with mixpanel.BufferedConsumer(**urls(server)) as consumer:
        queue_one_of_each(mixpanel.Mixpanel("t", consumer=consumer))
        (error,) = failures(consumer.flush, consumer.flush, consumer.flush)
    assert error.endpoint == "events"
    assert (len(server.applied("/engage")), len(server.applied("/groups"))) == (1, 1)

    server = serve(script)
    theirs = official.BufferedConsumer(**urls(server))
    queue_one_of_each(official.Mixpanel("t", consumer=theirs))
    failures(theirs.flush, theirs.flush, theirs.flush)
    assert [came.path for came in server.came()] == ["/track", "/track", "/track"]


def test_b3_an_endpoint_that_is_down_does_not_starve_the_others(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    is_mended = threading.Event()
    down = Reply(500)
    server = serve(lambda _, came: down if came.path == "/track" and not is_mended.is_set() else OK)
    with mixpanel.BufferedConsumer(1, **urls(server)) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)
        mp.track("u", "e")
        # The line in the log says that the trouble is known; what comes now must not wait for its end.
        eventually(lambda: "the server had an error: HTTP 500" in caplog.messages)
        queue_one_of_each(mp)
        eventually(lambda: bool(server.applied("/engage") and server.applied("/groups")))
        assert server.applied("/track") == []
        is_mended.set()
    assert len(server.applied("/track")) == 2


def test_b4_many_threads_lose_and_double_nothing(serve: Serve) -> None:
    def slowly(_number: int, _came: Came) -> Reply:
        time.sleep(0.005)
        return OK

    server = serve(slowly)
    with mixpanel.BufferedConsumer(10, **urls(server)) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)

        def work(thread: int) -> None:
            for number in range(50):
                mp.track("u", f"{thread}-{number}")

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    arrived = names(server.applied())
    assert (len(arrived), len(set(arrived))) == (400, 400)


def test_b4_what_is_sent_while_a_batch_is_under_way_arrives_once(serve: Serve) -> None:
    def sent_by(mp: Any, flush: Callable[[], object]) -> list[str]:
        now_mp.append(mp)
        failures(*(partial(mp.track, "u", name) for name in "abc"), flush, flush)
        return names(server.applied())

    def script(_number: int, came: Came) -> Reply:
        if '"a"' in came.text and not is_refused.is_set():
            is_refused.set()
            return REFUSED
        if '"c"' in came.text and not is_sent.is_set():
            # As another thread does, while the second batch of a flush is under way.
            is_sent.set()
            failures(lambda: now_mp[-1].track("u", "d"))
        return OK

    now_mp: list[Any] = []
    server, is_refused, is_sent = serve(script), threading.Event(), threading.Event()
    with mixpanel.BufferedConsumer(2, **urls(server)) as consumer:
        arrived = sent_by(mixpanel.Mixpanel("t", consumer=consumer), consumer.flush)
    assert sorted(arrived) == ["a", "b", "c", "d"]

    server, is_refused, is_sent = serve(script), threading.Event(), threading.Event()
    theirs = official.BufferedConsumer(2, **urls(server))
    assert Counter(sent_by(official.Mixpanel("t", consumer=theirs), theirs.flush))["a"] == 2


# --- processes -------------------------------------------------------------------------------------------------------

WITH = """
import os, sys, {library} as mixpanel
with mixpanel.Mixpanel("t", consumer=mixpanel.BufferedConsumer(events_url=sys.argv[1] + "/track")) as mp:
    for _ in range(10):
        mp.track("u", "e")
os._exit(0)
"""
AT_EXIT = """
import sys, {library} as mixpanel
mp = mixpanel.Mixpanel("t", consumer=mixpanel.BufferedConsumer(events_url=sys.argv[1] + "/track"))
for _ in range(10):
    mp.track("u", "e")
"""


@pytest.mark.parametrize(
    ("program", "library", "expected"),
    [
        pytest.param(WITH, "mixwire", 10, id="leaving with"),
        pytest.param(AT_EXIT, "mixwire", 10, id="end of the process"),
        pytest.param(WITH, "mixpanel", 0, id="official client, leaving with"),
    ],
)
def test_b5_what_is_held_at_the_end_is_delivered(serve: Serve, program: str, library: str, expected: int) -> None:
    server = serve()
    run(program.format(library=library), server.url)
    assert len(server.applied()) == expected


def test_b5_what_cannot_be_delivered_at_the_end_is_told_soon() -> None:
    program = """
import sys, mixwire
mp = mixwire.Mixpanel("t", server=sys.argv[1], transport="buffered:?exit_seconds=0.2")
for _ in range(10):
    mp.track("u", "e")
"""
    assert "closed before everything was delivered: 10 messages are lost or in doubt" in run(program, nowhere())


@pytest.mark.parametrize(
    ("library", "expected"),
    [pytest.param("mixwire", {"credits": 1, "child": 1}), pytest.param("mixpanel", {"credits": 2, "child": 1})],
)
def test_b6_a_fork_does_not_double_what_is_held(serve: Serve, library: str, expected: dict[str, int]) -> None:
    program = """
import os, sys, {library} as mixpanel
consumer = mixpanel.BufferedConsumer(people_url=sys.argv[1] + "/engage")
mp = mixpanel.Mixpanel("t", consumer=consumer)
mp.people_increment("u", {{"credits": 1}})
child = os.fork()
if child == 0:
    mp.people_increment("u", {{"child": 1}})
consumer.flush()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""
    server = serve()
    run(program.format(library=library), server.url)
    assert Counter(name for record in server.applied() for name in record["$add"]) == expected


# --- what counts twice when it is sent twice -------------------------------------------------------------------------


def increment(mp: Any) -> None:
    mp.people_increment("u", {"credits": 10})


def charge(mp: Any) -> None:
    mp.people_track_charge("u", 99)


@pytest.mark.parametrize(("call", "drops"), [(increment, 3), (charge, 2)], ids=["increment", "charge"])
def test_b7_an_increment_whose_answer_is_lost_is_applied_once(
    serve: Serve, call: Callable[[Any], None], drops: int
) -> None:
    server = serve(first(*[DROPPED] * drops))
    with (
        mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp,
        pytest.raises(mixpanel.MixpanelException) as caught,
    ):
        call(mp)
    assert (len(server.applied()), len(caught.value.outcome.unknown)) == (1, 1)

    server = serve(first(*[DROPPED] * drops))
    theirs = https_like(official.Consumer(**urls(server), retry_backoff_factor=0))
    call(official.Mixpanel("t", consumer=theirs))
    assert len(server.applied()) == drops + 1


def test_b7_a_held_increment_whose_answer_is_lost_is_applied_once(serve: Serve) -> None:
    server = serve(first(DROPPED))
    with mixpanel.BufferedConsumer(**urls(server)) as consumer:
        increment(mixpanel.Mixpanel("t", consumer=consumer))
        with pytest.raises(mixpanel.MixpanelException, match="unknown, perhaps applied"):
            consumer.flush()
    assert len(server.applied()) == 1


def test_b7_an_increment_that_was_certainly_not_applied_is_sent_again(serve: Serve) -> None:
    server = serve(first(BUSY))
    transport = SyncTransport(Project("t", server=server.url), sleep=lambda _: None)
    with mixpanel.Mixpanel("t", transport=transport) as mp:
        increment(mp)
    assert (len(server.came()), len(server.applied())) == (2, 1)


# --- alias -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def official_posts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """
    What the official client would have posted to the network.
    """
    posts: list[tuple[str, dict[str, Any]]] = []

    def post(_self: object, url: str, **arguments: Any) -> requests.Response:
        posts.append((url, arguments))
        response = requests.Response()
        response._content = b'{"status":1}'
        return response

    monkeypatch.setattr(requests.Session, "post", post)
    return posts


def test_b8_alias_goes_to_the_consumer_and_nowhere_else(official_posts: list[tuple[str, dict[str, Any]]]) -> None:
    consumer, theirs = Recorder(), Recorder()
    mixpanel.Mixpanel("t", consumer=consumer).alias("n", "o")
    properties = {"distinct_id": "o", "alias": "n", "token": "t"}
    assert consumer.sent == [("events", {"event": "$create_alias", "properties": properties})]
    assert official_posts == []

    official.Mixpanel("t", consumer=theirs).alias("n", "o")
    assert theirs.sent == []
    assert [url for url, _ in official_posts] == ["https://api.mixpanel.com/track"]


def test_b8_alias_of_an_eu_project_goes_to_the_eu(official_posts: list[tuple[str, dict[str, Any]]]) -> None:
    posted: list[Request] = []

    class Network:
        def __call__(self, request: Request) -> Response:
            posted.append(request)
            return Response(status=200, body=b'{"status":1}')

        def close(self) -> None:
            pass

    with mixpanel.Consumer(api_host="api-eu.mixpanel.com", request_timeout=3) as consumer:
        consumer._network = Network()
        mixpanel.Mixpanel("t", consumer).alias("n", "o")
    assert [request.url.partition("?")[0] for request in posted] == ["https://api-eu.mixpanel.com/track"]

    theirs = official.Consumer(api_host="api-eu.mixpanel.com", request_timeout=3, verify_cert=False)
    official.Mixpanel("t", theirs).alias("n", "o")
    ((url, arguments),) = official_posts
    assert (url, arguments["timeout"], arguments["verify"]) == ("https://api.mixpanel.com/track", None, True)


def test_b8_nothing_overtakes_an_alias(serve: Serve) -> None:
    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.BufferedConsumer(**urls(server))) as mp:
        mp.track("o", "before")
        mp.alias("n", "o")
        mp.track("n", "after")
    assert [names(came.records) for came in server.came("/track")] == [["before"], ["$create_alias"], ["after"]]


# --- what authorises an import ---------------------------------------------------------------------------------------


def authorized(server: Loopback) -> dict[str, str | None]:
    """
    What authorised each imported event.
    """
    came = server.came("/import")
    return {name: each.headers.get("Authorization") for each in came for name in names(each.records)}


def import_with_two_secrets(mp: Any, flush: Callable[[], object]) -> None:
    mp.import_data(None, "u", "A", TIME, api_secret="SECRET_A")
    mp.import_data(None, "u", "B", TIME, api_secret="SECRET_B")
    flush()


def test_b9_each_import_is_authorised_by_its_own_secret(serve: Serve) -> None:
    server = serve()
    with mixpanel.BufferedConsumer(**urls(server)) as consumer:
        import_with_two_secrets(mixpanel.Mixpanel("t", consumer=consumer), consumer.flush)
    assert authorized(server) == {"A": basic("SECRET_A"), "B": basic("SECRET_B")}

    server = serve()
    theirs = official.BufferedConsumer(**urls(server))
    import_with_two_secrets(official.Mixpanel("t", consumer=theirs), theirs.flush)
    assert authorized(server) == {"A": basic("SECRET_B"), "B": basic("SECRET_B")}


def test_b9_each_import_of_the_default_transport_is_authorised_by_its_own_secret(serve: Serve) -> None:
    server = serve()
    with mixpanel.Mixpanel("t", server=server.url) as mp:
        import_with_two_secrets(mp, mp.flush)
    assert authorized(server) == {"A": basic("SECRET_A"), "B": basic("SECRET_B")}


def import_and_track(mp: Any, flush: Callable[[], object]) -> None:
    mp.import_data(None, "u", "A", TIME, api_secret="A")
    mp.track("u", "e")
    flush()


def test_b10_an_event_leaves_the_secret_of_a_held_import_alone(serve: Serve) -> None:
    server = serve()
    with mixpanel.BufferedConsumer(**urls(server)) as consumer:
        import_and_track(mixpanel.Mixpanel("t", consumer=consumer), consumer.flush)
    assert authorized(server) == {"A": basic("A")}
    assert [came.headers.get("Authorization") for came in server.came("/track")] == [None]

    server = serve()
    theirs = official.BufferedConsumer(**urls(server))
    import_and_track(official.Mixpanel("t", consumer=theirs), theirs.flush)
    assert authorized(server) == {"A": None}


def test_b11_an_import_with_an_api_key_alone_is_authorised_by_the_token(serve: Serve) -> None:
    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        mp.import_data("KEY", "u", "A", TIME)
    assert authorized(server) == {"A": basic("t")}

    server = serve()
    official.Mixpanel("t", consumer=official.Consumer(**urls(server))).import_data("KEY", "u", "A", TIME)
    (came,) = server.came()
    assert set(came.form or {}) == {"data", "verbose", "ip"}
    assert authorized(server) == {"A": None}


def test_b11_the_default_transport_says_that_an_api_key_has_no_effect(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    with mixpanel.Mixpanel("t", server=server.url) as mp, caplog.at_level(logging.WARNING, "mixwire"):
        mp.import_data("KEY", "u", "A", TIME)
    assert authorized(server) == {"A": basic("t")}
    assert caplog.messages == [
        "api_key has no effect: /import is authorised by credentials, or else by the token",
    ]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_b12_what_is_no_json_is_refused_and_not_sent(serve: Serve, value: float) -> None:
    server = serve()
    with (
        mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp,
        pytest.raises(InvalidValue, match=r"^properties\['x'\] must be a finite number"),
    ):
        mp.track("u", "e", {"x": value})
    assert server.came() == []

    official.Mixpanel("t", consumer=official.Consumer(**urls(server))).track("u", "e", {"x": value})
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(server.came()[0].text)


def test_b13_one_instant_in_two_timezones_is_one_value(serve: Serve) -> None:
    moment = datetime(2024, 1, 1, 0, 0, 0, 25, tzinfo=INDIA)

    def sent_by(mp: Any) -> list[str]:
        mp.people_set("u", {"x": moment, "y": moment.astimezone(UTC)})
        (record,) = server.applied()
        return [record["$set"]["x"], record["$set"]["y"]]

    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        assert sent_by(mp) == ["2023-12-31T18:30:00.000025", "2023-12-31T18:30:00.000025"]
    server = serve()
    theirs = official.Mixpanel("t", consumer=official.Consumer(**urls(server)))
    assert sent_by(theirs) == ["2024-01-01T00:00:00", "2023-12-31T18:30:00"]


NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda mp: mp.track("u", "e", {"time": NOON.replace(tzinfo=None)}), id="track"),
        pytest.param(lambda mp: mp.import_data(None, "u", "e", NOON), id="import_data"),
    ],
)
def test_b14_a_time_given_as_a_datetime_is_a_number(serve: Serve, call: Callable[[Any], None]) -> None:
    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        call(mp)
    call(official.Mixpanel("t", consumer=official.Consumer(**urls(server))))
    times = [record["properties"]["time"] for record in server.applied()]
    assert times == [1704110400000, "2024-01-01T12:00:00"]


def test_b14_a_time_that_mixpanel_cannot_take_is_refused() -> None:
    consumer = Recorder()
    mp = mixpanel.Mixpanel("t", consumer=consumer)
    with pytest.raises(InvalidValue, match=r"^properties\['time'\] must be .* from 1971 to 9999"):
        mp.track("u", "e", {"time": datetime(1969, 1, 1, tzinfo=UTC)})
    with pytest.raises(InvalidValue, match=r"^timestamp must be .* from 1971 to 9999"):
        mp.import_data(None, "u", "e", datetime(1969, 1, 1, tzinfo=UTC))
    assert consumer.sent == []


# --- limits ----------------------------------------------------------------------------------------------------------


def test_b15_what_is_held_in_an_outage_is_bounded_and_what_finds_no_room_is_counted() -> None:
    transport = BufferedTransport(Project("t", server=nowhere()), max_messages=5, max_held_messages=100)
    mp = mixpanel.Mixpanel("t", transport=transport)
    for _ in range(500):
        mp.track("u", "e")
    stats = transport.stats()
    assert (stats.accepted, stats.held, stats.dropped) == (500, 100, 400)
    mp.close(0.0)

    theirs = official.BufferedConsumer(5, **urls(nowhere()), retry_limit=0)
    track = partial(official.Mixpanel("t", consumer=theirs).track, "u", "e")
    assert len(failures(*[track] * 500)) == 496
    assert len(theirs._buffers["events"]) == 500


def test_b15_an_outage_is_not_met_with_a_request_for_each_message(serve: Serve) -> None:
    server = serve(lambda *_: BUSY)
    with given_up(mixpanel.BufferedConsumer(5, **urls(server))) as consumer:
        mp = mixpanel.Mixpanel("t", consumer=consumer)
        assert failures(*[partial(mp.track, "u", "e")] * 500) == []
        eventually(lambda: len(server.came()) > 0)
        # Up to four are under way when the first answer comes.
        assert len(server.came()) < 10


def test_b16_a_consumer_that_is_false_is_used_all_the_same() -> None:
    class Kept(list[str]):
        def send(self, endpoint: str, json_message: str, api_key: object = None) -> None:
            self.append(endpoint)

    kept = Kept()
    mixpanel.Mixpanel("t", consumer=kept).track("u", "e")
    assert kept == ["events"]
    assert type(official.Mixpanel("t", consumer=Kept())._consumer) is official.Consumer


@pytest.mark.parametrize("max_size", [0, -1])
def test_b17_a_batch_of_no_messages_is_refused_when_the_consumer_is_made(serve: Serve, max_size: int) -> None:
    with pytest.raises(InvalidValue, match=f"^max_size must be an int, at least 1, not {max_size}$"):
        mixpanel.BufferedConsumer(max_size)

    server = serve(lambda number, _: OK if number < 20 else REFUSED)
    theirs = official.Mixpanel("t", consumer=official.BufferedConsumer(max_size, **urls(server)))
    assert len(failures(lambda: theirs.track("u", "e"))) == 1
    assert [came.text for came in server.came()] == ["[]"] * 21


def test_b18_batches_are_cut_by_their_bytes(serve: Serve) -> None:
    def track_four_large_ones(mp: Any) -> None:
        for _ in range(4):
            mp.track("u", "e", {"x": "x" * 600_000})

    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.BufferedConsumer(**urls(server))) as mp:
        track_four_large_ones(mp)
    assert len(server.applied()) == 4
    assert max(len(came.text) for came in server.came()) <= 2_000_000

    server = serve()
    theirs = official.BufferedConsumer(**urls(server))
    track_four_large_ones(official.Mixpanel("t", consumer=theirs))
    theirs.flush()
    assert [len(came.wire) > 2_000_000 for came in server.came()] == [True]
