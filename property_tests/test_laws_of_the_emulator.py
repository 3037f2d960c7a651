"""
The emulated Mixpanel, held against a model of one line for each operation, against itself with the same records in
another form, and against the checks of the core, which were written independently of it.
"""

import base64
import copy
import gzip
import json
from collections import Counter
from urllib.parse import urlencode

import pytest
from attrs import evolve, frozen
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from mixwire.core import (
    Add,
    Alias,
    Append,
    Batch,
    Charge,
    Endpoint,
    Identify,
    Merge,
    MixwireError,
    Outcome,
    PeopleOp,
    Project,
    RawGroupOp,
    RawPeopleOp,
    Refused,
    Set,
    Track,
    encode,
    interpret,
    route,
    to_request,
)
from mixwire.core.foreign import messages_from_json
from mixwire.core.updates import group_operation, people_operation
from mixwire.testing import LocalMixpanel, LostAnswer, Reset, Status
from mixwire.testing import strategies as mx
from mixwire.testing.emulator import query_view, respond
from mixwire.testing.faults import Delay, Script, has_effect
from mixwire.testing.state import Fate, HttpRequest, Log, Profile, Settings, State

TOKEN = "TOKEN"
NOW = 1_767_225_600_000
HOUR = 3_600_000
DAY = 24 * HOUR
BASIC = ("Authorization", "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode())
EVENTS = (Endpoint.TRACK, Endpoint.IMPORT)
QUERY = {endpoint: "strict=1&ip=0" if endpoint is Endpoint.IMPORT else "verbose=1&ip=0" for endpoint in Endpoint}
ORIGINAL, SIMPLIFIED = Settings(), Settings(id_system="simplified")
SYSTEMS = st.sampled_from([ORIGINAL, SIMPLIFIED])

# A law that is tried for each operation or each endpoint needs fewer examples; one with rare cases needs more.
lightly = settings(max_examples=settings().max_examples // 2 or 1)
barely = settings(max_examples=settings().max_examples // 4 or 1)
widely = settings(max_examples=settings().max_examples * 2)


# --- requests, and what is seen after them --------------------------------------------------------------------------


def http_request(endpoint, body, *, content_type="application/json", encoding="", query=None, method="POST"):
    headers = (("Content-Type", content_type), BASIC, *((("Content-Encoding", encoding),) if encoding else ()))
    target = f"{endpoint.value}?{QUERY[endpoint] if query is None else query}"
    return HttpRequest(method=method, target=target, headers=headers, body=body)


def told(state, endpoint, *records, now=NOW):
    """
    The state after these records arrived in one request.
    """
    return respond(state, http_request(endpoint, json.dumps(records).encode()), now)[0]


def delivered(state, *messages):
    """
    The state after each of these messages arrived in a request of its own.
    """
    for message in messages:
        state, _ = respond(state, http_request(message.endpoint, b"[" + message.body + b"]"), NOW)
    return state


def seen(state):
    """
    What a user of Mixpanel sees: profiles, groups, and events as reports count them.
    """
    profiles = {name: profile.properties for name, profile in state.profiles.items()}
    groups = {name: profile.properties for name, profile in state.groups.items()}
    events = Counter((each.name, state.identities.user_of(each.distinct_id), said(each)) for each in query_view(state))
    return profiles, groups, events


def said(event):
    """
    The properties of a stored event, without the insert_id that was made for it.
    """
    return json.dumps(
        {
            name: value
            for name, value in event.properties.items()
            if name != "$insert_id" or not str(value).startswith("made-here-")
        }
    )


# --- operations, and a model of one line for each -------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(-9, 9) | st.floats(-1e6, 1e6)
ELEMENTS = st.sampled_from(["x", "y", "1", "", 1, 1.0, 2, 0, True, False, None])
VALUES = ELEMENTS | NUMBERS | st.lists(ELEMENTS, max_size=4) | st.just({"x": [1]})
PROPERTIES = st.dictionaries(NAMES, VALUES, max_size=3)
SOME = st.dictionaries(NAMES, VALUES, min_size=1, max_size=3)
OPERANDS = {
    "$set": SOME,
    "$set_once": SOME,
    "$add": st.dictionaries(NAMES, NUMBERS, min_size=1, max_size=3),
    "$append": SOME,
    "$union": st.dictionaries(
        NAMES, st.lists(st.sampled_from(["x", "y", "1", 1, 1.0, 2, 0]), min_size=1, max_size=4), min_size=1, max_size=3
    ),
    "$remove": st.dictionaries(NAMES, ELEMENTS | st.lists(ELEMENTS, max_size=2), min_size=1, max_size=3),
    "$unset": st.lists(NAMES, min_size=1, max_size=3),
    "$delete": st.sampled_from(["", "null", None, 1]),
}
CREATING = {"$set", "$set_once", "$add", "$append", "$union"}
FOR_USERS_ONLY = {"$add", "$append"}


def is_number(value):
    return type(value) in (int, float)


def is_list(value):
    return isinstance(value, list)


def exact(value):
    """
    What two JSON values have in common if they are the same: true is not 1, and 1 is 1.0.
    """
    if isinstance(value, list):
        return [exact(each) for each in value]
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    return (type(value) if not is_number(value) else float, value)


def without_repeats(values):
    return [value for at, value in enumerate(values) if exact(value) not in exact(values[:at])]


MODELS = {
    "$set": lambda was, new: was | new,
    "$set_once": lambda was, new: new | was,
    "$add": lambda was, new: was | {n: was.get(n, 0) + v for n, v in new.items() if is_number(was.get(n, 0))},
    "$append": lambda was, new: was | {n: [*was.get(n, []), v] for n, v in new.items() if is_list(was.get(n, []))},
    "$union": lambda was, new: (
        was
        | {
            n: was.get(n, []) + [v for v in without_repeats(vs) if exact(v) not in exact(was.get(n, []))]
            for n, vs in new.items()
            if is_list(was.get(n, []))
        }
    ),
    "$remove": lambda was, new: {
        n: [v for v in vs if exact(v) != exact(new[n])] if is_list(vs) and n in new else vs for n, vs in was.items()
    },
    "$unset": lambda was, new: {n: v for n, v in was.items() if n not in new},
    "$delete": lambda was, new: None,
}


def modelled(operator, was, operand, *, for_group=False):
    if for_group and operator in FOR_USERS_ONLY:
        return was
    return MODELS[operator](was or {}, operand) if was is not None or operator in CREATING else None


@frozen
class Owner:
    """
    Whose profile a law is about: a user's, or a group's.
    """

    endpoint: Endpoint
    ids: dict

    def before(self, properties):
        """
        A state in which the profile has these properties; None for no profile.
        """
        if properties is None:
            return State()
        profile = Profile(properties=properties, last_seen=NOW - DAY)
        if self is USER:
            return State(profiles={"user-1": profile})
        return State(groups={("company", "acme"): profile})

    def changed(self, state, *updates, now=NOW):
        """
        The state after these updates, each a dict of operators and options.
        """
        for update in updates:
            state = told(state, self.endpoint, {"$token": TOKEN, **self.ids, **update}, now=now)
        return state

    def profile(self, state):
        return state.profiles.get("user-1") if self is USER else state.groups.get(("company", "acme"))

    def properties(self, state):
        profile = self.profile(state)
        return None if profile is None else dict(profile.properties)


USER = Owner(Endpoint.ENGAGE, {"$distinct_id": "user-1"})
GROUP = Owner(Endpoint.GROUPS, {"$group_key": "company", "$group_id": "acme"})
both_owners = pytest.mark.parametrize("owner", [USER, GROUP], ids=["user", "group"])
BEFORE = st.none() | PROPERTIES


@both_owners
@pytest.mark.parametrize("operator", sorted(OPERANDS))
@given(data=st.data())
@barely
def test_applying_an_operation_and_reading_the_profile(owner, operator, data):
    was, operand = data.draw(BEFORE), data.draw(OPERANDS[operator])
    expected = modelled(operator, was, operand, for_group=owner is GROUP)
    assert exact(owner.properties(owner.changed(owner.before(was), {operator: operand}))) == exact(expected)


ORDER = ("$delete", "$unset", "$set", "$set_once", "$add", "$union", "$append", "$remove")


@both_owners
@given(BEFORE, st.fixed_dictionaries({}, optional=OPERANDS).filter(bool))
@lightly
def test_operators_of_one_update_apply_one_after_the_other(owner, was, update):
    expected = was
    for operator in ORDER:
        if operator in update:
            expected = modelled(operator, expected, update[operator], for_group=owner is GROUP)
    assert exact(owner.properties(owner.changed(owner.before(was), update))) == exact(expected)


@both_owners
@given(BEFORE, OPERANDS["$union"], st.integers(1, 3))
@lightly
def test_union_is_idempotent(owner, was, lists, times):
    once = owner.changed(owner.before(was), {"$union": lists})
    again = owner.changed(once, *[{"$union": lists}] * times)
    assert owner.properties(again) == owner.properties(once)


@both_owners
@given(PROPERTIES, OPERANDS["$union"])
@lightly
def test_union_keeps_the_list_and_adds_to_its_end(owner, was, lists):
    after = owner.properties(owner.changed(owner.before(was), {"$union": lists}))
    for name, values in after.items():
        if isinstance(was.get(name), list):
            assert exact(values[: len(was[name])]) == exact(was[name])


@both_owners
@given(BEFORE, SOME, SOME)
@lightly
def test_set_once_keeps_what_is_there(owner, was, first, second):
    once = owner.changed(owner.before(was), {"$set_once": first})
    after = owner.properties(owner.changed(once, {"$set_once": second}))
    assert exact(after) == exact(second | first | (was or {}))


@given(st.none() | st.just({"a": 5}), st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.randoms())
@lightly
def test_sums_come_out_the_same_in_any_order(was, numbers, random):
    shuffled = random.sample(numbers, len(numbers))
    one, other = (
        USER.properties(USER.changed(USER.before(was), *({"$add": {"a": number}} for number in each)))
        for each in (numbers, shuffled)
    )
    assert one == other == {"a": (was or {"a": 0})["a"] + sum(numbers)}


@given(st.sampled_from([1.7e308, -1.7e308]), st.sampled_from([1.7e308, -1.7e308]))
@lightly
def test_a_sum_that_no_number_can_hold_is_left_alone(was, number):
    after = USER.properties(USER.changed(USER.before({"a": was}), {"$add": {"a": number}}))
    assert after == {"a": was if was == number else 0.0}


@both_owners
@given(BEFORE, SOME)
@lightly
def test_unset_then_set_is_as_if_it_had_never_been_there(owner, was, new):
    after = owner.changed(owner.before(was), {"$unset": sorted(new)}, {"$set_once": new})
    assert exact(owner.properties(after)) == exact((was or {}) | new)


@both_owners
@given(st.sampled_from(["a", " a ", "", "\t", "é" * 256, f" {'x' * 255}"]), VALUES)
@lightly
def test_unset_takes_away_what_set_put_there_whatever_its_name(owner, name, value):
    state = owner.changed(State(), {"$set": {name: value}})
    assert len(owner.properties(state)) == 1
    assert owner.properties(owner.changed(state, {"$unset": [name]})) == {}


@both_owners
@given(BEFORE, SOME, SOME)
@lightly
def test_delete_then_set_is_a_fresh_profile(owner, was, middle, new):
    after = owner.changed(owner.before(was), {"$set": middle}, {"$delete": ""})
    assert owner.profile(after) is None
    assert exact(owner.properties(owner.changed(after, {"$set_once": new}))) == exact(new)


@both_owners
@given(st.lists(ELEMENTS, max_size=5), ELEMENTS)
@lightly
def test_what_was_removed_is_absent_and_the_rest_stays_in_order(owner, values, value):
    after = owner.properties(owner.changed(owner.before({"a": values}), {"$remove": {"a": value}}))
    assert exact(value) not in exact(after["a"])
    assert exact(after["a"]) == [each for each in exact(values) if each != exact(value)]


@given(st.none() | st.fixed_dictionaries({"a": st.lists(ELEMENTS, max_size=5)}), VALUES)
@lightly
def test_what_was_appended_stands_last(was, value):
    after = USER.properties(USER.changed(USER.before(was), {"$append": {"a": value}}))
    assert exact(after["a"][-1]) == exact(value)
    assert after["a"][:-1] == (was or {"a": []})["a"]


@given(BEFORE, st.lists(st.integers(-9, 9), max_size=4), st.booleans())
@lightly
def test_charges_and_refunds_are_a_list_until_they_are_cleared(was, amounts, is_cleared):
    project = Project(TOKEN)
    state = delivered(USER.before(was), *(encode(Charge("user-1", amount), project) for amount in amounts))
    if is_cleared:
        assert USER.properties(USER.changed(state, {"$unset": ["$transactions"]})) == (
            {} if was is None and amounts else was
        )
    else:
        charges = (USER.properties(state) or {}).get("$transactions", [])
        assert [charge["$amount"] for charge in charges] == amounts


@both_owners
@given(st.sampled_from(sorted(CREATING)), st.data(), st.booleans())
@lightly
def test_a_change_moves_the_last_seen_unless_it_asks_not_to(owner, operator, data, is_ignored):
    update = {operator: data.draw(OPERANDS[operator])} | ({"$ignore_time": True} if is_ignored else {})
    assume(owner is USER or operator not in FOR_USERS_ONLY)
    was = owner.before(data.draw(PROPERTIES))
    before, after = owner.profile(was), owner.profile(owner.changed(was, update, now=NOW))
    assert after.last_seen == (before.last_seen if is_ignored else NOW)


@both_owners
@given(st.sampled_from(sorted(OPERANDS)), st.data())
@lightly
def test_a_profile_is_not_changed_by_an_update_of_another(owner, operator, data):
    was = owner.before(data.draw(PROPERTIES))
    update = {operator: data.draw(OPERANDS[operator])}
    other = {"$distinct_id": "user-2"} if owner is USER else {"$group_key": "company", "$group_id": "initech"}
    after = told(was, owner.endpoint, {"$token": TOKEN, **other, **update})
    assert owner.profile(after) == owner.profile(was)


# --- events, and which of them count --------------------------------------------------------------------------------


@st.composite
def wire_events(draw):
    """
    Events that are often the same as others; the last of their properties tells them apart.
    """
    properties = {
        "token": TOKEN,
        # A number is read as text.
        "distinct_id": draw(st.sampled_from(["user-1", "7", 7, ""])),
        # One instant in seconds and in milliseconds, which makes two events.
        "time": draw(st.sampled_from([NOW // 1000, NOW, NOW - 1])),
        "$insert_id": draw(st.sampled_from(["insert-1", "insert-2", None])),
        "n": draw(st.integers(0, 99)),
    }
    if properties["$insert_id"] is None:
        del properties["$insert_id"]
    return {"event": draw(st.sampled_from(["Opened", "Closed"])), "properties": properties}


LIVE = st.just(Endpoint.TRACK)
PAST = st.just(Endpoint.IMPORT)


@given(st.lists(st.tuples(LIVE | PAST, wire_events()), max_size=12))
def test_the_query_view_holds_the_last_of_those_that_agree_in_four_fields(arrivals):
    state, expected = State(), {}
    for number, (endpoint, record) in enumerate(arrivals):
        state = told(state, endpoint, record)
        properties = record["properties"]
        if endpoint is Endpoint.IMPORT and "$insert_id" not in properties:
            continue
        four = (
            record["event"],
            str(properties["distinct_id"]),
            properties["time"],
            properties.get("$insert_id", number),
        )
        expected.pop(four, None)
        expected[four] = properties["n"]
    assert [event.properties["n"] for event in query_view(state)] == list(expected.values())


@given(wire_events(), st.integers(-HOUR, 6 * DAY) | st.integers(5 * DAY - 2, 5 * DAY + 2))
@lightly
def test_a_live_event_counts_until_it_is_five_days_old(record, age):
    record["properties"]["time"] = NOW - age
    (event,) = told(State(), Endpoint.TRACK, record).events.entries
    assert event.fate is (Fate.STORED if age <= 5 * DAY else Fate.DROPPED)


@given(st.integers(31_536_000, 99_999_999_999), st.integers(100_000_000, 99_999_999_999))
@lightly
def test_a_time_in_seconds_and_in_milliseconds_is_stored_as_the_same(early, late):
    for time, at in ((early, early * 1000), (late * 1000, late * 1000)):
        properties = {"distinct_id": "user-1", "time": time, "$insert_id": "insert-1"}
        (event,) = told(State(), Endpoint.IMPORT, {"event": "Opened", "properties": properties}, now=at).events.entries
        assert (event.fate, event.time, event.properties["time"]) == (Fate.STORED, at, at)


@given(st.lists(st.tuples(st.sampled_from(["d1", "d2"]), st.sampled_from([None, "user-1", "user-2"])), max_size=6))
@lightly
def test_a_device_belongs_to_the_first_user_that_it_is_seen_with(arrivals):
    state, links = State(settings=SIMPLIFIED), {}
    for number, (device, user) in enumerate(arrivals):
        ids = {"$device_id": device} | ({} if user is None else {"$user_id": user})
        own = {"time": NOW, "$insert_id": f"insert-{number}"}
        state = told(state, Endpoint.IMPORT, {"event": "Opened", "properties": {**own, **ids}})
        if user is not None:
            links.setdefault(device, user)
    found = [state.identities.user_of(event.distinct_id) for event in state.events.entries]
    assert found == [user or links.get(device, f"$device:{device}") for device, user in arrivals]


MERGES = st.lists(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=2, unique=True), max_size=8)


@given(MERGES)
@lightly
def test_merged_ids_are_one_user_and_no_others(pairs):
    state, users = State(), [{each} for each in "abcdef"]
    for one, other in pairs:
        state = told(state, Endpoint.IMPORT, {"event": "$merge", "properties": {"$distinct_ids": [one, other]}})
        joined = next(user for user in users if one in user) | next(user for user in users if other in user)
        users = [user for user in users if user.isdisjoint(joined)] + [joined]
    found = {}
    for each in "abcdef":
        found.setdefault(state.identities.user_of(each), set()).add(each)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, users))
    assert all(name in ids for name, ids in found.items())


@given(MERGES, MERGES, st.sampled_from("abcdef"), SOME)
@lightly
def test_a_profile_is_read_by_any_id_of_its_user_whenever_they_were_joined(before, after, distinct_id, new):
    mixpanel = LocalMixpanel(now=lambda: NOW)
    project = Project(TOKEN)
    merges = [[Merge(*pair) for pair in pairs] for pairs in (before, after)]
    for operation in (*merges[0], PeopleOp(distinct_id, Set(new)), *merges[1]):
        mixpanel.post(to_request(Batch((encode(operation, project),)), project))
    user = mixpanel.state.identities.user_of(distinct_id)
    for each in "abcdef":
        is_same = mixpanel.state.identities.user_of(each) == user
        assert mixpanel.profile(each) == (new if is_same else None)


@given(st.lists(st.tuples(st.sampled_from(["alias-1", "alias-2"]), st.sampled_from(["user-1", "user-2"])), max_size=6))
@lightly
def test_an_alias_stays_with_the_first_id_that_it_was_made_for(commands):
    state, links, fates = State(), {}, []
    for alias, distinct_id in commands:
        state = delivered(state, encode(Alias(alias=alias, distinct_id=distinct_id), Project(TOKEN)))
        is_its = links.setdefault(alias, distinct_id) == distinct_id
        fates.append((Fate.STORED, "") if is_its else (Fate.IGNORED, "errAliasAlreadyExists"))
    assert [(event.fate, event.reason) for event in state.events.entries] == fates
    assert {alias: state.identities.user_of(alias) for alias in links} == links


# --- the same again -------------------------------------------------------------------------------------------------


@st.composite
def wire_updates(draw):
    operator = draw(st.sampled_from(sorted(OPERANDS)))
    return {"$token": TOKEN, operator: draw(OPERANDS[operator])}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
USERS = st.sampled_from(["user-1", "user-2", "user-3"])
COMMANDS = st.tuples(USERS, USERS).map(
    lambda ids: {"event": "$create_alias", "properties": {"token": TOKEN, "distinct_id": ids[0], "alias": ids[1]}}
)
MERGE_COMMANDS = st.lists(USERS, min_size=2, max_size=2).map(
    lambda ids: {"event": "$merge", "properties": {"token": TOKEN, "$distinct_ids": ids}}
)


@st.composite
def foreign_messages(draw):
    """
    Messages about few users, one operator or several in an update.
    """
    endpoint, user = draw(st.sampled_from(Endpoint)), draw(USERS)
    if endpoint in EVENTS:
        record = draw(wire_events() | COMMANDS | MERGE_COMMANDS)
    else:
        record = {"$token": TOKEN}
        if endpoint is Endpoint.ENGAGE:
            record |= {"$distinct_id": user, "$ignore_alias": draw(st.booleans())}
        else:
            record |= {"$group_key": "company", "$group_id": user}
        for operator in draw(st.lists(st.sampled_from(sorted(OPERANDS)), min_size=1, max_size=3, unique=True)):
            record[operator] = draw(OPERANDS[operator])
    return messages_from_json(endpoint, json.dumps(record))[0]


MESSAGES = foreign_messages()


def users_of(state, message):
    """
    Whom a message is about, by any of their ids; nobody has the empty one.
    """
    users = {state.identities.user_of(key) if isinstance(key, str) else key for key in message.keys}
    return (users | set(message.keys)) or {""}


@given(st.lists(MESSAGES, max_size=2), MESSAGES, st.lists(MESSAGES, max_size=2), st.integers(1, 2), SYSTEMS)
@widely
def test_delivering_a_repeatable_message_again_changes_nothing(earlier, message, between, times, project):
    assume(message.repeatable)
    once = delivered(delivered(State(settings=project), *earlier), message)
    users = users_of(once, message)
    after = once
    for other in between:
        if users_of(after, other).isdisjoint(users):
            after = delivered(after, other)
    assert seen(delivered(after, *[message] * times)) == seen(after)


@given(st.lists(st.tuples(wire_events(), st.sampled_from(["time", "$insert_id", "n"])), min_size=1, max_size=3))
@lightly
def test_an_event_of_another_client_is_said_to_be_repeatable_only_if_it_is(arrivals):
    for record, missing in arrivals:
        record["properties"].pop(missing, None)
        (message,) = messages_from_json(Endpoint.TRACK, json.dumps(record))
        once = delivered(State(), message)
        assert (seen(delivered(once, message)) == seen(once)) or not message.repeatable


@pytest.mark.parametrize(
    "update",
    [Add({"a": 1}), Append({"a": 1}), Append({"a": []})],
    ids=["add", "append", "append-a-list"],
)
def test_what_is_not_repeatable_changes_something_when_it_is_repeated(update):
    message = encode(PeopleOp("user-1", update), Project(TOKEN))
    once = delivered(State(), message)
    assert not message.repeatable
    assert seen(delivered(once, message)) != seen(once)


# --- the same in another form ---------------------------------------------------------------------------------------


BAD = st.sampled_from([{}, [], 5, None, {"event": "", "properties": {}}, {"$token": TOKEN}])
RECORDS = {
    Endpoint.TRACK: wire_events() | COMMANDS | BAD,
    Endpoint.IMPORT: wire_events() | COMMANDS | BAD,
    Endpoint.ENGAGE: st.builds(lambda user, update: update | {"$distinct_id": user}, USERS, wire_updates()) | BAD,
    Endpoint.GROUPS: st.builds(
        lambda user, update: update | {"$group_key": "company", "$group_id": user}, USERS, wire_updates()
    )
    | BAD,
}


def without_numbers(state):
    """
    The state without what depends on how its records shared requests.
    """
    nothing = {"number": 0, "exchange": 0, "index": 0}
    events = tuple((evolve(each, **nothing, json=b""), said(each)) for each in state.events.entries)
    updates = tuple(evolve(each, **nothing) for each in state.updates.entries)
    counts = evolve(state.counts, requests=0)
    return events, updates, dict(state.profiles), dict(state.groups), state.identities, counts


@pytest.mark.parametrize("endpoint", Endpoint, ids=lambda each: each.name.lower())
@given(data=st.data())
@lightly
def test_it_makes_no_difference_how_records_share_requests(endpoint, data):
    records = data.draw(st.lists(RECORDS[endpoint], min_size=1, max_size=8))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(records)), max_size=4)) | {len(records)})
    split = State()
    for start, end in zip([0, *cuts], cuts, strict=False):
        split = told(split, endpoint, *records[start:end])
    assert without_numbers(split) == without_numbers(told(State(), endpoint, *records))


