"""The digest sees every change and no reading; it says what it could not look into."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import random
import string
import sys
import threading
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from szal_nb.engine.digest import TooLargeError, digest
from szal_nb.engine.immutable import is_immutable_kind
from szal_nb.engine.kinds import register_comparer


class Plain:
    def __init__(self, **parts):
        self.__dict__.update(parts)

    @functools.cached_property
    def heavy(self):
        return [1, 2]


class Slotted:
    __slots__ = ("x",)

    def __init__(self):
        self.x = [1]


class Bag(list):
    pass


@dataclasses.dataclass
class Point:
    x: list


class Colour(enum.Enum):
    RED = 1


for _kind in (Plain, Slotted, Bag):
    _kind.__module__ = "__main__"


def closure():
    count = [0]

    def read():
        return count[0]

    read.count = count
    return read


def looped():
    xs = [1]
    xs.append(xs)
    return xs


def deep():
    inner = [1]
    outer = inner
    for _ in range(50_000):
        outer = [outer]
    outer.append(inner)
    return outer


def table():
    return pd.DataFrame(
        {"n": [3, 1, 2], "f": [0.5, np.nan, 1], "s": ["a", None, "c"], "c": pd.Categorical(["x", "y", "x"])},
        index=pd.Index([5, 6, 7], name="id"),
    )


CHANGES = {
    "list append": (lambda: [1, 2], lambda v: v.append(3)),
    "list order": (lambda: [2, 1], lambda v: v.sort()),
    "nested list": (lambda: [[1], [2]], lambda v: v[1].append(3)),
    "deep list": (deep, lambda v: v[1].append(2)),
    "list that holds itself": (looped, lambda v: v.append(1)),
    "tuple of lists": (lambda: ([1], 2), lambda v: v[0].append(1)),
    "one list twice becomes two": (lambda: [[1]] * 2, lambda v: v.__setitem__(1, [1])),
    "dict item": (lambda: {"a": 1}, lambda v: v.__setitem__("a", 2)),
    "dict order": (lambda: {"a": 1, "b": 2}, lambda v: v.__setitem__("a", v.pop("a"))),
    "dict of dicts": (lambda: {"a": {"b": 1}}, lambda v: v["a"].clear()),
    "set": (lambda: {1, 2}, lambda v: v.add(3)),
    "bytearray": (lambda: bytearray(b"ab"), lambda v: v.extend(b"c")),
    "deque": (lambda: deque([1]), lambda v: v.append(2)),
    "counter": (lambda: Counter("ab"), lambda v: v.update("a")),
    "ordered dict": (lambda: OrderedDict(a=1, b=2), lambda v: v.move_to_end("a")),
    "default dict": (lambda: defaultdict(list), lambda v: v["new"]),
    "subclass of list": (lambda: Bag([1]), lambda v: v.append(1)),
    "attribute of a subclass": (lambda: Bag([1]), lambda v: setattr(v, "note", 1)),
    "instance": (lambda: Plain(a=1), lambda v: setattr(v, "a", 2)),
    "instance, nested": (lambda: Plain(a=[1]), lambda v: v.a.append(2)),
    "slots": (Slotted, lambda v: v.x.append(1)),
    "dataclass": (lambda: Point([1]), lambda v: v.x.append(1)),
    "namespace": (lambda: SimpleNamespace(a=1), lambda v: setattr(v, "b", 1)),
    "closure": (closure, lambda v: v.count.append(1)),
    "default argument": (lambda: (lambda x=[]: x), lambda v: v().append(1)),
    "class attribute": (lambda: type("C", (), {"__module__": "__main__", "n": 0}), lambda v: setattr(v, "n", 1)),
    "random generator": (lambda: random.Random(1), lambda v: v.random()),
    "numpy generator": (lambda: np.random.default_rng(1), lambda v: v.random()),
    "array": (lambda: np.arange(5.0), lambda v: v.__setitem__(0, 9)),
    "array, other order": (lambda: np.zeros((3, 4)).T, lambda v: v.__setitem__((0, 1), 9)),
    "array, strided": (lambda: np.zeros((6, 6))[::2, ::3], lambda v: v.__setitem__((2, 1), 9)),
    "array of objects": (lambda: np.array([[1], None], dtype=object), lambda v: v[0].append(1)),
    "array's shape": (lambda: np.arange(6), lambda v: v.resize((2, 3), refcheck=False)),
    "array, read-only": (lambda: np.arange(6), lambda v: v.setflags(write=False)),
    "masked array": (lambda: np.ma.array([1, 2], mask=[0, 1]), lambda v: v.mask.__setitem__(0, True)),
    "record": (lambda: np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]), lambda v: v["b"].__setitem__(1, 2)),
    "frame, cell": (table, lambda v: v.loc.__setitem__((5, "n"), 8)),
    "frame, text": (table, lambda v: v.loc.__setitem__((5, "s"), "zz")),
    "frame, category": (table, lambda v: v.loc.__setitem__((5, "c"), "y")),
    "frame, new column": (table, lambda v: v.__setitem__("new", 1)),
    "frame, dropped column": (table, lambda v: v.__delitem__("n")),
    "frame, dtype": (table, lambda v: v.__setitem__("n", v["n"].astype("int32"))),
    "frame, labels": (table, lambda v: setattr(v, "columns", list("mfsc"))),
    "frame, more rows": (table, lambda v: v.loc.__setitem__(99, [1, 2.0, "z", "x"])),
    "frame, index": (table, lambda v: setattr(v, "index", [1, 2, 3])),
    "frame, attrs": (table, lambda v: v.attrs.update(a=1)),
    "series": (table()["f"].copy, lambda v: v.__setitem__(5, 9)),
    "series, name": (table()["f"].copy, lambda v: setattr(v, "name", "g")),
    "frame with a column that is called name": (
        lambda: pd.DataFrame({"name": ["Ada", "Bo"], "attrs": [1, 2]}), lambda v: v.__setitem__("name", ["Ada", "Cy"])
    ),
    "frame of lists": (lambda: pd.DataFrame({"a": [[1], [2]]}), lambda v: v["a"][0].append(1)),
    "polars": (lambda: pl.DataFrame({"a": [1, 2], "s": ["x", None]}), lambda v: v.insert_column(0, pl.Series("b", [1, 2]))),
    "polars, a list in a later column": (
        lambda: pl.DataFrame([pl.Series(n, [[1]], dtype=pl.Object) for n in ("one", "two")]),
        lambda v: v["two"][0].append(2),
    ),
    "polars, behind a column of objects": (
        lambda: pl.DataFrame([pl.Series("o", [object], dtype=pl.Object), pl.Series("n", [1])]),
        lambda v: v.__setitem__((0, "n"), 5),
    ),
    "polars, cell": (lambda: pl.DataFrame({"a": [1, 2]}), lambda v: v.__setitem__((0, "a"), 5)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "change"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(make, change):
    """A guard compares values after their last reader, per type (arrays, frames, plain containers exactly)."""
    value = make()
    before = digest(value)
    change(value)

    assert before.unchecked == ()
    assert digest(value) != before


@pytest.mark.parametrize("make", [make for make, _ in CHANGES.values()], ids=CHANGES)
def test_two_looks_at_one_value_are_equal(make):
    value = make()

    assert digest(value) == digest(value)


def test_reading_a_frame_is_no_change():
    frame = table()
    frame["late"] = 1.5  # its own block, until something consolidates
    before = digest(frame)

    frame.describe(include="all")
    frame.groupby("c", observed=True)["n"].mean()
    frame["n"].sort_values()
    frame[["n", "f"]].to_numpy()
    frame.to_csv()
    frame.merge(frame, on="n")
    frame.query("n > 1 and f > 0")
    frame.index.is_unique  # noqa: B018
    frame.loc[5]
    frame.iloc[0:2].assign(z=1)
    frame._consolidate_inplace()
    repr(frame)

    assert digest(frame) == before


def test_reading_an_instance_is_no_change():
    value = Plain(a=1)
    before = digest(value)

    assert value.heavy == [1, 2]
    assert digest(value) == before


def test_what_cannot_be_looked_into_is_listed():
    value = {"lock": threading.Lock(), "n": [1]}

    assert digest(value).unchecked == ("_thread.lock",)
    assert digest(value) == digest(value)


def test_a_library_says_how_its_values_are_compared():
    class Engine:
        __module__ = "somewhere"

        def __init__(self):
            self.tree = [1]

    engine = Engine()
    assert digest(engine).unchecked == (f"somewhere.{Engine.__qualname__}",)

    register_comparer(Engine, lambda value: {"tree": value.tree})
    before = digest(engine)
    engine.tree.append(2)

    assert before.unchecked == ()
    assert digest(engine) != before


def test_what_is_inside_of_what_cannot_be_looked_into_is_known_but_not_compared():
    class Engine:
        __module__ = "somewhere"

        def __init__(self):
            self.tree, self.gone = [1], weakref.proxy(Point(1))

    engine = Engine()
    before = digest([engine])
    engine.tree.append(2)

    assert digest([engine]) == before
    assert id(engine.tree) in before.dim
    assert id(engine) in before.objects - before.dim


def test_of_a_large_thing_that_shows_nothing_little_is_looked_into():
    """A graph of a million edges is in the hands of many steps."""
    graph = nx.path_graph(100_000)

    assert len(digest(graph).objects) < 2_000


def test_what_is_inside_of_the_kernel_belongs_to_no_value():
    """From a loop everything is in reach that runs: also the values of all steps."""
    point, other = Point(1), Point(2)
    held = string.Template("")

    async def look():
        held.loop, held.point = asyncio.get_running_loop(), point
        held.loop.call_later(1000, other.__init__, 3)
        return digest(held)

    found = asyncio.run(look())

    assert id(point) in found.dim
    assert id(other) not in found.objects


def test_a_value_past_the_limit_is_left_alone():
    with pytest.raises(TooLargeError):
        digest({"a": np.zeros(1000)}, limit=1000)


def test_objects_that_can_be_shared_are_known_and_others_are_not():
    inner = [1]
    point = Point(inner)

    found = digest((point, "text", 7, Colour.RED))

    assert set(found.objects) >= {id(inner), id(point)}
    assert id(Colour.RED) not in found.objects


def test_what_a_matrix_has_found_out_of_itself_is_no_change():
    matrix = sparse.csr_matrix(np.eye(3))
    before = digest(matrix)

    assert matrix.has_sorted_indices
    assert digest(matrix) == before
    matrix.data[0] = 5
    assert digest(matrix) != before


def test_to_transform_a_table_by_its_columns_is_no_change():
    table = pd.DataFrame({"first": [1.0, 2.0, 4.0], "second": list("xyx")})
    columns = make_column_transformer((StandardScaler(), ["first"]), (OneHotEncoder(sparse_output=False), ["second"]))
    columns.set_output(transform="pandas").fit(table)
    before = digest(columns)

    columns.transform(table)
    assert digest(columns) == before
    columns.fit(table[::2])
    assert digest(columns) != before


@pytest.mark.parametrize(("module", "name"), [("shapely.lib", "Geometry"), ("pyproj.crs.crs", "CRS")])
def test_what_tables_of_places_have_in_common_cannot_change(module, name):
    """Tables that are made of one another have the same geometries, and the same reference system."""
    kind = type(name, (), {"__module__": module})

    assert is_immutable_kind(kind)
    assert is_immutable_kind(type("Point", (kind,), {"__module__": "shapely.geometry.point"}))


def test_terms_cannot_change_also_those_of_a_function_that_a_call_has_made():
    """`f(x)` of `f = sympy.Function("f")` is of the class `f`, which says of no module that it is from it."""
    basic = type("Basic", (), {"__module__": "sympy.core.basic"})
    function = type("f", (basic,), {"__module__": None})

    assert is_immutable_kind(function)
    assert not is_immutable_kind(type("Mine", (basic,), {"__module__": "__main__"}))


def test_to_combine_flags_is_no_change_of_their_class():
    flags = enum.Flag("Flags", "X Y", module="__main__")
    before = digest(flags)

    assert flags(3) == flags.X | flags.Y
    assert digest(flags) == before
    flags.other = [1]
    assert digest(flags) != before


def test_a_value_of_a_class_that_is_from_no_module_is_looked_at():
    value = type("Made", (), {"__module__": None})()

    assert digest([value]) == digest([value])
    assert digest(value).unchecked == ("None.Made",)


class Tensor:
    """As torch has it, on the CPU: in inference mode it refuses to say how often it was changed."""

    dtype, device, layout, grad, requires_grad = "float64", SimpleNamespace(type="cpu"), "strided", None, False

    def __init__(self, values, *, is_inference):
        self.numbers = np.array(values)
        self.shape = self.numbers.shape
        self.is_inference = lambda: is_inference
        self.detach = self.contiguous = lambda: self
        self.numel, self.element_size = lambda: self.numbers.size, lambda: self.numbers.itemsize
        self.reshape = self.view = lambda _: self
        self.numpy = lambda: self.numbers.view(np.uint8)

    @property
    def _version(self):
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return 0


@pytest.mark.parametrize("is_inference", [True, False])
def test_a_change_of_a_tensor_is_seen_also_of_one_that_counts_none(monkeypatch, is_inference):
    torch = SimpleNamespace(Tensor=Tensor, strided="strided", uint8=np.uint8)
    monkeypatch.setitem(sys.modules, "torch", torch)
    tensor = Tensor([1.0, 2.0], is_inference=is_inference)
    before = digest(tensor)

    assert digest(tensor) == before
    tensor.numbers[0] = 5
    assert digest(tensor) != before


def _of(module, base=object, **members):
    return type("C", (base,), {"__module__": module, **members})


def test_the_table_that_a_library_keeps_in_classes_with_a_base_of_it_is_its_own():
    """A mapped class of SQLAlchemy was changed by the first step that made an instance: runs were refused."""
    table = _of("orm.mapping", dict)()
    kind = _of("__main__", _of("orm"), _manager=table)
    before = digest(kind)
    table["is_configured"] = True

    assert digest(kind) == before
    assert before.unchecked == ("orm.mapping.C",)


@pytest.mark.parametrize("module", ["__main__", "collections", "other"])
def test_other_tables_in_a_class_are_looked_into(module):
    table = _of(module, dict)()
    kind = _of("__main__", _of("orm"), known=table)
    before = digest(kind)
    table["a"] = 1

    assert digest(kind) != before


def test_what_a_mapped_object_holds_comes_and_goes_as_it_is_read():
    """After a commit each attribute is asked of the database anew: a step that only read one was refused."""
    mapped = _of("__main__", _of("sqlalchemy.orm"))()
    mapped.name = "ann"
    before = digest(mapped)
    del mapped.name

    assert digest(mapped) == before
    assert before.unchecked == ("__main__.C",)
