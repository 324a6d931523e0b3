"""`szal.stop`: a run that a step ended early stays ended where it was, whoever goes on from its record."""

from __future__ import annotations

import pytest

import szal_nb as szal
from szal_nb.app.progress import line_of
from szal_nb.model.event import StepCompleted
from szal_nb.store.runs import RunStore

DEEDS = []


@pytest.fixture
def store():
    DEEDS.clear()
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


def gate(*, fails=frozenset()):
    """A step that looks whether there is anything to do, one that needs what it gives, one that only comes after it."""
    flow = szal.Flow("gate")

    @flow.step(cache=True)
    def look(count):
        DEEDS.append("look")
        if count < 5:
            szal.stop("nothing new")
        return count

    @flow.step
    def work(look):
        DEEDS.append("work")
        return look * 2

    @flow.step(after="look")
    def clean():
        DEEDS.append("clean")

    @flow.step
    def beside():
        DEEDS.append("beside")
        if "beside" in fails:
            raise ValueError("beside")

    return flow


def states(run):
    return {name: step.state.value for name, step in run.snapshot.steps.items()}


STOPPED = {"look": "completed", "work": "skipped", "clean": "skipped", "beside": "completed"}


@pytest.mark.parametrize("again", ["run", "reuse", "fork", "only"])
def test_a_step_that_stopped_its_run_is_not_taken_from_it(store, again):
    flow = gate()
    first = szal.run(flow, {"count": 1}, store=store)
    assert states(first) == STOPPED
    DEEDS.clear()

    second = {
        "run": lambda: szal.run(flow, {"count": 1}, store=store),
        "reuse": lambda: szal.run(flow, {"count": 1}, store=store, reuse=True),
        "fork": lambda: szal.fork(flow, first.id, "work", store=store),
        "only": lambda: szal.run(flow, {"count": 1}, store=store, only="work"),
    }[again]()

    assert (second.state, second.snapshot.reason) == ("completed", "stopped: nothing new")
    assert states(second) == STOPPED | ({"beside": "skipped"} if again == "only" else {})
    assert "look" in DEEDS
    assert "work" not in DEEDS


def test_a_run_that_was_stopped_stays_so_when_it_is_resumed(store):
    first = szal.run(gate(fails={"beside"}), {"count": 1}, store=store)
    assert first.state == "failed"
    DEEDS.clear()

    resumed = szal.resume(gate(), first.id, store=store)

    assert (states(resumed), DEEDS) == (STOPPED, ["beside"])
    assert (resumed.state, resumed.snapshot.reason) == ("completed", "stopped: nothing new")
    assert resumed.snapshot.steps["work"].reason == "the run was stopped: nothing new"


def test_the_record_says_which_step_stopped_the_run(store):
    run = szal.run(gate(), {"count": 1}, store=store)

    (event,) = [e for e in store.events(run.id) if isinstance(e, StepCompleted) and e.step == "look"]
    assert event.stopped == "nothing new"
    assert run["look"].reason == "it stopped the run: nothing new"
    assert "it stopped the run: nothing new" in str(line_of(event, run.snapshot, run.id))
    ((reason,),) = store.reader.fetch("SELECT reason FROM steps WHERE run_id = ? AND name = 'look'", (run.id,))
    assert reason == "it stopped the run: nothing new"


def test_a_stop_without_a_reason_is_one(store):
    flow = szal.Flow("short")

    @flow.step
    def one():
        szal.stop()

    @flow.step(after="one")
    def two():
        raise AssertionError

    first = szal.run(flow, store=store)
    second = szal.run(flow, store=store, reuse=True)

    assert first["one"].reason == "it stopped the run"
    assert [(run.snapshot.reason, states(run)) for run in (first, second)] == [
        ("stopped", {"one": "completed", "two": "skipped"})
    ] * 2