@given(
    st.lists(wire_events(), max_size=4),
    st.lists(RECORDS[Endpoint.ENGAGE], max_size=4),
    st.lists(RECORDS[Endpoint.GROUPS], max_size=4),
    st.randoms(),
)
@lightly
def test_it_makes_no_difference_in_which_order_endpoints_are_served(events, updates, groups, random):
    lanes = {Endpoint.TRACK: events, Endpoint.ENGAGE: updates, Endpoint.GROUPS: groups}
    turns = [endpoint for endpoint, records in lanes.items() for _ in records]
    states = []
    for order in (turns, random.sample(turns, len(turns))):
        state, rest = State(), {endpoint: iter(records) for endpoint, records in lanes.items()}
        for endpoint in order:
            state = told(state, endpoint, next(rest[endpoint]))
        states.append(seen(state))
    assert states[0] == states[1]


def in_all_forms(endpoint, records):
    """
    Requests that bring the same records in each of the ways that the endpoint takes.
    """
    plain = json.dumps(records, ensure_ascii=False).encode()
    escaped = json.dumps(records, indent=1).encode()
    form = "application/x-www-form-urlencoded"
    yield http_request(endpoint, plain)
    bodies = [(escaped, "application/json; charset=utf-8"), (plain, ""), (b"\n " + plain, "text/plain")]
    bodies += [(urlencode({"data": data}).encode(), form) for data in (plain, base64.b64encode(escaped))]
    bodies += [(urlencode({"data": base64.b64encode(plain).rstrip(b"=")}).encode(), "")]
    if len(records) == 1 and isinstance(records[0], dict):
        bodies += [(urlencode({"data": json.dumps(records[0])}).encode(), form)]
    if endpoint is Endpoint.IMPORT:
        lines = [json.dumps(record).encode() for record in records]
        bodies += [(b"\n".join(lines), "application/x-ndjson"), (b"\n\n".join(lines) + b"\n", "application/x-ndjson")]
    for body, content_type in bodies:
        yield http_request(endpoint, body, content_type=content_type)
        if endpoint in EVENTS:
            middle = len(body) // 2
            twice = gzip.compress(body[:middle], 1) + gzip.compress(body[middle:], 1)
            for compressed in (gzip.compress(body, 1), twice):
                yield http_request(endpoint, compressed, content_type=content_type, encoding="gzip")
    if endpoint in (Endpoint.TRACK, Endpoint.ENGAGE):
        for data in (plain, base64.b64encode(plain)):
            yield http_request(endpoint, b"", query=f"{QUERY[endpoint]}&{urlencode({'data': data})}", method="GET")


