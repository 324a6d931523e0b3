"""Events to rows: those of one append as one row of `turns`, the run's own row and its values, in one transaction.

Nothing here decides anything: what a state is, `model.state` says; these rows repeat it for people and queries, who
see the events one by one in the view `events`.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

import msgspec

from szal_nb.model.event import (
    Event,
    RunCreated,
    RunResumed,
    StepCompleted,
    StepEvent,
    StepProgress,
    StepStarted,
    many_from_json,
    many_to_json,
    to_json,
)
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef
from szal_nb.store.elementrows import SUPERSEDE, drop_elements
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.insertion import insert_rows, nullable
from szal_nb.store.times import iso

_VALUE_COLUMNS = "name, type, hash, format, size, shape, summary, live, identity, content, needed"
_INSERT_TURN = "INSERT INTO turns (run_id, first, data, crc) VALUES (?, ?, ?, ?)"
_PUT_VALUE = f'INSERT OR REPLACE INTO "values" (step_id, run_id, step, attempt, is_current, {_VALUE_COLUMNS}) VALUES'
_PUT_INPUT = f"INSERT OR REPLACE INTO inputs (run_id, {_VALUE_COLUMNS}) VALUES"
# Of `_VALUE_COLUMNS`, these may be NULL: hash and format, shape, live, identity and content.
_VALUE = f"?, ?, {nullable(2)}, ?, {nullable(1)}, ?, {nullable(3)}, ?"
# Asked for each event: a look into a table is several times faster than `isinstance` of a union.
_STEP_EVENTS = frozenset(get_args(StepEvent))
_WITH_VALUES = frozenset({RunCreated, RunResumed, StepCompleted, StepProgress})
# The fence: it matches only while this epoch owns the run and nothing was written that this process does not know.
_COUNT_EVENTS = "UPDATE runs SET events = ? WHERE id = ? AND epoch = ? AND events = ?"
_SET_RUN = """
UPDATE runs SET state = ?, reason = ?, created_at = ?, started_at = ?, ended_at = ?, is_cancelling = ?,
                is_interrupted = ?
WHERE id = ?
"""


def encode_event(event: Event) -> tuple[Event, str]:
    """The event with its JSON text. Lone surrogates, which no UTF-8 text can hold, are written as escapes in both."""
    try:
        return event, to_json(event).decode()
    except UnicodeEncodeError:
        plain = msgspec.convert(_without_surrogates(msgspec.to_builtins(event)), type(event))
        return plain, to_json(plain).decode()


def _without_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value


def decode_turns(rows: Iterable[tuple[object, object, object]], path: str, *, first: int = 0) -> list[Event]:
    """The events of rows (first, data, crc), from number `first` on; `StoreDamaged` if they are not what was written.

    The first row is the one that event `first` is in.
    """
    events: list[Event] = []
    begin = None
    for start, data, crc in rows:
        # SQLite gives back any type that somebody wrote.
        if not isinstance(start, int):
            raise StoreDamaged(path, f"{str(start)!r:.40} is no number of an event")
        if begin is None:
            begin = min(start, first)
        if start != begin + len(events):
            raise StoreDamaged(path, f"event {begin + len(events)} of a run is missing")
        if not isinstance(data, str) or zlib.crc32(data.encode("utf-8", "surrogatepass")) != crc:
            raise StoreDamaged(path, f"the events of a run from number {start} on do not match their checksum")
        try:
            events += many_from_json(data)
        except msgspec.DecodeError as error:
            raise StoreDamaged(path, f"the events of a run from number {start} on cannot be read ({error})") from error
    return events[first - (begin or 0) :]


def encode_turn(events: Sequence[Event]) -> tuple[bytes, Sequence[Event]]:
    """Events as one JSON array, and the events as they will be read back from it."""
    try:
        return many_to_json(events), events
    except UnicodeEncodeError:
        events = [encode_event(event)[0] for event in events]
        return many_to_json(events), events


def write_turn(connection: sqlite3.Connection, run_id: str, first: int, data: bytes) -> None:
    """Appends what `encode_turn` gave: events from number `first` on."""
    connection.execute(_INSERT_TURN, (run_id, first, data.decode(), zlib.crc32(data)))


def touched_steps(events: Iterable[Event], known: Iterable[str]) -> dict[str, bool]:
    """The steps whose rows these events may change, and whether they only begin or complete; `known` are all."""
    found: dict[str, bool] = {}
    for event in events:
        kind = type(event)
        if kind is StepStarted or (
            kind is StepCompleted and not event.taken_from and event.stopped is None  # type: ignore[union-attr]
        ):
            found.setdefault(event.step, True)  # type: ignore[union-attr]
        elif kind in _STEP_EVENTS:
            found[event.step] = False  # type: ignore[union-attr]
        elif kind is RunResumed:
            return dict.fromkeys(known, False)
    return found


def count_events(connection: sqlite3.Connection, run_id: str, epoch: int, *, before: int, after: int) -> bool:
    """Passes the fence. False, with nothing written, if this epoch no longer owns the run."""
    return connection.execute(_COUNT_EVENTS, (after, run_id, epoch, before)).rowcount == 1


def run_row(snapshot: RunSnapshot) -> tuple[object, ...]:
    """What `write_run` writes of the run itself."""
    return (
        snapshot.state.value,
        snapshot.reason,
        iso(snapshot.created_at),
        iso(snapshot.started_at),
        iso(snapshot.ended_at),
        snapshot.is_cancelling,
        snapshot.is_interrupted,
    )


def write_run(connection: sqlite3.Connection, run_id: str, row: tuple[object, ...]) -> None:
    """Writes the run's own row; it has indexes, so this costs more than all other rows of a step."""
    connection.execute(_SET_RUN, (*row, run_id))


