"""
Put messages of a spool back among those to be delivered, or throw them away.

Whoever does that has the right to the section while it works, as somebody who delivers has.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

from attrs import frozen

from ..core import Project
from ..core.frames import first_line
from .disk import Disk
from .drain import is_taken
from .segments import Section, Stored, number_of
from .spool import Spool, SpoolError

__all__ = ["Upkeep", "discard", "projects", "requeue"]

_HEADER_BYTES: Final = 4096
_READ_BYTES: Final = 1 << 20


@frozen
class Upkeep:
    """
    What came of it.

    Attributes:
        count: How many messages were put back or thrown away.
        unrepeatable: How many of them count twice when they are applied twice.
        is_taken: Whether nothing was done because somebody else has the right to the section now.
        trouble: Why it broke off, in words; what was not reached by then is where it was.
    """

    count: int = 0
    unrepeatable: int = 0
    is_taken: bool = False
    trouble: str = ""


def requeue(directory: str | Path, section: Literal["unknown", "rejected"], project: Project | None) -> Upkeep:
    """
    Put the messages of a section back among those to be delivered.

    They are stored there durably first, and settled here then: after a crash in between they are in both places.

    Args:
        directory: A directory that exists.
        section: What to put back.
        project: Whose messages; those of others are left alone. None if they are not said to be anybody's.

    Raises:
        InvalidValue: If there is no such directory, or it is not this user's alone
    """
    with _in_charge(directory, section, project) as spool:
        if spool is None:
            return Upkeep(is_taken=True)
        count = unrepeatable = 0
        held = Spool(directory, project=project)
        try:
            for stored in _stored(spool):
                held.append([each.message for each in stored])
                held.sync()
                spool.settle([each.place for each in stored])
                count += len(stored)
                unrepeatable += sum(not each.message.repeatable for each in stored)
        except SpoolError as error:
            return Upkeep(count, unrepeatable, trouble=str(error))
        finally:
            held.close()
        return Upkeep(count, unrepeatable)


def discard(directory: str | Path, section: Section) -> Upkeep:
    """
    Throw the messages of a section away, whosever they are.

    Raises:
        InvalidValue: If there is no such directory, or it is not this user's alone.
    """
    with _in_charge(directory, section, None) as spool:
        if spool is None:
            return Upkeep(is_taken=True)
        count = 0
        for stored in _stored(spool):
            spool.settle([each.place for each in stored])
            count += len(stored)
        return Upkeep(count)


def projects(disk: Disk, section: Section) -> set[str]:
    """
    The fingerprints of the projects whose messages are in a section.
    """
    found: set[str] = set()
    for name, is_file in disk.names():
        if is_file and number_of(name, section) is not None:
            with suppress(OSError):
                file = disk.open_file(name)
                try:
                    header = first_line(disk.read(file, _HEADER_BYTES, 0))
                finally:
                    disk.free(file)
                if header is not None and header.project is not None:
                    found.add(header.project)
    return found


@contextmanager
def _in_charge(directory: str | Path, section: Section, project: Project | None) -> Generator[Spool | None]:
    """
    A section that nobody else delivers or clears up; None if somebody does.
    """
    disk = Disk(os.path.abspath(directory), makes=False)  # noqa: PTH100  # as given, links and all
    try:
        # A spool would make the directory.
        disk.open()
        is_free = not is_taken(disk, section)
    finally:
        disk.close()
    if not is_free:
        yield None
        return
    spool = Spool(directory, section=section, project=project)
    try:
        yield spool
    finally:
        spool.close()


def _stored(spool: Spool) -> Iterator[tuple[Stored, ...]]:
    while segments := spool.adopt():
        for segment in segments:
            start, is_end = 0, False
            while not is_end:
                chunk = segment.read(start, _READ_BYTES)
                if chunk.stored:
                    yield chunk.stored
                is_end = chunk.is_end or chunk.next == start
                start = chunk.next
