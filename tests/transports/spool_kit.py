"""
Messages for spools, and what is in spools. Loads nothing that a small process of a test does not need.
"""

from __future__ import annotations

from pathlib import Path

from mixwire.core import Add, Message, PeopleOp, Project, Track, encode
from mixwire.transports.spool import Spool, Stored

PROJECT = Project("TOKEN-OF-PROJECT")
OTHER = Project("TOKEN-OF-ANOTHER")
NOW = 1_767_225_600_000


def event(number: int, size: int = 0) -> Message:
    properties = {"text": "x" * size} if size else {}
    track = Track(f"E{number}", distinct_id="u1", properties=properties, time=NOW, insert_id=f"abcdefgh{number:06}")
    return encode(track, PROJECT)


def addition(number: int) -> Message:
    return encode(PeopleOp("u1", Add({"steps": number})), PROJECT)


EVENTS = [event(number) for number in range(10)]


def drain(spool: Spool, max_bytes: int = 1 << 16, settle: bool = True) -> list[Stored]:
    """
    What a spool gives to somebody who delivers it.
    """
    found: list[Stored] = []
    for segment in spool.adopt():
        at, is_end = 0, False
        while not is_end:
            chunk = segment.read(at, max_bytes)
            if chunk.next == at and not chunk.stored:
                break
            found += chunk.stored
            if settle:
                spool.settle([stored.place for stored in chunk.stored])
            at, is_end = chunk.next, chunk.is_end
    return found


def messages(stored: list[Stored]) -> list[Message]:
    return [each.message for each in stored]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")
