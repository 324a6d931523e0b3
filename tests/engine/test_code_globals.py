"""Code of a notebook that finds its globals by itself finds the inputs of the run that calls it."""

from __future__ import annotations

import pickle

import pytest

from szal_nb.engine.code_globals import Lender, Loans, globals_of
from szal_nb.errors import GlobalInUse

NOTEBOOK = """
import functools
def helper():
    return config
class Reader:
    @property
    def found(self):
        return config
    @staticmethod
    def through():
        return helper()
    def unrelated(self):
        return self.other
class Inner(Reader):
    pass
def plain():
    return config
@functools.wraps(plain)
def decorated():
    return config
def made(n):
    def inner():
        return config if n else None
    return inner
closure = made(3)
def lazily():
    global config
    if config is None:
        config = 1
    return config
@functools.wraps(lazily)
def lazy():
    return lazily()
config, other = [1], [2]
"""


@pytest.fixture
def names():
    found = {"__name__": "__main__"}
    exec(NOTEBOOK, found)
    return found


@pytest.fixture
def lender():
    return Lender(Loans(), ["config", "other"])


@pytest.mark.parametrize("code", ["Reader", "Inner", "decorated", "closure"])
def test_code_finds_what_is_lent_until_it_is_given_back(code, names, lender):
    own = names["config"]
    lender.lend([names[code]], {"config": [7], "other": [8]})
    read = names["Reader"]().found, names["Reader"].through(), names["other"]
    lender.give_back()

    assert read == ([7], [7], [2])
    assert names["config"] is own


@pytest.mark.parametrize("code", ["plain", "lazy", "other"])
def test_nothing_is_lent_to_what_is_made_anew_or_makes_it_by_itself(code, names):
    assert [*globals_of(names[code], {"config"})] == []


def test_an_instance_finds_it_as_its_class_does(names, lender):
    lender.lend([], {"reader": names["Reader"](), "config": [7]})

    assert names["Reader"]().found == [7]


def test_a_name_that_was_not_there_is_not_there_afterwards(names, lender):
    del names["config"]
    lender.lend([names["Reader"]], {"config": [7]})
    assert names["config"] == [7]
    lender.give_back()

    assert "config" not in names


def test_what_a_cell_binds_meanwhile_is_what_is_there_afterwards(names, lender):
    lender.lend([names["Reader"]], {"config": [7]})
    names["config"] = [9]
    lender.lend([names["Reader"]], {"config": [7]})
    assert names["config"] == [7]
    lender.give_back()

    assert names["config"] == [9]


def test_two_runs_that_need_different_values_are_told_so(names):
    loans, value = Loans(), [7]
    one, two = Lender(loans, ["config"]), Lender(loans, ["config"])
    one.lend([names["Reader"]], {"config": value})
    two.lend([names["Reader"]], {"config": value})
    with pytest.raises(GlobalInUse, match="Another run that is alive has another value for 'config'"):
        two.lend([names["Reader"]], {"config": [8]})
    one.give_back()
    assert names["config"] is value
    two.give_back()

    assert names["config"] == [1]


def test_in_another_process_it_is_lent_for_good(names, lender):
    there = pickle.loads(pickle.dumps(lender))
    there.lend([names["Reader"]], {"config": [7]})

    assert names["Reader"]().found == [7]
