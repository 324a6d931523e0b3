"""The program `szal`: what its light commands print, how it refuses, and that it starts at once."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys

import pytest

import szal_nb as szal
from szal_nb.app.cli import main, make_parser
from szal_nb.app.execution import protect_values
from szal_nb.app.exit import ExitCode
from szal_nb.model.event import kind_of
from tests.promises.shell import write_notebook


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_notebook(
        tmp_path / "nb.ipynb",
        "%load_ext szal_nb\n%szal_flow sales --version 2",
        {"source": "rows: int = 10_000  # how many\nregion = 'EU'", "metadata": {"tags": ["parameters"]}},
        "%%szal_step load\norders = list(range(rows))",
        "%%szal_step clean\nkept = [o for o in orders if o]",
        "%%szal_step report --after clean\nprint(region)",
        "%%szal_rollback clean\nkept.clear()",
    )


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with three runs: completed, failed, and one whose process is gone."""
    monkeypatch.chdir(tmp_path)
    flow = szal.Flow("sums")

    @flow.step
    def one(x):
        print("one is at work")
        return x

    @flow.step
    def half(one):
        return 1 / one

    path = tmp_path / ".szal" / "runs.db"
    szal.run(flow, {"x": 4}, store=path)
    szal.run(flow, {"x": 0}, store=path)
    return path


