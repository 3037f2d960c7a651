"""
A server that misbehaves on purpose, byte by byte: each connection is played by a script, a function of its `Peer`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import TypeAlias

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"status":1}'
GUARD_SECONDS = 20.0
"""No step of a script waits longer, so that a broken test fails instead of hanging."""


class Peer:
    """
    One connection, seen from the server.
    """

    def __init__(self, server: RawServer, sock: socket.socket) -> None:
        self._server = server
        self._sock = sock
        self._buffer = b""

    def _more(self, size: int = 65536) -> None:
        data = self._sock.recv(size)
        if not data:
            raise ConnectionError("the client is gone")
        self._buffer += data

    def read_head(self) -> bytes:
        """
        Read one request up to the blank line, and no byte of the body if it comes later.
        """
        while b"\r\n\r\n" not in self._buffer:
            self._more(1)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self._server.heads.append(head)
        return head

    def read_request(self) -> bytes:
        """
        Read one request whole; it counts as complete only then.
        """
        head = self.read_head()
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        self._server.bodies.append(body)
        return body

    def read_some(self, size: int) -> None:
        """
        Take at most so many bytes and forget them.
        """
        self._sock.recv(size)

    def wait_for_input(self) -> bool:
        """
        Wait until there is something to read, and say whether it is more than the end.
        """
        return bool(self._sock.recv(1, socket.MSG_PEEK))

    def end_sending(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_beside_tls(self, data: bytes) -> None:
        """
        Put bytes on the TCP stream that TLS knows nothing of.
        """
        with socket.socket(fileno=socket.dup(self._sock.fileno())) as plain:
            plain.settimeout(GUARD_SECONDS)
            plain.sendall(data)

    def pause(self, seconds: float) -> bool:
        """
        Wait, and say whether the server is being stopped.
        """
        return self._server.stopping.wait(seconds)

    def drip(self, data: bytes, seconds: float = 0.05) -> None:
        """
        Send byte by byte, until the client has gone or the server is stopped.
        """
        for byte in data:
            if self.pause(seconds):
                return
            self._sock.sendall(bytes([byte]))

    def stall(self) -> None:
        """
        Do nothing until the server is stopped.
        """
        self._server.stopping.wait(GUARD_SECONDS)

    def wait_for_end(self) -> None:
        """
        Wait until the client has closed its side.
        """
        with contextlib.suppress(OSError):
            while self._sock.recv(65536):
                pass

    def reset(self) -> None:
        """
        End the connection with a reset, whatever is still under way.
        """
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


Script: TypeAlias = Callable[[Peer], object]


def answering(*answers: bytes) -> Script:
    """
    A script that reads a request whole and sends the next answer, for each answer, and closes.
    """

    def script(peer: Peer) -> None:
        for answer in answers:
            peer.read_request()
            peer.send(answer)

    return script


class RawServer:
    """
    Plays the scripts, one for each connection in order of arrival; every connection after the last script gets one
    good answer, so that a request too many is seen and not merely refused.

    Attributes:
        connections: How many there were.
        heads: The head of each request that began.
        bodies: The body of each request that arrived whole, as it was on the wire.
        stopping: Set when the server is being stopped.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.stopping = threading.Event()
        self._scripts = list(scripts)
        self._tls = tls
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        # A small buffer: what the script does not read must not all fit into the kernel.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._listener.bind((host, 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._stopper: socket.socket | None = None
        self._has_stopper = threading.Event()
        self._accepting = threading.Thread(target=self._accept, name="raw-server")
        self._accepting.start()

    def url(self, path: str = "/track?verbose=1", host: str = "127.0.0.1") -> str:
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}{path}"

    def stop(self) -> None:
        """
        Accept what is still in the queue, then end all connections and threads. May be called again.
        """
        if self.stopping.is_set():
            return
        self.stopping.set()
        with socket.create_connection(self._listener.getsockname()[:2]) as self._stopper:
            self._has_stopper.set()
            self._accepting.join()
        self._listener.close()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            sock, address = self._listener.accept()
            if self._is_stopper(address):
                sock.close()
                return
            self.connections += 1
            sock.settimeout(GUARD_SECONDS)
            script = self._scripts.pop(0) if self._scripts else answering(OK)
            self._socks.append(sock)
            thread = threading.Thread(target=self._play, args=(sock, script), name="raw-server-connection")
            self._threads.append(thread)
            thread.start()

    def _is_stopper(self, address: tuple[str, int]) -> bool:
        if not self.stopping.is_set():
            return False
        self._has_stopper.wait()
        assert self._stopper is not None
        return self._stopper.getsockname() == address

    def _play(self, sock: socket.socket, script: Script) -> None:
        # What the client breaks off is no fault of the script.
        with contextlib.suppress(OSError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._socks.append(sock)
            script(Peer(self, sock))
        sock.close()
