import copy
import pickle
from collections.abc import Mapping
from types import MappingProxyType

import orjson
import pytest

from mixwire.core.properties import Properties
from mixwire.core.shapes import EVENT, PROFILE
from mixwire.core.values import freeze

TREE = {"plan": "pro", "seats": 3, "rate": 0.5, "paid": True, "note": None, "tags": ["a", ["b"]], "at": {"x": {"y": 1}}}


def made(tree):
    return Properties(orjson.dumps(tree))


def test_properties_read_like_a_dict():
    properties = made(TREE)
    assert isinstance(properties, Mapping)
    assert len(properties) == 7
    assert list(properties) == list(properties.keys()) == list(TREE)
    assert properties["plan"] == properties.get("plan") == "pro"
    assert properties.get("missing", "otherwise") == "otherwise"
    assert "seats" in properties
    assert "missing" not in properties
    assert dict(properties)["rate"] == 0.5
    with pytest.raises(KeyError):
        properties["missing"]


def test_reading_gives_tuples_for_lists_and_properties_for_objects():
    properties = made(TREE)
    assert properties["tags"] == ("a", ("b",))
    assert type(properties["at"]) is type(properties["at"]["x"]) is Properties
    assert properties["at"]["x"]["y"] == 1
    assert [type(properties[name]) for name in ("seats", "rate", "paid", "note")] == [int, float, bool, type(None)]


def test_no_properties_are_false():
    assert not made({})
    assert made({"a": None})


def test_an_item_can_neither_be_set_nor_deleted():
    properties = made(TREE)
    with pytest.raises(TypeError):
        properties["plan"] = "free"
    with pytest.raises(TypeError):
        del properties["plan"]
    with pytest.raises(AttributeError):
        properties.note = "new"
    assert properties == TREE


def test_thawed_properties_are_the_callers_to_change():
    properties = made(TREE)
    plain = properties.thaw()
    assert plain == TREE
    plain["at"]["x"]["y"] = 2
    plain["tags"].clear()
    assert properties == TREE
    assert properties.thaw() == TREE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": [{"z": 1, "w": 2}]}}, {"a": {"y": [{"w": 2, "z": 1}], "x": 1}}),
        ({"a": [1, "x", None, True, 1.5]}, {"a": [1, "x", None, True, 1.5]}),
    ],
    ids=["empty", "other order", "other order inside", "a list"],
)
def test_properties_that_say_the_same_are_equal_and_hash_alike(one, other):
    assert made(one) == made(other) == other
    assert made(one) == MappingProxyType(other)
    assert hash(made(one)) == hash(made(other))
    assert {made(one): "found"}[made(other)] == "found"


def test_tuples_and_properties_in_a_mapping_compare_as_lists_and_objects():
    assert made({"a": [1, {"b": 2}]}) == {"a": (1, made({"b": 2}))}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1, "b": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": None}, {"a": ""}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"a": [1, 1]}),
        ({"a": [1]}, {"a": "1"}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
        ({"a": {"b": 1}}, {"a": ["b", 1]}),
        ({"a": []}, {"a": {}}),
    ],
    ids=[
        "value",
        "name",
        "more",
        "float",
        "bool",
        "false",
        "negative zero",
        "null",
        "order of a list",
        "length of a list",
        "list or not",
        "inside",
        "object or not",
        "both empty",
    ],
)
def test_properties_that_say_something_else_are_not_equal(one, other):
    assert made(one) != made(other)
    assert made(one) != other
    assert made(other) != one


@pytest.mark.parametrize("other", [None, 1, "a", [("a", 1)]], ids="None int str list".split())
def test_properties_are_not_equal_to_what_is_no_mapping(other):
    assert made({"a": 1}) != other
    assert made({"a": 1}).__eq__(other) is NotImplemented


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_of_what_never_changes_is_itself(again):
    properties = freeze(TREE, EVENT)
    assert again(properties) is properties


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1), ids="protocol-{}".format)
def test_pickled_properties_come_back_to_the_byte(protocol):
    properties = freeze(TREE, EVENT)
    twin = pickle.loads(pickle.dumps(properties, protocol))
    assert twin == properties
    assert twin.json == properties.json
    assert hash(twin) == hash(properties)


def test_properties_fit_the_very_shape_they_were_checked_against():
    properties = freeze(TREE, EVENT)
    assert properties.fits(EVENT)
    assert not properties.fits(PROFILE)
    assert not made(TREE).fits(EVENT)
    assert not pickle.loads(pickle.dumps(properties)).fits(EVENT)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({}, "Properties(none)"),
        ({"plan": "pro", "it's": 1}, "Properties('plan', \"it's\")"),
        ({"n" * 61: 1}, f"Properties('{'n' * 59}…')"),
    ],
    ids=["none", "two", "long"],
)
def test_the_repr_shows_the_names(tree, text):
    assert repr(made(tree)) == str(made(tree)) == text


def test_row_90_the_repr_never_shows_a_value():
    canary = "canary-value"
    properties = made({"plan": canary, "tags": [canary], "at": {"x": canary}})
    assert canary not in f"{properties!r} {properties!s} {properties:} {properties['at']!r}"


def test_what_properties_say_cannot_be_replaced():
    properties = made(TREE)
    for name in ("json", "names_library"):
        with pytest.raises(AttributeError):
            setattr(properties, name, b"{}")
    assert properties == TREE


@pytest.mark.parametrize("name", ["mp_lib", "$lib_version"])
@pytest.mark.parametrize("more", [1, {2}], ids=["flat", "walked"])
def test_properties_of_an_event_know_whether_they_name_a_library(name, more):
    assert freeze({name: "x", "a": more}, EVENT).names_library
    assert not freeze({"a": more, "b": {name: "x"}}, EVENT).names_library
    assert not freeze({name: "x", "a": more}, PROFILE).names_library
