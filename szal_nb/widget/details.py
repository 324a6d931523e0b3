"""All that the picture shows of the one step that somebody looks at, as plain JSON: inputs, values, attempts, outputs.

Pure. The end of what is long is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.state import AttemptSnapshot, RunSnapshot
from szal_nb.model.value import ElementEnd, ErrorInfo, Output, for_people
from szal_nb.widget.view import SOURCE_CHARS, JsonObject, cut, error_line, source_of, value_view

_ELEMENTS_SHOWN = 200
LOG_CHARS = 200_000


def details_view(
    graph: FlowGraph, snapshot: RunSnapshot | None, step: str, outputs: Sequence[Output] = ()
) -> JsonObject:
    """All that the panel shows of one step, for `DagWidget`'s `details`. `outputs` are what its newest attempt showed.

    The end of long logs is kept. `KeyError` if the graph has no such step.
    """
    node = graph.node(step)
    view: JsonObject = {"step": step, "source": cut(source_of(node.step), 10 * SOURCE_CHARS)}
    run = snapshot.steps.get(step) if snapshot is not None else None
    view["inputs"] = _inputs_view(node, snapshot)
    view["values"] = [value_view(value) for value in for_people(run.values)] if run is not None else []
    view["attempts"] = [_attempt_view(attempt) for attempt in run.attempts] if run is not None else []
    view["error"] = _error_view(run.error) if run is not None and run.error is not None else None
    if run is not None and run.elements:
        view["elements"] = elements_view(run.elements.values())
    if run is not None and run.rollback_error is not None:
        view["rollback_error"] = _error_view(run.rollback_error)
    view["outputs"] = _outputs_view(outputs)
    return view


def elements_view(elements: Collection[ElementEnd]) -> JsonObject:
    """How the elements of a mapped step ended: `shown` are those that failed first, then the others, in their order."""
    ordered = sorted(elements, key=lambda element: (not element.error, element.position))
    return {
        "ended": len(ordered),
        "failed": sum(bool(element.error) for element in ordered),
        "shown": [
            {"position": end.position, "attempts": end.attempts, "error": end.error, "gave": end.gave}
            for end in ordered[:_ELEMENTS_SHOWN]
        ],
    }


def _inputs_view(node: StepNode, snapshot: RunSnapshot | None) -> list[JsonObject]:
    """Each name that the step reads, with what is known of its value now."""
    inputs = []
    for binding in node.reads:
        view: JsonObject = {"name": binding.name, "step": binding.step, "source": binding.source or binding.name}
        if snapshot is not None:
            giver = snapshot.steps.get(binding.step) if binding.step is not None else None
            values = giver.values if giver is not None else snapshot.inputs if binding.step is None else ()
            for value in values:
                if value.name == view["source"]:
                    view["value"] = value_view(value)
        inputs.append(view)
    return inputs


def _attempt_view(attempt: AttemptSnapshot) -> JsonObject:
    return {
        "number": attempt.number,
        "state": attempt.state,
        "started": attempt.started_at,
        "ended": attempt.ended_at,
        "error": error_line(attempt.error) if attempt.error is not None else None,
    }


def _error_view(error: ErrorInfo) -> JsonObject:
    return {
        "type": cut(error.type, 200),
        "message": cut(error.message, SOURCE_CHARS),
        "traceback": error.traceback[-LOG_CHARS:],
        "line": error.line,
    }


def _outputs_view(outputs: Sequence[Output]) -> list[JsonObject]:
    """Outputs in order, neighbouring pieces of one stream joined, the oldest text dropped past the limit."""
    views: list[JsonObject] = []
    for output in outputs:
        last = views[-1] if views else {}
        if output.type == "stream" == last.get("type") and output.name == last["name"]:
            last["text"] = (last["text"] + output.text)[-LOG_CHARS:]
        else:
            views.append(output_view(output))
    return views


def output_view(output: Output) -> JsonObject:
    """One thing that a step showed: text of a stream, or a mimebundle."""
    if output.type == "stream":
        return {"type": "stream", "name": output.name, "text": output.text[-LOG_CHARS:]}
    return {"type": output.type, "data": dict(output.data)}
