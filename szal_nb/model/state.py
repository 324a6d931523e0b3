"""The fold of events into the state of a run.

It is the only definition of a run's state: the store's tables, the picture and the machine agree with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from szal_nb.errors import IllegalTransition
from szal_nb.model.event import (
    CancelRequested,
    Event,
    RollbackStarted,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunRolledBack,
    RunStarted,
    RunUnpaused,
    StepAnswered,
    StepCancelled,
    StepCompleted,
    StepEvent,
    StepFailed,
    StepOutput,
    StepProgress,
    StepRetrying,
    StepRollbackFailed,
    StepRolledBack,
    StepSkipped,
    StepStarted,
    StepWaiting,
    kind_of,
)
from szal_nb.model.transition import FINAL_RUN, RUN_TRANSITIONS, STEP_TRANSITIONS, RunState, StepState
from szal_nb.model.value import ElementEnd, ErrorInfo, ValueRef

__all__ = ["AttemptSnapshot", "RunSnapshot", "RunState", "StepSnapshot", "StepState", "fold", "not_begun"]


# The same by event, for the hot path of the fold.
_STEP_NEXT: dict[type, dict[StepState, StepState]] = {}
for (_state, _event), _next in STEP_TRANSITIONS.items():
    _STEP_NEXT.setdefault(_event, {})[_state] = _next
_MAY_START, _MAY_COMPLETE = _STEP_NEXT[StepStarted], _STEP_NEXT[StepCompleted]
# Looking up a member on its enum costs as much as the rest of what it is needed for here.
_RUNNING, _COMPLETED = StepState.RUNNING, StepState.COMPLETED


# Of all steps that are not mapped.
NO_ELEMENTS: Mapping[int, ElementEnd] = MappingProxyType({})


class AttemptSnapshot(msgspec.Struct, kw_only=True, gc=False):
    """One try of a step. `state`: running, completed, failed, cancelled, or lost (its process died)."""

    number: int
    state: str = "running"
    started_at: float = 0.0
    ended_at: float | None = None
    error: ErrorInfo | None = None


class StepSnapshot(msgspec.Struct, kw_only=True, gc=False):
    """A step of a run at one moment. `former` is what it gave before it was rebuilt, until it has completed again."""

    name: str
    state: StepState = StepState.PENDING
    attempts: tuple[AttemptSnapshot, ...] = ()
    origin: str | None = None
    reason: str = ""
    error: ErrorInfo | None = None
    values: tuple[ValueRef, ...] = ()
    former: tuple[ValueRef, ...] = ()
    fingerprint: str = ""
    taken_from: str = ""
    stopped: str | None = None
    answer: str | None = None
    is_approved: bool = False
    retry_at: float | None = None
    done: float | None = None
    total: float | None = None
    note: str = ""
    elements: Mapping[int, ElementEnd] = NO_ELEMENTS
    element_values: tuple[ValueRef, ...] = ()
    elements_key: str = ""
    elements_whole: str = ""
    rollback_attempts: int = 0
    rollback_error: ErrorInfo | None = None

    @property
    def on_record(self) -> tuple[ValueRef, ...]:
        """What it gave, also while it is made again."""
        return self.values or self.former

    @property
    def kept_elements(self) -> Mapping[int, ElementEnd]:
        """The elements of a mapped step that need not run again when the step does, by position."""
        return {n: end for n, end in self.elements.items() if end.kept} if self.element_values else NO_ELEMENTS

    @property
    def failed_elements(self) -> list[ElementEnd]:
        """The elements of a mapped step that failed, in their order."""
        failed = (end for end in self.elements.values() if end.error)
        return sorted(failed, key=lambda end: end.position) if self.elements else []

    @property
    def attempt(self) -> int:
        """The number of the newest attempt; 0 before the first."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def started_at(self) -> float | None:
        """When the newest attempt began."""
        return self.attempts[-1].started_at if self.attempts else None

    @property
    def ended_at(self) -> float | None:
        """When the newest attempt ended."""
        return self.attempts[-1].ended_at if self.attempts else None

    @property
    def duration_s(self) -> float | None:
        """Seconds that the newest attempt took, once it ended."""
        if not self.attempts or self.attempts[-1].ended_at is None:
            return None
        # Clocks are set back.
        return max(0.0, self.attempts[-1].ended_at - self.attempts[-1].started_at)


