"""Past runs in a notebook: replayed under a cell, their values given on request; reasons and differences to read."""

from __future__ import annotations

import html
from typing import Any

from IPython.core.error import UsageError
from IPython.display import display

from szal_nb.analysis.comparison import RunDiff
from szal_nb.analysis.explaining import Explanation, describe_place
from szal_nb.analysis.migration import MigrationPlan
from szal_nb.api.past import replay, why
from szal_nb.api.run import Run
from szal_nb.notebook.binding import Binder, Bound
from szal_nb.notebook.own_names import OwnNames
from szal_nb.notebook.report import Report, one_run
from szal_nb.notebook.runs import Runs
from szal_nb.notebook.session import Session
from szal_nb.store.runs import RunStore


class PastRun:
    """A past run in a notebook: all that a `Run` has; `bind()` gives its values to the notebook."""

    def __init__(self, run: Run, own: OwnNames) -> None:
        self._run = run
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def __getitem__(self, step: str) -> Any:
        return self._run[step]

    def __repr__(self) -> str:
        return repr(self._run)

    def bind(self) -> Bound:
        """Binds the values of the run under their names, also over what the notebook has there."""
        return Binder(self._own, self._run.names()).bind(self._run, force=True)

    def show(self) -> None:
        """The picture of the run, and what each step showed, headed by its name."""
        run = self._run
        display(one_run(run.graph, run.snapshot, run.id))
        for name in run.snapshot.steps:
            outputs = run.outputs(name)
            if outputs:
                display(Report(f"── {name}", f"<b>{html.escape(name)}</b>"))
            for output in outputs:
                if output.type == "stream":
                    print(output.text, end="")  # noqa: T201 - what the step printed
                elif output.data:
                    display(output.data, metadata=output.metadata, raw=True)

    def _ipython_display_(self) -> None:
        print(repr(self))  # noqa: T201 - the cell that replayed it shows the rest


def replayed(store: RunStore, run_id: str, own: OwnNames, *, trust: bool) -> PastRun:
    """A past run of the store."""
    return PastRun(replay(store, run_id, trust=trust), own)


def explain_step(session: Session, runs: Runs, step: str, *, run: str | None, store: str | None) -> Report:
    """Why a step ran or did not in the named run, or in the newest of the flow; before any run, what it waits for."""
    record = runs.store(store)
    if run is None:
        graph = session.graph()
        if step not in [node.step.name for node in graph.nodes]:
            raise UsageError(f"There is no step {step!r}.")
        stored = [found.id for found in record.runs(flow=graph.flow.name, limit=20)]
        run = next((found for found in stored if step in record.snapshot(found).steps), None)
        if run is None:
            return as_report(describe_place(graph, step, "has not been run yet."))
    return as_report(why(record, run, step))


def as_report(found: Explanation | RunDiff | MigrationPlan) -> Report:
    """Text for the reader of a cell."""
    return Report(str(found), f"<pre>{html.escape(str(found))}</pre>")
