"""What a run may take of a record that is not its own: imported ones are not ours, and what ran elsewhere is told so."""

from __future__ import annotations

import os
import sys

import pytest

from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.api.past import diff, replay
from szal_nb.errors import RunError, ValueUnavailable
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

HOSTILE = """
import pathlib
class Trap:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path({path!r}),))
trap = Trap()
"""


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


@pytest.fixture
def other(tmp_path):
    with RunStore.open(tmp_path / "other" / "runs.db", durability="fast") as other:
        yield other


def carried(store, run_id, other, tmp_path):
    export_run(store, run_id, tmp_path / "run.szal")
    return import_run(other, tmp_path / "run.szal").id


def failed(flow, store, *, at):
    flow.fails = {at}
    run = flow.run(store)
    flow.fails = set()
    return run.id


def taken_by(other, run_id, flow):
    """All ways to take from the run."""
    made = CellFlow({"use": "n = 1", "end": "e = n, trap is not None"}, notebook="trap = 5", version=2)
    yield "resume", lambda: flow.resume(other, run_id)
    yield "fork", lambda: flow.run(other, fork=(run_id, "end"))
    yield "reuse", lambda: flow.run(other, reuse=run_id)
    yield "migrate", lambda: made.resume(other, migration.apply(other, run_id, NewVersion(graph=made.graph())))


@pytest.mark.parametrize("origin", ["was imported", "is in a store of another user"])
@pytest.mark.parametrize("way", ["resume", "fork", "reuse", "migrate"])
def test_nothing_of_a_run_that_is_not_ours_is_unpickled_whatever_goes_on_from_it(
    way, origin, store, other, tmp_path, monkeypatch
):
    """It is readable, and never unpickled without `--trust`."""
    path = tmp_path / "sprung"
    flow = CellFlow({"use": "n = 1", "end": "e = n, trap is not None"}, notebook=HOSTILE.format(path=str(path)))
    if origin == "was imported":
        run_id = carried(store, failed(flow, store, at="end"), other, tmp_path)
    else:
        run_id = failed(flow, other, at="end")
        monkeypatch.setattr("szal_nb.store.reading.file_owner_is_us", lambda _: False)
    harmless = CellFlow({"use": "n = 1", "end": "e = n, trap is not None"}, notebook="trap = 5")
    path.unlink(missing_ok=True)

    go_on = dict(taken_by(other, run_id, harmless))[way]
    if way == "resume":
        with pytest.raises(RunError, match=f"{origin}; to go on .* Begin anew with what is plain: --reuse {run_id}"):
            go_on()
    else:
        run = go_on()
        assert (run.state, run.values.e) == ("completed", (1, True)), "the notebook's own is taken"
    assert not path.exists()


SETTING = {
    "import path": "import sys\nsys.path.append('of-another')",
    "environment": "import os\nos.environ['SZAL_OF_ANOTHER'] = '1'",
    "working directory": "import os\nos.chdir('..')",
    "logging": "import logging\nlogging.getLogger('szal.other').setLevel(10)",
}


@pytest.mark.parametrize("state", SETTING)
def test_a_process_is_not_set_as_a_run_that_is_not_ours_had_set_its_own(state, store, other, tmp_path, monkeypatch):
    """It is readable, and never unpickled without `--trust`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    flow = CellFlow({"set": f"{SETTING[state]}\nn = 1", "end": "print(n)\ne = n"})
    run_id = carried(store, failed(flow, store, at="end"), other, tmp_path)

    with pytest.raises(RunError, match=f"would set the {state} of this process as step 'set' .* --reuse {run_id}"):
        flow.resume(other, run_id)
    for options in ({"reuse": run_id}, {"fork": (run_id, "end")}):
        flow.deeds.clear()
        assert flow.run(other, **options).values.e == 1
        assert "set" in flow.deeds, "its own code sets it"


def test_an_input_of_an_imported_run_that_the_notebook_has_not_is_asked_for(store, other, tmp_path):
    flow = CellFlow({"use": "n = things.pattern", "end": "e = n"}, notebook="import re\nthings = re.compile('x')")
    run_id = carried(store, failed(flow, store, at="end"), other, tmp_path)
    flow.space.pop("things")

    with pytest.raises(ValueUnavailable, match=f"'things'.*input of run {run_id} is not stored, so the notebook must"):
        flow.run(other, fork=(run_id, "use"))


def test_an_imported_run_is_not_another_one_than_it_was(store, other, tmp_path):
    flow = CellFlow({"use": "n = [things]", "end": "e = len(n)"}, notebook="import re\nthings = re.compile('x')")
    run_id = flow.run(other).id
    again = flow.run(other).id
    taken = carried(other, run_id, store, tmp_path)
    carried(other, again, store, tmp_path)

    assert diff(store, taken, again).is_same


def test_what_was_shared_in_an_imported_run_is_told_only_as_far_as_it_is_known(store, other, tmp_path):
    flow = CellFlow({"a": "rows = [[1]]\nfirst = rows[0]\nn = 1", "b": "first.append(3)"})
    run_id = flow.run(store).id
    plain, whole = replay(other, carried(store, run_id, other, tmp_path)), replay(store, run_id)

    assert (whole.values.rows, whole.at(-2).values.n, plain.values.n) == ([[1, 3]], 1, 1)
    assert whole.values.rows[0] is whole.values.first
    with pytest.raises(ValueUnavailable, match=r"'rows'.*step 'b' may have changed it since.*Use --trust"):
        _ = plain.values.rows
    assert plain["a"].values.rows == [[1]], "as the step gave it"


ASKS = {
    "a --retries 2 --delay 0s": "import szal_nb as szal\na = 1\nassert szal.context().attempt > 1",
    "p": "p = 1",
    "b --after p --when 'steps.a.attempts == 2 && steps.a.duration >= 0'": "b = 2",
    "c --after p --when 'steps.a.attempts != 2'": "c = 3",
}


def answers(run):
    return run["b"].state, run["c"].state


def test_a_condition_finds_how_a_step_was_run_that_another_run_has_run(store):
    flow = CellFlow(ASKS)
    first = flow.run(store)
    forked = flow.run(store, fork=(first.id, "p"))
    twice = flow.run(store, fork=(forked.id, "p"))
    renamed = CellFlow({("fetch" if line.startswith("a ") else line.replace("steps.a", "steps.fetch")) + (" --retries 2 --delay 0s" if line.startswith("a ") else ""): text for line, text in ASKS.items()}, version=2)  # fmt: skip
    stopped = failed(flow, store, at="p")
    made = migration.apply(store, stopped, NewVersion(graph=renamed.graph()))

    assert (first.state, answers(first)) == ("completed", ("completed", "skipped"))
    assert (forked["a"].origin, answers(forked)) == ("given", ("completed", "skipped"))
    assert (twice["a"].origin, answers(twice)) == ("given", ("completed", "skipped"))
    assert answers(renamed.resume(store, made)) == ("completed", "skipped")


def test_a_condition_that_asks_how_a_step_was_run_of_a_run_that_is_gone_fails_and_says_so(store):
    flow = CellFlow(ASKS)
    first = flow.run(store)
    forked = failed_fork(flow, store, first.id)
    assert collect(store, [first.id]).runs == (first.id,)
    run = flow.resume(store, forked)

    assert run["b"].state == "failed"
    assert f"its values come from run {first.id}, which is gone" in run["b"].error.message
    assert "Run it again: --from a" in run["b"].error.message


def failed_fork(flow, store, run_id):
    flow.fails = {"p"}
    run = flow.run(store, fork=(run_id, "p"))
    flow.fails = set()
    return run.id
