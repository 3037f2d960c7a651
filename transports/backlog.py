"""
What is in the spool and not in memory: messages that found no room there, and what earlier or other processes left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from .intake import Intake
from .spool import Segment, Spool, Stored

__all__ = ["Backlog", "Load"]

_LOOK_SECONDS: Final = 30.0
"""How often to look for what other processes left behind."""


@frozen
class Load:
    """
    Messages read back from the spool.

    Attributes:
        stored: In order.
        interrupted: Those that a process was sending when it ended and that must not be sent twice: perhaps applied.
        lost: How many could not be read, at least.
    """

    stored: Sequence[Stored] = ()
    interrupted: Sequence[Stored] = ()
    lost: int = 0


@frozen
class _Reader:
    segment: Segment
    start: int = 0


class Backlog:
    """
    Args:
        spool: Where everything is stored.
        intake: Knows what was spilled.
        resends: Whether messages are sent again although they may have been applied.
    """

    def __init__(self, spool: Spool, intake: Intake, *, resends: bool) -> None:
        self.spool = spool
        self._intake = intake
        self._resends = resends
        self._adopted: deque[_Reader] = deque()
        # Adopted segments that their writers still write; read again at each look.
        self._growing: list[_Reader] = []
        self.next_look = float("-inf")

    @property
    def has_adopted(self) -> bool:
        """
        Whether there is something left by others, which is older than all of our own.
        """
        return bool(self._adopted)

    def look(self, now: float) -> None:
        """
        Adopt what has no owner, unless that was done a moment ago.
        """
        if now < self.next_look or self._adopted:
            return
        self.next_look = now + _LOOK_SECONDS
        growing, self._growing = self._growing, []
        self._adopted.extend(growing)
        self._adopted.extend(_Reader(segment) for segment in self.spool.adopt())

    def load_adopted(self, max_bytes: int) -> Load:
        """
        The next messages that others left, about so many bytes of them.
        """
        reader = self._adopted.popleft()
        segment = reader.segment
        chunk = segment.read(reader.start, max_bytes)
        if chunk.next > reader.start:
            self._adopted.appendleft(_Reader(segment, chunk.next))
        elif not chunk.is_end:
            self._growing.append(reader)
        if self._resends:
            return Load(chunk.stored)
        doubtful = segment.interrupted
        interrupted = [stored for stored in chunk.stored if stored.place.start in doubtful]
        return Load([stored for stored in chunk.stored if stored.place.start not in doubtful], interrupted)

    def load_spilled(self, max_bytes: int) -> tuple[Load, int] | None:
        """
        The next messages that found no room, about so many bytes of them, and where reading goes on; None if there are
        none any more.
        """
        while (spilled := self._intake.spilled_from()) is not None:
            segment, start = spilled
            chunk = segment.read(start, max_bytes)
            if chunk.stored or chunk.damaged or chunk.next > start:
                return Load(chunk.stored, lost=chunk.damaged), chunk.next
            if not self._intake.leave_segment():
                break
        return None

    def give_up_spilled(self) -> int:
        """
        How many messages that found no room are gone with a segment, when all that is there was read back.
        """

        def is_there() -> bool:
            spilled = self._intake.spilled_from()
            return spilled is not None and spilled[0].read(spilled[1], 1).next > spilled[1]

        return self._intake.forget_spilled(is_there)
