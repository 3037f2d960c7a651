import copy
import dataclasses
import itertools
import math
import sys
import threading
import traceback
import tracemalloc
from collections import Counter, OrderedDict, defaultdict
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePath
from uuid import UUID

import attrs
import orjson
import pytest

from mixwire.core.errors import InvalidValue, LimitExceeded
from mixwire.core.limits import (
    EVENT_BYTES,
    LIST_ELEMENTS,
    NESTING,
    OBJECT_DEPTH,
    OBJECT_KEYS,
    PROFILE_PROPERTIES,
    UPDATE_BYTES,
)
from mixwire.core.project import ServiceAccount
from mixwire.core.properties import Properties
from mixwire.core.shapes import CHARGE, EVENT, PROFILE, RAW
from mixwire.core.values import freeze, number, snapshot

ANYTHING = (
    "a str, int, float, bool, None, list, tuple, set, dict, datetime, date, Decimal, UUID, Enum, "
    "attrs or dataclass value"
)
CANARY = f"canary-{6 * 7}"  # in no line of source, so in no traceback by itself
TOKYO = timezone(timedelta(hours=9))
EACH_SHAPE = pytest.mark.parametrize("shape", [EVENT, PROFILE, CHARGE, RAW], ids="event profile charge raw".split())


class Plan(Enum):
    PRO = "pro"
    CART = ("a", 1)


class Level(IntEnum):
    HIGH = 3


class Color(StrEnum):
    RED = "red"


class Right(Flag):
    READ = 1
    WRITE = 2


class Text(str):
    __slots__ = ()


@attrs.define
class Item:
    name: str
    price: object = 1


@attrs.frozen
class Order:
    item: Item
    _count: int = 2


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


def refuse(*_, **__):
    raise AssertionError("a caller's method was called")


METHODS = """
    __str__ __repr__ __format__ __bytes__ __iter__ __next__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __len__ __bool__
    __contains__ __getitem__ __getattr__ __int__ __float__ __index__ __round__ __neg__ __add__ __sub__ __copy__
    __deepcopy__ __reduce__ __reduce_ex__ __getstate__ __call__ __enter__ __fspath__ __json__ keys items values get copy
    encode strip lower isoformat astimezone utcoffset is_finite as_tuple adjusted hex
""".split()


def hostile(base, *args):
    """A value of a subclass whose every method fails the test."""
    return type("Hostile", (base,), dict.fromkeys(METHODS, refuse) | {"__module__": __name__})(*args)


def refusal(properties, shape=EVENT):
    with pytest.raises(InvalidValue) as caught:
        freeze(properties, shape)
    return caught.value


def nested_lists(levels):
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


def nested_dicts(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def numbered(count):
    return {f"p{index}": index for index in range(count)}


def chain(fault):
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


# What is kept


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("pro", b'"pro"'),
        ("", b'""'),
        (True, b"true"),
        (False, b"false"),
        (None, b"null"),
        (3, b"3"),
        (-(2**63), b"-9223372036854775808"),
        (2**64 - 1, b"18446744073709551615"),
        (1.5, b"1.5"),
        (1e300, orjson.dumps(1e300)),
        ([], b"[]"),
        ([1, ["a"]], b'[1,["a"]]'),
        ((1, (2,)), b"[1,[2]]"),
        ({3, 1, 2}, b"[1,2,3]"),
        ({"b", "a", 1, None}, b'["a","b",1,null]'),
        (frozenset({10, 9}), b"[10,9]"),
        (set(), b"[]"),
        ({}, b"{}"),
        ({"b": 1, "a": {"c": 2}}, b'{"b":1,"a":{"c":2}}'),
        (OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
        (defaultdict(list, a=[1]), b'{"a":[1]}'),
        (Counter("aab"), b'{"a":2,"b":1}'),
        (Properties(b'{"b":1,"a":[2]}'), b'{"b":1,"a":[2]}'),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), b'"2026-01-31T12:00:00"'),
        (datetime(2026, 1, 31, 12), b'"2026-01-31T12:00:00"'),  # noqa: DTZ001
        (datetime(2026, 1, 31, 12, 0, 0, 5), b'"2026-01-31T12:00:00.000005"'),  # noqa: DTZ001
        (Decimal("19.99"), b"19.99"),
        (Decimal("20.00"), b"20"),
        (Decimal(-7), b"-7"),
        (Decimal(2**64 - 1), b"18446744073709551615"),
        (Decimal("1E+20"), orjson.dumps(1e20)),
        (Decimal("1.5E-30"), b"1.5e-30"),
        (Decimal("0E+30"), b"0.0"),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Plan.PRO, b'"pro"'),
        (Plan.CART, b'["a",1]'),
        (Level.HIGH, b"3"),
        (Color.RED, b'"red"'),
        (Right.READ | Right.WRITE, b"3"),
        (Item("tea", Decimal("1.5")), b'{"name":"tea","price":1.5}'),
        (Order(Item("tea")), b'{"item":{"name":"tea","price":1},"_count":2}'),
        (Point(1, [Plan.PRO]), b'{"x":1,"y":["pro"]}'),
    ],
    ids="""
    str empty-str true false None int smallest-int largest-int float large-float empty-list list tuple set mixed-set
    frozenset empty-set empty-dict dict OrderedDict defaultdict Counter Properties datetime naive-datetime microseconds
    Decimal whole-Decimal negative-Decimal largest-Decimal Decimal-beyond-ints small-Decimal zero-Decimal UUID Enum
    Enum-of-a-tuple IntEnum StrEnum Flag attrs private-attrs-field dataclass
    """.split(),
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]], ids=["itself", "in-a-list"])
def test_a_value_is_sent_as_documented(value, sent, wrap):
    assert freeze({"p": wrap(value)}, RAW).json == b'{"p":%b}' % (sent if wrap(value) is value else b"[%b]" % sent)


