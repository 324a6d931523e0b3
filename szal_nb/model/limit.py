"""Limits as people write them: `3` at once, or `10/s`, `100/m`, `5/10s` starts in a length of time."""

from __future__ import annotations

import re

from szal_nb.model.duration import parse_duration

_LIMIT = re.compile(r"(\d+)(?:\s*/\s*(\S+))?")


def parse_limit(text: str | int) -> tuple[int, float | None]:
    """How many, and in how many seconds (None: at once).

    >>> [parse_limit(t) for t in (3, "3", "10/s", "100/m", "5/10s")]
    [(3, None), (3, None), (10, 1.0), (100, 60.0), (5, 10.0)]

    Raises `ValueError` for anything else, and for none at all.
    """
    match = _LIMIT.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a limit; write for example 3, 10/s or 100/m")
    size, span = int(match[1]), match[2]
    if size < 1:
        raise ValueError(f"{text!r} is refused; a limit is at least 1")
    if span is None:
        return size, None
    per_s = parse_duration(span if span[:1].isdigit() else f"1{span}")
    if not per_s:
        raise ValueError(f"{text!r} is refused; the time must be more than 0")
    return size, per_s
