"""pipefunc: functions wired by the names of their parameters. It keeps values, if asked to, but no record of a run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipefunc import PipeFunc, Pipeline

from benchmarks.peers.timing import Figures, Work, main, timed, timed_on_a_loop


def build(work: Work) -> Pipeline:
    """The pipeline. Types are not compared: no step has a wrong one, and that is not what is measured."""
    module = work.functions(is_async=False)
    made = [PipeFunc(vars(module)[f"s{i}"], output_name=f"s{i}") for i in range(work.count)]
    return Pipeline(made, validate_type_annotations=False)


# Results in memory, and nothing shown: its cheapest way.
QUIET: dict[str, Any] = {"storage": "dict", "show_progress": False}


def functions(work: Work) -> Figures:
    """Its `map`, which calls functions in place, one after the other."""
    return timed(lambda: build(work), lambda pipeline: pipeline.map({}, parallel=False, **QUIET))


async def threads(work: Work) -> Figures:
    """Its `map_async`, which gives functions to a pool of threads; each begins when what it needs is there."""
    with ThreadPoolExecutor() as pool:
        settings = {**QUIET, "executor": pool, "scheduling_strategy": "eager", "display_widgets": False}
        return await timed_on_a_loop(lambda: build(work), lambda made: made.map_async({}, **settings).task)


if __name__ == "__main__":
    main({"functions": functions, "threads": threads})
