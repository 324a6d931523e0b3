"""What is read again is what was stored, whatever methods its class has in the way."""

from __future__ import annotations

import pytest

from szal_nb.store.pickling import dump, load

IMPORTS = "import attrs, copyreg, dataclasses, subprocess, urllib.error\n"
TWO = "class E(Exception):\n    def __init__(self, a, b):\n        super().__init__(f'{a} {b}')\n        self.a = a\n"
ERRORS = {
    "of two arguments, of which one is left": f"{TWO}e = E(1, 2)",
    "from one of these": f"{TWO}class F(E):\n    def __str__(self):\n        return f'sub {{self.a}}'\ne = F(1, 2)",
    "whose text is made of its argument": "class E(Exception):\n    def __init__(self, code):\n        super().__init__(f'code {code}')\n        self.code = code\ne = E(5)",
    "of a keyword": "class E(Exception):\n    def __init__(self, *, code):\n        super().__init__(f'code {code}')\n        self.code = code\ne = E(code=5)",
    "that says nothing to its base": "class E(Exception):\n    def __init__(self, a):\n        self.a = a\ne = E([1])",
    "with slots": "class E(ValueError):\n    __slots__ = ('code',)\ne = E(1)\ne.code = 5",
    "with a note": f"{TWO}e = E(1, 2)\ne.add_note('of the day')",
    "of a file": "class E(OSError):\n    def __init__(self, path):\n        super().__init__(2, 'No such file', path)\ne = E('a.csv')",
    "of an import": "class E(ImportError):\n    def __init__(self, name):\n        super().__init__(f'no {name}', name=name)\ne = E('left')",
    "of a key and an attribute": "class E(KeyError, AttributeError):\n    def __init__(self, a, b):\n        super().__init__(a)\ne = E(1, 2)",
    "with a value": "class E(StopIteration):\n    def __init__(self, a):\n        super().__init__(2 * a)\ne = E(4)",
    "of several": "class E(ExceptionGroup):\n    def __new__(cls, errors):\n        return super().__new__(cls, 'several', errors)\n    def __init__(self, errors):\n        self.n = len(errors)\ne = E([ValueError(1)])",
    "a dataclass": "@dataclasses.dataclass\nclass E(Exception):\n    a: int\n    b: list = dataclasses.field(default_factory=list)\ne = E(a=2)",
    "a frozen dataclass": "@dataclasses.dataclass(frozen=True)\nclass E(Exception):\n    a: int\ne = E(2)",
    "that says how it is made": "class E(Exception):\n    def __init__(self, a, b):\n        super().__init__(a)\n        self.b = b\n    def __reduce__(self):\n        return E, (*self.args, self.b)\ne = E(1, 2)",
    "of Python itself": "e = UnicodeDecodeError('utf-8', b'x', 0, 1, 'why')",
    "of a library, called by keywords": "e = subprocess.TimeoutExpired(cmd='x', timeout=3)",
}  # fmt: skip
IN_THE_WAY = {
    "an attribute of another": "class C:\n    def __init__(self):\n        self.inner = [1, 2]\n    def __getattr__(self, name):\n        return getattr(self.inner, name)\nc = C()\ndef told(c):\n    return c.inner, c.count(2)",
    "all attributes": "class C:\n    def __init__(self):\n        self.a = 1\n    def __getattribute__(self, name):\n        held = object.__getattribute__(self, '__dict__')\n        return held['a'] if name == 'told' else object.__getattribute__(self, name)\nc = C()\ndef told(c):\n    return c.told",
    "slots that nobody may set": "class C:\n    __slots__ = ('a',)\n    def __init__(self):\n        object.__setattr__(self, 'a', 1)\n    def __setattr__(self, name, value):\n        raise AttributeError(name)\nc = C()\ndef told(c):\n    return c.a",
    "a dict that counts": "class C(dict):\n    def __init__(self):\n        self.log = []\n    def __setitem__(self, key, value):\n        self.log.append(key)\n        super().__setitem__(key, value)\nc = C()\nc['a'] = 1\ndef told(c):\n    return dict(c), c.log",
    "a dict that shows other values": "class C(dict):\n    def items(self):\n        return [(key, 10 * value) for key, value in super().items()]\nc = C(a=1)\ndef told(c):\n    return c['a'], c.items()",
    "a list that counts": "class C(list):\n    def __init__(self):\n        self.n = 0\n    def append(self, value):\n        self.n += 1\n        super().append(value)\n    extend = append\nc = C()\nc.append(1)\nc.append(2)\ndef told(c):\n    return [*c], c.n",
    "a list that shows other values": "class C(list):\n    def __iter__(self):\n        return (10 * value for value in super().__iter__())\nc = C([1])\ndef told(c):\n    return c[0], [*c]",
    "and a state of its own": "class C:\n    def __init__(self):\n        self.inner, self.lock = [1], 5\n    def __getstate__(self):\n        return {'inner': self.inner, 'lock': 6}\n    def __getattr__(self, name):\n        return getattr(self.inner, name)\nc = C()\ndef told(c):\n    return c.inner, c.count(1)",
}  # fmt: skip


