import copy
import itertools
import json
import math
import pickle
import sys
import traceback
from datetime import UTC, datetime
from uuid import UUID

import attrs
import orjson
import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.events import Track
from mixwire.core.library import VERSION
from mixwire.core.limits import DISTINCT_ID_CHARACTERS, EVENT_BYTES, EVENT_PROPERTIES, INSERT_ID_BYTES, PLACEHOLDERS
from mixwire.core.shapes import PROFILE
from mixwire.core.values import freeze

CANARY = f"canary-{6 * 7}"
TIME = 1_767_225_600_000
ID = "0123456789abcdef0123456789abcdef"


def refuse(*_, **__):
    raise AssertionError("a caller's method was called")


def hostile(base, *args):
    names = """
        __str__ __repr__ __format__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __len__ __bool__ __iter__ __contains__
        __getitem__ __int__ __index__ strip lower encode isascii isspace hex keys items
    """.split()
    return type("Hostile", (base,), dict.fromkeys(names, refuse) | {"__module__": __name__})(*args)


def track(event="Signed Up", **changes):
    return Track(event, **{"distinct_id": "user-1", "properties": {}, "time": TIME, "insert_id": ID} | changes)


def refusal(*event, **changes):
    with pytest.raises(InvalidValue) as caught:
        track(*event, **changes)
    return caught.value


def content(made):
    """The JSON of an event, pairs kept as pairs so that a name that stands twice is seen."""
    names = []

    def pairs(found):
        names.append([name for name, _ in found])
        return dict(found)

    tree = json.loads(made.head + made.properties.json[1:-1] + b"}}", object_pairs_hook=pairs)
    assert all(len({*found}) == len(found) for found in names)
    return tree


def test_an_event_keeps_what_it_was_given():
    made = track(properties={"plan": "pro"})
    assert (made.event, made.distinct_id, made.time, made.insert_id) == ("Signed Up", "user-1", TIME, ID)
    assert made.properties == {"plan": "pro"}


def test_an_event_without_a_stamp_waits_for_one():
    made = Track("Signed Up", distinct_id="user-1")
    assert (made.time, made.insert_id, made.properties) == (None, None, {})


@pytest.mark.parametrize(
    ("properties", "written"),
    [
        ({}, {"mp_lib": "mixwire", "$lib_version": VERSION}),
        ({"plan": "pro"}, {"mp_lib": "mixwire", "$lib_version": VERSION, "plan": "pro"}),
        ({"mp_lib": "other"}, {"mp_lib": "other"}),
        ({"$lib_version": "9", "tags": ["a"]}, {"$lib_version": "9", "tags": ["a"]}),
    ],
    ids=["none", "some", "another library", "another version"],
)
def test_the_head_is_the_json_before_the_properties(properties, written):
    assert content(track('Say "hé"\n', properties=properties)) == {
        "event": 'Say "hé"\n',
        "properties": {"distinct_id": "user-1", "time": TIME, "$insert_id": ID} | written,
    }


def test_the_head_of_an_event_of_a_device_has_no_distinct_id():
    made = track(distinct_id=None, properties={"$device_id": "d"})
    assert made.distinct_id is None
    assert "distinct_id" not in content(made)["properties"]


# event


@pytest.mark.parametrize("event", ["A", "$mp_web_page_view", "é" * 300, " a ", "$", "\ufeff\x00\U0001f600"])
def test_the_name_of_an_event_is_kept(event):
    assert content(track(event))["event"] == event


@pytest.mark.parametrize(
    ("event", "allowed", "found"),
    [
        ("", "the name of an event", "empty"),
        (" \t\u3000", "the name of an event", "blank"),
        (None, "a str", "None"),
        (5, "a str", "int"),
        (b"A", "a str", "bytes"),
        (["A"], "a str", "list"),
        (hostile(str, "A"), "a str", f"{__name__}.Hostile"),
        (hostile(object), "a str", f"{__name__}.Hostile"),
    ],
    ids="empty blank None int bytes list str-subclass object".split(),
)
def test_row_82_r23_an_event_without_a_name_is_refused_without_a_call(event, allowed, found):
    fault = refusal(event)
    assert fault.path == "event"
    assert str(fault) == f"event must be {allowed}, not {found}"


