"""
A spool that is killed at each call of the system, and whose calls fail one by one, by strace.

The courses, what a process does with a spool before it is disturbed, are in programs/spool_courses.py.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from attrs import Factory, define, field

from mixwire.transports.spool import Spool, Stored

HERE: Final = Path(__file__).parent
PROGRAMS: Final = HERE / "programs"
PATIENCE: Final = 60.0
sys.path.insert(0, str(PROGRAMS))

from spool_courses import BEFORE, DISTURBED, message, number_of  # noqa: E402  # it stands with the programs

pytestmark = pytest.mark.needs("strace")

CHANGING: Final = (
    "openat",
    "write",
    "fdatasync",
    "fsync",
    "flock",
    "ftruncate",
    "unlinkat",
    "close",
    "mkdir",
    "fchmod",
)
"""The calls between which the files of a spool are in different states."""


@define
class Trial:
    """
    What became of one use of a spool.

    Attributes:
        directory: Of the spool.
        said: What the process said, in order: a word and the numbers of messages.
        process: Its number.
        status: How the process ended, as `os.waitpid` tells it.
    """

    directory: Path
    said: list[tuple[str, list[int]]] = Factory(list)
    process: int = 0
    status: int = -1

    def numbers(self, word: str) -> list[int]:
        return [number for each, numbers in self.said if each == word for number in numbers]

    @property
    def was_killed(self) -> bool:
        return os.WIFSIGNALED(self.status) and os.WTERMSIG(self.status) == signal.SIGKILL


@define
class Strace:
    """
    A program that uses spools, with strace attached to it.
    """

    program: subprocess.Popen[str]
    root: Path
    log: Path
    before: list[tuple[str, list[int]]]
    _count: int = field(default=0)

    def tell(self, call: str, left_alone: int) -> str:
        self._count += 1
        label = str(self._count)
        with suppress(FileNotFoundError):
            shutil.copytree(self.root / BEFORE, self.root / label)
        assert self.program.stdin is not None
        self.program.stdin.write(f"{label} {call} {left_alone}\n")
        self.program.stdin.flush()
        return label

    def trial(self, label: str) -> Trial:
        assert self.program.stdout is not None
        trial = Trial(self.root / label / "spool", list(self.before))
        for line in self.program.stdout:
            name, word, numbers = said(line)
            assert name == label
            if word == "ended":
                trial.process, trial.status = numbers
                return trial
            trial.said.append((word, numbers))
        raise AssertionError("the program ended early")

    def calls(self, trial: Trial) -> list[tuple[str, str]]:
        """
        What a process did, without its threads: calls of the system, each with its line in the log.
        """
        lines = self.log.read_text().splitlines()
        return [(found[1], line) for line in lines if (found := re.match(rf"{trial.process} +(\w+)\(", line))]

    def undisturbed(self) -> Trial:
        trial = self.trial(self.tell("-", 0))
        assert trial.status == 0
        return trial

    def each(self, *names: str) -> Iterator[Trial]:
        """
        Disturb the first call of each name, the second and so on, until there is none of that name left to disturb.
        """
        calls = self.calls(self.undisturbed())
        for name in names:
            count = sum(each == name for each, _ in calls)
            assert count < DISTURBED
            for label in [self.tell(name, left_alone) for left_alone in range(count)]:
                yield self.trial(label)


def said(line: str) -> tuple[str, str, list[int]]:
    label, word, *numbers = line.split()
    return label, word, list(map(int, numbers))


@contextmanager
def strace(course: str, root: Path, *injections: str, options: Sequence[str] = ()) -> Iterator[Strace]:
    root.mkdir()
    log = root / "log"
    program = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "spool_courses.py"), course, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(PATIENCE, program.kill)
    timer.start()
    assert program.stdout is not None
    tracer = None
    try:
        before: list[tuple[str, list[int]]] = []
        for line in program.stdout:
            if line == "ready\n":
                break
            before.append(said(line)[1:])
        # A call with a question mark may be missing: not each kind of processor has all of them.
        traced = ",".join(f"?{name}" for name in CHANGING)
        command = ["strace", "-f", "-q", "-o", str(log), "-e", "signal=none", "-e", f"trace={traced}"]
        for injection in injections:
            command += ["-e", f"inject={injection}"]
        tracer = subprocess.Popen([*command, *options, "-p", str(program.pid)])
        while "TracerPid:\t0\n" in Path(f"/proc/{program.pid}/status").read_text():
            assert tracer.poll() is None, "strace could not attach"
            time.sleep(0.002)
        yield Strace(program, root, log, before)
    finally:
        timer.cancel()
        program.communicate()
        if tracer is not None:
            tracer.wait(PATIENCE)


@define
class Left:
    """
    What a spool gave back.
    """

    numbers: list[int] = Factory(list)
    interrupted: set[int] = Factory(set)
    stored: list[Stored] = Factory(list)


def left_in(spool: Spool) -> Left:
    left = Left()
    for segment in spool.adopt():
        at, is_end = 0, False
        while not is_end:
            chunk = segment.read(at, 1 << 16)
            assert chunk.next > at or chunk.is_end
            left.stored += chunk.stored
            for each in chunk.stored:
                number = number_of(each.message)
                assert each.message == message(number)
                left.numbers.append(number)
                if each.place.start in segment.interrupted:
                    left.interrupted.add(number)
            at, is_end = chunk.next, chunk.is_end
    return left


def segments_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.suffix != ".lock"]


def check(trial: Trial, *, forgets_settled: bool = False, may_drop: int = 0, counts_damage: bool = False) -> None:
    """
    What was accepted and not settled is there exactly once, and nothing else is.

    Args:
        trial: What happened.
        forgets_settled: Whether what was settled may come back, because the disk refused to take that.
        may_drop: How many of the oldest may be missing.
        counts_damage: Whether some may be missing if they are counted.
    """
    expected, perhaps, intended = set[int](), set[int](), set[int]()
    for word, numbers in trial.said:
        if word == "appending":
            perhaps.update(numbers)
        elif word == "appended":
            perhaps.difference_update(numbers)
            expected.update(numbers)
        elif word == "refused":
            perhaps.difference_update(numbers)
        elif word == "settling":
            perhaps.update(numbers)
            expected.difference_update(numbers)
            intended.difference_update(numbers)
        elif word == "settled" and not forgets_settled:
            perhaps.difference_update(numbers)
        elif word == "intended":
            intended.update(numbers)
        elif word == "retracting":
            intended.difference_update(numbers)
    drainer, other = Spool(trial.directory), Spool(trial.directory)
    left = left_in(drainer)
    assert other.adopt() == []
    assert len(set(left.numbers)) == len(left.numbers)
    missing = sorted(expected.difference(left.numbers))
    damaged = drainer.dropped.get("damaged", 0)
    assert counts_damage or not damaged
    if trial.was_killed:
        assert len(missing) <= may_drop
        assert missing == sorted(expected)[: len(missing)]
    else:
        assert len(missing) == damaged + sum(trial.numbers("dropped"))
    assert perhaps.issuperset(set(left.numbers) - expected)
    assert left.interrupted >= intended.intersection(left.numbers)
    drainer.close()
    # It was only looked at: another one is given the same, and removes everything when it is done.
    again = left_in(other)
    assert (again.numbers, again.interrupted) == (left.numbers, left.interrupted)
    other.settle([each.place for each in again.stored])
    assert segments_in(trial.directory) == []
    assert left_in(other).numbers == []
    other.close()


@pytest.fixture
def root() -> Iterator[Path]:
    """
    A directory in memory, where there is one: what the kernel holds survives a process, and a disk would only be slow.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made) / "trials"


