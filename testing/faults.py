"""
What can be made to go wrong with a request, as values.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import evolve, field, frozen

from ..core import Endpoint, InvalidValue
from ..core.errors import describe

__all__ = ["Delay", "Fault", "LostAnswer", "Mute", "Reset", "Script", "Status", "has_effect", "next_fault"]


@frozen
class Status:
    """
    Answer with this HTTP status and an error.

    Attributes:
        code: The status.
        retry_after: What the header Retry-After says, or None for no such header.
        is_applied: Whether the request takes effect all the same, as it may behind a proxy that answers 502.
    """

    code: int
    retry_after: str | None = None
    is_applied: bool = False


@frozen
class Reset:
    """
    End the connection with a reset before the request takes effect; nothing is applied.
    """


@frozen
class LostAnswer:
    """
    Apply the request and end the connection with a reset instead of an answer.
    """


@frozen
class Mute:
    """
    Say nothing until `Judge.heal` is called.

    A request that was applied is answered then; the connection of any other is reset, because what comes so late must
    not undo what came after it.

    Attributes:
        is_applied: Whether the request takes effect when it arrives.
    """

    is_applied: bool = True


@frozen
class Delay:
    """
    Let the request take effect, and answer well after so many seconds.
    """

    seconds: float


Fault: TypeAlias = Status | Reset | LostAnswer | Mute | Delay
"""What can be made to go wrong with a request."""


def _fault(value: Fault) -> Fault:
    if not isinstance(value, Status | Reset | LostAnswer | Mute | Delay):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValue("fault", "a Status(...), Reset(), LostAnswer(), Delay(...) or Mute()", describe(value))
    return value


def _times(value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InvalidValue("times", "at least 1, or None", str(value))
    return value


@frozen
class Script:
    """
    A fault for the next requests.

    Attributes:
        fault: What goes wrong.
        times: With how many requests, at least 1; None for all.
        endpoint: Only with requests to this one; None for any.
    """

    fault: Fault = field(converter=_fault)
    times: int | None = field(default=1, converter=_times)
    endpoint: Endpoint | None = None


def next_fault(scripts: tuple[Script, ...], endpoint: Endpoint | None) -> tuple[Fault | None, tuple[Script, ...]]:
    """
    What goes wrong with a request to *endpoint*, and the scripts left; what was scripted first is played first.
    """
    for at, script in enumerate(scripts):
        if script.endpoint in (None, endpoint):
            left = (evolve(script, times=script.times and script.times - 1),) if script.times != 1 else ()
            return script.fault, scripts[:at] + left + scripts[at + 1 :]
    return None, scripts


def has_effect(fault: Fault | None) -> bool:
    """
    Whether the request takes effect.
    """
    match fault:
        case Status() | Mute():
            return fault.is_applied
        case Reset():
            return False
        case LostAnswer() | Delay() | None:
            return True
