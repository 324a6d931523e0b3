"""What the machine is told (signals) and what it asks for (actions). Steps are named by their index in the graph."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from szal_nb.model.event import Event
from szal_nb.model.value import ElementEnd, ErrorInfo, Output, ValueRef


class _Message(msgspec.Struct, frozen=True, gc=False):
    """What all signals and actions have in common: they are cheap and immutable."""


class Given(_Message, frozen=True):
    """What a step completes with, without running: values that the run `taken_from` had. `said` goes to its log."""

    origin: str
    values: tuple[ValueRef, ...] = ()
    fingerprint: str = ""
    taken_from: str = ""
    said: str = ""


class Begin(_Message, frozen=True):
    """The run starts, or goes on under `epoch` if the machine was made from a record."""

    at: float
    inputs: tuple[ValueRef, ...] = ()
    epoch: int = 1


class AttemptCompleted(_Message, frozen=True):
    """The body ended and what it gave is kept; or, of another `origin`, an earlier run has given it already.

    `stop`: the body asked for the run to end here, with this reason.
    """

    at: float
    step: int
    attempt: int
    values: tuple[ValueRef, ...] = ()
    stop: str | None = None
    fingerprint: str = ""
    origin: str = "ran"
    taken_from: str = ""


class AttemptFailed(_Message, frozen=True):
    """The body raised, timed out or could not be begun. `retry_after_s`: the body itself asked for this wait."""

    at: float
    step: int
    attempt: int
    error: ErrorInfo
    retry_after_s: float | None = None
    is_final: bool = False


class AttemptCancelled(_Message, frozen=True):
    """The body ended because it was told to, or was abandoned after its grace time."""

    at: float
    step: int
    attempt: int


class AttemptOutput(_Message, frozen=True):
    """The body showed something."""

    at: float
    step: int
    attempt: int
    items: tuple[Output, ...]


class AttemptProgress(_Message, frozen=True):
    """The body said how far it is. `elements` and what follows: of a mapped step, as in `model.event.StepProgress`."""

    at: float
    step: int
    attempt: int
    done: float
    total: float | None = None
    note: str = ""
    elements: Sequence[ElementEnd] = ()
    values: tuple[ValueRef, ...] = ()
    key: str = ""
    whole: str = ""


class RetryDue(_Message, frozen=True):
    """The wait before a retry is over."""

    at: float
    step: int
    attempt: int


class ConditionEvaluated(_Message, frozen=True):
    """The answer to `EvaluateCondition`: true, false, or the error that kept it from being known."""

    at: float
    step: int
    holds: bool
    error: ErrorInfo | None = None


class Cancel(_Message, frozen=True):
    """Somebody wants the run to end."""

    at: float
    reason: str = ""


class Pause(_Message, frozen=True):
    """Somebody wants nothing new to start."""

    at: float
    reason: str = ""


class Unpause(_Message, frozen=True):
    """Somebody wants a paused run to go on."""

    at: float


class Interrupt(_Message, frozen=True):
    """The process is going away."""

    at: float
    reason: str = ""


class Answer(_Message, frozen=True):
    """A person answers a waiting step. `value` is JSON text."""

    at: float
    step: int
    approved: bool
    value: str | None = None


class Skip(_Message, frozen=True):
    """Somebody wants the run to go on without a step that has not begun, or waits for its next attempt."""

    at: float
    step: int
    reason: str = ""


class Overdue(_Message, frozen=True):
    """The step took longer in all than it may, while it waited for its next attempt."""

    at: float
    step: int
    error: ErrorInfo


class Wake(_Message, frozen=True):
    """A rate limit may have room again."""

    at: float


class RollbackEnded(_Message, frozen=True):
    """An attempt of a compensation is over, with this error if it failed; it may ask itself for a wait."""

    at: float
    step: int
    attempt: int
    error: ErrorInfo | None = None
    retry_after_s: float | None = None


class Reopen(_Message, frozen=True):
    """Somebody wants a step of a run that has ended, and what was skipped because of it, to be run again."""

    at: float
    step: int
    epoch: int = 1


class TimedOut(_Message, frozen=True):
    """The whole run took longer than its flow allows."""

    at: float
    timeout_s: float


Signal = (
    Begin
    | AttemptCompleted
    | AttemptFailed
    | AttemptCancelled
    | AttemptOutput
    | AttemptProgress
    | RetryDue
    | ConditionEvaluated
    | Cancel
    | Pause
    | Unpause
    | Interrupt
    | Answer
    | Skip
    | Overdue
    | Wake
    | RollbackEnded
    | Reopen
    | TimedOut
)


class StartAttempt(_Message, frozen=True):
    """Begin this attempt of this step."""

    step: int
    attempt: int


class CancelAttempt(_Message, frozen=True):
    """Tell this attempt to end."""

    step: int
    attempt: int


class SetTimer(_Message, frozen=True):
    """Send `RetryDue` after `delay_s` seconds."""

    step: int
    attempt: int
    delay_s: float


class SetDeadline(_Message, frozen=True):
    """The step's first attempt begins now; in all it may take this long."""

    step: int
    delay_s: float


class WakeAfter(_Message, frozen=True):
    """Send `Wake` after `delay_s` seconds."""

    delay_s: float


class StartRollback(_Message, frozen=True):
    """Begin this attempt of this step's compensation."""

    step: int
    attempt: int


class EvaluateCondition(_Message, frozen=True):
    """Evaluate the step's `--when` and send `ConditionEvaluated`."""

    step: int


class Hold(_Message, frozen=True):
    """Elements of mapped steps that run begin no more, or do so again: the run is paused, or goes on."""

    is_held: bool


class EndRun(_Message, frozen=True):
    """Nothing more will be asked for."""


Action = (
    StartAttempt
    | CancelAttempt
    | SetTimer
    | SetDeadline
    | WakeAfter
    | StartRollback
    | EvaluateCondition
    | Hold
    | EndRun
)


class Turn(msgspec.Struct, frozen=True):
    """What one call of the machine decided: events to record first, then actions to carry out."""

    events: list[Event]
    actions: list[Action]
