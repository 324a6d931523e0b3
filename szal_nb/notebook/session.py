"""The flows of one kernel: what its executed cells define, and the graph that this makes.

Made once, when the extension is loaded. Everything here runs on the kernel's main thread.
"""

from __future__ import annotations

import inspect
import os
from collections import ChainMap
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from szal_nb.analysis.graph import build_graph
from szal_nb.analysis.growth import Growth
from szal_nb.analysis.surroundings import Surroundings
from szal_nb.api.fingerprints import fingerprinted
from szal_nb.api.options import compensation, function_step
from szal_nb.engine.body import Body, CellBody, FunctionBody
from szal_nb.engine.code_globals import Lender, Loans
from szal_nb.errors import DefinitionError, InvalidFlow
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, FlowGraph, StepNode
from szal_nb.model.step import Step
from szal_nb.notebook.bound_again import bound_again
from szal_nb.notebook.cells import compile_step, read_step_cell
from szal_nb.notebook.chip import RollbackChip, StepChip, chip_of, rollback_chip_of
from szal_nb.notebook.definitions import Cell, Defined, DefinedRollback, Definitions
from szal_nb.notebook.document import Notebook
from szal_nb.notebook.flags import ParsedFlow, parse_rollback_line, parse_step_line
from szal_nb.notebook.headless import read_headless
from szal_nb.notebook.history import History, SavedNotebook, bound_in, notebook_path
from szal_nb.notebook.live_names import LiveNames
from szal_nb.notebook.output import Home
from szal_nb.notebook.own_names import OwnNames
from szal_nb.notebook.refusal import not_python
from szal_nb.notebook.step_shell import ambient_names
from szal_nb.notebook.watched import Watched


