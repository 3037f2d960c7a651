"""
A moment that others wait for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import pytest
from moments import GUARD_SECONDS, WITH_THREADING, Signal, elsewhere, interrupt
from worlds import Watch

from mixwire.transports.latch import Latch


def in_another_thread(do: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread


def test_who_waits_for_what_has_come_waits_no_longer() -> None:
    latch = Latch()
    assert not latch.is_set()
    latch.set()
    latch.set()
    assert latch.is_set()
    with Watch():
        latch.wait(GUARD_SECONDS * 10)


def test_who_waits_in_vain_waits_as_long_as_was_said() -> None:
    latch = Latch()
    begun = time.monotonic()
    latch.wait(0.05)
    assert time.monotonic() - begun >= 0.05
    with Watch():
        latch.wait(0.0)
        latch.wait(-1.0)
    assert not latch.is_set()


def test_all_who_wait_are_told() -> None:
    latch = Latch()
    with Watch():
        threads = [in_another_thread(lambda: latch.wait(GUARD_SECONDS * 10)) for _ in range(5)]
        latch.set()
        for thread in threads:
            thread.join(GUARD_SECONDS)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("does", [lambda latch: latch.wait(0.0), Latch.set], ids=["waits", "sets"])
def test_row_61_who_is_interrupted_at_any_moment_keeps_nobody_waiting(does: Callable[[Latch], None]) -> None:
    for number in count(1):
        latch, signal = Latch(), Signal(number, interrupt, within=WITH_THREADING)
        with suppress(KeyboardInterrupt), signal:
            does(latch)
        elsewhere(latch.set)
        with Watch():
            latch.wait(GUARD_SECONDS * 10)
        if not signal.came:
            break
    assert number > 2
