"""
``mixwire emulate``: what it says, what it answers, and how it ends.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner, Result

from mixwire.commands import mixwire

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD_SECONDS: Final = 30.0
"""Nothing here waits longer, so that a broken test fails instead of hanging."""

WARNING: Final = (
    "This listens beyond loopback: whoever can reach it can read all that arrives here and change it, over plain http."
)
GIVEN: Final = "It takes events with the token that was given"
KEPT: Final = (
    "It keeps, in memory, the newest {} events, 10,000 updates, 1,000 requests and 10,000 profiles. Ctrl-C ends it."
)
# Whoever runs the tests in the background may have its children ignore Ctrl-C.
COMMAND: Final = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from mixwire.cli import main; main()"
)
EVENT: Final = b'[{"event":"Opened","properties":{"token":"T0","distinct_id":"user-1"}}]'


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.startswith("MIXWIRE_"):
            monkeypatch.delenv(name)


class Running:
    """
    The command in a process of its own.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.lines = [process.stdout.readline().rstrip("\n") for _ in range(4)]
        match = re.fullmatch(r"The page:  (http://127\.0\.0\.1:[0-9]+)/", self.lines[0])
        assert match is not None, self.lines
        self.url = match[1]

    def ask(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=GUARD_SECONDS) as response:
            return json.loads(response.read())

    def end(self, number: signal.Signals) -> tuple[str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=GUARD_SECONDS)
        assert self.process.returncode == 0
        return out, err


@contextmanager
def emulating(*arguments: str, **variables: str) -> Iterator[Running]:
    command = [sys.executable, "-c", COMMAND, "emulate", "--port", "0", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error", **variables},
    ) as process:
        guard = threading.Timer(GUARD_SECONDS, process.kill)
        guard.start()
        try:
            yield Running(process)
        finally:
            guard.cancel()
            guard.join()
            process.kill()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mixwire, ["emulate", *arguments])


def test_it_says_where_it_is_and_what_it_keeps_and_ends_well_with_ctrl_c() -> None:
    with emulating() as running:
        assert running.lines == [
            f"The page:  {running.url}/",
            f"A client:  MIXWIRE_SERVER={running.url}",
            "It takes events of any project, with original id merge, and answers 413 to more than 2,097,152 bytes.",
            KEPT.format("10,000"),
        ]
        assert running.ask("/track?verbose=1", EVENT) == {"error": None, "status": 1}
        assert [event["name"] for event in running.ask("/_emulator/events")["events"]] == ["Opened"]
        assert running.end(signal.SIGINT) == ("", "")


def test_it_ends_well_when_it_is_told_to_terminate_also_with_an_open_page() -> None:
    with emulating() as running, urllib.request.urlopen(f"{running.url}/_emulator/stream") as stream:
        assert stream.readline() == b"event: stats\n"
        assert running.end(signal.SIGTERM) == ("", "")


def test_the_project_is_made_of_the_options() -> None:
    options = ("--id-system", "simplified", "--token", "T1", "--max-events", "2", "--max-body-bytes", "1000")
    with emulating(*options) as running:
        assert running.lines[2:] == [
            f"{GIVEN}, with simplified id merge, and answers 413 to more than 1,000 bytes.",
            KEPT.format("2"),
        ]
        for token in ("T0", "T1", "T1"):
            running.ask("/track", EVENT.replace(b"T0", token.encode()))
        stats = running.ask("/_emulator/stats")
        assert (stats["id_system"], stats["most"]["events"], stats["forgotten"]["events"]) == ("simplified", 2, 1)
        assert stats["events"] == {"stored": 2, "refused": 0, "dropped": 1, "ignored": 0}
        with pytest.raises(urllib.error.HTTPError, match="413") as refusal:
            running.ask("/track", EVENT + b" " * 1_000)
        refusal.value.close()
        assert "T1" not in "".join(running.end(signal.SIGINT)) + "".join(running.lines)


def test_the_token_is_better_given_as_a_variable() -> None:
    with emulating(MIXWIRE_TOKEN="T1") as running:
        assert running.lines[2].startswith(GIVEN)
        running.ask("/track", EVENT)
        assert running.ask("/_emulator/stats")["events"]["dropped"] == 1


def test_another_address_than_loopback_comes_with_a_warning() -> None:
    with emulating("--host", "0.0.0.0") as running:
        assert running.lines[1] == f"A client:  MIXWIRE_SERVER={running.url}"
        assert running.end(signal.SIGTERM) == ("", f"{WARNING}\n")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_an_address_of_loopback_comes_without_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixwire.interrupts.time.sleep", interrupt)
    before = signal.getsignal(signal.SIGTERM)
    result = run("--host", host, "--port", "0")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "MIXWIRE_SERVER=http://" in result.stdout
    assert signal.getsignal(signal.SIGTERM) is before
    assert "mixwire-emulator" not in {thread.name for thread in threading.enumerate()}


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == (
        f"Error: port {port} of 127.0.0.1 is in use; --port takes another, and 0 any that is free"
    )


def test_an_address_of_another_machine_is_one_sentence() -> None:
    result = run("--host", "192.0.2.1")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: nothing can listen on port 8788 of 192.0.2.1: Cannot assign requested address"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--port", "65536"), "65536 is not in the range 0<=x<=65535"),
        (("--max-events", "0"), "0 is not in the range x>=1"),
        (("--max-body-bytes", "0"), "0 is not in the range x>=1"),
        (("--id-system", "other"), "'other' is not one of 'original', 'simplified'"),
        (("--token", ""), "token must be"),
        (("--token", "a b"), "token must be printable ASCII without spaces, not with other characters"),
    ],
    ids=["port", "events", "bytes", "id system", "no token", "bad token"],
)
def test_wrong_usage_ends_with_2_and_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sentence in result.stderr


@pytest.mark.parametrize("name", ["starlette", "uvicorn"])
def test_without_the_extra_one_sentence_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(module: str, *arguments: Any) -> Any:
        if module == name or module.startswith(f"{name}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(module, *arguments)

    monkeypatch.delitem(sys.modules, "mixwire.testing.server", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    result = run()
    assert result.exit_code == 2
    assert result.output == f"The emulator needs {name}: pip install 'mixwire[emulator]'\n"


def test_another_missing_module_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(module: str, *arguments: Any) -> Any:
        if module == "testing.server":
            raise ModuleNotFoundError("No module named 'json'", name="json")
        return real(module, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    assert isinstance(run().exception, ModuleNotFoundError)
