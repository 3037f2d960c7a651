"""
Uses a spool, step by step and over and over again, while strace disturbs one call of the system each time.

Each use is a process of its own, forked from this one, which loads everything once and is attached to by strace after
that. strace counts the calls of each process apart, and disturbs those of one number. So a process that is to be
disturbed at its third `write` makes so many idle ones before that its third one gets that number.

Reads what to do from its input, one line each: a label, the name of a call of the system (or ``-``) and how many of
them are to be left alone before. Says each step with `writev`, which is never disturbed: before it, and again after it.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from spool_kit import PROJECT, addition, event

from mixwire.core import Endpoint, Message
from mixwire.transports.spool import Place, Segment, Spool, SpoolError

DISTURBED: Final = 40
"""The number of the call that strace disturbs; no course makes so many of one kind."""
PATIENCE_SECONDS: Final = 10
PR_SET_PTRACER: Final = 0x59616D61
UNREPEATABLE: Final = range(100, 200)
NO_FILE: Final = 1_000_000
BEFORE: Final = "before"

IDLE: Final[dict[str, Callable[[], object]]] = {
    "openat": lambda: os.open("", os.O_RDONLY),
    "write": lambda: os.write(NO_FILE, b""),
    "fdatasync": lambda: os.fdatasync(NO_FILE),
    "fsync": lambda: os.fsync(NO_FILE),
    "flock": lambda: fcntl.flock(NO_FILE, fcntl.LOCK_UN),
    "ftruncate": lambda: os.ftruncate(NO_FILE, 0),
    "unlinkat": lambda: os.unlink("", dir_fd=NO_FILE),
    "close": lambda: os.close(NO_FILE),
    "mkdir": lambda: Path().mkdir(),
    "fchmod": lambda: os.fchmod(NO_FILE, 0),
}


def message(number: int) -> Message:
    return addition(number) if number in UNREPEATABLE else event(number)


def number_of(stored: Message) -> int:
    kind = rb'"steps":(\d+)' if stored.endpoint is Endpoint.ENGAGE else rb'"event":"E(\d+)"'
    return int(re.findall(kind, stored.body)[0])


class Diary:
    """
    Says what is about to be done with which messages, and what was.
    """

    def __init__(self, label: str) -> None:
        self._label = label

    def say(self, word: str, numbers: Sequence[int] = ()) -> None:
        os.writev(1, [f"{self._label} {word} {' '.join(map(str, numbers))}\n".encode()])

    def append(self, spool: Spool, *numbers: int) -> list[Place]:
        self.say("appending", numbers)
        try:
            places = spool.append([message(number) for number in numbers])
        except SpoolError:
            self.say("refused", numbers)
            return []
        self.say("appended", numbers)
        return places

    def settle(self, spool: Spool, places: list[Place], *numbers: int) -> None:
        self.say("settling", numbers)
        spool.settle(places)
        self.say("settled", numbers)

    def intend(self, spool: Spool, places: list[Place], *numbers: int) -> None:
        self.say("intending", numbers)
        with suppress(SpoolError):
            spool.intend(places)
            self.say("intended", numbers)

    def retract(self, spool: Spool, places: list[Place], *numbers: int) -> None:
        self.say("retracting", numbers)
        spool.retract(places)

    def sync(self, spool: Spool) -> None:
        with suppress(SpoolError):
            spool.sync()

    def deliver(self, spool: Spool, segment: Segment) -> None:
        """
        Settle what is in a segment, in two steps.
        """
        stored = segment.read(0, 1 << 20).stored
        for half in (stored[: len(stored) // 2], stored[len(stored) // 2 :]):
            numbers = [number_of(each.message) for each in half]
            self.settle(spool, [each.place for each in half], *numbers)


def leave_something(directory: Path, diary: Diary) -> None:
    """
    What others left: three segments of a writer, one that was half delivered, and acks without a segment.
    """
    writer = Spool(directory, sync="never", max_segment_bytes=1000)
    for number in range(1, 7):
        diary.append(writer, number)
    writer.close()
    deliverer = Spool(directory, sync="never", delivers=True)
    places = diary.append(deliverer, 11, 12, 13, 100, 101)
    diary.settle(deliverer, places[:1], 11)
    diary.intend(deliverer, places[3:4], 100)
    deliverer.close()
    os.close(os.open(directory / "0000000000000001-0badcafe.held-acks", os.O_CREAT | os.O_WRONLY, 0o600))


def leave_nothing(directory: Path, diary: Diary) -> None:
    pass


def write(directory: Path, diary: Diary) -> None:
    spool = Spool(directory, sync="always", max_segment_bytes=1000)
    diary.append(spool, 1)
    diary.append(spool, 2, 3)
    diary.append(spool, 4)
    diary.append(spool, 5)
    diary.append(spool, 6, 100)
    spool.close()


def deliver(directory: Path, diary: Diary) -> None:
    spool = Spool(directory, delivers=True, sync_after_seconds=3600.0, max_segment_bytes=1000)
    first = diary.append(spool, 1)
    second = diary.append(spool, 2)
    third = diary.append(spool, 3, 100, 101)
    diary.sync(spool)
    diary.settle(spool, first, 1)
    diary.intend(spool, third[1:], 100, 101)
    diary.settle(spool, second + third[:2], 2, 3, 100)
    diary.retract(spool, third[2:], 101)
    last = diary.append(spool, 4, 5)
    diary.append(spool, 6)
    diary.sync(spool)
    diary.settle(spool, third[2:] + last[:1], 101, 4)
    spool.close()


def adopt(directory: Path, diary: Diary) -> None:
    spool = Spool(directory, sync_after_seconds=3600.0, max_segment_bytes=1000)
    segments = spool.adopt()
    diary.append(spool, 21)
    for segment in segments[:-1]:
        diary.deliver(spool, segment)
    diary.append(spool, 22)
    for segment in spool.adopt():
        diary.deliver(spool, segment)
    for segment in segments[-1:]:
        diary.deliver(spool, segment)
    spool.close()


def make_room(directory: Path, diary: Diary) -> None:
    spool = Spool(
        directory,
        sync="always",
        max_segment_bytes=1000,
        max_bytes=5000,
        when_full="drop_oldest",
        project=PROJECT,
    )
    for number in range(21, 27):
        diary.append(spool, number)
    diary.say("dropped", [spool.dropped.get("bytes", 0)])
    spool.close()


COURSES: Final = {
    "write": (leave_nothing, write),
    "deliver": (leave_nothing, deliver),
    "adopt": (leave_something, adopt),
    "make_room": (leave_something, make_room),
}


def in_a_process(work: Callable[[], None]) -> tuple[int, int]:
    """
    Do something in a process of its own, and return which that was and how it ended.
    """
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_SECONDS)
        try:
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001
            os.writev(2, [f"{type(error).__name__}: {error}\n".encode()])
            os._exit(1)
    return os.waitpid(child, 0)


def disturbed(course: Callable[[], None], call: str, left_alone: int) -> None:
    if call != "-":
        for _ in range(DISTURBED - 1 - left_alone):
            with suppress(OSError):
                IDLE[call]()
    course()


def main(course: str, root: Path) -> None:
    before, during = COURSES[course]
    # Made once, and copied for each use by who tells what to do.
    before(root / BEFORE / "spool", Diary(BEFORE))
    # Where only a parent may trace its child, anybody of this user may.
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(2**64 - 1))
    # What is loaded stays as it is in all processes, so that a fork is cheap.
    gc.disable()
    gc.freeze()
    os.writev(1, [b"ready\n"])
    for line in sys.stdin:
        label, call, left_alone = line.split()
        directory, diary = root / label / "spool", Diary(label)
        child, status = in_a_process(lambda: disturbed(lambda: during(directory, diary), call, int(left_alone)))  # noqa: B023
        diary.say("ended", [child, status])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
