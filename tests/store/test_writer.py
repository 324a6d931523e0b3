from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from szal_nb.errors import StoreError
from szal_nb.model.event import RunFailed, StepCompleted, StepStarted
from szal_nb.store import writer as writer_module
from szal_nb.store.database import Durability, lock_path, open_for_writing, prepare
from szal_nb.store.failure import StoreFull, StoreUnusable
from szal_nb.store.lock import FileLock
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job, Writer
from tests.store.scribe import begun, new_run

RUN = "aaaaaaaaaaaa"


@pytest.fixture
def writer(tmp_path):
    path = tmp_path / "runs.db"
    lock = FileLock(lock_path(path))
    prepare(path, lock)
    writer = Writer(path, lock, Durability.FAST, heartbeat=lambda _: None, beat_s=60)
    writer.write_sync(Job(lambda connection: connection.execute("CREATE TABLE t (x INTEGER UNIQUE)") and None))
    yield writer
    writer.close()
    lock.close()


def insert(x):
    return Job(lambda connection: connection.execute("INSERT INTO t VALUES (?)", (x,)).rowcount)


def contents(writer):
    with closing(sqlite3.connect(writer._path)) as connection:
        return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def test_a_write_gives_its_result_after_the_commit(writer):
    assert writer.write_sync(insert(1)) == 1
    assert contents(writer) == [1]


def test_the_heart_beats_while_nothing_is_written_and_survives_a_beat_that_fails(tmp_path):
    path = tmp_path / "runs.db"
    lock = FileLock(lock_path(path))
    prepare(path, lock)
    beats, enough = [], threading.Event()

    def beat(connection):
        beats.append(threading.current_thread().name)
        if len(beats) == 3:
            enough.set()
        connection.execute("SELECT * FROM nothing" if len(beats) == 1 else "SELECT 1")

    writer = Writer(path, lock, Durability.FAST, heartbeat=beat, beat_s=0.005)
    writer.write_sync(Job(lambda _: None))

    assert enough.wait(30)
    writer.close()
    lock.close()
    assert set(beats) == {"szal-store-writer"}


def test_the_heart_beats_also_while_there_is_always_something_to_write(tmp_path):
    path = tmp_path / "runs.db"
    deeds, enough = [], threading.Event()
    with closing(FileLock(lock_path(path))) as lock:
        prepare(path, lock)
        writer = Writer(path, lock, Durability.FAST, heartbeat=lambda _: deeds.append("beat"), beat_s=0)

        def write_and_want_more(_):
            deeds.append("write")
            if deeds.count("write") < 5:
                writer._put(Job(write_and_want_more), writer_module._Nobody())
            else:
                enough.set()

        writer._put(Job(write_and_want_more), writer_module._Nobody())
        assert enough.wait(30)
        writer.close()

    first = deeds.index("write")
    assert deeds[first : first + 9] == ["write", "beat"] * 4 + ["write"]


async def test_what_waits_is_joined_into_one_transaction(writer):
    commits = []
    entered, go_on = threading.Event(), threading.Event()

    def hold(connection):
        connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        entered.set()
        assert go_on.wait(10)

    first = asyncio.ensure_future(writer.write(Job(hold)))
    await asyncio.to_thread(entered.wait)
    others = [asyncio.ensure_future(writer.write(insert(n))) for n in range(100)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *others)

    assert len(commits) == 2
    assert contents(writer) == list(range(100))


async def test_a_write_that_fails_harms_none_that_was_joined_with_it(writer):
    results = await asyncio.gather(*(writer.write(insert(n)) for n in (1, 2, 1, 3)), return_exceptions=True)

    assert [type(result) for result in results] == [int, int, type(results[2]), int]
    assert isinstance(results[2], StoreError)
    assert "UNIQUE" in str(results[2])
    assert contents(writer) == [1, 2, 3]


async def test_whoever_stops_waiting_harms_nobody(writer):
    waiting = asyncio.ensure_future(writer.write(insert(1)))
    await asyncio.sleep(0)
    waiting.cancel()

    assert await writer.write(insert(2)) == 1
    assert contents(writer) == [1, 2]


def test_a_loop_that_was_closed_harms_nobody(writer):
    entered, go_on = threading.Event(), threading.Event()

    def hold(connection):
        entered.set()
        assert go_on.wait(10)

    async def leave():
        blocker = asyncio.ensure_future(writer.write(Job(hold)))
        await asyncio.to_thread(entered.wait)
        blocker.cancel()
        late = asyncio.ensure_future(writer.write(insert(1)))
        await asyncio.sleep(0)
        late.cancel()

    asyncio.run(leave())
    go_on.set()

    assert writer.write_sync(insert(2)) == 1
    assert contents(writer) == [1, 2]


