"""From the record of a run to what its rebuilt steps are given: see `engine.rebuilding`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from szal_nb.engine.links import Place
from szal_nb.engine.rebuilding import Rebuilding, is_another
from szal_nb.engine.replay import ResumePlan, overtaken_reads
from szal_nb.engine.usage import Key
from szal_nb.engine.wiring import Wiring
from szal_nb.errors import ReplayError
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef, is_about_the_process
from szal_nb.store.runs import RunJournal


def rebuilding_of(
    graph: FlowGraph,
    snapshot: RunSnapshot,
    plan: ResumePlan,
    kept: Mapping[tuple[int, str], ValueRef],
    journal: RunJournal,
) -> Rebuilding:
    """What a resume needs of the steps that it runs again; `kept` is what is on record of the others."""
    index = graph.derived(Wiring).index
    former = {index[name]: snapshot.steps[name].on_record for name in plan.rebuilt}
    refs: dict[Key, ValueRef] = {(None, ref.name): ref for ref in snapshot.inputs}
    refs.update({(i, name): ref for (i, name), ref in kept.items()})
    refs.update({(i, ref.name): ref for i, given in former.items() for ref in given})
    anew = {(index[step] if step else None, name) for step, name in plan.anew}
    return Rebuilding(
        graph,
        former=former,
        anew=anew,
        inputs=plan.inputs,
        late=_by_index(index, plan.late),
        classes=_by_index(index, plan.classes),
        refs=refs,
        load=journal.load_fresh,
    )


def reading_late(
    graph: FlowGraph, snapshot: RunSnapshot, refs: Mapping[Key, ValueRef], journal: RunJournal
) -> Rebuilding | None:
    """What a retry needs of steps that others have overtaken meanwhile; None if there are none."""
    index, reads = graph.derived(Wiring).index, overtaken_reads(graph, snapshot)
    if not reads.late:
        return None
    return Rebuilding(
        graph,
        former={},
        anew=(),
        inputs=(),
        late=_by_index(index, reads.late),
        classes=_by_index(index, reads.classes),
        refs=refs,
        load=journal.load_fresh,
    )


def _by_index(
    index: Mapping[str, int], places: Mapping[str, Collection[Place]]
) -> dict[int, frozenset[tuple[int | None, str]]]:
    return {
        index[step]: frozenset((index[giver] if giver else None, name) for giver, name in read)
        for step, read in places.items()
    }


def given_beside_live(
    plan: ResumePlan, inputs: Mapping[str, Any], refs: Iterable[ValueRef], journal: RunJournal
) -> dict[str, Any]:
    """Inputs that share parts with live ones: both come from the notebook.

    ReplayError if a live one is not there, or the other is not what it was.
    """
    recorded = {ref.name: ref for ref in refs}
    for name in sorted(plan.inputs):
        # What functions keep is in them, as the notebook has made it.
        if recorded[name].live is not None and name not in inputs and not is_about_the_process(name):
            raise ReplayError(
                f"Input {name!r} is needed again and was not stored, because {recorded[name].live}. Give it anew: a "
                f"resume with inputs goes on as a new run."
            )
    names = [name for name in plan.inputs if name in recorded and recorded[name].live is None]
    found = {name: inputs[name] for name in names if name in inputs}
    for ref in journal.keep("", 0, found, ()):
        if ref.name in found and is_another(recorded[ref.name], ref):
            raise ReplayError(
                f"Input {ref.name!r} shares parts with an input that is not stored, so both must come from the "
                f"notebook; but there {ref.name!r} is not what it was when the run began. Execute the cells that make "
                f"them again, or start a new run."
            )
    return found
