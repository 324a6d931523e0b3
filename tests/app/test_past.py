"""`szal run --reuse`, `fork`, `replay`, `diff` and `why`, on notebooks that tell what their steps do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.promises.shell import SETUP, Shell, write_notebook

CELLS = (
    SETUP,
    {"source": "rows = 2", "metadata": {"tags": ["parameters"]}},
    "limit = rows * 10",
    "%%szal_step load\ndeed('load')\nx = [3, 1, rows]",
    "%%szal_step clean\ndeed('clean')\ny = sorted(x)\nprint('sorted', y)",
    "%%szal_step total\ndeed('total')\nt = sum(y) + limit\nt",
    "run = %szal_run",
)


@pytest.fixture
def shell(tmp_path):
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def deeds(shell):
    found = [text for text, _ in shell.deeds()]
    (shell.folder / "deeds.log").unlink(missing_ok=True)
    return found


@pytest.mark.serial
def test_a_past_run_is_reused_forked_compared_explained_and_replayed(shell):
    write_notebook(shell.folder / "nb.ipynb", *CELLS)
    code, document = shell.json("run", "nb.ipynb")
    (first,) = document["runs"]
    assert (code, deeds(shell)) == (0, ["load", "clean", "total"])

    changed = tuple(cell.replace("sum(y)", "max(y)") if isinstance(cell, str) else cell for cell in CELLS)
    write_notebook(shell.folder / "nb.ipynb", *changed)
    code, out, err = shell.call("run", "nb.ipynb", "--reuse", first["id"], "--json")
    (second,) = json.loads(out)["runs"]
    assert (code, deeds(shell)) == (0, ["total"])
    plan = err.partition(f"Run {second['id']} of")[0]
    assert f"Taken from run {first['id']}: load, clean." in plan, "it is shown before anything runs"
    assert "  runs   total  changed: code\n" in plan
    saved = Path(second["output"]).read_text()
    assert saved.count(f"Taken from run {first['id']}") == 1
    assert "to_launcher" not in saved
    assert {step["name"]: step["origin"] for step in second["steps"]} == {
        "load": "cached",
        "clean": "cached",
        "total": "ran",
    }
    code, out, _ = shell.call("why", second["id"], "total")
    assert f"total ran: since run {first['id']} this changed: code." in out
    code, out, _ = shell.call("why", second["id"], "clean")
    assert f"clean was not run: its code and all that it reads are as in run {first['id']}" in out

    code, found = shell.json("diff", first["id"], second["id"])
    assert (code, found["same"]) == (0, False)
    assert [(step["step"], step["code"]) for step in found["steps"] if not step["same"]] == [("total", ["code"])]

    code, out, err = shell.call("fork", first["id"], "--from", "clean", "-p", "rows", "7")
    assert (code, deeds(shell)) == (0, ["load", "clean", "total"]), err
    forked = shell.show(shell.runs()[0]["id"])
    values = {value["name"]: value["summary"] for step in forked["steps"] for value in step["values"]}
    assert values["t"] == "81", "limit follows from rows"

    code, out, err = shell.call("fork", first["id"], "--from", "total")
    assert (code, deeds(shell)) == (0, ["total"]), err

    code, out, _ = shell.call("replay", second["id"])
    assert (code, deeds(shell)) == (0, [])
    assert "── clean\nsorted [1, 2, 3]\n" in out, "also what was shown in the run that it was taken from"

    code, found = shell.json("replay", first["id"], "--verify")
    assert (code, found["same"], found["differences"]) == (0, True, [])
    assert deeds(shell) == ["load", "clean", "total"]


@pytest.mark.serial
def test_a_run_that_failed_goes_on_with_another_parameter_as_a_run_of_its_own(shell):
    failing = tuple(
        cell.replace("t = sum", "assert rows != 2, 'too few'\nt = sum") if isinstance(cell, str) else cell
        for cell in CELLS
    )
    more = "%%szal_step other\ndeed('other')\no = limit + 1"
    write_notebook(
        shell.folder / "nb.ipynb", *failing[:3], "%%szal_step apart\ndeed('apart')\np = 1", more, *failing[3:]
    )
    code, document = shell.json("run", "nb.ipynb")
    (first,) = document["runs"]
    assert (code, set(deeds(shell))) == (1, {"load", "clean", "other", "apart", "total"})

    for name, value, said in (
        ("row", "5", "rows"),
        ("rows", "five", "rows"),
    ):
        code, _, err = shell.call("resume", first["id"], "-p", name, value)
        assert code == 3
        assert said in err
    assert len(shell.runs()) == 1

    code, _, err = shell.call("resume", first["id"], "-p", "rows", "5")
    assert (code, set(deeds(shell))) == (0, {"load", "clean", "other", "total"}), err
    assert f"Run {first['id']} stays as it is" in err
    assert "taken  apart" in err
    assert "it reads limit" in err, "what follows from a parameter counts"
    second, before = (shell.show(run["id"]) for run in shell.runs())
    assert before == shell.show(first["id"]) == {**before, "state": "failed", "params": first["params"]}
    assert (second["from_run"], second["params"]["rows"], second["state"]) == (first["id"], 5, "completed")
    assert {step["name"]: step["origin"] for step in second["steps"]}["apart"] == "given"
    assert f"from run  {first['id']}" in shell.call("show", second["id"])[1]

    (shell.folder / "p.yaml").write_text("rows: 6")
    for n, options in enumerate((["-r", "rows", "6"], ["-f", "p.yaml"], ["-y", "rows: 6"])):
        code, _, err = shell.call("resume", second["id"], *options)
        assert (code, set(deeds(shell))) == ((3, set()) if n == 0 else (0, {"load", "clean", "other", "total"})), err


@pytest.mark.serial
def test_verify_names_each_value_that_differs_and_is_exit_1(shell):
    write_notebook(
        shell.folder / "nb.ipynb",
        SETUP,
        "%%szal_step stable\na = 1",
        "%%szal_step unstable\nb = time.time_ns()\nc = 2",
        "run = %szal_run",
    )
    run = shell.json("run", "nb.ipynb")[1]["runs"][0]["id"]

    code, found = shell.json("replay", run, "--verify")

    assert (code, found["same"]) == (1, False)
    (difference,) = found["differences"]
    assert difference.startswith("unstable.b: ")


@pytest.mark.serial
def test_only_a_step_takes_what_it_needs_from_an_earlier_run(shell):
    write_notebook(shell.folder / "nb.ipynb", *CELLS)
    shell.call("run", "nb.ipynb")
    deeds(shell)

    code, document = shell.json("run", "nb.ipynb", "--only", "clean")

    (run,) = document["runs"]
    assert (code, deeds(shell)) == (0, ["clean"])
    assert {step["name"]: step["state"] for step in run["steps"]}["total"] == "skipped"


@pytest.mark.serial
def test_a_parameter_that_only_one_run_was_given_is_said_to_be_not_given_to_the_other(shell):
    write_notebook(shell.folder / "nb.ipynb", *CELLS)
    (first,) = shell.json("run", "nb.ipynb")[1]["runs"]
    (second,) = shell.json("run", "nb.ipynb", "-p", "rows", "5")[1]["runs"]

    assert "parameter  rows: not given → 5" in shell.call("diff", first["id"], second["id"])[1]
