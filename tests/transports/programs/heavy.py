"""
Sends to a dead server for long. Arguments: how many messages.
"""

from __future__ import annotations

import resource
import sys

import paper

from mixwire.transports import Stats

BUDGET_BYTES = 8 * 2**20


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> Stats:
    buffered = paper.transport(lambda _request: paper.DOWN, max_held_bytes=BUDGET_BYTES)
    buffered.send(paper.event("first"))
    buffered.flush(0.1)
    before = peak_bytes()
    for number in range(int(sys.argv[1])):
        buffered.send(paper.event(f"{number}"))
    stats = buffered.stats()
    print((peak_bytes() - before) / 2**20, stats.accepted, stats.held, stats.dropped)
    buffered.close(0.0)
    return stats


main()
