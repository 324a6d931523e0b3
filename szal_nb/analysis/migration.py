"""From one version of a flow to another: what a run that has not ended may carry over, and what it must do again. Pure.

Rules. A step that completed is kept if its code and all that it reads are the same in the new version; a step of
another name with the same code is a rename. A step that is not kept runs again, and so does what reads it. What a
person has declared goes before: a step may be renamed, kept although its code changed, adapted by a function, run
again or dropped. A step that must not run twice (`--once`) and would run again is a refusal, as is a downgrade that
nobody declared.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from szal_nb.analysis.definition_diff import DefinitionDiff, compare_definitions, parts_of
from szal_nb.analysis.fingerprint import difference, fingerprint_of
from szal_nb.analysis.reuse import (
    Choice,
    Fate,
    Past,
    counterpart,
    fingerprint_in,
    in_reading_order,
    inputs_read,
    opaque_edges,
    other_sources,
    refs_by_name,
    settle_shared,
    why_not_takeable,
)
from szal_nb.errors import MigrationError
from szal_nb.model.graph import Edge, FlowGraph, StepNode
from szal_nb.model.state import StepState
from szal_nb.model.value import ValueRef


class Carry(StrEnum):
    """What becomes of a step when its run is carried to another version."""

    KEEP = "keep"
    RENAME = "rename"
    ADAPT = "adapt"
    RERUN = "re-run"
    DROP = "drop"


@dataclass(kw_only=True)
class Migration:
    """What a person declares of one change of version. `@szal.migration("sales", 1, 2)` gives it to be filled in."""

    flow: str
    before: int
    after: int
    renames: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    rerun_steps: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def rename(self, before: str, after: str) -> None:
        """The step `before` is called `after` in the new version."""
        self.renames[after] = before

    def keep(self, *steps: str) -> None:
        """The values of these steps stay good, although their code has changed."""
        self.kept.update(steps)

    def rerun(self, *steps: str) -> None:
        """These steps run again, although nothing of them has changed."""
        self.rerun_steps.update(steps)

    def drop(self, *steps: str) -> None:
        """What these steps gave is of no use any more."""
        self.dropped.update(steps)

    def adapt(self, step: str, function: Callable[..., Any]) -> None:
        """`function` makes what the step gives now from what the run has: its parameters are names of values.

        It returns the value, or a dictionary of values by name if the step gives several.
        """
        self.functions[step] = function


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The fate of one step. `before` is its name in the old version, "" if it is new; `functions` adapt its values.

    Each of them comes with the place of its change of version in the chain.
    """

    step: str
    carry: Carry
    reason: str
    before: str = ""
    changed: tuple[str, ...] = ()
    functions: tuple[tuple[int, Callable[..., Any]], ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "step": self.step,
            "carry": self.carry.value,
            "before": self.before or None,
            "reason": self.reason,
            "changed": list(self.changed),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationPlan:
    """What becomes of each step of both versions; `refusals` say why the run cannot be carried over at all.

    `difference` is that of the two definitions, whatever was declared.
    """

    run_id: str
    flow: str
    versions: tuple[int, int]
    steps: tuple[Carried, ...] = ()
    refusals: tuple[str, ...] = ()
    difference: DefinitionDiff = field(default_factory=DefinitionDiff)

    @property
    def is_safe(self) -> bool:
        """Whether it may be applied."""
        return not self.refusals

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "run": self.run_id,
            "flow": self.flow,
            "versions": list(self.versions),
            "safe": self.is_safe,
            "steps": [step.json() for step in self.steps],
            "refusals": list(self.refusals),
            "difference": self.difference.json(),
        }

    def __str__(self) -> str:
        width = max((len(step.step) for step in self.steps), default=0)
        lines = [f"Run {self.run_id} of {self.flow}, version {self.versions[0]} → {self.versions[1]}"]
        lines += [f"  {step.carry:<6}  {step.step:<{width}}  {step.reason}" for step in self.steps]
        lines += [f"  {text}" for text in self.difference.lines()]
        lines += [f"  Refused: {text}" for text in self.refusals]
        return "\n".join(lines)


