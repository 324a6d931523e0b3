"""Gives the values of a run to the notebook, under their names; what the notebook re-bound meanwhile stays."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from szal_nb.api.run import Run
from szal_nb.engine.namespace import imported
from szal_nb.errors import ValueUnavailable
from szal_nb.notebook.own_names import ABSENT, OwnNames

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What came of a binding: names that now hold the run's values, and those left alone, with the reason."""

    run_id: str
    names: tuple[str, ...] = ()
    rebound: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = []
        if self.rebound:
            names = ", ".join(self.rebound)
            lines.append(
                f"Left alone, because the notebook re-bound it since run {self.run_id} started: {names}. "
                "run.bind() gives the run's values."
            )
        if self.unavailable:
            lines.append(f"Not to be had from run {self.run_id} any more: {', '.join(self.unavailable)}.")
        return "\n".join(lines)


class Binder:
    """Remembers what the names held when the run started.

    `functions` are those of the notebook's functions that are steps, by name.
    """

    def __init__(self, own: OwnNames, names: Iterable[str], functions: Mapping[str, Any] | None = None) -> None:
        self._own = own
        self._functions = functions or {}
        self._before = {name: own.namespace.get(name, ABSENT) for name in names}

    def bind(self, run: Run, *, force: bool = False) -> Bound:
        """Binds the values of all completed steps; of a name given more than once the last in the document wins.

        What a step has deleted is deleted.
        """
        bound, rebound, unavailable = [], [], []
        for name in run.deleted_names():
            if force or self._own.namespace.get(name, ABSENT) is self._before.get(name, ABSENT):
                self._own.bind(run.flow, name, ABSENT)
                self._before[name] = ABSENT
        for name in run.names():
            place = run.place(name)
            if place is None:
                continue
            held = self._own.namespace.get(name, ABSENT)
            if held is not ABSENT and held is self._functions.get(name, ABSENT):
                # The function that is the step stays callable under its name.
                continue
            # What another run gave since, the notebook has not re-bound.
            is_ours = held is self._before.get(name, ABSENT) or self._own.is_given(name)
            if not force and not is_ours:
                rebound.append(name)
                continue
            try:
                value = run.last_value(*place)
            except ValueUnavailable:
                unavailable.append(name)
                continue
            self._own.bind(run.flow, name, value)
            self._before[name] = value
            bound.append(name)
        self._bind_imports(run)
        return Bound(run_id=run.id, names=tuple(bound), rebound=tuple(rebound), unavailable=tuple(unavailable))

    def _bind_imports(self, run: Run) -> None:
        """What cells that are steps have imported, the notebook has imported; names that it has itself are its own."""
        given = {*run.names(), *run.deleted_names()}
        for name, statement in run.imports().items():
            is_free = name not in self._own.namespace or self._own.is_given(name)
            if name in given or name.startswith("_") or not is_free:
                continue
            try:
                thing = imported(name, statement)
            except Exception as error:  # noqa: BLE001  the code of any module; a cell that needs the name will say so
                log.info("%r, as a step of run %s has it, fails: %s", statement, run.id, error)
            else:
                self._own.bind(run.flow, name, thing)
