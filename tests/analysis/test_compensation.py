"""Names of a compensation: which it may read, what it is given, and what is kept for it."""

from __future__ import annotations

import pytest

from szal_nb.analysis.fingerprint import parts
from szal_nb.analysis.graph import NotebookName, Surroundings, build_graph
from szal_nb.errors import InvalidStep
from szal_nb.model.flow import FlowDefinition
from szal_nb.model.graph import Undo
from szal_nb.model.step import Compensation, Step, StepKind

AROUND = Surroundings(
    {
        "math": NotebookName("module", statement="import math"),
        "rate": NotebookName("data"),
        "url": NotebookName("data"),
        "told": NotebookName("function", source="def told(text):\n    return text * rate"),
        "Mail": NotebookName("class", source="class Mail:\n    pass"),
    }
)
# `pay` reads order (load), rate and url (the notebook) and gives receipt and changes order.
STEPS = (
    Step(name="load", source="import json\norder = [1]\nother = 2"),
    Step(name="pay", source="receipt = sum(order) * rate\norder.append(url)\n_kept = 1"),
    Step(name="after", source="ship = receipt"),
)


def graph_of(undo, *, of="pay", **more):
    made = undo if isinstance(undo, Compensation) else Compensation(source=undo, **more)
    steps = [Step(name=one.name, source=one.source, rollback=made) if one.name == of else one for one in STEPS]
    return build_graph(FlowDefinition(name="f", steps=tuple(steps)), AROUND)


def undo_of(source, **more):
    return graph_of(source, **more).node("pay").undo


ALLOWED = {
    "what the step gave": ("print(receipt)", Undo(reads=("receipt",))),
    "what the step read": ("print(rate)", Undo(reads=("rate",))),
    "what it changed in place": ("order.clear()", Undo(reads=("order",))),
    "an import of the notebook": ("math.sqrt(receipt)", Undo(reads=("receipt",), imports=("import math",))),
    "an import of a step": ("json.dumps(receipt)", Undo(reads=("receipt",), imports=("import json",))),
    "an import of its own": ("import os\nos.getcwd()", Undo()),
    "a class": ("Mail()", Undo(definitions=("Mail",))),
    "a function with what it reads": ("told(receipt)", Undo(reads=("receipt", "rate"), definitions=("told",))),
    "names of Python and its own": ("n = len([x for x in order])\nprint(n)", Undo(reads=("order",))),
    "an absence that it catches": ("try:\n    gone\nexcept NameError:\n    pass", Undo()),
    "all, where the code may read anything": (
        "exec('print(receipt)')",
        Undo(reads=("order", "rate", "url", "receipt")),
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_rollback_reads(name):
    source, expected = ALLOWED[name]
    undo = undo_of(source)

    assert (set(undo.reads), undo.imports, undo.definitions) == (
        set(expected.reads),
        expected.imports,
        expected.definitions,
    )


REFUSED = {
    "a value of another step": (
        "\nprint(other)",
        "Step 'pay': line 2 of its rollback cell reads 'other', which the step neither reads nor gives. Let the step "  # noqa: ISC004 one message
        "read it too, so that it is kept with it: --reads other.",
    ),
    "a value of a step below": ("ship", "line 1 of its rollback cell reads 'ship', which the step neither reads"),
    "a misspelt name": ("reciept", "neither reads nor gives. Did you mean receipt?"),
    "a name of nobody": ("wholly_new", "A rollback sees the inputs and values of its step, and the notebook's imports"),
    "a name that is not kept": ("_kept", "Names with a leading underscore are not kept: rename it."),
    "no Python": ("x = = 1", "Step 'pay': its rollback cell, line 1: invalid syntax."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_rollback_does_not_read(name):
    source, message = REFUSED[name]

    with pytest.raises(InvalidStep) as caught:
        graph_of(source)

    assert message in str(caught.value)


def test_an_input_of_the_run_that_the_step_does_not_read_is_refused_also_through_a_function():
    with pytest.raises(InvalidStep, match=r"reads 'url', which the step neither .* --reads url\."):
        graph_of("print(url)", of="load")
    with pytest.raises(InvalidStep, match=r"reads 'rate' \(through told\(\)\), which the step neither"):
        graph_of("told(order)", of="load")


def test_what_only_the_rollback_reads_is_kept_too():
    assert graph_of("print(other, order)", of="load").node("load").needed == ("order", "other")
    assert "other" not in graph_of("pass", of="load").node("load").needed


def test_a_function_takes_only_what_its_step_reads_or_gives():
    def undo(text):
        return Compensation(kind=StepKind.FUNCTION, source=text)

    assert undo_of(undo("def undo(receipt, order, *, speed=1):\n    helper(receipt)\n")).reads == ("receipt", "order")
    with pytest.raises(InvalidStep, match="its rollback function takes 'other', which the step neither reads"):
        graph_of(undo("def undo(other): ..."))
    with pytest.raises(InvalidStep, match="its rollback function reads 'other'"):
        graph_of(undo("def undo():\n    return other"))


def test_a_function_whose_text_is_not_known_is_given_all_and_all_is_kept_for_it():
    node = graph_of(Compensation(kind=StepKind.FUNCTION, source="def undo(a=<object object>): ...")).node("pay")

    assert (node.undo, node.needed) == (None, ("receipt", "order"))


def test_what_undoes_a_step_is_no_part_of_its_fingerprint():
    assert parts(graph_of("print(receipt)").node("pay"), AROUND) == parts(graph_of("pass").node("pay"), AROUND)


def test_the_node_of_a_compensation_gives_nothing_and_has_its_own_imports():
    node = graph_of("math.sqrt(receipt)").node("pay").compensation

    assert (node.values, node.imports, node.definitions) == ((), ("import math",), ())
