from __future__ import annotations

from typing import get_args

import orjson
import pytest

from mixwire.core.changes import Add, Append, Delete, PeopleChange, Remove, Set, SetOnce, Union, Unset
from mixwire.core.errors import InvalidValue
from mixwire.core.events import Track
from mixwire.core.foreign import messages_from_json
from mixwire.core.identity import Alias, Identify, Merge
from mixwire.core.library import VERSION
from mixwire.core.lines import message_from_line, message_to_line, operation_from_line, operation_to_line
from mixwire.core.messages import Endpoint, Message, encode
from mixwire.core.operations import Operation
from mixwire.core.profiles import Charge, ClearCharges, GroupOp, PeopleOp, RawGroupOp, RawPeopleOp, UpdateOptions
from mixwire.core.project import Project

PROJECT = Project("TOKEN")
ANON = "0b2d3c4e-5f60-4a1b-8c2d-3e4f5a6b7c8d"
NOW = 1767225600000
PLACE = UpdateOptions(ip="0", ignore_time=True, ignore_alias=True, latitude=1.5, longitude=-2)

LINES = [
    pytest.param(
        Track("A", distinct_id="u", properties={"p": [1, None, {"q": "é"}]}, time=NOW, insert_id="a1"),
        '{"type":"track","event":"A","distinct_id":"u","properties":{"p":[1,null,{"q":"é"}]},'
        '"time":1767225600000,"insert_id":"a1"}',
        id="track",
    ),
    pytest.param(
        Track("A", properties={"$device_id": "d"}),
        '{"type":"track","event":"A","properties":{"$device_id":"d"}}',
        id="track of a device, not stamped",
    ),
    pytest.param(Alias(alias="a", distinct_id="b"), '{"type":"alias","alias":"a","distinct_id":"b"}', id="alias"),
    pytest.param(
        Identify(identified_id="u", anon_id=ANON),
        '{"type":"identify","identified_id":"u","anon_id":"' + ANON + '"}',
        id="identify",
    ),
    pytest.param(Merge("a", "b"), '{"type":"merge","distinct_id1":"a","distinct_id2":"b"}', id="merge"),
    pytest.param(
        PeopleOp(
            "u",
            Set({"a": 1}),
            SetOnce({"b": 1}),
            Add({"c": 1}),
            Append({"d": 1}),
            Union({"e": 1}),
            Remove({"f": 1}),
            Unset("g", "h"),
            time=1767225600,
            options=PLACE,
        ),
        '{"type":"people","distinct_id":"u","changes":[{"type":"set","properties":{"a":1}},'
        '{"type":"set_once","properties":{"b":1}},{"type":"add","properties":{"c":1}},'
        '{"type":"append","properties":{"d":1}},{"type":"union","properties":{"e":[1]}},'
        '{"type":"remove","properties":{"f":1}},{"type":"unset","names":["g","h"]}],"time":1767225600,'
        '"options":{"ip":"0","ignore_time":true,"ignore_alias":true,"latitude":1.5,"longitude":-2}}',
        id="people",
    ),
    pytest.param(
        PeopleOp("u", Delete(), options=UpdateOptions(ignore_alias=True)),
        '{"type":"people","distinct_id":"u","changes":[{"type":"delete"}],"options":{"ignore_alias":true}}',
        id="people delete",
    ),
    pytest.param(
        GroupOp("Company", "acme", Set({"a": 1}), time=NOW, options=UpdateOptions(ip="0")),
        '{"type":"group","group_key":"Company","group_id":"acme","changes":[{"type":"set","properties":{"a":1}}],'
        '"time":1767225600000,"options":{"ip":"0"}}',
        id="group",
    ),
    pytest.param(
        Charge("u", 9.5, {"sku": "a"}, time=NOW, options=PLACE),
        '{"type":"charge","distinct_id":"u","amount":9.5,"properties":{"sku":"a"},"time":1767225600000,'
        '"options":{"ip":"0","ignore_time":true,"ignore_alias":true,"latitude":1.5,"longitude":-2}}',
        id="charge",
    ),
    pytest.param(Charge("u", -5), '{"type":"charge","distinct_id":"u","amount":-5}', id="refund"),
    pytest.param(
        ClearCharges("u", time=NOW), '{"type":"clear_charges","distinct_id":"u","time":1767225600000}', id="clear"
    ),
    pytest.param(
        RawPeopleOp("u", {"$newer": {"a": 1}}),
        '{"type":"raw_people","distinct_id":"u","update":{"$newer":{"a":1}}}',
        id="raw people",
    ),
    pytest.param(
        RawGroupOp("k", "i", {"$newer": 1}),
        '{"type":"raw_group","group_key":"k","group_id":"i","update":{"$newer":1}}',
        id="raw group",
    ),
]


