"""
Frozen properties: an immutable JSON object that reads like a dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast

import orjson

from .shapes import Shape
from .text import short_name

__all__ = ["JSON", "Frozen", "Properties"]

_new: Final = object.__new__

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
"""What JSON can say."""

Frozen: TypeAlias = "str | int | float | bool | tuple[Frozen, ...] | Properties | None"
"""What reading a frozen value gives: lists are tuples, objects are `Properties`."""


class Properties(Mapping[str, Frozen]):
    """
    An immutable JSON object: the properties of an event, a profile or a group as they will be sent.

    It reads like a dict, is equal to any mapping that says the same JSON (``1``, ``1.0`` and ``True`` are three
    different things there), and shows its names but not its values in its repr.
    """

    __slots__ = ("_json", "_names_library", "_shape", "_tree")

    _json: bytes
    _names_library: bool
    _shape: Shape | None
    _tree: dict[str, JSON] | None

    def __init__(self, json: bytes) -> None:
        self._json = json
        self._names_library = False
        self._shape = None
        self._tree = None

    @staticmethod
    def of(json: bytes, shape: Shape, *, names_library: bool = False) -> Properties:
        """
        Properties that were checked against *shape*.
        """
        self = _new(Properties)
        self._json = json
        self._names_library = names_library
        self._shape = shape
        self._tree = None
        return self

    @property
    def json(self) -> bytes:
        """
        The object as JSON, in UTF-8.
        """
        return self._json

    @property
    def names_library(self) -> bool:
        """
        Whether the properties tell which library first sent them.
        """
        return self._names_library

    def fits(self, shape: Shape) -> bool:
        """
        Whether these properties were checked against just this *shape* when they were frozen.
        """
        return self._shape is shape

    def _read(self) -> dict[str, JSON]:
        if self._tree is None:
            self._tree = cast("dict[str, JSON]", orjson.loads(self._json))
        return self._tree

    def thaw(self) -> dict[str, JSON]:
        """
        A new plain dict of the same content, the caller's to change.
        """
        return cast("dict[str, JSON]", orjson.loads(self._json))

    def __getitem__(self, name: str) -> Frozen:
        return _frozen(self._read()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Properties):
            return self._json == other.json or _says_same(self._read(), other._read())
        if isinstance(other, Mapping):
            return _says_same(self._read(), cast("object", other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(orjson.dumps(self._read(), option=orjson.OPT_SORT_KEYS))

    def __repr__(self) -> str:
        names = ", ".join(map(short_name, self._read()))
        return f"Properties({names or 'none'})"

    def __copy__(self) -> Properties:
        return self

    def __deepcopy__(self, memo: object) -> Properties:
        return self

    def __reduce__(self) -> tuple[type[Properties], tuple[bytes]]:
        return Properties, (self._json,)


def _frozen(value: JSON) -> Frozen:
    if type(value) is list:
        return tuple(map(_frozen, value))
    if type(value) is dict:
        return Properties(orjson.dumps(value))
    return cast("Frozen", value)


def _says_same(frozen: JSON, value: object) -> bool:
    if isinstance(frozen, dict):
        if not isinstance(value, Mapping):
            return False
        mapping = cast("Mapping[object, object]", value)
        return frozen.keys() == mapping.keys() and all(_says_same(frozen[name], mapping[name]) for name in frozen)
    if isinstance(frozen, list):
        if not isinstance(value, list | tuple):
            return False
        sequence = cast("Sequence[object]", value)
        return len(frozen) == len(sequence) and all(map(_says_same, frozen, sequence))
    # The text of a number tells 1, 1.0 and True apart, and 0.0 from -0.0.
    return type(frozen) is type(value) and repr(frozen) == repr(value)
