"""What the database says is what happened, however a run ends: nothing completed is run again, nothing runs twice.

Real processes, real signals. Each deed of a step is a line in a file opened with O_APPEND.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.notebook.kernels import running_kernel
from tests.promises.shell import SETUP, Shell, is_gone, states, wait_until, workers_of, write_notebook

pytestmark = [pytest.mark.serial, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

STEPS = (
    SETUP,
    "%%szal_step first\ndeed('begin first')\na = [1]\ndeed('end first')",
    "%%szal_step second\ndeed('begin second')\nb = a + [2]\ndeed('end second')",
    "%%szal_step third\ndeed('begin third')\nhold('third')\nc = b + [3]\ndeed('end third')",
    "%%szal_step last\ndeed('begin last')\nprint(c)\ndeed('end last')",
    "run = %szal_run",
    "deed('after')",
)


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    write_notebook(tmp_path / "nb.ipynb", *STEPS)
    yield shell
    shell.close()


def the_run(shell):
    (run,) = shell.runs()
    return run["id"]


def saved_cells(run):
    cells = json.loads(Path(run["output"]).read_text())["cells"]
    return {cell["id"]: cell["metadata"].get("papermill", {}).get("status") for cell in cells}


def assert_each_deed_was_done_once(shell, *, besides=()):
    counts = Counter(text for text, _ in shell.deeds() if text.startswith(("begin", "end")))

    assert {text: count for text, count in counts.items() if count != 1 and text not in besides} == {}
    assert set(counts) == {
        f"{what} {step}" for step in ("first", "second", "third", "last") for what in ("begin", "end")
    }
    for step in ("first", "second", "third", "last"):
        workers = workers_of(shell.deeds(), step)
        assert len(workers) == len(set(workers)), f"two bodies of {step} at once: {workers}"


def test_a_killed_run_resumed_at_once_and_killed_again_is_finished_without_running_anything_twice(shell):
    """What the database says is what happened, also after `kill -9`. Nothing completed is run again by a resume, except a step that was marked *rebuilds* before it ran."""
    run = shell.start("run", "nb.ipynb")
    first_kernel = shell.begun("at third")
    name = the_run(shell)

    run.kill()
    # A kernel notices the death of its parent after a second; this one hangs and never does.
    os.kill(first_kernel, signal.SIGSTOP)
    resume = shell.start("resume", name)
    second_kernel = shell.begun("begin third", count=2)
    assert is_gone(first_kernel), "the orphan was ended before its step was run again"

    shell.begun("at third")
    resume.kill()
    again = shell.start("resume", name)
    shell.begun("begin third", count=3)
    assert is_gone(second_kernel)
    shell.let_go()
    code, _, err = shell.end(again)

    assert (code, states(shell.show(name))) == (0, dict.fromkeys(("first", "second", "third", "last"), "completed")), (
        err
    )
    assert_each_deed_was_done_once(shell, besides={"begin third"})
    third = shell.show(name)["steps"][2]
    assert [attempt["state"] for attempt in third["attempts"]] == ["lost", "lost", "completed"]
    origins = {step["name"]: step["origin"] for step in shell.show(name)["steps"]}
    assert origins == {"first": "resumed", "second": "resumed", "third": "ran", "last": "ran"}
    assert shell.call("logs", name, "last")[1] == "[1, 2, 3]\n"

    code, _, err = shell.call("resume", name)
    assert (code, err) == (0, f"Run {name} has completed; there is nothing to resume.\n")


def test_a_killed_kernel_is_told_and_its_run_can_be_resumed(shell):
    """`resume` runs the snapshot, recorded inputs win over re-executed cells; if the notebook has changed since, it says so and offers `migrate` or `--reuse`."""
    run = shell.start("run", "nb.ipynb", "--json")
    kernel = shell.begun("at third")

    os.kill(kernel, signal.SIGKILL)
    code, out, _ = shell.end(run)

    document = json.loads(out)
    name = document["runs"][0]["id"]
    assert (code, document["exit"], document["ended"]) == (138, 138, "the kernel died")
    assert document["runs"][0]["shown_state"] == "crashed"
    shown = shell.call("show", name)[1]
    assert f"Run {name} of deeds version 1: crashed" in shown
    assert f"szal resume {name}" in shown
    assert saved_cells(document["runs"][0]) | {
        "cell-1": "completed",
        "cell-6": "failed",
        "cell-7": "pending",
    } == saved_cells(document["runs"][0])

    shell.let_go()
    (shell.folder / "nb.ipynb").write_text((shell.folder / "nb.ipynb").read_text().replace("a = [1]", "a = [100]"))
    code, out, err = shell.call("resume", name)

    assert code == 0, err
    assert "nb.ipynb has changed since run" in err
    assert f"`szal migrate plan {name} nb.ipynb`" in err
    assert f"`szal run nb.ipynb --reuse {name}`" in err
    assert shell.call("logs", name, "last")[1] == "[1, 2, 3]\n", "the run went on with what it was begun with"
    assert_each_deed_was_done_once(shell, besides={"begin third"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_run_that_is_told_to_stop_says_so_in_its_record(shell, number):
    run = shell.start("run", "nb.ipynb", "--json")
    kernel = shell.begun("at third")

    run.send_signal(number)
    code, out, err = shell.end(run)

    document = json.loads(out)
    found = shell.show(document["runs"][0]["id"])
    assert (code, document["ended"]) == (130, "the run was interrupted or cancelled"), err
    assert wait_until(lambda: is_gone(kernel), "the end of the kernel")
    completed = {"first": "completed", "second": "completed"}
    if number == signal.SIGINT:
        assert (found["state"], states(found)) == (
            "cancelled",
            {**completed, "third": "cancelled", "last": "cancelled"},
        )
    else:
        assert (found["state"], found["shown_state"], states(found)) == (
            "running",
            "crashed",
            {**completed, "third": "running", "last": "pending"},
        )
        assert "signal" in found["reason"] or "shut" in found["reason"]
    assert saved_cells(found) | {"cell-5": "completed", "cell-6": "failed", "cell-7": "pending"} == saved_cells(found)
    assert not any(text == "end third" for text, _ in shell.deeds())


def test_cancel_ends_a_run_of_another_shell_and_puts_down_a_crashed_one(shell):
    run = shell.start("run", "nb.ipynb")
    kernel = shell.begun("at third")
    name = the_run(shell)

    code, document = shell.json("cancel", name)

    assert (code, document["state"]) == (0, "cancelled")
    assert shell.end(run)[0] == 130
    assert wait_until(lambda: is_gone(kernel), "the end of the kernel")


def test_a_run_that_lives_is_not_taken_over(shell):
    run = shell.start("run", "nb.ipynb")
    shell.begun("at third")
    name = the_run(shell)

    code, out, err = shell.call("resume", name)

    assert (code, out) == (2, "")
    assert f"Run {name} is being run by process" in err
    shell.let_go()
    assert shell.end(run)[0] == 0
    assert_each_deed_was_done_once(shell)


def test_a_run_begun_by_hand_whose_kernel_was_killed_goes_on_from_the_shell(shell):
    path = shell.folder / "nb.ipynb"
    with running_kernel(shell.folder, JPY_SESSION_NAME=str(path)) as kernel:
        for number, source in enumerate(STEPS, start=1):
            cell = kernel.run(source, cell_id=f"cell-{number}")
            assert not cell.error, cell.tracebacks
        shell.begun("at third")
        kernel.kill()
    name = the_run(shell)
    # What the author goes on to write is not what the run was begun with.
    path.write_text(path.read_text().replace("begin last", "begin something else"))
    shell.let_go()

    code, _, err = shell.call("resume", name)

    assert (code, states(shell.show(name))) == (0, dict.fromkeys(("first", "second", "third", "last"), "completed")), (
        err
    )
    assert_each_deed_was_done_once(shell, besides={"begin third"})
