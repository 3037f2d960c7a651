"""
The emulator under load, in a process of its own: it keeps what it may keep and grows no further, whoever listens.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import field, frozen

PROGRAM: Final = """
import sys
from mixwire.testing.local import LocalMixpanel
from mixwire.testing.server import MixpanelServer
from mixwire.testing.state import Settings

most, most_bytes = map(int, sys.argv[1:])
with MixpanelServer(LocalMixpanel(Settings(max_events=most, max_bytes=most_bytes))) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""
GUARD_SECONDS: Final = 60.0
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
MIB: Final = 1024 * 1024
RATE: Final = 5_000
PER_REQUEST: Final = 500


@frozen
class Running:
    """
    A server in a process of its own.
    """

    process: subprocess.Popen[str]
    port: int
    connections: list[HTTPConnection] = field(factory=list[HTTPConnection])

    def connect(self) -> HTTPConnection:
        self.connections.append(HTTPConnection("127.0.0.1", self.port, timeout=GUARD_SECONDS))
        return self.connections[-1]

    def resident_mib(self) -> float:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1]
        return int(pages) * PAGE_BYTES / MIB

    def stats(self) -> dict[str, Any]:
        connection = self.connect()
        connection.request("GET", "/_emulator/stats")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found


@contextmanager
def server(max_events: int, max_bytes: int) -> Iterator[Running]:
    command = [sys.executable, "-c", PROGRAM, str(max_events), str(max_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        running = Running(process, int(process.stdout.readline().rpartition(":")[2]))
        try:
            yield running
        finally:
            for connection in running.connections:
                connection.close()
            process.communicate(timeout=GUARD_SECONDS)


def body(start: int) -> bytes:
    """
    Events of about a kilobyte each.
    """
    now = time.time_ns() // 1_000_000
    records = [
        {
            "event": "Opened",
            "properties": {
                "token": "TOKEN-OF-PROJECT",
                "distinct_id": f"user-{number % 100}",
                "time": now - number,
                "$insert_id": f"event-{number:010}",
                "filling": ["x" * 250] * 3,
            },
        }
        for number in range(start, start + PER_REQUEST)
    ]
    return json.dumps(records, separators=(",", ":")).encode()


class Reader(threading.Thread):
    """
    Reads the live stream to its end.
    """

    def __init__(self, running: Running) -> None:
        super().__init__(name="reader-of-the-stream")
        self.numbers: list[int] = []
        self._connection = HTTPConnection("127.0.0.1", running.port, timeout=GUARD_SECONDS)
        self._connection.request("GET", "/_emulator/stream")
        self._response = self._connection.getresponse()

    def run(self) -> None:
        while line := self._response.readline():
            if line.startswith(b"data: "):
                self.numbers.append(json.loads(line[6:])["number"])
        self._connection.close()


def grown_mib(seconds: float, max_events: int, max_bytes: int) -> float:
    """
    How much the server grew after a third of the time, when everything that it may keep is full.
    """
    bodies = [body(PER_REQUEST * number) for number in range(20)]
    count = round(RATE * seconds) // PER_REQUEST
    with server(max_events, max_bytes) as running:
        reader = Reader(running)
        reader.start()
        # It asks and never reads, and has little room for what comes.
        mute = socket.socket()
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        mute.connect(("127.0.0.1", running.port))
        mute.sendall(b"GET /_emulator/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection = running.connect()
        resident: list[float] = []
        begun = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, begun + number * PER_REQUEST / RATE - time.monotonic()))
            connection.request(
                "POST", "/track?verbose=1", bodies[number % 20], headers={"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b'{"error": null, "status": 1}')
            resident.append(running.resident_mib())
            if number == count // 3:
                forgotten = running.stats()["forgotten"]
                assert forgotten["events"] > 0
                assert forgotten["requests"] > 0
        stats = running.stats()
        assert stats["events"] == {"stored": count * PER_REQUEST, "refused": 0, "dropped": 0, "ignored": 0}
        assert stats["kept"]["events"] <= max_events
        assert stats["kept"]["events"] + stats["forgotten"]["events"] == count * PER_REQUEST
        assert stats["kept"]["requests"] + stats["forgotten"]["requests"] == count
    reader.join(GUARD_SECONDS)
    mute.close()
    # Whoever listens hears of the last of it, too.
    assert reader.numbers == sorted(set(reader.numbers))
    assert reader.numbers[-1] > stats["number"] - 10 * PER_REQUEST
    full = count // 3
    return max(resident[2 * full :]) - max(resident[full : full + max(1, count // 10)])


def test_under_load_it_keeps_what_it_may_and_grows_no_further() -> None:
    assert grown_mib(4.0, 2_000, 2 * MIB) < 4.0


@pytest.mark.soak
def test_a_minute_of_load_makes_it_grow_no_further_than_its_caps() -> None:
    assert grown_mib(60.0, 10_000, 32 * MIB) < 12.0


def test_what_it_keeps_takes_little_more_memory_than_the_caps_say() -> None:
    bodies = [body(PER_REQUEST * number) for number in range(20)]
    with server(10_000, 16 * MIB) as running:
        connection = running.connect()
        resident: list[float] = []
        for number in range(25):
            connection.request(
                "POST", "/track?verbose=1", bodies[number % 20], headers={"Content-Type": "application/json"}
            )
            assert connection.getresponse().read() == b'{"error": null, "status": 1}'
            resident.append(running.resident_mib())
        kept = running.stats()["kept"]
        assert kept["events"] == 10_000
    # About 10 MiB of events and as much of requests are kept; beside them, the objects and what a request takes.
    assert resident[-1] - resident[0] < 2 * 20.0
