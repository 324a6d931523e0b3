"""Looks at names of the running notebook, and tells which of them have changed, without a look at each of them.

What the analysis is told of a name follows from a few objects: what the namespace holds, what a run gave, what the text
of the executed cells says. As long as these are the same objects, so is the answer: comparing thousands of them costs
less than one look. Only where code inside of the object decides, it is looked at each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import is_
from typing import Any

from szal_nb.analysis.surroundings import NameKind, NotebookName

_ABSENT = object()
Names = Mapping[str, NotebookName]


class Watched:
    """`names` gives the names as they are now; `sources` what they follow from: tables by name.

    A name that is in none of the first two tables is not in the notebook.
    """

    def __init__(self, names: Callable[[], Names], sources: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._names, self._sources = names, sources
        self._now = names()
        self._absent: set[str] = set()
        self._present: dict[str, None] = {}
        # What each of the tables held of each of the names, in their order.
        self._held: list[list[Any]] = [[] for _ in sources()]
        self._volatile: set[str] = set()

    def look(self, name: str) -> NotebookName | None:
        """What the notebook binds under the name now."""
        found = self._now.get(name)
        sources = self._sources()
        if name not in self._present and (name in sources[0] or name in sources[1]):
            self._absent.discard(name)
            self._present[name] = None
            for held, source in zip(self._held, sources, strict=True):
                held.append(source.get(name, _ABSENT))
        elif name not in self._present:
            self._absent.add(name)
        if name in self._present:
            value = sources[0].get(name)
            kind = value if isinstance(value, type) else type(value)
            is_volatile = kind.__module__ == "__main__" or (found is not None and found.kind == NameKind.CALLABLE)
            (self._volatile.add if is_volatile else self._volatile.discard)(name)
        return found

    def changed(self, seen: Mapping[str, NotebookName | None]) -> list[str]:
        """Those of the names that are something else by now than `seen` says."""
        self._now = self._names()
        sources, found = self._sources(), set(self._volatile)
        for at, source in enumerate(sources):
            held = self._held[at]
            now = self._held[at] = [*map(source.get, self._present, repeat(_ABSENT))]
            if not all(map(is_, now, held)):
                found.update(
                    name for name, one, other in zip(self._present, now, held, strict=True) if one is not other
                )
        for source in sources[:2]:
            found.update(source.keys() & self._absent)
        return [name for name in found if name in seen and self.look(name) != seen[name]]

    def names(self) -> Iterable[str]:
        """All names of the notebook."""
        return self._now
