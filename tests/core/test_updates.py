from __future__ import annotations

import copy
import math
import re
import traceback
from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID

import pytest

from mixwire.core.changes import Add, Append, Delete, GroupChange, PeopleChange, Remove, Set, SetOnce, Union, Unset
from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.limits import DISTINCT_ID_CHARACTERS, UPDATE_BYTES
from mixwire.core.messages import encode
from mixwire.core.operations import Operation
from mixwire.core.profiles import GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from mixwire.core.project import Project
from mixwire.core.updates import Where, group_operation, in_message, people_operation

PROJECT = Project("TOKEN")
CANARY = f"canary-{6 * 7}"
USER = {"$distinct_id": "user-1"}
GROUP = {"$group_key": "Company", "$group_id": "acme"}
TIME = 1_767_225_600
PLAN = {"$set": {"plan": "pro"}}


def people(update: Mapping[str, object], where: Where = in_message) -> Operation:
    return people_operation({**USER, **update}, where)


def group(update: Mapping[str, object], where: Where = in_message) -> Operation:
    return group_operation({**GROUP, **update}, where)


def in_words(name: str) -> str:
    """
    Another place for each key, as a caller with an argument for each would have it.
    """
    return f"argument_{name.removeprefix('$')}"


each_kind = pytest.mark.parametrize("read", [people, group], ids=["people", "group"])
each_where = pytest.mark.parametrize("where", [in_message, in_words], ids=["in message", "in words"])


def refusal(make: Callable[[], object]) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        make()
    return caught.value


def placed(sentence: str, where: Where) -> str:
    """
    The sentence with each key in braces replaced by where it stands.
    """
    return re.sub(r"\{(\$\w+)\}", lambda match: where(match[1]), sentence)


# --- what an update says --------------------------------------------------------------------------------------------

CHANGES: dict[str, tuple[object, PeopleChange]] = {
    "$set": ({"plan": "pro"}, Set({"plan": "pro"})),
    "$set_once": ({"since": 2026}, SetOnce({"since": 2026})),
    "$add": ({"credits": -1.5}, Add({"credits": -1.5})),
    "$append": ({"visits": {"page": "/"}}, Append({"visits": {"page": "/"}})),
    "$union": ({"tags": ["a", 1]}, Union({"tags": ["a", 1]})),
    "$remove": ({"tags": "a"}, Remove({"tags": "a"})),
    "$unset": (["plan", "since"], Unset("plan", "since")),
    "$delete": ("", Delete()),
}
FOR_GROUPS = [name for name in CHANGES if name not in ("$add", "$append")]


@pytest.mark.parametrize("operator", CHANGES)
def test_each_operator_becomes_its_change(operator: str) -> None:
    value, change = CHANGES[operator]
    assert people({operator: value}) == PeopleOp("user-1", change)


@pytest.mark.parametrize("operator", FOR_GROUPS)
def test_each_operator_of_groups_becomes_its_change(operator: str) -> None:
    value, change = CHANGES[operator]
    assert not isinstance(change, Add | Append)
    assert group({operator: value}) == GroupOp("Company", "acme", change)


def test_several_operators_become_one_operation_with_their_order_kept() -> None:
    update = {"$unset": ["c"], "$set": {"a": 1}, "$append": {"d": 1}, "$add": {"b": 1}}
    operation = people(update)
    assert operation == PeopleOp("user-1", Unset("c"), Set({"a": 1}), Append({"d": 1}), Add({"b": 1}))
    assert [name for name in encode(operation, PROJECT).to_wire() if name in update] == list(update)


def test_several_operators_of_a_group_become_one_operation_with_their_order_kept() -> None:
    update = {"$union": {"a": [1]}, "$unset": ["b"], "$set": {"c": 1}}
    changes: tuple[GroupChange, ...] = (Union({"a": [1]}), Unset("b"), Set({"c": 1}))
    assert group(update) == GroupOp("Company", "acme", *changes)


def test_names_to_unset_may_be_a_tuple() -> None:
    assert people({"$unset": ("plan", "since", "plan")}) == PeopleOp("user-1", Unset("plan", "since"))


