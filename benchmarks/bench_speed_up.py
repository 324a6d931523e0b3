"""How much sooner ordinary notebooks end: run from the top, and as flows on two workers, with bodies that sleep.

Run: python -m benchmarks.bench_speed_up. The notebooks are those of the precision tests; a step sleeps in proportion
to its length. `bound` is what two workers could gain at best: the larger of half the work and the longest path.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from szal_nb.api.launch import Surround, start_run
from szal_nb.model.graph import FlowGraph
from tests.analysis.cells import notebook_graph, read_cells

NOTEBOOKS = sorted((Path(__file__).parent.parent / "tests/analysis/notebooks").glob("*.cells"))
WORKERS = 2
# Seconds that a line of a step sleeps.
LINE_S = 0.02


class SleepingBody:
    """Stands for a step's body: takes its time, gives nothing."""

    is_async = False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def call(self, _: dict[str, Any]) -> dict[str, Any]:
        """Sleeps."""
        time.sleep(self.seconds)
        return {}


def seconds_of(graph: FlowGraph) -> dict[str, float]:
    """How long each step sleeps."""
    return {node.step.name: LINE_S * max(1, len(node.step.source.strip().splitlines())) for node in graph.nodes}


def only_edges(graph: FlowGraph) -> FlowGraph:
    """The graph with its edges, but nothing to read: bodies that sleep give nothing."""
    nodes = tuple(replace(node, bindings=(), gives=(), changes=(), needed=()) for node in graph.nodes)
    flow = replace(graph.flow, max_parallel=WORKERS)
    return FlowGraph(flow=flow, nodes=nodes, edges=graph.edges)


def wall_s(graph: FlowGraph, seconds: dict[str, float]) -> float:
    """How long the run takes."""

    async def main() -> None:
        await start_run(graph, {name: SleepingBody(s) for name, s in seconds.items()}, {}, Surround())

    start = time.perf_counter()
    asyncio.run(main())
    return time.perf_counter() - start


def longest_path_s(graph: FlowGraph, seconds: dict[str, float]) -> float:
    """The longest chain of steps that wait for each other."""
    ends: dict[str, float] = {}
    for node in graph.nodes:
        name = node.step.name
        ends[name] = seconds[name] + max((ends[source] for source in graph.dependencies[name]), default=0.0)
    return max(ends.values())


def main() -> None:
    """Prints the table."""
    print(f"{'notebook':24} {'steps':>5} {'top s':>7} {'flow s':>7} {'gain':>6} {'bound':>6}")
    total_top = total_flow = 0.0
    for path in NOTEBOOKS:
        graph = only_edges(notebook_graph(read_cells(path)))
        seconds = seconds_of(graph)
        top, flow = sum(seconds.values()), wall_s(graph, seconds)
        bound = top / max(top / WORKERS, longest_path_s(graph, seconds))
        total_top, total_flow = total_top + top, total_flow + flow
        print(f"{path.stem:24} {len(graph.nodes):5} {top:7.3f} {flow:7.3f} {top / flow:6.2f} {bound:6.2f}")
    print(f"{'all':24} {'':5} {total_top:7.3f} {total_flow:7.3f} {total_top / total_flow:6.2f}")


if __name__ == "__main__":
    main()
