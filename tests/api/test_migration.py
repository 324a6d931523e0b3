"""Runs that are carried to a new version end as a fresh run of it would, or are refused; never silently wrong."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import szal_nb as szal
from szal_nb.api import migration
from szal_nb.api.migration import NewVersion
from szal_nb.errors import MigrationError, RunOwned
from szal_nb.model.event import RunCreated
from szal_nb.store.runs import NewRun, RunStore
from tests.api.cell_flows import CellFlow, everything

NOTEBOOK = "import random\nrows = 3\ndef grow(v):\n    return [n + 1 for n in v]\n"
CELLS = {
    "load": "random.seed(3)\nx = [random.random() for _ in range(rows)]",
    "clean": "y = grow(sorted(x))",
    "split": "left, right = y[:1], y[1:]",
    "change": "right.append(rows)",
    "total": "t = sum(left) + sum(right)",
    "beside": "z = rows * 2",
}


def without(*names):
    return {name: source for name, source in CELLS.items() if name not in names}


def in_place_of(step, cells):
    found = {}
    for name, source in CELLS.items():
        found |= cells if name == step else {name: source}
    return found


EDITS = {
    "nothing": (CELLS, NOTEBOOK),
    "a comment": ({**CELLS, "clean": "# why\ny = grow( sorted(x) )"}, NOTEBOOK),
    "code at the top": ({**CELLS, "load": "random.seed(4)\nx = [random.random() for _ in range(rows)]"}, NOTEBOOK),
    "code in the middle": ({**CELLS, "clean": "y = grow(sorted(x, reverse=True))"}, NOTEBOOK),
    "code of a change in place": ({**CELLS, "change": "right.append(rows + 1)"}, NOTEBOOK),
    "code at the end": ({**CELLS, "total": "t = max(left + right)"}, NOTEBOOK),
    "a helper": (CELLS, NOTEBOOK.replace("n + 1", "n + 2")),
    "an input's value": (CELLS, NOTEBOOK.replace("rows = 3", "rows = 4")),
    "an import": (CELLS, NOTEBOOK + "import math\n"),
    "a new last step": ({**CELLS, "more": "m = t + z"}, NOTEBOOK),
    "a new first step": ({"first": "f = 1", **CELLS}, NOTEBOOK),
    "a new step between": (
        {**CELLS, "total": "t = sum(left) + sum(right) + e", "beside": CELLS["beside"]} | {},
        NOTEBOOK + "e = 5\n",
    ),
    "a new giver of a name": ({"load": CELLS["load"], "again": "x = x + [1]", **without("load")}, NOTEBOOK),
    "a removed last step": (without("total"), NOTEBOOK),
    "a removed change in place": (without("change"), NOTEBOOK),
    "a removed aside": (without("beside"), NOTEBOOK),
    "a renamed step": ({("fetch" if name == "load" else name): source for name, source in CELLS.items()}, NOTEBOOK),
    "two renamed steps": (
        {{"load": "fetch", "total": "sum-up"}.get(name, name): source for name, source in CELLS.items()},
        NOTEBOOK,
    ),
    "a rename with other code": ({"fetch": "x = [1.0, 2.0]", **without("load")}, NOTEBOOK),
    "swapped names": ({**CELLS, "total": CELLS["beside"], "beside": CELLS["total"]}, NOTEBOOK),
    "a renamed name": ({**CELLS, "clean": "yy = grow(sorted(x))", "split": "left, right = yy[:1], yy[1:]"}, NOTEBOOK),
    "a step split in two": (in_place_of("split", {"split": "left = y[:1]", "rest": "right = y[1:]"}), NOTEBOOK),
    "two steps joined": ({"load": CELLS["load"] + "\n" + CELLS["clean"], **without("load", "clean")}, NOTEBOOK),
    "another order of independent steps": ({"beside": CELLS["beside"], **without("beside")}, NOTEBOOK),
    "an order without data": (
        {**{k: v for k, v in CELLS.items() if k != "beside"}, "beside --after total": CELLS["beside"]},
        NOTEBOOK,
    ),
    "a condition": ({**without("beside"), "beside --when 'rows > 2'": CELLS["beside"]}, NOTEBOOK),
    "a false condition": ({**without("beside"), "beside --when 'rows > 9'": CELLS["beside"]}, NOTEBOOK),
    "a retry": ({**without("total"), "total --retries 2": CELLS["total"]}, NOTEBOOK),
    "an out": (in_place_of("split", {"split --out right left": CELLS["split"]}), NOTEBOOK),
    "a new reader of an old name": ({**CELLS, "late": "w = x[:1]"}, NOTEBOOK),
    "a second change in place": ({**CELLS, "change2": "right.append(100)"}, NOTEBOOK),
    "a change in place of what others read": ({**CELLS, "change2": "x.append(100)"}, NOTEBOOK),
    "a constant for an input": ({**CELLS, "beside": "z = 6"}, NOTEBOOK),
    "a new input": ({**CELLS, "beside": "z = rows * e"}, NOTEBOOK + "e = 7\n"),
    "a new draw from the generator": ({**CELLS, "draw": "d = random.random()"}, NOTEBOOK),
    "a draw before": ({"load": CELLS["load"], "draw": "d = random.random()", **without("load")}, NOTEBOOK),
    "another type": ({**CELLS, "beside": "z = str(rows)"}, NOTEBOOK),
    "a live value": ({**CELLS, "beside": "z = (n for n in range(rows))"}, NOTEBOOK),
    "dynamic code": ({**CELLS, "beside": "exec('q = 1')\nz = 1"}, NOTEBOOK),
    "a class": ({**CELLS, "beside": "class K:\n    n = 1\nz = K.n"}, NOTEBOOK),
    "nothing is left": ({"other": "o = 1"}, NOTEBOOK),
}


@pytest.fixture
def store():
    with RunStore.open(":memory:", durability="fast") as store:
        yield store


@pytest.fixture(autouse=True)
def nothing_declared():
    yield
    migration._DECLARED.clear()


def stopped(store, cells=CELLS, notebook=NOTEBOOK, *, at, **options):
    flow = CellFlow(cells, notebook=notebook, **options)
    flow.fails = {at}
    run = flow.run(store)
    assert run.state == "failed"
    return run


def test_there_are_forty_edits():
    assert len(EDITS) >= 40


def wrong_ends(store, edit):
    """The steps at which a run was cut that, carried over, did not end as a fresh run of the new version."""
    cells, notebook = EDITS[edit]
    wrong = []
    for interrupted_at in CELLS:
        old = stopped(store, at=interrupted_at)
        new = CellFlow(cells, notebook=notebook, version=2)
        to = NewVersion(graph=new.graph())
        if not migration.plan(store, old.id, to).is_safe:
            continue
        # Recorded inputs win over the notebook's, as in every resume.
        recorded = {ref.name: store.loader(old.id).load(ref) for ref in old.snapshot.inputs}
        fresh = CellFlow(cells, notebook=notebook, version=2).run(store, recorded)

        migrated = new.resume(store, migration.apply(store, old.id, to))

        assert (migrated.state, migrated.snapshot.version) == ("completed", 2)
        assert store.run(old.id).state == "failed", "the old run is kept"
        if everything(migrated) != everything(fresh):
            wrong.append(interrupted_at)
    return wrong


@pytest.mark.parametrize("edit", EDITS)
def test_a_migrated_run_ends_as_a_fresh_run_of_the_new_version_or_is_refused(store, edit):
    assert wrong_ends(store, edit) == []


def test_a_plan_that_does_not_look_at_code_is_found_out(store, monkeypatch):
    seeing = migration.plan_migration

    def blind(graph, past, declared):
        then = {node.step.name: node.parts for node in past.graph.nodes}
        nodes = tuple(msgspec.structs.replace(node, parts=then.get(node.step.name, node.parts)) for node in graph.nodes)
        return seeing(replace(graph, nodes=nodes), past, declared)

    monkeypatch.setattr(migration, "plan_migration", blind)

    assert wrong_ends(store, "code in the middle") == ["split", "change", "total", "beside"]
    assert wrong_ends(store, "a comment") == []


def test_the_plan_says_keep_rename_re_run_and_drop_with_the_reason(store):
    old = stopped(store, at="total")
    cells = {"fetch": CELLS["load"], "clean": CELLS["clean"], "split": "left, right = y[:2], y[2:]", "new": "n = 1"}
    plan = migration.plan(store, old.id, NewVersion(graph=CellFlow(cells, notebook=NOTEBOOK, version=2).graph()))

    assert {step.step: step.carry.value for step in plan.steps} == {
        "fetch": "rename",
        "clean": "keep",
        "split": "re-run",
        "new": "re-run",
        "change": "drop",
        "total": "drop",
        "beside": "drop",
    }
    assert "re-run  split   changed: code" in str(plan)
    assert "it was called load" in str(plan)


def test_the_plan_names_what_differs_between_the_two_definitions(store):
    old = stopped(store, at="total")
    cells = {**in_place_of("load", {"fetch": CELLS["load"]}), "beside": "b = y[0]", "new": "n = t"}
    plan = migration.plan(store, old.id, NewVersion(graph=CellFlow(cells, notebook=NOTEBOOK, version=2).graph()))
    found = plan.json()["difference"]

    assert (found["added"], found["removed"], found["renamed"]) == (["new"], [], {"fetch": "load"})
    assert found["changed"] == {"beside": ["code"]}
    assert found["names"] == {"beside": ["reads y", "no longer reads rows", "gives b", "no longer gives z"]}
    assert any(edge.startswith("+ ") and edge.endswith("→ new") for edge in found["edges"])
    assert "names   beside: reads y, no longer reads rows, gives b" in str(plan)
    assert "edge    + total → new" in str(plan)


def test_declared_migrations_are_chained_and_their_functions_make_values(store):
    old = stopped(store, {"load": "x = [1, 2]", "use": "u = len(x)", "end": "e = u"}, at="end")

    @szal.migration("test", 1, 2)
    def to_2(m):
        m.rename("load", "fetch")
        m.adapt("fetch", lambda x: [n * 10 for n in x])

    @szal.migration("test", 2, 3)
    def to_3(m):
        m.rename("fetch", "read")
        m.adapt("read", lambda x: {"x": [*x, 99]})
        m.keep("use")

    new = CellFlow({"read": "x = [10, 20, 99]", "use": "u = len(x) - 1", "end": "e = u"}, version=3)
    to = NewVersion(graph=new.graph())
    plan = migration.plan(store, old.id, to)
    run = new.resume(store, migration.apply(store, old.id, to))

    assert {step.step: (step.carry.value, step.before) for step in plan.steps} == {
        "read": ("adapt", "load"),
        "use": ("keep", "use"),
        "end": ("re-run", "end"),
    }
    assert (run.values.x, run.values.u, run.values.e, new.deeds) == ([10, 20, 99], 2, 2, ["end"])


@pytest.mark.parametrize(
    "first", [lambda y: y * 10, lambda y: {"y": y * 10}, lambda y: {"z": y * 10}], ids=["alone", "then", "now"]
)
@pytest.mark.parametrize("second", [lambda y: y + 1, lambda z: {"z": z + 1}], ids=["then", "now"])
def test_a_value_that_has_another_name_now_goes_through_all_functions_of_a_chain(store, first, second):
    old = stopped(store, {"a": "y = 1", "end": "e = y"}, at="end")
    szal.migration("test", 1, 2)(lambda m: m.adapt("a", first))
    szal.migration("test", 2, 3)(lambda m: m.adapt("a", second))
    new = CellFlow({"a": "z = 11", "end": "e = z"}, version=3)
    run = new.resume(store, migration.apply(store, old.id, NewVersion(graph=new.graph())))

    assert (run.values.z, run.values.e) == (11, 11)


@pytest.mark.parametrize("is_declared_first", [True, False])
def test_a_function_reads_of_other_steps_what_earlier_versions_made_of_them(store, is_declared_first):
    """In one change of version all read what was there before it, in objects of their own."""
    old = stopped(store, {"a": "x = [1, 2]", "b": "y = x", "c": "z = sum(y)", "end": "e = z"}, at="end")

    @szal.migration("test", 1, 2)
    def to_2(m):
        m.adapt("a", lambda x: x.append(3) or x)
        m.adapt("b", lambda y, x: [*y, len(x)])

    @szal.migration("test", 2, 3)
    def to_3(m):
        declared = [("b", lambda y: [*y, 100]), ("c", lambda y, x, z: (y, x, z))]
        for step, function in declared if is_declared_first else reversed(declared):
            m.adapt(step, function)

    cells = {"a": "x = [1, 2, 3]", "b": "y = [1, 2, 2, 100]", "c": "z = (y, x, 3)", "end": "e = z"}
    new = CellFlow(cells, version=3)
    run = new.resume(store, migration.apply(store, old.id, NewVersion(graph=new.graph())))

    assert (run.values.x, run.values.y) == ([1, 2, 3], [1, 2, 2, 100])
    assert run.values.e == ([1, 2, 2], [1, 2, 3], 3)


def test_undo_takes_it_back_until_the_run_has_gone_on(store):
    old = stopped(store, at="total")
    new = CellFlow(CELLS, notebook=NOTEBOOK, version=2)
    to = NewVersion(graph=new.graph())
    migrated = migration.apply(store, old.id, to)

    assert migration.undo(store, migrated) == old.id
    assert [run.id for run in store.runs()] == [old.id]

    migrated = migration.apply(store, old.id, to)
    new.resume(store, migrated)
    with pytest.raises(MigrationError, match="has gone on since"):
        migration.undo(store, migrated)
    with pytest.raises(MigrationError, match="not made by a migration"):
        migration.undo(store, old.id)


def test_undo_takes_a_cancelled_one_back_too_and_says_if_it_must_stay(store):
    old = stopped(store, SMALL, at="end").id
    to = NewVersion(graph=CellFlow(SMALL, version=2).graph())
    made = migration.apply(store, old, to)
    alive = store.begin(NewRun(run_id="f" * 12, graph=to.graph))
    alive.append_sync([RunCreated(at=1.0, flow="test", version=2, steps=("load", "use", "end"))])

    with pytest.raises(
        MigrationError, match=f"Run {made} is cancelled, but stays for now: a run of its flow is going on"
    ):
        migration.undo(store, made)
    assert store.run(made).state == "cancelled"
    alive.close()
    assert migration.undo(store, made) == old
    assert [run.id for run in store.runs()] == ["f" * 12, old]


def test_a_run_is_not_carried_over_again_while_what_was_made_of_it_waits_to_go_on(store):
    old = stopped(store, SMALL, at="end").id
    second, third = CellFlow(SMALL, version=2), CellFlow(SMALL, version=3)
    made = migration.apply(store, old, NewVersion(graph=second.graph()))

    with pytest.raises(MigrationError, match=f"carried over already, as run {made}; resume that one, or undo it first"):
        migration.apply(store, old, NewVersion(graph=second.graph()))
    assert migration.plan(store, old, NewVersion(graph=third.graph())).is_safe
    second.resume(store, made)
    assert migration.plan(store, old, NewVersion(graph=second.graph())).is_safe


def refusal(store, run_id, flow):
    to = NewVersion(graph=flow.graph())
    with pytest.raises(MigrationError) as caught:
        migration.apply(store, run_id, to)
    assert len(store.runs()) == 1, "nothing was written"
    return str(caught.value)


def test_a_downgrade_is_refused_unless_it_is_declared(store):
    old = stopped(store, at="total", version=2)
    new = CellFlow(CELLS, notebook=NOTEBOOK, version=1)

    assert '@szal.migration("test", 2, 1)' in refusal(store, old.id, new)

    szal.migration("test", 2, 1)(lambda _: None)
    assert new.resume(store, migration.apply(store, old.id, NewVersion(graph=new.graph()))).state == "completed"


def test_a_step_that_must_not_run_twice_refuses_the_migration(store):
    cells = {"pay --once": "paid = 1", "end": "e = paid"}
    old = stopped(store, cells, at="end")
    new = CellFlow({"pay --once": "paid = 2", "end": "e = paid"}, version=2)

    assert "'pay' is marked --once and has completed" in refusal(store, old.id, new)


def test_a_run_that_has_completed_and_one_of_the_same_version_are_refused(store):
    done = CellFlow(CELLS, notebook=NOTEBOOK).run(store)

    text = refusal(store, done.id, CellFlow(CELLS, notebook=NOTEBOOK))

    assert "it has completed" in text
    assert "it is of version 1 already" in text


def test_a_function_that_fails_names_the_step_and_writes_nothing(store):
    old = stopped(store, at="total")
    szal.migration("test", 1, 2)(lambda m: m.adapt("clean", lambda nothing: nothing))

    text = refusal(store, old.id, CellFlow(CELLS, notebook=NOTEBOOK, version=2))

    assert "Step 'clean': the function that adapts it asks for nothing" in text


SMALL = {"load": "x = [1, 2]", "use": "u = len(x)", "end": "e = u"}


def declared(store, *declarations, cells=SMALL, version=2):
    """What is said of a run of version 1 that failed in its last step, where these are declared for version 2."""
    old = stopped(store, SMALL, at="end")
    szal.migration("test", 1, 2)(lambda m: [getattr(m, name)(*given) for name, *given in declarations])
    return refusal(store, old.id, CellFlow(cells, version=version))


def exits(x):
    raise SystemExit(3)


async def awaits(x):
    return x


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (exits, "the function that adapts it failed: SystemExit: 3"),
        (awaits, "the function that adapts it is async; write a plain one"),
        (lambda x: (n for n in x), "gave as x cannot be stored.*Let it run again: rerun..load"),
        (lambda x: x / 0, "failed: TypeError"),
        (5, "failed: TypeError: 5 is not a callable object"),
        (sorted, "asks for iterable, which the run has not. It has x, u"),
    ],
)
def test_a_function_that_gives_nothing_to_go_on_with_writes_nothing(store, function, text):
    assert re.search(text, declared(store, ("adapt", "load", function)))


@pytest.mark.parametrize(
    ("declaration", "text"),
    [
        (("adapt", "laod", len), "speaks of a step 'laod', which is not there. Did you mean load?"),
        (("keep", "nothing"), "speaks of a step 'nothing', which is not there. The steps are load, use, end."),
        (("rerun", "us"), "'us', which is not there. Did you mean use?"),
        (("drop", "lod"), "'lod', which is not there. Did you mean load?"),
        (("rename", "lod", "load"), "'lod', which is not there. Did you mean load?"),
        (("rename", "load", "lod"), "'lod', which is not there. Did you mean load?"),
    ],
)
def test_a_declaration_of_a_step_that_is_not_there_is_refused(store, declaration, text):
    assert text in declared(store, declaration)


def test_a_step_has_one_name_in_the_next_version(store):
    cells = {"one": SMALL["load"], "two": SMALL["load"], "use": "u = len(x)"}

    assert "gives the step 'load' two names" in declared(
        store, ("rename", "load", "one"), ("rename", "load", "two"), cells=cells
    )


def test_functions_do_without_what_they_have_a_default_for_and_see_nothing_of_each_other(store):
    old = stopped(store, SMALL, at="end")

    @szal.migration("test", 1, 2)
    def to_2(m):
        m.adapt("load", lambda x, /, by=3, *_, **__: x.append(by) or [9])
        m.adapt("use", lambda x: x)

    new = CellFlow({"load": "x = [9]", "use": "u = x", "end": "e = u"}, version=2)
    run = new.resume(store, migration.apply(store, old.id, NewVersion(graph=new.graph())))

    assert (run.values.x, run.values.u) == ([9], [1, 2])


def test_a_version_that_declares_nothing_is_passed_by_and_a_migrated_run_is_migrated_on(store):
    old = stopped(store, SMALL, at="end")
    szal.migration("test", 1, 2)(lambda m: m.rename("load", "fetch"))
    szal.migration("test", 3, 4)(lambda m: m.rename("fetch", "read"))
    fourth = CellFlow({"read": "x = [1, 2]", "use": "u = len(x)", "end": "e = u"}, version=4)
    fifth = CellFlow({"read": "x = [1, 2]", "use": "u = len(x)", "end": "e = u + 1"}, version=5)
    once = migration.apply(store, old.id, NewVersion(graph=fourth.graph()))
    twice = migration.apply(store, once, NewVersion(graph=fifth.graph()))
    run = fifth.resume(store, twice)

    assert (run.values.e, fifth.deeds) == (3, ["end"])
    assert migration.undo(store, once) == old.id, "the first is not needed by the second"
    assert store.value(twice, "read", "x") == [1, 2]


def test_a_downgrade_that_is_declared_half_is_refused(store):
    old = stopped(store, SMALL, at="end", version=3)
    szal.migration("test", 3, 2)(lambda _: None)

    assert '@szal.migration("test", 2, 1)' in refusal(store, old.id, CellFlow(SMALL, version=1))


def test_a_step_that_is_kept_but_shares_hidden_state_with_one_that_runs_is_told_so(store):
    cells = {"pay --once": "import random\nrandom.seed(1)\npaid = random.random()", "end": "e = random.random(), paid"}
    old = stopped(store, cells, "import random", at="end")
    szal.migration("test", 1, 2)(lambda m: m.keep("pay"))
    new = CellFlow({**cells, "end": "e = random.random()"}, notebook="import random", version=2)

    assert "these must be kept or adapted too" in refusal(store, old.id, new)


def test_a_run_that_another_process_has_is_neither_carried_over_nor_taken_back(tmp_path):
    new = CellFlow(SMALL, version=2)
    to = NewVersion(graph=new.graph())
    with RunStore.open(tmp_path / "runs.db", durability="fast") as mine:
        old = stopped(mine, SMALL, at="end").id
        made = migration.apply(mine, old, to)
        with RunStore.open(tmp_path / "runs.db", durability="fast") as other:
            journals = [other.take_over(old), other.take_over(made)]
            assert "it is being run by" in str(migration.plan(mine, old, to))
            assert migration.movable_runs(mine, "test", 2) == []
            with pytest.raises(RunOwned):
                migration.undo(mine, made)
            for journal in journals:
                journal.close()
        assert migration.undo(mine, made) == old


def test_a_function_that_is_killed_leaves_nothing_and_the_run_as_it_was(tmp_path):
    path = tmp_path / "runs.db"
    program = f"""
import os, signal
import szal_nb as szal
from szal_nb.api import migration
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow

szal.migration("test", 1, 2)(lambda m: (m.adapt("load", lambda x: [0] * 10**6), m.adapt("use", lambda u: os.kill(os.getpid(), signal.SIGKILL))))
with RunStore.open({str(path)!r}) as store:
    (old,) = store.runs()
    migration.apply(store, old.id, migration.NewVersion(graph=CellFlow({SMALL!r}, version=2).graph()))
"""
    with RunStore.open(path) as store:
        old = stopped(store, SMALL, at="end").id
    ended = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)

    assert ended.returncode == -signal.SIGKILL
    with RunStore.open(path) as store:
        assert [run.id for run in store.runs()] == [old]
        new = CellFlow(SMALL, version=2)
        assert new.resume(store, migration.apply(store, old, NewVersion(graph=new.graph()))).values.e == 2
