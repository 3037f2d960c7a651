"""
One stored message is one line of JSON with a checksum of its own, so that `tail`, `grep` and `jq` work on a spool::

    {"crc":"1f2e3d4c","size":412,"endpoint":"track","keys":["u1"],"repeatable":true,...,"body":{...}}

``crc`` is the CRC-32 of everything after its own comma up to the newline; ``size`` counts the bytes after its own comma
up to the newline, so that the end of a line is known even when its newline is damaged. Encoded JSON holds no raw
newline, hence a line starts only where the spool started one, whatever a message says.

A file of messages begins with a line that names its format, `Header`; what became of its messages stands in another
file as lines of byte ranges, `Mark`. All lines have the same two first members, in this version and in each later one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeAlias, cast
from zlib import crc32

import orjson
from attrs import frozen

from .errors import InvalidValue
from .limits import EVENT_BYTES
from .messages import Endpoint, Key, Message
from .properties import JSON

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "MAX_LINE_BYTES",
    "Footing",
    "Header",
    "Line",
    "Mark",
    "MarkKind",
    "Note",
    "Scan",
    "first_line",
    "frame",
    "header_line",
    "mark_line",
    "read_header",
    "read_mark",
    "read_message",
    "scan",
]

FORMAT: Final = "mixwire-spool"
FORMAT_VERSION: Final = 1
# The ids that a message is about stand in its line twice: in its body and beside it. The rest is for a note.
MAX_LINE_BYTES: Final = 2 * EVENT_BYTES.maximum + 100_000
"""No line is longer, its newline included; what seems to be longer is damage, and need not be held to know so."""


@frozen(kw_only=True)
class Header:
    """
    What the first line of a file of messages says.

    Attributes:
        writer: Who wrote the file: 8 hex digits drawn by chance.
        created: When, in milliseconds since 1970, by the clock of the writer.
        project: The fingerprint of the project whose data it is, or None.
        version: The version of the format. Of another version nothing else is known.
    """

    writer: str = ""
    created: int = 0
    project: str | None = None
    version: int = FORMAT_VERSION


@frozen
class Note:
    """
    Why a message is kept apart from the others.

    Attributes:
        reason: A few words.
        field: The field that the server named, or the empty string.
        cause: The name of a `Cause`, or the empty string.
    """

    reason: str = ""
    field: str = ""
    cause: str = ""


MarkKind: TypeAlias = Literal["settled", "intended", "retracted"]
"""
What is said of messages: nothing more is to be done about them; they are about to be posted, and must not be posted
again unless that is known to have failed; that is known.
"""


@frozen
class Mark:
    """
    What became of the messages in some byte ranges of a file.
    """

    kind: MarkKind
    ranges: tuple[tuple[int, int], ...]


_PREFIX: Final = b'{"crc":"'
_CHECKED_FROM: Final = len(b'{"crc":"00000000",')
_ENVELOPE: Final = re.compile(rb'\{"crc":"([0-9a-f]{8})","size":([1-9][0-9]{0,6}),')
_LONGEST_ENVELOPE: Final = _CHECKED_FROM + len(b'"size":1000000,')
_BODY: Final = b',"body":'
_NEWLINE: Final = 0x0A
# Endpoints are found by identity: to hash a member of an Enum costs as much as all the rest of a line.
_HEADS: Final = {id(each): b'"endpoint":"%b","keys":' % each.name.lower().encode() for each in Endpoint}
_ENDPOINTS: Final = {each.name.lower(): each for each in Endpoint}
_FLAGS: Final = tuple(
    tuple(b',"repeatable":%b,"barrier":%b,"time":' % (repeatable, barrier) for barrier in (b"false", b"true"))
    for repeatable in (b"false", b"true")
)


def frame(message: Message, note: Note | None = None) -> bytes:
    """
    The line of a message, its newline included. The bytes of the body stand in it as they are.

    Raises:
        InvalidValue: If the body of a message made by hand holds a newline, or the line would be too long to be read.
    """
    # To find a number is quicker than to ask whether a text is in it.
    if message.body.find(_NEWLINE) >= 0:
        raise InvalidValue("message.body", "one line of JSON", "several")
    time = message.time
    content = b"".join(
        (
            _HEADS[id(message.endpoint)],
            orjson.dumps(message.keys),
            _FLAGS[message.repeatable][message.barrier],
            b"null" if time is None else b"%d" % time,
            b"" if note is None else _members(note),
            _BODY,
            message.body,
            b"}",
        )
    )
    return _line(content)


def header_line(header: Header) -> bytes:
    """
    The first line of a file of messages.
    """
    content = {
        "format": FORMAT,
        "version": header.version,
        "writer": header.writer,
        "created": header.created,
        "project": header.project,
    }
    return _line(orjson.dumps(content)[1:])


def mark_line(mark: Mark) -> bytes:
    """
    The line of a mark.
    """
    return _line(orjson.dumps({mark.kind: mark.ranges})[1:])


def _line(content: bytes) -> bytes:
    checked = b'"size":%d,' % len(content) + content
    # Added up, which costs less than to format all of it.
    line = b'{"crc":"%08x",' % crc32(checked) + checked + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise InvalidValue("message", f"at most {MAX_LINE_BYTES:,} bytes as a line", f"{len(line):,}")
    return line


def _members(note: Note) -> bytes:
    given = {"reason": note.reason, "field": note.field, "cause": note.cause}
    return b"," + orjson.dumps(given)[1:-1]


class Line(NamedTuple):
    """
    A line whose checksum is right: the bytes from *start* up to *end*, and what follows the size.
    """

    start: int
    end: int
    content: bytes


class Footing(Enum):
    """
    What is known about the place where a scan goes on.
    """

    FIRM = "a line starts here"
    REGAINED = "a line starts here if the newline before it is one"
    LOST = "this is inside of a line that cannot be read"


@frozen
class Scan:
    """
    What a window of bytes holds.

    Attributes:
        lines: The lines that are whole.
        damage: The byte ranges that hold none.
        damaged: How many lines were lost in them, as far as that can be told.
        next: Where to go on reading. Behind it is the beginning of a line, if anything.
        footing: What is known about that place.
    """

    lines: list[Line]
    damage: list[tuple[int, int]]
    damaged: int
    next: int
    footing: Footing


def scan(window: bytes, *, base: int = 0, footing: Footing = Footing.FIRM, is_last: bool = False) -> Scan:
    """
    The lines in a window of a file.

    After a line whose checksum is right the next one starts where its size says, whatever stands in the place of the
    newline: one damaged byte costs one line at most. After damage the next line starts behind the next newline, and has
    to end with one: a text hidden in somebody's message does not pass for a line because what surrounded it is broken.

    Args:
        window: The bytes.
        base: Where in the file they start.
        footing: What is known about that place.
        is_last: Whether nothing will ever follow. What was begun and not ended there is no damage: it was never stored.
    """
    lines: list[Line] = []
    damage: list[tuple[int, int]] = []
    damaged, at, length = 0, 0, len(window)
    while at < length:
        is_begun = False
        if footing is not Footing.LOST:
            found = _ENVELOPE.match(window, at)
            if found is not None:
                begin = found.end()
                end = begin + int(found[2])
                is_whole = end < length and crc32(window[at + _CHECKED_FROM : end]) == int(found[1], 16)
                if is_whole and (footing is Footing.FIRM or window[end] == _NEWLINE):
                    lines.append(Line(base + at, base + end + 1, window[begin:end]))
                    at, footing = end + 1, Footing.FIRM
                    continue
                is_begun = length <= end < at + MAX_LINE_BYTES
            else:
                is_begun = length - at < _LONGEST_ENVELOPE and window[at : at + len(_PREFIX)] == _PREFIX[: length - at]
        newline = window.find(b"\n", at)
        if newline < 0 and is_begun:
            break
        # Two broken lines in a row count twice, the halves of one that a false newline has cut count once.
        if footing is Footing.FIRM or (footing is Footing.REGAINED and window.startswith(_PREFIX, at)):
            damaged += 1
        end = length if newline < 0 else newline + 1
        damage.append((base + at, base + end))
        at, footing = end, Footing.LOST if newline < 0 else Footing.REGAINED
    if is_last and at < length:
        damage.append((base + at, base + length))
        at = length
    return Scan(lines, damage, damaged, base + at, footing)


def read_message(content: bytes) -> tuple[Message, Note | None] | None:
    """
    The message of a line, its body the bytes that it was stored with; None if the line holds none.
    """
    # The first of these is the real one: inside of a string its quotes would be escaped, and what may hold an object
    # stands behind it.
    body = content[content.find(_BODY) + len(_BODY) : -1]
    try:
        record = cast("dict[str, JSON]", orjson.loads(b"{" + content))
        if not isinstance(record["body"], dict):
            return None
        endpoint = _ENDPOINTS[cast("str", record["endpoint"])]
        repeatable, barrier, time = record["repeatable"], record["barrier"], record["time"]
        keys = record["keys"]
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return None
    if type(repeatable) is not bool or type(barrier) is not bool or not (time is None or type(time) is int):
        return None
    if not isinstance(keys, list):
        return None
    read = _keys(keys)
    if read is None:
        return None
    message = Message(endpoint, body, read, repeatable, barrier, time)
    if "reason" not in record:
        return message, None
    noted = [record.get(name, "") for name in ("reason", "field", "cause")]
    if not all(isinstance(each, str) for each in noted):
        return None
    return message, Note(*cast("list[str]", noted))


def _keys(keys: list[JSON]) -> tuple[Key, ...] | None:
    read: list[Key] = []
    for key in keys:
        if isinstance(key, str):
            read.append(key)
        elif isinstance(key, list) and len(key) == 2 and isinstance(key[0], str) and isinstance(key[1], str):
            read.append((key[0], key[1]))
        else:
            return None
    return tuple(read)


def read_header(content: bytes) -> Header | None:
    """
    The header of a line; None if the line holds none.
    """
    record = _object(b"{%b" % content)
    version = record.get("version")
    if record.get("format") != FORMAT or type(version) is not int:
        return None
    if version != FORMAT_VERSION:
        return Header(version=version)
    writer, created, project = record.get("writer"), record.get("created"), record.get("project")
    if not isinstance(writer, str) or type(created) is not int or not (project is None or isinstance(project, str)):
        return None
    return Header(writer=writer, created=created, project=project)


def first_line(window: bytes) -> Header | None:
    """
    The header of the file that begins with *window*; None if it is damaged.

    A first line in another form that names the format and another version belongs to a version with other rules. It is
    not taken for one if it has a checksum: then a damaged digit is more likely than another version.
    """
    lines = scan(window).lines
    if lines and lines[0].start == 0:
        return read_header(lines[0].content)
    record = _object(window.partition(b"\n")[0])
    version = record.get("version")
    if record.get("format") == FORMAT and type(version) is int and version != FORMAT_VERSION and "crc" not in record:
        return Header(version=version)
    return None


def read_mark(content: bytes) -> Mark | None:
    """
    The mark of a line; None if the line holds none.
    """
    record = _object(b"{%b" % content)
    kinds: tuple[MarkKind, ...] = ("settled", "intended", "retracted")
    for kind in kinds:
        if kind in record:
            ranges = record[kind]
            return Mark(kind, tuple(_ranges(ranges))) if isinstance(ranges, list) else None
    return None


def _ranges(ranges: list[JSON]) -> Iterable[tuple[int, int]]:
    for each in ranges:
        if isinstance(each, list) and len(each) == 2:
            start, end = each
            if type(start) is int and type(end) is int and 0 <= start < end:
                yield start, end


def _object(text: bytes) -> dict[str, JSON]:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return cast("dict[str, JSON]", record) if isinstance(record, dict) else {}
