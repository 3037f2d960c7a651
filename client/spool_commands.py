"""
The commands about stored messages: deliver them, look into them, put them back, throw them away.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EPIPE
from itertools import islice, takewhile
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeAlias, get_args

import click
from attrs import asdict, frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .core import Cause, InvalidValue, Message
from .core.frames import Note
from .options import config_option, json_option, project_from, server_option, settings_from, token_option
from .printing import masked, say
from .settings import Settings, project_of
from .stamps import milliseconds_now
from .transports.disk import Disk
from .transports.drain import Drained, DrainEnd, is_taken, unreadable
from .transports.drain import drain as deliver
from .transports.segments import Section
from .transports.spool import fingerprint
from .transports.survey import Kept, Survey, kept, survey
from .transports.upkeep import Upkeep, discard, projects, requeue

__all__ = ["drain", "export", "list_messages", "put_back", "spool", "throw_away"]

_SECTIONS: Final[tuple[Section, ...]] = get_args(Section)
_MOST_REASONS: Final = 5
"""So many different reasons are told, the most frequent first."""

_DIRECTORY: Final = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


@click.command()
@_DIRECTORY
@server_option
@token_option
@config_option
@click.option(
    "--wait",
    "patience_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="How long to go on when nothing gets through.",
)
@json_option
def drain(
    directory: Path,
    server: str | None,
    token: str | None,
    config: Path | None,
    patience_seconds: float,
    *,
    as_json: bool,
) -> None:
    """
    Deliver the messages that are stored in a directory, also while they are still being written, and those of a copied
    directory or of another machine.

    What may have been applied and counts twice when it is sent twice is not sent again, but kept as unknown, and so is
    what the server rejects: see "mixwire spool". Interrupted, it says what is left.
    """
    project = project_from(Settings(server=server, token=token), config)
    hidden = [project.token, *([project.credentials.secret] if project.credentials is not None else [])]

    def tell(text: str) -> None:
        say(masked(text, hidden), err=True)

    with _mistakes(directory), _progress(directory.name) as progress:
        drained = deliver(directory, project, patience_seconds=patience_seconds, on_progress=progress, on_trouble=tell)
    for sentence in _sentences(drained):
        tell(sentence)
    figures = {
        "read": drained.read,
        "delivered": drained.delivered,
        "rejected": sum(drained.rejected.values()),
        "failed": sum(drained.failed.values()),
        "unknown": sum(drained.unknown.values()),
        "held": drained.held,
    }
    say(json.dumps(figures) if as_json else ", ".join(f"{count:,} {name}" for name, count in figures.items()))
    sys.exit(0 if drained.is_success else 1)


def _sentences(drained: Drained) -> Iterator[str]:
    """
    What is not well, each in a sentence.
    """
    if drained.rejected:
        yield f"rejected, and kept as such: {_reasons(drained.rejected)}"
    if drained.failed:
        yield f"failed: {_reasons(drained.failed)}"
    if drained.unknown:
        yield f"unknown, kept as such and not sent again: {_reasons(drained.unknown)}"
    if drained.held:
        why: dict[DrainEnd, str] = {
            "done": "came while the others were delivered",
            "patience": drained.troubles[-1] if drained.troubles else "nothing got through",
            "taken": "another process is delivering this directory",
            "interrupted": "the command was interrupted",
        }
        yield f"held: {why[drained.end]} ({drained.held:,})"
    yield from _oddities(drained.damaged, drained.other_versions, drained.other_projects, drained.unreadable)


def _oddities(damaged: int, other_versions: int, other_projects: int, not_ours: int) -> Iterator[str]:
    if damaged:
        yield f"{_count(damaged, 'line')} damaged and lost"
    if other_versions:
        yield f"{_count(other_versions, 'file')} in the format of another version of mixwire, left alone"
    if other_projects:
        yield f"{_count(other_projects, 'file')} of another project, left alone"
    if not_ours:
        yield f"{_count(not_ours, 'file')} not used: not a file of this user's, closed to others"


class _Directory(click.Group):
    """
    Takes its own flags before or behind the directory.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # By itself a group takes what follows its argument for the name of a command.
        flags = list(takewhile(lambda each: each.startswith("-"), args[1:]))
        return super().parse_args(ctx, [*flags, *args[:1], *args[1 + len(flags) :]])


