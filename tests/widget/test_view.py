from __future__ import annotations

import json

import pytest

from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.errors import HiddenStateUsed
from szal_nb.model.event import (
    CancelRequested,
    RunCreated,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.state import StepSnapshot, StepState, fold
from szal_nb.model.step import Executor, Step
from szal_nb.model.value import ErrorInfo, ValueRef
from szal_nb.notebook.flags import flags_of, parse_step_line
from szal_nb.widget.details import details_view
from szal_nb.widget.view import graph_view, is_over, run_view, step_facts, view_state
from tests.widget.flows import RUN_ID, T0, sales, sales_run, warehouse, warehouse_events


def chain(*edges: tuple[str, str, EdgeKind]) -> FlowGraph:
    names = sorted({name for source, target, _kind in edges for name in (source, target)})
    steps = tuple(Step(name=name) for name in names)
    return FlowGraph(
        flow=FlowDefinition(name="f", steps=steps),
        nodes=tuple(StepNode(step=step) for step in steps),
        edges=tuple(Edge(source=source, target=target, kind=kind) for source, target, kind in edges),
    )


def drawn(graph: FlowGraph) -> list[tuple[int, int]]:
    return [(edge["source"], edge["target"]) for edge in graph_view(graph)["edges"] if not edge.get("implied")]


def test_the_view_is_json_and_needs_nothing_but_json_to_be_drawn():
    view = view_state(sales(), sales_run(), run_id=RUN_ID, now=T0)

    assert json.loads(json.dumps(view)) == view


def test_a_flow_that_never_ran_is_idle_and_all_its_steps_are_pending():
    run = view_state(sales(), None)["run"]

    assert run == {"run": None, "state": "idle", "states": "pppppp", "counts": {"pending": 6}, "now": None, "steps": {}}


def test_the_states_of_a_run_are_one_character_a_step_in_document_order():
    assert view_state(sales(), sales_run(10))["run"]["states"] == "ccrrpp"
    assert view_state(sales(), sales_run())["run"]["states"] == "ccfccs"


def test_the_facts_of_a_step_say_what_it_did_and_leave_out_what_says_nothing():
    steps = view_state(sales(), sales_run())["run"]["steps"]

    assert steps["0"] == {
        "attempts": 2,
        "started": T0 + 2.2,
        "ended": T0 + 3.4,
        "values": [{"name": "orders", "type": "DataFrame", "size": 1_250_000, "shape": [10_000, 4], "needed": True}],
    }
    assert steps["2"] == {"started": T0 + 3.7, "ended": T0 + 4.1, "error": "KeyError: 'Region'"}
    assert steps["5"] == {"reason": "by_region failed"}


def test_a_run_whose_process_died_is_shown_as_crashed_unless_it_had_ended():
    assert view_state(sales(), sales_run(10), is_crashed=True)["run"]["state"] == "crashed"
    assert view_state(sales(), sales_run(), is_crashed=True)["run"]["state"] == "failed"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (CancelRequested(at=T0, reason="enough"), {"cancelling": True, "reason": "enough"}),
        (RunInterrupted(at=T0, reason="kernel shut down"), {"interrupted": True, "reason": "kernel shut down"}),
        (RunPaused(at=T0, reason="lunch"), {"state": "paused", "reason": "lunch"}),
    ],
)
def test_what_happens_to_the_run_as_a_whole_is_said(event, said):
    run = view_state(sales(), fold([RunCreated(at=T0, flow="sales"), RunStarted(at=T0), event]))["run"]

    assert run | said == run


