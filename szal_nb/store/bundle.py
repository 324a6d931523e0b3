"""One run with all that belongs to it, on its way to another store: exported, imported, or saved from a damaged one."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from szal_nb.errors import StoreError
from szal_nb.model.event import Event, StepProgress
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import fold
from szal_nb.model.value import ValueRef
from szal_nb.store.contents import SHORT_FORMAT, Contents, content_bytes
from szal_nb.store.failure import StoreUnusable
from szal_nb.store.files import ValueFiles, hash_of
from szal_nb.store.identity import Identities
from szal_nb.store.listing import StoredRun, owner_text
from szal_nb.store.record import NewRun, RunRecord, kept_by
from szal_nb.store.runs import RunStore
from szal_nb.store.values import INLINE_BYTES, INSERT_BLOB, Keeper
from szal_nb.store.writer import Job

_IS_HASH = re.compile(r"[0-9a-f]{32}")
# More microseconds than any clock counts.
_BEFORE_ALL_OWN = 2**60


class RunExists(StoreError):
    """The store has a run of this id already."""

    def __init__(self, run_id: str, path: str) -> None:
        super().__init__(run_id, path)
        self.run_id = run_id
        self.path = path

    def __str__(self) -> str:
        return f"Run {self.run_id} is in {self.path} already. Nothing was changed."


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """Content by its hash. `read` gives its bytes, and checks nothing."""

    hash: str
    form: str
    size: int
    read: Callable[[], bytes]


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """A run: its row, its events, its flow, its notebook. Its contents are read one at a time."""

    run: StoredRun
    events: list[Event]
    graph: FlowGraph
    notebook: str | None


def references(events: list[Event]) -> Iterator[ValueRef]:
    """Every stored value that the events name and do not hold themselves, each hash once.

    Of what elements of a mapped step gave only that which a resume would need: the rest may be gone.
    """
    refs = [ref for event in events if not isinstance(event, StepProgress) for ref in _stored_by(event)]
    for step in fold(events).steps.values():
        refs += step.element_values
    seen = set()
    for ref in refs:
        if ref.hash is not None and ref.content is None and ref.hash not in seen:
            seen.add(ref.hash)
            yield ref


def _stored_by(event: Event) -> Iterator[ValueRef]:
    _, _, refs = kept_by(event)
    return (ref for ref in refs if ref.hash is not None)


def read_bundle(store: RunStore, run_id: str) -> Bundle:
    """The run as it is in the store."""
    run = store.run(run_id)
    return Bundle(run=run, events=store.events(run.id), graph=store.graph(run.id), notebook=store.notebook(run.id))


def read_blob(contents: Contents, ref: ValueRef) -> Blob:
    """The content of a stored value, found to match its hash."""
    form, content = contents.of(ref)
    if isinstance(content, Path):
        return Blob(hash=str(ref.hash), form=form, size=content.stat().st_size, read=content.read_bytes)
    return Blob(hash=str(ref.hash), form=form, size=len(content), read=lambda: content)


def write_bundle(store: RunStore, bundle: Bundle, blobs: Iterable[Blob], *, is_imported: bool) -> None:
    """Writes the run in one transaction; `StoreError` if it is there already or a content does not match its hash."""
    run = bundle.run
    # What elements gave before a resume is named for a while, also if the step has completed since.
    refs = [ref for event in bundle.events for ref in _stored_by(event)]
    for ref in refs:
        if not _IS_HASH.fullmatch(str(ref.hash)):
            raise StoreUnusable(store.path, f"run {run.id} names the content {ref.hash!r:.40}, which is no hash")
        if ref.content is not None and hash_of(SHORT_FORMAT, content_bytes(ref.content)) != ref.hash:
            raise StoreUnusable(store.path, f"the content {ref.hash} of run {run.id} does not match its hash")
    if not bundle.events:
        raise StoreUnusable(store.path, f"run {run.id} has no events")
    # Before anything is written: IllegalTransition for events that cannot follow each other.
    epoch = max(run.epoch, fold(bundle.events).epoch)
    rows = [_stored(store.files, blob, run.id) for blob in blobs]
    new = NewRun(
        run_id=run.id,
        graph=bundle.graph,
        notebook=bundle.notebook,
        notebook_path=run.notebook_path,
        output_path=run.output_path,
        params=run.params,
        packages=run.packages,
        interactive=run.interactive,
        from_run=run.from_run,
    )
    keeper = Keeper((), store.files, Identities(""))
    record = RunRecord(run.id, 1, keeper, path=str(store.path), now=time.time, new=new)

    def write(connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone():
            raise RunExists(run.id, str(store.path))
        connection.executemany(INSERT_BLOB, rows)
        record.write(connection, bundle.events)
        connection.execute(
            "UPDATE runs SET is_imported = ?, owner = ?, launcher = ?, lease_until = NULL, epoch = ? WHERE id = ?",
            (is_imported or run.imported, owner_text(run.owner), owner_text(run.launcher), epoch, run.id),
        )
        if is_imported or run.imported:
            _put_before_own(connection, run.id, bundle.events[0].at)

    store.write(Job(write))


def _put_before_own(connection: sqlite3.Connection, run_id: str, begun_at: float) -> None:
    """Rows of runs are numbered as they were begun: one that was begun elsewhere comes before all own, by its clock."""
    number = round(begun_at * 1e6) - _BEFORE_ALL_OWN
    while connection.execute("SELECT 1 FROM runs WHERE rowid = ?", (number,)).fetchone():
        number += 1
    connection.execute("UPDATE runs SET rowid = ? WHERE id = ?", (number, run_id))


def _stored(files: ValueFiles, blob: Blob, run_id: str) -> tuple[str, str, int, bool, bytes | None]:
    data = blob.read()
    if hash_of(blob.form, data) != blob.hash:
        raise StoreUnusable(files.folder, f"the content {blob.hash} of run {run_id} does not match its hash")
    in_file = len(data) > INLINE_BYTES
    if in_file:
        files.write(blob.form, [data])
    return blob.hash, blob.form, len(data), in_file, None if in_file else data
