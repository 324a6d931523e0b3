"""Order and cycles of steps: iterative, linear in steps and edges."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from szal_nb.model.graph import Edge


def _indexed(names: Sequence[str], edges: Iterable[Edge]) -> tuple[list[list[int]], list[int]]:
    position = {name: index for index, name in enumerate(names)}
    followers: list[list[int]] = [[] for _ in names]
    waiting = [0] * len(names)
    for edge in edges:
        source, target = position[edge.source], position[edge.target]
        followers[source].append(target)
        waiting[target] += 1
    return followers, waiting


def in_order(names: Sequence[str], edges: Iterable[Edge]) -> list[str] | None:
    """The names, each after all that it waits for, else as they stand; None if some wait for each other."""
    followers, waiting = _indexed(names, edges)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order: list[str] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(names[index])
        for follower in followers[index]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    return order if len(order) == len(names) else None


def cycle_in(names: Sequence[str], edges: Iterable[Edge]) -> tuple[str, ...]:
    """A way round among steps that wait for each other, begun and ended by one name; empty if there is none."""
    followers, waiting = _indexed(names, edges)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    left = len(names)
    while ready:
        left -= 1
        for follower in followers[ready.pop()]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                ready.append(follower)
    if not left:
        return ()
    stuck = {index for index, count in enumerate(waiting) if count > 0}
    # Every stuck step waits for a stuck one: going back from any of them must come round.
    sources: dict[int, int] = {}
    for index in sorted(stuck, reverse=True):
        for follower in followers[index]:
            if follower in stuck:
                sources[follower] = index
    path, seen = [min(stuck)], {min(stuck): 0}
    while True:
        before = sources[path[-1]]
        if before in seen:
            loop = [before, *reversed(path[seen[before] :])]
            return tuple(names[index] for index in loop)
        seen[before] = len(path)
        path.append(before)
