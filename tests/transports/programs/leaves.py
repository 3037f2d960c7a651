"""
Ends without closing. Arguments: paper, how the server is, how threads are, a directory for a spool or nothing.
"""

from __future__ import annotations

import _thread
import atexit
import sys
import threading
import time

import paper

_, path, server, state, spool = sys.argv


def say(line: str) -> None:
    # In one piece: several threads do.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def hang(_request: object) -> object:
    time.sleep(60.0)
    return paper.DOWN


def refuse(*_: object, **__: object) -> None:
    say("a thread is started")
    raise RuntimeError("can't start new thread")


def nothing_starts() -> None:
    say("exit")
    threading.Thread.start = refuse  # type: ignore[method-assign]
    _thread.start_new_thread = refuse  # type: ignore[assignment]


post = {"well": paper.post_to(path), "dead": lambda _request: paper.DOWN, "mute": hang}[server]
others = [
    paper.transport(hang, exit_seconds=0.5, flush_after_seconds=3600.0) for _ in range(2 if state == "many" else 0)
]
buffered = paper.transport(
    post,
    exit_seconds=0.5,
    flush_after_seconds=3600.0,
    on_outcome=lambda outcome: say(f"heard {len(outcome)}"),
    **({"spool": spool} if spool else {}),
)
if state == "none":
    start, threading.Thread.start = threading.Thread.start, refuse  # type: ignore[method-assign]
for other in others:
    other.send(paper.event("other"))
for number in range(10):
    buffered.send(paper.event(f"{number}"))
if state == "busy":
    buffered.flush(0.3)
atexit.register(nothing_starts)
