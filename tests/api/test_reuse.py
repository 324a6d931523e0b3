"""Reuse: "a new run that takes from an old one exactly the steps whose fingerprint and inputs are unchanged"."""

from __future__ import annotations

import asyncio
import sys
import types

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import szal_nb as szal
from szal_nb.analysis.doubt import steps_in_doubt
from szal_nb.api.past import why as szal_why
from szal_nb.errors import AnswerInDoubt, HiddenStateUsed
from szal_nb.model.secret import SECRETS
from szal_nb.model.state import StepState
from szal_nb.model.value import ErrorInfo
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow, everything

CELLS = {"load": "x = [3, 1, rows]", "clean": "y = sorted(x)", "total": "t = sum(y)", "beside": "z = rows * 2"}


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


def origins(run):
    return {name: step.origin for name, step in run.snapshot.steps.items()}


def test_a_run_that_reuses_an_equal_one_runs_nothing(store):
    flow = CellFlow(CELLS, notebook="rows = 2")
    first = flow.run(store)

    again = flow.run(store, reuse=first.id)

    assert (flow.deeds, again.state, everything(again)) == ([], "completed", everything(first))
    assert set(origins(again).values()) == {"cached"}
    assert {step.taken_from for step in again.snapshot.steps.values()} == {first.id}


@pytest.mark.parametrize(
    ("cells", "notebook", "inputs", "ran", "reason"),
    [
        ({**CELLS, "clean": "y = sorted(x, reverse=True)"}, "rows = 2", {}, ["clean", "total"], "changed: code"),
        ({**CELLS, "clean": "# why\ny = sorted( x )"}, "rows = 2", {}, [], ""),
        (CELLS, "rows = 2", {"rows": 5}, ["beside", "clean", "load", "total"], "changed: value rows"),
        ({**CELLS, "more": "m = t + 1"}, "rows = 2", {}, ["more"], "has no such step"),
        ({**CELLS, "total": "t = sum(y)\nimport json"}, "rows = 2", {}, ["total"], "changed: code"),
    ],
    ids=["code", "comment", "input", "new step", "import"],
)
def test_exactly_what_is_affected_runs_and_the_plan_says_why(store, cells, notebook, inputs, ran, reason):
    first = CellFlow(CELLS, notebook="rows = 2").run(store)

    flow = CellFlow(cells, notebook=notebook)
    again = flow.run(store, inputs, reuse=first.id)

    assert sorted(flow.deeds) == ran
    assert reason in str(again.plan)
    fresh = flow.run(store, inputs)
    assert everything(again) == everything(fresh)


def test_what_reads_a_step_that_gives_the_same_again_is_taken_when_it_starts(store):
    first = CellFlow({"a": "x = 1", "b": "y = x + 1", "c": "z = y"}).run(store)

    flow = CellFlow({"a": "x = 2 - 1", "b": "y = x + 1", "c": "z = y"})
    again = flow.run(store, reuse=first.id)

    assert flow.deeds == ["a"]
    assert origins(again) == {"a": "ran", "b": "cached", "c": "cached"}
    assert "open   b  taken if a gives what it gave before" in str(again.plan)


def test_a_renamed_step_is_found_by_its_code(store):
    first = CellFlow({"a": "x = 1", "b": "y = x + 1"}).run(store)

    flow = CellFlow({"load": "x = 1", "b": "y = x + 1"})
    again = flow.run(store, reuse=first.id)

    assert (flow.deeds, origins(again)) == ([], {"load": "cached", "b": "cached"})
    assert "it was called a" in str(again.plan)


def test_a_function_of_the_notebook_counts_also_through_another(store):
    notebook = "def f(v):\n    return g(v)\ndef g(v):\n    return v + 1"
    cells = {"a": "x = f(1)", "b": "y = 5"}
    first = CellFlow(cells, notebook=notebook).run(store)

    flow = CellFlow(cells, notebook=notebook.replace("v + 1", "v + 2"))
    again = flow.run(store, reuse=first.id)

    assert (flow.deeds, again.values.x) == (["a"], 3)
    assert "changed: function g" in str(again.plan)


