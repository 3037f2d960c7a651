"""
Forks in unusual places. Arguments: paper, place.
"""

from __future__ import annotations

import os
import sys
import threading

import paper

from mixwire.core import Answer, Outcome, Request
from mixwire.transports import buffered as module

path, place = sys.argv[1:]
post_on_paper = paper.post_to(path)


def child_sends(name: str) -> None:
    """
    Fork, and have the child send and close.
    """
    child = os.fork()
    if not child:
        buffered.send(paper.event(name))
        buffered.close(10.0)
        os._exit(0)
    os.waitpid(child, 0)


def hear(_outcome: Outcome) -> None:
    if place == "callback" and not heard.is_set():
        heard.set()
        child_sends("child")
    elif place == "callback that returns" and not heard.is_set():
        heard.set()
        if not os.fork():
            # Only this thread is left, and goes on as if it were the parent's.
            threading.Timer(0.3, os._exit, (0,)).start()


def post(request: Request) -> Answer:
    if place.startswith("request") and not heard.is_set():
        heard.set()
        if not os.fork():
            threading.Timer(0.3, os._exit, (0,)).start()
            return paper.GOOD
    return post_on_paper(request)


heard = threading.Event()
buffered = paper.transport(post, on_outcome=hear, max_messages=1, background=place != "request without threads")
buffered.send(*[paper.event(f"parent-{number}") for number in range(5)])
match place:
    case "thread":
        thread = threading.Thread(target=child_sends, args=("child",))
        thread.start()
        thread.join()
    case "depth":
        depth = 0
        while depth < 3:
            child = os.fork()
            buffered.send(paper.event(f"depth-{depth}-{'parent' if child else 'child'}"))
            if child:
                os.waitpid(child, 0)
                break
            depth += 1
        buffered.close(10.0)
        os._exit(0)
    case "no hooks":
        # As if the fork happened in C.
        module._OPEN.discard(buffered)
        child_sends("child")
    case _:
        assert heard.wait(10.0)
buffered.close(10.0)
