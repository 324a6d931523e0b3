"""Two runs side by side, as plain JSON: step by step what is the same and what is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, StepSnapshot
from szal_nb.model.value import ValueRef, for_people
from szal_nb.widget.view import JsonObject, error_line, value_view


@dataclass(frozen=True)
class ToldRun:
    """A run with its flow, as one side of a comparison."""

    run_id: str
    graph: FlowGraph
    snapshot: RunSnapshot


def comparison_view(one: ToldRun, other: ToldRun) -> JsonObject:
    """Every input and step of either run, those of `one` first; `differs` says in what: code, state, values, or error.

    Values are the same if their content hashes are. How long a step took is told and is no difference.
    """
    steps = [_compared_step(name, one, other) for name in _names(one, other)]
    return {
        "runs": [one.run_id, other.run_id],
        "inputs": _compared_values(one.snapshot.inputs, other.snapshot.inputs),
        "steps": steps,
    }


def _names(one: ToldRun, other: ToldRun) -> Iterable[str]:
    return dict.fromkeys(node.step.name for run in (one, other) for node in run.graph.nodes)


def _compared_step(name: str, one: ToldRun, other: ToldRun) -> JsonObject:
    sources = [_source(run.graph, name) for run in (one, other)]
    found = [run.snapshot.steps.get(name) for run in (one, other)]
    sides = [_side(step) if source is not None else None for step, source in zip(found, sources, strict=True)]
    values = _compared_values(*(for_people(step.values) if step is not None else () for step in found))
    first, second = sides
    differs = []
    if None in sources or first is None or second is None:
        differs.append("steps")
    else:
        differs += ["code"] if sources[0] != sources[1] else []
        differs += [part for part in ("state", "error") if first[part] != second[part]]
        differs += ["values"] if any(not value["same"] for value in values) else []
    return {"name": name, "differs": differs, "sides": sides, "values": values}


def _source(graph: FlowGraph, name: str) -> str | None:
    return next((node.step.source for node in graph.nodes if node.step.name == name), None)


def _side(step: StepSnapshot | None) -> JsonObject:
    if step is None:
        return {"state": "pending", "took": None, "error": None}
    return {
        "state": str(step.state),
        "took": step.duration_s,
        "error": error_line(step.error) if step.error is not None else None,
    }


def _compared_values(ones: Sequence[ValueRef], others: Sequence[ValueRef]) -> list[JsonObject]:
    """By name. A value that is on one side only, or that was live on either, is not the same."""
    left, right = ({value.name: value for value in values} for values in (ones, others))
    return [
        {
            "name": name,
            "same": name in left and name in right and _is_same(left[name], right[name]),
            "sides": [value_view(side[name]) if name in side else None for side in (left, right)],
        }
        for name in dict.fromkeys((*left, *right))
    ]


def _is_same(one: ValueRef, other: ValueRef) -> bool:
    return one.hash is not None and one.hash == other.hash
