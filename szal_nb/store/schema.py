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

    Raises `NotAStore`, `StoreDamaged` or `StoreTooNew`; the file is not touched.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return None
    if header[:16] != _MAGIC[: len(header)]:
        raise NotAStore(path, "it does not begin as an SQLite database does")
    if len(header) < 100:
        raise StoreDamaged(path, f"it ends after {len(header)} bytes")
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    pages = int.from_bytes(header[28:32], "big")
    # Pages that are still in a WAL may lie beyond the end of the file.
    wal = path.with_name(path.name + "-wal")
    has_wal = wal.exists() and wal.stat().st_size > 0
    size = path.stat().st_size
    if not has_wal and size < pages * page_size:
        raise StoreDamaged(path, f"it has {size} bytes of {pages * page_size}")
    version = int.from_bytes(header[60:64], "big")
    _check_identity(path, int.from_bytes(header[68:72], "big"), version, is_empty=has_wal or pages <= 1)
    return version


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
