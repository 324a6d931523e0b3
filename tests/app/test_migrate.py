"""`szal migrate`: plan, apply, resume and undo, with the declarations of the notebook."""

from __future__ import annotations

import json
import os
import signal

import pytest

from szal_nb.api import migration
from szal_nb.notebook.migrations import version_in
from szal_nb.store.runs import RunStore
from tests.app.test_past import deeds
from tests.promises.shell import SETUP, Shell, is_gone, wait_until, write_notebook

OLD = (
    SETUP.replace("%szal_flow deeds", "%szal_flow deeds --version 1"),
    "%%szal_step load\ndeed('load')\nx = [1, 2]",
    "%%szal_step clean\ndeed('clean')\ny = sorted(x)",
    "%%szal_step total\ndeed('total')\nt = sum(y) / 0",
    "run = %szal_run",
)
NEW = (
    SETUP.replace("%szal_flow deeds", "%szal_flow deeds --version 2"),
    (
        "import szal_nb as szal\n\n@szal.migration('deeds', 1, 2)\ndef to_2(m):\n"
        "    m.adapt('clean', lambda x: [n * 10 for n in x])"
    ),
    "%%szal_step fetch\ndeed('load')\nx = [1, 2]",
    "%%szal_step clean\ndeed('clean')\ny = [n * 10 for n in x]",
    "%%szal_step total\ndeed('total')\nt = sum(y)",
    "run = %szal_run",
)


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.mark.serial
def test_a_failed_run_is_carried_to_the_new_version_and_goes_on(shell):
    write_notebook(shell.folder / "nb.ipynb", *OLD)
    code, document = shell.json("run", "nb.ipynb")
    (old,) = document["runs"]
    assert (code, deeds(shell)) == (1, ["load", "clean", "total"])
    write_notebook(shell.folder / "nb.ipynb", *NEW)

    code, found = shell.json("migrate", "plan", old["id"], "nb.ipynb", "--to", "2")
    assert code == 0
    assert {step["step"]: (step["carry"], step["before"]) for step in found["plans"][0]["steps"]} == {
        "fetch": ("rename", "load"),
        "clean": ("adapt", "clean"),
        "total": ("re-run", "total"),
    }

    code, found = shell.json("migrate", "apply", "--all", "nb.ipynb", "--to", "2")
    (made,) = found["migrated"]
    assert (code, made["run"]) == (0, old["id"])
    code, found = shell.json("migrate", "undo", made["to"])
    assert (code, found["run"]) == (0, old["id"])
    made = shell.json("migrate", "apply", old["id"], "nb.ipynb")[1]["migrated"][0]

    code, _, err = shell.call("resume", made["to"])
    assert (code, deeds(shell)) == (0, ["total"]), err
    run = shell.show(made["to"])
    assert (run["version"], run["state"]) == (2, "completed")
    assert {v["name"]: v["summary"] for step in run["steps"] for v in step["values"]}["t"] == "30"
    assert shell.show(old["id"])["state"] == "failed"


@pytest.mark.serial
def test_a_migration_that_is_not_safe_is_exit_1_with_the_reason(shell):
    write_notebook(shell.folder / "nb.ipynb", *OLD)
    run = shell.json("run", "nb.ipynb")[1]["runs"][0]["id"]

    code, found = shell.json("migrate", "plan", run, "nb.ipynb")

    assert (code, found["plans"][0]["refusals"]) == (
        1,
        ["it is of version 1 already; give the changed flow another --version."],
    )


def version(number, *cells, flow="deeds"):
    return (SETUP.replace("%szal_flow deeds", f"%szal_flow {flow} --version {number}"), *cells, "run = %szal_run")


