"""Names that were bound to one object: what they hold after a step has changed it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from szal_nb.model.graph import FlowGraph
from szal_nb.model.value import ValueRef


def newest_versions(
    graph: FlowGraph, given: Mapping[str, Sequence[ValueRef]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Where the value of a name is to be read, by step and name, once the steps in `given` have completed.

    A value that a later step has changed under another name is read from there: they are one object. Names that are
    read where they were given are left out.
    """
    last: dict[str, tuple[str, str]] = {}
    contents: dict[str, str | None] = {}
    places: list[tuple[str, str, str]] = []
    for node in graph.nodes:
        step = node.step.name
        for ref in given.get(step, ()):
            if ref.identity is None:
                continue
            places.append((step, ref.name, ref.identity))
            # Who gives an object again stands behind all who changed it above; its name may be another one by now.
            if ref.identity not in last or ref.name in node.changes or ref.hash != contents[ref.identity]:
                last[ref.identity] = (step, ref.name)
                contents[ref.identity] = ref.hash
    return {(step, name): last[token] for step, name, token in places if last[token] != (step, name)}
