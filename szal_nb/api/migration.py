"""Carries runs to another version of their flow: plans it, makes a new run that can be resumed, takes it back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from szal_nb.analysis.adapting import Adapter
from szal_nb.analysis.carrying import carried, carried_inputs
from szal_nb.analysis.fingerprint import changed_definitions, fingerprint_of
from szal_nb.analysis.migration import (
    Carry,
    Migration,
    MigrationPlan,
    carried_refs,
    plan_migration,
)
from szal_nb.analysis.reuse import Past, inputs_read
from szal_nb.api.inputs import recorded_inputs
from szal_nb.api.past import replay
from szal_nb.api.reuse import past_of
from szal_nb.errors import MigrationError, ValueUnavailable
from szal_nb.model.event import (
    CancelRequested,
    Event,
    RunCancelled,
    RunCreated,
    RunInterrupted,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepStarted,
)
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.state import RunState
from szal_nb.model.value import ValueRef, is_about_the_process
from szal_nb.store.collect import collect
from szal_nb.store.runs import NewRun, RunStore, StoredRun, new_run_id

_DECLARED: dict[tuple[str, int, int], Migration] = {}
_REASON = "migrated from run "


def migration(
    flow: str, before: int, after: int
) -> Callable[[Callable[[Migration], None]], Callable[[Migration], None]]:
    """Declares how runs of `flow` get from version `before` to version `after`.

    The decorated function is called at once with a `Migration` to fill in: `rename(before, after)`, `keep(step)`,
    `adapt(step, function)`, `rerun(step)`, `drop(step)`. A second declaration of the same change takes its place.
    """

    def declare(function: Callable[[Migration], None]) -> Callable[[Migration], None]:
        found = Migration(flow=flow, before=before, after=after)
        function(found)
        _DECLARED[flow, before, after] = found
        return function

    return declare


def declared_migrations() -> list[Migration]:
    """All that was declared in this process."""
    return list(_DECLARED.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """The flow that runs are carried to, with what a resume of it needs: its notebook."""

    graph: FlowGraph
    notebook: str | None = None
    notebook_path: Path | None = None
    params: Mapping[str, Any] | None = None


def plan(store: RunStore, run_id: str, to: NewVersion) -> MigrationPlan:
    """What becomes of each step of a run; it is refused for a run that lives, or has completed."""
    run = store.run(run_id)
    past = past_of(store, run.id)
    found = plan_migration(to.graph, past, declared_migrations())
    refusals = [*_why_not_now(run), *_carried_already(store, run, to.graph), *found.refusals]
    return replace(found, refusals=tuple(refusals))


def _why_not_now(run: StoredRun) -> list[str]:
    if run.state is RunState.COMPLETED:
        return ["it has completed; start a new run, with --reuse for what is unchanged."]
    if run.is_owned:
        return [f"it is being run by {run.owner}; pause or cancel it first."]
    if run.state is RunState.ROLLING_BACK:
        return [f"it is being undone, and its process is gone: szal resume {run.id}"]
    return []


def _carried_already(store: RunStore, run: StoredRun, graph: FlowGraph) -> list[str]:
    """Two runs that go on from one would do twice what that has not done; one may wait that nobody was told of."""
    for other in map(store.run, store.runs_from(run.id)):
        if other.version == graph.flow.version and not other.state.is_final:
            events = store.events(other.id)
            if migrated_from(events) == run.id and not _has_gone_on(events):
                return [f"it is carried over already, as run {other.id}; resume that one, or undo it first."]
    return []


def _has_gone_on(events: Iterable[Event]) -> bool:
    return any(isinstance(event, StepStarted | RunResumed) for event in events)


def movable_runs(store: RunStore, flow: str, version: int) -> list[StoredRun]:
    """The runs of a flow that can still go on, are of another version, and do not go on as another run already."""
    runs = store.runs(flow=flow)
    made = {migrated_from(store.events(run.id)) for run in runs if run.from_run is not None}
    return [run for run in runs if run.version != version and run.id not in made and not _why_not_now(run)]


def migrated_from(events: Iterable[Event]) -> str:
    """The run that a migration made this one of, by its events; "" if none did."""
    reasons = (event.reason for event in events if isinstance(event, RunInterrupted))
    found = next((reason for reason in reasons if reason.startswith(_REASON)), "")
    return found.removeprefix(_REASON).partition(",")[0]


def apply(store: RunStore, run_id: str, to: NewVersion) -> str:
    """Carries a run over: the id of a new run of the new version, to be resumed. The old one stays as it is.

    All of it is written in one transaction. Raises MigrationError if it is refused, or a function of a declared
    migration fails.
    """
    found = plan(store, run_id, to)
    if not found.is_safe:
        raise MigrationError(f"Run {found.run_id} cannot be carried over: {' '.join(found.refusals)}")
    old = store.end_orphan_of(found.run_id)
    past = past_of(store, old.id)
    new_id = new_run_id()
    journal = store.begin(
        NewRun(
            run_id=new_id,
            graph=to.graph,
            notebook=to.notebook,
            notebook_path=str(to.notebook_path) if to.notebook_path else old.notebook_path,
            params={**old.params, **(to.params or {})},
            packages=old.packages,
            interactive=old.interactive,
            from_run=old.id,
        )
    )
    try:
        journal.append_sync(_events(store, past, found, to.graph, journal.keep))
    finally:
        journal.close()
    return new_id


def _events(
    store: RunStore, past: Past, found: MigrationPlan, graph: FlowGraph, keep: Callable[..., tuple[ValueRef, ...]]
) -> list[Event]:
    now = time.time()
    inputs = carried_inputs(past.snapshot.inputs, past.run_id, graph.all_inputs, changed_definitions(past.graph, graph))
    refs: dict[str, dict[str, ValueRef]] = {}
    given: dict[str, tuple[ValueRef, ...]] = {}
    adapted = {step.step: step for step in found.steps if step.carry is Carry.ADAPT}
    adapter = Adapter(adapted, past.graph, graph, lambda: _known_values(store, past))
    for step in found.steps:
        if step.carry in (Carry.KEEP, Carry.RENAME):
            node = graph.node(step.step)
            given[step.step] = carried(carried_refs(node, past, step.before), past.run_id, node.needed, {})
        elif step.carry is Carry.ADAPT:
            given[step.step] = _adapted(graph.node(step.step), adapter, keep)
    refs = {step: {ref.name: ref for ref in values} for step, values in given.items()}
    by_name = {ref.name: ref for ref in inputs}
    events: list[Event] = [
        RunCreated(
            at=now,
            flow=graph.flow.name,
            version=graph.flow.version,
            steps=tuple(node.step.name for node in graph.nodes),
            inputs=inputs,
        ),
        RunStarted(at=now),
    ]
    events += [
        StepCompleted(
            at=now,
            step=step,
            attempt=0,
            origin="given",
            values=values,
            fingerprint=fingerprint_of(graph.node(step), inputs_read(graph.node(step), by_name, refs)),
            taken_from=past.run_id,
        )
        for step, values in given.items()
    ]
    versions = f"version {found.versions[0]} to {found.versions[1]}"
    owed = tuple(
        step.step
        for step in found.steps
        if step.step in given and step.before and past.snapshot.is_to_be_undone(step.before)
    )
    events.append(RunInterrupted(at=now, reason=f"{_REASON}{past.run_id}, {versions}", owed=owed))
    return events


def _adapted(node: StepNode, adapter: Adapter, keep: Callable[..., tuple[ValueRef, ...]]) -> tuple[ValueRef, ...]:
    """What declared functions make of the run's values, written down: for each step from objects of its own."""
    step = node.step.name
    try:
        refs = keep(step, 0, adapter.values_of(step), node.needed)
    except MigrationError:
        raise
    except (Exception, SystemExit) as error:
        text = f"Step {step!r}: the function that adapts it failed: {type(error).__name__}: {error}"
        raise MigrationError(text) from error
    for ref in refs:
        if ref.live is not None and ref.needed:
            raise MigrationError(
                f"Step {step!r}: what the function that adapts it gave as {ref.name} cannot be stored ({ref.live}); "
                f"a resume would run the step to have it. Let it run again: rerun({step!r})."
            )
    return refs


