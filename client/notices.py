"""
What an operator hears of messages that the server would silently truncate, trim, drop or overwrite: the `limits` policy
``warn`` of a project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .core import Effect, Message, Track
from .core.limits import EVENT_CONTAINER_BYTES, PROPERTY_NAME_CHARACTERS, STRING_BYTES
from .transports.reports import Reporter

__all__ = ["Notices"]

_MAX_KNOWN_NAMES: Final = 4_096
_MAX_CHARACTERS: Final = PROPERTY_NAME_CHARACTERS.maximum
_MAX_BYTES: Final = STRING_BYTES.maximum
_MAX_CONTAINER: Final = EVENT_CONTAINER_BYTES.maximum
# No character takes more than four bytes.
_SURELY_SHORT: Final = _MAX_BYTES // 4
_WORDS: Final = {effect: f"Mixpanel takes a message, but something in it is {effect.value}" for effect in Effect}
_LIST: Final = ord("[")
_ESCAPE: Final = ord("\\")
_LONG_TEXT: Final = re.compile(b'"[^"]{%d}' % (_MAX_BYTES + 1))
_CONTAINERS: Final = frozenset({dict, list, tuple})
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_FLAT: Final = _SCALARS | {str}


class Notices:
    """
    Logs what would happen to messages: one line for each kind of finding and minute, with the path and no value.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._plain: set[str] = set()

    def look_at(self, message: Message) -> None:
        """
        Log the findings in *message*.
        """
        for finding in message.findings():
            self._reporter.tell(_WORDS[finding.effect], str(finding))

    def is_plain(self, track: Track, properties: Mapping[str, Any]) -> bool:  # Any: whatever the caller gave
        """
        Whether there can be no findings in an event made of *properties*. Most have none, and to search for them takes
        longer than to encode the event.
        """
        plain = self._plain
        if track.event not in plain and not self._learn(track.event):
            return False
        if not plain.issuperset(properties) and not all(
            name in plain or self._learn(name) for name in tuple(properties)
        ):
            return False
        json = track.json
        if len(json) > _MAX_BYTES:  # what is short as a whole has no long text in it
            if len(json) > _MAX_CONTAINER:
                return False
            if _ESCAPE in json:
                return _are_plain(tuple(properties.values()))
            if _LONG_TEXT.search(json) is not None:
                return False
        return _LIST not in json or _are_flat(tuple(properties.values()))

    def _learn(self, name: str) -> bool:
        """
        Whether a name says nothing to the server; those that do not are remembered.
        """
        if not name or name.startswith(("$", "mp_")) or name != name.strip() or len(name) > _MAX_CHARACTERS:
            return False
        if len(self._plain) < _MAX_KNOWN_NAMES:
            self._plain.add(name)
        return True


def _are_flat(values: Iterable[Any]) -> bool:  # Any: whatever the caller gave
    """
    Whether no object in one of the lists holds lists or objects.
    """
    for value in values:
        kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is list or kind is tuple:
            for element in value:
                inner: Any = type(element)  # pyright: ignore[reportUnknownVariableType]
                if inner is dict:
                    if not _FLAT.issuperset(map(type, tuple(element.values()))):
                        return False
                elif inner not in _FLAT and inner not in _CONTAINERS:
                    return False
        elif kind not in _FLAT and kind is not dict:
            return False
    return True


def _are_plain(values: Iterable[Any], *, in_a_list: bool = False) -> bool:  # Any: whatever the caller gave
    """
    Whether all texts in there are short for certain, and no object in a list holds lists or objects.
    """
    for value in values:
        kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            if len(value) > _SURELY_SHORT:
                return False
        elif kind is dict:
            inside = tuple(value.values())
            if not _are_plain(inside) or (in_a_list and not _CONTAINERS.isdisjoint(map(type, inside))):
                return False
        elif kind is list or kind is tuple:
            if not _are_plain(value, in_a_list=True):
                return False
        elif kind not in _SCALARS:
            return False
    return True
