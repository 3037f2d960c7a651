"""
The ways to move messages; all obey the contract of `Transport`.

Read in this order: base; then what is simplest, sync, log, null; file with spool and what it stands on; buffered with
intake, courier, posters and listeners; tee and fallback; descriptions and config.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from .base import Ledger, Post, Stats, Transport
from .drive import drive  # at once: asked for later, the name would mean the module

if TYPE_CHECKING:
    from .buffered import BufferedTransport
    from .config import build, structure, transport_from_environment, unstructure
    from .fallback import FallbackTransport
    from .file import FileTransport
    from .log import LoggingTransport
    from .network import Network
    from .null import NullTransport
    from .spool_settings import SpoolSettings
    from .sync import SyncTransport
    from .tee import TeeTransport

__all__ = [
    "BufferedTransport",
    "FallbackTransport",
    "FileTransport",
    "Ledger",
    "LoggingTransport",
    "Network",
    "NullTransport",
    "Post",
    "SpoolSettings",
    "Stats",
    "SyncTransport",
    "TeeTransport",
    "Transport",
    "build",
    "drive",
    "structure",
    "transport_from_environment",
    "unstructure",
]

_MODULES: Final = {
    "BufferedTransport": "buffered",
    "FallbackTransport": "fallback",
    "FileTransport": "file",
    "LoggingTransport": "log",
    "Network": "network",
    "NullTransport": "null",
    "SpoolSettings": "spool_settings",
    "SyncTransport": "sync",
    "TeeTransport": "tee",
    "build": "config",
    "structure": "config",
    "transport_from_environment": "config",
    "unstructure": "config",
}


def __getattr__(name: str) -> object:
    # Who delivers in one way does not pay for loading the others: a spool, cattrs, urllib3.
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
