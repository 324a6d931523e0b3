"""Runs as OpenTelemetry traces: a span for the run, below it one for each attempt, and the metrics of `observe`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from szal_nb.api.observe import RunInfo, measures
from szal_nb.engine.turns import Sink
from szal_nb.model.event import (
    Event,
    RunCreated,
    RunResumed,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepRetrying,
    StepStarted,
    kind_of,
)
from szal_nb.model.state import RunState

_CHANCE = random.Random()  # noqa: S311 no secret
_ATTEMPT_ENDS = (StepCompleted, StepFailed, StepRetrying, StepCancelled)


class OpenTelemetryObserver:
    """Spans and metrics by OpenTelemetry's API (extra `opentelemetry`); the process's own providers by default.

    docs/observing.md has the names. Attributes: `szal.run`, `szal.flow`, `szal.step`, `szal.attempt`, `szal.state`. A
    failed attempt's span has the error; other facts about a run are events of its span.
    """

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        from opentelemetry import metrics, trace  # late: an extra

        self._providers = tracer_provider, meter_provider
        self._trace = trace
        self._meter = metrics.get_meter("szal_nb", meter_provider=meter_provider)
        self._record = measures(self._make)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenTelemetryObserver) and other._providers == self._providers

    def __hash__(self) -> int:
        return hash(self._providers)

    def _make(self, name: str, kind: str) -> Callable[[str, float, dict[str, str]], None]:
        match kind:
            case "gauge":
                add = self._meter.create_up_down_counter(f"szal.{name}").add
            case "duration":
                add = self._meter.create_histogram(f"szal.{name}", unit="s").record
            case _:
                add = self._meter.create_counter(f"szal.{name}").add
        return lambda _, amount, labels: add(amount, labels)

    def watch(self, run: RunInfo) -> Sink:
        """As `Observer`."""
        # Asked for here, because the process may have got its provider since.
        tracer = _with_own_ids(self._trace.get_tracer("szal_nb", tracer_provider=self._providers[0]))
        spans = _Spans(self._trace, tracer, run)
        measure = self._record(run)

        def sink(events: Sequence[Event]) -> None:
            for event in events:
                spans.take(event)
            measure(events)

        return sink


def _with_own_ids(tracer: Any) -> Any:
    """The tracer, whose ids come from a generator of its own: the SDK draws them from the process's `random`.

    That would be a change of what steps draw from, made while they run.
    """
    ids = getattr(tracer, "id_generator", None)
    if type(ids).__name__ != "RandomIdGenerator":
        return tracer

    class OwnIds(type(ids)):  # type: ignore[misc]
        def generate_span_id(self) -> int:
            return _CHANCE.getrandbits(64) or self.generate_span_id()

        def generate_trace_id(self) -> int:
            return _CHANCE.getrandbits(128) or self.generate_trace_id()

    tracer.id_generator = OwnIds()
    return tracer


class _Spans:
    """The open spans of one run."""

    def __init__(self, trace: Any, tracer: Any, run: RunInfo) -> None:
        self._trace = trace
        self._tracer = tracer
        self._run = run
        self._whole: Any = None
        self._attempts: dict[str, Any] = {}

    def take(self, event: Event) -> None:
        at = int(event.at * 1e9)
        about = {"szal.run": self._run.id, "szal.flow": self._run.flow}
        if isinstance(event, RunCreated | RunResumed) and self._whole is None:
            self._whole = self._tracer.start_span(f"run {self._run.flow}", attributes=about, start_time=at)
        if self._whole is None:
            return
        if isinstance(event, StepStarted):
            inside = self._trace.set_span_in_context(self._whole)
            attributes = {**about, "szal.step": event.step, "szal.attempt": event.attempt}
            span = self._tracer.start_span(f"step {event.step}", context=inside, attributes=attributes, start_time=at)
            self._attempts[event.step] = span
        elif isinstance(event, _ATTEMPT_ENDS) and event.step in self._attempts:
            self._end(
                self._attempts.pop(event.step), kind_of(event).partition(".")[2], getattr(event, "error", None), at
            )
        elif not isinstance(event, StepOutput):
            reason, step = getattr(event, "reason", ""), getattr(event, "step", "")
            self._whole.add_event(kind_of(event), {"szal.step": step, "reason": reason}, timestamp=at)
        state = kind_of(event).partition(".")[2]
        if kind_of(event).startswith("run.") and state in tuple(RunState) and RunState(state).is_final:
            error = None if state == RunState.COMPLETED else getattr(event, "reason", "") or state
            self._end(self._whole, state, error, at)
            self._whole = None

    def _end(self, span: Any, state: str, error: Any, at: int) -> None:
        span.set_attribute("szal.state", state)
        if error is not None:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, str(error)))
        span.end(end_time=at)
