"""What a first look at all steps of a flow shows before any of them is analysed: names bound, imports, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from szal_nb.analysis.glance import Glance, glance_at
from szal_nb.analysis.names import ImportedName
from szal_nb.model.flow import FlowDefinition


@dataclass(frozen=True, slots=True)
class Sight:
    """`glances` by step; `imports` the first import of each name; `classes` names and sources of all classes."""

    flow: FlowDefinition
    glances: Mapping[str, Glance]
    imports: Mapping[str, ImportedName]
    classes: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, flow: FlowDefinition) -> Sight:
        """A first look; `InvalidStep` if the source of a step is not Python."""
        glances = {step.name: glance_at(step) for step in flow.steps}
        imports: dict[str, ImportedName] = {}
        for glance in glances.values():
            for one in glance.imports:
                imports.setdefault(one.name, one)
        classes = tuple(one for glance in glances.values() for one in glance.classes)
        return cls(flow, glances, imports, classes)
