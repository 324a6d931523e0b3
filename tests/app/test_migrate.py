"""`szal migrate`: plan, apply, resume and undo, with the declarations of the notebook."""

from __future__ import annotations

import pytest

from tests.app.test_past import deeds
from tests.promises.shell import SETUP, Shell, write_notebook

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
