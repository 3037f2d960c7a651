"""
The buffered transport in real processes that fork, are killed, and end. Rows of the fault matrix have their number in
the name.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_server import OK, Peer, RawServer
from worlds import World, close_all, stored_in, transport, update

PROGRAMS = Path(__file__).parent / "programs"
GUARD_SECONDS = 60.0


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    close_all()


def start(name: str, *arguments: object, before: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Any:
    command = [*before, sys.executable, *options, str(PROGRAMS / f"{name}.py"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(name: str, *arguments: object, **others: Any) -> tuple[str, str]:
    """
    What a program wrote to its two outputs, when it ended well.
    """
    process = start(name, *arguments, **others)
    try:
        out, err = process.communicate(timeout=GUARD_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"{name} hangs: {out[-1000:]}{err[-1000:]}")
    assert process.returncode == 0, err[-3000:]
    return out, err


def written_on(paper: Path) -> Counter[str]:
    """
    The names of the events that arrived, and how often.
    """
    if not paper.exists():
        return Counter()
    return Counter(record["event"] for line in paper.read_bytes().splitlines() for record in json.loads(line))


def once(*names: str) -> Counter[str]:
    return Counter(names)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    return tmp_path / "paper"


def _fork(paper: Path, forks: int, spool: object = "") -> None:
    out, _ = run("forks", paper, forks, spool)
    bad, count = map(int, out.split())
    assert bad == 0
    arrived = written_on(paper)
    assert set(arrived.values()) == {1}
    children = {f"child-{number}-{each}" for number in range(forks) for each in (0, 1)}
    assert {name for name in arrived if name.startswith("child")} == children
    assert len(arrived) == len(children) + count


@pytest.mark.parametrize("with_spool", [False, True])
def test_row_54_forks_under_load_deliver_everything_once(paper: Path, tmp_path: Path, with_spool: bool) -> None:
    _fork(paper, 50, tmp_path / "spool" if with_spool else "")
    if with_spool:
        assert stored_in(tmp_path / "spool") == []


@pytest.mark.soak
def test_row_54_a_thousand_forks_under_load_deliver_everything_once(paper: Path) -> None:
    _fork(paper, 1_000)


@pytest.mark.parametrize("kind", ["sync", "buffered"])
def test_row_55_a_child_never_touches_a_connection_of_its_parent(serve: Callable[..., RawServer], kind: str) -> None:
    connections: list[list[str]] = []
    lock = threading.Lock()

    def answers(peer: Peer) -> None:
        mine: list[str] = []
        with lock:
            connections.append(mine)
        while True:
            mine.extend(record["event"] for record in json.loads(peer.read_request()))
            peer.send(OK)

    server = serve(*[answers] * 30)
    out, _ = run("sockets", server.url(""), kind)
    parent, delivered = out.split()
    assert delivered == "11"
    by_process = [{name.split("-")[0] for name in names} for names in connections]
    assert all(len(processes) <= 1 for processes in by_process)
    # The parent has one connection from beginning to end.
    assert by_process.count({parent}) == 1
    assert Counter(name for names in connections for name in names).most_common(1)[0][1] == 1
    assert sum(len(names) for names in connections) == 11 + 10


@pytest.mark.parametrize(
    "place", ["thread", "callback", "no hooks", "callback that returns", "request", "request without threads"]
)
def test_row_56_a_fork_in_an_unusual_place_leaves_the_parents_messages_to_the_parent(paper: Path, place: str) -> None:
    run("fork_places", paper, place)
    time.sleep(0.4 if "re" in place else 0.0)
    child = ["child"] if place in {"thread", "callback", "no hooks"} else []
    assert written_on(paper) == once(*(f"parent-{number}" for number in range(5)), *child)


def test_row_56_forks_of_forks_each_deliver_their_own(paper: Path) -> None:
    run("fork_places", paper, "depth")
    names = [f"depth-{depth}-{who}" for depth in range(3) for who in ("parent", "child")]
    assert written_on(paper) == once(*(f"parent-{number}" for number in range(5)), *names)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_row_57_children_of_multiprocessing_that_close_deliver_their_own(paper: Path, method: str) -> None:
    run("children", paper, method, "close", "")
    assert written_on(paper) == once("parent", *(f"child-{number}-{each}" for number in range(3) for each in range(20)))


@pytest.mark.parametrize(("method", "end"), [("fork", "os._exit"), ("fork", "return"), ("spawn", "os._exit")])
def test_row_57_with_a_spool_a_child_that_just_ends_loses_nothing(
    paper: Path, tmp_path: Path, method: str, end: str
) -> None:
    run("children", paper, method, end, tmp_path / "spool")
    world = World()
    with transport(world, spool=tmp_path / "spool") as following:
        following.flush(10.0)
    names = Counter(record["event"] for record in world.records())
    assert names == once("parent", *(f"child-{number}-{each}" for number in range(3) for each in range(20)))


CHILD = [f"child-0-{each}" for each in range(20)]


@pytest.mark.parametrize(
    ("method", "starter", "whose"),
    [
        ("fork", "Process", "inherited"),
        ("fork", "Process", "own"),
        ("fork", "Process", "without threads"),
        ("fork", "Pool", "inherited"),
        ("fork", "ProcessPoolExecutor", "inherited"),
        ("forkserver", "Pool", "own"),
        ("spawn", "Process", "own"),
    ],
)
def test_row_57_children_of_multiprocessing_that_just_end_deliver_what_they_hold(
    paper: Path, method: str, starter: str, whose: str
) -> None:
    _, err = run("ends", paper, method, starter, whose)
    assert written_on(paper) == once("parent-1", *CHILD)
    assert err == ""


@pytest.mark.parametrize("starter", ["Process", "Pool", "ProcessPoolExecutor"])
def test_row_57_a_child_delivers_by_a_transport_that_its_parent_goes_on_using(paper: Path, starter: str) -> None:
    run("ends", paper, "fork", starter, "used")
    assert written_on(paper) == once("parent-1", "parent-2", *CHILD)


def test_row_57_a_child_that_ends_leaves_time_for_every_transport(paper: Path) -> None:
    begun = time.monotonic()
    _, err = run("ends", paper, "fork", "Process", "beside mute ones")
    assert time.monotonic() - begun < 10.0
    assert written_on(paper) == once("parent-1", *CHILD)
    assert err.count("closed before everything was delivered: 1 message is left in memory") == 5


@pytest.mark.parametrize("starter", ["Process", "ProcessPoolExecutor"])
def test_row_57_the_end_of_a_process_waits_for_what_was_forgotten(paper: Path, starter: str) -> None:
    run("ends", paper, "fork", starter, "forgotten")
    assert written_on(paper) == once("parent-1", "forgotten")


def test_row_57_whoever_listens_in_a_child_hears_of_everything_before_it_ends(paper: Path) -> None:
    out, _ = run("ends", paper, "fork", "Process", "heard")
    assert out == "heard 20\nheard 1\n"


TEN = once(*map(str, range(10)))


@pytest.mark.parametrize("state", ["ordinary", "none", "busy", "many"])
def test_row_59_the_end_of_the_process_delivers_and_starts_no_thread(paper: Path, state: str) -> None:
    out, err = run("leaves", paper, "well", state, "")
    assert written_on(paper) == TEN
    assert "a thread" not in out.split("exit")[1]
    assert "Traceback" not in err
    # Whoever listens hears of it.
    assert sum(int(line.split()[1]) for line in out.splitlines() if line.startswith("heard")) == 10


# Not both: a request that hangs in the only thread cannot be left.
@pytest.mark.parametrize(("server", "state"), [("dead", "ordinary"), ("mute", "ordinary"), ("dead", "none")])
def test_row_58_a_dead_server_delays_the_end_by_half_a_second_and_the_rest_is_told_on_one_line(
    paper: Path, server: str, state: str
) -> None:
    begun = time.monotonic()
    _, err = run("leaves", paper, server, state, "")
    assert time.monotonic() - begun < 10.0
    lines = [line for line in err.splitlines() if "closed before" in line]
    assert len(lines) == 1
    assert re.search("10 messages are (lost or in doubt|left in memory)", lines[0])
    assert "Traceback" not in err


@pytest.mark.parametrize("server", ["dead", "mute"])
def test_row_58_with_a_spool_the_rest_stays_there(paper: Path, tmp_path: Path, server: str) -> None:
    _, err = run("leaves", paper, server, "ordinary", tmp_path / "spool")
    assert "10 messages stay in the spool" in err
    assert len(stored_in(tmp_path / "spool")) == 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_row_60_a_signal_that_ends_the_process_loses_nothing_with_a_spool(tmp_path: Path, number: int) -> None:
    process = start("waits", tmp_path / "spool", "down")
    assert process.stdout.readline() == "sent\n"
    process.send_signal(number)
    assert process.wait(10.0) == -number
    process.communicate()
    world = World()
    with transport(world, spool=tmp_path / "spool") as following:
        following.send(update(500))
        assert len(following.flush(20.0).delivered) == 1_001
    assert Counter(record["event"] for record in world.records("/track")) == once(*map(str, range(500)))
    # What was stored before comes before what is sent now.
    assert world.steps() == list(range(501))
    assert stored_in(tmp_path / "spool") == []


def test_row_60_what_was_under_way_and_must_not_be_sent_twice_is_unknown_after_a_kill(tmp_path: Path) -> None:
    process = start("waits", tmp_path / "spool", "hang")
    assert process.stdout.readline() == "posting\n"
    process.kill()
    process.communicate()
    world = World()
    with transport(world, spool=tmp_path / "spool") as following:
        outcome = following.flush(10.0)
        assert len(outcome.unknown) == 1
    assert world.requests == []
    (kept,) = stored_in(tmp_path / "spool", "unknown")
    assert b"$add" in kept.message.body
    assert stored_in(tmp_path / "spool") == []


@pytest.mark.parametrize("mode", ["threads", "spool", "no threads"])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_row_61_an_interrupt_at_any_moment_leaves_each_message_accepted_once_or_not_at_all(
    paper: Path, mode: str, seed: int
) -> None:
    out, _ = run("interrupted", paper, seed, mode)
    accepted, doubtful, figures = (line.split() for line in out.split("\n")[:3])
    arrived = written_on(paper)
    if mode != "no threads":
        # There the delivery itself is interrupted, and its answers are in doubt.
        assert set(arrived.values()) == {1}
        assert set(accepted) - set(arrived) == set()
        assert figures[1] == "0"
        assert int(figures[0]) == int(figures[2]) == len(arrived)
    assert set(arrived) <= {*accepted, *doubtful}


@pytest.mark.parametrize("with_spool", [False, True])
def test_row_62_signal_handlers_and_finalisers_may_send(paper: Path, tmp_path: Path, with_spool: bool) -> None:
    out, err = run("handlers", paper, 1.0, tmp_path / "spool" if with_spool else "")
    sent, accepted, delivered, dropped, by_signals = map(int, out.split())
    assert by_signals > 50
    assert accepted == sent == delivered + dropped
    arrived = written_on(paper)
    assert len(arrived) == delivered
    assert set(arrived.values()) == {1}
    assert "Traceback" not in err


@pytest.mark.needs("strace")
def test_row_65_where_the_system_gives_no_thread_flush_and_close_deliver(paper: Path) -> None:
    calls = "clone3,clone"
    strace = ("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error=EAGAIN")
    out, _ = run("threadless", paper, before=strace)
    assert out == "21\n"
    assert written_on(paper) == once(*map(str, range(20)), "last")


@pytest.mark.parametrize("when", ["before", "after"])
def test_row_68_it_works_under_gevent(paper: Path, when: str) -> None:
    out, err = run("green", paper, when)
    assert out.split() == ["200", "0", "True"]
    assert written_on(paper) == once(*(f"{number}-{each}" for number in range(10) for each in range(20)))
    assert "LoopExit" not in err


def test_row_71_a_dead_server_costs_no_more_memory_than_the_budget() -> None:
    out, _ = run("heavy", 60_000)
    mebibytes, accepted, held, dropped = map(float, out.split())
    assert mebibytes <= 8 + 16
    assert accepted == 60_001 == held + dropped
    assert dropped > 40_000


@pytest.mark.parametrize("how", ["kept", "collected", "no threads"])
def test_row_73_the_end_of_the_interpreter_makes_no_noise(how: str) -> None:
    _, err = run("forgets", how, options=("-X", "dev"))
    noise = [
        line
        for line in err.splitlines()
        if "ResourceWarning" not in line and "closed before" not in line and "was not reached" not in line
    ]
    assert [line for line in noise if "Traceback" in line or "Error" in line or "Exception" in line] == []
