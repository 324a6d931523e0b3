"""Whether the last run of a notebook was left unfinished, found out without making a store and without delay."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from szal_nb.errors import SzalError
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunState, StepState, fold
from szal_nb.notebook.report import Report
from szal_nb.store.moved import notebook_of
from szal_nb.store.runs import RunStore

# Among so many of the newest runs a notebook's own is looked for.
_LOOKED_AT = 100


@dataclass(frozen=True)
class CrashedRun:
    """The newest run, whose process died before it ended, as its store has it."""

    run_id: str
    graph: FlowGraph
    events: list[Event]
    store: Path

    def told(self) -> Report:
        """What happened and what to do, in a line."""
        snapshot = fold(self.events)
        steps = snapshot.steps.values()
        how = "was left while it was paused" if snapshot.state is RunState.PAUSED else "did not end: its kernel died"
        completed = sum(step.state is StepState.COMPLETED for step in steps)
        flow = self.graph.flow.name
        text = (
            f"Run {self.run_id} of flow {flow!r} {how} when {completed} of {len(steps)} steps had completed. "
            f"Execute the cells of its steps, then %szal_resume {self.run_id} goes on from there."
        )
        return Report(text, f"<p>{html.escape(text)}</p>")


def crashed_run(store: Path, *, flow: str | None = None, notebook: Path | None = None) -> CrashedRun | None:
    """The newest run (of `flow`, or of `notebook`) if it crashed. A store that is not there or cannot be read has none.

    An offer that nobody asked for must never stand in the way: what is wrong with a store is left to those who use it.
    """
    if not store.is_file():
        return None
    try:
        with RunStore.open(store, read_only=True) as record:
            runs = record.runs(flow=flow, limit=1 if notebook is None else _LOOKED_AT)
            run = next((run for run in runs if notebook is None or notebook_of(run, store) == notebook), None)
            if run is None or not run.is_left:
                return None
            return CrashedRun(run.id, record.graph(run.id), record.events(run.id), store)
    except (SzalError, OSError):
        return None
