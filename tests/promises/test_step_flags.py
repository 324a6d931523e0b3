"""What the flags of a step and of a flow do in a kernel: each test quotes the sentence of the product's page it holds."""

from __future__ import annotations

import json

import pytest

from szal_nb.errors import DefinitionError
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import fresh_notebook
from tests.promises.test_authoring import edges, graph_of

pytestmark = pytest.mark.serial

SETUP = """\
%load_ext szal_nb
import asyncio, json, os, sqlite3, threading
import numpy as np

async def until(run, step, state):
    while run[step].state != state:
        await asyncio.sleep(0)

def on_main_thread():
    return threading.current_thread() is threading.main_thread()
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with running_kernel(tmp_path_factory.mktemp("kernel")) as kernel:
        assert not kernel.run(SETUP, cell_id="first").error
        yield kernel


@pytest.fixture
def notebook(kernel):
    with fresh_notebook(kernel) as notebook:
        yield notebook


def test_names_of_givers_in_sql_are_reads():
    """`@name` in literal `query`/`eval` strings is a read, as are givers' names in literal duckdb SQL; `--reads NAME` says it where code cannot."""
    head = ("import duckdb", "%%szal_step load\norders = [1]", "%%szal_step more\ncosts = [1]")

    found = edges(*head, "%%szal_step report\nt = duckdb.sql('select * from orders join costs using (id)').df()")
    assert found == {("load", "report", "orders"), ("more", "report", "costs")}
    made = "%%szal_step report{}\nt = duckdb.sql('select * from ' + 'orders').df()"
    assert edges(*head, made.format("")) == set()
    assert edges(*head, made.format(" --reads orders")) == {("load", "report", "orders")}


def test_needs_and_out():
    """`--needs x=other_step.x` overrides a source; `--out a b` names outputs."""
    graph = graph_of(
        "%%szal_step a --out x y\nx, y, z = 1, 2, 3", "%%szal_step b\nx = 2", "%%szal_step c --needs x=a.y\nprint(x)"
    )

    assert [(binding.name, binding.step, binding.source) for binding in graph.node("c").bindings] == [("x", "a", "y")]
    assert set(graph.node("a").needed) == {"x", "y"}
    with pytest.raises(DefinitionError, match="'q'"):
        graph_of("%%szal_step a --out q\nx = 1")
    with pytest.raises(DefinitionError, match=r"does not give 'q'"):
        graph_of("%%szal_step a\nx = 1", "%%szal_step c --needs x=a.q\nprint(x)")


def test_a_map_runs_once_for_each_element_with_results_in_order(notebook):
    """`--map items` (one attempt set per element, results in order, dynamic)."""
    notebook.step("load", "items = list(range(4))")
    notebook.step("double --map items", "doubled = 2 * items")
    notebook.step("total", "total = sum(doubled)")
    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("(doubled, total)") == ([0, 2, 4, 6], 12)


def test_a_step_that_asks_waits_for_the_answer(notebook):
    """`--approve "message"`."""
    notebook.step("build", "built = 1")
    notebook.step("deploy --approve 'Deploy now?'", "deployed = built + 1")
    notebook.ok("run = %szal_run\nawait until(run, 'deploy', 'waiting')\nbefore = run['deploy'].attempts")
    notebook.ok("run.approve('deploy')\nawait run")
    assert notebook.value("(len(before), deployed)") == (0, 2)

    notebook.ok("del deployed\nrun = %szal_run\nawait until(run, 'deploy', 'waiting')\nrun.reject('deploy')")
    notebook.ok("await run.wait()")
    assert notebook.value("(run['deploy'].state == 'completed', 'deployed' in globals())") == (False, False)


def test_a_cached_step_is_taken_from_an_earlier_run_until_something_of_it_changes(notebook):
    """`--cache`."""
    notebook.ok("factor = 2")
    notebook.step("work --cache", "worked = factor * 3")
    notebook.ok("first = %szal_run\nawait first\nsecond = %szal_run\nawait second")
    notebook.ok("factor = 5\nthird = %szal_run\nawait third")

    assert notebook.value("[r['work'].origin for r in (first, second, third)]") == ["ran", "cached", "ran"]
    assert notebook.value("[r['work'].values.worked for r in (first, second, third)]") == [6, 6, 15]


def test_an_executor_says_where_a_body_runs(notebook):
    """`--executor thread|process|main`."""
    notebook.step("inside --executor thread", "in_thread = (on_main_thread(), os.getpid())")
    notebook.step("on_top --executor main", "on_top = (on_main_thread(), os.getpid())")
    notebook.step("apart --executor process", "import os\napart = os.getpid()")
    notebook.ok("run = %szal_run\nawait run\nhere = os.getpid()")

    here = notebook.value("here")
    assert notebook.value("(list(in_thread), list(on_top))") == ([False, here], [True, here])
    assert notebook.value("apart") != here


def test_a_flow_says_where_the_bodies_run_whose_steps_do_not(notebook):
    """**Executors** per step or flow."""
    notebook.ok("%szal_flow elsewhere --executor process")
    notebook.step("apart", "import os\napart = os.getpid()")
    notebook.step("inside --executor thread", "inside = os.getpid()")
    notebook.ok("run = %szal_run\nawait run\nhere = os.getpid()")

    assert notebook.value("(apart != here, inside == here)") == (True, True)
    notebook.ok("%szal_flow notebook")


