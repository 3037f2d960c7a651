"""
Ctrl-C at each moment at which it can come: row 61 of the fault matrix.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import urllib3
from moments import GUARD_SECONDS, WITH_THREADING, Signal, elsewhere, interrupt
from worlds import Gate, World, close_all, event, eventually, stored_in, sum_of, transport, update

from mixwire.core import Project
from mixwire.transports import BufferedTransport, SyncTransport

# What is interrupted between making an iterator of the system's and its `with` says that it was not closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def use(buffered: BufferedTransport, accepted: list[int]) -> None:
    for number in range(2):
        buffered.send(event(number))
        accepted.append(number)
    buffered.flush(GUARD_SECONDS)
    buffered.send(event(2))
    accepted.append(2)
    buffered.close(GUARD_SECONDS)


@pytest.mark.parametrize("with_spool", [False, True])
def test_row_61_an_interrupt_at_any_moment_leaves_a_transport_that_delivers_all_and_closes(
    tmp_path: Path, with_spool: bool
) -> None:
    # With a spool there are many more moments, and those in it have tests of their own.
    for number in count(1, 3 if with_spool else 1):
        world = World()
        buffered = transport(world, spool=tmp_path / f"{number}" if with_spool else None)
        accepted: list[int] = []
        signal = Signal(number, interrupt, within=WITH_THREADING)
        with suppress(KeyboardInterrupt), signal:
            use(buffered, accepted)
        elsewhere(partial(buffered.close, GUARD_SECONDS * 2))
        stats, arrived = buffered.stats(), world.numbers()
        assert stats.accepted == stats.delivered == sum_of(stats) == len(arrived)
        # One whose `send` was interrupted may have been accepted.
        assert sorted(arrived) in (accepted, [*accepted, len(accepted)])
        close_all()
        if not signal.came:
            break
    assert number > 100


def test_row_61_an_interrupt_at_any_moment_of_send_keeps_nothing_that_is_sent_later_waiting() -> None:
    world = World()
    with transport(world) as buffered:
        for number in count(1):
            signal = Signal(number, interrupt, within=WITH_THREADING)
            with suppress(KeyboardInterrupt), signal:
                buffered.send(event(0))
            buffered.send(event(number))
            eventually(lambda number=number: number in world.numbers())
            # Time to fall asleep again.
            time.sleep(0.01)
            if not signal.came:
                break
    assert number > 10


@pytest.mark.parametrize(("before", "after"), [(4, 3), (2, 3), (4, 0), (2, 0)])
def test_row_61_what_an_interrupted_send_spilled_is_delivered_or_left_and_counted(
    tmp_path: Path, before: int, after: int
) -> None:
    for number in count(1):
        gate = Gate()
        world = World(gate)
        # Room for two in memory: the rest waits in the spool alone.
        buffered = transport(world, spool=tmp_path / f"{number}", when_full="spill", max_held_messages=2)
        buffered.send(*(event(each) for each in range(1, before + 1)))
        accepted = list(range(1, before + 1))
        signal = Signal(number, interrupt, within=WITH_THREADING)
        is_accepted = False
        with suppress(KeyboardInterrupt), signal:
            buffered.send(event(0))
            is_accepted = True
        buffered.send(*(event(each) for each in range(10, 10 + after)))
        accepted += range(10, 10 + after)
        gate.is_open.set()
        elsewhere(partial(buffered.close, GUARD_SECONDS * 2))
        stats, arrived, left = buffered.stats(), world.numbers(), stored_in(tmp_path / f"{number}")
        assert stats.accepted == stats.delivered == sum_of(stats) == len(arrived)
        assert sorted(arrived) in ([0, *accepted], [] if is_accepted else accepted)
        # Whoever opens the spool next delivers it.
        assert [each.message.body for each in left] in ([], [] if 0 in arrived else [event(0).body])
        if not signal.came:
            break
    assert number > 30


class Refusing(BaseHTTPRequestHandler):
    """
    Takes events and refuses updates, all on one connection.
    """

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_event = self.path.startswith("/track")
        answer = b'{"status":1,"error":null}' if is_event else b'{"status":0,"error":"refused"}'
        self.send_response(200 if is_event else 400)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        pass


class Patient(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        # Who was interrupted hangs up.
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    with Patient(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_row_61_the_answer_to_an_interrupted_request_is_never_taken_for_that_to_another(refusing: str) -> None:
    within = (*WITH_THREADING, str(Path(urllib3.__file__).parent), http.client.__file__)
    with SyncTransport(Project("T0", server=refusing)) as transport:
        assert len(transport.send(update(1)).rejected) == 1
        # Each seventh: there are more than seven hundred, most of them in the building of one request.
        for number in count(1, 7):
            signal = Signal(number, interrupt, within=within)
            with suppress(KeyboardInterrupt), signal:
                transport.send(update(1))
            assert len(transport.send(event(number)).delivered) == 1
            elsewhere(partial(transport.send, event(number)))
            if not signal.came:
                break
    assert number > 200
