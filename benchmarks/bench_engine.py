"""What the engine costs a step with a no-op body, beside bare asyncio loops over the same graph in the same process.

Run: python -m benchmarks.bench_engine [--check]. Floors: for coroutines a TaskGroup with one task a step and counters
of open dependencies; for functions the same with `asyncio.to_thread`. A run of ours has its fold, its handle and a
limit that all steps share, and no record; it is timed from its start, its making stands beside it. Where nothing
waits, times are CPU seconds of this process, so that what else the machine does matters less. Each figure is the best
of several rounds, in which all take turns. `make bench-peers` has the figures of others.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from benchmarks.floors import floor, in_a_thread, nothing
from benchmarks.shapes import SHAPES, dependencies_of
from szal_nb.analysis.cycles import cycle_in
from szal_nb.analysis.graph import build_graph
from szal_nb.api.flow import Flow
from szal_nb.api.launch import Surround, start_run
from szal_nb.engine.wiring import Wiring
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.step import Executor, Step

ROUNDS = 9
ASYNC_RATIO = 2.0
SYNC_RATIO = 1.0
SLEEP_RATIO = 1.1
BUILD_RATIO = 3.0
PEAK_RATIO = 2.5
# What a run that copies nothing may need besides the array, in MB.
COPIED_MB = 5.0


def graph_of(shape: str, count: int, *, executor: Executor = Executor.THREAD) -> FlowGraph:
    """A flow of `count` steps."""
    return graph_from(shape, dependencies_of(shape, count), executor=executor)


def graph_from(shape: str, waits: list[list[int]], *, executor: Executor = Executor.THREAD) -> FlowGraph:
    """A flow with a step for each list of those that it waits for."""
    count = len(waits)
    nodes = tuple(StepNode(step=Step(name=f"s{i}", executor=executor)) for i in range(count))
    edges = tuple(
        Edge(source=f"s{source}", target=f"s{target}", kind=EdgeKind.ORDER)
        for target, sources in enumerate(waits)
        for source in sources
    )
    steps = tuple(node.step for node in nodes)
    return FlowGraph(
        flow=FlowDefinition(name=shape, ordered=False, max_parallel=count, steps=steps),
        nodes=nodes,
        edges=edges,
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


async def engine(graph: FlowGraph, body: Nothing, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of a run of ours."""
    handle = start_run(graph, dict.fromkeys((node.step.name for node in graph.nodes), body), {}, Surround())
    begun = clock()
    await handle.wait()
    seconds = clock() - begun
    if handle.state != "completed":
        raise RuntimeError(f"the run {handle.state}")
    return seconds


def best_us(count: int, *makes: Callable[[], Any]) -> list[float]:
    """Microseconds a step of each, the best of several rounds, taken in turns so that all see the same machine."""
    best = [float("inf")] * len(makes)
    for _ in range(ROUNDS):
        for i, make in enumerate(makes):
            best[i] = min(best[i], asyncio.run(make()) / count * 1e6)
    return best


async def making(graph: FlowGraph) -> float:
    """Seconds to make a run of ours."""
    bodies = dict.fromkeys((node.step.name for node in graph.nodes), Nothing(is_async=True))
    begun = time.process_time()
    handle = start_run(graph, bodies, {}, Surround())
    seconds = time.process_time() - begun
    await handle.wait()
    return seconds


class Missed(list[str]):
    """What misses its target."""

    def look(self, what: str, figure: float, most: float) -> str:
        """The figure beside its target, as text."""
        if figure > most:
            self.append(f"{what}: {figure:.2f}, at most {most:g}")
        return f"{figure:>7.2f}"


def compare_runs(missed: Missed) -> None:
    """Prints what steps cost that do nothing."""
    print("engine cost per step, µs (store=None)")
    print(
        f"{'shape':<8}{'steps':>7}{'floor':>9}{'async':>9}{'ratio':>7}{'making':>9}"
        f"{'to_thread':>11}{'sync':>9}{'ratio':>7}{'main':>9}"
    )
    for count in (1_000, 10_000):
        for shape in SHAPES:
            waits = dependencies_of(shape, count)
            graph, here = graph_of(shape, count), graph_of(shape, count, executor=Executor.MAIN)
            bare, own, made = best_us(
                count,
                lambda: floor(waits, nothing, time.process_time),  # noqa: B023 called at once
                lambda: engine(graph, Nothing(is_async=True)),  # noqa: B023 called at once
                lambda: making(graph),  # noqa: B023 called at once
            )
            ratio = missed.look(f"async {shape} {count}", own / bare, ASYNC_RATIO)
            line = f"{shape:<8}{count:>7}{bare:>9.2f}{own:>9.2f}{ratio}{made:>9.2f}"
            if count == 1_000:
                hop, sync, main = best_us(
                    count,
                    lambda: floor(waits, in_a_thread),  # noqa: B023 called at once
                    lambda: engine(graph, Nothing(is_async=False), time.perf_counter),  # noqa: B023 called at once
                    lambda: engine(here, Nothing(is_async=False)),  # noqa: B023 called at once
                )
                ratio = missed.look(f"sync {shape}", sync / hop, SYNC_RATIO)
                line += f"{hop:>11.2f}{sync:>9.2f}{ratio}{main:>9.2f}"
            print(line)


