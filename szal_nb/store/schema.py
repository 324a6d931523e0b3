"""Which file may be opened as a store, and how it is brought up to date.

`PRAGMA user_version` counts the migrations that were applied, so that an up-to-date file is recognised without loading
sqlite-utils.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from szal_nb.store.failure import NotAStore, StoreDamaged, StoreTooNew
from szal_nb.store.migrations import MIGRATIONS

# "SZAL", so that `file` and we can tell a store from another database.
APPLICATION_ID = 0x535A414C
VERSION = len(MIGRATIONS)
_MAGIC = b"SQLite format 3\x00"


def check_header(path: Path) -> int | None:
    """The schema version in the file's header, None for an empty file. Opens nothing but the first 100 bytes.

    None also while a transaction is being written over it: its header may be that of one that does not come to be.
    Raises `NotAStore`, `StoreDamaged` or `StoreTooNew`; the file is not touched.
    """
    with path.open("rb") as file:
        header = file.read(100)
    is_being_written = bytes_beside(path, "-journal") > 0
    if not header or (is_being_written and (header[:16] != _MAGIC or len(header) < 100)):
        return None
    if header[:16] != _MAGIC[: len(header)]:
        raise NotAStore(path, "it does not begin as an SQLite database does")
    if len(header) < 100:
        raise StoreDamaged(path, f"it ends after {len(header)} bytes")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32], "big")
    # Pages that are still in a WAL, or that a commit under way has not written yet, may lie beyond the end of the file.
    # They are there before the WAL is gone or the journal is empty, so that the size of the file is asked for last.
    has_wal = bytes_beside(path, "-wal") > 0
    size = path.stat().st_size
    if not has_wal and not is_being_written and size < pages * page_size:
        raise StoreDamaged(path, f"it has {size} bytes of {pages * page_size}")
    version = int.from_bytes(header[60:64], "big")
    is_empty = has_wal or is_being_written or pages <= 1
    _check_identity(path, int.from_bytes(header[68:72], "big"), version, is_empty=is_empty)
    return None if is_being_written else version


def bytes_beside(path: Path, suffix: str) -> int:
    """The size of what SQLite has beside the file, 0 if it has nothing: other processes may take it away any time."""
    file = path.resolve() if path.is_symlink() else path
    try:
        return file.with_name(file.name + suffix).stat().st_size
    except FileNotFoundError:
        return 0


def check_connection(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version as the connection sees it, WAL included; refuses as `check_header` does."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (identity,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    _check_identity(path, identity, version, is_empty=objects == 0)
    return int(version)


def _check_identity(path: Path, identity: int, version: int, *, is_empty: bool) -> None:
    if identity == APPLICATION_ID:
        if version > VERSION:
            raise StoreTooNew(path, version, VERSION)
    elif identity or version or not is_empty:
        raise NotAStore(path, "it is a database of another program")


def migrate(connection: sqlite3.Connection) -> None:
    """Applies what is missing in one transaction.

    The caller holds the store's lock; the connection is in no transaction and has foreign keys off.
    """
    from sqlite_utils import Database, Migrations  # late: heavy (it imports pandas where there is one)

    migrations = Migrations("szal_nb")
    for name, change in MIGRATIONS:
        migrations(name=name)(change)
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(Database(connection, execute_plugins=False))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
