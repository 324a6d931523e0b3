"""A process that has a store open may open it once more, and close that: the first connections keep their place."""

from __future__ import annotations

import gc
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import szal_nb
from szal_nb.store.failure import StoreDamaged, StoreTooNew
from szal_nb.store.filesystem import FileSystem
from szal_nb.store.open_files import connect, unless_open
from szal_nb.store.probe import journal_mode_of
from szal_nb.store.runs import RunStore
from szal_nb.store.schema import VERSION
from tests.store.scribe import begun, new_run

MINE, OTHERS, LATER = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
OTHER = """
import sys
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run
with RunStore.open(sys.argv[1]) as store:
    for run in sys.argv[2:]:
        journal = store.begin(new_run(run))
        journal.append_sync(begun())
        journal.close()
    print(*sorted(run.id for run in store.runs()))
"""
# Has the store open until its input ends.
KERNEL = OTHER.replace("    print", "    print(flush=True)\n    sys.stdin.read()\n    print")


def another_process(path, *runs):
    """A process opens the store, writes these runs, and closes it: the runs that it saw."""
    command = [sys.executable, "-c", OTHER, str(path), *runs]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def write(store, run):
    journal = store.begin(new_run(run))
    journal.append_sync(begun())
    journal.close()


AGAIN = {
    "to write": lambda path: RunStore.open(path).close(),
    "to read": lambda path: RunStore.open(path, read_only=True).close(),
    "to find out its journal": lambda path: journal_mode_of(path, FileSystem(kind="", mount="")),
}


@pytest.mark.parametrize("again", AGAIN)
def test_what_is_written_after_the_store_was_opened_once_more_is_there(path, again):
    """Several kernels may share one store, on every SQLite that Python 3.11+ ships."""
    with RunStore.open(path) as store:
        write(store, MINE)
        AGAIN[again](path)
        assert another_process(path, OTHERS) == [MINE, OTHERS]
        write(store, LATER)
        assert [run.id for run in store.runs()] == [LATER, OTHERS, MINE]
        assert another_process(path) == [MINE, OTHERS, LATER]

    assert another_process(path) == [MINE, OTHERS, LATER]


@pytest.mark.parametrize("again", AGAIN)
def test_who_only_reads_sees_what_others_write_after_the_store_was_opened_once_more(path, again):
    """A second process can read always."""
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL, str(path), MINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert kernel.stdout.readline()
    with kernel, RunStore.open(path, read_only=True) as store:
        assert [run.id for run in store.runs()] == [MINE]
        AGAIN[again](path)
        # It is the last to close, as far as it sees.
        kernel.communicate()
        another_process(path, OTHERS)

        assert [run.id for run in store.runs()] == [OTHERS, MINE]


def test_a_store_that_another_program_made_newer_meanwhile_is_refused(path):
    with RunStore.open(path) as store:
        write(store, MINE)
        with closing(sqlite3.connect(path)) as newer:
            newer.execute(f"PRAGMA user_version = {VERSION + 1}")
        with pytest.raises(StoreTooNew):
            RunStore.open(path)
        with pytest.raises(StoreTooNew):
            RunStore.open(path, read_only=True)


def test_what_is_not_open_is_read_beside_sqlite(path):
    RunStore.open(path).close()
    os.truncate(path, 200)

    with pytest.raises(StoreDamaged, match="200 bytes"):
        RunStore.open(path)


def is_open(path):
    with unless_open(path) as may_read:
        return not may_read


def test_a_file_is_open_until_the_last_connection_is_closed_or_forgotten(tmp_path):
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    assert not is_open(path)

    one, two = connect(path), connect(path)
    connect(other).close()
    (tmp_path / "link.db").symlink_to(path)
    assert (is_open(path), is_open(tmp_path / "link.db"), is_open(other)) == (True, True, False)

    one.close()
    one.close()
    assert is_open(path)
    del two
    gc.collect()
    assert not is_open(path)


def test_what_cannot_be_opened_is_not_open(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        connect(tmp_path / "none" / "a.db")

    assert not is_open(tmp_path / "none" / "a.db")


def test_a_forked_child_may_open_files_though_a_thread_of_its_parent_was_at_it(tmp_path):
    path = tmp_path / "a.db"
    with unless_open(path):
        child = os.fork()
        if child == 0:
            connect(path).close()
            os._exit(0)
        _, status = os.waitpid(child, 0)

    assert status == 0


def test_every_connection_of_the_program_is_counted():
    """But those of a probe, which are to a file of its own."""
    package = Path(szal_nb.__file__).parent
    texts = {path.name: path.read_text() for path in package.rglob("*.py")}

    assert {name for name, text in texts.items() if re.search(r"= sqlite3\.connect\(|\(sqlite3\.connect\(", text)} == {
        "open_files.py",
        "probe.py",
    }
