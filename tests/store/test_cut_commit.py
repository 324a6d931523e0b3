"""Without a WAL a commit is written over the file: whoever reads it half-written reads what was there before."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from szal_nb.model.event import StepCompleted, StepStarted
from szal_nb.store import runs
from szal_nb.store.doctor import Level, examine, repair
from szal_nb.store.failure import StoreDamaged, StoreTooNew
from szal_nb.store.filesystem import FileSystem
from szal_nb.store.runs import RunStore
from szal_nb.store.schema import VERSION, check_header
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run

RUN = "aaaaaaaaaaaa"


@pytest.fixture(autouse=True)
def on_network(monkeypatch):
    monkeypatch.setattr(runs, "file_system_of", lambda _: FileSystem("nfs4", "/home"))


def files_of(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(path.name + "-journal")


def cut_in(path: Path, *statements: str) -> dict[str, bytes]:
    """The content of the store's files when a process dies that writes this; the files themselves stay as they were."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        # So that what is written goes into the file before its commit.
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute("CREATE TABLE large AS SELECT randomblob(400000) AS content")
        left = {file.name: file.read_bytes() for file in files_of(path)}
        connection.execute("ROLLBACK")
    assert left["runs.db-journal"]
    return left


def put(path: Path, left: dict[str, bytes]) -> Path:
    """The files as they were left, in place of those that are there."""
    for file in files_of(path):
        with file.open("r+b" if file.exists() else "wb") as written:
            written.write(left[file.name])
            written.truncate()
    return path


@pytest.fixture
def filled(path):
    with RunStore.open(path) as store:
        journal = store.begin(new_run(RUN))
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
        refs = journal.keep("load", 1, {"a": [1, "x" * 3000]}, {"a"})
        journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    return path


HARM = ("UPDATE runs SET flow = 'other'", "DELETE FROM turns", 'DELETE FROM "values"')
SEEN = ("sales", 4, [1, "x" * 3000])


def seen(store):
    (run,) = store.runs()
    return run.flow, len(store.events(run.id)), store.value(run.id, "load", "a")


@pytest.mark.parametrize("is_read_only", [True, False])
def test_what_a_process_has_left_half_written_is_taken_back_before_it_is_read(filled, is_read_only):
    """On a network file system, where WAL is unsafe, another way."""
    put(filled, cut_in(filled, *HARM))

    with RunStore.open(filled, read_only=is_read_only) as store:
        assert seen(store) == SEEN


def test_so_it_is_by_who_has_the_store_open_already(filled):
    left = cut_in(filled, *HARM)
    with RunStore.open(filled, read_only=True) as store:
        assert seen(store) == SEEN
        put(filled, left)
        assert seen(store) == SEEN


def test_doctor_looks_at_what_is_whole(filled, tmp_path):
    left = cut_in(filled, *HARM)

    assert [found for found in examine(put(filled, left)) if found.level is Level.PROBLEM] == []
    repaired = repair(put(filled, left), tmp_path / "repaired.db")
    assert (repaired.whole, repaired.partial, repaired.lost) == ((RUN,), (), ())


def test_a_store_that_was_cut_off_while_it_was_made_is_made(tmp_path):
    folder = tmp_path / ".szal"
    RunStore.open(folder / "runs.db").close()
    made = (folder / "runs.db").read_bytes()
    shutil.rmtree(folder)
    folder.mkdir()
    path = folder / "runs.db"
    sqlite3.connect(path).close()
    left = cut_in(path, "CREATE TABLE runs (id)", f"PRAGMA user_version = {VERSION}")
    # The header is that of the store that was to be.
    left["runs.db"] = made[:100] + left["runs.db"][100:]

    with RunStore.open(put(path, left)) as store:
        assert store.runs() == []


def test_a_newer_store_that_is_half_written_is_left_as_it_is(filled):
    left = cut_in(filled, f"PRAGMA user_version = {VERSION + 1}")
    left["runs.db"] = left["runs.db"][:60] + (VERSION + 1).to_bytes(4, "big") + left["runs.db"][64:]
    put(filled, left)

    with pytest.raises(StoreTooNew):
        RunStore.open(filled)
    assert {file.name: file.read_bytes() for file in files_of(filled)} == left


def test_a_file_is_not_cut_off_while_a_commit_is_written(filled):
    header = bytearray(filled.read_bytes())
    header[28:32] = (10_000).to_bytes(4, "big")
    filled.write_bytes(header)

    with pytest.raises(StoreDamaged):
        check_header(filled)
    files_of(filled)[1].write_bytes(b"journal")
    assert check_header(filled) is None


def test_a_wal_that_goes_while_it_is_looked_at_is_none(filled, monkeypatch):
    wal = filled.with_name("runs.db-wal")
    wal.touch()
    stat = os.stat

    def gone_then(path, *arguments, **options):
        found = stat(path, *arguments, **options)
        if str(path) == str(wal):
            wal.unlink()
        return found

    monkeypatch.setattr(os, "stat", gone_then)
    with RunStore.open(filled) as store:
        assert seen(store) == SEEN


@pytest.mark.parametrize("durability", ["full", "fast"])
def test_without_a_wal_each_commit_is_synced(path, durability):
    """`"fast"`: may forget the last steps at a power cut, never corrupts."""
    with RunStore.open(path, durability=durability) as store:
        assert store.write(Job(lambda connection: connection.execute("PRAGMA synchronous").fetchone())) == (2,)


@pytest.mark.parametrize("length", [0, 60, 5000])
def test_a_store_whose_first_page_never_came_to_the_disk_is_made(path, length):
    path.parent.mkdir(exist_ok=True)
    sqlite3.connect(path).close()
    left = cut_in(path, "CREATE TABLE runs (id)")
    left["runs.db"] = bytes(length)

    with RunStore.open(put(path, left)) as store:
        assert store.runs() == []
