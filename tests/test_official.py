"""
What the official client builds and what we build is the same, except where `DIFFERENT` and the tests below say why not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

import mixpanel
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixwire.core import (
    PLACEHOLDERS,
    VERSION,
    Add,
    Alias,
    Append,
    Charge,
    ClearCharges,
    Delete,
    Endpoint,
    GroupOp,
    InvalidValue,
    Merge,
    Operation,
    PeopleOp,
    Project,
    Remove,
    Set,
    SetOnce,
    Track,
    Union,
    Unset,
    UpdateOptions,
    encode,
)

TOKEN: Final = "0123456789abcdef0123456789abcdef"
NOW: Final = 1767225600.25
INSERT_ID: Final = "5d1f0a6c2b7e4c0f9a3d8e6b1c2d3e4f"
PATHS: Final = {"events": "/track", "imports": "/import", "people": "/engage", "groups": "/groups"}


class Recorder:
    """
    A consumer of the official client that keeps what it is given and sends nothing.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, endpoint: str, json_message: str, api_key: object = None, api_secret: object = None) -> None:
        self.sent.append((PATHS[endpoint], json.loads(json_message)))


Call = Callable[[Any], object]


def official(call: Call) -> tuple[str, dict[str, Any]]:
    recorder = Recorder()
    client = mixpanel.Mixpanel(TOKEN, consumer=recorder)
    client._now = lambda: NOW
    client._make_insert_id = lambda: INSERT_ID
    call(client)
    (sent,) = recorder.sent
    return sent


def ours(operation: Operation, project: Project) -> tuple[str, dict[str, Any]]:
    message = encode(operation, project)
    return message.endpoint.value, message.to_wire()


# Where a value stands, what ours is for the official one, and why.
DIFFERENT: Final[tuple[tuple[tuple[str, ...], Callable[[Any], object], str], ...]] = (
    (("properties", "time"), lambda time: round(time * 1000), "an integer, as documented, not a float of seconds"),
    (("properties", "mp_lib"), lambda _: "mixwire", "each library gives its own name"),
    (("properties", "$lib_version"), lambda _: VERSION, "each library gives its own version"),
    (("$time",), int, "whole seconds, as in the samples, not a float"),
)


def expected(wire: dict[str, Any]) -> dict[str, Any]:
    """
    What ours must be, given the official one.
    """
    for path, mapped, _ in DIFFERENT:
        place = wire
        for name in path[:-1]:
            place = place.get(name, {})
        if path[-1] in place:
            place[path[-1]] = mapped(place[path[-1]])
    return wire


def assert_same(call: Call, operation: Operation, *, events: Any = "track") -> None:
    path, wire = official(call)
    our_path, our_wire = ours(operation, Project(TOKEN, events=events))
    assert our_path == path
    # As text, because 1 == 1.0 == True in Python but not in JSON.
    assert orjson.dumps(our_wire, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        expected(wire), option=orjson.OPT_SORT_KEYS
    )


def track(event: str, properties: dict[str, Any] | None = None, distinct_id: str = "user-1", time: Any = NOW) -> Track:
    return Track(event, distinct_id=distinct_id, properties=properties or {}, time=time, insert_id=INSERT_ID)


def people(*changes: Any, distinct_id: str = "user-1", **options: Any) -> PeopleOp:
    return PeopleOp(distinct_id, *changes, time=NOW, options=UpdateOptions(**options))


def group(*changes: Any) -> GroupOp:
    return GroupOp("Company", "acme", *changes, time=NOW)


