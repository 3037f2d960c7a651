"""
A thread that does something a while after it was asked to.
"""

from __future__ import annotations

import _thread
import queue
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

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
        # Both as they are now: gevent replaces them, and one of each kind would not work together.
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._start = _thread.start_new_thread
        self._has_thread = False

    def remind(self) -> bool:
        """
        Call the method in a while; False if no thread can be started for that now.
        """
        if not self._has_thread:
            try:
                self._has_thread = True
                # Not threading.Thread: to start one takes a lock that the interrupted code may hold.
                self._start(_wait, (self._method, self._wake, self._seconds))
            except RuntimeError:
                self._has_thread = False
                return False
            except BaseException:
                # Interrupted, and nobody knows whether it runs. A second thread does no harm, none would.
                self._has_thread = False
                raise
        self._wake.put(True)
        return True

    def stop(self) -> None:
        """
        End the thread.
        """
        self._wake.put(False)


def _wait(method_of: Callable[[], Callable[[], None] | None], wake: queue.SimpleQueue[bool], seconds: float) -> None:
    while wake.get():
        end = time.monotonic() + seconds
        with suppress(queue.Empty):
            while (left := end - time.monotonic()) > 0:
                if not wake.get(timeout=left):
                    wake.put(False)
                    return
        method = method_of()
        if method is None:
            return
        # Whatever it was, the next reminder must find the thread alive.
        with suppress(Exception):
            method()
        del method
    # For another thread, if there is one.
    wake.put(False)