def test_a_single_value_is_united_as_a_list_of_one() -> None:
    assert people({"$union": {"tags": "a"}}) == PeopleOp("user-1", Union({"tags": ["a"]}))


@each_kind
@pytest.mark.parametrize(
    "value", ["", None, True, 0, {"a": 1}, "no", math.nan, object()], ids=lambda value: repr(value)[:8]
)
def test_delete_deletes_whatever_its_value(read: Callable[..., Operation], value: object) -> None:
    assert encode(read({"$delete": value}), PROJECT).to_wire()["$delete"] == ""
    assert encode(read({"$delete": value}), PROJECT) == encode(read({"$delete": ""}), PROJECT)


OPTIONS = {
    "ip": ({"$ip": "203.0.113.7"}, UpdateOptions(ip="203.0.113.7")),
    "no place": ({"$ip": 0}, UpdateOptions(ip="0")),
    "no ip": ({"$ip": None}, UpdateOptions()),
    "ignore_time": ({"$ignore_time": True}, UpdateOptions(ignore_time=True)),
    "ignore_alias off": ({"$ignore_alias": False}, UpdateOptions()),
    "ip and ignore_time": ({"$ignore_time": True, "$ip": "0"}, UpdateOptions(ip="0", ignore_time=True)),
}
OPTIONS_OF_PEOPLE = {
    "ignore_alias": ({"$ignore_alias": True}, UpdateOptions(ignore_alias=True)),
    "place": ({"$latitude": 0, "$longitude": -1.5}, UpdateOptions(latitude=0, longitude=-1.5)),
}


@pytest.mark.parametrize("name", ["ignore_time", "ignore_alias"])
@pytest.mark.parametrize(("text", "flag"), [("true", True), ("True", True), ("false", False)])
def test_a_flag_may_be_written_as_text(name: str, text: str, flag: bool) -> None:
    assert getattr(people({**PLAN, f"${name}": text}).options, name) is flag


@pytest.mark.parametrize("name", [*OPTIONS, *OPTIONS_OF_PEOPLE])
def test_options_stand_beside_the_changes_of_a_user(name: str) -> None:
    beside, options = {**OPTIONS, **OPTIONS_OF_PEOPLE}[name]
    assert people({**beside, **PLAN}) == PeopleOp("user-1", Set({"plan": "pro"}), options=options)
    assert people({**PLAN, **beside, "$time": TIME}).options == options


@pytest.mark.parametrize("name", OPTIONS)
def test_options_stand_beside_the_changes_of_a_group(name: str) -> None:
    beside, options = OPTIONS[name]
    assert group({**PLAN, **beside}) == GroupOp("Company", "acme", Set({"plan": "pro"}), options=options)


@each_kind
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TIME, TIME),
        (TIME * 1000 + 7, TIME * 1000 + 7),
        (TIME + 0.5, TIME * 1000 + 500),
        (datetime(2026, 1, 1, tzinfo=UTC), TIME * 1000),
        (None, None),
    ],
    ids=["seconds", "milliseconds", "float", "datetime", "None"],
)
def test_the_time_of_an_update_is_read(read: Callable[..., Operation], given: object, kept: int | None) -> None:
    operation = read({"$time": given, **PLAN})
    assert isinstance(operation, PeopleOp | GroupOp)
    assert operation.time == kept


def test_an_update_without_time_and_options_has_none() -> None:
    operation = people(PLAN)
    assert isinstance(operation, PeopleOp)
    assert (operation.time, operation.options) == (None, UpdateOptions())


@pytest.mark.parametrize(
    ("given", "kept"), [("user-1", "user-1"), (17, "17"), (UUID(int=5), str(UUID(int=5)))], ids=["str", "int", "UUID"]
)
def test_ids_are_kept_as_text(given: object, kept: str) -> None:
    assert people_operation({**PLAN, "$distinct_id": given}) == PeopleOp(kept, Set({"plan": "pro"}))
    assert group_operation({**PLAN, "$group_key": "k", "$group_id": given}) == GroupOp("k", kept, Set({"plan": "pro"}))
    raw = people_operation({"$new": 1, "$distinct_id": given})
    assert raw == RawPeopleOp(kept, {"$new": 1})


