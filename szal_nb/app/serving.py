"""What the panel in JupyterLab is told, as JSON documents: flows of a notebook, runs of a store, a run and its news.

Blocking, read-only, and it opens no value: pickles stay closed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from szal_nb.analysis.graph import build_graph
from szal_nb.api.shown import with_pictures
from szal_nb.app.describing import run_json
from szal_nb.errors import DefinitionError, IllegalTransition, RunError
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.notebook.document import Notebook
from szal_nb.notebook.reader import read_flows
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.moved import notebook_of
from szal_nb.store.runs import RunStore, StoredRun
from szal_nb.widget.details import details_view
from szal_nb.widget.history import history_view, log_view, outputs_of, timeline_view
from szal_nb.widget.news import run_news
from szal_nb.widget.view import JsonObject, graph_view, states_view

MOST_RUNS = 200


def flows_document(notebook: Notebook) -> JsonObject:
    """The flows of a notebook with their graphs. What is wrong with one is its `problem`, in words."""
    try:
        found = read_flows(notebook)
    except DefinitionError as error:
        return {"flows": [], "problem": _with_notes(error)}
    flows: list[JsonObject] = []
    for flow in found:
        try:
            graph = graph_view(build_graph(flow.definition, flow.surroundings))
            flows.append({"name": flow.definition.name, "graph": graph})
        except DefinitionError as error:
            flows.append({"name": flow.definition.name, "graph": None, "problem": _with_notes(error)})
    return {"flows": flows}


def _with_notes(error: DefinitionError) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def runs_document(store: RunStore | None, notebook: Path, *, limit: int = MOST_RUNS) -> JsonObject:
    """The newest runs of a store, with how many of their steps are in each state; `here`: they ran this notebook."""
    if store is None:
        return {"runs": []}
    runs = store.runs(limit=max(1, min(limit, MOST_RUNS)))
    counts = _counts(store, [run.id for run in runs])
    here = notebook.resolve()
    return {
        "runs": [
            {**_listed(run), "counts": counts.get(run.id, {}), "here": _is_same(notebook_of(run, store.path), here)}
            for run in runs
        ]
    }


def _listed(run: StoredRun) -> JsonObject:
    document = run_json(run)
    kept = ("id", "flow", "version", "shown_state", "reason", "params")
    return {key: document[key] for key in kept} | {
        "created": run.created_at,
        "started": run.started_at,
        "ended": run.ended_at,
    }


def _counts(store: RunStore, run_ids: list[str]) -> dict[str, dict[str, int]]:
    marks = ",".join("?" * len(run_ids))
    rows = store.reader.fetch(
        f"SELECT run_id, state, count(*) FROM steps WHERE run_id IN ({marks}) GROUP BY run_id, state",  # noqa: S608 marks
        tuple(run_ids),
    )
    counts: dict[str, dict[str, int]] = {}
    for run_id, state, count in cast("list[tuple[str, str, int]]", rows):
        counts.setdefault(run_id, {})[state] = count
    return counts


def _is_same(path: Path | None, notebook: Path) -> bool:
    """Whether a run ran this notebook. One whose file is gone from this folder was most likely this one, renamed."""
    if path is None:
        return False
    ran = path.resolve()
    return ran == notebook or (ran.parent == notebook.parent and not ran.exists())


def details_document(store: RunStore, run_id: str, step: str) -> JsonObject:
    """All that the panel shows of one step of a run."""
    run = store.run(run_id)
    graph = store.graph(run.id)
    if step not in {node.step.name for node in graph.nodes}:
        raise RunError(f"Run {run.id} has no step {step!r}.")
    events = store.events(run.id)
    shown = outputs_of(with_pictures(events, store.loader(run.id).load))
    return details_view(graph, _fold(store, events), step, shown.get(step, ()))


def history_document(store: RunStore, run_id: str) -> JsonObject:
    """The attempts of a run side by side, and what each event changed."""
    run = store.run(run_id)
    graph, events = store.graph(run.id), store.events(run.id)
    return {"attempts": timeline_view(graph, _fold(store, events)), **history_view(graph, events)}


def log_document(store: RunStore, run_id: str, step: str) -> JsonObject:
    """All that the attempts of a step showed, and when."""
    return {"pieces": log_view(store.events(run_id), step)}


class RunTail:
    """One run, read on from where the last look ended."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store = store
        self._run = store.run(run_id)
        self._graph: FlowGraph = store.graph(self._run.id)
        self._snapshot = RunSnapshot()
        self._said: tuple[int, str] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the last look saw the run's end; a crashed run may still be resumed."""
        return self._snapshot.state.is_final

    def picture(self) -> JsonObject:
        """The whole run as it is now: graph, states and facts of its steps, and what the store says of it."""
        self._read()
        run = self._run
        states = states_view(self._graph, self._snapshot, run_id=run.id, is_crashed=run.is_crashed, now=time.time())
        return {"graph": graph_view(self._graph), "run": states, "info": run_json(run)}

    def look(self) -> tuple[str, JsonObject] | None:
        """First the whole `picture`, later what is new of the `run`; None if nothing is."""
        if self._said is None:
            picture = self.picture()
            self._said = self._stand()
            return "picture", picture
        events = self._read()
        if self._said == self._stand():
            return None
        self._said = self._stand()
        run = self._run
        news = run_news(self._graph, self._snapshot, events, run_id=run.id, is_crashed=run.is_crashed, now=time.time())
        return "run", news

    def _stand(self) -> tuple[int, str]:
        return self._snapshot.events, self._run.shown_state

    def _read(self) -> list[Event]:
        self._run = self._store.run(self._run.id)
        if self._run.events <= self._snapshot.events:
            return []
        events = self._store.events(self._run.id, first=self._snapshot.events)
        _apply(self._store, self._snapshot, events)
        return events


def _fold(store: RunStore, events: Iterable[Event]) -> RunSnapshot:
    snapshot = RunSnapshot()
    _apply(store, snapshot, events)
    return snapshot


def _apply(store: RunStore, snapshot: RunSnapshot, events: Iterable[Event]) -> None:
    try:
        for event in events:
            snapshot.apply(event)
    except IllegalTransition as error:
        raise StoreDamaged(store.path, str(error)) from error
