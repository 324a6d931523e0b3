from __future__ import annotations

import asyncio
import errno
import gc
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from szal_nb.errors import (
    IllegalTransition,
    OwnershipLost,
    RunGoneOn,
    RunOwned,
    StoreError,
    UnknownRun,
    ValueUnavailable,
)
from szal_nb.model.event import (
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from szal_nb.model.state import RunState, StepState, fold
from szal_nb.model.value import ErrorInfo
from szal_nb.store.database import Durability, lock_path, prepare
from szal_nb.store.failure import StoreBusy, StoreMissing, StoreUnusable, explain
from szal_nb.store.files import make_home
from szal_nb.store.lock import FileLock
from szal_nb.store.owner import Owner
from szal_nb.store.runs import RunStore, new_run_id
from szal_nb.store.writer import Job
from tests.store.scribe import NAMES, begun, created, graph_of, new_run

RUN = "aaaaaaaaaaaa"
GONE = Owner(boot_id="another boot", pid_namespace="pid:[1]", pid=1, started="1", host="elsewhere")


@pytest.fixture(params=["full", "fast", ":memory:"])
def any_store(request, path):
    place, durability = (path, request.param) if request.param != ":memory:" else (":memory:", "full")
    with RunStore.open(place, durability=durability) as opened:
        yield opened


@pytest.fixture
def clocked(path):
    """A store that takes the time from a clock of the test."""

    @contextmanager
    def opened(at):
        clock = [at]
        make_home(path)
        lock = FileLock(lock_path(path))
        prepare(path, lock)
        with RunStore(path, durability=Durability.FAST, lock=lock, now=lambda: clock[0]) as store:
            yield store, clock

    return opened


def change(store, sql, *parameters):
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(sql, parameters)


def completed(step, at=3.0, attempt=1, values=()):
    return StepCompleted(at=at, step=step, attempt=attempt, values=values)


class TestAnyStore:
    def test_nothing_is_in_the_store_before_the_first_append(self, any_store):
        any_store.begin(new_run())

        assert any_store.runs() == []

    def test_a_run_is_there_with_all_that_it_began_with(self, any_store):
        run = new_run(
            notebook='{"cells": []}',
            notebook_path="sales.ipynb",
            output_path="out.ipynb",
            params={"region": "EU", "path": Path("x")},
            packages={"numpy": "2.0"},
            launcher=Owner.here(),
            interactive=False,
        )
        journal = any_store.begin(run)
        inputs = journal.keep("", 0, {"region": "EU", "rows": [1, 2]}, {"region"})
        journal.append_sync([created(5.0, inputs=inputs), RunStarted(at=6.0)])

        (stored,) = any_store.runs()
        assert (stored.id, stored.flow, stored.version, stored.state) == (RUN, "sales", 1, RunState.RUNNING)
        assert (stored.created_at, stored.started_at, stored.ended_at) == (5.0, 6.0, None)
        assert (stored.notebook_path, stored.output_path, stored.interactive) == ("sales.ipynb", "out.ipynb", False)
        assert stored.params["region"] == "EU"
        assert stored.packages == {"numpy": "2.0"}
        assert (stored.owner, stored.launcher, stored.epoch) == (Owner.here(), Owner.here(), 1)
        assert (stored.shown_state, stored.is_owned, stored.imported) == ("running", True, False)
        assert any_store.graph(RUN) == graph_of()
        assert any_store.notebook(RUN) == '{"cells": []}'
        assert any_store.inputs(RUN) == {ref.name: ref for ref in inputs}
        assert any_store.loader(RUN).load(inputs[1]) == [1, 2]

    async def test_append_comes_back_after_the_commit(self, any_store):
        journal = any_store.begin(new_run())
        await journal.append(begun())

        assert any_store.events(RUN) == begun()

    async def test_appends_of_many_runs_at_once_are_all_written(self, any_store):
        journals = [any_store.begin(new_run(f"{n:012x}")) for n in range(50)]
        await asyncio.gather(*(journal.append(begun()) for journal in journals))

        assert len(any_store.runs()) == 50

    def test_a_snapshot_is_the_fold_of_the_events(self, any_store):
        journal = any_store.begin(new_run())
        events = [*begun(), StepStarted(at=2.0, step="load", attempt=1), completed("load")]
        for event in events:
            journal.append_sync([event])

        assert any_store.snapshot(RUN) == fold(events)

    def test_values_are_stored_with_the_event_that_names_them(self, any_store):
        journal = any_store.begin(new_run())
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
        refs = journal.keep("load", 1, {"orders": [1, 2, 3], "big": b"x" * 300_000, "f": open}, {"orders"})
        journal.append_sync([completed("load", values=refs)])

        assert any_store.value(RUN, "load", "orders") == [1, 2, 3]
        assert any_store.value(RUN, "load", "big") == b"x" * 300_000
        assert any_store.snapshot(RUN).steps["load"].values == refs

    def test_a_value_that_is_not_there_is_named_with_those_that_are(self, any_store):
        journal = any_store.begin(new_run())
        refs = journal.keep("load", 1, {"orders": 1}, {"orders"})
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1), completed("load", values=refs)])

        with pytest.raises(
            ValueUnavailable, match="'load' of run aaaaaaaaaaaa gave no value of this name; it has orders"
        ):
            any_store.value(RUN, "load", "order")

    def test_events_that_cannot_follow_are_refused_and_nothing_of_them_is_written(self, any_store):
        journal = any_store.begin(new_run())
        journal.append_sync(begun())

        with pytest.raises(IllegalTransition):
            journal.append_sync(
                [StepStarted(at=2.0, step="load", attempt=1), StepStarted(at=2.0, step="load", attempt=2)]
            )
        journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])

        assert any_store.snapshot(RUN).steps["load"].attempt == 1
        assert any_store.run(RUN).events == 3

    @pytest.mark.parametrize("clock", [1.0, -1.0], ids=["clock goes on", "clock is set back"])
    def test_runs_are_listed_newest_first_and_by_flow_state_and_number(self, any_store, clock):
        for n, end in enumerate((RunCompleted(at=9.0), RunFailed(at=9.0), RunCancelled(at=9.0), None)):
            journal = any_store.begin(new_run(f"{n:012x}"))
            journal.append_sync([*begun(9.0 + n * clock), *([end] if end else [])])

        def ids(**what):
            return [int(run.id, 16) for run in any_store.runs(**what)]

        assert ids() == [3, 2, 1, 0]
        assert ids(limit=2) == [3, 2]
        assert ids(state="failed") == [1]
        assert ids(state="running") == [3]
        assert ids(state="crashed") == []
        assert ids(flow="sales") == [3, 2, 1, 0]
        assert ids(flow="other") == []

    def test_a_run_is_found_by_the_beginning_of_its_id(self, any_store):
        for run_id in ("abc000000000", "abd000000000"):
            any_store.begin(new_run(run_id)).append_sync(begun())

        assert any_store.run("abc").id == "abc000000000"
        assert any_store.run(" ABD0 ").id == "abd000000000"
        with pytest.raises(UnknownRun) as ambiguous:
            any_store.run("ab")
        assert ambiguous.value.near == ("abc000000000", "abd000000000")
        with pytest.raises(UnknownRun) as mistyped:
            any_store.run("abc000000001")
        assert mistyped.value.near[0] == "abc000000000"
        with pytest.raises(UnknownRun):
            any_store.run("")

    def test_an_attempt_that_failed_is_there_with_its_error(self, any_store):
        journal = any_store.begin(new_run())
        error = ErrorInfo(type="ValueError", message="no \ud800 \x00")
        journal.append_sync(
            [
                *begun(),
                StepStarted(at=2.0, step="load", attempt=1),
                StepFailed(at=3.0, step="load", attempt=1, error=error),
            ]
        )

        step = any_store.snapshot(RUN).steps["load"]
        assert (step.state, step.error) == (StepState.FAILED, ErrorInfo(type="ValueError", message="no \\ud800 \x00"))


