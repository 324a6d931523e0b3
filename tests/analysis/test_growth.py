"""A flow that cells define one after another: each step is told what the whole graph says, for one analysis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.analysis.growth import Growth
from szal_nb.errors import DefinitionError
from szal_nb.model.flow import FlowDefinition, FlowMode
from tests.analysis.cells import parse_cells, read_cells, step, surroundings
from tests.analysis.test_graph import EDGES, REFUSED
from tests.analysis.test_precision import FIXTURES
from tests.analysis.test_soundness import HELPERS, notebooks


def told(make):
    """What is said of a step: where its names come from, its edges, or why it is refused."""
    try:
        graph, name = make()
    except DefinitionError as error:
        return str(error)
    node = graph.node(name)
    edges = {edge for edge in graph.edges if edge.target == name}
    return (set(node.bindings), node.gives, node.changes, set(node.imports), set(node.definitions), node.notes, edges)


def said_of_prefix(flow, around, place):
    """What the whole graph of a flow that ends at this step says of its last step."""
    prefix = replace(flow, steps=flow.steps[: place + 1])
    return told(lambda: (build_graph(prefix, around), flow.steps[place].name))


def said_while_growing(growth, flow, around, place):
    prefix = replace(flow, steps=flow.steps[: place + 1])
    return told(lambda: (growth.place(prefix, around, flow.steps[place].name), flow.steps[place].name))


def check_growing(steps, around, **fields):
    flow, growth = FlowDefinition(name="f", steps=tuple(steps), **fields), Growth()
    for place in range(len(steps)):
        assert said_while_growing(growth, flow, around, place) == said_of_prefix(flow, around, place), place


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_each_step_of_an_ordinary_notebook_is_told_what_the_graph_says(path):
    cells = read_cells(path)
    check_growing(cells.steps, surroundings(cells.plain))


@pytest.mark.parametrize("text", [*(cells for cells, _ in EDGES.values()), *(cells for cells, _ in REFUSED.values())])
def test_each_step_is_told_what_the_graph_says(text):
    cells = parse_cells(text)
    check_growing(cells.steps, surroundings(cells.plain))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(notebooks())
def test_each_step_of_a_generated_notebook_is_told_what_the_graph_says(cells):
    check_growing([step(f"s{number}", cell) for number, cell in enumerate(cells)], surroundings([HELPERS]))


@pytest.mark.parametrize("mode", [FlowMode.SEQUENTIAL, FlowMode.PARALLEL])
def test_modes_are_told_as_the_graph_says(mode):
    check_growing([step("a", "x = 1"), step("b", "y = 1"), step("c", "z = x")], Surroundings({}), mode=mode)


def chain(count):
    return [
        step(f"s{n}", f"g{n} = [{n}]" if not n else f"g{n} = g{n - 1} + [{n}]\nprint(len(g{n}))") for n in range(count)
    ]


def looks():
    info = analyze_cell.cache_info()
    return info.hits + info.misses


def test_defining_a_step_looks_at_the_code_of_that_step_only():
    steps, growth = chain(100), Growth()
    for place in range(len(steps)):
        before = looks()
        growth.place(FlowDefinition(name="f", steps=tuple(steps[: place + 1])), Surroundings({}), f"s{place}")
        assert looks() - before == 1


def test_defining_all_steps_again_looks_at_each_once():
    steps, growth = chain(50), Growth()
    growth.place(FlowDefinition(name="f", steps=tuple(steps)), Surroundings({}), "s49")
    before = looks()
    for place in range(len(steps)):
        steps[place] = replace(steps[place])
        growth.place(FlowDefinition(name="f", steps=tuple(steps)), Surroundings({}), f"s{place}")
    assert looks() - before == 50


def test_a_changed_step_is_seen_by_the_steps_below():
    steps, growth = [step("a", "x = 1"), step("b", "x = 2"), step("c", "y = x")], Growth()
    growth.place(FlowDefinition(name="f", steps=tuple(steps)), Surroundings({}), "c")
    steps[1] = step("b", "z = 2")
    growth.place(FlowDefinition(name="f", steps=tuple(steps)), Surroundings({}), "b")

    graph = growth.place(FlowDefinition(name="f", steps=tuple(steps)), Surroundings({}), "c")

    assert [(edge.source, edge.names) for edge in graph.edges] == [("a", ("x",))]


CHANGES = {
    "a helper that changes its argument by now": (
        {"touch": NotebookName("function", source="def touch(x):\n    return x")},
        {"touch": NotebookName("function", source="def touch(x):\n    x.append(1)")},
        [step("a", "x = [1]"), step("b", "touch(x)"), step("c", "print(x)")],
    ),
    "a name that came to the notebook": ({}, {"conf": NotebookName("data")}, [
        step("a", "x = [1]"), step("b", "try:\n    y = conf\nexcept NameError:\n    y = 1"), step("c", "print(y)"),
    ]),
    "a class that came to the notebook": (
        {}, {"Box": NotebookName("class", source="class Box:\n    def put(self, x):\n        self.x = x")},
        [step("a", "x = make = [1]"), step("b", "x.put(1)"), step("c", "print(x)")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "steps"), CHANGES.values(), ids=CHANGES)
def test_what_the_notebook_binds_by_now_is_seen(before, after, steps):
    growth, flow = Growth(), FlowDefinition(name="f", steps=tuple(steps))
    said_while_growing(growth, flow, Surroundings(before), 1)

    found = said_while_growing(growth, flow, Surroundings(after), 2)

    assert found == said_of_prefix(flow, Surroundings(after), 2)


def test_an_import_further_down_is_known_to_the_steps_above_when_they_are_defined_again():
    steps = [step("a", "x = json.dumps(1)"), step("b", "import json\ny = 1")]
    around, growth = Surroundings({"json": NotebookName("data")}), Growth()
    growth.place(FlowDefinition(name="f", steps=tuple(steps[:1])), around, "a")
    graph = growth.place(FlowDefinition(name="f", steps=tuple(steps)), Surroundings({}), "a")
    assert graph.node("a").imports == ("import json",)
