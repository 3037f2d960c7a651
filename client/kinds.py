"""
Values of classes on top of Python's own: a `StrEnum`, the marked text of a framework, the datetimes of libraries.

The core refuses them, because such a class may behave in its own way. Programs are full of them all the same, so the
front door reads what they hold as their base reads it: nothing that the class itself defines is called, but ``==`` of a
datetime.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, cast

__all__ = ["held", "plain"]

_MAX_LEVELS: Final = 100
_MAX_VALUES: Final = 1_000_000
"""More than that is larger than any message."""


def held(value: Any) -> Any:  # Any: what the caller gave; the core checks it
    """
    The text, number or moment that *value* holds, as a value of Python's own class; anything else as it is.
    """
    kind = type(cast("object", value))
    for base, read in _BASES:
        if issubclass(kind, base):
            return value if kind is base or kind is bool else read(value)
    return value


def plain(value: Any) -> Any:  # Any: as above
    """
    A copy in which that is done to all that dicts, lists and tuples hold. What goes round, is too deep or too large
    stays as it is: the core tells where.
    """
    try:
        return _Copy().of(value)
    except _Endless:
        return value


class _Endless(Exception):
    pass


class _Copy:
    def __init__(self) -> None:
        self.above: set[int] = set()
        self.count = 0

    def of(self, value: Any) -> Any:
        kind = type(cast("object", value))
        if issubclass(kind, Enum):
            return value  # the core knows it
        if not issubclass(kind, dict | list | tuple):
            return held(value)
        if id(value) in self.above or len(self.above) >= _MAX_LEVELS:
            raise _Endless
        self.above.add(id(value))
        copied: Any
        if issubclass(kind, dict):
            items: Any = value.items() if kind is OrderedDict else cast("Any", dict).items(value)
            copied = {held(name): self.of(each) for name, each in self.counted(items)}
        else:
            base: Any = list if issubclass(kind, list) else tuple
            copied = [self.of(each) for each in self.counted(base.__iter__(value))]
        self.above.discard(id(value))
        return copied

    def counted(self, values: Any) -> list[Any]:
        # A list of its own, because another thread may be changing the values.
        listed = list(values)
        self.count += len(listed)
        if self.count > _MAX_VALUES:
            raise _Endless
        return listed


# Taken now: what freezes the time of tests puts other classes in their place.
_datetime: Final = datetime
_date: Final = date


def _moment(value: Any) -> object:
    moment = _datetime.combine(_datetime.date(value), _datetime.timetz(value))
    # What stands for no time at all, in tables of data, is a datetime as well, and equal to none.
    try:
        return moment if moment == value else value
    except Exception:  # noqa: BLE001  # code of the caller's
        return value


def _day(value: Any) -> object:
    return _date.fromordinal(_date.toordinal(value))


_BASES: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (datetime, _moment),
    (date, _day),
)
