"""The rows of `steps` and `attempts` of one run: written from the fold, and only where they differ from what is there.

A step that starts and ends changes few columns, and these two tables are most of what a small commit writes. Rows are
found by their number: looking for them by run and name costs as much again as changing them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from szal_nb.model.state import AttemptSnapshot, RunSnapshot, StepSnapshot
from szal_nb.model.value import ErrorInfo
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.insertion import insert_rows, nullable
from szal_nb.store.times import iso

_LAST_ID = "SELECT (SELECT coalesce(max(id), 0) FROM steps), (SELECT coalesce(max(id), 0) FROM attempts)"
_PUT_PENDING = """
INSERT INTO steps (id, run_id, name, position, state, attempt, reason, is_approved)
SELECT ? + key + 1, ?, value, key, 'pending', 0, '', 0 FROM json_each(?)
"""
_MOVING = ("state", "attempt", "started_at", "ended_at", "duration_s", "origin", "fingerprint")
_RESTING = (
    *("reason", "is_approved", "retry_at", "answer", "error", "error_detail", "taken_from", "done", "total", "note"),
    *("rollback_attempts", "rollback_error", "rollback_error_detail"),
)
_NEVER_NULL = frozenset({"state", "attempt", "reason", "is_approved"})


def _set(table: str, columns: Iterable[str]) -> str:
    changes = (f"{column} = {'?' if column in _NEVER_NULL else nullable(1)}" for column in columns)
    return f"UPDATE {table} SET {', '.join(changes)} WHERE id = ?"  # noqa: S608 names of this module


_MOVE_STEP = _set("steps", _MOVING)
_SET_STEP = _set("steps", (*_MOVING, *_RESTING))
_END_ATTEMPT = _set("attempts", ("state", "ended_at", "duration_s", "error", "error_detail"))
_BEGIN_ATTEMPT = "INSERT INTO attempts (id, run_id, step, number, started_at, state) VALUES"
_BEGUN = "?, ?, ?, ?, ?, 'running'"
_READ_STEPS = "SELECT name, id FROM steps WHERE run_id = ?"
# Of several rows, SQLite takes the other columns from the one that has the maximum.
_READ_ATTEMPTS = "SELECT step, id, max(number) FROM attempts WHERE run_id = ? GROUP BY step"
_Row = tuple[object, ...]


class _Written:
    """What the tables hold of one step: the columns that move, the others, and the row of its newest attempt."""

    __slots__ = ("attempt_id", "attempts", "id", "is_open", "moving", "name", "resting")

    def __init__(self, name: str, row_id: int, moving: _Row, resting: _Row) -> None:
        self.name = name
        self.id = row_id
        self.moving = moving
        self.resting = resting
        self.attempts = 0
        self.attempt_id = 0
        # Whether that attempt has not ended; the row of one that has ended changes no more.
        self.is_open = False


class StepRows:
    """Keeps the two tables in step with the fold. `path` is for errors only."""

    def __init__(self, run_id: str, path: str) -> None:
        self._run_id = run_id
        self._path = path
        self._written: dict[str, _Written] = {}

    def create(self, connection: sqlite3.Connection, steps: Iterable[str]) -> None:
        """Writes the rows of a new run's steps, in document order."""
        names = list(steps)
        last, _ = connection.execute(_LAST_ID).fetchone()
        connection.execute(_PUT_PENDING, (last, self._run_id, msgspec.json.encode(names).decode()))
        self._written = {
            name: _Written(name, row_id, _UNMOVED, _AT_REST) for row_id, name in enumerate(names, last + 1)
        }

    def read(self, connection: sqlite3.Connection, snapshot: RunSnapshot) -> None:
        """The tables hold what `snapshot` tells: they always agree with the fold."""
        ids = dict(connection.execute(_READ_STEPS, (self._run_id,)))
        attempts = {step: row_id for step, row_id, _ in connection.execute(_READ_ATTEMPTS, (self._run_id,))}
        self._written = {}
        for name, step in snapshot.steps.items():
            if name not in ids or (step.attempts and name not in attempts):
                self._is_damaged()
            written = self._written[name] = _Written(name, ids[name], _moving(step), _resting(step))
            if step.attempts:
                written.attempts, written.attempt_id = len(step.attempts), attempts[name]
                written.is_open = step.attempts[-1].ended_at is None

    def update(self, connection: sqlite3.Connection, steps: Iterable[StepSnapshot]) -> None:
        """Writes what differs from the last time."""
        moved: list[_Row] = []
        changed: list[_Row] = []
        begun: list[AttemptSnapshot] = []
        ended: list[_Row] = []
        begun_by: list[_Written] = []
        for step in steps:
            written, attempts = self._written[step.name], step.attempts
            if written.is_open and attempts[written.attempts - 1].ended_at is not None:
                ended.append((*_ending(attempts[written.attempts - 1]), written.attempt_id))
                written.is_open = False
            for attempt in attempts[written.attempts :]:
                begun.append(attempt)
                begun_by.append(written)
            moving, resting = _moving(step), _resting(step)
            if resting != written.resting:
                changed.append((*moving, *resting, written.id))
                written.resting = resting
            elif moving != written.moving:
                moved.append((*moving, written.id))
            written.moving = moving
        if begun:
            ended += self._begin(connection, begun, begun_by)
        for sql, rows in ((_MOVE_STEP, moved), (_SET_STEP, changed), (_END_ATTEMPT, ended)):
            if rows and connection.executemany(sql, rows).rowcount != len(rows):
                self._is_damaged()

    def _begin(
        self, connection: sqlite3.Connection, attempts: list[AttemptSnapshot], steps: list[_Written]
    ) -> list[_Row]:
        """Adds the rows of attempts, as running; gives what must be changed of those that have ended already."""
        _, last = connection.execute(_LAST_ID).fetchone()
        begun: list[_Row] = []
        ended: list[_Row] = []
        for row_id, (attempt, step) in enumerate(zip(attempts, steps, strict=True), last + 1):
            begun.append((row_id, self._run_id, step.name, attempt.number, iso(attempt.started_at)))
            step.attempts += 1
            step.attempt_id = row_id
            step.is_open = attempt.ended_at is None
            if not step.is_open:
                ended.append((*_ending(attempt), row_id))
        insert_rows(connection, _BEGIN_ATTEMPT, _BEGUN, begun)
        return ended

    def _is_damaged(self) -> None:
        raise StoreDamaged(self._path, f"rows of the steps of run {self._run_id} are missing")


