"""
For programs that tests start: a server made of a file, to which each request is one line, from whatever process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from mixwire.core import Add, Answer, Message, NoResponse, PeopleOp, Project, Request, Response, Set, Track, encode
from mixwire.transports import BufferedTransport

PROJECT = Project("T0")
NOW = time.time_ns() // 1_000_000
GOOD = Response(status=200, body=b'{"status":1}')
DOWN = NoResponse(reason="down", maybe_received=False)


def event(name: str) -> Message:
    return encode(Track(name, distinct_id="u1", time=NOW, insert_id=f"event-{name}"), PROJECT)


def update(value: int) -> Message:
    return encode(PeopleOp("u1", Set({"step": value})), PROJECT)


def addition(value: int) -> Message:
    return encode(PeopleOp("u1", Add({"steps": value})), PROJECT)


def post_to(path: str, seconds: float = 0.0) -> Callable[[Request], Answer]:
    paper = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def post(request: Request) -> Answer:
        if seconds:
            time.sleep(seconds)
        os.write(paper, request.body + b"\n")
        return GOOD

    return post


def transport(post: Callable[[Request], Answer], **options: Any) -> BufferedTransport:
    settings: dict[str, Any] = {"flush_after_seconds": 0.01, "post": post, **options}
    return BufferedTransport(PROJECT, **settings)
