"""
What users test with, and we: a server that judges, a check of the promises, a transport in memory, strategies.

The strategies are in `mixwire.testing.strategies`, which alone needs Hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .conformance import PROMISES, check_transport
    from .effects import Record
    from .judge import Arrival, Counts, Delay, Fault, Judge, LostAnswer, Mute, Reset, Status
    from .memory import MemoryTransport

__all__ = [
    "PROMISES",
    "Arrival",
    "Counts",
    "Delay",
    "Fault",
    "Judge",
    "LostAnswer",
    "MemoryTransport",
    "Mute",
    "Record",
    "Reset",
    "Status",
    "check_transport",
]

_HOMES: Final = {
    "conformance": ("PROMISES", "check_transport"),
    "effects": ("Record",),
    "judge": ("Arrival", "Counts", "Delay", "Fault", "Judge", "LostAnswer", "Mute", "Reset", "Status"),
    "memory": ("MemoryTransport",),
}


def __getattr__(name: str) -> object:
    # Names are handed on when they are asked for: who wants a transport in memory loads no server.
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
