"""Limits: room for so many attempts at once, or for so many starts in a length of time. Pure: time comes in."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph
from szal_nb.model.limit import parse_limit

# Clocks are floats: a window that is over but for this much, in seconds, is over.
_ROUNDING_S = 1e-6


class Limit:
    """Room that attempts share. `waiting` are the steps that found it full, most urgent first.

    `weights` are the steps that take more than one place. With `per_s` the room is for `size` starts in every
    `per_s` seconds, however long they run.
    """

    __slots__ = ("_starts", "free", "per_s", "size", "waiting", "weights")

    def __init__(self, size: int, *, per_s: float | None = None, weights: Mapping[int, int] | None = None) -> None:
        self.size = self.free = size
        self.per_s = per_s
        self.weights = dict(weights or {})
        self.waiting: list[tuple[int, int]] = []
        self._starts: deque[float] = deque()

    def take_if_room(self, i: int, at: float) -> bool:
        """Starts step `i` if it may start at this moment."""
        if self.per_s is not None:
            self._forget(at, self.per_s)
        needed = self.weights.get(i, 1) if self.weights else 1
        if self.free < needed:
            return False
        self.free -= needed
        if self.per_s is not None:
            self._starts.append(at)
        return True

    def has_room(self, i: int, at: float) -> bool:
        """Whether step `i` may start at this moment."""
        if self.per_s is not None:
            self._forget(at, self.per_s)
        return self.free >= self.weights.get(i, 1)

    def take(self, i: int, at: float) -> None:
        """Step `i` starts."""
        self.free -= self.weights.get(i, 1)
        if self.per_s is not None:
            self._starts.append(at)

    def give_back(self, i: int) -> None:
        """The attempt of step `i` is over."""
        if self.per_s is None:
            self.free += self.weights.get(i, 1)

    def next_in_s(self, at: float) -> float | None:
        """Seconds until a rate has room again; None for other limits."""
        if self.per_s is None or not self._starts:
            return None
        return max(0.0, self._starts[0] + self.per_s - at)

    def wake(self, ready: list[tuple[int, int]]) -> None:
        """Lets those that wait try again, as many as there may be room for."""
        for _ in range(min(len(self.waiting), max(self.free, 0))):
            heapq.heappush(ready, heapq.heappop(self.waiting))

    def _forget(self, at: float, per_s: float) -> None:
        # A clock that was set back must not keep the room for ever.
        while self._starts and not (at < self._starts[0] + per_s - _ROUNDING_S and at >= self._starts[0]):
            self._starts.popleft()
            self.free += 1


class Starts:
    """The steps that may start as soon as all their limits have room, most urgent first.

    `ready` is a heap of their places in the queue: of each step its urgency, and the step.
    """

    def __init__(self, places: Sequence[tuple[int, int]], limits: Iterable[tuple[Limit, Iterable[int]]]) -> None:
        self.places = places
        # Steps with the same limits have the same tuple.
        self._of_step: list[tuple[Limit, ...]] = [()] * len(places)
        self.limits: list[Limit] = []
        self.rates: list[Limit] = []
        self._wakes_at: float | None = None
        self.ready: list[tuple[int, int]] = []
        for limit, members in limits:
            self.limits.append(limit)
            if limit.per_s is not None:
                self.rates.append(limit)
            joined: dict[tuple[Limit, ...], tuple[Limit, ...]] = {}
            for i in members:
                before = self._of_step[i]
                self._of_step[i] = joined.setdefault(before, (*before, limit))

    def add(self, i: int) -> None:
        """Step `i` may start."""
        heapq.heappush(self.ready, self.places[i])

    def take_next(self, at: float) -> int | None:
        """The next step to start, with its room taken; None if none has room. The caller drops those that ended."""
        ready = self.ready
        while ready:
            _, i = entry = heapq.heappop(ready)
            limits = self._of_step[i]
            if not limits:
                return i
            full = _take_all(limits, i, at)
            if full is None:
                return i
            heapq.heappush(full.waiting, entry)
            # It may have been let in by another of its limits: that room is for the next who waits there.
            for limit in limits:
                if limit is not full and limit.waiting and limit.free > 0:
                    heapq.heappush(ready, heapq.heappop(limit.waiting))
        return None

    def give_back(self, i: int) -> None:
        """The attempt of step `i` is over: those that wait may use its room."""
        for limit in self._of_step[i]:
            limit.give_back(i)
            if limit.waiting:
                limit.wake(self.ready)

    def refuse(self, i: int) -> None:
        """Step `i`, just taken, does not start after all."""
        self.give_back(i)

    def wake_in_s(self, at: float) -> float | None:
        """After how many seconds a rate that steps wait for has room, unless that is asked for already."""
        if not self.rates:
            return None
        waits = [limit.next_in_s(at) for limit in self.rates if limit.waiting]
        soonest = min((wait for wait in waits if wait is not None), default=None)
        if soonest is None or (self._wakes_at is not None and at < self._wakes_at <= at + soonest):
            return None
        self._wakes_at = at + soonest
        return soonest

    def wake(self) -> None:
        """Time has passed: those that wait for a rate try again."""
        self._wakes_at = None
        for limit in self.rates:
            while limit.waiting:
                heapq.heappush(self.ready, heapq.heappop(limit.waiting))

    def clear(self) -> None:
        """Nothing of what waits starts any more."""
        self.ready.clear()
        for limit in self.limits:
            limit.waiting.clear()


def _take_all(limits: Sequence[Limit], i: int, at: float) -> Limit | None:
    """Takes the room that step `i` needs in all of the limits; or takes none, and gives the first that is full."""
    if len(limits) == 1:
        return None if limits[0].take_if_room(i, at) else limits[0]
    for limit in limits:
        if not limit.has_room(i, at):
            return limit
    for limit in limits:
        limit.take(i, at)
    return None


def limits_of(graph: FlowGraph) -> Iterable[tuple[Limit, list[int]]]:
    """The limits that the flow itself sets, with the steps that share each."""
    flow: FlowDefinition = graph.flow
    everything = list(range(len(graph.nodes)))
    if flow.max_parallel is not None:
        yield Limit(flow.max_parallel), everything
    for tag, text in flow.limits:
        size, per_s = parse_limit(text)
        members = [i for i in everything if tag in graph.nodes[i].step.tags]
        yield Limit(size, per_s=per_s), members