@pytest.mark.parametrize("kind", [dict, OrderedDict, MappingProxyType], ids=lambda kind: kind.__name__)
def test_an_update_may_be_any_mapping(kind: Callable[[dict[str, object]], Mapping[str, object]]) -> None:
    assert people_operation(kind({**USER, **PLAN})) == PeopleOp("user-1", Set({"plan": "pro"}))


class Named(dict[str, object]):
    """
    A dict of the caller's own kind.
    """


MAPPINGS: tuple[Callable[[dict[str, object]], Mapping[str, object]], ...] = (
    OrderedDict,
    MappingProxyType,
    ChainMap,
    UserDict,
    Named,
)
each_mapping = pytest.mark.parametrize("kind", MAPPINGS, ids=lambda kind: kind.__name__)


@each_mapping
@each_kind
@pytest.mark.parametrize("name", [name for name in CHANGES if name not in ("$unset", "$delete")])
def test_what_stands_at_an_operator_may_be_any_mapping(
    name: str,
    read: Callable[[Mapping[str, object]], Operation],
    kind: Callable[[dict[str, object]], Mapping[str, object]],
) -> None:
    value = CHANGES[name][0]
    assert isinstance(value, dict)
    if read is group and name in ("$add", "$append"):
        for given in (value, kind(value)):
            assert refusal(lambda given=given: read({name: given})).path == in_message(name)
    else:
        assert read(kind({name: kind(value)})) == read({name: value})


@each_mapping
@each_kind
@pytest.mark.parametrize("beside", [{}, PLAN], ids=["alone", "beside a known one"])
def test_what_stands_at_an_unknown_operator_may_be_any_mapping(
    beside: dict[str, object],
    read: Callable[[Mapping[str, object]], Operation],
    kind: Callable[[dict[str, object]], Mapping[str, object]],
) -> None:
    beside = {name: kind(value) for name, value in beside.items() if isinstance(value, dict)}
    assert read({**beside, "$new": kind({"a": 1})}) == read({**beside, "$new": {"a": 1}})


@each_where
@each_kind
def test_a_fault_in_another_mapping_is_told_with_the_same_path(
    read: Callable[[Mapping[str, object], Where], Operation], where: Where
) -> None:
    for name, value, path in (
        ("$set", {"a": [math.nan]}, "{$set}['a'][0]"),
        ("$union", {"a": {"b": 1}}, "{$union}['a']"),
        ("$new", {"a": math.nan}, "{$new}['a']"),
    ):
        assert refusal(lambda: read({name: MappingProxyType(value)}, where)).path == placed(path, where)  # noqa: B023


@each_kind
def test_a_value_deeper_inside_has_one_of_the_exact_types(read: Callable[[Mapping[str, object]], Operation]) -> None:
    fault = refusal(lambda: read({"$set": {"a": MappingProxyType({"b": 1})}}))
    assert (fault.path, fault.found) == ("message['$set']['a']", "mappingproxy")


def test_a_value_is_not_asked_whether_it_is_a_mapping() -> None:
    def refuse(_: object) -> type:
        raise AssertionError("it was asked")

    liar = type("Liar", (), {"__class__": property(refuse)})()
    assert refusal(lambda: people({"$set": liar})).path == "message['$set']"


@pytest.mark.parametrize("update", [{**PLAN, "$ip": 0}, {**PLAN, "$new": {"a": [1]}}], ids=["typed", "raw"])
def test_the_callers_dict_is_neither_changed_nor_kept(update: dict[str, object]) -> None:
    for read, whose in ((people_operation, USER), (group_operation, GROUP)):
        given = copy.deepcopy({**whose, **update})
        before = copy.deepcopy(given)
        operation = read(given)
        assert given == before
        assert list(given) == list(before)
        wire = encode(operation, PROJECT)
        given["$set"]["plan"] = "free"
        given.clear()
        assert encode(operation, PROJECT) == wire


