"""
The ways to move messages; all obey the contract of `Transport`.

Read in this order: base; then what is simplest, sync, log, null; file with spool and what it stands on; buffered with
intake, courier, posters and listeners; tee and fallback; descriptions and config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Ledger, Post, Stats, Transport
from .buffered import BufferedTransport
from .drive import drive
from .fallback import FallbackTransport
from .file import FileTransport
from .log import LoggingTransport
from .network import Network
from .null import NullTransport
from .spool_settings import SpoolSettings
from .sync import SyncTransport
from .tee import TeeTransport

if TYPE_CHECKING:
    from .config import build, structure, transport_from_environment, unstructure

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


def __getattr__(name: str) -> object:
    # Only who configures transports from data pays for loading cattrs.
    if name in ("build", "structure", "transport_from_environment", "unstructure"):
        from . import config

        return getattr(config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
