"""Sorted places of steps, by what they do: whole numbers that grow down the document. Look-ups by halving."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

# Stands above all steps.
TOP = -1
_NOWHERE: list[int] = []


def put(places: list[int], place: int) -> None:
    """Adds a place, once."""
    if not places or places[-1] < place:
        places.append(place)
    elif places[at := bisect_left(places, place)] != place:
        places.insert(at, place)


def take(places: list[int], place: int) -> None:
    """Takes a place away, if it is there."""
    at = bisect_left(places, place)
    if at < len(places) and places[at] == place:
        del places[at]


def last_before(places: Sequence[int], place: int) -> int:
    """The nearest place above; TOP if there is none."""
    at = bisect_left(places, place)
    return places[at - 1] if at else TOP


def between(places: Sequence[int], above: int, below: int) -> Sequence[int]:
    """The places between these two, neither of which counts."""
    return places[bisect_right(places, above) : bisect_left(places, below)]


class Index(dict[str, list[int]]):
    """The places of all steps that have to do with a thing, by the thing."""

    def put(self, key: str, place: int) -> None:
        """A step has to do with it."""
        places = self.get(key)
        if places is None:
            self[key] = [place]
        else:
            put(places, place)

    def take(self, key: str, place: int) -> None:
        """A step has no longer to do with it."""
        places = self.get(key, _NOWHERE)
        take(places, place)
        if not places:
            self.pop(key, None)

    def of(self, key: str) -> list[int]:
        """The places of a thing, which nobody else may change."""
        return self.get(key, _NOWHERE)
