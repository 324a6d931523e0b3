"""Values of a past run that share parts, as the record has them in the end: read together, so that they still do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from szal_nb.engine.shared_values import is_shared_name, newest
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ValueRef


class RecordedTogether:
    """What steps have recorded together with other values, in a snapshot; each group is loaded once, when asked for."""

    def __init__(self, snapshot: RunSnapshot, load: Callable[[ValueRef], Any]) -> None:
        self._load = load
        self._steps = tuple(snapshot.steps)
        groups = {
            (i, ref.name): ref
            for i, step in enumerate(snapshot.steps.values())
            for ref in step.values
            if is_shared_name(ref.name) and ref.live is None
        }
        self._refs = groups
        index = {"": None, **{name: i for i, name in enumerate(self._steps)}}
        found = newest(groups, index).groups.items() if groups else ()  # type: ignore[arg-type]
        self._by_key = {key: group for group, keys in found for key in keys}
        self._index = index
        self._loaded: dict[object, Any] = {}

    def recorded_by(self, step: str, name: str) -> str | None:
        """The last step that has recorded this value of `step` together with others; None if there is none."""
        group = self._by_key.get((self._index.get(step), name))
        return None if group is None or group[0] is None else self._steps[group[0]]

    def value(self, step: str, name: str) -> Any:
        """The value as that step left it; raises ValueUnavailable."""
        group = self._by_key[self._index[step], name]
        if group not in self._loaded:
            self._loaded[group] = self._load(self._refs[group]).values  # type: ignore[index]
        return self._loaded[group][step, name]