def _moving(step: StepSnapshot) -> _Row:
    state = step.state._value_  # `value` of an enum costs as much as the rest of the row
    if not step.attempts:
        return (state, 0, "", "", "", step.origin or "", step.fingerprint)
    newest = step.attempts[-1]
    begun, ended = newest.started_at, newest.ended_at
    if ended is None:
        return (state, newest.number, iso(begun), "", "", step.origin or "", step.fingerprint)
    return (state, newest.number, iso(begun), iso(ended), ended - begun, step.origin or "", step.fingerprint)


def _resting(step: StepSnapshot) -> _Row:
    if not (
        step.reason
        or step.is_approved
        or step.retry_at is not None
        or step.answer is not None
        or step.error is not None
        or step.taken_from
        or step.done is not None
        or step.note
        or step.rollback_attempts
        or step.rollback_error is not None
    ):
        return _AT_REST
    return (
        step.reason,
        int(step.is_approved),
        iso(step.retry_at) or "",
        step.answer or "",
        *_error_columns(step.error),
        step.taken_from,
        "" if step.done is None else step.done,
        "" if step.total is None else step.total,
        step.note,
        step.rollback_attempts or "",
        *_error_columns(step.rollback_error),
    )


def _ending(attempt: AttemptSnapshot) -> _Row:
    ended_at = attempt.ended_at
    if ended_at is None:
        return (attempt.state, "", "", *_error_columns(attempt.error))
    return (attempt.state, iso(ended_at), ended_at - attempt.started_at, *_error_columns(attempt.error))


def _error_columns(error: ErrorInfo | None) -> tuple[str, str]:
    return ("", "") if error is None else (str(error), msgspec.json.encode(error).decode())


_UNMOVED: _Row = ("pending", 0, "", "", "", "", "")
_AT_REST: _Row = ("", 0, *[""] * (len(_RESTING) - 2))
