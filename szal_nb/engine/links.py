"""Which values on record share parts, by their references: names for one object, values recorded together, ties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from szal_nb.engine.shared_values import is_shared_name, keys_in
from szal_nb.model.kept import is_kept, state_of
from szal_nb.model.value import ValueRef

# A value: the step that gave it ("" for an input of the run) and its name.
Place = tuple[str, str]


class Links:
    """What shares parts with what, read off the references that steps have on record."""

    def __init__(self, inputs: Iterable[ValueRef], given: Mapping[str, Iterable[ValueRef]]) -> None:
        self._groups: list[set[Place]] = []
        self._of: dict[Place, list[int]] = {}
        objects: dict[str, set[Place]] = {}
        for step, refs in (("", inputs), *given.items()):
            for ref in refs:
                if is_shared_name(ref.name):
                    self._add(set(keys_in(ref)))
                    continue
                if is_kept(state_of(ref.name)):
                    # All steps that use what a function keeps have to do with the same.
                    objects.setdefault(ref.name, set()).add((step, ref.name))
                elif ref.identity is not None:
                    objects.setdefault(ref.identity, set()).add((step, ref.name))
                for tie in ref.ties:
                    self._add({(step, ref.name), tie})
        for same in objects.values():
            if len(same) > 1:
                self._add(same)

    def _add(self, group: set[Place]) -> None:
        for place in group:
            self._of.setdefault(place, []).append(len(self._groups))
        self._groups.append(group)

    def closure(self, places: Iterable[Place]) -> set[Place]:
        """These values, and all that share something with one of them at any remove."""
        found: set[Place] = set()
        todo = list(places)
        while todo:
            place = todo.pop()
            if place not in found:
                found.add(place)
                todo += [other for number in self._of.get(place, ()) for other in self._groups[number] - found]
        return found
