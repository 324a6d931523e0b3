"""The record of one run while this process owns it: events in, rows out, one transaction for each append."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence

from szal_nb.model.event import Event, RunCreated, RunResumed, StepCompleted, StepOutput, StepProgress
from szal_nb.model.value import ValueRef
from szal_nb.store.loading import Loader
from szal_nb.store.record import RunRecord
from szal_nb.store.values import Keeper
from szal_nb.store.writer import Writer

# What may be written on an event loop: the time it takes there is below a millisecond.
_SMALL_EVENTS, _SMALL_BYTES = 48, 16_384
_LARGE = frozenset({RunCreated, RunResumed, StepOutput})


class RunJournal:
    """The record of a run that this process owns. `append` gives back after COMMIT; `keep` and `load` are sync.

    Everything but `append` may be called in any thread.
    """

    def __init__(
        self,
        record: RunRecord,
        writer: Writer,
        keeper: Keeper,
        loader: Loader,
        *,
        release: Callable[[RunJournal], None],
    ) -> None:
        self._record = record
        self._writer = writer
        self._release = release
        # Their settings (`keeper.forbidden`, `keeper.classes`, `loader.resolve_class`) may be changed.
        self.keeper = keeper
        self.loader = loader
        self.is_closed = False

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._record.run_id

    @property
    def epoch(self) -> int:
        """The fencing token: every commit of this journal carries it."""
        return self._record.epoch

    @property
    def is_final(self) -> bool:
        """Whether the record says that the run has ended; nobody owns it then."""
        return self._record.is_final

    async def append(self, events: Sequence[Event]) -> None:
        """Returns when the events and all that follows from them are durable.

        Raises `OwnershipLost` if another process took the run over, `StoreError` if it cannot be written. Then
        nothing of these events is in the store; only where a COMMIT failed and the file could not be read after it
        does nobody know: nothing is written again unasked, and the next append goes on from what the file says.
        """
        if events:
            await self._writer.write(_Append(self._record, events))

    def append_sync(self, events: Sequence[Event]) -> None:
        """`append` for a thread without a loop."""
        if events:
            self._writer.write_sync(_Append(self._record, events))

    def keep(
        self, step: str, attempt: int, values: Mapping[str, object], needed: Collection[str]
    ) -> tuple[ValueRef, ...]:
        """What the record will say of these values. Their bytes become durable with the event that names them.

        Inputs of the run are kept with step "" and attempt 0, before `RunCreated`. Never raises for a value: one
        that cannot be stored is `live`.
        """
        return self.keeper.keep(step, attempt, values, needed)

    def load(self, ref: ValueRef) -> object:
        """The value. Names that were bound to one object give one object, as long as this journal lives."""
        return self._taken(ref, self.loader.load(ref))

    def load_fresh(self, ref: ValueRef) -> object:
        """The value as it was stored, in an object that nobody else has seen."""
        return self._taken(ref, self.loader.load_fresh(ref))

    def _taken(self, ref: ValueRef, value: object) -> object:
        if isinstance(value, type) and self.keeper.classes is not None:
            self.keeper.classes.took(ref, value)
        return value

    def close(self) -> None:
        """Gives the run up: another process, or this one, may take it over at once."""
        if not self.is_closed:
            self.is_closed = True
            self._release(self)
            self.keeper.clear()


class _Append:
    """One append on its way through the writer; see `writer.Write`."""

    __slots__ = ("_events", "_expected", "_record")

    def __init__(self, record: RunRecord, events: Sequence[Event]) -> None:
        self._record = record
        self._events = events
        self._expected = 0

    def execute(self, connection: sqlite3.Connection) -> None:
        self._expected = self._record.write(connection, self._events)

    def is_committed(self, connection: sqlite3.Connection) -> bool:
        return self._record.has(connection, self._expected)

    def committed(self) -> None:
        self._record.committed(self._events)

    def rolled_back(self) -> None:
        self._record.rolled_back()

    @property
    def is_small(self) -> bool:
        return self._record.is_at_hand and len(self._events) <= _SMALL_EVENTS and all(map(_is_small, self._events))


def _is_small(event: Event) -> bool:
    if isinstance(event, StepCompleted | StepProgress):
        return sum(ref.size for ref in event.values) <= _SMALL_BYTES
    return type(event) not in _LARGE
