"""
Classes on top of Python's own, of which programs are full: the front door takes what they hold.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, Final

import pytest

from mixwire import Mixpanel
from mixwire.core import InvalidValue, LimitExceeded
from mixwire.kinds import held, plain
from mixwire.testing import MemoryTransport


class Name(enum.StrEnum):
    SIGNED_UP = "Signed Up"


class OldName(str, enum.Enum):  # noqa: UP042  # as it was written before StrEnum
    SIGNED_UP = "Signed Up"


class Safe(str):
    """
    Text that a framework has marked, which says something else of itself.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"

    def __len__(self) -> int:
        return 0


class Real(float):
    """
    A float of a library of numbers.
    """


class Long(int):
    """
    An integer of a database.
    """

    def __str__(self) -> str:
        return "something else"


class Moment(datetime):
    """
    A datetime of a library of times, or of one that freezes them.
    """


class Day(date):
    """
    A date of such a library.
    """


class NotATime(datetime):
    """
    What stands for no time at all in tables of data, and is equal to nothing.
    """

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = datetime.__hash__


class Unequal(datetime):
    """
    A datetime that does not even say so.
    """

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = datetime.__hash__


class Point(namedtuple("Point", "x y")):  # noqa: PYI024  # without types, as many are
    __slots__ = ()


class Table(dict[str, Any]):
    """
    A dict of a framework.
    """

    def items(self) -> Any:
        return [("something", "else")]


class Row(list[Any]):
    """
    A list of a framework.
    """

    def __iter__(self) -> Any:
        return iter(["something else"])


UUID4: Final = "4f1d8b6e-3c52-4a0d-9b7e-2f6c1a9d0e35"


def sent(call: Callable[[Mixpanel], object]) -> dict[str, Any]:
    """
    The one message that is sent.
    """
    memory = MemoryTransport()
    call(Mixpanel("T0", transport=memory))
    (message,) = memory.messages
    return message.to_wire()


@pytest.mark.parametrize("name", [Name.SIGNED_UP, OldName.SIGNED_UP, Safe("Signed Up")], ids=["new", "old", "marked"])
def test_the_name_of_an_event_may_be_text_of_another_class(name: str) -> None:
    assert sent(lambda mp: mp.track("user-1", name))["event"] == "Signed Up"
    assert sent(lambda mp: mp.import_data(None, "user-1", name, 1767225600))["event"] == "Signed Up"


IDS: Final[tuple[tuple[Any, str], ...]] = (
    (Safe("user-1"), "user-1"),
    (OldName.SIGNED_UP, "Signed Up"),
    (Long(42), "42"),
)


@pytest.mark.parametrize(("given", "written"), IDS, ids=["text", "enum", "int"])
def test_an_id_may_be_text_or_an_int_of_another_class(given: Any, written: str) -> None:
    assert sent(lambda mp: mp.track(given, "Opened"))["properties"]["distinct_id"] == written
    assert sent(lambda mp: mp.track("", "Opened", {"distinct_id": given}))["properties"]["distinct_id"] == written
    assert sent(lambda mp: mp.people_set(given, {"a": 1}))["$distinct_id"] == written
    assert sent(lambda mp: mp.people_track_charge(given, 5))["$distinct_id"] == written
    assert sent(lambda mp: mp.people_update({"$distinct_id": given, "$set": {"a": 1}}))["$distinct_id"] == written
    assert sent(lambda mp: mp.alias(given, "device-1"))["properties"]["alias"] == written
    assert sent(lambda mp: mp.alias("user-9", given))["properties"]["distinct_id"] == written
    assert sent(lambda mp: mp.merge(None, given, "user-9"))["properties"]["$distinct_ids"] == [written, "user-9"]
    assert sent(lambda mp: mp.merge(None, "user-9", given))["properties"]["$distinct_ids"] == ["user-9", written]
    assert sent(lambda mp: mp.identify(given, UUID4))["properties"]["$identified_id"] == written
    assert sent(lambda mp: mp.group_set("Company", given, {"a": 1}))["$group_id"] == written


def test_what_else_is_text_may_be_of_another_class() -> None:
    assert sent(lambda mp: mp.identify("user-1", Safe(UUID4)))["properties"]["$anon_id"] == UUID4
    assert sent(lambda mp: mp.group_set(Safe("Company"), "acme", {"a": 1}))["$group_key"] == "Company"
    assert sent(lambda mp: mp.track("user-1", "Opened", {"$insert_id": Safe("a1")}))["properties"]["$insert_id"] == "a1"
    memory = MemoryTransport()
    Mixpanel(Safe("T0"), transport=memory).track("user-1", "Opened")
    assert b'"token":"T0"' in memory.messages[0].body


