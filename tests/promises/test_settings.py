"""Settings of the process, such as the working directory, are after a resume what the completed steps had made of them."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import pandas as pd
import polars as pl
import pytest
import sklearn

from szal_nb.engine.settings import RecordedSettings, Settings
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

NOTEBOOK = """
import os, sys, warnings
import pandas as pd
import polars as pl
import sklearn
import matplotlib as mpl
import matplotlib.pyplot as plt
from sklearn.preprocessing import StandardScaler
"""
SCALED = "type(StandardScaler().fit_transform(pd.DataFrame({'a': [1.0, 2.0]}))).__module__.partition('.')[0]"


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "runs.db", durability="fast") as store:
        yield store


@pytest.fixture
def leaves_no_trace(tmp_path, monkeypatch):
    """The process is afterwards what it was before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "data").mkdir()
    with warnings.catch_warnings(), pd.option_context("display.max_rows", 60), mpl.rc_context():
        yield
    pl.Config.restore_defaults()
    sklearn.set_config(transform_output="default")
    for name in ("SZAL_MODE", "SZAL_TOKEN"):
        os.environ.pop(name, None)


def another_process(tmp_path):
    """What a new process begins with."""
    os.chdir(tmp_path)
    pd.set_option("display.max_rows", 60)
    sys.path[:] = [entry for entry in sys.path if "szal-extra" not in entry]
    os.environ.pop("SZAL_MODE", None)
    mpl.rcParams["lines.linewidth"] = 1.5
    pl.Config.restore_defaults()
    sklearn.set_config(transform_output="default")
    warnings.simplefilter("error")


SETTINGS = {
    "working directory": ("os.chdir('data')", "os.path.basename(os.getcwd())", "data"),
    "environment": ("os.environ['SZAL_MODE'] = 'fast'", "os.environ.get('SZAL_MODE')", "fast"),
    "pandas options": ("pd.set_option('display.max_rows', 7)", "pd.get_option('display.max_rows')", 7),
    "looks of figures": ("plt.rcParams['lines.linewidth'] = 9", "plt.rcParams['lines.linewidth']", 9.0),
    "polars options": ("pl.Config.set_tbl_rows(3)", "repr(pl.Series('a', range(9))).count('\\n')", 7),
    "sklearn options": ("sklearn.set_config(transform_output='pandas')", SCALED, "pandas"),
    "import path": ("sys.path.append('/szal-extra')", "sys.path[-1]", "/szal-extra"),
    "warnings filters": (
        "warnings.filterwarnings('ignore', category=DeprecationWarning)",
        "[one[0] for one in warnings.filters if one[2] is DeprecationWarning][0]",
        "ignore",
    ),
}


