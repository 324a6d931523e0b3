"""Cells through a real kernel; what each test shows is a sentence of product.md, section 3."""

from __future__ import annotations

import pytest

from szal_nb.store.runs import RunStore

pytestmark = pytest.mark.serial


def test_a_step_cell_shows_a_chip_of_what_it_reads_and_gives(notebook):
    """`%%szal_step` defines the step (and shows a one-line chip: what it reads from which step, what it gives, why)."""
    notebook.step("load", "orders = [3, 1, 2]")

    cell = notebook.step("clean", "cleaned = sorted(orders)")

    assert cell.plain == "step clean · reads orders ← load · gives cleaned"
    assert "<b>clean</b>" in cell.shown[0]["text/html"]
    assert notebook.value("'cleaned' in globals()") is False


def test_an_input_that_is_not_there_yet_is_said_by_the_chip_and_refused_by_the_run(notebook):
    cell = notebook.step("load", "orders = fetch(missing_url)")

    assert "not ready" in cell.plain
    assert "InvalidStep" in notebook.cell("run = %szal_run").error


def test_the_three_spellings_give_the_same_step(notebook):
    """A first line `#| step: load --retries 3` in an ordinary cell (so that editors, linters and type checkers keep working on it); all give the same step."""
    notebook.ok("a = 1")
    notebook.step("first", "b = a + 1")
    comment = notebook.ok("#| step: second\nc = b + 1")
    function = notebook.ok("@szal.step\ndef third(c):\n    return c + 1")

    notebook.ok("run = %szal_run\nawait run")

    assert comment.plain == "step second · reads b ← first · gives c"
    assert function.plain == "step third · reads c ← second · gives third"
    assert notebook.value("(b, c, run['third'].value, third(10))") == (2, 3, 4, 11)


def test_executing_a_cell_again_replaces_the_step_in_place(notebook):
    """Executing a cell again replaces the step in place."""
    notebook.step("load", "x = 1", cell_id="replaced")
    notebook.step("use", "y = x * 10")
    notebook.step("load", "x = 2", cell_id="replaced")

    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("(x, y)") == (2, 20)


def test_a_cell_that_changes_its_steps_name_removes_the_old_step(notebook):
    """A cell that changes its step's name removes the old step."""
    notebook.step("old", "x = 1", cell_id="renamed")
    notebook.step("new", "x = 5", cell_id="renamed")

    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("list(run.steps)") == ["new"]


def test_a_second_cell_with_the_same_step_name_is_an_error(notebook):
    notebook.step("load", "x = 1")

    cell = notebook.cell("%%szal_step load\nx = 2")

    assert cell.error.startswith("InvalidStep: Step 'load': a step of this name is defined in another cell.")
    assert cell.tracebacks.count("\n") == 0, "no frames of ours"


def test_an_unknown_flag_names_the_nearest_one(notebook):
    """An unknown flag names the nearest one."""
    cell = notebook.cell("%%szal_step load --retrys 3\nx = 1")

    assert cell.error == "InvalidLine: %%szal_step: There is no flag --retrys. Did you mean --retries?"


def test_h_and_the_question_mark_show_what_a_magic_takes(notebook):
    """`-h`, `?` and tab completion work."""
    assert "--retries" in notebook.ok("%%szal_step -h\n\n").text
    assert "--wait" in notebook.ok("%szal_run -h").text
    assert "--retries" in str(notebook.kernel.run("print(get_ipython().find_cell_magic('szal_step').__doc__)").text)


def test_tab_offers_flags(notebook):
    assert notebook.kernel.complete("%%szal_step load --ret") == ["--retries", "--retry-on"]


def test_a_body_that_is_no_python_is_refused_at_its_line(notebook):
    cell = notebook.cell("%%szal_step load\nx = 1\ny = = 2")

    assert "Step 'load': line 3 of its cell is not valid Python: invalid syntax." in cell.error
    assert "y = = 2\n        ^" in cell.error


def test_values_are_bound_when_the_run_is_awaited(notebook):
    notebook.step("load", "bound_when_awaited = 7")

    cell = notebook.ok("run = %szal_run\nawait run\nprint(bound_when_awaited, run.state)")

    assert cell.text.splitlines()[-1] == "7 completed"


def test_else_values_are_bound_just_before_the_next_cell_and_never_inside_a_running_one(notebook):
    """Values are bound in the notebook under their names when the run is awaited, else just before the next cell executes, never inside a running cell."""
    notebook.step("load", "bound_later = 7")

    during = notebook.ok(
        "run = %szal_run\nawait run.events().__anext__()\nawait asyncio.sleep(0.5)\nprint(run.state, 'bound_later' in globals())"
    )
    after = notebook.ok("print(bound_later)")

    assert during.text.splitlines()[-1] == "completed False"
    assert after.text == "7\n"


