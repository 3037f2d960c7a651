"""
Operations and messages as lines, and back.
"""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from mixwire.core import (
    InvalidValue,
    Message,
    encode,
    message_from_line,
    message_to_line,
    operation_from_line,
    operation_to_line,
    route,
)
from mixwire.testing import strategies as mx

LENIENT = mx.projects(limits=("off", "warn"))

FIELDS = st.sampled_from(
    """
    event distinct_id properties time insert_id alias identified_id anon_id distinct_id1 distinct_id2 changes options
    group_key group_id amount update endpoint body keys repeatable barrier names
    """.split()
)
OPERATION_TYPES = st.sampled_from(
    """
    track alias identify merge people group charge clear_charges raw_people raw_group set set_once add append union
    remove unset delete message
    """.split()
)


@given(mx.operations(stamped=False))
def test_structure_undoes_unstructure(operation):
    line = operation_to_line(operation)
    read = operation_from_line(line)
    assert b"\n" not in line
    assert type(read) is type(operation)
    assert read == operation
    assert operation_to_line(read) == line


@given(mx.operations(), LENIENT)
def test_an_operation_read_back_is_encoded_to_the_same_bytes(operation, project):
    assert encode(operation_from_line(operation_to_line(operation)), project) == encode(operation, project)


@given(mx.messages(), st.integers(0, 3_000_000_000_000))
def test_structure_undoes_unstructure_of_messages(message, now):
    message = route(message, now)
    line = message_to_line(message)
    read = message_from_line(line)
    assert b"\n" not in line
    assert read == message
    assert read.body == message.body
    assert message_to_line(read) == line


def lines_of(records):
    return st.tuples(OPERATION_TYPES | mx.json_values(), records).map(
        lambda drawn: json.dumps({"type": drawn[0], **drawn[1]})
    )


@given(
    st.binary(max_size=30)
    | st.text(max_size=30)
    | mx.json_values().map(json.dumps)
    | lines_of(st.dictionaries(FIELDS, mx.json_values(), max_size=5))
)
@example('{"type":"track","event":"e","properties":null}')
@example('{"type":"track","event":"e","distinct_id":"u","time":-1e308}')
def test_any_line_is_read_or_refused(line):
    try:
        operation = operation_from_line(line)
    except InvalidValue:
        return
    assert operation_from_line(operation_to_line(operation)) == operation


def with_damage(message, name, value):
    record = json.loads(message_to_line(message))
    record[name] = value
    return json.dumps(record)


DEEP = st.integers(1, 900).map(lambda levels: json.loads("[" * levels + "]" * levels))


@given(mx.messages(), FIELDS, mx.json_values() | DEEP.map(lambda value: {"a": value}))
def test_any_message_line_is_read_or_refused(message, name, value):
    try:
        read = message_from_line(with_damage(message, name, value))
    except InvalidValue:
        return
    assert isinstance(read, Message)
    assert message_from_line(message_to_line(read)) == read
