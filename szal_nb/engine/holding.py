"""Names the steps that hold the event loop: a body that awaits shares it with all others and with the kernel.

A thread asks the loop for a sign of life. Where none comes in time it looks which body stands on the loop's stack, and
at which line. It costs the bodies nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from szal_nb.engine.context import CURRENT, StepContext
from szal_nb.engine.executors import enters_body
from szal_nb.engine.worker import WorkerPool

# A body that does not let the loop go for so long is named, in seconds.
LIMIT_S = 0.2
_NAMED = (
    "[szal: this step has held the event loop for {ms:.0f} ms, in line {line}. Meanwhile nothing else that awaits goes "
    "on, nor does the kernel answer. Await something there, or do that work in a step that does not await: it has a "
    "thread of its own.]\n"
)


class _Watch:
    """Watches the loop of the thread that makes it, for all runs there that are going on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit_s: float) -> None:
        self.runs = 0
        self.ended = threading.Event()
        self._loop = loop
        self._limit_s = limit_s
        self._thread = threading.get_ident()
        self._named: weakref.WeakSet[StepContext] = weakref.WeakSet()

    def serve(self) -> None:
        """Asks for signs of life, on a thread of its own, until it has `ended`."""
        while not self.ended.wait(self._limit_s / 2):
            answered = threading.Event()
            try:
                self._loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                # The loop is closed: whoever held it holds nobody up any more.
                return
            while not self.ended.is_set() and not answered.wait(self._limit_s):
                self._look()

    def _look(self) -> None:
        found = _body_on(sys._current_frames().get(self._thread))  # noqa: SLF001 - documented, for debuggers
        if found is not None and found[0] not in self._named:
            context, line = found
            self._named.add(context)
            context.write("stderr", _NAMED.format(ms=self._limit_s * 1000, line=line))


# One for each loop, however many runs there are. Runs begin and end on several threads.
_WATCHES: dict[asyncio.AbstractEventLoop, _Watch] = {}
_LOCK = threading.Lock()


@contextmanager
def holders_named(loop: asyncio.AbstractEventLoop, pool: WorkerPool, *, limit_s: float = LIMIT_S) -> Iterator[None]:
    """While it is entered, on the loop's thread, each attempt that holds the loop for longer says so in its logs."""
    with _LOCK:
        watch = _WATCHES.get(loop)
        is_new = watch is None
        if watch is None:
            watch = _WATCHES[loop] = _Watch(loop, limit_s)
        watch.runs += 1
    if is_new:
        pool.submit(watch.serve)
    try:
        yield
    finally:
        with _LOCK:
            watch.runs -= 1
            if not watch.runs:
                watch.ended.set()
                del _WATCHES[loop]


def _body_on(frame: FrameType | None) -> tuple[StepContext, int] | None:
    """The attempt whose body stands on this stack, and the line of the body."""
    inner: FrameType | None = None
    while frame is not None:
        entered: contextvars.Context | StepContext | None = enters_body(frame)
        if entered is not None:
            context = entered.get(CURRENT) if isinstance(entered, contextvars.Context) else entered
            return None if context is None or inner is None else (context, inner.f_lineno)
        if not frame.f_globals.get("__name__", "").startswith("szal_nb."):
            # The outermost frame that is not ours is the body's own.
            inner = frame
        frame = frame.f_back
    return None
