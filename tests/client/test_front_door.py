"""
The front door: which record each call sends and where to, and what the caller hears of it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import gc
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest

from mixwire import DatetimeSerializer, Mixpanel, MixpanelException, ServiceAccountCredentials
from mixwire.core import (
    VERSION,
    Alias,
    Cause,
    Charge,
    ClearCharges,
    Endpoint,
    GroupOp,
    Identify,
    InvalidValue,
    LimitExceeded,
    Merge,
    Outcome,
    PeopleOp,
    Project,
    ProjectSecret,
    RawPeopleOp,
    ServiceAccount,
    Set,
    Track,
)
from mixwire.core.findings import Refused
from mixwire.hand_over import ENDPOINTS
from mixwire.stamps import milliseconds_now
from mixwire.testing import Judge, MemoryTransport, Status
from mixwire.transports import BufferedTransport, NullTransport, Stats, SyncTransport, Transport
from mixwire.transports.descriptions import Buffered, Sync

if TYPE_CHECKING:
    from conftest import Arrivals

TOKEN: Final = "a-token-of-mine"
NOW: Final = 1767225600250
SECONDS: Final = 1767225600
PAST: Final = 1700000000
INSERT_ID: Final = "5d1f0a6c2b7e4c0f9a3d8e6b1c2d3e4f"
ANON_ID: Final = "b9d2a0b4-5e0f-4f4e-9d8a-1f2e3d4c5b6a"
GUARD_SECONDS: Final = 20.0
"""No test waits longer, so that a broken one fails instead of hanging."""


def door(transport: Any = None, *, consumer: object | None = None, **arguments: Any) -> Mixpanel:
    """
    A front door on a clock that stands still.
    """
    return Mixpanel(
        TOKEN,
        consumer,
        transport=transport,
        **{"now": lambda: NOW, "make_insert_id": lambda: INSERT_ID, **arguments},
    )


def live(transport: Any = None, **arguments: Any) -> Mixpanel:
    """
    A front door on the clock of this machine, by which servers tell live events from old ones.
    """
    return door(transport, **{"now": milliseconds_now, **arguments})


def event(name: str = "Opened", time: object = NOW, /, meta: dict[str, Any] | None = None, **properties: object) -> Any:
    own = {"distinct_id": "user-1", "time": time, "$insert_id": INSERT_ID, "mp_lib": "mixwire", "$lib_version": VERSION}
    return {"event": name, "properties": {**own, **properties, "token": TOKEN}, **(meta or {})}


def identity(name: str, **properties: object) -> Any:
    return {"event": name, "properties": {**properties, "token": TOKEN}}


def update(operator: str, value: object, **beside: object) -> Any:
    return {"$token": TOKEN, "$distinct_id": "user-1", "$time": SECONDS, operator: value, **_dollars(beside)}


def group(operator: str, value: object, **beside: object) -> Any:
    ids = {"$group_key": "Company", "$group_id": "acme"}
    return {"$token": TOKEN, **ids, "$time": SECONDS, operator: value, **_dollars(beside)}


def _dollars(beside: dict[str, object]) -> dict[str, object]:
    return {name.replace("_", "$", 1) if name.startswith("_") else name: value for name, value in beside.items()}


def exact(record: object) -> str:
    """
    What tells ``1``, ``1.0`` and ``True`` apart, and does not mind the order of keys.
    """
    return json.dumps(record, sort_keys=True)


class Recorder:
    """
    A consumer that keeps what it is given.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.ends: list[str] = []

    def send(self, endpoint: str, json_message: str, api_key: Any = None) -> None:
        self.calls.append((endpoint, json_message, api_key))

    def flush(self) -> None:
        self.ends.append("flush")

    def close(self) -> None:
        self.ends.append("close")

    @property
    def records(self) -> list[tuple[str, Any]]:
        return [(endpoint, json.loads(text)) for endpoint, text, _ in self.calls]


def sent(memory: MemoryTransport) -> list[tuple[Endpoint, Any]]:
    return [(message.endpoint, message.to_wire()) for message in memory.messages]


def only(memory: MemoryTransport) -> Any:
    ((_, record),) = sent(memory)
    return record


@pytest.fixture
def memory() -> MemoryTransport:
    return MemoryTransport()


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as judge:
        yield judge


