"""Every fact about a run. Events are appended and never changed; the state of a run is their fold (`model.state`).

An event is a msgspec struct: cheap to make on the hot path, immutable, with a JSON form tagged by `kind`. `at` is in
seconds since the epoch. The run that an event belongs to is known by who holds it (journal, sink), not repeated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from szal_nb.model.value import ElementEnd, ErrorInfo, Output, ValueRef


class _Fact(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", gc=False):
    """What all events have."""

    at: float


class RunCreated(_Fact, frozen=True, tag="run.created"):
    """The run exists: its flow, its steps in document order, and what it took in from outside."""

    flow: str
    version: int = 1
    steps: tuple[str, ...] = ()
    inputs: tuple[ValueRef, ...] = ()


class RunStarted(_Fact, frozen=True, tag="run.started"):
    """The engine has begun to start steps."""


class RunPaused(_Fact, frozen=True, tag="run.paused"):
    """Nothing new starts until the run goes on; attempts under way end as they would."""

    reason: str = ""


class RunUnpaused(_Fact, frozen=True, tag="run.unpaused"):
    """A paused run goes on."""


class RunResumed(_Fact, frozen=True, tag="run.resumed"):
    """A run that had stopped goes on under `epoch`; the steps in `reset` are pending again.

    `rebuilt` are those of them that had completed but whose value was live and is needed again.
    """

    epoch: int
    reset: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    reason: str = ""


class RunInterrupted(_Fact, frozen=True, tag="run.interrupted"):
    """The process that owned the run is going away and says so; the run can be resumed.

    `owed`: it goes on in place of another run, which completed these steps: they are undone with it.
    """

    reason: str = ""
    owed: tuple[str, ...] = ()


class CancelRequested(_Fact, frozen=True, tag="run.cancel_requested"):
    """Somebody asked for the run to end, or its time is over; attempts under way are being told."""

    reason: str = ""
    is_timeout: bool = False


class RunCompleted(_Fact, frozen=True, tag="run.completed"):
    """Every step has ended and none failed (or those that failed were allowed to)."""

    reason: str = ""


class RunFailed(_Fact, frozen=True, tag="run.failed"):
    """Every step has ended and at least one failed."""

    reason: str = ""


class RunCancelled(_Fact, frozen=True, tag="run.cancelled"):
    """The run ended because it was asked to."""

    reason: str = ""


class RollbackStarted(_Fact, frozen=True, tag="run.rollback_started"):
    """What the run completed is being undone: `steps`, in this order. `reason` is why the run came to this.

    `end` is which end of the run it was: `model.flow.RollbackOn`.
    """

    steps: tuple[str, ...] = ()
    reason: str = ""
    end: str = "failure"


class RunRolledBack(_Fact, frozen=True, tag="run.rolled_back"):
    """All that was to be undone is undone."""

    reason: str = ""


class StepStarted(_Fact, frozen=True, tag="step.started"):
    """Attempt number `attempt` (1-based, counted over resumes) begins."""

    step: str
    attempt: int


class StepOutput(_Fact, frozen=True, tag="step.output"):
    """What a running attempt showed since the last such event."""

    step: str
    attempt: int
    items: tuple[Output, ...]


class StepRetrying(_Fact, frozen=True, tag="step.retrying"):
    """An attempt failed; the next begins after `delay_s` seconds."""

    step: str
    attempt: int
    error: ErrorInfo
    delay_s: float


class StepWaiting(_Fact, frozen=True, tag="step.waiting"):
    """The step waits for a person: for approval, or because it may not be run twice (`--once`)."""

    step: str
    message: str


class StepAnswered(_Fact, frozen=True, tag="step.answered"):
    """A person answered a waiting step; it may start (`approved`) or not. `value` is JSON text."""

    step: str
    approved: bool
    value: str | None = None


class StepCompleted(_Fact, frozen=True, tag="step.completed"):
    """The step is done and what it gave is kept. `origin`: ran, resumed, cached, replayed or given.

    `fingerprint` covers the step's code and the content of all that it read; "" where that cannot be told.
    `taken_from` is the run that the values come from, where the step did not run. `stopped`: the step ended the run
    early (`szal.stop`), for this reason.
    """

    step: str
    attempt: int
    origin: str = "ran"
    values: tuple[ValueRef, ...] = ()
    fingerprint: str = ""
    taken_from: str = ""
    stopped: str | None = None


class StepFailed(_Fact, frozen=True, tag="step.failed"):
    """The last attempt that the step had failed."""

    step: str
    attempt: int
    error: ErrorInfo


class StepSkipped(_Fact, frozen=True, tag="step.skipped"):
    """The step was not run, and why."""

    step: str
    reason: str


class StepCancelled(_Fact, frozen=True, tag="step.cancelled"):
    """The step was ended, or never begun (`attempt` 0), because the run was cancelled."""

    step: str
    attempt: int = 0
    reason: str = ""


class StepProgress(_Fact, frozen=True, tag="step.progress"):
    """How far a running attempt is, by its own account; for a mapped step the elements that have ended.

    `elements` are those that ended since the last such event; `values` hold what those of them gave that are `kept`:
    one element under a name such as `ys[3]`, or several in one value (`ys[0-99]`, see `engine.elements`). With a `key`
    the elements begin anew: it stands for the code and all that is read, and those that were kept under another key are
    of no use. `whole` says why from here on none is kept, nor those that were: once cut, the map runs again as a whole.
    """

    step: str
    attempt: int
    done: float
    total: float | None = None
    note: str = ""
    elements: tuple[ElementEnd, ...] = ()
    values: tuple[ValueRef, ...] = ()
    key: str = ""
    whole: str = ""


class StepRolledBack(_Fact, frozen=True, tag="step.rolled_back"):
    """Attempt number `attempt` of the step's compensation has undone it."""

    step: str
    attempt: int


