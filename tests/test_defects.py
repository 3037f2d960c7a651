"""
The defects B1 to B38 of the official client 5.4.1, each named by a test that shows ours does the right thing:
``test_b7_...`` for B7. B39 to B47 are about feature flags and packaging, which are not part of the front door.
"""

from __future__ import annotations

import re
from pathlib import Path

DEFECTS = {
    "test_defects_loss": range(1, 19),
    "test_defects_blocking": range(19, 26),
    "test_defects_answers": range(26, 31),
    "test_defects_building": range(31, 39),
}


def test_each_defect_is_named_by_a_test_in_the_file_of_its_group() -> None:
    for name, numbers in DEFECTS.items():
        text = (Path(__file__).parent / "defects" / f"{name}.py").read_text(encoding="utf-8")
        named = set(map(int, re.findall(r"^def test_b(\d+)_", text, re.MULTILINE)))
        assert named == set(numbers), name


def test_the_groups_hold_all_defects() -> None:
    assert sorted(number for numbers in DEFECTS.values() for number in numbers) == list(range(1, 39))
