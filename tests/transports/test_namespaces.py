"""
What needs a network or a file system that can be broken: each test has its own, in namespaces of the kernel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

HERE: Final = Path(__file__).parent
PATIENCE: Final = 30.0
COUNT: Final = 10

pytestmark = pytest.mark.needs("unshare")


def scene(namespaces: str, program: str, *arguments: object) -> Any:  # Any: JSON
    """
    Play a scene of a program, as root of namespaces of its own, and return what it says.
    """
    played = subprocess.run(
        ["unshare", namespaces, sys.executable, str(HERE / "programs" / program), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert played.returncode == 0, played.stderr
    return json.loads(played.stdout)


@pytest.fixture(scope="module")
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> Any:  # Any: JSON
    return scene("-rnm", "dead_network.py", "silent_names", tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def unreached(tmp_path_factory: pytest.TempPathFactory) -> Any:  # Any: JSON
    return scene("-rnm", "dead_network.py", "dead_addresses", tmp_path_factory.mktemp("addresses"))


def was_left_alone(closed: Any) -> bool:  # Any: JSON
    """
    Whether nobody waited for the network but the worker, and no message went astray.
    """
    return max(closed["slowest"], closed["seconds"]) < 5 and closed["held"] == closed["sum"] == COUNT


# Row 3: the server for names never answers. In these scenes it is asked for a minute, longer than the test may take.


@pytest.mark.needs("ip")
def test_row_3_while_names_are_not_answered_only_the_worker_waits(unanswered: Any) -> None:
    assert unanswered["was_asked"]
    closed = unanswered["memory"]
    assert was_left_alone(closed)
    assert closed["failed"] + closed["unknown"] == COUNT


@pytest.mark.needs("ip")
def test_row_3_while_names_are_not_answered_a_spool_keeps_everything(unanswered: Any) -> None:
    assert was_left_alone(unanswered["spool"])
    assert unanswered["spool"]["kept"] == COUNT


@pytest.mark.needs("ip")
def test_row_3_when_the_resolver_gives_up_the_request_was_certainly_not_received(unanswered: Any) -> None:
    posted = unanswered["posted"]
    assert (posted["maybe_received"], posted["blocked"]) == (False, False)
    assert posted["reason"] == "the host name 'nobody.example' was not found"


# Row 4: the kernel refuses an address, or what is sent to it vanishes.


@pytest.mark.needs("ip")
@pytest.mark.parametrize(
    ("address", "reason"),
    [("refused", "the server could not be connected to"), ("swallowed", "the connection timed out")],
)
def test_row_4_what_never_arrives_was_certainly_not_received(unreached: Any, address: str, reason: str) -> None:
    posted = unreached[address]
    assert (posted["maybe_received"], posted["blocked"], posted["reason"]) == (False, False, reason)
    assert posted["seconds"] < 5


@pytest.mark.needs("ip")
def test_row_4_with_a_blackholed_server_close_returns_in_time_and_accounts_for_all(unreached: Any) -> None:
    closed = unreached["memory"]
    assert was_left_alone(closed)
    assert closed["failed"] + closed["unknown"] == COUNT


@pytest.mark.needs("ip")
@pytest.mark.parametrize("address", ["spool_of_refused", "spool_of_swallowed"])
def test_row_4_with_a_blackholed_server_a_spool_keeps_everything(unreached: Any, address: str) -> None:
    assert was_left_alone(unreached[address])
    assert unreached[address]["kept"] == COUNT


# Row 42: a disk that is full.


def test_row_42_a_full_disk_takes_no_more_and_is_used_again_when_there_is_room(tmp_path: Path) -> None:
    said = scene("-rm", "full_disk.py", "resumes", tmp_path)
    assert said["trouble"] == "disk full"
    assert said["more"] > 0
    assert said["is_as_accepted"]
    assert said["dropped"] == {}


def test_row_42_a_spool_that_filled_the_disk_is_drained_and_makes_room(tmp_path: Path) -> None:
    said = scene("-rm", "full_disk.py", "is_drained", tmp_path)
    assert said["trouble"] == "disk full"
    assert said["is_as_accepted"]
    assert said["room"] > 0
    assert said["files"] == []


def test_row_42_while_the_disk_is_full_messages_are_delivered_from_memory(tmp_path: Path) -> None:
    said = scene("-rm", "full_disk.py", "is_delivered", tmp_path)
    assert said["was_full"]
    assert said["accepted"] == said["delivered"] == 1000
    assert said["is_each_posted_once"]


# Row 44: a disk that becomes read-only.


def test_row_44_a_read_only_disk_is_a_disk_that_failed_until_it_can_be_written_again(tmp_path: Path) -> None:
    said = scene("-rm", "read_only_disk.py", tmp_path)
    assert said["trouble"] == ["disk failed", "disk failed"]
    assert said["waiting"] == 2
    assert said["adopted"] == 0
    assert said["later"] == ""
    assert said["is_as_accepted"]
    assert said["left"] == []


def test_row_44_a_spool_that_has_to_be_made_on_a_read_only_disk_is_a_mistake(tmp_path: Path) -> None:
    assert "read-only" in scene("-rm", "read_only_disk.py", tmp_path)["mistake"]
