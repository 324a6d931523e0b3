"""Which completed steps a resume runs again, which values they give anew, and what others read as it was. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property

from szal_nb.engine.keeping import kept_states
from szal_nb.engine.links import Links, Place
from szal_nb.engine.shared_values import is_shared_name, keys_in
from szal_nb.engine.wiring import Wiring
from szal_nb.errors import ReplayError
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import GENERATORS, is_kept, state_name, state_of
from szal_nb.model.state import RunSnapshot, StepState
from szal_nb.model.value import ValueRef, is_class


def overtaken(wiring: Wiring, is_open: Sequence[bool]) -> set[int]:
    """The steps that do not run and have steps before them that do."""
    is_behind = [False] * len(is_open)
    for i in wiring.order:
        is_behind[i] = any(is_open[source] or is_behind[source] for source in wiring.sources[i])
    return {i for i, behind in enumerate(is_behind) if behind and not is_open[i]}


class StepsAgain:
    """Which completed steps run again, and which values they give anew."""

    def __init__(self, graph: FlowGraph, snapshot: RunSnapshot, lost: Mapping[str, Collection[str]]) -> None:
        self._graph = graph
        self._snapshot = snapshot
        self._wiring = graph.derived(Wiring)
        self._given = {name: step.on_record for name, step in snapshot.steps.items()}
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
        self._todo = [name for name in snapshot.steps if name not in self.kept]
        for name in self.rebuilt:
            self._put_behind(name)
        places = self._lost_places(lost)
        for name in sorted({step for step, _ in places}, key=self._wiring.index.__getitem__):
            self._again(name, f"What step {name!r} gave is not in the store any more, but it")
        self._need(places)
        while self._todo:
            self._need(self._live_reads(self._todo.pop()))

    @cached_property
    def _links(self) -> Links:
        return Links(self._snapshot.inputs, self._given)

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
        passed = self._overtaken()
        found: dict[str, frozenset[Place]] = {}
        if not passed:
            return found
        for i, name in enumerate(wiring.names):
            since = {wiring.names[j] for j in passed & wiring.downstream(i)} if name not in self.kept else set()
            if not since or name in self.rebuilt:
                continue
            read = self._read_by(name) - self.anew
            places = {place for place in read if any(step in since for step, _ in self._links.closure([place]))}
            if places:
                found[name] = frozenset(places)
        return found

    def classes(self) -> dict[str, frozenset[Place]]:
        """What steps that run now read of classes, and of what these hold, that they or later steps have changed."""
        changed = self._changed_classes()
        found: dict[str, frozenset[Place]] = {}
        for i, name in enumerate(self._wiring.names) if changed else ():
            if name in self.kept:
                continue
            since = {name, *(self._wiring.names[j] for j in self._wiring.downstream(i))}
            read = self._read_by(name) - self.anew
            places = {place for places, changers in changed if changers & since for place in places & read}
            if places:
                found[name] = frozenset(places)
        return found

    def _changed_classes(self) -> list[tuple[set[Place], set[str]]]:
        """The classes on record that steps have changed, with all that shares parts with them, and these steps."""
        classes = [(step, ref.name) for step, refs in self._given.items() for ref in refs if is_class(ref)]
        if not classes:
            return []
        found, seen = [], set[Place]()
        for place in classes:
            if place not in seen:
                places = self._links.closure([place])
                seen |= places
                changers = {step for step, name in places if step and self._has_changed(step, name, places)}
                if changers:
                    found.append((places, changers))
        return found

    def _has_changed(self, step: str, name: str, places: Iterable[Place]) -> bool:
        """Whether the step has changed what it gave under the name; what it only may have, by what is on record."""
        node = self._graph.node(step)
        if name not in node.changes or name not in node.doubtful:
            return name in node.changes
        refs = {(giver, ref.name): ref for giver, _ in places for ref in self._given.get(giver, ())}
        ref = refs[step, name]
        return ref.hash is None or any(
            refs[p].hash != ref.hash for p in places & refs.keys() if refs[p].identity == ref.identity
        )

    def _read_by(self, step: str) -> set[Place]:
        return {(one.step or "", one.source or one.name) for one in self._graph.node(step).bindings}

    def out_of_order(self) -> dict[str, tuple[str, ...]]:
        """Hidden states that kept steps have used before others could that come before them, with these others."""
        wiring, nodes = self._wiring, self._graph.nodes
        passed = self._overtaken()
        found: dict[str, dict[str, None]] = {}
        for i, name in enumerate(wiring.names) if passed else ():
            if name in self.kept or name in self.rebuilt or not nodes[i].states:
                continue
            for j in passed & wiring.downstream(i):
                for state in set(nodes[i].states) & set(nodes[j].states):
                    if state in GENERATORS or is_kept(state):
                        found.setdefault(state, {})[name] = None
        return {state: tuple(names) for state, names in found.items()}

    def _overtaken(self) -> set[int]:
        """The kept steps that have steps before them which run now."""
        return overtaken(self._wiring, [name not in self.kept for name in self._wiring.names])

    def _live_reads(self, step: str) -> set[Place]:
        read = self._read_by(step)
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
