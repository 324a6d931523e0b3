from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from szal_nb.errors import StoreError, ValueUnavailable
from szal_nb.model.event import RunCompleted, StepCompleted, StepStarted
from szal_nb.store.doctor import Level, examine, repair
from szal_nb.store.filesystem import FileSystem
from szal_nb.store.runs import RunStore
from tests.store.scribe import begun, new_run

RUNS = 40


def add(store, run_id, *, is_ended=True):
    journal = store.begin(new_run(run_id, notebook='{"cells": []}'))
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    refs = journal.keep("load", 1, {"a": f"{run_id} " * 100, "large": np.full(40_000, len(run_id))}, {"a"})
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    if is_ended:
        journal.append_sync([RunCompleted(at=4.0)])
    return journal


@pytest.fixture
def filled(path):
    with RunStore.open(path, durability="fast") as store:
        for n in range(RUNS):
            add(store, f"{n:012x}")
    return path


def problems(path):
    return [finding for finding in examine(path) if finding.level is Level.PROBLEM]


def about(path, what):
    return next(finding for finding in examine(path) if finding.about == what)


def test_a_healthy_store_has_no_problem(filled):
    assert problems(filled) == []
    assert about(filled, "runs").text == "40 completed"
    assert about(filled, "integrity").text == "SQLite finds no damage."
    assert "Only you can read it" in about(filled, "file").text
    assert about(filled, "file system").text.startswith("It lies on ")


def test_a_crashed_run_comes_with_the_command_that_resumes_it(path):
    with RunStore.open(path) as store:
        add(store, "aaaaaaaaaaaa", is_ended=False).close()

    finding = about(path, "run aaaaaaaaaaaa")
    assert (finding.level, finding.advice) == (Level.NOTICE, "szal resume aaaaaaaaaaaa")


def test_one_of_a_script_comes_with_what_that_does(path):
    with RunStore.open(path) as store:
        journal = store.begin(new_run("bbbbbbbbbbbb"))
        journal.append_sync(begun())
        journal.close()

    assert about(path, "run bbbbbbbbbbbb").advice == "In the script that started it: szal.resume(flow, 'bbbbbbbbbbbb')"


def test_a_run_that_lives_is_shown_with_its_owner(store, path):
    add(store, "aaaaaaaaaaaa", is_ended=False)

    assert about(path, "run aaaaaaaaaaaa").text.startswith("is being run by process ")


def test_a_row_that_does_not_agree_with_its_events_is_found(filled):
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute("UPDATE runs SET state = 'failed' WHERE id = '000000000003'")

    (problem,) = problems(filled)
    assert (problem.about, problem.text) == ("run 000000000003", "its events say completed, its row says failed")


def test_a_missing_value_file_is_found(filled):
    with RunStore.open(filled, read_only=True) as store:
        next(store.files.folder.glob("??/*")).unlink()

    assert problems(filled)[0].text.endswith("1 files are missing")


def test_contents_that_are_not_what_was_written_are_found(filled):
    with RunStore.open(filled, read_only=True) as store:
        os.truncate(next(store.files.folder.glob("??/*")), 1000)
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute(
            "UPDATE blobs SET data = 'x' WHERE hash IN (SELECT hash FROM blobs WHERE NOT in_file LIMIT 2)"
        )

    (problem,) = problems(filled)
    assert problem.about == "values"
    assert problem.text.endswith("; 3 contents are not what was written")


def test_a_file_that_no_run_names_is_noticed_and_gc_advised(filled):
    with RunStore.open(filled, read_only=True) as store:
        next(store.files.folder.glob("??")).joinpath("nobody's").write_text("x")

    finding = about(filled, "values")
    assert (finding.level, finding.advice) == (Level.NOTICE, "szal gc")
    assert finding.text.endswith("; 1 of them belong to no run")


def test_events_that_were_changed_are_a_problem_of_their_run(filled):
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute("UPDATE turns SET data = replace(data, 'load', 'plot') WHERE run_id = '000000000003'")

    (problem,) = problems(filled)
    assert (problem.about, problem.advice) == ("run 000000000003", "szal doctor --repair")
    assert "do not match their checksum" in problem.text


def test_rows_of_a_run_that_is_gone_are_damage(filled):
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute("DELETE FROM runs WHERE id = '000000000003'")

    finding = about(filled, "integrity")
    assert (finding.level, "a row of steps has no runs" in finding.text) == (Level.PROBLEM, True)


def test_a_store_that_others_can_read_is_noticed(filled):
    filled.chmod(0o644)

    assert about(filled, "file").advice == f"chmod 600 {filled}"


def test_what_is_no_store_is_one_problem_and_no_exception(tmp_path):
    path = tmp_path / "runs.db"
    assert "There is no store" in problems(path)[0].text
    path.write_text("hello")
    assert "does not begin as an SQLite database" in problems(path)[0].text


def test_a_network_file_system_is_said_with_its_consequence(filled, monkeypatch):
    monkeypatch.setattr("szal_nb.store.doctor.file_system_of", lambda _: FileSystem("nfs4", "/home"))

    finding = about(filled, "file system")
    assert (finding.level, "rollback journal" in finding.text) == (Level.NOTICE, True)


def saved(path, target):
    result = repair(path, target)
    with RunStore.open(target, read_only=True) as store:
        for run_id in result.whole:
            assert store.value(run_id, "load", "a") == f"{run_id} " * 100
            assert store.value(run_id, "load", "large")[0] == 12
            assert store.notebook(run_id) == '{"cells": []}'
            assert store.graph(run_id).node("load").step.name == "load"
            assert store.run(run_id).state == "completed"
        for run_id in result.partial:
            assert store.snapshot(run_id).steps["load"].state == "completed"
    assert problems(target) == []
    return result


