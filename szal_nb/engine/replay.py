"""From a record to a machine that goes on from it: which steps keep what they gave, and which run again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from szal_nb.engine.machine import RunMachine
from szal_nb.errors import ReplayError
from szal_nb.model.event import (
    Event,
    StepAnswered,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepRetrying,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, RunState, StepState
from szal_nb.model.value import ValueRef


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePlan:
    """`kept` steps are not run again; `reset` ones are; `rebuilt` are those of them that had completed.

    A step is rebuilt if the store has lost a value of it, or if a step that runs again reads a value of it that was
    `live`: gone with its process; so is a step that had changed such a value since, or an object that it holds. `begun`
    are mapped steps of which so many elements are on record: they are not run again if they still are the same.
    """

    kept: tuple[str, ...]
    reset: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()
    begun: tuple[tuple[str, int], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to run."""
        return not self.reset


def plan_resume(graph: FlowGraph, snapshot: RunSnapshot, lost: Iterable[str] = ()) -> ResumePlan:
    """What a resume of the run would do. `lost` steps completed, and the store has not what they gave any more.

    Raises ReplayError if the graph is not the one that was run, or if a live value is needed again from a step
    that must not run twice (`--once`).
    """
    names = [node.step.name for node in graph.nodes]
    if set(names) != set(snapshot.steps):
        changed = sorted(set(names) ^ set(snapshot.steps))
        raise ReplayError(
            f"The flow has other steps than the run: {', '.join(changed)}. "
            "Resume from the run's own snapshot, or start a new run with --reuse."
        )
    if snapshot.state is RunState.ROLLING_BACK:
        # It goes on being undone: nothing of it is run again.
        return ResumePlan(kept=tuple(names), reset=())
    rebuilt = set(lost)
    for name in rebuilt:
        if graph.node(name).step.once:
            raise ReplayError(
                f"What step {name!r} gave is not in the store any more, but it is marked --once and has completed. "
                "It cannot be made again; start a new run."
            )
    kept = {name for name in names if snapshot.steps[name].state is StepState.COMPLETED} - rebuilt
    open_steps = [name for name in names if name not in kept]
    for name in open_steps:
        for giver in _gone_for(graph, snapshot, name):
            if giver not in kept:
                continue
            if graph.node(giver).step.once:
                raise ReplayError(
                    f"Step {name!r} needs what step {giver!r} gave or changed, a live value that is gone, but "
                    f"{giver!r} is marked --once and has completed. It cannot be made again; start a new run."
                )
            kept.discard(giver)
            rebuilt.add(giver)
            open_steps.append(giver)
    return ResumePlan(
        kept=tuple(name for name in names if name in kept),
        reset=tuple(name for name in names if name not in kept),
        rebuilt=tuple(name for name in names if name in rebuilt),
        begun=tuple(
            (name, count) for name in names if name not in kept and (count := len(snapshot.steps[name].kept_elements))
        ),
    )


def _gone_for(graph: FlowGraph, snapshot: RunSnapshot, step: str) -> list[str]:
    """The completed steps that made what `step` reads and what exists no more: who gave it, and who changed it."""
    givers: list[str] = []
    objects: set[str] = set()
    for binding in graph.node(step).bindings:
        if binding.step is None:
            continue
        ref = given_ref(snapshot, binding.step, binding.source or binding.name)
        if ref is not None and ref.live is not None:
            givers.append(binding.step)
            if ref.identity is not None:
                objects.add(ref.identity)
    if not givers:
        return []
    changers = [edge.source for edge in graph.edges if edge.target == step and "shared-object" in edge.rules]
    for node in graph.nodes:
        if node.step.name == step:
            break
        given = snapshot.steps[node.step.name].values
        if any(ref.name in node.changes and ref.identity in objects for ref in given):
            changers.append(node.step.name)
    return [*givers, *changers]


def given_ref(snapshot: RunSnapshot, step: str, name: str) -> ValueRef | None:
    """What the record says of the value that `step` gave under `name`."""
    return next((ref for ref in snapshot.steps[step].values if ref.name == name), None)


def rejected_steps(events: Iterable[Event]) -> list[str]:
    """The steps that a person refused while nobody ran the run: nothing has followed from it yet."""
    found: dict[str, bool] = {}
    for event in events:
        if isinstance(event, StepAnswered):
            found[event.step] = not event.approved
        elif isinstance(event, StepWaiting | StepFailed):
            found.pop(event.step, None)
    return [step for step, is_rejected in found.items() if is_rejected]


def cut_steps(events: Iterable[Event]) -> list[str]:
    """The steps that were running when their process died, if no person has said since what to do."""
    found: dict[str, None] = {}
    for event in events:
        if isinstance(event, StepStarted):
            found[event.step] = None
        elif isinstance(event, StepCompleted | StepFailed | StepRetrying | StepCancelled | StepAnswered):
            found.pop(event.step, None)
    return list(found)


def put_where_record_ends(
    machine: RunMachine,
    snapshot: RunSnapshot,
    plan: ResumePlan,
    *,
    rejected: Iterable[str] = (),
    cut: Iterable[str] = (),
) -> None:
    """Puts a fresh `machine` of the same graph where the record ends: see `rejected_steps` and `cut_steps`."""
    rank = {machine.names[i]: position for position, i in enumerate(machine.wiring.order)}
    kept = sorted(plan.kept, key=lambda name: (snapshot.steps[name].ended_at or 0.0, rank[name]))
    stopped = next((step.stopped for name in kept if (step := snapshot.steps[name]).stopped is not None), None)
    machine.resume_from(
        {name: snapshot.steps[name].values for name in kept if snapshot.steps[name].state is StepState.COMPLETED},
        {name: step.attempt for name, step in snapshot.steps.items()},
        reset=plan.reset,
        rebuilt=plan.rebuilt,
        approved=[name for name, step in snapshot.steps.items() if step.is_approved],
        rejected=rejected,
        held=[name for name in cut if machine.steps[machine.index[name]].once],
        taken=[name for name, step in snapshot.steps.items() if step.taken_from],
        stopped=stopped,
        skipped={
            name: step.reason
            for name, step in snapshot.steps.items()
            if stopped is not None and step.state is StepState.SKIPPED
        },
        is_rolling_back=snapshot.state is RunState.ROLLING_BACK,
    )
