"""What a new run may take from an earlier one instead of running it again, and why. Pure.

Rules. A step is taken if its code is what it was and all that it reads has the content that it had; then its values
are those that running it would give. What is not written down as a value is not taken: a step that runs needs all
before it that share hidden state with it (a random generator, an option of the process) to run too, a step that comes
`--after` one that is not taken runs, and so does one that gave a live value. A step that reads what another step of
this run has yet to give is `open`: it is decided when it is about to start, by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from graphlib import TopologicalSorter

from szal_nb.analysis.doubt import steps_in_doubt
from szal_nb.analysis.files import PREFIX as FILE
from szal_nb.analysis.fingerprint import difference, fingerprint_of
from szal_nb.model.graph import DISPLAY, Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.kept import default_owner, is_kept, kept_owner, state_of
from szal_nb.model.state import RunSnapshot, StepSnapshot, StepState
from szal_nb.model.step import Trigger
from szal_nb.model.value import ValueRef, is_about_the_process

PYPLOT = "pyplot"
_OPAQUE = frozenset({"after", "dynamic-code"})
# Recorded beside the values of a step, under names that are none of Python: what several values share, and the states
# of generators.
SHARED = "<shared"


class Fate(StrEnum):
    """What a new run does with a step."""

    TAKEN = "taken"
    RUNS = "runs"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The fate of one step, with the reason in a short sentence.

    `run_id` and `before` name the earlier run and its step that it was compared with; `changed` are the names of what
    differs.
    """

    step: str
    fate: Fate
    reason: str
    run_id: str = ""
    before: str = ""
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A run of the record, as far as it is compared with a new one.

    `unreadable` tells why a value of a step cannot be loaded any more; "" if all can be. `lost` names those of its
    values whose files are gone or damaged.
    """

    run_id: str
    graph: FlowGraph
    snapshot: RunSnapshot
    unreadable: Callable[[str], str] = field(default=lambda _: "", repr=False, compare=False)
    lost: Callable[[str], Sequence[str]] = field(default=lambda _: (), repr=False, compare=False)
    opaque: Mapping[str, Sequence[Edge]] = field(init=False, repr=False, compare=False)
    doubtful: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "opaque", opaque_edges(self.graph))
        object.__setattr__(self, "doubtful", steps_in_doubt(self.graph, self.snapshot))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReusePlan:
    """What is to become of each step of a new run, in document order."""

    choices: tuple[Choice, ...] = ()
    warnings: tuple[str, ...] = ()
    by_step: Mapping[str, Choice] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_step", {choice.step: choice for choice in self.choices})

    def of_fate(self, fate: Fate) -> tuple[str, ...]:
        """The steps of this fate."""
        return tuple(choice.step for choice in self.choices if choice.fate is fate)

    def __str__(self) -> str:
        runs = dict.fromkeys(choice.run_id for choice in self.choices if choice.fate is Fate.TAKEN)
        taken = self.of_fate(Fate.TAKEN)
        lines = [
            f"Taken from run {', '.join(runs)}: {', '.join(taken)}." if taken else "Nothing is taken from earlier runs."
        ]
        width = max((len(choice.step) for choice in self.choices), default=0)
        verbs = {Fate.TAKEN: "taken", Fate.RUNS: "runs", Fate.OPEN: "open"}
        lines += [f"  {verbs[choice.fate]:<5}  {choice.step:<{width}}  {choice.reason}" for choice in self.choices]
        return "\n".join([*lines, *self.warnings])


def plan_reuse(
    graph: FlowGraph,
    inputs: Mapping[str, ValueRef],
    pasts: Iterable[Past],
    *,
    must_run: Collection[str] = (),
    skipped: Collection[str] = (),
) -> ReusePlan:
    """What a new run with these inputs may take from `pasts`, the first that has it.

    `must_run` steps run whatever the record says; `skipped` ones are not part of the new run.
    """
    chosen: dict[str, Choice] = {}
    refs: dict[str, dict[str, ValueRef]] = {}
    opaque = opaque_edges(graph)
    for node in in_reading_order(graph):
        step = node.step.name
        if step in skipped:
            continue
        if step in must_run:
            chosen[step] = Choice(step=step, fate=Fate.RUNS, reason="it was asked for")
        else:
            chosen[step] = Choice(step=step, fate=Fate.RUNS, reason="there is no earlier run")
            for number, past in enumerate(pasts):
                choice = _choose(node, graph, inputs, past, chosen, refs, opaque.get(step, ()))
                # The reason is that of the first: it is the newest. But one that may still have it is better than none.
                is_better = choice.fate is Fate.OPEN and chosen[step].fate is Fate.RUNS
                if not number or is_better or choice.fate is Fate.TAKEN:
                    chosen[step] = choice
                if choice.fate is Fate.TAKEN:
                    refs[step] = refs_by_name(past.snapshot.steps[choice.before])
                    break
    settle_shared(graph, chosen)
    order = [node.step.name for node in graph.nodes if node.step.name in chosen]
    return ReusePlan(choices=tuple(chosen[name] for name in order))


def in_reading_order(graph: FlowGraph) -> list[StepNode]:
    """The nodes, each after all that it waits for."""
    order = TopologicalSorter({node.step.name: graph.dependencies[node.step.name] for node in graph.nodes})
    return [graph.node(name) for name in order.static_order()]


def refs_by_name(step: StepSnapshot) -> dict[str, ValueRef]:
    """What the record says of each value of a step."""
    return {ref.name: ref for ref in step.values}


def counterpart(node: StepNode, graph: FlowGraph, past: Past) -> str | None:
    """The step of the earlier run that `node` is to be compared with: of its name, else a renamed one of its code."""
    if node.step.name in past.snapshot.steps:
        return node.step.name
    now = {other.step.name for other in graph.nodes}
    for other in past.graph.nodes:
        if other.step.name not in now and other.parts and other.parts == node.parts and other.gives == node.gives:
            return other.step.name
    return None


def inputs_read(
    node: StepNode, inputs: Mapping[str, ValueRef], refs: Mapping[str, Mapping[str, ValueRef]]
) -> dict[str, ValueRef]:
    """What a step reads, by its local names, from the run's inputs and from what steps gave."""
    found = {}
    for binding in node.bindings:
        name = binding.source or binding.name
        ref = inputs.get(name) if binding.step is None else refs.get(binding.step, {}).get(name)
        if ref is not None:
            found[binding.name] = ref
    return found


