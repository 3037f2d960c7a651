"""
Ids in the emulator: aliases, identified and merged ids of original projects, devices of simplified ones.

A test or a case is named for the rule of the protocol that it shows: R for a rule, D for a point where the sources
disagree and the emulator takes a side.
"""

from __future__ import annotations

import json
from typing import Final

import pytest
from emulator_calls import (
    EMPTY,
    GOOD,
    ONE,
    SIMPLIFIED,
    TOKEN,
    Record,
    applied,
    event,
    fates,
    post,
    post_import,
    profile,
    said,
    update,
    without,
)

from mixwire.core import JSON
from mixwire.testing.emulator import query_view, user_of
from mixwire.testing.identities import MAX_CLUSTER, Identities
from mixwire.testing.state import Fate, Settings, State

ANONYMOUS: Final = "4f9cb3e6-6d0f-4c1b-9a53-2f1f8f0d9b11"
OTHER: Final = "9d2f7a10-3b4c-4d5e-8f60-718293a4b5c6"


def alias(distinct_id: str, new_id: str) -> Record:
    return {"event": "$create_alias", "properties": {"distinct_id": distinct_id, "alias": new_id, "token": TOKEN}}


def identify(known: str, anonymous: str = ANONYMOUS) -> Record:
    properties: Record = {"$identified_id": known, "$anon_id": anonymous, "token": TOKEN}
    return {"event": "$identify", "properties": properties}


def merge(one: str, other: str) -> Record:
    return {"event": "$merge", "properties": {"$distinct_ids": [one, other], "token": TOKEN}}


def after(*commands: Record, state: State = EMPTY) -> State:
    """
    The state after commands, each of which is answered with success.
    """
    for command in commands:
        state, reply = post_import([command], state=state)
        assert said(reply) == (200, "application/json", b'{"code":200,"num_records_imported":1,"status":"OK"}')
    return state


def reasons(state: State) -> list[str]:
    return [each.reason for each in state.events.entries]


def users(state: State, *ids: str) -> list[str]:
    return [state.identities.user_of(each) for each in ids]


def cluster_of(size: int) -> State:
    """
    A project in which so many ids belong to user-1.
    """
    identities = Identities()
    for number in range(2, size + 1):
        identities, reason = identities.merged("user-1", f"user-{number}")
        assert reason == ""
    return State(identities=identities)


# What joins ids in an original project.


@pytest.mark.parametrize(
    ("command", "joined"),
    [
        pytest.param(alias("user-1", "u@example.com"), "u@example.com", id="alias"),
        pytest.param(identify("user-1"), ANONYMOUS, id="D29 identify"),
        pytest.param(identify("user-1", ANONYMOUS.upper()), ANONYMOUS.upper(), id="identify in capitals"),
        pytest.param(identify("user-1", f"$device:{ANONYMOUS}"), f"$device:{ANONYMOUS}", id="identify with a device"),
        pytest.param(merge("user-1", "user-2"), "user-2", id="merge"),
    ],
)
def test_a_command_makes_the_other_id_one_of_the_user(command: Record, joined: str) -> None:
    state, _ = post("/track", [event(distinct_id=joined)])
    state = after(command, state=state)
    state, _ = post("/track", [event("Later", distinct_id=joined)], state=state)
    earlier, _, later = state.events.entries
    assert [user_of(state, each) for each in (earlier, later)] == ["user-1", "user-1"]
    assert fates(state) == [Fate.STORED] * 3


@pytest.mark.parametrize("command", [alias("user-1", "new"), identify("user-1")], ids=["alias", "identify"])
def test_an_alias_and_an_identify_work_on_track_too(command: Record) -> None:
    state, reply = post("/track?verbose=1", [command])
    assert said(reply) == GOOD
    assert fates(state) == [Fate.STORED]
    assert users(state, "new", ANONYMOUS).count("user-1") == 1


def test_an_identify_belongs_to_the_known_id_unless_it_says_otherwise() -> None:
    state, _ = post("/track", [identify("user-1")])
    assert state.events.entries[0].distinct_id == "user-1"
    command = identify("user-1")
    command["properties"] = {"$identified_id": "user-1", "$anon_id": OTHER, "token": TOKEN, "distinct_id": "user-9"}
    state, _ = post("/track", [command])
    assert state.events.entries[0].distinct_id == "user-9"


