"""Product promises about the store (section 6), sentence by sentence; each test quotes its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from szal_nb.errors import OwnershipLost, RunOwned, StoreError
from szal_nb.model.event import RunResumed, StepCompleted, StepStarted
from szal_nb.model.state import RunState, fold
from szal_nb.store.migrations import MIGRATIONS
from szal_nb.store.owner import HEARTBEAT_S, LEASE_S, Owner, is_alive
from szal_nb.store.runs import RunStore, find_store
from tests.promises.shell import SETUP, Shell, write_notebook
from tests.store.scribe import begun, new_run

RUN = "aaaaaaaaaaaa"


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".szal" / "runs.db"


@pytest.fixture
def store(path):
    with RunStore.open(path) as opened:
        yield opened


def run_load(journal, **values):
    """Step `load` runs and gives these values, all of them needed."""
    journal.append_sync([StepStarted(at=2.0, step="load", attempt=journal.epoch)])
    refs = journal.keep("load", journal.epoch, values, values.keys())
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=journal.epoch, values=refs)])
    return {ref.name: ref for ref in refs}


def fetch(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_one_file_beside_the_notebook(tmp_path, monkeypatch):
    """One SQLite file, `.szal/runs.db`, beside the notebook (override: `SZAL_STORE`, `[tool.szal] store`), with `.szal/values/` for large values and a generated `.gitignore`."""
    monkeypatch.delenv("SZAL_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    beside = find_store(tmp_path / "sales.ipynb")
    (tmp_path / "pyproject.toml").write_text('[tool.szal]\nstore = "of-project.db"\n')
    by_project = find_store(tmp_path / "sales.ipynb")
    monkeypatch.setenv("SZAL_STORE", str(tmp_path / "of-environment.db"))

    assert Path(beside) == tmp_path / ".szal" / "runs.db"
    assert Path(by_project) == tmp_path / "of-project.db"
    assert Path(find_store(tmp_path / "sales.ipynb")) == tmp_path / "of-environment.db"


def test_large_values_and_the_gitignore(store, path):
    """[...] with `.szal/values/` for large values and a generated `.gitignore`."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    ref = run_load(journal, load=np.zeros(100_000))["load"]

    assert (path.parent / "values" / ref.hash[:2] / ref.hash).is_file()
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_tables_and_times(store, path):
    """Opens in Datasette with no help: tables `flows`, `runs`, `steps`, `attempts`, `events`, `values`, `inputs`, plain columns, ISO-8601 UTC times, JSON where nested."""
    journal = store.begin(new_run(params={"rows": [1, 2]}, packages={"numpy": "2"}))
    journal.append_sync(begun())
    run_load(journal, load=1)

    tables = ("flows", "runs", "steps", "attempts", "events", "values", "inputs")
    # As Datasette opens it: a file that is only read, by its name and nothing else.
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        rows = {table: [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')] for table in tables}
    cells = [(name, value) for table in rows.values() for row in table for name, value in row.items()]
    assert {type(value) for _, value in cells} <= {str, int, float, type(None)}
    for name, value in cells:
        if name in {"params", "packages", "owner", "launcher", "graph", "data", "shape"} and value is not None:
            json.loads(value)
        if name.endswith("_at") and value is not None:
            assert datetime.fromisoformat(value).utcoffset() == timedelta(0)
    assert fetch(path, "SELECT started_at, ended_at FROM steps WHERE name = 'load'") == [
        ("1970-01-01T00:00:02.000000+00:00", "1970-01-01T00:00:03.000000+00:00")
    ]


def test_a_newer_file_is_refused_untouched(store, path):
    """Built with sqlite-utils; migrations are a list in the code, applied in one transaction, and a file newer than the program is refused, untouched."""
    assert fetch(path, "SELECT name FROM _sqlite_migrations ORDER BY id") == [(name,) for name, _ in MIGRATIONS]
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 4000")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="Upgrade"):
        RunStore.open(path)
    assert path.read_bytes() == before


def test_a_step_completes_with_its_values(store, path):
    """A step is `completed` in the same transaction that stores its values."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])
    (ref,) = journal.keep("load", 1, {"load": [1, 2]}, {"load"})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TRIGGER t BEFORE INSERT ON \"values\" BEGIN SELECT raise(ABORT, 'no'); END")

    with pytest.raises(StoreError):
        journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=(ref,))])
    kept = fetch(path, "SELECT (SELECT state FROM steps WHERE name = 'load'), (SELECT count(*) FROM blobs)")
    assert (kept, store.snapshot(RUN).steps["load"].state) == ([("running", 0)], "running")


def test_state_is_the_fold(store, path):
    """State is the fold of the events: `runs` and `steps` can be rebuilt from `events` and always agree with them."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    run_load(journal, load=1)
    folded = fold(store.events(RUN))

    assert fetch(path, "SELECT name, state, attempt FROM steps ORDER BY position") == [
        (step.name, step.state.value, step.attempt) for step in folded.steps.values()
    ]
    assert fetch(path, "SELECT state, events FROM runs") == [(folded.state.value, folded.events)]


def test_one_owner_with_a_fencing_token(store):
    """One run has one owner: boot id, pid namespace, pid and start time, with a fencing token checked by every commit."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    owner = store.run(RUN).owner
    store.take_over(RUN, force=True)

    assert owner.is_same(Owner.here())
    assert all((owner.boot_id, owner.pid_namespace, owner.pid, owner.started))
    with pytest.raises(OwnershipLost):
        journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])


def test_a_process_that_is_there_is_alive():
    """Same boot and namespace: process gone means dead at once, process there means alive, whatever the lease says (`--force` asks)."""
    here = Owner.here()
    gone = msgspec.structs.replace(here, started="1")

    assert (is_alive(here, 0.0, now=1e12), is_alive(gone, 1e12, now=0.0)) == (True, False)


def test_a_living_owner_gives_its_run_up_to_force_only(store, path):
    """[...] whatever the lease says (`--force` asks)."""
    store.begin(new_run()).append_sync(begun())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET lease_until = '1970-01-01T00:00:00.000000+00:00'")

    with pytest.raises(RunOwned):
        store.take_over(RUN)
    assert store.take_over(RUN, force=True).epoch == 2


def test_of_others_the_lease_decides():
    """Anything else: only the lease decides (60 s, heartbeat from its own thread)."""
    far = msgspec.structs.replace(Owner.here(), boot_id="another")

    assert [is_alive(far, 100.0, now=now) for now in (99.0, 101.0)] == [True, False]
    assert LEASE_S == 60.0
    # Some beats may fail, and it is still alive.
    assert HEARTBEAT_S <= LEASE_S / 4


def test_a_second_process_can_read_always(store, path):
    """A second process can read always."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    code = "import sys; from szal_nb.store.runs import RunStore; s = RunStore.open(sys.argv[1], read_only=True)"
    code += "; print(s.run('aaaa').state)"

    read = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert read.stdout.strip() == "running"
    with pytest.raises(RunOwned):
        store.take_over(RUN)


ORPHAN = """
import sys, time
from szal_nb.store.owner import Owner
from szal_nb.store.runs import RunStore
from tests.promises.shell import SETUP, Shell, write_notebook
from tests.store.scribe import begun, new_run
store = RunStore.open(sys.argv[1])
gone = Owner.here()
import msgspec
journal = store.begin(new_run(launcher=msgspec.structs.replace(gone, pid=gone.pid, started="1")))
journal.append_sync(begun())
print("begun", flush=True)
sys.stdin.read()
"""


def test_resume_ends_its_own_orphan(store, path):
    """`resume` first ends its own orphan of a killed run, waits until it is gone, then takes over."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(path)], stdin=pipe, stdout=pipe, text=True) as kernel:
        assert kernel.stdout.readline() == "begun\n"

        journal = store.take_over(RUN)

        assert kernel.wait(timeout=10) == -signal.SIGKILL
    journal.append_sync([RunResumed(at=4.0, epoch=journal.epoch, reset=("load", "clean", "plot"))])
    assert store.run(RUN).state is RunState.RUNNING


def test_the_notebook_parameters_and_packages_are_kept(store):
    """A run snapshots the whole notebook (all cells, hash), its parameters and package versions."""
    notebook = json.dumps({"cells": [{"cell_type": "markdown", "source": "# Zażółć"}]})
    journal = store.begin(new_run(notebook=notebook, params={"region": "EU"}, packages={"numpy": "2.1"}))
    journal.append_sync(begun())

    run = store.run(RUN)
    assert (store.notebook(RUN), run.params) == (notebook, {"region": "EU"})
    assert fetch(store.path, "SELECT packages FROM runs") == [('{"numpy":"2.1"}',)]


def test_what_cannot_be_stored_is_live_with_the_reason(store):
    """A needed value that cannot be stored (an open file, a connection, a generator) is `live` too."""
    journal = store.begin(new_run())
    with open(os.devnull) as file, closing(sqlite3.connect(":memory:")) as connection:  # noqa: PTH123 any open file
        values = {"file": file, "connection": connection, "generator": (n for n in ())}
        refs = journal.keep("load", 1, values, values.keys())

    assert [(ref.hash, ref.needed) for ref in refs] == [(None, True)] * 3
    assert all(ref.live for ref in refs)


def test_other_names_are_kept_if_they_store_cheaply(store):
    """Other bound names are kept if they store cheaply, else listed as `live` with the reason."""
    journal = store.begin(new_run())
    small, large = journal.keep("load", 1, {"small": 1, "large": np.zeros(20_000_000)}, ())

    assert small.hash is not None
    assert (large.hash, large.live) == (None, "no later step reads it, and it has over 16 MB")


def test_two_names_for_one_object_stay_one_object(store):
    """Two names for one object stay one object (identity has its own token, never derived from the hash)."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    one = [1, 2]
    run_load(journal, a=one, b=one, equal=[1, 2])
    journal.close()
    resumed = store.take_over(RUN)
    refs = {ref.name: ref for ref in store.snapshot(RUN).steps["load"].values}
    a, b, equal = (resumed.load(refs[name]) for name in ("a", "b", "equal"))

    assert (a is b, a is equal, a == equal) == (True, False, True)
    assert refs["a"].hash == refs["equal"].hash


def test_mapped_values_are_copy_on_write(store):
    """memory-mapped values are copy-on-write."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    run_load(journal, load=np.zeros(100_000))
    journal.close()

    first = store.value(RUN, "load", "load")
    first[0] = 7.0

    assert (first[0], store.value(RUN, "load", "load")[0]) == (7.0, 0.0)


def test_formats_and_the_check_on_reading(store, path):
    """Formats: JSON for small plain data, `.npy`/Arrow for arrays and tables, cloudpickle for the rest; content-addressed by hash, checked on reading."""
    import pandas as pd

    journal = store.begin(new_run())
    journal.append_sync(begun())
    refs = run_load(journal, plain={"a": "1" * 300}, array=np.zeros(9), table=pd.DataFrame({"a": [1]}), rest=complex)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE blobs SET data = replace(data, '1', '2') WHERE hash = ?", (refs["plain"].hash,))

    assert {name: ref.format for name, ref in refs.items()} == {
        "plain": "json",
        "array": "npy",
        "table": "arrow-pandas",
        "rest": "pickle",
    }
    with pytest.raises(StoreError):
        store.value(RUN, "load", "plain")


def test_code_carrying_formats_need_trust(store, path):
    """Code-carrying formats are loaded only from stores this user wrote, or with an explicit `--trust`."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    run_load(journal, load=complex, plain=1)
    journal.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET is_imported = 1")

    assert (store.value(RUN, "load", "plain"), store.value(RUN, "load", "load", trust=True)) == (1, complex)
    with pytest.raises(StoreError, match="trust"):
        store.value(RUN, "load", "load")


def test_completed_steps_are_not_run_again(store):
    """Completed steps are not run again; a step that was running when the process died is run again as a new attempt."""
    journal = store.begin(new_run())
    journal.append_sync(begun())
    run_load(journal, load=1)
    journal.append_sync([StepStarted(at=4.0, step="clean", attempt=1)])
    journal.close()
    again = store.take_over(RUN)
    again.append_sync([RunResumed(at=5.0, epoch=2, reset=("clean", "plot"))])
    again.append_sync([StepStarted(at=6.0, step="clean", attempt=2)])
    steps = store.snapshot(RUN).steps

    assert [attempt.state for attempt in steps["load"].attempts] == ["completed"]
    assert [attempt.state for attempt in steps["clean"].attempts] == ["lost", "running"]


@pytest.mark.serial
def test_which_store(tmp_path):
    """Which store: `--store PATH` everywhere; otherwise `.szal/` beside the notebook for commands that take one, else the nearest `.szal/` upwards; a run prints its store."""
    inner = tmp_path / "deep" / "inner"
    inner.mkdir(parents=True)
    write_notebook(tmp_path / "deep" / "nb.ipynb", SETUP, "%%szal_step load\nx = 1", "run = %szal_run")
    above, below = Shell(tmp_path), Shell(inner)

    code, _, err = above.call("run", "deep/nb.ipynb")
    beside = tmp_path / "deep" / ".szal" / "runs.db"
    assert (code, str(beside) in err.replace("\n", "")) == (0, True), err
    found = below.json("runs")[1]["runs"]
    assert [run["flow"] for run in found] == ["deeds"]
    assert below.json("show", found[0]["id"], "--store", str(beside))[1]["id"] == found[0]["id"]

    code, _, err = above.call("run", "deep/nb.ipynb", "--store", "other.db")
    assert (code, "other.db" in err) == (0, True), err
    assert len(above.json("runs", "--store", "other.db")[1]["runs"]) == len(below.json("runs")[1]["runs"]) == 1
