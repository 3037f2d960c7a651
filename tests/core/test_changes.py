import copy
import inspect
import math
import pickle
import sys
import traceback
from decimal import Decimal
from enum import Enum
from typing import get_args

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.changes import (
    Add,
    Append,
    Delete,
    GroupChange,
    PeopleChange,
    Remove,
    Set,
    SetOnce,
    Union,
    Unset,
)
from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.limits import OBJECT_DEPTH, PROFILE_PROPERTIES, UPDATE_BYTES
from mixwire.core.properties import Properties
from mixwire.core.shapes import EVENT, RAW
from mixwire.core.values import freeze

CANARY = f"canary-{6 * 7}"
NAMED = [Set, SetOnce, Add, Append, Union, Remove]
each_named = pytest.mark.parametrize("change", NAMED, ids=lambda change: change.__name__)
EXAMPLES = [
    Set({"plan": "pro", "tags": ["a", {"b": 1}]}),
    SetOnce({"since": 2026}),
    Add({"credits": 10, "rate": -0.5}),
    Append({"visits": {"page": "/"}}),
    Union({"tags": ["a", 1, 1.5]}),
    Remove({"tags": "a"}),
    Unset("plan", "trial"),
    Delete(),
]
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example).__name__)


def refuse(*_, **__):
    raise AssertionError("a caller's method was called")


def hostile(base, *args):
    names = "__str__ __repr__ __eq__ __ne__ __len__ __bool__ __iter__ __getitem__ __contains__ keys items".split()
    return type("Hostile", (base,), dict.fromkeys(names, refuse) | {"__module__": __name__})(*args)


def refusal(make, *args):
    with pytest.raises(InvalidValue) as caught:
        make(*args)
    return caught.value


@pytest.mark.parametrize(
    ("change", "operator", "repeatable"),
    [
        (Set, "$set", True),
        (SetOnce, "$set_once", True),
        (Add, "$add", False),
        (Append, "$append", False),
        (Union, "$union", True),
        (Remove, "$remove", False),
        (Unset, "$unset", True),
        (Delete, "$delete", True),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_a_change_knows_its_operator_and_whether_it_may_be_applied_twice(change, operator, repeatable):
    assert (change.operator, change.repeatable) == (operator, repeatable)


def test_r134_a_group_takes_every_change_but_add_and_append():
    assert {*get_args(PeopleChange)} == {type(example) for example in EXAMPLES}
    assert {*get_args(PeopleChange)} - {*get_args(GroupChange)} == {Add, Append}
    assert {*get_args(GroupChange)} < {*get_args(PeopleChange)}


@pytest.mark.parametrize("change", [Set, SetOnce, Append, Remove], ids=lambda change: change.__name__)
def test_any_value_can_be_named(change):
    properties = {"a": "x", "b": [1, {"c": None}], "d": True}
    assert change(properties).properties == properties
    assert type(change(properties).properties) is Properties


@each_named
def test_a_change_without_properties_is_refused(change):
    fault = refusal(change, {})
    assert fault.path == "properties"
    assert str(fault) == "properties must be at least one property, not none"


@each_named
@pytest.mark.parametrize(
    ("properties", "kind"),
    [
        (None, "None"),
        (["a"], "list"),
        ("a", "str"),
        (hostile(dict), f"{__name__}.Hostile"),
        (hostile(object), f"{__name__}.Hostile"),
    ],
    ids="None list str dict-subclass object".split(),
)
def test_row_82_properties_that_are_no_dict_are_refused_without_a_call(change, properties, kind):
    fault = refusal(change, properties)
    assert fault.path == "properties"
    assert str(fault) == f"properties must be a dict with str keys, not {kind}"


@each_named
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("$token", "left out: the token comes from the project"),
        ("$distinct_id", "given as distinct_id of the operation"),
        ("$ip", "given as options=UpdateOptions(ip=...)"),
        ("$time", "given as time of the operation"),
        ("$ignore_time", "given as options=UpdateOptions(ignore_time=...)"),
        ("$ignore_alias", "given as options=UpdateOptions(ignore_alias=...)"),
        ("$latitude", "given as options=UpdateOptions(latitude=..., longitude=...)"),
        ("$longitude", "given as options=UpdateOptions(latitude=..., longitude=...)"),
        ("$bucket", "left out: the product hides data with a property of this name"),
        ("bucket", "left out: the product hides data with a property of this name"),
    ],
    ids=lambda each: each if each.startswith(("$", "b")) else "",
)
def test_row_83_r125_r80_r133_an_option_among_the_properties_is_refused(change, name, allowed):
    fault = refusal(change, {name: 1})
    assert fault.path == f"properties['{name}']"
    assert str(fault) == f"properties['{name}'] must be {allowed}, not as a property"


