"""The picture as a person touches it in JupyterLab. Its screenshots go to build/screenshots: look at them."""

from __future__ import annotations

from tests.e2e.lab import (
    HOLD,
    at,
    command,
    in_view,
    open_notebook,
    run_cell,
    text,
    until,
    wait_cell,
    wait_run,
    wait_state,
    write_notebook,
)

SALES = [
    (
        "%%szal_step load --retries 2\nimport pandas as pd\n"
        "orders = pd.DataFrame({'region': ['North', 'South', 'East'] * 4000, 'cups': range(12000)})\n"
        "print(f'{len(orders):,} orders')"
    ),
    (
        "%%szal_step clean\nsold = orders[orders.cups > 100]\n"
        "for part in range(30):\n    print(f'\\x1b[32mpart {part}\\x1b[0m: {len(sold):,} rows kept')"
    ),
    "%%szal_step by_region\nregions = sold.groupby('region').cups.sum()\nregions.to_frame()",
    "%%szal_step by_size\nhold('sizes')\nsizes = sold.cups.describe()",
    "%%szal_step forecast\nhold('forecast')\noutlook = sold.cups.mean() * 1.1",
    "%%szal_step report\nregions.plot.bar(figsize=(5, 3))\nsummary = {'best': regions.idxmax(), 'mean': float(sizes['mean']), 'next': outlook}",
]


