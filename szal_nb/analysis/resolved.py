"""What is known of names and steps while a flow is resolved: `resolve` fills it, `order` and `graph` read it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import msgspec

from szal_nb.analysis.glance import Glance
from szal_nb.analysis.names import CellNames, Change, ImportedName
from szal_nb.analysis.surroundings import NotebookName
from szal_nb.model.graph import Binding, Undo
from szal_nb.model.kept import memory_state
from szal_nb.model.step import Step

NO_OBJECTS: frozenset[str] = frozenset()
_NOTHING: Mapping[str, Any] = MappingProxyType({})
# Among makers: any class or module, as far as anybody can tell.
ANY_MAKER = "any maker"
# Begins the object that stands for all that a function or class of the notebook keeps as one hidden state.
_KEPT = "kept:"


@dataclass(frozen=True, slots=True)
class Version:
    """What a name is bound to, for the steps that come after: `giver` gave it, or changed it last.

    `fallback` is what it stays when the giver leaves it alone; `or_input`: then it stays what the notebook has.
    `objects` are those that the giver binds it to, `inside` what functions keep of what these hold. `makers` are the
    notebook's classes and the modules that made what it may hold, as the hidden states that they are.
    """

    name: str
    giver: str
    objects: frozenset[str] = NO_OBJECTS
    kind: str = ""
    function: str = ""
    is_optional: bool = False
    line: int = 0
    is_doubtful: bool = False
    what: str = ""
    path: str = ""
    fallback: Version | None = None
    or_input: bool = False
    inside: frozenset[str] = NO_OBJECTS
    makers: frozenset[str] = NO_OBJECTS


class Resolved(msgspec.Struct):
    """A step with all that was found of it.

    `holds` are objects with those that may be inside them, as the step leaves them; `learns` the same of those that it
    keeps but leaves alone. `followed` are the versions that it reads under their own names. `passed` are names that it
    may leave as they were, with what they are then. `makers` are those of the values that it reads, `remade` those
    that it changes.
    """

    step: Step
    names: CellNames
    # What a step has not is no table of its own: to make so many empty ones would cost more than all the rest.
    bindings: Mapping[str, Binding] = _NOTHING
    from_version: Mapping[str, Version] = _NOTHING
    read_objects: Mapping[str, frozenset[str]] = _NOTHING
    followed: Mapping[str, Version] = _NOTHING
    vias: Mapping[str, str] = _NOTHING
    passed: Mapping[str, Version] = _NOTHING
    changes: tuple[tuple[Change, frozenset[str]], ...] = ()
    holds: tuple[tuple[str, frozenset[str]], ...] = ()
    learns: tuple[tuple[str, frozenset[str]], ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
    definitions: tuple[str, ...] = ()
    modules: frozenset[str] = NO_OBJECTS
    condition_steps: tuple[str, ...] = ()
    # Those of them whose output the condition reads.
    condition_outputs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    undo: Undo | None = None
    makers: frozenset[str] = NO_OBJECTS
    remade: frozenset[str] = NO_OBJECTS
    # What functions of the notebook that it uses remember: see `memory`.
    remembering: tuple[str, ...] = ()
    _bindings: dict[str, Binding] | None = None
    _followed: dict[str, Version] | None = None
    _from_version: dict[str, Version] | None = None
    _read_objects: dict[str, frozenset[str]] | None = None

    def bind(self, binding: Binding, version: Version | None = None, objects: frozenset[str] | None = None) -> None:
        """The step takes a name: of a version, where a step gives it, with the objects that it then reads."""
        if self._bindings is None or self._from_version is None:
            self.bindings = self._bindings = {}
            self.from_version = self._from_version = {}
        if self._read_objects is None:
            self.read_objects = self._read_objects = {}
        self._bindings[binding.name] = binding
        if version is not None:
            self._from_version[binding.name] = version
        if objects is not None:
            self._read_objects[binding.name] = objects

    def remember(self, name: str, memory: str) -> None:
        """The step uses a function of the notebook that remembers: it has to do with all that this has given."""
        self.keep(name, frozenset({kept_object(memory_state(memory))}))
        self.remembering += (memory,)

    def keep(self, name: str, objects: frozenset[str]) -> None:
        """The step has to do with what functions or classes keep, which its code has under this name."""
        if self._read_objects is None:
            self.read_objects = self._read_objects = {}
        self._read_objects[name] = objects

    @property
    def has_kept(self) -> bool:
        """Whether it has to do with what functions or classes keep."""
        return any(name not in self.bindings for name in self.read_objects)

    @property
    def changed_values(self) -> tuple[Change, ...]:
        """The changes of what it has under a name, without those of what functions remember."""
        return tuple(change for change, _ in self.changes if change.name in self.bindings)

    def follow(self, version: Version) -> None:
        """It reads the version under its own name."""
        if self._followed is None:
            self.followed = self._followed = {}
        self._followed[version.name] = version


@dataclass(slots=True)
class Known:
    """What is known at one point of a flow.

    Of names: `around` are the notebook's, `versions` those of the steps so far, `imported` by a step, `deleted` by
    which step and in which line, `dynamic` the last step that may give any name (under ""). `given_by` has what each
    step so far gives. Of all steps of the flow, wherever they stand: themselves, a first look at each, and `givers`,
    those that may bind a name.
    """

    around: Mapping[str, NotebookName]
    steps: Mapping[str, Step] = field(default_factory=dict)
    glances: Mapping[str, Glance] = field(default_factory=dict)
    givers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    versions: MutableMapping[str, Version] = field(default_factory=dict)
    imported: MutableMapping[str, ImportedName] = field(default_factory=dict)
    deleted: MutableMapping[str, tuple[str, int]] = field(default_factory=dict)
    dynamic: MutableMapping[str, str] = field(default_factory=dict)
    given_by: MutableMapping[str, dict[str, Version]] = field(default_factory=dict)

    def givers_of(self, name: str) -> Sequence[str]:
        """The steps that may give a name to others."""
        return () if name.startswith("_") else self.givers.get(name, ())


def is_same(one: object, other: object) -> bool:
    """Whether two entries of a table say the same; of versions, those that they fall back to are the same object.

    Comparing these in turn would go as deep as there are steps.
    """
    if one is other:
        return True
    if not isinstance(one, Version) or not isinstance(other, Version):
        return one == other
    return one.fallback is other.fallback and replace(one, fallback=None) == replace(other, fallback=None)


def objects_of(version: Version) -> frozenset[str]:
    """The objects that the name may be bound to, with those that it stays bound to where a giver leaves it alone.

    Joined when they are asked for: a name that each of many steps may bind, as a loop does, is seldom read by others.
    """
    if version.fallback is None:
        return version.objects
    found = set(version.objects)
    before: Version | None = version.fallback
    while before is not None:
        found |= before.objects
        before = before.fallback
    return frozenset(found)


def input_object(name: str) -> str:
    """The object that the notebook has under a name."""
    return f"input:{name}"


def kept_object(state: str) -> str:
    """The object that stands for all that a function or class of the notebook keeps as this hidden state."""
    return f"{_KEPT}{state}"


def state_of_object(token: str) -> str:
    """The hidden state that the object stands for; "" if it is another object."""
    return token.removeprefix(_KEPT) if token.startswith(_KEPT) else ""
