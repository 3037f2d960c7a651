"""
The network as it is: rows of the fault matrix at the level of bytes. A row's number stands in the name of its test.
"""

from __future__ import annotations

import gzip
import logging
import os
import random
import signal
import socket
import ssl
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme
from attrs import evolve
from raw_server import OK, Peer, RawServer, Script, answering

from mixwire.core import VERSION, InvalidValue, NoResponse, Request, Response
from mixwire.transports import Network

Serve: TypeAlias = Callable[..., RawServer]

SMALL = b'[{"event":"Opened","properties":{"token":"TOKEN-IN-BODY"}}]'
LARGE = b'["%b"]' % random.Random(8).randbytes(4_000_000).hex().encode()
SHORT_SECONDS = 0.5
GUARD_SECONDS = 10.0


def request_to(url: str, body: bytes = SMALL, *, compressible: bool = True, **others: Any) -> Request:
    return Request(url=url, body=body, compressible=compressible, **others)


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.fixture
def hasty() -> Iterator[Network]:
    """
    A network with a short deadline for the whole request.
    """
    network = Network(request_timeout_seconds=SHORT_SECONDS)
    yield network
    network.close()


@pytest.fixture
def trusting(ca_file: str) -> Iterator[Network]:
    network = Network(ca_file=ca_file)
    yield network
    network.close()


def timed(network: Network, request: Request) -> Response | NoResponse:
    """
    The answer, which must come long before a test would be called hanging.
    """
    begin = time.monotonic()
    answer = network(request)
    assert time.monotonic() - begin < GUARD_SECONDS
    return answer


def refused(answer: Response | NoResponse) -> str:
    """
    The reason of an answer that says: certainly not received, and to be tried again.
    """
    assert isinstance(answer, NoResponse)
    assert (answer.maybe_received, answer.blocked) == (False, False)
    return answer.reason


def doubtful(answer: Response | NoResponse) -> str:
    assert isinstance(answer, NoResponse)
    assert (answer.maybe_received, answer.blocked) == (True, False)
    return answer.reason


def blocked(answer: Response | NoResponse) -> str:
    assert isinstance(answer, NoResponse)
    assert (answer.maybe_received, answer.blocked) == (False, True)
    return answer.reason


def response(answer: Response | NoResponse) -> Response:
    assert isinstance(answer, Response)
    return answer


# What is sent


