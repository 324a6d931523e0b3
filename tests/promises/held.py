"""Flows whose runs hold what is no plain value, each with edits that make its next version, and kernels to run them in.

For tests of what becomes of their records.
"""

from __future__ import annotations

import asyncio
import locale
import math
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import pandas as pd

from szal_nb.api.handle import RunHandle
from szal_nb.api.launch import Surround
from szal_nb.api.run import Run, values_of
from szal_nb.engine.signal import TimedOut
from szal_nb.model.event import RunPaused, StepCompleted, StepRolledBack, StepStarted, StepWaiting
from szal_nb.model.graph import FlowGraph
from szal_nb.model.transition import RunState
from szal_nb.store.bundle import Bundle, read_blob, read_bundle, references, write_bundle
from szal_nb.store.runs import RunStore, new_run_id
from tests.api.cell_flows import ROLLBACK, CellFlow
from tests.promises.answer import shape_of

_ENVIRONMENT = {"SZAL_MODE": None, "SZAL_HELD_TOKEN": "very-secret-text"}


@dataclass(frozen=True)
class Held:
    """A flow: `notebook` is what the cells that are no steps define; `edits` are other cells of next versions, or None.

    `notebooks` are edits of the notebook. `answers` is what a person says to steps that wait. `input` is another value
    of an input. `refused` is what is said where a way is refused, which need not be. `end` is the state in which the
    recorded run ends; `acts` are what a person does when a step begins, only then: `cancel`, `pause` or `time out`.
    """

    notebook: str
    cells: Mapping[str, str]
    edits: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    notebooks: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    input: tuple[str, Any] | None = None
    refused: str = "no way of it is refused"
    flow: Mapping[str, Any] = field(default_factory=dict)
    end: str = "completed"
    acts: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_undone_again(self) -> bool:
        """Whether what has undone the recorded run undoes any other that is as it was."""
        return not self.acts and any(line.startswith(ROLLBACK) for line in self.cells) and self.end != "completed"

    def versions(self) -> dict[str, tuple[dict[str, str], str]]:
        """All versions with their cells and their notebook; the first is that which was recorded."""
        found = {"as it was": (dict(self.cells), self.notebook)}
        for name, changes in self.edits.items():
            cells = {line: changes.get(line, source) for line, source in self.cells.items()}
            cells |= {line: source for line, source in changes.items() if line not in self.cells}
            found[name] = ({line: source for line, source in cells.items() if source is not None}, self.notebook)
        for name, notebook in self.notebooks.items():
            found[name] = (dict(self.cells), notebook)
        return found


class Kernel(CellFlow):
    """A process in which a version of a flow is defined."""

    def __init__(
        self, held: Held, folder: Path, version: str = "as it was", number: int = 1, *, is_acted_on: bool = False
    ) -> None:
        begin_process(folder)
        self._answers = held.answers
        self._acts = held.acts if is_acted_on else {}
        world.is_open = not is_acted_on
        cells, notebook = held.versions()[version]
        super().__init__(cells, notebook=notebook, version=number, flow=held.flow)

    def run(self, store: RunStore, inputs: Mapping[str, Any] | None = None, **options: Any) -> RunHandle:
        fork = options.get("fork")
        world.done = world_of(store, fork[0] if fork else options.get("reuse"))
        return super().run(store, inputs, **options)

    def resume(self, store: RunStore, run_id: str) -> RunHandle:
        world.done = world_of(store, run_id)
        world.is_undoing = store.snapshot(run_id).state is RunState.ROLLING_BACK
        return super().resume(store, run_id)

    def _surround(self, store: RunStore, graph: FlowGraph) -> Surround:
        return Surround(store=store, definitions=self.space, rollbacks=self.rollbacks(graph))

    async def ended(self, handle: RunHandle) -> RunHandle:
        loop = asyncio.get_running_loop()
        acts = dict(self._acts)

        def answer(events: Any) -> None:
            for event in events:
                if isinstance(event, StepWaiting):
                    loop.call_soon(handle.approve, event.step, self._answers.get(event.step))
                if isinstance(event, StepStarted) and event.step in acts:
                    loop.call_soon(act, handle, acts.pop(event.step))
                if isinstance(event, RunPaused):
                    loop.call_soon(handle.resume)

        handle.subscribe(answer)
        return await handle.wait()


def act(handle: RunHandle, what: str) -> None:
    """What a person, or the clock, does to a run that is under way."""
    if what == "cancel":
        handle.cancel("enough")
    elif what == "pause":
        handle.pause()
        world.is_open = True
        world.opened()
    else:
        handle._runner.post(TimedOut(time.time(), 60.0))


