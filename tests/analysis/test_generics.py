"""Type parameters (Python 3.12 and newer): names of their own, in signatures, bases and bodies."""

from __future__ import annotations

import ast
import sys

import pytest

from szal_nb.analysis.cell import analyze_cell

IS_KNOWN = sys.version_info >= (3, 12)

# Source, what it reads, what it gives.
CASES = {
    "a function": ("def first[T](xs: list[T]) -> T:\n    return xs[0]", (), ("first",)),
    "a bound": ("def least[T: (int, Money)](a: T) -> T:\n    return a", ("Money",), ("least",)),
    "many at once": ("def call[*Ts, **P](f, *a: *Ts) -> P: ...", (), ("call",)),
    "a body": ("def make[T](x: T) -> T:\n    y: T = scale * x\n    return T, y\nmade = make(1)", ("scale",), ("make", "made")),
    "a parameter of the same name": ("def grow[T](T):\n    T.append(1)\ngrow(xs)", ("xs",), ("grow",)),
    "a global of the same name": ("T = 1\ndef same[T](x: T):\n    return T\nsame(T)", (), ("T", "same")),
    "a class": ("class Box[T](Base[T]):\n    x: T\n    def put[U](self, t: T, u: U) -> U: ...", ("Base",), ("Box",)),
    "a name of the class": ("class Box[T]:\n    Unit = int\n    def of[U](self, u: Unit) -> U: ...", (), ("Box",)),
    "a function in a function": ("def outer():\n    def inner[T](x: T): return T, z\n    return inner\ny = outer()", ("z",), ("outer", "y")),
    "an alias": ("type Table[K] = dict[K, Row]", ("Row",), ("Table",)),
    "an alias of itself": ("type Tree = list[Tree]", (), ("Tree",)),
}  # fmt: skip


def analyzed(source):
    """None where this Python does not know type parameters, which it must say."""
    if IS_KNOWN:
        return analyze_cell(source)
    with pytest.raises(SyntaxError):
        ast.parse(source)
    return None


@pytest.mark.parametrize("case", CASES)
def test_type_parameters_are_no_reads(case):
    source, reads, gives = CASES[case]
    names = analyzed(source)

    assert names is None or (names.read_names, names.given_names) == (reads, gives)


def test_what_a_generic_function_changes_is_changed():
    names = analyzed("def grow[T](into: list[T], one: T):\n    into.append(one)\ngrow(xs, 1)")

    assert names is None or names.changed_names == ("xs",)