@dataclass(slots=True)
class _Lineage:
    """What declarations say of a step of the new version."""

    before: str
    is_declared: bool = False
    is_kept: bool = False
    is_rerun: bool = False
    functions: tuple[tuple[int, Callable[..., Any]], ...] = ()


def plan_migration(new: FlowGraph, past: Past, declared: Iterable[Migration] = ()) -> MigrationPlan:
    """What becomes of each step of a run when it goes on as the flow `new`."""
    before, after = past.graph.flow.version, new.flow.version
    refusals = []
    if new.flow.name != past.graph.flow.name:
        refusals.append(f"it is a run of flow {past.graph.flow.name!r}, not of {new.flow.name!r}.")
    if before == after:
        refusals.append(f"it is of version {after} already; give the changed flow another --version.")
    chain: Sequence[Migration] = ()
    try:
        chain = chain_of(declared, new.flow.name, before, after)
    except MigrationError as error:
        refusals.append(str(error))
    refusals += _unknown_names(chain, new, past)
    lineage = _lineage(past, chain)
    planner = _Planner(new, past, lineage)
    steps = planner.plan()
    refusals += planner.refusals
    dropped = [name for name in past.snapshot.steps if name not in {step.before for step in steps}]
    steps += [Carried(step=name, carry=Carry.DROP, reason=_why_dropped(past, name), before=name) for name in dropped]
    return MigrationPlan(
        run_id=past.run_id,
        flow=new.flow.name,
        versions=(before, after),
        steps=tuple(steps),
        refusals=tuple(refusals),
        difference=compare_definitions(past.graph, new),
    )


def chain_of(declared: Iterable[Migration], flow: str, before: int, after: int) -> tuple[Migration, ...]:
    """The declared migrations on the way from one version to another.

    Upwards, a version for which nothing is declared is passed by what the definitions say. Raises MigrationError for
    a way down that is not declared whole.
    """
    hops = {
        found.before: found
        for found in declared
        if found.flow == flow and (found.after > found.before) == (after > before)
    }
    chain, version = [], before
    while version != after:
        hop = hops.get(version)
        if hop is not None and (hop.after <= after if after > before else hop.after >= after):
            chain.append(hop)
            version = hop.after
        elif after > before:
            version += 1
        else:
            raise MigrationError(
                f"a downgrade from version {before} to {after} is done only if it is declared: "
                f'@szal.migration("{flow}", {version}, {version - 1}).'
            )
    return tuple(chain)


def _unknown_names(chain: Sequence[Migration], new: FlowGraph, past: Past) -> list[str]:
    """What is declared of steps that are not there, or of one step twice: it would have been left out in silence."""
    now = [node.step.name for node in new.nodes]
    found = []
    for hop in chain:
        # What a version between had is not known here.
        is_first, is_last = hop.before == past.graph.flow.version, hop.after == new.flow.version
        sides = [
            (is_first, list(past.snapshot.steps), (*hop.renames.values(), *hop.dropped)),
            (is_last, now, (*hop.renames, *hop.kept, *hop.rerun_steps, *hop.functions)),
        ]
        for is_known, names, declared in sides:
            for name in dict.fromkeys(declared) if is_known else ():
                if name not in names:
                    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                    advice = f"Did you mean {near[0]}?" if near else f"The steps are {', '.join(names)}."
                    found.append(f"{_declaration(hop)} speaks of a step {name!r}, which is not there. {advice}")
        befores = list(hop.renames.values())
        twice = dict.fromkeys(one for one in befores if befores.count(one) > 1)
        found += [f"{_declaration(hop)} gives the step {name!r} two names; it can have one." for name in twice]
    return found


def _declaration(hop: Migration) -> str:
    return f'@szal.migration("{hop.flow}", {hop.before}, {hop.after})'


