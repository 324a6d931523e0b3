"""What a flow, a run and a step look like in a notebook, and what the buttons of a picture do to a run."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from szal_nb.api.handle import RunHandle
from szal_nb.api.run import Run, StepView
from szal_nb.api.shown import recorded_pictures
from szal_nb.errors import RunError
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.store.runs import RunStore
from szal_nb.widget.details import details_view

Bundle = tuple[dict[str, Any], dict[str, Any]]

# The buttons that `obey` understands.
ACTIONS = ("pause", "resume", "cancel", "retry", "approve", "reject", "skip")


def obey(run: RunHandle, command: Mapping[str, Any]) -> None:
    """Does to the run what a button of its picture asks for, as checked by `widget.command`."""
    match command["action"]:
        case "cancel":
            run.cancel("asked for by a button")
        case "pause":
            run.pause("asked for by a button")
        case "resume":
            run.resume()
        case "retry":
            run.retry(command["step"])
        case "approve":
            run.approve(command["step"], command.get("value"))
        case "reject":
            run.reject(command["step"], command.get("value"))
        case "skip":
            run.skip(command["step"])
        case action:
            raise RunError(f"A run cannot be asked to {action!r}.")


def recorded_events(store: Path | None, run_id: str) -> Sequence[Event]:
    """All events of a run so far, from its record; none where no record is kept."""
    if store is None:
        return ()
    with RunStore.open(store, read_only=True) as record:
        return record.events(run_id)


def flow_bundle(graph: FlowGraph) -> Bundle:
    """The DAG of a flow: widget, image and text."""
    from szal_nb.widget.dag import DagWidget  # late: heavy

    return DagWidget(graph)._repr_mimebundle_()


def run_bundle(run: Run) -> Bundle:
    """The DAG of a run: live with buttons while this process runs it, else as it is."""
    from szal_nb.widget.dag import DagWidget  # late: heavy

    def details(step: str) -> dict[str, Any]:
        outputs, refs = run.outputs(step), run.snapshot.steps[step].values
        pictures = recorded_pictures(run.store_path, run.id, refs, outputs)
        return details_view(run.graph, run.snapshot, step, (*outputs, *pictures))

    def history() -> Sequence[Event]:
        return recorded_events(run.store_path, run.id)

    loop = _running_loop()
    if isinstance(run, RunHandle) and run.is_active and loop is not None:
        widget = DagWidget(
            run.graph,
            run_id=run.id,
            snapshot=run.snapshot,
            on_command=lambda command: obey(run, command),
            details=details,
            history=history,
            loop=loop,
            actions=ACTIONS,
        )
        run.subscribe(lambda _: widget.show(run.snapshot))
    else:
        widget = DagWidget(run.graph, run_id=run.id, snapshot=run.snapshot, details=details, history=history, loop=loop)
    return widget._repr_mimebundle_()


def step_bundle(step: StepView) -> Bundle:
    """A step's source, with what it reads and gives."""
    node = step.node
    reads = ", ".join(f"{binding.name} ← {binding.step or 'input'}" for binding in node.reads) or "nothing"
    gives = ", ".join(node.gives) or "nothing"
    head = f"step {step.name}: {step.state}"
    source = node.step.raw or node.step.source
    text = f"{head}\nreads {reads}\ngives {gives}\n\n{source}"
    page = (
        f"<div><b>{html.escape(head)}</b><br>reads {html.escape(reads)}<br>gives {html.escape(gives)}"
        f"<pre>{html.escape(source)}</pre></div>"
    )
    return {"text/plain": text, "text/html": page}, {}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
