"""
Cannot start a thread. Arguments: paper.
"""

from __future__ import annotations

import sys

import paper

buffered = paper.transport(paper.post_to(sys.argv[1]), on_outcome=lambda _outcome: None)
for number in range(20):
    buffered.send(paper.event(f"{number}"))
buffered.flush(10.0)
buffered.send(paper.event("last"))
buffered.close(10.0)
print(buffered.stats().delivered)
