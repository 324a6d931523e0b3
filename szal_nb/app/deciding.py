"""What a person decides about a run that no process at hand is asked for: its record takes the decision down.

Each function says in a line what it did, and refuses with what to do instead.
"""

from __future__ import annotations

import os
import signal
import time

from szal_nb.errors import RunError
from szal_nb.model.event import CancelRequested, RunCancelled, RunResumed, StepAnswered, StepCancelled
from szal_nb.model.state import RunState, StepState
from szal_nb.store.collect import collect, not_deleted
from szal_nb.store.owner import is_alive
from szal_nb.store.runs import RunStore, StoredRun


def answer_step(store: RunStore, run_id: str, step: str, *, approved: bool, value: str | None = None) -> str:
    """Records a person's answer to a step of a run that nobody runs at the moment. `value` is JSON text."""
    run = store.run(run_id)
    steps = store.snapshot(run.id).steps
    check_step(run.id, step, list(steps))
    state = steps[step].state
    if state is not StepState.WAITING:
        raise RunError(f"Step {step!r} of run {run.id} waits for nobody: it is {state}.")
    if run.is_owned:
        raise RunError(f"Run {run.id} is being run ({run.owner}). Answer it there: run.approve({step!r}).")
    journal = store.take_over(run.id)
    try:
        journal.append_sync([StepAnswered(at=time.time(), step=step, approved=approved, value=value)])
    finally:
        journal.close()
    answered = "approved" if approved else "rejected"
    return f"Step {step} of run {run.id} is {answered}. To go on: szal resume {run.id}"


def cancel_run(store: RunStore, run: StoredRun) -> str:
    """Asks the process that launched a run to end it, or puts a crashed one down as cancelled."""
    if run.state.is_final:
        return f"Run {run.id} is {run.state.value} already."
    if run.is_left and run.state is RunState.ROLLING_BACK:
        raise RunError(f"Run {run.id} is being undone already, and its process is gone: szal resume {run.id}")
    if run.is_left:
        _cancel_left(store, run)
        return f"Run {run.id} is cancelled. Its process was gone already."
    if run.launcher is not None and run.launcher.is_near and is_alive(run.launcher):
        os.kill(run.launcher.pid, signal.SIGINT)
        return f"Run {run.id} was asked to end."
    raise RunError(f"Run {run.id} is being run by a notebook's kernel ({run.owner}). Cancel it there.")


def delete_run(store: RunStore, run_id: str) -> str:
    """Deletes a run that has ended, with the values that no other run names."""
    if not collect(store, [run_id]).runs:
        raise RunError(not_deleted(run_id))
    return f"Run {run_id} is deleted."


def check_step(run_id: str, step: str | None, steps: list[str]) -> None:
    """Raises RunError for a step that the run does not have."""
    if step is not None and step not in steps:
        raise RunError(f"Run {run_id} has no step {step!r}; it has {', '.join(steps)}.")


def _cancel_left(store: RunStore, run: StoredRun) -> None:
    journal = store.take_over(run.id)
    try:
        snapshot, now = store.snapshot(run.id), time.time()
        resumed = [RunResumed(at=now, epoch=journal.epoch)] if snapshot.state is RunState.CREATED else []
        open_steps = [step for step in snapshot.steps.values() if not step.state.is_final]
        journal.append_sync(
            [
                *resumed,
                CancelRequested(at=now, reason="szal cancel"),
                *(StepCancelled(at=now, step=step.name, attempt=step.attempt) for step in open_steps),
                RunCancelled(at=now, reason="szal cancel"),
            ]
        )
    finally:
        journal.close()