def _lineage(past: Past, chain: Sequence[Migration]) -> dict[str, _Lineage]:
    found = {name: _Lineage(name) for name in past.snapshot.steps}
    for place, hop in enumerate(chain):
        moved = {after: found.pop(before) for after, before in hop.renames.items() if before in found}
        for name, line in moved.items():
            line.is_declared = True
            found[name] = line
        for name in hop.dropped:
            found.pop(name, None)
        for name in hop.kept & found.keys():
            found[name].is_kept = True
        for name in hop.rerun_steps & found.keys():
            found[name].is_rerun = True
        for name, function in hop.functions.items():
            line = found.setdefault(name, _Lineage(""))
            line.functions = (*line.functions, (place, function))
    return found


class _Planner:
    def __init__(self, new: FlowGraph, past: Past, lineage: Mapping[str, _Lineage]) -> None:
        self.refusals: list[str] = []
        self._new = new
        self._past = past
        self._lineage = lineage
        self._refs: dict[str, dict[str, ValueRef]] = {}
        self._inputs = {ref.name: ref for ref in past.snapshot.inputs}
        self._found: dict[str, Carried] = {}
        self._opaque = opaque_edges(new)
        self._asked: dict[str, list[str]] = {}
        for edge in new.edges:
            if "when" in edge.rules:
                self._asked.setdefault(edge.target, []).append(edge.source)

    def plan(self) -> list[Carried]:
        for node in in_reading_order(self._new):
            carried = self._found[node.step.name] = self._of(node)
            if carried.carry in (Carry.KEEP, Carry.RENAME):
                self._refs[node.step.name] = {ref.name: ref for ref in carried_refs(node, self._past, carried.before)}
        self._settle()
        for carried in self._found.values():
            self._check(carried)
        return [self._found[node.step.name] for node in self._new.nodes]

    def _of(self, node: StepNode) -> Carried:  # noqa: C901 one rule after another, in the order they are told
        step = node.step.name
        line = self._lineage.get(step)
        before = line.before if line is not None else self._renamed(node)

        def rerun(reason: str, changed: tuple[str, ...] = ()) -> Carried:
            return Carried(step=step, carry=Carry.RERUN, reason=reason, before=before, changed=changed)

        if line is not None and line.functions:
            reason = "a declared function makes its values"
            return Carried(step=step, carry=Carry.ADAPT, reason=reason, before=before, functions=line.functions)
        if not before:
            return rerun("it is new")
        if line is not None and line.is_rerun:
            return rerun("it is declared to run again")
        found = self._past.snapshot.steps[before]
        if found.state is not StepState.COMPLETED:
            return rerun(f"it is {found.state.value} in the run")
        obstacle = why_not_takeable(node, self._past, before) or self._misfit(node, before)
        if obstacle:
            return rerun(obstacle)
        carry = Carry.KEEP if before == step else Carry.RENAME
        was = "" if before == step else f"it was called {before}; "
        if line is not None and line.is_kept:
            return Carried(step=step, carry=carry, reason=f"{was}it is declared to stay good", before=before)
        old = self._past.graph.node(before)
        changed = difference(parts_of(node), parts_of(old))
        if changed:
            return rerun(f"changed: {', '.join(changed)}", changed)
        if not node.is_cacheable:
            return rerun("its code uses names that cannot be known beforehand")
        opaque = self._opaque.get(step, ())
        names_before = {edge.source: self._found[edge.source].before for edge in opaque}
        others = other_sources(opaque, names_before, self._past, before)
        if others:
            return rerun(f"what it finds in the process is not what it found: {', '.join(others)}", others)
        behind = self._behind(step, opaque)
        if behind:
            return rerun(behind)
        return self._by_what_it_reads(node, before, carry, was)

    def _behind(self, step: str, opaque: Sequence[Edge]) -> str:
        """Why it must run after another step that runs again, of which it reads no value; "" if there is none."""
        for edge in opaque:
            if self._found[edge.source].carry is Carry.RERUN:
                return f"it comes after {edge.source}, which runs again: {edge.reason}"
        for asked in self._asked.get(step, ()):
            if self._found[asked].carry in (Carry.RERUN, Carry.ADAPT):
                return f"its condition asks what becomes of {asked}, which {self._verb(asked)}"
        return ""

    def _by_what_it_reads(self, node: StepNode, before: str, carry: Carry, was: str) -> Carried:
        step = node.step.name
        for binding in node.bindings:
            giver = self._found.get(binding.step or "")
            if giver is not None and giver.carry in (Carry.RERUN, Carry.ADAPT):
                reason = f"it reads {binding.name} of {giver.step}, which {self._verb(giver.step)}"
                return Carried(step=step, carry=Carry.RERUN, reason=reason, before=before)
        now = fingerprint_of(node, inputs_read(node, self._inputs, self._refs))
        if not now or now != fingerprint_in(self._past, before):
            reason = "it reads other values than it did" if now else "what it read cannot be compared"
            return Carried(step=step, carry=Carry.RERUN, reason=reason, before=before)
        return Carried(step=step, carry=carry, reason=f"{was}its code and what it reads are unchanged", before=before)

    def _verb(self, step: str) -> str:
        return "runs again" if self._found[step].carry is Carry.RERUN else "is adapted"

    def _renamed(self, node: StepNode) -> str:
        taken = {line.before for line in self._lineage.values() if line.is_declared}
        before = counterpart(node, self._new, self._past)
        return before if before is not None and before not in taken and before in self._lineage else ""

    def _misfit(self, node: StepNode, before: str) -> str:
        """Why what the step gave cannot be what it gives now; "" if it can."""
        kept = {ref.name for ref in carried_refs(node, self._past, before)}
        missing = [name for name in node.needed if name not in kept]
        return f"it gave no {', '.join(missing)}" if missing else ""

    def _settle(self) -> None:
        chosen = {
            name: Choice(step=name, fate=Fate.RUNS if found.carry is Carry.RERUN else Fate.TAKEN, reason="")
            for name, found in self._found.items()
        }
        settle_shared(self._new, chosen, open_as=Fate.RUNS)
        for name, choice in chosen.items():
            found = self._found[name]
            if choice.fate is Fate.RUNS and found.carry is not Carry.RERUN:
                self._found[name] = Carried(step=name, carry=Carry.RERUN, reason=choice.reason, before=found.before)

    def _check(self, carried: Carried) -> None:
        step = self._new.node(carried.step).step
        if carried.carry is not Carry.RERUN or not carried.before:
            return
        then = self._past.snapshot.steps[carried.before]
        was_once = self._past.graph.node(carried.before).step.once
        if (step.once or was_once) and then.attempts and then.state is not StepState.FAILED:
            line = self._lineage.get(carried.step)
            is_declared = line is not None and (line.is_kept or bool(line.functions))
            advice = (
                "What it shares with others that run again is not written down: these must be kept or adapted too."
                if is_declared
                else "Declare what is to become of it: keep or adapt in @szal.migration."
            )
            self.refusals.append(
                f"step {carried.step!r} is marked --once and has {_tense(then.state)}, but would run again "
                f"({carried.reason}). {advice}"
            )


def _tense(state: StepState) -> str:
    return "completed" if state is StepState.COMPLETED else "begun"


def carried_refs(node: StepNode, past: Past, before: str) -> tuple[ValueRef, ...]:
    """What the step `before` gave, under the names that `node` gives; a single value may have another name now."""
    refs = tuple(past.snapshot.steps[before].values)
    old = past.graph.node(before)
    if len(old.values) == 1 and len(node.values) == 1 and old.values != node.values:
        return tuple(
            msgspec.structs.replace(ref, name=node.values[0]) if ref.name == old.values[0] else ref for ref in refs
        )
    return refs


def _why_dropped(past: Past, step: str) -> str:
    state = past.snapshot.steps[step].state
    gave = ", ".join(refs_by_name(past.snapshot.steps[step]))
    return "the new version has no such step" + (
        f"; what it gave ({gave}) is not carried" if gave else f"; it is {state}"
    )
