from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence

import orjson
import pytest

from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.events import Track
from mixwire.core.foreign import messages_from_json, token_of
from mixwire.core.limits import EVENT_BYTES, NESTING, UPDATE_BYTES
from mixwire.core.lines import message_from_line, message_to_line
from mixwire.core.messages import Endpoint, Key, Message, encode
from mixwire.core.project import Project

TRACK, IMPORT, ENGAGE, GROUPS = Endpoint
EVENTS = (TRACK, IMPORT)
CANARY = f"canary-{6 * 7}"
TIME = 1_767_225_600
STAMP = {"time": TIME, "$insert_id": "a1"}
USER = '{"$token":"T","$distinct_id":"user-1","$set":{"a":1}}'
COMPANY = '{"$token":"T","$group_key":"Company","$group_id":"acme","$set":{"a":1}}'
EXAMPLES = {
    TRACK: '{"event":"Signed Up","properties":{"token":"T","distinct_id":"user-1"}}',
    IMPORT: '{"event":"Signed Up","properties":{"token":"T","distinct_id":"user-1"}}',
    ENGAGE: USER,
    GROUPS: COMPANY,
}
each_endpoint = pytest.mark.parametrize("endpoint", Endpoint, ids=lambda endpoint: endpoint.name)
each_event_endpoint = pytest.mark.parametrize("endpoint", EVENTS, ids=lambda endpoint: endpoint.name)


def event(properties: dict[str, object], name: str = "Signed Up") -> str:
    return json.dumps({"event": name, "properties": properties})


def only(endpoint: Endpoint, text: str | bytes) -> Message:
    (message,) = messages_from_json(endpoint, text)
    return message


def refusal(make: Callable[[], object]) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        make()
    return caught.value


# --- one message ----------------------------------------------------------------------------------------------------


@each_event_endpoint
def test_an_object_is_an_event_of_its_endpoint(endpoint: Endpoint) -> None:
    body = b'{"event":"Signed Up","properties":{"distinct_id":"user-1","time":1767225600,"$insert_id":"a1"}}'
    message = Message(endpoint, body, ("user-1",), repeatable=True, barrier=False, time=TIME * 1000)
    assert messages_from_json(endpoint, body.decode()) == (message,)


def test_an_object_is_an_update_of_a_user() -> None:
    assert messages_from_json(ENGAGE, USER) == (Message(ENGAGE, USER.encode(), ("user-1",)),)


def test_an_object_is_an_update_of_a_group() -> None:
    assert messages_from_json(GROUPS, COMPANY) == (Message(GROUPS, COMPANY.encode(), (("Company", "acme"),)),)


@each_endpoint
def test_bytes_say_what_their_text_says(endpoint: Endpoint) -> None:
    text = EXAMPLES[endpoint].replace("T", "é価")
    assert messages_from_json(endpoint, text.encode()) == messages_from_json(endpoint, text)
    assert only(endpoint, text).body == text.encode()


@each_endpoint
@pytest.mark.parametrize("form", ["{}\n", "{}\r\n", "\n{}", " \t\n{} \r\n\n", "[{}]\n", " [ {} ] "])
def test_white_space_around_does_not_matter(endpoint: Endpoint, form: str) -> None:
    text = EXAMPLES[endpoint]
    assert messages_from_json(endpoint, form.replace("{}", text)) == messages_from_json(endpoint, text)


@each_endpoint
def test_a_message_has_no_line_breaks_whatever_the_text_has(endpoint: Endpoint) -> None:
    text = json.dumps(orjson.loads(EXAMPLES[endpoint]), indent=2)
    for written in (text, text.replace("\n", "\r\n"), f"[{text}\n,\r\n{text}]"):
        for message in messages_from_json(endpoint, written):
            assert not {*b"\r\n"} & {*message.body}
            assert message.to_wire() == orjson.loads(text)
            assert message.keys == only(endpoint, EXAMPLES[endpoint]).keys
    assert only(endpoint, text).body == text.replace("\n", " ").encode()


PIECES = [
    "1.0",
    "1e2",
    "1E+2",
    "-0",
    "0.10",
    "12345678901234567890",
    "123456789012345678901234567890",
    '"\\u00e9\\n\\/\\""',
    '"é価😀"',
    '"\\ud83d\\ude00"',
    '"\\\\"',
    '"],[{\\"}, "',
    "[ 1 ,\t2 ]",
    '{ "b" : [ ] }',
    "\t true",
    "null ",
]


