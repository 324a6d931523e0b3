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

from szal_nb.engine.context import CURRENT, StepContext


class StepStream:
    """Stands in for `sys.stdout` or `sys.stderr`: a step's text goes to its context, all else to the original."""

    def __init__(self, original: Any, name: str) -> None:
        self.original = original
        self._name = name
        self.users = 0

    def write(self, text: str) -> int:
        """As a text stream's `write`."""
        context = CURRENT.get()
        if context is None:
            return int(self.original.write(text) or 0)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        context.write(self._name, text)
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
        return f"<{self._name} of szal_nb over {self.original!r}>"


@contextmanager
def captured_streams() -> Iterator[None]:
    """While it is entered, by however many runs at once, what steps print is caught."""
    _install()
    try:
        yield
    finally:
        _remove()


def _install() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, StepStream):
            stream = StepStream(stream, name)
            setattr(sys, name, stream)
        stream.users += 1
    if not hasattr(threading.Thread.start, "__wrapped__"):
        threading.Thread.start = _telling(threading.Thread.start)  # type: ignore[method-assign,assignment]


def _telling(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @wraps(start)
    def start_in_step(thread: threading.Thread) -> None:
        context = CURRENT.get()
        if context is not None:
            thread.run = _in_step(context, thread.run)  # type: ignore[method-assign,assignment]
        start(thread)

    return start_in_step


def _in_step(context: StepContext, run: Callable[[], None]) -> Callable[[], None]:
    def run_in_step() -> None:
        CURRENT.set(context)
        run()

    return run_in_step


def _remove() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # Somebody may have put a stream of his own in between; then ours stays below it and passes all on.
        if isinstance(stream, StepStream):
            stream.users -= 1
            if not stream.users:
                setattr(sys, name, stream.original)
