import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.events import Track
from mixwire.core.limits import EVENT_BYTES, LIST_ELEMENTS, OBJECT_DEPTH, OBJECT_KEYS, UPDATE_BYTES
from mixwire.core.messages import encode
from mixwire.core.profiles import Charge
from mixwire.core.project import Project
from mixwire.core.shapes import CHARGE, EVENT, PROFILE, RAW, Shape
from mixwire.core.values import freeze

SHAPES = {"event": EVENT, "profile": PROFILE, "charge": CHARGE, "raw": RAW}
MISPLACED = [(kind, name) for kind, shape in SHAPES.items() for name in shape.misplaced]
TIME = 1_767_225_600_000


def numbered(count):
    return {f"p{index}": index for index in range(count)}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("event", "token time $time distinct_id $distinct_id $insert_id bucket $bucket"),
        (
            "profile",
            "$token $distinct_id $ip $time $ignore_time $ignore_alias $latitude $longitude bucket $bucket",
        ),
        ("charge", "$amount $time"),
        ("raw", ""),
    ],
    ids=list(SHAPES),
)
def test_row_83_the_names_that_the_library_writes_itself_are_no_property_names(kind, names):
    shape = SHAPES[kind]
    assert {*names.split()} == {*shape.misplaced} == shape.misplaced_names


@pytest.mark.parametrize(("kind", "name"), MISPLACED, ids=[f"{kind}-{name}" for kind, name in MISPLACED])
@pytest.mark.parametrize("more", [{}, {"cart": []}], ids=["flat", "nested"])
def test_row_83_r80_r125_a_misplaced_name_is_refused_with_where_its_value_belongs(kind, name, more):
    shape = SHAPES[kind]
    with pytest.raises(InvalidValue) as caught:
        freeze({name: 1} | more, shape)
    assert caught.value.path == f"properties['{name}']"
    assert caught.value.allowed == shape.misplaced[name]
    assert str(caught.value) == f"properties['{name}'] must be {shape.misplaced[name]}, not as a property"


@pytest.mark.parametrize(("kind", "name"), MISPLACED, ids=[f"{kind}-{name}" for kind, name in MISPLACED])
def test_a_misplaced_name_is_an_ordinary_one_further_down(kind, name):
    assert freeze({"cart": {name: 1}}, SHAPES[kind]) == {"cart": {name: 1}}


def test_r80_the_name_bucket_is_refused_for_what_the_product_does_with_it():
    for shape in (EVENT, PROFILE):
        for name in ("bucket", "$bucket"):
            assert shape.misplaced[name] == "left out: the product hides data with a property of this name"


@pytest.mark.parametrize(
    ("kind", "most"), [("event", 248), ("profile", 2_000), ("charge", 252)], ids=["event", "profile", "charge"]
)
@pytest.mark.parametrize("more", [1, [1]], ids=["flat", "nested"])
def test_row_79_r45_one_property_more_than_a_shape_holds_is_refused(kind, most, more):
    shape = SHAPES[kind]
    assert len(freeze(numbered(most) | {"p0": more}, shape)) == most
    with pytest.raises(LimitExceeded) as caught:
        freeze(numbered(most + 1) | {"p0": more}, shape)
    assert (caught.value.path, caught.value.limit) == ("properties", shape.count)
    assert caught.value.measured == most + 1 + shape.own == shape.count.maximum + 1


def test_what_the_library_adds_to_an_event_is_counted():
    track = Track("Seen", distinct_id="user-1", properties=numbered(248), time=TIME, insert_id="a1")
    properties = encode(track, Project("TOKEN")).to_wire()["properties"]
    assert len(properties) == EVENT.count.maximum == 254
    assert len(properties) - 248 == EVENT.own


def test_what_the_library_adds_to_a_charge_is_counted():
    update = encode(Charge("user-1", 1, numbered(252), time=TIME), Project("TOKEN")).to_wire()
    assert len(update["$append"]["$transactions"]) == CHARGE.count.maximum == 254


def test_a_raw_update_is_bounded_by_its_size_alone():
    assert Shape(size=UPDATE_BYTES) == RAW
    assert len(freeze({"$set": numbered(3_000)}, RAW)["$set"]) == 3_000


def test_only_events_bound_their_lists():
    assert (EVENT.list_elements, EVENT.size) == (LIST_ELEMENTS, EVENT_BYTES)
    for shape in (PROFILE, CHARGE, RAW):
        assert (shape.list_elements, shape.size) == (None, UPDATE_BYTES)


def test_what_is_no_raw_update_bounds_its_objects():
    for shape in (EVENT, PROFILE, CHARGE):
        assert (shape.object_keys, shape.object_depth) == (OBJECT_KEYS, OBJECT_DEPTH)


def test_a_shape_limits_nothing_but_its_size_unless_it_says_so():
    shape = Shape(size=UPDATE_BYTES)
    assert (shape.misplaced, shape.misplaced_names, shape.own) == ({}, frozenset(), 0)
    assert {shape.count, shape.list_elements, shape.object_keys, shape.object_depth} == {None}


def test_row_79_r47_the_objects_of_a_charge_stand_in_the_transaction_already():
    assert freeze({"a": {"b": {}}}, CHARGE) == {"a": {"b": {}}}
    for more in ({}, {"flat": set()}):
        with pytest.raises(LimitExceeded) as caught:
            freeze({"a": {"b": {"c": {}}}} | more, CHARGE)
        assert (caught.value.path, caught.value.limit) == ("properties['a']['b']['c']", OBJECT_DEPTH)


def test_a_shape_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        EVENT.own = 0
