"""What is to be said of a store's health, and how to save the runs of a damaged one."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import cast

import msgspec

from szal_nb.errors import SzalError
from szal_nb.model.event import Event, RunCreated
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.state import fold
from szal_nb.model.step import Step
from szal_nb.store.bundle import Blob, Bundle, read_blob, read_bundle, references, write_bundle
from szal_nb.store.contents import content_bytes
from szal_nb.store.database import (
    Durability,
    Reader,
    connect_for_reading,
    is_whole,
    lock_path,
    open_for_reading,
    real_file,
    take_back,
)
from szal_nb.store.failure import FAILURES, StoreDamaged, StoreUnusable
from szal_nb.store.files import hash_of, statuses
from szal_nb.store.filesystem import file_system_of, has_wal_reset_bug
from szal_nb.store.listing import StoredRun
from szal_nb.store.probe import journal_mode_of
from szal_nb.store.projection import decode_turns
from szal_nb.store.reading import refuse_cut_off
from szal_nb.store.runs import RunStore
from szal_nb.store.schema import VERSION, bytes_beside
from szal_nb.store.writer import file_owner_is_us


class Level(StrEnum):
    """How much a finding matters."""

    FINE = "fine"
    NOTICE = "notice"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about the store. `advice` says what to do, if there is something."""

    level: Level
    about: str
    text: str
    advice: str = ""


def examine(path: Path) -> list[Finding]:
    """All there is to say about the store at `path`. Opens it for reading only; never raises for what is wrong."""
    found = [_platform(path), *_files(path)]
    try:
        with RunStore.open(path, read_only=True) as store:
            found += [_integrity(path), *_runs(store), _values(store)]
    except SzalError as error:
        found.append(Finding(level=Level.PROBLEM, about="content", text=str(error)))
    return found


def _platform(path: Path) -> Finding:
    real = real_file(path)
    system = file_system_of(real.parent)
    place = f"{system.kind or 'an unknown file system'}" + (f" mounted at {system.mount}" if system.mount else "")
    if system.is_network:
        return Finding(
            level=Level.NOTICE,
            about="file system",
            text=f"It lies on {place}: a network file system. A rollback journal is used instead of WAL.",
            advice="Faster and safer: a store on a local disk, by SZAL_STORE or [tool.szal] store in pyproject.toml.",
        )
    if not system.is_known:
        used = "WAL" if journal_mode_of(real, system) == "WAL" else "a rollback journal instead"
        text = f"It lies on {place}. Whether WAL works there was tried when the store was made; it uses {used}."
        return Finding(level=Level.NOTICE, about="file system", text=text)
    return Finding(level=Level.FINE, about="file system", text=f"It lies on {place}.")


def _files(path: Path) -> Iterator[Finding]:
    version = f"SQLite {sqlite3.sqlite_version}"
    if has_wal_reset_bug():
        yield Finding(
            level=Level.NOTICE,
            about="SQLite",
            text=f"{version} can damage a WAL that several programs write at once. The lock keeps szal_nb safe.",
            advice="Let no other program write into the store, or use a Python with SQLite 3.51.3 or newer.",
        )
    else:
        yield Finding(level=Level.FINE, about="SQLite", text=f"{version}, schema version {VERSION}.")
    if path.is_file():
        mode = stat.S_IMODE(path.stat().st_mode)
        sizes = f"{_megabytes(path.stat().st_size)} MB, WAL {_megabytes(bytes_beside(path, '-wal'))} MB"
        if mode & 0o077:
            advice = f"chmod 600 {path}"
            yield Finding(level=Level.NOTICE, about="file", text=f"{sizes}. Others can read it.", advice=advice)
        else:
            yield Finding(level=Level.FINE, about="file", text=f"{sizes}. Only you can read it.")
    if not lock_path(path).exists():
        yield Finding(level=Level.FINE, about="lock", text="No process has written since the lock file was removed.")


def _megabytes(size: int) -> float:
    return round(size / 1e6, 1)


