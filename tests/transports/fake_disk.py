"""
A disk in memory that remembers what was asked of it: it fails when told to, and shows what a power cut may leave.

After a power cut a file holds what was there when it was last synced, and of what was done to it since any part; a name
is there or not as it was when the directory was last synced, or as any part of what was done to it since would have it.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from typing import Any

from mixwire.transports.disk import Disk


class File:
    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.holder: int | None = None
        self.links = 0


class Storage:
    """
    What all the disks of one directory share.

    Attributes:
        names: What is in the directory.
        log: Everything that changed something or made it durable, in order.
        fail: Called with the name of each operation and of its file; raises or returns how much of a write is taken.
    """

    def __init__(self) -> None:
        self.names: dict[str, File] = {}
        self.log: list[tuple[Any, ...]] = []
        self.fail: Callable[[str, str, int], int | None] = lambda operation, name, size: None
        self.descriptors: dict[int, tuple[str, File]] = {}
        self.most_open = 0
        self._next = 1000

    def opened(self, name: str, file: File) -> int:
        self._next += 1
        self.descriptors[self._next] = (name, file)
        self.most_open = max(self.most_open, len(self.descriptors))
        return self._next

    def vanish(self) -> None:
        """
        Somebody removed the directory with all that was in it.
        """
        for file in self.names.values():
            file.links = 0
        self.names = {}

    def after_power_cut(self, at: int, chance: random.Random) -> Storage:
        """
        What may be there when the power failed after the first *at* entries of the log.
        """
        log = self.log[:at]
        last_sync = {entry[1]: index for index, entry in enumerate(log) if entry[0] == "sync"}
        last_directory_sync = max(
            (index for index, entry in enumerate(log) if entry[0] == "sync_directory"), default=-1
        )
        # How likely what was not synced is to be there: often all of it, often nothing, often a mixture.
        survival = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        contents: dict[File, bytearray] = {}
        names: dict[str, File] = {}
        for index, (operation, *rest) in enumerate(log):
            match operation:
                case "write" | "truncate":
                    file: File = rest[0]
                    content = contents.setdefault(file, bytearray())
                    is_durable = index < last_sync.get(file, -1)
                    if not is_durable and chance.random() >= survival:
                        continue
                    if operation == "truncate":
                        del content[rest[1] :]
                        continue
                    start, data = rest[1], rest[2]
                    if not is_durable and chance.random() < 0.2:
                        data = data[: chance.randrange(len(data) + 1)]
                    if data:
                        content.extend(bytes(max(start + len(data) - len(content), 0)))
                        content[start : start + len(data)] = data
                case "create" | "unlink":
                    if index > last_directory_sync and chance.random() >= survival:
                        continue
                    if operation == "create":
                        names[rest[0]] = rest[1]
                    else:
                        names.pop(rest[0], None)
                case _:
                    pass
        left = Storage()
        for name, file in names.items():
            left.names[name] = File(bytes(contents.get(file, b"")))
            left.names[name].links = 1
        return left


class FakeDisk(Disk):
    """
    One spool's view of a storage.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._files = set()

    def __del__(self) -> None:
        pass

    def open(self) -> None:
        self._ask("open", "")

    def close(self) -> None:
        pass

    def names(self) -> Iterator[tuple[str, bool]]:
        return iter([(name, True) for name in self.storage.names])

    def create(self, name: str) -> int:
        self._ask("create", name)
        if name in self.storage.names:
            raise FileExistsError(errno.EEXIST, name)
        file = File()
        file.links = 1
        self.storage.names[name] = file
        self.storage.log.append(("create", name, file))
        return self.storage.opened(name, file)

    def open_file(self, name: str, *, for_writing: bool = False) -> int:
        self._ask("open_file", name)
        if name not in self.storage.names:
            raise FileNotFoundError(errno.ENOENT, name)
        return self.storage.opened(name, self.storage.names[name])

    def lock(self, file: int) -> bool:
        found = self.storage.descriptors[file][1]
        if found.holder not in (None, file):
            return False
        found.holder = file
        return True

    def write(self, file: int, data: bytes) -> int:
        name, found = self.storage.descriptors[file]
        taken = self._ask("write", name, len(data))
        data = data if taken is None else data[:taken]
        self.storage.log.append(("write", found, len(found.data), data))
        found.data += data
        return len(data)

    def read(self, file: int, size: int, start: int) -> bytes:
        name, found = self.storage.descriptors[file]
        self._ask("read", name)
        return bytes(found.data[start : start + size])

    def size(self, file: int) -> int:
        return len(self.storage.descriptors[file][1].data)

    def is_linked(self, file: int) -> bool:
        return self.storage.descriptors[file][1].links > 0

    def truncate(self, file: int, size: int) -> None:
        name, found = self.storage.descriptors[file]
        self._ask("truncate", name)
        del found.data[size:]
        self.storage.log.append(("truncate", found, size))

    def sync(self, file: int) -> None:
        name, found = self.storage.descriptors[file]
        self._ask("sync", name)
        self.storage.log.append(("sync", found, name))

    def sync_directory(self) -> None:
        self._ask("sync_directory", "")
        self.storage.log.append(("sync_directory",))

    def unlink(self, name: str) -> None:
        self._ask("unlink", name)
        if name not in self.storage.names:
            raise FileNotFoundError(errno.ENOENT, name)
        self.storage.names.pop(name).links = 0
        self.storage.log.append(("unlink", name))

    def size_of(self, name: str) -> int:
        if name not in self.storage.names:
            raise FileNotFoundError(errno.ENOENT, name)
        return len(self.storage.names[name].data)

    def free(self, file: int) -> None:
        _, found = self.storage.descriptors.pop(file)
        if found.holder == file:
            found.holder = None

    def _ask(self, operation: str, name: str, size: int = 0) -> int | None:
        return self.storage.fail(operation, name, size)