def fields_of(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    fields = dict(line.split(": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return fields


def test_a_request_is_one_post_with_these_headers_and_no_other(serve: Serve, network: Network) -> None:
    server = serve(answering(OK))
    answer = response(network(request_to(server.url("/track?verbose=1&ip=0"))))
    assert (answer.status, answer.body, answer.complete) == (200, b'{"status":1}', True)
    assert answer.header("content-length") == "12"
    assert server.heads[0].split(b"\r\n")[0] == b"POST /track?verbose=1&ip=0 HTTP/1.1"
    assert fields_of(server.heads[0]) == {
        "Host": f"127.0.0.1:{server.port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(SMALL)),
        "User-Agent": f"mixwire/{VERSION}",
    }
    assert server.bodies == [SMALL]


def test_authorization_is_sent_as_the_request_has_it(serve: Serve, network: Network) -> None:
    server = serve(answering(OK))
    network(request_to(server.url("/import"), authorization="Basic c2VjcmV0Og=="))
    assert fields_of(server.heads[0])["Authorization"] == "Basic c2VjcmV0Og=="


@pytest.mark.parametrize(
    ("length", "compressible", "compress", "is_gzip"),
    [
        (512, True, True, True),
        (100_000, True, True, True),
        (511, True, True, False),
        (100_000, False, True, False),
        (100_000, True, False, False),
    ],
    ids=["from 512 bytes", "large", "too small", "an endpoint that takes no gzip", "switched off"],
)
def test_a_body_travels_as_gzip_if_it_may_and_is_worth_it(
    serve: Serve, length: int, compressible: bool, compress: bool, is_gzip: bool
) -> None:
    server = serve(answering(OK))
    body = b"[%b]" % (b"1," * length)[: length - 2]
    with_setting = Network(compress=compress)
    response(with_setting(request_to(server.url(), body, compressible=compressible)))
    with_setting.close()
    fields = fields_of(server.heads[0])
    assert fields["Content-Length"] == str(len(server.bodies[0]))
    assert fields.get("Content-Encoding") == ("gzip" if is_gzip else None)
    if is_gzip:
        assert gzip.decompress(server.bodies[0]) == body
        assert len(server.bodies[0]) < length / 4
    else:
        assert server.bodies[0] == body


def test_the_same_request_has_the_same_bytes_each_time(serve: Serve, network: Network) -> None:
    server = serve(answering(OK, OK))
    for _ in range(2):
        network(request_to(server.url(), LARGE[:10_000]))
    assert server.heads[0] == server.heads[1]
    assert server.bodies[0] == server.bodies[1]


def test_a_body_of_many_pieces_arrives_whole(serve: Serve, network: Network) -> None:
    server = serve(answering(OK))
    response(network(request_to(server.url(), LARGE, compressible=False)))
    assert server.bodies == [LARGE]


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_host_may_be_an_ipv6_address(serve: Serve, network: Network, repeatable: bool) -> None:
    server = serve(host="::1")
    assert response(network(request_to(server.url(host="[::1]"), repeatable=repeatable))).status == 200
    assert fields_of(server.heads[0])["Host"] == f"[::1]:{server.port}"


def test_nothing_is_taken_from_the_environment(
    serve: Serve, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy, server = serve(), serve(answering(OK))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url(""))
        monkeypatch.setenv(name.lower(), proxy.url(""))
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login from-netrc password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    response(network(request_to(server.url())))
    proxy.stop()
    assert proxy.connections == 0
    assert server.connections == 1
    assert "Authorization" not in fields_of(server.heads[0])


# Settings


@pytest.mark.parametrize("name", ["connect_timeout_seconds", "request_timeout_seconds"])
@pytest.mark.parametrize("seconds", [0, -1, 3601, float("nan"), float("inf")])
def test_a_timeout_is_more_than_nothing_and_at_most_an_hour(name: str, seconds: float) -> None:
    with pytest.raises(InvalidValue, match=f"^{name} must be more than 0 and at most 3,600 seconds, not {seconds:g}$"):
        Network(**{name: seconds})  # type: ignore[arg-type]


def test_at_least_one_connection_is_kept() -> None:
    with pytest.raises(InvalidValue, match=r"^max_connections must be at least 1, not 0$"):
        Network(max_connections=0)


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "something else"])
def test_a_file_without_certificates_is_refused_at_once(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidValue, match=r"^ca_file must be a readable file of certificates in PEM form, not "):
        Network(ca_file=str(path))


# Rows 1 to 7: no request is begun


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("repeatable", [True, False])
def test_row_1_a_refused_connection_is_certain(network: Network, repeatable: bool) -> None:
    answer = network(request_to(f"http://127.0.0.1:{closed_port()}/track", repeatable=repeatable))
    assert refused(answer) == "the server could not be connected to"


@pytest.mark.parametrize("origin", ["https://api.invalid", "http://api.invalid:81", "https://me:secret@api.invalid"])
def test_row_2_an_unknown_host_is_certain_and_named_alone(network: Network, origin: str) -> None:
    answer = network(request_to(f"{origin}/track?token=secret"))
    assert refused(answer) == "the host name 'api.invalid' was not found"


def test_row_2_an_impossible_host_is_certain(network: Network) -> None:
    # Longer than a label may be: refused before anybody is asked.
    assert refused(network(request_to(f"https://{'a' * 64}.invalid/track"))) == "the request failed"


def test_row_4_a_connection_that_nobody_accepts_times_out_and_is_certain() -> None:
    waiting: list[socket.socket] = []
    impatient = Network(connect_timeout_seconds=0.3)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        # Once the queue is full, the kernel ignores whoever comes next, as a black hole would.
        for _ in range(8):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(address)
        answer = timed(impatient, request_to(f"http://127.0.0.1:{address[1]}/track"))
        for each in waiting:
            each.close()
    assert refused(answer) == "the connection timed out"


def server_context(authority: trustme.CA, *names: str, **validity: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **validity).configure_cert(context)
    return context


def expired(authority: trustme.CA) -> ssl.SSLContext:
    past = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
    return server_context(authority, "127.0.0.1", **past)


def wrong_host(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "elsewhere.example")


def self_signed(_: trustme.CA) -> ssl.SSLContext:
    # The certificate of an authority is the only one that trustme signs with its own key.
    other = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with other.cert_pem.tempfile() as certificate, other.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    return context


def unknown_authority(_: trustme.CA) -> ssl.SSLContext:
    return server_context(trustme.CA(), "127.0.0.1")


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (expired, "certificate has expired"),
        (wrong_host, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        (self_signed, "self-signed certificate"),
        (unknown_authority, "unable to get local issuer certificate"),
    ],
    ids=["expired", "wrong host", "self-signed", "unknown authority"],
)
def test_row_5_a_certificate_that_cannot_be_trusted_blocks(
    serve: Serve,
    trusting: Network,
    *,
    authority: trustme.CA,
    make: Callable[[trustme.CA], ssl.SSLContext],
    reason: str,
    repeatable: bool,
) -> None:
    server = serve(tls=make(authority))
    assert blocked(trusting(request_to(server.url(), repeatable=repeatable))) == f"TLS failed: {reason}"
    server.stop()
    assert (server.connections, server.heads) == (1, [])


