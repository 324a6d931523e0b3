"""Which SQLite files this process has open: a file that it has is not opened and closed beside SQLite.

A process that closes any descriptor of a file loses all its POSIX locks on that file, whoever took them. SQLite knows
that of its own descriptors and keeps them open; of ours it knows nothing. A connection without its lock is not seen by
other processes: the last of them to close takes the WAL away, and what the connection writes then is lost.
(https://www.sqlite.org/howtocorrupt.html, "Posix advisory locks canceled by a separate thread doing close()")
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_Inode = tuple[int, int]


class _OpenFiles:
    """The open files of the process by inode. The lock is the last to be taken: nothing is waited for under it."""

    def __init__(self) -> None:
        # Garbage collection may close a connection wherever it comes, also under the lock.
        self.lock = threading.RLock()
        self._connections: Counter[_Inode] = Counter()

    def add(self, path: Path) -> _Inode:
        status = path.stat()
        inode = (status.st_dev, status.st_ino)
        self._connections[inode] += 1
        return inode

    def remove(self, inode: _Inode) -> None:
        with self.lock:
            self._connections[inode] -= 1
            if self._connections[inode] <= 0:
                self._connections.pop(inode, None)

    def has(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) in self._connections

    def after_fork_in_child(self) -> None:
        # The thread that had it may not be in the child.
        self.lock = threading.RLock()


_OPEN = _OpenFiles()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_OPEN.after_fork_in_child)


class _Connection(sqlite3.Connection):
    """A connection that is counted until it is closed."""

    inode: _Inode | None = None

    def close(self) -> None:
        super().close()
        self._forget()

    def __del__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        inode, self.inode = self.inode, None
        if inode is not None:
            _OPEN.remove(inode)


def connect(path: Path, database: str | None = None, **options: Any) -> sqlite3.Connection:
    """A connection to the file; `database` is its URI, if `options` say that there is one."""
    with _OPEN.lock:
        connection = sqlite3.connect(database or path, factory=_Connection, isolation_level=None, **options)
        try:
            connection.inode = _OPEN.add(path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def unless_open(path: Path) -> Iterator[bool]:
    """Whether the file may be read beside SQLite: this process has no connection to it, and makes none meanwhile."""
    with _OPEN.lock:
        yield not _OPEN.has(path)