@pytest.mark.parametrize("endpoint", Endpoint, ids=lambda each: each.name.lower())
@given(data=st.data())
@barely
def test_it_makes_no_difference_in_which_form_records_travel(endpoint, data):
    records = data.draw(st.lists(RECORDS[endpoint], min_size=1, max_size=3))
    if isinstance(records[0], dict):
        records[0] = records[0] | {data.draw(TEXT): "価格 +%&="}
    states = []
    for request in in_all_forms(endpoint, records):
        state, reply = respond(State(), request, NOW)
        assert reply.status in (200, 400)
        states.append(evolve(state, exchanges=Log(), load=()))
    assert all(state == states[0] for state in states)


# --- whatever arrives -----------------------------------------------------------------------------------------------

ODD = st.sampled_from([-1e308, 1e308, -(10**300), 10**300, 2**64, -0.0, "\ud800", "é" * 300, " token ", "$device:", {}])
ANYTHING = st.recursive(
    mx.json_scalars() | ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
KEYS = st.sampled_from(
    """
    event properties token time distinct_id $insert_id $user_id $device_id alias $identified_id $anon_id $distinct_ids
    $ignore ip $token $distinct_id $group_key $group_id $set $set_once $add $append $union $remove $unset $delete $ip
    $time $ignore_time $ignore_alias $latitude a
    """.split()
)
COMMAND_NAMES = st.sampled_from(["Opened", "$create_alias", "$identify", "$merge"])
LOOSE = st.dictionaries(KEYS, ANYTHING, max_size=4)
LOOSE_EVENTS = st.builds(
    lambda name, rest, properties: {"event": name, "properties": {**properties, "token": TOKEN, **rest}},
    COMMAND_NAMES | ANYTHING,
    LOOSE,
    wire_events().map(lambda record: record["properties"]),
)
LOOSE_UPDATES = st.builds(
    lambda update, rest: {"$token": TOKEN, "$distinct_id": "user-1", **update, **rest}, wire_updates(), LOOSE
)
CONTENT_TYPES = st.sampled_from(
    ["application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "text/plain", ""]
)
PARAMETERS = st.sampled_from(["", "verbose=1", "strict=1", "strict=1&verbose=2", "img=1", "callback=f", "ip=1", "a&=%"])


@st.composite
def anything_sent(draw):
    records = draw(st.lists(LOOSE_EVENTS | LOOSE_UPDATES | LOOSE | ANYTHING, max_size=4))
    text = json.dumps(records).encode()
    bodies = [text, text, text, urlencode({"data": text}).encode(), gzip.compress(text, 1), text[:-1]]
    body = draw(st.sampled_from(bodies) | st.binary(max_size=30))
    endpoint = draw(st.sampled_from(Endpoint))
    return evolve(
        http_request(endpoint, body, content_type=draw(CONTENT_TYPES), query=draw(PARAMETERS)),
        method=draw(st.sampled_from(["POST", "POST", "POST", "GET", "PUT"])),
        address=draw(st.sampled_from(["127.0.0.1", "203.0.113.7", "not an address"])),
    )


FAULTS = st.sampled_from([None, Status(429, "0"), Status(500, is_applied=True), Reset(), LostAnswer(), Delay(0.0)])


@given(st.lists(st.tuples(anything_sent(), FAULTS), max_size=3), SYSTEMS)
@lightly
def test_whatever_arrives_is_answered_and_changes_no_state_that_was(requests, project):
    state = State(settings=project)
    for request, fault in requests:
        if fault is not None:
            state = evolve(state, scripts=(*state.scripts, Script(fault)))
        before = copy.deepcopy(state)
        after, reply = respond(state, request, NOW)
        assert state == before
        assert 200 <= reply.status < 600
        state = after
    assert_books_balance(state)


def path_of(exchange):
    return exchange.request.target.partition("?")[0]


def assert_books_balance(state):
    """
    What is kept, what is counted and what is numbered tell the same story.
    """
    exchanges, counts = state.exchanges.entries, state.counts
    assert counts.requests == len(exchanges)
    assert counts.faults == sum(exchange.fault is not None for exchange in exchanges)
    for log, fates, endpoints in (
        (state.events, counts.events, EVENTS),
        (state.updates, counts.updates, (Endpoint.ENGAGE, Endpoint.GROUPS)),
    ):
        brought = [
            exchange.records
            for exchange in exchanges
            if has_effect(exchange.fault) and path_of(exchange) in {endpoint.value for endpoint in endpoints}
        ]
        assert sum(fates.values()) == len(log.entries) == sum(brought)
        assert Counter(entry.fate for entry in log.entries) == Counter(fates)
        assert log.bytes == sum(entry.size for entry in log.entries)
    numbers = [each.number for log in (state.events, state.updates, state.exchanges) for each in log.entries]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers, default=0) == state.number
    for entry in (*state.events.entries, *state.updates.entries):
        assert bool(entry.reason) is (entry.fate is not Fate.STORED)


HAVE_EFFECT = {
    LostAnswer(): True,
    Delay(0.0): True,
    Status(502, is_applied=True): True,
    Status(502): False,
    Status(429, "1"): False,
    Reset(): False,
}


@given(MESSAGES, st.lists(MESSAGES, max_size=2), st.sampled_from(sorted(HAVE_EFFECT.items(), key=repr)))
@lightly
def test_a_fault_takes_all_of_the_effect_of_a_request_or_none(message, earlier, fault):
    before = delivered(State(), *earlier)
    wrong = delivered(evolve(before, scripts=(Script(fault[0]),)), message)
    expected = delivered(before, message) if fault[1] else before
    assert seen(wrong) == seen(expected)
    assert (wrong.counts.events, wrong.counts.updates) == (expected.counts.events, expected.counts.updates)
    assert (wrong.counts.faults, wrong.scripts) == (1, ())


@given(st.lists(wire_events() | LOOSE_EVENTS | COMMANDS, min_size=1, max_size=5), SYSTEMS)
@lightly
def test_the_answer_of_import_says_what_became_of_each_record(records, project):
    state, reply = respond(State(settings=project), http_request(Endpoint.IMPORT, json.dumps(records).encode()), NOW)
    answer = json.loads(reply.body)
    refused = [event.index for event in state.events.entries if event.fate is Fate.REFUSED]
    assert answer["num_records_imported"] == len(records) - len(refused)
    assert reply.status == (400 if refused else 200)
    rows = answer.get("failed_records", [])
    if not all(isinstance(row, str) for row in rows):
        assert [row["index"] for row in rows] == refused
        by_index = {event.index: event for event in state.events.entries}
        assert [row["message"] for row in rows] == [by_index[index].reason for index in refused]


@pytest.mark.parametrize("endpoint", [Endpoint.TRACK, Endpoint.ENGAGE, Endpoint.GROUPS], ids=lambda each: each.name)
@given(data=st.data())
@lightly
def test_the_others_answer_success_if_anything_was_taken(endpoint, data):
    records = data.draw(st.lists(RECORDS[endpoint], min_size=1, max_size=4))
    state, reply = respond(State(), http_request(endpoint, json.dumps(records).encode()), NOW)
    entries = state.events.entries if endpoint is Endpoint.TRACK else state.updates.entries
    is_any_taken = any(entry.fate is not Fate.REFUSED for entry in entries)
    assert (reply.status, json.loads(reply.body)["status"]) == (200, int(is_any_taken))


@given(st.lists(st.tuples(st.sampled_from(Endpoint), st.data()), min_size=1, max_size=6), st.integers(1, 4))
@lightly
def test_beyond_a_cap_the_oldest_go_and_are_counted(arrivals, most):
    caps = Settings(max_events=most, max_updates=most, max_requests=most, max_profiles=most)
    full, capped = State(), State(settings=caps)
    for endpoint, data in arrivals:
        record = data.draw(RECORDS[endpoint])
        full, capped = told(full, endpoint, record), told(capped, endpoint, record)
    for name in ("events", "updates", "exchanges"):
        everything, kept = getattr(full, name).entries, getattr(capped, name)
        assert [entry.number for entry in kept.entries] == [entry.number for entry in everything[-most:]]
        assert kept.forgotten == max(0, len(everything) - most)
    # Not fate by fate, because who was forgotten is somebody new.
    assert sum(capped.counts.events.values()) == sum(full.counts.events.values())
    assert sum(capped.counts.updates.values()) == sum(full.counts.updates.values())
    assert len(capped.profiles) <= most
    assert len(capped.groups) <= most


# --- what the core accepts, the emulator takes ----------------------------------------------------------------------


def strictly(operation, events):
    """
    The message of an operation, for a project that sends nothing that the server would change; None if it is refused.
    """
    try:
        return encode(operation, Project(TOKEN, limits="strict", events=events))
    except Refused:
        return None


def taken(message, now, project):
    """
    What becomes of a message that the core sends at that time: what the client is told, the entry, the state.
    """
    mixpanel = LocalMixpanel(project, now=lambda: now)
    batch = Batch((route(message, now),))
    outcome = interpret(batch, mixpanel.post(to_request(batch, Project(TOKEN)))).outcome
    state = mixpanel.state
    (entry,) = state.events.entries + state.updates.entries
    return outcome, entry, state


def raw_or_typed(operation):
    return "raw" if isinstance(operation, RawPeopleOp | RawGroupOp) else "typed"


def nested_lists(value):
    """
    All lists in a value.
    """
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for one in inside for each in nested_lists(one)] + ([value] if isinstance(value, list) else [])


