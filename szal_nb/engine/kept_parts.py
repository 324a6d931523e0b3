"""What classes and functions of the notebook hold that values are a part of, too: `shared = Config.items`.

It has no version by which steps are ordered, and comes from the notebook when a run goes on. So an input that is a part
of it comes from there with it, and who changes the one beside who uses the other is refused; so is who changes what a
class holds though the code does not show it.
"""

from __future__ import annotations

import gc
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from types import FunctionType
from typing import Any

from szal_nb.engine.class_state import held_state
from szal_nb.engine.contents import Contents
from szal_nb.engine.digest import Digest, TooLargeError, deep_digest, digest
from szal_nb.engine.keeping import Definitions
from szal_nb.engine.kinds import NOTEBOOK
from szal_nb.engine.memory import caches_of
from szal_nb.engine.own_attributes import PLAIN_CLASSES
from szal_nb.engine.sharing import is_shown
from szal_nb.engine.together import LARGE_BYTES
from szal_nb.engine.usage import Key, Usage, is_held
from szal_nb.errors import ValueChanged, ValuesShared
from szal_nb.model.flow import Guard
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import are_calls, attributes_state, is_kept, kept_owner, state_name, state_of
from szal_nb.model.loaded import library_of
from szal_nb.model.value import ValueRef, as_live

_CONTAINERS = frozenset({list, dict, set, bytearray, deque, defaultdict, OrderedDict, Counter})
# By the library and the name of the class.
_TABLES = frozenset(
    {("numpy", "ndarray"), *((one, two) for one in ("pandas", "polars") for two in ("DataFrame", "Series"))}
)


