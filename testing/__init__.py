"""
What users test with, and we: a Mixpanel in this process or on a port of this machine, a transport in memory, a server
that judges transports and a check of their promises, strategies.

The strategies are in `mixwire.testing.strategies`, which alone needs Hypothesis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .assertions import MemoryTracking, ServerTracking, Tracking
    from .conformance import PROMISES, check_transport
    from .effects import Record
    from .faults import Delay, Fault, LostAnswer, Mute, Reset, Status
    from .judge import Arrival, Counts, Judge
    from .local import LocalMixpanel
    from .memory import MemoryTransport
    from .server import MixpanelServer
    from .state import Event, Settings

__all__ = [
    "PROMISES",
    "Arrival",
    "Counts",
    "Delay",
    "Event",
    "Fault",
    "Judge",
    "LocalMixpanel",
    "LostAnswer",
    "MemoryTracking",
    "MemoryTransport",
    "MixpanelServer",
    "Mute",
    "Record",
    "Reset",
    "ServerTracking",
    "Settings",
    "Status",
    "Tracking",
    "check_transport",
]

_HOMES: Final = {
    "assertions": ("MemoryTracking", "ServerTracking", "Tracking"),
    "conformance": ("PROMISES", "check_transport"),
    "effects": ("Record",),
    "faults": ("Delay", "Fault", "LostAnswer", "Mute", "Reset", "Status"),
    "judge": ("Arrival", "Counts", "Judge"),
    "local": ("LocalMixpanel",),
    "memory": ("MemoryTransport",),
    "server": ("MixpanelServer",),
    "state": ("Event", "Settings"),
}


def __getattr__(name: str) -> object:
    # Names are handed on when they are asked for: who wants a transport in memory loads no server.
    for home, names in _HOMES.items():
        if name not in names:
            continue
        try:
            return getattr(import_module(f".{home}", __name__), name)
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.split(".")[0] not in ("starlette", "uvicorn"):
                raise
            sentence = f"{__name__}.{name} needs {missing.name}: pip install 'mixwire[emulator]'"
            raise ModuleNotFoundError(sentence, name=missing.name) from missing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
