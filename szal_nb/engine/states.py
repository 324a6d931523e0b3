"""The hidden states of the process that steps of one run use, as they are recorded and put back.

Of three kinds: random generators, what functions and classes of the notebook keep from call to call (`keeping`), and
settings (`settings`). Each is recorded beside what a step gave, under a name that is none of Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from szal_nb.engine.contents import Spans
from szal_nb.engine.hidden import GENERATORS, HiddenStates, generator_states, set_generator
from szal_nb.engine.keeping import Definitions, copied, kept_by, kept_states, put_back, states_of
from szal_nb.engine.memory import Memory
from szal_nb.engine.settings import RecordedSettings, changes_settings
from szal_nb.engine.usage import Key
from szal_nb.errors import NoCleanStart, RunError
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import are_calls, is_kept, kept_owner, memory_owner, state_name, state_of
from szal_nb.model.value import ValueRef

Load = Callable[[ValueRef], Any]


def _generators(graph: FlowGraph) -> list[tuple[str, ...]]:
    """For each step the random generators that it uses."""
    return [tuple(s for s in node.states if s in GENERATORS) if node.states else () for node in graph.nodes]


def recorded_states(graph: FlowGraph) -> list[bool]:
    """Which steps use a state that is recorded with them."""
    generators, kept = graph.derived(_generators), graph.derived(kept_states)
    return [bool(generators[i] or kept[i] or changes_settings(node)) for i, node in enumerate(graph.nodes)]


def changes_kept(graph: FlowGraph) -> bool:
    """Whether a step changes what functions and classes keep."""
    return any(map(any, graph.derived(kept_states)))


class RecordedStates:
    """See the module. `spans` tells which steps have begun in this process, `refs` what is on record of all.

    `hidden` is told what is put back beside the bodies that run.
    """

    def __init__(self, graph: FlowGraph, spans: Spans, refs: Mapping[Key, ValueRef], hidden: HiddenStates) -> None:
        self._hidden = hidden
        self._graph = graph
        self._spans = spans
        self._refs = refs
        self._generators = graph.derived(_generators)
        self._kept = graph.derived(kept_states)
        self._settings = RecordedSettings(graph)
        # Where the functions and classes are that the bodies find, if they keep something.
        self.definitions: Sequence[Definitions] = ()
        self._is_resumed = False
        # The content of the record that each kept state was last put back from, for those that only read it.
        self._put_back: dict[str, str | None] = {}

    def definitions_of(self, i: int) -> Iterator[Any]:
        """The functions and classes of the notebook that step `i` uses."""
        for name in self._graph.nodes[i].definitions if self.definitions else ():
            yield self.definitions[i].definition(name)

    def are_kept_for(self, i: int) -> bool:
        """Whether step `i` uses what functions and classes keep."""
        return bool(self._kept[i])

    def changed_by(self, i: int) -> set[Key]:
        """What functions and classes keep that step `i` changes, but for the calls that they remember."""
        states = self._graph.nodes[i].states
        return {(None, state_name(one)) for one in self._kept[i] if one in states and not are_calls(one)}

    def kept_of(self, i: int) -> Iterator[tuple[str, object, bool]]:
        """The kept states that step `i` has to do with, what is kept, and whether the step changes it."""
        for state in self._kept[i] if self.definitions else ():
            definition = self.definitions[i].definition(kept_owner(state))
            if definition is not None:
                kept = Memory(definition) if memory_owner(state) else kept_by(definition, state)
                yield state, kept, state in self._graph.nodes[i].states

    def resume(self, load: Load | None) -> None:
        """The run goes on from its record."""
        self._is_resumed = True
        self._settings.begin()
        # Settings as the last of the completed steps left them: steps that begin side by side need not touch them.
        # What cannot be put back is said by the step that begins.
        with suppress(RunError):
            self.put_back_settings(len(self._graph.nodes), load)

    def of_inputs(self) -> dict[str, object]:
        """What to record before any step runs."""
        states = generator_states({state for states in self._generators for state in states})
        states |= self._settings.first()
        for i, kept in enumerate(self._kept):
            states |= {name: value for name, value in self._kept_by(i).items() if name not in states} if kept else {}
        return states

    def of(self, i: int) -> dict[str, object]:
        """What to record of the states that step `i`, which has ended, uses."""
        besides = generator_states(self._generators[i])
        if self._kept[i]:
            besides |= self._kept_by(i)
        if self._settings.are_any:
            besides |= self._settings.changed(i)
        return besides

    def clean(self, i: int) -> dict[str, object]:
        """What the states are before the first attempt of step `i`; NoCleanStart if that cannot be told."""
        try:
            return {**generator_states(self._generators[i]), **copied(self._kept_by(i, is_changed=True))}
        except Exception as error:
            names = ", ".join(self._kept[i])
            raise NoCleanStart(self._graph.nodes[i].step.name, names, f"{type(error).__name__}: {error}") from error

    def restore(self, i: int, clean: Mapping[str, Any]) -> None:
        """Makes the states of step `i` what `clean` gave."""
        for name, value in clean.items():
            state = state_of(name)
            if is_kept(state):
                with self._hidden.aside():
                    put_back(self.definitions[i].definition(kept_owner(state)), state, copied(value))
            else:
                with self._hidden.aside():
                    set_generator(state, value)

    def put_back_settings(self, i: int, load: Load | None) -> None:
        """The settings are what step `i`, which begins, found when all was in one process."""
        if load is not None and self._is_resumed and self._settings.are_any:
            with self._hidden.aside():
                self._settings.put_back(i, self._spans.begun(), self._refs, load)

    def put_back(self, i: int, load: Load | None) -> None:
        """What step `i`, which begins, uses is what the step before left, also if that was in another process."""
        if load is not None:
            self._put_back_generators(i, load)
            if self._is_resumed and self.definitions:
                self._put_back_kept(i, load)

    def _put_back_generators(self, i: int, load: Load) -> None:
        for state in self._generators[i]:
            before = [j for j in range(i) if state in self._generators[j]]
            last = before[-1] if before else None
            ref = self._refs.get((last, state_name(state)))
            if ref is not None and self._spans.begun().isdisjoint((last, i)):
                value = load(ref)
                with self._hidden.aside():
                    set_generator(state, value)

    def _put_back_kept(self, i: int, load: Load) -> None:
        for state in self._kept[i]:
            found = self._last_kept(i, state)
            is_changed = state in self._graph.nodes[i].states
            # Those that only look at it may be at it already.
            if found is not None and (is_changed or self._put_back.get(state) != found.hash):
                kept = load(found)
                with self._hidden.aside():
                    put_back(self.definitions[i].definition(kept_owner(state)), state, kept)
            self._put_back[state] = None if is_changed or found is None else found.hash

    def _kept_by(self, i: int, *, is_changed: bool = False) -> dict[str, object]:
        """What functions and classes keep that step `i` uses; only what it changes of what nobody can copy."""
        states = self._kept[i]
        if is_changed:
            states = tuple(one for one in states if not memory_owner(one) or one in self._graph.nodes[i].states)
        return states_of(self.definitions[i], states) if states and self.definitions else {}

    def _last_kept(self, i: int, state: str) -> ValueRef | None:
        """What is on record of the state as step `i` finds it; None if that is what it is in this process."""
        nodes, found = self._graph.nodes, None
        for j in (i, *(j for j in reversed(range(i)) if state in self._kept[j]), None):
            if j in self._spans.begun():
                return None
            if found is None and j != i:
                found = self._refs.get((j, state_name(state)))
            # Steps that only look at it have the same, whichever of them has begun here.
            if j is not None and j != i and state in nodes[j].states:
                break
        return found if found is None or found.live is None else None