_State: TypeAlias = Literal["held", "interrupted", "unknown", "rejected"]
"""
The section in which a message is; *interrupted* is held, and a request with it was begun of which no end is noted.
"""

_STATES: Final[tuple[_State, ...]] = get_args(_State)
_one_state: Final = click.option("--state", type=click.Choice(_SECTIONS), help="Only messages in this state.")


@frozen
class _Look:
    """
    What the commands about one directory share.
    """

    directory: Path
    disk: Disk

    def open(self) -> Disk:
        with _mistakes(self.directory):
            self.disk.open()
        return self.disk


@frozen(kw_only=True)
class _Figures:
    held: Mapping[str, int]
    interrupted: Mapping[str, int]
    unknown: Mapping[str, int]
    rejected: Mapping[str, int]
    files: int
    size_bytes: int
    oldest_age_seconds: float | None
    damaged: int
    other_versions: int
    other_projects: int | None
    unreadable: int
    projects: int
    delivering: bool

    @property
    def is_sound(self) -> bool:
        return not (self.damaged or self.other_versions or self.unreadable)


@click.group(cls=_Directory, invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@_DIRECTORY
@json_option
@click.pass_context
def spool(context: click.Context, directory: Path, *, as_json: bool) -> None:
    """
    Look into a directory of stored messages: how many there are by state and endpoint, and whether all can be read.

    Messages are held (to be delivered), unknown (perhaps applied, and not sent again because they would count twice) or
    rejected (the server will not take them). Held ones that are interrupted were being sent: unless somebody is
    delivering them now, they are as good as unknown. A directory of dead letters holds rejected ones.
    """
    disk = Disk(os.path.abspath(directory), makes=False)  # noqa: PTH100  # as given, links and all
    context.call_on_close(disk.close)
    context.obj = look = _Look(directory, disk)
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json is for the figures alone")
        return
    with _mistakes(directory):
        figures = _figures(look.open())
    if as_json:
        say(json.dumps(asdict(figures)))
    else:
        _tell(figures)
    sys.exit(0 if figures.is_sound else 1)


def _figures(disk: Disk) -> _Figures:
    surveys: dict[Section, Survey] = {section: _survey(disk, section) for section in _SECTIONS}
    counts: dict[_State, Counter[str]] = {state: Counter() for state in _STATES}
    for section, found in surveys.items():
        for (endpoint, state), count in found.counts.items():
            if state != "settled":
                counts[_state_of(section, state)][endpoint.name.lower()] += count
    ages = [each.oldest_age_seconds for each in surveys.values() if each.oldest_age_seconds is not None]
    project = _known_project()
    return _Figures(
        **{state: dict(sorted(each.items())) for state, each in counts.items()},
        files=sum(each.segments for each in surveys.values()),
        size_bytes=sum(each.size_bytes for each in surveys.values()),
        oldest_age_seconds=max(ages, default=None),
        damaged=sum(each.damaged for each in surveys.values()),
        other_versions=sum(len(each.other_versions) for each in surveys.values()),
        other_projects=None
        if project is None
        else sum(_survey(disk, section, project).other_projects for section in _SECTIONS),
        unreadable=sum(unreadable(disk, section) for section in _SECTIONS),
        projects=len({each for section in _SECTIONS for each in projects(disk, section)}),
        delivering=is_taken(disk, "held"),
    )


def _tell(figures: _Figures) -> None:
    age = figures.oldest_age_seconds
    oldest = "" if age is None else f", the oldest begun {_duration(age)} ago"
    say(f"{_count(figures.files, 'file')}, {_count(figures.size_bytes, 'byte')}{oldest}")
    by_state: dict[_State, Mapping[str, int]] = {
        "held": figures.held,
        "interrupted": figures.interrupted,
        "unknown": figures.unknown,
        "rejected": figures.rejected,
    }
    for state, counts in by_state.items():
        if counts or state != "interrupted":
            routes = ", ".join(f"{count:,} {name}" for name, count in counts.items())
            say(f"{sum(counts.values()):,} {state}" + (f": {routes}" if routes else ""))
    say("somebody is delivering it" if figures.delivering else "nobody is delivering it")
    if figures.projects > 1:
        say(f"messages of {figures.projects:,} projects")
    if figures.other_projects:
        say(f"{_count(figures.other_projects, 'file')} of another project than the one of the settings")
    for sentence in _oddities(figures.damaged, figures.other_versions, 0, figures.unreadable):
        say(sentence, err=True)


@spool.command("list")
@_one_state
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="How many.")
@click.pass_obj
def list_messages(look: _Look, state: Section | None, limit: int) -> None:
    """
    One line for each message: its state, endpoint, time, whether it may be repeated, its size, and why it is kept.

    Nothing of its content and nobody's id is shown.
    """
    with _mistakes(look.directory):
        found = _messages(look.open(), state)
        for shown_as, each in islice(found, limit):
            say(_line(shown_as, each))
        if next(found, None) is not None:
            say(f"There are more than {limit:,}: see --limit.", err=True)


