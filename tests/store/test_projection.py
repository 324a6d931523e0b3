from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from szal_nb.model.event import Event, RunResumed, StepCompleted, StepOutput, StepProgress, StepStarted, from_json
from szal_nb.model.state import RunSnapshot, fold
from szal_nb.model.value import ElementEnd, Output, ValueRef
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.projection import VALUE_COLUMNS, decode_turns, encode_event, encode_turn, value_ref
from szal_nb.store.runs import RunStore, new_run_id
from szal_nb.store.times import iso, seconds
from szal_nb.store.writer import Job
from tests.store.scribe import begun, new_run, story


def rows(path, sql, *parameters):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, parameters).fetchall()


def tables_of(path, run_id):
    """What the projected tables say, in the terms of the fold."""
    (run,) = rows(
        path,
        "SELECT state, reason, created_at, started_at, ended_at, is_cancelling, is_interrupted, events FROM runs WHERE id = ?",
        run_id,
    )
    steps = rows(
        path,
        "SELECT name, state, attempt, origin, reason, started_at, ended_at, retry_at, answer, is_approved, error_detail,"
        " done, total, note, rollback_attempts, rollback_error, rollback_error_detail"
        " FROM steps WHERE run_id = ? ORDER BY position",
        run_id,
    )
    attempts = rows(
        path,
        "SELECT step, number, state, started_at, ended_at, error_detail FROM attempts WHERE run_id = ? ORDER BY step, number",
        run_id,
    )
    values = rows(
        path, 'SELECT step, name, live FROM "values" WHERE run_id = ? AND is_current ORDER BY step, name', run_id
    )
    return run, steps, attempts, values


def told_by(snapshot: RunSnapshot):
    """The same from the fold."""

    def detail(error):
        return None if error is None else msgspec.json.encode(error).decode()

    run = (
        snapshot.state.value,
        snapshot.reason,
        iso(snapshot.created_at),
        iso(snapshot.started_at),
        iso(snapshot.ended_at),
        int(snapshot.is_cancelling),
        int(snapshot.is_interrupted),
        snapshot.events,
    )
    steps = [
        (
            step.name,
            step.state.value,
            step.attempt,
            step.origin,
            step.reason,
            iso(step.started_at),
            iso(step.ended_at),
            iso(step.retry_at),
            step.answer,
            int(step.is_approved),
            detail(step.error),
            step.done,
            step.total,
            step.note or None,
            step.rollback_attempts or None,
            None if step.rollback_error is None else str(step.rollback_error),
            detail(step.rollback_error),
        )
        for step in snapshot.steps.values()
    ]
    attempts = sorted(
        (step.name, a.number, a.state, iso(a.started_at), iso(a.ended_at), detail(a.error))
        for step in snapshot.steps.values()
        for a in step.attempts
    )
    values = sorted((step.name, ref.name, ref.live) for step in snapshot.steps.values() for ref in step.values)
    return run, steps, attempts, values


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with RunStore.open(tmp_path_factory.mktemp("projection") / "runs.db", durability="fast") as store:
        yield store


def append_in_pieces(store: RunStore, run_id: str, events: list[Event], choose) -> None:
    journal = store.begin(new_run(run_id))
    while events:
        size = 1 + choose(4)
        piece, events = events[:size], events[size:]
        # A run that has ended goes on only under a new owner.
        while piece:
            resumed = next((n for n, event in enumerate(piece) if isinstance(event, RunResumed)), len(piece))
            journal.append_sync(piece[:resumed])
            piece = piece[resumed:]
            if piece:
                journal.close()
                journal = store.take_over(run_id)
                journal.append_sync(piece[:1])
                piece = piece[1:]
    journal.close()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_tables_always_agree_with_the_fold_of_the_events(shared, data):
    run_id = new_run_id()

    def choose(n: int) -> int:
        return data.draw(st.integers(0, n - 1))

    events = story(choose, data.draw(st.integers(1, 30)))
    append_in_pieces(shared, run_id, events, choose)

    recorded = shared.events(run_id)
    assert len(recorded) == len(events)
    assert tables_of(shared.path, run_id) == told_by(fold(recorded)) == told_by(shared.snapshot(run_id))


ELEMENT = ElementEnd(position=0, kept=True)


def test_what_elements_gave_goes_with_their_own_step_alone(store):
    """A resume of any other step or run still needs it, and gc goes by these rows."""
    journals = {run_id: store.begin(new_run(run_id)) for run_id in ("aaaaaaaaaaaa", "bbbbbbbbbbbb")}
    for journal in journals.values():
        journal.append_sync([*begun(), *(StepStarted(at=2.0, step=step, attempt=1) for step in ("load", "clean"))])
        for step in ("load", "clean"):
            refs = journal.keep(step, 1, {f"{step}[0]": [1, 2]}, {f"{step}[0]"})
            progress = StepProgress(at=2.0, step=step, attempt=1, done=1, key="k", values=refs, elements=(ELEMENT,))
            journal.append_sync([progress])
    names = {(run_id, f"{step}[0]") for run_id in journals for step in ("load", "clean")}

    journal = journals["aaaaaaaaaaaa"]
    refs = journal.keep("load", 1, {"load": [[1, 2]]}, {"load"})
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])
    names -= {("aaaaaaaaaaaa", "load[0]")}
    current = 'SELECT run_id, name FROM "values" WHERE is_current'
    assert set(rows(store.path, current)) == names | {("aaaaaaaaaaaa", "load")}

    journals["bbbbbbbbbbbb"].close()
    resumed = store.take_over("bbbbbbbbbbbb")
    resumed.append_sync([RunResumed(at=4.0, epoch=2, reset=("load", "clean"))])
    assert set(rows(store.path, current)) == names | {("aaaaaaaaaaaa", "load")}


