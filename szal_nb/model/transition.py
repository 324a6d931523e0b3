"""The states of runs and steps, and what may follow what."""

from __future__ import annotations

from enum import StrEnum

from szal_nb.model.event import (
    CancelRequested,
    RollbackStarted,
    RunCancelled,
    RunCompleted,
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
    StepFailed,
    StepOutput,
    StepProgress,
    StepRetrying,
    StepRollbackFailed,
    StepRolledBack,
    StepSkipped,
    StepStarted,
    StepWaiting,
)


class RunState(StrEnum):
    """Where a run is. `crashed` is not a state: it is read off the lease of a run that is not final."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"

    @property
    def is_final(self) -> bool:
        """Whether the run goes on only if it is resumed."""
        return self in FINAL_RUN


class StepState(StrEnum):
    """Where a step of a run is."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"

    @property
    def is_final(self) -> bool:
        """Whether the step goes on only if its run is resumed."""
        return self in _FINAL_STEP


FINAL_RUN = frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.ROLLED_BACK})
_FINAL_STEP = frozenset(
    {StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED, StepState.ROLLED_BACK}
)

_R, _S = RunState, StepState
RUN_TRANSITIONS: dict[tuple[RunState, type], RunState] = {
    (_R.CREATED, RunStarted): _R.RUNNING,
    (_R.RUNNING, RunPaused): _R.PAUSED,
    (_R.PAUSED, RunUnpaused): _R.RUNNING,
    (_R.RUNNING, RunCompleted): _R.COMPLETED,
    (_R.RUNNING, RunFailed): _R.FAILED,
    (_R.PAUSED, RunFailed): _R.FAILED,
    (_R.PAUSED, RunCompleted): _R.COMPLETED,
    (_R.RUNNING, RunCancelled): _R.CANCELLED,
    (_R.PAUSED, RunCancelled): _R.CANCELLED,
    (_R.RUNNING, RollbackStarted): _R.ROLLING_BACK,
    (_R.PAUSED, RollbackStarted): _R.ROLLING_BACK,
    (_R.ROLLING_BACK, RunRolledBack): _R.ROLLED_BACK,
    # A compensation failed: what the others undid is undone, but the run as a whole is not.
    (_R.ROLLING_BACK, RunFailed): _R.FAILED,
    (_R.ROLLING_BACK, RunInterrupted): _R.ROLLING_BACK,
    (_R.ROLLING_BACK, RunResumed): _R.ROLLING_BACK,
    # Going away or being asked to end changes no state by itself.
    (_R.RUNNING, CancelRequested): _R.RUNNING,
    (_R.PAUSED, CancelRequested): _R.PAUSED,
    (_R.CREATED, RunInterrupted): _R.CREATED,
    (_R.RUNNING, RunInterrupted): _R.RUNNING,
    (_R.PAUSED, RunInterrupted): _R.PAUSED,
    # A run goes on after its process died, or after it ended without completing.
    (_R.CREATED, RunResumed): _R.RUNNING,
    (_R.RUNNING, RunResumed): _R.RUNNING,
    (_R.PAUSED, RunResumed): _R.RUNNING,
    (_R.FAILED, RunResumed): _R.RUNNING,
    (_R.CANCELLED, RunResumed): _R.RUNNING,
}

STEP_TRANSITIONS: dict[tuple[StepState, type], StepState] = {
    (_S.PENDING, StepStarted): _S.RUNNING,
    (_S.RETRYING, StepStarted): _S.RUNNING,
    (_S.WAITING, StepStarted): _S.RUNNING,
    (_S.RUNNING, StepOutput): _S.RUNNING,
    (_S.RUNNING, StepRetrying): _S.RETRYING,
    (_S.RUNNING, StepCompleted): _S.COMPLETED,
    (_S.RUNNING, StepFailed): _S.FAILED,
    (_S.RUNNING, StepCancelled): _S.CANCELLED,
    (_S.RETRYING, StepCancelled): _S.CANCELLED,
    (_S.PENDING, StepWaiting): _S.WAITING,
    (_S.WAITING, StepAnswered): _S.PENDING,
    (_S.WAITING, StepCancelled): _S.CANCELLED,
    (_S.PENDING, StepCancelled): _S.CANCELLED,
    (_S.PENDING, StepSkipped): _S.SKIPPED,
    (_S.PENDING, StepFailed): _S.FAILED,
    (_S.RETRYING, StepFailed): _S.FAILED,
    (_S.RETRYING, StepSkipped): _S.SKIPPED,
    (_S.WAITING, StepSkipped): _S.SKIPPED,
    (_S.RUNNING, StepProgress): _S.RUNNING,
    # Undoing leaves the one final state that can be undone; what a compensation shows is shown with its step.
    (_S.COMPLETED, StepRolledBack): _S.ROLLED_BACK,
    (_S.COMPLETED, StepRollbackFailed): _S.COMPLETED,
    (_S.COMPLETED, StepOutput): _S.COMPLETED,
    # A value that another run or a person gave: no attempt of this run made it.
    (_S.PENDING, StepCompleted): _S.COMPLETED,
}