def test_r81_an_aware_datetime_is_converted_to_utc():
    assert freeze({"at": datetime(2026, 1, 31, 21, tzinfo=TOKYO)}, EVENT)["at"] == "2026-01-31T12:00:00"


def test_r82_a_date_is_written_as_year_month_day():
    assert freeze({"on": date(2026, 1, 31)}, EVENT)["on"] == "2026-01-31"


def test_r83_null_and_the_empty_string_stay_two_values():
    assert freeze({"a": None, "b": ""}, EVENT).json == b'{"a":null,"b":""}'


def test_the_same_set_is_always_the_same_bytes():
    numbers = [8 * number for number in range(100)]
    assert freeze({"a": {*numbers}}, EVENT).json == freeze({"a": {*reversed(numbers)}}, EVENT).json


@pytest.mark.parametrize(
    "properties",
    [OrderedDict(a=1), defaultdict(int, a=1), Counter("a"), Properties(b'{"a":1}')],
    ids=lambda each: type(each).__name__,
)
def test_properties_may_be_any_documented_mapping(properties):
    assert freeze(properties, EVENT).json == b'{"a":1}'


def test_frozen_properties_of_the_same_shape_are_taken_as_they_are():
    properties = freeze({"a": [1]}, EVENT)
    assert freeze(properties, EVENT) is properties


def test_frozen_properties_of_another_shape_are_checked_again():
    properties = freeze({"token": 1, "a": [1]}, RAW)
    assert freeze(properties, PROFILE).json == properties.json
    assert refusal(properties).path == "properties['token']"


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ufeff", "\u202eabc\u2066", "\U0001f600", "\x7f", "\u2028", 'a"b\\c\r\n\t', "é"],
    ids="NUL BOM right-to-left four-bytes DEL line-separator escapes accent".split(),
)
def test_row_78_r14_unusual_text_is_kept_to_the_character(text):
    for properties in ({"a": text}, {text: 1}, {"a": [text]}, {"a": {text: text}}):
        frozen = freeze(properties, EVENT)
        assert frozen == properties
        assert frozen.json.decode("utf-8", "strict").isprintable() or not text.isprintable()
        assert not {*range(32)} & {*frozen.json}


@pytest.mark.parametrize("value", [2**53 + 1, 2**63, 2**64 - 1, -(2**53) - 1, -(2**63)], ids=str)
@pytest.mark.parametrize("wrap", [int, Decimal], ids=["int", "Decimal"])
def test_row_77_an_integer_of_at_most_64_bits_is_kept_to_the_digit(value, wrap):
    for properties in ({"a": wrap(value)}, {"a": [wrap(value)]}):
        assert str(value).encode() in freeze(properties, EVENT).json


def test_row_76_a_negative_zero_is_kept():
    for properties in ({"a": -0.0}, {"a": [-0.0]}):
        frozen = freeze(properties, EVENT)
        assert b"-0.0" in frozen.json
        assert frozen == properties


# What is refused


@pytest.mark.parametrize(
    ("value", "allowed", "found"),
    [
        (math.nan, "a finite number", "nan"),
        (math.inf, "a finite number", "inf"),
        (-math.inf, "a finite number", "-inf"),
        (float("1e400"), "a finite number", "inf"),
        (Decimal("NaN"), "a finite number", "Decimal(nan)"),
        (Decimal("-Infinity"), "a finite number", "Decimal(-infinity)"),
    ],
    ids="nan inf minus-inf 1e400 Decimal-nan Decimal-inf".split(),
)
def test_row_76_r12_a_number_that_is_not_finite_is_refused(value, allowed, found):
    for properties, path in (
        ({"a": value}, "properties['a']"),
        ({"cart": [1, 2, {"price": value}]}, "properties['cart'][2]['price']"),
        ({"at": Point(1, value)}, "properties['at'].y"),
    ):
        fault = refusal(properties)
        assert (fault.path, fault.allowed, fault.found) == (path, allowed, found)
        assert str(fault) == f"{path} must be {allowed}, not {found}"


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("0.1000000000000000055", 19),
        ("1E+400", 1),
        ("1E-400", 1),
        ("12345678901234567890.5", 21),
        ("1.00000000000000000001", 21),
        (str(2**64 + 1), 20),
    ],
    ids=["digits", "large", "small", "large with digits", "whole but for a little", "65 bits"],
)
def test_row_76_a_decimal_that_a_float_would_change_is_refused(value, digits):
    fault = refusal({"price": Decimal(value)})
    assert str(fault) == (
        "properties['price'] must be a Decimal of at most 15 digits, which a 64-bit float holds exactly "
        f"(round it, or send str(value)), not one of {digits} digits"
    )


