"""
The fault matrix, rows 1 to 74: what goes wrong on the network, on the disk, and in the process. Each row is named by a
test, in its name (`test_row_35_...`) or in its id (`row 19: ...`), or stands here with the reason why it is not.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

NOT_INJECTED = {
    69: "needs a free-threaded build of Python",
}
PARTLY = {
    40: "power cuts are played on a disk in memory that loses what was not synced, not on a real one",
    50: "a million names and 100 GB are made once by hand; the test has fewer",
    68: "gevent, not eventlet, which its authors no longer recommend",
}


def rows_named() -> set[int]:
    named: set[int] = set()
    for folder in ("tests", "property_tests"):
        for path in (ROOT / folder).rglob("test_*.py"):
            if path == Path(__file__):
                continue
            text = path.read_text(encoding="utf-8")
            for rows in re.findall(r"def test_(?:[a-z_]*_)?rows?_((?:\d+_(?:and_|to_)?)+)", text):
                named.update(map(int, re.findall(r"\d+", rows)))
            named.update(map(int, re.findall(r"\"row[ _](\d+)\b", text)))
    return named


def test_each_row_is_named_by_a_test_or_excused() -> None:
    assert set(range(1, 75)) - rows_named() - NOT_INJECTED.keys() == set()


def test_no_row_is_excused_for_nothing() -> None:
    assert NOT_INJECTED.keys() & rows_named() == set()
    assert PARTLY.keys() <= rows_named()
