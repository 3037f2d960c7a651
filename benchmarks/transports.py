"""
How fast transports are, beside the official client, in one run against a server on loopback.

    python benchmarks/transports.py

Each candidate builds its events from the same properties and hands them over one by one, as an application does. The
server is a process of its own that answers at once and keeps the requests; what arrived is counted afterwards. The
floor is ``orjson.dumps`` of ready dicts, 2,000 at a time, posted by urllib3.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import mixpanel
import orjson
import urllib3

from mixwire.core import Message, Project, Track, encode
from mixwire.transports import BufferedTransport, SyncTransport

TOKEN = "0123456789abcdef0123456789abcdef"
WORDS = "fix add remove test docs cache parser buffer retry socket index merge release token worker queue".split()
LATENCIES = (0.5, 0.99)
Events = list[tuple[str, dict[str, object]]]


# The server.


def serve() -> None:
    """
    Answer everything well; `GET /count` says how many requests, bytes and records there were since the last time.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    bodies: list[tuple[int, bytes, bool]] = []

    def play(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with contextlib.suppress(OSError):
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(1 << 18)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    said = json.dumps(count()).encode()
                else:
                    lower = head.lower()
                    length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
                    parts, have = [buffer], len(buffer)
                    while have < length:
                        data = sock.recv(1 << 18)
                        parts.append(data)
                        have += len(data)
                    whole = b"".join(parts)
                    body, buffer = whole[:length], whole[length:]
                    bodies.append((len(head) + 4 + length, body, b"content-encoding: gzip" in lower))
                    said = b'{"error":null,"status":1}'
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))

    def count() -> dict[str, int]:
        taken = bodies.copy()
        bodies.clear()
        texts = [gzip.decompress(body) if packed else body for _, body, packed in taken]
        # The official client sends a form, whose quotes are escaped.
        records = sum(text.count(b'"event":') + text.count(b"%22event%22") for text in texts)
        return {"requests": len(taken), "bytes": sum(size for size, _, _ in taken), "records": records}

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=play, args=(sock,), daemon=True).start()


class Server:
    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def count(self) -> dict[str, int]:
        response = urllib3.request("GET", f"http://127.0.0.1:{self.port}/count")
        return dict(response.json())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# The events.


def make_events(count: int) -> Events:
    """
    Events of seven properties, about as different from each other as those of a version control system.
    """
    chance = random.Random(7)

    def event() -> tuple[str, dict[str, object]]:
        properties: dict[str, object] = {
            "repository": f"example/{chance.choice(WORDS)}",
            "subject": " ".join(chance.choices(WORDS, k=6)),
            "timezone": chance.choice(["+0000", "+0200", "-0700"]),
            "parents": chance.randrange(3),
            "files changed": chance.randrange(40),
            "insertions": chance.randrange(2_000),
            "deletions": chance.randrange(2_000),
        }
        return f"{chance.randrange(1 << 40):020x}", properties

    return [event() for _ in range(count)]


def insert_ids() -> Iterator[str]:
    """
    Random ids of 32 hexadecimal characters, 256 for each visit to the operating system.
    """
    while True:
        text = os.urandom(16 * 256).hex()
        yield from (text[start : start + 32] for start in range(0, len(text), 32))


class Ours:
    """
    What an application does with this library for one event.
    """

    def __init__(self, port: int, make: Callable[[Project], BufferedTransport | SyncTransport]) -> None:
        self._project = Project(TOKEN, server=f"http://127.0.0.1:{port}")
        self._ids = insert_ids()
        self.transport = make(self._project)

    def message(self, user: str, properties: dict[str, object]) -> Message:
        now = time.time_ns() // 1_000_000
        track = Track("Committed", distinct_id=user, properties=properties, time=now, insert_id=next(self._ids))
        return encode(track, self._project)

    def track(self, user: str, properties: dict[str, object]) -> None:
        self.transport.send(self.message(user, properties))

    def finish(self) -> None:
        self.transport.flush(60)
        self.transport.close(5)


class Official:
    """
    The same with the official client.
    """

    def __init__(self, port: int, *, buffered: bool) -> None:
        host = f"127.0.0.1:{port}"
        urls = dict.fromkeys(("events_url", "people_url", "groups_url", "import_url"), f"http://{host}/track")
        # Its sessions speak TLS only through the scheme of the URL, so plain HTTP works for a measurement.
        self._consumer = (
            mixpanel.BufferedConsumer(max_size=2_000, retry_limit=0, **urls)
            if buffered
            else mixpanel.Consumer(retry_limit=0, **urls)
        )
        self._client = mixpanel.Mixpanel(TOKEN, self._consumer)

    def track(self, user: str, properties: dict[str, object]) -> None:
        self._client.track(user, "Committed", properties)

    def finish(self) -> None:
        if isinstance(self._consumer, mixpanel.BufferedConsumer):
            self._consumer.flush()


Client = Ours | Official


def clients(port: int, folder: str) -> dict[str, tuple[Callable[[], Client], int]]:
    """
    Each candidate, and with how many events to measure it.
    """
    return {
        "official sync": (lambda: Official(port, buffered=False), 1_000),
        "official buffered": (lambda: Official(port, buffered=True), 20_000),
        "sync": (lambda: Ours(port, SyncTransport), 3_000),
        "buffered": (lambda: Ours(port, partial(BufferedTransport, when_full="block", block_seconds=60.0)), 100_000),
        "buffered, spool": (lambda: Ours(port, lambda p: BufferedTransport(p, spool=f"{folder}/spool")), 40_000),
    }


