"""
Signal handlers that run at each moment at which one can.

Such moments are the beginning of a function and the return of a call of something written in C. The interpreter tells
both of them to a profile function, which here stands for the handler.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import mixwire.transports

GUARD_SECONDS: Final = 20.0
"""Nothing waits longer, so that a broken test fails instead of hanging."""
TRANSPORTS: Final = (str(Path(mixwire.transports.__file__).parent),)
WITH_THREADING: Final = (*TRANSPORTS, threading.__file__, "<attrs generated")
"""What they call that is written in Python."""


class Signal:
    """
    Calls a handler at one moment of what happens within `with`, in the code of some folders or files, and others at
    later ones.
    """

    def __init__(
        self,
        number: int,
        handler: Callable[[], object],
        later: dict[int, Callable[[], object]] = {},  # noqa: B006
        *,
        within: tuple[str, ...] = TRANSPORTS,
    ) -> None:
        self.number = number
        self.handlers = {number: handler, **later}
        self.within = within
        self.passed = 0

    def __enter__(self) -> Signal:
        sys.setprofile(self._moment)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    @property
    def came(self) -> bool:
        return self.passed >= self.number

    def _moment(self, frame: FrameType, happened: str, of: Any) -> None:
        if not frame.f_code.co_filename.startswith(self.within):
            return
        # At the end of __enter__ no signal comes, though newer Pythons report it, unless the call is written out.
        if happened == "call" or (
            happened == "c_return" and (of.__name__ != "__enter__" or frame.f_code.co_name == "__enter__")
        ):
            self.passed += 1
            if self.passed in self.handlers:
                self.handlers[self.passed]()


def interrupt() -> None:
    raise KeyboardInterrupt


def elsewhere(do: Callable[[], object]) -> None:
    """
    Do it in another thread, which waits for ever if a lock was left behind.
    """
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(GUARD_SECONDS)
    assert not thread.is_alive()
