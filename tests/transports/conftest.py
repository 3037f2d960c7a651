"""
Raw servers for the tests of the transports, stopped at the end of each test, and certificates for them.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from raw_server import RawServer, Script


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """
    Starts a `RawServer` that plays the scripts.
    """
    servers: list[RawServer] = []

    def start(*scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> RawServer:
        servers.append(RawServer(*scripts, tls=tls, host=host))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """
    What makes a server trusted by those that trust the authority, at 127.0.0.1.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