@each_named
def test_row_76_a_value_that_cannot_be_sent_is_refused_by_its_path(change):
    fault = refusal(change, {"a": 1, "cart": [math.nan]})
    assert fault.path == "properties['cart'][0]"
    assert str(fault) == "properties['cart'][0] must be a finite number, not nan"


def test_row_79_the_limits_are_those_of_a_profile():
    assert len(Set({f"p{index}": 1 for index in range(2_000)}).properties) == 2_000
    for properties, limit in (
        ({f"p{index}": 1 for index in range(2_001)}, PROFILE_PROPERTIES),
        ({"a": {"b": {"c": {"d": {}}}}}, OBJECT_DEPTH),
        ({"a": "x" * 1_000_000}, UPDATE_BYTES),
    ):
        fault = refusal(Set, properties)
        assert type(fault) is LimitExceeded
        assert fault.limit is limit
        assert fault.path.startswith("properties")


@pytest.mark.parametrize(
    ("value", "kept"), [(1, 1), (-2, -2), (0.5, 0.5), (Decimal("1.5"), 1.5)], ids="int negative float Decimal".split()
)
def test_a_number_can_be_added(value, kept):
    assert Add({"credits": value}).properties == {"credits": kept}


class Level(Enum):
    HIGH = "high"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "bool"),
        ("1", "str"),
        (None, "None"),
        ([1], "list"),
        ({"a": 1}, "dict"),
        (Level.HIGH, f"{__name__}.Level"),
    ],
    ids="bool str None list dict Enum".split(),
)
def test_r111_what_is_no_number_cannot_be_added(value, kind):
    fault = refusal(Add, {"a": 1, "credits": value})
    assert fault.path == "properties['credits']"
    assert str(fault) == f"properties['credits'] must be a finite number, not {kind}"


@pytest.mark.parametrize("change", [Add, Union], ids=["Add", "Union"])
def test_a_long_property_name_is_cut_in_the_sentence(change):
    assert len(str(refusal(change, {"n" * 10_000: None}))) < 200


def test_row_81_a_number_that_another_thread_removes_is_refused_all_the_same():
    properties = {"credits": "x"}

    def tick(frame, event, _):
        if event == "return" and frame.f_code is freeze.__code__:
            properties.clear()

    sys.setprofile(tick)
    try:
        fault = refusal(Add, properties)
    finally:
        sys.setprofile(None)
    assert fault.path == "properties['credits']"
    assert fault.allowed == "a finite number"


@pytest.mark.parametrize(
    ("value", "kept"),
    [(["a", "b"], ("a", "b")), ("a", ("a",)), (1, (1,)), (1.5, (1.5,)), (("a", 2), ("a", 2)), ({3}, (3,))],
    ids="list str int float tuple set".split(),
)
def test_r116_a_single_value_is_united_as_a_list_of_one(value, kept):
    assert Union({"tags": value}).properties == {"tags": kept}


@pytest.mark.parametrize("empty", [[], (), set()], ids="list tuple set".split())
def test_r117_an_empty_list_cannot_be_united(empty):
    fault = refusal(Union, {"a": 1, "tags": empty})
    assert fault.path == "properties['tags']"
    assert str(fault) == "properties['tags'] must be a list of at least one element, not an empty one"


@pytest.mark.parametrize(
    ("element", "kind"),
    [(None, "None"), (True, "bool"), ([1], "list"), ({}, "dict")],
    ids="None bool list dict".split(),
)
def test_only_text_and_numbers_can_be_united(element, kind):
    fault = refusal(Union, {"tags": ["a", element]})
    assert fault.path == "properties['tags'][1]"
    assert str(fault) == f"properties['tags'][1] must be a str or a number, not {kind}"


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        ({"a": 1}, "properties['tags']", "dict"),
        (None, "properties['tags']", "None"),
        (True, "properties['tags']", "bool"),
        ([{"a": 1}], "properties['tags'][0]", "dict"),
        ({"a", None}, "properties['tags'][...]", "None"),
    ],
    ids=["object", "None", "bool", "object in a list", "None in a set"],
)
def test_what_is_neither_text_nor_a_number_is_refused_where_it_stands(value, path, kind):
    for properties in ({"tags": value}, freeze({"tags": value}, RAW)):
        fault = refusal(Union, properties)
        assert fault.path == (path if type(properties) is dict else path.replace("...", "1"))
        assert fault.found in (kind, "mixwire.core.properties.Properties")


