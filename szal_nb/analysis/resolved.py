"""What is known of names and steps while a flow is resolved: `resolve` fills it, `order` and `graph` read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from szal_nb.analysis.names import CellNames, Change, ImportedName
from szal_nb.analysis.surroundings import NotebookName
from szal_nb.model.graph import Binding, Undo
from szal_nb.model.step import Step

NO_OBJECTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Version:
    """What a name is bound to, for the steps that come after: `giver` gave it, or changed it last.

    `fallback` is what it stays when the giver leaves it alone; `or_input`: then it stays what the notebook has.
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
    """A step with all that was found of it. `held` maps objects to those that may be inside them."""

    step: Step
    names: CellNames
    bindings: dict[str, Binding] = field(default_factory=dict)
    from_version: dict[str, Version] = field(default_factory=dict)
    vias: dict[str, str] = field(default_factory=dict)
    read_objects: dict[str, frozenset[str]] = field(default_factory=dict)
    changes: list[tuple[Change, frozenset[str]]] = field(default_factory=list)
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
    """The names at one point of a flow: `around` the notebook's, `versions` of the steps so far, `imported` by a step.

    `givers` are the steps that may give a name, wherever they stand. `classes` are names and sources of the classes of
    the notebook and of all steps.
    """

    around: Mapping[str, NotebookName]
    versions: dict[str, Version] = field(default_factory=dict)
    imported: dict[str, ImportedName] = field(default_factory=dict)
    givers: dict[str, list[str]] = field(default_factory=dict)
    classes: list[tuple[str, str]] = field(default_factory=list)
