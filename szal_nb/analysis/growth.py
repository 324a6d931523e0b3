"""One step's place in a flow whose cells are executed one after another: what was found of the others is kept.

Says of a step what `build_graph` says of a flow that ends with it, at the cost of a look at that step and at those that
what has changed since matters to: a step that was put, exchanged or taken away, a name of the notebook that is
something else by now. Of no other step is the code looked at, nor any table of all steps gone through.
"""

from __future__ import annotations

from szal_nb.analysis.edges import Edges
from szal_nb.analysis.graph import build_graph, main_thread, named_edges, node_of, refuse_dependencies, sequential_edge
from szal_nb.analysis.standing import Standing
from szal_nb.analysis.surroundings import Surroundings
from szal_nb.errors import DefinitionError
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import Edge, StepNode
from szal_nb.model.step import Step


class Growth:
    """What is known of the steps of one flow so far; `place` is its door."""

    def __init__(self) -> None:
        self._standing: Standing | None = None

    def place(
        self, steps: tuple[Step, ...], name: str, around: Surroundings, mode: FlowMode = FlowMode.DAG
    ) -> tuple[StepNode, tuple[Edge, ...]]:
        """The node of one of these steps, which stand in the order of a document, with the edges that lead to it.

        `DefinitionError` as `build_graph`.
        """
        # What a defect leaves behind is not to be built upon.
        standing, self._standing = self._standing, None
        if standing is None or not standing.follow(steps, around):
            standing = Standing()
            standing.follow(steps, around)
        try:
            found = _placed(standing, name, around, mode)
        except DefinitionError:
            self._standing = standing
            raise
        self._standing = standing
        return found


def _placed(standing: Standing, name: str, around: Surroundings, mode: FlowMode) -> tuple[StepNode, tuple[Edge, ...]]:
    if standing.has_edges_from_below():
        graph = build_graph(FlowDefinition(name=name, mode=mode, steps=standing.sequence.steps), around)
        return graph.node(name), tuple(edge for edge in graph.edges if edge.target == name)
    one, edges = standing.resolved(name), Edges()
    standing.order(name, edges)
    if mode is FlowMode.PARALLEL:
        refuse_dependencies([one], edges)
    named_edges(one, standing.known.steps, edges)
    above = standing.sequence.above(name) if mode is FlowMode.SEQUENTIAL else None
    if above is not None:
        edges.add(sequential_edge(above, one.step))
    return node_of(one, one.step.out, main_thread([one])), edges.all()
