"""
Troubles that come one upon the other: a disk that fails while what it did to a spool before is being mended.
"""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from spool_kit import EVENTS, drain, event, files, messages

from mixwire.transports.disk import Disk
from mixwire.transports.spool import Spool, SpoolError


class Failing(Disk):
    fails: tuple[str, ...] = ()

    def create(self, name: str) -> int:
        if "create" in self.fails:
            raise OSError(errno.EMFILE, "")
        return super().create(name)

    def sync_directory(self) -> None:
        if "sync_directory" in self.fails:
            raise OSError(errno.EIO, "")
        super().sync_directory()

    def unlink(self, name: str) -> None:
        if "unlink acks" in self.fails and name.endswith("acks"):
            raise OSError(errno.EIO, "")
        super().unlink(name)


def test_row_41_sync_ends_after_an_append_failed_and_the_directory_cannot_be_synced(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    disk = Failing(str(path))
    spool = Spool(path, disk=disk, sync_after_seconds=3600.0, max_segment_bytes=400)
    spool.append(EVENTS[:1])
    disk.fails = ("create", "sync_directory")
    with pytest.raises(SpoolError):
        spool.append(EVENTS[1:2])
    signal.alarm(3)
    with pytest.raises(SpoolError):
        spool.sync()
    signal.alarm(0)


def test_row_41_sync_does_not_say_durable_what_was_never_synced(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    disk = Failing(str(path))
    spool = Spool(path, disk=disk, sync_after_seconds=3600.0, max_segment_bytes=400)
    spool.append(EVENTS[:1])
    disk.fails = ("create",)
    with pytest.raises(SpoolError):
        spool.append(EVENTS[1:2])
    with pytest.raises(SpoolError):
        spool.sync()


@pytest.mark.parametrize("what", ["sync_directory", "unlink acks"])
def test_row_51_retention_counts_what_it_dropped_and_drops_no_more_than_needed(tmp_path: Path, what: str) -> None:
    path = tmp_path / "spool"
    writer = Spool(path, sync="never", max_segment_bytes=400)
    for number in range(6):
        writer.append([event(number)])
    writer.close()
    disk = Failing(str(path))
    spool = Spool(path, disk=disk, sync="never", max_bytes=3000, max_segment_bytes=400, when_full="drop_oldest")
    disk.fails = (what,)
    accepted = 6
    for number in range(10, 14):
        with suppress(SpoolError):
            spool.append([event(number)])
            accepted += 1
    disk.fails = ()
    spool.close()
    found = messages(drain(Spool(path), settle=False))
    assert accepted - len(found) == spool.dropped.get("bytes", 0)


def test_row_45_close_does_not_raise_when_the_descriptor_of_the_directory_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    directory, close = spool._disk._directory, os.close

    def fail(file):
        close(file)
        if file == directory:
            raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "close", fail)
    spool.close()


def test_row_45_create_leaves_no_descriptor_behind_when_fchmod_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)

    def fail(*a):
        raise OSError(errno.EIO, "")

    monkeypatch.setattr(os, "fchmod", fail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SpoolError):
        spool.append(EVENTS[:1])
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert files(path) == []


def test_row_45_removing_a_segment_leaves_no_descriptor_behind_when_the_directory_cannot_be_synced(
    tmp_path: Path,
) -> None:
    class AfterUnlink(Failing):
        def unlink(self, name: str) -> None:
            super().unlink(name)
            self.fails = ("sync_directory",)

    path = tmp_path / "spool"
    writer = Spool(path, sync="never")
    writer.append(EVENTS)
    writer.close()
    spool = Spool(path, disk=AfterUnlink(str(path)))
    (segment,) = spool.adopt()
    spool.settle([each.place for each in segment.read(0, 1 << 20).stored])
    names = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [name for name in names if str(path) in name and ".held" in name]
    assert spool._shelf.segments == {}


def test_row_42_a_full_disk_is_drained_and_makes_room(tmp_path: Path) -> None:
    class Full(Disk):
        is_full = False

        def write(self, file: int, data: bytes) -> int:
            if self.is_full:
                raise OSError(errno.ENOSPC, "")
            return super().write(file, data)

    path = tmp_path / "spool"
    writer = Spool(path, sync="never", max_segment_bytes=1000)
    for each in EVENTS:
        writer.append([each])
    writer.close()
    disk = Full(str(path))
    spool = Spool(path, disk=disk)
    disk.is_full = True
    assert messages(drain(spool)) == EVENTS
    assert files(path) == []


def test_row_41_a_descriptor_of_acks_that_failed_once_is_not_synced_again(tmp_path: Path) -> None:
    class Broken(Disk):
        synced: tuple[int, ...] = ()

        def sync(self, file: int) -> None:
            if Path(f"/proc/self/fd/{file}").readlink().name.endswith("-acks"):
                self.synced += (file,)
                raise OSError(errno.EIO, "")
            super().sync(file)

        def free(self, file: int) -> None:
            super().free(file)
            self.synced = tuple(each for each in self.synced if each != file)

    path = tmp_path / "spool"
    disk = Broken(str(path))
    spool = Spool(path, disk=disk, delivers=True, sync="never")
    places = spool.append(EVENTS)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        with pytest.raises(SpoolError):
            spool.intend(places)
    assert len(set(disk.synced)) == len(disk.synced)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
