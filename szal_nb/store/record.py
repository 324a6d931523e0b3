"""The side of a journal that works in the writer thread: events of one run become rows.

It holds the fold of what is committed, so that each append writes only what it changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from szal_nb.errors import OwnershipLost, StoreError
from szal_nb.model.event import Event, RunCreated, StepCancelled, StepCompleted, StepFailed, StepProgress, StepRetrying
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.model.value import ValueRef
from szal_nb.store import projection
from szal_nb.store.listing import owner_text
from szal_nb.store.owner import LEASE_S, Owner
from szal_nb.store.snapshots import flow_row, insert_flow, insert_notebook
from szal_nb.store.steprows import StepRows
from szal_nb.store.times import iso
from szal_nb.store.values import Keeper


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is begun with, beside its events."""

    run_id: str
    graph: FlowGraph
    notebook: str | None = None
    notebook_path: str | None = None
    output_path: str | None = None
    params: dict[str, object] = {}
    packages: dict[str, str] = {}
    launcher: Owner | None = None
    interactive: bool = True
    # The run that it goes on from, or takes another way than.
    from_run: str | None = None


_INSERT_RUN = """
INSERT INTO runs (id, flow, version, state, reason, created_at, notebook_path, output_path, params, packages,
                  is_interactive, is_cancelling, is_interrupted, owner, launcher, epoch, lease_until, events,
                  is_imported, flow_id, notebook_id, from_run)
VALUES (?, ?, ?, 'created', '', ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, 0, 0, ?, ?, ?)
"""
# With what was kept for these, the keeper is done.
_ENDS = frozenset({RunCreated, StepCompleted, StepFailed, StepRetrying, StepCancelled})
_READ_TURNS = "SELECT first, data, crc FROM turns WHERE run_id = ? ORDER BY first"


class RunRecord:
    """One run as this process writes it, under one epoch. Its methods are called in the writer thread only."""

    def __init__(
        self,
        run_id: str,
        epoch: int,
        keeper: Keeper,
        *,
        path: str,
        now: Callable[[], float],
        new: NewRun | None = None,
    ) -> None:
        self.run_id = run_id
        self.epoch = epoch
        self._keeper = keeper
        self._path = path
        self._now = now
        self._new = new
        if new is not None:
            # Made here, so that the store is locked no longer than it must be.
            new.graph.derived(flow_row)
        # None: to be read from the store, because this process has not read it yet or a write came to nothing.
        self._snapshot: RunSnapshot | None = None
        self._rows = StepRows(run_id, path)
        self._row: tuple[object, ...] | None = None
        # Whether what is committed ends the run: then this process owns it no longer.
        self.is_final = False

    @property
    def is_at_hand(self) -> bool:
        """Whether the next write needs nothing from the store first."""
        return self._new is None and self._snapshot is not None

    def write(self, connection: sqlite3.Connection, events: Sequence[Event]) -> int:
        """Writes events and all that follows from them; gives how many events the run then has."""
        before = 0 if self._new is not None else self._current(connection).events
        data, events = projection.encode_turn(events)
        if self._new is not None:
            self._insert_run(connection, self._new, events[0])
        snapshot = self._current(connection)
        snapshot.apply_all(events)
        if not projection.count_events(connection, self.run_id, self.epoch, before=before, after=snapshot.events):
            raise OwnershipLost(self.run_id)
        row = projection.run_row(snapshot)
        if row != self._row:
            projection.write_run(connection, self.run_id, row)
            self._row = row
        projection.write_turn(connection, self.run_id, before, data)
        if before == 0:
            self._rows.create(connection, snapshot.steps)
        touched = projection.touched_steps(events, snapshot.steps)
        self._rows.update(connection, [(snapshot.steps[name], only) for name, only in touched.items()])
        self._write_values(connection, events)
        if snapshot.state.is_final:
            connection.execute("UPDATE runs SET lease_until = NULL WHERE id = ?", (self.run_id,))
        return snapshot.events

    def _write_values(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        events = projection.events_with_values(events, self._current(connection))
        if events:
            self._keeper.insert(connection, map(kept_by, events))
            projection.write_values(connection, self.run_id, events, self._current(connection), self._rows.id_of)

    def has(self, connection: sqlite3.Connection, events: int) -> bool:
        """Whether the store holds that many events of this epoch's run."""
        sql = "SELECT 1 FROM runs WHERE id = ? AND epoch = ? AND events >= ?"
        return connection.execute(sql, (self.run_id, self.epoch, events)).fetchone() is not None

    def _current(self, connection: sqlite3.Connection) -> RunSnapshot:
        if self._snapshot is None:
            rows = connection.execute(_READ_TURNS, (self.run_id,)).fetchall()
            self._snapshot = fold(projection.decode_turns(rows, self._path))
            self._rows.read(connection, self._snapshot)
        return self._snapshot

    def _insert_run(self, connection: sqlite3.Connection, new: NewRun, first: Event) -> None:
        if not isinstance(first, RunCreated):
            raise StoreError(f"The first event of run {self.run_id} must be its creation, not {first!r:.80}.")
        self._snapshot = RunSnapshot()
        flow = new.graph.derived(flow_row)
        insert_flow(connection, flow, first.at)
        notebook_id = None if new.notebook is None else insert_notebook(connection, new.notebook)
        connection.execute(
            _INSERT_RUN,
            (
                self.run_id,
                first.flow,
                first.version,
                iso(first.at),
                new.notebook_path,
                new.output_path,
                msgspec.json.encode(new.params, enc_hook=repr).decode(),
                msgspec.json.encode(new.packages).decode(),
                new.interactive,
                owner_text(Owner.here()),
                owner_text(new.launcher),
                self.epoch,
                iso(self._now() + LEASE_S),
                flow.id,
                notebook_id,
                new.from_run,
            ),
        )

    def committed(self, events: Sequence[Event]) -> None:
        """These events are durable."""
        self._new = None
        if self._keeper.has_parked:
            self._keeper.forget(
                ("", 0) if type(event) is RunCreated else (event.step, event.attempt)  # type: ignore[union-attr]
                for event in events
                if type(event) in _ENDS
            )
            for event in events:
                if type(event) is StepProgress and event.values:
                    self._keeper.settle(event.step, event.attempt, event.values)
        self.is_final = self._snapshot is not None and self._snapshot.state.is_final

    def rolled_back(self) -> None:
        """What was written since the last commit is not in the store."""
        self._snapshot = self._row = None


def kept_by(event: Event) -> tuple[str, int, Sequence[ValueRef]]:
    """The values that the event tells of, with the step and the attempt that they were kept for."""
    match event:
        case StepCompleted() | StepProgress():
            return event.step, event.attempt, event.values
        case RunCreated():
            return "", 0, event.inputs
        case _:
            return "", 0, ()
