"""How a run ends, is stopped early, is undone, and is opened again. Part of the machine. Pure."""

from __future__ import annotations

from szal_nb.engine import signal as told
from szal_nb.engine.ledger import Ledger
from szal_nb.engine.outcome import (
    CANCELLED,
    IS_ABSENT,
    IS_COMPLETED,
    IS_OPEN,
    PENDING,
    ROLLED_BACK,
    RUNNING,
    SKIPPED,
    START,
    judge,
)
from szal_nb.engine.rollback import Rollback
from szal_nb.model import event as happened
from szal_nb.model.flow import RollbackOn
from szal_nb.model.state import RunState


class Ending(Ledger):
    """The rules about the run as a whole."""

    def _end(self, at: float) -> None:
        wish = self._kind_of_end()
        if wish is None:
            self.run_state = RunState.COMPLETED
            stopped = None if self._stop is None else f"stopped: {self._stop}" if self._stop else "stopped"
            self._events.append(happened.RunCompleted(at=at, reason=stopped or ""))
            self._actions.append(told.EndRun())
            return
        why = f"{', '.join(self._failures)} failed" if wish is RollbackOn.FAILURE else self._cancel_reason
        self._cancel_reason = why
        if self._can_undo and wish in self.graph.flow.rollback_on:
            self._undo(at, wish)
        elif wish is RollbackOn.CANCEL:
            self.run_state = RunState.CANCELLED
            self._events.append(happened.RunCancelled(at=at, reason=why))
            self._actions.append(told.EndRun())
        else:
            self._end_failed(at, why)

    def _kind_of_end(self) -> RollbackOn | None:
        """How the run comes to its end; None if it completes."""
        if self._is_timed_out:
            return RollbackOn.TIMEOUT
        if self._is_cancelling:
            return RollbackOn.CANCEL
        if self._failures:
            return RollbackOn.FAILURE
        # One step of a cancelled run has run again: what stays cancelled has not become something else.
        return RollbackOn.CANCEL if CANCELLED in self.state else None

    def _end_failed(self, at: float, why: str) -> None:
        self.run_state = RunState.FAILED
        self._events.append(happened.RunFailed(at=at, reason=why))
        self._actions.append(told.EndRun())

    def _undo(self, at: float, end: RollbackOn | None = None) -> None:
        """Begins to undo what this run completed, the last that completed first; goes on with it after a resume."""
        left = [i for i in reversed(self._undoable) if self.steps[i].rollback is not None]
        if end is not None:
            self.run_state = RunState.ROLLING_BACK
            names = tuple(self.names[i] for i in left)
            self._events.append(happened.RollbackStarted(at=at, steps=names, reason=self._cancel_reason, end=end.value))
        self._rollback = Rollback(self.steps, left, seed=self._seed)
        self._actions += self._rollback.next()
        self._end_rollback(at)

    def _rollback_ended(self, signal: told.RollbackEnded) -> None:
        if self._rollback is None:
            return
        events, actions = self._rollback.ended(signal, self._undone)
        self._events += events
        self._actions += actions
        self._end_rollback(signal.at)

    def _undone(self, i: int) -> None:
        self.state[i] = ROLLED_BACK

    def _end_rollback(self, at: float) -> None:
        if self._rollback is None or not self._rollback.is_done:
            return
        failed = [self.names[i] for i in self._rollback.failed]
        self._rollback = None
        if failed:
            self._end_failed(at, f"{self._cancel_reason}; {', '.join(failed)} could not be undone")
        else:
            self.run_state = RunState.ROLLED_BACK
            self._events.append(happened.RunRolledBack(at=at, reason=self._cancel_reason))
            self._actions.append(told.EndRun())

    def _reopen(self, signal: told.Reopen) -> None:
        """A run that failed or was cancelled goes on with one of its steps and what was skipped because of it."""
        if self.run_state not in (RunState.FAILED, RunState.CANCELLED) or self._outcome[signal.step] is IS_COMPLETED:
            return
        if ROLLED_BACK in self.state:
            # What the step needs may be undone. A resume begins with that.
            return
        # What a stop has skipped stays so, as after a resume.
        asked = self.wiring.downstream(signal.step) if self._stop is None else {signal.step}
        again = [i for i in asked if self._outcome[i] is not IS_COMPLETED]
        again = self.wiring.in_order(again)
        reset = tuple(self.names[i] for i in sorted(again))
        self._events.append(
            happened.RunResumed(
                at=signal.at, epoch=signal.epoch, reset=reset, reason=f"{self.names[signal.step]} again"
            )
        )
        self.run_state = RunState.RUNNING
        # Who ended while it waited for room may stand in the queue still.
        self._starts.clear()
        self._is_cancelling = self._is_timed_out = False
        self._failures = [name for name in self._failures if name not in reset]
        for i in again:
            self.state[i], self._outcome[i] = PENDING, IS_OPEN
            self._is_triggered[i] = False
            self._base_attempt[i] = self._attempt[i]
        self._open_count = len(again)
        self._evaluating.difference_update(again)
        self._conditional.update(self.wiring.conditional.intersection(again))
        for i in again:
            self._blockers[i] = sum(self._outcome[source] is IS_OPEN for source in self.wiring.sources[i])
        for i in again:
            self._judge_again(i, signal.at)

    def _judge_again(self, i: int, at: float) -> None:
        """What the ends of the steps that are not run again mean for step `i`."""
        if self._outcome[i] is not IS_OPEN or self._is_triggered[i]:
            return
        verdict = START if not self._blockers[i] else None
        for source in self.wiring.sources[i]:
            if self._outcome[source] is IS_OPEN:
                continue
            _, is_blocking, is_value_needed = next(edge for edge in self.wiring.successors[source] if edge[0] == i)
            found = judge(
                self.steps[i].trigger,
                self.names[source],
                self.state[source],
                self._outcome[source],
                is_last=self._blockers[i] == 0,
                is_blocking=is_blocking,
                is_value_needed=is_value_needed,
            )
            if found is not None and found != START:
                verdict = found
                break
            verdict = found or verdict
        if verdict == START:
            self._trigger(i, at)
        elif verdict is not None:
            self._skip(i, *verdict, at)

    def _stop_early(self, reason: str, at: float) -> None:
        """A step has asked for the run to end: what has not begun is skipped, what runs goes on to its end."""
        self._stop = reason
        self._starts.clear()
        for i in self.wiring.order:
            if self._outcome[i] is IS_OPEN and self.state[i] is not RUNNING:
                self.state[i] = SKIPPED
                text = f"the run was stopped: {reason}" if reason else "the run was stopped"
                self._events.append(happened.StepSkipped(at=at, step=self.names[i], reason=text))
                self._outcome[i] = IS_ABSENT
                self._open_count -= 1
