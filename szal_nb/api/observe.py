"""Shows runs to logging, Prometheus and OpenTelemetry: `szal.observe(szal.PrometheusObserver())` before the first run.

An observer is asked once for each run what its events should be shown to. Each event comes exactly once, after it is
committed, and an observer that fails does not harm the run. Names of metrics are public: docs/observing.md has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from szal_nb.engine.turns import Sink
from szal_nb.model.event import (
    Event,
    RunCreated,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepEvent,
    StepFailed,
    StepOutput,
    StepProgress,
    StepRetrying,
    StepRollbackFailed,
    StepRolledBack,
    StepSkipped,
    StepStarted,
    kind_of,
)
from szal_nb.model.graph import FlowGraph
from szal_nb.model.state import StepState, fold

log = logging.getLogger("szal_nb.runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What an observer is told of a run before its events come. `past`: those that came before, of a resumed run."""

    id: str
    flow: str
    version: int
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    past: Sequence[Event] = ()


class Observer(Protocol):
    """Shows runs to somebody."""

    def watch(self, run: RunInfo) -> Sink:
        """What the events of this run are shown to."""
        ...


_OBSERVERS: list[Observer] = []


def observe(observer: Observer) -> Callable[[], None]:
    """Shows every run that this process starts from now on to `observer`; the result ends that.

    One that is equal to an earlier one takes its place: a cell that is executed again shows nothing twice.
    """
    _OBSERVERS[:] = [*(other for other in _OBSERVERS if other != observer), observer]
    return lambda: _OBSERVERS.remove(observer) if observer in _OBSERVERS else None


def sinks_for(run_id: str, graph: FlowGraph, past: Sequence[Event] = ()) -> list[Sink]:
    """What the observers of this process want to see of a run."""
    if not _OBSERVERS:
        return []
    tags = {node.step.name: node.step.tags for node in graph.nodes if node.step.tags}
    info = RunInfo(id=run_id, flow=graph.flow.name, version=graph.flow.version, tags=tags, past=past)
    return [sink for observer in _OBSERVERS if (sink := _sink_of(observer, info)) is not None]


def _sink_of(observer: Observer, run: RunInfo) -> Sink | None:
    try:
        return observer.watch(run)
    except Exception:
        log.exception("The observer %r failed; run %s itself goes on.", observer, run.id)
        return None


@dataclass(frozen=True)
class LogObserver:
    """One line a fact in Python's logging, with run, flow, step and attempt as fields of the record."""

    logger: logging.Logger = log
    level: int = logging.INFO

    def watch(self, run: RunInfo) -> Sink:
        """As `Observer`."""

        def sink(events: Sequence[Event]) -> None:
            for event in events:
                if not isinstance(event, StepOutput | StepProgress):
                    self._write(run, event)

        return sink

    def _write(self, run: RunInfo, event: Event) -> None:
        step, attempt = getattr(event, "step", None), getattr(event, "attempt", None)
        error, reason = getattr(event, "error", None), getattr(event, "reason", "")
        level = logging.WARNING if error is not None else self.level
        words = [kind_of(event), *([step] if step else []), *([f"attempt {attempt}"] if attempt else [])]
        words += [str(text) for text in (error, reason) if text]
        fields = {"run": run.id, "flow": run.flow, "step": step, "attempt": attempt, "event": kind_of(event)}
        self.logger.log(level, "run %s of %s: %s", run.id, run.flow, " · ".join(words), extra={"szal": fields})


Measure = tuple[str, float, dict[str, str]]

_WAITING = (StepState.PENDING, StepState.WAITING, StepState.RETRYING)


