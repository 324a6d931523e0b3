"""What a first look at all steps of a flow shows before any of them is analysed: names bound, imports, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from szal_nb.analysis.glance import Glance, glance_at
from szal_nb.analysis.names import ImportedName
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.step import Step


@dataclass(frozen=True, slots=True)
class Sight:
    """All steps of a flow at a glance.

    `steps` and `glances` are by name; `imports` has the first import of each name; `classes` names and sources of all
    classes; `givers` the steps that may bind a name.
    """

    flow: FlowDefinition
    steps: Mapping[str, Step]
    glances: Mapping[str, Glance]
    imports: Mapping[str, ImportedName]
    classes: tuple[tuple[str, str], ...]
    givers: Mapping[str, list[str]]

    @classmethod
    def of(cls, flow: FlowDefinition) -> Sight:
        """A first look; `InvalidStep` if the source of a step is not Python."""
        steps = {step.name: step for step in flow.steps}
        glances = {name: glance_at(step) for name, step in steps.items()}
        imports: dict[str, ImportedName] = {}
        givers: dict[str, list[str]] = {}
        classes: list[tuple[str, str]] = []
        for name, glance in glances.items():
            for one in glance.imports:
                imports.setdefault(one.name, one)
            for bound in glance.bound:
                givers.setdefault(bound, []).append(name)
            classes += glance.classes
        return cls(flow, steps, glances, imports, tuple(classes), givers)
