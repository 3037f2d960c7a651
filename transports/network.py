"""
Requests over HTTP: the only module that knows urllib3.

Its retries and redirects are off, because a request may only be made again after asking `mixwire.core.delivery`. What
goes wrong becomes a `NoResponse` that says whether the server may have got the whole request: a body is handed to the
kernel piece by piece, and a server cannot act on one that is incomplete.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import queue
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from time import monotonic
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import SKIP_HEADER, Timeout, create_urllib3_context, parse_url

from ..core import VERSION, Answer, InvalidValue, NoResponse, Request, Response

__all__ = ["Network"]

_PIECE_BYTES: Final = 16 * 1024
"""One record of TLS: a larger piece would go out in several steps, each with the time limit of its own."""
_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_REPORT_BYTES: Final = 1024 * 1024
"""A 400 may name each of 2,000 records, in some 200 bytes each."""
_MAX_RECEIVED_BYTES: Final = 2 * 1024 * 1024
"""For one answer with its headers and chunks, of which http.client reads what the server says, even without end."""
_SHORTEST_SECONDS: Final = 0.001
_GZIP_LEVEL: Final = 5
"""Some 3 % larger than with 6, in about two thirds of the time."""
_GZIP_FROM_BYTES: Final = 512
"""Below that the header of the format and the work outweigh what is saved."""

# ValueError: http.client makes one of a chunk with a negative size.
_WEATHER: Final = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


class Network:
    """
    Makes requests, one at a time for each thread that calls it, over connections that are kept.

    Args:
        connect_timeout_seconds: For the connection, and as long again for TLS.
        request_timeout_seconds: For the whole request, from the first byte to the last of the answer, however slowly it
            arrives. Looking up the host's name comes before and cannot be bounded here.
        compress: Whether bodies that may travel as gzip do.
        ca_file: A file of certificates to trust instead of the system's.
        max_connections: How many connections to one server are kept for reuse.

    Raises:
        InvalidValue: If a setting is out of range, or the file holds no certificates.
    """

    def __init__(
        self,
        *,
        connect_timeout_seconds: float = 5.0,
        request_timeout_seconds: float = 30.0,
        compress: bool = True,
        ca_file: str | None = None,
        max_connections: int = 4,
    ) -> None:
        for name, seconds in (
            ("connect_timeout_seconds", connect_timeout_seconds),
            ("request_timeout_seconds", request_timeout_seconds),
        ):
            if not 0 < seconds <= 3600:
                raise InvalidValue(name, "more than 0 and at most 3,600 seconds", f"{seconds:g}")
        if max_connections < 1:
            raise InvalidValue("max_connections", "at least 1", str(max_connections))
        self._connect_timeout_seconds = min(connect_timeout_seconds, request_timeout_seconds)
        self._request_timeout_seconds = request_timeout_seconds
        self._compress = compress
        self._tls = None if ca_file is None else _trust(ca_file)
        self._max_connections = max_connections
        self._pools: dict[str, urllib3.HTTPConnectionPool] = {}
        self._forget_connections()

    def __call__(self, request: Request) -> Answer:
        """
        Make *request*; never raises for what the network does.
        """
        return self.within(request, self._request_timeout_seconds)

    def within(self, request: Request, seconds: float) -> Answer:
        """
        Make *request* in so many seconds at most, if that is less than a request may take.
        """
        if self._pid != os.getpid():
            self._forget_connections()
        limit = max(min(seconds, self._request_timeout_seconds), _SHORTEST_SECONDS)
        deadline = monotonic() + limit
        me = threading.get_ident()
        # A signal handler, a finaliser or a handler of a log may make a request in the midst of another.
        outer = _deadlines.get(me)
        body = request.body
        headers = {
            "Accept-Encoding": SKIP_HEADER,
            "Content-Type": request.content_type,
            "User-Agent": f"mixwire/{VERSION}",
        }
        if self._compress and request.compressible and len(body) >= _GZIP_FROM_BYTES:
            body = zlib.compress(body, _GZIP_LEVEL, wbits=31)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(body))
        if request.authorization is not None:
            headers["Authorization"] = request.authorization
        pieces = _Pieces(body)
        # Made by `to_request` from a checked server, so there is nothing to find out by parsing.
        path_at = request.url.index("/", request.url.index("://") + 3)
        origin = request.url[:path_at]
        # A kept connection may be closed by the server at the moment of its reuse, which leaves in doubt whether the
        # request arrived. What may not be repeated must not run that risk.
        pool = self._pool(origin) if request.repeatable else self._new_pool(origin)
        try:
            return self._post(pool, request.url[path_at:], headers, pieces, deadline)
        except _WEATHER as error:
            return _no_response(error, pieces, pool.host)
        except RecursionError:
            # A handler of a log that sends each record without end: to try again would make it worse.
            raise
        except Exception as error:  # noqa: BLE001  # such a handler may raise, and a module be gone at the end
            reason = f"the request broke off ({type(error).__name__})"
            return NoResponse(reason=reason, maybe_received=pieces.are_all_handed_over)
        finally:
            if outer is None:
                _deadlines.pop(me, None)
            else:
                _deadlines[me] = outer
            if not request.repeatable:
                pool.close()

    def close(self) -> None:
        """
        Close the kept connections; another request opens new ones.
        """
        if self._pid != os.getpid():
            self._forget_connections()
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def _forget_connections(self) -> None:
        """
        Begin without connections: at first, and in a child process, where they are the parent's.
        """
        self._pid = os.getpid()
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            # Closes the descriptors of this process; the parent's stay as they are, and nothing is sent.
            pool.close()

    def _pool(self, origin: str) -> urllib3.HTTPConnectionPool:
        # Without a lock, for which a signal handler or finaliser would wait in the very thread that has it. Whoever is
        # first has made the one for all; none has a connection yet.
        return self._pools.get(origin) or self._pools.setdefault(origin, self._new_pool(origin))

    def _new_pool(self, origin: str) -> urllib3.HTTPConnectionPool:
        url = parse_url(origin)
        assert url.host is not None
        if url.scheme == "http":
            return _Pool(url.host, url.port, maxsize=self._max_connections, retries=False)
        if self._tls is None:
            # Loaded once: finding and reading the system's certificates can take longer than a request.
            self._tls = _trust(None)
        return _TlsPool(url.host, url.port, maxsize=self._max_connections, retries=False, ssl_context=self._tls)

    def _post(
        self,
        pool: urllib3.HTTPConnectionPool,
        path: str,
        headers: dict[str, str],
        pieces: _Pieces,
        deadline: float,
    ) -> Response:
        _deadlines[threading.get_ident()] = deadline
        limit = max(deadline - monotonic(), _SHORTEST_SECONDS)
        response = pool.urlopen(
            "POST",
            path,
            body=pieces,
            headers=headers,
            retries=False,
            redirect=False,
            timeout=Timeout(connect=min(self._connect_timeout_seconds, limit), read=limit),
            preload_content=False,
            decode_content=False,
        )
        most = _MAX_REPORT_BYTES if response.status == 400 else _MAX_ANSWER_BYTES
        body, is_complete = b"", False
        # http.client takes 102 and 103 for the answer. The true one follows and must not become that of the next
        # request; so nothing is read here, because reading to the end would keep the connection.
        if response.status >= 200:
            with contextlib.suppress(*_WEATHER):
                body, is_complete = _read(response, most)
        if is_complete:
            response.release_conn()
        else:
            response.close()
        return Response(
            status=response.status, body=body, headers=tuple(response.headers.items()), complete=is_complete
        )


def _read(response: urllib3.BaseHTTPResponse, most: int) -> tuple[bytes, bool]:
    """
    At most so many bytes of a body, and whether that is all of it.
    """
    parts: list[bytes] = []
    length = 0
    while length <= most:
        part = response.read(min(_PIECE_BYTES, most + 1 - length), decode_content=False)
        if not part:
            return b"".join(parts), True
        parts.append(part)
        length += len(part)
    return b"".join(parts)[:most], False


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = create_urllib3_context(ssl_minimum_version=ssl.TLSVersion.TLSv1_2, cert_reqs=ssl.CERT_REQUIRED)
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(ca_file)
    except (OSError, ValueError):  # of SSLError too; the name of no file
        raise InvalidValue("ca_file", "a readable file of certificates in PEM form", "something else") from None
    return context


class _Pieces:
    """
    A body in pieces, which knows whether the first one was taken, and the last.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.is_begun = False
        self.are_all_handed_over = False

    def __iter__(self) -> Iterator[bytes]:
        self.is_begun = True
        for start in range(0, len(self._body), _PIECE_BYTES):
            yield self._body[start : start + _PIECE_BYTES]
        # Reached only when the consumer comes back after the last piece.
        self.are_all_handed_over = True