def test_live_values_are_never_reused(store):
    cells = {"a": "f = (n for n in range(3))\nk = 7", "b": "s = sum(f)", "c": "m = k"}
    first = CellFlow(cells).run(store)

    flow = CellFlow(cells)
    again = flow.run(store, reuse=first.id)

    assert sorted(flow.deeds) == ["a", "b"]
    assert "its value f was live" in str(again.plan)
    assert origins(again)["c"] == "cached", "k is what it was"


def test_steps_that_share_hidden_state_are_taken_together_or_not_at_all(store):
    cells = {"seed": "random.seed(1)\na = 1", "draw": "x = random.random()", "beside": "y = 1"}
    first = CellFlow(cells, notebook="import random").run(store)

    flow = CellFlow({**cells, "seed": "random.seed(2)\na = 1"}, notebook="import random")
    again = flow.run(store, reuse=first.id)
    fresh = flow.run(store)

    assert again.values.x == fresh.values.x != first.values.x
    assert origins(again) == {"seed": "ran", "draw": "ran", "beside": "cached"}

    flow = CellFlow({**cells, "draw": "x = random.random() + 1"}, notebook="import random")
    again = flow.run(store, reuse=first.id)
    assert again.values.x == first.values.x + 1
    assert "draw runs, and finds random as it leaves it" in str(again.plan)


def test_names_that_were_one_object_stay_one_object(store):
    cells = {"a": "x = [1]\ny = x", "b": "x.append(2)", "c": "n = sum(y)"}
    first = CellFlow(cells).run(store)

    flow = CellFlow({**cells, "b": "x.append(3)"})
    again = flow.run(store, reuse=first.id)
    fresh = flow.run(store)

    assert everything(again) == everything(fresh)
    assert again.values.x is again.values.y

    untouched = flow.run(store, reuse=fresh.id)
    assert everything(untouched) == everything(fresh)
    assert untouched.values.x is untouched.values.y


def test_code_that_uses_names_that_cannot_be_known_is_never_reused(store):
    cells = {"a": "exec('x = 1')\ny = 1"}
    first = CellFlow(cells).run(store)

    flow = CellFlow(cells)
    again = flow.run(store, reuse=first.id)

    assert (flow.deeds, again["a"].origin) == (["a"], "ran")


def test_a_step_that_failed_runs_and_what_it_needs_is_taken(store):
    first = CellFlow({"a": "x = 1", "b": "y = x / 0"}).run(store)

    flow = CellFlow({"a": "x = 1", "b": "y = x / 1"})
    again = flow.run(store, reuse="")

    assert (flow.deeds, again.state, first.state) == (["b"], "completed", "failed")


def test_a_condition_is_asked_again(store):
    cells = {"a": "x = limit", "b --when 'x > 1'": "y = x"}
    first = CellFlow(cells, notebook="limit = 2").run(store)

    flow = CellFlow(cells, notebook="limit = 2")
    again = flow.run(store, reuse=first.id)
    lower = flow.run(store, {"limit": 1}, reuse=first.id)

    assert origins(again) == {"a": "cached", "b": "cached"}
    assert lower["b"].state == "skipped"


def test_cache_takes_from_any_run_of_the_flow_without_being_asked(store):
    cells = {"a": "x = n", "b --cache": "y = x + 1", "c": "z = y"}
    flow = CellFlow(cells, notebook="n = 1")
    first = flow.run(store)
    flow.run(store, {"n": 2})

    again = flow.run(store, {"n": 1})

    assert flow.deeds == ["a", "c"]
    assert (again["b"].origin, again.snapshot.steps["b"].taken_from) == ("cached", first.id)
    assert again.values.y == 2


def test_the_newest_runs_are_looked_through_one_step_at_a_time(store):
    cells = {"a": "x = 1", "b": "y = x", "c": "z = x + 1"}
    flow = CellFlow(cells)
    flow.run(store, skipped={"c": "not now"})
    flow.run(store, skipped={"b": "not now"})

    again = flow.run(store, reuse="")

    assert (flow.deeds, again.state) == ([], "completed")


