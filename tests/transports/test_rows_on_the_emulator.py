"""
Rows of the fault matrix from end to end: real transports and a real network on one side, the emulator on the other.

What a row promises is read from the server: how often an event counts, and how a profile stands. Waits are not sat
through; the clock is set ahead instead.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pytest
from attrs import field, frozen
from worlds import eventually, least, stored_in, sum_of

from mixwire.core import (
    Add,
    Cause,
    Endpoint,
    Message,
    Outcome,
    PeopleOp,
    Project,
    Set,
    Track,
    encode,
)
from mixwire.testing.faults import Delay, Fault, LostAnswer, Reset, Status
from mixwire.testing.local import LocalMixpanel
from mixwire.testing.server import MixpanelServer
from mixwire.testing.state import Fate, Settings
from mixwire.transports import BufferedTransport, SyncTransport

TOKEN: Final = "TOKEN-OF-PROJECT"
NOW: Final = time.time_ns() // 1_000_000 - 60_000
GUARD_SECONDS: Final = 20.0
SHORT_SECONDS: Final = 0.3
FLUSH_SECONDS: Final = 0.05
HOUR_MS: Final = 3_600_000

Kind: TypeAlias = Literal["sync", "buffered"]
KINDS: Final[tuple[Kind, ...]] = ("sync", "buffered")


class Clock:
    """
    The time of the transports and of the server, set ahead by whoever has to wait.
    """

    def __init__(self) -> None:
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.waits)

    def wall(self) -> int:
        return time.time_ns() // 1_000_000 + round(sum(self.waits) * 1000)

    def skip(self, seconds: float) -> None:
        self.waits.append(seconds)


CLOCK: Final = Clock()
"""One for all tests, as the server is."""


@pytest.fixture(scope="module")
def running() -> Iterator[MixpanelServer]:
    with MixpanelServer(LocalMixpanel(now=CLOCK.wall)) as server:
        yield server


@pytest.fixture
def server(running: MixpanelServer) -> MixpanelServer:
    CLOCK.waits.clear()
    running.mixpanel.reset()
    return running


def project(server: MixpanelServer, **others: Any) -> Project:
    return Project(TOKEN, server=server.url, **others)


def event(number: int, at: int = NOW, to: Project | None = None, size: int = 0) -> Message:
    properties = {"number": number, "filling": "x" * size} if size else {"number": number}
    track = Track("Opened", distinct_id="user-1", properties=properties, time=at, insert_id=f"event-{number:010}")
    return encode(track, to or Project(TOKEN))


def events(count: int, start: int = 0) -> tuple[Message, ...]:
    return tuple(event(number) for number in range(start, start + count))


def increment(count: int) -> Message:
    return encode(PeopleOp("user-1", Add({"credits": count})), Project(TOKEN))


def update(plan: str) -> Message:
    return encode(PeopleOp("user-1", Set({"plan": plan})), Project(TOKEN))


def sync(server: MixpanelServer, **options: Any) -> SyncTransport:
    to = options.pop("to", None) or project(server)
    settings: dict[str, Any] = {"sleep": CLOCK.skip, "pick": least, "deadline_seconds": None, **options}
    return SyncTransport(to, **settings)


def buffered(server: MixpanelServer, **options: Any) -> BufferedTransport:
    to = options.pop("to", None) or project(server)
    settings: dict[str, Any] = {
        "now": CLOCK.monotonic,
        "pick": least,
        "flush_after_seconds": 3600.0,
        "close_seconds": 0.0,
        **options,
    }
    return BufferedTransport(to, **settings)


def settle(transport: BufferedTransport, skips: int = 400) -> None:
    """
    Have everything settled that is held, with the waits that it takes.
    """
    for _ in range(skips):
        transport.flush(FLUSH_SECONDS)
        if not transport.stats().held:
            break
        CLOCK.skip(20.0)


def all_of(heard: Sequence[Outcome], transport: SyncTransport | BufferedTransport) -> Outcome:
    """
    What became of all messages of a transport that is closed.
    """
    stats = transport.stats()
    # A buffered transport tells it in a thread of its own.
    eventually(lambda: sum(map(len, heard)) == sum_of(stats) - stats.held, "everything was told")
    return Outcome.total(heard)


def sent(kind: Kind, server: MixpanelServer, *messages: Message, **options: Any) -> Outcome:
    """
    What became of the messages, however long it took.
    """
    heard: list[Outcome] = []
    if kind == "sync":
        with sync(server, on_outcome=heard.append, **options) as transport:
            transport.send(*messages)
    else:
        with buffered(server, on_outcome=heard.append, **options) as transport:
            transport.send(*messages)
            settle(transport)
    outcome = all_of(heard, transport)
    assert len(outcome) == len(messages) == transport.stats().accepted
    return outcome


def counted(server: MixpanelServer) -> list[int]:
    """
    The numbers of the events as reports would count them.
    """
    return sorted(each.properties["number"] for each in server.mixpanel.events())  # type: ignore[type-var]


def copies(server: MixpanelServer) -> set[int]:
    """
    How often the events arrived and were stored.
    """
    entries = server.mixpanel.state.events.entries
    return set(Counter(each.key for each in entries if each.fate is Fate.STORED).values())


def credits_of(server: MixpanelServer) -> object:
    return (server.mixpanel.profile("user-1") or {}).get("credits")


def statuses(server: MixpanelServer) -> list[int]:
    return [exchange.reply.status for exchange in server.mixpanel.state.exchanges.entries]


# What a client settles by itself


@frozen(kw_only=True)
class Row:
    """
    What goes wrong, one after the other, and how it ends: how often each event is stored, where the increments stand
    and how much of them was applied. What may be repeated is delivered in each row.
    """

    faults: Sequence[Fault]
    copies: int
    place: Literal["delivered", "unknown"]
    credits: int | None
    options: dict[str, Any] = field(factory=dict[str, Any])


def in_two_minutes() -> str:
    return f"{datetime.now(UTC) + timedelta(minutes=2):%a, %d %b %Y %H:%M:%S} GMT"


HASTY: Final[dict[str, Any]] = {"request_timeout_seconds": SHORT_SECONDS}
BEFORE: Final[dict[str, Any]] = {"copies": 1, "place": "unknown", "credits": None}
AFTER: Final[dict[str, Any]] = {"copies": 2, "place": "unknown", "credits": 10}
SURE: Final[dict[str, Any]] = {"copies": 1, "place": "delivered", "credits": 10}
ROWS: Final[dict[str, Row]] = {
    "row 9: the answer is lost": Row(faults=[LostAnswer()], **AFTER),
    "row 9: three answers are lost": Row(faults=[LostAnswer()] * 3, copies=4, place="unknown", credits=10),
    "row 10: a reset before it takes effect": Row(faults=[Reset()], **BEFORE),
    "row 11: the answer comes too late": Row(faults=[Delay(2.0)], options=HASTY, **AFTER),
    "row 22: 400 without a list": Row(faults=[Status(400)], **BEFORE),
    "row 24: 408 before": Row(faults=[Status(408)], **BEFORE),
    "row 24: 408 after": Row(faults=[Status(408, is_applied=True)], **AFTER),
    "row 25: 413 once": Row(faults=[Status(413)], **SURE),
    "row 26: 429 three times": Row(faults=[Status(429)] * 3, **SURE),
    "row 27: 429 with seconds": Row(faults=[Status(429, "7")], **SURE),
    "row 28: 429 with a date": Row(faults=[Status(429, in_two_minutes())], **SURE),
    "row 29: 429 with a negative number": Row(faults=[Status(429, "-1")], **SURE),
    "row 29: 429 with words": Row(faults=[Status(429, "soon")], **SURE),
    "row 30: 500 before": Row(faults=[Status(500)], **BEFORE),
    "row 30: 500 after": Row(faults=[Status(500, is_applied=True)], **AFTER),
    "row 30: 502 before": Row(faults=[Status(502)], **BEFORE),
    "row 30: 502 after": Row(faults=[Status(502, is_applied=True)], **AFTER),
    "row 30: 503 three times": Row(faults=[Status(503)] * 3, **SURE),
    "row 30: 504 after": Row(faults=[Status(504, is_applied=True)], **AFTER),
    "row 30: one of each before": Row(faults=[Status(code) for code in (503, 500, 502, 504)], **BEFORE),
    "row 32: 204 instead of an answer": Row(faults=[Status(204, is_applied=True)], **AFTER),
}


def play(server: MixpanelServer, row: Row) -> None:
    for fault in row.faults:
        server.mixpanel.fail_next(fault)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ROWS)
def test_each_event_counts_once(server: MixpanelServer, name: str, kind: Kind) -> None:
    row = ROWS[name]
    play(server, row)
    outcome = sent(kind, server, *events(4), **row.options)
    assert len(outcome.delivered) == 4
    assert counted(server) == [0, 1, 2, 3]
    assert copies(server) == {row.copies}
    assert server.mixpanel.state.scripts == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ROWS)
def test_an_increment_is_applied_once_or_in_doubt(server: MixpanelServer, name: str, kind: Kind) -> None:
    row = ROWS[name]
    play(server, row)
    outcome = sent(kind, server, increment(3), increment(7), **row.options)
    places = {"delivered": len(outcome.delivered), "unknown": len(outcome.unknown)}
    assert places[row.place] == 2
    assert credits_of(server) == row.credits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ROWS)
def test_a_profile_stands_as_it_was_set_last(server: MixpanelServer, name: str, kind: Kind) -> None:
    row = ROWS[name]
    play(server, row)
    outcome = sent(kind, server, update("free"), update("pro"), **row.options)
    assert len(outcome.delivered) == 2
    assert server.mixpanel.profile("user-1") == {"plan": "pro"}


@pytest.mark.parametrize(
    ("retry_after", "shortest", "longest"),
    [
        pytest.param(None, 3.0, 3.0, id="row 26: nothing asked for"),
        pytest.param("17", 17.0, 17.0, id="row 27: seconds"),
        pytest.param("1", 3.0, 3.0, id="row 27: less than usual"),
        pytest.param("1000000", 300.0, 300.0, id="row 27: more than the most"),
        pytest.param("a date", 110.0, 121.0, id="row 28: a date"),
        pytest.param("nan", 3.0, 3.0, id="row 29: no number"),
        pytest.param("", 3.0, 3.0, id="row 29: an empty text"),
    ],
)
def test_a_wait_is_as_long_as_the_server_asks_for(
    server: MixpanelServer, retry_after: str | None, shortest: float, longest: float
) -> None:
    server.mixpanel.fail_next(Status(429, in_two_minutes() if retry_after == "a date" else retry_after))
    sent("sync", server, *events(2))
    (wait,) = CLOCK.waits
    assert shortest <= wait <= longest
    assert counted(server) == [0, 1]


# What needs somebody, or has an end of its own


@pytest.mark.parametrize("code", [301, 302, 307, 401, 403, 404, 405])
@pytest.mark.parametrize("with_spool", [False, True])
def test_rows_23_24_and_31_what_only_a_person_can_mend_keeps_everything(
    server: MixpanelServer, tmp_path: Path, code: int, with_spool: bool
) -> None:
    server.mixpanel.fail_next(Status(code), times=None)
    with buffered(server, spool=tmp_path / "spool" if with_spool else None) as transport:
        transport.send(*events(4), increment(3), increment(7))
        settle(transport, skips=5)
        assert transport.stats().held == 6
        assert set(statuses(server)) == {code}
        server.mixpanel.heal()
        CLOCK.skip(900.0)
        settle(transport)
        assert transport.stats().delivered == 6
    assert (counted(server), copies(server), credits_of(server)) == ([0, 1, 2, 3], {1}, 10)


def test_row_23_a_call_that_waits_for_nobody_says_that_the_credentials_are_refused(server: MixpanelServer) -> None:
    to = project(server, events="import")
    server.mixpanel.fail_next(Status(401))
    messages = [event(number, to=to) for number in range(2)]
    with sync(server, to=to) as transport:
        assert {failed.cause for failed in transport.send(*messages).failed} == {Cause.CREDENTIALS}
        assert counted(server) == []
        assert len(transport.send(*messages).delivered) == 2
    assert counted(server) == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_row_23_refused_credentials_of_a_project_harm_nothing_else(kind: Kind) -> None:
    with MixpanelServer(LocalMixpanel(Settings(token="TOKEN-OF-ANOTHER", project_secret="SECRET"))) as server:
        messages = (event(0, to=project(server, events="import")), update("pro"))
        options: dict[str, Any] = {"to": project(server)}
        if kind == "sync":
            with sync(server, **options) as transport:
                outcome = transport.send(*messages)
            assert [failed.cause for failed in outcome.failed] == [Cause.CREDENTIALS]
        else:
            with buffered(server, **options) as waiting:
                waiting.send(*messages)
                settle(waiting, skips=5)
                assert (waiting.stats().delivered, waiting.stats().held) == (1, 1)
        # With a token that the project does not know, an answer of success proves nothing.
        assert [each.fate for each in server.mixpanel.state.updates.entries] == [Fate.DROPPED]


def far_ahead(number: int, to: Project) -> Message:
    return event(number, at=NOW + 3 * HOUR_MS, to=to)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([], id="row 18: all are taken"),
        pytest.param([3], id="row 21: one of them"),
        pytest.param([0, 1, 9], id="row 21: some of them"),
        pytest.param(list(range(10)), id="row 21: all of them"),
    ],
)
def test_what_import_names_is_rejected_and_the_rest_delivered(
    server: MixpanelServer, kind: Kind, wrong: list[int]
) -> None:
    to = project(server, events="import")
    messages = [far_ahead(number, to) if number in wrong else event(number, to=to) for number in range(10)]
    # An event of the future is held back for a minute at most.
    outcome = sent(kind, server, *messages, to=to)
    assert {(each.message, each.field) for each in outcome.rejected} == {
        (messages[number], "properties.time") for number in wrong
    }
    assert counted(server) == [number for number in range(10) if number not in wrong]
    assert copies(server) <= {1}


def full_profile(server: MixpanelServer) -> None:
    full = Set({f"name-{number}": number for number in range(1_999)} | {"plan": "free"})
    assert len(sent("sync", server, encode(PeopleOp("user-1", full), Project(TOKEN))).delivered) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_row_19_each_update_that_is_refused_is_found_and_rejected_alone(server: MixpanelServer, kind: Kind) -> None:
    full_profile(server)
    one_more = [encode(PeopleOp("user-1", Set({f"more-{number}": number})), Project(TOKEN)) for number in range(4)]
    outcome = sent(kind, server, *one_more)
    assert {each.message for each in outcome.rejected} == set(one_more)
    # Down to single records: at most 2k * log2(n) + 1 requests for k of n.
    assert len(statuses(server)) == 1 + 7


@pytest.mark.parametrize("kind", KINDS)
def test_row_19_refused_increments_are_not_sent_again(server: MixpanelServer, kind: Kind) -> None:
    full_profile(server)
    outcome = sent(kind, server, increment(3), increment(7))
    assert len(outcome.unknown) == 2
    assert credits_of(server) is None
    assert len(statuses(server)) == 1 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_row_25_a_body_that_is_too_long_is_halved_until_it_is_taken(kind: Kind) -> None:
    with MixpanelServer(LocalMixpanel(Settings(max_body_bytes=2_000))) as server:
        outcome = sent(kind, server, *events(100), event(100, size=4_000))
        assert [each.message for each in outcome.rejected] == [event(100, size=4_000)]
        assert (counted(server), copies(server)) == (list(range(100)), {1})
        assert Counter(statuses(server)).keys() == {200, 413}


@pytest.mark.parametrize("kind", KINDS)
def test_row_26_a_rate_limit_is_kept_to_until_all_is_taken(kind: Kind) -> None:
    CLOCK.waits.clear()
    with MixpanelServer(LocalMixpanel(Settings(events_per_minute=20), now=CLOCK.wall)) as server:
        outcome = sent(kind, server, *events(50), max_messages=10, max_tries=None)
        assert len(outcome.delivered) == 50
        assert (counted(server), copies(server)) == (list(range(50)), {1})
        assert 429 in statuses(server)
        # The third ten have to wait for the second minute, the last for the third.
        assert sum(CLOCK.waits) > 60.0


def restarted(server: MixpanelServer) -> MixpanelServer:
    """
    A server in place of one that was closed: at the same address, with the same memory.
    """
    return MixpanelServer(server.mixpanel, port=int(server.url.rpartition(":")[2]))


@pytest.mark.parametrize("with_spool", [False, True])
def test_row_1_what_is_sent_to_a_server_that_is_down_arrives_when_it_is_up(tmp_path: Path, with_spool: bool) -> None:
    CLOCK.waits.clear()
    down = MixpanelServer()
    with down:
        pass
    with buffered(down, spool=tmp_path / "spool" if with_spool else None) as transport:
        transport.send(*events(20), increment(3), increment(7))
        settle(transport, skips=3)
        assert transport.stats().held == 22
        with restarted(down) as server:
            settle(transport)
            assert transport.stats().delivered == 22
            assert (counted(server), copies(server), credits_of(server)) == (list(range(20)), {1}, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_row_16_a_server_that_was_restarted_between_two_requests_gets_the_second_once(kind: Kind) -> None:
    CLOCK.waits.clear()
    with MixpanelServer() as first:
        transport = sync(first) if kind == "sync" else buffered(first)
        transport.send(*events(2), increment(3))
        if isinstance(transport, BufferedTransport):
            settle(transport)
    with transport, restarted(first) as second:
        transport.send(*events(2, start=2), increment(7))
        if isinstance(transport, BufferedTransport):
            settle(transport)
        assert transport.stats().delivered == 6
        assert (counted(second), copies(second), credits_of(second)) == ([0, 1, 2, 3], {1}, 10)


@pytest.mark.parametrize("with_spool", [False, True])
def test_row_33_after_an_hour_without_a_server_everything_arrives_once(
    server: MixpanelServer, tmp_path: Path, with_spool: bool
) -> None:
    server.mixpanel.fail_next(Status(503), times=None)
    skips = 60
    with buffered(server, spool=tmp_path / "spool" if with_spool else None, max_messages=100) as transport:
        for minute in range(skips):
            transport.send(*events(20, start=20 * minute), increment(1))
            CLOCK.skip(60.0)
        settle(transport, skips=2)
        tried = len(statuses(server))
        # Four at once in the beginning, then one probe at a time.
        assert tried <= 4 + 1 + skips
        server.mixpanel.heal()
        CLOCK.skip(60.0)
        settle(transport)
        assert transport.stats().delivered == 21 * skips
    found = statuses(server)
    # A probe may have been under way when the server came back.
    first = found.index(200)
    assert first - tried in (0, 1)
    assert set(found[:first]) == {503}
    assert set(found[first:]) == {200}
    assert (counted(server), copies(server), credits_of(server)) == (list(range(20 * skips)), {1}, skips)


@pytest.mark.parametrize("fault", [None, LostAnswer()], ids=["row 34: delivered once", "row 34: delivered twice"])
def test_an_event_from_a_clock_that_runs_ahead_keeps_its_time(server: MixpanelServer, fault: Fault | None) -> None:
    ahead_ms = 30_000
    with buffered(server, clock=lambda: CLOCK.wall() + ahead_ms) as transport:
        # An answer shows the clock of the server.
        transport.send(event(0))
        settle(transport)
        if fault is not None:
            server.mixpanel.fail_next(fault)
        at = CLOCK.wall() + ahead_ms
        transport.send(event(1, at=at))
        transport.flush(SHORT_SECONDS)
        assert (counted(server), transport.stats().held) == ([0], 1)
        CLOCK.skip(35.0)
        settle(transport)
        assert transport.stats().delivered == 2
    (stored,) = (each for each in server.mixpanel.events() if each.properties["number"] == 1)
    assert (stored.time, stored.notes) == (at, ())


# Processes that end


PROGRAM: Final = """
import os, sys, time
from mixwire.core import Add, PeopleOp, Project, Track, encode
from mixwire.transports import BufferedTransport