@pytest.mark.parametrize(("operation", "line"), LINES)
def test_an_operation_is_one_line_and_the_line_the_operation(operation: Operation, line: str) -> None:
    assert operation_to_line(operation).decode() == line
    assert operation_from_line(line) == operation
    assert operation_from_line(line.encode() + b"\n") == operation
    assert encode_or_none(operation_from_line(line)) == encode_or_none(operation)


def encode_or_none(operation: Operation) -> Message | None:
    unstamped = isinstance(operation, Track) and operation.time is None
    return None if unstamped else encode(operation, PROJECT)


def test_every_operation_and_change_has_a_line_here() -> None:
    operations = [param.values[0] for param in LINES]
    assert {type(operation) for operation in operations} == set(get_args(Operation))
    changes = {type(change) for each in operations if isinstance(each, PeopleOp) for change in each.changes}
    assert changes == set(get_args(PeopleChange))


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        (b'{"distinct_id":"u","event":"A","type":"track"}', Track("A", distinct_id="u")),
        (b'{"type":"track","event":"A","distinct_id":"u","time":null,"insert_id":null}', Track("A", distinct_id="u")),
        (b'{"type":"track","event":"A","distinct_id":17}', Track("A", distinct_id="17")),
        (b'{"type":"charge","distinct_id":17,"amount":5}', Charge("17", 5)),
        (
            b'{"type":"people","distinct_id":"u","changes":[{"type":"delete"}],"time":null,"options":{}}',
            PeopleOp("u", Delete()),
        ),
    ],
    ids=["keys in any order", "null for not given", "int as id", "int as id of a charge", "empty options"],
)
def test_a_line_may_be_written_in_other_ways(line: bytes, operation: Operation) -> None:
    assert operation_from_line(line) == operation


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        pytest.param(
            b'{"event":"A","properties":{"time":1767225600,"distinct_id":"u","$insert_id":"a1","p":1}}',
            Track("A", distinct_id="u", properties={"p": 1}, time=1767225600, insert_id="a1"),
            id="stamped",
        ),
        pytest.param(
            b'{"event":"A","properties":{"distinct_id":""}}', Track("A", distinct_id=""), id="nobody, not stamped"
        ),
        pytest.param(
            b'{"event":"A","properties":{"$device_id":"d","mp_lib":"web"}}',
            Track("A", properties={"$device_id": "d", "mp_lib": "web"}),
            id="a device, with its library",
        ),
    ],
)
def test_an_object_without_type_is_an_event_in_export_format(line: bytes, operation: Track) -> None:
    assert operation_from_line(line) == operation


