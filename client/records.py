"""
Records from a stream of lines, one operation a line; a bad line is a record too, so that the good ones go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from attrs import frozen

from .core import InvalidValue, Operation, operation_from_line

__all__ = ["MAX_LINE_BYTES", "Record", "read_records"]

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""Four times what the largest operation may hold: a longer line is no operation, and not worth the memory."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@frozen
class Record:
    """
    One line that is not blank.

    Attributes:
        number: Of the line, from 1.
        text: The line, without white space around it.
        content: The operation that it says, or why it says none.
    """

    number: int
    text: bytes
    content: Operation | InvalidValue


def read_records(stream: BinaryIO, progress: Callable[[int], object] = lambda count: None) -> Iterator[Record]:
    """
    The records of *stream*, in order; *progress* is told the bytes of each line that was read.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        length = len(line)
        is_too_long = length > MAX_LINE_BYTES
        while is_too_long and not line.endswith(b"\n") and (line := stream.readline(MAX_LINE_BYTES)):
            length += len(line)
        progress(length)
        if is_too_long:
            fault = InvalidValue("the line", f"at most {MAX_LINE_BYTES:,} bytes", f"{length:,}")
            yield Record(number, b"", fault)
            continue
        text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).strip()
        if text:
            yield Record(number, text, _content(text))


def _content(text: bytes) -> Operation | InvalidValue:
    try:
        return operation_from_line(text)
    except InvalidValue as fault:
        return fault