# --- what is newer than this library --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "update",
    [
        {"$multiply": {"a": 2}},
        {"$time": TIME, "$multiply": 2, "$set": {"a": 1}, "$ip": "0"},
        {"$set": {"a": 1}, "$campaign_id": 5},
        {"plan": "pro"},
        {"": None},
    ],
    ids=["operator", "beside known ones", "option", "without a dollar", "no name"],
)
def test_an_unknown_key_makes_a_raw_operation_that_says_the_same_in_the_same_order(update: dict[str, object]) -> None:
    assert people(update) == RawPeopleOp("user-1", update)
    assert group(update) == RawGroupOp("Company", "acme", update)
    for operation, about in ((people(update), USER), (group(update), GROUP)):
        wire = encode(operation, PROJECT).to_wire()
        assert wire == {"$token": "TOKEN", **about, **update}
        assert list(wire) == ["$token", *about, *update]


def test_an_update_that_nobody_knows_here_is_not_repeatable() -> None:
    assert encode(people({**PLAN, "$new": 1}), PROJECT).repeatable is False
    assert encode(people(PLAN), PROJECT).repeatable is True


def test_a_datetime_beside_an_unknown_operator_is_sent_as_a_number_too() -> None:
    for read in (people, group):
        wire = encode(read({"$new": 1, "$time": datetime(2026, 1, 1, tzinfo=UTC)}), PROJECT).to_wire()
        assert wire["$time"] == TIME


# --- what is refused ------------------------------------------------------------------------------------------------

NO_PROPERTY_VALUE = (
    "a str, int, float, bool, None, list, tuple, set, dict, datetime, date, Decimal, UUID, Enum, "
    "attrs or dataclass value, not object"
)
INDEPENDENT = "must be independent of the other changes of its operation; use one operation for each, not"
FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "no dict": ({"$set": "abc"}, "{$set} must be a dict with str keys, not str"),
    "None": ({"$set_once": None}, "{$set_once} must be a dict with str keys, not None"),
    "key": ({"$set": {1: 1}}, "{$set} must be a dict with str keys, not one with a key of type int"),
    "no properties": ({"$remove": {}}, "{$remove} must be at least one property, not none"),
    "value": ({"$set": {"a": [object()]}}, f"{{$set}}['a'][0] must be {NO_PROPERTY_VALUE}"),
    "nan": ({"$set": {"a": {"b": math.nan}}}, "{$set}['a']['b'] must be a finite number, not nan"),
    "empty union": ({"$union": {"a": []}}, "{$union}['a'] must be a list of at least one element, not an empty one"),
    "element": ({"$union": {"a": [1, None]}}, "{$union}['a'][1] must be a str or a number, not None"),
    "names as str": ({"$unset": "abc"}, "{$unset} must be a list of property names, not str"),
    "names as set": ({"$unset": {"abc"}}, "{$unset} must be a list of property names, not set"),
    "names as dict": ({"$unset": {"abc": 1}}, "{$unset} must be a list of property names, not dict"),
    "names as None": ({"$unset": None}, "{$unset} must be a list of property names, not None"),
    "no names": ({"$unset": []}, "{$unset} must be at least one property name, not none"),
    "name": ({"$unset": ["a", 1]}, "{$unset}[1] must be a property name, a str, not int"),
    "empty name": ({"$unset": [""]}, "{$unset}[0] must be a property name, a str, not empty"),
    "option in the properties": (
        {"$set": {"$ip": "0"}},
        "{$set}['$ip'] must be given as options=UpdateOptions(ip=...), not as a property",
    ),
    "long names": ({"$unset": ["x" * 1_000_000]}, "{$unset} must be at most 999,999 bytes, not 1,000,000"),
    "large": ({"$set": {"a": "x" * 1_000_000}}, "{$set}['a'] must be at most 999,999 bytes, not 1,000,001"),
    "ip": ({"$ip": 1, **PLAN}, "{$ip} must be an IP address, or '0' for no place, not int"),
    "ignore_time": ({**PLAN, "$ignore_time": "yes"}, "{$ignore_time} must be True or False, not str"),
    "ignore_alias": ({**PLAN, "$ignore_alias": None}, "{$ignore_alias} must be True or False, not None"),
    "latitude": (
        {**PLAN, "$latitude": 91, "$longitude": 0},
        "{$latitude} must be degrees from -90 to 90, not outside of that",
    ),
    "longitude": (
        {**PLAN, "$latitude": 0, "$longitude": "13"},
        "{$longitude} must be a finite number (int, float or Decimal), not str",
    ),
    "half a place": (
        {**PLAN, "$longitude": 13},
        "{$latitude} and {$longitude} must be both given or both left out, not one without the other",
    ),
    "no operator": ({}, "{$set} must be given, or another operator, not missing"),
    "only options, no operator": ({"$ip": 0, "$time": TIME}, "{$set} must be given, or another operator, not missing"),
    "time": ({**PLAN, "$time": "now"}, "{$time} must be an int, float or datetime, not str"),
    "early": (
        {**PLAN, "$time": 5},
        "{$time} must be Unix time in seconds or milliseconds, from 1971 to 9999, not outside of that",
    ),
    "token": (
        {**PLAN, "$token": "TOKEN"},
        "{$token} must be left out: the library adds it where it belongs, not given",
    ),
    "token alone": ({"$token": None}, "{$token} must be left out: the library adds it where it belongs, not given"),
    "second": (
        {"$set": {"a": 1}, "$unset": ["b", "a"]},
        f"{{$unset}} {INDEPENDENT} one of 'a' again",
    ),
    "third": (
        {"$ip": "0", "$set": {"a": 1}, "$time": TIME, "$set_once": {"b": 1}, "$union": {"b": [1]}},
        f"{{$union}} {INDEPENDENT} one of 'b' again",
    ),
    "delete and more": (
        {"$delete": "", "$set": {"a": 1}},
        f"{{$delete}} {INDEPENDENT} a Delete beside others",
    ),
    "delete after more": (
        {"$set": {"a": 1}, "$delete": ""},
        f"{{$delete}} {INDEPENDENT} a Delete beside others",
    ),
}


