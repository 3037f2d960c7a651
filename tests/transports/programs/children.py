"""
Children of multiprocessing. Arguments: paper, start method, how a child ends, a directory for a spool or nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

import paper

_, path, method, end, spool = sys.argv
buffered = None


def made():
    return paper.transport(
        (lambda _request: paper.DOWN) if spool else paper.post_to(path), **({"spool": spool} if spool else {})
    )


def work(number: int) -> None:
    global buffered  # noqa: PLW0603
    if buffered is None:
        buffered = made()
    for each in range(20):
        buffered.send(paper.event(f"child-{number}-{each}"))
    if end == "close":
        buffered.close(10.0)
    elif end == "os._exit":
        os._exit(0)


if __name__ == "__main__":
    buffered = made()
    buffered.send(paper.event("parent"))
    context = multiprocessing.get_context(method)
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    buffered.close(0.3 if spool else 10.0)
