"""A parallel run gives what running the notebook from the top gives, or is refused; also if it is cut and resumed."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from szal_nb.analysis.graph import build_graph
from szal_nb.api.classes import Classes
from szal_nb.engine.contents import Contents
from szal_nb.engine.states import RecordedStates
from szal_nb.engine.together import Together
from szal_nb.errors import DefinitionError
from szal_nb.model.flow import FlowDefinition
from szal_nb.store.pickling import dump
from szal_nb.store.runs import RunStore
from tests.analysis.cells import step, surroundings
from tests.api.cell_flows import CellFlow
from tests.promises.answer import Answer, as_flow, from_the_top
from tests.promises.drawn_notebooks import HELPERS, STATEMENTS, notebooks

PROGRAMS = 500
TORTURE_PROGRAMS = int(os.environ.get("SZAL_TORTURE", "20000"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    shared = Path("/dev/shm")
    folder = shared if shared.is_dir() and os.access(shared, os.W_OK) else tmp_path_factory.mktemp("store")
    path = folder / f"szal-answer-{os.getpid()}" / "runs.db"
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with RunStore.open(path, durability="fast") as opened:
        yield opened
    sys.setswitchinterval(interval)
    for file in sorted(path.parent.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    path.parent.rmdir()


def allowed_order(graph, pick):
    """One order that the edges allow, by the taste of `pick`."""
    done: list[str] = []
    names = [node.step.name for node in graph.nodes]
    while len(done) < len(names):
        done.append(pick([n for n in names if n not in done and set(graph.dependencies[n]) <= set(done)]))
    return done


# Errors by which the engine itself refuses, as against those of bodies.
REFUSED = {"RecordTorn", "ClassIsOne", "ValueChanged", "ValuesShared", "HiddenStateUsed", "NoCleanStart"}


def difference(expected: Answer, found: Answer) -> str:
    """What differs, in words; "" if nothing does, "refused" if the run itself said that it could not be the same."""
    if found.error is not None and found.error[1] in REFUSED:
        return "refused"
    if expected.error != found.error:
        return f"the error is {found.error}, not {expected.error}"
    if expected.error is not None:
        before = [name for name in expected.printed if name != expected.error[0]]
    else:
        before = list(expected.printed)
    for name in before:
        if found.printed.get(name) != expected.printed[name]:
            return f"{name} printed {found.printed.get(name)!r}, not {expected.printed[name]!r}"
    if expected.error is None and expected.shape() != found.shape():
        one, two = expected.shape(), found.shape()
        return "\n".join(f"{n}: {two.get(n)} instead of {one.get(n)}" for n in {*one, *two} if one.get(n) != two.get(n))
    return ""


def is_kept(value):
    """Whether the store takes the value: no iterator, and none of what cannot be written down."""
    if isinstance(value, Iterator):
        return False
    try:
        dump(value)
    except Exception:  # noqa: BLE001  whatever a value's own code raises
        return False
    return True


def check(cells, seed, store, *, cuts=True, change=lambda graph: graph):
    """What came out of it, `same` or `refused`; AssertionError with what differs.

    Every other seed has the first cell as one of the notebook's own: what it binds are inputs of the run.
    """
    pick = random.Random(seed)
    plain, cells = ([HELPERS, cells[0]], cells[1:]) if seed % 2 else ([HELPERS], cells)
    names = [f"s{n}" for n in range(len(cells))]
    try:
        flow = FlowDefinition(name="f", steps=tuple(map(step, names, cells)))
        graph = change(build_graph(flow, surroundings(plain)))
    except DefinitionError:
        return "refused"
    given = {name for node in graph.nodes for name in node.values}
    expected = from_the_top(cells, "\n".join(plain), names, given)
    # What is not kept (an iterator, a file) is compared by what steps draw from it: a resume runs its giver again.
    given -= expected.code | {name for name, value in expected.namespace.items() if not is_kept(value)}
    orders = [allowed_order(graph, lambda ready: ready[-1]), allowed_order(graph, pick.choice)]
    plans = [{}, *({"order": order} for order in orders), {"order": orders[0], "store": None}]
    if cuts:
        plans += [{"order": orders[-1], "cut_after": n} for n in range(1, len(cells))]
    outcome = "same"
    for plan in plans:
        answer = as_flow(graph, "\n".join(plain), **{"store": store, **plan})
        # What no step gave after all is as the notebook has it.
        kept = given & answer.namespace.keys() if len(plain) > 1 else given
        wanted, had = ({n: v for n, v in one.namespace.items() if n in kept} for one in (expected, answer))
        found = difference(replace(expected, namespace=wanted), replace(answer, namespace=had))
        assert found in ("", "refused"), f"{plan}\n{found}\n" + "\n# %%\n".join(cells)
        outcome = found or outcome
    return outcome


def check_many(programs, store):
    @settings(max_examples=programs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cells=notebooks(), seed=st.integers(0, 1000))
    def look(cells, seed):
        check(cells, seed, store)

    look()


@pytest.mark.timeout(900)
def test_a_generated_notebook_has_one_answer(store):
    """Running the flow in parallel gives what "Restart and run all" gives. What analysis can prove independent runs side by side; never a silently different result."""
    check_many(PROGRAMS, store)


@pytest.mark.torture
def test_thousands_of_generated_notebooks_have_one_answer(store):
    check_many(TORTURE_PROGRAMS, store)


FIRST = "a = [1]\nb = [[2], 3]\nc = [4]\nd = [[5]]\nstore = [[6]]\nbox = Box([1])\narr = np.zeros(6)\nview = arr[:2]"
# Programs that once gave another answer when they were cut and resumed, with the seed of their order.
ONCE_WRONG = {
    "a value that another step shares is recorded before its own step is": (
        [FIRST, "store = [a]\nprint()", "a = a\nprint()", "a = [1]\nprint()", "a = [1]\nprint()"], 2,
    ),
    "a changed value holds other objects than before": (
        [
            FIRST,
            "a = [[1], [2]]\nprint()",
            "a = [a]\nb = [1]\nfirst, *others = [a, d]\nothers[0].append(1)\nprint()",
            "b = [1]\ntry:\n    d.append(a[0][0])\nexcept (IndexError, TypeError) as error:\n    d = [str(error)]\nd = [1]\nprint()",
            "b = [1]\nprint()",
            "a.append(7)\nprint()",
        ],
        0,
    ),
    "inputs share memory, and one of them is changed after the run was cut": (
        [FIRST, "b.append(2)\nprint(b)", "arr[0] += len(b)\nb.append(3)\nprint(b)", "view[1:] = len(b)\nprint(view)"], 9,
    ),
    "a step that may give a name of the notebook leaves it alone": (
        [FIRST, "if len(b) > 2:\n    c = [0]\nprint(b)", "d = c[:]\nc.append(1)\nprint(c)"], 3,
    ),
    "what a method remembers is changed by who asks for it again": (
        ["a = [1]\nlazy = Lazy([1])", "a = lazy.kept()\nprint()", "b = [1]\nprint()\nlazy.kept().append(0)"], 0,
    ),
    "one step records while another has begun to change what is beside": (
        [FIRST, "pairs = list(zip([a], [b]))\npairs[0][1].append(1)\nprint()", "b.append(7)\nb = [1]\nprint()", "a = a\nprint()"], 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "seed"), ONCE_WRONG.values(), ids=ONCE_WRONG)
def test_programs_that_once_gave_another_answer_give_the_same(cells, seed, store):
    for _ in range(10):
        assert check(cells, seed, store) == "same"


# A check that cannot go red proves nothing: each of these faults must be found among few programs.


def without(rule):
    """A graph whose edges of this rule were forgotten."""

    def change(graph):
        return replace(graph, edges=tuple(edge for edge in graph.edges if edge.rule != rule))

    return change


def find(store, *, cuts, statements=STATEMENTS, programs=400, **more):
    found = []

    @settings(max_examples=programs, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(cells=notebooks(statements), seed=st.integers(0, 1000))
    def look(cells, seed):
        if not found:
            try:
                check(cells, seed, store, cuts=cuts, **more)
            except AssertionError as error:
                found.append(str(error))

    look()
    return found


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        ("reads", STATEMENTS),
        ("changed-after-reading", ["{x}.append(7)", "{x} = [*{y}]"]),
        ("hidden-state", [line for line in STATEMENTS if "random" in line]),
    ],
)
def test_an_edge_that_was_forgotten_is_found(rule, statements, store):
    assert find(store, cuts=False, change=without(rule), statements=statements)


SHARING = ["{x} = [{y}]", "{x} = {y}", "{x} = last({y})", "{x}.append(7)", "view[:] = 7", "arr[0] += len({x})"]


def test_sharing_that_no_edge_knows_of_is_refused_at_run_time(store):
    """What shows only at run time fails the run and names the steps and the flag to write."""
    assert not find(store, cuts=True, change=without("shared-object"), statements=SHARING, programs=120)


def test_sharing_that_no_edge_knows_of_and_nobody_looks_for_is_found(store, monkeypatch):
    monkeypatch.setattr(Contents, "_unordered", lambda *_: ())

    assert find(store, cuts=False, change=without("shared-object"), statements=SHARING)


def test_values_recorded_each_for_itself_are_found(store, monkeypatch):
    monkeypatch.setattr(Together, "group_of", lambda *_: None)

    assert find(store, cuts=True)


def test_inputs_recorded_each_for_itself_are_found(store, monkeypatch):
    monkeypatch.setattr(Together, "group_of_inputs", lambda *_: None)

    with pytest.raises(AssertionError, match="cut_after"):
        check(*ONCE_WRONG["inputs share memory, and one of them is changed after the run was cut"], store)


def test_generators_that_start_anew_after_a_resume_are_found(store, monkeypatch):
    monkeypatch.setattr(RecordedStates, "_put_back_generators", lambda *_: None)

    assert find(store, cuts=True)


def test_instances_of_a_class_of_the_former_kernel_are_found(store, monkeypatch):
    former = {}
    monkeypatch.setattr(Classes, "__call__", lambda _, name: former.setdefault(name, type(name, (), {})))

    assert find(store, cuts=True)


# Code that is made in one step and runs in another: what it reads is what it would read in a notebook run from the top.

FACTORY = "def make(n):\n    def inner(x):\n        return x * n * k\n    return inner"
CLASS = "class F:\n    def go(self, x):\n        return x * k"
MADE_HERE_RUN_THERE = {
    "a class": ["k = 2", CLASS, "f = F()\nprint(f.go(2))", "print(f.go(3), isinstance(f, F))"],
    "a class beside its global": [f"k = 2\n{CLASS}\nf = F()", "print(F().go(2))", "print(f.go(3), isinstance(f, F))"],
    "a decorated function": ["import functools\nk = 2", "@functools.cache\ndef f(x):\n    return x * k", "print(f(2))"],
    "a closure": ["k = 2", FACTORY, "f = make(3)", "print(f(4))"],
    "a closure of a helper in a list": ["k = 2", f"{FACTORY}\nfs = [make(3)]", "print(fs[0](4))", "print(make(1)(2))"],
    "a function that needs nothing of its maker": [
        "k = 2", "def make():\n    def inner(x):\n        return x * k\n    return inner", "f = make()", "k = 5",
        "print(f(1))",
    ],
    "identity of a global, from a list": ["k = [2]", "fs = [lambda: k]", "print(fs[0]() is k)", "print(fs[0]() is k)"],
    "identity of a global, from a class": [
        "k = [2]", "class F:\n    def go(self):\n        return k\nf = F()", "print(f.go() is k)", "print(F().go() is k)"
    ],
    "a global changed through code in a list": ["k = [2]", "fs = [lambda: k]", "fs[0]().append(2)", "print(k, fs[0]() is k)"],
    "identity of a global, from a closure": [
        "k = [2]\ndef make(n):\n    return lambda: (k, n)\nf = make(1)", "print(f()[0] is k)", "print(f()[0] is k)"
    ],
    "a function of another cell in a table": [
        "k = 3", "def helper(x):\n    return x * k", "table = {'h': helper}", "print(table['h'](2))"
    ],
    "a class that a step may define anew": ["k = 2\nclass F:\n    y = 7", "if k > 2:\n    class F:\n        y = 1", "print(F.y)"],
    "what is called, and a step may bind anew": [
        "import functools\nk = 2\ndef f(x):\n    return x * k\ng = functools.partial(f, 3)", "if k > 2:\n    g = f", "print(g())"
    ],
    "a module that a step may replace": ["import json\nk = 2", "if k > 2:\n    json = None", "print(json.dumps(k))"],
    "a global changed before": ["k = [2]", "k.append(3)", f"{CLASS}\nf = F()", "print(f.go(2))"],
}  # fmt: skip


@pytest.mark.parametrize("cells", MADE_HERE_RUN_THERE.values(), ids=MADE_HERE_RUN_THERE)
def test_code_that_reads_a_global_with_one_giver_sees_its_value(cells, store):
    assert {check(cells, seed, store) for seed in (0, 1)} == {"same"}


# Objects of libraries that nobody can compare, but that hold each other.

IMPORTS = "import string\nimport xml.etree.ElementTree as ET\nfrom collections import Counter"
HELD_UNSEEN = {
    "a value on an object": [
        "a = [1]\none = string.Template('x')\none.kept = a", "two = string.Template('y')\ntwo.other = one",
        "one.kept.append(2)", "print(two.other.kept, two.other is one)",
    ],
    "a table that it was made from": [
        "df = pd.DataFrame({'a': [1, 2]})\none = string.Template('x')\none.frame = df",
        "df['b'] = 3",
        "print(one.template)",
        "print(df)",
    ],
    "a class of a library beside its instances": [
        "g = iter([Counter, Counter('a')])", "h = iter([Counter, Counter('b')])", "print(next(g)())", "print(next(h)())",
        "print(next(g))", "print(next(h))",
    ],
}  # fmt: skip


@pytest.mark.parametrize("cells", HELD_UNSEEN.values(), ids=HELD_UNSEEN)
def test_what_holds_another_unseen_holds_it_also_after_a_resume(cells, store):
    assert {check([f"{IMPORTS}\n{cells[0]}", *cells[1:]], seed, store) for seed in (0, 1)} == {"same"}


def test_what_is_recorded_while_another_step_changes_what_it_holds_unseen_is_no_other_after_a_resume(store):
    """Nobody can tell how much of the change the record has: the resume is refused."""
    made = "df = pd.DataFrame({'a': [1, 2]})\none = string.Template('x')\none.frame = df"
    cells = [f"{IMPORTS}\n{made}", "two = string.Template('y')\ntwo.other = one", "df['b'] = 3", "print(df)"]

    assert {check(cells, seed, store) for seed in (0, 1)} <= {"same", "refused"}


def test_a_change_of_what_another_holds_unseen_is_refused(store):
    cells = [
        f"{IMPORTS}\none, two = string.Template('x'), string.Template('y')\nobject.__setattr__(two, 'other', one)",
        "one.template = 'z'",
        "print(two.other.template)",
    ]

    assert {check(cells, seed, store) for seed in (0, 1)} == {"refused"}


@pytest.mark.parametrize("added", ["child = ET.SubElement(root, 'b')", "child = ET.Element('b')\nroot.append(child)"])
def test_an_element_is_a_part_of_the_tree_that_it_was_added_to(added):
    cells = {"root": "root = ET.Element('a')", "child": added, "write": "child.text = 'x'", "show": "ET.tostring(root)"}

    assert "write" in CellFlow(cells, notebook=IMPORTS).graph().dependencies["show"]


AMBIGUOUS = {
    "a class": ["k = 2", CLASS, "k = 3", "print(F().go(2))"],
    "an instance": ["k = 2", f"{CLASS}\nf = F()", "k = 3", "print(f.go(2))"],
    "a global changed after": ["k = [2]", f"{CLASS}\nf = F()", "k.append(3)", "print(f.go(2))"],
    "a closure": ["k = 2", f"{FACTORY}\nf = make(3)", "k = 3", "print(f(4))"],
    "a lambda in a list": ["k = 2", "fs = [lambda: k]", "k = 3", "print(fs[0]())"],
    "a function of another cell in a table": [
        "k = 2",
        "def f(x):\n    return x * k",
        "fs = {'f': f}",
        "k = 3",
        "print(fs['f'](1))",
    ],
    "a function of another cell, bound in part": [
        "from functools import partial\nk = 2\ndef f(x):\n    return x * k",
        "p = partial(f, 2)",
        "k = 3",
        "print(p())",
    ],
    "what code in a list gives out is changed": [
        "k = [2]",
        "fs = [lambda: k]",
        "k.append(3)",
        "fs[0]().append(4)\nprint(k)",
    ],
    "a generator": ["k = 2", "f = (k * x for x in [1, 2])", "k = 3", "print(list(f))"],
}


@pytest.mark.parametrize("cells", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_code_that_reads_an_ambiguous_global_is_refused(cells, store):
    assert {check(cells, seed, store) for seed in (0, 1)} == {"refused"}


@pytest.mark.parametrize("has_record", [True, False])
@pytest.mark.parametrize("notebook", ["xs = [1, 2]\nitems = iter(xs)", "items = iter(xs := [1, 2])"])
def test_what_inputs_share_counts_also_when_a_step_has_let_go_of_it(has_record, notebook, store):
    """What shows only at run time fails the run and names the steps."""
    cells = {"hold": "holder = [xs]", "grow": "holder[0].append(3)", "drain --priority 9": "print(list(items))"}
    flow = CellFlow(cells, notebook=notebook)
    flow.definition = replace(flow.definition, max_parallel=1)
    run = flow.run(store if has_record else None)

    assert run.state == "failed"
    said = [step.error.message for step in run.steps.values() if step.error is not None]
    assert all(
        "'items' of the notebook share objects or memory" in text or "'drain' changes" in text for text in said
    ), said


def test_a_run_that_was_cut_while_two_steps_changed_parts_of_one_value_goes_on_right_or_not_at_all(store):
    """What shows only at run time fails the run and names the steps."""
    cells = [
        "a = [1]\nb = [2]",
        "pairs = list(zip([a], [b]))\npairs[0][1].append(1)",
        "a.append(9)\na = 0",
        "b.append(7)",
    ]

    # It depends on how far the one step is when the other has ended: once in a hundred times far enough to be told.
    assert "refused" in {check(cells, 0, store) for _ in range(6)}


NANS = {
    "a key": ["d = {np.nan: 1}", "print(np.nan in d, d.get(np.nan))", "d[np.nan] = 2\nprint(len(d))", "print(len(d), d.get(np.nan))"],
    "an element": ["xs = [1, np.nan]", "print(np.nan in xs, xs.index(np.nan))"],
    "in a set": ["s = {np.nan}", "print(np.nan in s)", "s.add(np.nan)\nprint(len(s))", "print(len(s))"],
    "in a tuple": ["import math\nd = {(1, math.nan): 2}", "import math\nprint((1, math.nan) in d)"],
    "itself": ["n = np.nan", "print(n is np.nan)"],
}  # fmt: skip


@pytest.mark.parametrize("cells", NANS.values(), ids=NANS)
def test_a_nan_is_found_after_a_resume_as_before(cells, store):
    """A resumed run equals an uncut one."""
    assert {check(cells, seed, store) for seed in range(4)} == {"same"}


HELD_BY_OTHERS = {
    "a chain of dicts": ["import collections\nbase = {'a': 1}\ncm = collections.ChainMap({}, base)", "base['b'] = 2", "print(dict(cm), cm.maps[1] is base)"],
    "a dict of one's own": ["import collections\nxs = [1]\nd = collections.UserDict(xs=xs)", "xs.append(2)", "print(d['xs'] is xs)"],
    "parsed arguments": ["import argparse\nxs = [1]\nargs = argparse.Namespace(xs=xs)", "xs.append(2)", "print(args.xs is xs)"],
}  # fmt: skip


@pytest.mark.parametrize("cells", HELD_BY_OTHERS.values(), ids=HELD_BY_OTHERS)
def test_what_is_held_by_an_object_of_the_standard_library_stays_one_object(cells, store):
    """A resumed run equals an uncut one: two names for one object stay one object."""
    assert {check(cells, seed, store) for seed in (0, 2, 4)} == {"same"}
    assert {check(cells, seed, store) for seed in (1, 3, 5)} <= {"same", "refused"}
