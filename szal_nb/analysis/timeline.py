"""Tables of names that know what they were at each place of a flow, and who asked them for what.

While a step is looked at, the cursor stands at its place: what it asks for is what the steps above have left, and what
it sets stands from there on. So a step in the midst of a flow can be looked at again without those below it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_GONE: Any = object()


class Cursor:
    """Where a step is looked at, and what was asked and set meanwhile."""

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, place: int) -> None:
        """A look at the step at this place begins."""
        self.place = place
        self.asked: set[str] = set()
        # Whether it asked for all names that there are; names whose givers it asked for.
        self.is_asking_all = False
        self.asked_givers: set[str] = set()
        self.written: dict[tuple[int, str], Any] = {}


class Timeline(MutableMapping[str, T], Generic[T]):
    """One table. `otherwise` gives what a name is where no step above has set it."""

    def __init__(self, cursor: Cursor, otherwise: Callable[[str], T | None] = lambda _: None) -> None:
        self._cursor = cursor
        self._otherwise = otherwise
        self._set: dict[str, tuple[list[int], list[T]]] = {}

    def get(self, name: str, default: Any = None) -> Any:  # noqa: D102 as that of a mapping
        self._cursor.asked.add(name)
        found = self._set.get(name)
        if found is not None:
            at = bisect_right(found[0], self._cursor.place)
            if at:
                item = found[1][at - 1]
                return default if item is _GONE else item
        otherwise = self._otherwise(name)
        return default if otherwise is None else otherwise

    def __contains__(self, name: object) -> bool:
        return self.get(name, _GONE) is not _GONE  # type: ignore[arg-type]

    def __getitem__(self, name: str) -> T:
        found = self.get(name, _GONE)
        if found is _GONE:
            raise KeyError(name)
        return found  # type: ignore[no-any-return]

    def __setitem__(self, name: str, item: T) -> None:
        cursor = self._cursor
        cursor.written[id(self), name] = item
        places, items = self._set.setdefault(name, ([], []))
        at = bisect_left(places, cursor.place)
        if at < len(places) and places[at] == cursor.place:
            items[at] = item
        else:
            places.insert(at, cursor.place)
            items.insert(at, item)

    def __delitem__(self, name: str) -> None:
        self[name] = _GONE

    def pop(self, name: str, default: Any = None) -> Any:
        """Takes a name away, if it is there."""
        found = self.get(name, _GONE)
        if found is _GONE:
            return default
        del self[name]
        return found

    def __iter__(self) -> Iterator[str]:
        self._cursor.is_asking_all = True
        return iter([name for name in self._set if name in self])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def erase(self, name: str, place: int) -> None:
        """Takes away what the step at this place set."""
        places, items = self._set[name]
        at = bisect_left(places, place)
        del places[at], items[at]
        if not places:
            del self._set[name]

    def exchange(self, name: str, place: int, item: T) -> None:
        """Puts another item there which says the same."""
        places, items = self._set[name]
        items[bisect_left(places, place)] = item

    def next_place(self, name: str, place: int) -> int | None:
        """Where a step below sets the name again."""
        places, _ = self._set.get(name, ((), ()))
        at = bisect_right(places, place)
        return places[at] if at < len(places) else None

    def between(self, name: str, above: int, below: int) -> Iterator[tuple[int, T]]:
        """What the steps between these two places set it to."""
        places, items = self._set.get(name, ([], []))
        at = bisect_right(places, above)
        while at < len(places) and places[at] < below:
            yield places[at], items[at]
            at += 1
