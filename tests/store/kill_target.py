"""A process that serves for being killed: it keeps forking workers that run flows against one store.

`python -m tests.store.kill_target STORE EFFECTS [--fault acknowledge-before-commit | --without-wal]` reads a line for each worker
from stdin and answers with the worker's pid; the next line says that the worker was killed or may be waited for.
The store is opened by workers only: no connection crosses a fork.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time

from szal_nb.model.event import RunCompleted, RunResumed, StepCompleted, StepStarted
from szal_nb.model.state import StepState
from szal_nb.store.runs import RunJournal, RunStore, new_run_id
from tests.store.scribe import begun, new_run
from tests.store.steady_flow import WITHOUT_WAL, plant

FLOWS = 4
STEPS = tuple(f"s{n}" for n in range(30))
FAULT = "acknowledge-before-commit"


class Effects:
    """Lines that no kill can take back: each is one write to a file opened for appending."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, *words: object) -> None:
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())


async def run_flow(journal: RunJournal, completed: set[str], effects: Effects, fault: str | None) -> None:
    run = journal.run_id
    for step in STEPS:
        if step in completed:
            continue
        attempt = journal.epoch
        await journal.append([StepStarted(at=time.time(), step=step, attempt=attempt)])
        effects.write("began", run, step)
        if fault == FAULT:
            effects.write("acknowledged", run, step)
        refs = journal.keep(step, attempt, {step: [run, step], "large": bytes(300_000) + step.encode()}, {step})
        done = StepCompleted(at=time.time(), step=step, attempt=attempt, values=refs)
        await journal.append([done])
        if fault is None:
            effects.write("acknowledged", run, step)
    await journal.append([RunCompleted(at=time.time())])
    effects.write("ended", run)


async def work(store_path: str, effects: Effects, fault: str | None) -> None:
    with RunStore.open(store_path) as store:
        flows = []
        for run in store.runs():
            if run.state.is_final:
                continue
            journal = await asyncio.to_thread(store.take_over, run.id)
            steps = store.snapshot(run.id).steps.values()
            reset = tuple(step.name for step in steps if step.state is not StepState.COMPLETED)
            await journal.append([RunResumed(at=time.time(), epoch=journal.epoch, reset=reset)])
            flows.append(run_flow(journal, {step.name for step in steps} - set(reset), effects, fault))
        while len(flows) < FLOWS:
            journal = store.begin(new_run(new_run_id(), *STEPS))
            await journal.append(begun(time.time(), STEPS))
            flows.append(run_flow(journal, set(), effects, fault))
        await asyncio.gather(*flows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("effects")
    parser.add_argument("--fault", choices=[FAULT])
    parser.add_argument("--without-wal", action="store_true")
    arguments = parser.parse_args()
    if arguments.without_wal:
        plant(WITHOUT_WAL)
    RunStore.open(arguments.store).close()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(work(arguments.store, Effects(arguments.effects), arguments.fault))
            except BaseException as error:  # noqa: BLE001 the parent must learn of everything
                print("worker failed:", repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        print(pid, flush=True)
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        del line


if __name__ == "__main__":
    main()
