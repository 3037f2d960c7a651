"""
Fixtures for pytest, which finds them by itself: `mixpanel_memory` and `mixpanel_server`, each a Mixpanel of the test's
own with the assertions of `mixwire.testing.assertions`.

    def test_an_upgrade_is_tracked(mixpanel_memory):
        upgrade("user-1", "pro", Mixpanel("token", transport=mixpanel_memory.transport))
        mixpanel_memory.tracked("Plan Upgraded", distinct_id="user-1", plan="pro")

Every run of pytest loads this module, where mixwire is installed: what it needs is imported when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .assertions import MemoryTracking, ServerTracking
    from .local import LocalMixpanel
    from .server import MixpanelServer
    from .state import Settings

__all__ = ["mixpanel_memory", "mixpanel_server", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    """
    Make the marker known.
    """
    config.addinivalue_line(
        "markers",
        "mixpanel(id_system=..., token=..., patience_seconds=...): which project mixpanel_memory and mixpanel_server "
        "are, as in mixwire.testing.state.Settings, and how long they wait for what is asked for",
    )


@pytest.fixture
def mixpanel_memory(request: pytest.FixtureRequest) -> MemoryTracking:
    """
    A Mixpanel without a socket: give its `transport` to the client.
    """
    from .assertions import MemoryTracking

    settings, patience = _marked(request)
    return MemoryTracking(settings, patience_seconds=0.0 if patience is None else patience)


@pytest.fixture
def mixpanel_server(request: pytest.FixtureRequest) -> Iterator[ServerTracking]:
    """
    A Mixpanel behind real HTTP on a free port of loopback: give its `url` to the client as the server.
    """
    from .assertions import ServerTracking
    from .local import LocalMixpanel

    settings, patience = _marked(request)
    # One for each test: what a transport of another still holds must not arrive here.
    with _server(LocalMixpanel(settings)) as server:
        yield ServerTracking(server.mixpanel, server.url, patience_seconds=2.0 if patience is None else patience)


def _server(mixpanel: LocalMixpanel) -> MixpanelServer:
    try:
        from .server import MixpanelServer
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.split(".")[0] not in ("starlette", "uvicorn"):
            raise
        # Not a traceback: what is to be done is all in the sentence.
        pytest.fail(f"mixpanel_server needs {missing.name}: pip install 'mixwire[emulator]'", pytrace=False)
    return MixpanelServer(mixpanel)


def _marked(request: pytest.FixtureRequest) -> tuple[Settings | None, float | None]:
    """
    The settings and the patience that the marks of a test ask for; None for what they leave open.
    """
    marks: list[pytest.Mark] = list(request.node.iter_markers("mixpanel"))
    # The mark that is nearest to the test comes first, and counts most.
    asked = {name: value for mark in reversed(marks) for name, value in mark.kwargs.items()}
    if any(mark.args for mark in marks):
        pytest.fail("@pytest.mark.mixpanel takes keyword arguments only", pytrace=False)
    patience = asked.pop("patience_seconds", None)
    if patience is not None and (isinstance(patience, bool) or not isinstance(patience, int | float)):
        pytest.fail("@pytest.mark.mixpanel: patience_seconds must be a number", pytrace=False)
    if not asked:
        return None, patience
    from attrs import fields_dict

    from ..core import InvalidValue
    from .state import Settings

    unknown = sorted(asked.keys() - fields_dict(Settings).keys())
    if unknown:
        pytest.fail(f"@pytest.mark.mixpanel has no argument {unknown[0]}", pytrace=False)
    try:
        return Settings(**asked), patience
    except (InvalidValue, TypeError) as fault:
        pytest.fail(f"@pytest.mark.mixpanel: {fault}", pytrace=False)
