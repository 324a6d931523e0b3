"""The steps of a flow with their places, which stay the same while others come and go around them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from szal_nb.model.step import Step

# Room for steps between two others: some hundred, one after another, before all places are given out anew.
_ROOM = 1 << 120


class Sequenced:
    """Steps in order. `places` are theirs; `place_of` has them by name."""

    def __init__(self) -> None:
        self.steps: tuple[Step, ...] = ()
        self.places: list[int] = []
        self.place_of: dict[str, int] = {}

    def follow(self, steps: tuple[Step, ...]) -> tuple[dict[int, Step], dict[int, Step]] | None:
        """Takes these steps; says by place which are gone and which have come. None if there is no room for them.

        One that was exchanged is gone and has come at the same place.
        """
        before = self.steps
        above = _alike(before, steps)
        below = _alike(before[above:][::-1], steps[above:][::-1])
        last = len(before) - below
        old, new = before[above:last], steps[above : len(steps) - below]
        left = self.places[above:last]
        places = left if len(old) == len(new) else self._room(above, last, len(new))
        if places is None:
            return None
        gone = dict(zip(left, old, strict=True))
        come = dict(zip(places, new, strict=True))
        kept = [place for place in gone.keys() & come.keys() if gone[place] == come[place]]
        for place in kept:
            del gone[place], come[place]
        for step in gone.values():
            del self.place_of[step.name]
        self.place_of.update((step.name, place) for place, step in come.items())
        self.places[above:last] = places
        self.steps = steps
        return gone, come

    def above(self, name: str) -> Step | None:
        """The step right above another."""
        at = bisect_left(self.places, self.place_of[name])
        return self.steps[at - 1] if at else None

    def _room(self, first: int, last: int, count: int) -> list[int] | None:
        top = self.places[first - 1] if first else 0
        if last == len(self.places):
            return [top + _ROOM * number for number in range(1, count + 1)]
        room = self.places[last] - top
        # Steps that are put in one by one come in order, as a rule: most of the room is left below.
        step = min(room >> 3, room // (count + 1))
        return [top + step * number for number in range(1, count + 1)] if step else None


def _alike(one: Sequence[Step], other: Sequence[Step]) -> int:
    """How many steps at the beginning of both are the same: slices of them are, which are quick to compare."""
    least, most = 0, min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