@pytest.mark.parametrize(("kind", "said"), [(HiddenStateUsed, {"doubted": "a"}), (ValueError, {})])
def test_a_run_that_failed_because_its_answer_is_in_doubt_says_so(kind, said):
    names = tuple(f"{one.__module__}.{one.__qualname__}" for one in kind.__mro__)
    error = ErrorInfo(type=kind.__name__, names=names)
    run = fold(
        [
            RunCreated(at=T0, flow="f", steps=("a",)),
            RunStarted(at=T0),
            StepStarted(at=T0, step="a", attempt=1),
            StepFailed(at=T0, step="a", attempt=1, error=error),
            RunFailed(at=T0, reason="a failed"),
        ]
    )

    assert {key: one for key, one in run_view(run, "f").items() if key == "doubted"} == said


def test_a_step_whose_value_is_live_says_that_a_resume_runs_it_again():
    live = ValueRef(name="db", type="Connection", live="an open connection", needed=True)
    run = fold(
        [
            RunCreated(at=T0, flow="f", steps=("a",)),
            RunStarted(at=T0),
            StepStarted(at=T0, step="a", attempt=1),
            StepCompleted(at=T0, step="a", attempt=1, values=(live,)),
        ]
    )

    facts = step_facts(run.steps["a"])

    assert facts["rebuilds"] is True
    assert facts["values"] == [
        {"name": "db", "type": "Connection", "size": 0, "live": "an open connection", "needed": True}
    ]


def test_of_many_values_those_that_are_read_come_first_and_the_rest_is_counted():
    values = tuple(ValueRef(name=f"v{number}", needed=number == 11) for number in range(12))
    run = fold(
        [
            RunCreated(at=T0, flow="f", steps=("a",)),
            RunStarted(at=T0),
            StepStarted(at=T0, step="a", attempt=1),
            StepCompleted(at=T0, step="a", attempt=1, values=values),
        ]
    )

    facts = step_facts(run.steps["a"])

    assert [value["name"] for value in facts["values"]] == ["v11", "v0", "v1", "v2", "v3", "v4", "v5", "v6"]
    assert facts["more_values"] == 4


def test_an_order_that_follows_from_other_edges_is_listed_and_not_drawn():
    data, doubt = EdgeKind.DATA, EdgeKind.DOUBT

    assert drawn(chain(("a", "b", data), ("b", "c", data), ("a", "c", doubt))) == [(0, 1), (1, 2)]
    assert drawn(chain(("a", "b", doubt), ("b", "c", doubt), ("a", "c", doubt))) == [(0, 1), (1, 2)]
    assert drawn(chain(("a", "b", data), ("b", "c", data), ("a", "c", data))) == [(0, 1), (1, 2), (0, 2)]
    assert drawn(chain(("a", "b", data), ("a", "b", doubt))) == [(0, 1), (0, 1)]


def test_the_graph_gives_each_edge_its_names_reason_line_and_remedy():
    edges = graph_view(sales())["edges"]

    assert edges[0] == {
        "source": 0,
        "target": 1,
        "kind": "data",
        "names": ["orders"],
        "rule": "reads",
        "reason": "clean reads orders, which load gives",
        "line": 2,
    }
    assert edges[-2] == {
        "source": 4,
        "target": 5,
        "kind": "doubt",
        "rule": "call",
        "reason": "plot calls f(months), whose effect is not known",
        "remedy": "--pure months",
    }


def test_the_flags_of_a_step_are_told_in_the_spelling_of_its_magic():
    nodes = graph_view(sales())["nodes"]

    assert nodes[0]["flags"] == ["--retries 3"]
    assert nodes[5]["flags"] == ["--timeout 60s"]
    assert nodes[5]["tags"] == ["report"]
    assert "flags" not in nodes[1]


# One line for each flag; what is not among the flags of the picture has a place of its own in it.
FLAGS = {
    "--retries": "2", "--delay": "3s", "--backoff": "linear", "--max-delay": "9s", "--jitter": "0.5",
    "--retry-on": "ValueError", "--no-retry-on": "KeyError", "--timeout": "30s", "--timeout-total": "60s",
    "--when": "xs", "--on-condition-error": "skip", "--trigger": "all_done", "--map": "xs", "--map-mode": "product",
    "--map-errors": "2", "--max-parallel": "3", "--on-error": "continue", "--approve": "Sure?", "--cache": "",
    "--once": "", "--strict": "", "--executor": "main", "--parent": "first", "--tag": "io", "--priority": "5",
    "--requires": "network", "--after": "first", "--needs": "xs=other.xs", "--out": "y", "--reads": "more",
    "--changes": "xs", "--pure": "xs",
}  # fmt: skip


