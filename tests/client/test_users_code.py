"""
Ways in which programs use the official client, by its public names alone, with the import changed.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
import functools
import gc
import json
import pickle
import queue
import threading
import types
import typing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import pytest
from pytest_httpserver import HTTPServer

import mixwire as mixpanel

if TYPE_CHECKING:
    from conftest import Arrivals

TOKEN: Final = "T0"
PAST: Final = 1767225600
STAMPS: Final = ("token", "time", "$insert_id", "mp_lib", "$lib_version")


def addresses(url: str) -> dict[str, str]:
    """
    What a program gives to send to a server of its own.
    """
    return {
        "events_url": f"{url}/track",
        "people_url": f"{url}/engage",
        "groups_url": f"{url}/groups",
        "import_url": f"{url}/import",
    }


def client(arrivals: Arrivals, **more: Any) -> mixpanel.Mixpanel:
    return mixpanel.Mixpanel(TOKEN, consumer=mixpanel.Consumer(**addresses(arrivals.url)), **more)


def events(arrivals: Arrivals, path: str = "/track") -> list[tuple[str, str, dict[str, Any]]]:
    """
    The events that arrived: name, who, and what the program said about them.
    """
    found: list[tuple[str, str, dict[str, Any]]] = []
    for record in arrivals.records(path):
        properties = {name: value for name, value in record["properties"].items() if name not in STAMPS}
        found.append((record["event"], properties.pop("distinct_id"), properties))
    return found


def updates(arrivals: Arrivals, path: str = "/engage") -> list[dict[str, Any]]:
    """
    The updates that arrived, without what every update has.
    """
    return [
        {name: value for name, value in record.items() if name not in ("$token", "$time")}
        for record in arrivals.records(path)
    ]


class Kept:
    """
    A consumer that keeps what it is given.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, ...]] = []

    def send(self, *job: Any) -> None:
        self.jobs.append(job)


# Calls.


def test_everything_of_a_call_is_named(arrivals: Arrivals) -> None:
    mp = client(arrivals)
    mp.track(distinct_id="user-1", event_name="Paid", properties={"plan": "pro"}, meta=None)
    mp.people_set(distinct_id="user-1", properties={"plan": "pro"}, meta={})
    assert events(arrivals) == [("Paid", "user-1", {"plan": "pro"})]
    assert updates(arrivals) == [{"$distinct_id": "user-1", "$set": {"plan": "pro"}}]


def test_the_key_of_a_database_is_the_id(arrivals: Arrivals) -> None:
    mp = client(arrivals)
    mp.track(42, "Paid")
    mp.people_set(42, {"plan": "pro"})
    mp.group_set("company", 7, {"$name": "acme"})
    assert events(arrivals) == [("Paid", "42", {})]
    assert updates(arrivals) == [{"$distinct_id": "42", "$set": {"plan": "pro"}}]
    assert updates(arrivals, "/groups") == [{"$group_key": "company", "$group_id": "7", "$set": {"$name": "acme"}}]


def test_somebody_signs_up(arrivals: Arrivals) -> None:
    mp = client(arrivals)
    created = datetime(2026, 1, 1, 12, 30)  # noqa: DTZ001  # as databases without timezones give it
    mp.people_set_once("user-1", {"$created": created})
    mp.people_set("user-1", {"$email": "user-1@example.org", "$name": None, "seen": created.replace(tzinfo=UTC)})
    mp.people_increment("user-1", {"logins": 1})
    assert updates(arrivals) == [
        {"$distinct_id": "user-1", "$set_once": {"$created": "2026-01-01T12:30:00"}},
        {
            "$distinct_id": "user-1",
            "$set": {"$email": "user-1@example.org", "$name": None, "seen": "2026-01-01T12:30:00"},
        },
        {"$distinct_id": "user-1", "$add": {"logins": 1}},
    ]


