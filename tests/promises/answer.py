"""Runs the cells of a notebook as a flow and from the top, to compare the two. A cell is text; all cells are steps."""

from __future__ import annotations

import asyncio
import copy
import functools
import io
import random
import re
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd

from szal_nb.api.handle import RunHandle
from szal_nb.api.launch import Surround, resume_run, start_run
from szal_nb.api.run import values_of
from szal_nb.engine.body import CellBody, compile_cell
from szal_nb.engine.code_globals import Lender, Loans
from szal_nb.engine.sharing import memory_owner
from szal_nb.errors import AnswerInDoubt, RecordTorn, ValueUnavailable
from szal_nb.model.event import Event, StepFailed, StepSkipped
from szal_nb.model.graph import FlowGraph
from szal_nb.store.runs import RunStore


@dataclass
class Answer:
    """What a notebook leaves behind. `error` is the first that was raised, with the number of its cell.

    `code` are names of functions, classes and modules, which are not compared.
    """

    namespace: dict[str, Any] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    error: tuple[str, str, str] | None = None
    code: set[str] = field(default_factory=set)

    def shape(self) -> object:
        """All values with who is whom: equal for two answers that no code can tell apart."""
        return shape_of(self.namespace)


def from_the_top(cells: Sequence[str], helpers: str, names: Sequence[str], given: Collection[str]) -> Answer:
    """The cells one after another in one namespace, until one raises; what the names that they give hold in the end."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  notebooks use the global generator
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(helpers, "helpers", "exec"), namespace)
    answer = Answer()
    for name, cell in zip(names, cells, strict=True):
        out = io.StringIO()
        try:
            with redirect_stdout(out):
                exec(compile(cell, name, "exec"), namespace)
        except Exception as error:  # noqa: BLE001  whatever a cell raises is its answer
            answer.error = (name, type(error).__name__, str(error))
        answer.printed[name] = without_addresses(out.getvalue())
        if answer.error:
            break
    answer.namespace = {name: value for name, value in namespace.items() if name in given and _is_data(name, value)}
    answer.code = {name for name, value in namespace.items() if not _is_data(name, value)}
    return answer


class Gate:
    """Lets the bodies of steps through one at a time, in a given order; those in `cut` raise instead."""

    def __init__(self, order: Sequence[str] | None, cut: Collection[str] = ()) -> None:
        self._ended = {name: threading.Event() for name in order or ()}
        self._before = dict(zip((order or ())[1:], order or (), strict=False))
        self._cut = cut

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def gated(inputs: dict[str, Any]) -> Any:
            if name in self._cut:
                raise Cut(name)
            before = self._before.get(name)
            while before is not None and not self._ended[before].wait(30):
                raise AssertionError(f"{name} waited in vain for {before}")
            try:
                return call(inputs)
            finally:
                if name in self._ended:
                    self._ended[name].set()

        return gated

    def take(self, events: Sequence[Event]) -> None:
        """A step that is skipped lets the next one through."""
        self.open([event.step for event in events if isinstance(event, StepSkipped | StepFailed)])

    def open(self, names: Collection[str]) -> None:
        """These steps do not run again."""
        for name in self._ended.keys() & set(names):
            self._ended[name].set()


class Cut(Exception):
    """The process dies here."""


def notebook_of(helpers: str) -> dict[str, Any]:
    """What a kernel has when the notebook's own cells have been executed."""
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(helpers, "helpers", "exec"), notebook)
    return notebook


def bodies_of(graph: FlowGraph, notebook: dict[str, Any], gate: Gate) -> dict[str, CellBody]:
    found, lender = {}, Lender(Loans(), graph.all_inputs)
    for node in graph.nodes:
        body = CellBody(node, compile_cell(node.step.source, node.step.name), notebook, {})
        body.lender = lender
        body.call = gate.around(node.step.name, body.call)  # type: ignore[method-assign]
        found[node.step.name] = body
    return found