@spool.command()
@_one_state
@click.pass_obj
def export(look: _Look, state: Section | None) -> None:
    """
    Print the messages with all they hold, one JSON object a line.

    What is unknown or rejected also has its state, cause, field and reason.
    """
    # Only who reads or writes lines pays for loading cattrs.
    from .core import message_to_line

    if sys.stdout is None:
        raise click.UsageError("standard output is closed")
    output = sys.stdout.buffer
    with _mistakes(look.directory):
        for shown_as, each in _messages(look.open(), state):
            line = message_to_line(each.message)
            if each.note is not None:
                why = {"state": shown_as, **asdict(each.note)}
                line = line[:-1] + b"," + json.dumps(why).encode()[1:]
            _write(output, line + b"\n")
        _write(output)


@spool.command("requeue")
@click.option("--state", required=True, type=click.Choice(["unknown", "rejected"]), help="Which messages.")
@token_option
@config_option
@click.pass_obj
def put_back(look: _Look, state: Literal["unknown", "rejected"], token: str | None, config: Path | None) -> None:
    """
    Put messages back among those to be delivered; "mixwire drain" delivers them then.

    Unknown ones may have been applied: those that add or append may then count twice.
    """
    disk = look.open()
    settings = settings_from(Settings(token=token), config)
    project = None
    if settings.token is not None:
        with _usage():
            project = project_of(settings)
    elif projects(disk, state):
        raise click.UsageError(
            "These messages belong to a project: give its token with --token, MIXWIRE_TOKEN or --config."
        )
    found = _survey(disk, state, None if project is None else fingerprint(project))
    if found.other_projects and not found.counts:
        raise click.UsageError("These messages belong to another project.")
    with _mistakes(look.directory):
        done = requeue(look.directory, state, project) if _left(found) else Upkeep()
    if done.unrepeatable and state == "unknown":
        say(f"{_count(done.unrepeatable, 'message')} may count twice, if applied before", err=True)
    _conclude(look, state, done, "requeued")


