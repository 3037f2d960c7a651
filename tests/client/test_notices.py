"""
What an operator hears of messages that the server would change without a word.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

import pytest
from attrs import frozen

from mixwire.core import Message, PeopleOp, Project, RawPeopleOp, Set, Track, encode
from mixwire.core.shapes import EVENT
from mixwire.core.values import freeze
from mixwire.notices import Notices
from mixwire.transports.reports import Reporter

PROJECT: Final = Project("a-token-of-mine")


def notices() -> Notices:
    return Notices(Reporter())


def event(properties: Mapping[str, object], name: str = "Opened") -> Message:
    return encode(Track(name, distinct_id="user-1", properties=properties, time=1767225600, insert_id="1"), PROJECT)


# What is told.


@pytest.mark.parametrize(
    ("message", "effect", "path"),
    [
        (event({"note": "x" * 256}), "truncated", "properties['note']"),
        (event({}, "x" * 256), "truncated", "event"),
        (event({" note": 1}), "trimmed", "properties[' note']"),
        (event({"$ignore": True}), "dropped", "properties['$ignore']"),
        (event({"$import": True}), "overwritten", "properties['$import']"),
        (event({"$note": 1}), "undocumented", "properties['$note']"),
        (
            encode(PeopleOp("user-1", Set({"note": "x" * 256})), PROJECT),
            "truncated",
            "$set['note']",
        ),
        (encode(RawPeopleOp("user-1", {"$unset": ["$note"]}), PROJECT), "undocumented", "$unset['$note']"),
    ],
    ids=["value", "event", "space", "ignored", "overwritten", "unknown", "update", "names"],
)
def test_a_finding_is_told_with_its_path(
    message: Message, effect: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    notices().look_at(message)
    (line,) = caplog.messages
    before, _, after = line.partition(path)
    assert effect in before
    assert after
    assert [(record.name, record.levelname) for record in caplog.records] == [("mixwire", "WARNING")]


def test_each_kind_of_finding_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    told = Notices(Reporter(now=lambda: now))
    for _ in range(3):
        told.look_at(event({"note": "x" * 256}))
    told.look_at(event({"$note": 1}))
    assert len(caplog.messages) == 2
    now = 61.0
    told.look_at(event({"other": "x" * 256}))
    assert len(caplog.messages) == 3
    assert caplog.messages[-1].endswith("(2 times more since it was last told)")


def test_findings_of_several_kinds_in_one_message_are_told_each(caplog: pytest.LogCaptureFixture) -> None:
    notices().look_at(event({"note": "x" * 256, "other": "x" * 256, "$note": 1, " n": 1}))
    assert len(caplog.messages) == 3


def test_a_message_without_findings_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    notices().look_at(event({"plan": "pro", "list": [1, {"a": "b"}]}))
    assert caplog.messages == []


def test_no_value_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told = notices()
    told.look_at(event({"note": "canary" * 50, "$note": "canary", "list": ["canary" * 50]}, "canary" * 50))
    assert caplog.messages
    assert "canary" not in caplog.text
    assert "user-1" not in caplog.text
    assert PROJECT.token not in caplog.text


# What need not be searched.


def is_plain(told: Notices, properties: Mapping[str, object], name: str = "Opened") -> bool:
    track = Track(name, distinct_id="user-1", properties=properties, time=1767225600, insert_id="1")
    return told.is_plain(track, properties)


@frozen
class Line:
    """
    A value with one field.
    """

    a: Any


SEARCHED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "a reserved event": ("$opened", {}),
    "an event of Mixpanel's": ("mp_opened", {}),
    "a long event": ("x" * 256, {}),
    "a reserved name": ("Opened", {"$note": 1}),
    "a name of Mixpanel's": ("Opened", {"mp_note": 1}),
    "an empty name": ("Opened", {"": 1}),
    "a name with space before": ("Opened", {" note": 1}),
    "a name with space after": ("Opened", {"note\n": 1}),
    "a long name": ("Opened", {"x" * 256: 1}),
    "a name after others": ("Opened", {"a": 1, "b": "x", "c": None, "$note": 1}),
    "a long text": ("Opened", {"note": "x" * 256}),
    "a long text of few characters": ("Opened", {"note": "\U0001f600" * 64}),
    "a long text in a list": ("Opened", {"note": ["x", "x" * 256]}),
    "a long text in an object": ("Opened", {"note": {"a": {"b": "x" * 256}}}),
    "a long text in a tuple": ("Opened", {"note": ("x" * 256,)}),
    "a long text in a set": ("Opened", {"note": {"x" * 256}}),
    "a long text with quotes in it": ("Opened", {"note": 'x"' * 128}),
    "a long text of backslashes": ("Opened", {"note": "\\" * 256}),
    "a long text after others": ("Opened", {"a": 1, "b": [1], "note": "x" * 256}),
    "a long list": ("Opened", {"note": ["x" * 60] * 200}),
    "objects in objects in a list": ("Opened", {"note": [{"a": {}}]}),
    "lists in objects in a list": ("Opened", {"note": [1, {"a": [1]}]}),
    "lists in a value of a class in a list": ("Opened", {"note": [Line([1])]}),
    "lists in a value of a class in a set": ("Opened", {"note": {Line((1,))}}),
    "all of it in a large event": ("Opened", {**{f"a{index}": "x" for index in range(200)}, "note": [1, {"a": [1]}]}),
}


@pytest.mark.parametrize(("name", "properties"), SEARCHED.values(), ids=SEARCHED)
def test_what_has_findings_is_not_plain_however_often_it_comes(name: str, properties: dict[str, Any]) -> None:
    assert event(properties, name).findings()
    told = notices()
    assert [is_plain(told, properties, name) for _ in range(2)] == [False, False]


PLAIN: Final[dict[str, Mapping[str, object]]] = {
    "nothing": {},
    "scalars": {"plan": "pro", "n": 1, "f": 1.5, "b": True, "none": None},
    "as long as may be": {"x" * 255: "x" * 63},
    "four bytes each": {"note": "\U0001f600" * 63},
    "many": {f"name-{index}": "x" * 60 for index in range(90)},
    "short texts with quotes, many": {f"name-{index}": 'x"' * 10 for index in range(90)},
    "objects in a list": {"cart": [{"sku": "a", "price": 1.5}, {"sku": "b"}], "tags": ["a", "b"], "at": {"x": [1]}},
    "lists in a list": {"note": [[1, "x"], ({"a": [1]},)]},
    "another mapping": freeze({"plan": "pro"}, EVENT),
}


@pytest.mark.parametrize("properties", PLAIN.values(), ids=PLAIN)
def test_ordinary_events_are_plain_however_often_they_come(properties: Mapping[str, object]) -> None:
    told = notices()
    assert [is_plain(told, properties) for _ in range(2)] == [True, True]


NAMES: Final = ("plan", "$name", "$note", "mp_lib", " a", "", "x" * 255, "x" * 256, "$ignore", "$import")
SCALARS: Final = (1, 1.5, True, None, "x" * 63, "x" * 64, "x" * 256, "\U0001f600" * 63, "\U0001f600" * 64)
NESTED: Final = (
    [],
    {},
    {"a": 1},
    [{"a": 1}],
    [{"a": [1]}],
    [{"a": {"b": 1}}],
    [[{"a": [1]}]],
    {"a": [{"b": [1]}]},
    {"a": {"b": [1, {"c": 1}]}},
    ([{"a": (1,)}],),
    {frozenset({1})},
    Decimal(5),
    date(2026, 1, 1),
    ["x" * 100] * 79,
    ["x" * 100] * 80,
    {"a": "x" * 63, "b": ["x" * 64] * 200},
    "[{",
    ",{",
)
VALUES: Final = (*SCALARS, *NESTED, *([each] for each in SCALARS), *({"a": each} for each in SCALARS))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("others", [0, 100], ids=["alone", "among others"])
def test_whatever_is_plain_has_no_findings(name: str, others: int) -> None:
    for value in VALUES:
        properties = {**{f"name-{index}": index for index in range(others)}, name: value}
        if is_plain(notices(), properties):
            assert event(properties).findings() == ()


@pytest.mark.parametrize("name", ["Opened", "x" * 255, "x" * 256, "$opened", "mp_opened", " Opened"])
def test_an_event_whose_name_is_plain_has_no_findings(name: str) -> None:
    if is_plain(notices(), {}, name):
        assert event({}, name).findings() == ()


def test_a_flood_of_names_takes_no_memory_without_end() -> None:
    told = notices()
    for index in range(5_000):
        assert is_plain(told, {f"name-{index}": 1}, f"event-{index}")
    before = sys.getsizeof(told._plain)
    for index in range(5_000, 15_000):
        assert is_plain(told, {f"name-{index}": 1}, f"event-{index}")
    assert sys.getsizeof(told._plain) == before
    assert len(told._plain) <= 4096
    # What found no room is judged all the same.
    assert not is_plain(told, {"$note": 1})
    assert is_plain(told, {"note": 1}, "Opened again")
