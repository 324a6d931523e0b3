"""What a class holds in itself and inside of it: where it is looked for, and that it is put back there."""

from __future__ import annotations

import pytest

from szal_nb.engine.class_state import held_inside, held_state
from szal_nb.engine.keeping import copied, kept_by, put_back
from szal_nb.model.kept import attributes_state

STATE = attributes_state("C")
# How often it was called is told by what the class keeps in another place each time.
COUNTING = {
    "a list of the class": "class C:\n    seen = []\n    def go(self):\n        C.seen.append(1)\n        return len(C.seen)",
    "a default": "class C:\n    def go(self, seen=[]):\n        seen.append(1)\n        return len(seen)",
    "a default by keyword": "class C:\n    def go(self, *, seen=[]):\n        seen.append(1)\n        return len(seen)",
    "an attribute of a method": "class C:\n    def go(self):\n        C.go.calls += 1\n        return C.go.calls\nC.go.calls = 0",
    "what a method has for an attribute": (
        "import collections\nclass C:\n    def go(self):\n        C.go.seen.append(1)\n        return len(C.go.seen)\nC.go.seen = collections.deque()"
    ),
    "a default of what a property gets": (
        "class C:\n    @property\n    def n(self, seen=[]):\n        seen.append(1)\n        return len(seen)\n"
        "    def go(self):\n        return self.n"
    ),
    "a default of what a property sets": (
        "class C:\n    def set(self, value, seen=[]):\n        seen.append(1)\n        value.append(len(seen))\n"
        "    n = property(None, set)\n    del set\n"
        "    def go(self):\n        found = []\n        self.n = found\n        return found[0]"
    ),
    "a default of what a property deletes": (
        "class C:\n    def delete(self, seen=[]):\n        seen.append(1)\n        self.count = len(seen)\n"
        "    n = property(None, None, delete)\n    del delete\n"
        "    def go(self):\n        del self.n\n        return self.count"
    ),
    "a default of a static method": (
        "class C:\n    @staticmethod\n    def go(_=None, seen=[]):\n        seen.append(1)\n        return len(seen)"
    ),
    "a default of a class method": (
        "class C:\n    @classmethod\n    def go(cls, seen=[]):\n        seen.append(1)\n        return len(seen)"
    ),
    "a list in a cell": (
        "def counted(seen):\n    def go(self):\n        seen.append(1)\n        return len(seen)\n    return go\n"
        "class C:\n    go = counted([])"
    ),
    "a number in a cell": (
        "def counted():\n    n = 0\n    def go(self):\n        nonlocal n\n        n += 1\n        return n\n    return go\n"
        "class C:\n    go = counted()"
    ),
    "a set in a cell": (
        "def counted(seen):\n    def go(self):\n        seen.add(len(seen))\n        return len(seen)\n    return go\n"
        "class C:\n    go = counted(set())"
    ),
    "bytes in a cell": (
        "def counted(seen):\n    def go(self):\n        seen.append(1)\n        return len(seen)\n    return go\n"
        "class C:\n    go = counted(bytearray())"
    ),
    "a default of a method that a decorator calls": (
        "def calling(f):\n    def go(self):\n        return f(self)\n    return go\n"
        "class C:\n    @calling\n    def go(self, seen=[]):\n        seen.append(1)\n        return len(seen)"
    ),
    "a default of a method behind `functools.wraps`": (
        "import functools\nclass Calling:\n    def __init__(self, f):\n        self.f = f\n"
        "def calling(f):\n    held = Calling(f)\n    @functools.wraps(f)\n    def go(self):\n        return held.f(self)\n"
        "    return go\n"
        "class C:\n    @calling\n    def go(self, seen=[]):\n        seen.append(1)\n        return len(seen)"
    ),
    "a number of a class inside of it": (
        "class C:\n    class In:\n        n = 0\n    def go(self):\n        C.In.n += 1\n        return C.In.n"
    ),
    "a class inside of it": (
        "class C:\n    class In:\n        seen = []\n    def go(self):\n        C.In.seen.append(1)\n        return len(C.In.seen)"
    ),
}  # fmt: skip


def made(source):
    space = {"__name__": "__main__"}
    exec(source, space)
    return space["C"]


@pytest.mark.parametrize("source", COUNTING.values(), ids=COUNTING)
def test_a_class_counts_on_from_where_it_is_put_back(source):
    """Another attempt, and a run that goes on, find what the class kept: not what a failed attempt has added."""
    kind = made(source)
    first = copied(kept_by(kind, STATE))
    assert kind().go() == 1
    later = copied(kept_by(kind, STATE))
    assert kind().go() == 2

    put_back(kind, STATE, copied(first))
    assert (kind().go(), kind().go()) == (1, 2)

    put_back(kind, STATE, copied(later))
    assert kind().go() == 2
    assert all(name.isidentifier() for name in vars(kind))


def test_a_class_that_kept_nothing_inside_is_put_back_from_where_it_does():
    kind = made("class C:\n    n = 1")
    first = copied(kept_by(kind, STATE))
    kind.go = made(COUNTING["a default"]).go

    put_back(kind, STATE, first)

    assert not hasattr(kind, "go")


NOT_OF_IT = {
    "another class": "class D:\n    seen = []\nclass C:\n    of = D",
    "a class of a library": "import fractions\nclass C:\n    Fraction = fractions.Fraction",
    "itself": "class C:\n    pass\nC.C = C",
    "a function that calls itself": (
        "def counted():\n    def go(self, n=3):\n        return n and go(self, n - 1)\n    return go\nclass C:\n    go = counted()"
    ),
    "a function of what is not there yet": (
        "def counted():\n    def go(self):\n        return later\n    if False:\n        later = []\n    return go\nclass C:\n    go = counted()"
    ),
    "what a method says that it wraps": (
        "import functools\nclass Calling:\n    def __call__(self):\n        return 1\ncalling = Calling()\n"
        "def go(self):\n    return calling()\nclass C:\n    go = functools.update_wrapper(go, calling, assigned=())"
    ),
    "an attribute for a decorator": (
        "import functools\ndef same(f):\n    @functools.wraps(f)\n    def go(self):\n        return f(self)\n    return go\n"
        "class C:\n    @same\n    def go(self):\n        return 1"
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", NOT_OF_IT.values(), ids=NOT_OF_IT)
def test_what_is_another_ones_is_not_held_by_a_class(source):
    """What a step does to it would be undone with the class, or looked for without end."""
    kind = made(source)

    assert (held_state(kind), held_inside(kind)) == ({}, {})


WITHOUT_DATA = {
    "an abstract one": "import abc\nclass C(abc.ABC):\n    pass",
    "one of slots": "class C:\n    __slots__ = ('x',)",
    "one with a cached property": "import functools\nclass C:\n    @functools.cached_property\n    def x(self):\n        return 1",
    "one with a property": "class C:\n    x = property(lambda self: 1)",
    "one with a class method": "class C:\n    x = classmethod(lambda cls: 1)",
}  # fmt: skip


@pytest.mark.parametrize("source", WITHOUT_DATA.values(), ids=WITHOUT_DATA)
def test_what_python_puts_into_a_class_is_nothing_that_it_keeps(source):
    """It cannot be stored, or is code: a run that goes on would not find the class as it was."""
    assert kept_by(made(source), STATE) == {}


def test_a_connection_that_a_method_has_in_a_cell_is_its_own_business():
    kind = made(
        "import threading\ndef locked(lock):\n    def go(self):\n        with lock:\n            return 1\n    return go\n"
        "class C:\n    go = locked(threading.Lock())"
    )

    assert held_inside(kind) == {}
