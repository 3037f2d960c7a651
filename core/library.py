"""
What this library calls itself on the wire.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LIBRARY", "VERSION"]

LIBRARY: Final = "mixwire"
"""Sent as ``mp_lib`` with each event that does not bring its own."""

VERSION: Final = "0.1.0"
"""Sent as ``$lib_version`` with each event that does not bring its own ``mp_lib``."""
