"""Several processes on one store: one owner, readers always, no lock error ever, and forks."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import pytest

from szal_nb.model.event import RunFailed, StepOutput, StepStarted
from szal_nb.model.state import RunState
from szal_nb.store.database import lock_path
from szal_nb.store.lock import FileLock, ForkedStore
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run

RUN = "aaaaaaaaaaaa"
PROCESSES = 16


def start(code, *arguments, within=()):
    """A Python that runs this code, begun by the command `within`."""
    command = [*within, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process):
    line = process.stdout.readline()
    assert line, "the process ended without an answer"
    return json.loads(line)


def end(*processes):
    for process in processes:
        process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()


OWNER = """
import sys
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run
from szal_nb.model.event import StepStarted
store = RunStore.open(sys.argv[1])
journal = store.begin(new_run())
journal.append_sync(begun())
print("1", flush=True)
for line in sys.stdin:
    try:
        journal.append_sync([StepStarted(at=2.0, step=line.strip(), attempt=1)])
        print('"written"', flush=True)
    except Exception as error:
        print('"' + type(error).__name__ + '"', flush=True)
"""

TAKER = """
import json, sys
from szal_nb.store.runs import RunStore
store = RunStore.open(sys.argv[1])
print("1", flush=True)
sys.stdin.readline()
try:
    print(json.dumps(store.take_over("aaaaaaaaaaaa").epoch), flush=True)
except Exception as error:
    print(json.dumps(type(error).__name__), flush=True)
sys.stdin.readline()
"""

APPENDER = """
import json, sys, time
from szal_nb.model.event import StepOutput, StepStarted
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run
store = RunStore.open(sys.argv[1])
print("1", flush=True)
sys.stdin.readline()
journal = store.begin(new_run(f"{int(sys.argv[2]):012x}"))
journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
longest = 0.0
for n in range(int(sys.argv[3])):
    began = time.perf_counter()
    journal.append_sync([StepOutput(at=3.0, step="load", attempt=1, items=())])
    longest = max(longest, time.perf_counter() - began)
