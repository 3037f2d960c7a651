"""
Real events from a file travel through the typed core over real HTTP, each once, as the file has them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mixwire.core import JSON
from mixwire.testing import ServerTracking
from mixwire.testing.state import Fate
from mixwire.testing.validation import milliseconds

if TYPE_CHECKING:
    from conftest import Arrivals

HERE = Path(__file__).parent
SAMPLE = HERE / "data" / "events.ndjson"
# Real events, which lie beside the checkout where they may be used; they are not part of this project.
REAL = HERE.parent.parent / "shared" / "data" / "commits.ndjson"
FILES = [SAMPLE, *([REAL] if REAL.exists() else [])]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIXWIRE_")}
    return subprocess.run(
        [sys.executable, "-m", "mixwire", *arguments], capture_output=True, text=True, check=False, env=environment
    )


def without(properties: dict[str, JSON], names: set[str]) -> dict[str, JSON]:
    return {name: value for name, value in properties.items() if name not in names}


def key(event: dict[str, object]) -> str:
    return json.dumps(event, sort_keys=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_event_of_a_file_arrives_once_with_its_time_and_insert_id(file: Path, arrivals: Arrivals) -> None:
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    sent = run("send", str(file), "--server", arrivals.url, "--token", "T0", "--json")

    figures = {"read": len(events), "delivered": len(events), "rejected": 0, "failed": 0, "unknown": 0}
    assert (sent.returncode, sent.stderr, json.loads(sent.stdout)) == (0, "", figures)
    added = {"token", "mp_lib", "$lib_version"}
    arrived = [
        {**event, "properties": {name: value for name, value in event["properties"].items() if name not in added}}
        for event in arrivals.records("/import")
    ]
    assert sorted(map(key, arrived)) == sorted(map(key, events))
    sizes = [size for _, size in arrivals.batches()]
    assert sizes == [min(2_000, len(events) - start) for start in range(0, len(events), 2_000)]
    assert {path for path, _ in arrivals.batches()} == {"/import"}
    assert all(request.headers["Content-Encoding"] == "gzip" for request in arrivals.requests)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_strict_mixpanel_keeps_every_event_of_a_file_as_it_is_and_once_if_it_is_sent_twice(
    file: Path, mixpanel_server: ServerTracking
) -> None:
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    for _ in range(2):
        assert run("send", str(file), "--server", mixpanel_server.url, "--token", "T0").returncode == 0

    arrived = mixpanel_server.mixpanel.state.events
    assert arrived.forgotten + len(arrived.entries) == 2 * len(events)
    assert {(event.fate, event.notes) for event in arrived.entries} == {(Fate.STORED, ())}
    shown = mixpanel_server.events()
    added = {"mp_lib", "$lib_version", "$import"}
    kept = [{"event": event.name, "properties": without(event.properties, added)} for event in shown]
    in_milliseconds = [
        {**event, "properties": {**event["properties"], "time": milliseconds(event["properties"]["time"])}}
        for event in events
    ]
    assert sorted(map(key, kept)) == sorted(map(key, in_milliseconds))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_checking_a_sound_file_finds_nothing(file: Path) -> None:
    count = len(file.read_bytes().splitlines())

    checked = run("check", str(file), "--json")

    figures = {"read": count, "refused": 0, "with_findings": 0}
    assert (checked.returncode, checked.stderr, json.loads(checked.stdout)) == (0, "", figures)


def test_every_kind_of_operation_in_a_file_arrives_at_its_endpoint(arrivals: Arrivals) -> None:
    file = HERE / "data" / "operations.ndjson"

    sent = run("send", str(file), "--server", arrivals.url, "--token", "T0", "--json")

    assert (sent.returncode, sent.stderr) == (0, "")
    counts = {path: len(arrivals.records(path)) for path in ("/track", "/import", "/engage", "/groups")}
    assert counts == {"/track": 2, "/import": 3, "/engage": 12, "/groups": 3}
    assert json.loads(sent.stdout)["delivered"] == 20


def test_sending_a_file_again_sends_the_same_events(arrivals: Arrivals, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    line = '{"event":"Opened","properties":{"distinct_id":"user-1","time":1767225600}}\n'
    file.write_text(line * 3)
    for _ in range(2):
        assert run("send", str(file), "--server", arrivals.url, "--token", "T0").returncode == 0
    first, second = arrivals.records("/import")[:3], arrivals.records("/import")[3:]
    assert first == second
    assert len({event["properties"]["$insert_id"] for event in first}) == 3