def run(source):
    space = {"__name__": "__main__"}
    exec(IMPORTS + source, space)
    return space


def read_again(value, space):
    return load(dump(value), space.get)


@pytest.mark.parametrize("source", ERRORS.values(), ids=ERRORS)
def test_an_exception_is_what_it_was_when_it_is_read_again(source):
    space = run(source)
    error = space["e"]

    again = read_again(error, space)

    assert type(again) is type(error)
    assert (str(again), repr(again), repr(again.args)) == (str(error), repr(error), repr(error.args))
    assert repr(vars(again)) == repr(vars(error))
    names = ("code", "errno", "filename", "name", "value", "exceptions", "object")
    assert [repr(getattr(again, name, None)) for name in names] == [repr(getattr(error, name, None)) for name in names]


def test_no_code_of_an_exception_runs_when_it_is_read():
    space = run(
        "class E(Exception):\n    made = 0\n    def __init__(self, a):\n        E.made += 1\n        super().__init__(a)\ne = E(1)"
    )

    read_again(space["e"], space)

    assert space["E"].made == 1


@pytest.mark.parametrize("cause", ["from ValueError('left', 'right')", "from None", ""])
@pytest.mark.parametrize("raised", ["KeyError(1)", "F(1, 2)"])
def test_an_exception_is_read_with_what_it_was_raised_from(raised, cause):
    space = run(
        f"{TWO}class F(E):\n    pass\ntry:\n    try:\n        raise E(3, 4)\n    except E:\n        raise {raised} {cause}\n"
        "except Exception as error:\n    e = error.with_traceback(None)"
    )
    error = space["e"]

    again = read_again(error, space)

    assert [*map(repr, (again, again.__cause__, again.__context__))] == [
        *map(repr, (error, error.__cause__, error.__context__))
    ]
    assert again.__suppress_context__ is error.__suppress_context__


@pytest.mark.parametrize("source", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_an_object_whose_own_methods_are_in_the_way_is_what_it_was(source):
    space = run(source)

    again = read_again(space["c"], space)

    assert space["told"](again) == space["told"](space["c"])


def test_one_that_holds_itself_does_so_again():
    space = run(IN_THE_WAY["a dict that counts"])
    value = space["c"]
    value["self"], value.own = value, value

    again = read_again(value, space)

    assert again["self"] is again.own is again


def test_what_a_class_says_of_itself_is_what_counts():
    space = run(
        "class C(dict):\n    def __setitem__(self, key, value):\n        raise KeyError(key)\n"
        "    def __setstate__(self, state):\n        vars(self).update(state, told=True)\nc = C()\nc.a = 1\n"
        "class D(C):\n    def __reduce__(self):\n        return D, ()\nd = D()\nd.a = 1"
    )

    assert vars(read_again(space["c"], space)) == {"a": 1, "told": True}
    assert vars(read_again(space["d"], space)) == {}
