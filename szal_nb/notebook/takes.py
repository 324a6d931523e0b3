"""What a run of this kernel takes from earlier runs, as its command line or its headless launcher asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from szal_nb.analysis.reuse import ReusePlan
from szal_nb.api.environment import packages
from szal_nb.api.fork import Fork, fork_of, inputs_of
from szal_nb.api.reuse import Reuse, reuse_from
from szal_nb.api.selection import Selection
from szal_nb.model.graph import FlowGraph
from szal_nb.notebook.flags import ParsedRun
from szal_nb.store.runs import RunStore


def selection_of(parsed: ParsedRun) -> Selection:
    """What a `%szal_run` line asks for."""
    return Selection(only=parsed.only, from_step=parsed.from_step, until=parsed.until, reuse=parsed.reuse)


def reuse_of(store: RunStore, graph: FlowGraph, wish: Selection) -> Reuse | None:
    """What the run takes that is unchanged; None if nothing is to be taken."""
    if not wish.takes:
        return None
    return reuse_from(store, graph.flow.name, wish.reuse, must_run=wish.asked(graph), packages=packages())


def forked(
    store: RunStore, graph: FlowGraph, run_id: str, from_step: str, *, changed: Mapping[str, Any], space: Mapping[str, Any]
) -> tuple[Fork, dict[str, Any]]:
    """The fork of a stored run, and its inputs: as the run had them, but for those that are changed."""
    fork = fork_of(store, run_id, from_step)
    return fork, inputs_of(store, fork.run_id, graph, changed=changed, live=space)


def say_plan(plan: ReusePlan) -> None:
    """Shows what is taken, under the cell, before anything runs."""
    print(plan)  # noqa: T201 - for the reader of the cell
