"""The kernel's session and the reader of files make the same flow of the same notebook."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbclient import NotebookClient

from szal_nb.analysis.graph import build_graph
from szal_nb.notebook.document import parse_notebook
from szal_nb.notebook.reader import read_flow
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import Notebook

pytestmark = pytest.mark.serial

CELLS = {
    "head": "%load_ext szal_nb\nimport szal_nb as szal\nimport math as m\nfrom collections import Counter",
    "flow": "%szal_flow sales --version 2 --max-parallel 4",
    "parameters": "rows: int = 10\nregion = 'EU'",
    "helper": "def scaled(values):\n    return [value * rows for value in values]\n\nclass Basket:\n    pass",
    "load": "%%szal_step load --retries 3 --backoff exponential --timeout 60s\n\norders = [1, 2, 3]\n!true",
    "clean": "#| step: clean --tag tidy\norders = [order for order in orders if order > 1]",
    "undo": "%%szal_rollback clean --retries 2 --timeout 5s\n\n!true\nBasket(), orders\nm.pi",
    "comment": "#| rollback: load\nlen(orders)",
    "back": "def uncount(counted, orders):\n    print(counted)",
    "count": "@szal.step(retries=1, retry_on=ValueError, rollback=uncount)\ndef counted(orders):\n    return Counter(orders)",
    "report": "%%szal_step report --when 'len(orders) > 0'\nprint(m.pi, region)\nscaled(orders)",
    "run": "run = %szal_run",
}


def content():
    cells = [
        {"cell_type": "code", "id": key, "metadata": {}, "source": text, "execution_count": None, "outputs": []}
        for key, text in CELLS.items()
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def test_the_graph_of_the_kernel_is_that_of_the_file(tmp_path):
    read = read_flow(parse_notebook(content()))
    expected = build_graph(read.definition, read.surroundings)
    with running_kernel(tmp_path) as kernel:
        notebook = Notebook(kernel)
        for key, code in CELLS.items():
            if key != "run":
                notebook.ok(code, cell_id=key)
        notebook.ok("graph = get_ipython().find_line_magic('szal_run').__self__.session.graph()")

        flow, nodes, edges, inputs = (notebook.kernel.run(f"print(repr(graph.{part}))").text for part in PARTS)

    assert flow.strip() == repr(expected.flow)
    assert nodes.strip() == repr(expected.nodes)
    assert edges.strip() == repr(expected.edges)
    assert inputs.strip() == repr(expected.inputs)


PARTS = ("flow", "nodes", "edges", "inputs")


def test_stock_nbclient_runs_the_notebook_and_waits_for_its_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SZAL_STORE", str(tmp_path / "runs.db"))
    notebook = nbformat.reads(content(), as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("print(run.state, orders, run['report'].value)", id="last"))

    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()

    cells = {cell.id: cell for cell in notebook.cells}
    assert cells["last"].outputs[0].text == "completed [2, 3] [20, 30]\n"
    printed = "".join(output.text for output in cells["run"].outputs if output.output_type == "stream")
    assert "── step report ──\n3.14159" in printed
    assert [output.data["text/plain"] for output in cells["load"].outputs] == [
        "step load · reads nothing · gives orders"
    ]
