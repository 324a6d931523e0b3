"""Starts and resumes runs: joins a graph, its bodies, the engine and a store.

Must be called on a running event loop; what is returned is alive on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from szal_nb.analysis.doubt import doubted
from szal_nb.analysis.fingerprint import changed_classes
from szal_nb.analysis.reuse import ReusePlan
from szal_nb.analysis.versions import newest_versions
from szal_nb.api.capacity import capacity
from szal_nb.api.classes import Classes
from szal_nb.api.conditions import conditions_of
from szal_nb.api.fork import Fork
from szal_nb.api.handle import RunHandle
from szal_nb.api.inputs import refuse_code
from szal_nb.api.observe import sinks_for
from szal_nb.api.rebuilt import given_beside_live, reading_late, rebuilding_of
from szal_nb.api.reuse import Finder, Reuse
from szal_nb.api.run import Recorded
from szal_nb.api.unreadable import is_suspect, plan_with_readable
from szal_nb.engine.body import Body
from szal_nb.engine.capture import unheard
from szal_nb.engine.context import Presenter, current_context
from szal_nb.engine.device import DeviceSlots, device_slots
from szal_nb.engine.holding import holders_named
from szal_nb.engine.imports import import_again
from szal_nb.engine.keeping import kept_at_first
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.rebuilding import Rebuilding
from szal_nb.engine.replay import (
    ResumePlan,
    completion_order,
    cut_steps,
    plan_resume,
    put_where_record_ends,
    rejected_steps,
    with_overtaken,
)
from szal_nb.engine.requirement import check_requirements, gpus
from szal_nb.engine.runner import Runner
from szal_nb.engine.shared_values import torn_value
from szal_nb.engine.signal import Given
from szal_nb.engine.step_owner import Earlier
from szal_nb.engine.turns import Sink
from szal_nb.engine.worker import THREADS
from szal_nb.errors import (
    AnswerInDoubt,
    InvalidParameter,
    InvalidStep,
    RecordTorn,
    RunError,
)
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.secret import SECRETS
from szal_nb.model.state import RunSnapshot, RunState, fold
from szal_nb.model.value import ValueRef
from szal_nb.store.owner import Owner
from szal_nb.store.runs import NewRun, RunJournal, RunStore, new_run_id
from szal_nb.store.survival import lost_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Surround:
    """What a run needs besides its graph and bodies; all of it has a sensible absence."""

    store: RunStore | None = None
    presenter: Presenter | None = None
    sinks: Sequence[Sink] = ()
    notebook: str | None = None
    notebook_path: Path | None = None
    output_path: Path | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    launcher: Owner | None = None
    interactive: bool = False
    # What the notebook defines, for values that are instances of its classes; "__main__" is looked at besides.
    definitions: Mapping[str, Any] = field(default_factory=dict)
    handle: type[RunHandle] = RunHandle
    rollbacks: Mapping[str, Body] = field(default_factory=dict)


def start_run(
    graph: FlowGraph,
    bodies: Mapping[str, Body],
    inputs: Mapping[str, Any],
    surround: Surround,
    *,
    run_id: str | None = None,
    skipped: Mapping[str, str] | None = None,
    take: Reuse | Fork | None = None,
    on_plan: Callable[[ReusePlan], None] | None = None,
) -> RunHandle:
    """A new run of `graph`, begun. `skipped` maps steps that are not wanted to the reason.

    `take` says what it takes from earlier runs; `on_plan` is told so before anything runs.
    Raises InvalidParameter if an input of the flow is missing.
    """
    missing = [name for name in graph.inputs if name not in inputs]
    if missing:
        raise InvalidParameter(f"Flow {graph.flow.name!r} needs a value for {', '.join(missing)}.")
    _refuse_secrets_in_code(graph)
    _refuse_to_run_twice(graph, skipped or ())
    check_requirements(graph, skipped=skipped or ())
    run_id = run_id or new_run_id()
    journal = None
    if surround.store is not None:
        journal = surround.store.begin(
            NewRun(
                run_id=run_id,
                graph=graph,
                notebook=None if surround.notebook is None else SECRETS.masked(surround.notebook),
                notebook_path=None if surround.notebook_path is None else str(surround.notebook_path),
                output_path=None if surround.output_path is None else str(surround.output_path),
                params=SECRETS.masked_data(dict(surround.params)),
                packages=dict(surround.packages),
                launcher=surround.launcher,
                interactive=surround.interactive,
                from_run=take.run_id if isinstance(take, Fork) else None,
            )
        )
    with _given_up_if_it_fails(journal):
        return _begin(
            graph, bodies, inputs, surround, journal, run_id=run_id, skipped=skipped or {}, take=take, on_plan=on_plan
        )


def _begin(
    graph: FlowGraph,
    bodies: Mapping[str, Body],
    inputs: Mapping[str, Any],
    surround: Surround,
    journal: RunJournal | None,
    *,
    run_id: str,
    skipped: Mapping[str, str],
    take: Reuse | Fork | None,
    on_plan: Callable[[ReusePlan], None] | None,
) -> RunHandle:
    taken = {name: inputs[name] for name in graph.all_inputs if name in inputs}
    input_refs: tuple[ValueRef, ...] = ()
    plan = None
    given: dict[str, Given] = {}
    taken_refs: dict[str, tuple[ValueRef, ...]] = {}
    classes = Classes(graph, surround.definitions, {})
    if journal is not None:
        _prepare(journal, classes)
    if take is not None and journal is not None:
        # What is taken depends on what the inputs are, so they are kept before the run begins.
        input_refs = journal.keep("", 0, taken, tuple(taken))
        first = kept_at_first(graph, bodies)
        by_name = {ref.name: ref for ref in (*input_refs, *journal.keep("", 0, first, ()))}
        plan = take.plan(graph, by_name, skipped)
        given = take.given(graph, by_name, plan)
        taken_refs = {name: one.values for name, one in given.items()}
        classes = Classes(graph, surround.definitions, taken_refs)
        classes.serve(journal)
        if on_plan is not None:
            on_plan(plan)
    devices = device_slots(graph, gpus())
    machine = RunMachine(
        graph, given=given, skipped=skipped, limits=[*capacity(graph, bodies), *devices.limits], seed=run_id
    )
    kept = _kept(graph, taken_refs)
    earlier = None
    if surround.store is not None and journal is not None:
        finder = Finder(graph, surround.store, packages=surround.packages)
        if take is not None:
            finder = Finder(graph, surround.store, take.pasts, plan, take.must_run, packages=surround.packages)
        earlier = finder if finder.is_needed else None
    handle = _launch(
        machine,
        bodies,
        taken,
        surround,
        journal,
        classes=classes,
        run_id=run_id,
        devices=devices,
        input_refs=input_refs,
        kept=kept,
        earlier=earlier,
    )
    handle.plan = plan
    return handle


def resume_run(
    run_id: str,
    graph: FlowGraph,
    bodies: Mapping[str, Body],
    inputs: Mapping[str, Any],
    surround: Surround,
    *,
    force: bool = False,
    on_plan: Callable[[ResumePlan], None] | None = None,
) -> RunHandle:
    """The run goes on in this process with exactly the steps that are missing.

    Its recorded inputs win over `inputs`, which serve for those that could not be stored. `on_plan` is told what
    will run again before anything does. Raises RunOwned if another live process has the run, RunError if it has
    completed, was rolled back or failed because of its answer, ReplayError if the graph does not fit.
    """
    store = surround.store
    if store is None:
        raise RunError("A run can be resumed only from a store.")
    events = store.events(run_id)
    snapshot = fold(events)
    _check_can_go_on(run_id, snapshot)
    lost = lost_values(store, store.run(run_id), snapshot)
    plan_resume(graph, snapshot, lost)
    journal = store.take_over(run_id, force=force, launcher=surround.launcher)
    with _given_up_if_it_fails(journal):
        # What the former owner wrote until it was gone counts too.
        events = store.events(run_id)
        snapshot = fold(events)
        _check_can_go_on(run_id, snapshot)
        plan = plan_resume(graph, snapshot, lost)
        changed = changed_classes(lambda: store.graph(run_id), graph)
        given = {name: step.on_record for name, step in snapshot.steps.items()}
        classes = Classes(graph, surround.definitions, given, changed)
        _prepare(journal, classes)
        refuse_code(store, store.run(run_id), graph, snapshot, plan.kept)
        if is_suspect(store.run(run_id), snapshot, surround.packages):
            plan = plan_with_readable(graph, snapshot, lost, journal.load_fresh)
        check_requirements(graph, skipped=plan.kept)
        beside_live = given_beside_live(plan, inputs, snapshot.inputs, journal)
        if on_plan is not None:
            on_plan(plan)
        recorded = {ref.name: ref for ref in snapshot.inputs}
        taken = {
            name: journal.load(recorded[name]) if name in recorded and recorded[name].live is None else inputs[name]
            for name in graph.all_inputs
            # A live input that no missing step needs may be gone.
            if name in inputs or (name in recorded and recorded[name].live is None)
        }
        taken |= beside_live
        devices = device_slots(graph, gpus())
        machine = RunMachine(
            with_overtaken(graph, plan), limits=[*capacity(graph, bodies), *devices.limits], seed=run_id
        )
        put_where_record_ends(
            machine,
            snapshot,
            plan,
            order=completion_order(events),
            rejected=rejected_steps(events),
            cut=cut_steps(events),
        )
        # Each version as it was recorded: which of them are one object, and which is the newest, the watch knows.
        kept = {
            (machine.index[name], ref.name): ref
            for name in plan.kept
            for ref in snapshot.steps[name].values
            if ref.live is None
        }
        rebuilding = rebuilding_of(graph, snapshot, plan, kept, journal) if plan.rebuilt or plan.late else None
        if rebuilding is not None:
            stays = rebuilding.staying()
            kept |= stays
            classes.stays = {(machine.names[i], name) for i, name in stays}
        finder = Finder(graph, store, packages=surround.packages)
        return _launch(
            machine,
            bodies,
            taken,
            surround,
            journal,
            classes=classes,
            run_id=run_id,
            devices=devices,
            snapshot=snapshot,
            input_refs=snapshot.inputs,
            kept=kept,
            shown=events,
            earlier=finder if finder.is_needed else None,
            rebuilding=rebuilding,
        )


def _prepare(journal: RunJournal, classes: Classes) -> None:
    """To be done before anything is kept."""
    journal.keeper.forbidden, journal.keeper.unheard = SECRETS, unheard
    classes.serve(journal)


@contextmanager
def _given_up_if_it_fails(journal: RunJournal | None) -> Iterator[None]:
    """What keeps a run from beginning or going on must not leave it looking as if this process had it."""
    try:
        yield
    except BaseException:
        if journal is not None:
            journal.close()
        raise


def _check_can_go_on(run_id: str, snapshot: RunSnapshot) -> None:
    if snapshot.state is RunState.COMPLETED:
        raise RunError(f"Run {run_id} has completed; there is nothing to resume.")
    if snapshot.state is RunState.ROLLED_BACK:
        raise RunError(f"Run {run_id} was rolled back: what it completed is undone. Start a new run.")
    if (found := doubted(snapshot)) is not None:
        raise AnswerInDoubt(run_id, found.name, str(found.error))
    if (torn := torn_value(snapshot)) is not None:
        raise RecordTorn(run_id, *torn)


def _kept(graph: FlowGraph, given: Mapping[str, Sequence[ValueRef]]) -> dict[tuple[int, str], ValueRef]:
    """What can be loaded of completed steps, by index and name; of an object that was changed since, as it is now."""
    if not given:
        return {}
    index = {node.step.name: i for i, node in enumerate(graph.nodes)}
    refs = {(step, ref.name): ref for step, values in given.items() for ref in values}
    newest = newest_versions(graph, given)
    kept = {}
    for (step, name), ref in refs.items():
        now = refs[newest.get((step, name), (step, name))]
        if ref.live is None and now.live is None:
            kept[index[step], name] = msgspec.structs.replace(now, name=name)
    return kept


def _refuse_secrets_in_code(graph: FlowGraph) -> None:
    """The code of the steps is recorded as it is: masking it would make it other code."""
    for node in graph.nodes if SECRETS else ():
        step = node.step
        texts = [step.raw, step.source, step.when or ""]
        if step.rollback is not None:
            texts += [step.rollback.raw, step.rollback.source]
        if any(SECRETS.masked(text) != text for text in texts):
            raise InvalidStep(
                step.name, "its code holds a secret.", "Read it by szal.secret and take it out of the code."
            )


def _refuse_to_run_twice(graph: FlowGraph, skipped: Container[str]) -> None:
    """A step that is cut off in a flow that it runs is run again, and begins another run of that."""
    caller = current_context()
    if caller is None or caller.is_closed or not caller.runs_again:
        return
    for node in graph.nodes:
        if node.step.once and node.step.name not in skipped:
            raise InvalidStep(
                node.step.name,
                f"it is marked --once, and step {caller.step!r}, which runs its flow {graph.flow.name!r}, is not: "
                f"were that cut off, a resume would run {caller.step!r} again, and {node.step.name!r} with it.",
                f"Mark {caller.step!r} --once too.",
            )


async def _take_inputs(
    runner: Runner, inputs: Mapping[str, Any], snapshot: RunSnapshot | None, *, is_recorded: bool
) -> None:
    """Writes the inputs of a new run down, and looks at those of any before a step takes them."""
    standing = runner.machine.standing
    if any("import" in step.source for step in standing):
        await asyncio.to_thread(import_again, standing)
    if snapshot is not None:
        runner.watch.take_inputs(snapshot.inputs)
        await asyncio.to_thread(runner.resume)
        return
    if is_recorded:
        # If a plan was made over them, they are kept already.
        runner.input_refs = await asyncio.to_thread(runner.keep_inputs, inputs, runner.input_refs)
    elif runner.watch.must_look_at_inputs:
        await asyncio.to_thread(runner.watch.look_at_inputs)
    runner.watch.take_inputs(runner.input_refs)


def _launch(
    machine: RunMachine,
    bodies: Mapping[str, Body],
    inputs: Mapping[str, Any],
    surround: Surround,
    journal: RunJournal | None,
    *,
    classes: Classes,
    run_id: str,
    devices: DeviceSlots,
    snapshot: RunSnapshot | None = None,
    input_refs: tuple[ValueRef, ...] = (),
    earlier: Earlier | None = None,
    kept: Mapping[tuple[int, str], ValueRef] | None = None,
    shown: Sequence[Event] = (),
    rebuilding: Rebuilding | None = None,
) -> RunHandle:
    runner = Runner(
        machine,
        [bodies[name] for name in machine.names],
        run_id=run_id,
        inputs=inputs,
        epoch=journal.epoch if journal is not None else 1,
        snapshot=snapshot,
        kept=kept,
        rollbacks={machine.index[name]: body for name, body in surround.rollbacks.items() if name in machine.index},
        devices=devices,
        journal=journal,
        earlier=earlier,
        rebuilding=rebuilding,
        evaluate=conditions_of(surround.store),
        presenter=surround.presenter,
        sinks=[*surround.sinks, *sinks_for(run_id, machine.graph, shown)],
    )

    runner.input_refs = input_refs
    awaits = any(body.is_async for body in bodies.values())
    store = surround.store
    kept_by = journal

    async def main(again: int | None = None) -> None:
        nonlocal kept_by
        try:
            if again is not None and store is not None:
                kept_by = await asyncio.to_thread(store.take_over, run_id, since=runner.epoch)
                _prepare(kept_by, classes)
            if again is not None:
                if kept_by is not None:
                    runner.read_late(reading_late(machine.graph, runner.snapshot, runner.watch.refs, kept_by))
                await runner.run_again(again, kept_by, kept_by.epoch if kept_by is not None else runner.epoch + 1)
                return
            await _take_inputs(runner, inputs, snapshot, is_recorded=kept_by is not None)
            with holders_named(asyncio.get_running_loop(), THREADS) if awaits else nullcontext():
                await runner.run()
        finally:
            if kept_by is not None:
                await asyncio.to_thread(kept_by.close)

    def load(ref: ValueRef) -> Any:
        # Another journal serves the run after a retry.
        return kept_by.load(ref) if kept_by is not None else None

    return surround.handle(
        runner,
        main,
        store_path=surround.store.path if surround.store is not None else None,
        load=load if kept_by is not None else None,
        load_fresh=journal.load_fresh if journal is not None else None,
        recorded=Recorded(shown),
        history=None if store is None else lambda: (store.events(run_id), store.loader(run_id).load),
        refuse_if_gone_on=lambda: None if store is None else store.refuse_if_gone_on(run_id, runner.epoch),
    )