def test_lone_surrogates_in_an_output_are_written_as_escapes():
    event = StepOutput(
        at=1.0, step="a", attempt=1, items=(Output(type="stream", name="stdout", text="\ud800 ok \x00"),)
    )

    plain, text = encode_event(event)

    assert plain.items[0].text == "\\ud800 ok \x00"
    assert from_json(text) == plain


def test_an_event_that_was_changed_in_the_file_is_found(store):
    journal = store.begin(new_run())
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    journal.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE turns SET data = replace(data, 'load', 'plot') WHERE first = 0")

    with pytest.raises(StoreDamaged, match="the events of a run from number 0 on do not match their checksum"):
        store.events("aaaaaaaaaaaa")


def test_an_event_that_is_gone_is_found():
    data, _ = encode_turn(begun())
    crc = zlib.crc32(data)
    for firsts, missing in (([1], 0), ([0, 3], 2), ([0, 1], 2)):
        with pytest.raises(StoreDamaged, match=f"event {missing} of a run is missing"):
            decode_turns([(first, data.decode(), crc) for first in firsts], "runs.db")
    with pytest.raises(StoreDamaged, match="event 1 of a run is missing"):
        decode_turns([(2, data.decode(), crc)], "runs.db", first=1)
    with pytest.raises(StoreDamaged, match="'x' is no number of an event"):
        decode_turns([("x", data.decode(), crc)], "runs.db")


def test_events_are_read_from_any_number_on_wherever_their_turn_begins(store):
    journal = store.begin(new_run())
    journal.append_sync(begun())
    journal.append_sync([StepStarted(at=2.0, step="load", attempt=1), StepCompleted(at=3.0, step="load", attempt=1)])
    whole = store.events("aaaaaaaaaaaa")

    assert [store.events("aaaaaaaaaaaa", first=n) for n in range(6)] == [whole[n:] for n in range(6)]
    assert len(whole) == 4


def test_the_view_of_the_events_tells_each_as_it_was_written(store):
    journal = store.begin(new_run())
    at = 1764332345.1234567
    journal.append_sync([*begun(), StepStarted(at=at, step="load", attempt=1)])
    text = Output(type="stream", name="stdout", text='"q" \\ \n \x00 \u00e9 \U0001f600 {"a": [1]}')
    shown = StepOutput(at=at + 0.5, step="load", attempt=1, items=(text,))
    journal.append_sync([shown, StepCompleted(at=at + 1, step="load", attempt=1)])

    found = rows(store.path, "SELECT seq, at, kind, step, attempt, data FROM events ORDER BY seq")
    assert [(seq, kind, step, attempt) for seq, _, kind, step, attempt, _ in found] == [
        (0, "run.created", None, None),
        (1, "run.started", None, None),
        (2, "step.started", "load", 1),
        (3, "step.output", "load", 1),
        (4, "step.completed", "load", 1),
    ]
    assert [from_json(data) for *_, data in found] == store.events("aaaaaaaaaaaa")
    # SQLite before 3.43 reads the last digits of a number otherwise than Python does.
    assert [seconds(row[1]) for row in found[2:]] == pytest.approx([at, at + 0.5, at + 1], abs=1.1e-6)


@pytest.mark.parametrize("at", [0.0, 1.5, 1795224732.086458, 253402300799.0])
def test_times_come_back_to_the_microsecond(at):
    assert seconds(iso(at)) == pytest.approx(at, abs=1e-6)


def test_references_come_back_from_their_rows(store):
    journal = store.begin(new_run())
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    given = {"table": np.zeros((2, 3)), "again": "x", "open": iter([]), "empty": ""}
    refs = (*journal.keep("load", 1, given, {"table"}), ValueRef(name="bare"))
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, values=refs)])

    found = rows(store.path, f'SELECT {VALUE_COLUMNS} FROM "values"')
    assert {value_ref(row) for row in found} == set(refs)
    assert [ref.needed for ref in refs] == [True, False, False, False, False]


def test_the_fingerprint_of_a_step_is_in_its_row_from_the_event_that_tells_of_it(store):
    journal = store.begin(new_run())
    journal.append_sync([*begun(), StepStarted(at=2.0, step="load", attempt=1)])
    journal.append_sync([StepCompleted(at=3.0, step="load", attempt=1, fingerprint="f1", taken_from="bbbbbbbbbbbb")])

    found = rows(store.path, "SELECT name, fingerprint, taken_from FROM steps ORDER BY position")
    assert found == [("load", "f1", "bbbbbbbbbbbb"), ("clean", None, None), ("plot", None, None)]


def test_events_that_are_gone_at_the_end_are_found(store):
    journal = store.begin(new_run())
    journal.append_sync(begun())
    journal.append_sync([StepStarted(at=2.0, step="load", attempt=1)])
    store.write(Job(lambda connection: connection.execute("DELETE FROM turns WHERE first = 2")))

    for read in (store.events, store.snapshot, lambda run: store.events(run, first=2)):
        with pytest.raises(StoreDamaged, match="of run aaaaaaaaaaaa the last 1 of 3 events are missing"):
            read("aaaaaaaaaaaa")
