from __future__ import annotations

import orjson
import pytest

from mixwire.core.changes import Add, Append, Set, SetOnce, Union, Unset
from mixwire.core.errors import MixwireError
from mixwire.core.events import Track
from mixwire.core.findings import Effect, Finding, Refused, find
from mixwire.core.messages import encode
from mixwire.core.profiles import Charge, ClearCharges, PeopleOp, RawPeopleOp
from mixwire.core.project import Project


def in_event(properties: dict[str, object], event: str = "Signed Up") -> list[tuple[str, Effect]]:
    body = orjson.dumps({"event": event, "properties": {"distinct_id": "user-1", "time": 1767225600, **properties}})
    return [(finding.path, finding.effect) for finding in find(body, is_event=True)]


def in_update(update: dict[str, object]) -> list[tuple[str, Effect]]:
    return [(finding.path, finding.effect) for finding in find(orjson.dumps(update), is_event=False)]


def test_an_ordinary_event_has_no_findings() -> None:
    assert in_event({"plan": "pro", "seats": 3, "tags": ["a"], "cart": {"sku": {"n": 1}}, "none": None}) == []


def test_what_the_library_adds_to_an_event_is_no_finding() -> None:
    track = Track("Signed Up", distinct_id="user-1", properties={}, time=1767225600, insert_id="a1")
    assert encode(track, Project("TOKEN")).findings() == ()


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        pytest.param({"$browser": "F", "mp_keyword": "k"}, [], id="documented names"),
        pytest.param({"$plan": 1}, [("properties['$plan']", Effect.UNDOCUMENTED)], id="unknown $ name"),
        pytest.param({"mp_plan": 1}, [("properties['mp_plan']", Effect.UNDOCUMENTED)], id="unknown mp_ name"),
        pytest.param(
            {"$phones": 1, "$phone": 1}, [("properties['$phones']", Effect.UNDOCUMENTED)], id="only whole names"
        ),
    ],
)
def test_r79_an_undocumented_reserved_name_is_found(
    properties: dict[str, object], expected: list[tuple[str, Effect]]
) -> None:
    assert in_event(properties) == expected


@pytest.mark.parametrize("name", ["$import", "mp_processing_time_ms", "$mp_api_timestamp_ms"])
def test_a_property_that_the_server_writes_is_overwritten(name: str) -> None:
    assert in_event({name: 1}) == [(f"properties[{name!r}]", Effect.OVERWRITTEN)]


@pytest.mark.parametrize("name", [" plan", "plan ", "\tplan", "plan\n"])
def test_r78_a_property_name_with_outer_white_space_is_trimmed(name: str) -> None:
    assert in_event({name: 1}) == [(f"properties[{name!r}]", Effect.TRIMMED)]
    assert in_update({"$set": {name: 1}}) == [(f"$set[{name!r}]", Effect.TRIMMED)]


@pytest.mark.parametrize(
    ("length", "effects"),
    [(255, []), (256, [Effect.TRUNCATED])],
    ids=["at the limit", "one over"],
)
def test_r77_a_property_name_over_255_characters_is_truncated(length: int, effects: list[Effect]) -> None:
    assert [effect for _, effect in in_event({"é" * length: 1})] == effects
    assert [effect for _, effect in in_update({"$set": {"é" * length: 1}})] == effects


def test_the_path_of_a_long_name_is_shortened() -> None:
    kept, cut = "x" * 60, "y" * 61
    paths = [path for path, _ in in_event({f"${kept[1:]}": 1, f"${cut[1:]}": 1})]
    assert paths == [f"properties['${kept[1:]}']", f"properties['${cut[2:60]}…']"]


@pytest.mark.parametrize(
    ("text", "effects"),
    [
        pytest.param("x" * 255, [], id="255 bytes"),
        pytest.param("x" * 256, [Effect.TRUNCATED], id="256 bytes"),
        pytest.param("é" * 127, [], id="254 bytes in 127 characters"),
        pytest.param("é" * 128, [Effect.TRUNCATED], id="256 bytes in 128 characters"),
        pytest.param("\U0001f600" * 63, [], id="252 bytes in 63 characters"),
        pytest.param("\U0001f600" * 64, [Effect.TRUNCATED], id="256 bytes in 64 characters"),
    ],
)
def test_a_string_over_255_bytes_is_truncated(text: str, effects: list[Effect]) -> None:
    assert [effect for _, effect in in_event({"note": text})] == effects


def test_a_long_string_is_found_inside_lists_and_objects() -> None:
    long = "x" * 256
    assert in_event({"cart": [{"sku": "a"}, {"notes": ["a", long]}]}) == [
        ("properties['cart'][1]['notes'][1]", Effect.TRUNCATED),
        ("properties['cart']", Effect.UNDOCUMENTED),
    ]
    assert in_event({"cart": {"a": {"b": long}}}) == [("properties['cart']['a']['b']", Effect.TRUNCATED)]