@pytest.mark.parametrize(
    ("value", "bits"), [(2**64, 65), (-(2**63) - 1, 64), (10**5_000, 16_610)], ids=["above", "below", "far above"]
)
def test_row_77_an_integer_beyond_64_bits_is_refused(value, bits):
    for properties, path in (({"a": value}, "properties['a']"), ({"a": [value]}, "properties['a'][0]")):
        fault = refusal(properties)
        assert fault.path == path
        assert str(fault) == f"{path} must be an integer of at most 64 bits, not an int of {bits:,} bits"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00"], ids=["high", "low", "a pair of them"])
def test_row_78_r13_a_lone_surrogate_is_refused(text):
    for properties, path in (
        ({"a": text}, "properties['a']"),
        ({"a": ["", text]}, "properties['a'][1]"),
        ({"at": Point(text)}, "properties['at'].x"),
    ):
        fault = refusal(properties)
        assert fault.path == path
        assert str(fault) == f"{path} must be text that UTF-8 can hold, not a str with a lone surrogate"


@pytest.mark.parametrize(
    ("properties", "path"),
    [({"\ud800": 1}, "properties"), ({"a": [{"\ud800": 1}]}, "properties['a'][0]")],
    ids=["top", "nested"],
)
def test_row_78_r13_a_lone_surrogate_in_a_key_is_refused(properties, path):
    fault = refusal(properties)
    assert fault.path == path
    assert str(fault) == f"{path} must be a dict with keys that UTF-8 can hold, not one with a lone surrogate"


@pytest.mark.parametrize(
    ("key", "kind"),
    [(1, "int"), (None, "None"), (b"a", "bytes"), (("a",), "tuple"), (math.nan, "nan"), (Color.RED, "Color")],
    ids="int None bytes tuple nan StrEnum".split(),
)
def test_row_75_a_key_that_is_no_str_is_refused(key, kind):
    kind = f"{__name__}.Color" if kind == "Color" else kind
    for properties, path in (
        ({key: 1}, "properties"),
        ({key: [1]}, "properties"),
        ({"a": {key: 1}}, "properties['a']"),
        ({"a": OrderedDict({key: 1})}, "properties['a']"),
    ):
        fault = refusal(properties)
        assert fault.path == path
        assert str(fault) == f"{path} must be a dict with str keys, not one with a key of type {kind}"


@EACH_SHAPE
def test_row_75_keys_that_collide_as_text_are_refused(shape):
    for properties in ({1: "a", "1": "b"}, {"1": "b", 1: "a"}, {"a": {1: "a", "1": "b"}}):
        assert refusal(properties, shape).found == "one with a key of type int"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"a", "bytes"),
        (bytearray(), "bytearray"),
        (1j, "complex"),
        (object(), "object"),
        (object, "type"),
        (refuse, "function"),
        (range(3), "range"),
        (iter([1]), "list_iterator"),
        ({}.keys(), "dict_keys"),
        (timedelta(1), "datetime.timedelta"),
        (time_of_day(1), "datetime.time"),
        (Fraction(1, 2), "fractions.Fraction"),
        (PurePath("a"), None),
        (Item, "type"),
        (Text("a"), f"{__name__}.Text"),
        (ValueError("a"), "ValueError"),
    ],
    ids="""
    bytes bytearray complex object type function range iterator keys timedelta time Fraction path attrs-class
    str-subclass exception
    """.split(),
)
def test_a_value_of_any_other_type_is_refused_by_its_path(value, kind):
    kind = kind or f"{type(value).__module__}.{type(value).__qualname__}"
    for properties, path in (({"a": value}, "properties['a']"), ({"a": {"b": [0, value]}}, "properties['a']['b'][1]")):
        fault = refusal(properties)
        assert (fault.path, fault.allowed, fault.found) == (path, ANYTHING, kind)
        assert str(fault) == f"{path} must be {ANYTHING}, not {kind}"


@pytest.mark.parametrize(
    ("properties", "kind"),
    [(None, "None"), ([], "list"), ("a", "str"), ([("a", 1)], "list"), (1, "int"), (Item("a"), f"{__name__}.Item")],
    ids="None list str pairs int attrs".split(),
)
def test_r24_properties_that_are_no_dict_are_refused(properties, kind):
    fault = refusal(properties)
    assert fault.path == "properties"
    assert str(fault) == f"properties must be a dict with str keys, not {kind}"


