"""
Several processes and one directory; forks, threads and what happens at the end.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_disk import FakeDisk, Storage
from spool_kit import EVENTS, drain, event, files, messages

from mixwire.core import Message
from mixwire.transports import journal, reminder
from mixwire.transports.spool import Spool

HERE = str(Path(__file__).parent)
PATIENCE = 30.0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    beginning = f"import sys, os, time; sys.path.insert(0, {HERE!r})\nfrom spool_kit import *\n"
    return subprocess.Popen(
        [sys.executable, "-c", beginning + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


WRITE = """
from pathlib import Path
spool = Spool(Path(sys.argv[1]), delivers=sys.argv[3] == "True", max_segment_bytes=5000)
base = int(sys.argv[2])
for number in range(base, base + 100):
    spool.append([event(number)])
    if number % 10 == 0:
        spool.sync()
print("written", flush=True)
sys.stdin.readline()
"""

# Many processes at the price of one start of the interpreter.
FORK = """
from pathlib import Path
for base in range(1, int(sys.argv[2]) + 1):
    if not os.fork():
        spool = Spool(Path(sys.argv[1]), max_segment_bytes=5000)
        for number in range(100):
            spool.append([event(base * 1000 + number)])
        spool.close()
        os._exit(0)
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def said(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def ended(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=PATIENCE)


def drained(spool: Spool, wanted: int) -> list[Message]:
    """
    What is delivered of segments that come and grow.
    """
    found: list[Message] = []
    places: dict[str, int] = {}
    segments = []
    end = time.monotonic() + PATIENCE
    while len(found) < wanted and time.monotonic() < end:
        segments += spool.adopt()
        for segment in segments:
            chunk = segment.read(places.get(segment.name, 0), 1 << 20)
            places[segment.name] = chunk.next
            found += [stored.message for stored in chunk.stored]
            spool.settle([stored.place for stored in chunk.stored])
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("count", [2, 16])
def test_row_46_many_writers_and_drainers_deliver_the_union_once(directory: Path, count: int) -> None:
    writers = started(FORK, directory, count)
    spool, other = Spool(directory), Spool(directory)
    found = drained(spool, count * 100)
    assert other.adopt() == []
    ended(writers)
    expected = [event(base * 1000 + number) for base in range(1, count + 1) for number in range(100)]
    assert sorted(each.body for each in found) == sorted(each.body for each in expected)
    assert drained(spool, 0) == []
    spool.close()
    again = Spool(directory)
    assert drain(again) == []
    assert files(directory) == []
    again.close()
    other.close()


@pytest.mark.parametrize("delivers", [True, False])
def test_row_47_what_a_killed_writer_left_is_adopted_when_its_locks_are_gone(directory: Path, delivers: bool) -> None:
    writer = started(WRITE, directory, 0, delivers)
    said(writer, "written")
    spool = Spool(directory)
    if delivers:
        assert spool.adopt() == []
    writer.send_signal(signal.SIGKILL)
    ended(writer)
    assert messages(drain(spool)) == [event(number) for number in range(100)]
    assert files(directory) == []
    spool.close()


def test_row_47_a_drainer_that_was_killed_is_followed_by_another(directory: Path) -> None:
    writer = Spool(directory)
    writer.append(EVENTS)
    writer.close()
    code = """
from pathlib import Path
spool = Spool(Path(sys.argv[1]))
(segment,) = spool.adopt()
spool.settle([stored.place for stored in segment.read(0, 1 << 20).stored][:4])
print("drained", flush=True)
sys.stdin.readline()
"""
    drainer = started(code, directory)
    said(drainer, "drained")
    spool = Spool(directory)
    assert spool.adopt() == []
    drainer.kill()
    ended(drainer)
    assert messages(drain(spool)) == EVENTS[4:]
    spool.close()


def in_child(work: object) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()  # type: ignore[operator]
            os._exit(0)
        except BaseException:  # noqa: BLE001  # a child must not come back into the test
            os._exit(1)
    return os.waitpid(child, 0)[1]


def test_a_forked_child_starts_with_nothing_and_leaves_the_locks_to_its_parent(directory: Path) -> None:
    parent = Spool(directory, delivers=True)
    places = parent.append(EVENTS[:2])
    lock = parent._journal._lock
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with lock, parent._shelf.lock:
            held.set()
            release.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)

    def work() -> None:
        signal.alarm(20)
        parent.settle(places)
        assert places[0].segment.read(0, 1000).stored == ()
        parent.append(EVENTS[2:4])
        parent.sync()
        parent.close()

    assert in_child(work) == 0
    release.set()
    thread.join(PATIENCE)
    other = Spool(directory)
    assert messages(drain(other)) == EVENTS[2:4]
    parent.append(EVENTS[4:5])
    parent.close()
    assert messages(drain(other)) == [*EVENTS[:2], EVENTS[4]]
    other.close()


