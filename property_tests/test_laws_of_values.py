"""
What a caller gives, and what is kept of it.
"""

import ast
import copy
import dataclasses
import json
import pickle
from collections import OrderedDict, defaultdict

import attrs
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from wire_model import decode, says, wire_of

from mixwire.core import (
    Add,
    Append,
    Charge,
    InvalidValue,
    Properties,
    RawPeopleOp,
    Remove,
    Set,
    SetOnce,
    Track,
    Union,
    Unset,
    encode,
)
from mixwire.core.shapes import CHARGE, EVENT, PROFILE, RAW
from mixwire.core.values import freeze
from mixwire.testing import strategies as mx

SHAPES = st.sampled_from([EVENT, PROFILE, CHARGE, RAW])


# --- sharing ---


def spoil(value, seen=None):
    """Change everything in a value that can be changed."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    for each in children(value):
        spoil(each, seen)
    if isinstance(value, dict):
        for name in list(value):
            value[name] = 99
        value["spoilt"] = 99
    elif isinstance(value, list):
        value[:] = ["spoilt"]
    elif isinstance(value, set):
        value.clear()
        value.add("spoilt")
    elif dataclasses.is_dataclass(value):
        value.city = "spoilt"


def children(value):
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if attrs.has(type(value)):
        return [getattr(value, field.name) for field in attrs.fields(type(value))]
    return [value.near] if dataclasses.is_dataclass(value) and not isinstance(value, type) else []


def made_of(properties):
    yield Track("E", distinct_id="u1", properties=properties, time=1_767_225_600, insert_id="a1")
    yield Set(properties)
    yield SetOnce(properties)
    yield Append(properties)
    yield Remove(properties)
    yield RawPeopleOp("u1", {"$set": properties})


@given(mx.event_properties(min_size=1))
def test_frozen_values_share_nothing_with_the_caller(properties):
    values = list(made_of(properties))
    before = [(repr(value), hash(value), pickle.dumps(value), value_json(value)) for value in values]
    spoil(properties)
    assert [(repr(value), hash(value), pickle.dumps(value), value_json(value)) for value in values] == before
    # What the value hands out is the caller's to spoil, too.
    for value in values:
        held = value.update if isinstance(value, RawPeopleOp) else value.properties
        spoil(held.thaw())
        spoil(dict(held))
    assert [(repr(value), hash(value), pickle.dumps(value), value_json(value)) for value in values] == before


def value_json(value):
    return (value.update if isinstance(value, RawPeopleOp) else value.properties).json


@given(mx.event_properties(min_size=1))
def test_making_a_value_does_not_change_what_the_caller_gave(properties):
    before = pickle.dumps(wire_of(properties))
    for value in made_of(properties):
        assert value
    assert pickle.dumps(wire_of(properties)) == before


@given(mx.event_properties(min_size=1))
def test_nothing_read_from_a_frozen_value_can_be_changed(properties):
    def check(read):
        assert type(read) in (str, int, float, bool, type(None), tuple, Properties)
        for each in read if type(read) is tuple else read.values() if type(read) is Properties else ():
            check(each)

    held = Set(properties).properties
    check(held)
    for name in held:
        with pytest.raises(TypeError):
            held[name] = 1
        with pytest.raises(TypeError):
            del held[name]


@given(mx.operations() | mx.projects() | mx.messages() | mx.batches())
def test_a_field_of_a_value_cannot_be_assigned(value):
    for field in attrs.fields(type(value)):
        with pytest.raises(AttributeError):
            setattr(value, field.name, None)


@given(mx.profile_properties(min_size=1))
def test_the_bytes_of_properties_cannot_be_assigned(properties):
    held = Set(properties).properties
    before = held.json
    with pytest.raises(AttributeError):
        held.json = b"{}"
    assert held.json == before


@given(mx.operations() | mx.projects() | mx.messages() | mx.batches() | mx.outcomes())
def test_values_survive_copy_and_pickle(value):
    for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert twin == value
        assert hash(twin) == hash(value)
        assert repr(twin) == repr(value)


@given(mx.operations(), mx.projects(limits=("off",)))
def test_a_pickled_operation_is_encoded_to_the_same_bytes(operation, project):
    again = encode(pickle.loads(pickle.dumps(operation)), pickle.loads(pickle.dumps(project)))
    assert again == encode(operation, project)


@given(mx.property_values(), mx.property_values())
def test_properties_are_equal_if_they_say_the_same_json(one, other):
    first, second = freeze({"a": one}, RAW), freeze({"a": other}, RAW)
    assert (first == second) is says(first.thaw(), second.thaw())
    assert (hash(first) == hash(second)) or first != second
    assert freeze({"a": one, "b": 1}, RAW) == freeze({"b": 1, "a": one}, RAW)
    assert first == freeze(first, RAW) == freeze({"a": first["a"]}, RAW)


# --- garbage ---


def resolve(path, root, start):
    """
    What stands where a path points, as a list of steps from the root. An element of a set has no place of its own.
    """
    steps, node = [], ast.parse(path, mode="eval").body
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps.append(("attribute", node.attr))
        else:
            assert isinstance(node, ast.Subscript)
            steps.append(("item", ast.literal_eval(node.slice)))
        node = node.value
    assert node.id == start
    return steps[::-1]


def step_into(value, step):
    kind, key = step
    if kind == "attribute":
        return getattr(value, key)
    if key is ...:
        assert isinstance(value, set | frozenset)
        return value
    if isinstance(value, dict):
        if key not in value and len(key) == 60 and key.endswith("…"):
            key = next(name for name in value if isinstance(name, str) and name.startswith(key[:-1]))
        return dict.__getitem__(value, key)
    assert isinstance(value, list | tuple)
    return value[key]


def replaced(value, steps, harmless):
    """
    The value with something harmless where the path points; nothing of the caller's is changed.
    """
    if not steps:
        return harmless
    (kind, key), *rest = steps
    if kind == "attribute":
        twin = copy.copy(value)
        object.__setattr__(twin, key, replaced(getattr(value, key), rest, harmless))
        return twin
    if key is ...:
        return frozenset()
    inner = replaced(step_into(value, (kind, key)), rest, harmless)
    if isinstance(value, dict):
        twin = dict(value)
        twin[next((name for name in value if name == key), key)] = inner
        if key not in value:
            del twin[key]
            twin[next(name for name in value if isinstance(name, str) and name.startswith(key[:-1]))] = inner
        return twin
    twin = list(value)
    twin[key] = inner
    return twin


def without_children(value):
    """
    The same container with harmless things in it; None for what is no container.
    """
    if type(value) in (dict, OrderedDict, defaultdict):
        return dict.fromkeys(value, 0)
    return [0] * len(value) if type(value) in (list, tuple) else None


def refusal(make, value):
    try:
        make(value)
    except InvalidValue as fault:
        return fault
    return None


def assert_path_leads_to_the_fault(make, properties, start):
    """
    Follow the paths of refusals and mend what stands there, until nothing is refused any more.
    """
    faults = 0
    while (fault := refusal(make, properties)) is not None:
        assert faults < 60, "the faults do not end"
        faults += 1
        steps = resolve(fault.path, properties, start)
        found = properties
        for step in steps:
            found = step_into(found, step)
        if not steps:
            return
        # It is this thing and not something inside it ...
        emptied = without_children(found)
        if emptied is not None and "inside itself" not in fault.found:
            same = refusal(make, replaced(properties, steps, emptied))
            assert same is not None
            assert same.path == fault.path
        # ... and it is the only fault there.
        properties = replaced(properties, steps, 7)
        other = refusal(make, properties)
        assert other is None or other.path != fault.path


GARBAGE = st.dictionaries(mx.property_names(), mx.json_garbage(), min_size=1, max_size=4)


@given(GARBAGE, SHAPES)
def test_any_json_like_garbage_is_lossless_or_refused_with_a_path_that_leads_to_the_fault(garbage, shape):
    try:
        frozen = freeze(garbage, shape)
    except InvalidValue:
        assert_path_leads_to_the_fault(lambda properties: freeze(properties, shape), garbage, "properties")
    else:
        assert says(decode(frozen.json), wire_of(garbage))


class Proxy:
    """An object that finds out what it is when it is asked for its class, as lazy proxies do; here it fails."""

    @property
    def __class__(self):
        raise RuntimeError("there is no request to speak of")


def test_an_object_that_does_not_know_its_class_is_refused_where_it_stands():
    with pytest.raises(InvalidValue, match=r"^properties\['a'\]\[0\] must be"):
        freeze({"a": [Proxy()]}, EVENT)


def track(properties):
    return Track("E", distinct_id="u1", properties=properties)


def charge(properties):
    return Charge("u1", 1, properties)


@pytest.mark.parametrize("make", [track, charge, Set, SetOnce, Add, Append, Remove, Union])
@given(garbage=GARBAGE)
@example(garbage={"a": None})
@example(garbage={"a": {(0.0, "")}})
def test_an_operation_says_where_the_fault_is(make, garbage):
    assert_path_leads_to_the_fault(make, garbage, "properties")


NAMES = mx.property_names() | st.sampled_from(["$token", "\ud800"])


@given(st.lists(NAMES | mx.json_garbage(), min_size=1, max_size=4))
@example(["plan", "$token"])
def test_unset_says_which_name_is_at_fault(names):
    fault = refusal(lambda given: Unset(*given), names)
    if fault is not None:
        steps = resolve(fault.path, names, "names")
        assert refusal(lambda given: Unset(*given), [names[steps[0][1]]]) is not None


@given(mx.json_garbage())
@example(None)
@example(5)
def test_any_garbage_instead_of_properties_is_taken_or_refused(garbage):
    for make in (track, charge, Set, Union, lambda given: Track("E", properties=given)):
        fault = refusal(make, garbage)
        assert fault is None or fault.path


FIELDS = [
    lambda garbage: Track(garbage, distinct_id="u1"),
    lambda garbage: Track("E", distinct_id=garbage),
    lambda garbage: Track("E", distinct_id="u1", time=garbage),
    lambda garbage: Track("E", distinct_id="u1", insert_id=garbage),
    lambda garbage: Charge("u1", garbage),
    lambda garbage: Charge(garbage, 1),
    lambda garbage: Charge("u1", 1, time=garbage),
    lambda garbage: Charge("u1", 1, options=garbage),
]


@given(st.sampled_from(FIELDS), mx.json_garbage() | st.floats() | st.integers())
@example(FIELDS[2], -1e308)
def test_any_garbage_in_a_field_is_taken_or_refused(make, garbage):
    fault = refusal(make, garbage)
    assert fault is None or fault.path


LENGTHS = st.sampled_from([1, 499_999, 500_000, 999_998, 999_999, 1_000_000])
LARGE = st.tuples(LENGTHS, LENGTHS).map(lambda lengths: {"n" * lengths[0]: "v" * lengths[1]})


def result(properties, shape):
    try:
        return freeze(properties, shape).json
    except InvalidValue as fault:
        return fault.path, fault.allowed, fault.found


@given(GARBAGE | mx.event_properties() | st.dictionaries(mx.json_scalars(), mx.json_scalars(), max_size=4), SHAPES)
@example({"token": "a"}, EVENT)
@example({"a": 2**64}, EVENT)
@example({"a": "\ud800"}, EVENT)
@example({f"p{number}": number for number in range(249)}, EVENT)
@example({"a": json.loads("[" * 32 + "]" * 32)}, CHARGE)
def test_fast_and_careful_way_agree(properties, shape):
    assert result(properties, shape) == result(OrderedDict(properties), shape)


@given(LARGE, SHAPES)
@example({"n" * 500_000: "v" * 500_000}, EVENT)
def test_fast_and_careful_way_agree_about_size(properties, shape):
    assert result(properties, shape) == result(OrderedDict(properties), shape)


@given(mx.instants())
def test_a_time_is_kept_to_the_millisecond_or_second(instant):
    kept = Track("E", distinct_id="u1", time=instant).time
    assert type(kept) is int
    truth = wire_of(instant)
    assume(type(truth) in (int, float))
    if type(truth) is int:
        assert kept == truth
    else:
        said = kept if kept < 100_000_000_000 else kept / 1000
        assert abs(said - truth) <= (1 if kept < 100_000_000_000 else 0.001)


@given(st.lists(st.integers(0, 99) | st.text(max_size=3), unique=True, max_size=6), st.randoms())
def test_the_same_set_is_always_the_same_bytes(elements, random):
    shuffled = list(elements)
    random.shuffle(shuffled)
    assert freeze({"a": set(elements)}, EVENT).json == freeze({"a": frozenset(shuffled)}, EVENT).json
