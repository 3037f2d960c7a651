"""
The ways to move messages; all obey the contract of `Transport`.
"""

from __future__ import annotations

from .base import Ledger, Post, Stats, Transport
from .drive import drive
from .log import LoggingTransport
from .network import Network
from .sync import SyncTransport

__all__ = ["Ledger", "LoggingTransport", "Network", "Post", "Stats", "SyncTransport", "Transport", "drive"]