class Session:
    """What cells define. `shell` is the kernel's.

    `own` is what the notebook's names hold apart from what runs gave; `functions` are those of the notebook that are
    steps; `shown` the steps whose cell shows what a run put there.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.own = OwnNames(shell.user_ns)
        self.loans = Loans()
        self.definitions = Definitions()
        self.history = History()
        self._file = SavedNotebook()
        self.headless = read_headless()
        self._ambient = ambient_names(shell)
        self.shown: set[str] = set()
        self.functions: dict[str, Callable[..., Any]] = {}
        self._growths: dict[str, Growth] = {}
        self._watches: dict[str, Watched] = {}
        self._accepted_orders: set[tuple[str, ...]] = set()
        self._execution = 0
        self._request_id: str | None = None

    # The cell that is being executed

    def request(self) -> Mapping[str, Any]:
        """The request of the cell that calls."""
        request: Mapping[str, Any] = self.shell.parent_header or {}
        return request

    def waits(self) -> bool:
        """Whether a run waits in its cell by itself, because no person is at the front end."""
        wish = os.environ.get("SZAL_WAIT")
        return wish == "1" if wish in ("0", "1") else not (self._may_ask() or self._is_button())

    def _is_button(self) -> bool:
        """Whether it is no cell that calls but a button: there is a person, who can be shown but not be asked."""
        kind: object = self.request().get("header", {}).get("msg_type")
        return kind == "comm_msg"

    def _may_ask(self) -> bool:
        return bool(self.request().get("content", {}).get("allow_stdin", False))

    def _cell(self) -> Cell:
        key = (self.request().get("metadata") or {}).get("cellId")
        if key is not None:
            return Cell(key)
        # Our own count: the shell's stands still where a front end keeps no history, as nbval does.
        request_id = self.request().get("header", {}).get("msg_id")
        if request_id is None or request_id != self._request_id:
            self._request_id, self._execution = request_id, self._execution + 1
        return Cell(f"executed-{self._execution}", has_id=False, is_only=not self._may_ask())

    def read_past(self) -> None:
        """What was executed before the extension was loaded, and in the cell that loads it, counts as the rest."""
        past = list(self.shell.history_manager.input_hist_raw)
        for source in past[:-1]:
            self.history.read(source)
        if past:
            self.history.add(self._cell().key, past[-1])

    def before_cell(self, info: Any) -> None:
        """A cell is about to be executed."""
        cell = self._cell()
        self.delete_cells((self.request().get("metadata") or {}).get("deletedCells") or ())
        self.history.add(cell.key, info.raw_cell)
        self.definitions.begin_cell(cell)

    def delete_cells(self, cells: Collection[str]) -> None:
        """The notebook has lost these cells, and with them what they defined."""
        self.definitions.delete_cells(cells)
        self.history.delete(cells)

    def after_cell(self, result: Any) -> None:
        """A cell has been executed."""
        is_completed = bool(getattr(result, "success", False))
        self.definitions.end_cell(is_completed=is_completed)
        if is_completed:
            self.own.executed(bound_in(result.info.raw_cell))

    # Definitions

    def define_cell(self, line: str, body: str) -> tuple[StepChip, bool]:
        """The step that a cell spells, defined; and whether its line asks to execute it."""
        raw = str(self.request().get("content", {}).get("code", ""))
        spelled = read_step_cell(raw, line=line, body=body)
        parsed = parse_step_line(spelled.line)
        try:
            code = compile_step(self.shell, spelled)
        except SyntaxError as error:
            raise not_python(parsed.name, error) from None

        def make_body(node: StepNode, functions: Mapping[str, Any]) -> CellBody:
            return CellBody(node, code, functions, self._ambient, is_quiet=spelled.is_quiet)

        cell = self._cell()
        step = parsed.step(source=spelled.source, raw=spelled.raw, cell_id=cell.key if cell.has_id else None)
        return self._define(step, cell, make_body), parsed.is_executed

    def define_rollback(self, line: str, body: str) -> RollbackChip:
        """What undoes a step, as a cell spells it, defined."""
        raw = str(self.request().get("content", {}).get("code", ""))
        spelled = read_step_cell(raw, command="%%szal_rollback", line=line, body=body)
        parsed = parse_rollback_line(spelled.line)
        try:
            code = compile_step(self.shell, spelled)
        except SyntaxError as error:
            raise not_python(parsed.step, error) from None

        def make_body(node: StepNode, functions: Mapping[str, Any]) -> CellBody:
            return CellBody(node, code, functions, self._ambient, is_quiet=spelled.is_quiet)

        cell, saved = self._cell(), self.saved()
        numbers = saved.numbers if saved is not None else {}
        flow = self.definitions.flow_above(cell, numbers)
        key = cell.key if cell.has_id else None
        where = f"cell {key}" if key is not None else "a cell"
        if saved is not None and cell.key in numbers:
            where = saved.cells[numbers[cell.key] - 1].where()
        made = parsed.compensation(source=spelled.source, raw=spelled.raw, cell_id=key)
        self.definitions.define_rollback(
            DefinedRollback(step=parsed.step, flow=flow, cell=cell, where=where, compensation=made, make_body=make_body)
        )
        try:
            self.definitions.check_rollback(parsed.step)
            node, _ = self._place(self.definitions.flow_of(parsed.step), parsed.step)
            return rollback_chip_of(node)
        except DefinitionError as error:
            # As with a step: the cells that it needs may still come.
            return RollbackChip(step=parsed.step, notes=(f"not ready: {error}",))

    def define_function(self, function: Callable[..., Any], name: str | None, options: Mapping[str, Any]) -> StepChip:
        """The step that a function makes, defined, with the function that undoes it where `rollback=` names one."""
        cell = self._cell()
        options = dict(options)
        undo = options.pop("rollback", None)
        step = function_step(function, name, **options)
        if undo is not None:
            step = replace(step, rollback=compensation(step.name, undo))
        above = "\n" * (inspect.unwrap(function).__code__.co_firstlineno - 1)
        step = replace(step, raw=step.source, source=above + step.source, cell_id=cell.key if cell.has_id else None)
        self.functions[step.name] = function
        make_undo = None if undo is None else lambda node, _: FunctionBody(node, undo)
        return self._define(step, cell, lambda node, _: FunctionBody(node, function), make_undo)  # type: ignore[arg-type]

    def _define(
        self, step: Step, cell: Cell, make_body: Callable[..., Any], make_undo: Callable[..., Any] | None = None
    ) -> StepChip:
        saved = self.saved()
        flow = self.definitions.flow_above(cell, saved.numbers if saved is not None else {})
        defined = Defined(
            step=step, flow=flow, cell=cell, make_body=make_body, make_undo=make_undo, parent=dict(self.request())
        )
        self.definitions.define(defined)
        self.shown.discard(step.name)
        try:
            return chip_of(*self._place(flow, step.name))
        except DefinitionError as error:
            # The cells that it needs may still come; what is wrong for good is said again by `%szal_run`.
            return StepChip(name=step.name, notes=(f"not ready: {error}",))

    def _place(self, flow: str, step: str) -> tuple[StepNode, tuple[Edge, ...]]:
        """A step as the flow is so far."""
        steps, mode = self.definitions.steps_of_flow(flow, self.saved()), self.definitions.mode(flow)
        return self._growths.setdefault(flow, Growth()).place(steps, step, self._around(flow), mode)

    def use_flow(self, flow: ParsedFlow) -> None:
        """The steps below belong to this flow."""
        self.definitions.use_flow(flow)

    def graph(self, flow: str | None = None, *, is_checked: bool = False) -> FlowGraph:
        """A flow with its edges. `is_checked`: it is about to run, so the order of its cells must be beyond doubt."""
        flow = flow or self.definitions.current
        definition, around = self._flow(flow, is_checked=is_checked), self._around(flow)
        graph = build_graph(definition, around)
        return fingerprinted(graph, around) if is_checked else graph

    def _flow(self, flow: str, *, is_checked: bool = False) -> FlowDefinition:
        steps = self.definitions.arranged(flow, self.saved())
        if is_checked:
            self.definitions.check_rollbacks(flow)
            executed = self.definitions.of_flow(flow)
            if [one.cell.key for one in executed] != [one.cell.key for one in steps]:
                self._settle_order(flow, executed, steps)
        return self.definitions.definition(flow, steps)

    def _around(self, flow: str) -> Surroundings:
        watch = self._watches.get(flow)
        if watch is None:
            watch = self._watches[flow] = Watched(lambda: self._names(flow), self._sources)
        return Surroundings(self._names(flow), self.history.with_code, watch)

    def _names(self, flow: str) -> LiveNames:
        hidden = ChainMap(self.functions, self.shell.user_ns_hidden)
        return LiveNames(self.own.of(flow), hidden, self.history.names)

    def _sources(self) -> tuple[Mapping[str, Any], ...]:
        """What decides what a name is: see `Watched`."""
        own = self.own
        return own.namespace, own.given, self.history.names, self.functions, self.shell.user_ns_hidden

    @property
    def path(self) -> Path | None:
        """The notebook's file, as its author knows it."""
        return self.headless.notebook or notebook_path(self.shell.user_ns)

    def saved(self) -> Notebook | None:
        """The notebook as it was last saved; headless, the cells that are executed."""
        return self._file.read(self.headless.snapshot or notebook_path(self.shell.user_ns))

    def bodies(self, graph: FlowGraph, lender: Lender) -> dict[str, Body]:
        """What the steps of a graph run, over the notebook's functions as they are now."""
        found = self._bodies(graph)
        for body in found.values():
            if isinstance(body, CellBody | FunctionBody):
                body.lender = lender
        return found

    def _bodies(self, graph: FlowGraph) -> dict[str, Body]:
        defined = {found.step.name: found for found in self.definitions.of_flow(graph.flow.name)}
        own = self.own.of(graph.flow.name)
        return {
            node.step.name: defined[node.step.name].make_body(node, _functions_for(node, own)) for node in graph.nodes
        }

    def bound_again(self, graph: FlowGraph) -> list[str]:
        """What to say of names that cells bind again below steps that use them."""
        saved = self.saved()
        if saved is None:
            return []
        cell_of = {one.step.name: one.cell.key for one in self.definitions.of_flow(graph.flow.name)}
        return bound_again(graph, cell_of, self.history.cells.values(), saved.numbers)

    def rollbacks(self, graph: FlowGraph) -> dict[str, Body]:
        """What undoes the steps of a graph, where anything does."""
        found, own = {}, self.own.of(graph.flow.name)
        for node in graph.nodes:
            make_body = self.definitions.rollback_of(node.step.name)
            if make_body is not None:
                undo = node.compensation
                found[node.step.name] = make_body(undo, _functions_for(undo, own))
        return found

    def homes(self, graph: FlowGraph) -> dict[str, Home]:
        """The cells of the steps of a graph."""
        defined = self.definitions.of_flow(graph.flow.name)
        chips = {node.step.name: chip_of(node, graph.edges_to(node.step.name)) for node in graph.nodes}
        return {one.step.name: Home.of(one.step, one.parent, chips[one.step.name].bundle()) for one in defined}

    def _settle_order(self, flow: str, steps: list[Defined], arranged: list[Defined]) -> None:
        order = tuple(defined.step.name for defined in arranged)
        if order in self._accepted_orders:
            return
        executed = ", ".join(defined.step.name for defined in steps)
        text = f"Flow {flow!r}: in the saved notebook the steps stand as {', '.join(order)}, executed as {executed}."
        if self.waits() or not self._may_ask():
            raise InvalidFlow(f"{text} Save the notebook, and execute its cells from the top.")
        answer = input(f"{text} Run them as they stand in the notebook? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            raise InvalidFlow(f"{text} Nothing was run.")
        self._accepted_orders.add(order)


def _functions_for(node: StepNode, own: Mapping[str, Any]) -> dict[str, Any]:
    return {name: own[name] for name in node.definitions if name in own}