class TestOwnership:
    def test_a_run_of_a_living_process_cannot_be_taken_over(self, store, path):
        store.begin(new_run()).append_sync(begun())

        with RunStore.open(path) as other, pytest.raises(RunOwned, match="is being run by this process"):
            other.take_over(RUN)

    def test_force_takes_a_run_over_all_the_same_and_the_old_owner_writes_no_more(self, store, path):
        journal = store.begin(new_run())
        journal.append_sync(begun())
        with RunStore.open(path) as other:
            taken = other.take_over(RUN, force=True)

            assert taken.epoch == 2
            with pytest.raises(OwnershipLost):
                journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])
            taken.append_sync([RunResumed(at=3.0, epoch=taken.epoch)])
        assert [type(event).__name__ for event in store.events(RUN)] == ["RunCreated", "RunStarted", "RunResumed"]

    def test_who_ended_takes_a_run_back_only_if_nobody_went_on_with_it_since(self, store):
        journal = store.begin(new_run())
        journal.append_sync([*begun(), RunFailed(at=3.0)])
        again = store.take_over(RUN, since=journal.epoch)
        again.append_sync([RunResumed(at=4.0, epoch=again.epoch), RunFailed(at=5.0)])

        with pytest.raises(RunGoneOn, match="is failed now"):
            store.take_over(RUN, since=journal.epoch)
        assert store.run(RUN).epoch == again.epoch

    async def test_a_stale_owner_does_not_harm_appends_that_were_joined_with_its_own(self, store):
        stale, other = store.begin(new_run()), store.begin(new_run("bbbbbbbbbbbb"))
        stale.append_sync(begun())
        change(store, "UPDATE runs SET epoch = 2")

        results = await asyncio.gather(
            stale.append([StepStarted(at=2.0, step="load", attempt=1)]), other.append(begun()), return_exceptions=True
        )

        assert isinstance(results[0], OwnershipLost)
        assert results[1] is None
        assert store.run("bbb").events == 2

    @pytest.mark.parametrize("end", [RunFailed(at=3.0), RunCancelled(at=3.0)])
    def test_a_run_that_ended_is_owned_by_nobody(self, store, end):
        journal = store.begin(new_run())
        journal.append_sync([*begun(), end])

        assert not store.run(RUN).is_owned
        assert store.take_over(RUN).epoch == 2

    def test_a_journal_that_was_closed_gives_its_run_up(self, store):
        journal = store.begin(new_run())
        journal.append_sync([*begun(), RunInterrupted(at=3.0, reason="shut down")])
        journal.close()

        assert store.run(RUN).shown_state == "crashed"
        assert [run.id for run in store.runs(state="crashed")] == [RUN]
        assert store.runs(state="running") == []
        assert store.take_over(RUN).epoch == 2

    def test_a_run_that_was_put_down_while_it_was_paused_did_not_crash(self, store):
        """Unless a step was at work then, or its process died: these are not where they were left."""
        started = StepStarted(at=2.0, step="load", attempt=1)
        for run_id, events in (("a", ()), ("b", (started,)), ("c", ())):
            journal = store.begin(new_run(run_id * 12))
            journal.append_sync([*begun(), *events, RunPaused(at=3.0)])
            journal.close()
        other = store.begin(new_run("d" * 12))
        other.append_sync([*begun(), started])
        change(
            store,
            "UPDATE runs SET lease_until = '2000-01-01T00:00:00.000Z', owner = ? WHERE id LIKE 'c%'",
            msgspec.json.encode(GONE).decode(),
        )

        assert [run.id[0] for run in store.runs(state="paused")] == ["a"]
        assert sorted(run.id[0] for run in store.runs(state="crashed")) == ["b", "c"]

    def test_a_store_that_closes_gives_up_its_runs(self, path):
        with RunStore.open(path) as store:
            store.begin(new_run()).append_sync(begun())
        with RunStore.open(path, read_only=True) as store:
            assert not store.run(RUN).is_owned

    def test_of_a_distant_owner_the_lease_decides(self, store):
        store.begin(new_run()).append_sync(begun())
        change(store, "UPDATE runs SET owner = ?", msgspec.json.encode(GONE).decode())

        assert store.run(RUN).shown_state == "running"
        with pytest.raises(RunOwned, match="process 1 on elsewhere. It was last heard of less than 60 s ago; --force"):
            store.take_over(RUN)

        change(store, "UPDATE runs SET lease_until = '2999-01-01T00:00:00+00:00'")
        with pytest.raises(RunOwned, match="process 1 on elsewhere. The clock was set back since it was last heard of"):
            store.take_over(RUN)

        change(store, "UPDATE runs SET lease_until = '2020-01-01T00:00:00+00:00'")
        assert store.run(RUN).shown_state == "crashed"
        assert store.take_over(RUN).epoch == 2

    def test_a_near_process_that_is_gone_is_dead_whatever_the_lease_says(self, store):
        store.begin(new_run()).append_sync(begun())
        ended = msgspec.structs.replace(Owner.here(), started="0")
        change(store, "UPDATE runs SET owner = ?", msgspec.json.encode(ended).decode())

        assert store.run(RUN).shown_state == "crashed"

    def test_a_near_process_that_lives_is_alive_whatever_the_lease_says(self, store):
        store.begin(new_run()).append_sync(begun())
        change(store, "UPDATE runs SET lease_until = '2020-01-01T00:00:00+00:00'")

        assert store.run(RUN).shown_state == "running"

    def test_an_orphan_is_ended_before_its_run_is_taken_over(self, store):
        kernel = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            store.begin(new_run()).append_sync(begun())
            launcher = msgspec.structs.replace(Owner.here(), pid=2**22 - 1, started="1")
            change(
                store,
                "UPDATE runs SET owner = ?, launcher = ?",
                msgspec.json.encode(Owner.of(kernel.pid)).decode(),
                msgspec.json.encode(launcher).decode(),
            )

            journal = store.take_over(RUN)

            assert kernel.wait(timeout=10) == -9
            assert (journal.epoch, store.run(RUN).owner, store.run(RUN).launcher) == (2, Owner.here(), None)
        finally:
            kernel.kill()
            kernel.communicate()

    @pytest.mark.parametrize("launcher", [Owner.here(), GONE], ids=["lives", "cannot be seen"])
    def test_a_kernel_whose_launcher_may_live_is_no_orphan(self, store, launcher):
        kernel = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            store.begin(new_run(launcher=launcher)).append_sync(begun())
            change(store, "UPDATE runs SET owner = ?", msgspec.json.encode(Owner.of(kernel.pid)).decode())

            with pytest.raises(RunOwned, match=f"process {kernel.pid}"):
                store.take_over(RUN)
            assert kernel.poll() is None
        finally:
            kernel.kill()
            kernel.communicate()

    def test_the_heartbeat_renews_the_lease_of_runs_that_go_on(self, clocked):
        with clocked(1000.0) as (store, clock):
            store.begin(new_run()).append_sync(begun())
            ended = store.begin(new_run("bbbbbbbbbbbb"))
            ended.append_sync([*begun(), RunFailed(at=2.0)])
            assert store.run(RUN).lease_until == 1060.0
            clock[0] = 1050.0
            store.write(Job(store._beat))

            assert store.run(RUN).lease_until == 1110.0
            assert store.run("bbb").lease_until is None

    def test_the_heart_of_a_former_owner_does_not_keep_the_next_one_alive(self, clocked):
        with clocked(1000.0) as (former, clock), clocked(1000.0) as (store, _):
            former.begin(new_run()).append_sync(begun())
            store.take_over(RUN, force=True)
            clock[0] = 1050.0
            former.write(Job(former._beat))

            assert (store.run(RUN).epoch, store.run(RUN).lease_until) == (2, 1060.0)

    def test_a_former_owner_that_closes_gives_up_nothing_of_the_next_one(self, store, path):
        with RunStore.open(path) as former:
            journal = former.begin(new_run())
            journal.append_sync(begun())
            store.take_over(RUN, force=True)
            journal.close()

        assert store.run(RUN).is_owned

    def test_a_step_is_not_completed_with_a_file_that_was_deleted_meanwhile(self, store):
        journal = store.begin(new_run())
        started = [*begun(), StepStarted(at=2.0, step="load", attempt=1)]
        journal.append_sync(started)
        refs = journal.keep("load", 1, {"load": b"x" * 300_000}, {"load"})
        (file,) = store.files.folder.glob("??/*")
        file.unlink()

        with pytest.raises(StoreUnusable, match="this file was deleted while a step was being recorded"):
            journal.append_sync([completed("load", values=refs)])
        assert store.events(RUN) == started

    def test_events_that_this_owner_does_not_know_end_its_writing(self, store):
        journal = store.begin(new_run())
        journal.append_sync(begun())
        change(store, "UPDATE runs SET events = events + 1")

        with pytest.raises(OwnershipLost):
            journal.append_sync([StepStarted(at=3.0, step="load", attempt=1)])
        change(store, "UPDATE runs SET events = events - 1")
        assert store.events(RUN) == begun()

    def test_a_store_that_another_user_wrote_is_taken_over_without_running_its_code(self, store, monkeypatch):
        journal = store.begin(new_run())
        refs = journal.keep("load", 1, {"load": complex}, {"load"})
        journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1), completed("load", values=refs)])
        journal.close()
        monkeypatch.setattr("szal_nb.store.reading.file_owner_is_us", lambda _: False)

        with pytest.raises(ValueUnavailable, match="runs code, and this record is not ours"):
            store.take_over(RUN).load(refs[0])

    def test_a_run_that_could_not_be_given_up_is_given_up_by_the_next_beat(self, store, path):
        """A disk that is full, mostly: the heart says it when it can, and this process knows it."""
        journal = store.begin(new_run())
        journal.append_sync(begun())
        change(store, "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT raise(ABORT, 'disk full'); END")
        journal.close()
        assert store.end_orphan_of(RUN).is_owned, "as far as the record knows"
        change(store, "DROP TRIGGER full")
        store.write(Job(store._beat))

        assert not store.run(RUN).is_owned
        assert store.take_over(RUN).epoch == 2

    def test_a_run_that_could_not_be_given_up_and_was_taken_over_since_is_owned(self, store):
        journal = store.begin(new_run())
        journal.append_sync(begun())
        change(store, "CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT raise(ABORT, 'disk full'); END")
        journal.close()
        change(store, "DROP TRIGGER full")
        store.take_over(RUN)
        store.write(Job(store._beat))

        with pytest.raises(RunOwned, match="being run by this process"):
            store.take_over(RUN)