class StepRollbackFailed(_Fact, frozen=True, tag="step.rollback_failed"):
    """An attempt of the step's compensation failed; the next begins after `delay_s`, or there is none (None)."""

    step: str
    attempt: int
    error: ErrorInfo
    delay_s: float | None = None


RunEvent = (
    RunCreated
    | RunStarted
    | RunPaused
    | RunUnpaused
    | RunResumed
    | RunInterrupted
    | CancelRequested
    | RunCompleted
    | RunFailed
    | RunCancelled
    | RollbackStarted
    | RunRolledBack
)
StepEvent = (
    StepStarted
    | StepOutput
    | StepRetrying
    | StepWaiting
    | StepAnswered
    | StepCompleted
    | StepFailed
    | StepSkipped
    | StepCancelled
    | StepProgress
    | StepRolledBack
    | StepRollbackFailed
)
Event = RunEvent | StepEvent


def rejected() -> ErrorInfo:
    """What a step fails with that a person did not approve."""
    return ErrorInfo(type="Rejected", message="a person refused this step")


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_many_decoder: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])


def kind_of(event: Event) -> str:
    """The event's stable name, such as `step.started`."""
    return str(event.__struct_config__.tag)


def to_json(event: Event) -> bytes:
    """The event as one JSON object, with its `kind`."""
    return _encoder.encode(event)


def from_json(data: bytes | str) -> Event:
    """The event that `to_json` wrote; `msgspec.ValidationError` for anything else."""
    return _decoder.decode(data)


def many_to_json(events: Sequence[Event]) -> bytes:
    """The events as one JSON array, each as `to_json` has it."""
    return _encoder.encode(events)


def many_from_json(data: bytes | str) -> list[Event]:
    """The events that `many_to_json` wrote; `msgspec.ValidationError` for anything else."""
    return _many_decoder.decode(data)


def step_events(events: Iterable[Event], step: str) -> list[StepEvent]:
    """The events of one step, in order."""
    return [event for event in events if isinstance(event, StepEvent) and event.step == step]