def test_a_path_starts_where_the_caller_says():
    with pytest.raises(InvalidValue) as caught:
        freeze({"$set": {"a": math.nan}}, RAW, "update")
    assert str(caught.value) == "update['$set']['a'] must be a finite number, not nan"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Order(Item("tea", math.nan)), "properties['it'].item.price"),
        ([Point(0, {"z": math.nan})], "properties['it'][0].y['z']"),
        ({1, math.nan}, "properties['it'][...]"),
        (frozenset({(1, (math.nan,))}), "properties['it'][...]"),
        ({"n" * 61: math.nan}, f"properties['it']['{'n' * 59}…']"),
        ({"it's": math.nan}, """properties['it']["it's"]"""),
    ],
    ids=["attrs", "dataclass", "set", "tuple in a set", "long name", "quotes"],
)
def test_a_path_is_the_expression_a_caller_would_write(value, path):
    fault = refusal({"it": value})
    assert (fault.path, fault.found) == (path, "nan")


@pytest.mark.parametrize(
    "value",
    [
        datetime(1, 1, 1, tzinfo=TOKYO),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-9))),
    ],
    ids=["before", "after"],
)
def test_a_datetime_outside_the_calendar_in_utc_is_refused(value):
    fault = refusal({"at": value})
    assert fault.path == "properties['at']"
    assert str(fault) == "properties['at'] must be a datetime between the years 1 and 9999 in UTC, not one outside"


@pytest.mark.parametrize("kind", [Item, Point], ids=["attrs", "dataclass"])
def test_a_value_without_some_of_its_fields_is_refused(kind):
    value = kind.__new__(kind)
    fault = refusal({"at": [value]})
    assert fault.path == "properties['at'][0]"
    found = f"a {__name__}.{kind.__name__} with others"
    assert str(fault) == f"properties['at'][0] must be a value with fields that can be read, not {found}"


# Limits


def test_row_79_r46_an_object_holds_254_keys_and_not_one_more():
    assert len(freeze({"a": numbered(254)}, EVENT)["a"]) == 254
    for properties, path in (({"a": numbered(255)}, "properties['a']"), ({"a": [numbered(255)]}, "properties['a'][0]")):
        fault = refusal(properties)
        assert type(fault) is LimitExceeded
        assert (fault.path, fault.limit, fault.measured) == (path, OBJECT_KEYS, 255)
        assert str(fault) == f"{path} must be at most 254 keys, not 255"


def test_row_79_r47_objects_may_nest_three_deep_and_not_four():
    assert freeze({"a": nested_dicts(3)}, EVENT) == {"a": nested_dicts(3)}
    for properties, path in (
        ({"a": nested_dicts(4)}, "properties['a']['a']['a']['a']"),
        ({"a": [{"a": [{"a": [{"a": [{}]}]}]}]}, "properties['a'][0]['a'][0]['a'][0]['a'][0]"),
        ({"a": Point(Point(Point(Point(1))))}, "properties['a'].x.x.x"),
    ):
        fault = refusal(properties)
        assert type(fault) is LimitExceeded
        assert (fault.path, fault.limit, fault.measured) == (path, OBJECT_DEPTH, 4)
        assert str(fault) == f"{path} must be at most 3 objects deep, not 4"


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset], ids=lambda kind: kind.__name__)
def test_row_79_r48_a_list_holds_254_elements_and_not_one_more(kind):
    assert len(freeze({"a": kind(range(254))}, EVENT)["a"]) == 254
    fault = refusal({"a": kind(range(255))})
    assert type(fault) is LimitExceeded
    assert (fault.path, fault.limit, fault.measured) == ("properties['a']", LIST_ELEMENTS, 255)
    assert str(fault) == "properties['a'] must be at most 254 elements, not 255"


def test_row_79_r45_an_event_holds_248_properties_beside_the_six_of_the_library():
    assert len(freeze(numbered(248), EVENT)) == 248
    assert str(refusal(numbered(249))) == "properties must be at most 254 properties, not 255"


def test_row_79_a_profile_holds_2000_properties_and_longer_lists():
    assert len(freeze(numbered(2_000) | {"p0": [1] * 1_000}, PROFILE)) == 2_000
    fault = refusal(numbered(2_001), PROFILE)
    assert (fault.path, fault.limit, fault.measured) == ("properties", PROFILE_PROPERTIES, 2_001)


