"""A run of this or another kernel goes on: which one, whether its steps are still the same, and what is said of it."""

from __future__ import annotations

from pathlib import Path

from szal_nb.analysis.doubt import doubted
from szal_nb.engine.replay import ResumePlan
from szal_nb.errors import InvalidStep, StoreError
from szal_nb.model.graph import FlowGraph
from szal_nb.store.moved import notebook_of
from szal_nb.store.runs import RunStore, StoredRun

_OPEN = {"crashed", "failed", "cancelled", "paused"}


def newest_open(store: RunStore, flow: str, notebook: Path | None) -> StoredRun:
    """The newest run of the flow that can go on: of this notebook, if one of its own can.

    One that failed because its answer is in doubt is named for want of another. Raises RunOwned if there are none but
    such as are being run, StoreError if there are none.
    """
    runs = store.runs(flow=flow)
    found = [run for run in runs if run.shown_state in _OPEN or run.is_orphaned]
    alive = next((run for run in runs if run.is_owned and not run.is_orphaned), None)
    if not found:
        if alive is not None:
            store.end_orphan_of(alive.id)
        raise StoreError(f"No run of flow {flow!r} in {store.path} can go on; %szal_runs lists what is there.")
    own = [run for run in found if notebook is not None and notebook_of(run, store.path) == notebook] or found
    chosen = next((run for run in own if doubted(store.snapshot(run.id)) is None), own[0])
    if alive is not None and runs.index(alive) < runs.index(chosen):
        text = f"Run {alive.id} is newer, and is being run by {alive.owner}: run {chosen.id} goes on."
        print(text)  # noqa: T201 - for the reader of the cell
    return chosen


def not_here(run: StoredRun) -> str:
    """What is said to who asks this kernel for a run of another one."""
    how = f"it is {run.shown_state}"
    if run.is_owned:
        how = f"{run.owner} runs it, and there it is cancelled"
    elif run.shown_state in _OPEN:
        how += f"; %szal_resume {run.id} goes on with it"
    return f"Run {run.id} is not going on in this kernel: {how}. %szal_show {run.id} shows it."


def check_unchanged(run_id: str, recorded: FlowGraph, graph: FlowGraph) -> None:
    """Raises InvalidStep if a step is not what the run ran."""
    before, now = _sources(recorded), _sources(graph)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        raise InvalidStep(
            changed[0],
            f"it is not what run {run_id} ran.",
            "Undo the change: a run goes on only with the steps that it began with. Or give the flow a new --version "
            f"and carry the run there (%szal_migrate plan {run_id}), or begin anew with what is unchanged "
            f"(%szal_run --reuse {run_id}).",
        )


def _sources(graph: FlowGraph) -> dict[str, tuple[str, str]]:
    """The code of each step, and of what undoes it."""
    return {
        node.step.name: (node.step.source, node.step.rollback.source if node.step.rollback is not None else "")
        for node in graph.nodes
    }


def say_going_on(plan: ResumePlan) -> None:
    """Tells the reader of the cell what is kept and what runs."""
    text = f"Going on: {', '.join(plan.kept) or 'nothing'} kept, {', '.join(plan.reset)} to run."
    if plan.rebuilt:
        why = "their values lived in the process that died, or are not in the store any more, or cannot be read here"
        text += f" Rebuilt, because {why}: {', '.join(plan.rebuilt)}."
    for step, count in plan.begun:
        text += f" {step} goes on after {count:,} element{'s' * (count != 1)}."
    for state, steps in plan.out_of_order.items():
        text += (
            f" Steps that come after {', '.join(steps)} have used {state} before, and would have found it otherwise in "
            f"a run from the top: --reuse, in a new run, runs them again."
        )
    print(text)  # noqa: T201 - for the reader of the cell
