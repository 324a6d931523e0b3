"""What functions remember, such as a cache of `functools`, has one answer: whoever changes what one gave changes what all get."""

from __future__ import annotations

import pytest

from szal_nb.engine.ties import Ties
from szal_nb.errors import InvalidStep
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

LOAD = "import functools\n@functools.cache\ndef load():\n    return [1]"
MEMO = """
def memo(fn):
    kept = {}
    def inner(*args):
        if args not in kept:
            kept[args] = fn(*args)
        return kept[args]
    return inner
@memo
def load():
    return [1]"""
ATTRIBUTE = """
import functools
def memo(fn):
    @functools.wraps(fn)
    def inner():
        if inner.kept is None:
            inner.kept = fn()
        return inner.kept
    inner.kept = None
    return inner
@memo
def load():
    return [1]"""
COUNTED = """
def counted(fn):
    n = 0
    def inner(*args):
        nonlocal n
        n += 1
        return fn(*args), n
    return inner
@counted
def f(x):
    return x"""
OBJECT = """
class Memo:
    def __init__(self, fn):
        self.fn = fn
        self.kept = {}
    def __call__(self, *args):
        if args not in self.kept:
            self.kept[args] = self.fn(*args)
        return self.kept[args]
@Memo
def load():
    return [1]"""
METHOD = "import functools\nclass P:\n    @functools.cache\n    def data(self):\n        return [1]"
PROPERTY = METHOD.replace("cache", "cached_property")
CHANGES = ["x = load()\nx.append(2)", "print(load())", "y = load()\ny.append(3)", "print(load(), x is y)"]
REMEMBERING = {
    "a cache": [LOAD, *CHANGES],
    "a cache by another name": [LOAD.replace("import functools", "from functools import lru_cache as kept").replace("functools.cache", "kept"), *CHANGES],
    "a cache of limited size": [LOAD.replace("functools.cache", "functools.lru_cache(maxsize=4)"), *CHANGES],
    "a memo of the notebook": [MEMO, *CHANGES],
    "a memo in an attribute": [ATTRIBUTE, *CHANGES],
    "a memo that is an object": [OBJECT, *CHANGES],
    "what one call gave is changed at once": [LOAD, "load().append(2)", "print(load())", "load().append(3)", "print(load())"],
    "a value is changed by another step": [LOAD, "x = load()", "x.append(5)", "print(load())", "x.append(6)\nprint(load() is x)"],
    "two values of two steps are one": [LOAD, "x = load()", "y = load()", "x.append(5)", "print(y, x is y)", "print(load())"],
    "it is in a list": [LOAD, "holder = [load()]", "holder[0].append(2)", "print(load())", "holder[0].append(3)", "print(load())"],
    "it is put into a list": [LOAD, "holder = [[0]]", "holder.append(load())", "holder[1].append(2)", "print(load(), holder)"],
    "through a function": [f"{LOAD}\ndef get():\n    return load()", "get().append(2)", "print(get())", "print(load())"],
    "within a function": [f"{LOAD}\ndef grow():\n    load().append(2)", "grow()", "print(load())", "grow()", "print(load())"],
    "a cache of a cache": [f"{LOAD}\n@functools.cache\ndef outer():\n    return load()", "outer().append(2)", "print(load())", "load().append(3)", "print(outer())"],
    "arguments": [
        "import functools\n@functools.cache\ndef load(n=1):\n    return [n]",
        "x = load(1)\nx.append(2)", "print(load(1), load(2))", "load(2).append(5)", "print(load(1), load(2))",
    ],
    "an array": [LOAD.replace("[1]", "np.zeros(3)"), "load()[0] = 5", "print(load())", "a = load()\na += 1", "print(load())"],
    "a frame": [
        LOAD.replace("[1]", "pd.DataFrame({'k': [1, 2]})"),
        "df = load()\ndf['z'] = 1", "print(load().shape)", "more = load().assign(q=1)", "print(load().columns.tolist(), more.shape)",
    ],
    "an iterator": [LOAD.replace("[1]", "iter([1, 2, 3, 4])"), "a = next(load())", "b = next(load())", "print(a, b, next(load()))"],
    "what is inside": [LOAD.replace("[1]", "{'a': [1]}"), "load()['a'].append(2)", "print(load())", "load()['a'] = 0", "print(load())"],
    "a cache that is emptied": [LOAD, "x = load()\nx.append(2)", "load.cache_clear()", "print(load(), x)"],
    "random numbers that only the first call draws": [
        LOAD.replace("[1]", "[random.random()]"), "random.seed(1)\na = load()", "b = load()", "print(a, b, a is b)", "print(load(), random.random())",
    ],
    "code that keeps something": [
        LOAD.replace("[1]", "counter(1)"), "a = load()(2)", "b = load()(3)", "print(a, b)", "print(load()())",
    ],
    # One thread: of two that call at once a cache of functools keeps what either made.
    "by threads": [
        f"{LOAD}\nfrom concurrent.futures import ThreadPoolExecutor",
        "with ThreadPoolExecutor(1) as pool:\n    xs = list(pool.map(lambda _: load(), range(2)))",
        "xs[0].append(2)", "print(load())",
    ],
    "a class attribute that a value is": [
        "class S:\n    kept = {}\n    @classmethod\n    def get(cls, n):\n        return cls.kept.setdefault(n, [n])",
        "S.get(1).append(1)", "print(S.get(1))", "x = S.get(1)", "x.append(2)", "print(S.get(1) is x)",
    ],
    "a random number that only the first call draws": [
        LOAD.replace("[1]", "random.random()"), "random.seed(1)\na = load()", "b = load()", "print(a, b)", "print(load(), random.random())",
    ],
    "a call that counts": [
        "import functools\nn = [0]\n@functools.cache\ndef load(x):\n    n[0] += 1\n    return n[0]",
        "a = load(1)", "b = load(2)", "print(a, b, n)", "print(load(1), load(3))",
    ],
    "a decorator that counts": [COUNTED, "a = f(1)", "b = f(2)", "print(a, b)", "print(f(3))"],
}  # fmt: skip