P: Final = {"plan": "pro", "été": ["☃", 1, 0.5, None, True, {"a": []}], "at": datetime(2026, 1, 1, 12)}  # noqa: DTZ001


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        pytest.param(lambda mp: mp.track("user-1", "E"), track("E"), id="track"),
        pytest.param(lambda mp: mp.track("user-1", 'é"\\\n', P), track('é"\\\n', P), id="track with properties"),
        pytest.param(lambda mp: mp.track("", "E", {"a": 1}), track("E", {"a": 1}, ""), id="track nobody"),
        pytest.param(lambda mp: mp.people_set("user-1", P), people(Set(P)), id="people_set"),
        pytest.param(lambda mp: mp.people_set_once("user-1", P), people(SetOnce(P)), id="people_set_once"),
        pytest.param(lambda mp: mp.people_increment("user-1", {"n": -1}), people(Add({"n": -1})), id="people_add"),
        pytest.param(lambda mp: mp.people_append("user-1", P), people(Append(P)), id="people_append"),
        pytest.param(
            lambda mp: mp.people_union("user-1", {"l": ["a", 1]}), people(Union({"l": ["a", 1]})), id="people_union"
        ),
        pytest.param(lambda mp: mp.people_remove("user-1", {"l": "a"}), people(Remove({"l": "a"})), id="people_remove"),
        pytest.param(lambda mp: mp.people_unset("user-1", ["a", "b"]), people(Unset("a", "b")), id="people_unset"),
        pytest.param(lambda mp: mp.people_delete("user-1"), people(Delete()), id="people_delete"),
        pytest.param(
            lambda mp: mp.people_clear_charges("user-1"), ClearCharges("user-1", time=NOW), id="people_clear_charges"
        ),
        pytest.param(
            lambda mp: mp.people_update(
                {"$distinct_id": "user-1", "$set": {"a": 1}, "$unset": ["b"], "$append": {"c": "d"}}
            ),
            people(Set({"a": 1}), Unset("b"), Append({"c": "d"})),
            id="people_update with several operators",
        ),
        pytest.param(
            lambda mp: mp.people_set("user-1", {"a": 1}, {"$ip": "0", "$ignore_time": True, "$ignore_alias": True}),
            people(Set({"a": 1}), ip="0", ignore_time=True, ignore_alias=True),
            id="people_set with meta",
        ),
        pytest.param(lambda mp: mp.group_set("Company", "acme", P), group(Set(P)), id="group_set"),
        pytest.param(lambda mp: mp.group_set_once("Company", "acme", P), group(SetOnce(P)), id="group_set_once"),
        pytest.param(
            lambda mp: mp.group_union("Company", "acme", {"l": ["a"]}), group(Union({"l": ["a"]})), id="group_union"
        ),
        pytest.param(
            lambda mp: mp.group_remove("Company", "acme", {"l": "a"}), group(Remove({"l": "a"})), id="group_remove"
        ),
        pytest.param(lambda mp: mp.group_unset("Company", "acme", ["a"]), group(Unset("a")), id="group_unset"),
        pytest.param(lambda mp: mp.group_delete("Company", "acme"), group(Delete()), id="group_delete"),
        pytest.param(
            lambda mp: mp.group_update({"$group_key": "Company", "$group_id": "acme", "$set": P, "$unset": ["b"]}),
            group(Set(P), Unset("b")),
            id="group_update with several operators",
        ),
        pytest.param(lambda mp: mp.merge(None, "user-1", "user-2"), Merge("user-1", "user-2"), id="merge"),
    ],
)
def test_both_build_the_same(call: Call, operation: Operation) -> None:
    assert_same(call, operation)


@pytest.mark.parametrize("time", [1700000000, 1700000000.5, 31_536_000], ids=["int", "float", "1971"])
def test_both_build_the_same_import(time: float) -> None:
    path, wire = official(lambda mp: mp.import_data(None, "user-1", "E", time, {"a": 1}))
    our_path, our_wire = ours(track("E", {"a": 1}, time=time), Project(TOKEN, events="import"))
    assert (path, our_path) == ("/import", "/import")
    wire["properties"]["time"] = time if type(time) is int else round(time * 1000)
    wire["properties"] |= {"mp_lib": "mixwire", "$lib_version": VERSION}
    assert our_wire == wire
    assert type(our_wire["properties"]["time"]) is int


def test_both_build_the_same_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    # The official alias() makes a consumer of its own, whatever consumer the client was given.
    monkeypatch.setattr(mixpanel, "Consumer", lambda: recorder)
    mixpanel.Mixpanel(TOKEN, consumer=Recorder()).alias("user-1", "device-1")
    assert recorder.sent == [ours(Alias(alias="user-1", distinct_id="device-1"), Project(TOKEN))]


