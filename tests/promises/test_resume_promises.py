"""What a run leaves for the next one (section 6): live values, resume, fork, reuse, migration; each test quotes its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing

import pytest

import szal_nb as szal
from szal_nb.api import migration
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.api.migration import NewVersion
from szal_nb.api.past import replay
from szal_nb.api.reuse import reuse_from
from szal_nb.app.describing import run_json, run_text
from szal_nb.errors import ClassChanged, MigrationError, ReplayError
from szal_nb.model.event import RunPaused, RunResumed, StepAnswered, StepStarted, StepWaiting
from szal_nb.notebook.chip import chip_of
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from szal_nb.widget.svg import render_svg, render_text
from szal_nb.widget.view import step_facts, view_state
from tests.api.cell_flows import CellFlow
from tests.store.scribe import keep_events

QUEUE = "import queue\nimport numpy as np\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def store(path):
    with RunStore.open(path, durability="fast") as store:
        yield store
    migration._DECLARED.clear()


def cut_in(store: RunStore, flow: CellFlow, step: str) -> str:
    """A run of the flow whose process died while `step` was running."""
    run = CellFlow.run(flow, store)
    whole = store.events(run.id)
    last = next(n for n, event in enumerate(whole) if isinstance(event, StepStarted) and event.step == step)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        keep_events(connection, run.id, whole[: last + 1])
        connection.execute(
            "UPDATE runs SET state = 'running', events = ?, owner = NULL WHERE id = ?", (last + 1, run.id)
        )
    return run.id


def test_an_event_is_committed_before_what_follows_from_it(store, path):
    """An event is committed before anything that depends on it happens."""
    notebook = (
        f"import contextlib, sqlite3\ndef seen():\n    with contextlib.closing(sqlite3.connect({str(path)!r})) as connection:\n"
        "        return connection.execute(sql).fetchall()\n"
        "sql = 'SELECT kind, step FROM events ORDER BY seq'\n"
    )
    run = CellFlow({"load": "x = seen()", "clean": "y = (x, seen())[1]"}, notebook=notebook).run(store)

    begun = [("run.created", None), ("run.started", None), ("step.started", "load")]
    assert run.values.x == begun
    assert run.values.y == [*begun, ("step.completed", "load"), ("step.started", "clean")]


def test_what_is_needed_is_kept_whatever_it_costs(store):
    """Values that a later step reads, or that `--out` names, are *needed*; other bound names are kept if they store cheaply, else listed as `live` with the reason."""
    large = "np.zeros(2_200_000)"
    cells = {
        "load --out named": f"read = {large}\nnamed = {large}\nown = {large}\nn = 1",
        "clean": "size = read.nbytes",
    }
    run = CellFlow(cells, notebook=QUEUE).run(store)

    refs = {ref.name: (ref.needed, ref.live) for ref in run.snapshot.steps["load"].values}
    assert refs == {
        "read": (True, None),
        "named": (True, None),
        "own": (False, "no later step reads it, and it has over 16 MB"),
        "n": (False, None),
    }


LIVE = {"make": "waiting = queue.Queue()\nwaiting.put(1)", "use": "n = waiting.qsize()", "end": "e = n"}


def test_a_live_value_is_made_again_and_said_before(store):
    """A needed value that cannot be stored (an open file, a connection, a generator) is `live` too: the step completes, marked *rebuilds on resume* in chip, picture and record; a resume whose missing steps need it runs that step again as a new attempt and says so first."""
    flow = CellFlow(LIVE, notebook=QUEUE)
    flow.fails = {"use"}
    run = flow.run(store)
    made = run.snapshot.steps["make"]
    told = []

    async def go_on():
        flow.fails.clear()
        flow.deeds.clear()
        graph = flow.graph()
        surround = Surround(store=store)
        on_plan = lambda plan: told.append((plan.rebuilt, list(flow.deeds)))  # noqa: E731
        handle = resume_run(run.id, graph, flow.bodies(graph), flow.space, surround, on_plan=on_plan)
        await handle.wait()
        return handle

    again = asyncio.run(go_on())

    assert (made.state, [ref.live is not None and ref.needed for ref in made.values]) == ("completed", [True])
    assert step_facts(made)["rebuilds"] is True
    node = flow.graph().node("make")
    assert node.notes == ("Gives waiting, which cannot be stored: rebuilds on resume if a later step needs it.",)
    assert chip_of(node, flow.graph().edges_to(node.step.name)).notes == list(node.notes)
    shown = view_state(flow.graph(), run.snapshot, run_id=run.id, now=run.snapshot.ended_at)
    assert ". Rebuilds on resume" in render_svg(shown)
    assert "rebuilds on resume" in next(line for line in render_text(shown).splitlines() if "make" in line)
    assert "waiting (live, rebuilds on resume: " in run_text(store.run(run.id), store.snapshot(run.id))
    assert [step["rebuilds_on_resume"] for step in run_json(store.run(run.id), run.snapshot)["steps"]] == [1, 0, 0]
    assert told == [(("make",), [])], "said before anything ran"
    assert (again.state, flow.deeds) == ("completed", ["make", "use", "end"])
    assert [attempt.state for attempt in again.snapshot.steps["make"].attempts] == ["completed", "completed"]


@pytest.mark.parametrize("flag", ["--once", "--strict"])
def test_a_step_that_must_not_be_made_again_fails_instead(store, flag):
    """With `--once` or `--strict` it fails instead."""
    cells = {f"make {flag} --retries 3": LIVE["make"], "use": LIVE["use"]}
    run = CellFlow(cells, notebook=QUEUE).run(store)
    error = run["make"].error

    assert (run.state, run["use"].state, len(run["make"].attempts)) == ("failed", "skipped", 1)
    assert error.type == "ValueNotStored"
    assert f"Step 'make' is marked {flag}, and what it gave as 'waiting' cannot be stored" in error.message


@pytest.mark.parametrize("flag", ["--once", "--strict"])
def test_what_nobody_needs_may_be_live_all_the_same(store, flag):
    run = CellFlow({f"make {flag}": LIVE["make"], "use": "n = 1"}, notebook=QUEUE).run(store)

    assert run.state == "completed"


PAY = {"load": "x = 1", "pay --once": "paid = x", "end": "e = paid"}


def resumed_with(store, run_id, flow, answer):
    """The run gone on with, its waiting step answered by a person; what it said while it waited."""

    async def go_on():
        graph = flow.graph()
        handle = resume_run(run_id, graph, flow.bodies(graph), flow.space, Surround(store=store))
        flow.deeds.clear()
        async for _ in handle.events():
            if handle["pay"].state == "waiting":
                said = handle["pay"].reason
                handle.approve("pay") if answer else handle.reject("pay")
        await handle.wait()
        return handle, said

    return asyncio.run(go_on())


def test_a_step_that_was_running_runs_again_or_is_held_for_a_person(store):
    """Resume: completed steps are not run again; a step that was running when the process died is run again as a new attempt (or held for a person, if marked `--once`)."""
    plain = CellFlow({name.split()[0]: source for name, source in PAY.items()})
    again = plain.resume(store, cut_in(store, plain, "pay"))
    assert (again.state, plain.deeds) == ("completed", ["pay", "end"])
    assert [attempt.state for attempt in again.snapshot.steps["pay"].attempts] == ["lost", "completed"]

    flow = CellFlow(PAY)
    approved, said = resumed_with(store, cut_in(store, flow, "pay"), flow, True)
    assert "was running when its process died, and it is marked --once" in said
    assert (approved.state, flow.deeds) == ("completed", ["pay", "end"])

    refused, _ = resumed_with(store, cut_in(store, flow, "pay"), flow, False)
    assert (refused.state, refused["pay"].state, flow.deeds) == ("failed", "failed", [])


@pytest.mark.parametrize("is_approved", [True, False])
def test_what_a_person_has_answered_while_nobody_ran_the_run_is_not_asked_again(store, is_approved):
    """Or held for a person, if marked `--once`."""
    plain = CellFlow({"load": "x = 1", "pay": "paid = x", "send": "sent = paid"})
    run = cut_in(store, plain, "pay")
    journal = store.take_over(run)
    journal.append_sync([RunResumed(at=2e9, epoch=journal.epoch, reset=("pay", "send"))])
    for step in ("pay", "send"):
        journal.append_sync([StepWaiting(at=2e9, step=step, message="?")])
        journal.append_sync([StepAnswered(at=2e9, step=step, approved=is_approved)])
    journal.close()
    flow = CellFlow({"load": "x = 1", "pay --once": "paid = x", "send --approve 'Really?'": "sent = paid"})

    again, waiting = gone_on_until_it_waits(store, run, flow)

    assert waiting == []
    state, deeds, attempt = ("completed", ["pay", "send"], 2) if is_approved else ("failed", [], 1)
    assert (again.state, flow.deeds, again.snapshot.steps["pay"].attempt) == (state, deeds, attempt)


def gone_on_until_it_waits(store, run_id, flow):
    """The run gone on with to its end, or to where it waits for a person; and for which steps."""

    async def go_on():
        graph = flow.graph()
        handle = resume_run(run_id, graph, flow.bodies(graph), flow.space, Surround(store=store))
        async for _ in handle.events():
            waiting = [name for name, step in handle.steps.items() if step.state == "waiting"]
            if waiting:
                handle.cancel()
        await handle.wait()
        return handle, waiting

    return asyncio.run(go_on())


def test_a_fork_takes_values_up_to_a_step(store):
    """Fork: a new run that takes the values of an old one up to a step."""
    flow = CellFlow({"load": "x = rows", "clean": "y = x + k", "end": "e = y"}, notebook="rows = 1\nk = 10")
    first = flow.run(store)
    forked = flow.run(store, {"k": 20}, fork=(first.id, "clean"))

    assert (forked.id != first.id, flow.deeds) == (True, ["clean", "end"])
    assert (forked["load"].origin, forked.values.e) == ("given", 21)


def test_reuse_takes_exactly_what_is_unchanged_after_showing_the_plan(store):
    """Reuse: a new run that takes from an old one exactly the steps whose fingerprint and inputs are unchanged, after showing the plan."""
    cells = {"load": "x = [3, 1]", "clean": "y = sorted(x)", "total": "t = sum(y) + k", "beside": "z = k"}
    first = CellFlow(cells, notebook="k = 1").run(store)
    flow = CellFlow({**cells, "clean": "y = sorted(x, reverse=True)"}, notebook="k = 1")
    told = []

    async def go():
        graph, take = flow.graph(), reuse_from(store, "test", first.id)
        on_plan = lambda plan: told.append((str(plan), list(flow.deeds)))  # noqa: E731
        inputs = {"k": 1}
        handle = start_run(graph, flow.bodies(graph), inputs, Surround(store=store), take=take, on_plan=on_plan)
        return await handle.wait()

    again = asyncio.run(go())

    ((plan, before),) = told
    assert before == [], "the plan came before anything ran"
    assert all(step in plan for step in cells)
    assert {name: step.origin for name, step in again.snapshot.steps.items()} == {
        "load": "cached",
        "clean": "ran",
        "total": "ran",
        "beside": "cached",
    }


def newer(cells, **options):
    flow = CellFlow(cells, version=2, **options)
    return flow, NewVersion(graph=flow.graph())


OLD = {"load": "x = [2, 1]", "clean": "y = sorted(x)", "gone": "g = 1", "total": "t = sum(y)"}
NEW = {"fetch": "x = [2, 1]", "clean": "y = sorted(x)", "total": "t = sum(y) * 10", "more": "m = t"}


def left(store, how: str) -> str:
    """A run of the old version that was left at its last step."""
    flow = CellFlow(OLD)
    if how == "failed":
        flow.fails = {"total"}
        return flow.run(store).id
    run = cut_in(store, flow, "total")
    if how == "crashed":
        return run
    with closing(sqlite3.connect(store.path)) as connection, connection:
        whole = store.events(run)
        keep_events(connection, run, [event for event in whole if getattr(event, "step", "") != "total"])
        connection.execute("UPDATE runs SET events = events - 1 WHERE id = ?", (run,))
        connection.execute(
            "UPDATE steps SET state = 'pending', attempt = 0 WHERE run_id = ? AND name = 'total'", (run,)
        )
    journal = store.take_over(run)
    journal.append_sync([RunPaused(at=9.0) if how == "paused" else StepWaiting(at=9.0, step="total", message="now?")])
    journal.close()
    return run


@pytest.mark.parametrize("how", ["waits", "paused", "failed", "crashed"])
def test_a_run_is_planned_carried_over_and_taken_back(store, how):
    """Runs that wait, are paused, failed or crashed can be migrated and then resumed.

    `szal migrate plan RUN|--all --to N` says for each step keep / rename / adapt / re-run / drop, from the difference of the two definitions and from declared migrations (`@szal.migration("sales", 1, 2)`); `apply` does it in one transaction and keeps the old run; `undo` takes it back.
    """
    old = left(store, how)
    before = store.events(old)
    szal.migration("test", 1, 2)(lambda m: m.adapt("clean", lambda y: [n * 2 for n in y]))
    flow, to = newer(NEW)
    plan = migration.plan(store, old, to)
    statements = []
    store._writer.write_sync(Job(lambda connection: connection.set_trace_callback(statements.append)))
    made = migration.apply(store, old, to)
    store._writer.write_sync(Job(lambda connection: connection.set_trace_callback(None)))
    writes = [
        n for n, sql in enumerate(statements) if sql.lstrip().startswith(("INSERT INTO turns", "INSERT INTO runs"))
    ]

    assert {step.step: step.carry.value for step in plan.steps} == {
        "fetch": "rename",
        "clean": "adapt",
        "total": "re-run",
        "more": "re-run",
        "gone": "drop",
    }
    assert "COMMIT" not in statements[writes[0] : writes[-1]], "one transaction"
    assert store.events(old) == before
    assert migration.undo(store, made) == old
    assert [run.id for run in store.runs()] == [old]
    assert flow.resume(store, migration.apply(store, old, to)).values.m == 60


def test_each_run_keeps_the_flow_that_it_ran_and_what_is_unsafe_is_refused(store):
    """Versions: `%szal_flow NAME --version N`; each run keeps a snapshot of the flow it ran. [...] What cannot be carried over safely is refused with the reason."""
    flow = CellFlow({"pay --once": "paid = 1", "end": "e = paid"})
    flow.fails = {"end"}
    old = flow.run(store)
    _, to = newer({"pay --once": "paid = 2", "end": "e = paid"})

    assert store.graph(old.id) == flow.graph()
    assert (store.run(old.id).version, store.graph(old.id).node("pay").step.source) == (1, "paid = 1")
    with pytest.raises(MigrationError, match="'pay' is marked --once and has completed"):
        migration.apply(store, old.id, to)


ITEMS = {"make": "x = Item(3)\nsame = x\narray = np.zeros(100_000)", "total": "t = (x.n, x is same, array.sum())"}
ITEM = "__name__ = '__main__'\nimport numpy as np\nclass Item:\n    def __init__(self, n):\n        self.n = n + {0}\n"


def gone_on_with(store, run_id, flow):
    async def go_on():
        graph = flow.graph()
        surround = Surround(store=store, definitions=flow.space)
        return await resume_run(run_id, graph, flow.bodies(graph), flow.space, surround).wait()

    return asyncio.run(go_on())


def test_a_resumed_run_equals_an_uncut_one(store):
    """A resumed run equals an uncut one: two names for one object stay one object (identity has its own token, never derived from the hash); objects of notebook classes are stored by class name and state and loaded onto the class that this run's notebook defines (refused if its fingerprint differs); memory-mapped values are copy-on-write."""
    flow = CellFlow(ITEMS, notebook=ITEM.format(0))
    uncut = flow.run(store).values.t
    cut = cut_in(store, flow, "total")
    again = CellFlow(ITEMS, notebook=ITEM.format(0))
    other = CellFlow(ITEMS, notebook=ITEM.format(1))

    with pytest.raises(ClassChanged, match="the notebook's Item is not what it was then"):
        gone_on_with(store, cut_in(store, flow, "total"), other)
    resumed = gone_on_with(store, cut, again)

    assert resumed.values.t == uncut == (3, True, 0.0)
    assert type(resumed.values.x) is again.space["Item"], "the class of this notebook"
    array = resumed.values.array
    array[0] = 7
    assert replay(store, cut).values.array[0] == 0.0, "what was mapped is written to nobody's file"
    assert other.deeds == []