@pytest.mark.parametrize("shape", [EVENT, RAW], ids=["event", "raw"])
@pytest.mark.parametrize(
    ("properties", "path"),
    [
        (lambda text: {"note": text}, "properties['note']"),
        (lambda text: {"a": 1, "cart": [{"note": text}]}, "properties['cart'][0]['note']"),
        (lambda text: {"a": Plan.PRO, "at": Point(text)}, "properties['at'].x"),
        (lambda text: {"a": {"b": {text: 1}}}, "properties['a']['b']"),
    ],
    ids=["flat", "nested", "dataclass", "key"],
)
def test_row_79_r44_ten_megabytes_of_text_are_refused_by_path_and_not_copied(shape, properties, path):
    text = "x" * 10_000_000
    tracemalloc.start()
    try:
        fault = refusal(properties(text), shape)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(fault) is LimitExceeded
    assert (fault.path, fault.limit) == (path, shape.size)
    assert "xxx" not in str(fault)
    assert len(str(fault)) < 200
    assert peak < 1_000_000


def test_r44_the_text_of_an_event_is_measured_as_a_whole():
    part = "x" * 3_938
    assert freeze({"a": [part] * 253}, EVENT)
    fault = refusal({"a": [part] * 254})
    assert (fault.path, fault.limit) == ("properties['a'][253]", EVENT_BYTES)
    assert str(fault) == "properties['a'][253] must be at most 999,999 bytes, not 1,000,253"


def test_r44_properties_of_just_as_many_bytes_as_an_event_pass_here():
    assert len(freeze({"a": "x" * 999_991}, EVENT).json) == EVENT_BYTES.maximum
    assert refusal({"a": "x" * 1_000_000}).limit is EVENT_BYTES


@pytest.mark.parametrize("more", [1, [1]], ids=["flat", "nested"])
def test_row_79_r44_ten_megabytes_in_a_name_are_refused(more):
    fault = refusal({"x" * 10_000_000: more})
    assert type(fault) is LimitExceeded
    assert fault.limit is EVENT_BYTES
    assert len(str(fault)) < 200


def test_row_79_a_large_string_in_a_set_is_over_the_limit_too():
    fault = refusal({"a": {"x" * 1_000_000}})
    assert fault.path == "properties['a'][...]"
    assert type(fault) is LimitExceeded
    assert fault.limit is EVENT_BYTES


def test_row_79_row_80_r44_a_small_value_that_unfolds_to_megabytes_is_refused_while_it_is_copied():
    value = [1]
    for _ in range(18):
        value = [value, value]
    fault = refusal({"a": value})
    assert type(fault) is LimitExceeded
    assert fault.limit is EVENT_BYTES


@pytest.mark.parametrize("shape", [PROFILE, RAW], ids=["profile", "raw"])
def test_row_80_lists_may_nest_32_deep_and_not_33(shape):
    assert freeze({"a": nested_lists(32)}, shape).json.count(b"[") == 32
    fault = refusal({"a": nested_lists(33)}, shape)
    assert type(fault) is LimitExceeded
    assert (fault.limit, fault.measured) == (NESTING, 33)
    assert str(fault) == f"properties['a']{'[0]' * 32} must be at most 32 levels deep, not 33"


@EACH_SHAPE
@pytest.mark.parametrize(
    "value",
    [
        lambda: nested_lists(20_000),
        lambda: nested_dicts(20_000),
        lambda: nested_deeply(lambda value: (value,)),
        lambda: nested_deeply(lambda value: frozenset({value})),
        lambda: nested_deeply(Point),
        lambda: nested_deeply(lambda value: [{"a": (Item("", value),)}]),
    ],
    ids="lists dicts tuples sets dataclasses mixed".split(),
)
def test_row_80_a_value_20000_deep_is_refused(shape, value):
    fault = refusal({"a": value()}, shape)
    assert fault.allowed in ("at most 32 levels deep", "at most 3 objects deep")
    assert fault.path.startswith("properties['a']")


def nested_deeply(wrap):
    value = 1
    # A frozenset asks its element for its hash when it is made, and that asks the next one.
    for _ in range(200 if isinstance(wrap(1), frozenset) else 20_000):
        value = wrap(value)
    return value


def test_row_80_enums_of_enums_are_refused_when_they_are_too_deep():
    value = 1
    for _ in range(3_000):
        value = Enum("Inner", {"A": value}).A
    assert refusal({"a": value}).path.startswith("properties['a']")


def test_row_80_row_82_an_enum_that_is_its_own_value_does_not_exhaust_the_stack():
    class Loop(Enum):
        A = 1

        @property
        def value(self):
            return self

    with suppress(InvalidValue):
        assert freeze({"a": Loop.A}, EVENT) == {"a": 1}


def cyclic_list():
    value = [1]
    value.append(value)
    return value, "[1]", "list"


def cyclic_dict():
    value = {}
    value["b"] = [value]
    return value, "['b'][0]", "dict"


def cyclic_tuple():
    value = ([],)
    value[0].append(value)
    return value, "[0][0]", "tuple"


def cyclic_attrs():
    value = Item("tea")
    value.price = [value]
    return value, ".price[0]", f"{__name__}.Item"


def cyclic_dataclass():
    value = Point(1)
    value.y = value
    return value, ".y", f"{__name__}.Point"


