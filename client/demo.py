"""
The command that shows the whole of it on one machine: a Mixpanel, a client, a short story, and what became of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from itertools import chain, groupby, repeat
from typing import TYPE_CHECKING, Final

import click
from attrs import asdict
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .core import JSON
from .interrupts import terminated_like_interrupted, wait_for_interrupt
from .options import json_option
from .printing import say
from .stamps import milliseconds_now
from .story import Chapter, Ending, Played, play, story

if TYPE_CHECKING:
    from .testing.state import Event, Exchange, State, Update

__all__ = ["demo", "faults_of"]

_EXTRA: Final = ("starlette", "uvicorn")
_COLUMNS: Final = 80
_LEAST_COLUMNS: Final = 40
_BOX: Final = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line under the names of the columns, and no character that a terminal could lack."""


@click.command()
@click.option("--keep", is_flag=True, help="Leave the server and its page running until Ctrl-C.")
@click.option(
    "--port", metavar="P", type=click.IntRange(0, 65_535), default=0, help="Where to listen; by default a free port."
)
@json_option
def demo(port: int, *, keep: bool, as_json: bool) -> None:
    """
    Tell a Mixpanel on this machine a short story, and show what it made of it. No account, no network.

    A user signs up, is given a second name, pays while the server is busy, and is sent an event that is refused. All
    that is printed then is what the client and the server say.
    """
    # Only who wants a server pays for loading one, and it has an extra of its own.
    try:
        from .testing.faults import Status
        from .testing.server import MixpanelServer
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        say(f"The demo needs {package}: pip install 'mixwire[cli,emulator]'", err=True)
        sys.exit(2)
    chapters = story(milliseconds_now())
    server = MixpanelServer(port=port)
    try:
        server.start()
    except OSError as error:
        raise click.UsageError(f"port {port} cannot be used: {error.strerror}") from None
    faults: tuple[str, ...] = ()
    with server, _until_interrupt(is_kept=keep):
        if keep:
            say(f"The page is at {server.url}/ until Ctrl-C.", err=as_json)
        played = play(chapters, server.url, lambda status: server.mixpanel.fail_next(Status(status)))
        state, events = server.mixpanel.state, server.mixpanel.events()
        faults = faults_of(chapters, played, state)
        if as_json:
            say(json.dumps(_figures(played, state, events, faults)))
        else:
            _show(played, state, events)
            say(_farewell(server.url, is_kept=keep))
        for fault in faults:
            say(f"Not as expected: {fault}", err=True)
        if keep:
            wait_for_interrupt()
    sys.exit(1 if faults else 0)


def faults_of(chapters: Sequence[Chapter], played: Played, state: State) -> tuple[str, ...]:
    """
    In what the story did not come out as expected, by what the client and the server know: a sentence for each.
    """
    faults = [
        f"{ending.step.sentence}: {ending.place}, not {ending.step.expected}"
        for ending in played.endings
        if ending.place != ending.step.expected
    ]
    stored, delivered = len(_with_fate(state, "stored")), played.stats.delivered
    if stored != delivered:
        faults.append(f"records that were delivered: {delivered:,}, and stored: {stored:,}")
    busy, asked = state.counts.faults, sum(chapter.first_status is not None for chapter in chapters)
    if busy != asked:
        faults.append(f"requests that were to go wrong: {asked:,}, and that did: {busy:,}")
    return tuple(faults)


@contextmanager
def _until_interrupt(*, is_kept: bool) -> Generator[None]:
    """
    What is done inside ends well with Ctrl-C, if it is to last until then.
    """
    if not is_kept:
        yield
        return
    try:
        with terminated_like_interrupted():
            yield
    except KeyboardInterrupt:
        # The terminal has ^C in this line.
        say("", err=True)


def _figures(played: Played, state: State, events: Sequence[Event], faults: Sequence[str]) -> dict[str, object]:
    """
    Everything as one object.
    """
    return {
        "is_as_expected": not faults,
        "figures": asdict(played.stats),
        "messages": [
            {
                "what": ending.step.sentence,
                "endpoint": ending.message.endpoint.value,
                "outcome": ending.place,
                "reason": ending.reason,
                "answers": _answers(ending, state),
            }
            for ending in played.endings
        ],
        "requests": [
            {
                "path": _path(exchange),
                "records": exchange.records,
                "status": exchange.reply.status,
                "remark": _remark(exchange, state),
            }
            for exchange in state.exchanges.entries
        ],
        "events": [
            {"name": each.name, "distinct_id": each.distinct_id, "user": _user(each, state), "time": each.time}
            for each in events
        ],
        "profiles": [
            {"distinct_id": distinct_id, "properties": dict(profile.properties)}
            for distinct_id, profile in state.profiles.items()
        ],
        "groups": [
            {"group_key": key, "group_id": group_id, "properties": dict(profile.properties)}
            for (key, group_id), profile in state.groups.items()
        ],
        "log": played.log,
    }


def _show(played: Played, state: State, events: Sequence[Event]) -> None:
    """
    Everything as tables.
    """
    for table in (_messages(played, state), _requests(state), _counted(state, events), _profiles(state)):
        _print(table)
    for line in played.log:
        say(f"The log of the client: {line}")
    if state.counts.faults:
        say("It would have waited some seconds before the next try; its clock was set ahead.")
    say(", ".join(f"{count:,} {name}" for name, count in asdict(played.stats).items()))


