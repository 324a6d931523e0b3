"""A resumed run gives what an uncut one gives, also where values were live and must be made again."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from szal_nb.errors import ReplayError, StoreError
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow, everything

# What is waiting cannot be stored, so the queue is live.
NOTEBOOK = "import queue"
QUEUE = "waiting = queue.Queue()\nwaiting.put(1)"


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.mark.parametrize(
    ("cells", "again"),
    [
        ({"make": QUEUE, "more": "waiting.put(2)", "end": "n = waiting.qsize()"}, ["make", "more", "end"]),
        (
            {"make": f"{QUEUE}\nsame = waiting", "more": "same.put(2)", "end": "n = waiting.qsize()"},
            ["make", "more", "end"],
        ),
        (
            {"make": f"{QUEUE}\nholder = [waiting]", "more": "holder[0].put(2)", "end": "n = waiting.qsize()"},
            ["make", "more", "end"],
        ),
        ({"make": f"{QUEUE}\nk = 4", "more": "k = k + 1", "end": "n = waiting.qsize() + k"}, ["make", "end"]),
    ],
    ids=["same name", "another name", "inside", "another value"],
)
def test_who_changed_a_live_value_runs_again_with_who_made_it(cells, again, store):
    expected = CellFlow(cells, notebook=NOTEBOOK).run(store)

    flow = CellFlow(cells, notebook=NOTEBOOK)
    flow.fails = {"end"}
    cut = flow.run(store)
    flow.fails = set()
    resumed = flow.resume(store, cut.id)

    assert (resumed.state, resumed.values.n) == ("completed", expected.values.n)
    assert flow.deeds == again
    assert everything(resumed)["recorded"]["end"] == everything(expected)["recorded"]["end"]


def test_a_step_that_must_not_run_twice_and_changed_a_live_value_is_not_passed_over(store):
    cells = {"make": f"{QUEUE}\nsame = waiting", "more --once": "same.put(2)", "end": "n = waiting.qsize()"}
    flow = CellFlow(cells, notebook=NOTEBOOK)
    flow.fails = {"end"}
    cut = flow.run(store)
    flow.fails = set()

    with pytest.raises(ReplayError, match="'end' needs what step 'more' gave or changed"):
        flow.resume(store, cut.id)


def test_a_condition_reads_the_output_of_a_step_also_after_a_resume(store):
    cells = {
        "count": "rows = [1, 2, 3]",
        "shown": "_a = 2\n_a + 2",
        "two": "p = 1\nq = 2",
        "stop": "x = 1",
        "many --after stop --when 'len(steps.count.output) > 2 && steps.shown.output + 1 == steps.two.output.q + 3'": (
            "y = 1"
        ),
        "few --after stop --when 'len(steps.count.output) < 2'": "z = 1",
        "gone --after stop --when 'steps.few.output == null'": "w = 1",
    }
    flow = CellFlow(cells)
    flow.fails = {"stop"}
    cut = flow.run(store)
    flow.fails = set()

    for run in (flow.resume(store, cut.id), flow.run(store)):
        states = {name: step.state for name, step in run.steps.items()}
        assert (states["many"], states["few"], states["gone"]) == ("completed", "skipped", "completed")


def test_a_value_that_only_a_condition_reads_is_needed():
    (count, _) = CellFlow({"count": "rows = [1]", "many --when 'steps.count.output != null'": "y = 1"}).graph().nodes

    assert count.needed == ("rows",)


def test_another_name_for_a_module_is_there_for_other_steps_also_after_a_resume(store):
    cells = {"a": "import numpy as np\nxp = np", "b": "y = float(xp.ones(2).sum())"}
    flow = CellFlow(cells)
    flow.fails = {"b"}
    cut = flow.run(store)
    flow.fails = set()

    assert flow.resume(store, cut.id).values.y == flow.run(store).values.y == 2.0


def test_a_run_whose_record_could_not_be_written_is_resumed_by_the_same_process(tmp_path):
    """Free some space, then resume the run."""
    path = tmp_path / "runs.db"
    refuse = (
        "CREATE TRIGGER full_events BEFORE INSERT ON turns BEGIN SELECT raise(ABORT, 'disk full'); END;"
        "CREATE TRIGGER full_runs BEFORE UPDATE ON runs BEGIN SELECT raise(ABORT, 'disk full'); END;"
    )
    cells = {"load": "x = [1]", "fill --after load": f"open_file({refuse!r})", "total --after fill": "t = sum(x)"}
    notebook = f"import contextlib, sqlite3\ndef open_file(sql):\n    with contextlib.closing(sqlite3.connect({str(path)!r})) as c:\n        c.executescript(sql)"
    flow = CellFlow(cells, notebook=notebook)
    with RunStore.open(path) as store:
        with pytest.raises(StoreError, match="disk full"):
            flow.run(store)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("DROP TRIGGER full_events; DROP TRIGGER full_runs")
        (left,) = store.runs()

        ended = CellFlow({**cells, "fill --after load": "pass"}, notebook=notebook).resume(store, left.id)

    assert (ended.state, ended.values.t) == ("completed", 1)
    assert ended.snapshot.steps["load"].attempt == 1
