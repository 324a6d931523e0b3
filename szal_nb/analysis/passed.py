"""Steps that may leave a name as it was, and so take its old value in for a step further down that reads the name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from szal_nb.analysis.objects import Passing
from szal_nb.analysis.places import Index, between
from szal_nb.analysis.resolved import Resolved, Version, objects_of
from szal_nb.analysis.timeline import Timeline


class Passed(Passing):
    """Says it of the steps of a growing flow, for one that asks as if the flow ended with it.

    Nothing is kept of a value that goes through many steps but where it comes from: it is followed when someone asks.
    """

    def __init__(self, versions: Timeline[Version]) -> None:
        self._versions = versions
        self._steps: dict[int, Resolved] = {}
        self._gives: dict[int, Mapping[str, Version]] = {}
        # Steps that read a name from others, by its name there, and those that may leave it as it was.
        self._followers, self._passing = Index(), Index()
        # The names under which objects are given.
        self._names: dict[str, Counter[str]] = {}

    def put(self, place: int, one: Resolved, gives: Mapping[str, Version]) -> None:
        """Takes in a step with what it gives."""
        self._steps[place], self._gives[place] = one, gives
        for name in one.followed:
            self._followers.put(name, place)
        for name in one.passed:
            self._passing.put(name, place)
        for version in gives.values():
            for token in version.objects:
                self._names.setdefault(token, Counter())[version.name] += 1

    def take(self, place: int, one: Resolved) -> None:
        """Forgets a step."""
        for name in one.followed:
            self._followers.take(name, place)
        for name in one.passed:
            self._passing.take(name, place)
        for version in self._gives.pop(place).values():
            for token in version.objects:
                self._names[token] -= Counter([version.name])
                if not self._names[token]:
                    del self._names[token]
        del self._steps[place]

    def is_passed(self, place: int, name: str, below: int) -> bool:
        """See `Passing`."""
        if name not in self._steps[place].passed:
            return False
        reading = next(iter(between(self._followers.of(name), place, below + 1)), None)
        if reading is None:
            return False
        # Where a step between gives the name for certain, it is another value that is read.
        return all(_may_fall_back(version) for _, version in self._versions.between(name, place, reading))

    def passers(self, token: str, above: int, below: int) -> Iterator[int]:
        """See `Passing`."""
        for name in self._names.get(token, ()):
            for place in between(self._passing.of(name), above, below):
                if token in objects_of(self._steps[place].passed[name]) and self.is_passed(place, name, below):
                    yield place


def _may_fall_back(version: object) -> bool:
    return isinstance(version, Version) and version.fallback is not None
