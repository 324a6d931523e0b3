"""What a `%szal_run` line asks of a run: with which inputs."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from szal_nb.errors import InvalidParameter
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
        if name not in graph.all_inputs:
            near = difflib.get_close_matches(name, graph.all_inputs, n=1)
            known = ", ".join(graph.all_inputs) or "none"
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
