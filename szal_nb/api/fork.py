"""Runs that begin from an earlier one: its inputs, and its values up to a step or as far as other inputs allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from szal_nb.analysis.forking import plan_fork
from szal_nb.analysis.reuse import ReusePlan
from szal_nb.api.inputs import live_inputs, recorded_inputs
from szal_nb.api.reuse import PastRuns, given_by, past_of
from szal_nb.engine.signal import Given
from szal_nb.errors import InvalidStep, RunError
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import StepState
from szal_nb.model.value import ValueRef
from szal_nb.store.loading import main_module
from szal_nb.store.pickling import class_in
from szal_nb.store.runs import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Takes the values of the run `run_id` for all steps that do not depend on `from_step` or on changed inputs.

    Without `from_step` it goes on with that run: only what is missing or depends on changed inputs runs.
    """

    store: RunStore
    pasts: PastRuns
    run_id: str
    from_step: str | None
    must_run: frozenset[str] = frozenset()

    def plan(self, graph: FlowGraph, inputs: Mapping[str, ValueRef], skipped: Collection[str]) -> ReusePlan:
        """The fate of each step."""
        if self.from_step is not None and self.from_step not in {node.step.name for node in graph.nodes}:
            names = ", ".join(node.step.name for node in graph.nodes)
            raise InvalidStep(self.from_step, "the flow has no such step to fork from.", f"It has {names}.")
        plan = plan_fork(graph, inputs, self.pasts[self.run_id], self.from_step)
        if self.from_step is None:
            self._refuse_unknown_deeds(graph, plan)
        return ReusePlan(choices=tuple(choice for choice in plan.choices if choice.step not in skipped))

    def _refuse_unknown_deeds(self, graph: FlowGraph, plan: ReusePlan) -> None:
        """What may be done only once, and may have been done when the process died, a person decides in that run."""
        steps = self.pasts[self.run_id].snapshot.steps
        for choice in plan.choices:
            past = steps.get(choice.step)
            if graph.node(choice.step).step.once and past is not None and past.state is StepState.RUNNING:
                raise RunError(
                    f"Step {choice.step!r} of run {self.run_id} is marked --once and may have done its work when its "
                    f"process died. Resume that run without other inputs and answer for the step; then go on from it."
                )

    def given(self, graph: FlowGraph, inputs: Mapping[str, ValueRef], plan: ReusePlan) -> dict[str, Given]:
        """What the steps that are taken complete with."""
        return given_by(graph, inputs, plan, self.pasts, origin="given")


def fork_of(store: RunStore | None, run_id: str, from_step: str | None) -> Fork:
    """The fork of a stored run at a step; None: where it stopped."""
    if store is None:
        raise RunError("Only a run in a store can be forked.")
    run = store.run(run_id)
    return Fork(
        store=store,
        pasts=PastRuns(store, [run.id]),
        run_id=run.id,
        from_step=from_step,
        must_run=frozenset() if from_step is None else frozenset({from_step}),
    )


def inputs_of(
    store: RunStore, run_id: str, graph: FlowGraph, *, changed: Mapping[str, Any], live: Mapping[str, Any]
) -> dict[str, Any]:
    """The inputs of `graph` as the stored run had them: `changed` ones win, `live` ones serve where none is kept."""
    run = store.run(run_id)
    refs = past_of(store, run.id).snapshot.inputs
    recorded = {ref.name: ref for ref in refs}
    loader = store.loader(run.id, resolve_class=class_in(main_module(), live), is_for_looking=False)
    kept = recorded_inputs(recorded, loader.load, [name for name in graph.all_inputs if name not in changed])
    known = {**{name: live[name] for name in graph.inputs if name in live}, **kept, **changed}
    return live_inputs(run.id, recorded, known, dict.fromkeys((*graph.all_inputs, *changed)))
