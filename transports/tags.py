"""
Which transports are known by which tag.

Other packages add theirs as entry points of the group ``mixwire.transports``: the name is the tag, the value an attrs
class with ``build(self, project) -> Transport`` whose fields are the keys. They are looked for only when a tag is
asked for that is none of our own, and loaded only when it is theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeGuard

from attrs import has

from ..core import InvalidValue
from .descriptions import Buffered, Description, Fallback, File, Logging, Null, Sync, Tee

__all__ = ["GROUP", "is_description", "is_description_class", "kind_of", "tag_of", "unknown"]

GROUP: Final = "mixwire.transports"
"""The entry point group."""

_OWN: Final[dict[str, type[Description]]] = {
    "sync": Sync,
    "buffered": Buffered,
    "logging": Logging,
    "file": File,
    "null": Null,
    "tee": Tee,
    "fallback": Fallback,
}
_NEAR: Final = {"spool": "file"}
"""What is near in meaning and not in letters."""


def kind_of(tag: str) -> type[Description]:
    """
    The class of the descriptions with this tag.

    Raises:
        InvalidValue: If there is none, or the package that has it is broken; the path is that of the tag.
    """
    if tag in _OWN:
        return _OWN[tag]
    points = entry_points(group=GROUP)
    # An editable install may be found twice: by its metadata, and by those of the folder that it was built in.
    found = {point.value: point for point in points if point.name == tag}
    if not found:
        known = sorted({*_OWN, *points.names})
        nearest = unknown(_NEAR.get(tag, tag), known)
        raise InvalidValue("type", "one of the known tags: " + ", ".join(map(repr, known)), nearest)
    if len(found) > 1:
        raise InvalidValue("type", "a tag of one package", "one that several have: " + ", ".join(sorted(found)))
    (point,) = found.values()
    return _load(point)


def tag_of(kind: type) -> str:
    """
    The tag of the descriptions of this class.

    Raises:
        InvalidValue: If it has none.
    """
    for tag, own in _OWN.items():
        if own is kind:
            return tag
    for point in entry_points(group=GROUP):
        # The class may be handed on by another module than its own, but it has the name that the entry point says.
        if point.attr == kind.__qualname__ and point.name not in _OWN and _load(point) is kind:
            return point.name
    raise InvalidValue("description", "of a class that is known by a tag", kind.__qualname__)


def unknown(name: str, known: Collection[str]) -> str:
    """
    What to say of a name that is not known: the nearest one that is.
    """
    nearest = get_close_matches(name, known, 1)
    return f"an unknown one (perhaps {nearest[0]!r})" if nearest else "an unknown one"


def is_description(value: object) -> TypeGuard[Description]:
    """
    Whether *value* describes a transport.
    """
    return is_description_class(type(value))


def is_description_class(kind: object) -> TypeGuard[type[Description]]:
    """
    Whether *kind* is a class of descriptions.
    """
    return isinstance(kind, type) and has(kind) and callable(getattr(kind, "build", None))


def _load(point: EntryPoint) -> type[Description]:
    where = f"{point.name!r}, the entry point {point.value!r}"
    if point.dist is not None:
        where += f" of the package {point.dist.name}"
    try:
        kind: Any = point.load()  # Any: whatever the entry point names
    except Exception as error:
        raise InvalidValue("type", "a tag that can be loaded", f"{where} ({type(error).__name__})") from error
    if not is_description_class(kind):
        raise InvalidValue("type", "a tag of an attrs class with a method build", where)
    return kind