def events_with_values(events: Iterable[Event], snapshot: RunSnapshot) -> list[Event]:
    """Those of the events that tell of values; `snapshot` is the run after them."""
    return [event for event in events if type(event) in _WITH_VALUES and _tells_of_values(event, snapshot)]


def _tells_of_values(event: Event, snapshot: RunSnapshot) -> bool:
    """Most steps of some flows are there for what they do, not for what they give."""
    return type(event) is not StepCompleted or bool(event.values or snapshot.steps[event.step].elements)


def write_values(
    connection: sqlite3.Connection,
    run_id: str,
    events: Sequence[Event],
    snapshot: RunSnapshot,
    id_of: Callable[[str], int],
) -> None:
    """Writes the rows of the values that `events_with_values` tell of. Their blobs are there already.

    `snapshot` is the run after the events, `id_of` gives the number of a step's row. What elements of a mapped step
    gave has rows until the step completes.
    """
    values: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, StepCompleted):
            if snapshot.steps[event.step].elements:
                drop_elements(connection, id_of(event.step), values)
            values += _value_rows(run_id, event, id_of)
        elif isinstance(event, StepProgress):
            if event.key or event.whole:
                drop_elements(connection, id_of(event.step), values)
            values += _value_rows(run_id, event, id_of)
        elif isinstance(event, RunResumed):
            _put_values(connection, values)
            connection.executemany(SUPERSEDE, [(id_of(step),) for step in event.reset])
        elif isinstance(event, RunCreated) and event.inputs:
            insert_rows(connection, _PUT_INPUT, f"?, {_VALUE}", [(run_id, *value_row(ref)) for ref in event.inputs])
    _put_values(connection, values)


def _value_rows(
    run_id: str, event: StepCompleted | StepProgress, id_of: Callable[[str], int]
) -> Iterator[tuple[object, ...]]:
    step_id = id_of(event.step)
    return ((step_id, run_id, event.step, event.attempt, *value_row(ref)) for ref in event.values)


def _put_values(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    if rows:
        insert_rows(connection, _PUT_VALUE, f"?, ?, ?, ?, 1, {_VALUE}", rows)
        rows.clear()


def value_row(ref: ValueRef) -> tuple[object, ...]:
    """What is written to the columns that `values` and `inputs` have in common; empty text for NULL."""
    shape = "" if ref.shape is None else msgspec.json.encode(ref.shape).decode()
    return (
        ref.name,
        ref.type,
        ref.hash or "",
        ref.format or "",
        ref.size,
        shape,
        ref.summary,
        ref.live or "",
        ref.identity or "",
        ref.content or "",
        int(ref.needed),
    )


def value_ref(row: Sequence[object]) -> ValueRef:
    """The `ValueRef` of a row with `_VALUE_COLUMNS`."""
    names = _VALUE_COLUMNS.split(", ")
    fields = dict(zip(names, row, strict=True))
    fields["shape"] = None if fields["shape"] is None else msgspec.json.decode(str(fields["shape"]))
    fields["needed"] = bool(fields["needed"])
    return msgspec.convert(fields, ValueRef)


VALUE_COLUMNS = _VALUE_COLUMNS
