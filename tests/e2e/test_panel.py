"""The panel, the badges and the commands in JupyterLab: what a person sees of flows and runs beside the notebook."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.axe import findings
from tests.e2e.lab import (
    HOLD,
    command,
    jupyter_server,
    open_notebook,
    outputs,
    run_cell,
    text,
    write_notebook,
)
from tests.e2e.panel import PANEL, in_panel, show_panel, wait_shown

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"

SALES = [
    "%load_ext szal_nb\n%szal_flow sales",
    "%%szal_step load\norders = list(range(40))",
    "%%szal_step clean\norders = [n for n in orders if n % 7]",
    "%%szal_step report\nprint(len(orders))",
]
HELD = [HOLD, "%szal_flow sales", SALES[1], "%%szal_step clean\nhold('go')\norders = orders[:3]", SALES[3]]


def run_headless(notebook):
    """Runs the notebook as a shell does, so that its store has a run."""
    command_line = [sys.executable, "-m", "szal_nb.app.cli", "run", notebook.name, "-o", "out.ipynb", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command_line, cwd=notebook.parent, env=environment, capture_output=True, text=True, check=False
    )
    return json.loads(done.stdout)["runs"][0]["id"]


def rows(page):
    return [row.get_attribute("data-id") for row in page.query_selector_all(f"{PANEL} tr[data-id]")]


def badges(page):
    return {
        badge.get_attribute("data-badge"): badge.get_attribute("data-state")
        for badge in page.query_selector_all(".szal-badge")
    }


def wait_badge(page, step, state):
    page.wait_for_selector(f'.szal-badge[data-badge="{step}"][data-state="{state}"]', state="attached")


def active_cell(page):
    return page.evaluate("window.jupyterapp.shell.currentWidget?.content?.activeCellIndex")


@pytest.fixture
def folder(lab):
    """A folder of the server for one test alone: its store is beside its notebooks."""
    folder = lab.root / f"work{len(list(lab.root.iterdir()))}"
    folder.mkdir()
    return folder


def named(lab, file):
    return file.relative_to(lab.root).as_posix()


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_panel_shows_the_flow_and_the_runs_of_a_notebook_that_no_kernel_ran(lab, page, folder, screenshot, theme):
    notebook = folder / "quickstart.ipynb"
    shutil.copy(NOTEBOOKS / "quickstart.ipynb", notebook)
    first, second = run_headless(notebook), run_headless(notebook)
    open_notebook(page, lab, named(lab, notebook))
    command(page, "apputils:change-theme", {"theme": f"JupyterLab {theme}"})
    page.wait_for_selector(f'body[data-jp-theme-name="JupyterLab {theme}"]', state="attached")
    # In its own width first: all can be reached there too.
    show_panel(page)
    page.click(f'{PANEL} tr[data-id="{first}"] .szal-pick')
    page.hover(f'{PANEL} tr[data-id="{first}"]')
    page.click(f'{PANEL} tr[data-id="{first}"] .szal-bin')
    ids = page.locator(f"{PANEL} .szal-pick").all()
    assert [picked.evaluate("(id) => id.scrollWidth - id.parentElement.clientWidth <= 0") for picked in ids] == [True]
    screenshot(page, f"panel-narrow-{theme.lower()}")
    page.click(f'{PANEL} [data-action="keep"]')
    page.click(f'{PANEL} tr[data-id="{second}"] .szal-pick')
    show_panel(page, 430)
    wait_shown(page, "completed")
    page.wait_for_selector(f'{PANEL} tr[data-id="{first}"]')
    page.wait_for_selector(f'{PANEL} .szal-side[data-theme="{theme.lower()}"]')
    assert rows(page) == [second, first]
    page.click(f'{PANEL} [data-step="growth"]')
    page.wait_for_selector(f"{PANEL} >> text=pandas.DataFrame")
    page.keyboard.press("Escape")
    page.evaluate("window.jupyterapp.shell.currentWidget.content.scrollToItem(6, 'start')")
    wait_badge(page, "plot", "completed")
    assert set(badges(page).values()) == {"completed"}
    screenshot(page, "panel" if theme == "Light" else "panel-dark")
    found = findings(page, PANEL)
    page.click(f'{PANEL} tr[data-id="{first}"] .szal-pick')
    page.hover(f'{PANEL} tr[data-id="{first}"]')
    page.click(f'{PANEL} tr[data-id="{first}"] .szal-bin')
    found += findings(page, PANEL)
    page.click(f'{PANEL} [data-action="keep"]')
    command(page, "szal-nb:open-dag")
    page.wait_for_selector(".szal-tab-home .szal-node")
    found += findings(page, ".szal-tab-home")
    command(page, "apputils:change-theme", {"theme": "JupyterLab Light"})

    assert found == []
    assert page.problems == []


def test_runs_are_filtered_sorted_and_opened(lab, page, folder, screenshot):
    notebook = folder / "sales.ipynb"
    write_notebook(notebook, SALES)
    good = run_headless(notebook)
    write_notebook(notebook, [*SALES[:3], "%%szal_step report\nprint(orders[99])"])
    bad = run_headless(notebook)
    open_notebook(page, lab, named(lab, notebook))
    show_panel(page, 430)
    page.wait_for_selector(f'{PANEL} tr[data-id="{bad}"][aria-selected="true"]')
    wait_shown(page, "failed")

    page.fill(f"{PANEL} .szal-runs-part .szal-search", "completed")
    assert rows(page) == [good]
    page.fill(f"{PANEL} .szal-runs-part .szal-search", "")
    page.select_option(f"{PANEL} .szal-states", "failed")
    assert rows(page) == [bad]
    page.select_option(f"{PANEL} .szal-states", "")
    page.click(f"{PANEL} th.is-created button")
    assert rows(page) == [good, bad]

    page.click(f'{PANEL} tr[data-id="{good}"] .szal-pick')
    wait_shown(page, "completed")
    wait_badge(page, "report", "completed")
    page.hover(f'{PANEL} tr[data-id="{bad}"]')
    page.click(f'{PANEL} tr[data-id="{bad}"] .szal-open')
    page.wait_for_selector(f'.szal-tab-home [data-run="{bad}"][data-run-state="failed"]')
    page.click('.szal-tab-home [data-step="report"]')
    page.wait_for_selector(".szal-tab-home >> text=IndexError")
    page.click('.szal-tab-home [data-tool="timeline"]')
    page.wait_for_selector('.szal-tab-home [data-tool="timeline"][aria-pressed="true"]')
    screenshot(page, "panel-tab")

    page.hover(f'{PANEL} tr[data-id="{good}"]')
    page.click(f'{PANEL} tr[data-id="{good}"] .szal-bin')
    page.click(f'{PANEL} tr[data-id="{good}"] [data-action="delete"]')
    page.wait_for_selector(f'{PANEL} tr[data-id="{good}"]', state="detached")

    page.dblclick('.szal-tab-home [data-step="clean"]')
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.content?.activeCellIndex === 2")
    assert page.problems == []


def test_commands_run_the_flow_and_the_panel_is_live(lab, page, folder, screenshot):
    notebook = folder / "held.ipynb"
    write_notebook(notebook, HELD)
    open_notebook(page, lab, named(lab, notebook))
    show_panel(page)
    wait_shown(page, "idle")
    command(page, "szal-nb:run-flow")
    page.wait_for_selector("text=The kernel does not know this flow yet")
    page.click("text=Run all cells")
    page.wait_for_function(
        "() => { const cells = window.jupyterapp.shell.currentWidget.content.widgets;"
        " return cells.at(-1).model.executionCount !== null && cells.at(-1).model.executionState === 'idle'; }"
    )

    # The kernel tells of a run that it has; the server is asked for those that no kernel runs.
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/szal/runs/" in request.url else None)
    command(page, "szal-nb:run-flow")
    wait_badge(page, "clean", "running")
    wait_shown(page, "running")
    assert badges(page) == {"load": "completed", "clean": "running", "report": "pending"}
    screenshot(page, "panel-live")
    (folder / "go").touch()
    wait_shown(page, "completed")
    wait_badge(page, "report", "completed")

    assert text(page, 4).endswith("3\n")
    assert [url for url in asked if "/runs/events" not in url] == []
    assert page.problems == []


def test_a_step_that_was_edited_is_defined_anew_before_it_runs_and_only_until_here(lab, page, folder):
    notebook = folder / "edited.ipynb"
    write_notebook(notebook, SALES)
    open_notebook(page, lab, named(lab, notebook))
    for i in range(4):
        run_cell(page, i)
    page.evaluate(
        "() => { const nb = window.jupyterapp.shell.currentWidget.content; nb.activeCellIndex = 2;"
        " nb.widgets[2].model.sharedModel.setSource('%%szal_step clean\\norders = orders[:5]\\nprint(len(orders), \"kept\")'); }"
    )
    command(page, "szal-nb:run-until")
    wait_badge(page, "clean", "completed")
    wait_badge(page, "report", "skipped")

    assert "5 kept" in text(page, 2)
    assert not any(output["output_type"] == "stream" for output in outputs(page, 3))


def test_a_failed_run_is_resumed_from_the_panel(lab, page, folder):
    notebook = folder / "resume.ipynb"
    cells = [
        "%load_ext szal_nb\nfrom pathlib import Path",
        "%%szal_step first\nx = 1",
        "%%szal_step second\nassert Path('there').exists()\ny = x + 1",
    ]
    write_notebook(notebook, cells)
    open_notebook(page, lab, named(lab, notebook))
    for i in range(3):
        run_cell(page, i)
    show_panel(page, width=210)
    page.click(f'{PANEL} [data-action="run"]')
    wait_shown(page, "failed")
    (failed,) = rows(page)
    # What the panel's width does not hold stands in a second line.
    said, header = (in_panel(page, f".szal-picture .szal-{part}").first for part in ("said", "header"))
    assert said.inner_text().replace("\xa0", " ").startswith("1 of 2 completed · 1 failed · ")
    box, frame = said.bounding_box(), header.bounding_box()
    assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    assert said.evaluate(
        "(said) => [said.scrollWidth <= said.clientWidth, said.scrollHeight <= said.clientHeight]"
    ) == [True, True]
    (folder / "there").touch()
    page.click(f'{PANEL} [data-action="resume"]')
    wait_shown(page, "completed")

    assert rows(page) == [failed]
    assert page.get_attribute(f"{PANEL} [data-run]", "data-run") == failed


def test_a_step_that_is_typed_shows_without_being_saved_or_executed(lab, page, folder):
    notebook = folder / "typed.ipynb"
    write_notebook(notebook, ["1 + 1"])
    open_notebook(page, lab, named(lab, notebook))
    show_panel(page)
    page.wait_for_selector(f"{PANEL} >> text=No steps yet")
    page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel"
        ".setSource('%%szal_step <b>typed</b>\\n1')"
    )
    page.wait_for_selector(f"{PANEL} .szal-problem")
    page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource('%%szal_step typed\\n1')"
    )
    page.wait_for_selector(f'{PANEL} [data-step="typed"]')

    assert badges(page) == {"typed": "pending"}
    assert page.query_selector(f"{PANEL} b") is None


def test_notebook_7_has_the_panel_and_the_badges(tmp_path, page, screenshot):
    write_notebook(tmp_path / "seven.ipynb", SALES)
    run_headless(tmp_path / "seven.ipynb")
    with jupyter_server(tmp_path, app="notebook") as server:
        open_notebook(page, server, "seven.ipynb")
        show_panel(page)
        wait_shown(page, "completed")

        screenshot(page, "notebook-7")
        assert badges(page) == dict.fromkeys(("load", "clean", "report"), "completed")


def test_a_notebook_that_is_renamed_while_its_run_goes_on_keeps_it(lab, page, folder):
    notebook = folder / "before.ipynb"
    write_notebook(notebook, HELD)
    open_notebook(page, lab, named(lab, notebook))
    for i in range(5):
        run_cell(page, i)
    show_panel(page)
    command(page, "szal-nb:run-flow")
    page.wait_for_selector(f'{PANEL} [data-step="clean"][data-state="running"]')

    page.evaluate(
        "async ([old, name]) => { await window.jupyterapp.shell.currentWidget.context.save();"
        " await window.jupyterapp.serviceManager.contents.rename(old, name); }",
        [named(lab, notebook), named(lab, folder / "after ü.ipynb")],
    )
    page.wait_for_selector(f"{PANEL} .szal-notebook >> text=after ü.ipynb")
    page.wait_for_selector(f'{PANEL} [data-step="clean"][data-state="running"]')
    (folder / "go").touch()
    wait_shown(page, "completed")

    assert len(rows(page)) == 1
    assert page.problems == []


def test_a_panel_that_hears_a_run_from_its_kernel_sees_that_the_kernel_is_gone(lab, page, folder):
    notebook = folder / "gone.ipynb"
    write_notebook(notebook, HELD)
    open_notebook(page, lab, named(lab, notebook))
    for i in range(5):
        run_cell(page, i)
    show_panel(page)
    command(page, "szal-nb:run-flow")
    page.wait_for_selector(f'{PANEL} [data-step="clean"][data-state="running"]')

    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_selector(f'{PANEL} [data-run-state="crashed"]')
    (folder / "go").touch()
    for i in range(5):
        run_cell(page, i)
    page.click(f'{PANEL} [data-action="resume"]')
    wait_shown(page, "completed")

    assert page.problems == []
