"""What a record says of values that were recorded together: the newest word holds, and what nobody has put right is torn."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace

import msgspec
import pytest

from szal_nb.engine.shared_values import NAME, SharedValues, newest, titled, torn_value
from szal_nb.model.state import StepState
from szal_nb.model.value import ValueRef

XS, YS = ("load", "xs"), ("load", "ys")


def group(number, values, left=()):
    return titled(ValueRef(name=NAME, hash="1"), SharedValues(dict.fromkeys(values), number, left=left))


def snapshot_of(*refs, state=StepState.FAILED, attempts=(1,)):
    """Each of them recorded by a step of its own, beside one more step in this state."""
    steps = {
        f"s{i}": SimpleNamespace(attempts=(1,), state=StepState.COMPLETED, values=[ref]) for i, ref in enumerate(refs)
    }
    return SimpleNamespace(steps={**steps, "last": SimpleNamespace(attempts=attempts, state=state, values=[])})


LEFT, AGAIN = group(1, [YS], left=[XS]), group(2, [XS, YS])


@pytest.mark.parametrize("refs", [*permutations([LEFT, AGAIN])], ids=["in order", "the other way round"])
def test_what_was_left_and_then_recorded_is_whole(refs):
    assert torn_value(snapshot_of(*refs)) is None


@pytest.mark.parametrize(
    "refs", [*permutations([group(1, [XS, YS]), group(2, [YS], left=[XS])])], ids=["in order", "the other way round"]
)
def test_what_was_left_after_it_was_recorded_is_torn(refs):
    """A run that goes on would have a part of it as it is and a part as it was."""
    assert torn_value(snapshot_of(*refs)) == XS


def test_what_was_left_to_a_step_that_completed_is_whole():
    assert torn_value(snapshot_of(LEFT, state=StepState.COMPLETED)) is None


def test_a_step_that_has_not_begun_has_torn_nothing():
    assert torn_value(snapshot_of(LEFT, state=StepState.PENDING, attempts=())) is None


def test_what_could_not_be_stored_together_says_nothing():
    live = msgspec.structs.replace(LEFT, live="it is a lock", summary="a lock")

    assert torn_value(snapshot_of(live)) is None
    assert newest({(0, NAME): live}, {"load": 0}) == (0, {})


@pytest.mark.parametrize("order", [*permutations([0, 1])], ids=["in order", "the other way round"])
def test_the_last_group_tells_what_a_value_is_whichever_step_comes_first(order):
    groups = [((0, NAME), LEFT), ((1, NAME), AGAIN)]

    found = newest(dict(groups[i] for i in order), {"load": 0})

    assert (found.number, {key: sorted(keys) for key, keys in found.groups.items()}) == (
        2,
        {(1, NAME): [(0, "xs"), (0, "ys")]},
    )


def test_a_group_that_is_no_witness_leaves_the_word_to_the_one_before():
    kept = {(0, NAME): LEFT, (1, NAME): AGAIN}

    found = newest(kept, {"load": 0}, lambda group, key: (group[0], key[1]) != (1, "ys"))

    assert found == (2, {(0, NAME): [(0, "ys")], (1, NAME): [(0, "xs")]})
