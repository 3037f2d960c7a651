"""
The emulator over HTTP, with a live page of what arrived; needs the extra ``emulator``.

The ingestion paths take requests from anywhere that reaches them. The page and the ``/_emulator`` paths are for people
at this machine and for tests: a web page from elsewhere that is open in a browser here must neither change what is kept
nor read it. So they answer only where the ``Host`` is loopback or the address that was bound, which a name that was
pointed at this machine afterwards is not; and what changes something is refused if ``Origin`` or ``Sec-Fetch-Site`` say
that it was asked for by another site. Programs send neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
import struct
import threading
from collections.abc import AsyncIterator
from email.utils import formatdate
from errno import EINVAL
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..core import JSON, InvalidValue
from . import views
from .local import LocalMixpanel
from .state import HttpReply, HttpRequest, State
from .validation import to_json

__all__ = ["MixpanelServer", "application"]

_MOST_BYTES: Final = 64 * 1024 * 1024
"""So long may a body be as it travels. What the emulator takes of it, uncompressed, is less and a setting."""

_MOST_CONTROL_BYTES: Final = 64 * 1024
_MOST_HEADER_BYTES: Final = 128 * 1024
"""So long may a request be without its body, so that it is the emulator that answers a GET that is too long."""

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients keep idle connections in a pool, or they meet a closing one now and then."""

_STATS_SECONDS: Final = 0.25
_HEARTBEAT_SECONDS: Final = 15.0
_JOIN_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 1.0
"""So long may requests that are being answered go on when the server closes."""

_QUIET_SECONDS: Final = 0.002


