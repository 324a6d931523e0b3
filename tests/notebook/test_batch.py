"""The headless client: late output lands in its own cell, cells are named, and the saved notebook tells the truth."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from szal_nb.errors import InvalidParameter
from szal_nb.notebook.batch import Ended, _node_of, run_notebook
from szal_nb.notebook.document import read_notebook
from szal_nb.notebook.headless import Headless, read_headless
from szal_nb.notebook.parameters import give
from szal_nb.store.owner import Owner
from tests.promises.shell import write_notebook

LATE = """\
import asyncio
from IPython.display import clear_output, display
handle = display('first', display_id=True)
async def late():
    await begun.wait()
    print('late', end=' ')
    print('words')
    handle.update('last')
    done.set()
begun, done = asyncio.Event(), asyncio.Event()
task = asyncio.create_task(late())"""


def executed(path):
    return {cell["id"]: cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"}


def texts(cell):
    return [
        "".join(output.get("text") or output["data"]["text/plain"])
        for output in cell["outputs"]
        if output["output_type"] != "error"
    ]


@pytest.mark.serial
def test_one_notebook_shows_all_that_the_client_does(tmp_path, monkeypatch):
    path = write_notebook(
        tmp_path / "nb.ipynb",
        {"source": "rows: int = 1", "metadata": {"tags": ["parameters"]}},
        "import os\nprint(rows, os.environ['TOKEN_OF_TEST'], os.path.basename(os.getcwd()))",
        LATE,
        "begun.set()\nawait done.wait()\nprint('here')",
        "print('gone')\nclear_output(wait=True)\nprint('a')\nprint('b')",
        "print(get_ipython().parent_header['metadata'])",
        "1 / 0",
        "'never'",
    )
    notebook = read_notebook(path)
    monkeypatch.setenv("TOKEN_OF_TEST", "seen")
    output = tmp_path / "deep" / "out.ipynb"

    result = run_notebook(
        notebook,
        output=output,
        given=give(notebook, texts=[("rows", "3")]),
        headless=Headless(store=tmp_path / "runs.db"),
        cwd=tmp_path,
    )

    assert (result.ended, result.error_name, result.output) == (Ended.FAILED, "ZeroDivisionError", output)
    cells = executed(output)
    assert texts(cells["cell-2"]) == [f"3 seen {tmp_path.name}\n"]
    assert texts(cells["cell-3"]) == ["'last'", "late words\n"], "late output is in the cell that began it"
    assert texts(cells["cell-4"]) == ["here\n"]
    assert texts(cells["cell-5"]) == ["a\nb\n"]
    assert texts(cells["cell-6"]) == ["{'cellId': 'cell-6'}\n"]
    statuses = [cell["metadata"]["papermill"]["status"] for cell in cells.values()]
    assert statuses == [*["completed"] * 7, "failed", "pending"]
    assert [part.name for part in output.parent.iterdir()] == ["out.ipynb"]
    assert not (tmp_path / "runs.db").exists(), "no steps, no record"


@pytest.mark.serial
def test_papermill_is_told_of_a_wrong_parameter_before_a_kernel_starts(tmp_path):
    path = write_notebook(
        tmp_path / "nb.ipynb", {"source": "rows: int = 1", "metadata": {"tags": ["parameters"]}}, "open('ran', 'w')"
    )
    import papermill

    with pytest.raises(InvalidParameter, match="'many' is not a whole number"):
        papermill.execute_notebook(
            str(path),
            str(tmp_path / "out.ipynb"),
            {"rows": "many"},
            engine_name="szal",
            progress_bar=False,
            cwd=tmp_path,
        )

    assert [file.name for file in tmp_path.iterdir()] == ["nb.ipynb"]


@pytest.mark.parametrize("first", ["szal_nb.notebook.batch", "papermill", "papermill.engines"])
def test_the_engine_is_found_whatever_is_imported_first(first):
    code = (
        f"import {first}\nimport papermill.engines as engines, szal_nb.notebook.batch as batch\n"
        "assert engines.papermill_engines.get_engine('szal') is batch.SzalEngine"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_headless_run_tells_its_kernel_is_read_back(tmp_path):
    told = Headless(
        store=tmp_path / "runs.db",
        run_id="abc",
        resume="def",
        launcher=Owner.here(),
        notebook=tmp_path / "nb.ipynb",
        snapshot=tmp_path / "snapshot.ipynb",
        output=tmp_path / "out.ipynb",
        params={"rows": 1, "names": ["a"]},
    )

    assert read_headless(told.environment()) == told
    assert told.environment()["SZAL_WAIT"] == "1"
    assert read_headless({}) == Headless()


@pytest.mark.parametrize("kernelspec", [None, 5, [], "python3", {}, {"name": 5}])
def test_a_notebook_whose_kernel_has_no_name_runs_with_the_usual_one(tmp_path, kernelspec):
    path = write_notebook(tmp_path / "nb.ipynb", "1")
    content = json.loads(path.read_text())
    content["metadata"]["kernelspec"] = kernelspec
    path.write_text(json.dumps(content))

    assert "kernelspec" not in _node_of(read_notebook(path)).metadata
