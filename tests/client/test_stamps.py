"""
Times and ids that the shell gives to operations.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from mixwire import Mixpanel, stamps
from mixwire.core import Project, Track, encode
from mixwire.stamps import ContentIds, milliseconds_now, new_insert_id
from mixwire.testing import MemoryTransport


def test_the_time_is_in_milliseconds() -> None:
    before = int(time.time() * 1000)
    assert before <= milliseconds_now() <= int(time.time() * 1000) + 1


def test_the_id_of_a_text_is_the_same_in_each_run_and_allowed() -> None:
    first, second = ContentIds(), ContentIds()
    assert first(b"text") == second(b"text")
    assert re.fullmatch("[0-9a-f]{36}", first(b"other"))


def test_the_same_text_twice_in_one_run_has_two_ids() -> None:
    ids = ContentIds()
    assert ids(b"text") != ids(b"text")


# Random ids.


def test_a_new_id_is_32_hexadecimal_characters() -> None:
    assert all(re.fullmatch("[0-9a-f]{32}", new_insert_id()) for _ in range(1000))


def test_a_new_id_is_one_that_events_take() -> None:
    insert_id = new_insert_id()
    track = Track("Opened", distinct_id="user-1", time=milliseconds_now(), insert_id=insert_id)
    assert encode(track, Project("token")).to_wire()["properties"]["$insert_id"] == insert_id  # type: ignore[index, call-overload]


def test_where_processes_do_not_fork_ids_are_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    make = runpy.run_path(str(stamps.__file__))["new_insert_id"]
    assert len({make() for _ in range(1000)}) == 1000


def test_new_ids_differ() -> None:
    assert len({new_insert_id() for _ in range(10_000)}) == 10_000


def test_new_ids_of_several_threads_differ() -> None:
    made: list[list[str]] = []
    together = threading.Barrier(8)

    def make() -> None:
        together.wait()
        made.append([new_insert_id() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = Counter(each for some in made for each in some)
    assert (len(counted), counted.total()) == (40_000, 40_000)


def in_children(count: int, make: Callable[[], list[str]]) -> list[list[str]]:
    """
    What so many children of this process make, each of them forked before the next.
    """
    made: list[list[str]] = []
    for _ in range(count):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # pragma: no cover  # in another process
            try:
                with os.fdopen(writing, "w") as pipe:
                    json.dump(make(), pipe)
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            made.append(json.load(pipe))
        os.waitpid(child, 0)
    return made


@pytest.mark.parametrize("made_before", [0, 1, 100, 255, 256, 257])
def test_new_ids_after_a_fork_differ_from_those_of_the_parent_and_the_siblings(made_before: int) -> None:
    ids = [new_insert_id() for _ in range(made_before)]
    children = in_children(3, lambda: [new_insert_id() for _ in range(600)])
    ids += [new_insert_id() for _ in range(600)]
    counted = Counter(ids + [each for some in children for each in some])
    assert (len(counted), counted.total()) == (made_before + 2_400, made_before + 2_400)


def test_events_of_one_door_after_a_fork_have_ids_of_their_own() -> None:
    memory = MemoryTransport()
    mp = Mixpanel("token", transport=memory)

    def track() -> list[str]:
        memory.clear()
        for _ in range(10):
            mp.track("user-1", "Opened")
        return [json.loads(message.body)["properties"]["$insert_id"] for message in memory.messages]

    parent = track()
    (child,) = in_children(1, track)
    assert len(set(parent + child + track())) == 30