class _Facts:
    """What events mean as measures, the same for every kind of metrics."""

    def __init__(self, run: RunInfo) -> None:
        self._snapshot = fold(run.past)
        self._run = run

    def take(self, event: Event) -> list[Measure]:
        """Measures of one event: name, amount, labels. Gauges get their change."""
        snapshot, flow = self._snapshot, self._run.flow
        step = snapshot.steps.get(event.step) if isinstance(event, StepEvent) else None
        before = None if step is None else step.state
        snapshot.apply(event)
        found = self._of(event, flow)
        if isinstance(event, RunCreated | RunResumed):
            fresh = event.steps if isinstance(event, RunCreated) else event.reset
            found.append(("steps_waiting", len(fresh), {"flow": flow}))
        elif step is not None and step.state is not before:
            waiting = (step.state in _WAITING) - (before in _WAITING)
            running = (step.state is StepState.RUNNING) - (before is StepState.RUNNING)
            found += [
                (name, change, {"flow": flow})
                for name, change in (("steps_waiting", waiting), ("steps_running", running))
                if change
            ]
        return found

    def _of(self, event: Event, flow: str) -> list[Measure]:
        snapshot = self._snapshot
        match event:
            case RunStarted() | RunResumed():
                return [("runs_started", 1, {"flow": flow})]
            case StepStarted():
                return [("steps_started", 1, {"flow": flow, "step": event.step})]
            case StepRetrying():
                labels = {"flow": flow, "step": event.step}
                return [("step_retries", 1, {**labels, "error": event.error.type}), *self._timeout(event.error, labels)]
            case StepCompleted() | StepFailed() | StepSkipped() | StepCancelled():
                return self._ended(event, flow)
            case StepRolledBack() | StepRollbackFailed():
                state = "completed" if isinstance(event, StepRolledBack) else "failed"
                return [("rollbacks", 1, {"flow": flow, "step": event.step, "state": state})]
            case _ if snapshot.state.is_final:
                labels = {"flow": flow, "state": snapshot.state.value}
                length = (snapshot.ended_at or 0.0) - (snapshot.started_at or snapshot.created_at or 0.0)
                return [("runs_ended", 1, labels), ("run_duration", length, labels)]
        return []

    def _ended(self, event: StepEvent, flow: str) -> list[Measure]:
        step = self._snapshot.steps[event.step]
        labels = {"flow": flow, "step": event.step}
        ended = {**labels, "state": step.state.value}
        found: list[Measure] = [("steps_ended", 1, ended)]
        if step.duration_s is not None:
            found.append(("step_duration", step.duration_s, ended))
        tags = self._run.tags.get(event.step, ())
        found += [("steps_by_tag", 1, {"flow": flow, "tag": tag, "state": step.state.value}) for tag in tags]
        return [*found, *self._timeout(step.error, labels)] if isinstance(event, StepFailed) else found

    @staticmethod
    def _timeout(error: Any, labels: dict[str, str]) -> list[Measure]:
        return [("step_timeouts", 1, labels)] if error is not None and error.type == "StepTimeout" else []


LABELS = {
    "runs_started": ("flow",),
    "runs_ended": ("flow", "state"),
    "run_duration": ("flow", "state"),
    "steps_started": ("flow", "step"),
    "steps_ended": ("flow", "step", "state"),
    "step_duration": ("flow", "step", "state"),
    "step_retries": ("flow", "step", "error"),
    "step_timeouts": ("flow", "step"),
    "steps_by_tag": ("flow", "tag", "state"),
    "rollbacks": ("flow", "step", "state"),
    "steps_waiting": ("flow",),
    "steps_running": ("flow",),
}
_GAUGES = ("steps_waiting", "steps_running")
_DURATIONS = ("run_duration", "step_duration")


def measures(make: Callable[[str, str], Callable[[str, float, dict[str, str]], None]]) -> Callable[[RunInfo], Sink]:
    """Sinks that hand each measure to what `make` gave for its name and kind (counter, gauge or duration)."""
    kinds = {name: "gauge" if name in _GAUGES else "duration" if name in _DURATIONS else "counter" for name in LABELS}
    record = {name: make(name, kind) for name, kind in kinds.items()}

    def watch(run: RunInfo) -> Sink:
        facts = _Facts(run)

        def sink(events: Sequence[Event]) -> None:
            for event in events:
                for name, amount, labels in facts.take(event):
                    record[name](name, amount, labels)

        return sink

    return watch


# What was made of a registry's metrics: it takes each name once.
_PROMETHEUS: WeakKeyDictionary[Any, Callable[[RunInfo], Sink]] = WeakKeyDictionary()


class PrometheusObserver:
    """Metrics in a registry of prometheus_client (extra `prometheus`); the process's own by default.

    docs/observing.md has their names. Two observers of one registry are equal.
    """

    def __init__(self, registry: Any = None) -> None:
        import prometheus_client  # late: an extra

        self._client = prometheus_client
        self._registry = prometheus_client.REGISTRY if registry is None else registry
        if self._registry not in _PROMETHEUS:
            _PROMETHEUS[self._registry] = measures(self._make)
        self.watch = _PROMETHEUS[self._registry]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrometheusObserver) and other._registry is self._registry

    def __hash__(self) -> int:
        return hash(self._registry)

    def _make(self, name: str, kind: str) -> Callable[[str, float, dict[str, str]], None]:
        client, labels = self._client, LABELS[name]
        text = f"{name.replace('_', ' ').capitalize()} of szal_nb"
        unit = "_seconds" if kind == "duration" else ""
        types: dict[str, Any] = {"gauge": client.Gauge, "duration": client.Histogram, "counter": client.Counter}
        metric = types[kind](f"szal_{name}{unit}", text, labels, registry=self._registry)

        def record(_: str, amount: float, values: dict[str, str]) -> None:
            child = metric.labels(**values)
            (child.observe if kind == "duration" else child.inc)(amount)

        return record
