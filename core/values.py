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
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast
from uuid import UUID

import attrs
import orjson

from .errors import InvalidValue, LimitExceeded, describe
from .limits import NESTING
from .properties import JSON, Properties
from .shapes import Shape
from .text import is_utf8, short_name
from .times import instant_text

__all__ = ["freeze", "number", "snapshot"]


def freeze(properties: Mapping[str, object], shape: Shape, path: str = "properties") -> Properties:
    """
    The immutable copy of *properties*, which fits *shape*.

    Raises:
        InvalidValue: If a value cannot be sent; its path starts with *path*.
        LimitExceeded: If there is more than *shape* allows.
    """
    if type(properties) is Properties and properties.fits(shape):
        return properties
    json, names_library = snapshot(properties, shape, path)
    return Properties.of(json, shape, names_library=names_library)


def snapshot(properties: Mapping[str, object], shape: Shape, path: str = "properties") -> tuple[bytes, bool]:
    """
    What `freeze` gives, as JSON, and whether the properties tell which library first sent them.
    """
    if type(properties) is dict:
        # Another thread may be changing the dict: what is checked and what is encoded must be the same values.
        items: dict[str, Any] = properties.copy()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        # Exact scalars are what almost every real event is made of. Then the encoder needs no careful walk before it:
        # what it refuses itself (keys, surrogates, large integers) is named by the walk afterwards.
        room = most = shape.max_bytes
        for value in items.values():
            kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
            if kind is str:
                room -= len(value)
            elif kind is int or kind is bool or value is None:
                continue
            elif kind is not float or value - value != 0.0:
                room = most if _copy_plain(items, shape) else -1
                break
        if room >= 0 and len(items) <= shape.max_given:
            try:
                json = orjson.dumps(items)
            except orjson.JSONEncodeError:
                json = b""
            # Only now are all keys known to be text, and nothing of the caller's can be called by asking for them.
            if json and len(json) <= most:
                if shape.special_names.isdisjoint(items):
                    return json, False
                if shape.misplaced_names.isdisjoint(items):
                    return json, True
    elif type(properties) is Properties and properties.fits(shape):
        return properties.json, properties.names_library
    copied = _Walk(shape).properties(cast("Any", properties), path)
    return orjson.dumps(copied), not shape.library_names.isdisjoint(copied)


def _copy_plain(items: dict[str, Any], shape: Shape) -> bool:
    """
    Put copies in the place of all lists and dicts in *items*, and tell whether they, and all that is in them, are exact
    scalars, lists and dicts within the limits. If not, some may not have been reached.
    """
    room = shape.max_bytes
    copies: list[tuple[Any, Any, int, int]] = [(items, dict, shape.depth, shape.depth)]
    for values, outer, objects, depth in copies:
        entries: Any = values.items() if outer is dict else enumerate(values)
        for place, value in entries:
            kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
            if kind is str:
                room -= len(value)
            elif kind is dict or kind is list:
                values[place] = copied = value.copy()
                inside, most = objects, shape.max_elements
                if kind is dict:
                    inside, most = objects + 1, shape.max_keys
                    if inside > shape.max_depth:
                        return False
                    for name in copied:
                        if type(name) is not str:
                            return False
                        room -= len(name)
                # Each element takes itself and a comma at least, which also bounds the work for a value that holds
                # itself.
                room -= 2 * len(copied)
                if room < 0 or len(copied) > most or depth >= _NESTING:
                    return False
                copies.append((copied, kind, inside, depth + 1))
            elif kind is float:
                if value - value != 0.0:
                    return False
            elif kind is not int and kind is not bool and value is not None:
                return False
        if room < 0:
            return False
    return True


