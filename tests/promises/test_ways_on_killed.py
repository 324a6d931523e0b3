"""The process dies at each commit while it writes what goes on from a run; asked again, there is one outcome, and whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import szal_nb as szal
from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.errors import SzalError
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.doctor import Level, examine
from szal_nb.store.runs import RunStore
from tests.store.test_failpoints import Points

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]
SUM = int(np.arange(1, 100_001).sum())


class Commits(Points):
    """The points before and after each COMMIT alone."""

    def reach(self, name: str) -> None:
        if "COMMIT" in name:
            super().reach(name)


def flow(*, version: int = 1, is_broken: bool = False) -> szal.Flow:
    made = szal.Flow("sums", version=version)
    made.step(name="load")(lambda: np.arange(100_000))
    made.step(name="more")(lambda load: load + 1)
    made.step(name="total")((lambda more: more / None) if is_broken else lambda more: int(more.sum()))
    return made


def in_child(folder: Path, act: Any, end_at: int | None = None) -> Any:
    """What `act` gives of the folder's store, or its refusal, in a process that ends at this point; then None.

    With the points that were reached.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            points = Commits(end_at or 0)
            if end_at is not None:
                points.install()
            with RunStore.open(folder / "runs.db") as store:
                try:
                    given = act(store, folder)
                except SzalError as error:
                    given = str(error)
            with os.fdopen(writing, "w") as pipe:
                json.dump((given, points.names), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else (None, [])


def begin(store: RunStore, folder: Path) -> list[str]:
    """A run that completed, one that failed, and the file of one that is not there."""
    with RunStore.open(folder / "other.db") as other:
        export_run(other, szal.run(flow(), store=other).id, folder / "run.szal")
    return [szal.run(flow(is_broken=broken), store=store).id for broken in (False, True)]


def imported(store: RunStore, folder: Path) -> str:
    return import_run(store, folder / "run.szal").id


def migrated(store: RunStore, _: Path) -> str:
    (failed,) = (run.id for run in store.runs() if run.state == "failed" and run.from_run is None)
    return migration.apply(store, failed, NewVersion(graph=flow(version=2).graph()))


def undone(store: RunStore, _: Path) -> str:
    return migration.undo(store, next(run.id for run in store.runs() if run.from_run is not None))


def collected(store: RunStore, _: Path) -> list[str]:
    return list(collect(store, [run.id for run in store.runs() if run.state == "completed"], now=9e9).runs)


def forked(store: RunStore, _: Path) -> str:
    (completed,) = (run.id for run in store.runs() if run.state == "completed" and run.from_run is None)
    return szal.fork(flow(), completed, "more", store=store).id


def reused(store: RunStore, _: Path) -> str:
    return szal.run(flow(), store=store, reuse=True).id


def look(store: RunStore, folder: Path) -> list[Any]:
    """The states of the runs, with the totals of those that have them; what cannot be loaded, and what a doctor says."""
    wrong = [found.text for found in examine(folder / "runs.db") if found.level is Level.PROBLEM]
    runs = []
    for run in store.runs():
        loader = store.loader(run.id)
        steps = store.snapshot(run.id).steps
        values = {name: loader.load(ref) for name, step in steps.items() for ref in step.values}
        assert all(np.array_equal(values["load"] + 1, values[name]) for name in ("more",) if name in values)
        runs.append((run.shown_state, values.get("total")))
    return [wrong, runs]


BEFORE = [["failed", None], ["completed", SUM]]
AFTER = {
    imported: [*BEFORE, ["completed", SUM]],
    migrated: [["crashed", None], *BEFORE],
    undone: BEFORE,
    collected: BEFORE[:1],
    forked: [["completed", SUM], *BEFORE],
    reused: [["completed", SUM], *BEFORE],
}
# What was cut off in the middle of its steps stays, to be resumed; and so does what was told to nobody.
AND_PERHAPS = {forked: [["crashed", None], ["completed", SUM]], reused: [["crashed", None], ["completed", SUM]]}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    in_child(folder, begin)
    return folder


@pytest.mark.parametrize("way", AFTER, ids=lambda way: way.__name__)
def test_a_way_on_that_is_cut_off_at_a_commit_and_asked_again_has_one_outcome(way, begun, tmp_path):
    base = shutil.copytree(begun, tmp_path / "base")
    if way is undone:
        in_child(base, migrated)
    _, names = in_child(shutil.copytree(base, tmp_path / "whole"), way, 0)
    assert in_child(tmp_path / "whole", look)[0] == [[], AFTER[way]]

    ends = list(range(1, len(names) + 1))
    if way in AND_PERHAPS and "SZAL_TORTURE" not in os.environ:
        ends = sorted({*ends[:2], *ends[-2:]})
    cut = 0
    for end in ends:
        folder = shutil.copytree(base, tmp_path / str(end))
        given, _ = in_child(folder, way, end)
        # Steps that end at the same moment may share a commit, so that there are fewer.
        cut += given is None
        wrong, _ = in_child(folder, look)[0]
        assert wrong == []
        in_child(folder, way)
        wrong, runs = in_child(folder, look)[0]
        for more in AND_PERHAPS.get(way, ()):
            if len(runs) > len(AFTER[way]) and more in runs:
                runs.remove(more)
        assert (wrong, runs) == ([], AFTER[way]), f"cut off {names[end - 1]}, number {end}"
    assert cut >= 2
