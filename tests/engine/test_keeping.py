"""What a class of the notebook keeps, read off it and put back: data, and what was put on it for methods."""

from __future__ import annotations

import functools

import pytest

from szal_nb.engine.keeping import copied, kept_by, put_back
from szal_nb.model.kept import attributes_state, default_state
from szal_nb.model.own_code import defined_members

STATE = attributes_state("Net")


def net():
    class Net:
        rate = 1

        def cost(self):
            return self.rate

        @property
        def double(self):
            return 2 * self.rate

        def __repr__(self):
            return "net"

    return Net


def test_what_a_class_was_defined_with_is_not_kept():
    assert kept_by(net(), STATE) == {"rate": 1}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda kind: setattr(kind, "summary", lambda _: "all"), id="a method"),
        pytest.param(lambda kind: setattr(kind, "cost", lambda self: -self.rate), id="another method"),
        pytest.param(lambda kind: setattr(kind, "__repr__", lambda _: "other"), id="how it is written"),
        pytest.param(lambda kind: setattr(kind, "double", property(lambda _: 0)), id="a property"),
        pytest.param(lambda kind: setattr(kind, "zero", classmethod(lambda cls: cls())), id="a class method"),
        pytest.param(lambda kind: setattr(kind, "plain", staticmethod(len)), id="a static method"),
        pytest.param(lambda kind: setattr(kind, "cost", functools.wraps(kind.cost)(lambda _: 5)), id="a wrapper"),
        pytest.param(lambda kind: setattr(kind, "cost", 7), id="data in place of a method"),
        pytest.param(lambda kind: (setattr(kind, "rate", 2), setattr(kind, "more", [1])), id="data"),
    ],
)
def test_what_is_put_on_a_class_is_kept_taken_away_and_put_back(change):
    kind = net()
    first, defined = kept_by(kind, STATE), dict(vars(kind))
    change(kind)
    kept, changed = kept_by(kind, STATE), dict(vars(kind))
    assert kept != first

    put_back(kind, STATE, copied(first))
    assert dict(vars(kind)) == defined

    put_back(kind, STATE, copied(kept))
    assert dict(vars(kind)) == changed


def test_a_method_that_was_put_on_a_class_is_no_part_of_its_code():
    kind = net()
    kept_by(kind, STATE)
    cost = kind.cost
    kind.summary, kind.cost, kind.rate = lambda _: "", lambda _: 0, 2

    members = defined_members(kind)

    assert (members["cost"], members["rate"], members.get("summary")) == (cost, 2, None)


def test_a_class_that_no_step_changes_has_what_it_has_now():
    kind = net()
    kind.summary = lambda _: ""
    assert "summary" in defined_members(kind)


def wrapped(f):
    @functools.wraps(f)
    def calling(*args, **named):
        return f(*args, **named)

    return calling


def by_place(x, seen=[], by=2):  # noqa: B006  what is tested
    seen.append(x)
    return [by * each for each in seen]


def by_name(x, *, seen=[], by=2):  # noqa: B006  what is tested
    seen.append(x)
    return [by * each for each in seen]


@pytest.mark.parametrize("function", [by_place, by_name, wrapped(by_place)], ids=["by place", "by name", "wrapped"])
def test_a_default_that_grows_is_put_back_and_all_others_stay(function):
    state = default_state("f", "seen")
    first = copied(kept_by(function, state))
    assert function(1) == [2]
    kept = copied(kept_by(function, state))
    assert function(2) == [2, 4]

    put_back(function, state, copied(first))
    assert function(3) == [6]

    put_back(function, state, copied(kept))
    assert function(5) == [2, 10]
    put_back(function, state, first)


def remembering(f):
    seen = {}

    @functools.wraps(f)
    def calling(x):
        return seen[x] if x in seen else seen.setdefault(x, f(x))

    calling.cache_info = lambda: len(seen)
    return calling


def test_what_a_function_that_remembers_has_for_attributes_is_put_back_and_it_tells_of_its_memory_as_before():
    state = attributes_state("f")
    function = remembering(lambda x: x + 1)
    function.seen, inner = [], function.__wrapped__
    function(1)
    kept = copied(kept_by(function, state))
    function.seen.append(2)
    function.more = function(2)

    put_back(function, state, kept)

    assert (function.seen, hasattr(function, "more"), function.__wrapped__) == ([], False, inner)
    assert function.cache_info() == 1
    assert set(vars(function)) == {"__wrapped__", "cache_info", "seen"}


def test_an_attribute_that_a_function_was_given_since_is_gone_when_it_is_put_back():
    state = attributes_state("f")
    function = wrapped(by_place)
    function.seen, inner = [], function.__wrapped__
    kept = copied(kept_by(function, state))
    assert kept == {"seen": []}
    function.more = 1

    put_back(function, state, kept)

    assert vars(function) == {"__wrapped__": inner, "seen": []}