def test_an_event_says_where_it_happened_and_what_groups_it_belongs_to(arrivals: Arrivals) -> None:
    said = {"ip": "192.0.2.1", "$browser": "Firefox", "company": ["acme", "umbrella"], "$device_id": "device-1"}
    client(arrivals).track("user-1", "Opened", said)
    assert events(arrivals) == [("Opened", "user-1", said)]


def test_an_update_is_told_to_leave_place_and_time_alone(arrivals: Arrivals) -> None:
    client(arrivals).people_set("user-1", {"plan": "pro"}, meta={"$ip": 0, "$ignore_time": True})
    assert updates(arrivals) == [{"$distinct_id": "user-1", "$ip": "0", "$ignore_time": True, "$set": {"plan": "pro"}}]


@pytest.mark.parametrize(
    "said", ["2026-01-02 03:04:05", "2026-01-02T03:04:05", "2026-01-02T03:04:05Z"], ids=["blank", "T", "Z"]
)
def test_a_charge_says_when_it_was_in_a_text(said: str, arrivals: Arrivals) -> None:
    client(arrivals).people_track_charge("user-1", 9.99, {"$time": said, "sku": "a"})
    transaction = {"sku": "a", "$time": "2026-01-02T03:04:05", "$amount": 9.99}
    assert updates(arrivals) == [{"$distinct_id": "user-1", "$append": {"$transactions": transaction}}]


def test_the_time_of_an_event_comes_from_a_clock_of_the_program(arrivals: Arrivals) -> None:
    now = datetime.now(timezone(timedelta(hours=2))).replace(microsecond=0)
    mp = client(arrivals)
    mp.track("user-1", "Opened", {"time": int(now.timestamp())})
    mp.track("user-1", "Opened", {"time": now.timestamp() + 0.5})
    mp.track("user-1", "Opened", {"time": now})
    seconds = int(now.timestamp())
    said = [record["properties"]["time"] for record in arrivals.records("/track")]
    assert said == [seconds, seconds * 1000 + 500, seconds * 1000]


def test_old_events_are_imported_with_what_timestamp_gives(arrivals: Arrivals) -> None:
    mp = client(arrivals)
    mp.import_data("KEY", "user-1", "Opened", datetime(2026, 1, 1, tzinfo=UTC).timestamp(), {"page": "/a"})
    assert events(arrivals, "/import") == [("Opened", "user-1", {"page": "/a"})]
    assert arrivals.records("/import")[0]["properties"]["time"] == PAST * 1000


def test_a_client_is_made_for_each_call(arrivals: Arrivals) -> None:
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        client(arrivals).track("user-1", "Opened", {"number": number})
    assert [said["number"] for _, _, said in events(arrivals)] == list(range(20))
    gc.collect()
    assert threading.active_count() <= threads
    # The server may hold its side of the last connection, and nothing of ours grows with the calls.
    assert len(list(Path("/proc/self/fd").iterdir())) < files + 10


def test_calls_are_made_from_a_loop_in_threads(arrivals: Arrivals) -> None:
    mp = client(arrivals)

    async def opened() -> None:
        await asyncio.to_thread(mp.track, "user-1", "Opened", {"by": "to_thread"})
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, functools.partial(mp.track, "user-1", "Opened", {"by": "executor"}))

    asyncio.run(opened())
    assert [said["by"] for _, _, said in events(arrivals)] == ["to_thread", "executor"]


def test_the_classes_stand_in_annotations() -> None:
    def report(mp: mixpanel.Mixpanel, consumer: mixpanel.Consumer | None = None) -> mixpanel.BufferedConsumer: ...  # type: ignore[empty-body]  # pyright: ignore[reportReturnType]

    assert typing.get_type_hints(report)["mp"] is mixpanel.Mixpanel


# Properties.


