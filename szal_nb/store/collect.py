"""Garbage collection: runs that are too old, and content that no run names any more."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from szal_nb.model.state import RunState
from szal_nb.store.files import statuses
from szal_nb.store.listing import RUN_COLUMNS, StoredRun, stored_runs
from szal_nb.store.moved import usual_output
from szal_nb.store.runs import RunStore
from szal_nb.store.writer import Job

# A file this young may belong to a step whose event is not written yet.
GRACE_S = 3600.0
_OF_RUN = (
    'DELETE FROM "values" WHERE step_id IN (SELECT id FROM steps WHERE run_id = ?)',
    *(f"DELETE FROM {table} WHERE run_id = ?" for table in ("turns", "past_attempts", "steps", "inputs")),  # noqa: S608
    "DELETE FROM runs WHERE id = ?",
)
_UNNAMED_BLOBS = """
hash IN (SELECT hash FROM blobs EXCEPT SELECT hash FROM "values" EXCEPT SELECT hash FROM inputs)
"""
_NAMED_BLOBS = """
SELECT hash, blobs.size, run_id FROM blobs JOIN "values" USING (hash) WHERE blobs.size > 0
UNION SELECT hash, blobs.size, run_id FROM blobs JOIN inputs USING (hash) WHERE blobs.size > 0
"""
# Short contents, which stand with the values of a run and are of no other.
_SHORT = """
SELECT run_id, size FROM "values" WHERE content IS NOT NULL
UNION ALL SELECT run_id, size FROM inputs WHERE content IS NOT NULL
"""
_SHORT_OF_RUN = """
SELECT size FROM "values" WHERE content IS NOT NULL AND step_id IN (SELECT id FROM steps WHERE run_id = :run)
UNION ALL SELECT size FROM inputs WHERE content IS NOT NULL AND run_id = :run
"""

_FINAL = ", ".join("?" * sum(state.is_final for state in RunState))
_OPEN_RUNS = f"SELECT {RUN_COLUMNS} FROM runs WHERE state NOT IN ({_FINAL})"  # noqa: S608 constants
_NEWEST_RUNS = "SELECT flow, id, max(rowid) FROM runs WHERE NOT is_imported GROUP BY flow"
_NEWEST_RESULT = """
SELECT runs.id FROM runs JOIN steps ON steps.run_id = runs.id AND steps.name = ?
WHERE runs.flow = ? AND NOT runs.is_imported AND steps.state = 'completed' AND steps.fingerprint != ''
ORDER BY runs.rowid DESC LIMIT 1
"""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted, or would be. `size` in bytes: contents in the database and files together.

    `kept` are runs that were to go and stay, because a run of their flow is going on, which may take values of them.
    `young` are files that no run names and that stay for now, with their bytes together.
    """

    runs: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    values: int = 0
    files: int = 0
    size: int = 0
    young: tuple[int, int] = (0, 0)


def removable(runs: Collection[StoredRun], *, older_than_s: float, now: float, keep: Collection[str] = ()) -> list[str]:
    """Ids of runs that ended longer ago than `older_than_s`, except those in `keep`.

    A run that has not ended is never removable: it lives, or it crashed and can be resumed.
    """
    return [
        run.id
        for run in runs
        if run.id not in keep and run.state.is_final and (run.ended_at or run.created_at) < now - older_than_s
    ]


def beyond_size(store: RunStore, limit: int, *, keep: Collection[str] = ()) -> list[str]:
    """The oldest runs that have ended, except those in `keep`, without which the values take at most `limit` bytes.

    All that can go, if what is left takes more all the same.
    """
    runs = store.runs()
    removed = removable(runs, older_than_s=0, now=math.inf, keep=keep)
    oldest_first = sorted((run for run in runs if run.id in set(removed)), key=lambda run: run.ended_at or 0.0)
    place = {run.id: number for number, run in enumerate(oldest_first)}
    # A content goes with the last of the runs that name it.
    last: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for digest, size, run_id in store.reader.fetch(_NAMED_BLOBS):
        sizes[str(digest)] = int(str(size))
        last[str(digest)] = max(last.get(str(digest), -1), place.get(str(run_id), math.inf))
    freed = [0] * len(oldest_first)
    for digest, number in last.items():
        if number < len(freed):
            freed[int(number)] += sizes[digest]
    total = sum(sizes.values())
    for run_id, size in store.reader.fetch(f"SELECT run_id, sum(size) FROM ({_SHORT}) GROUP BY run_id"):  # noqa: S608
        total += int(str(size))
        if str(run_id) in place:
            freed[place[str(run_id)]] += int(str(size))
    found = []
    for run, size in zip(oldest_first, freed, strict=True):
        if total <= limit:
            break
        found.append(run.id)
        total -= size
    return found


def not_deleted(run_id: str) -> str:
    """Why `collect` has left a run alone that somebody wanted to be gone."""
    return (
        f"Run {run_id} was not deleted: it has not ended, and lives or can be resumed, or a run of its flow is going "
        "on, which may take values of it."
    )


