"""The table of a store's runs under a cell: reads the store for it, and does what its buttons ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from szal_nb.analysis.doubt import IN_DOUBT
from szal_nb.api.shown import with_pictures
from szal_nb.errors import RunError
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import fold
from szal_nb.notebook.report import run_table
from szal_nb.store.collect import collect, not_deleted
from szal_nb.store.runs import RunStore, StoredRun
from szal_nb.widget.comparison import ToldRun, comparison_view
from szal_nb.widget.details import details_view
from szal_nb.widget.history import history_view, log_view, outputs_of, timeline_view
from szal_nb.widget.view import JsonObject, view_state

Resume = Callable[[StoredRun], None]


class RunTable:
    """`list_runs` reads the rows anew; `resume` goes on with a run and shows it."""

    def __init__(self, store: RunStore, list_runs: Callable[[], list[StoredRun]], *, resume: Resume, loop: Any) -> None:
        from szal_nb.widget.runs import RunsWidget  # late: heavy

        self._store = store
        self._list_runs = list_runs
        self._resume = resume
        runs = list_runs()
        table = run_table(runs)
        self.widget = RunsWidget(
            self._rows(runs), on_request=self.answer, loop=loop, text=repr(table), markup=table._repr_html_()
        )

    def answer(self, request: Mapping[str, Any]) -> JsonObject | None:
        """What the front end asked for, on the loop."""
        run_id = request.get("run", "")
        match request["action"]:
            case "open":
                return {"type": "opened", **self._opened(run_id)}
            case "details":
                graph, events = self._read(run_id)
                step = _known(graph, request["step"])
                told = with_pictures(events, self._store.loader(run_id).load)
                shown = outputs_of(told).get(step, ())
                return {"type": "details", "run": run_id, "details": details_view(graph, fold(events), step, shown)}
            case "log":
                graph, events = self._read(run_id)
                step = _known(graph, request["step"])
                return {"type": "log", "run": run_id, "step": step, "pieces": log_view(events, step)}
            case "compare":
                one, other = (self._told(found) for found in (run_id, request["other"]))
                opened = [self._opened(run.run_id) for run in (one, other)]
                return {"type": "compared", "comparison": comparison_view(one, other), "opened": opened}
            case "resume":
                self._resume(self._store.run(run_id))
            case "delete":
                if not collect(self._store, [run_id]).runs:
                    raise RunError(not_deleted(run_id))
        self.widget.rows = self._rows(self._list_runs())
        return None

    def _rows(self, runs: Iterable[StoredRun]) -> list[JsonObject]:
        runs = list(runs)
        ids = [run.id for run in runs]
        counts, doubted = self._counts(ids), self._doubted(ids)
        return [
            {
                "id": run.id,
                "flow": run.flow,
                "version": run.version,
                "shown_state": run.shown_state,
                "doubted": run.id in doubted,
                "reason": run.reason[:300],
                "params": {name: str(value)[:100] for name, value in run.params.items()},
                "created": run.created_at,
                "started": run.started_at,
                "ended": run.ended_at,
                "counts": counts.get(run.id, {}),
            }
            for run in runs
        ]

    def _counts(self, run_ids: list[str]) -> dict[str, dict[str, int]]:
        marks = ",".join("?" * len(run_ids))
        sql = f"SELECT run_id, state, count(*) FROM steps WHERE run_id IN ({marks}) GROUP BY run_id, state"  # noqa: S608
        counts: dict[str, dict[str, int]] = {}
        for run_id, state, count in cast("list[tuple[str, str, int]]", self._store.reader.fetch(sql, tuple(run_ids))):
            counts.setdefault(run_id, {})[state] = count
        return counts

    def _doubted(self, run_ids: list[str]) -> set[str]:
        """Those that failed because their answer is in doubt; by their rows, so that a damaged run keeps none back."""
        sql = f"""
            SELECT DISTINCT run_id FROM steps, json_each(error_detail, '$.names') AS name
            WHERE run_id IN ({",".join("?" * len(run_ids))}) AND steps.state = 'failed' AND name.value = ?
        """  # noqa: S608 question marks
        return {str(run_id) for (run_id,) in self._store.reader.fetch(sql, (*run_ids, IN_DOUBT))}

    def _read(self, run_id: str) -> tuple[FlowGraph, list[Event]]:
        return self._store.graph(run_id), self._store.events(run_id)

    def _told(self, run_id: str) -> ToldRun:
        graph, events = self._read(run_id)
        return ToldRun(run_id, graph, fold(events))

    def _opened(self, run_id: str) -> JsonObject:
        graph, events = self._read(run_id)
        snapshot = fold(events)
        run = self._store.run(run_id)
        is_crashed = run.is_crashed
        now = events[-1].at if events and (run.is_left or snapshot.state.is_final) else None
        return {
            "run": run_id,
            "view": view_state(graph, snapshot, run_id=run_id, is_crashed=is_crashed, now=now),
            "attempts": timeline_view(graph, snapshot),
            **history_view(graph, events),
        }


def _known(graph: FlowGraph, step: str) -> str:
    if step not in {node.step.name for node in graph.nodes}:
        raise RunError("The run has no such step.")
    return step
