"""
Messages on a disk: stored when `Spool.append` returns, until they are settled.

Each process, and each `Spool`, appends to segments of its own; one of them at a time delivers what the others left.
What is appended survives the death of the process at once, and a power cut as soon as it is synced.
"""

# What a user of a spool needs comes from here, wherever it is made.
# ruff: noqa: PLC0414

from __future__ import annotations

import hashlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final, Literal, get_args

from ..core import InvalidValue, Message, Project
from ..core.errors import describe
from ..core.frames import Header
from ..core.frames import Note as Note
from .adoption import Adoption
from .disk import Disk
from .journal import Journal
from .journal import Sync as Sync
from .retention import Retention
from .retention import WhenFull as WhenFull
from .segments import Chunk as Chunk
from .segments import Place as Place
from .segments import Section as Section
from .segments import Segment as Segment
from .segments import Shelf, number_of
from .segments import Stored as Stored
from .survey import Survey as Survey
from .survey import survey
from .trouble import SpoolError as SpoolError
from .trouble import SpoolTrouble as SpoolTrouble
from .trouble import trouble_of

__all__ = ["Spool", "fingerprint"]

# A foreign file with a huge number must not leave us without names.
_LAST_NUMBER: Final = 9_000_000_000_000_000


class Spool:
    """
    One section of a directory of stored messages.

    `append` may be called from any thread, from a signal handler and from a finaliser, also while another call of it is
    interrupted in the same thread: the places of such messages are known a moment later.

    Args:
        directory: Where; made if it is missing. It has to belong to this user and to be closed to others.
        section: What is kept.
        delivers: Whether this spool delivers what it appends. If not, whoever calls `adopt` may do so at once.
        sync: When messages become safe from a power cut; `never` also makes `Spool.sync` do nothing.
        sync_after_seconds: How much later with ``interval``.
        max_segment_bytes: How large a file may get.
        max_bytes: How large all files of the section may be together.
        max_age_seconds: How old a file may get; None for any age.
        when_full: What to do when there is no room.
        project: Whose messages they are; what others stored for another project is left alone. None for any.
        disk: The directory, for tests.
        now: The time in milliseconds since 1970.

    Raises:
        InvalidValue: If an argument is not what it should be, or the directory cannot be used safely.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        section: Section = "held",
        delivers: bool = False,
        sync: Sync = "interval",
        sync_after_seconds: float = 0.1,
        max_segment_bytes: int = 8 << 20,
        max_bytes: int = 1 << 30,
        max_age_seconds: float | None = None,
        when_full: WhenFull = "refuse",
        project: Project | None = None,
        disk: Disk | None = None,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        path = _path(directory)
        _check_choice("section", section, get_args(Section))
        _check_choice("sync", sync, get_args(Sync))
        _check_choice("when_full", when_full, get_args(WhenFull))
        _check_positive("sync_after_seconds", sync_after_seconds)
        _check_positive("max_segment_bytes", max_segment_bytes, whole=True)
        _check_positive("max_bytes", max_bytes, whole=True)
        if max_age_seconds is not None:
            _check_positive("max_age_seconds", max_age_seconds)
        if project is not None and type(project) is not Project:
            raise InvalidValue("project", "Project(...) or None", describe(project))
        self._disk = disk if disk is not None else Disk(path)
        self._section: Section = section
        self._delivers = delivers
        self._mode: Sync = sync
        self._sync_after_seconds = sync_after_seconds
        # With several segments in what may be kept, the oldest can go without all the others.
        self._max_segment_bytes = min(max_segment_bytes, max(max_bytes // 4, 1))
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._when_full: WhenFull = when_full
        self._project = None if project is None else fingerprint(project)
        self._now = now
        self._is_closed = False
        number = 0
        # A disk that has trouble now may have none when there is something to store.
        with suppress(OSError):
            number = self._look_around()
        self._set_up(number)
        _SPOOLS.add(self)

    def _set_up(self, number: int) -> None:
        """
        Everything that a forked child must not share with its parent.
        """
        self._pid = os.getpid()
        writer = token_hex(4)
        self._shelf = Shelf(self._disk, self._section, writer)
        self._adoption = Adoption(self._shelf, self._project)
        self._retention = Retention(
            self._shelf,
            max_bytes=self._max_bytes,
            max_age_seconds=self._max_age_seconds,
            when_full=self._when_full,
            project=self._project,
            now=self._now,
        )
        self._journal = Journal(
            self._disk,
            self._shelf,
            self._retention,
            header=Header(writer=writer, project=self._project),
            delivers=self._delivers,
            sync=self._mode,
            sync_after_seconds=self._sync_after_seconds,
            max_segment_bytes=self._max_segment_bytes,
            max_age_seconds=self._max_age_seconds,
            number=number,
            now=self._now,
        )

    # Storing.

    def append(self, messages: Sequence[Message], notes: Sequence[Note] = ()) -> list[Place]:
        """
        Store messages, all or none, and return where each stands.

        Args:
            messages: In order.
            notes: One for each of them, or none at all.

        Raises:
            SpoolError: If they could not be stored.
        """
        if self._pid != os.getpid():
            self.after_fork_in_child()
        return self._journal.append(messages, notes)

    def sync(self) -> None:
        """
        Return when everything that was appended is durable. Those who call it at the same time share the work.

        Raises:
            SpoolError: If the disk failed twice. What was appended may be readable still, and may be lost.
        """
        self._journal.sync()

    def close(self) -> None:
        """
        Sync, and give back all files and locks. May be called again.
        """
        if self._pid != os.getpid():
            self.after_fork_in_child()
        self._is_closed = True
        self._journal.close()
        with self._shelf.lock:
            for segment in tuple(self._shelf.segments.values()):
                segment.abandon()
            self._shelf.segments.clear()
            self._adoption.release()
            # With what an interruption left open.
            self._disk.free_all()

    def after_fork_in_child(self) -> None:
        """
        Leave everything to the parent and start afresh. Called by itself after a fork.
        """
        if self._pid == os.getpid():
            return
        # Whoever held the lock does not exist here. To close a descriptor leaves the locks of files to the parent's.
        self._shelf.lock = threading.RLock()
        self._journal.abandon()
        for segment in tuple(self._shelf.segments.values()):
            segment.abandon()
        self._adoption.release()
        self._disk.close()
        self._set_up(self._journal.number)
        if self._is_closed:
            self.close()

    # Delivering.

    def intend(self, places: Sequence[Place]) -> None:
        """
        Record durably that these messages are about to be posted. Needed before the post of a message that must not be
        posted again unless it certainly was not applied.

        Raises:
            SpoolError: If that could not be recorded; the messages must not be posted.
        """
        self._mark("intended", places, durably=True)

    def retract(self, places: Sequence[Place]) -> None:
        """
        Record that these messages, which were intended, certainly were not applied and may be posted again.
        """
        with suppress(SpoolError):
            self._mark("retracted", places, durably=False)

    def settle(self, places: Sequence[Place]) -> None:
        """
        Nothing more is to be done about these messages. A segment in which nothing is left to do is removed.
        """
        with self._shelf.lock:
            for segment, ranges in _by_segment(places):
                segment.settled_count += len(ranges)
                segment.settle(ranges)
        self._retention.look_again()

    def adopt(self) -> list[Segment]:
        """
        The segments that nobody else delivers, the oldest first, each handed out once.

        They are those of others who went or who do not deliver, and this spool's own unless it delivers. There are none
        while another spool has adopted some in this directory and is not closed. At most a thousand come at once.
        """
        with self._shelf.lock, suppress(OSError):
            if not self._is_closed:
                self._retention.expire()
                return self._adoption.segments()
        return []

    def survey(self) -> Survey:
        """
        What is stored now. Disturbs nobody.
        """
        return survey(self._disk, self._section, self._project, self._now())

    @property
    def dropped(self) -> Mapping[str, int]:
        """
        How many messages were given up, by reason: ``bytes``, ``age``, ``damaged``, ``lost`` with a removed file, and
        ``not stored`` for those of a signal handler that the disk did not take.
        """
        return dict(self._shelf.dropped)

    @property
    def dropped_own(self) -> int:
        """
        How many of these this spool had accepted itself.
        """
        return self._shelf.dropped_own

    def _mark(self, kind: Literal["intended", "retracted"], places: Sequence[Place], *, durably: bool) -> None:
        try:
            with self._shelf.lock:
                for segment, ranges in _by_segment(places):
                    if not segment.mark_durably(kind, ranges, durably=durably):
                        raise SpoolError("disk failed")
        except OSError as error:
            raise SpoolError(trouble_of(error)) from None

    def _look_around(self) -> int:
        """
        Refuse a directory in which somebody planted something, and find the highest number of a segment.
        """
        highest, last = 0, ""
        self._disk.open()
        for name, is_file in self._disk.names():
            # Names sort as numbers do: few of them need a closer look.
            if (name > last or not is_file) and (number := number_of(name, self._section)) is not None:
                if not is_file:
                    raise InvalidValue("directory", "one whose segments are files", "one with something else for one")
                if number < _LAST_NUMBER:
                    highest, last = number, name
        return highest


_SPOOLS: Final[weakref.WeakSet[Spool]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for spool in tuple(_SPOOLS):
        spool.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def fingerprint(project: Project) -> str:
    """
    What tells projects apart without telling their tokens.
    """
    return hashlib.sha256(project.token.encode()).hexdigest()[:16]


def _by_segment(places: Sequence[Place]) -> list[tuple[Segment, list[tuple[int, int]]]]:
    found: dict[Segment, list[tuple[int, int]]] = {}
    for place in places:
        found.setdefault(place.segment, []).append((place.start, place.end))
    return list(found.items())


def _path(directory: str | Path) -> str:
    if not isinstance(directory, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue("directory", "a str or Path", describe(directory))
    path = str(directory)
    if not path or "\0" in path:
        raise InvalidValue("directory", "the path of a directory", "empty or with a NUL in it")
    # The process may change its working directory later.
    return os.path.abspath(path)  # noqa: PTH100


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidValue(name, "one of " + ", ".join(map(repr, choices)), "another value")


def _check_positive(name: str, value: float, *, whole: bool = False) -> None:
    if type(value) is not int and (whole or type(value) is not float):
        raise InvalidValue(name, "an int" if whole else "a number", describe(value))
    if not 0 < value < float("inf"):
        raise InvalidValue(name, "more than 0", "0, less or not finite")