@each_kind
@each_where
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_said_where_the_caller_wrote_it(read: Callable[..., Operation], where: Where, name: str) -> None:
    update, sentence = FAULTS[name]
    fault = refusal(lambda: read(update, where))
    assert str(fault) == placed(sentence, where)
    assert fault.path == placed(sentence, where).split(" must be ")[0]


@each_kind
@each_where
@pytest.mark.parametrize("name", [name for name in FAULTS if "no operator" not in name])
def test_what_is_known_is_checked_beside_what_is_not(read: Callable[..., Operation], where: Where, name: str) -> None:
    update, sentence = FAULTS[name]
    fault = refusal(lambda: read({"$new": 1, **update}, where))
    assert str(fault) == placed(sentence, where)


@each_where
@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"$add": {"a": "1"}}, "{$add}['a'] must be a finite number, not str"),
        ({"$add": {"a": True}}, "{$add}['a'] must be a finite number, not bool"),
        ({"$append": {"$time": 1}}, "{$append}['$time'] must be given as time of the operation, not as a property"),
        (
            {"$add": {"a": 1}, "$append": {"a": 1}},
            f"{{$append}} {INDEPENDENT} one of 'a' again",
        ),
    ],
    ids=["text", "bool", "option", "conflict"],
)
def test_a_fault_in_what_only_users_have_is_said_where_the_caller_wrote_it(
    where: Where, update: dict[str, object], sentence: str
) -> None:
    assert str(refusal(lambda: people(update, where))) == placed(sentence, where)


@each_where
@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"$distinct_id": None}, "{$distinct_id} must be a str, int or UUID, not None"),
        ({"$distinct_id": ""}, "{$distinct_id} must be an id of somebody, not empty"),
        ({"$distinct_id": "x" * 256}, "{$distinct_id} must be at most 255 characters, not 256"),
        ({}, "{$distinct_id} must be given, not missing"),
    ],
    ids=["None", "empty", "long", "missing"],
)
@pytest.mark.parametrize("beside", [PLAN, {"$new": 1}], ids=["typed", "raw"])
def test_an_update_of_nobody_is_refused(
    where: Where, update: dict[str, object], sentence: str, beside: dict[str, object]
) -> None:
    fault = refusal(lambda: people_operation({**beside, **update}, where))
    assert (str(fault), fault.path) == (placed(sentence, where), where("$distinct_id"))