def number(value: object, path: str) -> int | float:
    """
    *value* as a finite JSON number: an int of at most 64 bits, a float, or a Decimal that loses nothing as one of them.

    Raises:
        InvalidValue: If it is anything else; a bool is no number here.
    """
    if type(value) not in _NUMBERS:
        raise InvalidValue(path, "a finite number (int, float or Decimal)", describe(value))
    try:
        return cast("int | float", _SCALARS[type(value)](value))
    except InvalidValue as fault:
        raise fault.under(path) from None


_MAPPINGS: Final = frozenset({dict, OrderedDict, defaultdict, Counter})
_LISTS: Final = frozenset({list, tuple})
_SETS: Final = frozenset({set, frozenset})
_NUMBERS: Final = frozenset({int, float, Decimal})
_NESTING: Final = NESTING.maximum

_ALLOWED: Final = (
    "a str, int, float, bool, None, list, tuple, set, dict, datetime, date, Decimal, UUID, Enum, "
    "attrs or dataclass value"
)


def _itself(value: JSON) -> JSON:
    return value


def _text(value: str) -> str:
    if not is_utf8(value):
        raise InvalidValue("", "text that UTF-8 can hold", "a str with a lone surrogate")
    return value


def _integer(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise InvalidValue("", "an integer of at most 64 bits", f"an int of {value.bit_length():,} bits")
    return value


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise InvalidValue("", "a finite number", str(value))
    return value


def _decimal(value: Decimal) -> int | float:
    if not value.is_finite():
        raise InvalidValue(
            "", "a finite number", f"Decimal({'nan' if value.is_nan() else 'infinity' if value > 0 else '-infinity'})"
        )
    if -20 <= value.adjusted() < 20 and value == (whole := int(value)) and -(2**63) <= whole < 2**64:
        return whole
    nearest = float(value)
    if not math.isfinite(nearest) or Decimal(repr(nearest)) != value:
        raise InvalidValue(
            "",
            "a Decimal of at most 15 digits, which a 64-bit float holds exactly (round it, or send str(value))",
            f"one of {len(value.as_tuple().digits)} digits",
        )
    return nearest


_SCALARS: Final[dict[type, Callable[..., JSON]]] = {
    str: _text,
    bool: _itself,
    type(None): _itself,
    int: _integer,
    float: _float,
    Decimal: _decimal,
    datetime: instant_text,
    date: date.isoformat,
    UUID: str,
}
"""How a value of just that type becomes JSON; a fault has an empty path, the walk adds where it stood."""


class _Walk:
    """
    One recursive pass that copies a value as plain JSON and stops at the first fault.

    Where a fault stood is put together only while its exception unwinds, so that sound values do not pay for paths.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.text_length = 0
        self.elements = 0
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
            plain = self.copy_object(cast("dict[object, object]", properties), self.shape.depth, 0)
        except InvalidValue as fault:
            raise fault.under(path) from None
        for name in plain:
            if name in self.shape.misplaced_names:
                raise InvalidValue(f"{path}[{name!r}]", self.shape.misplaced[name], "as a property")
        return plain

    def copy_value(self, value: object, objects: int, lists: int) -> JSON:
        kind = type(value)
        convert = _SCALARS.get(kind)
        if convert is not None:
            if kind is str:
                self.measure(cast("str", value))
            return convert(value)
        if kind in _MAPPINGS:
            return self.copy_nested(value, cast("dict[object, object]", value), objects, lists)
        if kind in _LISTS:
            return self.copy_list(cast("list[object]", value), objects, lists)
        if kind in _SETS:
            return self.copy_set(cast("set[object]", value), objects, lists)
        if kind is Properties:
            thawed = cast("dict[object, object]", cast("Properties", value).thaw())
            return self.copy_nested(value, thawed, objects, lists)
        if issubclass(kind, Enum):
            return self.copy_value(self.value_of_enum(cast("Enum", value), objects + lists), objects, lists)
        if attrs.has(kind):
            fields = [field.name for field in attrs.fields(kind)]
            if any(field.metadata.get("secret") for field in attrs.fields(kind)):
                raise InvalidValue("", _ALLOWED, f"{describe(value)}, which holds a secret")
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
        if depth is not None and objects >= depth.maximum:
            raise LimitExceeded("", depth, objects + 1)
        if keys is not None and len(items) > keys.maximum:
            raise LimitExceeded("", keys, len(items))
        result = self.copy_object(items, objects + 1, lists, attributes)
        self.above.discard(id(owner))
        return result

    def copy_object(
        self, items: dict[object, object], objects: int, lists: int, attributes: bool = False
    ) -> dict[str, JSON]:
        # A list, because another thread may be changing the dict; and dict's own items, because the keys of another
        # mapping may be asked for their hash on the way.
        entries: list[tuple[object, object]] = list(cast("Any", dict).items(items))
        for name, _ in entries:
            if type(name) is not str:
                raise InvalidValue("", "a dict with str keys", f"one with a key of type {describe(name)}")
            if not is_utf8(name):
                raise InvalidValue("", "a dict with keys that UTF-8 can hold", "one with a lone surrogate")
            self.measure(name)
        if type(items) is OrderedDict:
            entries = list(cast("Any", items).items())  # which has an order of its own
        plain: dict[str, JSON] = {}
        name = ""
        try:
            for name, value in entries:
                plain[cast("str", name)] = self.copy_value(value, objects, lists)
        except InvalidValue as fault:
            raise fault.under(f".{name}" if attributes else f"[{short_name(cast('str', name))}]") from None
        return plain

    def copy_list(self, values: Sequence[object], objects: int, lists: int) -> list[JSON]:
        self.enter(values, objects + lists + 1)
        elements = self.shape.list_elements
        if elements is not None and len(values) > elements.maximum:
            raise LimitExceeded("", elements, len(values))
        # Each element takes at least itself and a comma; the same list many times over is as large as it is written.
        self.elements += len(values)
        if 2 * self.elements > self.shape.size.maximum:
            raise LimitExceeded("", self.shape.size, 2 * self.elements)
        plain: list[JSON] = []
        try:
            for value in tuple(values):  # not a comprehension: a fault must know how far it came
                plain.append(self.copy_value(value, objects, lists + 1))  # noqa: PERF401
        except InvalidValue as fault:
            raise fault.under(f"[{len(plain)}]") from None
        self.above.discard(id(values))
        return plain

    def copy_set(self, values: AbstractSet[object], objects: int, lists: int) -> list[JSON]:
        try:
            plain = self.copy_list(list(values), objects, lists)
        except InvalidValue as fault:
            if fault.path.startswith("["):
                # A set has no positions that would mean anything to the caller.
                raise fault.at("[...]") from None
            raise
        return sorted(plain, key=orjson.dumps)

    def value_of_enum(self, value: Enum, depth: int) -> object:
        # The value of a member may be another member, or itself.
        content: object = value
        steps = depth
        while issubclass(type(content), Enum):
            steps += 1
            if steps > NESTING.maximum:
                raise LimitExceeded("", NESTING, steps)
            content = _read(content, "value")
        return content

    def enter(self, owner: object, depth: int) -> None:
        if id(owner) in self.above:
            raise InvalidValue("", "a value that does not contain itself", f"a {describe(owner)} inside itself")
        if depth > NESTING.maximum:
            raise LimitExceeded("", NESTING, depth)
        self.above.add(id(owner))

    def measure(self, text: str) -> None:
        self.text_length += len(text)
        size = self.shape.size
        if self.text_length > size.maximum:
            raise LimitExceeded("", size, self.text_length)


def _read_fields(value: object, names: list[str]) -> dict[object, object]:
    return {name: _read(value, name) for name in names}


def _read(value: object, name: str) -> object:
    try:
        return getattr(value, name)
    except Exception:  # noqa: BLE001, S110  # a field may be code of the caller's
        pass
    raise InvalidValue("", "a value with fields that can be read", f"a {describe(value)} with others")
