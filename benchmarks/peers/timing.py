"""What each peer's script has in common: the flow that it is asked for, and the seconds that it prints. Only Python.

A script gives `main` a function for each of its settings. It is run in a process of its own, and prints one line of
JSON: seconds to build the flow, and to run it, the best of several times.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import inspect
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.shapes import dependencies_of, functions_of, levels_of, sinks_of

# A run is repeated so often, unless that takes longer than so many seconds.
ROUNDS = 7
ENOUGH_S = 5.0


@dataclass(frozen=True)
class Work:
    """What is to be run: `count` steps that do nothing, in a shape; `folder` is for all that a run leaves behind."""

    shape: str
    count: int
    folder: Path

    @cached_property
    def waits(self) -> list[list[int]]:
        """The dependencies of each step."""
        return dependencies_of(self.shape, self.count)

    @cached_property
    def levels(self) -> list[list[int]]:
        """The steps, those of one level independent of each other."""
        return levels_of(self.waits)

    @cached_property
    def sinks(self) -> list[int]:
        """The steps that no other waits for."""
        return sinks_of(self.waits)

    def functions(self, *, is_async: bool) -> ModuleType:
        """A module with a function a step, for those who find the flow by the names of parameters."""
        path = self.folder / "steps_of_the_flow.py"
        path.write_text(functions_of(self.waits, is_async=is_async), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise RuntimeError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module


@dataclass(frozen=True)
class Figures:
    """Seconds."""

    build_s: float
    run_s: float


def timed(build: Callable[[], Any], run: Callable[[Any], object]) -> Figures:
    """The figures of what runs without a loop: what `build` makes is given to each `run`."""
    begun = time.perf_counter()
    built = build()
    build_s = time.perf_counter() - begun
    times: list[float] = []
    while is_not_enough(times):
        begun = time.perf_counter()
        run(built)
        times.append(time.perf_counter() - begun)
    return Figures(build_s, min(times))


async def timed_on_a_loop(build: Callable[[], Any], run: Callable[[Any], Awaitable[object]]) -> Figures:
    """As `timed`, for what runs on the current loop. `build` may be a coroutine function."""
    begun = time.perf_counter()
    built = build()
    if inspect.isawaitable(built):
        built = await built
    build_s = time.perf_counter() - begun
    times: list[float] = []
    while is_not_enough(times):
        begun = time.perf_counter()
        await run(built)
        times.append(time.perf_counter() - begun)
    return Figures(build_s, min(times))


def is_not_enough(times: list[float]) -> bool:
    """Whether to run once more."""
    return len(times) < ROUNDS and sum(times) < ENOUGH_S


def main(settings: Mapping[str, Callable[[Work], Figures | Coroutine[Any, Any, Figures]]]) -> None:
    """Prints the figures of the setting, shape and number of steps that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("setting", choices=settings)
    parser.add_argument("shape")
    parser.add_argument("steps", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = settings[asked.setting](Work(asked.shape, asked.steps, Path(folder)))
        if not isinstance(figures, Figures):
            figures = asyncio.run(figures)
    print(json.dumps({"build_s": figures.build_s, "run_s": figures.run_s}))
