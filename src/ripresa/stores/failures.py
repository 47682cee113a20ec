"""What went wrong in a database file, as a coded error that says what to do about it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from ..errors import InvalidValue, StoreError

_HINTS = {
    "store_locked": "end the program that keeps a transaction open on it, then try again",
    "store_full": "free some space; nothing that was acknowledged is lost",
    "store_readonly": "make the file and its directory writable for this user, or choose another path",
    "store_corrupt": "check the path, or restore the file from a backup",
    "store_failed": "check the disk and the permissions of the directory; nothing that was acknowledged is lost",
}

_BY_SQLITE = {
    sqlite3.SQLITE_BUSY: "store_locked",
    sqlite3.SQLITE_LOCKED: "store_locked",
    sqlite3.SQLITE_FULL: "store_full",
    sqlite3.SQLITE_READONLY: "store_readonly",
    sqlite3.SQLITE_PERM: "store_readonly",
    sqlite3.SQLITE_CORRUPT: "store_corrupt",
    sqlite3.SQLITE_NOTADB: "store_corrupt",
}

_BY_ERRNO = {
    errno.EACCES: "store_readonly",
    errno.EPERM: "store_readonly",
    errno.EROFS: "store_readonly",
    errno.ENOSPC: "store_full",
    errno.EDQUOT: "store_full",
}


VALUE_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What is raised for a value that SQLite cannot take: the fault of one batch, not of the database."""


def store_error(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """The error of SQLite or of the operating system with its code of ours.

    Only codes and numbers decide, never the text of a message.
    """
    if isinstance(error, OSError):
        code = _BY_ERRNO.get(error.errno or 0, "store_failed")
    else:
        # The low byte is the kind; the rest, when there is any, the place in SQLite where it arose.
        code = _BY_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "store_failed")
    return damage(f"{error}", path, code)


def value_error(error: Exception, path: Path) -> InvalidValue:
    """The error of a value that cannot be written."""
    return InvalidValue(f"{error}", code="not_encodable", op="store", where=str(path), hint="see what it was made from")


def damage(message: str, path: Path, code: str = "store_corrupt") -> StoreError:
    """An error about this file with the usual advice for its code."""
    return StoreError(message, code=code, op="store", where=str(path), hint=_HINTS[code])