class KeptParts:
    """See the module. Nothing of it is looked at in a run in which no step changes anything."""

    def __init__(self, graph: FlowGraph, usage: Usage, contents: Contents, guard: Guard) -> None:
        self._graph = graph
        self._usage = usage
        self._contents = contents
        self._guard = guard
        self._definitions: dict[Key, Any] = {}
        # Those that steps have given.
        self._classes: dict[Key, type] = {}
        # What is held that inputs are a part of.
        self._inputs: set[Key] = set()
        # What classes held when that was last known to be right.
        self._baseline: dict[Key, Digest] = {}
        self._refused: list[ValuesShared] = []
        # The steps that have begun and of which it is not looked at yet what they have changed.
        self._running: set[int] = set()

    def look(self, definitions: Sequence[Definitions]) -> None:
        """Looks at all that steps use, after the inputs of the run."""
        found = self._used(definitions)
        users = {name: self._users(name) for name in found}
        for name, kind, more in self._classes_of_inputs():
            if _held_by(kind) and found.setdefault(name, kind) is kind:
                users.setdefault(name, self._users(name))[0].update(more)
        for name, definition in found.items():
            key: Key = (None, state_name(attributes_state(name)))
            self._definitions[key] = definition
            self._usage.held_by[key] = users[name]
            self._look_at(key)

    def are_any(self, definitions: Sequence[Definitions]) -> bool:
        """Whether something is held at all."""
        return bool(self._used(definitions))

    def _used(self, definitions: Sequence[Definitions]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for body, node in zip(definitions, self._graph.nodes, strict=True) if definitions else ():
            for name in (*node.definitions, *filter(None, map(kept_owner, node.states))):
                if name not in found:
                    found[name] = body.definition(name)
        return {name: definition for name, definition in found.items() if _held_by(definition)}

    def _classes_of_inputs(self) -> Iterator[tuple[str, type, list[int]]]:
        """The classes of objects in the inputs, with the steps that take these."""
        parts = self._contents.parts
        for key in [key for key in parts.known() if key[0] is None and not is_held(key)]:
            for kind in {type(part) for part in parts.digest(key).keeps}:
                yield kind.__qualname__, kind, self._usage.users(key)

    def _users(self, name: str) -> tuple[set[int], set[int]]:
        nodes = self._graph.nodes
        # Calls only add to what is remembered.
        changed = [{kept_owner(s) for s in node.states if is_kept(s) and not are_calls(s)} for node in nodes]
        changers = {i for i, owners in enumerate(changed) if name in owners}
        return changers.union(i for i, node in enumerate(nodes) if name in node.definitions), changers

    def begin(self, i: int, *, is_put_back: bool) -> None:
        """Step `i` begins. Raises what is wrong with what it is about to use, some of which was put back."""
        self._running.add(i)
        for key in self._definitions if is_put_back else ():
            if i in self._usage.all_users(key)[0]:
                self._look_at(key)
        for error in self._refused:
            if self._usage.names[i] in (error.changer, error.reader):
                raise error

    def give(self, key: Key, kind: type) -> None:
        """A step has given a class: what it holds is compared, too, since nobody need name it to change that."""
        for other in [one for one, known in self._classes.items() if known is kind]:
            del self._classes[other]
            self._baseline.pop(other, None)
        if _containers_of(kind):
            self._classes[key] = kind
            self._take_down(key, kind)

    def leave(self, i: int) -> None:
        """Step `i` has ended: ValueChanged if what a class holds was changed by one that did not say so."""
        if not (self._definitions or self._classes):
            return
        own, ran = self._contents.reach(i), {i, *self._running}
        changing = own.union(*map(self._contents.reach, ran))
        for key, before in list(self._baseline.items()):
            is_said = key in changing or not ran.isdisjoint(self._usage.all_users(key)[1])
            if not (is_said or self._is_as(key, before)):
                raise self._changed(key, ran)
        for key in self._definitions:
            if key in own or i in self._usage.all_users(key)[1]:
                self._look_at(key)
        for key in self._classes.keys() & own:
            self._take_down(key, self._classes[key])
        self._running.discard(i)

    def let_go(self, i: int) -> None:
        """Nobody waits for step `i` any more, which may go on changing what it says."""
        for key in list(self._baseline):
            if i in self._usage.all_users(key)[1]:
                self._baseline.pop(key, None)
        self._running.discard(i)

    def titled(self, i: int | None, refs: tuple[ValueRef, ...]) -> tuple[ValueRef, ...]:
        """The references of step `i`, or of the inputs: what is a part of what is held is made again with it."""
        return tuple(self._titled((i, ref.name), ref) for ref in refs) if self._inputs else refs

    def is_live(self, key: Key) -> bool:
        """Whether the value is made again with what is held."""
        return not self._inputs.isdisjoint(self._contents.parts.direct(key))

    def _titled(self, key: Key, ref: ValueRef) -> ValueRef:
        found = self._inputs & self._contents.parts.direct(key)
        if not found or ref.live is not None:
            return ref
        why = f"it is a part of what {kept_owner(state_of(min(found)[1]))} keeps"
        return as_live(ref, why)

    def _look_at(self, key: Key) -> None:
        definition = self._definitions[key]
        self._take_down(key, definition)
        held, parts = deep_digest(_held_by(definition))[0], self._contents.parts
        for other in parts.add(key, held):
            is_input = other[0] is None and not is_held(other)
            if is_input and (self._usage.all_users(key)[1] or self._usage.changers.get(other)):
                self._inputs.add(key)
            try:
                if is_shown(held, parts.digest(other)):
                    self._contents.refuse_sharing(other, key)
            except ValuesShared as error:
                self._refused.append(error)

    def _take_down(self, key: Key, definition: Any) -> None:
        self._baseline.pop(key, None)
        if self._guard is not Guard.OFF and type(definition) in PLAIN_CLASSES:
            with suppress(TooLargeError):
                self._baseline[key] = self._content(definition)

    def _kind(self, key: Key) -> type:
        kind: type = self._classes[key] if key in self._classes else self._definitions[key]
        return kind

    def _is_as(self, key: Key, before: Digest) -> bool:
        try:
            return self._content(self._kind(key)) == before
        except RuntimeError:  # it is being changed this moment
            return False

    def _content(self, definition: type) -> Digest:
        limit = LARGE_BYTES if self._guard is Guard.LARGE_OFF else None
        return digest(_containers_of(definition), limit=limit)

    def _changed(self, key: Key, ran: Iterable[int]) -> ValueChanged:
        names, users = self._usage.names, self._usage.all_users(key)[0]
        return ValueChanged(
            kept_owner(state_of(key[1])) or key[1],
            self._usage.giver(key),
            tuple(names[i] for i in sorted(ran) if i in users),
            tuple(names[i] for i in sorted(ran) if i not in users),
        )


def _containers_of(kind: type) -> list[Any]:
    """The containers, arrays and tables that the class has of its own: what changes only where code changes it."""
    return [value for value in held_state(kind).get((), {}).values() if _is_container(type(value))]


def _is_container(kind: type) -> bool:
    return kind in _CONTAINERS or (library_of(kind), kind.__name__) in _TABLES


def _held_by(definition: Any) -> list[Any]:
    if isinstance(definition, type) and definition.__module__ != NOTEBOOK:
        return []
    held: list[Any] = [value for inside in held_state(definition).values() for value in inside.values()]
    for cache in caches_of(definition):
        held += [part for part in gc.get_referents(cache) if not isinstance(part, FunctionType | type)]
    return held
