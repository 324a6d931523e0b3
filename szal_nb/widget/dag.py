"""The live picture in a notebook: traits go out, commands come in. Knows no run: its owner shows snapshots.

Import late: ipywidgets and anywidget cost half a second.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import anywidget
import traitlets

from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, StepSnapshot
from szal_nb.widget.command import ACTIONS, Command, CommandRefused, answer_at_once, parse_command
from szal_nb.widget.details import details_view
from szal_nb.widget.history import Frames, log_view, timeline_view
from szal_nb.widget.news import FRAME_S
from szal_nb.widget.svg import render_svg, render_text
from szal_nb.widget.view import JsonObject, graph_view, run_view, states_text, states_view, step_facts

_DETAILS_EVERY_S = 0.5
STATIC = Path(__file__).parent / "static"


class Loop(Protocol):
    """What the widget needs of the kernel's event loop."""

    def time(self) -> float:
        """Seconds on the loop's own clock."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> object:
        """Calls back on the loop after `delay` seconds."""

    def call_soon_threadsafe(self, callback: Callable[..., object], /, *args: Any) -> object:
        """Calls back on the loop soon; from any thread."""


def _mark_of(step: StepSnapshot) -> tuple[object, ...]:
    """What changes whenever the facts of a step do."""
    return (
        step.state,
        len(step.attempts),
        step.retry_at,
        step.reason,
        step.done,
        step.total,
        step.note,
        step.rollback_attempts,
    )


class DagWidget(anywidget.AnyWidget):
    """The DAG of one flow, live.

    `on_command` gets `{"action": ..., "step": ..., "value": ...}` on `loop`; an exception that it raises is shown at
    the button. `details` gives `details_view(...)` of a step, on `loop`; `history` the events of the run so far, for
    the slider through its time. `actions` are those that `on_command` understands; only their buttons are drawn.
    `clock` is in seconds since the epoch.
    """

    _esm = STATIC / "dag.js"
    graph = traitlets.Dict().tag(sync=True)
    run = traitlets.Dict().tag(sync=True)
    # The facts of all steps, kept complete here and sent only to a new or a lagging front end: frames carry changes.
    facts = traitlets.Dict().tag(sync=True)
    actions: traitlets.List[str] = traitlets.List().tag(sync=True)

    def __init__(
        self,
        graph: FlowGraph,
        *,
        run_id: str | None = None,
        snapshot: RunSnapshot | None = None,
        on_command: Callable[[dict[str, object]], object] | None = None,
        details: Callable[[str], JsonObject] | None = None,
        history: Callable[[], Sequence[Event]] | None = None,
        loop: Loop | None = None,
        actions: Collection[str] = ACTIONS,
        is_crashed: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._flow_graph = graph
        self._run_id = run_id
        self._snapshot = snapshot
        self._on_command = on_command
        self._details = details
        self._history = history
        self._frames = Frames(graph)
        self._loop = loop
        self._clock = clock
        self._is_crashed = is_crashed
        self._marks: list[tuple[object, ...] | None] = [None] * len(graph.nodes)
        self._is_flush_due = False
        self._flushed_at = float("-inf")
        self._watched: str | None = None
        self._details_at = float("-inf")
        view = self.view()
        steps = view["run"].pop("steps")
        super().__init__(
            graph=view["graph"],
            run={**view["run"], "seq": 0, "delta": {}},
            facts={"seq": 0, "steps": steps},
            actions=[action for action in actions if on_command is not None and loop is not None],
        )
        self.on_msg(self._receive)
        answer_at_once(self.comm)

    def view(self) -> JsonObject:
        """The whole picture as `view_state` gives it, of this moment."""
        run = states_view(
            self._flow_graph, self._snapshot, run_id=self._run_id, is_crashed=self._is_crashed, now=self._clock()
        )
        return {"graph": graph_view(self._flow_graph), "run": run}

    def draw(self, graph: FlowGraph) -> None:
        """Draws another flow from now on, or this one as it has become; `show` what there is of a run of it."""
        self._flow_graph = graph
        self._snapshot, self._run_id, self._watched = None, None, None
        self._marks = [None] * len(graph.nodes)
        self._frames = Frames(graph)
        self.facts["steps"].clear()
        self.graph = graph_view(graph)
        self._flush()

    def show(self, snapshot: RunSnapshot | None, *, run_id: str | None = None, is_crashed: bool = False) -> None:
        """Draws `snapshot`, which may go on changing: what it says when the frame is sent is shown.

        On the loop. At most 20 messages a second go out; the state that ends a run is sent at once.
        """
        self._snapshot = snapshot
        if run_id is not None and run_id != self._run_id:
            self._run_id, self._frames = run_id, Frames(self._flow_graph)
        self._is_crashed = is_crashed
        if self._loop is None or (snapshot is not None and snapshot.state.is_final):
            self._flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_later(max(0.0, self._flushed_at + FRAME_S - self._loop.time()), self._flush_due)

    def _flush_due(self) -> None:
        if self._is_flush_due:
            self._flush()

    def _flush(self) -> None:
        self._is_flush_due = False
        is_final = self._snapshot is None or self._snapshot.state.is_final
        states = states_text(self._flow_graph, self._snapshot)
        run = run_view(self._snapshot, states, run_id=self._run_id, is_crashed=self._is_crashed, now=self._clock())
        run["seq"] = self.facts["seq"] + 1
        run["delta"] = self._changed_facts()
        # Changed in place, so that traitlets sends nothing by itself: one message holds all.
        self.run.clear()
        self.run.update(run)
        self.facts["seq"] = run["seq"]
        # The end is sent whole: what saves a notebook by listening (nbclient) knows no deltas.
        self.send_state(("run", "facts") if is_final else ("run",))
        if self._loop is not None:
            self._flushed_at = self._loop.time()
            if self._watched is not None and (is_final or self._flushed_at - self._details_at >= _DETAILS_EVERY_S):
                self._send_details(self._watched, None)

    def _changed_facts(self) -> JsonObject:
        """Facts of the steps that moved since the last frame, by index; kept in `facts` as well."""
        changed: JsonObject = {}
        steps = self._snapshot.steps if self._snapshot is not None else {}
        kept = self.facts["steps"]
        for number, node in enumerate(self._flow_graph.nodes):
            step = steps.get(node.step.name)
            mark = None if step is None else _mark_of(step)
            if mark != self._marks[number]:
                self._marks[number] = mark
                facts = step_facts(step) if step is not None else {}
                changed[str(number)] = facts
                kept[str(number)] = facts
        return changed

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        """Any thread: the kernel's main one or a subshell's. Answers at once and hands the work to the loop."""
        try:
            steps = [node.step.name for node in self._flow_graph.nodes]
            command = parse_command(content, steps=steps, actions=tuple(self.actions))
        except CommandRefused as refusal:
            self.send({"type": "refused", "id": refusal.message_id, "text": str(refusal)})
            return
        self.send({"type": "ack", "id": command.message_id, "action": command.action})
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._obey, command)

    def _obey(self, command: Command) -> None:
        try:
            match command.action:
                case "ping":
                    pass
                case "sync":
                    self.send_state(("run", "facts"))
                case "details":
                    self._watched = command.step
                    self._send_details(str(command.step), command.message_id)
                case "history":
                    self._send_history(command)
                case "log":
                    pieces = log_view(self._history() if self._history else (), str(command.step))
                    self.send({"type": "log", "id": command.message_id, "step": command.step, "pieces": pieces})
                case _ if self._on_command is not None:
                    self._on_command(command.as_dict())
        except Exception as error:  # noqa: BLE001 - whatever the owner says to it belongs at the button
            self.send({"type": "refused", "id": command.message_id, "text": str(error) or type(error).__name__})

    def _send_history(self, command: Command) -> None:
        """All attempts, and the frames from number `value` on: a front end that follows a run asks for the new ones."""
        if self._history is not None:
            self._frames.take(self._history())
        frames = self._frames.frames
        first = command.value if isinstance(command.value, int) and 0 <= command.value <= len(frames) else 0
        attempts = timeline_view(self._flow_graph, self._snapshot)
        content = {"type": "history", "id": command.message_id, "run": self._run_id, "first": first}
        self.send({**content, "attempts": attempts, "frames": frames[first:]})

    def _send_details(self, step: str, message_id: int | None) -> None:
        if self._loop is not None:
            self._details_at = self._loop.time()
        found = self._details(step) if self._details else details_view(self._flow_graph, self._snapshot, step)
        self.send({"type": "details", "id": message_id, "step": step, "details": found})

    def _repr_mimebundle_(self, **_options: object) -> tuple[JsonObject, JsonObject]:
        """The widget, and for those who cannot show it: an image of the moment, and text."""
        view = self.view()
        image = base64.b64encode(render_svg(view).encode()).decode()
        label = render_text(view).splitlines()[0].replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        data: JsonObject = {
            "text/plain": render_text(view),
            "text/html": f'<img alt="{label}" src="data:image/svg+xml;base64,{image}" style="max-width:100%">',
        }
        if self.comm is not None:
            data["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.model_id,
            }
        return data, {}

    def __repr__(self) -> str:
        return f"<DagWidget {self._flow_graph.flow.name} version {self._flow_graph.flow.version}>"
