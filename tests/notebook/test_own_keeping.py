"""What functions and classes keep from call to call is, when a flow runs again, what the notebook's cells left in them."""

from __future__ import annotations

import pytest

RUN = "run = %szal_run\nawait run"
DEFINED = "def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)\nclass C:\n    made = []"


@pytest.fixture
def keeping(notebook):
    notebook.ok(DEFINED, cell_id="defined")
    notebook.step("one", "a = f(1)\nC.made.append(1)")
    notebook.step("two", "b = f(2)\nc = list(C.made)")
    return notebook


@pytest.mark.serial
def test_a_second_run_begins_with_what_the_first_began_with(keeping):
    keeping.ok(RUN)
    first = keeping.value("(a, b, c, f.__defaults__)")
    keeping.ok(RUN)
    keeping.ok(DEFINED, cell_id="defined")
    keeping.ok(RUN)

    assert first == ([1], [1, 2], [1], ([1, 2],))
    assert keeping.value("(a, b, c)") == ([1], [1, 2], [1])


@pytest.mark.serial
def test_what_a_cell_has_changed_after_a_run_is_refused_with_advice(keeping):
    keeping.ok(RUN)
    keeping.ok("f(3)")
    error = str(keeping.cell(RUN).error)

    assert "default of f(acc=…): changed by a run, and by a cell since then" in error
    assert "execute the cell that defines f again" in error


@pytest.mark.serial
def test_a_resume_in_the_same_kernel_goes_on_where_the_record_ends(keeping):
    keeping.ok("import builtins\nbuiltins.is_broken = True")
    keeping.step("three", "d = f(4)\nimport builtins\nassert not builtins.is_broken")
    assert keeping.cell(RUN).error
    keeping.ok("builtins.is_broken = False")
    keeping.ok("run = %szal_resume\nawait run")

    assert keeping.value("(a, b, d)") == ([1], [1, 2], [1, 2, 4])


REMEMBERED = """import functools
@functools.cache
def load():
    return [1]
@functools.lru_cache
def double(x):
    return 2 * x
def counted(fn):
    n = 0
    def inner():
        nonlocal n
        n += 1
        return n
    return inner
@counted
def count():
    pass"""


@pytest.fixture
def remembering(notebook):
    notebook.ok(REMEMBERED, cell_id="defined")
    notebook.step("one", "load().append(double(1))\na = list(load())\nn = count()")
    notebook.step("two", "load().append(3)\nb = list(load())\nm = count()\ninfo = double.cache_info().misses")
    return notebook


@pytest.mark.serial
def test_a_second_run_begins_with_caches_as_the_cells_left_them(remembering):
    remembering.ok(RUN)
    first = remembering.value("(a, b, n, m, info)")
    remembering.ok(RUN)

    assert first == ([1, 2], [1, 2, 3], 1, 2, 1)
    assert remembering.value("(a, b, n, m, info)") == first


@pytest.mark.serial
def test_a_cache_that_a_cell_had_filled_is_no_other_for_the_first_run_only(remembering):
    remembering.ok("mine = load()")
    remembering.ok(RUN)
    error = str(remembering.cell(RUN).error)

    assert remembering.value("(a, b, mine is load())") == ([1, 2], [1, 2, 3], True)
    assert "memory of load: changed by a run" in error
    assert "execute the cell that defines load again" in error
    remembering.ok(REMEMBERED, cell_id="defined")
    remembering.ok(RUN)
    assert remembering.value("b") == [1, 2, 3]


@pytest.mark.serial
def test_a_resume_in_the_same_kernel_fills_caches_anew(remembering):
    remembering.ok("import builtins\nbuiltins.is_broken = True")
    remembering.step("three", "c = list(load())\nimport builtins\nassert not builtins.is_broken")
    assert remembering.cell(RUN).error
    remembering.ok("builtins.is_broken = False")
    remembering.ok("run = %szal_resume\nawait run")

    assert remembering.value("(a, b, c)") == ([1, 2], [1, 2, 3], [1, 2, 3])
