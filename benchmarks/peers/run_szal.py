"""szal_nb as its users call it: a `Flow` of functions, started and awaited. A run's own preparation is in its time."""

from __future__ import annotations

from functools import partial

from benchmarks.peers.timing import Figures, Work, main, timed_on_a_loop
from szal_nb.api.flow import Flow
from szal_nb.store.runs import RunStore


def flow_of(work: Work, *, is_async: bool, executor: str = "thread") -> Flow:
    """The flow, with its edges found and checked."""
    module = work.functions(is_async=is_async)
    flow = Flow("bench")
    for i in range(work.count):
        flow.step(executor=executor)(vars(module)[f"s{i}"])
    flow.graph()
    return flow


async def run(flow: Flow, store: RunStore | None) -> None:
    """One run to its end; raises if it failed."""
    await flow.start(store=store)


async def coroutines(work: Work) -> Figures:
    """No record; bodies are coroutines, on the loop."""
    return await timed_on_a_loop(lambda: flow_of(work, is_async=True), lambda flow: run(flow, None))


async def functions(work: Work) -> Figures:
    """No record; bodies are functions, on the loop's own thread."""
    build = partial(flow_of, work, is_async=False, executor="main")
    return await timed_on_a_loop(build, lambda flow: run(flow, None))


async def threads(work: Work) -> Figures:
    """No record; bodies are functions, on worker threads: the default for functions."""
    return await timed_on_a_loop(lambda: flow_of(work, is_async=False), lambda flow: run(flow, None))


async def recorded(work: Work, durability: str) -> Figures:
    """Every event and value on record before anything depends on it."""
    with RunStore.open(work.folder / "runs.db", durability=durability) as store:
        return await timed_on_a_loop(lambda: flow_of(work, is_async=True), lambda flow: run(flow, store))


if __name__ == "__main__":
    main(
        {
            "coroutines": coroutines,
            "functions": functions,
            "threads": threads,
            # Each commit is synced to the disk: the default.
            "full": partial(recorded, durability="full"),
            # Commits are written, but not synced.
            "fast": partial(recorded, durability="fast"),
        }
    )
