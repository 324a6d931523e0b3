"""Joins a new run to earlier ones of its store: what it takes, planned before and found during the run."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from szal_nb.analysis.carrying import carried, same_objects
from szal_nb.analysis.fingerprint import fingerprint_of
from szal_nb.analysis.reuse import (
    Fate,
    Past,
    ReusePlan,
    counterpart,
    fingerprint_in,
    inputs_read,
    is_shared,
    plan_reuse,
    read_in,
    why_not_takeable,
)
from szal_nb.api.environment import Versions, changed_packages, packages, those_of
from szal_nb.api.fingerprints import modules_imported
from szal_nb.api.inputs import is_code, without_code
from szal_nb.engine.signal import Given
from szal_nb.errors import RunError, StoreError
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import is_kept
from szal_nb.model.state import StepState
from szal_nb.model.value import ValueRef
from szal_nb.store.pickling import UnknownClassError
from szal_nb.store.runs import RunStore, StoredRun
from szal_nb.store.survival import finder_of_lost

# How many of the newest runs of a flow are looked through, where none is named.
NEWEST = 10


class PastRuns:
    """Runs of a store as they are compared with a new one; each is read once, when it is asked for."""

    def __init__(self, store: RunStore, run_ids: Collection[str] = ()) -> None:
        self._store = store
        self._ids = tuple(run_ids)
        self._read: dict[str, Past] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Past]:
        return (self[run_id] for run_id in self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, run_id: str) -> Past:
        with self._lock:
            if run_id not in self._read:
                self._read[run_id] = past_of(self._store, run_id)
            return self._read[run_id]


def record_of(store: RunStore, run_id: str) -> Past:
    """A stored run as it is compared with others."""
    run = store.run(run_id)
    return _past(store, run)


def past_of(store: RunStore, run_id: str) -> Past:
    """A stored run as others may take from it: of one that is not ours nothing that loads by running code."""
    run = store.run(run_id)
    past = _past(store, run)
    if not store.is_ours(run):
        past.snapshot.inputs = without_code(past.snapshot.inputs)
        for step in past.snapshot.steps.values():
            step.values = without_code(step.values)
    return past


def _past(store: RunStore, run: StoredRun) -> Past:
    snapshot = store.snapshot(run.id)
    is_as_it_was = functools.cache(lambda: run.packages.items() <= packages().items())

    def unreadable(step: str) -> str:
        # Its classes are those of packages, so that it is looked at only where these are others now.
        return "" if is_as_it_was() else _unreadable(store, run.id, snapshot.steps[step].values)

    lost = finder_of_lost(store, run, snapshot)
    return Past(run_id=run.id, graph=store.graph(run.id), snapshot=snapshot, unreadable=unreadable, lost=lost)


def _unreadable(store: RunStore, run_id: str, values: Iterable[ValueRef]) -> str:
    """Why one of the values that others need cannot be loaded any more; "" if all can be."""
    loader = store.loader(run_id)
    for ref in values:
        if ref.needed and is_code(ref):
            try:
                loader.load_fresh(ref)
            except StoreError as error:
                # A class of the notebook may be defined by a cell that has not been executed yet.
                if not isinstance(error.__cause__, UnknownClassError):
                    return f"its value {ref.name} cannot be loaded: {getattr(error, 'reason', error)}"
    return ""


def newest_runs(store: RunStore, flow: str, *, limit: int = NEWEST) -> list[StoredRun]:
    """The newest runs of a flow that ran here."""
    return [run for run in store.runs(flow=flow, limit=limit) if not run.imported]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """Takes what is unchanged: from the named run, or from the newest of the flow. `must_run` steps run in any case."""

    pasts: PastRuns
    must_run: frozenset[str] = frozenset()
    packages: Mapping[str, str] = field(default_factory=dict)
    packages_then: Callable[[str], Mapping[str, str]] | None = None

    def plan(self, graph: FlowGraph, inputs: Mapping[str, ValueRef], skipped: Collection[str]) -> ReusePlan:
        """The fate of each step that is not skipped."""
        plan = plan_reuse(graph, inputs, self.pasts, must_run=self.must_run, skipped=skipped)
        return replace(plan, warnings=tuple(self._warnings(graph, plan)))

    def given(self, graph: FlowGraph, inputs: Mapping[str, ValueRef], plan: ReusePlan) -> dict[str, Given]:
        """What the steps that are taken complete with."""
        return given_by(graph, inputs, plan, self.pasts, origin="cached")

    def _warnings(self, graph: FlowGraph, plan: ReusePlan) -> Iterator[str]:
        then = self.packages_then
        if then is None:
            return
        changed_since = functools.cache(lambda run_id: changed_packages(then(run_id), self.packages))
        seen = set()
        for choice in plan.choices:
            if choice.fate is not Fate.TAKEN:
                continue
            for name, versions in _others(graph, choice.step, changed_since(choice.run_id)).items():
                if name not in seen:
                    seen.add(name)
                    yield _warning(choice.run_id, choice.step, name, *versions)


def modules_of(graph: FlowGraph, step: str) -> list[str]:
    """The modules that a step imports itself, and those that it uses of the notebook's, as its fingerprint says."""
    node = graph.node(step)
    outside = [name.split() for name, _ in node.parts]
    found = [words[1] for words in outside if words[:1] in (["import"], ["from"]) and len(words) > 1]
    return list(dict.fromkeys((*(name.split(".")[0] for name in found), *modules_imported(node.step.source))))


