"""
B19 to B25: when the official client blocks its caller, and what it tries again. Each test does what shows the defect,
through our front door.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mixpanel as official
import pytest
import trustme
from loopback import (
    BUSY,
    GUARD_SECONDS,
    OK,
    Came,
    Loopback,
    Reply,
    eventually,
    first,
    given_up,
    https_like,
    names,
    nowhere,
    urls,
)

import mixwire as mixpanel
from mixwire.core import Cause, Project, Track
from mixwire.transports import BufferedTransport, SyncTransport

Serve = Callable[..., Loopback]
THROTTLED = Reply(429, '{"status":0,"error":"slow down"}')


class Waits:
    """
    The waits that a transport wanted, and the ranges it chose them from; nobody waits.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.ranges: list[tuple[float, float]] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def pick(self, least: float, most: float) -> float:
        self.ranges.append((least, most))
        return least


def test_b19_a_server_that_hangs_ends_with_an_exception(serve: Serve) -> None:
    def hang(_number: int, _came: Came) -> Reply:
        server.stopping.wait(GUARD_SECONDS)
        return OK

    server = serve(hang)
    with (
        mixpanel.Consumer(**urls(server), request_timeout=0.1, retry_limit=0) as consumer,
        pytest.raises(mixpanel.MixpanelException, match=r"no answer|timed out|ran out") as caught,
    ):
        mixpanel.Mixpanel("t", consumer=consumer).track("u", "e")
    assert [each.cause for each in caught.value.outcome.unknown] == [Cause.ANSWER_LOST]


def test_b19_a_request_has_a_time_limit_when_none_is_given() -> None:
    with mixpanel.Consumer() as consumer:
        assert consumer._network._request_timeout_seconds == 30.0
    assert official.Consumer()._request_timeout is None


def test_b19_all_tries_together_have_a_deadline(serve: Serve) -> None:
    def hang(_number: int, _came: Came) -> Reply:
        server.stopping.wait(GUARD_SECONDS)
        return OK

    server = serve(hang)
    transport = SyncTransport(
        Project("t", server=server.url),
        max_tries=50,
        request_timeout_seconds=0.1,
        deadline_seconds=0.3,
        sleep=lambda _: None,
        pick=lambda *_: 0.0,
    )
    with mixpanel.Mixpanel("t", transport=transport) as mp, pytest.raises(mixpanel.MixpanelException):
        mp.track("u", "e")
    assert len(server.came()) < 10


def test_b20_a_429_without_retry_after_is_tried_again_after_a_wait(serve: Serve) -> None:
    server, waits = serve(first(THROTTLED)), Waits()
    transport = SyncTransport(Project("t", server=server.url), sleep=waits.sleep, pick=waits.pick)
    with mixpanel.Mixpanel("t", transport=transport) as mp:
        mp.track("u", "e")
    # 2 seconds and 1 to 5 by chance, as Mixpanel asks.
    assert (len(server.came()), len(server.applied()), waits.ranges) == (2, 1, [(3.0, 7.0)])
    assert waits.slept == [3.0]

    server = serve(first(THROTTLED))
    theirs = https_like(official.Consumer(**urls(server)))
    with pytest.raises(official.MixpanelException):
        official.Mixpanel("t", consumer=theirs).track("u", "e")
    assert len(server.came()) == 1


def test_b20_a_413_halves_the_batch(serve: Serve) -> None:
    too_large = Reply(413, '{"status":0,"error":"too large"}')
    server, waits = serve(lambda _, came: too_large if len(came.records) > 1 else OK), Waits()
    transport = SyncTransport(Project("t", server=server.url), sleep=waits.sleep)
    with mixpanel.Mixpanel("t", transport=transport) as mp:
        mp.send(*(Track(name, distinct_id="u") for name in "abcd"))
    assert [len(came.records) for came in server.came()] == [4, 2, 1, 1, 2, 1, 1]
    assert names(server.applied()) == ["a", "b", "c", "d"]
    assert waits.slept == []


def test_b21_a_caller_does_not_wait_for_hours_because_the_server_asks_for_it(serve: Serve) -> None:
    server, waits = serve(lambda *_: Reply(429, "", {"Retry-After": "21600"})), Waits()
    transport = SyncTransport(Project("t", server=server.url), sleep=waits.sleep)
    with (
        mixpanel.Mixpanel("t", transport=transport) as mp,
        pytest.raises(mixpanel.MixpanelException, match="no time was left for the wait") as caught,
    ):
        mp.track("u", "e")
    assert (len(server.came()), len(caught.value.records), waits.slept) == (1, 1, [])


def test_b21_at_most_five_minutes_are_granted(serve: Serve) -> None:
    server, waits = serve(first(Reply(429, "", {"Retry-After": "21600"}))), Waits()
    transport = SyncTransport(
        Project("t", server=server.url), deadline_seconds=None, sleep=waits.sleep, pick=waits.pick
    )
    with mixpanel.Mixpanel("t", transport=transport) as mp:
        mp.track("u", "e")
    assert (waits.slept, len(server.applied())) == ([300.0], 1)


