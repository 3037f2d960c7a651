"""
The time and the ids that operations are stamped with.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter

__all__ = ["ContentIds", "milliseconds_now"]


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
