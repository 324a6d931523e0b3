"""What `szal show` tells, and the ways on that it names: those that work."""

from __future__ import annotations

import pytest

from szal_nb.app.describing import run_text, steps_table, ways_on
from szal_nb.errors import HiddenStateUsed
from szal_nb.model.event import (
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunPaused,
    StepFailed,
    StepProgress,
    StepStarted,
    StepWaiting,
)
from szal_nb.model.state import fold
from szal_nb.model.value import ElementEnd, ErrorInfo, ValueRef
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run

BROKEN = ErrorInfo(type="ValueError", message="no rows")
DOUBTED = ErrorInfo(
    type="HiddenStateUsed", names=tuple(f"{kind.__module__}.{kind.__name__}" for kind in HiddenStateUsed.__mro__)
)


def failed(error):
    return [
        StepStarted(at=2.0, step="load", attempt=1),
        StepFailed(at=3.0, step="load", attempt=1, error=error),
        RunFailed(at=4.0, reason="load failed"),
    ]


MENDED = "After a change of the notebook"
PARAMS = {"rows": 5, "on": False, "of": "it's", "xs": ["a"]}
WAYS = {
    "completed": ([RunCompleted(at=3.0)], "nb.ipynb", []),
    "failed": (failed(BROKEN), "nb.ipynb", ["To go on: szal resume r1", f"{MENDED}: szal run nb.ipynb --reuse r1"]),
    "failed, with parameters": (
        failed(BROKEN),
        "/a/my nb.ipynb",
        [
            "To go on: szal resume r1",
            f"{MENDED}: szal run 'my nb.ipynb' -p rows 5 -p on false -p of 'it'\"'\"'s' -p xs '[\"a\"]' --reuse r1",
        ],
    ),
    "crashed": ([RunInterrupted(at=3.0, reason="shut down")], "nb.ipynb", ["To go on: szal resume r1"]),
    "in doubt": (failed(DOUBTED), "/a/my nb.ipynb", ["To begin anew: szal run 'my nb.ipynb' --reuse r1"]),
    "waiting": (
        [StepWaiting(at=2.0, step="load", message="Ship it?"), RunPaused(at=3.0)],
        "nb.ipynb",
        ["To answer: szal approve r1 load [--reject]", "Then go on: szal resume r1"],
    ),
    "of a kernel that knows no file": (failed(BROKEN), None, ["To go on: szal resume r1"]),
    "of a script": (failed(BROKEN), None, ["To go on, in the script that started it: szal.resume(flow, 'r1')"]),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_ways_on_are_those_that_work(tmp_path, name):
    events, notebook, ways = WAYS[name]
    is_of_notebook = name != "of a script"
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        journal = store.begin(new_run("r1", notebook_path=notebook, params=PARAMS if "with parameters" in name else {}))
        journal.append_sync([*begun(), *events])
        living = ways_on(store.run("r1"), store.snapshot("r1"), is_of_notebook=is_of_notebook)
        journal.close()
        run, snapshot = store.run("r1"), store.snapshot("r1")

    text = run_text(run, snapshot, is_of_notebook=is_of_notebook)
    assert ways_on(run, snapshot, is_of_notebook=is_of_notebook) == ways
    assert text.endswith("\n".join(ways))
    assert ("Its process is gone." in text) == (name == "crashed")
    # Of one that goes on, whoever has it knows more.
    assert living == ([] if name in {"crashed", "waiting"} else ways)


def test_a_map_that_was_cut_tells_how_much_of_it_is_on_record():
    snapshot = fold(begun())
    snapshot.apply(StepStarted(at=2.0, step="load", attempt=1))
    ended = tuple(ElementEnd(position, kept=position < 2) for position in range(3))
    values = (ValueRef(name="xs[0-1]", hash="00"),)
    snapshot.apply(StepProgress(at=3.0, step="load", attempt=1, done=3, elements=ended, values=values, key="k"))

    assert "2 elements on record" in steps_table(snapshot)
