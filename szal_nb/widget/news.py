"""What is new of a run since the last look, as plain JSON: a kernel tells it, and a server that reads the record.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from szal_nb.model.event import Event, RunResumed, StepEvent, StepOutput
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.widget.view import JsonObject, run_view, states_text, step_facts

# Twenty pictures a second are as many as an eye needs.
FRAME_S = 0.05


def run_news(
    graph: FlowGraph,
    snapshot: RunSnapshot,
    events: Collection[Event],
    *,
    run_id: str,
    now: float,
    is_crashed: bool = False,
) -> JsonObject:
    """The run as it is after `events`, with the facts of the steps that these moved; `log`: which showed something."""
    news = run_view(snapshot, states_text(graph, snapshot), run_id=run_id, is_crashed=is_crashed, now=now)
    moved = {event.step for event in events if isinstance(event, StepEvent) and not isinstance(event, StepOutput)}
    is_all_new = any(isinstance(event, RunResumed) for event in events)
    news["steps"] = {
        str(number): step_facts(snapshot.steps[node.step.name])
        for number, node in enumerate(graph.nodes)
        if (is_all_new or node.step.name in moved) and node.step.name in snapshot.steps
    }
    news["log"] = sorted({event.step for event in events if isinstance(event, StepOutput)})
    return news
