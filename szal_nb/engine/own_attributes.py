"""What classes of the notebook have of their own: compared around bodies, as hidden state of the process is.

There is one of each class, and instances need not name it: `type(x).rate = 1`, or through a list of classes.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from operator import is_

from szal_nb.engine.kinds import NOTEBOOK

# Classes of these make nothing of their own of what their body holds; those of libraries may at any time.
PLAIN_CLASSES = (type, abc.ABCMeta)


class OwnAttributes:
    """The attributes of a class, told by who they are: equal for as long as none was bound or deleted.

    What Python and `abc` note there is none of them.
    """

    __slots__ = ("_all",)

    def __init__(self, kind: type) -> None:
        self._all = vars(kind).copy()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnAttributes) and (
            _are_same(self._all, other._all) or _are_same(self._own(), other._own())
        )

    __hash__ = None  # type: ignore[assignment]

    def _own(self) -> dict[str, object]:
        return {name: value for name, value in self._all.items() if not name.startswith(("__", "_abc_"))}


def _are_same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    # A value that is bound anew under its name stays where it was.
    return [*one] == [*other] and all(map(is_, one.values(), other.values()))


class ClassesInUse:
    """The classes that steps of a run have had in their hands: themselves, by an instance, or by one of a subclass."""

    def __init__(self) -> None:
        self._known: dict[type, None] = {}

    def add(self, values: Iterable[object]) -> dict[type, object]:
        """Takes in the classes among these values, and those of the values; what those have that are new."""
        found: dict[type, object] = {}
        for value in values:
            kind = value if isinstance(value, type) else type(value)
            if kind.__module__ == NOTEBOOK and kind not in self._known:
                for one in kind.__mro__:
                    if one.__module__ == NOTEBOOK and type(one) in PLAIN_CLASSES and one not in self._known:
                        self._known[one] = None
                        found[one] = OwnAttributes(one)
        return found

    def look(self) -> dict[type, object]:
        """What each has of its own now."""
        return {kind: OwnAttributes(kind) for kind in [*self._known]} if self._known else {}
