"""A notebook's flow, read from its file without running it.

Steps are found in their three spellings; the other cells are analysed for what they bind. The kernel's session makes
the same steps when the cells are executed.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from szal_nb.analysis.graph import NotebookName, Surroundings
from szal_nb.errors import DefinitionError, InvalidFlow, InvalidStep
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import Compensation, Step, StepKind
from szal_nb.notebook.cells import read_step_cell
from szal_nb.notebook.document import InvalidNotebook, Notebook, NotebookCell, parse_python, python_of, read_notebook
from szal_nb.notebook.flags import (
    ParsedFlow,
    parse_flow_line,
    parse_rollback_line,
    parse_run_line,
    parse_step_line,
    spelled_in,
    step_fields,
)
from szal_nb.notebook.surroundings import magics_in, names_bound

DEFAULT_FLOW = "notebook"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFlow:
    """A flow as its notebook defines it.

    `cells` says in which cell each step stands. `is_run` says that a cell runs the flow by `%szal_run`.
    """

    notebook: Notebook
    definition: FlowDefinition
    surroundings: Surroundings
    cells: Mapping[str, NotebookCell] = field(default_factory=dict)
    is_run: bool = False


def read_flow(source: str | Path | Notebook, *, name: str | None = None) -> NotebookFlow:
    """The flow `name` of a notebook, or its only one, without running anything.

    Errors are `DefinitionError`s that name the cell, the line in it and the step.
    """
    notebook = source if isinstance(source, Notebook) else read_notebook(source)
    return _read(notebook).flow(name)


def read_flows(notebook: Notebook) -> list[NotebookFlow]:
    """All flows of a notebook that have steps, in the order of their first cells; errors as from `read_flow`."""
    reading = _read(notebook)
    return [reading.flow(name) for name in reading.names]


def _read(notebook: Notebook) -> _Reading:
    reading = _Reading(notebook)
    for cell in notebook.code:
        try:
            reading.read(cell)
        except DefinitionError as error:
            if "raises-exception" in cell.tags:
                continue
            if cell.where() not in str(error):
                error.add_note(f"In {cell.where()} of {notebook.label}.")
            raise
    reading.check_rollbacks()
    return reading


def needs_run_cell(notebook: Notebook) -> bool:
    """Whether the notebook defines steps, and has no `%szal_run` at all that would run them."""
    return _read(notebook).is_never_run


def step_names(notebook: Notebook) -> tuple[str, ...]:
    """The steps of all flows of the notebook, in their order."""
    return tuple(_read(notebook).cells)


class _Reading:
    """One pass over the cells: what has been found so far."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._flows: dict[str, ParsedFlow] = {}
        self._current = DEFAULT_FLOW
        self._steps: dict[str, list[Step]] = {}
        self.cells: dict[str, NotebookCell] = {}
        self._rollbacks: dict[str, tuple[Compensation, NotebookCell]] = {}
        self._names: dict[str, NotebookName] = {}
        self._run: set[str] = set()

    def read(self, cell: NotebookCell) -> None:
        """Takes in the next code cell."""
        spelled = spelled_in(cell.source)
        if spelled is None:
            self._read_notebook_code(cell)
        elif spelled.command == "%%szal_rollback":
            self._read_rollback(cell)
        else:
            self._read_step(cell)

    def check_rollbacks(self) -> None:
        """Refuses what undoes a step that is not there, or one that says itself how it is undone."""
        own = {step.name for steps in self._steps.values() for step in steps if step.rollback is not None}
        for name, (_, cell) in self._rollbacks.items():
            if name not in self.cells:
                raise no_such_step(name, cell.where(), self.cells)
            if name in own:
                raise has_rollback(name, "by its rollback=", cell.where())

    @property
    def is_never_run(self) -> bool:
        """Whether there are steps and no cell runs any flow."""
        return bool(self._steps) and not self._run

    @property
    def names(self) -> list[str]:
        """The flows that have steps."""
        return list(self._steps)

    def flow(self, name: str | None) -> NotebookFlow:
        """What was found, as the flow `name`."""
        found = list(self._steps) or list(self._flows) or [DEFAULT_FLOW]
        if name is not None and name not in found:
            near = difflib.get_close_matches(name, found, n=1)
            advice = f"Did you mean {near[0]}?" if near else f"It has {', '.join(found)}."
            raise InvalidFlow(f"{self._notebook.label} has no flow {name!r}. {advice}")
        if name is None and len(found) > 1:
            raise InvalidFlow(f"{self._notebook.label} has several flows: {', '.join(found)}. Name the one you mean.")
        name = name or found[0]
        parsed = self._flows.get(name)
        steps = tuple(map(self._undoable, self._steps.get(name, ())))
        return NotebookFlow(
            notebook=self._notebook,
            definition=FlowDefinition(name=name, steps=steps, **(parsed.fields if parsed is not None else {})),
            surroundings=Surroundings(names=self._names),
            cells={step.name: self.cells[step.name] for step in steps},
            is_run=name in self._run,
        )

    def _read_step(self, cell: NotebookCell) -> None:
        read = read_step_cell(cell.source)
        parsed = parse_step_line(read.line)
        try:
            parse_python(read.source)
        except (SyntaxError, ValueError) as error:
            raise _not_python(error, cell, step=parsed.name) from None
        self._add(cell, parsed.step(source=read.source, raw=cell.source, cell_id=cell.id))

    def _read_rollback(self, cell: NotebookCell) -> None:
        read = read_step_cell(cell.source, command="%%szal_rollback")
        parsed = parse_rollback_line(read.line)
        try:
            parse_python(read.source)
        except (SyntaxError, ValueError) as error:
            raise _not_python(error, cell, step=parsed.step) from None
        if parsed.step in self._rollbacks:
            raise has_rollback(parsed.step, f"by {self._rollbacks[parsed.step][1].where()}", cell.where())
        made = parsed.compensation(source=read.source, raw=cell.source, cell_id=cell.id)
        self._rollbacks[parsed.step] = made, cell

    def _undoable(self, step: Step) -> Step:
        return replace(step, rollback=self._rollbacks[step.name][0]) if step.name in self._rollbacks else step

    def _add(self, cell: NotebookCell, step: Step) -> None:
        other = self.cells.get(step.name)
        if other is not None:
            place = "twice in one cell" if other is cell else f"also defined by {other.where()}"
            raise InvalidStep(step.name, f"a step of this name is {place}.", "Rename one of them.")
        self.cells[step.name] = cell
        self._steps.setdefault(self._current, []).append(step)

    def _read_notebook_code(self, cell: NotebookCell) -> None:
        source = python_of(cell.source)
        try:
            tree = parse_python(source)
        except (SyntaxError, ValueError) as error:
            raise _not_python(error, cell, label=self._notebook.label) from None
        for statement in tree.body:
            for line in magics_in([statement], "szal_flow"):
                parsed = parse_flow_line(line)
                self._flows[parsed.name] = parsed
                self._current = parsed.name
            names = names_bound(source, statement, self._names)
            for function in _functions_of(statement):
                options = self._step_options(function)
                if options is not None:
                    self._read_function(cell, source, function, options)
                    names.pop(function.name, None)
            self._names = names
            for line in magics_in([statement], "szal_run"):
                self._run.add(parse_run_line(line).flow or self._current)

    def _step_options(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any] | None:
        """The arguments of the function's `@szal.step`; None if it is not a step."""
        for decorator in function.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            if not self._is_step_decorator(call.func if call is not None else decorator):
                continue
            options: dict[str, Any] = {}
            for keyword in call.keywords if call is not None else ():
                if keyword.arg is None:
                    raise InvalidStep(function.name, "the arguments of @szal.step must be written out, without **.")
                if keyword.arg == "rollback":
                    options["rollback"] = self._compensation(function.name, keyword.value)
                else:
                    options[keyword.arg] = _option(function.name, keyword.arg, keyword.value)
            if call is not None and call.args:
                options.setdefault("name", _option(function.name, "name", call.args[0]))
            return options
        return None

    def _compensation(self, step: str, value: ast.expr) -> Compensation | None:
        """What `rollback=` gives, which is a function of the notebook."""
        known = self._names.get(value.id) if isinstance(value, ast.Name) else None
        match value:
            case ast.Constant(value=None):
                return None
            case ast.Lambda():
                source = f"def step({ast.unparse(value.args)}): ..."
            case _ if known is not None and known.kind != "data":
                # Of one that is imported, only the kernel knows the text.
                source = f"{known.source}\n" if known.source else ""
            case _:
                raise InvalidStep(
                    step, f"rollback={ast.unparse(value)} is no function.", "Name a function that is defined above."
                )
        return Compensation(kind=StepKind.FUNCTION, source=source)

    def _is_step_decorator(self, node: ast.expr) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr="step"):
                known = self._names.get(module)
                return known is not None and (known.statement or "").startswith("import szal_nb")
            case ast.Name(id=name):
                known = self._names.get(name)
                return known is not None and (known.statement or "").startswith("from szal_nb import step")
        return False

    def _read_function(
        self,
        cell: NotebookCell,
        source: str,
        function: ast.FunctionDef | ast.AsyncFunctionDef,
        options: dict[str, Any],
    ) -> None:
        name = str(options.pop("name", None) or function.name)
        rollback = options.pop("rollback", None)
        first = min(decorator.lineno for decorator in function.decorator_list)
        text = "\n".join(source.splitlines()[first - 1 : function.end_lineno]) + "\n"
        # Blank lines above it give it the line numbers of its cell.
        step = Step(
            name=name,
            kind=StepKind.FUNCTION,
            source="\n" * (first - 1) + text,
            raw=text,
            cell_id=cell.id,
            rollback=rollback,
            **step_fields(options),
        )
        self._add(cell, step)


