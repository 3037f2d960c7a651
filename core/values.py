"""
What a property may hold, and its immutable form.

`freeze` takes a snapshot: it turns properties into JSON bytes once, refuses what JSON or Mixpanel cannot hold, and
keeps nothing of the caller's. From then on those bytes are what is sent.

===========================  =====================================================================
a caller's value             what is sent
===========================  =====================================================================
str, bool, None, int         itself; an int must fit 64 bits
float                        itself; must be finite
list, tuple                  a list
set, frozenset               a list, ordered by the JSON of its elements, so that the same set is
                             always the same bytes
dict, OrderedDict,           an object; keys must be str
defaultdict, Counter
datetime                     ``YYYY-MM-DDTHH:MM:SS`` in UTC, with ``.ffffff`` only if there are
                             microseconds; a datetime without a timezone is read as UTC
date                         ``YYYY-MM-DD``
Decimal                      the number, if a 64-bit float holds every digit of it; else refused
UUID                         its canonical text
Enum                         its value
attrs and dataclass values   an object of their fields
===========================  =====================================================================

Types are matched exactly: a subclass of str, int, list or datetime may behave in its own way and is refused. So is
everything else. A value is kept or refused, never dropped and never replaced by null.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast
from uuid import UUID

import attrs
import orjson

from .errors import InvalidValue, LimitExceeded, describe
from .limits import NESTING
from .properties import JSON, Properties, short_name
from .shapes import Shape
from .times import instant_text

__all__ = ["freeze", "number"]


def freeze(properties: Mapping[str, object], shape: Shape, path: str = "properties") -> Properties:
    """
    The immutable copy of *properties*, which fits *shape*.

    Raises:
        InvalidValue: If a value cannot be sent; its path starts with *path*.
        LimitExceeded: If there is more than *shape* allows.
    """
    if type(properties) is dict:
        # Another thread may be changing the dict: what is checked and what is encoded must be the same values.
        items = cast("dict[str, Any]", properties).copy()
        if _is_plain(items, shape):
            try:
                return Properties(orjson.dumps(items), shape)
            except orjson.JSONEncodeError:
                pass  # a key, a surrogate or an integer: the walk names it
    elif type(properties) is Properties and properties.fits(shape):
        return properties
    return Properties(orjson.dumps(_Walk(shape).properties(cast("Mapping[str, Any]", properties), path)), shape)


def _is_plain(properties: dict[str, Any], shape: Shape) -> bool:
    """
    Whether a flat dict of exact scalars, as almost every real event is, can go to the encoder without a careful walk.

    What the encoder itself refuses (keys, surrogates, large integers) is not looked at.
    """
    text_length = 0
    for value in properties.values():
        kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            text_length += len(value)
        elif kind is float:
            if value - value != 0.0:
                return False
        elif kind is not int and kind is not bool and value is not None:
            return False
    count, size = shape.count, shape.size
    return (
        (count is None or len(properties) + shape.own <= count.maximum)
        and (size is None or text_length <= size.maximum)
        and shape.misplaced_names.isdisjoint(properties)
    )


def number(value: object, path: str) -> int | float:
    """
    *value* as a finite JSON number: an int of at most 64 bits, a float, or a Decimal that loses nothing as one of them.

    Raises:
        InvalidValue: If it is anything else; a bool is no number here.
    """
    if type(value) not in _NUMBERS:
        raise InvalidValue(path, "a finite number (int, float or Decimal)", describe(value))
    try:
        return cast("int | float", _scalar(value))
    except _Unfit as fault:
        raise InvalidValue(path, *fault.args) from None


class _Unfit(Exception):
    """
    A value that has no JSON form; the walk adds where it stood.
    """


_MAPPINGS: Final = frozenset({dict, OrderedDict, defaultdict, Counter})
_LISTS: Final = frozenset({list, tuple})
_SETS: Final = frozenset({set, frozenset})
_NUMBERS: Final = frozenset({int, float, Decimal})

_ALLOWED: Final = (
    "a str, int, float, bool, None, list, tuple, set, dict, datetime, date, Decimal, UUID, Enum, "
    "attrs or dataclass value"
)


def _none(value: None) -> None:
    return value


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Unfit("text that UTF-8 can hold", "a str with a lone surrogate") from None
    return value


def _integer(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise _Unfit("an integer of at most 64 bits", f"an int of {value.bit_length():,} bits")
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise _Unfit("a finite number", str(value))
    return value


def _decimal(value: Decimal) -> int | float:
    if not value.is_finite():
        raise _Unfit("a finite number", f"Decimal({str(value).lower()})")
    if -20 <= value.adjusted() < 20 and value == (whole := int(value)) and -(2**63) <= whole < 2**64:
        return whole
    nearest = float(value)
    if not math.isfinite(nearest) or Decimal(repr(nearest)) != value:
        raise _Unfit(
            "a Decimal of at most 15 digits, which a 64-bit float holds exactly (round it, or send str(value))",
            f"one of {len(value.as_tuple().digits)} digits",
        )
    return nearest


def _instant(value: datetime) -> str:
    try:
        return instant_text(value)
    except (OverflowError, ValueError):
        raise _Unfit("a datetime between the years 1 and 9999 in UTC", "one outside") from None


_SCALARS: Final[dict[type, Callable[..., JSON]]] = {
    str: _text,
    bool: bool,
    type(None): _none,
    int: _integer,
    float: _float,
    Decimal: _decimal,
    datetime: _instant,
    date: date.isoformat,
    UUID: str,
}


def _scalar(value: object) -> JSON:
    convert = _SCALARS.get(type(value))
    if convert is None:
        raise _Unfit(_ALLOWED, describe(value))
    return convert(value)


class _Walk:
    """
    One recursive pass that copies a value as plain JSON and stops at the first fault.

    Where a fault stood is put together only while its exception unwinds, so that sound values do not pay for paths.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.text_length = 0
        self.above: set[int] = set()

    def properties(self, properties: Mapping[str, object], path: str) -> dict[str, JSON]:
        if type(properties) is Properties:
            properties = properties.thaw()
        if type(properties) not in _MAPPINGS:
            raise InvalidValue(path, "a dict with str keys", describe(properties))
        count = self.shape.count
        if count is not None and len(properties) + self.shape.own > count.maximum:
            raise LimitExceeded(path, count, len(properties) + self.shape.own)
        self.above.add(id(properties))
        try:
            plain = self.copy_object(cast("dict[object, object]", properties), 0, 0)
        except InvalidValue as fault:
            raise fault.under(path) from None
        for name in plain:
            if name in self.shape.misplaced_names:
                raise InvalidValue(f"{path}[{name!r}]", self.shape.misplaced[name], "as a property")
        return plain

    def copy_value(self, value: object, objects: int, lists: int) -> JSON:
        kind = type(value)
        if kind in _SCALARS:
            if kind is str:
                self.measure(cast("str", value))
            try:
                return _scalar(value)
            except _Unfit as fault:
                raise InvalidValue("", *fault.args) from None
        if kind in _MAPPINGS:
            return self.copy_nested(value, cast("dict[object, object]", value), objects, lists)
        if kind is Properties:
            return self.copy_nested(
                value, cast("dict[object, object]", cast("Properties", value).thaw()), objects, lists
            )
        if kind in _LISTS:
            return self.copy_list(cast("list[object]", value), objects, lists)
        if kind in _SETS:
            return self.copy_set(cast("set[object]", value), objects, lists)
        if isinstance(value, Enum):
            return self.copy_value(value.value, objects, lists)
        if attrs.has(kind):
            fields = [field.name for field in attrs.fields(kind)]
            return self.copy_nested(value, _read_fields(value, fields), objects, lists, attributes=True)
        if dataclasses.is_dataclass(kind):
            fields = [field.name for field in dataclasses.fields(kind)]
            return self.copy_nested(value, _read_fields(value, fields), objects, lists, attributes=True)
        raise InvalidValue("", _ALLOWED, describe(value))

    def copy_nested(
        self, owner: object, items: dict[object, object], objects: int, lists: int, attributes: bool = False
    ) -> dict[str, JSON]:
        self.enter(owner, objects + lists + 1)
        keys, depth = self.shape.object_keys, self.shape.object_depth
        if depth is not None and objects + 1 > depth.maximum:
            raise LimitExceeded("", depth, objects + 1)
        if keys is not None and len(items) > keys.maximum:
            raise LimitExceeded("", keys, len(items))
        result = self.copy_object(items, objects + 1, lists, attributes)
        self.above.discard(id(owner))
        return result

    def copy_object(
        self, items: dict[object, object], objects: int, lists: int, attributes: bool = False
    ) -> dict[str, JSON]:
        plain: dict[str, JSON] = {}
        for name, value in list(items.items()):
            if type(name) is not str:
                raise InvalidValue("", "a dict with str keys", f"one with a key of type {describe(name)}")
            try:
                self.measure(_text(name))
            except _Unfit:
                raise InvalidValue("", "a dict with keys that UTF-8 can hold", "one with a lone surrogate") from None
            try:
                plain[name] = self.copy_value(value, objects, lists)
            except InvalidValue as fault:
                raise fault.under(f".{name}" if attributes else f"[{short_name(name)}]") from None
        return plain

    def copy_list(self, values: list[object] | tuple[object, ...], objects: int, lists: int) -> list[JSON]:
        self.enter(values, objects + lists + 1)
        elements = self.shape.list_elements
        if elements is not None and len(values) > elements.maximum:
            raise LimitExceeded("", elements, len(values))
        plain: list[JSON] = []
        for index, value in enumerate(tuple(values)):
            try:
                plain.append(self.copy_value(value, objects, lists + 1))
            except InvalidValue as fault:
                raise fault.under(f"[{index}]") from None
        self.above.discard(id(values))
        return plain

    def copy_set(self, values: set[object] | frozenset[object], objects: int, lists: int) -> list[JSON]:
        try:
            plain = self.copy_list(list(values), objects, lists)
        except InvalidValue as fault:
            if fault.path.startswith("["):
                # A set has no positions that would mean anything to the caller.
                raise InvalidValue("[...]", fault.allowed, fault.found) from None
            raise
        return sorted(plain, key=orjson.dumps)

    def enter(self, owner: object, depth: int) -> None:
        if id(owner) in self.above:
            raise InvalidValue("", "a value that does not contain itself", f"a {describe(owner)} inside itself")
        if depth > NESTING.maximum:
            raise LimitExceeded("", NESTING, depth)
        self.above.add(id(owner))

    def measure(self, text: str) -> None:
        self.text_length += len(text)
        size = self.shape.size
        if size is not None and self.text_length > size.maximum:
            raise LimitExceeded("", size, self.text_length)


def _read_fields(value: object, names: list[str]) -> dict[object, object]:
    try:
        return {name: getattr(value, name) for name in names}
    except AttributeError:
        raise InvalidValue("", "a value with all its fields set", f"a {describe(value)} without some") from None
