"""Takes the lock off `functools.cached_property` while runs go on, as Python 3.12 has done for good.

Before, one lock for all objects of a class is held while a property is computed: two steps whose objects compute two of
them, one by way of the other and the other way round (expressions of dask), wait for each other for ever.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from szal_nb.engine.installed import Installed

HAS_LOCKS = sys.version_info < (3, 12)
_MISSING = object()
_get_locked = cached_property.__get__


def _get(self: Any, instance: Any, owner: type | None = None) -> Any:
    cache = getattr(instance, "__dict__", None)
    if instance is None or self.attrname is None or not isinstance(cache, dict):
        # The property itself, or what is wrong with it.
        return _get_locked(self, instance, owner)
    found = cache.get(self.attrname, _MISSING)
    if found is _MISSING:
        # Of two threads that compute it for one object both get what the first gave.
        found = cache.setdefault(self.attrname, self.func(instance))
    return found


def _put() -> None:
    cached_property.__get__ = _get  # type: ignore[method-assign]


def _take() -> None:
    # Somebody may have put one of his own in between.
    if cached_property.__get__ is _get:
        cached_property.__get__ = _get_locked  # type: ignore[method-assign]


_INSTALLED = Installed(_put, _take)


def lock_free_properties() -> AbstractContextManager[None]:
    """While it is entered, by however many runs at once, no `cached_property` makes one thread wait for another."""
    return _INSTALLED.entered() if HAS_LOCKS else nullcontext()
