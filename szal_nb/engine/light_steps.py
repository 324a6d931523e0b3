"""Which steps of a flow need no look when they begin or end, told once for all of its runs."""

from __future__ import annotations

from szal_nb.engine.states import recorded_states
from szal_nb.engine.usage import Usage
from szal_nb.model.flow import Guard
from szal_nb.model.graph import FlowGraph


def is_hidden_watched(graph: FlowGraph) -> bool:
    """Whether hidden state is compared: it has an order only where steps have one."""
    return graph.flow.ordered and graph.flow.guard is not Guard.OFF


def light_steps(graph: FlowGraph) -> tuple[list[bool], list[bool], list[bool]]:
    """Of which steps nothing at all is looked into, and which neither change anything nor draw random numbers.

    Last, those of them that nothing but the values could tell anything of: there is no order of hidden states.
    """
    usage, states, hidden = graph.derived(Usage), graph.derived(recorded_states), is_hidden_watched(graph)

    def has_nothing(i: int) -> bool:
        node = graph.nodes[i]
        if hidden or usage.taken[i] or usage.changed[i] or node.states:
            return False
        return not any(usage.users((i, name)) for name in node.values)

    count = range(len(graph.nodes))
    only_reads = [not (usage.changed[i] or states[i]) for i in count]
    return [has_nothing(i) for i in count], only_reads, [False] * len(count) if hidden else only_reads


def bare_steps(graph: FlowGraph) -> list[bool]:
    """Which steps are only ordered: they read nothing, and nothing of them is looked into."""
    has_nothing, _, _ = graph.derived(light_steps)
    return [nothing and not node.bindings for nothing, node in zip(has_nothing, graph.nodes, strict=True)]
