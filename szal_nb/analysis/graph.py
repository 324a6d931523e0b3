"""From a flow to its graph: what each step takes from where, who waits for whom and why; refuses what cannot be run.

    build_graph(flow: FlowDefinition, surroundings: Surroundings = Surroundings()) -> FlowGraph

Surroundings(names: Mapping[str, NotebookName]) is what the notebook binds outside of steps;
NotebookName(kind: "module" | "function" | "class" | "callable" | "data", source=None, statement=None).
Raises InvalidStep, InvalidFlow or FlowCycle, before anything runs.

What the nodes say: `bindings` are values to put into the step's namespace under `name`; a binding of the same name
as one of `changes` is changed in place by the step, which then gives the name again. `gives` are the names bound by
the body; values are recorded of `gives` and of `changes`. `imports` are statements to run in the namespace, before
anything else. `definitions` are names of the notebook to put there as they are; plain functions among them, and
functions that steps give, must be rebuilt over the namespace. A name that is both in `definitions` and bound from a
step is such a function of a step.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from szal_nb.analysis.captured import check_captured
from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.cycles import cycle_in, in_order
from szal_nb.analysis.edges import Edges
from szal_nb.analysis.helpers import Helpers
from szal_nb.analysis.live import live_note
from szal_nb.analysis.names import Context
from szal_nb.analysis.order import ordering
from szal_nb.analysis.resolve import Resolver, pass_through
from szal_nb.analysis.resolved import Known, Resolved
from szal_nb.analysis.sight import Sight
from szal_nb.analysis.surroundings import NameKind, NotebookName, Surroundings
from szal_nb.analysis.threads import THREAD_BOUND
from szal_nb.errors import FlowCycle, InvalidFlow, InvalidStep
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.kept import attributes_owner
from szal_nb.model.step import Step, Trigger

__all__ = ["NotebookName", "Surroundings", "build_graph"]

_NOTHING = Surroundings()
_NO_CONTEXT = Context()
_T = TypeVar("_T")


def build_graph(flow: FlowDefinition, surroundings: Surroundings = _NOTHING) -> FlowGraph:
    """The graph of a flow; `DefinitionError` if it cannot be run with the answer of running it from the top."""
    sight = Sight.of(flow)
    found = resolved(sight, surroundings)
    edges = ordering(found)
    steps = sight.steps
    if flow.mode is FlowMode.PARALLEL:
        refuse_dependencies(found, edges)
    by_name = {one.step.name: one for one in found}
    for step in flow.steps:
        named_edges(by_name[step.name], steps, edges)
    if flow.mode is FlowMode.SEQUENTIAL:
        for before, after in zip(flow.steps, flow.steps[1:], strict=False):
            edges.add(sequential_edge(before, after))
    _refuse_waiting_for_sub_steps(steps, edges)
    _refuse_any_of_none(steps, edges)
    cycle = cycle_in(list(steps), edges.all())
    if cycle:
        raise FlowCycle(cycle)
    needed = _needed(found)
    main = main_thread(found)
    if any(one.remade for one in found):
        _define_makers(by_name, edges)
    return FlowGraph(
        flow=flow,
        nodes=tuple(node_of(by_name[name], needed.get(name, ()), main) for name in steps),
        edges=edges.all(),
        inputs=_inputs(found, surroundings),
    )


def resolved(sight: Sight, surroundings: Surroundings) -> list[Resolved]:
    """All that is found of the steps of a flow, in the order in which names pass from one to another."""
    flow = sight.flow
    known = Known(surroundings.names, sight.steps, sight.glances, sight.givers, imported=dict(sight.imports))
    helpers = Helpers(known)
    for name, source in (*classes_around(surroundings).items(), *sight.classes):
        helpers.add_class(name, source)
    resolver, found = Resolver(known, helpers), {}
    for step in flow.steps if flow.ordered else _unordered(sight):
        one = found[step.name] = resolver.resolve(step)
        for version in one.followed.values():
            pass_through(version, found, known)
    result = [*found.values()]
    check_captured(result, known)
    return result


def classes_around(surroundings: Surroundings) -> dict[str, str]:
    """The names of the notebook that have a source, with it."""
    names = surroundings.names if surroundings.with_code is None else surroundings.with_code
    found = ((name, surroundings.names.get(name)) for name in names)
    return {name: one.source for name, one in found if one is not None and one.source}


def _define_makers(found: Mapping[str, Resolved], edges: Edges) -> None:
    """Who reads an instance of a class that a step changes has to do with the class, as if its code named it."""
    for edge in edges.all():
        for name in filter(None, map(attributes_owner, edge.names)) if "hidden-state" in edge.rules else ():
            for one in (found[edge.source], found[edge.target]):
                if name not in one.definitions and name not in one.bindings:
                    one.definitions += (name,)


def _inputs(found: Sequence[Resolved], surroundings: Surroundings) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            binding.source
            for one in found
            for binding in one.bindings.values()
            if binding.step is None and (not binding.is_optional or _is_data(binding.source, surroundings))
        )
    )


def _is_data(name: str, surroundings: Surroundings) -> bool:
    # What a step can do without is no module or function of the notebook.
    known = surroundings.names.get(name)
    return known is not None and known.kind == NameKind.DATA


def _unordered(sight: Sight) -> Sequence[Step]:
    """The steps of a flow without document order, each after those whose names it reads, else as they were defined."""
    reading = (name for name, step in sight.steps.items() if sight.glances[name].source or step.reads or step.needs)
    edges = [edge for name in reading for edge in _read_from(name, sight)]
    names = [*sight.steps]
    order = in_order(names, edges) if edges else names
    if order is None:
        raise FlowCycle(cycle_in(names, edges))
    return [sight.steps[name] for name in order]


def _read_from(target: str, sight: Sight) -> Iterator[Edge]:
    """Edges from the steps whose names a step reads, wherever they stand; InvalidStep if two give one of them."""
    step, glance = sight.steps[target], sight.glances[target]
    reads = {read.name for read in analyze_cell(glance.source, _NO_CONTEXT).reads}
    if step.reads or glance.parameters:
        reads |= {*step.reads, *(name.replace("_", "-") for name in glance.parameters)}
    needed = {local: text.partition(".")[0] for local, text in step.needs} if step.needs else {}
    # An override decides which of several givers is meant.
    for name in sorted(reads.difference(needed)) if reads else ():
        sources = [giver for giver in sight.givers.get(name, ()) if giver != target]
        if len(sources) > 1:
            raise InvalidStep(
                target,
                f"it reads {name!r}, which {len(sources)} steps give: {', '.join(sources)}.",
                f"Say which one is meant: --needs {name}={sources[0]}.{name}, or rename one of them.",
            )
        for source in sources:
            yield Edge(source=source, target=target, kind=EdgeKind.DATA, names=(name,))
    for source in needed.values():
        if source in sight.glances and source != target:
            yield Edge(source=source, target=target, kind=EdgeKind.DATA)


def refuse_dependencies(found: Iterable[Resolved], edges: Edges) -> None:
    """Refuses steps of a parallel flow that depend on each other."""
    for one in found:
        step = one.step
        parent = () if step.parent is None else (step.parent,)
        for flag, sources in (("--after", step.after), ("--parent", parent), ("--when", one.condition_steps)):
            if sources:
                raise InvalidFlow(
                    f"Step {step.name!r} depends on step {sources[0]!r}: its {flag} names it. "
                    "In a parallel flow no step may depend on another; use mode dag."
                )
    for edge in edges.all():
        if edge.kind is EdgeKind.DATA or (edge.kind is EdgeKind.ORDER and edge.rule == "changed-after-reading"):
            names = ", ".join(edge.names)
            raise InvalidFlow(
                f"Step {edge.target!r} depends on step {edge.source!r} ({names}): {edge.reason} "
                "In a parallel flow no step may depend on another; use mode dag."
            )


def _refuse_waiting_for_sub_steps(steps: Mapping[str, Step], edges: Edges) -> None:
    """Refuses a step that waits for what runs only after it: a sub-step of its own, however deep."""
    parents = {step.name: step.parent for step in steps.values() if step.parent is not None}
    for edge in edges.all() if parents else ():
        above, seen = parents.get(edge.source), {edge.source}
        while above is not None and above not in seen and above != edge.target:
            seen.add(above)
            above = parents.get(above)
        if above == edge.target and edge.kind is not EdgeKind.PARENT:
            raise InvalidStep(
                edge.target,
                f"it waits for {edge.source!r}, which is a sub-step of it and runs after it: {edge.reason}",
                f"Take what {edge.target} needs out of {edge.source}, or remove --parent {parents[edge.source]} there.",
            )


def _refuse_any_of_none(steps: Mapping[str, Step], edges: Edges) -> None:
    """Refuses a step that is to start at the first of its dependencies, and has none."""
    first_of = {name for name, step in steps.items() if step.trigger is Trigger.ANY}
    for name in first_of.difference(edge.target for edge in edges.all()) if first_of else ():
        raise InvalidStep(
            name,
            "--trigger any lets it start when the first step that it waits for completes, but it waits for none.",
            "Name them with --after, or remove --trigger any.",
        )


def sequential_edge(before: Step, after: Step) -> Edge:
    """The edge between neighbours in a sequential flow."""
    return Edge(source=before.name, target=after.name, kind=EdgeKind.ORDER, rule="sequential",
                reason="The flow is sequential.", remedy="use mode dag")  # fmt: skip


def named_edges(one: Resolved, steps: Mapping[str, Step], edges: Edges) -> None:
    """The edges that a step's flags name."""
    step = one.step
    for name in step.after:
        if name not in steps or name == step.name:
            raise _unknown(step, "--after", name, steps)
        edges.add(Edge(source=name, target=step.name, kind=EdgeKind.ORDER, rule="after",
                       reason=f"--after {name}.", remedy=f"remove --after {name}"))  # fmt: skip
    if step.parent is not None:
        if step.parent not in steps or step.parent == step.name:
            raise _unknown(step, "--parent", step.parent, steps)
        edges.add(Edge(source=step.parent, target=step.name, kind=EdgeKind.PARENT, rule="parent",
                       reason=f"{step.name} is a sub-step of {step.parent}."))  # fmt: skip
    for name in one.condition_steps:
        edges.add(Edge(source=name, target=step.name, kind=EdgeKind.ORDER, rule="when",
                       reason=f"--when asks for the state of {name}."))  # fmt: skip


