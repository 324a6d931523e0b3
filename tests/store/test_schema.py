from __future__ import annotations

import asyncio
import gc
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import ANY

import pytest

from szal_nb.errors import StoreError
from szal_nb.model.event import RunCompleted, RunResumed, StepCompleted, StepStarted
from szal_nb.store.failure import NotAStore, StoreDamaged, StoreTooNew
from szal_nb.store.migrations import MIGRATIONS
from szal_nb.store.runs import RunStore
from szal_nb.store.schema import APPLICATION_ID, VERSION, migrate
from tests.store.scribe import begun, new_run


def sql(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


@pytest.fixture
def filled(path):
    with RunStore.open(path) as store:
        for n in range(20):
            journal = store.begin(new_run(f"{n:012x}", notebook="{}" * 500))
            journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
            refs = journal.keep("load", 1, {"a": "x" * 2000 + str(n)}, {"a"})
            journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    assert not path.with_name("runs.db-wal").exists()
    return path


def test_the_tables_are_those_of_the_contract(store, path):
    (found,) = sql(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY 1")

    assert {name for (name,) in found} == {
        "_sqlite_migrations",
        *("flows", "runs", "steps", "attempts", "events", "values", "inputs"),
        *("turns", "past_attempts", "blobs", "notebooks", "v_runs", "v_failures"),
    }


def test_the_file_says_what_it_is(store, path):
    assert sql(path, "PRAGMA user_version", "PRAGMA application_id") == [[(VERSION,)], [(APPLICATION_ID,)]]
    assert sql(path, "SELECT name FROM _sqlite_migrations ORDER BY rowid") == [[(name,) for name, _ in MIGRATIONS]]


def test_a_migration_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(db):
        db["half"].create({"a": int})
        raise RuntimeError("half way")

    monkeypatch.setattr("szal_nb.store.schema.MIGRATIONS", (*MIGRATIONS, ("broken", fail)))
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection, pytest.raises(RuntimeError):
        migrate(connection)

    assert sql(path, "SELECT count(*) FROM sqlite_master", "PRAGMA user_version") == [[(0,)], [(0,)]]


def test_an_older_store_is_brought_up_to_date_and_keeps_its_runs(filled, monkeypatch):
    def more(db):
        db["runs"].add_column("color", str)

    monkeypatch.setattr("szal_nb.store.schema.MIGRATIONS", (*MIGRATIONS, ("2027_color", more)))
    monkeypatch.setattr("szal_nb.store.schema.VERSION", VERSION + 1)
    monkeypatch.setattr("szal_nb.store.database.VERSION", VERSION + 1)
    with RunStore.open(filled) as store:
        assert len(store.runs()) == 20

    assert sql(filled, "PRAGMA user_version", "SELECT DISTINCT color FROM runs") == [[(VERSION + 1,)], [(None,)]]


RELEASED = sorted((Path(__file__).parent / "schemas").glob("v*.sql"))


@pytest.mark.parametrize("schema", RELEASED, ids=lambda schema: schema.stem)
def test_a_store_of_each_released_schema_opens_migrates_and_its_run_resumes(path, schema):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.read_text(encoding="utf-8"))
    assert sql(path, "PRAGMA user_version") == [[(int(schema.stem[1:]),)]]

    with RunStore.open(path) as store:
        shown = {run.id: run.shown_state for run in store.runs()}
        journal = store.take_over("aaaaaaaaaaaa")
        journal.append_sync([RunResumed(at=9.0, epoch=journal.epoch, reset=("clean", "plot"))])
        for step in ("clean", "plot"):
            journal.append_sync([StepStarted(at=9.0, step=step, attempt=2)])
            journal.append_sync([StepCompleted(at=9.0, step=step, attempt=2)])
        journal.append_sync([RunCompleted(at=9.0)])
        assert shown == {"aaaaaaaaaaaa": "crashed", "bbbbbbbbbbbb": "failed"}
        assert store.value("aaaaaaaaaaaa", "load", "load") == [1, 2, {"a": None}]
        assert store.run("aaaaaaaaaaaa").shown_state == "completed"
    # What a new store has, and in the same order, an old one has now.
    new = path.with_name("new.db")
    RunStore.open(new).close()
    columns = (
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type IN ('table', 'view')"
    )
    assert sorted(sql(path, columns)[0]) == sorted(sql(new, columns)[0])
    indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
    assert sql(path, indexes) == sql(new, indexes)
    assert sql(path, "PRAGMA user_version", "PRAGMA integrity_check") == [[(VERSION,)], [("ok",)]]


TOLD = {
    "events": "SELECT run_id, seq, at, kind, step, attempt, data FROM events ORDER BY run_id, seq",
    "attempts": "SELECT run_id, step, number, state, started_at, ended_at, duration_s, error, error_detail"
    " FROM attempts ORDER BY run_id, step, number",
}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("schema", RELEASED, ids=lambda schema: schema.stem)
def test_events_and_attempts_of_an_older_store_are_told_as_before(path, schema, told):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.read_text(encoding="utf-8"))
    # An attempt of a step that was reset since is told by no row of a step.
    is_table = sql(path, "SELECT type FROM sqlite_master WHERE name = 'attempts'") == [[("table",)]]
    sql(
        path,
        f"INSERT INTO {'attempts' if is_table else 'past_attempts'} (run_id, step, number, state, started_at)"
        " VALUES ('bbbbbbbbbbbb', 'plot', 1, 'lost', 'x')",
    )
    (before,) = sql(path, TOLD[told])
    RunStore.open(path).close()

    assert sql(path, TOLD[told]) == [before]
    assert len(before) > 3


