"""
The segments that one writer writes: how each is begun, with a name that nobody else has and locks that tell whose it
is; how it is left for another when it is full or cannot be trusted any more; and how it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from attrs import evolve

from ..core import InvalidValue, Message
from ..core.frames import Header, header_line
from .disk import Disk
from .retention import Retention
from .segments import Place, Segment, Shelf, name_of
from .trouble import SpoolError, trouble_of

__all__ = ["Log", "Logs", "Written"]

Written: TypeAlias = tuple[Message, bytes, Place]
"""A message, its line and where that stands."""

_LOCK_SECONDS: Final = 5.0
_SHORT_SECONDS: Final = 0.05
# How many messages are stored again at once.
_MOVED_AT_ONCE: Final = 256
_CLOSED: Final = -1


class Log:
    """
    A segment that is being written.

    Attributes:
        segment: As those see it who deliver it.
        file: Its descriptor.
        size: How many bytes of it are accounted for.
        durable: Up to where nothing needs to be stored again: what was synced, at first the header.
        limit: How large it may get.
        created_ms: When it was begun.
        count: How many messages are in it.
        is_torn: Whether a write was begun and not accounted for: nobody knows where the file ends.
        is_doubtful: Whether a sync failed, so that no other may be believed.
        keeps: Whether what is not durable yet is kept in memory.
        tail: What that is.
    """

    __slots__ = (
        "count",
        "created_ms",
        "durable",
        "file",
        "is_doubtful",
        "is_torn",
        "keeps",
        "limit",
        "segment",
        "size",
        "tail",
    )

    def __init__(self, segment: Segment, file: int, size: int, limit: int, created_ms: int, *, keeps: bool) -> None:
        self.segment = segment
        self.file = file
        self.size = size
        self.durable = size
        self.limit = limit
        self.created_ms = created_ms
        self.count = 0
        self.is_torn = False
        self.is_doubtful = False
        self.keeps = keeps
        self.tail: list[Written] = []

    def account(self, entry: Sequence[Written]) -> None:
        """
        These lines were written, and stand at the end.
        """
        segment, at = self.segment, self.size
        for _, line, place in entry:
            place.segment = segment
            place.start = at
            at += len(line)
            place.end = at
        count = len(entry)
        # From here on no call that a signal handler could interrupt, up to the last.
        self.size = at
        self.count += count
        self.is_torn = False
        if self.keeps:
            self.tail.extend(entry)

    @property
    def is_closed(self) -> bool:
        """
        Whether it ended.
        """
        return self.file == _CLOSED


class Logs:
    """
    Those of one writer. Used with its lock of appending held.

    Args:
        disk: The directory.
        shelf: Where the segments go.
        retention: What makes room for new ones.
        header: What all segments say of their writer; the time is filled in.
        delivers: Whether the acks of each segment are to be held from the beginning.
        max_segment_bytes: How large a segment may get.
        number: The highest number in use.
        now: The time in milliseconds since 1970.
        waits: Whether a full segment is kept until it is durable.

    Attributes:
        number: The highest number in use.
        begun: How many segments were begun.
        current: The segment that is written.
        retired: Those that are full and not durable.
    """

    def __init__(
        self,
        disk: Disk,
        shelf: Shelf,
        retention: Retention,
        *,
        header: Header,
        delivers: bool,
        max_segment_bytes: int,
        number: int,
        now: Callable[[], int],
        waits: bool,
    ) -> None:
        self._disk = disk
        self._shelf = shelf
        self._retention = retention
        self._header = header
        self._delivers = delivers
        self._max_segment_bytes = max_segment_bytes
        self._now = now
        self._waits = waits
        self.number = number
        self.begun = 0
        self.current: Log | None = None
        self.retired: list[Log] = []
        # What need only be closed.
        self._done: list[Log] = []

    def open(self) -> list[Log]:
        """
        All that may hold something that is not durable.
        """
        return [*self.retired, *(() if self.current is None else (self.current,))]

    def begin(self, needed: int) -> Log:
        """
        A new segment with room for so many bytes, in a directory that is made again if it is gone.

        Raises:
            SpoolError: If retention leaves no room.
            OSError: If the disk does not take it.
        """
        if self.current is not None:
            self._retire(self.current)
        try:
            self.current = log = self._begin(needed)
        except (OSError, InvalidValue) as error:
            if isinstance(error, OSError) and trouble_of(error) == "disk full":
                raise
            # The directory may have been removed, or the descriptor of it may be stale.
            self._disk.close()
            try:
                self.current = log = self._begin(needed)
            except InvalidValue as again:
                raise OSError(str(again)) from None
        self.begun += 1
        return log

    def write(self, data: bytes) -> Log:
        """
        Append all of *data*, for which there is room or which gets a new segment, and return which one took it.
        """
        log = self.current
        if log is None or log.size + len(data) > log.limit or log.is_torn:
            log = self.begin(len(data))
        log.is_torn = True
        self._write_all(log.file, data)
        return log

    def move(self, logs: list[Log]) -> None:
        """
        Leave descriptors that failed: store again elsewhere what is not durable and is still in memory.
        """

        def move(is_held: bool) -> None:
            if not is_held:
                raise OSError("somebody else is waiting for this thread")
            # Nothing is stored again in what is left, and all is still known if this is interrupted.
            self.retired, self.current = self.open(), None
            for log in logs:
                self._move(log)
                self.retired = [each for each in self.retired if each is not log]

        self._shelf.hold_for(_LOCK_SECONDS, move)

    def put_away(self) -> None:
        """
        Full segments of which everything is durable need only be closed.
        """
        done = [log for log in self.retired if not log.tail]
        left = [log for log in self.retired if log.tail]
        self._done, self.retired = [*self._done, *done], left

    def end_done(self) -> None:
        """
        Close them. With the lock of the shelf, and not necessarily that of appending.
        """
        while self._done:
            self._end(self._done[0], None if self._done[0].is_torn else self._done[0].size)
            del self._done[0]

    def end_done_soon(self) -> None:
        """
        Close them now, or another time: who holds the lock of the shelf may have been interrupted by a signal handler
        that waits for the one who is here.
        """
        if self._done:
            self._shelf.hold_for(_SHORT_SECONDS, lambda is_held: self.end_done() if is_held else None)

    def put_all_away(self) -> None:
        """
        Nothing more is written: all need only be closed.
        """
        self._done, self.retired, self.current = [*self._done, *self.open()], [], None

    def give_up(self, *, cuts: bool) -> None:
        """
        Close all of a disk that failed, and cut off what is not durable if *cuts*.
        """
        for log in self.open():
            if cuts and not log.is_closed:
                # Those who appended are told that it was not stored.
                with suppress(OSError):
                    self._disk.truncate(log.file, log.durable)
            self._end(log, None)
        self.retired, self.current = [], None

    def abandon(self) -> None:
        """
        Close the descriptors and do nothing else.
        """
        for log in (*self.open(), *self._done):
            if not log.is_closed:
                self._disk.free(log.file)

    def _begin(self, needed: int) -> Log:
        created_ms = self._now()
        head = header_line(evolve(self._header, created=created_ms))
        needed += len(head)
        room = self._retention.make_room(needed)
        if room < needed:
            raise SpoolError("full")
        limit = max(min(self._max_segment_bytes, room), needed)
        while True:
            self.number += 1
            name = name_of(self.number, self._header.writer, self._shelf.section)
            acks = None
            file = None
            try:
                # Before the segment, so that nobody ever sees it without somebody who delivers it.
                acks = self._made(f"{name}-acks") if self._delivers else None
                file = self._made(name)
                self._write_all(file, head)
                segment = Segment(self._shelf, name, created_ms=created_ms)
                segment.own(acks, len(head))
                log = Log(segment, file, len(head), limit, created_ms, keeps=self._waits)
            except BlockingIOError:
                self._unmake(name, file, acks)
            except BaseException:
                self._unmake(name, file, acks)
                raise
            else:
                self._shelf.segments[name] = segment
                return log

    def _made(self, name: str) -> int:
        """
        A new file, locked. Who looked at it first, and took it for one that was left behind, has it locked or removed.
        """
        file = self._disk.create(name)
        try:
            if self._disk.lock(file) and self._disk.is_linked(file):
                return file
        except BaseException:
            self._unmade(name, file)
            raise
        self._disk.free(file)
        raise BlockingIOError

    def _unmake(self, name: str, file: int | None, acks: int | None) -> None:
        for made, each in ((file, name), (acks, f"{name}-acks")):
            if made is not None:
                self._unmade(each, made)

    def _unmade(self, name: str, file: int) -> None:
        with suppress(OSError):
            self._disk.unlink(name)
        self._disk.free(file)

    def _write_all(self, file: int, data: bytes) -> None:
        while data:
            data = data[self._disk.write(file, data) :]

    def _retire(self, log: Log) -> None:
        self.retired, self.current = [*self.retired, log], None
        if not self._waits:
            self._done, self.retired = [*self._done, *self.retired], []
            self.end_done_soon()

    def _move(self, log: Log) -> None:
        old, is_linked = log.segment, True
        with suppress(OSError):
            is_linked = self._disk.is_linked(log.file)
        is_ours = False
        with suppress(OSError):
            is_ours = is_linked and old.hold()
        chosen = [each for each in log.tail if not old.is_settled(each[2].start, each[2].end)]
        kept = False
        if is_linked and not is_ours:
            # Somebody delivers them right now: what must not be applied twice stays with that one.
            kept = any(not message.repeatable for message, _, _ in chosen)
            chosen = [each for each in chosen if each[0].repeatable]
        moved: list[tuple[int, int]] = []
        for first in range(0, len(chosen), _MOVED_AT_ONCE):
            moved += self._store_again(old, chosen[first : first + _MOVED_AT_ONCE])
        if not is_linked:
            lost = log.count - old.settled_count - len(log.tail)
            self._shelf.drop("lost", max(lost, 0), own=True)
        end: int | None = log.size
        if moved and is_ours:
            old.settle(moved)
            if not kept:
                with suppress(OSError):
                    self._disk.truncate(log.file, log.durable)
                    end = log.durable
        log.tail.clear()
        self._end(log, end if not log.is_torn and is_linked else None)

    def _store_again(self, old: Segment, chosen: list[Written]) -> list[tuple[int, int]]:
        """
        Write messages to another segment, and return where they stood before.
        """
        data = b"".join([line for _, line, _ in chosen])
        log = self.write(data)
        moved = [(place.start, place.end) for _, _, place in chosen]
        intended = [place for _, _, place in chosen if old.is_intended(place.start)]
        log.account(chosen)
        if intended:
            ranges = [(place.start, place.end) for place in intended]
            log.segment.mark_durably("intended", ranges, durably=True)
        return moved

    def _end(self, log: Log, size: int | None) -> None:
        """
        Nothing more is written to a segment, which has *size* bytes, or nobody knows how many. May be done again.
        """
        file, log.file = log.file, _CLOSED
        if file != _CLOSED:
            self._disk.free(file)
        log.segment.ended(size)
        if not log.segment.is_pinned and not log.segment.is_adopted:
            self._shelf.segments.pop(log.segment.name, None)