KNOWN = "'track', 'alias', 'identify', 'merge', 'people', 'group', 'charge', 'clear_charges', 'raw_people', 'raw_group'"
CHANGES = "'set', 'set_once', 'add', 'append', 'union', 'remove', 'unset', 'delete'"
GROUP_CHANGES = "Set, SetOnce, Union, Remove, Unset, Delete"
PLACES = "ignore_alias, ignore_time, ip, latitude, longitude"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "the line must be a JSON object, not broken JSON at character 1"),
        ('{"type":', "the line must be a JSON object, not broken JSON at character 9"),
        (b"\xff", "the line must be a JSON object, not broken JSON at character 1"),
        ('"\ud800"', "the line must be a JSON object, not broken JSON at character 1"),
        ('{"event":NaN}', "the line must be a JSON object, not broken JSON at character 10"),
        ("[]", "the line must be a JSON object, not a JSON list"),
        ("null", "the line must be a JSON object, not a JSON None"),
        ('{"type":"order"}', f"type must be one of {KNOWN}, not an unknown one"),
        ('{"type":null}', f"type must be one of {KNOWN}, not missing"),
        ('{"type":["track"]}', f"type must be one of {KNOWN}, not list"),
        ('{"type":"track"}', "event must be given, not missing"),
        ('{"type":"track","event":5,"distinct_id":"u"}', "event must be a str, not int"),
        ('{"type":"track","event":"A"}', "distinct_id must be given ('' for an event without a user), not left out"),
        (
            '{"type":"track","event":"A","distinct_id":"u","properties":5}',
            "properties must be a dict with str keys, not int",
        ),
        ('{"type":"track","event":"A","properties":5}', "properties must be a dict with str keys, not int"),
        (
            '{"type":"track","event":"A","distinct_id":"u","head":"x"}',
            "head must be one of the known keys: distinct_id, event, insert_id, properties, time, not an unknown one",
        ),
        ('{"type":"alias","alias":"a"}', "distinct_id must be given, not missing"),
        ('{"type":"alias","alias":["a"],"distinct_id":"b"}', "alias must be a str, int or UUID, not list"),
        (
            '{"type":"merge","distinct_id1":1.5,"distinct_id2":"b"}',
            "distinct_id1 must be a str, int or UUID, not float",
        ),
        ('{"type":"clear_charges","distinct_id":true}', "distinct_id must be a str, int or UUID, not bool"),
        (
            '{"type":"raw_group","group_key":{},"group_id":"i","update":{"$x":1}}',
            "group_key must be a str, int or UUID, not dict",
        ),
        ('{"type":"merge","distinct_id1":"a"}', "distinct_id2 must be given, not missing"),
        (
            '{"type":"merge","distinct_id1":"a","distinct_id2":"a"}',
            "distinct_id1 and distinct_id2 must be two different ids, not the same one twice",
        ),
        ('{"type":"people","distinct_id":"u"}', "changes must be given, not missing"),
        ('{"type":"people","distinct_id":"u","changes":{}}', "changes must be a list of objects, not dict"),
        ('{"type":"people","distinct_id":"u","changes":[]}', "changes must be at least one change, not none"),
        ('{"type":"people","distinct_id":"u","changes":["delete"]}', "changes[0] must be an object, not str"),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"delete"},{"type":"reset"}]}',
            f"changes[1].type must be one of {CHANGES}, not an unknown one",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"properties":{}}]}',
            f"changes[0].type must be one of {CHANGES}, not missing",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"set"}]}',
            "changes[0].properties must be given, not missing",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"add","properties":{"n":"1"}}]}',
            "changes[0].properties['n'] must be a finite number, not str",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"delete","really yes":1}]}',
            "changes[0]['really yes'] must be one of the known keys: , not an unknown one",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"unset","names":"a"}]}',
            "changes[0].names must be a list of property names, not str",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"unset","names":["a",5]}]}',
            "changes[0].names[1] must be a property name, a str, not int",
        ),
        (
            '{"type":"group","group_key":"k","group_id":"i","changes":[{"type":"add","properties":{"n":1}}]}',
            f"changes[0] must be a change of a group: {GROUP_CHANGES}, not mixwire.core.changes.Add",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"delete"}],"options":null}',
            "options must be an object, not None",
        ),
        (
            '{"type":"people","distinct_id":"u","changes":[{"type":"delete"}],"options":{"ttl":1}}',
            f"options.ttl must be one of the known keys: {PLACES}, not an unknown one",
        ),
        (
            '{"type":"charge","distinct_id":"u","amount":1,"options":{"ip":5}}',
            "options.ip must be an IP address, or '0' for no place, not int",
        ),
        ('{"type":"charge","distinct_id":"u","amount":1,"options":7}', "options must be an object, not int"),
        (
            '{"type":"charge","distinct_id":"u","amount":"1"}',
            "amount must be a finite number (int, float or Decimal), not str",
        ),
        (
            '{"type":"raw_people","distinct_id":"u","update":{}}',
            "update must be at least one operator, such as '$set', not empty",
        ),
        ('{"event":"A"}', "properties must be given, not missing"),
        ('{"properties":{}}', "event must be given, not missing"),
        ('{"event":"A","properties":[]}', "properties must be an object, not list"),
        (
            '{"event":"A","properties":{},"$set":{}}',
            "['$set'] must be one of the known keys: event, properties, not an unknown one",
        ),
        ('{"event":null,"properties":{"distinct_id":"u"}}', "event must be a str, not None"),
        (
            '{"event":"A","properties":{}}',
            "properties['distinct_id'] must be given ('' for an event without a user), not left out",
        ),
        (
            '{"event":"A","properties":{"distinct_id":null}}',
            "properties['distinct_id'] must be given or left out, not null",
        ),
        (
            '{"event":"A","properties":{"distinct_id":"u","time":"x"}}',
            "properties['time'] must be an int, float or datetime, not str",
        ),
        (
            '{"event":"A","properties":{"distinct_id":"u","$insert_id":"a b"}}',
            "properties['$insert_id'] must be 1 to 36 of A-Z a-z 0-9 and -, not with others",
        ),
        (
            '{"event":"A","properties":{"distinct_id":"u","token":"T"}}',
            "properties['token'] must be left out: the token comes from the project, not as a property",
        ),
    ],
    ids=lambda value: ascii(value)[:70] if isinstance(value, str | bytes) else None,
)
def test_a_line_that_says_no_operation_is_answered_with_path_and_reason(line: str | bytes, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        operation_from_line(line)
    assert str(caught.value) == sentence


def test_a_long_unknown_key_is_cut_in_the_sentence() -> None:
    with pytest.raises(InvalidValue) as caught:
        operation_from_line(orjson.dumps({"type": "merge", "-" * 100: 1}))
    assert caught.value.path == f"[{'-' * 60!r}]"


# --- messages -------------------------------------------------------------------------------------------------------

MESSAGES = [
    pytest.param(
        encode(Track("A", distinct_id="u", properties={"q": "é\n"}, time=1767225600, insert_id="a1"), PROJECT),
        '{"type":"message","endpoint":"track","keys":["u"],"repeatable":true,"barrier":false,"time":1767225600000,'
        '"body":{"event":"A","properties":{"distinct_id":"u","time":1767225600,"$insert_id":"a1","mp_lib":"mixwire",'
        f'"$lib_version":"{VERSION}",'
        '"q":"é\\n","token":"TOKEN"}}}',
        id="event",
    ),
    pytest.param(
        encode(Merge("a", "b"), PROJECT),
        '{"type":"message","endpoint":"import","keys":["a","b"],"repeatable":true,"barrier":true,"time":null,'
        '"body":{"event":"$merge","properties":{"$distinct_ids":["a","b"],"token":"TOKEN"}}}',
        id="barrier",
    ),
    pytest.param(
        encode(PeopleOp("u", Add({"n": 1.0})), PROJECT),
        '{"type":"message","endpoint":"engage","keys":["u"],"repeatable":false,"barrier":false,"time":null,'
        '"body":{"$token":"TOKEN","$distinct_id":"u","$add":{"n":1.0}}}',
        id="update",
    ),
    pytest.param(
        encode(GroupOp("k", "i", Delete()), PROJECT),
        '{"type":"message","endpoint":"groups","keys":[["k","i"]],"repeatable":true,"barrier":false,"time":null,'
        '"body":{"$token":"TOKEN","$group_key":"k","$group_id":"i","$delete":""}}',
        id="group",
    ),
]


@pytest.mark.parametrize(("message", "line"), MESSAGES)
def test_a_message_is_one_line_and_the_line_the_message(message: Message, line: str) -> None:
    assert message_to_line(message).decode() == line
    assert message_from_line(line) == message
    assert message_from_line(line.encode()).body == message.body


def test_a_line_without_time_is_a_message_without_time() -> None:
    body = '{"event":"A","properties":{}}'
    line = f'{{"type":"message","endpoint":"track","keys":[],"repeatable":true,"barrier":false,"body":{body}}}'
    assert message_from_line(line) == Message(Endpoint.TRACK, b'{"event":"A","properties":{}}', ())


SOUND = {"endpoint": "track", "keys": ["u"], "repeatable": True, "barrier": False, "time": None}
SOUND["body"] = {"event": "A", "properties": {}}


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"type": "track"}, "type must be 'message', not another value or missing"),
        ({"endpoint": "/track"}, "endpoint must be one of 'track', 'import', 'engage', 'groups', not another value"),
        ({"endpoint": ["track"]}, "endpoint must be one of 'track', 'import', 'engage', 'groups', not another value"),
        ({"body": "{}"}, "body must be an object, not str"),
        ({"body": {}}, "body.event must be given, not missing"),
        ({"body": {"event": "A", "properties": []}}, "body.properties must be an object, not list"),
        (
            {"body": {"event": "A", "properties": {}, "x": 1}},
            "body.x must be one of the known keys: event, properties, not an unknown one",
        ),
        ({"keys": "u"}, "keys must be a list, not str"),
        ({"keys": ["u", 5]}, "keys[1] must be a str, or a list of group_key and group_id, not int"),
        ({"keys": [["k"]]}, "keys[0] must be a str, or a list of group_key and group_id, not list"),
        ({"keys": [["k", 1]]}, "keys[0] must be a str, or a list of group_key and group_id, not list"),
        ({"repeatable": 1}, "repeatable must be true or false, not int"),
        ({"barrier": None}, "barrier must be true or false, not None"),
        ({"time": True}, "time must be milliseconds since 1970, an int, not bool"),
        ({"time": 1.5}, "time must be milliseconds since 1970, an int, not float"),
        (
            {"token": "T"},
            "token must be one of the known keys: barrier, body, endpoint, keys, repeatable, time, not an unknown one",
        ),
    ],
    ids=str,
)
def test_a_line_that_says_no_message_is_answered_with_path_and_reason(other: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        message_from_line(orjson.dumps({"type": "message", **SOUND, **other}))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("missing", ["type", "endpoint", "body", "keys", "repeatable", "barrier"])
def test_a_line_of_a_message_says_what_it_lacks(missing: str) -> None:
    record = {"type": "message", **SOUND}
    del record[missing]
    with pytest.raises(InvalidValue, match=rf"^{missing} must be"):
        message_from_line(orjson.dumps(record))


def test_a_line_of_a_message_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"^the line must be a JSON object, not a JSON str$"):
        message_from_line(b'"message"')


