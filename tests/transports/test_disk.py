"""
The directory of a spool: what is refused, and what stands in it.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spool_kit import EVENTS

from mixwire.core import InvalidValue
from mixwire.transports import disk as disk_module
from mixwire.transports.disk import Disk
from mixwire.transports.spool import Spool

ALLOWED = "directory must be a directory of this user's, open to nobody else, not "
NAME = "0000000000000001-0badcafe.held"


def opened(path: Path) -> Disk:
    disk = Disk(str(path))
    disk.open()
    return disk


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_row_49_what_is_made_is_open_to_nobody_else_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        disk = opened(tmp_path / "a" / "b")
        disk.free(disk.create("file"))
    finally:
        os.umask(before)
    assert [mode(path) for path in (tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/file")] == [0o700, 0o700, 0o600]


def test_a_new_directory_is_as_durable_as_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(disk_module.os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink()))
    opened(tmp_path / "a" / "b").close()
    assert synced == [tmp_path, tmp_path / "a"]


def test_row_49_a_link_to_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InvalidValue) as caught:
        opened(tmp_path / "link")
    assert str(caught.value) == ALLOWED + "a symbolic link"


@pytest.mark.parametrize("bits", [0o777, 0o750, 0o701, 0o704])
def test_row_49_a_directory_open_to_others_is_refused_with_what_to_do(tmp_path: Path, bits: int) -> None:
    tmp_path.chmod(bits)
    with pytest.raises(InvalidValue) as caught:
        opened(tmp_path)
    assert str(caught.value) == (
        "directory must be a directory of this user's, open to nobody else "
        "(chmod 700 it, or name a directory inside it, which will be made), "
        f"not one open to others (mode {bits:04o})"
    )
    opened(tmp_path / "spool").close()


def test_row_49_where_no_directory_is_made_none_inside_is_proposed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(InvalidValue, match=r"open to nobody else \(chmod 700 it\), not one open to others"):
        Disk(str(tmp_path), makes=False).open()


def test_row_49_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(disk_module.os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(InvalidValue) as caught:
        opened(tmp_path)
    assert str(caught.value) == ALLOWED + "one that belongs to another user"


def test_row_49_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidValue) as caught:
            opened(path)
        assert str(caught.value) == ALLOWED + "something else, or a path through something else"


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="a path that is too long"):
        opened(tmp_path / ("x" * 300))


def test_a_place_that_takes_no_directories_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int = 0o777) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    for path in (tmp_path / "spool", tmp_path / "a" / "b" / "spool"):
        with pytest.raises(InvalidValue, match="not a missing one"):
            opened(path)


def test_trouble_that_is_no_mistake_stays_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, mode: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(disk_module.os, "mkdir", full)
    with pytest.raises(OSError, match="full"):
        opened(tmp_path / "new")


@pytest.mark.parametrize("plant", ["link", "pipe", "directory"])
def test_row_49_something_else_in_the_place_of_a_segment_is_refused_at_the_start(tmp_path: Path, plant: str) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / NAME
    if plant == "link":
        path.symlink_to("/etc/hostname")
    elif plant == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir(mode=0o700)
    with pytest.raises(InvalidValue) as caught:
        Spool(tmp_path)
    assert str(caught.value) == "directory must be one whose segments are files, not one with something else for one"


@pytest.mark.parametrize("plant", ["link", "pipe", "mode", "directory"])
def test_row_49_something_else_in_the_place_of_a_file_is_never_opened(tmp_path: Path, plant: str) -> None:
    disk = opened(tmp_path / "spool")
    path = tmp_path / "spool" / NAME
    if plant == "link":
        path.symlink_to("/etc/hostname")
    elif plant == "pipe":
        os.mkfifo(path, 0o600)
    elif plant == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"")
        path.chmod(0o644)
    for for_writing in (False, True):
        with pytest.raises(OSError, match=r"."):
            disk.open_file(NAME, for_writing=for_writing)
    with pytest.raises(FileExistsError):
        disk.create(NAME)
    disk.close()


def test_row_49_somebody_elses_file_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = opened(tmp_path / "spool")
    disk.free(disk.create(NAME))
    monkeypatch.setattr(disk_module.os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(PermissionError):
        disk.open_file(NAME)


@pytest.mark.parametrize("directory", ["", "a\0b", None, b"bytes", 7])
def test_row_88_what_is_no_path_is_refused(directory: object) -> None:
    with pytest.raises(InvalidValue, match=r"^directory must be "):
        Spool(directory)  # type: ignore[arg-type]


def test_row_88_a_path_is_used_as_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/nowhere")
    for directory in ("~", "$HOME", "a b/../c;d", "%2e%2e"):
        Spool(directory).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$HOME", "%2e%2e", "c;d", "~"]


def test_a_relative_path_is_that_of_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    spool = Spool("spool")
    (tmp_path / "spool").rmdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spool.append(EVENTS[:1])
    spool.close()
    assert (tmp_path / "spool").exists()


def test_a_directory_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="not a missing one"):
        Disk(str(tmp_path / "new"), makes=False).open()


def test_locks_of_two_disks_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "spool"), opened(tmp_path / "spool")
    one, is_made = first.open_or_create("file")
    two, is_made_again = second.open_or_create("file")
    assert (is_made, is_made_again) == (True, False)
    assert first.lock(one)
    assert not second.lock(two)
    first.free(one)
    assert second.lock(two)
    second.free(two)


def test_a_forgotten_disk_gives_its_files_back(tmp_path: Path) -> None:
    disk = opened(tmp_path / "spool")
    file = disk.create("file")
    del disk
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_without_posix_locks_there_is_one_clear_sentence() -> None:
    code = """
import sys
sys.modules["fcntl"] = None
from mixwire.transports.spool import Spool
try:
    Spool("spool")
except Exception as error:
    print(type(error).__name__, error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "InvalidValue directory must be on a POSIX system, whose locks a spool needs, not on another one\n"


def test_row_73_a_finaliser_needs_no_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(str(tmp_path / "spool"))
    for name in ("os", "suppress"):
        monkeypatch.setattr(f"mixwire.transports.disk.{name}", None)
    disk.__del__()
    object.__new__(Disk).__del__()
