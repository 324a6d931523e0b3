"""`szal params` and `szal graph`: what a notebook says of itself, without running it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from szal_nb.analysis.graph import build_graph
from szal_nb.app.exit import ExitCode
from szal_nb.app.printing import as_table, print_json, table_line
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.notebook.document import read_notebook
from szal_nb.notebook.parameters import Parameter, json_default, parameters_schema, read_parameters
from szal_nb.notebook.reader import read_flow
from szal_nb.widget.svg import render_svg, render_text
from szal_nb.widget.view import view_state


def add_commands(commands: Any, options: Mapping[str, argparse.ArgumentParser]) -> None:
    """Adds the commands to the program's parser."""
    params = commands.add_parser(
        "params", parents=[options["json"]], help="the notebook's parameters: names, types, defaults, help"
    )
    params.add_argument("notebook", metavar="NB", help="the notebook")
    params.add_argument("--json-schema", action="store_true", help="print them as a JSON Schema")
    params.set_defaults(command=show_parameters)

    graph = commands.add_parser("graph", help="the notebook's steps, and what each of them waits for")
    graph.add_argument("notebook", metavar="NB", help="the notebook")
    graph.add_argument("--flow", metavar="NAME", help="which flow, in a notebook that has several")
    form = graph.add_mutually_exclusive_group()
    form.add_argument("--svg", action="store_true", help="print it as an SVG picture")
    form.add_argument("--mermaid", action="store_true", help="print it as a Mermaid diagram")
    form.add_argument("--json", action="store_true", help="print one JSON document")
    graph.set_defaults(command=show_graph)


def show_parameters(arguments: argparse.Namespace) -> ExitCode:
    """Prints the parameters of a notebook."""
    parameters = read_parameters(read_notebook(arguments.notebook))
    if arguments.json_schema:
        print_json(parameters_schema(parameters))
    elif arguments.json:
        print_json({"notebook": arguments.notebook, "parameters": [_parameter_json(each) for each in parameters]})
    elif not parameters:
        print("This notebook has no parameters. Tag a cell with `parameters` to give it some.")
    else:
        rows = [(each.name, each.annotation or str(each.type), _default_text(each), each.help) for each in parameters]
        print(as_table(("NAME", "TYPE", "DEFAULT", "HELP"), rows))
    return ExitCode.COMPLETED


def show_graph(arguments: argparse.Namespace) -> ExitCode:
    """Prints the graph of a notebook's flow."""
    found = read_flow(arguments.notebook, name=arguments.flow)
    graph = build_graph(found.definition, found.surroundings)
    if arguments.json:
        print_json(graph_json(graph))
    elif arguments.mermaid:
        print(mermaid(graph))
    elif arguments.svg:
        print(render_svg(view_state(graph, None, run_id=None)))
    else:
        print(render_text(view_state(graph, None, run_id=None)))
        for edge in graph.edges:
            print(table_line(edge.source, edge.target, edge.because or ", ".join(edge.names)))
    return ExitCode.COMPLETED


def graph_json(graph: FlowGraph) -> dict[str, Any]:
    """The graph as JSON: steps in document order, edges with their reasons."""
    return {
        "flow": graph.flow.name,
        "version": graph.flow.version,
        "inputs": list(graph.inputs),
        "steps": [
            {
                "name": node.step.name,
                "cell": node.step.cell_id,
                "reads": [binding.name for binding in node.reads],
                "gives": list(node.gives),
                "changes": list(node.changes),
                "after": list(graph.dependencies[node.step.name]),
                "notes": list(node.notes),
                "rollback": _rollback_json(node),
            }
            for node in graph.nodes
        ],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "kind": edge.kind.value,
                "names": list(edge.names),
                "rule": edge.rule,
                "also": list(edge.also),
                "reason": edge.reason,
                "line": edge.line,
                "remedy": edge.remedy,
            }
            for edge in graph.edges
        ],
    }


def _rollback_json(node: StepNode) -> dict[str, Any] | None:
    """What undoes a step: its cell, if it has one of its own, and the names that it is given."""
    made = node.step.rollback
    if made is None:
        return None
    return {"cell": made.cell_id, "reads": list(node.undo.reads) if node.undo is not None else None}


def mermaid(graph: FlowGraph) -> str:
    """The graph as a Mermaid flowchart; a dotted line is an order without data."""
    ids = {node.step.name: f"s{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    lines += [f'    {ids[node.step.name]}["{_mermaid_text(node.step.name)}"]' for node in graph.nodes]
    for edge in graph.edges:
        arrow = "-->" if edge.kind == "data" else "-.->"
        label = f'|"{_mermaid_text(", ".join(edge.names))}"|' if edge.names else ""
        lines.append(f"    {ids[edge.source]} {arrow}{label} {ids[edge.target]}")
    return "\n".join(lines)


def _mermaid_text(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def _default_text(parameter: Parameter) -> str:
    if parameter.type.is_secret:
        return "from the environment"
    return "required" if parameter.default is None else parameter.default


def _parameter_json(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "type": str(parameter.type),
        "annotation": parameter.annotation,
        "required": parameter.is_required,
        "help": parameter.help,
        "default_text": parameter.default,
        **json_default(parameter),
    }
