"""A resumed run equals an uncut one, also where steps are rebuilt: what is on record stays, what is live is made again."""

from __future__ import annotations

import pytest

from szal_nb.store.runs import RunStore
from tests.api.cell_flows import CellFlow
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

QUEUE = "import queue\nwaiting = queue.Queue()\nwaiting.put(1)"
PROGRAMS = {
    "a kept change of what was given beside": [
        "arr = np.arange(6.)\nview = arr[:2]\nitems = iter([1, 2, 3])",
        "arr[0] += 1",
        "print(next(items), view, arr)",
        "view[1] = 9\nprint(arr, next(items))",
    ],
    "a kept change of what the live value holds": [
        "arr = np.arange(6.)\nitems = (x for x in arr)",
        "arr[0] += 1",
        "print(list(items), arr)",
    ],
    "the live value holds an input of its step": [
        "xs = [1, 2]",
        "items = iter(xs)",
        "xs.append(3)",
        "print(list(items), xs)",
    ],
    "what was built on what the live value holds": [
        "xs = [1, 2]\nitems = iter(xs)",
        "holder = [xs]",
        "holder[0].append(3)",
        "print(list(items))",
        "holder[0].append(4)\nprint(xs)",
    ],
    "a rebuilt step reads what later steps have changed": [
        "arr = np.arange(6.)\nview = arr[:2]",
        "items = iter(view.tolist())",
        "arr[0] += 10",
        "print(list(items), view)",
    ],
    "a change and back": [
        "acc = []",
        "acc.append(1)\nitems = iter(acc[:])",
        "acc.pop()",
        "print(acc, list(items))",
    ],
    "a list beside a lock": [
        "import threading\nd = {'f': threading.Lock(), 'xs': [1]}\nxs = d['xs']",
        "xs.append(2)",
        "ys = [xs]",
        "d['xs'].append(3)\nprint(xs, ys, ys[0] is d['xs'])",
    ],
    "a lambda over a list and a live value": [
        f"{QUEUE}\nxs = [1]\nshow = lambda: (xs, waiting.qsize())",
        "xs.append(2)",
        "print(show())",
        "waiting.put(2)",
        "print(show(), xs)",
    ],
    "half consumed": [
        "items = iter([1, 2, 3, 4])",
        "a = next(items)",
        "b = next(items)",
        "print(a, b, list(items))",
    ],
    "what is drawn from a live value is changed": [
        "import itertools\nitems = itertools.cycle([[1], [2]])",
        "first = next(items)",
        "first.append(5)",
        "n = next(items)\nprint(n, next(items))",
    ],
    "random numbers beside": [
        "a = [random.random()]\nitems = iter([1, 2])",
        "b = [random.random()]",
        "print(next(items), random.random(), a, b)",
        "print(random.random())",
    ],
    "two objects of one step": [
        "a = [[1]]\nb = a[0]\nitems = iter([5])",
        "b.append(2)",
        "print(next(items), a, a[0] is b)",
        "a[0].append(3)\nprint(b)",
    ],
    "a kept reader between": [
        "xs = [1]\nitems = iter(xs)",
        "n = len(xs)",
        "xs.append(2)",
        "m = len(xs)",
        "xs.append(n + m)\nprint(list(items), xs)",
    ],
    "a rebuilt step draws from another": [
        "import itertools\nsource = itertools.count(3)",
        "pairs = zip(source, [1, 2, 3])",
        "one = next(pairs)",
        "two = next(source)",
        "print(one, two, list(pairs), next(source))",
    ],
    "a change through a live value that is not needed any more": [
        "import threading\na = [1]\nkit = {'lock': threading.Lock(), 'xs': a}",
        "kit['xs'].append(2)",
        "print(a)",
    ],
    "an iterator over a dict in a list": [
        "items = iter({'a': [1], 'b': [2]}.values())",
        "store = [items]",
        "a = next(store[0])",
        "print(a, next(items), type(store[0]).__name__)",
    ],
    "a class that is made again": [
        ("import threading\nclass K:\n    def __init__(self, xs):\n        self.lock = threading.Lock()\n        self.xs = xs\n"
        "xs = [1]\nk = K(xs)"),
        "xs.append(2)",
        "class Kept(K):\n    def __init__(self):\n        self.xs = [5]\nm = Kept()",
        "k.xs.append(3)",
        "print(xs, k.xs is xs, isinstance(k, K), isinstance(m, K), type(m) is Kept)",
    ],
    "what tells nobody what it holds": [
        "arr = np.arange(4)\nitems = arr.flat",
        "arr[1] = 50",
        "a = int(next(items))",
        "print(a, [int(n) for n in items], arr)",
    ],
    "a generator that has changed what it went over, and ended": [
        "a = [1]\ndef going(x):\n    for part in x:\n        yield part\n        x.append(0) if len(x) < 4 else None\nitems = going(a)",
        "b = next(items)",
        "c = list(items)",
        "print(a, b, c)",
    ],
    "going through what is chained": [
        "import itertools\nitems = itertools.chain([1, 2], [3])",
        "for part in items:\n    a = part\n    break",
        "b = next(items)\nprint(a, b)",
        "print(list(items))",
    ],
    "an iterator that a step has only read": [
        "d = {'a': [1], 'b': [2]}\nitems = iter(d.values())",
        "d['a'].append(3)",
        "e = dict(d)",
        "e['b'].append(4)",
        "print(list(items), d, e)",
    ],
}  # fmt: skip


