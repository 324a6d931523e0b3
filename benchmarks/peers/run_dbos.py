"""DBOS: a workflow that calls steps, each of whose results is a row in its system database; it has no run without one.

Steps that run at once are called level by level, because a workflow that is recovered must call its steps in the
order of the first time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from dbos import DBOS, DBOSConfig

from benchmarks.peers.timing import Figures, Work, main, timed, timed_on_a_loop


@contextmanager
def launched(work: Work) -> Iterator[None]:
    """DBOS with a system database in SQLite, as it sets that up by itself; only its log is turned down."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{work.folder / 'dbos.db'}",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


@DBOS.step()
def step(i: int, *inputs: int) -> int:  # noqa: ARG001 a step takes what it waits for
    """Does nothing."""
    return i


@DBOS.step()
async def async_step(i: int, *inputs: int) -> int:  # noqa: ARG001 a step takes what it waits for
    """Does nothing."""
    return i


def in_order(work: Work) -> Figures:
    """A synchronous workflow calls its steps one after the other: the quickest for steps that take no time."""

    @DBOS.workflow(name="in_order")
    def flow() -> int:
        given: dict[int, int] = {}
        for level in work.levels:
            for i in level:
                given[i] = step(i, *(given[source] for source in work.waits[i]))
        return len(given)

    with launched(work):
        return timed(lambda: flow, lambda made: made())


async def at_once(work: Work) -> Figures:
    """A workflow of coroutines, the steps of a level at once."""

    @DBOS.workflow(name="at_once")
    async def flow() -> int:
        given: dict[int, int] = {}
        for level in work.levels:
            calls = [async_step(i, *(given[source] for source in work.waits[i])) for i in level]
            given.update(zip(level, await asyncio.gather(*calls), strict=True))
        return len(given)

    with launched(work):
        return await timed_on_a_loop(lambda: flow, lambda made: made())


if __name__ == "__main__":
    main({"in order": in_order, "at once": at_once})
