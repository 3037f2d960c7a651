"""
The commands: they read records, hand them to the core and to a transport, and tell what became of each.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
from attrs import evolve
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from .core import (
    VERSION,
    Cause,
    InvalidValue,
    Message,
    MixwireError,
    Operation,
    Outcome,
    Project,
    encode,
    explain,
    stamp,
)
from .records import Record, read_records
from .settings import Settings, project_of, read_settings, settings_from_environment
from .stamps import ContentIds, milliseconds_now
from .transports import SyncTransport

__all__ = ["check", "mixwire", "send"]

_CHUNK: Final = 2_000
"""So many records are handed over at once, as many as one request may hold."""

_HOPELESS: Final = frozenset({Cause.NOT_REACHED, Cause.CREDENTIALS, Cause.WRONG_SERVER})
"""Nothing that comes later will fare better than a whole chunk that failed for one of these."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="mixwire")
def mixwire() -> None:
    """
    Send events and profile updates to Mixpanel from files and pipes.

    Exit codes: 0 all is well, 1 something was not and was told, 2 wrong usage or configuration.
    """


_SOURCE = click.argument("source", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))


@mixwire.command()
@_SOURCE
@click.option("--server", metavar="S", help="us (default), eu, in, https://host[:port], or http:// on loopback.")
@click.option("--token", metavar="T", help="The project token; better given as MIXWIRE_TOKEN.")
@click.option("--config", metavar="F", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def send(source: Path, server: str | None, token: str | None, config: Path | None, *, as_json: bool) -> None:
    """
    Send the records of a file: one JSON object a line, events in Mixpanel's export format or operations.

    A record without an insert_id gets one made from its text, so that sending a file again counts nothing twice.
    """
    project = _project(Settings(server=server, token=token), config)
    report = _Report()
    with SyncTransport(project, deadline_seconds=None) as transport, _records(source) as records:
        try:
            _send_all(records, project, transport, report)
        finally:
            # Also for who interrupts: what was sent is sent.
            report.finish()
            if as_json:
                click.echo(json.dumps(report.figures()))
            else:
                click.echo(", ".join(f"{count:,} {name}" for name, count in report.figures().items()))
    sys.exit(0 if report.is_success else 1)


@mixwire.command()
@_SOURCE
@click.option("--config", metavar="F", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def check(source: Path, config: Path | None, *, as_json: bool) -> None:
    """
    Say what would be refused, truncated or rerouted if a file were sent, without sending it.
    """
    project = _project(Settings(), config, default_token="0" * 32)
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
                report.rejected += 1
                report.tell(record.number, f"refused: {fault}")
                continue
            endpoints[explanation.message.endpoint.value] += 1
            report.findings += bool(explanation.findings)
            for finding in explanation.findings:
                report.tell(record.number, f"{finding.effect.value}: {finding.path}: {finding.reason}")
    report.finish()
    figures = {"read": report.read, "refused": report.rejected, "with_findings": report.findings}
    if as_json:
        click.echo(json.dumps(figures))
    else:
        routes = "".join(f", {count:,} for {path}" for path, count in sorted(endpoints.items()))
        click.echo(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.items()) + routes)
    sys.exit(0 if not (report.rejected or report.findings) else 1)


def _project(options: Settings, config: Path | None, default_token: str | None = None) -> Project:
    try:
        settings = options.over(settings_from_environment(os.environ))
        if config is not None:
            settings = settings.over(read_settings(config))
        if settings.token is None:
            settings = evolve(settings, token=default_token)
        return project_of(settings)
    except InvalidValue as fault:
        raise click.UsageError(str(fault)) from None


@contextmanager
def _records(source: Path) -> Generator[Iterator[Record]]:
    """
    The records of a file or, for ``-``, of standard input; with a progress bar where a person is looking.
    """
    is_stdin = str(source) == "-"
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
    hopeless: str | None = None

    def hand_over() -> None:
        nonlocal hopeless
        if not chunk:
            return
        outcome = transport.send(*[message for _, message in chunk])
        report.settle(chunk, outcome)
        if len(outcome.failed) == len(chunk) and outcome.failed[0].cause in _HOPELESS:
            hopeless = outcome.failed[0].cause.value
        chunk.clear()

    for record in records:
        report.read += 1
        if isinstance(record.content, InvalidValue):
            report.refuse(record.number, record.content)
            continue
        try:
            message = encode(stamps(record.content, record.text), project)
        except MixwireError as fault:
            report.refuse(record.number, fault)
            continue
        if hopeless is not None:
            report.fail(record.number, f"not tried, because {hopeless}")
            continue
        chunk.append((record.number, message))
        if len(chunk) == _CHUNK:
            hand_over()
    hand_over()


class _Report:
    """
    Counts, and tells of each record that is not well on standard error; runs of lines with one reason share a line.
    """

    def __init__(self) -> None:
        self.read = 0
        self.delivered = 0
        self.rejected = 0
        self.failed = 0
        self.unknown = 0
        self.findings = 0
        self._first = 0
        self._last = 0
        self._text = ""

    @property
    def is_success(self) -> bool:
        return self.delivered == self.read

    def figures(self) -> dict[str, int]:
        names = ("read", "delivered", "rejected", "failed", "unknown")
        return {name: getattr(self, name) for name in names}

    def refuse(self, number: int, fault: MixwireError) -> None:
        self.rejected += 1
        self.tell(number, f"rejected: {fault}")

    def fail(self, number: int, text: str) -> None:
        self.failed += 1
        self.tell(number, f"failed: {text}")

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
            click.echo(note, err=True)

    def tell(self, number: int, text: str) -> None:
        if text == self._text and number == self._last + 1:
            self._last = number
            return
        self.finish()
        self._first, self._last, self._text = number, number, text

    def finish(self) -> None:
        if self._text:
            lines = f"line {self._first}" if self._first == self._last else f"lines {self._first} to {self._last}"
            click.echo(f"{lines}: {self._text}", err=True)
        self._text = ""
