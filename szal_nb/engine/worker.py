"""Threads for bodies that do not await. Warm, and as many as there are attempts at once: the machine sets the limit.

A thread whose attempt was abandoned goes on to its end and then takes up work again; no one waits for it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue

# A thread that finds nothing to do for this long ends, in seconds.
_IDLE_S = 30.0


class WorkerPool:
    """Runs callables on daemon threads. A thread is made only when none is idle, so nothing ever waits in line."""

    def __init__(self, name: str = "szal") -> None:
        self._name = name
        self._begin()
        if hasattr(os, "register_at_fork"):
            # A child has none of the threads.
            pool = weakref.WeakMethod(self._begin)
            os.register_at_fork(after_in_child=lambda: (begin := pool()) and begin())

    def _begin(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._made = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Runs `job`, which must not raise, on some thread soon."""
        with self._lock:
            self._idle -= 1
            is_new = self._idle < 0
            if is_new:
                self._idle = 0
                self._made += 1
        self._work.put(job)
        if is_new:
            threading.Thread(target=self._serve, name=f"{self._name}-{self._made}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                job = self._work.get(timeout=_IDLE_S)
            except Empty:
                with self._lock:
                    # A job may have been promised to this thread just now; then it is in the queue already.
                    if self._idle > 0:
                        self._idle -= 1
                        return
                continue
            job()
            # While it waits, a thread must not keep alive what it worked for: values, and the store they are in.
            del job
            with self._lock:
                self._idle += 1


# The threads of all runs of this process: one that follows another finds them warm.
THREADS = WorkerPool()
