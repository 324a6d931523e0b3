"""Steps that run after a resume wait for each other across those between them that have completed."""

from __future__ import annotations

import random

import pytest

from szal_nb.engine.replay import ResumePlan, with_overtaken
from szal_nb.engine.wiring import Wiring
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.step import Step


def graph_of(count, pairs, changing):
    """Steps by number, those of `pairs` one after the other; `changing` ones change a state of the process."""
    steps = [Step(name=f"s{i}") for i in range(count)]
    return FlowGraph(
        flow=FlowDefinition(name="f", steps=tuple(steps)),
        nodes=tuple(
            StepNode(step=step, states=("working directory",) if i in changing else ()) for i, step in enumerate(steps)
        ),
        edges=tuple(
            Edge(source=f"s{a}", target=f"s{b}", kind=EdgeKind.ORDER, is_blocking=False) for a, b in sorted(pairs)
        ),
    )


def paths(graph, first, last):
    """All ways from one step to another."""
    if first == last:
        return [[last]]
    targets = [edge.target for edge in graph.edges if edge.source == first]
    return [[first, *path] for target in targets for path in paths(graph, target, last)]


def drawn(seed):
    """A graph, and which of its steps have completed. Hypothesis draws so few edges that next to nothing is overtaken."""
    draw = random.Random(seed)
    count = draw.randint(3, 6)
    pairs = {(a, b) for b in range(count) for a in range(b) if draw.random() < 0.5}
    changing = {i for i in range(count) if draw.random() < 0.6}
    return graph_of(count, pairs, changing), {f"s{i}" for i in range(count) if draw.random() < 0.5}


@pytest.mark.parametrize("seed", range(60))
def test_who_runs_waits_for_all_that_run_before_a_step_that_changes_something(seed):
    graph, kept = drawn(seed)
    count = len(graph.nodes)
    names = [node.step.name for node in graph.nodes]
    reset = [name for name in names if name not in kept]

    found = with_overtaken(graph, ResumePlan(kept=tuple(sorted(kept)), reset=tuple(reset)))

    def is_between(path):
        return any(name in kept and graph.node(name).states for name in path[1:-1])

    expected = {
        (first, last)
        for first in reset
        for last in reset
        if first != last and any(map(is_between, paths(graph, first, last)))
    }
    added = found.edges[len(graph.edges) :]
    assert {(edge.source, edge.target) for edge in added} == expected
    assert found.edges[: len(graph.edges)] == graph.edges
    assert len(Wiring(found).order) == count


def test_a_graph_of_which_nothing_was_overtaken_stays_the_graph_that_it_is():
    graph = graph_of(4, {(0, 1), (1, 2), (2, 3)}, {0, 1, 2, 3})

    assert with_overtaken(graph, ResumePlan(kept=("s0", "s1"), reset=("s2", "s3"))) is graph
    assert with_overtaken(graph, ResumePlan(kept=("s1", "s2", "s3"), reset=("s0",))) is graph
