"""The one error of the condition language, and the place in the text that it points to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from szal_nb.errors import DefinitionError

# How much of a long condition is shown on each side of the place that is wrong.
_SHOWN_EACH_SIDE = 50


class ConditionError(DefinitionError):
    """A condition is not valid, or cannot be decided from the values it is given."""

    def __init__(self, source: str, position: int, problem: str, advice: str = "") -> None:
        super().__init__(source, position, problem, advice)
        self.source = source
        self.position = position
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        first = max(0, self.position - _SHOWN_EACH_SIDE)
        last = self.position + _SHOWN_EACH_SIDE
        before, after = ("…" if first else ""), ("…" if last < len(self.source) else "")
        # One shown character for each one of the text, so that the pointer below stays in its column.
        shown = "".join(char if char.isprintable() else " " for char in self.source[first:last])
        pointer = " " * (len(before) + self.position - first) + "^"
        advice = f" {self.advice}" if self.advice else ""
        return f"Condition: {self.problem}{advice}\n  {before}{shown}{after}\n  {pointer}"


class Spot(NamedTuple):
    """A place in the text of a condition."""

    source: str
    position: int

    def error(self, problem: str, advice: str = "") -> ConditionError:
        """An error that points to this place."""
        return ConditionError(self.source, self.position, problem, advice)


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known word most like `word`, or the empty text.

    >>> nearest("lenn", ["len", "min"])
    "Did you mean 'len'?"
    """
    found = difflib.get_close_matches(word[:100], [name for name in known if len(name) <= 100][:1000], n=1)
    return f"Did you mean {found[0]!r}?" if found else ""
