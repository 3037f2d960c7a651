"""
Servers for the tests of the defects, stopped at the end of each test.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest
from loopback import OK, Loopback, Script

from mixwire.transports import buffered


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    """
    Starts a `Loopback` that answers as a script says, by default that all is well.
    """
    servers: list[Loopback] = []

    def start(script: Script = lambda _number, _came: OK, *, tls: ssl.SSLContext | None = None) -> Loopback:
        servers.append(Loopback(script, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """
    Closes what a test left with messages for a server that never came.
    """
    yield
    for transport in tuple(buffered._OPEN):
        transport.close(0.0)
