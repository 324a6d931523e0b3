"""What functions and classes keep from call to call is hidden state: ordered, recorded, and put back for the next run."""

from __future__ import annotations

import pytest

from szal_nb.engine.states import RecordedStates
from szal_nb.errors import InvalidStep
from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

CALLS = ["a = f(1)", "b = f(2)", "print(a, b)", "print(f(3))"]
KEEPING = {
    "a default": ["def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)", *CALLS],
    "a keyword default": ["def f(x, *, acc={}):\n    acc[x] = 1\n    return sorted(acc)", *CALLS],
    "a default of a lambda": ["f = lambda x, acc=[]: acc.append(x) or list(acc)", *CALLS],
    "a default that cannot be stored": [
        "import queue\ndef f(x, acc=queue.Queue()):\n    acc.put(x)\n    return acc.qsize()",
        *CALLS,
    ],
    "a default that is an iterator": ["import itertools\ndef f(x, n=itertools.count()):\n    return next(n) + x", *CALLS],
    "a default of a helper of a helper": [
        "def grow(x, acc=[]):\n    acc.append(x)\n    return list(acc)\ndef f(x):\n    return grow(x)",
        *CALLS,
    ],
    "its own attribute": ["def f(x):\n    f.sum = getattr(f, 'sum', 0) + x\n    return f.sum", *CALLS],
    "an attribute that another function changes": [
        "def f(x):\n    return f.seen + [x]\nf.seen = []\ndef note(x):\n    f.seen.append(x)",
        "note(1)\na = f(2)",
        "note(3)",
        "print(a, f(4))",
    ],
    "an attribute that a step changes": [
        "def f(x):\n    return x * f.by\nf.by = 2",
        "a = f(1)",
        "f.by = 5",
        "print(a, f(1))",
        "f.by += 1\nprint(f(1))",
    ],
    "attributes of a class": [
        "class C:\n    n = 0\n    items = []\n    def __init__(self, k):\n        C.n += 1\n        self.items.append(k)",
        "a = C(1)",
        "b = C(2)",
        "print(C.n, C.items)",
        "c = C(3)\nprint(C.n, C.items)",
    ],
    "attributes of a class through its class": [
        "class C:\n    n = 0\n    def up(self):\n        type(self).n += 1\n    @classmethod\n    def two(cls):\n        cls.n += 2",
        "C().up()\na = C.n",
        "C.two()\nb = C.n",
        "print(a, b)",
        "C().up()\nprint(C.n)",
    ],
    "attributes of a class through an instance": [
        "class C:\n    items = []\n    def add(self, k):\n        self.items.append(k)\n        return list(self.items)\nbox = C()",
        "a = box.add(1)",
        "b = box.add(2)",
        "print(a, b)",
        "print(box.add(3))",
    ],
    "numbers of instances": [
        "import itertools\nclass C:\n    ids = itertools.count()\n    def __init__(self):\n        self.id = next(self.ids)",
        "a = C().id",
        "b = C().id",
        "print(a, b)",
        "print(C().id)",
    ],
    "objects of a class that cannot be stored": [
        "import threading\ndef f(x, acc=[]):\n    acc.append(x)\n    return len(acc)",
        "class C:\n    lock = threading.Lock()\nc = C()",
        "a = f(C())",
        "print(f(3), a)",
        "print(f(4))",
    ],
    "what a cache tells of itself": [
        "import functools\n@functools.lru_cache\ndef f(x):\n    return x",
        "a = f(1)",
        "b = f(1) + f(2)",
        "print(f.cache_info().currsize)",
        "f(5)\nprint(f.cache_info().currsize)",
    ],
}  # fmt: skip


@pytest.mark.parametrize("cells", KEEPING.values(), ids=KEEPING)
def test_calls_of_what_keeps_something_have_one_answer(cells, store):  # noqa: F811
    """**Hidden state** that steps share orders them as if it were a name."""
    for seed in (1, 3, 5):
        assert check(cells, seed, store) == "same"