def test_row_5_the_certificates_of_the_system_are_trusted_if_no_file_is_given(
    serve: Serve, network: Network, tls: ssl.SSLContext, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(tls=tls)
    assert blocked(network(request_to(server.url()))) == "TLS failed: unable to get local issuer certificate"
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    other = Network()
    assert response(other(request_to(server.url()))).status == 200
    other.close()


def test_row_5_https_never_becomes_http(serve: Serve, trusting: Network) -> None:
    server = serve(lambda peer: peer.send(OK))
    answer = trusting(request_to(server.url().replace("http:", "https:")))
    assert blocked(answer) == "TLS failed: wrong version number"
    server.stop()
    assert (server.connections, server.heads) == (1, [])


def test_row_6_a_stalled_handshake_times_out_and_is_certain(serve: Serve, ca_file: str) -> None:
    server = serve(Peer.stall)
    impatient = Network(connect_timeout_seconds=0.3, ca_file=ca_file)
    answer = timed(impatient, request_to(server.url().replace("http:", "https:")))
    assert refused(answer) == "the request timed out"
    assert server.heads == []


def test_row_6_a_handshake_that_is_cut_off_is_certain(serve: Serve, trusting: Network) -> None:
    server = serve(Peer.reset)
    refused(trusting(request_to(server.url().replace("http:", "https:"))))
    server.stop()
    assert server.connections == 1


def test_row_7_a_server_without_tls_1_2_blocks(serve: Serve, trusting: Network, authority: trustme.CA) -> None:
    context = server_context(authority, "127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = serve(tls=context)
    assert blocked(trusting(request_to(server.url()))) == "TLS failed: tlsv1 alert protocol version"
    server.stop()
    assert (server.connections, server.heads) == (1, [])


def test_an_earlier_certificate_error_that_the_caller_handles_does_not_block(network: Network) -> None:
    try:
        raise ssl.SSLCertVerificationError("of the caller's own")
    except ssl.SSLCertVerificationError:
        answer = network(request_to(f"http://127.0.0.1:{closed_port()}/track"))
    refused(answer)


# Rows 8 to 11: the request is begun


def reset_after_head(peer: Peer) -> None:
    peer.read_head()
    peer.reset()


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("repeatable", [True, False])
def test_row_8_a_reset_before_the_body_is_handed_over_is_certain(
    serve: Serve, trusting: Network, tls: ssl.SSLContext, over_tls: bool, repeatable: bool
) -> None:
    server = serve(reset_after_head, tls=tls if over_tls else None)
    refused(trusting(request_to(server.url(), LARGE, compressible=False, repeatable=repeatable)))
    server.stop()
    assert (server.connections, server.bodies) == (1, [])


def test_row_8_so_is_one_of_a_compressed_body(serve: Serve, network: Network) -> None:
    server = serve(reset_after_head)
    noise = LARGE[:2] + random.Random(9).randbytes(8_000_000).replace(b'"', b"'") + LARGE[-2:]
    refused(network(request_to(server.url(), noise)))
    server.stop()
    assert (server.connections, server.bodies) == (1, [])


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_row_8_a_server_that_stops_reading_is_left_at_the_deadline(
    serve: Serve, ca_file: str, tls: ssl.SSLContext, over_tls: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.stall()

    server = serve(script, tls=tls if over_tls else None)
    # The time for connecting is longer than the guard: it must not count once the connection stands.
    patient = Network(connect_timeout_seconds=60, request_timeout_seconds=SHORT_SECONDS, ca_file=ca_file)
    answer = timed(patient, request_to(server.url(), LARGE, compressible=False))
    assert refused(answer) == "the request timed out"
    assert server.bodies == []


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_row_8_no_body_is_begun_after_the_deadline(
    serve: Serve, ca_file: str, tls: ssl.SSLContext, over_tls: bool
) -> None:
    server = serve(tls=tls if over_tls else None)
    impatient = Network(request_timeout_seconds=0.05, ca_file=ca_file)
    # To compress so much noise takes longer than that.
    answer = timed(impatient, request_to(server.url(), random.Random(7).randbytes(8_000_000)))
    assert refused(answer) == "the request timed out"
    server.stop()
    assert (server.connections, server.bodies) == (1, [])


def test_row_8_a_server_that_reads_slowly_is_left_at_the_deadline(serve: Serve, hasty: Network) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        while not peer.pause(0.05):
            peer.read_some(16_384)

    server = serve(script)
    assert refused(timed(hasty, request_to(server.url(), LARGE, compressible=False))) == "the request timed out"
    assert server.bodies == []


def test_row_8_an_answer_before_the_end_of_the_body_is_an_answer(serve: Serve, network: Network) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        peer.end_sending()
        peer.wait_for_end()

    server = serve(script)
    assert response(network(request_to(server.url(), LARGE, compressible=False))).status == 413


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("end", [Peer.reset, lambda _: None], ids=["reset", "closed"])
def test_row_9_a_connection_lost_after_the_whole_body_is_doubt(
    serve: Serve,
    trusting: Network,
    tls: ssl.SSLContext,
    *,
    over_tls: bool,
    repeatable: bool,
    end: Callable[[Peer], object],
) -> None:
    server = serve(lambda peer: (peer.read_request(), end(peer)), tls=tls if over_tls else None)
    reason = doubtful(trusting(request_to(server.url(), LARGE, compressible=False, repeatable=repeatable)))
    assert reason == "the connection broke"
    server.stop()
    assert (server.connections, server.bodies) == (1, [LARGE])


def test_row_10_a_small_body_with_a_reset_after_the_headers_is_doubt(serve: Serve, network: Network) -> None:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.wait_for_input()
        peer.reset()

    server = serve(script)
    assert doubtful(network(request_to(server.url()))) == "the connection broke"
    server.stop()
    assert (server.connections, server.bodies) == (1, [])


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_row_11_a_server_that_never_answers_is_doubt(
    serve: Serve, ca_file: str, tls: ssl.SSLContext, over_tls: bool
) -> None:
    server = serve(lambda peer: (peer.read_request(), peer.stall()), tls=tls if over_tls else None)
    impatient = Network(request_timeout_seconds=SHORT_SECONDS, ca_file=ca_file)
    assert doubtful(timed(impatient, request_to(server.url()))) == "the request timed out"
    server.stop()
    assert (server.connections, server.bodies) == (1, [SMALL])


# Rows 12 to 17: the answer


def head_of(status: int, *lines: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status} X", *lines, "", "")).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "rest",
    [
        (("Content-Length: 100",), b'{"status":1}'),
        (("Content-Length: 100",), b""),
        (("Transfer-Encoding: chunked",), chunk(b'{"status":1}')),
        (("Transfer-Encoding: chunked",), b'ff\r\n{"status":1}'),
        (("Transfer-Encoding: chunked",), chunk(b'{"status":1}') + b"junk\r\n"),
        (("Transfer-Encoding: chunked",), b"-5\r\n" + b"x" * 100),
    ],
    ids=["short length", "no body", "no last chunk", "short chunk", "junk for a chunk", "negative chunk"],
)
def test_row_12_a_truncated_answer_keeps_its_status_and_says_that_it_is_incomplete(
    serve: Serve, network: Network, status: int, rest: tuple[tuple[str, ...], bytes]
) -> None:
    lines, body = rest
    server = serve(answering(head_of(status, *lines) + body))
    answer = response(network(request_to(server.url())))
    assert (answer.status, answer.complete) == (status, False)
    assert response(network(request_to(server.url()))).complete
    server.stop()
    assert (server.connections, len(server.bodies)) == (2, 2)


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_row_13_a_body_that_drips_is_ended_by_the_deadline(
    serve: Serve, ca_file: str, tls: ssl.SSLContext, over_tls: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(head_of(200, "Content-Length: 1000"))
        peer.drip(b"x" * 1000)

    server = serve(script, tls=tls if over_tls else None)
    impatient = Network(request_timeout_seconds=SHORT_SECONDS, ca_file=ca_file)
    answer = response(timed(impatient, request_to(server.url())))
    assert (answer.status, answer.complete) == (200, False)
    server.stop()
    assert (server.connections, len(server.heads)) == (1, 1)


@pytest.mark.parametrize(
    "dripping",
    [b"HTTP/1.1 200 O" + b"K" * 1000, b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 100, head_of(100) * 100],
    ids=["status line", "headers", "interim answers"],
)
def test_row_13_headers_that_drip_are_ended_by_the_deadline(serve: Serve, hasty: Network, dripping: bytes) -> None:
    server = serve(lambda peer: (peer.read_request(), peer.drip(dripping)))
    assert doubtful(timed(hasty, request_to(server.url()))) == "the request timed out"
    server.stop()
    assert (server.connections, len(server.heads)) == (1, 1)


@pytest.mark.parametrize("status", [200, 500])
def test_row_14_of_a_large_answer_no_more_than_64_kib_are_read(serve: Serve, network: Network, status: int) -> None:
    sent = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(head_of(status, "Content-Length: 50000000"))
        try:
            peer.send(b"x" * 50_000_000)
        except OSError:
            sent.set()

    server = serve(script)
    answer = response(network(request_to(server.url())))
    assert (answer.status, answer.body, answer.complete) == (status, b"x" * 65_536, False)
    assert sent.wait(GUARD_SECONDS), "the connection was not closed"


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537])
def test_row_14_an_answer_of_just_64_kib_is_complete(serve: Serve, network: Network, length: int) -> None:
    server = serve(answering(head_of(200, f"Content-Length: {length}") + b"x" * length))
    answer = response(network(request_to(server.url())))
    assert (len(answer.body), answer.complete) == (min(length, 65_536), length <= 65_536)


def test_row_14_the_report_of_a_400_is_read_whole(serve: Serve, network: Network) -> None:
    report = b'{"failed_records":["%b"]}' % (b"x" * 300_000)
    server = serve(answering(head_of(400, f"Content-Length: {len(report)}") + report))
    answer = response(network(request_to(server.url())))
    assert (answer.status, answer.body, answer.complete) == (400, report, True)


def test_row_14_the_report_of_a_400_is_read_up_to_1_mib(serve: Serve, network: Network) -> None:
    server = serve(answering(head_of(400, "Content-Length: 5000000") + b"x" * 5_000_000))
    answer = response(network(request_to(server.url())))
    assert (len(answer.body), answer.complete) == (1024 * 1024, False)


def test_row_15_a_bomb_is_neither_asked_for_nor_decoded(serve: Serve, network: Network) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 65_536
    fields = ("Content-Encoding: gzip", f"Content-Length: {len(bomb)}")
    server = serve(answering(head_of(200, *fields) + bomb))
    tracemalloc.start()
    answer = response(network(request_to(server.url())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.body == bomb
    assert peak < 1_000_000
    assert "Accept-Encoding" not in fields_of(server.heads[0])


def test_row_15_an_endless_answer_that_hides_its_length_is_bounded(serve: Serve, network: Network) -> None:
    # http.client takes "-1" for a size and would read to the end, wherever that is.
    ended = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(head_of(400, "Transfer-Encoding: chunked") + b"-1\r\n")
        try:
            for _ in range(1000):
                peer.send(b"x" * 100_000)
        except OSError:
            ended.set()

    server = serve(script)
    tracemalloc.start()
    answer = response(network(request_to(server.url())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answer.status, answer.complete) == (400, False)
    assert peak < 8_000_000
    assert ended.wait(GUARD_SECONDS), "the connection was not closed"


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_row_16_a_connection_is_kept_for_the_next_request(
    serve: Serve, trusting: Network, tls: ssl.SSLContext, over_tls: bool
) -> None:
    server = serve(answering(OK, OK, head_of(204), OK), tls=tls if over_tls else None)
    statuses = [response(trusting(request_to(server.url()))).status for _ in range(4)]
    assert statuses == [200, 200, 204, 200]
    assert server.connections == 1


def test_row_16_a_kept_connection_has_a_new_deadline_for_each_request(serve: Serve, network: Network) -> None:
    brief = Network(request_timeout_seconds=1.0)

    def script(peer: Peer) -> None:
        for _ in range(4):
            peer.read_request()
            peer.pause(0.3)
            peer.send(OK)

    server = serve(script)
    answers = [response(brief(request_to(server.url()))) for _ in range(4)]
    brief.close()
    assert all(answer.complete for answer in answers)
    assert server.connections == 1


def test_row_16_a_kept_connection_that_the_server_closed_is_replaced(serve: Serve, network: Network) -> None:
    closed = threading.Event()

    def script(peer: Peer) -> None:
        answering(OK)(peer)
        peer.reset()
        closed.set()

    server = serve(script)
    assert response(network(request_to(server.url()))).status == 200
    assert closed.wait(GUARD_SECONDS)
    assert response(network(request_to(server.url()))).status == 200
    assert server.connections == 2


def test_row_16_what_may_not_be_repeated_gets_a_connection_of_its_own(serve: Serve, network: Network) -> None:
    ended: list[str] = []

    def single(peer: Peer) -> None:
        answering(OK)(peer)
        peer.wait_for_end()
        ended.append("single")

    server = serve(answering(OK, OK), single, single)
    request = request_to(server.url())
    for repeatable in (True, False, False, True):
        assert response(network(evolve(request, repeatable=repeatable))).status == 200
    assert server.connections == 3
    server.stop()
    assert ended == ["single", "single"]


def test_row_17_garbage_on_the_tls_stream_is_doubt_after_exactly_one_post(
    serve: Serve, trusting: Network, tls: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send_beside_tls(b"HTTP/1.1 500 this is not TLS\r\n\r\n" * 10)
        peer.wait_for_end()

    server = serve(script, tls=tls)
    assert doubtful(trusting(request_to(server.url()))) == "TLS failed"
    server.stop()
    assert (server.connections, len(server.heads)) == (1, 1)


def test_row_17_garbage_within_the_answer_leaves_it_incomplete(
    serve: Serve, trusting: Network, tls: ssl.SSLContext
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(head_of(200, "Content-Length: 100") + b'{"status":1}')
        peer.send_beside_tls(b"garbage" * 100)
        peer.wait_for_end()

    server = serve(script, tls=tls)
    answer = response(trusting(request_to(server.url())))
    assert (answer.status, answer.complete) == (200, False)
    server.stop()
    assert (server.connections, len(server.heads)) == (1, 1)


def test_row_29_a_header_that_comes_twice_is_kept_twice(serve: Serve, network: Network) -> None:
    server = serve(answering(head_of(429, "Retry-After: 5", "Retry-After: 7", "Content-Length: 0")))
    answer = response(network(request_to(server.url())))
    assert [field for field in answer.headers if field[0] == "Retry-After"] == [
        ("Retry-After", "5"),
        ("Retry-After", "7"),
    ]
    assert answer.header("Retry-After") is None


# Rows 31 and 32: other answers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("repeatable", [True, False])
def test_row_31_a_redirect_is_an_answer_and_not_followed(
    serve: Serve, network: Network, status: int, repeatable: bool
) -> None:
    other = serve()
    server = serve(answering(head_of(status, f"Location: {other.url('/')}", "Content-Length: 0")))
    request = request_to(server.url("/import"), authorization="Basic c2VjcmV0Og==", repeatable=repeatable)
    assert response(network(request)).status == status
    server.stop()
    other.stop()
    assert (server.connections, len(server.heads), other.connections) == (1, 1, 0)


def test_row_31_nor_is_one_to_itself(serve: Serve, network: Network) -> None:
    server = serve(answering(head_of(302, "Location: /track", "Content-Length: 0"), OK))
    assert response(network(request_to(server.url()))).status == 302
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (head_of(204), 204),
        (head_of(206, "Content-Length: 2", "Content-Range: bytes 0-1/9") + b"{}", 206),
        (head_of(304), 304),
        (head_of(599, "Content-Length: 0"), 599),
        (head_of(100) + OK, 200),
        (head_of(100) * 50 + OK, 200),
        (b'HTTP/1.0 200 OK\r\n\r\n{"status":1}', 200),
        (head_of(200, "Content-Length: 12", "Content-Length: 12") + b'{"status":1}', 200),
        (head_of(200, "a header without a colon", "Content-Length: 0"), 200),
        (head_of(200, "Content-Length: -7"), 200),
        (head_of(200, "Content-Length: 1e3"), 200),
        (head_of(200, "Content-Length: 12", "Connection: close") + b'{"status":1}', 200),
    ],
    ids=[
        "204",
        "206",
        "304",
        "599",
        "100 first",
        "100 often",
        "HTTP 1.0",
        "length twice",
        "no colon",
        "negative length",
        "length in words",
        "told to close",
    ],
)
def test_row_32_an_unusual_answer_is_an_answer(serve: Serve, network: Network, answer: bytes, status: int) -> None:
    server = serve(answering(answer))
    assert response(network(request_to(server.url()))).status == status
    server.stop()
    assert (server.connections, len(server.heads)) == (1, 1)


@pytest.mark.parametrize(
    "junk",
    [
        b"<html>hello</html>",
        b"\x00" * 1000,
        b"HTTP/9 nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 1000 High\r\n\r\n",
        b"HTTP/1.1 " + b"2" * 1_000_000,
        head_of(200, *(f"X-{number}: 1" for number in range(10_000))),
        head_of(200, "X: " + "x" * 100_000),
        head_of(200, "Content-Length: 1", "Content-Length: 2") + b"{}",
        head_of(100, "X: " + "x" * 60_000) * 70,
        b"",
    ],
    ids=[
        "HTTP 0.9",
        "zeros",
        "another version",
        "no status",
        "status 99",
        "status 1000",
        "1 MB status line",
        "10 k headers",
        "100 KB header",
        "two lengths",
        "4 MB of interim answers",
        "nothing",
    ],
)
def test_row_32_junk_is_doubt_and_no_exception(serve: Serve, network: Network, junk: bytes) -> None:
    server = serve(answering(junk))
    tracemalloc.start()
    doubtful(network(request_to(server.url())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    server.stop()
    assert (server.connections, len(server.heads)) == (1, 1)


@pytest.mark.parametrize("status", [101, 102, 103])
def test_row_32_the_answer_after_an_interim_one_is_not_taken_for_that_of_the_next_request(
    serve: Serve, network: Network, status: int
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(head_of(status))
        if peer.wait_for_input():  # the next request, on the same connection
            peer.send(OK)
            peer.wait_for_end()

    server = serve(script, answering(head_of(401, "Content-Length: 0")))
    first = response(network(request_to(server.url())))
    assert (first.status, first.complete) == (status, False)
    assert response(network(request_to(server.url()))).status == 401


# Many threads, close, secrets


def test_many_threads_share_one_network(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def echo(peer: Peer) -> None:
        while True:
            body = peer.read_request()
            peer.send(head_of(200, f"Content-Length: {len(body)}") + body)

    server = serve(*[echo] * 200)
    shared = Network(max_connections=2)
    wrong: list[object] = []
    meet = threading.Barrier(8)

    def ask(number: int) -> None:
        meet.wait()
        for each in range(20):
            body = b"[%d]" % (number * 1000 + each)
            answer = shared(request_to(server.url(), body, repeatable=each % 5 != 0))
            if not isinstance(answer, Response) or answer.body != body:
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    shared.close()
    assert wrong == []
    assert len(server.bodies) == 160
    assert caplog.records == [], "a connection too many is no reason for a warning"


def test_a_failure_while_enough_connections_are_kept_changes_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    is_read, may_break = threading.Event(), threading.Event()

    def break_late(peer: Peer) -> None:
        peer.read_request()
        is_read.set()
        may_break.wait(GUARD_SECONDS)
        peer.reset()

    server = serve(break_late, answering(OK, OK))
    single = Network(max_connections=1)
    answers: list[Response | NoResponse] = []
    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=lambda: answers.append(single(request_to(server.url()))))
        thread.start()
        assert is_read.wait(GUARD_SECONDS)
        assert response(single(request_to(server.url()))).status == 200
        may_break.set()
        thread.join()
        doubtful(answers[0])
        assert response(single(request_to(server.url()))).status == 200
    single.close()
    assert server.connections == 2
    assert caplog.records == []


def test_close_ends_the_kept_connections_and_the_next_request_opens_one(serve: Serve, network: Network) -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        answering(OK)(peer)
        peer.wait_for_end()
        ended.set()

    server = serve(script, script)
    assert response(network(request_to(server.url()))).status == 200
    network.close()
    assert ended.wait(GUARD_SECONDS)
    network.close()
    assert response(network(request_to(server.url()))).status == 200
    assert server.connections == 2


def test_close_under_way_leaves_the_request_alone(serve: Serve, network: Network) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        network.close()
        peer.send(OK)
        peer.wait_for_end()

    server = serve(script)
    assert response(network(request_to(server.url()))).complete
    server.stop()


def fail_with_junk(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"junk\r\n\r\n")


def answer_with_bad_header(peer: Peer) -> None:
    peer.read_request()
    peer.send(head_of(200, "no colon", "Content-Length: 0"))


@pytest.mark.parametrize("script", [answering(OK), fail_with_junk, answer_with_bad_header, reset_after_head])
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_no_secret_and_no_body_is_told_or_logged(
    serve: Serve,
    trusting: Network,
    tls: ssl.SSLContext,
    *,
    caplog: pytest.LogCaptureFixture,
    script: Script,
    over_tls: bool,
) -> None:
    server = serve(script, tls=tls if over_tls else None)
    with caplog.at_level(logging.DEBUG):
        answer = trusting(request_to(server.url("/import?project_id=12345"), authorization="Basic SECRETSECRET"))
    told = caplog.text + repr(answer) + getattr(answer, "reason", "")
    for secret in ("SECRETSECRET", "Basic", "TOKEN-IN-BODY", "Opened"):
        assert secret not in told
    assert server.url("") not in getattr(answer, "reason", "")


def test_within_a_request_may_take_no_longer(serve: Serve, network: Network) -> None:
    def mute(peer: Peer) -> None:
        peer.read_request()
        peer.stall()

    server = serve(mute)
    begin = time.monotonic()
    answer = network.within(request_to(server.url()), 0.2)
    assert time.monotonic() - begin < 5.0
    assert isinstance(answer, NoResponse)
    assert answer.maybe_received


def test_within_is_no_more_than_a_request_may_take_anyway(serve: Serve, hasty: Network) -> None:
    def mute(peer: Peer) -> None:
        peer.read_request()
        peer.stall()

    server = serve(mute)
    begin = time.monotonic()
    assert isinstance(hasty.within(request_to(server.url()), 3600.0), NoResponse)
    assert time.monotonic() - begin < GUARD_SECONDS


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_within_no_time_nothing_arrives(serve: Serve, network: Network, seconds: float) -> None:
    server = serve(answering(OK))
    answer = network.within(request_to(server.url(), LARGE), seconds)
    assert isinstance(answer, NoResponse)
    assert server.bodies == []


def test_row_55_after_a_fork_the_kept_connection_is_the_parents(serve: Serve, network: Network) -> None:
    connections: list[int] = []

    def answers(peer: Peer) -> None:
        number = len(connections)
        connections.append(0)
        while True:
            peer.read_request()
            connections[number] += 1
            peer.send(OK)

    server = serve(answers, answers)
    network(request_to(server.url()))
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(10)
            network.close()
            status = int(not isinstance(network(request_to(server.url())), Response))
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert isinstance(network(request_to(server.url())), Response)
    assert connections == [2, 1]


def test_greenlets_or_threads_have_deadlines_of_their_own(serve: Serve, network: Network) -> None:
    def late(peer: Peer) -> None:
        peer.read_request()
        peer.pause(0.4)
        peer.send(OK)

    server = serve(late, late)
    answers: list[object] = []
    other = threading.Thread(target=lambda: answers.append(network.within(request_to(server.url()), 5.0)))
    other.start()
    assert isinstance(network.within(request_to(server.url()), 0.1), NoResponse)
    other.join()
    assert isinstance(answers[0], Response)
