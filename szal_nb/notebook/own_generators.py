"""Where the notebook's own cells left the global random generators, apart from what runs have drawn from them.

The next run of a flow begins where its first began, as in a notebook that is run from the top, unless a cell has
seeded a generator since. That is told from the states alone: what is drawn leads from one to the next.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

from szal_nb.engine.hidden import GENERATORS, generator_states, set_generator
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import state_name

# The Mersenne twister, of which `random` and numpy's global generator are made, makes 624 numbers of 32 bits at a time.
_BLOCK_BITS = 624 * 32
# So many blocks are looked through for a state: ten million numbers.
_BLOCKS = 16384


class OwnGenerators:
    """See the module. Flows are known by name, in the order in which they ran for the first time."""

    def __init__(self) -> None:
        self._begun: dict[str, dict[str, object]] = {}
        self._left: dict[str, object] = {}
        self._last = ""

    def begin(self, flow: str) -> set[str]:
        """Puts the generators where a run of the flow, which begins now, has to find them; those that it moved."""
        now = generator_states(GENERATORS)
        for name, state in now.items():
            if name in self._left and not is_drawn_from(self._left[name], state):
                # A cell has seeded it: every flow begins with that, or goes on from where one that did has ended.
                self._forget(name)
        begun = self._begun.setdefault(flow, {})
        moved = set()
        if not self._is_below(flow):
            for name, state in begun.items():
                if not _is_same(state, now.get(name)):
                    set_generator(name.strip("<>"), state)
                    moved.add(name.strip("<>"))
            now |= begun
        self._begun[flow] = now
        return moved

    def resume(self, flow: str) -> None:
        """A run of the flow goes on from its record; a new one would begin with what the notebook has now."""
        self._begun.setdefault(flow, generator_states(GENERATORS))

    def end(self, flow: str, uses: Collection[str]) -> None:
        """A run of the flow has ended; its steps say that they use these generators."""
        self._left, self._last = generator_states(GENERATORS), flow
        used = {state_name(name) for name in uses}
        # One that it had no part in belongs to the cells alone.
        self._begun[flow] = {
            name: state
            for name, state in self._begun.get(flow, {}).items()
            if name in used or not _is_same(state, self._left.get(name))
        }

    def _is_below(self, flow: str) -> bool:
        """Whether a flow that stands above has run since: this one goes on from there."""
        order = list(self._begun)
        return self._last in self._begun and order.index(self._last) < order.index(flow)

    def _forget(self, name: str) -> None:
        for begun in self._begun.values():
            begun.pop(name, None)


def used_generators(graph: FlowGraph) -> set[str]:
    """The global generators that steps of the flow are known to draw from."""
    return {state for node in graph.nodes for state in node.states if state in GENERATORS}


def drawn_again(generators: Collection[str]) -> str:
    """What to say where the same random numbers are drawn again, though nothing in the notebook asks for a seed."""
    names = " and ".join(sorted(generators))
    return f"Draws the same random numbers as the run before ({names}); a step that calls its seed() draws others."


def is_drawn_from(before: object, after: object) -> bool:
    """Whether a generator in state `before` comes to `after` when numbers are drawn from it.

    >>> random.seed(1)
    >>> state = random.getstate()
    >>> _ = [random.random() for _ in range(1000)]
    >>> is_drawn_from(state, random.getstate()), is_drawn_from(random.getstate(), state)
    (True, False)
    """
    first, last = _twister(before), _twister(after)
    if first is None or last is None:
        return _is_same(before, after)
    wanted = _at_block(last).getrandbits(_BLOCK_BITS)
    walker = _at_block(first)
    for number in range(_BLOCKS):
        if walker.getrandbits(_BLOCK_BITS) == wanted:
            return number > 0 or first[-1] <= last[-1]
    return False


def _at_block(state: tuple[int, ...]) -> random.Random:
    generator = random.Random()  # noqa: S311 - it is looked at, nothing depends on what it gives
    generator.setstate((3, (*state[:-1], 0), None))
    return generator


def _twister(state: Any) -> tuple[int, ...] | None:
    """The block of a Mersenne twister and the place in it, as `random` has it; None for other generators."""
    if isinstance(state, tuple):
        return tuple(state[1])
    if isinstance(state, dict) and state.get("bit_generator") == "MT19937":
        inner = state["state"]
        return (*map(int, inner["key"]), int(inner["pos"]))
    return None


def _is_same(before: Any, after: Any) -> bool:
    return repr(before) == repr(after)
