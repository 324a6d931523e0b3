"""Writes runs without an engine: legal events, drawn by whoever knows how to choose."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

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
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.state import RunSnapshot
from szal_nb.model.step import Step
from szal_nb.model.transition import RUN_TRANSITIONS, STEP_TRANSITIONS
from szal_nb.model.value import ErrorInfo, Output, ValueRef
from szal_nb.store.projection import encode_turn, write_turn
from szal_nb.store.runs import NewRun

NAMES = ("load", "clean", "plot")


def graph_of(*names: str, flow: str = "sales", version: int = 1) -> FlowGraph:
    steps = tuple(Step(name=name, source=f"{name} = 1") for name in names or NAMES)
    return FlowGraph(
        flow=FlowDefinition(name=flow, version=version, steps=steps),
        nodes=tuple(StepNode(step=step, gives=(step.name,)) for step in steps),
    )


def new_run(run_id: str = "aaaaaaaaaaaa", *names: str, **fields: object) -> NewRun:
    return NewRun(run_id=run_id, graph=graph_of(*names), **fields)


def created(at: float = 1.0, names: Sequence[str] = NAMES, inputs: tuple[ValueRef, ...] = ()) -> RunCreated:
    return RunCreated(at=at, flow="sales", version=1, steps=tuple(names), inputs=inputs)


def begun(at: float = 1.0, names: Sequence[str] = NAMES) -> list[Event]:
    return [created(at, names), RunStarted(at=at)]


_ERROR = ErrorInfo(type="ValueError", message="no", traceback="line 1", names=("ValueError", "Exception"), line=1)


def _values(step: str) -> tuple[ValueRef, ...]:
    return (ValueRef(name=step, type="generator", live="a generator", identity="1.1", needed=True),)


_RUN_EVENTS: dict[type, Callable[[float, RunSnapshot], Event]] = {
    RunStarted: lambda at, _: RunStarted(at=at),
    RunPaused: lambda at, _: RunPaused(at=at, reason="lunch"),
    RunUnpaused: lambda at, _: RunUnpaused(at=at),
    RunCompleted: lambda at, _: RunCompleted(at=at),
    RunFailed: lambda at, _: RunFailed(at=at, reason="a step failed"),
    RunCancelled: lambda at, _: RunCancelled(at=at, reason="asked"),
    CancelRequested: lambda at, _: CancelRequested(at=at, reason="asked"),
    RollbackStarted: lambda at, _: RollbackStarted(at=at, reason="a step failed"),
    RunRolledBack: lambda at, _: RunRolledBack(at=at, reason="a step failed"),
    RunInterrupted: lambda at, _: RunInterrupted(at=at, reason="shut down"),
    RunResumed: lambda at, run: RunResumed(
        at=at, epoch=run.epoch + 1, reset=tuple(name for name, step in run.steps.items() if step.state != "completed")
    ),
}
_STEP_EVENTS: dict[type, Callable[[float, str, int], Event]] = {
    StepStarted: lambda at, step, n: StepStarted(at=at, step=step, attempt=n + 1),
    StepOutput: lambda at, step, n: StepOutput(
        at=at, step=step, attempt=n, items=(Output(type="stream", name="stdout", text="\ud800 x\x00"),)
    ),
    StepRetrying: lambda at, step, n: StepRetrying(at=at, step=step, attempt=n, error=_ERROR, delay_s=2.0),
    StepCompleted: lambda at, step, n: StepCompleted(at=at, step=step, attempt=n, values=_values(step)),
    StepFailed: lambda at, step, n: StepFailed(at=at, step=step, attempt=n, error=_ERROR),
    StepCancelled: lambda at, step, n: StepCancelled(at=at, step=step, attempt=n, reason="asked"),
    StepWaiting: lambda at, step, _: StepWaiting(at=at, step=step, message="go on?"),
    StepAnswered: lambda at, step, _: StepAnswered(at=at, step=step, approved=True, value="1"),
    StepProgress: lambda at, step, n: StepProgress(at=at, step=step, attempt=n, done=n, total=9.5, note="far"),
    StepRolledBack: lambda at, step, n: StepRolledBack(at=at, step=step, attempt=n),
    StepRollbackFailed: lambda at, step, n: StepRollbackFailed(at=at, step=step, attempt=n, error=_ERROR),
    StepSkipped: lambda at, step, _: StepSkipped(at=at, step=step, reason="its dependency failed"),
}


def legal_next(run: RunSnapshot, at: float) -> list[Event]:
    """Every event that may follow, one of each kind and step."""
    found = [make(at, run) for kind, make in _RUN_EVENTS.items() if (run.state, kind) in RUN_TRANSITIONS]
    if not run.state.is_final:
        found += [
            make(at, name, step.attempt)
            for name, step in run.steps.items()
            for kind, make in _STEP_EVENTS.items()
            if (step.state, kind) in STEP_TRANSITIONS
        ]
    return found


def story(choose: Callable[[int], int], length: int) -> list[Event]:
    """A legal run of at most `length` events; `choose(n)` picks one of n."""
    run = RunSnapshot()
    events: list[Event] = [created()]
    run.apply(events[0])
    for number in range(1, length):
        following = legal_next(run, 1.0 + number / 8)
        if not following:
            break
        event = following[choose(len(following))]
        run.apply(event)
        events.append(event)
    return events


def keep_events(connection: sqlite3.Connection, run_id: str, events: Sequence[Event]) -> None:
    """Makes these all the events that the store has of the run."""
    data, _ = encode_turn(events)
    connection.execute("DELETE FROM turns WHERE run_id = ?", (run_id,))
    write_turn(connection, run_id, 0, data)
