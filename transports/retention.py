"""
How much a spool keeps, and what it gives up when that is reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, TypeAlias

from ..core.frames import FORMAT_VERSION
from .segments import Segment, Shelf, number_of

__all__ = ["Retention", "WhenFull"]

WhenFull: TypeAlias = Literal["refuse", "drop_oldest"]
"""What to do when there is no room: take no more, or give up the oldest whole segment that nobody writes to."""

# To look at all the sizes for each refused message would block those who send them.
_LOOK_AGAIN_SECONDS: Final = 0.25
_LOCK_SECONDS: Final = 0.05


class Retention:
    """
    Makes room on a shelf.

    Args:
        shelf: The segments.
        max_bytes: How large all segments of the section may be together.
        max_age_seconds: How old a segment may get; None for any age.
        when_full: What to do when there is no room.
        project: The fingerprint of the project whose segments may be given up, or None.
        now: The time in milliseconds since 1970.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        max_bytes: int,
        max_age_seconds: float | None,
        when_full: WhenFull,
        project: str | None,
        now: Callable[[], int],
    ) -> None:
        self._shelf = shelf
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._when_full: WhenFull = when_full
        self._project = project
        self._now = now
        self._full_until = 0.0

    def make_room(self, needed: int) -> int:
        """
        How many bytes a new segment may take: less than *needed* if there is no room.
        """
        if time.monotonic() < self._full_until:
            return 0
        # Who holds the lock may be waiting for the one that appends: rather make room a little later.
        room = self._shelf.hold_for(_LOCK_SECONDS, lambda is_held: self._make_room(needed) if is_held else needed)
        if room < needed:
            self._full_until = time.monotonic() + _LOOK_AGAIN_SECONDS
        return room

    def look_again(self) -> None:
        """
        Something was removed.
        """
        self._full_until = 0.0

    def expire(self) -> None:
        """
        Give up what is too old. The first segment that is not too old ends the search: names tell the order.
        """
        if self._max_age_seconds is None:
            return
        for name, _ in self._sizes():
            created = self._created(name)
            # A clock that was set back makes nothing younger than new.
            if created is None or max(self._now() - created, 0) <= self._max_age_seconds * 1000:
                return
            self._drop(name, "age")

    def _make_room(self, needed: int) -> int:
        self.expire()
        sizes = self._sizes()
        room = self._max_bytes - sum(size for _, size in sizes)
        if self._when_full == "drop_oldest" and needed <= self._max_bytes:
            for name, size in sizes:
                if room >= needed:
                    break
                if self._created(name) is not None and self._drop(name, "bytes"):
                    room += size
        return room

    def _sizes(self) -> list[tuple[str, int]]:
        """
        The segments with their sizes, the oldest first.
        """
        found: list[tuple[str, int]] = []
        for name, is_file in self._shelf.disk.names():
            if is_file and number_of(name, self._shelf.section) is not None:
                with suppress(FileNotFoundError):
                    found.append((name, self._shelf.disk.size_of(name)))
        found.sort()
        return found

    def _created(self, name: str) -> int | None:
        """
        When a segment was begun; None if it is not ours to judge.
        """
        try:
            header = self._shelf.header(name)
        except OSError:
            return None
        if header is None or header.version != FORMAT_VERSION:
            return None
        if self._project is not None and header.project not in (None, self._project):
            return None
        return header.created

    def _drop(self, name: str, reason: str) -> bool:
        segment = self._shelf.segments.get(name) or Segment(self._shelf, name)
        with suppress(OSError):
            return segment.drop(reason)
        return False
