"""
The commands: they read records, hand them to the core and to a transport, and tell what became of each.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from .core import (
    VERSION,
    Finding,
    InvalidValue,
    Message,
    MixwireError,
    Operation,
    Outcome,
    Project,
    Refused,
    encode,
    explain,
    stamp,
)
from .demo import demo
from .emulate import emulate
from .options import config_option, json_option, project_from, server_option, token_option
from .printing import masked, say
from .records import Record, read_records
from .settings import Settings
from .spool_commands import drain, spool
from .stamps import ContentIds, milliseconds_now
from .transports import SyncTransport

__all__ = ["check", "mixwire", "send"]

_CHUNK: Final = 2_000
"""So many records are handed over at once, as many as one request may hold."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="mixwire")
def mixwire() -> None:
    """
    Send events and profile updates to Mixpanel from files and pipes.

    Exit codes: 0 all is well, 1 something was not and was told, 2 wrong usage or configuration.
    """


mixwire.add_command(demo)
mixwire.add_command(drain)
mixwire.add_command(emulate)
mixwire.add_command(spool)

_SOURCE = click.argument("source", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))


@mixwire.command()
@_SOURCE
@server_option
@token_option
@config_option
@json_option
def send(source: Path, server: str | None, token: str | None, config: Path | None, *, as_json: bool) -> None:
    """
    Send the records of a file: one JSON object a line, events in Mixpanel's export format or operations.

    \b
    {"type":"track","event":"Paid","distinct_id":"u1","properties":{"plan":"pro"}}
    {"type":"people","distinct_id":"u1","changes":[{"type":"add","properties":{"n":1}}]}

    An event that has a time but no insert_id gets one made from its text, so that sending the file again counts it
    once; increments, appends and charges count again. Records are sent 2,000 at a time, also those of a slow pipe.
    """
    project = project_from(Settings(server=server, token=token), config)
    secrets = [project.credentials.secret] if project.credentials is not None else []
    report = _Report(project.token, *secrets)
    with SyncTransport(project, deadline_seconds=None) as transport, _records(source) as records:
        try:
            _send_all(records, project, transport, report)
        finally:
            report.finish()
            if as_json:
                say(json.dumps(report.figures()))
            else:
                say(", ".join(f"{count:,} {name}" for name, count in report.figures().items()))
    sys.exit(0 if report.is_success else 1)


@mixwire.command()
@_SOURCE
@config_option
@json_option
def check(source: Path, config: Path | None, *, as_json: bool) -> None:
    """
    Say what would be refused, truncated or rerouted if a file were sent, without sending it.
    """
    project = project_from(Settings(), config, default_token="0" * 32)
    report = _Report()
    endpoints: Counter[str] = Counter()
    stamps = _Stamps()
    with _records(source) as records:
        for record in records:
            report.read += 1
            try:
                if isinstance(record.content, InvalidValue):
                    raise record.content
                explanation = explain(stamps(record.content, record.text), project, milliseconds_now())
            except MixwireError as fault:
                report.refuse(record.number, fault)
                continue
            if project.limits == "strict" and explanation.findings:
                report.refuse(record.number, Refused(explanation.findings))
                continue
            endpoints[explanation.message.endpoint.value] += 1
            report.findings += bool(explanation.findings)
            report.tell_findings(record.number, explanation.findings)
    report.finish()
    figures = {"read": report.read, "refused": report.rejected, "with_findings": report.findings}
    if as_json:
        say(json.dumps(figures))
    else:
        routes = "".join(f", {count:,} for {path}" for path, count in sorted(endpoints.items()))
        say(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.items()) + routes)
    sys.exit(0 if not (report.rejected or report.findings) else 1)


@contextmanager
def _records(source: Path) -> Generator[Iterator[Record]]:
    """
    The records of a file or, for ``-``, of standard input; with a progress bar where a person is looking.
    """
    is_stdin = str(source) == "-"
    if is_stdin and sys.stdin is None:
        raise click.UsageError("standard input is closed")
    try:
        stream: BinaryIO = sys.stdin.buffer if is_stdin else source.open("rb")
    except OSError as error:
        raise click.UsageError(f"{source} cannot be read: {error.strerror}") from None
    console = Console(stderr=True)
    try:
        if not console.is_terminal:
            yield read_records(stream)
            return
        size = None if is_stdin else source.stat().st_size
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(source.name, total=size)
            yield read_records(stream, lambda count: progress.advance(task, count))
    finally:
        if not is_stdin:
            stream.close()


class _Stamps:
    """
    Gives each operation the time and the insert_id that its record left open.
    """

    def __init__(self) -> None:
        self._ids = ContentIds()
        self._now = milliseconds_now()

    def __call__(self, operation: Operation, text: bytes) -> Operation:
        return stamp(operation, time=self._now, insert_id=self._ids(text))


