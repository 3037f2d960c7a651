"""
B31 to B38: what the official client builds of what it is given. Each test does what shows the defect, through our front
door.
"""

from __future__ import annotations

import copy
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import mixpanel as official
import pytest
from loopback import BUSY, DROPPED, TIME, Loopback, Recorder, first, names, urls

import mixwire as mixpanel
from mixwire.core import InvalidValue, LimitExceeded, Project, ProjectSecret
from mixwire.core.findings import Refused
from mixwire.transports import SyncTransport

Serve = Callable[..., Loopback]


class Plan(Enum):
    PRO = "pro"


@dataclass
class Item:
    sku: str


@attrs.frozen
class Price:
    amount: int


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        pytest.param(date(2024, 1, 1), "2024-01-01", id="date"),
        pytest.param(Decimal("19.99"), 19.99, id="Decimal"),
        pytest.param(UUID(int=1), "00000000-0000-0000-0000-000000000001", id="UUID"),
        pytest.param(Plan.PRO, "pro", id="Enum"),
        pytest.param({"b", "a"}, ["a", "b"], id="set"),
        pytest.param(frozenset({"b", "a"}), ["a", "b"], id="frozenset"),
        pytest.param(Item("a"), {"sku": "a"}, id="dataclass"),
        pytest.param(Price(5), {"amount": 5}, id="attrs"),
    ],
)
def test_b31_an_everyday_value_is_written_without_loss(serve: Serve, value: object, sent: object) -> None:
    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        mp.track("u", "e", {"x": value})
    assert server.applied()[0]["properties"]["x"] == sent

    with pytest.raises(TypeError):
        official.Mixpanel("t", consumer=Recorder()).track("u", "e", {"x": value})


@pytest.mark.parametrize(
    "value", [time(12), timedelta(1), b"a", Path("a"), deque([1])], ids=lambda value: type(value).__name__
)
def test_b31_a_value_without_one_meaning_is_refused_with_its_path(value: object) -> None:
    consumer = Recorder()
    mp = mixpanel.Mixpanel("t", consumer=consumer)
    with pytest.raises(InvalidValue) as caught:
        mp.track("u", "e", {"cart": [1, 2, {"price": value}]})
    assert caught.value.path == "properties['cart'][2]['price']"
    assert consumer.sent == []

    with pytest.raises(TypeError, match="not JSON serializable"):
        official.Mixpanel("t", consumer=consumer).track("u", "e", {"cart": [1, 2, {"price": value}]})


def test_b31_a_serializer_of_the_callers_says_how_any_other_value_is_written() -> None:
    class Serializer(mixpanel.DatetimeSerializer):
        def default(self, o: object) -> object:
            return o.as_posix() if isinstance(o, Path) else super().default(o)

    consumer = Recorder()
    mixpanel.Mixpanel("t", consumer=consumer, serializer=Serializer).track("u", "e", {"x": Path("a/b")})
    assert consumer.sent[0][1]["properties"]["x"] == "a/b"


def test_b32_nothing_of_the_callers_is_changed() -> None:
    charged, theirs = {"sku": "x"}, {"sku": "x"}
    mp = mixpanel.Mixpanel("t", consumer=Recorder())
    mp.people_track_charge("u", 5, charged)
    official.Mixpanel("t", consumer=Recorder()).people_track_charge("u", 5, theirs)
    assert (charged, theirs) == ({"sku": "x"}, {"sku": "x", "$amount": 5})

    properties: dict[str, Any] = {"a": {"b": [1]}, "time": TIME, "$insert_id": "a-1", "distinct_id": "v"}
    update: dict[str, Any] = {"$distinct_id": "u", "$token": "t", "$set": {"a": [1]}}
    meta: dict[str, Any] = {"$ip": 0, "$time": TIME}
    names_to_unset = ["a"]
    transaction = {"$time": "2024-01-01T00:00:00", "sku": "x"}
    given = (properties, update, meta, names_to_unset, transaction)
    before = copy.deepcopy(given)
    mp.track("u", "e", properties)
    mp.with_properties({"c": 1}).track("u", "e", properties)
    mp.people_update(update, meta)
    mp.people_set("u", {"a": 1}, meta)
    mp.people_unset("u", names_to_unset, meta)
    mp.people_track_charge("u", 5, transaction, meta)
    assert given == before


