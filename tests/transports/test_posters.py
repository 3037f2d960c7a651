"""
Threads that make requests.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest
from worlds import DOWN, GOOD, NOW, PROJECT, Gate, World, events, eventually

from mixwire.core import Answer, NoResponse, Request
from mixwire.core.lanes import Job, Lanes
from mixwire.transports.posters import Answered, Posters, answer_to, is_delivering


def jobs(count: int) -> list[Job]:
    lanes = Lanes(PROJECT, flush_after_seconds=0.0)
    lanes.add(events(1), None, 0.0, NOW)
    (job,) = lanes.start(0.0, NOW)
    return [job] * count


def test_each_answer_comes_back_with_its_job() -> None:
    answers: SimpleQueue[Answered] = SimpleQueue()
    posters = Posters(World().post, answers.put, 2)
    (job,) = jobs(1)
    assert posters.take(job, 0)
    assert answers.get(timeout=5.0) == Answered(job, GOOD)
    posters.stop()


def test_threads_are_started_as_they_are_needed_and_no_more() -> None:
    before = set(threading.enumerate())
    gate = Gate()
    world = World(gate)
    answers: SimpleQueue[Answered] = SimpleQueue()
    posters = Posters(world.post, answers.put, 3)
    for under_way, job in enumerate(jobs(5)):
        assert posters.take(job, under_way)
    eventually(lambda: len(world.requests) == 3)
    gate.is_open.set()
    eventually(lambda: answers.qsize() == 5)
    assert world.most["/track"] == 3
    posters.stop()
    eventually(lambda: set(threading.enumerate()) <= before)


def test_row_59_no_thread_is_started_when_none_may_be() -> None:
    posters = Posters(World().post, lambda _answered: None, 3)
    posters.may_start_threads = False
    assert not posters.take(jobs(1)[0], 0)


def test_row_65_a_thread_that_cannot_be_started_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    def refuse(_thread: threading.Thread) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    answers: SimpleQueue[Answered] = SimpleQueue()
    posters = Posters(World().post, answers.put, 3)
    (job,) = jobs(1)
    assert not posters.take(job, 0)
    assert not posters.take(job, 0)
    assert tries == 1
    monkeypatch.undo()
    posters._start_again_at = 0.0
    assert posters.take(job, 0)
    answers.get(timeout=5.0)
    posters.stop()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_row_66_whatever_ends_a_request_ends_no_thread_and_is_doubt(error: type[BaseException]) -> None:
    def broken(_request: Request) -> Answer:
        raise error("secret")

    answers: SimpleQueue[Answered] = SimpleQueue()
    posters = Posters(broken, answers.put, 1)
    for job in jobs(2):
        assert posters.take(job, 0)
        answer = answers.get(timeout=5.0).answer
        assert isinstance(answer, NoResponse)
        assert answer.maybe_received
        assert "secret" not in answer.reason
    posters.stop()


def test_row_64_a_thread_knows_that_it_is_making_a_request() -> None:
    seen: list[bool] = []
    request = jobs(1)[0].request

    def post(_request: Request) -> Answer:
        other = threading.Thread(target=lambda: seen.append(is_delivering()))
        other.start()
        other.join()
        seen.append(is_delivering())
        return DOWN

    assert answer_to(post, request) is DOWN
    assert seen == [False, True]
    assert not is_delivering()