def test_a_step_with_a_condition_is_looked_for_in_older_runs_too(store):
    """The newest run has not come to it: it failed, or was of another part of the flow."""
    cells = {"a": "x = 1", "b --when 'x > 0'": "y = x"}
    flow = CellFlow(cells)
    first = flow.run(store)
    flow.run(store, skipped={"b": "not now"})

    again = flow.run(store, reuse="")

    assert (flow.deeds, again.snapshot.steps["b"].taken_from) == ([], first.id)


@pytest.fixture
def upgraded(monkeypatch):
    """A module `lib` with a class, and a function that exchanges it for a newer version in which that class is none."""
    lib = types.ModuleType("lib")
    exec("class Model:\n    def __init__(self, a): self.a = a", lib.__dict__)
    monkeypatch.setitem(sys.modules, "lib", lib)
    versions = {"lib": "1"}
    monkeypatch.setattr("szal_nb.api.reuse.packages", lambda: versions)

    def upgrade():
        versions["lib"] = "2"
        exec("class Net:\n    def __init__(self, a): self.a = a\ndef Model(a): return Net(a)", lib.__dict__)

    return upgrade


@pytest.mark.parametrize(("line", "reuse"), [("fit", ""), ("fit --cache", None)], ids=["reuse", "cache"])
def test_a_value_that_an_upgraded_package_cannot_load_is_not_taken(store, upgraded, line, reuse):
    cells = {line: "import lib\nmodel = lib.Model(3)", "tell": "told = model.a\nassert n < 9", "beside": "x = 1"}
    flow = CellFlow(cells, notebook="n = 9")
    flow.packages = {"lib": "1"}
    first = flow.run(store)
    assert (first["fit"].state, first["tell"].state) == ("completed", "failed")

    upgraded()
    flow.packages = {"lib": "2"}
    again = flow.run(store, {"n": 1}, reuse=reuse)

    assert (again.state, again["fit"].origin, again.values.told) == ("completed", "ran", 3)
    if reuse is not None:
        assert f"in run {first.id} its value model cannot be loaded: reading it failed with" in str(again.plan)
        assert again["beside"].origin == "cached"


@pytest.mark.parametrize("line", ["fit", "fit --cache"])
def test_that_a_package_is_another_is_said_of_what_is_taken(store, line):
    flow = CellFlow({line: "import yaml\nmodel = yaml.safe_load('3')", "tell": "told = model"})
    flow.packages = {"PyYAML": "5", "numpy": "1"}
    first = flow.run(store)
    flow.packages = {"PyYAML": "6", "numpy": "2"}

    again = flow.run(store, reuse=None if "--cache" in line else "")

    assert again["fit"].origin == "cached"
    warned = f"Mind: run {first.id} had PyYAML 5, here is 6; fit is taken all the same."
    said = str(again.plan) if again.plan is not None else again["fit"].logs
    assert (warned in said, "numpy" in said) == (True, False)


def test_that_a_package_is_another_is_said_to_flows_of_functions_too(store, monkeypatch):
    flow = szal.Flow("fit")

    @flow.step
    def model():
        import yaml

        return yaml.safe_load("3")

    versions = {"PyYAML": "5"}
    monkeypatch.setattr("szal_nb.api.flow.packages", lambda: dict(versions))
    first = szal.run(flow, store=store)
    versions["PyYAML"] = "6"
    again = szal.run(flow, store=store, reuse=True)

    assert store.run(first.id).packages == {"PyYAML": "5"}
    assert f"Mind: run {first.id} had PyYAML 5, here is 6; model is taken all the same." in str(again.plan)


def test_why_says_what_kept_a_step_from_being_taken(store):
    cells = {"a": "xs = [1]", "b": "f = (n for n in xs)", "c": "import random\nrandom.seed(n)", "d": "random.random()"}
    flow = CellFlow(cells, notebook="n = 1\nimport random")
    first = flow.run(store)
    again = flow.run(store, reuse="")

    def cause(step):
        return szal_why(store, again.id, step).cause

    since = f"nothing of it has changed since run {first.id}"
    assert flow.deeds == ["b"]
    assert cause("b").startswith(f"ran: {since}; what it gave there cannot be taken: its value f was live")
    changed = flow.run(store, {"n": 2}, reuse="")
    found = szal_why(store, changed.id, "d").cause
    assert found.startswith(f"ran: nothing of it has changed since run {again.id}; it comes after c, which ran")
    assert "nobody asked to reuse that" in szal_why(store, flow.run(store).id, "a").cause