print(json.dumps(longest), flush=True)
store.close()
"""


def test_two_processes_that_take_over_at_once_one_wins(path):
    for _ in range(5):
        path.unlink(missing_ok=True)
        with RunStore.open(path) as store:
            journal = store.begin(new_run())
            journal.append_sync([*begun(), RunFailed(at=2.0)])
        takers = [start(TAKER, path) for _ in range(3)]
        try:
            for taker in takers:
                answer(taker)
            for taker in takers:
                taker.stdin.write("go\n")
                taker.stdin.flush()
            answers = sorted(str(answer(taker)) for taker in takers)
        finally:
            end(*takers)

        assert answers == ["2", "RunOwned", "RunOwned"]


def test_a_killed_owner_is_dead_at_once_and_its_run_can_be_taken_over(path):
    RunStore.open(path).close()
    owner = start(OWNER, path)
    try:
        answer(owner)
        with RunStore.open(path) as store:
            assert store.run(RUN).shown_state == "running"
            os.kill(owner.pid, signal.SIGKILL)
            # Not waited for: a zombie runs nothing any more.
            os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
            assert store.run(RUN).shown_state == "crashed"
            assert store.take_over(RUN).epoch == 2
    finally:
        end(owner)


def test_an_owner_that_was_stopped_while_its_run_was_taken_by_force_writes_no_more(path):
    RunStore.open(path).close()
    owner = start(OWNER, path)
    try:
        answer(owner)
        os.kill(owner.pid, signal.SIGSTOP)
        with RunStore.open(path) as store:
            journal = store.take_over(RUN, force=True)
            os.kill(owner.pid, signal.SIGCONT)
            owner.stdin.write("load\n")
            owner.stdin.flush()

            assert answer(owner) == "OwnershipLost"
            assert store.events(RUN) == begun()
            journal.append_sync([StepStarted(at=3.0, step="plot", attempt=1)])
    finally:
        end(owner)


# A lock that keeps nobody away, and who finds the file busy gives up.
NO_LOCK = """
from szal_nb.store import database, lock
database._BUSY_TIMEOUT_MS = 0
lock.FileLock.__enter__ = lambda self: self
lock.FileLock.__exit__ = lambda self, *_: None
"""


def written_at_once(path, fault=""):
    """How the processes ended that wrote at once, what they waited at most, and how many events each run has."""
    RunStore.open(path).close()
    appenders = [start(fault + APPENDER, path, n, 60) for n in range(PROCESSES)]
    try:
        for appender in appenders:
            answer(appender)
        for appender in appenders:
            appender.stdin.write("go\n")
            appender.stdin.flush()
        with RunStore.open(path, read_only=True) as reader:
            seen = 0
            while seen < PROCESSES and any(appender.poll() is None for appender in appenders):
                seen = len(reader.runs())
        ended = [appender.communicate(timeout=60)[0] for appender in appenders]
        codes = [appender.returncode for appender in appenders]
    finally:
        end(*appenders)
    with RunStore.open(path) as store:
        return codes, max(float(line or 0) for line in ended), [run.events for run in store.runs()]


@pytest.mark.serial
def test_many_processes_write_at_once_and_none_sees_a_lock(path):
    """What the database says is what happened, also after a full disk, two kernels on one file.

    Several kernels may share one store, on every SQLite that Python 3.11+ ships (see durability.md for what that takes).
    """
    codes, longest_s, events = written_at_once(path)

    print(f"longest wait for one append: {longest_s * 1000:.0f} ms")
    assert longest_s < 10
    assert (codes, events) == ([0] * PROCESSES, [63] * PROCESSES)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.serial
def test_processes_that_keep_nobody_away_are_found_out(path):
    codes, _, _ = written_at_once(path, NO_LOCK)

    assert codes != [0] * PROCESSES


def test_a_reader_in_the_middle_of_a_long_read_stops_no_writer(path):
    with RunStore.open(path) as store, RunStore.open(path, read_only=True) as reader:
        journal = store.begin(new_run())
        journal.append_sync(begun())
        with reader.reader.reading() as connection:
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
            journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])
            assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)

        assert reader.run(RUN).events == 3


def in_child(function) -> str:
    """What the function answers in a forked child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answered = function()
        except BaseException as error:  # noqa: BLE001 whatever it is, the parent wants to know
            answered = f"{type(error).__name__}: {error}"
        os.write(writing, str(answered).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


# Python 3.12 warns of every fork of a process with threads; that such a fork is safe is what is tested here.
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
class TestFork:
    def test_a_child_is_told_that_the_store_is_not_its_own(self, store):
        journal = store.begin(new_run())
        journal.append_sync(begun())

        for use in (store.runs, lambda: journal.append_sync(begun()), lambda: store.take_over(RUN)):
            assert in_child(use).startswith(f"{ForkedStore.__name__}: The store {store.path} was opened before")

        journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])
        assert store.run(RUN).events == 3

    def test_so_is_a_child_that_would_write_on_its_loop(self, path):
        with RunStore.open(path, durability="fast") as store:
            journal = store.begin(new_run())
            journal.append_sync(begun())
            write = journal.append([StepStarted(at=2.0, step="load", attempt=1)])
            assert in_child(lambda: asyncio.run(write)).startswith(ForkedStore.__name__)
            write.close()

    def test_a_child_may_open_the_store_anew(self, store, path):
        store.begin(new_run()).append_sync(begun())

        def use():
            with RunStore.open(path) as own:
                own.begin(new_run("bbbbbbbbbbbb")).append_sync(begun())
                return len(own.runs())

        assert in_child(use) == "2"
        assert len(store.runs()) == 2

    def test_a_child_that_closes_the_store_closes_nothing_of_its_parent(self, store, path):
        store.begin(new_run()).append_sync(begun())
        store.runs()

        def files():
            opened = sorted(str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir())
            return [file for file in opened if file.startswith(str(path))]

        def let_go():
            store.close()
            store._writer = store.reader = None
            gc.collect()
            return files()

        # The lock alone is given up.
        assert in_child(let_go) == str([file for file in files() if not file.endswith(".lock")])

    def test_a_child_closes_the_store_also_if_another_thread_was_just_taking_a_run(self, store):
        """The lock that this thread held is held for good in the child: no thread is left there to give it back."""
        store.begin(new_run()).append_sync(begun())
        held, done = Event(), Event()

        def hold():
            with store._owned_lock:
                held.set()
                done.wait(60)

        holding = Thread(target=hold)
        holding.start()
        try:
            assert held.wait(10)
            assert in_child(lambda: store.close() or "closed") == "closed"
        finally:
            done.set()
            holding.join(10)

    def test_a_fork_waits_for_a_transaction_and_not_for_another_process(self, store, path, monkeypatch):
        """Fork-safe: never inside a transaction."""
        inside, forked = Event(), Event()

        def fork():
            assert inside.wait(10)
            in_child(lambda: "alive")
            forked.set()

        forking = Thread(target=fork)
        forking.start()
        assert not store.write(Job(lambda _: inside.set() or forked.wait(0.3))), "forked inside of a transaction"
        forking.join(10)
        assert forked.is_set()

        waits = Event()
        monkeypatch.setattr(time, "sleep", lambda s: (waits.set(), forked.wait(s)))
        inside.set()
        forked.clear()
        with closing(FileLock(lock_path(path))) as other:
            with other:
                writing = Thread(target=lambda: store.write(Job(lambda _: None)))
                writing.start()
                assert waits.wait(10)
                forking = Thread(target=fork)
                forking.start()
                forking.join(10)
                assert forked.is_set(), "another process that writes does not keep this one from forking"
            writing.join(10)

    def test_the_child_does_not_hold_the_lock(self, store, path):
        store.begin(new_run()).append_sync(begun())
        open_files = in_child(lambda: [str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir()])

        assert str(path) in open_files
        assert f"{path}.lock" not in open_files

    def test_a_body_that_forks_a_pool_leaves_the_store_as_it_is(self, store):
        journal = store.begin(new_run())
        journal.append_sync(begun())
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
            journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])

        assert store.run(RUN).state is RunState.RUNNING
        assert store.run(RUN).events == 3

    def test_forks_while_the_writer_works_stop_nothing(self, store):
        journal = store.begin(new_run())
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])

        def write():
            for _ in range(300):
                journal.append_sync([StepOutput(at=3.0, step="load", attempt=1, items=())])

        thread = Thread(target=write)
        thread.start()
        answers = set()
        while thread.is_alive():
            answers.add(in_child(lambda: "alive"))
        thread.join()

        assert answers == {"alive"}
        assert store.run(RUN).events == 303


def test_a_script_that_forgets_to_close_leaves_a_whole_store(path):
    code = OWNER.partition("for line")[0]
    process = start(code, path)
    assert process.wait(timeout=30) == 0
    process.communicate()

    assert not path.with_name("runs.db-wal").exists()
    with RunStore.open(path, read_only=True) as store:
        assert store.run(RUN).events == 2
        assert store.run(RUN).shown_state == "crashed"
