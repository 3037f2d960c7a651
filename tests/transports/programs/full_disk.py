"""
A spool on a small file system of its own, which fills up. To be run as root of a user namespace that may mount.

Says as JSON what happened.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from spool_kit import PROJECT, drain, event, files

from mixwire.core import Answer, Message, Request, Response
from mixwire.transports import BufferedTransport
from mixwire.transports.spool import Spool, SpoolError

BALLAST = 100_000


def mounted(directory: Path) -> Path:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "none", str(directory)], check=True)
    return directory / "spool"


def filled(spool: Spool, number: int) -> tuple[list[Message], str]:
    """
    Append until that fails; what was accepted, and why no more was.
    """
    accepted: list[Message] = []
    while True:
        several = [event(number + each, size=1000) for each in range(7)]
        number += 7
        try:
            spool.append(several)
        except SpoolError as error:
            return accepted, error.trouble
        accepted += several


def resumes(directory: Path) -> dict[str, object]:
    path = mounted(directory)
    ballast = directory / "ballast"
    ballast.write_bytes(bytes(BALLAST))
    spool = Spool(path, max_segment_bytes=60_000)
    accepted, trouble = filled(spool, 0)
    again, _ = filled(spool, 1000)
    ballast.unlink()
    more, _ = filled(spool, 2000)
    spool.close()
    drainer = Spool(path)
    found = [each.message for each in drain(drainer)]
    return {
        "trouble": trouble,
        "again": len(again),
        "more": len(more),
        "is_as_accepted": found == accepted + again + more,
        "dropped": drainer.dropped,
    }


def is_drained(directory: Path) -> dict[str, object]:
    path = mounted(directory)
    spool = Spool(path, max_segment_bytes=60_000)
    accepted, trouble = filled(spool, 0)
    # Others take the last of the room.
    with (directory / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    drainer = Spool(path)
    found = [each.message for each in drain(drainer)]
    room, _ = filled(spool, 1000)
    spool.close()
    drainer.close()
    another = Spool(path)
    rest = [each.message for each in drain(another)]
    return {
        "trouble": trouble,
        "is_as_accepted": found + rest == accepted + room,
        "room": len(room),
        "files": files(path),
    }


def is_delivered(directory: Path) -> dict[str, object]:
    path = mounted(directory)
    posted: list[bytes] = []

    def post(request: Request) -> Answer:
        posted.append(request.body)
        return Response(status=200, body=b'{"error":null,"status":1}')

    transport = BufferedTransport(PROJECT, spool=path, post=post)
    was_full = False
    for number in range(1000):
        transport.send(event(number, size=1000))
        was_full = was_full or shutil.disk_usage(directory).free < 10_000
    transport.close(20.0)
    stats = transport.stats()
    events = [each["event"] for body in posted for each in json.loads(body)]
    return {
        "was_full": was_full,
        "accepted": stats.accepted,
        "delivered": stats.delivered,
        "is_each_posted_once": sorted(events) == sorted(f"E{number}" for number in range(1000)),
    }


if __name__ == "__main__":
    scenes = {"resumes": resumes, "is_drained": is_drained, "is_delivered": is_delivered}
    print(json.dumps(scenes[sys.argv[1]](Path(sys.argv[2]))))
