"""The namespace that one attempt of a cell step runs in: what it reads, imports and definitions, nothing else.

Plain functions are rebuilt over the namespace, so that the globals they read are the step's values. The hidden
builtins hold what IPython offers everywhere (`display`, `get_ipython`).
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any

from szal_nb.model.graph import StepNode

# Marks the globals of functions that were made in a step, to be rebuilt over the namespace of a step that reads them.
_MARK = "__szal_step__"


def build_namespace(
    node: StepNode,
    inputs: Mapping[str, Any],
    definitions: Mapping[str, Any],
    ambient: Mapping[str, Any],
) -> dict[str, Any]:
    """A fresh namespace for `node`. `definitions` are the notebook's, `ambient` names go to the builtins.

    Objects other than plain functions are the very objects given, not copies.
    """
    namespace: dict[str, Any] = {
        "__name__": "__main__",
        "__doc__": None,
        "__builtins__": {**vars(builtins), **ambient} if ambient else builtins,
        _MARK: node.step.name,
    }
    for statement in node.imports:
        exec(_compiled_import(statement), namespace)
    for name in node.definitions:
        if name in definitions:
            namespace[name] = rebuilt(definitions[name], namespace, force=True)
    for name, value in inputs.items():
        # A function that was read from a record no longer shows that a step made it: the node knows.
        namespace[name] = rebuilt(value, namespace, force=name in node.definitions)
    return namespace


def rebuilt(value: Any, namespace: dict[str, Any], *, force: bool = False) -> Any:
    """A plain function over `namespace` instead of the globals it was made in; any other value as it is.

    Without `force` only functions that were made in a step are rebuilt.
    """
    if not isinstance(value, FunctionType) or value.__closure__ or hasattr(value, "__wrapped__"):
        return value
    origin = value.__globals__
    if origin is namespace or not (force or _MARK in origin):
        return value
    function = FunctionType(value.__code__, namespace, value.__name__, value.__defaults__)
    function.__kwdefaults__ = value.__kwdefaults__
    function.__annotations__ = value.__annotations__
    function.__doc__, function.__qualname__ = value.__doc__, value.__qualname__
    # What is attached to the function is attached to all that is made of it.
    function.__dict__ = value.__dict__
    return function


def imported(name: str, statement: str) -> Any:
    """What an import statement makes `name`; raises what the import raises."""
    namespace: dict[str, Any] = {}
    exec(_compiled_import(statement), namespace)
    return namespace[name]


def _compiled_import(statement: str) -> CodeType:
    return compile(statement, "<import>", "exec", dont_inherit=True)
