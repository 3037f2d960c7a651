"""
From plain data to transports: every way to write it, and every fault with its path.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from mixwire.core import InvalidValue, LimitExceeded, Project
from mixwire.testing.memory import Memory, MemoryTransport
from mixwire.transports import Transport
from mixwire.transports.buffered import BufferedTransport
from mixwire.transports.config import (
    Layers,
    build,
    layers_from_environment,
    structure,
    transport_from_environment,
    unstructure,
)
from mixwire.transports.descriptions import Buffered, Description, Fallback, File, Logging, Null, Sync, Tee
from mixwire.transports.fallback import FallbackTransport
from mixwire.transports.file import FileTransport
from mixwire.transports.log import LoggingTransport
from mixwire.transports.null import NullTransport
from mixwire.transports.sync import SyncTransport
from mixwire.transports.tee import TeeTransport

PROJECT = Project("T0")


def short(value: object) -> str:
    return str(value)[:50]


SPOOL = File(directory="/var/spool/app")


@pytest.mark.parametrize(
    ("data", "description"),
    [
        ("sync", Sync()),
        ("sync:", Sync()),
        ({"type": "sync"}, Sync()),
        ('{"type": "sync"}', Sync()),
        ("sync://eu", Sync(server="eu")),
        ("sync:?server=http://127.0.0.1:8080", Sync(server="http://127.0.0.1:8080")),
        (
            "sync://in/?max_tries=3&compress=false&deadline_seconds=2.5",
            Sync(server="in", max_tries=3, compress=False, deadline_seconds=2.5),
        ),
        ("sync:?max_tries=none&deadline_seconds=none", Sync(max_tries=None, deadline_seconds=None)),
        ({"type": "sync", "max_tries": None, "deadline_seconds": "none"}, Sync(max_tries=None, deadline_seconds=None)),
        ("sync:?max_bytes=1_000_000&at_least_once=True", Sync(max_bytes=1_000_000, at_least_once=True)),
        ("sync:?deadline_seconds=1e1", Sync(deadline_seconds=10.0)),
        ("sync:?ca_file=none", Sync(ca_file="none")),
        (
            {"type": "sync", "deadline_seconds": 5, "ca_file": Path("/ca.pem")},
            Sync(deadline_seconds=5.0, ca_file="/ca.pem"),
        ),
        (
            "buffered://eu?flush_after_seconds=2&spool=/var/spool/app",
            Buffered(server="eu", flush_after_seconds=2.0, spool="/var/spool/app"),
        ),
        (
            {"type": "buffered", "server": "eu", "spool": "/var/spool/app"},
            Buffered(server="eu", spool="/var/spool/app"),
        ),
        ({"type": "buffered", "spool": Path("/var/spool/app")}, Buffered(spool="/var/spool/app")),
        ({"type": "buffered", "spool": {"directory": "/var/spool/app"}}, Buffered(spool=SPOOL)),
        ({"type": "buffered", "spool": SPOOL, "background": False}, Buffered(spool=SPOOL, background=False)),
        (
            "buffered:?spool.directory=/x&spool.sync=never&when_full=block",
            Buffered(spool=File(directory="/x", sync="never"), when_full="block"),
        ),
        ('buffered:?spool={"directory":"/var/spool/app"}', Buffered(spool=SPOOL)),
        ("file:///var/spool/app?sync=always", File(directory="/var/spool/app", sync="always")),
        ("file:spool?max_age_seconds=none&when_full=drop_oldest", File(directory="spool", when_full="drop_oldest")),
        ("file:?directory=/var/spool/app", SPOOL),
        ("logging:?level=10", Logging(level=10)),
        ("logging:?level=warning&include_body=true&logger=", Logging(level=30, include_body=True, logger="")),
        ({"type": "logging", "level": "debug"}, Logging(level=10)),
        ("null", Null()),
        ("memory:?max_messages=5", Memory(max_messages=5)),
        ("tee:?transports=null", Tee(transports=(Null(),))),
        ('tee:?transports=["null",{"type":"sync","max_tries":2}]', Tee(transports=(Null(), Sync(max_tries=2)))),
        (
            "fallback:?transports=sync&transports=file%3A%2F%2F%2Fvar%2Fspool%2Fapp",
            Fallback(transports=(Sync(), SPOOL)),
        ),
        (
            {"type": "tee", "transports": ["sync", Null(), {"type": "fallback", "transports": ["sync://eu", "null"]}]},
            Tee(transports=(Sync(), Null(), Fallback(transports=(Sync(server="eu"), Null())))),
        ),
        (SPOOL, SPOOL),
    ],
)
def test_data_becomes_a_description_and_goes_back(data: Any, description: Description) -> None:
    assert structure(data) == description
    assert type(structure(data)) is type(description)
    assert structure(unstructure(description)) == description


def test_defaults_are_left_out_of_the_data() -> None:
    tee = Tee(transports=(Sync(max_tries=None), Buffered(spool=File(directory="/x", sync="always"))))
    assert unstructure(tee) == {
        "type": "tee",
        "transports": [
            {"type": "sync", "max_tries": None},
            {"type": "buffered", "spool": {"directory": "/x", "sync": "always"}},
        ],
    }


def test_the_data_is_not_changed_and_not_kept() -> None:
    inner = {"type": "sync"}
    data = {"type": "tee", "transports": [inner, "null"]}
    description = structure(data)
    assert data == {"type": "tee", "transports": [{"type": "sync"}, "null"]}
    inner["max_tries"] = "3"
    assert description == Tee(transports=(Sync(), Null()))


FORMS = "a tag such as 'buffered', a string such as 'file:///var/spool/app?sync=always', or a JSON object"
TAGS = "'buffered', 'fallback', 'file', 'logging', 'memory', 'null', 'sync', 'tee'"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (5, "transport must be a table, or a str such as 'buffered', not int"),
        (None, "transport must be a table, or a str such as 'buffered', not missing"),
        (
            SyncTransport,
            "transport must be a table, or a str such as 'buffered', not a class, of which one must be made",
        ),
        (Sync, "transport must be a table, or a str such as 'buffered', not a class, of which one must be made"),
        ([], "transport must be a table, or a str such as 'buffered', not list"),
        ("[]", "transport must be a table, not list"),
        ("", f"transport must be {FORMS}, not empty"),
        ("{", "transport must be JSON, not broken at character 2"),
        ({5: "x", "type": "sync"}, "transport must be a table whose keys are str, not one with a key that is int"),
        ({}, "transport.type must be given: the tag of a transport, not missing"),
        ({"type": None}, "transport.type must be given: the tag of a transport, not missing"),
        ({"type": 5}, "transport.type must be a str, not int"),
        ("snyc", f"transport.type must be one of the known tags: {TAGS}, not an unknown one (perhaps 'sync')"),
        (
            "https://me:secret@example.com",
            "transport must be without a user or a password, which belong to the project",
        ),
        ("https://example.com/?secret=x", f"transport.type must be one of the known tags: {TAGS}, not an unknown one"),
        (
            "spool:///var/spool/app",
            f"transport.type must be one of the known tags: {TAGS}, not an unknown one (perhaps 'file')",
        ),
        ("sync:?type=file", "transport.type must be given once, before the colon, not again as a key"),
        ("sync://eu?server=us", "transport.server must be given once: as the host or as a key, not twice"),
        ("file:///x?directory=y", "transport.directory must be given once: as the path or as a key, not twice"),
        ("sync:/eu", "transport must be without a path for 'sync', whose keys follow a question mark, not with one"),
        (
            "file://host/x",
            (
                "transport must be without a host for 'file', whose path begins with a third slash "
                "(file:///var/spool/app), not with one"
            ),
        ),
        ("null://eu/", "transport must be without a host for 'null', whose keys follow a question mark, not with one"),
        (
            "sync://mars",
            "transport.server must be 'us', 'eu', 'in', https://host[:port], or http://host[:port] on loop",
        ),
        ({"type": "null", "x": 1}, "transport.x must be left out, not an unknown one"),
        (
            {"type": "memory", "max_mesages": 1},
            "transport.max_mesages must be one of the known keys: max_messages, not an unknown one (perhaps 'max_messa",
        ),
        (
            {"type": "memory", "x y": 1},
            "transport['x y'] must be one of the known keys: max_messages, not an unknown one",
        ),
        ({"type": "memory", "x" * 99: 1}, f"transport['{'x' * 60}'] must be one of the known keys: max_messages, not"),
        ({"type": "sync", "max_tries": "3"}, "transport.max_tries must be an int or None, not str"),
        ({"type": "sync", "max_tries": 3.0}, "transport.max_tries must be an int or None, not float"),
        ({"type": "sync", "max_messages": True}, "transport.max_messages must be an int, not bool"),
        ({"type": "sync", "max_messages": None}, "transport.max_messages must be an int, not missing"),
        ({"type": "sync", "max_messages": {}}, "transport.max_messages must be an int, not a table"),
        ({"type": "sync", "max_messages": 2001}, "transport.max_messages must be at most 2,000 messages, not 2,001"),
        ({"type": "sync", "compress": 1}, "transport.compress must be true or false, not int"),
        ({"type": "sync", "compress": "true"}, "transport.compress must be true or false, not str"),
        ({"type": "sync", "deadline_seconds": "2"}, "transport.deadline_seconds must be a number or None, not str"),
        ({"type": "sync", "server": 5}, "transport.server must be a str or None, not int"),
        ("sync:?max_messages=2.0", "transport.max_messages must be an int, not another text"),
        ("sync:?max_messages=", "transport.max_messages must be an int, not empty"),
        ("sync:?max_messages=" + "9" * 5000, "transport.max_messages must be an int, not another text"),
        ("sync:?max_messages=1&max_messages=2", "transport.max_messages must be an int, not list"),
        ("sync:?max_messages.x=1", "transport.max_messages must be an int, not a table"),
        ("sync:?compress=yes", "transport.compress must be true or false, not another text"),
        ("sync:?deadline_seconds=inf", "transport.deadline_seconds must be a number or None, not another text"),
        ("sync:?deadline_seconds=1e999", "transport.deadline_seconds must be more than 0, or None, not inf"),
        ("sync:?ca_file=", "transport.ca_file must be a path, not empty"),
        ("logging:?level=loud", "transport.level must be the number of a level, or one of the names 'CRITICAL',"),
        ("file:", "transport.directory must be given, not missing"),
        ("file:///x%00", "transport.directory must be a path, not one with a NUL"),
        (
            {"type": "buffered", "spool": {"directory": "/x", "sync": "often"}},
            "transport.spool.sync must be one of 'always', 'interval', 'never', not another value",
        ),
        (
            "buffered:?spool.directory=/x&spool.snyc=never",
            "transport.spool.snyc must be one of the known keys: directory,",
        ),
        ({"type": "buffered", "spool": 5}, "transport.spool must be a str or a table or None, not int"),
        ({"type": "buffered", "spool": {"sync": "never"}}, "transport.spool.directory must be given, not missing"),
        (
            {"type": "buffered", "when_full": 5},
            "transport.when_full must be one of 'drop', 'block', 'pace', 'spill' or None, not",
        ),
        (
            "buffered:?when_full=spill",
            "transport.when_full must be 'drop', 'block' or 'pace' where there is no spool, not 'spill'",
        ),
        ({"type": "tee"}, "transport.transports must be given, not missing"),
        ({"type": "tee", "transports": "sync"}, "transport.transports must be a list, not str"),
        ({"type": "tee", "transports": []}, "transport.transports must be at least one transport, not none"),
        ({"type": "tee", "transports": ["sync", 5]}, "transport.transports[1] must be a table, or a str such as"),
        ("tee:?transports=sync%3Amax", "transport.transports[0] must be without a path for 'sync', whose keys follow"),
        (
            {"type": "tee", "transports": ["sync", {"type": "tee", "transports": ["null", {"type": "nul"}]}]},
            f"transport.transports[1].transports[1].type must be one of the known tags: {TAGS}, not an unknown one (pe",
        ),
    ],
    ids=short,
)
def test_a_fault_is_told_with_its_path_and_what_is_known(data: Any, sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        structure(data)
    assert str(refusal.value).startswith(sentence)
    assert "secret" not in str(refusal.value)


def test_a_limit_that_is_exceeded_stays_one() -> None:
    with pytest.raises(LimitExceeded):
        structure({"type": "sync", "max_messages": 2001})


def test_data_that_has_no_end_is_refused() -> None:
    data: dict[str, Any] = {"type": "tee"}
    data["transports"] = [data]
    with pytest.raises(InvalidValue, match=r"^transport must be nested less deeply, not so deep$"):
        structure(data)


# The environment


@pytest.mark.parametrize(
    ("environment", "description"),
    [
        ({}, None),
        ({"MIXWIRE_TOKEN": "T0", "MIXWIRE_TRANSPORTS": "x"}, None),
        ({"MIXWIRE_TRANSPORT": "sync"}, Sync()),
        ({"MIXWIRE_TRANSPORT": "buffered://eu?max_bytes=5"}, Buffered(server="eu", max_bytes=5)),
        ({"MIXWIRE_TRANSPORT": '{"type": "file", "directory": "/var/spool/app"}'}, SPOOL),
        (
            {
                "MIXWIRE_TRANSPORT": "buffered://eu?max_bytes=5",
                "MIXWIRE_TRANSPORT_MAX_BYTES": "6",
                "MIXWIRE_TRANSPORT_COMPRESS": "false",
            },
            Buffered(server="eu", max_bytes=6, compress=False),
        ),
        (
            {"MIXWIRE_TRANSPORT": "buffered", "MIXWIRE_TRANSPORT_SPOOL": '{"directory": "/var/spool/app"}'},
            Buffered(spool=SPOOL),
        ),
        (
            {"MIXWIRE_TRANSPORT": "tee", "MIXWIRE_TRANSPORT_TRANSPORTS": '["null", "sync"]'},
            Tee(transports=(Null(), Sync())),
        ),
        ({"MIXWIRE_TRANSPORT": "tee", "MIXWIRE_TRANSPORT_TRANSPORTS": "sync"}, Tee(transports=(Sync(),))),
        ({"MIXWIRE_TRANSPORT_TYPE": "sync", "MIXWIRE_TRANSPORT_MAX_TRIES": "none"}, Sync(max_tries=None)),
    ],
    ids=short,
)
def test_variables_become_a_description(environment: dict[str, str], description: Description | None) -> None:
    assert transport_from_environment(environment) == description


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"MIXWIRE_TRANSPORT": ""}, f"transport must be {FORMS}, not empty"),
        (
            {"MIXWIRE_TRANSPORT_MAX_BYTES": "5"},
            "transport must be given as a whole, because MIXWIRE_TRANSPORT_MAX_BYTES is only one key of it, not missin",
        ),
        (
            {"MIXWIRE_TRANSPORT": "sync", "MIXWIRE_TRANSPORT_MAX_BYTES": ""},
            "transport.max_bytes must be an int, not empty",
        ),
        (
            {"MIXWIRE_TRANSPORT": "null", "MIXWIRE_TRANSPORT_MAX_BYTES": "1"},
            "transport.max_bytes must be left out, not",
        ),
        (
            {"MIXWIRE_TRANSPORT": "buffered", "MIXWIRE_TRANSPORT_SPOOL": "{"},
            "transport.spool must be JSON, not broken at",
        ),
    ],
    ids=short,
)
def test_a_fault_in_a_variable_is_told(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        transport_from_environment(environment)
    assert str(refusal.value).startswith(sentence)


def test_single_keys_lie_over_whatever_says_the_whole() -> None:
    keys = layers_from_environment({"MIXWIRE_TRANSPORT_MAX_BYTES": "6"})
    for data in ({"type": "sync", "max_bytes": 5}, "sync:?max_bytes=5", Sync(max_bytes=5)):
        assert keys.over(Layers(data=data)).description() == Sync(max_bytes=6)
    more = layers_from_environment({"MIXWIRE_TRANSPORT_MAX_BYTES": "7", "MIXWIRE_TRANSPORT_MAX_TRIES": "2"})
    assert keys.over(more).over(Layers(data="sync")).description() == Sync(max_bytes=6, max_tries=2)


def test_the_whole_hides_what_lies_under_it() -> None:
    whole = layers_from_environment({"MIXWIRE_TRANSPORT": "sync"})
    assert whole.over(Layers(data="null", texts={"x": "y"})).description() == Sync()
    assert Layers().over(Layers()).description() is None


# Building


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("sync", SyncTransport),
        ("logging", LoggingTransport),
        ("null", NullTransport),
        ("memory", MemoryTransport),
        ("tee:?transports=null&transports=memory", TeeTransport),
        ({"type": "fallback", "transports": [Null(), "memory"]}, FallbackTransport),
        (Null(), NullTransport),
    ],
    ids=short,
)
def test_what_is_described_is_built(data: Any, kind: type[Transport]) -> None:
    with build(data, PROJECT) as transport:
        assert type(transport) is kind


def test_a_spool_is_opened_with_all_that_is_said_about_it(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    data = {"type": "file", "directory": str(directory), "max_bytes": 5_000, "when_full": "drop_oldest"}
    with build(data, PROJECT) as transport:
        assert isinstance(transport, FileTransport)
        assert directory.is_dir()
        assert (transport._spool._max_bytes, transport._spool._when_full) == (5_000, "drop_oldest")


def test_a_buffered_transport_is_built_with_its_spool(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    table = {"directory": str(directory), "max_bytes": 5_000}
    with build({"type": "buffered", "server": "eu", "max_bytes": 7_000, "spool": table}, PROJECT) as transport:
        assert isinstance(transport, BufferedTransport)
        assert directory.is_dir()
        assert transport._spool is not None
        assert (transport._spool._max_bytes, transport._limits.max_bytes) == (5_000, 7_000)
        assert transport._project.server == "https://api-eu.mixpanel.com"


def test_what_builds_something_else_is_refused() -> None:
    @frozen
    class Odd:
        def build(self, project: Project) -> str:
            return project.token

    with pytest.raises(InvalidValue) as refusal:
        build(Odd(), PROJECT)  # type: ignore[arg-type]
    assert str(refusal.value) == "transport must be a description that builds a transport, as Odd should, not str"


def test_members_are_built_in_order() -> None:
    tee = build("tee:?transports=null&transports=memory&transports=null", PROJECT)
    assert isinstance(tee, TeeTransport)
    assert [type(each) for each in tee.transports] == [NullTransport, MemoryTransport, NullTransport]


def test_a_server_of_its_own_changes_nothing_else_of_the_project() -> None:
    project = Project("T0", server="us", events="import", limits="off")
    transport = build("sync://eu", project)
    assert isinstance(transport, SyncTransport)
    assert transport._project == Project("T0", server="eu", events="import", limits="off")
    assert project.server == "https://api.mixpanel.com"


def test_structuring_opens_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    structure({"type": "tee", "transports": [f"file:{directory}", f"buffered:?spool={directory}"]})
    assert not directory.exists()


@pytest.mark.parametrize("project", [None, "T0"])
def test_the_project_must_be_one(project: object) -> None:
    with pytest.raises(InvalidValue, match=r"^project must be Project\(\.\.\.\), not (NoneType|None|str)$"):
        build("null", project)  # type: ignore[arg-type]


def test_what_only_the_world_can_tell_is_told_with_its_path_when_it_is_built(tmp_path: Path) -> None:
    description = structure({"type": "tee", "transports": ["null", {"type": "sync", "ca_file": str(tmp_path)}]})
    with pytest.raises(InvalidValue) as refusal:
        build(description, PROJECT)
    assert str(refusal.value) == (
        "transport.transports[1].ca_file must be a readable file of certificates in PEM form, not something else"
    )


def test_when_one_cannot_be_built_those_before_it_are_closed(tmp_path: Path) -> None:
    built: list[Transport] = []

    @frozen
    class Watched:
        def build(self, project: Project) -> Transport:
            built.append(MemoryTransport())
            return built[-1]

    for kind in (Tee, Fallback):
        with pytest.raises(InvalidValue):
            build(kind(transports=(Watched(), Watched(), Sync(ca_file=str(tmp_path)))), PROJECT)
    assert [transport._is_closed for transport in built] == [True] * 4  # type: ignore[attr-defined]
    transport = build(Tee(transports=(Watched(),)), PROJECT)
    assert not built[-1]._is_closed  # type: ignore[attr-defined]
    transport.close()


def test_importing_the_transports_loads_no_cattrs() -> None:
    code = "import mixwire.transports, sys; print('cattrs' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "False\n"
