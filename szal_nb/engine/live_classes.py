"""Classes of steps that cannot be stored: nobody could load their instances, which are live with them."""

from __future__ import annotations

from collections.abc import Mapping

from szal_nb.engine.digest import digest
from szal_nb.engine.shared_values import SharedValues
from szal_nb.model.value import ValueRef, as_live


class LiveClasses:
    """Those that the steps of one process have given."""

    def __init__(self) -> None:
        self._classes: set[type] = set()

    def titled(self, given: Mapping[str, object], refs: tuple[ValueRef, ...]) -> tuple[ValueRef, ...]:
        """The references of what a step gave: instances of such a class are live, also in what functions keep."""
        for ref in refs:
            value = given.get(ref.name) if ref.live is not None else None
            if isinstance(value, type):
                self._classes.add(value)
        if not self._classes:
            return refs
        return tuple(self._titled(ref, given.get(ref.name)) for ref in refs)

    def _titled(self, ref: ValueRef, value: object) -> ValueRef:
        if ref.live is not None:
            return ref
        inside = digest(value.values if isinstance(value, SharedValues) else value, is_hashing=False).keeps
        kinds = {kind for part in inside for kind in type(part).__mro__}
        found = sorted(kind.__name__ for kind in self._classes & kinds)
        if not found:
            return ref
        why = f"its class {found[0]} cannot be stored"
        return as_live(ref, why)