GIVEN_OUT = {
    "a default": ["def f(x, acc=[]):\n    acc.append(x)\n    return acc", "a = f(1)", "a.append(4)", "print(f(3), a)"],
    "a default that only its callers change": ["def f(acc=[]):\n    return acc", "f().append(4)", "print(f())", "a = f()", "a.append(5)", "print(f())"],
    "a default that remembers": [
        "def f(k, acc={}):\n    return acc.setdefault(k, [])", "f(1).append(4)", "print(f(1))", "a = f(1)", "a.append(5)", "print(f(1), f(2))",
    ],
    "an attribute": ["def f():\n    return f.acc\nf.acc = []", "f().append(4)", "print(f())", "a = f()", "a.append(5)", "print(f())"],
    "an attribute by its name": ["def f():\n    return len(f.acc)\nf.acc = []", "f.acc.append(4)", "print(f())", "a = f.acc", "a.append(5)", "print(f())"],
    "an attribute of a class": ["class C:\n    items = []", "C.items.append(1)", "print(C.items)", "a = C.items", "a.append(2)", "print(C.items)"],
    "what a method gives of it": [
        "class C:\n    items = []\n    def get(self):\n        return self.items", "C().get().append(1)", "print(C().get())", "a = C().get()", "a.append(2)", "print(C.items)",
    ],
    "the one object of a class": [
        "class S:\n    one = None\n    def __new__(cls):\n        if cls.one is None:\n            cls.one = super().__new__(cls)\n            cls.one.xs = []\n        return cls.one",
        "S().xs.append(1)", "print(S().xs)", "x = S()", "x.xs.append(2)", "print(S().xs, S() is x)",
    ],
    "what a method of the class gives": [
        "class S:\n    one = None\n    @classmethod\n    def get(cls):\n        if cls.one is None:\n            cls.one = S()\n            cls.one.xs = []\n        return cls.one",
        "S.get().xs.append(1)", "print(S.get().xs)", "x = S.get()", "x.xs.append(2)", "print(S.get().xs)",
    ],
}  # fmt: skip


@pytest.mark.parametrize("cells", GIVEN_OUT.values(), ids=GIVEN_OUT)
def test_what_is_kept_and_given_out_has_one_answer(cells, store):  # noqa: F811
    """A resumed run equals an uncut one: two names for one object stay one object."""
    for seed in (1, 3, 5):
        assert check(cells, seed, store) == "same"


def test_objects_of_a_class_that_has_lists_are_nobodys_to_order_as_long_as_nothing_comes_out_of_them():
    notebook = (
        "class Model:\n    layers = [1, 2]\n    def fit(self, x):\n        self.w = [x]\n        return self\n"
        "    def count(self):\n        return len(self.layers)"
    )
    cells = {
        "a": "a = Model().fit(1)\na.w.append(2)",
        "b": "b = Model().fit(2)\nb.w[0] = 3",
        "c": "c = Model().count()",
    }

    assert CellFlow(cells, notebook=notebook).graph().edges == ()


GIVEN_BY_A_STEP = [name for name in KEEPING if "default" in name and "helper" not in name]


@pytest.mark.parametrize("name", GIVEN_BY_A_STEP)
def test_so_have_those_of_a_function_that_a_step_gives(name, store):  # noqa: F811
    for seed in (0, 2, 4):
        assert check(KEEPING[name], seed, store) == "same"


def test_what_is_not_put_back_is_found(store, monkeypatch):  # noqa: F811
    monkeypatch.setattr(RecordedStates, "_put_back_kept", lambda *_: None)

    with pytest.raises(AssertionError, match="cut_after"):
        check(KEEPING["a default"], 1, store)


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


GROWING = "def f(x, acc=[]):\n    acc.append(x)\n    return list(acc)"


def test_an_attempt_begins_with_what_was_kept_before_the_first(record):
    cells = {"a": "a = f(1)", "b --retries 2": "b = f(2)\nassert szal.context().attempt > 2"}
    run = CellFlow(cells, notebook=f"import szal_nb as szal\n{GROWING}").run(record)

    assert (run.state, run.values.b) == ("completed", [1, 2])


def test_another_process_cannot_change_what_is_kept(record):
    flow = CellFlow({"a --executor process": "a = f(1)"}, notebook=GROWING)

    with pytest.raises(InvalidStep, match="'a'.*changes what f keeps from call to call"):
        flow.graph()


def test_a_pure_use_is_nobodys_to_order(record):
    cells = {"a": "a = f(1)", "b --pure default-of-f(acc=…)": "b = f(2)"}

    assert CellFlow(cells, notebook=GROWING).graph().edges == ()


def test_a_default_that_is_only_read_orders_nothing():
    notebook = "def f(x, options={}):\n    return options.get(x, x)\nclass C:\n    n = [1]\n    def read(self):\n        return self.n[0]"

    assert CellFlow({"a": "a = f(1)", "b": "b = f(C().read())"}, notebook=notebook).graph().edges == ()


def test_reuse_runs_all_that_share_what_is_kept(record):
    cells = {"a": "a = f(1)", "b": "b = f(2)", "c": "c = 5"}
    first = CellFlow(cells, notebook=GROWING).run(record)
    flow = CellFlow({**cells, "b": "b = f(3)"}, notebook=GROWING)
    run = flow.run(record, reuse=first.id)

    assert flow.deeds == ["a", "b"]
    assert (run.values.a, run.values.b, run.values.c) == ([1], [1, 3], 5)
