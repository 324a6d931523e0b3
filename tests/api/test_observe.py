"""Observers: logs, Prometheus and OpenTelemetry see every fact once, under public names."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from pathlib import Path

import pytest

import szal_nb as szal
from szal_nb.api.observe import LABELS


@pytest.fixture
def flow():
    flow = szal.Flow("sales")
    calls = []

    @flow.step(tags="io", retries=1, delay=0)
    def load():
        calls.append(1)
        if len(calls) == 1:
            raise OSError("once")
        return 1

    @flow.step(timeout=0.05)
    async def slow(load):
        await asyncio.sleep(60)

    @flow.step
    def last(slow):
        return slow

    return flow


@pytest.fixture
def watched():
    ends = []
    yield lambda observer: ends.append(szal.observe(observer))
    for end in ends:
        end()


def test_metrics_count_outcomes_by_step_state_and_tag(flow, watched):
    prometheus = pytest.importorskip("prometheus_client")
    registry = prometheus.CollectorRegistry()
    watched(szal.PrometheusObserver(registry))
    szal.run(flow, store=None)

    def value(name, **labels):
        return registry.get_sample_value(name, {"flow": "sales", **labels})

    assert value("szal_runs_started_total") == 1
    assert value("szal_runs_ended_total", state="failed") == 1
    assert value("szal_run_duration_seconds_count", state="failed") == 1
    assert value("szal_steps_started_total", step="load") == 2
    assert value("szal_steps_ended_total", step="load", state="completed") == 1
    assert value("szal_steps_ended_total", step="last", state="skipped") == 1
    assert value("szal_step_duration_seconds_count", step="load", state="completed") == 1
    assert value("szal_step_retries_total", step="load", error="OSError") == 1
    assert value("szal_step_timeouts_total", step="slow") == 1
    assert value("szal_steps_by_tag_total", tag="io", state="completed") == 1
    assert (value("szal_steps_waiting"), value("szal_steps_running")) == (0, 0)


def test_a_log_has_a_line_for_each_fact_with_run_flow_step_and_attempt(flow, watched, caplog):
    caplog.set_level(logging.INFO, "szal_nb.runs")
    watched(szal.LogObserver())
    run = szal.run(flow, store=None)

    facts = [record.szal for record in caplog.records]
    assert [fact["event"] for fact in facts if fact["step"] == "load"] == [
        "step.started",
        "step.retrying",
        "step.started",
        "step.completed",
    ]
    assert {(fact["run"], fact["flow"]) for fact in facts} == {(run.id, "sales")}
    assert caplog.records[3].levelname == "WARNING"
    assert caplog.records[3].message == f"run {run.id} of sales: step.retrying · load · attempt 1 · OSError: once"


def test_attempts_are_spans_below_the_span_of_their_run(flow, watched):
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watched(szal.OpenTelemetryObserver(tracer_provider=provider))
    run = szal.run(flow, store=None)

    spans = exporter.get_finished_spans()
    assert [(span.name, span.attributes["szal.state"]) for span in spans] == [
        ("step load", "retrying"),
        ("step load", "completed"),
        ("step slow", "failed"),
        ("run sales", "failed"),
    ]
    whole = spans[-1]
    assert all(span.parent.span_id == whole.context.span_id for span in spans[:-1])
    assert {span.attributes["szal.run"] for span in spans} == {run.id}
    assert [span.status.is_ok for span in spans] == [False, True, False, False]
    assert "step.skipped" in [event.name for event in whole.events]


def test_the_ids_of_spans_are_not_drawn_from_the_numbers_of_the_steps(flow, watched):
    """Steps side by side were told to have drawn them."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    watched(szal.OpenTelemetryObserver(tracer_provider=sdk.TracerProvider()))
    before = random.getstate()

    szal.run(flow, store=None)

    assert random.getstate() == before


def test_an_observer_that_fails_does_not_stop_the_run(watched, caplog):
    class Broken:
        def watch(self, run):
            def sink(events):
                raise RuntimeError("no log")

            return sink

    watched(Broken())
    flow = szal.Flow("f")
    flow.step(name="a")(lambda: 1)

    assert szal.run(flow, store=None).state == "completed"
    assert "the run itself goes on" in caplog.text


def test_a_resumed_run_is_measured_from_where_it_was(flow, watched, tmp_path):
    prometheus = pytest.importorskip("prometheus_client")
    run = szal.run(flow, store=tmp_path / "runs.db")
    registry = prometheus.CollectorRegistry()
    watched(szal.PrometheusObserver(registry))
    szal.resume(flow, run.id, store=tmp_path / "runs.db")

    def value(name, **labels):
        return registry.get_sample_value(name, {"flow": "sales", **labels})

    assert value("szal_steps_started_total", step="load") is None
    assert value("szal_steps_started_total", step="slow") == 1
    assert (value("szal_steps_waiting"), value("szal_steps_running")) == (0, 0)


def test_an_observer_that_cannot_even_begin_does_not_stop_the_run(watched, caplog):
    class Broken:
        def watch(self, run):
            raise RuntimeError("no log")

    watched(Broken())
    flow = szal.Flow("f")
    flow.step(name="a")(lambda: 1)

    assert szal.run(flow, store=None).state == "completed"
    assert "itself goes on" in caplog.text


def test_a_cell_that_is_executed_again_shows_nothing_twice(watched, caplog):
    prometheus = pytest.importorskip("prometheus_client")
    registry = prometheus.CollectorRegistry()
    caplog.set_level(logging.INFO, "szal_nb.runs")
    flow = szal.Flow("f")
    flow.step(name="a")(lambda: 1)
    for _ in range(2):
        watched(szal.PrometheusObserver(registry))
        watched(szal.LogObserver())
        watched(szal.OpenTelemetryObserver())

    szal.run(flow, store=None)

    assert registry.get_sample_value("szal_runs_started_total", {"flow": "f"}) == 1
    assert sum("step.completed" in record.getMessage() for record in caplog.records) == 1
    trace = pytest.importorskip("opentelemetry.trace")
    other = szal.OpenTelemetryObserver(trace.NoOpTracerProvider())
    assert szal.OpenTelemetryObserver() == szal.OpenTelemetryObserver() != other


def test_the_page_names_every_metric_with_its_labels():
    page = (Path(__file__).parents[2] / "docs" / "observing.md").read_text()
    named = dict(re.findall(r"^\| `(szal_\w+)` \| ([\w, ]+) \|", page, re.MULTILINE))
    endings = {"run_duration": "_seconds", "step_duration": "_seconds", "steps_waiting": "", "steps_running": ""}

    assert named == {f"szal_{name}{endings.get(name, '_total')}": ", ".join(labels) for name, labels in LABELS.items()}
