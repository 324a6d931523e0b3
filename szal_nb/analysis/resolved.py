"""What is known of names and steps while a flow is resolved: `resolve` fills it, `order` and `graph` read it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

from szal_nb.analysis.glance import Glance
from szal_nb.analysis.names import CellNames, Change, ImportedName
from szal_nb.analysis.surroundings import NotebookName
from szal_nb.model.graph import Binding, Undo
from szal_nb.model.step import Step

NO_OBJECTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Version:
    """What a name is bound to, for the steps that come after: `giver` gave it, or changed it last.

    `fallback` is what it stays when the giver leaves it alone; `or_input`: then it stays what the notebook has.
    `objects` are those that the giver binds it to.
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


@dataclass(slots=True)
class Resolved:
    """A step with all that was found of it.

    `holds` are objects with those that may be inside them, as the step leaves them; `learns` the same of those that it
    keeps but leaves alone. `followed` are the versions that it reads under their own names. `passed` are names that it
    may leave as they were, with what they are then.
    """

    step: Step
    names: CellNames
    bindings: dict[str, Binding] = field(default_factory=dict)
    from_version: dict[str, Version] = field(default_factory=dict)
    vias: dict[str, str] = field(default_factory=dict)
    read_objects: dict[str, frozenset[str]] = field(default_factory=dict)
    changes: list[tuple[Change, frozenset[str]]] = field(default_factory=list)
    holds: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    learns: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    followed: dict[str, Version] = field(default_factory=dict)
    passed: dict[str, Version] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    definitions: list[str] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    condition_steps: tuple[str, ...] = ()
    # Those of them whose output the condition reads.
    condition_outputs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    undo: Undo | None = None


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