# A list of n elements of 3 digits has 4n + 1 bytes of JSON, an object {"k": [...]} 6 more.
@pytest.mark.parametrize(
    ("value", "effects"),
    [
        pytest.param([100] * 1999, [], id="list of 7,997 bytes"),
        pytest.param([100] * 2000, [Effect.TRUNCATED], id="list of 8,001 bytes"),
        pytest.param([100] * 1999 + [1], [], id="list of 7,999 bytes"),
        pytest.param([100] * 1999 + [10], [], id="list of 8,000 bytes"),
        pytest.param({"k": [100] * 1998}, [], id="object of 7,999 bytes"),
        pytest.param({"k": [100] * 1999}, [Effect.TRUNCATED], id="object of 8,003 bytes"),
    ],
)
def test_a_container_over_8000_bytes_in_an_event_is_truncated(value: object, effects: list[Effect]) -> None:
    assert [effect for _, effect in in_event({"values": value})] == effects


@pytest.mark.parametrize(
    ("count", "effects"), [(63_999, []), (64_000, [Effect.TRUNCATED])], ids=["255,997 bytes", "256,001 bytes"]
)
def test_a_container_over_256000_bytes_in_a_profile_is_truncated(count: int, effects: list[Effect]) -> None:
    assert [effect for _, effect in in_update({"$set": {"values": [100] * count}})] == effects


@pytest.mark.parametrize(
    ("value", "effects"),
    [
        pytest.param([{"a": 1}, {"b": "x"}], [], id="flat objects"),
        pytest.param([{"a": [1]}], [Effect.UNDOCUMENTED], id="list in an object in a list"),
        pytest.param([1, {"a": {"b": 1}}], [Effect.UNDOCUMENTED], id="object in an object in a list"),
        pytest.param([[1], [2]], [], id="lists in a list"),
        pytest.param({"a": {"b": 1}}, [], id="objects in an object"),
    ],
)
def test_objects_in_a_list_are_documented_as_one_level_deep(value: object, effects: list[Effect]) -> None:
    assert [effect for _, effect in in_event({"values": value})] == effects


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param("x" * 255, [], id="255 characters"),
        pytest.param("é" * 256, [("event", Effect.TRUNCATED)], id="256 characters"),
        pytest.param("$signup", [("event", Effect.UNDOCUMENTED)], id="reserved with $"),
        pytest.param("mp_signup", [("event", Effect.UNDOCUMENTED)], id="reserved with mp_"),
        pytest.param("$identify", [], id="identity command"),
        pytest.param("$merge", [], id="merge"),
        pytest.param("$create_alias", [], id="alias"),
    ],
)
def test_the_name_of_an_event_is_looked_at(event: str, expected: list[tuple[str, Effect]]) -> None:
    assert in_event({}, event) == expected


@pytest.mark.parametrize("value", [True, "yes", 1, ["a"]])
def test_an_event_to_be_ignored_is_dropped(value: object) -> None:
    assert in_event({"$ignore": value}) == [("properties['$ignore']", Effect.DROPPED)]


@pytest.mark.parametrize("value", [None, False, ""])
def test_an_event_not_to_be_ignored_has_no_finding(value: object) -> None:
    assert in_event({"$ignore": value}) == []


@pytest.mark.parametrize(
    "operation",
    [
        PeopleOp("user-1", Set({"$name": "A", "plan": "pro"})),
        PeopleOp("user-1", Unset("plan", "$name")),
        Charge("user-1", 5, {"sku": "a"}, time=1767225600),
        ClearCharges("user-1"),
        RawPeopleOp("user-1", {"$newer": {"$anything": 1}}),
    ],
    ids=["set", "unset", "charge", "clear charges", "raw with an unknown operator"],
)
def test_an_ordinary_update_has_no_findings(operation: PeopleOp | Charge | ClearCharges | RawPeopleOp) -> None:
    assert encode(operation, Project("TOKEN")).findings() == ()


@pytest.mark.parametrize("key", ["ip", "$ignore_tme", "plan", "n" * 70])
def test_a_key_that_is_neither_an_operator_nor_an_option_is_undocumented(key: str) -> None:
    (finding,) = encode(RawPeopleOp("user-1", {"$set": {"a": 1}, key: "0"}), Project("TOKEN")).findings()
    assert finding.path == (key if len(key) < 60 else "n" * 59 + "…")
    assert str(finding) == f"{finding.path}: it is neither an operator nor an option that is documented"


@pytest.mark.parametrize("key", ["$ip", "$latitude", "$ignore_alias", "$time"])
def test_an_option_is_documented(key: str) -> None:
    assert encode(RawPeopleOp("user-1", {"$set": {"a": 1}, key: "0"}), Project("TOKEN")).findings() == ()


