"""The live picture of a flow or a run under a cell: one widget, shown and kept up to date through the kernel."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from szal_nb.api.handle import RunHandle
from szal_nb.api.picture import ACTIONS, obey, recorded_events
from szal_nb.api.run import Recorded
from szal_nb.api.shown import recorded_pictures
from szal_nb.errors import RunError
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.widget.details import details_view

Publish = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]


class Starter(Protocol):
    """Who begins runs for the buttons of a picture, and has the picture follow them."""

    def run_in(self, picture: Picture, *, only: str | None = None) -> None:
        """Begins a new run of the flow that the picture shows, as its cells are now; of a step alone: `only`."""

    def resume_in(self, picture: Picture, run_id: str, store: Path | None) -> None:
        """Goes on with a run that had stopped."""

    def fork_in(self, picture: Picture, run_id: str, step: str, store: Path | None) -> None:
        """Begins a run that takes what an earlier one gave, but from `step` on."""


class Picture:
    """A DAG in the output of one cell, whose buttons act on the run that it follows."""

    def __init__(
        self,
        graph: FlowGraph,
        *,
        loop: Any,
        publish: Publish,
        parent: Mapping[str, Any],
        display_id: str,
        starter: Starter,
    ) -> None:
        from szal_nb.widget.dag import DagWidget  # late: heavy

        self.graph = graph
        # The front end keeps the widget for as long as the kernel lives; an ended run and its values it must not keep.
        self._active: RunHandle | None = None
        self._ended: Callable[[], RunHandle | None] = _nothing
        self._snapshot: RunSnapshot | None = None
        self._recorded = Recorded()
        self._run_id: str | None = None
        self._store: Path | None = None
        self._starter = starter
        self._publish = publish
        self._parent = parent
        self._display_id = display_id
        self.widget = DagWidget(
            graph,
            on_command=self.obey,
            details=self._details,
            history=self._history,
            loop=loop,
            actions=("run", *ACTIONS, "fork", "only"),
        )

    def display(self) -> None:
        """Shows the picture in the cell."""
        self._send("display_data")

    def follow(self, run: RunHandle) -> None:
        """From now on the picture is that of `run`."""
        self._draw(run.graph)
        self._active, self._snapshot, self._run_id, self._store = run, run.snapshot, run.id, run.store_path
        self._ended = _nothing
        # What it showed may outlive the run, its values may not.
        self._recorded = run.recorded
        self.widget.show(run.snapshot, run_id=run.id)
        run.subscribe(self._take)

    def recall(self, run_id: str, graph: FlowGraph, events: Sequence[Event], store: Path) -> None:
        """The picture is that of a run whose process died, as the store has it; its button goes on with it."""
        self._draw(graph)
        self._snapshot, self._run_id, self._store = fold(events), run_id, store
        self._recorded = Recorded(events)
        self.widget.show(self._snapshot, run_id=run_id, is_crashed=True)

    def shows(self, run_id: str) -> bool:
        """Whether it is this run that it follows."""
        return self._run_id == run_id

    def _draw(self, graph: FlowGraph) -> None:
        if graph != self.graph:
            self.graph = graph
            self.widget.draw(graph)

    def _take(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - the snapshot has them all
        self.widget.show(self._snapshot, run_id=self._run_id)
        if self._snapshot is not None and self._snapshot.state.is_final:
            if self._active is not None:
                self._ended = weakref.ref(self._active)
            self._active = None
            # The image and the text that a saved notebook keeps are those of the end.
            self._send("update_display_data")

    def _send(self, kind: str) -> None:
        data, metadata = self.widget._repr_mimebundle_()
        content = {"data": data, "metadata": metadata, "transient": {"display_id": self._display_id}}
        self._publish(kind, content, self._parent)

    def obey(self, command: Mapping[str, Any]) -> None:
        """Does what a button asks for, on the loop."""
        match command["action"]:
            case "run":
                self._starter.run_in(self)
            case "only":
                self._starter.run_in(self, only=command["step"])
            case "retry" if self._active is None and (run := self._ended()) is not None:
                obey(run, command)
                self._active = run
            case "resume" | "retry" if self._active is None and self._run_id is not None:
                self._starter.resume_in(self, self._run_id, self._store)
            case "fork" if self._active is None and self._run_id is not None:
                self._starter.fork_in(self, self._run_id, command["step"], self._store)
            case _ if self._active is None:
                raise RunError("There is no run going on.")
            case _:
                obey(self._active, command)

    def _details(self, step: str) -> dict[str, Any]:
        outputs = self._recorded.of(step)
        known = self._snapshot.steps.get(step) if self._snapshot is not None else None
        if known is not None and self._run_id is not None:
            outputs += recorded_pictures(self._store, self._run_id, known.values, outputs)
        return details_view(self.graph, self._snapshot, step, outputs)

    def _history(self) -> Sequence[Event]:
        return recorded_events(self._store, self._run_id) if self._run_id is not None else ()


def _nothing() -> None:
    """The run of a picture that has none."""
