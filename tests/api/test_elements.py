"""A mapped step that was cut short goes on with the elements that are missing, where nobody could tell the difference."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing

import numpy as np
import pytest

import szal_nb as szal
from szal_nb.model.event import StepProgress
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow


class World:
    """What the elements of a test have done, and which of them fail."""

    def __init__(self):
        self.ran = []
        self.bad = set()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


def flow_of(give, world, xs=range(6), **flags):
    flow = szal.Flow("map")

    @flow.step
    def start():
        return xs if isinstance(xs, set) else list(xs)

    @flow.step(map="start", **{"max_parallel": 1, **flags})
    def ys(start):
        world.ran.append(start)
        if start in world.bad:
            raise ValueError(f"no {start}")
        return give(start)

    @flow.step
    def end(ys):
        return ys

    return flow


def cut_and_resumed(give, world, store, xs=range(6), **flags):
    """The resumed run; `world.ran` has what ran again."""
    world.bad = {4}
    cut = szal.run(flow_of(give, world, xs, **flags), store=store)
    assert cut.state == "failed"
    world.bad = set()
    world.ran.clear()
    return szal.resume(flow_of(give, world, xs, **flags), cut.id, store=store)


def rows(store, run, step="ys"):
    with closing(sqlite3.connect(store.path)) as database:
        sql = 'SELECT name, is_current, type, shape FROM "values" WHERE run_id = ? AND step = ? ORDER BY name'
        return database.execute(sql, (run.id, step)).fetchall()


def as_list(x):
    return [x]


GIVES = {
    "numbers": lambda x: x * 10,
    "lists": lambda x: [x, [x]],
    "arrays": lambda x: np.arange(50_000) + x,
    "sets": lambda x: {x, "a"},
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("give", GIVES.values(), ids=GIVES)
def test_a_resume_runs_only_the_elements_that_are_missing(give, world, store):
    resumed = cut_and_resumed(give, world, store)

    assert world.ran == [4, 5]
    assert resumed.state == "completed"
    for found, expected in zip(resumed.values.end, map(give, range(6)), strict=True):
        np.testing.assert_equal(found, expected)
    assert resumed["ys"].progress.note == "4 resumed"
    assert (resumed["ys"].progress.done, resumed["ys"].progress.total) == (6, 6)


def test_a_retry_of_the_step_runs_only_the_elements_that_are_missing(world, store):
    async def main():
        # One after the other, and the second that fails is the last: with it the step fails, whoever has not ended.
        world.bad = {1, 5}
        run = flow_of(as_list, world, map_errors="5").start(store=store)
        await run.wait()
        assert (run.state, world.ran) == ("failed", [0, 1, 2, 3, 4, 5])
        world.bad = {1}
        world.ran.clear()
        run.retry("ys")
        await run.wait()
        return run

    run = asyncio.run(main())
    assert (run.state, world.ran) == ("completed", [1, 5])
    assert run.values.end == [[0], None, [2], [3], [4], [5]]
    assert run["ys"].progress.note == "4 resumed, 1 failed"


def test_coroutines_and_products_of_names_go_on_too(world, store):
    def flow():
        flow = szal.Flow("map")

        @flow.step
        def letters():
            return "ab"

        @flow.step
        def numbers():
            return [1, 2, 3]

        @flow.step(map=("letters", "numbers"), map_mode="product")
        async def ys(letters, numbers):
            world.ran.append((letters, numbers))
            if (letters, numbers) in world.bad:
                raise ValueError
            return f"{letters}{numbers}"

        return flow

    world.bad = {("b", 3)}
    cut = szal.run(flow(), store=store)
    world.bad, world.ran = set(), []
    resumed = szal.resume(flow(), cut.id, store=store)

    assert world.ran == [("b", 3)]
    assert resumed.values.ys == ["a1", "a2", "a3", "b1", "b2", "b3"]


def test_a_cancelled_map_goes_on_where_it_was(world, store):
    def flow():
        flow = szal.Flow("map")

        @flow.step(map="xs", max_parallel=1)
        async def ys(xs):
            world.ran.append(xs)
            if xs in world.bad:
                world.run.cancel()
                await asyncio.Event().wait()
            return xs

        return flow

    async def main():
        world.run = flow().start({"xs": [0, 1, 2, 3, 4]}, store=store)
        await world.run.wait()
        return world.run

    world.bad = {3}
    cut = asyncio.run(main())
    assert cut.state == "cancelled"
    world.bad, world.ran = set(), []
    resumed = szal.resume(flow(), cut.id, store=store)
    assert (resumed.state, world.ran, resumed.values.ys) == ("completed", [3, 4], [0, 1, 2, 3, 4])


SCRIPT = """
    import os, signal, sqlite3, sys
    import szal_nb as szal

    path, effects = sys.argv[1], sys.argv[2]
    flow = szal.Flow("killed")

    @flow.step
    def xs():
        return {"a", "b", "c", "d", "e", "f"} if sys.argv[4] == "set" else list("abcdef")

    @flow.step(map="xs", max_parallel=1)
    def ys(xs):
        with open(effects, "a") as file:
            file.write(xs)
        if sys.argv[3] == "kill" and os.path.getsize(effects) == 4:
            recorded = 0
            while recorded < 3:
                with sqlite3.connect(path) as database:
                    found = database.execute("SELECT name, shape FROM 'values' WHERE step = 'ys'").fetchall()
                recorded = sum(int(shape.strip("[]")) if "-" in name else 1 for name, shape in found)
            os.kill(os.getpid(), signal.SIGKILL)
        return xs + xs

    if sys.argv[3] == "kill":
        szal.run(flow, store=path)
    else:
        with szal.open_store(path) as store:
            (run,) = store.runs()
        resumed = szal.resume(flow, run.id, store=path)
        print(resumed.state, sorted(resumed.values.ys), resumed["ys"].logs)
