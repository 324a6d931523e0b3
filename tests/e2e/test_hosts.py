"""The picture where neither JupyterLab nor Notebook is: marimo, and a page of ipywidgets' own manager as Colab has it.

Nothing comes from a network: a request to anywhere else fails the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import anywidget
import pytest
from ipywidgets.embed import dependency_state, embed_data

from szal_nb.widget.dag import DagWidget
from tests.e2e.lab import until, wait_run, wait_state
from tests.environments import environment_of
from tests.widget.flows import RUN_ID, sales, sales_run

pytestmark = pytest.mark.torture
# What nbconvert's pages, Colab and older front ends load widgets with.
MANAGER = ("@jupyter-widgets/html-manager@1.0.15", "requirejs@2.3.7")
ROOT = Path(__file__).parents[2]

MARIMO = """
import marimo

app = marimo.App()


@app.cell
def _():
    import szal_nb as szal

    flow = szal.Flow("coffee")

    @flow.step
    def load():
        print("three rows")
        return [1, 2, 3]

    @flow.step(approve="Send it?")
    def send(load):
        return sum(load)

    return (flow,)


@app.cell
def _(flow):
    flow
    return


@app.cell
def _(flow):
    run = flow.start({}, store="runs.db")
    run
    return
"""


@contextlib.contextmanager
def marimo(folder: Path):
    """The address of an app that is a marimo notebook with a flow and a run of it."""
    (folder / "app.py").write_text(MARIMO)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [environment_of("marimo"), "-m", "marimo", "run", "app.py", "--headless", "--no-token", f"--port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(folder)}
    with (
        (folder / "marimo.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


def answers(address: str) -> bool:
    with contextlib.suppress(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=2).close()
        return True
    return False


def test_marimo_shows_a_flow_and_a_run_of_it_live_with_buttons_and_slider(page, tmp_path, screenshot):
    with marimo(tmp_path) as address:
        until(page, lambda: answers(address), timeout_s=60)
        page.goto(address)
        wait_run(page, "idle")
        wait_state(page, "send", "waiting")
        run = page.locator(".szal-dag[data-run-state='running']")
        run.locator('[data-step="load"] .szal-card').click()
        run.locator('[data-tab="log"]').click()
        page.wait_for_selector(".szal-log >> text=three rows")
        page.keyboard.press("Escape")
        run.locator('[data-step="send"] [data-action="approve"]').click()
        wait_run(page, "completed")
        done = page.locator(".szal-dag[data-run-state='completed']")
        done.locator('[data-tool="timeline"]').click()
        page.wait_for_selector(".szal-bar")
        done.locator(".szal-range").focus()
        page.keyboard.press("Home")
        wait_run(page, "created")
        screenshot(page, "marimo")

    assert page.problems == []


def manager() -> Path:
    """The folder of ipywidgets' own manager for pages, fetched once and kept below build/."""
    folder = ROOT / "build" / "environments" / "html-manager"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}")
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *MANAGER], cwd=folder, check=True
        )
        (folder / "done").touch()
    return folder / "node_modules"


PAGE = """<!doctype html><html lang="en"><title>Saved</title>
<script src="/require.js"></script>
<script>require.config({{paths: {{anywidget: "/anywidget"}}}})</script>
<script src="/embed-amd.js"></script>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
<main><script type="application/vnd.jupyter.widget-view+json">{view}</script></main>
"""


def test_a_page_of_ipywidgets_own_manager_shows_the_last_state_and_says_that_no_kernel_answers(page, screenshot):
    modules = manager()
    widget = DagWidget(sales(), run_id=RUN_ID, snapshot=sales_run())
    data = embed_data([widget], state=dependency_state([widget], drop_defaults=False), drop_defaults=False)
    texts = {
        "": PAGE.format(
            state=json.dumps(data["manager_state"]).replace("</", "<\\/"), view=json.dumps(data["view_specs"][0])
        ),
        "require.js": (modules / "requirejs" / "require.js").read_text(),
        "embed-amd.js": (modules / "@jupyter-widgets/html-manager/dist/embed-amd.js").read_text(),
        "anywidget.js": (Path(anywidget.__file__).parent / "nbextension" / "index.js").read_text(),
    }
    elsewhere: list[str] = []

    def answer(route):
        name = route.request.url.removeprefix("http://saved.test/")
        if name in texts:
            route.fulfill(body=texts[name], content_type="text/javascript" if name else "text/html; charset=utf-8")
        else:
            elsewhere.append(route.request.url)
            route.abort()

    page.route("**/*", answer)
    page.goto("http://saved.test/")
    wait_run(page, "failed")
    wait_state(page, "by_region", "failed")
    page.click('[data-step="by_region"] .szal-card')
    page.click('[data-tab="code"]')
    page.wait_for_selector(".szal-code >> text=regions")
    page.wait_for_selector(".szal-dag.is-lost")
    screenshot(page, "html-manager")
    page.unroute("**/*")

    assert elsewhere == []
    assert page.problems == []