def test_what_waits_when_the_writer_closes_is_written(writer):
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(writer.write_sync(insert(n)))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()

    assert results == [1] * 20
    with pytest.raises(StoreError, match="it was closed"):
        writer.write_sync(insert(99))


class FlakyConnection:
    """Says at COMMIT that it failed, after or before it did it; one that is blind does not read right after it."""

    def __init__(self, connection, *, is_done: bool, is_blind: bool = False) -> None:
        self._connection = connection
        self._is_done = is_done
        self._is_blind = is_blind
        self.failures = 0
        self.meanwhile = lambda: None

    def execute(self, sql, *parameters):
        if sql == "COMMIT" and not self.failures:
            self.failures += 1
            self._connection.execute("COMMIT" if self._is_done else "ROLLBACK")
            self.meanwhile()
            raise sqlite3.OperationalError("disk I/O error")
        if self._is_blind and self.failures:
            self._is_blind = False
            raise sqlite3.OperationalError("nothing can be read")
        return self._connection.execute(sql, *parameters)

    def __getattr__(self, name):
        return getattr(self._connection, name)


@pytest.mark.parametrize("is_done", [True, False])
def test_the_outcome_of_a_commit_that_failed_is_read_from_the_file(path, monkeypatch, is_done):
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        store._writer._connection = FlakyConnection(store._writer._connection, is_done=is_done)
        event = StepStarted(at=2.0, step="load", attempt=1)
        if is_done:
            journal.append_sync([event])
        else:
            with pytest.raises(StoreError, match="disk I/O error"):
                journal.append_sync([event])
            journal.append_sync([event])

        assert store.events(RUN) == [*begun(), event]


def test_what_the_next_owner_has_written_is_not_taken_for_what_was_to_be_written(path):
    """The epoch of the owner is compared where the outcome of a COMMIT is unknown, too."""
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        connection = store._writer._connection
        store._writer._connection = FlakyConnection(connection, is_done=False)
        taken = "UPDATE runs SET epoch = 2, events = events + 5"
        store._writer._connection.meanwhile = lambda: connection.execute(taken)

        with pytest.raises(StoreError, match="disk I/O error"):
            journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])


@pytest.mark.parametrize("is_done", [True, False])
def test_so_is_that_of_a_take_over(path, is_done):
    with RunStore.open(path) as store:
        store.begin(new_run()).append_sync([*begun(), RunFailed(at=2.0)])
        store._writer._connection = FlakyConnection(store._writer._connection, is_done=is_done)
        if not is_done:
            with pytest.raises(StoreError, match="disk I/O error"):
                store.take_over(RUN)

        assert store.take_over(RUN).epoch == store.run(RUN).epoch == 2


EVENT = StepStarted(at=2.0, step="load", attempt=1)


async def joined(store, *writes, **flaky):
    """What becomes of writes that are joined in a transaction whose COMMIT says that it failed."""
    held, go_on = threading.Event(), threading.Event()
    # The transaction that is under way ends on the connection with which it began.
    blocked = asyncio.ensure_future(store._writer.write(Job(lambda _: (held.set(), go_on.wait(10)))))
    await asyncio.to_thread(held.wait)
    waiting = [asyncio.ensure_future(write) for write in writes]
    await asyncio.sleep(0)
    store._writer._connection = FlakyConnection(store._writer._connection, **flaky)
    go_on.set()
    await blocked
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert store._writer._connection.failures == 1
    return results


async def test_what_is_there_tells_also_of_what_was_joined_with_it_and_cannot_tell(path):
    """Neither is done twice."""
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        times = []
        job = Job(lambda _: times.append(1))
        results = await joined(store, store._writer.write(job), journal.append([EVENT]), is_done=True)

        assert (times, store.events(RUN), results) == ([1], [*begun(), EVENT], [None, None])


@pytest.mark.parametrize("is_done", [True, False])
async def test_what_may_be_there_and_cannot_be_looked_for_is_not_written_again_unasked(path, is_done):
    """Who waits is told why the COMMIT failed, and takes the run up from what the file then says."""
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        times = []
        job = Job(lambda _: times.append(1))
        writes = store._writer.write(job), journal.append([EVENT])
        results = await joined(store, *writes, is_done=is_done, is_blind=True)

        assert [(type(result), "disk I/O error" in str(result)) for result in results] == [(StoreUnusable, True)] * 2
        assert (times, store.events(RUN)) == ([1], [*begun(), EVENT] if is_done else begun())


