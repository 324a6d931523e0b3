"""Undoing a run: the compensations of what it completed, one after another, the last that completed first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from szal_nb.engine.signal import Action, RollbackEnded, SetTimer, StartRollback
from szal_nb.model.event import Event, StepRollbackFailed, StepRolledBack
from szal_nb.model.step import RetryPolicy, Step


class Rollback:
    """What is left to undo. `is_done` when every compensation has ended; `failed` are those that could not be run.

    A compensation that fails is tried again as its own policy says; after its last try the next one goes on.
    """

    def __init__(self, steps: Sequence[Step], left: Sequence[int], *, seed: str = "") -> None:
        self._steps = steps
        self._left = list(left)
        self._seed = seed
        self._attempt = 0
        self.failed: list[int] = []

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to undo."""
        return not self._left

    @property
    def current(self) -> tuple[int, int] | None:
        """The compensation under way, as step and attempt."""
        return (self._left[0], self._attempt) if self._left and self._attempt else None

    def next(self) -> list[Action]:
        """Begins the next attempt."""
        if not self._left:
            return []
        self._attempt += 1
        return [StartRollback(self._left[0], self._attempt)]

    def ended(self, signal: RollbackEnded, undone: Callable[[int], None]) -> tuple[list[Event], list[Action]]:
        """An attempt of a compensation is over; `undone` is told of a step that is undone now."""
        if (signal.step, signal.attempt) != self.current:
            return [], []
        i = signal.step
        step = self._steps[i]
        if signal.error is None:
            undone(i)
            self._go_on()
            return [StepRolledBack(at=signal.at, step=step.name, attempt=signal.attempt)], self.next()
        retry = step.rollback.retry if step.rollback is not None else RetryPolicy()
        delay_s = None
        if signal.attempt <= retry.retries and retry.allows(signal.error.names):
            delay_s = signal.retry_after_s
            if delay_s is None:
                delay_s = retry.wait_s(signal.attempt, seed=f"{self._seed}/{step.name}/rollback")
        failed = StepRollbackFailed(
            at=signal.at, step=step.name, attempt=signal.attempt, error=signal.error, delay_s=delay_s
        )
        if delay_s is not None:
            return [failed], [SetTimer(i, signal.attempt, delay_s)]
        self.failed.append(i)
        self._go_on()
        return [failed], self.next()

    def _go_on(self) -> None:
        del self._left[0]
        self._attempt = 0
