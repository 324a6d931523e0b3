"""Runs the same flows of steps that do nothing with szal_nb and its peers, side by side, and prints one table.

Run: make bench-peers, or python -m benchmarks.peers.compare [--steps N]. Each peer is installed into an environment of
its own below build/peers, in the versions of its file of requirements beside this one, and runs in processes of its
own, which take turns. Microseconds a step, the best of several; in brackets the ratio to szal_nb in the same block. A
peer that cannot be installed, or fails, or has no such setting, stands there with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shapes import SHAPES

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENTS = ROOT / "build" / "peers"
BIN = Path(sys.executable).parent
TURNS = 2
# What a process may take, and from when on it is not run a second time, in seconds.
PATIENCE_S = 300
LONG_S = 15

# Those that need no environment of their own.
OURS = ("floors", "szal")
PEERS = ("hamilton", "pipefunc", "langgraph", "dbos")


@dataclass(frozen=True)
class Row:
    """One line of the table: a setting of a script, or the reason why there is none."""

    title: str
    script: str
    setting: str = ""
    reason: str = ""


BLOCKS: Mapping[str, tuple[Row, ...]] = {
    "coroutines, nothing recorded": (
        Row("szal_nb", "szal", "coroutines"),
        Row("floor: TaskGroup", "floors", "coroutines"),
        Row("Hamilton, async driver", "hamilton", "coroutines"),
        Row("LangGraph, tasks", "langgraph", "coroutines"),
        Row("pipefunc", "pipefunc", reason="takes functions only"),
        Row("DBOS", "dbos", reason="has no run without a database"),
    ),
    "functions called in place, nothing recorded": (
        Row("szal_nb, --executor main", "szal", "functions"),
        Row("floor: a loop", "floors", "functions"),
        Row("Hamilton, sync driver", "hamilton", "functions"),
        Row("pipefunc, map", "pipefunc", "functions"),
        Row("LangGraph", "langgraph", reason="gives functions to threads; see its tasks above"),
        Row("DBOS", "dbos", reason="has no run without a database"),
    ),
    "functions on threads, nothing recorded": (
        Row("szal_nb", "szal", "threads"),
        Row("pipefunc, map_async", "pipefunc", "threads"),
        Row("Hamilton", "hamilton", reason="has threads for parallel blocks only, not for the steps of a flow"),
    ),
    "a record in SQLite, synced to the disk": (
        Row("szal_nb, full", "szal", "full"),
        Row("floor: TaskGroup, writer", "floors", "full"),
        Row("LangGraph, checkpointer", "langgraph", "full"),
        Row("DBOS, step after step", "dbos", "in order"),
        Row("DBOS, steps at once", "dbos", "at once"),
        Row("Hamilton", "hamilton", reason="has a cache of results, but no record of runs to resume"),
        Row("pipefunc", "pipefunc", reason="keeps values in files, but no record of runs in a database"),
    ),
    "a record in SQLite, not synced": (
        Row("szal_nb, fast", "szal", "fast"),
        Row("floor: TaskGroup, writer", "floors", "fast"),
        Row("LangGraph", "langgraph", reason="its checkpointer has no such setting"),
        Row("DBOS", "dbos", reason="it has no such setting for SQLite"),
    ),
}


class Unable(Exception):
    """Why a figure is missing."""


@dataclass(frozen=True)
class Figure:
    """Seconds to build a flow, microseconds a step to run it, and seconds that the process took in all."""

    build_s: float
    step_us: float
    process_s: float = 0.0


def install(peer: str) -> None:
    """Makes the environment of a peer, unless it is there with the same requirements. Raises Unable."""
    folder, wanted = ENVIRONMENTS / peer, (HERE / f"{peer}.txt").read_text(encoding="utf-8")
    stamp = folder / ".installed"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print(f"installing {peer} …", file=sys.stderr)
    uv = str(BIN / "uv")
    run_quietly([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], patience_s=PATIENCE_S)
    run_quietly(
        [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(HERE / f"{peer}.txt")],
        patience_s=PATIENCE_S,
    )
    stamp.write_text(wanted, encoding="utf-8")


def run_quietly(command: list[str], *, patience_s: float) -> str:
    """What the command prints. Raises Unable with the last line of what it complains of."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    surroundings.pop("VIRTUAL_ENV", None)
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=patience_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unable(f"not done after {patience_s:g} s") from None
    except OSError as error:
        raise Unable(str(error)) from error
    if ended.returncode:
        said = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        raise Unable(said[-1][:100] if said else f"ended with {ended.returncode}")
    return ended.stdout