@pytest.mark.parametrize("piece", PIECES)
def test_the_bytes_of_a_message_stay_as_they_are(piece: str) -> None:
    text = f'{{"event":"E","properties":{{"a":{piece}}}}}'
    other = '{"properties":{},"event":"F"}'
    assert only(TRACK, text).body == text.encode()
    for between in (",", " , ", ",\n", "\n,\t"):
        bodies = [message.body for message in messages_from_json(TRACK, f"[{text}{between}{other}{between}{text}]")]
        assert bodies == [text.encode(), other.encode(), text.encode()]


def test_a_name_that_stands_twice_stays_and_the_last_one_counts() -> None:
    text = '{"$distinct_id":"a","$set":{"a":1},"$distinct_id":"b"}'
    assert messages_from_json(ENGAGE, text) == (Message(ENGAGE, text.encode(), ("b",)),)


# --- lists ----------------------------------------------------------------------------------------------------------


@each_endpoint
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_a_list_is_its_messages_in_order(endpoint: Endpoint, count: int) -> None:
    texts = [EXAMPLES[endpoint].replace("1", str(number)) for number in range(count)]
    expected = tuple(only(endpoint, text) for text in texts)
    assert messages_from_json(endpoint, f"[{','.join(texts)}]") == expected


@pytest.mark.parametrize("text", ["[]", "[ ]", "[\n]\n", b" [\t] "])
def test_a_list_of_nothing_is_no_message(text: str | bytes) -> None:
    assert messages_from_json(TRACK, text) == ()


# --- whom it is about -----------------------------------------------------------------------------------------------


@each_event_endpoint
@pytest.mark.parametrize(
    ("properties", "keys"),
    [
        ({"distinct_id": "u"}, ("u",)),
        ({"distinct_id": 17}, ("17",)),
        ({"distinct_id": "u", "$user_id": "v", "$device_id": "d"}, ("u", "v", "d")),
        ({"$device_id": "d", "$user_id": "v"}, ("v", "d")),
        ({"distinct_id": "", "$user_id": None, "$device_id": "d"}, ("d",)),
        ({"distinct_id": ""}, ()),
        ({}, ()),
        ({"$distinct_ids": ["a", "b"]}, ()),
        ({"plan": "pro"}, ()),
    ],
    ids="user number all no-distinct_id empty nobody none list-beside-no-merge others".split(),
)
def test_an_event_is_about_the_ids_among_its_properties(
    endpoint: Endpoint, properties: dict[str, object], keys: tuple[Key, ...]
) -> None:
    assert only(endpoint, event(properties)).keys == keys


@pytest.mark.parametrize(
    ("name", "properties", "keys"),
    [
        ("$create_alias", {"alias": "new", "distinct_id": "old"}, ("old", "new")),
        ("$identify", {"$anon_id": "anon", "$identified_id": "u"}, ("u", "anon")),
        ("$merge", {"$distinct_ids": ["a", "b"]}, ("a", "b")),
        ("$merge", {"$distinct_ids": "a"}, ()),
    ],
    ids=["alias", "identify", "merge", "merge of no list"],
)
def test_an_identity_command_is_a_repeatable_barrier_for_all_its_ids(
    name: str, properties: dict[str, object], keys: tuple[Key, ...]
) -> None:
    for endpoint in EVENTS:
        text = event(properties, name)
        assert only(endpoint, text) == Message(endpoint, text.encode(), keys, repeatable=True, barrier=True)


@pytest.mark.parametrize(
    ("endpoint", "text", "keys"),
    [
        (ENGAGE, '{"$distinct_id":17,"$set":{}}', ("17",)),
        (ENGAGE, '{"$distinct_id":0,"$set":{}}', ("0",)),
        (GROUPS, '{"$group_key":"Company","$group_id":5,"$set":{}}', (("Company", "5"),)),
        (GROUPS, '{"$group_id":"a","$group_key":"k","$set":{}}', (("k", "a"),)),
    ],
    ids=["user number", "zero", "group number", "another order"],
)
def test_an_update_is_about_its_user_or_group(endpoint: Endpoint, text: str, keys: tuple[Key, ...]) -> None:
    assert only(endpoint, text).keys == keys


# --- what may be done with it ---------------------------------------------------------------------------------------


