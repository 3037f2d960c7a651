"""
The time and the ids that operations are stamped with.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from typing import Final

__all__ = ["ContentIds", "milliseconds_now", "new_insert_id"]


def milliseconds_now() -> int:
    """
    The time in milliseconds since 1970.
    """
    return time.time_ns() // 1_000_000


class ContentIds:
    """
    Makes the insert_id of a record from its text, so that sending a file a second time counts each record once.

    The same text a second time in one file is a second record, and gets an id of its own.
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()

    def __call__(self, text: bytes) -> str:
        digest = hashlib.sha256(text).digest()
        self._seen[digest] += 1
        return hashlib.sha256(digest + str(self._seen[digest]).encode()).hexdigest()[:36]


_drawn: Final[list[str]] = []
if hasattr(os, "register_at_fork"):
    # What was drawn before a fork belongs to the parent.
    os.register_at_fork(after_in_child=_drawn.clear)


def new_insert_id() -> str:
    """
    A random insert_id of 32 hexadecimal characters, 256 drawn at a time; safe to call from several threads, and after a
    fork.
    """
    # To take one off a list cannot be interrupted by another thread.
    try:
        return _drawn.pop()
    except IndexError:
        text = os.urandom(16 * 257).hex()
        _drawn.extend(text[start : start + 32] for start in range(32, len(text), 32))
        return text[:32]
