"""
Deliver what is in a spool, and come to an end.

The delivery is that of `BufferedTransport`; what is added here is when to stop, and what to say then.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import frozen

from ..core import InvalidValue, Outcome, Project
from ..core.errors import describe
from .base import Post, Stats
from .buffered import BufferedTransport
from .disk import Disk
from .segments import Section, number_of
from .spool import fingerprint
from .survey import Survey, survey

__all__ = ["DrainEnd", "Drained", "drain", "is_taken", "unreadable"]

DrainEnd: TypeAlias = Literal["done", "patience", "taken", "interrupted"]
"""
Why it ended: everything that was there was taken up and settled; nothing was settled for too long; another process
delivers what is there; Ctrl-C.
"""

_SLICE_SECONDS: Final = 0.5
"""How often to look whether there is progress."""
_LOOKS: Final = 5
_LOOK_SECONDS: Final = 0.1
"""Somebody who looks whether a lock is free holds it for a moment: only one that is held for longer is taken."""
_NOT_TOLD: Final = "not told, because it was interrupted"
_CLOSE_SECONDS: Final[Mapping[DrainEnd, float]] = {
    # A request that is under way at the end is worth waiting for: what it holds may be in doubt without the answer.
    "done": 30.0,
    "taken": 30.0,
    "interrupted": 1.0,
    "patience": 0.0,
}


@frozen(kw_only=True)
class Drained:
    """
    What came of it.

    Attributes:
        end: Why it ended.
        read: How many messages were read; all of them are delivered, rejected, failed or unknown, or held still.
        delivered: How many were delivered.
        rejected: How many are in the section ``rejected`` of the spool now, by reason.
        failed: How many were given up, by cause.
        unknown: How many are in the section ``unknown`` of the spool now, because they may have been applied and must
            not be sent twice, by cause.
        held: How many are left. After ``done`` they came while it worked.
        troubles: What hindered the delivery, in the order in which it came up.
        damaged: How many lines could not be read.
        other_versions: How many files are of another format, and were left alone.
        other_projects: How many files belong to another project, and were left alone.
        unreadable: How many files this user may not use, see `unreadable`.
    """

    end: DrainEnd
    read: int
    delivered: int
    rejected: Mapping[str, int]
    failed: Mapping[str, int]
    unknown: Mapping[str, int]
    held: int
    troubles: tuple[str, ...]
    damaged: int
    other_versions: int
    other_projects: int
    unreadable: int

    @property
    def is_success(self) -> bool:
        """
        Whether everything that was there was delivered.
        """
        not_well = (self.rejected, self.failed, self.unknown)
        left = (self.damaged, self.other_versions, self.other_projects, self.unreadable)
        return self.end == "done" and not any(not_well) and not any(left)


def drain(
    directory: str | Path,
    project: Project,
    *,
    patience_seconds: float = 60.0,
    on_progress: Callable[[int, int], object] = lambda settled, there: None,
    on_trouble: Callable[[str], object] = lambda trouble: None,
    post: Post | None = None,
) -> Drained:
    """
    Deliver what is in the spool in *directory*, whoever wrote it, also while somebody still writes.

    What the server rejects, and what may have been applied and must not be sent twice, is kept in sections of their own
    in the same directory. Everything else stays where it is until it is delivered. Ctrl-C ends it with the usual
    result; a second one raises KeyboardInterrupt.

    Args:
        directory: A directory that exists.
        project: Whose data it is and where it goes.
        patience_seconds: How long to go on when nothing is settled.
        on_progress: Called with how many messages are settled, and how many there were in the beginning.
        on_trouble: Called with what hinders the delivery, in words; from any thread.
        post: What makes the requests; by default a `Network`.

    Raises:
        InvalidValue: If there is no such directory, if it is not this user's alone or cannot be written, or if
            everything in it belongs to another project.
    """
    if type(project) is not Project:
        raise InvalidValue("project", "Project(...)", describe(project))
    if math.isnan(patience_seconds) or patience_seconds <= 0:
        raise InvalidValue("patience_seconds", "more than 0", f"{patience_seconds:g}")
    path = os.path.abspath(directory)  # noqa: PTH100  # as given, links and all
    disk = Disk(path, makes=False)
    disk.open()
    try:
        there = _survey(disk, project)
        if there.other_projects and not there.counts:
            raise InvalidValue("project", "the one with the token of these messages", "another one")
        end: DrainEnd = "done"
        tally = _Tally()
        troubles: dict[str, None] = {}
        stats = Stats()

        def told(trouble: str) -> None:
            troubles[trouble] = None
            on_trouble(trouble)

        if there.segments and _is_free(disk):
            with _listening(told) as listener:
                transport = BufferedTransport(project, spool=path, post=post)
                transport.settled_in_background = tally.add
                # The result tells it, with the reasons.
                transport._courier.tells_refused = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                try:
                    end = _deliver(transport, tally, patience_seconds, _left(there), on_progress)
                    # From here on it is told by the result.
                    listener.is_over = True
                    tally.add(transport.close(_CLOSE_SECONDS[end]))
                finally:
                    transport.close(0.0)
            stats = transport.stats()
            tally.fill(stats)
        elif there.segments:
            end = "taken"
        held = _left(_survey(disk, project))
        if end == "taken" and not held:
            # Somebody else delivered it.
            end = "done"
        return Drained(
            end=end,
            read=stats.accepted,
            delivered=stats.delivered,
            rejected=dict(tally.rejected),
            failed=dict(tally.failed),
            unknown=dict(tally.unknown),
            held=held,
            troubles=tuple(troubles),
            damaged=there.damaged,
            other_versions=len(there.other_versions),
            other_projects=there.other_projects,
            unreadable=unreadable(disk, "held"),
        )
    finally:
        disk.close()


def is_taken(disk: Disk, section: Section) -> bool:
    """
    Whether somebody has the right to deliver a section now, or to clear it up. Makes nothing.
    """
    for look in range(_LOOKS):
        try:
            file = disk.open_file(f"{section}.lock", for_writing=True)
        except OSError:
            return False
        try:
            if disk.lock(file):
                return False
        finally:
            disk.free(file)
        if look < _LOOKS - 1:
            time.sleep(_LOOK_SECONDS)
    return True


def unreadable(disk: Disk, section: Section) -> int:
    """
    How many files of a section are not this user's alone, and not used for that reason.
    """
    count = 0
    for name, is_file in disk.names():
        if number_of(name, section) is not None:
            try:
                if not is_file:
                    raise PermissionError
                disk.free(disk.open_file(name))
            except FileNotFoundError:
                # Delivered meanwhile.
                continue
            except OSError:
                count += 1
    return count


class _Tally:
    """
    Counts what became of messages, by the words that tell it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rejected: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """
        Count an outcome; from any thread.
        """
        with self._lock:
            self.rejected.update(f"{each.field}: {each.reason}".removeprefix(": ") for each in outcome.rejected)
            for counts, entries in ((self.failed, outcome.failed), (self.unknown, outcome.unknown)):
                counts.update(f"{each.cause.value} ({each.detail})".removesuffix(" ()") for each in entries)

    def fill(self, stats: Stats) -> None:
        """
        Make up for outcomes of which nobody heard because an interruption came in between.
        """
        totals = (stats.rejected, stats.failed, stats.unknown)
        for counts, count in zip((self.rejected, self.failed, self.unknown), totals, strict=True):
            if (missing := count - counts.total()) > 0:
                counts[_NOT_TOLD] += missing