OF_METHODS = {
    "a cached method": [f"{METHOD}\np = P()", "p.data().append(2)", "print(p.data())", "x = p.data()", "x.append(3)", "print(p.data())"],
    "of an object of a step": [METHOD, "p = P()", "p.data().append(2)", "print(p.data())", "x = p.data()", "x.append(3)", "print(p.data())"],
    "a cached method of the class": [
        METHOD.replace("    @functools", "    @classmethod\n    @functools"),
        "P.data().append(2)", "print(P.data())", "x = P.data()", "x.append(3)", "print(P.data())",
    ],
    "a cached function in a class": [
        METHOD.replace("    @functools", "    @staticmethod\n    @functools").replace("self", ""),
        "P.data().append(2)", "print(P.data())", "x = P.data()", "x.append(3)", "print(P.data())",
    ],
    "a cached property": [f"{PROPERTY}\np = P()", "p.data.append(2)", "print(p.data)", "x = p.data", "x.append(3)", "print(p.data)"],
    "a cached property that a step fills": [PROPERTY, "p = P()", "n = len(p.data)", "m = p.data", "m.append(n)", "print(m, p.data is m)"],
    "numbers": [METHOD.replace("[1]", "1"), "p = P()", "n = p.data()", "m = p.data() + 1", "print(n, m, p.data())"],
}  # fmt: skip


@pytest.mark.parametrize("cells", OF_METHODS.values(), ids=OF_METHODS)
def test_so_has_what_methods_remember(cells, store):  # noqa: F811
    for seed in range(6):
        assert check(cells, seed, store) == "same"


def test_a_value_of_the_notebook_that_holds_the_function_is_refused(store):  # noqa: F811
    """What shows only at run time fails the run and names the steps."""
    cells = [
        f"{LOAD}\nfs = {{'load': load}}",
        "fs['load']().append(2)",
        "print(load())",
        "load().append(3)",
        "print(fs['load']())",
    ]

    assert check(cells, 1, store) == "refused"


@pytest.mark.parametrize("cells", REMEMBERING.values(), ids=REMEMBERING)
def test_what_functions_remember_has_one_answer(cells, store):  # noqa: F811
    """**Hidden state** that steps share orders them as if it were a name."""
    for seed in (1, 3, 5):
        assert check(cells, seed, store) == "same"


@pytest.mark.parametrize("name", ["a memo of the notebook", "two values of two steps are one", "an array"])
def test_so_it_has_where_a_step_gives_the_function(name, store):  # noqa: F811
    for seed in (0, 2):
        assert check(REMEMBERING[name], seed, store) == "same"


OF_ITS_OWN_STEP = {
    "an iterator": [f"{LOAD}\nitems = iter(load())", "load().append(2)", "print(list(items))"],
    "a memo": [f"{MEMO}\nholder = [load()]", "holder[0].append(2)", "print(load())", "load().append(3)", "print(holder)"],
    "a method of a list": ["xs = [1]\npush = xs.append", "push(2)", "print(xs)", "push(3)\nprint(xs)"],
}  # fmt: skip


@pytest.mark.parametrize("cells", OF_ITS_OWN_STEP.values(), ids=OF_ITS_OWN_STEP)
def test_what_a_step_makes_of_what_it_keeps_is_one_with_it(cells, store):  # noqa: F811
    for seed in (0, 2, 4):
        assert check(cells, seed, store) == "same"


def test_a_value_that_a_function_remembers_too_is_made_again_with_it(store, monkeypatch):  # noqa: F811
    monkeypatch.setattr(Ties, "titled", lambda *given: given[-1])

    with pytest.raises(AssertionError, match="cut_after"):
        check(REMEMBERING["a value is changed by another step"], 1, store)


TIMED = """
import functools
def timed(fn):
    @functools.wraps(fn)
    def inner(*args):
        before = 1
        found = fn(*args)
        print(before)
        return found
    return inner
@timed
def load():
    return [1]"""


def edges(cells, notebook):
    found = CellFlow(cells, notebook=notebook).graph()
    return {(edge.source, edge.target): edge for edge in found.edges}


