"""
The mistakes that this library raises.

MixwireError
├── InvalidValue       a value that cannot be sent, configured or read; also a ValueError
│   └── LimitExceeded  a value over one of the limits in `mixwire.core.limits`
└── NotStamped         an operation without the time or insert_id that it needs on the wire

Weather (a dead network, a refused batch) is never raised here: it is an `Outcome`.

Each exception keeps what it knows in fields and builds its sentence from them. The sentence names where
the fault is and what kind of thing was found there, never the value itself: values may be personal data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .limits import Limit

__all__ = ["InvalidValue", "LimitExceeded", "MixwireError", "NotStamped", "describe"]


class MixwireError(Exception):
    """
    The root of everything that mixwire raises on purpose.
    """


class InvalidValue(MixwireError, ValueError):
    """
    A value that cannot be sent, configured or read.

    Attributes:
        path: Where the fault is, as the Python expression a caller would write, such as
            ``properties['cart'][2].price``.
        allowed: What may stand there, phrased to follow "must be".
        found: What kind of thing stands there instead, phrased to follow "not".
    """

    def __init__(self, path: str, allowed: str, found: str) -> None:
        super().__init__(path, allowed, found)
        self.path = path
        self.allowed = allowed
        self.found = found

    def __str__(self) -> str:
        return f"{self.path} must be {self.allowed}, not {self.found}"

    def at(self, path: str) -> InvalidValue:
        """
        The same fault at another place.
        """
        return InvalidValue(path, self.allowed, self.found)

    def under(self, prefix: str) -> InvalidValue:
        """
        The same fault, seen from one level further out.
        """
        joint = "" if self.path[:1] in ("", "[", ".") else "."
        return self.at(f"{prefix}{joint}{self.path}")


class LimitExceeded(InvalidValue):
    """
    A value over one of the documented limits.

    Attributes:
        limit: The row of the limit table, with its maximum, unit and source.
        measured: How much was found, in the unit of the limit.
    """

    def __init__(self, path: str, limit: Limit, measured: int) -> None:
        super().__init__(path, f"at most {limit.maximum:,} {limit.unit}", f"{measured:,}")
        self.args = (path, limit, measured)
        self.limit = limit
        self.measured = measured

    def at(self, path: str) -> LimitExceeded:
        return LimitExceeded(path, self.limit, self.measured)


class NotStamped(MixwireError):
    """
    An operation reached `encode` without a field that must never change between two deliveries.

    Attributes:
        operation: The name of the operation's type.
        field: The field that is missing, ``time`` or ``insert_id``.
    """

    def __init__(self, operation: str, field: str) -> None:
        super().__init__(operation, field)
        self.operation = operation
        self.field = field

    def __str__(self) -> str:
        return (
            f"{self.operation}.{self.field} must be set before encoding: pass it to {self.operation}(...), "
            f"or use stamp(operation, time=..., insert_id=...)"
        )


def describe(value: object) -> str:
    """
    What kind of thing *value* is, without saying what it holds.
    """
    if type(value) is float and not math.isfinite(value):
        return str(value)
    if value is None:
        return "None"
    # Read below any metaclass, whose own answers may do anything.
    module, name = _MODULE(type(value)), _QUALNAME(type(value))
    if type(module) is str and module != "builtins":
        name = f"{module}.{name}"
    return name if len(name) <= 80 else f"{name[:79]}…"


_MODULE: Final[Callable[[type], object]] = type.__dict__["__module__"].__get__
_QUALNAME: Final[Callable[[type], str]] = type.__dict__["__qualname__"].__get__
