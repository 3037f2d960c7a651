"""
Who delivers what others left: one spool at a time, elected by a lock.

What belongs to whom is told by locks alone, which end with the process that holds them; a process number may come back
and a clock may jump.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ..core.frames import FORMAT_VERSION
from .segments import Segment, Shelf, number_of

__all__ = ["Adoption"]

# Names are looked at in portions, so that a directory with a million of them does not fill the memory.
_PORTION: Final = 2_000
_MOST_AT_ONCE: Final = 1_000


class Adoption:
    """
    The right to deliver the segments of a shelf that nobody else delivers.

    Args:
        shelf: The segments.
        project: The fingerprint of the project whose segments are wanted; None for those of any.
    """

    def __init__(self, shelf: Shelf, project: str | None) -> None:
        self._shelf = shelf
        self._project = project
        self._lock: int | None = None
        self._passed_over: set[str] = set()

    def segments(self) -> list[Segment]:
        """
        Those that were not handed out before, the oldest first, at most a thousand; none if somebody else has the
        right.
        """
        shelf = self._shelf
        if not self._elected():
            return []
        found: list[Segment] = []
        for name in self._names():
            if name.endswith("-acks"):
                self._remove_orphan(name)
                continue
            known = shelf.segments.get(name)
            if name in self._passed_over or (known is not None and known.is_adopted):
                continue
            with suppress(OSError):
                segment = self._adopted(name, known)
                if segment is not None:
                    found.append(segment)
                    if len(found) == _MOST_AT_ONCE:
                        break
        return found

    def release(self) -> None:
        """
        Give the right back.
        """
        lock, self._lock = self._lock, None
        if lock is not None:
            self._shelf.disk.free(lock)

    def _elected(self) -> bool:
        disk = self._shelf.disk
        if self._lock is not None:
            if disk.is_linked(self._lock):
                return True
            self.release()
        file, _ = disk.open_or_create(f"{self._shelf.section}.lock")
        try:
            if disk.lock(file):
                self._lock = file
                return True
        finally:
            # Also if this was interrupted: a lock that nobody knows of would keep everybody out.
            if self._lock is None:
                disk.free(file)
        return False

    def _names(self) -> Iterator[str]:
        """
        The names of segments and of their acks, in order.
        """
        section, after = self._shelf.section, ""
        endings = (f".{section}", f".{section}-acks")
        while True:
            names = heapq.nsmallest(
                _PORTION,
                (
                    name
                    for name, is_file in self._shelf.disk.names()
                    if name > after and is_file and name.endswith(endings)
                ),
            )
            yield from (name for name in names if number_of(name.removesuffix("-acks"), section) is not None)
            if len(names) < _PORTION:
                return
            after = names[-1]

    def _adopted(self, name: str, known: Segment | None) -> Segment | None:
        shelf = self._shelf
        if known is None:
            header = shelf.header(name)
            if header is not None and (
                header.version != FORMAT_VERSION
                or (self._project is not None and header.project not in (None, self._project))
            ):
                self._passed_over.add(name)
                return None
            if self._is_delivered(name):
                return None
            known = Segment(shelf, name, created_ms=header.created if header is not None else 0)
            shelf.segments[name] = known
        elif known.is_pinned:
            return None
        known.is_adopted = True
        return known

    def _is_delivered(self, name: str) -> bool:
        """
        Whether somebody delivers a segment now. The acks of somebody who does are there before the segment.
        """
        disk = self._shelf.disk
        try:
            file = disk.open_file(f"{name}-acks", for_writing=True)
        except FileNotFoundError:
            return False
        try:
            return not disk.lock(file)
        finally:
            disk.free(file)

    def _remove_orphan(self, name: str) -> None:
        """
        Remove acks whose segment is gone: somebody died between removing the two.
        """
        disk = self._shelf.disk
        with suppress(OSError):
            file = disk.open_file(name, for_writing=True)
            try:
                # Who begins a segment makes its acks first, and locks them.
                if disk.lock(file) and not self._exists(name.removesuffix("-acks")):
                    disk.unlink(name)
            finally:
                disk.free(file)

    def _exists(self, name: str) -> bool:
        try:
            self._shelf.disk.size_of(name)
        except FileNotFoundError:
            return False
        return True