@spool.command("discard")
@click.option("--state", required=True, type=click.Choice(_SECTIONS), help="Which messages.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def throw_away(look: _Look, state: Section, *, yes: bool) -> None:
    """
    Throw messages away for ever, of whatever project. Asks first.
    """
    count = _left(_survey(look.open(), state))
    if count and not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise click.UsageError("--yes is needed where nobody can be asked.")
        if not click.confirm(f"Throw away {_count(count, 'message')} for ever?", err=True):
            say("0 discarded")
            sys.exit(1)
    with _mistakes(look.directory):
        done = discard(look.directory, state) if count else Upkeep()
    _conclude(look, state, done, "discarded")


def _conclude(look: _Look, state: Section, done: Upkeep, verb: str) -> None:
    left = _left(_survey(look.disk, state))
    if done.is_taken:
        say("another process is delivering or clearing up these messages", err=True)
    if done.trouble:
        say(f"it was broken off: {done.trouble}", err=True)
    if left and not done.is_taken:
        say(f"{_count(left, 'message')} left where they were", err=True)
    say(f"{done.count:,} {verb}")
    sys.exit(1 if left or done.trouble or done.is_taken else 0)


def _write(output: BinaryIO, line: bytes = b"") -> None:
    """
    Print a line of an export, or without one make sure that all of them are printed.
    """
    try:
        if line:
            output.write(line)
        else:
            output.flush()
    except OSError as error:
        # What stands in its buffer would fail once more when the process ends.
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), output.fileno())
        # Who closed the other end of a pipe knows that.
        if error.errno != EPIPE:
            say(f"the messages could not be written: {error.strerror}", err=True)
        sys.exit(1)


def _messages(disk: Disk, state: Section | None) -> Iterator[tuple[_State, Kept]]:
    for section in _SECTIONS if state is None else (state,):
        for each in kept(disk, section):
            if each.state != "settled":
                yield _state_of(section, each.state), each


def _state_of(section: Section, state: str) -> _State:
    return "interrupted" if section == "held" and state == "interrupted" else section


def _line(state: _State, each: Kept) -> str:
    message = each.message
    repeats = "repeatable" if message.repeatable else "not repeatable"
    why = "" if each.note is None else f"  {_without_token(_why(each.note), message)}"
    return (
        f"{state:11}  {message.endpoint.name.lower():6}  {_moment(message.time):24}  {repeats:14}  "
        f"{len(message.body):>9,} bytes{why}"
    )


def _moment(time_ms: int | None) -> str:
    if time_ms is None:
        return "-"
    try:
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _why(note: Note) -> str:
    # A later version may know more causes.
    cause = Cause[note.cause].value if note.cause in Cause.__members__ else note.cause
    return ": ".join(each for each in (cause, note.field, note.reason) if each)


def _without_token(text: str, message: Message) -> str:
    """
    What a server said, without the token that it may have repeated.
    """
    record = message.to_wire()
    properties = record.get("properties")
    token = properties.get("token") if isinstance(properties, dict) else record.get("$token")
    return masked(text, [token]) if isinstance(token, str) else text


def _survey(disk: Disk, section: Section, project: str | None = None) -> Survey:
    return survey(disk, section, project, milliseconds_now())


def _left(found: Survey) -> int:
    return sum(count for (_, state), count in found.counts.items() if state != "settled")


def _known_project() -> str | None:
    settings = settings_from(Settings(), None)
    with suppress(InvalidValue):
        return fingerprint(project_of(settings))
    return None


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return _count(int(seconds // size), name)
    return _count(int(seconds), "second")


def _count(count: int, name: str) -> str:
    return f"{count:,} {name}" + ("" if count == 1 else "s")


def _reasons(counts: Mapping[str, int]) -> str:
    """
    Reasons with how often each came up, the most frequent first.
    """
    first = Counter(counts).most_common(_MOST_REASONS)
    told = ", ".join(f"{reason} ({count:,})" for reason, count in first)
    rest = len(counts) - len(first)
    return told + (f", and {_count(rest, 'other reason')}" if rest else "")


@contextmanager
def _usage() -> Generator[None]:
    try:
        yield
    except InvalidValue as fault:
        raise click.UsageError(str(fault)) from None


@contextmanager
def _mistakes(directory: Path) -> Generator[None]:
    """
    What is wrong with a directory is wrong usage, told with its name.
    """
    try:
        yield
    except InvalidValue as fault:
        raise click.UsageError(str(fault.at(str(directory)) if fault.path == "directory" else fault)) from None
    except OSError as error:
        raise click.UsageError(f"{directory} cannot be used: {error.strerror}") from None


@contextmanager
def _progress(name: str) -> Generator[Callable[[int, int], object]]:
    """
    What to tell how many messages of how many are settled: a progress bar where a person is looking.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda settled, there: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda settled, there: progress.update(task, completed=settled, total=there)