@pytest.mark.parametrize("shape", [EVENT, RAW], ids=["event", "raw"])
@pytest.mark.parametrize(
    "cycle",
    [cyclic_list, cyclic_dict, cyclic_tuple, cyclic_attrs, cyclic_dataclass],
    ids="list dict tuple attrs dataclass".split(),
)
def test_row_80_a_value_inside_itself_is_refused(shape, cycle):
    value, path, kind = cycle()
    fault = refusal({"a": value}, shape)
    assert fault.path == f"properties['a']{path}"
    assert str(fault) == f"{fault.path} must be a value that does not contain itself, not a {kind} inside itself"


def test_row_80_properties_inside_themselves_are_refused():
    properties = {}
    properties["cart"] = [properties]
    fault = refusal(properties)
    assert fault.path == "properties['cart'][0]"
    assert fault.found == "a dict inside itself"


def test_row_80_one_object_may_stand_in_several_places():
    shared = [1]
    point, inner, several = Point(shared), {"x": shared}, frozenset({1})
    value = {"a": [shared, shared, inner, inner], "b": inner, "c": [point, point], "d": [several, several]}
    assert freeze(value, EVENT) == {
        "a": [[1], [1], {"x": [1]}, {"x": [1]}],
        "b": {"x": [1]},
        "c": [{"x": [1], "y": None}] * 2,
        "d": [[1], [1]],
    }


# The caller's objects


def test_row_81_r86_what_the_caller_changes_later_does_not_matter():
    properties = {"a": 1, "cart": [{"price": 1}], "tags": {"x"}, "at": Point([1])}
    frozen = freeze(properties, EVENT)
    before = frozen.json
    properties["cart"][0]["price"] = 2
    properties["cart"].append(3)
    properties["tags"].add("y")
    properties["at"].x.append(2)
    properties.clear()
    assert frozen.json == before
    assert frozen == {"a": 1, "cart": [{"price": 1}], "tags": ["x"], "at": {"x": [1], "y": None}}


@pytest.mark.parametrize("bad", [None, math.nan], ids=["kept", "refused"])
def test_r86_the_callers_dict_is_never_changed(bad):
    properties = {"b": [1, {"c": (2,)}], "a": {"x": {3}}, "p": Decimal(1), "d": defaultdict(list), "z": bad}
    before, inside = copy.deepcopy(properties), [id(value) for value in properties.values()]
    if bad is None:
        freeze(properties, EVENT)
    else:
        refusal(properties)
    assert properties == before or bad is not None
    assert list(properties) == list(before)
    assert [id(value) for value in properties.values()] == inside
    assert not properties["d"]


def at_each_moment(start, make, mutate):
    """What *make* gives for a copy of *start* that is mutated at the first, second, third ... call or return in it."""
    for moment in itertools.count():
        ticks, value = itertools.count(), copy.deepcopy(start)

        def tick(*_, ticks=ticks, moment=moment, value=value):
            if next(ticks) == moment:
                mutate(value)

        sys.setprofile(tick)
        try:
            made = make(value)
        finally:
            sys.setprofile(None)
        yield made
        if next(ticks) <= moment:
            return


def grow(value):
    value["b"] = 2
    if "cart" in value:
        value["cart"][0]["more"] = 4
        value["cart"].insert(0, 3)
        value["tags"].add("z")
        value["inner"]["w"] = 5


def shrink(value):
    if "cart" in value:
        value["cart"][0].clear()
        value["cart"].clear()
        value["tags"].clear()
        value["inner"].clear()
    value.clear()


@pytest.mark.parametrize("mutate", [grow, shrink], ids=["grow", "shrink"])
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "nested"])
def test_row_81_a_dict_that_changes_at_any_moment_while_it_is_frozen_gives_sound_json(mutate, flat):
    def make(value):
        return freeze(value, EVENT)

    value = {"a": 1} if flat else {"a": 1, "cart": [{"price": 1}, [2]], "tags": {"x"}, "inner": {"y": 1}}
    results = list(at_each_moment(value, make, mutate))
    assert len(results) > 3
    for frozen in results:
        tree = orjson.loads(frozen.json)
        assert {*tree} <= {"a", "b", "cart", "tags", "inner"}
        assert orjson.dumps(tree) == frozen.json


def test_row_81_a_dict_that_another_thread_changes_never_breaks_freezing():
    value, stop, laps = {"a": 1, "cart": [1], "inner": {"x": 1}, "tags": {1}}, threading.Event(), []

    def change():
        for lap in itertools.count():
            if stop.is_set():
                laps.append(lap)
                return
            name = f"p{lap % 50}"
            value[name] = value["inner"][name] = lap
            value["cart"].append(lap)
            value["tags"].add(lap)
            if lap % 50 == 49:
                value["cart"].clear()
                value["tags"].clear()
                for index in range(50):
                    value.pop(f"p{index}", None)
                    value["inner"].pop(f"p{index}", None)

    writer, interval = threading.Thread(target=change), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    writer.start()
    try:
        frozen = [freeze(value, EVENT) for _ in range(500)] + [freeze({**value, "cart": 1}, PROFILE)]
    finally:
        stop.set()
        writer.join()
        sys.setswitchinterval(interval)
    assert laps[0] > 0
    for each in frozen:
        assert each["a"] == 1
        assert orjson.dumps(each.thaw()) == each.json