def test_what_was_damaged_in_an_older_store_is_still_found_and_harms_no_other_run(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(RELEASED[3].read_text(encoding="utf-8"))
        connection.execute("UPDATE events SET data = replace(data, 'load', 'plot') WHERE run_id LIKE 'a%' AND seq = 2")
        connection.commit()

    with RunStore.open(path) as store:
        assert len(store.events("bbbbbbbbbbbb")) == 7
        with pytest.raises(StoreDamaged, match="number 2 on do not match their checksum"):
            store.events("aaaaaaaaaaaa")


def list_runs(path, *, read_only):
    with RunStore.open(path, read_only=read_only) as store:
        return store.runs()


@pytest.mark.parametrize("in_wal", [False, True])
def test_a_newer_store_is_refused_and_not_a_byte_of_it_is_touched(filled, in_wal):
    connection = sqlite3.connect(filled, isolation_level=None)
    connection.execute(f"PRAGMA user_version = {VERSION + 5}")
    if not in_wal:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    wal = filled.with_name("runs.db-wal")
    before = (filled.read_bytes(), wal.read_bytes())

    for read_only in (False, True):
        with pytest.raises(StoreTooNew, match=f"version {VERSION + 5}; this szal_nb knows versions up to {VERSION}"):
            list_runs(filled, read_only=read_only)
    assert (filled.read_bytes(), wal.read_bytes()) == before
    connection.close()


def test_a_newer_store_that_nobody_has_open_stays_alone_in_its_folder(filled):
    """No other journal mode, and nothing beside the lock, which is there before anything is looked at."""
    sql(filled, "PRAGMA journal_mode = DELETE", f"PRAGMA user_version = {VERSION + 5}")
    before = {file: file.read_bytes() for file in filled.parent.rglob("*") if file.is_file()}

    for read_only in (True, False):
        with pytest.raises(StoreTooNew):
            RunStore.open(filled, read_only=read_only)
        assert {file: file.read_bytes() for file in filled.parent.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"hello world, this is no database at all", NotAStore, "does not begin as an SQLite database"),
        (b"SQLite format 3\x00" + bytes(20), StoreDamaged, "ends after 36 bytes"),
        (b"SQLite", StoreDamaged, "ends after 6 bytes"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, content, error, text, read_only):
    path = tmp_path / "runs.db"
    path.write_bytes(content)

    with pytest.raises(error, match=text):
        RunStore.open(path, read_only=read_only)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    sql(path, "CREATE TABLE mine (x)", "INSERT INTO mine VALUES (1)")
    before = path.read_bytes()

    with pytest.raises(NotAStore, match="it is a database of another program"):
        RunStore.open(path)
    assert path.read_bytes() == before
    # Who looks at it again and again must not run out of files.
    opened = [fd.resolve() for fd in Path("/proc/self/fd").iterdir()]
    assert [file for file in opened if file.is_relative_to(tmp_path)] == []


def test_a_folder_is_no_store(tmp_path):
    for read_only in (True, False):
        with pytest.raises(StoreError):
            RunStore.open(tmp_path, read_only=read_only)


def test_an_empty_file_becomes_a_store(tmp_path):
    path = tmp_path / "runs.db"
    path.touch()
    with RunStore.open(path) as store:
        assert store.runs() == []


def use(path):
    """Reads all there is; gives what was read, or the typed error."""
    try:
        with RunStore.open(path, read_only=True) as store:
            return [(run.id, store.value(run.id, "load", "a"), len(store.events(run.id))) for run in store.runs()]
    except StoreError as error:
        return error


def test_a_store_that_was_cut_off_is_a_typed_error(filled):
    size = filled.stat().st_size
    for length in (50, 100, 512, 4096, 5000, size // 2, size - 4096, size - 1):
        copy = filled.with_name(f"cut-{length}.db")
        copy.write_bytes(filled.read_bytes()[:length])

        assert isinstance(use(copy), StoreDamaged), length


def test_a_store_with_damaged_bytes_gives_an_error_or_what_was_written_never_anything_else(filled):
    whole = {run_id: (value, events) for run_id, value, events in use(filled)}
    errors, wrong = damaged_at_random(filled, whole)

    assert wrong == 0
    assert errors > 40


def test_a_store_that_looks_at_no_checksum_is_found_out(filled, monkeypatch):
    whole = {run_id: (value, events) for run_id, value, events in use(filled)}
    monkeypatch.setattr("szal_nb.store.projection.zlib", SimpleNamespace(crc32=lambda _: ANY))
    monkeypatch.setattr("szal_nb.store.contents.hash_of", lambda *_: ANY)

    assert damaged_at_random(filled, whole)[1] > 0


def damaged_at_random(filled, whole):
    """How often a file with flipped bits was a typed error, and how often it gave something else than was written."""
    chance = random.Random(1)
    content = filled.read_bytes()
    errors = wrong = 0
    for n in range(300):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 8, 64))):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        copy = filled.with_name(f"damaged-{n}.db")
        copy.write_bytes(damaged)
        found = use(copy)
        copy.unlink()
        if isinstance(found, StoreError):
            errors += 1
        else:
            wrong += any(whole.get(run_id) != (value, events) for run_id, value, events in found)
    return errors, wrong


