"""Flows in Python: what product.md section 4 promises, sentence by sentence."""

from __future__ import annotations

import asyncio
import gc
import importlib
import linecache
import shutil
import threading

import pytest

import szal_nb as szal
from szal_nb.errors import InvalidFlow, InvalidParameter, InvalidStep, RunError, RunFailed


@pytest.fixture
def ci():
    flow = szal.Flow("ci", mode="dag", version=1)

    @flow.step(retries=2, delay=0, timeout="60s")
    def build(commit):
        print("building", commit)
        return {"image": commit.upper()}

    @flow.step
    def test(build):
        return len(build["image"])

    @flow.step(after=["test"])
    def report():
        print("all fine")

    return flow


def test_a_flow_runs_to_the_end_in_a_script_and_gives_the_finished_run(ci):
    run = szal.run(ci, {"commit": "abc"}, store=None)

    assert (run.state, run["build"].state, run["build"].value) == ("completed", "completed", {"image": "ABC"})
    assert run.values.build == {"image": "ABC"}
    assert run["test"].value == 3
    assert (len(run["build"].attempts), run["build"].error, run["build"].logs) == (1, None, "building abc\n")


def test_a_run_is_awaitable_inside_a_running_loop_and_gives_its_events(ci):
    async def main():
        run = ci.start({"commit": "abc"}, store=None)
        kinds = [type(event).__name__ async for event in run.events()]
        return await run, kinds

    run, kinds = asyncio.run(main())
    assert run.state == "completed"
    assert (kinds[0], kinds[-1]) == ("RunCreated", "RunCompleted")
    assert kinds.count("StepCompleted") == 3


@pytest.mark.parametrize("store", [":memory:", None, "file"])
def test_start_and_run_take_a_path_a_store_memory_or_none(ci, store, tmp_path):
    run = szal.run(ci, {"commit": "abc"}, store=tmp_path / "runs.db" if store == "file" else store)

    assert run.values.test == 3


def test_what_a_run_gave_is_read_from_its_store_in_another_one(ci, tmp_path):
    run = szal.run(ci, {"commit": "abc"}, store=tmp_path / "runs.db")

    with szal.open_store(tmp_path / "runs.db") as store:
        assert [found.id for found in store.runs(flow="ci", state="completed")] == [run.id]
        assert store.value(run.id, "build", "build") == {"image": "ABC"}
        assert len(store.events(run.id)) == run.snapshot.events


def test_a_step_function_without_arguments_and_without_a_return_value_is_fine(ci):
    run = szal.run(ci, {"commit": "abc"}, store=None)

    assert (run["report"].state, run["report"].value, run["report"].logs) == ("completed", None, "all fine\n")


def test_a_step_stays_a_function(ci):
    @ci.step
    def extra(test):
        return test + 1

    assert extra(1) == 2


def test_a_failed_run_is_given_back_by_run_and_raised_by_await():
    flow = szal.Flow("broken")

    @flow.step
    def divide():
        return 1 / 0

    run = szal.run(flow, store=None)
    assert (run.state, run["divide"].error.type) == ("failed", "ZeroDivisionError")
    assert "return 1 / 0" in run["divide"].error.traceback
    with pytest.raises(RunFailed, match="step divide: ZeroDivisionError: division by zero"):
        run.raise_if_failed()

    async def main():
        await flow.start(store=None)

    with pytest.raises(RunFailed):
        asyncio.run(main())


def test_a_failed_run_goes_on_where_it_stopped(tmp_path):
    flow, ran, is_broken = szal.Flow("mended"), [], True

    @flow.step
    def first():
        ran.append("first")
        return 1

    @flow.step
    def second(first):
        ran.append("second")
        if is_broken:
            raise OSError("no network")
        return first + 1

    run = szal.run(flow, store=tmp_path / "runs.db")
    with pytest.raises(RunFailed) as failed:
        run.raise_if_failed()
    assert str(failed.value).splitlines()[-2:] == [
        f"To go on from here: %szal_resume {run.id}",
        f"After a change of a step: %szal_run --reuse {run.id}",
    ]
    is_broken = False
    again = szal.resume(flow, run.id, store=tmp_path / "runs.db")

    assert (again.state, again.id, again.values.second) == ("completed", run.id, 2)
    assert ran == ["first", "second", "second"]
    assert (again["first"].origin, again["second"].origin) == ("resumed", "ran")


@pytest.mark.parametrize(
    ("inputs", "named"),
    [({}, "needs a value for commit"), ({"commit": 1, "comit": 2}, "no input 'comit'; its inputs are: commit")],
)
def test_missing_and_unknown_inputs_are_refused_before_anything_runs(ci, inputs, named):
    with pytest.raises(InvalidParameter, match=named):
        szal.run(ci, inputs, store=None)


def test_what_is_not_a_step_is_refused():
    flow = szal.Flow("refused")

    with pytest.raises(InvalidStep, match="'retrys' is not an option"):

        @flow.step(retrys=3)
        def a():
            return 1

    with pytest.raises(InvalidStep, match="not a plain function"):
        flow.step(print)
    with pytest.raises(InvalidStep, match="timeout='soon'"):
        flow.step(timeout="soon")(lambda: 1)
    flow.step(name="twice")(lambda: 1)
    with pytest.raises(InvalidStep, match="has a step of this name"):
        flow.step(name="twice")(lambda: 1)
    with pytest.raises(InvalidFlow, match="mode 'star' is not one of"):
        szal.Flow("x", mode="star")


