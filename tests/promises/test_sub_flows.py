"""A step runs a flow, one of whose steps runs another: the process is killed inside, twice, and what completed stays."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from szal_nb.api.past import replay
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.doctor import Level, examine
from szal_nb.store.runs import RunStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ends processes by signals")

PROGRAM = """
import os, signal, sys
import szal_nb as szal

def deed(text):
    with open("deeds.log", "a") as log:
        print(text, file=log, flush=True)
    if os.path.exists(f"kill in {text}"):
        os.kill(os.getpid(), signal.SIGKILL)

inmost = szal.Flow("inmost")

@inmost.step(cache=True)
def third(n):
    deed(f"third of {n}")
    return n + 1

@inmost.step(cache=True)
def fourth(third):
    deed(f"fourth of {third}")
    return third + 1

inner = szal.Flow("inner")

@inner.step(cache=True)
def first(n):
    deed(f"first of {n}")
    return n * 10

@inner.step(cache=True)
async def second(first):
    deed(f"second of {first}")
    return (await inmost.call({"n": first})).fourth

outer = szal.Flow("outer")

@outer.step
def numbers():
    deed("numbers")
    return [1, 2]

@outer.step(map="numbers", max_parallel=1)
async def parts(numbers):
    deed(f"part {numbers}")
    return (await inner.call({"n": numbers})).second

@outer.step
def total(parts):
    deed("total")
    return sum(parts)

how, run, *more = [*sys.argv[1:], ""]
made = szal.run(outer) if how == "run" else szal.resume(outer, run) if how == "resume" else szal.fork(outer, run, "total")
print(made.state, made.values.total)
"""


@pytest.fixture
def program(tmp_path):
    """Runs the program; it is killed in the step that is named, which it must reach."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def go(*arguments, killed_in=None):
        before = len(deeds(tmp_path))
        if killed_in is not None:
            (tmp_path / f"kill in {killed_in}").touch()
        ended = subprocess.run(
            [sys.executable, "program.py", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        if killed_in is not None:
            (tmp_path / f"kill in {killed_in}").unlink()
        assert ended.returncode == (0 if killed_in is None else -signal.SIGKILL), ended.stderr
        return ended.stdout.strip(), deeds(tmp_path)[before:]

    return go


def deeds(folder):
    log = folder / "deeds.log"
    return log.read_text().splitlines() if log.exists() else []


def test_what_the_flows_of_a_step_had_completed_is_not_run_again(program, tmp_path):
    """Resume: completed steps are not run again; of flows that a step calls those that are marked `cache`."""
    path = tmp_path / ".szal" / "runs.db"

    assert program("run", killed_in="fourth of 11")[1] == [
        "numbers",
        *("part 1", "first of 1", "second of 10", "third of 10", "fourth of 11"),
    ]
    with RunStore.open(path) as store:
        (run,) = (run.id for run in store.runs(flow="outer"))
        assert {run.shown_state for run in store.runs()} == {"crashed"}
    assert program("resume", run, killed_in="fourth of 21")[1] == [
        *("part 1", "second of 10", "fourth of 11"),
        *("part 2", "first of 2", "second of 20", "third of 20", "fourth of 21"),
    ]
    with RunStore.open(path) as store:
        # Of the cut ones nothing may go, whoever asks.
        gone = collect(store, [run.id for run in store.runs()], now=9e9).runs
        assert {len(gone), *(found.shown_state for found in store.runs())} == {2, "crashed"}
    assert program("resume", run) == ("completed 34", ["part 2", "second of 20", "fourth of 21", "total"])
    assert program("fork", run) == ("completed 34", ["total"])

    with RunStore.open(path) as store, RunStore.open(tmp_path / "other.db") as other:
        steps = store.snapshot(run).steps
        assert [(step.state, [attempt.state for attempt in step.attempts]) for step in steps.values()] == [
            ("completed", ["completed"]),
            ("completed", ["lost", "lost", "completed"]),
            ("completed", ["completed"]),
        ]
        export_run(store, run, tmp_path / "run.szal")
        assert replay(other, import_run(other, tmp_path / "run.szal").id).values.total == 34
    assert [found for found in examine(path) if found.level is Level.PROBLEM] == []