COURSES: Final = ("write", "deliver", "adopt", "make_room")


def courses(*chosen: str) -> pytest.MarkDecorator:
    """
    Those courses, and in the long run all of them.
    """
    return pytest.mark.parametrize(
        "course", [pytest.param(each, marks=() if each in chosen else pytest.mark.soak) for each in COURSES]
    )


def failing(course: str, root: Path, *, endlessly: bool = False, **failures: str) -> Iterator[tuple[Strace, Trial]]:
    """
    Let each call of these names fail in its turn, once or from then on. None of that may reach who uses the spool.
    """
    when = f"when={DISTURBED}{'+' if endlessly else ''}"
    with strace(course, root, *(f"?{name}:{how}:{when}" for name, how in failures.items())) as traced:
        for trial in traced.each(*failures):
            assert trial.status == 0
            yield traced, trial


@courses(*COURSES)
def test_row_35_killed_at_any_call_a_spool_loses_nothing_and_invents_nothing(root: Path, course: str) -> None:
    with strace(course, root, *(f"?{name}:signal=KILL:when={DISTURBED}" for name in CHANGING)) as traced:
        count = 0
        for trial in traced.each(*CHANGING):
            assert trial.was_killed
            check(trial, may_drop=5 if course == "make_room" else 0)
            count += 1
    assert count >= 50