@pytest.mark.parametrize(
    ("event", "command"), [("$create_alias", "Alias"), ("$identify", "Identify"), ("$merge", "Merge")], ids=str
)
def test_an_identity_command_is_no_event(event, command):
    fault = refusal(event)
    assert fault.path == "event"
    assert str(fault) == (
        f"event must be an ordinary event; use {command}(...) to send {event}, not an identity command"
    )


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"event": "\ud800"}, "event"),
        ({"event": "$a\ud800"}, "event"),
        ({"distinct_id": "\ud800"}, "distinct_id"),
        ({"distinct_id": None, "properties": {"$user_id": "\ud800"}}, "properties['$user_id']"),
    ],
    ids=["event", "event with $", "distinct_id", "property"],
)
def test_row_78_r13_a_lone_surrogate_is_refused(changes, path):
    fault = refusal(**changes)
    assert fault.path == path
    assert str(fault) == f"{path} must be text that UTF-8 can hold, not a str with a lone surrogate"


# distinct_id


@pytest.mark.parametrize(
    ("given", "kept"),
    [("user-1", "user-1"), ("", ""), (17, "17"), (UUID(int=5), str(UUID(int=5))), ("x" * 255, "x" * 255)],
    ids="str empty int UUID 255-characters".split(),
)
def test_r34_r39_a_distinct_id_is_text_and_may_be_empty(given, kept):
    made = track(distinct_id=given)
    assert made.distinct_id == kept
    assert content(made)["properties"]["distinct_id"] == kept


@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
def test_row_84_r35_a_placeholder_distinct_id_is_refused(placeholder):
    for given in (placeholder, placeholder.upper(), f" {placeholder} "):
        fault = refusal(distinct_id=given)
        assert fault.path == "distinct_id"
        assert str(fault) == (
            "distinct_id must be an id of somebody, not a placeholder that Mixpanel refuses, such as 'null' or '0'"
        )


def test_row_84_r38_a_distinct_id_longer_than_255_characters_is_refused():
    fault = refusal(distinct_id="é" * 256)
    assert (fault.path, type(fault), fault.limit) == ("distinct_id", LimitExceeded, DISTINCT_ID_CHARACTERS)
    assert str(fault) == "distinct_id must be at most 255 characters, not 256"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (True, "bool"),
        (1.5, "float"),
        (["user-1"], "list"),
        ({}, "dict"),
        (hostile(str, "a"), f"{__name__}.Hostile"),
        (hostile(object), f"{__name__}.Hostile"),
    ],
    ids="bool float list dict str-subclass object".split(),
)
def test_row_82_r39_a_distinct_id_of_another_type_is_refused_without_a_call(given, kind):
    fault = refusal(distinct_id=given)
    assert fault.path == "distinct_id"
    assert str(fault) == f"distinct_id must be a str, int or UUID, not {kind}"


@pytest.mark.parametrize("name", ["$user_id", "$device_id"])
def test_r33_a_distinct_id_may_be_left_out_beside_a_user_or_device_id(name):
    assert track(distinct_id=None, properties={name: "user-1"}).distinct_id is None
    assert Track("Seen", properties=freeze({name: "user-1"}, PROFILE)).distinct_id is None


@pytest.mark.parametrize("properties", [{}, {"plan": "pro"}], ids=["no properties", "others"])
def test_r32_a_distinct_id_that_is_left_out_is_refused_otherwise(properties):
    fault = refusal(distinct_id=None, properties=properties)
    assert fault.path == "distinct_id"
    assert str(fault) == "distinct_id must be given ('' for an event without a user), not left out"


# properties


