"""On a resume the recorded inputs count, also for classes and decorated functions, which find them in the notebook."""

from __future__ import annotations

import pytest

DEFINED = """import functools
class Reader:
    def go(self):
        return config[0]
def plain(fn):
    @functools.wraps(fn)
    def inner():
        return fn()
    return inner
@plain
def decorated():
    return config[0]
reader = Reader()"""
STEP = "{name} = [Reader().go(), decorated(), reader.go(), config[0]]"


@pytest.mark.serial
def test_code_of_the_notebook_finds_the_recorded_input(notebook):
    """`resume` runs the snapshot, recorded inputs win over re-executed cells."""
    notebook.ok("import builtins\nbuiltins.now = 1\nbuiltins.is_broken = True")
    notebook.ok("config = [builtins.now]", cell_id="config")
    notebook.ok(DEFINED, cell_id="defined")
    notebook.step("one", STEP.format(name="a"))
    notebook.step("two", STEP.format(name="b") + "\nassert not builtins.is_broken")
    assert notebook.cell("run = %szal_run\nawait run").error
    notebook.ok("builtins.now = 2\nbuiltins.is_broken = False")
    notebook.ok("config = [builtins.now]", cell_id="config")
    notebook.ok(DEFINED, cell_id="defined")
    notebook.ok("run = %szal_resume\nawait run")

    assert notebook.value("(a, b)") == ([1, 1, 1, 1], [1, 1, 1, 1])


@pytest.mark.serial
def test_so_it_does_in_a_step_that_is_a_function(notebook):
    notebook.ok("config = [1]", cell_id="config")
    notebook.ok(DEFINED, cell_id="defined")
    notebook.ok("@szal.step\ndef one():\n    return [Reader().go(), decorated(), config[0]]", cell_id="one")
    notebook.ok("run = %szal_run -p config [7]\nawait run")

    assert notebook.value("(run.values.one, config, Reader().go())") == ([7, 7, 7], [1], 1)


@pytest.mark.serial
def test_code_of_the_notebook_finds_the_parameter_that_a_run_was_given(notebook):
    notebook.ok("config = [1]", cell_id="config")
    notebook.ok(DEFINED, cell_id="defined")
    notebook.step("one", STEP.format(name="a"))
    notebook.ok("run = %szal_run -p config [7]\nawait run")
    first = notebook.value("a")
    notebook.ok("run = %szal_run\nawait run")

    assert first == [7, 7, 7, 7]
    assert notebook.value("a") == [1, 1, 1, 1]
