"""The sentences of the product's description on edges, changes in place, hidden state and refusals; each with a test."""

# ruff: noqa: D205, D209 - the sentences stand as they are in the description.

from __future__ import annotations

import pytest

from szal_nb.errors import InvalidStep
from szal_nb.model.graph import EdgeKind
from tests.analysis.cells import notebook_graph


def edges_of(cells):
    return {(edge.source, edge.target) for edge in notebook_graph(cells).edges}


def test_a_read_comes_from_the_nearest_step_above():
    """A read comes from the nearest step above that gives that name, as in a notebook run from the top; redefining a
    name is therefore fine."""
    assert edges_of("# %% a\nx = 1\n# %% b\nx = x + 1\n# %% c\nprint(x)\n") == {("a", "b"), ("b", "c")}


def test_a_step_reads_what_it_uses_before_it_binds_it():
    """A step reads the names that its code uses before it binds them."""
    assert edges_of("# %% a\nx = [1]\n# %% b\nx = [2]\nprint(x)\n") == set()


def test_underscored_names_are_not_given():
    """It gives the names it binds at top level (not those with a leading underscore)."""
    assert notebook_graph("# %% a\nx = 1\n_y = 2\ndef f():\n    z = 3\n").node("a").gives == ("x", "f")


def test_a_name_given_only_below_is_an_error():
    """A name given only by a step below is an error in a notebook that names the step."""
    with pytest.raises(InvalidStep, match="which only step 'b' further down gives"):
        notebook_graph("# %% a\nprint(x)\n# %% b\nx = 1\n")


def test_names_in_literal_queries_are_reads():
    """`@name` in literal `query`/`eval` strings is a read, as are givers' names in literal duckdb SQL."""
    cells = "# %%\nimport duckdb\ndf = 1\n# %% a\nlow = 1\nt = df\n# %% b\nx = df.query('v > @low')\n"
    assert edges_of(cells + "# %% c\ny = duckdb.sql('select * from t').df()\n") == {("a", "b"), ("a", "c")}


def test_reads_says_what_code_cannot():
    """`--reads NAME` says it where code cannot."""
    assert edges_of("# %% a\nx = 1\n# %% b --reads x\ny = 1\n") == {("a", "b")}


def test_nothing_falls_through_to_the_notebook():
    """Nothing falls through to the notebook's value of a name that a step gives."""
    graph = notebook_graph("# %%\nx = 0\n# %% a\nx = 1\n# %% b\nprint(x)\n")
    assert (graph.node("b").bindings[0].step, graph.inputs) == ("a", ())


def test_the_last_expression_makes_no_name_and_no_edge():
    """It makes no name and no edge."""
    graph = notebook_graph("# %% a\n1 + 1\n# %% b\n2 + 2\n")
    assert (graph.edges, graph.node("a").gives) == ((), ())


def test_imports_make_no_edges():
    """Imports make no edges: a module imported in one step is simply imported for the others; modules are never
    values."""
    graph = notebook_graph("# %% a\nimport json\n# %% b\nx = json.dumps(1)\n")
    assert graph.edges == ()
    assert graph.node("a").gives == ()
    assert graph.node("b").imports == ("import json",)


def test_a_plain_function_is_looked_through():
    """A plain function of the notebook that a step uses is looked through, transitively: what it reads counts as read
    by the step, and it is rebuilt over the step's values."""
    cells = "# %%\ndef f():\n    return g()\ndef g():\n    return k\n# %% a\nk = 1\n# %% b\nx = f()\n"
    assert edges_of(cells) == {("a", "b")}
    assert set(notebook_graph(cells).node("b").definitions) == {"f", "g"}


@pytest.mark.parametrize(
    "definition",
    [
        "class f:\n    def rate(self):\n        return k",
        "import functools\n@functools.cache\ndef f():\n    return k",
    ],
)
def test_a_callable_that_reads_an_ambiguous_global_is_refused(definition):
    """A class, decorated function, closure or other callable whose code reads a global that has more than one giver, or
    is changed in place after its definition, is refused before the run, with advice."""
    with pytest.raises(InvalidStep, match="'k', which steps 'a' and 'b' give") as refused:
        notebook_graph(f"# %%\n{definition}\n# %% a\nk = 1\n# %% b\nk = 2\n# %% c\nx = f()\n")
    assert "argument" in str(refused.value)


