"""Hidden state of the process that steps have used though their code does not show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from szal_nb.analysis.hidden import spelled
from szal_nb.engine.hidden import GENERATORS, State
from szal_nb.engine.usage import Usage
from szal_nb.errors import HiddenStateUsed, ValueChanged
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import kept_owner, patched


class UndeclaredUse:
    """Raises HiddenStateUsed where such a use could have come before or after that of another step.

    Of classes ValueChanged, in whichever order the steps are: what is not said is not recorded, and would be lost when
    the run is resumed.
    """

    def __init__(self, graph: FlowGraph) -> None:
        self._nodes = graph.nodes
        # Which steps may have used which state.
        self._drew: dict[str, set[int]] = {}

    def check(
        self,
        changed: Iterable[State],
        by_import: Iterable[str],
        window: tuple[int, ...],
        usage: Usage,
        may_change: Callable[[int, type], bool],
    ) -> None:
        """Steps of `window` have changed these states; those of `by_import` the import of a module did.

        `may_change` tells whether a step says that it changes a class which a step gave.
        """
        for state in changed:
            if isinstance(state, type):
                self._check_class(state, window, may_change)
            else:
                self._check_state(state, window, usage, drawn_by=window)
        for state in by_import:
            self._check_state(state, window, usage, drawn_by=())

    def _check_state(self, state: str, window: tuple[int, ...], usage: Usage, *, drawn_by: tuple[int, ...]) -> None:
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

    def _check_class(self, kind: type, window: tuple[int, ...], may_change: Callable[[int, type], bool]) -> None:
        name, nodes = kind.__qualname__.partition(".")[0], self._nodes
        for i in window:
            is_said = any(kept_owner(state) == name or patched(state) for state in nodes[i].states)
            if is_said or name in nodes[i].changes or may_change(i, kind):
                return
        using: dict[bool, list[str]] = {True: [], False: []}
        for i in window:
            read = {*nodes[i].definitions, *(binding.name for binding in nodes[i].bindings)}
            using[name in read].append(nodes[i].step.name)
        raise ValueChanged(name, "its cell", tuple(using[True]), tuple(using[False]))
