"""
Messages and updates that somebody else wrote, read again.
"""

import json

from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from wire_model import says

from mixwire.core import (
    Charge,
    Endpoint,
    GroupOp,
    InvalidValue,
    Message,
    PeopleOp,
    RawGroupOp,
    RawPeopleOp,
    Track,
    encode,
)
from mixwire.core.foreign import messages_from_json, token_of
from mixwire.core.updates import group_operation, people_operation
from mixwire.testing import strategies as mx

LENIENT = mx.projects(limits=("off", "warn"))
IDS = ("distinct_id", "$user_id", "$device_id", "alias", "$identified_id", "$anon_id")
MESSAGES = mx.messages()
BATCHES = mx.batches(max_size=4)
BETWEEN = st.text(" \t\r\n", max_size=3)
MILLISECONDS_FROM = 100_000_000_000


def of_events():
    """Events that hold other ids beside the one of their user, or any value where an id belongs."""
    ids = st.dictionaries(st.sampled_from(IDS[1:]), st.just("u1") | st.just("") | mx.json_scalars(), max_size=3)
    plain = st.fixed_dictionaries({"time": st.integers(10**9, 10**12), "insert_id": st.just("a1")})
    return st.builds(
        lambda distinct_id, properties, stamp: Track("E", distinct_id=distinct_id, properties=properties, **stamp),
        mx.distinct_ids() | st.just(""),
        ids,
        plain,
    )


def is_about(message, read):
    """
    Whether a message that was read is about those that the encoded one is about.

    An event is read with more: `encode` looks at its distinct_id alone where there is one, a reader cannot know which
    of its ids counts. The empty id is somebody for `encode` and nobody for a reader.
    """
    if message.endpoint not in (Endpoint.TRACK, Endpoint.IMPORT) or message.barrier:
        return read.keys == message.keys
    properties = message.to_wire()["properties"]
    others = {str(properties[name]) for name in IDS if name in properties}
    return {key for key in message.keys if key} <= set(read.keys) <= others - {""}


@given(mx.operations() | of_events(), LENIENT)
def test_a_message_is_read_back_from_its_own_json(operation, project):
    message = encode(operation, project)
    (read,) = messages_from_json(message.endpoint, message.body)
    assert type(read) is Message
    assert evolve(read, keys=message.keys) == message
    assert is_about(message, read)
    assert messages_from_json(message.endpoint, message.body.decode() + "\n") == (read,)


@given(mx.tracks() | mx.aliases() | mx.identifies() | mx.merges(), LENIENT)
def test_an_event_with_one_id_is_read_back_whole(operation, project):
    message = encode(operation, project)
    properties = message.to_wire()["properties"]
    if message.barrier or (properties.get("distinct_id") and not any(name in properties for name in IDS[1:])):
        assert messages_from_json(message.endpoint, message.body) == (message,)


@st.composite
def of_one_endpoint(draw):
    messages = [draw(MESSAGES), *draw(BATCHES).messages]
    endpoint = draw(st.sampled_from(messages)).endpoint
    first = draw(st.integers(0, 1))
    return endpoint, [message for message in messages[first:] if message.endpoint is endpoint]


@given(of_one_endpoint(), st.data())
def test_a_list_of_messages_is_read_back_byte_for_byte(drawn, data):
    endpoint, messages = drawn
    text = b"["
    for index, message in enumerate(messages):
        text += data.draw(BETWEEN).encode() + message.body + data.draw(BETWEEN).encode()
        text += b"," if index < len(messages) - 1 else b""
    text += b"]"
    read = messages_from_json(endpoint, text)
    assert [each.body for each in read] == [message.body for message in messages]
    assert read == tuple(messages_from_json(endpoint, message.body)[0] for message in messages)


@given(MESSAGES, st.booleans(), st.sampled_from([None, 0, 2]))
def test_however_a_message_is_written_it_says_the_same(message, ascii_only, indent):
    text = json.dumps(message.to_wire(), ensure_ascii=ascii_only, indent=indent)
    (read,) = messages_from_json(message.endpoint, text)
    (plain,) = messages_from_json(message.endpoint, message.body)
    assert says(read.to_wire(), message.to_wire())
    assert evolve(read, body=plain.body) == plain
    assert read.body == text.replace("\n", " ").encode()


@given(mx.operations(), LENIENT)
def test_a_message_names_the_token_of_its_project(operation, project):
    assert token_of(encode(operation, project)) == project.token


DAMAGE = st.sampled_from(list('{}[]",:\n\\ 0é\ud800')) | st.text(max_size=3)


@st.composite
def damaged(draw):
    message = draw(MESSAGES)
    text = message.body.decode()
    if draw(st.booleans()):
        text = f"[{text},{text}]"
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(DAMAGE) + text[place + draw(st.integers(0, 2)) :]
    return message.endpoint, text


