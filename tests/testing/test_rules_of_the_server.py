"""
The rules of the protocol that say what the server does, each named by a test of the emulator; and so each point where
the sources disagree and the emulator takes a side.

``test_rule_60_...`` shows rule R60 and ``test_point_21_...`` point D21; so does a case whose id begins with them, as in
``id="R46 D2 255 keys"``. The tests of the client have names of their own, ``test_r60_...``, so that neither stands in
for the other.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent

RULES: Final = range(4, 136)
POINTS: Final = range(1, 33)

# Why no test of the emulator can show a rule, and which ones these are.
RULES_OF_THE_CLIENT: Final = {
    "it says how the client cuts a batch": {5},
    "it says what a request of the client carries": {9, 10, 11, 15},
    "it says what the client refuses to encode": {12, 39, 80},
    "it says what the client makes of an answer": {52, 53, 54, 130},
    "it says of what the client warns": {79},
    "it says how the client writes values": {81, 82, 86, 91, 92},
    "it says what the client refuses, and the server reports no such thing": {93, 97},
    "it says in which order and where the client sends": {101, 102, 103},
    "it says how the client builds a message": {131},
}
POINTS_OF_THE_CLIENT: Final = {"it says what the client repeats": {30}}

NAMES: Final = {"R": "rule", "D": "point"}


@cache
def shown(letter: str) -> set[int]:
    """
    The numbers of the rules (R) or points (D) that are named by a test of the emulator.
    """
    found: set[int] = set()
    for path in FOLDER.glob("test_emulator_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name in _test_names(tree):
            found.update(map(int, re.findall(rf"_{NAMES[letter]}_(\d+)(?=_)", name)))
        for case in _case_ids(tree):
            marks = re.match(r"(?:[RD]\d+ )+", case)
            found.update(map(int, re.findall(rf"{letter}(\d+) ", marks[0] if marks else "")))
    return found


def _test_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name


def _case_ids(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "id":
            match node.value:
                case ast.Constant(str(text)) | ast.JoinedStr([ast.Constant(str(text)), *_]):
                    yield text
                case _:
                    pass


def test_each_rule_of_the_server_is_named_by_a_test() -> None:
    of_the_client = set[int]().union(*RULES_OF_THE_CLIENT.values())
    assert set(RULES) - of_the_client - shown("R") == set()


def test_each_point_where_the_emulator_takes_a_side_is_named_by_a_test() -> None:
    of_the_client = set[int]().union(*POINTS_OF_THE_CLIENT.values())
    assert set(POINTS) - of_the_client - shown("D") == set()


def test_what_is_said_to_bind_only_the_client_is_named_by_no_test() -> None:
    assert shown("R") & set[int]().union(*RULES_OF_THE_CLIENT.values()) == set()
    assert shown("D") & set[int]().union(*POINTS_OF_THE_CLIENT.values()) == set()


def test_only_rules_that_exist_are_named() -> None:
    assert shown("R") <= set(RULES)
    assert shown("D") <= set(POINTS)
