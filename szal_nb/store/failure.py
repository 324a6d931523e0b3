"""What can be wrong with a store, as typed errors, and the translation of SQLite's own errors into them."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from szal_nb.errors import StoreError

# The low byte of an extended result code is its family: https://www.sqlite.org/rescode.html
_FAMILY = 0xFF


class _AtPath(StoreError):
    """A store error that names its file."""

    def __init__(self, path: str | Path, detail: str = "") -> None:
        super().__init__(str(path), detail)
        self.path = str(path)
        self.detail = detail


class StoreMissing(_AtPath):
    """There is no store at the path."""

    def __str__(self) -> str:
        return f"There is no store at {self.path}. {self.detail or 'A run makes it; --store PATH names another.'}"


class NotAStore(_AtPath):
    """The file is something else."""

    def __str__(self) -> str:
        return f"{self.path} is not a store of szal_nb: {self.detail}. It was left as it is; name another with --store."


class StoreTooNew(StoreError):
    """A newer szal_nb wrote the file; it is left untouched."""

    def __init__(self, path: str | Path, version: int, known: int) -> None:
        super().__init__(str(path), version, known)
        self.path = str(path)
        self.version = version
        self.known = known

    def __str__(self) -> str:
        return (
            f"The store {self.path} has schema version {self.version}; this szal_nb knows versions up to {self.known}. "
            "Nothing was changed. Upgrade szal_nb (pip install -U szal_nb) or name another store with --store."
        )


class StoreFull(_AtPath):
    """The disk, a quota or a size limit is reached. What was acknowledged before is safe."""

    def __str__(self) -> str:
        return (
            f"No space left for the store {self.path}, or a limit is reached: a quota, `ulimit -f` ({self.detail}). "
            "What it acknowledged before is safe. "
            "Free some space, then resume the run."
        )


class StoreDamaged(_AtPath):
    """The file's content is not what was written."""

    def __str__(self) -> str:
        return (
            f"The store {self.path} is damaged: {self.detail}. "
            "`szal doctor --repair` copies the runs that are intact into a new file."
        )


class StoreBusy(_AtPath):
    """Another process held the store's lock for too long."""

    def __str__(self) -> str:
        return f"The store {self.path} is locked. {self.detail}"


class StoreUnusable(_AtPath):
    """The store cannot be used for another reason, which the text tells."""

    def __str__(self) -> str:
        return f"The store {self.path} cannot be used: {self.detail}"


_ELSEWHERE = "Name a place that can be written: --store PATH, or SZAL_STORE."
# SQLite's own limit is 512 on Unix, and what it makes beside a file has a longer name.
_LONGEST_PATH = 500
# A folder that is read-only, or somebody else's.
_NOT_OURS = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_ROOM = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
# What a store can fail with: SQLite reports some damage as text that is no text.
FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError)


def explain(error: sqlite3.Error | OSError | UnicodeDecodeError, path: str | Path) -> StoreError:
    """The error of this package that says what `error` means for the store at `path`; its cause is `error`."""
    found = _translate(error, path)
    found.__cause__ = error
    return found


def _translate(error: sqlite3.Error | OSError | UnicodeDecodeError, path: str | Path) -> StoreError:
    if isinstance(error, UnicodeDecodeError):
        return StoreDamaged(path, f"it holds text that is none ({error.reason})")
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return StoreFull(path, error.strerror or str(error))
        where = "" if error.filename in (None, str(path)) else f" ({error.filename})"
        advice = f" {_ELSEWHERE}" if error.errno in _NOT_OURS else ""
        return StoreUnusable(path, f"{error.strerror or error}{where}.{advice}")
    code = getattr(error, "sqlite_errorcode", None)
    detail = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    match None if code is None else code & _FAMILY:
        case sqlite3.SQLITE_FULL:
            return StoreFull(path, str(error))
        case sqlite3.SQLITE_IOERR:
            # A write beyond RLIMIT_FSIZE or a quota arrives as an I/O error, and so does room for the WAL's index.
            return StoreFull(path, detail) if code in _NO_ROOM else StoreUnusable(path, detail)
        case sqlite3.SQLITE_CANTOPEN if len(os.fsencode(path)) > _LONGEST_PATH:
            return StoreUnusable(path, f"SQLite opens no path of more than {_LONGEST_PATH} bytes. {_ELSEWHERE}")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreUnusable(path, f"{detail}. {_ELSEWHERE}")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreDamaged(path, detail)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy(path, f"Another program holds it ({error}). Close that program, or wait and try again.")
        case _:
            return StoreUnusable(path, detail)
