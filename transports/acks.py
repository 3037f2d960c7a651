"""
What became of the messages of a segment: lines of marks in a file beside it, which say of byte ranges that they are
settled or about to be posted. Whoever holds the lock of that file delivers the segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..core.frames import MAX_LINE_BYTES, Footing, Mark, MarkKind, mark_line, read_mark, scan
from .disk import Disk
from .ranges import Ranges

__all__ = ["Acks", "lines_of"]

_WINDOW_BYTES: Final = 1 << 20


class Acks:
    """
    The acks of one segment.

    Args:
        disk: The directory.
        name: Of the file.

    Attributes:
        done: What is settled or cannot be read.
        intents: From where to where those messages stand that are about to be posted.
        interrupted: Where those of them start that somebody else was about to post.
        is_behind: Whether something is settled of which the file says nothing.
    """

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._file: int | None = None
        # Descriptors that are not written to any more and hold the lock.
        self._lockers: list[int] = []
        self._is_loaded = False
        self._is_entry_durable = True
        self._must_begin_line = False
        # Whether a sync failed, so that what was written has to be written anew through another descriptor.
        self._is_distrusted = False
        self.done = Ranges()
        self.intents: dict[int, int] = {}
        self.interrupted: frozenset[int] = frozenset()
        self.is_behind = False

    @property
    def is_held(self) -> bool:
        """
        Whether the file is open here, with its lock.
        """
        return self._file is not None

    def begin(self, file: int | None) -> None:
        """
        There are none yet, in *file* if it was made.
        """
        self._is_loaded = True
        self._is_entry_durable = False
        self._file = file

    def hold(self, is_there: Callable[[], bool]) -> bool:
        """
        Open the file and take its lock; False if somebody else has it.

        Args:
            is_there: Whether the segment still has its name.

        Raises:
            FileNotFoundError: If it has not.
        """
        file, is_made = self._disk.open_or_create(self._name)
        try:
            # Whoever removes acks holds their lock: these may have been removed before it was taken here.
            if not self._disk.lock(file) or not self._disk.is_linked(file):
                self._disk.free(file)
                return False
            if not is_there():
                if is_made:
                    self.unlink()
                raise FileNotFoundError
            if is_made:
                self._is_entry_durable = False
            if not self._is_loaded:
                self._load(file)
            size = self._disk.size(file)
            self._must_begin_line = size > 0 and self._disk.read(file, 1, size - 1) != b"\n"
            self._file = file
        except BaseException:
            # Whatever it was, a lock that nobody knows of would keep everybody out, this one too.
            self._disk.free(file)
            raise
        return True

    def forget(self, ranges: Sequence[tuple[int, int]]) -> None:
        """
        The messages in these ranges are settled, which is not written yet.
        """
        for start, end in ranges:
            self.done.add(start, end)
        if self.intents or self.interrupted:
            self.intents = {start: end for start, end in self.intents.items() if not self.done.covers(start, end)}
            left = [start for start in self.interrupted if not self.done.covers(start, start + 1)]
            self.interrupted = frozenset(left)

    def mark(self, kind: MarkKind, ranges: Sequence[tuple[int, int]]) -> None:
        """
        Write something about the messages in these ranges.
        """
        self._write(mark_line(Mark(kind, tuple(ranges))))
        for start, end in ranges if kind != "settled" else ():
            if kind == "intended":
                self.intents[start] = end
            else:
                self.intents.pop(start, None)

    def sync_marks(self) -> None:
        """
        Return when what was written is durable.
        """
        assert self._file is not None
        try:
            if self._is_distrusted:
                raise OSError("not to be synced again")
            self._disk.sync(self._file)
        except OSError:
            # The kernel may have dropped what it could not write, and would say at the next try that all is well.
            self._write_all_again(self._file)
        if not self._is_entry_durable:
            self._disk.sync_directory()
            self._is_entry_durable = True

    def unlink(self) -> None:
        """
        Remove the file.
        """
        self._disk.unlink(self._name)

    def free(self) -> None:
        """
        Close the file, and give its lock back.
        """
        file, self._file = self._file, None
        for each in (*self._lockers, *(() if file is None else (file,))):
            self._disk.free(each)
        self._lockers.clear()

    def _load(self, file: int) -> None:
        for line in lines_of(self._disk, file):
            mark = read_mark(line)
            if mark is None:
                continue
            for start, end in mark.ranges:
                if mark.kind == "settled":
                    self.done.add(start, end)
                elif mark.kind == "intended":
                    self.intents[start] = end
                else:
                    self.intents.pop(start, None)
        self.intents = {start: end for start, end in self.intents.items() if not self.done.covers(start, end)}
        self.interrupted = frozenset(self.intents)
        self._is_loaded = True

    def _write(self, lines: bytes) -> None:
        assert self._file is not None
        rest = b"\n" + lines if self._must_begin_line else lines
        # Until all is written a line may be torn, and the next one has to begin behind a newline.
        self._must_begin_line = True
        while rest:
            taken = self._disk.write(self._file, rest)
            rest = rest[taken:]
        self._must_begin_line = False

    def _write_all_again(self, old: int) -> None:
        new = self._disk.open_file(self._name, for_writing=True)
        self._is_distrusted = True
        if self._lockers:
            self._file = new
            self._disk.free(old)
        else:
            # The lock is that of the first one.
            self._lockers, self._file = [old], new
        self._must_begin_line = True
        everything = mark_line(Mark("settled", tuple(self.done)))
        if self.intents:
            everything += mark_line(Mark("intended", tuple(self.intents.items())))
        self._write(everything)
        self._disk.sync(new)
        self.is_behind = self._is_distrusted = False


def lines_of(disk: Disk, file: int) -> Iterator[bytes]:
    """
    The lines of a file, in bounded memory.
    """
    at, footing = 0, Footing.FIRM
    while window := disk.read(file, _WINDOW_BYTES + MAX_LINE_BYTES, at):
        found = scan(window, base=at, footing=footing)
        for line in found.lines:
            yield line.content
        if found.next == at:
            return
        at, footing = found.next, found.footing
