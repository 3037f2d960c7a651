"""
The README and the pages in docs/ tell the truth: each block of them runs, and so does each row of the migration table.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from attrs import evolve

import mixwire
import mixwire.core
from mixwire import Mixpanel
from mixwire.core import Answer, Request
from mixwire.testing import MemoryTransport
from mixwire.transports import Network

if TYPE_CHECKING:
    from conftest import Arrivals

ROOT = Path(__file__).parent.parent
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
README = PAGES["README.md"]


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page}-{index}")
        for page, text in PAGES.items()
        for index, block in enumerate(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    ]


@pytest.fixture
def mixpanel(arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch) -> Arrivals:
    """
    A server on loopback that stands where Mixpanel is.
    """
    within = Network.within

    def within_loopback(self: Network, request: Request, seconds: float) -> Answer:
        asked = urlsplit(request.url)
        if asked.hostname is not None and asked.hostname.endswith(".mixpanel.com"):
            request = evolve(request, url=f"{arrivals.url}{asked.path}?{asked.query}")
        return within(self, request, seconds)

    monkeypatch.setattr(Network, "within", within_loopback)
    return arrivals


def is_a_test(block: Any) -> bool:
    (text,) = block.values
    return "\ndef test_" in text


@pytest.mark.parametrize("block", [*filter(is_a_test, blocks("python"))])
def test_each_block_that_holds_tests_passes(block: str, request: pytest.FixtureRequest) -> None:
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)

    for name in [name for name in names if name.startswith("test_")]:
        wanted = inspect.signature(names[name]).parameters
        names[name](**{fixture: request.getfixturevalue(fixture) for fixture in wanted})


@pytest.mark.parametrize("block", [*filterfalse(is_a_test, blocks("python"))])
def test_each_python_block_runs(
    block: str, mixpanel: Arrivals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    if "consumer" in names:
        names["consumer"].close()

    said = capsys.readouterr().out.splitlines()
    expected = [
        ("outcome = mp.send", "Outcome(delivered=2, rejected=0, failed=0, unknown=0)", 2),
        ("outcome = transport.send", "Outcome(delivered=1, rejected=0, failed=0, unknown=0)", 1),
        ("on_outcome=print", "Outcome(delivered=1, rejected=0, failed=0, unknown=0)", 1),
        ("mp.people_increment(", None, 2),
        ("mp.people_track_charge(", None, 1),
        ("mp.track(", None, 1),
    ]
    for piece, line, arrived in expected:
        if piece in block:
            assert said[:1] == ([] if line is None else [line])
            assert sum(size for _, size in mixpanel.batches()) == arrived
            return
    assert mixpanel.batches() == []
    assert said == []


def test_the_readme_has_a_first_event_and_typed_values() -> None:
    assert len(blocks("python")) >= 8


@pytest.mark.parametrize("block", blocks("toml"))
def test_each_toml_block_is_a_configuration(block: str, tmp_path: Path) -> None:
    file = tmp_path / "mixwire.toml"
    file.write_text(block.replace("/var/spool/app", str(tmp_path / "spool")), encoding="utf-8")

    with Mixpanel.from_file(file, {"MIXWIRE_ENABLED": "false"}) as mp:
        mp.track("user-1", "Signed Up")
    with Mixpanel.from_file(file, {"MIXWIRE_TRANSPORT": "memory"}) as mp:
        mp.track("user-1", "Signed Up")

    # The whole of it, opened: a spool that holds nothing.
    with Mixpanel.from_file(file, {}):
        assert (tmp_path / "spool").is_dir()


def test_each_variable_of_the_readme_is_read(tmp_path: Path) -> None:
    rows = re.findall(r"^\| (`MIXWIRE_.*?) \| (.*?) \|$", README, re.MULTILINE)
    assert len(rows) == 5
    environment: dict[str, str] = {}
    for names, examples in rows:
        values = re.findall(r"`([^`]+)`", examples)
        for name, value in zip(re.findall(r"`([A-Z_]+)`", names), values, strict=False):
            whole = f"MIXWIRE_SERVICE_ACCOUNT{name}" if name.startswith("_") else name
            environment[whole] = value.replace("/var/spool/app", str(tmp_path / "spool"))
    assert len(environment) == 10
    Mixpanel.from_env(environment).close()
    for name in environment:
        with pytest.raises(mixwire.core.InvalidValue):
            Mixpanel.from_env(environment | {name: "\n"})


@pytest.mark.parametrize("block", blocks("bash"))
def test_each_command_runs(block: str, arrivals: Arrivals, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "data" / "events.ndjson", tmp_path / "events.ndjson")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MIXWIRE_SERVER": arrivals.url}

    done = subprocess.run(
        ["bash", "-c", block], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "events.ndjson").read_text(encoding="utf-8").splitlines()
    assert len(arrivals.records("/import")) == len(lines)


def test_every_block_is_of_a_kind_that_is_run() -> None:
    for page, text in PAGES.items():
        kinds = set(re.findall(r"^```(\w*)\n", text, re.MULTILINE)) - {""}
        # The two of `sh` are what installs this, and what runs this test: `.ci/run` runs them.
        assert kinds <= {"python", "toml", "bash"} | ({"sh"} if page == "README.md" else set()), page


def test_every_link_leads_somewhere() -> None:
    for page, text in PAGES.items():
        folder = ROOT if page == "README.md" else ROOT / "docs"
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (folder / target).exists(), f"{page}: {target}"


# --- the migration table ---------------------------------------------------------------------------------------------


def rows() -> Iterator[tuple[str, str, str]]:
    table = README.partition("| call | typed value")[2]
    for line in table.splitlines()[2:]:
        if not line.startswith("|"):
            return
        call, value, wire = (re.findall(r"`([^`]+)`", cell)[0] for cell in re.split(r" \| ", line.strip("| ")))
        yield call, value, wire


def holds(record: Any, part: Any) -> bool:
    """
    Whether *record* says all that *part* says.
    """
    if isinstance(part, dict):
        return isinstance(record, dict) and all(name in record and holds(record[name], part[name]) for name in part)
    return json.dumps(record) == json.dumps(part)


@pytest.mark.parametrize(("call", "value", "wire"), list(rows()), ids=[row[0].partition("(")[0] for row in rows()])
def test_a_call_its_typed_value_and_its_wire_json_say_the_same(call: str, value: str, wire: str) -> None:
    memory = MemoryTransport()
    mp = Mixpanel("T0", transport=memory, now=lambda: 1767225600000, make_insert_id=lambda: "test-0000000001")

    eval(f"mp.{call}", {"mp": mp})
    mp.send(eval(value, vars(mixwire.core).copy()))

    by_call, by_value = (message.to_wire() for message in memory.messages)
    assert by_call == by_value
    assert holds(by_call, json.loads(wire))


def test_the_migration_table_has_every_call() -> None:
    shown = " ".join(row[0] for row in rows()) + re.findall(r"and `group_set_once`.* alike", README)[0]
    methods = [name for name, each in vars(Mixpanel).items() if callable(each) and not name.startswith("_")]
    ours = {"send", "flush", "close", "stats", "from_env", "from_file", "with_properties"}
    missing = {name for name in set(methods) - ours if not re.search(rf"\b{name}\b", shown)}
    assert missing == set()
