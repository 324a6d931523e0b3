"""What a run takes from a record: its inputs, and of one that is not ours only what loads without running code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from szal_nb.engine.settings import REACHING
from szal_nb.engine.shared_values import NAME as SHARED
from szal_nb.engine.shared_values import is_shared_name, keys_in
from szal_nb.errors import RunError, ValueUnavailable
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import state_of
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef, is_about_the_process, is_shown
from szal_nb.store.formats import all_codecs
from szal_nb.store.runs import RunStore, StoredRun

_UNSAFE = "loading it runs code, and its run was imported or is another user's"


def recorded_inputs(
    refs: Mapping[str, ValueRef], load: Callable[[ValueRef], Any], wanted: Collection[str]
) -> dict[str, Any]:
    """Those wanted inputs that were stored, by name; what shared something shares it again."""
    found = {name: load(refs[name]) for name in wanted if name in refs and refs[name].live is None}
    if found and SHARED in refs and refs[SHARED].live is None:
        together = load(refs[SHARED]).values
        found.update({name: together["", name] for name in found if ("", name) in together})
    return found


def without_code(refs: Iterable[ValueRef]) -> tuple[ValueRef, ...]:
    """References of an imported record, which is not ours: what loads by running code is as good as live.

    So is what was recorded together in such a format: each by itself, the values would share nothing any more.
    """
    refs = tuple(refs)
    lost = {ref.name for ref in refs if is_code(ref)}
    lost |= {name for ref in refs if ref.name in lost and is_shared_name(ref.name) for _, name in keys_in(ref)}
    return tuple(
        ValueRef(name=ref.name, type=ref.type, live=_UNSAFE, needed=ref.needed) if ref.name in lost else ref
        for ref in refs
    )


def refuse_code(
    store: RunStore, run: StoredRun, graph: FlowGraph, snapshot: RunSnapshot, kept: Collection[str]
) -> None:
    """Raises RunError where a run that is not ours would go on with what is not only plain data.

    That is what loads by running code and is needed by steps that are not `kept`, and settings of the process.
    """
    if store.is_ours(run):
        return
    origin = "was imported" if run.imported else "is in a store of another user"
    for step, ref in code_to_load(graph, snapshot, kept):
        giver = f"step {step!r}" if step else "the notebook"
        raise RunError(
            f"Run {run.id} {origin}; to go on with it would load {ref.name} of {giver}, which runs code "
            f"of whoever made it. Begin anew with what is plain: --reuse {run.id}."
        )
    for step in kept:
        for state in (state_of(ref.name) for ref in snapshot.steps[step].on_record if is_about_the_process(ref.name)):
            if state in REACHING:
                raise RunError(
                    f"Run {run.id} {origin}; to go on with it would set the {state} of this process as step {step!r} "
                    f"did for whoever made it. Begin anew with what is plain: --reuse {run.id}."
                )


def code_to_load(
    graph: FlowGraph, snapshot: RunSnapshot, kept: Collection[str], rebuilt: Collection[str] = ()
) -> Iterator[tuple[str, ValueRef]]:
    """What loads by running code that steps which are not `kept` need: of those, of the notebook (""), of `rebuilt`."""
    given = {step: snapshot.steps[step].on_record for step in (*kept, *rebuilt)}
    bindings = (one for node in graph.nodes if node.step.name not in kept for one in node.bindings)
    read = {(one.step or "", one.source or one.name) for one in bindings} | {("", name) for name in graph.all_inputs}
    for step, refs in {"": snapshot.inputs, **given}.items():
        for ref in refs:
            is_state = is_about_the_process(ref.name) and not is_shown(ref.name)
            if is_code(ref) and (is_state or (step, ref.name) in read):
                yield step, ref


def live_inputs(
    run_id: str, refs: Mapping[str, ValueRef], inputs: Mapping[str, Any], wanted: Iterable[str]
) -> dict[str, Any]:
    """Those wanted inputs that the record has not, from `inputs`; ValueUnavailable for one that the run had."""
    found = {}
    for name in wanted:
        if name in inputs:
            found[name] = inputs[name]
        elif name in refs:
            raise ValueUnavailable(
                name, f"this input of run {run_id} is not stored, so the notebook must have it: {refs[name].live}"
            )
    return found


def is_code(ref: ValueRef) -> bool:
    """Whether the value is stored in a format that loads by running code."""
    return ref.hash is not None and ref.format not in safe_formats()


@lru_cache(maxsize=1)
def safe_formats() -> frozenset[str]:
    """The formats that load without running code that they bring along."""
    return frozenset(codec.format for codec in all_codecs(()) if codec.is_safe)
