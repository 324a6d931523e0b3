"""The NaNs that everybody means by name: a table, a list or a set finds a NaN only by the very object."""

from __future__ import annotations

import math

from szal_nb.model.loaded import loaded

_MATH, _NUMPY = "math", "numpy"


def nan_name(value: object) -> str:
    """The module whose `nan` this very object is; "" if it is another object.

    >>> nan_name(math.nan), nan_name(float("nan"))
    ('math', '')
    """
    if id(value) == id(math.nan):
        return _MATH
    numpy = loaded(_NUMPY)
    return _NUMPY if numpy is not None and id(value) == id(numpy.nan) else ""


def named_nan(name: str) -> float:
    """The `nan` of this module. ValueError if there is none."""
    if name == _MATH:
        return math.nan
    if name != _NUMPY:
        raise ValueError(f"no NaN of {name!r} is known")
    import numpy as np  # late: heavy

    return np.nan
