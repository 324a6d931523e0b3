"""A collection of edges: one for each pair of steps and kind, with all of its reasons."""

from __future__ import annotations

import msgspec

from szal_nb.model.graph import Edge, EdgeKind

# Joins the remedies of an edge that has more than one reason: it takes all of them to free the step.
_AND = " and "
_WEAKER = frozenset({"changed-after-reading", "shared-object"})


class Edges:
    """Collects edges, one for each pair and kind; the first reason stands, names are joined."""

    def __init__(self) -> None:
        # By a text: of so many tuples, each collection of garbage would take its toll.
        self._found: dict[str, Edge] = {}
        self._has_weaker = False

    def add(self, edge: Edge) -> None:
        """Adds an edge, or its names to the one that is there."""
        if edge.source == edge.target:
            return
        key = f"{edge.source}\0{edge.target}\0{edge.kind}"
        known = self._found.get(key)
        if known is None:
            self._found[key] = edge
            self._has_weaker = self._has_weaker or edge.rule in _WEAKER
            return
        self._found[key] = _joined(known, edge)

    def all(self) -> tuple[Edge, ...]:
        """The edges in the order in which they were found; where data flows, no weaker reason is needed."""
        if not self._has_weaker:
            return tuple(self._found.values())
        found = dict(self._found)
        for key, edge in self._found.items():
            if edge.rule in _WEAKER and (flow := f"{edge.source}\0{edge.target}\0{EdgeKind.DATA}") in found:
                del found[key]
                found[flow] = _with_rules(found[flow], edge)
        return tuple(found.values())


def _joined(known: Edge, edge: Edge) -> Edge:
    """One edge for the reasons of both."""
    known = msgspec.structs.replace(_with_rules(known, edge), is_blocking=known.is_blocking or edge.is_blocking)
    new = tuple(name for name in edge.names if name not in known.names)
    remedies = [one for one in edge.remedy.split(_AND) if one and one not in known.remedy.split(_AND)]
    if not new and not remedies:
        return known
    reason = known.reason
    if edge.reason and edge.reason not in reason:
        reason = f"{reason} {edge.reason}"
    remedy = _AND.join([*([known.remedy] if known.remedy else []), *remedies])
    return msgspec.structs.replace(known, names=known.names + new, reason=reason, remedy=remedy)


def _with_rules(known: Edge, edge: Edge) -> Edge:
    more = tuple(rule for rule in edge.rules if rule not in known.rules)
    return msgspec.structs.replace(known, also=known.also + more) if more else known
