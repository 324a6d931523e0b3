"""What `build_graph` finds between the steps of small notebooks, and what it refuses."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.errors import DefinitionError, FlowCycle, InvalidFlow, InvalidStep
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import Binding, EdgeKind
from szal_nb.model.step import Step, StepKind
from tests.analysis.cells import notebook_graph, step


def edges_of(graph):
    """`source -> target: kind of names` for each edge."""
    return [f"{e.source} -> {e.target}: {e.kind}{' of ' if e.names else ''}{' '.join(e.names)}" for e in graph.edges]


def bindings_of(graph, name):
    return {
        b.name: f"{b.step or 'notebook'}.{b.source}{'?' if b.is_optional else ''}" for b in graph.node(name).bindings
    }


def functions(*sources, ordered=False, surroundings=None, **flags):
    """A flow of functions, as `szal.Flow` makes it."""
    steps = []
    for source in sources:
        name = source.split("def ", 1)[1].split("(", 1)[0]
        steps.append(Step(name=name, kind=StepKind.FUNCTION, source=source, **flags.get(name, {})))
    return build_graph(FlowDefinition(name="f", steps=tuple(steps), ordered=ordered), surroundings or Surroundings({}))


EDGES = {
    "a read comes from the nearest step above": (
        "# %% a\nx = 1\n# %% b\nx = x + 1\n# %% c\ny = x\n",
        ["a -> b: data of x", "b -> c: data of x"],
    ),
    "a plain redefinition waits for nobody": (
        "# %% a\nx = [1]\n# %% b\nprint(x)\n# %% c\nx = [2]\n",
        ["a -> b: data of x"],
    ),
    "names of one pair share an edge": (
        "# %% a\nx, y = [1], [2]\n# %% b\nprint(x, y)\n",
        ["a -> b: data of x y"],
    ),
    "leading underscores stay in their step": (
        "# %%\n_x = 0\n# %% a\n_x = 1\n# %% b\nprint(_x)\n",
        [],
    ),
    "a change in place waits for readers above and is read below": (
        "# %% a\nx = [1]\n# %% b\nprint(x)\n# %% c\nx.append(2)\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "a -> c: data of x", "b -> c: order of x", "c -> d: data of x"],
    ),
    "two changes in a row": (
        "# %% a\nx = [1]\n# %% b\nx.append(2)\n# %% c\nx.append(3)\n",
        ["a -> b: data of x", "b -> c: data of x"],
    ),
    "a method of unknown effect is a doubt": (
        "# %%\nimport lib\n# %% a\nx = lib.Thing()\n# %% b\nprint(x)\n# %% c\nx.refresh()\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "a -> c: data of x", "b -> c: doubt of x", "c -> d: doubt of x"],
    ),
    "a doubt taken back": (
        "# %%\nimport lib\n# %% a\nx = lib.Thing()\n# %% b\nprint(x)\n# %% c --pure x\nx.refresh()\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "a -> c: data of x", "a -> d: data of x"],
    ),
    "a change that only a flag says": (
        "# %%\nimport lib\n# %% a\nx = lib.Thing()\n# %% b\nprint(x)\n# %% c --changes x\ny = lib.touch(x)\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "a -> c: data of x", "b -> c: order of x", "c -> d: data of x"],
    ),
    "a read that only a flag says": (
        "# %% a\nx = 1\n# %% b --reads x\ny = 2\n",
        ["a -> b: data of x"],
    ),
    "numbers are bound anew, not changed": (
        "# %% a\nn = 0\n# %% b\nprint(n)\n# %% c\nn += 1\n# %% d\nprint(n)\n",
        ["a -> b: data of n", "a -> c: data of n", "c -> d: data of n"],
    ),
    "an alias given by another step": (
        "# %% a\nx = [1]\n# %% b\ny = x\n# %% c\ny.append(2)\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "b -> c: data of y", "a -> d: data of x", "c -> d: doubt of x"],
    ),
    "two names of one object": (
        "# %% a\nx = y = [1]\n# %% b\nprint(x)\n# %% c\ny.append(2)\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "a -> c: data of y", "b -> c: doubt of y", "a -> d: data of x", "c -> d: doubt of x"],
    ),
    "an object inside another": (
        "# %% a\nx = [1]\n# %% b\nbox = {'x': x}\n# %% c\nbox['x'].append(2)\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "b -> c: data of box", "a -> d: data of x", "c -> d: doubt of x"],
    ),
    "a change of the box leaves the object alone": (
        "# %% a\nx = [1]\n# %% b\nbox = {'x': x}\n# %% c\nbox['y'] = 2\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "b -> c: data of box", "a -> d: data of x"],
    ),
    "an optimizer changes the model": (
        (
            "# %%\nimport torch\n# %% a\nnet = torch.nn.ReLU()\n# %% b\nopt = torch.optim.Adam(net.parameters())\n"
            "# %% c\nopt.step()\n# %% d\nprint(net)\n"
        ),
        ["a -> b: data of net", "b -> c: data of opt", "a -> d: data of net", "c -> d: doubt of net"],
    ),
    "separate results of one call": (
        "# %%\nimport lib\n# %% a\nx, y = lib.load()\n# %% b\nprint(x)\n# %% c\ny['k'] = 1\n",
        ["a -> b: data of x", "a -> c: data of y"],
    ),
    "a function of the notebook that reads": (
        "# %%\ndef f(a):\n    return a * k\n# %% a\nk = 2\n# %% b\ny = f(3)\n",
        ["a -> b: data of k"],
    ),
    "functions through functions": (
        "# %%\ndef f(a):\n    return g(a)\ndef g(a):\n    return a * k\n# %% a\nk = 2\n# %% b\ny = f(3)\n",
        ["a -> b: data of k"],
    ),
    "a function of the notebook that changes its argument": (
        "# %%\ndef tidy(d):\n    d['a'] = 1\n# %% a\nd = {}\n# %% b\nprint(d)\n# %% c\ntidy(d)\n# %% e\nprint(d)\n",
        ["a -> b: data of d", "a -> c: data of d", "b -> c: order of d", "c -> e: data of d"],
    ),
    "a function that a step gives": (
        "# %% a\ndef f(x):\n    return x * k\n# %% b\nk = 2\n# %% c\ny = f(3)\n",
        ["a -> c: data of f", "b -> c: data of k"],
    ),
    "an import makes no edge": (
        "# %% a\nimport json\nx = 1\n# %% b\ny = json.dumps([])\n",
        [],
    ),
    "names bound in one branch pass the old value on": (
        "# %% a\nx = 1\n# %% b\nif input():\n    x = 2\n# %% c\nprint(x)\n",
        ["a -> b: data of x", "b -> c: data of x"],
    ),
    "loop variables of the same name tie nobody": (
        "# %% a\nfor i in range(3):\n    print(i)\n# %% b\nfor i in range(3):\n    print(i)\n",
        [],
    ),
    "deleting and giving again": (
        "# %% a\nx = 1\n# %% b\ndel x\n# %% c\nx = 2\n# %% d\nprint(x)\n",
        ["a -> b: data of x", "c -> d: data of x"],
    ),
    "a builtin that a step shadows": (
        "# %% a\nsum = 3\n# %% b\nprint(sum)\n",
        ["a -> b: data of sum"],
    ),
    "pyplot": (
        "# %%\nimport matplotlib.pyplot as plt\n# %% a\nplt.plot([1])\n# %% b\nprint(1)\n# %% c\nplt.show()\n",
        ["a -> c: order of pyplot"],
    ),
    "a glyph of bokeh, named as a plot of a table": (
        "# %%\nfrom bokeh.plotting import figure, show\n# %% a\np = figure()\n# %% b\np.line([1], [2])\n# %% c\nshow(p)\n",
        ["a -> b: data of p", "b -> c: data of p"],
    ),
    "draws of one generator": (
        "# %%\nimport numpy as np\n# %% a\nrng = np.random.default_rng(0)\n# %% b\nx = rng.normal()\n# %% c\ny = rng.normal()\n",
        ["a -> b: data of rng", "b -> c: data of rng"],
    ),
    "rare draws of one generator": (
        "# %%\nimport numpy as np\n# %% a\nrs = np.random.RandomState(0)\n# %% b\nx = rs.gamma(2)\n# %% c\ny = rs.zipf(2)\n",
        ["a -> b: data of rs", "b -> c: data of rs"],
    ),
    "draws of a generator of the notebook": (
        "# %%\nimport numpy as np\nrs = np.random.default_rng(0)\n# %% b\nx = rs.gamma(2)\n# %% c\ny = rs.beta(2, 2)\n",
        ["b -> c: data of rs"],
    ),
    "an iterator of the notebook is used up": (
        "# %%\nlines = open('x')\n# %% a\nx = list(lines)\n# %% b\nfor line in lines:\n    print(line)\n",
        ["a -> b: data of lines"],
    ),
    "what cannot change is not changed by whoever holds it": (
        "# %%\nimport lib\nSEED = 3\n# %% a\nx = lib.Model(SEED)\nx.fit(1)\n# %% b\ny = SEED\n",
        [],
    ),
    "a list that a text was cut into is changed": (
        "# %% a\nws = 'a b'.split()\n# %% b\nws.append(1)\n# %% c\nprint(ws)\n",
        ["a -> b: data of ws", "b -> c: data of ws"],
    ),
    "a sum of tuples holds what they hold": (
        "# %% a\nxs = [1]\n# %% b\nt = (1,) + (xs,)\n# %% c\nt[1].append(2)\n# %% d\nprint(xs)\n",
        ["a -> b: data of xs", "b -> c: data of t", "a -> d: data of xs", "c -> d: doubt of xs"],
    ),
    "a tuple holds what is added to it": (
        "# %% a\nxs = [1]\n# %% b\nt = ()\nt += (xs,)\n# %% c\nt[0].append(2)\n# %% d\nprint(xs)\n",
        ["a -> b: data of xs", "b -> c: data of t", "a -> d: data of xs", "c -> d: doubt of xs"],
    ),
    "a class holds what its body binds": (
        "# %% a\nxs = [1]\n# %% b\nclass Local:\n    items = xs\nLocal.items.append(3)\n# %% c\nprint(xs)\n",
        ["a -> b: data of xs", "b -> c: data of xs"],
    ),
    "what a generator of one's own shuffles": (
        "# %%\nimport random\nrng = random.Random(1)\n# %% a\nxs = [1, 2]\n# %% b\nrng.shuffle(xs)\n# %% c\nprint(xs)\n",
        ["a -> b: data of xs", "b -> c: data of xs"],
    ),
    "an array that the result is written to": (
        "# %%\nimport numpy as np\nxs = np.zeros(3)\n# %% a\nnp.add(xs, 1, out=xs)\n# %% b\nprint(xs)\n# %% c\nxs.cumsum(out=xs[:2])\n",
        ["a -> b: data of xs", "a -> c: data of xs", "b -> c: order of xs"],
    ),
    "the object that is a parameter's default": (
        "# %% a\nxs = [1]\n# %% b\ndef put(to=xs):\n    to.append(1)\nput()\n# %% c\nprint(xs)\n",
        ["a -> b: data of xs", "b -> c: data of xs"],
    ),
    "the object that is a default of a notebook's function": (
        "# %%\nXS = [1]\ndef put(to=XS):\n    to.append(1)\n# %% a\nput()\n# %% b\nput()\n# %% c\nput([])\n",
        ["a -> b: data of XS"],
    ),
    "a default that keeps what earlier calls left": (
        "# %%\ndef put(x, to=[]):\n    to.append(x)\n    return to\n# %% a\nx = put(1)\n# %% b\ny = put(2)\n# %% c\nz = put(3, [])\n",
        ["a -> b: order of default of put(to=…)"],
    ),
    "what a class of the notebook gives to a with block": (
        (
            "# %%\nclass Scope:\n    def __init__(self, held):\n        self.held = held\n    def __enter__(self):\n"
            "        return self.held\n    def __exit__(self, *_):\n        pass\n# %% a\nxs = [1]\n"
            "# %% b\nwith Scope(xs) as inner:\n    inner.append(1)\n# %% c\nprint(xs)\n"
        ),
        ["a -> b: data of xs", "b -> c: data of xs"],
    ),
    "what the end of a with block changes": (
        (
            "# %%\nclass Scope:\n    def __init__(self, held):\n        self.held = held\n    def __enter__(self):\n"
            "        return self\n    def __exit__(self, *_):\n        self.held.append(0)\n# %% a\nxs = [1]\n"
            "# %% b\nwith Scope(xs):\n    pass\n# %% c\nprint(xs)\n"
        ),
        ["a -> b: data of xs", "b -> c: data of xs"],
    ),
    "the global generator": (
        "# %%\nimport numpy as np\n# %% a\nnp.random.seed(0)\n# %% b\nx = [1]\n# %% c\ny = np.random.rand()\n",
        ["a -> c: order of numpy.random"],
    ),
    "an unseeded model draws where it is fitted": (
        (
            "# %%\nfrom sklearn.ensemble import RandomForestClassifier\nimport numpy as np\n# %% a\nm = RandomForestClassifier()\n"
            "# %% b\nx = np.random.rand()\n# %% c\nm.fit([[1]], [1])\n"
        ),
        ["a -> b: order of numpy.random", "a -> c: data of m", "b -> c: order of numpy.random"],
    ),
    "a setting of the process": (
        "# %%\nimport os\n# %% a\nprint(1)\n# %% b\nos.chdir('/')\n# %% c\nx = open('f').read()\n# %% d\ny = 1\n",
        ["a -> b: order of working directory", "b -> c: order of working directory"],
    ),
    "an attribute of a module": (
        "# %%\nimport conf\n# %% a\nx = conf.rate\n# %% b\nconf.rate = 2\n# %% c\ny = conf.rate\n# %% d\nz = 1\n",
        ["a -> b: order of module conf", "b -> c: order of module conf"],
    ),
    "dynamic code is ordered with all steps": (
        "# %% a\nx = 1\n# %% b\nexec('z = 2')\n# %% c\ny = 3\n# %% d\nprint(z)\n",
        ["a -> b: data of x", "a -> b: doubt", "b -> c: doubt", "b -> d: data of z", "b -> d: doubt"],
    ),
    "after": (
        "# %% a\nx = 1\n# %% b --after a\ny = 2\n",
        ["a -> b: order"],
    ),
    "needs": (
        "# %% a\nx = 1\n# %% b\nx = 2\n# %% c --needs x=a.x\nprint(x)\n",
        ["a -> c: data of x"],
    ),
    "a condition reads": (
        "# %% a\nx = [1]\n# %% b --when 'len(x) > 0'\ny = 2\n",
        ["a -> b: data of x"],
    ),
    "a condition asks for a state": (
        "# %% a\nx = [1]\n# %% b --when 'steps.a.status == \"completed\"'\ny = 2\n",
        ["a -> b: order"],
    ),
    "a parent": (
        "# %% a\nx = 1\n# %% b --parent a\ny = 2\n",
        ["a -> b: parent"],
    ),
    "literal SQL": (
        "# %%\nimport duckdb\n# %% a\norders = [1]\n# %% b\ny = duckdb.sql('select * from orders, other').df()\n",
        ["a -> b: data of orders"],
    ),
    "literal query": (
        "# %%\ndf = 1\n# %% a\nlimit = 1\n# %% b\ny = df.query('price > @limit')\n",
        ["a -> b: data of limit"],
    ),
}


@pytest.mark.parametrize(("cells", "expected"), EDGES.values(), ids=EDGES)
def test_the_edges_of_a_notebook(cells, expected):
    assert edges_of(notebook_graph(cells)) == expected


def test_functions_may_stand_in_any_order():
    """Order-free lookup is for `Flow` in Python."""
    graph = functions("def use(later):\n    return later", "def later():\n    return 1")

    assert edges_of(graph) == ["later -> use: data of later"]


REFUSED = {
    "a name given only below": (
        "# %% a\nprint(1)\nprint(x)\n# %% b\nx = 1\n",
        (
            "Step 'a': line 2 reads 'x', which only step 'b' further down gives. "
            "Move that cell above this one, or give 'x' in a cell above."
        ),
    ),
    "a name found nowhere": (
        "# %%\norders = 1\n# %% a\nprint(order)\n",
        "Step 'a': line 1 reads 'order', which no step gives and the notebook does not have. Did you mean orders?",
    ),
    "a name that a function reads": (
        "# %%\ndef f():\n    return kk\n# %% a\ny = f()\n",
        (
            "Step 'a': line 1 reads 'kk' (through f()), which no step gives and the notebook does not have. "
            "Bind 'kk' in a cell above, or import it."
        ),
    ),
    "a class whose code binds a global anew": (
        "# %%\nn = 0\nclass K:\n    def up(self):\n        global n\n        n += 1\n# %% a\nK().up()\n",
        (
            "Step 'a': it uses K, a class of the notebook whose code binds 'n' anew, which no step sees. Only plain "
            "functions are looked through: let K return what it makes, keep it in an object, or define K in the step "
            "that uses it."
        ),
    ),
    "a name that a step above deleted": (
        "# %% a\nx = 1\n# %% b\ndel x\n# %% c\nprint(x)\n",
        (
            "Step 'c': line 1 reads 'x', which step 'b' deletes in line 1. "
            "Remove `del x` there, or give 'x' again above this step."
        ),
    ),
    "an unknown step after": (
        "# %% load\nx = 1\n# %% b --after laod\ny = 1\n",
        "Step 'b': --after names the step 'laod', which does not exist. Did you mean load?",
    ),
    "an unknown parent": (
        "# %% load\nx = 1\n# %% b --parent lod\ny = 1\n",
        "Step 'b': --parent names the step 'lod', which does not exist. Did you mean load?",
    ),
    "an unknown need": (
        "# %% load\nx = 1\n# %% b --needs x=loud.x\nprint(x)\n",
        "Step 'b': --needs x=loud.x: there is no step 'loud'. Did you mean load?",
    ),
    "a need that is not given": (
        "# %% load\nx = 1\n# %% b --needs y=load.y\nprint(y)\n",
        "Step 'b': --needs y=load.y: the step 'load' does not give 'y'. It gives x.",
    ),
    "an out that is not given": (
        "# %% load --out rows\nrow = 1\n",
        "Step 'load': --out names 'rows', which the step does not give. Did you mean row?",
    ),
    "a class that reads what a step gives": (
        "# %%\nclass Model:\n    def rate(self):\n        return k\n# %% a\nk = 1\n# %% b\nk = 2\n# %% c\nm = Model()\n",
        (
            "Step 'c': it uses Model, a class of the notebook whose code reads 'k', which steps 'a' and 'b' give. "
            "Only plain functions are made anew over a step's values: pass 'k' to Model as an argument, or define Model in "
            "the step that uses it."
        ),
    ),
    "a class of a step that reads a name with two givers": (
        "# %% a\nk = 1\n# %% b\nclass Model:\n    def rate(self):\n        return k\n# %% c\nk = 2\n# %% d\nm = Model()\n",
        (
            "Step 'b': line 3: the class Model, which step 'd' uses, reads 'k', which is given by steps 'a' and 'c'. "
            "Pass 'k' to it as an argument, or give it one name for each value."
        ),
    ),
    "a condition that is none": (
        "# %% a --when 'x >'\nx = 1\n",
        "Step 'a': --when: ",
    ),
    "a name that a step keeps to itself": (
        "# %% a\n_x = 1\n# %% b\nprint(_x)\n",
        (
            "Step 'b': line 1 reads '_x', which step 'a' keeps to itself. "
            "Names with a leading underscore are not given to other steps: rename it."
        ),
    ),
    "code that is not Python": (
        "# %% a\nx = \n",
        "Step 'a': line 1: invalid syntax. Mend the code of the cell.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_contradictory_is_refused(cells, message):
    with pytest.raises(InvalidStep) as refused:
        notebook_graph(cells)
    assert str(refused.value).startswith(message) if message.endswith(": ") else str(refused.value) == message


def test_a_cycle_names_its_path():
    with pytest.raises(FlowCycle) as refused:
        notebook_graph("# %% a --after c\nx = 1\n# %% b\ny = x\n# %% c\nz = y\n")
    assert refused.value.path in {("a", "b", "c", "a"), ("b", "c", "a", "b"), ("c", "a", "b", "c")}


def test_a_step_after_itself_is_a_cycle():
    with pytest.raises(FlowCycle) as refused:
        notebook_graph("# %% a --after a\nx = 1\n")
    assert refused.value.path == ("a", "a")


def test_each_edge_says_why_where_and_what_to_do():
    graph = notebook_graph("# %%\nimport lib\n# %% a\nxs = lib.make()\n# %% b\nprint(xs)\n# %% c\n1\nxs.poke()\n")
    edge = graph.edges[-1]
    assert (edge.source, edge.target, edge.kind, edge.rule, edge.line) == (
        "b",
        "c",
        EdgeKind.DOUBT,
        "changed-after-reading",
        2,
    )
    assert edge.reason == "Line 2 may change xs in place (xs.poke(…)); b reads it before that."
    assert edge.remedy == "--pure xs"
    assert not edge.is_blocking


def test_bindings_say_where_each_name_comes_from():
    graph = notebook_graph(
        "# %%\nurl = 'u'\nimport pandas as pd\n# %% a\nx = pd.read_csv(url)\n# %% b\nx['a'] = 1\n# %% c\ny = x\n"
    )
    assert bindings_of(graph, "a") == {"url": "notebook.url"}
    assert bindings_of(graph, "b") == {"x": "a.x"}
    assert bindings_of(graph, "c") == {"x": "b.x"}
    assert graph.inputs == ("url",)
    assert [node.gives for node in graph.nodes] == [("x",), (), ("y",)]
    assert [node.changes for node in graph.nodes] == [(), ("x",), ()]
    assert [node.needed for node in graph.nodes] == [("x",), ("x",), ()]


def test_out_makes_a_value_needed():
    assert notebook_graph("# %% a --out x\nx = y = 1\n").node("a").needed == ("x",)


def test_needs_binds_a_value_under_another_name():
    graph = notebook_graph("# %% a\nx = 1\n# %% b --needs y=a.x\nprint(y)\n")
    assert graph.node("b").bindings == (Binding(name="y", step="a", source="x"),)


def test_imports_of_the_notebook_and_of_other_steps_reach_a_step():
    graph = notebook_graph(
        "# %%\nimport numpy as np\n# %% a\nfrom math import sqrt\nx = 4\n# %% b\ny = sqrt(x) + np.pi\n"
    )
    assert set(graph.node("b").imports) == {"import numpy as np", "from math import sqrt"}
    assert graph.node("a").imports == ()


def test_definitions_are_the_functions_and_classes_that_a_step_uses():
    graph = notebook_graph(
        "# %%\nimport os\ndef f(x):\n    return g(x)\ndef g(x):\n    return os.sep\nclass K:\n    pass\n"
        "# %% a\ny = f(K())\n# %% b\nz = 1\n"
    )
    assert set(graph.node("a").definitions) == {"f", "g", "K"}
    assert graph.node("a").imports == ("import os",)
    assert graph.node("b").definitions == ()


def test_a_function_that_a_step_gives_is_rebuilt_where_it_is_used():
    graph = notebook_graph("# %% a\ndef f():\n    return k\n# %% b\nk = 1\ny = f()\n")
    assert graph.node("b").definitions == ("f",)
    assert bindings_of(graph, "b") == {"f": "a.f"}


def test_await_makes_a_step_async():
    graph = notebook_graph("# %%\nimport asyncio\n# %% a\nawait asyncio.sleep(0)\n# %% b\nx = 1\n")
    assert [node.is_async for node in graph.nodes] == [True, False]


def test_a_connection_keeps_its_steps_on_the_main_thread():
    graph = notebook_graph(
        "# %%\nimport sqlite3\n# %% a\nconn = sqlite3.connect(':memory:')\n# %% b\ncur = conn.execute('select 1')\n# %% c\nx = 1\n"
    )
    assert [node.is_main_thread for node in graph.nodes] == [True, True, False]
    assert graph.node("a").notes == (
        "Gives conn, which cannot be stored: rebuilds on resume if a later step needs it.",
        "Works with a value that belongs to one thread: runs on the main thread.",
    )


def test_dynamic_code_is_never_cached_and_says_so():
    node = notebook_graph("# %% a\nexec('x = 1')\n").node("a")
    assert not node.is_cacheable
    assert node.notes == ("Uses exec(): ordered with all steps, never cached.",)


def test_a_sequential_flow_is_a_chain():
    graph = notebook_graph("# %% a\nx = 1\n# %% b\ny = 2\n# %% c\nz = x\n", mode=FlowMode.SEQUENTIAL)
    assert edges_of(graph) == ["a -> c: data of x", "a -> b: order", "b -> c: order"]


def test_a_parallel_flow_has_no_edges():
    assert notebook_graph("# %% a\nx = 1\n# %% b\ny = 2\n", mode=FlowMode.PARALLEL).edges == ()


def test_a_parallel_flow_refuses_steps_that_depend_on_each_other():
    with pytest.raises(InvalidFlow, match=r"Step 'b' depends on step 'a' \(x\): Line 1 reads x\."):
        notebook_graph("# %% a\nx = 1\n# %% b\ny = x\n", mode=FlowMode.PARALLEL)


@pytest.mark.parametrize("flag", ["--after a", "--parent a", "--when steps.a.status=='completed'"])
def test_a_parallel_flow_refuses_flags_that_make_a_step_wait(flag):
    with pytest.raises(InvalidFlow, match=f"Step 'b' depends on step 'a': its {flag.split()[0]} names it"):
        notebook_graph(f"# %% a\nx = 1\n# %% b {flag}\ny = 1\n", mode=FlowMode.PARALLEL)


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (
            "# %% part --parent whole\nx = 1\n# %% whole\ny = x\n",
            (
                "Step 'whole': it waits for 'part', which is a sub-step of it and runs after it: Line 1 reads x. "
                "Take what whole needs out of part, or remove --parent whole there."
            ),
        ),
        (
            "# %% whole --after deep\n1\n# %% part --parent whole\n1\n# %% deep --parent part\n1\n",
            (
                "Step 'whole': it waits for 'deep', which is a sub-step of it and runs after it: --after deep. "
                "Take what whole needs out of deep, or remove --parent part there."
            ),
        ),
    ],
    ids=["its own", "one further down"],
)
def test_a_step_that_waits_for_a_sub_step_of_its_own_is_refused(cells, text):
    with pytest.raises(InvalidStep) as refused:
        notebook_graph(cells, mode=FlowMode.HIERARCHICAL)
    assert str(refused.value) == text


def test_sub_steps_may_read_what_other_branches_give():
    cells = "# %% one\n1\n# %% two\n1\n# %% a --parent one\nx = 1\n# %% b --parent two\ny = x\n"

    graph = notebook_graph(cells, mode=FlowMode.HIERARCHICAL)
    assert edges_of(graph) == ["a -> b: data of x", "one -> a: parent", "two -> b: parent"]


def test_a_tree_of_parents():
    graph = notebook_graph("# %% a\n1\n# %% b --parent a\n1\n# %% c --parent b\n1\n", mode=FlowMode.HIERARCHICAL)
    assert edges_of(graph) == ["a -> b: parent", "b -> c: parent"]


def test_parents_in_a_ring_are_refused():
    with pytest.raises(FlowCycle):
        notebook_graph("# %% a --parent b\n1\n# %% b --parent a\n1\n", mode=FlowMode.HIERARCHICAL)


def test_functions_take_their_parameters_from_steps_of_that_name_wherever_they_stand():
    graph = functions(
        "def test(build, lint):\n    return build + lint",
        "def build(commit):\n    return commit",
        "def lint(commit, strict=False):\n    return commit",
    )
    assert edges_of(graph) == ["build -> test: data of build", "lint -> test: data of lint"]
    assert graph.inputs == ("commit",)
    assert bindings_of(graph, "lint") == {"commit": "notebook.commit", "strict": "notebook.strict?"}
    assert [node.gives for node in graph.nodes] == [("test",), ("build",), ("lint",)]
    assert [node.step.name for node in graph.nodes] == ["test", "build", "lint"]


def test_functions_with_named_outputs():
    graph = functions(
        "def load():\n    return 1, 2", "def use(rows, columns):\n    return rows", load={"out": ("rows", "columns")}
    )
    assert edges_of(graph) == ["load -> use: data of rows columns"]
    assert graph.node("load").gives == ("rows", "columns")


def test_free_globals_of_a_function_are_reads():
    graph = functions("def a():\n    return 1", "@flow.step(retries=2)\ndef b():\n    return a + math.pi")
    assert edges_of(graph) == ["a -> b: data of a"]
    assert graph.edges[0].line == 3


def test_async_functions_are_async_steps():
    assert functions("async def a():\n    await x()").node("a").is_async


def test_a_function_that_changes_its_argument_comes_after_those_defined_before_it():
    graph = functions(
        "def rows():\n    return []",
        "def count(rows):\n    return len(rows)",
        "def grow(rows):\n    rows.append(1)",
        "def total(rows, grow):\n    return sum(rows)",
    )
    assert edges_of(graph) == [
        "rows -> count: data of rows",
        "rows -> grow: data of rows",
        "count -> grow: order of rows",
        "grow -> total: data of rows grow",
    ]


def test_two_givers_of_a_name_without_document_order_are_refused():
    with pytest.raises(InvalidStep, match="which 2 steps give: a, b"):
        functions(
            "def a():\n    return 1",
            "def b():\n    return 1",
            "def c(x):\n    return x",
            a={"out": ("x",)},
            b={"out": ("x",)},
        )


def test_functions_that_need_each_other_are_a_cycle():
    with pytest.raises(FlowCycle) as refused:
        functions("def a(b):\n    return b", "def b(a):\n    return a")
    assert set(refused.value.path) == {"a", "b"}


def test_callables_around_a_function_are_neither_values_nor_inputs():
    graph = functions(
        "def a(n):\n    return helper(n)", surroundings=Surroundings({"helper": NotebookName("callable")})
    )
    assert graph.inputs == ("n",)


def test_all_refusals_are_definition_errors():
    assert issubclass(InvalidStep, DefinitionError)
    assert issubclass(FlowCycle, DefinitionError)
    assert issubclass(InvalidFlow, DefinitionError)


def test_ten_thousand_steps_in_a_chain_take_well_under_a_second():
    steps = tuple(step(f"s{n}", "y = x\nx = y") for n in range(10_000))
    flow = FlowDefinition(name="long", steps=(step("s", "x = 1"), *steps))
    build_graph(replace(flow, steps=flow.steps[:10]))
    start = time.process_time()
    graph = build_graph(flow)
    assert len(graph.edges) == 10_000
    assert time.process_time() - start < 2


def test_a_cycle_of_ten_thousand_steps_is_found():
    steps = tuple(step(f"s{n}", "1", f"--after s{(n + 1) % 10_000}") for n in range(10_000))
    with pytest.raises(FlowCycle) as refused:
        build_graph(FlowDefinition(name="ring", steps=steps))
    assert len(refused.value.path) == 10_001


ENVIRONMENT_READS = [
    "y = os.environ['A']",
    "y = 'A' in os.environ",
    "for name in os.environ:\n    pass",
    "y = [name for name in os.environ]",
    "y = dict(os.environ)",
    "y = {**os.environ}",
    "from os import environ\ny = environ['A']",
    "import os as system\ny = system.environ['A']",
    "y = found()",
]
ENVIRONMENT_WRITES = [
    "os.environ['A'] = '1'",
    "del os.environ['A']",
    "os.environ.update(A='1')",
    "os.environ |= {'A': '1'}",
    "from os import environ\nenviron |= {'A': '1'}",
    "from os import environ\nenviron['A'] = '1'",
]


@pytest.mark.parametrize("write", ENVIRONMENT_WRITES)
@pytest.mark.parametrize("read", ENVIRONMENT_READS)
def test_every_way_to_read_the_environment_is_ordered_with_every_way_to_write_it(read, write):
    helpers = "# %%\nimport os\ndef found():\n    return os.environ['A']\n"
    graph = notebook_graph(f"{helpers}# %% a\n{write}\n# %% b\n{read}\n# %% c\n{write}\n# %% d\nz = 1\n")
    assert edges_of(graph) == ["a -> b: order of environment", "b -> c: order of environment"]


def test_an_item_of_the_environment_says_its_line_and_who_can_be_taken_out():
    (edge,) = notebook_graph("# %%\nimport os\n# %% a\nos.environ['A'] = '1'\n# %% b\n\ny = os.environ['A']\n").edges
    assert (edge.line, edge.remedy) == (2, "--pure environment on a")
    assert edge.reason == "b waits for a: it depends on environment (os.environ)."


ALIASES = {
    "the environment": ("import os\nenv = os.environ", "env['A'] = '1'", "y = env['A']"),
    "a generator's function": ("import random\ndraw = random.random", "x = draw()", "y = draw()"),
}


@pytest.mark.parametrize(("give", "first", "second"), ALIASES.values(), ids=ALIASES)
def test_hidden_state_under_another_name_is_the_same_state(give, first, second):
    graph = notebook_graph(f"# %% a\n{give}\n# %% b\n{first}\n# %% c\n{second}\n")
    assert ("b", "c", "hidden-state") in {(edge.source, edge.target, edge.rule) for edge in graph.edges}


@pytest.mark.parametrize(("kind", "noun"), [("callable", "callable"), ("data", "value")])
def test_code_in_an_object_of_the_notebook_that_reads_what_a_step_gives_is_refused(kind, noun):
    around = Surroundings({"f": NotebookName(kind, reads=("k", "len"))})
    flow = FlowDefinition(name="f", steps=(step("a", "k = 1"), step("b", "y = f.go(1)")))
    with pytest.raises(InvalidStep, match=f"it uses f, a {noun} of the notebook whose code reads 'k'"):
        build_graph(flow, around)
    assert build_graph(replace(flow, steps=flow.steps[1:]), around).edges == ()


LOOKS_LATE = {
    "a closure": "def make(n):\n    return lambda x: x * n * k\nf = make(3)",
    "a lambda in a list": "f = [lambda: k]",
    "a lambda that was appended": "f = []\nf.append(lambda: k)",
    "a function with its arguments": "import functools\ndef g(x):\n    return k * x\nf = functools.partial(g, 1)",
    "an attribute": "class B:\n    pass\nf = B()\nf.go = lambda: k",
    "an attribute of a new object": "class B:\n    def __init__(self):\n        self.go = lambda: k\nf = B()",
    "an instance": "class B:\n    def go(self):\n        return k\nf = B()",
    "instances in a list": "class B:\n    def go(self):\n        return k\nf = [B()]",
    "a mapping that runs later": "f = map(lambda x: x * k, [1])",
    "a generator": "f = (k * x for x in [1])",
    "a function's generator": "def go():\n    yield k\nf = go()",
    "a default that is made later": "import collections\nf = collections.defaultdict(lambda: k)",
}


@pytest.mark.parametrize("late", LOOKS_LATE.values(), ids=LOOKS_LATE)
def test_code_that_runs_later_over_an_ambiguous_global_is_refused(late):
    with pytest.raises(InvalidStep, match="f, which step 'd' uses, reads 'k', which is given by steps 'a' and 'c'"):
        notebook_graph(f"# %% a\nk = 2\n# %% b\n{late}\n# %% c\nk = 5\n# %% d\ny = f\n")
    with pytest.raises(InvalidStep, match="f, which step 'd' uses, reads 'k', which step 'c' changes in place"):
        notebook_graph(f"# %% a\nk = [2]\n# %% b\n{late}\n# %% c\nk.append(5)\n# %% d\ny = f\n")


def test_code_that_runs_later_over_a_global_that_others_may_change_is_refused_with_the_flag_that_says_they_do_not():
    cells = (
        "# %% a\nk = [2]\n# %% b\nf = print, lambda x: x * k\n# %% c{0}\nk.look()\n# %% e{0}\nk.look()\n# %% d\ny = f\n"
    )
    with pytest.raises(InvalidStep) as refused:
        notebook_graph(cells.format(""))

    assert "reads 'k', which steps 'c' and 'e' may change in place (k.look(…)). If nothing" in str(refused.value)
    assert "say `--pure k` on steps 'c' and 'e'" in str(refused.value)
    assert notebook_graph(cells.format(" --pure k")).edges


@pytest.mark.parametrize("late", LOOKS_LATE.values(), ids=LOOKS_LATE)
def test_code_that_runs_later_over_a_global_with_one_value_is_not_refused(late):
    graph = notebook_graph(f"# %% a\nk = [2]\n# %% z\nk.append(5)\n# %% b\n{late}\n# %% d\ny = f\n")
    assert bindings_of(graph, "b")["k"] == "z.k"


AT_ONCE = {
    "a key": "f = sorted([3], key=lambda x: x * k)",
    "a mapping": "f = list(map(lambda x: x * k, [1]))",
    "a generator that is summed": "f = sum(x * k for x in [1])",
    "a generator in a loop": "f = [x for x in (y * k for y in [1])]",
    "a method of a table": "f = df.apply(lambda row: row * k)",
    "a pipe": "f = df.pipe(lambda d: d * k)",
    "a table of functions": "_table = {'a': lambda x: x * k}\nf = _table['a'](1)",
    "a function of the notebook": "def go(g):\n    return g(1)\nf = go(lambda x: x * k)",
}


@pytest.mark.parametrize("code", AT_ONCE.values(), ids=AT_ONCE)
def test_code_that_has_run_by_then_reads_what_was_there(code):
    graph = notebook_graph(f"# %%\ndf = 1\n# %% a\nk = 2\n# %% b\n{code}\n# %% c\nk = 5\n# %% d\ny = f\n")
    assert bindings_of(graph, "b")["k"] == "a.k"
    assert bindings_of(graph, "d") == {"f": "b.f"}


def test_a_function_made_by_a_function_is_made_anew_where_it_needs_nothing_of_it():
    cells = "# %%\ndef make():\n    def inner(x):\n        return x * k\n    return inner\n"
    graph = notebook_graph(f"{cells}# %% a\nk = 1\n# %% b\nf = make()\n# %% c\nk = 2\n# %% d\ny = f(1)\n")
    assert bindings_of(graph, "d") == {"f": "b.f", "k": "c.k"}
    assert graph.node("d").definitions == ("f",)


DATABASE_CHANGES = [
    "con.execute('insert into t values (1)')",
    "cursor = con.execute('update t set x = 1')",
    "con.executescript('delete from t')",
    "con.sql('insert into t values (1)')",
    r"done = con.query('-- a note\ncreate table u as select 1')",
    "con.sql(statement)",
    "df.to_sql('t', con)",
    "df.to_sql('t', con=con)",
    "con.commit()",
]
DATABASE_READS = ["y = con.sql('select * from t').df()", "y = pd.read_sql('select * from t', con)"]


@pytest.mark.parametrize("maker", ["sqlite3.connect(':memory:')", "duckdb.connect()"])
@pytest.mark.parametrize("change", DATABASE_CHANGES)
@pytest.mark.parametrize("read", DATABASE_READS)
def test_a_statement_that_changes_a_database_is_a_change_of_its_connection(maker, change, read):
    head = "# %%\nimport duckdb, sqlite3\nimport pandas as pd\ndf = statement = 1\n"
    cells = f"{head}# %% a\ncon = {maker}\n# %% b\n{read}\n# %% c\n{change}\n# %% d\n{read}\n"
    assert {("a", "b"), ("b", "c"), ("c", "d")} <= {(edge.source, edge.target) for edge in notebook_graph(cells).edges}


ON_ONE_THREAD = {
    "what was asked of a connection": ("con = sqlite3.connect('a.db')", "x = con.execute('select 1')", "print(x.fetchone())"),
    "a database in memory": ("e = sa.create_engine('sqlite://')", "x = 1", "print(pd.read_sql('t', e))"),
    "a connection to it": ("e = sa.create_engine('sqlite:///:memory:')", "x = e.connect()", "print(x.execute(q))"),
    "a session": ("e = sa.create_engine('sqlite://')", "x = orm.Session(e)", "print(x.scalar(q))"),
    "what makes sessions": ("e = sa.create_engine('sqlite://')", "x = orm.sessionmaker(bind=e)", "with x() as s:\n    s.add(q)"),
    "a session that was made so": ("m = orm.sessionmaker(sa.create_engine('sqlite://'))", "x = m()", "x.commit()"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "ask", "use"), ON_ONE_THREAD.values(), ids=ON_ONE_THREAD)
def test_what_comes_of_a_value_that_is_bound_to_its_thread_is_bound_to_it_as_well(make, ask, use):
    """A database in memory is another one on each thread: there was no such table."""
    head = "# %%\nimport sqlite3\nimport sqlalchemy as sa\nfrom sqlalchemy import orm\nimport pandas as pd\nq = 1\n"
    graph = notebook_graph(f"{head}# %% a\n{make}\n# %% b\n{ask}\n# %% c\n{use}\n# %% d\ny = q\n")
    assert (graph.node("a").is_main_thread, graph.node("c").is_main_thread) == (True, True)
    assert not graph.node("d").is_main_thread


def test_what_was_fetched_and_databases_in_files_are_for_all_threads():
    head = "# %%\nimport sqlite3\nimport sqlalchemy as sa\n# %% a\ncon = sqlite3.connect(':memory:')\n"
    rows = "# %% b\nrows = con.execute('select 1').fetchall()\n# %% c\nprint(rows)\n"
    graph = notebook_graph(f"{head}{rows}# %% d\ne = sa.create_engine('sqlite:///a.db')\n# %% f\nprint(e.connect())\n")
    assert [node.step.name for node in graph.nodes if node.is_main_thread] == ["a", "b"]


SAID_TO_CHANGE = {
    "the next question of a study": ("import optuna\nx = optuna.create_study()", "t = x.ask()", "y = x.trials_dataframe()"),
    "what an environment answers": ("import gymnasium as gym\nx = gym.make('a')", "o, i = x.reset()", "y = x.step(0)[0]"),
    "a handle of what was added": ("import folium\nx = folium.Map()", "h = x.add_child(1)", "print(x.get_name())"),
    "a case of a function": (
        "from functools import singledispatch\n@singledispatch\ndef x(n):\n    return 1",
        "@x.register(int)\ndef _(n):\n    return 2",
        "print(x(1))",
    ),
    "a figure of bokeh": ("from bokeh.plotting import figure\nx = figure()", "r = x.line([1], [2])", "n = len(x.renderers)"),
    "what is read in parts": (
        "import pyarrow as pa\nx = pa.RecordBatchReader.from_batches(s, b)", "f = x.read_next_batch()", "y = x.read_all()"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "change", "read"), SAID_TO_CHANGE.values(), ids=SAID_TO_CHANGE)
def test_a_method_whose_name_says_so_changes_its_object_also_where_its_result_is_used(make, change, read):
    """Nobody can compare most such objects: who read it ran first, and answered otherwise."""
    graph = notebook_graph(f"# %%\ns = b = 1\n# %% a\n{make}\n# %% b\n{change}\n# %% c\n{read}\n")
    assert ("b", "c") in {(edge.source, edge.target) for edge in graph.edges}


def test_a_method_that_gives_a_changed_copy_is_no_change():
    graph = notebook_graph(
        "# %%\nload = 1\n# %% a\nx = load()\n# %% b\ny = x.add_prefix('a')\n# %% c\nz = x.set_index('a')\n"
    )
    assert {(edge.source, edge.target) for edge in graph.edges} == {("a", "b"), ("a", "c")}


def test_questions_to_a_database_need_no_order():
    read = "y = pd.read_sql('select * from t', con)"
    cells = f"# %%\nimport sqlite3\nimport pandas as pd\n# %% a\ncon = sqlite3.connect('a.db')\n# %% b\n{read}\n# %% c\n{read}\n"
    assert edges_of(notebook_graph(cells)) == ["a -> b: data of con", "a -> c: data of con"]


@pytest.mark.parametrize("read", [*DATABASE_READS, "y = con.table('t').filter('n > 1').fetchall()", "print(asked)"])
def test_a_connection_of_duckdb_is_asked_one_question_at_a_time(read):
    """It refuses what another thread asks of it meanwhile."""
    head = "# %%\nimport duckdb\nimport pandas as pd\n# %% a\ncon = duckdb.connect()\nasked = con.sql('select 1')\n"
    graph = notebook_graph(f"{head}# %% b\n{read}\n# %% c\n{read}\n")
    assert ("b", "c", ("duckdb",)) in {(edge.source, edge.target, edge.names) for edge in graph.edges}


@pytest.mark.parametrize("read", ["print(d['x'])", "n = [d[k] for k in ks]", "n = look()", "n = len(d['x'])"])
def test_who_asks_a_defaultdict_for_a_key_adds_it_where_it_is_missing(read):
    """A run that was killed behind it went on from a record without the key, and counted one less."""
    head = "# %%\nfrom collections import defaultdict\nks = ['x']\ndef look():\n    return d[ks[0]]\n"
    graph = notebook_graph(f"{head}# %% a\nd = defaultdict(list)\n# %% b\n{read}\n# %% c\nprint(len(d))\n")
    assert bindings_of(graph, "c") == {"d": "b.d"}


def test_a_question_that_is_asked_later_waits_for_the_changes_above_it():
    cells = "# %%\nimport duckdb\n# %% a\ncon = duckdb.connect()\n# %% b\nasked = con.sql('select * from t')\n"
    graph = notebook_graph(f"{cells}# %% c\ncon.execute('insert into t values (1)')\n# %% d\ny = asked.df()\n")
    assert ("c", "d") in {(edge.source, edge.target) for edge in graph.edges}


@pytest.mark.parametrize(
    "draw",
    [
        "loss.backward()", "for xb in loader:\n    print(xb)", "xb = next(iter(loader))", "seen = score(loader)",
        "out = model(xs)",
    ],
)  # fmt: skip
def test_who_trains_or_goes_through_a_loader_draws(draw):
    """Also a loader that does not shuffle draws the seed of its workers."""
    head = "# %%\nimport torch\nfrom torch.utils.data import DataLoader\nloss = xs = 1\ndef score(xs):\n    return [1 for x in xs]\n"
    head += "class Net(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
    graph = notebook_graph(
        f"{head}# %% a\nloader = DataLoader(xs)\nmodel = Net()\n# %% b\n{draw}\n# %% c\nw = torch.randn(2)\n"
    )
    assert ("b", "c", ("torch.random",)) in {(edge.source, edge.target, edge.names) for edge in graph.edges}


def test_options_of_libraries_come_before_what_they_may_matter_to():
    settings = [
        "pl.Config.set_tbl_rows(3)", "sklearn.set_config(display='text')", "xr.set_options(keep_attrs=True)",
        "torch.set_default_dtype(torch.float64)", "alt.data_transformers.disable_max_rows()",
    ]  # fmt: skip
    for setting in settings:
        head = "# %%\nimport polars as pl, sklearn, xarray as xr, torch, altair as alt\nt = 1\n"
        graph = notebook_graph(f"{head}# %% a\n{setting}\n# %% b\nprint(t)\n")
        assert [(edge.source, edge.target) for edge in graph.edges] == [("a", "b")], setting


def test_who_makes_sessions_keeps_the_engine():
    """What a session writes, others read through the engine, also pandas."""
    head = "# %%\nfrom sqlalchemy.orm import sessionmaker\nimport sqlalchemy as sa\nimport pandas as pd\n"
    made = "# %% a\nengine = sa.create_engine('sqlite://')\n# %% b\nmeta.create_all(engine)\n# %% c\nmake = sessionmaker(bind=engine)\n"
    write = "# %% d\nwith make() as session:\n    session.add(1)\n    session.commit()\n"
    graph = notebook_graph(f"{head}meta = sa.MetaData()\n{made}{write}# %% e\ny = pd.read_sql('select 1', engine)\n")
    assert {("b", "c"), ("c", "d"), ("d", "e")} <= {(edge.source, edge.target) for edge in graph.edges}


def test_the_database_of_the_process_is_hidden_state():
    head = "# %%\nimport duckdb\n# %% a\nduckdb.sql('create table t as select 1')\n"
    question = "duckdb.sql('select * from t').df()"
    graph = notebook_graph(
        f"{head}# %% b\nx = {question}\n# %% c\ny = {question}\n# %% d\nduckdb.execute('drop table t')\n"
    )
    assert edges_of(graph) == [
        "a -> b: order of duckdb", "b -> c: order of duckdb", "c -> d: order of duckdb",
    ]  # fmt: skip


TABLE = "# %%\nimport pandas as pd\n# %% a\ndf = pd.DataFrame({'k': [1, 1], 'v': [2, 3]})\n"
LOOKS_LATE = {
    "groups": ("late = df.groupby('k')", "x = late.v.sum()"),
    "a column of groups": ("late = df.groupby('k')['v']", "x = late.sum()"),
    "columns of groups": ("late = df.groupby('k')[['v']]", "x = [part for _, part in late]"),
    "windows": ("late = df.v.rolling(2)", "x = late.mean()"),
    "windows of groups": ("late = df.groupby('k').rolling(2)", "x = late.mean()"),
    "rows": ("late = df.itertuples()", "x = list(late)"),
}


@pytest.mark.parametrize(("hold", "use"), LOOKS_LATE.values(), ids=LOOKS_LATE)
def test_what_looks_at_a_table_late_is_used_before_the_table_is_changed(hold, use):
    """It showed the table as it was by then, or a column was missing."""
    graph = notebook_graph(f"{TABLE}# %% b\n{hold}\n# %% c\n{use}\n# %% d\ndf.drop(columns='v', inplace=True)\n")
    assert {("c", "d")} <= {(edge.source, edge.target) for edge in graph.edges}


@pytest.mark.parametrize(
    "made",
    [
        "df.groupby('k')['v'].sum()",
        "df.groupby('k').v.agg(['sum']).reset_index()",
        "df.v.rolling(2).mean()",
        "df.groupby('k').apply(lambda part: part.head(1))",
        "{k: part for k, part in df.groupby('k')}",
    ],
)
def test_what_came_of_groups_and_windows_is_a_table_of_its_own(made):
    graph = notebook_graph(f"{TABLE}# %% b\nx = {made}\n# %% c\nprint(x)\n# %% d\ndf['v'] = 0\n")
    assert edges_of(graph) == ["a -> b: data of df", "b -> c: data of x", "a -> d: data of df", "b -> d: order of df"]


OWN = """# %%
from itertools import islice
class Source:
    def __init__(self):
        self.log = []
    def __enter__(self):
        return 1
    def __exit__(self, *_):
        self.log.append(1)
    def __iter__(self):
        yield self.log.append(1)
    def __call__(self, x):
        self.log.append(x)
        return x
    def __missing__(self, key):
        self.log.append(key)
        return key
    def __contains__(self, key):
        self.log.append(key)
        return True
    def __rshift__(self, other):
        self.log.append(other)
        return self
    @property
    def size(self):
        self.log.append(0)
        return 1
