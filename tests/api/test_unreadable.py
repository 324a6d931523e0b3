"""A run goes on though what is on record cannot be read here any more: who gave it runs again, and that is said."""

from __future__ import annotations

import sys
import types

import pytest

from szal_nb.errors import ReplayError
from szal_nb.notebook.going_on import say_going_on
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

THEN = "class Model:\n    def __init__(self, a): self.a = a"
NOW = "class Net:\n    def __init__(self, a): self.a = a\ndef Model(a): return Net(a)"
FIT, TELL = "import lib\nmodel = lib.Model([3])", "told = model.a"


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.fixture
def lib(monkeypatch):
    """A module with a class."""
    lib = types.ModuleType("lib")
    exec(THEN, lib.__dict__)
    monkeypatch.setitem(sys.modules, "lib", lib)
    return lib


def cut(store, cells, *fails, **settings):
    """A flow of cells with its run, in which these steps have failed."""
    flow = CellFlow(cells, **settings)
    flow.packages, flow.fails = {"lib": "1"}, set(fails)
    run = flow.run(store)
    flow.fails = set()
    return flow, run.id


def upgrade(lib, flow, *, is_recorded=True):
    """The class is none in its next version, which is known as such if its package is an installed one."""
    exec(NOW, lib.__dict__)
    flow.packages = {"lib": "2"} if is_recorded else {}


def test_who_gave_what_an_upgraded_package_cannot_read_runs_again(store, lib, capsys):
    flow, run = cut(store, {"fit": FIT, "beside": "x = 1", "tell": TELL}, "tell")
    upgrade(lib, flow)

    again = flow.resume(store, run, on_plan=say_going_on)

    assert (again.state, again.values.told, flow.deeds) == ("completed", [3], ["fit", "tell"])
    assert type(again.values.model) is lib.Net
    assert "or cannot be read here: fit." in capsys.readouterr().out


def test_what_nobody_reads_again_stays_as_it_is(store, lib):
    flow, run = cut(store, {"fit": FIT, "tell": "told = model.a[0]", "last": "n = told"}, "last")
    upgrade(lib, flow)

    assert (flow.resume(store, run).state, flow.deeds) == ("completed", ["last"])


def test_where_nobody_knew_the_step_says_so_and_the_next_resume_goes_on(store, lib):
    flow, run = cut(store, {"fit": FIT, "tell": TELL}, "tell")
    upgrade(lib, flow, is_recorded=False)

    error = flow.resume(store, run)["tell"].error

    assert (flow.deeds, error.type) == ([], "ValueUnreadable")
    assert error.message == (
        "The value 'model' cannot be loaded: reading it failed with ValueError: NEWOBJ class argument must be a type, not "
        "function. A package may be another than it was. Resume the run, which runs the step that gave it again (of a run "
        "that has completed: szal fork RUN --from STEP)."
    )
    assert (flow.resume(store, run).values.told, flow.deeds) == ([3], ["fit", "tell"])


def test_a_step_that_must_not_run_twice_is_not_run_again(store, lib):
    flow, run = cut(store, {"fit --once": FIT, "tell": TELL}, "tell")
    upgrade(lib, flow)

    with pytest.raises(ReplayError, match="'fit' gave .* marked --once"):
        flow.resume(store, run)
    assert flow.deeds == []


def test_what_was_recorded_together_with_it_is_made_again_too(store, lib):
    """A resumed run equals an uncut one."""
    cells = {
        "fit": "import lib\nrows = [3]\nmodel = lib.Model(rows)",
        "add": "rows.append(4)",
        "tell": "told = [model.a, model.a is rows]",
    }
    flow, run = cut(store, cells, "tell")
    upgrade(lib, flow)

    assert (flow.resume(store, run).values.told, flow.deeds) == ([[3, 4], True], ["fit", "add", "tell"])


def test_where_nobody_knew_that_no_step_goes_on_without_it(store, lib):
    """What was recorded together with others is read before anything runs; each alone it would be two objects."""
    cells = {"fit": "import lib\nrows = [3]\nmodel = lib.Model(rows)", "add": "rows.append(4)"}
    flow, run = cut(store, {**cells, "beside": "x = 1", "tell --retries 2": "told = rows[:]"}, "tell", "beside")
    upgrade(lib, flow, is_recorded=False)

    failed = flow.resume(store, run)

    assert {name: step.error.type for name, step in failed.steps.items() if step.error} == dict.fromkeys(
        ["beside", "tell"], "ValueUnreadable"
    )
    assert "rows' cannot be loaded: reading it failed" in failed["tell"].error.message
    assert (flow.resume(store, run).values.told, sorted(flow.deeds)) == ([3, 4], ["add", "beside", "fit", "tell"])


def test_an_input_of_the_run_is_what_the_notebook_has(store, lib):
    flow, run = cut(store, {"tell": TELL}, "tell", notebook=FIT)
    upgrade(lib, flow)
    flow.space["model"] = lib.Net([3])

    assert flow.resume(store, run).values.told == [3]


def test_an_input_that_the_notebook_has_not_is_asked_for(store, lib):
    flow, run = cut(store, {"tell": TELL}, "tell", notebook=FIT)
    upgrade(lib, flow)
    del flow.space["model"]

    with pytest.raises(
        ReplayError, match="Input 'model' is needed again .* because reading it failed with .* Give it anew"
    ):
        flow.resume(store, run)


def test_the_class_of_what_it_holds_may_be_a_step_s(store, lib):
    cells = {"kind": "import lib\nclass Own(lib.Model):\n    pass", "make": "own = Own(3)", "tell": "told = own.a"}
    flow, run = cut(store, cells, "tell")
    del lib.Model
    lib.Model = type("Model", (), {"__init__": lambda self, a: setattr(self, "a", a), "__module__": "elsewhere"})
    flow.packages = {"lib": "2"}

    assert flow.resume(store, run).values.told == 3
