"""What could not be read again is found out when it is stored, and nobody notices that it was tried."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from szal_nb.store import readable
from szal_nb.store.codecs import PickleCodec
from szal_nb.store.readable import UnreadableError

UNREADABLE = {
    "what it says of itself": "class C:\n    def __reduce__(self):\n        return C, (1, 2)\nc = C()",
    "its state": "class C:\n    def __init__(self):\n        self.x = 1\n    def __setstate__(self, state):\n        raise KeyError('old')\nc = C()",
    "a state that is none": "class C:\n    def __getstate__(self):\n        return [1]\nc = C()",
    "an argument that it lacks": "class C:\n    def __new__(cls, x):\n        return super().__new__(cls)\nc = C(1)",
    "a set whose maker takes more": "class C(set):\n    def __init__(self, xs, name):\n        super().__init__(xs)\nc = C([1], 'a')",
    "a function in its place": "def left(x):\n    raise OSError('no server')\nclass C:\n    def __reduce__(self):\n        return left, (1,)\nc = C()",
    "an exception that says how it is made": "class C(Exception):\n    def __reduce__(self):\n        return C, (1, 2, 3), 5\nc = C()",
}  # fmt: skip


def run(source):
    space = {"__name__": "__main__"}
    exec(source, space)
    return space


def stored(value, **settings):
    return PickleCodec(**settings).encode(value, None)


@pytest.fixture
def loads(monkeypatch):
    """How many bytes were tried to be read."""
    found = []
    read = readable._read
    monkeypatch.setattr(readable, "_read", lambda data, named: (found.append(len(data)), read(data, named)))
    return found


@pytest.mark.parametrize("source", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("around", [lambda c: c, lambda c: {"all": [c]}], ids=["itself", "inside"])
def test_what_cannot_be_read_again_is_not_stored(source, around):
    value = around(run(source)["c"])

    for _ in range(2):
        with pytest.raises(UnreadableError, match="it could not be read again: "):
            stored(value)


def test_the_reason_says_what_happened():
    with pytest.raises(UnreadableError) as found:
        stored(run(UNREADABLE["its state"])["c"])

    assert str(found.value) == "it could not be read again: KeyError: 'old'"


class Careful:
    """Of a module, as a library has it."""

    read = 0

    def __init__(self):
        self.x = [1]

    def __setstate__(self, state):
        Careful.read += 1
        vars(self).update(state)


def test_a_class_is_tried_once():
    Careful.read = 0

    for _ in range(3):
        stored([Careful(), Careful()])

    assert Careful.read == 2


PLAIN = """
import collections, dataclasses, enum, typing
class Thing:
    def __init__(self):
        self.x = 1
@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
class Pair(typing.NamedTuple):
    x: int
class Size(enum.Enum):
    SMALL = 1, 2
    def __init__(self, width, height):
        self.width = width
class Own(dict):
    pass
class Refused(Exception):
    def __init__(self, a, b):
        super().__init__(a)
values = [Thing(), Point(1), Pair(1), Size.SMALL, Own(a=1), Refused(1, 2), ValueError(1), collections.Counter("ab"), print]
"""


def test_what_is_surely_read_again_is_not_tried(loads):
    tables = [pd.DataFrame({"x": [1]}), pd.Categorical(["a"]), np.random.default_rng(), np.ma.array([1])]
    stored([*run(PLAIN)["values"], {"a": {1}}, range(3), Careful, *tables])

    assert loads == []


def test_neither_is_what_would_take_too_much_room(loads, monkeypatch):
    monkeypatch.setattr(readable, "MOST_BYTES", 1000)
    stored([run(UNREADABLE["its state"])["c"], "a" * 1000])

    assert loads == []


def test_nor_what_takes_something_along_when_it_ends(loads):
    kind = run(
        "class C:\n    def __setstate__(self, state): ...\n    def __del__(self):\n        ended.append(1)\nended = []"
    )["C"]
    stored(kind())

    assert loads == []


class Only:
    """There is one of it, as libraries have such."""

    one = None

    def __new__(cls):
        cls.one = cls.one or super().__new__(cls)
        return cls.one


def test_nor_what_there_may_be_once_in_a_library(loads):
    value = Only()
    value.rows = rows = [1]

    stored(value)

    assert (loads, value.rows) == ([], rows)
    assert value.rows is rows


REGISTERED = """
class C:
    made = []
    def __getstate__(self):
        return {"rows": self.rows}
    def __setstate__(self, state):
        vars(self).update(state)
        C.made.append(self)
        seen.append(self)
seen, c = [], C()
c.rows = [1]
"""


def test_what_it_registers_or_caches_is_not_the_notebook_s():
    space = run(REGISTERED)
    rows = space["c"].rows

    stored(space["c"])

    assert (space["C"].made, space["seen"]) == ([], [])
    assert space["c"].rows is rows


ONE_OF_A_KIND = """
class C:
    only = {}
    def __new__(cls, name):
        return cls.only.setdefault(name, super().__new__(cls))
    def __getnewargs__(self):
        return ("a",)
c = C("a")
c.rows = [1]
"""


def test_one_that_there_is_once_is_left_as_it_is():
    space = run(ONE_OF_A_KIND)
    rows = space["c"].rows

    stored(space["c"])

    assert space["c"].rows is rows
    assert space["C"].only == {"a": space["c"]}


def test_what_it_prints_is_dropped(capsys):
    heard = []

    @contextmanager
    def unheard():
        yield
        heard.append(capsys.readouterr().out)

    stored(
        run("class C:\n    def __setstate__(self, state):\n        print('read again')\nc = C()\nc.x = 1")["c"],
        unheard=unheard,
    )

    assert heard == ["read again\n"]
    assert capsys.readouterr().out == ""


def test_a_class_that_cannot_be_copied_is_given_the_benefit_of_the_doubt():
    source = "class B:\n    def __init_subclass__(cls, key): ...\nclass C(B, key=1):\n    def __setstate__(self, state): ...\nc = C()"

    assert stored(run(source)["c"]) is not None
