"""How states, counts, sizes and times are said; the twin of `dag/format.ts`. Pure.

Both must say the same: `tests/contract/wording.json` holds them to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from szal_nb.model.duration import format_duration

# Bytes: what is smaller takes no thought.
_WORTH_TELLING = 1000
_WORDS = {"rolled_back": "rolled back", "rolling_back": "rolling back", "idle": "not run yet"}
_SAID_FIRST = ("failed", "running", "retrying", "waiting", "skipped", "cancelled", "rolled_back")
# A step that waits says for what; one that completed may have stopped the run.
_WITH_REASON = ("skipped", "waiting", "completed")
# Marks that turn the direction of the text after them, and what a line cannot show.
_UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def state_word(state: str) -> str:
    """A state as people say it."""
    return _WORDS.get(state, state)


def one_line(text: str, limit: int) -> str:
    """`text` on one line, at most `limit` characters, without marks that turn the direction of what follows."""
    line = " ".join(_UNSHOWN.sub("", text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def format_size(size: int) -> str:
    """`size` bytes as people say it.

    >>> [format_size(n) for n in (0, 999, 1000, 1_250_000, 123_456_789)]
    ['0 B', '999 B', '1.0 kB', '1.2 MB', '123 MB']
    """
    if size < 1000:
        return f"{size} B"
    units = ("kB", "MB", "GB", "TB")
    amount, unit = size / 1000, 0
    while amount >= 999.95 and unit < len(units) - 1:
        amount, unit = amount / 1000, unit + 1
    said = f"{int(amount * 10) / 10:.1f}" if amount < 99.95 else str(int(amount + 0.5))
    return f"{said} {units[unit]}"


def format_shape(shape: Sequence[int]) -> str:
    """A shape as people write it, rows first."""
    if len(shape) == 1:
        return f"{shape[0]:,} item{'' if shape[0] == 1 else 's'}"
    return " \u00d7 ".join(f"{side:,}" for side in shape)


def count_line(counts: Mapping[str, int], total: int) -> str:
    """How a run stands: what is completed of all, then what is worth knowing.

    >>> count_line({"completed": 3, "pending": 1, "failed": 2}, 6)
    '3 of 6 completed · 2 failed'
    """
    said = [f"{counts.get('completed', 0)} of {total} completed"]
    said += [f"{counts[state]} {state_word(state)}" for state in _SAID_FIRST if counts.get(state)]
    return " · ".join(said)


def time_spent(state: str, facts: Mapping[str, Any], now: float) -> str:
    """How long a step took, is taking, or will wait; empty where that says nothing."""
    started, ended, retry_at = facts.get("started"), facts.get("ended"), facts.get("retry_at")
    if state == "running" and started is not None:
        return format_duration(max(0.0, now - started))
    if state == "retrying" and retry_at is not None:
        return f"in {format_duration(max(0.0, retry_at - now))}"
    if started is None or ended is None or state == "pending":
        return ""
    # Clocks are set back.
    return format_duration(max(0.0, ended - started))


def progress_said(done: float, total: float | None) -> str:
    """How far something is; a share of one, and of what is no whole number, in per cent.

    >>> [progress_said(*it) for it in ((417.9, 1000), (3, None), (0.256, 1), (2, 2.5))]
    ['417 of 1,000', '3', '25%', '80%']
    """
    if total is not None and total > 0 and (total == 1 or total != int(total)):
        return f"{int(100 * done / total)}%"
    return f"{int(done):,}" + (f" of {int(total):,}" if total is not None else "")


def elements_failed_said(count: int) -> str:
    """How many elements of a mapped step failed."""
    return f"{count:,} element{'' if count == 1 else 's'} failed"


def fact_line(state: str, facts: Mapping[str, Any]) -> str:
    """What a node says under its name."""
    said = [str(facts["origin"]) if state == "completed" and "origin" in facts else state_word(state)]
    if state == "failed" and "error" in facts:
        return f"{said[0]} · {one_line(facts['error'], 80)}"
    if facts.get("attempts", 0) > 1:
        said.append(f"try {facts['attempts']}")
    if state == "running" and "done" in facts:
        said.append(progress_said(facts["done"], facts.get("total")))
    if state == "running" and "note" in facts:
        said.append(one_line(facts["note"], 60))
    values = facts.get("values", ())
    shaped = [value["shape"] for value in values if value.get("shape")]
    size = sum(value["size"] for value in values)
    if shaped:
        said.append(format_shape(shaped[0]))
    elif size >= _WORTH_TELLING:
        said.append(format_size(size))
    if "elements_failed" in facts:
        said.append(elements_failed_said(facts["elements_failed"]))
    if state in _WITH_REASON and "reason" in facts:
        said.append(one_line(facts["reason"], 60))
    if "rollback_error" in facts:
        said[1:] = [f"not undone: {one_line(facts['rollback_error'], 60)}"]
    return " · ".join(said)
