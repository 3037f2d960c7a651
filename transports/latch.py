"""
A moment that others wait for, and that comes once.
"""

from __future__ import annotations

import queue

__all__ = ["Latch"]


class Latch:
    """
    Whether that moment has come. Not a `threading.Event`: whoever is interrupted in one, as by Ctrl-C, may leave its
    lock behind, and whoever sets it then would wait for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """
        Whether it has come.
        """
        return self._is_set

    def set(self) -> None:
        """
        Say that it has come; from any thread, also from a signal handler.
        """
        self._is_set = True
        self._wake.put(None)

    def wait(self, seconds: float) -> None:
        """
        Wait until it comes, or *seconds*. Of several who wait, one that is interrupted may keep others waiting for all
        of their time.
        """
        if self._is_set:
            return
        try:
            self._wake.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            return
        # Others may wait for the same.
        self._wake.put(None)
