"""SIGKILL at random times: what was acknowledged is there, what was completed is not run again, all runs end."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from szal_nb.model.state import RunState, StepState
from szal_nb.store.runs import RunStore
from tests.store.kill_target import FAULT, FLOWS, STEPS

# `make torture` asks for more.
KILLS = int(os.environ.get("SZAL_TORTURE", "500"))


@dataclass
class Report:
    """What was found wrong. `lost`: acknowledged and not in the store; `again`: begun after it was acknowledged."""

    kills: int
    lost: list[str]
    again: list[str]
    unfinished: list[str]
    damage: list[str]

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.again or self.unfinished or self.damage)


def kill_workers(folder: Path, kills: int, *options: str, seed: int = 1) -> Report:
    """Kills `kills` workers at random times, lets the last one end, and compares effects and record."""
    store, effects = folder / "runs.db", folder / "effects"
    command = [sys.executable, "-m", "tests.store.kill_target", str(store), str(effects), *options]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    chance = random.Random(seed)
    done = 0
    try:

        def tell(line: str) -> int:
            server.stdin.write(line + "\n")
            server.stdin.flush()
            return int(server.stdout.readline())

        for _ in range(kills):
            pid = tell("begin")
            time.sleep(chance.uniform(0.002, 0.13))
            os.kill(pid, signal.SIGKILL)
            done += tell("killed") == -signal.SIGKILL
        tell("begin")
        assert tell("wait") == 0
    finally:
        server.stdin.close()
        server.wait(timeout=30)
        server.stdout.close()
    return compare(store, effects.read_text().splitlines(), done)


def compare(path: Path, effects: list[str], kills: int) -> Report:
    with RunStore.open(path) as store:
        snapshots = {run.id: store.snapshot(run.id) for run in store.runs()}
        values = {(run, step) for run in snapshots for step in STEPS if store.value(run, step, step) == [run, step]}
    completed = {
        (run, step.name)
        for run, snapshot in snapshots.items()
        for step in snapshot.steps.values()
        if step.state is StepState.COMPLETED
    }
    acknowledged: set[tuple[str, ...]] = set()
    lost, again = [], []
    for line in effects:
        what, *key = line.split()
        if what == "acknowledged":
            acknowledged.add(tuple(key))
        elif what == "began" and tuple(key) in acknowledged:
            again.append(line)
    attempts = Counter((run, step.name) for run, snapshot in snapshots.items() for step in snapshot.steps.values())
    lost = [" ".join(key) for key in acknowledged - (completed & values)]
    with closing(sqlite3.connect(path)) as connection:
        damage = [row[0] for row in connection.execute("PRAGMA integrity_check")]
        damage += [str(row) for row in connection.execute("PRAGMA foreign_key_check")]
    unfinished = [run for run, snapshot in snapshots.items() if snapshot.state is not RunState.COMPLETED]
    assert len(attempts) >= FLOWS * len(STEPS)
    return Report(kills, lost, again, unfinished, [line for line in damage if line != "ok"])


@pytest.mark.serial
def test_nothing_acknowledged_is_lost_or_run_again_when_its_process_is_killed(tmp_path):
    report = kill_workers(tmp_path, KILLS)

    assert report.kills >= KILLS * 0.8
    assert report.is_clean, report


@pytest.mark.serial
def test_nor_is_it_where_a_commit_is_written_over_the_file(tmp_path):
    """On a network file system, where WAL is unsafe, another way."""
    report = kill_workers(tmp_path, KILLS // 5, "--without-wal")

    assert report.kills >= KILLS // 5 * 0.8
    assert report.is_clean, report


@pytest.mark.serial
def test_the_kill_test_notices_a_step_that_is_acknowledged_before_its_commit(tmp_path):
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = kill_workers(folder, 10, "--fault", FAULT, seed=seed)
        if report.again or report.lost:
            return
    pytest.fail("the planted fault went unnoticed")