class MixpanelServer:
    """
    A Mixpanel on an address of this machine, over plain HTTP; in a thread of its own.

    As a context manager, entering starts it and leaving closes it:

        with MixpanelServer() as server:
            mixpanel = Mixpanel("token", server=server.url)
            ...
            assert server.mixpanel.profile("user-1") == {"credits": 10}

    Args:
        mixpanel: Who answers; None for a new one.
        host: Where to listen. Whoever can reach it can read and change everything.
        port: Where to listen; 0 for any that is free.
    """

    def __init__(self, mixpanel: LocalMixpanel | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.mixpanel: Final = LocalMixpanel() if mixpanel is None else mixpanel
        self._host = host
        self._port = port
        self._url: str | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """
        The base URL, without a slash at the end; of an address that stands for all of this machine, the loopback one.
        """
        if self._url is None:
            raise RuntimeError("the server has no address before it is started")
        return self._url

    def start(self) -> None:
        """
        Listen; when this returns, requests are answered.

        Raises:
            OSError: If the address cannot be had.
        """
        if self._thread is not None:
            return
        listener = _listener(self._host, self._port)
        self._url = _url_of(listener)
        self._server = _Server(application(self.mixpanel, host=self._host))
        self._thread = threading.Thread(
            target=self._server.run_on, args=(listener,), name="mixwire-emulator", daemon=True
        )
        self._thread.start()
        self._server.is_settled.wait()

    def close(self) -> None:
        """
        Take no more requests and end what is open. What arrived can still be looked at.
        """
        if self._thread is None or self._server is None:
            return
        self._server.end()
        self._thread.join(_JOIN_SECONDS)
        self._thread = self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def application(mixpanel: LocalMixpanel, *, host: str = "127.0.0.1") -> Starlette:
    """
    The emulator as an ASGI application.

    Args:
        mixpanel: Who answers.
        host: Where it will be reached, beside loopback.
    """
    doors = _Doors(mixpanel, asyncio.Event())
    control = Router(
        [
            Route("/events", doors.events),
            Route("/profiles", doors.profiles),
            Route("/groups", doors.groups),
            Route("/updates", doors.updates),
            Route("/requests", doors.requests),
            Route("/stats", doors.stats),
            Route("/stream", doors.stream),
            Route("/faults", doors.faults, methods=["GET", "POST", "DELETE"]),
            Route("/reset", doors.reset, methods=["POST"]),
        ],
        redirect_slashes=False,
    )
    made = Starlette(
        routes=[Route("/", _page), Route("/favicon.ico", _no_icon), Mount("/_emulator", control)],
        middleware=[Middleware(_Guard, host=host)],
        exception_handlers={HTTPException: _wrong, InvalidValue: _wrong, ClientDisconnect: _gone},
    )
    made.state.closing = doors.closing
    # Whatever is none of ours is for Mixpanel to answer, as it came.
    made.router.redirect_slashes = False
    made.router.default = doors.ingestion
    return made


class _Doors:
    """
    The paths, each as a method.
    """

    def __init__(self, mixpanel: LocalMixpanel, closing: asyncio.Event) -> None:
        self._mixpanel = mixpanel
        self.closing = closing

    async def ingestion(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        most = max(_MOST_BYTES, self._mixpanel.state.settings.max_body_bytes)
        body = await _body(request, most)
        reply = self._mixpanel.respond(
            HttpRequest(
                method=request.method,
                target=_target(request.scope),
                headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw),
                body=body,
                address=request.client.host if request.client is not None else "",
            )
        )
        if reply.delay_seconds:
            await self._pause(reply.delay_seconds)
        return _Reset() if reply.is_lost else _answer(reply, self._mixpanel.now())

    async def events(self, request: Request) -> Response:
        given = _parameters(request, "view", "after", "limit")
        return _json(views.events(self._mixpanel.state, view=_view(given), after=_after(given), limit=_limit(given)))

    async def updates(self, request: Request) -> Response:
        given = _parameters(request, "after", "limit")
        return _json(views.updates(self._mixpanel.state, after=_after(given), limit=_limit(given)))

    async def profiles(self, request: Request) -> Response:
        return _json(views.profiles(self._mixpanel.state, limit=_limit(_parameters(request, "limit"))))

    async def groups(self, request: Request) -> Response:
        return _json(views.groups(self._mixpanel.state, limit=_limit(_parameters(request, "limit"))))

    async def requests(self, request: Request) -> Response:
        given = _parameters(request, "after", "limit", "number")
        number = _number("number", given["number"], 1) if "number" in given else None
        return _json(views.requests(self._mixpanel.state, after=_after(given), limit=_limit(given), number=number))

    async def stats(self, request: Request) -> Response:
        _parameters(request)
        return _json(views.stats(self._mixpanel.state))

    async def stream(self, request: Request) -> Response:
        return StreamingResponse(self._changes(), media_type="text/event-stream", headers=_OURS)

    async def faults(self, request: Request) -> Response:
        _parameters(request)
        if request.method == "DELETE":
            self._mixpanel.heal()
            return Response(status_code=204, headers=_OURS)
        if request.method != "POST":
            return _json(views.faults(self._mixpanel.state))
        try:
            data = orjson.loads(await _body(request, _MOST_CONTROL_BYTES))
        except orjson.JSONDecodeError:
            raise InvalidValue("the body", "JSON", "other text") from None
        script = views.script_of(data)
        self._mixpanel.fail_next(script.fault, times=script.times, endpoint=script.endpoint)
        return Response(status_code=204, headers=_OURS)

    async def reset(self, request: Request) -> Response:
        _parameters(request)
        self._mixpanel.reset()
        return Response(status_code=204, headers=_OURS)

    async def _changes(self) -> AsyncIterator[bytes]:
        """
        The stats now and after changes, as server-sent events, until the server closes.
        """
        seen: State | None = None
        quiet = 0.0
        while not self.closing.is_set():
            state = self._mixpanel.state
            if state is not seen:
                yield b"event: stats\ndata: " + to_json(views.stats(state)) + b"\n\n"
                seen, quiet = state, 0.0
            elif quiet >= _HEARTBEAT_SECONDS:
                yield b":\n\n"
                quiet = 0.0
            await self._pause(_STATS_SECONDS)
            quiet += _STATS_SECONDS

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)


