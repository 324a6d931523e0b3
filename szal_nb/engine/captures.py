"""Code inside of values that were read from a record finds its globals again: the very objects, not its own copies.

A lambda in a list, a closure or a class is recorded with copies of the globals that it reads. Such a global has one
value over the whole run, else the flow is refused; so it can be put back when the run is resumed.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from szal_nb.engine.digest import digest
from szal_nb.engine.immutable import is_immutable
from szal_nb.engine.values import ValueTable
from szal_nb.model.graph import FlowGraph


def put_back_globals(graph: FlowGraph, table: ValueTable) -> None:
    """In the run's inputs, and in all values that an earlier process kept."""
    for holder in table.inputs.values():
        if not is_immutable(holder):
            _put_back(holder, table.inputs)
    index = {node.step.name: i for i, node in enumerate(graph.nodes)}
    for i, node in enumerate(graph.nodes):
        names = {name for owner, name in node.captures if table.is_kept(i, owner)}
        known: dict[str, Any] = {name: table.given(i, name) for name in names if table.is_kept(i, name)}
        for binding in node.bindings if names else ():
            name, there = binding.name, binding.source or binding.name
            if name in names and name not in known:
                if binding.step is None and there in table.inputs:
                    known[name] = table.inputs[there]
                elif binding.step is not None and table.is_kept(index[binding.step], there):
                    known[name] = table.given(index[binding.step], there)
        for owner in dict.fromkeys(owner for owner, _ in node.captures) if known else ():
            if table.is_kept(i, owner):
                _put_back(table.given(i, owner), known)


def _put_back(holder: Any, known: Mapping[str, Any]) -> None:
    notebook = vars(sys.modules["__main__"])
    for function in _functions_in(holder):
        names = function.__globals__
        if names is not notebook and names.get("__name__") == "__main__":
            names.update((name, known[name]) for name in known.keys() & names.keys())


def _functions_in(holder: Any) -> Iterator[FunctionType]:
    for part in digest([holder, inspect.unwrap(holder) if callable(holder) else None], is_hashing=False).keeps:
        if type(part) is FunctionType:
            yield part