def test_several_aliases_may_point_to_one_id_and_to_each_other() -> None:
    state = after(alias("user-1", "a"), alias("user-1", "b"), alias("b", "c"))
    assert users(state, "a", "b", "c") == ["user-1"] * 3


def test_a_merge_joins_all_ids_of_both() -> None:
    state = after(alias("user-1", "a"), alias("user-2", "b"), merge("user-1", "b"))
    assert users(state, "a", "user-2", "b") == ["user-1"] * 3


@pytest.mark.parametrize(
    "command",
    [alias("user-1", "a"), identify("user-1"), merge("user-1", "user-2")],
    ids=["alias", "identify", "merge"],
)
def test_a_command_that_is_sent_again_is_harmless_and_counts_once(command: Record) -> None:
    once = after(command)
    twice = after(command, state=once)
    assert twice.identities == once.identities
    assert fates(twice) == [Fate.STORED, Fate.STORED]
    assert len(query_view(twice)) == 1


# What does not.


@pytest.mark.parametrize(
    ("before", "command", "reason"),
    [
        pytest.param(EMPTY, identify("user-1", "user-2"), "errAnonDistinctIdNonGUIDForm", id="R94 no UUID"),
        pytest.param(
            EMPTY,
            identify("user-1", "4f9cb3e6-6d0f-1c1b-9a53-2f1f8f0d9b11"),
            "errAnonDistinctIdNonGUIDForm",
            id="R94 UUID of version 1",
        ),
        pytest.param(
            EMPTY,
            identify("user-1", "4f9cb3e6-6d0f-4c1b-ca53-2f1f8f0d9b11"),
            "errAnonDistinctIdNonGUIDForm",
            id="R94 UUID of another variant",
        ),
        pytest.param(
            EMPTY, identify("user-1", ANONYMOUS + "0"), "errAnonDistinctIdNonGUIDForm", id="R94 more than a UUID"
        ),
        pytest.param(
            EMPTY, identify("user-1", ANONYMOUS + "\n"), "errAnonDistinctIdNonGUIDForm", id="R94 UUID and a newline"
        ),
        pytest.param(EMPTY, identify(ANONYMOUS, "user-1"), "errAnonDistinctIdNonGUIDForm", id="D29 swapped"),
        pytest.param(EMPTY, identify(ANONYMOUS), "errSameIDs", id="R95 the same UUID"),
        pytest.param(EMPTY, identify("user-1", "user-1"), "errSameIDs", id="R95 the same id"),
        pytest.param(
            after(identify("user-1")), identify("user-2"), "errAnonDistinctIdAssignedAlready", id="R96 another's"
        ),
        pytest.param(after(alias("user-1", "a")), alias("user-2", "a"), "errAliasAlreadyExists", id="R99 another's"),
        pytest.param(EMPTY, alias("user-1", "user-1"), "errSameIDs", id="an alias of itself"),
        pytest.param(cluster_of(MAX_CLUSTER), alias("user-1", "new"), "errManyIDs", id="R100 alias"),
        pytest.param(cluster_of(MAX_CLUSTER), identify("user-1"), "errManyIDs", id="R100 identify"),
        pytest.param(cluster_of(MAX_CLUSTER), merge("new", "user-7"), "errManyIDs", id="R100 merge"),
    ],
)
def test_a_command_that_breaks_a_condition_is_answered_with_success_and_ignored(
    before: State, command: Record, reason: str
) -> None:
    state = after(command, state=before)
    kept = state.events.entries[-1]
    assert (kept.fate, kept.reason, kept.properties["$failure_reason"]) == (Fate.IGNORED, reason, reason)
    assert state.identities == before.identities
    state, reply = post("/track", [event(), command], state=before)
    assert said(reply) == ONE


def test_rule_96_an_anonymous_id_may_be_identified_again_as_the_same_user() -> None:
    state = after(identify("user-1"), alias("user-1", "a"), identify("a"))
    assert reasons(state) == ["", "", ""]
    assert users(state, "a", ANONYMOUS) == ["user-1", "user-1"]


def test_rule_99_an_alias_of_another_alias_of_the_same_user_is_another() -> None:
    state = after(alias("user-1", "a"), alias("user-1", "a"), alias("user-2", "a"))
    assert reasons(state) == ["", "", "errAliasAlreadyExists"]
    assert users(state, "a", "user-2") == ["user-1", "user-2"]