class _Guard:
    """
    Lets only this machine's own pages and programs through to what is not Mixpanel's.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._app
        if scope["type"] == "http" and (scope["path"].strip() in ("", "/") or scope["path"].startswith("/_emulator/")):
            reason = _objection(scope["method"], Headers(scope=scope), self._host)
            if reason:
                answer = _json({"error": reason}, 403)
        await answer(scope, receive, send)


def _objection(method: str, headers: Headers, bound: str) -> str:
    """
    Why a request is not let through; nothing if it is.
    """
    host = headers.get("host", "")
    if not _is_ours(host, bound):
        return "this is only for the address that the emulator listens on: see the header Host"
    if method in ("GET", "HEAD"):
        return ""
    is_foreign = headers.get("origin", f"http://{host}") != f"http://{host}"
    if is_foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "this is only for programs and for the page of the emulator: see the headers Origin and Sec-Fetch-Site"
    return ""


_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z_.-]+)(?::[0-9]+)?")


def _is_ours(host: str, bound: str) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    if name in ("localhost", bound.lower()):
        return True
    try:
        asked = ip_address(name)
    except ValueError:
        return False
    # Who listens everywhere is reached by any address; an address, unlike a name, cannot be pointed elsewhere.
    return asked.is_loopback or _is_everywhere(bound) or asked == _address(bound)


@lru_cache
def _address(host: str) -> IPv4Address | IPv6Address | None:
    """
    The address that *host* is, or stands for.
    """
    try:
        return ip_address(socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError):
        return None


def _is_everywhere(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


async def _body(request: Request, most: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise HTTPException(413, f"the body must be at most {most:,} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    path: str = scope["raw_path"].decode("latin-1")
    if not path.startswith("/"):
        # Behind a proxy a client asks for the whole URL.
        path = "/" + path.partition("://")[2].partition("/")[2]
    return f"{path}?{query}" if query else path


def _parameters(request: Request, *known: str) -> dict[str, str]:
    given = dict(request.query_params)
    if not given.keys() <= set(known):
        raise InvalidValue("the parameters", f"some of {', '.join(known)}" if known else "left out", "others")
    return given


def _view(given: dict[str, str]) -> views.View:
    match given.get("view", "raw"):
        case "raw":
            return "raw"
        case "query":
            return "query"
        case _:
            raise InvalidValue("view", "raw or query", "another value")


def _after(given: dict[str, str]) -> int:
    return _number("after", given.get("after", "0"), 0)


def _limit(given: dict[str, str]) -> int | None:
    return _number("limit", given["limit"], 1) if "limit" in given else None


def _number(name: str, text: str, least: int) -> int:
    # Longer than any number that was given.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18) or int(text) < least:
        raise InvalidValue(name, f"a whole number of at least {least}", "another value")
    return int(text)


_OURS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _json(value: JSON, status: int = 200) -> Response:
    return Response(to_json(value), status, headers={"Content-Type": "application/json", **_OURS})


def _answer(reply: HttpReply, now: int) -> Response:
    # Clients learn from it how far their clock is off.
    headers = {"Content-Type": reply.content_type, "Date": formatdate(now / 1000, usegmt=True)}
    if reply.retry_after is not None:
        headers["Retry-After"] = reply.retry_after
    # These have no body, whatever is to be said.
    body = b"" if reply.status in (204, 304) else reply.body
    return Response(body, reply.status, headers=headers)


async def _wrong(request: Request, fault: Exception) -> Response:
    if isinstance(fault, HTTPException):
        return _json({"error": fault.detail}, fault.status_code)
    return _json({"error": str(fault)}, 400)


async def _gone(request: Request, fault: Exception) -> Response:
    # Nobody is there to read it.
    return Response(status_code=400)


@cache
def _html() -> str:
    return Path(__file__).with_name("page.html").read_text(encoding="utf-8")


async def _page(request: Request) -> Response:
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {**_OURS, "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Response(_html().replace("{{nonce}}", nonce), media_type="text/html", headers=headers)


async def _no_icon(request: Request) -> Response:
    # Browsers ask for one by themselves; it is nothing that a client sent.
    return Response(status_code=204, headers=_OURS)


class _Reset(Response):
    """
    The end of the connection with a reset, without the farewell that an ordinary close would send first.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport | None = scope.get("state", {}).get("transport")
        if transport is None:
            raise RuntimeError("only a MixpanelServer can reset a connection")
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        # Until it is gone nothing may be answered, and nothing has to be afterwards.
        while (await receive())["type"] != "http.disconnect":
            pass


class _Protocol(H11Protocol):
    """
    Lets the application find the connection that a request came on, and keeps no log of requests.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self.access_log = False


class _Server(uvicorn.Server):
    """
    Says when it is ready, and ends in a short time whatever its clients do.
    """

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=_Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
            )
        )
        self._closing: asyncio.Event = app.state.closing
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_settled = threading.Event()

    def run_on(self, listener: socket.socket) -> None:
        try:
            self.run([listener])
        finally:
            self.is_settled.set()
            listener.close()

    def end(self) -> None:
        """
        Ask it from another thread to end: streams end by themselves then, and what was delayed is answered at once.
        """
        if self._loop is not None:
            # Its loop may have ended by itself.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._closing.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.is_settled.set()

    async def main_loop(self) -> None:
        # Where that of the base looks ten times a second whether it is to end.
        await self._closing.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # That of the base waits for its clients.
        for server in self.servers:
            server.close()
        open_ = self.server_state.connections
        for connection in tuple(open_):
            connection.shutdown()
        await self._until_quiet()
        for connection in tuple(open_):
            connection.transport.abort()
        await self._until_quiet()

    async def _until_quiet(self) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + _GRACE_SECONDS
        while (self.server_state.connections or self.server_state.tasks) and clock() < until:
            await asyncio.sleep(_QUIET_SECONDS)


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError:
        raise OSError(EINVAL, "this is no name of a host") from None
    listener = socket.socket(family, kind, protocol)
    try:
        # The port of a server that has just ended can be had at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if _is_everywhere(host):
        host = "::1" if listener.family == socket.AF_INET6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
