"""An instance is of the class that made it, whichever class has that name by now: in a resumed run as in an uncut one."""

from __future__ import annotations

import threading

import pytest

from szal_nb.store.pickling import by_qualname
from szal_nb.store.runs import RunStore
from szal_nb.store.values import Keeper
from tests.api.cell_flows import CellFlow
from tests.promises.drawn_notebooks import HELPERS
from tests.promises.test_same_answer import check, store  # noqa: F401  a fixture

FIRST, NEWER = "class C:\n    y = 1", "class C:\n    y = 2"
GOING = "class C:\n    def go(self):\n        return {}"
ENUM = "class E(enum.Enum):\n    A = {}\n    B = {}"
# A later step defines the class anew.
ANEW = {
    "without anything": ["class C:\n    pass\nc = C()\nc.x = 1", NEWER, "print(hasattr(c, 'y'), c.x, C().y, isinstance(c, C))"],
    "with attributes": [f"{FIRST}\nc = C()", NEWER, "print(c.y, C().y, isinstance(c, C))"],
    "of the same text": [f"{FIRST}\nc = C()", FIRST, "print(isinstance(c, C), type(c) is C)"],
    "with a method": [f"{GOING.format(1)}\nc = C()", GOING.format(2), "print(c.go(), C().go(), isinstance(c, C))"],
    "with a method of the same text": [f"{GOING.format(1)}\nc = C()", GOING.format(1), "print(c.go(), isinstance(c, C))"],
    "a dataclass": ["@dataclasses.dataclass\nclass C:\n    x: int = 1\nc = C()", "@dataclasses.dataclass\nclass C:\n    x: int = 1\n    z: int = 3", "print(c, C(), c == C())"],
    "an enum": [f"import enum\n{ENUM.format(1, 2)}\ne = E.A", ENUM.format(2, 1), "print(e, e.value, e is E.A, E(1))"],
    "a named tuple": ["import typing\nclass N(typing.NamedTuple):\n    a: int\n    b: int\nn = N(1, 2)", "class N(typing.NamedTuple):\n    b: int\n    a: int", "print(n, n.a, N(1, 2).a)"],
    "a named tuple of a call": ["import collections\nN = collections.namedtuple('N', 'a b')\nn = N(1, 2)", "N = collections.namedtuple('N', 'b a')", "print(n, n.a, N(1, 2).a)"],
    "an error": ["class E(Exception):\n    pass\ne = E(1)", "class E(ValueError):\n    pass", "print(isinstance(e, ValueError), isinstance(e, E), e.args)"],
    "slots": ["class C:\n    __slots__ = ('x',)\nc = C()\nc.x = 1", "class C:\n    __slots__ = ('x', 'z')", "print(c.x, hasattr(type(c), 'z'), isinstance(c, C))"],
    "in a list": [f"{FIRST}\ncs = [C()]", NEWER, "cs.append(C())", "print([c.y for c in cs], len(set(map(type, cs))))"],
    "the class in a list": [FIRST, "ks = [C]", "print(ks[0] is C)", NEWER, "print(ks[0] is C, ks[0]().y)"],
    "under another name": [f"{FIRST}\nOld = C\nc = C()", NEWER, "print(c.y, C().y, Old().y, isinstance(c, Old), isinstance(c, C))"],
    "only under another name": [f"{FIRST}\nD = C\nc = C()", "C = 5", "print(c.y, isinstance(c, D), C)"],
    "by a call of type": ["C = type('C', (), {'y': 1})\nc = C()", "C = type('C', (), {'y': 2})", "print(c.y, C().y, isinstance(c, C))"],
    "from itself": [f"{GOING.format(1)}\nc = C()", "class C(C):\n    def go(self):\n        return super().go() + 1\nd = C()", "print(c.go(), d.go(), isinstance(c, C), isinstance(d, C), C.__mro__[1] is type(c))"],
    "twice": [f"{FIRST}\nc = C()", f"{NEWER}\nd = C()", "class C:\n    y = 3\ne = C()", "xs = [c, d, e]", "print([x.y for x in xs], [isinstance(x, C) for x in xs])"],
    "an inner one": ["class A:\n    class In:\n        y = 1\nc = A.In()", "class A:\n    class In:\n        y = 2", "print(c.y, A.In().y, isinstance(c, A.In))"],
    "after it was deleted": [f"{FIRST}\nc = C()", "del C", NEWER, "print(c.y, C.y)"],
    "beside a generator": [f"{FIRST}\nc = C()\ng = (x for x in [c])", NEWER, "x = next(g)\nprint(x is c, x.y, isinstance(x, C))"],
}  # fmt: skip
# Nothing defines it anew, but its name leads to it only from where it was made, or nowhere.
ITS_OWN = {
    "another name of its own": ["import collections\nP = collections.namedtuple('Point', 'a b')\np = P(1, 2)", "print(p, isinstance(p, P), P(3, 4))"],
    "an enum of a call": ["import enum\nE = enum.Enum('Colour', 'RED BLUE')\ne = E.RED", "print(e, e is E.RED)"],
    "a name for the step alone": ["class _C:\n    y = 1\nc = _C()", "print(c.y)"],
    "deleted where it was made": [f"{FIRST}\nc = C()\ndel C", "print(c.y)"],
    "defined twice in one step": [f"{FIRST}\nc = C()\n{NEWER}", "print(c.y, C().y, isinstance(c, C))"],
    "in a dict": ["ks = {'a': type('A', (), {'y': 1})}\nc = ks['a']()", "print(c.y, type(c) is ks['a'])"],
    "its attribute is changed": [f"{FIRST}\nc = C()", "C.y = 5", "print(c.y, C.y, isinstance(c, C))", "print(c.y, C().y)"],
    "its attribute is changed, and it is defined anew": [f"{FIRST}\nc = C()", "C.y = 5\nc.x = 1", "class C:\n    y = 9\nd = C()", "print(c.y, C.y, isinstance(c, C))", "C.y = 10", "print(c.y, d.y)"],
    "given by another name": [FIRST, "n = 1", "Old = C\nc = Old()", "d = C()", "print(isinstance(c, C), isinstance(d, Old), Old is C)"],
}  # fmt: skip


