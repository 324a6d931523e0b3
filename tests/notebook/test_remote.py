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
    notebook.ok("while run['ask'].state != 'waiting':\n    await asyncio.sleep(0.01)")
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


@pytest.fixture
def panel(kernel):
    """A panel's end of the comm, as JupyterLab opens it: on a subshell."""
    return Panel(kernel)


RECORD = "get_ipython().find_line_magic('szal_run').__self__.runs.store()"


class Panel:
    def __init__(self, kernel):
        self._kernel = kernel
        self._number = 0
        self.told = kernel.open_comm("szal", on_subshell=True)
        kernel.until(lambda: self.told)

    def send(self, action, **more):
        self._number += 1
        self._kernel.tell(self.told, {"id": self._number, "action": action, **more})
        return self._number

    def answer(self, number, *kinds, key="id"):
        def found():
            return next((told for told in self.told if told.get(key) == number and told["type"] in kinds), None)

        self._kernel.until(found)
        return found()

    def run_to_its_end(self, action, **more):
        return self.end_of(self.ask(action, flow="notebook", **more)["run"])

    def end_of(self, run):
        while self.ask("approve", run=run, step="load").get("text") != "There is no run going on.":
            """It ends by itself."""
        return run

    def ask(self, action, **more):
        return self.answer(self.send(action, **more), "done", "refused", "unknown")


def test_a_panel_begins_runs_while_a_cell_awaits(kernel, notebook, panel, tmp_path):
    notebook.step("load", "x = 1")
    notebook.step("double", "y = 2 * x")
    waiting = notebook.begin(
        f"import asyncio, pathlib\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists():\n    await asyncio.sleep(0.01)"
    )

    first = panel.run_to_its_end("run")
    runs = [first, panel.run_to_its_end("fork", run=first, step="double"), panel.run_to_its_end("only", step="load")]
    assert not waiting.is_idle
    (tmp_path / "go").touch()
    kernel.until(lambda: waiting.is_idle)
    steps = [f"[(s.name, s.state.value, s.origin) for s in {RECORD}.snapshot({run!r}).steps.values()]" for run in runs]
    assert [notebook.value(each) for each in steps] == [
        [("load", "completed", "ran"), ("double", "completed", "ran")],
        [("load", "completed", "given"), ("double", "completed", "ran")],
        [("load", "completed", "ran"), ("double", "skipped", None)],
    ]


def test_a_panel_is_heard_while_a_cell_blocks_and_its_run_begins_after_that(kernel, notebook, panel, tmp_path):
    notebook.step("load", "x = 1")
    blocking = notebook.begin(
        f"import time, pathlib\npathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
        f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists():\n    time.sleep(0.01)"
    )
    kernel.until((tmp_path / "began").exists)

    asked = panel.send("run", flow="notebook")
    assert panel.answer(asked, "ack")
    assert panel.answer(panel.send("ping"), "ack")
    assert not blocking.is_idle
    (tmp_path / "go").touch()
    assert panel.answer(asked, "done")["run"]


def test_a_panel_goes_on_with_a_run_and_its_person_counts_as_present(kernel, notebook, panel, tmp_path):
    there = tmp_path / "there"
    broken = notebook.step("load", f"import pathlib\nassert pathlib.Path({str(there)!r}).exists(), 'not there'")
    run = panel.run_to_its_end("run")
    # Where nobody is at the front end an error is only printed.
    assert "not there" in broken.tracebacks
    assert notebook.value(f"{RECORD}.run({run!r}).interactive")
    there.touch()

    # By the run that the kernel still has, and by its record.
    assert panel.ask("resume", run=run)["type"] == "done"
    assert panel.end_of(run) == run
    there.unlink()
    other = panel.run_to_its_end("run")
    there.touch()
    assert panel.run_to_its_end("resume", run=other) == other
    assert [notebook.value(f"{RECORD}.run({each!r}).state.value") for each in (run, other)] == ["completed"] * 2


def test_what_a_panel_asks_in_vain_says_why(panel, notebook):
    assert panel.ask("run", flow="nowhere")["type"] == "unknown"
    notebook.step("load", "x = 1")
    assert "Did you mean load?" in panel.ask("only", flow="notebook", step="laod")["text"]
    assert "cannot be asked to 'dance'" in panel.ask("dance", flow="notebook")["text"]
    for wrong in ({"flow": 1}, {"flow": ""}, {"flow": "notebook", "step": ["x"]}, {"flow": "notebook", "deleted": 3}):
        assert panel.ask("run", **wrong)["type"] == "refused"


def test_a_panel_is_told_a_run_live_until_it_ends_or_the_panel_has_seen_enough(kernel, notebook, panel):
    notebook.step("ask --approve 'Go?'", "print('gone')\nasked = 1")
    notebook.step("then", "late = asked")
    run = panel.ask("run", flow="notebook")["run"]
    tabs = [panel.send("follow", run=run) for _ in range(2)]
    pictures = [panel.answer(tab, "picture", key="of") for tab in tabs]
    panel.send("unfollow", of=tabs[1])
    while panel.ask("approve", run=run, step="ask")["type"] == "refused":
        """The run has not come to it yet."""

    assert panel.answer(tabs[0], "over", key="of")
    news = [told["run"] for told in panel.told if told["type"] == "news" and told["of"] == tabs[0]]
    assert [node["name"] for node in pictures[0]["graph"]["nodes"]] == ["ask", "then"]
    assert pictures[0]["run"]["states"] in ("pp", "wp")
    assert (news[-1]["state"], news[-1]["states"]) == ("completed", "cc")
    assert {step for one in news for step in one["log"]} == {"ask"}
    assert {number for one in news for number in one["steps"]} == {"0", "1"}
    assert not [told for told in panel.told if told["type"] in ("news", "over") and told["of"] == tabs[1]]
    assert panel.ask("follow", run=run)["type"] == "unknown"
