"""
What the command line prints.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

__all__ = ["say"]


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
