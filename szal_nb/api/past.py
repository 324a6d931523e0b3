"""Runs as the record has them: replayed, compared, explained. No body of a step is executed here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from szal_nb.analysis.comparison import RunDiff, compare_runs, verify_differences
from szal_nb.analysis.explaining import Explanation, explain
from szal_nb.analysis.reuse import Past
from szal_nb.api.earlier_outputs import EarlierOutputs
from szal_nb.api.inside import Insides
from szal_nb.api.reuse import record_of
from szal_nb.api.run import Recorded, Run, StoredValues
from szal_nb.api.shown import with_pictures
from szal_nb.errors import RunError
from szal_nb.model.state import StepState
from szal_nb.model.value import ValueRef
from szal_nb.store.runs import RunStore


def replay(store: RunStore, run_id: str, *, trust: bool = False) -> Run:
    """A past run with its outputs and values as they were; values are loaded when they are asked for.

    `trust` allows code-carrying values of a run that was imported. Raises UnknownRun.
    """
    run = store.run(run_id)
    events = store.events(run.id)
    snapshot = store.snapshot(run.id)
    load: Callable[[ValueRef], Any] = store.loader(run.id, trust=trust).load
    recorded = Recorded(with_pictures(events, load))
    earlier = EarlierOutputs(store)
    for step in snapshot.steps.values():
        if step.taken_from and not recorded.of(step.name):
            recorded.put(step.name, earlier.of(step.taken_from, step.name))
    return Run(
        run.id,
        store.graph(run.id),
        snapshot,
        source=StoredValues(snapshot, load),
        recorded=recorded,
        store_path=store.path,
        history=lambda: (events, load),
    )


def diff(store: RunStore, before: str, after: str) -> RunDiff:
    """What differs between two runs of one store."""
    a, b = store.run(before), store.run(after)
    return compare_runs(
        record_of(store, a.id), record_of(store, b.id), (a.params, b.params), _insides(store, a.id, b.id)
    )


def _insides(store: RunStore, before: str, after: str) -> Insides:
    are_ours = all(store.is_ours(store.run(run_id)) for run_id in (before, after))
    return Insides(store.loader(before).load_fresh, store.loader(after).load_fresh, are_ours=are_ours)


def why(store: RunStore, run_id: str, step: str) -> Explanation:
    """Why a step of a run ran, was taken, or did neither."""
    past = record_of(store, run_id)
    if step not in past.snapshot.steps:
        raise RunError(f"Run {past.run_id} has no step {step!r}; it has {', '.join(past.snapshot.steps)}.")
    return explain(past, step, _last_before(store, past, step))


def _last_before(store: RunStore, past: Past, step: str) -> Past | None:
    run = store.run(past.run_id)
    since = itertools.dropwhile(lambda other: other.id != run.id, store.runs(flow=run.flow, limit=50))
    for other in itertools.islice(since, 1, None):
        if other.imported and other.created_at > run.created_at:
            continue
        found = record_of(store, other.id)
        if step in found.snapshot.steps and found.snapshot.steps[step].state is StepState.COMPLETED:
            return found
    return None


def verification(record: str, again: str, differences: Sequence[str]) -> str:
    """What `verified` found, for people."""
    if not differences:
        return f"Run {again} gives what run {record} gave, in every value that can be compared."
    return "\n".join([f"Run {again} does not give what run {record} gave:", *(f"  {one}" for one in differences)])


def verified(store: RunStore, record: str, again: str) -> tuple[str, ...]:
    """What the run `again`, which ran the bodies of the run `record` once more, did not give as that did."""
    return verify_differences(record_of(store, record), record_of(store, again), _insides(store, record, again))
