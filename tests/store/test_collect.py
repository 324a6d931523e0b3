from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import msgspec
import numpy as np
import pytest

from szal_nb.model.event import RollbackStarted, RunCompleted, RunStarted, StepCompleted, StepRolledBack, StepStarted
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.step import Step
from szal_nb.store.collect import GRACE_S, Collected, _delete_rows, beyond_size, cache_holders, collect, removable
from szal_nb.store.doctor import Level, examine
from szal_nb.store.moved import usual_output
from szal_nb.store.runs import NewRun, RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import NAMES, begun, created, new_run

OLD, NEW, OPEN = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


def fill(store, run_id, value, *, ends_at=None, flow="sales"):
    journal = store.begin(new_run(run_id, notebook="{}"))
    created, *more = begun()
    journal.append_sync(
        [msgspec.structs.replace(created, flow=flow), *more, StepStarted(at=2.0, step="load", attempt=1)]
    )
    refs = journal.keep(
        "load", 1, {"own": [run_id] * 50, "large": np.full(100_000, value), "both": "shared" * 10}, {"own"}
    )
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    if ends_at is not None:
        journal.append_sync([RunCompleted(at=ends_at)])
    return journal


@pytest.fixture
def filled(store):
    fill(store, OLD, 1, ends_at=10.0)
    fill(store, NEW, 2, ends_at=1000.0)
    fill(store, OPEN, 3, flow="a flow that is at work")
    for file in store.files.folder.glob("??/*"):
        os.utime(file, (0, 0))
    return store


def counts(store):
    with closing(sqlite3.connect(store.path)) as connection:
        return {
            table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            for table in ("runs", "events", "steps", "attempts", "values", "blobs", "flows", "notebooks")
        } | {"files": len(list(store.files.folder.glob("??/*")))}


def test_only_runs_that_ended_long_enough_ago_are_removable(filled):
    runs = filled.runs()

    assert removable(runs, older_than_s=500, now=1100.0) == [OLD]
    assert removable(runs, older_than_s=0, now=1100.0) == [NEW, OLD]
    assert removable(runs, older_than_s=0, now=1100.0, keep=[OLD]) == [NEW]


def test_the_oldest_runs_go_until_the_rest_is_small_enough(filled):
    whole = sum(size for (size,) in filled.reader.fetch("SELECT size FROM blobs"))
    whole += sum(size for (size,) in filled.reader.fetch('SELECT size FROM "values" WHERE content IS NOT NULL'))

    assert beyond_size(filled, whole) == []
    assert beyond_size(filled, whole - 1) == [OLD]
    assert beyond_size(filled, whole - 1, keep=[OLD]) == [NEW]
    assert beyond_size(filled, whole - 800_000) == [OLD], "a large content goes with its run"
    assert beyond_size(filled, whole - 1_000_000) == [OLD, NEW]
    assert beyond_size(filled, 0) == [OLD, NEW], "a run that has not ended stays"


def test_short_values_count_with_the_run_that_they_stand_in(store):
    for run_id, ends_at in ((OLD, 10.0), (NEW, 20.0)):
        journal = store.begin(new_run(run_id))
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
        refs = journal.keep("load", 1, {"a": "x" * 98, "b": "y" * 98}, {"a"})
        journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs), RunCompleted(at=ends_at)])

    assert [beyond_size(store, limit) for limit in (400, 399, 200, 199)] == [[], [OLD], [OLD], [OLD, NEW]]
    found = collect(store, [OLD])
    assert (found.values, found.size) == (2, 200)


def test_a_content_that_a_later_run_names_too_frees_nothing(store):
    for run_id, ends_at in ((OLD, 10.0), (NEW, 20.0)):
        fill(store, run_id, 1, ends_at=ends_at)
    whole = sum(size for (size,) in store.reader.fetch("SELECT size FROM blobs"))

    assert beyond_size(store, whole - 100_000) == [OLD, NEW]
    assert beyond_size(store, whole - 100_000, keep=[NEW]) == [OLD]


