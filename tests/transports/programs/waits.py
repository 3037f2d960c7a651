"""
Sends into a spool and waits to be killed. Arguments: spool, how requests go.
"""

from __future__ import annotations

import signal
import sys
import time

import paper

from mixwire.core import Answer, Request

_, spool, way = sys.argv
before = [signal.getsignal(number) for number in signal.valid_signals()]


def post(request: Request) -> Answer:
    if way == "hang" and not request.repeatable:
        print("posting", flush=True)
        time.sleep(60.0)
    return paper.DOWN


buffered = paper.transport(post, spool=spool)
if way == "hang":
    buffered.send(paper.addition(1))
    time.sleep(60.0)
for number in range(500):
    buffered.send(paper.event(f"{number}"), paper.update(number))
assert before == [signal.getsignal(number) for number in signal.valid_signals()]
print("sent", flush=True)
time.sleep(60.0)