@each_where
@pytest.mark.parametrize(
    ("update", "sentence"),
    [
        ({"$group_id": "acme"}, "{$group_key} must be given, not missing"),
        ({"$group_key": "Company"}, "{$group_id} must be given, not missing"),
        ({"$group_key": "", "$group_id": "acme"}, "{$group_key} must be given, not empty"),
        ({"$group_key": "Company", "$group_id": True}, "{$group_id} must be a str, int or UUID, not bool"),
        ({"$group_key": "Company", "$group_id": " "}, "{$group_id} must be given, not blank"),
    ],
    ids=["no key", "no id", "empty key", "bool id", "blank id"],
)
@pytest.mark.parametrize("beside", [PLAN, {"$new": 1}], ids=["typed", "raw"])
def test_an_update_of_no_group_is_refused(
    where: Where, update: dict[str, object], sentence: str, beside: dict[str, object]
) -> None:
    fault = refusal(lambda: group_operation({**beside, **update}, where))
    assert str(fault) == placed(sentence, where)


@each_where
@pytest.mark.parametrize("beside", [PLAN, {"$new": 1}], ids=["typed", "raw"])
def test_an_update_of_a_group_may_not_name_a_user(where: Where, beside: dict[str, object]) -> None:
    fault = refusal(lambda: group({**beside, **USER}, where))
    sentence = "{$distinct_id} must be left out: the library adds it where it belongs, not given"
    assert str(fault) == placed(sentence, where)


NO_GROUP_CHANGE = "must be a change of a group: Set, SetOnce, Union, Remove, Unset, Delete, not mixwire.core.changes."


@each_where
@pytest.mark.parametrize(("operator", "kind"), [("$add", "Add"), ("$append", "Append")])
def test_a_group_refuses_what_only_users_have(where: Where, operator: str, kind: str) -> None:
    for update in ({operator: {"a": 1}}, {"$set": {"b": 1}, "$ip": "0", operator: {"a": 1}}):
        fault = refusal(lambda update=update: group(update, where))
        assert str(fault) == f"{where(operator)} {NO_GROUP_CHANGE}{kind}"


NO_GROUP_OPTION = "must be ip and ignore_time only, for a group, not one with ignore_alias or a place"


@each_where
@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"$ignore_alias": True}, "{$ignore_alias}"),
        ({"$latitude": 1, "$longitude": 2}, "{$latitude} and {$longitude}"),
    ],
    ids=["alias", "place"],
)
def test_a_group_refuses_options_that_only_users_have(where: Where, options: dict[str, object], path: str) -> None:
    fault = refusal(lambda: group({**PLAN, **options}, where))
    assert str(fault) == placed(f"{path} {NO_GROUP_OPTION}", where)


@pytest.mark.parametrize(
    "update",
    [{"$add": {"a": 1}}, {"$append": {"a": 1}}, {"$ignore_alias": True}, {"$latitude": 1, "$longitude": 2}],
    ids=["add", "append", "alias", "place"],
)
def test_a_group_refuses_what_only_users_have_beside_what_is_not_known_too(update: dict[str, object]) -> None:
    fault = refusal(lambda: group({"$new": 1, **update}))
    assert fault.path == " and ".join(map(in_message, update))


@each_kind
@each_where
@pytest.mark.parametrize(
    ("update", "path", "found"),
    [
        ({"$new": {"a": [object()]}}, "{$new}['a'][0]", "object"),
        ({"$new": math.inf}, "{$new}", "inf"),
        ({"$new": 1, "$newer": {"b": 2**64}}, "{$newer}['b']", "an int of 65 bits"),
    ],
    ids=["value", "itself", "second"],
)
def test_what_is_not_known_must_still_be_json(
    read: Callable[..., Operation], where: Where, update: dict[str, object], path: str, found: str
) -> None:
    fault = refusal(lambda: read(update, where))
    assert (fault.path, fault.found) == (placed(path, where), found)


@each_kind
@each_where
def test_a_long_name_that_is_not_known_is_found_where_the_caller_wrote_it(
    read: Callable[..., Operation], where: Where
) -> None:
    name = "x" * 70
    fault = refusal(lambda: read({name: object()}, where))
    assert fault.path.startswith(where(name)[:50])


