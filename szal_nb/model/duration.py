"""Lengths of time as people write them, in seconds inside."""

from __future__ import annotations

import math
import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")


def parse_duration(text: str | float) -> float:
    """Seconds in `text`: a number of seconds, or parts with units `ms s m min h d`.

    >>> [parse_duration(t) for t in (2, "90", "60s", "500ms", "1h30m")]
    [2.0, 90.0, 60.0, 0.5, 5400.0]

    Raises `ValueError` for anything else, for negative and for infinite lengths.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(text)
    else:
        compact = str(text).strip().lower()
        parts = [match for match in _PART.finditer(compact) if match.group(0)]
        if not parts or "".join(match.group(0) for match in parts) != compact:
            raise ValueError(f"{text!r} is not a length of time; write for example 30s, 500ms or 1h30m")
        if len(parts) > 1 and any(match.group(2) is None for match in parts):
            raise ValueError(f"{text!r} has a number without a unit; write for example 1h30m")
        seconds = sum(float(match.group(1)) * _UNITS_S[match.group(2) or "s"] for match in parts)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{text!r} is not a length of time; it must be finite and not negative")
    return seconds


def format_duration(seconds: float) -> str:
    """`seconds` in the shortest form that a person reads at a glance.

    >>> [format_duration(s) for s in (0.00042, 0.25, 3.14159, 75, 3725)]
    ['0 ms', '250 ms', '3.1 s', '1m 15s', '1h 02m']
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m"