@pytest.mark.parametrize("name", [OldName.SIGNED_UP, Safe("Signed Up")], ids=lambda each: type(each).__name__)
def test_the_name_of_a_property_may_be_text_of_another_class(name: str) -> None:
    inside = {name: {name: 1}}
    as_it_is = {"Signed Up": {"Signed Up": 1}}
    assert sent(lambda mp: mp.track("user-1", "Opened", inside))["properties"].items() >= as_it_is.items()
    assert sent(lambda mp: mp.people_set("user-1", inside))["$set"] == as_it_is
    assert sent(lambda mp: mp.with_properties(inside).track("u1", "E"))["properties"].items() >= as_it_is.items()
    assert sent(lambda mp: mp.track("user-1", "Opened", {}, inside)).items() >= as_it_is.items()


VALUES: Final[tuple[tuple[Any, object], ...]] = (
    (Safe("a"), "a"),
    (Real(0.5), 0.5),
    (Long(3), 3),
    (Moment(2026, 1, 1, 12, 30, tzinfo=UTC), "2026-01-01T12:30:00"),
    (Day(2026, 1, 1), "2026-01-01"),
    (Point(1, Safe("b")), [1, "b"]),
    (Table(a=Table(b=1)), {"a": {"b": 1}}),
    (Row([1, Row([2])]), [1, [2]]),
    ([{"a": Safe("b")}, Name.SIGNED_UP, None, True], [{"a": "b"}, "Signed Up", None, True]),
    (OrderedDict(a=Safe("b")), {"a": "b"}),
)


@pytest.mark.parametrize(("value", "written"), VALUES, ids=lambda each: type(each).__name__)
def test_a_value_may_be_of_another_class(value: Any, written: object) -> None:
    assert sent(lambda mp: mp.track("user-1", "Opened", {"value": value}))["properties"]["value"] == written
    assert sent(lambda mp: mp.people_set("user-1", {"value": value}))["$set"]["value"] == written
    assert sent(lambda mp: mp.people_append("user-1", {"value": value}))["$append"]["value"] == written
    assert sent(lambda mp: mp.group_set("Company", "acme", {"value": value}))["$set"]["value"] == written
    charge = sent(lambda mp: mp.people_track_charge("user-1", 5, {"value": value}))
    assert charge["$append"]["$transactions"]["value"] == written


def test_a_time_and_an_amount_may_be_of_another_class() -> None:
    moment = Moment(2026, 1, 1, tzinfo=UTC)
    assert sent(lambda mp: mp.import_data(None, "u1", "Opened", moment))["properties"]["time"] == 1767225600000
    assert sent(lambda mp: mp.import_data(None, "u1", "Opened", Long(1767225600)))["properties"]["time"] == 1767225600
    assert sent(lambda mp: mp.track("u1", "Opened", {"time": moment}))["properties"]["time"] == 1767225600000
    assert sent(lambda mp: mp.people_set("u1", {"a": 1}, {"$time": moment}))["$time"] == 1767225600
    charge = sent(lambda mp: mp.people_track_charge("u1", Real(49.5), {"$time": moment}))
    assert charge["$append"]["$transactions"] == {"$time": "2026-01-01T00:00:00", "$amount": 49.5}
    assert sent(lambda mp: mp.people_increment("u1", {"credits": Long(2)}))["$add"] == {"credits": 2}


@pytest.mark.parametrize("kind", [NotATime, Unequal])
def test_what_only_looks_like_a_time_is_refused(kind: type[datetime]) -> None:
    with pytest.raises(InvalidValue, match=r"^properties\['at'\] must be a str, .*, not .*\." + kind.__name__):
        sent(lambda mp: mp.track("user-1", "Opened", {"at": kind(1, 1, 1)}))


def test_what_goes_round_is_told_with_its_path() -> None:
    table = Table(a=1)
    table["self"] = [table]
    with pytest.raises(InvalidValue, match=r"^properties\['table'\] must be "):
        sent(lambda mp: mp.track("user-1", "Opened", {"table": table}))
    assert plain(table) is table


def test_what_is_too_deep_is_told_with_its_path() -> None:
    deep: Any = [Safe("a")]
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(LimitExceeded, match=r"^properties\['deep'\].* must be at most "):
        sent(lambda mp: mp.people_set("user-1", {"deep": deep}))
    assert plain(deep) is deep


def test_what_holds_more_than_a_message_could_is_not_copied() -> None:
    many = [Safe("a")] * 1_000
    assert plain([many] * 900) == [["a"] * 1_000] * 900
    too_many = [many] * 1_100
    assert plain(too_many) is too_many


@pytest.mark.parametrize("value", [b"bytes", {Safe("a")}, object, None, True, "text", 5, 0.5, Name])
def test_anything_else_stays_as_it_is(value: object) -> None:
    assert held(value) is value
    assert plain(value) is value


def test_nothing_of_the_callers_is_changed() -> None:
    inner = Table(a=Safe("b"))
    given = {"outer": [inner]}
    sent(lambda mp: mp.track("user-1", "Opened", given))
    assert given["outer"][0] is inner
    assert type(dict.__getitem__(inner, "a")) is Safe
