"""Who is alive: a process holds a record lock on a file of its own for as long as it lives.

Law: a POSIX record lock ends with its process, whatever kills it, and is not inherited by a forked child. It also ends
when the process closes any descriptor of that file; so nobody opens a file that this process holds.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ..errors import StoreError

_held: dict[tuple[int, int], int] = {}
"""Device and inode of each owner file that a process holds, and the id of that process (a forked child holds none)."""


class Owner:
    """One owner of runs: its `name` is that of the file it keeps locked in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.pid = os.getpid()
        self.name = f"{self.pid}-{secrets.token_hex(6)}"
        self._directory = directory
        self._descriptor = -1
        self._identity = (0, 0)

    def hold(self) -> None:
        """Begin to live. Files of owners that died are removed on the way."""
        while self._descriptor < 0:
            self._directory.mkdir(exist_ok=True)
            # The last one to leave removes the directory, perhaps between two lines of ours.
            with contextlib.suppress(FileNotFoundError):
                self._begin()

    def _begin(self) -> None:
        for name in os.listdir(self._directory):
            with contextlib.suppress(PermissionError):
                is_alive(self._directory, name)
        # The name appears when the lock is held: whoever finds the file can tell the living from the dead.
        unnamed = self._directory / f".{self.name}"
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        _lock(descriptor, exclusive=True)
        os.rename(unnamed, self._directory / self.name)
        found = os.fstat(descriptor)
        self._descriptor, self._identity = descriptor, (found.st_dev, found.st_ino)
        _held[self._identity] = self.pid

    def drop(self) -> None:
        """End. What this owner held is free from now on."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._directory / self.name)
            os.rmdir(self._directory)
        os.close(self._descriptor)
        self._descriptor = -1
        _held.pop(self._identity, None)


def is_alive(directory: Path, name: str) -> bool:
    """Whether the owner of this name lives. The file of a dead one is removed."""
    if name.startswith("."):
        return True
    path = directory / name
    try:
        found = os.stat(path)
        if _held.get((found.st_dev, found.st_ino)) == os.getpid():
            return True
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at the same time do not take each other for the owner.
        if not _lock(descriptor, exclusive=False):
            return True
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, exclusive: bool) -> bool:
    try:
        import fcntl
    except ImportError as error:
        message = "the SQLite store needs POSIX record locks, which this system does not have"
        raise StoreError(
            message, code="not_available", op="open", hint="use Linux, macOS or the memory store"
        ) from error
    try:
        fcntl.lockf(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