def _integrity(path: Path) -> Finding:
    advice = "szal doctor --repair copies the runs that are intact into a new file."
    try:
        with contextlib.closing(open_for_reading(path)) as connection:
            problems = [row[0] for row in connection.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
            problems += [f"a row of {row[0]} has no {row[2]}" for row in connection.execute("PRAGMA foreign_key_check")]
    except FAILURES as error:
        problems = [str(error)]
    if problems:
        return Finding(level=Level.PROBLEM, about="integrity", text="; ".join(problems[:10]), advice=advice)
    return Finding(level=Level.FINE, about="integrity", text="SQLite finds no damage.")


def _runs(store: RunStore) -> Iterator[Finding]:
    runs = store.runs()
    counts = Counter(run.shown_state for run in runs)
    text = ", ".join(f"{count} {state}" for state, count in counts.most_common()) or "none"
    yield Finding(level=Level.FINE, about="runs", text=text)
    for run in runs:
        if run.is_owned:
            yield Finding(level=Level.FINE, about=f"run {run.id}", text=f"is being run by {run.owner}")
        elif run.is_crashed:
            text = f"crashed: its {run.owner or 'process'} is gone"
            yield Finding(level=Level.NOTICE, about=f"run {run.id}", text=text, advice=_way_on(store, run.id))
        try:
            snapshot = store.snapshot(run.id)
            if (snapshot.state, snapshot.events) != (run.state, run.events):
                text = f"its events say {snapshot.state}, its row says {run.state}"
                yield Finding(level=Level.PROBLEM, about=f"run {run.id}", text=text, advice="szal doctor --repair")
        except SzalError as error:
            yield Finding(level=Level.PROBLEM, about=f"run {run.id}", text=str(error), advice="szal doctor --repair")


def _way_on(store: RunStore, run_id: str) -> str:
    with contextlib.suppress(SzalError):
        if store.notebook(run_id) is None:
            return f"In the script that started it: szal.resume(flow, {run_id!r})"
    return f"szal resume {run_id}"


def _values(store: RunStore) -> Finding:
    in_files, damaged = _contents(store)
    files = {file.name: status.st_size for file, status in statuses(store.files.folder.glob("??/*"))}
    lost, unnamed = in_files.keys() - files.keys(), files.keys() - in_files.keys()
    # Whether a file holds what was written is found when it is read; that it is too short is seen at once.
    damaged += sum(files[name] != size for name, size in in_files.items() if name not in lost)
    text = f"{len(files)} files, {sum(files.values()) / 1e6:.1f} MB"
    problems = [f"{damaged} contents are not what was written"] if damaged else []
    problems += [f"{len(lost)} files are missing"] if lost else []
    if problems:
        return Finding(level=Level.PROBLEM, about="values", text="; ".join([text, *problems]))
    if unnamed:
        text += f"; {len(unnamed)} of them belong to no run"
        return Finding(level=Level.NOTICE, about="values", text=text, advice="szal gc")
    return Finding(level=Level.FINE, about="values", text=text)


def _contents(store: RunStore) -> tuple[dict[str, int], int]:
    """The sizes of contents in files, by hash, and how many of those in the database do not match theirs."""
    in_files: dict[str, int] = {}
    damaged = 0
    with store.reader.reading() as connection:
        for digest, form, size, in_file, data in connection.execute(_CONTENTS):
            if in_file:
                in_files[str(digest)] = size
            else:
                damaged += hash_of(form, content_bytes(data)) != digest
    return in_files, damaged


_CONTENTS = "SELECT hash, format, size, in_file, data FROM blobs WHERE size >= 0"


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved. `partial`: runs whose flow, notebook or some values are lost; `lost`: run id and reason."""

    whole: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    lost: tuple[tuple[str, str], ...] = ()


def repair(path: Path, target: Path) -> Repaired:
    """Copies every run of the damaged store whose events are intact into a new store at `target`.

    The damaged file is only read, once SQLite has taken back what a process left half-written in it. Large values are
    copied too; what is missing of a run beside its events is left out. A run that this user did not write, or of which
    nobody can tell, is marked as imported: the copy is ours.
    """
    if target.exists():
        raise StoreUnusable(target, "it exists already; name a file that does not")
    whole: list[str] = []
    partial: list[str] = []
    lost: list[tuple[str, str]] = []
    is_foreign = path.exists() and not file_owner_is_us(path)
    with contextlib.closing(_Ruin(path)) as ruin, RunStore.open(target) as store:
        for run_id in ruin.run_ids():
            try:
                bundle, is_whole = ruin.bundle(run_id)
                blobs = list(ruin.blobs(bundle.events))
                is_whole = is_whole and len(blobs) == len(list(references(bundle.events)))
                write_bundle(store, bundle, blobs, is_imported=is_foreign)
            except (SzalError, *FAILURES) as error:
                lost.append((run_id, str(error)))
            else:
                (whole if is_whole else partial).append(run_id)
    return Repaired(whole=tuple(whole), partial=tuple(partial), lost=tuple(lost))


_RUN_IDS = (
    "SELECT id FROM runs ORDER BY rowid",
    "SELECT DISTINCT run_id FROM turns",
    "SELECT DISTINCT run_id FROM steps",
)


class _LenientReader(Reader):
    """Reads what can be read: a file that is shorter than it says, or whose other pages are damaged."""

    def _open(self) -> sqlite3.Connection:
        connection = connect_for_reading(self._path)
        # Set before the first look at the file: without it SQLite refuses one that was cut off as a whole.
        connection.execute("PRAGMA writable_schema = ON")
        with contextlib.suppress(SzalError, *FAILURES):
            if not is_whole(connection):
                take_back(self._path)
        return connection


class _Ruin:
    """A damaged store, read piece by piece: what one query cannot read, another may."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = _LenientReader(path)
        self._store = RunStore(path, durability=Durability.FULL, lock=None, reader=self._reader)

    def close(self) -> None:
        self._store.close()

    def run_ids(self) -> list[str]:
        found: dict[str, None] = {}
        for sql in _RUN_IDS:
            with contextlib.suppress(SzalError), self._reader.reading() as connection:
                # Rows that come before the damage count.
                for (run_id,) in connection.execute(sql):
                    found[str(run_id)] = None
        return list(found)

    def bundle(self, run_id: str) -> tuple[Bundle, bool]:
        """The run, and whether nothing of it is missing."""
        with contextlib.suppress(SzalError):
            return read_bundle(self._store, run_id), True
        rows = self._reader.fetch("SELECT first, data, crc FROM turns WHERE run_id = ? ORDER BY first", (run_id,))
        events = decode_turns(cast("list[tuple[object, object, object]]", rows), str(self._path))
        run, graph, notebook = _told_by(run_id, events), _bare_graph(events), None
        with contextlib.suppress(SzalError):
            run = self._store.run(run_id)
        refuse_cut_off(run, len(events), self._path)
        self._refuse_less_than_rows(run_id, events)
        with contextlib.suppress(SzalError, ValueError):
            graph = self._store.graph(run_id)
        with contextlib.suppress(SzalError):
            notebook = self._store.notebook(run_id)
        return Bundle(run=run, events=events, graph=graph, notebook=notebook), False

    def _refuse_less_than_rows(self, run_id: str, events: list[Event]) -> None:
        """What tells that events are missing at the end where the row of the run, which counts them, is lost too."""
        steps, told = fold(events).steps, []
        with contextlib.suppress(SzalError):
            told = self._reader.fetch("SELECT name, state FROM steps WHERE run_id = ?", (run_id,))
        for name, state in told:
            if str(name) in steps and steps[str(name)].state.value != state:
                raise StoreDamaged(self._path, f"events of run {run_id} are missing: step {name!r} is {state}")

    def blobs(self, events: list[Event]) -> Iterator[Blob]:
        """Contents that are intact."""
        for ref in references(events):
            with contextlib.suppress(SzalError):
                yield read_blob(self._store.contents, ref)


def _told_by(run_id: str, events: list[Event]) -> StoredRun:
    snapshot = fold(events)
    return StoredRun(
        id=run_id,
        flow=snapshot.flow,
        version=snapshot.version,
        state=snapshot.state,
        shown_state=snapshot.state.value,
        is_owned=False,
        reason=snapshot.reason,
        created_at=snapshot.created_at or 0.0,
        started_at=snapshot.started_at,
        ended_at=snapshot.ended_at,
        notebook_path=None,
        output_path=None,
        params={},
        packages={},
        interactive=True,
        owner=None,
        launcher=None,
        epoch=snapshot.epoch,
        lease_until=None,
        events=snapshot.events,
        # Its row is lost, which would tell.
        imported=True,
    )


def _bare_graph(events: list[Event]) -> FlowGraph:
    first = events[0] if events else None
    if not isinstance(first, RunCreated):
        raise StoreUnusable("the run", "it does not begin with its creation")
    steps = tuple(Step(name=name) for name in first.steps)
    flow = FlowDefinition(name=first.flow, version=first.version, steps=steps)
    return FlowGraph(flow=flow, nodes=tuple(StepNode(step=step) for step in steps))
