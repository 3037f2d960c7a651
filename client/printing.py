"""
What the command line prints.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

__all__ = ["masked", "say"]

_SURE_CHARACTERS: Final = 8
"""A secret of so many characters is no piece of an ordinary word. A project token has 32."""


def say(text: str, *, err: bool = False) -> None:
    """
    Print a line. Nobody who cannot listen (a full disk, a closed pipe) keeps records from being sent.
    """
    try:
        click.echo(text, err=err)
    except OSError:
        # What stands in its buffer would fail once more when the process ends.
        if err:
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        else:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115


def masked(text: str, secrets: Iterable[str]) -> str:
    """
    The text without the secrets, which a server may have repeated; a short one is hidden only where it stands alone.
    """
    # The longest first, so that one that begins like another does not leave its rest behind.
    found = [_alone(secret) for secret in sorted(secrets, key=len, reverse=True) if secret]
    return re.sub("|".join(found), "***", text) if found else text


def _alone(secret: str) -> str:
    written = re.escape(secret)
    if len(secret) >= _SURE_CHARACTERS:
        return written
    before = "(?<![A-Za-z0-9])" if secret[0].isalnum() else ""
    after = "(?![A-Za-z0-9])" if secret[-1].isalnum() else ""
    return before + written + after