def answer(capsys, *arguments):
    code = main(arguments)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def document(capsys, *arguments):
    code, out, _ = answer(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_params_shows_names_types_defaults_and_help(notebook, capsys):
    assert answer(capsys, "params", "nb.ipynb") == (
        0,
        "NAME    TYPE  DEFAULT  HELP\nrows    int   10000    how many\nregion  text  'EU'\n",
        "",
    )
    code, found = document(capsys, "params", "nb.ipynb")
    assert (code, [each["name"] for each in found["parameters"]]) == (0, ["rows", "region"])
    assert found["parameters"][0]["default"] == 10_000
    code, out, _ = answer(capsys, "params", "nb.ipynb", "--json-schema")
    assert json.loads(out)["properties"]["rows"] == {"type": "integer", "description": "how many", "default": 10_000}


def test_graph_is_drawn_as_text_json_mermaid_and_svg(notebook, capsys):
    code, found = document(capsys, "graph", "nb.ipynb")

    assert (code, found["flow"], found["version"], found["inputs"]) == (0, "sales", 2, ["rows", "region"])
    assert [(step["name"], step["reads"], step["gives"]) for step in found["steps"]] == [
        ("load", ["rows"], ["orders"]),
        ("clean", ["orders"], ["kept"]),
        ("report", ["region"], []),
    ]
    edges = [(edge["source"], edge["target"], edge["kind"], edge["names"]) for edge in found["edges"]]
    assert edges == [("load", "clean", "data", ["orders"]), ("clean", "report", "order", [])]
    assert [step["rollback"] for step in found["steps"]] == [None, {"cell": "cell-6", "reads": ["kept"]}, None]
    assert answer(capsys, "graph", "nb.ipynb", "--mermaid")[1] == (
        'flowchart LR\n    s0["load"]\n    s1["clean"]\n    s2["report"]\n    s0 -->|"orders"| s1\n    s1 -.-> s2\n'
    )
    assert answer(capsys, "graph", "nb.ipynb", "--svg")[1].startswith("<svg ")
    assert "clean waits for load" in answer(capsys, "graph", "nb.ipynb")[1]


REFUSED = {
    "unknown parameter": (["run", "nb.ipynb", "-p", "rwos", "1"], 3, "has no parameter 'rwos'. Did you mean 'rows'?"),
    "wrong type": (["run", "nb.ipynb", "-p", "rows", "ten"], 3, "'ten' is not a whole number"),
    "value like a flag": (["run", "nb.ipynb", "-p", "rows", "--json"], 3, "'--json' is not a whole number"),
    "broken yaml": (["run", "nb.ipynb", "-y", "{rows"], 3, "not valid YAML"),
    "missing file": (["run", "nb.ipynb", "-f", "none.yaml"], 3, "none.yaml cannot be read: No such file"),
    "no notebook": (["run", "nb.ipnb"], 3, "There is no such file. Did you mean nb.ipynb?"),
    "not a notebook": (["graph", "broken.ipynb"], 3, "broken.ipynb: This is not valid JSON"),
    "no store": (["runs"], 2, "There is no store at"),
    "no flow": (["graph", "nb.ipynb", "--flow", "sale"], 3, "has no flow 'sale'. Did you mean sales?"),
    "cyclic": (["graph", "cycle.ipynb"], 3, "Steps wait for each other"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_in_one_message(name, notebook, capsys):
    arguments, code, message = REFUSED[name]
    (notebook.parent / "broken.ipynb").write_text("{")
    write_notebook(notebook.parent / "cycle.ipynb", "%%szal_step a --after b\n1", "%%szal_step b --after a\n2")

    found, out, err = answer(capsys, *arguments)

    assert (found, out) == (code, "")
    assert message in err
    assert err.startswith("szal: ")
    assert "Traceback" not in err


def test_with_json_an_error_is_a_document_too(notebook, capsys):
    code, out, _ = answer(capsys, "run", "nb.ipynb", "-p", "rwos", "1", "--json")

    assert code == 3
    assert json.loads(out)["error"]["type"] == "InvalidParameter"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu", "nb.ipynb"], "invalid choice: 'rnu'. Did you mean run?"),
        (["runs", "--jsn"], "unrecognized arguments: --jsn. Did you mean --json?"),
        (["run", "nb.ipynb", "--reus"], "unrecognized arguments: --reus. Did you mean --reuse?"),
        (["migrate", "plan", "r", "--flo", "sales"], "unrecognized arguments: --flo"),
        (["show"], "the following arguments are required: RUN"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_names_the_nearest(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_a_value_may_look_like_a_flag():
    assert protect_values(["run", "nb", "-p", "x", "--y", "-r", "z", "-1"]) == [
        "run",
        "nb",
        "-p",
        "x",
        "\0--y",
        "-r",
        "z",
        "\0-1",
    ]


def test_runs_show_logs_and_why_tell_of_a_run(store, capsys):
    code, found = document(capsys, "runs")
    failed, completed = found["runs"]

    assert (code, failed["state"], completed["state"]) == (0, "failed", "completed")
    assert [run["id"] for run in document(capsys, "runs", "--state", "failed")[1]["runs"]] == [failed["id"]]
    assert document(capsys, "runs", "--flow", "none")[1]["runs"] == []
    assert len(document(capsys, "runs", "--limit", "1")[1]["runs"]) == 1

    code, shown = document(capsys, "show", failed["id"])
    one, half = shown["steps"]
    assert (code, one["state"], one["values"][0]["name"], half["state"]) == (0, "completed", "one", "failed")
    assert half["error"]["type"] == "ZeroDivisionError"
    code, text, _ = answer(capsys, "show", failed["id"])
    assert f"Run {failed['id']} of sums version 1: failed" in text
    assert "half: ZeroDivisionError: division by zero" in text

    code, logs = document(capsys, "logs", completed["id"], "one")
    assert (code, logs["logs"]) == (
        0,
        [{"step": "one", "attempt": 1, "type": "stream", "name": "stdout", "text": "one is at work\n"}],
    )
    code, text, _ = answer(capsys, "logs", failed["id"])
    assert (code, "one is at work" in text, "ZeroDivisionError" in text) == (0, True, True)

    code, why = document(capsys, "why", failed["id"], "half")
    assert (code, why["state"], [edge["source"] for edge in why["waits_for"]]) == (0, "failed", ["one"])
    assert "half failed: ZeroDivisionError" in answer(capsys, "why", failed["id"], "half")[1]


def test_watch_tells_the_end_by_its_exit_code(store, capsys):
    failed, completed = document(capsys, "runs")[1]["runs"]

    code, out, err = answer(capsys, "watch", failed["id"])
    assert (code, out) == (1, f"Run {failed['id']}: failed\n")
    assert "  completed  one" in err
    assert "  failed     half" in err
    assert answer(capsys, "watch", completed["id"])[0] == 0


def undone_on(end, *, timeout=None):
    """A flow whose run comes to this end, and is undone then."""
    flow = szal.Flow(end, rollback_on=("failure", "cancel", "timeout"), timeout=0.05 if end == "timeout" else None)

    def undo():
        pass

    @flow.step(rollback=undo)
    def book():
        return 1

    @flow.step(timeout=timeout)
    async def pay(book):
        if end == "failure" and timeout is None:
            raise ValueError("no money")
        await asyncio.sleep(60)

    return flow


@pytest.mark.parametrize(
    ("end", "timeout", "code"),
    [("failure", None, 1), ("failure", "50ms", 124), ("timeout", None, 124), ("cancel", None, 130)],
)
def test_watch_gives_a_run_that_was_undone_the_code_of_what_began_that(end, timeout, code, tmp_path, capsys):
    async def play():
        run = undone_on(end, timeout=timeout).start(store=tmp_path / "runs.db")
        if end == "cancel":
            async for event in run.events():
                if kind_of(event) == "step.started" and event.step == "pay":
                    run.cancel()
        await run.wait()
        return run

    run = asyncio.run(play())

    assert run.state == "rolled_back"
    assert answer(capsys, "watch", run.id, "--store", str(tmp_path / "runs.db"))[0] == code


def test_the_store_can_be_named_or_is_the_nearest(store, tmp_path, monkeypatch, capsys):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert len(document(capsys, "runs")[1]["runs"]) == 2
    monkeypatch.chdir(tmp_path.parent)
    assert len(document(capsys, "runs", "--store", str(store))[1]["runs"]) == 2


def test_an_unknown_run_or_step_is_named(store, capsys):
    run = document(capsys, "runs")[1]["runs"][0]["id"]

    code, _, err = answer(capsys, "show", "zzzz")
    assert (code, "No run 'zzzz'" in err) == (2, True)
    code, _, err = answer(capsys, "logs", run, "onne")
    assert (code, err) == (2, f"szal: Run {run} has no step 'onne'; it has one, half.\n")


def test_the_program_is_light():
    code = (
        "import sys\nfrom szal_nb.app.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'nbformat', 'nbclient', 'papermill', 'pandas', 'numpy', 'sqlite_utils', 'IPython', 'networkx', 'ipywidgets'}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.splitlines()[-1] == "[]"
    assert all(str(code.value) in found.stdout and code.reason in found.stdout for code in ExitCode)


@pytest.mark.serial
def _commands(parser):
    """Each command's parser by its words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield name, below
                yield from ((f"{name} {words}", one) for words, one in _commands(below))


def test_every_argument_of_every_command_says_what_it_is():
    silent = [
        f"{words} {action.metavar or action.dest}"
        for words, parser in _commands(make_parser())
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]

    assert silent == []


HELP = """
import contextlib, io, json, sys
from szal_nb.app.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
print(json.dumps(sorted(sys.modules)))
"""


def test_help_costs_little():
    found = subprocess.run([sys.executable, "-c", HELP], capture_output=True, check=True, text=True)
    modules = json.loads(found.stdout)

    light = {"szal_nb", "cloudpickle", "msgspec", "typing_extensions", "xxhash", *sys.stdlib_module_names}
    heavy = {root for name in modules if (root := name.partition(".")[0]) not in light}
    assert {root for root in heavy if not root.startswith("_")} <= {"sitecustomize", "usercustomize"}
    # About 0.4 s, half of it our own; each module that is not needed makes every command slower.
    assert len([name for name in modules if name.startswith("szal_nb.")]) < 200
    assert len(modules) < 500
