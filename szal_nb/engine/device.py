"""Hands out devices, so that two steps never share one unless each asked for a part of one. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from szal_nb.engine.limit import Limit
from szal_nb.engine.requirement import WHOLE, demanding_steps, share_of
from szal_nb.model.graph import FlowGraph


class DeviceSlots(Limit):
    """The devices of one run, as a limit that its steps share. `weights` are the shares that steps ask for.

    A step that asks for whole devices has them for itself; parts are put together where they fit closest, so that
    whole devices stay free for those that need them.
    """

    __slots__ = ("_held", "_least", "_left", "_names")

    def __init__(self, devices: Sequence[str], shares: Mapping[int, int]) -> None:
        super().__init__(len(devices) * WHOLE, weights=shares)
        self._names = tuple(devices)
        self._left = [WHOLE] * len(devices)
        self._least = min(self.weights.values(), default=WHOLE)
        self._held: dict[int, tuple[int, ...]] = {}

    @property
    def limits(self) -> list[tuple[Limit, list[int]]]:
        """The limit with the steps that share it; none if no step asks for a device."""
        return [(self, list(self.weights))] if self.weights else []

    def held_by(self, i: int) -> tuple[str, ...]:
        """The devices of step `i` from its start to its end."""
        return tuple(self._names[position] for position in self._held.get(i, ()))

    def has_room(self, i: int, at: float) -> bool:  # noqa: ARG002 as of any limit
        """Whether step `i` may start."""
        return self._place(i) is not None

    def take_if_room(self, i: int, at: float) -> bool:
        """Starts step `i` if there is room for it on devices."""
        if self._place(i) is None:
            return False
        self.take(i, at)
        return True

    def take(self, i: int, at: float) -> None:  # noqa: ARG002 as of any limit
        """Step `i` starts; there is room for it."""
        place = self._held[i] = self._place(i) or ()
        for position in place:
            self._left[position] -= min(self.weights[i], WHOLE)
        self.free -= self.weights[i]

    def give_back(self, i: int) -> None:
        """The attempt of step `i` is over."""
        place = self._held.pop(i, ())
        for position in place:
            self._left[position] += min(self.weights[i], WHOLE)
        self.free += self.weights[i] if place else 0

    def wake(self, ready: list[tuple[int, int]]) -> None:
        """Lets those that wait try again, as many as there may be room for."""
        for _ in range(min(len(self.waiting), self.free // self._least)):
            heapq.heappush(ready, heapq.heappop(self.waiting))

    def _place(self, i: int) -> tuple[int, ...] | None:
        """The devices that step `i` would get."""
        share, left = self.weights[i], self._left
        if share >= WHOLE:
            free = [position for position, room in enumerate(left) if room == WHOLE]
            count = share // WHOLE
            return tuple(free[:count]) if len(free) >= count else None
        fits = [position for position, room in enumerate(left) if room >= share]
        return (min(fits, key=lambda position: left[position]),) if fits else None


def device_slots(graph: FlowGraph, devices: Sequence[str]) -> DeviceSlots:
    """The devices for one run of this flow."""
    asked = {i: share_of(step.name, step.requires) for i, step in graph.derived(demanding_steps)}
    return DeviceSlots(devices, {i: share for i, share in asked.items() if share})