def read_in(past: Past, step: str) -> dict[str, ValueRef]:
    """What a step of the earlier run has read."""
    inputs = {ref.name: ref for ref in past.snapshot.inputs}
    refs = {name: refs_by_name(found) for name, found in past.snapshot.steps.items()}
    return inputs_read(past.graph.node(step), inputs, refs)


def fingerprint_in(past: Past, step: str) -> str:
    """The fingerprint of a completed step: recorded with it, else made from the record."""
    return past.snapshot.steps[step].fingerprint or fingerprint_of(past.graph.node(step), read_in(past, step))


def why_not_takeable(node: StepNode, past: Past, step: str) -> str:
    """Why the values of a step of an earlier run cannot stand for a new attempt; "" if they can."""
    before = past.snapshot.steps[step]
    if why := _why_not_done(past, before):
        return why
    refs = refs_by_name(before)
    if any(name.startswith(SHARED) for name in refs):
        return "its values share memory with others"
    for name, ref in refs.items():
        if ref.ties:
            return f"its value {name} shares parts with a live one"
        if name != DISPLAY and not is_about_the_process(name) and ref.live is not None:
            return f"its value {name} was live: {ref.live}"
    for name in node.needed:
        if name in refs and refs[name].hash is None:
            return f"its value {name} was not kept"
    if missing := [name for name in node.needed if name not in refs]:
        return f"it gave no {', '.join(missing)}"
    lost = past.lost(step)
    return f"what it gave is lost: {', '.join(lost)}" if lost else ""


def _why_not_done(past: Past, step: StepSnapshot) -> str:
    """Why what the step did does not count as done, whatever it gave; "" if it does."""
    if step.name in past.doubtful:
        return "the answer is in doubt"
    if step.state is not StepState.COMPLETED:
        return f"it {_was(step.state)}"
    is_undoing = past.snapshot.undone_on and past.graph.node(step.name).step.rollback is not None
    if is_undoing and past.snapshot.is_to_be_undone(step.name):
        # Its rollback may have done its work, and not have told so.
        return "its rollback failed" if step.rollback_error is not None else "it is being undone"
    return "it stopped the run" if step.stopped is not None else ""


def changes_of(node: StepNode, read: Mapping[str, ValueRef], past: Past, before: str) -> tuple[str, ...]:
    """The names of what differs between a step of a new run and the step `before` of an earlier one."""
    changed = difference(dict(node.parts), dict(past.graph.node(before).parts))
    old = read_in(past, before)
    names = {**dict.fromkeys(read), **dict.fromkeys(old)}
    differing = tuple(name for name in names if _content(read.get(name)) != _content(old.get(name)))
    return (*changed, *(f"value {name}" for name in differing))


def _content(ref: ValueRef | None) -> str | None:
    return None if ref is None else ref.hash or ref.live


