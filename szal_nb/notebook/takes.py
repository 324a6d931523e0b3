"""What a run of this kernel takes from earlier runs, as its command line or its headless launcher asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from IPython.display import publish_display_data

from szal_nb.analysis.reuse import ReusePlan
from szal_nb.api.environment import packages
from szal_nb.api.fork import Fork, fork_of, inputs_of
from szal_nb.api.reuse import Reuse, reuse_from
from szal_nb.api.selection import Selection
from szal_nb.model.graph import FlowGraph
from szal_nb.notebook.flags import ParsedRun
from szal_nb.notebook.selection import Inputs
from szal_nb.store.runs import RunStore


def selection_of(parsed: ParsedRun) -> Selection:
    """What a `%szal_run` line asks for."""
    return Selection(only=parsed.only, from_step=parsed.from_step, until=parsed.until, reuse=parsed.reuse)


def taken(
    store: RunStore, graph: FlowGraph, wish: Selection, given: Inputs, space: Mapping[str, Any]
) -> tuple[Reuse | Fork | None, Mapping[str, Any]]:
    """What the run takes from earlier ones, and its inputs. `space` is the notebook's namespace."""
    inputs = given.inputs
    if wish.inputs_of is not None:
        changed = {**{name: space[name] for name in wish.changed if name in space}, **given.params}
        wanted = {name: value for name, value in changed.items() if name in graph.all_inputs}
        inputs = inputs_of(store, wish.inputs_of, graph, changed=wanted, live=space)
        if wish.forks:
            return fork_of(store, wish.inputs_of, wish.fork_at), inputs
    if not wish.takes:
        return None, inputs
    reuse = reuse_from(store, graph.flow.name, wish.reuse, must_run=wish.asked(graph), packages=packages())
    return reuse, inputs


# In the metadata of what a headless kernel shows: whoever launched it is to see it as well, at once.
TO_LAUNCHER = "szal_to_launcher"


def say_plan(plan: ReusePlan, *, is_headless: bool) -> None:
    """Shows what is taken, under the cell, before anything runs; headless, to who launched the notebook as well."""
    if is_headless:
        publish_display_data({"text/plain": str(plan)}, metadata={TO_LAUNCHER: True})
    else:
        print(plan)  # noqa: T201 - for the reader of the cell
