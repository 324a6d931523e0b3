"""A flow that runs again in a kernel begins where a notebook that is run from the top would."""

from __future__ import annotations

import pytest

from szal_nb.errors import InvalidParameter, UnknownRun
from szal_nb.notebook.own_names import OwnNames

pytestmark = pytest.mark.serial

RUN = "run = %szal_run\nawait run"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_second_run_gives_what_the_first_gave(notebook, times):
    notebook.ok("count = 0\nxs = [1]\nholder = {'xs': xs}")
    notebook.step("next", "count = count + 1")
    notebook.step("more", "xs.append(count)\nlast = xs[-1]")
    notebook.step("look", "seen = (holder['xs'] is xs, list(holder['xs']))")

    for _ in range(times):
        notebook.ok(RUN)

    assert notebook.value("count, xs, last, seen") == (1, [1, 1], 1, (True, [1, 1]))


def test_what_a_cell_binds_anew_is_what_the_next_run_takes(notebook):
    notebook.ok("amount = 1\nitems = [1]", cell_id="top-of-own")
    notebook.step("double", "amount = amount * 2\nitems.append(amount)")
    notebook.ok(RUN)

    notebook.ok("amount = 2\nitems = [5]", cell_id="top-of-own")
    notebook.ok(RUN)

    # 2 is what the run had bound, too: the cell counts.
    assert notebook.value("amount, items") == (4, [5, 4])


def test_an_input_that_a_run_and_then_a_cell_changed_is_refused_with_advice(notebook):
    notebook.ok("stock = [1]")
    notebook.step("sell", "stock.append(2)")
    notebook.ok(RUN)

    notebook.ok("stock.append(3)")
    error = notebook.cell(RUN).error

    assert "stock: changed in place by run" in error
    assert "execute the cell that makes it again" in error
    notebook.ok("stock = [1]")
    notebook.ok(RUN)
    assert notebook.value("stock") == [1, 2]


def test_an_input_that_cannot_be_stored_is_named_when_it_is_taken_as_it_was_left(notebook):
    notebook.ok("queue = (n for n in range(9))")
    notebook.step("first --changes queue", "head = next(queue)")
    notebook.ok(RUN)

    said = notebook.ok(RUN).text

    assert "could not be stored before: queue" in said
    assert notebook.value("head") == 1


def test_a_name_that_only_a_step_below_gives_is_refused_after_a_run_has_bound_it_too(notebook):
    notebook.step("giver", "later = 5", cell_id="giver-cell")
    notebook.ok(RUN)
    assert notebook.value("later") == 5

    notebook.cell("pass", deleted=("giver-cell",))
    notebook.step("above", "taken = later")
    notebook.step("giver", "later = 6")

    error = notebook.cell(RUN).error
    assert "'later'" in error
    assert "which only step 'giver' further down gives" in error


def test_a_function_that_a_step_defines_anew_is_the_notebooks_for_the_steps_above(notebook):
    notebook.ok("def price(n):\n    return n")
    notebook.step("before", "first_price = price(1)")
    notebook.step("define", "def price(n):\n    return n * 100")
    notebook.step("after", "then_price = price(1)")

    for _ in range(2):
        notebook.ok(RUN)
        assert notebook.value("first_price, then_price") == (1, 100)


def test_what_a_run_of_another_flow_has_bound_is_the_notebooks_own():
    own = OwnNames({"x": 0})

    own.bind("first", "x", 1)

    assert (own.of("first")["x"], own.of("second")["x"]) == (0, 1)
    assert dict(own.of("first")) == {"x": 0}


def test_a_name_that_was_not_there_is_not_there_for_the_next_run():
    own = OwnNames({})

    own.bind("f", "x", 1)
    own.bind("f", "x", 2)

    assert "x" not in own.of("f")
    assert own.namespace == {"x": 2}
    own.executed(["x"])
    assert own.of("f")["x"] == 2


class GoneRecord:
    """A record whose run has been deleted."""

    def inputs(self, run_id):
        raise UnknownRun(run_id, "runs.db")

    def loader(self, run_id):
        raise UnknownRun(run_id, "runs.db")


def test_a_changed_input_whose_record_is_gone_is_refused_with_advice():
    rows = [1]
    own = OwnNames({"rows": rows})
    own.changed("f", {"rows": rows}, "r1", GoneRecord())

    with pytest.raises(InvalidParameter, match="rows: changed in place by run r1, .*Execute the cell that makes it"):
        own.as_they_were({"rows": rows})
    assert own.as_they_were({"rows": [2]}) == ({"rows": [2]}, [])


def test_what_a_step_deletes_is_gone_after_the_run_and_there_for_the_next(notebook):
    notebook.ok("raw = [1, 2]")
    notebook.step("load", "rows = [*raw]\nspare = 1")
    notebook.step("free", "del raw, rows")
    notebook.step("again", "rows = [3]\nkept = len(rows)")

    for _ in range(2):
        notebook.ok(RUN)
        assert notebook.value("'raw' in globals(), rows, spare, kept") == (False, [3], 1, 1)
        assert notebook.value("hasattr(run.values, 'raw'), run.values.rows") == (False, [3])