@each_event_endpoint
@pytest.mark.parametrize(
    ("properties", "repeatable"),
    [
        (STAMP, True),
        ({**STAMP, "time": "2026-01-01T00:00:00"}, True),
        ({"time": TIME}, False),
        ({"$insert_id": "a1"}, False),
        ({**STAMP, "$insert_id": ""}, False),
        ({**STAMP, "$insert_id": None}, False),
        ({**STAMP, "time": None}, False),
        ({}, False),
    ],
    ids="both text-time no-insert_id no-time empty-insert_id null-insert_id null-time neither".split(),
)
def test_an_event_may_be_repeated_if_it_names_its_time_and_insert_id(
    endpoint: Endpoint, properties: dict[str, object], repeatable: bool
) -> None:
    assert only(endpoint, event({"distinct_id": "u", **properties})).repeatable is repeatable


def test_an_event_of_another_name_is_no_barrier() -> None:
    assert only(TRACK, event({"alias": "a", **STAMP}, "$created_alias")).barrier is False


@pytest.mark.parametrize(
    ("time", "kept"),
    [
        (TIME, TIME * 1000),
        (TIME * 1000, TIME * 1000),
        (TIME + 0.123, TIME * 1000 + 123),
        (99_999_999_999, 99_999_999_999_000),
        (31_535_999, None),
        (0, None),
        (-1, None),
        (10**18, None),
        (True, None),
        (None, None),
        ("2026-01-01T00:00:00", None),
        ([TIME], None),
    ],
    ids=str,
)
def test_the_time_of_an_event_is_in_milliseconds_where_it_can_be_read(time: object, kept: int | None) -> None:
    for endpoint in EVENTS:
        assert only(endpoint, event({"time": time})).time == kept


def test_an_update_has_no_time_of_an_event() -> None:
    assert only(ENGAGE, '{"$distinct_id":"u","$time":1767225600,"$set":{"a":1}}').time is None


@pytest.mark.parametrize("whose", ['"$distinct_id":"u"', '"$group_key":"k","$group_id":"i"'], ids=["people", "group"])
@pytest.mark.parametrize(
    ("operators", "repeatable"),
    [
        ('"$set":{},"$set_once":{},"$union":{},"$unset":[],"$delete":""', True),
        ('"$set":{},"$ip":0,"$time":1,"$ignore_time":true,"$ignore_alias":true,"$latitude":1,"$longitude":1', True),
        ('"$token":"T","$unset":["a"]', True),
        ('"$set":{},"$add":{"a":1}', False),
        ('"$append":{"a":1}', False),
        ('"$remove":{"a":1}', False),
        ('"$set":{},"$newer":1', False),
    ],
    ids="safe options token add append remove unknown".split(),
)
def test_an_update_may_be_repeated_if_all_its_operators_may(whose: str, operators: str, repeatable: bool) -> None:
    endpoint = GROUPS if "group" in whose else ENGAGE
    message = only(endpoint, f"{{{whose},{operators}}}")
    assert (message.repeatable, message.barrier) == (repeatable, False)


# --- what is refused ------------------------------------------------------------------------------------------------


@each_endpoint
@pytest.mark.parametrize(
    ("given", "found"),
    [(None, "None"), (1, "int"), ({"event": "E"}, "dict"), ([], "list"), (bytearray(b"{}"), "bytearray")],
    ids=["None", "int", "dict", "list", "bytearray"],
)
def test_what_is_no_text_is_refused(endpoint: Endpoint, given: str, found: str) -> None:
    fault = refusal(lambda: messages_from_json(endpoint, given))
    assert (fault.path, fault.found) == ("json_message", found)


BROKEN = [
    "",
    "\n",
    "{",
    "[",
    "[{}",
    "{}{}",
    "{},{}",
    "[{},]",
    "[{}] []",
    "{'event':1}",
    '{"event":"E","properties":{"a":NaN}}',
    '{"event":"E","properties":{"a":-Infinity}}',
    '{"event":"E","properties":{"a":1e400}}',
    '{"event":"E","properties":{"a":01}}',
    '{"event":"E","properties":{"a":"\t"}}',
    '{"event":"E","properties":{"a":"\\ud800"}}',
    "\ufeff{}",
    "event::{}",
    b"\xff{}",
    b'{"event":"\xff","properties":{}}',
    b'{"event":"\xed\xa0\x80","properties":{}}',
]


