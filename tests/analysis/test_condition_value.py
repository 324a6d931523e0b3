"""Values in conditions: which are read, how, and that no code of theirs runs."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from szal_nb.analysis.condition import ConditionError, compile_condition


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


ORDERS = pd.DataFrame({"product": ["a", "b"], "rows": [1, 2]})
SCORES = np.array([0.5, 0.9])

DECIDED = {
    "the product page's example": ("a.rows > 0", {"a": {"rows": 3}}, True),
    "the length of a frame": ("len(orders) > 0", {"orders": ORDERS}, True),
    "an empty frame": ("len(orders) > 0", {"orders": ORDERS[:0]}, False),
    "rows are counted, also where a column has that name": ("orders.rows == 2", {"orders": ORDERS}, True),
    "columns of a frame": ("'product' in orders.columns", {"orders": ORDERS}, True),
    "shape of a frame": ("orders.shape == [2, 2]", {"orders": ORDERS}, True),
    "size and emptiness of a frame": ("orders.size == 4 && !orders.empty", {"orders": ORDERS}, True),
    "a frame as the output of a step": ("steps.load.output.rows == 2", {"steps": {"load": {"output": ORDERS}}}, True),
    "a frame may be compared with null": ("orders != null", {"orders": ORDERS}, True),
    "an object may be compared with null": ("thing == null", {"thing": object()}, False),
    "rows of a series": ("s.rows == 2 && len(s) == 2", {"s": ORDERS["rows"]}, True),
    "items of a series": ("max(s) == 2 && 1 in s && all(s)", {"s": ORDERS["rows"]}, True),
    "items of an index": ("'rows' in names", {"names": ORDERS.columns}, True),
    "shape of an array": ("x.shape[1] == 4", {"x": np.zeros((3, 4))}, True),
    "an item of an array": ("scores[-1] > 0.8 && scores[2] == null", {"scores": SCORES}, True),
    "the greatest of an array": ("max(scores) == 0.9", {"scores": SCORES}, True),
    "NumPy integers": ("n == 3 && n > 2 && n in [3]", {"n": np.int64(3)}, True),
    "NumPy floats": ("n < 0.6 && n == 0.5", {"n": np.float32(0.5)}, True),
    "NumPy long doubles": ("n == 0.5", {"n": np.longdouble("0.5")}, True),
    "NumPy bools": ("flag && flag == true && flag != 1", {"flag": np.bool_(True)}, True),
    "NumPy texts": ("name == 'x'", {"name": np.str_("x")}, True),
    "NumPy numbers as an index": ("xs[n] == 2", {"xs": [1, 2], "n": np.int8(1)}, True),
    "enums of text": ("c == 'red' && upper(c) == 'RED' && c in ['red']", {"c": Colour.RED}, True),
    "enums of numbers": ("level == 3 && level >= 3", {"level": Level.HIGH}, True),
    "tuples are lists": ("p == [1, 2] && p[0] == 1", {"p": Point(1, 2)}, True),
    "sets": ("'a' in s && len(s) == 2 && s == t", {"s": {"a", 1}, "t": frozenset((1.0, "a"))}, True),
    "a bool in a set of numbers": ("true in s", {"s": {1}}, False),
    "sets of different kinds": ("s == t", {"s": {1}, "t": {True}}, False),
    "mappings in any order": ("m == o", {"m": {"a": 1, "b": [2]}, "o": OrderedDict(b=[2.0], a=1)}, True),
    "mappings with other values": ("m == o", {"m": {"a": 1}, "o": {"a": None}}, False),
    "mappings with other keys": ("m == o", {"m": {"a": None}, "o": {"b": None}}, False),
    "keys of different kinds": ("m == o", {"m": {1: "x"}, "o": {True: "x"}}, False),
    "counters": ("c.a == 2 && c.b == null", {"c": Counter("aa")}, True),
    "bytes": ("b == c && len(b) == 1 && b", {"b": b"x", "c": b"x"}, True),
    "keys that are numbers": ("m[1] == 'x'", {"m": {1: "x"}}, True),
    "NaN is not itself": ("x == x", {"x": float("nan")}, False),
    "NaN wins, wherever it stands": ("min(a) < 9 || min(b) < 9", {"a": [float("nan"), 1], "b": [1, np.nan]}, False),
    "large integers are exact": ("n == 9007199254740993", {"n": 9007199254740992.0}, False),
    "mappings of the caller need not be dicts": (
        "inputs.n == 1 && steps.a.status == 'completed'",
        {"inputs": MappingProxyType({"n": 1}), "steps": MappingProxyType({"a": {"status": "completed"}})},
        True,
    ),
    "steps that are no mapping are null": ("steps.a.status == null", {"steps": 3}, True),
}

REFUSED = {
    "a frame has no truth": ("orders", "the truth of DataFrame is refused. Write len(x) > 0"),
    "an array has no truth": ("true && x", "the truth of ndarray is refused. Write len(x) > 0"),
    "frames are not compared": ("orders == 3", "comparing DataFrame is refused."),
    "arrays are not ordered": ("x > 0", "comparing ndarray is refused."),
    "arrays in lists are not compared": ("[x] == [x]", "comparing ndarray is refused."),
    "a frame is not indexed": ("orders['rows']", "DataFrame cannot be indexed here."),
    "a fact with a typo": ("orders.row > 0", "DataFrame has no 'row' here. Did you mean 'rows'?"),
    "a method of a frame": ("orders.to_csv", "DataFrame has no 'to_csv' here."),
    "columns of an array": ("x.columns", "ndarray has no columns."),
    "rows of a single number": ("len(scalar)", "this ndarray is a single number: it has no rows."),
    "items of a frame": ("any(orders)", "the items of DataFrame are not read here."),
    "an object has no parts": ("thing.x", "an object of type Trap has no .x."),
    "an object of a step has no parts": ("steps.a.output.x", "an object of type Trap has no .x."),
    "an object has no length": ("len(thing)", "an object of type Trap has no length."),
    "an object has no truth": ("!thing", "the truth of an object of type Trap is refused."),
    "an object is not compared": ("thing == 1", "comparing an object of type Trap is refused."),
    "an object is not ordered": ("1 < thing", "comparing an object of type Trap is refused."),
    "an object is in nothing": ("thing in [1]", "comparing an object of type Trap is refused."),
    "nothing is in an object": ("1 in thing", "an object of type Trap is not a list."),
    "an object is no key": ("m[thing]", "the key an object of type Trap is refused."),
    "an object is no number": ("thing + 1", "an object of type Trap is not a number."),
    "time spans are no numbers": ("span == 1", "comparing an object of type timedelta64 is refused."),
    "complex numbers are not compared": ("z == 1", "comparing an object of type complex is refused."),
}


class Trap:
    """Tells when any code of its class runs."""

    def _sprung(self, *_: object) -> object:
        raise AssertionError("code of a value ran")

    __eq__ = __lt__ = __bool__ = __len__ = __hash__ = __iter__ = __contains__ = _sprung  # type: ignore[assignment]
    __getattr__ = __getitem__ = __add__ = __radd__ = __repr__ = __str__ = _sprung  # type: ignore[assignment]
    __class__ = property(_sprung)  # type: ignore[assignment]


class TrapDict(dict[str, int]):
    __getitem__ = __iter__ = __len__ = __contains__ = get = __eq__ = Trap._sprung  # type: ignore[assignment]


class TrapList(list[int]):
    __getitem__ = __iter__ = __len__ = __contains__ = __eq__ = __bool__ = Trap._sprung  # type: ignore[assignment]


class TrapText(str):
    __slots__ = ()
    __eq__ = __lt__ = __str__ = lower = __len__ = __hash__ = Trap._sprung  # type: ignore[assignment]


class TrapNumber(int):
    __eq__ = __lt__ = __int__ = __index__ = __add__ = __neg__ = __bool__ = Trap._sprung  # type: ignore[assignment]


@pytest.mark.parametrize(("text", "values", "expected"), DECIDED.values(), ids=DECIDED)
def test_a_value_is_read_as_documented(text, values, expected):
    assert compile_condition(text).evaluate(values) is expected


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_is_not_read_is_an_error_with_advice(text, message):
    thing = Trap()
    values = {
        "orders": ORDERS,
        "x": SCORES,
        "scalar": np.array(1),
        "thing": thing,
        "m": {},
        "span": np.timedelta64(1, "s"),
        "z": 1j,
        "steps": {"a": {"output": thing}},
    }

    with pytest.raises(ConditionError) as caught:
        compile_condition(text).evaluate(values)

    assert f"{caught.value.problem} {caught.value.advice}".startswith(message)


def test_subclasses_of_plain_types_are_read_without_their_own_code():
    values = {"d": TrapDict(a=1), "l": TrapList([1, 2]), "t": TrapText("Ab"), "n": TrapNumber(3)}
    text = (
        "d.a == 1 && len(d) == 1 && 'a' in d && d && l[1] == 2 && 2 in l && l == [1, 2] && l && max(l) == 2"
        " && t == 'Ab' && lower(t) == 'ab' && t < 'b' && t && len(t) == 2 && n == 3 && n > 2 && -n == -3 && n + 1 == 4"
    )

    assert compile_condition(text).evaluate(values) is True


def test_reading_a_missing_key_of_a_defaultdict_does_not_add_it():
    counts: defaultdict[str, int] = defaultdict(int)

    assert compile_condition("counts.a == null && counts['b'] == null").evaluate({"counts": counts}) is True
    assert counts == {}


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_have_the_same_facts(library):
    module = pytest.importorskip(library)
    make = module.DataFrame if library == "polars" else module.table
    values = {"t": make({"x": [1, 2, 3], "y": [4, 5, 6]})}

    assert compile_condition("t.rows == 3 && len(t) == 3 && t.columns == ['x', 'y'] && t.shape == [3, 2]").evaluate(
        values
    )


def test_a_value_that_holds_itself_ends_in_an_error():
    circle: list[object] = []
    circle.append(circle)
    other: list[object] = [circle]

    with pytest.raises(ConditionError, match="too large or too deep"):
        compile_condition("a == b").evaluate({"a": circle, "b": other})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 in xs", "1,000,001 items; 1,000,000 is the most"),
        ("max(xs) > 0 and min(xs) > 0 and n == n", "1,000,001 items; 333,333 is the most"),
        ("xs == ys", "too large or too deep"),
    ],
)
def test_loops_over_values_are_bounded_together(text, message):
    xs = [0] * 1_000_001

    with pytest.raises(ConditionError, match=message):
        compile_condition(text).evaluate({"xs": xs, "ys": list(xs), "n": 1})


def test_numbers_do_not_grow_without_end():
    with pytest.raises(ConditionError, match="too large to reckon with"):
        compile_condition(" * ".join(["n"] * 1000)).value({"n": 2**600})
    with pytest.raises(ConditionError, match="too large"):
        compile_condition("n * 1.5").value({"n": 2**1024 - 1})


def test_an_error_of_the_mapping_that_loads_the_values_passes_through():
    class Loading(dict[str, object]):
        def __missing__(self, name: str) -> object:
            raise OSError(f"cannot load {name}")

    with pytest.raises(OSError, match="cannot load n"):
        compile_condition("n > 3").evaluate(Loading())
