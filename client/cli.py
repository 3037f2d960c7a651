"""
The door to the command line: ``mixwire``. What it does is in `mixwire.commands`, which needs the extra ``cli``.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """
    Run the command line and leave the process with its exit code: 0 all well, 1 something was not, 2 wrong usage.
    """
    try:
        from .commands import mixwire
    except ModuleNotFoundError as missing:
        if missing.name not in ("click", "rich"):
            raise
        sys.stderr.write(f"The command line needs {missing.name}: pip install 'mixwire[cli]'\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    mixwire()
