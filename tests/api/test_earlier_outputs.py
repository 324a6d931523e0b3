"""What a step showed when it ran, found through the runs that took it from each other."""

from __future__ import annotations

import pytest

from szal_nb.api.earlier_outputs import EarlierOutputs
from szal_nb.errors import UnknownRun
from szal_nb.model.event import StepCompleted, StepOutput, StepStarted
from szal_nb.model.value import Output

SHOWN = Output(type="stream", name="stdout", text="loaded\n")


class Store:
    """Runs by id: their events, and whether they are ours."""

    def __init__(self, **runs):
        self._runs = {name: (events, name.startswith("our")) for name, events in runs.items()}
        self.read = []

    def run(self, run_id):
        if run_id not in self._runs:
            raise UnknownRun(run_id, "runs.db", ())
        return run_id

    def is_ours(self, run):
        return self._runs[run][1]

    def events(self, run_id):
        self.read.append(self.run(run_id))
        return self._runs[run_id][0]


def ran(*steps):
    return [
        event
        for step in steps
        for event in (
            StepStarted(at=1.0, step=step, attempt=1),
            StepOutput(at=1.0, step=step, attempt=1, items=(SHOWN,)),
            StepCompleted(at=2.0, step=step, attempt=1),
        )
    ]


def took(run, *steps):
    return [StepCompleted(at=1.0, step=step, attempt=0, origin="cached", taken_from=run) for step in steps]


def test_it_is_found_where_the_step_ran_and_each_run_is_read_once():
    store = Store(our1=ran("a", "b"), our2=took("our1", "a", "b"), our3=took("our2", "a", "b"))
    earlier = EarlierOutputs(store)

    assert [earlier.of("our3", step) for step in "ab"] == [(SHOWN,), (SHOWN,)]
    assert sorted(store.read) == ["our1", "our2", "our3"]


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param({"our2": took("gone", "a")}, id="collected since"),
        pytest.param({"our2": took("our2", "a")}, id="taken from itself"),
        pytest.param({"our2": ran("b")}, id="another step"),
    ],
)
def test_nothing_is_found_where_it_cannot_be_told(runs):
    assert not EarlierOutputs(Store(**runs)).of("our2", "a")


def test_what_others_have_made_is_not_shown_unasked():
    store = Store(theirs=ran("a"), our2=took("theirs", "a"))

    assert not EarlierOutputs(store, only_ours=True).of("our2", "a")
    assert EarlierOutputs(store).of("our2", "a") == (SHOWN,)