@pytest.mark.usefixtures("leaves_no_trace")
@pytest.mark.parametrize(("change", "look", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_is_after_a_resume_what_a_completed_step_had_made_of_it(change, look, expected, store, tmp_path):
    """A resumed run equals an uncut one."""
    flow = CellFlow({"set": f"{change}\na = 1", "look": f"seen = {look}", "more": f"b = {look}, a"}, notebook=NOTEBOOK)
    flow.fails = {"look"}
    cut = flow.run(store)
    another_process(tmp_path)
    flow.fails = set()
    run = flow.resume(store, cut.id)

    assert run.state == "completed", run.snapshot
    assert (run["look"].value, run["more"].value) == (expected, (expected, 1))
    assert "set" not in flow.deeds


LOGGED = {
    "set": "logging.basicConfig(filename='run.log', level=logging.INFO, format='{levelname} {message}', style='{', force=True)",
    "own": "log = logging.getLogger('szal-settings')\nlog.setLevel('DEBUG')\nlog.addHandler(logging.FileHandler('own.log'))",
    "say": "log.debug('one')\nlog.info('two')\nsaid = 1",
    "look": "text = Path('run.log').read_text(), Path('own.log').read_text(), said",
}


@pytest.fixture
def loggers():
    """The loggers are afterwards what they were before; gives what makes them so."""
    root, own = logging.getLogger(), logging.getLogger("szal-settings")
    before = root.level, root.handlers[:]

    def put_back():
        for handler in {*root.handlers, *own.handlers} - {*before[1]}:
            handler.close()
        root.setLevel(before[0])
        root.handlers[:], own.handlers[:] = before[1], []
        own.setLevel(logging.NOTSET)

    yield put_back
    put_back()


@pytest.mark.usefixtures("leaves_no_trace")
@pytest.mark.parametrize("fails", ["own", "say", "look"])
def test_loggers_are_after_a_resume_what_completed_steps_had_made_of_them(fails, store, loggers):
    """A resumed run equals an uncut one."""
    flow = CellFlow(LOGGED, notebook="import logging\nfrom pathlib import Path")
    flow.fails = {fails}
    cut = flow.run(store)
    loggers()
    flow.fails = set()
    run = flow.resume(store, cut.id)

    assert run["look"].value == ("DEBUG one\nINFO two\n", "one\ntwo\n", 1)


KEPT_IN_MEMORY = """
import logging

class Kept(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())
"""


@pytest.mark.parametrize(
    "make", ["kept = Kept()", "kept = logging.StreamHandler(buf)", "kept = logging.handlers.BufferingHandler(9)"]
)
def test_a_handler_that_keeps_messages_in_memory_is_asked_for(make, store, loggers):
    """What was logged after a resume was lost, and nobody said so."""
    cells = {
        "set": f"{make}\nlog = logging.getLogger('szal-settings')\nlog.addHandler(kept)",
        "say": "said = len(logging.getLogger('szal-settings').handlers)",
    }
    flow = CellFlow(cells, notebook=f"{KEPT_IN_MEMORY}\nimport io, logging.handlers\nbuf = io.StringIO()")
    flow.fails = {"say"}
    cut = flow.run(store)
    flow.fails = set()
    assert flow.resume(store, cut.id)["say"].value == 1, "in the process in which it was added it still is there"
    flow.fails = {"say"}
    loggers()
    cut = flow.run(store)
    flow.fails = set()
    loggers()
    run = flow.resume(store, cut.id)

    if "Buffering" in make:
        assert run.state == "completed"
    else:
        assert "Add one before the run goes on" in run["say"].error.message


@pytest.mark.usefixtures("leaves_no_trace")
def test_who_runs_anew_finds_all_that_was_set_before_also_where_steps_between_only_found_it(store):
    """Only the last step that had set anything ran again."""
    cells = {
        "rows": "pd.set_option('display.max_rows', 7)",
        "between": "first = pd.get_option('display.max_rows')",
        "columns": "pd.set_option('display.max_columns', 8)",
        "look": "seen = pd.get_option('display.max_rows'), pd.get_option('display.max_columns')",
    }
    with pd.option_context("display.max_columns", 5):
        flow = CellFlow(cells, notebook="import pandas as pd")
        before = flow.run(store)
        pd.set_option("display.max_rows", 60, "display.max_columns", 5)
        changed = CellFlow({**cells, "look": f"{cells['look']}, 1"}, notebook="import pandas as pd")
        run = changed.run(store, reuse=before.id)

    assert run["look"].value == (7, 8, 1)


def test_what_letters_of_colors_stand_for_is_put_back_with_the_looks_of_figures():
    # As `seaborn.set_theme()` does: points were drawn in another green after a resume.
    settings, codes = Settings(), mpl.colors.colorConverter.colors
    before = codes["g"]
    try:
        codes["g"] = themed = (0.3, 0.6, 0.4)
        kept = settings.read("pyplot")
        codes["g"] = before
        assert mpl.colors.to_rgb("g") == before
        settings.put_back("pyplot", kept)

        assert mpl.colors.to_rgb("g") == themed
    finally:
        codes["g"] = before


def test_systems_are_numbered_on_where_completed_steps_had_come_to(monkeypatch):
    # Two systems of control with one name cannot be connected: a resume failed where an uncut run had not.
    numbered = ModuleType("control.iosys")
    numbered.InputOutputSystem = type("InputOutputSystem", (), {"_idCounter": 3})
    monkeypatch.setitem(sys.modules, "control", ModuleType("control"))
    monkeypatch.setitem(sys.modules, "control.iosys", numbered)
    kept = Settings().read("names of systems")
    numbered.InputOutputSystem._idCounter = 0

    Settings().put_back("names of systems", kept)

    assert numbered.InputOutputSystem._idCounter == 3


@pytest.mark.usefixtures("leaves_no_trace")
def test_a_rebuilt_step_finds_the_settings_that_it_found_the_first_time(store, tmp_path):
    cells = {
        "make": "here = os.path.basename(os.getcwd())\nitems = iter([here, 2])",
        "set": "os.chdir('data')",
        "look": "seen = next(items), os.path.basename(os.getcwd())",
    }
    flow = CellFlow(cells, notebook=NOTEBOOK)
    flow.fails = {"look"}
    cut = flow.run(store)
    flow.fails = set()
    run = flow.resume(store, cut.id)

    assert flow.deeds == ["make", "look"]
    assert run["look"].value == (tmp_path.name, "data")


@pytest.mark.usefixtures("leaves_no_trace")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SZAL_TOKEN", "very-secret-text"),
        ("SZAL_MODE", "postgresql://me:very-secret-text@host/db"),
        ("SZAL_MODE", "-----BEGIN PRIVATE KEY-----\nvery-secret-text"),
    ],
)
def test_a_variable_that_may_be_a_secret_is_not_recorded_and_asked_for(name, text, store, tmp_path):
    (tmp_path / "text").write_text(text)
    set_it = f"with open('text') as file:\n    os.environ[{name!r}] = file.read()"
    cells = {"set": set_it, "look": f"seen = len(os.environ[{name!r}])"}
    flow = CellFlow(cells, notebook=NOTEBOOK)
    flow.fails = {"look"}
    cut = flow.run(store)
    del os.environ[name]
    flow.fails = set()
    run = flow.resume(store, cut.id)

    assert run.state == "failed"
    assert f"{name}, which is not recorded because it may be a secret" in run["look"].error.message
    os.environ[name] = text
    assert flow.resume(store, cut.id)["look"].value == len(text)
    assert all(b"very-secret-text" not in path.read_bytes() for path in tmp_path.glob("runs.db*"))


