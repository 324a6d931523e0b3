"""`szal gc` "never what a live run, fork or cache entry needs"."""

from __future__ import annotations

import time

import pytest

import szal_nb as szal
from szal_nb.app.cli import main
from szal_nb.store.collect import Collected, cache_holders, collect, removable
from szal_nb.store.runs import RunStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


def flow_of(name="stock", before=lambda: None):
    """`count` reads what `load` gives; `before` is what `load` does first. `count` is cached."""
    flow = szal.Flow(name)

    def load(rows):
        before()
        return [1, 2, rows]

    flow.step(load)

    @flow.step(cache=True)
    def count(load):
        return [len(load)] * 5

    return flow


def collected(path):
    """All runs that may go, whatever their age."""
    with RunStore.open(path) as store:
        return collect(store, removable(store.runs(), older_than_s=0, now=time.time() + 10))


def test_a_live_run_finds_the_values_that_it_will_take(path):
    first = szal.run(flow_of(), {"rows": 3}, store=path)
    found = []

    # What `load` gives is not known before it has run, so `count` is decided when it is about to start.
    second = szal.run(flow_of(before=lambda: found.append(collected(path))), {"rows": 3}, store=path, reuse=first.id)

    assert (second.state, second["count"].origin, second.values.count) == ("completed", "cached", [3] * 5)
    assert found == [Collected(kept=(first.id,))]
    assert set(collected(path).runs) == {first.id, second.id}


def test_runs_of_another_flow_go_all_the_same(path):
    other = szal.run(flow_of("other"), {"rows": 3}, store=path)
    found = []

    szal.run(flow_of(before=lambda: found.append(collected(path))), {"rows": 3}, store=path)

    assert found[0].runs == (other.id,)


def test_a_fork_keeps_what_it_took(path):
    first = szal.run(flow_of(), {"rows": 3}, store=path)
    fork = szal.fork(flow_of(), first.id, "count", store=path)
    with RunStore.open(path) as store:
        collect(store, [first.id])
        assert [run.id for run in store.runs()] == [fork.id]
        assert store.value(fork.id, "load", "load") == [1, 2, 3]


def test_the_newest_result_of_a_cached_step_stays(path, capsys):
    for rows in (3, 4):
        run = szal.run(flow_of(), {"rows": rows}, store=path)
    assert main(["gc", "--older-than", "0s", "--max-size", "0B", "--store", str(path)]) == 0

    again = szal.run(flow_of(), {"rows": 4}, store=path)

    assert (again["count"].origin, again["count"].value) == ("cached", [3] * 5)
    with RunStore.open(path) as store:
        assert cache_holders(store) == {again.id}
        assert [stored.id for stored in store.runs()] == [again.id, run.id]


def test_a_step_that_is_not_cached_any_more_holds_nothing(path):
    szal.run(flow_of(), {"rows": 3}, store=path)
    flow = szal.Flow("stock")
    flow.step(name="count")(lambda rows: rows)
    szal.run(flow, {"rows": 3}, store=path)

    with RunStore.open(path) as store:
        assert cache_holders(store) == set()
