"""A class that is stored whole is what it was: it has its slots, and an enum what its members have besides a value."""

from __future__ import annotations

import weakref
from pickle import PicklingError

import pytest

from szal_nb.model.whole_class import told_code
from szal_nb.store.pickling import Resolver, dump, load

IMPORTS = "import abc, attrs, collections, dataclasses, enum, msgspec, typing\nT = typing.TypeVar('T')\n"
BASE = "class A:\n    __slots__ = ('x', 'y')\n"
CLASSES = {
    "a tuple": f"{BASE}C = A",
    "one text": "class C:\n    __slots__ = 'x'",
    "a list": "class C:\n    __slots__ = ['x', 'y']",
    "a dict of what they are for": "class C:\n    __slots__ = {'x': 'how far', 'y': 'how high'}",
    "a set": "class C:\n    __slots__ = {'x', 'y'}",
    "none": "class C:\n    __slots__ = ()",
    "private ones": "class C:\n    __slots__ = ('__x', '_y')",
    "inherited ones": f"{BASE}class C(A):\n    __slots__ = ('z',)",
    "inherited ones and no more": f"{BASE}class C(A):\n    __slots__ = ()\n    def go(self):\n        return self.x",
    "inherited ones and attributes": f"{BASE}class C(A):\n    pass",
    "from two bases": f"{BASE}class B:\n    __slots__ = ()\nclass C(B, A):\n    __slots__ = ('z',)",
    "with weak references": "class C:\n    __slots__ = ('x', '__weakref__')",
    "with attributes": "class C:\n    __slots__ = ('x', '__dict__')",
    "a property over one": "class C:\n    __slots__ = ('x',)\nx = C.x\nC.x = property(lambda c: 10 * x.__get__(c), x.__set__)",
    "a dataclass": "@dataclasses.dataclass(slots=True)\nclass C:\n    x: int\n    y: int = 3",
    "a frozen dataclass": "@dataclasses.dataclass(slots=True, frozen=True)\nclass C:\n    x: list",
    "a dataclass with weak references": "@dataclasses.dataclass(slots=True, weakref_slot=True)\nclass C:\n    x: int",
    "attrs": "@attrs.define\nclass C:\n    x: int\n    y: int = 3",
    "a protocol": "class C(typing.Protocol):\n    __slots__ = ('x',)\n    def go(self) -> int: ...",
    "a generic": "class C(typing.Generic[T]):\n    __slots__ = ('x',)",
    "of a generic": "class G(typing.Generic[T]):\n    __slots__ = ('x',)\nclass C(G[int]):\n    __slots__ = ('y',)",
    "an abstract one": "class C(abc.ABC):\n    __slots__ = ('x',)\n    @abc.abstractmethod\n    def go(self): ...",
    "an error": "class C(Exception):\n    __slots__ = ('code',)",
    "a number": "class C(int):\n    __slots__ = ()",
    "a list of its own": "class C(list):\n    __slots__ = ('x',)",
    "a named tuple": "class C(typing.NamedTuple):\n    x: int\n    y: int = 3",
    "from a named tuple": "class N(typing.NamedTuple):\n    x: int\nclass C(N):\n    __slots__ = ()",
    "a named tuple of a call": "C = collections.namedtuple('C', 'x y')",
    "an enum": "class C(enum.Enum):\n    __slots__ = ()\n    X = 1",
    "an inner one": "class O:\n    class C:\n        __slots__ = ('x',)\nC = O.C",
}  # fmt: skip


def defined(source):
    space = {"__name__": "__main__"}
    exec(IMPORTS + source, space)
    return space["C"]


def read_again(value, kind=None):
    return load(dump(value), Resolver(lambda _: kind))


def layout(kind):
    return kind.__slots__, kind.__basicsize__, kind.__dictoffset__, kind.__weakrefoffset__, sorted(vars(kind))


@pytest.mark.parametrize("source", CLASSES.values(), ids=CLASSES)
def test_a_class_that_is_read_again_is_laid_out_as_it_was(source):
    kind = defined(source)

    again = read_again(kind)

    assert layout(again) == layout(kind)
    assert layout(read_again(again)) == layout(kind)