def _unknown(step: Step, flag: str, name: str, steps: Mapping[str, Step]) -> FlowCycle | InvalidStep:
    if name == step.name:
        return FlowCycle((name, name))
    near = difflib.get_close_matches(name, list(steps), n=1, cutoff=0.5)
    advice = f"Did you mean {near[0]}?" if near else f"The steps are: {', '.join(list(steps)[:20])}."
    return InvalidStep(step.name, f"{flag} names the step {name!r}, which does not exist.", advice)


def _needed(found: Sequence[Resolved]) -> Mapping[str, dict[str, None]]:
    """The names whose values are needed, by the step that gives them."""
    needed: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for one in found:
        if one.step.out:
            needed[one.step.name].update(dict.fromkeys(one.step.out))
    for one in found:
        if one.step.rollback is not None:
            # What undoes a step in another process needs what the step gave.
            own = dict.fromkeys((*one.gives, *(change.name for change in one.changed_values)))
            needed[one.step.name].update(
                (name, None) for name in own if one.undo is None or name.replace("-", "_") in one.undo.reads
            )
        for binding in one.bindings.values():
            if binding.step is not None:
                needed[binding.step].setdefault(binding.source)
    asked = [step for one in found for step in one.condition_outputs]
    gives = {one.step.name: one.gives for one in found} if asked else {}
    for step in asked:
        needed[step].update(dict.fromkeys(gives[step]))
    return needed


