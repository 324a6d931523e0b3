"""Who reads and who changes each version of each name, and which steps are ordered: read off the graph once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from typing import Protocol

from szal_nb.engine.wiring import Wiring
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import kept_owner, state_of

# A version of a name: the index of the step that gave it and the name there; None for an input of the run.
Key = tuple[int | None, str]


def is_held(key: Key) -> bool:
    """Whether this stands for what a class or function of the notebook holds, and is no value."""
    return key[0] is None and key[1].startswith("<")


class Rebuilding(Protocol):
    """Which values steps have for themselves."""

    def is_own(self, i: int, key: Key) -> bool:
        """Whether a step has the value, which it reads, for itself."""
        ...


class Usage:
    """`readers` and `changers` of each version, as indices of steps; `taken` and `changed` versions of each step."""

    def __init__(self, graph: FlowGraph) -> None:
        wiring = graph.derived(Wiring)
        self.names = wiring.names
        self._graph = graph
        index = wiring.index
        self._index: Mapping[str, int] = index
        self.readers: dict[Key, list[int]] = {}
        self.changers: dict[Key, list[int]] = {}
        self.taken: list[tuple[Key, ...]] = []
        self.changed: list[tuple[Key, ...]] = []
        # Of the changes, as pairs of a step and a version: see `StepNode`.
        self.doubtful: set[tuple[int, Key]] = set()
        for i, node in enumerate(graph.nodes):
            changes = set(node.changes)
            taken, changed = [], []
            for binding in node.bindings:
                key = (None if binding.step is None else index[binding.step], binding.source or binding.name)
                taken.append(key)
                if binding.name in changes:
                    changed.append(key)
                    if binding.name in node.doubtful:
                        self.doubtful.add((i, key))
                    self.changers.setdefault(key, []).append(i)
                else:
                    self.readers.setdefault(key, []).append(i)
            self.taken.append(tuple(taken))
            self.changed.append(tuple(changed))
        # Of what classes and functions of the notebook hold: see `kept_parts`.
        self.held_by: dict[Key, tuple[Collection[int], Collection[int]]] = {}
        self._before: list[int] | None = None

    def narrowed(self, rebuilding: Rebuilding) -> Usage:
        """A copy in which steps take and change only what they do not have for themselves."""
        found = copy(self)
        found.taken = [tuple(k for k in keys if not rebuilding.is_own(i, k)) for i, keys in enumerate(self.taken)]
        found.changed = [tuple(k for k in keys if not rebuilding.is_own(i, k)) for i, keys in enumerate(self.changed)]
        return found

    def users(self, key: Key) -> list[int]:
        """All steps that take this version."""
        return [*self.readers.get(key, ()), *self.changers.get(key, ())]

    def is_changed_for_certain(self, key: Key) -> bool:
        """Whether a step changes this version, and not only may."""
        return any((i, key) not in self.doubtful for i in self.changers.get(key, ()))

    def all_users(self, key: Key) -> tuple[Collection[int], Collection[int]]:
        """All steps that take this version, or what is held; those of them that change it."""
        if key in self.held_by:
            return self.held_by[key]
        return self.users(key), self.changers.get(key, ())

    def giver(self, key: Key) -> str:
        """Who gave it, for messages."""
        return "the notebook" if key[0] is None else f"step {self.names[key[0]]!r}"

    def title(self, key: Key) -> str:
        """The name with its giver, for messages."""
        owner = kept_owner(state_of(key[1]))
        return f"What {owner} keeps" if owner else f"{key[1]!r} of {self.giver(key)}"

    def are_ordered(self, a: int, b: int) -> bool:
        """Whether one of the two steps always ends before the other begins."""
        before = self._before
        if before is None:
            before = self._before = self._ancestors()
        return a == b or bool(before[a] >> b & 1 or before[b] >> a & 1)

    def _ancestors(self) -> list[int]:
        """For each step the set of those before it, as the bits of a number."""
        found: list[int | None] = [None] * len(self.names)
        dependencies = self._graph.dependencies
        for start in range(len(self.names)):
            stack = [start]
            while stack:
                i = stack[-1]
                sources = [self._index[name] for name in dependencies[self.names[i]]]
                todo = [source for source in sources if found[source] is None]
                if todo:
                    stack += todo
                    continue
                bits = 0
                for source in sources:
                    bits |= (found[source] or 0) | 1 << source
                found[i] = bits
                stack.pop()
        return [bits or 0 for bits in found]
