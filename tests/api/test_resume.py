"""A resumed run gives what an uncut one gives, also where values were live and must be made again."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import closing

import pytest

from szal_nb.api.launch import Surround, start_run
from szal_nb.engine import ties
from szal_nb.engine.digest import deep_digest
from szal_nb.engine.hidden import HiddenStates
from szal_nb.engine.replay import plan_resume
from szal_nb.engine.watch import Watch
from szal_nb.errors import ReplayError, RunError, StoreError
from szal_nb.model.event import RunCompleted, RunResumed, StepCompleted, StepStarted
from szal_nb.model.value import rebuilt_on_resume
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


def cut_and_resumed(store, cells, *cuts, notebook=NOTEBOOK):
    """A run that stopped before each of the steps in `cuts`, and went on each time; with the steps that then ran."""
    flow = CellFlow(cells, notebook=notebook)
    flow.fails = {cuts[0]}
    run, deeds = flow.run(store), []
    for cut in (*cuts[1:], None):
        flow.fails = set() if cut is None else {cut}
        run = flow.resume(store, run.id)
        deeds.append([step for step in flow.deeds if step not in flow.fails])
    return run, deeds


BESIDE = {
    "make": f"{QUEUE}\nxs = [1]\nys = xs",
    "grow": "xs.append(2)",
    "more": "waiting.put(2)",
    "end": "n = waiting.qsize()\nsame = xs is ys\nxs.append(n)",
    "last": "t = list(ys)",
}


def test_what_a_rebuilt_step_gave_beside_a_live_value_stays_as_it_is_on_record(store):
    run, deeds = cut_and_resumed(store, BESIDE, "end")

    assert deeds == [["make", "more", "end", "last"]]
    assert (run.values.same, run.values.t) == (True, [1, 2, 2])


@pytest.mark.parametrize("cut", ["make", "more", "end", "last"])
def test_a_resume_that_is_cut_itself_goes_on_from_the_same_record(store, cut):
    run, _ = cut_and_resumed(store, BESIDE, "end", cut, cut)

    assert (run.state, run.values.n, run.values.same, run.values.t) == ("completed", 2, True, [1, 2, 2])
    assert [len(step.attempts) for step in run.snapshot.steps.values()].count(1) >= 1
    assert run.snapshot.steps["grow"].attempt == 1


TIED = {
    "make": "xs = [1]\nwaiting = queue.Queue()\nwaiting.put(xs)",
    "grow": "xs.append(2)",
    "hold": "held = [xs]",
    "read": "k = len(xs)",
    "end": "n = waiting.get()\nxs.append(3)\nt = (n, held, held[0] is n, k)",
}


def test_what_shares_parts_with_a_live_value_is_made_again_with_it(store):
    run, deeds = cut_and_resumed(store, TIED, "end")

    assert deeds == [["make", "grow", "hold", "end"]]
    assert run.values.t == ([1, 2, 3], [[1, 2, 3]], True, 2)
    rebuilds = {name: bool(rebuilt_on_resume(step.values)) for name, step in run.snapshot.steps.items()}
    assert rebuilds == {"make": True, "grow": True, "hold": True, "read": False, "end": True}


def test_what_shares_parts_with_a_live_value_is_not_made_again_for_nothing(store):
    cells = {**TIED, "end": "t = (xs, held[0] is xs)"}
    run, deeds = cut_and_resumed(store, cells, "end")

    assert deeds == [["end"]]
    assert run.values.t == ([1, 2], True)


def test_what_a_live_value_holds_is_gone_through_only_for_steps_that_may_share_it(store, monkeypatch):
    looks = []
    monkeypatch.setattr(ties, "deep_digest", lambda value: looks.append(value) or deep_digest(value))
    numbers = {f"n{k}": f"n{k} = waiting.qsize() + {k}" for k in range(20)}
    CellFlow({"make": QUEUE, **numbers, "hold": "held = [waiting]", "end": "n = len(held)"}, notebook=NOTEBOOK).run(
        store
    )

    # One for `make`, two for `hold`, which gives a second one.
    assert len(looks) == 3


def test_a_step_that_must_not_run_twice_and_built_on_a_live_value_is_not_passed_over(store):
    cells = {("hold --once" if name == "hold" else name): cell for name, cell in TIED.items()}
    with pytest.raises(ReplayError, match="'end' needs what step 'hold' gave or changed"):
        cut_and_resumed(store, cells, "end")


TIMES = "import queue\nimport itertools\ntimes = itertools.count()\ndef now():\n    return next(times)"


def test_a_value_that_comes_out_otherwise_is_taken_from_the_record_and_the_log_says_so(store):
    cells = {"make": f"{QUEUE}\nbegan = now()", "read": "k = began", "end": "t = (waiting.qsize(), began, k)"}
    run, deeds = cut_and_resumed(store, cells, "end", notebook=TIMES)

    assert deeds == [["make", "end"]]
    assert run.values.t == (1, 0, 0)
    assert "began: not what is on record this time" in run["make"].logs


def test_a_value_that_comes_out_otherwise_and_shares_parts_with_a_live_one_fails_the_run(store):
    cells = {
        "make": f"{QUEUE}\nbegan = [now()]\nwaiting.put(began)",
        "read": "k = began[0]",
        "end": "t = waiting.get()",
    }
    run, deeds = cut_and_resumed(store, cells, "end", notebook=TIMES)

    assert (run.state, deeds) == ("failed", [["make"]])
    assert "'began' is not what is on record" in run["make"].error.message
    assert "Start a new run with --reuse" in run["make"].error.message


def test_a_rebuilt_step_reads_what_it_read_the_first_time(store):
    cells = {
        "first": "import numpy as np\narr = np.arange(4.0)\nview = arr[:2]\nacc = []",
        "make": "rows = iter(view.tolist())\nacc.append(1)\nmine = iter(acc[:])",
        "grow": "arr[0] += 10\nacc.pop()",
        "end": "t = (list(rows), list(mine), view.tolist(), acc)",
    }
    run, deeds = cut_and_resumed(store, cells, "end")

    assert deeds == [["make", "end"]]
    assert run.values.t == ([0.0, 1.0], [1], [10.0, 1.0], [])


def test_what_runs_waits_for_a_rebuilt_step_as_it_did_before(store):
    """Between the two is only a step that is kept."""
    cells = {
        "make": f"{QUEUE}\na = random.random()",
        "middle": "b = random.random()",
        "end": "c = random.random()",
        "use": "t = waiting.qsize()",
    }
    notebook = "import queue\nimport random\nrandom.seed(3)"
    expected = CellFlow(cells, notebook=notebook).run(store)
    flow = CellFlow(cells, notebook=notebook)
    flow.fails = {"end", "use"}
    cut = flow.run(store)
    flow.fails = set()
    run = flow.resume(store, cut.id)

    assert set(flow.deeds) == {"make", "end", "use"}
    assert [run.values[name] for name in "abct"] == [expected.values[name] for name in "abct"]
    steps = run.snapshot.steps
    assert steps["make"].attempts[-1].ended_at <= steps["end"].attempts[-1].started_at


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
        "CREATE TRIGGER full_turns BEFORE INSERT ON turns BEGIN SELECT raise(ABORT, 'disk full'); END;"
        "CREATE TRIGGER full_runs BEFORE UPDATE ON runs BEGIN SELECT raise(ABORT, 'disk full'); END;"
    )
    cells = {"load": "x = [1]", "fill --after load": f"open_file({refuse!r})", "total --after fill": "t = sum(x)"}
    notebook = f"import contextlib, sqlite3\ndef open_file(sql):\n    with contextlib.closing(sqlite3.connect({str(path)!r})) as c:\n        c.executescript(sql)"
    flow = CellFlow(cells, notebook=notebook)
    with RunStore.open(path) as store:
        with pytest.raises(StoreError, match="disk full"):
            flow.run(store)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("DROP TRIGGER full_turns; DROP TRIGGER full_runs")
        (left,) = store.runs()

        ended = CellFlow({**cells, "fill --after load": "pass"}, notebook=notebook).resume(store, left.id)

    assert (ended.state, ended.values.t) == ("completed", 1)
    assert ended.snapshot.steps["load"].attempt == 1


OVERTAKEN = {
    "a view": ({"make": "import numpy as np\narr = np.arange(4.0)\nview = arr[:2]", "seen": "seen = view.tolist()",
                "grow": "arr[0] += 1"}, [0.0, 1.0]),
    "another name": ({"make": "xs = [1]\nys = xs", "seen": "seen = list(ys)", "grow": "xs.append(2)"}, [1]),
    "the same name": ({"make": "xs = [1]", "seen": "seen = list(xs)", "grow": "xs.append(2)"}, [1]),
    "an input": ({"seen": "seen = list(given)", "grow": "given.append(2)"}, [1]),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "seen"), OVERTAKEN.values(), ids=OVERTAKEN)
def test_a_step_that_failed_reads_what_it_should_have_read_though_others_have_changed_it_since(cells, seen, store):
    run, deeds = cut_and_resumed(store, cells, "seen", notebook="given = [1]")

    assert deeds == [["seen"]]
    assert run.values.seen == seen


@pytest.mark.parametrize(("cells", "seen"), OVERTAKEN.values(), ids=OVERTAKEN)
def test_so_does_one_that_is_tried_again_in_the_same_process(cells, seen, store):
    async def retried():
        flow = CellFlow(cells, notebook="given = [1]")
        flow.fails = {"seen"}
        graph = flow.graph()
        inputs = {name: flow.space[name] for name in graph.inputs}
        run = start_run(graph, flow.bodies(graph), inputs, Surround(store=store))
        await run.wait()
        flow.fails = set()
        run.retry("seen")
        await run.wait()
        return run

    assert asyncio.run(retried()).values.seen == seen


def test_without_a_record_such_a_step_cannot_be_tried_again():
    async def retried():
        flow = CellFlow({"make": "xs = [1]", "seen": "seen = list(xs)", "grow": "xs.append(2)"})
        flow.fails = {"seen"}
        graph = flow.graph()
        run = start_run(graph, flow.bodies(graph), {}, Surround())
        await run.wait()
        run.retry("seen")

    with pytest.raises(RunError, match="reads xs, which step 'grow' has changed in place since"):
        asyncio.run(retried())


def test_a_step_that_failed_cannot_give_a_part_of_what_others_have_changed_since(store):
    cells = {"make": "xs = [1]\nys = xs", "seen": "seen = [ys]", "grow": "xs.append(2)"}
    run, _ = cut_and_resumed(store, cells, "seen")

    assert run.state == "failed"
    assert "gave 'seen', which shares parts with 'ys'" in run["seen"].error.message
    assert "Start a new run with --reuse" in run["seen"].error.message


def test_random_numbers_that_were_drawn_too_early_are_told_of_in_the_plan(store):
    cells = {"make": "a = random.random()", "seen": "b = random.random()", "more": "c = random.random()"}
    flow = CellFlow(cells, notebook="import random")
    flow.fails = {"seen"}
    run = flow.run(store)

    assert plan_resume(flow.graph(), run.snapshot).out_of_order == {"random": ("seen",)}
    flow.fails = {"more"}
    run = flow.run(store)
    assert plan_resume(flow.graph(), run.snapshot).out_of_order == {}


@pytest.mark.parametrize("take", ["fork", "reuse", "cache"])
@pytest.mark.parametrize("cells", [BESIDE, TIED], ids=["beside", "tied"])
def test_a_new_run_that_takes_from_another_makes_live_values_with_all_that_shares_parts_with_them(cells, take, store):
    lines = {f"{name} --cache": cell for name, cell in cells.items()} if take == "cache" else cells
    first = CellFlow(lines, notebook=NOTEBOOK).run(store)
    options = {"fork": {"fork": (first.id, "end")}, "reuse": {"reuse": first.id}, "cache": {}}[take]
    run = CellFlow(lines, notebook=NOTEBOOK).run(store, **options)

    assert (run.state, run.values.t) == ("completed", first.values.t)


def test_what_the_former_owner_wrote_until_it_was_gone_is_looked_at_before_the_run_goes_on(store, monkeypatch):
    flow = CellFlow({"a": "x = 1", "b": "y = x"})
    flow.fails = {"b"}
    cut = flow.run(store)
    flow.fails, take_over = set(), store.take_over

    def taken_late(run_id, **options):
        journal = take_over(run_id, **options)
        journal.append_sync([RunResumed(at=9.0, epoch=journal.epoch, reset=("b",))])
        journal.append_sync([StepStarted(at=9.0, step="b", attempt=2), StepCompleted(at=9.0, step="b", attempt=2)])
        journal.append_sync([RunCompleted(at=9.0)])
        return journal

    monkeypatch.setattr(store, "take_over", taken_late)
    with pytest.raises(RunError, match="has completed; there is nothing to resume"):
        flow.resume(store, cut.id)
    assert (flow.deeds, store.run(cut.id).shown_state) == ([], "completed")


def test_a_resume_that_comes_to_nothing_leaves_the_run_to_whoever_tries_next(tmp_path):
    """An input that cannot be read is noticed only once the run was taken over."""
    path = tmp_path / "runs.db"
    with RunStore.open(path) as store:
        flow = CellFlow({"a": "x = len(given)", "b": "y = x + given[0]"}, notebook="given = [1] * 300")
        flow.fails = {"b"}
        cut = flow.run(store)
        flow.fails = set()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE blobs SET data = replace(data, '1', '9') WHERE hash = (SELECT hash FROM inputs)")
        with pytest.raises(StoreError, match="'given' is damaged"):
            flow.resume(store, cut.id)

        assert not store.run(cut.id).is_owned
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE blobs SET data = replace(data, '9', '1') WHERE hash = (SELECT hash FROM inputs)")
        assert flow.resume(store, cut.id).values.y == 301


LIVE_INPUT = "import queue\ngiven = queue.Queue()\ngiven.put(1)"


def test_an_input_that_could_not_be_stored_is_asked_for_by_name(store):
    flow = CellFlow({"a": "x = given.qsize()", "b": "y = x + given.qsize()"}, notebook=LIVE_INPUT)
    flow.fails = {"b"}
    cut = flow.run(store)
    del flow.space["given"]

    with pytest.raises(ReplayError, match="Input 'given' is needed again and was not stored, because cannot pickle"):
        flow.resume(store, cut.id)
    assert not store.run(cut.id).is_owned


def test_an_input_that_could_not_be_stored_and_is_of_no_use_any_more_may_be_gone(store):
    flow = CellFlow({"a": "x = given.qsize()", "b": "y = x + 1"}, notebook=LIVE_INPUT)
    flow.fails = {"b"}
    cut = flow.run(store)
    flow.fails = set()
    del flow.space["given"]

    assert flow.resume(store, cut.id).values.y == 2


def test_an_input_is_what_it_was_when_the_run_began_whatever_the_notebook_says_now(store):
    """Recorded inputs win over re-executed cells."""
    flow = CellFlow({"a": "x = len(given)", "b": "y = x + sum(given)"}, notebook="given = [1, 2]")
    flow.fails = {"b"}
    cut = flow.run(store)
    flow.fails, flow.space["given"] = set(), [100]

    assert flow.resume(store, cut.id).values.y == 5


def test_a_generator_that_is_put_back_is_drawn_from_by_no_step_beside(store, monkeypatch):
    """A step that ended while the next one was given what it had found failed: it was said to have drawn."""
    flow = CellFlow(
        {
            "beside": "done = gate.wait(10)",
            "first": "random.seed(3)\na = random.random()",
            "next": "b = random.random()",
        },
        notebook="import random, threading\ngate = threading.Event()",
    )
    flow.fails = {"beside", "next"}
    cut = flow.run(store)
    flow.fails = set()
    random.seed(9)
    entered, left, begin = threading.Event(), threading.Event(), Watch.begin
    enter, leave = HiddenStates.enter, HiddenStates.leave

    def begun(watch, i, *args):
        assert i == 0 or entered.wait(10)
        return begin(watch, i, *args)

    def entering(hidden, i, hands):
        if i == 2:
            flow.space["gate"].set()
            assert left.wait(10)
        enter(hidden, i, hands)
        entered.set()

    def leaving(hidden, i):
        found = leave(hidden, i)
        left.set()
        return found

    monkeypatch.setattr(Watch, "begin", begun)
    monkeypatch.setattr(HiddenStates, "enter", entering)
    monkeypatch.setattr(HiddenStates, "leave", leaving)
    run = flow.resume(store, cut.id)

    assert {name: step.error and str(step.error) for name, step in run.snapshot.steps.items()} == {
        "beside": None, "first": None, "next": None,
    }  # fmt: skip
    generator = random.Random(3)
    assert (run.values.a, run.values.b) == (generator.random(), generator.random())


@pytest.mark.parametrize("failing", ["look", "end"])
def test_what_a_step_changed_of_an_input_is_as_it_left_it_where_functions_keep_something_too(store, failing):
    flow = CellFlow(
        {"grow": "first.append(3)\ng = f(1)", "look --after grow": "seen = str(rows), f(2)", "end": "e = seen, f(3)"},
        notebook="def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)\nrows = [[1], [2]]\nfirst = rows[0]",
    )
    flow.fails = {failing}
    cut = flow.run(store)
    flow.fails = set()
    run = flow.resume(store, cut.id)

    assert run.values.e == (("[[1, 3], [2]]", [1, 2]), [1, 2, 3])


def test_a_run_is_not_gone_on_with_by_a_flow_that_has_other_steps(store):
    flow = CellFlow({"a": "x = 1", "b": "y = x"})
    flow.fails = {"b"}
    run = flow.run(store)
    before = list(store.events(run.id))

    with pytest.raises(ReplayError, match="other steps than the run: b, c. Resume from the run's own snapshot"):
        CellFlow({"a": "x = 1", "c": "y = x"}).resume(store, run.id)
    assert list(store.events(run.id)) == before