def holds_deep_objects_in_a_list(value):
    return any(
        isinstance(inner, dict | list)
        for each in nested_lists(value)
        for element in each
        if isinstance(element, dict)
        for inner in element.values()
    )


def holds_a_long_name(value):
    if isinstance(value, dict):
        return any(len(name) > 255 or holds_a_long_name(each) for name, each in value.items())
    return isinstance(value, list) and any(map(holds_a_long_name, value))


@frozen
class Known:
    """
    What the core accepts and the emulator does not take as it is.

    Attributes:
        reason: Why the core does not refuse it.
        operation: An example.
        is_one: Whether a message at a time in a project is one of these.
        project, now: Where and when the example shows it.
        events: Where its project sends events.
        fate: What becomes of it.
    """

    reason: str
    operation: object
    is_one: object
    project: Settings = ORIGINAL
    now: int = NOW
    events: str = "track"
    fate: Fate = Fate.STORED


ANON_ID = "0a1b2c3d-4e5f-4a6b-8c7d-0e1f2a3b4c5d"


def track(time=NOW, distinct_id="user-1", **properties):
    return Track("Opened", distinct_id=distinct_id, properties=properties, time=time, insert_id="insert-0001")


def is_command(message):
    return message.barrier


def is_ahead(message, now, project):
    return message.time is not None and message.time > now