def test_a_name_that_the_notebook_re_bound_since_the_start_is_left_alone_and_named(notebook):
    notebook.step("load", "mine = 1\nyours = 2")
    notebook.ok("run = %szal_run\nmine = 'notebook'")

    cell = notebook.ok("await run.wait()\nprint(mine, yours)")

    assert "Left alone" in cell.text
    assert cell.text.splitlines()[-1] == "notebook 2"
    assert notebook.ok("run.bind()\nprint(mine)").text.splitlines()[-1] == "1"


def test_completed_steps_of_a_failed_run_are_bound_too(notebook):
    notebook.step("good", "kept = 1")
    notebook.step("bad", "lost = kept / 0")

    cell = notebook.cell("run = %szal_run\nawait run")

    assert cell.error.startswith("RunFailed")
    assert "step bad: ZeroDivisionError" in cell.error
    assert cell.tracebacks.startswith("RunFailed: Run")
    assert notebook.value("(kept, 'lost' in globals())") == (1, False)


def test_a_failing_step_shows_its_traceback_at_the_right_cell_and_line(notebook):
    """Tracebacks point at the cell and the line."""
    notebook.step("fine", "independent = 1")
    failing = notebook.step("broken", "def divide(a):\n    return a / 0\n\nresult = divide(1)")
    notebook.step("dependent", "after_broken = result + 1")

    notebook.cell("run = %szal_run\nawait run")
    notebook.kernel.settle()

    number = failing.reply["execution_count"]
    assert f"Cell In[{number}], line 5" in failing.tracebacks
    assert f"Cell In[{number}], line 3" in failing.tracebacks
    assert "----> 5 result = divide(1)" in failing.tracebacks
    assert "szal_nb" not in failing.tracebacks
    assert notebook.value("{name: step.state for name, step in run.steps.items()}") == {
        "fine": "completed",
        "broken": "failed",
        "dependent": "skipped",
    }
    assert notebook.value("run['broken'].error.line") == 5


@pytest.mark.parametrize("body", ["sys.exit(3)", "raise KeyboardInterrupt", "raise asyncio.CancelledError", "exit(3)"])
def test_what_ends_a_program_is_that_attempts_outcome_never_the_kernels(notebook, body):
    """`sys.exit`, `KeyboardInterrupt` and stray cancellation in a body are that attempt's outcome, never the kernel's."""
    notebook.step("leaving", body)

    cell = notebook.cell("run = %szal_run\nawait run")

    assert cell.error.startswith("RunFailed")
    assert notebook.value("run['leaving'].state") == "failed"


def test_the_kernel_stays_usable_while_steps_run_side_by_side(notebook):
    """`%szal_run` runs the flow. `%szal_run` starts the run and gives back a `RunHandle` at once, so that the kernel and every button stay alive."""
    # Each of the two waits for the other and for the notebook, which no run of one after the other would survive.
    notebook.ok("import threading\nboth, go = threading.Barrier(2, timeout=30), threading.Event()")
    notebook.step("slow --pure both go", "both.wait()\nslow_done = go.wait(30)")
    notebook.step("other --pure both go", "both.wait()\nother_done = go.wait(30)")
    notebook.ok("run = %szal_run")

    assert notebook.value("1 + 1") == 2
    notebook.kernel.until(lambda: notebook.value("run.state") == "running")
    notebook.ok("go.set()\nawait run")
    assert notebook.value("slow_done, other_done") == (True, True)


def test_interrupt_cancels_the_run_without_waiting_for_a_body_that_does_not_end(notebook):
    notebook.step("endless", "while True:\n    time.sleep(0.05)")
    notebook.ok("run = %szal_run")
    cell = notebook.begin("await run")
    notebook.kernel.settle(0.5)

    notebook.kernel.interrupt()
    notebook.kernel.until(lambda: cell.is_idle and cell.reply, timeout_s=20)
    notebook.kernel.until(lambda: notebook.value("run.state") == "cancelled", timeout_s=20)

    assert "CancelledError" in cell.error
    # The ticker wakes the loop every tenth of a second and a body has a quarter to end: half a second, with nothing
    # of it left to the machine's speed.
    assert notebook.value("__import__('szal_nb.notebook.runs', fromlist=['x']).TICK_S") <= 0.1
    assert notebook.value("__import__('szal_nb.engine.runner', fromlist=['x']).CANCEL_GRACE_S") <= 0.25