@pytest.mark.parametrize("distinct_id", ["user-1", None], ids=["with distinct_id", "without"])
@pytest.mark.parametrize(
    ("properties", "kind"),
    [
        (None, "None"),
        (5, "int"),
        (["$user_id"], "list"),
        ("$user_id", "str"),
        (hostile(dict), f"{__name__}.Hostile"),
        (hostile(object), f"{__name__}.Hostile"),
    ],
    ids="None int list str dict-subclass object".split(),
)
def test_row_82_r24_properties_that_are_no_dict_are_refused_without_a_call(distinct_id, properties, kind):
    fault = refusal(distinct_id=distinct_id, properties=properties)
    assert fault.path == "properties"
    assert str(fault) == f"properties must be a dict with str keys, not {kind}"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("token", "left out: the token comes from the project"),
        ("time", "given as Track(time=...)"),
        ("$time", "given as Track(time=...)"),
        ("distinct_id", "given as Track(distinct_id=...)"),
        ("$distinct_id", "given as Track(distinct_id=...)"),
        ("$insert_id", "given as Track(insert_id=...)"),
        ("bucket", "left out: the product hides data with a property of this name"),
        ("$bucket", "left out: the product hides data with a property of this name"),
    ],
    ids="token time $time distinct_id $distinct_id $insert_id bucket $bucket".split(),
)
def test_row_83_r80_a_field_among_the_properties_is_refused(name, allowed):
    fault = refusal(properties={"plan": "pro", name: "x"})
    assert fault.path == f"properties['{name}']"
    assert str(fault) == f"properties['{name}'] must be {allowed}, not as a property"


def test_row_79_r45_an_event_has_254_properties_in_all_and_not_one_more():
    made = track(properties={f"p{index}": 1 for index in range(248)})
    assert len(content(made)["properties"]) + len({"token"}) == 254
    fault = refusal(properties={f"p{index}": 1 for index in range(249)})
    assert (fault.path, fault.limit, fault.measured) == ("properties", EVENT_PROPERTIES, 255)


def test_row_79_r44_a_megabyte_is_no_event():
    fault = refusal(properties={"note": "x" * 1_000_000})
    assert (fault.path, type(fault), fault.limit) == ("properties['note']", LimitExceeded, EVENT_BYTES)


def test_row_76_r12_a_number_that_is_not_finite_is_refused():
    fault = refusal(properties={"cart": [{"price": math.nan}]})
    assert str(fault) == "properties['cart'][0]['price'] must be a finite number, not nan"


# time and insert_id


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TIME, TIME),
        (TIME // 1000, TIME // 1000),
        (31_536_000, 31_536_000),
        (TIME / 1000, TIME),
        (datetime(2026, 1, 1, tzinfo=UTC), TIME),
        (None, None),
    ],
    ids="milliseconds seconds first float datetime None".split(),
)
def test_r30_r31_a_time_stays_in_the_unit_it_was_given_in(given, kept):
    assert track(time=given).time == kept


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("2026-01-01", "time must be an int, float or datetime, not str"),
        (True, "time must be an int, float or datetime, not bool"),
        (hostile(int, TIME), f"time must be an int, float or datetime, not {__name__}.Hostile"),
    ],
    ids="str bool int-subclass".split(),
)
def test_row_82_r26_a_time_that_is_no_number_is_refused_without_a_call(given, sentence):
    fault = refusal(time=given)
    assert fault.path == "time"
    assert str(fault) == sentence


@pytest.mark.parametrize("given", [31_535_999, 0, -1, 253_402_300_800_000], ids=str)
def test_r29_a_time_before_1971_or_after_9999_is_refused(given):
    fault = refusal(time=given)
    assert fault.path == "time"
    assert str(fault) == "time must be Unix time in seconds or milliseconds, from 1971 to 9999, not outside of that"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (ID, ID),
        ("a", "a"),
        ("a-b", "a-b"),
        ("a" * 36, "a" * 36),
        ("abcdefghi-0", "abcdefghi-0"),
        (UUID(ID), ID),
        (None, None),
    ],
    ids="hex one-letter hyphen 36-bytes long-with-hyphen UUID None".split(),
)
def test_r42_an_insert_id_of_1_to_36_bytes_is_kept(given, kept):
    assert track(insert_id=given).insert_id == kept


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "empty"),
        *((f"0123456789{each}", "with others") for each in ("_", ":", " ", "é", "\n", "\x00", "٣", "\ud800")),
        ("é", "with others"),
    ],
    ids="empty underscore colon space accent newline NUL arabic-digit surrogate short".split(),
)
def test_row_84_r41_an_insert_id_of_other_characters_is_refused(given, found):
    fault = refusal(insert_id=given)
    assert fault.path == "insert_id"
    assert str(fault) == f"insert_id must be 1 to 36 of A-Z a-z 0-9 and -, not {found}"


