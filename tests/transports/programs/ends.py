"""
Children of multiprocessing that just end, by way of what starts them. Arguments: paper, start method, what starts them,
whose transport they use.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import paper

_, path, method, starter, whose = sys.argv
buffered = None
mute: list[object] = []


def made():
    # Nothing leaves before it is told to.
    options = {"flush_after_seconds": 3600.0, "background": whose != "without threads", "exit_seconds": 1.0}
    if whose == "heard":
        options["on_outcome"] = hear
    return paper.transport(paper.post_to(path, 0.05 if whose == "forgotten" else 0.0), **options)


def hear(outcome) -> None:
    time.sleep(0.1)
    os.write(1, b"heard %d\n" % len(outcome.delivered))


def work(number: int) -> int:
    global buffered  # noqa: PLW0603
    if whose == "beside mute ones":
        mute.extend(paper.transport(lambda _request: time.sleep(60.0)) for _ in range(5))
        for each in mute:
            each.send(paper.event("lost"))
    if whose == "forgotten":
        made().send(paper.event("forgotten"))
        return number
    if buffered is None or whose == "own":
        buffered = made()
    for each in range(20):
        buffered.send(paper.event(f"child-{number}-{each}"))
    return number


if __name__ == "__main__":
    context = multiprocessing.get_context(method)
    buffered = made()
    buffered.send(paper.event("parent-1"))
    if whose == "used":
        buffered.flush(10.0)
        buffered.send(paper.event("parent-2"))
    if starter == "Process":
        child = context.Process(target=work, args=(0,))
        child.start()
        child.join()
    elif starter == "Pool":
        pool = context.Pool(1)
        assert pool.map(work, [0]) == [0]
        pool.close()
        pool.join()
    else:
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            assert list(executor.map(work, [0])) == [0]
    if whose == "forgotten":
        buffered = None
    else:
        buffered.close(10.0)
