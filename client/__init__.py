"""
mixwire: send events, profile updates and group updates to Mixpanel.

The pure half is `mixwire.core`, the ways to deliver are in `mixwire.transports`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.library import VERSION as __version__  # noqa: N811

__all__ = ["__version__"]


def __getattr__(name: str) -> object:
    # Names are handed on when they are asked for, so that importing mixwire.core loads nothing that it does not need.
    if name == "__version__":
        from .core.library import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