class RunSnapshot(msgspec.Struct, kw_only=True):
    """A run at one moment: the fold of its events so far. Changed only by `apply`.

    `undone_on` is the end of the run that its rollback began with, as `model.flow.RollbackOn` has it; `owed` are steps
    that are undone with it although another run completed them, in whose place it goes on.
    """

    flow: str = ""
    version: int = 1
    state: RunState = RunState.CREATED
    steps: dict[str, StepSnapshot] = {}
    inputs: tuple[ValueRef, ...] = ()
    reason: str = ""
    is_cancelling: bool = False
    is_interrupted: bool = False
    is_timed_out: bool = False
    undone_on: str = ""
    owed: frozenset[str] = frozenset()
    epoch: int = 1
    created_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    events: int = 0

    def apply(self, event: Event) -> None:
        """Takes in the next event; `IllegalTransition`, with nothing changed, if it does not fit."""
        _APPLY[type(event)](self, event)
        self.events += 1

    def apply_all(self, events: Iterable[Event]) -> None:
        """Takes in the next events; stops at the first that does not fit, as `apply` does."""
        for event in events:
            _APPLY[type(event)](self, event)
            self.events += 1

    def is_to_be_undone(self, step: str) -> bool:
        """Whether this run undoes the step, if it is undone: it has completed it, and not taken it from another."""
        found = self.steps[step]
        is_own = step in self.owed or (found.attempt > 0 and not found.taken_from)
        return found.state is StepState.COMPLETED and is_own


def not_begun(flow: str, version: int, steps: Iterable[str]) -> RunSnapshot:
    """A run that will be created with these steps, before its first event."""
    return RunSnapshot(flow=flow, version=version, steps={name: StepSnapshot(name=name) for name in steps})


def fold(events: Iterable[Event]) -> RunSnapshot:
    """The state of a run after `events`, which begin with its creation."""
    snapshot = RunSnapshot()
    snapshot.apply_all(events)
    return snapshot


def _created(run: RunSnapshot, event: RunCreated) -> None:
    if run.events:
        raise IllegalTransition("The run", run.state, kind_of(event))
    run.flow, run.version, run.inputs = event.flow, event.version, event.inputs
    if tuple(run.steps) != event.steps:
        run.steps = {name: StepSnapshot(name=name) for name in event.steps}
    run.created_at = event.at


def _move_run(run: RunSnapshot, event: Event) -> None:
    state = RUN_TRANSITIONS.get((run.state, type(event))) if run.events else None
    if state is None:
        raise IllegalTransition("The run", run.state, kind_of(event))
    run.state = state


def _run_moved(run: RunSnapshot, event: RunPaused | RunUnpaused) -> None:
    _move_run(run, event)
    run.reason = getattr(event, "reason", "")


def _run_started(run: RunSnapshot, event: RunStarted) -> None:
    _move_run(run, event)
    run.started_at = event.at


def _run_ended(run: RunSnapshot, event: RunCompleted | RunFailed | RunCancelled | RunRolledBack) -> None:
    _move_run(run, event)
    run.ended_at, run.reason, run.is_cancelling = event.at, event.reason, False


def _rollback_started(run: RunSnapshot, event: RollbackStarted) -> None:
    _move_run(run, event)
    run.reason, run.is_cancelling, run.undone_on = event.reason, False, event.end


def _run_interrupted(run: RunSnapshot, event: RunInterrupted) -> None:
    _move_run(run, event)
    run.is_interrupted, run.reason, run.owed = True, event.reason, run.owed.union(event.owed)


def _cancel_requested(run: RunSnapshot, event: CancelRequested) -> None:
    _move_run(run, event)
    run.is_cancelling, run.is_timed_out, run.reason = True, event.is_timeout, event.reason


def _run_resumed(run: RunSnapshot, event: RunResumed) -> None:
    unknown = [name for name in (*event.reset, *event.rebuilt) if name not in run.steps]
    if unknown:
        raise IllegalTransition(f"Step {unknown[0]!r}", "unknown", kind_of(event))
    _move_run(run, event)
    run.epoch, run.ended_at, run.reason = event.epoch, None, event.reason
    run.is_interrupted = run.is_cancelling = False
    if run.state is not RunState.ROLLING_BACK:
        run.is_timed_out, run.undone_on = False, ""
    run.started_at = run.started_at or event.at
    for step in run.steps.values():
        if step.state is StepState.COMPLETED:
            step.origin = "resumed"
    for name in event.rebuilt:
        run.steps[name].former = run.steps[name].former or run.steps[name].values
    for name in event.reset:
        step = run.steps[name]
        if step.attempts and step.attempts[-1].ended_at is None:
            step.attempts[-1].state, step.attempts[-1].ended_at = "lost", event.at
        step.state, step.reason, step.error, step.origin = StepState.PENDING, "", None, None
        step.values, step.retry_at, step.done, step.total, step.note = (), None, None, None, ""
        step.rollback_attempts, step.rollback_error, step.elements = 0, None, step.kept_elements
        step.fingerprint, step.taken_from, step.stopped = "", "", None


def _move_step(run: RunSnapshot, event: StepEvent) -> StepSnapshot:
    step = run.steps.get(event.step)
    if step is None:
        raise IllegalTransition(f"Step {event.step!r}", "unknown", kind_of(event))
    state = _STEP_NEXT[type(event)].get(step.state)
    if state is None or run.state in FINAL_RUN:
        where = step.state if state is None else f"of a run that is {run.state}"
        raise IllegalTransition(f"Step {step.name!r}", where, kind_of(event))
    step.state = state
    return step


