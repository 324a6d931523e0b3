"""What values are to a condition: their kind, truth, length and parts.

Values are looked at by their type alone, and read through the methods of Python's own types, never through those of a
subclass: no code of a user's class runs. Tables and arrays of the libraries named here give their shape and no more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from typing import Any

from szal_nb.analysis.condition_error import Spot, nearest

_MOST_COLUMNS = 100_000
SMALLER = "Compute it in a step and name the result."


class Kind(Enum):
    """What a value is to a condition. Equality and order exist inside a kind only."""

    NULL = "null"
    BOOL = "a bool"
    NUMBER = "a number"
    TEXT = "a text"
    BYTES = "bytes"
    LIST = "a list"
    SET = "a set"
    MAPPING = "a mapping"
    TABLE = "a table or array"
    OTHER = "an object"


PLAIN = frozenset((Kind.NULL, Kind.BOOL, Kind.NUMBER, Kind.TEXT))
_WITHOUT_LENGTH = frozenset((Kind.NULL, Kind.BOOL, Kind.NUMBER, Kind.OTHER))
_WITH_ITEMS = frozenset((Kind.LIST, Kind.SET, Kind.MAPPING, Kind.TABLE))
_EXACT: dict[type, Kind] = {
    type(None): Kind.NULL,
    bool: Kind.BOOL,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    bytes: Kind.BYTES,
    list: Kind.LIST,
    tuple: Kind.LIST,
    set: Kind.SET,
    frozenset: Kind.SET,
    dict: Kind.MAPPING,
}
# Types with a `shape`, by top package and name, and the attribute that holds the names of their columns.
_TABLES: dict[tuple[str, str], str | None] = {
    ("pandas", "DataFrame"): "columns",
    ("pandas", "Series"): None,
    ("pandas", "Index"): None,
    ("polars", "DataFrame"): "columns",
    ("polars", "Series"): None,
    ("pyarrow", "Table"): "column_names",
    ("numpy", "ndarray"): None,
    ("torch", "Tensor"): None,
}
_TABLE_FACTS = ("rows", "columns", "shape", "size", "empty")


def _table_key(kind: type) -> tuple[str, str] | None:
    for base in kind.__mro__:
        key = (str(base.__module__).partition(".")[0], base.__name__)
        if key in _TABLES:
            return key
    return None


def kind_of(value: object) -> Kind:
    """The kind of this value, found from its type alone."""
    # mypy takes the __hash__ of a class for that of its instances.
    return _EXACT.get(type(value)) or _kind_of_type(type(value))  # type: ignore[arg-type]


@lru_cache(maxsize=1024)
def _kind_of_type(kind: type) -> Kind:
    for base in kind.__mro__:
        if base in _EXACT:
            return _EXACT[base]
    # A NumPy value can only be here if NumPy was imported by somebody.
    if numpy := sys.modules.get("numpy"):
        if issubclass(kind, numpy.bool_):
            return Kind.BOOL
        if issubclass(kind, numpy.integer | numpy.floating) and not issubclass(kind, numpy.timedelta64):
            return Kind.NUMBER
    return Kind.TABLE if _table_key(kind) else Kind.OTHER


def plain(value: Any, kind: Kind) -> Any:
    """A bool, number or text as Python's own type, so that comparing it calls nothing else."""
    own = type(value)
    if own in _EXACT:
        return value
    match kind:
        case Kind.TEXT:
            return str.__str__(value)
        case Kind.BOOL:
            return bool(value)
        case _ if issubclass(own, int):
            return int.__int__(value)
        case _ if issubclass(own, float):
            return float.__float__(value)
    number = value.item()
    return number if type(number) in (int, float) else float(number)


def refuse(value: object, kind: Kind, at: Spot, what: str) -> Exception:
    """The error for a value that `what` must not touch."""
    if kind is Kind.TABLE:
        return at.error(f"{what} {type(value).__name__} is refused.", "Write len(x) > 0, x.rows, x.columns or x.shape.")
    return at.error(f"{what} {kind.value} of type {type(value).__name__} is refused.", SMALLER)


def truth(value: Any, at: Spot) -> bool:
    """Whether the value counts as true: bools, nonzero numbers, texts and containers that are not empty."""
    if value is True or value is False:
        return bool(value)
    kind = kind_of(value)
    match kind:
        case Kind.NULL:
            return False
        case Kind.BOOL | Kind.NUMBER:
            return bool(plain(value, kind))
        case Kind.TABLE | Kind.OTHER:
            raise refuse(value, kind, at, "the truth of")
    return length(value, at) > 0


_LENGTHS: dict[type, Callable[[Any], int]] = {
    base: base.__len__ for base in (str, bytes, list, tuple, set, frozenset, dict)
}


def _own_base(value: object) -> Any:
    if type(value) in _EXACT:
        return type(value)
    return next(base for base in type(value).__mro__ if base in _EXACT)


