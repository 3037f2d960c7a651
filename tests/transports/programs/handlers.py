"""
Sends from a signal handler and from finalisers too. Arguments: paper, seconds, a directory for a spool or nothing.
"""

from __future__ import annotations

import gc
import signal
import sys
import time

import paper

_, path, seconds, spool = sys.argv
buffered = paper.transport(paper.post_to(path), **({"spool": spool} if spool else {}))
counts = {"main": 0, "signal": 0, "del": 0}
counting = True
ENOUGH = 50


def send(kind: str) -> None:
    counts[kind] += 1
    buffered.send(paper.event(f"{kind}-{counts[kind]}"))


class Final:
    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        if counting:
            send("del")


def at_alarm(*_: object) -> None:
    if counting:
        send("signal")
        # Only now: on a slow machine the next alarm would come before this one is done, and so on without end.
        signal.setitimer(signal.ITIMER_REAL, 0.004)


signal.signal(signal.SIGALRM, at_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.004)
end = time.monotonic() + float(seconds)
# As long as is said, and on a slow machine longer: until handlers have sent what the test demands.
while time.monotonic() < end or (counts["signal"] <= ENOUGH and time.monotonic() < end + 30):
    for _ in range(200):
        send("main")
        Final()
    gc.collect()
    buffered.flush(0.5)
gc.collect()
counting = False
signal.setitimer(signal.ITIMER_REAL, 0)
buffered.close(20.0)
stats = buffered.stats()
print(sum(counts.values()), stats.accepted, stats.delivered, stats.dropped, counts["signal"])
