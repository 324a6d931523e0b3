"""What a store says of its runs: their rows, events, flows, notebooks and values. Nothing is written here."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from szal_nb.errors import IllegalTransition, UnknownRun, ValueUnavailable
from szal_nb.model.event import Event
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import RunSnapshot, RunState, fold
from szal_nb.model.value import ValueRef
from szal_nb.store import projection
from szal_nb.store.codecs import Codec
from szal_nb.store.contents import Contents
from szal_nb.store.database import Reader, real_file
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.files import ValueFiles
from szal_nb.store.formats import all_codecs, installed_codecs
from szal_nb.store.listing import CRASHED, RUN_COLUMNS, StoredRun, stored_runs
from szal_nb.store.loading import Loader, main_module
from szal_nb.store.locate import FILE, FOLDER
from szal_nb.store.pickling import ResolveClass, class_in
from szal_nb.store.snapshots import content_id, graph_from
from szal_nb.store.writer import file_owner_is_us

# From the one on that holds a certain event.
_TURNS_FROM = """
SELECT first, data, crc FROM turns WHERE run_id = ? AND first >= coalesce(
    (SELECT max(first) FROM turns WHERE run_id = ? AND first <= ?), 0)
ORDER BY first
"""


class StoredRuns:
    """The runs of a file, to be read. `now` is in seconds since the epoch."""

    def __init__(
        self,
        path: Path,
        reader: Reader,
        *,
        codecs: Sequence[Codec] | None,
        is_synced: bool,
        now: Callable[[], float],
    ) -> None:
        self.path = path
        self.reader = reader
        self.files = ValueFiles(values_folder(path), is_synced=is_synced)
        self.contents = Contents(reader, self.files)
        self._now = now
        self._extra_codecs = codecs

    @functools.cached_property
    def _codecs(self) -> tuple[Codec, ...]:
        # Looking for packages takes longer than listing runs, so it waits for the first value.
        return all_codecs(installed_codecs() if self._extra_codecs is None else self._extra_codecs)

    def runs(self, flow: str | None = None, state: str | None = None, limit: int | None = None) -> list[StoredRun]:
        """Runs, newest first: by the order in which they were begun here, for clocks are set back too.

        Imported ones come last. `state` is a run state or `crashed`.
        """
        where: list[str] = ["1"]
        parameters: list[object] = []
        if flow is not None:
            where.append("flow = ?")
            parameters.append(flow)
        if state is not None and state != CRASHED:
            where.append("state = ?")
            parameters.append(str(state))
        # Which runs crashed, and so which are still in another state, is known only after looking at their owners.
        is_sifted = state is not None and (state == CRASHED or not RunState(state).is_final)
        numbers = f"SELECT rowid FROM runs WHERE {' AND '.join(where)} ORDER BY rowid DESC"  # noqa: S608 constant
        if limit is not None and not is_sifted:
            numbers += " LIMIT ?"
            parameters.append(limit)
        # Found first: to sort whole rows costs more than to read some of them.
        sql = f"SELECT {RUN_COLUMNS} FROM runs WHERE rowid IN ({numbers}) ORDER BY rowid DESC"  # noqa: S608 constant
        found = stored_runs(self.reader.fetch(sql, tuple(parameters)), self._now(), self.path)
        if is_sifted:
            found = [run for run in found if run.shown_state == state]
        return found if limit is None else found[:limit]

    def run(self, run_id: str) -> StoredRun:
        """The run with this id, or with the only id that begins so; `UnknownRun` with the nearest ids if none."""
        low = run_id.strip().lower()
        found: list[tuple[object, ...]] = []
        if low:
            found = self.reader.fetch(
                f"SELECT {RUN_COLUMNS} FROM runs WHERE id >= ? AND id < ? LIMIT 4",  # noqa: S608 columns are constant
                (low, low + "\U0010ffff"),
            )
        exact = [row for row in found if row[0] == low]
        if exact or len(found) == 1:
            return stored_runs(exact or found, self._now(), self.path)[0]
        near = tuple(str(row[0]) for row in found)
        if not near:
            ids = [str(row[0]) for row in self.reader.fetch("SELECT id FROM runs ORDER BY rowid DESC LIMIT 1000")]
            near = tuple(difflib.get_close_matches(low, ids, n=3, cutoff=0.6))
        raise UnknownRun(run_id, str(self.path), near)

    def events(self, run_id: str, *, first: int = 0) -> list[Event]:
        """The events of the run in order, from number `first` on."""
        run = self.run(run_id)
        rows = self.reader.fetch(_TURNS_FROM, (run.id, run.id, first))
        found = projection.decode_turns(cast("list[tuple[object, object, object]]", rows), str(self.path), first=first)
        refuse_cut_off(run, first + len(found), self.path)
        return found

    def snapshot(self, run_id: str) -> RunSnapshot:
        """The state of the run: the fold of its events."""
        try:
            return fold(self.events(run_id))
        except IllegalTransition as error:
            raise StoreDamaged(self.path, str(error)) from error

    def graph(self, run_id: str) -> FlowGraph:
        """The flow that the run ran, as it was then."""
        rows = self.reader.fetch(
            "SELECT flows.id, graph FROM flows JOIN runs ON flows.id = runs.flow_id WHERE runs.id = ?",
            (self.run(run_id).id,),
        )
        if not rows:
            raise StoreDamaged(self.path, f"the flow of run {run_id} is missing")
        return graph_from(str(rows[0][1]), str(rows[0][0]), self.path)

    def notebook(self, run_id: str) -> str | None:
        """The whole notebook that the run was started from, as nbformat JSON text."""
        rows = self.reader.fetch(
            "SELECT notebook_id, content FROM runs LEFT JOIN notebooks ON notebooks.id = notebook_id WHERE runs.id = ?",
            (self.run(run_id).id,),
        )
        if not rows or rows[0][0] is None:
            return None
        notebook_id, content = map(str, rows[0])
        if rows[0][1] is None:
            raise StoreDamaged(self.path, f"the notebook of run {run_id} is missing")
        if content_id(content) != notebook_id:
            raise StoreDamaged(self.path, f"the notebook of run {run_id} does not match its hash")
        return content

    def inputs(self, run_id: str) -> dict[str, ValueRef]:
        """What the run took from outside."""
        return {ref.name: ref for ref in self.snapshot(run_id).inputs}

    def value(
        self, run_id: str, step: str, name: str, *, trust: bool = False, resolve_class: ResolveClass | None = None
    ) -> object:
        """What the step of the run gave under the name; `ValueUnavailable` if there is no such value to give."""
        run = self.run(run_id)
        known = self.snapshot(run.id).steps.get(step)
        refs = {ref.name: ref for ref in known.values} if known is not None else {}
        if name not in refs:
            has = f"it has {', '.join(refs)}" if refs else "it has none"
            raise ValueUnavailable(name, f"step {step!r} of run {run.id} gave no value of this name; {has}")
        return self.loader(run.id, trust=trust, resolve_class=resolve_class).load(refs[name])

    def is_ours(self, run: StoredRun) -> bool:
        """Whether this user wrote the run: only then are values of it loaded that run code, unasked."""
        return not run.imported and file_owner_is_us(self.path)

    def runs_with(self, flow: str, step: str, fingerprint: str) -> list[str]:
        """The newest runs of the flow in which the step completed with this fingerprint; imported ones do not count."""
        sql = """SELECT runs.id FROM runs JOIN steps ON steps.run_id = runs.id AND steps.name = ?
                 WHERE runs.flow = ? AND NOT runs.is_imported AND steps.state = 'completed' AND steps.fingerprint = ?
                 ORDER BY runs.rowid DESC LIMIT 5"""
        return [str(row[0]) for row in self.reader.fetch(sql, (step, flow, fingerprint))]

    def runs_from(self, run_id: str) -> list[str]:
        """The runs that go on from this one, or take another way than it, newest first."""
        sql = "SELECT id FROM runs WHERE from_run = ? ORDER BY rowid DESC"
        return [str(row[0]) for row in self.reader.fetch(sql, (run_id,))]

    def loader(
        self,
        run_id: str,
        *,
        trust: bool = False,
        resolve_class: ResolveClass | None = None,
        is_for_looking: bool = True,
    ) -> Loader:
        """Loads values of the run, each object once: to look at them, or for steps to read them.

        `trust` allows code-carrying formats of a record not ours; without, a figure that is looked at is `Shown` as it
        was.
        """
        run = self.run(run_id)
        return Loader(
            self._codecs,
            self.contents,
            self._class_values_of(run.id),
            is_trusted=trust or self.is_ours(run),
            resolve_class=resolve_class or class_in(main_module()),
            is_for_looking=is_for_looking,
        )

    def _class_values_of(self, run_id: str) -> Callable[[str, str | None], ValueRef | None]:
        sql = f"""SELECT {projection.VALUE_COLUMNS} FROM "values"
                  WHERE step_id IN (SELECT id FROM steps WHERE run_id = ? AND name = coalesce(?, name))
                  AND name = ? AND is_current AND format = 'pickle' ORDER BY id DESC LIMIT 1"""  # noqa: S608

        def find(name: str, step: str | None) -> ValueRef | None:
            rows = self.reader.fetch(sql, (run_id, step, name))
            return projection.value_ref(rows[0]) if rows else None

        return find


def refuse_cut_off(run: StoredRun, events: int, path: Path) -> None:
    """Raises `StoreDamaged` if events of the run are missing: since its row was read they can only have become more."""
    if events < run.events:
        raise StoreDamaged(path, f"of run {run.id} the last {run.events - events} of {run.events} events are missing")


def values_folder(path: Path) -> Path:
    """Where the large values of the store at `path` are."""
    file = real_file(path)
    is_standard = file.name == FILE and file.parent.name == FOLDER
    return file.parent / "values" if is_standard else file.with_name(f"{file.name}.values")
