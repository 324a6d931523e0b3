"""One step's place in a flow that cells define one after another: what was found of the steps above it is kept.

Says of a step what `build_graph` says of a flow that ends with it, at the cost of the analysis of that step and a look
at who gives what. Where a flow is not grown at its end, or what the notebook binds has changed, it begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from szal_nb.analysis.graph import build_graph, main_thread, named_edges, node_of, refuse_dependencies, sequential_edge
from szal_nb.analysis.order import Edges, Orderer
from szal_nb.analysis.resolve import Resolver
from szal_nb.analysis.surroundings import NotebookName, Surroundings
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Step


class Growth:
    """What is known of the steps of one flow so far; `place` is its door."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    def place(self, flow: FlowDefinition, around: Surroundings, name: str) -> FlowGraph:
        """The node of a step of this flow with the edges that lead to it; `DefinitionError` as `build_graph`."""
        steps = {step.name: step for step in flow.steps}
        place = list(steps).index(name)
        if not flow.ordered or _has_edges_from_below(flow):
            graph = build_graph(flow, around)
            return FlowGraph(
                flow=flow, nodes=(graph.node(name),), edges=tuple(e for e in graph.edges if e.target == name)
            )
        # What an error leaves behind is not to be built upon.
        kept, self._kept = self._kept, None
        above = flow.steps[:place]
        if kept is None or not kept.can_go_on(flow, above, around):
            kept = _Kept(flow, around)
        kept.take_in([*above[len(kept.steps) :], steps[name]])
        self._kept = kept
        return _graph(flow, kept, place)


class _Kept:
    """What was found of the steps at the top of a flow."""

    def __init__(self, flow: FlowDefinition, around: Surroundings) -> None:
        self.looked_up = _LookedUp(around.names)
        self.with_code = _code_of(around)
        self.resolver = Resolver(flow, Surroundings(self.looked_up, tuple(self.with_code)))
        self.steps: list[Step] = []
        self._begin_order()

    def _begin_order(self) -> None:
        self.orderer = Orderer(self.resolver.holds, self.resolver.learns)
        self.edges = Edges()

    def can_go_on(self, flow: FlowDefinition, above: tuple[Step, ...], around: Surroundings) -> bool:
        """Whether all that was found still holds, for a flow with these steps above the next one."""
        is_grown = len(self.steps) <= len(above) and all(map(_is_same, self.steps, above))
        return (
            is_grown
            and self.looked_up.go_on(around.names)
            and _code_of(around) == self.with_code
            and self.resolver.go_on(flow)
        )

    def take_in(self, steps: list[Step]) -> None:
        """The next steps of the flow."""
        self.resolver.is_revised = False
        found = self.resolver.resolve(steps)
        new = found[len(self.steps) :]
        if not self.orderer.begin(new) or self.resolver.is_revised:
            # The steps before would have other edges now, and leave something else behind.
            self._begin_order()
            self.orderer.begin(found)
            new = found
        for one in new:
            self.orderer.edges = self.edges = Edges()
            self.orderer.add(one)
        self.steps += steps


def _graph(flow: FlowDefinition, kept: _Kept, place: int) -> FlowGraph:
    step = flow.steps[place]
    one, edges = kept.resolver.found[step.name], kept.edges
    if flow.mode is FlowMode.PARALLEL:
        refuse_dependencies([one], edges)
    named_edges(one, kept.resolver.steps, edges)
    if flow.mode is FlowMode.SEQUENTIAL and place:
        edges.add(sequential_edge(flow.steps[place - 1], step))
    return FlowGraph(flow=flow, nodes=(node_of(one, step.out, main_thread([one])),), edges=edges.all())


def _is_same(one: Step, other: Step) -> bool:
    return one is other


def _has_edges_from_below(flow: FlowDefinition) -> bool:
    """Whether a flag may name a step that stands below, so that edges may go round in a ring."""
    above: set[str] = set()
    for step in flow.steps:
        needed = {text.partition(".")[0] for _, text in step.needs}
        if (
            "steps" in (step.when or "")
            or not needed | {*step.after, *((step.parent,) if step.parent else ())} <= above
        ):
            return True
        above.add(step.name)
    return False


def _code_of(around: Surroundings) -> dict[str, str]:
    names = around.names if around.with_code is None else around.with_code
    found = ((name, around.names.get(name)) for name in names)
    return {name: one.source for name, one in found if one is not None and one.source}


class _LookedUp(Mapping[str, NotebookName]):
    """The names of the notebook that were asked for, as they were."""

    def __init__(self, names: Mapping[str, NotebookName]) -> None:
        self._names = names
        self._seen: dict[str, NotebookName | None] = {}

    def go_on(self, names: Mapping[str, NotebookName]) -> bool:
        """Takes the names as they are now; False if one that was asked for is something else by now."""
        self._names = names
        return all(names.get(name) == seen for name, seen in self._seen.items())

    def __getitem__(self, name: str) -> NotebookName:
        if name not in self._seen:
            self._seen[name] = self._names.get(name)
        found = self._seen[name]
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
