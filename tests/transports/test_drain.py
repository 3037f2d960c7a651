"""
Delivering a spool until it is empty, or until there is a reason to stop.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from errno import EROFS
from pathlib import Path

import pytest

from mixwire.core import (
    Add,
    Answer,
    InvalidValue,
    Message,
    NoResponse,
    PeopleOp,
    Project,
    Request,
    Response,
    Set,
    Track,
    encode,
)
from mixwire.core.frames import FORMAT
from mixwire.transports import FileTransport
from mixwire.transports.disk import Disk
from mixwire.transports.drain import Drained, drain, is_taken, unreadable
from mixwire.transports.file import read_spool
from mixwire.transports.spool import Spool

PROJECT = Project("T0")
OTHER = Project("T1")
DAY_MS = 86_400_000


def event(name: str, *, age_ms: int = 0, project: Project = PROJECT) -> Message:
    time_ms = time.time_ns() // 1_000_000 - age_ms
    return encode(Track("E", distinct_id="user-1", properties={}, time=time_ms, insert_id=name), project)


def add(number: int) -> Message:
    return encode(PeopleOp("user-1", Add({"n": number})), PROJECT)


def put(number: int) -> Message:
    return encode(PeopleOp("user-1", Set({"n": number})), PROJECT)


def store(directory: Path, *messages: Message, project: Project | None = PROJECT) -> None:
    with FileTransport(directory, project=project) as transport:
        assert not len(transport.send(*messages))


class Server:
    """
    Takes everything unless told otherwise, and keeps what it took.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, list[str]]] = []
        self.answer: Callable[[Request], Answer | None] = lambda request: None
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        answer = self.answer(request)
        if answer is not None:
            return answer
        records = json.loads(request.body)
        with self._lock:
            self.requests.append((request.url, [name_of(record) for record in records]))
        if "/import" in request.url:
            return response(200, {"code": 200, "status": "OK", "num_records_imported": len(records)})
        return response(200, {"status": 1, "error": None})

    @property
    def names(self) -> list[str]:
        return [name for _, names in self.requests for name in names]


def name_of(record: dict[str, dict[str, str]]) -> str:
    if "event" in record:
        return record["properties"]["$insert_id"]
    return next(f"{key[1:]} {record[key]['n']}" for key in ("$add", "$set") if key in record)


def response(status: int, answer: object) -> Response:
    return Response(status=status, headers=(), body=json.dumps(answer).encode())


def unreachable(request: Request) -> Answer:
    return NoResponse(reason="no route", maybe_received=False)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def run(tmp_path: Path, server: Server) -> Iterator[Callable[..., Drained]]:
    def deliver(**arguments: object) -> Drained:
        given: dict[str, object] = {"patience_seconds": 20.0, "post": server, **arguments}
        return drain(tmp_path / "spool", PROJECT, **given)  # type: ignore[arg-type]

    yield deliver
    # Whatever became of it, the right to deliver was given back.
    if (tmp_path / "spool").is_dir() and not (tmp_path / "spool").stat().st_mode & 0o077:
        assert not is_taken(Disk(str(tmp_path / "spool"), makes=False), "held")