@pytest.mark.parametrize(
    "make",
    [
        collections.OrderedDict,
        lambda said: collections.defaultdict(int, said),
        collections.Counter,
        collections.ChainMap,
        types.MappingProxyType,
    ],
    ids=["OrderedDict", "defaultdict", "Counter", "ChainMap", "MappingProxyType"],
)
def test_properties_are_a_mapping_of_another_kind(make: Callable[[dict[str, int]], Any], arrivals: Arrivals) -> None:
    mp = client(arrivals)
    mp.track("user-1", "Opened", make({"visits": 1}))
    mp.people_set("user-1", make({"visits": 1}))
    assert events(arrivals) == [("Opened", "user-1", {"visits": 1})]
    assert updates(arrivals) == [{"$distinct_id": "user-1", "$set": {"visits": 1}}]


class Plan(str, enum.Enum):  # noqa: UP042  # as code for older Pythons has it
    PRO = "pro"


class Level(enum.IntEnum):
    HIGH = 3


def test_a_value_is_a_member_of_an_enum_that_is_text_or_number(arrivals: Arrivals) -> None:
    client(arrivals).track("user-1", "Opened", {"plan": Plan.PRO, "level": Level.HIGH, "all": [Plan.PRO]})
    assert events(arrivals) == [("Opened", "user-1", {"plan": "pro", "level": 3, "all": ["pro"]})]


def test_the_callers_dict_is_changed_after_the_call(arrivals: Arrivals) -> None:
    properties: dict[str, Any] = {"step": 1, "cart": ["a"]}
    with mixpanel.BufferedConsumer(**addresses(arrivals.url)) as consumer:
        mixpanel.Mixpanel(TOKEN, consumer).track("user-1", "Opened", properties)
        properties["step"] = 2
        properties["cart"].append("b")
        consumer.flush()
        assert events(arrivals) == [("Opened", "user-1", {"step": 1, "cart": ["a"]})]


def test_a_dict_that_is_a_default_argument_is_used_again(arrivals: Arrivals) -> None:
    mp = client(arrivals)

    def report(event: str, properties: dict[str, Any] = {}) -> None:  # noqa: B006
        properties.update(version=1)
        mp.track("user-1", event, properties)

    report("Opened")
    report("Closed")
    assert events(arrivals) == [("Opened", "user-1", {"version": 1}), ("Closed", "user-1", {"version": 1})]


class Everything(mixpanel.DatetimeSerializer):
    """
    A serializer that gives up on nothing.
    """

    def default(self, o: object) -> object:
        try:
            return super().default(o)
        except TypeError:
            return str(o)


def test_a_serializer_turns_what_nobody_knows_into_text(arrivals: Arrivals) -> None:
    mp = client(arrivals, serializer=Everything)
    mp.track("user-1", "Opened", {"at": datetime(2026, 1, 1, tzinfo=UTC), "z": 1j, "scores": {1: 2}})
    assert events(arrivals) == [("Opened", "user-1", {"at": "2026-01-01T00:00:00", "z": "1j", "scores": {"1": 2}})]


class Exact(json.JSONEncoder):
    """
    A serializer of a framework, which has forms of its own for dates and numbers.
    """

    def default(self, o: object) -> object:
        return o.isoformat() if isinstance(o, date) else str(o)


def test_a_serializer_of_a_framework_has_its_own_forms(arrivals: Arrivals) -> None:
    mp = client(arrivals, serializer=Exact)
    said = {"at": datetime(2026, 1, 1, tzinfo=UTC), "day": date(2026, 1, 1), "price": Decimal("1.10")}
    mp.people_set("user-1", said)
    written = {"at": "2026-01-01T00:00:00+00:00", "day": "2026-01-01", "price": "1.10"}
    assert updates(arrivals) == [{"$distinct_id": "user-1", "$set": written}]


# Classes that programs build on ours.


