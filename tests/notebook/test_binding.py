from __future__ import annotations

import cmath
import math

from szal_nb.errors import ValueUnavailable
from szal_nb.notebook.binding import Binder, Bound
from szal_nb.notebook.own_names import OwnNames


class FakeRun:
    """A run whose steps have given these values, in document order."""

    id, flow = "r1", "f"

    def __init__(self, *given, gone=(), imports=None):
        self._given = given
        self._gone = gone
        self._imports = imports or {}

    def imports(self):
        return self._imports

    def names(self):
        return list(dict.fromkeys(name for _, name, _ in self._given))

    def deleted_names(self):
        return []

    def giver(self, wanted):
        return next(step for step, name, _ in reversed(self._given) if name == wanted)

    def place(self, wanted):
        return self.giver(wanted), wanted

    def last_value(self, step, name):
        if name in self._gone:
            raise ValueUnavailable(name, "it was live")
        return next(value for giver, given, value in self._given if (giver, given) == (step, name))


def test_values_are_bound_under_their_names_and_the_last_giver_in_document_order_wins():
    notebook = {"x": 0}
    binder = Binder(OwnNames(notebook), ["x", "y"])

    bound = binder.bind(FakeRun(("a", "x", 1), ("b", "x", 2), ("b", "y", 3)))

    assert notebook == {"x": 2, "y": 3}
    assert bound == Bound(run_id="r1", names=("x", "y"))
    assert str(bound) == ""


def test_of_runs_that_went_on_without_a_cell_between_them_the_last_one_gives_its_values():
    notebook = {}
    own = OwnNames(notebook)
    first, second = Binder(own, ["x"]), Binder(own, ["x"])

    bounds = [first.bind(FakeRun(("a", "x", 1))), second.bind(FakeRun(("a", "x", 2)))]

    assert notebook == {"x": 2}
    assert [str(bound) for bound in bounds] == ["", ""]


def test_a_name_that_the_notebook_re_bound_since_the_start_is_left_alone_and_named():
    notebook = {"x": 0}
    binder = Binder(OwnNames(notebook), ["x", "y"])
    notebook["x"] = 7
    notebook["y"] = 8

    bound = binder.bind(FakeRun(("a", "x", 1), ("a", "y", 2)))

    assert notebook == {"x": 7, "y": 8}
    assert "Left alone" in str(bound)
    assert "x, y" in str(bound)


def test_bind_forces_it():
    notebook = {"x": 0}
    binder = Binder(OwnNames(notebook), ["x"])
    notebook["x"] = 7

    binder.bind(FakeRun(("a", "x", 1)), force=True)

    assert notebook == {"x": 1}


def test_what_was_bound_once_may_be_bound_again():
    notebook = {}
    binder = Binder(OwnNames(notebook), ["x"])
    run = FakeRun(("a", "x", [1]))
    binder.bind(run)

    assert binder.bind(run) == Bound(run_id="r1", names=("x",))


def test_the_function_that_is_a_step_stays_callable_under_its_name():
    def load():
        return 1

    notebook = {"load": load}
    binder = Binder(OwnNames(notebook), ["load"], {"load": load})

    assert binder.bind(FakeRun(("load", "load", 1))) == Bound(run_id="r1")
    assert notebook["load"] is load


def test_a_value_that_is_gone_is_named():
    notebook = {}

    bound = Binder(OwnNames(notebook), ["x"]).bind(FakeRun(("a", "x", 1), gone={"x"}))

    assert (notebook, bound.unavailable) == ({}, ("x",))
    assert "Not to be had" in str(bound)


def test_what_steps_have_imported_the_notebook_has_imported():
    notebook = {"sqrt": "the notebook's own", "x": 1}
    own = OwnNames(notebook)
    imports = {
        "plot": "import math as plot",
        "sqrt": "from math import sqrt",
        "x": "import cmath as x",
        "gone": "import no_such_module as gone",
        "_own": "import cmath as _own",
    }
    bound = Binder(own, ["x"]).bind(FakeRun(("a", "x", 2), imports=imports))

    assert notebook == {"sqrt": "the notebook's own", "x": 2, "plot": math}
    assert (bound.names, str(bound)) == (("x",), "")
    Binder(own, []).bind(FakeRun(imports={"plot": "import cmath as plot"}))
    assert notebook["plot"] is cmath
