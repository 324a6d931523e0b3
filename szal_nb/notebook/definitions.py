"""Which cell defines which step of which flow, while cells are executed, changed and deleted. Knows no kernel."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from szal_nb.engine.body import Body
from szal_nb.errors import InvalidFlow, InvalidStep
from szal_nb.model.flow import FlowDefinition, FlowMode
from szal_nb.model.graph import StepNode
from szal_nb.model.step import Compensation, Step
from szal_nb.notebook.arrangement import Arranged, Arrangement
from szal_nb.notebook.document import Notebook
from szal_nb.notebook.flags import ParsedFlow
from szal_nb.notebook.history import document_order
from szal_nb.notebook.reader import DEFAULT_FLOW, has_rollback, no_such_step

MakeBody = Callable[[StepNode, Mapping[str, Any]], Body]


@dataclass(frozen=True, slots=True)
class Cell:
    """The cell that is being executed. `key` is its id; where the front end sends none, a name for this execution.

    `is_only` says that a cell of this front end is executed once, so that a second definition is a second cell.
    """

    key: str
    has_id: bool = True
    is_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """A step as its cell defined it. `make_body` gives what runs, from its node and the notebook's functions.

    `make_undo` does the same for the compensation of a step that was defined together with it.
    """

    step: Step
    flow: str
    cell: Cell
    make_body: MakeBody
    make_undo: MakeBody | None = None
    parent: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedRollback:
    """What undoes a step, as a cell of its own defined it; `where` is what messages call the cell."""

    step: str
    flow: str
    cell: Cell
    where: str
    compensation: Compensation
    make_body: MakeBody


class Definitions:
    """The flows of a notebook as its executed cells define them."""

    def __init__(self) -> None:
        self.current = DEFAULT_FLOW
        self._flows: dict[str, ParsedFlow] = {}
        self._flow_cells: dict[str, str] = {}
        self._steps: dict[str, Defined] = {}
        self._rollbacks: dict[str, DefinedRollback] = {}
        # What cells have defined, by their keys.
        self._steps_of: dict[str, set[str]] = {}
        self._rollbacks_of: dict[str, set[str]] = {}
        self._arrangements: dict[str, Arrangement] = {}
        self._places: dict[str, int] = {}
        self._cell: Cell | None = None
        self._former_flow: str | None = None
        self._defined_now: set[str] = set()
        self._undone_now: set[str] = set()

    def begin_cell(self, cell: Cell) -> None:
        """A cell is about to be executed."""
        self._cell, self._defined_now, self._undone_now = cell, set(), set()
        self._former_flow = self._flow_cells.pop(cell.key, None)

    def end_cell(self, *, is_completed: bool) -> None:
        """The cell has been executed: steps that it once defined and now does not are gone."""
        if is_completed and self._cell is not None:
            self._drop(self._cell.key, self._defined_now, self._undone_now)
        self._cell, self._defined_now, self._former_flow = None, set(), None

    def delete_cells(self, keys: Iterable[str]) -> None:
        """The cells are no longer in the notebook, nor are their steps."""
        for key in keys:
            self._flow_cells.pop(key, None)
            self._drop(key)

    def _drop(self, key: str, steps: Collection[str] = (), rollbacks: Collection[str] = ()) -> None:
        """Takes away what a cell has defined, except for these steps and rollbacks."""
        for name in self._steps_of.get(key, set()).difference(steps):
            self._steps_of[key].discard(name)
            self._arrangement(self._steps.pop(name).flow).drop(name)
        for step in self._rollbacks_of.get(key, set()).difference(rollbacks):
            self._rollbacks_of[key].discard(step)
            del self._rollbacks[step]
            self._rearrange(step)

    def use_flow(self, flow: ParsedFlow) -> None:
        """The steps below belong to `flow`."""
        FlowDefinition(name=flow.name, **flow.fields)
        former, self._former_flow = self._former_flow, None
        if former is not None and former != flow.name and former not in self._flow_cells.values():
            # The line was changed: the flow has another name now, and the same steps.
            self._flows.pop(former, None)
            self._steps = {
                name: replace(defined, flow=flow.name) if defined.flow == former else defined
                for name, defined in self._steps.items()
            }
            self._rollbacks = {
                step: replace(found, flow=flow.name) if found.flow == former else found
                for step, found in self._rollbacks.items()
            }
            self._arrangements.clear()
        if self._cell is not None:
            self._flow_cells[self._cell.key] = flow.name
        self._flows[flow.name] = flow
        self.current = flow.name

    def flow_above(self, cell: Cell, numbers: Mapping[str, int]) -> str:
        """The flow that a step of this cell belongs to: that of the nearest `%szal_flow` above it in the document.

        `numbers` are those of the saved notebook's cells; where they do not say it, the flow named last.
        """
        here = numbers.get(cell.key, 0)
        above = [key for key in self._flow_cells if 0 < numbers.get(key, 0) < here]
        return self._flow_cells[max(above, key=numbers.__getitem__)] if above else self.current

    def define(self, defined: Defined) -> None:
        """The cell defines this step; it takes the place of the one that the cell defined before."""
        name, cell = defined.step.name, defined.cell
        known = self._steps.get(name)
        is_twice = name in self._defined_now and cell == self._cell
        if known is not None and (is_twice or (known.cell.key != cell.key and (cell.has_id or cell.is_only))):
            place = "in this cell already" if is_twice else "in another cell"
            raise InvalidStep(name, f"a step of this name is defined {place}.", "Rename one of the two.")
        if known is not None:
            self._places.setdefault(cell.key, self._places[known.cell.key])
            self._steps_of[known.cell.key].discard(name)
        self._places.setdefault(cell.key, len(self._places))
        self._defined_now.add(name)
        self._steps[name] = defined
        self._steps_of.setdefault(cell.key, set()).add(name)
        if known is not None and known.flow != defined.flow:
            self._arrangement(known.flow).drop(name)
        self._rearrange(name)

    def define_rollback(self, defined: DefinedRollback) -> None:
        """The cell says what undoes a step; it takes the place of what the cell said before."""
        step, cell = defined.step, defined.cell
        known = self._rollbacks.get(step)
        is_twice = step in self._undone_now and cell == self._cell
        if known is not None and (is_twice or (known.cell.key != cell.key and (cell.has_id or cell.is_only))):
            raise has_rollback(step, f"by {known.where}", defined.where)
        self._undone_now.add(step)
        if known is not None:
            self._rollbacks_of[known.cell.key].discard(step)
        self._rollbacks[step] = defined
        self._rollbacks_of.setdefault(cell.key, set()).add(step)
        self._rearrange(step)

    def rollback_of(self, step: str) -> MakeBody | None:
        """What gives the body that undoes the step, if anything does."""
        found = self._rollbacks.get(step)
        return found.make_body if found is not None else self._steps[step].make_undo

    def check_rollbacks(self, flow: str) -> None:
        """Refuses what undoes a step that is not there, or one that says itself how it is undone."""
        for step, found in self._rollbacks.items():
            if found.flow == flow or step in self._steps:
                self.check_rollback(step)

    def check_rollback(self, step: str) -> None:
        """The same of what a cell says that undoes this step."""
        found = self._rollbacks[step]
        if step not in self._steps:
            raise no_such_step(step, found.where, self._steps)
        if self._steps[step].make_undo is not None:
            raise has_rollback(step, "by its rollback=", found.where)

    def flow_names(self) -> list[str]:
        """All flows that have steps or a line of their own."""
        return list(dict.fromkeys([*self._flows, *(defined.flow for defined in self._steps.values())]))

    def step_names(self) -> list[str]:
        """All steps of all flows."""
        return list(self._steps)

    def flow_of(self, step: str) -> str:
        """The flow that a step belongs to; InvalidStep if there is no such step."""
        if step not in self._steps:
            raise no_such_step(step, "the cell", self._steps)
        return self._steps[step].flow

    def of_flow(self, name: str) -> list[Defined]:
        """The steps of a flow, in the order in which their cells first defined steps."""
        if name not in self.flow_names() and name != DEFAULT_FLOW:
            near = difflib.get_close_matches(name, self.flow_names(), n=1)
            known = ", ".join(self.flow_names()) or "none"
            advice = f"Did you mean {near[0]}?" if near else f"This notebook has: {known}."
            raise InvalidFlow(f"There is no flow {name!r}. {advice}")
        found = [defined for defined in self._steps.values() if defined.flow == name]
        return sorted(found, key=lambda defined: self._places[defined.cell.key])

    def arranged(self, name: str, saved: Notebook | None) -> list[Defined]:
        """The steps of a flow in the order of the saved file, as far as it knows their cells."""
        steps = self.of_flow(name)
        keys = list(dict.fromkeys(defined.cell.key for defined in steps))
        places = {key: place for place, key in enumerate(document_order(keys, saved))}
        return sorted(steps, key=lambda defined: places[defined.cell.key])

    def steps_of_flow(self, name: str, saved: Notebook | None) -> tuple[Step, ...]:
        """The same as plain steps, at little cost after each execution of a cell."""
        arrangement = self._arrangement(name)
        found = arrangement.steps(saved)
        if found is None:
            arranged = self.arranged(name, saved)
            arrangement.begin(map(self._arranged, arranged), saved)
            found = arrangement.steps(saved) or ()
        return found

    def mode(self, name: str) -> FlowMode:
        """The mode of a flow."""
        return self.definition(name, ()).mode

    def _arrangement(self, flow: str) -> Arrangement:
        return self._arrangements.setdefault(flow, Arrangement())

    def _rearrange(self, name: str) -> None:
        """A step, or what undoes it, is another one."""
        defined = self._steps.get(name)
        if defined is not None:
            self._arrangement(defined.flow).put(self._arranged(defined))

    def _arranged(self, defined: Defined) -> Arranged:
        key = defined.cell.key
        return Arranged(self._undoable(defined.step), key, self._places[key])

    def definition(self, name: str, steps: Collection[Defined]) -> FlowDefinition:
        """The flow with these steps, in this order."""
        parsed = self._flows.get(name)
        fields = parsed.fields if parsed is not None else {}
        return FlowDefinition(name=name, steps=tuple(self._undoable(defined.step) for defined in steps), **fields)

    def _undoable(self, step: Step) -> Step:
        found = self._rollbacks.get(step.name)
        return step if found is None else replace(step, rollback=found.compensation)