def test_a_value_bound_to_its_thread_keeps_its_readers_on_the_main_thread(notebook):
    """A step that reads a value bound to its thread (a sqlite3 connection, Tk, sync Playwright; extensible) runs on the main thread by itself, and says so."""
    notebook.step("open", "con = sqlite3.connect(':memory:')\nopened_on_main = on_main_thread()")
    cell = notebook.step("use", "answer = con.execute('select 42').fetchone()[0]\nused_on_main = on_main_thread()")
    notebook.step("other", "other_on_main = on_main_thread()")
    notebook.ok("run = %szal_run\nawait run.wait()")

    assert "runs on the main thread" in cell.plain
    assert notebook.value("(answer, opened_on_main, used_on_main, other_on_main)") == (42, True, True, False)


def test_a_cell_that_begins_tasks_without_awaiting_them_finds_the_loop_of_the_kernel(notebook):
    """As in a notebook, where the kernel's loop runs; in a thread of its own there was none."""
    notebook.step(
        "begin",
        "import asyncio\nasync def twice(n):\n    return 2 * n\ntasks = [asyncio.create_task(twice(n)) for n in (1, 2)]",
    )
    notebook.step("end", "answers = await asyncio.gather(*tasks)")
    notebook.ok("run = %szal_run\nawait run.wait()")

    assert notebook.value("answers") == [2, 4]


# A change that no analysis of the code sees.
UNSEEN = "_ = {name}.__setitem__(0, 9)"


@pytest.mark.parametrize(
    ("guard", "value", "state"),
    [
        ("full", "[1, 2]", "failed"),
        ("large-off", "[1, 2]", "failed"),
        ("off", "[1, 2]", "completed"),
        ("full", "np.zeros(9_000_000)", "failed"),
        ("large-off", "np.zeros(9_000_000)", "completed"),
    ],
)
def test_a_guard_compares_values_after_their_last_reader(notebook, guard, value, state):
    """A guard compares values after their last reader, per type, and on a difference fails the run, naming the steps that ran since and the flag; `--guard full|large-off|off`."""
    flow = f"guarded_{guard.replace('-', '_')}"
    notebook.ok(f"%szal_flow {flow} --guard {guard}")
    notebook.step("load", f"watched = {value}")
    notebook.step("meddle", f"{UNSEEN.format(name='watched')}\nmeddled = 1")
    notebook.step("report --after meddle", "seen = watched[0]")
    cell = notebook.ok("run = %szal_run\nawait run.wait()\nerrors = [str(s.error) for s in run.steps.values()]")

    assert notebook.value("run.state") == state, cell.text
    if state == "failed":
        said = " ".join(notebook.value("errors"))
        assert "meddle" in said
        assert "--changes watched" in said
    notebook.ok("%szal_flow notebook")


def saved(path, *sources):
    """A saved notebook with these cells."""
    cells = [
        {"cell_type": "code", "id": key, "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for key, source in sources
    ]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))


def test_where_the_saved_file_has_another_order_a_run_shows_it_and_asks(tmp_path):
    """Order is the order of the cells in the saved file, matched by cell id, where it is known, else the order of first definition; where the two differ, `%szal_run` shows it and asks, headless refuses."""
    path = tmp_path / "book.ipynb"
    first, second = "%%szal_step first\nx = [1]", "%%szal_step second\nx = [2]"
    third = "%%szal_step third\nseen = x[0]"
    saved(path, ("b", second), ("a", first), ("c", third))
    with running_kernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        assert not kernel.run("%load_ext szal_nb", cell_id="load").error
        for key, source in (("a", first), ("b", second), ("c", third)):
            assert not kernel.run(source, cell_id=key).error

        refused = kernel.run("run = %szal_run", cell_id="r", may_ask=False)
        declined = kernel.run("run = %szal_run", cell_id="r", answer="n")
        accepted = kernel.run("run = %szal_run\nawait run", cell_id="r", answer="y")

        order = "the steps stand as second, first, third, executed as first, second, third"
        assert order in refused.error
        assert "Nothing was run" in declined.error
        assert not accepted.error
        assert kernel.value("seen") == 1


def test_a_step_cell_refused_by_the_graph_is_said_before_anything_runs():
    """A class, decorated function, closure or other callable whose code reads a global that has more than one giver, or is changed in place after its definition, is refused before the run, with advice."""
    made = "%%szal_step b\ndef make(n):\n    return lambda x: x * n * k\nf = make(3)"
    for other in ("k = [2]", "k.append(2)"):
        with pytest.raises(DefinitionError, match="the closure f, which step 'd' uses, reads 'k'") as refused:
            graph_of("%%szal_step a\nk = [1]", made, f"%%szal_step c\n{other}", "%%szal_step d\ny = f(1)")
        assert "Pass 'k' to it as an argument" in str(refused.value)


def test_inputs_of_conditions_and_of_parameters_with_a_default_are_those_of_the_run(notebook):
    """Names: `inputs.<name>`: those of the run, also where no step reads them."""
    notebook.ok("level = 7")
    notebook.step('high --when "inputs.level > 5"', "is_high = True")
    notebook.ok("import szal_nb as szal\n@szal.step\ndef scaled(scale=2):\n    return scale * 10")
    notebook.ok("first = %szal_run\nawait first\nsecond = %szal_run -p level 3 -p scale 5\nawait second")

    assert notebook.value("[r['high'].state for r in (first, second)]") == ["completed", "skipped"]
    assert notebook.value("[r['scaled'].value for r in (first, second)]") == [20, 50]
