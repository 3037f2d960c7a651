"""
/import of the emulator: who may, what a request may be, which records are refused, and what is answered.

A test or a case is named for the rule of the protocol that it shows: R for a rule, D for a point where the sources
disagree and the emulator takes a side.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Final

import pytest
from emulator_calls import (
    BY_TOKEN,
    DAY,
    EMPTY,
    FORM_TYPE,
    HOUR,
    JSON_TYPE,
    LINES_TYPE,
    MAX_BODY,
    NONE,
    NOW,
    ONE,
    PUBLIC_ADDRESS,
    SECOND,
    SIMPLIFIED,
    TOKEN,
    Record,
    Said,
    compact,
    event,
    fates,
    only_event,
    post,
    post_import,
    said,
    without,
    zipped,
)

from mixwire.core import JSON
from mixwire.testing.events import place_of
from mixwire.testing.state import Fate, Settings, State

INVALID: Final = "some data points in the request failed validation"
UNAUTHORIZED: Final = compact(401, {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"})
TOO_LARGE: Final = (
    413,
    JSON_TYPE,
    b'{"code":413,"error":"request exceeds max limit of 2097152 bytes","status":"Request Entity Too Large"}',
)
TOO_MUCH: Final = (
    429,
    JSON_TYPE,
    (
        b'{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.",'
        b'"status":"Too Many Requests"}'
    ),
)
PLACEHOLDERS: Final = [
    *("00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined"),
    *("unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}", "lmy47d"),
]
SIMPLE: Final = "identity events are not allowed when project is using simplified identity management"
IDENTIFY: Final[Record] = {
    "event": "$identify",
    "properties": {"$identified_id": "user-1", "$anon_id": "4f9cb3e6-6d0f-4c1b-9a53-2f1f8f0d9b11", "token": TOKEN},
}
ALIAS: Final[Record] = {
    "event": "$create_alias",
    "properties": {"distinct_id": "user-1", "alias": "u@example.com", "token": TOKEN},
}
MERGE: Final[Record] = {"event": "$merge", "properties": {"$distinct_ids": ["user-1", "user-2"], "token": TOKEN}}


def imported(count: int, status: JSON = "OK") -> Said:
    return compact(200, {"code": 200, "num_records_imported": count, "status": status})


def bad_request(error: str) -> Said:
    return compact(400, {"code": 400, "error": error, "status": "Bad Request", "num_records_imported": 0})


def failed(rows: list[JSON], good: int = 0) -> Said:
    return compact(
        400,
        {
            "code": 400,
            "error": INVALID,
            "failed_records": rows,
            "num_records_imported": good,
            "status": "Bad Request",
        },
    )


def row(field: str, message: str, *, index: int = 0, insert_id: str = "insert-1") -> JSON:
    return {"index": index, "insert_id": insert_id, "field": field, "message": message}


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def names(count: int) -> Record:
    return {f"p{number}": number for number in range(count)}


def objects(depth: int) -> JSON:
    value: JSON = "inside"
    for _ in range(depth):
        value = {"k": value}
    return value


def of_size(size: int) -> Record:
    """
    An event of so many bytes of JSON without white space.
    """
    empty = len(json.dumps(event(pad=""), separators=(",", ":")))
    return event(pad="x" * (size - empty))


# What is refused about a record.

TIME: Final = "properties.time"
ID: Final = "properties.distinct_id"
MISSING_NAME: Final = "'event' must not be missing or blank"
NO_NUMBER: Final = "'properties.time' is invalid: must be specified as seconds since epoch"
FUTURE: Final = "'properties.time' is invalid: must not be in the future"
EARLY: Final = "'properties.time' is invalid: must not be before 1971"
NOT_TEXT: Final = "is invalid: string should be valid utf8"
ALPHABET: Final = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters"
LENGTH: Final = "'$insert_id' is invalid: must have 1 to 36 bytes"
NO_PLACE: Final = "'properties.distinct_id' is invalid: must not be a placeholder"
NO_TEXT: Final = "'properties.distinct_id' is invalid: must be a string"
DEEP: Final = "'properties.o' is invalid: objects must not be nested deeper than 3"
FLAT: Final = "'properties.o' is invalid: objects in a list must be flat"
OBJECT_KEYS: Final = "'properties.o' is invalid: objects must have fewer than 255 keys"
ELEMENTS: Final = "'properties.o' is invalid: lists must have fewer than 255 elements"
PROPERTIES: Final = "'properties' is invalid: must have fewer than 255 properties"
NO_OBJECT: Final = "'properties' is invalid: must be an object"
MEGABYTE: Final = "the event is invalid: must be smaller than 1 MB"

REFUSED: Final = [
    pytest.param({"properties": event()["properties"]}, "event", MISSING_NAME, id="R23 no event"),
    pytest.param(event(""), "event", MISSING_NAME, id="R23 empty event"),
    pytest.param(event(" \t\n"), "event", MISSING_NAME, id="R23 blank event"),
    pytest.param({**event(), "event": 7}, "event", MISSING_NAME, id="R23 number as event"),
    pytest.param({**event(), "event": None}, "event", MISSING_NAME, id="R23 null as event"),
    pytest.param({"event": "a"}, "properties", NO_OBJECT, id="R24 no properties"),
    pytest.param({"event": "a", "properties": []}, "properties", NO_OBJECT, id="R24 list as properties"),
    pytest.param({"event": "a", "properties": "{}"}, "properties", NO_OBJECT, id="R24 text as properties"),
    pytest.param({"event": "a", "properties": None}, "properties", NO_OBJECT, id="R24 null as properties"),
    pytest.param(without("time"), TIME, "'properties.time' is invalid: must not be missing", id="R25 no time"),
    pytest.param(event(time="1767225600"), TIME, NO_NUMBER, id="R26 D28 digits in a string"),
    pytest.param(event(time="2026-01-01T00:00:00"), TIME, NO_NUMBER, id="R26 date in a string"),
    pytest.param(event(time=True), TIME, NO_NUMBER, id="R26 bool"),
    pytest.param(event(time=[NOW]), TIME, NO_NUMBER, id="R26 list"),
    pytest.param(event(time={}), TIME, NO_NUMBER, id="R26 object"),
    pytest.param(event(time=NOW + HOUR + 1), TIME, FUTURE, id="R27 D8 an hour and a millisecond ahead"),
    pytest.param(event(time=NOW // 1000 + 3601), TIME, FUTURE, id="R27 an hour and a second ahead in seconds"),
    pytest.param(event(time=99_999_999_999), TIME, FUTURE, id="R27 the last number that counts as seconds"),
    pytest.param(event(time=1e308), TIME, FUTURE, id="R27 as far ahead as a float reaches"),
    pytest.param(event(time=31_535_999), TIME, EARLY, id="R29 D9 a second before 1971"),
    pytest.param(event(time=31_535_999.9), TIME, EARLY, id="R29 a part of a second before 1971"),
    pytest.param(event(time=0), TIME, EARLY, id="R29 zero"),
    pytest.param(event(time=-1), TIME, EARLY, id="R29 before the epoch"),
    pytest.param(event(time=-1e308), TIME, EARLY, id="R29 as far back as a float reaches"),
    pytest.param(
        without("distinct_id"), ID, "'properties.distinct_id' is invalid: must not be missing", id="R32 D10 no id"
    ),
    pytest.param(event(distinct_id=None), ID, NO_TEXT, id="R35 null as id"),
    pytest.param(event(distinct_id=True), ID, NO_TEXT, id="R35 bool as id"),
    pytest.param(event(distinct_id=[]), ID, NO_TEXT, id="R35 list as id"),
    pytest.param(event(distinct_id={}), ID, NO_TEXT, id="R35 object as id"),
    pytest.param(event(distinct_id=0), ID, NO_PLACE, id="R35 0 as a number"),
    pytest.param(event(distinct_id=-1), ID, NO_PLACE, id="R35 -1 as a number"),
    pytest.param(event(distinct_id="  null "), ID, NO_PLACE, id="R35 white space around a placeholder"),
    *[pytest.param(event(distinct_id=each), ID, NO_PLACE, id=f"R36 {each}") for each in PLACEHOLDERS],
    *[pytest.param(event(distinct_id=each.title()), ID, NO_PLACE, id=f"R35 {each.title()}") for each in PLACEHOLDERS],
    *[pytest.param(event(distinct_id=each.upper()), ID, NO_PLACE, id=f"R35 {each.upper()}") for each in PLACEHOLDERS],
    pytest.param(
        without("$insert_id"), "$insert_id", "'$insert_id' is invalid: must not be missing", id="R40 no insert_id"
    ),
    pytest.param(
        event(**{"$insert_id": None}), "$insert_id", "'$insert_id' is invalid: must not be missing", id="R40 null"
    ),
    pytest.param(
        event(**{"$insert_id": 17}), "$insert_id", "'$insert_id' is invalid: must be a string", id="R41 number"
    ),
    pytest.param(event(**{"$insert_id": "a_b"}), "$insert_id", ALPHABET, id="R41 underscore"),
    pytest.param(event(**{"$insert_id": "a:b"}), "$insert_id", ALPHABET, id="R41 colon"),
    pytest.param(event(**{"$insert_id": "a b"}), "$insert_id", ALPHABET, id="R41 space"),
    pytest.param(event(**{"$insert_id": "a\n"}), "$insert_id", ALPHABET, id="R41 newline at the end"),
    pytest.param(event(**{"$insert_id": "é"}), "$insert_id", ALPHABET, id="R41 accent"),
    pytest.param(event(**{"$insert_id": "٣"}), "$insert_id", ALPHABET, id="R41 digit of another script"),
    pytest.param(event(**{"$insert_id": ""}), "$insert_id", LENGTH, id="R42 empty"),
    pytest.param(event(**{"$insert_id": "a" * 37}), "$insert_id", LENGTH, id="R42 37 bytes"),
    *[
        pytest.param(
            event(**{"$insert_id": each}),
            "$insert_id",
            "'$insert_id' is invalid: must not be a placeholder",
            id=f"R43 {each}",
        )
        for each in PLACEHOLDERS
        if each not in ("n/a", "<nil>", "[]", "{}")
    ],
    pytest.param(event(**{"$insert_id": "n/a"}), "$insert_id", ALPHABET, id="R43 n/a"),
    pytest.param(event(**{"$insert_id": "{}"}), "$insert_id", ALPHABET, id="R43 braces"),
    pytest.param(event(a="\ud800"), "properties.a", f"properties.a {NOT_TEXT}", id="R13 lone surrogate"),
    pytest.param(event(a=["x", "\udfff"]), "properties.a", f"properties.a {NOT_TEXT}", id="R13 in a list"),
    pytest.param(event(a={"k": "\ud800"}), "properties.a", f"properties.a {NOT_TEXT}", id="R13 in an object"),
    pytest.param(
        event(ok=["é", {"é": "é"}], fine={"é": 1}, a={"é": "é", "k": ["\ud800"]}),
        "properties.a",
        f"properties.a {NOT_TEXT}",
        id="R13 after text that is well",
    ),
    pytest.param(event(a={"\ud800": 1}), "properties.a", f"properties.a {NOT_TEXT}", id="R13 as an inner name"),
    pytest.param(event(**{"\ud800": 1}), "properties.?", f"properties.? {NOT_TEXT}", id="R13 as a name"),
    pytest.param(event("\ud800"), "event", f"'event' {NOT_TEXT}", id="R13 as the event"),
    pytest.param(of_size(1_000_000), "", MEGABYTE, id="R44 1,000,000 bytes"),
    pytest.param(event(**names(251)), "properties", PROPERTIES, id="R45 D2 255 properties"),
    pytest.param(event(o=names(255)), "properties.o", OBJECT_KEYS, id="R46 255 keys"),
    pytest.param(event(o={"k": names(255)}), "properties.o", OBJECT_KEYS, id="R46 255 keys deeper"),
    pytest.param(event(o=[names(255)]), "properties.o", OBJECT_KEYS, id="R46 255 keys in a list"),
    pytest.param(event(o=objects(4)), "properties.o", DEEP, id="R47 D13 depth 4"),
    pytest.param(event(o={"k": {"k": {"k": [{}]}}}), "properties.o", DEEP, id="R47 depth 4 through a list"),
    pytest.param(event(o=[{"k": {}}]), "properties.o", FLAT, id="R47 object in an object of a list"),
    pytest.param(event(o=[[{"k": []}]]), "properties.o", FLAT, id="R47 list in an object of a list of a list"),
    pytest.param(event(o=[0] * 255), "properties.o", ELEMENTS, id="R48 255 elements"),
    pytest.param(event(o={"k": [0] * 255}), "properties.o", ELEMENTS, id="R48 255 elements deeper"),
    pytest.param(event(o=[[0] * 255]), "properties.o", ELEMENTS, id="R48 255 elements in a list"),
]


@pytest.mark.parametrize(("record", "field", "message"), REFUSED)
def test_a_strict_import_names_the_record_it_refuses_and_takes_the_other(
    record: Record, field: str, message: str
) -> None:
    state, reply = post_import([record, event(**{"$insert_id": "other"})])
    properties = record.get("properties")
    given = properties.get("$insert_id") if isinstance(properties, dict) else None
    insert_id = given if isinstance(given, str) else ""
    assert said(reply) == failed([row(field, message, insert_id=insert_id)], good=1)
    refused, stored = state.events.entries
    assert (refused.fate, refused.reason, stored.fate) == (Fate.REFUSED, message, Fate.STORED)


ACCEPTED: Final = [
    pytest.param(event(time=31_536_000), id="R30 D9 the first second of 1971"),
    pytest.param(event(time=31_536_000.0), id="R30 as a float"),
    pytest.param(event(time=100_000_000_000), id="R31 the first number that counts as milliseconds"),
    pytest.param(event(time=NOW + HOUR), id="R28 D8 an hour ahead"),
    pytest.param(event(time=NOW // 1000 + 3600), id="R28 an hour ahead in seconds"),
    pytest.param(event(time=NOW - 3650 * DAY), id="R30 ten years old"),
    pytest.param(event(distinct_id=""), id="R34 empty id"),
    pytest.param(event(distinct_id=" "), id="R34 blank id"),
    pytest.param(event(distinct_id="anonymous-17"), id="R37 begins with a placeholder"),
    pytest.param(event(distinct_id="null@example.com"), id="R37 begins with null"),
    pytest.param(event(distinct_id="a-0"), id="R37 ends with a placeholder"),
    pytest.param(event(distinct_id=17), id="R37 number as id"),
    pytest.param(event(distinct_id="x" * 256), id="R38 256 characters"),
    pytest.param(event(**{"$insert_id": "a" * 36}), id="R42 36 bytes"),
    pytest.param(event(**{"$insert_id": "A"}), id="R42 one byte"),
    pytest.param(event(**{"$insert_id": "-"}), id="R42 a hyphen"),
    pytest.param(of_size(999_999), id="R44 999,999 bytes"),
    pytest.param(event(**names(250)), id="R45 D2 254 properties"),
    pytest.param(event(o=names(254)), id="R46 254 keys"),
    pytest.param(event(o=objects(3)), id="R47 D13 depth 3"),
    pytest.param(event(o=[{"k": 1}, {"k": 2}]), id="R47 flat objects in a list"),
    pytest.param(event(o={"k": {"k": [{"k": 1}]}}), id="R47 a list adds no depth"),
    pytest.param(event(o=[0] * 254), id="R48 254 elements"),
    pytest.param({**event(), "more": 1}, id="R24 another name beside event and properties"),
]


@pytest.mark.parametrize("record", ACCEPTED)
def test_a_strict_import_takes_what_is_within_the_limits(record: Record) -> None:
    state, reply = post_import([record])
    assert said(reply) == imported(1)
    assert fates(state) == [Fate.STORED]


@pytest.mark.parametrize(
    ("record", "field"),
    [
        pytest.param({"event": "", "properties": []}, "event", id="event before properties"),
        pytest.param({"event": "a", "properties": {}}, TIME, id="time before distinct_id"),
        pytest.param({"event": "a", "properties": {"time": NOW}}, ID, id="distinct_id before insert_id"),
        pytest.param(event(**{"$insert_id": "_", "a": "\ud800"}), "$insert_id", id="insert_id before text"),
        pytest.param(event(a="\ud800", pad="x" * 1_000_000), "properties.a", id="text before size"),
        pytest.param(event(pad="x" * 1_000_000, **names(300)), "", id="size before properties"),
        pytest.param(event(o=objects(4), **names(300)), "properties", id="properties before nesting"),
    ],
)
def test_of_several_broken_rules_the_first_one_is_named(record: Record, field: str) -> None:
    _, reply = post_import([record])
    (only,) = json.loads(reply.body)["failed_records"]
    assert only["field"] == field


def test_rule_13_bytes_that_are_no_utf_8_refuse_the_record_and_not_the_request() -> None:
    body = json.dumps([event(a="here"), event("Other")]).encode().replace(b'"here"', b'"\xff\xfe"')
    state, reply = post_import(body)
    assert said(reply) == failed([row("properties.a", f"properties.a {NOT_TEXT}")], good=1)
    assert fates(state) == [Fate.REFUSED, Fate.STORED]


def test_a_large_integer_is_no_text_that_is_wrong() -> None:
    state, reply = post_import([event(n=10**30), event(a="\ud800")])
    assert said(reply) == failed([row("properties.a", f"properties.a {NOT_TEXT}", index=1)], good=1)
    assert fates(state) == [Fate.STORED, Fate.REFUSED]


@pytest.mark.parametrize("record", [7, "event", None, True, [], [event()], 0.5])
def test_rule_23_a_record_that_is_no_object_has_no_event(record: JSON) -> None:
    state, reply = post_import([record, event()])
    assert said(reply) == failed([row("event", MISSING_NAME, insert_id="")], good=1)
    assert fates(state) == [Fate.REFUSED, Fate.STORED]


# What is stored.


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(NOW + 1, id="R28 a millisecond ahead"),
        pytest.param(NOW + HOUR, id="R28 an hour ahead"),
        pytest.param(NOW // 1000 + 1, id="R28 a second ahead"),
    ],
)
def test_a_time_within_the_next_hour_becomes_now(time: int) -> None:
    state, _ = post_import([event(time=time)])
    kept = only_event(state)
    assert (kept.time, kept.properties["time"]) == (NOW, NOW)
    assert kept.notes == ("properties['time'] is in the future and was overwritten with the time of arrival",)


@pytest.mark.parametrize(
    ("time", "milliseconds"),
    [
        pytest.param(NOW, NOW, id="R31 milliseconds"),
        pytest.param(NOW // 1000, NOW, id="R31 seconds"),
        pytest.param(NOW / 1000, NOW, id="R31 float of seconds"),
        pytest.param(NOW / 1000 - 0.25, NOW - 250, id="R31 parts of a second"),
        pytest.param(100_000_000_000, 100_000_000_000, id="R31 the first milliseconds"),
        pytest.param(31_536_000, 31_536_000_000, id="R30 the first second of 1971"),
    ],
)
def test_the_unit_of_a_time_is_told_by_its_size(time: float, milliseconds: int) -> None:
    state, _ = post_import([event(time=time)])
    assert only_event(state).time == milliseconds


def test_rule_60_what_was_imported_says_so() -> None:
    state, _ = post_import([event()])
    assert only_event(state).properties == {
        "distinct_id": "user-1",
        "time": NOW,
        "$insert_id": "insert-1",
        "$import": True,
    }


def test_rule_34_an_event_with_an_empty_id_belongs_to_nobody() -> None:
    state, _ = post_import([event(distinct_id="")])
    assert (only_event(state).distinct_id, only_event(state).properties["distinct_id"]) == ("", "")


@pytest.mark.parametrize("name", ["$device_id", "$user_id"])
def test_rule_33_a_simplified_project_takes_a_device_or_a_user_for_the_id(name: str) -> None:
    record = without("distinct_id", **{name: "x-1"})
    state, reply = post_import([record], state=SIMPLIFIED)
    assert said(reply) == imported(1)
    assert only_event(state).distinct_id == {"$device_id": "$device:x-1", "$user_id": "x-1"}[name]


def test_rule_32_a_simplified_project_wants_one_of_the_ids_and_an_original_one_its_own() -> None:
    _, reply = post_import([without("distinct_id")], state=SIMPLIFIED)
    assert said(reply) == failed([row(ID, "'properties.distinct_id' is invalid: must not be missing")])
    _, reply = post_import([without("distinct_id", **{"$device_id": "x-1", "$user_id": "user-1"})])
    assert said(reply) == failed([row(ID, "'properties.distinct_id' is invalid: must not be missing")])


@pytest.mark.parametrize(
    ("query", "properties", "is_located"),
    [
        pytest.param("strict=1", {}, True, id="D11 no ip at all"),
        pytest.param("strict=1&ip=1", {}, True, id="D11 ip=1"),
        pytest.param("strict=1&ip=0", {}, False, id="D11 ip=0"),
        pytest.param("strict=1", {"ip": 0}, False, id="D11 ip 0 as a property"),
        pytest.param("strict=1", {"ip": "0"}, False, id="D11 ip 0 as text"),
        pytest.param("strict=1", {"$latitude": 1.5, "$longitude": 2.5}, False, id="R85 latitude and longitude"),
    ],
)
def test_an_import_is_located_by_its_address_unless_ip_is_0(query: str, properties: Record, is_located: bool) -> None:
    state, _ = post(f"/import?{query}", [event(**properties)], address=PUBLIC_ADDRESS, authorization=BY_TOKEN)
    city, region, country = place_of(PUBLIC_ADDRESS)
    expected = {"$city": city, "$region": region, "mp_country_code": country} if is_located else {}
    found = only_event(state).properties
    assert {name: found[name] for name in ("$city", "$region", "mp_country_code") if name in found} == expected
    assert "ip" not in found


# The answers.


@pytest.mark.parametrize(
    ("count", "bad_at", "answer"),
    [
        pytest.param(3, {1}, failed([row(TIME, NO_NUMBER, index=1)], 2), id="R49 D5 one of three"),
        pytest.param(2, {0, 1}, failed([row(TIME, NO_NUMBER), row(TIME, NO_NUMBER, index=1)]), id="R50 all"),
        pytest.param(3, set[int](), imported(3), id="R51 none"),
    ],
)
def test_a_strict_import_counts_what_it_took(count: int, bad_at: set[int], answer: Said) -> None:
    records: list[JSON] = [event(time="now" if index in bad_at else NOW) for index in range(count)]
    state, reply = post_import(records)
    assert said(reply) == answer
    assert fates(state) == [Fate.REFUSED if index in bad_at else Fate.STORED for index in range(count)]


BAD_TIME: Final = event(time="now")
FORM_GOOD: Final = (200, JSON_TYPE, b'{"error":null,"status":1}')
FORM_BAD: Final = compact(200, {"error": INVALID, "status": 0})
NO_EVENT: Final[Record] = {}
NO_PROPERTIES: Final[Record] = {"event": "a"}
PARTLY: Final[Record] = {"code": 200, "error": INVALID, "num_records_imported": 1, "status": 0}
NOTHING: Final[Record] = {"code": 200, "error": INVALID, "num_records_imported": 0, "status": 0}


@pytest.mark.parametrize(
    ("query", "is_form", "records", "answer"),
    [
        pytest.param("strict=1", False, [event()], imported(1), id="R51 strict"),
        pytest.param("strict=1&verbose=1", False, [event()], imported(1, 1), id="R51 strict and verbose"),
        pytest.param("strict=1", True, [event()], imported(1), id="R51 strict as a form"),
        pytest.param("", False, [event()], ONE, id="R57 D23 absent is not strict"),
        pytest.param("strict=0", False, [event()], ONE, id="R57 all good"),
        pytest.param("strict=0", False, [BAD_TIME], ONE, id="R57 D32 only the structure counts"),
        pytest.param("strict=0", False, [NO_EVENT, event()], ONE, id="R57 one of two"),
        pytest.param("strict=0", False, [NO_EVENT], NONE, id="R57 D32 nothing usable"),
        pytest.param("strict=0", False, [NO_PROPERTIES], NONE, id="R57 D32 no properties"),
        pytest.param("strict=0", True, [NO_EVENT], NONE, id="R57 nothing usable as a form"),
        pytest.param("verbose=1", False, [event()], imported(1, 1), id="R58 all good"),
        pytest.param("strict=0&verbose=1", False, [NO_EVENT, event()], compact(200, PARTLY), id="R58 one of two"),
        pytest.param("verbose=1", False, [NO_EVENT], compact(200, NOTHING), id="R58 nothing usable"),
        pytest.param("verbose=1", True, [event()], FORM_GOOD, id="R58 all good as a form"),
        pytest.param("verbose=1", True, [NO_EVENT, event()], FORM_BAD, id="R58 one of two as a form"),
        pytest.param("verbose=2", True, [NO_EVENT], FORM_BAD, id="R58 D22 verbose=2"),
        pytest.param("strict=0&callback=f&img=1", False, [event()], ONE, id="R57 unknown parameters are ignored"),
    ],
)
def test_the_answer_has_the_form_that_was_asked_for(
    query: str, is_form: bool, records: list[JSON], answer: Said
) -> None:
    content_type = FORM_TYPE if is_form else JSON_TYPE
    body: JSON | bytes = b"data=" + base64.b64encode(json.dumps(records).encode()) if is_form else records
    state, reply = post_import(body, query, content_type=content_type)
    assert said(reply) == answer
    assert fates(state) == [Fate.REFUSED if record in (NO_EVENT, NO_PROPERTIES) else Fate.STORED for record in records]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(event(time="now"), id="D32 time that is none"),
        pytest.param(without("$insert_id"), id="D32 no insert_id"),
        pytest.param(event(distinct_id="null"), id="D32 placeholder"),
        pytest.param(event(o=objects(4)), id="D32 nesting"),
        pytest.param(event(time=NOW + DAY), id="D32 tomorrow"),
        pytest.param(event(time=-1e308), id="D32 as far back as a float reaches"),
        pytest.param(event(distinct_id={}), id="D32 object as id"),
    ],
)
def test_without_strict_only_event_and_properties_decide(record: Record) -> None:
    state, reply = post_import([record], "strict=0")
    assert said(reply) == ONE
    assert fates(state) == [Fate.STORED]
    assert only_event(state).properties["$import"] is True


def test_without_strict_a_time_that_is_none_becomes_the_time_of_arrival() -> None:
    state, _ = post_import([event(time="now")], "")
    assert (only_event(state).time, only_event(state).properties["time"]) == (NOW, NOW)


# Forms of a body.


def lines(*records: Record, end: str = "") -> bytes:
    return ("\n".join(json.dumps(record) for record in records) + end).encode()


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_rule_55_one_event_a_line_is_the_same_as_a_list(end: str) -> None:
    records = event(), BAD_TIME, event("Other")
    by_list, list_reply = post_import(list[JSON](records))
    by_lines, lines_reply = post_import(lines(*records, end=end), content_type=LINES_TYPE)
    assert said(lines_reply) == said(list_reply)
    assert by_lines.events == by_list.events


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(json.dumps([event(), BAD_TIME]).encode(), JSON_TYPE, id="R56 list"),
        pytest.param(lines(event(), BAD_TIME), LINES_TYPE, id="R56 lines"),
        pytest.param(b"data=" + base64.b64encode(zipped([event()])), FORM_TYPE, id="R56 form that cannot be read"),
        pytest.param(b"data=[]", FORM_TYPE, id="R56 empty form"),
    ],
)
def test_a_compressed_body_is_the_same_as_a_plain_one(body: bytes, content_type: str) -> None:
    plain, plain_reply = post_import(body, content_type=content_type)
    packed, packed_reply = post_import(gzip.compress(body), content_type=content_type, content_encoding="gzip")
    assert said(packed_reply) == said(plain_reply)
    assert packed.events == plain.events


def test_one_gzip_stream_may_follow_another() -> None:
    body = json.dumps([event()]).encode()
    halves = gzip.compress(body[:20]) + gzip.compress(body[20:])
    _, reply = post_import(halves, content_encoding="GZIP")
    assert said(reply) == imported(1)


# The size of a request.


def padded(size: int) -> bytes:
    record = json.dumps(event()).encode()
    return b"[" + record + b" " * (size - len(record) - 2) + b"]"


@pytest.mark.parametrize(
    ("body", "encoding", "answer"),
    [
        pytest.param(padded(MAX_BODY), "", imported(1), id="R7 D1 as long as it may be"),
        pytest.param(padded(MAX_BODY + 1), "", TOO_LARGE, id="R7 D1 one byte more"),
        pytest.param(gzip.compress(padded(MAX_BODY)), "gzip", imported(1), id="R8 as long as it may be"),
        pytest.param(gzip.compress(padded(MAX_BODY + 1)), "gzip", TOO_LARGE, id="R8 one byte more"),
        pytest.param(gzip.compress(b" " * 50_000_000), "gzip", TOO_LARGE, id="R8 a bomb"),
        pytest.param(b"x" * (MAX_BODY + 1), "", TOO_LARGE, id="R7 before it is read"),
        pytest.param(b"x" * MAX_BODY, "", bad_request("the body is not valid JSON"), id="R7 not too long but no JSON"),
    ],
)
def test_the_size_that_counts_is_the_uncompressed_one(body: bytes, encoding: str, answer: Said) -> None:
    state, reply = post_import(body, content_encoding=encoding)
    assert said(reply) == answer
    assert len(state.events.entries) == (reply.status == 200)


def test_the_size_of_a_request_is_a_setting() -> None:
    state = State(settings=Settings(max_body_bytes=500))
    assert said(post_import(padded(500), state=state)[1]) == imported(1)
    _, reply = post_import(padded(501), state=state)
    assert json.loads(reply.body)["error"] == "request exceeds max limit of 500 bytes"


@pytest.mark.parametrize(
    ("count", "answer"),
    [
        pytest.param(0, bad_request("request must hold at least one event"), id="R4 none"),
        pytest.param(2000, imported(2000), id="R6 2000"),
        pytest.param(2001, bad_request("request exceeds max limit of 2000 events"), id="R6 2001"),
    ],
)
def test_a_request_holds_1_to_2000_events(count: int, answer: Said) -> None:
    state, reply = post_import([event()] * count)
    assert said(reply) == answer
    assert len(state.events.entries) == (count if reply.status == 200 else 0)


@pytest.mark.parametrize(
    ("body", "content_type", "encoding"),
    [
        pytest.param(b"", JSON_TYPE, "", id="nothing"),
        pytest.param(b" ", "", "", id="white space"),
        pytest.param(b"", LINES_TYPE, "", id="no line"),
        pytest.param(b"[", JSON_TYPE, "", id="cut off"),
        pytest.param(b"[NaN]", JSON_TYPE, "", id="NaN"),
        pytest.param(b"[1e999]", JSON_TYPE, "", id="infinite"),
        pytest.param(json.dumps(event()).encode(), JSON_TYPE, "", id="no list"),
        pytest.param(b'"[]"', JSON_TYPE, "", id="text"),
        pytest.param(lines(event()) + b"\n{", LINES_TYPE, "", id="a line that is cut off"),
        pytest.param(json.dumps([event()]).encode(), JSON_TYPE, "gzip", id="not gzip"),
        pytest.param(zipped([event()])[:-9], JSON_TYPE, "gzip", id="half of gzip"),
        pytest.param(zipped([event()])[:-1], JSON_TYPE, "gzip", id="gzip without its last byte"),
        pytest.param(zipped([event()]) + b"more", JSON_TYPE, "gzip", id="more than gzip"),
        pytest.param(zipped([event()])[:12] + b"\xff" * 40, JSON_TYPE, "gzip", id="gzip with rubbish inside"),
        pytest.param(zipped([event()]), JSON_TYPE, "br", id="another encoding"),
        pytest.param(zipped([event()]), JSON_TYPE, "", id="compressed without saying so"),
        pytest.param(b"data=%21", FORM_TYPE, "", id="form with rubbish"),
        pytest.param(b"verbose=1", FORM_TYPE, "", id="form without data"),
    ],
)
def test_what_cannot_be_read_is_a_bad_request_without_failed_records(
    body: bytes, content_type: str, encoding: str
) -> None:
    state, reply = post_import(body, content_type=content_type, content_encoding=encoding)
    answer = json.loads(reply.body)
    assert (reply.status, answer.keys()) == (400, {"code", "error", "num_records_imported", "status"})
    assert state.events.entries == ()


# Who may.

ACCOUNT: Final = Settings(
    token=TOKEN, username="service-1", secret="secret-1", project_id="17", project_secret="old-secret"
)


@pytest.mark.parametrize(
    ("authorization", "query", "is_let_in"),
    [
        pytest.param(basic("service-1:secret-1"), "project_id=17", True, id="R17 D24 account with project_id"),
        pytest.param(basic("service-1:secret-1"), "", False, id="R17 account without project_id"),
        pytest.param(basic("service-1:secret-1"), "project_id=", False, id="R17 account with empty project_id"),
        pytest.param(basic("service-1:secret-1"), "project_id=18", False, id="R18 another project"),
        pytest.param(basic("service-1:secret-2"), "project_id=17", False, id="R18 wrong secret"),
        pytest.param(basic("service-2:secret-1"), "project_id=17", False, id="R18 wrong account"),
        pytest.param(basic("service-1:secret-1:more"), "project_id=17", False, id="R18 more than the secret"),
        pytest.param(basic(f"{TOKEN}:"), "", True, id="R19 token"),
        pytest.param(basic("old-secret:"), "", True, id="R19 project secret"),
        pytest.param(basic("another:"), "", False, id="R19 another token"),
        pytest.param(basic(TOKEN), "", False, id="R19 token without its colon"),
        pytest.param(basic(":"), "", False, id="R19 nobody"),
        pytest.param(basic(f"{TOKEN}:"), "project_id=17", False, id="R20 token with project_id"),
        pytest.param(basic("old-secret:"), "project_id=17", False, id="R20 project secret with project_id"),
        pytest.param("", "", False, id="R21 nothing"),
        pytest.param("Basic", "", False, id="R21 only the scheme"),
        pytest.param("Basic !!!", "", False, id="R21 no base64"),
        pytest.param("Basic " + base64.b64encode(b"\xff:").decode(), "", False, id="R21 no text"),
        pytest.param(basic(f"{TOKEN}:").replace("Basic", "basic"), "", True, id="R19 scheme in small letters"),
        pytest.param(basic(f"{TOKEN}:").replace("Basic", "Bearer"), "", False, id="R21 Bearer"),
        pytest.param("Bearer some-token", "project_id=17", False, id="R21 Bearer with project_id"),
        pytest.param("", "api_key=old-secret", False, id="R22 api_key"),
    ],
)
def test_an_import_needs_credentials(authorization: str, query: str, is_let_in: bool) -> None:
    state = State(settings=ACCOUNT)
    state, reply = post_import([event()], f"strict=1&{query}", state=state, authorization=authorization)
    assert said(reply) == (imported(1) if is_let_in else UNAUTHORIZED)
    assert len(state.events.entries) == is_let_in


def test_rule_22_an_api_key_in_a_form_opens_nothing() -> None:
    body = b"api_key=old-secret&data=" + base64.b64encode(json.dumps([event()]).encode())
    _, reply = post_import(body, content_type=FORM_TYPE, authorization="")
    assert said(reply) == UNAUTHORIZED


@pytest.mark.parametrize(
    ("authorization", "query"),
    [(basic("anybody:anything"), "project_id=1"), (basic("any-token:"), "")],
    ids=["account", "token"],
)
def test_without_settings_any_credentials_of_the_right_form_will_do(authorization: str, query: str) -> None:
    _, reply = post_import([event()], f"strict=1&{query}", authorization=authorization)
    assert said(reply) == imported(1)


def test_rule_17_without_settings_an_account_needs_its_project_id_all_the_same() -> None:
    _, reply = post_import([event()], authorization=basic("anybody:anything"))
    assert said(reply) == UNAUTHORIZED


def test_with_a_token_and_no_project_secret_only_that_token_is_let_in() -> None:
    state = State(settings=Settings(token=TOKEN))
    users = (TOKEN, "another")
    statuses = [post_import([event()], state=state, authorization=basic(f"{user}:"))[1].status for user in users]
    assert statuses == [200, 401]


def test_rule_98_a_merge_without_credentials_is_unauthorized() -> None:
    state, reply = post_import([MERGE], authorization="")
    assert said(reply) == UNAUTHORIZED
    assert state.identities == EMPTY.identities


# Identity commands.


@pytest.mark.parametrize("command", [IDENTIFY, ALIAS, MERGE], ids=lambda command: str(command["event"]))
def test_rule_59_a_simplified_project_refuses_the_whole_batch_with_strings(command: Record) -> None:
    state, reply = post_import([event(), command, BAD_TIME, command], state=SIMPLIFIED)
    assert said(reply) == failed([SIMPLE, SIMPLE])
    assert fates(state) == [Fate.REFUSED] * 4
    assert state.identities == EMPTY.identities


@pytest.mark.parametrize("command", [IDENTIFY, ALIAS, MERGE], ids=lambda command: str(command["event"]))
@pytest.mark.parametrize(
    ("state", "query", "fate"),
    [
        pytest.param(SIMPLIFIED, "strict=0", Fate.IGNORED, id="R59 D14 simplified without strict"),
        pytest.param(EMPTY, "strict=1", Fate.STORED, id="D6 original with strict"),
        pytest.param(EMPTY, "strict=0", Fate.STORED, id="original without strict"),
    ],
)
def test_identity_commands_in_their_minimal_form_are_taken(
    command: Record, state: State, query: str, fate: Fate
) -> None:
    state, reply = post_import([command], query, state=state)
    assert said(reply) == (imported(1) if query == "strict=1" else ONE)
    assert fates(state) == [fate]


@pytest.mark.parametrize(
    ("command", "field", "message"),
    [
        ("$merge", "properties.$distinct_ids", "$distinct_ids, must be two ids"),
        ("$identify", "properties.$identified_id", "$identified_id, missing or empty"),
        ("$create_alias", "properties.distinct_id", "distinct_id, missing or empty"),
    ],
)
@pytest.mark.parametrize("query", ["strict=1", "strict=0&verbose=1"])
def test_identity_commands_without_their_own_keys_are_refused(
    command: str, field: str, message: str, query: str
) -> None:
    record: Record = {"event": command, "properties": {"token": TOKEN}}
    state, reply = post_import([record], query)
    strict = failed([row(field, message, insert_id="")])
    assert said(reply) == (strict if query == "strict=1" else compact(200, NOTHING))
    assert fates(state) == [Fate.REFUSED]


# The rate, and what comes before what.


def test_more_than_so_many_events_in_a_minute_are_too_many() -> None:
    state = State(settings=Settings(events_per_minute=5))
    state, reply = post_import([event()] * 5, state=state)
    assert said(reply) == imported(5)
    before = state.events
    state, reply = post_import([event()], state=state, now=NOW + 59 * SECOND)
    assert said(reply) == TOO_MUCH
    assert state.events == before
    state, reply = post_import([event()] * 5, state=state, now=NOW + 60 * SECOND)
    assert said(reply) == imported(5)


def test_more_than_so_many_bytes_in_a_minute_are_too_many() -> None:
    body = padded(1000)
    state = State(settings=Settings(bytes_per_minute=2000))
    answers: list[int] = []
    for number in range(4):
        state, reply = post_import(gzip.compress(body), state=state, now=NOW + number, content_encoding="gzip")
        answers.append(reply.status)
    assert answers == [200, 200, 429, 429]


def test_a_bad_request_uses_up_the_rate() -> None:
    state = State(settings=Settings(events_per_minute=5))
    state, reply = post_import([BAD_TIME] * 5, state=state)
    assert reply.status == 400
    assert said(post_import([event()], state=state)[1]) == TOO_MUCH


FEW: Final = Settings(token=TOKEN, project_secret="old-secret", max_body_bytes=1000, events_per_minute=1)
SIMPLE_AND_FEW: Final = Settings(id_system="simplified", events_per_minute=1)
NO_ONE: Final = basic("nobody:")


@pytest.mark.parametrize(
    ("settings", "authorization", "body", "encoding", "status", "error"),
    [
        pytest.param(FEW, NO_ONE, b"x" * 2000, "gzip", 401, "Invalid credentials", id="credentials before gzip"),
        pytest.param(FEW, NO_ONE, b"x" * 2000, "", 401, "Invalid credentials", id="credentials before size"),
        pytest.param(FEW, BY_TOKEN, b"x" * 2000, "gzip", 400, "the body is not gzip", id="gzip before size"),
        pytest.param(
            FEW, BY_TOKEN, b"x" * 2000, "", 413, "request exceeds max limit of 1000 bytes", id="size before parsing"
        ),
        pytest.param(
            Settings(events_per_minute=1),
            BY_TOKEN,
            b"[" + b"{}," * 2000 + b"{}]",
            "",
            400,
            "request exceeds max limit of 2000 events",
            id="count before rate and validation",
        ),
        pytest.param(
            SIMPLE_AND_FEW,
            BY_TOKEN,
            json.dumps([MERGE, MERGE]).encode(),
            "",
            429,
            "Project exceeded rate limits. Please retry the request with exponential backoff.",
            id="rate before identity",
        ),
        pytest.param(
            Settings(id_system="simplified"),
            BY_TOKEN,
            json.dumps([NO_EVENT, MERGE]).encode(),
            "",
            400,
            INVALID,
            id="identity before validation",
        ),
    ],
)
def test_an_import_is_looked_at_in_this_order(
    settings: Settings, authorization: str, body: bytes, encoding: str, status: int, error: str
) -> None:
    state, reply = post_import(
        body, state=State(settings=settings), authorization=authorization, content_encoding=encoding
    )
    assert (reply.status, json.loads(reply.body)["error"]) == (status, error)
    assert Fate.STORED not in fates(state)


def test_only_post_imports() -> None:
    state, reply = post("/import?data=%5B%5D", [event()], method="GET", authorization=BY_TOKEN)
    assert (reply.status, state.events.entries) == (405, ())