_deadlines: Final[dict[int, float]] = {}
"""
When the request that a thread is making must be over, on the monotonic clock. Not a `threading.local`, which would be
one for all greenlets if gevent took the place of threads after it was made.
"""


def _allow(sock: socket.socket, deadline: float) -> None:
    """
    Let the next step of *sock* take no longer than is left. The timeout of a socket alone starts anew with each byte.
    """
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("the time for the request ran out")
    sock.settimeout(left)


class _BoundedReader(io.RawIOBase):
    """
    Reads an answer from a socket, up to the deadline and only so much of it.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = _deadlines[threading.get_ident()]
        self._left_bytes = _MAX_RECEIVED_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # Any: the type of a writable buffer came with Python 3.12
        if self._left_bytes <= 0:
            raise OSError("the answer is too long")
        _allow(self._sock, self._deadline)
        count = self._raw.readinto(buffer)
        self._left_bytes -= count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:  # Any: passed on as they are
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock))

    def begin(self) -> None:
        super().begin()
        # What is wrong with the headers urllib3 would log, and with it what the server wrote, which may be what it got.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Connection(HTTPConnection):
    response_class = _Answer

    _head: bytes | None = None
    _holds_head = False

    def endheaders(self, *arguments: Any, **options: Any) -> None:  # Any: passed on as they are
        # Held until the first piece of the body, which always comes: one packet instead of two.
        self._holds_head = True
        super().endheaders(*arguments, **options)

    def send(self, data: Any) -> None:  # Any: passed on as it is
        if self._holds_head:
            self._head, self._holds_head = data, False
            return
        if self._head is not None:
            data, self._head = self._head + data, None
        if self.sock is not None:
            _allow(self.sock, _deadlines[threading.get_ident()])
        super().send(data)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Kept:
    """
    Connections kept for reuse, the last one first. One too many is closed without a word, where urllib3 would log a
    warning each time. Without a lock, unlike `queue.LifoQueue`: one who takes or puts may be interrupted by a signal
    handler or a finaliser that does the same in the same thread, and be forked by another.
    """

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        # To put one on a list and to take one off cannot be interrupted. urllib3 fills it with None, which is none.
        self._connections: list[Any] = []  # Any: urllib3 keeps None for a connection that is not made yet

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self._connections) < self._maxsize:
            self._connections.append(item)
        elif item is not None:
            item.close()

    def qsize(self) -> int:
        return len(self._connections)


class _Pool(urllib3.HTTPConnectionPool):
    QueueCls = _Kept  # type: ignore[assignment]  # all that urllib3 asks of a queue
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType]  # the protocol misses urllib3's own class


class _TlsPool(urllib3.HTTPSConnectionPool):
    QueueCls = _Kept  # type: ignore[assignment]  # all that urllib3 asks of a queue
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType]


_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (urllib3.exceptions.NameResolutionError, "the host name {host!r} was not found"),
    (urllib3.exceptions.NewConnectionError, "the server could not be connected to"),
    (urllib3.exceptions.ConnectTimeoutError, "the connection timed out"),
    (urllib3.exceptions.SSLError, "TLS failed"),
    (urllib3.exceptions.ReadTimeoutError, "the request timed out"),
    (TimeoutError, "the request timed out"),
    (urllib3.exceptions.ProtocolError, "the connection broke"),
    (OSError, "the connection broke"),
)
"""What an exception means, first match; its own text may hold addresses and is not repeated."""


def _no_response(error: Exception, pieces: _Pieces, host: str) -> NoResponse:
    # urllib3 wraps what the socket or TLS raised. The context of an exception would tell too, but also of errors that
    # the caller happens to be handling.
    inner = next((each for each in error.args if isinstance(each, Exception)), error)
    # Only a handshake decides about trust; later, the same error means that the stream is broken.
    if not pieces.is_begun and (distrust := _distrust(inner)) is not None:
        return NoResponse(reason=f"TLS failed: {distrust}", maybe_received=False, blocked=True)
    told = inner if isinstance(inner, TimeoutError) else error
    reason = next((words for kind, words in _REASONS if isinstance(told, kind)), "the request failed")
    # Of the URL only the host, which holds no user and no query.
    return NoResponse(reason=reason.format(host=host), maybe_received=pieces.are_all_handed_over)


def _distrust(error: Exception) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason in _BLOCKING_TLS:
        return error.reason.replace("_", " ").lower()
    return None


_BLOCKING_TLS: Final = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_VERSION_NUMBER"})
"""The server speaks only older versions, or no TLS at all."""
