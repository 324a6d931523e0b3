"""The rows of `steps` and `past_attempts` of one run: written from the fold, and only where they differ from it.

A step that starts and ends changes few columns, and these rows are most of what a small commit writes. Rows are found
by their number: looking for them by run and name costs as much again as changing them. The newest attempt of a step is
in the step's own row as far as that can tell; all others are in `past_attempts`. The view `attempts` shows both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from szal_nb.model.state import AttemptSnapshot, RunSnapshot, StepSnapshot, StepState
from szal_nb.model.value import ErrorInfo
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.insertion import insert_rows, nullable
from szal_nb.store.times import iso

_LAST_ID = "SELECT coalesce(max(id), 0) FROM steps"
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


def _set(columns: Iterable[str]) -> str:
    changes = (f"{column} = {'?' if column in _NEVER_NULL else nullable(1)}" for column in columns)
    return f"UPDATE steps SET {', '.join(changes)} WHERE id = ?"  # noqa: S608 names of this module


# What happens to every step. Where many begin at once, one statement costs less than half of one for each.
_BEGIN_STEP = """
UPDATE steps SET state = 'running', attempt = ?, started_at = ?, ended_at = NULL, duration_s = NULL, origin = NULL,
                 fingerprint = NULL
WHERE id = ?
"""
_BEGIN_STEPS = _BEGIN_STEP.replace("id = ?", "id IN (SELECT value FROM json_each(?))")
_MANY = 24
_END_STEP = """
UPDATE steps SET state = ?, ended_at = ?, duration_s = ?, origin = ?, fingerprint = nullif(?, '') WHERE id = ?
"""
_MOVE_STEP = _set(_MOVING)
_SET_STEP = _set((*_MOVING, *_RESTING))
_KEEP_ATTEMPT = """
INSERT INTO past_attempts (run_id, step, number, state, started_at, ended_at, duration_s, error, error_detail) VALUES"""
_KEPT = f"?, ?, ?, ?, ?, {nullable(4)}"
_READ_STEPS = "SELECT name, id FROM steps WHERE run_id = ?"
_READ_ATTEMPTS = "SELECT step, count(*) FROM past_attempts WHERE run_id = ? GROUP BY step"
# What the state of a step tells of its newest attempt; the view `attempts` says the same.
_TOLD = {
    StepState.RUNNING: "running",
    StepState.COMPLETED: "completed",
    StepState.ROLLED_BACK: "completed",
    StepState.FAILED: "failed",
    StepState.RETRYING: "failed",
    StepState.CANCELLED: "cancelled",
}
_Row = tuple[object, ...]


class _Written:
    """What the tables hold of one step: what moves, the other columns, and how many attempts have their own rows."""

    __slots__ = ("id", "kept", "moving", "name", "resting")

    def __init__(self, name: str, row_id: int, moving: _Row, resting: _Row, kept: int = 0) -> None:
        self.name = name
        self.id = row_id
        self.moving = moving
        self.resting = resting
        self.kept = kept


class _Changes:
    """What one append changes: steps that begin, by their attempt and its time, and rows for the other statements."""

    __slots__ = ("begun", "changed", "ended", "kept", "moved")

    def __init__(self) -> None:
        self.begun: dict[tuple[int, float], list[int]] = {}
        self.ended: list[_Row] = []
        self.moved: list[_Row] = []
        self.changed: list[_Row] = []
        self.kept: list[_Row] = []


class StepRows:
    """Keeps the two tables in step with the fold. `path` is for errors only."""

    def __init__(self, run_id: str, path: str) -> None:
        self._run_id = run_id
        self._path = path
        self._written: dict[str, _Written] = {}

    def create(self, connection: sqlite3.Connection, steps: Iterable[str]) -> None:
        """Writes the rows of a new run's steps, in document order."""
        names = list(steps)
        (last,) = connection.execute(_LAST_ID).fetchone()
        connection.execute(_PUT_PENDING, (last, self._run_id, msgspec.json.encode(names).decode()))
        self._written = {
            name: _Written(name, row_id, _UNMOVED, _AT_REST) for row_id, name in enumerate(names, last + 1)
        }

    def id_of(self, step: str) -> int:
        """The number of the step's row."""
        return self._written[step].id

    def read(self, connection: sqlite3.Connection, snapshot: RunSnapshot) -> None:
        """The tables hold what `snapshot` tells: they always agree with the fold."""
        ids = dict(connection.execute(_READ_STEPS, (self._run_id,)))
        kept = dict(connection.execute(_READ_ATTEMPTS, (self._run_id,)))
        self._written = {}
        for name, step in snapshot.steps.items():
            if name not in ids or kept.get(name, 0) < _count_to_keep(step):
                self._is_damaged()
            newest = step.attempts[-1] if step.attempts else _NO_ATTEMPT
            moving = (step.state, newest.number, newest.ended_at, step.origin, step.fingerprint)
            self._written[name] = _Written(name, ids[name], moving, _resting(step), kept.get(name, 0))

    def update(self, connection: sqlite3.Connection, steps: Iterable[tuple[StepSnapshot, bool]]) -> None:
        """Writes what differs from the last time. A step comes with whether it has only begun or completed since."""
        found = _Changes()
        for step, has_only_moved in steps:
            self._compare(step, self._written[step.name], found, has_only_moved=has_only_moved)
        if found.kept:
            insert_rows(connection, _KEEP_ATTEMPT, _KEPT, found.kept)
        begun: list[_Row] = []
        for (number, at), ids in found.begun.items():
            began = iso(at)
            if len(ids) < _MANY:
                begun += [(number, began, row_id) for row_id in ids]
            elif connection.execute(_BEGIN_STEPS, (number, began, str(ids))).rowcount != len(ids):
                self._is_damaged()
        for sql, rows in (
            *((_BEGIN_STEP, begun), (_END_STEP, found.ended)),
            *((_MOVE_STEP, found.moved), (_SET_STEP, found.changed)),
        ):
            if rows and connection.executemany(sql, rows).rowcount != len(rows):
                self._is_damaged()

    def _compare(self, step: StepSnapshot, written: _Written, found: _Changes, *, has_only_moved: bool) -> None:
        attempts, state = step.attempts, step.state
        newest = attempts[-1] if attempts else _NO_ATTEMPT
        number, ended_at = newest.number, newest.ended_at
        if len(attempts) != written.kept + 1 or newest.error is not None or newest.state != state._value_:
            found.kept += self._to_keep(step, written)
        moving = (state, number, ended_at, step.origin, step.fingerprint)
        # Neither a begin nor a completion sets what was at rest.
        resting = _AT_REST if has_only_moved and written.resting is _AT_REST else _resting(step)
        if resting != written.resting:
            found.changed.append((*_moving(step), *resting, written.id))
        elif moving == written.moving:
            return
        elif state is StepState.RUNNING:
            found.begun.setdefault((number, newest.started_at), []).append(written.id)
        elif ended_at is not None and step.origin and number == written.moving[1]:
            seconds = max(0.0, ended_at - newest.started_at)
            found.ended.append((state._value_, iso(ended_at), seconds, step.origin, step.fingerprint, written.id))
        else:
            found.moved.append((*_moving(step), written.id))
        written.moving, written.resting = moving, resting

    def _to_keep(self, step: StepSnapshot, written: _Written) -> list[_Row]:
        count = _count_to_keep(step)
        rows = [self._attempt_row(step, attempt) for attempt in step.attempts[written.kept : count]]
        written.kept = max(written.kept, count)
        return rows

    def _attempt_row(self, step: StepSnapshot, attempt: AttemptSnapshot) -> _Row:
        begun, ended = attempt.started_at, attempt.ended_at
        return (
            *(self._run_id, step.name, attempt.number, attempt.state, iso(begun)),
            *(("", "") if ended is None else (iso(ended), max(0.0, ended - begun))),
            *_error_columns(attempt.error),
        )

    def _is_damaged(self) -> None:
        raise StoreDamaged(self._path, f"rows of the steps of run {self._run_id} are missing")