def cache_holders(store: RunStore) -> set[str]:
    """The runs that have the newest result of a step which the newest run of its flow marks `--cache`."""
    found: set[str] = set()
    for flow, run_id, _ in store.reader.fetch(_NEWEST_RUNS):
        for node in store.graph(str(run_id)).nodes:
            if node.step.cache:
                found.update(str(row[0]) for row in store.reader.fetch(_NEWEST_RESULT, (node.step.name, str(flow))))
    return found


def collect(
    store: RunStore, runs: Collection[str] = (), *, is_dry: bool = False, now: float | None = None
) -> Collected:
    """Deletes the runs and all content that no other run names; with `is_dry` only says what it would delete.

    Content that a fork or a later run took over is named by that run and stays. Runs that have not ended are left
    alone, whoever asks, and so are the runs of a flow while one of them is going on: what it will take from them is
    not known before it ends. Files of values younger than an hour stay for the next time. With a run goes its notebook
    as it was executed, if nobody named a place for that.
    """
    moment = time.time() if now is None else now

    def delete(connection: sqlite3.Connection) -> Collected:
        deleted = _delete_rows(connection, runs, _busy_flows(connection, store.path, moment))
        if is_dry:
            raise _DryRun(_sweep(connection, store, moment, deleted, is_dry=True))
        return deleted

    try:
        deleted = store.write(Job(delete))
    except _DryRun as dry:
        return dry.found
    # Files go only after the rows that named them are gone for good, and under the store's lock, so that no row that
    # names one can be written meanwhile.
    return store.write(Job(lambda connection: _sweep(connection, store, moment, deleted, is_dry=False)))


class _DryRun(Exception):
    """Carries the result out of a transaction that must not be committed."""

    def __init__(self, found: Collected) -> None:
        super().__init__(found)
        self.found = found


def _busy_flows(connection: sqlite3.Connection, path: Path, now: float) -> set[str]:
    """The flows of which a run is going on."""
    rows = connection.execute(_OPEN_RUNS, tuple(state.value for state in RunState if state.is_final)).fetchall()
    return {run.flow for run in stored_runs(rows, now, path) if run.is_owned}


def _delete_rows(connection: sqlite3.Connection, runs: Collection[str], busy: Collection[str] = ()) -> Collected:
    # Of a flow that is busy; what has not ended stays for its own sake.
    kept = tuple(run for run in runs if busy and _flow_of_ended(connection, run) in busy)
    short: list[int] = []
    deleted = [run for run in runs if run not in kept and _delete_run(connection, run, short)]
    connection.execute("DELETE FROM flows WHERE id NOT IN (SELECT flow_id FROM runs WHERE flow_id IS NOT NULL)")
    connection.execute(
        "DELETE FROM notebooks WHERE id NOT IN (SELECT notebook_id FROM runs WHERE notebook_id IS NOT NULL)"
    )
    count, size = connection.execute(
        f"SELECT count(*), coalesce(sum(size), 0) FROM blobs WHERE NOT in_file AND {_UNNAMED_BLOBS}"  # noqa: S608
    ).fetchone()
    connection.execute(f"DELETE FROM blobs WHERE {_UNNAMED_BLOBS}")  # noqa: S608 a constant
    return Collected(runs=tuple(deleted), kept=kept, values=count + len(short), size=size + sum(short))


def _flow_of_ended(connection: sqlite3.Connection, run: str) -> str | None:
    """The flow of a run that has ended; None for any other."""
    final = [state.value for state in RunState if state.is_final]
    sql = f"SELECT flow FROM runs WHERE id = ? AND state IN ({_FINAL})"  # noqa: S608 question marks
    row = connection.execute(sql, (run, *final)).fetchone()
    return None if row is None else str(row[0])


def _delete_run(connection: sqlite3.Connection, run: str, short: list[int]) -> bool:
    """Whether the run has gone; `short` grows by the sizes of contents that went with its rows."""
    if _flow_of_ended(connection, run) is None:
        return False
    short += [size for (size,) in connection.execute(_SHORT_OF_RUN, {"run": run})]
    for sql in _OF_RUN:
        connection.execute(sql, (run,))
    return True


def _sweep(
    connection: sqlite3.Connection, store: RunStore, now: float, deleted: Collected, *, is_dry: bool
) -> Collected:
    named = {digest for (digest,) in connection.execute("SELECT hash FROM blobs WHERE in_file")}
    unnamed = _unnamed_files(store.files.folder, named)
    young = [size for _, size, changed_at in unnamed if changed_at >= now - GRACE_S]
    garbage = [(path, size) for path, size, changed_at in unnamed if changed_at < now - GRACE_S]
    saved = (usual_output(store.path, run) for run in deleted.runs)
    garbage += [(path, status.st_size) for path, status in statuses(path for path in saved if path.is_file())]
    for path, _ in garbage if not is_dry else ():
        path.unlink(missing_ok=True)
    size = deleted.size + sum(size for _, size in garbage)
    return msgspec.structs.replace(deleted, files=len(garbage), size=size, young=(len(young), sum(young)))


def _unnamed_files(folder: Path, named: Collection[str]) -> list[tuple[Path, int, float]]:
    """Files of values that no row names, with their sizes and when they were last written."""
    unnamed = (path for path in (*folder.glob("??/*"), *folder.glob(".*.tmp")) if path.name not in named)
    return [(path, status.st_size, status.st_mtime) for path, status in statuses(unnamed)]
