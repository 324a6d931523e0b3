"""Steps that compute properties of their objects do not wait for each other, while runs go on."""

from __future__ import annotations

import threading
from functools import cached_property

import pytest

from szal_nb.engine.cached_properties import HAS_LOCKS, lock_free_properties


class Expression:
    """As those of dask: properties that are computed by way of each other, of another expression."""

    def __init__(self, below=None, meeting=None):
        self.below, self.meeting = below, meeting

    def meet(self):
        if self.meeting is not None:
            self.meeting.wait(5)

    @cached_property
    def columns(self):
        self.meet()
        return ["x"] if self.below is None else self.below.divisions

    @cached_property
    def divisions(self):
        self.meet()
        return [0] if self.below is None else self.below.columns


def test_two_threads_that_compute_properties_by_way_of_each_other_both_end():
    meeting, found = threading.Barrier(2), {}
    one, other = Expression(Expression(), meeting), Expression(Expression(), meeting)
    threads = [
        threading.Thread(target=lambda: found.update(columns=one.columns), daemon=True),
        threading.Thread(target=lambda: found.update(divisions=other.divisions), daemon=True),
    ]
    with lock_free_properties():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert found == {"columns": [0], "divisions": ["x"]}


def test_a_property_is_computed_once_and_refused_as_before():
    class Slotted:
        __slots__ = ()

        def number(self):
            return 1

    Slotted.number = cached_property(Slotted.number)
    Slotted.number.__set_name__(Slotted, "number")
    with lock_free_properties():
        expression = Expression()
        assert expression.columns is expression.columns
        assert isinstance(Expression.columns, cached_property)
        with pytest.raises(TypeError, match="No '__dict__' attribute on 'Slotted' instance"):
            Slotted().number  # noqa: B018


@pytest.mark.skipif(not HAS_LOCKS, reason="Python has no locks there any more")
def test_afterwards_it_is_what_it_was():
    before = cached_property.__get__
    with lock_free_properties(), lock_free_properties():
        assert cached_property.__get__ is not before
    assert cached_property.__get__ is before