def test_all_that_is_there_is_delivered_and_nothing_is_left(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", *(event(f"i{number}") for number in range(5_000)))
    store(tmp_path / "spool", put(1), add(2))
    progress: list[tuple[int, int]] = []
    drained = run(on_progress=lambda settled, there: progress.append((settled, there)))
    assert drained.is_success
    assert (drained.end, drained.read, drained.delivered, drained.held) == ("done", 5_002, 5_002, 0)
    assert sorted(server.names) == sorted([*(f"i{number}" for number in range(5_000)), "set 1", "add 2"])
    assert progress[-1] == (5_002, 5_002)
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["held.lock"]


def test_an_event_too_old_for_track_goes_to_import(tmp_path: Path, server: Server, run: Callable[..., Drained]) -> None:
    store(tmp_path / "spool", event("old-1", age_ms=6 * DAY_MS), event("new-1"))
    assert run().is_success
    assert {(url.split("?")[0].rpartition("/")[2], *names) for url, names in server.requests} == {
        ("import", "old-1"),
        ("track", "new-1"),
    }


def test_in_an_empty_directory_there_is_nothing_to_do_and_nothing_is_made(
    tmp_path: Path, run: Callable[..., Drained]
) -> None:
    (tmp_path / "spool").mkdir(0o700)
    drained = run()
    assert drained.is_success
    assert drained.read == 0
    assert not list((tmp_path / "spool").iterdir())


def test_a_missing_directory_is_a_mistake_and_is_not_made(tmp_path: Path, run: Callable[..., Drained]) -> None:
    with pytest.raises(InvalidValue, match="not a missing one"):
        run()
    assert not (tmp_path / "spool").exists()


def test_row_49_a_directory_open_to_others_is_refused(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"))
    (tmp_path / "spool").chmod(0o777)
    with pytest.raises(InvalidValue, match=r"not one open to others \(mode 0777\)"):
        run()
    assert server.names == []


def test_row_49_a_file_open_to_others_is_not_used_and_told(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"))
    store(tmp_path / "spool", event("i2"))
    first = min((tmp_path / "spool").glob("*.held"))
    first.chmod(0o644)
    drained = run()
    assert server.names == ["i2"]
    assert drained.unreadable == 1
    assert not drained.is_success
    first.unlink()
    first.symlink_to("/etc/passwd")
    assert unreadable(Disk(str(tmp_path / "spool")), "held") == 1


def test_a_directory_that_cannot_be_written_is_a_mistake(
    tmp_path: Path, run: Callable[..., Drained], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Disk, name: str) -> tuple[int, bool]:
        raise OSError(EROFS, "Read-only file system")

    store(tmp_path / "spool", event("i1"))
    monkeypatch.setattr(Disk, "open_or_create", fail)
    with pytest.raises(InvalidValue, match=r"not one that cannot \(Read-only file system\)"):
        run()


def test_the_messages_of_another_project_are_refused(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1", project=OTHER), project=OTHER)
    with pytest.raises(InvalidValue, match="project must be the one with the token of these messages"):
        run()
    assert server.names == []


def test_the_messages_of_another_project_beside_our_own_are_left_alone_and_told(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("other", project=OTHER), project=OTHER)
    store(tmp_path / "spool", event("own-1"))
    store(tmp_path / "spool", event("nobody-1"), project=None)
    drained = run()
    assert sorted(server.names) == ["nobody-1", "own-1"]
    assert (drained.end, drained.other_projects, drained.is_success) == ("done", 1, False)
    assert len(list(read_spool(tmp_path / "spool"))) == 1


def test_row_53_a_file_of_a_newer_version_is_left_alone_and_told(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"))
    newer = tmp_path / "spool" / f"{9:016}-0123abcd.held"
    newer.write_text(json.dumps({"format": FORMAT, "version": 2}) + "\n")
    newer.chmod(0o600)
    drained = run()
    assert (server.names, drained.other_versions, drained.is_success) == (["i1"], 1, False)
    assert newer.exists()


def test_row_37_a_damaged_line_costs_itself_alone_and_is_told(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"), event("i2"), event("i3"))
    (file,) = (tmp_path / "spool").glob("*.held")
    file.write_bytes(file.read_bytes().replace(b'"i2"', b'"i9"'))
    drained = run()
    assert sorted(server.names) == ["i1", "i3"]
    assert (drained.end, drained.damaged, drained.is_success) == ("done", 1, False)
    assert run().is_success


def test_it_ends_when_nothing_gets_through_for_so_long_and_says_why(
    tmp_path: Path, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"), add(2))
    told: list[str] = []
    begun = time.monotonic()
    drained = run(post=unreachable, patience_seconds=0.3, on_trouble=told.append)
    assert time.monotonic() - begun < 10
    assert (drained.end, drained.held, drained.delivered) == ("patience", 2, 0)
    assert drained.troubles == ("the server was not reached: no route",)
    assert told == list(drained.troubles)
    assert not drained.is_success
    assert run().is_success


def test_it_goes_on_for_as_long_as_something_gets_through(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    # Neighbours of which only one is repeatable do not share a request.
    store(tmp_path / "spool", *(add(number) if number % 2 else put(number) for number in range(10)))
    server.answer = lambda request: time.sleep(0.25)
    assert run(patience_seconds=2.0).is_success
    assert len(server.requests) == 10


def test_row_46_it_says_so_when_another_process_delivers_the_directory(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"))
    other = Spool(tmp_path / "spool")
    assert other.adopt()
    drained = run()
    assert (drained.end, drained.held, drained.is_success, server.names) == ("taken", 1, False, [])
    other.close()
    assert run().is_success
    assert server.names == ["i1"]


def test_row_46_what_another_process_delivers_itself_is_left_to_it(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", event("i1"))
    other = Spool(tmp_path / "spool", project=PROJECT, delivers=True)
    other.append([event("i2")])
    drained = run()
    assert (drained.end, drained.delivered, drained.held) == ("taken", 1, 1)
    other.close()
    assert run().is_success
    assert server.names == ["i1", "i2"]


def test_row_46_when_another_process_has_delivered_it_meanwhile_all_is_well(
    tmp_path: Path, server: Server, run: Callable[..., Drained], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "spool", event("i1"))
    other = Spool(tmp_path / "spool")
    (segment,) = other.adopt()

    def deliver(seconds: float) -> None:
        other.settle([stored.place for stored in segment.read(0, 1_000).stored])

    monkeypatch.setattr(time, "sleep", deliver)
    drained = run()
    other.close()
    assert (drained.end, drained.read, drained.held) == ("done", 0, 0)


def test_somebody_who_only_looks_at_the_lock_is_nobody_who_delivers(
    tmp_path: Path, run: Callable[..., Drained], monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "spool", event("i1"))
    disk = Disk(str(tmp_path / "spool"))
    file, _ = disk.open_or_create("held.lock")
    assert disk.lock(file)
    looks: list[float] = []
    really = time.sleep

    def look_away(seconds: float) -> None:
        if not looks:
            disk.free(file)
        looks.append(seconds)
        really(seconds)

    monkeypatch.setattr(time, "sleep", look_away)
    assert run().is_success
    assert looks


def test_what_the_server_rejects_is_kept_with_the_reason(
    tmp_path: Path, server: Server, run: Callable[..., Drained], caplog: pytest.LogCaptureFixture
) -> None:
    store(tmp_path / "spool", event("bad-1", age_ms=6 * DAY_MS), event("good-1"))
    failure = {"index": 0, "insert_id": "bad-1", "field": "properties.time", "message": "bad"}

    def reject(request: Request) -> Answer | None:
        answer = {"code": 400, "error": "some", "failed_records": [failure], "num_records_imported": 0}
        return response(400, answer) if "/import" in request.url else None

    server.answer = reject
    drained = run()
    assert (drained.end, drained.read, drained.delivered, drained.held) == ("done", 2, 1, 0)
    assert drained.rejected == {"properties.time: bad": 1}
    assert not drained.is_success
    # The result says it.
    assert (drained.troubles, caplog.messages) == ((), [])
    (kept,) = read_spool(tmp_path / "spool", section="rejected")
    assert kept.note is not None
    assert (kept.note.field, kept.note.reason) == ("properties.time", "bad")


def test_what_may_have_been_applied_and_would_count_twice_is_kept_and_not_sent_again(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", add(1))
    server.answer = lambda request: NoResponse(reason="reset", maybe_received=True)
    drained = run()
    assert (drained.end, drained.held, drained.unknown) == ("done", 0, {"the answer was lost (reset)": 1})
    assert not drained.is_success
    server.answer = lambda request: None
    assert run().is_success
    assert server.names == []
    assert len(list(read_spool(tmp_path / "spool", section="unknown"))) == 1


def test_row_35_an_intent_without_a_result_is_unknown_and_the_rest_is_delivered(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    spool = Spool(tmp_path / "spool", project=PROJECT, delivers=True)
    places = spool.append([add(1), add(2)])
    spool.intend(places[:1])
    spool.close()
    drained = run()
    assert server.names == ["add 2"]
    assert drained.unknown == {"the answer was lost (the process that was sending it ended)": 1}
    assert (drained.read, drained.delivered, drained.held) == (2, 1, 0)


def test_what_somebody_still_writes_is_delivered_up_to_its_end(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    with FileTransport(tmp_path / "spool", project=PROJECT) as writer:
        writer.send(event("i1"))
        assert run().is_success
        writer.send(event("i2"))
        assert run().is_success
        assert server.names == ["i1", "i2"]
        writer.send(event("i3"))
    assert run().is_success
    assert server.names == ["i1", "i2", "i3"]
    assert not list((tmp_path / "spool").glob("*.held*"))


def test_somebody_who_writes_all_the_time_does_not_keep_it_from_coming_to_an_end(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    over = threading.Event()
    sent = 0

    def write() -> None:
        nonlocal sent
        with FileTransport(tmp_path / "spool", project=PROJECT) as writer:
            while not over.wait(0.0005):
                writer.send(event(f"i{sent}"))
                sent += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while sent < 100:
            time.sleep(0.01)
        drained = run()
    finally:
        over.set()
        thread.join()
    assert drained.end == "done"
    assert drained.is_success
    assert drained.delivered >= 100
    run()
    assert sorted(server.names) == sorted(f"i{number}" for number in range(sent))


def test_an_interruption_ends_it_with_every_message_accounted_for(
    tmp_path: Path, server: Server, run: Callable[..., Drained]
) -> None:
    store(tmp_path / "spool", *(add(number) if number % 2 else put(number) for number in range(20)))

    def refuse_after_two(request: Request) -> Answer | None:
        return unreachable(request) if len(server.requests) == 2 else None

    def interrupt(settled: int, there: int) -> None:
        if settled < there:
            raise KeyboardInterrupt

    server.answer = refuse_after_two
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixwire.transports.drain._CLOSE_SECONDS", {"interrupted": 0.1})
        calls: list[int] = []

        def once(settled: int, there: int) -> None:
            calls.append(settled)
            if len(calls) == 1:
                interrupt(settled, there)

        drained = run(on_progress=once)
    assert drained.end == "interrupted"
    assert not drained.is_success
    assert (drained.delivered, drained.held, drained.read) == (2, 18, 20)
    server.answer = lambda request: None
    assert run().is_success
    assert server.names == [f"add {number}" if number % 2 else f"set {number}" for number in range(20)]


def test_what_was_settled_in_the_moment_of_an_interruption_is_counted(
    tmp_path: Path, server: Server, run: Callable[..., Drained], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixwire.transports import BufferedTransport

    store(tmp_path / "spool", add(1))
    server.answer = lambda request: NoResponse(reason="reset", maybe_received=True)
    really = BufferedTransport.flush

    def interrupted(self: BufferedTransport, timeout: float | None = None) -> None:
        really(self, 20.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(BufferedTransport, "flush", interrupted)
    drained = run()
    assert (drained.end, drained.held) == ("interrupted", 0)
    assert drained.unknown == {"not told, because it was interrupted": 1}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_patience_is_more_than_0_seconds(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="patience_seconds must be more than 0"):
        drain(tmp_path, PROJECT, patience_seconds=seconds)


def test_the_project_is_a_project(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"project must be Project\(...\), not str"):
        drain(tmp_path, "T0")  # type: ignore[arg-type]


def test_nothing_of_what_the_log_is_told_stays_behind(tmp_path: Path, run: Callable[..., Drained]) -> None:
    import logging

    before = list(logging.getLogger("mixwire").handlers)
    store(tmp_path / "spool", event("i1"))
    run(post=unreachable, patience_seconds=0.1)
    assert logging.getLogger("mixwire").handlers == before