class _Listener(logging.Handler):
    """
    Hears what transports tell their log.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell
        self.is_over = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.is_over:
            self._tell(record.getMessage())


@contextmanager
def _listening(tell: Callable[[str], object]) -> Generator[_Listener]:
    # A transport tells what hinders it to the log alone: its outcomes are about messages that are settled.
    logger, listener = logging.getLogger("mixwire"), _Listener(tell)
    logger.addHandler(listener)
    try:
        yield listener
    finally:
        logger.removeHandler(listener)


def _deliver(
    transport: BufferedTransport,
    tally: _Tally,
    patience_seconds: float,
    there: int,
    on_progress: Callable[[int, int], object],
) -> DrainEnd:
    settled, accepted, looks = 0, 0, 0
    settled_at = time.monotonic()
    try:
        while True:
            begun = time.monotonic()
            seconds = min(_SLICE_SECONDS, max(settled_at + patience_seconds - begun, 0.0))
            tally.add(transport.flush(seconds))
            now = time.monotonic()
            stats = transport.stats()
            if stats.accepted - stats.held > settled:
                settled, settled_at = stats.accepted - stats.held, now
                on_progress(settled, max(there, settled))
            if stats.held == 0 and stats.accepted >= there:
                return "done"
            if now - settled_at >= patience_seconds:
                return "patience"
            if stats.held == 0 and now - begun < seconds:
                # There was nothing that it could take up: somebody else has it, or looked at the lock just then.
                looks = looks + 1 if stats.accepted == accepted else 0
                if looks == _LOOKS:
                    return "taken"
                time.sleep(_LOOK_SECONDS)
            accepted = stats.accepted
    except KeyboardInterrupt:
        return "interrupted"


def _is_free(disk: Disk) -> bool:
    try:
        # It is made here, if it has to be, so that a directory that cannot be written is known as such.
        file, _ = disk.open_or_create("held.lock")
    except OSError as error:
        found = f"one that cannot ({error.strerror})"
        raise InvalidValue("directory", "one in which files can be made", found) from None
    disk.free(file)
    return not is_taken(disk, "held")


def _survey(disk: Disk, project: Project) -> Survey:
    return survey(disk, "held", fingerprint(project), time.time_ns() // 1_000_000)


def _left(found: Survey) -> int:
    return sum(count for (_, state), count in found.counts.items() if state != "settled")
