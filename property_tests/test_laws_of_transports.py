"""
The promises of transports through random faults, flushes, closes, crashes and restarts, with a server that keeps what
arrives as the judge.

Everything happens in one thread and on a clock of its own, so that a failure can be replayed. A crash copies the spool
as it is at that moment, in the middle of a request, and goes on with the copy.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mixwire.core import (
    Add,
    Alias,
    Answer,
    GroupOp,
    Message,
    NoResponse,
    Operation,
    Outcome,
    PeopleOp,
    Project,
    Request,
    Response,
    Set,
    Track,
    encode,
)
from mixwire.transports import BufferedTransport, SyncTransport, Transport
from mixwire.transports.file import read_spool

PROJECT: Final = Project("T0")
NOW: Final = 1_767_225_600_000
USERS: Final = ("user-0", "user-1", "user-2")

GOOD: Final = Response(status=200, body=b'{"status":1}')
ANSWERS: Final[dict[str, tuple[Answer, bool]]] = {
    "none": (GOOD, True),
    "500": (Response(status=500), False),
    "502 applied": (Response(status=502), True),
    "503": (Response(status=503), False),
    "429": (Response(status=429, headers=(("Retry-After", "0"),)), False),
    "lost": (NoResponse(reason="lost", maybe_received=True), True),
    "reset": (NoResponse(reason="reset", maybe_received=False), False),
    "garbage": (Response(status=200, body=b"<html>"), True),
    "413": (Response(status=413), False),
    "401": (Response(status=401), False),
}


class Crash(BaseException):
    """
    The process is no more.
    """


class Clock:
    """
    Time that passes only when somebody looks: whoever waits does not wait long.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        self.seconds += 61.0
        return self.seconds


def serial_of(record: dict[str, Any]) -> int:
    if "event" in record:
        return int(record["properties"]["n"] if "n" in record["properties"] else record["properties"]["alias"][1:])
    change = record.get("$set") or record.get("$add") or {}
    return int(next(iter(change)).lstrip("step-"))


@define
class Server:
    """
    Applies what arrives, and goes wrong as the script says.
    """

    script: list[str] = field(factory=list)
    applied: list[int] = field(factory=list)
    is_reachable: bool = True
    on_crash: Callable[[], None] = lambda: None

    def post(self, request: Request) -> Answer:
        if not self.is_reachable:
            return NoResponse(reason="down", maybe_received=False)
        serials = [serial_of(record) for record in json.loads(request.body)]
        fault = self.script.pop(0) if self.script else "none"
        if fault.startswith("crash"):
            if fault == "crash applied":
                self.applied += serials
            self.on_crash()
            raise Crash
        if fault == "413" and len(serials) == 1:
            # A server that took a message before does not find it too large later.
            fault = "none"
        answer, is_applied = ANSWERS[fault]
        if is_applied:
            self.applied += serials
        return answer


@define
class Sent:
    message: Message
    kind: str
    user: str
    ends: list[str] = field(factory=list)


