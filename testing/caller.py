"""
Calls that may hang, made in a thread that can be left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["Caller"]

_T = TypeVar("_T")


class Caller:
    """
    A thread that makes calls for us, so that a call that hangs can be told and left behind.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name="mixwire-conformance", daemon=True).start()

    def begin(self, call: Callable[[], _T]) -> Future[_T]:
        future: Future[_T] = Future()

        def work() -> None:
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to the caller
                future.set_exception(error)
            else:
                future.set_result(result)

        self._calls.put(work)
        return future

    def end(self) -> None:
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