class Tracker(mixpanel.Mixpanel):
    """
    A front door with names of its own, some of which are ours by now.
    """

    def __init__(self, consumer: object, environment: str) -> None:
        super().__init__(TOKEN, consumer=consumer)
        self.environment = environment

    def track(self, distinct_id: Any, event_name: str, properties: Any = None, meta: Any = None) -> None:
        super().track(distinct_id, event_name, {"environment": self.environment, **(properties or {})}, meta)

    def identify(self, user: int) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self.people_set(user, {"seen": True})

    def send(self, *_: object) -> Any:
        raise AssertionError("nobody but the program calls this")

    def flush(self, *_: object) -> Any:
        raise AssertionError("nobody but the program calls this")


def test_a_front_door_of_the_programs_adds_to_every_event(arrivals: Arrivals) -> None:
    tracker = Tracker(mixpanel.Consumer(**addresses(arrivals.url)), "staging")
    tracker.track("user-1", "Opened", {"page": "/a"})
    tracker.identify(42)
    assert events(arrivals) == [("Opened", "user-1", {"environment": "staging", "page": "/a"})]
    assert updates(arrivals) == [{"$distinct_id": "42", "$set": {"seen": True}}]


class Quiet(mixpanel.Consumer):
    """
    Never lets analytics break the program.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lost: list[str] = []
        super().__init__(*args, **kwargs)

    def send(self, endpoint: str, json_message: str, api_key: Any = None, api_secret: str | None = None) -> bool:
        try:
            return super().send(endpoint, json_message, api_key, api_secret)
        except mixpanel.MixpanelException as error:
            self.lost.append(str(error))
            return False


def test_a_consumer_on_top_of_ours_swallows_what_was_not_delivered(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/track").respond_with_json({"status": 0, "error": "no such project"})
    consumer = Quiet(**addresses(httpserver.url_for("").rstrip("/")))
    mixpanel.Mixpanel(TOKEN, consumer).track("user-1", "Opened")
    (lost,) = consumer.lost
    assert "no such project" in lost


class Polite(mixpanel.BufferedConsumer):
    """
    Passes on whatever it is given, and keeps quiet about the network.
    """

    def __init__(self, use_log: bool = False, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_log = use_log
        self.flushed = 0

    def flush(self, *args: Any, **kwargs: Any) -> None:
        self.flushed += 1
        with contextlib.suppress(OSError):
            super().flush(*args, **kwargs)


def test_a_buffered_consumer_on_top_of_ours_passes_on_what_it_is_given(arrivals: Arrivals) -> None:
    with Polite(True, 20, **addresses(arrivals.url)) as consumer:
        mp = mixpanel.Mixpanel(TOKEN, consumer)
        mp.track("user-1", "Opened")
        mp.people_set("user-1", {"plan": "pro"})
        consumer.flush()
        assert consumer.flushed == 1
        assert events(arrivals) == [("Opened", "user-1", {})]
        assert updates(arrivals) == [{"$distinct_id": "user-1", "$set": {"plan": "pro"}}]


class Enriching:
    """
    Wraps any consumer and adds to what passes through.
    """

    def __init__(self, base: Any) -> None:
        self.base = base

    def send(self, endpoint: str, json_message: str, api_key: Any = None, api_secret: Any = None) -> Any:
        record = json.loads(json_message)
        if endpoint in ("events", "imports"):
            record["properties"]["host"] = "web-1"
        return self.base.send(endpoint, json.dumps(record, separators=(",", ":")), api_key, api_secret)


def test_a_consumer_around_ours_rewrites_what_passes_through(arrivals: Arrivals) -> None:
    mp = mixpanel.Mixpanel(TOKEN, Enriching(mixpanel.Consumer(**addresses(arrivals.url))))
    mp.track("user-1", "Opened")
    mp.people_set("user-1", {"plan": "pro"})
    mp.import_data("KEY", "user-1", "Paid", PAST, api_secret="SECRET")
    assert events(arrivals) == [("Opened", "user-1", {"host": "web-1"})]
    assert events(arrivals, "/import") == [("Paid", "user-1", {"host": "web-1"})]
    assert updates(arrivals) == [{"$distinct_id": "user-1", "$set": {"plan": "pro"}}]
    assert arrivals.requests[-1].headers["Authorization"] == "Basic U0VDUkVUOg=="


# Consumers of the program's, and what it does with what they get.


@dataclass(frozen=True)
class Frozen:
    """
    A consumer that is a value.
    """

    messages: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def send(self, endpoint: str, json_message: str) -> None:
        self.messages.append((endpoint, json.loads(json_message)["event"]))


def test_a_value_is_a_consumer() -> None:
    consumer = Frozen()
    mixpanel.Mixpanel(TOKEN, consumer=consumer).track("user-1", "Opened")
    assert consumer.messages == [("events", "Opened")]


def test_a_function_in_a_namespace_is_a_consumer() -> None:
    kept: list[str] = []
    consumer = types.SimpleNamespace(send=lambda kind, text: kept.append(f"{kind}::{text}"))
    mixpanel.Mixpanel(TOKEN, consumer).people_set("user-1", {"name": "é"})
    (line,) = kept
    kind, _, text = line.partition("::")
    assert kind == "people"
    assert json.loads(text)["$set"] == {"name": "é"}
    assert text.isascii()


def test_each_message_is_sent_by_a_thread_of_its_own(arrivals: Arrivals) -> None:
    base = mixpanel.Consumer(**addresses(arrivals.url))
    threads: list[threading.Thread] = []

    class Threads:
        def send(self, endpoint: str, message: str) -> None:
            threads.append(threading.Thread(target=base.send, args=(endpoint, message)))
            threads[-1].start()

    mp = mixpanel.Mixpanel(TOKEN, Threads())
    for number in range(10):
        mp.track("user-1", "Opened", {"number": number})
    for thread in threads:
        thread.join()
    assert sorted(said["number"] for _, _, said in events(arrivals)) == list(range(10))


def test_messages_are_sent_by_an_executor(arrivals: Arrivals) -> None:
    base = mixpanel.Consumer(**addresses(arrivals.url))
    with ThreadPoolExecutor(1) as executor:
        consumer = types.SimpleNamespace(send=functools.partial(executor.submit, base.send))
        mp = mixpanel.Mixpanel(TOKEN, consumer)
        for number in range(10):
            mp.track("user-1", "Opened", {"number": number})
    assert [said["number"] for _, _, said in events(arrivals)] == list(range(10))


def test_a_worker_takes_jobs_of_json_from_a_queue(arrivals: Arrivals) -> None:
    jobs: queue.Queue[str] = queue.Queue()
    consumer = types.SimpleNamespace(send=lambda endpoint, text: jobs.put(json.dumps([endpoint, text])))
    mp = mixpanel.Mixpanel(TOKEN, consumer)
    mp.track("user-1", "Opened")
    mp.people_set("user-1", {"name": "é"})
    mp.alias("user-1", "device-1")
    with mixpanel.BufferedConsumer(**addresses(arrivals.url)) as worker:
        while not jobs.empty():
            worker.send(*json.loads(jobs.get()))
        worker.flush()
        assert [record["event"] for record in arrivals.records("/track")] == ["Opened", "$create_alias"]
        assert updates(arrivals) == [{"$distinct_id": "user-1", "$set": {"name": "é"}}]


def test_a_worker_takes_jobs_as_they_came(arrivals: Arrivals) -> None:
    kept = Kept()
    mp = mixpanel.Mixpanel(TOKEN, kept)
    mp.track("user-1", "Opened")
    mp.import_data("KEY", "user-1", "Paid", PAST, api_secret="SECRET")
    worker = mixpanel.Consumer(**addresses(arrivals.url))
    assert [worker.send(*job) for job in kept.jobs] == [True, True]
    assert events(arrivals) == [("Opened", "user-1", {})]
    assert events(arrivals, "/import") == [("Paid", "user-1", {})]


def test_a_task_is_given_everything_by_name(arrivals: Arrivals) -> None:
    tasks: list[str] = []

    class Tasks:
        def send(self, endpoint: str, json_message: str, api_key: Any = None) -> None:
            tasks.append(json.dumps({"endpoint": endpoint, "json_message": json_message, "api_key": api_key}))

    mp = mixpanel.Mixpanel(TOKEN, Tasks())
    mp.track("user-1", "Opened")
    mp.import_data("KEY", "user-1", "Paid", PAST, api_secret="SECRET")
    for task in tasks:
        mixpanel.Consumer(**addresses(arrivals.url)).send(**json.loads(task))
    assert events(arrivals) == [("Opened", "user-1", {})]
    assert events(arrivals, "/import") == [("Paid", "user-1", {})]
    assert arrivals.requests[-1].headers["Authorization"] == "Basic U0VDUkVUOg=="


def test_a_program_makes_batches_by_itself(arrivals: Arrivals) -> None:
    kept = Kept()
    mp = mixpanel.Mixpanel(TOKEN, kept)
    for number in range(3):
        mp.track("user-1", "Opened", {"number": number})
    batch = f"[{','.join(text for _, text in kept.jobs)}]"
    assert mixpanel.Consumer(**addresses(arrivals.url)).send("events", batch, "KEY")
    assert arrivals.batches() == [("/track", 3)]
    assert [said["number"] for _, _, said in events(arrivals)] == [0, 1, 2]


# What programs catch.


def test_one_clause_catches_what_the_network_and_the_server_say(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/track").respond_with_json({"status": 0, "error": "unauthorized"}, status=401)
    mp = mixpanel.Mixpanel(TOKEN, mixpanel.Consumer(**addresses(httpserver.url_for("").rstrip("/"))))
    with pytest.raises(mixpanel.MixpanelException, match="unauthorized") as caught:
        mp.track("user-1", "Opened")
    # Workers hand on what was raised to other processes.
    copied = pickle.loads(pickle.dumps(caught.value))
    assert str(copied) == str(caught.value)


def test_a_clause_for_mistakes_is_one_for_values(arrivals: Arrivals) -> None:
    mp = client(arrivals)
    with pytest.raises(ValueError, match=r"^properties\['price'\] must be a finite number, not nan$"):
        mp.track("user-1", "Paid", {"price": float("nan")})
    assert not arrivals.requests


# What programs put in the place of ours in their tests.


def test_a_method_is_patched() -> None:
    with mock.patch.object(mixpanel.Mixpanel, "track", autospec=True) as track:
        mp = mixpanel.Mixpanel(TOKEN)
        mp.track("user-1", "Opened", {"page": "/a"})
    track.assert_called_once_with(mp, "user-1", "Opened", {"page": "/a"})


def test_the_sending_of_a_consumer_is_patched() -> None:
    with mock.patch.object(mixpanel.Consumer, "send", return_value=True) as send:
        mp = mixpanel.Mixpanel(TOKEN, mixpanel.Consumer())
        mp.track("user-1", "Opened")
    (endpoint, text), named = send.call_args
    assert (endpoint, json.loads(text)["event"], named) == ("events", "Opened", {})


def test_a_mock_stands_in_for_a_client() -> None:
    mp = mock.create_autospec(mixpanel.Mixpanel, instance=True)
    mp.track("user-1", "Opened", properties={"page": "/a"})
    mp.people_set(distinct_id="user-1", properties={})
    mp.track.assert_called_once_with("user-1", "Opened", properties={"page": "/a"})
    with pytest.raises(TypeError):
        mp.track()


def test_a_mock_stands_in_for_a_consumer() -> None:
    consumer = mock.MagicMock(spec=mixpanel.Consumer)
    mixpanel.Mixpanel(TOKEN, consumer=consumer).track("user-1", "Opened")
    ((endpoint, text), named) = consumer.send.call_args
    assert (endpoint, json.loads(text)["event"], named) == ("events", "Opened", {})
