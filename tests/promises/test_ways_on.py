"""What a run holds that is no plain value, and each way to go on from its record.

The answer is that of a fresh run, or the way is refused with what to do instead; never another answer.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from szal_nb.analysis.carrying import carried
from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.api.past import diff, replay, verified
from szal_nb.api.run import Run
from szal_nb.errors import SzalError
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.doctor import repair
from szal_nb.store.runs import RunStore
from tests.promises.answer import shape_of
from tests.promises.held import Held, Kernel, answer_of, cut, kept_process, moments, values_told
from tests.promises.held_programs import PROGRAMS

VERSIONS = [(name, version) for name, held in PROGRAMS.items() for version in held.versions()]
Ways = Iterable[tuple[object, Callable[[], Run]]]


@pytest.fixture
def store() -> Iterator[RunStore]:
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    with kept_process():
        yield


def fresh(held: Held, folder: Path, version: str = "as it was", inputs: Any = None) -> dict[str, Any]:
    """What a run leaves behind that takes nothing from another."""
    with RunStore.open(":memory:", durability="fast") as other:
        return answer_of(Kernel(held, folder, version).run(other, inputs))


def recorded(held: Held, folder: Path, store: RunStore) -> str:
    """A run of the flow that has completed, from which all cut ones are made."""
    run = Kernel(held, folder).run(store)
    assert run.state == "completed", answer_of(run)
    return run.id


def wrong_ways(ways: Ways, expected: dict[str, Any], refused: str) -> dict[object, object]:
    """The ways that do not lead to the expected answer and are not refused with that text, and what came of them."""
    found: dict[object, object] = {}
    for label, way in ways:
        try:
            answer = answer_of(way())
        except SzalError as error:
            text, answer = str(error), {}
        else:
            text = " ".join(error for _, error in answer["states"].values())
        if answer != expected and not re.search(refused, text):
            found[label] = answer or text
    return found


def carried_alone(refs: Any, run_id: str, names: Any, _: Any) -> Any:
    """As the inputs of a run were carried to a next version once."""
    return carried([ref for ref in refs if ref.name in names], run_id, names, {})


# The ways on. Each is a function of the flow, a folder for its processes, its store and the run that completed.


def resumed(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    for moment in moments(store, done):
        yield moment, lambda at=moment: Kernel(held, folder).resume(store, cut(store, done, at))


def forked(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    for step in store.snapshot(done).steps:
        yield step, lambda step=step: Kernel(held, folder).run(store, fork=(done, step))


def resumed_with_other_inputs(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    for moment in moments(store, done):
        old = cut(store, done, moment)
        yield moment, lambda old=old: Kernel(held, folder).run(store, other_input(held), fork=(old, None))


def other_input(held: Held) -> dict[str, Any]:
    return {} if held.input is None else dict([copy.deepcopy(held.input)])


def reused(held: Held, folder: Path, store: RunStore, done: str, version: str = "as it was") -> Ways:
    for moment in (None, *moments(store, done)[::2]):
        old = done if moment is None else cut(store, done, moment)
        yield moment, lambda old=old: Kernel(held, folder, version).run(store, reuse=old)


def migrated(held: Held, folder: Path, store: RunStore, done: str, version: str = "as it was") -> Ways:
    # Before one is undone: what goes with that may have been that of others.
    for moment, old in [(moment, cut(store, done, moment)) for moment in moments(store, done)]:
        to = NewVersion(graph=Kernel(held, folder, version, number=2).graph())
        made: list[str] = []

        def carried(old: str = old, to: NewVersion = to, made: list[str] = made) -> Run:
            migration.undo(store, migration.apply(store, old, to))
            made.append(migration.apply(store, old, to))
            return Kernel(held, folder, version, number=2).resume(store, made[0])

        yield moment, carried
        # Its process dies once more, when it has gone on.
        for again in moments(store, made[0])[3::4] if made else ():
            second = cut(store, made[0], again)
            kernel = partial(Kernel, held, folder, version, number=2)
            yield (moment, again), lambda second=second, kernel=kernel: kernel().resume(store, second)


def imported(held: Held, folder: Path, store: RunStore, done: str) -> Ways:
    with RunStore.open(folder / "other.db", durability="fast") as other:

        def carried_over(moment: int | None) -> str:
            run = done if moment is None else cut(store, done, moment)
            export_run(store, run, folder / "run.szal")
            return import_run(other, folder / "run.szal").id

        took = carried_over(None)
        yield from ((("fork", step), way) for step, way in forked(held, folder, other, took))
        yield "reuse", lambda: Kernel(held, folder).run(other, reuse=took)
        for moment in moments(store, done)[1::2]:
            yield ("resume", moment), lambda at=moment: Kernel(held, folder).resume(other, carried_over(at))
            to = NewVersion(graph=Kernel(held, folder, number=2).graph())
            kernel = partial(Kernel, held, folder, number=2)
            old = carried_over(moment)
            yield (
                ("migrate", moment),
                lambda old=old, to=to, kernel=kernel: kernel().resume(other, migration.apply(other, old, to)),
            )


def after_collection_and_repair(held: Held, folder: Path, _: RunStore, __: str) -> Ways:
    with RunStore.open(folder / "runs.db", durability="fast") as own:
        done = recorded(held, folder, own)
        cuts = {moment: cut(own, done, moment) for moment in moments(own, done)}
        collect(own, [run.id for run in own.runs()], now=9e9)
        repair(own.path, folder / "saved" / "runs.db")
        with RunStore.open(folder / "saved" / "runs.db", durability="fast") as saved:
            for place, where in (("collected", own), ("repaired", saved)):
                for moment, old in cuts.items():
                    yield (place, moment), lambda where=where, old=old: Kernel(held, folder).resume(where, old)


ALWAYS = (resumed, forked, imported, after_collection_and_repair)
# Loading runs code of whoever made an imported run.
OF_AN_IMPORTED = r"was imported; to go on|its run was imported"


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
