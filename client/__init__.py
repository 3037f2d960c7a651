"""
mixwire: send events, profile updates and group updates to Mixpanel.

`Mixpanel` is the front door. The pure half is `mixwire.core`, the ways to deliver are in `mixwire.transports`. Code for
the official client moves by its import alone: ``import mixwire as mixpanel``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from logging import Logger

    from .consumers import BufferedConsumer, Consumer
    from .core.errors import InvalidValue
    from .core.library import VERSION as __version__  # noqa: N811
    from .credentials import ServiceAccountCredentials
    from .exceptions import MixpanelException
    from .front_door import Mixpanel
    from .serializers import DatetimeSerializer, json_dumps

    logger: Logger

__all__ = [
    "BufferedConsumer",
    "Consumer",
    "DatetimeSerializer",
    "InvalidValue",
    "Mixpanel",
    "MixpanelException",
    "ServiceAccountCredentials",
    "__version__",
    "json_dumps",
    "logger",
]

_MODULES: Final = {
    "BufferedConsumer": "consumers",
    "Consumer": "consumers",
    "DatetimeSerializer": "serializers",
    "InvalidValue": "core.errors",
    "Mixpanel": "front_door",
    "MixpanelException": "exceptions",
    "ServiceAccountCredentials": "credentials",
    "json_dumps": "serializers",
}


def __getattr__(name: str) -> object:
    # Names are handed on when they are asked for, so that importing mixwire.core loads nothing that it does not need.
    if name == "__version__":
        from .core.library import VERSION

        return VERSION
    if name == "logger":
        import logging

        return logging.getLogger("mixwire")
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
