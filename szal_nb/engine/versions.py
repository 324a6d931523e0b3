"""The versions of all names of a run by key, as its watch sees them: also what a body gave that is not recorded yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from szal_nb.engine.usage import Key
from szal_nb.engine.values import ValueTable
from szal_nb.model.graph import DISPLAY


class Versions:
    """Values by the step that gave them (None: the notebook) and their name. `superseded` are on record only."""

    def __init__(self, table: ValueTable) -> None:
        self._values = table.objects
        self._inputs = table.inputs
        self.superseded = table.superseded
        # What the bodies of attempts gave that is not in the table yet, by step.
        self._given: dict[int | None, dict[str, Any]] = {}

    def give(self, i: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """The body of step `i` gave these, which are not recorded yet; what is to be seen of them."""
        seen = self._given[i] = {name: value for name, value in given.items() if name != DISPLAY}
        return seen

    def take_back(self, i: int) -> None:
        """What step `i` gave is recorded, or came to nothing."""
        self._given.pop(i, None)

    def has(self, key: Key) -> bool:
        """Whether the object is at hand: an attempt that came to nothing has left nothing."""
        if key[1] in self._given.get(key[0], ()):
            return True
        return key[1] in self._inputs if key[0] is None else (key[0], key[1]) in self._values

    def value(self, key: Key) -> Any:
        """The object; None if it is not at hand."""
        given = self._given.get(key[0])
        if given is not None and key[1] in given:
            return given[key[1]]
        return self._inputs.get(key[1]) if key[0] is None else self._values.get((key[0], key[1]))

    def put(self, key: Key, value: Any) -> None:
        """The version is another object from now on."""
        if key[0] is None:
            self._inputs[key[1]] = value
        else:
            self._values[key[0], key[1]] = value

    def supersede(self, key: tuple[int, str]) -> None:
        """A step is about to change the object: whoever else wants the version asks the record."""
        value = self._values.pop(key, None)
        self.superseded.add(key)
        shown = (key[0], DISPLAY)
        if value is not None and self._values.get(shown) is value:
            del self._values[shown]
            self.superseded.add(shown)

    def inputs(self) -> Mapping[str, Any]:
        """The run's inputs, as they are now."""
        return self._inputs
