"""The floors, under the names that peers' settings have."""

from __future__ import annotations

from benchmarks.floors import floor, nothing, written
from benchmarks.peers.timing import Figures, Work, main, timed, timed_on_a_loop


async def coroutines(work: Work) -> Figures:
    """A TaskGroup with one task a step and counters of open dependencies."""
    return await timed_on_a_loop(lambda: work.waits, lambda waits: floor(waits, nothing))


def functions(work: Work) -> Figures:
    """A loop that calls one function after the other, in an order that was found before."""
    order = [i for level in work.levels for i in level]
    bodies = vars(work.functions(is_async=False))

    def run(waits: list[list[int]]) -> None:
        given = [0] * work.count
        for i in order:
            given[i] = bodies[f"s{i}"](*[given[source] for source in waits[i]])

    return timed(lambda: work.waits, run)


async def full(work: Work) -> Figures:
    """The TaskGroup, each step waiting until a writer thread has committed its row, with `synchronous=FULL`."""
    return await timed_on_a_loop(lambda: work.waits, lambda waits: written(waits, work.folder / "rows.db", "full"))


async def fast(work: Work) -> Figures:
    """The same with `synchronous=NORMAL`: a loss of power may take the last rows, the death of the process none."""
    return await timed_on_a_loop(lambda: work.waits, lambda waits: written(waits, work.folder / "rows.db", "fast"))


if __name__ == "__main__":
    main({"coroutines": coroutines, "functions": functions, "full": full, "fast": fast})
