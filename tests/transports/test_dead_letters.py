"""
Where rejected messages are kept.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from stand_ins import A, B

from mixwire.core import InvalidValue, Project, Rejected
from mixwire.transports.dead_letters import DeadLetters
from mixwire.transports.file import read_spool
from mixwire.transports.reports import Reporter

PROJECT = Project("T0")
REJECTED = (Rejected(A, "HTTP 400: bad", "properties.time"), Rejected(B, "worse"))


def test_each_is_kept_with_reason_and_field(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead", PROJECT, Reporter())
    assert letters.keep(REJECTED)
    assert letters.keep(REJECTED[:1])
    letters.close()
    kept = [(each.message.body, each.note) for each in read_spool(tmp_path / "dead", section="rejected")]
    assert [body for body, _ in kept] == [A.body, B.body, A.body]
    assert [(note.reason, note.field) for _, note in kept if note is not None] == [
        ("HTTP 400: bad", "properties.time"),
        ("worse", ""),
        ("HTTP 400: bad", "properties.time"),
    ]


def test_a_disk_that_does_not_take_them_is_reported_and_nothing_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = DeadLetters(tmp_path / "dead", PROJECT, Reporter())
    letters.close()
    monkeypatch.setattr(letters._spool, "append", _fail)
    with caplog.at_level(logging.WARNING, "mixwire"):
        assert not letters.keep(REJECTED)
        assert not letters.keep(REJECTED)
    assert [record.getMessage() for record in caplog.records] == [
        "rejected messages could not be kept: the disk is full"
    ]


def _fail(*_: object) -> None:
    from mixwire.transports.spool import SpoolError

    raise SpoolError("disk full")


def test_a_directory_that_cannot_be_used_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValue, match=r"^dead_letters must be "):
        DeadLetters(tmp_path / "file", PROJECT, Reporter())