MANY = {f"name {number}": 1 for number in range(1000)}


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        pytest.param(lambda mp: mp.track(None, None), "event_name must be", id="no event"),
        pytest.param(lambda mp: mp.track("u", ""), "event_name must be", id="empty event"),
        pytest.param(
            lambda mp: mp.people_increment("u", {"a": "text"}),
            r"properties\['a'\] must be a finite number, not str",
            id="increment by text",
        ),
        pytest.param(
            lambda mp: mp.people_union("u", {"a": {"b": 1}}), r"properties\['a'\] must be a list", id="union of no list"
        ),
        pytest.param(
            lambda mp: mp.people_unset("u", "abc"), "properties must be a list of property names, not str", id="unset"
        ),
        pytest.param(lambda mp: mp.people_set("", {"a": 1}), "distinct_id must be", id="empty distinct_id"),
        pytest.param(lambda mp: mp.people_set("null", {"a": 1}), "distinct_id must be", id="placeholder"),
        pytest.param(lambda mp: mp.people_track_charge("u", "5"), "amount must be a finite number", id="amount"),
    ],
)
def test_b33_a_mistake_is_named_at_the_call_and_nothing_is_sent(
    serve: Serve, call: Callable[[Any], None], sentence: str
) -> None:
    server = serve()
    with (
        mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp,
        pytest.raises(InvalidValue, match=f"^{sentence}"),
    ):
        call(mp)
    assert server.came() == []

    recorder = Recorder()
    call(official.Mixpanel("t", consumer=recorder))
    assert len(recorder.sent) == 1


def test_b33_ids_of_an_alias_are_checked_at_the_call() -> None:
    recorder = Recorder()
    with pytest.raises(InvalidValue, match=r"^alias_id must be"):
        mixpanel.Mixpanel("t", consumer=recorder).alias("", "u")
    assert recorder.sent == []


@pytest.mark.parametrize("token", [None, "", " ", "a\nb"], ids=repr)
def test_b33_a_token_that_is_none_is_refused_when_the_client_is_made(token: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^token must be"):
        mixpanel.Mixpanel(token, consumer=Recorder())
    official.Mixpanel(token, consumer=Recorder())


def test_b33_more_properties_than_mixpanel_takes_are_refused() -> None:
    recorder = Recorder()
    with pytest.raises(LimitExceeded, match=r"^properties must be at most 254 properties"):
        mixpanel.Mixpanel("t", consumer=recorder).track("u", "e", MANY)
    assert recorder.sent == []


def test_b33_what_mixpanel_would_cut_is_told_or_refused_by_policy(caplog: pytest.LogCaptureFixture) -> None:
    recorder, long_name = Recorder(), {"a" * 300: 1}
    with caplog.at_level(logging.WARNING, "mixwire"):
        mixpanel.Mixpanel("t", consumer=recorder).track("u", "e", long_name)
    assert len(recorder.sent) == len(caplog.messages) == 1
    with pytest.raises(Refused):
        mixpanel.Mixpanel("t", consumer=recorder, limits="strict").track("u", "e", long_name)
    assert len(recorder.sent) == 1


def test_b33_a_single_value_in_a_union_is_a_list_of_one() -> None:
    recorder = Recorder()
    mixpanel.Mixpanel("t", consumer=recorder).people_union("u", {"a": "not a list"})
    official.Mixpanel("t", consumer=recorder).people_union("u", {"a": "not a list"})
    assert [update["$union"]["a"] for _, update in recorder.sent] == [["not a list"], "not a list"]


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_b34_what_is_nested_too_deeply_is_refused_and_nothing_overflows(kind: str) -> None:
    value: Any = 1
    for _ in range(200_000):
        value = {"a": value} if kind == "dict" else [value]
    with pytest.raises(LimitExceeded, match=r"^properties\['x'\].* must be at most \d+ (objects|levels) deep"):
        mixpanel.Mixpanel("t", consumer=Recorder()).track("u", "e", {"x": value})
    with pytest.raises(RecursionError):
        official.Mixpanel("t", consumer=Recorder()).track("u", "e", {"x": value})


def test_b35_events_travel_as_compressed_json(serve: Serve) -> None:
    def track_50(mp: Any) -> None:
        for number in range(50):
            mp.track(f"user-{number}", "Page Viewed", {"path": f"/items/{number}", "plan": "pro", "Seconds": number})

    server, others = serve(), serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.BufferedConsumer(**urls(server))) as mp:
        track_50(mp)
    track_50(official.Mixpanel("t", consumer=official.BufferedConsumer(**urls(others))))
    (came,), (theirs,) = server.came(), others.came()
    assert (came.headers["Content-Type"], came.headers["Content-Encoding"]) == ("application/json", "gzip")
    assert len(came.records) == len(theirs.records) == 50
    assert len(theirs.wire) > 1.4 * len(theirs.text)
    assert len(came.wire) < len(theirs.wire) / 8


