"""
Messages to check a transport with, no two of them alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

from ..core import (
    JSON,
    Add,
    Alias,
    Append,
    Charge,
    GroupOp,
    Message,
    Operation,
    PeopleOp,
    Project,
    Set,
    Track,
    encode,
)

__all__ = ["Writer"]


class Writer:
    """
    Makes messages, no two of them alike.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._numbers = itertools.count(1)
        # A minute ago, so that a clock that is ahead makes no event of the future.
        self._now = time.time_ns() // 1_000_000 - 60_000

    def is_ours(self, data: Mapping[str, JSON]) -> bool:
        properties = data.get("properties")
        token = data.get("$token") or (properties.get("token") if isinstance(properties, dict) else None)
        return token == self.project.token

    def event(self, user: str = "u1") -> Message:
        number = next(self._numbers)
        return self._encode(
            Track("Checked", distinct_id=user, time=self._now + number, insert_id=f"conformance-{number:010d}")
        )

    def step(self, step: int, user: str = "u1") -> Message:
        return self._encode(PeopleOp(user, Set({"step": step, "number": next(self._numbers)})))

    def group_step(self, step: int, group: str = "acme") -> Message:
        return self._encode(GroupOp("company", group, Set({"step": step, "number": next(self._numbers)})))

    def addition(self, user: str = "u1") -> Message:
        return self._encode(PeopleOp(user, Add({"total": next(self._numbers)})))

    def append(self, user: str = "u1") -> Message:
        return self._encode(PeopleOp(user, Append({"list": next(self._numbers)})))

    def charge(self, user: str = "u1") -> Message:
        return self._encode(Charge(user, next(self._numbers)))

    def alias(self, alias: str, user: str) -> Message:
        return self._encode(Alias(alias=alias, distinct_id=user))

    def mixture(self, count: int) -> list[Message]:
        """
        So many messages of all kinds.
        """
        makers: list[Callable[[], Message]] = [
            self.event,
            lambda: self.step(0),
            self.event,
            self.addition,
            lambda: self.group_step(0),
            self.append,
            self.event,
            self.charge,
        ]
        return [makers[index % len(makers)]() for index in range(count)]

    def _encode(self, operation: Operation) -> Message:
        return encode(operation, self.project)
