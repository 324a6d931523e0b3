"""What a fork takes of its run: all but the step that it begins with, and what follows from that. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from szal_nb.analysis.fingerprint import difference
from szal_nb.analysis.reuse import (
    Choice,
    Fate,
    Past,
    ReusePlan,
    in_reading_order,
    settle_shared,
    why_not_takeable,
)
from szal_nb.model.graph import FlowGraph
from szal_nb.model.value import ValueRef


def plan_fork(graph: FlowGraph, inputs: Mapping[str, ValueRef], past: Past, from_step: str | None) -> ReusePlan:
    """The fate of each step of a run that goes another way than `past`, from `from_step` on.

    Steps that read an input which is not what it was run too, and what follows from them. Where the code of a taken
    step has changed since, its value is taken all the same, and the reason says so.
    """
    old_inputs = {ref.name: ref for ref in past.snapshot.inputs}
    sources: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.is_blocking:
            sources.setdefault(edge.target, []).append(edge.source)
    chosen: dict[str, Choice] = {}
    for node in in_reading_order(graph):
        step = node.step.name

        def runs(reason: str, step: str = step) -> Choice:
            return Choice(step=step, fate=Fate.RUNS, reason=reason)

        if step == from_step:
            chosen[step] = runs("the fork begins with it")
            continue
        if step not in past.snapshot.steps:
            chosen[step] = runs(f"run {past.run_id} has no such step")
            continue
        changed = [
            b.name for b in node.bindings if b.step is None and not _is_same(inputs, old_inputs, b.source or b.name)
        ]
        if changed:
            chosen[step] = runs(f"it reads {', '.join(changed)}, which is another value now")
            continue
        givers = [b.step for b in node.bindings if b.step is not None]
        running = [name for name in dict.fromkeys((*givers, *sources.get(step, ()))) if chosen[name].fate is Fate.RUNS]
        if running:
            chosen[step] = runs(f"it depends on {', '.join(running)}, which {'run' if len(running) > 1 else 'runs'}")
            continue
        obstacle = why_not_takeable(node, past, step)
        if obstacle:
            chosen[step] = runs(f"in run {past.run_id} {obstacle}")
            continue
        parts = difference(dict(node.parts), dict(past.graph.node(step).parts))
        note = f", though this has changed since: {', '.join(parts)}" if parts else ""
        reason = f"it does not depend on what runs{note}"
        chosen[step] = Choice(step=step, fate=Fate.TAKEN, reason=reason, changed=parts, run_id=past.run_id, before=step)
    settle_shared(graph, chosen, open_as=Fate.RUNS)
    return ReusePlan(choices=tuple(chosen[node.step.name] for node in graph.nodes))


def _is_same(inputs: Mapping[str, ValueRef], before: Mapping[str, ValueRef], name: str) -> bool:
    now, then = inputs.get(name), before.get(name)
    if now is None or then is None:
        return now is then
    return now.hash is not None and now.hash == then.hash
