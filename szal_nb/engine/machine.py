"""Every decision of a run: signals in, a turn of events and actions out. Pure, synchronous, no clock.

Rules. A step starts the moment its trigger is met and its limits have room; never before its dependencies ended.
Among steps that wait for room the one with the highest priority goes first, then the longest remaining path. A failed
step skips what depends on it; a step that was skipped or may fail (`--on-error continue`) skips only those that need
its value. When nothing is left to do a run that failed is undone, if it says so and its steps have compensations. A
turn's events are recorded before its actions are carried out. Signals of attempts that are no longer current are
ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from szal_nb.engine import signal as told
from szal_nb.engine.ending import Ending
from szal_nb.engine.outcome import (
    COMPLETED,
    IS_ABSENT,
    IS_COMPLETED,
    IS_OPEN,
    PENDING,
    RETRYING,
    RUNNING,
    WAITING,
)
from szal_nb.engine.signal import Signal, Turn
from szal_nb.model import event as happened
from szal_nb.model.state import RunState
from szal_nb.model.step import OnConditionError

_PAUSED = RunState.PAUSED
_UNDER_WAY = (RunState.RUNNING, RunState.PAUSED)


class RunMachine(Ending):
    """Decides for one run. `handle` is the only way in."""

    def handle(self, signals: Iterable[Signal]) -> Turn:
        """What follows from these signals, in order; one turn for all of them."""
        at = 0.0
        for signal in signals:
            at = signal.at
            _HANDLERS[type(signal)](self, signal)
        if self._starts.ready and self.run_state is not _PAUSED:
            self._start_ready(at)
        if not self._open_count and self.run_state in _UNDER_WAY:
            self._end(at)
        turn = Turn(self._events, self._actions)
        self._events, self._actions = [], []
        return turn

    def _begin(self, signal: told.Begin) -> None:
        at = signal.at
        if self._resume is None:
            flow = self.graph.flow
            self._events.append(
                happened.RunCreated(
                    at=at, flow=flow.name, version=flow.version, steps=tuple(self.names), inputs=signal.inputs
                )
            )
            self._events.append(happened.RunStarted(at=at))
        else:
            reset, rebuilt = self._resume
            self._events.append(happened.RunResumed(at=at, epoch=signal.epoch, reset=reset, rebuilt=rebuilt))
            if self.run_state is RunState.ROLLING_BACK:
                self._cancel_reason = "its rollback was cut short"
                self._undo(at)
                return
        self.run_state = RunState.RUNNING
        # Of a new run none has completed yet.
        for i, outcome in enumerate(self._outcome if self._resume is not None else ()):
            if outcome is IS_COMPLETED:
                self._settle_completed(i, at)
        self._complete_given(at)
        for i, reason in self._skipped.items():
            if self._outcome[i] is IS_OPEN:
                self._skip(i, reason, IS_ABSENT, at)
        for i, blockers in enumerate(self._blockers):
            if not blockers and self._outcome[i] is IS_OPEN and not self._is_triggered[i]:
                self._trigger(i, at)

    def _complete_given(self, at: float) -> None:
        """The steps whose values another run has given; none of them is asked about, or skipped, because of another."""
        for i in self._given:
            self.state[i], self._outcome[i] = COMPLETED, IS_COMPLETED
        for i, given in self._given.items():
            self._events.append(
                happened.StepCompleted(
                    at=at,
                    step=self.names[i],
                    attempt=0,
                    origin=given.origin,
                    values=given.values,
                    fingerprint=given.fingerprint,
                    taken_from=given.taken_from,
                )
            )
            self._settle_completed(i, at)

    def _attempt_completed(self, signal: told.AttemptCompleted) -> None:
        i, attempt = signal.step, signal.attempt
        if self.state[i] is not RUNNING or self._attempt[i] != attempt:
            return
        self.state[i] = COMPLETED
        self._events.append(
            happened.StepCompleted(
                at=signal.at,
                step=self.names[i],
                attempt=attempt,
                origin=signal.origin,
                values=signal.values,
                fingerprint=signal.fingerprint,
                taken_from=signal.taken_from,
                stopped=signal.stop,
            )
        )
        if self._starts.limits:
            self._starts.give_back(i)
        if self._can_undo and not signal.taken_from:
            # What another run gave is not this one's to undo.
            self._undoable.append(i)
        self._settle_completed(i, signal.at)
        if signal.stop is not None and self._stop is None and not self._is_cancelling:
            self._stop_early(signal.stop, signal.at)

    def _attempt_failed(self, signal: told.AttemptFailed) -> None:
        i = signal.step
        if not self._is_current(i, signal.attempt):
            return
        self._starts.give_back(i)
        retry = self.steps[i].retry
        tried = signal.attempt - self._base_attempt[i]
        if (
            tried <= retry.retries
            and not signal.is_final
            and not self._is_cancelling
            and self._stop is None
            and retry.allows(signal.error.names)
        ):
            delay = signal.retry_after_s
            if delay is None:
                delay = retry.wait_s(tried, seed=f"{self._seed}/{self.names[i]}")
            self.state[i] = RETRYING
            self._events.append(
                happened.StepRetrying(
                    at=signal.at, step=self.names[i], attempt=signal.attempt, error=signal.error, delay_s=delay
                )
            )
            self._actions.append(told.SetTimer(i, signal.attempt, delay))
        else:
            self._fail(i, signal.attempt, signal.error, signal.at)

    def _attempt_cancelled(self, signal: told.AttemptCancelled) -> None:
        if self._is_current(signal.step, signal.attempt):
            self._starts.give_back(signal.step)
            self._cancel_step(signal.step, signal.at)

    def _attempt_output(self, signal: told.AttemptOutput) -> None:
        is_undoing = self._rollback is not None and self._rollback.current == (signal.step, signal.attempt)
        if is_undoing or self._is_current(signal.step, signal.attempt):
            self.has_shown = True
            self._events.append(
                happened.StepOutput(
                    at=signal.at, step=self.names[signal.step], attempt=signal.attempt, items=signal.items
                )
            )

    def _attempt_progress(self, signal: told.AttemptProgress) -> None:
        if self._is_current(signal.step, signal.attempt):
            self._events.append(
                happened.StepProgress(
                    at=signal.at,
                    step=self.names[signal.step],
                    attempt=signal.attempt,
                    done=signal.done,
                    total=signal.total,
                    note=signal.note,
                    elements=tuple(signal.elements),
                    values=signal.values,
                    key=signal.key,
                    whole=signal.whole,
                )
            )

    def _overdue(self, signal: told.Overdue) -> None:
        i = signal.step
        if self.state[i] is RETRYING:
            self._fail(i, self._attempt[i], signal.error, signal.at)

    def _wake(self, signal: told.Wake) -> None:  # noqa: ARG002 as all handlers
        self._starts.wake()

    def _retry_due(self, signal: told.RetryDue) -> None:
        i = signal.step
        if self._rollback is not None and self._rollback.current == (i, signal.attempt):
            self._actions += self._rollback.next()
        elif self.state[i] is RETRYING and signal.attempt == self._attempt[i]:
            self._starts.add(i)

    def _condition_evaluated(self, signal: told.ConditionEvaluated) -> None:
        i = signal.step
        if i not in self._evaluating or self._outcome[i] is not IS_OPEN:
            return
        self._evaluating.discard(i)
        policy = self.steps[i].on_condition_error
        if signal.error is not None and policy is OnConditionError.FAIL:
            self._fail(i, 0, signal.error, signal.at)
        elif signal.error is not None and policy is OnConditionError.SKIP:
            reason = f"its condition could not be evaluated: {signal.error}"
            self._skip(i, reason, IS_ABSENT, signal.at)
        elif signal.holds or signal.error is not None:
            self._conditional.discard(i)
            self._trigger(i, signal.at)
        else:
            self._skip(i, f"condition not met: {self.steps[i].when}", IS_ABSENT, signal.at)

    def _cancel(self, signal: told.Cancel) -> None:
        if self.run_state not in _UNDER_WAY or self._is_cancelling:
            return
        self._is_cancelling, self._cancel_reason = True, signal.reason
        self._events.append(happened.CancelRequested(at=signal.at, reason=signal.reason, is_timeout=self._is_timed_out))
        self._starts.clear()
        for i, state in enumerate(self.state):
            if state is RUNNING:
                self._actions.append(told.CancelAttempt(i, self._attempt[i]))
            elif self._outcome[i] is IS_OPEN:
                self._cancel_step(i, signal.at)

    def _timed_out(self, signal: told.TimedOut) -> None:
        if self.run_state in _UNDER_WAY and not self._is_cancelling:
            self._is_timed_out = True
            self._cancel(told.Cancel(signal.at, f"the flow took longer than its timeout of {signal.timeout_s:g} s"))

    def _pause(self, signal: told.Pause) -> None:
        if self.run_state is RunState.RUNNING and not self._is_cancelling:
            self.run_state = RunState.PAUSED
            self._events.append(happened.RunPaused(at=signal.at, reason=signal.reason))
            self._actions.append(told.Hold(is_held=True))

    def _unpause(self, signal: told.Unpause) -> None:
        if self.run_state is RunState.PAUSED:
            self.run_state = RunState.RUNNING
            self._events.append(happened.RunUnpaused(at=signal.at))
            self._actions.append(told.Hold(is_held=False))

    def _interrupt(self, signal: told.Interrupt) -> None:
        if not self.run_state.is_final:
            self._events.append(happened.RunInterrupted(at=signal.at, reason=signal.reason))

    def _answer(self, signal: told.Answer) -> None:
        i = signal.step
        if self.state[i] is not WAITING:
            return
        self._events.append(
            happened.StepAnswered(at=signal.at, step=self.names[i], approved=signal.approved, value=signal.value)
        )
        self.state[i] = PENDING
        if signal.approved:
            self._questions.pop(i, None)
            self._trigger(i, signal.at)
        else:
            self._fail(i, 0, happened.rejected(), signal.at)

    def _skip_asked(self, signal: told.Skip) -> None:
        i = signal.step
        is_open = self._outcome[i] is IS_OPEN and self.state[i] is not RUNNING
        if is_open and self.run_state in _UNDER_WAY and not self._is_cancelling:
            self._skip(i, signal.reason, IS_ABSENT, signal.at)


_HANDLERS: dict[type, Callable[[RunMachine, Any], None]] = {
    told.Begin: RunMachine._begin,
    told.AttemptCompleted: RunMachine._attempt_completed,
    told.AttemptFailed: RunMachine._attempt_failed,
    told.AttemptCancelled: RunMachine._attempt_cancelled,
    told.AttemptOutput: RunMachine._attempt_output,
    told.RetryDue: RunMachine._retry_due,
    told.ConditionEvaluated: RunMachine._condition_evaluated,
    told.Cancel: RunMachine._cancel,
    told.Pause: RunMachine._pause,
    told.Unpause: RunMachine._unpause,
    told.Interrupt: RunMachine._interrupt,
    told.Answer: RunMachine._answer,
    told.Skip: RunMachine._skip_asked,
    told.AttemptProgress: RunMachine._attempt_progress,
    told.Overdue: RunMachine._overdue,
    told.Wake: RunMachine._wake,
    told.RollbackEnded: RunMachine._rollback_ended,
    told.Reopen: RunMachine._reopen,
    told.TimedOut: RunMachine._timed_out,
}
