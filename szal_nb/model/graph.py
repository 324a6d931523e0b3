"""What the analysis finds out about a flow: which step waits for which, over which names, and why.

Nodes and edges are structs, which are made in a fraction of a dataclass's time: a flow may have 100,000 of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import Step

_T = TypeVar("_T")

# The name under which the value of a cell's last expression is kept; names of values never begin with "_".
DISPLAY = "_"


class EdgeKind(StrEnum):
    """Why a step waits for another.

    data: it reads what the other gives. order: it must come later for certain (a change in place after readers,
    shared hidden state, `--after`, a sequential flow). doubt: the analysis cannot rule it out. parent: hierarchy.
    """

    DATA = "data"
    ORDER = "order"
    DOUBT = "doubt"
    PARENT = "parent"


class Edge(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """`target` waits for `source`. `rule` is a short stable id, `reason` a sentence, `remedy` the flag that frees.

    `also` are the rules of further reasons for the same edge.

    `is_blocking`: the target is skipped if the source fails. An edge that only keeps two steps apart (a change in
    place after the readers of the old version, drawing with pyplot) does not block.
    """

    source: str
    target: str
    kind: EdgeKind
    names: tuple[str, ...] = ()
    rule: str = ""
    reason: str = ""
    line: int | None = None
    remedy: str = ""
    is_blocking: bool = True
    also: tuple[str, ...] = ()

    @property
    def rules(self) -> tuple[str, ...]:
        """All rules that ask for the edge."""
        return (self.rule, *self.also)

    @property
    def because(self) -> str:
        """The reason, for where it stands beside the two steps: some of the reasons begin with naming them."""
        return self.reason.replace(f"{self.target} waits for {self.source}: ", "")


class Binding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """Where the value of the name `name` in a step's namespace comes from.

    From the name `source` of the step `step`; from the notebook, as an input of the run, if `step` is None.
    `is_optional`: the body may run without it (the giver may leave it unbound, or the read is guarded).
    """

    name: str
    step: str | None = None
    source: str = ""
    line: int | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What the analysis knows of a step's compensation.

    `reads` are the names of the step's inputs and values that it is given; the rest as in `StepNode`.
    """

    reads: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()


class StepNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step with all that the analysis knows of it.

    `imports` are import statements, run in the step's namespace before the body. `definitions` are names of plain
    functions and classes of the notebook that the body uses, rebuilt over its values. Of `changes`, `doubtful` are
    those that need not reach what others share with the value: calls of unknown effect, and the fitting of models.
    `needed` are the given names that a later step reads or `--out` names. `deletes` are names that it takes out of the
    notebook. `states` are the hidden states that the body changes. `notes` are sentences for the chip. `captures` are
    pairs: a given name that holds code, and a global that the code reads when it is called. `parts` are what the
    fingerprint of the code is made of (`analysis.fingerprint`), pairs of a name and a hash; empty in a graph that is
    not run. `undo` is None where the step has no compensation, or one whose code is not known: that is given all that
    the step read and gave.
    """

    step: Step
    bindings: tuple[Binding, ...] = ()
    gives: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    is_async: bool = False
    is_main_thread: bool = False
    is_cacheable: bool = True
    notes: tuple[str, ...] = ()
    captures: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    undo: Undo | None = None

    @property
    def compensation(self) -> StepNode:
        """The node whose body is the step's compensation: in a namespace of its own, and it gives nothing."""
        undo = self.undo or Undo()
        return msgspec.structs.replace(
            self,
            step=replace(self.step, out=()),
            gives=(),
            changes=(),
            doubtful=(),
            imports=undo.imports,
            definitions=undo.definitions,
        )

    @property
    def reads(self) -> tuple[Binding, ...]:
        """What the step reads, for people: last the inputs that only its condition asks for, as `inputs.NAME`."""
        own = [binding for binding in self.bindings if "." not in binding.name]
        taken = {binding.source for binding in own if binding.step is None}
        return (*own, *(one for one in self.bindings if "." in one.name and one.source not in taken))

    @property
    def values(self) -> tuple[str, ...]:
        """The names whose values the step leaves to others: those it gives, then those it changed in place."""
        return tuple(dict.fromkeys((*self.gives, *self.changes)))

    def output_name(self, has: Callable[[str], bool]) -> str | None:
        """Under which name stands what the step is worth; `has` says which it gave.

        A function's result, a cell's last expression, else its only value.
        """
        for name in (self.step.name, DISPLAY):
            if has(name):
                return name
        return self.gives[0] if len(self.gives) == 1 and has(self.gives[0]) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowGraph:
    """A flow ready to run: its nodes in document order, its edges, and the names that it takes from outside."""

    flow: FlowDefinition
    nodes: tuple[StepNode, ...] = ()
    edges: tuple[Edge, ...] = ()
    inputs: tuple[str, ...] = ()
    _by_name: dict[str, StepNode] = field(init=False, repr=False, compare=False)
    dependencies: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _derived: dict[object, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {node.step.name: node for node in self.nodes})
        found: dict[str, dict[str, None]] = {node.step.name: {} for node in self.nodes}
        for edge in self.edges:
            found[edge.target][edge.source] = None
        object.__setattr__(self, "dependencies", {name: tuple(sources) for name, sources in found.items()})

    @property
    def all_inputs(self) -> tuple[str, ...]:
        """`inputs`, and the names that steps take from outside where they are given, but can do without."""
        return self.derived(_all_inputs)

    def node(self, step: str) -> StepNode:
        """The node of this step; `KeyError` if there is none."""
        return self._by_name[step]

    def edges_to(self, step: str) -> tuple[Edge, ...]:
        """The edges that lead to this step."""
        return self.derived(_by_target).get(step, ())

    def derived(self, make: Callable[[FlowGraph], _T]) -> _T:
        """What `make` makes of the graph, made once for all runs of it: nobody may change it."""
        if make not in self._derived:
            self._derived[make] = make(self)
        found: _T = self._derived[make]
        return found


def _all_inputs(graph: FlowGraph) -> tuple[str, ...]:
    outside = (one.source or one.name for node in graph.nodes for one in node.bindings if one.step is None)
    return tuple(dict.fromkeys((*graph.inputs, *outside)))


def _by_target(graph: FlowGraph) -> dict[str, tuple[Edge, ...]]:
    found: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        found.setdefault(edge.target, []).append(edge)
    return {target: tuple(edges) for target, edges in found.items()}