# Row 41: what may not have reached the disk.


def descriptors_synced_again(calls: list[tuple[str, str]]) -> list[str]:
    failed, found = set[str](), list[str]()
    for name, line in calls:
        if name == "close":
            failed.discard(line.partition("close(")[2].partition(")")[0])
        elif name == "fdatasync":
            descriptor = line.partition("fdatasync(")[2].partition(")")[0]
            if descriptor in failed:
                found.append(line)
            if "INJECTED" in line:
                failed.add(descriptor)
    return found


@courses("deliver")
def test_row_41_a_sync_that_fails_once_is_made_up_for_and_never_repeated(root: Path, course: str) -> None:
    for traced, trial in failing(course, root, fdatasync="error=EIO"):
        assert not trial.numbers("refused")
        assert not descriptors_synced_again(traced.calls(trial))
        check(trial, forgets_settled=True)


@courses("write")
def test_row_41_when_all_syncs_fail_nothing_that_was_accepted_is_lost(root: Path, course: str) -> None:
    for traced, trial in failing(course, root, endlessly=True, fdatasync="error=EIO"):
        assert not descriptors_synced_again(traced.calls(trial))
        check(trial, forgets_settled=True)


@courses("deliver")
def test_row_41_a_directory_that_cannot_be_synced_once_costs_nothing(root: Path, course: str) -> None:
    for _, trial in failing(course, root, fsync="error=EIO"):
        assert not trial.numbers("refused")
        check(trial, forgets_settled=True)


# Row 42 and 43: a write that takes nothing or not all.


@courses("deliver")
def test_row_42_what_a_full_disk_refuses_is_not_there_and_the_next_is_accepted(root: Path, course: str) -> None:
    for _, trial in failing(course, root, write="error=ENOSPC"):
        assert sum(word == "refused" for word, _ in trial.said) <= 1
        check(trial, forgets_settled=True)


@courses("adopt")
def test_row_42_a_disk_that_stays_full_loses_nothing_that_was_accepted(root: Path, course: str) -> None:
    for _, trial in failing(course, root, endlessly=True, write="error=ENOSPC"):
        check(trial, forgets_settled=True)


@courses("deliver")
def test_row_43_a_write_that_took_nothing_is_repeated(root: Path, course: str) -> None:
    for _, trial in failing(course, root, write="retval=0"):
        assert not trial.numbers("refused")
        check(trial)


@courses("write")
def test_row_43_a_write_that_took_less_than_it_said_leaves_no_silent_hole(root: Path, course: str) -> None:
    for _, trial in failing(course, root, write="retval=10"):
        check(trial, forgets_settled=True, counts_damage=True)


# Row 44: what cannot be written, made, cut or removed.


@courses("deliver")
def test_row_44_one_call_that_fails_costs_nothing(root: Path, course: str) -> None:
    failures = {"write": "EIO", "ftruncate": "EIO", "unlinkat": "EROFS", "mkdir": "EIO", "fchmod": "EPERM"}
    for _, trial in failing(course, root, **{name: f"error={error}" for name, error in failures.items()}):
        assert not trial.numbers("refused")
        check(trial, forgets_settled=True)


