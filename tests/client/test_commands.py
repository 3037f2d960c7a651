"""
The command line as a person meets it: what it prints, where, and its exit code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from pytest_httpserver import HTTPServer

from mixwire.commands import mixwire
from mixwire.core import Message, Outcome
from mixwire.transports import SyncTransport

if TYPE_CHECKING:
    from conftest import Arrivals

GOOD = '{"event":"Opened","properties":{"distinct_id":"user-1","time":1767225600,"$insert_id":"a1"}}'
PLACEHOLDER = (
    "properties['distinct_id'] must be an id of somebody, "
    "not a placeholder that Mixpanel refuses, such as 'null' or '0'"
)
OTHER = '{"event":"Closed","properties":{"distinct_id":"user-1","time":1767225601,"$insert_id":"a2"}}'


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN", "SERVER", "EVENTS", "LIMITS"):
        monkeypatch.delenv(f"MIXWIRE_{name}", raising=False)


def run(*arguments: str, lines: str = "") -> Result:
    return CliRunner().invoke(mixwire, arguments, input=lines)


def test_a_bad_line_is_told_with_its_number_and_path_and_the_good_ones_go_on(arrivals: Arrivals) -> None:
    bad = '{"event":"Opened","properties":{"distinct_id":"null","time":1767225600}}'
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", lines=f"{GOOD}\n{bad}\n\n{{\n{OTHER}\n")
    assert result.exit_code == 1
    assert result.stdout == "4 read, 2 delivered, 2 rejected, 0 failed, 0 unknown\n"
    assert result.stderr.splitlines() == [
        f"line 2: refused: {PLACEHOLDER}",
        "line 4: refused: the line must be a JSON object, not broken JSON at character 2",
    ]
    assert [event["event"] for event in arrivals.records("/import")] == ["Opened", "Closed"]


def test_a_record_that_the_server_rejects_is_told_with_its_line_field_and_reason(arrivals: Arrivals) -> None:
    arrivals.rejected_insert_ids.add("a2")
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", "--json", lines=f"\n{GOOD}\n{OTHER}\n")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"read": 2, "delivered": 1, "rejected": 1, "failed": 0, "unknown": 0}
    assert result.stderr == "line 3: rejected: properties.time: bad\n"


def test_the_operations_that_the_help_shows_can_be_sent(arrivals: Arrivals) -> None:
    lines = [line for line in map(str.strip, run("send", "--help").stdout.splitlines()) if line.startswith("{")]
    assert [json.loads(line)["type"] for line in lines] == ["track", "people"]
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", lines="\n".join(lines))
    assert result.stdout == "2 read, 2 delivered, 0 rejected, 0 failed, 0 unknown\n"


def test_two_equal_records_are_both_counted(arrivals: Arrivals) -> None:
    arrivals.rejected_insert_ids.add("a1")
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", lines=f"{GOOD}\n{GOOD}\n")
    assert result.stdout == "2 read, 0 delivered, 2 rejected, 0 failed, 0 unknown\n"
    assert result.stderr == "lines 1 to 2: rejected: properties.time: bad\n"


def test_a_server_that_takes_no_credentials_ends_the_sending_and_the_rest_counts_as_failed(
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/import").respond_with_json({"error": "Invalid credentials"}, status=401)
    lines = f"{GOOD}\n" * 2_001
    result = run("send", "-", "--server", httpserver.url_for(""), "--token", "T0", "--json", lines=lines)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 2_001
    assert result.stderr.splitlines() == [
        "lines 1 to 2000: failed: the credentials were refused (HTTP 401: Invalid credentials)",
        "line 2001: failed: not tried, because the credentials were refused",
    ]
    assert len(httpserver.log) == 1


def test_an_unknown_outcome_is_told(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/engage").respond_with_data("<html>", status=500)
    line = '{"type":"people","distinct_id":"user-1","changes":[{"type":"add","properties":{"credits":1}}]}'
    result = run("send", "-", "--server", httpserver.url_for(""), "--token", "T0", lines=line)
    assert result.exit_code == 1
    assert result.stdout == "1 read, 0 delivered, 0 rejected, 0 failed, 1 unknown\n"
    assert result.stderr == "line 1: unknown: the server had an error (HTTP 500: <html>)\n"
    assert len(httpserver.log) == 1


def test_an_event_beyond_a_limit_of_the_wire_is_rejected_before_it_is_sent(arrivals: Arrivals) -> None:
    text = "x" * 999_900
    line = json.dumps({"type": "track", "event": "E", "distinct_id": "user-1", "properties": {"text": text}})
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", lines=line)
    assert result.exit_code == 1
    assert "line 1: refused: the event must be at most 999,999 bytes, not 1,000,0" in result.stderr
    assert arrivals.requests == []


def test_a_remark_of_the_server_is_passed_on(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/import").respond_with_json({"code": 200, "status": "OK", "num_records_imported": 7})
    result = run("send", "-", "--server", httpserver.url_for(""), "--token", "T0", lines=GOOD)
    assert result.exit_code == 0
    assert result.stderr == "server_count_mismatch: 7 of 1 records counted\n"


@pytest.mark.parametrize("command", ["send", "check"])
def test_a_misspelt_variable_is_wrong_usage(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXWIRE_SERVR", "eu")
    result = run(command, "-", lines=GOOD)
    assert result.exit_code == 2
    assert "MIXWIRE_SERVR must be one of the known variables: MIXWIRE_TOKEN, " in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("send", "-"),
            "token must be given with --token, MIXWIRE_TOKEN or token in the file of --config",
        ),
        (("send", "-", "--token", "a b"), "token must be printable ASCII without spaces, not with other characters"),
        (("send", "-", "--token", "T0", "--server", "http://example.com"), "plain http only to loopback"),
        (("send", "-", "--token", "T0", "--config", "missing.toml"), "missing.toml must be a file that can be read"),
        (("send", "missing.ndjson", "--token", "T0"), "missing.ndjson cannot be read: No such file or directory"),
        (("check", "missing.ndjson"), "missing.ndjson cannot be read"),
        (("send",), "Missing argument 'FILE|-'"),
    ],
    ids=["no token", "bad token", "plain http", "no config file", "no file", "check no file", "no argument"],
)
def test_wrong_usage_ends_with_2_and_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_settings_come_from_a_file(arrivals: Arrivals, tmp_path: Path) -> None:
    config = tmp_path / "mixwire.toml"
    config.write_text(
        f'token = "T0"\nserver = "{arrivals.url}"\n[service_account]\nusername = "u"\nsecret = "s"\nproject_id = 12\n'
    )
    assert run("send", "-", "--config", str(config), lines=GOOD).exit_code == 0
    (request,) = arrivals.requests
    assert request.args["project_id"] == "12"
    assert request.headers["Authorization"] == "Basic dTpz"


def test_check_tells_what_the_server_would_do_with_line_path_and_reason() -> None:
    long = json.dumps({"event": "E", "properties": {"distinct_id": "user-1", "time": 1767225600, "text": "x" * 300}})
    result = run("check", "-", lines=f"{GOOD}\n{long}\n[]\n")
    assert result.exit_code == 1
    assert result.stdout == "3 read, 1 refused, 1 with findings, 2 for /import\n"
    assert result.stderr.splitlines() == [
        "line 2: truncated: properties['text']: it has 300 bytes, only 255 are sure to be kept",
        "line 3: refused: the line must be a JSON object, not a JSON list",
    ]


def test_check_tells_of_events_that_would_be_rerouted(tmp_path: Path) -> None:
    config = tmp_path / "mixwire.toml"
    config.write_text('events = "track"\n')
    result = run("check", "-", "--config", str(config), "--json", lines=GOOD)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"read": 1, "refused": 0, "with_findings": 1}
    assert "line 1: rerouted: properties['time']: it is " in result.stderr


def test_check_of_a_strict_project_refuses_what_would_be_truncated(tmp_path: Path) -> None:
    config = tmp_path / "mixwire.toml"
    config.write_text('limits = "strict"\n')
    long = json.dumps({"event": "E", "properties": {"distinct_id": "user-1", "time": 1767225600, "text": "x" * 300}})
    result = run("check", "-", "--config", str(config), lines=long)
    assert result.exit_code == 1
    assert "line 1: refused: properties['text'] would be truncated" in result.stderr


def test_an_empty_file_is_all_well(arrivals: Arrivals) -> None:
    result = run("send", "-", "--server", arrivals.url, "--token", "T0")
    assert (result.exit_code, result.stdout) == (0, "0 read, 0 delivered, 0 rejected, 0 failed, 0 unknown\n")
    assert arrivals.requests == []


def test_a_terminal_sees_a_progress_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text(GOOD)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    shown = run("check", str(file))
    assert shown.exit_code == 0
    assert "events.ndjson" in shown.stderr
    monkeypatch.delenv("FORCE_COLOR")
    assert run("check", str(file)).stderr == ""


def test_the_version_is_told() -> None:
    assert run("--version").stdout == "mixwire, version 0.1.0\n"


def test_no_token_and_no_secret_in_what_is_printed(tmp_path: Path) -> None:
    config = tmp_path / "mixwire.toml"
    config.write_text('[service_account]\nusername = "canary-u"\nsecret = "canary s"\nproject_id = 12\n')
    result = run("send", "-", "--token", "canary-t", "--config", str(config), lines=GOOD)
    assert result.exit_code == 2
    assert "canary" not in result.output
    config.write_text("secret = 'canary")
    result = run("send", "-", "--token", "canary-t", "--config", str(config), lines=GOOD)
    assert result.exit_code == 2
    assert "canary" not in result.output
    assert "must be TOML, not broken" in result.stderr


def test_nothing_later_in_the_file_overtakes_an_alias_that_is_not_settled(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/track").respond_with_json({"error": "no"}, status=403)
    httpserver.expect_request("/import").respond_with_json({"code": 200, "status": "OK", "num_records_imported": 1})
    alias = '{"type":"alias","alias":"user-1","distinct_id":"user-2"}\n'
    result = run("send", "-", "--server", httpserver.url_for(""), "--token", "T0", lines=alias + f"{GOOD}\n" * 2_500)
    assert result.exit_code == 1
    assert result.stdout == "2,501 read, 0 delivered, 0 rejected, 2,501 failed, 0 unknown\n"
    assert [request.path for request, _ in httpserver.log] == ["/track"]


def test_a_refused_alias_is_settled_and_holds_nothing_up(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/track").respond_with_json({"error": "no such id", "status": 0})
    httpserver.expect_request("/import").respond_with_json({"code": 200, "status": "OK", "num_records_imported": 1})
    alias = '{"type":"alias","alias":"user-1","distinct_id":"user-2"}\n'
    result = run("send", "-", "--server", httpserver.url_for(""), "--token", "T0", lines=alias + GOOD)
    assert result.stdout == "2 read, 1 delivered, 1 rejected, 0 failed, 0 unknown\n"
    assert result.stderr == "line 1: rejected: no such id\n"


def test_what_would_be_truncated_is_told_while_it_is_sent_unless_the_limits_are_off(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = json.dumps({"event": "E", "properties": {"distinct_id": "user-1", "time": 1767225600, "text": "x" * 300}})
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", lines=long)
    assert result.exit_code == 0
    assert result.stderr == "line 1: truncated: properties['text']: it has 300 bytes, only 255 are sure to be kept\n"
    monkeypatch.setenv("MIXWIRE_LIMITS", "off")
    assert run("send", "-", "--server", arrivals.url, "--token", "T0", lines=long).stderr == ""
    assert run("check", "-", lines=long).exit_code == 0


def test_a_token_that_the_server_repeats_is_not_printed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/import").respond_with_json({"error": "bad canary-t"}, status=401)
    result = run("send", "-", "--server", httpserver.url_for(""), "--token", "canary-t", lines=GOOD)
    assert result.stderr == "line 1: failed: the credentials were refused (HTTP 401: bad ***)\n"


def test_an_interruption_leaves_every_record_accounted_for(arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    sends: list[int] = []
    real = SyncTransport.send

    def send(self: SyncTransport, *messages: Message) -> Outcome:
        sends.append(len(messages))
        if len(sends) == 2:
            raise KeyboardInterrupt
        return real(self, *messages)

    monkeypatch.setattr(SyncTransport, "send", send)
    result = run("send", "-", "--server", arrivals.url, "--token", "T0", lines=f"{GOOD}\n" * 5_000)
    assert result.exit_code == 1
    assert result.stdout == "4,000 read, 2,000 delivered, 0 rejected, 0 failed, 2,000 unknown\n"
    assert result.stderr == "lines 2001 to 4000: unknown: the command was interrupted while this was being sent\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_full_disk_behind_the_output_keeps_nothing_from_being_sent(name: str, arrivals: Arrivals) -> None:
    command = [sys.executable, "-m", "mixwire", "send", "-", "--server", arrivals.url, "--token", "T0"]
    with Path("/dev/full").open("w") as full:
        outputs = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, name: full}
        done = subprocess.run(command, input=f"{{\n{GOOD}\n[]\n{OTHER}\n".encode(), check=False, **outputs)
    assert done.returncode == 1
    assert [event["event"] for event in arrivals.records("/import")] == ["Opened", "Closed"]


def test_a_closed_standard_input_is_wrong_usage() -> None:
    command = f"exec {sys.executable} -m mixwire check - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr


@pytest.mark.parametrize("value", ["false", "0"])
def test_a_command_that_sends_is_refused_where_enabled_is_false(
    value: str, arrivals: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXWIRE_ENABLED", value)
    monkeypatch.setenv("MIXWIRE_TOKEN", "T0")
    for arguments in (("send", "-", "--server", arrivals.url), ("drain", str(tmp_path), "--server", arrivals.url)):
        result = run(*arguments, lines=GOOD)
        assert result.exit_code == 2
        assert "Nothing is sent while `enabled` is false: see MIXWIRE_ENABLED and the file of --config." in " ".join(
            result.stderr.split()
        )
    assert arrivals.requests == []
    assert run("check", "-", lines=GOOD).exit_code == 0
