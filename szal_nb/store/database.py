"""Connections to the SQLite file: how they are set up, made and given up."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from szal_nb.store.failure import FAILURES, StoreMissing, explain
from szal_nb.store.lock import FileLock, ForkedStore, leave_open, watch_forks
from szal_nb.store.open_files import connect, unless_open
from szal_nb.store.schema import VERSION, bytes_beside, check_connection, check_header, migrate

_BUSY_TIMEOUT_MS = 30_000
_WAL_LIMIT_BYTES = 64 * 2**20
# Every small commit writes half a dozen pages, mostly the same ones: seldom is cheaper, and the WAL stays at 16 MB.
_CHECKPOINT_PAGES = 4000
_PAGE_BYTES = 4096
_LOOK = "SELECT 1 FROM sqlite_master LIMIT 1"


class Durability(StrEnum):
    """What a power cut may take: nothing that was acknowledged (full), or the last steps (fast). Never integrity."""

    FULL = "full"
    FAST = "fast"


def real_file(path: Path) -> Path:
    """The file itself if `path` is a link to it: what belongs to a store lies beside it, as SQLite's WAL does."""
    return path.resolve() if path.is_symlink() else path


def lock_path(path: Path) -> Path:
    """Where the lock of the store at `path` is."""
    file = real_file(path)
    return file.with_name(file.name + ".lock")


def open_for_writing(path: Path, durability: Durability, *, journal_mode: str = "WAL") -> sqlite3.Connection:
    """A connection that writes; the caller holds the store's lock."""
    connection = connect(path, timeout=_BUSY_TIMEOUT_MS / 1000, check_same_thread=False, cached_statements=256)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode.upper() != journal_mode:
            connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        # NORMAL is safe with a WAL alone: a rollback journal that the power took undoes nothing.
        is_full = durability is Durability.FULL or journal_mode != "WAL"
        connection.execute(f"PRAGMA synchronous = {'FULL' if is_full else 'NORMAL'}")
        if sys.platform == "darwin" and durability is Durability.FULL:
            connection.execute("PRAGMA fullfsync = 1")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_patiently(path: Path) -> sqlite3.Connection:
    return connect(path, timeout=_BUSY_TIMEOUT_MS / 1000)


def set_patience(connection: sqlite3.Connection, *, patient: bool) -> None:
    """Whether the connection waits for others and checkpoints by itself; without, nothing it does takes long."""
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS if patient else 0}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES if patient else 0}")


def checkpoint_if_due(connection: sqlite3.Connection, path: Path) -> None:
    """Moves a WAL that has grown into the store; the caller holds the store's lock."""
    if bytes_beside(path, "-wal") > _CHECKPOINT_PAGES * _PAGE_BYTES:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def connect_for_reading(path: Path, options: str = "") -> sqlite3.Connection:
    """A connection that cannot write and has not looked at the file yet."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro{options}"
    return connect(path, uri, uri=True, timeout=_BUSY_TIMEOUT_MS / 1000, check_same_thread=False)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that can only read. On a read-only medium without a WAL it reads the file as it stands."""
    connection = connect_for_reading(path)
    try:
        if not is_whole(connection):
            take_back(path)
            connection.execute(_LOOK).fetchall()
    except sqlite3.OperationalError as error:
        connection.close()
        family = error.sqlite_errorcode & 0xFF
        is_cut = error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK
        wal = path.with_name(path.name + "-wal")
        if family not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or is_cut or wal.exists():
            raise
        # WAL needs a file beside the store. Where none can be made, nobody else can write either.
        connection = connect_for_reading(path, "&immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether nobody died in the middle of writing the file, without a WAL: a reader cannot take back what is there."""
    try:
        connection.execute(_LOOK).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        return False
    return True


def take_back(path: Path) -> None:
    """Has SQLite take back what a process left half-written that died in a commit."""
    lock = FileLock(lock_path(path))
    with contextlib.closing(lock), lock, contextlib.closing(_connect_patiently(path)) as connection:
        connection.execute(_LOOK).fetchall()


def prepare(path: Path, lock: FileLock, *, journal_mode: str = "WAL") -> None:
    """Makes the file and its tables, or brings them up to date. Does nothing to a store that is up to date."""
    try:
        if path.exists() and _check(path) == VERSION:
            return
        with lock:
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            with contextlib.closing(connect(path)) as connection:
                if check_connection(connection, path) < VERSION:
                    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
                    migrate(connection)
    except FAILURES as error:
        raise explain(error, path) from error


def check_readable(path: Path) -> None:
    """Refuses what is no store, is damaged or too new; makes nothing."""
    try:
        if not path.is_file():
            raise StoreMissing(path)
        _check(path)
    except FAILURES as error:
        raise explain(error, path) from error


def _check(path: Path) -> int | None:
    """The schema version of the file, None or 0 if it is empty; refuses what is no store, is damaged or too new."""
    with unless_open(path) as may_read:
        if may_read:
            return check_header(path)
    with contextlib.closing(open_for_reading(path)) as connection:
        return check_connection(connection, path)


class Reader:
    """The read-only connection of a store. Reads are short: everything is fetched before a method returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        # Without a WAL whoever dies in the middle of a commit leaves something to be taken back before one can read.
        self._may_be_cut = False
        self._is_forked = False
        watch_forks(self)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the store, also while others write. SQLite's errors come out as `StoreError`."""
        if self._is_forked:
            raise ForkedStore(str(self._path))
        with self._lock:
            try:
                connection = self._connection
                if connection is None:
                    connection = self._connection = self._open()
                connection.execute("BEGIN")
                try:
                    if self._may_be_cut and not is_whole(connection):
                        take_back(self._path)
                    yield connection
                finally:
                    connection.execute("ROLLBACK")
            except FAILURES as error:
                raise explain(error, self._path) from error

    def _open(self) -> sqlite3.Connection:
        check_readable(self._path)
        connection = open_for_reading(self._path)
        with contextlib.ExitStack() as unless_usable:
            unless_usable.callback(connection.close)
            if check_connection(connection, self._path) < VERSION:
                raise StoreMissing(self._path, "It is empty or of an older version; a run brings it up to date.")
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            self._may_be_cut = mode != "wal"
            unless_usable.pop_all()
        return connection

    def fetch(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """All rows of one query."""
        with self.reading() as connection:
            return connection.execute(sql, parameters).fetchall()

    def close(self, *, is_waited_for: bool = True) -> None:
        """Gives the connection up; the next read opens another. Unless it `is_waited_for`, not during a read."""
        if self._is_forked or not self._lock.acquire(blocking=is_waited_for):
            return
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
        finally:
            self._lock.release()

    def before_fork(self) -> None:
        """Waits for a read under way."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Lets reads go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """The connection is kept and never used or closed: closing it would act on the parent's files."""
        self._is_forked = True
        if self._connection is not None:
            leave_open(self._connection)
        self._lock.release()
