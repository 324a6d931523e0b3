from __future__ import annotations

import asyncio
import time

import pytest

import szal_nb as szal
from szal_nb.engine import holding
from szal_nb.engine.context import CURRENT


def hold_until_named():
    """Holds the thread until somebody has said so; for ever if nobody does."""
    context = CURRENT.get()
    deadline = time.monotonic() + 60
    while not context.outputs and time.monotonic() < deadline:
        pass


@pytest.mark.parametrize("waits_first", [False, True])
def test_a_step_that_holds_the_loop_is_named_with_its_line(waits_first):
    """One that holds the loop over 200 ms is named in its logs and in the picture."""
    flow = szal.Flow("f")

    @flow.step
    async def polite():
        await asyncio.sleep(0)
        return 1

    @flow.step
    async def holds(polite):
        if waits_first:
            await asyncio.sleep(0)
        hold_until_named()
        return polite

    run = szal.run(flow, store=None)

    line = holds.__code__.co_firstlineno + 4
    assert run.state == "completed"
    assert f"this step has held the event loop for 200 ms, in line {line}." in run["holds"].logs
    assert run["holds"].logs.count("held the event loop") == 1
    assert run["polite"].logs == ""


def test_many_runs_of_one_loop_are_watched_by_one_thread():
    async def main():
        flow, all_wait, go, begun = szal.Flow("f"), asyncio.Event(), asyncio.Event(), []

        @flow.step
        async def waits():
            begun.append(1)
            if len(begun) == 50:
                all_wait.set()
            await go.wait()

        runs = [flow.start(store=None) for _ in range(50)]
        await all_wait.wait()
        watches = len(holding._WATCHES)
        go.set()
        for run in runs:
            await run
        return [watches, len(holding._WATCHES)]

    assert asyncio.run(main()) == [1, 0]
