"""Where the bodies of a graph's steps run and how their attempts begin, as far as the graph alone says: `derived`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from szal_nb.engine.body import Body
from szal_nb.engine.mapping import room_of_map
from szal_nb.engine.wiring import Wiring
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Executor


class Placement:
    """By the index of each step: `where` its body belongs if it does not await; whether an attempt is `usual`.

    That is one call of the body, which takes as long as it takes, of a step that nobody was `asked` about.
    """

    def __init__(self, graph: FlowGraph) -> None:
        flow = self._flow = graph.flow
        self._steps = graph.derived(Wiring).steps
        self.where = [Executor.MAIN if node.is_main_thread else flow.executor_of(node.step) for node in graph.nodes]
        # The steps that a person may have answered.
        self.asked = {i for i, step in enumerate(self._steps) if step.approve is not None or step.once}
        self.usual = [
            not step.map and step.timeout_s is None and i not in self.asked for i, step in enumerate(self._steps)
        ]
        self._mapped = [i for i, step in enumerate(self._steps) if step.map]
        self._is_elsewhere = [where is not Executor.MAIN for where in self.where]

    def are_on_the_loop(self, bodies: Sequence[Body]) -> bool:
        """Whether all bodies run on the loop's thread, each once for its step."""
        return not self._mapped and all(body.is_async for body in compress(bodies, self._is_elsewhere))

    def rooms(self, bodies: Sequence[Body]) -> dict[int, int]:
        """How many elements of each mapped step run at once."""
        return {
            i: room_of_map(self._steps[i], self._flow, self.where[i], is_async=bodies[i].is_async) for i in self._mapped
        }
