"""
Store messages now, to be delivered later or by somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from attrs import evolve

from ..core import Cause, Failed, Message, Outcome, Project
from .base import Ledger, Stats, Transport, checked
from .disk import Disk
from .segments import Section
from .spool import Spool, SpoolError, Sync, WhenFull
from .survey import Kept, kept

__all__ = ["FileTransport", "read_spool"]


class FileTransport(Transport):
    """
    Writes messages to a spool and holds them there: ``mixwire drain``, or a buffered transport with the same spool,
    delivers them, in this process or another, now or later. Any number of processes may share a directory.

    A message is stored when `send` returns and survives the end of the process; what `sync` says about power cuts is
    told at `Spool`, and so are all arguments. What the disk does not take comes back as failed.

    Raises:
        InvalidValue: If an argument is not what it should be, or the directory cannot be used safely.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        project: Project | None = None,
        sync: Sync = "interval",
        sync_after_seconds: float = 0.1,
        max_segment_bytes: int = 8 * 2**20,
        max_bytes: int = 2**30,
        max_age_seconds: float | None = None,
        when_full: WhenFull = "refuse",
    ) -> None:
        self._spool = Spool(
            directory,
            project=project,
            sync=sync,
            sync_after_seconds=sync_after_seconds,
            max_segment_bytes=max_segment_bytes,
            max_bytes=max_bytes,
            max_age_seconds=max_age_seconds,
            when_full=when_full,
        )
        self._ledger = Ledger()
        self._pid = os.getpid()
        self._is_closed = False

    def send(self, *messages: Message) -> Outcome:
        checked(messages)
        if self._pid != os.getpid():
            # What the parent sent is the parent's.
            self._pid, self._ledger = os.getpid(), Ledger()
        self._ledger.accept(len(messages))
        if self._is_closed:
            outcome = _failed(messages, Cause.CLOSED)
        else:
            try:
                self._spool.append(messages)
                return Outcome()
            except SpoolError as error:
                outcome = _failed(messages, Cause.NOT_STORED, str(error))
        self._ledger.settle(outcome)
        return outcome

    def flush(self, timeout: float | None = None) -> Outcome:
        """
        Make what is held safe from a power cut, which the disk may take its time for: the empty outcome, with a note if
        the disk failed.
        """
        try:
            self._spool.sync()
        except SpoolError as error:
            return Outcome(notes=(f"what is held may not survive a power cut: {error}",))
        return Outcome()

    def close(self, timeout: float | None = None) -> Outcome:
        """
        Flush, and close the files. What is held stays in the directory.
        """
        outcome = Outcome() if self._is_closed else self.flush(timeout)
        self._is_closed = True
        self._spool.close()
        return outcome

    def stats(self) -> Stats:
        """
        The figures so far. What is stored counts as held, also when another process has delivered it since.
        """
        figures, dropped = self._ledger.stats(), self._spool.dropped_own
        return evolve(figures, dropped=dropped, held=figures.held - dropped)


def _failed(messages: tuple[Message, ...], cause: Cause, detail: str = "") -> Outcome:
    return Outcome(failed=tuple(Failed(message, cause, detail) for message in messages))


def read_spool(directory: str | Path, *, section: Section = "held") -> Iterator[Kept]:
    """
    The messages in a directory, in order. Reads only, and disturbs nobody.

    Raises:
        InvalidValue: If there is no such directory, or it is not this user's alone.
    """
    disk = Disk(os.path.abspath(directory), makes=False)  # noqa: PTH100  # as given, links and all
    try:
        disk.open()
        yield from kept(disk, section)
    finally:
        disk.close()