TO_2 = "import szal_nb as szal\n@szal.migration('deeds', 1, 2)\ndef to_2(m):\n    m.adapt('clean', lambda y: [n * 10 for n in y])"
TO_3 = (
    "@szal.migration('deeds', 2, 3)\ndef to_3(m):\n    m.rename('clean', 'tidy')\n"
    "    m.adapt('tidy', lambda y, x: {'z': y + x})"
)
THIRD = version(
    3,
    TO_2,
    TO_3,
    "%%szal_step load\ndeed('load')\nx = [1, 2]",
    "%%szal_step tidy\ndeed('tidy')\nz = [n * 10 for n in x] + x",
    "%%szal_step total\ndeed('total')\nt = sum(z)",
)


def failed_runs(shell, count, *cells):
    """The ids of so many runs that failed, oldest first."""
    write_notebook(shell.folder / "nb.ipynb", *cells)
    found = []
    for _ in range(count):
        code, document = shell.json("run", "nb.ipynb")
        assert code == 1
        found.append(document["runs"][0]["id"])
    (shell.folder / "deeds.log").unlink(missing_ok=True)
    return found


def carried(document):
    return {one["run"]: one["to"] for one in document["migrated"]}


@pytest.mark.serial
def test_all_runs_go_on_over_a_chain_of_declared_migrations_each_once(shell):
    first, second = failed_runs(shell, 2, *OLD)
    write_notebook(shell.folder / "nb.ipynb", *THIRD)

    code, plans = shell.json("migrate", "plan", "--all", "nb.ipynb", "--to", "3")
    assert code == 0
    assert {plan["run"]: [(one["step"], one["carry"]) for one in plan["steps"]] for plan in plans["plans"]} == {
        run: [("load", "keep"), ("tidy", "adapt"), ("total", "re-run")] for run in (first, second)
    }
    code, found = shell.json("migrate", "apply", "--all", "nb.ipynb", "--to", "3")
    made = carried(found)
    assert (code, sorted(made), found["refused"]) == (0, sorted([first, second]), [])

    # What goes on already is not carried over once more, nor is what is of the version.
    for arguments in (("--all", "nb.ipynb", "--to", "3"), ("--all", "nb.ipynb"), ("--all", "--flow", "deeds")):
        code, found = shell.json("migrate", "apply", *arguments)
        assert (code, found) == (0, {"migrated": [], "refused": []}), arguments
    assert shell.call("migrate", "apply", "--all", "nb.ipynb")[:2] == (0, "No run can be carried over.\n")
    assert shell.show(made[first])["from_run"] == first

    code, _, err = shell.call("resume", made[first])
    run = shell.show(made[first])
    assert (code, run["version"], deeds(shell)) == (0, 3, ["total"]), err
    assert {v["name"]: v["summary"] for step in run["steps"] for v in step["values"]}["t"] == "33"

    # The one that has gone on stays; the other is taken back, and may be carried over again.
    code, _, err = shell.call("migrate", "undo", made[first])
    assert (code, f"Run {made[first]} has gone on since the migration" in err) == (2, True)
    assert shell.json("migrate", "undo", made[second])[0] == 0
    assert list(carried(shell.json("migrate", "apply", "--all", "nb.ipynb")[1])) == [second]


@pytest.mark.serial
def test_one_that_is_refused_in_the_middle_keeps_no_other_back_and_other_flows_are_left_alone(shell):
    (first,) = failed_runs(shell, 1, *OLD)
    once = [cell.replace("%%szal_step clean", "%%szal_step clean --once") for cell in OLD]
    (held,) = failed_runs(shell, 1, *once)
    (last,) = failed_runs(shell, 1, *OLD)
    write_notebook(shell.folder / "other.ipynb", *version(1, "%%szal_step z\nz = 1 / 0", flow="other"))
    assert shell.call("run", "other.ipynb")[0] == 1
    write_notebook(shell.folder / "nb.ipynb", *(cell for cell in NEW if cell != NEW[1]))

    code, out, _ = shell.call("migrate", "apply", "--all", "nb.ipynb")

    lines = out.splitlines()
    assert (code, len(lines)) == (1, 3), out
    assert lines[0].startswith(f"Run {last} is carried over as run ")
    assert lines[1].startswith(f"Run {held} cannot be carried over: step 'clean' is marked --once")
    assert lines[2].startswith(f"Run {first} is carried over as run ")