def test_a_run_goes_with_all_that_only_it_names(filled):
    before = counts(filled)
    found = collect(filled, [OLD])

    # Its own list, and the short text that the other run has too, but in its own rows.
    assert (found.runs, found.values, found.files) == ((OLD,), 2, 1)
    assert found.size > 800_000
    after = counts(filled)
    assert {name: before[name] - after[name] for name in before} == {
        "runs": 1,
        "events": 5,
        "steps": 3,
        "attempts": 1,
        "values": 3,
        "blobs": 2,
        "flows": 0,
        "notebooks": 0,
        "files": 1,
    }
    assert filled.value(NEW, "load", "both") == "shared" * 10
    assert filled.value(OPEN, "load", "large")[0] == 3


def test_what_a_run_was_given_stays_as_long_as_the_run_does(store):
    journal = store.begin(new_run(OLD))
    inputs = {"table": np.full(100_000, 7), "region": "EU" * 50}
    refs = journal.keep("", 0, inputs, set(inputs))
    journal.append_sync([created(inputs=refs), RunStarted(at=2.0), RunCompleted(at=3.0)])
    other = store.begin(new_run(NEW))
    given = other.keep("", 0, {"region": "US" * 50}, {"region"})
    other.append_sync([created(inputs=given), RunStarted(at=2.0), RunCompleted(at=4.0)])
    for file in store.files.folder.glob("??/*"):
        os.utime(file, (0, 0))
    sizes = [ref.size for ref in (*refs, *given)]

    assert [beyond_size(store, limit) for limit in (sum(sizes), sum(sizes) - 1)] == [[], [OLD]]
    assert collect(store) == Collected()
    assert [store.loader(OLD).load(ref)[0] for ref in refs] == [7, "E"]
    found = collect(store, [OLD])
    assert (found.values, found.files, found.size) == (1, 1, sum(sizes[:2]))
    collect(store, [NEW])
    assert set(counts(store).values()) == {0}


def completed(store, run_id, at, step="load", fingerprint="f", flow="sales", *, is_cached=True):
    """A run in which one step completes."""
    steps = tuple(Step(name=name, cache=is_cached) for name in NAMES)
    nodes = tuple(StepNode(step=one) for one in steps)
    graph = FlowGraph(flow=FlowDefinition(name=flow, version=1, steps=steps), nodes=nodes)
    journal = store.begin(NewRun(run_id=run_id * 12, graph=graph))
    first = msgspec.structs.replace(created(at), flow=flow)
    started = StepStarted(at=at, step=step, attempt=1)
    ended = StepCompleted(at=at, step=step, attempt=1, fingerprint=fingerprint)
    journal.append_sync([first, RunStarted(at=at), started, ended])
    return journal


def test_what_the_cache_takes_from_is_a_result_of_this_step_of_this_flow_that_stands(store):
    """Newer are: another step's, one without a fingerprint, one that was undone, another flow's, an imported one.

    One is older that a clock said to be the newest, before it was set back.
    """
    completed(store, "9", 9.0)
    completed(store, "a", 1.0)
    completed(store, "b", 2.0, step="clean")
    completed(store, "c", 3.0, fingerprint="")
    completed(store, "d", 4.0).append_sync(
        [RollbackStarted(at=5.0, reason="", end="failure"), StepRolledBack(at=6.0, step="load", attempt=1)]
    )
    completed(store, "e", 7.0, flow="other", is_cached=False)
    completed(store, "f", 8.0, is_cached=False)
    store.write(Job(lambda connection: connection.execute("UPDATE runs SET is_imported = 1 WHERE id LIKE 'f%'")))

    assert store.runs_with("sales", "load", "f") == ["a" * 12, "9" * 12]
    assert cache_holders(store) == {"a" * 12, "b" * 12}


def test_a_dry_run_says_the_same_and_deletes_nothing(filled):
    before = counts(filled)
    dry = collect(filled, [OLD], is_dry=True)

    assert counts(filled) == before
    assert collect(filled, [OLD]) == dry


def test_a_run_that_has_not_ended_stays_whoever_asks(filled):
    assert collect(filled, [OPEN, "unknown"]) == Collected()
    assert filled.run(OPEN).events == 4


def test_a_run_that_has_crashed_keeps_no_other_run_of_its_flow(store):
    fill(store, OLD, 1, ends_at=10.0)
    fill(store, OPEN, 3).close()

    assert collect(store, [OLD]).runs == (OLD,)