def _step_started(run: RunSnapshot, event: StepStarted) -> None:
    # The two events of every step go without the call of `_move_step`: half the cost of their fold.
    step = run.steps.get(event.step)
    if step is None or step.state not in _MAY_START or run.state in FINAL_RUN:
        step = _move_step(run, event)
    step.state = _RUNNING
    attempt = AttemptSnapshot(number=event.attempt, started_at=event.at)
    if not step.attempts:
        step.attempts = (attempt,)
        return
    step.attempts += (attempt,)
    step.retry_at = step.done = step.total = None
    if step.elements:
        step.elements = step.kept_elements


def _step_output(run: RunSnapshot, event: StepOutput) -> None:
    _move_step(run, event)


def _step_progress(run: RunSnapshot, event: StepProgress) -> None:
    step = _move_step(run, event)
    step.done, step.total, step.note = event.done, event.total, event.note
    if event.key:
        step.elements, step.element_values, step.elements_key, step.elements_whole = {}, (), event.key, ""
    if event.whole:
        step.element_values, step.elements_whole = (), event.whole
    if event.values:
        step.element_values += event.values
    if event.elements:
        elements = step.elements if isinstance(step.elements, dict) else {}
        elements.update((element.position, element) for element in event.elements)
        step.elements = elements


def _step_rolled_back(run: RunSnapshot, event: StepRolledBack) -> None:
    step = _move_step(run, event)
    step.rollback_attempts, step.rollback_error = event.attempt, None


def _step_rollback_failed(run: RunSnapshot, event: StepRollbackFailed) -> None:
    step = _move_step(run, event)
    step.rollback_attempts, step.rollback_error = event.attempt, event.error


def _end_attempt(step: StepSnapshot, state: str, at: float, error: ErrorInfo | None = None) -> None:
    if step.attempts and step.attempts[-1].ended_at is None:
        attempt = step.attempts[-1]
        attempt.state, attempt.ended_at, attempt.error = state, at, error


def _step_retrying(run: RunSnapshot, event: StepRetrying) -> None:
    step = _move_step(run, event)
    _end_attempt(step, "failed", event.at, event.error)
    step.error, step.retry_at = event.error, event.at + event.delay_s


def _step_waiting(run: RunSnapshot, event: StepWaiting) -> None:
    _move_step(run, event).reason = event.message


def _step_answered(run: RunSnapshot, event: StepAnswered) -> None:
    step = _move_step(run, event)
    step.reason, step.answer, step.is_approved = "", event.value, event.approved


def _step_completed(run: RunSnapshot, event: StepCompleted) -> None:
    step = run.steps.get(event.step)
    if step is None or step.state not in _MAY_COMPLETE or run.state in FINAL_RUN:
        step = _move_step(run, event)
    step.state = _COMPLETED
    if step.attempts:
        attempt = step.attempts[-1]
        if attempt.ended_at is None:
            attempt.state, attempt.ended_at = "completed", event.at
    step.error, step.values, step.origin = None, event.values, event.origin
    step.fingerprint, step.taken_from = event.fingerprint, event.taken_from
    if event.stopped is not None:
        step.stopped = event.stopped
        step.reason = f"it stopped the run: {event.stopped}" if event.stopped else "it stopped the run"
    if step.former:
        step.former = ()
    if step.element_values:
        # What the step gave holds it all.
        step.element_values = ()


def _step_failed(run: RunSnapshot, event: StepFailed) -> None:
    step = _move_step(run, event)
    _end_attempt(step, "failed", event.at, event.error)
    step.error = event.error


def _step_skipped(run: RunSnapshot, event: StepSkipped) -> None:
    _move_step(run, event).reason = event.reason


def _step_cancelled(run: RunSnapshot, event: StepCancelled) -> None:
    step = _move_step(run, event)
    _end_attempt(step, "cancelled", event.at)
    step.reason, step.retry_at = event.reason, None


_APPLY: dict[type, Callable[[RunSnapshot, Any], None]] = {
    RunCreated: _created,
    RunStarted: _run_started,
    RunPaused: _run_moved,
    RunUnpaused: _run_moved,
    RunResumed: _run_resumed,
    RunInterrupted: _run_interrupted,
    CancelRequested: _cancel_requested,
    RunCompleted: _run_ended,
    RunFailed: _run_ended,
    RunCancelled: _run_ended,
    RollbackStarted: _rollback_started,
    RunRolledBack: _run_ended,
    StepStarted: _step_started,
    StepOutput: _step_output,
    StepRetrying: _step_retrying,
    StepWaiting: _step_waiting,
    StepAnswered: _step_answered,
    StepCompleted: _step_completed,
    StepFailed: _step_failed,
    StepSkipped: _step_skipped,
    StepCancelled: _step_cancelled,
    StepProgress: _step_progress,
    StepRolledBack: _step_rolled_back,
    StepRollbackFailed: _step_rollback_failed,
}
