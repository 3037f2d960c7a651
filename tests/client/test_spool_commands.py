"""
The commands about stored messages as a person meets them: what they print, where, and their exit codes.
"""

from __future__ import annotations

import gzip
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from errno import EIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from mixwire.commands import mixwire
from mixwire.core import Add, Message, PeopleOp, Project, Track, encode, message_from_line
from mixwire.core.frames import FORMAT, Note
from mixwire.transports import FileTransport
from mixwire.transports.disk import Disk
from mixwire.transports.file import read_spool
from mixwire.transports.segments import Section
from mixwire.transports.spool import Spool

if TYPE_CHECKING:
    from conftest import Arrivals

PROJECT = Project("canary-t", events="import")
CLOSED = "http://127.0.0.1:9"
COMMAND = [sys.executable, "-m", "mixwire"]
FIGURES = "{read} read, {delivered} delivered, {rejected} rejected, 0 failed, {unknown} unknown, {held} held\n"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MIXWIRE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MIXWIRE_TOKEN", "canary-t")
    # For the processes: what is buffered fails later, and once more at the end.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(mixwire, [str(each) for each in arguments])


def event(name: str, project: Project = PROJECT) -> Message:
    track = Track("Opened", distinct_id="canary-id", properties={"q": "canary-p"}, time=1767225600000, insert_id=name)
    return encode(track, project)


def add(number: int = 1) -> Message:
    return encode(PeopleOp("canary-id", Add({"n": number})), PROJECT)


def store(directory: Path, *messages: Message, project: Project | None = PROJECT) -> None:
    with FileTransport(directory, project=project) as transport:
        transport.send(*messages)


def park(directory: Path, section: Section, *messages: Message, project: Project | None = PROJECT) -> None:
    note = Note(reason="no canary-t") if section == "rejected" else Note(reason="HTTP 500", cause="SERVER_ERROR")
    spool = Spool(directory, section=section, project=project)
    spool.append(messages, [note] * len(messages))
    spool.close()


def figures(**given: int) -> str:
    return FIGURES.format(**{"read": 0, "delivered": 0, "rejected": 0, "unknown": 0, "held": 0, **given})


def ids(arrivals: Arrivals) -> list[str]:
    return [record["properties"]["$insert_id"] for record in arrivals.records("/import")]


def snapshot(directory: Path) -> list[tuple[str, bytes, int]]:
    return sorted((each.name, each.read_bytes(), each.stat().st_mtime_ns) for each in directory.iterdir())


# drain


def test_what_is_stored_is_delivered_and_told_in_figures(arrivals: Arrivals, directory: Path) -> None:
    store(directory, event("a1"), event("a2"), add())
    result = run("drain", directory, "--server", arrivals.url)
    assert (result.exit_code, result.stdout, result.stderr) == (0, figures(read=3, delivered=3), "")
    assert sorted(ids(arrivals)) == ["a1", "a2"]
    result = run("drain", directory, "--server", arrivals.url, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "read": 0,
        "delivered": 0,
        "rejected": 0,
        "failed": 0,
        "unknown": 0,
        "held": 0,
    }


def test_an_empty_directory_is_all_well(directory: Path) -> None:
    directory.mkdir(0o700)
    result = run("drain", directory)
    assert (result.exit_code, result.stdout, result.stderr) == (0, figures(), "")


@pytest.mark.parametrize(
    "command", [("drain",), ("spool",), ("spool", "list"), ("spool", "discard", "--state", "held")]
)
def test_a_missing_directory_is_wrong_usage_and_is_not_made(command: tuple[str, ...], directory: Path) -> None:
    result = run(command[0], directory, *command[1:])
    assert result.exit_code == 2
    assert f"{directory} must be a directory of this user's, open to nobody else, not a missing one" in result.stderr
    assert not directory.exists()


@pytest.mark.parametrize("command", [("drain",), ("spool",), ("spool", "export")])
def test_row_49_a_directory_open_to_others_is_refused(command: tuple[str, ...], directory: Path) -> None:
    store(directory, event("a1"))
    directory.chmod(0o777)
    result = run(command[0], directory, *command[1:])
    assert result.exit_code == 2
    assert f"{directory} must be a directory of this user's, open to nobody else" in result.stderr
    assert "not one open to others (mode 0777)" in result.stderr
    assert result.stdout == ""


