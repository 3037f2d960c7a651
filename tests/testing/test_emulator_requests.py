"""
Requests to the emulator: where they go, what can be made to go wrong with them, what is kept of them, and that nothing
that arrives can do harm.
"""

from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import Any, Final

import pytest
from attrs import evolve
from emulator_calls import (
    BY_TOKEN,
    EMPTY,
    FORM_TYPE,
    JSON_TYPE,
    LINES_TYPE,
    NONE,
    NOW,
    ONE,
    PUBLIC_ADDRESS,
    SECOND,
    SIMPLIFIED,
    TOKEN,
    Record,
    applied,
    event,
    fates,
    group_update,
    only_event,
    post,
    post_import,
    profile,
    said,
    update,
    update_fates,
    without,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixwire.core import JSON, Endpoint, InvalidValue
from mixwire.testing.emulator import query_view, respond
from mixwire.testing.faults import Delay, Fault, LostAnswer, Mute, Reset, Script, Status
from mixwire.testing.profiles import OPERATORS
from mixwire.testing.state import Fate, HttpReply, HttpRequest, Settings, State

SCRIPTED_503: Final = b'{"code":503,"error":"scripted","status":"Scripted"}'


def scripted(*scripts: Script | Fault) -> State:
    return State(scripts=tuple(each if isinstance(each, Script) else Script(each) for each in scripts))


def statuses(state: State, *targets: str) -> list[int]:
    found: list[int] = []
    for target in targets:
        state, reply = post(target, [event()], state=state, authorization=BY_TOKEN)
        found.append(reply.status)
    return found


# Where requests go.


@pytest.mark.parametrize("target", ["/", "", "/tracks", "/people", "/lookup-tables", "/track/x", "//track", "/TRACK"])
def test_another_path_is_not_found_and_plays_no_fault(target: str) -> None:
    before = scripted(Status(503))
    state, reply = post(target, [event()], state=before)
    assert (reply.status, json.loads(reply.body)) == (404, {"error": "no such path", "status": "error"})
    assert (state.scripts, state.events.entries, len(state.exchanges.entries)) == (before.scripts, (), 1)


def test_each_record_and_each_request_has_a_number_of_its_own() -> None:
    state, _ = post("/track", [event(), event()])
    state, _ = post("/nowhere", b"", state=state)
    state, _ = post("/engage", [update(set={"p": 1})], state=state)
    assert [each.number for each in state.exchanges.entries] == [1, 4, 5]
    assert [(each.number, each.exchange, each.index) for each in state.events.entries] == [(2, 1, 0), (3, 1, 1)]
    assert [(each.number, each.exchange, each.index) for each in state.updates.entries] == [(6, 5, 0)]
    assert state.number == 6


def test_a_request_is_kept_with_its_text_and_its_answer() -> None:
    body = json.dumps([event(), {}]).encode()
    state, reply = post("/track?verbose=1", gzip.compress(body), content_encoding="gzip", address=PUBLIC_ADDRESS)
    (kept,) = state.exchanges.entries
    assert (kept.text, kept.records, kept.is_applied, kept.fault, kept.reply) == (body, 2, True, None, reply)
    assert (kept.request.body, kept.request.target, kept.request.address) == (b"", "/track?verbose=1", PUBLIC_ADDRESS)
    assert kept.received == NOW


@pytest.mark.parametrize(
    ("target", "body", "encoding"),
    [
        ("/track", b"[", ""),
        ("/track", b"not gzip", "gzip"),
        ("/track", b"[{}]", ""),
        ("/engage", gzip.compress(b"[]"), "gzip"),
        ("/nowhere", b"[]", ""),
    ],
    ids=["no JSON", "no gzip", "no valid record", "compressed update", "another path"],
)
def test_a_request_that_changed_nothing_says_so(target: str, body: bytes, encoding: str) -> None:
    state, _ = post(target, body, content_encoding=encoding)
    (kept,) = state.exchanges.entries
    assert (kept.is_applied, kept.text) == (False, body)


def test_of_a_body_that_could_not_be_read_only_the_beginning_is_kept() -> None:
    state, _ = post("/track", b"x" * 100_000, content_encoding="gzip")
    assert state.exchanges.entries[0].text == b"x" * 4096


@pytest.mark.parametrize(
    ("authorization", "kept"),
    [
        ("Basic c2VjcmV0", "Basic ***"),
        ("Bearer secret", "Bearer ***"),
        ("Basic secret and more", "Basic ***"),
        ("secret", "***"),
    ],
)
def test_credentials_are_not_kept(authorization: str, kept: str) -> None:
    state, _ = post("/track", [event()], authorization=authorization)
    assert state.exchanges.entries[0].request.header("authorization") == kept
    assert authorization.rpartition(" ")[2] not in repr(state)


@pytest.mark.parametrize("target", ["/import?api_key=secret-1&strict=1", "/import?strict=1&api_secret=secret-1"])
def test_old_keys_are_not_kept(target: str) -> None:
    state, _ = post(target, b"data=%5B%5D&api_key=secret-1", content_type=FORM_TYPE)
    (kept,) = state.exchanges.entries
    assert "secret-1" not in kept.request.target
    assert b"secret-1" not in kept.text


def test_what_is_kept_shows_no_payload_in_its_repr() -> None:
    secrets = Settings(token="token-1", username="account-1", secret="secret-1", project_secret="old-1")
    state, _ = post("/track?ip=0", [event(token="token-1", card="4111-1111")], state=State(settings=secrets))
    state, _ = post("/engage", [update(token="token-1", set={"card": "4111-1111"})], state=state)
    shown = repr(state) + repr(state.exchanges.entries) + repr(HttpRequest(target="/track?data=4111-1111"))
    for secret in ("token-1", "account-1", "secret-1", "old-1", "4111-1111"):
        assert secret not in shown


# What can go wrong.


@pytest.mark.parametrize("code", [400, 401, 408, 413, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("is_applied", [False, True], ids=["before", "after"])
def test_a_status_is_answered_before_or_after_the_request_took_effect(code: int, is_applied: bool) -> None:
    state, reply = post("/track", [event()], state=scripted(Status(code, is_applied=is_applied)))
    answer = json.loads(reply.body)
    assert (reply.status, answer["code"], answer["error"], reply.is_lost) == (code, code, "scripted", False)
    assert (len(state.events.entries), state.exchanges.entries[0].is_applied) == (is_applied, is_applied)
    assert statuses(state, "/track") == [200]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (413, "Request Entity Too Large"),
        (429, "Too Many Requests"),
        (503, "Scripted"),
    ],
)
def test_a_scripted_status_is_named_as_the_documentation_names_it(code: int, status: str) -> None:
    _, reply = post("/track", [event()], state=scripted(Status(code)))
    assert json.loads(reply.body)["status"] == status


@pytest.mark.parametrize(
    "retry_after",
    [pytest.param(None, id="D7 without"), pytest.param("2", id="D7 seconds"), pytest.param("soon", id="D7 rubbish")],
)
def test_retry_after_is_there_if_it_was_scripted(retry_after: str | None) -> None:
    _, reply = post("/track", [event()], state=scripted(Status(429, retry_after)))
    assert reply.retry_after == retry_after


@pytest.mark.parametrize(
    ("fault", "is_lost", "is_applied", "seconds"),
    [
        (Reset(), True, False, 0.0),
        (LostAnswer(), True, True, 0.0),
        (Mute(), True, True, 0.0),
        (Mute(is_applied=False), True, False, 0.0),
        (Delay(1.5), False, True, 1.5),
    ],
    ids=["reset", "lost answer", "mute", "mute before", "delay"],
)
def test_a_connection_can_end_or_wait(fault: Fault, is_lost: bool, is_applied: bool, seconds: float) -> None:
    state, reply = post("/track", [event()], state=scripted(fault))
    assert (reply.is_lost, reply.delay_seconds, len(state.events.entries)) == (is_lost, seconds, is_applied)
    (kept,) = state.exchanges.entries
    assert (kept.fault, kept.is_applied, kept.reply) == (fault, is_applied, reply)
    assert state.counts.faults == 1
    if not is_lost:
        assert said(reply) == ONE


def test_a_request_that_was_made_to_fail_changes_nothing_but_what_is_counted() -> None:
    state, _ = post("/engage", [update(set={"p": 1})], state=scripted(Status(500)))
    assert (state.profiles, state.updates.entries, state.load) == ({}, (), ())
    assert (state.counts.requests, state.counts.faults, state.counts.updates) == (1, 1, {})


def test_faults_are_played_in_the_order_of_the_script() -> None:
    state = scripted(Status(500), Script(Status(503), times=2), Status(429))
    assert statuses(state, *["/track"] * 5) == [500, 503, 503, 429, 200]


def test_a_fault_without_a_number_of_times_stays() -> None:
    state = scripted(Status(500), Script(Status(503), times=None), Status(429))
    assert statuses(state, *["/track"] * 4) == [500, 503, 503, 503]


def test_a_fault_of_one_endpoint_waits_for_it_and_lets_others_pass() -> None:
    state = scripted(Script(Status(500), endpoint=Endpoint.ENGAGE), Script(Status(503), times=2))
    assert statuses(state, "/track", "/engage/", "/import", "/engage", "/groups") == [503, 500, 503, 200, 200]


def test_a_scripted_fault_comes_before_all_else_as_at_a_proxy() -> None:
    state, reply = post("/import", b"[", state=scripted(Status(503)), method="PUT")
    assert (reply.status, reply.body) == (503, SCRIPTED_503)
    assert state.scripts == ()


def test_a_request_that_was_applied_and_then_failed_is_told_as_one_that_failed() -> None:
    state, reply = post("/import", b"[", state=scripted(Status(503, is_applied=True)))
    assert (reply.status, state.exchanges.entries[0].is_applied) == (503, False)


# What is kept.


def named(state: State) -> list[str]:
    return [each.name for each in state.events.entries]


def test_of_events_the_newest_are_kept_and_the_others_counted() -> None:
    state = State(settings=Settings(max_events=3))
    state, _ = post("/track", [event("a"), event("b")], state=state)
    assert (named(state), state.events.forgotten) == (["a", "b"], 0)
    state, _ = post("/track", [event("c"), event("d"), {}], state=state)
    assert (named(state), state.events.forgotten) == (["c", "d", ""], 2)
    state, _ = post("/track", [event(name) for name in "efghi"], state=state)
    assert (named(state), state.events.forgotten) == (["g", "h", "i"], 7)
    assert state.counts.events == {Fate.STORED: 9, Fate.REFUSED: 1}
    assert state.events.bytes == sum(each.size for each in state.events.entries)


def test_of_events_so_many_bytes_are_kept() -> None:
    size = only_event(post("/track", [event("a")])[0]).size
    state = State(settings=Settings(max_bytes=2 * size))
    state, _ = post("/track", [event("a"), event("b")], state=state)
    assert (named(state), state.events.bytes) == (["a", "b"], 2 * size)
    state, _ = post("/track", [event("c")], state=state)
    assert (named(state), state.events.bytes, state.events.forgotten) == (["b", "c"], 2 * size, 1)
    state, _ = post("/track", [event("d", pad="x" * 250)], state=state)
    assert (named(state), state.events.forgotten) == (["d"] if size > 250 else [], 3 if size > 250 else 4)


def test_what_is_larger_than_all_that_may_be_kept_is_forgotten_at_once() -> None:
    state = State(settings=Settings(max_bytes=10))
    state, reply = post("/track", [event()], state=state)
    assert said(reply) == ONE
    assert (state.events.entries, state.events.forgotten, state.events.bytes) == ((), 1, 0)
    assert state.counts.events == {Fate.STORED: 1}


def test_of_updates_the_newest_are_kept_and_the_profile_stands() -> None:
    state = State(settings=Settings(max_updates=2))
    state, _ = post("/engage", [update(add={"n": 1})] * 3, state=state)
    state, _ = post("/groups", [group_update(set={"p": 1})], state=state)
    assert [each.endpoint for each in state.updates.entries] == [Endpoint.ENGAGE, Endpoint.GROUPS]
    assert (state.updates.forgotten, profile(state)) == (2, {"n": 3})
    assert state.counts.updates == {Fate.STORED: 4}


def test_of_updates_so_many_bytes_are_kept() -> None:
    size = applied(update(set={"p": 1})).updates.entries[0].size
    state = State(settings=Settings(max_bytes=2 * size))
    state, _ = post("/engage", [update(set={"p": number}) for number in range(5)], state=state)
    assert (len(state.updates.entries), state.updates.forgotten, state.updates.bytes) == (2, 3, 2 * size)
    assert profile(state) == {"p": 4}


def test_of_requests_the_newest_are_kept_and_the_counters_go_on() -> None:
    state = State(settings=Settings(max_requests=2))
    for name in "abcd":
        state, _ = post("/track", [event(name)], state=state)
    assert [each.number for each in state.exchanges.entries] == [5, 7]
    assert (state.exchanges.forgotten, state.counts.requests, named(state)) == (2, 4, list("abcd"))


def test_of_requests_so_many_bytes_are_kept() -> None:
    size = post("/track", b" " * 400)[0].exchanges.bytes
    assert size >= 400
    state = State(settings=Settings(max_bytes=2 * size))
    for _ in range(4):
        state, _ = post("/track", b" " * 400, state=state)
    kept = state.exchanges
    assert (len(kept.entries), kept.forgotten, kept.bytes) == (2, 2, 2 * size)


def test_of_profiles_the_ones_that_changed_last_are_kept() -> None:
    state = State(settings=Settings(max_profiles=2))
    state = applied(*(update(distinct_id=name, set={"p": 1}) for name in "ab"), state=state)
    state = applied(update(distinct_id="a", set={"p": 2}), update(distinct_id="c", set={"p": 1}), state=state)
    assert (list(state.profiles), state.forgotten_profiles) == (["a", "c"], 1)
    state = applied(*(group_update(group_id=name, set={"p": 1}) for name in "xyz"), target="/groups", state=state)
    assert (list(state.groups), list(state.profiles)) == ([("Company", "y"), ("Company", "z")], ["a", "c"])
    assert state.forgotten_profiles == 2


def test_a_profile_that_was_deleted_is_not_one_that_was_forgotten() -> None:
    state = State(settings=Settings(max_profiles=1))
    state = applied(update(set={"p": 1}), update(delete=""), update(set={"p": 1}), state=state)
    assert (profile(state), state.forgotten_profiles) == ({"p": 1}, 0)


def test_a_log_without_anything_new_is_the_same() -> None:
    log = post("/track", [event()])[0].events
    assert log.with_entries([], 1, 1) is log


def test_the_query_view_counts_only_what_is_kept() -> None:
    state = State(settings=Settings(max_events=1))
    state, _ = post("/track", [event("a"), event("b")], state=state)
    assert [each.name for each in query_view(state)] == ["b"]


def test_counters_tell_what_became_of_records() -> None:
    state = State(settings=Settings(token=TOKEN))
    records: list[JSON] = [event(), event(token="x"), {}, event(a="x" * 256), event(a="x" * 256, b="y" * 256)]
    state, _ = post("/track", records, state=state)
    merge: Record = {"event": "$merge", "properties": {"token": TOKEN}}
    state, _ = post("/track", [merge], state=state)
    state, _ = post("/engage", [update(set={"a": "x" * 256}), update(unset=["q"]), {}], state=state)
    assert state.counts.events == {Fate.STORED: 3, Fate.DROPPED: 1, Fate.REFUSED: 1, Fate.IGNORED: 1}
    assert state.counts.updates == {Fate.STORED: 1, Fate.IGNORED: 1, Fate.REFUSED: 1}
    assert (state.counts.truncated, state.counts.requests) == (3, 3)


# What does not change.


def test_an_old_state_is_not_changed_by_what_arrives_later() -> None:
    old = applied(update(set={"l": [1, {"k": 1}], "n": 1}))
    old = applied(group_update(set={"l": [1]}), target="/groups", state=old)
    old, _ = post("/track", [event(), {"event": "$create_alias", "properties": {}}], state=old)
    old, _ = post_import([{"event": "$create_alias", "properties": {"distinct_id": "user-1", "alias": "a"}}], state=old)
    old = evolve(old, scripts=(Script(Delay(0.0), times=5),))
    before, inner = repr(old), json.dumps([dict(each.properties) for each in old.profiles.values()])
    numbers = (old.number, len(old.exchanges.entries), dict(old.counts.events), dict(old.identities.users))
    later = old
    every: list[JSON] = [
        update(append={"l": 2}),
        update(union={"l": [3]}),
        update(remove={"l": {"k": 1}}),
        update(add={"n": 1}),
        update(unset=["n"]),
        update(distinct_id="b", set={"p": 1}),
        update(delete=""),
    ]
    later, _ = post("/engage", every, state=later)
    later, _ = post("/groups", [group_update(union={"l": [2]}), group_update(delete="")], state=later)
    later, _ = post_import([{"event": "$merge", "properties": {"$distinct_ids": ["b", "a"]}}], state=later)
    later, _ = post("/track", [event("Other")], state=later)
    assert repr(old) == before
    assert json.dumps([dict(each.properties) for each in old.profiles.values()]) == inner
    assert numbers == (
        old.number,
        len(old.exchanges.entries),
        dict(old.counts.events),
        dict(old.identities.users),
    )
    assert (later.scripts[0].times, old.scripts[0].times) == (1, 5)
    assert later != old


def test_the_same_request_to_the_same_state_has_the_same_result() -> None:
    request = HttpRequest(target="/track?verbose=1&ip=1", body=json.dumps([without("$insert_id")]).encode())
    assert respond(EMPTY, request, NOW) == respond(EMPTY, request, NOW)


def test_the_clock_is_the_one_that_is_given_and_may_go_back() -> None:
    state, _ = post("/track", [without("time")], now=NOW)
    state, _ = post("/track", [without("time")], now=NOW - 90 * SECOND, state=state)
    assert [each.time for each in state.events.entries] == [NOW, NOW - 90 * SECOND]


# What is no setting.


@pytest.mark.parametrize(
    "name",
    [
        *("max_body_bytes", "bytes_per_minute", "events_per_minute", "max_events", "max_updates", "max_requests"),
        *("max_profiles", "max_bytes"),
    ],
)
def test_a_limit_is_at_least_1(name: str) -> None:
    none: dict[str, Any] = {name: 0}
    one: dict[str, Any] = {name: 1}
    with pytest.raises(InvalidValue, match=f"^{name} must be at least 1, not 0$"):
        Settings(**none)
    assert getattr(Settings(**one), name) == 1


def test_a_project_is_of_one_of_two_systems() -> None:
    with pytest.raises(InvalidValue, match=r"^id_system must be 'original' or 'simplified', not 'legacy'$"):
        Settings(id_system="legacy")  # type: ignore[arg-type]


def test_a_fault_is_played_at_least_once() -> None:
    with pytest.raises(InvalidValue, match=r"^times must be at least 1, or None, not 0$"):
        Script(Reset(), times=0)


# What may arrive.

DEEP: Final = 100_000
DEEP_RECORD: Final = json.dumps([{**event(deep=0), "$token": "t", "$distinct_id": "user-1", "$set": {"deep": 0}}])
HOSTILE: Final = [
    pytest.param(
        DEEP_RECORD.replace('"deep": 0', f'"deep": {"[" * 500}{"]" * 500}').encode(), id="deep lists in a record"
    ),
    pytest.param(b"[" * DEEP, id="brackets"),
    pytest.param(b"[" * DEEP + b"]" * DEEP, id="deep lists"),
    pytest.param(b'[{"event":' + b'{"a":' * DEEP, id="deep objects"),
    pytest.param(b'["\\ud800",' + b"[" * 900 + b"]" * 900 + b"]", id="deep lists beside a surrogate"),
    pytest.param(b"[" + b"9" * 5_000 + b"]", id="a number of 5000 digits"),
    pytest.param(b'["\\ud800",' + b"9" * 5_000 + b"]", id="a number of 5000 digits beside a surrogate"),
    pytest.param(b'["\\ud800",' + b"9" * 400 + b"]", id="a number of 400 digits beside a surrogate"),
    pytest.param(b"[1e400]", id="a number beyond all floats"),
    pytest.param(b"[NaN,Infinity,-Infinity]", id="no numbers"),
    pytest.param(b"\xef\xbb\xbf[]", id="a mark of byte order"),
    pytest.param(b"\xff\xfe\x00", id="no text"),
    pytest.param(b"\x00" * 100, id="zeros"),
    pytest.param(b"&" * 10_000, id="many fields"),
    pytest.param(b"%" * 10_000, id="percents"),
    pytest.param(b"data=%ff%fe%00", id="a field that is no text"),
    pytest.param(b"data=[%22%ff%22]", id="a field with text that is none"),
]


@pytest.mark.parametrize("body", HOSTILE)
@pytest.mark.parametrize("target", ["/track", "/import?strict=1", "/engage", "/groups"])
@pytest.mark.parametrize("content_type", [JSON_TYPE, FORM_TYPE, LINES_TYPE, ""])
def test_a_hostile_body_is_answered_and_takes_no_effect(target: str, content_type: str, body: bytes) -> None:
    state, reply = post(target, body, content_type=content_type, authorization=BY_TOKEN)
    assert (reply.status, Fate.STORED in fates(state), state.profiles) == (
        400 if target.startswith("/import") else 200,
        False,
        {},
    )


def test_a_bomb_is_not_expanded_further_than_a_body_may_be_long() -> None:
    bomb = gzip.compress(b" " * 50_000_000, mtime=0)
    tracemalloc.start()
    try:
        assert post("/track", bomb, content_encoding="gzip")[1].status == 413
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_many_empty_gzip_streams_are_an_empty_body() -> None:
    assert said(post("/track", gzip.compress(b"", mtime=0) * 5_000, content_encoding="gzip")[1]) == NONE


def test_of_a_name_that_stands_twice_the_last_one_counts() -> None:
    body = b'[{"event":"a","event":"b","properties":{"token":"","token":"t","x":1,"x":2}}]'
    state, reply = post("/track", body)
    assert said(reply) == ONE
    assert (only_event(state).name, only_event(state).properties["x"]) == ("b", 2)


TIMES: Final[dict[str, float]] = {
    "largest float": 1e308,
    "smallest float": -1e308,
    "30 digits": 10**30,
    "30 digits below 0": -(10**30),
    "308 digits": 10**308,
    "308 digits below 0": -(10**308),
    "64 bits": 2**64,
    "63 bits": 2**63,
    "63 bits below 0": -(2**63),
    "part of a second": 0.1,
    "zero below 0": -0.0,
}


@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("extra", [{}, {"a": "\ud800"}], ids=["plain", "surrogate"])
@pytest.mark.parametrize("target", ["/track", "/import?strict=1", "/import"])
def test_any_number_may_be_a_time(time: float, extra: Record, target: str) -> None:
    state, _ = post(target, [event(time=time, **extra)], authorization=BY_TOKEN)
    kept = only_event(state)
    assert kept.time is not None
    assert kept.time < 2**63
    assert "time" in kept.properties


@pytest.mark.parametrize("extra", ["x", "\ud800"], ids=["text", "surrogate"])
@pytest.mark.parametrize(
    "number", [2**63, 2**64, 10**100, -(10**308)], ids=["63 bits", "64 bits", "100 digits", "308 digits below 0"]
)
def test_large_integers_are_stored_added_and_removed(number: int, extra: str) -> None:
    records: list[JSON] = [
        update(set={"n": number, "text": extra}),
        update(add={"n": number, "m": number}),
        update(add={"n": 0.5, "m": -1}),
        update(union={"l": [number, 1, number, extra]}),
        update(append={"l": number}),
        update(remove={"l": number}),
    ]
    state, reply = post("/engage", records)
    assert said(reply) == ONE
    assert profile(state) is not None
    assert Fate.REFUSED not in update_fates(state)
    assert all(isinstance(each.update, dict) for each in state.updates.entries)


def test_lone_surrogates_are_kept_as_question_marks_wherever_they_stand() -> None:
    bad = "\ud800"
    properties: Record = {bad: bad, "distinct_id": bad, "l": [bad, {bad: bad}]}
    state, reply = post("/track", [event(bad, **properties)])
    assert said(reply) == ONE
    kept = only_event(state)
    assert (kept.name, kept.distinct_id) == ("?", "?")
    assert (kept.properties["?"], kept.properties["l"]) == ("?", ["?", {"?": "?"}])
    state, reply = post("/engage", [update(distinct_id=bad, set={bad: bad})], state=state)
    state, reply = post("/groups", [group_update(group_id=bad, set={bad: bad})], state=state)
    state, reply = post_import(
        [{"event": "$create_alias", "properties": {"distinct_id": bad, "alias": bad * 2}}], state=state
    )
    assert reply.status == 200


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.integers(min_value=-(10**320), max_value=10**320)
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.sampled_from(["", "0", "$device:d", "user-1", TOKEN, "4f9cb3e6-6d0f-4c1b-9a53-2f1f8f0d9b11"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
property_names = st.sampled_from(
    [
        *("token", "distinct_id", "time", "$insert_id", "$device_id", "$user_id", "alias", "$identified_id"),
        *("$anon_id", "$distinct_ids", "$ignore", "ip", "$city", " x ", ""),
    ]
)
events = st.fixed_dictionaries(
    {
        "event": st.sampled_from(["Signup", "$create_alias", "$identify", "$merge"]) | json_values,
        "properties": st.dictionaries(property_names, json_values, max_size=8).map(lambda each: {"token": "t", **each})
        | json_values,
    }
)
keys = st.sampled_from(
    [*OPERATORS, "$ip", "$time", "$latitude", "$ignore_alias", "$distinct_id", "$group_id", "$token"]
)
operands = json_values | st.dictionaries(st.sampled_from("pq"), json_values, max_size=2)
updates = st.dictionaries(keys, operands, max_size=4).map(lambda each: {**update(), **each})
group_updates = st.dictionaries(keys, operands, max_size=4).map(lambda each: {**group_update(), **each})
bodies = st.binary(max_size=200) | st.lists(events | updates | group_updates | json_values, max_size=4).map(
    lambda records: json.dumps(records).encode()
)
requests = st.builds(
    HttpRequest,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]),
    target=st.builds(
        "{}?{}".format,
        st.sampled_from(["/track", "/import", "/engage", "/groups", "/"]),
        st.sampled_from(["", "strict=1", "verbose=1", "ip=1", "verbose=1&strict=1&callback=f", "data=%7B%7D"])
        | st.text(max_size=10),
    ),
    headers=st.tuples(
        st.tuples(st.just("Content-Type"), st.sampled_from([JSON_TYPE, FORM_TYPE, LINES_TYPE, ""]) | st.text()),
        st.tuples(st.just("Content-Encoding"), st.sampled_from(["", "", "", "gzip", "identity"]) | st.text()),
        st.tuples(st.just("Authorization"), st.just(BY_TOKEN) | st.text()),
    ),
    body=bodies | bodies.map(gzip.compress) | bodies.map(lambda body: b"data=" + body),
    address=st.sampled_from(["127.0.0.1", PUBLIC_ADDRESS, "unix", ""]),
)


@given(st.lists(requests, max_size=4), st.sampled_from([EMPTY, SIMPLIFIED]))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_arrives_is_answered_and_can_be_read_back(arriving: list[HttpRequest], state: State) -> None:
    for request in arriving:
        state, reply = respond(state, request, NOW)
        assert isinstance(reply, HttpReply)
        assert reply.status in {200, 400, 401, 404, 405}
        if reply.content_type == JSON_TYPE:
            assert isinstance(json.loads(reply.body), dict)
    for each in query_view(state):
        assert each.properties["time"] == each.time
        assert each.name.encode()
    for kept in state.updates.entries:
        assert kept.size == len(kept.json)
        assert isinstance(kept.update, dict | list | str | int | float | None)
    counted = sum(state.counts.events.values()) + sum(state.counts.updates.values())
    assert counted == len(state.events.entries) + len(state.updates.entries)
    assert state.counts.requests == len(arriving) == len(state.exchanges.entries)
