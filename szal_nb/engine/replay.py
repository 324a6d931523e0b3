"""From a record to a machine that goes on from it: which steps keep what they gave, and which run again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from szal_nb.engine.again import StepsAgain, overtaken
from szal_nb.engine.links import Place
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.wiring import Wiring
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
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph
from szal_nb.model.state import RunSnapshot, RunState, StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePlan:
    """`kept` steps are not run again; `reset` ones are; `rebuilt` are those of them that had completed.

    A step is rebuilt if the store has lost a value of it, or if a step that runs again reads a value of it that was
    `live`: gone with its process. So is every step behind it that changed such a value, or gave one that shares parts
    with it. A rebuilt step gives the values in `anew` (step and name) and what was live once more; all else that it
    gave stays as it is on record. `inputs` are those that the notebook must give again. `begun` are mapped steps of
    which so many elements are on record: they are not run again if they still are the same. `late` are steps that come
    after others that they should have come before, with what those have changed since: it is read as it was. Hidden
    states that were used `out_of_order` so are named with these steps: others would have found them otherwise. Of
    `classes` that steps read so there is no other one, as it was: these steps cannot run.
    """

    kept: tuple[str, ...]
    reset: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()
    begun: tuple[tuple[str, int], ...] = ()
    anew: frozenset[Place] = field(default=frozenset(), repr=False)
    inputs: frozenset[str] = field(default=frozenset(), repr=False)
    late: Mapping[str, frozenset[Place]] = field(default_factory=dict, repr=False)
    out_of_order: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    classes: Mapping[str, frozenset[Place]] = field(default_factory=dict, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to run."""
        return not self.reset


_NONE_LOST: Mapping[str, Collection[str]] = {}


def plan_resume(
    graph: FlowGraph, snapshot: RunSnapshot, lost: Mapping[str, Collection[str]] = _NONE_LOST
) -> ResumePlan:
    """What a resume of the run would do. `lost` are names of completed steps that the store has not any more, by step.

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
    found = StepsAgain(graph, snapshot, lost)
    return ResumePlan(
        kept=tuple(name for name in names if name in found.kept),
        reset=tuple(name for name in names if name not in found.kept),
        rebuilt=tuple(name for name in names if name in found.rebuilt),
        begun=tuple(
            (name, count)
            for name in names
            if name not in found.kept and (count := len(snapshot.steps[name].kept_elements))
        ),
        anew=frozenset(found.anew),
        inputs=frozenset(name for step, name in found.from_notebook if not step),
        late=found.late(),
        out_of_order=found.out_of_order(),
        classes=found.classes(),
    )


class OvertakenReads(NamedTuple):
    """What steps read that others, which come after them, have changed since: see `late` and `classes` of a plan."""

    late: Mapping[str, frozenset[Place]]
    classes: Mapping[str, frozenset[Place]]


def overtaken_reads(graph: FlowGraph, snapshot: RunSnapshot) -> OvertakenReads:
    """What steps that have not completed would read now otherwise than they should have."""
    found = StepsAgain(graph, snapshot, _NONE_LOST)
    return OvertakenReads(found.late(), found.classes())


def with_overtaken(graph: FlowGraph, plan: ResumePlan) -> FlowGraph:
    """The graph in which who runs now waits also for those that a step between them has overtaken.

    One failed, the next, which only comes after it and changes the working directory, say, went on and completed: each
    of those around it finds the process as it found it then, so they cannot run side by side.
    """
    wiring = graph.derived(Wiring)
    is_open = [False] * len(wiring.names)
    for name in plan.reset:
        is_open[wiring.index[name]] = True
    changing = {i for i in overtaken(wiring, is_open) if graph.nodes[i].states}
    waits = _across(wiring, is_open, changing) if changing else []
    edges = [
        Edge(
            source=wiring.names[first],
            target=wiring.names[last],
            kind=EdgeKind.ORDER,
            rule="overtaken",
            reason=f"{wiring.names[last]} waits for {wiring.names[first]}, which a step between them has overtaken.",
            is_blocking=False,
        )
        for first, last in waits
    ]
    return replace(graph, edges=(*graph.edges, *edges)) if edges else graph


def _across(wiring: Wiring, is_open: Sequence[bool], between: Collection[int]) -> list[tuple[int, int]]:
    """The pairs of steps that run of which one comes after the other by way of a step `between`.

    By numbers whose bits are steps: to go through all pairs of thousands of steps takes seconds.
    """
    below, across = [0] * len(is_open), [0] * len(is_open)
    found = []
    for i in reversed(wiring.order):
        for target, *_ in wiring.successors[i]:
            below[i] |= below[target]
            across[i] |= below[target] if target in between else across[target]
        if is_open[i]:
            found += [(i, last) for last, bit in enumerate(reversed(f"{across[i]:b}")) if bit == "1"]
            below[i] |= 1 << i
    return sorted(found)


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


def completion_order(events: Iterable[Event]) -> dict[str, int]:
    """The steps that ran, by when they completed last: by the order of events, for clocks are set back too."""
    return {
        event.step: number
        for number, event in enumerate(events)
        if isinstance(event, StepCompleted) and not event.taken_from
    }


def put_where_record_ends(
    machine: RunMachine,
    snapshot: RunSnapshot,
    plan: ResumePlan,
    *,
    order: Mapping[str, int] = MappingProxyType({}),
    rejected: Iterable[str] = (),
    cut: Iterable[str] = (),
) -> None:
    """Puts a fresh `machine` of the same graph where the record ends: see `completion_order` and the two above."""
    rank = {machine.names[i]: position for position, i in enumerate(machine.wiring.order)}
    kept = sorted(plan.kept, key=lambda name: (order.get(name, -1), rank[name]))
    stopped = next((step.stopped for name in kept if (step := snapshot.steps[name]).stopped is not None), None)
    machine.resume_from(
        {name: snapshot.steps[name].values for name in kept if snapshot.steps[name].state is StepState.COMPLETED},
        {name: step.attempt for name, step in snapshot.steps.items()},
        reset=plan.reset,
        rebuilt=plan.rebuilt,
        approved=[name for name, step in snapshot.steps.items() if step.is_approved],
        rejected=rejected,
        held=[name for name in cut if machine.steps[machine.index[name]].once],
        undoable=[name for name in kept if snapshot.is_to_be_undone(name)],
        stopped=stopped,
        skipped={
            name: step.reason
            for name, step in snapshot.steps.items()
            if stopped is not None and step.state is StepState.SKIPPED
        },
        is_rolling_back=snapshot.state is RunState.ROLLING_BACK,
        waits=_waits(machine.wiring, plan),
    )


def _waits(wiring: Wiring, plan: ResumePlan) -> dict[int, set[int]]:
    """For each rebuilt step those that run and that only kept steps kept apart from it: they wait for it as before."""
    kept = {wiring.index[name] for name in plan.kept}
    found: dict[int, set[int]] = {}
    for i in (wiring.index[name] for name in plan.rebuilt):
        todo = [target for target, _, _ in wiring.successors[i] if target in kept]
        seen = set(todo)
        while todo:
            for target, _, _ in wiring.successors[todo.pop()]:
                if target in kept and target not in seen:
                    seen.add(target)
                    todo.append(target)
                elif target not in kept:
                    found.setdefault(i, set()).add(target)
    return {i: more for i, targets in found.items() if (more := targets - {t for t, _, _ in wiring.successors[i]})}