def test_a_damaged_store_names_the_way_out(filled):
    damaged = bytearray(filled.read_bytes())
    damaged[4096 * 2 : 4096 * 8] = bytes(4096 * 6)
    filled.write_bytes(damaged)

    assert "szal doctor --repair" in str(use(filled))


# Datasette leaves connections to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <sqlite3.Connection:pytest.PytestUnraisableExceptionWarning")
def test_datasette_shows_every_table(filled):
    datasette = pytest.importorskip("datasette.app")
    shutil.copy(filled, filled.with_name("copy.db"))

    async def look():
        served = datasette.Datasette([str(filled)])
        await served.invoke_startup()
        found = (await served.client.get("/runs.json")).json()
        names = [*found["tables"], *found["views"]]
        statuses = {
            table["name"]: (await served.client.get(f"/runs/{table['name']}.json")).status_code for table in names
        }
        views = [
            (await served.client.get(f"/runs/{view}.json?_shape=array")).json() for view in ("v_runs", "v_failures")
        ]
        page = await served.client.get("/runs/steps?run_id=000000000001")
        for database in served.databases.values():
            database.close()
        return statuses, views, page

    statuses, views, page = asyncio.run(look())
    gc.collect()

    assert set(statuses.values()) == {200}
    assert {"flows", "runs", "steps", "attempts", "events", "values", "inputs"} <= set(statuses)
    assert [len(rows) for rows in views] == [20, 0]
    assert views[0][0]["completed"] == 1
    assert page.status_code == 200
