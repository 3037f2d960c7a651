"""
What an operator hears of messages that the server would change without a word.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pytest

from mixwire.core import Message, PeopleOp, Project, RawPeopleOp, Set, Track, encode
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
    "a long text": ("Opened", {"note": "x" * 64}),
    "a long text of few characters": ("Opened", {"note": "\U0001f600" * 64}),
    "a list": ("Opened", {"note": []}),
    "an object": ("Opened", {"note": {}}),
    "a name after others": ("Opened", {"a": 1, "b": "x", "c": None, "$note": 1}),
}


@pytest.mark.parametrize(("name", "properties"), SEARCHED.values(), ids=SEARCHED)
def test_what_might_have_findings_is_not_plain_however_often_it_comes(name: str, properties: dict[str, Any]) -> None:
    told = notices()
    assert [told.is_plain(name, properties) for _ in range(2)] == [False, False]


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"plan": "pro", "n": 1, "f": 1.5, "b": True, "none": None},
        {"x" * 255: "x" * 63},
        {"note": "\U0001f600" * 63},
        MappingProxyType({"plan": "pro"}),
    ],
    ids=["nothing", "scalars", "as long as may be", "four bytes each", "another mapping"],
)
def test_plain_is_plain_however_often_it_comes(properties: Mapping[str, Any]) -> None:
    told = notices()
    assert [told.is_plain("Opened", properties) for _ in range(2)] == [True, True]


PIECES: Final = ("plan", "$name", "$note", "mp_lib", " a", "", "x" * 255, "x" * 256, "$ignore", "$import")
VALUES: Final = (1, 1.5, True, None, "x" * 63, "x" * 64, "x" * 256, "\U0001f600" * 63, "\U0001f600" * 64, [], {"a": 1})


@pytest.mark.parametrize(("name", "value"), list(itertools.product(PIECES, VALUES)))
def test_whatever_is_plain_has_no_findings(name: str, value: object) -> None:
    if notices().is_plain("Opened", {name: value}):
        assert event({name: value}).findings() == ()


@pytest.mark.parametrize("name", ["Opened", "x" * 255, "x" * 256, "$opened", "mp_opened", " Opened"])
def test_an_event_whose_name_is_plain_has_no_findings(name: str) -> None:
    if notices().is_plain(name, {}):
        assert event({}, name).findings() == ()


def test_a_flood_of_names_takes_no_memory_without_end() -> None:
    told = notices()
    for index in range(10_000):
        assert told.is_plain(f"event-{index}", {f"name-{index}": 1})
    before = sys.getsizeof(told._plain)
    for index in range(10_000, 30_000):
        assert told.is_plain(f"event-{index}", {f"name-{index}": 1})
    assert sys.getsizeof(told._plain) == before
    assert len(told._plain) <= 4096
    # What found no room is judged all the same.
    assert not told.is_plain("Opened", {"$note": 1})
    assert told.is_plain("Opened again", {"note": 1})
