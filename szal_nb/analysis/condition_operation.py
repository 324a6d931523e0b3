"""What conditions do with values: equality, order, membership, functions, arithmetic.

All loops are bounded by `limit`.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from szal_nb.analysis.condition_error import Spot
from szal_nb.analysis.condition_value import (
    MISSING,
    PLAIN,
    SMALLER,
    Kind,
    elements,
    kind_of,
    length,
    part,
    plain,
    refuse,
    said,
    truth,
)

_DEEPEST_VALUE = 100
_LARGEST_INT_BITS = 1024
# Text is looked at by machine loops; so many characters count as one step.
_CHARACTERS_A_STEP = 50
_EXACT_NUMBERS = frozenset((int, float))
_EXACT_SCALARS = frozenset((int, float, bool, str))


class _Equality:
    """One comparison of values that may hold others, with its count of steps."""

    def __init__(self, at: Spot, limit: int) -> None:
        self._at = at
        self._left = limit

    def holds(self, left: Any, right: Any, depth: int = 0) -> bool:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST_VALUE:
            raise self._at.error("these values are too large or too deep to compare.", SMALLER)
        if type(left) is type(right) and type(left) in _EXACT_SCALARS:
            return bool(left == right)
        # Null first: whether there is a value at all may be asked of every value.
        if left is None or right is None or right is MISSING:
            return left is right
        kind, other = kind_of(left), kind_of(right)
        for value, its in ((left, kind), (right, other)):
            if its in (Kind.TABLE, Kind.OTHER):
                raise refuse(value, its, self._at, "comparing")
        if kind is not other:
            return False
        match kind:
            case Kind.LIST | Kind.SET | Kind.MAPPING:
                if length(left, self._at) != length(right, self._at):
                    return False
                return self._parts(kind, left, right, depth + 1)
            case Kind.BYTES:
                return bytes.__eq__(left, right) is True
        return bool(plain(left, kind) == plain(right, kind))

    def _parts(self, kind: Kind, left: Any, right: Any, depth: int) -> bool:
        if kind is Kind.SET:
            return self._scalars(left) == self._scalars(right)
        if kind is Kind.LIST:
            pairs = zip(self._items(left), self._items(right), strict=True)
            return all(self.holds(one, other, depth) for one, other in pairs)
        # The kind of a key counts too: True and 1 are one key to Python.
        theirs = {self._scalar(key): dict.__getitem__(right, key) for key in self._items(right)}
        return all(
            self.holds(dict.__getitem__(left, key), theirs.get(self._scalar(key), MISSING), depth)
            for key in self._items(left)
        )

    def _items(self, value: Any) -> Iterable[Any]:
        return elements(value, self._at, sys.maxsize)

    def _scalars(self, value: Any) -> frozenset[tuple[Kind, Any]]:
        return frozenset(self._scalar(item) for item in self._items(value))

    def _scalar(self, value: Any) -> tuple[Kind, Any]:
        self._left -= 1
        kind = kind_of(value)
        if self._left < 0 or kind not in PLAIN:
            raise refuse(value, kind, self._at, "comparing")
        return kind, plain(value, kind)


def equal(left: Any, right: Any, at: Spot, limit: int) -> bool:
    """Equality inside a kind; ints and floats are one kind, values of different kinds are never equal."""
    return _Equality(at, limit).holds(left, right)


_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def ordered(sign: str, left: Any, right: Any, at: Spot) -> bool:
    """Order of two numbers or of two texts; false for all else."""
    if type(left) in _EXACT_NUMBERS and type(right) in _EXACT_NUMBERS:
        return _ORDERS[sign](left, right)
    kind, other = kind_of(left), kind_of(right)
    for value, its in ((left, kind), (right, other)):
        if its in (Kind.TABLE, Kind.OTHER):
            raise refuse(value, its, at, "comparing")
    if kind is not other or kind not in (Kind.NUMBER, Kind.TEXT):
        return False
    return bool(_ORDERS[sign](plain(left, kind), plain(right, kind)))


def contains(item: Any, container: Any, at: Spot, limit: int) -> bool:
    """Whether a text holds a text, a list or set an equal item, a mapping a key. Null holds nothing."""
    kind = kind_of(container)
    match kind:
        case Kind.NULL:
            return False
        case Kind.TEXT:
            if kind_of(item) is not Kind.TEXT:
                return False
            return text(item, at, limit) in text(container, at, limit)
        case Kind.MAPPING if kind_of(item) in PLAIN:
            return part(container, item, at, is_dotted=False, is_lenient=False) is not MISSING
    equality, own = _Equality(at, limit), type(item)
    is_exact = own in _EXACT_SCALARS
    for other in elements(container, at, limit):
        if other == item if is_exact and type(other) is own else equality.holds(item, other):
            return True
    return False


def text(value: Any, at: Spot, limit: int) -> str:
    """The value as a plain text; an error if it is none, or a very long one."""
    kind = kind_of(value)
    if kind is not Kind.TEXT:
        raise at.error(f"{said(value, kind)} is not a text.")
    if str.__len__(value) > limit * _CHARACTERS_A_STEP:
        raise at.error(f"this text has more than {limit * _CHARACTERS_A_STEP:,} characters.", SMALLER)
    return str(plain(value, kind))


def extreme(function: str, values: Sequence[Any], at: Spot, limit: int) -> Any:
    """The least or the greatest of numbers or of texts; NaN if one of them is NaN, whatever their order."""
    items = list(elements(values[0], at, limit)) if len(values) == 1 else list(values)
    kinds = {kind_of(item) for item in items}
    if not items:
        raise at.error(f"{function}() of nothing.", "Ask len(x) > 0 first.")
    if len(kinds) > 1 or not kinds <= {Kind.NUMBER, Kind.TEXT}:
        raise at.error(f"{function}() takes numbers only, or texts only.")
    kind = kinds.pop()
    found = [plain(item, kind) for item in items]
    if kind is Kind.NUMBER and (nans := [item for item in found if type(item) is float and math.isnan(item)]):
        return nans[0]
    return min(found) if function == "min" else max(found)


def call(function: str, values: Sequence[Any], at: Spot, limit: int) -> Any:
    """The result of one of the functions of the language."""
    match function:
        case "len":
            return length(values[0], at)
        case "min" | "max":
            return extreme(function, values, at, limit)
        case "any":
            return any(truth(item, at) for item in elements(values[0], at, limit))
        case "all":
            return all(truth(item, at) for item in elements(values[0], at, limit))
        case "lower":
            return text(values[0], at, limit).lower()
        case "upper":
            return text(values[0], at, limit).upper()
    return text(values[0], at, limit).startswith(text(values[1], at, limit))


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def number(value: Any, at: Spot) -> Any:
    """The value as a plain int or float; an error if it is none, or a very large one."""
    kind = kind_of(value)
    if kind is not Kind.NUMBER:
        raise at.error(f"{said(value, kind)} is not a number.")
    found = plain(value, kind)
    if type(found) is int and found.bit_length() > _LARGEST_INT_BITS:
        raise at.error("this number is too large to reckon with.")
    return found


def reckon(sign: str, left: Any, right: Any, at: Spot) -> Any:
    """`left sign right` of two numbers."""
    try:
        return _ARITHMETIC[sign](number(left, at), number(right, at))
    except (ZeroDivisionError, OverflowError) as error:
        raise at.error(f"{error}.") from error
