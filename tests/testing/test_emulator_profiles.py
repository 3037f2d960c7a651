"""
/engage and /groups of the emulator: which updates are valid, what each operator does, and what is answered.

A test or a case is named for the rule of the protocol that it shows: R for a rule, D for a point where the sources
disagree and the emulator takes a side.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Final
from urllib.parse import quote_plus

import pytest
from emulator_calls import (
    BY_TOKEN,
    EMPTY,
    FORM_TYPE,
    GOOD,
    JSON_TYPE,
    MAX_BODY,
    NONE,
    NOW,
    ONE,
    PUBLIC_ADDRESS,
    SECOND,
    TOKEN,
    Record,
    Said,
    applied,
    bad,
    compact,
    event,
    group,
    group_update,
    post,
    profile,
    said,
    update,
    update_fates,
)

from mixwire.core import JSON
from mixwire.testing.events import place_of
from mixwire.testing.state import Fate, Settings, State

OPERATIONS: Final[dict[str, JSON]] = {
    "set": {"p": 2},
    "set_once": {"p": 2},
    "add": {"p": 2},
    "append": {"p": 2},
    "union": {"p": [2]},
    "remove": {"p": 2},
    "unset": ["p"],
    "delete": "",
}
CREATING: Final = ("set", "set_once", "add", "append", "union")
NO_DATA: Final = bad("data, missing or empty")
NO_OPERATION: Final = "no operation"


def from_profile(before: Record | None) -> State:
    return EMPTY if before is None else applied(update(set=before))


def place(address: str) -> Record:
    city, region, country = place_of(address)
    return {"$city": city, "$region": region, "$country_code": country}


def missing(name: str, record: Record) -> Record:
    return {key: value for key, value in record.items() if key != name}


# What each operator does.


@pytest.mark.parametrize(
    ("before", "operator", "operand", "after", "fate"),
    [
        pytest.param(None, "set", {"p": 2}, {"p": 2}, Fate.STORED, id="R106 D26 set on no profile"),
        pytest.param({"q": 1}, "set", {"p": 2}, {"q": 1, "p": 2}, Fate.STORED, id="R106 set what is missing"),
        pytest.param({"p": 1}, "set", {"p": 2}, {"p": 2}, Fate.STORED, id="R107 set again"),
        pytest.param({"p": [1]}, "set", {"p": "x"}, {"p": "x"}, Fate.STORED, id="R107 set another type"),
        pytest.param({"p": 1}, "set", {"p": None}, {"p": None}, Fate.STORED, id="R83 set null"),
        pytest.param({"p": 1}, "set", {"p": ""}, {"p": ""}, Fate.STORED, id="R83 set nothing"),
        pytest.param(None, "set", {}, {}, Fate.STORED, id="R106 set nothing on no profile"),
        pytest.param({"p": 1}, "set", {}, {"p": 1}, Fate.IGNORED, id="R107 set no property"),
        pytest.param(None, "set_once", {"p": 2}, {"p": 2}, Fate.STORED, id="D26 set once on no profile"),
        pytest.param({"p": 1}, "set_once", {"p": 2}, {"p": 1}, Fate.IGNORED, id="R108 set once what is there"),
        pytest.param(
            {"p": 1}, "set_once", {"p": 2, "q": 3}, {"p": 1, "q": 3}, Fate.STORED, id="R108 set once the others"
        ),
        pytest.param({"p": ""}, "set_once", {"p": 2}, {"p": ""}, Fate.IGNORED, id="R108 set once over nothing"),
        pytest.param({"p": 0}, "set_once", {"p": 2}, {"p": 0}, Fate.IGNORED, id="R108 set once over 0"),
        pytest.param({"p": False}, "set_once", {"p": 2}, {"p": False}, Fate.IGNORED, id="R108 set once over false"),
        pytest.param({"p": None}, "set_once", {"p": 2}, {"p": None}, Fate.IGNORED, id="R108 set once over null"),
        pytest.param(None, "add", {"p": 2}, {"p": 2}, Fate.STORED, id="R109 D26 add on no profile"),
        pytest.param({}, "add", {"p": 2}, {"p": 2}, Fate.STORED, id="R109 add to what is missing"),
        pytest.param({"p": 5}, "add", {"p": 2}, {"p": 7}, Fate.STORED, id="R109 add"),
        pytest.param({"p": 5}, "add", {"p": -7}, {"p": -2}, Fate.STORED, id="R110 subtract"),
        pytest.param({"p": 5}, "add", {"p": 0.5}, {"p": 5.5}, Fate.STORED, id="R109 add a float"),
        pytest.param({"p": 1.5}, "add", {"p": 2, "q": 1}, {"p": 3.5, "q": 1}, Fate.STORED, id="R109 add to two"),
        pytest.param({"p": "5"}, "add", {"p": 2}, {"p": "5"}, Fate.IGNORED, id="R112 add to text"),
        pytest.param({"p": True}, "add", {"p": 2}, {"p": True}, Fate.IGNORED, id="R112 add to a bool"),
        pytest.param({"p": None}, "add", {"p": 2}, {"p": None}, Fate.IGNORED, id="R112 add to null"),
        pytest.param({"p": [1]}, "add", {"p": 2}, {"p": [1]}, Fate.IGNORED, id="R112 add to a list"),
        pytest.param({"p": "5"}, "add", {"p": 2, "q": 2}, {"p": "5", "q": 2}, Fate.STORED, id="R112 add to the other"),
        pytest.param({"p": 1e308}, "add", {"p": 1e308}, {"p": 1e308}, Fate.IGNORED, id="R112 add beyond what fits"),
        pytest.param(None, "append", {"p": 2}, {"p": [2]}, Fate.STORED, id="R113 D26 append on no profile"),
        pytest.param({}, "append", {"p": 2}, {"p": [2]}, Fate.STORED, id="R113 append to what is missing"),
        pytest.param({"p": [1, 2]}, "append", {"p": 2}, {"p": [1, 2, 2]}, Fate.STORED, id="R114 append it again"),
        pytest.param({"p": [1]}, "append", {"p": [2]}, {"p": [1, [2]]}, Fate.STORED, id="R113 append a list"),
        pytest.param({"p": 1}, "append", {"p": 2}, {"p": 1}, Fate.IGNORED, id="R115 append to a number"),
        pytest.param({"p": "x"}, "append", {"p": "y"}, {"p": "x"}, Fate.IGNORED, id="R115 append to text"),
        pytest.param({"p": None}, "append", {"p": 2}, {"p": None}, Fate.IGNORED, id="R115 append to null"),
        pytest.param(None, "union", {"p": [2, 1, 2]}, {"p": [2, 1]}, Fate.STORED, id="R116 D26 union on no profile"),
        pytest.param({"p": [1]}, "union", {"p": [1, 2, 2]}, {"p": [1, 2]}, Fate.STORED, id="R116 union"),
        pytest.param({"p": [1, 1]}, "union", {"p": [2]}, {"p": [1, 1, 2]}, Fate.STORED, id="R116 union leaves doubles"),
        pytest.param({"p": [1, 2]}, "union", {"p": [2]}, {"p": [1, 2]}, Fate.IGNORED, id="R116 union of what is there"),
        pytest.param({"p": [1]}, "union", {"p": ["1"]}, {"p": [1, "1"]}, Fate.STORED, id="R116 union of text"),
        pytest.param({"p": [True]}, "union", {"p": [1]}, {"p": [True, 1]}, Fate.STORED, id="R116 true is not 1"),
        pytest.param({"p": [1]}, "union", {"p": [1.0]}, {"p": [1]}, Fate.IGNORED, id="R116 1.0 is 1"),
        pytest.param(
            {"p": [{"k": 1}]}, "union", {"p": [1]}, {"p": [{"k": 1}, 1]}, Fate.STORED, id="R116 after objects"
        ),
        pytest.param({"p": 1}, "union", {"p": [2]}, {"p": 1}, Fate.IGNORED, id="R117 union with a number"),
        pytest.param({"p": "x"}, "union", {"p": ["x"]}, {"p": "x"}, Fate.IGNORED, id="R117 union with text"),
        pytest.param(None, "remove", {"p": 2}, None, Fate.IGNORED, id="R118 D26 remove on no profile"),
        pytest.param({"q": 1}, "remove", {"p": 2}, {"q": 1}, Fate.IGNORED, id="R118 remove from what is missing"),
        pytest.param({"p": [1]}, "remove", {"p": 2}, {"p": [1]}, Fate.IGNORED, id="R118 remove what is absent"),
        pytest.param({"p": 2}, "remove", {"p": 2}, {"p": 2}, Fate.IGNORED, id="R118 remove from a number"),
        pytest.param({"p": [1, 2]}, "remove", {"p": 2}, {"p": [1]}, Fate.STORED, id="R119 remove"),
        pytest.param({"p": [2]}, "remove", {"p": 2}, {"p": []}, Fate.STORED, id="R119 remove the last"),
        pytest.param(
            {"p": [2, 1, 2]}, "remove", {"p": 2}, {"p": [1]}, Fate.STORED, id="R119 remove all that are equal"
        ),
        pytest.param({"p": ["2"]}, "remove", {"p": 2}, {"p": ["2"]}, Fate.IGNORED, id="R118 text is no number"),
        pytest.param({"p": [True]}, "remove", {"p": 1}, {"p": [True]}, Fate.IGNORED, id="R118 true is not 1"),
        pytest.param({"p": [[0]]}, "remove", {"p": [False]}, {"p": [[0]]}, Fate.IGNORED, id="R118 false is not 0"),
        pytest.param({"p": [{"k": [1]}, 3]}, "remove", {"p": {"k": [1]}}, {"p": [3]}, Fate.STORED, id="R119 an object"),
        pytest.param({"p": [[1, 2], 1]}, "remove", {"p": [1, 2]}, {"p": [1]}, Fate.STORED, id="R119 a list"),
        pytest.param({"p": [None]}, "remove", {"p": None}, {"p": []}, Fate.STORED, id="R119 null"),
        pytest.param(None, "unset", ["p"], None, Fate.IGNORED, id="R120 D26 unset on no profile"),
        pytest.param({"q": 1}, "unset", ["p"], {"q": 1}, Fate.IGNORED, id="R120 unset what is missing"),
        pytest.param({"p": [1], "q": 1}, "unset", ["p"], {"q": 1}, Fate.STORED, id="R120 unset"),
        pytest.param({"p": 1, "q": 1}, "unset", ["p", "q", "r"], {}, Fate.STORED, id="R120 unset several"),
        pytest.param(None, "delete", "", None, Fate.IGNORED, id="R123 D26 delete no profile"),
        pytest.param({"p": 1}, "delete", "", None, Fate.STORED, id="R123 delete"),
    ],
)
@pytest.mark.parametrize("target", ["/engage", "/groups"])
def test_an_operator_does_what_its_page_says(
    target: str, before: Record | None, operator: str, operand: JSON, after: Record | None, fate: Fate
) -> None:
    if target == "/engage":
        state = applied(update(**{operator: operand}), state=from_profile(before))
        assert profile(state) == after
    else:
        state = EMPTY if before is None else applied(group_update(set=before), target="/groups")
        state = applied(group_update(**{operator: operand}), state=state, target="/groups")
        is_for_users = operator in ("add", "append")
        assert group(state) == (before if is_for_users else after)
        fate = Fate.IGNORED if is_for_users else fate
    kept = state.updates.entries[-1]
    assert (kept.fate, bool(kept.reason)) == (fate, fate is Fate.IGNORED)


@pytest.mark.parametrize("operator", ["add", "append"])
def test_rule_134_add_and_append_are_ignored_for_groups(operator: str) -> None:
    operators: Record = {operator: {"p": 2}}
    state, reply = post("/groups?verbose=1", [group_update(**operators)])
    assert said(reply) == GOOD
    (kept,) = state.updates.entries
    assert (kept.fate, kept.reason) == (Fate.IGNORED, f"${operator} is not available for groups")
    assert group(state) is None


def test_a_value_that_is_appended_is_not_shared_with_what_was_there_before() -> None:
    first = applied(update(append={"p": {"k": [1]}}))
    second = applied(update(append={"p": {"k": [2]}}), state=first)
    third = applied(update(union={"p": [3]}), update(remove={"p": {"k": [1]}}), state=second)
    assert profile(first) == {"p": [{"k": [1]}]}
    assert profile(second) == {"p": [{"k": [1]}, {"k": [2]}]}
    assert profile(third) == {"p": [{"k": [2]}, 3]}


@pytest.mark.parametrize(
    "operand",
    [
        pytest.param("", id="R123 D20 nothing"),
        pytest.param("null", id="R123 D20 null as text"),
        pytest.param(None, id="R123 D20 null"),
        pytest.param("user-1", id="D20 the id"),
        pytest.param({}, id="D20 an object"),
    ],
)
def test_delete_takes_any_value(operand: JSON) -> None:
    state = applied(update(delete=operand), state=applied(update(set={"p": 1})))
    assert (profile(state), update_fates(state)) == (None, [Fate.STORED, Fate.STORED])


def test_rule_121_after_a_delete_a_set_makes_a_fresh_profile() -> None:
    before = applied(update(set={"p": 1}), update(set_once={"first": 1}), update(add={"n": 5}))
    after = applied(
        update(delete=""), update(set={"q": 1}), update(set_once={"first": 2}), update(add={"n": 1}), state=before
    )
    assert profile(after) == {"q": 1, "first": 2, "n": 1}


def test_rule_122_point_27_a_delete_leaves_the_events_alone() -> None:
    state, _ = post("/track", [event()], state=applied(update(set={"p": 1})))
    after = applied(update(delete=""), state=state)
    assert (profile(after), after.events) == (None, state.events)


def test_rule_127_a_charge_is_appended_and_a_refund_too() -> None:
    charge: Record = {"$time": "2026-01-31T12:00:00", "$amount": 99.99, "sku": "a"}
    refund: Record = {"$time": "2026-02-01T12:00:00", "$amount": -99.99}
    state = applied(update(append={"$transactions": charge}), update(append={"$transactions": refund}))
    assert profile(state) == {"$transactions": [charge, refund]}


@pytest.mark.parametrize(
    ("clear", "after"),
    [
        pytest.param(update(unset=["$transactions"]), {"p": 1}, id="R128 D19 unset"),
        pytest.param(update(set={"$transactions": []}), {"p": 1, "$transactions": []}, id="D19 set to nothing"),
    ],
)
def test_charges_can_be_cleared(clear: Record, after: Record) -> None:
    before = applied(update(set={"p": 1}), update(append={"$transactions": {"$amount": 1}}))
    assert profile(applied(clear, state=before)) == after


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        pytest.param({"a": "x" * 256}, {"a": "x" * 255}, id="R76 text"),
        pytest.param({"n" * 256: 1}, {"n" * 255: 1}, id="R77 name"),
        pytest.param({" a ": 1}, {"a": 1}, id="R78 spaces"),
    ],
)
def test_too_long_text_is_cut_in_profiles_too_and_found_again_under_its_name(given: Record, stored: Record) -> None:
    state = applied(update(set=given))
    assert profile(state) == stored
    assert state.updates.entries[0].notes != ()
    assert profile(applied(update(unset=list(given)), state=state)) == {}


# Several operators at once.


def test_point_17_several_operators_are_applied_in_a_fixed_order_with_a_note() -> None:
    before = applied(update(set={"p": 1, "once": 1, "n": 5, "l": [1], "gone": 1}))
    every = update(
        remove={"l": 2},
        append={"l": 3},
        union={"l": [1, 2]},
        add={"n": 1},
        set_once={"once": 2},
        set={"n": 10},
        unset=["n"],
    )
    state = applied(every, state=before)
    assert profile(state) == {"p": 1, "once": 1, "n": 11, "l": [1, 3], "gone": 1}
    order = "$unset, $set, $set_once, $add, $union, $append, $remove"
    assert state.updates.entries[-1].notes[0] == (
        f"several operators in one update: applied in the order {order}, Mixpanel's is not documented"
    )
    state = applied({**every, "$delete": ""}, state=before)
    assert profile(state) == {"n": 11, "once": 2, "l": [1, 3]}


# Who and when.


def test_rule_124_last_seen_moves_with_each_update_but_one_that_asks_not_to() -> None:
    first = applied(update(set={"p": 1}))
    later = applied(update(set={"p": 2}), state=first, now=NOW + SECOND)
    quiet = applied(update(set={"p": 3}, ignore_time=True), state=later, now=NOW + 2 * SECOND)
    loud = applied(update(set={"p": 3}, ignore_time=False), state=quiet, now=NOW + 3 * SECOND)
    seen = [state.profiles["user-1"].last_seen for state in (first, later, quiet, loud)]
    assert seen == [NOW, NOW + SECOND, NOW + SECOND, NOW + 3 * SECOND]


def test_a_profile_made_by_a_quiet_update_was_never_seen_and_events_do_not_change_that() -> None:
    state = applied(update(set={"p": 1}, ignore_time=True))
    state, _ = post("/track", [event()], state=state)
    assert state.profiles["user-1"].last_seen is None


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(NOW // 1000 + 60, id="D18 seconds"),
        pytest.param(NOW - 60 * SECOND, id="D18 milliseconds"),
        pytest.param(NOW / 1000 - 0.5, id="D18 float"),
        pytest.param("soon", id="D18 text"),
    ],
)
def test_the_time_of_an_update_changes_neither_order_nor_last_seen(time: JSON) -> None:
    state = applied(update(set={"p": 1}), update(set={"p": 2}, time=time))
    assert profile(state) == {"p": 2}
    assert state.profiles["user-1"].last_seen == NOW


def test_rule_125_options_beside_the_operator_are_known_and_no_properties() -> None:
    state = applied(
        update(set={"p": 1}, ip="0", time=1, ignore_time=True, ignore_alias=True, latitude=1.5, longitude=2.5)
    )
    assert profile(state) == {"p": 1}
    assert state.updates.entries[0].notes == ()


def test_what_is_not_known_beside_the_operator_is_ignored_with_a_note() -> None:
    state = applied(update(set={"p": 1}, unknown={"q": 1}))
    assert profile(state) == {"p": 1}
    assert state.updates.entries[0].notes == ("'$unknown' is not known and was ignored",)


@pytest.mark.parametrize("distinct_id", [17, 17.5], ids=["integer", "float"])
def test_an_id_that_is_a_number_is_read_as_text(distinct_id: float) -> None:
    state = applied({**update(set={"p": 1}), "$distinct_id": distinct_id})
    assert profile(state, str(distinct_id)) == {"p": 1}


@pytest.mark.parametrize(
    ("query", "options", "expected"),
    [
        pytest.param("", {}, place(PUBLIC_ADDRESS), id="R126 D25 absent means yes"),
        pytest.param("ip=1", {}, place(PUBLIC_ADDRESS), id="R126 D25 ip=1"),
        pytest.param("ip=0", {}, {}, id="R126 D25 ip=0"),
        pytest.param("", {"ip": "0"}, {}, id="R126 ip 0 in the update"),
        pytest.param("", {"ip": 0}, {}, id="R126 ip 0 as a number"),
        pytest.param("ip=0", {"ip": "198.51.100.4"}, place("198.51.100.4"), id="R126 ip in the update"),
        pytest.param("ip=1", {"ip": "198.51.100.4"}, place("198.51.100.4"), id="R126 ip in the update first"),
        pytest.param("", {"latitude": 1.5, "longitude": 2.5}, {}, id="R126 latitude and longitude"),
        pytest.param(
            "", {"set": {"p": 1, "$city": "Brno"}}, {**place(PUBLIC_ADDRESS), "$city": "Brno"}, id="R126 city"
        ),
    ],
)
def test_where_a_user_is_follows_the_address(query: str, options: Record, expected: Record) -> None:
    operators: Record = {"set": {"p": 1}, **options}
    state, _ = post(f"/engage?{query}", [update(**operators)], address=PUBLIC_ADDRESS)
    assert profile(state) == {"p": 1, **expected}


def test_rule_126_with_ip_0_the_place_stays_and_otherwise_it_follows() -> None:
    state, _ = post("/engage", [update(set={"p": 1})], address=PUBLIC_ADDRESS)
    state, _ = post("/engage?ip=0", [update(set={"p": 2})], address="198.51.100.4", state=state)
    assert profile(state) == {"p": 2, **place(PUBLIC_ADDRESS)}
    state, _ = post("/engage", [update(set={"p": 3})], address="198.51.100.4", state=state)
    assert profile(state) == {"p": 3, **place("198.51.100.4")}


def test_groups_are_nowhere() -> None:
    state, _ = post("/groups", [group_update(set={"p": 1})], address=PUBLIC_ADDRESS)
    assert group(state) == {"p": 1}


def test_updates_of_another_token_are_dropped_with_success() -> None:
    state = State(settings=Settings(token="another"))
    state, reply = post("/engage?verbose=1", [update(set={"p": 1})], state=state)
    assert said(reply) == GOOD
    assert (profile(state), update_fates(state)) == (None, [Fate.DROPPED])
    assert TOKEN not in str(state.updates.entries[0].update)


# How much.


def properties(count: int) -> Record:
    return {f"p{number}": number for number in range(count)}


@pytest.mark.parametrize(
    ("operators", "answer"),
    [
        pytest.param({"set": {"new": 1}}, NONE, id="R129 set a new one"),
        pytest.param({"set_once": {"new": 1}}, NONE, id="R129 set once"),
        pytest.param({"add": {"new": 1}}, NONE, id="R129 add"),
        pytest.param({"append": {"new": 1}}, NONE, id="R129 append"),
        pytest.param({"union": {"new": [1]}}, NONE, id="R129 union"),
        pytest.param({"set": {"p1": "x", "new": 1}}, NONE, id="R129 set an old one and a new one"),
        pytest.param({"set": {"p1": "x"}}, ONE, id="R129 overwrite"),
        pytest.param({"unset": ["p1"]}, ONE, id="R129 unset"),
        pytest.param({"unset": ["p1"], "set": {"new": 1}}, ONE, id="R129 one for another"),
    ],
)
def test_a_profile_with_2000_properties_takes_no_new_one(operators: Record, answer: Said) -> None:
    state = applied(update(set=properties(2000)))
    after, reply = post("/engage", [update(**operators)], state=state, address=PUBLIC_ADDRESS)
    assert said(reply) == answer
    assert len(after.profiles["user-1"].properties) <= 2000
    if answer == NONE:
        assert after.profiles == state.profiles
        assert update_fates(after)[-1] is Fate.REFUSED


def test_rule_129_a_profile_of_more_than_2000_properties_is_not_made() -> None:
    state, reply = post("/engage?verbose=1", [update(set=properties(2001))])
    assert said(reply) == bad("the profile has 2000 properties and takes no new one")
    assert profile(state) is None


@pytest.mark.parametrize(("size", "answer"), [(1_000_000, ONE), (1_000_001, NONE)])
def test_rule_135_an_update_has_at_most_1_000_000_bytes(size: int, answer: Said) -> None:
    empty = len(json.dumps(update(set={"p": ""}), separators=(",", ":")))
    state, reply = post("/engage", [update(set={"p": "x" * (size - empty)})])
    assert said(reply) == answer
    assert update_fates(state) == [Fate.STORED if answer == ONE else Fate.REFUSED]


@pytest.mark.parametrize("target", ["/engage", "/groups"])
@pytest.mark.parametrize(
    ("count", "answer"),
    [
        pytest.param(2000, GOOD, id="D15 D16 2000"),
        pytest.param(2001, bad("too many updates"), id="D15 D16 2001"),
    ],
)
def test_a_request_holds_2000_updates(target: str, count: int, answer: Said) -> None:
    record = update(unset=["p"]) if target == "/engage" else group_update(unset=["p"])
    state, reply = post(f"{target}?verbose=1", [record] * count)
    assert said(reply) == answer
    assert len(state.updates.entries) == (count if answer == GOOD else 0)


@pytest.mark.parametrize("target", ["/engage", "/groups"])
def test_a_request_with_updates_that_is_too_long_is_refused(target: str) -> None:
    assert said(post(target, b" " * (MAX_BODY - 2) + b"[]")[1]) == NONE
    assert post(target, b" " * (MAX_BODY - 1) + b"[]")[1].status == 413


# What is valid.


@pytest.mark.parametrize(
    ("record", "error"),
    [
        pytest.param(missing("$token", update(set={})), "$token, missing or empty", id="R104 no token"),
        pytest.param(update(set={}, token=""), "$token, missing or empty", id="R104 empty token"),
        pytest.param(update(set={}, token=7), "$token, missing or empty", id="R104 number"),
        pytest.param(update(set={}, token=None), "$token, missing or empty", id="R104 null"),
        pytest.param(missing("$distinct_id", update(set={})), "$distinct_id, missing or empty", id="R105 no id"),
        pytest.param(update(set={}, distinct_id=""), "$distinct_id, missing or empty", id="R105 empty id"),
        pytest.param(update(set={}, distinct_id=None), "$distinct_id, missing or empty", id="R105 null"),
        pytest.param(update(set={}, distinct_id=True), "$distinct_id, missing or empty", id="R105 bool"),
        pytest.param(update(set={}, distinct_id=["user-1"]), "$distinct_id, missing or empty", id="R105 list"),
        pytest.param(group_update(set={}), "$distinct_id, missing or empty", id="R105 a group"),
        pytest.param({}, "$token, missing or empty", id="R104 nothing at all"),
        pytest.param(update(), NO_OPERATION, id="no operator"),
        pytest.param(update(increment={"p": 1}), NO_OPERATION, id="no known operator"),
        pytest.param({**update(), "set": {"p": 1}}, NO_OPERATION, id="operator without its mark"),
        pytest.param(update(set=[]), "$set, must be an object", id="set a list"),
        pytest.param(update(set=None), "$set, must be an object", id="set null"),
        pytest.param(update(set_once="p"), "$set_once, must be an object", id="set once text"),
        pytest.param(update(add={"p": "1"}), "$add, must be an object of numbers", id="R111 text"),
        pytest.param(update(add={"p": True}), "$add, must be an object of numbers", id="R111 bool"),
        pytest.param(update(add={"p": None}), "$add, must be an object of numbers", id="R111 null"),
        pytest.param(update(add={"q": 1, "p": [1]}), "$add, must be an object of numbers", id="R111 list"),
        pytest.param(update(add=1), "$add, must be an object of numbers", id="R111 no object"),
        pytest.param(update(append=[1]), "$append, must be an object", id="append without a name"),
        pytest.param(
            update(union={"p": []}), "$union, must be an object of lists of strings and numbers", id="R117 empty list"
        ),
        pytest.param(
            update(union={"p": 1}), "$union, must be an object of lists of strings and numbers", id="R117 no list"
        ),
        pytest.param(
            update(union={"p": [True]}), "$union, must be an object of lists of strings and numbers", id="R117 bool"
        ),
        pytest.param(
            update(union={"p": [{}]}), "$union, must be an object of lists of strings and numbers", id="R117 object"
        ),
        pytest.param(
            update(union=["p"]), "$union, must be an object of lists of strings and numbers", id="R117 no object"
        ),
        pytest.param(update(remove=["p"]), "$remove, must be an object", id="remove without a name"),
        pytest.param(update(unset={"p": 1}), "$unset, must be a list of names", id="R120 object"),
        pytest.param(update(unset="p"), "$unset, must be a list of names", id="R120 text"),
        pytest.param(update(unset=[]), "$unset, must be a list of names", id="R120 empty list"),
        pytest.param(update(unset=["p", 1]), "$unset, must be a list of names", id="R120 number"),
        pytest.param(update(set={"p": 1}, add={"p": "1"}), "$add, must be an object of numbers", id="R111 beside set"),
        pytest.param(7, "data, missing or empty", id="number as the record"),
        pytest.param("$set", "data, missing or empty", id="text as the record"),
        pytest.param(None, "data, missing or empty", id="null as the record"),
        pytest.param([update(set={})], "data, missing or empty", id="list as the record"),
    ],
)
def test_an_update_that_is_invalid_is_named_only_where_none_is_valid(record: JSON, error: str) -> None:
    state, reply = post("/engage?verbose=1", [record])
    assert said(reply) == bad(error)
    assert said(post("/engage", [record])[1]) == NONE
    (kept,) = state.updates.entries
    assert (kept.fate, kept.reason) == (Fate.REFUSED, error)
    assert state.profiles == {}
    state, reply = post("/engage?verbose=1", [record, update(set={"p": 1})])
    assert said(reply) == GOOD
    assert (profile(state), update_fates(state)) == ({"p": 1}, [Fate.REFUSED, Fate.STORED])


@pytest.mark.parametrize(
    ("record", "error"),
    [
        pytest.param(missing("$token", group_update(set={})), "$token, missing or empty", id="R104 no token"),
        pytest.param(missing("$group_key", group_update(set={})), "$group_key, missing or empty", id="R132 no key"),
        pytest.param(group_update(set={}, group_key=""), "$group_key, missing or empty", id="R132 empty key"),
        pytest.param(missing("$group_id", group_update(set={})), "$group_id, missing or empty", id="R132 no id"),
        pytest.param(group_update(set={}, group_id=""), "$group_id, missing or empty", id="R132 empty id"),
        pytest.param(group_update(set={}, group_id=7), "$group_id, missing or empty", id="R132 number"),
        pytest.param(
            group_update(set={}, distinct_id="user-1"), "$distinct_id, not allowed for groups", id="R133 a user too"
        ),
        pytest.param(
            group_update(set={}, distinct_id=None), "$distinct_id, not allowed for groups", id="R133 null as a user"
        ),
        pytest.param(update(set={}), "$distinct_id, not allowed for groups", id="R133 only a user"),
        pytest.param(group_update(), NO_OPERATION, id="no operator"),
        pytest.param(group_update(set=1), "$set, must be an object", id="set a number"),
    ],
)
def test_an_update_of_a_group_that_is_invalid_is_refused(record: Record, error: str) -> None:
    state, reply = post("/groups?verbose=1", [record])
    assert said(reply) == bad(error)
    assert said(post("/groups", [record])[1]) == NONE
    assert (state.groups, update_fates(state)) == ({}, [Fate.REFUSED])
    _, reply = post("/groups", [record, group_update(set={"p": 1})])
    assert said(reply) == ONE


def test_groups_of_two_keys_are_two_and_no_users() -> None:
    state = applied(group_update(set={"p": 1}), group_update(set={"p": 2}, group_key="Team"), target="/groups")
    assert {owner: dict(each.properties) for owner, each in state.groups.items()} == {
        ("Company", "Acme"): {"p": 1},
        ("Team", "Acme"): {"p": 2},
    }
    assert state.profiles == {}


# How updates travel, and the answers.

RECORD: Final = update(set={"name": "Žofie 🐎 + &="})
TEXT: Final = json.dumps([RECORD], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("method", "target", "content_type", "body"),
    [
        pytest.param("POST", "/engage", JSON_TYPE, TEXT, id="R14 list as JSON"),
        pytest.param("POST", "/engage", JSON_TYPE, TEXT[1:-1], id="R14 object as JSON"),
        pytest.param("POST", "/engage", FORM_TYPE, b"data=" + quote_plus(TEXT).encode(), id="R14 form"),
        pytest.param(
            "POST", "/engage", FORM_TYPE, b"data=" + quote_plus(TEXT[1:-1]).encode(), id="R14 object in a form"
        ),
        pytest.param(
            "POST", "/engage", FORM_TYPE, b"data=" + quote_plus(base64.b64encode(TEXT)).encode(), id="R14 base64"
        ),
        pytest.param("POST", "/engage/", JSON_TYPE, TEXT, id="R16 slash at the end"),
        pytest.param("GET", "/engage?data=" + quote_plus(TEXT), "", b"", id="R14 GET"),
        pytest.param("GET", "/engage?data=" + quote_plus(base64.b64encode(TEXT)), "", b"", id="R14 GET in base64"),
    ],
)
def test_an_update_is_the_same_however_it_travels(method: str, target: str, content_type: str, body: bytes) -> None:
    state, reply = post(target, body, method=method, content_type=content_type)
    assert said(reply) == ONE
    assert profile(state) == {"name": "Žofie 🐎 + &="}


def test_rule_16_a_slash_after_groups_makes_no_difference() -> None:
    assert group(applied(group_update(set={"p": 1}), target="/groups/")) == {"p": 1}


@pytest.mark.parametrize("target", ["/engage", "/groups"])
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br"])
def test_point_21_compressed_updates_are_answered_with_0(target: str, encoding: str) -> None:
    body = gzip.compress(json.dumps([update(set={"p": 1}), group_update(set={"p": 1})]).encode())
    state, reply = post(target, body, content_encoding=encoding)
    assert said(reply) == NONE
    assert said(post(f"{target}?verbose=1", body, content_encoding=encoding)[1]) == NO_DATA
    assert (state.profiles, state.groups, state.updates.entries) == ({}, {}, ())


def test_an_encoding_that_changes_nothing_is_no_compression() -> None:
    assert said(post("/engage", TEXT, content_encoding="identity")[1]) == ONE


@pytest.mark.parametrize("target", ["/engage", "/groups"])
@pytest.mark.parametrize("body", [b"", b"[]", b"[", b"7", b"[NaN]"])
def test_without_updates_the_answer_says_that_data_is_missing(target: str, body: bytes) -> None:
    assert said(post(target, body)[1]) == NONE
    assert said(post(f"{target}?verbose=1", body)[1]) == NO_DATA


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        pytest.param("verbose=1", GOOD, id="verbose=1"),
        pytest.param("verbose=2", GOOD, id="D22 verbose=2"),
        pytest.param("callback=f", (200, "text/javascript", b"f(1);"), id="callback"),
        pytest.param("callback=f(1)//", ONE, id="callback that calls"),
        pytest.param("img=1", ONE, id="images are for events"),
    ],
)
def test_the_answer_of_engage_has_the_form_that_was_asked_for(query: str, answer: Said) -> None:
    assert said(post(f"/engage?{query}", [update(set={"p": 1})])[1]) == answer


@pytest.mark.parametrize("query", ["callback=f", "img=1"])
def test_groups_know_neither_callback_nor_image(query: str) -> None:
    assert said(post(f"/groups?{query}", [group_update(set={"p": 1})])[1]) == ONE


def test_groups_are_not_reached_with_get() -> None:
    target = "/groups?data=" + quote_plus(json.dumps(group_update(set={"p": 1})))
    state, reply = post(target, b"", method="GET")
    assert (reply.status, state.groups) == (405, {})


def test_fields_of_a_form_say_what_the_answer_looks_like() -> None:
    _, reply = post("/engage", b"verbose=1&data=" + quote_plus(TEXT).encode(), content_type=FORM_TYPE)
    assert said(reply) == GOOD


@pytest.mark.parametrize("target", ["/engage", "/groups"])
def test_with_strict_updates_are_answered_as_an_import(target: str) -> None:
    good = update(set={"p": 1}) if target == "/engage" else group_update(set={"p": 1})
    state, reply = post(f"{target}?strict=1", [good])
    assert said(reply) == compact(200, {"code": 200, "num_records_imported": 1, "status": "OK"})
    state, reply = post(f"{target}?strict=1", [{}, good], state=state)
    row: JSON = {"index": 0, "insert_id": "", "field": "", "message": "$token, missing or empty"}
    said_of_it: Record = {
        "code": 400,
        "error": "some data points in the request failed validation",
        "failed_records": [row],
        "num_records_imported": 1,
        "status": "Bad Request",
    }
    assert said(reply) == compact(400, said_of_it)
    assert update_fates(state) == [Fate.STORED, Fate.REFUSED, Fate.STORED]


@pytest.mark.parametrize("target", ["/engage", "/groups"])
def test_point_31_credentials_change_nothing_for_updates(target: str) -> None:
    good = update(set={"p": 1}) if target == "/engage" else group_update(set={"p": 1})
    state, reply = post(target, [good], authorization=BY_TOKEN)
    assert said(reply) == ONE
    assert state.exchanges.entries[0].request.header("authorization") == "Basic ***"


def test_updates_of_one_request_are_applied_in_order_whatever_they_are() -> None:
    records: list[JSON] = [
        update(set={"p": 1}),
        update(add={"p": 1}, distinct_id="user-2"),
        update(add={"p": 1}),
        update(delete="", distinct_id="user-2"),
        update(append={"l": "x"}),
    ]
    state, _ = post("/engage", records)
    assert (profile(state), profile(state, "user-2")) == ({"p": 2, "l": ["x"]}, None)
    assert [each.index for each in state.updates.entries] == [0, 1, 2, 3, 4]


def test_only_these_operators_create_a_profile() -> None:
    created = [name for name, value in OPERATIONS.items() if profile(applied(update(**{name: value}))) is not None]
    assert created == list(CREATING)
