"""What the modules that steps import leave behind is there also where these steps do not run again."""

from __future__ import annotations

import json
import sys

import pytest

from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

# As a library that registers itself with another one.
REGISTERING = "import json\njson.szal_codec = lambda value: value + 1\n"
CELLS = {
    "load {flags}": "try:\n    from szal_registering import json as _\nexcept ImportError:\n    raise\nx = 1",
    "use": "import json\ny = json.szal_codec(x)",
}


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as opened:
        yield opened


@pytest.fixture
def another_process(tmp_path, monkeypatch):
    """Makes this process one that has not imported it."""
    (tmp_path / "szal_registering.py").write_text(REGISTERING)
    monkeypatch.syspath_prepend(tmp_path)

    def forget():
        sys.modules.pop("szal_registering", None)
        vars(json).pop("szal_codec", None)

    yield forget
    forget()


def flow(flags=""):
    return CellFlow({name.format(flags=flags): source for name, source in CELLS.items()})


def test_after_a_resume(store, another_process):
    recorded = flow()
    recorded.fails.add("use")
    run = recorded.run(store)
    another_process()
    resumed = flow()

    assert resumed.resume(store, run.id).values.y == 2
    assert resumed.deeds == ["use"]


def test_of_steps_that_are_taken_from_another_run(store, another_process):
    recorded = flow()
    run = recorded.run(store)
    another_process()
    changed = CellFlow({"load": CELLS["load {flags}"], "use": CELLS["use"] + " + 1"})
    again = changed.run(store, reuse=run.id)

    assert changed.deeds == ["use"]
    assert again.values.y == 3


def test_of_steps_that_are_cached(store, another_process):
    flow("--cache").run(store)
    another_process()
    again = flow("--cache")

    assert again.run(store).values.y == 2
    assert again.deeds == ["use"]


def test_what_is_not_there_any_more_is_left_out(store, another_process):
    source = "try:\n    import szal_never_there\nexcept ImportError:\n    pass\nx = 1"
    recorded = CellFlow({"load": source, "use": "y = x + 1"})
    recorded.fails.add("use")
    run = recorded.run(store)

    assert CellFlow({"load": source, "use": "y = x + 1"}).resume(store, run.id).values.y == 2
