"""Kernels that end, and kernels that go on: each test has kernels of its own."""

from __future__ import annotations

import json

import pytest

from szal_nb.errors import RunError
from szal_nb.notebook.extension import load_ipython_extension, step
from szal_nb.notebook.headless import Headless
from szal_nb.store.runs import RunStore
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import Notebook

pytestmark = pytest.mark.serial

CELLS = {
    "head": "%load_ext szal_nb\nimport asyncio, time\nfrom pathlib import Path",
    "one": (
        "%%szal_step one\ngiven_once = Path('.').resolve().name\n"
        "with Path('ran').open('a') as file:\n    file.write('one ')\nprint('one runs')"
    ),
    "two": "%%szal_step two\nwhile Path('hold').exists():\n    time.sleep(0.05)\ngiven_twice = given_once * 2",
}


def write_notebook(path, cells):
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {"cell_type": "code", "id": key, "metadata": {}, "source": text, "execution_count": None, "outputs": []}
            for key, text in cells.items()
        ],
    }
    path.write_text(json.dumps(content))


def begin_and_hold(kernel, folder):
    """A run whose first step has completed and whose second is under way."""
    (folder / "hold").touch()
    notebook = Notebook(kernel)
    for key, code in CELLS.items():
        notebook.ok(code, cell_id=key)
    notebook.ok("run = %szal_run", cell_id="run")
    kernel.until(lambda: notebook.value("run['two'].state") == "running")
    return notebook.value("run.id")


def store_of(folder):
    return RunStore.open(folder / ".szal" / "runs.db", read_only=True)


def test_a_kernel_that_shuts_down_with_a_run_alive_records_it_as_interrupted(tmp_path):
    """A kernel that shuts down with a run alive records it as interrupted."""
    with running_kernel(tmp_path) as kernel:
        run_id = begin_and_hold(kernel, tmp_path)

    with store_of(tmp_path) as store:
        assert store.snapshot(run_id).is_interrupted
        assert store.run(run_id).shown_state == "crashed"


def test_a_kernel_that_is_shut_down_while_a_cell_waits_records_an_interruption_and_no_cancel(tmp_path):
    # As front ends do it: an interrupt comes first.
    with running_kernel(tmp_path) as kernel:
        run_id = begin_and_hold(kernel, tmp_path)
        kernel.send("await run", cell_id="await")
        kernel.settle()

    with store_of(tmp_path) as store:
        snapshot = store.snapshot(run_id)
        assert (snapshot.is_interrupted, snapshot.state.value) == (True, "running")
        assert store.run(run_id).shown_state == "crashed"


def test_a_run_whose_kernel_was_killed_goes_on_in_a_new_kernel_without_running_completed_steps_again(tmp_path):
    with running_kernel(tmp_path) as kernel:
        run_id = begin_and_hold(kernel, tmp_path)
        kernel.kill()
    (tmp_path / "hold").unlink()

    headless = Headless(resume=run_id, store=tmp_path / ".szal" / "runs.db")
    with running_kernel(tmp_path, **headless.environment()) as kernel:
        notebook = Notebook(kernel)
        cells = {key: notebook.ok(code, cell_id=key) for key, code in CELLS.items()}
        last = notebook.ok("run = %szal_run", cell_id="run")
        kernel.settle()

        assert "Going on: one kept, two to run." in last.text
        assert notebook.value("(run.id, run.state, run['one'].origin)") == (run_id, "completed", "resumed")
        assert notebook.value("given_twice") == 2 * tmp_path.name
        assert (tmp_path / "ran").read_text() == "one "
        # What it showed then.
        assert cells["one"].text == "one runs\n"


def test_a_notebook_whose_last_run_crashed_is_offered_to_go_on_with_it_and_another_is_not(tmp_path):
    write_notebook(tmp_path / "one.ipynb", CELLS)
    write_notebook(tmp_path / "other.ipynb", CELLS)
    with running_kernel(tmp_path, JPY_SESSION_NAME=str(tmp_path / "one.ipynb")) as kernel:
        run_id = begin_and_hold(kernel, tmp_path)
        kernel.kill()

    with running_kernel(tmp_path, JPY_SESSION_NAME=str(tmp_path / "other.ipynb")) as kernel:
        assert run_id not in kernel.run("%load_ext szal_nb").plain
    with running_kernel(tmp_path, JPY_SESSION_NAME=str(tmp_path / "one.ipynb")) as kernel:
        told = kernel.run("%load_ext szal_nb", cell_id="head").plain
        assert f"Run {run_id} of flow" in told
        assert "did not end: its kernel died when 1 of 2 steps had completed" in told
        assert f"%szal_resume {run_id} goes on from there" in told


def test_a_past_run_is_replayed_in_a_kernel_that_knows_nothing_of_it(tmp_path):
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        notebook.ok("%load_ext szal_nb\nfrom pathlib import Path\nclass Own:\n    def __init__(self, n): self.n = n")
        notebook.step(
            "make", "import numpy as np\nxs = np.arange(4)\nown = Own(3)\nPath('ran').touch()\nprint('made', xs)"
        )
        notebook.step("use", "total = int(xs.sum()) + own.n\ntotal")
        notebook.ok("run = %szal_run\nawait run")
        run_id = notebook.value("run.id")
    (tmp_path / "ran").unlink()

    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        notebook.ok("%load_ext szal_nb")
        shown = notebook.ok(f"past = %szal_replay {run_id}")
        assert "made [0 1 2 3]" in shown.text
        assert "9" in shown.plain
        values = notebook.value("(past.state, past['use'].value, past.values.total, past.values.xs.tolist())")
        assert values == ("completed", 9, 9, [0, 1, 2, 3])
        assert "class Own" in notebook.cell("past.values.own").error
        assert not (tmp_path / "ran").exists()


