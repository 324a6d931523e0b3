"""What a run completed is undone when it ends: in which order, seeing what, after which ends, and by whom.

Each test quotes the sentence that it holds.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.promises.shell import SETUP, Shell, is_gone, states, wait_until, write_notebook

pytestmark = pytest.mark.serial

STEPS = (
    "%%szal_step reserve\nseat = '12A'\ndeed('reserve')",
    "%%szal_step pay\namount = len(seat)\ndeed('pay')",
    "%%szal_rollback reserve\ndeed(f'release {seat}')",
    "%%szal_rollback pay\ndeed(f'refund {amount} for {seat}')",
)
FAILS = "%%szal_step ship\ndeed('ship')\namount / 0"
HOLDS = "%%szal_step ship\nfound = amount\ndeed('begin ship')\nhold('ship')"
UNDONE = ["refund 3 for 12A", "release 12A"]


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def write(shell, *cells, flow="", steps=STEPS):
    setup = SETUP.replace("%szal_flow deeds", f"%szal_flow deeds {flow}")
    write_notebook(shell.folder / "nb.ipynb", setup, *steps, *cells, "run = %szal_run")


def undone(shell):
    return [text for text, _ in shell.deeds() if text.startswith(("refund", "release"))]


def test_a_failing_run_is_rolled_back_in_reverse_order_of_completion_and_recorded_so(shell):
    """On failure (and on cancel or timeout if asked), in reverse order of completion."""
    write(shell, FAILS)

    code, document = shell.json("run", "nb.ipynb")

    (run,) = document["runs"]
    assert undone(shell) == UNDONE
    assert (code, document["ended"]) == (1, "a step failed, or a cell of the notebook")
    assert (run["state"], run["reason"]) == ("rolled_back", "ship failed")
    assert states(run) == {"reserve": "rolled_back", "pay": "rolled_back", "ship": "failed"}
    assert [step["rollback"] for step in run["steps"]] == [
        {"attempts": 1, "error": None},
        {"attempts": 1, "error": None},
        None,
    ]

    code, _, err = shell.call("resume", run["id"])
    assert (code, f"Run {run['id']} was rolled back: what it completed is undone. Start a new run." in err) == (2, True)


def test_a_rollback_that_fails_is_tried_again_recorded_and_the_others_still_run(shell):
    """With retry and timeout of its own, going on after a rollback error and recording it."""
    broken = "%%szal_step broken\nout = seat\ndeed('broken')"
    undo = "%%szal_rollback broken --retries 1 --delay 1ms\ndeed('refund tried')\nraise OSError(out)"
    write(shell, broken, undo, FAILS)

    code, out, err = shell.call("run", "nb.ipynb")

    (run,) = shell.runs()
    found = shell.show(run["id"])
    assert (code, run["state"], run["reason"]) == (1, "failed", "ship failed; broken could not be undone")
    assert sorted(undone(shell)) == sorted([*UNDONE, "refund tried", "refund tried"])
    assert undone(shell).index(UNDONE[0]) < undone(shell).index(UNDONE[1])
    (step,) = [step for step in found["steps"] if step["name"] == "broken"]
    assert step["state"] == "completed"
    assert (step["rollback"]["attempts"], step["rollback"]["error"]["message"]) == (2, "12A")
    assert "rolled back reserve" in err
    assert "broken: its rollback failed: OSError: 12A" in out


def test_a_run_that_was_killed_while_it_was_undone_goes_on_being_undone(shell):
    """Kill the kernel: the run goes on from the last finished step."""
    release = "%%szal_rollback reserve\ndeed(f'begin release {seat}')\nhold('release')"
    write(shell, release, FAILS, steps=(*STEPS[:2], STEPS[3]))
    started = shell.start("run", "nb.ipynb")
    kernel = shell.begun("at release")
    (run,) = shell.runs()
    assert run["state"] == "rolling_back"

    os.kill(kernel, signal.SIGKILL)
    assert shell.end(started)[0] == 138
    assert shell.show(run["id"])["shown_state"] == "crashed"
    code, _, err = shell.call("cancel", run["id"])
    assert (code, f"szal resume {run['id']}" in err) == (2, True), err
    shell.let_go()
    code, _, err = shell.call("resume", run["id"])

    found = shell.show(run["id"])
    assert code == 1, err
    assert (found["state"], states(found)) == (
        "rolled_back",
        {"reserve": "rolled_back", "pay": "rolled_back", "ship": "failed"},
    )
    texts = [text for text, _ in shell.deeds() if not text.startswith("at ")]
    assert texts == ["reserve", "pay", "ship", "refund 3 for 12A", *["begin release 12A"] * 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_undoes_a_headless_run_that_asks_for_it(shell, number):
    """SIGINT and SIGTERM of a headless run end it cleanly, with rollback if asked."""
    write(shell, HOLDS, flow="--rollback-on failure cancel")
    started = shell.start("run", "nb.ipynb")
    kernel = shell.begun("at ship")

    started.send_signal(number)
    code, out, err = shell.end(started)

    (run,) = shell.runs()
    assert (code, run["state"], run["reason"]) == (130, "rolled_back", "interrupted"), (out, err)
    assert undone(shell) == UNDONE
    assert wait_until(lambda: is_gone(kernel), "the end of the kernel")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_undoes_a_run_under_papermill_that_asks_for_it(shell, number):
    """`papermill --engine szal IN OUT` works and gives the same record."""
    write(shell, HOLDS, flow="--rollback-on failure cancel")
    papermill = [str(Path(sys.executable).with_name("papermill")), "--engine", "szal"]
    started = shell.start("nb.ipynb", "out.ipynb", program=papermill)
    kernel = shell.begun("at ship")

    started.send_signal(number)
    code, out, err = shell.end(started)

    (run,) = shell.runs()
    assert (run["state"], run["reason"]) == ("rolled_back", "interrupted"), (out, err)
    assert (code != 0, undone(shell)) == (True, UNDONE)
    assert wait_until(lambda: is_gone(kernel), "the end of the kernel")
    assert (shell.folder / "out.ipynb").exists()


def test_a_second_signal_ends_a_run_that_is_being_undone_and_it_can_be_resumed(shell):
    """SIGINT and SIGTERM of a headless run end it cleanly, with rollback if asked."""
    release = "%%szal_rollback reserve\nseat\nhold('release')\ndeed('released')"
    write(shell, release, HOLDS, flow="--rollback-on cancel", steps=STEPS[:2])
    started = shell.start("run", "nb.ipynb")
    shell.begun("at ship")
    started.send_signal(signal.SIGINT)
    kernel = shell.begun("at release")

    started.send_signal(signal.SIGINT)
    code, _, _ = shell.end(started)

    (run,) = shell.runs()
    assert (code, run["state"], run["shown_state"]) == (130, "rolling_back", "crashed")
    assert wait_until(lambda: is_gone(kernel), "the end of the kernel")
    shell.let_go()
    assert shell.call("resume", run["id"])[0] == 130
    assert [text for text, _ in shell.deeds()].count("released") == 1
    assert shell.show(run["id"])["state"] == "rolled_back"


def test_a_signal_undoes_nothing_where_it_was_not_asked_for(shell):
    """On failure (and on cancel or timeout if asked)."""
    write(shell, HOLDS)
    started = shell.start("run", "nb.ipynb")
    shell.begun("at ship")

    started.send_signal(signal.SIGINT)
    code, _, _ = shell.end(started)

    (run,) = shell.runs()
    assert (code, run["state"], undone(shell)) == (130, "cancelled", [])


def test_a_run_that_takes_too_long_is_undone_if_asked(shell):
    """On failure (and on cancel or timeout if asked)."""
    write(shell, "%%szal_step ship\nimport asyncio\nout = amount\nawait asyncio.sleep(3600)",
          flow="--rollback-on timeout --timeout 3s")  # fmt: skip

    code, document = shell.json("run", "nb.ipynb")

    (run,) = document["runs"]
    assert (code, run["state"], undone(shell)) == (124, "rolled_back", UNDONE)


def test_what_is_missing_is_said_before_the_start(shell):
    """Checked before the run starts, with a message that says what is missing."""
    write(shell, "%%szal_step ship --requires command:no-such-command-anywhere\namount")

    code, out, err = shell.call("run", "nb.ipynb")

    assert (code, shell.deeds(), shell.runs()) == (3, [], [])
    assert "Step 'ship' requires command:no-such-command-anywhere" in out + err


def test_a_rollback_of_no_step_is_refused_before_a_kernel_starts(shell):
    """Every error names the step, says what is wrong and what to do."""
    write(shell, "%%szal_rollback payy\npass")

    code, _, err = shell.call("run", "nb.ipynb")

    assert (code, (shell.folder / ".szal").exists()) == (3, False)
    assert "Step 'payy': cell 6 (id cell-6) is its rollback, but there is no such step. Did you mean pay?" in err
