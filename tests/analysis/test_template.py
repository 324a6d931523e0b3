"""References in texts, as named cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.analysis.condition import ConditionError
from szal_nb.analysis.template import Unresolved, render

THING = object()
VALUES = {
    "steps": {"load": {"status": "completed", "output": {"n": 3, "tags": ["a", "b"], "none": None, "word": "мир"}}},
    "inputs": {"region": "EU"},
    "thing": THING,
    "ok": True,
}

RENDERED = {
    "no reference": ("plain", "plain"),
    "the empty text": ("", ""),
    "one reference keeps its type": ("{{ steps.load.output.n }}", 3),
    "a list": ("{{steps.load.output.tags}}", ["a", "b"]),
    "a mapping": ("{{ steps.load.output }}", VALUES["steps"]["load"]["output"]),
    "an object": ("{{ thing }}", THING),
    "null": ("{{ steps.load.output.none }}", None),
    "a text among text": ("in {{ inputs.region }}!", "in EU!"),
    "a number among text": ("n={{ steps.load.output.n }}", "n=3"),
    "blanks make it a text": (" {{ steps.load.output.n }}", " 3"),
    "others as JSON": (
        "{{ steps.load.output.tags }} {{ ok }} {{ steps.load.output.none }}",
        '["a", "b"] true null',
    ),
    "letters of all scripts": ("привет, {{ steps.load.output.word }}", "привет, мир"),
    "several references": ("{{ inputs.region }}{{ inputs.region }}", "EUEU"),
    "an index": ("{{ steps.load.output.tags[1] }}", "b"),
    "a function": ("{{ lower(inputs.region) }}", "eu"),
    "braces in a quoted key": ("{{ '}}' }}-{{ '\\'}}' }}", "}}-'}}"),
    "open braces are text": ("{{ inputs.region", "{{ inputs.region"),
    "open braces behind a reference": ("{{ inputs.region }} {{", "EU {{"),
    # One pair of braces is JSON, CSS or a format more often than a reference, which it was in one of the seeds.
    "single braces are text": ("{inputs.region} {}", "{inputs.region} {}"),
    "what a value holds is not rendered again": ("{{ '{{ ok }}' }}", "{{ ok }}"),
    "inside containers": (
        {"a": ["{{ ok }}", {"b": "{{ inputs.region }}"}], "c": 1},
        {"a": [True, {"b": "EU"}], "c": 1},
    ),
    "keys are left": ({"{{ ok }}": 1}, {"{{ ok }}": 1}),
}

NOWHERE = ["{{ steps.nope.output }}", "{{ steps.load.output.x }}", "{{ inputs.x }}", "{{ unknown }}"]


@pytest.mark.parametrize(("template", "expected"), RENDERED.values(), ids=RENDERED)
def test_a_template_renders_as_documented(template, expected):
    assert render(template, VALUES) == expected


@pytest.mark.parametrize("template", NOWHERE)
def test_a_reference_that_leads_nowhere_is_an_error_unless_asked_otherwise(template):
    with pytest.raises(ConditionError, match="there is no"):
        render(template, VALUES)

    # The seeds left it empty, or as it stood.
    assert render(f"<{template}>", VALUES, unresolved=Unresolved.EMPTY) == "<>"
    assert render(f"<{template}>", VALUES, unresolved=Unresolved.KEEP) == f"<{template}>"


@pytest.mark.parametrize("unresolved", Unresolved)
@pytest.mark.parametrize(
    "template", ["{{ }}", "{{ a b }}", "{{ thing.__class__ }}", "{{ ok & ok }}", "{{ it's }} {{ ok }}"]
)
def test_a_bad_reference_is_always_an_error(template, unresolved):
    with pytest.raises(ConditionError):
        render(template, VALUES, unresolved=unresolved)


def test_an_object_cannot_stand_among_text():
    with pytest.raises(ConditionError, match="a value of type object cannot stand in a text"):
        render("x {{ thing }}", VALUES)


def test_a_template_that_holds_itself_is_an_error():
    circle: list[object] = []
    circle.append(circle)

    with pytest.raises(ConditionError, match="nested deeper"):
        render(circle, VALUES)


@given(
    st.one_of(st.text(), st.lists(st.sampled_from(["{{", "}}", "ok", "'", " ", "{", "}", "\\", "a.b"])).map("".join))
)
def test_a_random_template_renders_or_is_a_condition_error(template):
    try:
        found = render(template, VALUES)
    except ConditionError:
        assert "{{" in template
    else:
        assert found == template or "{{" in template
