from __future__ import annotations

from dataclasses import replace

import msgspec

from szal_nb.model.event import StepCompleted
from szal_nb.model.state import fold
from szal_nb.widget.comparison import ToldRun, comparison_view
from tests.widget.flows import SALES_EVENTS, sales, table


def run(run_id="one", events=SALES_EVENTS, graph=None):
    return ToldRun(run_id, graph or sales(), fold(events))


def differing(view):
    return {step["name"]: step["differs"] for step in view["steps"] if step["differs"]}


def test_a_run_does_not_differ_from_itself():
    view = comparison_view(run("one"), run("two"))

    assert view["runs"] == ["one", "two"]
    assert differing(view) == {}
    assert all(value["same"] for value in view["inputs"])


def test_a_step_differs_in_its_state_and_its_error():
    view = comparison_view(run(), run(events=SALES_EVENTS[:10]))

    assert differing(view) == {
        "by_region": ["state", "error"],
        "by_month": ["state", "values"],
        "plot": ["state"],
        "summary": ["state"],
    }
    assert view["steps"][2]["sides"][0]["error"] == "KeyError: 'Region'"


def test_values_are_the_same_if_their_contents_are_whatever_they_look_like():
    other = msgspec.structs.replace(table("orders", 10_000, 1_250_000), hash="cd")
    events = [
        msgspec.structs.replace(event, values=(other,))
        if isinstance(event, StepCompleted) and event.step == "load"
        else event
        for event in SALES_EVENTS
    ]

    view = comparison_view(run(), run(events=events))

    assert differing(view) == {"load": ["values"]}
    assert [value["same"] for value in view["steps"][0]["values"]] == [False]


def test_a_live_value_is_never_called_the_same():
    live = msgspec.structs.replace(table("orders", 10_000, 1_250_000), hash=None, live="a connection")
    events = [
        msgspec.structs.replace(event, values=(live,))
        if isinstance(event, StepCompleted) and event.step == "load"
        else event
        for event in SALES_EVENTS
    ]

    assert differing(comparison_view(run(events=events), run(events=events))) == {"load": ["values"]}


def test_a_step_of_one_run_only_and_a_step_with_other_code_are_told():
    graph = sales()
    changed = replace(graph.nodes[0].step, source="other = 1")
    nodes = (msgspec.structs.replace(graph.nodes[0], step=changed), *graph.nodes[1:5])
    smaller = replace(graph, nodes=nodes, edges=(), flow=replace(graph.flow, steps=tuple(n.step for n in nodes)))

    view = comparison_view(run(), run(graph=smaller))

    assert differing(view) == {"load": ["code"], "summary": ["steps"]}
    assert view["steps"][5]["sides"][1] is None