url, spool, now, start, count, end = sys.argv[1:]
project = Project("TOKEN-OF-PROJECT", server=url)
transport = BufferedTransport(project, spool=spool or None, flush_after_seconds=0.01, exit_seconds=10.0)
for number in range(int(start), int(start) + int(count)):
    track = Track("Opened", distinct_id="user-1", properties={"number": number}, time=int(now),
                  insert_id=f"event-{number:010}")
    transport.send(encode(track, project), encode(PeopleOp("user-1", Add({"credits": 1})), project))
if end == "close":
    transport.close(20.0)
print("sent", flush=True)
if end == "os._exit":
    os._exit(0)
if end == "wait":
    time.sleep(60.0)
"""


def start(server: MixpanelServer, spool: Path | str, count: int, end: str, first: int = 0) -> subprocess.Popen[str]:
    arguments = [server.url, str(spool), str(NOW), str(first), str(count), end]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> int:
    with process:
        return process.wait(GUARD_SECONDS)


def drained(server: MixpanelServer, spool: Path) -> Outcome:
    """
    What became of what other processes left in the spool.
    """
    heard: list[Outcome] = []
    with buffered(server, spool=spool, on_outcome=heard.append) as transport:
        # What is still to be found there is not held yet.
        transport.flush(GUARD_SECONDS)
    return all_of(heard, transport)


def arrives_once(server: MixpanelServer, spool: Path, count: int) -> None:
    outcome = drained(server, spool)
    # A request that was under way at the end may have been answered by nobody, and applied: then it is in doubt.
    assert counted(server) == list(range(count))
    assert copies(server) <= {1, 2}
    added = [message for message in outcome.delivered if not message.repeatable]
    assert len(added) + len(outcome.unknown) == count
    assert credits_of(server) in (len(added) or None, count)
    assert stored_in(spool) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_row_60_what_a_killed_process_left_in_its_spool_arrives_once(
    server: MixpanelServer, tmp_path: Path, number: signal.Signals
) -> None:
    server.mixpanel.fail_next(Status(503), times=None)
    process = start(server, tmp_path / "spool", 300, "wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    process.send_signal(number)
    assert ended(process) == -number
    assert counted(server) == []
    server.mixpanel.heal()
    arrives_once(server, tmp_path / "spool", 300)


@pytest.mark.parametrize("endpoint", [Endpoint.TRACK, Endpoint.ENGAGE], ids=["event", "increment"])
def test_row_60_what_was_under_way_when_a_process_was_killed_counts_once(
    server: MixpanelServer, tmp_path: Path, endpoint: Endpoint
) -> None:
    server.mixpanel.fail_next(Delay(60.0), endpoint=endpoint)
    process = start(server, tmp_path / "spool", 1, "wait")
    try:
        assert server.mixpanel.wait_for(lambda state: len(state.exchanges.entries) == 2, GUARD_SECONDS)
    finally:
        process.kill()
        ended(process)
    outcome = drained(server, tmp_path / "spool")
    # The answer to the other request may have been too late for the books, too.
    if endpoint is Endpoint.ENGAGE:
        assert len(outcome.unknown) == 1
        assert len(stored_in(tmp_path / "spool", "unknown")) == 1
    else:
        assert event(0).body in {message.body for message in outcome.delivered}
        assert copies(server) == {2}
    assert (counted(server), credits_of(server)) == ([0], 1)
    assert stored_in(tmp_path / "spool") == []


def test_row_58_a_process_that_ends_without_closing_delivers_first(server: MixpanelServer) -> None:
    assert ended(start(server, "", 200, "exit")) == 0
    assert (counted(server), copies(server), credits_of(server)) == (list(range(200)), {1}, 200)


def test_row_57_what_a_process_that_just_stops_left_in_its_spool_arrives_once(
    server: MixpanelServer, tmp_path: Path
) -> None:
    server.mixpanel.fail_next(Status(503), times=None)
    assert ended(start(server, tmp_path / "spool", 200, "os._exit")) == 0
    server.mixpanel.heal()
    arrives_once(server, tmp_path / "spool", 200)


def test_row_46_processes_with_one_spool_deliver_everything_once(server: MixpanelServer, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    processes = [start(server, spool, 100, "close", first=100 * number) for number in range(3)]
    assert [ended(process) for process in processes] == [0, 0, 0]
    drained(server, spool)
    assert (counted(server), copies(server), credits_of(server)) == (list(range(300)), {1}, 300)
    assert stored_in(spool) == []
