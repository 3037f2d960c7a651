"""
A place for what was rejected: each message with the reason beside it, in a directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core import InvalidValue, Project, Rejected
from .reports import Reporter
from .spool import Note, Spool, SpoolError

__all__ = ["DeadLetters"]


class DeadLetters:
    """
    Keeps rejected messages in the section ``rejected`` of a spool.

    Args:
        directory: Where; made if it is missing.
        project: Whose messages they are.
        reporter: Told when the disk does not take them. They stand in the outcome all the same.

    Raises:
        InvalidValue: If the directory cannot be used.
    """

    def __init__(self, directory: str | Path, project: Project, reporter: Reporter) -> None:
        try:
            # They are few, and nobody sends them again: each is safe before the next.
            self._spool = Spool(directory, section="rejected", sync="always", project=project)
        except InvalidValue as fault:
            raise fault.at("dead_letters") from None
        self._reporter = reporter

    def keep(self, rejected: Sequence[Rejected]) -> bool:
        """
        Write them down, all or none, and say whether that was possible.
        """
        notes = [Note(reason=each.reason, field=each.field) for each in rejected]
        try:
            self._spool.append([each.message for each in rejected], notes)
        except SpoolError as error:
            self._reporter.tell("rejected messages could not be kept", str(error))
            return False
        return True

    def close(self) -> None:
        """
        Make sure that they are on the disk, and close the spool.
        """
        self._spool.close()
