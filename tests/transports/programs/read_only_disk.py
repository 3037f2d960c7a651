"""
A spool on a file system that becomes read-only. To be run as root of a user namespace that may mount.

Says as JSON what happened.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from spool_kit import EVENTS, drain, files, messages

from mixwire.core import InvalidValue
from mixwire.transports import journal
from mixwire.transports.spool import Spool, SpoolError


def mount(options: str, directory: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(directory)], check=True)


def trouble(spool: Spool) -> str:
    try:
        spool.append(EVENTS[2:4])
    except SpoolError as error:
        return error.trouble
    return ""


def mistake(path: Path) -> str:
    try:
        Spool(path)
    except InvalidValue as error:
        return str(error)
    return ""


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    journal._FAILED_SECONDS = 0.0  # nobody waits a minute here
    mount("mode=700", directory)
    writer, spool = Spool(directory / "spool"), Spool(directory / "spool")
    writer.append(EVENTS[:2])
    writer.close()
    mount("remount,ro", directory)
    other = Spool(directory / "spool")
    said = {
        "trouble": [trouble(spool), trouble(other)],
        "adopted": len(other.adopt()),
        "waiting": other.survey().waiting,
        "mistake": mistake(directory / "missing"),
    }
    other.close()
    mount("remount,rw", directory)
    said["later"] = trouble(spool)
    spool.close()
    drainer = Spool(directory / "spool")
    said["is_as_accepted"] = messages(drain(drainer)) == EVENTS[:4]
    said["left"] = files(directory / "spool")
    print(json.dumps(said))
