"""
A thread that does something a while after it was asked to.
"""

from __future__ import annotations

import _thread
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

__all__ = ["Reminder"]


class Reminder:
    """
    Calls a method once, some seconds after `remind`. May be used from a signal handler.

    The thread starts when it is needed first, keeps neither the interpreter nor the method's object alive, and ends
    with `stop`.

    Args:
        method: What to call; what it raises is lost.
        seconds: How long after.
    """

    def __init__(self, method: Callable[[], None], seconds: float) -> None:
        self._method = weakref.WeakMethod(method)
        self._seconds = seconds
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._has_thread = False

    def remind(self) -> bool:
        """
        Call the method in a while; False if no thread can be started for that now.
        """
        if not self._has_thread:
            self._has_thread = True
            try:
                # Not threading.Thread: to start one takes a lock that the interrupted code may hold.
                _thread.start_new_thread(_wait, (self._method, self._wake, self._seconds))
            except RuntimeError:
                self._has_thread = False
                return False
        self._wake.put(True)
        return True

    def stop(self) -> None:
        """
        End the thread.
        """
        self._wake.put(False)


def _wait(method_of: Callable[[], Callable[[], None] | None], wake: SimpleQueue[bool], seconds: float) -> None:
    while wake.get():
        end = time.monotonic() + seconds
        with suppress(Empty):
            while (left := end - time.monotonic()) > 0:
                if not wake.get(timeout=left):
                    return
        method = method_of()
        if method is None:
            return
        # Whatever it was, the next reminder must find the thread alive.
        with suppress(Exception):
            method()
        del method