class TestOpening:
    def test_the_folder_is_private_and_ignored_by_git(self, store, path):
        assert (path.parent / ".gitignore").read_text() == "*\n"
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.with_name("runs.db.lock").stat().st_mode & 0o777 == 0o600

    def test_one_process_at_a_time_makes_the_tables(self, path):
        make_home(path)
        with closing(FileLock(lock_path(path), timeout_s=0.01)) as ours, closing(FileLock(lock_path(path))) as other:
            with other, pytest.raises(StoreBusy):
                prepare(path, ours)
            assert not path.exists()

            prepare(path, ours)
            with other:
                prepare(path, ours)  # it is up to date: there is nothing to wait for

    def test_reading_only_makes_nothing(self, tmp_path):
        with pytest.raises(StoreMissing, match="There is no store at"):
            RunStore.open(tmp_path / "no" / "runs.db", read_only=True)
        assert list(tmp_path.iterdir()) == []

    def test_a_store_for_reading_writes_nothing(self, store, path):
        store.begin(new_run()).append_sync(begun())
        with RunStore.open(path, read_only=True) as reader:
            assert reader.run(RUN).id == RUN
            with pytest.raises(StoreUnusable, match="opened for reading only"):
                reader.take_over(RUN, force=True)

    def test_a_store_that_is_settled_can_be_carried_as_one_file(self, path):
        """The last to close had it open for reading only, as who watches a headless run has."""
        with RunStore.open(path, durability="fast") as writer:
            writer.begin(new_run()).append_sync(begun())
            watcher = RunStore.open(path, read_only=True)
            assert watcher.run(RUN).id == RUN
        watcher.close()
        assert path.with_name("runs.db-wal").stat().st_size > 0

        with RunStore.open(path) as store:
            store.settle()
        assert not path.with_name("runs.db-wal").exists()
        carried = path.with_name("carried.db")
        carried.write_bytes(path.read_bytes())
        with RunStore.open(carried, read_only=True) as store:
            assert store.run(RUN).id == RUN

    def test_a_folder_that_cannot_be_written_is_told_with_the_way_out(self, tmp_path):
        (tmp_path / "no").touch()
        with pytest.raises(StoreUnusable):
            RunStore.open(tmp_path / "no" / "runs.db")
        error = explain(PermissionError(errno.EACCES, "Permission denied", str(tmp_path)), tmp_path / "runs.db")
        advice = "Name a place that can be written: --store PATH, or SZAL_STORE."
        assert str(error).endswith(f"Permission denied ({tmp_path}). {advice}")

    def test_a_path_that_is_too_long_for_sqlite_is_told_so(self, tmp_path):
        folder = tmp_path.joinpath(*("a long name " * 8 for _ in range(8)))
        folder.mkdir(parents=True)

        with pytest.raises(StoreUnusable, match="SQLite opens no path of more than 500 bytes. Name a place") as caught:
            RunStore.open(folder / ".szal" / "runs.db")
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)

    def test_a_store_that_was_closed_says_so(self, path):
        store = RunStore.open(path)
        journal = store.begin(new_run())
        journal.append_sync(begun())
        store.close()
        store.close()

        with pytest.raises(StoreUnusable, match="it was closed"):
            journal.append_sync([RunCompleted(at=2.0)])

    def test_a_file_that_is_deleted_while_it_is_open_is_noticed(self, path):
        store = RunStore.open(path)
        store.begin(new_run()).append_sync(begun())
        path.unlink()

        with pytest.raises(StoreError, match="deleted, moved or replaced"):
            store.begin(new_run("bbbbbbbbbbbb")).append_sync(begun())
        store.close()

    def test_a_memory_store_leaves_nothing_behind(self):
        store = RunStore.open(":memory:")
        store.begin(new_run()).append_sync(begun())
        home = store.path.parent.parent
        assert home.exists()
        store.close()
        assert not home.exists()

    def test_an_up_to_date_store_opens_without_sqlite_utils(self, store, path):
        store.begin(new_run()).append_sync(begun())
        code = (
            "import sys; from szal_nb.store.runs import RunStore\n"
            f"store = RunStore.open({str(path)!r}); store.runs(); store.close()\n"
            "print({'sqlite_utils', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules))"
        )
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

        assert printed.strip() == "set()"


def test_run_ids_made_at_one_moment_are_distinct():
    ids = {new_run_id() for _ in range(10_000)}

    assert len(ids) == 10_000
    assert {len(run_id) for run_id in ids} == {12}


def test_steps_keep_the_order_of_the_document(store):
    store.begin(new_run()).append_sync(begun())

    assert tuple(store.snapshot(RUN).steps) == NAMES


def test_a_store_that_nobody_refers_to_any_more_is_closed(tmp_path):
    before = set(threading.enumerate())
    store = RunStore.open(tmp_path / "runs.db")
    store.write(Job(lambda _: None))
    store.runs()
    (thread,) = set(threading.enumerate()) - before

    del store
    gc.collect()
    thread.join(20)

    assert not thread.is_alive()
    assert not (tmp_path / "runs.db-wal").exists()  # the last connection is closed too
