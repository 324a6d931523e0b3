"""Libraries that values may be of: looked up, never imported."""

from __future__ import annotations

import sys
from typing import Any


def loaded(name: str) -> Any:
    """The module, if it is imported to its end; None otherwise, also while another thread is still importing it."""
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module


def module_of(kind: type) -> str:
    """The name of the module that a class says it is from; "" where it says none, as the functions of sympy do."""
    found: object = kind.__module__
    return found if isinstance(found, str) else ""


def library_of(kind: type) -> str:
    """The name of the package, or of the single module, that a class says it is from; "" where it says none."""
    return module_of(kind).partition(".")[0]