@pytest.mark.serial
def test_all_that_was_interrupted_goes_on_with_the_rest(shell):
    first, second = failed_runs(shell, 2, *OLD)
    # Holds at the run that comes second: the newest run is the first.
    held = TO_2.replace(
        "    m.adapt('clean', lambda y: [n * 10 for n in y])",
        "    def held(y):\n        import os, time\n        if os.path.exists('passed'):\n"
        "            open('reached', 'w').write(str(os.getpid()))\n"
        "            while not os.path.exists('go'):\n                time.sleep(0.01)\n"
        "        open('passed', 'w').close()\n        return [n * 10 for n in y]\n    m.adapt('clean', held)",
    )
    write_notebook(shell.folder / "nb.ipynb", *[held if cell == NEW[1] else cell for cell in NEW])
    for how in (signal.SIGKILL, signal.SIGINT):
        (shell.folder / "passed").unlink(missing_ok=True)
        started = shell.start("migrate", "apply", "--all", "nb.ipynb", "--json")
        reached = wait_until((shell.folder / "reached").exists, "the second run") and shell.folder / "reached"
        pid = int(wait_until(reached.read_text, "its process"))
        os.kill(pid, how)
        code, out, _ = shell.end(started)
        assert is_gone(pid)
        reached.unlink()
        if how == signal.SIGKILL:
            assert (code, out) == (-signal.SIGKILL, "")
            made = {run["from_run"]: run["id"] for run in shell.runs() if run["version"] == 2}
            assert list(made) == [second]
            assert shell.json("migrate", "undo", made[second])[0] == 0
        else:
            assert (code, list(carried(json.loads(out)))) == (130, [second])

    (shell.folder / "go").touch()
    code, found = shell.json("migrate", "apply", "--all", "nb.ipynb")

    assert (code, list(carried(found))) == (0, [first])


@pytest.mark.serial
def test_python_carries_them_over_as_the_shell_does(shell):
    first, second = failed_runs(shell, 2, *OLD)
    path = write_notebook(shell.folder / "nb.ipynb", *THIRD)
    with RunStore.open(shell.folder / ".szal" / "runs.db") as store:
        to = version_in(path, "deeds")
        movable = [run.id for run in migration.movable_runs(store, "deeds", 3)]
        made = [migration.apply(store, run, to) for run in movable]

        assert movable == [second, first]
        assert migration.movable_runs(store, "deeds", 3) == []
        assert migration.undo(store, made[0]) == second
        assert [run.id for run in migration.movable_runs(store, "deeds", 3)] == [second]
        # Nor is one carried on whose work goes on in another run: that one is.
        assert [run.id for run in migration.movable_runs(store, "deeds", 4)] == [made[1], second]


@pytest.mark.serial
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("RUN", "nb.ipynb", "--to", "7"), 1, "nb.ipynb defines version 2, not 7."),
        (("RUN", "none.ipynb"), 3, "none.ipynb"),
        (("--all", "none.ipynb"), 3, "none.ipynb"),
        (("--all", "--to", "9"), 1, "name the notebook that defines it"),
        (("--all", "nb.ipynb", "--flow", "nosuch"), 0, "No run can be carried over."),
        ((), 2, "Name a run, or --all."),
        (("--all", "--to", "two"), 2, "invalid int value"),
    ],
)
def test_what_cannot_be_done_says_why(shell, arguments, code, text):
    (run,) = failed_runs(shell, 1, *OLD)
    write_notebook(shell.folder / "nb.ipynb", *NEW)

    found, out, err = shell.call("migrate", "apply", *[run if one == "RUN" else one for one in arguments])

    assert (found, text in out + err, "Traceback" in err) == (code, True, False), (found, out, err)
