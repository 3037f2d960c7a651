"""
What may be the matter with a spool.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import EDQUOT, EFBIG, ENOSPC
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

__all__ = ["SpoolError", "SpoolTrouble", "trouble_of"]

SpoolTrouble: TypeAlias = Literal["full", "disk full", "disk failed", "closed"]
"""The spool holds as much as it may; there is no room on the disk; it does not work; the spool was closed."""

_SENTENCES: Final[Mapping[SpoolTrouble, str]] = MappingProxyType(
    {
        "full": "the spool holds as much as it may",
        "disk full": "the disk is full",
        "disk failed": "the disk failed",
        "closed": "the spool had been closed",
    }
)
_NO_ROOM: Final = frozenset({ENOSPC, EDQUOT, EFBIG})


class SpoolError(Exception):
    """
    The spool could not take messages. This is weather, not a mistake, and never reaches a caller of `send`.

    Attributes:
        trouble: What is the matter.
    """

    def __init__(self, trouble: SpoolTrouble) -> None:
        super().__init__(trouble)
        self.trouble: SpoolTrouble = trouble

    def __str__(self) -> str:
        return _SENTENCES[self.trouble]


def trouble_of(error: OSError) -> SpoolTrouble:
    """
    What an error of the disk says.
    """
    return "disk full" if error.errno in _NO_ROOM else "disk failed"
