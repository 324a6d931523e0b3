"""By which name a class is recorded that came out of the record inside of another."""

from __future__ import annotations

from types import SimpleNamespace

from szal_nb.api.classes import Classes
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import FlowGraph, StepNode
from szal_nb.model.step import Step
from szal_nb.model.value import ValueRef


def test_a_class_that_nobody_has_asked_for_by_its_name_has_that_name_all_the_same():
    """A model of pydantic holds the classes of its fields where nobody sees them; its instances hold theirs."""
    kind = type("Kind", (), {"__module__": "__main__"})
    node = StepNode(step=Step(name="define", source=""), gives=("Kind", "Pet"))
    graph = FlowGraph(flow=FlowDefinition(name="f", steps=(node.step,)), nodes=(node,))
    ref = ValueRef(name="Kind", hash="0a")
    classes = Classes(graph, {}, {"define": [ref]})

    def load(asked: ValueRef) -> type:
        classes.took(asked, kind)
        return kind

    classes.serve(SimpleNamespace(loader=SimpleNamespace(), keeper=SimpleNamespace(), load=load))

    name = classes.name_of(kind, is_class=False)
    assert classes(name) is kind
