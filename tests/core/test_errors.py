import copy
import pickle

import pytest

from mixwire.core import errors
from mixwire.core.errors import InvalidValue, LimitExceeded, MixwireError, NotStamped, describe
from mixwire.core.limits import EVENT_PROPERTIES

SENTENCES = [
    (MixwireError("said by a caller"), "said by a caller"),
    (
        InvalidValue("properties['cart'][2].price", "a finite number", "nan"),
        "properties['cart'][2].price must be a finite number, not nan",
    ),
    (
        LimitExceeded("properties", EVENT_PROPERTIES, 1_255),
        "properties must be at most 254 properties, not 1,255",
    ),
    (
        NotStamped("Track", "insert_id"),
        (
            "Track.insert_id must be set before encoding: pass it to Track(...), "
            "or use stamp(operation, time=..., insert_id=...)"
        ),
    ),
]
each = pytest.mark.parametrize("fault", [fault for fault, _ in SENTENCES], ids=lambda fault: type(fault).__name__)


class Outer:
    class Inner:
        def __str__(self) -> str:
            raise AssertionError("a caller's method was called")

        __repr__ = __str__


@pytest.mark.parametrize(("fault", "sentence"), SENTENCES, ids=[type(fault).__name__ for fault, _ in SENTENCES])
def test_each_exception_says_its_sentence(fault, sentence):
    assert str(fault) == sentence


def test_the_table_of_sentences_holds_every_exception_of_the_module():
    exceptions = {each for each in map(errors.__dict__.get, errors.__all__) if isinstance(each, type)}
    assert {type(fault) for fault, _ in SENTENCES} == exceptions


@each
def test_everything_raised_is_a_mixwire_error(fault):
    assert isinstance(fault, MixwireError)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(SENTENCES[1][0], True), (SENTENCES[2][0], True), (SENTENCES[3][0], False)],
    ids=["InvalidValue", "LimitExceeded", "NotStamped"],
)
def test_a_wrong_value_is_also_a_value_error(fault, expected):
    assert isinstance(fault, ValueError) is expected


@each
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda fault: pickle.loads(pickle.dumps(fault))], ids=["copy", "deep", "pickle"]
)
def test_an_exception_survives_a_copy_with_all_it_knows(fault, again):
    twin = again(fault)
    assert type(twin) is type(fault)
    assert (str(twin), twin.args, vars(twin)) == (str(fault), fault.args, vars(fault))


def test_an_exception_keeps_what_it_knows_in_fields():
    invalid = InvalidValue("time", "an int", "str")
    assert (invalid.path, invalid.allowed, invalid.found) == ("time", "an int", "str")
    exceeded = LimitExceeded("properties", EVENT_PROPERTIES, 300)
    assert (exceeded.path, exceeded.limit, exceeded.measured) == ("properties", EVENT_PROPERTIES, 300)
    assert (exceeded.allowed, exceeded.found) == ("at most 254 properties", "300")
    unstamped = NotStamped("Track", "time")
    assert (unstamped.operation, unstamped.field) == ("Track", "time")


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("", "properties"),
        ("['cart']", "properties['cart']"),
        (".price", "properties.price"),
        ("price", "properties.price"),
    ],
    ids=["the value itself", "an item", "an attribute", "a bare name"],
)
def test_a_fault_seen_from_further_out_has_a_longer_path(path, seen):
    fault = InvalidValue(path, "a finite number", "nan")
    outer = fault.under("properties")
    assert (outer.path, outer.allowed, outer.found) == (seen, "a finite number", "nan")
    assert fault.path == path


def test_an_exceeded_limit_seen_from_further_out_stays_one():
    outer = LimitExceeded("['cart']", EVENT_PROPERTIES, 300).under("properties")
    assert type(outer) is LimitExceeded
    assert (outer.path, outer.limit, outer.measured) == ("properties['cart']", EVENT_PROPERTIES, 300)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (1.5, "float"),
        (None, "None"),
        ("secret", "str"),
        ([1], "list"),
        (int, "type"),
        (Outer.Inner(), f"{__name__}.Outer.Inner"),
        (type("C" * 80, (), {"__module__": "builtins"})(), "C" * 80),
        (type("C" * 81, (), {"__module__": "builtins"})(), "C" * 79 + "…"),
    ],
    ids="nan inf minus-inf finite None str list class nested 80-characters 81-characters".split(),
)
def test_a_value_is_described_by_its_kind_and_never_by_what_it_holds(value, kind):
    assert describe(value) == kind


def test_row_82_a_module_name_that_is_no_str_is_not_asked_anything():
    def refuse(*_):
        raise AssertionError("a caller's method was called")

    name = type("Name", (), {"__eq__": refuse, "__ne__": refuse, "__str__": refuse, "__format__": refuse})()
    assert describe(type("Thing", (), {"__module__": name})()).endswith("Thing")
