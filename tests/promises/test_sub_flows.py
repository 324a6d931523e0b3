"""A step runs a flow, one of whose steps runs another: the process is killed inside, twice, and what completed stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import szal_nb as szal
from szal_nb.api.past import replay
from szal_nb.store.archive import export_run, import_run
from szal_nb.store.collect import collect
from szal_nb.store.doctor import Level, examine
from szal_nb.store.runs import RunStore
from tests.notebook.kernels import running_kernel
from tests.promises.paying_flow import paying, run_paying
from tests.promises.shell import SETUP, Shell, states, write_notebook

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


def called_by(executor, way, store, **options):
    """A run of a flow with one step, which runs `paying`; it is recorded in `store`, if that is not None."""
    flow = szal.Flow("outer", executor=executor)

    def run():
        return run_paying()

    async def call():
        return (await paying.call({"n": 1}, store=None)).pay

    def thread():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(run_paying).result()

    flow.step(name="outer", **options)({"run": run, "call": call, "thread": thread}[way])
    return szal.run(flow, store=store)


@pytest.mark.parametrize(
    ("executor", "way"), [("thread", "run"), ("thread", "call"), ("thread", "thread"), ("process", "run")]
)
def test_a_step_that_must_not_run_twice_is_run_by_no_step_that_may(executor, way, tmp_path):
    """A step that was running when the process died is run again as a new attempt (or held for a person, if marked `--once`)."""
    refused = called_by(executor, way, tmp_path / "runs.db")

    assert (refused.state, refused["outer"].error.type) == ("failed", "InvalidStep")
    assert "'pay': it is marked --once, and step 'outer', which runs its flow 'paying', is not" in str(
        refused["outer"].error.message
    )
    assert called_by(executor, way, tmp_path / "runs.db", once=True)["outer"].value == 1
    assert called_by(executor, way, None)["outer"].value == 1, "nothing is resumed that has no record"


NOTEBOOK = (
    SETUP,
    (
        "import szal_nb as szal\ninner = szal.Flow('inner')\n"
        "@inner.step\ndef before(n):\n    deed('begin before')\n    return n\n"
        "@inner.step(once=True)\ndef pay(before):\n    deed('begin pay')\n    hold('pay')\n    return before + 1"
    ),
    "%%szal_step load\ndeed('begin load')\nn = 1",
    "%%szal_step outer --once\npaid = (await inner.call({'n': n})).pay",
    "%%szal_step last\ndeed('begin last')\nprint(paid)",
    "run = %szal_run",
)


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    write_notebook(tmp_path / "nb.ipynb", *NOTEBOOK)
    yield shell
    shell.close()


def begun(shell):
    return [text for text, _ in shell.deeds() if text.startswith("begin")]


@pytest.mark.serial
@pytest.mark.parametrize("way", ["shell", "notebook"])
def test_what_must_not_run_twice_in_the_flow_of_a_step_is_held_for_a_person(shell, way):
    """Or held for a person, if marked `--once`."""
    running = shell.start("run", "nb.ipynb")
    os.kill(shell.begun("at pay"), signal.SIGKILL)
    assert shell.end(running)[0] == 138
    (run,) = (run["id"] for run in shell.runs() if run["flow"] == "deeds")
    shell.let_go()
    done = ["begin load", "begin before", "begin pay"]

    if way == "shell":
        assert shell.call("resume", run)[0] == 4
    else:
        with running_kernel(shell.folder) as kernel:
            for number, source in enumerate(NOTEBOOK[:-1], start=1):
                assert not kernel.run(source, cell_id=f"cell-{number}").error
            # Nobody is at the front end: the cell ends where a person is needed.
            assert "outer" in kernel.run("resumed = %szal_resume", may_ask=False).error
    assert begun(shell) == done
    assert states(shell.show(run)) == {"load": "completed", "outer": "waiting", "last": "pending"}

    assert shell.call("approve", run, "outer")[0] == 0
    code, _, err = shell.call("resume", run)
    assert (code, begun(shell)) == (0, [*done, "begin before", "begin pay", "begin last"]), err
