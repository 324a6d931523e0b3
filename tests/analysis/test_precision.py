"""Ordinary notebooks with edges made by hand: no edge may be missing, and few may be too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis.cells import closure, notebook_graph, read_cells

FIXTURES = sorted((Path(__file__).parent / "notebooks").glob("*.cells"))


def _longest(names, pairs):
    depth = dict.fromkeys(names, 1)
    for name in names:
        for source, target in pairs:
            if target == name:
                depth[name] = max(depth[name], depth[source] + 1)
    return max(depth.values())


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_an_ordinary_notebook_has_the_edges_that_it_needs(path):
    cells = read_cells(path)
    graph = notebook_graph(cells)
    needed = closure(cells.edges)
    found = closure({(edge.source, edge.target) for edge in graph.edges})

    assert needed - found == set()
    extra = {pair: [e.reason for e in graph.edges if (e.source, e.target) == pair] for pair in found - needed}
    assert len(extra) <= 0.05 * len(needed), extra
    names = [node.step.name for node in graph.nodes]
    assert _longest(names, found) <= 1.1 * _longest(names, needed)


def test_there_are_enough_notebooks():
    assert len(FIXTURES) >= 40


def test_few_edges_are_too_many_over_all():
    found, needed = 0, 0
    for path in FIXTURES:
        cells = read_cells(path)
        needed += len(closure(cells.edges))
        found += len(closure({(edge.source, edge.target) for edge in notebook_graph(cells).edges}))
    assert found <= 1.05 * needed
