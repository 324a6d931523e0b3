"""What a panel asks of the runs of a kernel, over a comm of its own."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.serial


def test_a_panel_approves_and_skips_steps_of_a_run_that_the_kernel_runs(kernel, notebook):
    notebook.step("ask --approve 'Go?'", "asked = 1")
    notebook.step("later --approve 'Go on?'", "late = 1")
    notebook.step("plain", "done = 2")
    notebook.ok("run = %szal_run")
    run_id = notebook.value("run.id")
    told = kernel.open_comm("szal")
    kernel.until(lambda: told)

    def ask(number, action, step=None, run=run_id):
        kernel.tell(told, {"id": number, "action": action, "run": run, **({"step": step} if step else {})})
        kernel.until(lambda: told[-1].get("id") == number and told[-1]["type"] != "ack")
        return told[-1]

    assert (told[0]["type"], "skip" in told[0]["actions"]) == ("hello", True)
    assert ask(1, "approve", "ask") == {"type": "done", "id": 1}
    assert {"type": "ack", "id": 1} in told
    assert ask(2, "skip", "later")["type"] == "done"
    notebook.ok("await run")
    assert notebook.value("[run[s].state for s in ('ask', 'later', 'plain')]") == [
        "completed", "skipped", "completed",
    ]  # fmt: skip
    assert ask(3, "skip", "plain") == {"type": "refused", "id": 3, "text": "There is no run going on."}
    assert ask(4, "skip", "nothing")["text"] == "This flow has no step 'nothing'."
    assert ask(5, "delete")["type"] == "refused"
    assert ask(6, "pause", run="cafe")["type"] == "unknown"
    assert ask(7, "pause", run=run_id[:3])["type"] == "unknown"