@pytest.mark.parametrize("depth", [300, 600, 1_000])
def test_a_body_that_is_nested_deeper_than_any_message_is_refused(depth: int) -> None:
    body = '{"a":' + "[" * depth + "]" * depth + "}"
    line = f'{{"type":"message","endpoint":"engage","keys":[],"repeatable":true,"barrier":false,"body":{body}}}'
    with pytest.raises(InvalidValue, match="body must be an object that is not nested so deep, not a deeper one"):
        message_from_line(line)


def test_a_body_may_be_nested_as_deep_as_the_encoder_writes() -> None:
    message = Message(Endpoint.ENGAGE, b'{"a":' + b"[" * 253 + b"]" * 253 + b"}", ())
    assert message_from_line(message_to_line(message)) == message


FOREIGN = [
    "1e2",
    "1E+2",
    "-0",
    "100.0",
    "1.10",
    "1.0000000000000000000001",
    "123456789012345678901234567890",
    "1e-400",
    '"\\u00e9\\/"',
    '"\\u0062ody"',
    '"\\"body\\":{}"',
    "[ 1 , 2 ]",
    '{"body": {"body":1}, "body": 2}',
    '{"a": 1}',
    '"}{][,:"',
]


@pytest.mark.parametrize("value", FOREIGN)
@pytest.mark.parametrize("endpoint", list(Endpoint), ids=lambda endpoint: endpoint.name)
def test_a_message_that_somebody_else_wrote_is_read_back_with_the_same_bytes(endpoint: Endpoint, value: str) -> None:
    texts = {
        Endpoint.TRACK: f'{{"properties": {{"token":"T","distinct_id":"u","n":{value}}},"event":"E"}}',
        Endpoint.IMPORT: f'{{"event":"E" , "properties":{{"time":1767225600,"n":{value}}}}}',
        Endpoint.ENGAGE: f'{{"$set": {{"n":{value}}}, "$distinct_id":"u","$token":"T"}}',
        Endpoint.GROUPS: f'{{"$group_key":"k","$group_id":"i","$set":{{"n":{value}}}}}',
    }
    (message,) = messages_from_json(endpoint, texts[endpoint])
    line = message_to_line(message)
    assert message.body == texts[endpoint].encode()
    assert message_from_line(line) == message
    assert message_to_line(message_from_line(line)) == line


