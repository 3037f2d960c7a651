"""
The demo as a person meets it: what it prints, its exit code, and that all of it is what client and server say.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Final

import pytest
from attrs import evolve
from click.testing import CliRunner, Result

from mixwire.commands import mixwire
from mixwire.core import Charge
from mixwire.demo import faults_of
from mixwire.story import Chapter, Played, play, story
from mixwire.testing.faults import Status
from mixwire.testing.server import MixpanelServer
from mixwire.testing.state import Counts, Log, State

MAIN: Final = "from mixwire.cli import main; main()"
STEPS: Final = [step for chapter in story(1_767_225_600_000) for step in chapter.steps]
PATIENCE_SECONDS: Final = 30


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mixwire, ("demo", *arguments))


def figures() -> dict[str, Any]:
    result = run("--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@contextmanager
def kept(*arguments: str) -> Generator[subprocess.Popen[str]]:
    # A test run that was itself started in the background may hand on that Ctrl-C is to be ignored.
    code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"
    command = [sys.executable, "-c", code, "demo", "--keep", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        # Else a test that reads would wait for ever for what does not come.
        guard = threading.Timer(PATIENCE_SECONDS, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            guard.join()
            process.kill()


def get(url: str, path: str) -> bytes:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read()
    finally:
        connection.close()


def test_it_shows_everything_in_80_columns_without_control_characters_and_ends_with_0() -> None:
    command = [sys.executable, "-c", MAIN, "demo"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() and line.isascii() and (line.isprintable() or not line) for line in lines)
    for step in STEPS:
        (line,) = (line for line in lines if line.startswith(f"  {step.sentence} "))
        assert step.expected in line.split()
    for title in (
        "What was sent, and what became of it",
        "The requests that arrived",
        "The events as reports count them",
        "The profiles as they stand",
    ):
        assert title in lines
    assert "9 accepted, 8 delivered, 1 rejected, 0 failed, 0 unknown, 0 dropped, 0 held" in lines
    assert lines[-1] == '        mp.track("user-1", "Signed Up", {"plan": "pro"})'


def test_a_narrow_terminal_gets_all_of_it_in_more_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    result = run()
    assert result.exit_code == 0
    tables = result.stdout.partition("The log of the client")[0]
    assert max(map(len, tables.splitlines())) <= 50
    assert set(" ".join(step.sentence for step in STEPS).split()) <= set(tables.split())


def test_a_message_that_was_sent_again_and_one_that_was_refused_say_why() -> None:
    lines = run().stdout.splitlines()
    assert [line.split("  ")[-1].strip() for line in lines if line.startswith("  user-1 pays")] == ["after HTTP 503"]
    at = next(at for at, line in enumerate(lines) if "rejected" in line)
    reason = " ".join([lines[at].partition("rejected")[2].strip(), lines[at + 1].strip(), lines[at + 2].strip()])
    assert reason == "'properties.time' is invalid: must not be in the future"
    assert any(line.endswith("made to go wrong, nothing applied") for line in lines)
    assert any(line.endswith("the same bytes again") for line in lines)
    assert any(line.endswith("1 of 2 refused") for line in lines)


def test_the_figures_are_those_of_the_transport_and_agree_with_the_messages() -> None:
    found = figures()
    assert found["is_as_expected"] is True
    assert [message["what"] for message in found["messages"]] == [step.sentence for step in STEPS]
    assert [message["outcome"] for message in found["messages"]] == [step.expected for step in STEPS]
    for place in ("delivered", "rejected", "failed", "unknown", "held"):
        assert found["figures"][place] == [message["outcome"] for message in found["messages"]].count(place)
    assert found["figures"]["accepted"] == len(STEPS)
    assert found["log"] == ["the server had an error: HTTP 503"]


def test_each_charge_counts_once_although_it_was_sent_twice() -> None:
    found = figures()
    assert [message["answers"] for message in found["messages"] if "pays" in message["what"]] == [[503, 200]]
    (profile,) = found["profiles"]
    amounts = [step.operation.amount for step in STEPS if isinstance(step.operation, Charge)]
    assert [each["$amount"] for each in profile["properties"]["$transactions"]] == amounts


def test_what_was_sent_for_an_alias_belongs_to_the_user_behind_it() -> None:
    found = figures()
    assert {event["user"] for event in found["events"]} == {"visitor-1"}
    assert {event["distinct_id"] for event in found["events"]} == {"visitor-1", "user-1"}
    assert [profile["distinct_id"] for profile in found["profiles"]] == ["visitor-1"]
    assert found["groups"] == [
        {"group_key": "company", "group_id": "company-1", "properties": {"plan": "pro", "seats": 5}}
    ]


def test_settings_from_outside_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SERVER", "eu"), ("TOKEN", "a b"), ("EVENTS", "import"), ("LIMITS", "strict")):
        monkeypatch.setenv(f"MIXWIRE_{name}", value)
    paths = [message["endpoint"] for message in figures()["messages"]]
    assert paths.count("/track") == 3


def test_a_story_that_does_not_come_out_as_told_ends_with_1_and_says_in_what(monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(now: int) -> tuple[Chapter, ...]:
        first, *others = story(now)
        return (evolve(first, steps=(evolve(first.steps[0], expected="rejected"), *first.steps[1:])), *others)

    monkeypatch.setattr("mixwire.demo.story", otherwise)
    result = run("--json")
    assert result.exit_code == 1
    assert result.stderr == f"Not as expected: {STEPS[0].sentence}: delivered, not rejected\n"
    assert json.loads(result.stdout)["is_as_expected"] is False


@pytest.fixture(scope="module")
def told() -> tuple[tuple[Chapter, ...], Played, State]:
    with MixpanelServer() as server:
        chapters = story(1_767_225_600_000)[1:2]
        played = play(chapters, server.url, lambda status: server.mixpanel.fail_next(Status(status)))
        return chapters, played, server.mixpanel.state


def test_a_story_as_it_was_told_has_no_faults(told: tuple[tuple[Chapter, ...], Played, State]) -> None:
    assert faults_of(*told) == ()


def test_a_record_that_was_delivered_and_not_stored_is_a_fault(
    told: tuple[tuple[Chapter, ...], Played, State],
) -> None:
    chapters, played, state = told
    without = evolve(state, updates=Log(state.updates.entries[1:]))
    assert faults_of(chapters, played, without) == ("records that were delivered: 2, and stored: 1",)


def test_a_failure_that_did_not_happen_is_a_fault(told: tuple[tuple[Chapter, ...], Played, State]) -> None:
    chapters, played, state = told
    assert faults_of(chapters, played, evolve(state, counts=Counts())) == (
        "requests that were to go wrong: 1, and that did: 0",
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["interrupted", "terminated"])
def test_a_page_that_is_kept_shows_the_story_until_the_end(end: signal.Signals) -> None:
    with kept() as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        url = first.removeprefix("The page is at ").partition("/ until")[0]
        assert first == f"The page is at {url}/ until Ctrl-C.\n"
        for line in process.stdout:
            if line.startswith("        mp.track("):
                break
        assert b"<html" in get(url, "/")
        assert len(json.loads(get(url, "/_emulator/events?view=query"))["events"]) == 4
        process.send_signal(end)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, output, errors) == (0, "", "\n")


def test_an_interrupt_in_the_midst_of_a_story_that_is_kept_is_a_good_end_too() -> None:
    with kept() as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_page_that_is_kept_beside_json_is_told_apart_from_it() -> None:
    with kept("--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith("The page is at http://127.0.0.1:")
        assert json.loads(process.stdout.readline())["is_as_expected"] is True


def test_a_page_that_is_kept_is_told_with_the_server_to_send_to() -> None:
    with kept() as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("The page is at ").partition("/ until")[0]
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("        mp.track("):
                break
    assert f"The page at {url}/ shows all of this, and what you send there:\n" in lines
    assert lines[-3:-1] == [
        f'    server = "{url}"\n',
        '    with Mixpanel("YOUR_TOKEN", transport="buffered", server=server) as mp:\n',
    ]
    assert max(map(len, lines)) <= 81


def test_a_port_that_is_taken_is_wrong_usage() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port))
    assert result.exit_code == 2
    assert f"port {port} cannot be used: Address already in use" in result.stderr
    assert result.stdout == ""


def test_a_port_that_is_free_can_be_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run("--port", str(port))
    assert result.exit_code == 0
    assert f"A page at http://127.0.0.1:{port}/ showed all of this; with --keep it stays.\n" in result.stdout


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_is_one_sentence_and_2(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "mixwire.testing.server")
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"The demo needs {missing}: pip install 'mixwire[cli,emulator]'\n"


def test_another_module_that_is_missing_is_no_matter_of_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mixwire.testing.faults", None)
    assert type(run().exception) is ModuleNotFoundError


def test_the_help_of_the_command_line_loads_no_server() -> None:
    code = "import mixwire.commands, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"mixwire.testing", "starlette", "uvicorn", "asyncio"} & set(loaded)
