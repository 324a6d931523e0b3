"""Which run a person means who names none."""

from __future__ import annotations

import os

import msgspec
import pytest

from szal_nb.errors import HiddenStateUsed, RunOwned, StoreError
from szal_nb.model.event import RunCompleted, RunFailed, StepFailed, StepStarted
from szal_nb.model.value import ErrorInfo
from szal_nb.notebook.going_on import newest_open
from szal_nb.store.listing import owner_text
from szal_nb.store.owner import Owner
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run

KINDS = tuple(f"{kind.__module__}.{kind.__name__}" for kind in HiddenStateUsed.__mro__)
BROKEN = ErrorInfo(type="ValueError", message="no rows")
DOUBTED = ErrorInfo(type="HiddenStateUsed", names=KINDS)


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / ".szal" / "runs.db", durability="fast") as store:
        yield store


@pytest.fixture
def add(store, tmp_path):
    """Adds a run, later than those before it, of a notebook of the folder; it fails by `error`, or completes."""
    count = 0

    def added(notebook, error=None, at=None):
        nonlocal count
        count += 1
        run_id = f"run-{count}"
        created, *more = begun()
        journal = store.begin(new_run(run_id, notebook_path=str(tmp_path / notebook)))
        ends = [RunCompleted(at=5.0)]
        if error is not None:
            ends = [StepFailed(at=4.0, step="load", attempt=1, error=error), RunFailed(at=5.0, reason="load failed")]
        started = StepStarted(at=3.0, step="load", attempt=1)
        journal.append_sync(
            [msgspec.structs.replace(created, at=float(count if at is None else at)), *more, started, *ends]
        )
        return run_id

    return added


def test_it_is_the_newest_that_can_go_on(store, add, tmp_path):
    add("a.ipynb", BROKEN)
    second = add("a.ipynb", BROKEN)
    add("a.ipynb")

    assert newest_open(store, "sales", tmp_path / "a.ipynb").id == second
    assert newest_open(store, "sales", None).id == second


def test_it_is_the_one_that_was_begun_last_where_the_clock_was_set_back(store, add, tmp_path):
    add("a.ipynb", BROKEN, at=9.0)
    last = add("a.ipynb", BROKEN, at=1.0)

    assert newest_open(store, "sales", tmp_path / "a.ipynb").id == last


def test_another_notebook_with_the_same_flow_is_asked_only_if_this_one_has_none(store, add, tmp_path):
    own = add("a.ipynb", BROKEN)
    other = add("copy of a.ipynb", BROKEN)

    assert newest_open(store, "sales", tmp_path / "a.ipynb").id == own
    assert newest_open(store, "sales", tmp_path / "new.ipynb").id == other


def test_one_whose_answer_is_in_doubt_cannot_go_on_and_is_named_only_for_want_of_another(store, add, tmp_path):
    doubted = add("a.ipynb", DOUBTED)
    assert newest_open(store, "sales", tmp_path / "a.ipynb").id == doubted

    first = add("a.ipynb", BROKEN)
    add("a.ipynb", DOUBTED)
    assert newest_open(store, "sales", tmp_path / "a.ipynb").id == first


def test_where_none_can_go_on_that_is_said(store, add):
    add("a.ipynb")

    with pytest.raises(StoreError, match="No run of flow 'sales' in .* can go on; %szal_runs lists"):
        newest_open(store, "sales", None)


@pytest.fixture
def go_on_elsewhere(store):
    """Makes it so that the parent of this process runs a run, which another process has launched."""

    def made(run_id, launcher=None):
        owner = Owner.of(os.getppid())
        texts = (owner_text(owner), owner_text(launcher), run_id)
        sql = "UPDATE runs SET state = 'running', owner = ?, launcher = ?, lease_until = created_at WHERE id = ?"
        store.write(Job(lambda connection: connection.execute(sql, texts)))
        return owner

    return made


def test_where_all_are_being_run_it_is_said_by_whom(store, add, go_on_elsewhere):
    run = add("a.ipynb")
    owner = go_on_elsewhere(run)

    with pytest.raises(RunOwned, match=f"Run {run} is being run by process {owner.pid}. Wait for it, cancel it there"):
        newest_open(store, "sales", None)


def test_a_newer_one_that_is_being_run_is_told_of(store, add, go_on_elsewhere, capsys):
    before = add("a.ipynb", BROKEN)
    newer = add("a.ipynb")
    owner = go_on_elsewhere(newer)

    assert newest_open(store, "sales", None).id == before
    told = f"Run {newer} is newer, and is being run by process {owner.pid}: run {before} goes on.\n"
    assert capsys.readouterr().out == told
    after = add("a.ipynb", BROKEN)
    assert newest_open(store, "sales", None).id == after
    assert capsys.readouterr().out == ""


def test_one_that_a_kernel_runs_whose_launcher_died_can_go_on(store, add, go_on_elsewhere):
    add("a.ipynb", BROKEN)
    orphaned = add("a.ipynb")
    gone = msgspec.structs.replace(Owner.here(), started="1")
    go_on_elsewhere(orphaned, gone)

    assert newest_open(store, "sales", None).id == orphaned