@pytest.mark.parametrize("damage", ["gone", "shorter", "zeros after a new start"])
def test_what_a_power_cut_took_of_a_fast_store_is_made_again(store, damage):
    """`"fast"`: survives a process crash, may forget the last steps at a power cut, never corrupts."""
    cells = {"make": "import numpy as np\nx = np.arange(100_000)", "total": "t = int(x.sum())"}
    flow = CellFlow(cells)
    run = cut_in(store, flow, "total")
    (file,) = store.files.folder.glob("??/*")
    if damage == "gone":
        file.unlink()
    elif damage == "shorter":
        os.truncate(file, 0)
    else:
        file.write_bytes(bytes(file.stat().st_size))

    again = flow.resume(store, run)

    assert (again.state, again.values.t, flow.deeds) == ("completed", 4_999_950_000, ["make", "total"])
    assert replay(store, run).values.x.sum() == 4_999_950_000, "the file is whole again"


def test_what_is_lost_of_a_step_that_must_not_run_twice_is_said(store):
    flow = CellFlow({"make --once": "import numpy as np\nx = np.arange(100_000)", "total": "t = int(x.sum())"})
    run = cut_in(store, flow, "total")
    (file,) = store.files.folder.glob("??/*")
    file.unlink()

    with pytest.raises(ReplayError, match="What step 'make' gave is not in the store any more"):
        flow.resume(store, run)