def main_thread(found: Iterable[Resolved]) -> set[str]:
    """The steps that make or use, between them, a value that is bound to the thread that made it, or the loop."""
    result: set[str] = set()
    for one in found:
        if one.names.needs_loop and not one.names.is_async:
            result.add(one.step.name)
        for version in one.from_version.values():
            if version.kind in THREAD_BOUND:
                result |= {one.step.name, version.giver}
    return result


def node_of(one: Resolved, needed: Iterable[str], main: set[str]) -> StepNode:
    """The node of a step, which is one of those on the `main` thread or not."""
    names, step = one.names, one.step
    changed = one.changed_values if one.changes else ()
    # A class or function that came with a step's value is not the notebook's.
    return StepNode(
        step=step,
        bindings=tuple(one.bindings.values()),
        gives=one.gives,
        changes=_distinct(change.name for change in changed) if changed else (),
        doubtful=_distinct(change.name for change in changed if change.need_not_reach) if changed else (),
        deletes=tuple(read.name for read in names.deletes if read.name not in one.gives) if names.deletes else (),
        needed=tuple(needed),
        imports=_distinct(statement for _, statement in one.imports) if one.imports else (),
        definitions=_distinct(one.definitions) if one.definitions else (),
        states=_distinct(use.state for use in names.states if use.is_write) if names.states else (),
        is_async=names.is_async,
        is_main_thread=step.name in main,
        is_cacheable=not names.dynamic,
        notes=_notes_of(one, main),
        captures=_distinct((captured.owner, captured.name) for captured in names.captured) if names.captured else (),
        undo=one.undo,
    )


def _notes_of(one: Resolved, main: set[str]) -> tuple[str, ...]:
    notes = []
    if one.names.dynamic:
        dynamic = dict.fromkeys(read.name for read in one.names.dynamic)
        notes.append(f"Uses {', '.join(dynamic)}: ordered with all steps, never cached.")
    if one.names.gives or one.changes:
        changed = ((change.name, one.from_version.get(change.name)) for change, _ in one.changes)
        living = live_note(
            (given for given in one.names.gives if given.name in one.gives),
            ((name, version.kind) for name, version in changed if version is not None),
        )
        notes += [living] if living else []
    if one.step.name in main:
        notes.append("Works with a value that belongs to one thread: runs on the main thread.")
    return tuple(notes)


def _distinct(found: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(found))
