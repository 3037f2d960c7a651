"""
From an operation to the wire.
"""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from wire_model import decode, expected, says

from mixwire.core import (
    Charge,
    ClearCharges,
    Endpoint,
    GroupOp,
    NotStamped,
    PeopleOp,
    Track,
    encode,
    explain,
    route,
    split,
    stamp,
)
from mixwire.testing import strategies as mx

LENIENT = mx.projects(limits=("off", "warn"))
STAMP = {"time": 1_767_225_600_000, "insert_id": "stamped-by-a-test"}
EVENTS = st.builds(encode, mx.tracks(), LENIENT)
DAY = 24 * 60 * 60 * 1000


@given(mx.operations(), LENIENT)
def test_encoded_bytes_say_what_the_operation_says(operation, project):
    message = encode(operation, project)
    said, endpoint, keys, repeatable, barrier = expected(operation, project)
    assert says(decode(message.body), said)
    assert says(message.to_wire(), said)
    assert b"\n" not in message.body
    assert (message.endpoint, message.keys) == (endpoint, keys)
    assert (message.repeatable, message.barrier) == (repeatable, barrier)
    if isinstance(operation, Track):
        assert message.time == operation.time * (1000 if operation.time < 100_000_000_000 else 1)
    else:
        assert message.time is None


@given(mx.operations(), LENIENT, st.integers(0, 3_000_000_000_000))
def test_explain_tells_of_the_message_that_would_be_sent(operation, project, now):
    message = encode(operation, project)
    explanation = explain(operation, project, now)
    assert explanation.message == route(message, now)
    expected = () if project.limits == "off" else message.findings()
    assert explanation.findings[: len(expected)] == expected
    sizes = [measure.measured for measure in explanation.measures if "uncompressed JSON" in measure.limit.name]
    assert sizes in ([], [len(message.body)])


@given(mx.messages() | EVENTS, st.integers(0, 3_000_000_000_000) | st.integers(-10, 10).map(lambda days: days * DAY))
def test_route_changes_only_the_endpoint(message, now):
    if message.time is not None and now < 1_000_000_000_000:
        now += message.time
    routed = route(message, now)
    assert evolve(routed, endpoint=message.endpoint) == message
    assert route(routed, now) == routed
    if message.endpoint is not Endpoint.TRACK or message.time is None:
        assert routed == message
    elif message.time < now - 5 * DAY:
        assert routed.endpoint is Endpoint.IMPORT
    elif message.time > now - 5 * DAY + 15 * 60 * 1000:
        assert routed.endpoint is Endpoint.TRACK


@given(mx.operations(stamped=False) | mx.tracks(stamped=False))
def test_stamp_keeps_what_is_set(operation):
    stamped = stamp(operation, **STAMP)
    assert type(stamped) is type(operation)
    assert stamp(stamped, time=1, insert_id="another") == stamped
    for name in ("time", "insert_id"):
        before = getattr(operation, name, None)
        if before is not None:
            assert getattr(stamped, name) == before
        elif isinstance(operation, Track | PeopleOp | GroupOp | Charge | ClearCharges) and hasattr(operation, name):
            assert getattr(stamped, name) == STAMP[name]
    if isinstance(operation, Track):
        same = {"distinct_id": operation.distinct_id, "properties": operation.properties}
        assert stamped == Track(operation.event, **same, time=stamped.time, insert_id=stamped.insert_id)
    elif hasattr(operation, "time"):
        assert evolve_time(stamped, operation.time) == operation
    else:
        assert stamped == operation


def evolve_time(operation, time):
    if isinstance(operation, PeopleOp):
        return PeopleOp(operation.distinct_id, *operation.changes, time=time, options=operation.options)
    if isinstance(operation, GroupOp):
        ids = (operation.group_key, operation.group_id)
        return GroupOp(*ids, *operation.changes, time=time, options=operation.options)
    return evolve(operation, time=time)


@given(mx.tracks(stamped=False), LENIENT)
def test_only_stamped_events_are_encoded(track, project):
    if track.time is None or track.insert_id is None:
        with pytest.raises(NotStamped) as caught:
            encode(track, project)
        assert caught.value.field == ("time" if track.time is None else "insert_id")
        assert caught.value.operation == "Track"
    else:
        assert encode(track, project).to_wire()["properties"]["time"] == track.time


@given(mx.operations(), LENIENT)
def test_split_says_the_same(operation, project):
    parts = split(operation)
    whole = encode(operation, project)
    messages = [encode(part, project) for part in parts]
    if not isinstance(operation, PeopleOp | GroupOp):
        assert parts == (operation,)
        return
    assert [part.changes for part in parts] == [(change,) for change in operation.changes]
    said = {}
    for message in messages:
        said |= decode(message.body)
        assert (message.endpoint, message.keys) == (whole.endpoint, whole.keys)
    assert says(decode(whole.body), said)
    assert whole.repeatable is all(message.repeatable for message in messages)
