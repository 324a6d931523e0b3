"""Flows from Python, as the contract shows them: each line of its example, and each attribute that it names."""

from __future__ import annotations

import asyncio

import pytest

import szal_nb as szal
from szal_nb.errors import InvalidFlow, InvalidStep
from szal_nb.model.event import StepWaiting, kind_of

flow = szal.Flow("ci", mode="dag", version=1)


@flow.step(retries=2, timeout="60s")
def build(commit):
    print("building", commit)
    return f"app-{commit}"


@flow.step(approve="ship it?")
def deploy(build):
    return f"{build} is out"


@flow.step(after=["deploy"])
def tell():
    pass


async def to_the_end(run, answers):
    """The kinds of the run's events; a step that waits is answered."""
    kinds = []
    async for event in run.events():
        kinds.append(kind_of(event))
        if isinstance(event, StepWaiting):
            answers(event.step)
    return kinds


def test_a_run_inside_of_a_loop_is_awaited_watched_and_answered(tmp_path):
    async def main():
        run = flow.start({"commit": "abc"}, store=tmp_path / "runs.db")
        kinds = await to_the_end(run, lambda step: run.approve(step, {"by": "me"}))
        assert await run is run
        return run, kinds

    run, kinds = asyncio.run(main())
    assert (run.state, run["build"].state, run["build"].value, run.values.build) == (
        "completed",
        "completed",
        "app-abc",
        "app-abc",
    )
    assert ([one.state for one in run["build"].attempts], run["build"].error) == (["completed"], None)
    assert run["build"].logs == "building abc\n"
    assert (run["tell"].state, run["tell"].value) == ("completed", None)
    assert kinds[0] == "run.created"
    assert kinds[-1] == "run.completed"
    assert run.snapshot.steps["deploy"].answer == '{"by": "me"}'

    store = szal.open_store(tmp_path / "runs.db")
    assert [one.id for one in store.runs(flow="ci", state="completed")] == [run.id]
    assert store.runs(flow="other") == store.runs(state="failed") == []
    assert store.run(run.id).state == "completed"
    assert [kind_of(event) for event in store.events(run.id)] == kinds
    assert store.value(run.id, "build", "build") == "app-abc"
    store.close()


def test_a_run_in_a_script_runs_to_its_end_and_is_paused_resumed_cancelled_and_retried_by_hand():
    tries = []
    flow = szal.Flow("by hand")

    @flow.step
    def once_bad():
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no")
        return len(tries)

    @flow.step
    def after(once_bad):
        return once_bad

    failed = szal.run(flow, store=None)
    assert (failed.state, str(failed["once_bad"].error), failed["after"].state) == ("failed", "OSError: no", "skipped")

    async def main():
        tries.clear()
        run = flow.start(store=None)
        await run.wait()
        run.retry("once_bad")
        run.pause()
        async for event in run.events():
            if kind_of(event) == "run.paused":
                run.resume()
        cancelled = flow.start(store=None)
        cancelled.cancel()
        await cancelled.wait()
        return run, cancelled

    run, cancelled = asyncio.run(main())
    assert (run.state, run.values.after, cancelled.state) == ("completed", 2, "cancelled")


def test_where_a_run_is_recorded_is_said_by_a_path_a_store_memory_or_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flow = szal.Flow("places")

    @flow.step
    def one():
        return 1

    with szal.open_store(tmp_path / "mine.db") as store:
        runs = [szal.run(flow, store=place) for place in (store, str(tmp_path / "text.db"), ":memory:", None)]
    in_place = szal.run(flow)
    assert {run.state for run in (*runs, in_place)} == {"completed"}
    assert in_place.store_path == tmp_path / ".szal" / "runs.db"
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".db") == ["mine.db", "text.db"]


def test_a_compiled_condition_is_evaluated_over_plain_data():
    assert szal.compile_condition("a.rows > 0").evaluate({"a": {"rows": 3}}) is True


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"map": 5}, "map=5 is refused. Write a name, or several in a list."),
        ({"after": [["a", 3]]}, "Write a name, or several in a list."),
        ({"when": 5}, "when=5 is refused. It must be text."),
        ({"retries": "two"}, "retries='two' is refused. It must be a whole number."),
        ({"retries": 1.5}, "It must be a whole number."),
        ({"retries": None}, "It must be a whole number."),
        ({"retries": True}, "It must be a whole number."),
        ({"priority": "high"}, "It must be a whole number."),
        ({"jitter": "much"}, "It must be a number."),
        ({"once": "yes"}, "It must be True or False."),
        ({"timout": 3}, "'timout' is not an option of a step. Did you mean timeout?"),
    ],
)
def test_an_option_of_the_wrong_kind_names_the_step_and_what_it_may_be(options, text):
    flow = szal.Flow("bad")
    with pytest.raises(InvalidStep) as refused:
        flow.step(name="load", **options)(build)
    assert str(refused.value).startswith("Step 'load': ")
    assert text in str(refused.value)


@pytest.mark.parametrize("options", [{"version": "1"}, {"version": 1.5}, {"version": True}, {"max_parallel": "4"}])
def test_a_version_and_a_number_of_steps_at_once_are_whole_numbers(options):
    with pytest.raises(InvalidFlow, match="must be a whole number"):
        szal.Flow("bad", **options)
