"""A run as its users see it, whether it is over or not: its states, its values, what it showed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

from szal_nb.analysis.doubt import doubted
from szal_nb.analysis.glance import glance_at
from szal_nb.analysis.versions import newest_versions
from szal_nb.api.together import RecordedTogether
from szal_nb.errors import RunError, RunFailed, ValueUnavailable
from szal_nb.model.event import Event, StepOutput, StepStarted
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.state import AttemptSnapshot, RunSnapshot, RunState, StepSnapshot, StepState, fold
from szal_nb.model.step import StepKind
from szal_nb.model.value import ElementEnd, ErrorInfo, Output, ValueRef


class ValueSource(Protocol):
    """Where the values of a run come from."""

    def value(self, step: str, name: str) -> Any:
        """The object as the step gave it, if that is still to be had; raises ValueUnavailable."""

    def last(self, step: str, name: str) -> Any:
        """As `value`, with what later steps have made of it through what shares parts with it."""


class Recorded:
    """Outputs of a run's attempts, gathered from its events; false while there are none."""

    def __init__(self, events: Sequence[Event] = ()) -> None:
        self._by_step: dict[str, list[Output]] = {}
        self.take(events)

    def take(self, events: Sequence[Event]) -> None:
        """Takes in the next events. A new attempt begins with nothing shown."""
        for event in events:
            if isinstance(event, StepOutput):
                self._by_step.setdefault(event.step, []).extend(event.items)
            elif self._by_step and isinstance(event, StepStarted):
                self._by_step.pop(event.step, None)

    def __bool__(self) -> bool:
        return bool(self._by_step)

    def put(self, step: str, outputs: Sequence[Output]) -> None:
        """The step shows these."""
        if outputs:
            self._by_step[step] = list(outputs)

    def of(self, step: str) -> tuple[Output, ...]:
        """What the newest attempt of `step` has shown."""
        return tuple(self._by_step.get(step, ()))


class StoredValues:
    """Values of a run as the record has them at one moment."""

    def __init__(self, snapshot: RunSnapshot, load: Callable[[ValueRef], Any]) -> None:
        self._snapshot = snapshot
        self._load = load
        self._together = RecordedTogether(snapshot, load)

    def value(self, step: str, name: str) -> Any:
        """As `ValueSource`."""
        return self._load(self._ref(step, name))

    def _ref(self, step: str, name: str) -> ValueRef:
        ref = next((ref for ref in self._snapshot.steps[step].values if ref.name == name), None)
        if ref is None:
            raise ValueUnavailable(name, f"step {step!r} has not given it.")
        return ref

    def last(self, step: str, name: str) -> Any:
        """As `ValueSource`."""
        by = self._together.recorded_by(step, name)
        if by is None:
            return self.value(step, name)
        try:
            return self._together.value(step, name)
        except ValueUnavailable as error:
            # A picture is that of the moment when it was shown.
            if by == step or self._ref(step, name).shown is not None:
                return self.value(step, name)
            reason = f"step {by!r} may have changed it since, and what it left of it is not to be had: {error.reason}"
            raise ValueUnavailable(name, reason) from error


# The events of a run, and what loads its values.
History = Callable[[], tuple[Sequence[Event], Callable[[ValueRef], Any]]]