@pytest.mark.parametrize("cells", PROGRAMS.values(), ids=PROGRAMS)
def test_a_resumed_run_equals_an_uncut_one_where_steps_are_rebuilt(cells, store):  # noqa: F811
    """A resumed run equals an uncut one: two names for one object stay one object."""
    for seed in (0, 2):
        assert check(cells, seed, store) == "same"


@pytest.mark.parametrize("cells", PROGRAMS.values(), ids=PROGRAMS)
def test_so_does_one_whose_live_inputs_the_notebook_gives_again(cells, store):  # noqa: F811
    """Inputs that share objects, and that no edge can know of, may be refused."""
    for seed in (1, 3):
        assert check(cells, seed, store) in ("same", "refused")


# Classes that came with a live value: the step that gave both runs again, and its classes are those on record.

M = "class M:\n    n = [1]\n    def twin(self):\n        return M()\ncon = iter([1, 2])"
E = "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2"
CLASSES = {
    "an instance": [M, "m = M()", "x = next(con)\nprint(isinstance(m, M), type(m) is M, type(m.twin()) is M)"],
    "an instance and what the class holds": [M, "m = M()\nsame = M.n", "x = next(con)\nprint(isinstance(m, M), M.n is same, m.n is same)"],
    "a subclass": [f"{M}\nclass N(M):\n    pass", "m, k = N(), M()", "x = next(con)\nprint(isinstance(m, M), type(m) is N, type(k) is M, issubclass(N, M))"],
    "a subclass of another step": [M, "class N(M):\n    pass\nm = N()", "x = next(con)\nprint(isinstance(m, M), type(m) is N, issubclass(N, M), N.n is M.n)"],
    "a class that counts": ["class M:\n    count = 0\n    def __init__(self):\n        M.count += 1\ncon = iter([1])", "m = M()", "k = M()", "x = next(con)\nprint(type(m) is type(k) is M, M.count)\nM()\nprint(M.count)"],
    "a function that asks": [f"{M}\ndef is_m(x):\n    return isinstance(x, M)", "m = M()", "x = next(con)\nprint(is_m(m), is_m(M()))"],
    "one that is live again": [f"{M}\nlast = M()", "m = M()", "x = next(con)\nprint(isinstance(m, M), type(last) is type(m))\ncon = iter([last])", "y = next(con)\nprint(y is last, type(y) is M)"],
    "a member in a live value": [f"{E}\ncon = iter([E.A])", "c = E.A\nd = {E.A: [1]}", "x = next(con)\nprint(x is c, x is E.A, d.get(x))"],
    "members everywhere": [f"{E}\ncon = iter([[E.A, E.B]])", "d = {E.A: [1]}\nf = [d, E.B]", "g = [d, f]", "x = next(con)\nprint(x[0] is E.A, d.get(x[0]), x[1] is f[1], g[0] is d, g[1] is f)"],
    "read by who runs again": [f"{M.partition('con')[0]}m = M()\nsame = M.n", "con = iter([1])\nprint(isinstance(m, M), m.n is M.n, same is M.n)", "m.k = 2", "x = next(con)\nprint(same is M.n, isinstance(m, M))\nsame.append(4)", "print(M.n)"],
    "perhaps changed, and not": [M.partition("con")[0], "con = iter([1])\nk = len(M.n)", "import functools\nm = M()\nz = functools.partial(M)\nz().twin()\nq = [M]", "x = next(con)\nprint(M.n, k)"],
    "what a function remembers": [
        "items = iter([1, 2])\na = [1]\nclass Conf:\n    items = [1]\nconf = Conf()",
        "a = [list(items), a]",
        "a = remembered()\na = [1]\nprint(Conf.items, conf.items, Conf.items is a, isinstance(conf, Conf))",
        "a = [1]\nremembered().append(0)\nConf.items.append(0)",
    ],
}  # fmt: skip
# As it was, before it was changed, there is no class any more.
CHANGED_SINCE = {
    "a number": ["class M:\n    n = 1", "con = iter([1])\nk = M.n", "M.n = 2", "x = next(con)\nprint(M.n, k)"],
    "what it holds": ["class M:\n    n = [1]", "con = iter([1])\nprint(M.n)", "M.n.append(2)", "x = next(con)\nprint(M.n)"],
    "what it holds, by another name": ["class M:\n    n = [1]\nsame = M.n", "con = iter([1])\nprint(M.n)", "same.append(2)", "x = next(con)\nprint(M.n)"],
    "by who runs again": ["class M:\n    n = [1]\nsame = M.n", "con = iter([1])\nsame.append(2)\nprint(M.n)", "k = 2", "x = next(con)\nprint(M.n)"],
}  # fmt: skip


