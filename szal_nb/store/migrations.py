"""The tables of a store, as named migrations.

The list only grows: a migration that was released is never changed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlite_utils import Database

# How many events that were stored one by one become one row.
_JOINED = 500
_VALUE_COLUMNS: dict[str, type] = {
    "type": str,
    "hash": str,
    "format": str,
    "size": int,
    "shape": str,
    "summary": str,
    "live": str,
    "identity": str,
    "needed": int,
}


def _compact_table(db: Database, name: str, columns: dict[str, type], **rules: Any) -> None:
    """A table that is kept in the order of its primary key: half the pages to write of one beside an index."""
    sql = db.create_table_sql(name, columns, **rules)
    db.execute(f"{sql.rstrip().rstrip(';')} WITHOUT ROWID")


def _tables(db: Database) -> None:
    db.table("flows").create(
        {"id": str, "name": str, "version": int, "mode": str, "graph": str, "created_at": str},
        pk="id",
        not_null={"name", "version", "graph"},
    )
    db.table("notebooks").create({"id": str, "content": str}, pk="id", not_null={"content"})
    db.table("runs").create(
        {
            "id": str,
            "flow": str,
            "version": int,
            "state": str,
            "reason": str,
            "created_at": str,
            "started_at": str,
            "ended_at": str,
            "notebook_path": str,
            "output_path": str,
            "params": str,
            "packages": str,
            "is_interactive": int,
            "is_cancelling": int,
            "is_interrupted": int,
            "owner": str,
            "launcher": str,
            "epoch": int,
            "lease_until": str,
            "events": int,
            "is_imported": int,
            "flow_id": str,
            "notebook_id": str,
        },
        pk="id",
        foreign_keys=[("flow_id", "flows", "id"), ("notebook_id", "notebooks", "id")],
        not_null={"flow", "version", "state", "created_at", "epoch", "events", "is_imported"},
    )
    _compact_table(
        db,
        "steps",
        {
            "run_id": str,
            "name": str,
            "position": int,
            "state": str,
            "attempt": int,
            "origin": str,
            "reason": str,
            "started_at": str,
            "ended_at": str,
            "duration_s": float,
            "retry_at": str,
            "answer": str,
            "is_approved": int,
            "error": str,
            "error_detail": str,
        },
        pk=("run_id", "name"),
        foreign_keys=[("run_id", "runs", "id")],
        not_null={"position", "state", "attempt"},
    )
    _compact_table(
        db,
        "attempts",
        {
            "run_id": str,
            "step": str,
            "number": int,
            "state": str,
            "started_at": str,
            "ended_at": str,
            "duration_s": float,
            "error": str,
            "error_detail": str,
        },
        pk=("run_id", "step", "number"),
        foreign_keys=[("run_id", "runs", "id")],
        not_null={"state", "started_at"},
    )
    _compact_table(
        db,
        "events",
        {
            "run_id": str,
            "seq": int,
            "at": str,
            "kind": str,
            "step": str,
            "attempt": int,
            "data": str,
            "crc": int,
        },
        pk=("run_id", "seq"),
        foreign_keys=[("run_id", "runs", "id")],
        not_null={"at", "kind", "data", "crc"},
    )
    db.table("blobs").create(
        {"hash": str, "format": str, "size": int, "in_file": int, "data": bytes},
        pk="hash",
        not_null={"format", "size", "in_file"},
    )
    db.table("values").create(
        {"run_id": str, "step": str, "attempt": int, "name": str, "is_current": int, **_VALUE_COLUMNS},
        pk=("run_id", "step", "attempt", "name"),
        foreign_keys=[("run_id", "runs", "id"), ("hash", "blobs", "hash")],
    )
    db.table("inputs").create(
        {"run_id": str, "name": str, **_VALUE_COLUMNS},
        pk=("run_id", "name"),
        foreign_keys=[("run_id", "runs", "id"), ("hash", "blobs", "hash")],
    )
    db.table("runs").create_index(["created_at"])
    db.table("runs").create_index(["flow", "created_at"])
    db.table("runs").create_index(["state"])
    db.table("values").create_index(["hash"])
    db.table("inputs").create_index(["hash"])
    db.create_view("v_runs", _V_RUNS)
    db.create_view("v_failures", _V_FAILURES)


_V_RUNS = """
select runs.id, runs.flow, runs.version, runs.state, runs.created_at, runs.started_at, runs.ended_at,
       round((julianday(runs.ended_at) - julianday(runs.started_at)) * 86400, 3) as duration_s,
       (select count(*) from steps where steps.run_id = runs.id) as steps,
       (select count(*) from steps where steps.run_id = runs.id and steps.state = 'completed') as completed,
       (select count(*) from steps where steps.run_id = runs.id and steps.state = 'failed') as failed,
       runs.notebook_path, runs.reason
