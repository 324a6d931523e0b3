"""Which names were bound to one object: a token for each object, as long as it lives."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable
from datetime import date, time, timedelta
from types import NoneType

# Two names for one of these cannot be told from two equal ones by anything a step should do.
_WITHOUT_IDENTITY = frozenset(
    {NoneType, bool, int, float, complex, str, bytes, tuple, frozenset, range, date, time, timedelta, slice}
)


class Identities:
    """Tokens for objects. `prefix` keeps those of different processes of one run apart."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._by_id: dict[int, tuple[Callable[[], object], str]] = {}

    def token_of(self, value: object) -> str | None:
        """The object's token, the same each time; None where identity means nothing."""
        if type(value) in _WITHOUT_IDENTITY:
            return None
        with self._lock:
            known = self._by_id.get(id(value))
            if known is not None and known[0]() is value:
                return known[1]
            token = f"{self._prefix}.{next(self._numbers)}"
            self._remember(value, token)
            return token

    def bind(self, value: object, token: str) -> None:
        """`value` was loaded for `token`: from now on it has it."""
        if type(value) not in _WITHOUT_IDENTITY:
            with self._lock:
                self._remember(value, token)

    def object_of(self, token: str) -> object | None:
        """The living object of this token; None if there is none."""
        # A copy, because the garbage collector may take entries out at any moment.
        return next((alive() for alive, known in list(self._by_id.values()) if known == token), None)

    def clear(self) -> None:
        """Forgets all, and lets the objects go."""
        with self._lock:
            self._by_id.clear()

    def _remember(self, value: object, token: str) -> None:
        key = id(value)
        try:
            alive: Callable[[], object] = weakref.ref(value, lambda gone: self._forget(key, gone))
        except TypeError:
            # A list or a dict cannot be watched: it is kept, so that its id cannot become another object's.
            def alive(kept: object = value) -> object:
                return kept

        self._by_id[key] = (alive, token)

    def _forget(self, key: int, gone: object) -> None:
        # Called by the garbage collector, in any thread, perhaps inside `_remember`: takes no lock.
        known = self._by_id.get(key)
        if known is not None and known[0] is gone:
            self._by_id.pop(key, None)
