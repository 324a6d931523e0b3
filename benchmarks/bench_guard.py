"""What the guard costs: looks at values of usual kinds, and a 100 MB array that ten steps read.

Run: python -m benchmarks.bench_guard. A look at 100 MB must take at most 15 ms; a run of ten readers needs two looks,
one when the value is given and one after its last reader. Each figure is the best of several rounds, in ms.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from szal_nb.api.launch import Surround, start_run
from szal_nb.engine.body import CellBody, compile_cell
from szal_nb.engine.digest import digest
from szal_nb.model.flow import FlowDefinition, Guard
from szal_nb.model.graph import Binding, Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.step import Step

ROUNDS = 7
READERS = 10
BYTES = 100_000_000


def best_ms(work: Callable[[], object]) -> float:
    """The shortest of several rounds."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1e3)
    return min(found)


def graph(guard: Guard) -> FlowGraph:
    """One step that gives an array, and those that read it side by side."""
    sources = ["array = make()"] + ["array[0]"] * READERS
    steps = [Step(name=f"s{i}", source=source) for i, source in enumerate(sources)]
    nodes = [StepNode(step=steps[0], gives=("array",))]
    nodes += [StepNode(step=step, bindings=(Binding(name="array", step="s0", source="array"),)) for step in steps[1:]]
    edges = [Edge(source="s0", target=step.name, kind=EdgeKind.DATA, names=("array",)) for step in steps[1:]]
    return FlowGraph(
        flow=FlowDefinition(name="f", steps=tuple(steps), guard=guard), nodes=tuple(nodes), edges=tuple(edges)
    )


def run_ms(guard: Guard, array: Any) -> float:
    """A run without a store."""
    flow = graph(guard)
    bodies = {
        node.step.name: CellBody(node, compile_cell(node.step.source, node.step.name), {}, {"make": lambda: array})
        for node in flow.nodes
    }

    async def main() -> None:
        await start_run(flow, bodies, {}, Surround())

    return best_ms(lambda: asyncio.run(main()))


def main() -> None:
    """Prints the figures; AssertionError if a look takes too long."""
    array = np.random.default_rng(1).random(BYTES // 8)
    values = {
        "array of 100 MB": array,
        "frame of 50 MB, 6 columns": pd.DataFrame(dict.fromkeys("abcdef", array[:1000000])),
        "frame of 1 M strings": pd.DataFrame({"text": [str(i) for i in range(1_000_000)]}),
        "list of 100,000 floats": array[:100_000].tolist(),
        "dict of 10,000 lists": {i: [i] for i in range(10_000)},
    }
    looks = {title: best_ms(lambda value=value: digest(value)) for title, value in values.items()}
    for title, ms in looks.items():
        print(f"{title:28} {ms:8.2f} ms a look")
    off, full = run_ms(Guard.OFF, array), run_ms(Guard.FULL, array)
    print(
        f"{READERS} readers of 100 MB: {off:.1f} ms unguarded, {full:.1f} ms guarded, {full - off:.1f} ms for two looks"
    )
    assert looks["array of 100 MB"] <= 15


if __name__ == "__main__":
    main()