def length(value: Any, at: Spot) -> int:
    """The number of characters, items, keys or rows."""
    kind = kind_of(value)
    if kind is Kind.TABLE:
        return rows(value, at)
    if kind in _WITHOUT_LENGTH:
        raise at.error(f"{said(value, kind)} has no length.", SMALLER if kind is Kind.OTHER else "")
    return _LENGTHS[_own_base(value)](value)


def said(value: object, kind: Kind) -> str:
    """The value as an error speaks of it: by its type, never by what it holds."""
    return "null" if kind is Kind.NULL else f"{kind.value} of type {type(value).__name__}"


def shape(value: Any, at: Spot) -> list[int]:
    """The sizes of a table or array, rows first."""
    try:
        return [int(size) for size in value.shape]
    except Exception as error:
        raise at.error(f"the shape of this {type(value).__name__} is not known: {error}") from error


def rows(value: Any, at: Spot) -> int:
    """The number of rows of a table or array."""
    sizes = shape(value, at)
    if not sizes:
        raise at.error(f"this {type(value).__name__} is a single number: it has no rows.")
    return sizes[0]


def columns(value: Any, at: Spot) -> list[object]:
    """The names of the columns of a table."""
    key = _table_key(type(value))
    attribute = _TABLES[key] if key else None
    if attribute is None:
        raise at.error(f"{type(value).__name__} has no columns.", "Write its shape, as in x.shape[1].")
    names = getattr(value, attribute)
    if len(names) > _MOST_COLUMNS:
        raise at.error(f"it has {len(names):,} columns; {_MOST_COLUMNS:,} is the most.", SMALLER)
    return list(names)


def table_fact(value: Any, name: str, at: Spot) -> object:
    """`rows`, `columns`, `shape`, `size` or `empty` of a table or array."""
    match name:
        case "rows":
            return rows(value, at)
        case "columns":
            return columns(value, at)
        case "shape":
            return shape(value, at)
        case "size" | "empty":
            size = 1
            for side in shape(value, at):
                size *= side
            return size if name == "size" else size == 0
    advice = nearest(name, _TABLE_FACTS) or f"There are only {', '.join(_TABLE_FACTS)}."
    raise at.error(f"{type(value).__name__} has no {name!r} here.", advice)


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = _Missing()


def part(value: Any, index: Any, at: Spot, *, is_dotted: bool, is_lenient: bool) -> Any:
    """`value.index` or `value[index]`; `MISSING` where a container has no such part, or there is no container."""
    if type(value) is dict and type(index) is str:
        return value.get(index, MISSING)
    kind, index_kind = kind_of(value), kind_of(index)
    if kind is Kind.MAPPING:
        if index_kind not in PLAIN:
            raise refuse(index, index_kind, at, "the key")
        return dict.get(value, plain(index, index_kind), MISSING)
    if kind is Kind.NULL:
        return MISSING
    if kind is Kind.TABLE:
        if is_dotted:
            return table_fact(value, index, at)
        if _table_key(type(value)) == ("numpy", "ndarray") and index_kind is Kind.NUMBER:
            return _item(value, index, at, rows(value, at), type(value).__getitem__)
        raise at.error(f"{type(value).__name__} cannot be indexed here.", SMALLER)
    if not is_dotted and kind in (Kind.LIST, Kind.TEXT) and index_kind is Kind.NUMBER:
        return _item(value, index, at, length(value, at), _own_base(value).__getitem__)
    if is_lenient and kind is not Kind.OTHER:
        return MISSING
    shown = f".{index}" if is_dotted else f"[{index!r:.40}]" if index_kind in PLAIN else "such a part"
    raise at.error(f"{said(value, kind)} has no {shown}.", "Only keys of mappings and items of lists are read.")


def _item(value: Any, index: Any, at: Spot, count: int, get: Callable[[Any, int], Any]) -> Any:
    number = plain(index, Kind.NUMBER)
    if type(number) is not int:
        raise at.error(f"{number} is not an index.", "Write a whole number.")
    return get(value, number) if -count <= number < count else MISSING


def elements(value: Any, at: Spot, limit: int) -> Iterable[Any]:
    """The items of a list, set or one-dimensional array, the keys of a mapping."""
    kind = kind_of(value)
    if kind not in _WITH_ITEMS:
        raise at.error(f"{said(value, kind)} is not a list.")
    count = length(value, at)
    if count > limit:
        raise at.error(f"it has {count:,} items; {limit:,} is the most here.", SMALLER)
    if kind is Kind.TABLE:
        key = _table_key(type(value))
        if len(shape(value, at)) != 1 or key not in (("numpy", "ndarray"), ("pandas", "Series"), ("pandas", "Index")):
            raise at.error(f"the items of {type(value).__name__} are not read here.", SMALLER)
        items: list[Any] = value.tolist()
        return items
    return _own_base(value).__iter__(value)  # type: ignore[no-any-return]
