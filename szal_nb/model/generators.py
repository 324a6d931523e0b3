"""The random generators that all of a process draw from: what holds one holds no generator of its own."""

from __future__ import annotations

import importlib

from szal_nb.model.loaded import loaded

_GLOBAL = (("random", "_inst"), ("numpy.random.mtrand", "_rand"))


def module_of_generator(part: object) -> str:
    """The module whose global generator this is; "" for all else. No module is imported for that.

    >>> import random
    >>> module_of_generator(random.random.__self__), module_of_generator(random.Random())
    ('random', '')
    """
    found = (module for module, name in _GLOBAL if getattr(loaded(module), name, None) is part)
    return next(found, "") if part is not None else ""


def global_generator(module: str) -> object:
    """The global generator of this module; `KeyError` if it is known for none."""
    return getattr(importlib.import_module(module), dict(_GLOBAL)[module])