def _send_all(records: Iterator[Record], project: Project, transport: SyncTransport, report: _Report) -> None:
    stamps = _Stamps()
    chunk: list[tuple[int, Message]] = []
    halted: str | None = None

    def hand_over() -> None:
        nonlocal halted
        if not chunk:
            return
        # From here on these records are told as what became of them, and no more as not tried.
        sent = chunk.copy()
        chunk.clear()
        try:
            outcome = transport.send(*[message for _, message in sent])
        except KeyboardInterrupt:
            for number, _ in sent:
                report.interrupt(number)
            raise
        report.settle(sent, outcome)
        # What is not settled here may be sent again, and nothing that comes later in the file may overtake it.
        unsettled = outcome.failed or [each for each in outcome.unknown if each.message.repeatable]
        if unsettled:
            halted = unsettled[0].cause.value

    def read() -> None:
        for record in records:
            take(record)
        hand_over()

    def take(record: Record) -> None:
        report.read += 1
        if isinstance(record.content, InvalidValue):
            report.refuse(record.number, record.content)
            return
        try:
            message = encode(stamps(record.content, record.text), project)
        except MixwireError as fault:
            report.refuse(record.number, fault)
            return
        if project.limits == "warn":
            report.tell_findings(record.number, message.findings())
        if halted is not None:
            report.fail(record.number, f"not tried, because {halted}")
            return
        chunk.append((record.number, message))
        if len(chunk) == _CHUNK:
            hand_over()

    try:
        read()
    except KeyboardInterrupt:
        for number, _ in chunk:
            report.fail(number, "not tried, because the command was interrupted")
        report.is_interrupted = True


class _Report:
    """
    Counts, and tells of each record that is not well on standard error; runs of lines with one reason share a line.
    """

    def __init__(self, *hidden: str) -> None:
        self._hidden = hidden
        self.read = 0
        self.delivered = 0
        self.rejected = 0
        self.failed = 0
        self.unknown = 0
        self.findings = 0
        self._first = 0
        self._last = 0
        self._text = ""
        self.is_interrupted = False

    @property
    def is_success(self) -> bool:
        return self.delivered == self.read and not self.is_interrupted

    def figures(self) -> dict[str, int]:
        names = ("read", "delivered", "rejected", "failed", "unknown")
        return {name: getattr(self, name) for name in names}

    def refuse(self, number: int, fault: MixwireError) -> None:
        self.rejected += 1
        self.tell(number, f"refused: {fault}")

    def tell_findings(self, number: int, findings: tuple[Finding, ...]) -> None:
        for finding in findings:
            self.tell(number, f"{finding.effect.value}: {finding.path}: {finding.reason}")

    def fail(self, number: int, text: str) -> None:
        self.failed += 1
        self.tell(number, f"failed: {text}")

    def interrupt(self, number: int) -> None:
        self.unknown += 1
        self.tell(number, "unknown: the command was interrupted while this was being sent")

    def settle(self, chunk: list[tuple[int, Message]], outcome: Outcome) -> None:
        # An event may have been sent to another endpoint than it was encoded for, but its bytes stay the same.
        numbers: defaultdict[bytes, deque[int]] = defaultdict(deque)
        for number, message in chunk:
            numbers[message.body].append(number)
        told: list[tuple[int, str]] = []

        def number_of(message: Message) -> int:
            return numbers[message.body].popleft()

        for rejected in outcome.rejected:
            field = f"{rejected.field}: " if rejected.field else ""
            told.append((number_of(rejected.message), f"rejected: {field}{rejected.reason}"))
        for place, entries in (("failed", outcome.failed), ("unknown", outcome.unknown)):
            for entry in entries:
                detail = f" ({entry.detail})" if entry.detail else ""
                told.append((number_of(entry.message), f"{place}: {entry.cause.value}{detail}"))
        self.delivered += len(outcome.delivered)
        self.rejected += len(outcome.rejected)
        self.failed += len(outcome.failed)
        self.unknown += len(outcome.unknown)
        for number, text in sorted(told):
            self.tell(number, text)
        for note in outcome.notes:
            say(note, err=True)

    def tell(self, number: int, text: str) -> None:
        text = masked(text, self._hidden)
        if text == self._text and number == self._last + 1:
            self._last = number
            return
        self.finish()
        self._first, self._last, self._text = number, number, text

    def finish(self) -> None:
        if self._text:
            lines = f"line {self._first}" if self._first == self._last else f"lines {self._first} to {self._last}"
            say(f"{lines}: {self._text}", err=True)
        self._text = ""
