"""
Commands that run until somebody ends them: with Ctrl-C, or as services are ended.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NoReturn

__all__ = ["terminated_like_interrupted", "wait_for_interrupt"]


@contextmanager
def terminated_like_interrupted() -> Generator[None]:
    """
    What is done inside ends with `KeyboardInterrupt` at SIGTERM too, which whoever ends a service sends.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def wait_for_interrupt() -> NoReturn:
    """
    Wait until a signal raises.
    """
    while True:
        # A signal that comes just before a wait begins is noticed only when that wait is over.
        time.sleep(_LOOK_AGAIN_SECONDS)


_LOOK_AGAIN_SECONDS: Final = 1.0