FAILS_FIRST = """\
if not Path('mended').exists():
    raise ValueError('not yet')
while Path('hold').exists():
    time.sleep(0.05)
late = 7"""


def failed_and_mended(notebook):
    """A run whose step has failed, and would not if it were tried again."""
    notebook.ok("from pathlib import Path\nPath('mended').unlink(missing_ok=True)")
    notebook.step("slow", FAILS_FIRST)
    notebook.ok("run = %szal_run\nawait run.wait()")
    assert notebook.value("run.state") == "failed"
    notebook.ok("Path('mended').touch()")


def test_what_a_step_gives_that_is_tried_again_is_bound_when_it_ends(notebook):
    failed_and_mended(notebook)
    notebook.ok("run.retry('slow')")
    notebook.kernel.until(lambda: notebook.value("run.state") == "completed")

    assert notebook.value("late") == 7


def test_an_interrupt_reaches_a_run_that_is_tried_again(notebook):
    failed_and_mended(notebook)
    notebook.ok("Path('hold').touch()\nrun.retry('slow')")
    cell = notebook.begin("await run")
    notebook.kernel.settle(0.5)

    notebook.kernel.interrupt()
    notebook.kernel.until(lambda: cell.is_idle and cell.reply, timeout_s=20)
    notebook.ok("Path('hold').unlink()")

    assert "CancelledError" in cell.error
    notebook.kernel.until(lambda: notebook.value("run.state") == "cancelled", timeout_s=20)


def test_the_cancel_button_answers_while_a_cell_awaits(notebook):
    notebook.step("endless", "await asyncio.sleep(3600)")
    picture = notebook.ok("run = %szal_run")
    model_id = picture.shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"]
    cell = notebook.begin("await run.wait()\nprint(run.state)")

    notebook.kernel.click(model_id, {"action": "cancel", "id": 1})
    notebook.kernel.until(lambda: cell.is_idle, timeout_s=20)

    assert cell.text.splitlines()[-1] == "cancelled"


def test_the_run_button_starts_the_flow_again(notebook):
    notebook.step("count", "count_up = 1")
    picture = notebook.ok("run = %szal_run\nawait run")
    model_id = picture.shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"]

    notebook.kernel.click(model_id, {"action": "run", "id": 1})
    newest = "get_ipython().find_line_magic('szal_run').__self__.runs.find(None)"
    notebook.kernel.until(lambda: notebook.value(f"{newest}.id != run.id and {newest}.state") == "completed")


def test_a_second_run_of_a_flow_waits_for_the_first(notebook):
    notebook.step("slow", "await asyncio.sleep(30)")
    notebook.ok("run = %szal_run")

    assert "is still going on" in notebook.cell("%szal_run").error
    notebook.ok("%szal_cancel\nawait run.wait()\nprint(run.state)")
    assert "is cancelled already." in notebook.ok("%szal_cancel").text


def test_bodies_may_await_on_the_kernels_own_loop(notebook):
    notebook.step("waits", "await asyncio.sleep(0)\nsame_loop = asyncio.get_running_loop()")

    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("same_loop is asyncio.get_running_loop()") is True


def test_each_step_runs_in_a_namespace_of_its_own(notebook):
    notebook.ok("secret_of_the_notebook = 1")
    notebook.step("looks", "_private = 1\nseen = __name__\nnames = sorted(n for n in dir() if not n.startswith('__'))")

    notebook.ok("run = %szal_run\nawait run")

    assert notebook.value("seen, '_private' in globals()") == ("__main__", False)
    assert "secret_of_the_notebook" not in notebook.value("names")


def test_a_helper_of_the_notebook_is_looked_through(notebook):
    notebook.ok("def double_helper():\n    return 2 * helper_input")
    notebook.step("gives", "helper_input = 21")
    cell = notebook.step("uses", "helper_output = double_helper()")

    notebook.ok("run = %szal_run\nawait run")

    assert "helper_input ← gives" in cell.plain
    assert notebook.value("helper_output") == 42


def test_parameters_on_the_line_are_typed_as_the_notebooks_values(notebook):
    notebook.ok("rows_param: int = 10")
    notebook.step("uses", "doubled = rows_param * 2")

    notebook.ok("run = %szal_run -p rows_param 4\nawait run")

    assert notebook.value("doubled, rows_param") == (8, 10)
    assert "InvalidParameter" in notebook.cell("%szal_run -p rows_param many").error


def test_only_runs_the_step_with_what_it_needs(notebook):
    notebook.step("one", "v_one = 1")
    notebook.step("two", "v_two = v_one + 1")
    notebook.step("three", "v_three = v_two + 1")

    notebook.ok("run = %szal_run --only two\nawait run.wait()")

    assert notebook.value("[step.state for step in run.steps.values()]") == ["completed", "completed", "skipped"]


