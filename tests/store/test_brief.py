"""What is default is not written with a flow, so defaults are part of the form of a store."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec

from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Binding, Edge, EdgeKind, FlowGraph, StepNode, Undo
from szal_nb.model.step import Backoff, Compensation, Executor, RetryPolicy, Step, Trigger
from szal_nb.store.snapshots import content_id, flow_row, graph_from

STORE = Path("runs.db")
RETRY = '{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]}'
# All that is left out: as it would be written in full.
PLAIN_STEP = (
    '{"name":"a","kind":"cell","source":"","raw":"","cell_id":null,"retry":' + RETRY + ',"timeout_s":null,'
    '"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip",'
    '"map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,'
    '"strict":false,"executor":null,"parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],'
    '"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null}'
)
PLAIN_NODE = (
    '{"step":'
    + PLAIN_STEP
    + ',"bindings":[],"gives":[],"changes":[],"doubtful":[],"deletes":[],"needed":[],"imports":[],'
    '"definitions":[],"states":[],"is_async":false,"is_main_thread":false,"is_cacheable":true,"notes":[],'
    '"captures":[],"parts":[],"undo":null}'
)
PLAIN_EDGE = (
    '{"source":"a","target":"b","kind":"data","names":[],"rule":"","reason":"","line":null,"remedy":"",'
    '"is_blocking":true,"also":[]}'
)
PLAIN_BINDING = '{"name":"x","step":null,"source":"","line":null,"is_optional":false}'


def graph_of(*nodes: StepNode, edges: tuple[Edge, ...] = ()) -> FlowGraph:
    flow = FlowDefinition(name="f", steps=tuple(node.step for node in nodes))
    return FlowGraph(flow=flow, nodes=nodes, edges=edges)


def rich() -> FlowGraph:
    undo = Compensation(source="undo()", retry=RetryPolicy(retries=2))
    step = Step(
        name="load", source="x = 1", retry=RetryPolicy(retries=3, backoff=Backoff.LINEAR), trigger=Trigger.ANY,
        executor=Executor.MAIN, tags=("a", "b"), needs=(("x", "y.z"),), rollback=undo, map_errors="collect",
    )  # fmt: skip
    node = StepNode(
        step=step, bindings=(Binding(name="é", step="load", is_optional=True), Binding(name="n")), gives=("x",),
        is_cacheable=False, parts=(("x", "1"),), undo=Undo(reads=("x",)),
    )  # fmt: skip
    edge = Edge(source="a", target="load", kind=EdgeKind.DOUBT, rule="R", line=3, is_blocking=False)
    return graph_of(StepNode(step=Step(name="a")), node, edges=(edge,))


def test_what_is_left_out_is_what_it_was_when_stores_were_written():
    """If this fails, a default has changed: flows that are stored already would be read as other ones."""
    assert msgspec.json.decode(PLAIN_NODE, type=StepNode) == StepNode(step=Step(name="a"))
    assert msgspec.json.encode(StepNode(step=Step(name="a"))).decode() == PLAIN_NODE
    assert msgspec.json.decode(PLAIN_EDGE, type=Edge) == Edge(source="a", target="b", kind=EdgeKind.DATA)
    assert msgspec.json.decode(PLAIN_BINDING, type=Binding) == Binding(name="x")
    for kind, text in ((Edge, PLAIN_EDGE), (Binding, PLAIN_BINDING)):
        assert [field.name for field in msgspec.structs.fields(kind)] == list(msgspec.json.decode(text))


def test_of_a_step_that_says_nothing_only_its_name_is_written():
    assert (
        '"nodes":[{"step":{"name":"a"}},{"step":{"name":"b"}}]'
        in flow_row(
            graph_of(StepNode(step=Step(name="a")), StepNode(step=Step(name="b", retry=RetryPolicy(delay_s=1))))
        ).graph
    )


def test_a_flow_comes_back_as_it_was_and_gives_the_same_text_again():
    row = flow_row(rich())
    back = graph_from(row.graph, row.id, STORE)

    assert back == rich()
    assert flow_row(back) == row


def test_a_text_that_leaves_nothing_out_is_the_same_flow():
    graph = rich()
    full = msgspec.json.encode(
        {"flow": graph.flow, "nodes": graph.nodes, "edges": [dict_of(e) for e in graph.edges], "inputs": []}
    ).decode()

    assert graph_from(full, content_id(full), STORE) == graph


def dict_of(edge: Edge) -> dict[str, object]:
    return {name: getattr(edge, name) for name in edge.__struct_fields__}


def other_than(default):
    """Another value of the same type; None if this test knows none."""
    others = {"str": "other", "int": 7, "tuple": ("other",)}
    return (not default) if isinstance(default, bool) else others.get(type(default).__name__)


def written(node):
    return flow_row(graph_of(node)).graph.partition('"nodes"')[2]


def test_every_field_of_a_step_is_written_when_it_is_not_default():
    step = Step(name="a")
    for field in dataclasses.fields(step):
        default = getattr(step, field.name)
        other = other_than(default)
        if other is not None:
            # Past the checks of the class: not every text is sensible everywhere.
            object.__setattr__(step, field.name, other)
            assert f'"{field.name}":' in written(StepNode(step=step))
            object.__setattr__(step, field.name, default)


def test_every_field_of_a_node_is_written_when_it_is_not_default():
    node = StepNode(step=Step(name="a"))
    for field in msgspec.structs.fields(node):
        other = other_than(getattr(node, field.name))
        if other is not None:
            assert f'"{field.name}":' in written(msgspec.structs.replace(node, **{field.name: other}))
