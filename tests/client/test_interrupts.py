"""
Commands that run until somebody ends them.
"""

from __future__ import annotations

import signal

import pytest

from mixwire.interrupts import terminated_like_interrupted, wait_for_interrupt


def test_a_signal_that_is_missed_by_one_wait_is_noticed_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def noticed_the_third_time(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("mixwire.interrupts.time.sleep", noticed_the_third_time)
    with pytest.raises(KeyboardInterrupt):
        wait_for_interrupt()
    assert len(waited) == 3
    assert max(waited) <= 1.0


def test_who_ends_the_process_interrupts_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
