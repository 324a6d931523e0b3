"""What differs inside of two values of runs: which keys, elements, columns and rows, and by how much.

Only values that are not large are looked into. What runs code that it brings along when it is read is not read, but for
containers of runs that are ours: a dict that holds a number of numpy is no plain data any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from szal_nb.api.inputs import safe_formats
from szal_nb.model.loaded import library_of
from szal_nb.model.value import ValueRef

# Larger values are told by type, shape and hash alone.
_MOST_BYTES = 64 * 2**20
_MOST_TOLD = 6
_MOST_COUNTED = 1_000
_LONGEST = 48
_ABSENT = object()
_AS_WRITTEN = (str, bytes, bool, int, float, complex, type(None), dict, list, tuple, set, frozenset)
_COUNTED = (dict, list, tuple, set, frozenset)
_CONTAINERS = frozenset(kind.__name__ for kind in _COUNTED)

Load = Callable[[ValueRef], object]


class Insides:
    """Looks into values of two runs, each read by its own `load`. `are_ours`: whether both runs are."""

    def __init__(self, before: Load, after: Load, *, are_ours: bool = False) -> None:
        self._before = before
        self._after = after
        self._are_ours = are_ours

    def __call__(self, before: ValueRef | None, after: ValueRef | None) -> tuple[str, ...]:
        """Some of the places where the two differ, in words; nothing if that cannot be told."""
        if before is None or after is None or not all(map(self._is_looked_into, (before, after))):
            return ()
        try:
            return differences_inside(self._before(before), self._after(after))
        except Exception:  # noqa: BLE001 a library that lacks, or a value that it cannot compare: then nothing is said
            return ()

    def _is_looked_into(self, ref: ValueRef) -> bool:
        is_readable = ref.format in safe_formats() or (self._are_ours and ref.type in _CONTAINERS)
        return ref.hash is not None and is_readable and ref.size <= _MOST_BYTES


def differences_inside(before: object, after: object) -> tuple[str, ...]:
    """The first places where two values differ, in words, and how many more there are.

    Nothing is said of two numbers or short texts: each is its own description.

    >>> differences_inside({"region": "EU", "total": 3.5}, {"region": "US", "total": 3.5, "n": 2})
    ("region: 'EU' → 'US'", 'n: absent → 2')
    """
    found = list(islice(_differences(before, after), _MOST_COUNTED))
    more = len(found) - _MOST_TOLD
    if more <= 0:
        return tuple(found)
    over = "at least " if len(found) == _MOST_COUNTED else ""
    return (*found[:_MOST_TOLD], f"… and {over}{more:,} more")


def _differences(before: Any, after: Any) -> Iterator[str]:
    tables = _table_of(before), _table_of(after)
    if tables[0] is not None and tables[1] is not None:
        return _in_tables(tables[0], tables[1])
    if _is_array(before) and _is_array(after):
        return _in_arrays(before, after)
    return _in_plain(before, after, "", set())


# Plain data: `seen` are the pairs that were looked into, for what was pickled may hold itself.


def _in_plain(before: Any, after: Any, path: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    kind = type(before) if type(before) is type(after) else None
    if kind in _COUNTED:
        pair = id(before), id(after)
        if pair in seen:
            return
        seen.add(pair)
    if kind is dict:
        yield from _in_mappings(before, after, path, seen)
    elif kind is list or kind is tuple:
        yield from _in_sequences(before, after, path, seen)
    elif kind is set or kind is frozenset:
        yield from (f"{path or 'items'}: {_short(item)} is gone" for item in sorted(before - after, key=repr))
        yield from (f"{path or 'items'}: {_short(item)} is new" for item in sorted(after - before, key=repr))
    elif kind is str and max(len(before), len(after)) > _LONGEST:
        yield from _in_texts(before, after, path)
    elif path and kind is not None and (_is_array(before) or _table_of(before) is not None):
        yield from (f"{path}, {text}" for text in _differences(before, after))
    elif path and _can_be_compared(before, after) and not _is_same(before, after):
        yield f"{path}: {_short(before)} → {_short(after)}"


def _in_mappings(before: dict[Any, Any], after: dict[Any, Any], path: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        is_name = isinstance(key, str) and key.isidentifier()
        place = f"{path}{'.' if path else ''}{key}" if is_name else f"{path}[{_short(key)}]"
        one, other = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if one is _ABSENT or other is _ABSENT:
            yield f"{place}: {_short(one)} → {_short(other)}"
        else:
            yield from _in_plain(one, other, place, seen)


def _in_sequences(before: Any, after: Any, path: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    found = (
        text
        for place, (one, other) in enumerate(zip(before, after, strict=False))
        for text in _in_plain(one, other, f"{path}[{place}]", seen)
    )
    if len(before) == len(after):
        yield from found
    else:
        # What was put in or taken out in front moves all the others: only the first place tells something.
        yield f"{path or 'items'}: {len(before):,} → {len(after):,}"
        yield from islice(found, 1)


def _in_texts(before: str, after: str, path: str) -> Iterator[str]:
    lines, others = before.splitlines(), after.splitlines()
    for number, (one, other) in enumerate(zip(lines, others, strict=False), 1):
        if one != other:
            first = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
            start = max(0, first - _LONGEST // 3)
            yield f"{f'{path}, ' if path else ''}line {number}: {_short(one[start:])} → {_short(other[start:])}"
    if len(lines) != len(others):
        yield f"{path or 'lines'}: {len(lines):,} → {len(others):,}{' lines' if path else ''}"


# Arrays and tables


class _Table:
    """The columns of a table as arrays by their names; `index` where rows have labels."""

    def __init__(self, columns: Mapping[str, Any], index: Any = None) -> None:
        self.columns = columns
        self.index = index


def _table_of(value: Any) -> _Table | None:
    """None for what is no table, or has two columns of one name."""
    library, kind = library_of(type(value)), type(value).__name__
    index = value.index.to_numpy() if library == "pandas" and kind in ("DataFrame", "Series") else None
    if library in ("pandas", "polars") and kind == "Series":
        return _Table({str(value.name or "values"): value.to_numpy()}, index)
    if library == "pandas" and kind == "DataFrame":
        columns = [(str(name), value.iloc[:, place].to_numpy()) for place, name in enumerate(value.columns)]
    elif library == "polars" and kind == "DataFrame":
        columns = [(name, value[name].to_numpy()) for name in value.columns]
    elif library == "pyarrow" and kind == "Table":
        columns = [(name, column.to_numpy()) for name, column in zip(value.column_names, value.columns, strict=True)]
    else:
        return None
    return _Table(dict(columns), index) if len(dict(columns)) == len(columns) else None


def _in_tables(before: _Table, after: _Table) -> Iterator[str]:
    for name in dict.fromkeys((*before.columns, *after.columns)):
        one, other = before.columns.get(name), after.columns.get(name)
        if one is None or other is None:
            yield f"column {_name(name)} is {'new' if one is None else 'gone'}"
        else:
            yield from _in_columns(one, other, f"{_name(name)}: ")
    if before.columns.keys() == after.columns.keys() and list(before.columns) != list(after.columns):
        yield "the columns stand in another order"
    if before.index is not None and after.index is not None and len(before.index) == len(after.index):
        yield from _counted(before.index, after.index, "index: ", "rows")


def _in_columns(before: Any, after: Any, prefix: str) -> Iterator[str]:
    if before.dtype != after.dtype:
        yield f"{prefix}{before.dtype} → {after.dtype}"
    if len(before) == len(after):
        yield from _counted(before, after, prefix, "rows")
    elif _is_number(before) and _is_number(after):
        one, other = _mean(before), _mean(after)
        if not _is_same(one, other):
            yield f"{prefix}mean {one:.6g} → {other:.6g}"


def _is_array(value: object) -> bool:
    return library_of(type(value)) == "numpy" and type(value).__name__ == "ndarray"


def _in_arrays(before: Any, after: Any) -> Iterator[str]:
    if before.dtype != after.dtype:
        yield f"dtype: {before.dtype} → {after.dtype}"
    if before.shape == after.shape and before.dtype.names is None and after.dtype.names is None:
        yield from _counted(before, after, "", "elements")


def _counted(before: Any, after: Any, prefix: str, title: str) -> Iterator[str]:
    """How many elements of two arrays of one shape differ, and by how much, or which is the first."""
    import numpy as np

    one, other = before.ravel(), after.ravel()
    differs = _differing(one, other)
    count = int(differs.sum())
    if not count:
        return
    told = f"{prefix}{count:,} of {one.size:,} {title} differ"
    distances = np.array([])
    if _is_number(one) and _is_number(other):
        distances = np.abs(one[differs].astype(float) - other[differs].astype(float))
        distances = distances[np.isfinite(distances)]
    if distances.size:
        yield f"{told}, by at most {distances.max():.3g}"
        return
    first = int(differs.argmax())
    place = ", ".join(str(int(n)) for n in np.unravel_index(first, before.shape))
    yield f"{told}, first [{place}]: {_short(one[first])} → {_short(other[first])}"


def _differing(one: Any, other: Any) -> Any:
    """Which elements differ, as an array of bools; two NaN, or two NaT, do not."""
    import numpy as np

    if one.dtype.hasobject or other.dtype.hasobject or one.dtype.kind != other.dtype.kind:
        pairs = zip(one.tolist(), other.tolist(), strict=True)
        return np.fromiter((not _is_same(a, b) for a, b in pairs), dtype=bool, count=one.size)
    # What is not equal to itself is NaN or NaT.
    return (one != other) & ~((one != one) & (other != other))  # noqa: PLR0124


def _is_number(array: Any) -> bool:
    return array.dtype.kind in "iuf"


def _mean(column: Any) -> float:
    import numpy as np

    found = column.astype(float)
    found = found[np.isfinite(found)]
    return float(found.mean()) if found.size else math.nan


# Words


def _can_be_compared(one: object, other: object) -> bool:
    """Whether two objects of one class can be equal without being one."""
    return type(one) is not type(other) or getattr(type(one), "__eq__", None) is not getattr(object, "__eq__", None)


def _is_same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        # What is not equal to itself is NaN.
        return bool(one == other) or bool(one != one and other != other)  # noqa: PLR0124
    except (TypeError, ValueError):
        return False


def _name(name: str) -> str:
    return name if name.isprintable() and 0 < len(name) <= _LONGEST else _short(name)


def _short(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    if isinstance(value, _COUNTED) and len(value) > 4:
        return f"{len(value):,} items"
    if library_of(type(value)) == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    text = repr(value) if isinstance(value, _AS_WRITTEN) else str(value)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: _LONGEST + 1])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
