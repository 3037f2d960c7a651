"""
The files of a spool as those see them who deliver what is in them.

A segment is written by one writer, who holds its lock, and only grows. What became of its messages stands in a file
beside it, its acks, written by whoever delivers it, who holds the lock of that one. A segment is removed when nothing
in it is left to do, which has to be durable before: a segment that came back after a power cut without its acks would
be delivered once more.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeAlias, TypeVar, get_args

from attrs import frozen

from ..core import Message
from ..core.frames import (
    MAX_LINE_BYTES,
    Footing,
    Header,
    MarkKind,
    Scan,
    first_line,
    read_message,
    scan,
)
from .acks import Acks
from .disk import Disk
from .ranges import merged
from .trouble import trouble_of

__all__ = [
    "Chunk",
    "Place",
    "Section",
    "Segment",
    "Shelf",
    "Stored",
    "is_header_damaged",
    "name_of",
    "number_of",
]

Section: TypeAlias = Literal["held", "unknown", "rejected"]
"""What is kept: messages to be delivered, those that were perhaps applied, those that the server will never take."""

_T = TypeVar("_T")
_NUMBER_DIGITS: Final = 16
_WRITER_DIGITS: Final = 8
_STEM: Final = _NUMBER_DIGITS + 1 + _WRITER_DIGITS
# Of a million names each is looked at when a spool is opened.
_NAMES: Final = {
    section: re.compile(rf"([0-9]{{{_NUMBER_DIGITS}}})-[0-9a-f]{{{_WRITER_DIGITS}}}\.{section}").fullmatch
    for section in get_args(Section)
}
_WINDOW_BYTES: Final = 1 << 20
_HEADER_BYTES: Final = 4096


def name_of(number: int, writer: str, section: Section) -> str:
    """
    The name of a segment. Names sort in the order in which segments were begun.
    """
    return f"{number:0{_NUMBER_DIGITS}d}-{writer}.{section}"


def number_of(name: str, section: Section) -> int | None:
    """
    The number in the name of a segment; None for the name of something else.
    """
    found = _NAMES[section](name)
    return None if found is None else int(found[1])


class Place:
    """
    Where the line of one stored message stands. It changes when the message has to be stored once more elsewhere.

    Attributes:
        segment: In which segment.
        start, end: From which byte up to which.
    """

    __slots__ = ("end", "segment", "start")

    def __init__(self, segment: Segment, start: int = 0, end: int = 0) -> None:
        self.segment = segment
        self.start = start
        self.end = end

    def __repr__(self) -> str:
        return f"Place({self.segment.name}, {self.start}, {self.end})"


@frozen
class Stored:
    """
    A message that was read back.

    Attributes:
        place: Where it stands.
        message: The message, its body the bytes that were stored.
        reason, field, cause: What its note says, see `Note`; empty without one.
    """

    place: Place
    message: Message
    reason: str = ""
    field: str = ""
    cause: str = ""


@frozen
class Chunk:
    """
    Some messages of a segment.

    Attributes:
        stored: In the order of the file, without those that are settled.
        next: Where to read on.
        damaged: How many lines could not be read and were passed over.
        is_end: Whether nothing will ever stand at *next*: the segment is read to its end and nobody writes to it.
    """

    stored: tuple[Stored, ...]
    next: int
    damaged: int
    is_end: bool


class Shelf:
    """
    What the segments of one section in one directory share.

    Args:
        disk: The directory.
        section: What is kept.
        writer: Who appends here.

    Attributes:
        lock: Held while segments change. Who appends takes it rarely, and only after the lock of the appending.
        segments: By name: those of this spool that are not done with, and those it delivers.
        dropped: How many messages were given up, by reason.
        dropped_own: How many of them this spool had stored.
    """

    def __init__(self, disk: Disk, section: Section, writer: str) -> None:
        self.disk = disk
        self.writer = writer
        self.section: Section = section
        self.lock = threading.RLock()
        self.segments: dict[str, Segment] = {}
        self.dropped: Counter[str] = Counter()
        self.dropped_own = 0
        self._lent: Segment | None = None

    def lend(self, segment: Segment) -> None:
        """
        Let *segment* have files open, and nobody else, so that any number of segments needs but a few descriptors.
        """
        if self._lent is not segment:
            if self._lent is not None:
                self._lent.release()
            self._lent = segment

    def forget(self, segment: Segment) -> None:
        """
        *segment* is no more.
        """
        self.segments.pop(segment.name, None)
        if self._lent is segment:
            self._lent = None

    def drop(self, reason: str, count: int, *, own: bool) -> None:
        """
        So many messages were given up.
        """
        if count:
            self.dropped[reason] += count
            if own:
                self.dropped_own += count

    def hold_for(self, seconds: float, do: Callable[[bool], _T]) -> _T:
        """
        Call *do* with the lock if it can be had in so many seconds, and tell it whether that is so.
        """
        try:
            return do(self.lock.acquire(timeout=seconds))
        finally:
            # Whether it was taken is not asked of a variable: a signal handler may raise before there is one. Nor is
            # this left to a context manager written in Python, which could be interrupted before it gives it back.
            try:  # noqa: SIM105
                self.lock.release()
            except RuntimeError:
                pass  # Somebody else has it.

    def header(self, name: str) -> Header | None:
        """
        What the first line of a segment says; None if it is damaged.
        """
        file = self.disk.open_file(name)
        try:
            return first_line(self.disk.read(file, _HEADER_BYTES, 0))
        finally:
            self.disk.free(file)


class Segment:
    """
    One file of messages.

    Attributes:
        name: Of the file.
        created_ms: When it was begun, by the clock of its writer, in milliseconds since 1970; 0 if that is not known.
        is_own: Whether this spool wrote it.
        is_pinned: Whether this spool delivers it from the beginning and never lends its lock.
        is_adopted: Whether it was handed out to be delivered.
        settled_count: How many messages this spool settled in it.
    """

    def __init__(self, shelf: Shelf, name: str, *, created_ms: int = 0) -> None:
        self.name = name
        self.created_ms = created_ms
        self.is_own = name[_NUMBER_DIGITS + 1 : _STEM] == shelf.writer
        self._shelf = shelf
        self._disk = shelf.disk
        self._acks = Acks(shelf.disk, f"{name}-acks")
        self._file: int | None = None
        self.is_pinned = False
        self.is_adopted = False
        self.settled_count = 0
        self._is_gone = False
        self._footing = (0, Footing.FIRM)
        self._has_writer = True
        self._end: int | None = None

    def __repr__(self) -> str:
        return f"Segment({self.name})"

    # What everybody may ask.

    @property
    def interrupted(self) -> frozenset[int]:
        """
        Where those messages start that somebody was about to post, of which nobody knows what became.
        """
        with self._shelf.lock:
            with suppress(OSError):
                self.hold()
            return self._acks.interrupted

    def read(self, start: int, max_bytes: int) -> Chunk:
        """
        The messages from *start* on, which is 0 or what an earlier chunk says, in about *max_bytes* bytes.

        Of a segment that somebody still writes to, it gives what is whole. Of one that is gone, that the disk does not
        give back, or that somebody else began to deliver, it gives nothing.
        """
        try:
            window, footing, is_last = self._window(start, max(max_bytes, 1))
            found = scan(window, base=start, footing=footing, is_last=is_last)
            if found.next == start and not is_last and 0 < len(window) < MAX_LINE_BYTES:
                window, footing, is_last = self._window(start, MAX_LINE_BYTES)
                found = scan(window, base=start, footing=footing, is_last=is_last)
        except OSError:
            return Chunk((), start, 0, is_end=True)
        read = [(line, None if line.start == 0 else read_message(line.content)) for line in found.lines]
        damaged = found.damaged - is_header_damaged(found)
        stored: list[Stored] = []
        with self._shelf.lock:
            is_new = not found.damage or not self._acks.done.covers(*found.damage[0])
            for first, last in found.damage:
                self._acks.done.add(first, last)
            for line, message in read:
                if self._acks.done.covers(line.start, line.end):
                    continue
                if message is None:
                    self._acks.done.add(line.start, line.end)
                    damaged += line.start > 0
                    continue
                place = Place(self, line.start, line.end)
                note = message[1]
                stored.append(
                    Stored(place, message[0])
                    if note is None
                    else Stored(place, message[0], note.reason, note.field, note.cause)
                )
            if is_new:
                self._shelf.drop("damaged", damaged, own=self.is_own)
            self._footing = (found.next, found.footing)
            if is_last:
                self._end = found.next
                self._finish()
        return Chunk(tuple(stored), found.next, damaged, is_last)

    # What the spool asks, with the lock of the shelf held.

    def own(self, acks: int | None, header_bytes: int) -> None:
        """
        This spool is about to write the segment, and holds its acks if it is to deliver it.
        """
        self._acks.begin(acks)
        self._acks.done.add(0, header_bytes)
        self.is_pinned = acks is not None

    def ended(self, size: int | None) -> None:
        """
        This spool will not write to the segment any more, which has *size* bytes, or nobody knows how many.
        """
        self._has_writer = False
        self._end = size
        self._finish()

    def hold(self) -> bool:
        """
        Open the acks and take their lock; False if somebody else delivers the segment.
        """
        if self._acks.is_held:
            return True
        if self._is_gone:
            raise FileNotFoundError
        file = self._opened()

        def is_there() -> bool:
            self._is_gone = not self._disk.is_linked(file)
            return not self._is_gone

        return self._acks.hold(is_there)

    def settle(self, ranges: list[tuple[int, int]]) -> None:
        """
        The messages in these ranges are done with.
        """
        ranges = merged(ranges)
        self._acks.forget(ranges)
        self._write_settled(ranges)
        self._finish()

    def mark_durably(self, kind: MarkKind, ranges: Sequence[tuple[int, int]], *, durably: bool) -> bool:
        """
        Say something else about the messages in these ranges; False if somebody else delivers them.
        """
        if not self.hold():
            return False
        self._acks.mark(kind, ranges)
        if durably:
            self._acks.sync_marks()
        return True

    def is_settled(self, start: int, end: int) -> bool:
        """
        Whether a message is done with.
        """
        return self._acks.done.covers(start, end)

    def is_intended(self, start: int) -> bool:
        """
        Whether a message may be on its way.
        """
        return start in self._acks.intents

    def drop(self, reason: str) -> bool:
        """
        Remove the segment with all that is in it and count what was not settled; False if somebody else uses it.
        """
        try:
            if not self._is_closed() or not self.hold():
                return False
            count, at, is_end = 0, 0, False
            while not is_end:
                chunk = self.read(at, _WINDOW_BYTES)
                count += len(chunk.stored)
                at, is_end = chunk.next, chunk.is_end
            if not self._is_gone:
                self._remove()
        finally:
            # Others may want it as much as before.
            if not self.is_adopted:
                self.release()
        self._shelf.drop(reason, count, own=self.is_own)
        return True

    def release(self) -> None:
        """
        Close the files, except for acks that this spool holds all the time.
        """
        self._free_file()
        if not self.is_pinned:
            self._acks.free()

    def abandon(self) -> None:
        """
        Close all files, and touch them no more.
        """
        self._is_gone = True
        self.is_pinned = False
        self.release()

    # How it is done.

    def _window(self, start: int, size: int) -> tuple[bytes, Footing, bool]:
        with self._shelf.lock:
            if not self.hold():
                raise PermissionError
            # Asked first: what was written before its writer went is seen in any case.
            is_closed = self._is_closed()
            file = self._opened()
            window = self._disk.read(file, size, start)
            is_last = is_closed and start + len(window) >= self._disk.size(file)
            footing = self._footing[1] if self._footing[0] == start else Footing.FIRM
            return window, footing, is_last

    def _opened(self) -> int:
        if self._file is None:
            self._shelf.lend(self)
            self._file = self._disk.open_file(self.name)
        return self._file

    def _is_closed(self) -> bool:
        """
        Whether nobody writes to the segment any more. The lock is kept, so that nobody begins to.
        """
        if self._has_writer and not (self.is_own and self.is_pinned) and self._disk.lock(self._opened()):
            self._has_writer = False
        return not self._has_writer

    def _finish(self) -> None:
        if self._end is None or self._is_gone or not self._acks.done.covers(0, self._end):
            return
        with suppress(OSError):
            if self.hold() and self._is_closed() and (self.is_pinned or self._disk.size(self._opened()) <= self._end):
                try:
                    if self._acks.is_behind:
                        self._acks.mark("settled", tuple(self._acks.done))
                        self._acks.is_behind = False
                    self._acks.sync_marks()
                except OSError as error:
                    # A disk that this segment helped to fill takes no acks before it is removed. That all of it is done
                    # is then told by its absence.
                    if trouble_of(error) != "disk full":
                        raise
                self._remove()

    def _write_settled(self, ranges: Sequence[tuple[int, int]]) -> None:
        # What cannot be written now is written with what comes next; at worst it is delivered once more.
        was_behind, self._acks.is_behind = self._acks.is_behind, True
        with suppress(OSError):
            if self.hold():
                self._acks.mark("settled", tuple(self._acks.done) if was_behind else ranges)
                self._acks.is_behind = False

    def _remove(self) -> None:
        self._disk.unlink(self.name)
        self._is_gone = True
        self._shelf.forget(self)
        # If only the second of the two reached the disk, the messages would come back as if nothing had become of them.
        # Acks that stay are removed by whoever adopts next.
        with suppress(OSError):
            self._disk.sync_directory()
            self._acks.unlink()
        self.abandon()

    def _free_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            if not self.is_own or not self.is_pinned:
                self._has_writer = True
            self._disk.free(file)


def is_header_damaged(found: Scan) -> bool:
    """
    Whether what is damaged first is the header of a file of messages, which is no message.
    """
    return bool(found.damage and found.lines) and found.damage[0][0] == 0
