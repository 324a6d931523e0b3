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
    steps = graph.derived(_by_executor)
    for executor, size in ((Executor.THREAD, MAX_THREADS), (Executor.PROCESS, os.cpu_count() or 1)):
        members = [i for i, name in steps[executor] if not bodies[name].is_async]
        if len(members) > size:
            found.append((size, members))
    return found


def _by_executor(graph: FlowGraph) -> dict[Executor, list[tuple[int, str]]]:
    """The steps of each executor: index and name."""
    found: dict[Executor, list[tuple[int, str]]] = {executor: [] for executor in Executor}
    for i, node in enumerate(graph.nodes):
        found[graph.flow.executor_of(node.step)].append((i, node.step.name))
    return found
