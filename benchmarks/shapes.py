"""The shapes of flow that benchmarks run, as the dependencies of each step. Needs nothing but Python."""

from __future__ import annotations

import random

SHAPES = ("chain", "fan", "dag")


def dependencies_of(shape: str, count: int) -> list[list[int]]:
    """The dependencies of each step: a chain, 1 → count-2 → 1, or a seeded layered graph with three a step."""
    chance = random.Random(1)
    match shape:
        case "chain":
            return [[i - 1] if i else [] for i in range(count)]
        case "fan":
            return [[], *([[0]] * (count - 2)), list(range(1, count - 1))]
        case _:
            return [
                sorted({chance.randrange(max(0, i - 40), i - 9) for _ in range(3)}) if i >= 10 else []
                for i in range(count)
            ]


def levels_of(waits: list[list[int]]) -> list[list[int]]:
    """Steps by the length of the longest path before them: none of a level waits for another of it."""
    level: list[int] = []
    for sources in waits:
        level.append(1 + max((level[source] for source in sources), default=-1))
    return [[i for i, at in enumerate(level) if at == depth] for depth in range(max(level) + 1)]


def sinks_of(waits: list[list[int]]) -> list[int]:
    """The steps that no other waits for."""
    return sorted(set(range(len(waits))) - {source for sources in waits for source in sources})


def functions_of(waits: list[list[int]], *, is_async: bool) -> str:
    """A module with a function a step that does nothing; its parameters are named like the steps that it waits for."""
    define = "async def" if is_async else "def"
    return "\n\n".join(
        f"{define} s{i}({', '.join(f's{source}: int' for source in sources)}) -> int:\n    return {i}"
        for i, sources in enumerate(waits)
    )
