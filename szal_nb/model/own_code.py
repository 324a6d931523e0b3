"""The methods and computed attributes that a class was defined with, as against those that were put on it since."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

_CODE = (FunctionType, staticmethod, classmethod, property, functools.cached_property, functools.partialmethod)
# Of the classes that steps change, as each was when somebody first asked: before any step could.
_known: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()


def is_code(value: object) -> bool:
    """Whether this is what a class has for a method or a computed attribute."""
    return isinstance(value, _CODE)


def own_code(kind: type) -> Mapping[str, Any]:
    """The methods and computed attributes that a class has now, or had when this was first asked of it, by name.

    >>> class Net:
    ...     def cost(self): ...
    >>> [*own_code(Net)]
    ['cost']
    >>> Net.summary = lambda self: ""
    >>> [*own_code(Net)]
    ['cost']
    """
    found = _known.get(kind)
    if found is None:
        found = _known[kind] = {name: value for name, value in [*vars(kind).items()] if is_code(value)}
    return found


def defined_members(kind: type) -> dict[str, Any]:
    """All that a class has of its own, without methods that steps are known to have put on it."""
    now, own = dict(vars(kind)), _known.get(kind)
    return now if own is None else {name: value for name, value in now.items() if not is_code(value)} | own