@pytest.fixture
def closed_url() -> str:
    """
    The URL of a port at which nobody listens.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


# What each call sends.

CALLS: Final[dict[str, tuple[str, tuple[Any, ...], str, Any]]] = {
    "track": ("track", ("user-1", "Opened"), "events", event()),
    "track with properties": (
        "track",
        ("user-1", "Opened", {"plan": "pro", "n": 1, "f": 1.0, "b": True, "x": None, "l": [1, {"a": []}]}),
        "events",
        event(plan="pro", n=1, f=1.0, b=True, x=None, l=[1, {"a": []}]),
    ),
    "track with meta": (
        "track",
        ("user-1", "Opened", {"plan": "pro"}, {"ip": 0, "$import": True}),
        "events",
        event(plan="pro", meta={"ip": 0, "$import": True}),
    ),
    "track with empty meta": ("track", ("user-1", "Opened", {}, {}), "events", event()),
    "track nobody": ("track", ("", "Opened"), "events", event(distinct_id="")),
    "track an int": ("track", (12, "Opened"), "events", event(distinct_id="12")),
    "track a UUID": ("track", (UUID(ANON_ID), "Opened"), "events", event(distinct_id=ANON_ID)),
    "import_data": ("import_data", (None, "user-1", "Opened", PAST), "imports", event("Opened", PAST)),
    "import_data with all": (
        "import_data",
        (None, "user-1", "Opened", PAST, {"plan": "pro"}, {"ip": 0}),
        "imports",
        event("Opened", PAST, plan="pro", meta={"ip": 0}),
    ),
    "alias": (
        "alias",
        ("user-1", "device-1"),
        "events",
        identity("$create_alias", distinct_id="device-1", alias="user-1"),
    ),
    "alias with meta": (
        "alias",
        ("user-1", "device-1", {"ip": 0}),
        "events",
        {**identity("$create_alias", distinct_id="device-1", alias="user-1"), "ip": 0},
    ),
    "identify": (
        "identify",
        ("user-1", ANON_ID),
        "events",
        identity("$identify", **{"$identified_id": "user-1", "$anon_id": ANON_ID}),
    ),
    "identify with meta": (
        "identify",
        ("user-1", UUID(ANON_ID), {"ip": 0}),
        "events",
        {**identity("$identify", **{"$identified_id": "user-1", "$anon_id": ANON_ID}), "ip": 0},
    ),
    "merge": (
        "merge",
        (None, "user-1", "user-2"),
        "imports",
        identity("$merge", **{"$distinct_ids": ["user-1", "user-2"]}),
    ),
    "merge with meta": (
        "merge",
        (None, "user-1", "user-2", {"ip": 0}),
        "imports",
        {**identity("$merge", **{"$distinct_ids": ["user-1", "user-2"]}), "ip": 0},
    ),
    "people_set": ("people_set", ("user-1", {"plan": "pro"}), "people", update("$set", {"plan": "pro"})),
    "people_set_once": ("people_set_once", ("user-1", {"since": 2026}), "people", update("$set_once", {"since": 2026})),
    "people_increment": (
        "people_increment",
        ("user-1", {"credits": 10, "rate": -0.5}),
        "people",
        update("$add", {"credits": 10, "rate": -0.5}),
    ),
    "people_append": ("people_append", ("user-1", {"seen": "a"}), "people", update("$append", {"seen": "a"})),
    "people_union": (
        "people_union",
        ("user-1", {"tags": ["a", 1], "one": "b"}),
        "people",
        update("$union", {"tags": ["a", 1], "one": ["b"]}),
    ),
    "people_unset": ("people_unset", ("user-1", ["plan", "trial"]), "people", update("$unset", ["plan", "trial"])),
    "people_unset a tuple": ("people_unset", ("user-1", ("plan",)), "people", update("$unset", ["plan"])),
    "people_remove": ("people_remove", ("user-1", {"tags": "a"}), "people", update("$remove", {"tags": "a"})),
    "people_delete": ("people_delete", ("user-1",), "people", update("$delete", "")),
    "people_delete with meta": (
        "people_delete",
        ("user-1", {"$ignore_alias": True}),
        "people",
        update("$delete", "", _ignore_alias=True),
    ),
    "people_track_charge": (
        "people_track_charge",
        ("user-1", 9.99),
        "people",
        update("$append", {"$transactions": {"$time": "2026-01-01T00:00:00", "$amount": 9.99}}),
    ),
    "a refund": (
        "people_track_charge",
        ("user-1", Decimal(-5), {"sku": "s1"}, {"$ip": 0}),
        "people",
        update("$append", {"$transactions": {"sku": "s1", "$time": "2026-01-01T00:00:00", "$amount": -5}}, _ip="0"),
    ),
    "people_clear_charges": ("people_clear_charges", ("user-1",), "people", update("$unset", ["$transactions"])),
    "people_clear_charges with meta": (
        "people_clear_charges",
        ("user-1", {"$ignore_time": True}),
        "people",
        update("$unset", ["$transactions"], _ignore_time=True),
    ),
    "people_update": (
        "people_update",
        ({"$distinct_id": "user-1", "$set": {"a": 1}, "$unset": ["b"], "$append": {"c": 2}, "$ip": "1.2.3.4"},),
        "people",
        update("$set", {"a": 1}, _unset=["b"], _append={"c": 2}, _ip="1.2.3.4"),
    ),
    "people_update with a time and a token": (
        "people_update",
        ({"$token": TOKEN, "$distinct_id": "user-1", "$time": PAST, "$add": {"a": 1}}, {"$ip": "0"}),
        "people",
        update("$add", {"a": 1}, _time=PAST, _ip="0"),
    ),
    "people_update with what is newer": (
        "people_update",
        ({"$distinct_id": "user-1", "$newer": {"a": [1]}},),
        "people",
        update("$newer", {"a": [1]}),
    ),
    "group_set": ("group_set", ("Company", "acme", {"plan": "pro"}), "groups", group("$set", {"plan": "pro"})),
    "group_set_once": (
        "group_set_once",
        ("Company", "acme", {"since": 2026}),
        "groups",
        group("$set_once", {"since": 2026}),
    ),
    "group_union": ("group_union", ("Company", "acme", {"tags": ["a"]}), "groups", group("$union", {"tags": ["a"]})),
    "group_unset": ("group_unset", ("Company", "acme", ["plan"]), "groups", group("$unset", ["plan"])),
    "group_remove": ("group_remove", ("Company", "acme", {"tags": "a"}), "groups", group("$remove", {"tags": "a"})),
    "group_delete": ("group_delete", ("Company", "acme"), "groups", group("$delete", "")),
    "group_delete with meta": (
        "group_delete",
        ("Company", "acme", {"$ignore_time": True}),
        "groups",
        group("$delete", "", _ignore_time=True),
    ),
    "group_update": (
        "group_update",
        ({"$group_key": "Company", "$group_id": "acme", "$set": {"a": 1}, "$unset": ["b"]}, {"$ip": 0}),
        "groups",
        group("$set", {"a": 1}, _unset=["b"], _ip="0"),
    ),
    "group_update with what is newer": (
        "group_update",
        ({"$group_key": "Company", "$group_id": "acme", "$newer": 1},),
        "groups",
        group("$newer", 1),
    ),
}
each_call = pytest.mark.parametrize(("name", "arguments", "endpoint", "record"), CALLS.values(), ids=CALLS)

OPTIONS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "$ip": ({"$ip": "1.2.3.4"}, {"$ip": "1.2.3.4"}),
    "no place": ({"$ip": 0}, {"$ip": "0"}),
    "$ignore_time": ({"$ignore_time": True}, {"$ignore_time": True}),
    "$ignore_time of no effect": ({"$ignore_time": False}, {}),
    "$time in milliseconds": ({"$time": PAST * 1000 + 999}, {"$time": PAST}),
    "$time as a datetime": ({"$time": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)}, {"$time": PAST}),
    "another operator": ({"$unset": ["b"]}, {"$unset": ["b"]}),
    "the same operator": ({"$set": {"z": 1}}, {"$set": {"z": 1}}),
    "a newer key": ({"$newer": {"z": 1}}, {"$newer": {"z": 1}}),
    "several": ({"$ip": "0", "$ignore_time": True, "$time": PAST}, {"$ip": "0", "$ignore_time": True, "$time": PAST}),
}
each_option = pytest.mark.parametrize(("meta", "change"), OPTIONS.values(), ids=OPTIONS)
PLACES: Final = {
    "$ignore_alias": ({"$ignore_alias": True}, {"$ignore_alias": True}),
    "a place": ({"$latitude": 48.2, "$longitude": 16.4}, {"$latitude": 48.2, "$longitude": 16.4}),
}


@each_call
def test_each_call_sends_just_one_record(
    name: str, arguments: tuple[Any, ...], endpoint: str, record: Any, memory: MemoryTransport
) -> None:
    assert getattr(door(memory), name)(*arguments) is None
    ((where, came),) = sent(memory)
    assert (where, exact(came)) == (ENDPOINTS[endpoint], exact(record))


@each_call
def test_a_consumer_is_given_the_same_record_as_text(
    name: str, arguments: tuple[Any, ...], endpoint: str, record: Any
) -> None:
    recorder = Recorder()
    assert getattr(door(consumer=recorder), name)(*arguments) is None
    ((where, came),) = recorder.records
    assert (where, exact(came)) == (endpoint, exact(record))


@each_call
def test_a_call_changes_nothing_of_the_callers(
    name: str, arguments: tuple[Any, ...], endpoint: str, record: Any, memory: MemoryTransport
) -> None:
    before = copy.deepcopy(arguments)
    getattr(door(memory).with_properties({"more": 1}), name)(*arguments)
    assert exact_arguments(arguments) == exact_arguments(before)


def exact_arguments(arguments: tuple[Any, ...]) -> str:
    return json.dumps(arguments, default=repr)


@each_call
def test_a_call_keeps_nothing_of_the_callers(
    name: str, arguments: tuple[Any, ...], endpoint: str, record: Any, memory: MemoryTransport
) -> None:
    mine = copy.deepcopy(arguments)
    getattr(door(memory), name)(*mine)
    for each in mine:
        if isinstance(each, dict | list):
            each.clear()
    assert exact(only(memory)) == exact(record)


@each_option
def test_meta_adds_to_an_update_of_a_user_or_replaces(
    meta: dict[str, Any], change: dict[str, Any], memory: MemoryTransport
) -> None:
    door(memory).people_set("user-1", {"a": 1}, meta)
    assert exact(only(memory)) == exact({**update("$set", {"a": 1}), **change})


@each_option
def test_meta_adds_to_an_update_of_a_group_or_replaces(
    meta: dict[str, Any], change: dict[str, Any], memory: MemoryTransport
) -> None:
    door(memory).group_set("Company", "acme", {"a": 1}, meta)
    assert exact(only(memory)) == exact({**group("$set", {"a": 1}), **change})


@pytest.mark.parametrize(("meta", "change"), PLACES.values(), ids=PLACES)
def test_meta_of_a_user_may_hold_what_groups_do_not_have(
    meta: dict[str, Any], change: dict[str, Any], memory: MemoryTransport
) -> None:
    door(memory).people_increment("user-1", {"a": 1}, meta)
    assert exact(only(memory)) == exact({**update("$add", {"a": 1}), **change})


WITH_META: Final[dict[str, tuple[Any, ...]]] = {
    "track": ("user-1", "Opened", None),
    "import_data": (None, "user-1", "Opened", PAST, None),
    "alias": ("user-1", "device-1"),
    "identify": ("user-1", ANON_ID),
    "merge": (None, "user-1", "user-2"),
    "people_set": ("user-1", {"a": 1}),
    "people_set_once": ("user-1", {"a": 1}),
    "people_increment": ("user-1", {"a": 1}),
    "people_append": ("user-1", {"a": 1}),
    "people_union": ("user-1", {"a": [1]}),
    "people_remove": ("user-1", {"a": 1}),
    "people_unset": ("user-1", ["a"]),
    "people_delete": ("user-1",),
    "people_track_charge": ("user-1", 5, None),
    "people_clear_charges": ("user-1",),
    "people_update": ({"$distinct_id": "user-1", "$set": {"a": 1}},),
    "group_set": ("Company", "acme", {"a": 1}),
    "group_set_once": ("Company", "acme", {"a": 1}),
    "group_union": ("Company", "acme", {"a": [1]}),
    "group_remove": ("Company", "acme", {"a": 1}),
    "group_unset": ("Company", "acme", ["a"]),
    "group_delete": ("Company", "acme"),
    "group_update": ({"$group_key": "Company", "$group_id": "acme", "$set": {"a": 1}},),
}


@pytest.mark.parametrize(("name", "arguments"), WITH_META.items(), ids=WITH_META)
def test_meta_stands_beside_the_rest_of_each_call(
    name: str, arguments: tuple[Any, ...], memory: MemoryTransport
) -> None:
    mp = door(memory)
    getattr(mp, name)(*arguments)
    getattr(mp, name)(*arguments, {"$ip": "1.2.3.4"})
    getattr(mp, name)(*arguments, meta={"$ip": "1.2.3.4"})
    without, by_place, by_name = (record for _, record in sent(memory))
    assert exact(by_place) == exact(by_name) == exact({**without, "$ip": "1.2.3.4"})


def test_every_call_that_sends_takes_meta() -> None:
    methods = {name for name, each in vars(Mixpanel).items() if callable(each) and not name.startswith("_")}
    others = {"send", "flush", "close", "stats", "from_env", "from_file", "with_properties"}
    assert methods - others == WITH_META.keys()


def test_meta_may_name_another_user(memory: MemoryTransport) -> None:
    door(memory).people_set("user-1", {"a": 1}, {"$distinct_id": "user-2", "$token": TOKEN})
    assert exact(only(memory)) == exact({**update("$set", {"a": 1}), "$distinct_id": "user-2"})


def test_meta_may_hold_the_whole_update(memory: MemoryTransport) -> None:
    door(memory).people_update({}, {"$distinct_id": "user-1", "$set": {"a": 1}})
    assert exact(only(memory)) == exact(update("$set", {"a": 1}))


def test_an_update_with_a_key_that_nobody_knows_is_not_sent_twice(memory: MemoryTransport) -> None:
    mp = door(memory)
    mp.people_set("user-1", {"a": 1})
    mp.people_set("user-1", {"a": 1}, {"$newer": 1})
    assert [message.repeatable for message in memory.messages] == [True, False]


# Properties that are fields of the event.


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"time": PAST}, "time", PAST),
        ({"time": PAST + 0.25}, "time", PAST * 1000 + 250),
        ({"time": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)}, "time", PAST * 1000),
        ({"$insert_id": "order-1"}, "$insert_id", "order-1"),
        ({"$insert_id": UUID(ANON_ID)}, "$insert_id", ANON_ID.replace("-", "")),
        ({"distinct_id": "user-2"}, "distinct_id", "user-2"),
        ({"distinct_id": 5}, "distinct_id", "5"),
    ],
    ids=["time", "a float", "a datetime", "$insert_id", "a UUID", "distinct_id", "an int"],
)
def test_properties_replace_what_the_event_would_get(
    given: dict[str, Any], field: str, said: object, memory: MemoryTransport
) -> None:
    door(memory).track("user-1", "Opened", {**given, "plan": "pro"})
    assert exact(only(memory)) == exact(event(**{"plan": "pro", field: said}))


def test_properties_replace_the_name_of_the_library(memory: MemoryTransport) -> None:
    door(memory).track("user-1", "Opened", {"mp_lib": "other", "$lib_version": "1.0"})
    assert exact(only(memory)) == exact(event(mp_lib="other", **{"$lib_version": "1.0"}))


def test_the_token_of_the_project_among_the_properties_is_fine(memory: MemoryTransport) -> None:
    door(memory).track("user-1", "Opened", {"token": TOKEN})
    assert exact(only(memory)) == exact(event())


def test_an_event_of_a_device_needs_no_distinct_id(memory: MemoryTransport) -> None:
    door(memory).track("user-1", "Opened", {"distinct_id": None, "$device_id": "device-1"})
    record = event(**{"$device_id": "device-1"})
    del record["properties"]["distinct_id"]
    assert exact(only(memory)) == exact(record)


def test_a_replaced_field_leaves_the_callers_dict_as_it_is(memory: MemoryTransport) -> None:
    given = {"time": PAST, "token": TOKEN, "$insert_id": "order-1", "plan": "pro"}
    before = dict(given)
    door(memory).track("user-1", "Opened", given)
    assert given == before


def test_an_old_event_goes_to_import_by_itself(arrivals: Arrivals) -> None:
    with Mixpanel(TOKEN, server=arrivals.url) as mp:
        mp.track("user-1", "Opened", {"time": PAST})
        mp.track("user-1", "Opened")
    assert arrivals.batches() == [("/import", 1), ("/track", 1)]


def test_all_events_go_to_import_where_that_is_said(memory: MemoryTransport) -> None:
    door(memory, events="import").track("user-1", "Opened")
    assert sent(memory) == [(Endpoint.IMPORT, event())]


# Events of the past.


@pytest.mark.parametrize(
    ("timestamp", "said"),
    [
        (PAST, PAST),
        (PAST * 1000 + 5, PAST * 1000 + 5),
        (PAST + 0.5, PAST * 1000 + 500),
        (datetime(2023, 11, 14, 22, 13, 20), PAST * 1000),  # noqa: DTZ001  # one without a timezone is read as UTC
        (datetime(2023, 11, 15, 3, 43, 20, tzinfo=timezone(timedelta(hours=5, minutes=30))), PAST * 1000),
    ],
    ids=["seconds", "milliseconds", "a float", "a datetime", "another timezone"],
)
def test_a_timestamp_is_unix_time_or_a_datetime(timestamp: Any, said: int, memory: MemoryTransport) -> None:
    door(memory).import_data(None, "user-1", "Opened", timestamp)
    assert exact(only(memory)) == exact(event("Opened", said))


@pytest.mark.parametrize("events", ["track", "import"])
def test_imported_events_always_go_to_import(events: Any, memory: MemoryTransport) -> None:
    door(memory, events=events).import_data(None, "user-1", "Opened", NOW)
    assert sent(memory)[0][0] is Endpoint.IMPORT


def test_the_time_among_the_properties_comes_before_the_timestamp(memory: MemoryTransport) -> None:
    door(memory).import_data(None, "user-1", "Opened", PAST, {"time": PAST + 1, "$insert_id": "order-1"})
    assert exact(only(memory)) == exact(event("Opened", PAST + 1, **{"$insert_id": "order-1"}))


def test_a_consumer_is_given_an_alias_in_its_place_among_the_calls() -> None:
    class Logging:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def send(self, endpoint: str, json_message: str) -> None:
            self.lines.append(f"{endpoint}::{json_message}\n")

    consumer = Logging()
    mp = door(consumer=consumer)
    mp.track("device-1", "Opened")
    mp.alias("user-1", "device-1")
    mp.people_set("user-1", {"a": 1})
    mp.merge("key", "user-1", "user-2", api_secret="secret")
    mp.alias("user-3", "device-3")
    mp.import_data("key", "user-3", "Opened", PAST, api_secret="secret")
    said = [line.split("::", 1) for line in consumer.lines]
    assert [(endpoint, json.loads(text).get("event")) for endpoint, text in said] == [
        ("events", "Opened"),
        ("events", "$create_alias"),
        ("people", None),
        ("imports", "$merge"),
        ("events", "$create_alias"),
        ("imports", "Opened"),
    ]
    assert not any("key" in line or "secret" in line for line in consumer.lines)


def test_key_and_secret_reach_a_consumer_as_a_tuple() -> None:
    recorder = Recorder()
    mp = door(consumer=recorder)
    mp.import_data("key", "user-1", "Opened", PAST, api_secret="secret")
    mp.import_data("key", "user-1", "Opened", PAST)
    mp.merge("key", "user-1", "user-2", api_secret="secret")
    mp.merge(None, "user-1", "user-2")
    keys = [("key", "secret"), ("key", None), ("key", "secret"), (None, None)]
    assert [(endpoint, key) for endpoint, _, key in recorder.calls] == [("imports", each) for each in keys]


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def headers(arrivals: Arrivals) -> list[str | None]:
    return [request.headers.get("Authorization") for request in arrivals.requests]


def test_a_secret_authorises_the_one_request_that_it_is_given_for(arrivals: Arrivals) -> None:
    with door(server=arrivals.url) as mp:
        mp.import_data(None, "user-1", "Opened", PAST)
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-2")
        mp.merge(None, "user-1", "user-2", api_secret="secret-1")
        mp.import_data(None, "user-1", "Opened", PAST)
    assert [request.path for request in arrivals.requests] == ["/import"] * 5
    assert headers(arrivals) == [basic(TOKEN), basic("secret-1"), basic("secret-2"), basic("secret-1"), basic(TOKEN)]


def test_a_secret_that_comes_again_travels_over_the_same_connection(judge: Judge) -> None:
    with door(server=judge.url) as mp:
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
        before = open_things()
        for _ in range(3):
            mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
        assert open_things() <= before


def test_a_secret_does_not_leave_with_what_is_tracked(arrivals: Arrivals) -> None:
    with door(server=arrivals.url) as mp:
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
        mp.alias("user-1", "device-1")
        mp.people_set("user-1", {"a": 1})
    assert [header for header in headers(arrivals)[1:] if header is not None] == []


def test_credentials_come_before_a_secret(arrivals: Arrivals) -> None:
    account = ServiceAccount(username="account", secret="of-the-account", project_id="12")
    with door(server=arrivals.url, credentials=account) as mp:
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
    assert headers(arrivals) == [basic("account", "of-the-account")]
    assert arrivals.requests[0].args["project_id"] == "12"


@pytest.mark.parametrize(
    "credentials",
    [
        ServiceAccountCredentials("account", "of-the-account", "12"),
        ServiceAccount(username="account", secret="of-the-account", project_id="12"),
    ],
    ids=["of the official client", "of the core"],
)
def test_credentials_are_taken_in_both_forms(credentials: Any, arrivals: Arrivals) -> None:
    with door(server=arrivals.url, credentials=credentials) as mp:
        mp.import_data(None, "user-1", "Opened", PAST)
    assert headers(arrivals) == [basic("account", "of-the-account")]


def test_a_secret_of_the_project_as_credentials_authorises_all_imports(arrivals: Arrivals) -> None:
    with door("sync", server=arrivals.url, credentials=ProjectSecret("secret-1")) as mp:
        mp.import_data(None, "user-1", "Opened", PAST)
    assert headers(arrivals) == [basic("secret-1")]


@pytest.mark.parametrize("kind", ["memory", "null", "sync"])
def test_a_secret_for_a_transport_that_takes_none_is_told_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    mp = door(MemoryTransport() if kind == "memory" else kind, server=None)
    with Judge() as judge:
        if kind == "sync":
            mp = door("sync", server=judge.url)
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
        mp.merge(None, "user-1", "user-2", api_secret="secret-2")
        mp.close()
        if kind == "sync":
            assert [dict(arrival.headers)["Authorization"] for arrival in judge.arrivals()] == [basic(TOKEN)] * 2
    assert caplog.messages == ["api_secret has no effect on this transport: give it credentials"]


def test_a_secret_is_not_told_of_where_there_are_credentials(judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    with door("sync", server=judge.url, credentials=ProjectSecret("secret-1")) as mp:
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-2")
    assert caplog.messages == []


def test_a_key_without_a_secret_is_told_once(memory: MemoryTransport, caplog: pytest.LogCaptureFixture) -> None:
    mp = door(memory)
    for _ in range(3):
        mp.import_data("key", "user-1", "Opened", PAST)
    assert caplog.messages == ["api_key has no effect: /import is authorised by credentials, or else by the token"]


def test_a_key_beside_a_secret_needs_no_word(judge: Judge, caplog: pytest.LogCaptureFixture) -> None:
    with door(server=judge.url) as mp:
        mp.import_data("key", "user-1", "Opened", PAST, api_secret="secret-1")
    assert caplog.messages == []


def test_after_close_a_secret_opens_nothing_anew(judge: Judge) -> None:
    mp = door(server=judge.url)
    mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
    mp.close()
    for secret in ("secret-1", "secret-2"):
        with pytest.raises(MixpanelException, match="closed"):
            mp.import_data(None, "user-1", "Opened", PAST, api_secret=secret)
    assert judge.counts().requests == 1


# When a charge was made.


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("2023-11-14T22:13:20", "2023-11-14T22:13:20"),
        ("2023-11-15T00:13:20+02:00", "2023-11-14T22:13:20"),
        ("2023-11-14", "2023-11-14T00:00:00"),
        (PAST, "2023-11-14T22:13:20"),
        (PAST * 1000 + 999, "2023-11-14T22:13:20"),
        (PAST + 0.5, "2023-11-14T22:13:20"),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "2023-11-14T22:13:20"),
        (None, "2026-01-01T00:00:00"),
    ],
    ids=["text", "text with an offset", "a day", "seconds", "milliseconds", "a float", "a datetime", "nothing"],
)
def test_a_charge_has_the_time_that_its_properties_say_else_now(given: Any, said: str, memory: MemoryTransport) -> None:
    properties = {"$time": given, "sku": "s1"}
    door(memory).people_track_charge("user-1", 5, properties)
    assert only(memory)["$append"] == {"$transactions": {"sku": "s1", "$time": said, "$amount": 5}}
    assert properties == {"$time": given, "sku": "s1"}


# Values, and the caller's own way to write them.


class Plan(Enum):
    PRO = "pro"


@dataclass
class Item:
    sku: str
    price: Decimal


RICH: Final = {
    "decimal": Decimal("9.99"),
    "uuid": UUID(ANON_ID),
    "enum": Plan.PRO,
    "set": {"b", "a"},
    "dataclass": Item("s1", Decimal(5)),
    "aware": datetime(2026, 1, 1, 5, 30, 0, 5, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "date": date(2026, 1, 1),
    "tuple": (1, (2,)),
}
RICH_ON_THE_WIRE: Final = {
    "decimal": 9.99,
    "uuid": ANON_ID,
    "enum": "pro",
    "set": ["a", "b"],
    "dataclass": {"sku": "s1", "price": 5},
    "aware": "2026-01-01T00:00:00.000005",
    "date": "2026-01-01",
    "tuple": [1, [2]],
}


@pytest.mark.parametrize("serializer", [None, DatetimeSerializer], ids=["none", "the default"])
def test_values_are_taken_without_loss(serializer: Any, memory: MemoryTransport) -> None:
    mp = door(memory, serializer=serializer)
    mp.track("user-1", "Opened", RICH)
    mp.people_set("user-1", RICH)
    mp.people_update({"$distinct_id": "user-1", "$set": RICH})
    mp.track("user-1", "Opened", None, RICH)
    tracked, put, updated, beside = (record for _, record in sent(memory))
    assert exact(tracked) == exact(event(**RICH_ON_THE_WIRE))
    assert exact(put) == exact(updated) == exact(update("$set", RICH_ON_THE_WIRE))
    assert exact(beside) == exact(event(meta=RICH_ON_THE_WIRE))


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class MoneySerializer(json.JSONEncoder):
    """
    Knows `Money` and nothing more.
    """

    def default(self, o: object) -> object:
        if isinstance(o, Money):
            return {"cents": o.cents}
        return super().default(o)


class MoneyAndDatetimes(DatetimeSerializer):
    def default(self, o: object) -> object:
        if isinstance(o, Money):
            return o.cents
        return super().default(o)


def test_a_serializer_writes_classes_of_the_callers_own(memory: MemoryTransport) -> None:
    mp = door(memory, serializer=MoneySerializer)
    mp.track("user-1", "Opened", {"price": Money(5), "all": [{"a": Money(6)}]})
    mp.import_data(None, "user-1", "Opened", PAST, {"price": Money(5)})
    mp.people_set("user-1", {"price": Money(5)})
    mp.people_track_charge("user-1", Decimal("9.99"), {"price": Money(5)})
    mp.people_update({"$distinct_id": "user-1", "$append": {"price": Money(5)}}, {"$newer": Money(6)})
    mp.group_union("Company", "acme", {"tags": ["a"]})
    mp.with_properties({"price": Money(7)}).track("user-1", "Opened")
    records = [record for _, record in sent(memory)]
    transaction = {"price": {"cents": 5}, "$time": "2026-01-01T00:00:00", "$amount": 9.99}
    assert [exact(record) for record in records] == [
        exact(record)
        for record in (
            event(price={"cents": 5}, all=[{"a": {"cents": 6}}]),
            event("Opened", PAST, price={"cents": 5}),
            update("$set", {"price": {"cents": 5}}),
            update("$append", {"$transactions": transaction}),
            update("$append", {"price": {"cents": 5}}, _newer={"cents": 6}),
            group("$union", {"tags": ["a"]}),
            event(price={"cents": 7}),
        )
    ]


def test_a_serializer_that_builds_on_ours_writes_datetimes_too(memory: MemoryTransport) -> None:
    door(memory, serializer=MoneyAndDatetimes).track(
        "user-1",
        "Opened",
        {"price": Money(5), "at": datetime(2026, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5.5)))},
    )
    assert exact(only(memory)) == exact(event(price=5, at="2026-01-01T00:00:00"))


def test_a_serializer_has_the_last_word_on_what_the_core_knows(memory: MemoryTransport) -> None:
    class Text(json.JSONEncoder):
        def default(self, o: object) -> object:
            return f"<{type(o).__name__}>"

    door(memory, serializer=Text).track("user-1", "Opened", {"a": Decimal(1), "b": {1}})
    assert exact(only(memory)) == exact(event(a="<Decimal>", b="<set>"))


def test_what_the_serializer_does_not_know_raises_as_it_says(memory: MemoryTransport) -> None:
    with pytest.raises(TypeError, match="Object of type Decimal is not JSON serializable"):
        door(memory, serializer=MoneySerializer).track("user-1", "Opened", {"a": Decimal(1)})
    assert memory.messages == ()


def test_what_the_serializer_itself_refuses_raises_as_it_says(memory: MemoryTransport) -> None:
    class Strict(json.JSONEncoder):
        def default(self, o: object) -> object:
            raise ValueError("no room for this")

    with pytest.raises(ValueError, match="no room for this") as caught:
        door(memory, serializer=Strict).track("user-1", "Opened", {"a": Money(5)})
    assert str(caught.value) == "no room for this"
    assert memory.messages == ()


def test_what_goes_round_or_too_deep_is_no_business_of_the_serializer(memory: MemoryTransport) -> None:
    mp = door(memory, serializer=MoneySerializer)
    round_about: list[object] = []
    round_about.append(round_about)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (round_about, deep, 10**5000):
        with pytest.raises(InvalidValue, match=r"^properties must be a value that JSON can hold, "):
            mp.track("user-1", "Opened", {"a": value})
    assert memory.messages == ()


@pytest.mark.parametrize("serializer", [None, MoneySerializer], ids=["none", "of the caller's"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_nan_and_infinity_are_refused_by_any_serializer(serializer: Any, value: float, memory: MemoryTransport) -> None:
    mp = door(memory, serializer=serializer)
    calls: list[Callable[[], object]] = [
        lambda: mp.track("user-1", "Opened", {"a": [value]}),
        lambda: mp.people_set("user-1", {"a": [value]}),
        lambda: mp.people_track_charge("user-1", 1, {"a": [value]}),
        lambda: mp.with_properties({"a": [value]}),
    ]
    for call in calls:
        with pytest.raises(InvalidValue, match=rf"^properties\['a'\]\[0\] must be a finite number, not {value}$"):
            call()
    assert memory.messages == ()


def test_a_serializer_is_not_asked_about_ids(memory: MemoryTransport) -> None:
    mp = door(memory, serializer=MoneySerializer)
    mp.track(UUID(ANON_ID), "Opened", {"a": 1})
    mp.people_set(UUID(ANON_ID), {"a": 1})
    mp.group_set("Company", UUID(ANON_ID), {"a": 1})
    mp.people_track_charge(UUID(ANON_ID), 5)
    assert [message.keys for message in memory.messages] == [
        (ANON_ID,),
        (ANON_ID,),
        (("Company", ANON_ID),),
        (ANON_ID,),
    ]


@pytest.mark.parametrize("serializer", [MoneySerializer, MoneyAndDatetimes], ids=["of its own", "built on ours"])
def test_a_serializer_is_not_asked_about_fields_of_the_event(serializer: Any, memory: MemoryTransport) -> None:
    given = {"time": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), "$insert_id": UUID(ANON_ID), "price": Money(5)}
    door(memory, serializer=serializer).track("user-1", "Opened", given)
    properties = only(memory)["properties"]
    assert (properties["time"], properties["$insert_id"]) == (PAST * 1000, ANON_ID.replace("-", ""))


def test_a_time_in_meta_is_no_business_of_the_serializer(memory: MemoryTransport) -> None:
    time = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    door(memory, serializer=MoneySerializer).people_set("user-1", {"a": 1}, {"$time": time})
    assert exact(only(memory)) == exact(update("$set", {"a": 1}, _time=PAST))


def test_a_serializer_writes_meta_of_events_too(memory: MemoryTransport) -> None:
    mp = door(memory, serializer=MoneySerializer)
    mp.track("user-1", "Opened", {"a": 1}, {"price": Money(5)})
    mp.alias("user-1", "device-1", {"price": Money(5)})
    assert [record["price"] for _, record in sent(memory)] == [{"cents": 5}] * 2


# Default properties.


def test_a_door_with_properties_gives_them_to_all_its_events(memory: MemoryTransport) -> None:
    mp = door(memory).with_properties({"env": "prod"})
    mp.track("user-1", "Opened")
    mp.track("user-1", "Opened", {"plan": "pro"})
    mp.import_data(None, "user-1", "Opened", PAST)
    mp.send(Track("Opened", distinct_id="user-1", properties={"plan": "pro"}))
    assert [record for _, record in sent(memory)] == [
        event(env="prod"),
        event(env="prod", plan="pro"),
        event("Opened", PAST, env="prod"),
        event(env="prod", plan="pro"),
    ]


def test_the_door_that_it_was_made_of_is_unchanged(memory: MemoryTransport) -> None:
    mp = door(memory)
    assert mp.with_properties({"env": "prod"}) is not mp
    mp.track("user-1", "Opened")
    assert only(memory) == event()


def test_properties_of_the_event_itself_come_first(memory: MemoryTransport) -> None:
    mp = door(memory).with_properties({"env": "prod", "n": 1})
    mp.track("user-1", "Opened", {"env": "test"})
    mp.import_data(None, "user-1", "Opened", NOW, {"env": "test"})
    mp.send(Track("Opened", distinct_id="user-1", properties={"env": "test"}))
    assert [record for _, record in sent(memory)] == [event(env="test", n=1)] * 3


def test_doors_with_properties_nest_and_the_inner_come_first(memory: MemoryTransport) -> None:
    outer = door(memory).with_properties({"a": 1, "b": 1})
    inner = outer.with_properties({"b": 2, "c": 2})
    inner.track("user-1", "Opened")
    outer.track("user-1", "Opened")
    assert [record for _, record in sent(memory)] == [event(a=1, b=2, c=2), event(a=1, b=1)]


def test_identity_and_profiles_get_no_default_properties(memory: MemoryTransport) -> None:
    mp = door(memory).with_properties({"env": "prod"})
    mp.alias("user-1", "device-1")
    mp.identify("user-1", ANON_ID)
    mp.merge(None, "user-1", "user-2")
    mp.people_set("user-1", {"a": 1})
    mp.people_track_charge("user-1", 5)
    mp.group_set("Company", "acme", {"a": 1})
    mp.send(PeopleOp("user-1", Set({"a": 1})), Alias(alias="user-1", distinct_id="device-1"))
    assert len(memory.messages) == 8
    assert not any(b"env" in message.body for message in memory.messages)


def test_default_properties_are_those_of_the_moment_when_they_were_given(memory: MemoryTransport) -> None:
    given = {"tags": ["a"]}
    mp = door(memory).with_properties(given)
    given["tags"].append("b")
    mp.track("user-1", "Opened")
    assert only(memory) == event(tags=["a"])


def test_default_properties_take_all_values_that_events_take(memory: MemoryTransport) -> None:
    door(memory).with_properties(RICH).track("user-1", "Opened")
    assert exact(only(memory)) == exact(event(**RICH_ON_THE_WIRE))


def test_an_event_with_default_properties_may_still_bring_its_time_and_ids(memory: MemoryTransport) -> None:
    mp = door(memory).with_properties({"env": "prod"})
    mp.track("user-1", "Opened", {"time": PAST, "$insert_id": "order-1", "distinct_id": "user-2", "token": TOKEN})
    mp.send(Track("Opened", distinct_id="user-2", time=PAST, insert_id="order-1"))
    record = event("Opened", PAST, env="prod", distinct_id="user-2", **{"$insert_id": "order-1"})
    assert [each for _, each in sent(memory)] == [record] * 2


@pytest.mark.parametrize("name", ["time", "$insert_id", "distinct_id", "token"])
def test_what_differs_from_event_to_event_is_no_default(name: str, memory: MemoryTransport) -> None:
    with pytest.raises(InvalidValue) as refusal:
        door(memory).with_properties({"env": "prod", name: "x"})
    assert refusal.value.path == f"properties[{name!r}]"


def test_default_and_own_properties_together_keep_the_limit(memory: MemoryTransport) -> None:
    mp = door(memory).with_properties({f"a{index}": 1 for index in range(200)})
    with pytest.raises(LimitExceeded, match=r"^properties must be at most 254 properties, not 255$"):
        mp.track("user-1", "Opened", {f"b{index}": 1 for index in range(49)})
    assert memory.messages == ()


def test_a_door_with_properties_is_of_the_same_class(memory: MemoryTransport) -> None:
    class Mine(Mixpanel):
        pass

    assert type(Mine(TOKEN, transport=memory).with_properties({"a": 1})) is Mine


def test_doors_with_properties_share_the_transport_and_its_end(memory: MemoryTransport) -> None:
    mp = door(memory)
    with mp.with_properties({"env": "prod"}) as other:
        other.track("user-1", "Opened")
    with pytest.raises(MixpanelException):
        mp.track("user-1", "Opened")
    assert len(memory.messages) == 1


def test_doors_with_properties_share_connections_for_secrets(judge: Judge) -> None:
    mp = door(server=judge.url)
    mp.with_properties({"env": "prod"}).import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
    mp.close()
    with pytest.raises(MixpanelException, match="closed"):
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")


# The off switch.


def open_things() -> set[object]:
    """
    The threads and the files of this process.
    """
    gc.collect()
    files: set[object] = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            files.add((entry.name, str(entry.readlink())))
    return files | set(threading.enumerate())


@each_call
def test_a_door_that_is_off_takes_every_call(
    name: str, arguments: tuple[Any, ...], endpoint: str, record: Any, judge: Judge
) -> None:
    with door(server=judge.url, enabled=False) as mp:
        assert getattr(mp, name)(*arguments) is None
    assert judge.counts().requests == 0


@pytest.mark.parametrize("transport", ["sync", "buffered", "buffered:?spool={}", "file:{}", None])
def test_a_door_that_is_off_opens_nothing(transport: str | None, tmp_path: Path, judge: Judge) -> None:
    before = open_things()
    directory = tmp_path / "spool"
    mp = door(transport and transport.format(directory), server=judge.url, enabled=False)
    mp.track("user-1", "Opened")
    mp.people_set("user-1", {"a": 1})
    mp.import_data("key", "user-1", "Opened", PAST, api_secret="secret-1")
    assert mp.send(Track("Opened", distinct_id="user-1")) == Outcome()
    assert open_things() <= before
    assert (mp.flush(), mp.close()) == (Outcome(), Outcome())
    assert judge.counts().requests == 0
    assert list(tmp_path.iterdir()) == []


def test_a_door_that_is_off_leaves_the_consumer_alone() -> None:
    recorder = Recorder()
    with door(consumer=recorder, enabled=False) as mp:
        mp.track("user-1", "Opened")
        mp.import_data("key", "user-1", "Opened", PAST)
        mp.flush()
    assert (recorder.calls, recorder.ends) == ([], [])


def test_a_door_that_is_off_leaves_the_transport_alone(memory: MemoryTransport) -> None:
    with door(memory, enabled=False) as mp:
        mp.track("user-1", "Opened")
    assert memory.messages == ()
    assert memory.send() == Outcome()


def test_a_door_that_is_off_still_refuses_mistakes(memory: MemoryTransport) -> None:
    mp = door(memory, enabled=False)
    with pytest.raises(InvalidValue, match=r"^properties must be "):
        mp.people_unset("user-1", "abc")
    with pytest.raises(InvalidValue, match=r"^properties\['a'\] must be a finite number"):
        mp.track("user-1", "Opened", {"a": float("nan")})
    with pytest.raises(InvalidValue, match=r"^transport\.type must be one of the known tags"):
        door("bufered", enabled=False)
    with pytest.raises(InvalidValue, match=r"^consumer must be an object with send\("):
        door(consumer=5, enabled=False)
    with pytest.raises(Refused):
        door(memory, enabled=False, limits="strict").track("user-1", "Opened", {"a": "x" * 256})


def test_a_door_that_is_off_still_tells_what_would_be_changed(caplog: pytest.LogCaptureFixture) -> None:
    door(enabled=False).track("user-1", "Opened", {"a": "x" * 256})
    assert len(caplog.messages) == 1


# Typed operations.


def test_operations_are_stamped_and_sent_in_order(memory: MemoryTransport) -> None:
    operations = (
        Track("Opened", distinct_id="user-1"),
        PeopleOp("user-1", Set({"a": 1})),
        GroupOp("Company", "acme", Set({"a": 1})),
        Charge("user-1", 5),
        ClearCharges("user-1"),
        RawPeopleOp("user-1", {"$newer": 1}),
        Alias(alias="user-1", distinct_id="device-1"),
        Identify(identified_id="user-1", anon_id=ANON_ID),
        Merge("user-1", "user-2"),
        Track("Closed", distinct_id="user-1", time=PAST, insert_id="order-1"),
    )
    raw = update("$newer", 1)
    del raw["$time"]
    outcome = door(memory).send(*operations)
    assert outcome == Outcome(delivered=memory.messages)
    assert [exact(record) for _, record in sent(memory)] == [
        exact(record)
        for record in (
            event(),
            update("$set", {"a": 1}),
            group("$set", {"a": 1}),
            update("$append", {"$transactions": {"$time": "2026-01-01T00:00:00", "$amount": 5}}),
            update("$unset", ["$transactions"]),
            raw,
            identity("$create_alias", distinct_id="device-1", alias="user-1"),
            identity("$identify", **{"$identified_id": "user-1", "$anon_id": ANON_ID}),
            identity("$merge", **{"$distinct_ids": ["user-1", "user-2"]}),
            event("Closed", PAST, **{"$insert_id": "order-1"}),
        )
    ]


def test_each_operation_is_stamped_by_itself(memory: MemoryTransport) -> None:
    times, ids = iter([NOW, NOW + 1]), iter(["order-1", "order-2"])
    mp = Mixpanel(TOKEN, transport=memory, now=lambda: next(times), make_insert_id=lambda: next(ids))
    mp.send(Track("Opened", distinct_id="user-1"), Track("Opened", distinct_id="user-1"))
    assert [record for _, record in sent(memory)] == [
        event("Opened", NOW, **{"$insert_id": "order-1"}),
        event("Opened", NOW + 1, **{"$insert_id": "order-2"}),
    ]


@pytest.mark.parametrize("bad", ["not an operation", "a Track that nobody can send"])
def test_nothing_is_sent_unless_all_of_it_can_be(bad: str, memory: MemoryTransport) -> None:
    refused: Any = (
        bad if bad == "not an operation" else Track("Opened", distinct_id="user-1", properties={"a": "x" * 300})
    )
    with pytest.raises((InvalidValue, Refused)):
        door(memory, limits="strict").send(Track("Opened", distinct_id="user-1"), refused)
    assert memory.messages == ()


def test_several_operations_share_a_request(arrivals: Arrivals) -> None:
    with live(server=arrivals.url) as mp:
        outcome = mp.send(*(Track("Opened", distinct_id=f"user-{index}") for index in range(50)))
    assert arrivals.batches() == [("/track", 50)]
    assert len(outcome.delivered) == 50
    assert [each["properties"]["distinct_id"] for each in arrivals.records("/track")] == [
        f"user-{i}" for i in range(50)
    ]


def test_nothing_overtakes_an_alias(arrivals: Arrivals) -> None:
    alias, track = Alias(alias="user-1", distinct_id="device-1"), Track("Opened", distinct_id="user-1")
    with live(server=arrivals.url) as mp:
        mp.send(track, alias, track, PeopleOp("user-1", Set({"a": 1})))
    assert arrivals.batches() == [("/track", 1), ("/track", 1), ("/track", 1), ("/engage", 1)]
    assert [each["event"] for each in arrivals.records("/track")] == ["Opened", "$create_alias", "Opened"]


def test_after_an_alias_that_was_not_taken_nothing_is_sent(judge: Judge) -> None:
    judge.fail_next(Status(401))
    mp = door(server=judge.url)
    with mp, pytest.raises(MixpanelException) as refusal:
        mp.send(Alias(alias="user-1", distinct_id="device-1"), Track("Opened", distinct_id="user-1"))
    assert [each.cause for each in refusal.value.outcome.failed] == [Cause.CREDENTIALS, Cause.NOT_TRIED]
    assert judge.counts().requests == 1


def test_sending_nothing_is_fine(memory: MemoryTransport) -> None:
    assert door(memory).send() == Outcome()
    assert door(consumer=Recorder()).send() == Outcome()


def test_a_buffered_transport_has_settled_nothing_yet(judge: Judge) -> None:
    with door(Buffered(flush_after_seconds=3600), server=judge.url) as mp:
        assert mp.send(Track("Opened", distinct_id="user-1")) == Outcome()
        assert judge.counts().requests == 0
    assert judge.counts().events == 1


def test_operations_reach_a_consumer_one_by_one() -> None:
    recorder = Recorder()
    door(consumer=recorder).send(Track("Opened", distinct_id="user-1"), Merge("user-1", "user-2"))
    assert [(endpoint, key) for endpoint, _, key in recorder.calls] == [("events", None), ("imports", (None, None))]


# The end.


def test_flush_delivers_what_is_held(judge: Judge) -> None:
    mp = door(Buffered(flush_after_seconds=3600), server=judge.url)
    mp.track("user-1", "Opened")
    outcome = mp.flush(GUARD_SECONDS)
    assert len(outcome.delivered) == judge.counts().events == 1
    mp.close()


def test_flush_says_what_was_not_taken_and_does_not_raise(judge: Judge) -> None:
    judge.fail_next(Status(401), times=None)
    with door(Buffered(flush_after_seconds=3600, max_tries=1), server=judge.url) as mp:
        mp.track("user-1", "Opened")
        assert [each.status for each in mp.flush(GUARD_SECONDS).failed] == [401]


def test_close_delivers_what_is_held(judge: Judge) -> None:
    mp = door(Buffered(flush_after_seconds=3600), server=judge.url)
    mp.track("user-1", "Opened")
    assert len(mp.close(GUARD_SECONDS).delivered) == judge.counts().events == 1


def test_close_gives_up_in_time_and_says_what_is_left(closed_url: str) -> None:
    mp = door("buffered", server=closed_url)
    mp.track("user-1", "Opened")
    outcome = mp.close(0.0)
    assert len(outcome.failed) + len(outcome.unknown) == 1


def test_how_long_to_wait_is_said_to_the_transport() -> None:
    asked: list[tuple[str, float | None]] = []

    class Asked(MemoryTransport):
        def flush(self, timeout: float | None = None) -> Outcome:
            asked.append(("flush", timeout))
            return Outcome()

        def close(self, timeout: float | None = None) -> Outcome:
            asked.append(("close", timeout))
            return Outcome()

    with door(Asked()) as mp:
        mp.flush()
        mp.flush(5)
        mp.close(0.5)
    assert asked == [("flush", None), ("flush", 5), ("close", 0.5), ("close", None)]


def test_how_long_to_wait_is_said_to_a_consumer_that_asks() -> None:
    class Patient(Recorder):
        def flush(self, *, timeout: float = 60.0) -> None:
            self.ends.append(f"flush for {timeout:g}")

    patient, other = Patient(), Recorder()
    for consumer in (patient, other):
        mp = door(consumer=consumer)
        mp.flush()
        mp.flush(5)
        mp.close(0.5)
    assert patient.ends == ["flush for 60", "flush for 5", "flush for 0.5"]
    assert other.ends == ["flush"] * 3


def test_leaving_the_context_delivers_what_is_held(judge: Judge) -> None:
    with door(Buffered(flush_after_seconds=3600), server=judge.url) as mp:
        for index in range(3):
            mp.track("user-1", "Opened", {"$insert_id": f"order-{index}"})
    assert judge.counts().events == 3


def test_leaving_the_context_by_an_exception_delivers_all_the_same(judge: Judge) -> None:
    with pytest.raises(KeyError), door(Buffered(flush_after_seconds=3600), server=judge.url) as mp:  # noqa: PT012
        mp.track("user-1", "Opened")
        raise KeyError
    assert judge.counts().events == 1


def test_leaving_the_context_of_a_buffered_transport_does_not_raise_for_what_the_server_says(judge: Judge) -> None:
    judge.fail_next(Status(401), times=None)
    with door(Buffered(flush_after_seconds=3600, max_tries=1), server=judge.url) as mp:
        mp.track("user-1", "Opened")
    assert mp.stats() == Stats(accepted=1, failed=1)


def test_leaving_an_async_context_delivers_what_is_held(judge: Judge) -> None:
    async def main() -> None:
        async with door(Buffered(flush_after_seconds=3600), server=judge.url) as mp:
            mp.track("user-1", "Opened")

    asyncio.run(main())
    assert judge.counts().events == 1


def test_leaving_an_async_context_does_not_stop_the_loop(judge: Judge) -> None:
    course: list[str] = []

    async def tick() -> None:
        course.append("tick")

    async def main() -> None:
        async with door(Buffered(flush_after_seconds=3600), server=judge.url) as mp:
            mp.track("user-1", "Opened")
            other = asyncio.create_task(tick())
        course.append("left")
        await other

    asyncio.run(main())
    assert course == ["tick", "left"]


def test_a_consumer_is_flushed_and_stays_open_for_others() -> None:
    recorder = Recorder()
    with door(consumer=recorder) as mp:
        mp.flush()
    mp.close()
    assert recorder.ends == ["flush", "flush"]


def test_flush_and_close_of_the_default_transport_return_an_empty_outcome(judge: Judge) -> None:
    mp = door(server=judge.url)
    mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
    assert (mp.flush(), mp.close(), mp.close()) == (Outcome(),) * 3


def test_after_close_a_call_raises(judge: Judge) -> None:
    for transport in (None, "sync", "buffered", "null", MemoryTransport()):
        mp = door(transport, **({} if isinstance(transport, Transport) else {"server": judge.url}))
        mp.close()
        with pytest.raises(MixpanelException, match=r"^1 of 1 not delivered; failed: the transport had been closed$"):
            mp.track("user-1", "Opened")
    assert judge.counts().requests == 0


# From variables and files.

ENVIRONMENT: Final = {"MIXWIRE_TOKEN": TOKEN}


def test_a_door_from_variables(arrivals: Arrivals) -> None:
    environment = {
        **ENVIRONMENT,
        "MIXWIRE_SERVER": arrivals.url,
        "MIXWIRE_EVENTS": "import",
        "MIXWIRE_LIMITS": "strict",
        "MIXWIRE_SERVICE_ACCOUNT_USERNAME": "account",
        "MIXWIRE_SERVICE_ACCOUNT_SECRET": "of-the-account",
        "MIXWIRE_SERVICE_ACCOUNT_PROJECT_ID": "12",
    }
    with Mixpanel.from_env(environment, now=lambda: NOW, make_insert_id=lambda: INSERT_ID) as mp:
        mp.track("user-1", "Opened")
        with pytest.raises(Refused):
            mp.track("user-1", "Opened", {"a": "x" * 256})
    assert arrivals.records("/import") == [event()]
    assert headers(arrivals) == [basic("account", "of-the-account")]


def test_a_door_from_the_variables_of_the_process(arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXWIRE_TOKEN", TOKEN)
    monkeypatch.setenv("MIXWIRE_SERVER", arrivals.url)
    with Mixpanel.from_env() as mp:
        mp.track("user-1", "Opened")
    assert [record["properties"]["token"] for record in arrivals.records("/track")] == [TOKEN]


def test_a_door_from_a_file_and_the_variables_of_the_process(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = written(tmp_path, f'token = "{TOKEN}"\n')
    monkeypatch.setenv("MIXWIRE_SERVER", arrivals.url)
    with Mixpanel.from_file(str(file)) as mp:
        mp.track("user-1", "Opened")
    assert arrivals.batches() == [("/track", 1)]


def test_from_variables_live_events_go_to_track_unless_they_say_else(judge: Judge) -> None:
    with Mixpanel.from_env({**ENVIRONMENT, "MIXWIRE_SERVER": judge.url}) as mp:
        mp.track("user-1", "Opened")
    assert [arrival.path for arrival in judge.arrivals()] == ["/track"]


def test_live_events_go_to_import_where_variables_or_a_file_say_so(judge: Judge, tmp_path: Path) -> None:
    file = written(tmp_path, f'token = "{TOKEN}"\nserver = "{judge.url}"\nevents = "import"\n')
    with Mixpanel.from_file(file, {}) as mp:
        mp.track("user-1", "Opened")
    with Mixpanel.from_env({**ENVIRONMENT, "MIXWIRE_SERVER": judge.url, "MIXWIRE_EVENTS": "import"}) as mp:
        mp.track("user-1", "Opened")
    assert [arrival.path for arrival in judge.arrivals()] == ["/import"] * 2


def test_a_transport_from_variables(judge: Judge) -> None:
    variables = {
        "MIXWIRE_SERVER": judge.url,
        "MIXWIRE_TRANSPORT": "buffered",
        "MIXWIRE_TRANSPORT_FLUSH_AFTER_SECONDS": "3600",
    }
    with Mixpanel.from_env({**ENVIRONMENT, **variables}) as mp:
        mp.track("user-1", "Opened")
        assert judge.counts().requests == 0
        assert len(mp.flush(GUARD_SECONDS).delivered) == 1


def written(directory: Path, content: str) -> Path:
    file = directory / "mixwire.toml"
    file.write_text(content)
    return file


def test_a_door_from_a_file_with_a_table_for_the_transport(judge: Judge, tmp_path: Path) -> None:
    table = '[transport]\ntype = "buffered"\nflush_after_seconds = 3600\n'
    file = written(tmp_path, f'token = "{TOKEN}"\nserver = "{judge.url}"\nevents = "import"\n{table}')
    with Mixpanel.from_file(file, {}, now=lambda: NOW, make_insert_id=lambda: INSERT_ID) as mp:
        mp.track("user-1", "Opened")
        assert judge.counts().requests == 0
    assert [(record.endpoint, record.data) for record in judge.records()] == [(Endpoint.IMPORT, event())]


def test_variables_come_before_the_file(judge: Judge, tmp_path: Path) -> None:
    file = written(tmp_path, 'token = "of-the-file"\nserver = "eu"\nenabled = false\nevents = "import"\n')
    variables = {**ENVIRONMENT, "MIXWIRE_SERVER": judge.url, "MIXWIRE_ENABLED": "true", "MIXWIRE_EVENTS": "track"}
    with Mixpanel.from_file(file, variables) as mp:
        mp.track("user-1", "Opened")
    ((record,), (arrival,)) = judge.events(), judge.arrivals()
    assert (record["properties"]["token"], arrival.path) == (TOKEN, "/track")  # type: ignore[index, call-overload]


def test_variables_and_a_path_that_are_none_are_named() -> None:
    wrong: Any = ["MIXWIRE_TOKEN"]
    with pytest.raises(InvalidValue, match=r"^environment must be "):
        Mixpanel.from_env(wrong)
    with pytest.raises(InvalidValue, match=r"^path must be "):
        Mixpanel.from_file(wrong, {})


def test_a_missing_token_is_told_with_where_it_can_stand(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Mixpanel.from_env({})
    assert str(refusal.value) == "token must be given with MIXWIRE_TOKEN, not missing"
    file = written(tmp_path, 'server = "eu"\n')
    with pytest.raises(InvalidValue) as refusal:
        Mixpanel.from_file(file, {})
    assert str(refusal.value) == f"token must be given with MIXWIRE_TOKEN, or as token in {file}, not missing"


@pytest.mark.parametrize("switch", ["false", "False", "FALSE"])
def test_a_door_that_variables_switch_off_needs_no_token(switch: str) -> None:
    with Mixpanel.from_env({"MIXWIRE_ENABLED": switch}) as mp:
        mp.track("user-1", "Opened")
        assert mp.send(Track("Opened", distinct_id="user-1")) == Outcome()


def test_a_door_that_a_file_switches_off_needs_no_token(tmp_path: Path) -> None:
    file = written(tmp_path, f'enabled = false\ntransport = "buffered:?spool={tmp_path}/spool"\n')
    with Mixpanel.from_file(file, {}) as mp:
        mp.track("user-1", "Opened")
    assert list(tmp_path.iterdir()) == [file]


def test_a_door_that_is_off_without_a_token_takes_messages_that_name_one() -> None:
    with Mixpanel.from_env({"MIXWIRE_ENABLED": "false"}) as mp:
        mp.track("user-1", "Opened", {"token": TOKEN})
        mp.people_update({"$token": TOKEN, "$distinct_id": "user-1", "$set": {"a": 1}})


def test_a_door_that_is_off_has_its_settings_checked_all_the_same() -> None:
    for name, value in (("SERVER", "here"), ("EVENTS", "all"), ("LIMITS", "none"), ("TRANSPORT", "bufered")):
        with pytest.raises(InvalidValue):
            Mixpanel.from_env({"MIXWIRE_ENABLED": "false", f"MIXWIRE_{name}": value})


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ('tokn = "x"', "tokn"),
        ("token = 5", "token"),
        ('token = "x"\nenabled = "no"', "enabled"),
        ('token = "x"\n[transport]\ntype = "buffered"\nmax_tris = 5', "transport.max_tris"),
        ('token = "x"\n[service_account]\nuser = "u"', "service_account.user"),
    ],
    ids=["unknown", "of another type", "no bool", "in the transport", "in the account"],
)
def test_a_bad_key_in_a_file_is_told_with_its_path(content: str, path: str, tmp_path: Path) -> None:
    file = written(tmp_path, content)
    with pytest.raises(InvalidValue) as refusal:
        Mixpanel.from_file(file, {})
    assert refusal.value.path == f"{file}: {path}"


def test_the_clock_and_the_ids_reach_a_door_from_a_file(tmp_path: Path) -> None:
    file = written(tmp_path, f'token = "{TOKEN}"\ntransport = "memory"\n')
    mp = Mixpanel.from_file(file, {}, now=lambda: NOW, make_insert_id=lambda: INSERT_ID)
    (message,) = mp.send(Track("Opened", distinct_id="user-1")).delivered
    assert message.to_wire() == event()


# The transport.


@pytest.mark.parametrize(
    "transport",
    [
        "sync",
        "sync:?max_tries=1",
        '{"type": "sync", "max_tries": 1}',
        {"type": "sync", "max_tries": 1},
        Sync(max_tries=1),
        "buffered",
        "buffered:?flush_after_seconds=0.01",
        {"type": "tee", "transports": ["sync", "null"]},
        Buffered(flush_after_seconds=0.01),
    ],
    ids=["tag", "URL", "JSON", "table", "description", "buffered", "buffered URL", "tee", "buffered description"],
)
def test_a_transport_may_be_data(transport: Any, judge: Judge) -> None:
    with door(transport, server=judge.url) as mp:
        mp.track("user-1", "Opened")
    assert judge.events() == (event(),)


def test_a_transport_as_data_knows_the_credentials_and_the_server(arrivals: Arrivals) -> None:
    with door("buffered", server=arrivals.url, credentials=ProjectSecret("secret-1"), events="import") as mp:
        mp.track("user-1", "Opened")
    assert headers(arrivals) == [basic("secret-1")]


@pytest.mark.parametrize("kind", [SyncTransport, BufferedTransport])
def test_a_transport_may_be_given_as_such(kind: Any, judge: Judge) -> None:
    with door(kind(Project(TOKEN, server=judge.url))) as mp:
        mp.track("user-1", "Opened")
    assert judge.events() == (event(),)


def test_without_a_word_about_it_each_call_is_one_request(arrivals: Arrivals) -> None:
    with live(server=arrivals.url) as mp:
        mp.track("user-1", "Opened")
        mp.people_set("user-1", {"a": 1})
        mp.group_set("Company", "acme", {"a": 1})
        mp.merge(None, "user-1", "user-2")
    assert arrivals.batches() == [("/track", 1), ("/engage", 1), ("/groups", 1), ("/import", 1)]


def test_an_empty_transport_instance_is_used(judge: Judge) -> None:
    class Empty(MemoryTransport):
        def __len__(self) -> int:
            return 0

    empty = Empty()
    door(empty).track("user-1", "Opened")
    assert len(empty.messages) == 1


# Limits.

LONG: Final = {"note": "x" * 256}


def test_strict_limits_refuse_what_the_server_would_change(memory: MemoryTransport) -> None:
    mp = door(memory, limits="strict")
    for call in (
        lambda: mp.track("user-1", "Opened", LONG),
        lambda: mp.import_data(None, "user-1", "Opened", PAST, LONG),
        lambda: mp.people_set("user-1", LONG),
        lambda: mp.people_update({"$distinct_id": "user-1", "$set": LONG}),
        lambda: mp.group_set("Company", "acme", LONG),
        lambda: mp.send(Track("Opened", distinct_id="user-1", properties=LONG)),
    ):
        with pytest.raises(Refused, match=r"\['note'\] would be truncated: it has 256 bytes, only 255 are sure"):
            call()
    assert memory.messages == ()


WARNINGS: Final = {
    "track": lambda mp: mp.track("user-1", "Opened", LONG),
    "track with default properties": lambda mp: mp.with_properties(LONG).track("user-1", "Opened"),
    "import_data": lambda mp: mp.import_data(None, "user-1", "Opened", PAST, LONG),
    "people_set": lambda mp: mp.people_set("user-1", LONG),
    "people_update": lambda mp: mp.people_update({"$distinct_id": "user-1", "$set": LONG}),
    "group_set": lambda mp: mp.group_set("Company", "acme", LONG),
    "send": lambda mp: mp.send(Track("Opened", distinct_id="user-1", properties=LONG)),
}


@pytest.mark.parametrize("call", WARNINGS.values(), ids=WARNINGS)
def test_by_default_what_the_server_would_change_is_sent_and_told(
    call: Callable[[Mixpanel], object], memory: MemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    call(door(memory))
    assert len(memory.messages) == 1
    (line,) = caplog.records
    assert (line.name, line.levelno) == ("mixwire", logging.WARNING)
    assert "['note'] would be truncated: it has 256 bytes" in line.getMessage()


@pytest.mark.parametrize("call", WARNINGS.values(), ids=WARNINGS)
def test_limits_may_be_off(
    call: Callable[[Mixpanel], object], memory: MemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    call(door(memory, limits="off"))
    assert (len(memory.messages), caplog.messages) == (1, [])


def test_what_the_server_keeps_as_it_is_is_not_told(memory: MemoryTransport, caplog: pytest.LogCaptureFixture) -> None:
    mp = door(memory)
    mp.track("user-1", "Opened", {"plan": "pro", "n": 1, "list": [1, {"a": 2}], "$device_id": "device-1"})
    mp.people_set("user-1", {"$name": "x", "plan": "pro"})
    assert caplog.messages == []


# What becomes of it.


def test_what_was_not_taken_raises_and_tells_all(arrivals: Arrivals) -> None:
    arrivals.rejected_insert_ids = {"order-2"}
    mp = door(server=arrivals.url, events="import")
    operations = [Track("Opened", distinct_id="user-1", insert_id=f"order-{index}") for index in range(3)]
    with mp, pytest.raises(MixpanelException) as refusal:
        mp.send(*operations)
    error = refusal.value
    assert (len(error.outcome.delivered), len(error.outcome.rejected), error.status) == (2, 1, 400)
    assert [record.to_wire() for record in error.records] == [event(**{"$insert_id": "order-2"})]
    assert error.reasons == ("rejected: properties.time: bad",)
    assert str(error) == "1 of 3 not delivered; rejected: properties.time: bad"


CARRIED: Final = {
    "track": lambda mp: mp.track("user-1", "Opened"),
    "track with meta": lambda mp: mp.track("user-1", "Opened", None, {"ip": 0}),
    "import_data": lambda mp: mp.import_data(None, "user-1", "Opened", PAST),
    "import_data with a secret": lambda mp: mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1"),
    "alias": lambda mp: mp.alias("user-1", "device-1"),
    "identify": lambda mp: mp.identify("user-1", ANON_ID),
    "merge": lambda mp: mp.merge(None, "user-1", "user-2"),
    "people_set": lambda mp: mp.people_set("user-1", {"a": 1}),
    "people_track_charge": lambda mp: mp.people_track_charge("user-1", 5),
    "people_update": lambda mp: mp.people_update({"$distinct_id": "user-1", "$set": {"a": 1}}),
    "group_set": lambda mp: mp.group_set("Company", "acme", {"a": 1}),
    "group_update": lambda mp: mp.group_update({"$group_key": "Company", "$group_id": "acme", "$set": {"a": 1}}),
    "send": lambda mp: mp.send(Track("Opened", distinct_id="user-1")),
}
each_carried = pytest.mark.parametrize("call", CARRIED.values(), ids=CARRIED)


@each_carried
def test_every_call_raises_for_what_was_not_taken(call: Callable[[Mixpanel], object], judge: Judge) -> None:
    judge.fail_next(Status(401), times=None)
    with door(server=judge.url) as mp, pytest.raises(MixpanelException) as refusal:
        call(mp)
    assert (refusal.value.status, len(refusal.value.records)) == (401, 1)
    assert (refusal.value.message, refusal.value.endpoint) == (None, None)


@each_carried
def test_a_buffered_transport_never_raises_for_weather(call: Callable[[Mixpanel], object], closed_url: str) -> None:
    mp = door("buffered", server=closed_url)
    call(mp)
    mp.flush(0.0)
    mp.close(0.0)


@each_carried
def test_a_buffered_transport_never_raises_for_what_the_server_says(
    call: Callable[[Mixpanel], object], judge: Judge
) -> None:
    judge.fail_next(Status(401), times=None)
    mp = door("buffered:?flush_after_seconds=0&max_tries=1", server=judge.url)
    call(mp)
    assert judge.wait_for(1, GUARD_SECONDS)
    call(mp)
    mp.close(0.0)


def test_a_full_buffer_does_not_raise(closed_url: str) -> None:
    mp = door(Buffered(max_held_messages=1), server=closed_url)
    for _ in range(5):
        mp.track("user-1", "Opened")
    mp.close(0.0)


def test_what_a_consumer_raises_reaches_the_caller() -> None:
    class Full:
        def send(self, endpoint: str, json_message: str) -> None:
            raise MemoryError(endpoint)

    with pytest.raises(MemoryError, match="events"):
        door(consumer=Full()).track("user-1", "Opened")


# Secrecy.

CANARY: Final = "canary-of-the-payload"


def test_nothing_of_token_or_payload_is_shown(
    judge: Judge, memory: MemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    judge.fail_next(Status(401), times=None)
    sentences: list[str] = []
    secrets = {"api_secret": "canary-of-the-secret"}
    for mp in (
        door(server=judge.url),
        door(server=judge.url, credentials=ServiceAccount(username="u", secret="canary-of-it", project_id="1")),
        door("buffered:?flush_after_seconds=0&max_tries=1", server=judge.url),
        door(memory),
        door(consumer=Recorder(), credentials=ProjectSecret("canary-of-it")),
    ):
        for call in (
            lambda mp=mp: mp.track(CANARY, "Opened", {"note": CANARY * 20, "$odd": CANARY}, {"x": CANARY}),
            lambda mp=mp: mp.import_data("canary-key", CANARY, "Opened", PAST, {"note": CANARY * 20}, None, **secrets),
            lambda mp=mp: mp.people_set(CANARY, {"note": CANARY * 20}),
            lambda mp=mp: mp.people_set(CANARY, {"note": CANARY}, {"$ip": [CANARY]}),
            lambda mp=mp: mp.alias(CANARY, CANARY),
            lambda mp=mp: mp.track(CANARY, "Opened", {"token": CANARY}),
            lambda mp=mp: mp.track(CANARY * 20, "Opened"),
            lambda mp=mp: mp.people_track_charge(CANARY, 5, {"$time": CANARY}),
            lambda mp=mp: mp.merge(None, CANARY, CANARY + "2", api_secret="canary of two words"),
        ):
            try:
                call()
            except (InvalidValue, MixpanelException) as error:
                sentences += [str(error), repr(error)]
        sentences += [repr(mp), str(mp), repr(mp.with_properties({"note": CANARY}))]
        mp.close(0.0)
    assert len(sentences) > 40
    for text in [*sentences, caplog.text]:
        assert "canary" not in text
        assert TOKEN not in text


# Threads.


def test_many_threads_through_one_door_lose_nothing_and_share_no_id(judge: Judge) -> None:
    mp = Mixpanel(TOKEN, transport=Buffered(flush_after_seconds=0.01), server=judge.url)
    threads = [
        threading.Thread(target=lambda: [mp.track("user-1", "Opened", {"n": 1}) for _ in range(200)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD_SECONDS)
    mp.close(GUARD_SECONDS)
    ids = [record["properties"]["$insert_id"] for record in judge.events()]  # type: ignore[index, call-overload]
    assert len(ids) == len(set(ids)) == judge.counts().event_copies == 1600


def test_many_threads_through_the_default_transport(judge: Judge) -> None:
    with Mixpanel(TOKEN, server=judge.url) as mp:
        threads = [threading.Thread(target=lambda: [mp.track("u1", "Opened") for _ in range(10)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GUARD_SECONDS)
    assert judge.counts().event_copies == judge.counts().events == 80


def test_threads_with_one_secret_share_its_connections(judge: Judge) -> None:
    with Mixpanel(TOKEN, server=judge.url) as mp:
        threads = [
            threading.Thread(
                target=lambda: [mp.import_data(None, "u1", "Opened", PAST, api_secret="secret-1") for _ in range(5)]
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GUARD_SECONDS)
    assert {dict(arrival.headers)["Authorization"] for arrival in judge.arrivals()} == {basic("secret-1")}
    assert judge.counts().events == 20


@contextlib.contextmanager
def growing(changing: dict[str, Any]) -> Iterator[None]:
    """
    Puts a name into the dict at every line of Python that runs meanwhile, as another thread might, and starts again
    before there are too many of them.
    """

    def grow(*_: object) -> Any:
        if len(changing) > 200:
            changing.clear()
        changing[f"name-{len(changing)}"] = 1
        return grow

    before = sys.gettrace()
    sys.settrace(grow)
    try:
        yield
    finally:
        sys.settrace(before)


CHANGING: Final[dict[str, Callable[[Mixpanel, dict[str, Any]], object]]] = {
    "track": lambda mp, given: mp.track("user-1", "Opened", given),
    "track with meta": lambda mp, given: mp.track("user-1", "Opened", None, given),
    "track what is inside": lambda mp, given: mp.track("user-1", "Opened", {"inside": given}),
    "track with a time": lambda mp, given: mp.track("user-1", "Opened", {"time": PAST, "inside": given}),
    "import_data": lambda mp, given: mp.import_data(None, "user-1", "Opened", PAST, given),
    "people_set": lambda mp, given: mp.people_set("user-1", given),
    "people_increment": lambda mp, given: mp.people_increment("user-1", given),
    "people_union": lambda mp, given: mp.people_union("user-1", given),
    "people_set with meta": lambda mp, given: mp.people_set("user-1", {"a": 1}, given),
    "people_track_charge": lambda mp, given: mp.people_track_charge("user-1", 5, given),
    "people_update": lambda mp, given: mp.people_update({"$distinct_id": "user-1", "$set": given}),
    "people_update of it": lambda mp, given: mp.people_update(given, {"$distinct_id": "user-1", "$set": {"a": 1}}),
    "group_set": lambda mp, given: mp.group_set("Company", "acme", given),
    "with_properties": lambda mp, given: mp.with_properties(given).track("user-1", "Opened"),
}


@pytest.mark.parametrize("call", CHANGING.values(), ids=CHANGING)
@pytest.mark.parametrize("kind", ["a plain door", "with default properties", "with a serializer"])
def test_a_dict_that_a_thread_changes_meanwhile_does_no_harm(
    kind: str, call: Callable[[Mixpanel, dict[str, Any]], object], memory: MemoryTransport
) -> None:
    mp = door(memory, serializer=MoneySerializer if kind == "with a serializer" else None)
    if kind == "with default properties":
        mp = mp.with_properties({"env": "prod"})
    changing: dict[str, Any] = {"plan": 1}
    with growing(changing):
        call(mp, changing)
    assert changing != {"plan": 1}
    assert len(memory.messages) == 1


def test_one_door_may_be_off_while_another_is_on(memory: MemoryTransport) -> None:
    door(memory, enabled=False).track("user-1", "Opened")
    door(memory).track("user-1", "Opened")
    assert len(memory.messages) == 1


def test_a_null_transport_takes_everything(judge: Judge) -> None:
    with door(NullTransport()) as mp:
        for call in CARRIED.values():
            call(mp)
    assert judge.counts().requests == 0


# Credentials that go nowhere.


def test_credentials_beside_a_consumer_are_told_to_have_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    door(consumer=Recorder(), credentials=ProjectSecret("secret-1")).import_data(None, "user-1", "Opened", PAST)
    assert caplog.messages == ["credentials are ignored when a custom consumer is provided: give them to it"]


def test_a_falsy_consumer_is_a_consumer() -> None:
    class Empty(Recorder):
        def __len__(self) -> int:
            return 0

    empty = Empty()
    door(consumer=empty).track("user-1", "Opened")
    assert len(empty.calls) == 1


# What is refused at the door. Each sentence stands in the tests of bad use.


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"local_flags_config": 5}, "local_flags_config"),
        ({"remote_flags_config": 5}, "remote_flags_config"),
        ({"enabled": None}, "enabled"),
        ({"serializer": 5}, "serializer"),
        ({"credentials": 5}, "credentials"),
        ({"consumer": Recorder(), "transport": "sync"}, "transport"),
        ({"consumer": Recorder(), "server": "eu"}, "server"),
        ({"transport": MemoryTransport(), "server": "eu"}, "server"),
        ({"transport": MemoryTransport(), "credentials": ProjectSecret("secret-1")}, "credentials"),
        ({"consumer": 0}, "consumer"),
        ({"transport": "bufered"}, "transport.type"),
        ({"now": None}, "now"),
        ({"make_insert_id": "id"}, "make_insert_id"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_setting_that_cannot_work_is_named(arguments: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        Mixpanel(TOKEN, **arguments)
    assert refusal.value.path == path


def test_an_argument_that_cannot_be_sent_is_named_as_the_caller_knows_it(memory: MemoryTransport) -> None:
    wrong: Any = "plan"
    mp = door(memory)
    for call, path in (
        (lambda: mp.import_data(None, "user-1", "Opened", None), "timestamp"),  # type: ignore[arg-type]
        (lambda: mp.track("user-1", "Opened", wrong), "properties"),
        (lambda: mp.with_properties({"a": 1}).track("user-1", "Opened", wrong), "properties"),
        (lambda: mp.people_update(wrong), "message"),
        (lambda: mp.people_set("user-1", {"a": 1}, wrong), "meta"),
        (lambda: mp.alias("user-1", "user-1"), "alias_id and original"),
        (lambda: mp.people_set("user-1", {"a": 1}, {5: 1}), "meta"),  # type: ignore[dict-item]
        (lambda: mp.people_set("user-1", {"a": 1}, {"\ud800": 1}), "meta"),
        (lambda: mp.track("user-1", "Opened", {"time": None}), "properties['time']"),
        (lambda: mp.merge(wrong, "user-1", "user-2", api_secret=5), "api_secret"),  # type: ignore[arg-type]
        (lambda: mp.people_delete("user-1", {"$set": {"a": 1}}), "meta"),
        (lambda: door(memory, now=lambda: None).people_set("user-1", {"a": 1}), "now()"),
        (lambda: door(memory, now=lambda: "now").people_set("user-1", {"a": 1}), "now()"),
        (lambda: door(memory, now=lambda: None).track("user-1", "Opened"), "now()"),
        (lambda: door(memory, now=lambda: None).track("user-1", "Opened", {"token": TOKEN}), "now()"),
        (lambda: door(memory, make_insert_id=lambda: None).track("user-1", "Opened"), "make_insert_id()"),
        (lambda: door(memory, make_insert_id=lambda: "null").track("user-1", "Opened"), "make_insert_id()"),
    ):
        with pytest.raises(InvalidValue) as refusal:
            call()
        assert refusal.value.path == path
    assert memory.messages == ()


# Figures, flags, servers.


def test_the_figures_are_those_of_all_transports(judge: Judge) -> None:
    with door(server=judge.url) as mp:
        mp.track("user-1", "Opened")
        mp.import_data(None, "user-1", "Opened", PAST, api_secret="secret-1")
        assert mp.stats() == Stats(accepted=2, delivered=2)
    assert mp.stats() == Stats(accepted=2, delivered=2)


def test_the_figures_say_what_a_flush_left(judge: Judge) -> None:
    judge.fail_next(Status(500), times=None)
    mp = door(Buffered(flush_after_seconds=3600), server=judge.url)
    mp.track("user-1", "Opened")
    assert mp.flush(0.05) == Outcome()
    assert mp.stats() == Stats(accepted=1, held=1)
    mp.close(0.0)


@pytest.mark.parametrize("name", ["local_flags", "remote_flags"])
def test_feature_flags_are_answered_as_where_none_are_configured(name: str, memory: MemoryTransport) -> None:
    with pytest.raises(MixpanelException, match=f"^{name}: feature flags are not part of this library$"):
        getattr(door(memory), name)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Mixpanel(TOKEN, server="eu", transport="buffered://in"),
        lambda: Mixpanel(TOKEN, server="eu", transport=Sync(server="eu")),
        lambda: Mixpanel.from_env(
            {"MIXWIRE_TOKEN": TOKEN, "MIXWIRE_SERVER": "eu", "MIXWIRE_TRANSPORT": "sync:?server=in"}
        ),
    ],
    ids=["a string", "a description", "variables"],
)
def test_which_of_two_servers_is_meant_is_not_guessed(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidValue) as caught:
        make()
    assert str(caught.value) == "server must be given once, not given twice: here and with the transport"


def test_the_server_may_stand_with_the_transport_alone(judge: Judge) -> None:
    with Mixpanel(TOKEN, transport=Sync(server=judge.url)) as mp:
        mp.track("user-1", "Opened")
    with Mixpanel.from_env({"MIXWIRE_TOKEN": TOKEN, "MIXWIRE_TRANSPORT": f"sync:?server={judge.url}"}) as mp:
        mp.track("user-1", "Opened")
    assert judge.counts().events == 2


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_token_a_front_door_that_is_off_checks_what_it_is_given(token: str | None) -> None:
    mp = Mixpanel(token, enabled=False)
    mp.track("user-1", "Opened")
    with pytest.raises(InvalidValue):
        mp.track("user-1", "")
    assert mp.stats().accepted == 1
    with pytest.raises(InvalidValue, match=r"^token must be "):
        Mixpanel(token)


@pytest.mark.parametrize(
    ("mp", "shown"),
    [
        (lambda: Mixpanel("T0", server="eu"), "Mixpanel('https://api-eu.mixpanel.com', SyncTransport)"),
        (lambda: Mixpanel("T0", transport=MemoryTransport()), "Mixpanel('https://api.mixpanel.com', MemoryTransport)"),
        (lambda: Mixpanel("T0", enabled=False), "Mixpanel('https://api.mixpanel.com', NullTransport)"),
    ],
    ids=["sync", "memory", "off"],
)
def test_its_repr_shows_where_it_sends_and_by_what(mp: Callable[[], Mixpanel], shown: str) -> None:
    assert repr(mp()) == shown


MISPLACED: Final = {
    "$ip": "given as meta={'$ip': ...}",
    "$ignore_time": "given as meta={'$ignore_time': ...}",
    "$ignore_alias": "given as meta={'$ignore_alias': ...}",
    "$latitude": "given in meta, with '$latitude' and '$longitude'",
    "$time": "given as meta={'$time': ...}",
    "$distinct_id": "given as the argument distinct_id",
}


@pytest.mark.parametrize("name", MISPLACED)
def test_a_property_of_an_update_in_a_wrong_place_is_told_in_the_words_of_the_call(
    name: str, memory: MemoryTransport
) -> None:
    with pytest.raises(InvalidValue) as fault:
        door(memory).people_set("user-1", {name: 1})
    assert str(fault.value) == f"properties[{name!r}] must be {MISPLACED[name]}, not as a property"