def test_rule_100_five_hundred_ids_are_not_too_many() -> None:
    assert MAX_CLUSTER == 500
    state = after(alias("user-1", "new"), state=cluster_of(499))
    assert users(state, "new") == ["user-1"]
    # What belongs together already needs no place.
    again = after(merge("user-1", "new"), state=state)
    assert reasons(again) == ["", ""]


@pytest.mark.parametrize(
    ("command", "error"),
    [
        pytest.param({"alias": "a"}, "distinct_id, missing or empty", id="no distinct_id"),
        pytest.param({"distinct_id": "", "alias": "a"}, "distinct_id, missing or empty", id="empty distinct_id"),
        pytest.param({"distinct_id": "user-1"}, "distinct_id, missing or empty", id="no alias"),
        pytest.param({"distinct_id": "user-1", "alias": 7}, "distinct_id, missing or empty", id="number as alias"),
    ],
)
def test_an_alias_without_an_id_is_refused_on_track_too(command: Record, error: str) -> None:
    record: Record = {"event": "$create_alias", "properties": {**command, "token": TOKEN}}
    state, reply = post("/track?verbose=1", [record])
    assert json.loads(reply.body) == {"error": error, "status": 0}
    assert state.identities == EMPTY.identities


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "b", "c"], ["a", 1], ["a", ""], "ab", {"a": "b"}, None])
def test_a_merge_of_other_than_two_ids_is_refused(ids: JSON) -> None:
    record: Record = {"event": "$merge", "properties": {"$distinct_ids": ids, "token": TOKEN}}
    state, reply = post_import([record, merge("user-1", "user-2")])
    assert (reply.status, json.loads(reply.body)["num_records_imported"]) == (400, 1)
    assert fates(state) == [Fate.REFUSED, Fate.STORED]


def test_identity_commands_and_events_of_one_batch_are_all_taken_in_an_original_project() -> None:
    state, reply = post_import([event(), merge("user-1", "user-2"), event("Other")])
    assert json.loads(reply.body)["num_records_imported"] == 3
    assert users(state, "user-2") == ["user-1"]


# Profiles of joined ids.


def test_an_update_of_an_alias_changes_the_profile_of_the_user() -> None:
    state = applied(update(set={"p": 1}), state=after(alias("user-1", "a")))
    state = applied(update(distinct_id="a", set={"q": 2}), state=state)
    assert (profile(state), profile(state, "a")) == ({"p": 1, "q": 2}, None)
    assert state.updates.entries[-1].owner == "user-1"


def test_an_update_with_ignore_alias_means_the_id_as_it_stands() -> None:
    state = applied(update(set={"p": 1}), state=after(alias("user-1", "a")))
    state = applied(update(distinct_id="a", set={"q": 2}, ignore_alias=True), state=state)
    assert (profile(state), profile(state, "a")) == ({"p": 1}, {"q": 2})
    state = applied(update(distinct_id="a", delete="", ignore_alias=True), state=state)
    assert (profile(state), profile(state, "a")) == ({"p": 1}, None)
    state = applied(update(distinct_id="a", delete=""), state=state)
    assert profile(state) is None


def test_a_profile_under_the_id_that_goes_becomes_that_of_the_user() -> None:
    state = after(alias("user-1", "a"), state=applied(update(distinct_id="a", set={"p": 1})))
    assert (profile(state), profile(state, "a")) == ({"p": 1}, None)


def test_of_two_profiles_the_one_of_the_id_that_goes_stays_where_it_is() -> None:
    state = applied(update(distinct_id="a", set={"p": 1}), update(set={"p": 2}))
    state = after(alias("user-1", "a"), state=state)
    assert (profile(state), profile(state, "a")) == ({"p": 2}, {"p": 1})


# Simplified projects.


@pytest.mark.parametrize("command", [alias("user-1", "a"), identify("user-1"), merge("user-1", "user-2")])
@pytest.mark.parametrize("target", ["/track?verbose=1", "/import?strict=0&verbose=1"])
def test_point_14_commands_have_no_effect_in_a_simplified_project(target: str, command: Record) -> None:
    if target.startswith("/track"):
        state, reply = post(target, [command], state=SIMPLIFIED)
    else:
        state, reply = post_import([command], target.partition("?")[2], state=SIMPLIFIED)
    assert json.loads(reply.body)["status"] == 1
    assert fates(state) == [Fate.IGNORED]
    assert state.identities == SIMPLIFIED.identities
    assert "$failure_reason" not in state.events.entries[0].properties


