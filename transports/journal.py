"""
How messages get onto the disk: appended to a segment with one write, made durable a moment later or at once.

An accepted message is in a file. Until the file is synced the message is also kept in memory, because a descriptor of
which a sync failed once must never be believed again: what is not durable yet is then stored once more elsewhere.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, Literal, TypeAlias

from attrs import evolve

from ..core import InvalidValue, Message
from ..core.frames import Header, Note, frame, header_line
from .disk import Disk
from .reminder import Reminder
from .retention import Retention
from .segments import Place, Segment, Shelf, name_of
from .trouble import SpoolError, trouble_of

__all__ = ["Journal", "Sync"]

Sync: TypeAlias = Literal["always", "interval", "never"]
"""
When stored messages become safe from a power cut: before `append` returns; a moment later, which is the default; or
when the system likes. The death of the process loses nothing in any case.
"""

_FAILED_SECONDS: Final = 60.0
_LOCK_SECONDS: Final = 5.0
_SHORT_SECONDS: Final = 0.05
# Descriptors of full segments that wait for the disk; with more of them those who append wait as well.
_MOST_RETIRED: Final = 2
_LOGGER: Final = "mixwire.spool"


_Entry: TypeAlias = tuple[Sequence[Message], list[bytes], list[Place]]
"""What was appended together: messages, their lines and their places."""


class _Log:
    """
    A segment that is being written.
    """

    __slots__ = ("count", "created_ms", "durable", "file", "is_torn", "limit", "segment", "size", "tail")

    def __init__(self, segment: Segment, file: int, size: int, limit: int, created_ms: int) -> None:
        self.segment = segment
        self.file = file
        self.size = size
        # Up to where it needs not be stored again: what was synced, at first the header.
        self.durable = size
        self.limit = limit
        self.created_ms = created_ms
        self.count = 0
        # Whether a write was begun and not accounted for: an exception may come from a signal handler at any moment.
        self.is_torn = False
        # What is not durable yet.
        self.tail: list[_Entry] = []


class Journal:
    """
    Appends to the segments of one writer.

    Args:
        disk: The directory.
        shelf: Where the segments go.
        retention: What makes room for new ones.
        header: What all segments say of their writer; the time is filled in.
        delivers: Whether the acks of each segment are to be held from the beginning.
        sync: When messages become durable.
        sync_after_seconds: How much later with ``interval``.
        max_segment_bytes: How large a segment may get.
        max_age_seconds: How old a segment may get before another is begun.
        number: The highest number in use.
        now: The time in milliseconds since 1970.
    """

    def __init__(
        self,
        disk: Disk,
        shelf: Shelf,
        retention: Retention,
        *,
        header: Header,
        delivers: bool,
        sync: Sync,
        sync_after_seconds: float,
        max_segment_bytes: int,
        max_age_seconds: float | None,
        number: int,
        now: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._shelf = shelf
        self._retention = retention
        self._header = header
        self._delivers = delivers
        self._mode: Sync = sync
        self._sync_after_seconds = sync_after_seconds
        self._max_segment_bytes = max_segment_bytes
        self._max_age_seconds = max_age_seconds
        self._now = now
        self.number = number
        self._is_closed = False
        self._failed_until = 0.0
        # Taken in this order: that of syncing, that of appending, that of the shelf.
        self._sync_lock = threading.RLock()
        self._lock = threading.RLock()
        self._nowhere = Segment(shelf, "")
        self._log: _Log | None = None
        self._retired: list[_Log] = []
        # The thread that is appending, and what a signal handler that interrupted it left for it to append.
        self._appender = 0
        self._left: list[_Entry] = []
        # Appends are numbered: those that were made, that are durable, and that never will be.
        self._appended = 0
        self._synced = 0
        self._failed = range(0)
        # The threads that sync or wait for that.
        self._waiting: set[int] = set()
        self._wanted = 0
        self._is_due = False
        self._due_at: float | None = None
        self._is_name_durable = True
        self._reminder = Reminder(self._sync_in_background, sync_after_seconds)

    def append(self, messages: Sequence[Message], notes: Sequence[Note] = ()) -> list[Place]:
        """
        Store messages, all or none, and return where each stands.

        Args:
            messages: In order.
            notes: One for each of them, or none at all.

        Raises:
            SpoolError: If they could not be stored.
        """
        nowhere = self._nowhere if self._log is None else self._log.segment
        if len(messages) == 1 and not notes:
            # The common case, without the cost of comprehensions.
            lines, places = [frame(messages[0])], [Place(nowhere)]
        elif notes:
            lines = [frame(message, note) for message, note in zip(messages, notes, strict=True)]
            places = [Place(nowhere) for _ in lines]
        else:
            lines = [frame(message) for message in messages]
            places = [Place(nowhere) for _ in lines]
        if not places:
            return places
        entry = (messages, lines, places)
        with self._lock:
            if self._appender:
                # This is a signal handler or finaliser inside of another append.
                self._left.append(entry)
                return places
            self._appender = threading.get_ident()
            try:
                self._write(entry)
                number = self._appended
            finally:
                self._appender = 0
                if self._left:
                    self._write_left()
        if self._mode == "always":
            self._sync_up_to(number)
        elif len(self._retired) > _MOST_RETIRED or (self._due_at is not None and time.monotonic() >= self._due_at):
            with suppress(SpoolError):
                self.sync()
        return places

    def sync(self) -> None:
        """
        Return when everything that was appended is durable. Those who call it at the same time share the work.
        """
        self._sync_up_to(self._appended)

    def close(self) -> None:
        """
        Sync, and close the segments.
        """
        with suppress(SpoolError):
            self.sync()
        self.stop()
        with self._sync_lock, self._lock:
            self._is_closed = True
            logs = self._logs()
            self._log = None
            self._retired.clear()
            with self._shelf.lock:
                for log in logs:
                    self._end(log, None if log.is_torn else log.size)

    def stop(self) -> None:
        """
        End the thread.
        """
        self._reminder.stop()

    def abandon(self) -> None:
        """
        Close the files and do nothing else, because they are those of the process that this one was forked from.
        """
        for log in self._logs():
            self._disk.free(log.file)

    def __del__(self) -> None:
        self._reminder.stop()

    # How it is done: appending. All of this is called with the lock of appending.

    def _write(self, entry: _Entry) -> None:
        lines = entry[1]
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        log = self._log
        if (
            log is None
            or log.size + len(data) > log.limit
            or log.is_torn
            or (self._max_age_seconds is not None and self._now() - log.created_ms > self._max_age_seconds * 1000)
        ):
            log = self._ready(len(data))
        taken = 0
        log.is_torn = True
        try:
            while taken < len(data):
                taken += self._disk.write(log.file, data[taken:] if taken else data)
        except OSError as error:
            log = self._rescued(log, entry, data, taken, error)
        self._account(log, entry)

    def _account(self, log: _Log, entry: _Entry) -> None:
        _, lines, places = entry
        segment, at = log.segment, log.size
        for place, line in zip(places, lines):  # noqa: B905  # one for each; to check that costs more than the loop
            place.segment = segment
            place.start = at
            at += len(line)
            place.end = at
        log.size = at
        log.count += len(places)
        if self._mode != "never":
            log.tail.append(entry)
            self._appended += 1
            if not self._is_due and self._mode == "interval":
                self._is_due = True
                if not self._reminder.remind():
                    self._due_at = time.monotonic() + self._sync_after_seconds
        log.is_torn = False

    def _write_left(self) -> None:
        while self._left:
            self._appender = threading.get_ident()
            try:
                entry = self._left.pop(0)
                try:
                    self._write(entry)
                except SpoolError:
                    self._shelf.drop("not stored", len(entry[2]), own=True)
            finally:
                self._appender = 0

    def _ready(self, needed: int) -> _Log:
        """
        A new segment with room for so many bytes.
        """
        if self._is_closed:
            raise SpoolError("closed")
        if time.monotonic() < self._failed_until:
            raise SpoolError("disk failed")
        if self._log is not None:
            self._retire(self._log)
        try:
            return self._begin_somehow(needed)
        except OSError as error:
            if trouble_of(error) == "disk failed":
                self._fail()
            raise SpoolError(trouble_of(error)) from None

    def _begin_somehow(self, needed: int) -> _Log:
        try:
            return self._begin(needed)
        except (OSError, InvalidValue) as error:
            if isinstance(error, OSError) and trouble_of(error) == "disk full":
                raise
        # The directory may have been removed, or the descriptor of it may be stale.
        self._disk.close()
        try:
            return self._begin(needed)
        except InvalidValue as error:
            raise OSError(str(error)) from None

    def _begin(self, needed: int) -> _Log:
        created_ms = self._now()
        head = header_line(evolve(self._header, created=created_ms))
        needed += len(head)
        room = self._retention.make_room(needed)
        if room < needed:
            raise SpoolError("full")
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
            except BlockingIOError:
                self._unmake(name, file, acks)
                continue
            except BaseException:
                self._unmake(name, file, acks)
                raise
            break
        segment = Segment(self._shelf, name, created_ms=created_ms)
        segment.own(acks, len(head))
        self._shelf.segments[name] = segment
        self._is_name_durable = False
        limit = max(min(self._max_segment_bytes, room), needed)
        self._log = log = _Log(segment, file, len(head), limit, created_ms)
        return log

    def _made(self, name: str) -> int:
        """
        A new file, locked. Who looked at it first, and took it for one that was left behind, has it locked or removed.
        """
        file = self._disk.create(name)
        if not self._disk.lock(file) or not self._disk.is_linked(file):
            self._disk.free(file)
            raise BlockingIOError
        return file

    def _unmake(self, name: str, file: int | None, acks: int | None) -> None:
        for made, each in ((file, name), (acks, f"{name}-acks")):
            if made is not None:
                with suppress(OSError):
                    self._disk.unlink(each)
                self._disk.free(made)

    def _write_all(self, file: int, data: bytes) -> None:
        while data:
            data = data[self._disk.write(file, data) :]

    def _retire(self, log: _Log) -> None:
        self._log = None
        self._retired.append(log)
        # Who holds the lock of the shelf may be waiting for the one of appending: then it is done another time.
        if self._mode == "never" and self._shelf.lock.acquire(timeout=_SHORT_SECONDS):
            try:
                while self._retired:
                    done = self._retired.pop()
                    self._end(done, None if done.is_torn else done.size)
            finally:
                self._shelf.lock.release()

    def _rescued(self, log: _Log, entry: _Entry, data: bytes, taken: int, error: OSError) -> _Log:
        """
        After a failed write: cut off what was written of it, then say that the disk is full or go on elsewhere.
        """
        was_cut = False
        with suppress(OSError):
            self._disk.truncate(log.file, log.size)
            was_cut = True
        if trouble_of(error) == "disk full":
            # A whole line may have been seen by who delivers: its bytes must never mean another one.
            if was_cut and taken < len(entry[1][0]):
                log.is_torn = False
            raise SpoolError("disk full") from None
        log.is_torn = not was_cut
        try:
            self._move([log], len(data))
            log = self._log if self._log is not None else self._begin_somehow(len(data))
            log.is_torn = True
            self._write_all(log.file, data)
        except OSError as again:
            self._fail()
            raise SpoolError(trouble_of(again)) from None
        return log

    # How it is done: syncing.

    def _sync_up_to(self, number: int) -> None:
        if self._mode == "never":
            return
        thread = threading.get_ident()
        if self._appender == thread or thread in self._waiting:
            # A signal handler must neither wait for what it interrupted nor pile up with others on a slow disk: what
            # it wants is done by the call that it interrupted.
            self._wanted = max(self._wanted, number)
            return
        self._waiting.add(thread)
        try:
            with self._sync_lock:
                self._wanted = max(self._wanted, number)
                failures = 0
                while self._synced < self._wanted:
                    failed = self._sync_once()
                    if failed:
                        failures += 1
                        with self._appending():
                            self._leave(failed, is_last=failures > 1)
        finally:
            self._waiting.discard(thread)
        if number in self._failed:
            raise SpoolError("disk failed")

    def _sync_once(self) -> list[_Log]:
        """
        Make durable what there is; if that fails, what cannot be trusted any more.
        """
        with self._appending():
            logs = self._logs()
            snapshot = [(log, len(log.tail), log.size) for log in logs]
            number = self._appended
            is_name_durable, self._is_name_durable = self._is_name_durable, True
            self._is_due = False
            self._due_at = None
        # Here appending goes on.
        try:
            for log, _, size in snapshot:
                if log.durable < size:
                    self._disk.sync(log.file)
                    if not self._disk.is_linked(log.file):
                        raise FileNotFoundError
            if not is_name_durable:
                self._disk.sync_directory()
        except OSError:
            self._is_name_durable = False
            return logs
        with self._appending():
            for log, count, size in snapshot:
                del log.tail[:count]
                log.durable = size
            done = [log for log in self._retired if log in logs]
            self._retired = [log for log in self._retired if log not in logs]
            self._synced = max(self._synced, number)
        with self._shelf.lock:
            for log in done:
                self._end(log, None if log.is_torn else log.size)
        return []

    def _end(self, log: _Log, size: int | None) -> None:
        """
        Nothing more is written to a segment.
        """
        self._disk.free(log.file)
        log.segment.ended(size)
        if not log.segment.is_pinned and not log.segment.is_adopted:
            self._shelf.segments.pop(log.segment.name, None)

    def _leave(self, logs: list[_Log], *, is_last: bool) -> None:
        if not is_last:
            with suppress(OSError, SpoolError):
                self._move([log for log in self._logs() if log in logs], 0)
                return
        self._fail()
        self._failed = range(self._synced + 1, self._appended + 1)
        self._synced = self._appended

    def _move(self, logs: list[_Log], needed: int) -> None:
        """
        Leave descriptors that failed: store again elsewhere what is not durable and is still in memory.
        """
        if not self._shelf.lock.acquire(timeout=_LOCK_SECONDS):
            raise OSError("somebody else is waiting for this thread")
        try:
            self._log = None
            self._retired = [log for log in self._retired if log not in logs]
            left = list(logs)
            try:
                while left:
                    self._move_one(left[0], needed)
                    del left[0]
            finally:
                self._retired += left
        finally:
            self._shelf.lock.release()

    def _move_one(self, log: _Log, needed: int) -> None:
        old, is_linked = log.segment, True
        with suppress(OSError):
            is_linked = self._disk.is_linked(log.file)
        is_ours = False
        with suppress(OSError):
            is_ours = is_linked and old.hold()
        moved: list[tuple[int, int]] = []
        kept = False
        for entry in log.tail:
            chosen = [
                (message, line, place)
                for message, line, place in zip(*entry, strict=True)
                if not old.is_settled(place.start, place.end)
            ]
            if is_linked and not is_ours:
                # Somebody delivers them right now: what must not be applied twice stays with that one.
                kept = kept or any(not message.repeatable for message, _, _ in chosen)
                chosen = [each for each in chosen if each[0].repeatable]
            if chosen:
                moved += self._store_again(old, chosen)
        if not is_linked:
            lost = log.count - old.settled_count - sum(len(places) for _, _, places in log.tail)
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

    def _store_again(self, old: Segment, chosen: list[tuple[Message, bytes, Place]]) -> list[tuple[int, int]]:
        """
        Write messages to another segment, and return where they stood before.
        """
        messages = [message for message, _, _ in chosen]
        lines = [line for _, line, _ in chosen]
        places = [place for _, _, place in chosen]
        data = b"".join(lines)
        log = self._log
        if log is None or log.size + len(data) > log.limit or log.is_torn:
            if log is not None:
                self._retire(log)
            log = self._begin_somehow(len(data))
        log.is_torn = True
        self._write_all(log.file, data)
        moved = [(place.start, place.end) for place in places]
        intended = [place for place in places if old.is_intended(place.start)]
        self._account(log, (messages, lines, places))
        if intended:
            ranges = [(place.start, place.end) for place in intended]
            log.segment.mark_durably("intended", ranges, durably=True)
        return moved

    def _fail(self) -> None:
        self._failed_until = time.monotonic() + _FAILED_SECONDS
        logs = self._logs()
        self._log = None
        self._retired.clear()
        is_locked = self._shelf.lock.acquire(timeout=_SHORT_SECONDS)
        for each in logs:
            if self._mode == "always":
                # Those who appended are told that it was not stored.
                with suppress(OSError):
                    self._disk.truncate(each.file, each.durable)
            self._end(each, None)
        if is_locked:
            self._shelf.lock.release()
        logging.getLogger(_LOGGER).warning("the disk of the spool failed; trying again in 60 seconds")

    @contextmanager
    def _appending(self) -> Generator[None]:
        with self._lock:
            self._appender = threading.get_ident()
            try:
                yield
            finally:
                self._appender = 0
                self._write_left()

    def _sync_in_background(self) -> None:
        # What failed is told by the next append.
        with suppress(SpoolError):
            self.sync()

    def _logs(self) -> list[_Log]:
        return [*self._retired, *(() if self._log is None else (self._log,))]
