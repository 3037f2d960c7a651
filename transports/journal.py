"""
How messages get onto the disk: appended to a segment with one write, made durable a moment later or at once.

An accepted message is in a file. Until the file is synced the message is also kept in memory, because a descriptor of
which a sync failed once must never be believed again: what is not durable yet is then stored once more elsewhere.

A signal handler may append in the midst of an append, and may raise at any moment. Hence what must be undone is begun
inside of its `try`, what belongs together is assigned without a call in between, and what ended is closed before it is
forgotten.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar

from ..core import Message
from ..core.frames import Header, Note, frame
from .disk import Disk
from .logs import Log, Logs, Written
from .reminder import Reminder
from .retention import Retention
from .segments import Place, Segment, Shelf
from .trouble import SpoolError, trouble_of

__all__ = ["HOLDERS", "Journal", "Sync", "holding"]

Sync: TypeAlias = Literal["always", "interval", "never"]
"""
When stored messages become safe from a power cut: before `append` returns; a moment later, which is the default; or
when the system likes. The death of the process loses nothing in any case.
"""

_FAILED_SECONDS: Final = 60.0
_SHORT_SECONDS: Final = 0.05
# Descriptors of full segments that wait for the disk; with more of them those who append wait as well.
_MOST_RETIRED: Final = 2
_LOGGER: Final = "mixwire.spool"

_T = TypeVar("_T")

HOLDERS: Final[set[int]] = set()
"""
The threads that hold a lock of a transport, or are about to. The collector may run a finaliser in any of them, and what
that sends must not wait for a lock: whoever has it may be waiting for the one that is held.
"""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=HOLDERS.clear)


def holding(do: Callable[[], _T]) -> _T:
    """
    Do something that takes locks of a transport.
    """
    me = threading.get_ident()
    if me in HOLDERS:
        return do()
    try:
        HOLDERS.add(me)
        return do()
    finally:
        HOLDERS.discard(me)


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
        self._nowhere = Segment(shelf, "")
        self._logs = Logs(
            disk,
            shelf,
            retention,
            header=header,
            delivers=delivers,
            max_segment_bytes=max_segment_bytes,
            number=number,
            now=now,
            waits=sync != "never",
        )
        self._mode: Sync = sync
        self._sync_after_seconds = sync_after_seconds
        self._max_age_seconds = max_age_seconds
        self._now = now
        self._is_closed = False
        self._failed_until = 0.0
        self._is_untold = False
        # Taken in this order: that of syncing, that of appending, that of the shelf.
        self._sync_lock = threading.RLock()
        self._lock = threading.RLock()
        # The thread that is appending, and what a signal handler that interrupted it left for it to append.
        self._appender = 0
        self._left: list[list[Written]] = []
        # Appends are numbered: those that were made, that are durable, and that never will be.
        self._appended = 0
        self._synced = 0
        self._failed = range(0)
        # The threads that sync or wait for that.
        self._waiting: set[int] = set()
        self._wanted = 0
        # Whether somebody was asked to sync in a while, or when to sync here if nobody can be asked.
        self._is_due = False
        self._due_at: float | None = None
        # How many of the segments that were begun have durable names.
        self._begun_durably = 0
        self._reminder = Reminder(self._sync_in_background, sync_after_seconds)

    @property
    def number(self) -> int:
        """
        The highest number in use.
        """
        return self._logs.number

    def append(self, messages: Sequence[Message], notes: Sequence[Note] = ()) -> list[Place]:
        """
        Store messages, all or none, and return where each stands.

        Args:
            messages: In order.
            notes: One for each of them, or none at all.

        Raises:
            SpoolError: If they could not be stored.
        """
        current = self._logs.current
        nowhere = self._nowhere if current is None else current.segment
        if len(messages) == 1 and not notes:
            # The common case, without the cost of comprehensions.
            place = Place(nowhere)
            places = [place]
            data = frame(messages[0])
            entry = [(messages[0], data, place)]
        elif not messages:
            return []
        else:
            lines = (
                [frame(message, note) for message, note in zip(messages, notes, strict=True)]
                if notes
                else [frame(message) for message in messages]
            )
            places = [Place(nowhere) for _ in lines]
            data = b"".join(lines)
            entry = list(zip(messages, lines, places, strict=True))
        if threading.get_ident() in HOLDERS:
            # The common case, without the cost of a closure.
            self._append(entry, data)
        else:
            self._locking(partial(self._append, entry, data))
        return places

    def sync(self) -> None:
        """
        Return when everything that was appended is durable. Those who call it at the same time share the work.
        """
        self._locking(lambda: self._sync_up_to(self._appended))

    def close(self) -> None:
        """
        Sync, and close the segments. To be called again if it was interrupted.
        """
        self._locking(self._close)

    def stop(self) -> None:
        """
        End the thread.
        """
        self._reminder.stop()

    def abandon(self) -> None:
        """
        Close the files and do nothing else, because they are those of the process that this one was forked from.
        """
        self._logs.abandon()

    def __del__(self) -> None:
        self._reminder.stop()

    def _locking(self, do: Callable[[], None]) -> None:
        """
        Do something that takes locks, and tell afterwards what nobody could be told meanwhile.
        """
        try:
            holding(do)
        finally:
            if self._is_untold and threading.get_ident() not in HOLDERS:
                self._is_untold = False
                logging.getLogger(_LOGGER).warning("the disk of the spool failed; trying again in 60 seconds")

    def _close(self) -> None:
        if self._left:
            self._alone(lambda: None)
        with suppress(SpoolError):
            self.sync()
        self.stop()
        with self._sync_lock, self._lock:
            self._is_closed = True
            self._logs.put_all_away()
        # Without the others: who holds this lock may have been interrupted by a signal handler that waits for them.
        with self._shelf.lock:
            self._logs.end_done()

    # How it is done: appending. All of this but the first is called with the lock of appending.

    def _append(self, entry: list[Written], data: bytes) -> None:
        with self._lock:
            if self._appender:
                # This is a signal handler or finaliser inside of another append.
                self._left.append(entry)
                return
            try:
                self._appender = threading.get_ident()
                self._write(entry, data)
                number = self._appended
            finally:
                self._appender = 0
                if self._left:
                    self._write_left()
        if self._mode == "always":
            self._sync_up_to(number)
        elif self._due_at is not None or len(self._logs.retired) > _MOST_RETIRED:
            self._sync_if_due()

    def _write(self, entry: list[Written], data: bytes) -> None:
        log = self._logs.current
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
            taken = self._disk.write(log.file, data)
            while taken < len(data):
                taken += self._disk.write(log.file, data[taken:])
            log.account(entry)
        except OSError as error:
            self._rescued(log, entry, data, taken, error).account(entry)
        except BaseException:
            # A signal handler raised, and whether the lines were written before that is told by the file alone.
            if log.is_torn:
                with suppress(OSError):
                    if self._disk.size(log.file) == log.size + len(data):
                        log.account(entry)
            if not log.is_torn:
                self._appended += 1
            raise
        self._appended += 1
        if not self._is_due and self._mode == "interval":
            # In this order: whoever interrupts this leaves another to ask once more.
            if not self._reminder.remind():
                self._due_at = time.monotonic() + self._sync_after_seconds
            self._is_due = True

    def _write_left(self) -> None:
        """
        Append what signal handlers left. Whatever interrupts this finds an entry in the list or written.
        """
        while self._left:
            try:
                self._appender = threading.get_ident()
                # Asked again: a handler that came before this was its own appender, and wrote the others too.
                while self._left:
                    entry = self._left[0]
                    try:
                        if not entry[0][2].end:
                            self._write(entry, b"".join([line for _, line, _ in entry]))
                    except SpoolError:
                        self._shelf.drop("not stored", len(entry), own=True)
                    del self._left[0]
            finally:
                self._appender = 0

    def _ready(self, needed: int) -> Log:
        """
        A new segment with room for so many bytes.
        """
        if self._is_closed:
            raise SpoolError("closed")
        if time.monotonic() < self._failed_until:
            raise SpoolError("disk failed")
        try:
            return self._logs.begin(needed)
        except OSError as error:
            if trouble_of(error) == "disk failed":
                self._fail()
            raise SpoolError(trouble_of(error)) from None

    def _rescued(self, log: Log, entry: list[Written], data: bytes, taken: int, error: OSError) -> Log:
        """
        After a failed write: cut off what was written of it, then say that the disk is full or go on elsewhere.
        """
        was_cut = False
        with suppress(OSError):
            self._disk.truncate(log.file, log.size)
            was_cut = True
        if trouble_of(error) == "disk full":
            # A whole line may have been seen by who delivers: its bytes must never mean another one.
            if was_cut and taken < len(entry[0][1]):
                log.is_torn = False
            raise SpoolError("disk full") from None
        log.is_torn = not was_cut
        try:
            self._logs.move([log])
            return self._logs.write(data)
        except OSError as again:
            self._fail()
            raise SpoolError(trouble_of(again)) from None

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
        try:
            self._waiting.add(thread)
            with self._sync_lock:
                self._wanted = max(self._wanted, number)
                failures = 0
                while self._synced < self._wanted:
                    failed = self._sync_once()
                    if failed is not None:
                        failures += 1
                        self._alone(partial(self._leave, failed, is_last=failures > 1))
        finally:
            self._waiting.discard(thread)
        if number in self._failed:
            raise SpoolError("disk failed")

    def _sync_once(self) -> list[Log] | None:
        """
        Make durable what there is. If that fails, the logs that cannot be trusted any more, of which there may be none.
        """
        snapshot, number, begun = self._alone(self._snapshot)
        # Here appending goes on.
        try:
            for log, _, size in snapshot:
                if log.is_closed or log.is_doubtful:
                    # To move what it held was interrupted.
                    raise OSError("not to be synced again")
                if log.durable < size:
                    self._disk.sync(log.file)
                    if not self._disk.is_linked(log.file):
                        raise FileNotFoundError
            if self._begun_durably < begun:
                self._disk.sync_directory()
                self._begun_durably = begun
        except OSError:
            for log, _, _ in snapshot:
                log.is_doubtful = True
            return [log for log, _, _ in snapshot]
        self._alone(lambda: self._synced_up_to(snapshot, number))
        self._logs.end_done_soon()
        return None

    def _snapshot(self) -> tuple[list[tuple[Log, int, int]], int, int]:
        logs = [(log, len(log.tail), log.size) for log in self._logs.open()]
        return logs, self._appended, self._logs.begun

    def _synced_up_to(self, snapshot: list[tuple[Log, int, int]], number: int) -> None:
        if any(log.is_closed for log, _, _ in snapshot):
            # What was stored again elsewhere meanwhile is as durable as that: to be synced once more.
            return
        for log, count, size in snapshot:
            del log.tail[:count]
            log.durable = size
        self._synced = max(self._synced, number)
        self._logs.put_away()

    def _leave(self, logs: list[Log], *, is_last: bool) -> None:
        if not is_last:
            with suppress(OSError, SpoolError):
                self._logs.move([log for log in self._logs.open() if log in logs])
                return
        self._fail()

    def _fail(self) -> None:
        self._failed_until = time.monotonic() + _FAILED_SECONDS
        # Without the lock of the shelf if need be.
        self._shelf.hold_for(_SHORT_SECONDS, lambda _: self._logs.give_up(cuts=self._mode == "always"))
        # Nobody will sync what stands in the files that were left.
        if self._synced < self._appended:
            self._failed, self._synced = range(self._synced + 1, self._appended + 1), self._appended
        # Told where no lock is held, by whoever comes there first: a handler of the log may be one that sends.
        self._is_untold = True
        self._reminder.remind()

    def _alone(self, do: Callable[[], _T]) -> _T:
        """
        Do something while nobody appends, not even a signal handler.
        """
        with self._lock:
            try:
                self._appender = threading.get_ident()
                return do()
            finally:
                self._appender = 0
                if self._left:
                    self._write_left()

    def _sync_if_due(self) -> None:
        if self._due_at is not None and time.monotonic() >= self._due_at:
            self._is_due = False
            self._due_at = None
        elif len(self._logs.retired) <= _MOST_RETIRED:
            return
        with suppress(SpoolError):
            self.sync()

    def _sync_in_background(self) -> None:
        # What is appended from now on asks again.
        self._is_due = False
        # What failed is told by the next append.
        with suppress(SpoolError):
            self.sync()
