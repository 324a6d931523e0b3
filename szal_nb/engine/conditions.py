"""Answers the conditions of steps, from what they read and what has become of the others. Part of the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from szal_nb.engine.attempt import message_of, names_of
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.signal import ConditionEvaluated
from szal_nb.engine.values import ValueTable
from szal_nb.errors import RunError
from szal_nb.model.state import RunSnapshot
from szal_nb.model.value import ErrorInfo

# Whether a condition holds, from the names that its step reads, the run's inputs, the run so far, and the output of a
# completed step.
Evaluate = Callable[[str, Mapping[str, Any], Mapping[str, Any], RunSnapshot, Callable[[str], Any]], bool]


def no_conditions(text: str, *_: object) -> bool:
    """For a run that is known to have none."""
    raise RunError(f"This run was not given the means to evaluate the condition {text!r}.")


class Conditions:
    """The conditions of a run's steps, by index."""

    def __init__(self, machine: RunMachine, table: ValueTable, evaluate: Evaluate, clock: Callable[[], float]) -> None:
        self._machine = machine
        self._table = table
        self._evaluate = evaluate
        self._clock = clock

    def answer(self, i: int, snapshot: RunSnapshot) -> ConditionEvaluated:
        """Whether the condition of step `i` holds now. Called in a worker thread: it may look at large values."""
        holds, failure = False, None
        try:
            inputs, when = self._table.inputs, self._machine.steps[i].when or ""
            names = {**inputs, **self._table.gather(i)}
            holds = self._evaluate(when, names, inputs, snapshot, self._output_of)
        except Exception as error:  # noqa: BLE001  values of any type may throw anything when compared
            failure = ErrorInfo(type=type(error).__name__, message=message_of(error), names=names_of(error))
        return ConditionEvaluated(self._clock(), i, holds, failure)

    def _output_of(self, step: str) -> Any:
        """What a completed step is worth, or all that it gave, by name; KeyError if that is nothing, or gone."""
        i = self._machine.index[step]
        node = self._machine.graph.nodes[i]
        given = self._table.given_names(i)
        name = node.output_name(given.__contains__)
        if name is not None:
            return self._table.given(i, name)
        values = {name: self._table.given(i, name) for name in node.gives if name in given}
        if not values:
            raise KeyError(step)
        return values
