"""An event loop whose clock jumps to the next timer instead of waiting: days pass in a test at once."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import patch

from szal_nb.engine.worker import WorkerPool

# How long threads may take to bring what they work on, in real seconds.
_THREADS_S = 0.5


class _Working:
    """How many jobs are on threads right now. Jobs of abandoned bodies count until they end."""

    count = 0
    lock = threading.Lock()

    @classmethod
    def counted(cls, job: Callable[..., Any]) -> Callable[..., Any]:
        with cls.lock:
            cls.count += 1

        def work(*args: Any) -> Any:
            try:
                return job(*args)
            finally:
                with cls.lock:
                    cls.count -= 1

        return work


class _CountingPool(WorkerPool):
    def submit(self, job: Callable[[], None]) -> None:
        super().submit(_Working.counted(job))


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            # Nothing is due: only another thread can bring work.
            return super().select(None)
        # What a thread is about to bring comes before the clock moves on; a body that waits for long does not hold it.
        events = super().select(_THREADS_S if _Working.count else 0)
        if not events:
            self.now += max(timeout, 0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual; also the wall clock that is handed to the runner."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        return super().run_in_executor(executor, _Working.counted(func), *args)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 as asyncio has it
        """Threads end in real time: a limit in virtual time would be over at once."""
        await super().shutdown_default_executor()


def run_virtually(main: Coroutine[Any, Any, Any]) -> Any:
    """The result of `main`, run on a fresh virtual loop."""
    with patch("szal_nb.engine.runner.THREADS", _CountingPool()), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
