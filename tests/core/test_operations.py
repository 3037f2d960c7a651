import copy
import pickle
from datetime import UTC, datetime
from typing import get_args

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.changes import Add, Delete, Set, Union, Unset
from mixwire.core.errors import InvalidValue
from mixwire.core.events import Track
from mixwire.core.identity import Alias, Identify, Merge
from mixwire.core.operations import Operation, split, stamp
from mixwire.core.profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions

TIME = 1_767_225_600_000
LATER = 1_767_225_700_000
OPTIONS = UpdateOptions(ip="0", ignore_time=True)
TIMED = [
    Track("Seen", distinct_id="user-1", properties={"a": [1]}, time=TIME, insert_id="a1"),
    PeopleOp("user-1", Set({"plan": "pro"}), Add({"credits": 1}), time=TIME, options=OPTIONS),
    GroupOp("Company", "acme", Set({"plan": "pro"}), Union({"tags": "a"}), time=TIME, options=OPTIONS),
    Charge("user-1", 9.5, {"item": "tea"}, time=TIME, options=OPTIONS),
    ClearCharges("user-1", time=TIME, options=OPTIONS),
]
TIMELESS = [
    Alias(alias="user-1", distinct_id="user-2"),
    Identify(identified_id="user-1", anon_id="9a7f4c1e-2b3d-4e5f-8a9b-0c1d2e3f4a5b"),
    Merge("user-1", "user-2"),
    RawPeopleOp("user-1", {"$set": {"a": 1}}),
    RawGroupOp("Company", "acme", {"$set": {"a": 1}}),
]
named = {"ids": lambda operation: type(operation).__name__}
each_timed = pytest.mark.parametrize("operation", TIMED, **named)
each_timeless = pytest.mark.parametrize("operation", TIMELESS, **named)
each_operation = pytest.mark.parametrize("operation", TIMED + TIMELESS, **named)


def without_time(operation):
    """The same operation as a caller makes it who leaves the time to the library."""
    match operation:
        case Track():
            return attrs.evolve(operation, time=None, insert_id=None)
        case PeopleOp():
            return PeopleOp(operation.distinct_id, *operation.changes, options=operation.options)
        case GroupOp():
            return GroupOp(operation.group_key, operation.group_id, *operation.changes, options=operation.options)
    return attrs.evolve(operation, time=None)


def test_the_examples_here_are_all_operations_there_are():
    assert {type(operation) for operation in TIMED + TIMELESS} == {*get_args(Operation)}


@each_timed
def test_r92_a_stamp_fills_what_is_missing_and_leaves_the_rest(operation):
    assert without_time(operation).time is None
    assert stamp(without_time(operation), time=TIME, insert_id="a1") == operation


@each_timed
def test_r92_a_stamp_never_replaces_what_is_set(operation):
    assert stamp(operation, time=LATER, insert_id="b2") is operation


@each_timeless
def test_a_stamp_passes_an_operation_that_takes_none(operation):
    assert stamp(operation, time=LATER, insert_id="b2") is operation


@pytest.mark.parametrize(
    ("time", "insert_id", "expected"),
    [(None, "a1", (LATER, "a1")), (TIME, None, (TIME, "b2")), (None, None, (LATER, "b2")), (TIME, "a1", (TIME, "a1"))],
    ids=["time missing", "insert_id missing", "both missing", "none missing"],
)
def test_r92_the_time_and_the_insert_id_of_an_event_are_stamped_each_by_itself(time, insert_id, expected):
    track = Track("Seen", distinct_id="user-1", time=time, insert_id=insert_id)
    stamped = stamp(track, time=LATER, insert_id="b2")
    assert (stamped.time, stamped.insert_id) == expected
    assert stamp(stamped, time=TIME, insert_id="c3") is stamped


@pytest.mark.parametrize("properties", [{}, {"$user_id": "user-1", "mp_lib": "other"}], ids=["none", "some"])
def test_a_stamped_event_keeps_its_other_fields(properties):
    distinct_id = None if properties else ""
    stamped = stamp(Track("Seen", distinct_id=distinct_id, properties=properties), time=TIME, insert_id="a1")
    assert stamped == Track("Seen", distinct_id=distinct_id, properties=properties, time=TIME, insert_id="a1")
    assert stamped.head.count(b"mp_lib") == (not properties)


@each_timed
def test_a_stamp_may_be_a_datetime(operation):
    assert stamp(without_time(operation), time=datetime(2026, 1, 1, tzinfo=UTC), insert_id="a1").time == TIME


@each_timed
def test_r29_a_stamp_is_checked_like_a_time(operation):
    with pytest.raises(InvalidValue) as caught:
        stamp(without_time(operation), time=0, insert_id="a1")
    assert caught.value.path == "time"
    assert caught.value.found == "outside of that"


def test_r41_a_stamp_is_checked_like_an_insert_id():
    with pytest.raises(InvalidValue) as caught:
        stamp(Track("Seen", distinct_id="user-1"), time=TIME, insert_id="a_1")
    assert caught.value.path == "insert_id"
    assert caught.value.found == "with others"


@pytest.mark.parametrize(
    ("operation", "parts"),
    [
        (
            PeopleOp("user-1", Set({"plan": "pro"}), Add({"credits": 1}), Unset("a", "b"), time=TIME, options=OPTIONS),
            [
                PeopleOp("user-1", Set({"plan": "pro"}), time=TIME, options=OPTIONS),
                PeopleOp("user-1", Add({"credits": 1}), time=TIME, options=OPTIONS),
                PeopleOp("user-1", Unset("a", "b"), time=TIME, options=OPTIONS),
            ],
        ),
        (
            GroupOp("Company", "acme", Union({"tags": "a"}), Set({"plan": "pro"}), time=TIME, options=OPTIONS),
            [
                GroupOp("Company", "acme", Union({"tags": "a"}), time=TIME, options=OPTIONS),
                GroupOp("Company", "acme", Set({"plan": "pro"}), time=TIME, options=OPTIONS),
            ],
        ),
        (PeopleOp("user-1", Delete()), [PeopleOp("user-1", Delete())]),
        (GroupOp("Company", "acme", Delete()), [GroupOp("Company", "acme", Delete())]),
    ],
    ids=["people", "group", "people with one", "group with one"],
)
def test_r131_an_operation_splits_into_one_for_each_change_in_order(operation, parts):
    assert split(operation) == tuple(parts)


@pytest.mark.parametrize(
    "operation", [each for each in TIMED + TIMELESS if not isinstance(each, PeopleOp | GroupOp)], **named
)
def test_an_operation_of_one_piece_is_not_split(operation):
    (part,) = split(operation)
    assert part is operation


@each_operation
def test_no_field_of_an_operation_can_be_set_or_deleted(operation):
    for each in attrs.fields(type(operation)):
        with pytest.raises(FrozenInstanceError):
            setattr(operation, each.name, None)
        with pytest.raises(FrozenInstanceError):
            delattr(operation, each.name)


@each_operation
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, *(lambda each, p=p: pickle.loads(pickle.dumps(each, p)) for p in range(6))],
    ids=["copy", "deepcopy", *(f"pickle-{p}" for p in range(6))],
)
def test_a_copied_operation_is_equal_and_hashes_alike(operation, again):
    twin = again(operation)
    assert type(twin) is type(operation)
    assert twin == operation
    assert hash(twin) == hash(operation)


def test_no_two_operations_are_equal():
    assert len({*TIMED, *TIMELESS, *map(without_time, TIMED)}) == 2 * len(TIMED) + len(TIMELESS)
