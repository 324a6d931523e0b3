"""Two owners of one run: in other pid namespaces, stopped past the lease, or dead with children that live on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from szal_nb.errors import OwnershipLost, RunOwned
from szal_nb.model.event import StepStarted
from szal_nb.store.database import Durability, lock_path
from szal_nb.store.lock import FileLock
from szal_nb.store.owner import LEASE_S, Owner
from szal_nb.store.runs import RunStore
from tests.store.namespaces import need, unshared
from tests.store.scribe import begun
from tests.store.test_processes import OWNER, answer, end, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

RUN = "aaaaaaaaaaaa"
IN_NAMESPACE = ("--pid", "--fork", "--kill-child", "--mount-proc")
# An owner on another machine, as far as anybody can tell.
ELSEWHERE = """
import msgspec
from szal_nb.store import record
here = record.Owner.here()
record.Owner.here = lambda: msgspec.structs.replace(here, boot_id="elsewhere")
"""
NO_EPOCH = """
from szal_nb.store import projection
projection._COUNT_EVENTS = "UPDATE runs SET events = ? WHERE id = ? AND ? > 0 AND ? >= 0"
"""


@contextmanager
def store_at(path: Path, later_s: float = 0.0):
    """The store as it will be seen in so many seconds."""
    RunStore.open(path).close()
    lock = FileLock(lock_path(path))
    with RunStore(path, durability=Durability.FULL, lock=lock, now=lambda: time.time() + later_s) as store:
        yield store


def starts(owner, step: str) -> object:
    """What becomes of it when the owner writes that a step starts."""
    owner.stdin.write(f"{step}\n")
    owner.stdin.flush()
    return answer(owner)


def taken_over_while_stopped(path: Path, owner, pid_of: Callable[[int], int] = int) -> tuple[object, list[object]]:
    """What the owner hears that slept past its lease, and the events of the run."""
    answer(owner)
    pid = pid_of(owner.pid)
    with store_at(path) as now, pytest.raises(RunOwned, match="force takes the run over"):
        now.take_over(RUN)
    os.kill(pid, signal.SIGSTOP)
    with store_at(path, LEASE_S + 1) as later:
        journal = later.take_over(RUN)
        os.kill(pid, signal.SIGCONT)
        heard = starts(owner, "load")
        journal.append_sync([StepStarted(at=3.0, step="plot", attempt=1)])
        return heard, later.events(RUN)


OUTCOME = ("OwnershipLost", [*begun(), StepStarted(at=3.0, step="plot", attempt=1)])


def test_an_owner_elsewhere_that_slept_past_its_lease_writes_no_more(path):
    owner = start(ELSEWHERE + OWNER, path)
    try:
        assert taken_over_while_stopped(path, owner) == OUTCOME
    finally:
        end(owner)


def test_an_owner_that_does_not_compare_epochs_is_found_out(path):
    owner = start(ELSEWHERE + NO_EPOCH + OWNER, path)
    try:
        outcome = taken_over_while_stopped(path, owner)
    except OwnershipLost as error:
        outcome = error
    finally:
        end(owner)
    assert outcome != OUTCOME


def child_of(pid: int) -> int:
    """The only child of a process."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_of_an_owner_in_another_pid_namespace_only_the_lease_decides(path):
    need(IN_NAMESPACE)
    owner = start(OWNER, path, within=unshared(*IN_NAMESPACE))
    try:
        answer(owner)
        with store_at(path) as now, store_at(path, LEASE_S + 1) as later:
            there = now.run(RUN).owner
            shown = now.run(RUN).shown_state, later.run(RUN).shown_state
        assert (there.boot_id, there.is_near) == (Owner.here().boot_id, False)
        # It is pid 1 there, and pid 1 lives here too: that says nothing.
        assert (there.pid, shown) == (1, ("running", "crashed"))
    finally:
        end(owner)


def test_of_two_owners_in_two_pid_namespaces_one_writes(path):
    need(IN_NAMESPACE)
    owner = start(OWNER, path, within=unshared(*IN_NAMESPACE))
    try:
        answered = taken_over_while_stopped(path, owner, child_of)
    finally:
        end(owner)
    assert answered == OUTCOME


# Its body has a pool of processes that are at work, and it dies in the middle of a write.
POOL = """
import json, multiprocessing, os, signal, sys, threading
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run
store = RunStore.open(sys.argv[1])
journal = store.begin(new_run())
journal.append_sync(begun())
reading, writing = os.pipe()
def work(_):
    os.write(writing, b"1")
    signal.pause()
pool = multiprocessing.get_context("fork").Pool(2)
pool.map_async(work, [0, 0], chunksize=1)
for _ in range(2):
    os.read(reading, 1)
def stay(connection):
    print(json.dumps([process.pid for process in pool._pool]), flush=True)
    threading.Event().wait()
store.write(Job(stay))
"""
KEEPS_LOCK = "from szal_nb.store.writer import Writer\nWriter.after_fork_in_child = lambda self: self._gate.release()\n"


def is_free_soon(lock: FileLock) -> bool:
    """Whether the lock is free within 100 ms."""
    deadline = time.monotonic() + 0.1
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            return False
    lock.release()
    return True


@pytest.mark.parametrize(("fault", "is_free"), [("", True), (KEEPS_LOCK, False)], ids=["as it is", "planted fault"])
def test_the_lock_is_free_when_its_owner_dies_though_the_pool_of_a_body_lives_on(path, fault, is_free):
    owner = start(fault + POOL, path)
    workers = answer(owner)
    lock = FileLock(lock_path(path))
    try:
        assert not lock.try_acquire(), "the owner is writing"
        os.kill(owner.pid, signal.SIGKILL)
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)

        assert is_free_soon(lock) is is_free
        assert any(Owner.of(pid) is not None for pid in workers)
        if is_free:
            with RunStore.open(path) as store:
                assert store.take_over(RUN).epoch == 2
    finally:
        lock.close()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end(owner)