@each_kind
@pytest.mark.parametrize(
    ("update", "found"),
    [({1: 1}, "one with a key of type int"), ({"\ud800": 1}, "one with a lone surrogate")],
    ids=["int", "surrogate"],
)
def test_a_key_that_is_no_text_is_refused(
    read: Callable[..., Operation], update: dict[str, object], found: str
) -> None:
    assert refusal(lambda: read({**PLAN, **update})).found == found


def test_a_limit_stays_a_limit_with_its_figures() -> None:
    fault = refusal(lambda: people({"$set": {"a": "x" * 1_000_000}}))
    assert isinstance(fault, LimitExceeded)
    assert (fault.limit, fault.measured) == (UPDATE_BYTES, 1_000_001)
    fault = refusal(lambda: people({**PLAN, "$distinct_id": "x" * 256}))
    assert isinstance(fault, LimitExceeded)
    assert (fault.limit, fault.measured) == (DISTINCT_ID_CHARACTERS, 256)
    fault = refusal(lambda: people({"$new": {"a": "x" * 1_000_000}}))
    assert isinstance(fault, LimitExceeded)
    assert fault.path == "message['$new']['a']"


@pytest.mark.parametrize(
    "update",
    [
        {"$set": CANARY},
        {"$set": {"a": [CANARY, object()]}},
        {"$add": {"a": CANARY}},
        {"$unset": CANARY},
        {"$unset": ["x", [CANARY]]},
        {**PLAN, "$ip": CANARY + "\n"},
        {**PLAN, "$ignore_time": CANARY},
        {**PLAN, "$latitude": CANARY, "$longitude": 0},
        {**PLAN, "$time": CANARY},
        {**PLAN, "$token": CANARY},
        {**PLAN, "$distinct_id": CANARY * 100},
        {**PLAN, "$distinct_id": CANARY + "\ud800"},
        {"$new": [CANARY, object()]},
    ],
    ids="no-dict value number names name ip flag place time token long surrogate raw".split(),
)
def test_what_was_refused_is_in_no_sentence_and_no_traceback(update: dict[str, object]) -> None:
    fault = refusal(lambda: people(update))
    assert CANARY not in "".join([*traceback.format_exception(fault), repr(fault), repr(fault.__context__)])


# --- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [PLAN, {"$delete": ""}, {"$unset": ["a"]}], ids=" ".join)
def test_options_are_read_beside_any_change(beside: dict[str, object]) -> None:
    assert people(beside).options == UpdateOptions()
    everything = {"$ip": "0", "$ignore_time": True, "$ignore_alias": True, "$latitude": 1, "$longitude": 2}
    options = UpdateOptions(ip="0", ignore_time=True, ignore_alias=True, latitude=1, longitude=2)
    assert people({**beside, **everything}).options == options
    assert people({**everything, **beside}).options == options


@pytest.mark.parametrize(
    ("update", "path"),
    [
        ({"$ip": ""}, "{$ip}"),
        ({"$ignore_time": 1}, "{$ignore_time}"),
        ({"$latitude": 1}, "{$latitude} and {$longitude}"),
        ({"$latitude": math.nan, "$longitude": 1}, "{$latitude}"),
    ],
    ids=["ip", "flag", "half", "nan"],
)
@pytest.mark.parametrize("beside", [PLAN, {"$new": 1}, {**PLAN, "$new": 1}], ids=" ".join)
@each_where
def test_a_fault_in_an_option_is_said_where_the_caller_wrote_it(
    where: Where, beside: dict[str, object], update: dict[str, object], path: str
) -> None:
    of_user = {"$distinct_id": "user-1", **beside, **update}
    of_group = {"$group_key": "Company", "$group_id": "acme", **beside, **update}
    assert refusal(lambda: people_operation(of_user, where)).path == placed(path, where)
    assert refusal(lambda: people_operation(of_user)).path == placed(path, in_message)
    assert refusal(lambda: group_operation(of_group, where)).path == placed(path, where)
    assert refusal(lambda: group_operation(of_group)).path == placed(path, in_message)


def test_an_update_is_called_message_if_nobody_says_otherwise() -> None:
    assert in_message("$set") == "message['$set']"
    assert refusal(lambda: people_operation(PLAN)).path == "message['$distinct_id']"
    assert refusal(lambda: group_operation(PLAN)).path == "message['$group_key']"
