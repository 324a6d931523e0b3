"""A lock between processes, in a file beside the store, and what must happen to stores when a process forks.

Every write transaction and every checkpoint of every process runs under this lock: waiting for it is fair enough
that nobody starves, and SQLite before 3.51.3 can damage a WAL that two connections write and checkpoint at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import sys
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from szal_nb.errors import StoreError
from szal_nb.store.failure import StoreBusy, StoreUnusable, explain

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> bool:
        try:
            os.lseek(fd, 0, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.0005, 0.02


# What a file system without locks answers.
_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})

# A generator of its own: the global one belongs to the notebook, whose draws must not depend on our waits.
_CHANCE = random.Random()  # noqa: S311 no secret


class FileLock:
    """Excludes other processes and other threads from what `with lock:` holds.

    Where the file system has no such locks (`is_available` is false) it excludes only threads of this process.
    """

    def __init__(self, path: Path, *, timeout_s: float = 60.0) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._threads = threading.Lock()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise explain(error, path) from error
        self.is_available = self._probe()

    def _probe(self) -> bool:
        try:
            if _try_lock(self._fd):
                _unlock(self._fd)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(self._fd)
                raise explain(error, self.path) from error
            return False
        return True

    def try_acquire(self) -> bool:
        """Takes the lock if nobody has it, without waiting; `release` gives it back. What is wrong hears who waits."""
        if not self._threads.acquire(blocking=False):
            return False
        is_taken = False
        try:
            with contextlib.suppress(OSError):
                is_taken = self._fd >= 0 and (not self.is_available or _try_lock(self._fd))
        finally:
            if not is_taken:
                self._threads.release()
        return is_taken

    def release(self) -> None:
        """Lets others have the lock."""
        try:
            if self._fd >= 0 and self.is_available:
                _unlock(self._fd)
        finally:
            self._threads.release()

    def __enter__(self) -> Self:
        if not self._threads.acquire(timeout=self.timeout_s):
            raise StoreBusy(self.path, "Another thread of this process has held it for too long.")
        try:
            self._acquire()
        except BaseException:
            self._threads.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def close(self) -> None:
        """Gives the file up; the lock cannot be taken again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _acquire(self) -> None:
        if self._fd < 0:
            raise StoreUnusable(self.path, "its lock was closed")
        if not self.is_available:
            return
        try:
            if _try_lock(self._fd):
                return
            deadline = time.monotonic() + self.timeout_s
            wait_s = _FIRST_WAIT_S
            while not _try_lock(self._fd):
                if time.monotonic() > deadline:
                    raise StoreBusy(self.path, self._holder())
                # Waits of unequal length keep waiters from trying in step with one another.
                time.sleep(wait_s * (0.5 + _CHANCE.random()))
                wait_s = min(wait_s * 1.2, _LONGEST_WAIT_S)
        except OSError as error:
            raise explain(error, self.path) from error

    def _holder(self) -> str:
        """Who holds the lock, as far as the kernel tells (Linux)."""
        advice = "If that process is stopped, continue it (kill -CONT) or end it."
        try:
            inode = os.fstat(self._fd).st_ino
            for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
                fields = line.split()
                if "->" not in fields and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                    return f"Process {fields[4]} has held it for over {self.timeout_s:g} s. {advice}"
        except (OSError, IndexError):
            pass
        return f"Another process has held it for over {self.timeout_s:g} s. {advice}"


class Forkable(Protocol):
    """Something that must not be in the middle of work when the process forks, and is of no use to the child."""

    def before_fork(self) -> None:
        """Waits until nothing is half done, and keeps it so."""

    def after_fork_in_parent(self) -> None:
        """Lets work go on."""

    def after_fork_in_child(self) -> None:
        """Gives up lock and connections without touching what the parent has."""


class ForkedStore(StoreError):
    """The store was opened before this process was forked off; SQLite connections must not cross a fork."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"The store {self.path} was opened before this process was forked, and a store does not cross a fork. "
            "Open it again in this process, or start it with the 'spawn' or 'forkserver' method."
        )


_forkable: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Forkable] = []
_left_open: list[object] = []


def watch_forks(subject: Forkable) -> None:
    """From now on `subject` is told of forks, as long as it lives."""
    _forkable.add(subject)


def leave_open(connection: object) -> None:
    """Keeps a connection of the parent from being closed by the garbage collector of this child."""
    _left_open.append(connection)


def _before_fork() -> None:
    for subject in list(_forkable):
        subject.before_fork()
        _held.append(subject)


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().after_fork_in_parent()


def _after_fork_in_child() -> None:
    while _held:
        _held.pop().after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