def test_flows_in_python_count_what_their_functions_use(tmp_path):
    factor = {"is": 2}

    def helper(n):
        return n * factor["is"]

    flow = szal.Flow("py")

    @flow.step
    def load(rows):
        return list(range(rows))

    @flow.step
    def scaled(load):
        return [helper(n) for n in load]

    path = tmp_path / "runs.db"
    first = szal.run(flow, {"rows": 3}, store=path)
    again = szal.run(flow, {"rows": 3}, store=path, reuse=True)
    assert {name: step.origin for name, step in again.steps.items()} == {"load": "cached", "scaled": "cached"}

    factor["is"] = 3
    changed = szal.run(flow, {"rows": 3}, store=path, reuse=first.id)
    assert {name: step.origin for name, step in changed.steps.items()} == {"load": "cached", "scaled": "ran"}
    assert changed["scaled"].value == [0, 3, 6]
    assert "changed: data factor" in str(changed.plan)

    only = szal.run(flow, {"rows": 3}, store=path, only="scaled")
    assert {name: step.origin for name, step in only.steps.items()} == {"load": "cached", "scaled": "ran"}


def test_a_module_of_the_users_own_counts_with_its_text(tmp_path, monkeypatch, store):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_rates.py").write_text("RATE = 2\n")
    cells = {"a": "from own_rates import RATE\nx = RATE * 2"}
    first = CellFlow(cells).run(store)

    (tmp_path / "own_rates.py").write_text("RATE = 30\n")
    flow = CellFlow(cells)
    again = flow.run(store, reuse=first.id)

    assert "changed: module own_rates" in str(again.plan)


def test_a_run_that_took_values_is_resumed_like_any_other(store):
    async def cut(flow, first):
        from szal_nb.api.launch import Surround, resume_run

        graph = flow.graph()
        broken = CellFlow({**CELLS, "total": "t = 1 / 0"}, notebook="rows = 2")
        failed = await broken._run(store, {}, reuse=first.id)
        assert failed.state == "failed"
        again = resume_run(failed.id, graph, flow.bodies(graph), {}, Surround(store=store))
        await again.wait()
        return again

    flow = CellFlow(CELLS, notebook="rows = 2")
    first = flow.run(store)
    flow.deeds.clear()
    again = asyncio.run(cut(flow, first))

    assert (flow.deeds, again.values.t) == (["total"], first.values.t)


NAMES = ("a", "b", "c", "d", "e")


@st.composite
def programs(draw):
    """Cells that read names given above, change lists in place, and share objects."""
    cells = {}
    for number, name in enumerate(NAMES):
        above = [f"v_{other}" for other in NAMES[:number]]
        lines = [f"v_{name} = [{draw(st.integers(0, 3))}]"]
        for _ in range(draw(st.integers(0, 3))):
            if not above:
                break
            other = draw(st.sampled_from(above))
            lines.append(
                draw(
                    st.sampled_from(
                        [
                            f"v_{name} = v_{name} + {other}",
                            f"v_{name} = {other}[:2] + [k]",
                            f"{other}.append({draw(st.integers(0, 2))})",
                            f"v_{name} = list(map(helper, {other}))",
                            f"v_{name}.append(random.randrange(9))",
                        ]
                    )
                )
            )
        cells[name] = "\n".join(lines)
    return cells


NOTEBOOK = "import random\nk = {k}\ndef helper(n):\n    return n + {h}\n"


@settings(max_examples=40, deadline=None)
@given(programs(), st.data())
def test_reuse_never_changes_the_answer(cells, data):
    """What a run that reuses gives is what running all of it gives, after any edits."""
    from szal_nb.errors import DefinitionError

    head = "random.seed(4)\n"
    with RunStore.open(":memory:", durability="fast") as store:
        try:
            old = CellFlow({**cells, "a": head + cells["a"]}, notebook=NOTEBOOK.format(k=1, h=1))
            old.run(store)
            edited = dict(cells)
            for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
                edited[name] = data.draw(programs())[name]
            k, h = data.draw(st.sampled_from([(1, 1), (2, 1), (1, 2)]))
            new = CellFlow({**edited, "a": head + edited["a"]}, notebook=NOTEBOOK.format(k=k, h=h))
            again = new.run(store, reuse="")
            fresh = new.run(store)
        except DefinitionError:
            return
        assert everything(again) == everything(fresh)


