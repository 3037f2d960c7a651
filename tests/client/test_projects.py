"""
A front door sends with the credentials of its own project only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from mixwire import Mixpanel
from mixwire.core import InvalidValue, Project
from mixwire.testing import MemoryTransport
from mixwire.transports import (
    BufferedTransport,
    FallbackTransport,
    FileTransport,
    NullTransport,
    SyncTransport,
    TeeTransport,
    Transport,
)

MINE: Final = Project("T0")
OTHER: Final = Project("T9", server="eu")

OPENED: Final[dict[str, Callable[[Project], Transport]]] = {
    "sync": SyncTransport,
    "buffered": BufferedTransport,
    "tee": lambda project: TeeTransport(SyncTransport(MINE), SyncTransport(project)),
    "fallback": lambda project: FallbackTransport(SyncTransport(MINE), SyncTransport(project)),
    "nested": lambda project: TeeTransport(NullTransport(), FallbackTransport(SyncTransport(project))),
}


@pytest.mark.parametrize("enabled", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("name", OPENED)
def test_a_transport_for_another_project_is_refused(name: str, enabled: bool) -> None:
    with OPENED[name](OTHER) as transport:
        with pytest.raises(InvalidValue) as refusal:
            Mixpanel("T0", transport=transport, enabled=enabled)
        assert str(refusal.value) == "transport must be one for the project of the token, not one for another project"


@pytest.mark.parametrize("name", OPENED)
def test_a_transport_for_the_same_project_is_taken_whatever_its_server(name: str) -> None:
    with OPENED[name](Project("T0", server="in", events="import")) as transport:
        Mixpanel("T0", transport=transport)


def test_a_transport_that_knows_no_project_takes_the_messages_of_any(tmp_path: Path) -> None:
    for transport in (
        MemoryTransport(),
        NullTransport(),
        FileTransport(tmp_path / "spool"),
        TeeTransport(NullTransport()),
    ):
        with transport:
            for token in ("T0", "T9"):
                Mixpanel(token, transport=transport).track("user-1", "Opened")
