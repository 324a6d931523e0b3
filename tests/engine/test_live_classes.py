"""An instance of a class that cannot be stored is live, wherever it is: it could not be loaded."""

from __future__ import annotations

from szal_nb.engine.live_classes import LiveClasses
from szal_nb.engine.shared_values import NAME, SharedValues
from szal_nb.model.value import ValueRef

WHY = "its class C cannot be stored"


class C:
    pass


class D(C):
    pass


def live_ones(classes, given, live=()):
    refs = tuple(ValueRef(name=name, live="a lock" if name in live else None, hash="1") for name in given)
    return {ref.name: ref.live for ref in classes.titled(given, refs)}


def test_instances_are_live_with_their_class_in_later_steps_too():
    classes = LiveClasses()

    assert live_ones(classes, {"C": C, "n": 1, "c": C()}, live=("C",)) == {"C": "a lock", "n": None, "c": WHY}
    assert live_ones(classes, {"cs": [C()], "of_a_child": D(), "n": [1]}) == {"cs": WHY, "of_a_child": WHY, "n": None}


def test_values_that_were_recorded_together_are_live_where_one_of_them_is():
    classes = LiveClasses()
    live_ones(classes, {"C": C}, live=("C",))

    assert live_ones(classes, {NAME: SharedValues({("a", "c"): C(), ("a", "cs"): []}, 1)}) == {NAME: WHY}
    assert live_ones(classes, {NAME: SharedValues({("a", "xs"): [], ("a", "ys"): []}, 1)}) == {NAME: None}


def test_what_a_function_keeps_is_live_where_one_of_them_is_in_it():
    classes = LiveClasses()
    live_ones(classes, {"C": C}, live=("C",))

    assert live_ones(classes, {"<default of f(acc=…)>": {"acc": [C()]}}) == {"<default of f(acc=…)>": WHY}
    assert live_ones(classes, {"<default of f(acc=…)>": {"acc": [1]}}) == {"<default of f(acc=…)>": None}


def test_a_class_that_can_be_stored_makes_nothing_live():
    classes = LiveClasses()

    assert live_ones(classes, {"C": C, "c": C()}) == {"C": None, "c": None}
    assert live_ones(classes, {"c": C(), "other": D}, live=("other",)) == {"c": None, "other": "a lock"}


def test_what_is_live_already_keeps_its_reason():
    classes = LiveClasses()

    assert live_ones(classes, {"C": C, "c": C()}, live=("C", "c")) == {"C": "a lock", "c": "a lock"}
