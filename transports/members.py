"""
What transports share that stand before several others: their members, and one deadline for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ..core import InvalidValue, Project
from ..core.errors import describe
from .base import Transport

__all__ = ["as_members", "countdown", "projects_of"]


def as_members(transports: tuple[Transport, ...]) -> tuple[Transport, ...]:
    """
    The transports as they are, if they can be members.

    Raises:
        InvalidValue: If there are none, one is no transport, or one is there twice.
    """
    if not transports:
        raise InvalidValue("transports", "at least one transport", "none")
    for index, transport in enumerate(transports):
        if not isinstance(transport, Transport):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidValue(f"transports[{index}]", "a transport", describe(transport))
        if any(transport is earlier for earlier in transports[:index]):
            raise InvalidValue(f"transports[{index}]", "another transport than those before it", "one of them again")
    return transports


def projects_of(transports: tuple[Transport, ...]) -> tuple[Project, ...]:
    """
    The projects that the transports deliver for.
    """
    return tuple(project for transport in transports for project in transport.delivers_for)


def countdown(timeout: float | None) -> Callable[[], float | None]:
    """
    What is left of *timeout* seconds from now on, each time that it is asked; None stays without an end.
    """
    if timeout is None:
        return lambda: None
    end = time.monotonic() + timeout
    return lambda: max(0.0, end - time.monotonic())
