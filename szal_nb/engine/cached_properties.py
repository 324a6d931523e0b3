"""Takes the lock off `functools.cached_property` while runs go on, as Python 3.12 has done for good.

Before, one lock for all objects of a class is held while a property is computed: two steps whose objects compute two of
them, one by way of the other and the other way round (expressions of dask), wait for each other for ever.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

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


class _Installed:
    """How many need it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0

    def change(self, users: int) -> None:
        with self._lock:
            self._users += users
            cached_property.__get__ = _get if self._users else _get_locked  # type: ignore[method-assign]


_INSTALLED = _Installed()


@contextmanager
def lock_free_properties() -> Iterator[None]:
    """While it is entered, by however many runs at once, no `cached_property` makes one thread wait for another."""
    if not HAS_LOCKS:
        yield
        return
    _INSTALLED.change(1)
    try:
        yield
    finally:
        _INSTALLED.change(-1)
