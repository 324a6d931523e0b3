"""Runs 10,000 steps that do nothing in this process, and prints the most memory that it has needed, in MB.

Run: python -m benchmarks.peak floor|imports|engine. Imports are late, so that each process has its own only.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

COUNT = 10_000


def peak_mb() -> float:
    """Megabytes. Linux tells them of this program alone; elsewhere they are those of the process."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    """Prints the figure of what the command line names."""
    if sys.argv[1] == "floor":
        from benchmarks.floors import floor, nothing
        from benchmarks.shapes import dependencies_of

        asyncio.run(floor(dependencies_of("dag", COUNT), nothing))
    else:
        from benchmarks.bench_engine import Nothing, engine, graph_of

        if sys.argv[1] == "engine":
            asyncio.run(engine(graph_of("dag", COUNT), Nothing(is_async=True)))
    print(peak_mb())


if __name__ == "__main__":
    main()
