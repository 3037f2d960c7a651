"""
Is interrupted again and again while it sends and closes. Arguments: paper, seed, mode.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time

import paper

_, path, seed, mode = sys.argv
chance = random.Random(int(seed))
options = {"threads": {}, "spool": {"spool": path + ".spool"}, "no threads": {"background": False, "max_messages": 5}}
accepted, doubtful = [], []


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def arm() -> None:
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, 0.002))


signal.signal(signal.SIGALRM, interrupt)
post = paper.post_to(path, 0.0005 if mode == "no threads" else 0.0)
buffered = paper.transport(post, **options[mode])
end = time.monotonic() + 1.0
number = interrupts = 0
while time.monotonic() < end:
    name = None
    try:
        arm()
        while True:
            number += 1
            name = None
            message = paper.event(f"{number}")
            name = f"{number}"
            buffered.send(message)
            accepted.append(name)
    except KeyboardInterrupt:
        interrupts += 1
        if name is not None and accepted[-1:] != [name]:
            doubtful.append(name)
for _ in range(100):
    try:
        arm()
        buffered.close(1.0)
        break
    except KeyboardInterrupt:
        interrupts += 1
while signal.getsignal(signal.SIGALRM) is not signal.SIG_IGN:
    # The last alarm may come at any moment, here too.
    with contextlib.suppress(KeyboardInterrupt):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_REAL, 0)
buffered.close(2.0 if mode == "no threads" else 10.0)
stats = buffered.stats()
assert interrupts > 50, interrupts
print(*accepted)
print(*doubtful)
print(stats.accepted, stats.held, stats.delivered)
