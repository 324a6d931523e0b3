from __future__ import annotations

import ast

import pytest

from szal_nb.analysis.fingerprint import code_digest
from szal_nb.notebook.cells import await_magics, read_step_cell, spell_as_magic, transform_body, waiting_transformer

RUN = "get_ipython().run_line_magic('szal_run', '')"
AWAITED = "(await get_ipython().run_line_magic('szal_run', '--awaited'))"


@pytest.mark.parametrize(
    ("cell", "line", "source", "above", "quiet"),
    [
        ("%%szal_step load\nx = 1\n", "load", "x = 1\n", 1, False),
        ("\n\n%%szal_step load --once\n\nx = 1;", "load --once", "\nx = 1;", 3, True),
        ("#| step: load\nx = 1", "load", "x = 1", 1, False),
        ("%%szal_step load", "load", "", 1, False),
    ],
)
def test_a_body_keeps_the_line_numbers_of_its_cell(cell, line, source, above, quiet):
    read = read_step_cell(cell)

    assert (read.line, read.source, read.above, read.is_quiet) == (line, "\n" * above + source, above, quiet)


def test_where_the_cell_stands_is_no_part_of_its_fingerprint():
    sources = [read_step_cell(cell).source for cell in ("%%szal_step a\nx = 1", "\n\n%%szal_step a --once\nx = 1")]

    assert len(set(sources)) == 2
    assert len(set(map(code_digest, sources))) == 1


def test_a_step_made_by_a_call_of_the_magic_gets_a_cell_of_its_own():
    read = read_step_cell("get_ipython().run_cell_magic('szal_step', 'a', 'x = 1')", line="a", body="x = 1")

    assert read.raw == "%%szal_step a\nx = 1"


@pytest.mark.parametrize(
    "body",
    [
        "x = 1\n!ls\ny = 2\n",
        "\n\n!ls\ny = 2\n",
        "files = !ls \\\n  -l\ny = 2\n",
        "%time x = f(1)\ny = 2\n",
        "obj?\ny = 2\n",
    ],
)
def test_ipython_syntax_becomes_python_line_for_line(body):
    source = transform_body(body)

    line = next(n for n, text in enumerate(body.splitlines(), start=1) if text == "y = 2")
    assert source.splitlines()[line - 1] == "y = 2"
    ast.parse(source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"run = {RUN}\n", f"run = {AWAITED}\n"),
        (f"'ü'; x = {RUN}; y = {RUN}\n", f"'ü'; x = {AWAITED}; y = {AWAITED}\n"),
        (f"if x:\n    {RUN}\nfor i in x:\n    r = {RUN}\n", f"if x:\n    {AWAITED}\nfor i in x:\n    r = {AWAITED}\n"),
        (f"r = await {RUN}\n", f"r = await {RUN}\n"),
        (f"def f():\n    return {RUN}\n", f"def f():\n    return {RUN}\n"),
        (f"f = lambda: {RUN}\n", f"f = lambda: {RUN}\n"),
        (f"class A:\n    r = {RUN}\n", f"class A:\n    r = {RUN}\n"),
        ("x = 'szal_run'\n", "x = 'szal_run'\n"),
        (
            "get_ipython().run_line_magic('szal_dag', 'szal_run')\n",
            "get_ipython().run_line_magic('szal_dag', 'szal_run')\n",
        ),
        (
            "get_ipython().run_line_magic('szal_resume', 'ab12')\n",
            "(await get_ipython().run_line_magic('szal_resume', 'ab12 --awaited'))\n",
        ),
    ],
)
def test_a_top_level_run_waits_by_itself_and_one_inside_a_function_is_left(before, after):
    assert "".join(waiting_transformer(lambda: True)(before.splitlines(keepends=True))) == after


def test_where_a_person_is_at_the_front_end_only_what_says_wait_is_awaited():
    source = f"a = {RUN}\nb = get_ipython().run_line_magic('szal_run', 'sales --wait')\n"

    assert await_magics(source, ast.parse(source), all_of_them=False) == (
        f"a = {RUN}\nb = (await get_ipython().run_line_magic('szal_run', 'sales --wait --awaited'))\n"
    )


def test_the_comment_spelling_is_the_magic_with_the_same_lines():
    assert spell_as_magic(["#| step: load --once\n", "x = 1\n"]) == ["%%szal_step load --once\n", "x = 1\n"]
    assert spell_as_magic(["x = 1\n"]) == ["x = 1\n"]