def has_no_distinct_id(message, now, project):
    is_event = message.endpoint in EVENTS and not is_command(message)
    return is_event and project.id_system == "original" and "distinct_id" not in message.to_wire()["properties"]


def is_command_for_simplified(message, now, project):
    return is_command(message) and project.id_system == "simplified"


def has_objects_deep_in_lists(message, now, project):
    return message.endpoint in EVENTS and holds_deep_objects_in_a_list(message.to_wire())


def has_a_long_name_inside(message, now, project):
    return holds_a_long_name(message.to_wire())


def has_unknown_operators(message, now, project):
    return message.endpoint not in EVENTS and not message.to_wire().keys() & OPERANDS.keys()


def has_an_operand_of_another_type(message, now, project):
    kinds = dict.fromkeys(OPERANDS, dict) | {"$unset": list, "$delete": object}
    record = message.to_wire()
    return any(name in record and not is_operand(name, record[name], kinds[name]) for name in OPERANDS)


def is_operand(operator, operand, kind):
    if not isinstance(operand, kind) or (operator == "$unset" and not (operand and set(map(type, operand)) == {str})):
        return False
    if operator == "$add":
        return all(map(is_number, operand.values()))
    return operator != "$union" or all(
        isinstance(each, list) and each and all(type(one) is str or is_number(one) for one in each)
        for each in operand.values()
    )