# Hostile objects


@pytest.mark.parametrize(
    ("base", "args"),
    [
        (object, ()),
        (str, ("a",)),
        (int, (1,)),
        (float, (1.5,)),
        (dict, ({"a": 1},)),
        (list, ([1],)),
        (tuple, ((1,),)),
        (set, ((1,),)),
        (frozenset, ((1,),)),
        (OrderedDict, ()),
        (defaultdict, ()),
        (Counter, ()),
        (datetime, (2026, 1, 1)),
        (date, (2026, 1, 1)),
        (Decimal, (1,)),
        (UUID, ("0" * 32,)),
        (Properties, (b"{}",)),
        (bytes, (b"a",)),
        (Exception, ("a",)),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_row_82_an_object_of_a_callers_class_is_refused_without_a_call(base, args):
    value = hostile(base, *args)
    for properties, path in (
        ({"a": value}, "properties['a']"),
        ({"a": [{"b": value}]}, "properties['a'][0]['b']"),
        ({"a": Point(value)}, "properties['a'].x"),
        (value, "properties"),
    ):
        fault = refusal(properties)
        assert fault.path == path
        assert fault.found == f"{__name__}.Hostile"
        assert str(fault) == f"{path} must be {fault.allowed}, not {__name__}.Hostile"


@pytest.mark.parametrize(
    "more",
    [{"__getattribute__": refuse}, {"__class__": property(refuse)}, {"__class__": Plan}],
    ids=["__getattribute__", "__class__", "__class__ that lies"],
)
def test_row_82_an_object_is_not_asked_for_its_class(more):
    value = type("Hostile", (), more)()
    for properties, path in (({"a": value}, "properties['a']"), ({"a": [value]}, "properties['a'][0]")):
        fault = refusal(properties)
        assert (fault.path, fault.allowed, fault.found) == (path, ANYTHING, f"{__name__}.Hostile")


class Armed(str):
    """Can be put into a dict or set once; after that, all its methods fail the test."""

    __slots__ = ("armed",)

    def __hash__(self):
        return refuse() if getattr(self, "armed", False) else 1

    def __eq__(self, other):
        return refuse() if getattr(self, "armed", False) else NotImplemented


@pytest.mark.parametrize("kind", [dict, OrderedDict, defaultdict, Counter], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("inside", [False, True], ids=["top", "nested"])
def test_row_82_a_key_of_a_callers_class_is_refused_without_a_call(kind, inside):
    key, owner = Armed("a"), kind()
    owner[key] = 1
    key.armed = True
    fault = refusal({"in": owner} if inside else owner)
    assert fault.path == ("properties['in']" if inside else "properties")
    assert fault.found == f"one with a key of type {__name__}.Armed"


def test_row_82_an_element_of_a_callers_class_is_refused_without_a_call():
    element = Armed("a")
    elements = {element}
    element.armed = True
    fault = refusal({"a": elements})
    assert (fault.path, fault.found) == ("properties['a'][...]", f"{__name__}.Armed")


def test_row_82_a_dict_subclass_that_lies_about_its_length_is_refused():
    liar = type("Liar", (dict,), {"__len__": lambda _: 0, "__bool__": lambda _: False, "__module__": __name__})
    fault = refusal(liar(a=1))
    assert fault.path == "properties"
    assert str(fault) == f"properties must be a dict with str keys, not {__name__}.Liar"


class Zone(tzinfo):
    def utcoffset(self, _):
        raise RuntimeError("no offset")


def test_row_82_a_datetime_with_a_timezone_that_raises_is_refused():
    fault = refusal({"at": datetime(2026, 1, 1, tzinfo=Zone())})
    assert fault.path == "properties['at']"


# Secrets


LEAKY = {
    "surrogate": lambda: {"a": CANARY + "\ud800"},
    "nested surrogate": lambda: {"a": [{"b": CANARY + "\ud800"}]},
    "key with a surrogate": lambda: {CANARY + "\ud800": 1},
    "beside": lambda: {"b": CANARY, "a": [CANARY, math.nan]},
    "in a set": lambda: {"a": {CANARY, math.nan}},
    "bytes": lambda: {"a": CANARY.encode()},
    "subclass": lambda: {"a": Text(CANARY)},
    "exception": lambda: {"a": ValueError(CANARY)},
    "attrs": lambda: {"a": Order(Item(CANARY, object()))},
    "unset": lambda: {"a": [CANARY], "b": Item.__new__(Item)},
    "cycle": lambda: {"b": CANARY} | {"a": cyclic_list()[0]},
    "misplaced": lambda: {"token": CANARY},
    "bytes key": lambda: {CANARY.encode(): CANARY},
    "too long": lambda: {"a": CANARY * 200_000},
    "too many": lambda: {"a": [CANARY] * 255},
    "instead of a dict": lambda: CANARY,
}
each_leak = pytest.mark.parametrize("leak", LEAKY.values(), ids=list(LEAKY))


@each_leak
def test_row_90_a_refused_value_is_in_no_sentence_and_no_traceback(leak):
    fault = refusal(leak())
    told = [*traceback.format_exception(fault), *map(str, chain(fault)), repr(fault), repr(vars(fault))]
    assert CANARY not in "".join(told)


@each_leak
def test_row_90_a_refused_value_is_not_kept_by_the_exceptions_before_it(leak):
    assert not [type(each) for each in chain(refusal(leak())) if CANARY in repr(each) or CANARY in repr(each.args)]


@pytest.mark.parametrize("value", [Decimal("NaN31337"), Decimal("-sNaN31337")], ids=["quiet", "signalling"])
def test_row_90_the_digits_that_a_nan_carries_are_not_repeated(value):
    fault = refusal({"a": value})
    assert fault.allowed == "a finite number"
    assert "31337" not in str(fault)


# Numbers


@pytest.mark.parametrize(
    ("value", "kept"),
    [(3, 3), (-1.5, -1.5), (Decimal("19.99"), 19.99), (Decimal("20.00"), 20), (2**64 - 1, 2**64 - 1)],
    ids="int float Decimal whole-Decimal largest".split(),
)
def test_a_number_is_an_int_or_a_float(value, kept):
    assert number(value, "amount") == kept
    assert type(number(value, "amount")) is type(kept)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("1", "amount must be a finite number (int, float or Decimal), not str"),
        (True, "amount must be a finite number (int, float or Decimal), not bool"),
        (None, "amount must be a finite number (int, float or Decimal), not None"),
        (Level.HIGH, f"amount must be a finite number (int, float or Decimal), not {__name__}.Level"),
        (math.nan, "amount must be a finite number, not nan"),
        (Decimal("Infinity"), "amount must be a finite number, not Decimal(infinity)"),
        (2**64, "amount must be an integer of at most 64 bits, not an int of 65 bits"),
    ],
    ids="str bool None IntEnum nan Decimal-inf 65-bits".split(),
)
def test_row_76_r127_what_is_no_finite_number_is_refused(value, sentence):
    with pytest.raises(InvalidValue) as caught:
        number(value, "amount")
    assert caught.value.path == "amount"
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("base", "args"),
    [(int, (1,)), (float, (1.5,)), (Decimal, (1,)), (object, ())],
    ids="int float Decimal object".split(),
)
def test_row_82_a_number_of_a_callers_class_is_refused_without_a_call(base, args):
    with pytest.raises(InvalidValue) as caught:
        number(hostile(base, *args), "amount")
    assert (caught.value.path, caught.value.found) == ("amount", f"{__name__}.Hostile")