class ClosingConnection:
    """Tells at its end who could begin something meanwhile."""

    def __init__(self, connection, may_begin) -> None:
        self._connection = connection
        self._may_begin = may_begin
        self.found = None

    def close(self):
        self.found = [begins() for begins in self._may_begin]
        self._connection.close()


def test_a_store_is_closed_while_nobody_writes_and_nobody_forks(path):
    """The last connection that is closed checkpoints, which is no safer than any other checkpoint."""
    store = RunStore.open(path)
    store.begin(new_run()).append_sync(begun())
    writer, other = store._writer, FileLock(lock_path(path))
    writer._connection = closing_one = ClosingConnection(
        writer._connection, [other.try_acquire, lambda: writer._gate.acquire(blocking=False)]
    )
    store.close()

    assert closing_one.found == [False, False]
    other.close()


def test_a_store_whose_lock_cannot_be_had_at_its_end_leaves_its_wal_to_the_next(path):
    store = RunStore.open(path)
    store.begin(new_run()).append_sync(begun())
    store._writer._lock.timeout_s = 0.01
    with closing(FileLock(lock_path(path))) as other, other:
        store.close()
        assert path.with_name("runs.db-wal").stat().st_size > 0

    with RunStore.open(path) as again:
        assert again.events(RUN) == begun()


def test_what_was_put_in_place_of_an_open_store_is_not_written_to(path):
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        copy = path.with_name("copy.db")
        copy.write_bytes(path.read_bytes())
        copy.replace(path)

        with pytest.raises(StoreError, match="deleted, moved or replaced while it was open"):
            journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])


def test_a_full_database_is_a_typed_error_and_nothing_acknowledged_is_lost(path):
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        pages = store._writer.write_sync(Job(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0]))
        # Set outside of a transaction, on the writer's own connection.
        store._writer._connection.execute(f"PRAGMA max_page_count = {pages}")
        refs = journal.keep("load", 1, {"a": b"x" * 200_000}, {"a"})
        events = [
            StepStarted(at=2.0, step="load", attempt=1),
            StepCompleted(at=3.0, step="load", attempt=1, values=refs),
        ]
        with pytest.raises(StoreFull, match="No space left for the store"):
            journal.append_sync(events)
        assert store.events(RUN) == begun()

        store._writer._connection.execute("PRAGMA max_page_count = 1000000")
        journal.append_sync(events)
        assert store.value(RUN, "load", "a") == b"x" * 200_000


LIMITED = """
import json, resource, sys
from szal_nb.errors import StoreError
from szal_nb.model.event import StepOutput, StepStarted
from szal_nb.model.value import Output
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run
store = RunStore.open(sys.argv[1])
journal = store.begin(new_run())
journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
acknowledged, errors = 0, []
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for n in range(200):
    try:
        journal.append_sync([StepOutput(at=3.0, step="load", attempt=1,
                                        items=(Output(type="stream", name="stdout", text=f"{n} " * 3000),))])
        acknowledged += 1
    except StoreError as error:
        errors.append(type(error).__name__)
        if len(errors) == 3:
            break
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append_sync([StepOutput(at=4.0, step="load", attempt=1, items=(Output(type="stream", text="last"),))])
print(json.dumps([acknowledged, errors]))
store.close()
"""


@pytest.mark.parametrize("limit", [200_000, 333_333, 1_000_001])
def test_a_file_size_limit_is_a_typed_error_and_later_writes_work(path, limit):
    RunStore.open(path).close()
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(limit)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    acknowledged, errors = json.loads(result.stdout)

    assert set(errors) == {"StoreFull"}
    with RunStore.open(path) as store:
        outputs = store.events(RUN)[3:]
    assert len(outputs) == acknowledged + 1
    assert [event.items[0].text[:6].split()[0] for event in outputs[:-1]] == [str(n) for n in range(acknowledged)]


@pytest.mark.parametrize(("durability", "level"), [(Durability.FULL, 2), (Durability.FAST, 1)])
def test_durability_is_the_synchronous_setting_of_the_connection(tmp_path, durability, level):
    path = tmp_path / "runs.db"
    with closing(open_for_writing(path, durability)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_size_limit").fetchone() == (64 * 2**20,)