@given(damaged() | st.tuples(st.sampled_from(list(Endpoint)), st.text(max_size=20) | mx.json_values().map(json.dumps)))
@example((Endpoint.TRACK, '{"event":"a\nb","properties":{}}'))
def test_any_text_is_read_as_what_it_says_or_refused(drawn):
    endpoint, text = drawn
    try:
        messages = messages_from_json(endpoint, text)
    except InvalidValue:
        return
    said = json.loads(text.strip())
    assert [json.loads(message.body) for message in messages] == (said if isinstance(said, list) else [said])
    assert all(message.endpoint is endpoint for message in messages)


@given(st.sampled_from(list(Endpoint)), st.binary(max_size=20))
def test_any_bytes_are_read_or_refused(endpoint, text):
    try:
        messages = messages_from_json(endpoint, text)
    except InvalidValue:
        return
    assert messages == messages_from_json(endpoint, text.decode())


def without_token(message):
    wire = message.to_wire()
    del wire["$token"]
    return wire


def without_time(wire):
    return {name: value for name, value in wire.items() if name != "$time"}


def read_again(wire):
    return people_operation(wire) if "$distinct_id" in wire else group_operation(wire)


def as_read(wire):
    """
    The update with the time that a reader sees: from the year 5138 on, whole seconds look like milliseconds.
    """
    time = wire.get("$time")
    return wire if time is None or time < MILLISECONDS_FROM else wire | {"$time": time // 1000}


@given(mx.people_ops() | mx.charges() | mx.clear_charges() | mx.group_ops(), LENIENT)
def test_an_update_read_from_its_wire_is_encoded_to_the_same_json(operation, project):
    message = encode(operation, project)
    wire = without_token(message)
    read = read_again(wire)
    assert type(read) is (GroupOp if isinstance(operation, GroupOp) else PeopleOp)
    again = encode(read, project)
    assert says(again.to_wire(), as_read(message.to_wire()))
    assert evolve(again, body=message.body) == message
    if not isinstance(operation, Charge):
        assert [*again.to_wire()] == [*message.to_wire()]


UNKNOWN = st.dictionaries(st.sampled_from(["$new", "plan", ""]), mx.json_values(), min_size=1)


@given(mx.people_ops() | mx.charges() | mx.group_ops(), UNKNOWN, LENIENT)
def test_what_nobody_knows_here_is_sent_as_it_is_beside_the_rest(operation, unknown, project):
    message = encode(operation, project)
    read = read_again(without_token(message) | unknown)
    assert type(read) is (RawGroupOp if isinstance(operation, GroupOp) else RawPeopleOp)
    again = encode(read, project)
    wire = message.to_wire() | unknown
    assert says(without_time(again.to_wire()), without_time(wire))
    assert sorted(again.to_wire()) == sorted(wire)
    assert (again.endpoint, again.keys, again.repeatable) == (message.endpoint, message.keys, False)


@given(mx.raw_people_ops() | mx.raw_group_ops(), LENIENT)
def test_a_raw_update_read_from_its_wire_says_the_same_or_is_refused(operation, project):
    message = encode(operation, project)
    wire = without_token(message)
    try:
        read = read_again(wire)
    except InvalidValue:
        return
    again = encode(read, project)
    assert (again.endpoint, again.keys, again.repeatable) == (message.endpoint, message.keys, message.repeatable)
    if isinstance(read, RawPeopleOp | RawGroupOp):
        assert says(without_time(again.to_wire()), without_time(message.to_wire()))
    else:
        # What is written in several ways has one way on the wire: it is read as itself.
        assert says(encode(read_again(without_token(again)), project).to_wire(), as_read(again.to_wire()))


UPDATES = st.dictionaries(
    st.sampled_from(
        """
        $distinct_id $group_key $group_id $token $set $set_once $add $append $union $remove $unset $delete $ip $time
        $ignore_time $ignore_alias $latitude $longitude $new
        """.split()
    )
    | st.integers(0, 9),
    mx.json_garbage() | mx.profile_properties() | st.just("u1"),
    max_size=5,
)


@given(UPDATES)
def test_any_update_is_read_or_refused_and_stays_as_it_is(update):
    before = list(update.items())
    for read in (people_operation, group_operation):
        try:
            operation = read({"$distinct_id": "u1", **update} if read is people_operation else update)
        except InvalidValue:
            continue
        assert isinstance(operation, PeopleOp | GroupOp | RawPeopleOp | RawGroupOp)
    after = list(update.items())
    assert [(name, id(value)) for name, value in after] == [(name, id(value)) for name, value in before]