def test_a_raw_update_is_measured_as_an_update():
    assert refusal({"$set": {"a": "x" * 1_000_000}}, RAW).limit is UPDATE_BYTES


def test_row_82_a_field_that_raises_is_refused():
    @dataclasses.dataclass
    class Broken:
        price: int

        def __getattribute__(self, name):
            return 1 // 0

    fault = refusal({"at": object.__new__(Broken)})
    assert (fault.path, fault.allowed) == ("properties['at']", "a value with fields that can be read")


def test_row_89_a_value_that_holds_a_secret_is_refused():
    account = ServiceAccount(username="user-1", secret="canary", project_id=1)
    fault = refusal({"account": account})
    assert fault.path == "properties['account']"
    assert fault.found == "mixwire.core.project.ServiceAccount, which holds a secret"


def test_an_ordered_dict_keeps_its_order():
    ordered = OrderedDict(a=1, b=2)
    ordered.move_to_end("a")
    assert freeze({"o": ordered}, EVENT).json == b'{"o":{"b":2,"a":1}}'


@pytest.mark.parametrize("kind", [dict, OrderedDict], ids=["fast", "careful"])
@pytest.mark.parametrize(("name", "names_library"), [("mp_lib", True), ("$lib_version", True), ("lib", False)])
def test_a_snapshot_tells_whether_the_properties_name_their_library(kind, name, names_library):
    assert snapshot(kind({name: "web"}), EVENT) == (b'{"%b":"web"}' % name.encode(), names_library)


@pytest.mark.parametrize("name", ["mp_lib", "plan"])
def test_a_snapshot_of_what_is_frozen_is_what_it_holds(name):
    frozen = freeze({name: "web"}, EVENT)
    assert snapshot(frozen, EVENT) == (frozen.json, name == "mp_lib")
    assert snapshot(frozen, EVENT)[0] is frozen.json
