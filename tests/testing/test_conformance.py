"""
The conformance check passes transports that keep their promises and tells, for each broken one, which was broken.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import broken_transports as broken
import pytest

import mixwire.testing
from mixwire.core import Cause, InvalidValue, Project
from mixwire.testing import PROMISES, check_transport
from mixwire.transports import LoggingTransport, SyncTransport, Transport

GUARD_SECONDS = 5.0


def passes_sync(tmp_path: Path) -> None:
    check_transport(broken.instant, blocks=True)


def passes_logging(tmp_path: Path) -> None:
    check_transport(lambda _: LoggingTransport(), delivers=False)


def passes_null(tmp_path: Path) -> None:
    from mixwire.transports.null import NullTransport

    check_transport(lambda _: NullTransport(), delivers=False)


def passes_memory(tmp_path: Path) -> None:
    from mixwire.testing import MemoryTransport

    check_transport(lambda _: MemoryTransport(), delivers=False)


def passes_file(tmp_path: Path) -> None:
    from mixwire.transports.file import FileTransport

    check_transport(lambda project: FileTransport(tmp_path / "spool", project=project), delivers=False)


def buffered(project: Project, **settings: Any) -> Transport:
    from mixwire.transports.buffered import BufferedTransport

    return BufferedTransport(project, flush_after_seconds=0.01, pick=lambda *_: 0.0, **settings)


def check_side_by_side(make: broken.Make, *, blocks: bool = False) -> None:
    """
    Check all promises at once, because most of the time is spent in waits before another try.
    """
    with ThreadPoolExecutor(len(PROMISES)) as pool:
        checks = [
            pool.submit(check_transport, make, blocks=blocks, guard_seconds=2 * GUARD_SECONDS, promises=[promise])
            for promise in PROMISES
        ]
    for check in checks:
        check.result()


def passes_buffered(tmp_path: Path) -> None:
    check_side_by_side(buffered)


def passes_buffered_with_a_spool(tmp_path: Path) -> None:
    check_side_by_side(lambda project: buffered(project, spool=tmp_path / project.token))


def passes_buffered_without_a_thread(tmp_path: Path) -> None:
    check_side_by_side(lambda project: buffered(project, background=False), blocks=True)


def passes_tee(tmp_path: Path) -> None:
    from mixwire.testing import MemoryTransport
    from mixwire.transports.tee import TeeTransport

    check_transport(lambda project: TeeTransport(broken.instant(project), MemoryTransport()), blocks=True)


def passes_fallback(tmp_path: Path) -> None:
    from mixwire.testing import MemoryTransport
    from mixwire.transports.fallback import FallbackTransport

    check_transport(lambda project: FallbackTransport(broken.instant(project), LoggingTransport()), blocks=True)
    check_transport(lambda _: FallbackTransport(MemoryTransport(), MemoryTransport()), delivers=False)


def passes_holding(tmp_path: Path) -> None:
    check_transport(broken.Holding, blocks=True)


def passes_background(tmp_path: Path) -> None:
    check_transport(broken.Background)


GOOD = [
    passes_sync,
    passes_logging,
    passes_null,
    passes_memory,
    passes_file,
    passes_buffered,
    passes_buffered_with_a_spool,
    passes_buffered_without_a_thread,
    passes_tee,
    passes_fallback,
    passes_holding,
    passes_background,
]


@pytest.mark.parametrize("check", GOOD, ids=lambda check: check.__name__.removeprefix("passes_"))
def test_a_transport_that_keeps_its_promises_passes(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


BROKEN: list[tuple[broken.Make, str]] = [
    (broken.LosesEverySeventh, "outcomes are true: a message was said to be delivered that never arrived, while .*"),
    (broken.LosesSilently, "nothing is lost: 14 messages still held after flush.5., while checking .*"),
    (
        broken.LosesThroughFaults,
        "nothing is lost: 9 of 18 messages never arrived although the server was well again .*",
    ),
    (broken.PostsAgain, "nothing is doubled: a message for /engage that must not be repeated was applied twice"),
    (
        broken.BelievesInSuccess,
        "nothing is doubled: a message whose answer was lost was said to be delivered, not unknown",
    ),
    (broken.SaysFailedWhatArrived, "nothing is doubled: a message whose answer was lost was said to be failed, not .*"),
    (
        broken.ChangesBytes,
        "bytes stay the same: 3 messages of 8 arrived other than they were sent, while checking that deadlines .*",
    ),
    (broken.Reorders, "order is kept: the updates of one profile, u1, were applied in the order .*, 13, 12, 11, 10"),
    (broken.RepeatsLate, "order is kept: the updates of one profile, u1, were applied in the order 1, 2, 3, 2, 4, .*"),
    (broken.LetsOvertake, "nothing overtakes an alias: [1-4] of 4 messages about its ids overtook an alias"),
    (broken.HangsInClose, r"deadlines are kept: close\(0.5\) did not return within 2.5 seconds"),
    (
        broken.Miscounts,
        r"the figures add up: 8 accepted, but 16 in all \(16 delivered, .*, 0 held\), while checking .*",
    ),
    (broken.Misplaces, "the figures add up: 8 messages sent, but 8 settled, 0 held, 8 dropped, while checking that .*"),
    (broken.Confuses, "the figures add up: the figures say .*, but the outcomes .*"),
    (broken.CountsInTheDark, "the figures add up: 1600 messages sent, .*, while checking that threads do no harm"),
    (broken.RaisesForWeather, "weather does not raise: send raised ConnectionError, not an outcome, while checking .*"),
    (broken.DeliversAfterClose, "closing ends: a message sent after close was delivered, not failed or dropped"),
    (broken.HoldsAfterClose, "closing ends: 8 messages sent after close still held"),
    (broken.SettlesTwice, "outcomes are true: a message that was sent once was settled twice: delivered, .*"),
    (broken.TellsTwice, "outcomes are true: a message that was sent once was settled twice: .*"),
    (broken.Invents, "outcomes are true: a message that nobody sent was said to be delivered, while checking that .*"),
    (broken.DrainsNot, "nothing is lost: 16 of 16 messages never arrived although the context manager was left .*"),
    (broken.TakesAnything, "mistakes raise: send of something that is no message did not raise InvalidValue"),
    (broken.RaisesSomethingElse, "mistakes raise: send of something that is no message raised TypeError, not .*"),
    (
        broken.RaisesTooLate,
        "the figures add up: 0 messages sent, but the figures say 1 accepted, while .* mistakes raise",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_transport_is_told_by_the_promise_that_it_breaks(make: broken.Make, sentence: str) -> None:
    with pytest.raises(AssertionError) as told:
        check_transport(make, blocks=True, guard_seconds=2.0, patience_seconds=5.0)
    assert re.fullmatch(sentence, str(told.value)), str(told.value)


@pytest.mark.parametrize("promise", PROMISES)
def test_changed_bytes_are_told_before_what_follows_from_them(promise: str) -> None:
    with pytest.raises(
        AssertionError, match=r"^bytes stay the same: \d+ messages? of \d+ arrived other than they were"
    ):
        check_transport(broken.ChangesBytes, blocks=True, guard_seconds=2.0, patience_seconds=5.0, promises=[promise])


def test_a_newer_update_that_was_there_before_an_older_one_is_told_even_if_it_comes_again() -> None:
    with pytest.raises(
        AssertionError, match=r"^order is kept: .* u1, were applied in the order .*, 13, 10, 11, 12, 13$"
    ):
        check_transport(broken.PeeksAhead, blocks=True, promises=["order is kept"])
    with pytest.raises(
        AssertionError, match=r"^nothing is lost: a message for /engage arrived twice although all went"
    ):
        check_transport(broken.PeeksAhead, blocks=True, promises=["nothing is lost"])


def test_a_send_that_waits_for_a_mute_server_is_told_unless_it_may() -> None:
    with pytest.raises(AssertionError, match=r"^deadlines are kept: send did not return within 0.3 seconds$"):
        check_transport(broken.instant, guard_seconds=0.3)


def test_what_a_constructor_raises_is_not_hidden() -> None:
    with pytest.raises(OSError, match="no room"):
        check_transport(broken.refuse)


def test_an_error_of_the_transport_is_the_cause_of_what_is_told() -> None:
    with pytest.raises(AssertionError) as told:
        check_transport(broken.RaisesForWeather, blocks=True, promises=["nothing is doubled"])
    assert isinstance(told.value.__cause__, ConnectionError)
    assert "no luck" not in str(told.value)


def test_each_promise_can_be_checked_alone() -> None:
    made: list[Project] = []

    def make(project: Project) -> Transport:
        made.append(project)
        return LoggingTransport()

    for promise in PROMISES:
        check_transport(make, delivers=False, promises=[promise])
    assert len(made) == len({project.token for project in made}) == 6


def test_a_promise_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(InvalidValue, match=r"^promises must be of 'deadlines are kept', .*, not another name$"):
        check_transport(broken.instant, promises=["nothing is forgotten"])


def test_promises_that_need_a_server_are_not_asked_of_those_that_keep_messages() -> None:
    check_transport(lambda _: LoggingTransport(), delivers=False, promises=["nothing is lost"])
    with pytest.raises(AssertionError, match="never arrived"):
        check_transport(lambda _: LoggingTransport(), promises=["nothing is lost"])


def test_a_transport_that_must_be_asked_again_to_send_what_failed_loses_nothing() -> None:
    def once(project: Project) -> Transport:
        return SyncTransport(project, max_tries=1)

    check_transport(once, blocks=True, promises=[promise for promise in PROMISES if "faults" in promise])


def test_another_listener_of_the_background_is_told_too() -> None:
    told: list[int] = []

    def make(project: Project) -> Transport:
        transport = broken.Background(project)
        transport.settled_in_background = lambda outcome: told.append(len(outcome))
        return transport

    check_transport(make, promises=["nothing is lost"])
    assert sum(told) == 48


def test_the_check_closes_what_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[broken.Around] = []

    def make(project: Project) -> Transport:
        made.append(broken.Around(project))
        return made[-1]

    check_transport(make, blocks=True, promises=PROMISES[:5])
    project = Project("token", server="http://127.0.0.1:9")
    assert all(transport.send(broken.event(project)).failed[0].cause is Cause.CLOSED for transport in made)


def test_the_check_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    check_transport(broken.instant, blocks=True, promises=PROMISES[:5])
    end = time.monotonic() + GUARD_SECONDS
    while (left := set(threading.enumerate()) - before) and time.monotonic() < end:
        time.sleep(0.01)
    assert not left


def test_no_token_is_in_what_is_told_or_shown(caplog: pytest.LogCaptureFixture) -> None:
    tokens: list[str] = []

    def make(project: Project) -> Transport:
        tokens.append(project.token)
        return broken.LosesEverySeventh(project)

    with caplog.at_level(logging.DEBUG), pytest.raises(AssertionError) as told:
        check_transport(make, blocks=True)
    assert not [token for token in tokens if token in str(told.value) + caplog.text]


def test_importing_the_testing_kit_needs_no_hypothesis() -> None:
    code = "import mixwire.testing as t; [getattr(t, name) for name in t.__all__]; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "hypothesis" not in loaded
    assert "pytest" not in loaded


def test_a_name_that_the_kit_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Jury'"):
        mixwire.testing.Jury  # noqa: B018
