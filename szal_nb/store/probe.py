"""Whether WAL works in a folder, found out by trying: it needs memory that several processes share."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from szal_nb.store.database import connect_for_reading
from szal_nb.store.filesystem import FileSystem
from szal_nb.store.open_files import unless_open

_LONGEST_S = 10.0
# What a second process does: it reads what the first has written and not checkpointed, and writes.
_OTHER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
assert connection.execute("SELECT x FROM probe").fetchall() == [(1,)]
connection.execute("INSERT INTO probe VALUES (2)")
"""


def journal_mode_of(file: Path, system: FileSystem) -> str:
    """The journal of SQLite for the store `file`, whose folder is there and lies on `system`.

    Where nobody knows the file system, it is tried before a store is made; a store that is there keeps what it has.
    """
    if system.is_known:
        return system.journal_mode
    return _mode_in(file) or ("WAL" if wal_works(file.parent) else "TRUNCATE")


def _mode_in(file: Path) -> str | None:
    """The mode that the file has; None if there is no file, or none of SQLite."""
    with unless_open(file) as may_read:
        if may_read:
            return _mode_in_header(file)
    with contextlib.closing(connect_for_reading(file)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return "WAL" if mode == "wal" else "TRUNCATE"


def _mode_in_header(file: Path) -> str | None:
    with contextlib.suppress(OSError), file.open("rb") as content:
        # https://www.sqlite.org/fileformat.html#file_format_version_numbers
        header = content.read(20)
        if len(header) == 20:
            return "WAL" if header[18] == 2 else "TRUNCATE"
    return None


def wal_works(folder: Path) -> bool:
    """Whether two processes can write one database in the folder with WAL."""
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".szal-probe-", ignore_cleanup_errors=True) as place:
            path = Path(place) / "probe.db"
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                connection.execute("CREATE TABLE probe (x)")
                connection.execute("INSERT INTO probe VALUES (1)")
                _run_other(path)
                found = connection.execute("SELECT x FROM probe ORDER BY x").fetchall()
            return mode == "wal" and found == [(1,), (2,)]
    except (OSError, sqlite3.Error, subprocess.SubprocessError):
        return False


def _run_other(path: Path) -> None:
    command = [sys.executable, "-I", "-S", "-c", _OTHER, str(path)]
    subprocess.run(command, check=True, timeout=_LONGEST_S, stdin=subprocess.DEVNULL, capture_output=True)
