"""
Is interrupted again and again while it sends and closes. Arguments: paper, seed, mode.
"""

from __future__ import annotations

import random
import signal
import sys
import time

import paper

_, path, seed, mode = sys.argv
chance = random.Random(int(seed))
options = {"threads": {}, "spool": {"spool": path + ".spool"}, "no threads": {"background": False, "max_messages": 5}}
accepted, doubtful = [], []
armed = {"for the next alarm": False}
ENOUGH = 50


def interrupt(*_: object) -> None:
    if armed["for the next alarm"]:
        raise KeyboardInterrupt


def arm() -> None:
    """
    Have one interrupt come soon.
    """
    armed["for the next alarm"] = True
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00002, 0.002))


signal.signal(signal.SIGALRM, interrupt)
post = paper.post_to(path, 0.0005 if mode == "no threads" else 0.0)
buffered = paper.transport(post, **options[mode])
end = time.monotonic() + 1.0
number = interrupts = 0
# As long as that, and on a slow machine longer: until it was interrupted as often as the test demands.
while time.monotonic() < end or (interrupts <= ENOUGH and time.monotonic() < end + 30):
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
        armed["for the next alarm"] = False
        break
    except KeyboardInterrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
buffered.close(2.0 if mode == "no threads" else 10.0)
stats = buffered.stats()
assert interrupts > ENOUGH, interrupts
print(*accepted)
print(*doubtful)
print(stats.accepted, stats.held, stats.delivered)