@pytest.mark.parametrize(
    ("properties", "distinct_id"),
    [
        pytest.param({"$device_id": "d-1"}, "$device:d-1", id="R33 device"),
        pytest.param({"$device_id": "$device:d-1"}, "$device:d-1", id="device with its prefix"),
        pytest.param({"$device_id": "$device:$device:d-1"}, "$device:$device:d-1", id="only one prefix is taken off"),
        pytest.param({"$user_id": "user-1"}, "user-1", id="R33 user"),
        pytest.param({"$device_id": "d-1", "$user_id": "user-1"}, "user-1", id="both"),
        pytest.param({"distinct_id": "x", "$user_id": "user-1"}, "user-1", id="the user counts more than the id"),
        pytest.param({"distinct_id": "x", "$device_id": "d-1"}, "$device:d-1", id="the device counts more than the id"),
        pytest.param({"distinct_id": "user-1"}, "user-1", id="only an id"),
        pytest.param({"distinct_id": "$device:d-1"}, "$device:d-1", id="only the id of a device"),
    ],
)
def test_the_id_is_made_of_user_and_device(properties: Record, distinct_id: str) -> None:
    state, reply = post_import(
        [without("distinct_id", **properties)] if "distinct_id" not in properties else [event(**properties)],
        state=SIMPLIFIED,
    )
    assert reply.status == 200
    kept = state.events.entries[0]
    assert (kept.distinct_id, kept.properties["distinct_id"]) == (distinct_id, distinct_id)


def seen(device: str, user: str, state: State = SIMPLIFIED) -> State:
    """
    The state after an event of a device, and of a user if there is one.
    """
    ids: Record = {"$device_id": device, "$user_id": user} if user else {"$device_id": device}
    return post("/track", [without("distinct_id", **ids)], state=state)[0]


def test_the_first_event_with_both_ids_gives_the_device_and_its_past_to_the_user() -> None:
    state = seen("d-1", "")
    assert user_of(state, state.events.entries[0]) == "$device:d-1"
    state = seen("d-1", "user-1", state)
    assert [user_of(state, each) for each in state.events.entries] == ["user-1", "user-1"]
    assert user_of(state, seen("$device:d-1", "", state).events.entries[-1]) == "user-1"
    assert users(seen("$device:d-2", "user-2", state), "$device:d-2") == ["user-2"]


def test_a_device_stays_with_its_first_user_and_a_user_may_have_many() -> None:
    state = seen("d-2", "user-1", seen("d-1", "user-2", seen("d-1", "user-1")))
    assert users(state, "$device:d-1", "$device:d-2") == ["user-1", "user-1"]
    assert [user_of(state, each) for each in state.events.entries] == ["user-1", "user-2", "user-1"]


def test_a_dropped_event_links_no_device() -> None:
    properties: Record = {"$device_id": "d-1", "$user_id": "user-1", "$ignore": True}
    record = event(**properties)
    state, _ = post("/track", [record], state=SIMPLIFIED)
    assert users(state, "$device:d-1") == ["$device:d-1"]


def test_the_profile_of_a_device_is_not_carried_over() -> None:
    state = applied(update(distinct_id="$device:d-1", set={"p": 1}), state=SIMPLIFIED)
    state = seen("d-1", "user-1", state)
    assert profile(state) is None
    assert profile(applied(update(distinct_id="$device:d-1", set={"q": 1}), state=state)) == {"q": 1}


def test_an_original_project_knows_nothing_of_devices() -> None:
    state = seen("d-1", "user-1", EMPTY)
    kept = state.events.entries[0]
    assert (kept.distinct_id, users(state, "$device:d-1")) == ("", ["$device:d-1"])


# What is kept of them.


def test_the_oldest_links_go_first() -> None:
    state = State(settings=Settings(max_profiles=2))
    state = after(alias("user-1", "a"), alias("user-2", "b"), alias("user-3", "c"), state=state)
    assert users(state, "a", "b", "c") == ["a", "user-2", "user-3"]
    assert set(state.identities.aliases) == {"b", "c"}
    # A link that is forgotten may be made anew.
    assert users(after(alias("user-9", "a"), state=state), "a") == ["user-9"]


def test_the_oldest_devices_go_first() -> None:
    state = State(settings=Settings(id_system="simplified", max_profiles=2))
    for number in (1, 2, 3):
        state = seen(f"d-{number}", "user-1", state)
    assert set(state.identities.devices) == {"d-2", "d-3"}
