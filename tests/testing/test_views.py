"""
What the server tells about the state, on states that are written down here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import pytest
from attrs import evolve

from mixwire.core import Endpoint, InvalidValue
from mixwire.testing import views
from mixwire.testing.faults import Delay, LostAnswer, Mute, Reset, Script, Status
from mixwire.testing.identities import Identities
from mixwire.testing.state import (
    Counts,
    Event,
    Exchange,
    Fate,
    HttpReply,
    HttpRequest,
    Log,
    Profile,
    Settings,
    State,
    Update,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixwire.core import JSON
    from mixwire.testing.faults import Fault
    from mixwire.testing.state import Owner


def an_event(number: int, *, key: tuple[str, str, str, str] | None = None, fate: Fate = Fate.STORED) -> Event:
    return Event(
        number=number,
        exchange=1,
        index=number - 2,
        received=1_000,
        endpoint=Endpoint.TRACK,
        fate=fate,
        name="Opened",
        distinct_id="nick",
        time=900,
        key=key,
        json=b'{"event":"Opened","properties":{"plan":"pro"}}',
    )


def an_update(number: int, owner: Owner | None, fate: Fate = Fate.STORED) -> Update:
    endpoint = Endpoint.GROUPS if isinstance(owner, tuple) else Endpoint.ENGAGE
    return Update(
        number=number,
        exchange=number - 1,
        index=0,
        received=2_000,
        endpoint=endpoint,
        fate=fate,
        owner=owner,
        json=b'{"$set":{"plan":"pro"}}',
    )


def told_update(number: int, owner: JSON, fate: str = "stored") -> dict[str, JSON]:
    return {
        "number": number,
        "request": number - 1,
        "index": 0,
        "received": 2_000,
        "endpoint": "/groups" if isinstance(owner, list) else "/engage",
        "fate": fate,
        "reason": "",
        "notes": [],
        "owner": owner,
        "update": {"$set": {"plan": "pro"}},
    }


def entries_of(told: dict[str, JSON]) -> list[dict[str, JSON]]:
    return cast("list[dict[str, JSON]]", next(iter(told.values())))


def numbers(told: dict[str, JSON]) -> list[JSON]:
    return [entry["number"] for entry in entries_of(told)]


def test_an_event_is_told_whole_with_the_user_it_belongs_to_now() -> None:
    state = State(
        events=Log((evolve(an_event(2), notes=("its name was trimmed",), reason="no reason"),), forgotten=3, bytes=10),
        identities=Identities(users={"nick": "user-1"}),
    )
    assert views.events(state) == {
        "events": [
            {
                "number": 2,
                "request": 1,
                "index": 0,
                "received": 1_000,
                "endpoint": "/track",
                "fate": "stored",
                "reason": "no reason",
                "notes": ["its name was trimmed"],
                "name": "Opened",
                "distinct_id": "nick",
                "user": "user-1",
                "time": 900,
                "properties": {"plan": "pro"},
            }
        ],
        "forgotten": 3,
    }


def test_an_event_without_an_id_has_no_user() -> None:
    (event,) = entries_of(views.events(State(events=Log((evolve(an_event(2), distinct_id=""),)))))
    assert event["user"] == ""


def test_the_query_view_has_stored_events_once_and_the_raw_view_has_all() -> None:
    same = ("Opened", "user-1", "1", "a1")
    entries = (an_event(2, key=same), an_event(3, fate=Fate.DROPPED), an_event(4, key=same), an_event(5))
    state = State(events=Log(entries))
    assert numbers(views.events(state)) == [2, 3, 4, 5]
    assert numbers(views.events(state, view="query")) == [4, 5]


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [(0, None, [2, 3, 4]), (2, None, [3, 4]), (4, None, []), (0, 2, [3, 4]), (3, 2, [4]), (0, 9, [2, 3, 4])],
)
def test_lists_begin_after_a_number_and_hold_the_newest(after: int, limit: int | None, expected: Sequence[int]) -> None:
    exchanges = tuple(
        Exchange(number=number, received=1, request=HttpRequest(target="/track"), reply=HttpReply(status=200))
        for number in (2, 3, 4)
    )
    state = State(
        events=Log((an_event(2), an_event(3), an_event(4))),
        updates=Log((an_update(2, "a"), an_update(3, "a"), an_update(4, "a"))),
        exchanges=Log(exchanges),
    )
    assert numbers(views.events(state, after=after, limit=limit)) == expected
    assert numbers(views.events(state, view="query", after=after, limit=limit)) == expected
    assert numbers(views.updates(state, after=after, limit=limit)) == expected
    assert numbers(views.requests(state, after=after, limit=limit)) == expected


def test_updates_are_told_also_where_they_belong_to_nobody() -> None:
    entries = (an_update(2, "user-1"), an_update(4, ("company", "acme")), an_update(6, None, Fate.REFUSED))
    assert views.updates(State(updates=Log(entries, forgotten=1))) == {
        "updates": [
            told_update(2, "user-1"),
            told_update(4, ["company", "acme"]),
            told_update(6, None, "refused"),
        ],
        "forgotten": 1,
    }


def test_a_profile_has_the_updates_that_are_kept_of_it() -> None:
    state = State(
        updates=Log((an_update(2, "user-1"), an_update(4, "user-2"), an_update(6, "user-1", Fate.IGNORED))),
        profiles={"user-2": Profile(), "user-1": Profile(properties={"plan": "pro"}, last_seen=2_000)},
        forgotten_profiles=7,
    )
    assert views.profiles(state) == {
        "profiles": [
            {"distinct_id": "user-2", "properties": {}, "last_seen": None, "history": [told_update(4, "user-2")]},
            {
                "distinct_id": "user-1",
                "properties": {"plan": "pro"},
                "last_seen": 2_000,
                "history": [told_update(2, "user-1"), told_update(6, "user-1", "ignored")],
            },
        ],
        "forgotten": 7,
    }
    (newest,) = entries_of(views.profiles(state, limit=1))
    assert newest["distinct_id"] == "user-1"


def test_what_came_for_an_alias_before_it_was_one_is_in_the_history_of_the_user() -> None:
    state = State(
        updates=Log((an_update(2, "nick"),)),
        profiles={"user-1": Profile()},
        identities=Identities(users={"nick": "user-1"}),
    )
    (profile,) = entries_of(views.profiles(state))
    assert profile["history"] == [told_update(2, "nick")]


def test_a_profile_that_an_alias_has_of_its_own_keeps_its_history() -> None:
    state = State(
        updates=Log((an_update(2, "nick"),)),
        profiles={"nick": Profile(), "user-1": Profile()},
        identities=Identities(users={"nick": "user-1"}),
    )
    own, other = entries_of(views.profiles(state))
    assert (own["history"], other["history"]) == ([told_update(2, "nick")], [])


def test_a_group_is_told_by_key_and_id() -> None:
    state = State(
        updates=Log((an_update(2, ("company", "acme")),)),
        groups={("plan", "pro"): Profile(), ("company", "acme"): Profile(properties={"seats": 5}, last_seen=2_000)},
    )
    assert views.groups(state, limit=1) == {
        "groups": [
            {
                "group_key": "company",
                "group_id": "acme",
                "properties": {"seats": 5},
                "last_seen": 2_000,
                "history": [told_update(2, ["company", "acme"])],
            }
        ],
        "forgotten": 0,
    }


def test_a_request_is_told_with_its_answer() -> None:
    exchange = Exchange(
        number=9,
        received=1_000,
        request=HttpRequest(target="/track?verbose=1&x=%20", headers=(("a", "1"), ("a", "2")), body=b"\x1f\x8b"),
        text=b"[] \xff",
        records=2,
        fault=LostAnswer(),
        reply=HttpReply(status=200, body=b"1"),
    )
    assert views.requests(State(exchanges=Log((exchange,), forgotten=4))) == {
        "requests": [
            {
                "number": 9,
                "received": 1_000,
                "method": "POST",
                "path": "/track",
                "query": "verbose=1&x=%20",
                "headers": [["a", "1"], ["a", "2"]],
                "body": "[] \N{REPLACEMENT CHARACTER}",
                "records": 2,
                "fault": "lost_answer",
                "is_applied": True,
                "status": 200,
                "answer": "1",
            }
        ],
        "forgotten": 4,
    }


def test_stats_name_every_fate_and_every_cap() -> None:
    state = State(
        settings=Settings(id_system="simplified", max_events=5),
        number=12,
        events=Log((an_event(2),), forgotten=3),
        updates=Log((an_update(2, "user-1"), an_update(3, "user-1")), forgotten=4),
        exchanges=Log((), forgotten=5),
        profiles={"user-1": Profile()},
        groups={("company", "acme"): Profile(), ("company", "other"): Profile()},
        forgotten_profiles=6,
        counts=Counts(
            requests=7, faults=1, events={Fate.STORED: 4}, updates={Fate.STORED: 5, Fate.REFUSED: 1}, truncated=2
        ),
    )
    assert views.stats(state) == {
        "requests": 7,
        "faults": 1,
        "truncated": 2,
        "events": {"stored": 4, "refused": 0, "dropped": 0, "ignored": 0},
        "updates": {"stored": 5, "refused": 1, "dropped": 0, "ignored": 0},
        "kept": {"events": 1, "updates": 2, "requests": 0, "profiles": 1, "groups": 2},
        "most": {"events": 5, "updates": 10_000, "requests": 1_000, "profiles": 10_000, "bytes": 33_554_432},
        "forgotten": {"events": 3, "updates": 4, "requests": 5, "profiles": 6},
        "id_system": "simplified",
        "number": 12,
    }


FAULTS: list[tuple[dict[str, JSON], Script]] = [
    (
        {"fault": "status", "code": 429, "retry_after": "2", "is_applied": False, "times": 3, "endpoint": "/track"},
        Script(Status(429, "2"), 3, Endpoint.TRACK),
    ),
    (
        {"fault": "status", "code": 502, "retry_after": None, "is_applied": True, "times": None, "endpoint": None},
        Script(Status(502, is_applied=True), None),
    ),
    ({"fault": "reset", "times": 1, "endpoint": "/import"}, Script(Reset(), 1, Endpoint.IMPORT)),
    ({"fault": "lost_answer", "times": 1, "endpoint": "/groups"}, Script(LostAnswer(), 1, Endpoint.GROUPS)),
    ({"fault": "delay", "seconds": 1.5, "times": 2, "endpoint": "/engage"}, Script(Delay(1.5), 2, Endpoint.ENGAGE)),
]


@pytest.mark.parametrize(("said", "script"), FAULTS, ids=["status", "applied status", "reset", "lost answer", "delay"])
def test_a_fault_is_told_as_it_is_taken(said: dict[str, JSON], script: Script) -> None:
    assert views.script_of(said) == script
    assert views.faults(State(scripts=(script,))) == {"faults": [said]}


def test_what_will_go_wrong_is_told_in_the_order_of_play() -> None:
    state = State(scripts=tuple(script for _, script in FAULTS))
    assert views.faults(state) == {"faults": [said for said, _ in FAULTS]}


def test_a_fault_that_cannot_be_told_over_http_is_named_all_the_same() -> None:
    mute: Fault = Mute()
    assert views.faults(State(scripts=(Script(mute),))) == {"faults": [{"fault": "mute", "times": 1, "endpoint": None}]}


@pytest.mark.parametrize(
    ("said", "script"),
    [
        ({"fault": "status", "code": 500}, Script(Status(500))),
        ({"fault": "reset", "code": None, "seconds": None, "times": 1}, Script(Reset())),
        ({"fault": "delay", "seconds": 0}, Script(Delay(0))),
    ],
    ids=["defaults", "null", "no delay"],
)
def test_what_is_left_out_of_a_fault_has_a_default(said: dict[str, JSON], script: Script) -> None:
    assert views.script_of(said) == script


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ([], "the body must be a JSON object, not list"),
        ({}, "fault must be one of status, reset, lost_answer, delay, not missing"),
        ({"fault": "mute"}, "fault must be one of status, reset, lost_answer, delay, not another value"),
        ({"fault": []}, "fault must be one of status, reset, lost_answer, delay, not another value"),
        ({"fault": "reset", "code": 500}, "the keys of reset must be some of fault, times, endpoint, not others"),
        ({"fault": "status"}, "code must be an HTTP status from 200 to 599, not missing"),
        ({"fault": "status", "code": 199}, "code must be an HTTP status from 200 to 599, not 199"),
        ({"fault": "status", "code": 600}, "code must be an HTTP status from 200 to 599, not 600"),
        ({"fault": "status", "code": True}, "code must be an HTTP status from 200 to 599, not bool"),
        (
            {"fault": "status", "code": 429, "retry_after": 2},
            "retry_after must be a string of printable ASCII, not 2",
        ),
        (
            {"fault": "status", "code": 429, "retry_after": "2\r\nSet-Cookie: a=b"},
            "retry_after must be a string of printable ASCII, not str",
        ),
        (
            {"fault": "status", "code": 429, "retry_after": "zwölf"},
            "retry_after must be a string of printable ASCII, not str",
        ),
        ({"fault": "status", "code": 429, "is_applied": 1}, "is_applied must be true or false, not 1"),
        ({"fault": "delay"}, "seconds must be a number from 0 to 3,600, not missing"),
        ({"fault": "delay", "seconds": -1}, "seconds must be a number from 0 to 3,600, not -1"),
        ({"fault": "delay", "seconds": 3_601}, "seconds must be a number from 0 to 3,600, not 3601"),
        ({"fault": "delay", "seconds": math.inf}, "seconds must be a number from 0 to 3,600, not inf"),
        ({"fault": "delay", "seconds": True}, "seconds must be a number from 0 to 3,600, not bool"),
        ({"fault": "reset", "times": 0}, "times must be a whole number of at least 1, or null for all, not 0"),
        ({"fault": "reset", "times": 1.5}, "times must be a whole number of at least 1, or null for all, not 1.5"),
        (
            {"fault": "reset", "endpoint": "/else"},
            "endpoint must be one of /track, /import, /engage, /groups, not another value",
        ),
        (
            {"fault": "reset", "endpoint": 1},
            "endpoint must be one of /track, /import, /engage, /groups, not another value",
        ),
    ],
)
def test_a_wrong_fault_is_answered_with_what_is_allowed(said: object, sentence: str) -> None:
    with pytest.raises(InvalidValue) as wrong:
        views.script_of(said)
    assert str(wrong.value) == sentence