class Inherited(Source):
    pass
# %% a
source = CLASS()
# %% b
CODE
# %% c
print(source.log)
"""
BY_ITSELF = {
    "a with block": "with source:\n    x = 1",
    "a with block, by a name": "with source as x:\n    pass",
    "a loop": "for x in source:\n    pass",
    "a comprehension": "x = [one for one in source]",
    "a list": "x = list(source)",
    "elements in a call": "print(*source)",
    "a loop over pairs": "for x, _ in zip(source, [1]):\n    pass",
    "the first of it": "x = list(islice(source, 1))",
    "names for its elements": "(x,) = source",
    "a call whose result is kept": "x = source(1)",
    "a key": "x = source['k']",
    "a question": "x = 1 in source",
    "an operator": "x = source >> 1",
    "a property": "x = source.size",
}


@pytest.mark.parametrize("kind", ["Source", "Inherited"])
@pytest.mark.parametrize("code", BY_ITSELF.values(), ids=BY_ITSELF)
def test_what_python_calls_by_itself_changes_its_object_as_what_is_called_by_name(code, kind):
    graph = notebook_graph(OWN.replace("CLASS", kind).replace("CODE", code))
    assert ("b", "c") in {(edge.source, edge.target) for edge in graph.edges}
    assert not [edge for edge in graph.edges if edge.kind == EdgeKind.DOUBT]


def test_methods_that_python_calls_and_that_change_nothing_need_no_order():
    quiet = OWN.replace("self.log.append", "len").replace("CLASS", "Source")
    for code in BY_ITSELF.values():
        assert [(e.source, e.target) for e in notebook_graph(quiet.replace("CODE", code)).edges] == [
            ("a", "b"),
            ("a", "c"),
        ], code


def test_a_generator_is_used_up_by_names_for_its_elements():
    graph = notebook_graph(
        "# %% a\nfound = (x for x in [1, 2, 3, 4])\n# %% b\none, two, *_ = found\n# %% c\nprint(list(found))\n"
    )
    assert ("b", "c") in {(edge.source, edge.target) for edge in graph.edges}


IN_INSTANCES = {
    "an enum that an object is given": (
        "import enum\nclass Kind(enum.Enum):\n    A = 1",
        ("class Account:\n    def __init__(self):\n        self.entries = []\n    def book(self, kind):\n"
        "        self.entries.append(kind)\n    def total(self):\n        return self.entries.count(Kind.A)"),
        "it = Account()\nit.book(Kind.A)",
        "it.book(Kind.A)",
    ),
    "a class of which an object has objects": (
        "class Node:\n    def __init__(self, v):\n        self.v, self.next = v, None",
        ("class Chain:\n    def __init__(self):\n        self.head = None\n    def push(self, v):\n"
        "        node = Node(v)\n        node.next = self.head\n        self.head = node"),
        "it = Chain()\nit.push(1)",
        "it.head.v = 7",
    ),
    "a class of which an object has objects of its own kind": (
        "n = 1",
        ("class Trie:\n    def __init__(self):\n        self.kids, self.end = {}, False\n    def add(self, word):\n"
        "        node = self\n        for c in word:\n            node = node.kids.setdefault(c, Trie())\n"
        "        node.end = True"),
        "it = Trie()\nit.add('a')",
        "leaf = it.kids['a']\nleaf.end = True",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other", "made", "changed"), IN_INSTANCES.values(), ids=IN_INSTANCES)
def test_what_is_changed_in_an_object_is_not_the_class_of_what_is_in_it(one, other, made, changed):
    """The class was changed, it seemed, and code that reads it was refused."""
    code = f"# %% one\n{one}\n# %% other\n{other}\n# %% made\n{made}\n# %% changed\n{changed}\n# %% end\nprint(it)\n"
    graph = notebook_graph(code)
    assert ("changed", "end") in {(edge.source, edge.target) for edge in graph.edges}
    assert ("other", "made") in {(edge.source, edge.target) for edge in graph.edges}
    joined = notebook_graph(code.replace("# %% other", "").replace("# %% made", ""))
    assert ("changed", "end") in {(edge.source, edge.target) for edge in joined.edges}


def test_a_member_of_a_class_that_is_changed_is_a_change_of_the_class():
    kind = "# %% a\nclass Kind:\n    items = {'x': []}\n"
    graph = notebook_graph(f"{kind}# %% b\nKind.items['x'].append(1)\n# %% c\nprint(Kind.items)\n")
    assert ("b", "c") in {(edge.source, edge.target) for edge in graph.edges}


DRAWS = "class Sim:\n    def draw(self):\n        return random.random() + helped()\n"


@pytest.mark.parametrize("is_step", [True, False])
def test_a_method_uses_what_the_modules_that_it_names_share(is_step):
    """Who only has an object of the class did not know its modules: what it drew was not on record."""
    head = f"# %%\nimport random\ndef helped():\n    return 0\n# %%{' kind' if is_step else ''}\n{DRAWS}"
    graph = notebook_graph(
        f"{head}# %% made\nrandom.seed(0)\nsim = Sim()\n# %% drawn\nx = sim.draw()\n# %% end\ny = random.random()\n"
    )
    assert graph.node("drawn").states == ("random",)
    assert ("drawn", "end") in {(edge.source, edge.target) for edge in graph.edges}
