"""Hamilton: functions of a module, wired by the names of their parameters. It keeps no record of a run."""

from __future__ import annotations

import sys
from typing import Any

from hamilton import async_driver, base, driver, telemetry

from benchmarks.peers.timing import Figures, Work, main, timed, timed_on_a_loop


def asked_of(work: Work) -> list[str]:
    """What the driver is asked for: with the steps that nobody waits for, all others are run too."""
    return [f"s{i}" for i in work.sinks]


def functions(work: Work) -> Figures:
    """The synchronous driver calls functions in place, one after the other; results as a dict, not as a table."""
    # It walks from the end to the beginning by recursion: a long chain needs more than Python's default.
    sys.setrecursionlimit(20 * work.count + 1_000)
    module = work.functions(is_async=False)

    def build() -> driver.Driver:
        return driver.Builder().with_modules(module).with_adapter(base.DictResult()).build()

    return timed(build, lambda made: made.execute(asked_of(work)))


async def coroutines(work: Work) -> Figures:
    """The asynchronous driver makes a task for each coroutine."""
    sys.setrecursionlimit(20 * work.count + 1_000)
    module = work.functions(is_async=True)

    async def build() -> Any:
        return await async_driver.Builder().with_modules(module).build()

    return await timed_on_a_loop(build, lambda made: made.execute(asked_of(work)))


if __name__ == "__main__":
    telemetry.disable_telemetry()
    main({"functions": functions, "coroutines": coroutines})