@pytest.mark.parametrize("way", ["transport", "consumer"])
@pytest.mark.parametrize("text", ["Привет, мир! " * 20, "😀" * 100], ids=["Cyrillic", "emoji"])
def test_b35_text_travels_as_utf_8(serve: Serve, text: str, way: str) -> None:
    server, others = serve(), serve()
    if way == "transport":
        mp = mixpanel.Mixpanel("t", server=server.url)
    else:
        mp = mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server)))
    with mp:
        mp.people_set("u", {"x": text})
    official.Mixpanel("t", consumer=official.Consumer(**urls(others))).people_set("u", {"x": text})
    (came,), (theirs,) = server.came(), others.came()
    assert text.encode() in came.wire
    assert len(came.wire) < len(text.encode()) + 200
    assert len(theirs.wire) > 2.5 * len(text.encode())


@pytest.mark.parametrize("reply", [BUSY, DROPPED], ids=["certainly not applied", "answer lost"])
@pytest.mark.parametrize(
    ("call", "path", "wire"),
    [
        pytest.param(
            lambda mp: mp.alias("n", "o"),
            "/track",
            {"event": "$create_alias", "properties": {"distinct_id": "o", "alias": "n", "token": "t"}},
            id="alias",
        ),
        pytest.param(
            lambda mp: mp.merge(None, "a", "b"),
            "/import",
            {"event": "$merge", "properties": {"$distinct_ids": ["a", "b"], "token": "t"}},
            id="merge",
        ),
    ],
)
def test_b36_an_identity_command_is_the_same_bytes_each_time_it_is_sent(
    serve: Serve, call: Callable[[Any], None], path: str, wire: dict[str, Any], reply: Any
) -> None:
    """
    It has the form that is documented for it, which knows no insert_id, time or library. It needs none to be repeated:
    saying again that two ids are one user changes nothing.
    """
    server = serve(first(reply))
    project = Project("t", server=server.url, credentials=ProjectSecret("S"))
    with mixpanel.Mixpanel("t", transport=SyncTransport(project, sleep=lambda _: None)) as mp:
        call(mp)
    one, other = server.came(path)
    assert (one.wire, one.records) == (other.wire, [wire])


@pytest.mark.parametrize(
    "host", ["https://api-eu.mixpanel.com", "api-eu.mixpanel.com/track", "api eu.mixpanel.com", ""], ids=repr
)
def test_b37_an_api_host_that_is_no_host_is_refused_when_the_consumer_is_made(host: str) -> None:
    for kind in (mixpanel.Consumer, mixpanel.BufferedConsumer):
        with pytest.raises(InvalidValue, match=r"^api_host must be .*, such as 'api-eu.mixpanel.com', not "):
            kind(api_host=host)
    assert official.Consumer(api_host=host)._endpoints["events"] == f"https://{host}/track"


def test_b38_a_consumer_with_two_arguments_takes_imports_and_merges() -> None:
    class LoggingConsumer:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def send(self, endpoint: str, json_message: str) -> None:
            self.lines.append(f"{endpoint}::{json_message}\n")

    consumer = LoggingConsumer()
    mp = mixpanel.Mixpanel("t", consumer=consumer)
    mp.import_data("KEY", "u", "e", TIME, api_secret="S")
    mp.merge("KEY", "a", "b")
    lines = [line.split("::") for line in consumer.lines]
    assert [endpoint for endpoint, _ in lines] == ["imports", "imports"]
    assert names([json.loads(text) for _, text in lines]) == ["e", "$merge"]

    theirs = official.Mixpanel("t", consumer=LoggingConsumer())
    with pytest.raises(TypeError, match="takes 3 positional arguments but 4 were given"):
        theirs.import_data("KEY", "u", "e", TIME)
    with pytest.raises(TypeError, match="takes 3 positional arguments but 4 were given"):
        theirs.merge("KEY", "a", "b")