FREE = {
    "it is only read": (LOAD, {"a": "a = len(load())", "b": "b = load()[0]", "c": "c = load()"}),
    "it is a number": (LOAD.replace("[1]", "len('abc')"), {"a": "n = load()\nn += 1", "b": "m = load()\nm += 1"}),
    "it is copied": (LOAD, {"a": "a = [*load()]\na.append(1)", "b": "b = load()"}),
    "a decorator that remembers nothing": (
        TIMED,
        {"a": "a = load()\na.append(1)", "b": "b = load()\nb.append(2)"},
    ),
    "a library's decorator": (
        "import contextlib\n@contextlib.contextmanager\ndef load():\n    yield [1]",
        {"a": "with load() as a:\n    a.append(1)", "b": "with load() as b:\n    b.append(1)"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("notebook", "cells"), FREE.values(), ids=FREE)
def test_nobody_waits_where_nothing_is_changed(notebook, cells):
    assert edges(cells, notebook) == {}


def test_a_decorated_function_may_make_a_global_when_there_is_none():
    notebook = f"{TIMED}\nmodel = None\n@timed\ndef get():\n    global model\n    if model is None:\n        model = 1\n    return model"

    assert edges({"a": "a = get()", "b": "b = get()"}, notebook) == {}


def test_methods_that_are_only_read_are_nobodys_to_order():
    cells = {"a": "a = len(p.data())", "b": "b = p.data()[0]", "c": "c = P().data()", "d": "d = q.data"}
    notebook = f"{METHOD}\np = P()\nclass Q:\n    data = [1]\nq = Q()"

    assert edges(cells, notebook) == {}


def test_an_edge_says_who_changes_what_is_remembered():
    found = edges({"a": "x = load()", "b": "n = len(load())", "c": "x.append(2)", "d": "print(load())"}, LOAD)

    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")}
    assert found["a", "b"].reason == (
        "b waits for a: both have to do with what load remembers, which c changes (x.append(…))."
    )
    assert found["a", "b"].remedy == "--pure memory-of-load"


def test_a_function_by_another_name_remembers_the_same():
    found = edges({"a": "x = other()", "b": "n = len(load())", "c": "x.append(2)"}, f"{LOAD}\nother = load")

    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_a_pure_use_is_nobodys_to_order():
    cells = {"a": "x = load()", "b --pure memory-of-load load": "load().append(2)", "c": "print(load())"}

    assert edges(cells, LOAD) == {}


def test_another_process_has_another_memory():
    with pytest.raises(InvalidStep, match="'a': it uses what load remembers, which 'b' changes"):
        edges({"a --executor process": "n = len(load())", "b": "load().append(2)"}, LOAD)


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


def test_an_attempt_that_cannot_begin_with_what_was_remembered_is_refused(record):
    cells = {"a": "load().append(2)", "b --retries 2": "load().append(3)\n1 / 0"}
    run = CellFlow(cells, notebook=LOAD).run(record)

    assert run["b"].error.type == "NoCleanStart"
    assert "memory of load" in run["b"].error.message


def test_one_that_only_reads_may_be_tried_again(record):
    cells = {
        "a": "load().append(2)",
        "b --retries 2": "b = list(load())\nassert szal.context().attempt > 2",
        "c --retries 2": "c = f(1)\nassert szal.context().attempt > 2",
    }
    run = CellFlow(cells, notebook=f"import szal_nb as szal\n{LOAD}{COUNTED}").run(record)

    assert (run.values.b, run.values.c) == ([1, 2], (1, 1))


def test_a_step_that_has_to_do_with_it_says_that_a_resume_runs_it_again(record):
    run = CellFlow({"a": "x = load()", "b": "x.append(2)", "c": "c = len(load())"}, notebook=LOAD).run(record)
    (tied,) = (ref for ref in run.snapshot.steps["b"].values if ref.name == "x")

    assert tied.ties[0][1] == "<memory of load>"
    assert [ref.live for ref in run.snapshot.steps["c"].values if ref.name == "<memory of load>"]


def test_numbers_that_are_remembered_are_no_reason_to_run_a_step_again(record):
    cells = {"a": "a = f(1)", "b": "f(2) + 1", "c": "c = f(3)\nc += 1"}
    run = CellFlow(cells, notebook="import functools\n@functools.cache\ndef f(x):\n    y = x\n    return y").run(record)

    refs = [ref for step in run.snapshot.steps.values() for ref in step.values]
    assert any(ref.name == "<memory of f>" for ref in refs)
    assert all(ref.live is None for ref in refs)


def test_reuse_runs_all_that_share_what_is_remembered(record):
    cells = {"a": "a = len(load())", "b": "load().append(2)", "c": "c = len(load())", "d": "d = 5"}
    first = CellFlow(cells, notebook=LOAD).run(record)
    flow = CellFlow({**cells, "b": "load().append(3)\nload().append(4)"}, notebook=LOAD)
    run = flow.run(record, reuse=first.id)

    assert flow.deeds == ["a", "b", "c"]
    assert (run.values.a, run.values.c, run.values.d) == (1, 3, 5)
