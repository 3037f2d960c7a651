"""
A transport that throws everything away, and says so.
"""

from __future__ import annotations

import pytest
from stand_ins import A, B

from mixwire.core import Cause, InvalidValue, Outcome
from mixwire.transports.base import Stats
from mixwire.transports.null import NullTransport


def test_everything_is_counted_as_dropped_and_nothing_is_settled() -> None:
    transport = NullTransport()
    assert transport.send(A, B) == Outcome()
    assert transport.send() == Outcome()
    assert transport.flush(0) == Outcome()
    assert transport.stats() == Stats(accepted=2, dropped=2)


def test_after_close_everything_failed() -> None:
    with NullTransport() as transport:
        transport.send(A)
    assert transport.close(0) == Outcome()
    assert [(each.message, each.cause) for each in transport.send(B).failed] == [(B, Cause.CLOSED)]
    assert transport.stats() == Stats(accepted=2, dropped=1, failed=1)


def test_what_is_no_message_is_refused() -> None:
    transport = NullTransport()
    with pytest.raises(InvalidValue, match=r"^messages\[1\] must be a Message"):
        transport.send(A, "B")  # type: ignore[arg-type]
    assert transport.stats() == Stats()
