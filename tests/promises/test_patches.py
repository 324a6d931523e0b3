"""What steps put into modules is seen by all that use the module after them, and by a resumed run as by an uncut one."""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from unittest import mock

import pytest

from szal_nb.errors import InvalidStep
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.held import cut, moments

MODULE = """VALUE = 1
ITEMS = [1]
TABLE = {"a": 1}
class Kind:
    number = 1
class Settings:
    __slots__ = ("_theme", "width")
    def __init__(self):
        self._theme, self.width = "light", 1
    @property
    def theme(self):
        return self._theme
    @theme.setter
    def theme(self, name):
        self._theme = name.lower()
settings = Settings()
def go(x=0):
    return VALUE + x
"""
IMPORT = "import szal_patched as m"
FROM = "from szal_patched import Kind, go"
# How a step changes a module, what others see, and what that is.
PATCHES = {
    "an attribute": (IMPORT, "m.VALUE = 5", "m.go(), m.VALUE", (5, 5)),
    "an attribute of what was imported from it": (f"{IMPORT}\n{FROM}", "m.VALUE = 5", "go()", 5),
    "an attribute that grows": (IMPORT, "m.VALUE += 4", "m.VALUE", 5),
    "setattr": (IMPORT, "setattr(m, 'VALUE', 5)", "m.VALUE", 5),
    "del": (IMPORT, "del m.VALUE", "hasattr(m, 'VALUE')", False),
    "what is inside": (IMPORT, "m.ITEMS.append(5)", "list(m.ITEMS)", [1, 5]),
    "an item": (IMPORT, "m.ITEMS[0] = 5", "list(m.ITEMS)", [5]),
    "a function": (IMPORT, "def f(x=0):\n    return 50\nm.go = f", "m.go()", 50),
    "an attribute of a class": (FROM, "Kind.number = 5", "Kind().number", 5),
    "a slot of an object": (IMPORT, "m.settings.width = 5", "m.settings.width", 5),
    "a property of an object": (IMPORT, "m.settings.theme = 'Dark'", "m.settings.theme", "dark"),
    "through a function": (f"{IMPORT}\ndef patch():\n    m.VALUE = 5", "patch()", "m.VALUE", 5),
    "a mock": (f"{IMPORT}\nfrom unittest import mock", "mock.patch('szal_patched.VALUE', 5).start()", "m.go()", 5),
    "a mock of an attribute": (
        f"{IMPORT}\nfrom unittest.mock import patch",
        "patch.object(m, 'VALUE', 5).start()",
        "m.go()",
        5,
    ),
    "mocks of some": (f"{IMPORT}\nfrom unittest import mock", "mock.patch.multiple(m, VALUE=5).start()", "m.VALUE", 5),
    "a mock that is taken away": (
        f"{IMPORT}\nfrom unittest import mock",
        "with mock.patch('szal_patched.VALUE', 5):\n    n = m.go()",
        "m.go()",
        1,
    ),
    "a module by its text": (
        f"{IMPORT}\nimport importlib",
        "importlib.import_module('szal_patched').VALUE = 5",
        "m.VALUE",
        5,
    ),
    "a module among all": (f"{IMPORT}\nimport sys", "sys.modules['szal_patched'].VALUE = 5", "m.VALUE", 5),
    "imported by the steps": ("", f"{IMPORT}\nm.VALUE = 5", "m.go()", 5),
}


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    """A module as it is in its file; `importlib.reload` makes it what a new process finds."""
    (tmp_path / "szal_patched.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("szal_patched")
    del sys.modules["szal_patched"]


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


def look(notebook, seen):
    return f"seen = {seen}" if notebook else f"{IMPORT}\nseen = {seen}"


@pytest.mark.parametrize(("notebook", "change", "seen", "expected"), PATCHES.values(), ids=PATCHES)
def test_a_patch_is_there_for_all_that_come_after_it_also_after_a_resume(
    notebook, change, seen, expected, record, module
):
    """A resumed run equals an uncut one."""
    cells = {"change": change, "look": look(notebook, seen), "more": look(notebook, seen).replace("seen =", "more =")}
    flow = CellFlow(cells, notebook=notebook)
    assert {("change", "look"), ("change", "more")} <= {(edge.source, edge.target) for edge in flow.graph().edges}
    flow.fails = {"more"}
    cut = flow.run(record)
    # A new process begins with the module as it is in its file.
    importlib.reload(module)
    flow = CellFlow(cells, notebook=notebook)
    run = flow.resume(record, cut.id)

    assert flow.deeds == ["more"]
    assert (run["look"].value, run["more"].value) == (expected, expected)


def test_what_is_put_into_builtins_is_found_by_all_that_come_after_it(record):
    cells = {
        "before": "a = ascii(1)",
        "change": "builtins.ascii = lambda x: 5",
        "look": "seen = ascii(1)",
        "more": "m = ascii(1)",
    }
    flow, first = CellFlow(cells, notebook="import builtins"), ascii
    try:
        ordered = {(edge.source, edge.target) for edge in flow.graph().edges}
        assert {("before", "change"), ("change", "look"), ("change", "more")} <= ordered
        flow.fails = {"more"}
        cut = flow.run(record)
        builtins.ascii = first
        run = CellFlow(cells, notebook="import builtins").resume(record, cut.id)
    finally:
        builtins.ascii = first

    assert (run["before"].value, run["look"].value, run["more"].value) == ("1", 5, 5)


@pytest.mark.parametrize("change", ["vars(m)['VALUE'] = 5", "m.__dict__.update(VALUE=5)", "m.go.__defaults__ = (7,)"])
def test_what_cannot_be_recorded_of_a_module_is_refused(change):
    with pytest.raises(InvalidStep, match=r"'a': it changes __\w+ of szal_patched"):
        CellFlow({"a": change}, notebook=IMPORT).graph()


MOCKS = (
    f"{IMPORT}\nimport os\nfrom unittest import mock\nfrom unittest.mock import patch\nfrom contextlib import ExitStack"
)
LOOKS = {"look": "seen = {0}", "stop": "p.stop()", "after": "later = {0}"}


def put_and_taken_away(put, seen, **cells):
    return {**put, **{name: cell.format(seen) for name, cell in {**LOOKS, **cells}.items()}}


# What one step puts in place, another one takes away: the notebook, the steps, and what is seen of it in turn.
TAKEN_AWAY = {
    "made, started and stopped": (MOCKS, put_and_taken_away({"make": "p = patch('szal_patched.VALUE', 5)", "start": "p.start()"}, "m.go()"), (5, 1)),
    "begun and stopped": (MOCKS, put_and_taken_away({"start": "p = patch('szal_patched.VALUE', 5)\np.start()"}, "m.go()"), (5, 1)),
    "of the notebook": (f"{MOCKS}\np = patch('szal_patched.VALUE', 5)", put_and_taken_away({"start": "p.start()"}, "m.go()"), (5, 1)),
    "of an attribute": (MOCKS, put_and_taken_away({"start": "p = patch.object(m.Kind, 'number', 5)\np.start()"}, "m.Kind().number"), (5, 1)),
    "of items": (MOCKS, put_and_taken_away({"start": "p = patch.dict('szal_patched.TABLE', a=5)\np.start()"}, "m.TABLE['a']"), (5, 1)),
    "of the environment": (MOCKS, put_and_taken_away({"start": "p = patch.dict(os.environ, SZAL_PATCHED='5')\np.start()"}, "os.environ.get('SZAL_PATCHED')"), ("5", None)),
    "entered and left": (MOCKS, put_and_taken_away({"start": "p = patch('szal_patched.VALUE', 5)\np.__enter__()"}, "m.go()", stop="p.__exit__(None, None, None)"), (5, 1)),
    "a function that is a mock": (MOCKS, put_and_taken_away({"start": "p = patch.object(m, 'go', return_value=5)\np.start()"}, "m.go()"), (5, 1)),
    "by a function that is given the module": (f"{IMPORT}\ndef put(o, v):\n    o.VALUE = v", put_and_taken_away({"start": "put(m, 5)"}, "m.go()", stop="put(m, 1)"), (5, 1)),
}  # fmt: skip


def gone_on_from_each_moment(notebook, cells, record, module, found):
    """What `found` tells of the run, and of what goes on after its process died at each moment."""

    def begin():
        importlib.reload(module)
        mock._patch._active_patches.clear()
        os.environ.pop("SZAL_PATCHED", None)
        return CellFlow(cells, notebook=notebook)

    done = begin().run(record)
    yield found(done)
    for moment in moments(record, done.id):
        old = cut(record, done.id, moment)
        yield found(begin().resume(record, old))


@pytest.mark.parametrize(("notebook", "cells", "expected"), TAKEN_AWAY.values(), ids=TAKEN_AWAY)
def test_what_a_step_takes_away_again_is_gone_for_all_that_come_after_it_also_after_a_resume(
    notebook, cells, expected, record, module
):
    """A resumed run equals an uncut one."""
    seen = gone_on_from_each_moment(notebook, cells, record, module, lambda run: (run.values.seen, run.values.later))

    assert set(seen) == {expected}


UNTOLD = {
    "setattr": (IMPORT, "for name in ['VALUE']:\n    setattr(m, name, 5)"),
    "setattr of a function": (f"{IMPORT}\ndef put(o, n, v):\n    setattr(o, n, v)", "put(m, 'VALUE', 5)"),
}


@pytest.mark.parametrize(("notebook", "change"), UNTOLD.values(), ids=UNTOLD)
def test_a_run_does_not_go_on_without_what_a_step_set_by_a_name_that_the_code_does_not_tell(
    notebook, change, record, module
):
    """What shows only at run time fails the run. Never a silently different result."""

    def found(run):
        look = run["look"]
        return look.value if look.error is None else look.error.message.partition(" which")[0]

    cells = {"set": change, "look": "seen = m.go()"}
    seen = gone_on_from_each_moment(notebook, cells, record, module, found)

    assert set(seen) == {5, "A completed step has changed szal_patched.?,"}


@pytest.mark.parametrize("change", ["mock.patch.stopall()", "p = mock.patch(target, 5)\np.start()"])
def test_who_puts_in_place_or_takes_away_what_nobody_can_tell_is_refused(change):
    with pytest.raises(InvalidStep, match=r"Step 'a': line \d: .* and nobody can tell what"):
        CellFlow({"a": change}, notebook=f"{MOCKS}\ntarget = 'szal_' + 'patched.VALUE'").graph()


@pytest.mark.parametrize(
    "held", ["p = ExitStack()\np.enter_context(patch('szal_patched.VALUE', 5))", "p = [patch('szal_patched.VALUE', 5)]"]
)
def test_a_patcher_that_steps_could_reach_by_no_name_of_its_own_fails_the_run(held, record, module):
    """What shows only at run time fails the run and names the steps and the flag to write."""
    run = CellFlow({"a": held, "b": "q = p"}, notebook=MOCKS).run(record)
    importlib.reload(module)

    assert run.state == "failed"
    assert "what step 'a' gives as 'p' holds a patcher of unittest.mock" in run["a"].error.message


def test_a_stack_of_patchers_that_one_step_uses_is_its_own_affair(record):
    cells = {
        "a": "with ExitStack() as p:\n    p.enter_context(patch('szal_patched.VALUE', 5))\n    n = m.go()",
        "b": "k = m.go()",
    }
    run = CellFlow(cells, notebook=MOCKS).run(record)

    assert (run["a"].error, run.values.n, run.values.k) == (None, 5, 1)


def test_a_mock_is_not_stored(record):
    """It noted how it was being stored, without end."""
    run = CellFlow({"a": "fake = mock.MagicMock()\nfake.go(1)", "b": "n = fake.go.call_count"}, notebook=MOCKS).run(
        record
    )

    assert run["b"].value == 1
    assert {ref.live for ref in run.snapshot.steps["a"].values} == {"it holds a mock"}


def test_a_mock_of_who_knows_what_is_ordered_with_all_steps():
    cells = {"a": "n = 1", "b": "with mock.patch(target, 5):\n    k = 1", "c": "m = 2"}
    notebook = "from unittest import mock\ntarget = 'szal_' + 'patched.VALUE'"
    ordered = {(edge.source, edge.target) for edge in CellFlow(cells, notebook=notebook).graph().edges}

    assert {("a", "b"), ("b", "c")} <= ordered


def test_a_list_of_a_module_stays_the_list_that_others_have(record, module):
    cells = {"change": "m.ITEMS.append(5)", "look": "seen = len(m.ITEMS)"}
    flow = CellFlow(cells, notebook=IMPORT)
    flow.fails = {"look"}
    cut = flow.run(record)
    importlib.reload(module)
    held = module.ITEMS
    CellFlow(cells, notebook=IMPORT).resume(record, cut.id)

    assert module.ITEMS is held
    assert held == [1, 5]


def test_a_patch_that_cannot_be_stored_is_said_by_the_step_that_needs_it(record):
    cells = {"change": "m.VALUE = threading.Lock()", "look": "seen = m.VALUE", "other": "n = 1"}
    notebook = f"{IMPORT}\nimport threading"
    flow = CellFlow(cells, notebook=notebook)
    flow.fails = {"look", "other"}
    cut = flow.run(record)
    flow = CellFlow(cells, notebook=notebook)
    run = flow.resume(record, cut.id)

    assert run["other"].state == "completed"
    assert "has changed szal_patched.VALUE, which is not recorded" in run["look"].error.message
    assert "--reuse" in run["look"].error.message


def test_a_step_that_runs_again_finds_what_it_found_before_the_patch(record, module):
    cells = {"make": "items = iter([m.VALUE, 2])", "change": "m.VALUE = 5", "look": "seen = next(items), m.VALUE"}
    flow = CellFlow(cells, notebook=IMPORT)
    flow.fails = {"look"}
    cut = flow.run(record)
    importlib.reload(module)
    flow = CellFlow(cells, notebook=IMPORT)
    run = flow.resume(record, cut.id)

    assert flow.deeds == ["make", "look"]
    assert run["look"].value == (1, 5)


def test_another_process_cannot_change_a_module_of_this_one():
    with pytest.raises(InvalidStep, match=r"'a': it changes szal_patched.VALUE"):
        CellFlow({"a --executor process": "m.VALUE = 5"}, notebook=IMPORT).graph()


@pytest.mark.parametrize(
    "statement",
    ["np.random.shuffle(xs)", "np.char.add(xs, xs)", "os.path.join('a')", "collections.deque.append(q, 1)", "m.go()"],
)
def test_a_call_of_a_module_is_no_change_of_it(statement):
    notebook = f"{IMPORT}\nimport collections, os\nimport numpy as np\nxs, q = [1], collections.deque()"
    node = CellFlow({"a": statement}, notebook=notebook).graph().nodes[0]

    assert not any(state.startswith("patch of") for state in node.states)


def test_a_run_does_not_go_on_without_the_database_in_memory_that_duckdb_keeps_for_the_process(record):
    """What shows only at run time fails the run. Never a silently different result."""
    make = "import duckdb\nduckdb.sql('create or replace table szal_t as select 5 as n')"
    cells = {
        "make": make,
        "look": "import duckdb\nseen = duckdb.sql('select n from szal_t').fetchall()",
        "other": "n = 1",
    }
    flow = CellFlow(cells)
    flow.fails = {"look", "other"}
    cut = flow.run(record)
    flow = CellFlow(cells)
    run = flow.resume(record, cut.id)

    assert (run["other"].state, run["look"].state) == ("completed", "failed")
    assert run["look"].error.message == (
        "A completed step has changed duckdb.default_connection, which is not recorded because a database in memory "
        "ends with its process. The run cannot go on: start a new one, which takes from this one what is beyond doubt "
        "(--reuse)."
    )
    assert flow.run(record)["look"].value == [(5,)]
