"""What cells bind again below a step that uses it: the run says so, because the notebook run from the top differs."""

from __future__ import annotations

import pytest

from szal_nb.analysis.graph import build_graph
from szal_nb.model.flow import FlowDefinition
from szal_nb.notebook.bound_again import bound_again
from szal_nb.notebook.history import Executed
from tests.analysis.cells import step, surroundings

ONE, TWO = "def f():\n    return 1", "def f():\n    return 2"


def notes(*cells, saved=None):
    """`cells` are texts; those of steps begin with `%%szal_step NAME`."""
    steps, cell_of, plain = [], {}, []
    for number, source in enumerate(cells, start=1):
        first, _, body = source.partition("\n")
        if first.startswith("%%szal_step"):
            name = first.split()[1]
            steps.append(step(name, body))
            cell_of[name] = f"c{number}"
        else:
            plain.append(source)
    graph = build_graph(FlowDefinition(name="f", steps=tuple(steps)), surroundings(plain))
    numbers = {f"c{number}": number for number in range(1, len(cells) + 1)} if saved is None else saved
    executed = [Executed(f"c{number}", source) for number, source in enumerate(cells, start=1)]
    return bound_again(graph, cell_of, executed, numbers)


def test_a_function_that_is_defined_again_below_a_step_is_named_with_both_cells():
    (found,) = notes(ONE, "%%szal_step a\nx = f()", "%%szal_step b\ny = f()", TWO, "%%szal_step c\nz = f()")

    assert found == (
        "f is bound again in cell 4, below a, b: all steps are given what it is now. "
        "Run from the top, the notebook would give there what cell 1 makes it: use two names."
    )


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("limit = 1", "limit = 2"),
        ("class C:\n    x = 1", "class C:\n    x = 2"),
        ("limit = 1", "for limit in range(3):\n    pass"),
        ("def limit():\n    return 1", "limit = len"),
    ],
)
def test_so_is_all_that_may_be_something_else(above, below):
    name = "C" if above.startswith("class") else "limit"
    assert len(notes(above, f"%%szal_step a\nx = {name}", below)) == 1


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param([ONE, TWO, "%%szal_step a\nx = f()"], id="both above"),
        pytest.param(["%%szal_step a\nx = f()", ONE, TWO], id="both below"),
        pytest.param([ONE, "%%szal_step a\nx = f()", ONE], id="the same text"),
        pytest.param(["import os", "%%szal_step a\nx = os.sep", "import os"], id="a module"),
        pytest.param([ONE, "%%szal_step a\nx = 1", TWO], id="not used"),
        pytest.param(["x = 1", "%%szal_step a\nx = 2", "%%szal_step b\ny = x", "x = 3"], id="given by a step"),
        pytest.param([ONE, "%%szal_step a\nx = f()", "%%szal_step b\ndef f():\n    return 2"], id="by a step below"),
    ],
)
def test_nothing_is_said_where_nothing_differs(cells):
    assert notes(*cells) == []


def test_nothing_is_said_of_cells_whose_place_nobody_knows():
    assert notes(ONE, "%%szal_step a\nx = f()", TWO, saved={"c1": 1, "c2": 2}) == []
    assert notes(ONE, "%%szal_step a\nx = f()", TWO, saved={"c1": 1, "c3": 3}) == []