class World(ModuleType):
    """What steps have done outside of their run, and what undid it; a module that they may import."""

    def __init__(self) -> None:
        super().__init__("szal_held_world")
        self.done: set[str] = set()
        self.is_open = True
        # Whether the last run that went on was being undone already.
        self.is_undoing = False
        self._waiting: list[asyncio.Future[None]] = []

    def put(self, what: str) -> str:
        """It is done."""
        self.done.add(what)
        return what

    def take(self, what: str) -> None:
        """It is undone."""
        self.done.discard(what)

    def fail_once(self) -> None:
        """Fails, but not again before somebody has acted."""
        if not self.is_open:
            self.is_open = True
            raise OSError("try again")

    async def wait(self) -> None:
        """Returns when somebody has acted."""
        if not self.is_open:
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]

    def opened(self) -> None:
        """Nobody waits any more."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()


sys.modules["szal_held_world"] = world = World()


def world_of(store: RunStore, run_id: str | None) -> set[str]:
    """What the steps of the run have done outside, at worst: what is being undone is undone, and it is not told."""
    if run_id is None:
        return set()
    snapshot, graph = store.snapshot(run_id), store.graph(run_id)
    done: dict[str, None] = {}
    for event in store.events(run_id):
        if isinstance(event, StepCompleted) and event.taken_from:
            done |= dict.fromkeys(world_of(store, event.taken_from) & {event.step})
        elif isinstance(event, StepCompleted) and "world.put" in graph.node(event.step).step.source:
            done[event.step] = None
        elif isinstance(event, StepRolledBack):
            del done[event.step]
    undoing = {step: graph.node(step).step.rollback for step in done}
    undone = [step for step, rollback in undoing.items() if rollback is not None and "world.take" in rollback.source]
    if snapshot.undone_on and undone:
        del done[undone[-1]]
    return set(done)


@contextmanager
def kept_process() -> Iterator[None]:
    """The process is afterwards what it was before."""
    directory, path, place = Path.cwd(), list(sys.path), locale.setlocale(locale.LC_ALL)
    environment = dict(os.environ)
    with warnings.catch_warnings(), pd.option_context("display.max_rows", 60), mpl.rc_context(), np.errstate():
        yield
    os.chdir(directory)
    sys.path[:] = path
    locale.setlocale(locale.LC_ALL, place)
    os.environ.clear()
    os.environ.update(environment)


def begin_process(folder: Path) -> None:
    """Makes all that is the process's own what it is in a new one."""
    os.chdir(folder)
    (folder / "data").mkdir(exist_ok=True)
    for name, value in _ENVIRONMENT.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    pd.set_option("display.max_rows", 60)
    sys.path[:] = [entry for entry in sys.path if "szal-extra" not in entry]
    mpl.rcParams["lines.linewidth"] = 1.5
    locale.setlocale(locale.LC_ALL, "C")
    vars(math).pop("szal", None)
    warnings.resetwarnings()
    warnings.simplefilter("error")
    random.seed("another process")
    np.random.seed(77)  # noqa: NPY002  notebooks use the global generator


def cut(store: RunStore, run_id: str, events: int) -> str:
    """The id of a run whose process died after so many events of this one."""
    bundle = read_bundle(store, run_id)
    row = msgspec.structs.replace(bundle.run, id=new_run_id(), owner=None, launcher=None)
    some = Bundle(run=row, events=bundle.events[:events], graph=bundle.graph, notebook=bundle.notebook)
    write_bundle(store, some, [read_blob(store.contents, ref) for ref in references(some.events)], is_imported=False)
    return row.id


def moments(store: RunStore, run_id: str) -> list[int]:
    """After how many events of the run its process may have died."""
    rows = store.reader.fetch("SELECT first FROM turns WHERE run_id = ? ORDER BY first", (run_id,))
    found = [int(str(first)) for (first,) in rows if first]
    # One that has completed goes on nowhere.
    return found if store.run(run_id).state is RunState.COMPLETED else [*found, store.snapshot(run_id).events]


def answer_of(run: Run) -> dict[str, Any]:
    """All that a run leaves behind: the states of its steps, and its values with who is whom."""
    return {
        "run": run.state,
        "states": {
            name: (step.state, "" if step.error is None else str(step.error)) for name, step in run.steps.items()
        },
        "values": shape_of(values_told(run)),
        "world": sorted(world.done & set(run.steps)),
    }


def values_told(run: Run) -> dict[str, Any]:
    """The values of a run that are to be had and can be compared, by name."""
    return {name: value for name, value in values_of(run).items() if is_told(value)}


def is_told(value: Any) -> bool:
    """Whether two such values can be compared."""
    if isinstance(value, FunctionType | ModuleType | type | Iterator):
        return False
    try:
        shape_of({"value": value})
    except TypeError:
        return False
    return True
