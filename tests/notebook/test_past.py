"""Past runs through a real kernel; what each test shows is a sentence of product.md, sections 3 and 6."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.serial


def test_reuse_shows_the_plan_first_and_runs_what_changed(notebook):
    notebook.ok("base = 10\ndone = []")
    notebook.step("load", "x = base + 1", cell_id="load")
    notebook.step("more", "y = x * 2", cell_id="more")
    notebook.ok("first = %szal_run\nawait first")
    notebook.step("more", "y = x * 3", cell_id="more")

    cell = notebook.ok("run = %szal_run --reuse\nawait run")

    assert "taken  load" in cell.text
    assert "runs   more  changed: code" in cell.text
    assert notebook.value("(y, run['load'].origin, run['more'].origin)") == (33, "cached", "ran")
    assert "more ran: since run" in notebook.ok("%szal_why more").plain
    assert "≠ more" in notebook.ok("get_ipython().run_line_magic('szal_diff', f'{first.id} {run.id}')").plain


def test_fork_takes_the_values_up_to_a_step_also_with_changed_parameters(notebook):
    notebook.ok("base, other = 10, 1")
    notebook.step("load", "x = base + 1")
    notebook.step("more", "y = x * other")
    notebook.ok("first = %szal_run\nawait first")

    notebook.ok("run = get_ipython().run_line_magic('szal_fork', f'{first.id} --from more -p other 5')\nawait run")

    assert notebook.value("(y, run['load'].origin, run['more'].origin)") == (55, "given", "ran")


def test_resume_with_another_input_is_a_new_run_that_takes_what_does_not_depend_on_it(notebook):
    notebook.ok("base, other, done = 10, 0, []")
    notebook.step("load", "x = base + 1")
    notebook.step("more", "y = x / other")
    notebook.ok("first = %szal_run")
    notebook.cell("await first")

    cell = notebook.ok("run = get_ipython().run_line_magic('szal_resume', f'{first.id} -p other 5')\nawait run")

    assert "taken  load  it does not depend on what runs" in cell.text
    assert "runs   more" in cell.text
    assert "stays as it is" in cell.text
    assert notebook.value("(y, run['load'].origin, run['more'].origin)") == (2.2, "given", "ran")
    assert notebook.value("(first.state, first.id != run.id)") == ("failed", True)
    assert "Did you mean other" in notebook.cell(f"%szal_resume {notebook.value('first.id')} -p othr 5").error


def test_replay_shows_a_past_run_and_gives_its_values_on_request(notebook):
    notebook.ok("base = 1")
    notebook.step("load", "x = base + 1\nprint('loaded', x)")
    notebook.ok("first = %szal_run\nawait first")
    notebook.ok("x = None")

    cell = notebook.ok("past = get_ipython().run_line_magic('szal_replay', first.id)")

    assert "loaded 2" in cell.text
    assert notebook.value("(x, past['load'].value, past.values.x, past.state)") == (None, 2, 2, "completed")
    notebook.ok("past.bind()")
    assert notebook.value("x") == 2
    assert notebook.value("[past.at(n)['load'].state for n in (1, past.snapshot.events)]") == ["pending", "completed"]


def test_execute_runs_a_step_with_what_is_stale_only(notebook):
    notebook.ok("base = 1\ndone = []")
    notebook.step("load", "x = base + 1")
    notebook.ok("first = %szal_run\nawait first")

    notebook.cell("%%szal_step use -x\nz = x + 1")
    notebook.ok(
        "import szal_nb.notebook.extension as e\nlast = get_ipython().find_line_magic('szal_run').__self__.runs.find(None)\nawait last"
    )

    assert notebook.value("(z, last['load'].origin)") == (3, "cached")


def test_verify_runs_every_body_again_and_names_what_differs(notebook):
    notebook.ok("base = 1\ncalls = []")
    notebook.step("load", "x = base + 1")
    notebook.step("clock", "import time\nt = time.perf_counter_ns()")
    notebook.ok("first = %szal_run\nawait first")

    cell = notebook.ok(
        "run = get_ipython().run_line_magic('szal_replay', f'{first.id} --verify')\nawait run\nprint(run.id != first.id)"
    )

    assert "does not give what run" in cell.text
    assert "clock" in cell.text
    assert "load" not in cell.text.partition("does not give")[2]
    assert notebook.value("[step.origin for step in run.steps.values()]") == ["ran", "ran"]


def test_a_magic_takes_a_run_from_a_variable_as_any_magic_does(notebook):
    notebook.ok("size = 3\nother = {'a': 1}")
    notebook.step("one", "n = size")
    notebook.ok("first = %szal_run -p size {size}\nawait first\nruns = [first]")
    notebook.ok("second = %szal_run\nawait second\nname = second.id")

    assert notebook.value("first.id") in notebook.ok("%szal_diff {runs[0].id} $name").plain
    assert "one" in notebook.ok("%szal_show {first.id}").plain
    assert "one" in notebook.ok("%szal_show $first.id").plain
    assert "No run '{nobody.id}'" in notebook.cell("%szal_show {nobody.id}").error
