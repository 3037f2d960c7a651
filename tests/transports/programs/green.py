"""
Under gevent. Arguments: paper, when it is patched.
"""

from __future__ import annotations

import sys
import time

import gevent.monkey

_, path, when = sys.argv
if when == "before":
    gevent.monkey.patch_all()
import paper  # noqa: E402

if when == "after":
    gevent.monkey.patch_all()


def main() -> None:
    buffered = paper.transport(paper.post_to(path), on_outcome=lambda _outcome: None)

    def produce(number: int) -> None:
        for each in range(20):
            buffered.send(paper.event(f"{number}-{each}"))
            gevent.sleep(0.001)

    gevent.joinall([gevent.spawn(produce, number) for number in range(10)], raise_error=True)
    buffered.flush(10.0)
    # Idle must be idle.
    before = time.process_time()
    gevent.sleep(0.5)
    used = time.process_time() - before
    outcome = buffered.close(10.0)
    print(buffered.stats().delivered, len(outcome), used < 0.25)


main()
