"""Names the steps that hold the event loop: a body that awaits shares it with all others and with the kernel.

A thread asks the loop for a sign of life. Where none comes in time it looks which body stands on the loop's stack, and
at which line. It costs the bodies nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
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


@contextmanager
def holders_named(loop: asyncio.AbstractEventLoop, pool: WorkerPool, *, limit_s: float = LIMIT_S) -> Iterator[None]:
    """While it is entered, on the loop's thread, each attempt that holds the loop for longer says so in its logs."""
    ended, thread = threading.Event(), threading.get_ident()
    named: set[int] = set()

    def look() -> None:
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for debuggers
        found = _body_on(frame)
        if found is not None and id(found[0]) not in named:
            context, line = found
            named.add(id(context))
            context.write("stderr", _NAMED.format(ms=limit_s * 1000, line=line))

    pool.submit(lambda: _ask(loop, ended, limit_s, look))
    try:
        yield
    finally:
        ended.set()


def _ask(loop: asyncio.AbstractEventLoop, ended: threading.Event, limit_s: float, look: Callable[[], None]) -> None:
    while not ended.wait(limit_s / 2):
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            # The loop is closed: whoever held it holds nobody up any more.
            return
        if not answered.wait(limit_s):
            look()
            while not ended.is_set() and not answered.wait(limit_s):
                look()


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
