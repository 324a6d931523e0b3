"""Events to rows: `events` as they came, the run's own row and its values, written in the same transaction.

Nothing here decides anything: what a state is, `model.state` says; these rows repeat it for people and queries.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec

from szal_nb.model.event import (
    Event,
    RunCreated,
    RunEvent,
    RunResumed,
    StepCompleted,
    StepEvent,
    StepProgress,
    from_json,
    to_json,
)
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef
from szal_nb.store.elementrows import SUPERSEDE, drop_elements
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.insertion import insert_rows, nullable
from szal_nb.store.times import iso

_VALUE_COLUMNS = "name, type, hash, format, size, shape, summary, live, identity, needed"
_INSERT_EVENTS = "INSERT INTO events (run_id, seq, at, kind, step, attempt, data, crc) VALUES"
_EVENT = f"?, ?, ?, ?, {nullable(2)}, ?, ?"
_PUT_VALUE = f'INSERT OR REPLACE INTO "values" (run_id, step, attempt, is_current, {_VALUE_COLUMNS}) VALUES'
_PUT_INPUT = f"INSERT OR REPLACE INTO inputs (run_id, {_VALUE_COLUMNS}) VALUES"
# Of `_VALUE_COLUMNS`, these may be NULL: hash and format, shape, live and identity.
_VALUE = f"?, ?, {nullable(2)}, ?, {nullable(1)}, ?, {nullable(2)}, ?"
# Asked for each event: a look into a table is several times faster than `isinstance` of a union.
_STEP_EVENTS = frozenset(get_args(StepEvent))
# The kind of an event as text, and whether it is of a step and of an attempt.
_KINDS = {
    kind: (str(kind.__struct_config__.tag), kind in _STEP_EVENTS, "attempt" in kind.__struct_fields__)
    for kind in (*_STEP_EVENTS, *get_args(RunEvent))
}
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


def decode_events(rows: Iterable[tuple[int, str, int]], path: str, *, first: int = 0) -> list[Event]:
    """Events from rows (seq, data, crc), from number `first` on; `StoreDamaged` if one is not what was written."""
    events = []
    for expected, (seq, data, crc) in enumerate(rows, start=first):
        if seq != expected:
            raise StoreDamaged(path, f"event {expected} of a run is missing")
        if zlib.crc32(data.encode("utf-8", "surrogatepass")) != crc:
            raise StoreDamaged(path, f"event {seq} of a run does not match its checksum")
        try:
            events.append(from_json(data))
        except msgspec.DecodeError as error:
            raise StoreDamaged(path, f"event {seq} of a run cannot be read ({error})") from error
    return events


def event_rows(run_id: str, first: int, events: Sequence[Event]) -> tuple[list[tuple[object, ...]], Sequence[Event]]:
    """The rows of events, numbered from `first` on, and the events as they will be read back from these rows."""
    rows: list[tuple[object, ...]] = []
    plain: dict[int, Event] = {}
    for seq, event in enumerate(events, first):
        try:
            data = to_json(event)
        except UnicodeEncodeError:
            plain[seq - first], text = encode_event(event)
            data = text.encode()
        kind, has_step, has_attempt = _KINDS[type(event)]
        step = event.step if has_step else ""  # type: ignore[union-attr]
        attempt = event.attempt if has_attempt else ""  # type: ignore[union-attr]
        rows.append((run_id, seq, iso(event.at), kind, step, attempt, data.decode(), zlib.crc32(data)))
    if plain:
        events = [plain.get(n, event) for n, event in enumerate(events)]
    return rows, events


def write_events(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Appends what `event_rows` gave."""
    insert_rows(connection, _INSERT_EVENTS, _EVENT, rows)


def touched_steps(events: Iterable[Event], known: Iterable[str]) -> Iterable[str]:
    """The steps whose rows these events may change; `known` are those that the run has."""
    found: dict[str, None] = {}
    for event in events:
        if type(event) in _STEP_EVENTS:
            found[event.step] = None  # type: ignore[union-attr]
        elif isinstance(event, RunResumed):
            return known
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


def write_values(connection: sqlite3.Connection, run_id: str, events: Sequence[Event], snapshot: RunSnapshot) -> None:
    """Writes the rows of the values that these events tell of. Their blobs are there already.

    `snapshot` is the run after the events. What elements of a mapped step gave has rows until the step completes.
    """
    values: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, StepCompleted):
            if snapshot.steps[event.step].elements:
                drop_elements(connection, run_id, event.step, values)
            values += [(run_id, event.step, event.attempt, *value_row(ref)) for ref in event.values]
        elif isinstance(event, StepProgress):
            if event.key or event.whole:
                drop_elements(connection, run_id, event.step, values)
            values += [(run_id, event.step, event.attempt, *value_row(ref)) for ref in event.values]
        elif isinstance(event, RunResumed):
            _put_values(connection, values)
            connection.executemany(SUPERSEDE, [(run_id, step) for step in event.reset])
        elif isinstance(event, RunCreated) and event.inputs:
            insert_rows(connection, _PUT_INPUT, f"?, {_VALUE}", [(run_id, *value_row(ref)) for ref in event.inputs])
    _put_values(connection, values)


def _put_values(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    if rows:
        insert_rows(connection, _PUT_VALUE, f"?, ?, ?, 1, {_VALUE}", rows)
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
