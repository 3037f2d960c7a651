"""
Telling the application what became of its messages, without being at its mercy.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from ..core import Outcome
from .reports import Reporter

__all__ = ["Listener", "OnOutcome"]

OnOutcome: TypeAlias = Callable[[Outcome], None]
"""What an application gives to be told of each outcome."""

_MOST_UNTOLD: Final = 10_000
"""Messages in outcomes that wait for a slow callback; beyond that they are no longer told, only counted."""
_LOOK_SECONDS: Final = 0.005


class Listener:
    """
    Calls *callback* with each outcome, in a thread of its own: one that blocks keeps nothing else waiting, one that
    raises is logged, and one that sends or closes finds no lock held.

    Args:
        callback: The application's.
        reporter: Where a callback that raises is told.
        background: Whether to use a thread; without one, outcomes wait for `call`.
    """

    def __init__(self, callback: OnOutcome, reporter: Reporter, *, background: bool = True) -> None:
        self._callback = callback
        self._reporter = reporter
        self._background = background
        self._outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._calling = threading.Lock()
        # Each written by one thread at a time.
        self._told = 0
        self._heard = 0
        self.may_start_thread = True

    def tell(self, outcome: Outcome) -> None:
        """
        Have the callback called soon. Used by one thread at a time.
        """
        if self._told - self._heard > _MOST_UNTOLD:
            self._reporter.tell("on_outcome is too slow: it is not told of every outcome")
            return
        self._told += len(outcome)
        self._outcomes.put(outcome)
        if self._background and self._thread is None and self.may_start_thread:
            thread = threading.Thread(target=self._listen, name="mixwire-outcomes", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread can be started: `call` will do
                thread.start()
                self._thread = thread

    def call(self) -> None:
        """
        Call the callback in this thread for what no other thread calls it for. What comes of the callback itself, which
        may send and flush, is told the next time.
        """
        if self._thread is not None or not self._calling.acquire(blocking=False):
            return
        try:
            for _ in range(self._outcomes.qsize()):
                with contextlib.suppress(queue.Empty):
                    self._call(self._outcomes.get_nowait())
        finally:
            self._calling.release()

    def wait(self, seconds: float) -> None:
        """
        Wait, so long at most, until everything is told that is to be told by now.
        """
        told, end = self._told, time.monotonic() + seconds
        self.call()
        while self._heard < told and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def close(self, seconds: float) -> None:
        """
        Wait, so long at most, until everything is told.
        """
        thread = self._thread
        if thread is None:
            self.call()
            return
        self._outcomes.put(None)
        if thread is not threading.current_thread():
            thread.join(max(seconds, 0.0))

    def _listen(self) -> None:
        pid = os.getpid()
        # In a child process, after a fork in the callback, the rest is the parent's.
        while (outcome := self._outcomes.get()) is not None and os.getpid() == pid:
            self._call(outcome)

    def _call(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        try:
            self._callback(outcome)
        except Exception as error:  # noqa: BLE001
            self._reporter.tell(f"on_outcome raised {type(error).__name__}")
        self._heard += len(outcome)
