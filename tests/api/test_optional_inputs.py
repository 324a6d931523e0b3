"""Inputs that a flow can do without: those that only conditions read (`inputs.<name>`), and those with a default."""

from __future__ import annotations

import pytest

import szal_nb as szal
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.mark.parametrize("when", ["inputs.level > 5", "level > 5"])
@pytest.mark.parametrize("store_or_none", [True, False])
def test_an_input_that_only_a_condition_reads_can_be_given(store, when, store_or_none):
    flow = szal.Flow("f")
    flow.step(name="a", when=when)(lambda: 1)

    states = [
        szal.run(flow, inputs, store=store if store_or_none else None)["a"].state
        for inputs in ({"level": 7}, {"level": 3}, {})
    ]
    assert states == ["completed", "skipped", "skipped" if when.startswith("inputs") else "failed"]


CELLS = {"load": "x = 1", 'check --when "inputs.level > 5"': "y = x"}


def test_an_input_of_the_notebook_that_only_a_condition_reads_is_one_of_the_run(store):
    flow = CellFlow(CELLS, notebook="level = 7")

    run = flow.run(store)

    assert (run["check"].state, [ref.name for ref in run.snapshot.inputs]) == ("completed", ["level"])
    assert flow.run(store, {"level": 3})["check"].state == "skipped"


def test_a_run_that_goes_on_with_another_input_asks_the_condition_again(store):
    flow = CellFlow(CELLS, notebook="level = 7")
    first = flow.run(store)
    assert first["check"].state == "completed"

    assert flow.run(store, {"level": 3}, reuse=first.id)["check"].state == "skipped"
    assert flow.run(store, {"level": 3}, fork=(first.id, "load"))["check"].state == "skipped"


def test_the_input_is_meant_also_where_a_step_gives_the_name_anew(store):
    cells = {"more": "level = level + 10", 'check --when "inputs.level < 5 and level > 5"': "y = level"}

    run = CellFlow(cells, notebook="level = 1").run(store)

    assert (run["check"].state, run.values.y) == ("completed", 11)


def test_what_only_a_condition_reads_is_in_no_namespace(store):
    cells = {'check --when "inputs.level > 5"': "names = sorted(n for n in globals() if not n.startswith('__'))"}

    assert CellFlow(cells, notebook="level = 7").run(store).values.names == []


def test_a_cached_step_is_found_again(store):
    cells = {'check --cache --when "inputs.level > 5"': "y = 1"}
    flow = CellFlow(cells, notebook="level = 7")

    assert [flow.run(store)["check"].origin for _ in range(2)] == ["ran", "cached"]


def with_default():
    flow = szal.Flow("default")
    calls = []

    @flow.step
    def level(base=1):
        return base

    @flow.step
    def twice(level):
        calls.append(level)
        if len(calls) == 1:
            raise ValueError("once")
        return level * 2

    return flow


def test_an_input_with_a_default_is_what_it_is_given(store):
    # It was the default whatever was given: only inputs that a flow cannot do without reached its steps.
    flow = szal.Flow("default")
    flow.step(name="a")(lambda base=1: base)

    runs = [szal.run(flow, inputs, store=store) for inputs in ({"base": 7}, {})]

    assert [run.values.a for run in runs] == [7, 1]
    assert [[ref.name for ref in run.snapshot.inputs] for run in runs] == [["base"], []]
    assert szal.run(flow, {"base": 7}, store=None).values.a == 7


def test_an_input_with_a_default_is_kept_by_a_resume_and_a_fork_and_may_change(store):
    flow = with_default()
    first = szal.run(flow, {"base": 7}, store=store)
    assert first.state == "failed"

    assert szal.resume(flow, first.id, store=store).values.twice == 14
    assert szal.fork(flow, first.id, "level", store=store).values.twice == 14
    assert szal.resume(flow, first.id, {"base": 8}, store=store).values.twice == 16
    assert szal.run(flow, {"base": 9}, store=store, reuse=first.id).values.twice == 18
    assert szal.run(flow, {"base": 7}, store=store, reuse=first.id)["level"].origin == "cached"
