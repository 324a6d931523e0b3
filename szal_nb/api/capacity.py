"""What this process can bear at once, whatever a flow says: bodies on threads, and processes beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from szal_nb.engine.body import Body
from szal_nb.model.graph import FlowGraph
from szal_nb.model.step import Executor

# How many bodies that do not await may be on threads at once.
MAX_THREADS = 32


def capacity(graph: FlowGraph, bodies: Mapping[str, Body]) -> list[tuple[int, list[int]]]:
    """Limits, each with the steps that share it, by index; none where there are too few steps to reach it."""
    found = []
    elsewhere = graph.derived(_off_the_loop)
    for executor, size in ((Executor.THREAD, MAX_THREADS), (Executor.PROCESS, os.cpu_count() or 1)):
        members = [i for i, name in elsewhere[executor] if not bodies[name].is_async]
        if len(members) > size:
            found.append((size, members))
    return found


def _off_the_loop(graph: FlowGraph) -> dict[Executor, list[tuple[int, str]]]:
    """The steps that ask for each executor but the loop's own thread: index and name."""
    found: dict[Executor, list[tuple[int, str]]] = {Executor.THREAD: [], Executor.PROCESS: [], Executor.MAIN: []}
    for i, node in enumerate(graph.nodes):
        where = graph.flow.executor_of(node.step)
        if where is not Executor.MAIN:
            found[where].append((i, node.step.name))
    return found