def test_x_runs_the_step_at_once_with_what_it_needs(notebook):
    """`-x/--execute` also runs it at once, with whatever it needs that is stale."""
    notebook.step("base", "x_base = 5")
    cell = notebook.step("now -x", "x_now = x_base + 1\nprint('at once')")

    notebook.kernel.until(lambda: "at once" in cell.text, timeout_s=10)
    notebook.kernel.until(lambda: notebook.value("globals().get('x_now')") == 6, timeout_s=10)


def test_a_run_that_failed_goes_on_with_what_is_missing(notebook):
    notebook.ok("attempts_seen = []\ndef record(name):\n    attempts_seen.append(name)")
    notebook.ok("from pathlib import Path\nmarker = str(Path.cwd() / 'may-go-on')")
    notebook.step("first", "resume_one = marker.upper()")
    notebook.step(
        "second", "from pathlib import Path\nassert Path(marker).exists(), 'not yet'\nresume_two = resume_one"
    )
    assert "not yet" in notebook.cell("run = %szal_run\nawait run").error
    notebook.ok("Path(marker).touch()")

    notebook.ok("again = %szal_resume\nawait again")

    assert notebook.value("(again.id == run.id, again['first'].origin, again['second'].state)") == (
        True,
        "resumed",
        "completed",
    )
    assert notebook.value("resume_two == marker.upper()") is True


def test_the_reading_magics_show_runs_and_reasons(notebook):
    notebook.step("one", "w_one = [1]")
    notebook.step("two", "w_two = sum(w_one)")
    notebook.ok("run = %szal_run\nawait run")
    run_id = notebook.value("run.id")

    assert "completed" in notebook.ok("%szal_status").plain
    assert run_id in notebook.ok("%szal_runs").plain
    assert run_id[:6] in notebook.ok(f"%szal_show {run_id[:10]}").shown[0]["text/html"]
    assert "two waits for" in notebook.ok("%szal_why two").plain
    assert "one" in notebook.ok("%szal_dag").plain


def test_a_top_level_run_waits_by_itself_where_no_person_is_and_inside_a_function_it_says_await_run(notebook):
    notebook.step("quick", "waited_value = 3")

    waited = notebook.ok("run = %szal_run\nprint(run.state, waited_value)", may_ask=False)
    inside = notebook.cell(
        "def begin():\n    return get_ipython().run_line_magic('szal_run', '')\nbegin()", may_ask=False
    )

    assert waited.text.splitlines()[-1] == "completed 3"
    assert "await run" in inside.error


def test_wait_works_everywhere(notebook):
    notebook.step("quick", "waited_too = 3")

    assert notebook.ok("run = %szal_run --wait\nprint(run.state)").text.splitlines()[-1] == "completed"


def test_a_waiting_run_that_fails_raises(notebook):
    """`await run` (same or later cell) waits for it and raises if it failed."""
    notebook.step("bad", "1 / 0")

    assert notebook.cell("run = %szal_run", may_ask=False).error.startswith("RunFailed")


def test_a_step_cell_costs_one_look_at_its_own_code(notebook):
    notebook.ok("from szal_nb.analysis.cell import analyze_cell\ndef looks():\n    info = analyze_cell.cache_info()\n"
                "    return info.hits + info.misses\ncounts = []")  # fmt: skip
    for number in range(5):
        notebook.step(f"s{number}", f"counted_{number} = [{number}]")
        notebook.ok("counts.append(looks())")

    assert notebook.value("[after - before for before, after in zip(counts, counts[1:])]") == [1, 1, 1, 1]


def test_a_run_that_was_taken_from_this_kernel_is_not_told_of_as_if_it_went_on_here(notebook, tmp_path):
    (tmp_path / "hold").touch()
    notebook.step("held", f"while pathlib.Path({str(tmp_path / 'hold')!r}).exists():\n    time.sleep(0.01)")
    notebook.ok("import pathlib\nrun = %szal_run")
    notebook.kernel.until(lambda: notebook.value("run['held'].state") == "running")
    run, path = notebook.value("run.id, str(run.store_path)")
    with RunStore.open(path) as store:
        store.take_over(run, force=True).close()
    (tmp_path / "hold").unlink()
    notebook.kernel.until(lambda: not notebook.value("run.is_active"))

    for line in ("%szal_status", "%szal_cancel", f"%szal_cancel {run}"):
        told = f"Run {run} is not going on in this kernel: it is crashed; %szal_resume {run} goes on with it."
        assert told in notebook.cell(line).error
