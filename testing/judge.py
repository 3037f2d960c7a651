"""
A Mixpanel on loopback that takes what a transport sends, goes wrong when it is told to, and knows what was applied.

It needs nothing but the standard library. A `Judge` answers as Mixpanel does when all is well and does what the
messages say: it counts a repeated event once, changes the profiles of users and groups, and keeps the order in which
everything arrived. What goes wrong is scripted beforehand:

    with Judge() as judge:
        judge.fail_next(LostAnswer(), endpoint=Endpoint.ENGAGE)
        transport = BufferedTransport(Project("token", server=judge.url))
        ...
        assert judge.profile("u1") == {"visits": 1}
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import socketserver
import struct
import sys
import threading
import zlib
from collections.abc import Callable
from copy import deepcopy
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

from attrs import field, frozen

from ..core import JSON, Endpoint, Message
from ..core.limits import BATCH_MESSAGES
from .effects import EVENT_ENDPOINTS, Effects, Record, missing, read
from .faults import Delay, Fault, LostAnswer, Mute, Reset, Script, Status, has_effect, next_fault

__all__ = ["Arrival", "Counts", "Judge"]


@frozen(kw_only=True)
class Arrival:
    """
    One request.

    Attributes:
        path, query: Of its URL.
        headers: Name and value as received.
        body: The body, uncompressed; empty where a `Reset` kept it from being read.
        records: What it held; none where it could not be read.
        fault: What was made to go wrong with it, or None.
        is_applied: Whether it took effect.
    """

    path: str
    query: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=lambda body: f"<{len(body)} bytes>")
    records: tuple[Record, ...] = field(repr=lambda records: f"<{len(records)} records>")
    fault: Fault | None
    is_applied: bool


@frozen(kw_only=True)
class Counts:
    """
    How much arrived.

    Attributes:
        requests: All of them, also those that went wrong.
        events: Applied, each counted once however often it came.
        event_copies: Applied, each counted as often as it came.
        updates: Of users' profiles, applied.
        group_updates: Of groups' profiles, applied.
        identities: Alias, identify and merge, applied.
    """

    requests: int = 0
    events: int = 0
    event_copies: int = 0
    updates: int = 0
    group_updates: int = 0
    identities: int = 0


_ENDPOINTS: Final = {endpoint.value: endpoint for endpoint in Endpoint}
_JOIN_SECONDS: Final = 5.0


class Judge:
    """
    The server; it listens from the start. As a context manager, leaving it closes it.

    All methods may be called from any thread, and what they return is a copy.

    Attributes:
        url: Its base URL, for `Project.server`.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._scripts: tuple[Script, ...] = ()
        self._gate = threading.Event()
        self._effects = Effects()
        self._arrivals: list[Arrival] = []
        self._server = _Server(self._take)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._accepting = threading.Thread(target=self._accept, name="mixwire-judge", daemon=True)
        self._accepting.start()

    def fail_next(self, fault: Fault, *, times: int | None = 1, endpoint: Endpoint | None = None) -> None:
        """
        Let the next requests go wrong.

        Args:
            fault: How.
            times: How many requests; None for all until `heal` is called.
            endpoint: Only requests to this one; None for any. What was scripted first is played first.
        """
        with self._changed:
            self._scripts = (*self._scripts, Script(fault, times, endpoint))

    def heal(self) -> None:
        """
        Forget what was scripted, and let go of the requests that wait for an answer.
        """
        with self._changed:
            self._scripts = ()
            gate, self._gate = self._gate, threading.Event()
        gate.set()

    def reset(self) -> None:
        """
        Forget everything, as if newly made; the connections stay. What is under way meanwhile is not applied.
        """
        self.heal()
        with self._changed:
            self._effects = Effects()
            self._arrivals = []

    def close(self) -> None:
        """
        End the connections and the threads. May be called again.
        """
        with self._changed:
            if self._closed.is_set():
                return
            self._closed.set()
        self.heal()
        # Whoever waits for a connection is woken by one.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._server.server_port)):
            self._accepting.join(_JOIN_SECONDS)
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def arrivals(self) -> tuple[Arrival, ...]:
        """
        Every request whose fate is decided, in order.
        """
        with self._changed:
            return tuple(self._arrivals)

    def records(self, endpoint: Endpoint | None = None) -> tuple[Record, ...]:
        """
        Everything that was applied, at one endpoint or at all, in order; what came twice stands there twice.
        """
        with self._changed:
            return tuple(each for each in self._effects.records if endpoint in (None, each.endpoint))

    def applied(self, message: Message | bytes) -> int:
        """
        How often this message, or this JSON of one, was applied.
        """
        with self._changed:
            return self._effects.copies[message if isinstance(message, bytes) else message.body]

    def events(self) -> tuple[dict[str, JSON], ...]:
        """
        The events, each once, as they first arrived: what Mixpanel's reports would count.
        """
        with self._changed:
            return tuple(deepcopy(event) for event in self._effects.events.values())

    def identities(self) -> tuple[dict[str, JSON], ...]:
        """
        The alias, identify and merge commands, in order. They change nothing else here: ids are taken literally.
        """
        with self._changed:
            return tuple(deepcopy(each) for each in self._effects.identities)

    def profile(self, distinct_id: str) -> dict[str, JSON] | None:
        """
        The properties of a user's profile; None if there is no such profile.
        """
        with self._changed:
            profile = self._effects.profiles.get(distinct_id)
            return None if profile is None else deepcopy(profile)

    def group(self, group_key: str, group_id: str) -> dict[str, JSON] | None:
        """
        The properties of a group's profile; None if there is no such profile.
        """
        with self._changed:
            profile = self._effects.groups.get((group_key, group_id))
            return None if profile is None else deepcopy(profile)

    def counts(self) -> Counts:
        """
        How much arrived.
        """
        with self._changed:
            effects = self._effects
            return Counts(
                requests=len(self._arrivals),
                events=len(effects.events),
                event_copies=effects.event_copies,
                updates=sum(record.endpoint is Endpoint.ENGAGE for record in effects.records),
                group_updates=sum(record.endpoint is Endpoint.GROUPS for record in effects.records),
                identities=len(effects.identities),
            )

    def wait_for(self, requests: int, seconds: float) -> bool:
        """
        Wait until so many requests arrived, at most so many seconds, and say whether they did.

        A request that a `Mute` leaves without an answer has arrived; one that a `Delay` holds back has not yet.
        """
        with self._changed:
            return self._changed.wait_for(lambda: len(self._arrivals) >= requests, seconds)

    def _accept(self) -> None:
        while not self._closed.is_set():
            self._server.handle_request()

    def _take(self, handler: _Handler) -> None:
        path, _, query = handler.path.partition("?")
        endpoint = _ENDPOINTS.get(path)
        with self._changed:
            effects, gate, fault = self._effects, self._gate, self._next_fault(endpoint)
        body, records = b"", tuple[Record, ...]()
        verdict = _Verdict(404, {"error": "no such path", "status": 0})
        if not isinstance(fault, Reset):
            raw = handler.read_body()
            if raw is None:
                return
            if endpoint is not None:
                body, records, verdict = _judge(endpoint, raw, handler.headers)
        if isinstance(fault, Delay):
            self._closed.wait(fault.seconds)
        is_applied = verdict.code == 200 and has_effect(fault)
        with self._changed:
            if self._effects is not effects or self._closed.is_set():
                handler.reset()
                return
            if is_applied:
                effects.apply(records)
            self._arrivals.append(
                Arrival(
                    path=path,
                    query=query,
                    headers=tuple((name, str(value)) for name, value in handler.headers.items()),
                    body=body,
                    records=records,
                    fault=fault,
                    is_applied=is_applied,
                )
            )
            self._changed.notify_all()
        if isinstance(fault, Mute):
            gate.wait()
        if isinstance(fault, Reset | LostAnswer) or (isinstance(fault, Mute) and not is_applied):
            handler.reset()
        elif isinstance(fault, Status):
            handler.answer(fault.code, {"error": "scripted", "status": 0}, fault.retry_after)
        else:
            handler.answer(verdict.code, verdict.said)

    def _next_fault(self, endpoint: Endpoint | None) -> Fault | None:
        fault, self._scripts = next_fault(self._scripts, endpoint)
        return fault