@pytest.mark.usefixtures("leaves_no_trace")
def test_a_step_that_no_setting_matters_to_leaves_them_to_who_changes_them_meanwhile(store, tmp_path):
    """The two start at the same moment: putting back what the one found undid what the other was just setting."""
    cells = {"set": "os.chdir('data')\na = 1", "look": "seen = os.getcwd()", "plain": "p = 1"}
    flow = CellFlow(cells, notebook=NOTEBOOK)
    flow.fails = {"set"}
    cut = flow.run(store)
    graph, refs = flow.graph(), {(None, ref.name): ref for ref in cut.snapshot.inputs}
    settings = RecordedSettings(graph)
    settings.begin()
    os.chdir("data")

    def put_back(step):
        settings.put_back([node.step.name for node in graph.nodes].index(step), set(), refs, store.loader(cut.id).load)
        return Path.cwd().name

    assert (None, "<working directory>") in refs
    assert (put_back("plain"), put_back("set")) == ("data", tmp_path.name)
    os.chdir("data")
    assert put_back("look") == tmp_path.name


def test_a_step_that_runs_again_finds_the_environment_as_it_was_before_it_was_changed(store, leaves_no_trace):
    cells = {
        "make": "items = iter([os.environ.get('SZAL_MODE'), 2])",
        "change": "os.environ['SZAL_MODE'] = 'fast'",
        "look": "seen = next(items), os.environ.get('SZAL_MODE')",
    }
    flow = CellFlow(cells, notebook="import os")
    flow.fails = {"look"}
    cut = flow.run(store)
    del os.environ["SZAL_MODE"]
    run = CellFlow(cells, notebook="import os").resume(store, cut.id)

    assert run["look"].value == (None, "fast")


