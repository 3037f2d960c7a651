"""
What a test can say about what arrived, and the text it fails with.
"""

from __future__ import annotations

import json
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest

from mixwire import Mixpanel
from mixwire.core import Endpoint, InvalidValue, Project
from mixwire.testing import LostAnswer, Settings, Status
from mixwire.testing.assertions import MemoryTracking, ServerTracking, Tracking
from mixwire.testing.local import LocalMixpanel
from mixwire.testing.state import HttpRequest
from mixwire.transports import SyncTransport

TOKEN = "canary-t"


class Plan(Enum):
    PRO = "pro"


class Long:
    """
    Equal to any text that is longer than 3.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and len(other) > 3

    def __hash__(self) -> int:
        return 0


@pytest.fixture
def mixpanel() -> MemoryTracking:
    return MemoryTracking()


@pytest.fixture
def mp(mixpanel: MemoryTracking) -> Mixpanel:
    return Mixpanel(TOKEN, transport=mixpanel.transport, limits="off")


def failure(call: Callable[..., object], *arguments: object, **named: object) -> str:
    with pytest.raises(AssertionError) as raised:
        call(*arguments, **named)
    text = str(raised.value)
    assert TOKEN not in text
    assert len(text.splitlines()) <= 15
    return text


def post(mixpanel: Tracking, target: str, *records: object) -> None:
    mixpanel.mixpanel.respond(HttpRequest(target=target, body=json.dumps(records).encode()))


# Events that are there.


def test_an_event_is_found_by_its_name_and_given_back(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"amount": 49.5})
    event = mixpanel.tracked("Paid")
    assert (event.name, event.distinct_id, event.properties["amount"]) == ("Paid", "user-1", 49.5)


def test_of_several_events_the_last_one_is_given_back(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    for amount in (1, 2):
        mp.track("user-1", "Paid", {"amount": amount})
    assert mixpanel.tracked("Paid").properties["amount"] == 2
    assert mixpanel.tracked("Paid", amount=1).properties["amount"] == 1


def test_an_event_may_have_more_properties_than_are_asked_for(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"amount": 49.5, "$city": "Berlin", "times": 3, "event": "x", "self": "y"})
    mixpanel.tracked("Paid", {"$city": "Berlin", "times": 3}, distinct_id="user-1", amount=49.5, event="x", self="y")


def test_a_distinct_id_that_is_empty_asks_for_nobodys_event(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid")
    assert failure(mixpanel.tracked, "Paid", distinct_id="").endswith("  distinct_id: 'user-1' instead of ''")
    post(mixpanel, "/track", {"event": "Paid", "properties": {"token": TOKEN}})
    mixpanel.tracked("Paid", distinct_id="")


def test_an_id_may_be_a_number_or_a_uuid_as_for_the_client(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    for user in (7, UUID(int=7)):
        mp.track(user, "Paid")  # type: ignore[arg-type]
        mp.people_set(user, {"plan": "pro"})  # type: ignore[arg-type]
        mixpanel.tracked("Paid", distinct_id=user, times=1)
        mixpanel.profile(user, plan="pro")
    mp.group_set("Company", 7, {"plan": "pro"})  # type: ignore[arg-type]
    mixpanel.group("Company", 7, plan="pro")
    mixpanel.not_tracked("Paid", distinct_id=8)
    mixpanel.tracked("Paid", distinct_id=ANY, times=2)
    mixpanel.nothing_else()


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("pro", ANY),
        ("prof", Long()),
        (None, None),
        (0.1 + 0.2, pytest.approx(0.3)),
        (1, 1.0),
        (True, True),
        ([1, {"a": ["x"]}], (1, {"a": ANY})),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ([datetime(2026, 1, 1, tzinfo=UTC)], ["2026-01-01T00:00:00"]),
        (["2026-01-01T00:00:00"], [datetime(2026, 1, 1, tzinfo=UTC)]),
        ({"b", "a"}, {"a", "b"}),
        (Decimal("49.5"), Decimal("49.50")),
        (Plan.PRO, Plan.PRO),
    ],
    ids=lambda value: None,
)
def test_a_value_is_what_is_equal_to_it_or_sent_like_it(
    sent: object, asked: object, mixpanel: MemoryTracking, mp: Mixpanel
) -> None:
    mp.track("user-1", "Paid", {"value": sent})
    mixpanel.tracked("Paid", value=asked)


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        (1, True),
        (True, 1),
        (True, 1.0),
        (False, 0),
        (None, False),
        ("1", 1),
        ("pro", Long()),
        ("pro", object()),
        ([1], [True]),
        ({"a": [{"b": 0}]}, {"a": [{"b": False}]}),
        ([1, 2], [1]),
        ([1], {"0": 1}),
        ({"a": 1, "b": 2}, {"a": 1}),
        ("2026-01-02T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
    ids=lambda value: None,
)
def test_another_value_is_not_the_same(sent: object, asked: object, mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"value": sent})
    failure(mixpanel.tracked, "Paid", value=asked)
    mixpanel.not_tracked("Paid", value=asked)


def test_an_event_that_came_twice_counts_once(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mixpanel.fail_next(LostAnswer(), endpoint=Endpoint.TRACK)
    mp.track("user-1", "Paid")
    assert len(mixpanel.mixpanel.state.events.entries) == 2
    mixpanel.tracked("Paid", times=1)
    assert [event.name for event in mixpanel.events()] == ["Paid"]
    mixpanel.nothing_else()


# Events that are not there.


def test_without_any_event_it_says_so(mixpanel: MemoryTracking) -> None:
    text = failure(mixpanel.tracked, "Paid", distinct_id="user-1", amount=49.5)
    assert text == "'Paid' with distinct_id='user-1', amount=49.5 was not tracked; no event arrived."


def test_the_nearest_event_is_shown_line_by_line(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Plan Upgraded", {"plan": "free", "trial": True})
    mp.track("user-2", "Plan Upgraded", {"plan": "free"})
    mp.track("user-1", "Plan Downgraded", {"plan": "pro", "seats": 5})
    mp.track("user-1", "Signed Up", {"plan": "pro", "seats": 5})
    mp.track("user-1", "Signed Up")
    text = failure(mixpanel.tracked, "Plan Upgraded", distinct_id="user-1", plan="pro", seats=5)
    assert text == (
        "'Plan Upgraded' with distinct_id='user-1', plan='pro', seats=5 was not tracked. "
        "The nearest event is 'Plan Upgraded':\n"
        "  plan: 'free' instead of 'pro'\n"
        "  seats: missing\n"
        "4 other events arrived: 'Plan Downgraded' (1), 'Plan Upgraded' (1), 'Signed Up' (2)"
    )


def test_without_that_name_the_nearest_name_is_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-2", "plan upgraded", {"plan": "pro"})
    mp.track("user-1", "Signed Up", {"plan": "pro"})
    text = failure(mixpanel.tracked, "Plan Upgraded", distinct_id="user-1", plan="pro")
    assert text == (
        "'Plan Upgraded' with distinct_id='user-1', plan='pro' was not tracked. "
        "The nearest event is 'plan upgraded':\n"
        "  event: 'plan upgraded' instead of 'Plan Upgraded'\n"
        "  distinct_id: 'user-2' instead of 'user-1'\n"
        "1 other event arrived: 'Signed Up' (1)"
    )


def test_another_id_of_the_same_user_is_called_so(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.alias("user-1", "device-1")
    mp.track("device-1", "Opened")
    text = failure(mixpanel.tracked, "Opened", distinct_id="user-1")
    assert text == (
        "'Opened' with distinct_id='user-1' was not tracked. The nearest event is 'Opened':\n"
        "  distinct_id: 'device-1' instead of 'user-1', another id of the same user\n"
        "1 other event arrived: '$create_alias' (1)"
    )


def test_who_asks_for_an_event_that_was_dropped_hears_why(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"$ignore": True, "amount": 1})
    mp.track("user-1", "Paid", {"amount": 2})
    assert failure(mixpanel.tracked, "Paid", amount=1) == (
        "'Paid' with amount=1 was not tracked. The nearest event is 'Paid':\n"
        "  It was dropped: it carries $ignore\n"
        "1 other event arrived: 'Paid' (1)"
    )


def test_who_asks_for_an_event_that_was_refused_hears_why(mixpanel: MemoryTracking) -> None:
    post(mixpanel, "/track", {"event": "Paid", "properties": {"amount": 1}})
    assert failure(mixpanel.tracked, "Paid", amount=1) == (
        "'Paid' with amount=1 was not tracked. The nearest event is 'Paid':\n  It was refused: token, missing or empty"
    )
    assert failure(mixpanel.tracked, "Signed Up").endswith("It was refused: token, missing or empty")


def test_a_text_that_was_truncated_is_called_so(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Noted", {"note": "x" * 300})
    assert failure(mixpanel.tracked, "Noted", note="x" * 300) == (
        f"'Noted' with note='{'x' * 39}… was not tracked. The nearest event is 'Noted':\n"
        f"  note: …{'x' * 20}' instead of …{'x' * 65}'\n"
        "  properties['note'] was truncated from 300 to 255 characters"
    )


def test_long_values_are_shown_where_they_differ(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Noted", {"first": "a" + "x" * 100, "later": "y" * 100 + "b" + "y" * 100})
    text = failure(mixpanel.tracked, "Noted", first="A" + "x" * 100, later="y" * 100 + "B" + "y" * 100)
    assert text.splitlines()[1:] == [
        f"  first: 'a{'x' * 78}… instead of 'A{'x' * 78}…",
        f"  later: …{'y' * 20}b{'y' * 59}… instead of …{'y' * 20}B{'y' * 59}…",
    ]


def test_of_many_differences_and_names_the_first_are_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    for number in range(9):
        mp.track("user-1", f"Step {number}")
    wanted = {f"property {number}": number for number in range(12)}
    assert failure(mixpanel.tracked, "Step 8", wanted) == (
        "'Step 8' with property 0=0, property 1=1, property 10=10, property 11=11 and 8 more was not tracked. "
        "The nearest event is 'Step 8':\n"
        "  property 0: missing\n"
        "  property 1: missing\n"
        "  property 10: missing\n"
        "  property 11: missing\n"
        "  property 2: missing\n"
        "  property 3: missing\n"
        "  property 4: missing\n"
        "  property 5: missing\n"
        "  and 4 more\n"
        "8 other events arrived: 'Step 0' (1), 'Step 1' (1), 'Step 2' (1), 'Step 3' (1) and 4 more"
    )


def test_no_token_is_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"nested": 1})
    assert failure(mixpanel.tracked, "Paid", {"$token": TOKEN}, token=TOKEN) == (
        "'Paid' with $token='***', token='***' was not tracked. The nearest event is 'Paid':\n"
        "  $token: missing\n"
        "  token: missing"
    )
    post(mixpanel, "/track", {"event": "Opened", "properties": {"token": TOKEN, "$token": TOKEN}})
    assert failure(mixpanel.tracked, "Opened", {"$token": f"{TOKEN}-2"}).splitlines()[1:] == [
        "  $token: '***' instead of '***'",
        "1 other event arrived: 'Paid' (1)",
    ]
    assert failure(mixpanel.not_tracked, "Opened").endswith("\n  event 'Opened': $token='***'")


def test_events_that_are_not_kept_any_more_are_mentioned() -> None:
    mixpanel = MemoryTracking(Settings(max_events=1))
    mp = Mixpanel(TOKEN, transport=mixpanel.transport)
    for name in ("Opened", "Read", "Closed"):
        mp.track("user-1", name)
    assert failure(mixpanel.tracked, "Opened").endswith("\n2 older events arrived and are not kept any more.")


# How often.


def test_an_event_can_be_asked_for_so_many_times(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    for plan in ("free", "pro", "pro"):
        mp.track("user-1", "Plan Upgraded", {"plan": plan})
    mixpanel.tracked("Plan Upgraded", times=3)
    mixpanel.tracked("Plan Upgraded", plan="pro", times=2)
    assert failure(mixpanel.tracked, "Plan Upgraded", plan="pro", times=1) == (
        "'Plan Upgraded' with plan='pro' was tracked twice, not once:\n"
        "  event 'Plan Upgraded' of 'user-1': plan='pro' (twice)"
    )
    assert failure(mixpanel.tracked, "Plan Upgraded", plan="pro", times=3) == (
        "'Plan Upgraded' with plan='pro' was tracked twice, not 3 times. The nearest event is 'Plan Upgraded':\n"
        "  plan: 'free' instead of 'pro'"
    )
    assert failure(mixpanel.tracked, "Plan Upgraded", times=4) == (
        "'Plan Upgraded' was tracked 3 times, not 4 times:\n"
        "  event 'Plan Upgraded' of 'user-1': plan='free'\n"
        "  event 'Plan Upgraded' of 'user-1': plan='pro' (twice)"
    )


def test_a_token_inside_a_value_is_not_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Opened", {"inside": {"token": "s3cret", "list": [{"token": "s3cret"}]}})
    said = failure(mixpanel.nothing_else)
    assert "inside=" in said
    assert "s3cret" not in said


def test_properties_that_are_no_mapping_are_refused(mixpanel: MemoryTracking) -> None:
    with pytest.raises(InvalidValue, match="properties must be a mapping, not str"):
        mixpanel.tracked("Paid", "user-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("times", "found"), [(0, "0"), (-1, "-1"), (True, "bool"), ("2", "str")], ids=["none", "less", "bool", "text"]
)
def test_a_number_of_times_that_is_none_is_refused(mixpanel: MemoryTracking, times: Any, found: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        mixpanel.tracked("Paid", times=times)
    assert str(refusal.value) == f"times must be at least 1, or None; for none there is not_tracked, not {found}"


def test_a_property_that_is_asked_for_twice_is_refused(mixpanel: MemoryTracking) -> None:
    with pytest.raises(InvalidValue) as refusal:
        mixpanel.not_tracked("Paid", {"plan": "pro"}, plan="free")
    assert str(refusal.value) == "plan must be given once, not given in properties and as an argument"


def test_an_event_that_should_not_be_there_is_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mixpanel.not_tracked("Paid")
    mp.track("user-1", "Paid", {"amount": 49.5, "$city": "Berlin"})
    mixpanel.not_tracked("Paid", amount=1)
    mixpanel.not_tracked("Paid", distinct_id="user-2")
    mixpanel.not_tracked("Paid", missing=ANY)
    assert failure(mixpanel.not_tracked, "Paid", distinct_id="user-1") == (
        "'Paid' with distinct_id='user-1' was tracked once, not never:\n"
        "  event 'Paid' of 'user-1': $city='Berlin', amount=49.5"
    )


# Profiles and groups.


def test_a_profile_is_given_back_as_it_stands(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.people_set("user-1", {"credits": 5, "tags": ["a"]})
    mp.people_increment("user-1", {"credits": 5})
    assert mixpanel.profile("user-1")["credits"] == 10
    assert mixpanel.profile("user-1", {"tags": ["a"]}, credits=10) == {"credits": 10, "tags": ["a"]}


def test_a_change_of_what_was_given_back_changes_nothing(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.people_set("user-1", {"tags": ["a"]})
    mixpanel.profile("user-1")["tags"].append("b")  # type: ignore[union-attr]
    assert mixpanel.profile("user-1") == {"tags": ["a"]}


def test_a_profile_is_found_by_each_id_of_its_user(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.people_set("device-1", {"credits": 5})
    mp.alias("user-1", "device-1")
    assert mixpanel.profile("user-1") == mixpanel.profile("device-1") == {"credits": 5}


def test_a_profile_that_differs_is_shown_with_what_did_not_count(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.people_set("user-1", {"credits": 5})
    mp.people_set_once("user-1", {"credits": 10})
    post(mixpanel, "/engage", {"$token": TOKEN, "$distinct_id": "user-1", "$add": {"credits": "5"}})
    assert failure(mixpanel.profile, "user-1", credits=10, plan="pro") == (
        "The profile of 'user-1' differs:\n"
        "  credits: 5 instead of 10\n"
        "  plan: missing\n"
        "  update of the profile of 'user-1': $set_once(credits=10); it was ignored: "
        "$set_once['credits']: the profile has this property already\n"
        "  update of the profile of 'user-1': $add(credits='5'); it was refused: $add, must be an object of numbers"
    )


def test_without_any_profile_it_says_so(mixpanel: MemoryTracking) -> None:
    assert failure(mixpanel.profile, "user-1") == "There is no profile of 'user-1', nor of anybody else."
    assert failure(mixpanel.group, "Company", "acme") == (
        "There is no profile of the Company 'acme', nor of any other."
    )


def test_without_that_profile_the_nearest_ids_are_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.people_set("user-2", {"credits": 5})
    assert failure(mixpanel.profile, "other") == "There is no profile of 'other'. The only one is 'user-2'."
    mp.people_set("user-10", {"credits": 5})
    mp.people_set("somebody", {"credits": 5})
    assert failure(mixpanel.profile, "user-1") == (
        "There is no profile of 'user-1'. The nearest of 3 are 'user-10', 'user-2'."
    )
    mp.people_set("user-1-of-many-more", {"credits": 5})
    assert failure(mixpanel.profile, "some-body") == (
        "There is no profile of 'some-body'. The nearest of 4 is 'somebody'."
    )


def test_a_profile_that_was_deleted_is_called_so(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.people_set("user-1", {"credits": 5})
    mp.people_delete("user-1")
    assert failure(mixpanel.profile, "user-1") == (
        "There is no profile of 'user-1', nor of anybody else.\n  It was deleted by the last update of it."
    )


def test_who_asks_for_a_profile_whose_updates_were_refused_hears_why(mixpanel: MemoryTracking) -> None:
    post(mixpanel, "/engage", {"$distinct_id": "user-1", "$set": {"credits": 5}}, {"$token": TOKEN, "$unset": ["a"]}, 3)
    assert failure(mixpanel.profile, "user-1") == (
        "There is no profile of 'user-1', nor of anybody else.\n"
        "  update of the profile of 'user-1': $set(credits=5); it was refused: $token, missing or empty\n"
        "  update: $unset('a'); it was refused: $distinct_id, missing or empty\n"
        "  update; it was refused: data, missing or empty"
    )


def test_a_group_is_found_by_key_and_id(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.group_set("Company", "acme", {"plan": "pro"})
    assert mixpanel.group("Company", "acme") == {"plan": "pro"}
    mixpanel.group("Company", "acme", plan="pro")
    assert failure(mixpanel.group, "Company", "acme", plan="free") == (
        "The profile of the Company 'acme' differs:\n  plan: 'pro' instead of 'free'"
    )
    assert failure(mixpanel.group, "Company", "acne") == (
        "There is no profile of the Company 'acne'. The only one is the Company 'acme'."
    )


# Nothing else.


def test_what_was_asked_for_is_nothing_else(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mixpanel.nothing_else()
    mp.track("user-1", "Paid")
    mp.track("user-1", "Paid")
    mp.people_set("user-1", {"plan": "pro"})
    mp.people_set_once("user-1", {"plan": "pro"})
    mp.group_set("Company", "acme", {"plan": "pro"})
    mixpanel.tracked("Paid")
    mixpanel.profile("user-1")
    mixpanel.group("Company", "acme")
    mixpanel.nothing_else()


def test_everything_that_was_not_asked_for_is_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"amount": 49.5})
    mp.track("user-1", "Opened")
    mp.track("user-1", "Opened")
    mp.people_set("user-1", {"plan": "pro"})
    mp.people_unset("user-1", ["trial"])
    mp.people_delete("user-2")
    mp.group_union("Company", "acme", {"tags": ["a", "b"]})
    mixpanel.tracked("Paid", amount=49.5)
    assert failure(mixpanel.nothing_else) == (
        "More arrived than was asked for:\n"
        "  event 'Opened' of 'user-1' (twice)\n"
        "  update of the profile of 'user-1': $set(plan='pro')\n"
        "  update of the profile of 'user-1': $unset('trial'); it was ignored: "
        "$unset['trial']: the profile has no such property\n"
        "  update of the profile of 'user-2': $delete(); it was ignored: $delete: there is no such profile\n"
        "  update of the profile of the Company 'acme': $union(tags=['a', 'b'])"
    )


def test_what_came_after_it_was_asked_for_is_something_else(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    for amount in (1, 2):
        mp.track("user-1", "Paid", {"amount": amount})
        mp.people_set("user-1", {"amount": amount})
        if amount == 1:
            mixpanel.tracked("Paid")
            mixpanel.profile("user-1")
    assert failure(mixpanel.nothing_else) == (
        "More arrived than was asked for:\n"
        "  event 'Paid' of 'user-1': amount=2\n"
        "  update of the profile of 'user-1': $set(amount=2)"
    )


def test_what_was_refused_or_dropped_is_something_else(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid", {"$ignore": True})
    mp.people_set("user-1", {"plan": "pro"})
    post(
        mixpanel,
        "/engage",
        {"$token": TOKEN, "$distinct_id": "user-1", "$add": 5},
        {"$token": TOKEN, "$distinct_id": "user-1", "$ip": "0", "$add": {"credits": 5}},
    )
    mixpanel.profile("user-1")
    failure(mixpanel.tracked, "Paid")
    assert failure(mixpanel.nothing_else) == (
        "More arrived than was asked for:\n"
        "  event 'Paid' of 'user-1': $ignore=True; it was dropped: it carries $ignore\n"
        "  update of the profile of 'user-1': $add(); it was refused: $add, must be an object of numbers"
    )


def test_what_belongs_to_another_project_is_something_else() -> None:
    mixpanel = MemoryTracking(Settings(token="another-token"))
    post(mixpanel, "/track", {"event": "Paid", "properties": {"token": TOKEN}})
    post(mixpanel, "/engage", {"$token": TOKEN, "$distinct_id": "user-1", "$set": {"a": 1}})
    post(mixpanel, "/groups", {"$token": TOKEN, "$group_key": "Company", "$group_id": "acme", "$set": {"a": 1}})
    assert failure(mixpanel.nothing_else) == (
        "More arrived than was asked for:\n"
        "  event 'Paid'; it was dropped: its token is not that of this project\n"
        "  update of the profile of 'user-1': $set(a=1); it was dropped: its token is not that of this project\n"
        "  update of the profile of the Company 'acme': $set(a=1); "
        "it was dropped: its token is not that of this project"
    )


def test_a_request_that_was_refused_as_a_whole_is_something_else(mixpanel: MemoryTracking) -> None:
    post(mixpanel, f"/import?strict=1&data={TOKEN}", {"event": "Paid"})
    post(mixpanel, f"/nowhere?data={TOKEN}")
    post(mixpanel, "/track")
    assert failure(mixpanel.nothing_else) == (
        "More arrived than was asked for:\n"
        "  request POST /import, answered 401: Invalid credentials\n"
        "  request POST /nowhere, answered 404: no such path\n"
        "  request POST /track, answered 200"
    )


def test_a_request_is_not_shown_beside_its_records(mixpanel: MemoryTracking) -> None:
    headers = (("Content-Type", "application/json"), ("Authorization", f"Basic {b64encode(b'memory:').decode()}"))
    body = b'[{"event":"Paid","properties":{}}]'
    reply = mixpanel.mixpanel.respond(HttpRequest(target="/import?strict=1", headers=headers, body=body))
    assert reply.status == 400
    (_, line) = failure(mixpanel.nothing_else).splitlines()
    assert line.startswith("  event 'Paid'; it was refused: ")


def test_a_request_is_not_shown_in_the_place_of_events_that_are_not_kept_any_more() -> None:
    mixpanel = MemoryTracking(Settings(max_events=1))
    mp = Mixpanel(TOKEN, transport=mixpanel.transport)
    for _ in range(2):
        mp.track("user-1", "Opened")
        mixpanel.tracked("Opened")
    mixpanel.nothing_else()


def test_the_profile_of_an_id_and_that_of_its_user_are_two(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.alias("user-1", "device-1")
    mixpanel.tracked("$create_alias", alias="user-1")
    mp.people_set("device-1", {"plan": "pro"})
    mp.people_set("user-1", {"plan": "free"}, meta={"$ignore_alias": True})
    mixpanel.profile("user-1", plan="pro")
    assert failure(mixpanel.nothing_else) == (
        "More arrived than was asked for:\n  update of the profile of 'user-1': $set(plan='free')"
    )


def test_a_request_that_was_made_to_fail_is_nothing_else(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mixpanel.fail_next(Status(503), times=2)
    mp.track("user-1", "Paid")
    mixpanel.tracked("Paid", times=1)
    mixpanel.nothing_else()


def test_of_many_things_the_first_are_shown(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    for number in range(20):
        mp.track("user-1", f"Step {number}")
        mp.track("user-1", f"Step {number}")
    lines = failure(mixpanel.nothing_else).splitlines()
    assert lines[1] == "  event 'Step 0' of 'user-1' (twice)"
    assert lines[13:] == ["  and 16 more"]


# The Mixpanel behind it.


def test_reset_forgets_what_arrived_what_was_asked_for_and_what_will_fail(
    mixpanel: MemoryTracking, mp: Mixpanel
) -> None:
    mp.track("user-1", "Paid")
    mixpanel.tracked("Paid")
    mixpanel.fail_next(Status(400), times=None)
    mixpanel.reset()
    assert mixpanel.events() == ()
    mp.track("user-1", "Paid")
    assert failure(mixpanel.nothing_else).endswith("\n  event 'Paid' of 'user-1'")


def test_after_a_reset_the_same_is_something_else_again() -> None:
    mixpanel = Tracking(LocalMixpanel(now=lambda: 1767225600000))
    event = {"event": "Paid", "properties": {"token": TOKEN}}
    post(mixpanel, "/track", event)
    mixpanel.tracked("Paid")
    mixpanel.reset()
    post(mixpanel, "/track", event)
    failure(mixpanel.nothing_else)


def test_each_transport_leads_to_the_same_and_is_closed_alone(mixpanel: MemoryTracking) -> None:
    for number in range(2):
        with Mixpanel(TOKEN, transport=mixpanel.transport) as mp:
            mp.track("user-1", "Opened", {"number": number})
    mixpanel.tracked("Opened", times=2)


@pytest.mark.parametrize(
    "settings", [None, Settings(token=TOKEN, project_secret="of-another")], ids=["any-token", "one-token"]
)
def test_the_transport_may_import(settings: Settings | None) -> None:
    mixpanel = MemoryTracking(settings)
    mp = Mixpanel(TOKEN, transport=mixpanel.transport, events="import")
    mp.track("user-1", "Paid")
    assert mixpanel.tracked("Paid").endpoint is Endpoint.IMPORT


def test_the_settings_are_those_of_the_project() -> None:
    mixpanel = MemoryTracking(Settings(id_system="simplified"))
    mp = Mixpanel(TOKEN, transport=mixpanel.transport)
    mp.track("ignored", "Opened", {"$device_id": "device-1"})
    mixpanel.tracked("Opened", distinct_id="$device:device-1")


# What arrives later.


def test_what_is_asked_for_is_waited_for() -> None:
    local = LocalMixpanel()
    mixpanel = ServerTracking(local, "http://127.0.0.1:9", patience_seconds=30)
    assert mixpanel.url == "http://127.0.0.1:9"
    mp = Mixpanel(TOKEN, transport=SyncTransport(Project(TOKEN), post=local.post))
    is_asked = threading.Event()
    wait_for = local.wait_for

    def noted(is_so: Any, seconds: float) -> bool:
        is_asked.set()
        return wait_for(is_so, seconds)

    def later() -> None:
        is_asked.wait(30)
        for number in range(2):
            mp.track("user-1", "Paid", {"number": number})
            mp.people_increment("user-1", {"credits": 5})
            mp.group_set("Company", "acme", {"number": number})

    thread = threading.Thread(target=later)
    thread.start()
    try:
        local.wait_for = noted  # type: ignore[method-assign]
        mixpanel.tracked("Paid", times=2)
        mixpanel.profile("user-1", credits=10)
        mixpanel.group("Company", "acme", number=1)
    finally:
        thread.join()
    mixpanel.nothing_else()


def test_what_does_not_come_is_waited_for_no_longer_than_the_patience(mixpanel: MemoryTracking) -> None:
    waits: list[float] = []
    wait_for = mixpanel.mixpanel.wait_for

    def noted(is_so: Any, seconds: float) -> bool:
        waits.append(seconds)
        return wait_for(is_so, seconds)

    mixpanel.mixpanel.wait_for = noted  # type: ignore[method-assign]
    failure(mixpanel.tracked, "Paid")
    mixpanel.patience_seconds = 0.01
    failure(mixpanel.profile, "user-1")
    failure(mixpanel.group, "Company", "acme")
    mixpanel.not_tracked("Paid")
    mixpanel.nothing_else()
    assert waits == [0.0, 0.01, 0.01]


def test_all_that_is_asked_for_is_waited_for(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    had_come: list[bool] = []

    def noted(is_so: Any, _: float) -> bool:
        had_come.append(is_so(mixpanel.mixpanel.state))
        return had_come[-1]

    mixpanel.mixpanel.wait_for = noted  # type: ignore[method-assign]
    for times in (1, 2):
        mp.track("user-1", "Paid")
        mp.people_increment("user-1", {"credits": 5})
        for ask in (
            lambda: mixpanel.tracked("Paid"),
            lambda: mixpanel.tracked("Paid", times=2),
            lambda: mixpanel.profile("user-1"),
            lambda: mixpanel.profile("user-1", credits=10),
        ):
            with suppress(AssertionError):
                ask()
        assert had_come == [True, times == 2] * 2
        had_come.clear()


# What is seen of it.


def test_the_frames_of_the_assertions_can_be_hidden(mixpanel: MemoryTracking, mp: Mixpanel) -> None:
    mp.track("user-1", "Paid")
    calls: list[tuple[Callable[..., object], tuple[str, ...]]] = [
        (mixpanel.tracked, ("Signed Up",)),
        (mixpanel.not_tracked, ("Paid",)),
        (mixpanel.profile, ("user-1",)),
        (mixpanel.group, ("Company", "acme")),
        (mixpanel.nothing_else, ()),
    ]
    for call, arguments in calls:
        with pytest.raises(AssertionError) as raised:
            call(*arguments)
        frames = [frame for frame, _ in traceback.walk_tb(raised.tb) if frame.f_globals["__name__"] != __name__]
        assert frames
        assert all(frame.f_locals.get("__tracebackhide__") for frame in frames)
