"""Buttons of the picture and of the panel: while the kernel is idle, while a cell awaits, and while one blocks it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.e2e.lab import HOLD, at, open_notebook, run_cell, until, wait_cell, write_notebook
from tests.e2e.panel import PANEL, in_panel, show_panel, wait_shown

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
    if not reach.while_awaiting:
        page.wait_for_selector(f"{PANEL} .szal-message >> text=The kernel is busy with a cell")
        (folder / "go").touch()
    page.wait_for_selector(f'{PANEL} [data-step="extra"][data-state="skipped"]')
    in_panel(page, '[data-step="slow"] .szal-card').click()
    in_panel(page, '[data-tab="log"]').click()
    page.wait_for_selector(f"{PANEL} .szal-log >> text=part 2")
    in_panel(page, ".szal-log-head .szal-search").fill("part 1")
    page.wait_for_selector(f"{PANEL} .szal-log-head >> text=1 line")
    (folder / "go").touch()
    wait_cell(page, 5)
    wait_shown(page, "completed")

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


def test_buttons_answer_while_idle_while_a_cell_awaits_and_while_one_blocks(lab, page):
    folder = lab.root / "controls"
    folder.mkdir()
    touch_buttons(page, lab, folder, Reach())

    assert page.problems == []