@frozen
class _Verdict:
    """
    What the server says to a request when nothing is made to go wrong.
    """

    code: int
    said: dict[str, JSON]


def _judge(endpoint: Endpoint, raw: bytes, headers: Headers) -> tuple[bytes, tuple[Record, ...], _Verdict]:
    """
    The body as JSON, the records in it, and what a good Mixpanel says to them.
    """
    body = raw
    # /engage and /groups do not take compressed bodies.
    if headers.get("Content-Encoding") == "gzip" and endpoint in EVENT_ENDPOINTS:
        try:
            body = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error):
            return raw, (), _refusal(endpoint, "the body is not gzip")
    try:
        records = read(endpoint, body)
    except ValueError:
        return body, (), _refusal(endpoint, "the body is not a list of objects")
    if endpoint is Endpoint.IMPORT and not headers.get("Authorization", "").startswith("Basic "):
        return body, records, _Verdict(401, {"code": 401, "error": "no credentials", "status": "Unauthorized"})
    if len(records) > BATCH_MESSAGES.maximum:
        return body, records, _Verdict(413, {"code": 413, "error": "too many records", "status": "Too Large"})
    for record in records:
        if (absent := missing(record)) is not None:
            return body, records, _refusal(endpoint, f"a record has no {absent}")
    if endpoint is Endpoint.IMPORT:
        return body, records, _Verdict(200, {"code": 200, "num_records_imported": len(records), "status": "OK"})
    return body, records, _Verdict(200, {"error": None, "status": 1})


def _refusal(endpoint: Endpoint, error: str) -> _Verdict:
    if endpoint is Endpoint.IMPORT:
        return _Verdict(400, {"code": 400, "error": error, "status": "Bad Request"})
    return _Verdict(400, {"error": error, "status": 0})


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, take: Callable[[_Handler], None]) -> None:
        self.take = take
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # Not that of HTTPServer, which asks the resolver for the name of this machine.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # Any: as socketserver has it
        arguments = (request, client_address)
        thread = threading.Thread(
            target=self.process_request_thread, args=arguments, name="mixwire-judge-connection", daemon=True
        )
        with self._lock:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:  # Any: as socketserver has it
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            connections = tuple(self._open.items())
        for connection, _ in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in connections:
            thread.join(_JOIN_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:  # Any: as socketserver has it
        # A client may go away at any moment, that is no fault of ours.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Headers and body of an answer leave together.
    wbufsize = -1

    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.take(self)

    def read_body(self) -> bytes | None:
        """
        The body as it travelled; None if it did not come whole.
        """
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return None
        return body

    def answer(self, status: int, said: dict[str, JSON], retry_after: str | None = None) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def reset(self) -> None:
        """
        End the connection at once, without the farewell that an ordinary close would send first.
        """
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is that of the base
        """
        Nothing: what arrived can be asked for.
        """
