"""
What a transport tells an operator: one line of the log for each cause and minute, so that an outage does not fill a
disk. No line holds what was sent, nor to whom.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

__all__ = ["Reporter"]

_QUIET_SECONDS: Final = 60.0


class Reporter:
    """
    Writes warnings to the logger ``mixwire``, each cause at most once a minute.

    Args:
        now: A monotonic time in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._logger = logging.getLogger("mixwire")
        self.unlock()
        _REPORTERS.add(self)
        self._told: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def unlock(self) -> None:
        """
        Have a new lock; for a child process, in which nobody gives back what was locked at the fork.
        """
        # Reentrant: a handler of a log or of a signal may tell something while its thread does.
        self._lock = threading.RLock()

    def tell(self, cause: str, detail: str = "") -> None:
        """
        Say that *cause* came up. When it is told again, the line says how often it came up in between.
        """
        now = self._now()
        with self._lock:
            told = self._told.get(cause)
            if told is not None and now - told < _QUIET_SECONDS:
                self._untold[cause] = self._untold.get(cause, 0) + 1
                return
            self._told[cause] = now
            more = self._untold.pop(cause, 0)
        times = "once" if more == 1 else f"{more:,} times"
        since = f" ({times} more since it was last told)" if more else ""
        # The cause is the template, because what collects errors groups by it.
        template = cause.replace("%", "%%") + "%s%s"
        # A handler of the application must not stop the delivery.
        try:
            self._logger.warning(template, f": {detail}" if detail else "", since)
        except Exception:  # noqa: BLE001
            return


_REPORTERS: Final[weakref.WeakSet[Reporter]] = weakref.WeakSet()


def _unlock_all() -> None:
    for reporter in tuple(_REPORTERS):
        reporter.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_all)