def test_a_child_of_a_closed_spool_finds_it_closed(directory: Path) -> None:
    spool = Spool(directory)
    spool.close()

    def work() -> None:
        with pytest.raises(Exception, match="the spool had been closed"):
            spool.append(EVENTS)

    assert in_child(work) == 0


def until(condition: object) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.005)
    return False


def test_a_moment_after_an_append_it_is_synced_in_the_background() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync_after_seconds=0.01)
    for number in range(3):
        count = len(storage.log)
        spool.append([event(number)])
        assert until(lambda: any(entry[0] == "sync" for entry in storage.log[count:]))  # noqa: B023
    spool.close()


def test_row_65_where_no_thread_can_start_an_append_that_is_due_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(reminder._thread, "start_new_thread", refuse)
    clock = [1000.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage))
    spool.append(EVENTS[:1])
    spool.append(EVENTS[1:2])
    assert "sync" not in [entry[0] for entry in storage.log]
    clock[0] += 0.2
    spool.append(EVENTS[2:3])
    assert [entry[0] for entry in storage.log][-2:] == ["sync", "sync_directory"]


def test_a_forgotten_spool_ends_its_thread_and_gives_its_locks_back(directory: Path) -> None:
    before = threading.active_count()
    spool = Spool(directory, delivers=True)
    spool.append(EVENTS)
    del spool
    gc.collect()
    other = Spool(directory)
    assert until(lambda: bool(other.survey().waiting))
    assert messages(drain(other)) == EVENTS
    assert threading.active_count() == before
    other.close()


def test_callers_of_sync_share_the_work() -> None:
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync="always")
    spool.append(EVENTS[:1])
    entered = threading.Event()
    release = threading.Event()

    def wait(operation: str, name: str, size: int) -> None:
        if operation == "sync":
            entered.set()
            release.wait(PATIENCE)

    storage.fail = wait
    storage.log.clear()
    threads = [threading.Thread(target=spool.append, args=([each],)) for each in EVENTS[1:9]]
    threads[0].start()
    assert entered.wait(PATIENCE)
    for thread in threads[1:]:
        thread.start()
    assert until(lambda: sum(entry[0] == "write" for entry in storage.log) == 8)
    release.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert sum(entry[0] == "sync" for entry in storage.log) == 2


def test_row_62_a_signal_handler_that_appends_never_deadlocks(directory: Path) -> None:
    spool = Spool(directory, delivers=True, max_segment_bytes=20_000, sync_after_seconds=0.001)
    count = [0]

    def handler(number: int, stack: object) -> None:
        count[0] += 1
        spool.append([event(count[0])])

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.004, 0.004)
    sent = 0
    try:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            spool.settle(spool.append([event(1_000_000 + sent)]))
            sent += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    spool.close()
    again = Spool(directory)
    assert sorted(each.body for each in messages(drain(again))) == sorted(
        event(number).body for number in range(1, count[0] + 1)
    )
    assert count[0] > 20
    again.close()


def test_signal_handlers_do_not_pile_up_while_the_disk_is_slow() -> None:
    """
    A thread waits for another one's sync; each handler that interrupts it appends and would wait as well.
    """
    storage = Storage()
    spool = Spool("/d", disk=FakeDisk(storage), sync="always")
    spool.append(EVENTS[:1])
    entered = threading.Event()
    release = threading.Event()
    depth = [0]
    deepest = [0]

    def wait(operation: str, name: str, size: int) -> None:
        if operation == "sync" and threading.current_thread() is not threading.main_thread():
            entered.set()
            release.wait(PATIENCE)

    def handler(number: int, stack: object) -> None:
        depth[0] += 1
        deepest[0] = max(deepest[0], depth[0])
        spool.append(EVENTS[2:3])
        depth[0] -= 1
        if storage.log and sum(entry[0] == "write" for entry in storage.log) > 25:
            signal.setitimer(signal.ITIMER_REAL, 0)
            release.set()

    storage.fail = wait
    thread = threading.Thread(target=spool.append, args=(EVENTS[1:2],))
    thread.start()
    assert entered.wait(PATIENCE)
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.004, 0.004)
    try:
        spool.append(EVENTS[3:4])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        release.set()
    thread.join(PATIENCE)
    assert deepest[0] < 5
    spool.close()
