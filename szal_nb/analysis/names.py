"""What the analysis of one cell finds: plain values, no rules. `analysis.cell.analyze_cell` makes them.

Lines are counted from 1 in the cell's source.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Read:
    """A name that the code takes from outside.

    `is_optional`: the code may do without it (it may be bound by then, or an absence is caught). `via` is the notebook
    function whose body reads it, when the cell itself does not.
    """

    name: str
    line: int
    is_optional: bool = False
    via: str = ""


# The rule of a change by which a model learns: it does so from its data, and leaves these as they are.
FITTING = "fitting method"


@dataclass(frozen=True, slots=True)
class Change:
    """A name from outside whose object the code changes in place, or may change.

    `what` quotes the code. `is_certain` is False for calls of unknown effect. `is_deep`: the change may be to an
    object inside the named one, not to itself.
    """

    name: str
    line: int
    rule: str
    what: str
    is_certain: bool = True
    is_deep: bool = False

    @property
    def need_not_reach(self) -> bool:
        """Whether what the object shares with others need not be changed."""
        return not self.is_certain or self.rule == FITTING


@dataclass(frozen=True, slots=True)
class Given:
    """A name that the cell binds at top level.

    `objects` are the tokens (see `values`) of what it may be: names from outside, `#line:column` for something made
    in the cell; two given names with a common token may share their object. `kind` is the dotted name of what made
    the value, or a plain type name, where known. `function` is the source of a plain function or lambda, for
    look-through by later steps. `path` is its text as the path of a file, where known.
    """

    name: str
    line: int
    is_optional: bool = False
    kind: str = ""
    objects: frozenset[str] = frozenset()
    function: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class StateUse:
    """A use of hidden state, such as `numpy.random`; two uses are ordered if one of them is a write."""

    state: str
    line: int
    is_write: bool
    what: str


@dataclass(frozen=True, slots=True)
class ImportedName:
    """A name that an import statement binds; `module` is the dotted thing it stands for."""

    name: str
    statement: str
    module: str
    line: int


@dataclass(frozen=True, slots=True)
class Captured:
    """A global that a callable of the cell will read later from this cell's namespace, which cannot be exchanged."""

    name: str
    line: int
    owner: str
    what: str


@dataclass(frozen=True, slots=True)
class CellNames:
    """All that the analysis knows of one cell.

    `reads` holds no builtins; those that the code uses are in `builtins`. `private` are bound names that are not given
    (leading underscore). `helpers` are the notebook's functions and classes that the code uses. `dynamic` says why the
    names cannot be known (`globals()`, `exec`, …); empty if they can. `has_calls`: the code calls anything at all, so
    that process-wide settings may matter to it. `holds`: (object, objects that may be inside it) as the code leaves
    them; `learns` the same of what was fitted on others, keeps them and leaves them alone.
    """

    reads: tuple[Read, ...] = ()
    gives: tuple[Given, ...] = ()
    changes: tuple[Change, ...] = ()
    deletes: tuple[Read, ...] = ()
    imports: tuple[ImportedName, ...] = ()
    states: tuple[StateUse, ...] = ()
    captured: tuple[Captured, ...] = ()
    builtins: tuple[Read, ...] = ()
    private: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    dynamic: tuple[Read, ...] = ()
    holds: tuple[tuple[str, frozenset[str]], ...] = ()
    learns: tuple[tuple[str, frozenset[str]], ...] = ()
    is_async: bool = False
    needs_loop: bool = False
    has_calls: bool = False

    @property
    def read_names(self) -> tuple[str, ...]:
        """The names read, in order of first use."""
        return tuple(read.name for read in self.reads)

    @property
    def given_names(self) -> tuple[str, ...]:
        """The names given, in order of first binding."""
        return tuple(given.name for given in self.gives)

    @property
    def changed_names(self) -> tuple[str, ...]:
        """The names changed in place, in order of first change."""
        return tuple(change.name for change in self.changes)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the names around a cell; hashable, so that an analysis can be kept.

    `modules`: (name, dotted thing) of imports made elsewhere. `functions`: (name, source) of plain functions that can
    be looked through; `classes` the same of classes and decorated functions. `kinds`: (name, kind) of values: `Given`.
    `paths`: (name, text) of values that may be the path of a file. `bodies`: (name, source) of the notebook's classes
    with a method that the cell may call. `remembering`: (name, name of the memory) of functions that remember what they
    gave: see `memory`.
    """

    modules: tuple[tuple[str, str], ...] = ()
    functions: tuple[tuple[str, str], ...] = ()
    classes: tuple[tuple[str, str], ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    bodies: tuple[tuple[str, str], ...] = ()
    paths: tuple[tuple[str, str], ...] = ()
    remembering: tuple[tuple[str, str], ...] = ()
