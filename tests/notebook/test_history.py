from __future__ import annotations

import json

import nbformat
import pytest

from szal_nb.analysis.surroundings import NotebookName
from szal_nb.notebook.document import parse_notebook
from szal_nb.notebook.history import History, SavedNotebook, document_order, notebook_path, snapshot


def notebook_of(*cells):
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {"cell_type": kind, "id": key, "metadata": {}, "source": text}
            | ({"execution_count": None, "outputs": []} if kind == "code" else {})
            for kind, key, text in cells
        ],
    }
    return parse_notebook(json.dumps(content))


@pytest.fixture
def saved():
    return notebook_of(("markdown", "m", "# Title"), ("code", "a", "x = 1"), ("code", "b", "y = 2"), ("code", "c", "z"))


def test_the_snapshot_is_the_whole_notebook_with_what_was_executed(saved):
    history = History()
    history.add("b", "y = 3")
    history.add("new", "w = 4")

    content = json.loads(snapshot(history, saved))

    nbformat.validate(content)
    assert [(cell["id"], cell["source"]) for cell in content["cells"]] == [
        ("m", "# Title"),
        ("a", "x = 1"),
        ("b", "y = 3"),
        ("c", "z"),
        ("new", "w = 4"),
    ]
    assert content["metadata"]["kernelspec"]["name"] == "python3"


def test_without_a_file_the_snapshot_is_what_was_executed():
    history = History()
    history.add("executed-1", "x = 1")

    content = json.loads(snapshot(history, None))

    nbformat.validate(content)
    assert [cell["source"] for cell in content["cells"]] == ["x = 1"]


@pytest.mark.parametrize(
    ("executed", "ordered"),
    [
        (["a", "b", "c"], ["a", "b", "c"]),
        (["c", "a", "b"], ["a", "b", "c"]),
        (["c", "unsaved", "a"], ["a", "unsaved", "c"]),
        (["u1", "u2"], ["u1", "u2"]),
    ],
)
def test_order_is_that_of_the_saved_file_by_cell_id_else_of_first_definition(saved, executed, ordered):
    assert document_order(executed, saved) == ordered
    assert document_order(executed, None) == executed


def test_names_are_those_that_the_text_of_the_cells_binds():
    history = History()
    history.add("a", "import math as m\ndef f(x):\n    return x\nurl = 'u'")
    history.add("b", "%%szal_step load\norders = 1")
    history.add("c", "this is no python")

    assert history.names == {
        "m": NotebookName(kind="module", statement="import math as m"),
        "f": NotebookName(kind="function", source="def f(x):\n    return x"),
        "url": NotebookName(kind="data", made="str"),
    }


def test_a_deleted_cell_is_not_in_the_snapshot():
    history = History()
    history.add("a", "x = 1")
    history.delete(["a", "unknown"])

    assert json.loads(snapshot(history, None))["cells"] == []


def test_the_front_end_says_where_the_notebook_is(monkeypatch, tmp_path):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_path({}) is None
    assert notebook_path({"__vsc_ipynb_file__": "/n/a.ipynb"}).name == "a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "b.ipynb"))
    assert notebook_path({}) == tmp_path / "b.ipynb"


def test_a_file_that_cannot_be_read_just_now_is_no_error(tmp_path):
    (tmp_path / "half.ipynb").write_text('{"nbformat": 4, "ce')
    file = SavedNotebook()

    assert file.read(tmp_path / "half.ipynb") is None
    assert file.read(tmp_path / "none.ipynb") is None
    assert file.read(None) is None


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path, saved):
    path = tmp_path / "a.ipynb"
    path.write_text(saved.text)
    file = SavedNotebook()
    first = file.read(path)

    assert file.read(path) is first
    path.write_text(saved.text.replace("x = 1", "x = 11"))
    assert file.read(path).cells[1].source == "x = 11"
