"""What the README shows works as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from szal_nb.analysis.graph import build_graph
from szal_nb.notebook.reader import read_flow

README = (Path(__file__).parent.parent / "README.md").read_text()
ORDERS = "region,product,month,revenue\nEU,tea,1,10\nEU,salt,1,5\nUS,tea,1,99\nEU,tea,2,20\nEU,salt,2,\n"


def python_blocks(begin: str, end: str) -> list[str]:
    section = README[README.index(begin) : README.index(end)]
    return re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


@pytest.mark.serial
def test_the_twenty_lines_run(tmp_path):
    cells = []
    for block in python_blocks("## Twenty lines", "And from Python"):
        cell = new_code_cell(block.strip())
        if "a cell tagged `parameters`" in block:
            cell.metadata["tags"] = ["parameters"]
        cells.append(cell)
    cells.append(new_code_cell("print(products.to_dict(), months.to_dict())"))
    nbformat.write(new_notebook(cells=cells), tmp_path / "sales.ipynb")
    (tmp_path / "orders.csv").write_text(ORDERS)

    command = [sys.executable, "-m", "szal_nb.app.cli", "run", "sales.ipynb", "-o", "out.ipynb", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["ended"] == "completed"
    printed = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs[0].text
    assert printed == "{'salt': 5.0, 'tea': 30.0} {1: 15.0, 2: 20.0}\n"


def test_the_flow_in_python_runs(tmp_path):
    (block,) = python_blocks("And from Python", "The tutorial")
    (tmp_path / "release.py").write_text(block)

    ran = subprocess.run(
        [sys.executable, "-W", "error", "release.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (ran.stdout, ran.stderr, ran.returncode) == ("completed app-4f2a91.whl: 120 passed\n", "", 0)
    assert (tmp_path / ".szal/runs.db").is_file()


def test_the_rollback_is_that_of_the_step_and_sees_what_it_read_and_gave(tmp_path):
    blocks = python_blocks("## When a run must be undone", "## A run has a past")
    around = "flight = 'LO 5'\ndef book_seat(flight): ...\ndef release_seat(flight, seat): ..."
    path = tmp_path / "trip.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(block.strip()) for block in (around, *blocks)]), path)

    found = read_flow(path)
    (node,) = build_graph(found.definition, found.surroundings).nodes

    assert (node.step.name, node.undo.reads, node.undo.definitions) == (
        "reserve",
        ("flight", "seat"),
        ("release_seat",),
    )
    assert (node.step.rollback.retry.retries, node.step.rollback.timeout_s) == (3, 30.0)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_what_the_readme_links_to_is_there(link):
    assert (Path(__file__).parent.parent / link).is_file()