def _count_to_keep(step: StepSnapshot) -> int:
    """How many attempts, from the first on, need rows of their own."""
    attempts = step.attempts
    if not attempts:
        return 0
    newest, told = attempts[-1], _TOLD.get(step.state)
    is_told = newest.state == told and newest.error == (step.error if told == "failed" else None)
    return len(attempts) - is_told


def _moving(step: StepSnapshot) -> _Row:
    state = step.state._value_  # `value` of an enum costs as much as the rest of the row
    if not step.attempts:
        return (state, 0, "", "", "", step.origin or "", step.fingerprint)
    newest = step.attempts[-1]
    begun, ended = newest.started_at, newest.ended_at
    if ended is None:
        return (state, newest.number, iso(begun), "", "", step.origin or "", step.fingerprint)
    return (state, newest.number, iso(begun), iso(ended), max(0.0, ended - begun), step.origin or "", step.fingerprint)


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


def _error_columns(error: ErrorInfo | None) -> tuple[str, str]:
    return ("", "") if error is None else (str(error), msgspec.json.encode(error).decode())


_NO_ATTEMPT = AttemptSnapshot(number=0, state="")
_UNMOVED: _Row = (StepState.PENDING, 0, None, None, "")
_AT_REST: _Row = ("", 0, *[""] * (len(_RESTING) - 2))
