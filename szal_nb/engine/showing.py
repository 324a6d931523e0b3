"""Records what bodies show while they still run, a bounded number of times a second. Part of the runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from szal_nb.engine.context import StepContext
from szal_nb.engine.signal import AttemptOutput, AttemptProgress, Signal

# How often what running bodies show is recorded, in seconds.
_EVERY_S = 0.15


class Showing:
    """What running bodies have shown and said of their progress; the rest comes with their end."""

    def __init__(
        self,
        on_loop: Callable[..., None],
        post: Callable[[Signal], None],
        index: Mapping[str, int],
        clock: Callable[[], float],
    ) -> None:
        self._on_loop = on_loop
        self._post = post
        self._index = index
        self._clock = clock
        self._waiting: set[StepContext] = set()

    def noticed(self, context: StepContext) -> None:
        """A body has shown something, on whatever thread."""
        self._on_loop(self._flush_later, context)

    def _flush_later(self, context: StepContext) -> None:
        if context not in self._waiting:
            self._waiting.add(context)
            asyncio.get_running_loop().call_later(_EVERY_S, self._flush, context)

    def _flush(self, context: StepContext) -> None:
        self._waiting.discard(context)
        if context.is_closed:
            return
        step = self._index[context.step]
        shown, progress = context.take(), context.progress
        context.progress = None
        if shown:
            self._post(AttemptOutput(self._clock(), step, context.attempt, shown))
        if progress is not None:
            self._post(AttemptProgress(self._clock(), step, context.attempt, *progress))