def compare_sleep(missed: Missed) -> None:
    """Prints how long 100 steps that sleep at the same time take."""

    class Sleep(Nothing):
        async def _await(self, inputs: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 as a body is called
            await asyncio.sleep(0.1)
            return {}

    nodes = tuple(StepNode(step=Step(name=f"s{i}")) for i in range(100))
    graph = FlowGraph(flow=FlowDefinition(name="sleep", ordered=False, steps=tuple(n.step for n in nodes)), nodes=nodes)
    took = min(asyncio.run(engine(graph, Sleep(is_async=True), time.perf_counter)) for _ in range(3))
    ratio = missed.look("sleep", took / 0.1, SLEEP_RATIO)
    print(f"100 steps that sleep 100 ms: {took * 1000:.1f} ms, ratio{ratio}")


def kahn(waits: list[list[int]]) -> list[Step]:
    """What building and checking a flow costs at least: a step for each, and an order of their numbers."""
    steps = [Step(name=f"s{i}") for i in range(len(waits))]
    successors: list[list[int]] = [[] for _ in waits]
    for target, sources in enumerate(waits):
        for source in sources:
            successors[source].append(target)
    open_count = [len(sources) for sources in waits]
    order = [i for i, count in enumerate(open_count) if not count]
    for i in order:
        for target in successors[i]:
            open_count[target] -= 1
            if not open_count[target]:
                order.append(target)
    if len(order) < len(waits):
        raise RuntimeError("a cycle")
    return steps


def checked(waits: list[list[int]]) -> FlowGraph:
    """A flow made of its parts, looked through for cycles."""
    graph = graph_from("dag", waits)
    if cycle_in([node.step.name for node in graph.nodes], graph.edges):
        raise RuntimeError("a cycle")
    return graph


def analysed(waits: list[list[int]]) -> FlowGraph:
    """The same from the steps alone, each of which names those that it waits for."""
    steps = (Step(name=f"s{i}", after=tuple(f"s{source}" for source in sources)) for i, sources in enumerate(waits))
    return build_graph(FlowDefinition(name="dag", ordered=False, steps=tuple(steps)))


def compare_building(missed: Missed) -> None:
    """Prints what it costs to build a flow and to check it."""
    print(f"{'build and check, ms':<21}{'floor':>9}{'parts':>9}{'ratio':>7}{'analysed':>10}{'ratio':>7}{'wiring':>9}")
    for count in (10_000, 100_000):
        waits, graph = dependencies_of("dag", count), graph_of("dag", count)
        least, own, whole, wired = best_ms(
            lambda: kahn(waits),  # noqa: B023 called at once
            lambda: checked(waits),  # noqa: B023 called at once
            lambda: analysed(waits),  # noqa: B023 called at once
            lambda: Wiring(graph),  # noqa: B023 called at once
        )
        ratio = missed.look(f"build {count}", own / least, BUILD_RATIO)
        print(f"{count:<21}{least:>9.1f}{own:>9.1f}{ratio}{whole:>10.1f}{whole / least:>7.2f}{wired:>9.1f}")


def best_ms(*calls: Callable[[], object]) -> list[float]:
    """Milliseconds of each, the best of three rounds, taken in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(3):
        for i, call in enumerate(calls):
            begun = time.process_time()
            call()
            best[i] = min(best[i], (time.process_time() - begun) * 1000)
    return best


def compare_peaks(missed: Missed) -> None:
    """Prints the most memory that a process has needed for 10,000 steps, each in a process of its own."""
    command = (sys.executable, "-m", "benchmarks.peak")
    peaks = {
        what: float(subprocess.run([*command, what], capture_output=True, text=True, check=True).stdout)
        for what in ("floor", "imports", "engine")
    }
    ratio = missed.look("peak memory", peaks["engine"] / peaks["floor"], PEAK_RATIO)
    print(
        f"peak memory of 10,000 steps: floor {peaks['floor']:.0f} MB, ours {peaks['engine']:.0f} MB, ratio{ratio}"
        f" (szal_nb imported: {peaks['imports']:.0f} MB)"
    )


def compare_array(missed: Missed) -> None:
    """Prints what it costs to hand 100 MB through ten steps, and how much memory is taken besides."""
    import numpy as np  # late: `benchmarks.peak` measures a process without it

    array = np.zeros(12_500_000)
    flow = Flow("array")
    for i in range(10):
        source = f"a{i - 1}" if i else "array"
        scope: dict[str, Any] = {}
        exec(f"def a{i}({source}): return {source}", scope)  # noqa: S102 ten functions that differ by their names
        flow.step(scope[f"a{i}"])

    async def through() -> float:
        handle = flow.start({"array": array}, store=None)
        begun = time.perf_counter()
        await handle
        seconds = time.perf_counter() - begun
        if handle.values["a9"] is not array:
            raise RuntimeError("the array was copied")
        return seconds

    took = min(asyncio.run(through()) for _ in range(3))
    tracemalloc.start()
    asyncio.run(through())
    besides = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    missed.look("MB besides the array", besides, COPIED_MB)
    print(f"100 MB array through ten steps: {took * 1000:.1f} ms, the same object, {besides:.1f} MB besides")


def main() -> int:
    """Prints the tables; 1 if `--check` is asked for and a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    is_checked = parser.parse_args().check
    missed = Missed()
    for compare in (compare_runs, compare_sleep, compare_building, compare_peaks, compare_array):
        compare(missed)
    for what in missed:
        print(f"missed: {what}")
    return 1 if is_checked and missed else 0


if __name__ == "__main__":
    sys.exit(main())