class Machine(RuleBasedStateMachine):
    """
    Sends, breaks and mends; then everything is drained and compared.
    """

    has_spool = False

    def make(self, on_outcome: Callable[[Outcome], None]) -> Transport:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.clock = Clock()
        self.sent: dict[int, Sent] = {}
        self.by_body: dict[bytes, int] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="mixwire-"))
        self.generation = 0
        self.transport: Transport | None = None
        self.told: Counter[str] = Counter()

    @property
    def spool(self) -> Path:
        return self.folder / f"spool-{self.generation}"

    def open(self) -> Transport:
        if self.transport is None:
            self.told = Counter()
            generation = self.generation

            def hear(outcome: Outcome) -> None:
                # Nobody hears from a process that is no more.
                if generation == self.generation:
                    self.hear(outcome)

            self.transport = self.make(hear)
        return self.transport

    def hear(self, outcome: Outcome) -> None:
        for message in outcome.delivered:
            self.end(message, "delivered")
        for name, entries in (
            ("rejected", outcome.rejected),
            ("failed", outcome.failed),
            ("unknown", outcome.unknown),
        ):
            for entry in entries:
                self.end(entry.message, name)

    def end(self, message: Message, how: str) -> None:
        self.sent[self.by_body[message.body]].ends.append(how)
        self.told[how] += 1

    def crash(self) -> None:
        shutil.copytree(self.spool, self.folder / f"spool-{self.generation + 1}")

    def guarded(self, act: Callable[[], object]) -> None:
        """
        Act, and live on after a crash with what was in the spool.
        """
        self.server.on_crash = self.crash
        try:
            act()
        except Crash:
            # Its locks end with it.
            transport, self.transport = self.transport, None
            assert transport is not None
            self.generation += 1
            self.server.script.clear()
            self.server.is_reachable = False
            transport.close(0.0)
            self.server.is_reachable = True

    @initialize()
    def begin(self) -> None:
        self.open()

    @rule(
        kind=st.sampled_from(["event", "set", "add", "group", "alias"]),
        user=st.sampled_from(USERS),
        count=st.integers(1, 4),
    )
    def send(self, kind: str, user: str, count: int) -> None:
        messages: list[Message] = []
        for _ in range(count):
            serial = len(self.sent)
            message = encode(operation(kind, user, serial), PROJECT)
            self.sent[serial] = Sent(message, kind, user)
            self.by_body[message.body] = serial
            messages.append(message)
        self.guarded(lambda: self.open().send(*messages))

    @rule(
        faults=st.lists(
            st.sampled_from(["500", "502 applied", "503", "429", "lost", "reset", "garbage", "413", "401", "none"]),
            min_size=1,
            max_size=4,
        )
    )
    def break_server(self, faults: list[str]) -> None:
        self.server.script += faults

    @precondition(lambda self: self.has_spool)
    @rule(fault=st.sampled_from(["crash", "crash applied"]))
    def arrange_crash(self, fault: str) -> None:
        self.server.script.append(fault)

    @rule()
    def flush(self) -> None:
        self.guarded(lambda: self.open().flush(1e6))

    @rule()
    def restart(self) -> None:
        def close() -> None:
            self.open().close(1e6)
            self.transport = None

        self.guarded(close)

    @rule()
    def restart_at_once(self) -> None:
        def close() -> None:
            self.open().close(0.0)
            self.transport = None

        self.guarded(close)

    @invariant()
    def conservation(self) -> None:
        if self.transport is None:
            return
        stats = self.transport.stats()
        parts = stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.dropped + stats.held
        assert stats.accepted == parts
        assert stats.held >= 0
        for name in ("delivered", "rejected", "failed", "unknown"):
            assert getattr(stats, name) == self.told[name], name

    @invariant()
    def nothing_ends_twice(self) -> None:
        for serial, sent in self.sent.items():
            assert len(sent.ends) <= 1, (serial, sent.kind, sent.ends)

    def teardown(self) -> None:
        try:
            self.server.script.clear()
            self.drain()
            self.judge()
        finally:
            shutil.rmtree(self.folder)

    def drain(self) -> None:
        self.open().close(1e9)
        self.conservation()

    def judge(self) -> None:
        times = Counter(self.server.applied)
        first = {serial: index for index, serial in reversed(list(enumerate(self.server.applied)))}
        for serial, sent in self.sent.items():
            end = self.end_of(serial)
            if end == "delivered":
                assert times[serial] >= 1, f"{sent.kind} {serial} was told delivered and never arrived"
            if end in ("failed", "rejected"):
                assert times[serial] == 0, f"{sent.kind} {serial} {end} and arrived"
            if not sent.message.repeatable:
                assert times[serial] <= 1, f"{sent.kind} {serial} was applied {times[serial]} times"
            if self.has_spool:
                assert end == "delivered" or not sent.message.repeatable, f"{sent.kind} {serial} is {end}"
        self.judge_order(first)

    def end_of(self, serial: int) -> str:
        (end,) = self.sent[serial].ends
        return end

    def judge_order(self, first: dict[int, int]) -> None:
        last_seen: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        for serial, index in sorted(first.items()):
            sent = self.sent[serial]
            if sent.kind in ("set", "add", "group"):
                lane = (sent.user, "group" if sent.kind == "group" else "profile")
                assert index > last_seen[lane], f"{sent.kind} {serial} about {sent.user} came before an earlier one"
                last_seen[lane] = index
        for serial, sent in self.sent.items():
            if sent.kind != "alias" or serial not in first:
                continue
            for other, index in first.items():
                if self.sent[other].user == sent.user and self.sent[other].kind not in ("group", "alias"):
                    assert (index < first[serial]) == (other < serial), f"{other} and the alias {serial} changed places"


def operation(kind: str, user: str, serial: int) -> Operation:
    match kind:
        case "event":
            return Track("E", distinct_id=user, properties={"n": serial}, time=NOW - 1000, insert_id=f"i{serial:08d}")
        case "set":
            return PeopleOp(user, Set({f"step-{serial}": 1}))
        case "add":
            return PeopleOp(user, Add({f"{serial}": 1}))
        case "group":
            return GroupOp("company", user, Set({f"step-{serial}": 1}))
        case _:
            return Alias(alias=f"a{serial}", distinct_id=user)


class SyncMachine(Machine):
    def make(self, on_outcome: Callable[[Outcome], None]) -> Transport:
        return SyncTransport(
            PROJECT,
            max_messages=3,
            deadline_seconds=None,
            post=self.server.post,
            now=lambda: NOW,
            sleep=lambda _: None,
            on_outcome=on_outcome,
        )


class BufferedMachine(Machine):
    def make(self, on_outcome: Callable[[Outcome], None]) -> Transport:
        return BufferedTransport(
            PROJECT,
            max_messages=3,
            flush_after_seconds=100.0,
            background=False,
            post=self.server.post,
            now=self.clock.now,
            clock=lambda: NOW,
            on_outcome=on_outcome,
            spool=self.spool if self.has_spool else None,
        )


class SpooledMachine(BufferedMachine):
    has_spool = True

    def judge(self) -> None:
        self.parked = {self.by_body[stored.message.body] for stored in read_spool(self.spool, section="unknown")}
        super().judge()
        unknown = {serial for serial in self.sent if self.end_of(serial) == "unknown"}
        assert self.parked == unknown

    def end_of(self, serial: int) -> str:
        if not self.sent[serial].ends and self.generation:
            # Settled by a process that came to its end before it could tell.
            return "unknown" if serial in self.parked else "delivered"
        return super().end_of(serial)


# Drawing steps is most of the work.
_EXAMPLES = settings().max_examples
for _machine in (SyncMachine, BufferedMachine, SpooledMachine):
    _machine.TestCase.settings = settings(max_examples=_EXAMPLES, stateful_step_count=20)

TestSyncTransport = SyncMachine.TestCase
TestBufferedTransport = BufferedMachine.TestCase
TestBufferedTransportWithASpool = SpooledMachine.TestCase
