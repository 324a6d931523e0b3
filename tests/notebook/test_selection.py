from __future__ import annotations

from typing import Literal

import pytest

from szal_nb.api.selection import unselected
from szal_nb.errors import InvalidParameter, InvalidStep
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Edge, EdgeKind, FlowGraph, StepNode
from szal_nb.model.step import Step
from szal_nb.notebook.selection import given_inputs


@pytest.fixture
def diamond():
    steps = tuple(Step(name=name) for name in ("load", "left", "right", "join"))
    edges = [("load", "left"), ("load", "right"), ("left", "join"), ("right", "join")]
    return FlowGraph(
        flow=FlowDefinition(name="sales", steps=steps),
        nodes=tuple(StepNode(step=step) for step in steps),
        edges=tuple(Edge(source=a, target=b, kind=EdgeKind.DATA) for a, b in edges),
        inputs=("rows", "region"),
    )


@pytest.mark.parametrize(
    ("choice", "left_out"),
    [
        ({}, []),
        ({"only": ("left",)}, ["right", "join"]),
        ({"only": ("left", "right")}, ["join"]),
        ({"until": "right"}, ["left", "join"]),
        ({"from_step": "join"}, []),
        ({"from_step": "right", "until": "right"}, ["left", "join"]),
    ],
)
def test_what_a_chosen_step_needs_is_chosen_with_it(diamond, choice, left_out):
    assert list(unselected(diamond, **choice)) == left_out


def test_an_unknown_step_names_the_nearest_one(diamond):
    with pytest.raises(InvalidStep, match="Did you mean load"):
        unselected(diamond, only=("laod",))
    with pytest.raises(InvalidStep, match="the flow has no such step. It has load, "):
        unselected(diamond, only=("zzz",))


def test_values_on_the_line_win_and_are_typed_as_those_of_the_notebook(diamond):
    notebook = {"rows": 10, "region": "EU", "other": object()}

    given = given_inputs(diamond, [("rows", "5")], notebook)

    assert (given.inputs, given.params) == ({"rows": 5, "region": "EU"}, {"rows": 5})


def test_an_annotation_wins_over_the_type_of_the_value(diamond):
    notebook = {"rows": 10, "region": None, "__annotations__": {"rows": float, "region": Literal["EU", "US"]}}

    assert given_inputs(diamond, [("rows", "5"), ("region", "US")], notebook).params == {"rows": 5.0, "region": "US"}


def test_a_value_that_does_not_fit_and_a_name_that_is_no_input_are_refused(diamond):
    with pytest.raises(InvalidParameter, match="-p rows many"):
        given_inputs(diamond, [("rows", "many")], {"rows": 10})
    with pytest.raises(InvalidParameter, match="Did you mean region"):
        given_inputs(diamond, [("regoin", "EU")], {})