@each_endpoint
@pytest.mark.parametrize("text", BROKEN, ids=ascii)
def test_broken_json_is_refused(endpoint: Endpoint, text: str | bytes) -> None:
    fault = refusal(lambda: messages_from_json(endpoint, text))
    assert str(fault) == "json_message must be a JSON object, not broken JSON"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"], ids=ascii)
def test_a_line_break_inside_of_a_text_is_broken_json(end: str) -> None:
    for text in (f'{{"event":"a{end}b","properties":{{}}}}', f'[{{"event":"a{end}b","properties":{{}}}}]'):
        fault = refusal(lambda text=text: messages_from_json(TRACK, text))
        assert fault.found == "broken JSON"


@each_endpoint
def test_half_of_a_surrogate_pair_is_refused(endpoint: Endpoint) -> None:
    fault = refusal(lambda: messages_from_json(endpoint, EXAMPLES[endpoint].replace("T", "\ud800")))
    assert str(fault) == "json_message must be text that UTF-8 can hold, not a str with a lone surrogate"


@each_endpoint
@pytest.mark.parametrize(
    ("text", "kind"), [("1", "int"), ("1.5", "float"), ('"{}"', "str"), ("true", "bool")], ids=lambda text: text
)
def test_json_that_is_no_object_is_refused(endpoint: Endpoint, text: str, kind: str) -> None:
    fault = refusal(lambda: messages_from_json(endpoint, text))
    assert str(fault) == f"json_message must be a JSON object, not a JSON {kind}"
    fault = refusal(lambda: messages_from_json(endpoint, f"[{EXAMPLES[endpoint]},{text}]"))
    assert str(fault) == f"json_message[1] must be a JSON object, not a JSON {kind}"


@each_endpoint
def test_neither_null_nor_a_list_is_a_message(endpoint: Endpoint) -> None:
    for text, path in (("null", "json_message"), ("[[]]", "json_message[0]"), ("[null]", "json_message[0]")):
        fault = refusal(lambda text=text: messages_from_json(endpoint, text))
        assert (fault.path, fault.allowed) == (path, "a JSON object")


@each_event_endpoint
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "['event'] must be the name of an event, not None"),
        ('{"event":5,"properties":{}}', "['event'] must be the name of an event, not int"),
        ('{"event":"E"}', "['properties'] must be a JSON object, not None"),
        ('{"event":"E","properties":[]}', "['properties'] must be a JSON object, not list"),
    ],
    ids=["no event", "event", "no properties", "properties"],
)
def test_what_is_no_event_is_refused(endpoint: Endpoint, text: str, sentence: str) -> None:
    assert str(refusal(lambda: messages_from_json(endpoint, text))) == f"json_message{sentence}"
    many = f"[{EXAMPLES[endpoint]}, {EXAMPLES[endpoint]}, {text}]"
    assert str(refusal(lambda: messages_from_json(endpoint, many))) == f"json_message[2]{sentence}"


@pytest.mark.parametrize(
    ("endpoint", "text", "name", "found"),
    [
        (ENGAGE, '{"$set":{}}', "$distinct_id", "None"),
        (ENGAGE, '{"$distinct_id":"","$set":{}}', "$distinct_id", "empty"),
        (ENGAGE, '{"$distinct_id":true,"$set":{}}', "$distinct_id", "bool"),
        (ENGAGE, '{"$distinct_id":["u"],"$set":{}}', "$distinct_id", "list"),
        (ENGAGE, COMPANY, "$distinct_id", "None"),
        (GROUPS, USER, "$group_key", "None"),
        (GROUPS, '{"$group_key":"k","$set":{}}', "$group_id", "None"),
        (GROUPS, '{"$group_key":{},"$group_id":"i","$set":{}}', "$group_key", "dict"),
        (GROUPS, '{"$group_key":"k","$group_id":"","$set":{}}', "$group_id", "empty"),
    ],
    ids="missing empty bool list group-to-engage user-to-groups no-id key empty-id".split(),
)
def test_an_update_of_nobody_is_refused(endpoint: Endpoint, text: str, name: str, found: str) -> None:
    fault = refusal(lambda: messages_from_json(endpoint, text))
    assert str(fault) == f"json_message[{name!r}] must be an id, a str or an int, not {found}"


def filled(endpoint: Endpoint, size: int) -> str:
    """
    A message of so many bytes.
    """
    text = EXAMPLES[endpoint]
    return f'{text[:-1]},"more":"{"x" * (size - len(text) - 10)}"}}'


