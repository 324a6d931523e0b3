"""A real kernel, driven by nbclient, is killed again and again in the middle of one run, which comes to its end.

Five times; twenty in `make torture`.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

from szal_nb.model.event import StepCompleted
from szal_nb.store.runs import RunStore
from tests.promises.shell import SETUP, Shell, wait_until, write_notebook
from tests.store.scribe import keep_events

pytestmark = [pytest.mark.serial, pytest.mark.skipif(sys.platform != "linux", reason="ends kernels by signals")]

KILLS = int(os.environ.get("SZAL_TORTURE", "20"))
STEPS = 4 * KILLS
# The moment of each kill: so many deeds after the last one, each of a few milliseconds.
FURTHEST = 6


def cells():
    yield SETUP
    for n in range(STEPS):
        before = f"v{n - 1}" if n else "0"
        yield (
            f"%%szal_step s{n}\ndeed('begin s{n}')\nv{n} = {before} + 1\n"
            f"time.sleep(0.003)\ndeed('end s{n}')\ntime.sleep(0.003)"
        )
    yield "run = %szal_run"


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    write_notebook(tmp_path / "nb.ipynb", *cells())
    yield shell
    shell.close()


def completed_in(path):
    with RunStore.open(path, read_only=True) as store:
        (run,) = store.runs()
        return run.id, {event.step for event in store.events(run.id) if isinstance(event, StepCompleted)}


def lose_a_completion(path, run):
    """A fault: the store has not kept what it said that it had."""
    with RunStore.open(path, read_only=True) as store:
        events = store.events(run)
    last = max(n for n, event in enumerate(events) if isinstance(event, StepCompleted))
    with closing(sqlite3.connect(path)) as connection, connection:
        keep_events(connection, run, events[:last])
        connection.execute("UPDATE runs SET events = ? WHERE id = ?", (last, run))


def kill_again_and_again(shell, kills=KILLS, least=1, harm=None):
    """What was run again although it had completed, after which kill, and the run."""
    chance = random.Random(3)
    store = shell.folder / ".szal" / "runs.db"
    command, repeated, seen = ["run", "nb.ipynb"], [], 0
    completed: set[str] = set()
    run = ""
    for kill in range(kills + 1):
        process = shell.start(*command)
        if kill < kills:
            enough = seen + chance.randint(least, least + FURTHEST - 1)
            deeds = wait_until(lambda enough=enough: shell.deeds()[enough - 1 :] and shell.deeds(), "more deeds")
            os.kill(deeds[-1][1], signal.SIGKILL)
        code, _, err = shell.end(process)
        assert code == (138 if kill < kills else 0), err
        deeds = shell.deeds()
        repeated += [(kill, text) for text, _ in deeds[seen:] if text.split()[-1] in completed]
        seen = len(deeds)
        run, completed = completed_in(store)
        command = ["resume", run]
        if harm is not None and kill < kills:
            harm(store, run)
    return run, repeated


def test_a_kernel_that_is_killed_again_and_again_runs_nothing_again_that_had_completed(shell):
    run, repeated = kill_again_and_again(shell)

    assert repeated == []
    shown = shell.show(run)
    assert {step["state"] for step in shown["steps"]} == {"completed"}
    assert shown["steps"][-1]["values"][0]["summary"] == str(STEPS)
    # At most the step that was under way is run again after a kill.
    lost = sum(attempt["state"] == "lost" for step in shown["steps"] for attempt in step["attempts"])
    assert sum(len(step["attempts"]) for step in shown["steps"]) == STEPS + lost
    assert 0 < lost <= KILLS


def test_a_store_that_forgets_a_completion_is_found_out(shell):
    _, repeated = kill_again_and_again(shell, kills=1, least=12, harm=lose_a_completion)

    assert len(repeated) == 2  # its begin and its end
