"""
How fast the emulator is, and what it takes in memory.

    python benchmarks/emulator.py [SECONDS]

First the pure function alone, then a server in a process of its own (``mixwire emulate``) that is asked over one
connection: as fast as it answers, then with 5,000 events a second for a minute, or SECONDS, while two clients are
connected to the live stream, one of which reads nothing.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import orjson

from mixwire.testing.emulator import respond
from mixwire.testing.state import HttpRequest, State

TARGET = "/track?verbose=1&ip=0"
HEADERS = {"Content-Type": "application/json"}
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024
RATE = 5_000


def body_of(count: int, start: int = 0, filling: int = 0) -> bytes:
    now = time.time_ns() // 1_000_000
    return orjson.dumps(
        [
            {
                "event": "Purchase Completed",
                "properties": {
                    "distinct_id": f"user-{number % 500}",
                    "time": now - number,
                    "$insert_id": f"{number:032x}",
                    "mp_lib": "mixwire",
                    "$lib_version": "0.1.0",
                    "product": "Premium Plan",
                    "plan": "monthly",
                    "currency": "USD",
                    "amount": 99.99,
                    "quantity": 1,
                    "coupon": None,
                    "trial": False,
                    "source": "newsletter",
                    "filling": ["x" * 250] * filling,
                    "token": "0123456789abcdef0123456789abcdef",
                },
            }
            for number in range(start, start + count)
        ]
    )


# The pure function.


def pure(per_request: int, events: int = 20_000) -> float:
    """
    Microseconds for one event, when as much is kept as may be; the best of several rounds.
    """
    request = HttpRequest(target=TARGET, headers=tuple(HEADERS.items()), body=body_of(per_request))
    state, now, best = State(), time.time_ns() // 1_000_000, float("inf")
    for _ in range(-(-state.settings.max_events // 2_000)):
        state, _ = respond(state, HttpRequest(target=TARGET, headers=request.headers, body=body_of(2_000)), now)
    for _ in range(5):
        begin = time.process_time()
        for _ in range(events // per_request // 5):
            # So that the rate limit stays out of it.
            now += 2_000
            state, reply = respond(state, request, now)
            assert reply.body.endswith(b'"status": 1}')
        best = min(best, time.process_time() - begin)
    return best / (events // per_request // 5 * per_request) * 1e6


# The server.


class Emulator:
    """
    ``mixwire emulate`` in a process of its own.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-m", "mixwire", "emulate", "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        match = re.search(r"http://([0-9.]+):([0-9]+)", self._process.stdout.readline())
        assert match is not None
        self.host, self.port = match[1], int(match[2])

    def cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def resident_mib(self) -> float:
        statm = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="utf-8").split()
        return int(statm[1]) * PAGE_BYTES / MIB

    def connect(self) -> HTTPConnection:
        return HTTPConnection(self.host, self.port, timeout=60.0)

    def stats(self) -> dict[str, dict[str, int]]:
        connection = self.connect()
        connection.request("GET", "/_emulator/stats")
        found: dict[str, dict[str, int]] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@contextmanager
def emulator() -> Iterator[Emulator]:
    running = Emulator()
    try:
        yield running
    finally:
        running.close()


def post(connection: HTTPConnection, body: bytes) -> None:
    connection.request("POST", TARGET, body, HEADERS)
    response: HTTPResponse = connection.getresponse()
    said = response.read()
    if response.status != 200:
        sys.exit(f"HTTP {response.status}: {said.decode()}")


def sustained(per_request: int, seconds: float = 5.0) -> tuple[float, float]:
    """
    Events a second, and the CPU seconds of the server for each second.
    """
    bodies = [body_of(per_request, per_request * number) for number in range(10)]
    with emulator() as server:
        connection = server.connect()
        post(connection, bodies[0])
        count, cpu, begin = 0, server.cpu_seconds(), time.monotonic()
        # A minute may not bring more than this.
        while time.monotonic() - begin < seconds and count < 1_700_000:
            post(connection, bodies[count // per_request % 10])
            count += per_request
        passed = time.monotonic() - begin
        connection.close()
        return count / passed, (server.cpu_seconds() - cpu) / passed


def listen(server: Emulator, stop: threading.Event, heard: list[int]) -> None:
    """
    Read the live stream, and count how many stats it tells.
    """
    connection = server.connect()
    connection.request("GET", "/_emulator/stream")
    response = connection.getresponse()
    while not stop.is_set():
        if response.readline().startswith(b"data: "):
            heard.append(1)
    connection.close()


def steady(seconds: float, per_request: int = 500) -> None:
    """
    5,000 events a second of about a kilobyte, so that all caps are reached soon.
    """
    bodies = [body_of(per_request, per_request * number, filling=3) for number in range(20)]
    stop = threading.Event()
    heard: list[int] = []
    with emulator() as server:
        reader = threading.Thread(target=listen, args=(server, stop, heard))
        reader.start()
        mute = socket.create_connection((server.host, server.port))
        mute.sendall(b"GET /_emulator/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection = server.connect()
        samples: list[tuple[float, float]] = []
        cpu, begin = server.cpu_seconds(), time.monotonic()
        for number in range(int(RATE * seconds) // per_request):
            ahead = begin + number * per_request / RATE - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            post(connection, bodies[number % 20])
            samples.append((time.monotonic() - begin, server.resident_mib()))
        passed = time.monotonic() - begin
        used = server.cpu_seconds() - cpu
        stats = server.stats()
        stop.set()
        post(connection, bodies[0])
        reader.join()
        mute.close()
        connection.close()
    count = len(samples) * per_request
    print(f"{count / passed:,.0f} events/s of {len(bodies[0]) // per_request:,} bytes for {passed:.0f} s:", end=" ")
    print(f"{used / passed:.0%} of a CPU; {len(heard)} messages on the stream, {len(heard) / passed:.1f} a second")
    kept, forgotten = stats["kept"], stats["forgotten"]
    print(f"kept: {kept['events']:,} events and {kept['requests']:,} requests; ", end="")
    print(f"forgotten: {forgotten['events']:,} and {forgotten['requests']:,}")
    marks = [samples[min(len(samples) - 1, int(len(samples) * part))] for part in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)]
    for at, mib in [*marks, samples[-1]]:
        print(f"  after {at:>5.1f} s {mib:>6.1f} MiB")


def main(seconds: float) -> None:
    for per_request in (2_000, 50, 1):
        print(f"respond, {per_request:>5,} events a request: {pure(per_request):>6.1f} us an event")
    for per_request in (2_000, 50):
        speed, share = sustained(per_request)
        print(
            f"server,  {per_request:>5,} events a request: {speed:>6,.0f} events/s with {share:.0%} of a CPU,", end=" "
        )
        print(f"{speed / share:,.0f} for each second of it")
    steady(seconds)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
