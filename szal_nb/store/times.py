"""Times as the tables hold them: text of ISO-8601 in UTC, to the microsecond."""

from __future__ import annotations

import functools
import math
from datetime import UTC, datetime


def iso(at: float | None) -> str | None:
    """ISO-8601 in UTC, to the microsecond.

    >>> iso(0.5)
    '1970-01-01T00:00:00.500000+00:00'
    """
    if at is None:
        return None
    # The text of one second goes into the rows of many steps.
    # Rounded as SQLite does, so that the view `events` tells the same.
    second, micros = divmod(math.floor(at * 1e6 + 0.5), 1_000_000)
    return f"{_iso_second(second)}.{micros:06d}+00:00"


@functools.lru_cache(maxsize=64)
def _iso_second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def seconds(text: str | None) -> float | None:
    """What `iso` wrote, in seconds since the epoch."""
    return None if text is None else datetime.fromisoformat(text).timestamp()