def test_when_the_last_run_goes_nothing_is_left(path):
    with RunStore.open(path) as store:
        fill(store, OLD, 1, ends_at=10.0)
        for file in store.files.folder.glob("??/*"):
            os.utime(file, (0, 0))
        collect(store, [OLD])

        assert set(counts(store).values()) == {0}


def test_a_file_that_a_step_under_way_has_just_written_stays(store):
    journal = fill(store, OPEN, 3)
    refs = journal.keep("clean", 1, {"a": np.full(100_000, 9)}, {"a"})
    left_over = store.files.folder / ".1-1.tmp"
    left_over.touch()
    os.utime(left_over, (0, 0))

    assert collect(store, is_dry=True, now=time.time() + GRACE_S + 60).files == 2
    assert collect(store) == Collected(files=1, young=(1, refs[0].size))
    journal.append_sync(
        [StepStarted(at=4.0, step="clean", attempt=1), StepCompleted(at=5.0, step="clean", attempt=1, values=refs)]
    )
    assert store.value(OPEN, "clean", "a")[0] == 9
    assert collect(store, now=time.time() + 1e6).files == 0


def test_a_file_that_gets_its_name_while_gc_looks_is_none_of_its_business(filled):
    """Values are written without the store's lock; doctor looks as well."""
    (filled.files.folder / ".7-1.tmp").symlink_to("gone")
    (filled.files.folder / "ab").mkdir(exist_ok=True)
    (filled.files.folder / "ab" / "abcd").symlink_to("gone")

    assert collect(filled).young[0] == 0
    assert all(finding.level is not Level.PROBLEM for finding in examine(filled.path))


def test_with_a_run_goes_its_notebook_as_it_was_executed(filled):
    saved = [usual_output(filled.path, run) for run in (OLD, NEW)]
    saved[0].parent.mkdir()
    for file in saved:
        file.write_text("what its steps have shown")

    assert collect(filled, [OLD], is_dry=True).files == 2
    assert collect(filled, [OLD]).files == 2
    assert [file.exists() for file in saved] == [False, True]


def test_nothing_outside_of_the_folder_goes_with_a_run_whose_id_is_a_path(store):
    """A store may come from somebody else."""
    outside = store.path.parent.parent / "notes.ipynb"
    outside.write_text("mine")
    (store.path.parent / "runs").mkdir()
    fill(store, "../../notes", 1, ends_at=0.0)
    assert (store.path.parent / "runs" / "../../notes.ipynb").resolve() == outside.resolve()

    collect(store, ["../../notes"])

    assert (store.runs(), outside.read_text()) == ([], "mine")


def test_a_file_that_is_used_again_is_young_again(filled):
    journal = filled.begin(new_run("dddddddddddd"))
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    refs = journal.keep("load", 1, {"again": np.full(100_000, 1)}, {"again"})
    collect(filled, [OLD])
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])

    assert filled.value("dddd", "load", "again")[0] == 1


def work_of_collecting(path, count):
    """The thousands of instructions that SQLite takes to delete `count` contents that nobody names, beside as many."""
    thousands = 0

    def count_one():
        nonlocal thousands
        thousands += 1

    def collecting(connection):
        connection.set_progress_handler(count_one, 1000)
        found = _delete_rows(connection, ())
        connection.set_progress_handler(None, 0)
        return found.values

    with RunStore.open(path) as store:
        fill(store, OPEN, 1)
        with closing(sqlite3.connect(path)) as connection:
            blobs = [(f"{kind}{n}", "json", 1, 0, b"1") for n in range(count) for kind in ("named", "lost")]
            connection.executemany("INSERT INTO blobs VALUES (?, ?, ?, ?, ?)", blobs)
            values = [(OPEN, "load", 1, f"n{n}", f"named{n}") for n in range(count)]
            connection.executemany(
                'INSERT INTO "values" (run_id, step, attempt, name, hash) VALUES (?, ?, ?, ?, ?)', values
            )
            connection.commit()
        assert store.write(Job(collecting)) == count
    return thousands


def test_the_work_of_collecting_grows_with_the_contents_and_not_with_their_square(tmp_path):
    small, large = (work_of_collecting(tmp_path / str(count) / "runs.db", count) for count in (500, 2000))

    assert large < 8 * small
