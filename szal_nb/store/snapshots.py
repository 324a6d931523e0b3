"""What a run keeps a copy of: its flow with the graph, and the whole notebook, each stored once by its hash."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import msgspec
import xxhash

from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, FlowGraph, StepNode
from szal_nb.store.brief import brief
from szal_nb.store.failure import StoreDamaged
from szal_nb.store.times import iso


class FlowRow(msgspec.Struct, frozen=True):
    """A row of `flows`."""

    id: str
    name: str
    version: int
    mode: str
    graph: str


class _GraphForm(msgspec.Struct, frozen=True):
    """What a text of `flow_row` is read as. Those of earlier versions write out what is default, too.

    `order` are the places in `nodes` of the flow's steps, which are not written twice; None: `flow` has them.
    """

    flow: FlowDefinition
    nodes: tuple[StepNode, ...]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    order: tuple[int, ...] | None = None


def flow_row(graph: FlowGraph) -> FlowRow:
    """The graph as it is stored."""
    flow, order = graph.flow, None
    places = {id(node.step): i for i, node in enumerate(graph.nodes)}
    if all(id(step) in places for step in flow.steps):
        order = tuple(places[id(step)] for step in flow.steps)
        flow = dataclasses.replace(flow, steps=())
    form = {"flow": flow, "nodes": brief(graph.nodes), "edges": graph.edges, "inputs": graph.inputs}
    text = msgspec.json.encode(form if order is None else {**form, "order": order}).decode()
    return FlowRow(content_id(text), flow.name, flow.version, flow.mode.value, text)


def content_id(text: str) -> str:
    """The id of a text by its content."""
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))


def graph_from(text: str, flow_id: str, path: Path) -> FlowGraph:
    """The graph that `flow_row` wrote; `StoreDamaged` if the text is not what it was."""
    if content_id(text) != flow_id:
        raise StoreDamaged(path, f"the flow {flow_id} does not match its hash")
    form = msgspec.json.decode(text, type=_GraphForm)
    flow = form.flow
    if form.order is not None:
        flow = dataclasses.replace(flow, steps=tuple(form.nodes[place].step for place in form.order))
    return FlowGraph(flow=flow, nodes=form.nodes, edges=form.edges, inputs=form.inputs)


def insert_flow(connection: sqlite3.Connection, flow: FlowRow, at: float) -> None:
    """Stores the flow if it is not there yet."""
    connection.execute(
        "INSERT OR IGNORE INTO flows (id, name, version, mode, graph, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        (flow.id, flow.name, flow.version, flow.mode, flow.graph, iso(at)),
    )


def insert_notebook(connection: sqlite3.Connection, content: str) -> str:
    """Stores the notebook if it is not there yet; gives its hash."""
    # No UTF-8 text holds a lone surrogate.
    content = content.encode("utf-8", "backslashreplace").decode()
    notebook_id = content_id(content)
    connection.execute("INSERT OR IGNORE INTO notebooks (id, content) VALUES (?, ?)", (notebook_id, content))
    return notebook_id
