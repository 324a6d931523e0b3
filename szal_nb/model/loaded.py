"""Libraries that values may be of: looked up, never imported."""

from __future__ import annotations

import sys
from typing import Any


def loaded(name: str) -> Any:
    """The module, if it is imported to its end; None otherwise, also while another thread is still importing it."""
    module = sys.modules.get(name)
    return None if getattr(getattr(module, "__spec__", None), "_initializing", False) else module
