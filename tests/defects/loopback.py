"""
A server on loopback for both clients, theirs and ours. It answers as a script says, a function of the number of the
request and of what came, and keeps what came.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import mixpanel as official
from attrs import field, frozen

import mixwire as mixpanel

GUARD_SECONDS: Final = 20.0
"""No test waits longer, so that a broken one fails instead of hanging."""
TIME: Final = 1704067200
"""2024-01-01T00:00:00Z"""


@frozen(kw_only=True)
class Came:
    """
    One request.

    Attributes:
        wire: The body as it travelled.
        form: The fields of a form, as the official client sends them; else None.
        text: The JSON in it.
    """

    path: str
    headers: dict[str, str]
    wire: bytes = field(repr=False)
    form: dict[str, str] | None
    text: str = field(repr=False)

    @property
    def records(self) -> list[dict[str, Any]]:
        said = json.loads(self.text)
        return said if isinstance(said, list) else [said]


@frozen
class Reply:
    """
    Attributes:
        status: None closes the connection instead of an answer.
        is_applied: Whether the records take effect.
    """

    status: int | None
    body: str = ""
    headers: dict[str, str] = field(factory=dict[str, str])
    is_applied: bool = False


Script: TypeAlias = Callable[[int, Came], Reply]

OK: Final = Reply(200, '{"status":1,"error":null}', is_applied=True)
REFUSED: Final = Reply(200, '{"status":0,"error":"bad"}')
BUSY: Final = Reply(503, '{"status":0,"error":"busy"}')
DROPPED: Final = Reply(None, is_applied=True)
"""The server does what it was asked to, and nobody hears of it."""


def first(*replies: Reply) -> Script:
    """
    A script that gives these replies, and good ones after them.
    """
    return lambda number, _: replies[number] if number < len(replies) else OK


class Loopback:
    """
    Attributes:
        url: Its base URL.
        connections: How many there were.
        stopping: Set when the server is being stopped; a script that hangs waits for it.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.stopping = threading.Event()
        self._script = script
        self._lock = threading.Lock()
        self._came: list[Came] = []
        self._applied: list[Came] = []
        self._open: list[socket.socket] = []
        self._server = _Server(self)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def came(self, path: str | None = None) -> list[Came]:
        """
        The requests that arrived, at one path or at all, in order.
        """
        with self._lock:
            return [each for each in self._came if path in (None, each.path)]

    def applied(self, path: str | None = None) -> list[dict[str, Any]]:
        """
        The records that took effect, each as often as it did.
        """
        with self._lock:
            return [record for each in self._applied if path in (None, each.path) for record in each.records]

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def connected(self, sock: socket.socket) -> None:
        self.connections += 1
        self._open.append(sock)

    def answer(self, came: Came) -> Reply:
        with self._lock:
            number = len(self._came)
            self._came.append(came)
        reply = self._script(number, came)
        if reply.is_applied:
            with self._lock:
                self._applied.append(came)
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, loopback: Loopback) -> None:
        self.loopback = loopback
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.loopback.connected(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # What a client breaks off is no fault of the server.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        wire = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(wire) if self.headers.get("Content-Encoding") == "gzip" else wire
        is_form = self.headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = dict(parse_qsl(body.decode())) if is_form else None
        text = body.decode() if form is None else form["data"]
        path = self.path.partition("?")[0]
        reply = self.server.loopback.answer(
            Came(path=path, headers=dict(self.headers.items()), wire=wire, form=form, text=text)
        )
        if reply.status is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body.encode())
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """
        Nothing: what came can be asked for.
        """


def urls(server: Loopback | str) -> dict[str, str]:
    """
    The arguments that both clients' consumers take, for a server or the base URL of one.
    """
    base = server if isinstance(server, str) else server.url
    paths = {"events_url": "/track", "people_url": "/engage", "groups_url": "/groups", "import_url": "/import"}
    return {name: base + path for name, path in paths.items()}


def https_like(consumer: official.Consumer) -> official.Consumer:
    """
    The official consumer with its retries, which it has for https:// alone, on http:// too.
    """
    consumer._session.mount("http://", consumer._session.get_adapter("https://x"))
    return consumer


def nowhere() -> str:
    """
    The base URL of a port where nobody listens.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def given_up(consumer: mixpanel.BufferedConsumer) -> Iterator[mixpanel.BufferedConsumer]:
    """
    A consumer whose server never comes, closed without waiting for it.
    """
    try:
        yield consumer
    finally:
        for transport in consumer._transports.values():
            transport.close(0.0)


def names(records: list[dict[str, Any]]) -> list[str]:
    return [record["event"] for record in records]


def basic(user: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + GUARD_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


def run(program: str, *arguments: str) -> str:
    """
    Run a program of Python to its good end; what it wrote to standard error.
    """
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


class Recorder:
    """
    A consumer that keeps what it is given.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, endpoint: str, json_message: str, api_key: object = None) -> None:
        self.sent.append((endpoint, json.loads(json_message)))