def test_its_instances_take_what_they_took_and_nothing_else():
    kind = defined(
        "class C:\n    __slots__ = ('__x', 'y', '__weakref__')\n"
        "    def __init__(self, x):\n        self.__x = x\n    def go(self):\n        return self.__x"
    )
    again = read_again(kind)
    read = read_again(kind(5), again)

    assert (type(read), read.go(), again(6).go()) == (again, 5, 6)
    assert weakref.ref(read)() is read
    with pytest.raises(AttributeError, match="'C' object has no attribute 'typo'"):
        read.typo = 1
    with pytest.raises(AttributeError, match="y"):
        _ = read.y
    read.y = 7
    assert again.y.__get__(read) == 7


def test_slots_that_came_from_an_iterator_are_there_by_their_names():
    again = read_again(defined("class C:\n    __slots__ = (name for name in ('x', 'y'))"))

    assert again.__slots__ == ("x", "y")


def test_that_an_instance_was_stored_makes_no_other_class_of_it():
    kind = defined(f"{BASE}C = A")
    stored = dump(kind)
    dump(kind())

    assert dump(kind) == stored


ENUMS = {
    "by __init__": "class C(enum.Enum):\n    X = 1, 2\n    Y = 3, 4\n    def __init__(self, a, b):\n        self.a, self._b = a, b",
    "by __new__": "class C(enum.Enum):\n    X = 1, 'one'\n    def __new__(cls, value, a):\n        made = object.__new__(cls)\n        made._value_, made.a = value, a\n        return made",
    "since": "class C(enum.Flag):\n    X = 1\n    Y = 2\nC.X.a = (1, len.__name__)",
    "a second name": "class C(enum.IntEnum):\n    X = 1\n    Z = 1",
}  # fmt: skip


@pytest.mark.parametrize("source", ENUMS.values(), ids=ENUMS)
def test_members_of_an_enum_have_what_they_had(source):
    kind = defined(source)

    again = read_again(kind)

    told, found = ({name: {**vars(member)} for name, member in one.__members__.items()} for one in (kind, again))
    assert {name: {**one, "__objclass__": kind} for name, one in found.items()} == told
    assert again(again.X.value) is again.X


def test_an_enum_whose_members_hold_what_may_change_is_not_stored():
    """They are taken for what does not change, so that nobody would record that it did."""
    with pytest.raises(PicklingError, match=r"C\.X has an attribute a that may change"):
        dump(defined("class C(enum.Enum):\n    X = 1\nC.X.a = [1]"))


NOT_WHOLE = {
    r"C is a class that msgspec\._core\.StructMeta makes": "class C(msgspec.Struct):\n    x: int",
    r"C is a class that B\.__init_subclass__ makes": "class B:\n    def __init_subclass__(cls, key): ...\nclass C(B, key=1): ...",
}


@pytest.mark.parametrize(("reason", "source"), NOT_WHOLE.items(), ids=["by its metaclass", "by its base"])
def test_a_class_that_cannot_be_made_again_of_what_it_has_is_not_stored(reason, source):
    """Else it was read again without any field, or not at all."""
    with pytest.raises(PicklingError, match=f"{reason}, of more than is left in it"):
        dump(defined(source))


def test_code_is_from_the_file_of_its_cell_whatever_cloudpickle_says_of_it():
    """Since 3.1.3 it says that it is from none: a traceback had no line of the step then."""
    space: dict = {}
    exec(compile("def f():\n    return [1 / n for n in (0,)]", "a_cell.py", "exec"), space)
    code = space["f"].__code__

    make, arguments = told_code(code, (type(code), ("f", "<dynamic-code>", ("<dynamic-code>",), b"")))

    assert (make, arguments) == (type(code), ("f", "a_cell.py", ("<dynamic-code>",), b""))
    assert load(dump(space["f"]), lambda _: None).__code__.co_filename == "a_cell.py"