@pytest.mark.parametrize(
    "line",
    [
        '{"body":BODY,"type":"message","endpoint":"engage","keys":["body"],"repeatable":true,"barrier":false}',
        '{"type":"message","endpoint":"engage","keys":["\\"body\\":"],"body" :BODY ,"repeatable":true,"barrier":false}',
        '{"type":"message","endpoint":"engage","keys":[],"b\\u006fdy":BODY,"repeatable":true,"barrier":false}',
        '\n{"type":"message",\r\n"endpoint":"engage","keys":[],"repeatable":true,"barrier":false,\n"body"\n:\nBODY\n}\n',
    ],
    ids=["first", "in the middle", "escaped", "on lines"],
)
@pytest.mark.parametrize("body", ['{"$set":{"a":1e2,"body":{"body":[]}}}', '{"$set": {"a": "\\"body\\":{}, }"}}'])
def test_a_body_is_taken_as_it_is_written_wherever_it_stands(line: str, body: str) -> None:
    for given in (line.replace("BODY", body), line.replace("BODY", body).encode()):
        assert message_from_line(given).body == body.encode()


def test_a_body_on_several_lines_becomes_one_line() -> None:
    line = orjson.dumps({"type": "message", **SOUND}, option=orjson.OPT_INDENT_2)
    body = message_from_line(line.replace(b"\n", b"\r\n")).body
    assert not {*b"\r\n"} & {*body}
    assert orjson.loads(body) == SOUND["body"]


