"""The store of runs: begins them and takes them over; what is read of them is in `reading`."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from szal_nb.errors import RunGoneOn, RunOwned, StoreError
from szal_nb.store.codecs import Codec
from szal_nb.store.contents import Contents
from szal_nb.store.database import Durability, Reader, check_readable, lock_path, prepare, real_file
from szal_nb.store.failure import StoreUnusable
from szal_nb.store.files import make_home
from szal_nb.store.filesystem import file_system_of, has_wal_reset_bug
from szal_nb.store.identity import Identities
from szal_nb.store.journal import RunJournal
from szal_nb.store.listing import StoredRun, owner_text
from szal_nb.store.loading import Loader, main_module
from szal_nb.store.locate import FILE, FOLDER, durability_of, find_store
from szal_nb.store.lock import FileLock
from szal_nb.store.owner import HEARTBEAT_S, LEASE_S, Owner, end_orphan
from szal_nb.store.pickling import class_in
from szal_nb.store.probe import journal_mode_of
from szal_nb.store.reading import StoredRuns, values_folder
from szal_nb.store.record import NewRun, RunRecord
from szal_nb.store.times import iso
from szal_nb.store.values import Keeper
from szal_nb.store.writer import Job, Writer

__all__ = ["NewRun", "RunJournal", "RunStore", "StoredRun", "find_store", "new_run_id", "open_store", "values_folder"]

MEMORY = ":memory:"
_T = TypeVar("_T")


def new_run_id() -> str:
    """A new run id: 12 random hexadecimal characters, so that a few of them name a run."""
    return secrets.token_hex(6)


def open_store(path: str | os.PathLike[str] | None = None, *, durability: str | None = None) -> RunStore:
    """The store at `path`, or the one that belongs to the working directory; made if it is not there.

    `durability`: `full` (what was acknowledged survives a power cut) or `fast` (it survives the end of the process; a
    power cut may take the last steps, which a resume runs again). By default `SZAL_DURABILITY`, else `[tool.szal]
    durability` of the nearest pyproject.toml, else full.
    """
    return RunStore.open(find_store() if path is None else path, durability=durability)


def _kept(file: Path, durability: str) -> Durability:
    try:
        return Durability(durability)
    except ValueError:
        text = (
            f"its durability {durability!r} is neither {' nor '.join(Durability)}; see SZAL_DURABILITY and [tool.szal]"
        )
        raise StoreUnusable(file, text) from None


class RunStore(StoredRuns):
    """A file of runs. Any number of processes may have it open."""

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability,
        lock: FileLock | None,
        journal_mode: str = "WAL",
        reader: Reader | None = None,
        temporary: Path | None = None,
        codecs: Sequence[Codec] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        is_synced = durability is Durability.FULL
        super().__init__(path, Reader(path) if reader is None else reader, codecs=codecs, is_synced=is_synced, now=now)
        self._writer = None
        if lock is not None:
            self._writer = Writer(
                path,
                lock,
                durability,
                journal_mode=journal_mode,
                # The thread must not keep a store alive that everybody else forgot.
                heartbeat=_weakly(self._beat),
                beat_s=HEARTBEAT_S,
                may_write_here=_weakly(self._may_write_here),
                at_end=functools.partial(_clean_up, lock, temporary),
            )
        self._owned: dict[str, RunJournal] = {}
        # Runs that nobody here runs any more, by epoch, though the record could not be told.
        self._given_up: set[tuple[str, int]] = set()
        self._owned_lock = threading.Lock()
        self._is_closed = False
        self._file = _inode(path)
        # Neither does the exit hook keep it alive.
        self._at_exit = _weakly(self.close)
        atexit.register(self._at_exit)
        self._forgotten = weakref.finalize(self, _let_go, self._at_exit, self.reader, self._writer)
        self._forgotten.atexit = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        durability: str | None = None,
        read_only: bool = False,
        codecs: Sequence[Codec] | None = None,
    ) -> Self:
        """The store at `path`, made if it is not there (not with `read_only`). `":memory:"` lives until it is closed.

        `codecs` are asked before those of this package; they are those of installed packages if none are named.

        Raises `StoreError` for what is no store, is damaged, or was made by a newer program.
        """
        temporary = None
        if str(path) == MEMORY:
            temporary = Path(tempfile.mkdtemp(prefix="szal-"))
            path = temporary / FOLDER / FILE
        file = Path(path).absolute()
        kept = _kept(file, durability or durability_of(file))
        if read_only:
            check_readable(file)
            return cls(file, durability=kept, lock=None, codecs=codecs)
        make_home(file)
        lock = FileLock(lock_path(file))
        # WAL without our lock is safe only from SQLite 3.51.3 on.
        is_wal_safe = lock.is_available or not has_wal_reset_bug()
        real = real_file(file)
        mode = journal_mode_of(real, file_system_of(real.parent)) if is_wal_safe else "TRUNCATE"
        try:
            prepare(file, lock, journal_mode=mode)
        except BaseException:
            lock.close()
            raise
        return cls(file, durability=kept, lock=lock, journal_mode=mode, temporary=temporary, codecs=codecs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives up every run that this store owns, writes what waits, and closes the file.

        A store that nobody refers to any more is closed by itself.
        """
        # What a forked child has of the runs, and of the locks around them, is its parent's.
        is_forked = self._writer is not None and self._writer.is_forked
        for journal in () if is_forked else list(self._owned.values()):
            with contextlib.suppress(Exception):
                journal.close()
        self._is_closed = True
        self._forgotten.detach()
        atexit.unregister(self._at_exit)
        self.reader.close()
        if self._writer is not None:
            self._writer.close()

    def settle(self) -> None:
        """Has the file alone hold all of the record once it is closed, unless another program has it open then.

        A program that only read it while the last writer left cannot bring in what stands in the WAL.
        """
        with contextlib.suppress(StoreError):
            self.write(Job(lambda _: None))

    @property
    def is_in_place(self) -> bool:
        """Whether this store is open, and its file is still the one at `path`."""
        return not self._is_closed and self._file == _inode(self.path)

    def begin(self, run: NewRun) -> RunJournal:
        """The journal of a new run. Nothing is written before its first append, which begins with `RunCreated`."""
        return self._journal(run.run_id, 1, new=run)

    def take_over(
        self, run_id: str, *, force: bool = False, launcher: Owner | None = None, since: int | None = None
    ) -> RunJournal:
        """The journal of a run that nobody runs any more, under a new epoch; its old owner can write no more.

        A kernel that lives on after the process that launched it died is ended first. Raises `RunOwned` if the owner
        lives (`force` takes the run all the same), `RunGoneOn` if its epoch is not `since`, `UnknownRun`, or
        `OrphanStays`. Blocks.
        """
        run = self.run(run_id) if force else self.end_orphan_of(run_id)
        if since is not None:
            _refuse_if_gone_on(run, since)
        epoch = run.epoch + 1
        owner = owner_text(Owner.here())

        def take(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "UPDATE runs SET epoch = ?, owner = ?, launcher = ?, lease_until = ? WHERE id = ? AND epoch = ?",
                (epoch, owner, owner_text(launcher), iso(self._now() + LEASE_S), run.id, run.epoch),
            )
            return cursor.rowcount == 1

        def is_taken(connection: sqlite3.Connection) -> bool:
            found = connection.execute("SELECT epoch, owner FROM runs WHERE id = ?", (run.id,)).fetchone()
            return bool(found == (epoch, owner))

        if not self.write(Job(take, is_taken)):
            winner = self.run(run.id)
            raise RunOwned(run.id, str(winner.owner or "another process"), "It took the run over a moment ago.")
        return self._journal(run.id, epoch)

    def refuse_if_gone_on(self, run_id: str, since: int) -> None:
        """Raises `RunGoneOn` if another epoch of the run has begun."""
        _refuse_if_gone_on(self.run(run_id), since)

    def end_orphan_of(self, run_id: str) -> StoredRun:
        """The run, once nobody runs it: a kernel whose launcher died is ended, and waited for.

        Raises `RunOwned` if the run's owner lives and is no orphan, `OrphanStays` if it cannot be ended.
        """
        run = self.run(run_id)
        owner = run.owner
        if owner is None or not run.is_owned:
            return run
        if run.is_orphaned:
            end_orphan(owner)
            return self.run(run.id)
        if owner.is_same(Owner.here()):
            if (run.id, run.epoch) in self._given_up:
                return run
            raise RunOwned(run.id, "this process", "Wait for it, or cancel it, before it is resumed.")
        raise RunOwned(run.id, str(owner), f"{self._heard_of(run, owner)}; --force takes the run over all the same.")

    def _heard_of(self, run: StoredRun, owner: Owner) -> str:
        if owner.is_near:
            return "Wait for it, cancel it there, or end that process"
        if run.lease_until is not None and run.lease_until > self._now() + 2 * LEASE_S:
            return "The clock was set back since it was last heard of, so that nobody can tell how long ago that is"
        return f"It was last heard of less than {LEASE_S:g} s ago"

    def write(self, job: Job[_T]) -> _T:
        """What the job gives, once it is committed in the store. For work on the store itself, such as collection."""
        return self._writing().write_sync(job)

    def _journal(self, run_id: str, epoch: int, new: NewRun | None = None) -> RunJournal:
        writer = self._writing()
        identities = Identities(str(epoch))
        keeper = Keeper(self._codecs, self.files, identities)
        is_trusted = new is not None or self.is_ours(self.run(run_id))
        loader = Loader(
            self._codecs,
            Contents(self.reader, self.files, keeper.parked),
            self._class_values_of(run_id),
            is_trusted=is_trusted,
            resolve_class=class_in(main_module()),
            identities=identities,
        )
        record = RunRecord(run_id, epoch, keeper, path=str(self.path), now=self._now, new=new)
        journal = RunJournal(record, writer, keeper, loader, release=self._release)
        with self._owned_lock:
            self._owned = {known: kept for known, kept in self._owned.items() if not kept.is_final}
            self._owned[run_id] = journal
        return journal

    def _release(self, journal: RunJournal) -> None:
        with self._owned_lock:
            if self._owned.get(journal.run_id) is journal:
                del self._owned[journal.run_id]

        def release(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE runs SET lease_until = NULL WHERE id = ? AND epoch = ?", (journal.run_id, journal.epoch)
            )

        if not journal.is_final:
            try:
                self.write(Job(release))
            except StoreError:
                # A disk that is full, mostly: the heart says it when it can, and this process knows it.
                self._given_up.add((journal.run_id, journal.epoch))

    def _may_write_here(self) -> bool:
        # Runs side by side gain more from sharing a transaction.
        return len(self._owned) == 1

    def _beat(self, connection: sqlite3.Connection) -> None:
        with self._owned_lock:
            owned = [(journal.run_id, journal.epoch) for journal in self._owned.values()]
        lease = iso(self._now() + LEASE_S)
        connection.executemany(
            "UPDATE runs SET lease_until = ? WHERE id = ? AND epoch = ? AND lease_until IS NOT NULL",
            [
                *((lease, run_id, epoch) for run_id, epoch in owned),
                *((None, run_id, epoch) for run_id, epoch in self._given_up),
            ],
        )

    def _writing(self) -> Writer:
        if self._writer is None:
            raise StoreUnusable(self.path, "it was opened for reading only.")
        return self._writer


def _refuse_if_gone_on(run: StoredRun, since: int) -> None:
    if run.epoch != since:
        raise RunGoneOn(run.id, run.shown_state)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, called as long as its object lives (None afterwards); it does not keep it alive."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: object) -> Any:
        living = reference()
        return None if living is None else living(*arguments)

    return call


def _let_go(at_exit: Callable[[], object], reader: Reader, writer: Writer | None) -> None:
    """Closes what a forgotten store has left. Called wherever it was forgotten, so nothing is waited for."""
    atexit.unregister(at_exit)
    reader.close(is_waited_for=False)
    if writer is not None:
        writer.close(is_waited_for=False)


def _clean_up(lock: FileLock, temporary: Path | None) -> None:
    lock.close()
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
