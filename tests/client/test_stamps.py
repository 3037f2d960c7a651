"""
Times and ids that the shell gives to operations.
"""

from __future__ import annotations

import re
import time

from mixwire.stamps import ContentIds, milliseconds_now


def test_the_time_is_in_milliseconds() -> None:
    before = int(time.time() * 1000)
    assert before <= milliseconds_now() <= int(time.time() * 1000) + 1


def test_the_id_of_a_text_is_the_same_in_each_run_and_allowed() -> None:
    first, second = ContentIds(), ContentIds()
    assert first(b"text") == second(b"text")
    assert re.fullmatch("[0-9a-f]{36}", first(b"other"))


def test_the_same_text_twice_in_one_run_has_two_ids() -> None:
    ids = ContentIds()
    assert ids(b"text") != ids(b"text")
