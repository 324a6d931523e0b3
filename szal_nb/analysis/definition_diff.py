"""The difference of two definitions of a flow: steps, their code, their names, who waits for whom. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from szal_nb.analysis.fingerprint import difference
from szal_nb.model.graph import FlowGraph, StepNode


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionDiff:
    """What differs between two definitions of a flow. `renamed` maps new names to old ones, by equal fingerprints.

    `changed` maps steps to what differs in their code; `names` to names that they now read or give, or no longer do.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    edges: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "renamed": dict(self.renamed),
            "changed": {name: list(parts) for name, parts in self.changed.items()},
            "names": {name: list(found) for name, found in self.names.items()},
            "edges": list(self.edges),
        }

    def lines(self) -> list[str]:
        """What is not said of each step anyway: the names that it reads and gives, and who waits for whom."""
        found = [f"names   {step}: {', '.join(changes)}" for step, changes in self.names.items()]
        return [*found, *(f"edge    {edge}" for edge in self.edges)]


def compare_definitions(old: FlowGraph, new: FlowGraph) -> DefinitionDiff:
    """The difference of two definitions."""
    old_nodes = {node.step.name: node for node in old.nodes}
    new_nodes = {node.step.name: node for node in new.nodes}
    renamed: dict[str, str] = {}
    for name, node in new_nodes.items():
        if name in old_nodes:
            continue
        for other, before in old_nodes.items():
            if other not in new_nodes and other not in renamed.values() and _is_same_code(node, before):
                renamed[name] = other
                break
    both = {name: name for name in new_nodes if name in old_nodes} | renamed
    changed = {new_: difference(parts_of(new_nodes[new_]), parts_of(old_nodes[old_])) for new_, old_ in both.items()}
    names = {new_: _name_changes(old_nodes[old_], new_nodes[new_]) for new_, old_ in both.items()}
    now = {(edge.source, edge.target) for edge in new.edges}
    back = {old_: new_ for new_, old_ in both.items()}
    then = {(back.get(edge.source, edge.source), back.get(edge.target, edge.target)) for edge in old.edges}
    edges = [f"+ {source} → {target}" for source, target in sorted(now - then)]
    edges += [f"- {source} → {target}" for source, target in sorted(then - now)]
    return DefinitionDiff(
        added=tuple(name for name in new_nodes if name not in both),
        removed=tuple(name for name in old_nodes if name not in both.values()),
        renamed=renamed,
        changed={name: parts for name, parts in changed.items() if parts},
        names={name: found for name, found in names.items() if found},
        edges=tuple(edges),
    )


def _is_same_code(node: StepNode, before: StepNode) -> bool:
    return bool(node.parts) and node.parts == before.parts and node.gives == before.gives


def _name_changes(before: StepNode, after: StepNode) -> tuple[str, ...]:
    found = []
    for verb, then, now in (
        ("reads", {b.name for b in before.bindings}, {b.name for b in after.bindings}),
        ("gives", set(before.values), set(after.values)),
    ):
        found += [f"{verb} {name}" for name in sorted(now - then)]
        found += [f"no longer {verb} {name}" for name in sorted(then - now)]
    return tuple(found)


def parts_of(node: StepNode) -> dict[str, str]:
    """What tells the code of a step from other code: what its fingerprint is made of, else its text."""
    return dict(node.parts) or {"code": node.step.source}