def _choose(  # noqa: C901, PLR0912, PLR0917 one rule after another, in the order in which they are told
    node: StepNode,
    graph: FlowGraph,
    inputs: Mapping[str, ValueRef],
    past: Past,
    chosen: Mapping[str, Choice],
    refs: Mapping[str, Mapping[str, ValueRef]],
    opaque: Sequence[Edge],
) -> Choice:
    step = node.step.name

    before = counterpart(node, graph, past) or ""

    def runs(reason: str, changed: tuple[str, ...] = ()) -> Choice:
        return Choice(
            step=step,
            fate=Fate.RUNS,
            reason=reason,
            changed=changed,
            before=before,
            run_id=past.run_id if before else "",
        )

    if not before:
        return runs(f"run {past.run_id} has no such step")
    if not node.is_cacheable:
        return runs("its code uses names that cannot be known beforehand")
    if not node.parts or not past.graph.node(before).parts:
        return runs("no fingerprint of it was recorded")
    obstacle = why_not_takeable(node, past, before)
    if obstacle:
        return runs(f"in run {past.run_id} {obstacle}")
    code = difference(dict(node.parts), dict(past.graph.node(before).parts))
    if code:
        return runs(_changed_text(code), code)
    kept = kept_otherwise(node, inputs, past)
    if kept:
        return runs(f"not what it was at the beginning: {', '.join(kept)}", kept)
    names_before = {edge.source: chosen[edge.source].before for edge in opaque if edge.source in chosen}
    others = other_sources(opaque, names_before, past, before)
    if others:
        return runs(f"what it finds in the process is not what it found: {', '.join(others)}", others)
    for edge in opaque:
        source = chosen.get(edge.source)
        if source is None or source.fate is not Fate.TAKEN:
            return runs(f"it comes after {edge.source}, which is not taken: {edge.reason}")
        if source.run_id != past.run_id:
            return runs(f"it comes after {edge.source}, which is taken from another run: {edge.reason}")
    sources = dict.fromkeys(binding.step for binding in node.bindings if binding.step is not None)
    unsettled = [name for name in sources if name in chosen and chosen[name].fate is not Fate.TAKEN]
    if unsettled or node.step.when is not None or node.step.trigger is not Trigger.ALL:
        reason = "taken if its condition holds" if node.step.when else "decided when it starts"
        if unsettled:
            reason = f"taken if {', '.join(unsettled)} {'give' if len(unsettled) > 1 else 'gives'} what it gave before"
        return Choice(step=step, fate=Fate.OPEN, reason=reason, before=before, run_id=past.run_id)
    read = inputs_read(node, inputs, refs)
    now = fingerprint_of(node, read)
    if not now:
        return runs("it reads a live value")
    if now != fingerprint_in(past, before):
        changed = changes_of(node, read, past, before)
        return runs(_changed_text(changed) or "it is not what it was", changed)
    unreadable = past.unreadable(before)
    if unreadable:
        return runs(f"in run {past.run_id} {unreadable}")
    name = "" if before == step else f"; it was called {before}"
    reason = f"its code and what it reads are as in run {past.run_id}{name}"
    return Choice(step=step, fate=Fate.TAKEN, reason=reason, before=before, run_id=past.run_id)


def kept_otherwise(node: StepNode, inputs: Mapping[str, ValueRef], past: Past) -> tuple[str, ...]:
    """What functions and classes that the step uses keep from call to call that began otherwise than in the other run.

    `inputs` has what is on record of it, beside the inputs; what cannot be stored cannot be compared.
    """
    then = {ref.name: ref.hash for ref in past.snapshot.inputs}
    return tuple(
        state
        for name, ref in inputs.items()
        if is_kept(state := state_of(name))
        and (state in node.states or (default_owner(state) is None and kept_owner(state) in node.definitions))
        and ref.hash is not None
        and then.get(name) not in (None, ref.hash)
    )


def opaque_edges(graph: FlowGraph) -> dict[str, list[Edge]]:
    """The edges along which something comes that is no value, by the steps that they lead to."""
    found: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        if is_opaque(edge, graph):
            found.setdefault(edge.target, []).append(edge)
    return found


def other_sources(opaque: Iterable[Edge], names_before: Mapping[str, str], past: Past, before: str) -> tuple[str, ...]:
    """The steps that leave something in the process for a step now and did not then, or the other way round.

    `opaque` are the edges that lead to it; `names_before` the names that their sources had in the earlier run.
    """
    now = {names_before.get(edge.source) or edge.source for edge in opaque}
    then = {edge.source for edge in past.opaque.get(before, ())}
    return tuple(sorted(now ^ then))


