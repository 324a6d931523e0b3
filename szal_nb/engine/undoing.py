"""Runs compensations: bodies that undo a step, with the step's own inputs and what it gave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from szal_nb.engine.attempt import Attempt, describe, names_of
from szal_nb.engine.body import Body
from szal_nb.engine.context import StepContext
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.signal import AttemptOutput, RollbackEnded, Signal
from szal_nb.engine.values import ValueTable
from szal_nb.errors import RetryAfter, RunError, StepTimeout
from szal_nb.model.value import ErrorInfo


class _Runner(Protocol):
    """What is needed of the runner."""

    machine: RunMachine

    def context_of(self, i: int, number: int) -> StepContext: ...

    def begin(self, attempt: Attempt, timeout_s: float | None) -> None: ...

    def post(self, signal: Signal) -> None: ...

    def now(self) -> float: ...


class Undoing:
    """The compensations of a run; an `Owner` of their attempts."""

    def __init__(self, runner: _Runner, bodies: Mapping[int, Body], values: ValueTable) -> None:
        self._runner = runner
        self._bodies = bodies
        self._values = values
        self._current: Attempt | None = None

    def start(self, i: int, number: int) -> None:
        """Begins attempt `number` of the compensation of step `i`."""
        step = self._runner.machine.steps[i]
        body = self._bodies.get(i)
        if body is None or step.rollback is None:
            error = RunError(f"This process does not have the rollback of step {step.name!r}: define it again.")
            info = ErrorInfo(type="RunError", message=str(error), names=names_of(error))
            self._runner.post(RollbackEnded(self._runner.now(), i, number, info))
            return
        self._current = Attempt(self, i, number, body, self._runner.context_of(i, number))
        self._runner.begin(self._current, step.rollback.timeout_s)

    def under_way(self) -> Iterable[Attempt]:
        """The attempt that has not ended yet, if there is one."""
        return () if self._current is None else (self._current,)

    def is_current(self, attempt: Attempt) -> bool:
        """As `Owner`."""
        return self._current is attempt

    def must_load(self, attempt: Attempt) -> bool:  # noqa: ARG002 as `Owner`
        """As `Owner`: what the step gave is read from the record."""
        return self._values.is_recorded

    def inputs_of(self, attempt: Attempt) -> dict[str, Any]:
        """As `Owner`: the step's inputs, and what it gave under the same names wins."""
        undo = self._runner.machine.graph.nodes[attempt.step].undo
        return self._values.around(attempt.step, None if undo is None else undo.reads)

    def must_keep(self, attempt: Attempt, given: dict[str, Any]) -> bool:  # noqa: ARG002 as `Owner`
        """As `Owner`: what a compensation gives is not kept."""
        return False

    def complete(self, attempt: Attempt, given: dict[str, Any]) -> Signal:  # noqa: ARG002 as `Owner`
        """As `Owner`."""
        return RollbackEnded(self._runner.now(), attempt.step, attempt.number)

    def fail(self, attempt: Attempt, error: BaseException) -> Signal:
        """As `Owner`."""
        step = self._runner.machine.steps[attempt.step]
        if attempt.is_timed_out and step.rollback is not None and step.rollback.timeout_s is not None:
            error = StepTimeout(step.name, step.rollback.timeout_s)
        elif isinstance(error, asyncio.CancelledError):
            error = RunError(f"The rollback of step {step.name!r} was cancelled.")
        info, after_s = describe(error, attempt.context), error.seconds if isinstance(error, RetryAfter) else None
        return RollbackEnded(self._runner.now(), attempt.step, attempt.number, info, after_s)

    def end(self, attempt: Attempt, signal: Signal | None) -> None:
        """As `Owner`."""
        if attempt.timer is not None:
            attempt.timer.cancel()
        if self._current is not attempt:
            return
        shown = attempt.context.take(close=True)
        if shown:
            self._runner.post(AttemptOutput(self._runner.now(), attempt.step, attempt.number, shown))
        self._current = None
        if signal is not None:
            self._runner.post(signal)