def test_the_spool_of_another_project_is_refused(
    arrivals: Arrivals, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(directory, event("a1"))
    monkeypatch.setenv("MIXWIRE_TOKEN", "T9")
    result = run("drain", directory, "--server", arrivals.url)
    assert result.exit_code == 2
    assert "project must be the one with the token of these messages, not another one" in result.stderr
    assert arrivals.requests == []


@pytest.mark.parametrize("arguments", [(), ("requeue", "--state", "unknown")], ids=["figures", "requeue"])
def test_a_misspelt_variable_is_wrong_usage(
    arguments: tuple[str, ...], directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(directory, event("a1"))
    monkeypatch.setenv("MIXWIRE_SERVR", "eu")
    result = run("spool", directory, *arguments)
    assert result.exit_code == 2
    assert "MIXWIRE_SERVR must be one of the known variables: MIXWIRE_TOKEN, " in result.stderr
    assert run("drain", directory).exit_code == 2


def test_without_a_token_nothing_is_delivered(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(directory, event("a1"))
    monkeypatch.delenv("MIXWIRE_TOKEN")
    result = run("drain", directory)
    assert result.exit_code == 2
    assert "token must be given" in result.stderr
    assert run("drain", directory, "--wait", "0").exit_code == 2


def test_a_dead_server_ends_it_after_the_wait_and_everything_is_still_there(directory: Path) -> None:
    store(directory, event("a1"), add())
    result = run("drain", directory, "--server", CLOSED, "--wait", "1")
    assert result.exit_code == 1
    assert result.stdout == figures(read=2, held=2)
    reason = "the server was not reached: the server could not be connected to"
    assert result.stderr.splitlines() == [reason, f"held: {reason} (2)"]
    assert len(list(read_spool(directory))) == 2


def test_what_is_rejected_is_told_kept_and_can_be_put_back_when_the_cause_is_mended(
    arrivals: Arrivals, directory: Path
) -> None:
    store(directory, event("a1"), event("a2"), event("a3"))
    arrivals.rejected_insert_ids.update(("a2", "a3"))
    result = run("drain", directory, "--server", arrivals.url)
    assert result.exit_code == 1
    assert result.stdout == figures(read=3, delivered=1, rejected=2)
    assert result.stderr == "rejected, and kept as such: properties.time: bad (2)\n"
    listed = run("spool", directory, "list", "--state", "rejected")
    assert listed.stdout.count("properties.time: bad") == 2
    arrivals.rejected_insert_ids.clear()
    result = run("spool", directory, "requeue", "--state", "rejected")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "2 requeued\n", "")
    assert run("drain", directory, "--server", arrivals.url).exit_code == 0
    assert sorted(ids(arrivals)) == ["a1", "a2", "a2", "a3", "a3"]
    assert "0 rejected" in run("spool", directory).stdout


def test_what_may_have_been_applied_is_told_kept_and_put_back_with_a_warning(
    httpserver: HTTPServer, directory: Path
) -> None:
    httpserver.expect_oneshot_request("/engage").respond_with_data("canary-t", status=500)
    httpserver.expect_request("/engage").respond_with_json({"status": 1, "error": None})
    store(directory, add())
    arguments = ("drain", directory, "--server", httpserver.url_for(""))
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == figures(read=1, unknown=1)
    assert result.stderr.splitlines() == [
        "the server had an error: HTTP 500",
        "unknown, kept as such and not sent again: the server had an error (HTTP 500: ***) (1)",
    ]
    assert run(*arguments).stdout == figures()
    assert len(httpserver.log) == 1
    result = run("spool", directory, "requeue", "--state", "unknown")
    assert (result.exit_code, result.stdout) == (0, "1 requeued\n")
    assert result.stderr == "1 message may count twice, if applied before\n"
    assert run(*arguments).stdout == figures(read=1, delivered=1)
    assert len(httpserver.log) == 2


def test_an_intent_without_a_result_is_told_as_unknown(arrivals: Arrivals, directory: Path) -> None:
    spool = Spool(directory, project=PROJECT, delivers=True)
    spool.intend(spool.append([add()]))
    spool.close()
    assert "1 interrupted: 1 engage" in run("spool", directory).stdout
    assert run("spool", directory, "list", "--state", "held").stdout.startswith("interrupted ")
    result = run("drain", directory, "--server", arrivals.url)
    assert result.exit_code == 1
    assert result.stdout == figures(read=1, unknown=1)
    assert "the answer was lost (the process that was sending it ended) (1)" in result.stderr
    assert "1 unknown: 1 engage" in run("spool", directory).stdout
    assert arrivals.requests == []


def test_row_46_it_says_so_when_another_process_delivers_the_directory(arrivals: Arrivals, directory: Path) -> None:
    store(directory, event("a1"))
    other = Spool(directory)
    assert other.adopt()
    result = run("drain", directory, "--server", arrivals.url)
    assert result.exit_code == 1
    assert result.stdout == figures(held=1)
    assert result.stderr == "held: another process is delivering this directory (1)\n"
    assert "somebody is delivering it" in run("spool", directory).stdout
    assert json.loads(run("spool", directory, "--json").stdout)["delivering"] is True
    discarded = run("spool", directory, "discard", "--state", "held", "--yes")
    assert discarded.exit_code == 1
    assert discarded.stdout == "0 discarded\n"
    assert discarded.stderr == "another process is delivering or clearing up these messages\n"
    other.close()
    assert run("drain", directory, "--server", arrivals.url).exit_code == 0


def test_what_cannot_be_delivered_for_reasons_of_its_own_is_told_and_ends_with_1(
    arrivals: Arrivals, directory: Path
) -> None:
    store(directory, event("a1"), event("a2"))
    (file,) = directory.glob("*.held")
    file.write_bytes(file.read_bytes().replace(b'"a1"', b'"a9"'))
    store(directory, event("b1"), project=Project("T9"))
    newer = directory / f"{9:016}-0123abcd.held"
    newer.write_text(json.dumps({"format": FORMAT, "version": 2}) + "\n")
    newer.chmod(0o600)
    store(directory, event("a3"))
    max(directory.glob("*.held")).chmod(0o640)
    shown = run("spool", directory)
    assert shown.exit_code == 1
    assert "messages of 2 projects\n1 file of another project than the one of the settings\n" in shown.stdout
    result = run("drain", directory, "--server", arrivals.url)
    assert result.exit_code == 1
    assert result.stdout == figures(read=1, delivered=1)
    told = [
        "1 line damaged and lost",
        "1 file in the format of another version of mixwire, left alone",
        "1 file of another project, left alone",
        "1 file not used: not a file of this user's, closed to others",
    ]
    assert result.stderr.splitlines() == told
    assert shown.stderr.splitlines() == [told[0], told[1], told[3]]
    assert ids(arrivals) == ["a2"]


def test_many_reasons_are_told_by_the_most_frequent(httpserver: HTTPServer, directory: Path) -> None:
    def reject(request: Request) -> Response:
        body = request.get_data()
        records = json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)
        failed = [
            {
                "index": index,
                "insert_id": record["properties"]["$insert_id"],
                "field": "f",
                "message": f"bad {index % 7}",
            }
            for index, record in enumerate(records)
        ]
        answer = {"code": 400, "error": "bad", "failed_records": failed, "num_records_imported": 0}
        return Response(json.dumps(answer), 400)

    httpserver.expect_request("/import").respond_with_handler(reject)
    store(directory, *(event(f"a{number}") for number in range(8)))
    result = run("drain", directory, "--server", httpserver.url_for(""))
    assert result.stderr == (
        "rejected, and kept as such: f: bad 0 (2), f: bad 1 (1), f: bad 2 (1), f: bad 3 (1), f: bad 4 (1), "
        "and 2 other reasons\n"
    )


def test_a_terminal_sees_a_progress_bar(arrivals: Arrivals, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(directory, event("a1"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    shown = run("drain", directory, "--server", arrivals.url)
    assert shown.exit_code == 0
    assert "spool" in shown.stderr


# spool


def test_the_figures_of_a_directory_tell_states_endpoints_size_and_age(directory: Path) -> None:
    store(directory, event("a1"), event("a2"), add())
    park(directory, "unknown", add(), add())
    park(directory, "rejected", event("a3"))
    size = sum(each.stat().st_size for each in directory.iterdir())
    shown = run("spool", directory)
    assert (shown.exit_code, shown.stderr) == (0, "")
    first, *rest = shown.stdout.splitlines()
    assert first.startswith(f"3 files, {size:,} bytes, the oldest begun ")
    assert rest == [
        "3 held: 1 engage, 2 import",
        "2 unknown: 2 engage",
        "1 rejected: 1 import",
        "nobody is delivering it",
    ]
    found = json.loads(run("spool", "--json", directory).stdout)
    assert 0 <= found.pop("oldest_age_seconds") < 600
    assert found == {
        "held": {"engage": 1, "import": 2},
        "interrupted": {},
        "unknown": {"engage": 2},
        "rejected": {"import": 1},
        "files": 3,
        "size_bytes": size,
        "damaged": 0,
        "other_versions": 0,
        "other_projects": 0,
        "unreadable": 0,
        "projects": 1,
        "delivering": False,
    }


def test_without_settings_the_figures_are_told_all_the_same(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(directory, event("a1"))
    monkeypatch.delenv("MIXWIRE_TOKEN")
    assert json.loads(run("spool", directory, "--json").stdout)["other_projects"] is None


@pytest.mark.parametrize(
    ("age_ms", "told"), [(1_000, "second"), (300_000, "5 minutes"), (8_000_000, "2 hours"), (300_000_000, "3 days")]
)
def test_an_age_is_told_in_the_unit_that_fits(age_ms: int, told: str, directory: Path) -> None:
    spool = Spool(directory, now=lambda: time.time_ns() // 1_000_000 - age_ms)
    spool.append([event("a1")])
    spool.close()
    assert told in run("spool", directory).stdout


def test_to_look_changes_and_makes_nothing(directory: Path) -> None:
    store(directory, event("a1"), add())
    park(directory, "rejected", event("a3"))
    before = snapshot(directory)
    for arguments in ((), ("--json",), ("list",), ("export",)):
        assert run("spool", directory, *arguments).exit_code == 0
    assert snapshot(directory) == before


def test_a_list_has_one_line_for_each_message_and_nothing_of_its_content(directory: Path) -> None:
    store(directory, event("canary-i"), add())
    park(directory, "unknown", add())
    park(directory, "rejected", event("canary-i"))
    shown = run("spool", directory, "list")
    size, other = len(event("canary-i").body), len(add().body)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert [line.split(maxsplit=3) for line in shown.stdout.splitlines()] == [
        ["held", "import", "2026-01-01T00:00:00.000Z", f"repeatable            {size} bytes"],
        ["held", "engage", "-", f"not repeatable         {other} bytes"],
        ["unknown", "engage", "-", f"not repeatable         {other} bytes  the server had an error: HTTP 500"],
        ["rejected", "import", "2026-01-01T00:00:00.000Z", f"repeatable            {size} bytes  no ***"],
    ]
    assert "canary" not in shown.output


def test_what_is_settled_is_listed_and_counted_no_more(directory: Path) -> None:
    spool = Spool(directory, project=PROJECT, delivers=True)
    spool.settle(spool.append([event("a1"), add()])[:1])
    assert [line.split()[1] for line in run("spool", directory, "list").stdout.splitlines()] == ["engage"]
    assert len(run("spool", directory, "export").stdout.splitlines()) == 1
    assert json.loads(run("spool", directory, "--json").stdout)["held"] == {"engage": 1}
    spool.close()


def test_a_list_can_be_of_one_state_and_short(directory: Path) -> None:
    store(directory, event("a1"), event("a2"), event("a3"))
    park(directory, "unknown", add())
    assert run("spool", directory, "list", "--state", "unknown").stdout.startswith("unknown ")
    shown = run("spool", directory, "list", "--limit", "2")
    assert len(shown.stdout.splitlines()) == 2
    assert shown.stderr == "There are more than 2: see --limit.\n"
    assert run("spool", directory, "list", "--limit", "4").stderr == ""


def test_a_time_beyond_all_calendars_is_told_as_a_number(directory: Path) -> None:
    store(directory, Message(event("a1").endpoint, event("a1").body, (), time=10**18))
    assert f"{10**18} ms" in run("spool", directory, "list").stdout


def test_an_export_holds_the_messages_as_lines_and_why_they_are_kept(directory: Path) -> None:
    store(directory, event("a1"), add())
    park(directory, "unknown", add(7))
    park(directory, "rejected", event("a3"))
    exported = run("spool", directory, "export")
    assert exported.exit_code == 0
    lines = exported.stdout.splitlines()
    assert [message_from_line(line) for line in lines[:2]] == [event("a1"), add()]
    unknown, rejected = (json.loads(line) for line in lines[2:])
    assert unknown["body"]["$add"] == {"n": 7}
    assert (unknown["state"], unknown["cause"], unknown["reason"]) == ("unknown", "SERVER_ERROR", "HTTP 500")
    assert (rejected["state"], rejected["reason"], rejected["field"]) == ("rejected", "no canary-t", "")
    assert run("spool", directory, "export", "--state", "held").stdout.splitlines() == lines[:2]


def test_figures_as_json_are_not_for_the_commands(directory: Path) -> None:
    store(directory, event("a1"))
    result = run("spool", directory, "--json", "list")
    assert result.exit_code == 2
    assert "--json is for the figures alone" in result.stderr


def test_the_help_of_a_command_needs_no_directory() -> None:
    shown = run("spool", "nowhere", "requeue", "--help")
    assert shown.exit_code == 0
    assert "those that add or append may then count twice" in " ".join(shown.stdout.split())
    assert "Throw messages away" in run("spool", "nowhere", "--help").stdout


def test_to_put_back_the_token_of_the_project_is_needed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    park(directory, "rejected", event("a1"))
    monkeypatch.delenv("MIXWIRE_TOKEN")
    result = run("spool", directory, "requeue", "--state", "rejected")
    assert result.exit_code == 2
    assert "These messages belong to a project: give its token" in result.stderr
    result = run("spool", directory, "requeue", "--state", "rejected", "--token", "T9")
    assert result.exit_code == 2
    assert "These messages belong to another project." in result.stderr
    assert run("spool", directory, "requeue", "--state", "rejected", "--token", "a b").exit_code == 2
    assert run("spool", directory, "requeue", "--state", "rejected", "--token", "canary-t").stdout == "1 requeued\n"


def test_what_belongs_to_nobody_is_put_back_without_a_token(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    park(directory, "unknown", add(), project=None)
    monkeypatch.delenv("MIXWIRE_TOKEN")
    assert run("spool", directory, "requeue", "--state", "unknown").stdout == "1 requeued\n"


def test_nothing_to_put_back_or_throw_away_is_all_well_and_makes_nothing(directory: Path) -> None:
    directory.mkdir(0o700)
    assert run("spool", directory, "requeue", "--state", "unknown").stdout == "0 requeued\n"
    assert run("spool", directory, "discard", "--state", "unknown").stdout == "0 discarded\n"
    assert not list(directory.iterdir())


def test_what_is_thrown_away_is_gone(directory: Path) -> None:
    park(directory, "unknown", add(), add())
    store(directory, add())
    refused = run("spool", directory, "discard", "--state", "unknown")
    assert refused.exit_code == 2
    assert "--yes is needed where nobody can be asked." in refused.stderr
    result = run("spool", directory, "discard", "--state", "unknown", "--yes")
    assert (result.exit_code, result.stdout) == (0, "2 discarded\n")
    assert json.loads(run("spool", directory, "--json").stdout)["held"] == {"engage": 1}


def test_a_directory_of_dead_letters_works_the_same_way(arrivals: Arrivals, tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    park(dead, "rejected", event("a1"))
    assert "1 rejected: 1 import" in run("spool", dead).stdout
    assert run("spool", dead, "requeue", "--state", "rejected").stdout == "1 requeued\n"
    assert run("drain", dead, "--server", arrivals.url).exit_code == 0
    assert ids(arrivals) == ["a1"]


def test_a_disk_that_fails_while_messages_are_put_back_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(directory, "unknown", add())
    monkeypatch.setattr("mixwire.transports.upkeep.Spool.append", _full)
    result = run("spool", directory, "requeue", "--state", "unknown")
    assert (result.exit_code, result.stdout) == (1, "0 requeued\n")
    assert result.stderr == "it was broken off: the disk is full\n1 message left where they were\n"


def _full(*arguments: object) -> None:
    from mixwire.transports.spool import SpoolError

    raise SpoolError("disk full")


# Real processes

WRITER = """
import sys, time
from mixwire.core import Project, Track, encode
from mixwire.transports import FileTransport
project = Project("canary-t", events="import")
transport = FileTransport(sys.argv[1], project=project)
for number in range(int(sys.argv[2])):
    event = Track("E", distinct_id="user-1", properties={}, time=1767225600000, insert_id=f"a{number}")
    transport.send(encode(event, project))
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def writer(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(directory), "3000"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_row_47_what_a_killed_process_wrote_is_delivered_once(
    writer: subprocess.Popen[bytes], arrivals: Arrivals, directory: Path
) -> None:
    writer.kill()
    writer.wait()
    command = [*COMMAND, "drain", str(directory), "--server", arrivals.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        figures(read=3_000, delivered=3_000).replace("3000", "3,000"),
        "",
    )
    assert sorted(ids(arrivals)) == sorted(f"a{number}" for number in range(3_000))


def test_row_46_a_copy_is_delivered_while_the_writer_lives(
    writer: subprocess.Popen[bytes], arrivals: Arrivals, directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(directory, tmp_path / "copy")
    command = [*COMMAND, "drain", str(tmp_path / "copy"), "--server", arrivals.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["delivered"] == 3_000
    assert writer.poll() is None
    assert len(set(ids(arrivals))) == 3_000


def test_row_46_of_two_that_drain_at_once_each_message_is_delivered_once(
    writer: subprocess.Popen[bytes], arrivals: Arrivals, directory: Path
) -> None:
    command = [*COMMAND, "drain", str(directory), "--server", arrivals.url, "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [each.communicate() for each in both]
    found = [json.loads(output) for output, _ in outputs]
    assert sum(each["delivered"] for each in found) == 3_000
    assert sorted(ids(arrivals)) == sorted(f"a{number}" for number in range(3_000))
    for process, (_, errors) in zip(both, outputs, strict=True):
        # Who comes second says so, unless the first has finished by then.
        assert process.returncode == 0 or errors.startswith(b"held: another process is delivering this directory (")


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_full_disk_behind_the_output_keeps_nothing_from_being_delivered(
    name: str, arrivals: Arrivals, directory: Path
) -> None:
    store(directory, event("a1"), event("a2"))
    arrivals.rejected_insert_ids.add("a2")
    command = [*COMMAND, "drain", str(directory), "--server", arrivals.url]
    with Path("/dev/full").open("w") as full:
        outputs = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, name: full}
        done = subprocess.run(command, check=False, **outputs)
    assert done.returncode == 1
    assert sorted(ids(arrivals)) == ["a1", "a2"]


def test_an_export_that_cannot_be_written_is_told(directory: Path) -> None:
    store(directory, event("a1"))
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "spool", str(directory), "export"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"the messages could not be written: No space left on device\n"


def test_an_export_of_which_nobody_wants_the_rest_ends_quietly(directory: Path) -> None:
    store(directory, *(event(f"a{number}") for number in range(2_000)))
    command = f"{' '.join(COMMAND)} spool {directory} export | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [("export >&-", "standard output is closed"), ("discard --state held <&-", "--yes is needed")],
)
def test_what_is_closed_is_told_as_wrong_usage(arguments: str, sentence: str, directory: Path) -> None:
    store(directory, event("a1"))
    command = f"exec {' '.join(COMMAND)} spool {directory} {arguments}"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(list(read_spool(directory))) == 1


def test_a_disk_that_cannot_be_read_is_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(EIO, "Input/output error")

    store(directory, event("a1"))
    monkeypatch.setattr(Disk, "names", fail)
    for arguments in ((), ("list",), ("export",)):
        result = run("spool", directory, *arguments)
        assert result.exit_code == 2
        assert f"{directory} cannot be used: Input/output error" in result.stderr


def test_interrupted_it_says_what_is_left(directory: Path) -> None:
    store(directory, event("a1"), add())
    command = [*COMMAND, "drain", str(directory), "--server", CLOSED]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # takes no lock
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert first == "the server was not reached: the server could not be connected to\n"
    assert (process.returncode, output) == (1, figures(read=2, held=2))
    assert errors == "held: the command was interrupted (2)\n"


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 1)])
def test_a_person_is_asked_before_messages_are_thrown_away(
    answer: bytes, code: int, left: int, directory: Path
) -> None:
    park(directory, "rejected", event("a1"))
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, "spool", str(directory), "discard", "--state", "rejected"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.write(ours, answer)
        output, errors = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code
    assert output == b"%d discarded\n" % (1 - left)
    assert errors.startswith(b"Throw away 1 message for ever? [y/N]: ")
    assert len(list(read_spool(directory, section="rejected"))) == left
