"""What a flow is: a named, versioned set of steps with a mode. The order of `steps` is the document's order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from szal_nb.errors import InvalidFlow
from szal_nb.model.limit import parse_limit
from szal_nb.model.step import Executor, Step


class FlowMode(StrEnum):
    """How edges are made: see `analysis.graph`."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"
    DAG = "dag"
    HIERARCHICAL = "hierarchical"


class Guard(StrEnum):
    """Which values are compared after their last reader, to find changes that the analysis did not see."""

    FULL = "full"
    LARGE_OFF = "large-off"
    OFF = "off"


class RollbackOn(StrEnum):
    """Which ends of a run have what it completed undone, where its steps have compensations."""

    FAILURE = "failure"
    CANCEL = "cancel"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDefinition:
    """A flow as defined: what a run keeps a snapshot of.

    `ordered` says that the order of `steps` is the order of a document, so that a read comes from the nearest step
    above; without it (flows made in Python) any step may give a name, and only one may. `limits` are pairs of a tag
    and a limit as `model.limit` reads it, for the steps with this tag together. `executor` is for steps that name none.
    """

    name: str
    version: int = 1
    mode: FlowMode = FlowMode.DAG
    steps: tuple[Step, ...] = ()
    ordered: bool = True
    max_parallel: int | None = None
    executor: Executor = Executor.THREAD
    timeout_s: float | None = None
    guard: Guard = Guard.FULL
    rollback_on: tuple[RollbackOn, ...] = (RollbackOn.FAILURE,)
    limits: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidFlow("A flow needs a name: %szal_flow NAME.")
        for field, value in (("version", self.version), ("max_parallel", self.max_parallel)):
            if value is not None and type(value) is not int:
                raise InvalidFlow(f"Flow {self.name!r}: {field}={value!r} is refused; it must be a whole number.")
        if self.version < 1:
            raise InvalidFlow(f"Flow {self.name!r}: --version {self.version} is refused; versions count from 1.")
        if self.max_parallel is not None and self.max_parallel < 1:
            raise InvalidFlow(f"Flow {self.name!r}: --max-parallel {self.max_parallel} is refused; use 1 or more.")
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise InvalidFlow(f"Flow {self.name!r}: --timeout {self.timeout_s} is refused; it must be more than 0.")
        self._check_limits()
        seen: set[str] = set()
        for step in self.steps:
            if step.name in seen:
                raise InvalidFlow(f"Two steps are named {step.name!r}; rename one of them.")
            seen.add(step.name)

    def _check_limits(self) -> None:
        for tag, text in self.limits:
            try:
                parse_limit(text)
            except ValueError as error:
                raise InvalidFlow(f"Flow {self.name!r}: --limit {tag}={text}: {error}.") from None

    def undoes(self, end: RollbackOn) -> bool:
        """Whether a run that comes to this end has something undone."""
        return end in self.rollback_on and any(step.rollback is not None for step in self.steps)

    def executor_of(self, step: Step) -> Executor:
        """Where the body of one of its steps runs, if it does not `await`."""
        return step.executor or self.executor

    def step(self, name: str) -> Step:
        """The step of this name; `KeyError` if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)