class StepView:
    """A step of a run. Values are loaded when they are asked for."""

    def __init__(self, run: Run, snapshot: StepSnapshot) -> None:
        self._run = run
        self._snapshot = snapshot

    @property
    def name(self) -> str:
        """The step's name."""
        return self._snapshot.name

    @property
    def node(self) -> StepNode:
        """The step as the run's flow has it."""
        return self._run.graph.node(self.name)

    @property
    def state(self) -> str:
        """One of the step states, such as `completed`."""
        return self._snapshot.state.value

    @property
    def origin(self) -> str | None:
        """Where a completed step's values came from: ran, resumed, cached, replayed or given."""
        return self._snapshot.origin

    @property
    def reason(self) -> str:
        """Why the step was skipped, cancelled or waits, or that it stopped the run."""
        return self._snapshot.reason

    @property
    def answer(self) -> Any:
        """What a person said when the step was approved or rejected; the body finds it as `szal.context().answer`."""
        return None if self._snapshot.answer is None else json.loads(self._snapshot.answer)

    @property
    def attempts(self) -> list[AttemptSnapshot]:
        """All tries, oldest first."""
        return list(self._snapshot.attempts)

    @property
    def error(self) -> ErrorInfo | None:
        """The error that the newest attempt ended with."""
        return self._snapshot.error

    @property
    def progress(self) -> SimpleNamespace | None:
        """How far the newest attempt has said it is: `done`, `total` and `note`; None if it has not."""
        step = self._snapshot
        return None if step.done is None else SimpleNamespace(done=step.done, total=step.total, note=step.note)

    @property
    def elements(self) -> list[ElementEnd]:
        """Of a mapped step: the elements that have ended, in their order, with `position`, `attempts` and `error`."""
        return [end for _, end in sorted(self._snapshot.elements.items())]

    @property
    def duration_s(self) -> float | None:
        """Seconds that the newest attempt took; None before its end."""
        return self._snapshot.duration_s

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What the newest attempt showed."""
        return self._run.outputs(self.name)

    @property
    def logs(self) -> str:
        """What the newest attempt printed, to stdout and stderr in order."""
        return "".join(output.text for output in self.outputs if output.type == "stream")

    @property
    def refs(self) -> tuple[ValueRef, ...]:
        """What the record says of each value."""
        return self._snapshot.values

    @property
    def values(self) -> SimpleNamespace:
        """The values that the step gave, by name."""
        node = self._run.graph.node(self.name)
        names = [name for name in (*node.values, *node.step.out) if self._run.has(self.name, name)]
        return SimpleNamespace(**{name: self._run.value(self.name, name) for name in names})

    @property
    def value(self) -> Any:
        """What the step is worth: a function's result, a cell's last expression, else its only value, else None."""
        node = self._run.graph.node(self.name)
        name = node.output_name(lambda name: self._run.has(self.name, name))
        return None if name is None else self._run.value(self.name, name)

    def __repr__(self) -> str:
        return f"<step {self.name}: {self.state}>"

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        from szal_nb.api.picture import step_bundle  # late: a picture knows runs, and a run knows only this of it

        return step_bundle(self)


class RunValues:
    """The values of a run by name; of a name given more than once, the last in document order."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __dir__(self) -> list[str]:
        return sorted(self._run.names())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        place = self._run.place(name)
        if place is None:
            raise AttributeError(f"No completed step of run {self._run.id} gives {name!r}.")
        return self._run.last_value(*place)

    __getitem__ = __getattr__