@pytest.mark.parametrize("name", ["body", "endpoint", "repeatable"])
def test_a_line_of_a_message_with_a_key_twice_is_refused(name: str) -> None:
    line = orjson.dumps({"type": "message", **SOUND})
    again = f'"{name}":'.encode() + orjson.dumps(SOUND[name])
    with pytest.raises(InvalidValue) as caught:
        message_from_line(line[:-1] + b"," + again + b"}")
    assert str(caught.value) == f"the line must be a JSON object with each key once, not one with '{name}' twice"


@pytest.mark.parametrize("inside", ["", "1234567890123456789"], ids=["empty", "a long number"])
@pytest.mark.parametrize("depth", [500, 1_000])
def test_a_line_of_an_operation_that_is_nested_too_deep_is_refused(depth: int, inside: str) -> None:
    nested = "[" * depth + inside + "]" * depth
    with pytest.raises(InvalidValue):
        operation_from_line(f'{{"event":"A","properties":{{"distinct_id":"u","a":{nested}}}}}')


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            '{"event":"A","properties":{"distinct_id":"u","n":123456789012345678901234567890}}',
            "properties['n'] must be an integer of at most 64 bits, not an int of 97 bits",
        ),
        (
            '{"event":"A","properties":{"distinct_id":"u","a":1,"a":2}}',
            "the line must be a JSON object with each key once, not one with 'a' twice",
        ),
        (
            '{"event" : "A","event" : "B","properties":{"distinct_id":"u"}}',
            "the line must be a JSON object with each key once, not one with 'event' twice",
        ),
    ],
    ids=["an integer too large", "a property twice", "a field twice"],
)
def test_a_line_is_not_read_as_something_else_than_it_says(line: str, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        operation_from_line(line)
    assert str(caught.value) == sentence


def test_a_line_that_only_looks_as_if_it_had_a_key_twice_is_read() -> None:
    line = '{"event" : "A\\":","properties":{"distinct_id":"u","n":1234567890123456789,"list":[{"a":[]},{"a":1}]}}'
    operation = operation_from_line(line)
    assert isinstance(operation, Track)
    assert operation.event == 'A":'
    assert operation.properties == {"n": 1234567890123456789, "list": [{"a": []}, {"a": 1}]}