def test_a_class_whose_global_is_changed_after_its_definition_is_refused():
    """…or is changed in place after its definition, is refused before the run, with advice."""
    cells = (
        "# %% a\nk = []\n# %% b\nclass F:\n    def all(self):\n        return k\n# %% c\nk.append(1)\n# %% d\nx = F()\n"
    )
    with pytest.raises(InvalidStep, match="the class F, which step 'd' uses, reads 'k', which step 'c' changes"):
        notebook_graph(cells)


@pytest.mark.parametrize("code", ["globals()['x']", "exec('y = x')", "eval('x')", "get_ipython().user_ns"])
def test_dynamic_code_is_ordered_with_all_steps(code):
    """A body that uses `globals()`, `locals()`, `exec`, `eval`, `from m import *` or the shell's namespace is ordered
    with all steps, is never cached, and says so."""
    graph = notebook_graph(f"# %% a\nx = 1\n# %% b\n{code}\n# %% c\nz = 1\n")
    assert {("a", "b"), ("b", "c")} <= {(edge.source, edge.target) for edge in graph.edges}
    assert not graph.node("b").is_cacheable
    assert "ordered with all steps, never cached" in graph.node("b").notes[0]


CHANGES = [
    "x['k'] = 1", "x += [1]", "del x['k']", "x.attribute = 1", "n = x.pop()", "x.dropna(inplace=True)", "x.append(1)",
    "x.fit([[1]], [1])", "touch(x)", "for part in x:\n    part['k'] = 1", "x.setdefault('k', []).append(1)",
    "Box(x).put(1)",
]  # fmt: skip


@pytest.mark.parametrize("code", CHANGES)
def test_changes_in_place_give_the_name_again_and_wait_for_readers(code):
    """Changes in place count as giving the name again, and wait for the steps above that read the old value: `df["x"] =
    …`, `+=`, `del`, attribute assignment, known mutators wherever they stand, `inplace=True`, a method of unknown effect
    called as a statement of its own (`xs.append(1)`, `model.fit(X)`), and a notebook function that does one of these to
    its argument."""
    helpers = "# %%\nclass Box:\n    def __init__(self, x):\n        self.x = x\n    def put(self, v):\n        self.x.append(v)\n"
    helpers += "def touch(d):\n    d['k'] = 1\n"
    cells = helpers + f"# %% a\nx = load()\n# %% b\nprint(x)\n# %% c\n{code}\n# %% d\nprint(x)\n"
    cells = cells.replace("class Box", "def load():\n    pass\nclass Box", 1)
    assert {("b", "c"), ("c", "d")} <= edges_of(cells)


@pytest.mark.parametrize("method", ["head", "describe", "plot", "show"])
def test_methods_known_not_to_change_their_object_do_not(method):
    """A sourced table of methods known not to change, such as `head`, `describe`, `plot`, `show`, is kept."""
    cells = f"# %%\nimport lib\n# %% a\nx = lib.load()\n# %% b\nx.{method}()\n# %% c\nprint(x)\n"
    assert edges_of(cells) == {("a", "b"), ("a", "c")}


def test_a_method_of_unknown_effect_as_a_statement_is_a_change():
    """A method of unknown effect called as a statement of its own."""
    cells = "# %%\nimport lib\n# %% a\nx = lib.load()\n# %% b\nx.refresh()\n# %% c\nprint(x)\n"
    assert {(e.source, e.target, e.kind) for e in notebook_graph(cells).edges} == {
        ("a", "b", EdgeKind.DATA),
        ("b", "c", EdgeKind.DOUBT),
    }


def test_pure_takes_a_change_back():
    """`--pure NAME` takes it back."""
    cells = "# %%\nimport lib\n# %% a\nx = lib.load()\n# %% b\nx.refresh()\n# %% c\nprint(x)\n"
    assert edges_of(cells.replace("# %% b", "# %% b --pure x")) == {("a", "b"), ("a", "c")}