def test_b21_what_is_buffered_waits_in_the_background_and_close_ends_the_wait(serve: Serve) -> None:
    server = serve(lambda *_: Reply(429, "", {"Retry-After": "20"}))
    transport = BufferedTransport(Project("t", server=server.url), flush_after_seconds=0.0)
    mp = mixpanel.Mixpanel("t", transport=transport)
    begun = time.monotonic()
    mp.track("u", "first")
    eventually(lambda: len(server.came()) == 1)
    mp.track("u", "second")
    outcome = mp.close(0.1)
    assert time.monotonic() - begun < 10.0
    # Two requests, if the second message left before the first answer came.
    assert len(server.came()) <= 2
    assert (len(outcome), len(outcome.delivered)) == (2, 0)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_b22_the_scheme_of_a_url_does_not_decide_what_is_tried_again(
    serve: Serve, scheme: str, authority: trustme.CA, tmp_path: Any
) -> None:
    tls = None
    if scheme == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server, waits = serve(first(BUSY, BUSY), tls=tls), Waits()
    assert server.url.startswith(f"{scheme}://")
    project = Project("t", server=server.url)
    transport = SyncTransport(project, ca_file=tmp_path / "ca.pem", sleep=waits.sleep)
    with mixpanel.Mixpanel("t", transport=transport) as mp:
        mp.track("u", "e")
    assert (len(server.came()), len(server.applied()), len(waits.slept)) == (3, 1, 2)


def test_b22_the_official_client_does_not_try_again_over_http(serve: Serve) -> None:
    server = serve(first(BUSY, BUSY))
    with pytest.raises(official.MixpanelException):
        official.Mixpanel("t", consumer=official.Consumer(**urls(server))).track("u", "e")
    assert len(server.came()) == 1


def track_and_increment(mp: mixpanel.Mixpanel) -> float:
    """
    How many seconds a hundred calls of each take.
    """
    begun = time.monotonic()
    for _ in range(100):
        mp.track("u", "e")
        mp.people_increment("u", {"a": 1})
    return time.monotonic() - begun


def test_b23_a_buffered_consumer_neither_blocks_nor_raises_in_an_outage() -> None:
    with given_up(mixpanel.BufferedConsumer(1, **urls(nowhere()))) as consumer:
        assert track_and_increment(mixpanel.Mixpanel("t", consumer=consumer)) < 3.0

    theirs = official.BufferedConsumer(1, **urls(nowhere()), retry_limit=0)
    with pytest.raises(official.MixpanelException):
        official.Mixpanel("t", consumer=theirs).track("u", "e")


def test_b23_a_buffered_transport_neither_blocks_nor_raises_in_an_outage() -> None:
    mp = mixpanel.Mixpanel("t", server=nowhere(), transport="buffered")
    assert track_and_increment(mp) < 3.0
    assert len(mp.close(0.0).failed) == 200


def test_b23_the_default_transport_raises_what_can_be_acted_on_when_its_time_is_over() -> None:
    waits = Waits()
    transport = SyncTransport(Project("t", server=nowhere()), deadline_seconds=0.2, sleep=waits.sleep, pick=waits.pick)
    with (
        mixpanel.Mixpanel("t", transport=transport) as mp,
        pytest.raises(mixpanel.MixpanelException) as caught,
    ):
        mp.track("u", "e")
    assert (len(caught.value.outcome.failed), waits.slept) == (1, [])


def test_b24_two_clients_that_fail_together_do_not_try_again_together(serve: Serve) -> None:
    def waits_of_a_client() -> list[float]:
        server, waits = serve(first(*[BUSY] * 4)), Waits()
        project = Project("t", server=server.url)
        with mixpanel.Mixpanel("t", transport=SyncTransport(project, deadline_seconds=None, sleep=waits.sleep)) as mp:
            mp.track("u", "e")
        return waits.slept

    one, other = waits_of_a_client(), waits_of_a_client()
    assert (len(one), len(other)) == (4, 4)
    assert all(mine != yours for mine, yours in zip(one, other, strict=True))
    for waits in (one, other):
        # 2 seconds, doubled, and 1 to 5 by chance.
        assert all(2**doubling + 1 <= wait <= 2**doubling + 5 for doubling, wait in enumerate(waits, 1))
    assert official.Consumer()._session.get_adapter("https://x").max_retries.backoff_jitter == 0.0


def test_b24_no_wait_is_a_fixed_number_of_seconds(serve: Serve) -> None:
    server, waits = serve(first(Reply(500), BUSY, Reply(502), THROTTLED)), Waits()
    project = Project("t", server=server.url)
    transport = SyncTransport(project, deadline_seconds=None, sleep=waits.sleep, pick=waits.pick)
    with mixpanel.Mixpanel("t", transport=transport) as mp:
        mp.track("u", "e")
    assert len(waits.ranges) == 4
    assert all(least < most for least, most in waits.ranges)
    assert all(one < next_one for (one, _), (next_one, _) in pairwise(waits.ranges))


def test_b25_every_alias_uses_the_connection_of_everything_else(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def alias_three(mp: Any) -> None:
        mp.track("u", "e")
        for name in ("a", "b", "c"):
            mp.alias(name, "u")

    server = serve()
    with mixpanel.Mixpanel("t", consumer=mixpanel.Consumer(**urls(server))) as mp:
        alias_three(mp)
    assert (len(server.applied()), server.connections) == (4, 1)

    server, consumer = serve(), official.Consumer
    theirs = consumer(**urls(server))
    # What alias() makes for itself goes to the network; only where it goes is changed here.
    monkeypatch.setattr(official, "Consumer", lambda: consumer(**urls(server)))
    alias_three(official.Mixpanel("t", consumer=theirs))
    assert (len(server.applied()), server.connections) == (4, 4)
