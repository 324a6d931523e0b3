"""A flow's graph as the machine walks it: small integers, counters and lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy

from szal_nb.model.graph import EdgeKind, FlowGraph
from szal_nb.model.step import Trigger


class Wiring:
    """Who waits for whom. Steps are named by their index in the graph.

    `successors` hold (target, is it stopped by a failure, does it need the value); `blockers` count dependencies;
    `places` are those in the queue of the steps that may start, smallest for the step that goes first; `order` puts
    each step after all that it waits for; `plain_targets` are the successors where all of them are usual steps, else
    None.
    """

    def __init__(self, graph: FlowGraph) -> None:
        names = [node.step.name for node in graph.nodes]
        index = {name: i for i, name in enumerate(names)}
        count = len(names)
        self.names = names
        self.index = index
        self.steps = [node.step for node in graph.nodes]
        # What may hold a step back besides: a condition, a person's word.
        self.conditional = {i for i, step in enumerate(self.steps) if step.when}
        self.questions = {i: step.approve for i, step in enumerate(self.steps) if step.approve is not None}
        # How long the step may take in all, in seconds.
        self.deadlines = {
            i: step.timeout_total_s for i, step in enumerate(self.steps) if step.timeout_total_s is not None
        }
        self.has_rollbacks = any(step.rollback is not None for step in self.steps)
        self.successors: list[list[tuple[int, bool, bool]]] = [[] for _ in range(count)]
        self.sources: list[list[int]] = [[] for _ in range(count)]
        # A pair of steps as one number: less to keep for a moment than as a tuple.
        value_needed = {
            index[binding.step] * count + i
            for i, node in enumerate(graph.nodes)
            for binding in node.bindings
            if binding.step is not None and not binding.is_optional
        }
        # What belongs to a parent is not run without it, as if it needed a value.
        value_needed.update(index[e.source] * count + index[e.target] for e in graph.edges if e.kind is EdgeKind.PARENT)
        loose = {index[e.source] * count + index[e.target] for e in graph.edges if not e.is_blocking}
        if loose:
            loose.difference_update(index[e.source] * count + index[e.target] for e in graph.edges if e.is_blocking)
        for target, sources in graph.dependencies.items():
            i = index[target]
            # All that it waits for in the same way know it by the same tuple.
            usual, with_value, apart = (i, True, False), (i, True, True), (i, False, False)
            for name in sources:
                source = index[name]
                pair = source * count + i
                self.sources[i].append(source)
                if pair in value_needed:
                    self.successors[source].append(with_value)
                else:
                    self.successors[source].append(apart if pair in loose else usual)
        self.blockers = [len(sources) for sources in self.sources]
        self.order = self._topological()
        longest = self._remaining_path()
        # A heap gives the smallest first: the highest priority, then the longest path behind the step.
        self.places = [(-(node.step.priority * (count + 1) + longest[i]), i) for i, node in enumerate(graph.nodes)]
        # The usual step: starts when all its dependencies completed, with nothing else to hold it.
        self.is_plain = [
            node.step.trigger in (Trigger.ALL, Trigger.NONE_FAILED)
            and node.step.when is None
            and node.step.approve is None
            and not node.step.once
            for node in graph.nodes
        ]
        self.plain_targets = [
            [target for target, _, _ in targets] if all(self.is_plain[target] for target, _, _ in targets) else None
            for targets in self.successors
        ]

    def with_waits(self, waits: Mapping[int, Collection[int]]) -> Wiring:
        """A copy in which more steps wait for a step to end, whatever becomes of it."""
        found = copy(self)
        found.successors, found.blockers = list(self.successors), list(self.blockers)
        found.plain_targets, found.sources = list(self.plain_targets), list(self.sources)
        for source, targets in waits.items():
            found.successors[source] = [*self.successors[source], *((target, False, False) for target in targets)]
            found.plain_targets[source] = None
            for target in targets:
                found.blockers[target] += 1
                found.sources[target] = [*found.sources[target], source]
        return found

    def downstream(self, i: int) -> set[int]:
        """Step `i` and all that wait for it, directly or not."""
        found, left = {i}, [i]
        while left:
            for target, _, _ in self.successors[left.pop()]:
                if target not in found:
                    found.add(target)
                    left.append(target)
        return found

    def in_order(self, steps: Sequence[int]) -> list[int]:
        """These steps, each after all that it waits for."""
        rank = {i: position for position, i in enumerate(self.order)}
        return sorted(steps, key=rank.__getitem__)

    def _topological(self) -> list[int]:
        waiting = list(self.blockers)
        order = [i for i, count in enumerate(waiting) if not count]
        for i in order:
            for target, _, _ in self.successors[i]:
                waiting[target] -= 1
                if not waiting[target]:
                    order.append(target)
        return order

    def _remaining_path(self) -> list[int]:
        longest = [1] * len(self.blockers)
        for i in reversed(self.order):
            for target, _, _ in self.successors[i]:
                if longest[target] >= longest[i]:
                    longest[i] = longest[target] + 1
        return longest
