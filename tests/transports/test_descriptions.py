"""
Descriptions say what the constructors take: the same names, the same defaults, the same ranges.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import NOTHING, fields, fields_dict
from attrs.exceptions import FrozenInstanceError

from mixwire.core import InvalidValue, Project
from mixwire.testing.memory import Memory, MemoryTransport
from mixwire.transports.descriptions import Buffered, Fallback, File, Logging, Null, Sync, Tee
from mixwire.transports.fallback import FallbackTransport
from mixwire.transports.log import LoggingTransport
from mixwire.transports.null import NullTransport
from mixwire.transports.spool_settings import SpoolSettings
from mixwire.transports.sync import SyncTransport
from mixwire.transports.tee import TeeTransport

PROJECT = Project("T0")
NO_DATA = {"project", "post", "now", "clock", "sleep", "pick", "on_outcome", "disk"}
"""Arguments that are no data."""
OF_THE_PROJECT = {"server"}
"""Keys that change the project instead."""


def buffered() -> Any:
    from mixwire.transports.buffered import BufferedTransport

    return BufferedTransport


def file() -> Any:
    from mixwire.transports.file import FileTransport

    return FileTransport


CONSTRUCTORS: list[tuple[type, Callable[[], Any]]] = [
    (Sync, lambda: SyncTransport),
    (Buffered, buffered),
    (File, file),
    (File, lambda: SpoolSettings),
    (Logging, lambda: LoggingTransport),
    (Null, lambda: NullTransport),
    (Memory, lambda: MemoryTransport),
    (Tee, lambda: TeeTransport),
    (Fallback, lambda: FallbackTransport),
]
IDS = [f"{kind.__name__}-{number}" for number, (kind, _) in enumerate(CONSTRUCTORS)]


@pytest.mark.parametrize(("kind", "constructor"), CONSTRUCTORS, ids=IDS)
def test_the_keys_are_the_arguments_that_are_data_with_their_defaults(
    kind: Any, constructor: Callable[[], Any]
) -> None:
    arguments = {
        name: NOTHING if argument.default is argument.empty else argument.default
        for name, argument in inspect.signature(constructor()).parameters.items()
        # The clock of a transport is no data, the name of SyncTransport's `sleep` neither.
        if name not in NO_DATA
    }
    keys = {each.name: each.default for each in fields(kind) if each.name not in OF_THE_PROJECT}
    assert keys == arguments


# What a constructor refuses, its description refuses: nothing of that is left for `build`.

NUMBERS = [-1, 0, 1, 4, 5, 2_000, 2_001, 3_600, 3_601, 10_000_000, 10_000_001, 10**9, 10**9 + 1, 2**50, 2**50 + 1]
FLOATS = [-0.5, 0.25, 3_600.5, float("nan"), float("inf"), float("-inf")]
OTHERS = ["x", "", "a\0b", "eu", "drop", "block", "spill", "always", "refuse", "drop_oldest", True, None, b"x", []]


def accepts(make: Callable[..., object], **settings: object) -> bool:
    try:
        made = make(**settings)
    except InvalidValue:
        return False
    except (TypeError, ValueError, AttributeError, OSError):
        # A constructor relies on its types being checked; a description does not.
        assert make not in (Sync, Buffered, File, Logging)
        return False
    if hasattr(made, "close"):
        made.close()
    return True


def without_network(kind: Any) -> Callable[..., object]:
    return lambda **settings: kind(PROJECT, post=lambda _request: None, **settings)


@pytest.mark.parametrize(
    ("kind", "constructor", "names"),
    [
        (
            Sync,
            lambda: without_network(SyncTransport),
            "max_tries at_least_once max_messages max_bytes deadline_seconds",
        ),
        (Sync, lambda: lambda **settings: SyncTransport(PROJECT, **settings), "connect_timeout_seconds"),
        (Sync, lambda: lambda **settings: SyncTransport(PROJECT, **settings), "request_timeout_seconds"),
        (
            Buffered,
            lambda: without_network(buffered()),
            """
            max_tries at_least_once max_messages max_bytes flush_after_seconds max_held_messages max_held_bytes
            block_seconds max_in_flight exit_seconds close_seconds when_full
            """,
        ),
        (Logging, lambda: LoggingTransport, "level"),
    ],
    ids=["sync", "sync connect", "sync request", "buffered", "logging"],
)
def test_what_the_constructor_refuses_the_description_refuses(
    kind: Any, constructor: Callable[[], Callable[..., object]], names: str
) -> None:
    make = constructor()
    for name in names.split():
        for value in (*NUMBERS, *FLOATS, *OTHERS):
            if accepts(kind, **{name: value}):
                assert accepts(make, **{name: value}), f"{name}={value!r}"


@pytest.mark.parametrize("name", [each.name for each in fields(File) if each.name != "directory"])
def test_what_a_spool_refuses_its_description_refuses(name: str, tmp_path: Path) -> None:
    from mixwire.transports.spool import Spool

    for value in (*NUMBERS, *FLOATS, *OTHERS):
        if accepts(File, directory="x", **{name: value}):
            assert accepts(lambda **settings: Spool(tmp_path / "spool", **settings), **{name: value}), repr(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Sync(max_tries=0), "max_tries must be at least 1, not 0"),
        (lambda: Sync(max_messages=2001), "max_messages must be at most 2,000 messages, not 2,001"),
        (lambda: Sync(max_bytes=0), "max_bytes must be at least 1, not 0"),
        (lambda: Sync(at_least_once=1), "at_least_once must be True or False, not int"),  # type: ignore[arg-type]
        (lambda: Sync(compress="yes"), "compress must be True or False, not str"),  # type: ignore[arg-type]
        (lambda: Sync(deadline_seconds=0), "deadline_seconds must be more than 0, or None, not 0"),
        (lambda: Sync(deadline_seconds=float("inf")), "deadline_seconds must be more than 0, or None, not inf"),
        (
            lambda: Sync(deadline_seconds="5"),  # type: ignore[arg-type]
            "deadline_seconds must be a number of seconds or None, not str",
        ),
        (lambda: Sync(deadline_seconds=True), "deadline_seconds must be a number of seconds or None, not bool"),
        (
            lambda: Sync(connect_timeout_seconds=3601),
            "connect_timeout_seconds must be more than 0 and at most 3,600 seconds, not 3,601",
        ),
        (
            lambda: Sync(request_timeout_seconds=10**400),
            "request_timeout_seconds must be more than 0 and at most 3,600 seconds, not a number of many digits",
        ),
        (lambda: Sync(server="mars"), "server must be 'us', 'eu', 'in', https://host[:port], or"),
        (lambda: Sync(server=5), "server must be 'us', 'eu', 'in', https://host[:port], or"),  # type: ignore[arg-type]
        (lambda: Sync(ca_file=""), "ca_file must be a path, not empty"),
        (lambda: Sync(dead_letters="a\0b"), "dead_letters must be a path, not one with a NUL"),
        (lambda: Buffered(max_in_flight=5), "max_in_flight must be from 1 to 4, not 5"),
        (
            lambda: Buffered(max_held_bytes=10**30),
            "max_held_bytes must be from 1 to 1,125,899,906,842,624, not a number",
        ),
        (lambda: Buffered(exit_seconds=-1), "exit_seconds must be at least 0 and at most 3,600 seconds, not -1"),
        (
            lambda: Buffered(when_full="burst"),
            "when_full must be one of 'drop', 'block', 'pace', 'spill', not another value",
        ),  # type: ignore[arg-type]
        (
            lambda: Buffered(when_full="spill"),
            "when_full must be 'drop', 'block' or 'pace' where there is no spool, not 'spill'",
        ),
        (
            lambda: Buffered(spool="x", max_tries=5),
            "max_tries must be None with a spool, which keeps messages until they are delivered, not given",
        ),
        (lambda: Buffered(spool=5), "spool must be a path, a str, not int"),  # type: ignore[arg-type]
        (lambda: File(directory=""), "directory must be a path, not empty"),
        (lambda: File(directory="x", max_bytes=0), "max_bytes must be at least 1, not 0"),
        (lambda: File(directory="x", max_segment_bytes=1.5), "max_segment_bytes must be an int, not float"),  # type: ignore[arg-type]
        (lambda: File(directory="x", sync="often"), "sync must be one of 'always', 'interval', 'never', not another"),  # type: ignore[arg-type]
        (lambda: Logging(logger=5), "logger must be a str, not int"),  # type: ignore[arg-type]
        (
            lambda: Logging(level="loud"),
            "level must be the number of a level, or one of the names 'CRITICAL', 'DEBUG', ",
        ),
        (lambda: Logging(level=1.5), "level must be the number of a level, or one of the names "),  # type: ignore[arg-type]
        (lambda: Tee(transports=()), "transports must be at least one transport, not none"),
        (lambda: Tee(transports="sync"), "transports must be a list of descriptions, not str"),  # type: ignore[arg-type]
        (lambda: Fallback(transports=[Null(), "sync"]), "transports[1] must be a description, not str"),  # type: ignore[list-item]
    ],
)
def test_a_fault_is_told_when_the_description_is_made(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        make()
    assert str(refusal.value).startswith(sentence)


def test_a_path_becomes_text() -> None:
    assert File(directory=Path("/var/spool")) == File(directory="/var/spool")  # type: ignore[arg-type]
    assert Sync(ca_file=Path("/ca.pem"), dead_letters=Path("/d")) == Sync(ca_file="/ca.pem", dead_letters="/d")  # type: ignore[arg-type]
    assert Buffered(spool=Path("/var/spool")) == Buffered(spool="/var/spool")  # type: ignore[arg-type]


def test_the_name_of_a_level_becomes_its_number() -> None:
    assert Logging(level="debug") == Logging(level="DEBUG") == Logging(level=10)


def test_descriptions_are_frozen_values() -> None:
    members = [Null(), Sync()]
    tee = Tee(transports=members)  # type: ignore[arg-type]
    members.clear()
    assert tee == Tee(transports=(Null(), Sync()))
    assert hash(tee) == hash(Tee(transports=(Null(), Sync())))
    with pytest.raises(FrozenInstanceError):
        tee.transports = ()  # type: ignore[misc]


def test_fields_of_a_string_are_marked() -> None:
    marks = {
        (kind, each.name, each.metadata["url"]) for kind, _ in CONSTRUCTORS for each in fields(kind) if each.metadata
    }
    assert marks == {(Sync, "server", "host"), (Buffered, "server", "host"), (File, "directory", "path")}
    assert "server" in fields_dict(Sync)
