"""What nobody can do better: bare asyncio loops over a flow, with and without rows in SQLite. Needs only Python."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


async def floor(
    waits: list[list[int]], body: Callable[[], Awaitable[Any]], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of a bare loop: one task a step, begun by the last of its dependencies."""
    open_count = [len(sources) for sources in waits]
    successors: list[list[int]] = [[] for _ in waits]
    for target, sources in enumerate(waits):
        for source in sources:
            successors[source].append(target)
    begun = clock()
    async with asyncio.TaskGroup() as group:

        async def run(i: int) -> None:
            await body()
            for target in successors[i]:
                open_count[target] -= 1
                if not open_count[target]:
                    group.create_task(run(target))

        for i, sources in enumerate(waits):
            if not sources:
                group.create_task(run(i))
    return clock() - begun


async def nothing() -> None:
    """A body that does not wait."""


async def in_a_thread() -> None:
    """A body that does nothing on a thread of asyncio's own pool."""
    await asyncio.to_thread(int)


class RawWriter:
    """The least that makes a row durable off the loop: a queue, a thread, one transaction for all that waits."""

    def __init__(self, path: Path, durability: str) -> None:
        self._path = path
        self._level = "FULL" if durability == "full" else "NORMAL"
        self._queue: queue.SimpleQueue[asyncio.Future[None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._loop = asyncio.get_running_loop()

    async def insert(self) -> None:
        """Waits until one more row is committed."""
        future = self._loop.create_future()
        self._queue.put(future)
        await future

    def close(self) -> None:
        """Ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {self._level}")
        connection.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, data TEXT)")
        is_open = True
        while is_open:
            waiting = [self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get())
            futures = [future for future in waiting if future is not None]
            is_open = len(futures) == len(waiting)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO rows (data) VALUES (?)", [("x" * 100,)] * len(futures))
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, futures)
        connection.close()


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def written(waits: list[list[int]], path: Path, durability: str) -> float:
    """Seconds of a bare loop whose steps each wait for the commit of a row by a writer thread."""
    writer = RawWriter(path, durability)
    try:
        return await floor(waits, writer.insert)
    finally:
        writer.close()
