"""Which steps of a flow a run is to have: `only`, `from`, `until`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from szal_nb.errors import InvalidFlow, InvalidStep
from szal_nb.model.graph import FlowGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was asked for. `reuse` is a run's id, "" for the newest runs of the flow, None for none.

    `inputs_of` is a run whose inputs are to be taken, but for those that are `changed`; `fork_at` the step from which
    on another way is gone than that run went. `goes_on`: with that run as far as what is changed allows.
    """

    only: tuple[str, ...] = ()
    from_step: str | None = None
    until: str | None = None
    reuse: str | None = None
    inputs_of: str | None = None
    fork_at: str | None = None
    changed: tuple[str, ...] = ()
    goes_on: bool = False

    @property
    def forks(self) -> bool:
        """Whether the values of the run that the inputs are from are taken too."""
        return self.goes_on or self.fork_at is not None

    @property
    def takes(self) -> bool:
        """Whether steps that were not asked for by name may be taken from earlier runs."""
        return bool(self.only) or self.from_step is not None or self.reuse is not None

    def asked(self, graph: FlowGraph) -> frozenset[str]:
        """The steps that run whatever earlier runs have given."""
        found = set(self.only)
        if self.from_step is not None:
            found |= downstream(graph, self.from_step)
        return frozenset(found)


def unselected(
    graph: FlowGraph, *, only: Sequence[str] = (), from_step: str | None = None, until: str | None = None
) -> dict[str, str]:
    """The steps that a run leaves out, with the reason. What a chosen step needs is always chosen with it."""
    names = [node.step.name for node in graph.nodes]
    for name in filter(None, (*only, from_step, until)):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise InvalidStep(name, "the flow has no such step.", f"Did you mean {near[0]}?" if near else "")
    chosen = set(names)
    if only:
        chosen &= upstream(graph, only)
    if until is not None:
        chosen &= upstream(graph, (until,))
    if from_step is not None:
        chosen &= upstream(graph, downstream(graph, from_step) & chosen)
    if names and not chosen:
        said = [f"only {', '.join(only)}"] if only else []
        said += [f"{word} {name}" for word, name in (("from", from_step), ("until", until)) if name is not None]
        raise InvalidFlow(f"Nothing is left to run {' '.join(said)}: no step fits all of it. Leave one of them out.")
    return {name: "not selected for this run" for name in names if name not in chosen}


def upstream(graph: FlowGraph, steps: Iterable[str]) -> set[str]:
    """The steps and all that they wait for."""
    found, left = set(), list(steps)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph.dependencies[name]
    return found


def downstream(graph: FlowGraph, step: str) -> set[str]:
    """The step and all that waits for it."""
    waiting: dict[str, list[str]] = {}
    for target, sources in graph.dependencies.items():
        for source in sources:
            waiting.setdefault(source, []).append(target)
    found, left = set(), [step]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += waiting.get(name, ())
    return found