def test_past_runs_of_a_flow_in_python_are_replayed_compared_explained_verified_and_forked(tmp_path):
    path = tmp_path / "runs.db"
    flow = szal.Flow("py")

    @flow.step
    def load(rows):
        print("loading")
        return [rows, 1]

    @flow.step
    def total(load, factor):
        return sum(load) * factor

    first = szal.run(flow, {"rows": 3, "factor": 2}, store=path)
    forked = szal.fork(flow, first.id, "total", {"factor": 5}, store=path)
    past = szal.replay(first.id, store=path)

    assert (forked["total"].value, forked["load"].origin, past["load"].logs) == (20, "given", "loading\n")
    assert [past.at(n).state for n in (1, 2, -1)] == ["created", "running", "running"]
    assert past.at(past.snapshot.events).values.total == first.at(first.snapshot.events).values.total == 8
    found = szal.diff(first.id, forked.id, store=path)
    assert [value.name for value in found.inputs] == ["factor"]
    assert [(step.step, step.is_same) for step in found.steps] == [("load", True), ("total", False)]
    assert szal.why(forked.id, "total", store=path).changed == ("value factor",)
    assert szal.verify(flow, first.id, store=path) == ()


def test_hidden_state_counts_also_where_an_edge_has_another_reason_besides(store):
    cells = {
        "a": "random.seed(4)\nv_a = [0]",
        "b": "v_b = [*v_a, random.randrange(9)]",
        "c": "v_a.append(0)\nv_c = [random.randrange(9)]",
    }
    CellFlow(cells, notebook="import random").run(store)

    flow = CellFlow(cells, notebook="import random")
    assert everything(flow.run(store, reuse="")) == everything(flow.run(store))


# A run that failed because its answer was in doubt.

DOUBTFUL = {
    "load": "x = [3, 1]",
    "price": "p = 2",
    "look": "seen = list(x)",
    "sneak --pure x --after look price": "x.append(p)",
}


def test_nothing_in_doubt_is_taken_from_a_run_that_a_change_nobody_declared_has_failed(store):
    first = CellFlow(DOUBTFUL).run(store)
    assert first["sneak"].error.type == "ValueChanged"

    flow = CellFlow(
        {**{name: DOUBTFUL[name] for name in ("load", "price", "look")}, "sneak --after look": "y = [*x, p]"}
    )
    again = flow.run(store, reuse=first.id)

    assert sorted(flow.deeds) == ["look", "sneak"]
    assert "the answer is in doubt" in str(again.plan)


def test_such_a_run_does_not_go_on(store):
    """What was read in it nobody can tell any more: a resume would give another answer than the run from the top."""
    flow = CellFlow(DOUBTFUL)
    first = flow.run(store)

    with pytest.raises(AnswerInDoubt, match=f"step 'sneak' failed by ValueChanged: .*--reuse {first.id}"):
        flow.resume(store, first.id)
    with pytest.raises(szal.RunFailed, match=f"begin anew with what is beyond doubt: %szal_run --reuse {first.id}"):
        first.raise_if_failed()


def test_of_a_run_that_used_what_no_step_may_share_nothing_is_beyond_doubt(store):
    first = CellFlow({"a": "import random\nf = random\nx = 1", "b": "y = 2"}).run(store)
    step = first.snapshot.steps["b"]
    kinds = tuple(f"{kind.__module__}.{kind.__name__}" for kind in HiddenStateUsed.__mro__)
    step.state, step.error = StepState.FAILED, ErrorInfo(type="HiddenStateUsed", names=kinds)

    assert steps_in_doubt(first.graph, first.snapshot) == {"a", "b"}