@each_endpoint
def test_a_message_of_a_million_bytes_is_refused(endpoint: Endpoint) -> None:
    largest, larger = filled(endpoint, 999_999), filled(endpoint, 1_000_000)
    assert len(only(endpoint, f" {largest}\n").body) == 999_999
    limit = EVENT_BYTES if endpoint in EVENTS else UPDATE_BYTES
    for text, path in ((larger, "json_message"), (f"[{largest},{larger}]", "json_message[1]")):
        fault = refusal(lambda text=text: messages_from_json(endpoint, text))
        assert str(fault) == f"{path} must be at most 999,999 bytes, not 1,000,000"
        assert isinstance(fault, LimitExceeded)
        assert (fault.limit, fault.measured) == (limit, 1_000_000)


def test_the_size_of_a_message_counts_bytes_and_not_characters() -> None:
    text = event({}).replace("Signed Up", "é" * 500_000)
    assert isinstance(refusal(lambda: messages_from_json(TRACK, text)), LimitExceeded)


@each_endpoint
def test_escapes_and_spaces_do_not_make_a_message_too_large(endpoint: Endpoint) -> None:
    largest = json.loads(filled(endpoint, 999_999))
    largest["more"] = "é" * (len(largest["more"]) // 2)
    assert only(endpoint, json.dumps(largest)).to_wire() == largest
    spaces = EXAMPLES[endpoint].replace(":", ": " + " " * 1_000_000, 1)
    assert only(endpoint, spaces).to_wire() == json.loads(EXAMPLES[endpoint])
    larger = json.dumps({**largest, "more": largest["more"] + "é"})
    fault = refusal(lambda: messages_from_json(endpoint, f"[{larger}]"))
    assert isinstance(fault, LimitExceeded)
    assert fault.path == "json_message[0]"
    assert fault.measured in (1_000_000, 1_000_001)


@pytest.mark.parametrize(
    "text",
    [event({"a": "é" * 490_000}), event({}) + " " * 1_000_000, event({}).replace(":", " " * 1_000_000 + ":")],
    ids=["escapes", "spaces after it", "spaces inside"],
)
def test_no_message_is_larger_than_the_server_takes_however_it_was_written(text: str) -> None:
    assert len(only(TRACK, text).body) <= EVENT_BYTES.maximum


def test_a_message_that_is_large_and_deep_is_read_or_refused() -> None:
    text = event({"a": "x" * 1_000_000, "b": "DEEP"}).replace('"DEEP"', "[" * 300 + "]" * 300)
    assert refusal(lambda: messages_from_json(TRACK, text)).path == "json_message"


@each_endpoint
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, '[{"a":[' * 50_000],
    ids=["lists", "objects", "closed", "mixed"],
)
def test_a_nesting_bomb_is_refused(endpoint: Endpoint, text: str) -> None:
    assert refusal(lambda: messages_from_json(endpoint, text)).path == "json_message"


NESTED = {
    "object": '{"event":"E","properties":{"a":%s}}',
    "list": '[{"event":"E","properties":{"a":%s}}]',
    "id": '{"event":"E","properties":{"distinct_id":%s}}',
    "ids": '{"event":"$merge","properties":{"$distinct_ids":[%s]}}',
}
each_nested = pytest.mark.parametrize("form", NESTED.values(), ids=list(NESTED))


def read_or_refused(form: str, depth: int) -> tuple[Message, ...]:
    try:
        return messages_from_json(TRACK, form % ("[" * depth + "]" * depth))
    except InvalidValue:
        return ()


@each_nested
def test_text_of_any_depth_is_read_or_refused(form: str) -> None:
    assert read_or_refused(form, 10)
    for depth in [100, 500, *range(800, 1030, 10), *range(1015, 1030), 2000]:
        read_or_refused(form, depth)


@pytest.mark.parametrize("form", ["%s", "[%s]", "[{},%s]"], ids=["object", "list", "second"])
def test_values_nest_as_deep_as_our_own_and_not_one_level_deeper(form: str) -> None:
    form = form.replace("{}", EXAMPLES[TRACK])

    def nested(depth: int) -> tuple[Message, ...]:
        return messages_from_json(TRACK, form % event({"a": "DEEP"}).replace('"DEEP"', "[" * depth + "]" * depth))

    message = encode(Track("E", distinct_id="u", properties={"a": lists(32)}, time=TIME, insert_id="a1"), Project("T"))
    assert only(TRACK, message.body) == message
    assert nested(32)[-1].to_wire()["properties"] == {"a": lists(32)}
    fault = refusal(lambda: nested(33))
    assert str(fault) == "json_message must be at most 32 levels deep, not 33"
    assert isinstance(fault, LimitExceeded)
    assert (fault.limit, fault.measured) == (NESTING, 33)


