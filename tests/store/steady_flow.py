"""A flow that writes all a store has (rows, small and large values, an end), one thing after the other, in one thread.

What it does is the same each time, so that a test can end the process at any point of it.
`python -m tests.store.steady_flow STORE EFFECTS DURABILITY [FAULT]` goes on with the run of the store, or begins one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from szal_nb.errors import StoreError
from szal_nb.model.event import RunCompleted, RunResumed, StepCompleted, StepStarted
from szal_nb.model.state import RunState, StepState
from szal_nb.store import files, runs, writer
from szal_nb.store.database import Durability, open_for_writing
from szal_nb.store.filesystem import FileSystem
from szal_nb.store.runs import RunJournal, RunStore
from tests.store.scribe import NAMES, begun, new_run

RUN = "aaaaaaaaaaaa"
EARLY, UNSYNCED, NO_FOLDER_SYNC = "acknowledge-before-commit", "synchronous-off", "no-folder-sync"
SWALLOWED = "an error is no error"
# No fault: another way to be safe.
WITHOUT_WAL = "without-wal"


def value_of(step: str) -> dict[str, object]:
    """What a step gives: it goes into the row and, being large, into a file."""
    return {step: [step, 1], f"{step}_large": step.encode() * 100_000}


def tell(effects: Path, *words: str) -> None:
    """One line that no end of this process can take back."""
    fd = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, (" ".join(words) + "\n").encode())
    os.close(fd)


def play(path: Path, effects: Path, durability: str = "full", fault: str | None = None) -> None:
    """Goes on with the run of the store, or begins it, to its end."""
    with RunStore.open(path, durability=durability) as store:
        known = store.runs()
        if known and known[0].state.is_final:
            return
        if known:
            journal = store.take_over(RUN)
            steps = store.snapshot(RUN).steps.values()
            missing = tuple(step.name for step in steps if step.state is not StepState.COMPLETED)
            journal.append_sync([RunResumed(at=time.time(), epoch=journal.epoch, reset=missing)])
        else:
            missing = NAMES
            journal = store.begin(new_run(RUN))
            journal.append_sync(begun(time.time()))
        for step in missing:
            run_step(journal, step, effects, fault)
        journal.append_sync([RunCompleted(at=time.time())])


def run_step(journal: RunJournal, step: str, effects: Path, fault: str | None) -> None:
    attempt = journal.epoch
    journal.append_sync([StepStarted(at=time.time(), step=step, attempt=attempt)])
    tell(effects, "began", step)
    values = value_of(step)
    refs = journal.keep(step, attempt, values, values.keys())
    if fault == EARLY:
        tell(effects, "acknowledged", step)
    with contextlib.suppress(*([StoreError] if fault == SWALLOWED else [])):
        journal.append_sync([StepCompleted(at=time.time(), step=step, attempt=attempt, values=refs)])
    if fault != EARLY:
        tell(effects, "acknowledged", step)


def faults_of(folder: Path, *, may_be_live: bool = False) -> list[str]:
    """What is wrong once the run was resumed to its end; `may_be_live`: values for which there was no place."""
    found = []
    with RunStore.open(folder / "runs.db") as store:
        if store.run(RUN).state is not RunState.COMPLETED:
            found.append("the run did not complete")
        refs = {ref.name: ref for step in store.snapshot(RUN).steps.values() for ref in step.values}
        for step in NAMES:
            for name, value in value_of(step).items():
                if may_be_live and name in refs and refs[name].live:
                    continue
                if name not in refs or store.value(RUN, step, name) != value:
                    found.append(f"{name} of {step} is wrong")
    acknowledged = set()
    effects = folder / "effects"
    for line in effects.read_text().splitlines() if effects.exists() else ():
        what, step = line.split()
        if what == "acknowledged":
            acknowledged.add(step)
        elif step in acknowledged:
            found.append(f"{step} was run again")
    with closing(sqlite3.connect(folder / "runs.db")) as connection:
        found += [str(row) for (row,) in connection.execute("PRAGMA integrity_check") if row != "ok"]
    return found


def plant(fault: str | None) -> None:
    """Breaks what keeps a power cut from taking anything, or has it done as on a network file system."""
    if fault == UNSYNCED:

        def unsynced(path: Path, durability: Durability, **settings: str):
            connection = open_for_writing(path, durability, **settings)
            connection.execute("PRAGMA synchronous = OFF")
            return connection

        writer.open_for_writing = unsynced
    elif fault == NO_FOLDER_SYNC:
        files._sync_folder = lambda _: None
    elif fault == WITHOUT_WAL:
        runs.file_system_of = lambda _: FileSystem("nfs4", "/home")


def main() -> None:
    store, effects, durability, *faults = sys.argv[1:]
    fault = faults[0] if faults else None
    plant(fault)
    play(Path(store), Path(effects), durability, fault)


if __name__ == "__main__":
    main()