@pytest.mark.usefixtures("leaves_no_trace")
def test_what_a_library_keeps_for_each_thread_counts_for_all_steps_and_for_the_notebook(store):
    """Running the flow in parallel gives what "Restart and run all" gives."""
    cells = {
        "before": f"first = {SCALED}",
        "polars": "sklearn.set_config(transform_output='polars')",
        "after": f"second = {SCALED}",
        "own": f"with sklearn.config_context(transform_output='default'):\n    third = {SCALED}",
        "last": f"fourth = {SCALED}",
    }
    sklearn.set_config(transform_output="pandas")
    flow = CellFlow(cells, notebook=NOTEBOOK)
    run = flow.run(store)

    assert [run[name].value for name in ("before", "after", "own", "last")] == [
        "pandas", "polars", "numpy", "polars",
    ]  # fmt: skip
    assert sklearn.get_config()["transform_output"] == "polars"
    assert {(edge.source, edge.target) for edge in flow.graph().edges} == {
        ("before", "polars"), ("polars", "after"), ("polars", "own"), ("polars", "last"),
    }  # fmt: skip


@pytest.mark.usefixtures("leaves_no_trace")
@pytest.mark.parametrize("setting", ["", "await asyncio.sleep(0)\n"], ids=["in a thread", "on the loop"])
@pytest.mark.parametrize("reading", ["", "await asyncio.sleep(0)\n"], ids=["in a thread", "on the loop"])
def test_what_a_library_keeps_for_each_thread_is_there_after_a_resume(store, setting, reading):
    """A resumed run equals an uncut one. Tables are written down, and read, on threads that no body runs on."""
    scaled = "type(StandardScaler().fit_transform(table)).__module__.partition('.')[0]"
    cells = {
        "set": f"{setting}sklearn.set_config(transform_output='pandas')\ntable = pd.DataFrame({{'a': [1.0, 2.0]}})",
        "scaled": f"{reading}found = {scaled}",
    }
    flow = CellFlow(cells, notebook=f"import asyncio\n{NOTEBOOK}")
    flow.fails = {"scaled"}
    cut = flow.run(store)
    sklearn.set_config(transform_output="default")

    run = CellFlow(cells, notebook=f"import asyncio\n{NOTEBOOK}").resume(store, cut.id)

    assert run.value("scaled", "found") == "pandas"


@pytest.mark.usefixtures("leaves_no_trace")
@pytest.mark.parametrize("is_async", [False, True], ids=["in threads", "on the loop"])
def test_steps_that_need_other_settings_do_not_run_side_by_side_after_a_resume(store, tmp_path, is_async):
    """A resumed run equals an uncut one, also where a step between two that failed has completed."""
    (tmp_path / "a").mkdir()
    # Were they side by side, the second would have begun by then.
    wait = "await asyncio.wait_for(asyncio.to_thread(begun.wait, 0.5), 5)" if is_async else "begun.wait(0.5)"
    cells = {
        "there": "os.chdir('a')",
        "first --pure begun": f"{wait}\nfirst = os.path.basename(os.getcwd())",
        "back": "os.chdir('..')",
        "last --pure begun": "begun.set()\nlast = os.path.basename(os.getcwd())",
    }
    notebook = f"{NOTEBOOK}\nimport asyncio, threading\nbegun = threading.Event()"
    flow = CellFlow(cells, notebook=notebook)
    flow.fails = {"first", "last"}
    cut = flow.run(store)
    os.chdir(tmp_path)

    run = CellFlow(cells, notebook=notebook).resume(store, cut.id)

    assert (run.value("first", "first"), run.value("last", "last")) == ("a", tmp_path.name)
