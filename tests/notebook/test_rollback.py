"""Cells that undo steps, through a real kernel."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.serial

FAILS = "if seat:\n    raise ValueError('no truck')"


def test_a_failing_run_is_rolled_back_in_reverse_order_of_completion(notebook):
    notebook.ok("async def tell(text):\n    print('told', text)")
    first = notebook.step("reserve", "seat = '12A'\nprint('reserved')")
    notebook.step("pay", "receipt = {seat: 7}")
    notebook.step("ship", FAILS + "\nreceipt")
    notebook.ok("%%szal_rollback reserve\nawait tell(seat)\nget_ipython().system('echo shell $seat')\nseat + '?'")
    notebook.ok("#| rollback: pay --retries 2 --delay 1ms\nimport math\nprint('refund', receipt, math.floor(1.5))")

    notebook.cell("run = %szal_run\nawait run")
    notebook.kernel.settle()

    events = "szal.open_store(run.store_path).events(run.id)"
    rolled_back = f"[event.step for event in {events} if type(event).__name__ == 'StepRolledBack']"
    assert notebook.value(rolled_back) == ["pay", "reserve"]
    assert notebook.value("(run.state, run.snapshot.reason)") == ("rolled_back", "ship failed")
    assert "reserved\ntold 12A\nshell 12A\n" in first.text
    assert first.text.endswith("rolled back\n")
    assert first.plain.endswith("'12A?'")


def test_executing_a_rollback_cell_again_replaces_it_and_deleting_it_takes_it_away(notebook):
    notebook.step("reserve", "seat = '12A'")
    notebook.step("ship", FAILS)
    notebook.ok("%%szal_rollback reserve\nprint('old')", cell_id="undo")
    notebook.ok("%%szal_rollback reserve\nprint('new')", cell_id="undo")

    notebook.cell("run = %szal_run\nawait run")
    assert notebook.value("run['reserve'].logs") == "new\n"

    notebook.ok("pass", deleted=("undo",))
    notebook.cell("run = %szal_run\nawait run")
    assert notebook.value("(run.state, run['reserve'].logs)") == ("failed", "")


def test_a_function_undoes_the_step_that_names_it(notebook):
    notebook.step("reserve", "seat = 'A'")
    notebook.ok("note = 'by hand'\ndef give_back(seat, book):\n    print('given back', seat, book, note)")
    notebook.ok("@szal.step(rollback=give_back, reads='note')\ndef book(seat):\n    return seat * 2")
    notebook.step("ship", FAILS + "\nbook")

    notebook.cell("run = %szal_run\nawait run")

    assert notebook.value("(run.state, run['book'].state, run['reserve'].state, run['book'].logs)") == (
        "rolled_back",
        "rolled_back",
        "completed",
        "given back A AA by hand\n",
    )


def test_a_rollback_that_reads_what_its_step_does_not_is_refused_before_anything_runs(notebook):
    notebook.step("reserve", "print('ran')\nseat = '12A'")
    chip = notebook.ok("%%szal_rollback reserve\nprint(note_of_nobody)")
    notebook.ok("note_of_nobody = 1")

    cell = notebook.cell("run = %szal_run")

    assert "not ready: Step 'reserve': line 2 of its rollback cell reads 'note_of_nobody'" in chip.plain
    assert cell.error.startswith(
        "InvalidStep: Step 'reserve': line 2 of its rollback cell reads 'note_of_nobody', which the"
    )
    assert "--reads note_of_nobody" in cell.error
    assert "ran" not in cell.text


def test_a_rollback_of_no_step_is_refused_before_anything_runs_and_names_its_cell(notebook):
    notebook.step("reserve", "seat = '12A'")
    notebook.ok("%%szal_rollback reserv\nprint(seat)", cell_id="undo-it")

    cell = notebook.cell("run = %szal_run")

    assert cell.error == (
        "InvalidStep: Step 'reserv': cell undo-it is its rollback, but there is no such step. Did you mean reserve?"
    )


def test_an_unknown_flag_names_the_nearest_one_and_h_shows_all(notebook):
    cell = notebook.cell("%%szal_rollback reserve --retrys 3\nx = 1")

    assert cell.error == "InvalidLine: %%szal_rollback: There is no flag --retrys. Did you mean --retries?"
    assert "--timeout" in notebook.ok("%%szal_rollback -h\n\n").text
    assert notebook.kernel.complete("%%szal_rollback reserve --time") == ["--timeout"]


def test_a_body_that_is_no_python_is_refused_at_its_line(notebook):
    cell = notebook.cell("%%szal_rollback load\nx = 1\ny = = 2")

    assert "Step 'load': line 3 of its cell is not valid Python: invalid syntax." in cell.error


def test_a_cancelled_run_is_undone_if_its_flow_asks_for_it_and_does_not_go_on(notebook):
    notebook.ok("%szal_flow trips --rollback-on cancel")
    notebook.step("reserve", "seat = '12A'")
    notebook.step("wait", "await asyncio.sleep(3600)\nseat")
    notebook.ok("%%szal_rollback reserve\nprint('released', seat)")
    notebook.ok("run = %szal_run")
    notebook.kernel.until(lambda: notebook.value("run['wait'].state") == "running")

    notebook.ok("run.cancel('enough')\nawait run.wait()")

    assert notebook.value("(run.state, run.snapshot.reason, run['reserve'].logs)") == (
        "rolled_back",
        "enough",
        "released 12A\n",
    )
    run_id = notebook.value("run.id")
    assert "was rolled back: what it completed is undone" in notebook.cell(f"%szal_resume {run_id}").error
    notebook.ok("%szal_flow notebook")


def test_a_run_does_not_go_on_with_another_rollback_than_it_began_with(notebook):
    notebook.step("reserve", "seat = '12A'")
    notebook.step("ship", FAILS)
    notebook.ok("%%szal_rollback reserve\nraise OSError(seat)", cell_id="undo")
    notebook.cell("run = %szal_run\nawait run")
    assert notebook.value("(run.state, run.snapshot.reason)") == ("failed", "ship failed; reserve could not be undone")

    notebook.ok("%%szal_rollback reserve\npass", cell_id="undo")
    cell = notebook.cell("%szal_resume")

    assert cell.error.startswith("InvalidStep: Step 'reserve': it is not what run ")


def test_what_undoes_a_step_runs_where_its_step_runs(notebook):
    notebook.step("reserve --executor process", "import os\nseat = os.getpid()")
    notebook.step("ship", FAILS)
    notebook.ok("%%szal_rollback reserve\nimport os\nprint(seat, os.getpid())")

    notebook.cell("run = %szal_run\nawait run")

    of_step, of_rollback = notebook.value("run['reserve'].logs").split()
    assert str(notebook.value("__import__('os').getpid()")) not in (of_step, of_rollback)