def measure(script: str, setting: str, shape: str, steps: int) -> Figure:
    """One process of a script. Raises Unable."""
    python = sys.executable if script in OURS else str(ENVIRONMENTS / script / "bin" / "python")
    begun = time.perf_counter()
    printed = run_quietly(
        [python, "-m", f"benchmarks.peers.run_{script}", setting, shape, str(steps)], patience_s=PATIENCE_S
    )
    figures = json.loads(printed.splitlines()[-1])
    return Figure(figures["build_s"], figures["run_s"] / steps * 1e6, time.perf_counter() - begun)


def better(one: Figure | None, other: Figure) -> Figure:
    """The best of both."""
    if one is None:
        return other
    return Figure(min(one.build_s, other.build_s), min(one.step_us, other.step_us), max(one.process_s, other.process_s))


Cell = Figure | str


def figures_of(
    rows: tuple[Row, ...],
    steps: int,
    missing: Mapping[str, str],
    measured: Callable[[str, str, str, int], Figure] = measure,
) -> dict[Row, dict[str, Cell]]:
    """The figures of a block by row and shape, or the reason why there is none; rows take turns."""
    found: dict[Row, dict[str, Cell]] = {row: {} for row in rows}
    for shape in SHAPES:
        for _ in range(TURNS):
            for row in rows:
                before = found[row].get(shape)
                reason = row.reason or missing.get(row.script, "")
                if reason or isinstance(before, str):
                    found[row][shape] = reason or str(before)
                    continue
                if before is not None and before.process_s > LONG_S:
                    continue
                try:
                    found[row][shape] = better(before, measured(row.script, row.setting, shape, steps))
                except Unable as error:
                    found[row][shape] = str(error)
    return found


def lines_of(found: Mapping[Row, Mapping[str, Cell]]) -> list[str]:
    """The lines of a block; the first row is what the others are compared with."""
    first = next(iter(found.values()))
    return [line_of(row, cells, first) for row, cells in found.items()]


def line_of(row: Row, cells: Mapping[str, Cell], first: Mapping[str, Cell]) -> str:
    """One row: microseconds a step and the ratio of each shape, then what building the DAG took."""
    reasons = dict.fromkeys(cell for cell in cells.values() if isinstance(cell, str))
    texts = []
    for shape in SHAPES:
        cell, base = cells[shape], first[shape]
        if isinstance(cell, str):
            texts.append(f"{'-':>19}")
        else:
            ratio = f"({cell.step_us / base.step_us:.2f})" if isinstance(base, Figure) else ""
            texts.append(f"{cell.step_us:>10.1f}{ratio:>9}")
    dag = cells["dag"]
    build = f"{dag.build_s * 1000:>9.0f}" if isinstance(dag, Figure) else f"{'-':>9}"
    line = f"  {row.title:<26}{''.join(texts)}{build}"
    return f"{line}  {'; '.join(reasons)}" if reasons else line


def main() -> None:
    """Installs what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000)
    steps = parser.parse_args().steps
    missing = {}
    for peer in PEERS:
        try:
            install(peer)
        except Unable as error:
            missing[peer] = f"cannot be installed: {error}"
    print(f"µs a step of {steps:,} that do nothing (ratio to szal_nb), and ms to build the DAG")
    print(f"  {'':<26}" + "".join(f"{shape:>10}{'':9}" for shape in SHAPES) + f"{'build':>9}")
    for title, rows in BLOCKS.items():
        print(title, flush=True)
        print("\n".join(lines_of(figures_of(rows, steps, missing))), flush=True)


if __name__ == "__main__":
    main()
