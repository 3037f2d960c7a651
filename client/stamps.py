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


class _RandomIds:
    """
    Makes random insert_ids of 32 hexadecimal characters, 256 drawn at a time; safe to use from several threads, and
    after a fork.
    """

    def __init__(self) -> None:
        self._drawn: list[str] = []
        if hasattr(os, "register_at_fork"):
            # What was drawn before belongs to the parent.
            os.register_at_fork(after_in_child=self._drawn.clear)

    def __call__(self) -> str:
        # To take one off a list cannot be interrupted by another thread.
        try:
            return self._drawn.pop()
        except IndexError:
            text = os.urandom(16 * 257).hex()
            self._drawn.extend(text[start : start + 32] for start in range(32, len(text), 32))
            return text[:32]


new_insert_id: Final = _RandomIds()
"""A new insert_id. There is one for the process, because what is called after a fork stays in memory for ever."""
