"""The edges of a flow: who waits for whom, for names, objects and hidden state; each with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from szal_nb.analysis.edges import Edges
from szal_nb.analysis.objects import Objects, Passing, reads
from szal_nb.analysis.resolved import Resolved
from szal_nb.analysis.states import States
from szal_nb.model.graph import Edge, EdgeKind


def ordering(found: Sequence[Resolved]) -> Edges:
    """The edges of steps that come one after another in this order."""
    orderer, edges = Orderer(), Edges()
    for place, one in enumerate(found):
        orderer.put(place, one)
        orderer.wait(place, edges)
    orderer.wait_for_memories(edges)
    return edges


class Orderer:
    """Steps by their places, and the edges that lead to each. Of those below a place, none matters to it."""

    def __init__(self, passing: Passing | None = None) -> None:
        self.steps: dict[int, Resolved] = {}
        self._objects = Objects(self.steps, passing or Passing())
        self._states = States(self.steps)

    def put(self, place: int, one: Resolved) -> None:
        """Takes in a step."""
        self.steps[place] = one
        self._objects.put(place, one)
        self._states.put(place, one)

    def take(self, place: int) -> None:
        """Forgets the step at a place, if there is one."""
        one = self.steps.pop(place, None)
        if one is not None:
            self._objects.take(place, one)
            self._states.take(place, one)

    def wait(self, place: int, edges: Edges) -> None:
        """Adds the edges that lead to the step at a place."""
        one = self.steps[place]
        _wait_for_givers(one, edges)
        self._objects.wait(place, one, edges)
        self._states.wait(place, one, edges)

    def wait_for_memories(self, edges: Edges) -> None:
        """See `States`."""
        self._states.wait_for_memories(edges)


def _wait_for_givers(one: Resolved, edges: Edges) -> None:
    target = one.step.name
    for name, version in one.from_version.items():
        via = one.vias.get(name, "")
        line = one.bindings[name].line
        if version.is_doubtful:
            edges.add(Edge(
                source=version.giver, target=target, kind=EdgeKind.DOUBT, names=(name,), rule="changed-in-place",
                line=line, remedy=f"--pure {name} on {version.giver}",
                reason=f"{reads(name, line, via)}, which {version.giver} may change ({version.what}).",
            ))  # fmt: skip
            continue
        how = f", which {version.giver} changes ({version.what})." if version.what else "."
        rule = "changed-in-place" if version.what else (via.lstrip("-") if via.startswith("--") else "reads")
        edges.add(Edge(
            source=version.giver, target=target, kind=EdgeKind.DATA, names=(name,), rule=rule, line=line,
            reason=reads(name, line, via) + how,
        ))  # fmt: skip