@pytest.mark.parametrize("flag", [flag for flag in flags_of("%%szal_step") if flag not in ("-x", "--execute")])
def test_every_flag_of_a_step_is_seen_in_the_picture(flag):
    source = "xs.sort()" if flag == "--pure" else "y = len(xs)\nz = 2"

    def picture(line):
        above = (Step(name="first", source="xs = [1]"), Step(name="other", source="xs = [2]"))
        steps = (*above, parse_step_line(line).step(source=source))
        mode = FlowMode.HIERARCHICAL if flag == "--parent" else FlowMode.DAG
        around = Surroundings({"more": NotebookName(kind="data")})
        return graph_view(build_graph(FlowDefinition(name="f", steps=steps, mode=mode), around))

    seen = picture(f"one {flag} {FLAGS[flag]}")

    assert seen != picture("one")
    flags = seen["nodes"][-1].get("flags", ["none"])
    assert f"{flag} {FLAGS[flag]}".strip() in flags or flag in (
        "--approve", "--parent", "--tag", "--after", "--needs", "--reads", "--changes", "--pure"
    )  # fmt: skip


def test_where_bodies_run_is_seen_also_where_the_flow_says_it():
    steps = (Step(name="a"), Step(name="b", executor=Executor.THREAD))
    flow = FlowDefinition(name="f", steps=steps, executor=Executor.PROCESS)

    a, b = graph_view(build_graph(flow))["nodes"]
    assert (a["flags"], b.get("flags")) == (["--executor process"], None)


def test_sources_past_a_million_characters_are_left_for_the_details():
    steps = tuple(Step(name=f"s{number}", raw="#" * 20_000) for number in range(60))
    flow = FlowDefinition(name="f", steps=steps)
    graph = FlowGraph(flow=flow, nodes=tuple(StepNode(step=step) for step in steps))

    sources = [node["source"] for node in graph_view(graph)["nodes"]]

    assert [source is not None for source in sources] == [True] * 50 + [False] * 10
    assert details_view(graph, None, "s59")["source"] == "#" * 20_000


def test_an_error_of_a_megabyte_is_cut_to_a_line():
    run = fold(
        [
            RunCreated(at=T0, flow="f", steps=("a",)),
            RunStarted(at=T0),
            StepFailed(at=T0, step="a", attempt=0, error=ErrorInfo(type="E", message="x" * 10**6 + "\nsecond")),
        ]
    )

    assert step_facts(run.steps["a"])["error"] == "E: " + "x" * 296 + "…"


def test_two_thousand_running_steps_fit_in_a_small_message():
    graph = warehouse(2000)
    run = view_state(graph, fold(warehouse_events(graph)))["run"]
    run.pop("steps")

    assert len(json.dumps(run)) < 2600


@pytest.mark.parametrize("state", ["idle", "crashed", "completed", "failed", "cancelled", "rolled_back"])
def test_a_run_is_over_when_nothing_more_happens_by_itself(state):
    assert is_over(state)


@pytest.mark.parametrize("state", ["created", "running", "paused", "rolling_back"])
def test_a_run_is_not_over_while_it_goes_on(state):
    assert not is_over(state)


def test_what_is_recorded_about_the_process_is_not_shown_as_a_value():
    values = (ValueRef(name="<random>"), ValueRef(name="x", needed=True), ValueRef(name="<shared>"))
    step = StepSnapshot(name="a", state=StepState.COMPLETED, values=values)

    assert [value["name"] for value in step_facts(step)["values"]] == ["x"]
    assert "more_values" not in step_facts(step)