@pytest.mark.parametrize("cells", CLASSES.values(), ids=CLASSES)
def test_an_instance_is_one_of_its_class_where_the_step_that_gave_that_is_rebuilt(cells, store):  # noqa: F811
    """A resumed run equals an uncut one: objects of notebook classes are loaded onto the class of this run."""
    for seed in (0, 2):
        assert check(cells, seed, store) == "same"


@pytest.mark.parametrize("cells", CHANGED_SINCE.values(), ids=CHANGED_SINCE)
def test_who_runs_again_and_reads_a_class_that_was_changed_since_is_refused(cells, store):  # noqa: F811
    """It would find the class as it is now."""
    for seed in (0, 2):
        assert check(cells, seed, store) == "refused"


@pytest.mark.parametrize(("reading", "found"), [("k = M.n", 1), ("k = len(xs)", 0)])
def test_so_is_who_runs_late_and_what_the_message_says_helps(reading, found):
    cells = {
        "a": "class M:\n    n = 1\n    xs = []\nxs = M.xs",
        "late": reading,
        "change": "M.n = 2\nM.xs.append(1)",
        "look": "seen = M.n, M.xs is xs",
    }
    with RunStore.open(":memory:", durability="fast") as record:
        flow = CellFlow(cells)
        flow.fails = {"late"}
        cut = flow.run(record)
        resumed = CellFlow(cells).resume(record, cut.id)
        again = CellFlow(cells).run(record, reuse=cut.id)

    assert cut["look"].value == (2, True)
    assert "Start a new run with --reuse" in resumed["late"].error.message
    assert (again["late"].value, again["look"].value) == (found, (2, True))


# A check that cannot go red proves nothing: each of these faults must be found.


@pytest.mark.parametrize(
    ("what", "stand_in", "program"),
    [
        ("engine.rebuilding.Rebuilding.stays", lambda *_: False, "a kept change of what was given beside"),
        ("engine.rebuilding.Rebuilding.as_first", lambda *_: {}, "a rebuilt step reads what later steps have changed"),
        ("engine.links.Links.closure", lambda _, places: set(places), "a kept change of what the live value holds"),
        ("engine.ties.Ties.titled", lambda *given: given[-1], "what was built on what the live value holds"),
    ],
    ids=["all given anew", "what it reads now", "no changer runs again", "nothing tied to live values"],
)
def test_a_fault_in_rebuilding_is_found(what, stand_in, program, store, monkeypatch):  # noqa: F811
    monkeypatch.setattr(f"szal_nb.{what}", stand_in)

    with pytest.raises(AssertionError, match="cut_after"):
        check(PROGRAMS[program], 0, store)
