"""What a run holds that is no plain value, and each way to go on from its record.

The answer is that of a fresh run, or the way is refused with what to do instead; never another answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from szal_nb.analysis.carrying import carried
from szal_nb.api.past import diff, replay, verified
from szal_nb.api.run import Run
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.runs import RunStore
from tests.promises.answer import shape_of
from tests.promises.held import Kernel, answer_of, kept_process, moments, values_told
from tests.promises.held_programs import PROGRAMS
from tests.promises.ways import (
    OF_AN_IMPORTED,
    after_collection_and_repair,
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

VERSIONS = [(name, version) for name, held in PROGRAMS.items() for version in held.versions()]


@pytest.fixture
def store() -> Iterator[RunStore]:
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    with kept_process():
        yield


def carried_alone(refs: Any, run_id: str, names: Any, _: Any) -> Any:
    """As the inputs of a run were carried to a next version once."""
    return carried([ref for ref in refs if ref.name in names], run_id, names, {})


ALWAYS = (resumed, forked, imported, after_collection_and_repair)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("way", ALWAYS, ids=lambda way: way.__name__)
def test_a_run_that_goes_on_ends_as_a_fresh_one_or_is_refused(way, name, store, tmp_path):
    held = PROGRAMS[name]
    ways = way(held, tmp_path, store, recorded(held, tmp_path, store))
    refused = f"{held.refused}|{OF_AN_IMPORTED}" if way is imported else held.refused

    assert wrong_ways(ways, fresh(held, tmp_path), refused) == {}


@pytest.mark.parametrize("name", PROGRAMS)
def test_so_does_one_that_goes_on_with_other_inputs(name, store, tmp_path):
    held = PROGRAMS[name]
    ways = resumed_with_other_inputs(held, tmp_path, store, recorded(held, tmp_path, store))

    assert wrong_ways(ways, fresh(held, tmp_path, inputs=other_input(held)), held.refused) == {}


@pytest.mark.parametrize(("name", "version"), VERSIONS)
@pytest.mark.parametrize("way", [reused, migrated], ids=lambda way: way.__name__)
def test_so_does_one_in_the_next_version(way, name, version, store, tmp_path):
    held = PROGRAMS[name]
    ways = way(held, tmp_path, store, recorded(held, tmp_path, store), version)

    assert wrong_ways(ways, fresh(held, tmp_path, version), held.refused) == {}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_replayed_as_it_was_at_each_moment_and_gives_the_same_again(name, store, tmp_path):
    held = PROGRAMS[name]
    expected = fresh(held, tmp_path)
    done = recorded(held, tmp_path, store)
    past = replay(store, done)
    again = Kernel(held, tmp_path).run(store).id
    export_run(store, done, tmp_path / "run.szal")

    assert answer_of(past) == without(expected, past)
    assert (verified(store, done, again), diff(store, done, again).is_same) == ((), True)
    for event in moments(store, done):
        then = past.at(event)
        assert answer_of(then)["values"].keys() <= answer_of(past)["values"].keys() | set(past.deleted_names())
    with RunStore.open(":memory:", durability="fast") as other:
        taken = import_run(other, tmp_path / "run.szal").id
        assert answer_of(replay(other, taken, trust=True)) == without(expected, past)
        # Without trust it is plain values, all of them as they are, or none.
        plain, whole = values_told(replay(other, taken)), values_told(past)
        assert {name: shape_of({name: plain[name]}) for name in plain} == {
            name: shape_of({name: whole[name]}) for name in plain
        }


# A check that cannot go red proves nothing: each of these faults must be found.


@pytest.mark.parametrize(
    ("what", "stand_in", "way", "name", "version"),
    [
        ("analysis.reuse.settle_shared", lambda *_, **__: None, reused, "random numbers", "a draw"),
        ("analysis.migration.settle_shared", lambda *_, **__: None, migrated, "random numbers", "a draw"),
        ("analysis.migration._Planner._behind", lambda *_: "", migrated, "a condition over an output", "not any more"),
        ("api.migration.carried_inputs", carried_alone, migrated, "inputs that share", "as it was"),
        ("store.pickling.code_of_class", lambda _: "", reused, "an instance as input", "a method"),
        ("analysis.hidden.LOOKS", "pyplot", reused, "looks of figures", "not set"),
    ],
    ids=lambda given: given if isinstance(given, str) and "." in given else "",
)
def test_a_fault_in_what_is_taken_is_found(what, stand_in, way, name, version, store, tmp_path, monkeypatch):
    held = PROGRAMS[name]
    expected = fresh(held, tmp_path, version)
    monkeypatch.setattr(f"szal_nb.{what}", stand_in)
    ways = way(held, tmp_path, store, recorded(held, tmp_path, store), version)

    assert wrong_ways(ways, expected, held.refused) != {}


def test_a_replay_that_does_not_read_what_was_recorded_together_is_found(store, tmp_path, monkeypatch):
    held = PROGRAMS["views of one memory"]
    past = replay(store, recorded(held, tmp_path, store))
    monkeypatch.setattr("szal_nb.api.together.RecordedTogether.recorded_by", lambda *_: None)

    assert answer_of(past) != without(fresh(held, tmp_path), past)


def without(expected: dict[str, Any], past: Run) -> dict[str, Any]:
    """The expected answer without what was live, and what is of a class that only the notebook has."""
    given = {ref.name for step in past.steps.values() for ref in step.refs}
    live = {ref.name for step in past.steps.values() for ref in step.refs if ref.live is not None}
    classes = {
        ref.name for step in past.steps.values() for ref in step.refs if ref.type.rpartition(".")[2] in ("C", "K")
    }
    gone = live if given & {"K"} else live | classes
    return {**expected, "values": {name: one for name, one in expected["values"].items() if name not in gone}}
