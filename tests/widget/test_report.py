from __future__ import annotations

import base64
import hashlib
import json
import re

from szal_nb.model.event import RunCreated, StepOutput, StepStarted
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.step import Step
from szal_nb.model.value import Output
from szal_nb.widget.report import render_report
from tests.odd_strings import ODD
from tests.widget.flows import OUTPUTS, RUN_ID, SALES_EVENTS, T0, sales, warehouse, warehouse_events


def data_of(report: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="szal-data">(.*?)</script>', report, re.DOTALL)[1])


def test_the_report_holds_graph_history_sources_logs_and_values():
    said = StepOutput(at=T0 + 3, step="load", attempt=2, items=OUTPUTS)

    data = data_of(render_report(sales(), (*SALES_EVENTS[:5], said, *SALES_EVENTS[5:]), run_id=RUN_ID))

    assert data["run"]["state"] == "failed"
    assert len(data["frames"]) == len(SALES_EVENTS)
    assert data["graph"]["nodes"][0]["source"].startswith("%%szal_step load")
    assert data["logs"]["load"][0] == {
        "at": T0 + 3,
        "attempt": 2,
        "output": {"type": "stream", "name": "stdout", "text": "reading 12 files\n"},
    }
    assert data["details"]["by_region"]["error"]["line"] == 2
    assert data["details"]["load"]["values"][0]["shape"] == [10_000, 4]


def test_only_the_script_that_the_policy_names_may_run():
    report = render_report(sales(), SALES_EVENTS, run_id=RUN_ID)

    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', report)[1]
    script = report[report.index("<script>") + len("<script>") : report.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}';")
    assert "</script" not in script


def test_texts_of_a_run_cannot_leave_their_element():
    hostile = "</script><script>alert(1)</script><!--\u2028"
    step = Step(name="a", raw=hostile)
    graph = FlowGraph(flow=FlowDefinition(name=hostile, steps=(step,)), nodes=(StepNode(step=step),))
    said = Output(type="display_data", data={"text/html": hostile})
    events = [RunCreated(at=T0, flow=hostile, steps=("a",)), *SALES_EVENTS[1:2]]
    events.append(SALES_EVENTS[2].__class__(at=T0, step="a", attempt=1))
    events.append(StepOutput(at=T0, step="a", attempt=1, items=(said,)))

    report = render_report(graph, events, run_id="r")

    assert report.count("</script>") == 2
    assert data_of(report)["graph"]["nodes"][0]["source"] == hostile


def test_odd_texts_cannot_leave_their_element_either():
    steps = tuple(Step(name=f"s{number}", raw=text) for number, text in enumerate(ODD))
    graph = FlowGraph(flow=FlowDefinition(name="odd", steps=steps), nodes=tuple(StepNode(step=step) for step in steps))
    events = [RunCreated(at=T0, flow="odd", steps=tuple(step.name for step in steps))]
    for step, text in zip(steps, ODD, strict=True):
        said = (Output(type="stream", name="stdout", text=text), Output(type="display_data", data={"text/html": text}))
        events += [
            StepStarted(at=T0, step=step.name, attempt=1),
            StepOutput(at=T0, step=step.name, attempt=1, items=said),
        ]

    report = render_report(graph, events, run_id="r")

    assert (report.count("<script"), report.count("</script>")) == (2, 2)
    plain = [text.encode("utf-8", "replace").decode() for text in ODD]
    assert [node["source"].encode("utf-8", "replace").decode() for node in data_of(report)["graph"]["nodes"]] == plain


def test_a_thousand_steps_stay_below_five_megabytes():
    graph = warehouse(1000)

    report = render_report(graph, warehouse_events(graph, share=1), run_id="r")

    assert len(report.encode()) < 5_000_000


def test_the_same_run_gives_the_same_file():
    assert render_report(sales(), SALES_EVENTS, run_id=RUN_ID) == render_report(sales(), SALES_EVENTS, run_id=RUN_ID)
