"""In a notebook whose cells have changed: what is taken of earlier runs, and how a run gets to the next version."""

from __future__ import annotations

import pytest

RUN = "run = %szal_run\nawait run"
REUSE = "run = %szal_run --reuse\nawait run"
AREA = "class K:\n    def __init__(self, n):\n        self.n = n\n    def area(self):\n        return self.n * {by}"


@pytest.mark.serial
def test_a_step_runs_again_when_methods_of_what_it_reads_have_changed(notebook):
    notebook.ok(AREA.format(by=2), cell_id="class")
    notebook.ok("ks = [K(3)]", cell_id="instances")
    notebook.step("one", "v = ks[0].n")
    notebook.step("two", "a = sum(k.area() for k in ks)")
    notebook.ok(RUN)
    notebook.ok(AREA.format(by=2) + "   # as it was", cell_id="class")
    notebook.ok("ks = [K(3)]", cell_id="instances")
    same = notebook.ok(REUSE).text
    notebook.ok(AREA.format(by=5), cell_id="class")
    notebook.ok("ks = [K(3)]", cell_id="instances")
    other = notebook.ok(REUSE).text

    assert "one, two" in same.partition("\n")[0], same
    assert "changed: value ks" in other, other
    assert notebook.value("a") == 15


@pytest.mark.serial
def test_a_step_runs_again_when_what_the_notebook_assigned_to_a_function_has_changed(notebook):
    notebook.ok("def f(x):\n    return x * f.by", cell_id="function")
    notebook.ok("f.by = 2", cell_id="attribute")
    notebook.step("one", "a = f(1)")
    notebook.step("two", "b = 1")
    notebook.ok(RUN)
    notebook.ok("f.by = 2", cell_id="attribute")
    same = notebook.ok(REUSE).text
    notebook.ok("f.by = 3", cell_id="attribute")
    other = notebook.ok(REUSE).text

    assert "one, two" in same.partition("\n")[0], same
    assert "changed: attributes of f" in other, other
    assert (notebook.value("a"), notebook.value("b")) == (3, 1)


@pytest.mark.serial
def test_a_migrated_run_goes_on_in_the_kernel_with_what_its_inputs_share_and_its_functions_kept(notebook):
    notebook.ok("%szal_flow sales --version 1", cell_id="flow")
    notebook.ok("def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)\nrows = [[1], [2]]\nfirst = rows[0]")
    notebook.step("grow", "first.append(3)\ng = f(1)")
    notebook.step("look --after grow", "seen = str(rows), f(2)")
    notebook.step("end", "e = seen / 0", cell_id="end")
    assert notebook.cell(RUN).error
    notebook.ok("%szal_flow sales --version 2", cell_id="flow")
    notebook.step("end", "e = seen, f(3)", cell_id="end")
    notebook.ok("%szal_migrate apply {run.id}")
    notebook.ok("run = %szal_resume\nawait run")

    assert notebook.value("run.snapshot.version") == 2
    assert notebook.value("e") == (("[[1, 3], [2]]", [1, 2]), [1, 2, 3])
