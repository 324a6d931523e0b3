"""Which objects cannot change, so that their identity says all about them."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from datetime import date, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import CodeType, EllipsisType, ModuleType, NoneType, NotImplementedType
from uuid import UUID

from szal_nb.model.loaded import library_of, module_of

_EXACT = frozenset(
    {NoneType, bool, int, float, complex, str, bytes, range, slice, date, time, timedelta, timezone, Decimal, Fraction}
    | {UUID, re.Pattern, EllipsisType, NotImplementedType, CodeType}
)
_BASES = (enum.Enum, PurePath, date, tzinfo, ModuleType)
# Libraries whose values of these names are never changed in place.
_BY_NAME = frozenset(
    {"pyarrow.lib.Table", "pyarrow.lib.ChunkedArray", "pyarrow.lib.RecordBatch", "pyarrow.lib.Schema"}
    | {"pandas._libs.tslibs.timestamps.Timestamp", "pandas._libs.tslibs.timedeltas.Timedelta"}
    | {"pandas._libs.tslibs.nattype.NaTType", "pandas._libs.missing.NAType", "pandas._libs.tslibs.period.Period"}
    | {"pandas._libs.tslibs.offsets.BaseOffset", "pandas._libs.interval.Interval"}
    | {"pandas.core.dtypes.base.ExtensionDtype", "polars.expr.expr.Expr", "polars.datatypes.classes.DataType"}
    | {"shapely.lib.Geometry", "pyproj.crs.crs.CRS", "sympy.core.basic.Basic", "astropy.units.core.UnitBase"}
    | {"numpy.dtype", "torch.dtype", "torch.device", "torch.Size"}
)
_ROOTS = frozenset(name.partition(".")[0] for name in _BY_NAME)
_SMALL = frozenset({NoneType, bool, float})
_LARGE = 2**63
_LONG = 1_000


class _Kinds(dict[type, bool]):
    """Whether values of a type stay what they are, found out when it is first asked."""

    def __missing__(self, kind: type) -> bool:
        found = self[kind] = _is_found_immutable(kind)
        return found


# By type: looking here costs a fraction of a call.
IMMUTABLE = _Kinds.fromkeys(_EXACT, True)


def is_immutable(value: object) -> bool:
    """Whether `value`, with all that is inside, stays what it is."""
    return IMMUTABLE[type(value)]


def are_immutable(values: Iterable[object]) -> bool:
    """Whether all of them stay what they are."""
    return all(map(IMMUTABLE.__getitem__, map(type, values)))


def are_small(values: Iterable[object]) -> bool:
    """Whether all are numbers, short texts and the like: looking at them, and writing them down, takes no time."""
    for value in values:
        kind = type(value)
        if kind is int:
            if not -_LARGE < value < _LARGE:  # type: ignore[operator]
                return False
        elif kind is str:
            if len(value) > _LONG:  # type: ignore[arg-type]
                return False
        elif kind not in _SMALL:
            return False
    return True


def is_immutable_kind(kind: type) -> bool:
    """Whether values of this very type stay what they are."""
    return IMMUTABLE[kind]


def _is_found_immutable(kind: type) -> bool:
    if issubclass(kind, _BASES):
        return True
    # A class that a call has made may say of itself nothing but its bases.
    maker = next(base for base in kind.__mro__ if module_of(base))
    if library_of(maker) not in _ROOTS:
        return False
    names = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    return not names.isdisjoint(_BY_NAME) or ("numpy.generic" in names and "numpy.void" not in names)