def test_repair_of_a_healthy_store_is_a_copy(filled, tmp_path):
    result = saved(filled, tmp_path / "new" / "runs.db")

    assert (len(result.whole), result.partial, result.lost) == (RUNS, (), ())


def test_repair_saves_what_a_damaged_page_leaves(filled, tmp_path):
    content = filled.read_bytes()
    pages = len(content) // 4096
    chance = random.Random(1)
    kept = []
    for n in range(12):
        damaged = bytearray(content)
        page = chance.randrange(1, pages)
        damaged[page * 4096 : (page + 1) * 4096] = chance.randbytes(4096)
        filled.write_bytes(damaged)
        result = saved(filled, tmp_path / f"{n}.db")
        kept.append(len(result.whole) + len(result.partial))

    # One page of the index of a table may hide most of its rows; on average nearly all come back.
    assert sum(kept) / len(kept) > RUNS * 0.8


def test_repair_saves_runs_of_a_file_that_was_cut_off(filled, tmp_path):
    content = filled.read_bytes()
    filled.write_bytes(content[: len(content) - 8192])

    assert problems(filled) != []
    result = saved(filled, tmp_path / "new.db")
    assert len(result.whole) + len(result.partial) > RUNS * 0.5


def saved_at_random(path, folder, count):
    """How many runs came back whole, or in part, of so many files of which bits, pages or the end were damaged."""
    content, chance = path.read_bytes(), random.Random(5)
    kept = []
    for n in range(count):
        damaged = bytearray(content)
        page = 4096 * chance.randrange(1, len(content) // 4096)
        match chance.choice(("bits", "bits", "page", "end", "order")):
            case "bits":
                for _ in range(chance.choice((1, 8, 64))):
                    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            case "page":
                damaged[page : page + 4096] = bytes(4096)
            case "end":
                del damaged[page + chance.randrange(4096) :]
            case "order":
                other = 4096 * chance.randrange(1, len(content) // 4096)
                damaged[page : page + 4096], damaged[other : other + 4096] = (
                    damaged[other : other + 4096],
                    damaged[page : page + 4096],
                )
        path.write_bytes(damaged)
        target = folder / f"{n}.db"
        try:
            result = saved(path, target)
        except StoreError:
            continue
        kept.append(len(result.whole) + len(result.partial))
    return kept


def test_repair_of_what_was_damaged_at_random_gives_what_was_written_or_a_typed_error(filled, tmp_path):
    kept = saved_at_random(filled, tmp_path, 40)

    assert len(kept) > 30
    assert sum(kept) / len(kept) > RUNS * 0.5


def test_a_repair_that_does_not_count_events_is_found_out(filled, tmp_path, monkeypatch):
    for module in ("doctor", "reading"):
        monkeypatch.setattr(f"szal_nb.store.{module}.refuse_cut_off", lambda *_: None)

    with pytest.raises(AssertionError):
        saved_at_random(filled, tmp_path, 12)


@pytest.mark.parametrize("row", ["", "DELETE FROM runs WHERE id = '000000000003'"], ids=["", "with its row"])
def test_events_that_are_gone_at_the_end_cost_their_run(filled, tmp_path, row):
    change(filled, "DELETE FROM turns WHERE run_id = '000000000003' AND first >= 2")
    if row:
        change(filled, row)

    result = saved(filled, tmp_path / "new.db")

    assert (len(result.whole), [run for run, _ in result.lost]) == (RUNS - 1, ["000000000003"])


def test_an_event_that_was_changed_costs_its_run_and_no_other(filled, tmp_path):
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute(
            "UPDATE turns SET data = replace(data, 'load', 'plot') WHERE run_id = '000000000003' AND first = 0"
        )

    result = saved(filled, tmp_path / "new.db")

    assert len(result.whole) == RUNS - 1
    assert result.lost[0][0] == "000000000003"
    assert "do not match their checksum" in result.lost[0][1]


def test_repair_never_writes_over_a_file(filled, tmp_path):
    target = tmp_path / "there.db"
    target.write_text("mine")

    with pytest.raises(StoreError, match="it exists already"):
        repair(filled, target)
    assert target.read_text() == "mine"


def change(path, sql):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


@pytest.mark.parametrize("why", ["another user wrote the store", "it was imported", "its row is lost"])
def test_code_of_a_run_that_is_not_known_to_be_ours_is_not_run_after_a_repair_either(path, tmp_path, monkeypatch, why):
    with RunStore.open(path) as store:
        journal = store.begin(new_run())
        refs = journal.keep("load", 1, {"code": print}, {"code"})
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
        journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs), RunCompleted(at=4.0)])
    if why == "another user wrote the store":
        monkeypatch.setattr("szal_nb.store.doctor.file_owner_is_us", lambda _: False)
    elif why == "it was imported":
        change(path, "UPDATE runs SET is_imported = 1")
    else:
        change(path, "DELETE FROM runs")

    repair(path, tmp_path / "new.db")

    with RunStore.open(tmp_path / "new.db", read_only=True) as store:
        assert store.run("aaaaaaaaaaaa").imported
        with pytest.raises(ValueUnavailable, match="--trust"):
            store.value("aaaaaaaaaaaa", "load", "code")
        assert store.value("aaaaaaaaaaaa", "load", "code", trust=True) is print