# What is measured.


def throughput(server: Server, folder: str, rounds: int = 3) -> None:
    print(f"{'delivered':<20}{'events/s':>10}{'bytes/event':>13}{'to official':>13}")
    best: dict[str, float] = {}
    sizes: dict[str, float] = {}
    candidates = clients(server.port, folder)
    for _ in range(rounds):
        best["floor"] = max(best.get("floor", 0.0), floor(server.port))
        server.count()
        for name, (make, count) in candidates.items():
            client, events = make(), make_events(count)
            gc.collect()
            begin = time.perf_counter()
            for user, properties in events:
                client.track(user, properties)
            client.finish()
            seconds = time.perf_counter() - begin
            arrived = server.count()
            if arrived["records"] != count:
                sys.exit(f"{name}: {arrived['records']} of {count} arrived")
            best[name] = max(best.get(name, 0.0), count / seconds)
            sizes[name] = arrived["bytes"] / count
    for name, speed in best.items():
        size = f"{sizes[name]:>13.0f}" if name in sizes else f"{'':>13}"
        peer = "official sync" if name.endswith("sync") else "official buffered"
        print(f"{name:<20}{speed:>10,.0f}{size}{speed / best[peer]:>12.1f}x")


def floor(port: int, count: int = 60_000) -> float:
    pool = urllib3.HTTPConnectionPool("127.0.0.1", port)
    ready: list[object] = [
        {"event": "Committed", "properties": {**properties, "distinct_id": user, "time": 1, "token": TOKEN}}
        for user, properties in make_events(count)
    ]
    begin = time.perf_counter()
    for start in range(0, count, 2_000):
        pool.urlopen("POST", "/track", body=orjson.dumps(ready[start : start + 2_000]))
    return count / (time.perf_counter() - begin)


def hand_over(port: int, folder: str, title: str, count: int = 20_000) -> None:
    """
    How long one call takes while 20,000 events a second are handed over in bursts of 200.
    """
    print(f"\n{title:<20}{'p50':>9}{'p99':>9}{'max':>9}  microseconds for one event, built and handed over")
    for name, (make, _) in clients(port, folder).items():
        if name.endswith("sync") or (name.startswith("official") and "dead" in title):
            continue
        client, events = make(), make_events(count)
        times: list[int] = []
        gc.collect()
        begin = time.perf_counter()
        for index, (user, properties) in enumerate(events):
            if index % 200 == 0:
                time.sleep(max(begin + index / 20_000 - time.perf_counter(), 0.0))
            before = time.perf_counter_ns()
            client.track(user, properties)
            times.append(time.perf_counter_ns() - before)
        if "dead" in title:
            assert isinstance(client, Ours)
            client.transport.close(0.0)
        else:
            client.finish()
        times.sort()
        p50, p99 = (times[int(share * count)] / 1_000 for share in LATENCIES)
        print(f"{name:<20}{p50:>9.1f}{p99:>9.1f}{times[-1] / 1_000:>9.0f}")


def deadlines(seconds: float = 0.5) -> None:
    """
    How much longer than allowed `flush` and `close` take while a server accepts connections and never answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = int(mute.getsockname()[1])
        for name, background in (("threads", True), ("no threads", False)):
            client = Ours(port, partial(BufferedTransport, background=background))
            for user, properties in make_events(100):
                client.track(user, properties)
            over: list[float] = []
            for end in (client.transport.flush, client.transport.close):
                begin = time.perf_counter()
                end(seconds)
                over.append(time.perf_counter() - begin - seconds)
            print(f"mute server, {name}: flush {over[0] * 1000:+.0f} ms, close {over[1] * 1000:+.0f} ms", end="; ")
    print("at most +250 ms")


def resident_mib() -> float:
    """
    The most that this process ever had in memory.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory() -> None:
    """
    How much the process grows while a million events find no server: run in a process of its own.
    """
    budget = 64 << 20
    client = Ours(unused_port(), lambda project: BufferedTransport(project, max_held_bytes=budget))
    events = make_events(1_000)
    for user, properties in events:
        client.track(user, properties)
    before = resident_mib()
    for _ in range(400):
        for user, properties in events:
            client.track(user, properties)
    grown = resident_mib() - before
    stats = client.transport.stats()
    client.transport.close(0.0)
    print(f"no server: {stats.accepted:,} events, {stats.held:,} held, {stats.dropped:,} dropped,", end=" ")
    print(f"the process grew by {grown:.0f} MiB; the budget is {budget >> 20} MiB, at most 16 more are allowed")


def main() -> None:
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            throughput(server, folder)
            hand_over(server.port, folder, "under load")
            hand_over(unused_port(), f"{folder}/dead", "dead server")
        print()
        deadlines()
        subprocess.run([sys.executable, __file__, "memory"], check=True)
    finally:
        server.stop()
    print("needed: 100,000 events/s buffered and 4,000 sync, p99 of buffered at most 50 microseconds under load")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            serve()
        case ["memory"]:
            memory()
        case _:
            main()
