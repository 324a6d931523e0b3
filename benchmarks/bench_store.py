"""What recording a run costs, beside a raw writer thread that inserts one row a step into the same SQLite.

Run: python -m benchmarks.bench_store [--check]. Floor: a TaskGroup with one task a step, each waiting for its own row
to be committed by a thread that joins what waits into one transaction. `run`: the whole engine with a journal, two
events a step and the tables that follow from them. Microseconds a step, the best of several rounds, floor and run
taken in turns, because the speed of a disk changes from minute to minute.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_engine import Nothing, graph_of
from benchmarks.floors import written
from benchmarks.shapes import dependencies_of
from szal_nb.api.launch import Surround, resume_run
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.runner import Runner
from szal_nb.model.event import RunCreated, RunStarted, StepCompleted, StepStarted
from szal_nb.model.graph import FlowGraph
from szal_nb.store.runs import NewRun, RunStore, new_run_id

ROUNDS = 5
STEPS = 1_000
TARGETS = {"chain": 1.5, "fan": 2.5, "dag": 2.5}
LISTED = 10_000
LISTING_S = 0.3
ARRAY_RATIO = 1.5
FINISHED = 10_000
RESUME_S = 1.0


async def recorded(store: RunStore, graph: FlowGraph) -> float:
    """Seconds of a run of ours with its record."""
    run_id, body = new_run_id(), Nothing(is_async=True)
    # The text of the flow is made here.
    begun = time.perf_counter()
    journal = store.begin(NewRun(run_id=run_id, graph=graph))
    begin_s = time.perf_counter() - begun
    runner = Runner(RunMachine(graph), [body] * len(graph.nodes), run_id=run_id, inputs={}, journal=journal)
    begun = time.perf_counter() - begin_s
    await runner.run()
    seconds = time.perf_counter() - begun
    # As a run does that has ended: several that are open share their transactions.
    await asyncio.to_thread(journal.close)
    if store.run(run_id).state != "completed":
        raise RuntimeError("the run did not complete")
    return seconds


def compare_runs(folder: Path, durability: str) -> list[str]:
    """Prints the costs of each shape; gives the shapes that miss their target."""
    missed = []
    with RunStore.open(folder / f"{durability}.db", durability=durability) as store:
        for shape, target in TARGETS.items():
            waits, graph = dependencies_of(shape, STEPS), graph_of(shape, STEPS)
            floors, runs = [], []
            for _ in range(ROUNDS):
                floors.append(asyncio.run(written(waits, folder / f"raw-{durability}.db", durability)))
                runs.append(asyncio.run(recorded(store, graph)))
            least, own = min(floors) / STEPS * 1e6, min(runs) / STEPS * 1e6
            print(f"{durability:<6}{shape:<7}{least:>9.1f}{own:>9.1f}{own / least:>7.2f}{target:>8.1f}")
            if own > least * target:
                missed.append(f"{durability} {shape}")
    return missed


def time_of(call: Callable[[], Any]) -> float:
    """Seconds of one call, the best of several."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begun)
    return best


def compare_arrays(folder: Path) -> list[str]:
    """Prints what keeping 100 MB costs beside writing them; gives what misses its target."""
    array = np.random.default_rng(1).random(12_500_000)
    raw_file = folder / "raw.bin"

    def write() -> None:
        with raw_file.open("wb", buffering=0) as file:
            view = array.data.cast("B")
            while view:
                view = view[file.write(view) :]
        raw_file.unlink()

    with RunStore.open(folder / "arrays.db", durability="fast") as store:
        journal = store.begin(NewRun(run_id=new_run_id(), graph=graph_of("chain", 1)))

        def keep() -> None:
            (ref,) = journal.keep("s0", 1, {"a": array}, {"a"})
            store.files.path_of(str(ref.hash)).unlink()  # so that the next round writes it again

        least, own = time_of(write), time_of(keep)
    print(
        f"100 MB array: written {least * 1000:.0f} ms, kept {own * 1000:.0f} ms, ratio {own / least:.2f} (target 1.5)"
    )
    return ["100 MB array"] if own > least * ARRAY_RATIO else []