def test_a_run_from_its_start_to_its_past_by_keyboard_only(lab, page, screenshot):
    write_notebook(
        lab.root / "sales.ipynb",
        [HOLD + "%szal_flow coffee", *SALES, "%szal_dag", "Path('sizes').touch()\nPath('forecast').touch()"],
    )
    open_notebook(page, lab, "sales.ipynb")
    for i in range(8):
        run_cell(page, i)
    in_view(page, 7)
    screenshot(page, "picture-idle")

    at(page, '[data-action="run"]').focus()
    page.keyboard.press("Enter")
    wait_state(page, "by_size", "running")
    wait_state(page, "by_region", "completed")
    in_view(page, 7)
    screenshot(page, "picture-running")

    at(page, '[data-step="load"] .szal-card').focus()
    forward = "ArrowRight" if at(page, ".szal-scene").get_attribute("data-direction") == "LR" else "ArrowDown"
    page.keyboard.press(forward)
    page.keyboard.press("Enter")
    at(page, '[data-tab="result"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".szal-log >> text=part 29")
    assert at(page, ".szal-panel-name").inner_text() == "clean"
    at(page, ".szal-log-head .szal-search").focus()
    page.keyboard.type("part 2")
    page.wait_for_selector("text=11 lines")
    in_view(page, 7)
    screenshot(page, "picture-log")
    page.keyboard.press("Escape")

    run_cell(page, 8)
    wait_run(page, "completed")
    at(page, '[data-step="load"] .szal-card').focus()
    page.keyboard.press("l")
    page.wait_for_selector(".szal-bar")
    in_view(page, 7)
    screenshot(page, "picture-timeline")
    at(page, ".szal-range").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    wait_state(page, "forecast", "running")
    # The drawing that came when the run ended makes room for the panel, as the one before did.
    edge = at(page, ".szal-panel").bounding_box()["x"]
    assert max(card.bounding_box()["x"] for card in page.locator(".szal-card").all()) < edge
    in_view(page, 7)
    screenshot(page, "picture-time-travel")
    assert at(page, '[data-step="report"]').get_attribute("data-state") == "pending"
    page.keyboard.press("End")
    wait_state(page, "report", "completed")
    _photograph_results(page, screenshot)
    _photograph_in_the_dark(page, screenshot)
    assert page.problems == []


def _photograph_results(page, screenshot):
    for step, shown, name in (("by_region", "iframe", "dataframe"), ("report", "img.szal-image", "figure")):
        at(page, f'[data-step="{step}"] .szal-card').click()
        at(page, '[data-tab="result"]').click()
        page.wait_for_selector(f".szal-panel-body {shown}")
        in_view(page, 7)
        page.wait_for_timeout(500)
        screenshot(page, f"picture-{name}")
        at(page, ".szal-panel [aria-label^='Close']").click()


def _photograph_in_the_dark(page, screenshot):
    command(page, "apputils:change-theme", {"theme": "JupyterLab Dark"})
    page.wait_for_selector('.szal-dag[data-theme="dark"]')
    at(page, '[data-step="by_region"] .szal-card').click()
    at(page, '[data-tab="result"]').click()
    page.wait_for_selector(".szal-panel >> text=Reads")
    # What stands in a frame has the page's colours, not those that the reader's system prefers.
    assert "color-scheme:dark" in at(page, ".szal-frame").get_attribute("srcdoc")
    in_view(page, 7)
    screenshot(page, "picture-dark")
    command(page, "apputils:change-theme", {"theme": "JupyterLab Light"})


def test_a_failed_run_goes_on_in_its_picture_and_the_table_shows_both_ends(lab, page, screenshot):
    write_notebook(
        lab.root / "failing_run.ipynb",
        [
            "%load_ext szal_nb\n%szal_flow halves\nfrom pathlib import Path\nseed = 1",
            "%%szal_step load\nnumbers = list(range(seed, 40))",
            (
                "%%szal_step divide\nif not Path('ready').exists():\n    raise FileNotFoundError('ready is not there yet')\n"
                "half = [number / 2 for number in numbers]"
            ),
            "%%szal_step other\nsquares = [number ** 2 for number in numbers]",
            "%%szal_step report\nsummary = sum(half)",
            "run = %szal_run",
            "Path('ready').touch()",
            "seed = 2",
            "again = %szal_run\nawait again",
            "%szal_runs --flow halves",
        ],
    )
    open_notebook(page, lab, "failing_run.ipynb")
    for i in range(6):
        run_cell(page, i)
    wait_run(page, "failed")
    at(page, '[data-step="divide"] .szal-card').click()
    page.wait_for_selector(".szal-traceback >> text=FileNotFoundError")
    in_view(page, 5)
    screenshot(page, "picture-failed")
    failed = at(page, ":scope").get_attribute("data-run")
    at(page, '[data-tool="timeline"]').click()
    page.wait_for_selector(".szal-bar")

    run_cell(page, 6)
    at(page, '[data-step="divide"] [data-action="retry"]').click()
    wait_run(page, "completed")
    assert at(page, ":scope").get_attribute("data-run") == failed
    page.wait_for_function("document.querySelectorAll('.szal-bar').length === 5")
    for i in (7, 8, 9):
        run_cell(page, i)
    page.wait_for_selector(".szal-runs tbody tr >> nth=1")
    page.locator(f'[data-run-row="{failed}"] [data-part="open"]').click()
    page.wait_for_selector(".szal-runs-opened .szal-bar")
    in_view(page, 9)
    screenshot(page, "runs-table")

    for box in page.locator('[data-part="choose"]').all():
        box.check()
    page.click('[data-action="compare"]')
    page.wait_for_selector(".szal-differences >> text=input seed")
    in_view(page, 9)
    screenshot(page, "runs-compared")
    page.locator(f'[data-run-row="{failed}"] [data-action="delete"]').click()
    page.wait_for_selector("text=Delete it with its values?")
    assert page.locator("[data-run-row]").count() == 2
    page.locator(f'[data-run-row="{failed}"] [data-action="delete"]').click()
    page.wait_for_function("document.querySelectorAll('[data-run-row]').length === 1")
    assert page.problems == []


def test_a_button_answers_while_the_kernel_is_blocked_and_a_restart_leaves_the_picture_and_an_offer(
    lab, page, screenshot
):
    write_notebook(
        lab.root / "blocked.ipynb",
        [
            HOLD,
            "%%szal_step first\nx = 1",
            "%%szal_step slow\ny = x\nhold('never made')",
            "run = %szal_run",
            "Path('blocking').touch()\nwhile not Path('unblock').exists():\n    time.sleep(0.05)",
            "%szal_dag",
        ],
    )
    open_notebook(page, lab, "blocked.ipynb")
    for i in range(4):
        run_cell(page, i)
    wait_state(page, "slow", "running")
    page.wait_for_timeout(200)
    run_cell(page, 4, wait=False)
    until(page, (lab.root / "blocking").exists)
    at(page, '[data-action="pause"]').click()
    page.wait_for_selector('[data-action="pause"][data-sent="acknowledged"]', timeout=2500)
    (lab.root / "unblock").touch()
    wait_cell(page, 4)
    wait_run(page, "paused")

    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_selector(".szal-dag.is-lost", timeout=20_000)
    assert "%szal_resume" in at(page, ".szal-message").inner_text()
    assert at(page, '[data-step="slow"]').get_attribute("data-state") == "running"
    in_view(page, 3)
    screenshot(page, "picture-restarted")
    run_cell(page, 0)
    assert "1 of 2 steps had completed" in text(page, 0)
    for i in (1, 2, 5):
        run_cell(page, i)
    wait_run(page, "crashed")
    (lab.root / "never made").touch()
    at(page, '[data-action="resume"]').click()
    wait_run(page, "completed")
    resumed = at(page, ":scope").get_attribute("data-run")
    at(page, '[data-step="slow"] .szal-card').click()
    at(page, '.szal-panel [data-action="fork"]').click()
    page.wait_for_selector(f'.szal-dag[data-run-state="completed"]:not([data-run="{resumed}"])')
    assert "resumed" not in at(page, '[data-step="slow"]').inner_text()
    assert page.problems == []


HOSTILE = """
evil = "<img src=x onerror=\\"document.title='taken'\\"><script>document.title='taken'</script>\\u202e"
class Odd:
    def __repr__(self): return evil * 3
"""


def test_hostile_texts_run_nothing_and_break_nothing(lab, page, screenshot):
    write_notebook(
        lab.root / "hostile.ipynb",
        [
            "%load_ext szal_nb" + HOSTILE,
            "%szal_flow 'my </style><script>document.title=1</script> flow'",
            "%%szal_step bad --tag '<b>tag</b>'\nprint(evil); print('x' * 1_000_000); odd = Odd()\nodd",
            "%%szal_step worse\nodd\nraise ValueError(evil)",
            "run = %szal_run",
            "%szal_runs",
        ],
    )
    open_notebook(page, lab, "hostile.ipynb")
    for i in range(5):
        run_cell(page, i)
    wait_run(page, "failed")
    for step in ("bad", "worse"):
        at(page, f'[data-step="{step}"] .szal-card').click()
        for tab in ("code", "log", "attempts", "why", "result"):
            at(page, f'[data-tab="{tab}"]').click()
    in_view(page, 4)
    screenshot(page, "picture-hostile")
    run_cell(page, 5)
    page.wait_for_selector("[data-run-row]")

    assert page.title() != "taken"
    assert page.locator(".szal-dag script, .szal-dag img").count() == 0
    width = "(e) => e.scrollWidth - e.clientWidth"
    assert [element.evaluate(width) for element in page.locator(".szal-dag").all()] == [0] * page.locator(
        ".szal-dag"
    ).count()


WIDE = """
import szal_nb as szal
def make(number):
    reads = [f"v{n}" for n in sorted({number - 25 + number % 3, number - 26}) if n >= 0]
    space = {}
    exec(f"def v{number}({', '.join(reads)}):\\n    return {number}", space)
    szal.step(name=f"v{number}", tags=("stage " + str(number // 40),))(space[f"v{number}"])
for number in range(200):
    make(number)
"""


def test_two_hundred_steps_are_seen_whole_and_grouped(lab, page, screenshot):
    write_notebook(lab.root / "wide.ipynb", ["%load_ext szal_nb\n%szal_flow wide", WIDE, "run = %szal_run"])
    open_notebook(page, lab, "wide.ipynb")
    for i in range(3):
        run_cell(page, i)
    wait_run(page, "completed")
    in_view(page, 2)
    screenshot(page, "picture-grouped")
    grouped = at(page, "[data-group]").count()
    at(page, '[data-tool="group"]').click()
    page.wait_for_selector('[data-step="v199"]')
    page.wait_for_timeout(200)
    screenshot(page, "picture-200-steps")

    assert grouped == 5
    assert at(page, "[data-step]").count() == 200
