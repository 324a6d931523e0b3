"""What a person wants to see of a value in a picture or a list: its type, its shape, a few words."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from itertools import islice
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from uuid import UUID

from szal_nb.model.loaded import library_of, loaded, module_of

_LONGEST = 60
_LONGEST_INT = 10**_LONGEST
_TIMES = " \N{MULTIPLICATION SIGN} "
_SHOWN_AS_IS = (bool, int, float, complex, type(None))
# Classes whose text says all of a value.
_WRITTEN = frozenset(
    {datetime, date, time, timedelta, Decimal, Fraction, UUID, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath}
)
_WRITTEN_OF_LIBRARIES = frozenset({("pandas", name) for name in ("Timestamp", "Timedelta", "Period", "Interval")})
_COUNTED = (list, tuple, dict, set, frozenset)
_SHAPED_LIBRARIES = frozenset({"numpy", "pandas", "polars", "pyarrow", "torch", "scipy", "xarray", "geopandas", "jax"})


def type_name(value: object) -> str:
    """The type's name, with its module unless that is builtins; "type" of any class."""
    kind = type if issubclass(type(value), type) else type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def shape_of(value: object) -> tuple[int, ...] | None:
    """Rows first, then columns and so on; None for what has no shape."""
    if type(value) in _COUNTED:
        return (len(value),)  # type: ignore[arg-type]
    if library_of(type(value)) not in _SHAPED_LIBRARIES:
        return None
    try:
        shape = tuple(int(length) for length in value.shape)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 a property of a foreign class may do anything; then there is no shape
        return None
    return shape or None


def summary_of(value: object) -> str:
    """A few words: `2,345 x 8`, `'EU'`, `3 items`; empty for what only its type describes.

    >>> [summary_of(v) for v in ("EU", 3, Decimal("1.50"), [1, 2, 3], {"a": 1}, object())]
    ["'EU'", '3', '1.50', '3 items', '1 item', '']
    """
    if type(value) is str:
        text = repr(value[:_LONGEST])
        return _encodable(text if len(value) <= _LONGEST else f"{text[:-1]}…{text[0]}")
    if type(value) is bytes:
        return f"{len(value):,} bytes"
    if type(value) is int and abs(value) >= _LONGEST_INT:
        return f"{value.bit_length():,} bits"
    if isinstance(value, _SHOWN_AS_IS) and type(value) in _SHOWN_AS_IS:
        return repr(value)
    shape = shape_of(value)
    if shape is None:
        return _written(value)
    if type(value) in _COUNTED:
        return f"{shape[0]:,} item{'' if shape[0] == 1 else 's'}"
    dtype = getattr(value, "dtype", None)
    kind = f" {dtype}" if dtype is not None and len(str(dtype)) < _LONGEST else ""
    return _TIMES.join(f"{length:,}" for length in islice(shape, 6)) + kind


def _written(value: object) -> str:
    """The text of one number, date, path or member of an enum, whoever's it is; else ""."""
    kind, numpy = type(value), loaded("numpy")
    if issubclass(kind, Enum):
        return _cut(f"{kind.__qualname__}.{value._name_}")  # type: ignore[attr-defined]
    if numpy is not None and issubclass(kind, numpy.generic) and module_of(kind) == "numpy":
        item = value.item()  # type: ignore[attr-defined]
        return summary_of(item) if type(item) in (str, bytes) else _cut(str(value))
    if kind not in _WRITTEN and (library_of(kind), kind.__name__) not in _WRITTEN_OF_LIBRARIES:
        return ""
    try:
        return _cut(str(value))
    except ValueError:  # more digits than Python writes
        return ""


def _cut(text: str) -> str:
    return _encodable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