def _others(graph: FlowGraph, step: str, changed: Versions) -> Versions:
    """Those of the changed packages that the step uses."""
    return those_of(modules_of(graph, step), changed) if changed else {}


def _warning(run_id: str, step: str, package: str, then: str, now: str) -> str:
    return f"Mind: run {run_id} had {package} {then}, here is {now}; {step} is taken all the same."


def given_by(
    graph: FlowGraph, inputs: Mapping[str, ValueRef], plan: ReusePlan, pasts: PastRuns, *, origin: str
) -> dict[str, Given]:
    """What the taken steps of a plan complete with, under tokens of the new run."""
    same: dict[str, dict[str, str]] = {}
    refs: dict[str, dict[str, ValueRef]] = {}
    found = {}
    for choice in plan.choices:
        if choice.fate is not Fate.TAKEN:
            continue
        past = pasts[choice.run_id]
        if choice.run_id not in same:
            same[choice.run_id] = same_objects(inputs, {ref.name: ref for ref in past.snapshot.inputs})
        node = graph.node(choice.step)
        values = carried(past.snapshot.steps[choice.before].values, choice.run_id, node.needed, same[choice.run_id])
        refs[choice.step] = {ref.name: ref for ref in values}
        found[choice.step] = values
    return {
        step: Given(
            origin,
            values,
            fingerprint_of(graph.node(step), inputs_read(graph.node(step), inputs, refs)),
            plan.by_step[step].run_id,
        )
        for step, values in found.items()
    }


def _cacheable(graph: FlowGraph) -> frozenset[str]:
    """The steps with `--cache` that find and leave nothing in the process."""
    hidden = {name for edge in graph.edges if is_shared(edge, graph) for name in (edge.source, edge.target)}
    # What functions keep from call to call may have begun otherwise.
    hidden |= {node.step.name for node in graph.nodes if any(map(is_kept, node.states))}
    return frozenset(node.step.name for node in graph.nodes if node.step.cache) - hidden


class Finder:
    """Finds during a run what an earlier one has given: for steps that the plan left open, and for `--cache`."""

    def __init__(
        self,
        graph: FlowGraph,
        store: RunStore,
        pasts: PastRuns | None = None,
        plan: ReusePlan | None = None,
        must_run: Collection[str] = (),
        *,
        packages: Mapping[str, str] | None = None,
    ) -> None:
        self._graph = graph
        self._store = store
        now = packages or {}
        self._changed_since = functools.cache(lambda run_id: changed_packages(store.run(run_id).packages, now))
        self._pasts = pasts if pasts is not None else PastRuns(store)
        self._cached = graph.derived(_cacheable) - set(must_run)
        self._open = set(plan.of_fate(Fate.OPEN)) if plan is not None else set()

    @property
    def is_needed(self) -> bool:
        """Whether there is anything that it could find."""
        return bool(self._cached or self._open)

    def may_have(self, step: str) -> bool:
        """Whether it is worth a look for this step."""
        return step in self._open or step in self._cached

    def find(self, step: str, fingerprint: str, read: Mapping[str, ValueRef]) -> Given | None:
        """What stands for an attempt of the step that would read this; None if it must run."""
        if step in self._open:
            for past in self._pasts:
                found = self._in(past, step, fingerprint, read)
                if found is not None:
                    return found
        if step in self._cached:
            for run_id in self._store.runs_with(self._graph.flow.name, step, fingerprint):
                found = self._in(self._pasts[run_id], step, fingerprint, read)
                if found is not None:
                    return found
        return None

    def _in(self, past: Past, step: str, fingerprint: str, read: Mapping[str, ValueRef]) -> Given | None:
        node = self._graph.node(step)
        before = counterpart(node, self._graph, past)
        if before is None:
            return None
        step_then = past.snapshot.steps[before]
        if step_then.state is not StepState.COMPLETED or why_not_takeable(node, past, before):
            return None
        if fingerprint_in(past, before) != fingerprint or past.unreadable(before):
            return None
        values = carried(step_then.values, past.run_id, node.needed, same_objects(read, read_in(past, before)))
        others = _others(self._graph, step, self._changed_since(past.run_id))
        said = "".join(f"[szal: {_warning(past.run_id, step, name, *both)}]\n" for name, both in others.items())
        return Given("cached", values, fingerprint, past.run_id, said)


def reuse_from(
    store: RunStore | None,
    flow: str,
    run: str | None,
    *,
    must_run: Collection[str] = (),
    packages: Mapping[str, str] | None = None,
) -> Reuse:
    """What a run of `flow` takes from the run whose id begins with `run`, or from the newest runs of the flow if None.

    Raises RunError without a store, or if the named run is of another flow.
    """
    if store is None:
        raise RunError("Only a run with a store can take values of an earlier run.")
    if run:
        stored = store.run(run)
        if stored.flow != flow:
            raise RunError(f"Run {stored.id} is of flow {stored.flow!r}, not of {flow!r}.")
        ids = [stored.id]
    else:
        ids = [found.id for found in newest_runs(store, flow)]
    return Reuse(
        pasts=PastRuns(store, ids),
        must_run=frozenset(must_run),
        packages=packages or {},
        packages_then=lambda run_id: store.run(run_id).packages,
    )