class Run:
    """One execution of a flow, as far as it has got."""

    def __init__(
        self,
        run_id: str,
        graph: FlowGraph,
        snapshot: RunSnapshot,
        *,
        source: ValueSource,
        recorded: Recorded,
        store_path: Path | None = None,
        history: History | None = None,
    ) -> None:
        self._history = history
        self.id = run_id
        self.graph = graph
        self.store_path = store_path
        self._snapshot = snapshot
        self._source = source
        self._recorded = recorded
        # Found once for each number of events.
        self._versions: tuple[int, dict[tuple[str, str], tuple[str, str]]] = (-1, {})

    @property
    def snapshot(self) -> RunSnapshot:
        """The fold of the run's events."""
        return self._snapshot

    @property
    def flow(self) -> str:
        """The flow's name."""
        return self.graph.flow.name

    @property
    def state(self) -> str:
        """One of the run states, such as `completed`."""
        return self.snapshot.state.value

    @property
    def steps(self) -> dict[str, StepView]:
        """All steps in document order."""
        return {name: StepView(self, step) for name, step in self.snapshot.steps.items()}

    @property
    def values(self) -> RunValues:
        """The run's values by name: `run.values.orders`."""
        return RunValues(self)

    def __getitem__(self, step: str) -> StepView:
        try:
            return StepView(self, self.snapshot.steps[step])
        except KeyError:
            raise KeyError(f"no step {step!r}; the steps are {', '.join(self.snapshot.steps)}") from None

    def giver(self, name: str) -> str | None:
        """The last completed step in document order that gave `name`; None if one below it has deleted the name."""
        for node in reversed(self.graph.derived(_nodes_by_name).get(name, ())):
            if self._has_deleted(node, name):
                return None
            if name in node.values and self.has(node.step.name, name):
                return node.step.name
        return None

    def at(self, event: int) -> Run:
        """The run as it was after its first `event` events; a negative number counts from the end.

        Raises RunError for a run without a record, and for a number that it has no event for.
        """
        if self._history is None:
            raise RunError(f"Run {self.id} has no record to look back in.")
        events, load = self._history()
        if not -len(events) <= event <= len(events):
            raise RunError(f"Run {self.id} has {len(events)} events, not {event}.")
        past = events[:event]
        snapshot = fold(past)
        for name in self.snapshot.steps:
            snapshot.steps.setdefault(name, StepSnapshot(name=name))
        return Run(
            self.id,
            self.graph,
            snapshot,
            source=StoredValues(snapshot, load),
            recorded=Recorded(past),
            store_path=self.store_path,
            history=self._history,
        )

    def place(self, name: str) -> tuple[str, str] | None:
        """The step and the name under which to read what `name` holds in the end.

        Mostly the last giver; an object that a later step changed under another name is read there.
        """
        giver = self.giver(name)
        if giver is None:
            return None
        if self._versions[0] != self.snapshot.events:
            given = {step.name: step.values for step in self.snapshot.steps.values() if step.values}
            self._versions = (self.snapshot.events, newest_versions(self.graph, given))
        return self._versions[1].get((giver, name), (giver, name))

    def names(self) -> list[str]:
        """All names that completed steps gave, and none has deleted."""
        return [name for name, giver in self._givers().items() if giver is not None]

    def deleted_names(self) -> list[str]:
        """The names that completed steps have deleted, and none has given again."""
        return [name for name, giver in self._givers().items() if giver is None]

    def imports(self) -> dict[str, str]:
        """The statements by which cells that have completed imported something, by the names that these bind."""
        found: dict[str, str] = {}
        for node in self.graph.nodes:
            step = node.step
            if step.kind is StepKind.CELL and self.snapshot.steps[step.name].state is StepState.COMPLETED:
                found.update((one.name, one.statement) for one in glance_at(step).imports)
        return found

    def _givers(self) -> dict[str, str | None]:
        """As `giver`, of all names."""
        found: dict[str, str | None] = {}
        for node in self.graph.nodes:
            found.update((name, node.step.name) for name in node.values if self.has(node.step.name, name))
            found.update((name, None) for name in node.deletes if self._has_deleted(node, name))
        return found

    def _has_deleted(self, node: StepNode, name: str) -> bool:
        return name in node.deletes and self.snapshot.steps[node.step.name].state is StepState.COMPLETED

    def value(self, step: str, name: str) -> Any:
        """The value that `step` gave under `name`; ValueUnavailable if it was live or is not there."""
        return self._source.value(step, name)

    def last_value(self, step: str, name: str) -> Any:
        """What the value of a `place` is in the end, whoever has changed it since; raises as `value`."""
        return self._source.last(step, name)

    @property
    def recorded(self) -> Recorded:
        """What the run has shown, apart from the run: it does not keep the run's values alive."""
        return self._recorded

    def outputs(self, step: str) -> tuple[Output, ...]:
        """What the newest attempt of `step` showed."""
        return self._recorded.of(step)

    def has(self, step: str, name: str) -> bool:
        """Whether `step` has given `name`."""
        return any(ref.name == name for ref in self.snapshot.steps[step].values)

    def raise_if_failed(self) -> Run:
        """The run itself if it completed; raises RunFailed otherwise."""
        __tracebackhide__ = True
        if self.state == RunState.COMPLETED:
            return self
        failures = tuple(
            (step.name, str(step.error))
            for step in self.snapshot.steps.values()
            if step.state is StepState.FAILED and step.error is not None
        )
        raise RunFailed(self.id, self.state.replace("_", " "), failures, self._way_on())

    def _way_on(self) -> str:
        if self.store_path is None or self.state == RunState.ROLLED_BACK:
            return ""
        if doubted(self.snapshot) is not None:
            return f"When that is mended, begin anew with what is beyond doubt: %szal_run --reuse {self.id}"
        way = f"To go on from here: %szal_resume {self.id}"
        # It runs what the run began with: a step whose code was mended is none of it.
        if any(step.state is StepState.FAILED for step in self.snapshot.steps.values()):
            way += f"\nAfter a change of a step: %szal_run --reuse {self.id}"
        return way

    def __repr__(self) -> str:
        done = sum(step.state is StepState.COMPLETED for step in self.snapshot.steps.values())
        return f"<run {self.id} of {self.flow}: {self.state}, {done} of {len(self.snapshot.steps)} steps completed>"

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        from szal_nb.api.picture import run_bundle  # late: as in StepView

        return run_bundle(self)


def values_of(run: Run) -> Mapping[str, Any]:
    """All values of a run that can be given, by name; the last giver wins."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(run.names()):
        place = run.place(name)
        if place is not None:
            try:
                found[name] = run.last_value(*place)
            except ValueUnavailable:
                continue
    return found


def _nodes_by_name(graph: FlowGraph) -> dict[str, list[StepNode]]:
    """The steps that may give or delete a name, by the name, in document order."""
    found: dict[str, list[StepNode]] = {}
    for node in graph.nodes:
        for name in dict.fromkeys((*node.values, *node.deletes)):
            found.setdefault(name, []).append(node)
    return found