EXCEPTIONS = {
    "ahead-on-import": Known(
        "the core has no clock, and the service has its own",
        track(NOW + HOUR + 1),
        is_ahead,
        events="import",
        fate=Fate.REFUSED,
    ),
    "ahead-on-track": Known("the core has no clock, and the service has its own", track(NOW + 1), is_ahead),
    "no-distinct-id": Known(
        "whether an event needs a distinct_id beside its ids depends on the project's identity system",
        track(distinct_id=None, **{"$user_id": "user-1"}),
        has_no_distinct_id,
        events="import",
        fate=Fate.REFUSED,
    ),
    "no-distinct-id-on-track": Known(
        "/track takes it all the same, for nobody",
        track(distinct_id=None, **{"$device_id": "device-1"}),
        has_no_distinct_id,
    ),
    "alias-for-simplified": Known(
        "whether a project takes commands depends on its identity system",
        Alias(alias="user-2", distinct_id="user-1"),
        is_command_for_simplified,
        SIMPLIFIED,
        fate=Fate.IGNORED,
    ),
    "identify-for-simplified": Known(
        "whether a project takes commands depends on its identity system",
        Identify(identified_id="user-1", anon_id=ANON_ID),
        is_command_for_simplified,
        SIMPLIFIED,
        fate=Fate.IGNORED,
    ),
    "merge-for-simplified": Known(
        "whether a project takes commands depends on its identity system",
        Merge("user-1", "user-2"),
        is_command_for_simplified,
        SIMPLIFIED,
        fate=Fate.REFUSED,
    ),
    "objects-deep-in-lists": Known(
        "that objects in a list are flat is documented for a list that is a property, not for lists inside of others",
        track(rows={"inside": [{"of": [1]}]}),
        has_objects_deep_in_lists,
        events="import",
        fate=Fate.REFUSED,
    ),
    "long-name-inside": Known(
        "how long a name may be is documented for properties, not for the names inside of their objects",
        track(rows={"x" * 256: 1}),
        has_a_long_name_inside,
    ),
    "operators-unknown": Known(
        "a raw operation is for operators that are newer than this library, and than the emulator",
        RawPeopleOp("user-1", {"$multiply": {"a": 2}}),
        has_unknown_operators,
        fate=Fate.REFUSED,
    ),
    "operand-of-another-type": Known(
        "what the operators of a raw operation mean is between the caller and the server",
        RawGroupOp("company", "acme", {"$set": 5}),
        has_an_operand_of_another_type,
        fate=Fate.REFUSED,
    ),
}


