"""What the record says of the environment of a run."""

from __future__ import annotations

import functools
from importlib import metadata


@functools.cache
def packages() -> dict[str, str]:
    """The version of each installed package, for the record."""
    return {found.metadata["Name"]: found.version for found in metadata.distributions()}