def compare_listing(folder: Path) -> list[str]:
    """Prints the time to open and list 10,000 runs; gives what misses its target."""
    path = folder / "many.db"
    graph = graph_of("chain", 2)

    async def fill(store: RunStore) -> None:
        async def one() -> None:
            journal = store.begin(NewRun(run_id=new_run_id(), graph=graph, params={"region": "EU"}))
            created = RunCreated(at=time.time(), flow="chain", steps=("s0", "s1"))
            await journal.append(
                [created, RunStarted(at=time.time()), StepStarted(at=time.time(), step="s0", attempt=1)]
            )
            await journal.append([StepCompleted(at=time.time(), step="s0", attempt=1)])

        await asyncio.gather(*(one() for _ in range(LISTED)))

    with RunStore.open(path, durability="fast") as store:
        asyncio.run(fill(store))

    def open_and_list() -> None:
        with RunStore.open(path, read_only=True) as store:
            if len(store.runs()) != LISTED:
                raise RuntimeError("runs are missing")

    seconds = time_of(open_and_list)
    print(f"{LISTED:,} runs opened and listed in {seconds:.3f} s (target {LISTING_S})")
    return ["listing"] if seconds > LISTING_S else []


def compare_resume(folder: Path) -> list[str]:
    """Prints how long a run of which 10,000 steps have completed takes to go on with its last one."""
    graph = graph_of("dag", FINISHED + 1)
    names = [node.step.name for node in graph.nodes]
    bodies = dict.fromkeys(names, Nothing(is_async=True))

    async def begin(store: RunStore) -> str:
        run_id = new_run_id()
        journal = store.begin(NewRun(run_id=run_id, graph=graph))
        now = time.time()
        await journal.append([RunCreated(at=now, flow="dag", steps=tuple(names)), RunStarted(at=now)])
        for first in range(0, FINISHED, 500):
            some = names[first : min(first + 500, FINISHED)]
            await journal.append([StepStarted(at=now, step=name, attempt=1) for name in some])
            await journal.append([StepCompleted(at=now, step=name, attempt=1) for name in some])
        await asyncio.to_thread(journal.close)
        return run_id

    async def go_on(run_id: str) -> float:
        begun = time.perf_counter()
        with RunStore.open(folder / "resumed.db", durability="full") as store:
            handle = resume_run(run_id, graph, bodies, {}, Surround(store=store))
            await handle.wait()
            seconds = time.perf_counter() - begun
        attempts = sum(step.attempt for step in handle.snapshot.steps.values())
        if handle.state != "completed" or attempts != FINISHED + 1:
            raise RuntimeError(f"the run {handle.state} after {attempts} attempts")
        return seconds

    best = float("inf")
    for _ in range(3):
        with RunStore.open(folder / "resumed.db", durability="full") as store:
            run_id = asyncio.run(begin(store))
        best = min(best, asyncio.run(go_on(run_id)))
    print(f"{FINISHED:,} finished steps: store opened, resumed and ended in {best:.3f} s (target {RESUME_S:g})")
    return ["resume"] if best > RESUME_S else []


def main() -> int:
    """Prints the tables; 1 if `--check` is asked for and a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    is_checked = parser.parse_args().check
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        print(f"recorded run, µs a step, {STEPS} steps (SQLite {sqlite3.sqlite_version})")
        print(f"{'':<6}{'shape':<7}{'floor':>9}{'run':>9}{'ratio':>7}{'target':>8}")
        for durability in ("fast", "full"):
            missed += compare_runs(Path(folder), durability)
        missed += compare_arrays(Path(folder))
        missed += compare_listing(Path(folder))
        missed += compare_resume(Path(folder))
    for what in missed if is_checked else ():
        print(f"missed: {what}")
    return 1 if is_checked and missed else 0


if __name__ == "__main__":
    sys.exit(main())
