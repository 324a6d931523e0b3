"""Hands out devices, so that two steps never share one. How many run at once is the machine's business (limits)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from szal_nb.engine.limit import Limit
from szal_nb.engine.requirement import devices_of
from szal_nb.model.graph import FlowGraph


class DeviceSlots:
    """The devices of this process that steps of one run hold; `weights` says how many each step needs."""

    def __init__(self, devices: Sequence[str], weights: Mapping[int, int]) -> None:
        self.weights = dict(weights)
        self._order = {device: position for position, device in enumerate(devices)}
        self._free = list(range(len(devices)))
        self._names = list(devices)
        self._held: dict[int, list[int]] = {}

    def take(self, i: int) -> tuple[str, ...]:
        """The devices of step `i` from now on: the first that are free."""
        held = self._held.get(i)
        if held is None:
            held = self._held[i] = [heapq.heappop(self._free) for _ in range(self.weights.get(i, 0))]
        return tuple(self._names[position] for position in held)

    def give_back(self, i: int) -> None:
        """Step `i` needs its devices no more."""
        for position in self._held.pop(i, ()):
            heapq.heappush(self._free, position)


def devices_asked(graph: FlowGraph) -> dict[int, int]:
    """How many devices each step needs, of those that need any."""
    asked = {
        i: devices_of(node.step.name, node.step.requires) for i, node in enumerate(graph.nodes) if node.step.requires
    }
    return {i: count for i, count in asked.items() if count}


def device_limits(graph: FlowGraph, devices: Sequence[str]) -> list[tuple[Limit, list[int]]]:
    """The limit that keeps the steps of a run from holding more devices than there are."""
    weights = devices_asked(graph)
    return [(Limit(len(devices), weights=weights), list(weights))] if weights else []