def no_such_step(name: str, where: str, steps: Iterable[str]) -> InvalidStep:
    """The refusal of what undoes a step that is not there; `where` is the cell that says so."""
    near = difflib.get_close_matches(name, list(steps), n=1, cutoff=0.5)
    advice = f"Did you mean {near[0]}?" if near else f"The steps are: {', '.join(steps) or 'none'}."
    return InvalidStep(name, f"{where} is its rollback, but there is no such step.", advice)


def has_rollback(name: str, how: str, where: str) -> InvalidStep:
    """The refusal of a second thing that undoes a step; `how` says what the first is."""
    return InvalidStep(name, f"{where} is its rollback, but it is undone {how} already.", "Remove one of the two.")


def _functions_of(statement: ast.stmt) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions that a top-level statement defines, also within `if`, `try` and `with`."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement
    elif isinstance(statement, ast.If | ast.Try | ast.With):
        for inner in ast.iter_child_nodes(statement):
            if isinstance(inner, ast.stmt):
                yield from _functions_of(inner)


def _option(step: str, name: str, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except ValueError:
        # Classes of exceptions are named, not evaluated.
        names = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
        if name in ("retry_on", "no_retry_on") and all(isinstance(item, ast.Name | ast.Attribute) for item in names):
            return [ast.unparse(item).rpartition(".")[2] for item in names]
        raise InvalidStep(
            step, f"{name}={ast.unparse(value)} cannot be known without running the notebook.", "Write it as a literal."
        ) from None


def _not_python(
    error: SyntaxError | ValueError, cell: NotebookCell, *, step: str | None = None, label: str = ""
) -> DefinitionError:
    line = error.lineno if isinstance(error, SyntaxError) else None
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    problem = f"{cell.where(line)} is not valid Python: {text}."
    return InvalidStep(step, problem) if step is not None else InvalidNotebook(label, problem)
