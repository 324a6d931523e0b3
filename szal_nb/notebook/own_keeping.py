"""What functions and classes of the notebook keep from call to call, apart from what runs have made of it.

The next run of a flow begins where the cells left it, as a notebook that is run from the top does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from szal_nb.engine.keeping import copied, kept_by, kept_states, put_back
from szal_nb.engine.memory import Memory
from szal_nb.errors import InvalidParameter
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import kept_owner
from szal_nb.store.pickling import dump


@dataclass(slots=True)
class _Own:
    """What `definition` kept when a run first began; `left` is the text of what a run left it with.

    `first` is None if nobody can put it back: a cell had filled a cache.
    """

    definition: Any
    first: dict[str, Any] | None
    left: bytes | None = None


class OwnKeeping:
    """See the module. `namespace` is the notebook's."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._known: dict[str, _Own] = {}

    def begin(self, graph: FlowGraph) -> None:
        """A run of the graph begins, or goes on from its record.

        Raises InvalidParameter where it cannot be told any more what the cells left.
        """
        for state, definition in self._used(graph):
            own = self._known.get(state)
            if own is None or own.definition is not definition:
                self._known[state] = _Own(definition, _first(state, kept_by(definition, state)))
            elif own.left is not None:
                if own.first is None or _text(kept_by(definition, state)) != own.left:
                    raise InvalidParameter(
                        f"{state}: changed by a run, and by a cell since then. What the flow should begin with cannot "
                        f"be told: execute the cell that defines {kept_owner(state)} again."
                    )
                put_back(definition, state, _copy(state, own.first))

    def end(self, graph: FlowGraph) -> None:
        """A run of the graph has ended."""
        for state, definition in self._used(graph):
            own = self._known.get(state)
            if own is not None and own.definition is definition:
                own.left = _text(kept_by(definition, state))

    def _used(self, graph: FlowGraph) -> Iterator[tuple[str, Any]]:
        for state in dict.fromkeys(state for states in graph.derived(kept_states) for state in states):
            definition = self._namespace.get(kept_owner(state))
            if definition is not None:
                yield state, definition


def _first(state: str, kept: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return _copy(state, kept)
    except InvalidParameter:
        if any(isinstance(one, Memory) for one in kept.values()):
            return None
        raise


def _copy(state: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return copied(kept)
    except Exception as error:
        raise InvalidParameter(
            f"{state}: it cannot be copied ({type(error).__name__}: {error}), so no run can begin with it as it is. "
            f"Pass it to {kept_owner(state)} as an argument."
        ) from error


def _text(kept: Mapping[str, Any]) -> bytes:
    try:
        return dump(dict(kept))
    except Exception:  # noqa: BLE001  whatever a value's own code raises: then nobody can tell whether it was changed
        return b""
