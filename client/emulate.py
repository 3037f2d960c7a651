"""
The command that puts a Mixpanel on this machine: it answers as the real one does and shows what arrived.
"""

from __future__ import annotations

import sys
from contextlib import closing
from errno import EADDRINUSE
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Literal

import click

from .core import InvalidValue, Project
from .interrupts import terminated_like_interrupted, wait_for_interrupt
from .options import settings_from, token_option
from .printing import say
from .settings import Settings

if TYPE_CHECKING:
    from .testing.server import MixpanelServer

__all__ = ["emulate"]

_PORT: Final = 8788
_WARNING: Final = (
    "This listens beyond loopback: whoever can reach it can read all that arrives here and change it, over plain http."
)


@click.command()
@click.option("--host", metavar="H", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    metavar="P",
    type=click.IntRange(0, 65_535),
    default=_PORT,
    show_default=True,
    help="Where to listen; 0 for any that is free.",
)
@click.option(
    "--id-system",
    type=click.Choice(["original", "simplified"]),
    default="original",
    show_default=True,
    help="How the project joins ids.",
)
@token_option
@click.option(
    "--max-events", metavar="N", type=click.IntRange(min=1), default=10_000, show_default=True, help="How many to keep."
)
@click.option(
    "--max-body-bytes",
    metavar="N",
    type=click.IntRange(min=1),
    default=2_097_152,
    show_default=True,
    help="How long a body may be, uncompressed.",
)
def emulate(
    host: str,
    port: int,
    id_system: Literal["original", "simplified"],
    token: str | None,
    max_events: int,
    max_body_bytes: int,
) -> None:
    """
    Be a Mixpanel on this machine, and show in a browser what arrives, what becomes of it and why.

    Nothing leaves the machine and nothing is stored: all is gone when the command ends. Without a token, events of any
    project are taken.
    """
    try:
        from .testing.local import LocalMixpanel
        from .testing.server import MixpanelServer
        from .testing.state import Settings as ProjectSettings
    except ModuleNotFoundError as missing:
        if missing.name not in ("starlette", "uvicorn"):
            raise
        say(f"The emulator needs {missing.name}: pip install 'mixwire[emulator]'", err=True)
        sys.exit(2)
    project = ProjectSettings(
        id_system=id_system, token=_token(token), max_events=max_events, max_body_bytes=max_body_bytes
    )
    server = MixpanelServer(LocalMixpanel(project), host=host, port=port)
    try:
        with terminated_like_interrupted(), closing(server):
            _start(server, host, port)
            if not _is_loopback(host):
                say(_WARNING, err=True)
            for line in _introduction(server):
                say(line)
            wait_for_interrupt()
    except KeyboardInterrupt:
        # That is how it ends.
        pass


def _token(option: str | None) -> str | None:
    token = settings_from(Settings(token=option), None).token
    if token is None:
        return None
    try:
        return Project(token).token
    except InvalidValue as fault:
        raise click.UsageError(str(fault)) from None


def _start(server: MixpanelServer, host: str, port: int) -> None:
    try:
        server.start()
    except OSError as error:
        if error.errno == EADDRINUSE:
            raise click.UsageError(
                f"port {port} of {host} is in use; --port takes another, and 0 any that is free"
            ) from None
        raise click.UsageError(f"nothing can listen on port {port} of {host}: {error.strerror}") from None


def _introduction(server: MixpanelServer) -> tuple[str, ...]:
    kept = server.mixpanel.state.settings
    taken = "It takes events of any project" if kept.token is None else "It takes events with the token that was given"
    return (
        f"The page:  {server.url}/",
        f"A client:  MIXWIRE_SERVER={server.url}",
        f"{taken}, with {kept.id_system} id merge, and answers 413 to more than {kept.max_body_bytes:,} bytes.",
        (
            f"It keeps, in memory, the newest {kept.max_events:,} events, {kept.max_updates:,} updates, "
            f"{kept.max_requests:,} requests and {kept.max_profiles:,} profiles. Ctrl-C ends it."
        ),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
