"""
One directory on a disk, for files that nobody else may read or replace. The only module that calls the file system.

Each file is opened relative to a directory that is held open, never through a link. What stands there is used only
if it belongs to this user alone.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from ..core import InvalidValue

__all__ = ["Disk"]

_DIRECTORY_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077
# O_NONBLOCK: to open a pipe that somebody put in the place of a file must not wait for its other end.
_OPEN: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
# What a wrong directory gives, as opposed to a disk in trouble.
_MISTAKES: Final = {
    errno.EACCES: "one that this user may not open or make",
    errno.EPERM: "one that this user may not open or make",
    errno.ELOOP: "a symbolic link",
    errno.ENOTDIR: "something else, or a path through something else",
    errno.ENAMETOOLONG: "a path that is too long",
    errno.ENOENT: "a missing one",
    errno.EROFS: "one on a read-only file system",
}
_ALLOWED: Final = "a directory of this user's, open to nobody else"


class Disk:
    """
    The files of one directory.

    Methods raise `OSError` when the disk fails and `FileNotFoundError` for a missing file.

    Args:
        directory: Its path, not relative.
        makes: Whether to make it when it is missing.

    Raises:
        InvalidValue: If files cannot be kept there safely.
    """

    def __init__(self, directory: str, *, makes: bool = True) -> None:
        try:
            import fcntl
        except ImportError:
            raise InvalidValue("directory", "on a POSIX system, whose locks a spool needs", "on another one") from None
        self._flock = fcntl.flock
        self._exclusively = fcntl.LOCK_EX | fcntl.LOCK_NB
        self._sync_data = getattr(os, "fdatasync", os.fsync)
        self._path = directory
        self._makes = makes
        self._directory: int | None = None
        self._files: set[int] = set()

    def open(self) -> None:
        """
        Open the directory; nothing if it is open.

        Raises:
            InvalidValue: If it is no directory that belongs to this user alone.
        """
        if self._directory is not None:
            return
        try:
            if self._makes:
                self._make(self._path)
            opened = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | _OPEN)
        except OSError as error:
            if error.errno not in _MISTAKES:
                raise
            # To open a link as a directory, but not through the link, is told as "not a directory".
            mistake = "a symbolic link" if os.path.islink(self._path) else _MISTAKES[error.errno]  # noqa: PTH114
            raise InvalidValue("directory", _ALLOWED, mistake) from None
        found = os.fstat(opened)
        fault = _fault(found)
        if fault is not None:
            os.close(opened)
            raise InvalidValue("directory", _ALLOWED + self._remedy(found), fault)
        self._directory = opened

    def close(self) -> None:
        """
        Give the directory back; files that are open stay so.
        """
        opened, self._directory = self._directory, None
        if opened is not None:
            # The descriptor is gone even if that fails.
            with suppress(OSError):
                os.close(opened)

    def names(self) -> Iterator[tuple[str, bool]]:
        """
        The names in the directory, in no order, each with whether it is a file and no link, pipe or directory.
        """
        with os.scandir(self._opened()) as entries:
            for entry in entries:
                yield entry.name, entry.is_file(follow_symlinks=False)

    def create(self, name: str) -> int:
        """
        Make a file that did not exist, for reading and appending.
        """
        opened = os.open(
            name,
            os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | _OPEN,
            _FILE_MODE,
            dir_fd=self._opened(),
        )
        try:
            # The umask of the process has no say in this.
            os.fchmod(opened, _FILE_MODE)
        except BaseException:
            os.close(opened)
            with suppress(OSError):
                self.unlink(name)
            raise
        self._files.add(opened)
        return opened

    def open_file(self, name: str, *, for_writing: bool = False) -> int:
        """
        Open a file that exists, for reading, or for reading and appending.

        Raises:
            OSError: Also if it is something else than a file that belongs to this user alone.
        """
        mode = os.O_RDWR | os.O_APPEND if for_writing else os.O_RDONLY
        opened = os.open(name, mode | _OPEN, dir_fd=self._opened())
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or _fault(found) is not None:
            os.close(opened)
            raise PermissionError(errno.EPERM, "not a file of this user's alone")
        self._files.add(opened)
        return opened

    def open_or_create(self, name: str) -> tuple[int, bool]:
        """
        Open a file for reading and appending, and make it if it is missing; also returns whether that was so.
        """
        try:
            return self.open_file(name, for_writing=True), False
        except FileNotFoundError:
            pass
        try:
            return self.create(name), True
        except FileExistsError:
            return self.open_file(name, for_writing=True), False

    def lock(self, file: int) -> bool:
        """
        Take the lock of a file unless somebody has it. It is given back when the file is closed.
        """
        try:
            self._flock(file, self._exclusively)
        except BlockingIOError:
            return False
        return True

    # Appends bytes to a file, and returns how many of them were taken. As it is: each message goes through here.
    write = staticmethod(os.write)

    def read(self, file: int, size: int, start: int) -> bytes:
        """
        At most *size* bytes from *start* on.
        """
        return os.pread(file, size, start)

    def size(self, file: int) -> int:
        """
        How many bytes a file has.
        """
        return os.fstat(file).st_size

    def is_linked(self, file: int) -> bool:
        """
        Whether an open file still has a name.
        """
        return os.fstat(file).st_nlink > 0

    def truncate(self, file: int, size: int) -> None:
        """
        Cut a file.
        """
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """
        Return when the bytes of a file are durable.
        """
        self._sync_data(file)

    def sync_directory(self) -> None:
        """
        Return when the names in the directory are durable.
        """
        os.fsync(self._opened())

    def unlink(self, name: str) -> None:
        """
        Remove a file.
        """
        os.unlink(name, dir_fd=self._opened())

    def size_of(self, name: str) -> int:
        """
        How many bytes a file has that is not open.
        """
        return os.stat(name, dir_fd=self._opened(), follow_symlinks=False).st_size

    def free(self, file: int) -> None:
        """
        Close a file, and with it its lock. The descriptor is gone even if that fails.
        """
        is_open = True
        try:
            self._files.remove(file)
        except KeyError:
            # Closed before: its number may be that of another file by now.
            is_open = False
        finally:
            # At once, whatever a signal handler raises: a file that nobody knows of would keep its lock.
            if is_open:
                try:  # noqa: SIM105
                    os.close(file)
                except OSError:
                    pass

    def free_all(self) -> None:
        """
        Close everything.
        """
        for file in tuple(self._files):
            self.free(file)
        self.close()

    def __del__(self) -> None:
        # Whoever forgot to close a spool should not keep its locks. Not with `suppress`, which may be gone by now.
        try:  # noqa: SIM105
            self.free_all()
        except AttributeError:
            pass

    def _opened(self) -> int:
        if self._directory is None:
            self.open()
        assert self._directory is not None
        return self._directory

    def _remedy(self, found: os.stat_result) -> str:
        if found.st_uid != os.geteuid():
            return ""
        return " (chmod 700 it" + (", or name a directory inside it, which will be made)" if self._makes else ")")

    def _make(self, path: str) -> None:
        try:
            os.mkdir(path, _DIRECTORY_MODE)  # noqa: PTH102
        except FileExistsError:
            return
        except FileNotFoundError:
            above = os.path.dirname(path)  # noqa: PTH120  # paths are text here
            if os.path.isdir(above):  # noqa: PTH112
                raise  # it is there, and takes no directories
            self._make(above)
            self._make(path)
            return
        os.chmod(path, _DIRECTORY_MODE)  # noqa: PTH101
        # The directory is as durable as what it will hold.
        parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # noqa: PTH120
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _fault(found: os.stat_result) -> str | None:
    if found.st_uid != os.geteuid():
        return "one that belongs to another user"
    if found.st_mode & _OTHERS:
        return f"one open to others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None