"""


@pytest.mark.parametrize(
    ("kind", "ran", "says"), [("list", "abcddef", ""), ("set", None, "all 6 elements run again")], ids=["list", "set"]
)
def test_a_killed_process_has_left_what_its_elements_gave(kind, ran, says, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    effects = tmp_path / "effects"

    def process(what, seed):
        command = [sys.executable, str(script), str(tmp_path / "runs.db"), str(effects), what, kind]
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    killed = process("kill", 1)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = process("resume", 7)

    assert resumed.stdout.startswith("completed ['aa', 'bb', 'cc', 'dd', 'ee', 'ff']"), resumed.stderr
    assert says in resumed.stdout
    text = effects.read_text()
    assert text == ran if ran else sorted(text[4:]) == list("abcdef")


def test_what_elements_gave_is_in_the_table_until_the_step_has_it(world, store):
    world.bad = {4}
    cut = szal.run(flow_of(as_list, world), store=store)
    found = rows(store, cut)
    assert all(name.startswith("ys[") and current for name, current, _, _ in found)
    assert sum(int(shape.strip("[]")) if "-" in name else 1 for name, _, _, shape in found) == 4

    world.bad = set()
    resumed = szal.resume(flow_of(as_list, world), cut.id, store=store)
    assert rows(store, resumed) == [("ys", 1, "list", "[6]")]


def test_collection_leaves_what_a_resume_needs_and_takes_it_when_the_step_has_it(world, store):
    world.bad = {4}
    give = GIVES["arrays"]
    cut = szal.run(flow_of(give, world), store=store)
    assert collect(store, now=2e10).files == 0
    world.bad = set()
    world.ran.clear()

    resumed = szal.resume(flow_of(give, world), cut.id, store=store)
    assert (resumed.state, world.ran) == ("completed", [4, 5])
    assert collect(store, now=2e10).files >= 1
    np.testing.assert_equal(store.value(resumed.id, "ys", "ys"), list(map(give, range(6))))


def test_an_exported_run_has_what_its_elements_gave(world, store, tmp_path):
    world.bad = {4}
    cut = szal.run(flow_of(as_list, world), store=store)
    export_run(store, cut.id, tmp_path / "run.szal")
    world.bad = set()
    world.ran.clear()

    with RunStore.open(tmp_path / "other.db", durability="fast") as other:
        import_run(other, tmp_path / "run.szal")
        resumed = szal.resume(flow_of(as_list, world), cut.id, store=other)
        assert (resumed.values.end, world.ran) == ([[0], [1], [2], [3], [4], [5]], [4, 5])
        manifest = export_run(other, cut.id, tmp_path / "again.szal")
    assert manifest.missing == ()

    collect(store, now=2e10)
    with RunStore.open(tmp_path / "third.db", durability="fast") as third:
        import_run(third, tmp_path / "again.szal")
        assert third.value(cut.id, "end", "end") == [[0], [1], [2], [3], [4], [5]]


def test_elements_whose_record_is_lost_run_again(world, store):
    world.bad = {4}
    cut = szal.run(flow_of(GIVES["arrays"], world), store=store)
    (lost,) = [ref for ref in store.snapshot(cut.id).steps["ys"].element_values if "0" in ref.name]
    store.files.path_of(lost.hash).unlink()
    gone = range(lost.shape[0]) if lost.name != "ys[0]" else [0]
    world.bad = set()
    world.ran.clear()

    resumed = szal.resume(flow_of(GIVES["arrays"], world), cut.id, store=store)
    assert world.ran == [*gone, 4, 5]
    np.testing.assert_equal(resumed.values.end, list(map(GIVES["arrays"], range(6))))


def test_elements_that_gave_what_cannot_be_stored_run_again(world, store):
    resumed = cut_and_resumed(lambda x: threading.Lock() if x == 2 else x, world, store)

    assert world.ran == [2, 4, 5]
    assert resumed.values.end[:2] == [0, 1]


SHARED = [1]
WHOLE = {
    "with what they read": ([[n] for n in range(6)], lambda x: {"mine": x}, "shares objects with what it reads"),
    "with each other": (range(6), lambda _: SHARED, "of element 1 shares objects with 'ys' of element 0"),
}


@pytest.mark.parametrize(("xs", "give", "why"), WHOLE.values(), ids=WHOLE)
def test_elements_that_share_objects_run_again_together_and_it_is_said(xs, give, why, store):
    class Fails(World):
        def __init__(self):
            super().__init__()
            self.is_bad = True

    world = Fails()

    def flow():
        flow = szal.Flow("map")

        @flow.step
        def start():
            return list(xs)

        @flow.step(map="start", max_parallel=1)
        def ys(start):
            world.ran.append(start)
            if world.is_bad and len(world.ran) == 5:
                raise ValueError
            return give(start)

        @flow.step
        def same(start, ys):
            return [ys[0] is ys[1], start[0] is (ys[0]["mine"] if isinstance(ys[0], dict) else None)]

        return flow

    expected = [give is WHOLE["with each other"][1], give is WHOLE["with what they read"][1]]
    cut = szal.run(flow(), store=store)
    world.is_bad = False
    world.ran.clear()
    assert any(why in event.whole for event in store.events(cut.id) if isinstance(event, StepProgress))

    resumed = szal.resume(flow(), cut.id, store=store)
    assert (len(world.ran), resumed.values.same) == (6, expected)


CELLS = {
    "change in place": ("acc.append(x)\ny = len(acc)", "it changes 'acc' in place"),
    "random numbers": ("import random\ny = random.random()", "it uses random"),
    "unknown reads": ("y = eval('x + 1')", "its code, or what it is mapped over, cannot be told"),
}


@pytest.mark.parametrize(("body", "why"), CELLS.values(), ids=CELLS)
def test_a_map_that_cannot_be_cut_in_elements_runs_again_as_a_whole(body, why, store):
    cells = {
        "start": "x = [1, 2, 3]\nacc = []\nstop = [1]",
        "each --map x --max-parallel 1": f"{body}\nif x == 3 and stop: raise ValueError",
    }
    flow = CellFlow(cells)
    cut = flow.run(store)
    assert (cut.state, flow.deeds.count("each")) == ("failed", 3)
    assert next(event.whole for event in store.events(cut.id) if isinstance(event, StepProgress)).startswith(why)

    resumed = flow.resume(store, cut.id)
    assert flow.deeds.count("each") == 3
    assert resumed["each"].logs.startswith(f"[szal: all 3 elements run again: {why}")


def test_an_element_that_changes_what_it_reads_behind_our_back_ends_the_keeping(store, world):
    flow = szal.Flow("map")

    @flow.step
    def acc():
        return []

    @flow.step(map="xs", max_parallel=1, pure="acc")
    def ys(xs, acc):
        vars(world)["told"](acc, xs)
        return len(acc)

    world.told = lambda acc, x: acc.append(x)
    run = szal.run(flow, {"xs": [1, 2, 3]}, store=store)

    assert run.state == "failed"
    assert "ValueChanged" in str(run["ys"].error)
    assert rows(store, run) == []


def test_other_code_makes_all_elements_anew_and_it_is_said(world, store):
    world.bad = {4}
    cut = szal.run(flow_of(lambda x: x, world), store=store)
    world.bad = set()
    world.ran.clear()
    flow = szal.Flow("map")

    @flow.step
    def start():
        return list(range(6))

    @flow.step(map="start", max_parallel=1)
    def ys(start):
        world.ran.append(start)
        return -start

    @flow.step
    def end(ys):
        return ys

    resumed = szal.resume(flow, cut.id, store=store)
    assert (resumed.values.end, len(world.ran)) == ([0, -1, -2, -3, -4, -5], 6)
    assert resumed["ys"].logs == ("[szal: all 6 elements run again: the code, or what it reads, is not what it was]\n")


def test_a_map_that_completed_and_is_made_again_makes_all_its_elements(world, store):
    """A live value of a completed map is needed again: then its elements are no longer on record."""

    def flow():
        flow = flow_of(lambda x: threading.Lock() if x == 2 else x, world)

        @flow.step
        def last(ys):
            if world.bad:
                raise ValueError
            return len(ys)

        return flow

    world.bad = {99}
    cut = szal.run(flow(), store=store)
    assert cut["ys"].state == "completed"
    world.bad = set()
    world.ran.clear()
    resumed = szal.resume(flow(), cut.id, store=store)
    assert (resumed.state, world.ran) == ("completed", [0, 1, 2, 3, 4, 5])


def test_a_cell_that_gives_nothing_is_not_done_twice(store, tmp_path):
    path = tmp_path / "effects"
    path.write_text("")
    body = (
        f"from pathlib import Path\n_path = Path({str(path)!r})\n_done = _path.read_text()\n"
        "_path.write_text(_done + str(x))\nif x == 3 and '3' not in _done: raise ValueError"
    )
    flow = CellFlow({"start": "x = [1, 2, 3, 4]", "send --map x --max-parallel 1": body})
    cut = flow.run(store)
    assert cut.state == "failed"
    assert flow.resume(store, cut.id).state == "completed"
    assert path.read_text() == "12334"


@pytest.mark.parametrize("at_once", [1, 4])
def test_what_nobody_needs_and_nothing_can_store_makes_no_element_run_again(at_once, store, tmp_path):
    path = tmp_path / "effects"
    body = (
        f"from pathlib import Path\nwith open({str(path)!r}, 'a') as f:\n    f.write(str(x))\n"
        f"if x == 3 and Path({str(path)!r}).read_text().count('3') == 1: raise ValueError\ny = 10 * x"
    )
    cells = {
        "start": "x = [1, 2, 3, 4]",
        f"send --map x --max-parallel {at_once} --map-errors 4": body,
        "total": "t = sum(y)",
    }
    flow = CellFlow(cells)
    cut = flow.run(store)
    assert cut.state == "failed"
    resumed = flow.resume(store, cut.id)

    assert (resumed.state, resumed.values.t) == ("completed", 100)
    assert path.read_text().count("1") == 1
    assert [ref.name for ref in resumed.snapshot.steps["send"].values] == ["y"]


def test_without_a_record_nothing_is_kept(world):
    async def main():
        world.bad = {1}
        run = flow_of(lambda x: x, world).start(store=None)
        await run.wait()
        world.bad = set()
        world.ran.clear()
        run.retry("ys")
        await run.wait()
        return run

    run = asyncio.run(main())
    assert (run.state, world.ran) == ("completed", [0, 1, 2, 3, 4, 5])
