"""What a run that goes on has on record and cannot be read here, mostly because a package is another one: it is live.

Who reads it is told by nothing but the attempt, so that it is looked for only where there is a reason to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from szal_nb.api.inputs import code_to_load
from szal_nb.engine.links import Place
from szal_nb.engine.replay import ResumePlan, plan_resume
from szal_nb.engine.shared_values import is_shared_name, keys_in
from szal_nb.errors import ValueUnreadable
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef, as_live
from szal_nb.store.listing import StoredRun

_UNREADABLE = f"{ValueUnreadable.__module__}.{ValueUnreadable.__qualname__}"


def is_suspect(run: StoredRun, snapshot: RunSnapshot, packages: Mapping[str, str]) -> bool:
    """Whether there may be such values: `packages` are others than they were, or a step has failed by one."""
    if packages and not run.packages.items() <= packages.items():
        return True
    return any(step.error is not None and _UNREADABLE in step.error.names for step in snapshot.steps.values())


def plan_with_readable(
    graph: FlowGraph,
    snapshot: RunSnapshot,
    lost: Mapping[str, Collection[str]],
    load: Callable[[ValueRef], object],
) -> ResumePlan:
    """The plan of a resume once all that it would read is found to be readable; what is not, is live in `snapshot`."""
    tried: set[tuple[Place, str | None]] = set()
    while True:
        plan = plan_resume(graph, snapshot, lost)
        gone: dict[Place, str] = {}
        for step, ref in code_to_load(graph, snapshot, plan.kept, plan.rebuilt):
            place = step, ref.name
            if (place, ref.hash) in tried or place in plan.anew:
                continue
            tried.add((place, ref.hash))
            why = _why_unreadable(ref, load)
            # What was recorded together shares nothing any more, each by itself.
            for each in (place, *(keys_in(ref) if why and is_shared_name(ref.name) else ())):
                gone |= {each: why} if why else {}
        if not gone:
            return plan
        snapshot.inputs = _without(snapshot.inputs, "", gone)
        for name, known in snapshot.steps.items():
            known.values = _without(known.values, name, gone)
            known.former = _without(known.former, name, gone)


def _why_unreadable(ref: ValueRef, load: Callable[[ValueRef], object]) -> str:
    try:
        load(ref)
    except ValueUnreadable as error:
        return error.reason
    return ""


def _without(refs: Iterable[ValueRef], step: str, gone: Mapping[Place, str]) -> tuple[ValueRef, ...]:
    return tuple(_as_live(ref, gone.get((step, ref.name), "")) for ref in refs)


def _as_live(ref: ValueRef, why: str) -> ValueRef:
    live = as_live(ref, why) if why else ref
    # Whose values they were is told there.
    return msgspec.structs.replace(live, summary=ref.summary) if is_shared_name(ref.name) else live
