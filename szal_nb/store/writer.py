"""The one thread of a store that writes: all that waits is joined into one transaction (group commit).

A waiter hears of its write only after COMMIT. When writes that were joined fail, each is tried again by itself, so
that one that cannot be written harms no other.

A COMMIT that waits for no disk (`fast`) is cheaper than the way to a thread and back, so small writes may be done
where they come up. They never wait there: whoever finds the store in use, by whatever process, leaves it to the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from szal_nb.errors import StoreError
from szal_nb.store.database import Durability, checkpoint_if_due, open_for_writing, set_patience
from szal_nb.store.failure import FAILURES, StoreBusy, StoreUnusable, explain
from szal_nb.store.lock import FileLock, ForkedStore, leave_open, watch_forks

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_MOST_AT_ONCE = 1000
# How many commits on the loop may pass before the thread looks whether a checkpoint is due: they never do one.
_CHECK_EVERY = 250


class Write(Protocol[_T_co]):
    """Something to be written. Its methods are called in the writer thread only."""

    def execute(self, connection: sqlite3.Connection) -> _T_co:
        """Does its statements inside the transaction; what it gives back goes to the waiter after COMMIT."""

    def is_committed(self, connection: sqlite3.Connection) -> bool:
        """Whether the store has it, asked when the outcome of a COMMIT is unknown."""

    def committed(self) -> None:
        """It is durable."""

    def rolled_back(self) -> None:
        """It was not written; it may be tried again."""

    @property
    def is_small(self) -> bool:
        """Whether it may be done on an event loop: it takes well under a millisecond."""


class Job(Generic[_T]):
    """A write that is one function; `confirm` tells whether the store has it already."""

    def __init__(
        self, execute: Callable[[sqlite3.Connection], _T], confirm: Callable[[sqlite3.Connection], bool] | None = None
    ) -> None:
        self.execute = execute
        self._confirm = confirm

    def is_committed(self, connection: sqlite3.Connection) -> bool:
        """See `Write`."""
        return self._confirm is not None and self._confirm(connection)

    def committed(self) -> None:
        """Nothing to remember."""

    def rolled_back(self) -> None:
        """Nothing to forget."""

    @property
    def is_small(self) -> bool:
        """Nobody knows what the function does."""
        return False


class _Waiter(Protocol):
    @property
    def loop(self) -> asyncio.AbstractEventLoop | None: ...

    def settle(self, result: object, error: BaseException | None) -> None: ...


class _OnLoop:
    __slots__ = ("future", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[object]) -> None:
        self.loop = loop
        self.future = future

    def settle(self, result: object, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class _InThread:
    __slots__ = ("future",)
    loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, future: Future[object]) -> None:
        self.future = future

    def settle(self, result: object, error: BaseException | None) -> None:
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class _Nobody:
    """The waiter of what nobody waits for."""

    __slots__ = ()
    loop: asyncio.AbstractEventLoop | None = None

    def settle(self, result: object, error: BaseException | None) -> None:
        """Nobody is told."""


_Entry = tuple[Write[object], _Waiter]
_Outcome = tuple[_Waiter, object, BaseException | None]


def _settle_all(outcomes: list[_Outcome]) -> None:
    for waiter, result, error in outcomes:
        waiter.settle(result, error)


class Writer:
    """Takes writes from any thread and loop. `heartbeat` is called in the writer thread every `beat_s` seconds.

    `at_end` is called once nothing is written any more: when the thread has ended, or has never begun.
    """

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        durability: Durability,
        *,
        journal_mode: str = "WAL",
        heartbeat: Callable[[sqlite3.Connection], None],
        beat_s: float,
        may_write_here: Callable[[], bool] = lambda: False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._lock = lock
        self._durability = durability
        self._journal_mode = journal_mode
        self._heartbeat = heartbeat
        self._beat_s = beat_s
        self._at_end = at_end
        self._may_write_here = may_write_here if self._waits_for_no_disk else lambda: False
        self._here = 0
        self._is_patient = True
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()
        # Held while a transaction is open, and by a fork while it happens.
        self._gate = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._is_closed = False
        # Whether this is a child's copy of what is its parent's.
        self.is_forked = False
        watch_forks(self)

    async def write(self, write: Write[_T]) -> _T:
        """Gives the write's result once it is durable."""
        if self._may_write_here() and write.is_small and self._lock.try_acquire():
            try:
                outcome = self._write_here(write)
            finally:
                self._lock.release()
            if outcome is not None:
                _, result, error = outcome
                if error is not None:
                    raise error
                return result  # type: ignore[return-value]
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._put(write, _OnLoop(loop, future))
        return await future  # type: ignore[return-value]

    def write_sync(self, write: Write[_T]) -> _T:
        """The same for a thread without a loop: blocks until the write is durable."""
        future: Future[object] = Future()
        self._put(write, _InThread(future))
        return future.result()  # type: ignore[return-value]

    @property
    def _waits_for_no_disk(self) -> bool:
        return self._durability is Durability.FAST and self._journal_mode == "WAL"

    def _write_here(self, write: Write[object]) -> _Outcome | None:
        """The write, done in the calling thread, which holds the lock; None if it would have to wait."""
        if self._is_closed or self._connection is None or not self._gate.acquire(blocking=False):
            return None
        try:
            self._be_patient(self._connection, patient=False)
            (outcome,) = self._commit([(write, _Nobody())], self._under_lock)
        finally:
            self._gate.release()
        if isinstance(outcome[2], StoreBusy):
            return None
        self._here += 1
        if self._here % _CHECK_EVERY == 0:
            self._put(Job(lambda _: None), _Nobody())
        return outcome

    def _be_patient(self, connection: sqlite3.Connection, *, patient: bool) -> None:
        """Whether a commit may wait for programs that do not take our lock, and may end with a checkpoint."""
        if patient is not self._is_patient:
            set_patience(connection, patient=patient)
            self._is_patient = patient

    def close(self, *, is_waited_for: bool = True) -> None:
        """Writes all that waits, then gives up the connection. Checkpoints if no other process has the store open.

        Unless it `is_waited_for`, the thread does so when it comes to it.
        """
        with self._start:
            if self._is_closed or self.is_forked:
                return
            self._is_closed = True
            thread = self._thread
            if thread is not None:
                self._queue.put(None)
        if thread is None:
            self._at_end()
        elif is_waited_for:
            thread.join()

    def _put(self, write: Write[object], waiter: _Waiter) -> None:
        if self._thread is None or self._is_closed or self.is_forked:
            self._begin()
        self._queue.put((write, waiter))

    def _begin(self) -> None:
        if self.is_forked:
            raise ForkedStore(str(self._path))
        with self._start:
            if self._is_closed:
                raise StoreUnusable(self._path, "it was closed. Open it again.")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="szal-store-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        beat: Job[object] = Job(self._heartbeat)
        next_beat = time.monotonic() + self._beat_s
        is_open = True
        while is_open:
            entries: list[_Entry] = []
            try:
                entry = self._queue.get(timeout=max(0.0, next_beat - time.monotonic()))
                while entry is not None:
                    entries.append(entry)
                    if len(entries) == _MOST_AT_ONCE:
                        break
                    entry = self._queue.get_nowait()
                else:
                    is_open = False
            except queue.Empty:
                pass
            if entries:
                self._settle(self._commit(entries))
            if time.monotonic() >= next_beat:
                # A beat that fails is not an error of anybody: the next one may pass, and the lease is long.
                self._commit([(beat, _Nobody())])
                next_beat = time.monotonic() + self._beat_s
            # What was written last must not keep its store from being forgotten.
            entry = None
            del entries
        self._disconnect()
        self._at_end()

    def _settle(self, outcomes: list[_Outcome]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop | None, list[_Outcome]] = {}
        for outcome in outcomes:
            by_loop.setdefault(outcome[0].loop, []).append(outcome)
        for loop, of_loop in by_loop.items():
            if loop is None:
                _settle_all(of_loop)
            else:
                with contextlib.suppress(RuntimeError):  # The loop was closed: nobody waits any more.
                    loop.call_soon_threadsafe(_settle_all, of_loop)

    def _commit(
        self, entries: list[_Entry], transaction: Callable[[list[_Entry]], list[object]] | None = None
    ) -> list[_Outcome]:
        try:
            results = (transaction or self._transaction)(entries)
        except BaseException as error:
            for write, _ in entries:
                write.rolled_back()
            # Ctrl-C comes to the thread that the loop is in. Whatever else it is, the waiter gets it.
            if not isinstance(error, Exception):
                raise
            if len(entries) == 1 or isinstance(error, _OutcomeUnknown):
                return [(waiter, None, self._explained(error)) for _, waiter in entries]
            return [outcome for entry in entries for outcome in self._commit([entry])]
        for write, _ in entries:
            write.committed()
        return [(waiter, result, None) for (_, waiter), result in zip(entries, results, strict=True)]

    def _transaction(self, entries: list[_Entry]) -> list[object]:
        with self._lock, self._gate:
            if self._connection is not None:
                self._be_patient(self._connection, patient=True)
            results = self._under_lock(entries)
            if self._here >= _CHECK_EVERY:
                self._here = 0
                checkpoint_if_due(self._connected(), self._path)
            return results

    def _under_lock(self, entries: list[_Entry]) -> list[object]:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [write.execute(connection) for write, _ in entries]
        except BaseException:
            _roll_back(connection)
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _roll_back(connection)
            if not _is_there(connection, entries, error):
                raise
        return results

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_for_writing(self._path, self._durability, journal_mode=self._journal_mode)
            status = self._path.stat()
            self._file = (status.st_dev, status.st_ino)
        else:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                status = None
            if status is None or (status.st_dev, status.st_ino) != self._file:
                raise StoreUnusable(self._path, "the file was deleted, moved or replaced while it was open.")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        # The last connection to close checkpoints: that, too, needs the lock. Without it the WAL stays for the next.
        with contextlib.suppress(StoreError, sqlite3.Error), self._lock, self._gate:
            self._connection.close()
            self._connection = None
            return
        leave_open(self._connection)

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, _OutcomeUnknown):
            error = error.error
        return explain(error, self._path) if isinstance(error, FAILURES) else error

    def before_fork(self) -> None:
        """Waits for the transaction under way."""
        self._gate.acquire()

    def after_fork_in_parent(self) -> None:
        """Lets transactions go on."""
        self._gate.release()

    def after_fork_in_child(self) -> None:
        """The child has no writer thread, gives up the lock's file, and leaves the connection alone."""
        self.is_forked = True
        self._lock.close()
        if self._connection is not None:
            leave_open(self._connection)
        self._gate.release()


class _OutcomeUnknown(Exception):
    """A COMMIT failed with `error`, and so did the look whether it came to pass: to write it again may double it."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(error)
        self.error = error


def _is_there(connection: sqlite3.Connection, entries: list[_Entry], error: sqlite3.Error) -> bool:
    """Whether a transaction is durable whose COMMIT failed: that may be, and only the file knows."""
    try:
        # One that is there tells of all, of those too that cannot tell: they are one transaction.
        return any(write.is_committed(connection) for write, _ in entries)
    except Exception as unread:
        raise _OutcomeUnknown(error) from unread


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def file_owner_is_us(path: Path) -> bool:
    """Whether this user owns the file; true where files have no owner ids (Windows)."""
    return not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
