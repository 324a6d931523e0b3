"""A step that failed in the middle of a change is tried again with what it began with: by itself, and by hand."""

from __future__ import annotations

import asyncio
import random

import pytest

import szal_nb as szal
from szal_nb.api.launch import Surround, start_run
from szal_nb.errors import RunError
from tests.api.cell_flows import CellFlow

AT_FIRST = "\nimport szal_nb as szal\nif szal.context().attempt == 1:\n    raise OSError"
COUNTING = "def seen(x, so_far=[]):\n    so_far.append(x)\n    return list(so_far)"

# What it begins with is at hand: the notebook, the cells, and what the last one gives.
AT_HAND = {
    "an input": ("xs = [1]", {"grow": "xs.append(2)", "end": "end = list(xs)"}),
    "a value": ("", {"make": "xs = [1]", "grow": "xs.append(2)", "end": "end = list(xs)"}),
}  # fmt: skip
LOST = {
    "a live value": ("", {"make": "import threading\nxs = [threading.Lock()]", "grow": "xs.append(2)", "end": "end = len(xs)"}),
    "inputs that share": ("xs = [1]\nys = [xs]", {"grow": "xs.append(2)", "end": "end = (xs[:], str(ys))"}),
    "values that share": ("", {"make": "xs = [1]\nys = [xs]", "grow": "xs.append(2)", "end": "end = (xs[:], str(ys))"}),
    "a default": (COUNTING, {"first": "seen(0)", "grow": "seen(1)", "end": "end = seen(2)"}),
    "an attribute": ("class C:\n    items = []", {"grow": "C.items.append(1)", "end": "end = list(C.items)"}),
}  # fmt: skip


def flow_of(notebook, cells, flags=""):
    """Such a flow, whose step in the middle fails at its first attempt, after all that it does."""
    name = list(cells)[-2]
    return CellFlow({f"{n} {flags}" if n == name else n: source + (AT_FIRST if n == name else "")
                     for n, source in cells.items()}, notebook=notebook), name  # fmt: skip


def uncut(notebook, cells):
    space = {}
    for source in (notebook, *cells.values()):
        exec(source, space)
    return space["end"]


def run_of(flow, store, again=None):
    """The run of the flow, after step `again` was tried again by hand."""

    async def main():
        graph = flow.graph()
        inputs = {name: flow.space[name] for name in graph.inputs}
        run = start_run(graph, flow.bodies(graph), inputs, Surround(store=store))
        await run.wait()
        if again is not None:
            assert run.state == "failed"
            run.retry(again)
            await run.wait()
        return run

    return asyncio.run(main())


@pytest.fixture
def store(tmp_path):
    with szal.open_store(tmp_path / "runs.db") as opened:
        yield opened


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize(
    ("notebook", "cells"), [*AT_HAND.values(), *list(LOST.values())[1:]], ids=[*AT_HAND, *list(LOST)[1:]]
)
def test_by_itself(notebook, cells, store, is_recorded):
    flow, _ = flow_of(notebook, cells, "--retries 1 --delay 0s")

    assert run_of(flow, store if is_recorded else None).values.end == uncut(notebook, cells)


@pytest.mark.parametrize(("notebook", "cells"), AT_HAND.values(), ids=AT_HAND)
def test_by_hand(notebook, cells, store):
    flow, name = flow_of(notebook, cells)

    assert run_of(flow, store, name).values.end == uncut(notebook, cells)


@pytest.mark.parametrize(("notebook", "cells"), LOST.values(), ids=LOST)
def test_by_a_resume_where_what_it_began_with_is_lost(notebook, cells, store):
    # It was tried again on what it had left: changed twice, silently.
    flow, name = flow_of(notebook, cells)
    with pytest.raises(RunError, match=f"Step {name!r} came to nothing after it began to change .* resume the run"):
        run_of(flow, store, name)
    (run,) = store.runs()

    assert flow.resume(store, run.id).values.end == uncut(notebook, cells)


@pytest.mark.parametrize(("notebook", "cells"), [*AT_HAND.values(), *LOST.values()], ids=[*AT_HAND, *LOST])
def test_without_a_record_it_is_lost(notebook, cells):
    flow, name = flow_of(notebook, cells)

    with pytest.raises(RunError, match="came to nothing after it began to change in place: .* start a new run"):
        run_of(flow, None, name)


def test_an_attempt_draws_further_random_numbers(store):
    # What failed by an unlucky draw would fail for ever if it drew the same again.
    draw = "import random\nimport szal_nb as szal\nend = random.random()\nif szal.context().attempt == 1:\n    raise OSError"
    flow = CellFlow({"seed": "import random\nrandom.seed(1)", "draw --retries 1 --delay 0s": draw})
    drawn = random.Random(1)
    drawn.random()

    assert run_of(flow, store).values.end == drawn.random()
