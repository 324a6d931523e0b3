"""A machine driven by hand: bodies end when the test says so, in the order it says, and time is a counter."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from szal_nb.engine.machine import RunMachine
from szal_nb.engine.signal import (
    Answer,
    AttemptCancelled,
    AttemptCompleted,
    AttemptFailed,
    Begin,
    Cancel,
    CancelAttempt,
    ConditionEvaluated,
    EndRun,
    EvaluateCondition,
    Pause,
    RetryDue,
    RollbackEnded,
    SetTimer,
    Signal,
    Skip,
    StartAttempt,
    StartRollback,
    Unpause,
    Wake,
    WakeAfter,
)
from szal_nb.model.event import Event
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Binding, Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.state import RunSnapshot
from szal_nb.model.step import Step
from szal_nb.model.value import ErrorInfo

BOOM = ErrorInfo(type="ValueError", message="boom", names=("ValueError", "builtins.ValueError", "Exception"))


def flow_of(*lines: str, steps: Mapping[str, dict[str, Any]] | None = None, **flow: Any) -> FlowGraph:
    """A graph from lines such as "plot <- clean, load": data edges; "b <~ a": an order that does not block."""
    nodes, edges, defined = [], [], []
    for line in lines:
        arrow = "<~" if "<~" in line else "<-"
        name, _, sources = (part.strip() for part in line.partition(arrow))
        givers = [source.strip() for source in sources.split(",") if source.strip()]
        step = Step(name=name, **(steps or {}).get(name, {}))
        bindings = tuple(Binding(name=g, step=g, source=g) for g in givers) if arrow == "<-" else ()
        nodes.append(StepNode(step=step, bindings=bindings, gives=(name,)))
        kind = EdgeKind.DATA if arrow == "<-" else EdgeKind.ORDER
        edges += [Edge(source=g, target=name, kind=kind, is_blocking=arrow == "<-") for g in givers]
        defined.append(step)
    return FlowGraph(
        flow=FlowDefinition(name="test", steps=tuple(defined), **flow), nodes=tuple(nodes), edges=tuple(edges)
    )


@dataclass
class Simulation:
    """One run. `running` are the attempts under way, in the order they were started."""

    machine: RunMachine
    at: float = 0.0
    events: list[Event] = field(default_factory=list)
    running: list[tuple[int, int]] = field(default_factory=list)
    timers: list[tuple[float, SetTimer]] = field(default_factory=list)
    conditions: list[int] = field(default_factory=list)
    told_to_end: set[int] = field(default_factory=set)
    undoing: list[tuple[int, int]] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)
    is_ended: bool = False
    most_at_once: int = 0

    def tell(self, make: Callable[[float], Signal]) -> list[Event]:
        """Hands the machine one signal; carries its actions out as far as a simulation can."""
        self.at += 1
        turn = self.machine.handle([make(self.at)])
        self.events += turn.events
        for action in turn.actions:
            match action:
                case StartAttempt():
                    self.running.append((action.step, action.attempt))
                case SetTimer():
                    self.timers.append((self.at + action.delay_s, action))
                case CancelAttempt():
                    self.told_to_end.add(action.step)
                case EvaluateCondition():
                    self.conditions.append(action.step)
                case StartRollback():
                    self.undoing.append((action.step, action.attempt))
                case WakeAfter():
                    self.wakes.append(self.at + action.delay_s)
                case EndRun():
                    self.is_ended = True
        self.most_at_once = max(self.most_at_once, len(self.running))
        return turn.events

    def begin(self) -> Simulation:
        self.tell(Begin)
        return self

    def _take(self, name: str) -> tuple[int, int]:
        index = self.machine.index[name]
        attempt = next(pair for pair in self.running if pair[0] == index)
        self.running.remove(attempt)
        return attempt

    def complete(self, name: str) -> None:
        step, attempt = self._take(name)
        self.tell(lambda at: AttemptCompleted(at, step, attempt))

    def fail(self, name: str, error: ErrorInfo = BOOM, **more: Any) -> None:
        step, attempt = self._take(name)
        self.tell(lambda at: AttemptFailed(at, step, attempt, error, **more))

    def end_cancelled(self, name: str) -> None:
        step, attempt = self._take(name)
        self.tell(lambda at: AttemptCancelled(at, step, attempt))

    def undo(self, *, fails: bool = False) -> None:
        step, attempt = self.undoing.pop(0)
        self.tell(lambda at: RollbackEnded(at, step, attempt, BOOM if fails else None))

    def wake(self) -> None:
        due = min(self.wakes)
        self.wakes.remove(due)
        self.at = max(self.at, due - 1)
        self.tell(Wake)

    def answer_condition(self, name: str, *, holds: bool = True, error: ErrorInfo | None = None) -> None:
        index = self.machine.index[name]
        self.conditions.remove(index)
        self.tell(lambda at: ConditionEvaluated(at, index, holds, error))

    def fire_timer(self) -> None:
        due, timer = min(self.timers, key=lambda entry: entry[0])
        self.timers.remove((due, timer))
        self.at = max(self.at, due)
        self.tell(lambda at: RetryDue(at, timer.step, timer.attempt))

    def cancel(self, reason: str = "") -> None:
        self.tell(lambda at: Cancel(at, reason))

    def pause(self) -> None:
        self.tell(Pause)

    def unpause(self) -> None:
        self.tell(Unpause)

    def answer(self, name: str, *, approved: bool = True) -> None:
        index = self.machine.index[name]
        self.tell(lambda at: Answer(at, index, approved))

    def skip(self, name: str) -> None:
        index = self.machine.index[name]
        self.tell(lambda at: Skip(at, index, "not today"))

    @property
    def under_way(self) -> set[str]:
        return {self.machine.names[step] for step, _ in self.running}

    @property
    def snapshot(self) -> RunSnapshot:
        snapshot = RunSnapshot()
        for event in self.events:
            snapshot.apply(event)
        return snapshot

    @property
    def states(self) -> dict[str, str]:
        return {name: step.state.value for name, step in self.snapshot.steps.items()}

    @property
    def reasons(self) -> dict[str, str]:
        return {name: step.reason for name, step in self.snapshot.steps.items() if step.reason}


def begun(graph: FlowGraph, **machine: Any) -> Simulation:
    """A simulation of a run that has just begun."""
    return Simulation(RunMachine(graph, **machine)).begin()


def simulate(graph: FlowGraph, *, fails: Iterable[str] = (), seed: int = 0, **machine: Any) -> Simulation:
    """A run to its end; bodies end in an order drawn from `seed`, those in `fails` with an error each time."""
    chance, broken = random.Random(seed), set(fails)
    run = begun(graph, **machine)
    while not run.is_ended:
        if run.conditions:
            run.answer_condition(run.machine.names[run.conditions[0]])
        elif run.running:
            name = run.machine.names[chance.choice(run.running)[0]]
            (run.fail if name in broken else run.complete)(name)
        elif run.undoing:
            run.undo()
        elif run.wakes:
            run.wake()
        else:
            run.fire_timer()
    return run
