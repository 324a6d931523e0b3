"""Buttons of the picture and of the panel: while the kernel is idle, while a cell awaits, and while one blocks it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.lab import HOLD, at, command, jupyter_server, open_notebook, run_cell, until, wait_cell, write_notebook
from tests.e2e.panel import PANEL, in_panel, show_panel, wait_shown
from tests.environments import environment_of

ROOT = Path(__file__).parents[2]
CELLS = [
    HOLD,
    "%%szal_step ask --approve 'Go?'\nasked = 1",
    "%%szal_step extra --approve 'Go on?'\nextra = 1",
    "%%szal_step slow\nfor part in range(3):\n    print('part', part)\nhold('go')\nslow = 1",
    "run = %szal_run",
    "await run.wait()",
    "Path('blocking').touch()\nwhile not Path('unblock').exists():\n    time.sleep(0.05)",
]


@dataclass(frozen=True)
class Reach:
    """When a kernel of some version answers a button."""

    while_awaiting: bool = True
    while_blocked: bool = True


def touch_buttons(page, server, folder, reach):
    """Two runs, steered from their picture and from the panel."""
    write_notebook(folder / "controls.ipynb", CELLS)
    open_notebook(page, server, (folder / "controls.ipynb").relative_to(server.root).as_posix())
    for i in range(5):
        run_cell(page, i)
    page.wait_for_selector('[data-step="slow"][data-state="running"]')
    show_panel(page)
    wait_shown(page, "running")

    # Idle: each from where it is.
    at(page, '[data-step="ask"] [data-action="approve"]').click()
    page.wait_for_selector(f'{PANEL} [data-step="ask"][data-state="completed"]')
    in_panel(page, '.szal-header [data-action="pause"]').click()
    wait_shown(page, "paused")
    in_panel(page, '.szal-header [data-action="resume"]').click()
    wait_shown(page, "running")

    # While a cell awaits the run.
    run_cell(page, 5, wait=False)
    in_panel(page, '[data-step="extra"] .szal-card').click()
    in_panel(page, '.szal-panel [data-action="skip"]').click()
    if reach.while_awaiting:
        page.wait_for_selector(f'{PANEL} [data-step="extra"][data-state="skipped"]')
        in_panel(page, '[data-step="slow"] .szal-card').click()
        in_panel(page, '[data-tab="log"]').click()
        page.wait_for_selector(f"{PANEL} .szal-log >> text=part 2")
        in_panel(page, ".szal-log-head .szal-search").fill("part 1")
        page.wait_for_selector(f"{PANEL} .szal-log-head >> text=1 line")
        (folder / "go").touch()
        wait_cell(page, 5)
        wait_shown(page, "completed")
    else:
        page.wait_for_selector(f"{PANEL} .szal-message >> text=Interrupt ends it now")
        (folder / "go").touch()
        command(page, "notebook:interrupt-kernel")
        wait_cell(page, 5)
        wait_shown(page, "cancelled")

    # While a cell blocks the kernel.
    run_cell(page, 4)
    wait_shown(page, "running")
    page.wait_for_selector(f'{PANEL} [data-step="ask"][data-state="waiting"]')
    run_cell(page, 6, wait=False)
    until(page, (folder / "blocking").exists)
    cancel = in_panel(page, '.szal-header [data-action="cancel"]')
    cancel.click()
    if reach.while_blocked:
        page.wait_for_selector(f'{PANEL} .szal-header [data-action="cancel"][data-sent="acknowledged"]')
    else:
        page.wait_for_selector(f"{PANEL} .szal-message >> text=The kernel is busy with a cell")
    (folder / "unblock").touch()
    wait_shown(page, "cancelled")

    # Of itself the panel begins one too.
    in_panel(page, '.szal-header [data-action="run"]').click()
    wait_shown(page, "running")


# Versions that people have: Binder's base image; Colab's kernel under a newer front end; and Notebook 7.
OLDER = {
    "binder": (("jupyterlab==4.4.9", "notebook==7.4.7", "ipykernel==7.0.1"), "lab", Reach(while_awaiting=True)),
    "colab": (
        ("jupyterlab==4.4.9", "ipykernel==6.31.0"),
        "lab",
        Reach(while_awaiting=False, while_blocked=False),
    ),
    "notebook": (("jupyterlab==4.4.9", "notebook==7.4.7", "ipykernel==7.0.1"), "notebook", Reach()),
}


@pytest.mark.torture
@pytest.mark.parametrize("versions", OLDER)
def test_buttons_answer_in_older_versions_as_far_as_these_can(versions, page, tmp_path):
    packages, app, reach = OLDER[versions]
    python = environment_of(*packages)
    with jupyter_server(tmp_path, app=app, python=str(python)) as server:
        touch_buttons(page, server, tmp_path, reach)


@pytest.mark.torture
def test_an_older_jupyterlab_takes_the_extension_for_one_of_its_own():
    python = environment_of(*OLDER["binder"][0])
    environment = {**os.environ, "JUPYTER_PATH": str(ROOT / "build" / "labextension-path")}
    place = ROOT / "build" / "labextension-path" / "labextensions" / "szal-nb"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(ROOT / "szal_nb" / "labextension")
    listed = subprocess.run(
        [python, "-m", "jupyter", "labextension", "list"], env=environment, capture_output=True, text=True, check=True
    )
    line = next(line for line in (listed.stdout + listed.stderr).splitlines() if "szal-nb" in line)

    assert "OK" in line


def test_buttons_answer_while_idle_while_a_cell_awaits_and_while_one_blocks(lab, page):
    folder = lab.root / "controls"
    folder.mkdir()
    touch_buttons(page, lab, folder, Reach())

    assert page.problems == []


def test_the_panel_begins_a_run_while_a_cell_awaits_and_says_what_it_waits_for_while_one_blocks(lab, page):
    folder = lab.root / "beginnings"
    folder.mkdir()
    wait = "while not Path({!r}).exists():\n    {}"
    write_notebook(
        folder / "beginnings.ipynb",
        [
            HOLD + "import asyncio",
            "%%szal_step load\nx = 1",
            "%%szal_step double\ny = 2 * x",
            wait.format("leave", "await asyncio.sleep(0.01)"),
            "Path('blocking').touch()\n" + wait.format("unblock", "time.sleep(0.01)"),
        ],
    )
    open_notebook(page, lab, "beginnings/beginnings.ipynb")
    for i in range(3):
        run_cell(page, i)
    show_panel(page)
    wait_shown(page, "idle")

    run_cell(page, 3, wait=False)
    in_panel(page, '.szal-header [data-action="run"]').click()
    wait_shown(page, "completed")
    first = in_panel(page, "[data-run]").get_attribute("data-run")
    in_panel(page, '[data-step="double"] .szal-card').click()
    in_panel(page, '.szal-panel [data-action="fork"]').click()
    page.wait_for_selector(f'{PANEL} [data-run-state="completed"]:not([data-run="{first}"])')
    (folder / "leave").touch()
    wait_cell(page, 3)

    run_cell(page, 4, wait=False)
    until(page, (folder / "blocking").exists)
    second = in_panel(page, "[data-run]").get_attribute("data-run")
    in_panel(page, '.szal-header [data-action="run"]').click()
    page.wait_for_selector(f'{PANEL} .szal-header [data-action="run"][data-sent="acknowledged"]', timeout=2500)
    page.wait_for_selector(f"{PANEL} .szal-message >> text=begins as soon as the cell")
    (folder / "unblock").touch()
    page.wait_for_selector(f'{PANEL} [data-run-state="completed"]:not([data-run="{second}"])')
    page.wait_for_selector(f"{PANEL} .szal-message", state="hidden")

    assert page.problems == []
