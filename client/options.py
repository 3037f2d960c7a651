"""
The options of the command line that say which project, and the project that they give.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from attrs import evolve

from .core import InvalidValue, Project
from .settings import Settings, project_of, read_settings, settings_from_environment

__all__ = ["config_option", "json_option", "project_from", "server_option", "settings_from", "token_option"]

# What click decorates may have any signature.
_Command = TypeVar("_Command", bound=Callable[..., Any])
_Option = Callable[[_Command], _Command]

server_option: Final = click.option(
    "--server", metavar="S", help="us (default), eu, in, https://host[:port], or http:// on loopback."
)
token_option: Final = click.option("--token", metavar="T", help="The project token; better given as MIXWIRE_TOKEN.")
config_option: Final = click.option(
    "--config", metavar="F", type=click.Path(path_type=Path), help="A TOML file of settings."
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")


def settings_from(options: Settings, config: Path | None) -> Settings:
    """
    What the options say, then the environment, then the file.

    Raises:
        UsageError: If the file is not what it should be.
    """
    try:
        settings = options.over(settings_from_environment(os.environ))
        return settings if config is None else settings.over(read_settings(config))
    except InvalidValue as fault:
        raise click.UsageError(str(fault)) from None


def project_from(options: Settings, config: Path | None, default_token: str | None = None) -> Project:
    """
    The project that the settings give.

    Args:
        options: What the options say.
        config: The file of --config.
        default_token: The token if none is given, for a command that sends nothing.

    Raises:
        UsageError: If they give none, or switch off a command that sends.
    """
    settings = settings_from(options, config)
    if settings.enabled is False and default_token is None:
        raise click.UsageError(
            "Nothing is sent while `enabled` is false: see MIXWIRE_ENABLED and the file of --config."
        )
    if settings.token is None:
        settings = evolve(settings, token=default_token)
    try:
        return project_of(settings)
    except InvalidValue as fault:
        raise click.UsageError(str(fault)) from None
