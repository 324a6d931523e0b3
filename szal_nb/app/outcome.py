"""What became of a notebook that was executed, and of its runs: for people, as JSON, and as the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from szal_nb.app.describing import duration_of, run_json, ways_on
from szal_nb.app.exit import ExitCode, exit_of_run
from szal_nb.app.printing import print_json, say
from szal_nb.errors import DefinitionError, RunFailed, RunWaits, StoreError
from szal_nb.model.duration import format_duration
from szal_nb.model.state import RunSnapshot, RunState, StepState
from szal_nb.store.runs import RunStore, StoredRun

if TYPE_CHECKING:
    from szal_nb.notebook.batch import BatchResult


def answer(
    arguments: argparse.Namespace, store: RunStore | None, runs: list[StoredRun], result: BatchResult | None
) -> ExitCode:
    """Says how it ended, for people or as JSON; the exit code is that of the first run that did not complete."""
    snapshots = {run.id: store.snapshot(run.id) for run in runs} if store is not None else {}
    code = exit_of(result, [(run, snapshots[run.id]) for run in runs])
    if arguments.json:
        document: dict[str, Any] = {
            "exit": int(code),
            "ended": code.reason,
            "store": str(store.path) if store else None,
        }
        document["runs"] = [run_json(run, snapshots[run.id]) for run in runs]
        if result is not None:
            document |= {
                "output": str(result.output),
                "error": result.error or None,
                "error_type": result.error_name or None,
            }
        print_json(document)
        return code
    for run in runs:
        print(_summary(run, snapshots[run.id]))
    if not runs:
        print("The notebook has no steps that were run; nothing was recorded.")
    if result is not None:
        if result.error and result.error_name not in _TOLD:
            say(f"{result.error_name}: {result.error}")
        print(f"  notebook  {result.output}")
    if store is not None:
        print(f"  store     {store.path}")
    for run in runs:
        for way in ways_on(run, snapshots[run.id]):
            print(f"  {way}")
    return code


# What the run itself tells, its steps and the ways on, tells these errors of its cell too.
_TOLD = {RunFailed.__name__, RunWaits.__name__}


def _summary(run: StoredRun, snapshot: RunSnapshot) -> str:
    counts = {state: sum(step.state is state for step in snapshot.steps.values()) for state in StepState}
    done = counts.pop(StepState.COMPLETED)
    others = "".join(f", {count} {state.value}" for state, count in counts.items() if count)
    seconds = duration_of(run)
    took = "" if seconds is None else f" in {format_duration(seconds)}"
    lines = [
        f"Run {run.id} of {run.flow}: {run.shown_state}{took}, {done} of {len(snapshot.steps)} steps completed{others}"
    ]
    lines += [f"  {step.name}: {step.error}" for step in snapshot.steps.values() if step.state is StepState.FAILED]
    if run.is_crashed:
        running = [step.name for step in snapshot.steps.values() if step.state is StepState.RUNNING]
        lines += [f"  {name}: was running" for name in running]
    lines += [
        f"  {step.name}: its rollback failed: {step.rollback_error}"
        for step in snapshot.steps.values()
        if step.rollback_error is not None
    ]
    return "\n".join(lines)


def exit_of(result: BatchResult | None, runs: Sequence[tuple[StoredRun, RunSnapshot]]) -> ExitCode:
    """The exit code for what became of a notebook (None: it was not executed) and of its runs."""
    ended = result.ended.name if result is not None else "COMPLETED"
    if ended == "KERNEL_DIED":
        return ExitCode.KERNEL_DIED
    if ended in ("INTERRUPTED", "TERMINATED"):
        return ExitCode.INTERRUPTED
    if ended == "TIMED_OUT":
        return ExitCode.TIMED_OUT
    for run, snapshot in runs:
        is_over = run.state.is_final or run.state is RunState.PAUSED
        if run.state is not RunState.COMPLETED and (is_over or ended == "COMPLETED"):
            return exit_of_run(run, snapshot)
    if ended == "FAILED" and result is not None:
        if result.error_name in _names_below(DefinitionError):
            return ExitCode.INVALID
        return ExitCode.USAGE if result.error_name in _names_below(StoreError) else ExitCode.FAILED
    return ExitCode.COMPLETED


def _names_below(family: type[BaseException]) -> set[str]:
    return {family.__name__}.union(*(_names_below(child) for child in family.__subclasses__()))
