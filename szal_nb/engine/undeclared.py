"""Hidden state of the process that steps have used though their code does not show it."""

from __future__ import annotations

from szal_nb.analysis.hidden import spelled
from szal_nb.engine.hidden import GENERATORS
from szal_nb.engine.usage import Usage
from szal_nb.errors import HiddenStateUsed
from szal_nb.model.graph import FlowGraph


class UndeclaredUse:
    """Raises HiddenStateUsed where such a use could have come before or after that of another step."""

    def __init__(self, graph: FlowGraph) -> None:
        self._nodes = graph.nodes
        # Which steps may have used which state.
        self._drew: dict[str, set[int]] = {}

    def check(self, state: str, window: tuple[int, ...], usage: Usage, *, drawn_by: tuple[int, ...]) -> None:
        """One of the steps of `window` has used the state; those of `drawn_by` depend on it, too."""
        nodes = self._nodes
        if any(state in nodes[i].states for i in window):
            return
        # Nothing of theirs depends on it, as on the jitter of a retry; they may still disturb others.
        pure = {i for i, node in enumerate(nodes) if spelled(state) in node.step.pure}
        names = usage.names
        drew = self._drew.setdefault(state, set())
        if state in GENERATORS:
            users = {i for i, node in enumerate(nodes) if state in node.states}.union(drew, drawn_by)
        else:
            users = set(range(len(names)))
        drew.update(window)
        others = sorted({user for user in users - pure for i in window if user != i and not usage.are_ordered(user, i)})
        if others:
            raise HiddenStateUsed(state, tuple(names[i] for i in window), tuple(names[i] for i in others))