def is_opaque(edge: Edge, graph: FlowGraph) -> bool:
    """Whether something may come along the edge that is not written down as a value."""
    return edge.kind is EdgeKind.PARENT or not _OPAQUE.isdisjoint(edge.rules) or is_shared(edge, graph)


def is_shared(edge: Edge, graph: FlowGraph) -> bool:
    """Whether the source leaves something in the process that the target finds there.

    Hidden state that it changes, or an object that it changed under another name. Where figures are drawn is not such.
    """
    if "shared-object" in edge.rules:
        return True
    if "hidden-state" not in edge.rules:
        return False
    changed = graph.node(edge.source).states
    return any(name != PYPLOT and (name in changed or _may_be_changed(name)) for name in edge.names)


def _may_be_changed(state: str) -> bool:
    """Whether a step may change the state that is not known to: a file has many names, a cache grows with each call."""
    return state.startswith(FILE) or is_kept(state)


def _from_changer_to_changer(graph: FlowGraph) -> Iterator[Edge]:
    """From each step that changes a hidden state to the next one: between them may be others, which only use it."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        for state in node.states:
            if state in last:
                yield Edge(
                    source=last[state], target=node.step.name, kind=EdgeKind.ORDER, names=(state,), rule="hidden-state"
                )
            last[state] = node.step.name


def settle_shared(graph: FlowGraph, chosen: dict[str, Choice], *, open_as: Fate = Fate.OPEN) -> None:
    """Who runs must find in the process what the steps before it leave there: they run too.

    Who comes after a step whose code or values are other than they were runs as well; a step that runs only because
    another needs what it leaves in the process leaves what it left before. What reads a value of a step that runs
    for this becomes `open_as`.
    """
    _Sharing(graph, chosen, open_as).settle()


class _Sharing:
    def __init__(self, graph: FlowGraph, chosen: dict[str, Choice], open_as: Fate) -> None:
        self._chosen = chosen
        self._open_as = open_as
        self._before: dict[str, list[Edge]] = {}
        self._after: dict[str, list[Edge]] = {}
        self._readers: dict[str, list[str]] = {}
        self._todo: list[str] = []
        self._changed: set[str] = set()
        for edge in (*graph.edges, *_from_changer_to_changer(graph)):
            if edge.source in chosen and edge.target in chosen and is_opaque(edge, graph):
                self._after.setdefault(edge.source, []).append(edge)
                if is_shared(edge, graph):
                    self._before.setdefault(edge.target, []).append(edge)
        for node in graph.nodes:
            for binding in node.bindings:
                if binding.step is not None and node.step.name in chosen:
                    self._readers.setdefault(binding.step, []).append(node.step.name)

    def settle(self) -> None:
        for step, choice in self._chosen.items():
            if choice.fate is not Fate.TAKEN:
                self._changed.add(step)
                self._todo.append(step)
        while self._todo:
            self._spread(self._todo.pop())

    def _spread(self, step: str) -> None:
        # Whether an open step will run is not known in time for those that share something with it.
        if self._chosen[step].fate is Fate.OPEN and (step in self._before or step in self._after):
            self._chosen[step] = replace(self._chosen[step], fate=Fate.RUNS)
        if self._chosen[step].fate is Fate.RUNS:
            for edge in self._before.get(step, ()):
                self._runs(
                    edge.source, f"{step} runs, and finds {', '.join(edge.names)} as it leaves it", is_changed=False
                )
        if step in self._changed:
            for edge in self._after.get(step, ()):
                self._runs(edge.target, f"it comes after {step}, which is not taken: {edge.reason}", is_changed=True)
        for reader in self._readers.get(step, ()):
            if self._chosen[reader].fate is Fate.TAKEN:
                fate = self._open_as
                reason = f"taken if {step} gives what it gave before"
                self._chosen[reader] = replace(
                    self._chosen[reader],
                    fate=fate,
                    reason=reason if fate is Fate.OPEN else f"it depends on {step}, which runs",
                )
                self._changed.add(reader)
                self._todo.append(reader)

    def _runs(self, step: str, reason: str, *, is_changed: bool) -> None:
        known = self._chosen[step].fate is Fate.RUNS
        if known and (not is_changed or step in self._changed):
            return
        if not known:
            self._chosen[step] = replace(self._chosen[step], fate=Fate.RUNS, reason=reason)
        if is_changed:
            self._changed.add(step)
        self._todo.append(step)


def _changed_text(changed: Iterable[str]) -> str:
    names = list(changed)
    return f"changed: {', '.join(names)}" if names else ""


def _was(state: StepState) -> str:
    return "did not complete" if not state.is_final else f"was {state.value}" if state != "failed" else "failed"
