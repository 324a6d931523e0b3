"""Runs in stores of each released schema are migrated, forked, reused, exported and saved like those of today."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.api.past import diff, replay
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.doctor import repair
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

RELEASED = sorted((Path(__file__).parents[1] / "store" / "schemas").glob("v*.sql"))
# What the recorded run gave is not what its code would give: that tells what was taken.
CELLS = {"load": "load = 1", "clean": "clean = load", "plot": "plot = clean"}
CRASHED, TAKEN = "aaaaaaaaaaaa", [1, 2, {"a": None}]


@pytest.fixture(params=RELEASED, ids=lambda schema: schema.stem)
def store(request, tmp_path):
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        connection.executescript(request.param.read_text(encoding="utf-8"))
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


def flow(version=1, **cells):
    return CellFlow({**CELLS, **cells}, version=version, name="sales")


def test_a_run_is_migrated_with_what_is_declared_and_goes_on(store):
    migration.migration("sales", 1, 2)(lambda m: m.keep("load"))
    try:
        new = flow(2, plot="plot = clean, 2")
        to = NewVersion(graph=new.graph())
        migration.undo(store, migration.apply(store, CRASHED, to))
        run = new.resume(store, migration.apply(store, CRASHED, to))
    finally:
        migration._DECLARED.clear()

    assert (run.state, run.values.plot, new.deeds) == ("completed", (TAKEN, 2), ["clean", "plot"])


def test_without_a_declaration_what_cannot_be_compared_runs_again(store):
    new = flow(2)
    run = new.resume(store, migration.apply(store, CRASHED, NewVersion(graph=new.graph())))

    assert (run.values.plot, new.deeds) == (1, ["load", "clean", "plot"])


def test_a_run_is_forked_resumed_and_reused(store):
    forked = flow()
    assert forked.run(store, fork=(CRASHED, "clean")).values.plot == TAKEN
    assert forked.deeds == ["clean", "plot"]
    again = flow()
    assert (again.run(store, reuse=CRASHED).values.plot, again.deeds) == (1, ["load", "clean", "plot"])
    resumed = flow()
    assert (resumed.resume(store, CRASHED).values.plot, resumed.deeds) == (TAKEN, ["clean", "plot"])


def test_a_run_is_carried_collected_around_and_saved(store, tmp_path):
    export_run(store, CRASHED, tmp_path / "run.szal")
    collect(store, [run.id for run in store.runs()], now=9e9)
    repair(store.path, tmp_path / "saved.db")
    with RunStore.open(tmp_path / "saved.db", durability="fast") as saved:
        assert flow().resume(saved, CRASHED).values.plot == TAKEN
    with RunStore.open(tmp_path / "other.db", durability="fast") as other:
        taken = import_run(other, tmp_path / "run.szal").id
        assert replay(other, taken)["load"].values.load == TAKEN
        assert diff(other, taken, taken).is_same
        assert flow().resume(other, taken).values.plot == TAKEN
