"""
Reading lines: every line is accounted for, and no line can exhaust the memory.
"""

from __future__ import annotations

import io

import pytest

from mixwire.core import InvalidValue, Track
from mixwire.records import MAX_LINE_BYTES, read_records

EVENT = b'{"event":"Opened","properties":{"distinct_id":"user-1"}}'


def test_blank_lines_are_counted_but_are_no_records() -> None:
    records = list(read_records(io.BytesIO(b"\n" + EVENT + b"\r\n   \n" + EVENT)))
    assert [record.number for record in records] == [2, 4]
    assert all(isinstance(record.content, Track) for record in records)
    assert {record.text for record in records} == {EVENT}


def test_a_byte_order_mark_before_the_first_line_is_no_part_of_it() -> None:
    (record,) = read_records(io.BytesIO(b"\xef\xbb\xbf" + EVENT))
    assert isinstance(record.content, Track)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"nonsense", b"[1]", b"\x00" * 10], ids=repr)
def test_a_line_that_says_nothing_is_a_record_of_its_fault(text: bytes) -> None:
    (record,) = read_records(io.BytesIO(text + b"\n"))
    assert isinstance(record.content, InvalidValue)
    assert record.content.path == "the line"


def test_a_line_that_is_too_long_is_skipped_without_being_kept() -> None:
    long = b"x" * (3 * MAX_LINE_BYTES + 7)
    seen: list[int] = []
    first, second = read_records(io.BytesIO(long + b"\n" + EVENT), seen.append)
    assert isinstance(first.content, InvalidValue)
    assert str(first.content) == f"the line must be at most {MAX_LINE_BYTES:,} bytes, not {len(long) + 1:,}"
    assert first.text == b""
    assert (second.number, isinstance(second.content, Track)) == (2, True)
    assert seen == [len(long) + 1, len(EVENT)]


def test_a_line_that_is_too_long_at_the_end_of_the_stream_is_told_too() -> None:
    (record,) = read_records(io.BytesIO(b"x" * (MAX_LINE_BYTES + 1)))
    assert isinstance(record.content, InvalidValue)
