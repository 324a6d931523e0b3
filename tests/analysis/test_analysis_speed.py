"""One changed cell costs one analysis."""

from __future__ import annotations

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.graph import build_graph
from szal_nb.model.flow import FlowDefinition
from tests.analysis.cells import step


def _flow(sources):
    return FlowDefinition(name="f", steps=tuple(step(f"s{n}", source) for n, source in enumerate(sources)))


def test_a_redefinition_analyses_that_cell_only():
    sources = [f"v{n} = [{n}]" if not n else f"v{n} = v{n - 1} + [{n}]\nprint(len(v{n}))" for n in range(200)]
    build_graph(_flow(sources))
    before = analyze_cell.cache_info().misses

    build_graph(_flow([*sources[:100], sources[100] + "\nextra = 1", *sources[101:]]))

    assert analyze_cell.cache_info().misses == before + 1


def test_an_unchanged_flow_is_not_analysed_again():
    sources = [f"w{n} = {n}" for n in range(50)]
    build_graph(_flow(sources))
    before = analyze_cell.cache_info().misses

    build_graph(_flow(sources))

    assert analyze_cell.cache_info().misses == before
