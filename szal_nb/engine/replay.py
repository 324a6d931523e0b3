"""From a record to a machine that goes on from it: which steps keep what they gave, and which run again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from szal_nb.engine.keeping import kept_states
from szal_nb.engine.links import Links, Place
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.shared_values import is_shared_name, keys_in
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
from szal_nb.model.kept import GENERATORS, is_kept, state_name, state_of
from szal_nb.model.state import RunSnapshot, RunState, StepState
from szal_nb.model.value import ValueRef


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePlan:
    """`kept` steps are not run again; `reset` ones are; `rebuilt` are those of them that had completed.

    A step is rebuilt if the store has lost a value of it, or if a step that runs again reads a value of it that was
    `live`: gone with its process. So is every step behind it that changed such a value, or gave one that shares parts
    with it. A rebuilt step gives the values in `anew` (step and name) and what was live once more; all else that it
    gave stays as it is on record. `inputs` are those that the notebook must give again. `begun` are mapped steps of
    which so many elements are on record: they are not run again if they still are the same. `late` are steps that come
    after others that they should have come before, with what those have changed since: it is read as it was. Hidden
    states that were used `out_of_order` so are named with these steps: others would have found them otherwise.
    """

    kept: tuple[str, ...]
    reset: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()
    begun: tuple[tuple[str, int], ...] = ()
    anew: frozenset[Place] = field(default=frozenset(), repr=False)
    inputs: frozenset[str] = field(default=frozenset(), repr=False)
    late: Mapping[str, frozenset[Place]] = field(default_factory=dict, repr=False)
    out_of_order: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

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
    found = _Rebuilt(graph, snapshot, lost)
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
    )


def overtaken_reads(graph: FlowGraph, snapshot: RunSnapshot) -> Mapping[str, frozenset[Place]]:
    """Of steps that have not completed: what they read that others, which come after them, have changed since."""
    return _Rebuilt(graph, snapshot, _NONE_LOST).late()


def with_overtaken(graph: FlowGraph, plan: ResumePlan) -> FlowGraph:
    """The graph in which who runs now waits also for those that a step between them has overtaken.

    One failed, the next, which only comes after it and changes the working directory, say, went on and completed: each
    of those around it finds the process as it found it then, so they cannot run side by side.
    """
    wiring = graph.derived(Wiring)
    is_open = [False] * len(wiring.names)
    for name in plan.reset:
        is_open[wiring.index[name]] = True
    changing = {i for i in _overtaken(wiring, is_open) if graph.nodes[i].states}
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


def _overtaken(wiring: Wiring, is_open: Sequence[bool]) -> set[int]:
    """The steps that do not run and have steps before them that do."""
    is_behind = [False] * len(is_open)
    for i in wiring.order:
        is_behind[i] = any(is_open[source] or is_behind[source] for source in wiring.sources[i])
    return {i for i, behind in enumerate(is_behind) if behind and not is_open[i]}


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


class _Rebuilt:
    """Which completed steps run again, and which values they give anew."""

    def __init__(self, graph: FlowGraph, snapshot: RunSnapshot, lost: Mapping[str, Collection[str]]) -> None:
        self._graph = graph
        self._snapshot = snapshot
        self._wiring = graph.derived(Wiring)
        self._given = {name: step.values or step.former for name, step in snapshot.steps.items()}
        self._live = {
            (step, ref.name)
            for step, refs in (("", snapshot.inputs), *self._given.items())
            for ref in refs
            if ref.live is not None
        }
        self.kept = {name for name, step in snapshot.steps.items() if step.state is StepState.COMPLETED}
        # A step that was being rebuilt when its process died has not completed again.
        self.rebuilt = {name for name, step in snapshot.steps.items() if step.former}
        self.anew: set[Place] = set()
        # Live inputs that are needed, and all that shares parts with them.
        self.from_notebook: set[Place] = set()
        self._behind: set[str] = set()
        self._reason = ""
        if not (lost or self.rebuilt or self._live):
            return
        self._links = Links(snapshot.inputs, self._given)
        self._todo = [name for name in snapshot.steps if name not in self.kept]
        for name in self.rebuilt:
            self._put_behind(name)
        places = self._lost_places(lost)
        for name in sorted({step for step, _ in places}, key=self._wiring.index.__getitem__):
            self._again(name, f"What step {name!r} gave is not in the store any more, but it")
        self._need(places)
        while self._todo:
            self._need(self._live_reads(self._todo.pop()))

    def _lost_places(self, lost: Mapping[str, Collection[str]]) -> set[Place]:
        """What is lost; of values that were recorded together each, for alone they would share nothing any more."""
        found = {(step, name) for step, names in lost.items() for name in names}
        for step, names in lost.items():
            for ref in self._given[step]:
                if ref.name in names and is_shared_name(ref.name):
                    found |= {(giver, name) for giver, name in keys_in(ref) if giver}
        return found

    def late(self) -> dict[str, frozenset[Place]]:
        """What kept steps have changed since that steps read which run only now: one had failed, and others went on."""
        wiring = self._wiring
        overtaken = self._overtaken()
        found: dict[str, frozenset[Place]] = {}
        if not overtaken:
            return found
        links = Links(self._snapshot.inputs, self._given)
        for i, name in enumerate(wiring.names):
            since = {wiring.names[j] for j in overtaken & wiring.downstream(i)} if name not in self.kept else set()
            if not since or name in self.rebuilt:
                continue
            read = {(one.step or "", one.source or one.name) for one in self._graph.nodes[i].bindings} - self.anew
            places = {place for place in read if any(step in since for step, _ in links.closure([place]))}
            if places:
                found[name] = frozenset(places)
        return found

    def out_of_order(self) -> dict[str, tuple[str, ...]]:
        """Hidden states that kept steps have used before others could that come before them, with these others."""
        wiring, nodes = self._wiring, self._graph.nodes
        overtaken = self._overtaken()
        found: dict[str, dict[str, None]] = {}
        for i, name in enumerate(wiring.names) if overtaken else ():
            if name in self.kept or name in self.rebuilt or not nodes[i].states:
                continue
            for j in overtaken & wiring.downstream(i):
                for state in set(nodes[i].states) & set(nodes[j].states):
                    if state in GENERATORS or is_kept(state):
                        found.setdefault(state, {})[name] = None
        return {state: tuple(names) for state, names in found.items()}

    def _overtaken(self) -> set[int]:
        """The kept steps that have steps before them which run now."""
        return _overtaken(self._wiring, [name not in self.kept for name in self._wiring.names])

    def _live_reads(self, step: str) -> set[Place]:
        bindings = self._graph.node(step).bindings
        read = {(one.step or "", one.source or one.name) for one in bindings}
        kept = set(map(state_name, self._graph.derived(kept_states)[self._wiring.index[step]]))
        read |= {place for place in self._live if place[1] in kept} if kept else set()
        found = self._live & read
        if found:
            self._reason = f"Step {step!r} needs what step {{!r}} gave or changed, a live value that is gone, but it"
        return found

    def _need(self, places: set[Place]) -> None:
        """These values are gone: who gave them runs again, and who changed them or built on them since."""
        self.anew |= self._links.closure(places) if places else set()
        self.from_notebook |= self._links.closure(place for place in places if not place[0])
        is_new = bool(places)
        while is_new:
            again = [name for name in self._wiring.names if name in self.kept and self._must_run(name)]
            for name in again:
                self._again(name, self._reason.format(name))
            is_new = bool(again)

    def _must_run(self, step: str) -> bool:
        given = [ref for ref in self._given[step] if (step, ref.name) in self.anew]
        is_behind = step in self._behind or any((step, ref.name) in self.from_notebook for ref in given)
        return bool(given) and (is_behind or any(map(_is_gone, given)))

    def _again(self, step: str, why: str) -> None:
        if step not in self.kept:
            return
        if self._graph.node(step).step.once:
            raise ReplayError(f"{why} is marked --once and has completed. It cannot be made again; start a new run.")
        self.kept.discard(step)
        self.rebuilt.add(step)
        self._put_behind(step)
        self._todo.append(step)

    def _put_behind(self, step: str) -> None:
        wiring = self._wiring
        self._behind.update(wiring.names[i] for i in wiring.downstream(wiring.index[step]))


def _is_gone(ref: ValueRef) -> bool:
    """Whether what is needed later is not in the store."""
    return ref.live is not None and (ref.needed or is_kept(state_of(ref.name)))


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
