"""Who changes a class or a module is ordered with all who may hold what it made, though they do not name it."""

from __future__ import annotations

import pytest

from szal_nb.analysis.graph import build_graph
from szal_nb.model.flow import FlowDefinition
from tests.analysis.cells import step, surroundings

NET = "class Net:\n    rate = 1\n    found = []\n    class Size:\n        most = 1\n    def cost(self):\n        return self.rate"
DEEP = "class Deep(Net):\n    pass"
MADE = "def made():\n    return Deep()"
CONFIG = "class Config:\n    rate = 1"
IMPORT = "import pandas as pd"
NETS = "nets = [Net()]\nsize = 3"


def graph_of(*cells, flags=None):
    names = [f"s{n}" for n in range(len(cells))]
    steps = tuple(step(name, cell, (flags or {}).get(name, "")) for name, cell in zip(names, cells, strict=True))
    flow = FlowDefinition(name="f", steps=steps)
    return build_graph(flow, surroundings([NET, DEEP, MADE, CONFIG, IMPORT, NETS]))


def waits(graph, target):
    """For which steps `target` waits, in whatever way that leads from one to another."""
    found, todo = set(), [target]
    while todo:
        name = todo.pop()
        new = {edge.source for edge in graph.edges if edge.target == name} - found
        found |= new
        todo += new
    return found


CHANGING = [
    "Net.rate = 5",
    "Net.rate += 1",
    "del Net.rate",
    "setattr(Net, 'rate', 5)",
    "for name in ('rate', 'more'):\n    setattr(Net, name, 5)",
    "delattr(Net, 'rate')",
    "Net.found.append(1)",
    "Net.Size.most = 3",
    "Net.__repr__ = lambda self: 'net'",
    "def twice(self):\n    return 2 * self.rate\nNet.twice = twice",
    "def change():\n    Net.rate = 3\nchange()",
]


@pytest.mark.parametrize("change", CHANGING)
def test_who_reads_an_instance_waits_for_who_changes_its_class(change):
    graph = graph_of("net = Net()", change, "print(net.cost())")

    assert "s1" in waits(graph, "s2")
    assert "Net" in graph.node("s2").definitions


@pytest.mark.parametrize("change", CHANGING)
def test_who_changes_a_class_waits_for_who_reads_an_instance(change):
    assert "s1" in waits(graph_of("net = Net()", "print(net.cost())", change), "s2")


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(["all = [Net()]", "first = all[0]"], id="inside of a list"),
        pytest.param(["first = made()"], id="made by a function, of a class below it"),
        pytest.param(["first = nets[0]"], id="the notebook's"),
        pytest.param(["held = {}", "held['net'] = Net()", "first = held"], id="put into something older"),
        pytest.param(["first = None\nif size:\n    first = Net()"], id="made in one branch"),
        pytest.param(["first = Net()", "if size > 5:\n    first = None"], id="left as it was in one branch"),
    ],
)
def test_what_may_hold_an_instance_does(cells):
    graph = graph_of(*cells, "Net.rate = 5", "print(first)")

    assert f"s{len(cells)}" in waits(graph, f"s{len(cells) + 1}")


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(["net, count = Net(), 3", "Net.rate = 5", "print(count)"], id="a number"),
        pytest.param(["net = Net()", "Config.rate = 5", "print(net.cost())"], id="another class"),
        pytest.param(["print(1)", "Config.rate = 5", "print(size)"], id="a number of the notebook"),
        pytest.param(["net = Net()", "made.calls = 5", "print(net.cost())"], id="a function"),
    ],
)
def test_what_cannot_hold_an_instance_waits_for_nobody(cells):
    assert "s1" not in waits(graph_of(*cells), "s2")


@pytest.mark.parametrize(
    "change",
    [
        "pd.DataFrame.total = lambda self: 1",
        "setattr(pd.DataFrame, 'total', len)",
        "@pd.api.extensions.register_dataframe_accessor('own')\nclass Own:\n    pass",
        "from pandas.api.extensions import register_series_accessor\nregister_series_accessor('own')(len)",
    ],
)
def test_who_reads_a_table_waits_for_who_puts_a_method_on_tables(change):
    graph = graph_of("df = pd.DataFrame({'a': [1]})", change, "print(df.total())", "print(1)")

    assert "s1" in waits(graph, "s2")
    assert waits(graph, "s3") == set()


def test_the_reason_names_the_class():
    graph = graph_of("net = Net()", "Net.rate = 5", "print(net.cost())")

    (edge,) = [edge for edge in graph.edges if edge.source == "s1"]
    assert edge.reason == "s2 waits for s1: it depends on attributes of Net (by what it reads)."
    assert edge.remedy == "--pure attributes-of-Net"


@pytest.mark.parametrize("first", ["net = Net()", "net = nets[0]"])
def test_the_remedy_frees_the_step(first):
    pure = "--pure attributes-of-Net"
    assert "s1" not in waits(graph_of(first, "Net.rate = 5", "print(net.cost())", flags={"s2": pure}), "s2")
    assert "s1" not in waits(graph_of(first, "print(net.cost())", "Net.rate = 5", flags={"s1": pure}), "s2")
    assert "s1" not in waits(graph_of(first, "Net.rate = 5", "print(net.cost())", flags={"s1": pure}), "s2")