@pytest.mark.parametrize("amount", [5, 9.99, -5, 0], ids=["int", "float", "refund", "nothing"])
def test_both_build_the_same_charge_except_for_its_time(amount: float) -> None:
    path, wire = official(lambda mp: mp.people_track_charge("user-1", amount, {"sku": "a"}))
    # A charge without $time is not in the revenue report's curve; the official client sends none by itself.
    wire["$append"]["$transactions"]["$time"] = "2026-01-01T00:00:00"
    assert ours(Charge("user-1", amount, {"sku": "a"}, time=NOW), Project(TOKEN)) == (path, expected(wire))
    del wire["$append"]["$transactions"]["$time"], wire["$time"]
    assert ours(Charge("user-1", amount, {"sku": "a"}), Project(TOKEN)) == (path, wire)


def test_a_charge_with_a_time_given_as_property_is_the_same_in_both() -> None:
    text = "2026-01-01T00:00:00"
    call: Call = lambda mp: mp.people_track_charge("user-1", 5, {"$time": text})  # noqa: E731
    assert_same(call, Charge("user-1", 5, time=NOW))


# --- any properties -------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | FINITE
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
MISPLACED = {"token", "time", "distinct_id", "bucket"}
NAMES = TEXT.filter(lambda name: name != "" and not name.startswith(("$", "mp_")) and name not in MISPLACED)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXT, SCALARS, max_size=3)
PROPERTIES = st.dictionaries(NAMES, VALUES, max_size=6)
SOME_PROPERTIES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6)
IDS = TEXT.filter(lambda text: text.strip() != "" and text.strip().lower() not in PLACEHOLDERS)
EVENT_NAMES = TEXT.filter(lambda text: text != "" and not text.isspace() and not text.startswith("$"))
lightly = settings(max_examples=50, deadline=None, derandomize=True)


@lightly
@given(EVENT_NAMES, IDS, PROPERTIES)
def test_any_event_is_the_same_in_both(event: str, distinct_id: str, properties: dict[str, Any]) -> None:
    assert_same(lambda mp: mp.track(distinct_id, event, properties), track(event, properties, distinct_id))
    assert_same(
        lambda mp: mp.import_data(None, distinct_id, event, NOW, properties),
        track(event, properties, distinct_id),
        events="import",
    )


@lightly
@given(IDS, SOME_PROPERTIES)
def test_any_profile_update_is_the_same_in_both(distinct_id: str, properties: dict[str, Any]) -> None:
    for name, change in {"set": Set, "set_once": SetOnce, "append": Append, "remove": Remove}.items():
        assert_same(
            lambda mp, name=name: getattr(mp, f"people_{name}")(distinct_id, properties),  # type: ignore[misc]
            people(change(properties), distinct_id=distinct_id),
        )
    assert_same(
        lambda mp: mp.people_unset(distinct_id, list(properties)), people(Unset(*properties), distinct_id=distinct_id)
    )


@lightly
@given(IDS, IDS, SOME_PROPERTIES)
def test_any_group_update_is_the_same_in_both(key: str, name: str, properties: dict[str, Any]) -> None:
    assert_same(lambda mp: mp.group_set(key, name, properties), GroupOp(key, name, Set(properties), time=NOW))


LISTS = st.lists(NUMBERS | TEXT, min_size=1, max_size=5)


@lightly
@given(st.dictionaries(NAMES, NUMBERS, min_size=1), st.dictionaries(NAMES, LISTS, min_size=1))
def test_any_increment_and_union_is_the_same_in_both(numbers: dict[str, Any], lists: dict[str, Any]) -> None:
    assert_same(lambda mp: mp.people_increment("user-1", numbers), people(Add(numbers)))
    assert_same(lambda mp: mp.people_union("user-1", lists), people(Union(lists)))


# --- values on purpose not the same ---------------------------------------------------------------------------------


class Plan(Enum):
    PRO = "pro"


@dataclass
class Item:
    sku: str


INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("value", "theirs", "our_value"),
    [
        pytest.param(
            datetime(2024, 1, 1, tzinfo=INDIA), "2024-01-01T00:00:00", "2023-12-31T18:30:00", id="B13 offset dropped"
        ),
        pytest.param(
            datetime(2024, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.000005",
            id="B13 microseconds dropped",
        ),
        pytest.param(date(2024, 1, 1), TypeError, "2024-01-01", id="B31 date"),
        pytest.param(Decimal("19.99"), TypeError, 19.99, id="B31 Decimal"),
        pytest.param(UUID(int=1), TypeError, "00000000-0000-0000-0000-000000000001", id="B31 UUID"),
        pytest.param(Plan.PRO, TypeError, "pro", id="B31 Enum"),
        pytest.param({"b", "a"}, TypeError, ["a", "b"], id="B31 set"),
        pytest.param(Item("a"), TypeError, {"sku": "a"}, id="B31 dataclass"),
        pytest.param(b"a", TypeError, InvalidValue, id="B31 bytes refused with its path"),
        pytest.param(float("inf"), float("inf"), InvalidValue, id="B12 infinity is no JSON"),
        pytest.param(float("-inf"), float("-inf"), InvalidValue, id="B12 minus infinity is no JSON"),
        pytest.param({1: "a"}, {"1": "a"}, InvalidValue, id="key turned into text"),
        pytest.param("\ud800", "\ud800", InvalidValue, id="lone surrogate"),
        pytest.param(2**64, 2**64, InvalidValue, id="integer over 64 bits"),
    ],
)
def test_a_value_that_the_official_client_spoils_is_kept_or_refused(value: Any, theirs: Any, our_value: Any) -> None:
    def call() -> Any:
        return official(lambda mp: mp.track("user-1", "E", {"value": value}))[1]["properties"]["value"]

    if theirs is TypeError:
        with pytest.raises(TypeError):
            call()
    else:
        assert call() == theirs
    if our_value is InvalidValue:
        with pytest.raises(InvalidValue, match=r"^properties\['value'\]"):
            track("E", {"value": value})
    else:
        assert encode(track("E", {"value": value}), Project(TOKEN)).to_wire()["properties"]["value"] == our_value  # type: ignore[call-overload, index]


def test_b12_a_nan_is_refused_where_the_official_client_sends_no_json() -> None:
    value = official(lambda mp: mp.track("user-1", "E", {"value": float("nan")}))[1]["properties"]["value"]
    assert value != value  # noqa: PLR0124
    with pytest.raises(InvalidValue, match=r"^properties\['value'\] must be a finite number, not nan$"):
        track("E", {"value": float("nan")})


def test_b14_a_datetime_as_time_is_a_number_where_the_official_client_sends_text() -> None:
    moment = datetime(2024, 1, 1, 12, tzinfo=INDIA)
    _, wire = official(lambda mp: mp.import_data(None, "user-1", "E", moment))
    assert wire["properties"]["time"] == "2024-01-01T12:00:00"
    message = encode(track("E", time=moment), Project(TOKEN))
    assert message.to_wire()["properties"]["time"] == 1704090600000  # type: ignore[call-overload, index]
    assert message.endpoint is Endpoint.TRACK


def test_b32_a_charge_leaves_the_callers_dict_alone_where_the_official_client_does_not() -> None:
    theirs, our_properties = {"sku": "a"}, {"sku": "a"}
    official(lambda mp: mp.people_track_charge("user-1", 5, theirs))
    Charge("user-1", 5, our_properties)
    assert theirs == {"sku": "a", "$amount": 5}
    assert our_properties == {"sku": "a"}


def test_a_single_value_in_a_union_is_a_list_of_one_where_the_official_client_sends_it_bare() -> None:
    _, wire = official(lambda mp: mp.people_union("user-1", {"l": "a"}))
    assert wire["$union"] == {"l": "a"}
    assert encode(people(Union({"l": "a"})), Project(TOKEN)).to_wire()["$union"] == {"l": ["a"]}


@pytest.mark.parametrize(
    "name", ["token", "time", "distinct_id", "$insert_id"], ids=lambda name: f"{name} overridden by a property"
)
def test_a_property_cannot_override_what_the_library_sends(name: str) -> None:
    _, wire = official(lambda mp: mp.track("user-1", "E", {name: "mine"}))
    assert wire["properties"][name] == "mine"
    with pytest.raises(InvalidValue, match="as a property"):
        track("E", {name: "mine"})


@pytest.mark.parametrize(("path", "mapped", "reason"), DIFFERENT, ids=[".".join(path) for path, _, _ in DIFFERENT])
def test_each_difference_is_one(path: tuple[str, ...], mapped: Callable[[Any], object], reason: str) -> None:
    call: Call = (lambda mp: mp.track("user-1", "E")) if path[0] == "properties" else (lambda mp: mp.people_delete("u"))
    value: Any = official(call)[1]
    for name in path:
        value = value[name]
    assert mapped(value) != value, reason