def test_a_step_that_changed_since_is_not_gone_on_with(tmp_path):
    with running_kernel(tmp_path) as kernel:
        run_id = begin_and_hold(kernel, tmp_path)
        kernel.kill()
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        for key, code in {**CELLS, "two": "%%szal_step two\ngiven_twice = given_once * 3"}.items():
            notebook.ok(code, cell_id=key)

        cell = notebook.cell(f"%szal_resume {run_id}")

    assert f"it is not what run {run_id} ran" in cell.error
    assert f"%szal_migrate plan {run_id}" in cell.error
    assert f"%szal_run --reuse {run_id}" in cell.error


def test_order_is_that_of_the_saved_file_and_where_it_differs_a_person_is_asked_and_headless_refuses(tmp_path):
    path = tmp_path / "order.ipynb"
    cells = {
        "head": "%load_ext szal_nb",
        "a": "%%szal_step a\nvalue = 1",
        "b": "%%szal_step b\nvalue = value + 10",
        "run": "run = %szal_run",
    }
    write_notebook(path, cells)
    with running_kernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        notebook = Notebook(kernel)
        for key in ("head", "b", "a"):
            notebook.ok(cells[key], cell_id=key)

        refused = notebook.cell("run = %szal_run", may_ask=False)
        declined = notebook.cell("run = %szal_run", answer="n")
        accepted = notebook.ok("run = %szal_run\nawait run\nprint(value)", answer="y")
        again = notebook.ok("run = %szal_run\nawait run\nprint(value)")

    assert "in the saved notebook the steps stand as a, b, executed as b, a" in refused.error
    assert "Nothing was run" in declined.error
    assert accepted.text.splitlines()[-1] == again.text.splitlines()[-1] == "11"


def test_a_run_keeps_the_whole_notebook_and_where_it_is(tmp_path):
    path = tmp_path / "kept.ipynb"
    write_notebook(path, {**CELLS, "never": "print('not executed')"})
    with running_kernel(tmp_path, JPY_SESSION_NAME=str(path)) as kernel:
        notebook = Notebook(kernel)
        for key, code in CELLS.items():
            notebook.ok(code, cell_id=key)
        notebook.ok("run = %szal_run\nawait run", cell_id="run")
        run_id = notebook.value("run.id")

    with store_of(tmp_path) as store:
        kept = json.loads(store.notebook(run_id))
        sources = {cell["id"]: cell["source"] for cell in kept["cells"]}
        assert str(store.run(run_id).notebook_path) == str(path)
        assert sources["never"] == "print('not executed')"
        assert sources["two"] == CELLS["two"]


def test_loading_the_extension_is_light(tmp_path):
    with running_kernel(tmp_path) as kernel:
        kernel.run("import sys\nbefore = set(sys.modules)\n%load_ext szal_nb\nloaded = set(sys.modules) - before")
        heavy = {"pandas", "nbformat", "papermill", "sqlite_utils", "networkx", "anywidget", "ipywidgets", "nbclient"}

        assert kernel.value(f"sorted({heavy!r} & set(sys.modules))") == []
        # About 0.4 s, nearly all of it our own.
        assert kernel.value("len(loaded)") < 320


def test_a_step_that_is_the_first_to_import_pyplot_shows_its_figure(tmp_path):
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        notebook.ok("%load_ext szal_nb", cell_id="head")
        plots = notebook.step("plots", "import matplotlib.pyplot as plt\nplt.plot([1, 2]);", cell_id="plots")
        notebook.ok("run = %szal_run\nawait run", cell_id="run")
        kernel.settle()

        assert [sorted(data) for data in plots.shown[1:]] == [["image/png", "text/plain"]]


def test_a_figure_that_a_step_is_drawing_is_shown_by_nobody_else(tmp_path):
    (tmp_path / "gates.py").write_text("import threading\nhalf, whole = threading.Event(), threading.Event()\n")
    drawing = "import gates\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\ngates.half.set()\n"
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        notebook.ok("%load_ext szal_nb\nimport asyncio, gates")
        plots = notebook.step("plots", f"{drawing}assert gates.whole.wait(60)\nax.plot([1, 2]);")
        beside = notebook.step("beside", "import gates\nassert gates.half.wait(60)\nx = 1")
        notebook.ok("run = %szal_run")
        notebook.ok("while run['beside'].state != 'completed':\n    await asyncio.sleep(0.01)")
        cell = notebook.ok("gates.whole.set()")
        notebook.ok("await run")
        kernel.settle()

        assert [sorted(data) for data in plots.shown[1:]] == [["image/png", "text/plain"]]
        assert (beside.shown[1:], cell.shown) == ([], [])


def test_loading_the_extension_again_keeps_its_steps(tmp_path):
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        notebook.ok("%load_ext szal_nb", cell_id="head")
        notebook.step("one", "kept_value = 1", cell_id="one")
        notebook.ok("%reload_ext szal_nb", cell_id="again")
        notebook.ok("run = %szal_run\nawait run", cell_id="run")

        assert notebook.value("kept_value") == 1


def test_a_front_end_that_connects_draws_no_numbers_of_the_steps(tmp_path):
    """It asks for the banner, whose tip IPython drew from `random`: steps side by side were told to have done it."""
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        notebook.ok("%load_ext szal_nb\nimport random\nbefore = random.getstate()", cell_id="head")
        kernel.connect()

        assert notebook.value("random.getstate() == before")


def test_without_a_kernel_it_says_what_to_do():
    with pytest.raises(RunError, match="need a Jupyter kernel"):
        load_ipython_extension(object())
    with pytest.raises(RunError, match=r"use flow\.step"):
        step(len)
