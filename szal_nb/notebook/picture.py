"""The live picture of a flow or a run under a cell: one widget, shown and kept up to date through the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from szal_nb.api.picture import ACTIONS, obey
from szal_nb.api.run import Recorded, RunHandle
from szal_nb.errors import RunError
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.widget.view import details_view

_ACTIONS = ("run", *ACTIONS)

Publish = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]


class Picture:
    """A DAG in the output of one cell; `start` begins a run of its flow when the button is pressed."""

    def __init__(
        self,
        graph: FlowGraph,
        *,
        loop: Any,
        publish: Publish,
        parent: Mapping[str, Any],
        display_id: str,
        start: Callable[[Picture], None],
    ) -> None:
        from szal_nb.widget.dag import DagWidget  # late: heavy

        self.graph = graph
        # The front end keeps the widget for as long as the kernel lives; an ended run and its values it must not keep.
        self._active: RunHandle | None = None
        self._snapshot: RunSnapshot | None = None
        self._recorded = Recorded()
        self._run_id: str | None = None
        self._start = start
        self._publish = publish
        self._parent = parent
        self._display_id = display_id
        self.widget = DagWidget(graph, on_command=self.obey, details=self._details, loop=loop, actions=_ACTIONS)

    def display(self) -> None:
        """Shows the picture in the cell."""
        self._send("display_data")

    def follow(self, run: RunHandle) -> None:
        """From now on the picture is that of `run`."""
        self._active, self._snapshot, self._run_id = run, run.snapshot, run.id
        # What it showed may outlive the run, its values may not.
        self._recorded = run.recorded
        self.widget.show(run.snapshot, run_id=run.id)
        run.subscribe(self._take)

    def _take(self, events: Sequence[Event]) -> None:  # noqa: ARG002 - the snapshot has them all
        self.widget.show(self._snapshot, run_id=self._run_id)
        if self._snapshot is not None and self._snapshot.state.is_final:
            self._active = None
            # The image and the text that a saved notebook keeps are those of the end.
            self._send("update_display_data")

    def _send(self, kind: str) -> None:
        data, metadata = self.widget._repr_mimebundle_()
        content = {"data": data, "metadata": metadata, "transient": {"display_id": self._display_id}}
        self._publish(kind, content, self._parent)

    def obey(self, command: Mapping[str, Any]) -> None:
        """Does what a button asks for, on the loop."""
        if command["action"] == "run":
            self._start(self)
        elif self._active is None:
            raise RunError("There is no run going on.")
        else:
            obey(self._active, command)

    def _details(self, step: str) -> dict[str, Any]:
        return details_view(self.graph, self._snapshot, step, self._recorded.of(step))
