"""What the engine costs a step with a no-op body, beside bare asyncio loops over the same graph in the same process.

Run: python -m benchmarks.bench_engine. Floors: for coroutines a TaskGroup with one task a step and counters of open
dependencies; for functions the same with `asyncio.to_thread`. Each figure is the best of several rounds, in µs a step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from benchmarks.floors import floor, in_a_thread, nothing
from benchmarks.shapes import SHAPES, dependencies_of
from szal_nb.engine.machine import RunMachine
from szal_nb.engine.runner import Runner
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.step import Executor, Step

ROUNDS = 9
THREADS = 32


def graph_of(shape: str, count: int, *, executor: Executor = Executor.THREAD) -> FlowGraph:
    """A flow of `count` steps."""
    nodes = tuple(StepNode(step=Step(name=f"s{i}", executor=executor)) for i in range(count))
    edges = tuple(
        Edge(source=f"s{source}", target=f"s{target}", kind=EdgeKind.ORDER)
        for target, sources in enumerate(dependencies_of(shape, count))
        for source in sources
    )
    return FlowGraph(
        flow=FlowDefinition(name=shape, ordered=False, steps=tuple(n.step for n in nodes)), nodes=nodes, edges=edges
    )


class Nothing:
    """A body that does nothing, as a coroutine or as a function."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async
        self.call: Callable[[dict[str, Any]], Any] = self._await if is_async else self._return

    def _return(self, inputs: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 as a body is called
        return {}

    async def _await(self, inputs: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 as a body is called
        return {}


async def engine(graph: FlowGraph, body: Nothing) -> float:
    """Seconds of a run of ours, with everything on but a record."""
    threaded = [] if body.is_async else [(THREADS, range(len(graph.nodes)))]
    runner = Runner(RunMachine(graph, limits=threaded), [body] * len(graph.nodes), run_id="bench", inputs={})
    begun = time.perf_counter()
    await runner.run()
    seconds = time.perf_counter() - begun
    if runner.snapshot.state != "completed":
        raise RuntimeError(f"the run {runner.snapshot.state}")
    return seconds


def best_us(count: int, *makes: Callable[[], Any]) -> list[float]:
    """Microseconds a step of each, the best of several rounds, taken in turns so that all see the same machine."""
    best = [float("inf")] * len(makes)
    for _ in range(ROUNDS):
        for i, make in enumerate(makes):
            best[i] = min(best[i], asyncio.run(make()) / count * 1e6)
    return best


def main() -> None:
    """Prints the table."""
    print("engine cost per step, µs (store=None)")
    print(f"{'shape':<8}{'steps':>7}{'floor':>9}{'async':>9}{'ratio':>7}{'to_thread':>11}{'sync':>9}{'ratio':>7}")
    for count in (1_000, 10_000):
        for shape in SHAPES:
            waits = dependencies_of(shape, count)
            graph = graph_of(shape, count)
            bare, own = best_us(
                count,
                lambda: floor(waits, nothing),  # noqa: B023 called at once
                lambda: engine(graph, Nothing(is_async=True)),  # noqa: B023 called at once
            )
            line = f"{shape:<8}{count:>7}{bare:>9.2f}{own:>9.2f}{own / bare:>7.2f}"
            if count == 1_000:
                hop, sync = best_us(
                    count,
                    lambda: floor(waits, in_a_thread),  # noqa: B023 called at once
                    lambda: engine(graph, Nothing(is_async=False)),  # noqa: B023 called at once
                )
                line += f"{hop:>11.2f}{sync:>9.2f}{sync / hop:>7.2f}"
            print(line)


if __name__ == "__main__":
    main()
