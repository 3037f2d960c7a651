"""
The README as a front page, and the table of what differs on purpose: what has to stand there does, and its figures are
those of the code. That its blocks run and its rows are true is shown in `test_readme.py`.
"""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import mixwire
from mixwire import Mixpanel
from mixwire.core import (
    LIMITS,
    GroupOp,
    InvalidValue,
    Limit,
    MixwireError,
    PeopleOp,
    Refused,
    Track,
    operation_from_line,
)
from mixwire.core.answers import MAX_RETRY_AFTER_SECONDS
from mixwire.core.limits import (
    BATCH_BYTES,
    BATCH_BYTES_CEILING,
    BATCH_MESSAGES,
    FUTURE_SECONDS,
    LIVE_SECONDS,
    NESTING,
)
from mixwire.testing import MemoryTransport
from mixwire.transports import BufferedTransport, SyncTransport

ROOT: Final = Path(__file__).parent.parent.parent
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
MIGRATION: Final = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def section(heading: str, page: str = README) -> str:
    """
    What stands between a heading and the next one.
    """
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return str(found)


def code(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(text: str, head: str) -> list[list[str]]:
    """
    The cells of the rows below a head.
    """
    lines = iter(text.split(f"{head}\n")[1].splitlines()[1:])
    rows: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


TRANSPORTS: Final = table(README, "| where | `transport=` | what it does |")
PROMISES: Final = table(README, "| when | then |")
DIFFERENCES: Final = [
    row for page in MIGRATION.split("\n### ")[1:] for row in table(page, "| what | official client | here | why |")
]


def test_it_says_in_three_sentences_what_this_is() -> None:
    _title, what, _rest = README.split("\n\n", 2)
    assert len(re.findall(r"[.!?](?=\s|$)", what)) == 3


def test_there_are_two_commands_and_the_second_runs_the_tests() -> None:
    install, check = code("sh", section("Two commands"))
    assert code("sh", README) == [install, check]
    assert install.splitlines()[-1].endswith("/mixwire demo")
    assert check.splitlines()[-1].endswith("/pytest")


def test_a_first_event_takes_five_lines_and_typed_values_five_more() -> None:
    first, typed = code("python", section("A first event"))
    assert len([line for line in first.splitlines() if line]) <= 5
    assert len([line for line in typed.splitlines() if line]) <= 5
    assert ".track(" in first
    assert re.search(r"\.send\(Track\(", typed)


def test_the_sentence_about_a_mistake_is_the_one_that_is_raised() -> None:
    (sentence,) = re.findall(r"`(properties\['cart'\].*?)`", section("A first event"))
    mp = Mixpanel("YOUR_TOKEN", transport=MemoryTransport())
    with pytest.raises(InvalidValue) as refusal:
        mp.track("user-1", "Paid", {"cart": [1, 2, {"price": float("nan")}]})
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("place", ["script", "web server", "many processes", "lambda", "tests"])
def test_the_table_of_transports_says_which_one_is_for(place: str) -> None:
    (row,) = [cells for cells in TRANSPORTS if re.search(rf"\b{place}\b", cells[0])]
    assert len(row) == 3
    assert all(row)


NAMED: Final = [text for _, named, _ in TRANSPORTS for text in re.findall(r'"([a-z]+(?::[^"]+)?)"', named)]


@pytest.mark.parametrize("text", NAMED)
def test_each_transport_of_the_table_can_be_given_so(text: str) -> None:
    with Mixpanel("YOUR_TOKEN", transport=text, enabled=False) as mp:
        mp.track("user-1", "Signed Up")


def test_the_table_of_transports_names_them() -> None:
    assert {text.partition(":")[0] for text in NAMED} == {"sync", "buffered", "file", "memory"}


def default(of: Callable[..., object], name: str) -> Any:
    return inspect.signature(of).parameters[name].default


def test_the_figures_are_those_of_the_code() -> None:
    rows = "\n".join(" | ".join(cells) for cells in (*TRANSPORTS, *PROMISES))
    assert default(SyncTransport, "max_tries") == 5
    assert "tries at most five times" in rows
    assert default(SyncTransport, "deadline_seconds") == 30.0
    assert "within 30 seconds" in rows
    assert default(BufferedTransport, "max_messages") == BATCH_MESSAGES.maximum == 2_000
    assert "2,000 to a request" in rows
    assert default(BufferedTransport, "max_tries") is None
    assert "for as long as it takes" in rows
    assert MAX_RETRY_AFTER_SECONDS == 300
    assert "at most five minutes at a time" in rows
    assert (default(BufferedTransport, "exit_seconds"), default(BufferedTransport, "close_seconds")) == (2.0, 30.0)
    assert "two seconds, or 30 where it is closed (`with`)" in rows


def test_what_is_promised_stands_in_one_table() -> None:
    assert section("What is promised").count("\n|---") == 1
    assert all(len(cells) == 2 and all(cells) for cells in PROMISES)


@pytest.mark.parametrize(
    "trouble",
    [
        "value cannot be sent",
        "server is away",
        "answer is lost",
        "rate limit",
        "one record of a batch is bad",
        "too large",
        "memory is full",
        "process ends",
        "process is killed",
        "process forks",
    ],
)
def test_what_is_promised_is_said_for(trouble: str) -> None:
    assert len([when for when, _ in PROMISES if trouble in when]) == 1


def test_every_name_that_code_for_the_official_client_imports_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", section("Moving from the official client").partition("```")[0]))
    # Two are asked for by code that looks, not by code that sends, and the official client has no InvalidValue.
    assert named - {"InvalidValue"} == set(mixwire.__all__) - {"InvalidValue", "__version__", "logger"}


# What differs on purpose.


@pytest.mark.parametrize(
    ("what", "here"),
    [
        ("Decimal", "without loss"),
        ("a datetime with a timezone", "in UTC"),
        ("NaN", "refused"),
        ("body of a request", "gzip"),
        ("`time` of an event", "an integer"),
    ],
)
def test_a_difference_that_everybody_meets_is_told_with_its_reason(what: str, here: str) -> None:
    (row,) = [cells for cells in DIFFERENCES if cells[0].startswith(what)]
    assert here in row[2]
    assert row[3]


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda cells: cells[0])
def test_each_difference_is_told_with_its_reason(row: list[str]) -> None:
    assert len(row) == 4
    assert row[2]
    assert row[3]


def test_no_difference_is_told_twice() -> None:
    assert len({row[0] for row in DIFFERENCES}) == len(DIFFERENCES) > 40


Call = Callable[[Mixpanel], object]
REFUSED: Final[dict[str, Call]] = {
    "keys that are numbers": lambda mp: mp.track("user-1", "Paid", {"a": {1: 2}}),
    "more than 254 properties": lambda mp: mp.track("user-1", "Paid", {str(number): 1 for number in range(255)}),
    "keys of an object": lambda mp: mp.people_set("user-1", {"a": {str(number): 1 for number in range(255)}}),
    "elements of a list": lambda mp: mp.track("user-1", "Paid", {"a": [*range(255)]}),
    "2,000 properties in one update": lambda mp: mp.people_set("user-1", {str(number): 1 for number in range(2_001)}),
    "3 objects inside each other": lambda mp: mp.track("user-1", "Paid", {"a": {"a": {"a": {"a": {}}}}}),
    "999,999 bytes": lambda mp: mp.track("user-1", "Paid", {"a": "x" * 1_000_000}),
    "`distinct_id=None`": lambda mp: mp.track(None, "Paid"),  # type: ignore[arg-type]
    "an id over 255": lambda mp: mp.track("x" * 256, "Paid"),
    "`$insert_id` over 36": lambda mp: mp.track("user-1", "Paid", {"$insert_id": "a" * 37}),
    "others than A-Z a-z 0-9 and -": lambda mp: mp.track("user-1", "Paid", {"$insert_id": "a_1"}),
    "`time` before 1971": lambda mp: mp.import_data(None, "user-1", "Paid", 31_535_999),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_page_says_is_refused_is_refused_whatever_the_limits(what: str) -> None:
    (row,) = [row for row in DIFFERENCES if what in row[0]]
    assert row[1] in ("sent", "sent as null", "as text")
    assert row[2].startswith("refused")
    memory = MemoryTransport()
    with pytest.raises(InvalidValue):
        REFUSED[what](Mixpanel("YOUR_TOKEN", transport=memory, limits="off"))
    assert memory.messages == ()


def test_what_is_not_caught_where_only_the_exception_of_the_official_client_is() -> None:
    assert "let it catch `mixwire.core.MixwireError`: that is both, and `Refused` too" in MIGRATION
    for kind in (InvalidValue, Refused):
        assert not issubclass(kind, mixwire.MixpanelException)
    for kind in (InvalidValue, Refused, mixwire.MixpanelException):
        assert issubclass(kind, MixwireError)


def test_a_client_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match=r"^a Mixpanel cannot be sent to another process: make one in each$"):
        pickle.dumps(Mixpanel("YOUR_TOKEN", transport=MemoryTransport()))


# The page of operations.


def test_the_lines_of_the_page_are_operations() -> None:
    lines = [line for line in OPERATIONS.splitlines() if line.startswith('{"type"')]
    assert {type(operation_from_line(line)) for line in lines} == {Track, PeopleOp, GroupOp}


ELSEWHERE: Final = {NESTING, BATCH_MESSAGES, BATCH_BYTES, BATCH_BYTES_CEILING, LIVE_SECONDS, FUTURE_SECONDS}
"""What bounds no value, or is ours."""


@pytest.mark.parametrize("limit", [each for each in LIMITS if each not in ELSEWHERE], ids=lambda each: each.name)
def test_the_page_has_each_limit_that_a_value_can_meet(limit: Limit) -> None:
    figures = re.findall(r"[0-9][0-9,]*", section("What a property may hold", OPERATIONS))
    assert f"{limit.maximum:,}" in figures