def lists(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_many_lists_and_brackets_in_texts_are_not_deep() -> None:
    for value in ('"' + "[" * 100 + '\\"{"', "[" + ",".join(["[{}]"] * 100) + "]"):
        text = event({"a": "VALUE"}).replace('"VALUE"', value)
        assert only(TRACK, text).body == text.encode()
        assert [message.body for message in messages_from_json(TRACK, f"[{text},{text}]")] == [text.encode()] * 2


@each_nested
def test_what_is_read_can_be_looked_at_and_kept_whatever_its_depth(form: str) -> None:
    for depth in (10, 30, 100, 250, 500, 750, 900):
        for message in read_or_refused(form, depth):
            message.findings()
            assert token_of(message) is None
            assert message_from_line(message_to_line(message)) == message


LEAKS: Sequence[tuple[Endpoint, object]] = [
    (TRACK, CANARY),
    (TRACK, CANARY.encode()),
    (TRACK, f'"{CANARY}"'),
    (TRACK, f'["{CANARY}"]'),
    (TRACK, f'{{"event":{CANARY}}}'),
    (TRACK, f'{{"event":"{CANARY}"}}'),
    (TRACK, f'{{"event":["{CANARY}"],"properties":{{}}}}'),
    (TRACK, f'{{"event":"E","properties":"{CANARY}"}}'),
    (TRACK, f'[{{"event":"E","properties":{{"{CANARY}":NaN}}}}]'),
    (TRACK, f'{{"event":"{CANARY}\ud800","properties":{{}}}}'),
    (TRACK, f'{{"event":"{CANARY}\\ud800","properties":{{}}}}'),
    (TRACK, CANARY.encode() + b"\xff"),
    (TRACK, f'{{"event":"{CANARY}","properties":{{"a":"{"x" * 1_000_000}"}}}}'),
    (TRACK, CANARY + "[" * 100_000),
    (TRACK, "[" * 100_000 + CANARY),
    (TRACK, [CANARY]),
    (TRACK, bytearray(CANARY.encode())),
    (ENGAGE, f'{{"$distinct_id":["{CANARY}"]}}'),
    (ENGAGE, f'{{"$set":{{"a":"{CANARY}"}}}}'),
    (GROUPS, f'{{"$group_key":"{CANARY}","$group_id":{{"{CANARY}":1}}}}'),
]


@pytest.mark.parametrize(("endpoint", "text"), LEAKS, ids=range(len(LEAKS)))
def test_what_was_refused_is_in_no_sentence_and_no_traceback(endpoint: Endpoint, text: str) -> None:
    fault = refusal(lambda: messages_from_json(endpoint, text))
    assert fault.__cause__ is fault.__context__ is None
    shown = "".join([*traceback.format_exception(fault), repr(fault), repr(fault.__context__)])
    assert CANARY not in shown
    assert "x" * 100 not in shown


# --- the token ------------------------------------------------------------------------------------------------------


@each_endpoint
def test_the_token_of_a_message_is_the_one_it_names(endpoint: Endpoint) -> None:
    assert token_of(only(endpoint, EXAMPLES[endpoint])) == "T"


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (TRACK, b'{"event":"E","properties":{}}'),
        (TRACK, b'{"event":"E","properties":{"token":5}}'),
        (TRACK, b'{"event":"E","properties":{"$token":"T"}}'),
        (IMPORT, b'{"$token":"T","event":"E","properties":{}}'),
        (ENGAGE, b'{"$distinct_id":"u","token":"T"}'),
        (ENGAGE, b'{"$distinct_id":"u","$token":null}'),
        (ENGAGE, b'{"$distinct_id":"u","properties":{"token":"T"}}'),
        (GROUPS, b'{"$token":["T"]}'),
    ],
)
def test_a_message_without_a_token_in_its_place_has_none(endpoint: Endpoint, body: bytes) -> None:
    assert token_of(Message(endpoint, body, ())) is None