LOOKS = {
    "style": "plt.rcParams['lines.linewidth'] = 9",
    "first": "plt.figure()\na = plt.rcParams['lines.linewidth']",
    "second": "plt.figure()\nb = plt.rcParams['lines.linewidth']",
}


@pytest.mark.parametrize(
    ("step", "text", "ran"),
    [
        ("style", "plt.rcParams['lines.linewidth'] = 4", ["style", "first", "second"]),
        ("second", "plt.figure()\nb = 2 * plt.rcParams['lines.linewidth']", ["style", "second"]),
        ("first", "plt.figure()\na = 2 * plt.rcParams['lines.linewidth']", ["style", "first"]),
    ],
)
def test_how_figures_look_is_what_the_steps_before_have_made_of_it(store, step, text, ran):
    with mpl.rc_context():
        first = CellFlow(LOOKS, notebook="import matplotlib.pyplot as plt").run(store)
    with mpl.rc_context():
        flow = CellFlow({**LOOKS, step: text}, notebook="import matplotlib.pyplot as plt")
        flow.run(store, reuse=first.id)
        plt.close("all")

    assert flow.deeds == ran


def test_a_step_that_depends_on_what_the_notebook_assigned_to_a_function_runs_when_that_is_another(store):
    notebook = "def f(x):\n    return x * f.by\nf.by = {by}\nclass K:\n    pass\nK.n = {n}\n"
    cells = {"a": "a = f(1)", "b": "b = K.n", "c": "c = 1"}
    first = CellFlow(cells, notebook=notebook.format(by=2, n=3)).run(store)
    flow = CellFlow(cells, notebook=notebook.format(by=4, n=3))
    run = flow.run(store, reuse=first.id)

    assert (run.values.a, flow.deeds) == (4, ["a"])
    assert "changed: attributes of f" in str(run.plan)
    assert CellFlow(cells, notebook=notebook.format(by=2, n=5)).run(store, reuse=first.id).values.b == 5
    twice = notebook.format(by=2, n=3) + "f.by = 2\n"
    again = CellFlow(cells, notebook=twice)
    again.run(store, reuse=first.id)
    assert again.deeds == [], "a cell that was executed once more says nothing new"


@pytest.mark.parametrize("flags", ["--map-mode product", "--map-errors collect"])
def test_how_a_step_is_mapped_counts(store, flags):
    lists = "xs, zs = [1, 2], [3, 4]"
    first = CellFlow({"load": lists, "each --map xs zs": "ys = xs * zs"}).run(store)
    flow = CellFlow({"load": lists, f"each --map xs zs {flags}": "ys = xs * zs"})
    flow.run(store, reuse=first.id)

    assert "each" in flow.deeds


def test_what_a_function_kept_when_the_run_began_counts(store):
    notebook = "def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)\n"
    cells = {"a --cache": "a = f(1)", "b": "b = 1"}
    first = CellFlow(cells, notebook=notebook).run(store)
    flow = CellFlow(cells, notebook=notebook + "f(0)\n")
    run = flow.run(store, reuse=first.id)

    assert (run.values.a, flow.deeds) == ([0, 1], ["a"])
    assert "not what it was at the beginning: default of f(acc=…)" in str(run.plan)
    assert CellFlow(cells, notebook=notebook + "f(0)\n").run(store).values.a == [0, 1], "nor is it taken by --cache"


@pytest.fixture
def no_secrets():
    """What a test makes a secret is one for it only."""
    yield
    SECRETS.__init__()


@pytest.mark.usefixtures("no_secrets")
def test_an_input_that_holds_a_secret_is_not_stored_by_a_run_that_takes_from_another(tmp_path, monkeypatch):
    monkeypatch.setenv("LATE_SECRET", "late-secret-of-the-environment")
    key = str(szal.secret("LATE_SECRET"))
    flow = CellFlow({"use": "n = len(key)"}, notebook="key = []")
    with RunStore.open(tmp_path / "runs.db") as store:
        first = flow.run(store)
        again = flow.run(store, {"key": [key]}, reuse=first.id)

    assert [(ref.name, ref.live) for ref in again.snapshot.inputs] == [("key", "it contains a secret")]
    assert not any(key.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
