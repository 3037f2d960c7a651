"""
A spool as data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from attrs import frozen

__all__ = ["SpoolSettings"]


@frozen(kw_only=True)
class SpoolSettings:
    """
    The settings of a `Spool` that can be chosen, with the names and defaults that it has; what they mean is said there.
    """

    directory: str | Path
    sync: Literal["always", "interval", "never"] = "interval"
    sync_after_seconds: float = 0.1
    max_segment_bytes: int = 8 * 2**20
    max_bytes: int = 2**30
    max_age_seconds: float | None = None
    when_full: Literal["refuse", "drop_oldest"] = "refuse"
