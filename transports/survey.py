"""
What is in a spool, without disturbing anybody: nothing is locked, nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from attrs import frozen

from ..core import Endpoint, Message
from ..core.frames import FORMAT_VERSION, Footing, Header, Note, first_line, read_mark, read_message, scan
from .acks import lines_of
from .disk import Disk
from .ranges import Ranges
from .segments import Section, is_header_damaged, number_of

__all__ = ["Kept", "State", "Survey", "kept", "survey"]

State: TypeAlias = Literal["waiting", "interrupted", "settled"]
"""
Not settled yet; about to be posted, so that nobody knows what became of it if who did that is gone; done with.
"""

_HEADER_BYTES: Final = 4096
_WINDOW_BYTES: Final = 4 << 20


@frozen
class Kept:
    """
    A message in a spool.

    Attributes:
        message: The message, its body the bytes that were stored.
        state: Whether it is done with. What is settled is removed with its whole segment.
        note: Why it is kept apart, if it is.
    """

    message: Message
    state: State
    note: Note | None = None


@frozen(kw_only=True)
class Survey:
    """
    The figures of one section of a spool.

    Attributes:
        counts: How many messages, by endpoint and state.
        segments: How many files.
        size_bytes: How large they are.
        oldest_age_seconds: The age of the oldest segment in which something is left to do; None if there is none.
        damaged: How many lines cannot be read.
        other_versions: The names of files of another format, which are left alone.
        other_projects: How many segments belong to another project.
    """

    counts: Mapping[tuple[Endpoint, State], int]
    segments: int
    size_bytes: int
    oldest_age_seconds: float | None
    damaged: int
    other_versions: tuple[str, ...]
    other_projects: int

    @property
    def waiting(self) -> int:
        """
        How many messages wait for delivery.
        """
        return sum(count for (_, state), count in self.counts.items() if state == "waiting")


@frozen
class _Opened:
    name: str
    file: int
    size: int
    header: Header | None


def survey(disk: Disk, section: Section, project: str | None, now: int) -> Survey:
    """
    The figures of a section.

    Args:
        disk: The directory.
        section: Which.
        project: The fingerprint of the project whose messages are counted, or None.
        now: The time in milliseconds since 1970.
    """
    counts: Counter[tuple[Endpoint, State]] = Counter()
    segments, size_bytes, damaged, other_projects = 0, 0, 0, 0
    created: list[int] = []
    other_versions: list[str] = []
    for opened in _segments(disk, section):
        segments += 1
        size_bytes += opened.size
        header = opened.header
        if header is not None and header.version != FORMAT_VERSION:
            other_versions.append(opened.name)
        elif header is not None and project is not None and header.project not in (None, project):
            other_projects += 1
        else:
            found: Counter[tuple[Endpoint, State]] = Counter()
            for each in _messages(disk, opened):
                if isinstance(each, int):
                    damaged += each
                else:
                    found[each.message.endpoint, each.state] += 1
            counts += found
            if header is not None and any(state != "settled" for _, state in found):
                created.append(header.created)
    return Survey(
        counts=dict(counts),
        segments=segments,
        size_bytes=size_bytes,
        oldest_age_seconds=max(now - min(created), 0) / 1000 if created else None,
        damaged=damaged,
        other_versions=tuple(other_versions),
        other_projects=other_projects,
    )


def kept(disk: Disk, section: Section) -> Iterator[Kept]:
    """
    The messages of a section, in order.
    """
    for opened in _segments(disk, section):
        if opened.header is None or opened.header.version == FORMAT_VERSION:
            for each in _messages(disk, opened):
                if not isinstance(each, int):
                    yield each


def _segments(disk: Disk, section: Section) -> Iterator[_Opened]:
    for name in sorted(name for name, is_file in disk.names() if is_file and number_of(name, section) is not None):
        # What is removed meanwhile is not there any more.
        with suppress(OSError):
            file = disk.open_file(name)
            try:
                yield _Opened(name, file, disk.size(file), first_line(disk.read(file, _HEADER_BYTES, 0)))
            finally:
                disk.free(file)


def _messages(disk: Disk, opened: _Opened) -> Iterator[Kept | int]:
    """
    The messages of a segment, and between them how many were damaged.
    """
    done, intents = _acks(disk, opened.name)
    at, footing = 0, Footing.FIRM
    while window := disk.read(opened.file, _WINDOW_BYTES, at):
        found = scan(window, base=at, footing=footing)
        damaged = found.damaged - is_header_damaged(found)
        for line in found.lines:
            read = read_message(line.content) if line.start else None
            if read is None:
                damaged += line.start > 0
                continue
            is_settled = done.covers(line.start, line.end)
            state: State = "settled" if is_settled else "interrupted" if line.start in intents else "waiting"
            yield Kept(read[0], state, read[1])
        yield damaged
        if found.next == at:
            return
        at, footing = found.next, found.footing


def _acks(disk: Disk, name: str) -> tuple[Ranges, set[int]]:
    done, intents = Ranges(), set[int]()
    with suppress(OSError):
        file = disk.open_file(f"{name}-acks")
        try:
            for content in lines_of(disk, file):
                mark = read_mark(content)
                if mark is None:
                    continue
                for start, end in mark.ranges:
                    if mark.kind == "settled":
                        done.add(start, end)
                    elif mark.kind == "intended":
                        intents.add(start)
                    else:
                        intents.discard(start)
        finally:
            disk.free(file)
    return done, intents
