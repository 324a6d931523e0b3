"""Catches what step bodies print. Outside of a step, and in threads that a step did not start, nothing changes.

A new thread knows nothing of the context that it is started in, so while streams are caught, threads are told.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from szal_nb.engine.context import CURRENT, PlainPresenter, StepContext


class StepStream:
    """Stands in for `sys.stdout` or `sys.stderr`: a step's text goes to its context, all else to the original."""

    def __init__(self, original: Any, name: str) -> None:
        self.original = original
        self.name_of_stream = name
        self.users = 0

    def write(self, text: str) -> int:
        """As a text stream's `write`."""
        context = CURRENT.get()
        if context is None:
            return int(self.original.write(text) or 0)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        context.write(self.name_of_stream, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """As a text stream's `writelines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flushes the original; what a step printed is already with the step."""
        if CURRENT.get() is None:
            self.original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def __repr__(self) -> str:
        return f"<{self.name_of_stream} of szal_nb over {self.original!r}>"


# Runs begin and end on several threads.
_LOCK = threading.Lock()


@contextmanager
def captured_streams() -> Iterator[None]:
    """While it is entered, by however many runs at once, what steps and the threads that they start print is caught."""
    with _LOCK:
        streams = [_caught(name) for name in ("stdout", "stderr")]
        _THREADS.enter()
    try:
        yield
    finally:
        with _LOCK:
            _THREADS.leave()
            for stream in streams:
                stream.users -= 1
                # Somebody may have put a stream of his own in between; then ours stays below it and passes all on.
                if not stream.users and getattr(sys, stream.name_of_stream) is stream:
                    setattr(sys, stream.name_of_stream, stream.original)


@contextmanager
def unheard() -> Iterator[None]:
    """While it is entered, and streams are caught, what is printed or shown on this thread is dropped."""
    nobody = StepContext("", "", 0, PlainPresenter(), lambda _: None, is_closed=True)
    token = CURRENT.set(nobody)
    try:
        yield
    finally:
        CURRENT.reset(token)


def _caught(name: str) -> StepStream:
    stream = getattr(sys, name)
    if not isinstance(stream, StepStream):
        stream = StepStream(stream, name)
        setattr(sys, name, stream)
    stream.users += 1
    return stream


class _Threads:
    """Stands in for `Thread.start` while it is entered: threads that a step starts belong to the step.

    If somebody has put another in its place meanwhile, ours stays below that and passes all on, until it is on top.
    """

    def __init__(self) -> None:
        self._users = 0
        self._start: Callable[[threading.Thread], None] | None = None
        self._ours: Callable[[threading.Thread], None] | None = None

    def enter(self) -> None:
        self._users += 1
        if self._ours is None:
            self._start = threading.Thread.start
            self._ours = _telling(self._start)
            threading.Thread.start = self._ours  # type: ignore[method-assign, assignment]

    def leave(self) -> None:
        self._users -= 1
        if not self._users and threading.Thread.start is self._ours:
            threading.Thread.start = self._start  # type: ignore[method-assign, assignment]
            self._start = self._ours = None


_THREADS = _Threads()


def _telling(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @wraps(start)
    def start_in_step(thread: threading.Thread) -> None:
        context = CURRENT.get()
        if context is not None:
            thread.run = _in_step(context, thread.run)  # type: ignore[method-assign]
        start(thread)

    return start_in_step


def _in_step(context: StepContext, run: Callable[[], None]) -> Callable[[], None]:
    def run_in_step() -> None:
        CURRENT.set(context)
        run()

    return run_in_step
