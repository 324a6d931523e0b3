"""LangGraph's functional interface: an entrypoint that calls tasks; with a checkpointer their results are kept.

A graph of nodes runs in supersteps, each of which waits for all of the one before; tasks are the closer match. They
are called level by level, because an entrypoint that is resumed must call its tasks in the order of the first time.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task

from benchmarks.peers.timing import Figures, Work, main, timed_on_a_loop

_threads = itertools.count()


@task
async def step(i: int, *inputs: int) -> int:  # noqa: ARG001 a step takes what it waits for
    """Does nothing."""
    return i


def build(work: Work, saver: AsyncSqliteSaver | None) -> Any:
    """The entrypoint."""

    @entrypoint(checkpointer=saver)
    async def flow(count: int) -> int:
        given: dict[int, int] = {}
        for level in work.levels:
            calls = [step(i, *(given[source] for source in work.waits[i])) for i in level]
            given.update(zip(level, await asyncio.gather(*calls), strict=True))
        return count - len(given)

    return flow


async def run(flow: Any, work: Work) -> None:
    """One run, as a thread of its own. Results are written while the flow goes on, which is the default."""
    missing = await flow.ainvoke(work.count, {"configurable": {"thread_id": str(next(_threads))}})
    if missing:
        raise RuntimeError(f"{missing} steps were not run")


async def coroutines(work: Work) -> Figures:
    """No checkpointer: nothing is kept."""
    return await timed_on_a_loop(lambda: build(work, None), lambda flow: run(flow, work))


async def full(work: Work) -> Figures:
    """Its SQLite checkpointer, in WAL mode with `synchronous=FULL`: what it sets by itself."""
    async with AsyncSqliteSaver.from_conn_string(str(work.folder / "checkpoints.db")) as saver:
        await saver.setup()
        return await timed_on_a_loop(lambda: build(work, saver), lambda flow: run(flow, work))


if __name__ == "__main__":
    main({"coroutines": coroutines, "full": full})