@pytest.mark.parametrize("exception", EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_what_the_core_accepts_and_the_emulator_does_not_take_is_a_known_exception(exception):
    message = strictly(exception.operation, exception.events)
    assert exception.is_one(message, exception.now, exception.project)
    _, entry, _ = taken(message, exception.now, exception.project)
    assert entry.fate is exception.fate
    if entry.fate is Fate.STORED:
        assert entry.notes


AGES = st.sampled_from([0, 1, HOUR, 5 * DAY - 600_000, 5 * DAY - 599_999, 5 * DAY, 5 * DAY + 1, 400 * DAY])
STRICT = (
    st.tuples(mx.tracks() | mx.operations(), st.sampled_from(["track", "import"]))
    .map(lambda each: (each[0], strictly(*each)))
    .filter(lambda each: each[1] is not None)
)
LOSSES = ("truncated", "trimmed", "overwritten", "would refuse")
"""What notes say where something did not stay as it was sent."""


@given(STRICT, AGES, SYSTEMS)
def test_what_the_core_accepts_strictly_the_emulator_takes_as_it_is(sent, age, project):
    operation, message = sent
    now = NOW if message.time is None else message.time + age
    assume(not any(exception.is_one(message, now, project) for exception in EXCEPTIONS.values()))
    event(f"{raw_or_typed(operation)} {message.endpoint.name}")
    outcome, entry, state = taken(message, now, project)
    assert outcome == Outcome(delivered=(route(message, now),))
    assert entry.endpoint is route(message, now).endpoint
    assert [note for note in entry.notes if any(loss in note for loss in LOSSES)] == []
    if isinstance(operation, Track):
        assert entry.fate is Fate.STORED
        assert entry.properties == stored(message, entry.endpoint, project)
    elif is_command(message):
        assert entry.fate is Fate.STORED
        assert len({state.identities.user_of(key) for key in message.keys}) == 1
    else:
        assert entry.fate in (Fate.STORED, Fate.IGNORED)
        if raw_or_typed(operation) == "typed":
            assert entry.fate is Fate.STORED or set(message.to_wire()) & {"$remove", "$unset", "$delete"}
            assert profile_of(state) == after_all(message)


def stored(message, endpoint, project):
    """
    The properties of an event as they are to be stored.
    """
    properties = message.to_wire()["properties"]
    own = {"time": message.time} | ({"$import": True} if endpoint is Endpoint.IMPORT else {})
    if project.id_system == "simplified":
        user, device = properties.get("$user_id"), properties.get("$device_id")
        own |= {"distinct_id": str(user)} if is_given(user) else {}
        own |= {"distinct_id": f"$device:{device}"} if is_given(device) and not is_given(user) else {}
    return {name: value for name, value in properties.items() if name not in ("token", "ip")} | own


def is_given(user):
    return isinstance(user, str) and bool(user)


PLACES = ("$city", "$region", "$country_code")


def after_all(message):
    """
    The properties that the operators of an update lead to where no profile was.
    """
    record, properties = message.to_wire(), None
    for operator in OPERANDS:
        if operator in record:
            properties = modelled(operator, properties, record[operator])
    if properties is not None and "$ip" in record:
        return {name: value for name, value in properties.items() if name not in PLACES}
    return properties


def profile_of(state):
    profiles = [*state.profiles.values(), *state.groups.values()]
    assert len(profiles) <= 1
    if not profiles:
        return None
    is_placed = any(b'"$ip"' in update.json for update in state.updates.entries)
    return {name: value for name, value in profiles[0].properties.items() if not is_placed or name not in PLACES}


# --- what the emulator refuses, the core refused --------------------------------------------------------------------

WEIRD = st.sampled_from(
    [
        "",
        " ",
        "null",
        " Undefined ",
        "é" * 256,
        "x" * 37,
        "a_b",
        "2026-01-01",
        "\ud800",
        None,
        True,
        False,
        [],
        {},
        ["x"],
        {"x": 1},
        0,
        -1,
        5,
        5.5,
        31_535_999,
        31_536_000,
        10**17,
        1e300,
        -1e300,
    ]
)
EXTRA = st.sampled_from(["a", "b", "$device_id", "$user_id", "$ignore", "", " a ", "bucket", "$distinct_id"])


def in_objects(value, levels):
    for _ in range(levels):
        value = {"x": value}
    return value


CROWDED = st.one_of(
    st.integers(253, 256).map(lambda size: [0] * size),
    st.integers(253, 256).map(lambda size: dict.fromkeys(map(str, range(size)), 0)),
    st.integers(1, 5).map(lambda levels: in_objects(1, levels)),
    st.integers(1, 5).map(lambda levels: [in_objects(1, levels)]),
)


@st.composite
def mutated_events(draw):
    """
    Events as they stand on the wire, with anything wrong about them; and, often enough, with nothing.
    """
    properties = {"distinct_id": "user-1", "time": NOW, "$insert_id": "insert-0001", "token": TOKEN}
    properties |= draw(st.dictionaries(EXTRA, WEIRD | CROWDED | mx.json_scalars(), max_size=2))
    for name in draw(st.lists(st.sampled_from(["distinct_id", "time", "$insert_id"]), max_size=2, unique=True)):
        if draw(st.booleans()):
            properties[name] = draw(WEIRD)
        else:
            del properties[name]
    count = draw(st.sampled_from([0] * 8 + [246, 247, 248, 249, 250, 251, 252]))
    properties |= {f"p{number}": number for number in range(count)}
    return {
        "event": draw(st.just("Opened") | st.just("Opened") | WEIRD),
        "properties": draw(st.just(properties) | st.just(properties) | st.just(properties) | WEIRD),
    }


def event_operation(record):
    """
    The operation that somebody would make of what an event on the wire holds.
    """
    properties = record["properties"]
    if not isinstance(properties, dict):
        return Track(record["event"], distinct_id="user-1", properties=properties, time=NOW, insert_id="insert-0001")
    own = {name: properties.get(name) for name in ("distinct_id", "time")}
    given = {name: value for name, value in properties.items() if name not in (*own, "$insert_id", "token")}
    return Track(record["event"], **own, insert_id=properties.get("$insert_id"), properties=given)


def sent_instead(make, record):
    """
    What the core sends if somebody gives it the values of a record; None if it refuses them.
    """
    try:
        message = encode(make(copy.deepcopy(record)), Project(TOKEN, events="import"))
    except MixwireError:
        return None
    return message


@given(mutated_events(), SYSTEMS)
@example({"event": "Opened", "properties": {"distinct_id": "user-1", "time": NOW + 2 * HOUR}}, Settings())
def test_an_event_that_the_emulator_refuses_the_core_refuses_or_mends(record, project):
    state = told(State(settings=project), Endpoint.IMPORT, record)
    (entry,) = state.events.entries
    event(entry.reason)
    message = sent_instead(event_operation, record)
    if entry.fate is not Fate.REFUSED or message is None:
        return
    if any(exception.is_one(message, NOW, project) for exception in EXCEPTIONS.values()):
        return
    _, entry, _ = taken(message, NOW, project)
    assert entry.fate is not Fate.REFUSED


@st.composite
def mutated_updates(draw):
    """
    Updates as they stand on the wire, with anything wrong about them; and, often enough, with nothing.
    """
    update = draw(wire_updates())
    endpoint = draw(st.sampled_from([Endpoint.ENGAGE, Endpoint.GROUPS]))
    update |= {"$distinct_id": "user-1"} if endpoint is Endpoint.ENGAGE else GROUP.ids
    ids = sorted({"$distinct_id", "$group_key", "$group_id"})
    for name in draw(st.lists(st.sampled_from([*ids, *OPERANDS, "$token", "$multiply"]), max_size=2, unique=True)):
        update[name] = draw(WEIRD | SOME | st.dictionaries(NAMES, WEIRD, max_size=2))
    for name in draw(st.lists(st.sampled_from([*ids, *OPERANDS]), max_size=2, unique=True)):
        update.pop(name, None)
    return endpoint, update | {"$token": TOKEN}


@given(mutated_updates())
def test_an_update_that_the_emulator_refuses_the_core_refuses_or_mends(mutated):
    endpoint, update = mutated
    (entry,) = told(State(), endpoint, update).updates.entries
    event(entry.reason)

    def make(record):
        del record["$token"]
        return people_operation(record) if endpoint is Endpoint.ENGAGE else group_operation(record)

    message = sent_instead(make, update)
    if entry.fate is not Fate.REFUSED or message is None:
        return
    if any(exception.is_one(message, NOW, Settings()) for exception in EXCEPTIONS.values()):
        return
    _, entry, _ = taken(message, NOW, Settings())
    assert entry.fate is not Fate.REFUSED


# At each of these both say the same.
LIMITS = {
    "254 properties": (dict.fromkeys((f"p{number}" for number in range(248)), 0), True),
    "255 properties": (dict.fromkeys((f"p{number}" for number in range(249)), 0), False),
    "254 keys": ({"a": dict.fromkeys(map(str, range(254)), 0)}, True),
    "255 keys": ({"a": dict.fromkeys(map(str, range(255)), 0)}, False),
    "254 elements": ({"a": [0] * 254}, True),
    "255 elements": ({"a": [0] * 255}, False),
    "3 objects deep": ({"a": in_objects(1, 3)}, True),
    "4 objects deep": ({"a": in_objects(1, 4)}, False),
}


@pytest.mark.parametrize(("properties", "is_taken"), LIMITS.values(), ids=LIMITS)
def test_the_core_and_the_emulator_draw_each_line_at_the_same_place(properties, is_taken):
    own = {"distinct_id": "user-1", "time": NOW, "$insert_id": "insert-0001", "token": TOKEN}
    record = {"event": "Opened", "properties": own | {"mp_lib": "x", "$lib_version": "1"} | properties}
    (entry,) = told(State(), Endpoint.IMPORT, record).events.entries
    assert (entry.fate is Fate.STORED) is is_taken
    assert (sent_instead(lambda _: track(**properties), {}) is not None) is is_taken


JUST_FITTING = {
    "a value": {"a": "x" * 255},
    "a name": {"x" * 255: 1},
    "a value in a list": {"a": ["x" * 255]},
    "a name inside": {"a": {"x" * 255: 1}},
}


@pytest.mark.parametrize("properties", JUST_FITTING.values(), ids=JUST_FITTING)
def test_what_just_fits_the_core_accepts_strictly_and_the_emulator_stores_as_it_is(properties):
    operation = Track("x" * 255, distinct_id="x" * 255, properties=properties, time=NOW, insert_id="x" * 36)
    message = strictly(operation, "track")
    _, entry, _ = taken(message, NOW, ORIGINAL)
    assert (entry.name, entry.properties, entry.notes) == ("x" * 255, stored(message, Endpoint.TRACK, ORIGINAL), ())
    _, entry, state = taken(strictly(PeopleOp("x" * 255, Set(properties)), "track"), NOW, ORIGINAL)
    assert (dict(state.profiles), entry.notes) == ({"x" * 255: Profile(properties=properties, last_seen=NOW)}, ())
