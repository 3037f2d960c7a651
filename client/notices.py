"""
What an operator hears of messages that the server would silently truncate, trim, drop or overwrite: the `limits` policy
``warn`` of a project.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .core import Effect, Message
from .core.limits import PROPERTY_NAME_CHARACTERS, STRING_BYTES
from .transports.reports import Reporter

__all__ = ["Notices"]

_MAX_KNOWN_NAMES: Final = 4_096
_MAX_CHARACTERS: Final = PROPERTY_NAME_CHARACTERS.maximum
# No character takes more than four bytes.
_SURELY_SHORT: Final = STRING_BYTES.maximum // 4
_WORDS: Final = {effect: f"Mixpanel takes a message, but something in it is {effect.value}" for effect in Effect}
_SCALARS: Final = frozenset({int, float, bool, type(None)})


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

    def is_plain(self, event: str, properties: Mapping[str, Any]) -> bool:  # Any: whatever the caller gave
        """
        Whether there can be no findings in an event. Most have none, and to search for them takes longer than to encode
        the event.
        """
        plain = self._plain
        if event not in plain and not self._learn(event):
            return False
        for name, value in tuple(properties.items()):  # another thread may be changing them
            if name not in plain and not self._learn(name):
                return False
            kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
            if kind is str:
                if len(value) > _SURELY_SHORT:
                    return False
            elif kind not in _SCALARS:
                return False
        return True

    def _learn(self, name: str) -> bool:
        """
        Whether a name says nothing to the server; those that do not are remembered.
        """
        if not name or name.startswith(("$", "mp_")) or name != name.strip() or len(name) > _MAX_CHARACTERS:
            return False
        if len(self._plain) < _MAX_KNOWN_NAMES:
            self._plain.add(name)
        return True
