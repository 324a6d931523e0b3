"""`szal run`: what is run, what is saved and printed, and the exit code, for notebooks that end in each way."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from szal_nb.app.cli import main
from szal_nb.app.exit import ExitCode
from szal_nb.app.outcome import exit_of
from szal_nb.model.state import RunSnapshot, RunState, StepSnapshot, StepState
from szal_nb.model.value import ErrorInfo
from szal_nb.notebook.batch import BatchResult, Ended
from szal_nb.store.runs import RunStore, StoredRun
from tests.promises.shell import SZAL, Shell, states, write_notebook

HEAD = "%load_ext szal_nb\n%szal_flow sales"


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def saved(path):
    return json.loads(Path(path).read_text())["cells"]


@pytest.mark.serial
@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os.kill(os.getpid(), 9)", "of SIGKILL (by hand, or because memory ran out)"),
        ("os._exit(3)", "with exit code 3"),
    ],
)
def test_a_kernel_that_dies_is_told_with_what_it_was_at(shell, end, how):
    write_notebook(shell.folder / "nb.ipynb", HEAD, f"%%szal_step greedy\nimport os\n{end}", "run = %szal_run")

    code, out, err = shell.call("run", "nb.ipynb")

    assert code == 138
    assert f"DeadKernelError: The kernel died {how}.\n" in err
    assert "  greedy: was running\n" in out


def _waiting_project(folder):
    """A project whose run waits for a person, and the id of that run."""
    folder.mkdir()
    write_notebook(
        folder / "nb.ipynb",
        HEAD,
        "%%szal_step load\nx = 1",
        "%%szal_step deploy --approve 'Ship it?'\nopen('shipped.txt', 'w').write(str(x))",
        "run = %szal_run",
    )
    shell = Shell(folder)
    code, document = shell.json("run", "nb.ipynb")
    assert code == 4
    # What it holds is for its owner only, and the file is whole without what SQLite keeps beside it.
    assert (folder / ".szal").stat().st_mode & 0o777 == 0o700
    assert not (folder / ".szal" / "runs.db-wal").exists()
    return document["runs"][0]["id"]


@pytest.mark.serial
def test_a_project_that_was_moved_while_a_run_waited_goes_on_where_it_is(tmp_path):
    then, now = tmp_path / "then", tmp_path / "now ü"
    run = _waiting_project(then)
    then.rename(now)
    shell = Shell(now)

    assert shell.call("approve", run, "deploy")[0] == 0
    code, out, err = shell.call("resume", run)

    assert code == 0, err
    assert f"The notebook of run {run} was {then}/nb.ipynb, and is {now}/nb.ipynb now." in err
    assert "has changed" not in err
    assert f"{now}/.szal/runs/{run}.ipynb" in out
    assert (now / "shipped.txt").exists()
    assert not then.exists()


@pytest.mark.serial
def test_a_copy_of_a_project_goes_on_without_touching_the_first(tmp_path):
    then, now = tmp_path / "then", tmp_path / "now"
    run = _waiting_project(then)
    shutil.copytree(then, now)
    (now / "nb.ipynb").unlink()
    saved_then = (then / ".szal" / "runs" / f"{run}.ipynb").read_bytes()
    (then / "nb.ipynb").rename(then / "renamed.ipynb")
    shell = Shell(now)

    assert shell.call("approve", run, "deploy")[0] == 0
    code, out, err = shell.call("resume", run)

    assert code == 0, err
    assert f"{then}/nb.ipynb is not there any more; run {run} goes on with the notebook as it was" in err
    assert f"{now}/.szal/runs/{run}.ipynb" in out
    assert (then / ".szal" / "runs" / f"{run}.ipynb").read_bytes() == saved_then


def _shown_by(path):
    """What stands below each step, without its chip: texts, and the kinds of all else."""
    found = {}
    for cell in saved(path):
        first, *_ = "".join(cell["source"]).split("\n")
        if first.startswith("%%szal_step"):
            outputs = cell["outputs"][1:]
            found[first.split()[1]] = [
                "".join(one["text"]) if "text" in one else sorted(one["data"]) for one in outputs
            ]
    return found


@pytest.mark.serial
def test_a_notebook_that_is_resumed_or_reused_shows_what_its_steps_showed_when_they_ran(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        f"{HEAD}\nimport pathlib\nfrom IPython.display import HTML",
        "%%szal_step load\nx = 1\nprint('loaded')\nHTML('<b>table</b>')",
        "%%szal_step fit\nif not pathlib.Path('ready').exists():\n    raise OSError('not yet')\nprint('fitted', x)",
        "run = %szal_run\nawait run",
    )
    assert shell.json("run", "nb.ipynb", "-o", "cut.ipynb")[0] == 1
    shown = _shown_by(shell.folder / "cut.ipynb")["load"]
    assert shown == ["loaded\n", ["text/html", "text/plain"]]
    (shell.folder / "ready").touch()

    run = shell.runs()[0]["id"]
    assert shell.call("resume", run, "-o", "resumed.ipynb")[0] == 0
    assert _shown_by(shell.folder / "resumed.ipynb") == {"load": shown, "fit": ["fitted 1\n"]}

    assert shell.call("run", "nb.ipynb", "--reuse", run, "-o", "reused.ipynb")[0] == 0
    again = _shown_by(shell.folder / "reused.ipynb")
    assert again == {
        "load": ["cached: not run again\nloaded\n", shown[1]],
        "fit": ["cached: not run again\nfitted 1\n"],
    }

    newest = shell.runs()[0]["id"]
    assert newest != run
    assert shell.call("run", "nb.ipynb", "--reuse", newest, "-o", "once more.ipynb")[0] == 0
    assert _shown_by(shell.folder / "once more.ipynb") == again


@pytest.mark.serial
def test_a_failing_step_skips_its_dependents_and_is_exit_1_here_and_with_papermill(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        HEAD,
        "%%szal_step load\nx = 1",
        "%%szal_step broken\n\ny = x / 0",
        "%%szal_step below\nz = y",
        "%%szal_step beside\nw = x + 1",
        "run = %szal_run",
        "print('never')",
    )

    code, document = shell.json("run", "nb.ipynb")

    (run,) = document["runs"]
    assert (code, document["exit"], document["error_type"]) == (1, 1, "RunFailed")
    assert states(run) == {"load": "completed", "broken": "failed", "below": "skipped", "beside": "completed"}
    cells = {cell["id"]: cell for cell in saved(document["output"]) if cell["cell_type"] == "code"}
    assert "division by zero" in "".join(cells["cell-3"]["outputs"][-1]["text"])
    assert cells["cell-6"]["metadata"]["papermill"]["status"] == "failed"
    assert cells["cell-7"]["metadata"]["papermill"]["status"] == "pending"
    assert cells["cell-7"]["outputs"] == []

    papermill = [str(Path(sys.executable).with_name("papermill")), "--engine", "szal"]
    assert shell.call("nb.ipynb", "out.ipynb", program=papermill)[0] == 1
    by_papermill = shell.show(shell.runs()[0]["id"])
    assert (by_papermill["state"], states(by_papermill)) == ("failed", states(run))


@pytest.mark.serial
def test_a_notebook_that_does_not_run_its_flow_is_run_all_the_same(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        "%load_ext szal_nb",
        {"source": "rows = 1", "metadata": {"tags": ["parameters"]}},
        "%%szal_step load\nprint('rows', rows)",
    )

    code, out, err = shell.call("run", "nb.ipynb", "-p", "rows", "5")

    (run,) = shell.runs()
    assert (code, run["state"], run["params"]) == (0, "completed", {"rows": 5}), err
    assert f"Run {run['id']} of notebook: completed" in out
    assert "  completed  load" in err
    output = shell.folder / ".szal" / "runs" / f"{run['id']}.ipynb"
    assert f"notebook  {output}\n" in out
    added = saved(output)[-1]
    assert (added["source"], added["metadata"]["tags"]) == (["%szal_run"], ["szal-run"])
    assert added["outputs"], "the picture is in the saved notebook"
    assert "szal-run" not in (shell.folder / "nb.ipynb").read_text()


@pytest.mark.serial
def test_a_notebook_without_steps_is_executed_and_its_failure_told(shell):
    write_notebook(shell.folder / "nb.ipynb", "print('hello')", "import os\nos.write(1, b'past the channels')\n1 / 0")

    code, document = shell.json("run", "nb.ipynb", "-o", "deep/out.ipynb")

    assert (code, document["runs"], document["error_type"]) == (1, [], "ZeroDivisionError")
    assert Path(document["output"]) == shell.folder / "deep" / "out.ipynb"
    texts = [
        output["text"] for cell in saved(document["output"]) for output in cell.get("outputs", ()) if "text" in output
    ]
    assert ["hello\n"] in texts


@pytest.mark.serial
def test_a_notebook_that_does_not_load_the_extension_is_told_to(shell):
    write_notebook(shell.folder / "nb.ipynb", "%%szal_step a\nx = 1")

    code, document = shell.json("run", "nb.ipynb")

    assert (code, document["error_type"]) == (1, "UsageError")
    assert document["error"] == "Cell magic `%%szal_step` not found. Put %load_ext szal_nb into a cell above."


@pytest.mark.parametrize("damage", ["outputs", "metadata", "id", "attachments"])
def test_a_cell_that_is_damaged_is_refused_before_a_kernel_starts(tmp_path, capsys, damage):
    cell = {"cell_type": "markdown" if damage == "attachments" else "code", "source": "1", damage: [5]}
    write_notebook(tmp_path / "nb.ipynb", cell)

    assert main(["run", str(tmp_path / "nb.ipynb")]) == ExitCode.INVALID
    assert "nb.ipynb: This notebook is damaged: " in capsys.readouterr().err


@pytest.mark.serial
def test_an_attempt_that_takes_too_long_is_exit_124(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        HEAD,
        "%%szal_step slow --timeout 50ms\nimport asyncio\nawait asyncio.sleep(30)",
        "%szal_run",
    )

    code, document = shell.json("run", "nb.ipynb")

    assert (code, document["ended"], states(document["runs"][0])) == (
        124,
        "a timeout ended the run",
        {"slow": "failed"},
    )


def result(ended, error_name=""):
    return BatchResult(ended=ended, output=Path("out.ipynb"), error_name=error_name, error="…")


def run_in(state, shown=None, error=None, **more):
    step = StepSnapshot(name="a", state=StepState.FAILED if error else StepState.COMPLETED)
    step.error = ErrorInfo(type=error) if error else None
    fields = dict.fromkeys(StoredRun.__struct_fields__)
    run = StoredRun(**{**fields, "id": "r", "flow": "f", "state": state, "shown_state": shown or state.value})
    return run, RunSnapshot(flow="f", state=state, steps={"a": step}, **more)


CODES = {
    "completed": (result(Ended.COMPLETED), [run_in(RunState.COMPLETED)], ExitCode.COMPLETED),
    "nothing to resume": (None, [run_in(RunState.COMPLETED)], ExitCode.COMPLETED),
    "a step failed": (
        result(Ended.FAILED, "RunFailed"),
        [run_in(RunState.FAILED, error="ValueError")],
        ExitCode.FAILED,
    ),
    "a step failed and nobody minded": (result(Ended.COMPLETED), [run_in(RunState.FAILED, error="E")], ExitCode.FAILED),
    "a cell failed after the run": (result(Ended.FAILED, "KeyError"), [run_in(RunState.COMPLETED)], ExitCode.FAILED),
    "an invalid flow": (result(Ended.FAILED, "FlowCycle"), [], ExitCode.INVALID),
    "a run of another process": (result(Ended.FAILED, "RunOwned"), [], ExitCode.USAGE),
    "a step timed out": (result(Ended.FAILED), [run_in(RunState.FAILED, error="StepTimeout")], ExitCode.TIMED_OUT),
    "a cell timed out": (result(Ended.TIMED_OUT), [], ExitCode.TIMED_OUT),
    "a run was cancelled": (result(Ended.FAILED, "RunFailed"), [run_in(RunState.CANCELLED)], ExitCode.INTERRUPTED),
    "interrupted": (result(Ended.INTERRUPTED), [run_in(RunState.CANCELLED)], ExitCode.INTERRUPTED),
    "terminated": (result(Ended.TERMINATED), [run_in(RunState.RUNNING, "crashed")], ExitCode.INTERRUPTED),
    "the kernel died": (result(Ended.KERNEL_DIED), [run_in(RunState.RUNNING, "crashed")], ExitCode.KERNEL_DIED),
    "a step failed and the run was rolled back": (
        result(Ended.FAILED, "RunFailed"),
        [run_in(RunState.ROLLED_BACK, error="ValueError", undone_on="failure")],
        ExitCode.FAILED,
    ),
    "a step timed out and the run was rolled back": (
        result(Ended.FAILED, "RunFailed"),
        [run_in(RunState.ROLLED_BACK, error="StepTimeout", undone_on="failure")],
        ExitCode.TIMED_OUT,
    ),
    "the flow took too long": (
        result(Ended.FAILED, "RunFailed"),
        [run_in(RunState.FAILED, is_timed_out=True)],
        ExitCode.TIMED_OUT,
    ),
    "the flow took too long and was rolled back": (
        result(Ended.FAILED, "RunFailed"),
        [run_in(RunState.ROLLED_BACK, is_timed_out=True, undone_on="timeout")],
        ExitCode.TIMED_OUT,
    ),
    "a run was cancelled and rolled back": (
        result(Ended.FAILED, "RunFailed"),
        [run_in(RunState.ROLLED_BACK, undone_on="cancel")],
        ExitCode.INTERRUPTED,
    ),
    "a requirement is missing": (result(Ended.FAILED, "MissingRequirement"), [], ExitCode.INVALID),
    "paused": (result(Ended.COMPLETED), [run_in(RunState.PAUSED)], ExitCode.WAITING),
    "a cell failed while a run went on": (
        result(Ended.FAILED, "KeyError"),
        [run_in(RunState.RUNNING, "crashed")],
        ExitCode.FAILED,
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_the_exit_code_tells_the_end(name):
    ended, runs, code = CODES[name]

    assert exit_of(ended, runs) is code


@pytest.mark.serial
def test_a_run_that_waits_for_a_person_is_exit_4_and_goes_on_when_one_has_answered(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        HEAD,
        "%%szal_step load\nx = 1",
        "%%szal_step deploy --approve 'Ship it?'\ny = x + 1",
        "%%szal_step tell\nz = y",
        "%%szal_step clean --trigger all_done --after deploy\nprint('clean')",
        "%szal_run",
    )

    code, document = shell.json("run", "nb.ipynb")

    (run,) = document["runs"]
    assert (code, run["shown_state"], states(run)) == (
        4, "paused", {"load": "completed", "deploy": "waiting", "tell": "pending", "clean": "pending"},
    )  # fmt: skip
    saved_error = saved(document["output"])[-1]["outputs"][-1]
    assert (saved_error["ename"], len(saved_error["traceback"])) == ("RunWaits", 1), "nothing is wrong in any line"
    assert shell.json("resume", run["id"])[0] == 4
    assert shell.json("approve", run["id"], "load")[0] == 2
    assert shell.call("approve", run["id"], "deploy", "--value", "not JSON")[0] == 2
    assert shell.json("approve", run["id"], "deploy", "--value", '"go"')[0] == 0
    code, document = shell.json("resume", run["id"])
    assert (code, set(states(document["runs"][0]).values())) == (0, {"completed"})

    _, document = shell.json("run", "nb.ipynb")
    (run,) = document["runs"]
    assert shell.json("approve", run["id"], "deploy", "--reject")[0] == 0
    code, document = shell.json("resume", run["id"])
    (run,) = document["runs"]
    assert (code, run["state"], states(run)) == (
        1, "failed", {"load": "completed", "deploy": "failed", "tell": "skipped", "clean": "completed"},
    )  # fmt: skip

    _, document = shell.json("run", "nb.ipynb")
    (run,) = document["runs"]
    code, cancelled = shell.json("cancel", run["id"])
    assert (code, cancelled["state"], states(cancelled)["deploy"]) == (0, "cancelled", "cancelled")


CHOICES = {
    "--only clean": {"load": "completed", "clean": "completed", "report": "skipped", "beside": "skipped"},
    "--from clean": {"load": "completed", "clean": "completed", "report": "completed", "beside": "skipped"},
    "--until clean": {"load": "completed", "clean": "completed", "report": "skipped", "beside": "skipped"},
    "--only beside --only load": {"load": "completed", "clean": "skipped", "report": "skipped", "beside": "completed"},
}


@pytest.mark.serial
@pytest.mark.parametrize("options", CHOICES)
def test_chosen_steps_run_with_what_they_need_and_the_others_say_why_not(shell, options):
    write_notebook(
        shell.folder / "nb.ipynb",
        HEAD,
        "%%szal_step load\nx = 1",
        "%%szal_step clean\ny = x + 1",
        "%%szal_step report\nz = y",
        "%%szal_step beside\nw = 1",
    )

    code, document = shell.json("run", "nb.ipynb", *options.split())

    (run,) = document["runs"]
    assert (code, states(run)) == (0, CHOICES[options])
    reasons = {step["reason"] for step in run["steps"] if step["state"] == "skipped"}
    assert "not selected for this run" in reasons
    assert reasons <= {"not selected for this run", "it needs what clean gives, which was skipped"}


@pytest.mark.serial
def test_a_step_that_is_chosen_and_not_there_is_refused_before_a_kernel_starts(shell):
    write_notebook(shell.folder / "nb.ipynb", HEAD, "%%szal_step load\nx = 1")

    for option in ("--only", "--from", "--until"):
        code, document = shell.json("run", "nb.ipynb", option, "laod")
        assert (code, document["error"]["message"]) == (
            3,
            "Step 'laod': nb.ipynb has no such step. Did you mean load?",
        )
    assert shell.runs() == []


@pytest.mark.serial
def test_reuse_takes_from_an_earlier_run_what_has_not_changed(shell):
    cells = (HEAD, "%%szal_step load\nprint('load runs')\nx = 1", "%%szal_step clean\ny = x + {}")
    write_notebook(shell.folder / "nb.ipynb", *cells[:2], cells[2].format(1))
    first = shell.json("run", "nb.ipynb")[1]["runs"][0]["id"]
    write_notebook(shell.folder / "nb.ipynb", *cells[:2], cells[2].format(2))

    for option in (["--reuse"], ["--reuse", first]):
        code, document = shell.json("run", "nb.ipynb", *option)

        (run,) = document["runs"]
        origins = {step["name"]: step["origin"] for step in run["steps"]}
        assert (code, run["state"]) == (0, "completed")
        assert origins == {"load": "cached", "clean": "ran"}
        assert [len(step["attempts"]) for step in run["steps"]] == [0, 1]
    code, _, err = shell.call("run", "nb.ipynb", "--reuse", first)
    assert (code, "clean" in err, "load" in err) == (0, True, True)


@pytest.mark.serial
def test_a_notebook_that_a_headless_notebook_runs_has_a_run_and_a_store_of_its_own(shell):
    (shell.folder / "inner").mkdir()
    top = "%load_ext szal_nb"
    write_notebook(shell.folder / "inner" / "nb.ipynb", top, "%%szal_step deep\nx = 1", "%szal_run")
    command = " ".join(map(shlex.quote, [*SZAL, "run", "nb.ipynb"]))
    write_notebook(
        shell.folder / "outer.ipynb", top, "%%szal_step high\ny = 2", f"!cd inner && {command}", "run = %szal_run"
    )

    code, document = shell.json("run", "outer.ipynb")

    assert (code, [[step["name"] for step in run["steps"]] for run in document["runs"]]) == (0, [["high"]])
    with RunStore.open(shell.folder / "inner" / ".szal" / "runs.db") as store:
        (inner,) = store.runs()
        assert list(store.snapshot(inner.id).steps) == ["deep"]
        assert inner.id != document["runs"][0]["id"]


@pytest.mark.serial
def test_a_cell_that_answers_a_step_itself_is_not_left_for_a_person(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        "%env SZAL_WAIT=0\n" + HEAD,
        "%%szal_step bill\namount = 3",
        "%%szal_step pay --approve 'Pay?'\npaid = amount",
        (
            "run = %szal_run\nasync for _ in run.events():\n    if run['pay'].state == 'waiting':\n"
            "        run.approve('pay')\n        break\nawait run\nprint('paid', paid)"
        ),
    )

    code, document = shell.json("run", "nb.ipynb", "-o", "out.ipynb")

    assert (code, document["error"]) == (0, None)
    assert "paid 3" in (shell.folder / "out.ipynb").read_text()


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(tmp_path, capsys):
    write_notebook(tmp_path / "nb.ipynb", HEAD)
    (tmp_path / "file").touch()

    assert main(["run", str(tmp_path / "nb.ipynb"), "--store", str(tmp_path / "file" / "runs.db")]) == ExitCode.USAGE
    assert "Not a directory. Name another place with -o OUT" in capsys.readouterr().err