from runs order by runs.created_at desc
"""

_V_FAILURES = """
select runs.id as run_id, runs.flow, steps.name as step, steps.attempt, steps.ended_at, steps.error, runs.notebook_path
from steps join runs on runs.id = steps.run_id
where steps.state = 'failed' order by steps.ended_at desc
"""


def _fingerprints(db: Database) -> None:
    # What a step's code and reads were, and which run its values were taken from.
    for column in ("fingerprint", "taken_from"):
        db.execute(f"ALTER TABLE steps ADD COLUMN {column} TEXT")


def _progress(db: Database) -> None:
    # How far a step's body says that it is, and how often it was tried to undo the step, with the last error of that.
    for column, kind in (
        ("done", "FLOAT"),
        ("total", "FLOAT"),
        ("note", "TEXT"),
        ("rollback_attempts", "INTEGER"),
        ("rollback_error", "TEXT"),
        ("rollback_error_detail", "TEXT"),
    ):
        db.execute(f"ALTER TABLE steps ADD COLUMN {column} {kind}")


def _numbered_rows(db: Database) -> None:
    # The two tables that every step changes twice: a row that is found by its number is changed in half the time.
    for view in ("v_runs", "v_failures"):
        db.execute(f"DROP VIEW {view}")
    for table, order in (("steps", "run_id, position"), ("attempts", "run_id, started_at, step, number")):
        columns = db.table(table).columns_dict
        rules = [column.name for column in db.table(table).columns if column.notnull and not column.is_pk]
        db.table(f"new_{table}").create(
            {"id": int, **columns}, pk="id", foreign_keys=[("run_id", "runs", "id")], not_null=rules
        )
        names = ", ".join(columns)
        db.execute(f"INSERT INTO new_{table} ({names}) SELECT {names} FROM {table} ORDER BY {order}")  # noqa: S608 own names
        db.execute(f"DROP TABLE {table}")
        db.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    db.table("steps").create_index(["run_id", "name"], unique=True)
    db.table("attempts").create_index(["run_id"])
    db.create_view("v_runs", _V_RUNS)
    db.create_view("v_failures", _V_FAILURES)


# Microseconds are rounded as `times.iso` does it.
_EVENTS = """
select turns.run_id, turns.first + event.key as seq,
       strftime('%Y-%m-%dT%H:%M:%S', cast(json_extract(event.value, '$.at') * 1e6 + 0.5 as integer) / 1000000,
                'unixepoch')
       || printf('.%06d+00:00', cast(json_extract(event.value, '$.at') * 1e6 + 0.5 as integer) % 1000000) as at,
       json_extract(event.value, '$.kind') as kind, json_extract(event.value, '$.step') as step,
       json_extract(event.value, '$.attempt') as attempt, event.value as data
from turns join json_each(turns.data) as event
"""

_ATTEMPTS = """
select run_id, step, number, state, started_at, ended_at, duration_s, error, error_detail from past_attempts
union all
select run_id, name, attempt,
       case state when 'rolled_back' then 'completed' when 'retrying' then 'failed' else state end,
       started_at, ended_at, duration_s,
       case when state in ('failed', 'retrying') then error end,
       case when state in ('failed', 'retrying') then error_detail end
from steps
where attempt > 0 and not exists (
    select 1 from past_attempts as past
    where past.run_id = steps.run_id and past.step = steps.name and past.number = steps.attempt)
"""

# The attempts that the row of their step does not tell of as they were.
_UNTOLD = """
select attempts.run_id, step, number, attempts.state, attempts.started_at, attempts.ended_at, attempts.duration_s,
       attempts.error, attempts.error_detail
from attempts left join steps on steps.run_id = attempts.run_id and steps.name = step and steps.attempt = number
where steps.id is null
   or attempts.state is not
      case steps.state when 'rolled_back' then 'completed' when 'retrying' then 'failed' else steps.state end
   or attempts.error_detail is not case when steps.state in ('failed', 'retrying') then steps.error_detail end
