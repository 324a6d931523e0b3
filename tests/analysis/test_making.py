"""Table: expressions of a notebook's plain cells, and what they are told to make."""

from __future__ import annotations

import ast

import pytest

from szal_nb.analysis.making import kind_made
from szal_nb.analysis.surroundings import NotebookName

NAMES = {
    "seed": NotebookName("data", made="int"),
    "rows": NotebookName("data"),
    "csv": NotebookName("module", statement="import csv"),
    "it": NotebookName("module", statement="import itertools as it"),
    "reader": NotebookName("module", statement="from csv import reader"),
    "map": NotebookName("function", source="def map(): ..."),
}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3", "int"),
        ("-3", "int"),
        ("True", "bool"),
        ("None", "None"),
        ("...", ""),
        ("60 * 60 * 1.5", "float"),
        ("'a' + 'b'", "str"),
        ("'a' * 3", ""),
        ("f'{rows}'", "str"),
        ("seed", "int"),
        ("seed + 1", "int"),
        ("rows", ""),
        ("rows + 1", ""),
        ("-rows", ""),
        ("(1, 'a', (2, 3))", "tuple"),
        ("(1, rows)", ""),
        ("[1]", ""),
        ("int(rows)", "int"),
        ("str(rows)", "str"),
        ("len(rows)", "int"),
        ("range(3)", "range"),
        ("open('x')", "file"),
        ("iter(rows)", "iter"),
        ("(row for row in rows)", "generator"),
        ("csv.reader(rows)", "csv.reader"),
        ("reader(rows)", "csv.reader"),
        ("it.count()", "itertools.count"),
        ("map(rows)", ""),
        ("rows.iter()", ""),
        ("made()()", ""),
    ],
)
def test_the_kind_of_what_cannot_change_or_is_used_up(text, kind):
    assert kind_made(ast.parse(text, mode="eval").body, NAMES) == kind
