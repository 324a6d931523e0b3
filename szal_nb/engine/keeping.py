"""What functions and classes of the notebook keep from call to call, read off them and put back: see `model.kept`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from szal_nb.engine.class_state import held_inside, is_data, put_into_class
from szal_nb.engine.memory import Memory, Remembered, clear, holds_nothing_that_changes, is_unused
from szal_nb.engine.usage import Usage
from szal_nb.model.graph import FlowGraph
from szal_nb.model.kept import are_calls, default_owner, is_kept, kept_owner, memory_owner, state_name
from szal_nb.model.own_code import is_code, own_code

# Among what a class keeps: what its methods, and classes inside of it, keep for themselves.
_INSIDE = "<inside>"
# Among what a function keeps that tells of what it remembers: that.
_REMEMBERED = "<remembered>"


class Definitions(Protocol):
    """Where the functions and classes are that the body of a step finds."""

    def definition(self, name: str) -> Any:
        """The function or class of this name; None if there is none."""
        ...


def kept_states(graph: FlowGraph) -> list[tuple[str, ...]]:
    """For each step the states that it uses which functions and classes keep."""
    states = dict.fromkeys(state for node in graph.nodes for state in node.states if is_kept(state))
    users: list[list[str]] = [[] for _ in graph.nodes]
    for state in states:
        for i in _users(graph, state):
            users[i].append(state)
    return [tuple(found) for found in users]


def _users(graph: FlowGraph, state: str) -> list[int]:
    """The steps that have to do with the state; of those that only use its owner, all that are ordered to changes.

    Of a default those are not that pass something for it.
    """
    owner, nodes = kept_owner(state), graph.nodes
    changing = [i for i, node in enumerate(nodes) if state in node.states]
    using = [i for i, node in enumerate(nodes) if owner in node.definitions and state not in node.states]
    if default_owner(state) is not None:
        usage = graph.derived(Usage)
        using = [i for i in using if all(usage.are_ordered(i, changer) for changer in changing)]
    return sorted((*changing, *using))


def kept_by(definition: Any, state: str) -> dict[str, Any]:
    """What a function or class keeps as this state, in the very objects."""
    if memory_owner(state):
        is_as_good = is_unused(definition) if are_calls(state) else holds_nothing_that_changes(definition)
        return {} if is_as_good else {"memory": Memory(definition)}
    default = default_owner(state)
    if default is not None:
        found = _defaults(inspect.unwrap(definition))
        return {default[1]: found[default[1]]} if default[1] in found else {}
    if isinstance(definition, type):
        own = own_code(definition)
        kept = {
            name: value
            for name, value in [*vars(definition).items()]
            if is_data(name, value) or (is_code(value) and value is not own.get(name))
        }
        inside = held_inside(definition)
        return {**kept, _INSIDE: inside} if inside else kept
    kept = {name: value for name, value in [*vars(definition).items()] if name != "__wrapped__"}
    return {**kept, _REMEMBERED: Memory(definition, is_counted=True)} if hasattr(definition, "cache_info") else kept


def put_back(definition: Any, state: str, kept: Mapping[str, Any]) -> None:
    """Gives a function or class what it kept at another time, in objects that are its own from now on."""
    remembered = [one for one in kept.values() if isinstance(one, Remembered)]
    for one in remembered:
        one.put_back()
    if memory_owner(state):
        if not remembered:
            clear(definition)
        return
    default = default_owner(state)
    if default is not None:
        _set_default(inspect.unwrap(definition), default[1], kept)
    elif isinstance(definition, type):
        _set_attributes(definition, kept_by(definition, state), kept)
    else:
        wrapped = {name: value for name, value in [*vars(definition).items()] if name == "__wrapped__"}
        vars(definition).clear()
        kept = {name: value for name, value in kept.items() if not isinstance(value, Remembered)}
        vars(definition).update({**wrapped, **kept})


def _set_attributes(kind: type, now: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    own = own_code(kind)
    for name in now.keys() - kept.keys() - {_INSIDE}:
        if name in own:
            setattr(kind, name, own[name])
        else:
            delattr(kind, name)
    for name, value in kept.items():
        if name != _INSIDE:
            setattr(kind, name, value)
    put_into_class(kind, kept.get(_INSIDE, {}))


def states_of(definitions: Definitions, states: Iterable[str]) -> dict[str, object]:
    """What is kept as these states now, by the names under which it is recorded."""
    found: dict[str, object] = {}
    for state in states:
        definition = definitions.definition(kept_owner(state))
        if definition is not None:
            found[state_name(state)] = kept_by(definition, state)
    return found


def kept_at_first(graph: FlowGraph, definitions: Mapping[str, Definitions]) -> dict[str, object]:
    """What is kept before any step has run, by the names under which it is recorded; caches are left out.

    `definitions` are by step.
    """
    found: dict[str, object] = {}
    for node, states in zip(graph.nodes, graph.derived(kept_states), strict=True):
        found |= states_of(definitions[node.step.name], states) if states else {}
    return {name: kept for name, kept in found.items() if not _has_cache(kept)}


def _has_cache(kept: object) -> bool:
    return isinstance(kept, Mapping) and any(isinstance(one, Memory) for one in kept.values())


def copied(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that shares no data with what it was made of. Raises whatever a value raises that cannot be copied."""
    return copy.deepcopy(dict(kept), {id(value): value for value in kept.values() if is_code(value)})


def _defaults(function: Any) -> dict[str, Any]:
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    found = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    return {**found, **(function.__kwdefaults__ or {})}


def _set_default(function: Any, name: str, kept: Mapping[str, Any]) -> None:
    if name not in kept:
        return
    if name in (function.__kwdefaults__ or {}):
        function.__kwdefaults__ = {**function.__kwdefaults__, name: kept[name]}
        return
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    defaults = list(function.__defaults__ or ())
    defaults[names.index(name) - len(names)] = kept[name]
    function.__defaults__ = tuple(defaults)
