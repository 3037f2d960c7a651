"""
Leaves transports to the end of the interpreter. Arguments: how.
"""

from __future__ import annotations

import sys

import paper

how = sys.argv[1]


class Cycle:
    def __init__(self) -> None:
        self.me = self
        self.buffered = paper.transport(lambda _request: paper.DOWN, exit_seconds=0.1, background=how != "no threads")
        self.buffered.send(paper.event("0"))


kept = Cycle()
if how == "collected":
    kept = None
sys.modules["kept"] = kept  # type: ignore[assignment]
