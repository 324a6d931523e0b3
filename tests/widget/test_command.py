from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szal_nb.widget.command import Command, CommandRefused, parse_command

STEPS = {"load", "clean"}


@pytest.mark.parametrize(
    ("content", "command"),
    [
        ({"action": "cancel"}, Command("cancel")),
        ({"action": "cancel", "id": 7}, Command("cancel", message_id=7)),
        ({"action": "retry", "step": "load"}, Command("retry", "load")),
        ({"action": "approve", "step": "load", "value": {"to": ["all"]}}, Command("approve", "load", {"to": ["all"]})),
        ({"action": "details", "step": "clean", "id": True}, Command("details", "clean")),
        ({"action": "sync", "unknown": 1}, Command("sync")),
    ],
)
def test_a_message_that_makes_sense_is_a_command(content, command):
    assert parse_command(content, steps=STEPS) == command


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "A command is an object with an action."),
        ([], "A command is an object with an action."),
        ({}, "This picture has no action of type NoneType."),
        ({"action": "explode"}, "This picture has no action 'explode'."),
        ({"action": "__init__" * 1000}, "This picture has no action '" + ("__init__" * 5) + "'."),
        ({"action": ["run"]}, "This picture has no action of type list."),
        ({"action": "retry"}, "The action 'retry' needs a step."),
        ({"action": "retry", "step": "drop"}, "This flow has no step 'drop'."),
        ({"action": "retry", "step": {"load": 1}}, "This flow has no step of type dict."),
        ({"action": "cancel", "step": "drop"}, "This flow has no step 'drop'."),
        ({"action": "approve", "step": "load", "value": "x" * 70_000}, "The value is longer than 65536 characters."),
        ({"action": "approve", "step": "load", "value": float("nan")}, "The value is not plain JSON."),
        ({"action": "approve", "step": "load", "value": {1, 2}}, "The value is not plain JSON."),
    ],
)
def test_a_message_that_makes_no_sense_is_refused_with_the_reason(content, problem):
    with pytest.raises(CommandRefused) as refused:
        parse_command(content, steps=STEPS)

    assert str(refused.value) == problem


def test_an_action_that_the_owner_does_not_offer_is_refused():
    with pytest.raises(CommandRefused):
        parse_command({"action": "fork", "step": "load"}, steps=STEPS, actions=("cancel",))


def test_a_refusal_carries_the_number_of_its_message():
    with pytest.raises(CommandRefused) as refused:
        parse_command({"action": "explode", "id": 12}, steps=STEPS)

    assert refused.value.message_id == 12


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["action", "step", "value", "id"]), inner),
    )
)
def test_whatever_comes_is_a_command_or_refused(content):
    try:
        command = parse_command(content, steps=STEPS)
    except CommandRefused:
        return
    assert command.step is None or command.step in STEPS
