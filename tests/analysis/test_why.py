"""Every edge says why it is there, and what is in doubt is freed by the remedy that it names."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from szal_nb.analysis.explaining import edge_reason
from szal_nb.analysis.graph import build_graph
from szal_nb.errors import DefinitionError
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import EdgeKind
from tests.analysis.cells import notebook_graph, read_cells, step, surroundings
from tests.analysis.test_precision import FIXTURES
from tests.analysis.test_soundness import HELPERS, notebooks

_PURE = re.compile(r"--pure (\S+)(?: on (\S+))?")


def graph_of(steps):
    return build_graph(FlowDefinition(name="f", steps=tuple(steps)), surroundings([HELPERS]))


def treated(steps, edge):
    """The steps with the flags of an edge's remedy; None if it is to be mended in the code."""
    flags = []
    for remedy in edge.remedy.split(" and "):
        found = _PURE.fullmatch(remedy)
        if found is None:
            return None
        flags.append((found.group(2) or edge.target, found.group(1)))
    return [replace(one, pure=(*one.pure, *(name for target, name in flags if target == one.name))) for one in steps]


def doubts(graph):
    return {(edge.source, edge.target, edge.rule) for edge in graph.edges if edge.kind is EdgeKind.DOUBT}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(notebooks())
def test_the_remedy_of_a_doubt_removes_its_edge(cells):
    # `unknown` is in no table: each call of it is a doubt.
    cells = [cell.replace(".append(7)", ".unknown_effect()") for cell in cells]
    steps = [step(f"s{number}", cell) for number, cell in enumerate(cells)]
    try:
        graph = graph_of(steps)
    except DefinitionError:
        return
    for edge in graph.edges:
        if edge.kind is EdgeKind.DOUBT and (changed := treated(steps, edge)) is not None:
            assert (edge.source, edge.target, edge.rule) not in doubts(graph_of(changed)), edge


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_each_edge_of_a_notebook_says_why(path):
    for edge in notebook_graph(read_cells(path)).edges:
        assert edge.rule
        assert edge.reason.endswith(".")
        assert edge.names
        assert edge.line
        assert edge.remedy or edge.kind is not EdgeKind.DOUBT


def test_a_doubt_with_two_reasons_names_both_remedies():
    graph = notebook_graph(
        "# %%\nimport lib\n# %% a\nx, y = lib.one(), lib.two()\n# %% b\nprint(x, y)\n# %% c\nx.poke()\ny.poke()\n"
    )
    edge = graph.edges[-1]
    assert (edge.names, edge.remedy) == (("x", "y"), "--pure x and --pure y")


def test_a_certain_change_of_what_may_be_shared_is_freed_by_a_copy():
    graph = notebook_graph("# %% a\nx = [1]\n# %% b\ny = x\n# %% c\ny.append(2)\n# %% d\nprint(x)\n")
    assert graph.edges[-1].remedy == "copy x, so that it is no part of y"


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ("# %%\nimport os\n# %% a\nos.chdir('/')\n# %% b\nx = len('f')\n", "working-directory"),
        ("# %%\nimport random\n# %% a\nrandom.seed(1)\n# %% b\nx = random.random()\n", "random"),
        ("# %% a\nopen('f', 'w').write('1')\n# %% b\nx = open('f').read()\n", "file:f"),
    ],
)
def test_the_remedy_of_hidden_state_removes_its_edge(cells, state):
    (edge,) = notebook_graph(cells).edges
    found = _PURE.fullmatch(edge.remedy)
    assert (edge.rule, found.group(1)) == ("hidden-state", state)
    target = found.group(2) or edge.target
    assert notebook_graph(cells.replace(f"# %% {target}\n", f"# %% {target} --pure {state}\n")).edges == ()


@pytest.mark.parametrize(
    ("first", "second", "because"),
    [
        ("plt.plot([1])", "plt.title('x')", "both use pyplot (matplotlib.pyplot.title). To free it: --pure pyplot"),
        ("a = 1", "print(a)", "Line 1 reads a."),
    ],
)
def test_beside_its_steps_a_reason_does_not_name_them_again(first, second, because):
    (edge,) = graph_of([step("one", f"import matplotlib.pyplot as plt\n{first}"), step("two", second)]).edges

    assert edge_reason(edge) == because