def _messages(played: Played, state: State) -> Table:
    table = _table("What was sent, and what became of it", "what", "endpoint", "outcome", "why")
    for chapter, endings in groupby(played.endings, lambda ending: ending.chapter):
        table.add_section()
        table.add_row(Text(chapter.title, "bold"))
        for ending in endings:
            endpoint = ending.message.endpoint.value
            table.add_row(*_texts(f"  {ending.step.sentence}", endpoint, ending.place, _why(ending, state)))
    return table


def _requests(state: State) -> Table:
    table = _table("The requests that arrived", "", "path", "records", "answer", "remark")
    for number, exchange in enumerate(state.exchanges.entries, 1):
        answer = f"HTTP {exchange.reply.status}"
        table.add_row(*_texts(str(number), _path(exchange), str(exchange.records), answer, _remark(exchange, state)))
    return table


def _counted(state: State, events: Sequence[Event]) -> Table:
    table = _table("The events as reports count them", "event", "sent for", "belongs to", "time (UTC)")
    for each in events:
        table.add_row(*_texts(each.name, each.distinct_id, _user(each, state), _moment(each.time)))
    return table


def _profiles(state: State) -> Table:
    table = _table("The profiles as they stand", "whose", "property", "value")
    users = ((name, profile.properties) for name, profile in state.profiles.items())
    groups = ((f"{key} {name}", profile.properties) for (key, name), profile in state.groups.items())
    for whose, properties in (*users, *groups):
        table.add_section()
        for first, (name, value) in zip(chain((whose,), repeat("")), _lines_of(properties), strict=False):
            table.add_row(*_texts(first, name, value))
    return table


def _farewell(url: str, *, is_kept: bool) -> str:
    """
    Where the page is, or was, and the next step.
    """
    page = (
        f"A page at {url}/ showed all of this; with --keep it stays.\nNext, an event of your own, to the real Mixpanel:"
    )
    server = given = ""
    if is_kept:
        page = f"The page at {url}/ shows all of this, and what you send there:"
        server, given = f'    server = "{url}"\n', ", server=server"
    return (
        f"\n{page}\n\n"
        "    from mixwire import Mixpanel\n\n"
        f"{server}"
        f'    with Mixpanel("YOUR_TOKEN", transport="buffered"{given}) as mp:\n'
        '        mp.track("user-1", "Signed Up", {"plan": "pro"})'
    )


def _with_fate(state: State, fate: str) -> list[int]:
    """
    The numbers of the requests that brought the records with this fate, one for each record.
    """
    records: tuple[Event | Update, ...] = (*state.events.entries, *state.updates.entries)
    return [each.exchange for each in records if each.fate.value == fate]


def _answers(ending: Ending, state: State) -> list[int]:
    """
    How the requests that brought the message were answered. Its bytes are the same in each.
    """
    return [each.reply.status for each in state.exchanges.entries if ending.message.body in each.text]


def _why(ending: Ending, state: State) -> str:
    if ending.reason:
        return ending.reason
    return ", ".join(f"after HTTP {status}" for status in _answers(ending, state)[:-1])


def _path(exchange: Exchange) -> str:
    return exchange.request.target.partition("?")[0]


def _remark(exchange: Exchange, state: State) -> str:
    remarks: list[str] = []
    if any(each.number < exchange.number and each.text == exchange.text for each in state.exchanges.entries):
        remarks.append("the same bytes again")
    if exchange.fault is not None:
        remarks.append("made to go wrong" + ("" if exchange.is_applied else ", nothing applied"))
    if refused := _with_fate(state, "refused").count(exchange.number):
        remarks.append(f"{refused:,} of {exchange.records:,} refused")
    return "; ".join(remarks)


def _user(event: Event, state: State) -> str:
    return state.identities.user_of(event.distinct_id)


def _lines_of(properties: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """
    Name and value of each property; what is in a list has a line for each.
    """
    lines: list[tuple[str, str]] = []
    for name, value in properties.items():
        values = value if isinstance(value, list) else [value]
        lines.extend(zip(chain((name,), repeat("")), map(_words, values), strict=False))
    return lines


def _words(value: JSON) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _moment(time_ms: int | None) -> str:
    return "" if time_ms is None else f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=_BOX, pad_edge=False, show_edge=False)
    *narrow, last = columns
    for name in narrow:
        table.add_column(name, no_wrap=True)
    table.add_column(last)
    return table


def _texts(*cells: str) -> list[Text]:
    # As plain text: what stands in brackets is no style.
    return [Text(cell) for cell in cells]


def _print(table: Table) -> None:
    terminal, page = Console(), StringIO()
    if terminal.width < _COLUMNS:
        for column in table.columns:
            column.no_wrap, column.overflow = False, "fold"
    width = min(max(terminal.width, _LEAST_COLUMNS), _COLUMNS)
    Console(file=page, width=width, force_terminal=terminal.is_terminal, emoji=False).print(table)
    say("".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines()))
