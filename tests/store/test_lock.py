from __future__ import annotations

import errno
import random
import subprocess
import sys
import threading

import pytest

from szal_nb.errors import StoreError
from szal_nb.store.failure import StoreBusy
from szal_nb.store.lock import FileLock

HOLDER = """
import sys
from pathlib import Path
from szal_nb.store.lock import FileLock
with FileLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db.lock"


@pytest.fixture
def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_that_another_process_holds_too_long_is_an_error_that_names_the_process(path, holder):
    with pytest.raises(StoreBusy, match=rf"locked. Process {holder.pid} has held it for over 0.05 s"):
        FileLock(path, timeout_s=0.05).__enter__()


def test_a_lock_is_free_when_its_holder_was_killed(path, holder):
    holder.kill()
    holder.wait()

    with FileLock(path, timeout_s=5):
        pass


def test_who_waits_gets_the_lock_when_it_is_given_up(path, holder):
    held = threading.Event()

    def wait():
        with FileLock(path, timeout_s=20):
            held.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not held.is_set()
    holder.communicate("\n")
    thread.join(timeout=20)

    assert held.is_set()


def test_waiting_draws_no_number_that_a_step_would_draw(path, holder, monkeypatch):
    state = random.getstate()
    waits = []

    def sleep(_):
        waits.append(1)
        if len(waits) == 3:
            holder.communicate("\n")

    monkeypatch.setattr("szal_nb.store.lock.time.sleep", sleep)
    with FileLock(path):
        pass

    assert len(waits) >= 3
    assert random.getstate() == state


def test_threads_exclude_each_other(path):
    lock = FileLock(path)
    inside, seen = 0, []

    def enter():
        nonlocal inside
        for _ in range(200):
            with lock:
                inside += 1
                seen.append(inside)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(seen) == {1}


def test_a_lock_that_was_closed_cannot_be_taken(path):
    lock = FileLock(path)
    lock.close()

    with pytest.raises(StoreError, match="its lock was closed"):
        lock.__enter__()


def test_where_the_file_system_has_no_locks_threads_still_exclude_each_other(path, monkeypatch):
    def refuse(fd):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("szal_nb.store.lock._try_lock", refuse)
    lock = FileLock(path, timeout_s=0.01)

    assert not lock.is_available
    with lock, pytest.raises(StoreBusy, match="Another thread of this process"):
        lock.__enter__()
    assert (lock.try_acquire(), lock.try_acquire()) == (True, False)
    lock.release()
    with lock:
        pass


def test_a_lock_that_fails_for_another_reason_is_not_gone_without(path, monkeypatch):
    """Only where there are no locks at all does a store do without: then nothing else could be done."""
    lock = FileLock(path)

    def fail(fd):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("szal_nb.store.lock._try_lock", fail)
    with pytest.raises(StoreError, match="Input/output error"):
        FileLock(path)
    with pytest.raises(StoreError, match="Input/output error"), lock:
        pass
    assert not lock.try_acquire()
    monkeypatch.undo()
    with lock:
        pass


def test_a_lock_in_a_folder_that_is_not_there_is_an_error_of_the_store(tmp_path):
    with pytest.raises(StoreError, match="No such file"):
        FileLock(tmp_path / "no" / "lock")