@pytest.mark.parametrize("cells", ANEW.values(), ids=ANEW)
def test_an_instance_stays_one_of_its_class_when_that_is_defined_anew(cells, store):  # noqa: F811
    """A resumed run equals an uncut one."""
    assert {check(cells, seed, store) for seed in range(5)} == {"same"}


@pytest.mark.parametrize("cells", ITS_OWN.values(), ids=ITS_OWN)
def test_an_instance_is_of_its_class_after_a_resume_whatever_that_is_called(cells, store):  # noqa: F811
    assert {check(cells, seed, store) for seed in (0, 2, 4)} == {"same"}


def test_a_class_found_by_its_name_alone_is_noticed(store, monkeypatch):  # noqa: F811
    """A check that cannot go red proves nothing."""
    monkeypatch.setattr("szal_nb.api.classes.Classes.name_of", lambda _, kind, **asked: by_qualname(kind, **asked))

    with pytest.raises(AssertionError, match="cut_after"):
        check(ANEW["with attributes"], 0, store)


# Nothing says which of the first two steps comes first.
AT_ONCE = {
    title: cells
    for title, cells in ANEW.items()
    if title not in ("the class in a list", "from itself", "after it was deleted")
} | {
    "both hold one object": ["import sys\nclass C:\n    held = sys.argv\nc = C()", "import sys\nclass C:\n    y = 2\n    held = sys.argv", "print(hasattr(c, 'y'), C.y, c.held is C.held, isinstance(c, C))"],
}  # fmt: skip


@pytest.mark.parametrize("late", ["s0", "s1"])
@pytest.mark.parametrize("cells", AT_ONCE.values(), ids=AT_ONCE)
def test_a_class_is_that_of_its_step_whichever_step_is_recorded_first(cells, late, store, monkeypatch):  # noqa: F811
    """Both have ended before one is recorded: what they share is recorded with the first, by the names of both."""
    soon = {"s0": "s1", "s1": "s0"}[late]
    named = {f"s{n}": cell for n, cell in enumerate(cells)}
    named[soon] = f"ended.wait(20)\n{named[soon]}"
    steps = {f"{soon} --pure ended" if name == soon else name: cell for name, cell in named.items()}
    notebook = f"{HELPERS}\nimport threading\nended = threading.Event()"
    last = f"s{len(cells) - 1}"
    uncut = CellFlow(steps, notebook=f"{notebook}\nended.set()").run(store)
    flow, recorded, keep = CellFlow(steps, notebook=notebook), threading.Event(), Keeper.keep

    def keep_in_turn(self, step, *of_step):
        if step == late:
            flow.space["ended"].set()
            assert recorded.wait(20)
        refs = keep(self, step, *of_step)
        if step == soon:
            recorded.set()
        return refs

    monkeypatch.setattr(Keeper, "keep", keep_in_turn)
    flow.fails = {last}
    cut = flow.run(store)
    monkeypatch.undo()
    resumed = CellFlow(steps, notebook=f"{notebook}\nended.set()").resume(store, cut.id)

    assert [name for name, step in cut.steps.items() if step.state == "failed"] == [last]
    assert resumed[last].logs == uncut[last].logs


@pytest.fixture
def record():
    with RunStore.open(":memory:", durability="fast") as record:
        yield record


def test_a_class_is_one_through_all_resumes(record):
    """A resumed run equals an uncut one."""
    cells = {
        "base": "class B:\n    pass",
        "kind": "class C(B):\n    pass",
        "other --after kind": "Old = B",
        "make": "c, b = C(), Old()",
        "look": "seen = isinstance(c, B), isinstance(c, C), isinstance(b, B), Old is B, C.__mro__[1] is B",
    }
    run = None
    for missing in ("kind", "other", "make", "look", None):
        flow = CellFlow(cells)
        flow.fails = {missing}
        run = flow.run(record) if run is None else flow.resume(record, run.id)

    assert run["look"].value == (True,) * 5


def test_a_class_is_one_where_the_step_that_gave_it_with_a_live_value_is_made_again_twice(record):
    """A resumed run equals an uncut one."""
    cells = {
        "kind": "class C:\n    pass\ncon = iter([1, 2])",
        "make": "c = C()",
        "use": "x = next(con)\nseen = isinstance(c, C), type(c) is C",
    }
    run = None
    for missing in ("use", "kind", "use", None):
        flow = CellFlow(cells)
        flow.fails = {missing}
        run = flow.run(record) if run is None else flow.resume(record, run.id)

    assert run.value("use", "seen") == (True, True)


@pytest.mark.parametrize("anew", [NEWER, NEWER.replace("2", "3"), FIRST])
def test_what_a_run_takes_from_another_is_of_the_class_that_made_it(anew, record):
    cells = {"make": f"{FIRST}\nc = C()", "anew": NEWER, "look": "seen = c.y, C.y, isinstance(c, C)"}
    flow = CellFlow(cells)
    done = flow.run(record)
    edited = CellFlow({**cells, "anew": anew, "look": "seen = c.y, C.y, isinstance(c, C), 1"})
    run = edited.run(record, reuse=done.id)

    assert run["look"].value == (1, int(anew[-1]), False, 1)
    assert "make" not in edited.deeds
