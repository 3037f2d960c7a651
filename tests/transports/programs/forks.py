"""
Forks again and again while eight threads send; each child sends as well. Arguments: paper, forks, a directory for a
spool or nothing.
"""

from __future__ import annotations

import os
import sys
import threading

from paper import event, post_to, transport


def main() -> None:
    path, forks, spool = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    buffered = transport(post_to(path), **({"spool": spool} if spool else {}))
    is_over = threading.Event()
    counts = [0] * 8

    def produce(number: int) -> None:
        while not is_over.wait(0.002):
            buffered.send(event(f"parent-{number}-{counts[number]}"))
            counts[number] += 1

    producers = [threading.Thread(target=produce, args=(number,)) for number in range(8)]
    for producer in producers:
        producer.start()
    bad = 0
    for number in range(forks):
        child = os.fork()
        if not child:
            status = 1
            try:
                assert buffered.stats().accepted == 0
                buffered.send(event(f"child-{number}-0"), event(f"child-{number}-1"))
                assert len(buffered.close(10.0)) <= 2
                status = int(buffered.stats().delivered != 2)
            finally:
                os._exit(status)
        bad += os.waitpid(child, 0)[1] != 0
    is_over.set()
    for producer in producers:
        producer.join()
    buffered.close(10.0)
    print(bad, sum(counts))


main()
