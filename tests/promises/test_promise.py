"""The first page of the promises: what a notebook becomes, and the three properties worth more than any feature."""

from __future__ import annotations

import cProfile
import json
import pstats
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

import szal_nb as szal
from szal_nb.errors import DefinitionError
from szal_nb.notebook.chip import chip_of
from tests.notebook.kernels import running_kernel
from tests.notebook.notebooks import fresh_notebook
from tests.promises.test_authoring import graph_of
from tests.store.test_schema import RELEASED


@pytest.mark.serial
def test_a_notebook_with_marked_cells_is_a_workflow(tmp_path):
    """A data scientist writes a notebook as always, puts `%%szal_step` on top of the cells that matter, and has a workflow: dependencies found from the code, steps run side by side inside the kernel, a live picture with buttons that answer, every step's result on disk the moment it exists."""
    with running_kernel(tmp_path) as kernel, fresh_notebook(kernel) as notebook:
        notebook.ok(
            "%load_ext szal_nb\nimport threading\nboth, go = threading.Barrier(2, timeout=60), threading.Event()"
        )
        notebook.step("left --pure both", "both.wait()\nl = 1")
        notebook.step("right --pure both go", "both.wait()\nr = go.wait(60)")
        notebook.step("total", "t = l + r")
        cell = notebook.ok("run = %szal_run")
        model = cell.shown[0]["application/vnd.jupyter.widget-view+json"]["model_id"]

        def states():
            path = notebook.value("str(run.store_path)")
            with closing(sqlite3.connect(path)) as connection:
                return dict(connection.execute("SELECT name, state FROM steps"))

        # While `right` is still at work.
        notebook.kernel.until(lambda: states().get("left") == "completed")
        assert states() == {"left": "completed", "right": "running", "total": "pending"}
        for action, state in (("pause", "paused"), ("resume", "running")):
            notebook.kernel.click(model, {"action": action, "id": state})
            notebook.kernel.until(lambda state=state: notebook.value("run.state") == state)
        notebook.ok("go.set()\nawait run")

        assert notebook.value("t") == 2
        assert set(states().values()) == {"completed"}


def test_what_cannot_be_proved_runs_in_document_order_and_what_is_contradictory_not_at_all():
    """What it cannot prove runs in document order, and the chip says why; what is contradictory is refused before the start."""
    graph = graph_of(
        "import lib", "%%szal_step a\nx = lib.load()", "%%szal_step b\nx.refresh()", "%%szal_step c\nprint(x)"
    )

    chip = str(chip_of(graph.node("c"), graph.edges_to("c")))
    assert "x" in chip
    assert "b" in graph.dependencies["c"]
    doubt = next(edge for edge in graph.edges if (edge.source, edge.target) == ("b", "c"))
    assert "which b may change (x.refresh(…))" in doubt.reason
    with pytest.raises(DefinitionError, match="a.*b|b.*a"):
        graph_of("%%szal_step a --after b\nx = 1", "%%szal_step b\ny = x")


def test_what_a_completed_step_gave_is_stored_or_said_to_be_live(tmp_path):
    """Nothing is "completed" unless what it gave is stored or declared `live`."""
    flow = szal.Flow("f")
    flow.step(lambda: {"rows": [1, 2]}, name="plain")
    flow.step(lambda: (threading.Lock(),)[0], name="lock")
    flow.step(lambda plain, lock: (len(plain), lock.locked()), name="reads")

    run = szal.run(flow, store=tmp_path / "runs.db")

    with szal.open_store(tmp_path / "runs.db") as store:
        refs = {name: step.values[0] for name, step in store.snapshot(run.id).steps.items()}
        assert store.value(run.id, "plain", "plain") == {"rows": [1, 2]}
        assert store.value(run.id, "reads", "reads") == (1, False)
    assert (refs["plain"].live, refs["lock"].hash) == (None, None)
    assert "lock" in refs["lock"].live


def test_a_step_costs_few_calls():
    """The engine costs a step microseconds, not milliseconds."""
    flow = szal.Flow("f")

    async def nothing():
        pass

    for number in range(1000):
        flow.step(nothing, name=f"s{number}", after=[f"s{number // 3}"] if number else [])
    profile = cProfile.Profile()
    # What a flow is made of is looked at once.
    szal.run(flow, store=None)

    run = profile.runcall(szal.run, flow, store=None)

    # Counted, because a machine may be slow: with all that a run needs besides. Each costs about a tenth of a microsecond.
    assert run.state == "completed"
    assert pstats.Stats(profile).total_calls / 1000 < 250