"""


def _turns(db: Database) -> None:
    # What is appended together is one row: to write each event by itself costs as much as all else of a step. And the
    # row of a step tells of its newest attempt already.
    _compact_table(
        db,
        "turns",
        {"run_id": str, "first": int, "data": str, "crc": int},
        pk=("run_id", "first"),
        foreign_keys=[("run_id", "runs", "id")],
        not_null={"data", "crc"},
    )
    _compact_table(
        db,
        "past_attempts",
        {
            "run_id": str,
            "step": str,
            "number": int,
            "state": str,
            "started_at": str,
            "ended_at": str,
            "duration_s": float,
            "error": str,
            "error_detail": str,
        },
        pk=("run_id", "step", "number"),
        foreign_keys=[("run_id", "runs", "id")],
        not_null={"state", "started_at"},
    )
    db.execute(f"INSERT INTO past_attempts {_UNTOLD}")
    rows = db.execute("SELECT run_id, seq, data, crc FROM events ORDER BY run_id, seq")
    db.conn.executemany("INSERT INTO turns VALUES (?, ?, ?, ?)", _joined(rows))
    for table in ("events", "attempts"):
        db.execute(f"DROP TABLE {table}")
    db.execute("ALTER TABLE runs ADD COLUMN from_run TEXT")
    db.create_view("events", _EVENTS)
    db.create_view("attempts", _ATTEMPTS)


def _joined(rows: Iterable[tuple[str, int, object, int]]) -> Iterator[tuple[str, int, str, int]]:
    """Events that were stored one by one, as rows of many; what is damaged stays so, and apart from others."""
    together: list[str] = []
    key: tuple[str, int] = ("", 0)
    for run_id, seq, data, crc in rows:
        is_next = (run_id, seq) == (key[0], key[1] + len(together))
        is_intact = isinstance(data, str) and zlib.crc32(data.encode("utf-8", "surrogatepass")) == crc
        if together and not (is_intact and is_next and len(together) < _JOINED):
            yield _turn(key, together)
            together = []
        if not is_intact:
            yield run_id, seq, f"[{data}]", -1
            continue
        if not together:
            key = run_id, seq
        together.append(str(data))
    if together:
        yield _turn(key, together)


def _turn(key: tuple[str, int], together: list[str]) -> tuple[str, int, str, int]:
    data = f"[{','.join(together)}]"
    return *key, data, zlib.crc32(data.encode("utf-8", "surrogatepass"))


def _values_by_key(db: Database) -> None:
    # Hashes stand in no order, so each value of a commit dirtied a page of its own in this index: half of all pages.
    db.execute("DROP INDEX idx_values_hash")


def _values_in_events(db: Database) -> None:
    # Short content stands in the event that names it, and again here: hashes need not be those of blobs any more. And
    # values are found by the number of their step's row: those of a commit are side by side in the index.
    told = {**_VALUE_COLUMNS, "content": str}
    names = ", ".join(_VALUE_COLUMNS)
    db.table("new_values").create(
        {"id": int, "step_id": int, "run_id": str, "step": str, "attempt": int, "name": str, "is_current": int, **told},
        pk="id",
        foreign_keys=[("step_id", "steps", "id")],
    )
    db.execute(f"""
        INSERT INTO new_values (step_id, run_id, step, attempt, name, is_current, {names})
        SELECT steps.id, given.run_id, step, given.attempt, given.name, is_current, {names}
        FROM "values" AS given LEFT JOIN steps ON steps.run_id = given.run_id AND steps.name = step
        ORDER BY given.rowid
    """)  # noqa: S608 own names
    db.table("new_inputs").create(
        {"run_id": str, "name": str, **told}, pk=("run_id", "name"), foreign_keys=[("run_id", "runs", "id")]
    )
    db.execute(f"""
        INSERT INTO new_inputs (run_id, name, {names}) SELECT run_id, name, {names} FROM inputs ORDER BY rowid
    """)  # noqa: S608 own names
    for table in ("values", "inputs"):
        db.execute(f'DROP TABLE "{table}"')
        db.execute(f'ALTER TABLE new_{table} RENAME TO "{table}"')
    db.table("values").create_index(["step_id", "attempt", "name"], unique=True)


MIGRATIONS: tuple[tuple[str, Callable[[Database], None]], ...] = (
    ("2026_11_tables", _tables),
    ("2026_11_fingerprints", _fingerprints),
    ("2026_11_progress", _progress),
    ("2026_11_numbered_rows", _numbered_rows),
    ("2026_11_turns", _turns),
    ("2026_11_values_by_key", _values_by_key),
    ("2026_11_values_in_events", _values_in_events),
)
