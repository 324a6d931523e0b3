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
from szal_nb.model.event import StepWaiting
from szal_nb.store.bundle import Bundle, read_blob, read_bundle, references, write_bundle
from szal_nb.store.runs import RunStore, new_run_id
from tests.api.cell_flows import CellFlow
from tests.promises.answer import shape_of

_ENVIRONMENT = {"SZAL_MODE": None, "SZAL_HELD_TOKEN": "very-secret-text"}


@dataclass(frozen=True)
class Held:
    """A flow: `notebook` is what the cells that are no steps define; `edits` are other cells of next versions, or None.

    `notebooks` are edits of the notebook. `answers` is what a person says to steps that wait. `input` is another value
    of an input. `refused` is what is said where a way is refused, which need not be.
    """

    notebook: str
    cells: Mapping[str, str]
    edits: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    notebooks: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    input: tuple[str, Any] | None = None
    refused: str = "no way of it is refused"

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

    def __init__(self, held: Held, folder: Path, version: str = "as it was", number: int = 1) -> None:
        begin_process(folder)
        self._answers = held.answers
        cells, notebook = held.versions()[version]
        super().__init__(cells, notebook=notebook, version=number)

    def _surround(self, store: RunStore) -> Surround:
        return Surround(store=store, definitions=self.space)

    async def ended(self, handle: RunHandle) -> RunHandle:
        loop = asyncio.get_running_loop()

        def answer(events: Any) -> None:
            for event in events:
                if isinstance(event, StepWaiting):
                    loop.call_soon(handle.approve, event.step, self._answers.get(event.step))

        handle.subscribe(answer)
        return await handle.wait()


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
    return [int(str(first)) for (first,) in rows if first]


def answer_of(run: Run) -> dict[str, Any]:
    """All that a run leaves behind: the states of its steps, and its values with who is whom."""
    return {
        "run": run.state,
        "states": {
            name: (step.state, "" if step.error is None else str(step.error)) for name, step in run.steps.items()
        },
        "values": shape_of(values_told(run)),
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
