"""A flow that cells define one after another: each step is told what the whole graph says, for one analysis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from szal_nb.analysis.cell import analyze_cell
from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.analysis.growth import Growth
from szal_nb.errors import DefinitionError
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.step import Compensation, Step
from tests.analysis.cells import parse_cells, read_cells, step, surroundings
from tests.analysis.test_graph import EDGES, REFUSED
from tests.analysis.test_precision import FIXTURES
from tests.analysis.test_soundness import HELPERS, notebooks


def told(make):
    """What is said of a step: where its names come from, its edges, or why it is refused."""
    try:
        node, edges = make()
    except DefinitionError as error:
        return str(error)
    return (
        set(node.bindings),
        node.gives,
        node.changes,
        set(node.imports),
        set(node.definitions),
        node.notes,
        set(edges),
    )


def said_of_prefix(flow, around, place):
    """What the whole graph of a flow that ends at this step says of its last step."""
    prefix, name = replace(flow, steps=flow.steps[: place + 1]), flow.steps[place].name

    def make():
        graph = build_graph(prefix, around)
        return graph.node(name), [edge for edge in graph.edges if edge.target == name]

    return told(make)


def said_while_growing(growth, flow, around, place):
    steps = flow.steps[: place + 1]
    return told(lambda: growth.place(steps, steps[place].name, around, flow.mode))


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
        growth.place(tuple(steps[: place + 1]), f"s{place}", Surroundings({}))
        assert looks() - before == 1


def test_defining_all_steps_again_looks_at_each_once():
    steps, growth = chain(50), Growth()
    growth.place(tuple(steps), "s49", Surroundings({}))
    before = looks()
    for place in range(len(steps)):
        steps[place] = replace(steps[place], source=f"{steps[place].source}\n# once more")
        growth.place(tuple(steps), f"s{place}", Surroundings({}))
    assert looks() - before == 50


SHAPES = {
    "chain": lambda n: f"g{n} = [{n}]" if not n else f"g{n} = g{n - 1} + [{n}]\nprint(len(g{n}))",
    "fan": lambda n: f"g{n} = g0 + [{n}]" if n else "g0 = [1]",
    "layers": lambda n: f"g{n} = [{n}]" if n < 10 else f"g{n} = [g{n // 10 * 10 - 10 + n * 7 % 10}, g{n // 10 * 10 - 10 + n * 3 % 10}]",
    "one value changed by all": lambda n: f"g{n} = {n}\nacc.append(g{n})" if n else "acc = []\ng0 = 1",
    "a loop in each": lambda n: f"for i in [[1], [2]]:\n    g{n} = i",
}  # fmt: skip


@pytest.mark.parametrize("count", [20, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_is_done_to_one_cell_no_more_steps_are_looked_at_in_a_long_notebook_than_in_a_short_one(shape, count):
    """An execution looks at its own step; the next one at those that what is gone or new matters to."""
    steps, growth = [step(f"s{n}", SHAPES[shape](n)) for n in range(count)], Growth()
    growth.place(tuple(steps), steps[-1].name, Surroundings({}))

    def cost(where, around=None):
        before = looks()
        growth.place(tuple(steps), steps[where].name, Surroundings(around or {}))
        return looks() - before

    half = count // 2
    steps[half] = replace(steps[half], source=f"{steps[half].source}\n# once more")
    assert (cost(half), cost(-1)) == (1, 0)
    steps.append(step("new", "new = 1"))
    assert cost(-1) == 1
    assert cost(-1, {"new_in_the_notebook": NotebookName("data")}) == 0
    steps.insert(half, step("between", "between = 1"))
    assert (cost(half), cost(-1)) == (1, 0)
    del steps[half]
    assert cost(-1) == 0


def test_a_changed_step_is_seen_by_the_steps_below():
    steps, growth = [step("a", "x = 1"), step("b", "x = 2"), step("c", "y = x")], Growth()
    growth.place(tuple(steps), "c", Surroundings({}))
    steps[1] = step("b", "z = 2")
    growth.place(tuple(steps), "b", Surroundings({}))

    _, edges = growth.place(tuple(steps), "c", Surroundings({}))

    assert [(edge.source, edge.names) for edge in edges] == [("a", ("x",))]


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


EXCHANGED = {
    "a step whose value another needs gives nothing any more": (
        [step("a", "x = [1]"), step("b", "y = z", "--needs z=a.x")],
        [step("a", "print()"), step("b", "y = z", "--needs z=a.x")],
    ),
    "a step whose value another needs gives another kind of value": (
        [step("s", "w = [1]"), step("a", "x = w"), step("b", "y = z", "--needs z=a.x")],
        [step("s", "import sqlite3\nw = sqlite3.connect('f')"), step("a", "x = w"), step("b", "y = z", "--needs z=a.x")],
    ),
    "a class whose method changes what it is given is gone": (
        [step("a", "class Box:\n    def put(self, what):\n        what.append(1)"), step("b", "x = [1]\nbox = [2]"), step("c", "box[0].put(x)")],
        [step("b", "x = [1]\nbox = [2]"), step("c", "box[0].put(x)")],
    ),
    "a class whose method changes what it is given has come": (
        [step("b", "x = [1]\nbox = [2]"), step("c", "box[0].put(x)")],
        [step("b", "x = [1]\nbox = [2]"), step("c", "box[0].put(x)"), step("a", "class Box:\n    def put(self, what):\n        what.append(1)")],
    ),
    "a name that code of a value reads has two givers now": (
        [step("a", "n = [1]"), step("b", "f = [lambda: n]"), step("c", "f[0]()"), step("d", "m = 1")],
        [step("a", "n = [1]"), step("b", "f = [lambda: n]"), step("c", "f[0]()"), step("d", "n = 1")],
    ),
    "the first import of a name is another one": (
        [step("a", "m.dumps(1)"), step("b", "import json as m\ny = 1")],
        [step("a", "m.dumps(1)"), step("b", "import pickle as m\ny = 1")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), EXCHANGED.values(), ids=EXCHANGED)
def test_what_has_become_of_other_steps_is_seen(before, after):
    growth, around = Growth(), Surroundings({})
    first = [told(lambda: growth.place(tuple(before), one.name, around)) for one in before]  # noqa: B023 called at once
    found = [told(lambda: growth.place(tuple(after), one.name, around)) for one in after]  # noqa: B023 as above

    assert found == [told(lambda: Growth().place(tuple(after), one.name, around)) for one in after]  # noqa: B023 as above
    assert found != first


def test_an_import_further_down_is_known_to_the_steps_above_when_they_are_defined_again():
    steps = [step("a", "x = json.dumps(1)"), step("b", "import json\ny = 1")]
    around, growth = Surroundings({"json": NotebookName("data")}), Growth()
    growth.place(tuple(steps[:1]), "a", around)
    node, _ = growth.place(tuple(steps), "a", Surroundings({}))
    assert node.imports == ("import json",)


CELLS = [
    "a = [1]", "b = [2]\nc = [3]", "a = b", "b = [a, c]", "a.append(1)", "a.append(b)", "c = lib.f(a)", "lib.g(b)",
    "del a", "del b", "for i in [[1], [2]]:\n    a = i", "if c:\n    b = a", "try:\n    c = a\nexcept NameError:\n    pass",
    "import math as m\nx = m.pi", "import json as m", "y = m", "import json\njson.dumps(a)", "globals()", "exec('a = 1')",
    "class Box:\n    def put(self, what):\n        what.append(a)\nbox = Box()", "box.put(b)", "a.put(c)", "c = helper(a)",
    "def helper(x):\n    x.append(1)", "d = lambda: a", "d()", "e = (q for q in a)", "list(e)", "c = Kept()", "c.go(a)",
    "import warnings\nwarnings.simplefilter('ignore')", "print(a)", "open('f', 'w')", "open('f')", "open(f'{a}')",
    "import random\nrandom.seed(1)", "import random\nc = random.random()", "_h = [1]\nb = _h", "c = _h", "i = i",
    "counter = 0\ndef up():\n    global counter\n    counter += 1\nup()", "a.sort()\nb = a[0]", "a = (b, c)",
    "seen(a)", "b = seen(c)", "Keeper().note(a)", "helper.count = 1", "print(helper.count)", "def seen(x, all=[]):\n    all.append(x)",
]  # fmt: skip
FLAGS = [{}, {}, {}, {}, {}, {"after": ("s0",)}, {"needs": (("b", "s1.b"),)}, {"when": "steps.s0.status == 'completed'"},
         {"pure": ("a",)}, {"changes": ("b",)}, {"reads": ("c",)}, {"parent": "s1"}, {"when": "a > 1"},
         {"rollback": Compensation(source="print(a)")}]  # fmt: skip
NOTEBOOK = ["", "a = [1]", "b = 5", "def helper(x):\n    return x", "class Kept:\n    def go(self, x):\n        x.append(b)",
            "def seen(x, all=[]):\n    all.append(x)\n    return all", "class Keeper:\n    all = []\n    def note(self, x):\n        self.all.append(x)",
            "import math as m", "class Box:\n    def put(self, x):\n        return x", "a = b = c = [0]", "lib = 1"]  # fmt: skip


@st.composite
def changes(draw):
    """What a person does to the cells of a notebook one after another."""
    what = st.sampled_from(["append", "append", "append", "insert", "exchange", "again", "remove", "move", "notebook"])
    return [
        (draw(what), draw(st.sampled_from(CELLS)), draw(st.sampled_from(FLAGS)), draw(st.floats(0, 1)),
         draw(st.lists(st.sampled_from(NOTEBOOK), max_size=3)), draw(st.floats(0, 1)))
        for _ in range(draw(st.integers(1, 16)))
    ]  # fmt: skip


def changed(steps, number, what, cell, flags, where):
    """The steps after one change."""
    at = int(where * (len(steps) - 1)) if steps else 0
    match what:
        case "append" | "notebook":
            return [*steps, Step(name=f"s{number}", source=cell, **flags)]
        case "insert":
            return [*steps[:at], Step(name=f"s{number}", source=cell, **flags), *steps[at:]]
        case "exchange":
            return [*steps[:at], Step(name=steps[at].name, source=cell, **flags), *steps[at + 1 :]] if steps else steps
        case "again":
            return (
                [*steps[:at], replace(steps[at], source=f"\n{steps[at].source}"), *steps[at + 1 :]] if steps else steps
            )
        case "remove":
            return [*steps[:at], *steps[at + 1 :]]
    return [*steps[at:], *steps[:at]]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes())
def test_whatever_is_done_to_cells_each_step_is_told_what_a_fresh_look_says(done):
    growth, plain = Growth(), []
    steps = [step("s0", "a = [1]\nb = [2]\nc = [a]"), step("s1", "b = [a]\nd = e = box = b")]
    for number, (what, cell, flags, where, notebook, asked) in enumerate(done, start=2):
        steps = changed(steps, number, what, cell, flags, where)
        plain = notebook if what == "notebook" else plain
        around, flow = surroundings(["import lib", *plain]), FlowDefinition(name="f", steps=tuple(steps))
        for place in [int(asked * (len(steps) - 1)), len(steps) - 1] if steps else []:
            name = steps[place].name
            found = told(lambda: growth.place(flow.steps, name, around))  # noqa: B023 called at once
            assert found == told(lambda: Growth().place(flow.steps, name, around)), (number, name)  # noqa: B023 as above
        if steps:
            assert found == said_of_prefix(flow, around, len(steps) - 1), number
