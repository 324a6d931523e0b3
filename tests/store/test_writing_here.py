"""`fast` commits on the loop: where that is cheaper than the way to the thread, and never where it would wait."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
from contextlib import closing, contextmanager
from unittest.mock import Mock

import pytest

from szal_nb.errors import StoreError
from szal_nb.model.event import StepCompleted, StepStarted
from szal_nb.store import projection
from szal_nb.store import runs as runs_module
from szal_nb.store import writer as writer_module
from szal_nb.store.database import lock_path
from szal_nb.store.filesystem import FileSystem
from szal_nb.store.lock import FileLock
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run

STARTED = StepStarted(at=2.0, step="load", attempt=1)
COMPLETED = StepCompleted(at=3.0, step="load", attempt=1)


@pytest.fixture
def commits(monkeypatch, path):
    """The names of the threads that committed to this store: the heart of another one may beat in this process."""
    names = []
    under_lock = writer_module.Writer._under_lock

    def noted(self, entries):
        if self._path == path:
            names.append(threading.current_thread().name)
        return under_lock(self, entries)

    monkeypatch.setattr(writer_module.Writer, "_under_lock", noted)
    # A heart beats by a commit, too, on a machine on which these tests take so long.
    monkeypatch.setattr(runs_module, "HEARTBEAT_S", 1e6)
    return names


@contextmanager
def begun_run(path, durability="fast"):
    with RunStore.open(path, durability=durability) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        yield store, journal


HERE, THREAD = "MainThread", "szal-store-writer"


async def test_a_small_write_of_a_fast_store_is_done_on_the_loop(path, commits):
    with begun_run(path) as (store, journal):
        await journal.append([STARTED])
        await journal.append([COMPLETED])
        assert store.snapshot("aaaaaaaaaaaa").steps["load"].state == "completed"

    assert commits[:3] == [THREAD, HERE, HERE]


async def test_what_must_reach_the_disk_is_left_to_the_thread(path, commits):
    with begun_run(path, "full") as (_, journal):
        await journal.append([STARTED])

    assert HERE not in commits


async def test_without_a_wal_a_commit_waits_for_the_disk_and_is_left_to_the_thread(path, commits, monkeypatch):
    monkeypatch.setattr(runs_module, "file_system_of", lambda _: FileSystem("nfs4", "/home"))
    with begun_run(path) as (_, journal):
        await journal.append([STARTED])

    assert HERE not in commits


async def test_runs_side_by_side_share_transactions_in_the_thread(path, commits):
    with begun_run(path) as (store, journal):
        store.begin(new_run("bbbbbbbbbbbb"))
        await journal.append([STARTED])

    assert HERE not in commits


async def test_a_large_value_is_left_to_the_thread(path, commits):
    with begun_run(path) as (_, journal):
        await journal.append([STARTED])
        refs = journal.keep("load", 1, {"load": "x" * 100_000}, {"load"})
        await journal.append([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])

    assert commits[:3] == [THREAD, HERE, THREAD]


async def test_the_loop_goes_on_while_another_process_has_the_lock(path):
    with begun_run(path) as (store, journal):
        other = os.open(lock_path(path), os.O_RDWR)
        fcntl.flock(other, fcntl.LOCK_EX)
        task = asyncio.ensure_future(journal.append([STARTED]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        os.close(other)
        await task

        assert store.snapshot("aaaaaaaaaaaa").steps["load"].state == "running"


async def test_the_loop_goes_on_while_a_program_without_our_lock_writes(path, commits):
    with begun_run(path) as (store, journal):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.ensure_future(journal.append([STARTED]))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not task.done()
            other.execute("ROLLBACK")
        await task
        assert store.snapshot("aaaaaaaaaaaa").steps["load"].state == "running"

    assert commits[1:3] == [HERE, THREAD]


async def test_the_loop_never_checkpoints_and_the_wal_does_not_grow_without_end(path, commits, monkeypatch):
    checkpoints, has_checkpointed = [], threading.Event()

    def checkpoint(connection, _path):
        with closing(FileLock(lock_path(path))) as other:
            is_held = not other.try_acquire()
        checkpoints.append((threading.current_thread().name, is_held))
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        has_checkpointed.set()

    monkeypatch.setattr(writer_module, "checkpoint_if_due", checkpoint)
    monkeypatch.setattr(writer_module, "_CHECK_EVERY", 5)
    small = _Small()
    with begun_run(path) as (store, journal):
        for attempt in range(1, 6):
            await journal.append([STARTED, COMPLETED] if attempt == 1 else [])
            await store._writer.write(small)
        assert await asyncio.to_thread(has_checkpointed.wait, 10), (
            "nothing but the loop's writes gives the thread a turn"
        )

    assert set(checkpoints) == {(THREAD, True)}
    # Every so many writes the thread has its turn; where the loop writes, SQLite checkpoints nothing by itself.
    assert small.pages[HERE] == {0}


class _Small:
    is_small = True

    def __init__(self):
        self.pages = {}

    def execute(self, connection):
        (pages,) = connection.execute("PRAGMA wal_autocheckpoint").fetchone()
        self.pages.setdefault(threading.current_thread().name, set()).add(pages)
        return threading.current_thread().name

    def is_committed(self, connection):
        return False

    def committed(self):
        pass

    def rolled_back(self):
        pass


class _Interrupted(_Small):
    def execute(self, connection):
        connection.execute("UPDATE runs SET reason = 'half done'")
        raise KeyboardInterrupt


async def test_a_write_on_the_loop_that_is_interrupted_keeps_the_store_from_nobody(path, commits):
    """Ctrl-C comes to the thread that the loop is in."""
    with begun_run(path) as (store, journal), closing(FileLock(lock_path(path))) as other:
        with pytest.raises(KeyboardInterrupt):
            await store._writer.write(_Interrupted())
        assert commits[-1] == HERE
        assert other.try_acquire(), "another process may write"
        other.release()

        assert await store._writer.write(_Small()) == HERE
        await journal.append([STARTED])
        assert (store.run("aaaaaaaaaaaa").reason, store.run("aaaaaaaaaaaa").events) == ("", 3)


async def test_an_append_on_the_loop_that_is_interrupted_can_be_done_again(path, commits, monkeypatch):
    """What it had worked out is forgotten: it was never in the store."""
    with begun_run(path) as (store, journal):
        with monkeypatch.context() as interrupted:
            interrupted.setattr(projection, "write_turn", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                await journal.append([STARTED])
        assert commits[-1] == HERE
        await journal.append([STARTED])

        assert store.events("aaaaaaaaaaaa") == [*begun(), STARTED]


class _Told:
    """A lock, or a gate: `tell(how)` is called before it is taken."""

    def __init__(self, lock, tell):
        self._lock, self._tell = lock, tell

    def acquire(self, *, blocking=True):
        self._tell("at once" if not blocking else "waiting")
        return self._lock.acquire(blocking=blocking)

    def __enter__(self):
        self._tell("waiting")
        return self._lock.__enter__()

    def __exit__(self, *raised):
        return self._lock.__exit__(*raised)

    def __getattr__(self, name):
        return getattr(self._lock, name)


async def test_a_store_that_another_thread_closes_ends_after_the_write_that_the_loop_is_at(path, commits):
    with begun_run(path) as (store, _):
        writer, is_ending = store._writer, threading.Event()

        def close(how):
            if how == "at once":
                writer.close(is_waited_for=False)
                assert is_ending.wait(10)

        writer._gate = _Told(writer._gate, close)
        writer._lock = _Told(writer._lock, lambda _: is_ending.set())
        assert await writer.write(_Small()) == HERE

        with pytest.raises(StoreError, match="it was closed"):
            await writer.write(_Small())


async def test_a_write_that_fails_on_the_loop_is_a_typed_error_and_the_next_one_works(path):
    with begun_run(path) as (store, journal):
        await journal.append([STARTED])
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE TRIGGER t BEFORE INSERT ON turns BEGIN SELECT raise(ABORT, 'no'); END")
        with pytest.raises(StoreError):
            await journal.append([COMPLETED])
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("DROP TRIGGER t")
        await journal.append([COMPLETED])

        assert store.snapshot("aaaaaaaaaaaa").steps["load"].state == "completed"
