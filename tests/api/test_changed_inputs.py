"""A run that goes on with other inputs is a new run: it takes all that does not depend on them, and says so first."""

from __future__ import annotations

import pytest

import szal_nb as szal
from szal_nb.analysis.reuse import Fate
from szal_nb.errors import InvalidParameter, RunError
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.test_resume_promises import cut_in


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


def division():
    """A flow whose last step divides by an input, and the steps that ran."""
    flow, deeds = szal.Flow("division", version=1), []

    @flow.step
    def load(rows):
        deeds.append("load")
        return list(range(rows))

    @flow.step
    def apart():
        deeds.append("apart")
        return 7

    @flow.step
    def share(load, parts):
        deeds.append("share")
        return sum(load) / parts

    return flow, deeds


def test_only_what_is_missing_or_depends_on_the_change_runs(store):
    flow, deeds = division()
    failed = szal.run(flow, {"rows": 4, "parts": 0}, store=store)
    before = store.events(failed.id)
    deeds.clear()

    run = szal.resume(flow, failed.id, {"parts": 2}, store=store)

    assert (run.state, run.values.share, deeds) == ("completed", 3.0, ["share"])
    assert {choice.step: choice.fate for choice in run.plan.choices} == {
        "load": Fate.TAKEN,
        "apart": Fate.TAKEN,
        "share": Fate.RUNS,
    }
    assert store.run(run.id).from_run == failed.id
    assert store.events(failed.id) == before
    assert store.run(failed.id).state == "failed"


def test_a_completed_run_goes_on_with_other_inputs_too(store):
    flow, deeds = division()
    completed = szal.run(flow, {"rows": 4, "parts": 1}, store=store)
    deeds.clear()

    run = szal.resume(flow, completed.id, {"rows": 3}, store=store)

    assert (run.values.share, sorted(deeds)) == (3.0, ["load", "share"])


def test_an_input_of_the_same_value_changes_nothing(store):
    flow, deeds = division()
    failed = szal.run(flow, {"rows": 4, "parts": 0}, store=store)
    deeds.clear()

    assert szal.resume(flow, failed.id, {"parts": 0}, store=store).state == "failed"
    assert deeds == ["share"]


def test_an_unknown_input_is_refused_with_the_nearest_and_nothing_is_begun(store):
    flow, _ = division()
    failed = szal.run(flow, {"rows": 4, "parts": 0}, store=store)

    with pytest.raises(InvalidParameter, match="no input 'part'; its inputs are: .*Did you mean parts"):
        szal.resume(flow, failed.id, {"part": 2}, store=store)
    assert [run.id for run in store.runs()] == [failed.id]


def test_what_may_have_been_done_once_is_answered_in_its_own_run_first(store):
    cells = {"pay --once": "paid = 1", "end": "e = paid + extra"}
    run_id = cut_in(store, CellFlow(cells, notebook="extra = 1"), "pay")

    with pytest.raises(RunError, match="'pay' of run .* is marked --once and may have done its work"):
        CellFlow(cells, notebook="extra = 1").run(store, {"extra": 2}, fork=(run_id, None))
    assert len(store.runs()) == 1


def test_what_runs_because_of_another_step_says_so_though_it_could_not_be_taken_either(store):
    flow = szal.Flow("shares")

    @flow.step
    def load(rows):
        return [rows]

    @flow.step(out=("a", "b"))
    def look(load):
        a = [*load]
        return a, [a]

    first = szal.run(flow, {"rows": 1}, store=store)
    forked = szal.fork(flow, first.id, "load", store=store)
    looked = szal.fork(flow, first.id, "look", store=store)

    assert [choice.reason for choice in forked.plan.choices] == [
        "the fork begins with it",
        "it depends on load, which runs",
    ]
    assert "<shared>" in {ref.name for ref in looked.snapshot.steps["look"].values}