def _known_values(store: RunStore, past: Past) -> dict[str, Any]:
    """All inputs and values of a run that can be loaded, by name; the last giver wins."""
    run = replay(store, past.run_id)
    loader = store.loader(past.run_id, is_for_looking=False)
    inputs = {ref.name: ref for ref in past.snapshot.inputs if not is_about_the_process(ref.name)}
    found: dict[str, Any] = recorded_inputs({ref.name: ref for ref in past.snapshot.inputs}, loader.load, inputs)
    for name in run.names():
        try:
            found[name] = run.values[name]
        except ValueUnavailable:
            continue
    return found


def undo(store: RunStore, run_id: str) -> str:
    """Takes a migration back: the run that it made is deleted, and the id of the old run given.

    Raises MigrationError if the run was not made by a migration, has gone on since, or must stay for now because a run
    of its flow is going on, which may take values of it.
    """
    run = store.run(run_id)
    events = store.events(run.id)
    before = migrated_from(events)
    if not before:
        raise MigrationError(f"Run {run.id} was not made by a migration; there is nothing to undo.")
    if _has_gone_on(events):
        raise MigrationError(
            f"Run {run.id} has gone on since the migration; it stays. The old run {before} is as it was."
        )
    # One that was cut off here, or that somebody cancelled, has ended already.
    if not run.state.is_final:
        _cancel(store, run.id)
    if not collect(store, [run.id]).runs:
        raise MigrationError(
            f"Run {run.id} is cancelled, but stays for now: a run of its flow is going on, which may take values of "
            "it. Undo it again when that has ended."
        )
    return before


def _cancel(store: RunStore, run_id: str) -> None:
    journal = store.take_over(run_id)
    try:
        now = time.time()
        left = [step for step in store.snapshot(run_id).steps.values() if not step.state.is_final]
        journal.append_sync(
            [
                CancelRequested(at=now, reason="migration undone"),
                *(StepCancelled(at=now, step=step.name) for step in left),
                RunCancelled(at=now, reason="migration undone"),
            ]
        )
    finally:
        journal.close()
