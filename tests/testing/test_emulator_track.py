"""
/track of the emulator: how records travel, what is answered, what becomes of an event; and which events are the same.

A test or a case is named for the rule of the protocol that it shows: R for a rule, D for a point where the sources
disagree and the emulator takes a side.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Final
from urllib.parse import quote, quote_plus, urlencode

import pytest
from emulator_calls import (
    BY_TOKEN,
    DAY,
    EMPTY,
    FORM_TYPE,
    GOOD,
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
    bad,
    event,
    fates,
    only_event,
    post,
    post_import,
    said,
    update,
    without,
)

from mixwire.core import JSON
from mixwire.testing.emulator import query_view
from mixwire.testing.events import place_of
from mixwire.testing.state import Fate, Settings, State

NO_DATA: Final = bad("data, missing or empty")
PROJECT: Final = State(settings=Settings(token=TOKEN))
IMAGE: Final = b"GIF89a"
TEXT: Final = "žluťoučký kůň 🐎 \u2028 + / = & % <>"


def text_of(records: JSON) -> bytes:
    return json.dumps(records, ensure_ascii=False).encode()


def form(data: bytes | str, **fields: str) -> bytes:
    return urlencode({"data": data, **fields}).encode()


def coded(records: JSON) -> bytes:
    return base64.b64encode(text_of(records))


def ip_and_place(state: State) -> dict[str, JSON]:
    names = ("ip", "$city", "$region", "mp_country_code")
    return {name: value for name, value in only_event(state).properties.items() if name in names}


def located(address: str) -> dict[str, JSON]:
    city, region, country = place_of(address)
    return {"$city": city, "$region": region, "mp_country_code": country}


# How records travel.

RECORD: Final = event(greeting=TEXT)
WRONG_PLUS: Final = coded(event(greeting="~~~>>>???")).decode()


@pytest.mark.parametrize(
    ("method", "target", "content_type", "body"),
    [
        pytest.param("POST", "/track", JSON_TYPE, text_of([RECORD]), id="R73 D4 R14 list as JSON"),
        pytest.param("POST", "/track", "application/json; charset=utf-8", text_of([RECORD]), id="R73 with a charset"),
        pytest.param("POST", "/track", JSON_TYPE, text_of(RECORD), id="R73 object as JSON"),
        pytest.param("POST", "/track", JSON_TYPE, json.dumps([RECORD]).encode(), id="R73 R14 escaped"),
        pytest.param("POST", "/track", "", text_of([RECORD]), id="R73 without a type"),
        pytest.param("POST", "/track", "text/plain", b" \n" + text_of([RECORD]), id="R73 as text"),
        pytest.param("POST", "/track", FORM_TYPE, form(text_of(RECORD)), id="R72 D4 R14 object in a form"),
        pytest.param("POST", "/track", FORM_TYPE, form(text_of([RECORD])), id="R72 list in a form"),
        pytest.param("POST", "/track", FORM_TYPE.upper(), form(text_of([RECORD])), id="R72 type in capitals"),
        pytest.param("POST", "/track", "text/plain", form(text_of([RECORD])), id="R72 form as text"),
        pytest.param("POST", "/track", "", form(coded(RECORD)), id="R72 R14 form without a type"),
        pytest.param("POST", "/track", FORM_TYPE, form(coded(RECORD)), id="R72 R14 object in base64"),
        pytest.param("POST", "/track", FORM_TYPE, form(coded([RECORD])), id="R72 R14 list in base64"),
        pytest.param("POST", "/track", FORM_TYPE, form(coded([RECORD]).rstrip(b"=")), id="R72 without padding"),
        pytest.param("POST", "/track", FORM_TYPE, form(b" \n" + coded([RECORD]) + b" "), id="R72 with white space"),
        pytest.param("POST", "/track", FORM_TYPE, form(b" " + text_of([RECORD])), id="R72 white space before JSON"),
        pytest.param("POST", "/track?" + form(coded(RECORD)).decode(), FORM_TYPE, b"", id="R72 query of a POST"),
        pytest.param("POST", "/track/", JSON_TYPE, text_of([RECORD]), id="R16 slash at the end"),
        pytest.param("GET", "/track?" + form(coded(RECORD)).decode(), "", b"", id="R72 GET in base64"),
        pytest.param("GET", "/track/?data=" + quote(text_of([RECORD])), "", b"", id="R72 GET as JSON"),
    ],
)
def test_an_event_is_the_same_however_it_travels(method: str, target: str, content_type: str, body: bytes) -> None:
    expected, _ = post("/track", [RECORD])
    state, reply = post(target, body, method=method, content_type=content_type)
    assert said(reply) == ONE
    assert state.events == expected.events
    assert only_event(state).properties["greeting"] == TEXT


def test_a_plus_in_base64_that_was_not_percent_encoded_is_read_from_the_space_it_became() -> None:
    assert "+" in WRONG_PLUS
    state, reply = post("/track", f"data={WRONG_PLUS}".encode(), content_type=FORM_TYPE)
    assert said(reply) == ONE
    assert only_event(state).properties["greeting"] == "~~~>>>???"


@pytest.mark.parametrize("target", ["/track", "/track/", "/import?strict=1", "/import/?strict=1"])
def test_rule_16_a_slash_at_the_end_makes_no_difference(target: str) -> None:
    state, reply = post(target, [event()], authorization=BY_TOKEN)
    assert (reply.status, fates(state)) == (200, [Fate.STORED])


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(JSON_TYPE, text_of([RECORD]), id="R56 list"),
        pytest.param(FORM_TYPE, form(text_of([RECORD])), id="R56 form"),
        pytest.param(FORM_TYPE, form(coded([RECORD])), id="R56 form in base64"),
    ],
)
def test_a_compressed_body_of_track_is_the_same_as_a_plain_one(content_type: str, body: bytes) -> None:
    expected, _ = post("/track", [RECORD])
    state, reply = post("/track", gzip.compress(body), content_type=content_type, content_encoding="gzip")
    assert said(reply) == ONE
    assert state.events == expected.events


# The answers.


def test_rule_61_without_verbose_the_answer_is_1() -> None:
    state, reply = post("/track", [event()])
    assert said(reply) == (200, "text/plain", b"1")
    assert fates(state) == [Fate.STORED]


def test_rule_62_with_verbose_the_answer_is_json() -> None:
    _, reply = post("/track?verbose=1", [event()])
    assert said(reply) == (200, "application/json", b'{"error": null, "status": 1}')


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(JSON_TYPE, b"", id="R63 nothing"),
        pytest.param(JSON_TYPE, b" \n", id="R63 white space"),
        pytest.param("", b"", id="R63 nothing without a type"),
        pytest.param(JSON_TYPE, b"[]", id="R63 empty list"),
        pytest.param(JSON_TYPE, b"[", id="R63 half a list"),
        pytest.param(JSON_TYPE, b'"text"', id="R63 text"),
        pytest.param(JSON_TYPE, b"7", id="R63 number"),
        pytest.param(JSON_TYPE, b"[NaN]", id="R63 NaN"),
        pytest.param(JSON_TYPE, b'[{"event":"a","properties":{"x":-Infinity}}]', id="R63 infinity"),
        pytest.param(LINES_TYPE, text_of(event()) + b"\n" + text_of(event()), id="R63 lines are for imports"),
        pytest.param(FORM_TYPE, b"", id="R63 empty form"),
        pytest.param(FORM_TYPE, b"data=", id="R63 empty data"),
        pytest.param(FORM_TYPE, b"data=+%20", id="R63 blank data"),
        pytest.param(FORM_TYPE, b"ip=0", id="R63 no data"),
        pytest.param(FORM_TYPE, b"data=!!!", id="R63 neither JSON nor base64"),
        pytest.param(FORM_TYPE, b"data=a", id="R63 base64 of an impossible length"),
        pytest.param(FORM_TYPE, b"data=" + base64.b64encode(b"rubbish"), id="R63 base64 of rubbish"),
        pytest.param(FORM_TYPE, b"data=" + base64.b64encode(b'"text"'), id="R63 base64 of text"),
        pytest.param(FORM_TYPE, b"data=%5B%5D", id="R63 empty list in a form"),
        pytest.param(FORM_TYPE, b"data=\xff\xfe", id="R63 bytes that are no text"),
    ],
)
def test_without_records_the_answer_says_that_data_is_missing(content_type: str, body: bytes) -> None:
    state, reply = post("/track?verbose=1", body, content_type=content_type)
    assert said(reply) == NO_DATA
    assert said(post("/track", body, content_type=content_type)[1]) == NONE
    assert state.events.entries == ()


@pytest.mark.parametrize(
    ("record", "error"),
    [
        pytest.param(without("token"), "token, missing or empty", id="R64 no token"),
        pytest.param(event(token=""), "token, missing or empty", id="R64 empty token"),
        pytest.param(event(token=None), "token, missing or empty", id="R64 null"),
        pytest.param(event(token=7), "token, missing or empty", id="R64 number"),
        pytest.param({"event": "a"}, "token, missing or empty", id="R64 no properties"),
        pytest.param({"event": "a", "properties": [TOKEN]}, "token, missing or empty", id="R64 list as properties"),
        pytest.param({"properties": {"token": TOKEN}}, "event, missing", id="R65 no event"),
        pytest.param(event(""), "event, missing", id="R65 empty event"),
        pytest.param(event("  "), "event, missing", id="R65 blank event"),
        pytest.param({**event(), "event": 7}, "event, missing", id="R65 number"),
        pytest.param({}, "event, missing", id="R65 nothing at all"),
        pytest.param(7, "event, missing", id="R65 number as the record"),
        pytest.param(None, "event, missing", id="R65 null as the record"),
        pytest.param([event()], "event, missing", id="R65 list as the record"),
    ],
)
def test_a_record_that_is_invalid_is_named_only_where_none_is_valid(record: JSON, error: str) -> None:
    state, reply = post("/track?verbose=1", [record])
    assert said(reply) == bad(error)
    assert said(post("/track", [record])[1]) == NONE
    assert (only_event(state).fate, only_event(state).reason) == (Fate.REFUSED, error)
    state, reply = post("/track?verbose=1", [record, event()])
    assert said(reply) == GOOD
    assert fates(state) == [Fate.REFUSED, Fate.STORED]


def test_rule_66_point_3_one_valid_record_among_others_is_success() -> None:
    state, reply = post("/track", [without("token"), event(), {}])
    assert said(reply) == ONE
    assert fates(state) == [Fate.REFUSED, Fate.STORED, Fate.REFUSED]


def test_the_first_error_is_the_one_that_is_told() -> None:
    _, reply = post("/track?verbose=1", [without("token"), {}])
    assert said(reply) == bad("token, missing or empty")


@pytest.mark.parametrize(
    ("count", "answer"),
    [pytest.param(2000, GOOD, id="2000"), pytest.param(2001, bad("too many events"), id="2001")],
)
def test_a_request_to_track_holds_2000_events(count: int, answer: Said) -> None:
    state, reply = post("/track?verbose=1", [event()] * count)
    assert said(reply) == answer
    assert len(state.events.entries) == (count if answer == GOOD else 0)


def test_that_there_are_too_many_is_told_before_what_is_wrong_with_them() -> None:
    _, reply = post("/track?verbose=1", [{}] * 2001)
    assert said(reply) == bad("too many events")


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        pytest.param(b" " * (MAX_BODY - 2) + b"[]", "", 200, id="as long as it may be"),
        pytest.param(b" " * (MAX_BODY - 1) + b"[]", "", 413, id="one byte more"),
        pytest.param(gzip.compress(b" " * (MAX_BODY - 2) + b"[]"), "gzip", 200, id="compressed"),
        pytest.param(gzip.compress(b" " * (MAX_BODY - 1) + b"[]"), "gzip", 413, id="compressed and one byte more"),
        pytest.param(b"x" * (MAX_BODY + 1), "gzip", 400, id="not gzip"),
        pytest.param(b"[]", "deflate", 400, id="another encoding"),
    ],
)
def test_compression_and_size_of_a_request_to_track_are_looked_at_first(
    body: bytes, encoding: str, status: int
) -> None:
    _, reply = post("/track?verbose=1", body, content_encoding=encoding)
    assert reply.status == status
    if status == 200:
        assert said(reply) == NO_DATA
    else:
        assert json.loads(reply.body)["error"]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        pytest.param("verbose=0", ONE, id="verbose=0"),
        pytest.param("verbose=", ONE, id="verbose without a value"),
        pytest.param("verbose=1", GOOD, id="verbose=1"),
        pytest.param("verbose=2", GOOD, id="D22 verbose=2"),
        pytest.param("verbose=0&verbose=1", GOOD, id="the last one counts"),
        pytest.param("test=1&redirect=http%3A%2F%2Fexample.com&anything", ONE, id="unknown parameters"),
        pytest.param("strict=1", ONE, id="strict has no effect"),
        pytest.param("callback=loaded", (200, "text/javascript", b"loaded(1);"), id="callback"),
        pytest.param(
            "callback=a.b_$9&verbose=1",
            (200, "text/javascript", b'a.b_$9({"error": null, "status": 1});'),
            id="callback and verbose",
        ),
        pytest.param("callback=alert(1)", ONE, id="callback that calls"),
        pytest.param("callback=a;b", ONE, id="callback that goes on"),
        pytest.param("callback=%3Cscript%3E", ONE, id="callback with a tag"),
        pytest.param("callback=f%0A", ONE, id="callback with a line break"),
        pytest.param("callback=%C3%A9", ONE, id="callback with an accent"),
        pytest.param("callback=", ONE, id="callback without a name"),
    ],
)
def test_the_query_says_what_the_answer_looks_like(query: str, answer: Said) -> None:
    assert said(post(f"/track?{query}", [event()])[1]) == answer


def test_a_failure_is_told_to_a_callback_too() -> None:
    _, reply = post("/track?callback=f&verbose=1", [{}])
    assert said(reply) == (200, "text/javascript", b'f({"error": "event, missing", "status": 0});')
    assert post("/track?callback=f", [{}])[1].body == b"f(0);"


@pytest.mark.parametrize("body", [[event()], [{}]], ids=["good", "bad"])
def test_an_image_is_the_answer_where_one_is_asked_for(body: JSON) -> None:
    _, reply = post("/track?img=1&verbose=1&callback=f", body)
    assert (reply.status, reply.content_type, reply.body[:6]) == (200, "image/gif", IMAGE)
    assert said(post("/track?img=0", [event()])[1]) == ONE


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        pytest.param(form(text_of(event()), verbose="1", ip="0"), GOOD, id="good"),
        pytest.param(form(coded({}), verbose="1"), bad("event, missing"), id="invalid record"),
        pytest.param(form("", verbose="1"), NO_DATA, id="R63 empty data"),
        pytest.param(b"verbose=1&ip=0", NO_DATA, id="R63 no data"),
        pytest.param(form("!", verbose="1"), NO_DATA, id="R63 rubbish"),
        pytest.param(form("[]", verbose="1"), NO_DATA, id="R63 empty list"),
        pytest.param(form(coded([event()] * 2001), verbose="1"), bad("too many events"), id="too many"),
    ],
)
def test_the_parameters_may_be_fields_of_a_form(body: bytes, answer: Said) -> None:
    assert said(post("/track", body, content_type=FORM_TYPE)[1]) == answer
    # A field counts more than the query.
    assert said(post("/track?verbose=0", body, content_type=FORM_TYPE)[1]) == answer


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_are_not_allowed(method: str) -> None:
    state, reply = post("/track", [event()], method=method)
    assert (reply.status, state.events.entries) == (405, ())


def test_a_target_that_is_too_long_is_answered_by_the_proxy_in_html() -> None:
    target = "/track?data="
    fits = target + "x" * (8192 - len(target))
    assert said(post(fits, b"", method="GET")[1]) == NONE
    _, reply = post(fits + "x", b"", method="GET")
    assert (reply.status, reply.content_type) == (414, "text/html")


# What becomes of an event.


@pytest.mark.parametrize(
    ("state", "record"),
    [
        pytest.param(PROJECT, event(token="another"), id="R67 another token"),
        pytest.param(PROJECT, event(token=TOKEN.upper()), id="R67 token in capitals"),
        pytest.param(EMPTY, event(time=NOW - 5 * DAY - SECOND), id="R68 5 days and a second old"),
        pytest.param(EMPTY, event(time=NOW - 5 * DAY - 1), id="R68 5 days and a millisecond old"),
        pytest.param(EMPTY, event(time=(NOW - 5 * DAY) // 1000 - 1), id="R68 5 days and a second old in seconds"),
        pytest.param(EMPTY, event(time=-1e308), id="R68 as old as a float reaches"),
        pytest.param(EMPTY, event(**{"$ignore": True}), id="R74 true"),
        pytest.param(EMPTY, event(**{"$ignore": "false"}), id="R74 text"),
    ],
)
def test_some_events_are_dropped_with_success(state: State, record: Record) -> None:
    state, reply = post("/track?verbose=1", [record], state=state)
    assert said(reply) == GOOD
    kept = only_event(state)
    assert (kept.fate, bool(kept.reason)) == (Fate.DROPPED, True)
    assert query_view(state) == ()


@pytest.mark.parametrize(
    ("state", "record", "time"),
    [
        pytest.param(PROJECT, event(), NOW, id="R67 the token of the project"),
        pytest.param(EMPTY, event(token="any"), NOW, id="R67 any token where none is set"),
        pytest.param(EMPTY, event(time=NOW - 5 * DAY), NOW - 5 * DAY, id="R68 exactly 5 days old"),
        pytest.param(EMPTY, event(time=NOW - 5 * DAY + HOUR), NOW - 5 * DAY + HOUR, id="R69 an hour less than 5 days"),
        pytest.param(EMPTY, event(time=NOW + 1), NOW, id="R70 a millisecond ahead"),
        pytest.param(EMPTY, event(time=NOW + 365 * DAY), NOW, id="R70 a year ahead"),
        pytest.param(EMPTY, event(time=1e308), NOW, id="R70 as far ahead as a float reaches"),
        pytest.param(EMPTY, without("time"), NOW, id="R71 no time"),
        pytest.param(EMPTY, event(time=None), NOW, id="R71 null"),
        pytest.param(EMPTY, event(time="2026-01-01"), NOW, id="R71 a time that is none"),
        pytest.param(EMPTY, event(time=NOW / 1000 - 0.5), NOW - 500, id="R31 float of seconds"),
        pytest.param(EMPTY, event(**{"$ignore": False}), NOW, id="R74 false"),
        pytest.param(EMPTY, event(**{"$ignore": ""}), NOW, id="R74 empty text"),
        pytest.param(EMPTY, event(**{"$ignore": None}), NOW, id="R74 null"),
        pytest.param(EMPTY, event(**{"$ignore": 1}), NOW, id="R74 number"),
    ],
)
def test_other_events_are_stored_with_their_time(state: State, record: Record, time: int) -> None:
    state, reply = post("/track", [record], state=state)
    assert said(reply) == ONE
    kept = only_event(state)
    assert (kept.fate, kept.time, kept.properties["time"]) == (Fate.STORED, time, time)
    assert "token" not in kept.properties


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(event(distinct_id="null"), id="placeholder"),
        pytest.param(event(distinct_id=None), id="null as id"),
        pytest.param(without("$insert_id"), id="no insert_id"),
        pytest.param(event(**{"$insert_id": "a b"}), id="insert_id with a space"),
        pytest.param(event(o={"k": {"k": {"k": {}}}}), id="depth 4"),
    ],
)
def test_what_only_an_import_refuses_is_stored_with_a_note(record: Record) -> None:
    state, reply = post("/track", [record])
    assert said(reply) == ONE
    assert only_event(state).fate is Fate.STORED
    assert only_event(state).notes[0].startswith("/import would refuse it: ")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        pytest.param("ip=1", 1, id="ip=1"),
        pytest.param("ip=0", 0, id="ip=0"),
        pytest.param("", 0, id="no ip"),
    ],
)
def test_an_event_without_an_id_belongs_to_the_address_only_with_ip_1(query: str, ids: int) -> None:
    one, _ = post(f"/track?{query}", [without("distinct_id")], address=PUBLIC_ADDRESS)
    same, _ = post(f"/track?{query}", [without("distinct_id")], address=PUBLIC_ADDRESS)
    other, _ = post(f"/track?{query}", [without("distinct_id")], address="203.0.113.8")
    found = {only_event(state).distinct_id for state in (one, same, other)}
    assert len(found - {""}) == 2 * ids
    assert only_event(one).distinct_id == only_event(same).distinct_id
    assert ("distinct_id" in only_event(one).properties) == bool(ids)
    assert PUBLIC_ADDRESS not in str(only_event(one))


def test_of_an_event_that_is_no_identify_the_identified_id_is_a_property_like_another() -> None:
    state, _ = post("/track", [without("distinct_id", **{"$identified_id": "user-1"})])
    assert only_event(state).distinct_id == ""


@pytest.mark.parametrize("state", [EMPTY, SIMPLIFIED], ids=["original", "simplified"])
def test_rule_75_a_merge_on_track_is_ignored(state: State) -> None:
    merge: Record = {"event": "$merge", "properties": {"$distinct_ids": ["user-1", "user-2"], "token": TOKEN}}
    after, reply = post("/track?verbose=1", [merge], state=state)
    assert said(reply) == GOOD
    assert fates(after) == [Fate.IGNORED]
    assert after.identities == state.identities


@pytest.mark.parametrize(
    ("query", "properties", "expected"),
    [
        pytest.param("", {}, {}, id="D11 no ip"),
        pytest.param("ip=0", {}, {}, id="D11 ip=0"),
        pytest.param("ip=1", {}, located(PUBLIC_ADDRESS), id="D11 ip=1"),
        pytest.param("", {"ip": "198.51.100.4"}, located("198.51.100.4"), id="R84 ip as a property"),
        pytest.param("ip=1", {"ip": "198.51.100.4"}, located(PUBLIC_ADDRESS), id="R84 ip=1 wins over the property"),
        pytest.param("ip=0", {"ip": "2001:db8::1"}, located("2001:db8::1"), id="R84 ip of version 6"),
        pytest.param("", {"ip": 0}, {}, id="R84 ip 0"),
        pytest.param("", {"ip": "nowhere"}, {}, id="R84 ip that is none"),
        pytest.param("", {"ip": "127.0.0.1"}, {}, id="R84 ip of the own machine"),
        pytest.param("", {"ip": "198.51.100.4", "$city": "Brno"}, {"$city": "Brno"}, id="R85 city"),
        pytest.param("", {"ip": "198.51.100.4", "$region": "Jih"}, {"$region": "Jih"}, id="R85 region"),
        pytest.param(
            "ip=1", {"ip": "198.51.100.4", "mp_country_code": "CZ"}, {"mp_country_code": "CZ"}, id="R85 country"
        ),
        pytest.param("ip=1", {"ip": "198.51.100.4", "$latitude": 1, "$longitude": 2}, {}, id="R85 latitude"),
    ],
)
def test_the_address_becomes_a_place_and_is_not_stored(query: str, properties: Record, expected: Record) -> None:
    state, _ = post(f"/track?{query}", [event(**properties)], address=PUBLIC_ADDRESS)
    assert ip_and_place(state) == expected


def test_point_31_credentials_are_ignored_but_can_be_seen_without_the_secret() -> None:
    state, reply = post("/track", [event()], authorization=BY_TOKEN)
    assert said(reply) == ONE
    (exchange,) = state.exchanges.entries
    assert exchange.request.header("authorization") == "Basic ***"


# What is cut off.


@pytest.mark.parametrize("target", ["/track", "/import?strict=1"])
@pytest.mark.parametrize(
    ("given", "stored", "is_cut"),
    [
        pytest.param({"a": "x" * 255}, {"a": "x" * 255}, False, id="R76 255 characters"),
        pytest.param({"a": "x" * 256}, {"a": "x" * 255}, True, id="R76 256 characters"),
        pytest.param({"a": "é" * 255}, {"a": "é" * 255}, False, id="R76 D12 255 characters of two bytes"),
        pytest.param({"a": "🐎" * 256}, {"a": "🐎" * 255}, True, id="R76 D12 256 characters of four bytes"),
        pytest.param({"a": ["x" * 256, "y"]}, {"a": ["x" * 255, "y"]}, True, id="R76 in a list"),
        pytest.param({"a": {"k": ["x" * 256]}}, {"a": {"k": ["x" * 255]}}, True, id="R76 in an object"),
        pytest.param({"a": {"n" * 256: 1}}, {"a": {"n" * 255: 1}}, True, id="R77 name in an object"),
        pytest.param({"n" * 255: 1}, {"n" * 255: 1}, False, id="R77 name of 255 characters"),
        pytest.param({"n" * 256: 1}, {"n" * 255: 1}, True, id="R77 name of 256 characters"),
        pytest.param({" a ": 1}, {"a": 1}, False, id="R78 spaces around a name"),
        pytest.param({"\ta\n": 1}, {"a": 1}, False, id="R78 white space around a name"),
        pytest.param({"a b": 1}, {"a b": 1}, False, id="R78 a space inside a name"),
        pytest.param({" " + "n" * 255: 1}, {"n" * 255: 1}, False, id="R78 trimmed before it is measured"),
        pytest.param({"a": None, "b": ""}, {"a": None, "b": ""}, False, id="R83 null and nothing"),
        pytest.param({"a": [None, ""]}, {"a": [None, ""]}, False, id="R83 in a list"),
        pytest.param({"a": " x "}, {"a": " x "}, False, id="R78 spaces around a value"),
        pytest.param({"bucket": 1, "mp_x": 2, "$x": 3}, {"bucket": 1, "mp_x": 2, "$x": 3}, False, id="R78 other names"),
    ],
)
def test_too_long_text_is_cut_and_the_record_taken(target: str, given: Record, stored: Record, is_cut: bool) -> None:
    state, reply = post(target, [event(**given)], authorization=BY_TOKEN)
    assert (reply.status, fates(state)) == (200, [Fate.STORED])
    kept = only_event(state)
    own = ("distinct_id", "time", "$insert_id", "$import")
    assert {name: value for name, value in kept.properties.items() if name not in own} == stored
    assert state.counts.truncated == is_cut
    assert bool(kept.notes) == (given.keys() != stored.keys() or is_cut)


def test_an_event_name_is_cut_too() -> None:
    state, _ = post("/track", [event("E" * 256)])
    assert only_event(state).name == "E" * 255
    assert state.counts.truncated == 1


def test_a_note_that_speaks_of_truncated_is_no_truncation() -> None:
    state, _ = post("/track", [{**event(), "truncated": 1}])
    assert only_event(state).notes == ("'truncated' beside event and properties is ignored",)
    assert state.counts.truncated == 0


# Which events are the same.


def both(first: Record, second: Record, target: str = "/track") -> State:
    state, _ = post(target, [first], authorization=BY_TOKEN)
    state, _ = post(target, [second], state=state, now=NOW + SECOND, authorization=BY_TOKEN)
    return state


@pytest.mark.parametrize("target", ["/track", "/import?strict=1"])
@pytest.mark.parametrize(
    ("first", "second", "counted"),
    [
        pytest.param(event(), event(), 1, id="R87 the same again"),
        pytest.param(event(plan="free"), event(plan="pro"), 1, id="R88 other properties"),
        pytest.param(event(token="one"), event(token="two"), 1, id="R88 another token"),
        pytest.param(event(), event("Other"), 2, id="R87 another event"),
        pytest.param(event(), event(distinct_id="user-2"), 2, id="R87 another id"),
        pytest.param(event(distinct_id="17"), event(distinct_id=17), 1, id="R87 id as a number"),
        pytest.param(event(), event(**{"$insert_id": "insert-2"}), 2, id="R87 another insert_id"),
        pytest.param(event(), event(time=NOW - 1), 2, id="R89 another time"),
        pytest.param(event(), event(time=NOW // 1000), 2, id="R89 another unit"),
        pytest.param(event(time=NOW // 1000), event(time=NOW / 1000), 2, id="R89 float and integer"),
    ],
)
def test_events_with_the_same_four_count_once(target: str, first: Record, second: Record, counted: int) -> None:
    state = both(first, second, target)
    assert fates(state) == [Fate.STORED, Fate.STORED]
    assert len(query_view(state)) == counted


def test_rule_88_the_one_received_last_is_shown() -> None:
    state = both(event(plan="free"), event(plan="pro"))
    (shown,) = query_view(state)
    assert (shown.properties["plan"], shown.received) == ("pro", NOW + SECOND)


def test_the_query_view_has_the_oldest_first_by_when_they_were_received_last() -> None:
    state, _ = post("/track", [event("a"), event("b"), event("a")])
    assert [(each.name, each.index) for each in query_view(state)] == [("b", 1), ("a", 2)]


def test_events_of_one_request_are_compared_too() -> None:
    state, reply = post_import([event(plan="free"), event(plan="pro")])
    assert json.loads(reply.body)["num_records_imported"] == 2
    (shown,) = query_view(state)
    assert shown.properties["plan"] == "pro"


@pytest.mark.parametrize("record", [without("$insert_id"), event(**{"$insert_id": None})], ids=["missing", "null"])
def test_rule_90_events_without_insert_id_are_never_the_same(record: Record) -> None:
    state = both(record, record)
    assert len(query_view(state)) == 2


def test_what_is_not_stored_hides_nothing() -> None:
    state, _ = post("/track", [event(plan="free"), event(plan="pro", **{"$ignore": True})])
    (shown,) = query_view(state)
    assert shown.properties["plan"] == "free"


def test_a_body_of_several_kinds_at_once_is_read_by_its_type() -> None:
    body = form(text_of(event("In the Form")))
    state, reply = post("/track?data=" + quote_plus(text_of(event("In the Query"))), body, content_type=FORM_TYPE)
    assert said(reply) == ONE
    assert only_event(state).name == "In the Form"


def test_the_events_of_a_minute_are_limited_and_updates_are_none() -> None:
    state = State(settings=Settings(events_per_minute=2))
    state, reply = post("/track", [event(), event()], state=state)
    assert said(reply) == ONE
    state, reply = post("/track", [event()], state=state)
    assert (reply.status, json.loads(reply.body)["status"]) == (429, "Too Many Requests")
    assert len(state.events.entries) == 2
    assert said(post("/engage", [update(set={"p": 1})] * 3, state=state)[1]) == ONE