def test_changes_says_it_where_code_cannot():
    """`--changes NAME` says it where code cannot."""
    cells = "# %%\nimport lib\n# %% a\nx = lib.load()\n# %% b --changes x\nlib.touch(x)\n# %% c\nprint(x)\n"
    assert ("b", "c") in edges_of(cells)


HIDDEN = [
    ("np.random.seed(1)", "y = np.random.rand()"),
    ("np.random.seed(1)", "y = df.sample(3)"),
    ("np.random.seed(1)", "y = RandomForestClassifier().fit([[1]], [1])"),
    ("random.seed(1)", "y = random.random()"),
    ("os.chdir('/')", "y = len(df)"),
    ("os.environ['A'] = '1'", "y = len(df)"),
    ("pd.set_option('display.width', 1)", "print(df)"),
    ("plt.rcParams['font.size'] = 3", "plt.plot([1])"),
    ("warnings.filterwarnings('ignore')", "print(df)"),
    ("locale.setlocale(locale.LC_ALL, 'C')", "print(df)"),
    ("signal.signal(2, print)", "signal.alarm(1)"),
    ("contextlib.redirect_stdout(None).__enter__()", "print(1)"),
]


@pytest.mark.parametrize(("write", "use"), HIDDEN)
def test_hidden_state_orders_steps_as_if_it_were_a_name(write, use):
    """Hidden state that steps share orders them as if it were a name: global random generators (also through their
    implicit users, such as `df.sample()` or sklearn without `random_state`), working directory, environment, options of
    pandas and matplotlib, `warnings` filters, locale, signals, redirected stdout."""
    imports = (
        "# %%\nimport numpy as np, pandas as pd, matplotlib.pyplot as plt\nimport contextlib, locale, os, random, signal\n"
        "import warnings\nfrom sklearn.ensemble import RandomForestClassifier\ndf = 1\n"
    )
    assert edges_of(f"{imports}# %% a\n{write}\n# %% b\n{use}\n") == {("a", "b")}


def test_steps_that_use_pyplot_run_one_after_another():
    """Steps that use pyplot run one after another unless measured safe."""
    cells = "# %%\nimport matplotlib.pyplot as plt\n# %% a\nplt.plot([1])\n# %% b\nfig, ax = plt.subplots()\n"
    assert edges_of(cells) == {("a", "b")}


def test_a_thread_bound_value_keeps_its_readers_on_the_main_thread():
    """A step that reads a value bound to its thread (a sqlite3 connection, Tk, sync Playwright; extensible) runs on the
    main thread by itself, and says so."""
    node = notebook_graph(
        "# %%\nimport sqlite3\n# %% a\nc = sqlite3.connect(':memory:')\n# %% b\nx = c.total_changes\n"
    ).node("b")
    assert node.is_main_thread
    assert "main thread" in node.notes[0]


def test_names_that_no_step_gives_come_from_the_notebook():
    """Names that no step gives come from the notebook: modules, functions and classes as they are; data is an input of
    the run."""
    graph = notebook_graph("# %%\nimport os\nlimit = 3\nclass K:\n    pass\n# %% a\nx = K(), limit, os.sep\n")
    assert (graph.inputs, graph.node("a").definitions, graph.node("a").imports) == (("limit",), ("K",), ("import os",))


def test_a_name_found_nowhere_is_an_error():
    """A name found nowhere is an error before anything runs."""
    with pytest.raises(InvalidStep, match="line 1 reads 'x', which no step gives and the notebook does not have"):
        notebook_graph("# %% a\nprint(x)\n")


def test_flags_add_order_override_sources_and_name_outputs():
    """`--after A B` adds order without data; `--needs x=other_step.x` overrides a source; `--out a b` names outputs."""
    cells = "# %% a\nx = 1\n# %% b\nx = 2\n# %% c --after b --needs x=a.x --out y\ny = x\n"
    assert edges_of(cells) == {("a", "c"), ("b", "c")}
    assert notebook_graph(cells).node("c").needed == ("y",)
