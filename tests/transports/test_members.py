"""
Members of transports that stand before others, and the time that they share.
"""

from __future__ import annotations

import pytest
from stand_ins import StandIn

from mixwire.core import InvalidValue
from mixwire.transports import members
from mixwire.transports.fallback import FallbackTransport
from mixwire.transports.members import as_members, countdown
from mixwire.transports.tee import TeeTransport

ONE = StandIn()


def test_members_are_kept_as_they_are() -> None:
    given = (StandIn(), StandIn())
    assert as_members(given) is given


@pytest.mark.parametrize("kind", [TeeTransport, FallbackTransport])
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((), "transports must be at least one transport, not none"),
        ((ONE, "sync"), "transports[1] must be a transport, not str"),
        ((ONE, StandIn(), ONE), "transports[2] must be another transport than those before it, not one of them again"),
    ],
    ids=["none", "no transport", "twice"],
)
def test_what_cannot_be_a_member_is_refused(
    kind: type[TeeTransport | FallbackTransport], given: tuple[object, ...], sentence: str
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        kind(*given)  # type: ignore[arg-type]
    assert str(refusal.value) == sentence


def test_a_countdown_says_what_is_left_and_never_less_than_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([100.0, 100.0, 101.5, 103.0])
    monkeypatch.setattr(members.time, "monotonic", lambda: next(moments))
    remaining = countdown(2.0)
    assert [remaining(), remaining(), remaining()] == [2.0, 0.5, 0.0]


def test_without_an_end_there_is_always_more() -> None:
    remaining = countdown(None)
    assert remaining() is None
    assert remaining() is None
