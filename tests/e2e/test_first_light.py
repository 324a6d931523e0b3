"""What a person does and sees in JupyterLab: define steps, run, watch, touch, cancel, read errors, reload."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.lab import (
    HOLD,
    command,
    jupyter_server,
    open_notebook,
    outputs,
    run_cell,
    scroll_to,
    state,
    text,
    wait_cell,
    wait_run,
    wait_state,
    wait_text,
    write_notebook,
)

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_the_quickstart_runs_live_and_gives_its_values(lab, page, screenshot):
    shutil.copy(NOTEBOOKS / "quickstart.ipynb", lab.root / "quickstart.ipynb")
    cells = json.loads((lab.root / "quickstart.ipynb").read_text())["cells"]
    code = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code"]
    start = next(i for i in code if "%szal_run" in "".join(cells[i]["source"]))
    open_notebook(page, lab, "quickstart.ipynb")
    for i in code:
        if i <= start:
            run_cell(page, i)
    scroll_to(page, start)
    page.wait_for_selector('[data-step="outlook"][data-state="running"]')
    screenshot(page, "quickstart-running")
    for i in code:
        if i > start:
            run_cell(page, i)
    wait_run(page, "completed")
    scroll_to(page, start)
    page.click('[data-step="plot"]')
    page.wait_for_selector("text=Attempts")
    # The drawing makes room for what is said of the step.
    page.wait_for_function(
        "() => { const edge = document.querySelector('.szal-panel').getBoundingClientRect().left;"
        " return [...document.querySelectorAll('.szal-card')].every((c) => c.getBoundingClientRect().right <= edge); }"
    )
    screenshot(page, "quickstart-completed")

    assert {state(page, step) for step in ("load", "clean", "growth", "plot", "report")} == {"completed"}
    assert "Apple" in "".join(text(page, i) for i in code if i > start)
    assert page.problems == []


def test_the_kernel_stays_usable_while_a_run_goes_on_and_its_values_come_with_await(lab, page, screenshot):
    write_notebook(
        lab.root / "usable.ipynb",
        [
            HOLD,
            "%%szal_step slow\nhold('go')\nx = 20",
            "%%szal_step double\ny = 2 * x",
            "run = %szal_run",
            "1 + 1",
            "Path('go').touch()\nawait run",
            "x, y, run.state",
        ],
    )
    open_notebook(page, lab, "usable.ipynb")
    for i in range(4):
        run_cell(page, i)
    wait_state(page, "slow", "running")
    run_cell(page, 4)

    assert text(page, 4) == "2"
    assert (state(page, "slow"), state(page, "double")) == ("running", "pending")
    run_cell(page, 5)
    wait_run(page, "completed")
    run_cell(page, 6)
    assert text(page, 6) == "(20, 40, 'completed')"
    assert page.problems == []


def test_cancel_answers_at_once_while_idle_and_while_a_cell_awaits(lab, page):
    write_notebook(
        lab.root / "cancel.ipynb",
        [
            HOLD,
            "%%szal_step slow\nhold('never')",
            "run = %szal_run",
            "await run.wait()\nprint(run.state)",
            "run = %szal_run",
            "run.state",
        ],
    )
    open_notebook(page, lab, "cancel.ipynb")
    for i in range(3):
        run_cell(page, i)
    run_cell(page, 3, wait=False)
    wait_state(page, "slow", "running")
    page.click('[data-action="cancel"]')
    wait_cell(page, 3)
    assert text(page, 3).strip() == "cancelled"

    run_cell(page, 4)
    second = page.locator("[data-run-state]").last
    page.wait_for_function("document.querySelectorAll('[data-run-state=\"running\"]').length === 1")
    second.locator('[data-action="cancel"]').click()
    page.wait_for_function("document.querySelectorAll('[data-run-state=\"cancelled\"]').length === 2")
    run_cell(page, 5)
    assert text(page, 5) == "'cancelled'"


def test_an_interrupt_cancels_the_run_that_a_cell_awaits(lab, page):
    write_notebook(
        lab.root / "interrupt.ipynb",
        [HOLD, "%%szal_step slow\nhold('never')", "run = %szal_run", "print('here')\nawait run", "run.state"],
    )
    open_notebook(page, lab, "interrupt.ipynb")
    for i in range(3):
        run_cell(page, i)
    run_cell(page, 3, wait=False)
    wait_state(page, "slow", "running")
    # The step ran before: an interrupt is for the cell that is being executed.
    wait_text(page, 3, "here")
    command(page, "notebook:interrupt-kernel")
    wait_cell(page, 3)
    wait_run(page, "cancelled")
    run_cell(page, 4)

    assert text(page, 4) == "'cancelled'"


def test_a_failing_step_shows_its_traceback_at_its_cell_and_line_and_other_branches_finish(lab, page, screenshot):
    write_notebook(
        lab.root / "failing.ipynb",
        [
            "%load_ext szal_nb",
            "%%szal_step load\nnumbers = [1, 0]",
            "%%szal_step divide\ntop = 1\nresult = [top / n for n in numbers]",
            "%%szal_step report\nprint(result)",
            "%%szal_step other\nprint('fine', sum(numbers))",
            "run = %szal_run",
            "await run",
        ],
    )
    open_notebook(page, lab, "failing.ipynb")
    for i in range(7):
        run_cell(page, i)
    wait_run(page, "failed")
    scroll_to(page, 2)
    screenshot(page, "failing")

    assert [state(page, step) for step in ("load", "divide", "report", "other")] == [
        "completed", "failed", "skipped", "completed",
    ]  # fmt: skip
    shown = "".join(text(page, 2).split("\x1b[")).replace("\x1b", "")
    assert "ZeroDivisionError" in shown
    assert "Cell In[3]" in text(page, 2) or "line 3" in text(page, 2)
    assert "fine 1" in text(page, 4)
    assert any(output.get("ename") == "RunFailed" for output in outputs(page, 6))


def test_after_a_reload_the_picture_is_live_again(lab, page):
    write_notebook(
        lab.root / "reload.ipynb",
        [HOLD, "%%szal_step slow\nhold('reload-go')\nx = 1", "run = %szal_run", "Path('reload-go').touch()"],
    )
    open_notebook(page, lab, "reload.ipynb")
    for i in range(3):
        run_cell(page, i)
    wait_state(page, "slow", "running")
    command(page, "docmanager:save")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    open_notebook(page, lab, "reload.ipynb")
    wait_state(page, "slow", "running")
    run_cell(page, 3)

    wait_state(page, "slow", "completed")


@pytest.mark.parametrize("app", ["notebook"])
def test_notebook_7_shows_the_same_live_picture(app, tmp_path, page):
    write_notebook(
        tmp_path / "seven.ipynb",
        ["%load_ext szal_nb", "%%szal_step a\nx = 1", "%%szal_step b\ny = x", "run = %szal_run", "await run\ny"],
    )
    with jupyter_server(tmp_path, app=app) as server:
        open_notebook(page, server, "seven.ipynb")
        for i in range(5):
            run_cell(page, i)
        wait_run(page, "completed")
        assert (state(page, "a"), state(page, "b")) == ("completed", "completed")
