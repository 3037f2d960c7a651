"""
Where callers leave their messages: bounded, quick, and safe to use from any thread, signal handler and finaliser.

Callers only ever append to a deque. What they count is written by them alone, under a lock for which the delivering
side waits a moment at most: a signal handler that interrupts `put` and then waits for the delivery must not wait for
itself.

A finaliser may run in any thread, under any lock, so what it puts where a lock is held is only left here: it is counted
and in memory, and stored by the next caller or by the delivering side.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import Final, TypeAlias

from attrs import frozen

from ..core import BatchLimits, Message
from ..core.lanes import MESSAGE_COST_BYTES
from .journal import HOLDERS
from .spool import Place, Segment, Spool, SpoolError

__all__ = ["Intake", "Room"]

_Handful: TypeAlias = tuple[tuple[Message, ...], "list[Place] | None"]
"""Messages that came together, and where each is stored; None without a spool."""

_PATIENCE_SECONDS: Final = 0.05
"""How long the delivering side waits for those who put something."""


@frozen(kw_only=True)
class Room:
    """
    How much may be held in memory.

    Attributes:
        max_messages: How many messages.
        max_bytes: What they take, in bytes: their bodies and 512 bytes for each.
    """

    max_messages: int
    max_bytes: int


class Intake:
    """
    What callers handed over and nobody took yet.

    Args:
        room: For what is held here and elsewhere in memory.
        spool: Where each message is stored before it is accepted; None to keep it in memory only.
        spills: Whether what finds no room in memory is accepted if it is stored.

    Attributes:
        trouble: Why the spool did not take what was put last; None if it did.
    """

    def __init__(self, room: Room, spool: Spool | None, *, spills: bool) -> None:
        self._max_messages = room.max_messages
        self._max_cost_bytes = room.max_bytes
        self._spool = spool
        self._spills = spills
        self._lock = threading.RLock()
        # The thread that has the lock to put something.
        self._putter = 0
        self._handfuls: deque[_Handful] = deque()
        # Written by callers alone.
        self._put_count = 0
        self._put_cost = 0
        self._spilled_accepted = 0
        self._spilled_put = 0
        # Of those that were put, how many were interrupted, and may or may not be stored.
        self._spilled_doubtful = 0
        self._spilled_segments: deque[tuple[Segment, int]] = deque()
        # Written by the delivering side alone.
        self._taken_count = 0
        self._taken_cost = 0
        self._spilled_taken = 0
        # What was put and is in memory no more, less what came into memory from a spool. What is on its way from here
        # to the lanes is not in it, so that at no moment there seems to be more room than there is.
        self._gone_count = 0
        self._gone_cost = 0
        # What was left, with what it takes; how many messages ever were left, put after all, and taken as they were.
        # Whoever holds this lock waits for nothing.
        self._leaving = threading.RLock()
        self._left: deque[tuple[tuple[Message, ...], int]] = deque()
        self._left_count = 0
        self._left_put = 0
        self._left_taken = 0
        self._left_cost = 0
        self.trouble: SpoolError | None = None

    @property
    def count(self) -> int:
        """
        How many messages are in memory here.
        """
        return self._put_count - self._taken_count + self._left_count - self._left_put - self._left_taken

    @property
    def cost_bytes(self) -> int:
        """
        What they take.
        """
        return self._put_cost - self._taken_cost + self._left_cost

    @property
    def has_left(self) -> bool:
        """
        Whether something was left by one who could not wait.
        """
        return bool(self._left)

    @property
    def left_count(self) -> int:
        """
        How many messages were ever left so.
        """
        return self._left_count

    @property
    def left_gone(self) -> int:
        """
        How many of them are not any more.
        """
        return self._left_put + self._left_taken

    def fills(self, limits: BatchLimits) -> bool:
        """
        Whether there is enough for a request.
        """
        count = self._put_count - self._taken_count
        # Each message is followed by a comma or a bracket.
        size = self._put_cost - self._taken_cost - (MESSAGE_COST_BYTES - 1) * count
        return count >= limits.max_messages or size >= limits.max_bytes

    @property
    def spilled_put(self) -> int:
        """
        How many messages were ever put into the spool alone, or perhaps were.
        """
        return self._spilled_put

    @property
    def spilled_taken(self) -> int:
        """
        How many of them were read back, or are not there.
        """
        return self._spilled_taken

    @property
    def spilled(self) -> int:
        """
        How many of them wait to be read back.
        """
        return self._spilled_put - self._spilled_taken

    @property
    def accepted(self) -> int:
        """
        How many messages were ever put.
        """
        # One figure, written by callers alone, while what waits and what was taken change one after the other.
        with self._leaving:
            # When all was read back, those of which nobody knew were there.
            stored = self._spilled_doubtful if self.spilled == 0 else 0
            return self._put_count + self._spilled_accepted + stored + self._left_count - self._left_put

    def put(self, messages: tuple[Message, ...]) -> int:
        """
        Accept as many of *messages* as there is room for, from the first on, and return how many.
        """
        if len(messages) == 1:
            count, cost = 1, len(messages[0].body) + MESSAGE_COST_BYTES
        else:
            count = len(messages)
            cost = sum([len(message.body) for message in messages]) + MESSAGE_COST_BYTES * count
        me = threading.get_ident()
        if me in HOLDERS:
            if self._putter != me:
                return self._leave(messages, cost)
            # A signal handler or finaliser inside of this very call: what it needs is its own.
            with self._lock:
                return self._put(messages, cost)
        try:
            HOLDERS.add(me)
            with self._lock:
                try:
                    self._putter = me
                    if self._left:
                        self._put_left()
                    return self._put(messages, cost)
                finally:
                    self._putter = 0
        finally:
            HOLDERS.discard(me)

    def put_left(self) -> bool:
        """
        Put what was left; False if whoever puts something now has to do it.
        """
        me = threading.get_ident()
        if me in HOLDERS:
            if self._putter != me:
                return False
            with self._lock:
                self._put_left()
                return True
        try:
            HOLDERS.add(me)
            if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
                return False
            # What a finaliser puts meanwhile is left, and comes last.
            self._put_left()
            return True
        finally:
            # Whether it was taken is not asked of a variable: a signal handler may raise before there is one.
            try:  # noqa: SIM105
                self._lock.release()
            except RuntimeError:
                pass  # Somebody else has it.
            HOLDERS.discard(me)

    def take_left(self) -> list[Message]:
        """
        What was left, as it is, where nobody can store it.
        """
        taken: list[Message] = []
        with self._leaving:
            while self._left:
                messages, cost = self._left[0]
                self._left_taken += len(messages)
                self._left_cost -= cost
                del self._left[0]
                taken.extend(messages)
        return taken

    def take(self) -> tuple[list[Message], list[Place | None] | None]:
        """
        All messages that are here now, in the order they came, and where each is stored; None if none is.
        """
        handfuls = [self._handfuls.popleft() for _ in range(len(self._handfuls))]
        taken = [message for messages, _ in handfuls for message in messages]
        self._taken_count += len(taken)
        self._taken_cost += sum([len(message.body) for message in taken]) + MESSAGE_COST_BYTES * len(taken)
        if not taken:
            self._mend()
        if all(places is None for _, places in handfuls):
            return taken, None
        stored: list[Place | None] = []
        for messages, places in handfuls:
            stored.extend(repeat(None, len(messages)) if places is None else places)
        return taken, stored

    def held_elsewhere(self, count: int, cost_bytes: int) -> None:
        """
        So much is in memory of what was taken from here or read back: to be said by the delivering side whenever that
        changes.
        """
        self._gone_count = self._taken_count - count
        self._gone_cost = self._taken_cost - cost_bytes

    def spilled_from(self) -> tuple[Segment, int] | None:
        """
        The segment in which the oldest spilled message stands, and from where on; None if nothing is spilled.
        """
        # What was interrupted may be counted without a place.
        return self._spilled_segments[0] if self.spilled and self._spilled_segments else None

    def took_spilled(self, count: int, next_start: int) -> None:
        """
        So many spilled messages were read back, up to *next_start* in the oldest segment.
        """
        segment, _ = self._spilled_segments[0]
        self._spilled_segments[0] = (segment, next_start)
        self._spilled_taken += count

    def leave_segment(self) -> bool:
        """
        The oldest segment with spilled messages was read to its end; False if there is no other, or nobody knows yet.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if len(self._spilled_segments) < 2:
                return False
            self._spilled_segments.popleft()
            return True
        finally:
            self._lock.release()

    def forget_spilled(self, is_there: Callable[[], bool]) -> int:
        """
        What is spilled cannot be read back, unless *is_there* says that it can now that nobody writes. Returns how many
        messages are lost, 0 if somebody does write.
        """
        if not self._lock.acquire(blocking=False):
            return 0
        try:
            if is_there():
                return 0
            missing = self.spilled
            not_stored = min(missing, self._spilled_doubtful)
            self._spilled_doubtful -= not_stored
            self._spilled_segments.clear()
            self._spilled_taken = self._spilled_put
            return missing - not_stored
        finally:
            self._lock.release()

    def _put(self, messages: tuple[Message, ...], cost: int) -> int:
        count = len(messages)
        has_room = self._has_room(count, cost)
        places = None
        if self._spool is not None and (has_room or self._spills):
            try:
                places = self._spool.append(messages)
                self.trouble = None
                if not has_room or self.spilled:
                    self._spill(places)
                    return count
            except SpoolError as error:
                self.trouble = error
            except BaseException:
                # A signal handler raised, perhaps after it was stored.
                if not has_room or self.spilled:
                    self._spilled_put += count
                    self._spilled_doubtful += count
                raise
        if has_room:
            self._put_cost += cost
            self._put_count += count
            self._handfuls.append((messages, places))
            return count
        if count > 1:
            return self._put_one_by_one(messages)
        return 0

    def _has_room(self, more_count: int, more_cost: int) -> bool:
        return (
            self._put_count - self._gone_count + more_count <= self._max_messages
            and self._put_cost - self._gone_cost + more_cost <= self._max_cost_bytes
        )

    def _leave(self, messages: tuple[Message, ...], cost: int) -> int:
        count = len(messages)
        with self._leaving:
            waiting = self._left_count - self._left_put - self._left_taken
            # What spills needs no room for long.
            if self._spills or self._has_room(waiting + count, self._left_cost + cost):
                self._left_cost += cost
                self._left_count += count
                self._left.append((messages, cost))
                return count
        return self._put_one_by_one(messages) if count > 1 else 0

    def _put_left(self) -> None:
        while True:
            with self._leaving:
                if not self._left:
                    return
                left = self._left[0]
            messages, cost = left
            count = len(messages)
            places = None
            if self._spool is not None:
                try:
                    places = self._spool.append(messages)
                except SpoolError as error:
                    self.trouble = error
                else:
                    self.trouble = None
            with self._leaving:
                if self._left and self._left[0] is left:
                    has_room = self._has_room(count, cost)
                    if self._spills and places and not (has_room and not self.spilled):
                        self._spill(places)
                        handful = None
                    else:
                        handful = (messages, places)
                        self._put_cost += cost
                        self._put_count += count
                    self._left_cost -= cost
                    self._left_put += count
                    del self._left[0]
                    if handful is not None:
                        self._handfuls.append(handful)
                    continue
            if self._spool is not None and places is not None:
                # The delivering side could not wait, and has it from memory.
                self._spool.settle([place for place in places if place.end])

    def _spill(self, places: list[Place]) -> None:
        count = len(places)
        if not self.spilled:
            self._spilled_segments.clear()
            self._spilled_accepted += self._spilled_doubtful
            self._spilled_doubtful = 0
        for place in places:
            # A signal handler's messages are written by the `put` that it interrupted: they have no place yet.
            if place.end and (not self._spilled_segments or self._spilled_segments[-1][0] is not place.segment):
                self._spilled_segments.append((place.segment, place.start))
        self._spilled_accepted += count
        self._spilled_put += count

    def _put_one_by_one(self, messages: tuple[Message, ...]) -> int:
        for index, message in enumerate(messages):
            if not self.put((message,)):
                return index
        return len(messages)

    def _mend(self) -> None:
        """
        Correct the figures after an interruption between counting and appending.
        """
        if self._put_count != self._taken_count and self._lock.acquire(blocking=False):
            try:
                if not self._handfuls:
                    self._put_count, self._put_cost = self._taken_count, self._taken_cost
            finally:
                self._lock.release()
