"""What a `%szal_run` line asks of a run: which steps, with which inputs."""

from __future__ import annotations

import ast
import difflib
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from szal_nb.errors import InvalidParameter, InvalidStep
from szal_nb.model.graph import FlowGraph
from szal_nb.notebook.parameter_type import ParameterType, type_of_annotation
from szal_nb.notebook.parameter_value import Misfit, from_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The inputs of a run; `params` are those that the line gave."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


def given_inputs(graph: FlowGraph, texts: Sequence[tuple[str, str]], namespace: Mapping[str, Any]) -> Inputs:
    """The notebook's data that the flow reads; values on the line, typed as the notebook's, win over it."""
    params: dict[str, Any] = {}
    for name, text in texts:
        if name not in graph.inputs:
            near = difflib.get_close_matches(name, graph.inputs, n=1)
            known = ", ".join(graph.inputs) or "none"
            advice = f"Did you mean {near[0]}?" if near else f"Its inputs are: {known}."
            raise InvalidParameter(f"Flow {graph.flow.name!r} has no input {name!r}. {advice}")
        try:
            params[name] = from_text(_type_of(name, namespace), text)
        except Misfit as error:
            raise InvalidParameter(f"-p {name} {text}: {error}") from None
    found = {name: namespace[name] for name in graph.inputs if name in namespace}
    return Inputs(inputs={**found, **params}, params=params)


def _type_of(name: str, namespace: Mapping[str, Any]) -> ParameterType:
    annotation = namespace.get("__annotations__", {}).get(name)
    if annotation is None:
        text = type(namespace[name]).__name__ if namespace.get(name) is not None else "Any"
    elif isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        text = annotation.__name__
    else:
        text = str(annotation)
    return type_of_annotation(ast.parse(text, mode="eval").body)


def unselected(
    graph: FlowGraph, *, only: Sequence[str] = (), from_step: str | None = None, until: str | None = None
) -> dict[str, str]:
    """The steps that a run leaves out, with the reason. What a chosen step needs is always chosen with it."""
    names = [node.step.name for node in graph.nodes]
    for name in filter(None, (*only, from_step, until)):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise InvalidStep(name, "the flow has no such step.", f"Did you mean {near[0]}?" if near else "")
    chosen = set(names)
    if only:
        chosen &= _upstream(graph, only)
    if until is not None:
        chosen &= _upstream(graph, (until,))
    if from_step is not None:
        chosen &= _upstream(graph, _downstream(graph, from_step) & chosen)
    return {name: "not selected for this run" for name in names if name not in chosen}


def _upstream(graph: FlowGraph, steps: Iterable[str]) -> set[str]:
    found, left = set(), list(steps)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph.dependencies[name]
    return found


def _downstream(graph: FlowGraph, step: str) -> set[str]:
    found = {step}
    for node in graph.nodes:
        if found & set(graph.dependencies[node.step.name]):
            found.add(node.step.name)
    return found


@functools.cache
def packages() -> dict[str, str]:
    """The version of each installed package, for the record."""
    return {found.metadata["Name"]: found.version for found in metadata.distributions()}