@pytest.mark.parametrize(
    "change", [Set({"$odd": 1}), SetOnce({"$odd": 1}), Add({"$odd": 1}), Append({"$odd": 1}), Union({"$odd": [1]})]
)
def test_the_properties_of_each_operator_are_looked_at(change: Set | SetOnce | Add | Append | Union) -> None:
    findings = encode(PeopleOp("user-1", change), Project("TOKEN")).findings()
    assert [(each.path, each.effect) for each in findings] == [(f"{change.operator}['$odd']", Effect.UNDOCUMENTED)]


def test_r79_names_known_for_events_are_not_thereby_known_for_profiles() -> None:
    assert in_update({"$set": {"$email": 1, "$screen_name": 1}}) == [("$set['$screen_name']", Effect.UNDOCUMENTED)]
    assert in_event({"$unsubscribed": 1}) == [("properties['$unsubscribed']", Effect.UNDOCUMENTED)]


@pytest.mark.parametrize(
    ("update", "path"),
    [
        ({"$set": {"a": 1}, "$add": {"a": 1}}, "$set and $add"),
        ({"$unset": ["a"], "$append": {"b": 1, "a": 2}}, "$unset and $append"),
        ({"$token": "T", "$unset": ["a"], "$ip": "0", "$delete": ""}, "$unset and $delete"),
    ],
)
def test_several_operators_on_one_property_have_no_documented_order(update: dict[str, object], path: str) -> None:
    assert in_update(update) == [(path, Effect.UNDOCUMENTED)]


def test_several_operators_on_different_properties_need_no_order() -> None:
    assert in_update({"$set": {"a": 1}, "$add": {"b": 1}, "$unset": ["c"]}) == []


def test_an_operator_without_an_object_is_left_alone() -> None:
    assert in_update({"$set": 5}) == []


def test_a_finding_without_a_documented_effect_says_its_reason_alone() -> None:
    (finding,) = find(orjson.dumps({"event": "$own", "properties": {}}), is_event=True)
    assert str(finding) == "event: names that start with '$' or 'mp_' are reserved for Mixpanel's own events"


def test_findings_stand_in_the_order_of_the_message() -> None:
    assert in_event({"$a": 1, "b ": "x" * 256, "$import": 1}, "$e") == [
        ("event", Effect.UNDOCUMENTED),
        ("properties['$a']", Effect.UNDOCUMENTED),
        ("properties['b ']", Effect.TRIMMED),
        ("properties['b ']", Effect.TRUNCATED),
        ("properties['$import']", Effect.OVERWRITTEN),
    ]


@pytest.mark.parametrize(
    ("properties", "event", "sentence"),
    [
        (
            {"note": "x" * 300},
            "E",
            "properties['note'] would be truncated: it has 300 bytes, only 255 are sure to be kept",
        ),
        ({"a ": 1}, "E", "properties['a '] would be trimmed: its name starts or ends with white space"),
        ({}, "x" * 1000, "event would be truncated: it has 1,000 characters, at most 255 are kept"),
        (
            {"a": [100] * 2000},
            "E",
            "properties['a'] would be truncated: it has 8,001 bytes of JSON, at most 8,000 are documented",
        ),
        ({"$import": 1}, "E", "properties['$import'] would be overwritten: the server writes this property itself"),
        ({"$ignore": 1}, "E", "properties['$ignore'] would be dropped: the server drops events that carry it"),
    ],
)
def test_a_finding_says_its_sentence_without_the_value(
    properties: dict[str, object], event: str, sentence: str
) -> None:
    body = orjson.dumps({"event": event, "properties": properties})
    assert [str(finding) for finding in find(body, is_event=True)] == [sentence]


def test_refused_says_all_its_findings() -> None:
    findings = (Finding("event", Effect.TRUNCATED, "too long"), Finding("a", Effect.TRIMMED, "white space"))
    refused = Refused(findings)
    assert isinstance(refused, MixwireError)
    assert refused.findings == findings
    assert str(refused) == "event would be truncated: too long; a would be trimmed: white space"


def test_an_empty_property_name_is_a_finding() -> None:
    body = b'{"event":"A","properties":{"":1}}'
    assert find(body, is_event=True) == (Finding("properties['']", Effect.UNDOCUMENTED, "its name is empty"),)


def test_the_names_of_an_unset_are_looked_at() -> None:
    found = find(b'{"$unset":[" a","mp_x"]}', is_event=False)
    assert [(each.path, each.effect) for each in found] == [
        ("$unset[' a']", Effect.TRIMMED),
        ("$unset['mp_x']", Effect.UNDOCUMENTED),
    ]
