"""Runs that do more than give values: undone, torn, run by the body of a step, in each state in which they can be left.

The answer, and what steps have done outside of the run, is that of a fresh run, or the way on is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from szal_nb.model.state import RunSnapshot
from szal_nb.store.runs import RunStore
from tests.promises.held import Kernel, cut, kept_process, moments, world
from tests.promises.held_ends import ENDS, SUB_FLOWS
from tests.promises.ways import (
    OF_AN_IMPORTED,
    after_collection_and_repair,
    decided,
    forked,
    fresh,
    imported,
    migrated,
    other_input,
    recorded,
    resumed,
    resumed_with_other_inputs,
    reused,
    wrong_ways,
)

ALL = {**ENDS, **SUB_FLOWS}
VERSIONS = [(name, version) for name, held in ALL.items() for version in held.versions()]
# What a run takes from another one is undone with that.
ANEW = [(name, version) for name, version in VERSIONS if version != "as it was" or not ALL[name].is_undone_again]


@pytest.fixture
def store() -> Iterator[RunStore]:
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    with kept_process():
        yield


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "way", [resumed, forked, decided, imported, after_collection_and_repair], ids=lambda way: way.__name__
)
def test_a_run_goes_on_from_its_end_as_a_fresh_one_or_is_refused(way, name, store, tmp_path):
    held = ALL[name]
    ways = way(held, tmp_path, store, recorded(held, tmp_path, store))

    assert wrong_ways(ways, fresh(held, tmp_path), f"{held.refused}|{OF_AN_IMPORTED}") == {}


@pytest.mark.parametrize("name", ALL)
def test_so_does_one_that_goes_on_with_other_inputs(name, store, tmp_path):
    held = ALL[name]
    ways = resumed_with_other_inputs(held, tmp_path, store, recorded(held, tmp_path, store))

    assert wrong_ways(ways, fresh(held, tmp_path, inputs=other_input(held)), held.refused) == {}


@pytest.mark.parametrize(("name", "version"), ANEW)
def test_so_does_one_that_takes_from_it(name, version, store, tmp_path):
    held = ALL[name]
    ways = reused(held, tmp_path, store, recorded(held, tmp_path, store), version)

    assert wrong_ways(ways, fresh(held, tmp_path, version), held.refused) == {}


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_so_does_one_that_is_carried_to_the_next_version(name, version, store, tmp_path):
    held = ALL[name]
    ways = migrated(held, tmp_path, store, recorded(held, tmp_path, store), version)

    assert wrong_ways(ways, fresh(held, tmp_path, version), held.refused) == {}


def test_what_a_run_takes_from_another_is_not_undone_with_it(store, tmp_path):
    held = ENDS["undone"]
    done = recorded(held, tmp_path, store)
    killed = next(old for at in moments(store, done) if store.snapshot(old := cut(store, done, at)).steps["b"].values)

    run = Kernel(held, tmp_path).run(store, reuse=killed)

    assert (run.state, run["a"].state, run["b"].state, world.done) == (
        "rolled_back",
        "completed",
        "completed",
        {"a", "b"},
    )


def own_steps_alone(snapshot: RunSnapshot, step: str) -> bool:
    """As it was told once what a run undoes."""
    found = snapshot.steps[step]
    return found.state == "completed" and found.attempt > 0 and not found.taken_from


@pytest.mark.parametrize(
    ("what", "stand_in", "way", "name", "version"),
    [
        ("model.state.RunSnapshot.is_to_be_undone", own_steps_alone, migrated, "undone", "as it was"),
        ("model.state.RunSnapshot.is_to_be_undone", lambda *_: False, reused, "undone", "mended"),
        ("model.state.RunSnapshot.is_to_be_undone", lambda *_: False, resumed, "undone", None),
        ("api.launch.rejected_steps", lambda _: ["b"], decided, "waiting", None),
        ("engine.again._is_gone", lambda _: False, resumed, "a run of a sub-flow as value", None),
    ],
    ids=lambda given: given if isinstance(given, str) and "." in given else "",
)
def test_a_fault_in_what_is_made_of_the_record_is_found(
    what, stand_in, way, name, version, store, tmp_path, monkeypatch
):
    held = ALL[name]
    expected = fresh(held, tmp_path, version or "as it was")
    done = recorded(held, tmp_path, store)
    monkeypatch.setattr(f"szal_nb.{what}", stand_in)
    ways = way(held, tmp_path, store, done, *([version] if version else []))

    assert wrong_ways(ways, expected, held.refused) != {}