def test_names_can_be_unset_once_each():
    assert Unset("plan", "$name").names == ("plan", "$name")
    assert Unset("b", "a", "b").names == ("b", "a")
    assert Unset("plan", "plan") == Unset("plan")


def test_r120_unsetting_nothing_is_refused():
    fault = refusal(Unset)
    assert fault.path == "names"
    assert str(fault) == "names must be at least one property name, not none"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "empty"),
        (None, "None"),
        (1, "int"),
        (["plan"], "list"),
        ({"plan": 1}, "dict"),
        (hostile(str, "plan"), f"{__name__}.Hostile"),
        (hostile(object), f"{__name__}.Hostile"),
    ],
    ids="empty None int list dict str-subclass object".split(),
)
def test_row_82_r120_a_name_that_is_no_str_is_refused_without_a_call(name, found):
    fault = refusal(Unset, "plan", name)
    assert fault.path == "names[1]"
    assert str(fault) == f"names[1] must be a property name, a str, not {found}"


@pytest.mark.parametrize(
    "name", ["$token", "$distinct_id", "bucket", "\ud800"], ids="token id bucket surrogate".split()
)
def test_row_83_r125_a_name_that_is_no_property_cannot_be_unset(name):
    assert refusal(Unset, "plan", name).path == "names[1]"


def test_row_79_names_of_more_than_a_megabyte_cannot_be_unset():
    fault = refusal(Unset, "a" * 500_000, "b" * 500_000)
    assert (fault.path, type(fault), fault.limit) == ("names", LimitExceeded, UPDATE_BYTES)


# Values


@each_example
def test_a_change_cannot_be_changed(example):
    name = attrs.fields(type(example))[0].name if attrs.fields(type(example)) else "anything"
    with pytest.raises(FrozenInstanceError):
        setattr(example, name, None)
    with pytest.raises(FrozenInstanceError):
        delattr(example, name)


@each_example
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, *(lambda each, p=p: pickle.loads(pickle.dumps(each, p)) for p in range(6))],
    ids=["copy", "deepcopy", *(f"pickle-{p}" for p in range(6))],
)
def test_a_copied_change_is_equal_and_hashes_alike(example, again):
    twin = again(example)
    assert type(twin) is type(example)
    assert twin == example
    assert hash(twin) == hash(example)


def test_changes_are_equal_by_kind_and_content():
    assert len({*EXAMPLES}) == len(EXAMPLES)
    assert Set({"a": 1}) == Set({"a": 1}) != SetOnce({"a": 1})
    assert Set({"a": 1}) != Set({"a": 2})
    assert Set({"a": 1, "b": 2}) == Set({"b": 2, "a": 1})
    assert Unset("a") != Unset("b")


@each_named
def test_an_evolved_change_is_checked_again(change):
    assert attrs.evolve(change({"a": 1}), properties={"b": 2}) == change({"b": 2})
    with pytest.raises(InvalidValue) as caught:
        attrs.evolve(change({"a": 1}), properties={})
    assert caught.value.path == "properties"


@each_named
def test_row_81_r86_what_the_caller_changes_later_does_not_matter(change):
    properties = {"a": 1}
    made = change(properties)
    properties["a"] = 2
    assert made == change({"a": 1})


def test_frozen_properties_of_an_event_are_taken():
    assert Set(freeze({"a": [1]}, EVENT)) == Set({"a": [1]})


@each_example
def test_a_change_is_one_value(example):
    assert inspect.getdoc(type(example))
    assert not hasattr(example, "__dict__")


@each_named
def test_row_90_no_value_is_in_the_repr_of_a_change(change):
    number = 987_654_321
    assert str(number) not in repr(change({"a": number})) + str(change({"a": number}))
    assert repr(change({"a": number})) == f"{change.__name__}(properties=Properties('a'))"


@pytest.mark.parametrize(
    ("change", "properties"),
    [
        (Set, lambda: {"a": [CANARY, object()]}),
        (Add, lambda: {"a": CANARY}),
        (Add, lambda: {"a": [CANARY]}),
        (Union, lambda: {"a": {"b": CANARY}}),
        (Union, lambda: {"a": [CANARY, [CANARY]]}),
        (Remove, lambda: {"$token": CANARY}),
    ],
    ids="Set Add Add-a-list Union Union-a-list misplaced".split(),
)
def test_row_90_a_refused_value_is_in_no_sentence_and_no_traceback(change, properties):
    fault = refusal(change, properties())
    assert CANARY not in "".join([*traceback.format_exception(fault), repr(fault), repr(fault.__context__)])
