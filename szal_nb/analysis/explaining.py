"""Why a step of a run ran, was taken from another run, or did neither: down to the names that changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from szal_nb.analysis.reuse import Past, changes_of, read_in, why_not_takeable
from szal_nb.model.graph import Edge, FlowGraph
from szal_nb.model.state import StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a step came to its state: a sentence, the names that changed, and the edges with their reasons."""

    step: str
    state: str
    origin: str | None
    cause: str
    changed: tuple[str, ...] = ()
    compared_with: str | None = None
    reads: tuple[tuple[str, str | None], ...] = ()
    before: tuple[Edge, ...] = ()
    after: tuple[Edge, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.step} {self.cause}"]
        lines += [f"  reads {name} " + (f"from {step}" if step else "from the notebook") for name, step in self.reads]
        lines += [
            f"  {edge.target} waits for {edge.source}: {edge_reason(edge)}" for edge in (*self.before, *self.after)
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "step": self.step,
            "state": self.state,
            "origin": self.origin,
            "cause": self.cause,
            "changed": list(self.changed),
            "compared_with": self.compared_with,
            "reads": [{"name": name, "step": step} for name, step in self.reads],
            "waits_for": [edge_json(edge) for edge in self.before],
            "awaited_by": [edge_json(edge) for edge in self.after],
            "notes": list(self.notes),
        }


def explain(past: Past, step: str, earlier: Past | None) -> Explanation:
    """Why the step is where it is in the run; what ran is compared with `earlier`, the last run before that had it."""
    found = past.snapshot.steps[step]
    changed: tuple[str, ...] = ()
    unchecked = tuple(
        f"the guard cannot compare all of {ref.name}: it holds {', '.join(ref.unchecked)} (szal.register_comparer)"
        for ref in found.values
        if ref.unchecked
    )
    if found.state is not StepState.COMPLETED or found.origin in ("cached", "given", "replayed"):
        cause = _cause_of_no_run(past, step)
    elif earlier is None:
        cause = "ran: no earlier run of the flow has completed it."
    else:
        node = past.graph.node(step)
        changed = changes_of(node, read_in(past, step), earlier, step)
        if changed:
            cause = f"ran: since run {earlier.run_id} this changed: {', '.join(changed)}."
        else:
            cause = f"ran: nothing of it has changed since run {earlier.run_id}; {_why_not_taken(past, step, earlier)}."
        if found.origin == "resumed":
            cause = f"was kept by a resume, and not run again. Before, it {cause}"
    return describe_place(past.graph, step, cause, state=found.state.value, origin=found.origin, changed=changed,
                          compared_with=earlier.run_id if earlier else None, notes=unchecked)  # fmt: skip


def _why_not_taken(past: Past, step: str, earlier: Past) -> str:
    node = past.graph.node(step)
    if not node.is_cacheable:
        return "it always runs, for its code uses names that cannot be known beforehand"
    obstacle = why_not_takeable(node, earlier, step)
    if obstacle:
        return f"what it gave there cannot be taken: {obstacle}"
    steps = past.snapshot.steps
    ran = [edge for edge in past.opaque.get(step, ()) if steps[edge.source].origin == "ran"]
    if ran and any(other.origin == "cached" for other in steps.values()):
        return f"it comes after {ran[0].source}, which ran: {edge_reason(ran[0])}".rstrip(".")
    return "nobody asked to reuse that (--reuse, or --cache on the step)"


def describe_place(
    graph: FlowGraph,
    step: str,
    cause: str,
    *,
    state: str = "",
    origin: str | None = None,
    changed: tuple[str, ...] = (),
    compared_with: str | None = None,
    notes: tuple[str, ...] = (),
) -> Explanation:
    """The step's edges with their reasons, headed by `cause`."""
    node = graph.node(step)
    return Explanation(
        step=step,
        state=state,
        origin=origin,
        cause=cause,
        changed=changed,
        compared_with=compared_with,
        reads=tuple((binding.name, binding.step) for binding in node.reads),
        before=tuple(edge for edge in graph.edges if edge.target == step),
        after=tuple(edge for edge in graph.edges if edge.source == step),
        notes=(*node.notes, *notes),
    )


def _cause_of_no_run(past: Past, step: str) -> str:
    found = past.snapshot.steps[step]
    if found.state is StepState.COMPLETED:
        if found.origin == "cached":
            return (
                f"was not run: its code and all that it reads are as in run {found.taken_from}, which gave its values."
            )
        return f"was not run: its values were taken from run {found.taken_from}."
    if found.state is StepState.FAILED:
        return f"failed: {found.error}."
    if found.state in (StepState.SKIPPED, StepState.CANCELLED):
        return f"was {found.state.value}: {found.reason or 'the run ended'}."
    return f"is {found.state.value}" + (f": {found.reason}." if found.reason else ".")


def edge_reason(edge: Edge) -> str:
    """Why the edge is there, and what would free it."""
    reason = edge.because or f"it reads {', '.join(edge.names)}."
    return reason + (f" To free it: {edge.remedy}" if edge.remedy else "")


def edge_json(edge: Edge) -> dict[str, Any]:
    """An edge as JSON."""
    return {
        "source": edge.source,
        "target": edge.target,
        "kind": edge.kind.value,
        "names": list(edge.names),
        "reason": edge.reason,
        "remedy": edge.remedy,
    }