def test_row_84_r42_an_insert_id_of_37_bytes_is_refused():
    fault = refusal(insert_id="a" * 37)
    assert (fault.path, type(fault), fault.limit) == ("insert_id", LimitExceeded, INSERT_ID_BYTES)
    assert str(fault) == "insert_id must be at most 36 bytes, not 37"


@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
def test_row_84_r43_a_placeholder_insert_id_is_refused(placeholder):
    for given in (placeholder, placeholder.upper()):
        assert refusal(insert_id=given).path == "insert_id"


@pytest.mark.parametrize(
    ("given", "kind"),
    [(5, "int"), (b"0123456789", "bytes"), (hostile(str, ID), f"{__name__}.Hostile")],
    ids="int bytes str-subclass".split(),
)
def test_row_82_an_insert_id_of_another_type_is_refused_without_a_call(given, kind):
    fault = refusal(insert_id=given)
    assert fault.path == "insert_id"
    assert str(fault) == f"insert_id must be a str, not {kind}"


# A value


def test_an_event_cannot_be_changed():
    made = track()
    for name in ("event", "distinct_id", "properties", "time", "insert_id", "head"):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, "other")
        with pytest.raises(FrozenInstanceError):
            delattr(made, name)


def test_events_are_equal_by_what_they_say():
    made = track(properties={"a": 1, "b": 2})
    twin = track(properties={"b": 2, "a": 1})
    assert made == twin
    assert hash(made) == hash(twin)
    for changes in (
        {"event": "Seen"},
        {"distinct_id": "user-2"},
        {"properties": {"a": 1}},
        {"time": TIME + 1},
        {"insert_id": "other"},
    ):
        assert track(**{"properties": {"a": 1, "b": 2}} | changes) != made
    assert made != "Signed Up"


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, *(lambda each, p=p: pickle.loads(pickle.dumps(each, p)) for p in range(6))],
    ids=["copy", "deepcopy", *(f"pickle-{p}" for p in range(6))],
)
@pytest.mark.parametrize(
    "made",
    [
        track(properties={"a": [1, {"b": -0.0}], "c": 2**64 - 1}),
        Track("Seen", distinct_id=""),
        track(distinct_id=None, properties={"$user_id": "user-1", "mp_lib": "other"}),
    ],
    ids=["stamped", "unstamped", "without distinct_id"],
)
def test_a_copied_event_is_the_same_to_the_byte(made, again):
    twin = again(made)
    assert type(twin) is Track
    assert twin == made
    assert hash(twin) == hash(made)
    assert (twin.head, twin.properties.json) == (made.head, made.properties.json)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("event", "Seen"),
        ("distinct_id", "user-2"),
        ("properties", {"b": 2}),
        ("time", TIME + 1),
        ("insert_id", "other-one-2"),
    ],
    ids="event distinct_id properties time insert_id".split(),
)
def test_an_evolved_event_keeps_its_other_fields(name, value):
    made = track(properties={"a": [1]})
    evolved = attrs.evolve(made, **{name: value})
    assert evolved == track(**{"properties": {"a": [1]}} | {name: value})
    assert content(evolved) == content(track(**{"properties": {"a": [1]}} | {name: value}))
    assert made == track(properties={"a": [1]})


def test_an_evolved_event_is_checked_again():
    with pytest.raises(InvalidValue) as caught:
        attrs.evolve(track(), time=0)
    assert caught.value.path == "time"


# The caller's properties


def test_row_81_r86_what_the_caller_changes_later_does_not_matter():
    properties = {"cart": [{"price": 1}]}
    made = track(properties=properties)
    properties["cart"][0]["price"] = 2
    properties["mp_lib"] = "other"
    assert made == track(properties={"cart": [{"price": 1}]})
    assert content(made)["properties"]["cart"] == [{"price": 1}]
    assert properties == {"cart": [{"price": 2}], "mp_lib": "other"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"plan": "pro"}, {"mp_lib": "other"}),
        ({"mp_lib": "other"}, {"plan": "pro"}),
        ({"mp_lib": "other", "cart": [1]}, {}),
        ({"cart": [{"a": 1}]}, {"cart": [], "$lib_version": "9"}),
    ],
    ids=["gets a library", "loses its library", "loses all", "changes inside"],
)
def test_row_81_properties_that_change_at_any_moment_leave_a_sound_event(before, after):
    for moment in itertools.count():
        ticks, properties = itertools.count(), copy.deepcopy(before)

        def tick(*_, ticks=ticks, moment=moment, properties=properties):
            if next(ticks) == moment:
                properties.clear()
                properties.update(after)

        sys.setprofile(tick)
        try:
            made = track(properties=properties)
        finally:
            sys.setprofile(None)
        found = content(made)["properties"]
        assert ("mp_lib" in made.properties) or ("$lib_version" in made.properties) or found.get("mp_lib") == "mixwire"
        if next(ticks) <= moment:
            break
    assert moment > 3