ALONE = """
import sys
seen = set()
sys.addaudithook(lambda event, args: seen.add(event))
import szal_nb as szal
flow = szal.Flow("f")
flow.step(lambda: 1, name="a")
flow.step(lambda a: a + 1, name="b")
run = szal.run(flow)
print(run.state, run.values.b, sorted(e for e in seen if e.startswith(("socket.bind", "socket.connect", "subprocess"))))
"""


def test_a_run_needs_nothing_but_its_process_and_a_file(tmp_path):
    """A notebook with no cluster, no server and no Docker is the normal case."""
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout == "completed 2 []\n"
    assert (tmp_path / ".szal" / "runs.db").exists()


@pytest.mark.serial
def test_all_magics_take_the_flags_of_the_page(tmp_path):
    """Line magics: `%szal_flow NAME …` · `%szal_run [NAME] [-p name value]… [--only A] [--from A] [--until A] [--reuse [RUN]] [--wait]` · `%szal_dag` · `%szal_status` · `%szal_runs` · `%szal_show RUN` · `%szal_resume [RUN]` · `%szal_replay RUN` · `%szal_fork RUN --from STEP [-p …]` · `%szal_diff A B` · `%szal_why STEP` · `%szal_cancel` · `%szal_migrate`. All are built on `IPython.core.magic_arguments`."""
    flags = {
        "flow": ["--version", "--max-parallel"],
        "run": ["-p", "--only", "--from", "--until", "--reuse", "--wait"],
        "fork": ["--from", "-p"],
        **{name: [] for name in ("dag", "status", "runs", "show", "resume", "replay", "diff", "why", "cancel")},
        "migrate": [],
    }
    with running_kernel(tmp_path) as kernel, fresh_notebook(kernel) as notebook:
        notebook.ok("%load_ext szal_nb")
        for name, wanted in flags.items():
            said = notebook.ok(f"%szal_{name} -h").text
            assert [flag for flag in wanted if flag not in said] == [], said
        made = "[hasattr(get_ipython().find_line_magic(f'szal_{name}'), 'parser') for name in %s]"
        assert json.loads(json.dumps(notebook.value(made % list(flags)))) == [True] * len(flags)


def test_inputs_are_stored_before_anything_runs(tmp_path):
    """Data is an input of the run, stored when the run starts."""
    path, flow, seen = tmp_path / "runs.db", szal.Flow("f"), []

    @flow.step
    def look(rows):
        with closing(sqlite3.connect(path)) as connection:
            seen.extend(connection.execute("SELECT name, summary FROM inputs"))
        rows.append(3)
        return rows

    run = szal.run(flow, {"rows": [1, 2]}, store=path)

    with szal.open_store(path) as store:
        kept = store.loader(run.id).load(store.inputs(run.id)["rows"])
    assert seen == [("rows", "2 items")]
    assert kept == [1, 2]


@pytest.mark.parametrize("schema", RELEASED, ids=lambda schema: schema.stem)
def test_a_run_of_an_old_store_is_of_use_still(tmp_path, schema):
    """A year later the run can be opened, replayed, compared, migrated to the new version of the flow."""
    path, ran = tmp_path / "runs.db", []
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(schema.read_text(encoding="utf-8"))
    flow = szal.Flow("sales", version=2)
    flow.step(lambda: ran.append("load"), name="load")
    flow.step(lambda: ran.append("clean"), name="clean", after=["load"])
    flow.step(lambda: ran.append("plot"), name="plot", after=["clean"])

    opened = szal.replay("aaaaaaaaaaaa", store=path)
    compared = szal.diff("aaaaaaaaaaaa", "bbbbbbbbbbbb", store=path)
    moved = flow.migrate("aaaaaaaaaaaa", store=path)
    with szal.open_store(path) as store:
        known = {run.id: (run.version, run.shown_state) for run in store.runs()}

    assert (opened.state, opened.values.load) == ("running", [1, 2, {"a": None}])
    assert "load" in str(compared)
    assert (known["aaaaaaaaaaaa"], known[moved][0]) == ((1, "crashed"), 2)
    assert ran == []
    assert szal.resume(flow, moved, store=path).state == "completed"
    assert ran == ["load", "clean", "plot"]
