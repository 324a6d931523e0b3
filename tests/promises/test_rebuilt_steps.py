"""A resumed run equals an uncut one, also where steps are rebuilt: what is on record stays, what is live is made again."""

from __future__ import annotations

import pytest

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