@courses("write")
def test_row_44_a_disk_that_becomes_read_only_loses_nothing_that_was_accepted(root: Path, course: str) -> None:
    failures = {"write": "EROFS", "ftruncate": "EROFS", "unlinkat": "EROFS", "fchmod": "EROFS"}
    errors = {name: f"error={error}" for name, error in failures.items()}
    for _, trial in failing(course, root, endlessly=True, **errors):
        check(trial, forgets_settled=True)


# Row 45: no descriptors, a stale one, interruptions.


@courses("adopt")
@pytest.mark.parametrize("error", ["EMFILE", pytest.param("ESTALE", marks=pytest.mark.soak)])
def test_row_45_one_file_that_cannot_be_opened_costs_nothing(root: Path, course: str, error: str) -> None:
    for _, trial in failing(course, root, openat=f"error={error}", flock="error=ENOLCK"):
        assert not trial.numbers("refused")
        check(trial, forgets_settled=True)


@courses()
@pytest.mark.parametrize("error", ["EMFILE", "ESTALE"])
def test_row_45_when_no_file_can_be_opened_nothing_that_was_accepted_is_lost(
    root: Path, course: str, error: str
) -> None:
    for _, trial in failing(course, root, endlessly=True, openat=f"error={error}"):
        check(trial, forgets_settled=True)


@courses("deliver")
def test_row_45_interrupted_calls_are_repeated(root: Path, course: str) -> None:
    names = ("openat", "write", "fdatasync", "fsync", "flock", "ftruncate")
    for _, trial in failing(course, root, **dict.fromkeys(names, "error=EINTR")):
        assert not trial.numbers("refused")
        check(trial)


@courses("adopt")
def test_row_45_a_descriptor_that_cannot_be_closed_troubles_nobody(root: Path, course: str) -> None:
    for _, trial in failing(course, root, close="error=EIO"):
        assert not trial.numbers("refused")
        check(trial, forgets_settled=True)


# Row 48: a segment is removed when everything that was done with it is durable, and before what says so.


@pytest.mark.parametrize("course", ["deliver", "adopt"])
def test_row_48_acks_are_durable_before_their_segment_is_removed_and_go_after_it(root: Path, course: str) -> None:
    with strace(course, root, options=("-y",)) as traced:
        calls = traced.calls(traced.undisturbed())
    unsynced, nameless, removed, is_directory_synced, count = set[str](), set[str](), "", False, 0
    for name, line in calls:
        acks = next(iter(re.findall(r"[/\"](\d{16}-\w{8}\.held-acks)\b", line)), "")
        if name == "openat" and acks and "O_CREAT" in line:
            nameless.add(acks)
        elif name == "write" and acks:
            unsynced.add(acks)
        elif name == "fdatasync" and acks:
            unsynced.discard(acks)
        elif name == "fsync":
            nameless.clear()
            is_directory_synced = True
        elif name == "unlinkat" and not acks:
            removed = line.split('"')[1]
            assert f"{removed}-acks" not in unsynced | nameless
            is_directory_synced = False
            count += 1
        elif name == "unlinkat" and acks == f"{removed}-acks":
            assert is_directory_synced
    assert count >= 2


@pytest.mark.soak
def test_row_35_killed_at_random_moments_a_spool_loses_nothing_and_invents_nothing(root: Path) -> None:
    root.mkdir()
    chance = random.Random(35)
    directory, before = root / "spool", list[tuple[str, list[int]]]()
    for number in range(60):
        with (root / f"said-{number}").open("w+") as output:
            program = subprocess.Popen(
                [sys.executable, str(PROGRAMS / "endless_writer.py"), str(directory), str(1000 + number * 10_000)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))},
                stdout=output,
            )
            while not output.seek(0, os.SEEK_END):
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.1))
            program.kill()
            program.wait(PATIENCE)
            output.seek(0)
            before += [said(f"- {line}")[1:] for line in output]
        # What one leaves is left to the next ones, until it is looked at.
        if number % 3 == 2:
            check(Trial(directory, before, status=int(signal.SIGKILL)))
            before = []
