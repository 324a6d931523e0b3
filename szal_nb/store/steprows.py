"""The rows of `steps` and `attempts` of one run: written from the fold, and only where they differ from what is there.

A step that starts and ends changes few columns, and these two tables are most of what a small commit writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from szal_nb.model.state import AttemptSnapshot, RunSnapshot, StepSnapshot
from szal_nb.model.value import ErrorInfo
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.times import iso

_PUT_PENDING = """
INSERT INTO steps (run_id, name, position, state, attempt, reason, is_approved)
SELECT ?, value, key, 'pending', 0, '', 0 FROM json_each(?)
"""
_MOVE_STEP = """
UPDATE steps SET state = ?, attempt = ?, started_at = ?, ended_at = ?, duration_s = ? WHERE run_id = ? AND name = ?
"""
_SET_STEP = """
UPDATE steps SET state = ?, attempt = ?, started_at = ?, ended_at = ?, duration_s = ?, origin = ?, reason = ?,
                 retry_at = ?, answer = ?, is_approved = ?, error = ?, error_detail = ?, fingerprint = ?,
                 taken_from = ?, done = ?, total = ?, note = ?, rollback_attempts = ?,
                 rollback_error = ?, rollback_error_detail = ?
WHERE run_id = ? AND name = ?
"""
_PUT_ATTEMPT = """
INSERT INTO attempts (state, ended_at, duration_s, error, error_detail, started_at, run_id, step, number)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SET_ATTEMPT = """
UPDATE attempts SET state = ?, ended_at = ?, duration_s = ?, error = ?, error_detail = ?
WHERE run_id = ? AND step = ? AND number = ?
"""
_Row = tuple[object, ...]


class _Written:
    """What the tables hold of one step: the columns that move, the others, and the newest of its attempts."""

    __slots__ = ("attempt", "attempts", "moving", "resting")

    def __init__(self, moving: _Row, resting: _Row, attempts: int, attempt: _Row | None) -> None:
        self.moving = moving
        self.resting = resting
        self.attempts = attempts
        self.attempt = attempt


class StepRows:
    """Keeps the two tables in step with the fold. `path` is for errors only."""

    def __init__(self, run_id: str, path: str) -> None:
        self._run_id = run_id
        self._path = path
        self._written: dict[str, _Written] = {}

    def create(self, connection: sqlite3.Connection, steps: Iterable[str]) -> None:
        """Writes the rows of a new run's steps, in document order."""
        names = list(steps)
        connection.execute(_PUT_PENDING, (self._run_id, msgspec.json.encode(names).decode()))
        self._written = {name: _Written(_UNMOVED, _AT_REST, 0, None) for name in names}

    def read(self, snapshot: RunSnapshot) -> None:
        """The tables hold what `snapshot` tells: they always agree with the fold."""
        self._written = {name: _told_by(step) for name, step in snapshot.steps.items()}

    def update(self, connection: sqlite3.Connection, steps: Iterable[StepSnapshot]) -> None:
        """Writes what differs from the last time."""
        changes = _Changes(self._run_id)
        for step in steps:
            now = _told_by(step)
            changes.add(step, self._written[step.name], now)
            self._written[step.name] = now
        for sql, rows in changes.statements():
            if rows and connection.executemany(sql, rows).rowcount != len(rows):
                raise StoreDamaged(self._path, f"rows of the steps of run {self._run_id} are missing")


class _Changes:
    """The rows that one write changes, by statement."""

    __slots__ = ("_begun", "_changed", "_ended", "_moved", "_run_id")

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._moved: list[_Row] = []
        self._changed: list[_Row] = []
        self._ended: list[_Row] = []
        self._begun: list[_Row] = []

    def statements(self) -> tuple[tuple[str, list[_Row]], ...]:
        """Each statement with the rows it is for."""
        return (
            (_MOVE_STEP, self._moved),
            (_SET_STEP, self._changed),
            (_SET_ATTEMPT, self._ended),
            (_PUT_ATTEMPT, self._begun),
        )

    def add(self, step: StepSnapshot, before: _Written, now: _Written) -> None:
        """Takes in how one step differs from what was written of it."""
        run_id, name = self._run_id, step.name
        if now.resting != before.resting:
            self._changed.append((*now.moving, *now.resting, run_id, name))
        elif now.moving != before.moving:
            self._moved.append((*now.moving, run_id, name))
        known = before.attempts
        if known:
            last = step.attempts[known - 1]
            columns = now.attempt if now.attempts == known else _attempt_columns(last)
            if columns != before.attempt:
                self._ended.append((*columns, run_id, name, last.number))  # type: ignore[misc]
        if now.attempts > known:
            self._begun += [
                (*_attempt_columns(attempt), iso(attempt.started_at), run_id, name, attempt.number)
                for attempt in step.attempts[known:]
            ]


def _told_by(step: StepSnapshot) -> _Written:
    attempts = step.attempts
    state = step.state._value_  # `value` of an enum costs as much as the rest of the row
    resting = _AT_REST
    if (
        step.fingerprint
        or step.taken_from
        or step.reason
        or step.is_approved
        or step.origin is not None
        or step.answer is not None
        or step.retry_at is not None
        or step.error is not None
        or step.done is not None
        or step.note
        or step.rollback_attempts
    ):
        error, detail = _error_columns(step.error)
        resting = (
            step.origin,
            step.reason,
            iso(step.retry_at),
            step.answer,
            step.is_approved,
            error,
            detail,
            step.fingerprint or None,
            step.taken_from or None,
            step.done,
            step.total,
            step.note or None,
            step.rollback_attempts or None,
            *_error_columns(step.rollback_error),
        )
    if not attempts:
        return _Written((state, 0, None, None, None), resting, 0, None)
    newest = attempts[-1]
    columns = _attempt_columns(newest)
    moving = (state, newest.number, iso(newest.started_at), columns[1], columns[2])
    return _Written(moving, resting, len(attempts), columns)


def _attempt_columns(attempt: AttemptSnapshot) -> _Row:
    ended_at = attempt.ended_at
    if ended_at is None and attempt.error is None:
        return (attempt.state, None, None, None, None)
    duration_s = None if ended_at is None else ended_at - attempt.started_at
    return (attempt.state, iso(ended_at), duration_s, *_error_columns(attempt.error))


def _error_columns(error: ErrorInfo | None) -> tuple[str | None, str | None]:
    return (None, None) if error is None else (str(error), msgspec.json.encode(error).decode())


_UNMOVED: _Row = ("pending", 0, None, None, None)
_AT_REST: _Row = (None, "", None, None, False, *[None] * 10)