@pytest.mark.parametrize("after", [{}, {"plan": "pro"}], ids=["empty", "other"])
def test_row_81_an_event_never_ends_up_without_any_id(after):
    for moment in itertools.count():
        ticks, properties = itertools.count(), {"$user_id": "user-1"}

        def tick(*_, ticks=ticks, moment=moment, properties=properties):
            if next(ticks) == moment:
                properties.clear()
                properties.update(after)

        sys.setprofile(tick)
        try:
            made = track(distinct_id=None, properties=properties)
        except InvalidValue as fault:
            made = fault
        finally:
            sys.setprofile(None)
        if isinstance(made, InvalidValue):
            assert made.path == "distinct_id"
        else:
            assert "$user_id" in made.properties
        if next(ticks) <= moment:
            break
    assert moment > 3


# Secrets


def test_row_90_no_property_is_in_the_repr_of_an_event():
    made = track(properties={"plan": CANARY, "cart": [{"note": CANARY}]})
    assert CANARY not in f"{made!r} {made!s} {made}"
    assert repr(made) == (
        f"Track(event='Signed Up', distinct_id='***', properties=Properties('plan', 'cart'), "
        f"time={TIME}, insert_id='{ID}')"
    )


LEAKS = {
    "event": lambda: {"event": CANARY + "\ud800"},
    "event with $": lambda: {"event": f"${CANARY}\ud800"},
    "distinct_id": lambda: {"distinct_id": CANARY + "\ud800"},
    "long distinct_id": lambda: {"distinct_id": CANARY * 100},
    "insert_id": lambda: {"insert_id": CANARY + "_"},
    "time": lambda: {"time": CANARY},
    "property": lambda: {"properties": {"a": [CANARY, object()]}},
    "token": lambda: {"properties": {"token": CANARY}},
}
each_leak = pytest.mark.parametrize("leak", LEAKS.values(), ids=list(LEAKS))


@each_leak
def test_row_89_row_90_what_was_refused_is_in_no_sentence_and_no_traceback(leak):
    fault = refusal(**leak())
    told = [*traceback.format_exception(fault), repr(fault), str(fault.__context__), str(fault.__cause__)]
    assert CANARY not in "".join(told)


@each_leak
def test_row_90_what_was_refused_is_not_kept_by_the_exceptions_before(leak):
    fault = refusal(**leak())
    while fault is not None:
        assert CANARY not in repr(fault)
        fault = fault.__cause__ or fault.__context__


def test_the_json_of_an_event_is_read_by_any_reader():
    made = track(event="\x7f\u2028\U0001f600", distinct_id="\x00\x1f\\", properties={"\u202e": "\ufeff"})
    tree = orjson.loads(made.head + made.properties.json[1:-1] + b"}}")
    assert tree == content(made)
    assert tree["properties"]["distinct_id"] == "\x00\x1f\\"


@pytest.mark.parametrize("value", [None, 5, ["u"]], ids=["None", "a number", "a list"])
def test_an_event_without_distinct_id_needs_a_user_or_a_device_that_is_text(value):
    with pytest.raises(InvalidValue, match="distinct_id must be given"):
        Track("Opened", properties={"$user_id": value})


def test_a_subclass_is_made_as_one_and_is_as_immutable() -> None:
    class Special(Track):
        __slots__ = ()

    special = Special("Signed Up", distinct_id="user-1")
    assert type(special) is Special
    assert (special.event, special.distinct_id) == ("Signed Up", "user-1")
    with pytest.raises(FrozenInstanceError):
        special.event = "Another"  # type: ignore[misc]
