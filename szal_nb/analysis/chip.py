"""One line that says what a step reads from where, what it gives, and what it waits for besides."""

from __future__ import annotations

from collections.abc import Iterable

from szal_nb.model.graph import Edge, EdgeKind, StepNode

_SHORT_REASONS = {
    "hidden-state": "shares {names}",
    "changed-after-reading": "changes {names} in place",
    "shared-object": "may share {names}",
    "dynamic-code": "dynamic code",
    "after": "--after",
    "when": "--when",
    "sequential": "sequential flow",
    "parent": "sub-step",
}


def chip_text(node: StepNode, edges: Iterable[Edge]) -> str:
    """The line for a step; `edges` may be all edges of the flow.

    For example `clean  reads orders ← load · gives orders · after plot (changes orders in place)`.
    """
    incoming = [edge for edge in edges if edge.target == node.step.name]
    reads = [f"{binding.name} ← {binding.step or 'notebook'}" for binding in node.reads]
    said = [
        f"reads {', '.join(reads)}" if reads else "reads nothing",
        f"gives {', '.join(node.gives)}" if node.gives else "gives nothing",
    ]
    if node.changes:
        said.append(f"changes {', '.join(node.changes)}")
    sources = {binding.step for binding in node.bindings}
    for edge in incoming:
        if edge.kind is EdgeKind.DATA or (edge.source in sources and edge.rule == "changed-in-place"):
            continue
        why = _SHORT_REASONS.get(edge.rule, edge.rule).format(names=", ".join(edge.names))
        doubt = "in doubt: " if edge.kind is EdgeKind.DOUBT else ""
        remedy = f"; {edge.remedy} frees it" if edge.kind is EdgeKind.DOUBT and edge.remedy.startswith("--") else ""
        said.append(f"after {edge.source} ({doubt}{why}{remedy})")
    return f"{node.step.name}  {' · '.join(said)}"