def test_run_inside_a_running_loop_says_what_to_write_instead(ci):
    async def main():
        szal.run(ci, {"commit": "abc"}, store=None)

    with pytest.raises(RunError, match=r"await flow\.start"):
        asyncio.run(main())


@pytest.mark.parametrize("command", ["start", "resume", "fork"])
def test_a_run_that_nothing_could_carry_on_is_refused_with_what_to_write_instead(ci, tmp_path, command):
    first = szal.run(ci, {"commit": "abc"}, store=tmp_path / "runs.db")
    arguments = {"start": ({"commit": "abc"},), "resume": (first.id,), "fork": (first.id, "test")}[command]

    instead = {"start": "run"}.get(command, command)
    with pytest.raises(RunError, match=rf"in a script write `szal\.{instead}\(flow, …\)`"):
        getattr(ci, command)(*arguments, store=tmp_path / "runs.db")
    with szal.open_store(tmp_path / "runs.db") as store:
        assert [run.id for run in store.runs()] == [first.id]


def test_a_flow_a_run_and_a_step_show_themselves_without_a_kernel(ci):
    run = szal.run(ci, {"commit": "<b>"}, store=None)

    for shown in (ci, run):
        data, _ = shown._repr_mimebundle_()
        assert data["text/html"].startswith('<img alt="ci version 1')
        assert "build" in data["text/plain"]
    data, _ = run["build"]._repr_mimebundle_()
    assert "reads commit ← input" in data["text/plain"]
    assert "def build(commit):" in data["text/plain"]


def test_a_condition_can_be_asked_alone():
    assert szal.compile_condition("a.rows > 0").evaluate({"a": {"rows": 3}})


def writers():
    return {thread for thread in threading.enumerate() if thread.name == "szal-store-writer"}


def test_runs_of_one_flow_that_are_kept_share_one_open_store(tmp_path):
    before = writers()
    flow = szal.Flow("numbers")

    @flow.step
    def more(n):
        return n + 1

    runs = [szal.run(flow, {"n": n}, store=tmp_path / "runs.db") for n in range(20)]

    assert len(writers() - before) == 1
    assert [run.values.more for run in runs] == list(range(1, 21))


def test_what_is_found_out_about_a_flow_serves_all_its_recorded_runs_until_its_functions_find_something_else(tmp_path):
    factor = {"is": 2}
    flow = szal.Flow("same")

    @flow.step
    def load(rows):
        return rows * factor["is"]

    path = tmp_path / "runs.db"
    graphs = [szal.run(flow, {"rows": 3}, store=path).graph for _ in range(2)]
    factor["is"] = 3
    graphs.append(szal.run(flow, {"rows": 3}, store=path).graph)

    @flow.step
    def twice(load):
        return 2 * load

    graphs.append(szal.run(flow, {"rows": 3}, store=path).graph)
    assert graphs[0] is graphs[1]
    assert [graph.nodes[0].parts == graphs[1].nodes[0].parts for graph in graphs] == [True, True, False, False]
    assert [len(graph.nodes) for graph in graphs] == [1, 1, 1, 2]


def test_a_store_that_was_deleted_between_two_runs_is_made_anew(tmp_path):
    flow = szal.Flow("numbers")

    @flow.step
    def one():
        return 1

    first = szal.run(flow, store=tmp_path / "a" / "runs.db")
    shutil.rmtree(tmp_path / "a")
    second = szal.run(flow, store=tmp_path / "a" / "runs.db")

    assert (first.state, second.state) == ("completed", "completed")


def test_a_run_that_nobody_looks_at_any_more_keeps_no_store_open():
    before = writers()
    flow = szal.Flow("numbers")

    @flow.step
    def one():
        return 1

    run = szal.run(flow, store=":memory:")
    path, (thread,) = run.store_path, writers() - before
    assert path.exists()
    del run
    for _ in range(200):
        # A thread of the pool lets go of its last job when it comes to it.
        gc.collect()
        thread.join(0.1)
        if not thread.is_alive():
            break

    assert not thread.is_alive()
    assert not path.parent.exists()


def test_a_step_whose_file_was_edited_since_it_was_imported_keeps_its_edges(tmp_path, monkeypatch):
    text = "def load():\n    return [1, 2]\n\ndef send(load):\n    return sum(load)\n"
    file = tmp_path / "edited_steps.py"
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    steps = importlib.import_module("edited_steps")
    file.write_text("# A line more: what stands at the lines of a function is another.\n" + text)
    linecache.checkcache(str(file))
    flow = szal.Flow("mail")
    for function in (steps.load, steps.send):
        flow.step(function)

    run = szal.run(flow, store=None)

    assert (run.state, run.values.send) == ("completed", 3)
    assert [(edge.source, edge.target) for edge in run.graph.edges] == [("load", "send")]


def test_a_start_that_comes_to_nothing_leaves_no_run_behind(tmp_path, monkeypatch):
    flow = szal.Flow("never")

    @flow.step
    def one():
        return 1

    def broken(*_, **__):
        raise MemoryError

    with szal.open_store(tmp_path / "runs.db") as store:
        with monkeypatch.context() as patched:
            patched.setattr("szal_nb.api.launch.RunMachine", broken)
            with pytest.raises(MemoryError):
                szal.run(flow, store=store)

        assert (store.runs(), store._owned) == ([], {})
