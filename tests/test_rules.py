"""
The rules of the protocol that are duties of a client, each named by a test: ``test_r35_...`` shows rule R35.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent

# R1 to R60 and R76 to R135 of the protocol reference, as far as they say that the client must do or refuse something.
DUTIES = {
    *(1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 15, 17, 20, 23, 24, 26, 29, 35, 38, 39, 41, 42, 43, 44, 45, 46, 47, 48, 52),
    *(53, 54, 77, 78, 79, 80, 81, 82, 86, 91, 92, 93, 94, 95, 97, 101, 102, 103, 104, 105, 111, 116, 117, 120, 125),
    *(127, 130, 131, 132, 133, 134, 135),
}


def test_each_duty_is_named_by_a_test() -> None:
    named: set[int] = set()
    for folder in ("tests", "property_tests"):
        for path in (ROOT / folder).rglob("test_*.py"):
            for function in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
                named.update(map(int, re.findall(r"_r(\d+)(?=_|$)", function)))
    assert DUTIES - named == set()
