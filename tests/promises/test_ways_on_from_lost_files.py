"""Values in files of their own that are gone or damaged, and each way to go on from the record of a run that names them.

What a step gave is made again; an input is asked for. Never another answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.api.run import Run
from szal_nb.errors import SzalError
from szal_nb.store.runs import RunStore
from tests.promises.held import Held, Kernel, answer_of, cut, kept_process, moments
from tests.promises.held_programs import PROGRAMS
from tests.promises.ways import fresh, recorded

PLAIN = Held("k = [1]", {"a": "a = [1, k[0]]", "b": "b = a + [2]", "c": "c = [9]", "end": "e = b + [3] + c"})
FLOWS = {
    "plain": PLAIN,
    **{name: PROGRAMS[name] for name in ("values that share", "random numbers", "a default that grows")},
}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda file: file.unlink(),
    "too short": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "other bytes": lambda file: file.write_bytes(bytes(byte ^ 1 for byte in file.read_bytes())),
}


def resumed(held: Held, folder: Path, store: RunStore, old: str) -> Run:
    return Kernel(held, folder).resume(store, old)


def with_other_inputs(held: Held, folder: Path, store: RunStore, old: str) -> Run:
    return Kernel(held, folder).run(store, fork=(old, None))


def forked(held: Held, folder: Path, store: RunStore, old: str) -> Run:
    return Kernel(held, folder).run(store, fork=(old, "end"))


def reused(held: Held, folder: Path, store: RunStore, old: str) -> Run:
    return Kernel(held, folder).run(store, reuse=old)


def migrated(held: Held, folder: Path, store: RunStore, old: str) -> Run:
    made = migration.apply(store, old, NewVersion(graph=Kernel(held, folder, number=2).graph()))
    return Kernel(held, folder, number=2).resume(store, made)


WAYS = (resumed, with_other_inputs, forked, reused, migrated)


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    with kept_process():
        yield


@pytest.fixture
def store(tmp_path, monkeypatch) -> Iterator[RunStore]:
    """One that keeps all values in files."""
    for module in ("survival", "bundle", "values"):
        monkeypatch.setattr(f"szal_nb.store.{module}.INLINE_BYTES", 0)
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


def places(store: RunStore, run: str) -> dict[str, bool]:
    """The files that a run names, and whether a step gave what they hold."""
    snapshot = store.snapshot(run)
    found = {str(ref.hash): True for step in snapshot.steps.values() for ref in step.values if ref.hash}
    return found | {str(ref.hash): False for ref in snapshot.inputs if ref.hash}


def wrong_answers(way: Any, held: Held, folder: Path, store: RunStore, damage: Callable[[Path], object]) -> Any:
    """What came of it that is neither the answer nor a clear word, by moment and file."""
    done, expected = recorded(held, folder, store), fresh(held, folder)
    found: dict[object, object] = {}
    for moment in moments(store, done):
        for digest, is_given in places(store, cut(store, done, moment)).items():
            old = cut(store, done, moment)
            file = store.files.path_of(digest)
            content = file.read_bytes()
            damage(file)
            answer, text = went(way, held, folder, store, old)
            if answer != expected and "is damaged" in text and is_given:
                # Nobody could see it before it was read: now it is known.
                answer, text = went(resumed, held, folder, store, store.runs()[0].id if answer else old)
            is_told = not is_given and re.search(r"is (lost|damaged): .*-p ", text)
            if answer != expected and not is_told:
                found[moment, digest] = answer or text
            file.write_bytes(content)
    return found


def went(way: Any, *given: Any) -> tuple[dict[str, Any], str]:
    try:
        answer = answer_of(way(*given))
    except SzalError as error:
        return {}, str(error)
    return answer, " ".join(error for _, error in answer["states"].values())


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_a_step_gave_is_made_again_and_an_input_is_asked_for(way, damage, name, store, tmp_path):
    assert wrong_answers(way, FLOWS[name], tmp_path, store, DAMAGES[damage]) == {}


@pytest.mark.parametrize("way", [reused, forked], ids=lambda way: way.__name__)
def test_a_way_that_does_not_look_at_files_is_found(way, store, tmp_path, monkeypatch):
    monkeypatch.setattr("szal_nb.api.reuse.finder_of_lost", lambda *_: lambda _: ())

    assert wrong_answers(way, PLAIN, tmp_path, store, DAMAGES["gone"]) != {}


def test_a_resume_that_does_not_know_what_was_recorded_together_is_found(store, tmp_path, monkeypatch):
    monkeypatch.setattr("szal_nb.engine.again.is_shared_name", lambda _: False)

    assert wrong_answers(resumed, FLOWS["values that share"], tmp_path, store, DAMAGES["gone"]) != {}
