"""
Appends to a spool and settles what is older, without end, and says each step on its output. Begins with a given number.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from spool_kit import event

from mixwire.transports.spool import Place, Spool

UNSETTLED = 20


def say(word: str, numbers: list[int]) -> None:
    os.writev(1, [f"{word} {' '.join(map(str, numbers))}\n".encode()])


if __name__ == "__main__":
    number = int(sys.argv[2])
    spool = Spool(Path(sys.argv[1]), delivers=True, max_segment_bytes=10_000, sync_after_seconds=0.001)
    waiting: dict[int, Place] = {}
    while True:
        numbers = [number, number + 1, number + 2]
        number += 3
        say("appending", numbers)
        waiting.update(zip(numbers, spool.append([event(each) for each in numbers]), strict=True))
        say("appended", numbers)
        if len(waiting) > UNSETTLED:
            oldest = list(waiting)[:UNSETTLED]
            say("settling", oldest)
            spool.settle([waiting.pop(each) for each in oldest])
            say("settled", oldest)
