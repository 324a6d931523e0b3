"""How a notebook is written: each test quotes the sentence of the product's page that it holds.

What a graph alone can tell needs no kernel. "Same answer" is held by `test_same_answer.py`, "True record" by
`test_true_record.py` and `test_secrets.py`, "Light" by the benchmarks.
"""

from __future__ import annotations

import json

import pytest

from szal_nb.analysis.graph import build_graph
from szal_nb.errors import DefinitionError
from szal_nb.notebook.document import parse_notebook
from szal_nb.notebook.reader import read_flow
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import fresh_notebook


def flow_of(*cells):
    found = [
        {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": source, "outputs": []}
        for number, source in enumerate(cells, start=1)
    ]
    return read_flow(parse_notebook(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": found})))


def graph_of(*cells):
    flow = flow_of(*cells)
    return build_graph(flow.definition, flow.surroundings)


def edges(*cells):
    """(source, target, names) of each edge."""
    return {(edge.source, edge.target, *edge.names) for edge in graph_of(*cells).edges}


def test_three_equal_spellings():
    """Three equal spellings: the magic; a first line `#| step: load --retries 3` in an ordinary cell; `@szal.step(retries=3)` on a function whose argument names are its inputs and whose return value is the output named after the step (or the names in `out=`)."""
    graph = graph_of(
        "import szal_nb as szal",
        "%%szal_step load --retries 3\norders = [3, 1]",
        "#| step: clean --retries 3\norders = sorted(orders)",
        "@szal.step(retries=3)\ndef total(orders):\n    return sum(orders)",
        "%%szal_step report\nprint(total)",
    )

    assert [node.step.retry.retries for node in graph.nodes] == [3, 3, 3, 0]
    assert {(edge.source, edge.target) for edge in graph.edges} >= {("load", "clean"), ("clean", "total")}
    assert ("total", "report", "total") in {(edge.source, edge.target, *edge.names) for edge in graph.edges}


def test_free_globals_of_a_function_are_reads():
    """Free globals of the function are reads, and it stays callable."""
    assert edges(
        "import szal_nb as szal",
        "%%szal_step rate\nrate = 2",
        "@szal.step\ndef price(amount=1):\n    return amount * rate",
    ) == {("rate", "price", "rate")}


def test_a_second_cell_of_one_name_is_refused():
    """A second cell with the same step name is an error."""
    with pytest.raises(DefinitionError, match="a step of this name is also defined by cell 1"):
        graph_of("%%szal_step a\nx = 1", "%%szal_step a\nx = 2")


def test_a_read_comes_from_the_nearest_giver_above():
    """A read comes from the nearest step above that gives that name, as in a notebook run from the top; redefining a name (`orders` above) is therefore fine."""
    found = edges(
        "%%szal_step load\norders = [1]",
        "%%szal_step clean\norders = orders + [2]",
        "%%szal_step report\nprint(orders)",
    )

    assert ("load", "clean", "orders") in found
    assert ("clean", "report", "orders") in found
    assert ("load", "report", "orders") not in found


def test_a_name_given_only_below_is_an_error():
    """A name given only by a step below is an error in a notebook that names the step."""
    with pytest.raises(DefinitionError, match="'below'"):
        graph_of("%%szal_step above\ny = x", "%%szal_step below\nx = 1")


def test_names_in_literal_strings_are_reads():
    """`@name` in literal `query`/`eval` strings is a read."""
    cells = (
        "import pandas as pd",
        "%%szal_step floor\nfloor = 3",
        "%%szal_step load\norders = pd.DataFrame({'a': [1]})",
        "%%szal_step pick\npicked = orders.query('a > @floor')",
    )

    assert ("floor", "pick", "floor") in edges(*cells)


def test_imports_make_no_edges():
    """Imports make no edges: a module imported in one step is simply imported for the others; modules are never values."""
    graph = graph_of("%%szal_step a\nimport math\nx = math.pi", "%%szal_step b\ny = math.e")

    assert graph.edges == ()
    assert graph.nodes[0].gives == ("x",)
    assert "import math" in graph.nodes[1].imports


def test_a_plain_function_is_looked_through():
    """A plain function of the notebook that a step uses is looked through, transitively: what it reads counts as read by the step."""
    assert ("load", "use", "rows") in edges(
        "def outer():\n    return inner() + 1",
        "def inner():\n    return len(rows)",
        "%%szal_step load\nrows = [1]",
        "%%szal_step use\ncount = outer()",
    )


def test_a_body_that_uses_globals_is_ordered_with_all_steps():
    """A body that uses `globals()`, `locals()`, `exec`, `eval`, `from m import *` or the shell's namespace is ordered with all steps, is never cached, and says so."""
    for body in ("x = globals()", "exec('x = 1')", "from math import *", "x = get_ipython().user_ns"):
        found = {
            (edge.source, edge.target)
            for edge in graph_of("%%szal_step a\np = 1", f"%%szal_step b\n{body}", "%%szal_step c\nq = 2").edges
        }
        assert found == {("a", "b"), ("b", "c")}, body


@pytest.mark.parametrize(
    "change",
    ["df['x'] = 1", "df += 1", "del df[0]", "df.name = 'n'", "df.append(1)", "df.fit(1)", "df.drop(inplace=True)"],
)
def test_changes_in_place_give_the_name_again_and_wait_for_readers(change):
    """Changes in place count as giving the name again, and wait for the steps above that read the old value."""
    found = {
        (edge.source, edge.target)
        for edge in graph_of(
            "%%szal_step load\ndf = make()",
            "%%szal_step read\nn = len(df)",
            f"%%szal_step change\n{change}",
            "%%szal_step after\nm = len(df)",
            "make = object",
        ).edges
    }

    assert {("read", "change"), ("change", "after")} <= found


def test_flags_say_what_code_cannot():
    """`--reads NAME` says it where code cannot; `--changes NAME` says it where code cannot; `--pure NAME` takes it back."""
    head = ("%%szal_step a\nxs = [1]",)

    assert ("a", "b", "xs") in edges(*head, "%%szal_step b --reads xs\ny = 1")
    assert ("b", "c", "xs") in edges(*head, "%%szal_step b --changes xs\ny = xs", "%%szal_step c\nz = xs")
    assert ("b", "c", "xs") not in edges(*head, "%%szal_step b --pure xs\nxs.unheard_of()", "%%szal_step c\nz = xs")


def test_hidden_state_orders_steps():
    """Hidden state that steps share orders them as if it were a name: global random generators, working directory, environment."""
    for one, two in (
        ("import random\nx = random.random()", "import random\ny = random.random()"),
        ("import os\nos.chdir('a')", "import os\ny = os.getcwd()"),
        ("import os\nos.environ['A'] = '1'", "import os\ny = os.getenv('A')"),
    ):
        found = {
            (edge.source, edge.target) for edge in graph_of(f"%%szal_step a\n{one}", f"%%szal_step b\n{two}").edges
        }
        assert found == {("a", "b")}, one


def test_order_without_data_and_other_sources():
    """`--after A B` adds order without data; `--needs x=other_step.x` overrides a source; `--out a b` names outputs."""
    graph = graph_of(
        "%%szal_step a --out x\nx = 1",
        "%%szal_step b\nx = 2",
        "%%szal_step c --needs x=a.x --after b\ny = x",
    )

    assert {(edge.source, edge.target, edge.names) for edge in graph.edges} >= {("a", "c", ("x",)), ("b", "c", ())}
    assert set(graph.nodes[0].needed) == {"x"}


def test_reasons_count_lines_in_the_cell():
    """Errors of a refusal name cell, line, name and the two ways out."""
    (edge,) = graph_of("%%szal_step a\nx = 1", "%%szal_step b\n# first\n\ny = x").edges

    assert edge.line == 4


# In a kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with running_kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        assert not kernel.run("%load_ext szal_nb\nimport asyncio, sys, time, threading", cell_id="first").error
        yield kernel


@pytest.fixture
def notebook(kernel):
    with fresh_notebook(kernel) as notebook:
        yield notebook


@pytest.mark.serial
def test_each_step_has_a_namespace_of_its_own(notebook):
    """Each step runs in a namespace of its own (`__name__` is `__main__`) that holds exactly what it reads, plus imports and definitions. The last expression is kept as the step's display, and as `run["x"].value` if it stores; it makes no name and no edge."""
    notebook.ok("not_read = 1\ndef twice(x):\n    return 2 * x * factor_given")
    notebook.step("factor", "factor_given = 3\n_private = 4")
    notebook.step("use", "held = sorted(n for n in globals() if not n.startswith('__'))\n(__name__, twice(1), held)")
    notebook.ok("run = %szal_run\nawait run")

    name, result, held = notebook.value("run['use'].value")
    assert (name, result) == ("__main__", 6)
    assert {"twice", "factor_given"} <= set(held)
    assert "not_read" not in held
    assert "_private" not in notebook.value("list(globals())")


@pytest.mark.serial
def test_bodies_await_on_the_loop_and_others_run_in_a_thread(notebook):
    """Bodies may `await`; they then run on the kernel's own loop. Others run in a worker thread, so the kernel stays usable."""
    notebook.step("here", "await asyncio.sleep(0)\nwhere_async = threading.current_thread() is threading.main_thread()")
    notebook.step("there", "where_sync = threading.current_thread() is threading.main_thread()")
    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("(where_async, where_sync)") == (True, False)


@pytest.mark.serial
def test_values_are_bound_when_the_run_is_awaited_and_what_was_rebound_is_left_alone(notebook):
    """Values are bound in the notebook under their names when the run is awaited; the last giver in document order wins; completed steps of a failed run are bound too. A name that the notebook re-bound since the start is left alone and named in the message (`run.bind()` forces it)."""
    notebook.step("a", "bound_one = 1\nbound_two = 1")
    notebook.step("b", "bound_two = bound_two + 1")
    notebook.step("c", "never_bound = 1 / 0")
    notebook.ok("run = %szal_run\nbound_one = 'mine'")
    cell = notebook.ok("await run.wait()")

    assert notebook.value("(bound_one, bound_two, 'never_bound' in globals())") == ("mine", 2, False)
    assert "bound_one" in cell.text
    notebook.ok("bound = run.bind()")
    assert notebook.value("bound_one") == 1


@pytest.mark.serial
def test_a_name_found_nowhere_is_an_error_before_anything_runs(notebook):
    """A name found nowhere is an error before anything runs."""
    notebook.step("first", "print('ran')")
    notebook.step("second", "y = nowhere_at_all")
    cell = notebook.cell("%szal_run")

    assert "nowhere_at_all" in cell.error
    assert "ran" not in cell.text


@pytest.mark.serial
def test_shell_syntax_and_its_exit_code_belong_to_the_step(notebook):
    """IPython syntax works in a body; magics that run code (`%time`, `%timeit`, `%%capture`, …) see the step's namespace, also inside comprehensions and lambdas."""
    body = "count = 3\n!exit {count}\ncode = _exit_code\ndoubled = [get_ipython().run_line_magic('time', 'i * count') for i in [2]]"
    notebook.step("shell", body)
    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("(code, doubled)") == (3, [6])


@pytest.mark.serial
def test_a_rollback_cell_gives_the_compensation_of_its_step(notebook):
    """A cell `%%szal_rollback load` gives the compensation of `load`; it sees `load`'s inputs and values."""
    notebook.ok("source_of_load = 'web'")
    notebook.step("load", "loaded = source_of_load.upper()\nprint('loaded')")
    notebook.step("use", "broken = loaded / 0")
    cell = notebook.ok("%%szal_rollback load\nprint('undone:', source_of_load, loaded)")

    failed = notebook.cell("run = %szal_run\nawait run")
    notebook.kernel.settle()

    assert cell.plain == "rollback of load · reads source_of_load, loaded"
    assert failed.error.startswith("RunFailed: Run ")
    assert "rolled back.\n  step use: TypeError" in failed.error
    assert "resume" not in failed.error
    assert notebook.value("{name: run[name].state for name in run.steps}") == {"load": "rolled_back", "use": "failed"}
    assert "undone: web WEB\n" in notebook.value("run['load'].logs")


@pytest.mark.serial
def test_where_no_person_is_a_run_waits_by_itself(notebook):
    """Where no person is at the front end (the request forbids stdin, as nbclient, papermill and nbconvert do; `SZAL_WAIT=0|1` overrides) a top-level `%szal_run` waits by itself; inside a function it raises and says `await run`. `--wait` works everywhere."""
    notebook.step("slow", "time.sleep(0.2)\nwaited_for = 1")

    notebook.ok("run = %szal_run\nassert run.state == 'completed'", may_ask=False)
    refused = notebook.cell("def go():\n    %szal_run\ngo()", may_ask=False)
    notebook.ok("run = %szal_run --wait\nassert run.state == 'completed'")
    notebook.ok("import os\nos.environ['SZAL_WAIT'] = '0'")
    notebook.ok("run = %szal_run\nassert run.state != 'completed'", may_ask=False)
    notebook.ok("await run\nos.environ['SZAL_WAIT'] = '1'")
    notebook.ok("run = %szal_run\nassert run.state == 'completed'\ndel os.environ['SZAL_WAIT']")

    assert "await run" in refused.error
