"""Which steps of a run, that failed because its answer was in doubt, may have read what they should not have. Pure."""

from __future__ import annotations

from szal_nb.errors import AnswerError, ValueChanged
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, StepSnapshot, StepState

# What the record says of the error of such a step, among the names of its class and bases.
IN_DOUBT = f"{AnswerError.__module__}.{AnswerError.__qualname__}"


def doubted(snapshot: RunSnapshot) -> StepSnapshot | None:
    """The step that failed because the answer would depend on the order in which steps happened to run."""
    return next((step for step in snapshot.steps.values() if _is(step, AnswerError)), None)


def steps_in_doubt(graph: FlowGraph, snapshot: RunSnapshot) -> frozenset[str]:
    """The steps whose values nothing is to be made of any more."""
    found = doubted(snapshot)
    if found is None:
        return frozenset()
    names = frozenset(snapshot.steps)
    if not _is(found, ValueChanged):
        return names
    # What ended before the step that found it, and reads none of what that reads, has not read what was changed.
    read = _read_by(graph, found.name)
    above = _above(graph, found.name)
    return names - {name for name in above if not read & _read_by(graph, name)}


def _is(step: StepSnapshot, kind: type[AnswerError]) -> bool:
    dotted = f"{kind.__module__}.{kind.__qualname__}"
    return step.state is StepState.FAILED and step.error is not None and dotted in step.error.names


def _read_by(graph: FlowGraph, step: str) -> frozenset[tuple[str | None, str]]:
    return frozenset((one.step, one.source or one.name) for one in graph.node(step).bindings)


def _above(graph: FlowGraph, step: str) -> set[str]:
    found: set[str] = set()
    left = list(graph.dependencies[step])
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph.dependencies[name]
    return found
