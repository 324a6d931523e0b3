"""Threads for bodies."""

from __future__ import annotations

import os
import threading

import pytest

from szal_nb.engine.worker import WorkerPool


def ran(pool):
    done = threading.Event()
    names = []
    pool.submit(lambda: (names.append(threading.current_thread().name), done.set()))
    assert done.wait(10)
    return names[0]


def test_a_thread_that_has_nothing_to_do_takes_the_next_job():
    pool = WorkerPool()
    used = {ran(pool) for _ in range(200)}

    # One that has just ended its job may not be idle yet.
    assert len(used) <= 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_child_has_threads_of_its_own():
    pool = WorkerPool()
    ran(pool)

    child = os.fork()
    if not child:
        code = 1
        try:
            code = int(not ran(pool))
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
