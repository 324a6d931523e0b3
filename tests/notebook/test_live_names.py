from __future__ import annotations

import math
import os.path
from functools import lru_cache, partial

import numpy as np
import pytest

from szal_nb.analysis.surroundings import NotebookName
from szal_nb.notebook.live_names import LiveNames


def names_of(live, read=None, hidden=None):
    return dict(LiveNames(live, hidden or {}, read or {}))


def test_what_the_text_says_is_taken_where_the_object_agrees():
    def helper():
        return 1

    read = {"helper": NotebookName(kind="function", source="def helper():\n    return 1")}

    assert names_of({"helper": helper}, read) == read


def test_where_the_object_is_something_else_by_now_it_counts():
    read = {"x": NotebookName(kind="function", source="def x(): ..."), "m": NotebookName(kind="data")}

    assert names_of({"x": 3, "m": math}, read) == {
        "x": NotebookName(kind="data", made="int"),
        "m": NotebookName(kind="module", statement="import math as m"),
    }


@pytest.mark.parametrize(
    ("value", "read", "made"),
    [
        (3, "", "int"),
        (None, "", "None"),
        ([1], "", ""),
        ([1], "int", ""),
        ((1, 2), "tuple", "tuple"),
        (([1], 2), "", ""),
        (iter([1]), "", "iter"),
        ((n for n in [1]), "generator", "generator"),
        (np.float64(1), "", ""),
    ],
)
def test_what_cannot_change_or_is_used_up_is_told_from_the_object(value, read, made):
    found = names_of({"x": value}, {"x": NotebookName(kind="data", made=read)})

    assert found["x"].made == made


def test_names_that_came_without_text_are_judged_by_their_objects():
    live = {
        "p": os.path,
        "sqrt": math.sqrt,
        "root": math.sqrt,
        "half": partial(math.pow, 2),
        "d": {},
        "Cache": lru_cache,
    }

    assert names_of(live) == {
        "p": NotebookName(kind="module", statement=f"import {os.path.__name__} as p"),
        "sqrt": NotebookName(kind="module", statement="from math import sqrt"),
        "root": NotebookName(kind="module", statement="from math import sqrt as root"),
        "half": NotebookName(kind="callable"),
        "d": NotebookName(kind="data"),
        "Cache": NotebookName(kind="module", statement="from functools import lru_cache as Cache"),
    }


def test_what_ipython_itself_puts_there_is_not_the_notebooks():
    shell = object()
    live = {
        "In": [],
        "Out": {},
        "_": 1,
        "_3": 2,
        "_i3": "x",
        "__": 0,
        "exit": shell,
        "hidden": shell,
        "_mine": 5,
        "__x": 1,
        "_i": 0,
        "_oh": 0,
    }

    assert set(names_of(live, hidden={"hidden": shell, "_": None, "__": 0})) == {"_mine", "__x"}


NOTEBOOK = """
import functools

def make(n):
    def inner(x):
        return [n * x * rate for _ in range(x)]
    return inner

class Model:
    def rate(self):
        return rate
    @property
    def limit(self):
        return limit

closure = make(3)
bound = functools.partial(closure, 1)
model = Model()
method = model.rate
cached = functools.cache(make(4))
plain = [1]
"""


def test_code_in_objects_says_which_names_of_the_notebook_it_reads():
    live = {"__name__": "__main__"}
    exec(NOTEBOOK, live)
    found = names_of(live, {"model": NotebookName(kind="data")}, hidden={"__builtins__": live["__builtins__"]})

    reads = {name: [read for read in one.reads if read in ("rate", "limit")] for name, one in found.items()}
    assert {name: read for name, read in reads.items() if read} == {
        "make": ["rate"],
        "closure": ["rate"],
        "bound": ["rate"],
        "method": ["rate"],
        "cached": ["rate"],
        "model": ["rate", "limit"],
        "Model": ["rate", "limit"],
    }