def as_flow(
    graph: FlowGraph,
    helpers: str,
    store: RunStore | None,
    *,
    order: Sequence[str] | None = None,
    cut_after: int | None = None,
) -> Answer:
    """The run of the graph over what `helpers` bind; cut after so many steps of `order`, and resumed, if wanted."""

    def inputs_from(notebook: dict[str, Any]) -> dict[str, Any]:
        return {name: notebook[name] for name in graph.inputs}

    in_doubt: list[AnswerInDoubt | RecordTorn] = []

    async def main() -> RunHandle:
        cut = set(order[cut_after:]) if order is not None and cut_after is not None else set()
        gate, notebook = Gate(order, cut), notebook_of(helpers)
        surround = Surround(store=store, sinks=[gate.take], definitions=notebook)
        run = start_run(graph, bodies_of(graph, notebook, gate), inputs_from(notebook), surround)
        await run.wait()
        if not cut:
            return run
        kept = [name for name, step in run.steps.items() if step.state == "completed"]
        random.seed("another process")
        np.random.seed(77)  # noqa: NPY002  notebooks use the global generator
        gate, notebook = Gate(order), notebook_of(helpers)
        gate.open(kept)
        surround = Surround(store=store, sinks=[gate.take], definitions=notebook)
        try:
            resumed = resume_run(run.id, graph, bodies_of(graph, notebook, gate), inputs_from(notebook), surround)
        except (AnswerInDoubt, RecordTorn) as error:
            in_doubt.append(error)
            return run
        await resumed.wait()
        return resumed

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  notebooks use the global generator
    run = asyncio.run(main())
    completed = {name: step for name, step in run.steps.items() if step.state == "completed"}
    answer = Answer(printed={name: without_addresses(step.logs) for name, step in completed.items()})
    for name, step in run.steps.items():
        if step.state == "failed" and answer.error is None and step.error is not None:
            answer.error = (name, step.error.type, step.error.message)
    for refused in in_doubt:
        is_torn = isinstance(refused, RecordTorn)
        answer.error = (refused.step, "RecordTorn" if is_torn else run[refused.step].error.type, "")
    found = values_of(run)
    for name in set(run.names()) - set(found):
        step, value = run.place(name) or ("", name)
        try:
            found[name] = run.value(step, value)
        except ValueUnavailable as error:
            found[name] = str(error)
    answer.namespace = {name: value for name, value in found.items() if _is_data(name, value)}
    return answer


def without_addresses(text: str) -> str:
    """The text with each address of an object (`<list_iterator object at 0x7f…>`) written alike."""
    return re.sub(r"0x[0-9a-f]+", "0x", text)


def _is_data(name: str, value: object) -> bool:
    return not name.startswith("_") and not isinstance(value, FunctionType | type | type(random))


def shape_of(value: Any) -> object:
    """Plain data that says what is inside `value` and which of the objects inside are one."""
    seen: dict[int, int] = {}
    owners: dict[int, int] = {}
    kept: list[Any] = []

    def shape(item: Any) -> object:
        if item is None or isinstance(item, int | float | str | bytes | bool):
            return repr(item)
        if isinstance(item, tuple):
            return ("tuple", *map(shape, item))
        if id(item) in seen:
            return ("again", seen[id(item)])
        kept.append(item)
        seen[id(item)] = number = len(seen)
        if isinstance(item, list):
            return ("list", number, *map(shape, item))
        if isinstance(item, dict):
            return ("dict", number, *((shape(key), shape(part)) for key, part in item.items()))
        if isinstance(item, set):
            return ("set", number, *sorted(map(repr, item)))
        if isinstance(item, np.ndarray):
            memory = owners.setdefault(id(memory_owner(item)), len(owners))
            return ("array", number, memory, item.dtype.str, item.shape, item.tolist())
        if isinstance(item, pd.DataFrame | pd.Series):
            return (type(item).__name__, number, item.to_json(orient="split"), str(getattr(item, "dtypes", "")))
        if isinstance(item, np.random.Generator | random.Random):
            is_numpy = isinstance(item, np.random.Generator)
            return (type(item).__name__, number, hash(repr(item.bit_generator.state if is_numpy else item.getstate())))
        if callable(item):
            return ("callable", getattr(item, "__name__", ""))
        if isinstance(item, Iterator):
            left = list(copy.copy(item))
            # Python writes any iterator that has ended down as one over nothing.
            return (type(item).__name__ if left else "ended", number, shape(left))
        for name in [name for name, one in vars(type(item)).items() if isinstance(one, functools.cached_property)]:
            # Whether it has been computed yet can be told by nobody who asks for it.
            getattr(item, name)
        names = getattr(item, "__slots__", None) if type(item).__module__ == "__main__" else None
        state = vars(item) if names is None else {name: getattr(item, name) for name in names if hasattr(item, name)}
        return (type(item).__name__, number, *((name, shape(part)) for name, part in sorted(state.items())))

    return {name: shape(item) for name, item in sorted(value.items())}
